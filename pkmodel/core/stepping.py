"""What all methods share: how long a step is, whether it counts, how a patient starts after a jump, what lies inside.

Every lane decides for itself. The error estimate of a state is held against the state at the end of the step, or
against its floor where the state is lower, and the largest of them decides.
"""

from __future__ import annotations

from math import inf, isfinite

from pkmodel.core.elementary import decaying, mean_exponential, rough_exp2, rough_log2
from pkmodel.core.emit import Lane, Writer
from pkmodel.core.equations import (
    DUE,
    END,
    FRESH,
    GROWTH,
    MOST,
    REJECTED,
    RUNNING,
    STEPS,
    T_START,
    TIGHTNESS,
    Equations,
    H,
    T,
)
from pkmodel.core.method import Method

#: A step is aimed at this part of the longest one that would do; one that failed is repeated with at most the second
#: part of its length, and no step is shorter than the third part of the one before.
_AIM, _RETRY, _SHRINK = 0.96, 0.9, 0.1
#: A rest that is longer than a step by no more than this part is taken in one.
_STRETCH = 1.05
#: The first step is aimed at an estimate that many times below the bound.
_CAUTION = 3.2


def write_attempt(writer: Writer, equations: Equations, method: Method) -> None:
    """One step of every lane. Returns the masks: accepted, arrived at the stop, something to report, stuck."""
    rows, decays = equations.rows, equations.decays()
    time, wished, end = writer.load(T), writer.load(H), writer.load(END)
    running = writer.load(RUNNING) > 0.5
    if isfinite(method.reach):  # steps of a fixed length are as long as they are
        longest = method.reach / equations.fastest(writer)
        wished = wished.smaller((writer.load(TIGHTNESS) > 0.0).choose(longest, inf))
    rest = end - time
    last = rest <= _STRETCH * wished
    h = last.choose(rest, wished.smaller(0.5 * rest))
    writer.store(T_START, time)
    method.begin(writer, equations)
    state, estimates = method.advance(writer, equations, h)
    worst = writer.load(TIGHTNESS) * _largest(writer, equations, method, state, estimates)
    accepted = (worst <= 1.0) & running
    for i in range(equations.states):
        new = _decayed(writer, equations, i, decays[i], h) if i in decays else state[i]
        writer.store(rows.y + i, accepted.choose(new, writer.load(rows.y + i)))
    now = accepted.choose(last.choose(end, time + h), time)
    factor = _AIM * rough_exp2(-1.0 / method.order * rough_log2(worst + 1e-10))
    factor = factor.smaller(accepted.choose(writer.load(GROWTH), _RETRY)).larger(_SHRINK)
    following = h * factor
    following = (accepted & last).choose(following.larger(wished), following)
    steps = writer.load(STEPS) + 1.0
    writer.store(T, now)
    writer.store(H, following)
    writer.store(STEPS, steps)
    writer.store(REJECTED, writer.load(REJECTED) + accepted.choose(0.0, 1.0))
    pending = accepted & (writer.load(DUE) < now)
    with writer.where_any(pending):
        method.inside(writer, equations, h)
    stuck = running & ((~accepted & (time + following <= time)) | (steps >= writer.load(MOST)))
    writer.finish(accepted, accepted & (now >= end), pending, stuck)


def _largest(
    writer: Writer, equations: Equations, method: Method, state: list[Lane], estimates: list[list[Lane]]
) -> Lane:
    """The largest error of a state, relative to the state or its floor; NaN where one is NaN."""
    worst, decays = writer.number(0.0), equations.decays()
    for i in range(equations.states):
        if i not in decays or method.guarded:
            scale = state[i].magnitude().larger(writer.load(equations.rows.floor + i))
            error = method.weigh([estimate[i].magnitude() / scale for estimate in estimates])
            worst = (error <= worst).choose(worst, error)
    return worst


def _decayed(writer: Writer, equations: Equations, i: int, rate_row: int, h: Lane) -> Lane:
    """A state that only loses what it holds, and is fed at a constant rate, after ``h``."""
    passed = writer.load(rate_row) * h
    moved = writer.load(equations.rows.y + i) * decaying(passed)
    if i in equations.ports:
        moved = (writer.load(equations.rows.inflow + i) * h).times(mean_exponential(passed), moved)
    return moved


def write_start(writer: Writer, equations: Equations, method: Method) -> None:
    """The first step after a jump: one whose estimate would be a little below the bound if the system were linear.

    Such an estimate is a power of the step times a derivative of that order. It is held against the state, or, where
    that is small, against what the slope makes of it within the step.
    """
    rows, decays, order = equations.rows, equations.decays(), method.order
    fresh = writer.load(FRESH) > 0.5
    slope = [writer.load(rows.f + i) for i in range(equations.states)]
    derivative = slope
    for _ in range(order - 1):
        derivative = [equations.product(writer, i, derivative, writer.number(0.0)) for i in range(equations.states)]
    tightness = rough_log2(writer.load(TIGHTNESS) * (_CAUTION * method.constant))
    least = writer.number(900.0)
    for i in range(equations.states):
        if i not in decays:
            estimate = rough_log2(derivative[i].magnitude()) + tightness
            state = rough_log2(writer.load(rows.y + i).magnitude().larger(writer.load(rows.floor + i)))
            gained = rough_log2(slope[i].magnitude())
            step = ((state - estimate) * (1.0 / order)).larger((gained - estimate) * (1.0 / (order - 1)))
            least = least.smaller(step)
    writer.store(H, fresh.choose(rough_exp2(least.larger(-900.0)), writer.load(H)))
    writer.store(FRESH, writer.number(0.0))
    writer.finish()


def write_draw(writer: Writer, equations: Equations, method: Method) -> None:
    """The polynomials of the last step in the part of it that has passed (0 to 1), lowest power first."""
    for k, polynomial in enumerate(method.draw(writer, equations)):
        for place, factor in enumerate(polynomial):
            writer.store(equations.rows.curve + method.terms * k + place, factor)
    writer.finish()


def write_values(writer: Writer, equations: Equations, method: Method) -> None:
    """What is observed at the time ``DUE`` inside the last step; a state that decays exactly is read off that decay."""
    rows, decays = equations.rows, equations.decays()
    start, time = writer.load(T_START), writer.load(DUE)
    x = (time - start) / (writer.load(T) - start)
    for k, i in enumerate(equations.observed):
        first = rows.curve + method.terms * k
        if i in decays:
            passed = writer.load(decays[i]) * (time - start)
            total = writer.load(first) * decaying(passed)
            if i in equations.ports:
                total = (writer.load(rows.inflow + i) * (time - start)).times(mean_exponential(passed), total)
        else:
            total = writer.load(first + method.terms - 1)
            for place in range(method.terms - 2, -1, -1):
                total = total.times(x, writer.load(first + place))
        writer.store(rows.out + k, total)
    writer.finish()
