"""Peaks, crossings and areas found inside the steps of an exact solution, not read off samples.

Between two events a level is a sum of exponentials whose fast terms die first, so at a time ``t`` after an
event nothing happens faster than about ``t``. The scan therefore walks in steps that grow with the time
since the last stop (four per octave, at least the base step, all from the patient's chain of squares).
A change of sign of the derivative over a step brackets an extremum; between extrema the level is monotone,
so a change of sign against a threshold brackets one crossing. Brackets are halved down to the base step by
the chain, and finished by Newton's method on the Taylor polynomial of the level, to the last few digits.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pkmodel.core.events import pass_time, prepare, take_event, workspace
from pkmodel.core.jit import inlined, kernel
from pkmodel.core.propagator import DEGREE, apply, apply_small

#: Figures of one output over one interval, the last axis of ``stats``.
START, END, PEAK, TIME_OF_PEAK, AREA = 0, 1, 2, 3, 4
N_STATS = 5


class Step(NamedTuple):
    """One step of a scan: it begins at ``begin`` (h) in the state ``work.start`` and is ``length`` h long.

    ``level`` is its place in the chain of squares, or -1 for a rest below the base step.
    """

    patient: int
    interval: int
    begin: float
    level: int
    length: float


class Notes(NamedTuple):
    """Where figures are noted, and the thresholds (k, q) of the patient; see :func:`scan` for the rest."""

    limits: np.ndarray
    stats: np.ndarray
    time_above: np.ndarray
    first_crossing: np.ndarray
    crossings: np.ndarray
    n_crossings: np.ndarray


@inlined
def _value(state, compartment, matrix, of_slope, size):
    """The amount in a compartment, or its derivative (its row of the matrix times the state)."""
    if not of_slope:
        return state[compartment]
    total = 0.0
    for j in range(size):
        total += matrix[compartment, j] * state[j]
    return total


@kernel
def _polynomial_root(compartment, of_slope, length, low, high, target, rising, system, work):
    """The root of level (or slope) = target between ``low`` and ``high`` h after ``work.probe``.

    The curve is its Taylor polynomial in units of ``length``, at most the base step; Newton's steps are kept inside
    the bracket.
    """
    size, term, taylor = system.size, work.term, work.taylor
    for i in range(size):
        term[i] = work.probe[i]
    for order in range(DEGREE + 1):
        taylor[order] = _value(term, compartment, work.matrix, of_slope, size)
        scale = length / (order + 1)
        for i in range(size):
            total = 0.0
            for j in range(size):
                total += work.matrix[i, j] * term[j]
            work.temporary[i] = total * scale
        for i in range(size):
            term[i] = work.temporary[i]
    low, high = low / length, high / length
    x = 0.5 * (low + high)
    for _ in range(100):
        value, slope = taylor[DEGREE], 0.0
        for order in range(DEGREE - 1, -1, -1):
            slope = slope * x + value
            value = value * x + taylor[order]
        value -= target
        if value == 0.0:
            break
        if (value > 0.0) == rising:
            high = x
        else:
            low = x
        following = x - value / slope if slope != 0.0 else -1.0
        if not low < following < high:
            following = 0.5 * (low + high)
        done = abs(following - x) <= 1e-16 or high - low <= 1e-16
        x = following
        if done:
            break
    return x * length


@kernel
def _root(step, compartment, of_slope, low, high, target, rising, system, work):
    """Hours from the start of a step to the root between ``low`` and ``high``; ``work.probe`` is the state there."""
    size = system.size
    for i in range(size):
        work.probe[i] = work.start[i]
    passed = 0.0
    level = step.level
    while level > 0:
        level -= 1
        middle = passed + system.step * 2.0**level
        if middle >= high:
            continue
        for i in range(size):
            work.term[i] = work.probe[i]
        apply(work.chain[level], size, work.term, work.temporary)
        before = middle <= low or (_value(work.term, compartment, work.matrix, of_slope, size) > target) != rising
        if before:
            for i in range(size):
                work.probe[i] = work.term[i]
            passed = middle
    length = system.step if step.level >= 0 else step.length
    low, high = max(low - passed, 0.0), min(high - passed, length)
    rest = _polynomial_root(compartment, of_slope, length, low, high, target, rising, system, work)
    apply_small(work.matrix, size, rest, work.probe, work.term, work.temporary)
    return passed + rest


@inlined
def _scan_piece(step, low, high, first, last, output, compartment, notes, system, work):
    """Hold a monotone piece of a step (``low`` to ``high`` h, from ``first`` to ``last``) against thresholds."""
    patient, interval = step.patient, step.interval
    for q in range(notes.limits.shape[1]):
        limit = notes.limits[output, q]
        was, stays = first > limit, last > limit
        if was and notes.first_crossing[patient, interval, output, q] == np.inf:
            notes.first_crossing[patient, interval, output, q] = step.begin + low
        if was and stays:
            notes.time_above[patient, interval, output, q] += high - low
        elif was != stays:
            moment = _root(step, compartment, False, low, high, limit, stays, system, work)
            if was:
                notes.time_above[patient, interval, output, q] += moment - low
            else:
                notes.time_above[patient, interval, output, q] += high - moment
                if notes.first_crossing[patient, interval, output, q] == np.inf:
                    notes.first_crossing[patient, interval, output, q] = step.begin + moment
            count = notes.n_crossings[patient, output, q]
            if count < notes.crossings.shape[3]:
                notes.crossings[patient, output, q, count] = step.begin + moment
            notes.n_crossings[patient, output, q] = count + 1


@inlined
def _note_peak(notes, patient, interval, output, level, time):
    if level > notes.stats[patient, interval, output, PEAK]:
        notes.stats[patient, interval, output, PEAK] = level
        notes.stats[patient, interval, output, TIME_OF_PEAK] = time


@inlined
def _scan_step(step, output, compartment, notes, system, work):
    """Note the peak and the crossings of one output over a step from ``work.start`` to ``work.state``."""
    first, last = work.start[compartment], work.state[compartment]
    slope_first = _value(work.start, compartment, work.matrix, True, system.size)
    slope_last = _value(work.state, compartment, work.matrix, True, system.size)
    split, turn = 0.0, first
    if (slope_first > 0.0 and slope_last < 0.0) or (slope_first < 0.0 and slope_last > 0.0):
        split = _root(step, compartment, True, 0.0, step.length, 0.0, slope_first < 0.0, system, work)
        turn = work.probe[compartment]
        _note_peak(notes, step.patient, step.interval, output, turn, step.begin + split)
    _note_peak(notes, step.patient, step.interval, output, last, step.begin + step.length)
    if split > 0.0:
        _scan_piece(step, 0.0, split, first, turn, output, compartment, notes, system, work)
    if split < step.length:
        _scan_piece(step, split, step.length, turn, last, output, compartment, notes, system, work)


@inlined
def _step_level(position, left, levels):
    """The longest step, four to an octave of the time since the last stop, that stays within what is left."""
    level = 0
    while level + 1 < levels and (np.int64(8) << level) <= position:
        level += 1
    while (np.int64(1) << level) > left:
        level -= 1
    return level


@kernel
def scan(
    rates,
    events,
    boundary,
    output_compartment,
    thresholds,
    stats,
    time_above,
    first_crossing,
    crossings,
    n_crossings,
):
    """Figures of every output over the intervals between boundaries; see ``core.linear`` for rates and events.

    Parameters
    ----------
    boundary
        (m + 1, 1 or n) rising times in h. What arrives at a boundary belongs to the interval after it.
    output_compartment
        (k,) the compartment whose amount is followed.
    thresholds
        (k, q, n) amounts in mg; a level counts as above when it is greater.
    stats
        (n, m, k, N_STATS) filled with amounts (mg), times (h) and areas (mg h).
    time_above, first_crossing
        (n, m, k, q) h; ``first_crossing`` is a time, infinite where the threshold is never exceeded.
    crossings, n_crossings
        (n, k, q, c) and (n, k, q): times of the continuous crossings over the whole run, both directions,
        as many as there is room for; c may be 0.
    """
    n = rates.shape[1]
    n_outputs, n_ports = output_compartment.shape[0], events.port_compartment.shape[0]
    n_events, n_intervals = events.time.shape[0], boundary.shape[0] - 1
    work = workspace(n + n_outputs + n_ports, n_ports, 0)
    limits = np.empty((n_outputs, thresholds.shape[1]))
    notes = Notes(limits, stats, time_above, first_crossing, crossings, n_crossings)
    time_above[:] = 0.0
    first_crossing[:] = np.inf
    n_crossings[:] = 0
    for patient in range(rates.shape[0]):
        column = patient if events.time.shape[1] > 1 else 0
        edges = boundary[:, patient if boundary.shape[1] > 1 else 0]
        system, now = prepare(rates[patient], events, column, edges, output_compartment, work)
        for k in range(n_outputs):
            for q in range(thresholds.shape[1]):
                limits[k, q] = thresholds[k, q, patient]
        taken = 0
        for edge in range(n_intervals + 1):
            until = edges[edge]
            interval = edge - 1
            while True:
                event = events.order[taken, column] if taken < n_events else -1
                due = event >= 0 and events.time[event, column] < until
                target = events.time[event, column] if due else until
                if target > now and interval < 0:
                    pass_time(system, work, target - now)
                elif target > now:
                    # Over a gap without events, in steps that grow with the time since it began.
                    whole = np.int64(np.floor((target - now) / system.step))
                    rest = (target - now) - whole * system.step
                    position = np.int64(0)
                    while position < whole or rest > 0.0:
                        for i in range(system.size):
                            work.start[i] = work.state[i]
                        begin = now + system.step * position
                        if position < whole:
                            level = _step_level(position, whole - position, system.levels)
                            step = Step(patient, interval, begin, level, system.step * 2.0**level)
                            apply(work.chain[level], system.size, work.state, work.temporary)
                            position += np.int64(1) << level
                        else:
                            step = Step(patient, interval, begin, -1, rest)
                            apply_small(work.matrix, system.size, rest, work.state, work.term, work.temporary)
                            rest = 0.0
                        for k in range(n_outputs):
                            _scan_step(step, k, output_compartment[k], notes, system, work)
                now = max(now, target)
                if not due:
                    break
                take_event(events, event, patient, system, work)
                taken += 1
                if interval >= 0:
                    for k in range(n_outputs):
                        _note_peak(notes, patient, interval, k, work.state[output_compartment[k]], now)
            if interval >= 0:
                for k in range(n_outputs):
                    stats[patient, interval, k, END] = work.state[output_compartment[k]]
                    stats[patient, interval, k, AREA] = work.state[n + k]
            if edge == n_intervals:
                break
            # Of boundaries at one instant, the last one takes the arrivals: a trough is the level before them.
            if edges[edge + 1] > until:
                while taken < n_events and events.time[events.order[taken, column], column] <= until:
                    take_event(events, events.order[taken, column], patient, system, work)
                    taken += 1
            for k in range(n_outputs):
                work.state[n + k] = 0.0
                level_now = work.state[output_compartment[k]]
                stats[patient, edge, k, START] = level_now
                stats[patient, edge, k, PEAK] = level_now
                stats[patient, edge, k, TIME_OF_PEAK] = until
