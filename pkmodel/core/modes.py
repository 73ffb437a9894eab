"""The modes of one to three compartments around a centre: exponents, weights, and what a time does to them.

Gibaldi M, Perrier D. Pharmacokinetics, 2nd ed. Dekker, 1982, appendix B, for the coefficients.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pkmodel.core.jit import merged, piece
from pkmodel.core.lanes import (
    bits,
    fma,
    larger,
    load,
    magnitude,
    power_of_two,
    rounded,
    splat,
    square_root,
    store,
)

#: Rates that differ by less than this part of the larger are too close for a sum of exponentials: it would lose more
#: than two of its sixteen digits.
_APART = 2.0**-6
_LOG2_E = 1.4426950408889634
_LN2_HIGH, _LN2_LOW = 0.6931471803691238, 1.9082149292705877e-10
#: Times of equal length whose exponentials are kept.
KEPT = 8


@merged
def less_one(x):
    """``exp(x) - 1`` and ``exp(x)`` for ``x <= 0``, to the last digit or two; below 1e-307 it is 1e-307."""
    x = larger(x, splat(-708.0))
    whole = rounded(x * _LOG2_E)
    r = fma(whole, splat(-_LN2_LOW), fma(whole, splat(-_LN2_HIGH), x))
    p = splat(1.0 / 6227020800.0)
    p = fma(p, r, splat(1.0 / 479001600.0))
    p = fma(p, r, splat(1.0 / 39916800.0))
    p = fma(p, r, splat(1.0 / 3628800.0))
    p = fma(p, r, splat(1.0 / 362880.0))
    p = fma(p, r, splat(1.0 / 40320.0))
    p = fma(p, r, splat(1.0 / 5040.0))
    p = fma(p, r, splat(1.0 / 720.0))
    p = fma(p, r, splat(1.0 / 120.0))
    p = fma(p, r, splat(1.0 / 24.0))
    p = fma(p, r, splat(1.0 / 6.0))
    p = fma(p, r, splat(0.5))
    p = fma(r * r, p, r)
    power = power_of_two(whole)
    return fma(power, p, power - 1.0), fma(power, p, power)


class Bench(NamedTuple):
    """Memory for one group of eight patients, in lanes but for the last four.

    ``rate`` (5,) central to outside, to and from each peripheral; ``exponent`` and ``weight`` (3,) the modes;
    ``decay`` and ``gain`` (KEPT + 1, 3) what a time does to a mode and to an infusion; ``level`` (times,).
    ``kept`` holds the number of steps that each slot stands for, and at its end the slot to be used next.
    """

    rate: np.ndarray
    exponent: np.ndarray
    weight: np.ndarray
    decay: np.ndarray
    gain: np.ndarray
    level: np.ndarray
    spare: np.ndarray
    block: np.ndarray
    patients: np.ndarray
    kept: np.ndarray
    single: int


@piece
def modes_of(bench, compartments):
    """Exponents and weights of a group from its rates; returns the lanes in which they can be trusted, as bits."""
    k10, k12, k21 = load(bench.rate, 0), load(bench.rate, 1), load(bench.rate, 2)
    k13, k31 = load(bench.rate, 3), load(bench.rate, 4)
    zero, one = splat(0.0), splat(1.0)
    if compartments == 1:
        store(bench.exponent, 0, k10)
        store(bench.weight, 0, one)
        for mode in range(1, 3):
            store(bench.exponent, mode, one)
            store(bench.weight, mode, zero)
        return bits(k10 > 0.0)
    if compartments == 2:
        total = k10 + k12 + k21
        root = square_root(larger(fma(total, total, k10 * k21 * -4.0), zero))
        fast = (total + root) * 0.5
        slow = k10 * k21 / fast
        store(bench.exponent, 0, fast)
        store(bench.exponent, 1, slow)
        store(bench.exponent, 2, one)
        store(bench.weight, 0, (fast - k21) / root)
        store(bench.weight, 1, (k21 - slow) / root)
        store(bench.weight, 2, zero)
        good = (slow > fast * 1e-9) & (root > fast * _APART)
        return bits(good & (fast - k21 > fast * _APART) & (k21 - slow > k21 * _APART))
    # The cubic x**3 - a2 x**2 + a1 x - a0. Its largest root lies below a2/3 + 2 s, from where Halley's method descends.
    a2 = k10 + k12 + k13 + k21 + k31
    a1 = k10 * k31 + k21 * k31 + k21 * k13 + k10 * k21 + k31 * k12
    a0 = k10 * k21 * k31
    x = (a2 + square_root(larger(fma(a2, a2, a1 * -3.0), zero)) * 2.0) * (1.0 / 3.0)
    step = x
    for _ in range(5):
        value = fma(fma(x - a2, x, a1), x, -a0)
        slope = fma(fma(x, splat(3.0), a2 * -2.0), x, a1)
        bend = fma(x, splat(3.0), -a2)
        step = value * slope / fma(slope, slope, -(value * bend))
        x = x - step
    total, product = a2 - x, a0 / x
    root = square_root(larger(fma(total, total, product * -4.0), zero))
    fast, middle = x, (total + root) * 0.5
    slow = product / middle
    store(bench.exponent, 0, fast)
    store(bench.exponent, 1, middle)
    store(bench.exponent, 2, slow)
    store(bench.weight, 0, (k21 - fast) * (k31 - fast) / ((middle - fast) * (slow - fast)))
    store(bench.weight, 1, (k21 - middle) * (k31 - middle) / ((fast - middle) * (slow - middle)))
    store(bench.weight, 2, (k21 - slow) * (k31 - slow) / ((fast - slow) * (middle - slow)))
    good = (magnitude(step) <= x * 1e-15) & (slow > fast * 1e-9)
    good = good & (fast - middle > fast * _APART) & (middle - slow > middle * _APART)
    for mode in range(3):
        exponent = load(bench.exponent, mode)
        good = good & (magnitude(k21 - exponent) > larger(k21, exponent) * _APART)
        good = good & (magnitude(k31 - exponent) > larger(k31, exponent) * _APART)
    return bits(good)


@piece
def lengthen(bench, slot, time):
    """What ``time`` h do to each mode, and to an infusion of 1 mg/h, into a slot of ``decay`` and ``gain``."""
    for mode in range(3):
        exponent = load(bench.exponent, mode)
        less, whole = less_one(exponent * -time)
        store(bench.decay, slot * 3 + mode, whole)
        store(bench.gain, slot * 3 + mode, load(bench.weight, mode) * -less / exponent)
