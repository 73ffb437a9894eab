"""When a level, or its slope, passes a value inside a step of an exact solution."""

from __future__ import annotations

from pkmodel.core.chain import measure, move
from pkmodel.core.jit import merged, piece
from pkmodel.core.lanes import bits, choose, fma, larger, load, magnitude, splat, store

#: Steps of Newton's method or bisection; four or five are usual, and a bracket is down to its last digit after 60.
_MOST = 100


@merged
def slope_of(structure, chain, state, compartment):
    """The derivative of an amount in the states ``state``, per base step of the patient."""
    total = splat(0.0)
    for k in range(structure.direct_start[compartment], structure.direct_start[compartment + 1]):
        total = fma(load(chain.matrix, structure.direct_entry[k]), load(state, structure.direct_column[k]), total)
    return total


@piece
def find(structure, chain, notes, k, of_slope, due, low, high, guess, target, rising):
    """Hours after the states ``notes.before`` at which the amount of output ``k``, or its slope, passes ``target``, in
    the lanes ``due``; and the amount then.

    It lies between ``low`` and ``high``, near ``guess``; ``rising`` is the mask of lanes in which it passes upwards.
    Each step of Newton's method evaluates the exact solution and stays inside the bracket; a patient's steps do not
    depend on the others of the group.
    """
    compartment, base, zero = notes.compartment[k], load(chain.base, 0), splat(0.0)
    for i in range(structure.size):
        store(notes.after, i, load(chain.state, i))
    time = choose(due & (guess >= low) & (guess <= high), guess, choose(due, (low + high) * 0.5, zero))
    end, amount = choose(due, high, zero), zero
    for _ in range(_MOST):
        for i in range(structure.size):
            store(chain.state, i, load(notes.before, i))
        measure(chain, time, zero)
        move(structure, chain)
        value, speed = load(chain.state, compartment), zero
        amount = choose(due, value, amount)  # where others of the group go on, this one has its last
        if of_slope:
            for i in range(structure.size):
                store(notes.slopes, i, slope_of(structure, chain, chain.state, i))
            value = load(notes.slopes, compartment)
            speed = slope_of(structure, chain, notes.slopes, compartment) / base
        else:
            speed = slope_of(structure, chain, chain.state, compartment) / base
        value = value - target
        over = value > 0.0
        beyond = (over & rising) | (~over & ~rising)
        high = choose(beyond, time, high)
        low = choose(beyond, low, time)
        following = time - value / speed
        inside = (following > low) & (following < high)
        following = choose(inside, following, (low + high) * 0.5)
        # Newton's error is squared at each step: after one of 1e-8 of the bracket nothing is left to gain.
        near = (value == 0.0) | (magnitude(following - time) <= end * 1e-8) | (high - low <= end * 2e-16)
        time = choose(due & ~(value == 0.0), following, time)
        due = due & ~near
        if not bits(due):
            break
    for i in range(structure.size):
        store(chain.state, i, load(notes.after, i))
    return larger(time, zero), amount
