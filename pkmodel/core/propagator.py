"""The matrix exponential of a compartment system, and a chain of its squares.

Between two dosing events a linear system ``y' = M y`` is moved exactly by ``exp(M t)``. ``M`` is the rate
matrix of the compartments, augmented by running integrals (for AUC) and by input ports (for infusions),
so that every off-diagonal entry is non-negative. Three things follow:

* nothing is subtracted when the exponential is squared, so equal or vanishing rate constants (transit
  chains, CL = 0, Q = 0) need no special case;
* the diagonal is kept as ``exp(M t) - 1`` while it is near zero, which keeps a slow compartment exact
  beside one that is 10,000 times faster;
* with ``h`` a power of two, any time is a sum of ``h 2**k`` plus a rest below ``h``, in exact arithmetic:
  one chain of squares per patient serves every gap of a course.

Higham NJ. The scaling and squaring method for the matrix exponential revisited. SIAM J Matrix Anal Appl
2005;26:1179-1193, for the general method.
"""

from __future__ import annotations

import numpy as np

from pkmodel.core.jit import kernel

#: Degree of the Taylor series; with ``norm(M) h <= 1/2`` the first term left out is below 2e-17.
DEGREE = 14
#: Levels a chain may have: from a rate of 1e5 /h to a gap of a century.
MAX_LEVELS = 52


@kernel
def base_step(matrix, n):
    """The largest power of two ``h <= 1`` h with ``norm(M[:n, :n]) h <= 1/2`` (1-norm)."""
    norm = 0.0
    for j in range(n):
        column = 0.0
        for i in range(n):
            column += abs(matrix[i, j])
        norm = max(norm, column)
    step = 1.0
    while norm * step > 0.5:
        step *= 0.5
    return step


@kernel
def levels_for(longest, step):
    """How many squares of ``exp(M step)`` a gap of ``longest`` can need."""
    levels = 1
    while step * 2.0**levels <= longest and levels < MAX_LEVELS:
        levels += 1
    return levels


@kernel
def small_exponential(matrix, size, step, out, less_one, term, work):
    """``out = exp(M step)`` by Taylor series for ``norm(M) step <= 1/2``; ``less_one`` is its diagonal less 1."""
    for i in range(size):
        for j in range(size):
            out[i, j] = matrix[i, j] * step
            term[i, j] = out[i, j]
    for order in range(2, DEGREE + 1):
        scale = step / order
        for i in range(size):
            for j in range(size):
                work[i, j] = 0.0
            for k in range(size):
                factor = matrix[i, k] * scale
                if factor != 0.0:
                    for j in range(size):
                        work[i, j] += factor * term[k, j]
        for i in range(size):
            for j in range(size):
                term[i, j] = work[i, j]
                out[i, j] += work[i, j]
    for i in range(size):
        less_one[i] = out[i, i]
        out[i, i] = 1.0 + less_one[i]


@kernel
def square(matrix, less_one, size, out, less_one_out):
    """``out = matrix @ matrix`` with the diagonal tracked as its distance from 1."""
    for i in range(size):
        for j in range(size):
            out[i, j] = 0.0
        returned = 0.0
        for k in range(size):
            factor = matrix[i, k]
            if factor != 0.0:
                if k != i:
                    returned += factor * matrix[k, i]
                for j in range(size):
                    out[i, j] += factor * matrix[k, j]
        if less_one[i] > -0.5:
            less_one_out[i] = 2.0 * less_one[i] + less_one[i] * less_one[i] + returned
            out[i, i] = 1.0 + less_one_out[i]
        else:
            less_one_out[i] = out[i, i] - 1.0


@kernel
def build_chain(matrix, size, step, levels, chain, less_one, term, work):
    """``chain[k] = exp(M step 2**k)`` for ``k < levels``."""
    small_exponential(matrix, size, step, chain[0], less_one[0], term, work)
    for level in range(1, levels):
        square(chain[level - 1], less_one[level - 1], size, chain[level], less_one[level])


@kernel
def exponential(matrix, size, step, time, out, chain, less_one, term, work):
    """``out = exp(M time)`` for any time, by scaling and squaring; ``step`` is that of :func:`base_step`."""
    squarings = 0
    scaled = time
    while scaled > step:
        scaled *= 0.5
        squarings += 1
    small_exponential(matrix, size, scaled, chain[0], less_one[0], term, work)
    now = 0
    for _ in range(squarings):
        square(chain[now], less_one[now], size, chain[1 - now], less_one[1 - now])
        now = 1 - now
    for i in range(size):
        for j in range(size):
            out[i, j] = chain[now, i, j]


@kernel
def apply(propagator, size, state, work):
    """``state = propagator @ state``."""
    for i in range(size):
        total = 0.0
        for j in range(size):
            total += propagator[i, j] * state[j]
        work[i] = total
    for i in range(size):
        state[i] = work[i]


@kernel
def apply_small(matrix, size, time, state, term, work):
    """``state = exp(M time) @ state`` by Taylor series, for a rest below the base step."""
    for i in range(size):
        term[i] = state[i]
    for order in range(1, DEGREE + 1):
        scale = time / order
        done = True
        for i in range(size):
            total = 0.0
            for j in range(size):
                total += matrix[i, j] * term[j]
            work[i] = total * scale
        for i in range(size):
            term[i] = work[i]
            state[i] += work[i]
            if abs(work[i]) > 1e-18 * abs(state[i]):
                done = False
        if done:
            break


@kernel
def advance(matrix, size, chain, levels, step, time, state, term, work):
    """``state = exp(M time) @ state`` through the chain: binary digits of the time, then the rest."""
    whole = np.floor(time / step)
    rest = time - whole * step
    digits = np.int64(whole)
    for level in range(levels):
        if digits & (np.int64(1) << level):
            apply(chain[level], size, state, work)
    if rest > 0.0:
        apply_small(matrix, size, rest, state, term, work)
