"""A scan's way over a gap without events: in steps that grow, each looked into for peaks and crossings.

A change of sign of the derivative over a step brackets an extremum; between extrema the level is monotone, so a change
of sign against a threshold brackets one crossing. :mod:`pkmodel.core.pending` holds the brackets until they are closed.

What is merged here stands in one place each: the compiler takes its time for every copy.
"""

from __future__ import annotations

import numpy as np

from pkmodel.core.chain import apply, extend, measure, move_rest
from pkmodel.core.jit import merged, piece
from pkmodel.core.lanes import WIDTH, bits, choose, load, of_bits, smaller, splat, store
from pkmodel.core.pending import hold, hold_crossings, settle
from pkmodel.core.roots import slope_of

_EVERYONE = (1 << WIDTH) - 1


@merged
def _crosses(notes, k, first, last):
    """Where some threshold of output k lies between two levels."""
    crosses = first < first
    for q in range(notes.limits):
        limit = load(notes.limit, k * notes.limits + q)
        was, stays = first > limit, last > limit
        crosses = crosses | (was & ~stays) | (~was & stays)
    return crosses


@merged
def _look(structure, chain, notes, found, noting, begin, length):
    """Note peaks and crossings over a step from ``notes.before`` to ``chain.state``, in the lanes ``noting``."""
    zero, at = splat(0.0), np.int64(0)
    for k in range(notes.outputs):
        compartment = notes.compartment[k]
        first, last = load(notes.before, compartment), load(chain.state, compartment)
        falls, rises = load(notes.slope, k), slope_of(structure, chain, chain.state, compartment)
        store(notes.slope, k, rises)
        turning = noting & (falls > 0.0) & (rises < 0.0)
        if notes.valleys:
            turning = turning | (noting & (falls < 0.0) & (rises > 0.0))
        if bits(turning):
            if notes.pending[k] & bits(turning):
                settle(structure, chain, notes, found, k)
            guess, up = length * (falls / (falls - rises)), falls < 0.0
            hold(structure, notes, k, turning, notes.before, at, begin, length, zero, length, guess, last, up)
        peak, when, least = load(notes.peak, k), load(notes.when, k), load(notes.least, k)
        higher = noting & (last > peak)
        store(notes.peak, k, choose(higher, last, peak))
        store(notes.when, k, choose(higher, begin + length, when))
        store(notes.least, k, choose(noting, smaller(least, last), least))
        if notes.limits:
            straight = noting & ~turning
            # What crosses after an extremum that is held waits for it; what does not cross, does not.
            if notes.pending[k] & bits(straight & _crosses(notes, k, first, last)):
                settle(structure, chain, notes, found, k)
            hold_crossings(
                structure,
                chain,
                notes,
                found,
                k,
                straight,
                notes.before,
                at,
                begin,
                length,
                zero,
                length,
                first,
                last,
                notes.above,
            )


@merged
def _next_level(position, left):
    """The longest step, four to an octave of the time since the last stop, that stays within what is left."""
    level = 0
    while (np.int64(8) << level) <= position:
        level += 1
    while (np.int64(1) << level) > left:
        level -= 1
    return level


@piece
def walk(structure, chain, notes, found, now, before, together):
    """Over a gap without events, from ``before`` to ``now`` (h), in steps that grow with the time since it began.

    ``together`` says that the patients have the same gap and the same base step, and so the same steps, which are then
    worked out once. They are the same steps as without it.
    """
    base, zero = load(chain.base, 0), splat(0.0)
    measure(chain, now, before)
    rest = load(chain.portion, 0)
    noting = 0
    for lane in range(chain.lanes):
        notes.whole[lane] = chain.whole[lane] >> (chain.deepest[0] - chain.shift[lane])
        notes.position[lane] = 0
        if notes.interval[lane] >= 0:
            noting |= 1 << lane
    for k in range(notes.outputs):
        store(notes.slope, k, slope_of(structure, chain, chain.state, notes.compartment[k]))
    resting = bits(rest > 0.0)
    whole, position, level = notes.whole[0], np.int64(0), np.int64(0)
    while True:
        stepping, pausing = 0, 0
        if together:
            left = whole - position
            if left > 0:
                stepping, level = _EVERYONE, _next_level(position, left)
            else:
                pausing = resting
        else:
            for lane in range(chain.lanes):
                left = notes.whole[lane] - notes.position[lane]
                notes.level[lane] = -1
                if left > 0:
                    notes.level[lane] = _next_level(notes.position[lane], left) + chain.deepest[0] - chain.shift[lane]
                    stepping |= 1 << lane
                else:
                    pausing |= (resting >> lane & 1) << lane
                notes.now[lane] = notes.position[lane]
        if not stepping and not pausing:
            break
        place = splat(float(position)) if together else load(notes.now, 0)
        start = before + place * base
        for i in range(structure.size):
            store(notes.before, i, load(chain.state, i))
        left = stepping
        while left:
            moving = left
            if not together:
                level, moving = np.int64(-1), 0
                for lane in range(chain.lanes):
                    if (left >> lane) & 1:
                        if level < 0:
                            level = notes.level[lane]
                        if notes.level[lane] == level:
                            moving |= 1 << lane
            if chain.built[0] <= level:
                extend(structure, chain, level)
            # From the state before the step: those of other lanes have moved already.
            apply(structure, chain, level, notes.before, chain.state if moving == _EVERYONE else chain.moved)
            if moving != _EVERYONE:
                chosen = of_bits(moving)
                for i in range(structure.size):
                    store(chain.state, i, choose(chosen, load(chain.moved, i), load(chain.state, i)))
            left &= ~moving
        if pausing:
            move_rest(structure, chain, choose(of_bits(pausing), rest, zero))
            resting &= ~pausing
        if together:
            step = np.int64(stepping != 0) << level
            position += step
            place = splat(float(step))
        else:
            for lane in range(chain.lanes):
                step = np.int64(0)
                if (stepping >> lane) & 1:
                    step = np.int64(1) << (notes.level[lane] - chain.deepest[0] + chain.shift[lane])
                notes.now[lane] = step
                notes.position[lane] = notes.position[lane] + step
            place = load(notes.now, 0)
        length = choose(of_bits(pausing), rest * base, place * base)
        _look(structure, chain, notes, found, of_bits(noting & (stepping | pausing)), start, length)
