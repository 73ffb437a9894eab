"""Integration of non-linear and time-varying models: eight patients at a time, each in steps of its own.

A lane carries one patient from stop to stop (an event, a boundary, the end) and reads levels off the steps as they
pass. When it is done, the next patient of the queue takes its place, so that no lane waits for another. Nothing that a
lane does depends on the others: a patient has the same bits alone, in any block and in any order.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pkmodel.core.arrivals import Lanes, Patients, Stops, edge_of, enter, stop
from pkmodel.core.doses import bare_events
from pkmodel.core.equations import DUE, GROWTH, MOST, REJECTED, RUNNING, STEPS, TIGHTNESS, H, T
from pkmodel.core.inside import Figures, Notes, look, void
from pkmodel.core.jit import kernel, piece
from pkmodel.core.kinds import Events
from pkmodel.core.lanes import WIDTH, aligned, bare, pointer
from pkmodel.core.machine import ATTEMPT, DRAW, EVALUATE, START, VALUES, Machine
from pkmodel.core.native import call

#: How a patient ended.
OK, TOO_MANY_STEPS, STEP_TOO_SMALL, NOT_FINITE = 0, 1, 2, 3

_EVERYONE = (1 << WIDTH) - 1


class Control(NamedTuple):
    """``bound`` of the error estimate of a step, relative to the state; ``most`` steps of a patient; and the length (h)
    of all steps where it is fixed (0: it is not).
    """

    bound: float
    most: int = 100_000
    fixed: float = 0.0


class Levels(NamedTuple):
    """Where levels go: ``outputs`` states ``observed`` (k,) times ``scale`` (k, n), into ``found`` (n, k, t)."""

    observed: np.ndarray
    scale: np.ndarray
    found: np.ndarray
    outputs: int


class Outcome(NamedTuple):
    """How each patient ended, (n,) each: status, steps tried, how many of them were rejected, and when (h)."""

    status: np.ndarray
    steps: np.ndarray
    rejected: np.ndarray
    reached: np.ndarray


@piece
def _finish(w, rows, lanes, lane, n, levels, stops, outcome, status):
    """Write down what is left to say of a patient, who leaves the lane; what was not reached is NaN."""
    p = lanes.patient[lane]
    for at in range(lanes.seen[lane], stops.times):
        for k in range(levels.outputs):
            level = w[(rows.y + levels.observed[k]) * WIDTH + lane] * levels.scale[k * n + p]
            levels.found[(p * levels.outputs + k) * stops.times + at] = level if status == OK else np.nan
    outcome.status[p] = status
    outcome.steps[p] = np.int64(w[STEPS * WIDTH + lane])
    outcome.rejected[p] = np.int64(w[REJECTED * WIDTH + lane])
    outcome.reached[p] = w[T * WIDTH + lane]
    lanes.patient[lane] = -1
    w[RUNNING * WIDTH + lane] = 0.0


@piece
def _why(w, rows, lane, states):
    """Why the steps of a lane lead nowhere."""
    for i in range(states):
        if not np.isfinite(w[(rows.f + i) * WIDTH + lane]):
            return np.int64(NOT_FINITE)
    many = w[STEPS * WIDTH + lane] >= w[MOST * WIDTH + lane]
    return np.int64(TOO_MANY_STEPS) if many else np.int64(STEP_TOO_SMALL)


@piece
def _last_stop(stops, p):
    """When a patient is done, h."""
    last = -np.inf
    if stops.times:
        last = stops.time[stops.times - 1]
    if stops.number:
        last = max(last, edge_of(stops, stops.number - 1, p))
    return last


@kernel
def _integrate(w, address, rows, control, patients, queue, events, edges, time, levels, figures, notes, lanes, outcome):
    memory = w
    stops = Stops(pointer(edges), pointer(time), edges.shape[0], edges.shape[1], time.shape[0])
    patients, events, outcome = bare(patients), bare_events(events), bare(outcome)
    levels, lanes, notes, figures = bare(levels), bare(lanes), bare(notes), bare(figures)
    w = pointer(w)
    for lane in range(WIDTH):
        w[TIGHTNESS * WIDTH + lane] = 0.0 if control.fixed > 0.0 else 1.0 / control.bound
        w[GROWTH * WIDTH + lane] = 1.0 if control.fixed > 0.0 else 6.0
        w[MOST * WIDTH + lane] = float(control.most)
        w[H * WIDTH + lane] = 1.0
    waiting, waits = 0, queue.shape[0]
    running, stopped, due = 0, _EVERYONE, 0
    while True:
        fresh = False
        while True:
            # What lies in the last step of a lane is read off before anything arrives there.
            if stopped != 0 and (stopped & due) == 0:
                for lane in range(WIDTH):
                    while (stopped >> lane) & 1:
                        p = lanes.patient[lane]
                        if p >= 0:
                            last = _last_stop(stops, p)
                            stop(w, rows, lanes, lane, patients, events, stops, last, notes, figures)
                            if w[T * WIDTH + lane] < last:
                                break
                            _finish(w, rows, lanes, lane, patients.n, levels, stops, outcome, np.int64(OK))
                            running &= ~(1 << lane)
                        if waiting == waits:
                            break
                        enter(w, rows, lanes, lane, patients, queue[waiting], events, stops)
                        waiting += 1
                        running |= 1 << lane
                stopped, fresh = 0, True
            call(address[EVALUATE], memory)
            if due != 0:
                call(address[DRAW], memory)
                if stops.number > 0:
                    for lane in range(WIDTH):
                        if (due >> lane) & 1 and lanes.passed[lane] > 0:
                            look(w, rows, notes, figures, lane, lanes.patient[lane])
                    due = 0
            while due != 0:
                call(address[VALUES], memory)
                for lane in range(WIDTH):
                    if (due >> lane) & 1:
                        p, at = lanes.patient[lane], lanes.seen[lane]
                        place = p * levels.outputs * stops.times + at
                        for k in range(levels.outputs):
                            level = w[(rows.out + k) * WIDTH + lane] * levels.scale[k * patients.n + p]
                            levels.found[place + k * stops.times] = level
                        lanes.seen[lane] = at + 1
                        following = stops.time[at + 1]  # there is one: the last time is that of the last stop
                        w[DUE * WIDTH + lane] = following
                        if following >= w[T * WIDTH + lane]:
                            due &= ~(1 << lane)
            if stopped == 0:
                break
        if running == 0:
            break
        if fresh:
            call(address[START], memory)
            if control.fixed > 0.0:
                for lane in range(WIDTH):
                    w[H * WIDTH + lane] = control.fixed
        result = call(address[ATTEMPT], memory)
        stopped, due, stuck = (result >> WIDTH) & _EVERYONE, (result >> 2 * WIDTH) & _EVERYONE, result >> 3 * WIDTH
        if stuck != 0:
            for lane in range(WIDTH):
                if (stuck >> lane) & 1:
                    void(figures, lanes.patient[lane])
                    why = _why(w, rows, lane, patients.states)
                    _finish(w, rows, lanes, lane, patients.n, levels, stops, outcome, why)
                    running &= ~(1 << lane)
            stopped, due = stopped | stuck, due & ~stuck


def integrate(
    machine: Machine,
    control: Control,
    patients: Patients,
    queue: np.ndarray,
    events: Events,
    *,
    levels: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray] | None = None,
    edges: np.ndarray | None = None,
    figures: Figures | None = None,
) -> Outcome:
    """Integrate the patients of a queue (their numbers), for levels or for figures. A patient starts at its first
    event, time or boundary.

    Parameters
    ----------
    levels
        rising times (t,) in h, states (k,), what each is multiplied with (k, n), and (n, k, t) where the levels go.
    edges, figures
        boundaries (m + 1, 1 or n) in h, and what is to be found between them.
    """
    size = patients.n
    time, observed, scale, found = levels or (np.empty(0), np.empty(0, dtype=np.int64), np.empty(0), np.empty(0))
    if figures is None:
        none, whole = np.empty(0), np.empty(0, dtype=np.int64)
        figures = Figures(whole, none, none, none, none, none, whole, 0, 0, size, 0, 0)
    memory = aligned(machine.equations.rows.size * WIDTH)
    memory[:] = 0.0
    none = np.zeros(size, dtype=np.int64)
    outcome = Outcome(none, none.copy(), none.copy(), np.zeros(size))
    terms = machine.method.terms
    numbers = np.zeros(WIDTH, dtype=np.int64)
    lanes = Lanes(
        numbers - 1,
        numbers.copy(),
        numbers.copy(),
        numbers.copy(),
        np.zeros(patients.ports * WIDTH, dtype=np.int64),
        np.zeros(patients.ports * WIDTH),
    )
    level, held = np.zeros(figures.outputs * WIDTH), np.zeros(figures.outputs * figures.limits * WIDTH)
    notes = Notes(
        level,
        level.copy(),
        level.copy(),
        level.copy(),
        level.copy(),
        held,
        held.copy(),
        np.zeros(WIDTH),
        np.zeros(terms),
        terms,
    )
    _integrate(
        memory,
        machine.address,
        machine.equations.rows,
        control,
        patients,
        queue,
        events,
        np.empty((0, 1)) if edges is None else np.ascontiguousarray(edges),
        time,
        Levels(observed, scale.reshape(-1), found.reshape(-1), observed.size),
        figures,
        notes,
        lanes,
        outcome,
    )
    return outcome
