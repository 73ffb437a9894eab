"""Differences and ratios between arms, patient by patient, with an exact interval of their median.

The interval is that of the sign test: of n differences in order, the k-th from either end, k as large as
P(Bin(n, 1/2) < k) <= 2.5 % allows. It needs no distribution of the differences, holds its 95 % for any n, and does not
mind infinite ones. Hahn GJ, Meeker WQ. Statistical Intervals. Wiley 1991, section 5.2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: Two-sided confidence of the intervals.
CONFIDENCE = 0.95
HOLDS = (
    "95 % intervals of the median over pairs, by the sign test; simulation error only: how well so many virtual "
    "patients show it, neither how much patients differ nor how right the models are"
)


@dataclass(frozen=True)
class Median:
    """A median over ``n`` values with its interval; ``low`` and ``high`` are None where n is too small for one."""

    n: int
    value: float
    low: float | None
    high: float | None


def rank(n: int) -> int:
    """Which value from either end of ``n`` in order bounds the interval (from 1); 0 where none does."""
    from scipy.special import bdtr

    tail = (1.0 - CONFIDENCE) / 2.0
    found = max(int(0.5 * n - 0.98 * math.sqrt(n)), 0)  # near it, by the normal law
    while found > 0 and bdtr(found - 1, n, 0.5) > tail:
        found -= 1
    while 2 * found < n and bdtr(found, n, 0.5) <= tail:
        found += 1
    return found


def median(values: Floats) -> Median | None:
    """The median of values (n,) that may be infinite but are no NaN; None of nothing.

    Where it lies between a finite and an infinite value it is infinite; between infinite ones of both signs it is the
    lower one.
    """
    n = values.size
    if n == 0:
        return None
    order = np.sort(values)
    low, high = order[(n - 1) // 2], order[n // 2]
    middle = float(low) if low == high or np.isneginf(low) else float(0.5 * (low + high))
    k = rank(n)
    return Median(n, middle, *((float(order[k - 1]), float(order[n - k])) if k else (None, None)))


def differences(own: Floats, other: Floats) -> Floats:
    """``own`` - ``other`` of every pair (n,) of which it can be told: not of two that are both infinite."""
    usable = np.isfinite(own) | np.isfinite(other)
    return own[usable] - other[usable]


def ratios(own: Floats, other: Floats) -> Floats:
    """``own`` / ``other`` of every pair (n,) of which it can be told; nothing where any value is below 0."""
    if (own < 0.0).any() or (other < 0.0).any():
        return np.empty(0)
    usable = (np.isfinite(own) | np.isfinite(other)) & ((own > 0.0) | (other > 0.0))
    nothing = np.full(int(usable.sum()), np.inf)
    found: Floats = np.divide(own[usable], other[usable], out=nothing, where=other[usable] > 0.0)
    return found
