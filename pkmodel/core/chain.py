"""The matrix exponential of eight compartment systems at a time, and a chain of its squares.

Between two dosing events a linear system ``y' = M y`` is moved exactly by ``exp(M t)``. ``M`` is the rate matrix of the
compartments, augmented by running integrals (for AUC) and by input ports (for infusions), so that every
off-diagonal entry is non-negative. Three things follow:

* nothing is subtracted when the exponential is squared, so equal or vanishing rate constants (transit chains,
  CL = 0, Q = 0) need no special case;
* the diagonal is kept as ``exp(M t) - 1`` while it is near zero, which keeps a slow compartment exact beside one that
  is 10,000 times faster;
* any time is a whole number of base steps, moved by the squares that its binary digits name, and a rest below a base
  step, moved by a Taylor series.

The base step of a patient is ``unit * 2**-shift`` with the smallest shift for which ``norm(M) * step <= 1/2``. The unit
is the same for all (the step of the grid of observations, where there is one); the shift is the patient's own, and so
is every number that comes of it.

Higham NJ. The scaling and squaring method for the matrix exponential revisited. SIAM J Matrix Anal Appl
2005;26:1179-1193, for the general method.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pkmodel.core.jit import merged, piece
from pkmodel.core.lanes import (
    WIDTH,
    aligned_together,
    bit_set,
    bits,
    choose,
    fma,
    larger,
    load,
    magnitude,
    of_bits,
    onwards,
    rounded,
    splat,
    store,
    store_whole,
)
from pkmodel.core.native import run

#: Degree of the Taylor series; with ``norm(M) h <= 1/2`` the first term left out is below 3e-17.
DEGREE = 14
#: Base steps may be 2**30 times shorter than the unit: rates up to 5e8 per unit of time.
MAX_SHIFT = 30
#: Squares that a chain has room for.
MAX_LEVELS = 62
#: A term of a series counts where it is a larger part of its state than this.
SMALL = 1e-18
#: Two times closer than this part of themselves are one time, rounded twice.
SAME_TIME = 2.0**-51


class Chain(NamedTuple):
    """The memory of one group of eight patients; all but the last five are in lanes.

    ``square`` (MAX_LEVELS, entries) are the exponentials over the base step times 1, 2, 4, ..., of which ``built[0]``
    are there; ``less_one`` (MAX_LEVELS, size) their diagonals less 1. ``matrix`` (entries,) is M times the base step
    ``base``. ``shift`` is a patient's own, ``deepest[0]`` the largest of the group, which is where the chain begins.
    ``whole`` and ``portion`` are the time to move by: whole base steps (in steps of the deepest) and the rest as a part
    of one. ``lanes`` is WIDTH as a number that the compiler does not know: it would write out loops over lanes eight
    times, which where a lane has its own way costs time to compile and gains none.
    """

    square: np.ndarray
    less_one: np.ndarray
    matrix: np.ndarray
    series: np.ndarray
    state: np.ndarray
    term: np.ndarray
    moved: np.ndarray
    base: np.ndarray
    portion: np.ndarray
    scale: np.ndarray
    shift: np.ndarray
    whole: np.ndarray
    deepest: np.ndarray
    built: np.ndarray
    lanes: int


def chain_for(size: int, entries: int) -> Chain:
    """Memory for systems of ``size`` states with ``entries`` entries of the exponential."""
    square, less_one, matrix, series, state, term, moved, base, portion, scale = aligned_together(
        (MAX_LEVELS, entries, WIDTH),
        (MAX_LEVELS, size, WIDTH),
        (entries, WIDTH),
        (2, entries, WIDTH),
        *[(size, WIDTH)] * 3,
        *[(1, WIDTH)] * 3,
    )
    shift, whole = np.zeros((2, WIDTH), dtype=np.int64)
    deepest, built = np.zeros((2, 1), dtype=np.int64)
    return Chain(
        square, less_one, matrix, series, state, term, moved, base, portion, scale, shift, whole, deepest, built, WIDTH
    )


def queue_of(rates: np.ndarray, unit: float = 1.0) -> np.ndarray:
    """The order in which patients are best grouped: those of like base steps, which are halvings of ``unit`` (h),
    together. A matter of speed only.
    """
    norm = np.abs(rates).sum(axis=1).max(axis=1) * unit
    return np.argsort(np.frexp(norm)[1], kind="stable")


@piece
def begin(structure, rates, patients, unit, chain):
    """Set up the systems of the eight ``patients``: base step, and the first link of the chain."""
    entries, states = structure.entries, structure.states
    zero = splat(0.0)
    for entry in range(entries):
        store(chain.matrix, entry, zero)
    for i in range(states):
        for k in range(structure.direct_start[i], structure.direct_start[i + 1]):
            entry, j = structure.direct_entry[k], structure.direct_column[k]
            if j < states:
                for lane in range(WIDTH):
                    chain.matrix[entry * WIDTH + lane] = rates[(patients[lane] * states + i) * states + j]
    for i in range(structure.size):
        for k in range(structure.direct_start[i], structure.direct_start[i + 1]):
            if structure.direct_column[k] != i and (i >= states or structure.direct_column[k] >= states):
                store(chain.matrix, structure.direct_entry[k], splat(1.0))
    # The norm is the largest sum of a column; sums are gathered in `term`.
    for i in range(states):
        store(chain.term, i, zero)
    for i in range(states):
        for k in range(structure.direct_start[i], structure.direct_start[i + 1]):
            j = structure.direct_column[k]
            if j < states:
                store(chain.term, j, load(chain.term, j) + magnitude(load(chain.matrix, structure.direct_entry[k])))
    norm = zero
    for j in range(states):
        norm = larger(norm, load(chain.term, j))
    store(chain.base, 0, norm * unit)
    deepest = np.int64(0)  # not a literal: numba would compile `extend` once more for it
    for lane in range(chain.lanes):
        shift, scaled, step = 0, chain.base[lane], unit
        while scaled > 0.5 and shift < MAX_SHIFT:
            scaled *= 0.5
            step *= 0.5
            shift += 1
        chain.shift[lane] = shift
        chain.base[lane] = step
        deepest = max(deepest, shift)
    chain.deepest[0] = deepest
    base = load(chain.base, 0)
    for entry in range(entries):
        store(chain.matrix, entry, load(chain.matrix, entry) * base)
    _series(structure, chain)
    chain.built[0] = 1
    extend(structure, chain, deepest)


@merged
def _series(structure, chain):
    """The first link: ``exp(A) - 1`` for ``A = chain.matrix`` by Horner's scheme, in ``chain.square[0]``."""
    entries = structure.entries
    now = 0
    for entry in range(entries):
        store(chain.series, entry, load(chain.matrix, entry) * (1.0 / DEGREE))
    for order in range(DEGREE - 1, 0, -1):
        source, target = now * entries, (1 - now) * entries
        scale = splat(1.0 / order)
        for entry in range(entries):
            total = load(chain.matrix, entry)
            for k in range(structure.taylor_start[entry], structure.taylor_start[entry + 1]):
                total = fma(
                    load(chain.matrix, structure.taylor_left[k]),
                    load(chain.series, source + structure.taylor_right[k]),
                    total,
                )
            store(chain.series, target + entry, total * scale)
        now = 1 - now
    for entry in range(entries):
        store(chain.square, entry, load(chain.series, now * entries + entry))
    for i in range(structure.size):
        less_one = load(chain.square, structure.diagonal[i])
        store(chain.less_one, i, less_one)
        store(chain.square, structure.diagonal[i], less_one + 1.0)


@piece
def extend(structure, chain, level):
    """Build the chain up to ``level``.

    The chain begins at the deepest base step of the group. Patients whose own base step is longer wait in it until
    their first link is due.
    """
    entries, size = structure.entries, structure.size
    while chain.built[0] <= level:
        now = chain.built[0]
        old, new = (now - 1) * entries, now * entries
        for entry in range(entries):
            total = splat(0.0)
            for k in range(structure.product_start[entry], structure.product_start[entry + 1]):
                total = fma(
                    load(chain.square, old + structure.product_left[k]),
                    load(chain.square, old + structure.product_right[k]),
                    total,
                )
            store(chain.square, new + entry, total)
        for i in range(size):
            entry = structure.diagonal[i]
            # What returns on a path through others, without the last pair (the diagonal with itself).
            returned = splat(0.0)
            for k in range(structure.product_start[entry], structure.product_start[entry + 1] - 1):
                returned = fma(
                    load(chain.square, old + structure.product_left[k]),
                    load(chain.square, old + structure.product_right[k]),
                    returned,
                )
            less_one = load(chain.less_one, (now - 1) * size + i)
            near = less_one > -0.5
            doubled = fma(less_one, less_one, 2.0 * less_one) + returned
            whole = load(chain.square, new + entry)
            store(chain.less_one, now * size + i, choose(near, doubled, whole - 1.0))
            store(chain.square, new + entry, choose(near, doubled + 1.0, whole))
        if now <= chain.deepest[0]:
            waiting = 0
            for lane in range(chain.lanes):
                if chain.deepest[0] - now >= chain.shift[lane]:
                    waiting |= 1 << lane
            if waiting:
                wait = of_bits(waiting)
                for entry in range(entries):
                    kept = load(chain.square, old + entry)
                    store(chain.square, new + entry, choose(wait, kept, load(chain.square, new + entry)))
                for i in range(size):
                    kept = load(chain.less_one, (now - 1) * size + i)
                    store(chain.less_one, now * size + i, choose(wait, kept, load(chain.less_one, now * size + i)))
        chain.built[0] = now + 1


@merged
def measure(chain, time, before):
    """Split the time (in lanes) from ``before`` to ``time`` into whole base steps and a rest."""
    base = load(chain.base, 0)
    span = time - before
    whole = rounded(span / base)
    rest = span - whole * base
    same = magnitude(rest) <= time * SAME_TIME
    short = rest < 0.0
    whole = choose(same, whole, choose(short, whole - 1.0, whole))
    rest = choose(same, splat(0.0), choose(short, rest + base, rest))
    store_whole(chain.whole, whole)
    store(chain.portion, 0, rest / base)
    if chain.deepest[0] > 0:
        for lane in range(WIDTH):
            chain.whole[lane] <<= chain.deepest[0] - chain.shift[lane]


@merged
def apply(structure, chain, level, state, moved):
    """``moved = square[level] @ state``, two memories that differ."""
    offset = level * structure.entries
    if structure.apply_code:
        run(structure.apply_code, (onwards(chain.square, offset), state, moved))
        return
    for i in range(structure.size):
        total = splat(0.0)
        for entry in range(structure.row_start[i], structure.row_start[i + 1]):
            total = fma(load(chain.square, offset + entry), load(state, structure.column[entry]), total)
        store(moved, i, total)


@merged
def next_term(structure, chain, scale, adding):
    """The next term of a series, ``matrix @ term * scale`` in place of ``chain.term``, and added to ``chain.state`` in
    the lanes ``adding``; returns the lanes in which it still counts, as bits.
    """
    if structure.term_code:
        store(chain.scale, 0, scale)
        return run(structure.term_code, (chain.matrix, chain.term, chain.state, chain.scale, bits(adding)))
    for i in range(structure.size):
        total = splat(0.0)
        for k in range(structure.direct_start[i], structure.direct_start[i + 1]):
            total = fma(
                load(chain.matrix, structure.direct_entry[k]), load(chain.term, structure.direct_column[k]), total
            )
        store(chain.moved, i, total * scale)
    counts = scale < scale
    for i in range(structure.size):
        term, state = load(chain.moved, i), load(chain.state, i)
        changed = choose(adding, state + term, state)
        store(chain.term, i, term)
        store(chain.state, i, changed)
        counts = counts | (magnitude(term) > magnitude(changed) * SMALL)
    return bits(counts)


@merged
def move(structure, chain):
    """Move the state by the times that :func:`measure` has left in ``whole`` and ``portion``."""
    digits = np.int64(0)
    for lane in range(WIDTH):
        digits |= chain.whole[lane]
    level = np.int64(0)
    while digits:
        if digits & 1:
            if chain.built[0] <= level:
                extend(structure, chain, level)
            apply(structure, chain, level, chain.state, chain.moved)
            moving = bit_set(chain.whole, level)
            for i in range(structure.size):
                store(chain.state, i, choose(moving, load(chain.moved, i), load(chain.state, i)))
        digits >>= 1
        level += 1
    portion = load(chain.portion, 0)
    if bits(portion > 0.0):
        move_rest(structure, chain, portion)


@merged
def move_rest(structure, chain, portion):
    """The rest below a base step: a Taylor series on the state, until no digit changes any more."""
    for i in range(structure.size):
        store(chain.term, i, load(chain.state, i))
    moving = portion > 0.0
    for order in range(1, DEGREE + 1):
        moving = moving & of_bits(next_term(structure, chain, portion * (1.0 / order), moving))
        if not bits(moving):
            break
