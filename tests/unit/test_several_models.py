"""Several models in one run: what they say together, how far they lie apart, and what a reader is warned of."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

import pkmodel as pk
from pkmodel import between, cautions, report
from pkmodel import study as studies
from pkmodel.findings import Finding, Verdict
from pkmodel.population import Population
from pkmodel.specs.loading import find
from pkmodel.specs.model import ModelSpec
from pkmodel.specs.rule import Rule
from pkmodel.study import Study

pytestmark = pytest.mark.xdist_group("several_models")  # one study for all of them

MODELS = ["ketamine_clements1981", "ketamine_domino1984", "esketamine_otto2021", "esketamine_simons2022"]


def _tree() -> dict[str, Any]:
    return {
        "title": "One infusion, several models",
        "arms": {"infusion": {"protocol": "iv_single", "drug": "own"}},
        "models": MODELS,
        "population": "adults_trials",
        "n": 520,
        "seed": 5,
        "observe": {"every": "20 min", "for": "3 h"},
        "rules": [
            {"id": "peak", "metric": "peak", "at_most": "215 ng/mL", "in": "90 %"},
            {"id": "some", "metric": "peak", "at_least": "1 ng/mL", "in": "90 %"},
            {
                "id": "long",
                "metric": "time_above",
                "threshold": "150 ng/mL",
                "window": "course",
                "at_most": "30 min",
                "in": "60 %",
            },
            {
                "id": "never",
                "metric": "first_crossing",
                "threshold": "5000 ng/mL",
                "at_least": "1 min",
                "in": "90 %",
            },
        ],
    }


@pytest.fixture
def several() -> dict[str, Any]:
    """One arm on three venous models and an arterial one, free to change."""
    return copy.deepcopy(_tree())


@pytest.fixture(scope="module")
def study() -> Study:
    """Its run, on one thread."""
    return studies.run(pk.load_scenario(_tree()))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Its files, from one thread and from two."""
    base = tmp_path_factory.mktemp("several")
    for jobs in (1, 2):
        pk.run(pk.load_scenario(_tree()), out=base / str(jobs), jobs=jobs)
    return {jobs: base / str(jobs) for jobs in (1, 2)}


# Joint verdicts


def _rule() -> Rule:
    return Rule.model_validate({"id": "r", "metric": "peak", "at_most": "10 ng/mL", "in": "90 %"})


def _finding(model: str, verdict: Verdict, share: float = 0.5) -> Finding:
    where = ("r", "arm", model, "peak", "ketamine", "worst session", 10.0, "ng/mL")
    return Finding(
        *where,
        n=10,
        n_met=5,
        share=share,
        low=0.2,
        high=0.8,
        required=0.9,
        verdict=verdict,
        exact_low=0.1,
        exact_high=0.9,
    )


@pytest.mark.parametrize(
    ("verdicts", "overall", "sentence"),
    [
        ("met " * 5, "met", "met under all 5 models"),
        ("met met", "met", "met under both models"),
        ("broken broken broken", "broken", "broken under all 3 models"),
        ("undecided undecided", "undecided", "undecided under both models"),
        (
            "met broken met undecided met",
            between.DISAGREE,
            "met under 3 of 5 models (broken under m1; undecided under m3)",
        ),
        ("broken met broken", between.DISAGREE, "met under 1 of 3 models (broken under m0 and m2)"),
        ("broken undecided", between.DISAGREE, "met under none of 2 models (broken under m0; undecided under m1)"),
    ],
)
def test_joint_sentence(verdicts: str, overall: str, sentence: str) -> None:
    """All, some and none; every model that does not meet the rule is named with its verdict."""
    found: list[Any] = [_finding(f"m{index}", word) for index, word in enumerate(verdicts.split())]  # type: ignore[arg-type]
    (item,) = between.joint([_rule()], found)
    assert (item.verdict, item.sentence) == (overall, sentence)


def test_joint_is_the_findings_taken_together(study: Study) -> None:
    """Every rule once; counts, lists and shares are those of the single verdicts; the drugs' names do not matter."""
    table = study.joint.set_index("rule")
    assert list(table.index) == ["peak", "some", "long", "never"]
    assert list(study.joint.columns) == list(between.JOINT)
    for rule, own in study.findings.groupby("rule"):
        row = table.loc[rule]
        for word in ("met", "broken", "undecided"):
            under = own.loc[own["verdict"] == word, "model"].tolist()
            assert row[f"n_{word}"] == len(under)
            assert row[f"{word}_under"] == "; ".join(under)
        assert (row["lowest_share"], row["highest_share"]) == (own["share"].min(), own["share"].max())
        assert row["output"] == "parent"
    assert table.loc["some", "sentence"] == "met under all 4 models"
    assert table.loc["peak", "verdict"] == between.DISAGREE


def test_one_model_has_no_joint_verdict(several: dict[str, Any]) -> None:
    """Nothing to put together, and nothing is kept for it."""
    del several["models"]
    several |= {"model": MODELS[0], "n": 4}
    alone = studies.run(pk.load_scenario(several))
    assert alone.joint.empty and alone.between_models.empty
    assert list(alone.joint.columns) == list(between.JOINT)
    assert alone.answers == [{}]


# Between models


def test_ranges_by_hand(folders: dict[int, Path]) -> None:
    """Medians of the values in metrics.parquet, exactly; lowest, highest and their ratio."""
    values = pd.read_parquet(folders[1] / "metrics.parquet")
    values = values.astype(dict.fromkeys(("metric", "model", "arm"), str))
    table = pd.read_csv(folders[1] / "between_models.csv")
    assert list(table.columns) == [*between.RANGE, *MODELS]
    for metric, window in (("peak", "worst session"), ("time_above", "course")):
        (row,) = (table[(table["metric"] == metric) & (table["window"] == window)]).to_dict("records")
        medians = values[values["metric"] == metric].groupby("model")["value"].median()
        assert {model: row[model] for model in MODELS} == medians.to_dict()
        assert (row["lowest"], row["lowest_model"]) == (medians.min(), medians.idxmin())
        assert (row["highest"], row["highest_model"]) == (medians.max(), medians.idxmax())
        assert row["ratio"] == medians.max() / medians.min()
    assert set(table["unit"]) == {"ng/mL", "h"}


def test_what_is_never_reached_has_no_number(study: Study) -> None:
    """Half of the patients never pass 5,000 ng/mL: no median, no ratio, and no infinity in any file."""
    (item,) = (item for item in study.model_ranges if item.question.metric == "first_crossing")
    plain = item.plain()
    assert plain["condition"] == "5000 ng/mL"
    assert plain["lowest"] is None and plain["highest"] is None and plain["ratio"] is None
    assert set(plain["medians"].values()) == {None}


def test_no_ratio_to_nothing() -> None:
    """A median of 0 has a range and no ratio."""
    question = next(iter(studies.run(pk.load_scenario(_tree() | {"n": 2})).cases[0].questions))
    item = between.Range("arm", question, 3, "h", {"a": 0.0, "b": 2.0})
    assert (item.lowest, item.highest, item.ratio) == (("a", 0.0), ("b", 2.0), None)


def test_same_question_is_asked_once(several: dict[str, Any]) -> None:
    """A rule and the comparison on one metric and window are one line; the lowest of several sessions is another."""
    several["arms"] = {"a": {"protocol": "iv_six_infusions"}, "b": {"protocol": "iv_six_infusions"}}
    several |= {"models": MODELS[:2], "n": 3}
    several["compare"] = {"reference": "a", "metrics": ["peak", "auc", "time_above"]}
    found = [item.question for item in studies.run(pk.load_scenario(several)).model_ranges if item.arm == "a"]
    assert [(asked.metric, asked.window, asked.taken) for asked in found] == [
        ("peak", "worst session", "highest"),
        ("peak", "worst session", "lowest"),
        ("time_above", "course", None),
        ("first_crossing", "worst session", "lowest"),
        ("auc", "worst session", "highest"),
        ("time_above", "worst session", "highest"),
    ]


def test_units_of_models_are_brought_together(several: dict[str, Any], tmp_path: Path) -> None:
    """The same model in mg/L has the same medians in ng/mL, to rounding, and so a range of 1."""
    tree = yaml.safe_load(find("models", MODELS[0]).read_text())
    tree["id"] = "in_milligrams"
    tree["checks"] = []
    for output in tree["outputs"].values():
        output["unit"] = "mg/L"
    (tmp_path / "in_milligrams.yaml").write_text(yaml.safe_dump(tree, sort_keys=False))
    several |= {"models": [MODELS[0], str(tmp_path / "in_milligrams.yaml")], "n": 20}
    several["rules"] = several["rules"][:1] + several["rules"][2:3]
    for item in studies.run(pk.load_scenario(several)).model_ranges:
        first, second = item.medians.values()
        assert first > 0
        assert second == pytest.approx(first, rel=1e-13)


def test_spread_of_the_typical_patient() -> None:
    """The shipped scenario with one typical patient of 70 kg gives what each model gives alone.

    That this is the published table is for tests/verification/test_published_numbers.py.
    """
    tree = yaml.safe_load(find("scenarios", "model_spread").read_text())
    fixed = {"sex": {"female": 0.0}, "age": {"fixed": "40 y"}, "height": {"fixed": "175 cm"}}
    tree |= {"population": fixed | {"weight": {"fixed": "70 kg"}}, "n": 1, "variability": {"between_subject": False}}
    found = studies.run(pk.load_scenario(tree))
    (item,) = (item for item in found.model_ranges if item.question.condition == "40 min after session_start")
    patient = pk.Patient(weight="70 kg", age="40 y", sex="male", height="175 cm")
    for name in found.models:
        alone = pk.simulate("iv_single", name, patient, until="40 min", every="40 min", drug="own")
        assert item.medians[name] == pytest.approx(float(alone.level()[0, -1]), rel=1e-12)


def test_spread_scenario_holds_every_adult_intravenous_model() -> None:
    """A new model with a vein and adults belongs there; what is left out is named in the notes with its reason."""
    from pkmodel.specs.library import load_scenario
    from pkmodel.specs.loading import library

    scenario = load_scenario("model_spread")
    here = {model.id for model in scenario.arms[0].models}
    left_out = {name for name in library("models") if any(name in note for note in scenario.spec.notes)}
    assert {name for name in library("models") if "iv" in pk.load_model(name).routes} == here | left_out
    assert not here & left_out


# Bits and files


@pytest.mark.parametrize("name", ["joint.csv", "between_models.csv", "findings.json"])
def test_files_do_not_depend_on_threads(folders: dict[int, Path], name: str) -> None:
    """Byte for byte."""
    assert (folders[1] / name).read_bytes() == (folders[2] / name).read_bytes()


def test_chunks_change_no_bit(study: Study) -> None:
    """Joint verdicts, ranges and warnings are equal, not close."""
    other = studies.run(pk.load_scenario(_tree()), chunk=37, jobs=3)
    pd.testing.assert_frame_equal(other.joint, study.joint, check_exact=True)
    pd.testing.assert_frame_equal(other.between_models, study.between_models, check_exact=True)
    assert other.warnings == study.warnings


def test_files(folders: dict[int, Path], several: dict[str, Any]) -> None:
    """Those of several models are there, say the same as findings.json, and go when one model runs in their place."""
    folder = folders[2]
    written = {path.name for path in folder.iterdir()}
    assert written == {*report.FILES, *report.FILES_OF_SEVERAL} - {"comparison.csv"}
    text = (folder / "findings.json").read_text(encoding="utf-8")
    assert "NaN" not in text and "Infinity" not in text
    found = json.loads(text)
    table = pd.read_csv(folder / "joint.csv")
    assert [item["sentence"] for item in found["joint"]] == table["sentence"].tolist()
    assert found["joint"][0]["broken_under"] == table["broken_under"][0].split("; ")
    assert "between models only" in found["between_models"]["holds"]
    assert len(found["between_models"]["ranges"]) == len(pd.read_csv(folder / "between_models.csv"))
    del several["models"]
    pk.run(pk.load_scenario(several | {"model": MODELS[0], "n": 3}), out=folder)
    assert {path.name for path in folder.iterdir()} == {*report.FILES} - {"comparison.csv"}


# Warnings


def test_warnings_of_the_run(study: Study) -> None:
    """Sites, drug and age, each sentence once and for all models that it is about; what to do is said."""
    said = study.warnings
    assert len(said) == len(set(said))
    (drug,) = (sentence for sentence in said if "drug: own" in sentence)
    assert "esketamine_otto2021 and esketamine_simons2022" in drug and "drug: half" in drug
    (site,) = (sentence for sentence in said if "stand beside" in sentence)
    assert site.startswith("arterial levels (esketamine_simons2022)") and "compare peaks" in site
    (weight,) = (sentence for sentence in said if "the weight" in sentence)
    for model in ("esketamine_otto2021", "esketamine_simons2022"):
        bounds = pk.load_model(model).valid_for.weight
        assert bounds is not None
        index = [case.model.id for case in study.cases].index(model)
        assert f"{study.sums[index].outside['weight']} ({model})" in weight


def test_many_models_make_few_sentences() -> None:
    """The ten models of the shipped scenario: fewer warnings than models, and the other nine are not listed."""
    found = studies.run(pk.load_scenario("model_spread").with_options(n=8))
    assert len(found.cases) == 10
    assert len(found.warnings) < 10
    assert any("the other 9 models" in sentence for sentence in found.warnings)
    assert any("ketamine_herd2007" in s and "a model of children used for adults" in s for s in found.warnings)


def test_sites_of_rules_and_marks(several: dict[str, Any]) -> None:
    """A limit or a mark of one site against a model of the other; nothing where they agree or nothing is known."""
    several["rules"][0]["sampling"] = "venous"
    source = {"citation": "Somebody 1999", "evidence": "secondary"}
    mark = {"label": "a trial", "time": "40 min", "level": "185 ng/mL", "sampling": "arterial", "source": source}
    several |= {"marks": [mark], "n": 2}
    said = studies.run(pk.load_scenario(several)).warnings
    (rule,) = (sentence for sentence in said if "the limit of rule peak" in sentence)
    assert "the levels of esketamine_simons2022 are arterial" in rule and "venous models" in rule
    (of_mark,) = (sentence for sentence in said if "the mark a trial" in sentence)
    assert "ketamine_clements1981, ketamine_domino1984 and esketamine_otto2021" in of_mark
    venous = studies.run(pk.load_scenario(several | {"models": MODELS[:3], "marks": []})).warnings
    assert not any("samples" in sentence or "stand beside" in sentence for sentence in venous)


@pytest.mark.parametrize(
    ("model", "age", "said", "not_said"),
    [
        ("ketamine_herd2007", "40 y", "a model of children used for adults", "the age is not given"),
        ("ketamine_herd2007", "8 y", None, "children used"),
        ("ketamine_herd2007", None, "the age is not given", "children used"),
        ("ketamine_clements1981", "8 y", "a model of adults used for children", "adults used for adults"),
        ("ketamine_clements1981", "40 y", None, "outside the age"),
        ("ketamine_hornik2018", "40 y", "its clearance is about half", "the age is not given"),
        ("ketamine_hornik2018", "8 y", None, "its clearance is about half"),
        ("ketamine_hornik2018", None, "its clearance is about half", "children used"),
    ],
)
def test_children_and_adults(model: str, age: str | None, said: str | None, not_said: str) -> None:
    """By the ages that a model is valid for, and by the cautions of its file."""
    result = pk.simulate("iv_single", model, pk.Patient(weight="30 kg", age=age), until="1 h", every="1 h")
    text = "\n".join(result.warnings)
    assert said is None or said in text
    assert not_said not in text


def test_ages_of_a_population_count() -> None:
    """From 18 y a patient is an adult; a mixed population is warned of both ways, with numbers."""
    people = Population(0, 3, {"age": np.array([17.9, 18.0, 50.0])})
    assert cautions.ages(people) == {"adults": 2, "children": 1}
    adults, children = pk.load_model("ketamine_clements1981"), pk.load_model("ketamine_herd2007")
    assert (cautions.group_of(adults), cautions.group_of(children)) == ("adults", "children")
    assert cautions.group_of(pk.load_model("ketamine_herd2007_norketamine")) is None
    count = cautions.ages(people)
    one, two = cautions.of_patients([(adults, {"age": 1}, count), (children, {"age": 3}, count)], 3)
    assert one.startswith(
        "1 of 3 patients are outside the age that ketamine_clements1981 is valid for: a model of adults"
    )
    assert two.startswith("3 of 3 patients") and "a model of children used for adults" in two


def test_sentences_are_grouped_by_what_they_say() -> None:
    """Only the model differs: one sentence; an id that is part of another does not confuse it."""
    said = cautions.grouped([("ab", "ab is old"), ("abc", "abc is old"), ("b", "b is new"), ("ab", "ab is old")])
    assert said == ["ab and abc is old", "b is new"]


def test_esketamine_on_a_racemic_model_says_what_to_do() -> None:
    """And strict does not refuse it: nothing is outside valid_for."""
    tree = _tree() | {"arms": {"s": {"protocol": "esketamine_iv_single"}}, "models": MODELS[:2], "n": 2}
    (said,) = (s for s in studies.run(pk.load_scenario(tree), strict=True).warnings if "esketamine protocol" in s)
    assert "ketamine_clements1981 and ketamine_domino1984" in said
    assert "choose a model of esketamine" in said


def test_caution_for_everyone() -> None:
    """``when: always`` is said of any patient, known or not."""
    model: ModelSpec = pk.load_model("ketamine_hijazi2003")
    for people in ({}, {"adults": 0, "children": 2}, {"adults": 2, "children": 0}):
        assert [s for s in cautions.of_model(model, people) if "intensive care" in s]
