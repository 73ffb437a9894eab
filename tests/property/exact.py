"""An oracle that shares nothing with the package: compartments in integer arithmetic with 256 binary places.

A float is a whole number of 2**-256 (or loses less than that), and so is every product here once it is cut,
so what is left of rounding is 60 digits below anything that a float64 can show. Python's integers in numpy's
object arrays are some 50 times faster than mpmath's matrices, against which :func:`exponential` is tested.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
#: Arrays of Python integers, each in units of 2**-PLACES.
Fixed = NDArray[np.object_]

PLACES = 256
ONE = 1 << PLACES


@dataclass(frozen=True)
class Dose:
    """An amount (mg) into a compartment at a time (h): at once, or over a duration."""

    time: float
    compartment: int
    amount: float
    duration: float = 0.0

    @property
    def rate(self) -> float:
        """The rate of an infusion as a float64, which is what the engine is told."""
        return self.amount / self.duration

    @property
    def end(self) -> float:
        """The end of an infusion as a float64, which is what the engine is told."""
        return self.time + self.duration


def fixed(values: object) -> Fixed:
    """Floats as fixed-point integers."""
    return np.vectorize(lambda value: int(Fraction(float(value)) * ONE), otypes=[object])(np.asarray(values))


def floats(values: Fixed) -> Floats:
    """Fixed-point integers as the nearest floats."""
    return np.vectorize(lambda value: float(Fraction(value, ONE)), otypes=[float])(values)


def exponential(matrix: Fixed, time: Fraction) -> Fixed:
    """``exp(matrix * time)`` by Taylor series on a small step and repeated squaring."""
    scaled = matrix * int(time * ONE) >> PLACES
    largest = int(np.abs(scaled).sum(axis=0).max())
    squarings = max(0, largest.bit_length() - PLACES + 4)
    scaled = scaled >> squarings
    result = fixed(np.eye(len(matrix)))
    term, order = result, 0
    while term.any():
        order += 1
        term = (term @ scaled >> PLACES) // order
        term[term == -1] = 0  # a shift rounds down, so that a negative entry would stay at -1 for ever
        result = result + term
    for _ in range(squarings):
        result = result @ result >> PLACES
    return result


def course(rates: Floats, doses: Sequence[Dose], time: Sequence[float]) -> tuple[Floats, Floats]:
    """Amounts (t, c) of one patient after each of the rising times, and their integrals since the time before.

    The first integral starts at the first dose.
    """
    size = len(rates)
    stops = sorted({*(dose.time for dose in doses), *(dose.end for dose in doses if dose.duration), *time})
    # [amounts | their integrals | 1]: the input, constant between two stops, stands in the last column.
    system = fixed(np.zeros((2 * size + 1, 2 * size + 1)))
    system[:size, :size] = fixed(rates)
    system[size:-1, :size] = fixed(np.eye(size))
    state = fixed(np.zeros(2 * size + 1))
    state[-1] = ONE
    found = {}
    last = stops[0]
    for now in stops:
        if now > last:
            state = exponential(system, Fraction(now) - Fraction(last)) @ state >> PLACES
        for dose in doses:
            if dose.time == now and not dose.duration:
                state[dose.compartment] += int(Fraction(dose.amount) * ONE)
            elif dose.time == now:
                system[dose.compartment, -1] += int(Fraction(dose.rate) * ONE)
            elif dose.duration and dose.end == now:
                system[dose.compartment, -1] -= int(Fraction(dose.rate) * ONE)
        found[now] = state
        last = now
    table = np.stack([found[moment] for moment in time])
    areas = np.diff(table[:, size:-1], axis=0, prepend=fixed(np.zeros((1, size))))
    return floats(table[:, :size]), floats(areas)
