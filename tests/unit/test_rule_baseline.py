"""Metrics relative to what an effect is without drug, against levels that simulate gives and arithmetic by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

import pkmodel as pk
from pkmodel import report
from pkmodel.cases import cases_of
from pkmodel.errors import InputError
from pkmodel.findings import request_of
from pkmodel.metrics import Figures, Request, Span, evaluate
from pkmodel.specs.rule import Rule
from pkmodel.wording import described

#: A systolic pressure of which every patient has a baseline, and that a level raises by up to 50 mmHg.
PRESSURE = {
    "id": "systolic",
    "title": "Systolic pressure",
    "drug": "ketamine",
    "on": "parent",
    "parameters": {"E0": {"value": "120 mmHg", "from": "x"}},
    "variability": {"between_subject": {"E0": {"cv": "12 %"}, "from": "x", "evidence": "assumed"}},
    "emax": {"e0": "E0", "emax": "50 mmHg", "c50": "300 ng/mL"},
    "unit": "mmHg",
    "source": "made up for this test",
    "evidence": "assumed",
    "from": {"emax": "x", "c50": "x"},
}


def _tree(effect: str, rules: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {
        "title": "Test",
        "arms": {"one": {"protocol": "iv_single", "model": "ketamine_clements1981"}},
        "population": "adults_trials",
        "n": 60,
        "seed": 2,
        "observe": {"every": "1 h", "for": "4 h"},
        "effects": [effect],
        "rules": [{"in": "90 %", **rule} for rule in rules],
        **more,
    }


@pytest.fixture(scope="module")
def pressure(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of the file of the pressure."""
    path = tmp_path_factory.mktemp("effect") / "systolic.yaml"
    path.write_text(yaml.safe_dump(PRESSURE), encoding="utf-8")
    return str(path)


def _rule(of: str, **more: Any) -> dict[str, Any]:
    return {"id": "r", "metric": "peak", "output": of, "relative_to": "baseline", **more}


def test_a_share_and_a_change(pressure: str, tmp_path: Path) -> None:
    """Both are of each patient's own baseline, as patients.parquet has it; the limit's unit says which is meant."""
    rules = [
        {**_rule("systolic"), "id": "share", "at_most": "116 %"},
        {**_rule("systolic"), "id": "change", "at_most": "19 mmHg"},
        {"id": "peak", "metric": "peak", "output": "systolic", "at_most": "300 mmHg"},
        {"id": "level", "metric": "peak", "at_most": "900 ng/mL"},
    ]
    report.run(pk.load_scenario(_tree(pressure, rules)), tmp_path)
    people = pd.read_parquet(tmp_path / "patients.parquet")
    base = people[next(name for name in people if name.endswith("E0") and "eta" not in name)].to_numpy()
    assert np.ptp(base) > 20
    table = pd.read_parquet(tmp_path / "metrics.parquet")
    table["condition"] = table["condition"].astype(object).fillna("")
    by = table.set_index(["output", "condition", "patient"])["value"].sort_index()
    level = by["ketamine", ""].to_numpy()
    highest = base + 50 * level / (level + 300)
    assert by["systolic", ""].to_numpy() == pytest.approx(highest, rel=1e-9)
    assert by["systolic", "share of baseline"].to_numpy() == pytest.approx(highest / base, rel=1e-9)
    assert by["systolic", "change from baseline"].to_numpy() == pytest.approx(highest - base, rel=1e-9)
    units = table.astype({"unit": str}).groupby(["output", "condition"], observed=True)["unit"].first()
    assert units["systolic", "share of baseline"] == ""
    assert units["systolic", "change from baseline"] == "mmHg"
    found = pd.read_csv(tmp_path / "findings.csv").set_index("rule")
    assert found.loc["share", "n_met"] == (highest / base <= 1.16).sum()
    assert found.loc["change", "n_met"] == (highest - base <= 19).sum()
    assert 0 < found.loc["share", "n_met"] < 60
    assert 0 < found.loc["change", "n_met"] < 60
    assert found.loc[["share", "change"], "limit"].tolist() == [116.0, 19.0]
    assert found.loc[["share", "change"], "unit"].tolist() == ["%", "mmHg"]


def test_a_score_that_falls(tmp_path: Path) -> None:
    """A turnover, by the ODE solver: half of the baseline of 30 points at a moment is 15 points."""
    at = {"metric": "level_at", "at": "24 h after session_start", "output": "antidepressant_response"}
    rules = [
        {**at, "id": "share", "relative_to": "baseline", "at_most": "85 %"},
        {**at, "id": "points", "at_most": 25.5},
    ]
    report.run(pk.load_scenario(_tree("antidepressant_response", rules, n=30)), tmp_path)
    table = pd.read_parquet(tmp_path / "metrics.parquet")
    share = table["condition"].str.contains("share of baseline")
    points = table[~share]["value"].to_numpy()
    assert table[share]["value"].to_numpy() == pytest.approx(points / 30, rel=1e-12)
    met = pd.read_csv(tmp_path / "findings.csv")["n_met"].tolist()
    assert met == [int((points <= 25.5).sum())] * 2
    assert 0 < met[0] < 30


def test_of_several_models_both_are_questions(pressure: str) -> None:
    """The absolute value and that of the baseline are told apart, each in its unit."""
    rules = [
        {**_rule("systolic"), "id": "share", "at_most": "116 %"},
        {**_rule("systolic"), "id": "change", "at_most": "19 mmHg"},
        {"id": "peak", "metric": "peak", "output": "systolic", "at_most": "300 mmHg"},
    ]
    tree = _tree(pressure, rules, n=10, models=["ketamine_clements1981", "ketamine_domino1984"])
    tree["arms"] = {"one": {"protocol": "iv_single"}}
    study = pk.run(pk.load_scenario(tree))
    table = study.between_models.set_index("condition")
    assert table["unit"].tolist() == ["", "mmHg", "mmHg"]
    assert table.index.astype(object).fillna("none").tolist() == ["share of baseline", "change from baseline", "none"]
    assert (table.loc["share of baseline", ["lowest", "highest"]] > 1).all()
    assert [item.rule.id for item in study.joint_verdicts] == ["share", "change", "peak"]


def test_words() -> None:
    """As the terminal says them."""
    change = Rule.model_validate({**_rule("systolic", at_least="-10 mmHg"), "in": "90 %"})
    share = Rule.model_validate({**_rule("systolic", at_most="120 %"), "in": "90 %"})
    assert described(change) == "change of peak of systolic from its baseline at least -10 mmHg"
    assert described(share) == "peak of systolic at most 120 % of its baseline"


def test_a_patient_without_a_baseline_is_refused() -> None:
    """Typical patients have one, this one has not: no share of 0, and no NaN."""
    place = {("start", 0): np.zeros(1, dtype=np.int64), ("start", 1): np.ones(1, dtype=np.int64)}
    from pkmodel.metrics import Boundaries

    bounds = Boundaries(np.array([[0.0], [1.0]]), place, 1)
    one = np.array([[3.0, 3.0]])
    figures = Figures(
        bounds=bounds,
        starts=np.zeros((1, 1)),
        start=one,
        end=one,
        peak=one,
        time_of_peak=one,
        area=None,
        thresholds=(),
        time_above=np.zeros((0, 1, 2)),
        first_crossing=None,
        rest=np.array([2.0, 0.0]),
    )
    change = evaluate(figures, Span("session", 1), Request("peak", "e", of_baseline="change"))
    assert change.tolist() == [1.0, 3.0]
    with pytest.raises(InputError, match="a share of the baseline of e, which is 0 in a patient"):
        evaluate(figures, Span("session", 1), Request("peak", "e", of_baseline="share"))


def test_a_comparison_is_of_the_absolute_value(pressure: str) -> None:
    """A metric that is compared is not made relative by a rule that is."""
    rules = [{**_rule("systolic"), "at_most": "116 %"}]
    compare = {"reference": "one", "metrics": ["peak"], "output": "systolic"}
    scenario = pk.load_scenario(_tree(pressure, rules, compare=compare))
    (case,) = cases_of(scenario)
    assert case.compared == (Request("peak", "systolic"),)
    assert request_of(scenario.spec.rules[0], case.model).of_baseline == "share"
