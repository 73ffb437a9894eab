"""The kinds of variability of a scenario: what is drawn, replaced and said, and that no bit depends on how."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

import pkmodel as pk
from pkmodel import study as studies
from pkmodel.outcome import Study
from pkmodel.population import sample_covariates, sample_effects
from pkmodel.specs.loading import find
from pkmodel.specs.yaml_tree import read_yaml
from pkmodel.study import Chunk

OTTO = read_yaml(find("models", "esketamine_otto2021")).tree
COURSE = {
    "title": "Three infusions",
    "drug": "esketamine",
    "route": "iv",
    "phases": [{"name": "all", "dose": "0.4 mg/kg", "over": "40 min", "sessions": {"days": [1, 3, 5]}}],
}


def model_file(folder: Path, **changes: Any) -> str:
    """Otto's model with other sections, as a file."""
    file = folder / "varied.yaml"
    file.write_text(yaml.safe_dump({**copy.deepcopy(OTTO), "id": "varied", **changes}, sort_keys=False))
    return str(file)


def scenario_of(model: str, **changes: Any) -> dict[str, Any]:
    """One arm of three infusions with rules on true and on measured levels."""
    return {
        "title": "Kinds of variability",
        "arms": {"only": {"protocol": COURSE}},
        "model": model,
        "population": "adults_trials",
        "n": 300,
        "seed": 3,
        "observe": {"every": "30 min", "for": "4 h after each session start"},
        "rules": [
            {"id": "peak", "metric": "peak", "window": "each session", "at_most": "130 ng/mL", "in": "90 %"},
            {"id": "trough", "metric": "trough", "at_most": "0.4 ng/mL", "in": "90 %"},
            {"id": "late", "metric": "level_at", "at": "2 h after session_start", "at_most": "55 ng/mL", "in": "90 %"},
            {"id": "area", "metric": "auc", "window": "course", "at_most": "900 ng*h/mL", "in": "90 %"},
        ],
        **changes,
    }


def run(tree: dict[str, Any], **how: Any) -> Study:
    """The study of a scenario."""
    return studies.run(pk.load_scenario(tree), **how)


def same(first: Study, second: Study) -> None:
    """Equal in every number."""
    for name in ("findings", "bands", "session_peaks"):
        pd.testing.assert_frame_equal(getattr(first, name), getattr(second, name), check_exact=True)


def metric(tree: dict[str, Any], name: str, **how: Any) -> Any:
    """A metric (n, s) of every patient and session of a rule."""
    chunks: list[Chunk] = []
    run(tree, sink=chunks.append, **how)
    tables = [
        np.stack([item.values for item in chunk.cases[0].metrics if item.request.metric == name], axis=1)
        for chunk in chunks
    ]
    return np.concatenate(tables)


OCCASIONS = {**OTTO["variability"], "between_occasion": {"V1": {"omega2": 0.05}, "CL": {"cv": "20 %"}}}


def test_occasions_are_the_same_to_the_bit_for_any_split(tmp_path: Path) -> None:
    """Chunks of 1, 64 and all patients, on one and three threads."""
    tree = scenario_of(model_file(tmp_path, variability=OCCASIONS), variability={"between_occasion": True}, n=130)
    whole = run(tree, chunk=130)
    same(run(tree, chunk=64, jobs=3), whole)
    few = tree | {"n": 9}
    same(run(few, chunk=1), run(few, chunk=9))


def test_measured_occasions_are_the_same_to_the_bit_for_any_split(tmp_path: Path) -> None:
    """Residual error on top: bands, troughs and levels at moments for chunks of 7, 64 and all patients."""
    kinds = {"between_occasion": True, "residual": True}
    tree = scenario_of(model_file(tmp_path, variability=OCCASIONS), variability=kinds, n=130)
    whole = run(tree, chunk=130)
    same(run(tree, chunk=64, jobs=3), whole)
    same(run(tree, chunk=7), whole)
    true = run(tree | {"variability": {"between_occasion": True}})
    pd.testing.assert_frame_equal(true.session_peaks, whole.session_peaks, check_exact=True)
    moved = (true.bands["p95"] != whole.bands["p95"]).to_numpy()
    assert moved[true.bands["time_h"].to_numpy() > 0].mean() > 0.9


def test_occasions_differ_and_the_first_patients_stay(tmp_path: Path) -> None:
    """Peaks of three equal sessions are hardly correlated beyond the patient's own level once occasions are drawn."""
    file = model_file(tmp_path, variability=OCCASIONS)
    peaks = {}
    for on in (False, True):
        peaks[on] = metric(scenario_of(file, variability={"between_occasion": on}), "peak")
    ratio = {on: np.log(values[:, 2] / values[:, 1]) for on, values in peaks.items()}
    assert np.abs(ratio[False]).max() < 0.05, "without occasions every session is the same but for what is left over"
    # The peak follows V1 less than one to one; two independent occasions of variance 0.05 differ by 0.1 at most.
    assert 0.02 < ratio[True].var() < 0.1 * (1 + 4 * (2 / 300) ** 0.5)
    few = metric(scenario_of(file, variability={"between_occasion": True}, n=20), "peak")
    assert np.array_equal(few, peaks[True][:20])


def test_zero_variance_between_occasions_is_the_run_without(tmp_path: Path) -> None:
    """The same bits, and a sentence."""
    still = {**OTTO["variability"], "between_occasion": {"V1": {"omega2": 0.0}}}
    file = model_file(tmp_path, variability=still)
    on, off = (run(scenario_of(file, variability={"between_occasion": which})) for which in (True, False))
    same(on, off)
    said = "varied has no between-occasion variability: its patients are the same in every session"
    assert on.warnings == [*off.warnings, said]


def test_occasions_of_a_model_without_are_a_warning() -> None:
    """Not an error; the numbers are those of the run without."""
    tree = scenario_of("esketamine_otto2021", n=50)
    on, off = run(tree | {"variability": {"between_occasion": True}}), run(tree)
    same(on, off)
    assert len(on.warnings) == len(off.warnings) + 1
    assert "esketamine_otto2021 has no between-occasion variability" in on.warnings[-1]


def test_a_scenario_replaces_a_block() -> None:
    """The spread is that of the scenario, the sentence says so, and the borrowed one is not mentioned any more."""
    block = {"V1": {"cv": "30 %"}, "CL": {"cv": "25 %"}, "V1~CL": {"correlation": 0.5}, "eta": {"V2": "V1"}}
    tree = scenario_of("ketamine_clements1981", variability={"replace": {"ketamine_clements1981": block}})
    tree["arms"] = {"a": {"protocol": "iv_single"}, "b": {"protocol": "iv_six_infusions"}}
    scenario = pk.load_scenario(tree)
    for arm in scenario.arms:
        (model,) = arm.models
        people = sample_covariates(scenario.population, 3, 0, 20_000)
        etas = sample_effects(people, model, 3).etas
        assert set(etas) == {"V1", "CL", "V2"}
        for name, cv in (("V1", 0.3), ("CL", 0.25)):
            variance = np.log1p(cv**2)
            assert abs(etas[name].var() - variance) < 4 * variance * (2 / 20_000) ** 0.5
        assert abs(np.corrcoef(etas["V1"], etas["CL"])[0, 1] - 0.5) < 4 * 0.75 / 20_000**0.5
    said = [sentence for sentence in model.assumptions if "variability" in sentence]
    assert said == ["ketamine_clements1981: between-subject variability, of V1, CL, V2, is replaced by the scenario"]
    assert "borrowed" in " ".join(pk.load_model("ketamine_clements1981").assumptions)
    plain = run({key: value for key, value in tree.items() if key != "variability"} | {"n": 40})
    assert (run(tree | {"n": 40}).session_peaks["p95"] != plain.session_peaks["p95"]).all()


def test_a_replaced_block_stays_with_its_model() -> None:
    """``--model`` with the same model has the scenario's block, another model its own."""
    tree = scenario_of("ketamine_clements1981", arms={"a": {"protocol": "iv_single"}})
    tree["variability"] = {"replace": {"ketamine_clements1981": {"V1": {"cv": "10 %"}}}}
    scenario = pk.load_scenario(tree)
    first, second = scenario.with_models(["ketamine_clements1981", "ketamine_domino1984"]).arms[0].models
    assert set(first.variability.between_subject.effects) == {"V1"}
    assert second.variability == pk.load_model("ketamine_domino1984").variability
