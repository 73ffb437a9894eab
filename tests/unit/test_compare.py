"""``pkmodel compare``: pairs of patients, intervals, what a course takes, default models, files and refusals."""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

import pkmodel as pk
from pkmodel import comparison, comparison_files, paired, report, side_by_side, tally
from pkmodel.errors import InputError
from pkmodel.side_by_side import Measure, Values
from pkmodel.specs import asked, defaults
from pkmodel.specs.comparison import prepare
from pkmodel.specs.library import load_model, load_population, load_protocol, load_scenario
from pkmodel.specs.loading import library
from pkmodel.study import Chunk

Command = Callable[..., Any]
THREE = ("iv_six_infusions", "iv_taper_dose_and_interval", "esketamine_nasal_induction")
CHILDREN = {
    "sex": {"female": 0.5},
    "age": {"uniform": ["4 y", "12 y"]},
    "height": {"normal": ["125 cm", "8 cm"]},
    "weight": {"lognormal": {"median": "25 kg", "cv": "15 %"}},
}


@pytest.mark.parametrize("n", [6, 7, 8, 9, 10, 11])
def test_sign_interval_by_enumeration(n: int) -> None:
    """Over all 2^n patterns of signs: the interval covers 0 in at least 95 % of them, one rank further in in fewer.

    The differences around a median of 0 are as often below it as above it, so every pattern is equally likely.
    """
    sizes = 1.0 + np.arange(n)
    covered = narrower = 0
    k = paired.rank(n)
    for signs in itertools.product((-1.0, 1.0), repeat=n):
        values = np.array(signs) * sizes
        found = paired.median(values)
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        covered += found.low < 0.0 < found.high
        order = np.sort(values)
        narrower += bool(k < n - k and order[k] < 0.0 < order[n - 1 - k])
    assert covered == 2**n - 2 * sum(comb(n, i) for i in range(k))
    assert covered / 2**n >= 0.95 > narrower / 2**n


@pytest.mark.parametrize("n", [100, 999, 2000, 2001])
def test_rank_is_the_largest_that_holds(n: int) -> None:
    """P(Bin(n, 1/2) < k) <= 2.5 % < P(Bin(n, 1/2) < k + 1), in whole numbers."""
    k = paired.rank(n)
    below = sum(comb(n, i) for i in range(k))
    assert 40 * below <= 2**n < 40 * (below + comb(n, k))


def test_medians_with_few_and_with_infinite_values() -> None:
    """Too few for an interval; nothing of nothing; an infinite middle is infinite and never a NaN."""
    few = paired.median(np.array([3.0, 1.0, 2.0, 8.0]))
    assert few == paired.Median(4, 2.5, None, None)
    assert paired.median(np.empty(0)) is None
    half = paired.median(np.array([1.0, np.inf, np.inf, 2.0]))
    assert half is not None
    assert half.value == np.inf
    both = paired.median(np.array([-np.inf, np.inf]))
    assert both is not None
    assert both.value == -np.inf


def test_differences_and_ratios_of_pairs() -> None:
    """Two that never come down tell nothing; one does; 0 / 0 tells nothing; a scale below 0 has no ratios."""
    own, other = np.array([4.0, np.inf, np.inf, 0.0, 3.0]), np.array([2.0, 1.0, np.inf, 0.0, 0.0])
    assert paired.differences(own, other).tolist() == [2.0, np.inf, 0.0, 3.0]
    assert paired.ratios(own, other).tolist() == [2.0, np.inf, np.inf]
    assert paired.ratios(own, -other).size == 0


@dataclass(frozen=True)
class _Session:
    """What tally.py reads of a session."""

    given: np.ndarray
    end: np.ndarray
    base: float = 1.0
    devices: np.ndarray | None = None
    used: np.ndarray | None = None
    wasted: np.ndarray | None = None
    volume: np.ndarray | None = None
    vials: np.ndarray | None = None
    sprays: np.ndarray | None = None
    other: dict[str, Any] = field(default_factory=dict)


def test_what_a_course_takes() -> None:
    """Added up over the sessions that state it; what no session states is not there."""
    first = _Session(
        np.array([40.0, 50.0]), np.array([0.5, 0.5]), 0.867, used=np.array([100.0, 100.0]), vials=np.array([1, 1])
    )
    second = _Session(np.array([0.0, 56.0]), np.array([0.0, 0.1]), devices=np.array([0, 2]), used=np.array([0.0, 56.0]))
    taken = tally.of([first, second])
    assert taken.base == pytest.approx([0.867 * 40.0, 0.867 * 50.0 + 56.0])
    assert taken.written.tolist() == [40.0, 106.0]
    assert {name: total.tolist() for name, total in taken.totals.items()} == {
        "used": [100.0, 156.0],
        "vials": [1.0, 1.0],
        "devices": [0.0, 2.0],
    }
    assert taken.sessions == {"used": 2, "vials": 1, "devices": 1}
    until = np.array([[0.2, 3.0], [7.0, np.inf]])
    hours = tally.clinic_hours(taken, np.array([0.0, 2.0]), until)
    # The pump's end; the criterion; nothing given, so no visit; never below.
    assert hours.tolist() == [[0.5, 3.0], [0.0, np.inf]]
    assert tally.clinic_hours(taken, np.array([0.0, 2.0]), np.zeros((2, 2)))[1].tolist() == [0.0, 2.1]


def test_rows_have_one_unit_and_say_what_is_missing() -> None:
    """mg/L beside ng/mL; a measure that one arm does not state has no difference, and its word."""
    levels, vials = Measure("peak", "parent"), Measure("vials")
    values = np.arange(1.0, 21.0)
    of_arms = {
        levels: {"a": Values(values, "ng/mL"), "b": Values(values / 1000 + 0.003, "mg/L")},
        vials: {"a": Values(None, "", "not stated"), "b": Values(values, "")},
    }
    arms = [("a", "m"), ("b", "m")]
    found = [side_by_side.row(measure, arms, of_arm, "a") for measure, of_arm in of_arms.items()]
    second = found[0].cells[1]
    assert found[0].unit == "ng/mL"
    assert second.difference is not None
    assert second.difference.value == pytest.approx(3.0)
    assert second.median == pytest.approx(13.5)
    assert (second.p5, second.p95) == pytest.approx((4.0, 22.0))
    assert found[1].cells[0].note == "not stated"
    assert found[1].cells[1].difference is None
    plain = [row for item in found for row in item.plain("a")]
    assert all(list(row) == list(side_by_side.COLUMNS) for row in plain)
    assert plain[0]["reference"] is None
    assert json.dumps(plain, allow_nan=False)


def test_default_models_have_what_they_are_chosen_for() -> None:
    """Drug, routes, variability and people of every choice; every shipped protocol has one."""
    for choice in defaults.CHOICES:
        model = load_model(choice.model)
        assert model.drug == choice.drug
        assert choice.routes <= set(model.routes)
        assert any(effect.variance for effect in model.variability.between_subject.effects.values())
        low, high = model.valid_for.age or (0.0, np.inf)
        assert high <= 18.0 if choice.group == "children" else low >= 18.0, choice.model
    for name in library("protocols"):
        assert defaults.model_for(load_protocol(name), "adults", arm=name).model
    children, adults = load_population(CHILDREN), load_population("adults_trials")
    assert (defaults.group_of(children), defaults.group_of(adults)) == ("children", "adults")
    single = load_protocol("iv_single")
    assert defaults.model_for(single, defaults.group_of(children), arm="x").model == "ketamine_herd2007"
    assert defaults.model_for(single, defaults.group_of(adults), arm="x").model == "ketamine_clements1981"
    nasal = load_protocol("esketamine_nasal_induction")
    with pytest.raises(InputError, match=r"x  found esketamine by intranasal in children.*--model x=MODEL"):
        defaults.model_for(nasal, "children", arm="x")


def test_patients_are_paired_across_models() -> None:
    """The same patient has the same eta of CL and V1 in both models, and so the same deviation of the parameters."""
    request = prepare(["iv_single", "esketamine_iv_single"], n=60, seed=5)
    seen: list[Chunk] = []
    found = comparison.run(request, sinks=[seen.append], chunk=25)
    assert [case.model.id for case in found.study.cases] == ["ketamine_clements1981", "esketamine_otto2021"]
    for part in seen:
        racemate, s_ketamine = part.cases
        weight = part.population.covariates["weight"]
        for name in ("V1", "CL"):
            assert np.array_equal(racemate.etas[name], s_ketamine.etas[name])
        clements, otto = load_model("ketamine_clements1981"), load_model("esketamine_otto2021")
        deviation = racemate.parameters["CL"] / (clements.typical["CL"][0] * weight)
        other = s_ketamine.parameters["CL"] / (otto.typical["CL"][0] * (weight / 70.0) ** 0.75)
        assert deviation == pytest.approx(other, rel=1e-12)
        assert deviation.std() > 0.05
    (said,) = found.pairing
    assert "share the draws of V1, CL" in said
    assert "VN, CLN of esketamine_otto2021" in said
    assert any("across analytes" in sentence for sentence in found.cautions)


@pytest.mark.usefixtures("pictures")
def test_files_hold_what_the_patients_have(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole way through the command line: the table is that of metrics.parquet, pair by pair."""
    monkeypatch.chdir(tmp_path)
    outcome = command("compare", *THREE, "--n", 40, "--seed", 3, "--jobs", 2, "-o", "out", "--json")
    assert outcome.code == 0, outcome.err
    told = json.loads(outcome.out)
    out = tmp_path / "out"
    assert sorted(path.name for path in out.iterdir()) == [
        "bands.parquet",
        "comparison.csv",
        "comparison.json",
        "comparison.png",
        "manifest.json",
        "metrics.parquet",
        "patients.parquet",
    ]
    assert json.loads((out / "comparison.json").read_text()) == told
    assert [arm["model"] for arm in told["arms"]] == [*["ketamine_clements1981"] * 2, "esketamine_perezruixo2021"]
    assert all(arm["chosen"] == "by default" and arm["why"] for arm in told["arms"])
    assert told["discharge"]["evidence"] == "assumed"
    assert told["reference"] == THREE[0]
    values = pd.read_parquet(out / "metrics.parquet")
    of_parent = values[values["output"].isin(["ketamine", "esketamine"])]

    def each(metric: str, arm: str, how: str) -> np.ndarray:
        own = of_parent[(of_parent["metric"] == metric) & (of_parent["arm"] == arm)]
        return np.asarray(own.groupby("patient")["value"].agg(how))

    rows = {(row["measure"], row["output"], row["of"], row["arm"]): row for row in told["comparison"]}
    for metric, of, how in (
        ("peak", "highest session", "max"),
        ("auc", "whole course", "sum"),
        ("time_above", "mean session", "mean"),
        ("accumulation_ratio", "last session against first", "last"),
    ):
        base = each(metric, THREE[0], how)
        for arm in THREE:
            row, own = rows[metric, "parent", of, arm], each(metric, arm, how)
            assert row["median"] == pytest.approx(np.median(own), rel=1e-12)
            assert row["mean"] == pytest.approx(own.mean(), rel=1e-12)
            if arm != THREE[0]:
                order, k = np.sort(own - base), paired.rank(40)
                ends = (np.median(order), order[k - 1], order[40 - k])
                found = (row["difference"], row["difference_low"], row["difference_high"])
                assert found == pytest.approx(ends, rel=1e-9, abs=1e-9)
                assert row["n_pairs"] == 40
    until = values[values["metric"] == "time_until_below"].groupby(["arm", "patient"], observed=True)["value"]
    assert rows["clinic_hours", "", "whole course", THREE[2]]["p5"] >= 12 * 2.0
    longest = until.max()[THREE[2]]
    assert longest.max() > 2.0, "somebody stays longer than the label's two hours"
    assert rows["devices", "", "whole course", THREE[2]]["median"] == 2 + 11 * 3
    assert rows["devices", "", "whole course", THREE[0]]["note"] == "none used"
    assert rows["given", "", "whole course, as base", THREE[2]]["median"] == 56 + 11 * 84
    assert ("given", "", "whole course, as written", THREE[2]) not in rows
    with (out / "comparison.csv").open(newline="") as stream:
        lines = list(csv.DictReader(stream))
    assert len(lines) == len(told["comparison"])
    assert tuple(lines[0]) == side_by_side.COLUMNS
    manifest = json.loads((out / "manifest.json").read_text())
    assert set(manifest["models"]) == {"ketamine_clements1981", "esketamine_perezruixo2021"}
    assert manifest["discharge"]["criterion"] == "dissociation_olofsen2022 below 5 %"
    assert (out / "comparison.png").stat().st_size > 50_000


def test_bits_do_not_depend_on_the_split() -> None:
    """The same rows for one chunk and for chunks of 7 on two threads."""
    request = prepare(THREE[1:], n=30, thresholds=["50 ng/mL", "dissociation_olofsen2022 above 20 %"])
    once = comparison.run(request, chunk=30).rows
    again = comparison.run(request, jobs=2, chunk=7).rows
    assert once == again
    assert {str(row.measure) for row in once} >= {
        "time above 50 ng/mL of parent, whole course",
        "time above 20 % of dissociation_olofsen2022, mean session",
    }
    taught = Measure("time_above", "heart_rate", "5 1/min, illustrative", "mean session")
    assert str(taught) == "time above 5 1/min of heart_rate, mean session (illustrative)"


def test_printed_page(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Models with their evidence, arms side by side, differences, what is assumed; a salt as base and as written."""
    monkeypatch.chdir(tmp_path)
    protocol = yaml.safe_load(library("protocols")["iv_single"].read_text())
    (tmp_path / "as-salt.yaml").write_text(yaml.safe_dump({**protocol, "as": "hydrochloride", "title": "As the salt"}))
    words = ("iv_single", "as-salt.yaml", "--n", 20, "--discharge", "parent below 70 ng/mL", "--reference", "as_salt")
    outcome = command("compare", *words, "--model", "iv_single=ketamine_kamp2020", "--threshold", "0.08 mg/L")
    assert outcome.code == 0, outcome.err
    text = " ".join(outcome.out.split())
    for part in (
        "B as_salt, the reference: As the salt",
        "Model ketamine_kamp2020 (as asked)",
        "Model ketamine_clements1981 (by default: venous",
        "Evidence secondary",
        "time above 0.08 mg/L, course [h]",
        "given, as written [mg]",
        "not stated",
        "clinic hours, course [h]",
        "A - B and A / B, patient by patient",
        "simulation error only",
        "share the draws of V1, CL; drawn apart: none",
        "until parent below 70 ng/mL for good (as asked)",
        "Not for patient care",
    ):
        assert part in text, part
    assert list(tmp_path.iterdir()) == [tmp_path / "as-salt.yaml"]


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("iv_single",), ("at least two protocols",)),
        (("iv_single", "iv_singel"), ("iv_singel", "nearest iv_single")),
        (("iv_single", "iv_single"), ("iv_single a second time", "each protocol once")),
        (("iv_single", "copy.yaml"), ("copy.yaml a second time", "each protocol once")),
        (("iv_single", "other/iv_single.yaml"), ("another protocol called iv_single",)),
        (("--model", "iv_sigle=ketamine_kamp2020"), ("--model", "iv_sigle", "nearest iv_single")),
        (("--model", "iv_single=ketamine_kamp"), ("iv_single.model", "nearest ketamine_kamp2020")),
        (("--model", "=ketamine_kamp2020"), ("--model", "ARM=MODEL")),
        (("--model", "iv_single=a", "--model", "iv_single=b"), ("iv_single a second time", "one model for each arm")),
        (("--model", "iv_single=esketamine_otto2021"), ("iv_single", "a model of the same drug")),
        (
            ("--model", "esketamine_nasal_induction=esketamine_otto2021"),
            ("esketamine_nasal_induction", "intranasal", "a route of esketamine_otto2021: one of iv"),
        ),
        (("--threshold", "100"), ("--threshold", "100 without a unit", "a concentration")),
        (("--threshold", "0 ng/mL"), ("--threshold", "above 0")),
        (("--threshold", "parent below 3 ng/mL"), ("--threshold", "parent above 100 ng/mL")),
        (("--discharge", "70 ng/mL"), ("--discharge", "parent below 70 ng/mL")),
        (("--discharge", "parrent below 70 ng/mL"), ("--discharge", "nearest parent")),
        (("--discharge", "dissociation_olofsen2022 below 7 ng/mL"), ("--discharge", "a plain number")),
        (("--discharge", "sedation_herd2008 below 2"), ("--discharge", "a model that gives ketamine")),
        (
            ("iv_single", "iv_six_infusions", "--discharge", "sedation_herd2008 below 2"),
            ("--discharge", "falls as levels rise"),
        ),
        (("--discharge", "metabolite below 70 ng/mL"), ("--discharge", "an output of ketamine_clements1981")),
        (("--effect", "dissociaton"), ("--effect", "nearest dissociation_olofsen2022")),
        (("--reference", "nasal"), ("--reference", "an arm")),
        (("--population", "adults"), ("--population", "nearest adults_")),
        (("--n", "0"), ("--n", "found 0")),
        (("--seed", "-1"), ("--seed", "found -1")),
        (("--jobs", "0"), ("jobs", "found 0")),
        (("-o", ""), ("--out", "a path")),
        (("-o", "copy.yaml"), ("copy.yaml", "a directory that can be written")),
    ],
)
def test_compare_refuses(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], parts: tuple[str, ...]
) -> None:
    """Exit code 2, one error that holds what matters; nothing printed as a result and nothing written."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "copy.yaml").write_text(library("protocols")["iv_single"].read_text())
    (tmp_path / "other").mkdir()
    other = library("protocols")["iv_single"].read_text().replace("0.5 mg/kg, over", "0.4 mg/kg, over")
    (tmp_path / "other" / "iv_single.yaml").write_text(other)
    arms = ("iv_single", "esketamine_nasal_induction") if words[0].startswith("-") else ()
    outcome = command("compare", *arms, *words)
    assert outcome.code == 2
    assert outcome.out == ""
    (line,) = outcome.err.splitlines()
    assert line.startswith("error: ")
    assert all(part in line for part in parts), line
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy.yaml", "other"]


def test_an_effect_of_ones_own(tmp_path: Path) -> None:
    """A file of an effect may be named by its id in a criterion, and has its peak among the rows."""
    text = (
        library("effects")["dissociation_olofsen2022"].read_text().replace("id: dissociation_olofsen2022", "id: mine")
    )
    (tmp_path / "mine.yaml").write_text(text)
    file = str(tmp_path / "mine.yaml")
    request = prepare(THREE[:2], n=10, effects=[file], discharge="mine below 3 %")
    found = comparison_files.run(request)
    assert "peak of mine, highest session" in {str(row.measure) for row in found.rows}
    assert asked.bound("mine below 3 %", "below", where="x", effects=["mine"]).output == "mine"


def test_a_scenario_may_compare_without_a_rule(tree: dict[str, Any], tmp_path: Path) -> None:
    """Then it has a comparison and no findings, and every file is there."""
    tree |= {"rules": [], "n": 20, "compare": {"reference": "iv", "metrics": ["peak", "auc", "accumulation_ratio"]}}
    study = pk.run(load_scenario(tree), out=tmp_path)
    assert study.results == []
    assert {row["metric"] for row in study.comparisons} == {"peak", "auc", "accumulation_ratio"}
    assert {path.name for path in tmp_path.iterdir()} == set(report.FILES)
