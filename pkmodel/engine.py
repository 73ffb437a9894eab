"""The door to the kernels: amounts, levels and figures of a system, by the engine that it needs.

Linear systems with constant rates go through the propagator, which is exact (:mod:`pkmodel.exact`); every other one, or
one for which it is asked, through the ODE solvers (:mod:`pkmodel.odes`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pkmodel import exact, odes
from pkmodel.core.kinds import USUAL, Events, Look
from pkmodel.errors import InputError, Problem, RunError, one_of, shown
from pkmodel.exact import Grid, grid_of
from pkmodel.system import System

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

__all__ = [
    "Grid",
    "Numerics",
    "System",
    "amounts",
    "count_levels",
    "figures",
    "grid_of",
    "levels",
    "methods",
    "refuse_lost",
    "sampled_figures",
    "settling_figures",
]

ENGINES = ("auto", "propagator", "ode")
METHODS = ("auto", "explicit", "stiff")


@dataclass(frozen=True)
class Numerics:
    """How a run is integrated.

    ``engine`` is ``auto`` (the propagator where the model is linear), ``propagator`` or ``ode``; ``method`` is the ODE
    solver, ``auto`` (chosen for each patient), ``explicit`` or ``stiff``; ``tolerance`` is what the solver keeps the
    error of a step under, relative to the level, from 1e-10 to 1e-4: where errors were measured to keep to ten times
    that. The propagator needs none.

    Raises InputError on anything else.
    """

    engine: Literal["auto", "propagator", "ode"] = "auto"
    method: Literal["auto", "explicit", "stiff"] = "auto"
    tolerance: float = 1e-8

    def __post_init__(self) -> None:
        for name, value, legal in (("engine", self.engine, ENGINES), ("method", self.method, METHODS)):
            if value not in legal:
                raise InputError(Problem(shown(value), one_of(legal), path=name))
        if isinstance(self.tolerance, bool) or not 1e-10 <= self.tolerance <= 1e-4:
            raise InputError(Problem(shown(self.tolerance), "a number from 1e-10 to 1e-4", path="tolerance"))

    def by_ode(self, system: System) -> bool:
        """Whether the ODE engine integrates a system. Raises InputError where the propagator cannot."""
        if system.dynamics is not None and self.engine == "propagator":
            found = "the propagator, for a model with a saturable flow, a turnover, or a rate that changes"
            raise InputError(Problem(found, "engine auto or ode", path="engine"))
        return system.dynamics is not None or self.engine == "ode"


#: The engine that the model needs.
AUTO = Numerics()
#: Room for the crossings of a threshold, to an interval; more are made where more are needed.
_CROSSINGS = 2


def methods(system: System, events: Events, until: float, numerics: Numerics = AUTO) -> NDArray[np.str_]:
    """What integrates each patient (n,) up to ``until`` (h): ``propagator``, ``explicit`` or ``stiff``."""
    if numerics.by_ode(system):
        return odes.methods(system, events, until, numerics.method, numerics.tolerance)
    return np.full(system.rates.shape[0], "propagator")


def amounts(
    system: System, events: Events, time: Floats, initial: Floats | None = None, numerics: Numerics = AUTO
) -> Floats:
    """Amounts (n, t, s), mg, at rising times (h), each after all that arrives at its instant.

    ``initial`` (n, s) are the amounts at the earlier of the first event and the first time; those of the system, or
    nothing, without it.
    """
    states = np.arange(system.rates.shape[1])
    scale = np.ones((states.size, system.rates.shape[0]))
    return levels(system, events, time, states, scale, initial, numerics=numerics).transpose(0, 2, 1)


def levels(
    system: System,
    events: Events,
    time: Floats,
    observed: Ints,
    scale: Floats,
    initial: Floats | None = None,
    out: Floats | None = None,
    numerics: Numerics = AUTO,
    grid: Grid | None = None,
) -> Floats:
    """Levels (n, k, t) of the states ``observed`` (k,), times ``scale`` (k, n), at rising times (h).

    ``time`` is (t,), or (t, n) where every patient has times of its own; those that follow one another by the steps of
    a ``grid`` (:func:`grid_of`) are cheaper where it is given. ``out`` is memory to put them into, C-contiguous.

    Raises RunError where a solver gives up on a patient, with what to do.
    """
    found = np.empty((system.rates.shape[0], observed.size, time.shape[0])) if out is None else out
    if numerics.by_ode(system):
        if time.ndim == 1:
            odes.levels(system, events, time, observed, scale, initial, found, numerics.method, numerics.tolerance)
        else:
            begun = system if initial is None else replace(system, initial=initial)
            odes.levels_of_each(begun, events, time, observed, scale, found, numerics.method, numerics.tolerance)
    else:
        exact.levels(system, events, time, observed, scale, initial, found, grid)
    return found


def count_levels(
    system: System,
    events: Events,
    time: Floats,
    observed: Ints,
    scale: Floats,
    counts: NDArray[np.uint32],
    numerics: Numerics = AUTO,
    grid: Grid | None = None,
) -> None:
    """Add each level of :func:`levels` to the sketches ``counts`` (t, k, sketch.BINS) instead of storing it."""
    if numerics.by_ode(system):
        from pkmodel.core import sketch

        found = levels(system, events, time, observed, scale, numerics=numerics)
        for at in range(time.shape[0]):
            for k in range(observed.size):
                sketch.count(np.ascontiguousarray(found[:, k, at]), counts[at, k])
    else:
        exact.count_levels(system, events, time, observed, scale, counts, grid)


def sampled_figures(
    system: System, events: Events, time: Floats, observed: int, scale: Floats, limit: Floats
) -> tuple[Floats, Floats, Floats]:
    """Figures (n,) of a linear system read off the samples of one state, for comparison with observed data.

    Returns
    -------
    The highest sample; the area by the linear trapezoidal rule over each stretch of the regular grid; and the number
    of samples above ``limit`` (n,) times the step of the grid (h). The exact figures are those of :func:`figures`.
    """
    return exact.sampled_figures(system, events, time, observed, scale, limit)


def figures(
    system: System,
    events: Events,
    boundary: Floats,
    observed: Ints,
    thresholds: Floats,
    numerics: Numerics = AUTO,
    look: Look = USUAL,
) -> tuple[Floats, Floats, Floats]:
    """Figures of states over the intervals between boundaries, found inside the steps of the solution.

    Parameters
    ----------
    boundary
        (m + 1, 1 or n) rising times in h. What arrives at a boundary belongs to the interval after it.
    observed, thresholds
        (k,) states, and (k, q, n) values of them.
    look
        what to look for besides; a matter of the propagator, the ODE engine finds all of it.

    Returns
    -------
    ``stats`` (n, m, k, crossing.N_STATS), ``time_above`` and ``first_crossing`` (n, m, k, q); see
    :func:`pkmodel.core.crossing.scan`.
    """
    from pkmodel.core.kinds import N_STATS

    shape = (system.rates.shape[0], boundary.shape[0] - 1, observed.size)
    stats = np.empty((*shape, N_STATS))
    above, first = np.empty((*shape, thresholds.shape[1])), np.empty((*shape, thresholds.shape[1]))
    if numerics.by_ode(system):
        odes.figures(
            system, events, boundary, observed, thresholds, stats, above, first, numerics.method, numerics.tolerance
        )
    else:
        exact.figures(system, events, boundary, observed, thresholds, stats, above, first, look=look)
    return stats, above, first


def settling_figures(
    system: System,
    events: Events,
    boundary: Floats,
    observed: Ints,
    thresholds: Floats,
    numerics: Numerics = AUTO,
    look: Look = USUAL,
) -> tuple[Floats, Floats, Floats, Floats]:
    """The figures of :func:`figures`, and when (h) states last cross thresholds in each interval, up or down.

    The times (n, m, k, q) are found inside the steps of the solution, and are minus infinity where nothing crosses; a
    jump is no crossing. A crossing at a boundary belongs to the interval before it.
    """
    from pkmodel.core.kinds import N_STATS

    size, (outputs, limits), intervals = system.rates.shape[0], thresholds.shape[:2], boundary.shape[0] - 1
    stats = np.empty((size, intervals, outputs, N_STATS))
    above, first = np.empty((size, intervals, outputs, limits)), np.empty((size, intervals, outputs, limits))
    count = np.zeros((size, outputs, limits), dtype=np.int64)
    room = _CROSSINGS * intervals
    while True:
        times = np.empty((size, outputs, limits, room))
        filled = (stats, above, first, times, count)
        if numerics.by_ode(system):
            asked = (system, events, boundary, observed, thresholds, *filled[:3])
            odes.figures(*asked, numerics.method, numerics.tolerance, times, count)
        else:
            exact.figures(system, events, boundary, observed, thresholds, *filled, look=look)
        if count.max(initial=0) <= room:
            break
        room = int(count.max())
    edges = np.broadcast_to(boundary, (intervals + 1, size))
    found = np.full((size, intervals, outputs, limits), -np.inf)
    for index in range(int(count.max(initial=0))):
        who, output, limit = np.nonzero(count > index)
        when = times[who, output, limit, index]
        interval = (edges[:, who] < when).sum(axis=0) - 1
        place = (who, np.maximum(interval, 0), output, limit)
        found[place] = np.maximum(found[place], when)
    return stats, above, first, found


def refuse_lost(values: Floats, what: str, first: int = 0) -> None:
    """Raise RunError where a value of some patient (n, ...) is no number.

    A rate of 1e9 per hour over days leaves no digit of a level: a mistake in a model far more often than a model.
    """
    lost = np.isnan(values)
    if lost.any():
        patient = first + 1 + int(np.argmax(lost.reshape(values.shape[0], -1).any(axis=1)))
        raise RunError(
            f"{what}: no number in patient {patient}; its rates lie too far apart for the length of the course: "
            "check the parameters of the model, and their units"
        )
