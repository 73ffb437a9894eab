"""What a scan notes of the interval that each patient of a group is in, and how an interval begins and ends."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pkmodel.core.jit import merged, piece
from pkmodel.core.kinds import AREA, END, LEAST, N_STATS, PEAK, START, TIME_OF_PEAK
from pkmodel.core.lanes import WIDTH


class Notes(NamedTuple):
    """What is noted of the interval that a group is in, in lanes, for ``outputs`` states of ``limits`` thresholds each.

    ``limit``, ``above``, ``passed`` and ``crossed`` (outputs, limits) are thresholds, hours above in steps that neither
    turn nor cross and in those that do, and the time of the first crossing; ``peak``, ``when``, ``least``, ``first``
    (outputs,) the peak, its time, the lowest level (with ``valleys`` those inside of steps are looked for), the level
    at the start; with ``areas`` the state has running integrals. ``compartment`` (outputs,) are the states. ``held``
    and ``pending`` are what is to be found inside of steps yet (:mod:`pkmodel.core.pending`). Per patient: ``interval``
    the number of the interval (-1 before the first), ``opened`` its start (h), ``position``, ``whole`` and ``level``
    where the patient stands in a gap.
    """

    limit: np.ndarray
    above: np.ndarray
    passed: np.ndarray
    crossed: np.ndarray
    peak: np.ndarray
    when: np.ndarray
    least: np.ndarray
    first: np.ndarray
    before: np.ndarray
    after: np.ndarray
    series: np.ndarray
    held: np.ndarray
    spare: np.ndarray
    slope: np.ndarray
    now: np.ndarray
    opened: np.ndarray
    compartment: np.ndarray
    interval: np.ndarray
    position: np.ndarray
    whole: np.ndarray
    level: np.ndarray
    pending: np.ndarray
    outputs: int
    limits: int
    valleys: int
    areas: int


class Found(NamedTuple):
    """The arrays of :func:`scan` as pointers, for ``intervals`` and ``room`` crossings; ``n`` of the group are real."""

    stats: np.ndarray
    time_above: np.ndarray
    first_crossing: np.ndarray
    crossings: np.ndarray
    n_crossings: np.ndarray
    patients: np.ndarray
    n: int
    intervals: int
    room: int


@piece
def close(structure, chain, notes, found, lane):
    """Write down the interval that a patient leaves."""
    interval, patient = notes.interval[lane], found.patients[lane]
    if interval < 0 or lane >= found.n:
        return
    for k in range(notes.outputs):
        row = (patient * found.intervals + interval) * notes.outputs + k
        found.stats[row * N_STATS + START] = notes.first[k * WIDTH + lane]
        found.stats[row * N_STATS + END] = chain.state[notes.compartment[k] * WIDTH + lane]
        found.stats[row * N_STATS + PEAK] = notes.peak[k * WIDTH + lane]
        found.stats[row * N_STATS + TIME_OF_PEAK] = notes.when[k * WIDTH + lane]
        found.stats[row * N_STATS + LEAST] = notes.least[k * WIDTH + lane]
        area = 0.0
        if notes.areas:
            area = chain.state[(structure.states + k) * WIDTH + lane]
        found.stats[row * N_STATS + AREA] = area
        for q in range(notes.limits):
            place = (k * notes.limits + q) * WIDTH + lane
            found.time_above[row * notes.limits + q] = notes.above[place] + notes.passed[place]
            found.first_crossing[row * notes.limits + q] = notes.crossed[place]


@piece
def open_next(structure, chain, notes, lane, interval, time):
    """Begin an interval."""
    notes.interval[lane] = interval
    notes.opened[lane] = time
    for k in range(notes.outputs):
        if notes.areas:
            chain.state[(structure.states + k) * WIDTH + lane] = 0.0
        for q in range(notes.limits):
            notes.above[(k * notes.limits + q) * WIDTH + lane] = 0.0
            notes.passed[(k * notes.limits + q) * WIDTH + lane] = 0.0
            notes.crossed[(k * notes.limits + q) * WIDTH + lane] = np.inf
    _begin_with(chain, notes, lane, time)


@merged
def _begin_with(chain, notes, lane, time):
    """An interval begins with the level after what arrives at its first instant."""
    for k in range(notes.outputs):
        level = chain.state[notes.compartment[k] * WIDTH + lane]
        notes.first[k * WIDTH + lane] = level
        notes.peak[k * WIDTH + lane] = level
        notes.when[k * WIDTH + lane] = time
        notes.least[k * WIDTH + lane] = level


@merged
def arrived(chain, notes, lane, time):
    """Note the level after an event."""
    if time == notes.opened[lane]:
        _begin_with(chain, notes, lane, time)
        return
    for k in range(notes.outputs):
        level = chain.state[notes.compartment[k] * WIDTH + lane]
        if level > notes.peak[k * WIDTH + lane]:
            notes.peak[k * WIDTH + lane] = level
            notes.when[k * WIDTH + lane] = time
        notes.least[k * WIDTH + lane] = min(level, notes.least[k * WIDTH + lane])
