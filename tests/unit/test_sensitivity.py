"""Sensitivity against variances that can be worked out: a dose at once into one compartment peaks at dose / V."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pkmodel as pk
from pkmodel import sensitivity
from pkmodel.errors import InputError

Command = Callable[..., Any]
MODEL: dict[str, Any] = {
    "id": "one_compartment",
    "title": "One compartment",
    "drug": "ketamine",
    "source": "a test",
    "evidence": "assumed",
    "sampling": "venous",
    "population": {"description": "nobody"},
    "parameters": {"V": {"value": "20 L", "from": "a test"}, "CL": {"value": "2 L/h", "from": "a test"}},
    "variability": {"between_subject": {name: {"cv": "30 %", "from": "a test"} for name in ("V", "CL")}},
    "compartments": ["central"],
    "flows": [{"from": "central", "to": "outside", "rate": "CL / V"}],
    "routes": {"iv": [{"into": "central"}]},
    "outputs": {"ketamine": {"amount": "central", "volume": "V", "unit": "ng/mL"}},
}
PROTOCOL = "{title: T, drug: ketamine, route: iv, phases: [{name: one, dose: 5 mg, sessions: {days: [1]}}]}"


def scenario(tmp_path: Path, **more: Any) -> pk.Scenario:
    """One dose of 5 mg under the model."""
    import yaml

    (tmp_path / "model.yaml").write_text(yaml.safe_dump(MODEL))
    tree = {
        "title": "T",
        "arms": {"one": {"protocol": yaml.safe_load(PROTOCOL)}},
        "model": str(tmp_path / "model.yaml"),
        "population": "adults_trials",
        "n": 4000,
        "observe": {"every": "1 h", "for": "1 h"},
        "rules": [{"id": "high", "metric": "peak", "at_most": "250 ng/mL", "in": "50 %"}],
    }
    return pk.load_scenario(tree | more)


def test_the_peak_is_all_volume(tmp_path: Path) -> None:
    """Dose / V does not know clearance, nor a weight that the dose does not count: V has all of it, the others none."""
    found = sensitivity.run(scenario(tmp_path), metric="peak")
    rows = {row.input: row for row in found.rows}
    assert rows["eta V"].total == pytest.approx(1.0, abs=0.06)
    assert rows["eta V"].first == pytest.approx(1.0, abs=0.06)
    for name, row in rows.items():
        if name != "eta V":
            assert row.total == pytest.approx(0.0, abs=1e-20)
            assert row.kind in ("covariate", "between patients")


def test_an_area_is_mostly_clearance(tmp_path: Path) -> None:
    """AUC of a day, dose / CL x (1 - exp(-24 CL / V)): totals within twice their half-widths of the formula's."""
    found = sensitivity.run(scenario(tmp_path), metric="auc")
    sigma, rng = np.log1p(0.3**2) ** 0.5, np.random.default_rng(1)
    volume, clearance, other_volume, other = np.exp(sigma * rng.standard_normal((4, 400_000)))

    def area(clearance: np.ndarray, volume: np.ndarray) -> np.ndarray:
        return (1.0 - np.exp(-24.0 * 2.0 * clearance / (20.0 * volume))) / clearance

    base = area(clearance, volume)
    changed = {"eta CL": area(other, volume), "eta V": area(clearance, other_volume)}
    rows = {row.input: row for row in found.rows}
    for name, values in changed.items():
        expected = float(((values - base) ** 2).mean() / (2.0 * base.var()))
        assert abs(rows[name].total - expected) < 2 * (rows[name].total_high - rows[name].total)
    assert found.rows[0].input == "eta CL"


def test_the_mean_change_is_that_of_two_draws(tmp_path: Path) -> None:
    """Elementary effects: |dose/V' - dose/V| of two independent log-normal volumes, by quadrature of a large sample."""
    found = sensitivity.run(scenario(tmp_path), metric="peak", method="morris")
    (row,) = (row for row in found.rows if row.input == "eta V")
    sigma, rng = np.log1p(0.3**2) ** 0.5, np.random.default_rng(1)
    one, two = (250.0 * np.exp(sigma * rng.standard_normal(400_000)) for _ in range(2))
    expected = float(np.abs(one - two).mean())
    standard_error = (row.total_high - row.total) / 1.96
    assert abs(row.total - expected) < 4 * standard_error


def test_the_failure_of_a_rule(tmp_path: Path) -> None:
    """Half of the patients fail a limit at the median; it is V that decides who."""
    found = sensitivity.run(scenario(tmp_path), rule="high")
    assert found.what == "failure of high"
    assert found.mean == pytest.approx(0.5, abs=4 * 0.5 / 4000**0.5)
    assert found.rows[0].input == "eta V"


def test_refused(tmp_path: Path) -> None:
    """A mixture, whose covariates have no distribution of their own, and a metric that nobody differs in."""
    parts = [{"weight": "50 %", "population": name} for name in ("adults_trials", "elderly")]
    with pytest.raises(InputError, match="a mixture"):
        sensitivity.run(scenario(tmp_path, population={"title": "M", "mixture": parts}), metric="peak")
    with pytest.raises(InputError, match="in every patient"):
        sensitivity.run(scenario(tmp_path), metric="time_of_peak")


@pytest.mark.usefixtures("pictures")
@pytest.mark.parametrize("method", ["sobol", "morris"])
def test_command_writes_what_it_prints(command: Command, tmp_path: Path, method: str) -> None:
    """The strongest input first, in the table, the files and the picture."""
    out = tmp_path / "out"
    outcome = command("sensitivity", "iv_single", "--metric", "peak", "--n", "300", "--method", method, "-o", str(out))
    assert outcome.code == 0, outcome.err
    tree = json.loads((out / "sensitivity.json").read_text())
    first = tree["indices"][0]["input"]
    assert first in outcome.out
    assert (out / "sensitivity.png").read_bytes()[:4] == b"\x89PNG"
    assert (out / "sensitivity.csv").read_text().splitlines()[1].startswith(('"' if "," in first else "") + first)
    assert "Not for patient care" in outcome.out


def test_wrong_words(command: Command) -> None:
    """A metric that needs a threshold, one that is not there, and both a metric and a rule."""
    for words, said in (
        (["--metric", "time_above"], "--rule"),
        (["--metric", "peek"], "nearest peak"),
        (["--metric", "peak", "--rule", "ceiling"], "a metric and a rule"),
        (["--rule", "ceilling"], "nearest ceiling"),
    ):
        outcome = command("sensitivity", "iv_single", *words)
        assert (outcome.code, outcome.out) == (2, "")
        assert said in outcome.err


@pytest.mark.parametrize(
    ("source", "rule", "said"),
    [
        (
            "scenario",
            "{id: r, metric: peak, window: {session: 12}, at_most: 50 ng/mL, in: 90 %}",
            "window  found session 12",
        ),
        (
            "scenario",
            "{id: r, metric: cost, at_most: 50 USD, in: 90 %}",
            "at_most  found 50 USD  expected a price in EUR",
        ),
        ("scenario", "{id: r, metric: cost, at_most: 50 EUR, in: 90 %}", "observed_for  found nothing"),
        ("scenario", "{id: r, metric: vials, at_most: 5, in: 90 %}", "metric  found vials with arm one"),
        (
            "scenario",
            "{id: r, not: {metric: peak, output: nausea, at_most: 5 %}, in: 90 %}",
            "not.output  found nausea",
        ),
        ("iv_single", "{id: r, metric: cost, at_most: 50 EUR, in: 90 %}", "metric  found cost without prices"),
        ("iv_single", "{id: r, metric: peak, at_most: 5 g/mL, in: 90 %}", "no patient breaks, r"),
    ],
)
def test_rules_that_do_not_fit(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, rule: str, said: str
) -> None:
    """A rule of a file, beside a scenario or a protocol: one error at the option, in design as well."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rule.yaml").write_text(rule)
    (tmp_path / "scenario.yaml").write_text(
        "{title: T, arms: {one: {protocol: iv_single}}, model: ketamine_clements1981, population: adults_trials, "
        "n: 20, observe: {every: 1 h, for: 2 h}, prices: {currency: EUR, session: 5, clinic_hour: 5}, rules: [ceiling]}"
    )
    source = f"{source}.yaml" if source == "scenario" else source
    words = {"sensitivity": ["--n", "20"], "design": ["--parameter", "dose", "--n", "20"]}
    for name, more in words.items():
        if name == "design" and "breaks" in said:
            continue  # where there is an answer
        outcome = command(name, source, "--rule", "rule.yaml", *more)
        assert (outcome.code, outcome.out) == (2, "")
        (line,) = outcome.err.splitlines()
        assert line.startswith("error: --rule  ") and said in line
