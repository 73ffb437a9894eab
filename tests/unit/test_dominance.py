"""In how many patients an arm is lower, equal or higher: ties, infinite values, intervals, and files."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pkmodel as pk
from pkmodel import dominance, needed
from pkmodel.specs.library import load_scenario

Command = Callable[..., Any]
INF = np.inf


def test_ties_and_infinite_values() -> None:
    """By hand: a tie by rounding, a real difference of 1e-8, infinite in one arm, and in both."""
    own = np.array([1.0, 2.0, 3.0, 3.0, INF, 5.0, INF, 0.0, -1.0])
    other = np.array([2.0, 1.0, 3.0 * (1 + 1e-12), 3.0 * (1 + 1e-8), 5.0, INF, INF, 0.0, -2.0])
    found = dominance.of_pairs(own, other)
    assert (found.lower.count, found.equal.count, found.higher.count, found.untold) == (3, 2, 3, 1)
    assert found.lower.share == 3 / 9
    # Wilson's interval of 3 of 9, worked out by hand.
    z = 1.959963984540054
    centre, half = (3 / 9 + z * z / 18) / (1 + z * z / 9), z * np.sqrt(2 / 81 + z * z / 324) / (1 + z * z / 9)
    assert (found.lower.low, found.lower.high) == pytest.approx((centre - half, centre + half), rel=1e-12)
    assert tuple(found.plain()) == dominance.COLUMNS


_LEVELS = st.one_of(st.floats(0.0, 1e6, allow_subnormal=False), st.just(INF))


@given(st.lists(st.tuples(_LEVELS, _LEVELS), min_size=1, max_size=40))
def test_every_patient_is_counted_once(pairs: list[tuple[float, float]]) -> None:
    """The four counts add up, and arms the other way round have lower and higher the other way round."""
    own, other = np.array(pairs).T
    found, back = dominance.of_pairs(own, other), dominance.of_pairs(other, own)
    assert found.lower.count + found.equal.count + found.higher.count + found.untold == len(pairs)
    assert (found.lower, found.equal, found.higher, found.untold) == (
        back.higher,
        back.equal,
        back.lower,
        back.untold,
    )
    for share in (found.lower, found.equal, found.higher):
        assert 0.0 <= share.low <= share.share <= share.high <= 1.0


def test_evenly_spread_patients_have_the_interval_of_replicates(tree: dict[str, Any]) -> None:
    """A t interval over the replicates, worked out with numpy; narrower than Wilson's."""
    tree |= {"n": 1024, "sampling": {"method": "sobol", "replicates": 8}}
    study = pk.run(load_scenario(tree))
    (row,) = (row for row in study.comparisons if row["metric"] == "peak")
    base, own = (next(iter(values.values())) for values in study.compared)
    assert row["n_lower"] == (own < base).sum()
    shares = (own < base).reshape(-1, 8).mean(axis=0)
    half = 2.3646242510102993 * shares.std(ddof=1) / np.sqrt(8)
    assert (row["low"], row["high"]) == pytest.approx((shares.mean() - half, min(1.0, shares.mean() + half)), rel=1e-9)
    assert row["n_lower"] + row["n_equal"] + row["n_higher"] == 1024


def test_columns_of_a_run_and_of_compare(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Old columns keep their names and places; the new ones are those of the patients in metrics.parquet."""
    monkeypatch.chdir(tmp_path)
    words = ("iv_six_infusions", "iv_taper_dose_and_interval", "esketamine_nasal_induction", "--n", 60, "-o", "out")
    outcome = command("compare", *words)
    assert outcome.code == 0, outcome.err
    with Path("out/comparison.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert tuple(rows[0])[21:23] == ("note", "n_lower")
    values = pd.read_parquet("out/metrics.parquet")
    peaks = values[(values["metric"] == "peak") & values["output"].isin(["ketamine", "esketamine"])]
    highest = peaks.groupby([peaks["arm"].astype(str), "patient"])["value"].max().unstack(0)
    base = highest["iv_six_infusions"]
    for arm in ("iv_taper_dose_and_interval", "esketamine_nasal_induction"):
        (row,) = (row for row in rows if (row["measure"], row["output"], row["arm"]) == ("peak", "parent", arm))
        assert int(row["n_lower"]) == (highest[arm] < base).sum()
        assert int(row["n_equal"]) == (highest[arm] == base).sum()
        assert int(row["n_higher"]) == (highest[arm] > base).sum()
    assert int(row["n_lower"]) > 40, "the spray is lower in most"
    assert "C against A: in what percent of patients" in outcome.out
    reference = next(row for row in rows if row["reference"] == "")
    assert all(reference[name] == "" for name in dominance.COLUMNS)


def test_of_a_scenario(tree: dict[str, Any]) -> None:
    """Columns of comparison.csv of a run, in order."""
    tree |= {"n": 50}
    row = pk.run(load_scenario(tree)).comparisons[0]
    old = ["n_lower", "share_lower", "low", "high"]
    assert list(row)[-len(dominance.COLUMNS) :] == [*old, *dominance.COLUMNS[4:]]
    assert row["n_lower"] + row["n_equal"] + row["n_higher"] + row["n_untold"] == 50


def test_of_a_scenario_that_never_comes_down() -> None:
    """Hours until a level that neither arm reaches: in nobody can it be told."""
    arm = {"protocol": "esketamine_iv_single"}
    scenario = load_scenario(
        {
            "title": "T",
            "arms": {"one": arm, "two": arm},
            "model": "esketamine_otto2021",
            "population": "adults_trials",
            "n": 20,
            "observe": {"every": "1 h", "for": "4 h"},
            "rules": [
                {"id": "r", "metric": "first_crossing", "threshold": "9 mg/L", "at_most": "1 h", "in": "90 %"},
            ],
            "compare": {"reference": "one", "metrics": ["first_crossing"]},
        }
    )
    (row,) = pk.run(scenario).comparisons
    assert row["n_untold"] == 20
    assert (row["n_lower"], row["n_equal"], row["n_higher"]) == (0, 0, 0)
    assert row["share_equal"] == 0.0


def test_columns_are_on_the_page() -> None:
    """Every column of the shares and of needed.csv that is not a label."""
    page = (Path(__file__).resolve().parents[2] / "docs" / "comparison.md").read_text(encoding="utf-8")
    labels = {"rule", "arm", "reference", "model", "reference_model", "window"}
    for name in {*dominance.COLUMNS, *needed.COLUMNS} - labels:
        assert f"`{name}`" in page, name
