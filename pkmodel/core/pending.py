"""What a scan has bracketed and not found yet: an extremum or a crossing in each lane, found for all lanes together.

Patients of a group turn or cross in different steps. To close a bracket takes the squares of a step and a Taylor
series, for eight patients as long as for one, so a bracket is held until another one of its patient needs the place,
or an interval ends. What is noted of a patient does not depend on when that is: everything of one patient and output is
found in the order of time, highest and lowest levels that tie go to the earlier time, and hours above in steps that
turn or cross are added up apart from the others.
"""

from __future__ import annotations

import numpy as np

from pkmodel.core.jit import merged, piece
from pkmodel.core.lanes import WIDTH, bits, choose, load, of_bits, smaller, splat, store
from pkmodel.core.roots import BEGIN, GUESS, HELD, HIGH, LENGTH, LOW, TARGET, UPWARDS, find


@merged
def _put(notes, row, due, value):
    """Keep a number in the lanes ``due``."""
    store(notes.held, row, choose(due, value, load(notes.held, row)))


@piece
def hold(structure, notes, place, due, states, at, begin, length, low, high, guess, target, upwards):
    """Keep a bracket in the lanes ``due`` of a place.

    ``states`` from row ``at`` on are those before the step, which begins at ``begin`` h and is ``length`` h long.
    """
    row = place * (structure.size + HELD)
    for i in range(structure.size):
        _put(notes, row + i, due, load(states, at + i))
    row += structure.size
    _put(notes, row + BEGIN, due, begin)
    _put(notes, row + LENGTH, due, length)
    _put(notes, row + LOW, due, low)
    _put(notes, row + HIGH, due, high)
    _put(notes, row + GUESS, due, guess)
    _put(notes, row + TARGET, due, target)
    _put(notes, row + UPWARDS, due, choose(upwards, splat(1.0), splat(0.0)))
    notes.pending[place] |= bits(due)


@piece
def resolve_crossing(structure, chain, notes, found, place):
    """Find the crossings that a place holds, and note them."""
    lanes, which = notes.pending[place], place - notes.outputs
    notes.pending[place] = 0
    due = of_bits(lanes)
    row = place * (structure.size + HELD) + structure.size
    moment, _ = find(structure, chain, notes, place, notes.compartment[which // notes.limits], np.int64(0), due)
    at, upwards = load(notes.held, row + BEGIN) + moment, load(notes.held, row + UPWARDS) > 0.5
    passed, crossed = load(notes.passed, which), load(notes.crossed, which)
    hours = choose(upwards, load(notes.held, row + HIGH) - moment, moment - load(notes.held, row + LOW))
    store(notes.passed, which, choose(due, passed + hours, passed))
    store(notes.crossed, which, choose(due & upwards, smaller(crossed, at), crossed))
    store(notes.spare, 0, at)
    for lane in range(found.n):
        if (lanes >> lane) & 1:
            line = found.patients[lane] * notes.outputs * notes.limits + which
            count = found.n_crossings[line]
            if count < found.room:
                found.crossings[line * found.room + count] = notes.spare[lane]
            found.n_crossings[line] = count + 1


@merged
def hold_crossings(
    structure, chain, notes, found, k, due, states, at, begin, length, low, high, first, last, whole_into
):
    """Hold a monotone piece of a step, ``low`` to ``high`` h from ``begin``, against the thresholds of output k.

    The hours of a piece that is above as a whole go ``whole_into`` ``notes.above`` or ``notes.passed``.
    """
    for q in range(notes.limits):
        which = k * notes.limits + q
        limit = load(notes.limit, which)
        was, stays = first > limit, last > limit
        crossed, above = load(notes.crossed, which), load(whole_into, which)
        store(notes.crossed, which, choose(due & was, smaller(crossed, begin + low), crossed))
        store(whole_into, which, choose(due & was & stays, above + (high - low), above))
        passing = due & ((was & ~stays) | (~was & stays))
        if bits(passing):
            place = notes.outputs + which
            if notes.pending[place] & bits(passing):
                resolve_crossing(structure, chain, notes, found, place)
            guess = low + (high - low) * ((limit - first) / (last - first))
            hold(structure, notes, place, passing, states, at, begin, length, low, high, guess, limit, stays)


@piece
def settle(structure, chain, notes, found, k):
    """Find what is held of output k, and note it; what its extrema divide is held against the thresholds in turn."""
    for q in range(notes.limits):  # crossings are older than an extremum of the same patient
        place = notes.outputs + k * notes.limits + q
        if notes.pending[place]:
            resolve_crossing(structure, chain, notes, found, place)
    lanes = notes.pending[k]
    if lanes == 0:
        return
    notes.pending[k] = 0
    due = of_bits(lanes)
    states = k * (structure.size + HELD)
    row = states + structure.size
    moment, level = find(structure, chain, notes, k, notes.compartment[k], np.int64(1), due)
    begin = load(notes.held, row + BEGIN)
    at, peak, when = begin + moment, load(notes.peak, k), load(notes.when, k)
    higher = due & ((level > peak) | ((level == peak) & (at < when)))
    store(notes.peak, k, choose(higher, level, peak))
    store(notes.when, k, choose(higher, at, when))
    store(notes.least, k, choose(due, smaller(load(notes.least, k), level), load(notes.least, k)))
    if notes.limits:
        length, low = load(notes.held, row + LENGTH), splat(0.0)
        first, last = load(notes.held, states + notes.compartment[k]), load(notes.held, row + TARGET)
        high, end = moment, level
        for _ in range(2):
            hold_crossings(
                structure,
                chain,
                notes,
                found,
                k,
                due,
                notes.held,
                states,
                begin,
                length,
                low,
                high,
                first,
                end,
                notes.passed,
            )
            low, high, first, end = moment, length, level, last


def places_of(outputs: int, limits: int) -> int:
    """How many brackets of a patient may be held: one extremum to an output, and one crossing to a threshold."""
    return outputs * (1 + limits)


def room_for(size: int, outputs: int, limits: int) -> tuple[int, int, int]:
    """The shape of the memory for brackets of systems of ``size`` states."""
    return places_of(outputs, limits), size + HELD, WIDTH
