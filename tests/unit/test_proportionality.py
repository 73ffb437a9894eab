"""Exposure against dose: the power model patient by patient, Smith's range, and who belongs together."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pkmodel import comparison, proportionality
from pkmodel.proportionality import Slope, slope
from pkmodel.specs.comparison import prepare

Command = Callable[..., Any]

#: One compartment with saturable elimination alone; everybody is the same.
SATURABLE = {
    "id": "saturable",
    "title": "T",
    "drug": "ketamine",
    "source": {"citation": "None: to test"},
    "evidence": "unsourced",
    "sampling": "venous",
    "population": {"description": "nobody"},
    "parameters": {
        "V": {"value": "100 L", "from": "made up"},
        "VMAX": {"value": "30 mg/h", "from": "made up"},
        "KM": {"value": "0.1 mg/L", "from": "made up"},
    },
    "compartments": ["central"],
    "flows": [{"from": "central", "to": "outside", "michaelis_menten": {"vmax": "VMAX", "km": "KM"}}],
    "routes": {"iv": [{"into": "central"}]},
    "outputs": {"ketamine": {"amount": "central", "volume": "V", "unit": "ng/mL"}},
}


def protocol(folder: Path, name: str, dose: str, **more: Any) -> str:
    """A file with a course of one session, or of what ``more`` says."""
    phase = {"name": "a", "dose": dose, "over": "40 min", "sessions": {"days": [1]}, **more}
    tree = {"title": name, "drug": "ketamine", "route": "iv", "phases": [{k: v for k, v in phase.items() if v}]}
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(tree))
    return str(folder / f"{name}.yaml")


def test_linear_models_have_a_slope_of_one(tmp_path: Path) -> None:
    """For every patient, to rounding, with three doses; and the same for any split."""
    files = [protocol(tmp_path, f"d{index}", f"{dose} mg/kg") for index, dose in enumerate((0.25, 0.5, 1.0))]
    request = prepare(files, n=50)
    found = comparison.run(request, jobs=2, chunk=7).slopes
    assert [(item.exposure, item.n, item.ratio) for item in found] == [
        ("peak", 50, pytest.approx(4.0)),
        ("auc", 50, pytest.approx(4.0)),
    ]
    for item in found:
        for value in (item.slope.value, item.slope.low, item.slope.high, item.p5, item.p95):
            assert value == pytest.approx(1.0, abs=1e-10)
        assert item.verdict == "proportional"
    assert found == comparison.run(request, chunk=50).slopes


def test_saturable_elimination_by_formula(tmp_path: Path) -> None:
    """After a dose D at once the area is D / VMAX (KM + D / 2 V): more than proportional; the peak is D / V."""
    (tmp_path / "m.yaml").write_text(yaml.safe_dump(SATURABLE))
    model = str(tmp_path / "m.yaml")
    files = [protocol(tmp_path, f"d{dose}", f"{dose} mg", over=None) for dose in (10, 40)]
    models = {"d10": model, "d40": model}
    request = prepare(files, n=8, models=models, discharge="parent below 70 ng/mL")
    peak, auc = comparison.run(request).slopes

    def area(dose: float) -> float:
        return dose / 30.0 * (0.1 + dose / 200.0)

    expected = math.log(area(40.0) / area(10.0)) / math.log(4.0)
    assert expected > 1.2
    assert auc.slope.value == pytest.approx(expected, rel=1e-6)
    assert auc.verdict == "more than proportional"
    assert peak.slope.value == pytest.approx(1.0, abs=1e-9)
    assert peak.verdict == "proportional"


@given(st.integers(2, 5), st.integers(1, 30), st.integers(0, 2**31))
def test_slopes_are_least_squares(arms: int, n: int, seed: int) -> None:
    """Of each patient alone, as numpy fits a line; the median is the middle of them."""
    rng = np.random.default_rng(seed)
    doses = np.sort(rng.uniform(1.0, 100.0, (arms, n)), axis=0) * np.geomspace(1.0, 2.0, arms)[:, None]
    rng.shuffle(doses)
    values = np.exp(rng.normal(0.0, 1.0, (arms, n)))
    found = slope("peak", ("a",) * arms, "m", doses, values)
    assert found is not None
    each = [np.polyfit(np.log(doses[:, who]), np.log(values[:, who]), 1)[0] for who in range(n)]
    assert found.slope.value == pytest.approx(np.median(each), rel=1e-6, abs=1e-6)
    assert found.ratio == pytest.approx(np.median(doses.max(axis=0) / doses.min(axis=0)), rel=1e-9)


def _slope(value: float, low: float | None, high: float | None, ratio: float) -> Slope:
    return Slope("auc", ("a", "b"), "m", 9, proportionality.Median(9, value, low, high), value, value, ratio)


@pytest.mark.parametrize(
    ("ends", "ratio", "verdict"),
    [
        ((0.95, 1.05), 10.0, "proportional"),
        ((0.90, 1.05), 10.0, "undecided"),
        ((1.10, 1.20), 10.0, "more than proportional"),
        ((0.70, 0.90), 10.0, "less than proportional"),
        ((0.70, 1.30), 2.0, "proportional"),
        ((None, None), 2.0, "undecided"),
    ],
)
def test_verdicts_in_smiths_range(ends: tuple[float | None, float | None], ratio: float, verdict: str) -> None:
    """1 + ln(0.8) / ln(10) = 0.903 and 1 + ln(1.25) / ln(10) = 1.097; of doses twofold apart 0.678 to 1.322."""
    item = _slope(1.0, *ends, ratio)
    expected = (0.90309, 1.09691) if ratio == 10.0 else (0.678072, 1.321928)
    assert item.accepted == pytest.approx(expected, abs=1e-5)
    assert item.verdict == verdict
    assert ("n too small" in item.words()) == (ends[0] is None)
    assert tuple(item.plain()) == proportionality.COLUMNS


def test_who_has_a_slope() -> None:
    """Not whose doses are within a quarter, who gets nothing in one arm, or has no exposure in one; nobody: none."""
    doses = np.array([[10.0, 20.0, 0.0, 10.0, 10.0], [20.0, 24.0, 10.0, 20.0, 40.0]])
    values = np.array([[1.0, 1.0, 1.0, 0.0, 1.0], [2.0, 1.0, 1.0, 1.0, 16.0]])
    found = slope("peak", ("a", "b"), "m", doses, values)
    assert found is not None
    assert (found.n, found.slope.value, found.ratio) == (2, pytest.approx(1.5), pytest.approx(3.0))
    assert slope("peak", ("a", "b"), "m", doses[:, 1:4], values[:, 1:4]) is None


_TOTALS = "totals of a course do so for that reason alone"


def test_what_belongs_together(tmp_path: Path) -> None:
    """Not another infusion time or model; an area over another window is left out, and that is said."""
    low, high = protocol(tmp_path, "low", "0.25 mg/kg"), protocol(tmp_path, "high", "1 mg/kg")
    fast = protocol(tmp_path, "fast", "2 mg/kg", over="5 min")
    weekly = protocol(tmp_path, "daily", "0.5 mg/kg", sessions={"days": [1, 2, 3]})
    often = protocol(tmp_path, "often", "0.5 mg/kg", sessions={"every": "12 h", "count": 3})

    def of(*files: str, **how: Any) -> comparison.Comparison:
        return comparison.run(prepare(files, n=5, **how))

    assert [item.arms for item in of(low, high, fast).slopes] == [("low", "high")] * 2
    assert of(low, fast).slopes == []
    assert of(low, high, models={"high": "ketamine_kamp2020"}).slopes == []
    assert [item.exposure for item in of(low, weekly).slopes] == ["peak", "auc"]
    cut = of(low, often)
    assert [item.exposure for item in cut.slopes] == ["peak"]
    assert any("low, often are followed for different times" in sentence for sentence in cut.cautions)
    rounded = of("iv_single", "iv_six_infusions")
    assert (rounded.slopes, rounded.cautions) == ([], ["courses differ in their number of sessions: " + _TOTALS])


def test_files_and_page(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole way: a capped dose; the slope from metrics.parquet and the doses by hand; printed and written."""
    monkeypatch.chdir(tmp_path)
    protocol(tmp_path, "low", "0.5 mg/kg")
    protocol(tmp_path, "high", "1 mg/kg", dose_limits={"max_single": "60 mg"})
    outcome = command("compare", "low.yaml", "high.yaml", "--n", 80, "-o", "out")
    assert outcome.code == 0, outcome.err
    rows = pd.read_csv("out/proportionality.csv").set_index("exposure")
    assert list(rows.reset_index().columns) == list(proportionality.COLUMNS)
    weight = pd.read_parquet("out/patients.parquet")["weight_kg"].to_numpy()
    ratio = np.minimum(60.0, weight) / (0.5 * weight)
    use = ratio >= 1.25
    assert 10 < use.sum() < 80, "of who weighs more than 96 kg the doses are within a quarter"
    assert rows.loc["peak", "n"] == use.sum()
    assert rows.loc["peak", "dose_ratio"] == pytest.approx(np.median(ratio[use]), rel=1e-9)
    assert 1.2 < rows.loc["peak", "dose_ratio"] < 2.0
    values = pd.read_parquet("out/metrics.parquet")
    peaks = values[values["metric"].eq("peak") & values["output"].eq("ketamine")]
    peaks = peaks.groupby([peaks["arm"].astype(str), "patient"])["value"].max().unstack(0)
    each = np.log(peaks["high"] / peaks["low"]).to_numpy()[use] / np.log(ratio[use])
    assert rows.loc["peak", "slope"] == pytest.approx(np.median(each), rel=1e-9)
    assert rows.loc["auc", "verdict"] == "proportional"
    told = json.loads(Path("out/comparison.json").read_text())["proportionality"]
    assert [item["exposure"] for item in told["slopes"]] == ["peak", "auc"]
    text = " ".join(outcome.out.split())
    assert "low, high: peak of the first session" in text
    assert "twice the dose gives 2 times the AUC" in text
