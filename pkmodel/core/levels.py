"""Exact levels of a linear model at given times, eight patients in lock-step.

The states of a group move from stop to stop (:mod:`pkmodel.core.chain`). Between stops nothing is stepped: on a regular
grid with propagator P the level k steps after a stop is ``c' P**k x``, with the state x at the stop. The rows
``c' P**k`` are made once per patient and serve every run of the course, so a point costs one multiplication per state
that the output can see.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pkmodel.core import sketch
from pkmodel.core.chain import begin, chain_for, extend, measure, move
from pkmodel.core.course import LONGEST_RUN, course_for, lay_out
from pkmodel.core.doses import bare_events, gather, group_for, muster, take_alone, take_together
from pkmodel.core.jit import kernel, piece
from pkmodel.core.kinds import Events
from pkmodel.core.lanes import (
    WIDTH,
    aligned_together,
    bare,
    bits,
    fma,
    hand_over,
    load,
    load_at,
    pointer,
    splat,
    store,
    store_at,
    transposed,
)
from pkmodel.core.structure import Structure

#: Distance between the rows of a table; not a power of two, so that rows do not share cache sets.
_STRIDE = LONGEST_RUN + 8


class Room(NamedTuple):
    """Memory for one group of eight patients beside its chain and its courses.

    In lanes: ``now`` the time, ``seen`` (stops, size) the state at each stop, ``rows`` (length, width). Per patient:
    ``table`` (8, width, _STRIDE), the rows with time innermost; ``single`` (k, t) levels.
    """

    now: np.ndarray
    seen: np.ndarray
    rows: np.ndarray
    table: np.ndarray
    inputs: np.ndarray
    column: np.ndarray
    single: np.ndarray
    width: int


@piece
def _follow(structure, chain, events, group, room, course):
    """Take a group through its courses; the state at each stop that reports goes to ``room.seen``."""
    last = 0
    for row in range(course.rows):
        last = max(last, course.stops[row])
    for lane in range(WIDTH):
        room.now[lane] = course.when[0 if course.rows == 1 else lane * course.room]
    for stop in range(last):
        before = load(room.now, 0)
        if course.rows == 1:
            now = splat(course.when[stop])
            store(room.now, 0, now)
        else:
            for lane in range(WIDTH):
                if stop < course.stops[lane]:
                    room.now[lane] = course.when[lane * course.room + stop]
            now = load(room.now, 0)
        if bits(now > before):
            measure(chain, now, before)
            move(structure, chain)
        if course.rows == 1:
            if course.event[stop] >= 0:
                take_together(structure, chain, events, course.event[stop], group)
                continue
        else:
            for lane in range(WIDTH):
                if stop < course.stops[lane] and course.event[lane * course.room + stop] >= 0:
                    take_alone(structure, chain, events, course.event[lane * course.room + stop], lane, group)
        for i in range(structure.size):
            store(room.seen, stop * structure.size + i, load(chain.state, i))


@piece
def _rows(structure, chain, observed, n_observed, scale, group, room, events, length):
    """``scale c' P**k`` for ``k < length`` into ``room.rows``; only entries that can differ from 0.

    The rows up to m times P**m are the next m, and P**m is a link of the chain.
    """
    place = 0
    for k in range(n_observed):
        state = observed[k]
        for entry in range(structure.row_start[state], structure.row_start[state + 1]):
            value = splat(0.0)
            if structure.column[entry] == state:
                value = gather(scale, k, events.patients, group)
            store(room.rows, place, value)
            place += 1
    width, made, level = room.width, 1, chain.deepest[0]
    while made < length:
        extend(structure, chain, level)
        power = level * structure.entries
        further = min(made, length - made)
        place = 0
        for k in range(n_observed):
            state = observed[k]
            first, last = structure.row_start[state], structure.row_start[state + 1]
            for entry in range(first, last):
                begins, ends = structure.product_start[entry], structure.product_start[entry + 1]
                step = 0
                while step < further:
                    old, new = step * width + place - first, (made + step) * width + place - first + entry
                    if made - step >= 4:  # up to three rows more than asked for: there is room
                        a, b, c, d = splat(0.0), splat(0.0), splat(0.0), splat(0.0)
                        for pair in range(begins, ends):
                            factor = load(chain.square, power + structure.product_right[pair])
                            at = old + structure.product_left[pair]
                            a = fma(load(room.rows, at), factor, a)
                            b = fma(load(room.rows, at + width), factor, b)
                            c = fma(load(room.rows, at + 2 * width), factor, c)
                            d = fma(load(room.rows, at + 3 * width), factor, d)
                        store(room.rows, new, a)
                        store(room.rows, new + width, b)
                        store(room.rows, new + 2 * width, c)
                        store(room.rows, new + 3 * width, d)
                        step += 4
                    else:
                        a = splat(0.0)
                        for pair in range(begins, ends):
                            factor = load(chain.square, power + structure.product_right[pair])
                            a = fma(load(room.rows, old + structure.product_left[pair]), factor, a)
                        store(room.rows, new, a)
                        step += 1
            place += last - first
        made += further
        level += 1


@piece
def _compose(structure, observed, n_observed, course, row, lane, room, n_times):
    """Levels (k, n_times) of one patient of a group into ``room.single``, in whole groups of eight times.

    What is written beyond the end of a run is overwritten by the next one.
    """
    place = 0
    for k in range(n_observed):
        state = observed[k]
        first, last = structure.row_start[state], structure.row_start[state + 1]
        own = lane * room.width + place - first
        for stop in range(row * course.room, row * course.room + course.stops[row]):
            count = course.points[stop]
            if count == 0:
                continue
            seen = (stop - row * course.room) * structure.size
            target = k * n_times + course.first[stop]
            if count == 1:
                entry = structure.diagonal[state]
                room.single[target] = room.table[(own + entry) * _STRIDE] * room.seen[(seen + state) * WIDTH + lane]
                continue
            used = 0
            for entry in range(first, last):
                value = room.seen[(seen + structure.column[entry]) * WIDTH + lane]
                if value != 0.0:
                    room.inputs[used] = value
                    room.column[used] = (own + entry) * _STRIDE
                    used += 1
            step = 0
            while count - step > 3 * WIDTH:
                a, b, c, d = splat(0.0), splat(0.0), splat(0.0), splat(0.0)
                for term in range(used):
                    x, at = splat(room.inputs[term]), room.column[term] + step
                    a = fma(x, load_at(room.table, at), a)
                    b = fma(x, load_at(room.table, at + WIDTH), b)
                    c = fma(x, load_at(room.table, at + 2 * WIDTH), c)
                    d = fma(x, load_at(room.table, at + 3 * WIDTH), d)
                store_at(room.single, target + step, a)
                store_at(room.single, target + step + WIDTH, b)
                store_at(room.single, target + step + 2 * WIDTH, c)
                store_at(room.single, target + step + 3 * WIDTH, d)
                step += 4 * WIDTH
            while step < count:
                a = splat(0.0)
                for term in range(used):
                    a = fma(splat(room.inputs[term]), load_at(room.table, room.column[term] + step), a)
                store_at(room.single, target + step, a)
                step += WIDTH
        place += last - first


@kernel
def _levels(
    structure,
    chain,
    group,
    course,
    room,
    queue,
    rates,
    initial,
    events,
    time,
    on_grid,
    unit,
    observed,
    scale,
    out,
    counts,
):
    """Levels of a block of patients, stored in ``out`` or, where that is empty, counted into ``counts``."""
    n, n_times, n_observed, storing = rates.shape[0], time.shape[0], observed.shape[0], out.size > 0
    stride, nobody = time.shape[1], np.int64(0)
    structure, chain, course = bare(structure), bare(chain), bare(course)
    room, group, events = bare(room), bare(group), bare_events(events)
    rates, initial, time, on_grid = pointer(rates), pointer(initial), pointer(time), pointer(on_grid)
    observed, scale, out, queue = pointer(observed), pointer(scale), pointer(out), pointer(queue)
    shared = course.rows == 1
    if shared:
        lay_out(events, nobody, time, stride, nobody, on_grid, n_times, course, nobody)
    for first in range(0, n, WIDTH):
        muster(structure, chain, group, initial, queue, first, n)
        if not shared:
            for lane in range(WIDTH):
                patient = group.patients[lane]
                own = patient if stride > 1 else nobody
                lay_out(events, patient, time, stride, own, on_grid, n_times, course, lane)
        begin(structure, rates, group.patients, unit, chain)
        _follow(structure, chain, events, group, room, course)
        length = 1
        for row in range(course.rows):
            for stop in range(row * course.room, row * course.room + course.stops[row]):
                length = max(length, course.points[stop])
        _rows(structure, chain, observed, n_observed, scale, group, room, events, length)
        for step in range(0, length, WIDTH):
            for entry in range(room.width):
                place = step * room.width + entry
                transposed(room.rows, place, room.width, room.table, entry * _STRIDE + step, room.width * _STRIDE)
        for lane in range(min(WIDTH, n - first)):
            row = nobody if shared else lane
            _compose(structure, observed, n_observed, course, row, lane, room, n_times)
            if storing:
                hand_over(room.single, 0, out, (first + lane) * n_observed * n_times, n_observed * n_times)
                continue
            for k in range(n_observed):
                for at in range(n_times):
                    counts[at, k, sketch.bin_of(room.single[k * n_times + at])] += 1


def levels(
    structure: Structure,
    rates: np.ndarray,
    initial: np.ndarray,
    events: Events,
    time: np.ndarray,
    on_grid: np.ndarray,
    unit: float,
    observed: np.ndarray,
    scale: np.ndarray,
    *,
    out: np.ndarray | None = None,
    counts: np.ndarray | None = None,
) -> None:
    """Levels of a block of patients at given times, each after all that arrives at its instant.

    Parameters
    ----------
    rates
        (n, s, s) in 1/h: ``rates[p, i, j]`` moves drug of patient p from state j to i; the diagonal is what leaves.
    initial
        (n, s) states at the first event or time.
    time, on_grid, unit
        (t, 1 or n) rising times of observation, h; whether each (t,) follows the one before by a step of the grid,
        the same for all; and that step.
    observed, scale
        (k,) states, and (k, n) factors that turn them into levels.
    out
        (n, k, t) takes the levels.
    counts
        (t, k, sketch.BINS) has each level added as a count instead.
    """
    width = int((structure.row_start[observed + 1] - structure.row_start[observed]).sum())
    times = time.shape[0]
    stops = events.time.shape[0] + times
    shared = events.time.shape[1] == 1 and time.shape[1] == 1
    length = -(-min(LONGEST_RUN, times) // WIDTH) * WIDTH
    now, seen, rows, table, single = aligned_together(
        (1, WIDTH),
        (stops, structure.size, WIDTH),
        (length + 4, width, WIDTH),
        (WIDTH, width, _STRIDE),
        (observed.size * times + 4 * WIDTH,),
    )
    room = Room(
        now=now,
        seen=seen,
        rows=rows,
        table=table,
        inputs=np.empty(structure.size),
        column=np.empty(structure.size, dtype=np.int64),
        single=single,
        width=width,
    )
    _levels(
        structure,
        chain_for(structure.size, structure.entries),
        group_for(structure.states, structure.ports),
        course_for(1 if shared else WIDTH, stops),
        room,
        np.arange(rates.shape[0]),
        rates,
        initial,
        events,
        time,
        on_grid.astype(np.int64),
        unit,
        observed,
        scale,
        np.empty(0) if out is None else out.reshape(-1),
        np.empty((0, 0, 0), dtype=np.uint32) if counts is None else counts,
    )
