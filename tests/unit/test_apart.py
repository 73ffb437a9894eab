"""Two groups of different patients: intervals that hold as often as they say, and shares of pairs by brute force."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pkmodel import apart, dominance, paired

INF = math.inf
_LEVELS = st.one_of(st.floats(0.0, 1e6, allow_subnormal=False), st.sampled_from([0.0, 1.0, 2.0, INF]))


def test_difference_and_ratio_by_hand() -> None:
    """1 to 11 has the median 6 with 2 to 10 around it; of 21 to 31 it is 26, with 22 to 30."""
    own, other = np.arange(21.0, 32.0), np.arange(1.0, 12.0)
    assert paired.rank(11) == 2
    gap = apart.difference(own, other)
    assert gap is not None
    assert (gap.value, gap.low, gap.high) == pytest.approx((20.0, 20.0 - math.hypot(4, 4), 20.0 + math.hypot(4, 4)))
    part = apart.ratio(own, other)
    assert part is not None
    low = 26 / 6 * math.exp(-math.hypot(math.log(26 / 22), math.log(10 / 6)))
    high = 26 / 6 * math.exp(math.hypot(math.log(30 / 26), math.log(6 / 2)))
    assert (part.value, part.low, part.high) == pytest.approx((26 / 6, low, high))


def test_intervals_hold_as_often_as_they_say() -> None:
    """Over 600 studies of two lognormal groups of different size and spread, seeded."""
    rng = np.random.default_rng(20261126)
    # P(X < Y) of two normal laws; medians 1 and exp(0.4).
    superior = 0.5 * (1.0 + math.erf(0.4 / math.sqrt(0.25 + 0.64) / math.sqrt(2.0)))
    truth = (1.0 - math.exp(0.4), math.exp(-0.4), superior)
    held = np.zeros(3)
    for _ in range(600):
        own, other = np.exp(rng.normal(0.0, 0.5, 60)), np.exp(rng.normal(0.4, 0.8, 45))
        gap, part, sides = apart.difference(own, other), apart.ratio(own, other), apart.sides(own, other)
        assert gap is not None
        assert part is not None
        for index, of in enumerate((gap, part, sides.lower)):
            assert of.low is not None
            assert of.high is not None
            held[index] += of.low <= truth[index] <= of.high
    assert (held / 600 >= 0.93).all()
    assert held[2] / 600 <= 0.975


@given(st.lists(_LEVELS, min_size=1, max_size=15), st.lists(_LEVELS, min_size=1, max_size=15))
def test_sides_are_those_of_all_pairs(first: list[float], second: list[float]) -> None:
    """Counted pair by pair with the rule of paired patients; the other way round lower is higher."""
    own, other = np.array(first), np.array(second)
    found = apart.sides(own, other)
    grid = np.repeat(own, other.size), np.tile(other, own.size)
    counts = [int(flags.sum()) for flags in dominance.sides(*grid)]
    assert [found.lower.count, found.equal.count, found.higher.count] == counts
    assert found.untold == own.size * other.size - sum(counts)
    back = apart.sides(other, own)
    assert (found.lower.share, found.equal.share) == (back.higher.share, back.equal.share)
    assert found.lower.low == pytest.approx(back.higher.low, abs=1e-12)
    for share in (found.lower, found.equal, found.higher):
        assert 0.0 <= share.low <= share.share <= share.high <= 1.0
    assert found.plain()["n_lower"] is None


def test_variance_is_delongs() -> None:
    """Worked out from all pairs: the variances of the rows' and of the columns' means."""
    rng = np.random.default_rng(3)
    own, other = rng.normal(0.0, 1.0, 30), rng.normal(0.7, 2.0, 20)
    lower = own[:, None] < other[None, :]
    share = lower.mean()
    variance = lower.mean(axis=1).var(ddof=1) / 30 + lower.mean(axis=0).var(ddof=1) / 20
    n, z = share * (1.0 - share) / variance, 1.959963984540054
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    found = apart.sides(own, other).lower
    assert (found.share, found.low, found.high) == pytest.approx((share, centre - half, centre + half), rel=1e-12)


def test_infinite_and_zero_medians() -> None:
    """Infinite in one group, in both, 0 in one; few; below 0: never a NaN."""
    many, never = np.arange(1.0, 21.0), np.full(20, INF)
    gap = apart.difference(never, many)
    assert gap is not None
    assert (gap.value, gap.low, gap.high) == (INF, INF, INF)
    assert apart.difference(never, never) is None
    partly = np.concatenate([many, np.full(15, INF)])
    gap = apart.difference(partly, many)
    assert gap is not None
    assert math.isfinite(gap.value)
    assert gap.low is not None
    assert math.isfinite(gap.low)
    assert gap.high == INF
    none = np.zeros(20)
    part = apart.ratio(many, none)
    assert part is not None
    assert (part.value, part.low, part.high) == (INF, INF, INF)
    part = apart.ratio(none, many)
    assert part is not None
    assert (part.value, part.low, part.high) == (0.0, 0.0, 0.0)
    assert apart.ratio(none, none) is None
    assert apart.ratio(-many, many) is None
    few = apart.ratio(many[:3], many)
    assert few is not None
    assert few.low is None
    all_lower = apart.sides(many, many + 100.0).lower
    assert (all_lower.share, all_lower.high) == (1.0, 1.0)
    assert all_lower.low == pytest.approx(20 / (20 + 1.959963984540054**2))
