"""From a system and its events to amounts: which kernel runs, and on what grid."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pkmodel.core.kinds import Events
from pkmodel.errors import InputError, Problem
from pkmodel.system import System

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


__all__ = ["System", "amounts", "constant_rates", "count_levels", "grid_of", "levels"]

#: Equal steps that make a grid.
_GRID = 8


def constant_rates(system: System) -> Floats:
    """The rates (n, s, s) of a linear system. Raises InputError for one that the propagator cannot integrate."""
    if system.dynamics is not None:
        found = "a model with a saturable flow, a rate that changes with time or level, or a turnover"
        raise InputError(Problem(found, "a linear model: the ODE engine is not there yet", path="model"))
    return system.rates


def amounts(system: System, events: Events, time: Floats, initial: Floats | None = None) -> Floats:
    """Amounts (n, t, s), mg, at rising times (h), each after all that arrives at its instant.

    ``initial`` (n, s) are the amounts at the earlier of the first event and the first time; those of the system, or
    nothing, without it.
    """
    states = np.arange(system.rates.shape[1])
    found = levels(system, events, time, states, np.ones((states.size, system.rates.shape[0])), initial)
    return found.transpose(0, 2, 1)


def levels(
    system: System,
    events: Events,
    time: Floats,
    observed: Ints,
    scale: Floats,
    initial: Floats | None = None,
) -> Floats:
    """Levels (n, k, t) of the states ``observed`` (k,), times ``scale`` (k, n), at rising times (h)."""
    from pkmodel.core.levels import levels as fill

    found = np.empty((system.rates.shape[0], observed.size, time.size))
    fill(*_arguments(system, events, time, observed, scale, initial), out=found)
    return found


def count_levels(
    system: System, events: Events, time: Floats, observed: Ints, scale: Floats, counts: NDArray[np.uint32]
) -> None:
    """Add each level of :func:`levels` to the sketches ``counts`` (t, k, sketch.BINS) instead of storing it."""
    from pkmodel.core.levels import levels as fill

    fill(*_arguments(system, events, time, observed, scale, None), counts=counts)


def _arguments(
    system: System, events: Events, time: Floats, observed: Ints, scale: Floats, initial: Floats | None
) -> tuple[Any, ...]:
    """What the kernel for levels takes, with the structure of the block worked out."""
    from pkmodel.core.structure import structure_of

    rates = constant_rates(system)
    structure = structure_of((rates != 0.0).any(axis=0), np.empty(0, dtype=np.int64), events.port_compartment)
    start = system.initial if initial is None else initial
    start = np.zeros(rates.shape[:2]) if start is None else start
    on_grid, unit = grid_of(time)
    arrays = (np.ascontiguousarray(rates), np.ascontiguousarray(start, dtype=np.float64))
    return structure, *arrays, events, time, on_grid, unit, observed.astype(np.int64), np.ascontiguousarray(scale)


def grid_of(time: Floats) -> tuple[NDArray[np.bool_], float]:
    """The regular grid in rising times (t,): which follow the one before by its step, and the step (h).

    The step is the one that occurs most often. Times are rounded numbers, so steps count as one when they differ by no
    more than that rounding. The step itself is the length of its longest run over the number of steps, so that a run
    ends where its last time stands and does not drift by a rounding error per step. Without a step that occurs eight
    times there is no grid, and the step is 1 h.
    """
    on_grid = np.zeros(time.size, dtype=bool)
    differences = np.diff(time)
    values, counts = np.unique(differences[differences > 0.0].round(9), return_counts=True)
    if not counts.size or counts.max() < _GRID:
        return on_grid, 1.0
    near = np.abs(differences - values[np.argmax(counts)]) < 2e-9
    first, last = _longest_run(near)
    step = float((time[last] - time[first]) / (last - first))
    on_grid[1:] = np.abs(differences - step) <= 4.0 * np.spacing(np.abs(time).max())
    return on_grid, step


def _longest_run(flags: NDArray[np.bool_]) -> tuple[int, int]:
    """Start and end (one past the last) of the longest run of true flags; there is at least one."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]])))
    starts, ends = edges[::2], edges[1::2]
    longest = int(np.argmax(ends - starts))
    return int(starts[longest]), int(ends[longest])
