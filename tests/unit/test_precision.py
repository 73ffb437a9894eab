"""Precision on purpose: the interval may be looked at as often as one likes, and a run goes on until it is known."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import betaln
from scipy.stats import binom

import pkmodel as pk
from pkmodel import precision, report
from pkmodel.errors import InputError
from pkmodel.findings import wilson

sequence = cache(precision.sequence)


def test_ends_of_the_sequence_by_the_mixture() -> None:
    """At either end the mixture is 20 times as likely as the share; outside of it more, inside less."""
    for met, n in ((1, 1), (3, 10), (950, 1000), (0, 40), (40, 40)):
        low, high = precision.sequence(met, n)

        def ratio(share: float, met: int = met, n: int = n) -> float:
            mixture = np.exp(betaln(met + 0.5, n - met + 0.5) - betaln(0.5, 0.5))
            return float(mixture / (share**met * (1 - share) ** (n - met)))

        for end in (low, high):
            if 0.0 < end < 1.0:
                assert ratio(end) == pytest.approx(20.0, rel=1e-6)
        assert low <= met / n <= high
        assert (low == 0.0) == (met == 0) and (high == 1.0) == (met == n)


def test_the_price_of_looking_often() -> None:
    """It is wider than the interval of a fixed number of patients, and shrinks about as fast."""
    for n in (256, 1000, 20_000):
        low, high = precision.sequence(round(0.9 * n), n)
        assert wilson(round(0.9 * n), n)[0] > low and wilson(round(0.9 * n), n)[1] < high
        assert high - low < 2.2 * (np.subtract(*wilson(round(0.9 * n), n)[::-1]))


def test_errs_in_at_most_5_percent_of_2000_studies_at_the_limit() -> None:
    """The truth is the required share, so that any verdict is an error; looks after 256 patients and on to 100,000.

    Were the fixed interval looked at as often, it would err far more: the test could fail, and that one does.
    """
    truth, studies = 0.95, 2000
    sizes = precision.look_sizes(100_000)
    steps = np.diff([0, *sizes])
    met = np.cumsum(binom(steps, truth).rvs((studies, len(steps)), random_state=np.random.default_rng(7)), axis=1)
    wrong, naive = np.zeros(studies, dtype=bool), np.zeros(studies, dtype=bool)
    for column, n in enumerate(sizes):
        ends = np.array([sequence(int(count), n) for count in met[:, column]])
        wrong |= (ends[:, 0] >= truth) | (ends[:, 1] < truth)
        fixed = np.array([wilson(int(count), n) for count in met[:, column]])
        naive |= (fixed[:, 0] >= truth) | (fixed[:, 1] < truth)
    assert wrong.mean() <= 0.05
    assert naive.mean() > 0.15


def _scenario(tree: dict[str, Any], **wanted: Any) -> Any:
    tree["precision"] = {"rule": "peak", **wanted}
    return pk.load_scenario(tree)


def test_stops_when_it_is_tight(tree: dict[str, Any], tmp_path: Path) -> None:
    """At the first look whose half width is small enough; what comes out is the run of so many patients."""
    found = _scenario(tree, half_width="4 %", max_n=20_000)
    study = report.run(found, tmp_path / "out")
    said = study.precise.plain()  # type: ignore[union-attr]
    assert said["reached"] and study.n == said["n"] == precision.look_sizes(20_000)[said["looks"] - 1]
    assert said["looks"] > 1
    assert all(0.5 * (row["high"] - row["low"]) <= 0.04 for row in said["shares"])
    fixed = report.run(found.with_options(n=study.n))
    assert fixed.precise is None
    for mine, theirs in zip(study.results, fixed.results, strict=True):
        assert mine.n_met == theirs.n_met
        assert (mine.low < theirs.low) == (mine.rule == "peak")
    assert '"confidence sequence' in (tmp_path / "out/findings.json").read_text().replace("95 % ", "")


def test_goes_on_to_max_n_and_says_so(tree: dict[str, Any]) -> None:
    """A width that cannot be had ends at max_n."""
    outcome = precision.run(_scenario(tree, half_width="0.1 %", max_n=400))
    assert (outcome.n, outcome.reached) == (400, False)
    assert "not reached with max_n = 400" in outcome.said()[0]


def test_stops_when_the_rule_is_decided(tree: dict[str, Any]) -> None:
    """Far from its limit a rule is decided at the first look."""
    tree["rules"][0] |= {"at_most": "1000 ng/mL"}
    outcome = precision.run(_scenario(tree, decide=True))
    assert outcome.reached and outcome.n == precision.FIRST
    assert set(outcome.verdicts().values()) == {"met"}


def test_without_the_key_is_refused(tree: dict[str, Any]) -> None:
    """A scenario that does not say what precision it wants."""
    with pytest.raises(InputError, match="the key precision"):
        precision.run(pk.load_scenario(tree))
