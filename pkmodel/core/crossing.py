"""Peaks, crossings and areas found inside the steps of an exact solution, not read off samples.

Between two events a level is a sum of exponentials whose fast terms die first, so at a time ``t`` after an
event nothing happens faster than about ``t``. The scan therefore walks in steps that grow with the time
since the last stop (four per octave, at least the base step, all from the patient's chain of squares).
A change of sign of the derivative over a step brackets an extremum; between extrema the level is monotone,
so a change of sign against a threshold brackets one crossing. Brackets are halved down to the base step by
the chain, and finished by Newton's method on the Taylor polynomial of the level, to the last few digits.
"""

from __future__ import annotations

import numpy as np

from pkmodel.core.events import longest_gap, system_matrix, take_event
from pkmodel.core.jit import kernel
from pkmodel.core.propagator import (
    DEGREE,
    MAX_LEVELS,
    advance,
    apply,
    apply_small,
    base_step,
    build_chain,
    levels_for,
)

#: Figures of one output over one interval, the last axis of ``stats``.
START, END, PEAK, TIME_OF_PEAK, AREA = 0, 1, 2, 3, 4
N_STATS = 5


@kernel
def _value(state, compartment, slope_row, of_slope, size):
    """The amount in a compartment, or its derivative (``slope_row`` of the matrix times the state)."""
    if not of_slope:
        return state[compartment]
    total = 0.0
    for j in range(size):
        total += slope_row[j] * state[j]
    return total


@kernel
def _polynomial_root(matrix, size, state, compartment, of_slope, length, low, high, target, rising, term, work, taylor):
    """The root of level (or slope) = target between ``low`` and ``high`` h after ``state``; length <= base step.

    The curve is its Taylor polynomial in units of ``length``; Newton's steps are kept inside the bracket.
    """
    row = matrix[compartment]
    for i in range(size):
        term[i] = state[i]
    for order in range(DEGREE + 1):
        taylor[order] = _value(term, compartment, row, of_slope, size)
        scale = length / (order + 1)
        for i in range(size):
            total = 0.0
            for j in range(size):
                total += matrix[i, j] * term[j]
            work[i] = total * scale
        for i in range(size):
            term[i] = work[i]
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
def _root(
    matrix,
    size,
    chain,
    step,
    level,
    length,
    state,
    compartment,
    of_slope,
    low,
    high,
    target,
    rising,
    probe,
    term,
    work,
    taylor,
):
    """Hours from ``state`` to the root between ``low`` and ``high`` of a step; ``probe`` ends up as the state there.

    The step is ``step 2**level`` long, or ``length`` where it is below the base step (``level`` -1).
    """
    row = matrix[compartment]
    for i in range(size):
        probe[i] = state[i]
    passed = 0.0
    while level > 0:
        level -= 1
        middle = passed + step * 2.0**level
        if middle >= high:
            continue
        for i in range(size):
            term[i] = probe[i]
        apply(chain[level], size, term, work)
        if middle <= low or (_value(term, compartment, row, of_slope, size) > target) != rising:
            for i in range(size):
                probe[i] = term[i]
            passed = middle
    if level == 0:
        length = step
    rest = _polynomial_root(
        matrix,
        size,
        probe,
        compartment,
        of_slope,
        length,
        max(low - passed, 0.0),
        min(high - passed, length),
        target,
        rising,
        term,
        work,
        taylor,
    )
    apply_small(matrix, size, rest, probe, term, work)
    return passed + rest


@kernel
def _scan_piece(
    begin,
    low,
    high,
    first,
    last,
    matrix,
    size,
    chain,
    step,
    level,
    length,
    state,
    compartment,
    thresholds,
    time_above,
    first_crossing,
    crossings,
    n_crossings,
    probe,
    term,
    work,
    taylor,
):
    """Hold a monotone piece (``low`` to ``high`` h after ``begin``, from ``first`` to ``last``) against thresholds."""
    for q in range(thresholds.shape[0]):
        limit = thresholds[q]
        was, stays = first > limit, last > limit
        if was and first_crossing[q] == np.inf:
            first_crossing[q] = begin + low
        if was and stays:
            time_above[q] += high - low
        elif was != stays:
            moment = _root(
                matrix,
                size,
                chain,
                step,
                level,
                length,
                state,
                compartment,
                False,
                low,
                high,
                limit,
                stays,
                probe,
                term,
                work,
                taylor,
            )
            if was:
                time_above[q] += moment - low
            else:
                time_above[q] += high - moment
                if first_crossing[q] == np.inf:
                    first_crossing[q] = begin + moment
            if n_crossings[q] < crossings.shape[1]:
                crossings[q, n_crossings[q]] = begin + moment
            n_crossings[q] += 1


@kernel
def _scan_gap(
    begin,
    gap,
    matrix,
    size,
    chain,
    levels,
    step,
    state,
    output_compartment,
    thresholds,
    stats,
    time_above,
    first_crossing,
    crossings,
    n_crossings,
    start,
    probe,
    term,
    work,
    taylor,
):
    """Move ``state`` over a gap without events, noting peaks and crossings of every output on the way."""
    whole = np.int64(np.floor(gap / step))
    rest = gap - whole * step
    position = np.int64(0)
    while position < whole or rest > 0.0:
        level = -1
        length = rest
        if position < whole:
            level = 0
            while level + 1 < levels and (np.int64(8) << level) <= position:
                level += 1
            while (np.int64(1) << level) > whole - position:
                level -= 1
            length = step * 2.0**level
        since = step * position
        for i in range(size):
            start[i] = state[i]
        if level >= 0:
            apply(chain[level], size, state, work)
            position += np.int64(1) << level
        else:
            apply_small(matrix, size, rest, state, term, work)
            rest = 0.0
        at = begin + since
        for k in range(output_compartment.shape[0]):
            compartment = output_compartment[k]
            row = matrix[compartment]
            first, last = start[compartment], state[compartment]
            slope_first = _value(start, compartment, row, True, size)
            slope_last = _value(state, compartment, row, True, size)
            split = 0.0
            if (slope_first > 0.0 and slope_last < 0.0) or (slope_first < 0.0 and slope_last > 0.0):
                rising = slope_first < 0.0
                split = _root(
                    matrix,
                    size,
                    chain,
                    step,
                    level,
                    length,
                    start,
                    compartment,
                    True,
                    0.0,
                    length,
                    0.0,
                    rising,
                    probe,
                    term,
                    work,
                    taylor,
                )
                turn = probe[compartment]
                if turn > stats[k, PEAK]:
                    stats[k, PEAK], stats[k, TIME_OF_PEAK] = turn, at + split
            else:
                turn = first
            if last > stats[k, PEAK]:
                stats[k, PEAK], stats[k, TIME_OF_PEAK] = last, at + length
            for piece in range(2):
                low = 0.0 if piece == 0 else split
                high = split if piece == 0 else length
                if high > low:
                    _scan_piece(
                        at,
                        low,
                        high,
                        first if piece == 0 else turn,
                        turn if piece == 0 else last,
                        matrix,
                        size,
                        chain,
                        step,
                        level,
                        length,
                        start,
                        compartment,
                        thresholds[k],
                        time_above[k],
                        first_crossing[k],
                        crossings[k],
                        n_crossings[k],
                        probe,
                        term,
                        work,
                        taylor,
                    )


@kernel
def scan(
    rates,
    event_time,
    event_order,
    event_kind,
    event_target,
    event_value,
    port_compartment,
    boundary,
    output_compartment,
    thresholds,
    stats,
    time_above,
    first_crossing,
    crossings,
    n_crossings,
):
    """Figures of every output over the intervals between boundaries; see ``core.linear`` for the other arrays.

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
    n_patients, n = rates.shape[0], rates.shape[1]
    n_outputs, n_ports = output_compartment.shape[0], port_compartment.shape[0]
    n_events, n_intervals = event_time.shape[0], boundary.shape[0] - 1
    size = n + n_outputs + n_ports
    matrix = np.empty((size, size))
    chain, less_one = np.empty((MAX_LEVELS, size, size)), np.empty((MAX_LEVELS, size))
    scratch = np.empty((2, size, size))
    state, start, probe = np.empty(size), np.empty(size), np.empty(size)
    term, work, taylor = np.empty(size), np.empty(size), np.empty(DEGREE + 1)
    active = np.zeros(n_ports, dtype=np.int64)
    limits = np.empty((n_outputs, thresholds.shape[1]))
    for patient in range(n_patients):
        column = patient if event_time.shape[1] > 1 else 0
        side = patient if boundary.shape[1] > 1 else 0
        system_matrix(rates[patient], n, output_compartment, n_outputs, port_compartment, n_ports, matrix)
        step = base_step(matrix, n)
        gap = longest_gap(event_time[:, column], n_events, boundary[:, side], n_intervals + 1)
        levels = levels_for(gap, step)
        build_chain(matrix, size, step, levels, chain, less_one, scratch[0], scratch[1])
        for i in range(size):
            state[i] = 0.0
        for k in range(n_ports):
            active[k] = 0
        for k in range(n_outputs):
            for q in range(thresholds.shape[1]):
                limits[k, q] = thresholds[k, q, patient]
                n_crossings[patient, k, q] = 0
        now = boundary[0, side]
        if n_events:
            now = min(now, event_time[event_order[0, column], column])
        taken = 0
        for edge in range(n_intervals + 1):
            until = boundary[edge, side]
            interval = edge - 1
            while True:
                event = event_order[taken, column] if taken < n_events else -1
                due = event >= 0 and event_time[event, column] < until
                target = event_time[event, column] if due else until
                if target > now:
                    if interval < 0:
                        advance(matrix, size, chain, levels, step, target - now, state, term, work)
                    else:
                        _scan_gap(
                            now,
                            target - now,
                            matrix,
                            size,
                            chain,
                            levels,
                            step,
                            state,
                            output_compartment,
                            limits,
                            stats[patient, interval],
                            time_above[patient, interval],
                            first_crossing[patient, interval],
                            crossings[patient],
                            n_crossings[patient],
                            start,
                            probe,
                            term,
                            work,
                            taylor,
                        )
                    now = target
                if not due:
                    break
                take_event(
                    event_kind[event], event_target[event], event_value[event, patient], state, n + n_outputs, active
                )
                taken += 1
                if interval >= 0:
                    for k in range(n_outputs):
                        level = state[output_compartment[k]]
                        if level > stats[patient, interval, k, PEAK]:
                            stats[patient, interval, k, PEAK] = level
                            stats[patient, interval, k, TIME_OF_PEAK] = now
            if interval >= 0:
                for k in range(n_outputs):
                    stats[patient, interval, k, END] = state[output_compartment[k]]
                    stats[patient, interval, k, AREA] = state[n + k]
            if edge == n_intervals:
                break
            # Of boundaries at one instant, the last one takes the arrivals: a trough is the level before them.
            if boundary[edge + 1, side] > until:
                while taken < n_events and event_time[event_order[taken, column], column] <= until:
                    event = event_order[taken, column]
                    take_event(
                        event_kind[event],
                        event_target[event],
                        event_value[event, patient],
                        state,
                        n + n_outputs,
                        active,
                    )
                    taken += 1
            for k in range(n_outputs):
                state[n + k] = 0.0
                level = state[output_compartment[k]]
                stats[patient, edge, k, START] = level
                stats[patient, edge, k, PEAK] = level
                stats[patient, edge, k, TIME_OF_PEAK] = until
                for q in range(thresholds.shape[1]):
                    time_above[patient, edge, k, q] = 0.0
                    first_crossing[patient, edge, k, q] = np.inf
