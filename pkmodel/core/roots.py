"""When a level, or its slope, passes a value inside a step of an exact solution.

A step is some base steps of the patient long. It is halved by the squares of the chain until the passing lies within
one base step; there the level is its Taylor series, as exact as the propagator's own, and Newton's method on that
polynomial costs next to nothing.
"""

from __future__ import annotations

from pkmodel.core.chain import DEGREE, apply, next_term
from pkmodel.core.jit import merged, piece
from pkmodel.core.lanes import (
    bits,
    choose,
    floored,
    fma,
    larger,
    load,
    magnitude,
    of_bits,
    smaller,
    splat,
    store,
    store_whole,
)

#: What is held of a bracket besides the states before its step: when the step begins (h), how long it is, start and end
#: of the bracket and a guess (h from the start of the step), the target, and 1 where it is passed upwards.
BEGIN, LENGTH, LOW, HIGH, GUESS, TARGET, UPWARDS, HELD = 0, 1, 2, 3, 4, 5, 6, 7
#: Steps of Newton's method or bisection; three or four are usual, and a bracket is down to its last digit after 60.
_MOST = 100


@merged
def slope_of(structure, chain, state, compartment):
    """The derivative of an amount in the states ``state``, per base step of the patient."""
    total = splat(0.0)
    for k in range(structure.direct_start[compartment], structure.direct_start[compartment + 1]):
        total = fma(load(chain.matrix, structure.direct_entry[k]), load(state, structure.direct_column[k]), total)
    return total


@merged
def _narrow(structure, chain, compartment, of_slope, due, length, low, high, target, rising):
    """Move ``chain.state`` on to the base step in which the passing lies; how far that is (h), and its length (h)."""
    at, span = splat(0.0), length
    store_whole(chain.whole, floored(choose(due, length / load(chain.base, 0), at)))
    longest = 0
    for lane in range(chain.lanes):
        chain.whole[lane] <<= chain.deepest[0] - chain.shift[lane]
        longest |= chain.whole[lane]
    level = 0
    while longest >> level > 1:
        level += 1
    while level > 0:
        level -= 1
        halving = 0
        for lane in range(chain.lanes):
            if chain.whole[lane] >> level > 1 and level >= chain.deepest[0] - chain.shift[lane]:
                halving |= 1 << lane
        if not halving:
            continue
        apply(structure, chain, level, chain.state, chain.moved)
        chosen = of_bits(halving)
        span = choose(chosen, span * 0.5, span)
        middle = at + span
        value = load(chain.moved, compartment)
        if of_slope:
            value = slope_of(structure, chain, chain.moved, compartment)
        over = value > target
        passed = (over & rising) | (~over & ~rising)
        onwards = chosen & ((middle <= low) | (~passed & (middle < high)))
        at = choose(onwards, middle, at)
        for i in range(structure.size):
            store(chain.state, i, choose(onwards, load(chain.moved, i), load(chain.state, i)))
    return at, span


@merged
def _expand(structure, chain, notes, compartment, due):
    """The Taylor series of an amount from ``chain.state`` on, by base steps, into ``notes.series``; its last order.

    A patient's ends where no state changes by its terms any more, whoever else is in the group.
    """
    for i in range(structure.size):
        store(chain.term, i, load(chain.state, i))
    store(notes.series, 0, load(chain.state, compartment))
    moving, zero, last = due, splat(0.0), 0
    nowhere = zero > 0.0
    for order in range(1, DEGREE + 1):
        last = order
        counting = of_bits(next_term(structure, chain, splat(1.0 / order), nowhere))
        store(notes.series, order, choose(moving, load(chain.term, compartment), zero))
        moving = moving & counting
        if not bits(moving):
            break
    return last


@piece
def find(structure, chain, notes, place, compartment, of_slope, due):
    """Hours after the start of a step at which an amount passes the target of the bracket that ``place`` holds, or its
    slope passes 0 (``of_slope`` is 1), in the lanes ``due``; and the amount then.

    A patient's way there does not depend on the others of the group.
    """
    base, zero = load(chain.base, 0), splat(0.0)
    row = place * (structure.size + HELD)
    for i in range(structure.size):
        store(notes.after, i, load(chain.state, i))
        store(chain.state, i, load(notes.held, row + i))
    row += structure.size
    length, low, high = load(notes.held, row + LENGTH), load(notes.held, row + LOW), load(notes.held, row + HIGH)
    guess, rising = load(notes.held, row + GUESS), load(notes.held, row + UPWARDS) > 0.5
    target = zero if of_slope else load(notes.held, row + TARGET)
    at, span = _narrow(structure, chain, compartment, of_slope, due, length, low, high, target, rising)
    last = _expand(structure, chain, notes, compartment, due)
    # From here on times are in base steps after `at`.
    low, high = larger(low - at, zero) / base, smaller(high - at, span) / base
    guess = (guess - at) / base
    time = choose((guess >= low) & (guess <= high), guess, (low + high) * 0.5)
    for _ in range(_MOST):
        value, speed, bend = zero, zero, zero
        for order in range(last, -1, -1):
            if of_slope:
                bend = fma(bend, time, speed)
            speed = fma(speed, time, value)
            value = fma(value, time, load(notes.series, order))
        if of_slope:
            value, speed = speed, bend * 2.0
        value = value - target
        over = value > 0.0
        beyond = (over & rising) | (~over & ~rising)
        high = choose(due & beyond, time, high)
        low = choose(due & ~beyond, time, low)
        following = time - value / speed
        following = choose((following > low) & (following < high), following, (low + high) * 0.5)
        # Newton's error is squared at each step: after one of 1e-8 of a base step nothing is left to gain.
        near = (value == 0.0) | (magnitude(following - time) <= 1e-8) | (high - low <= 2e-16)
        time = choose(due & ~(value == 0.0), following, time)
        due = due & ~near
        if not bits(due):
            break
    amount = zero
    for order in range(last, -1, -1):
        amount = fma(amount, time, load(notes.series, order))
    for i in range(structure.size):
        store(chain.state, i, load(notes.after, i))
    return fma(time, base, at), amount
