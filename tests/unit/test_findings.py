"""Rules judged: Wilson's interval against scipy's, the edges of a verdict, and sketches of quantiles."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from pkmodel import findings
from pkmodel.core import sketch
from pkmodel.findings import Span
from pkmodel.specs.window import Window


@pytest.mark.parametrize("n", [1, 2, 10, 1000])
def test_clopper_pearson_is_scipys(n: int) -> None:
    """The interval that scipy gives by another route, to the last digits of the quantile function."""
    for met in {0, 1, n // 3, n // 2, n - 1, n}:
        expected = stats.binomtest(met, n).proportion_ci(0.95, "exact")
        assert findings.clopper_pearson(met, n) == pytest.approx((expected.low, expected.high), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("share", [0.02, 0.5, 0.9, 0.95, 0.99])
def test_coverage_is_that_of_the_enumerated_binomial(share: float) -> None:
    """Over every outcome of 200 patients: the exact interval holds the share at least in 95 %, Wilson's near 95 %.

    4,000 simulated studies agree with the enumeration within three standard errors. Wilson's coverage dips, for n = 200
    and shares like these never below 93 % (Brown, Cai and DasGupta, Stat Sci 2001;16:101-133, figure 5).
    """
    n, rng = 200, np.random.default_rng(5)
    weights = stats.binom.pmf(np.arange(n + 1), n, share)
    drawn = rng.binomial(n, share, 4000)
    for method, least in ((findings.clopper_pearson, 0.95), (findings.wilson, 0.93)):
        ends = [method(met, n) for met in range(n + 1)]
        holds = np.array([low <= share <= high for low, high in ends])
        covered = float(weights[holds].sum())
        assert least <= covered <= 1.0
        assert abs(holds[drawn].mean() - covered) <= 3 * (covered * (1 - covered) / drawn.size) ** 0.5 + 1e-12


@pytest.mark.parametrize("n", [1, 2, 7, 40, 1000, 1_000_003])
def test_wilson_is_scipys(n: int) -> None:
    """Equal to scipy's at every share, to the rounding of a dozen operations."""
    for met in {0, 1, n // 3, n // 2, n - 1, n}:
        expected = stats.binomtest(met, n).proportion_ci(0.95, method="wilson")
        assert findings.wilson(met, n) == pytest.approx((expected.low, expected.high), rel=1e-12, abs=1e-14)


@pytest.mark.parametrize(("met", "n"), [(-1, 10), (11, 10), (0, 0), (1, -1)])
def test_wilson_refuses(met: int, n: int) -> None:
    """No share without patients, and none outside of them."""
    with pytest.raises(ValueError, match="of"):
        findings.wilson(met, n)


@pytest.mark.parametrize(
    ("low", "high", "required", "expected"),
    [
        (0.95, 0.99, 0.95, "met"),
        (0.9499999, 0.99, 0.95, "undecided"),
        (0.90, 0.95, 0.95, "undecided"),
        (0.90, 0.9499999, 0.95, "broken"),
        (0.0, 0.3, 0.0, "met"),
        (0.99, 1.0, 1.0, "undecided"),
        (0.0, 0.1, 1.0, "broken"),
    ],
)
def test_verdict(low: float, high: float, required: float, expected: str) -> None:
    """Met where the whole interval reaches the share, broken where none of it does; the edge counts as reached."""
    assert findings.verdict(low, high, required) == expected


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        (Window("each"), {f"session {k}": [Span("session", k)] for k in (1, 2, 3)}),
        (Window("worst"), {"worst session": [Span("session", k) for k in (1, 2, 3)]}),
        (Window("sessions", 2, 3), {"sessions 2-3": [Span("session", 2), Span("session", 3)]}),
        (Window("sessions", 2, 2), {"session 2": [Span("session", 2)]}),
        (Window("between"), {"between sessions": [Span("between", 1), Span("between", 2)]}),
        (Window("course"), {"course": [Span("course")]}),
        (Window("absolute", start=1.0, end=96.0), {"1-96 h": [Span("absolute", start=1.0, end=96.0)]}),
    ],
)
def test_spans_of_a_window(window: Window, expected: dict[str, list[Span]]) -> None:
    """Each session is a window of its own; of the others the spans are taken together."""
    assert findings.spans_of(window, 3) == expected


SHARES = np.array([0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0])


def _counted(levels: np.ndarray) -> np.ndarray:
    counts = np.zeros(sketch.BINS, dtype=np.uint32)
    sketch.count(levels, counts)
    return counts


@pytest.mark.parametrize("n", [1, 2, 39, 1000])
def test_quantile_of_a_sketch(n: int) -> None:
    """Within 2**-8 of the sample's value at rank ceil(p n), over 8 decades."""
    levels = np.exp(np.random.default_rng(3).uniform(np.log(1e-3), np.log(1e5), n))
    found = sketch.quantiles(_counted(levels), SHARES)
    exact = np.sort(levels)[np.maximum(np.ceil(SHARES * n - 1e-9).astype(int), 1) - 1]
    assert (np.abs(found / exact - 1) <= 2.0**-8).all()


def test_merging_in_any_order() -> None:
    """Sketches of parts add up to the sketch of the whole, in any order and to the bit."""
    levels = np.exp(np.random.default_rng(4).normal(3, 2, 999))
    parts = [_counted(part) for part in np.array_split(levels, 7)]
    whole = _counted(levels)
    for order in (range(7), range(6, -1, -1), (3, 1, 6, 0, 5, 2, 4)):
        total = np.zeros_like(whole)
        for index in order:
            total += parts[index]
        assert np.array_equal(total, whole)


def test_levels_outside_of_the_sketch() -> None:
    """Nothing and almost nothing are 0; far too much is the top; neither is lost or wraps around."""
    counts = _counted(np.array([0.0, 1e-300, 1e-9, 1e9, 1e300, np.inf]))
    assert counts.sum() == 6
    assert sketch.quantiles(counts, np.array([0.5, 1.0])).tolist() == [0.0, 2.0**18]
