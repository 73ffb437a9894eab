"""A scan's way over a gap without events: in steps that grow, each looked into for peaks and crossings.

A change of sign of the derivative over a step brackets an extremum; between extrema the level is monotone, so a change
of sign against a threshold brackets one crossing. Brackets are closed by Newton's method on the exact solution.
"""

from __future__ import annotations

import numpy as np

from pkmodel.core.chain import apply, extend, measure, move_rest
from pkmodel.core.jit import kernel, merged
from pkmodel.core.lanes import WIDTH, bits, choose, load, of_bits, smaller, splat, store
from pkmodel.core.pending import hold
from pkmodel.core.roots import find, slope_of


@kernel
def _piece(structure, chain, notes, found, k, due, begin_at, low, high, first, last):
    """Hold a monotone piece of a step, ``low`` to ``high`` h from ``begin_at``, against the thresholds of output k."""
    for q in range(notes.limits):
        place = k * notes.limits + q
        limit = load(notes.limit, place)
        was, stays = first > limit, last > limit
        passing = due & ((was & ~stays) | (~was & stays))
        if bits(passing):
            guess = low + (high - low) * ((limit - first) / (last - first))
            hold(structure, chain, notes, found, place, passing, low, high, guess, limit, begin_at, stays)
        crossed = load(notes.crossed, place)
        store(notes.crossed, place, choose(due & was, smaller(crossed, begin_at + low), crossed))
        above = load(notes.above, place)
        store(notes.above, place, choose(due & was & stays, above + (high - low), above))


@kernel
def _look(structure, chain, notes, found, noting, begin_at, length):
    """Note peaks and crossings over a step from ``notes.before`` to ``chain.state``, in the lanes ``noting``."""
    zero = splat(0.0)
    for k in range(notes.outputs):
        compartment = notes.compartment[k]
        first, last = load(notes.before, compartment), load(chain.state, compartment)
        falls, rises = load(notes.slope, k), slope_of(structure, chain, chain.state, compartment)
        store(notes.slope, k, rises)
        # A least level is no peak: it is only asked for where the pieces on its two sides are held against thresholds.
        turning = noting & (falls > 0.0) & (rises < 0.0)
        if notes.limits:
            turning = turning | (noting & (falls < 0.0) & (rises > 0.0))
        split, turn = length, last
        if bits(turning) and not notes.limits:
            guess = length * (falls / (falls - rises))
            hold(structure, chain, notes, found, k, turning, zero, length, guess, zero, begin_at, falls < 0.0)
        elif bits(turning):
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
            peak = load(notes.peak, k)
            higher = turning & (turn > peak)
            store(notes.peak, k, choose(higher, turn, peak))
            store(notes.when, k, choose(higher, begin_at + split, load(notes.when, k)))
        peak, when = load(notes.peak, k), load(notes.when, k)
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
def walk(structure, chain, notes, found, now, before):
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
def walk_together(structure, chain, notes, found, now, before):
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
