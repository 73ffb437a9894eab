"""Linear systems: which kernel of the propagator runs, and on what grid."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pkmodel.core.kinds import USUAL, Events, Look
from pkmodel.system import System

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
#: Which times (t,) follow the one before by the step of a grid, and that step (h); see :func:`grid_of`.
Grid = tuple[NDArray[np.bool_], float]

#: Equal steps that make a grid.
_GRID = 8


def levels(
    system: System,
    events: Events,
    time: Floats,
    observed: Ints,
    scale: Floats,
    initial: Floats | None,
    found: Floats,
    grid: Grid | None = None,
) -> None:
    """Fill ``found`` (n, k, t) with the states ``observed`` (k,), times ``scale`` (k, n), at rising times (h).

    ``time`` is (t,), or (t, n) where every patient has times of its own; ``grid`` then says which of them follow one
    another by the steps of a grid (without it: none).
    """
    from pkmodel.core import levels as general
    from pkmodel.core import modal

    run = _Run(system.rates, _start(system, initial), events, time, observed, scale, grid)
    left = run.by_modes(modal.STORE, out=found)
    if left.all():
        general.levels(*run.arguments(), out=found)
    elif left.any():
        part = np.empty((int(left.sum()), observed.size, time.shape[0]))
        general.levels(*run.only(left).arguments(), out=part)
        found[left] = part


def count_levels(
    system: System,
    events: Events,
    time: Floats,
    observed: Ints,
    scale: Floats,
    counts: NDArray[np.uint32],
    grid: Grid | None = None,
) -> None:
    """Add each level of :func:`levels` to the sketches ``counts`` (t, k, sketch.BINS) instead of storing it."""
    from pkmodel.core import levels as general
    from pkmodel.core import modal

    run = _Run(system.rates, _start(system, None), events, time, observed, scale, grid)
    left = run.by_modes(modal.COUNT, counts=counts)
    if left.any():
        for part in (run if left.all() else run.only(left)).by_times():
            general.levels(*part.arguments(), counts=counts)


def sampled_figures(
    system: System, events: Events, time: Floats, observed: int, scale: Floats, limit: Floats
) -> tuple[Floats, Floats, Floats]:
    """Figures (n,) read off the samples of one state at given times, for comparison with observed data.

    Returns
    -------
    The highest sample; the area by the linear trapezoidal rule over each stretch of the regular grid; and the number
    of samples above ``limit`` (n,) times the step of the grid (h). The exact figures, found inside the steps, are
    those of :func:`pkmodel.exact_figures.course_figures`.
    """
    from pkmodel.core import levels as general
    from pkmodel.core import modal

    size = system.rates.shape[0]
    found = np.empty((3, size))
    run = _Run(system.rates, _start(system, None), events, time, np.array([observed]), scale[None])
    left = run.by_modes(modal.SUMMARISE, out=found, limit=limit)
    if left.any():
        part = np.empty((int(left.sum()), 1, time.size))
        general.levels(*(run if left.all() else run.only(left)).arguments(), out=part)
        samples = part[:, 0]
        on_grid, step = grid_of(time)
        between = np.where(on_grid[1:], step, 0.0)
        found[modal.HIGHEST, left] = samples.max(axis=1)
        found[modal.AREA, left] = (0.5 * (samples[:, 1:] + samples[:, :-1]) * between).sum(axis=1)
        found[modal.ABOVE, left] = (samples > limit[left, None]).sum(axis=1) * step
    return found[modal.HIGHEST], found[modal.AREA], found[modal.ABOVE]


def figures(
    system: System,
    events: Events,
    boundary: Floats,
    observed: Ints,
    thresholds: Floats,
    stats: Floats,
    time_above: Floats,
    first_crossing: Floats,
    crossings: Floats | None = None,
    n_crossings: Ints | None = None,
    look: Look = USUAL,
) -> None:
    """Fill the arrays of :func:`pkmodel.core.crossing.scan`; without ``crossings`` their times are not kept."""
    from pkmodel.core import crossing

    size, (outputs, limits) = system.rates.shape[0], thresholds.shape[:2]
    initial = np.zeros(system.rates.shape[:2]) if system.initial is None else system.initial
    if events.time.shape[1] == 1 or crossings is not None:
        times = np.empty((size, outputs, limits, 0)) if crossings is None else crossings
        count = np.zeros((size, outputs, limits), dtype=np.int64) if n_crossings is None else n_crossings
        filled = (stats, time_above, first_crossing)
        crossing.scan(system.rates, initial, events, boundary, observed, thresholds, *filled, times, count, look)
        return
    for who, own in _of_like_times(events):
        own_stats = np.empty((who.size, *stats.shape[1:]))
        above, first = (np.empty((who.size, *whole.shape[1:])) for whole in (time_above, first_crossing))
        edges = boundary if boundary.shape[1] == 1 else boundary[:, who]
        alone = (system.rates[who], initial[who], own, edges, observed, thresholds[..., who], own_stats, above, first)
        none = np.empty((who.size, outputs, limits, 0)), np.zeros((who.size, outputs, limits), dtype=np.int64)
        crossing.scan(*alone, *none, look)
        stats[who], time_above[who], first_crossing[who] = own_stats, above, first


#: How many kinds of courses, by their times, are run each on its own; the patients that are left go together.
_COURSES = 4


def _of_like_times(events: Events) -> list[tuple[Ints, Events]]:
    """Patients whose events have the same times, with these events; a matter of speed only.

    Eight patients whose stops are the same go through a course in the same steps, and many times faster. Where some
    events pass some patients by (a swallowed part of nothing, say), a few kinds of courses hold nearly everybody.
    """
    left = np.arange(events.value.shape[1])
    found: list[tuple[Ints, Events]] = []
    while left.size and len(found) < _COURSES:
        times = events.time[:, left]
        alike = (times == times[:, :1]).all(axis=0)
        who, left = left[alike], left[~alike]
        first = who[:1]
        own = events._replace(
            time=np.ascontiguousarray(events.time[:, first]),
            order=np.ascontiguousarray(events.order[:, first]),
            value=np.ascontiguousarray(events.value[:, who]),
        )
        found.append((who, own))
    if left.size:
        flags = np.zeros(events.value.shape[1], dtype=bool)
        flags[left] = True
        found.append((left, events.only(flags)))
    return found


@dataclass(frozen=True)
class _Run:
    """A block of patients and what is to be seen of them."""

    rates: Floats
    start: Floats | None
    events: Events
    time: Floats
    observed: Ints
    scale: Floats
    grid: Grid | None = None

    def only(self, patients: NDArray[np.bool_]) -> _Run:
        """The same run for some of the patients."""
        return replace(
            self,
            rates=self.rates[patients],
            start=None if self.start is None else self.start[patients],
            events=self.events.only(patients),
            time=self.time if self.time.ndim == 1 else self.time[:, patients],
            scale=self.scale[:, patients],
        )

    def by_times(self) -> list[_Run]:
        """The same run, apart for patients whose events have the same times."""
        if self.events.time.shape[1] == 1:
            return [self]
        return [
            replace(
                self,
                rates=self.rates[who],
                start=None if self.start is None else self.start[who],
                events=own,
                time=self.time if self.time.ndim == 1 else self.time[:, who],
                scale=self.scale[:, who],
            )
            for who, own in _of_like_times(self.events)
        ]

    def arguments(self) -> tuple[Any, ...]:
        """What the general kernel takes."""
        from pkmodel.core.structure import structure_of

        flows = (self.rates != 0.0).any(axis=0)
        structure = structure_of(flows, np.empty(0, dtype=np.int64), self.events.port_compartment, self.rates.shape[0])
        start = np.zeros(self.rates.shape[:2]) if self.start is None else self.start
        arrays = (np.ascontiguousarray(self.rates), np.ascontiguousarray(start, dtype=np.float64), self.events)
        observed, scale = self.observed.astype(np.int64), np.ascontiguousarray(self.scale)
        time = np.ascontiguousarray(self.time.reshape(self.time.shape[0], -1))
        return structure, *arrays, time, *self._steps(), observed, scale

    def _steps(self) -> Grid:
        """Which times follow one another by the step of a grid, and that step."""
        if self.grid is not None:
            return self.grid
        return grid_of(self.time) if self.time.ndim == 1 else (np.zeros(self.time.shape[0], dtype=bool), 1.0)

    def by_modes(
        self,
        wanted: int,
        *,
        out: Floats | None = None,
        counts: NDArray[np.uint32] | None = None,
        limit: Floats | None = None,
    ) -> NDArray[np.bool_]:
        """Run one to three compartments by their modes; returns who is left for the general kernel (n,).

        The choice rests on the model, the course and the patient alone, never on who else is in the block.
        """
        from pkmodel.core import modal

        size, states, _ = self.rates.shape
        everybody = np.ones(size, dtype=bool)
        if self.start is not None or states > modal.COMPARTMENTS or not self.events.alike or self.observed.size != 1:
            return everybody
        if self.time.ndim > 1:
            return everybody
        places = modal.places_of(states, int(self.observed[0]), self.events)
        if places is None:
            return everybody
        return modal.levels(
            wanted,
            places,
            np.ascontiguousarray(self.rates),
            self.events,
            self.time,
            *self._steps(),
            np.ascontiguousarray(self.scale),
            np.zeros(size) if limit is None else limit,
            np.empty(0) if out is None else out,
            np.empty((0, 0, 0), dtype=np.uint32) if counts is None else counts,
        )


def _start(system: System, initial: Floats | None) -> Floats | None:
    """The state before the first event: as given, or the system's; None where that is 0."""
    start = system.initial if initial is None else initial
    return start if start is not None and start.any() else None


def grid_of(time: Floats) -> Grid:
    """The regular grid in rising times (t,): which follow the one before by its step, and the step (h).

    The step is the one that occurs most often. Times are rounded numbers, so steps count as one when they differ by no
    more than that rounding. The step itself is the length of its longest run over the number of steps, so that a run
    ends where its last time stands and does not drift by a rounding error per step. Without a step that occurs eight
    times there is no grid, and the step is 1 h.
    """
    on_grid, step = _grid_of(time.astype(np.float64, copy=False).tobytes())
    return on_grid.copy(), step


@lru_cache(maxsize=64)
def _grid_of(times: bytes) -> Grid:
    """The grid in the memory of some times: block after block of a run has the same ones."""
    time = np.frombuffer(times)
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
