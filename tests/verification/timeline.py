"""An oracle for events that shares nothing with the package: a list of what happens, walked through in 30 digits.

The list is written by hand, in order; there is nothing in it to decide. Between two times the amounts move by mpmath's
matrix exponential, with the rates of infusion as a constant input.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import mpmath
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: ("bolus", time, compartment, amount), ("rate", time, compartment, change), ("empty", time), ("row", time), or
#: ("with", {parameter: value}) for all that follows.
Step = tuple[object, ...]

COMPARTMENTS = ("depot", "depot2", "central", "per1", "per2")
DIGITS = 30


def _matrix(parameters: Mapping[str, object]) -> mpmath.matrix:
    """Rates (6, 6), 1/h, of the largest model; the last column is for the input. What a model lacks has no flow."""
    value = {name: mpmath.mpf(number) for name, number in parameters.items()}
    zero = mpmath.mpf(0)
    matrix = mpmath.zeros(6, 6)

    def flow(source: int, target: int | None, rate: object) -> None:
        matrix[source, source] -= rate
        if target is not None:
            matrix[target, source] += rate

    flow(0, 2, value.get("KA", zero))
    flow(1, 2, value.get("KA2", zero))
    flow(2, None, value["CL"] / value["V1"])
    for index, clearance, volume in ((3, "Q2", "V2"), (4, "Q3", "V3")):
        if clearance in value:
            flow(2, index, value[clearance] / value["V1"])
            flow(index, 2, value[clearance] / value[volume])
    return matrix


@lru_cache(maxsize=4096)
def _propagator(parameters: tuple[tuple[str, object], ...], inputs: tuple[object, ...], hours: object) -> mpmath.matrix:
    matrix = _matrix(dict(parameters))
    for index, rate in enumerate(inputs):
        matrix[index, 5] = rate
    return mpmath.expm(matrix * hours)


def amounts(parameters: Mapping[str, float], steps: Sequence[Step]) -> Floats:
    """(rows, 5) amounts at every "row" of the list, in the order of COMPARTMENTS."""
    with mpmath.workdps(DIGITS):
        current = dict(parameters)
        state, inputs, now = mpmath.zeros(6, 1), [mpmath.mpf(0)] * 5, None
        state[5] = mpmath.mpf(1)
        found = []
        for what, *rest in steps:
            if what == "with":
                current.update(rest[0])
                continue
            time = mpmath.mpf(rest[0])
            if now is not None and time != now:
                assert time > now, "a list of steps must rise in time"
                hours = mpmath.nint((time - now) * 2**80) / 2**80  # so that equal gaps share a propagator
                state = _propagator(tuple(current.items()), tuple(inputs), hours) * state
            now = time
            if what == "row":
                found.append([float(state[index]) for index in range(5)])
            elif what == "empty":
                for index in range(5):
                    state[index] = inputs[index] = mpmath.mpf(0)
            else:
                index = COMPARTMENTS.index(rest[1])
                if what == "bolus":
                    state[index] += mpmath.mpf(rest[2])
                else:
                    inputs[index] += mpmath.mpf(rest[2])
                    if abs(inputs[index]) < mpmath.mpf(10) ** -20:
                        inputs[index] = mpmath.mpf(0)
        return np.array(found)


def infusion(start: float, duration: float, compartment: str, rate: float) -> list[Step]:
    """The two steps of an infusion; the list they go into is to be sorted by :func:`ordered`."""
    with mpmath.workdps(DIGITS):
        end = mpmath.mpf(start) + mpmath.mpf(duration)
    return [("rate", start, compartment, rate), ("rate", end, compartment, -rate)]


def ordered(*steps: Sequence[Step]) -> list[Step]:
    """Lists of steps as one, by time; at one time in the order in which they were given."""
    return sorted((step for each in steps for step in each), key=lambda step: step[1])


def rows(times: Sequence[float]) -> list[Step]:
    """An observation at each time."""
    return [("row", time) for time in times]
