"""Two groups of different patients: differences between their medians, and how often one is lower than the other.

Nobody is paired here, so no patient has a difference of his own. The interval of a difference of medians is put
together from those of the two medians (of the sign test: :mod:`pkmodel.paired`) by the distances of their ends, squared
and added; that of a ratio in the same way on the logarithm. Zou GY, Donner A. Construction of confidence limits about
effect measures: a general approach. Stat Med 2008;27:1693-1702.

How often one group is lower is the share of all pairs of one patient from each, with the variance of DeLong ER, DeLong
DM, Clarke-Pearson DL. Biometrics 1988;44:837-845, and Wilson's interval for as many patients as give that variance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pkmodel import paired
from pkmodel.dominance import TIE, Dominance, Share
from pkmodel.paired import Median

Floats = NDArray[np.float64]

_Z = 1.959963984540054
HOLDS = (
    "95 % intervals of a difference or ratio of two medians of different patients, put together from those of the "
    "medians; simulation error only"
)


@dataclass(frozen=True)
class _Ends:
    """A median and the ends of its interval."""

    middle: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Floats) -> _Ends | None:
        found = paired.median(values)
        if found is None or found.low is None or found.high is None:
            return None
        return cls(found.value, found.low, found.high)


def difference(own: Floats, other: Floats) -> Median | None:
    """The median of ``own`` (n,) minus that of ``other`` (m,); None where it is not known (both infinite).

    Where a median is infinite, or the end of its interval, the interval goes from the lowest to the highest difference
    of the ends, which holds at least as often.
    """
    first, second = paired.median(own), paired.median(other)
    if first is None or second is None or math.isnan(value := first.value - second.value):
        return None
    n = min(own.size, other.size)
    mine, theirs = _Ends.of(own), _Ends.of(other)
    if mine is None or theirs is None:
        return Median(n, value, None, None)
    return Median(n, value, *_ends(mine, theirs))


def _ends(mine: _Ends, theirs: _Ends) -> tuple[float, float]:
    parts = (mine.middle, mine.low, mine.high, theirs.middle, theirs.low, theirs.high)
    if all(map(math.isfinite, parts)):
        value = mine.middle - theirs.middle
        return (
            value - math.hypot(mine.middle - mine.low, theirs.high - theirs.middle),
            value + math.hypot(mine.high - mine.middle, theirs.middle - theirs.low),
        )
    low, high = mine.low - theirs.high, mine.high - theirs.low
    return (-math.inf if math.isnan(low) else low), (math.inf if math.isnan(high) else high)


def ratio(own: Floats, other: Floats) -> Median | None:
    """The median of ``own`` over that of ``other``; None where a value is below 0, or both are 0 or infinite."""
    if (own < 0.0).any() or (other < 0.0).any():
        return None
    with np.errstate(divide="ignore"):
        found = difference(np.log(own), np.log(other))
    first, second = paired.median(own), paired.median(other)
    if found is None or first is None or second is None:
        return None
    value = first.value / second.value if second.value > 0.0 else math.inf
    if found.low is None or found.high is None:
        return Median(found.n, value, None, None)
    return Median(found.n, value, math.exp(found.low), math.exp(found.high))


def sides(own: Floats, other: Floats) -> Dominance:
    """In what share of all pairs, one of ``own`` (n,) and one of ``other`` (m,), the first is lower, equal or higher.

    Values that agree to nine digits are equal; of two infinite ones it cannot be told.
    """
    pairs = own.size * other.size
    mine, theirs = _placed(own, other), _placed(other, own)
    # What is lower for the one is higher for the other.
    lower, equal, higher = (_share(first, second, pairs) for first, second in zip(mine, reversed(theirs), strict=True))
    untold = int(np.isposinf(own).sum()) * int(np.isposinf(other).sum())
    untold += int(np.isneginf(own).sum()) * int(np.isneginf(other).sum())
    return Dominance(pairs, lower, equal, higher, untold, apart=True)


def _placed(values: Floats, among: Floats) -> tuple[Floats, Floats, Floats]:
    """How many ``among`` (m,) each of ``values`` (n,) is lower than, equal to, higher than."""
    order = np.sort(among)
    near = np.where(np.isfinite(values), TIE * np.abs(values), 0.0)
    below, upto = np.searchsorted(order, values - near, "left"), np.searchsorted(order, values + near, "right")
    equal = np.where(np.isfinite(values), upto - below, 0)
    return tuple(part.astype(np.float64) for part in (order.size - upto, equal, below))  # type: ignore[return-value]


def _share(mine: Floats, theirs: Floats, pairs: int) -> Share:
    """The share of pairs on one side, from how many patients of the other group each one has on it."""
    count = int(mine.sum())
    share = count / pairs
    variance = 0.0
    for placed, size in ((mine, theirs.size), (theirs, mine.size)):
        if placed.size > 1:
            variance += float(np.var(placed / size, ddof=1)) / placed.size
    # All pairs on one side have no variance; then as many patients count as the smaller group has.
    n = share * (1.0 - share) / variance if variance > 0.0 else float(min(mine.size, theirs.size))
    shift = _Z * _Z / n
    centre = (share + shift / 2.0) / (1.0 + shift)
    half = _Z * math.sqrt(share * (1.0 - share) / n + shift / (4.0 * n)) / (1.0 + shift)
    low = 0.0 if count == 0 else max(0.0, min(centre - half, share))
    high = 1.0 if count == pairs else min(1.0, max(centre + half, share))
    return Share(count, share, low, high)
