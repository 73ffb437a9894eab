"""Levels of one, two or three compartments with dosing and observation in the central one, by their modes.

The level after a unit dose is a sum of as many exponentials as there are compartments. A patient's level at a time is
then a sum of one number per compartment, and the next point of a grid costs one multiplication each.

The exponents are roots of a polynomial, and the sum loses digits where two of them, or one and an exchange rate, are
nearly equal. Such patients are refused, each on its own; :mod:`pkmodel.core.levels`, which needs no roots, has them.
"""

from __future__ import annotations

import numpy as np

from pkmodel.core import sketch
from pkmodel.core.course import course_for, lay_out
from pkmodel.core.doses import bare_events
from pkmodel.core.jit import kernel, merged, piece
from pkmodel.core.kinds import JUMP, RATE_ON, RESET, Events
from pkmodel.core.lanes import (
    WIDTH,
    aligned_together,
    as_it_stands,
    bare,
    bits,
    choose,
    counted,
    fma,
    hand_over,
    larger,
    load,
    load_at,
    number_counted,
    pointer,
    prefetch,
    splat,
    store,
    transposed,
)
from pkmodel.core.modes import KEPT, Bench, lengthen, modes_of

#: The most compartments that have their modes worked out.
COMPARTMENTS = 3
#: What is wanted: levels, counts of levels, or figures read off the samples.
STORE, COUNT, SUMMARISE = 0, 1, 2
#: Figures read off the samples, the first axis of ``summary``.
HIGHEST, AREA, ABOVE = 0, 1, 2
#: The largest part of a time by which a whole number of steps may miss it and still be meant.
_SAME_TIME = 2.0**-51


@merged
def _slot_for(bench, unit, span, time):
    """The slot that holds ``span`` h; equal numbers of steps of the grid share one."""
    slot, whole = np.int64(KEPT), np.rint(span / unit)
    if abs(span - whole * unit) <= _SAME_TIME * time:
        steps = np.int64(whole)
        for kept in range(KEPT):
            if bench.kept[kept] == steps:
                return kept
        slot, span = bench.kept[KEPT], steps * unit
        bench.kept[KEPT] = (slot + 1) % KEPT
        bench.kept[slot] = steps
    lengthen(bench, slot, span)
    return slot


@merged
def _value(events, event, bench):
    """The value of an event in each patient of the group."""
    if bench.patients[WIDTH - 1] - bench.patients[0] == WIDTH - 1:
        return load_at(events.value, event * events.patients + bench.patients[0])
    for lane in range(WIDTH):
        bench.spare[lane] = events.value[event * events.patients + bench.patients[lane]]
    return load(bench.spare, 0)


@merged
def _seen(level, limit, highest, area, above):
    """Figures with one more sample."""
    return larger(highest, level), area + level, counted(above, level > limit)


@piece
def _run(bench, course, events, unit, wanted, on_grid, n_times, limit):
    """Take a group through its course: levels into ``bench.level``, or figures, which are returned."""
    zero, one = splat(0.0), splat(1.0)
    x, y, z = zero, zero, zero
    pouring, running = zero, zero
    highest, area, above = zero, zero, zero
    w0, w1, w2 = load(bench.weight, 0), load(bench.weight, 1), load(bench.weight, 2)
    lengthen(bench, np.int64(KEPT), unit)
    e0, e1, e2 = load(bench.decay, KEPT * 3), load(bench.decay, KEPT * 3 + 1), load(bench.decay, KEPT * 3 + 2)
    g0, g1, g2 = load(bench.gain, KEPT * 3), load(bench.gain, KEPT * 3 + 1), load(bench.gain, KEPT * 3 + 2)
    now = course.when[0]
    for stop in range(course.stops[0]):
        when = course.when[stop]
        if when > now:
            slot = _slot_for(bench, unit, when - now, when) * 3
            x = fma(x, load(bench.decay, slot), load(bench.gain, slot) * pouring)
            y = fma(y, load(bench.decay, slot + 1), load(bench.gain, slot + 1) * pouring)
            z = fma(z, load(bench.decay, slot + 2), load(bench.gain, slot + 2) * pouring)
            now = when
        event = course.event[stop]
        if event >= 0:
            value, kind = _value(events, event, bench), events.kind[event]
            if kind == JUMP:
                x, y, z = fma(w0, value, x), fma(w1, value, y), fma(w2, value, z)
            elif kind == RESET:
                due = value > 0.0
                x, y, z = choose(due, zero, x), choose(due, zero, y), choose(due, zero, z)
                pouring, running = choose(due, zero, pouring), choose(due, zero, running)
            elif kind == RATE_ON:
                pouring, running = pouring + value, running + choose(value == 0.0, zero, one)
            else:
                running = running - choose(value == 0.0, zero, one)
                pouring = choose(running > 0.0, pouring - value, zero)
            continue
        first, count = course.first[stop], course.points[stop]
        i0, i1, i2 = g0 * pouring, g1 * pouring, g2 * pouring
        xa, ya, za = x, y, z
        # One chain of steps: its sums keep the units busy, and what more chains hold does not fit the registers.
        if wanted != SUMMARISE:
            if bits(pouring > 0.0):
                for step in range(first, first + count):
                    as_it_stands()
                    store(bench.level, step, xa + ya + za)
                    xa, ya, za = fma(xa, e0, i0), fma(ya, e1, i1), fma(za, e2, i2)
            else:  # the same, with less to hold
                for step in range(first, first + count):
                    as_it_stands()
                    store(bench.level, step, xa + ya + za)
                    xa, ya, za = xa * e0, ya * e1, za * e2
            continue
        begins, ends = on_grid[first] == 0, first + count == n_times or on_grid[first + count] == 0
        if begins:
            area = fma(xa + ya + za, splat(-0.5), area)
        last = zero
        if bits(pouring > 0.0):
            for _ in range(count):
                as_it_stands()
                last = xa + ya + za
                highest, area, above = _seen(last, limit, highest, area, above)
                xa, ya, za = fma(xa, e0, i0), fma(ya, e1, i1), fma(za, e2, i2)
        else:
            for _ in range(count):
                as_it_stands()
                last = xa + ya + za
                highest, area, above = _seen(last, limit, highest, area, above)
                xa, ya, za = xa * e0, ya * e1, za * e2
        if ends:
            area = fma(last, splat(-0.5), area)
    return highest, area, number_counted(above)


@kernel
def _levels(wanted, bench, course, rates, places, events, time, on_grid, unit, scale, limit, out, counts, refused):
    """Levels, counts or figures of a block of patients; patients without modes that can be trusted are ``refused``."""
    n, states, n_times, compartments = rates.shape[0], rates.shape[1], time.shape[0], places.shape[0]
    stride = bench.single
    bench, course, events = bare(bench), bare(course), bare_events(events)
    rates, time, on_grid, out = pointer(rates), pointer(time), pointer(on_grid), pointer(out)
    one, first_row = np.int64(1), np.int64(0)
    lay_out(events, first_row, time, one, first_row, on_grid, n_times, course, first_row)
    central = places[0]
    for first in range(0, n, WIDTH):
        stars = np.int64(0)
        for lane in range(WIDTH):
            patient = min(first + lane, n - 1)
            bench.patients[lane] = patient
            base = patient * states * states
            leaves = -rates[base + central * states + central]
            star = 1
            for k in range(1, compartments):
                # A neighbour that loses drug elsewhere makes this patient no case for modes, and nobody else.
                returned = -rates[base + places[k] * states + places[k]]
                if returned != rates[base + central * states + places[k]]:
                    star = 0
                for other in range(1, compartments):
                    if other != k and rates[base + places[other] * states + places[k]] != 0.0:
                        star = 0
                there = rates[base + places[k] * states + central]
                leaves -= there
                bench.rate[(2 * k - 1) * WIDTH + lane] = there
                bench.rate[2 * k * WIDTH + lane] = rates[base + central * states + places[k]]
            bench.rate[lane] = leaves
            stars |= star << lane
            bench.spare[lane] = scale[0, patient]
            bench.spare[WIDTH + lane] = limit[patient]
        good = modes_of(bench, compartments) & stars
        for mode in range(3):
            store(bench.weight, mode, load(bench.weight, mode) * load(bench.spare, 0))
        for slot in range(KEPT + 1):
            bench.kept[slot] = -1 if slot < KEPT else 0
        for event in range(events.number):  # the next group's doses lie apart, each in memory of its own
            prefetch(events.value, event * events.patients + first + WIDTH)
        highest, area, above = _run(bench, course, events, unit, wanted, on_grid, n_times, load(bench.spare, 1))
        if wanted == SUMMARISE:
            store(bench.spare, 0, highest)
            store(bench.spare, 1, area * unit)
            store(bench.spare, 2, above * unit)
        else:
            for step in range(0, n_times, WIDTH):
                transposed(bench.level, step, 1, bench.block, step, stride)
        for lane in range(min(WIDTH, n - first)):
            if not (good >> lane) & 1:
                refused[first + lane] = True
            elif wanted == SUMMARISE:
                for figure in range(3):
                    out[figure * n + first + lane] = bench.spare[figure * WIDTH + lane]
            elif wanted == STORE:
                hand_over(bench.block, lane * stride, out, (first + lane) * n_times, n_times)
            else:
                for at in range(n_times):
                    counts[at, 0, sketch.bin_of(bench.block[lane * stride + at])] += 1


def places_of(states: int, central: int, events: Events) -> np.ndarray | None:
    """The central compartment of ``states``, then its neighbours; None where a dose does not go to the centre."""
    jumps = events.target[events.kind == JUMP]
    if (jumps != central).any() or (events.port_compartment != central).any():
        return None
    return np.array([central, *(place for place in range(states) if place != central)], dtype=np.int64)


def levels(
    wanted: int,
    places: np.ndarray,
    rates: np.ndarray,
    events: Events,
    time: np.ndarray,
    on_grid: np.ndarray,
    unit: float,
    scale: np.ndarray,
    limit: np.ndarray,
    out: np.ndarray,
    counts: np.ndarray,
) -> np.ndarray:
    """Levels of a block of patients by their modes; see :func:`pkmodel.core.levels.levels` for what is not said here.

    Parameters
    ----------
    wanted
        STORE fills ``out`` (n, 1, t); COUNT adds to ``counts``; SUMMARISE fills ``out`` (3, n): the highest sample, the
        area by the linear trapezoidal rule over each stretch of the grid, and the number of samples above ``limit``
        (n,) times the step of the grid.
    places
        of :func:`places_of`.

    Returns
    -------
    (n,) true where the modes of a patient lie too close together, or its neighbours of the centre lose drug elsewhere;
    nothing was written for that patient.
    """
    n, stops = rates.shape[0], events.time.shape[0] + time.size
    stride = -(-time.size // WIDTH) * WIDTH + WIDTH
    lanes = aligned_together(
        (5, WIDTH),
        (3, WIDTH),
        (3, WIDTH),
        (KEPT + 1, 3, WIDTH),
        (KEPT + 1, 3, WIDTH),
        (stride, WIDTH),
        (3, WIDTH),
        (WIDTH, stride),
    )
    slots = (np.zeros(WIDTH, dtype=np.int64), np.zeros(KEPT + 1, dtype=np.int64))
    bench = Bench._make((*lanes, *slots, stride))
    refused = np.zeros(n, dtype=bool)
    course = course_for(1, stops)
    grid = on_grid.astype(np.int64)
    _levels(
        wanted, bench, course, rates, places, events, time, grid, unit, scale, limit, out.reshape(-1), counts, refused
    )
    return refused
