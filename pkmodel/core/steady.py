"""The state of a linear system after endlessly repeated dosing, by one linear solve.

With ``E = exp(M T)`` over the dosing interval T and what one dose leaves at the end of it, ``b``, the state that
repeats itself solves ``(I - E) x = b``. A slow elimination makes ``I - E`` nearly singular, so nothing here is ever
subtracted:

* ``M + r I`` has no negative entry if r is the fastest rate, so the Taylor series of ``exp((M + r I) h)`` and every
  squaring only add positive numbers, and each entry keeps its digits however small it is;
* what leaves the body is a state of its own, fed by ``loss``, so the 1e-9 that a period takes out is known to sixteen
  digits, and not as what is missing from 1. After each squaring the columns are scaled to the sum they must have;
* the solve eliminates compartments one by one with pivots that are sums of flows, never differences. Grassmann WK,
  Taksar MI, Heyman DP. Regenerative analysis and steady state distributions for Markov chains. Oper Res
  1985;33:1107-1116.

All functions take m cases at once, in plain numpy: a table has few such doses, and nothing has to be compiled. A
non-linear system needs iteration on the map of one period instead; that is a function to stand beside these.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Degree of the Taylor series, whose argument has a norm of at most 1/2 before the shift and 1 after it.
_DEGREE = 20


def transition(
    rates: Floats, loss: Floats, compartment: Ints, time: Floats, mass: int
) -> tuple[Floats, Floats, Floats]:
    """What becomes of a unit in each state, and of a unit per hour into one of them, after ``time``.

    Parameters
    ----------
    rates
        (m, s, s) rates in 1/h, entry [k, i, j] from state j to i; only the off-diagonal ones are read. The first
        ``mass`` states exchange drug. The others are followers, effect sites say: fed by those, but nothing is taken
        away for them, and they feed nothing.
    loss
        (m, s) rates at which states lose what they have for good, 1/h.
    compartment
        (m,) where the unit per hour goes.
    time
        (m,) h, of at least 0.

    Returns
    -------
    kept, lost, poured
        (m, s, s), (m, s) and (m, s): amounts by state [of arrival, of origin]; what has been lost of a unit in each;
        and the amounts that an input of 1 per hour has put there.
    """
    cases, count = loss.shape
    outside, port = count, count + 1
    conserved = [*range(mass), outside]
    lane, states = np.arange(cases), np.arange(count)
    matrix = np.zeros((cases, count + 2, count + 2))
    matrix[:, :count, :count] = rates
    matrix[:, states, states] = 0.0
    matrix[:, outside, :mass] = loss[:, :mass]
    leaving = np.where(states < mass, matrix[:, conserved, :count].sum(axis=1), loss)
    fastest = leaving.max(axis=1)
    matrix[lane, compartment, port] = 1.0
    squarings = np.ceil(np.log2(np.maximum(2.0 * fastest * time, 1.0))).astype(np.int64)
    step = np.ldexp(time, -squarings)
    # exp(M h) = exp(-r h) exp((M + r I) h), whose series has positive terms only.
    matrix[:, states, states] = fastest[:, None] - leaving
    matrix[:, [outside, port], [outside, port]] = fastest[:, None]
    scaled = matrix * step[:, None, None]
    result = np.eye(count + 2) + scaled
    term = scaled
    for order in range(2, _DEGREE + 1):
        term = term @ scaled / order
        result = result + term
    result *= np.exp(-fastest * step)[:, None, None]
    _restore(result, step, loss, conserved)
    for done in range(squarings.max(initial=0)):
        again = np.flatnonzero(squarings > done)
        squared = result[again] @ result[again]
        step[again] *= 2.0
        _restore(squared, step[again], loss[again], conserved)
        result[again] = squared
    lost = np.where(states < mass, result[:, outside, :count], -np.expm1(-loss * time[:, None]))
    return result[:, :count, :count], lost, result[:, :count, port]


def _restore(result: Floats, time: Floats, loss: Floats, conserved: list[int]) -> None:
    """Scale columns to what they must add up to: a unit is kept or lost, and an input of 1 per hour brings ``time``.

    A follower only loses what it has.
    """
    count = loss.shape[1]
    mass, port = len(conserved) - 1, count + 1
    sums = result[:, conserved, :].sum(axis=1)
    result[:, :, :mass] /= sums[:, None, :mass]
    result[:, :, port] *= (time / np.where(sums[:, port] > 0.0, sums[:, port], 1.0))[:, None]
    result[:, :, mass : count + 1] = 0.0
    for follower in range(mass, count):
        result[:, follower, follower] = np.exp(-loss[:, follower] * time)
    result[:, count, count] = 1.0
    result[:, port, port] = 1.0


def balance(flows: Floats, loss: Floats, source: Floats, mass: int) -> Floats:
    """The amounts (m, s) at which as much leaves each state as enters it.

    ``flows`` (m, s, s) are shares that pass from state j to i (the diagonal is not read), ``loss`` (m, s) those that
    are lost for good, and ``source`` (m, s) what comes from outside; ``mass`` as for :func:`transition`. A compartment
    that nothing leaves must not be reached by the source; it is given 0.
    """
    flows, loss, amounts = flows.copy(), loss.copy(), source.copy()
    pivots = np.zeros_like(loss)
    for last in range(loss.shape[1] - 1, -1, -1):
        leaving = loss[:, last] + (flows[:, :last, last].sum(axis=1) if last < mass else 0.0)
        pivots[:, last] = np.divide(1.0, leaving, out=np.zeros_like(leaving), where=leaving > 0.0)
        if last < mass:
            share = flows[:, last, :last] * pivots[:, last, None]
            flows[:, :last, :last] += flows[:, :last, last, None] * share[:, None, :]
            loss[:, :last] += loss[:, last, None] * share
            amounts[:, :last] += flows[:, :last, last] * (amounts[:, last] * pivots[:, last])[:, None]
    for index in range(loss.shape[1]):
        inflow = (flows[:, index, :index] * amounts[:, :index]).sum(axis=1)
        amounts[:, index] = (amounts[:, index] + inflow) * pivots[:, index]
    return amounts


def trapped(rates: Floats, loss: Floats, compartment: Ints) -> Ints:
    """The first compartment (m,) that drug from ``compartment`` (m,) reaches and cannot leave for good; -1: none."""
    cases, count = loss.shape
    steps: NDArray[np.bool_] = (rates > 0.0) | np.eye(count, dtype=bool)
    for _ in range(max(count - 1, 0).bit_length()):
        steps = np.any(steps[:, :, :, None] & steps[:, None, :, :], axis=2)
    leaves = (steps & (loss > 0.0)[:, :, None]).any(axis=1)
    stuck = steps[np.arange(cases), :, compartment] & ~leaves
    return np.where(stuck.any(axis=1), stuck.argmax(axis=1), -1)


def repeated(
    rates: Floats,
    loss: Floats,
    compartment: Ints,
    amount: Floats,
    duration: Floats,
    interval: Floats,
    phase: Floats,
    mass: int,
) -> Floats:
    """The amounts (m, s) ``phase`` h after a dose that has been repeated every ``interval`` h for ever.

    Parameters
    ----------
    rates, loss, compartment, mass
        as for :func:`transition`. Drug must have a way out of wherever it gets (:func:`trapped`).
    amount
        (m,) of each dose.
    duration
        (m,) h over which it is infused; 0 at once. May be longer than the interval.
    interval, phase
        (m,) h, with ``0 <= phase < interval``; at phase 0 a dose given at once has just arrived.
    """
    lane = np.arange(loss.shape[0])
    at_once = duration == 0.0
    rate = np.where(at_once, 0.0, amount / np.where(at_once, 1.0, duration))[:, None]
    running = np.floor(duration / interval)  # infusions that run all through an interval
    rest = np.clip(duration - running * interval, 0.0, interval)  # and for how long one more does
    running = running[:, None]

    def after(time: Floats) -> tuple[Floats, Floats, Floats]:
        return transition(rates, loss, compartment, time, mass)

    kept, lost, poured = after(interval)
    source = running * rate * poured
    source[lane, compartment] += np.where(at_once, amount, 0.0)
    begun = after(rest)[2]
    source += rate * (after(interval - rest)[0] @ begun[:, :, None])[:, :, 0]
    start = balance(kept, lost, source, mass)
    kept, _, poured = after(phase)
    amounts = (kept @ start[:, :, None])[:, :, 0] + running * rate * poured
    ended = (after(np.maximum(phase - rest, 0.0))[0] @ begun[:, :, None])[:, :, 0]
    return amounts + rate * np.where((phase < rest)[:, None], poured, ended)


def constant(rates: Floats, loss: Floats, compartment: Ints, rate: Floats, mass: int) -> Floats:
    """The amounts (m, s) under an infusion into ``compartment`` at ``rate`` (m,) per hour that has run for ever."""
    source = np.zeros_like(loss)
    source[np.arange(loss.shape[0]), compartment] = rate
    return balance(rates, loss, source, mass)
