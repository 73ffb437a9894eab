"""From a system and its events to amounts: which kernel runs, and on what grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pkmodel.core.kinds import Events

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class System:
    """What is integrated: ``rates`` (n, c, c), 1/h, entry [p, i, j] from compartment j to i; the diagonal leaves."""

    rates: Floats


def amounts(system: System, events: Events, time: Floats, initial: Floats | None = None) -> Floats:
    """Amounts (n, t, c), mg, at rising times (h), each after all that arrives at its instant.

    ``initial`` (n, c) are the amounts at the earlier of the first event and the first time; nothing without it.
    """
    from pkmodel.core.linear import observe

    size, compartments, _ = system.rates.shape
    found = np.empty((size, time.size, compartments))
    start = np.zeros((size, compartments)) if initial is None else np.ascontiguousarray(initial, dtype=np.float64)
    observe(system.rates, events, time, *grid_steps(time), start, found)
    return found


def grid_steps(time: Floats) -> tuple[NDArray[np.int64], Floats]:
    """Steps that a grid repeats: for each time the index of the step that leads to it (-1: none), and the steps.

    Times are rounded numbers, so steps count as one when they differ by no more than that rounding. The step itself
    is the length of its longest run over the number of steps, so that a run ends where its last time stands and
    does not drift by a rounding error per step.
    """
    index = np.full(time.size, -1, dtype=np.int64)
    steps: list[float] = []
    if time.size > 1:
        differences = np.diff(time)
        slack = 4.0 * np.spacing(np.abs(time).max())
        values, counts = np.unique(differences.round(9), return_counts=True)
        for value in values[counts >= 8][:4]:
            near = np.abs(differences - value) < 2e-9
            first, last = _longest_run(near)
            exact = float((time[last] - time[first]) / (last - first))
            if exact > 0:
                index[1:][np.abs(differences - exact) <= slack] = len(steps)
                steps.append(exact)
    return index, np.array(steps)


def _longest_run(flags: NDArray[np.bool_]) -> tuple[int, int]:
    """Start and end (one past the last) of the longest run of true flags; there is at least one."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]])))
    starts, ends = edges[::2], edges[1::2]
    longest = int(np.argmax(ends - starts))
    return int(starts[longest]), int(ends[longest])
