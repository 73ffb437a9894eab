"""What a scan has bracketed and not found yet: one extremum or one crossing in each lane, found for all lanes together.

Patients of a group turn or cross in different steps. To close a bracket takes several evaluations of the exact
solution, for eight patients as long as for one, so a bracket is held until another one needs its place or the interval
ends. What is noted of a patient does not depend on when that is: peaks that tie go to the earlier time, and hours in
steps that cross are added up apart from the others.
"""

from __future__ import annotations

import numpy as np

from pkmodel.core.jit import kernel
from pkmodel.core.lanes import WIDTH, bits, choose, load, of_bits, smaller, splat, store
from pkmodel.core.roots import find

#: What a place holds besides the states before the step: start and end of the bracket and a guess (h from the start of
#: the step), the threshold, the start of the step (h), and 1 where the level, or its slope, passes upwards.
LOW, HIGH, GUESS, TARGET, BEGIN, UPWARDS, HELD = 0, 1, 2, 3, 4, 5, 6


@kernel
def hold(structure, chain, notes, found, place, due, low, high, guess, target, begin_at, upwards):
    """Hold a bracket of the step from ``notes.before`` on in the lanes ``due``; finds what they hold already."""
    lanes = bits(due)
    if notes.pending[place] & lanes:
        resolve(structure, chain, notes, found, place)
    row = place * (structure.size + HELD)
    for i in range(structure.size):
        store(notes.held, row + i, choose(due, load(notes.before, i), load(notes.held, row + i)))
    row += structure.size
    store(notes.held, row + LOW, choose(due, low, load(notes.held, row + LOW)))
    store(notes.held, row + HIGH, choose(due, high, load(notes.held, row + HIGH)))
    store(notes.held, row + GUESS, choose(due, guess, load(notes.held, row + GUESS)))
    store(notes.held, row + TARGET, choose(due, target, load(notes.held, row + TARGET)))
    store(notes.held, row + BEGIN, choose(due, begin_at, load(notes.held, row + BEGIN)))
    passing = choose(upwards, splat(1.0), splat(0.0))
    store(notes.held, row + UPWARDS, choose(due, passing, load(notes.held, row + UPWARDS)))
    notes.pending[place] |= lanes


@kernel
def resolve(structure, chain, notes, found, place):
    """Find what a place holds, and note it."""
    lanes = notes.pending[place]
    notes.pending[place] = 0
    due = of_bits(lanes)
    row = place * (structure.size + HELD)
    for i in range(structure.size):
        store(notes.after, i, load(chain.state, i))
        store(notes.again, i, load(notes.held, row + i))
    row += structure.size
    low, high, begin_at = load(notes.held, row + LOW), load(notes.held, row + HIGH), load(notes.held, row + BEGIN)
    upwards = load(notes.held, row + UPWARDS) > 0.5
    k = place // notes.limits if notes.limits else place
    of_slope = np.int64(0) if notes.limits else np.int64(1)
    moment, extremum = find(
        structure,
        chain,
        notes.again,
        notes.slopes,
        notes.compartment[k],
        of_slope,
        due,
        low,
        high,
        load(notes.held, row + GUESS),
        load(notes.held, row + TARGET),
        upwards,
    )
    for i in range(structure.size):
        store(chain.state, i, load(notes.after, i))
    at = begin_at + moment
    if not notes.limits:
        peak, when = load(notes.peak, k), load(notes.when, k)
        higher = due & ((extremum > peak) | ((extremum == peak) & (at < when)))
        store(notes.peak, k, choose(higher, extremum, peak))
        store(notes.when, k, choose(higher, at, when))
        return
    passed, crossed = load(notes.passed, place), load(notes.crossed, place)
    store(notes.passed, place, choose(due, passed + choose(upwards, high - moment, moment - low), passed))
    store(notes.crossed, place, choose(due & upwards, smaller(crossed, at), crossed))
    store(notes.slope, notes.outputs, at)
    for lane in range(found.n):
        if (lanes >> lane) & 1:
            which = found.patients[lane] * notes.outputs * notes.limits + place
            count = found.n_crossings[which]
            if count < found.room:
                found.crossings[which * found.room + count] = notes.slope[notes.outputs * WIDTH + lane]
            found.n_crossings[which] = count + 1


@kernel
def resolve_all(structure, chain, notes, found):
    """Find everything that is held: before an interval is written down."""
    for place in range(notes.outputs * max(notes.limits, 1)):
        if notes.pending[place]:
            resolve(structure, chain, notes, found, place)
