"""Peaks, crossings and areas found inside the steps of an exact solution, not read off samples.

Between two events a level is a sum of exponentials whose fast terms die first, so at a time ``t`` after an event
nothing happens faster than about ``t``. The scan therefore walks in steps that grow with the time since the last stop
(four per octave, at least the base step, all from the patient's chain of squares). A change of sign of the derivative
over a step brackets an extremum; between extrema the level is monotone, so a change of sign against a threshold
brackets one crossing. Brackets are closed by Newton's method on the exact solution, to the last few digits. Eight
patients are scanned at a time, each in steps of its own.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pkmodel.core.chain import apply, bare_chain, bare_structure, begin, chain_for, extend, measure, move_rest
from pkmodel.core.course import bare_course, course_for, lay_out_edges
from pkmodel.core.doses import bare_events, bare_group, group_for, muster, take_alone, take_together
from pkmodel.core.jit import kernel, merged
from pkmodel.core.kinds import AREA, END, N_STATS, PEAK, START, TIME_OF_PEAK, Events
from pkmodel.core.lanes import WIDTH, aligned, bits, choose, load, of_bits, pointer, splat, store
from pkmodel.core.roots import find, slope_of
from pkmodel.core.structure import structure_of


class Notes(NamedTuple):
    """What is noted of the interval that a group is in, in lanes, for ``outputs`` states of ``limits`` thresholds each.

    ``limit``, ``above`` and ``crossed`` (outputs, limits) are thresholds, hours above, and the time of the first
    crossing; ``peak``, ``when``, ``first`` (outputs,) the peak, its time, the level at the start. ``compartment``
    (outputs,) are the states. Per patient: ``interval`` the number of the interval (-1 before the first), ``opened``
    its start (h), ``position``, ``whole`` and ``level`` where the patient stands in a gap.
    """

    limit: np.ndarray
    above: np.ndarray
    crossed: np.ndarray
    peak: np.ndarray
    when: np.ndarray
    first: np.ndarray
    before: np.ndarray
    after: np.ndarray
    slopes: np.ndarray
    slope: np.ndarray
    now: np.ndarray
    opened: np.ndarray
    compartment: np.ndarray
    interval: np.ndarray
    position: np.ndarray
    whole: np.ndarray
    level: np.ndarray
    outputs: int
    limits: int


@merged
def _bare(notes):
    return Notes(
        pointer(notes.limit),
        pointer(notes.above),
        pointer(notes.crossed),
        pointer(notes.peak),
        pointer(notes.when),
        pointer(notes.first),
        pointer(notes.before),
        pointer(notes.after),
        pointer(notes.slopes),
        pointer(notes.slope),
        pointer(notes.now),
        pointer(notes.opened),
        pointer(notes.compartment),
        pointer(notes.interval),
        pointer(notes.position),
        pointer(notes.whole),
        pointer(notes.level),
        notes.outputs,
        notes.limits,
    )


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


@kernel
def _piece(structure, chain, notes, found, k, due, begin_at, low, high, first, last):
    """Hold a monotone piece of a step, ``low`` to ``high`` h from ``begin_at``, against the thresholds of output k."""
    compartment = notes.compartment[k]
    for q in range(notes.limits):
        place = k * notes.limits + q
        limit = load(notes.limit, place)
        was, stays = first > limit, last > limit
        crossed = load(notes.crossed, place)
        crossed = choose(due & was & (crossed == np.inf), begin_at + low, crossed)
        above = load(notes.above, place)
        above = choose(due & was & stays, above + (high - low), above)
        passing = due & ((was & ~stays) | (~was & stays))
        if bits(passing):
            for i in range(structure.size):
                store(notes.after, i, load(chain.state, i))
            guess = low + (high - low) * ((limit - first) / (last - first))
            moment, _ = find(
                structure,
                chain,
                notes.before,
                notes.slopes,
                compartment,
                np.int64(0),
                passing,
                low,
                high,
                guess,
                limit,
                stays,
            )
            for i in range(structure.size):
                store(chain.state, i, load(notes.after, i))
            down, up = passing & was, passing & stays
            above = choose(down, above + (moment - low), choose(up, above + (high - moment), above))
            crossed = choose(up & (crossed == np.inf), begin_at + moment, crossed)
            store(notes.slope, notes.outputs, begin_at + moment)
            for lane in range(found.n):
                if (bits(passing) >> lane) & 1:
                    row = found.patients[lane] * notes.outputs * notes.limits + place
                    count = found.n_crossings[row]
                    if count < found.room:
                        found.crossings[row * found.room + count] = notes.slope[notes.outputs * WIDTH + lane]
                    found.n_crossings[row] = count + 1
        store(notes.crossed, place, crossed)
        store(notes.above, place, above)


@kernel
def _look(structure, chain, notes, found, noting, begin_at, length):
    """Note peaks and crossings over a step from ``notes.before`` to ``chain.state``, in the lanes ``noting``."""
    zero = splat(0.0)
    for k in range(notes.outputs):
        compartment = notes.compartment[k]
        first, last = load(notes.before, compartment), load(chain.state, compartment)
        falls, rises = load(notes.slope, k), slope_of(structure, chain, chain.state, compartment)
        store(notes.slope, k, rises)
        peak, when = load(notes.peak, k), load(notes.when, k)
        turning = noting & (((falls > 0.0) & (rises < 0.0)) | ((falls < 0.0) & (rises > 0.0)))
        split, turn = length, last
        if bits(turning):
            for i in range(structure.size):
                store(notes.after, i, load(chain.state, i))
            guess = length * (falls / (falls - rises))
            moment, extremum = find(
                structure,
                chain,
                notes.before,
                notes.slopes,
                compartment,
                np.int64(1),
                turning,
                zero,
                length,
                guess,
                zero,
                falls < 0.0,
            )
            turn = choose(turning, extremum, last)
            split = choose(turning, moment, length)
            for i in range(structure.size):
                store(chain.state, i, load(notes.after, i))
            higher = turning & (turn > peak)
            peak, when = choose(higher, turn, peak), choose(higher, begin_at + split, when)
        higher = noting & (last > peak)
        store(notes.peak, k, choose(higher, last, peak))
        store(notes.when, k, choose(higher, begin_at + length, when))
        if notes.limits:
            _piece(structure, chain, notes, found, k, noting, begin_at, zero, split, first, turn)
            if bits(turning):
                _piece(structure, chain, notes, found, k, turning, begin_at, split, length, turn, last)


@merged
def _next_level(position, left):
    """The longest step, four to an octave of the time since the last stop, that stays within what is left."""
    level = 0
    while (np.int64(8) << level) <= position:
        level += 1
    while (np.int64(1) << level) > left:
        level -= 1
    return level


@kernel
def _walk(structure, chain, notes, found, now, before):
    """Over a gap without events, from ``before`` to ``now`` (h), in steps that grow with the time since it began."""
    base, zero = load(chain.base, 0), splat(0.0)
    measure(chain, now, before)
    rest = load(chain.portion, 0)
    noting = 0
    for lane in range(WIDTH):
        notes.whole[lane] = chain.whole[lane] >> (chain.deepest[0] - chain.shift[lane])
        notes.position[lane] = 0
        if notes.interval[lane] >= 0:
            noting |= 1 << lane
    for k in range(notes.outputs):
        store(notes.slope, k, slope_of(structure, chain, chain.state, notes.compartment[k]))
    resting = bits(rest > 0.0)
    while True:
        stepping, pausing, same = 0, 0, True
        for lane in range(WIDTH):
            left = notes.whole[lane] - notes.position[lane]
            if left > 0:
                notes.level[lane] = _next_level(notes.position[lane], left) + chain.deepest[0] - chain.shift[lane]
                stepping |= 1 << lane
            else:
                notes.level[lane] = -1
                pausing |= (resting >> lane & 1) << lane
            same = same and notes.level[lane] == notes.level[0]
        if not stepping and not pausing:
            break
        for i in range(structure.size):
            store(notes.before, i, load(chain.state, i))
        for lane in range(WIDTH):
            notes.now[lane] = notes.position[lane]
        start = before + load(notes.now, 0) * base
        if stepping:
            left = stepping
            while left:
                level = np.int64(-1)
                together = 0
                for lane in range(WIDTH):
                    if (left >> lane) & 1:
                        if level < 0:
                            level = notes.level[lane]
                        if notes.level[lane] == level:
                            together |= 1 << lane
                extend(structure, chain, level)
                # From the state before the step: those of other lanes have moved already.
                apply(structure, chain, level)
                chosen = of_bits(together)
                for i in range(structure.size):
                    store(chain.state, i, choose(chosen, load(chain.moved, i), load(chain.state, i)))
                left &= ~together
        if pausing:
            move_rest(structure, chain, choose(of_bits(pausing), rest, zero))
            resting &= ~pausing
        for lane in range(WIDTH):
            step = np.int64(0)
            if (stepping >> lane) & 1:
                step = np.int64(1) << (notes.level[lane] - chain.deepest[0] + chain.shift[lane])
            notes.now[lane] = step
            notes.position[lane] = notes.position[lane] + step
        length = choose(of_bits(pausing), rest * base, load(notes.now, 0) * base)
        _look(structure, chain, notes, found, of_bits(noting & (stepping | pausing)), start, length)


@kernel
def _walk_together(structure, chain, notes, found, now, before):
    """:func:`_walk` for a group whose patients have the same gap and the same base step, and so the same steps."""
    base, begins = load(chain.base, 0), splat(before)
    measure(chain, splat(now), begins)
    rest = load(chain.portion, 0)
    noting = of_bits(-1 if notes.interval[0] >= 0 else 0)
    for k in range(notes.outputs):
        store(notes.slope, k, slope_of(structure, chain, chain.state, notes.compartment[k]))
    whole, position, level = chain.whole[0], np.int64(0), np.int64(0)
    while position < whole:
        if (np.int64(8) << level) <= position:
            level += 1
        while (np.int64(1) << level) > whole - position:
            level -= 1
        extend(structure, chain, level)
        apply(structure, chain, level)
        for i in range(structure.size):
            store(notes.before, i, load(chain.state, i))
            store(chain.state, i, load(chain.moved, i))
        step = np.int64(1) << level
        _look(structure, chain, notes, found, noting, begins + base * float(position), base * float(step))
        position += step
    if bits(rest > 0.0):
        for i in range(structure.size):
            store(notes.before, i, load(chain.state, i))
        move_rest(structure, chain, rest)
        _look(structure, chain, notes, found, noting, begins + base * float(position), base * rest)


@kernel
def _close(structure, chain, notes, found, lane):
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
        found.stats[row * N_STATS + AREA] = chain.state[(structure.states + k) * WIDTH + lane]
        for q in range(notes.limits):
            place = (k * notes.limits + q) * WIDTH + lane
            found.time_above[row * notes.limits + q] = notes.above[place]
            found.first_crossing[row * notes.limits + q] = notes.crossed[place]


@kernel
def _open(structure, chain, notes, lane, interval, time):
    """Begin an interval."""
    notes.interval[lane] = interval
    notes.opened[lane] = time
    for k in range(notes.outputs):
        chain.state[(structure.states + k) * WIDTH + lane] = 0.0
        for q in range(notes.limits):
            notes.above[(k * notes.limits + q) * WIDTH + lane] = 0.0
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


@merged
def _arrived(chain, notes, lane, time):
    """Note the level after an event."""
    if time == notes.opened[lane]:
        _begin_with(chain, notes, lane, time)
        return
    for k in range(notes.outputs):
        level = chain.state[notes.compartment[k] * WIDTH + lane]
        if level > notes.peak[k * WIDTH + lane]:
            notes.peak[k * WIDTH + lane] = level
            notes.when[k * WIDTH + lane] = time


@kernel
def _scan(
    structure,
    chain,
    group,
    course,
    notes,
    queue,
    rates,
    initial,
    events,
    edges,
    thresholds,
    stats,
    time_above,
    first_crossing,
    crossings,
    n_crossings,
):
    n, n_edges, stride = rates.shape[0], edges.shape[0], edges.shape[1]
    intervals, room = n_edges - 1, crossings.shape[3]
    structure, chain, course = bare_structure(structure), bare_chain(chain), bare_course(course)
    group, notes, events = bare_group(group), _bare(notes), bare_events(events)
    rates, initial, edges, thresholds = pointer(rates), pointer(initial), pointer(edges), pointer(thresholds)
    stats, time_above, first_crossing = pointer(stats), pointer(time_above), pointer(first_crossing)
    crossings, n_crossings, queue = pointer(crossings), pointer(n_crossings), pointer(queue)
    shared, nobody = course.rows == 1, np.int64(0)
    if shared:
        lay_out_edges(events, nobody, edges, stride, nobody, n_edges, course, nobody)
    for first in range(0, n, WIDTH):
        found = Found(
            stats,
            time_above,
            first_crossing,
            crossings,
            n_crossings,
            group.patients,
            min(WIDTH, n - first),
            intervals,
            room,
        )
        muster(structure, chain, group, initial, queue, first, n)
        begin(structure, rates, group.patients, 1.0, chain)
        last = 0
        for lane in range(WIDTH):
            patient = group.patients[lane]
            notes.interval[lane] = -1
            notes.opened[lane] = -np.inf
            for place in range(notes.outputs * notes.limits):
                notes.limit[place * WIDTH + lane] = thresholds[place * n + patient]
            if not shared:
                lay_out_edges(events, patient, edges, stride, patient if stride > 1 else nobody, n_edges, course, lane)
            last = max(last, course.stops[0 if shared else lane])
            notes.now[lane] = course.when[0 if shared else lane * course.room]
        now = load(notes.now, 0)
        together = shared
        for lane in range(WIDTH):
            together = together and chain.shift[lane] == chain.deepest[0]
        for stop in range(last):
            before = now
            for lane in range(WIDTH):
                row = 0 if shared else lane
                if stop < course.stops[row]:
                    notes.now[lane] = course.when[row * course.room + stop]
                else:
                    notes.now[lane] = course.when[row * course.room + course.stops[row] - 1]
            now = load(notes.now, 0)
            if together:
                if course.when[stop] > course.when[max(stop - 1, 0)]:
                    _walk_together(structure, chain, notes, found, course.when[stop], course.when[stop - 1])
            elif bits(now > before):
                _walk(structure, chain, notes, found, now, before)
            if shared and course.event[stop] >= 0:
                take_together(structure, chain, events, course.event[stop], group)
                for lane in range(WIDTH):
                    _arrived(chain, notes, lane, course.when[stop])
                continue
            for lane in range(WIDTH):
                row = 0 if shared else lane
                if stop >= course.stops[row]:
                    continue
                place = row * course.room + stop
                if course.event[place] >= 0:
                    take_alone(structure, chain, events, course.event[place], lane, group)
                    _arrived(chain, notes, lane, course.when[place])
                else:
                    _close(structure, chain, notes, found, lane)
                    if course.first[place] < intervals:
                        _open(structure, chain, notes, lane, course.first[place], course.when[place])


def queue_of(rates: np.ndarray) -> np.ndarray:
    """The order in which patients are best grouped: those of like base steps together. A matter of speed only."""
    norm = np.abs(rates).sum(axis=1).max(axis=1)
    return np.argsort(np.frexp(norm)[1], kind="stable")


def scan(
    rates: np.ndarray,
    initial: np.ndarray,
    events: Events,
    boundary: np.ndarray,
    output_compartment: np.ndarray,
    thresholds: np.ndarray,
    stats: np.ndarray,
    time_above: np.ndarray,
    first_crossing: np.ndarray,
    crossings: np.ndarray,
    n_crossings: np.ndarray,
) -> None:
    """Figures of every output over the intervals between boundaries.

    Parameters
    ----------
    rates, initial
        (n, s, s) in 1/h and (n, s); see :func:`pkmodel.core.levels.levels`.
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
        (n, k, q, c) and (n, k, q): times of the continuous crossings over the whole run, both directions, as many as
        there is room for; c may be 0.
    """
    flows = (rates != 0.0).any(axis=0)
    structure = structure_of(flows, output_compartment, events.port_compartment)
    outputs, limits = thresholds.shape[:2]
    size = structure.size
    stops = events.time.shape[0] + boundary.shape[0]
    shared = events.time.shape[1] == 1 and boundary.shape[1] == 1
    notes = Notes(
        limit=aligned(outputs, limits, WIDTH),
        above=aligned(outputs, limits, WIDTH),
        crossed=aligned(outputs, limits, WIDTH),
        peak=aligned(outputs, WIDTH),
        when=aligned(outputs, WIDTH),
        first=aligned(outputs, WIDTH),
        before=aligned(size, WIDTH),
        after=aligned(size, WIDTH),
        slopes=aligned(size, WIDTH),
        slope=aligned(outputs + 1, WIDTH),
        now=aligned(1, WIDTH),
        opened=aligned(1, WIDTH),
        compartment=output_compartment.astype(np.int64),
        interval=np.zeros(WIDTH, dtype=np.int64),
        position=np.zeros(WIDTH, dtype=np.int64),
        whole=np.zeros(WIDTH, dtype=np.int64),
        level=np.zeros(WIDTH, dtype=np.int64),
        outputs=outputs,
        limits=limits,
    )
    n_crossings[:] = 0
    _scan(
        structure,
        chain_for(size, structure.entries),
        group_for(structure.states, structure.ports),
        course_for(1 if shared else WIDTH, stops),
        notes,
        queue_of(rates),
        np.ascontiguousarray(rates),
        np.ascontiguousarray(initial),
        events,
        np.ascontiguousarray(boundary),
        np.ascontiguousarray(thresholds),
        stats,
        time_above,
        first_crossing,
        crossings,
        n_crossings,
    )
