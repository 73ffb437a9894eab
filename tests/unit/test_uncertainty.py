"""Parameter uncertainty: what is drawn, that nothing else is, and what comes of it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import pkmodel as pk
from pkmodel import study as studies
from pkmodel import uncertainty
from pkmodel.specs.library import Scenario
from pkmodel.specs.loading import library
from pkmodel.specs.model import ModelSpec

pytestmark = pytest.mark.xdist_group("uncertainty")  # one study for all of them

TREE: dict[str, Any] = {
    "title": "How sure is a peak?",
    "arms": {"one": {"protocol": "iv_single"}},
    "model": "ketamine_kamp2020",
    "population": "adults_trials",
    "n": 200,
    "seed": 3,
    "variability": {"parameter_uncertainty": True, "outer": 40},
    "observe": {"every": "30 min", "for": "4 h after each session start"},
    "rules": [{"id": "low", "metric": "level_at", "at": "2 h after session_end", "at_most": "45 ng/mL", "in": "80 %"}],
}


def _kamp(**known: Any) -> ModelSpec:
    """Kamp's model with another statement on how well its CL is known."""
    tree = yaml.safe_load(library("models")["ketamine_kamp2020"].read_text())
    del tree["parameters"]["CL"]["ci"], tree["parameters"]["CL"]["known_evidence"]
    tree["parameters"]["CL"] |= known
    return pk.load_model(tree)


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    """A peak under a model whose clearance is known to an interval."""
    return pk.load_scenario(TREE)


@pytest.mark.parametrize(
    ("known", "sd"),
    [
        ({"ci": ["69 L/h", "90 L/h"]}, math.log(90 / 69) / (2 * 1.959963984540054)),
        ({"rse": "6 %"}, math.sqrt(math.log1p(0.06**2))),
        ({"se": "8.4 L/h"}, math.sqrt(math.log1p(0.1**2))),
    ],
)
def test_draws_are_as_wide_as_stated(known: dict[str, Any], sd: float) -> None:
    """Log-normal around the value: mean and SD of the logarithm within four standard errors."""
    model, many = _kamp(**known), 20_000
    assert model.uncertain == ["CL"]
    (drawn,) = uncertainty.typical_values(model, 11, many).values()
    log = np.log(drawn / 84.0)
    assert abs(log.mean()) < 4 * sd / math.sqrt(many)
    assert abs(log.std() / sd - 1) < 4 / math.sqrt(2 * many)


def test_a_fraction_is_drawn_on_its_logit() -> None:
    """Where a parameter varies on the logit, so does its estimate: never outside of 0 to 1."""
    tree = yaml.safe_load(library("models")["esketamine_perezruixo2021"].read_text())
    tree["parameters"]["FRn"]["se"] = 0.2
    model, many = pk.load_model(tree), 20_000
    drawn = uncertainty.typical_values(model, 11, many)["FRn"]
    assert 0 < drawn.min() < drawn.max() < 1
    logit = np.log(drawn / (1 - drawn)) - math.log(0.54 / 0.46)
    sd = 0.2 / (0.54 * 0.46)
    assert abs(logit.std() / sd - 1) < 4 / math.sqrt(2 * many)


def test_other_typical_values_change_nothing_else() -> None:
    """A model with another CL is the model of a file with that CL; the first one is left as it was."""
    model = pk.load_model("ketamine_kamp2020")
    other = model.with_typical({"CL": 70.0})
    patient = pk.Patient(weight="70 kg", age="40 y")
    tree = yaml.safe_load(library("models")["ketamine_kamp2020"].read_text())
    tree["parameters"]["CL"]["value"] = "70 L/h"
    written = pk.load_model(tree)
    levels = [pk.simulate("iv_single", one, patient, until="6 h").level() for one in (other, written, model)]
    np.testing.assert_array_equal(levels[0], levels[1])
    assert (levels[2][0, 1:] < levels[0][0, 1:]).all()
    assert model.typical["CL"][0] == 84.0


def test_shares_are_those_of_each_drawn_clearance(scenario: Scenario) -> None:
    """Every draw by hand: the scenario on a model with the drawn clearance, with the same patients."""
    study = studies.run(scenario)
    (found,) = uncertainty.run(study)
    model = pk.load_model("ketamine_kamp2020")
    drawn = uncertainty.typical_values(model, 3, 40)["CL"]
    shares = []
    for clearance in drawn:
        tree = yaml.safe_load(library("models")["ketamine_kamp2020"].read_text())
        tree["parameters"]["CL"] |= {"value": f"{float(clearance)!r} L/h", "ci": ["1 L/h", "1000 L/h"]}
        (arm,) = scenario.arms
        changed = replace(scenario, arms=(replace(arm, models=(pk.load_model(tree),)),))
        shares.append(studies.run(changed).results[0].share)
    assert found.share_at_typical == study.results[0].share
    assert (found.low, found.median, found.high) == tuple(np.quantile(shares, [0.025, 0.5, 0.975]))
    assert found.low < found.share_at_typical < found.high
    assert found.draws_met + found.draws_broken + found.draws_undecided == pytest.approx(1.0, abs=1e-12)


def test_a_peak_by_the_matrix_exponential() -> None:
    """A peak rule for every drawn clearance, without the package's schedule or kernels: the level at the end of an
    infusion of 0.5 mg/kg over 40 min, which rises throughout."""
    from scipy.linalg import expm

    from pkmodel.population import sample_covariates, sample_effects

    n, seed, draws, limit = 100, 5, 40, 270.0
    rule = {"id": "peak", "metric": "peak", "window": {"session": 1}, "at_most": f"{limit} ng/mL", "in": "80 %"}
    switch = {"parameter_uncertainty": True, "outer": draws}
    tree = {**TREE, "n": n, "seed": seed, "variability": switch, "rules": [rule]}
    (found,) = pk.run(pk.load_scenario(tree)).uncertain

    model = pk.load_model("ketamine_kamp2020")
    people = sample_effects(sample_covariates(pk.load_population("adults_trials"), seed, 0, n), model, seed)
    weight = people.covariates["weight"]
    size, speed = weight / 70, (weight / 70) ** 0.75
    v1, v2, v3 = 25 * size * np.exp(people.etas["V1"]), 56 * size, 157 * size
    q2, q3, hours = 161 * speed, 79 * speed, 40 / 60
    drawn = uncertainty.typical_values(model, seed, draws)["CL"]
    shares = []
    for clearance in (84.0, *drawn):
        out = clearance * speed * np.exp(people.etas["CL"])
        rates, inflow = np.zeros((n, 3, 3)), np.zeros((n, 3, 1))
        rates[:, 0, 0], rates[:, 0, 1], rates[:, 0, 2] = -(out + q2 + q3) / v1, q2 / v2, q3 / v3
        rates[:, 1, 0], rates[:, 1, 1] = q2 / v1, -q2 / v2
        rates[:, 2, 0], rates[:, 2, 2] = q3 / v1, -q3 / v3
        inflow[:, 0, 0] = 0.5 * weight / hours
        amounts = np.linalg.solve(rates, (expm(rates * hours) - np.eye(3)) @ inflow)
        level = 1000 * amounts[:, 0, 0] / v1
        assert np.abs(level / limit - 1).min() > 1e-9, "no patient is so near to the limit that rounding decides"
        shares.append(float((level <= limit).mean()))
    assert found.share_at_typical == shares[0]
    assert (found.low, found.median, found.high) == tuple(np.quantile(shares[1:], [0.025, 0.5, 0.975]))
    assert found.low < found.high


def test_threads_change_nothing(scenario: Scenario) -> None:
    """One thread over the draws or three."""
    study = studies.run(scenario)
    assert uncertainty.run(study) == uncertainty.run(study, jobs=3)


def test_a_value_known_for_certain_has_one_share(tmp_path: Path) -> None:
    """An interval of next to no width: every draw is the study itself."""
    tree = yaml.safe_load(library("models")["ketamine_kamp2020"].read_text())
    tree["parameters"]["CL"]["ci"] = ["83.99999999999 L/h", "84.00000000001 L/h"]
    file = tmp_path / "kamp.yaml"
    file.write_text(yaml.safe_dump(tree))
    (found,) = pk.run(pk.load_scenario({**TREE, "model": str(file)})).uncertain
    assert found.low == found.median == found.high == found.share_at_typical


def test_files_and_words(command: Callable[..., Any], tmp_path: Path) -> None:
    """uncertainty.csv, the section of findings.json and the console say what the interval holds."""
    file = tmp_path / "sure.yaml"
    file.write_text(yaml.safe_dump(TREE))
    outcome = command("run", file, "-o", tmp_path / "out", "--jobs", "1")
    assert outcome.code == 0
    assert "Uncertainty in parameters" in outcome.out
    assert "every other number counts as known" in " ".join(outcome.out.split())
    plain = json.loads((tmp_path / "out" / "findings.json").read_text())["uncertainty"]
    assert plain["drawn"] == {"ketamine_kamp2020.CL": "95 % interval 69 L/h to 90 L/h (assumed)"}
    assert "uncertainty in parameters" in plain["holds"]
    (row,) = plain["shares"]
    header, line = (tmp_path / "out" / "uncertainty.csv").read_text().splitlines()
    assert header.split(",") == list(row)
    assert line.split(",")[0] == "low"
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["outer"] == 40
    pk.run(pk.load_scenario({**TREE, "n": 20, "variability": {}}), out=tmp_path / "out")
    assert not (tmp_path / "out" / "uncertainty.csv").exists(), "it would pass for that of the later run"
    shown = command("models", "show", "ketamine_kamp2020")
    assert "95 % interval 69 L/h to 90 L/h" in " ".join(shown.out.split())


def test_a_model_that_does_not_say(command: Callable[..., Any], tmp_path: Path) -> None:
    """Nothing is invented: the refusal names what could carry an uncertainty."""
    file = tmp_path / "sure.yaml"
    file.write_text(yaml.safe_dump({**TREE, "model": "ketamine_clements1981"}))
    outcome = command("check", file)
    assert outcome.code == 2
    assert "ketamine_clements1981, which does not say how well its typical values are known" in outcome.err
    assert "se, rse or ci of at least one parameter" in outcome.err


@pytest.mark.parametrize(
    ("known", "said"),
    [
        ({"se": "5 L/h", "rse": "6 %"}, "one of se, rse, ci"),
        ({"se": "5 L"}, "the dimension of 84 L/h"),
        ({"se": "-5 L/h"}, "a standard error above 0"),
        ({"rse": "6 L/h"}, "a relative standard error such as"),
        ({"ci": ["90 L/h", "95 L/h"]}, "an interval above 0 around 84 L/h"),
        ({"ci": ["60 L/h"]}, "ci"),
        ({"known_evidence": "assumed"}, "se, rse or ci, which it grades"),
    ],
)
def test_a_wrong_statement_is_refused(known: dict[str, Any], said: str) -> None:
    """Each with what was expected."""
    with pytest.raises(pk.InputError, match=said):
        _kamp(**known)


def test_draws_without_the_switch_are_refused() -> None:
    """outer counts the draws of parameter_uncertainty."""
    with pytest.raises(pk.InputError, match="parameter_uncertainty: true, whose draws it counts"):
        pk.load_scenario({**TREE, "variability": {"outer": 100}})


def test_the_page_on_variability() -> None:
    """Scenarios of docs/variability.md are legal; the whole one runs, and says what the model has no numbers for."""
    page = (Path(__file__).resolve().parents[2] / "docs" / "variability.md").read_text(encoding="utf-8")
    blocks = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)]
    replaced, alone, films, measured, unsure, whole = blocks
    switches = [pk.load_scenario({**TREE, **kind}).spec.variability for kind in (alone, measured, unsure)]
    kinds = ("between_subject", "between_occasion", "residual", "parameter_uncertainty")
    assert [tuple(getattr(switch, kind) for kind in kinds) for switch in switches] == [
        (False, False, False, False),
        (True, False, True, False),
        (True, False, False, True),
    ], "each kind by itself"
    shares = [found.share for found in pk.run(pk.load_scenario(films)).results]
    films["variability"]["between_occasion"] = False
    alike = [found.share for found in pk.run(pk.load_scenario(films)).results]
    said = "{:.1%} of the patients keep the first rule and {:.1%} the second".format(*shares)
    assert said.replace("%", " %") in page
    assert alike[0] == alike[1] and f"`between_occasion: false` {alike[0]:.1%} keep either".replace("%", " %") in page
    pk.load_scenario({**TREE, "model": "ketamine_clements1981", **replaced})
    study = pk.run(pk.load_scenario(whole))
    assert len(study.uncertain) == 1
    said = " ".join(study.warnings)
    assert "has no between-occasion variability" in said
    assert "has no residual error of ketamine" in said
    others = [name for name in library("models") if pk.load_model(name).uncertain]
    assert others == ["ketamine_kamp2020"], "the page says which model of the library is uncertain"
