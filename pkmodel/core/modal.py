"""Levels of one, two or three compartments with dosing and observation in the central one, by their modes.

The level after a unit dose is a sum of as many exponentials as there are compartments. A patient's level at a time is
then a sum of one number per compartment, and the next point of a grid costs one multiplication each.

The exponents are roots of a polynomial, and the sum loses digits where two of them, or one and an exchange rate, are
nearly equal. Such patients are refused, each on its own; :mod:`pkmodel.core.levels`, which needs no roots, has them.

Gibaldi M, Perrier D. Pharmacokinetics, 2nd ed. Dekker, 1982, appendix B, for the coefficients.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pkmodel.core import sketch
from pkmodel.core.course import bare_course, course_for, lay_out
from pkmodel.core.doses import bare_events
from pkmodel.core.jit import kernel, merged
from pkmodel.core.kinds import JUMP, RATE_ON, RESET, Events
from pkmodel.core.lanes import (
    WIDTH,
    aligned,
    bits,
    choose,
    fma,
    hand_over,
    larger,
    load,
    load_at,
    magnitude,
    pointer,
    power_of_two,
    rounded,
    splat,
    square_root,
    store,
    transposed,
)

#: The most compartments that have their modes worked out.
COMPARTMENTS = 3
#: What is wanted: levels, counts of levels, or figures read off the samples.
STORE, COUNT, SUMMARISE = 0, 1, 2
#: Figures read off the samples, the first axis of ``summary``.
HIGHEST, AREA, ABOVE = 0, 1, 2
#: Rates that differ by less than this part of the larger are too close for a sum of exponentials: it would lose more
#: than two of its sixteen digits.
_APART = 2.0**-6
#: Times of equal length whose exponentials are kept.
_KEPT = 8
#: The largest part of a time by which a whole number of steps may miss it and still be meant.
_SAME_TIME = 2.0**-51
_LOG2_E = 1.4426950408889634
_LN2_HIGH, _LN2_LOW = 0.6931471803691238, 1.9082149292705877e-10


@merged
def less_one(x):
    """``exp(x) - 1`` and ``exp(x)`` for ``x <= 0``, to the last digit or two; below 1e-307 it is 1e-307."""
    x = larger(x, splat(-708.0))
    whole = rounded(x * _LOG2_E)
    r = fma(whole, splat(-_LN2_LOW), fma(whole, splat(-_LN2_HIGH), x))
    p = splat(1.0 / 6227020800.0)
    p = fma(p, r, splat(1.0 / 479001600.0))
    p = fma(p, r, splat(1.0 / 39916800.0))
    p = fma(p, r, splat(1.0 / 3628800.0))
    p = fma(p, r, splat(1.0 / 362880.0))
    p = fma(p, r, splat(1.0 / 40320.0))
    p = fma(p, r, splat(1.0 / 5040.0))
    p = fma(p, r, splat(1.0 / 720.0))
    p = fma(p, r, splat(1.0 / 120.0))
    p = fma(p, r, splat(1.0 / 24.0))
    p = fma(p, r, splat(1.0 / 6.0))
    p = fma(p, r, splat(0.5))
    p = fma(r * r, p, r)
    power = power_of_two(whole)
    return fma(power, p, power - 1.0), fma(power, p, power)


class Bench(NamedTuple):
    """Memory for one group of eight patients, in lanes but for the last four.

    ``rate`` (5,) central to outside, to and from each peripheral; ``exponent`` and ``weight`` (3,) the modes;
    ``decay`` and ``gain`` (_KEPT + 1, 3) what a time does to a mode and to an infusion; ``level`` (times,).
    ``kept`` holds the number of steps that each slot stands for, and at its end the slot to be used next.
    """

    rate: np.ndarray
    exponent: np.ndarray
    weight: np.ndarray
    decay: np.ndarray
    gain: np.ndarray
    level: np.ndarray
    spare: np.ndarray
    block: np.ndarray
    patients: np.ndarray
    kept: np.ndarray
    single: int


@merged
def _bare(bench):
    return Bench(
        pointer(bench.rate),
        pointer(bench.exponent),
        pointer(bench.weight),
        pointer(bench.decay),
        pointer(bench.gain),
        pointer(bench.level),
        pointer(bench.spare),
        pointer(bench.block),
        pointer(bench.patients),
        pointer(bench.kept),
        bench.single,
    )


@kernel
def _modes(bench, compartments):
    """Exponents and weights of a group from its rates; returns the lanes in which they can be trusted, as bits."""
    k10, k12, k21 = load(bench.rate, 0), load(bench.rate, 1), load(bench.rate, 2)
    k13, k31 = load(bench.rate, 3), load(bench.rate, 4)
    zero, one = splat(0.0), splat(1.0)
    if compartments == 1:
        store(bench.exponent, 0, k10)
        store(bench.weight, 0, one)
        for mode in range(1, 3):
            store(bench.exponent, mode, one)
            store(bench.weight, mode, zero)
        return bits(k10 > 0.0)
    if compartments == 2:
        total = k10 + k12 + k21
        root = square_root(larger(fma(total, total, k10 * k21 * -4.0), zero))
        fast = (total + root) * 0.5
        slow = k10 * k21 / fast
        store(bench.exponent, 0, fast)
        store(bench.exponent, 1, slow)
        store(bench.exponent, 2, one)
        store(bench.weight, 0, (fast - k21) / root)
        store(bench.weight, 1, (k21 - slow) / root)
        store(bench.weight, 2, zero)
        good = (slow > fast * 1e-9) & (root > fast * _APART)
        return bits(good & (fast - k21 > fast * _APART) & (k21 - slow > k21 * _APART))
    # The cubic x**3 - a2 x**2 + a1 x - a0. Its largest root lies below a2/3 + 2 s, from where Halley's method descends.
    a2 = k10 + k12 + k13 + k21 + k31
    a1 = k10 * k31 + k21 * k31 + k21 * k13 + k10 * k21 + k31 * k12
    a0 = k10 * k21 * k31
    x = (a2 + square_root(larger(fma(a2, a2, a1 * -3.0), zero)) * 2.0) * (1.0 / 3.0)
    step = x
    for _ in range(5):
        value = fma(fma(x - a2, x, a1), x, -a0)
        slope = fma(fma(x, splat(3.0), a2 * -2.0), x, a1)
        bend = fma(x, splat(3.0), -a2)
        step = value * slope / fma(slope, slope, -(value * bend))
        x = x - step
    total, product = a2 - x, a0 / x
    root = square_root(larger(fma(total, total, product * -4.0), zero))
    fast, middle = x, (total + root) * 0.5
    slow = product / middle
    store(bench.exponent, 0, fast)
    store(bench.exponent, 1, middle)
    store(bench.exponent, 2, slow)
    store(bench.weight, 0, (k21 - fast) * (k31 - fast) / ((middle - fast) * (slow - fast)))
    store(bench.weight, 1, (k21 - middle) * (k31 - middle) / ((fast - middle) * (slow - middle)))
    store(bench.weight, 2, (k21 - slow) * (k31 - slow) / ((fast - slow) * (middle - slow)))
    good = (magnitude(step) <= x * 1e-15) & (slow > fast * 1e-9)
    good = good & (fast - middle > fast * _APART) & (middle - slow > middle * _APART)
    for mode in range(3):
        exponent = load(bench.exponent, mode)
        good = good & (magnitude(k21 - exponent) > larger(k21, exponent) * _APART)
        good = good & (magnitude(k31 - exponent) > larger(k31, exponent) * _APART)
    return bits(good)


@merged
def _lengthen(bench, slot, time):
    """What ``time`` h do to each mode, and to an infusion of 1 mg/h, into a slot of ``decay`` and ``gain``."""
    for mode in range(3):
        exponent = load(bench.exponent, mode)
        less, whole = less_one(exponent * -time)
        store(bench.decay, slot * 3 + mode, whole)
        store(bench.gain, slot * 3 + mode, load(bench.weight, mode) * -less / exponent)


@merged
def _slot_for(bench, unit, span, time):
    """The slot that holds ``span`` h; equal numbers of steps of the grid share one."""
    whole = np.rint(span / unit)
    if abs(span - whole * unit) > _SAME_TIME * time:
        _lengthen(bench, _KEPT, span)
        return _KEPT
    steps = np.int64(whole)
    for slot in range(_KEPT):
        if bench.kept[slot] == steps:
            return slot
    slot = bench.kept[_KEPT]
    bench.kept[_KEPT] = (slot + 1) % _KEPT
    bench.kept[slot] = steps
    _lengthen(bench, slot, steps * unit)
    return slot


@merged
def _value(events, event, bench):
    """The value of an event in each patient of the group."""
    if bench.patients[WIDTH - 1] - bench.patients[0] == WIDTH - 1:
        return load_at(events.value, event * events.patients + bench.patients[0])
    for lane in range(WIDTH):
        bench.spare[lane] = events.value[event * events.patients + bench.patients[lane]]
    return load(bench.spare, 0)


@kernel
def _run(bench, course, events, unit, wanted, on_grid, n_times, limit):
    """Take a group through its course: levels into ``bench.level``, or figures, which are returned."""
    zero, one = splat(0.0), splat(1.0)
    x, y, z = zero, zero, zero
    pouring, running = zero, zero
    highest, area, above, over = zero, zero, zero, zero
    w0, w1, w2 = load(bench.weight, 0), load(bench.weight, 1), load(bench.weight, 2)
    # Four steps at a time, in four chains that do not wait for one another.
    _lengthen(bench, _KEPT, unit)
    e0, e1, e2 = load(bench.decay, _KEPT * 3), load(bench.decay, _KEPT * 3 + 1), load(bench.decay, _KEPT * 3 + 2)
    g0, g1, g2 = load(bench.gain, _KEPT * 3), load(bench.gain, _KEPT * 3 + 1), load(bench.gain, _KEPT * 3 + 2)
    f0, f1, f2 = e0 * e0, e1 * e1, e2 * e2
    f0, f1, f2 = f0 * f0, f1 * f1, f2 * f2
    h0 = g0 * fma(e0, e0, one) * (one + e0)
    h1 = g1 * fma(e1, e1, one) * (one + e1)
    h2 = g2 * fma(e2, e2, one) * (one + e2)
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
        j0, j1, j2 = h0 * pouring, h1 * pouring, h2 * pouring
        xa, ya, za = x, y, z
        xb, yb, zb = fma(xa, e0, i0), fma(ya, e1, i1), fma(za, e2, i2)
        xc, yc, zc = fma(xb, e0, i0), fma(yb, e1, i1), fma(zb, e2, i2)
        xd, yd, zd = fma(xc, e0, i0), fma(yc, e1, i1), fma(zc, e2, i2)
        if wanted != SUMMARISE:
            for step in range(first, first + count, 4):  # up to three more than asked for: there is room
                store(bench.level, step, xa + ya + za)
                store(bench.level, step + 1, xb + yb + zb)
                store(bench.level, step + 2, xc + yc + zc)
                store(bench.level, step + 3, xd + yd + zd)
                xa, ya, za = fma(xa, f0, j0), fma(ya, f1, j1), fma(za, f2, j2)
                xb, yb, zb = fma(xb, f0, j0), fma(yb, f1, j1), fma(zb, f2, j2)
                xc, yc, zc = fma(xc, f0, j0), fma(yc, f1, j1), fma(zc, f2, j2)
                xd, yd, zd = fma(xd, f0, j0), fma(yd, f1, j1), fma(zd, f2, j2)
            continue
        begins, ends = on_grid[first] == 0, first + count == n_times or on_grid[first + count] == 0
        if begins:
            area = fma(xa + ya + za, splat(-0.5), area)
        last = zero
        for _ in range(0, count - 3, 4):
            a, b, c, d = xa + ya + za, xb + yb + zb, xc + yc + zc, xd + yd + zd
            highest = larger(highest, larger(larger(a, b), larger(c, d)))
            area = area + ((a + b) + (c + d))
            above, over = choose(a > limit, above + one, above), choose(b > limit, over + one, over)
            above, over = choose(c > limit, above + one, above), choose(d > limit, over + one, over)
            last = d
            xa, ya, za = fma(xa, f0, j0), fma(ya, f1, j1), fma(za, f2, j2)
            xb, yb, zb = fma(xb, f0, j0), fma(yb, f1, j1), fma(zb, f2, j2)
            xc, yc, zc = fma(xc, f0, j0), fma(yc, f1, j1), fma(zc, f2, j2)
            xd, yd, zd = fma(xd, f0, j0), fma(yd, f1, j1), fma(zd, f2, j2)
        for _ in range(count & 3):
            last = xa + ya + za
            highest = larger(highest, last)
            area = area + last
            above = above + choose(last > limit, one, zero)
            xa, ya, za = xb, yb, zb
            xb, yb, zb = xc, yc, zc
            xc, yc, zc = xd, yd, zd
        if ends:
            area = fma(last, splat(-0.5), area)
    return highest, area, above + over


@kernel
def _levels(wanted, bench, course, rates, places, events, time, on_grid, unit, scale, limit, out, counts, refused):
    """Levels, counts or figures of a block of patients; patients whose modes cannot be trusted are ``refused``."""
    n, states, n_times, compartments = rates.shape[0], rates.shape[1], time.shape[0], places.shape[0]
    stride = bench.single
    bench, course, events = _bare(bench), bare_course(course), bare_events(events)
    rates, time, on_grid, out = pointer(rates), pointer(time), pointer(on_grid), pointer(out)
    lay_out(events, np.int64(0), time, on_grid, n_times, course, np.int64(0))
    central = places[0]
    for first in range(0, n, WIDTH):
        for lane in range(WIDTH):
            patient = min(first + lane, n - 1)
            bench.patients[lane] = patient
            base = patient * states * states
            leaves = -rates[base + central * states + central]
            for k in range(1, compartments):
                there = rates[base + places[k] * states + central]
                leaves -= there
                bench.rate[(2 * k - 1) * WIDTH + lane] = there
                bench.rate[2 * k * WIDTH + lane] = rates[base + central * states + places[k]]
            bench.rate[lane] = leaves
            bench.spare[lane] = scale[0, patient]
            bench.spare[WIDTH + lane] = limit[patient]
        good = _modes(bench, compartments)
        for mode in range(3):
            store(bench.weight, mode, load(bench.weight, mode) * load(bench.spare, 0))
        for slot in range(_KEPT + 1):
            bench.kept[slot] = -1 if slot < _KEPT else 0
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


def places_of(rates: np.ndarray, central: int, events: Events) -> np.ndarray | None:
    """The central compartment and its neighbours, where these are all that a course touches; None otherwise.

    Drug may leave the body from the centre only; ``rates`` is (n, s, s).
    """
    others = [place for place in range(rates.shape[1]) if place != central]
    jumps = events.target[events.kind == JUMP]
    if (jumps != central).any() or (events.port_compartment != central).any():
        return None
    for place in others:
        elsewhere = [other for other in others if other != place]
        lost = (rates[:, place, place] != -rates[:, central, place]).any()
        if lost or (elsewhere and rates[:, elsewhere, place].any()):
            return None
    return np.array([central, *others], dtype=np.int64)


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
    (n,) true where the modes of a patient lie too close together; nothing was written for that patient.
    """
    n, stops = rates.shape[0], events.time.shape[0] + time.size
    stride = -(-time.size // WIDTH) * WIDTH + WIDTH
    bench = Bench(
        rate=aligned(5, WIDTH),
        exponent=aligned(3, WIDTH),
        weight=aligned(3, WIDTH),
        decay=aligned(_KEPT + 1, 3, WIDTH),
        gain=aligned(_KEPT + 1, 3, WIDTH),
        level=aligned(stride + 4, WIDTH),
        spare=aligned(3, WIDTH),
        block=aligned(WIDTH, stride),
        patients=np.zeros(WIDTH, dtype=np.int64),
        kept=np.zeros(_KEPT + 1, dtype=np.int64),
        single=stride,
    )
    refused = np.zeros(n, dtype=bool)
    course = course_for(1, stops)
    grid = on_grid.astype(np.int64)
    _levels(
        wanted, bench, course, rates, places, events, time, grid, unit, scale, limit, out.reshape(-1), counts, refused
    )
    return refused
