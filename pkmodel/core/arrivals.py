"""A patient enters a lane, and what happens at its stops: boundaries of figures first, then events."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pkmodel.core.doses import event_of, time_of
from pkmodel.core.equations import DUE, END, FIRST, FRESH, REJECTED, RUNNING, STEPS, H, T
from pkmodel.core.inside import arrived, close, open_interval
from pkmodel.core.jit import piece
from pkmodel.core.kinds import JUMP, RATE_ON, RESET
from pkmodel.core.lanes import WIDTH


class Patients(NamedTuple):
    """The systems of ``n`` patients with ``states`` states each.

    ``rates`` (n, s, s) in 1/h, of which the ``entries`` (places in a matrix) are used; ``parameters`` (m, n) of the
    tape; ``initial`` and ``floor`` (n, s) the state before the first dose and the size below which an error is
    absolute; ``port_state`` (q,) where each port pours.
    """

    rates: np.ndarray
    entries: np.ndarray
    parameters: np.ndarray
    initial: np.ndarray
    floor: np.ndarray
    port_state: np.ndarray
    first_dose: np.ndarray
    n: int
    states: int
    n_entries: int
    n_parameters: int
    ports: int


def patients_for(
    rates: np.ndarray,
    entries: list[tuple[int, int]],
    parameters: np.ndarray,
    initial: np.ndarray,
    floor: np.ndarray,
    port_state: np.ndarray,
    first_dose: np.ndarray | None = None,
) -> Patients:
    """The bundle that kernels take; ``entries`` are rows and columns of the rates that are used.

    ``first_dose`` (n,) is the time of the first dose (h) where that is not an event of the run.
    """
    n, states = initial.shape
    places = np.array([i * states + j for i, j in entries], dtype=np.int64)
    return Patients(
        np.ascontiguousarray(rates, dtype=np.float64),
        places,
        np.ascontiguousarray(parameters, dtype=np.float64),
        np.ascontiguousarray(initial, dtype=np.float64),
        np.ascontiguousarray(floor, dtype=np.float64),
        port_state.astype(np.int64),
        np.full(n, np.inf) if first_dose is None else np.ascontiguousarray(first_dose, dtype=np.float64),
        n,
        states,
        places.size,
        parameters.shape[0],
        port_state.size,
    )


class Lanes(NamedTuple):
    """What each lane is about: the patient (-1: nobody), how many events, times and boundaries lie behind it; the rate
    of each port (mg/h) and how many infusions pour into it, (q, lanes).
    """

    patient: np.ndarray
    taken: np.ndarray
    seen: np.ndarray
    passed: np.ndarray
    pouring: np.ndarray
    port: np.ndarray


class Stops(NamedTuple):
    """Where patients stop beside their events: ``number`` boundaries ``edges`` in ``columns`` (1 or n), and the last of
    the times (t,), of which there are ``times``.
    """

    edges: np.ndarray
    time: np.ndarray
    number: int
    columns: int
    times: int


@piece
def edge_of(stops, edge, p):
    """A boundary of a patient, h."""
    return stops.edges[edge * stops.columns + (p if stops.columns > 1 else 0)]


@piece
def enter(w, rows, lanes, lane, patients, p, events, stops):
    """Put patient ``p`` into a lane, at the first thing that happens to it."""
    lanes.patient[lane] = p
    first = p * patients.states * patients.states
    for e in range(patients.n_entries):
        w[(rows.rate + e) * WIDTH + lane] = patients.rates[first + patients.entries[e]]
    for e in range(patients.n_parameters):
        w[(rows.parameter + e) * WIDTH + lane] = patients.parameters[e * patients.n + p]
    for i in range(patients.states):
        w[(rows.floor + i) * WIDTH + lane] = patients.floor[p * patients.states + i]
    _reset(w, rows, lanes, lane, patients)
    lanes.taken[lane] = 0
    lanes.seen[lane] = 0
    lanes.passed[lane] = 0
    now, due = np.inf, np.inf
    if stops.times:
        now, due = stops.time[0], stops.time[0]
    if stops.number:
        now, due = min(now, edge_of(stops, 0, p)), -np.inf  # every step is looked into
    if events.number:
        now = min(now, time_of(events, event_of(events, 0, p), p))
    w[DUE * WIDTH + lane] = due
    w[T * WIDTH + lane] = now
    w[END * WIDTH + lane] = now
    w[FIRST * WIDTH + lane] = patients.first_dose[p]
    w[STEPS * WIDTH + lane] = 0.0
    w[REJECTED * WIDTH + lane] = 0.0
    w[RUNNING * WIDTH + lane] = 1.0
    w[FRESH * WIDTH + lane] = 1.0
    w[H * WIDTH + lane] = 1.0


@piece
def _reset(w, rows, lanes, lane, patients):
    """The state before the first dose, and nothing pouring in."""
    for i in range(patients.states):
        w[(rows.y + i) * WIDTH + lane] = patients.initial[lanes.patient[lane] * patients.states + i]
        w[(rows.inflow + i) * WIDTH + lane] = 0.0
    for q in range(patients.ports):
        lanes.port[q * WIDTH + lane] = 0.0
        lanes.pouring[q * WIDTH + lane] = 0


@piece
def _take(w, rows, lanes, lane, patients, kind, target, value):
    """One event."""
    if kind == RESET:
        _reset(w, rows, lanes, lane, patients)
        return
    if kind == JUMP:
        place = (rows.y + target) * WIDTH + lane
        w[place] = w[place] + value
    else:
        place, change = target * WIDTH + lane, 1 if kind == RATE_ON else -1
        lanes.port[place] = lanes.port[place] + value * change
        lanes.pouring[place] = lanes.pouring[place] + change
        if lanes.pouring[place] <= 0:  # exactly 0, whatever was added and taken
            lanes.port[place] = 0.0
            lanes.pouring[place] = 0
        total, state = 0.0, patients.port_state[target]
        for q in range(patients.ports):
            if patients.port_state[q] == state:
                total += lanes.port[q * WIDTH + lane]
        w[(rows.inflow + state) * WIDTH + lane] = total
    if kind in (JUMP, RATE_ON):
        w[FIRST * WIDTH + lane] = min(w[FIRST * WIDTH + lane], w[T * WIDTH + lane])


@piece
def stop(w, rows, lanes, lane, patients, events, stops, final, notes, figures):
    """Boundaries up to now, then events up to now; sets the next stop. Nothing arrives at the last boundary."""
    p, now = lanes.patient[lane], w[T * WIDTH + lane]
    end = final
    at = lanes.passed[lane]
    while at < stops.number and edge_of(stops, at, p) <= now:
        close(w, rows, notes, figures, lane, p, at - 1)
        at += 1
        if at < stops.number:
            open_interval(w, rows, notes, figures, lane, now)
    lanes.passed[lane] = at
    if at < stops.number:
        end = min(end, edge_of(stops, at, p))
    at = lanes.taken[lane]
    while at < events.number and (now < final or not stops.number):
        event = event_of(events, at, p)
        when = time_of(events, event, p)
        if when > now:
            end = min(end, when)
            break
        at += 1
        value = events.value[event * events.patients + p]
        if value != 0.0:
            _take(w, rows, lanes, lane, patients, events.kind[event], events.target[event], value)
            w[FRESH * WIDTH + lane] = 1.0
            if lanes.passed[lane]:
                arrived(w, rows, notes, figures, lane, now)
    lanes.taken[lane] = at
    w[END * WIDTH + lane] = end
