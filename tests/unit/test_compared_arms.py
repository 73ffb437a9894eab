"""Arms of a comparison that are models or populations: names, what is paired, tables, and refusals."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pkmodel import apart, comparison, comparison_figure, paired, risk
from pkmodel.specs.comparison import prepare

Command = Callable[..., Any]
TWO = ("ketamine_clements1981", "ketamine_domino1984")
PEOPLE = ("adults_trials", "elderly")


@pytest.mark.parametrize(
    ("how", "names"),
    [
        ({"protocols": ["iv_single", "iv_six_infusions"]}, ["iv_single", "iv_six_infusions"]),
        ({"protocols": ["one=iv_single", "iv_six_infusions"]}, ["one", "iv_six_infusions"]),
        ({"protocols": ["iv_single"], "on": TWO}, [*TWO]),
        ({"protocols": ["iv_single"], "population": PEOPLE}, [*PEOPLE]),
        (
            {"protocols": ["iv_single"], "on": TWO, "population": PEOPLE},
            [f"{model}_in_{people}" for people in PEOPLE for model in TWO],
        ),
        (
            {"protocols": ["iv_single", "six=iv_six_infusions"], "on": TWO, "models": {"iv_single": TWO[0]}},
            ["iv_single", *(f"six_on_{model}" for model in TWO)],
        ),
        (
            {"protocols": ["a=iv_single", "b=iv_single"], "models": {"b": TWO[1]}},
            ["a", "b"],
        ),
        (
            {"protocols": ["a=iv_single", "iv_single"], "models": {"a": TWO[1]}},
            ["a", "iv_single"],
        ),
        ({"protocols": ["iv_single", "iv_six_infusions"], "on": TWO[1:]}, ["iv_single", "iv_six_infusions"]),
    ],
)
def test_names_of_arms(how: dict[str, Any], names: list[str]) -> None:
    """As the protocol; else as what differs."""
    request = prepare(**how, n=5)
    assert [item.arm for item in request.chosen] == names
    assert [arm.name for scenario in request.scenarios for arm in scenario.arms] == names
    assert request.reference == names[0]


def test_models_side_by_side_are_paired() -> None:
    """The same patients, and shares that differ by the model, of no treatment."""
    request = prepare(["iv_single"], on=TWO, n=40, rules=["ceiling"], reference=TWO[1])
    found = comparison.run(request)
    assert [cell.paired for cell in found.rows[0].cells] == [True, None]
    assert found.rows[0].cells[0].difference is not None
    assert found.rows[0].cells[0].difference.n == 40
    (pair,) = found.study.pairs
    assert pair.counts is not None
    assert sum(pair.counts) == 40
    assert pair.needed is None
    assert "treated" not in pair.words()
    assert pair.plain()["needed"] is None


def test_another_drug_is_asked_for() -> None:
    """The same mg of its own drug, or the S half; only for a model that is of another drug."""
    models = ("ketamine_clements1981", "esketamine_otto2021")
    doses = {}
    for drug in ("own", "half"):
        request = prepare(["iv_single"], on=models, drug=drug, n=5)  # type: ignore[arg-type]
        doses[drug] = [arm.drug for arm in request.scenario.arms]
        (row,) = (row for row in comparison.run(request).rows if str(row.measure).startswith("peak of parent"))
        doses[f"{drug} peak"] = row.cells[1].median
    assert doses["own"] == ["match", "own"]
    assert doses["half"] == ["match", "half"]
    assert doses["half peak"] == pytest.approx(0.5 * doses["own peak"], rel=1e-9)


def test_populations_are_groups(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tables are those of two runs with seeds of their own, group against group; nothing says they are pairs."""
    monkeypatch.chdir(tmp_path)
    words = (
        "compare",
        "iv_single",
        "iv_six_infusions",
        "--n",
        50,
        "--seed",
        4,
        "--rule",
        "ceiling",
        "--rule",
        "low.yaml",
    )
    (tmp_path / "low.yaml").write_text("{id: low, metric: peak, at_most: 170 ng/mL, in: 50 %}")
    outcome = command(*words, "--population", PEOPLE[0], "--population", PEOPLE[1], "-o", "out", "--json")
    assert outcome.code == 0, outcome.err
    alone = {}
    for seed, people in ((4, PEOPLE[0]), (5, PEOPLE[1])):
        assert command(*words[:6], seed, *words[7:], "--population", people, "-o", people).code == 0
        alone[people] = pd.read_csv(Path(people) / "comparison.csv")
    table = pd.read_csv("out/comparison.csv")
    told = json.loads(outcome.out)
    assert told["population"] == [*PEOPLE]
    assert [arm["population"] for arm in told["arms"]] == [PEOPLE[0]] * 2 + [PEOPLE[1]] * 2
    for people in PEOPLE:
        own = table[table["population"] == people]
        for name in ("median", "p5", "p95", "mean"):
            assert own[name].to_numpy() == pytest.approx(alone[people][name].to_numpy(), rel=1e-12, nan_ok=True)
    values = pd.read_parquet("out/metrics.parquet")
    assert list(values.columns)[:2] == ["patient", "population"]
    peaks = values[values["metric"].eq("peak") & values["output"].eq("ketamine")]
    peaks = peaks.groupby([peaks["arm"].astype(str), "patient"])["value"].max().unstack(0)
    rows = table[table["measure"].eq("peak") & table["output"].eq("parent")].set_index("arm")
    base = peaks["iv_single_in_adults_trials"].to_numpy()
    for arm in ("iv_single_in_elderly", "iv_six_infusions_in_elderly"):
        own, row = peaks[arm].to_numpy(), rows.loc[arm]
        gap = apart.difference(own, base)
        assert gap is not None
        assert (row["difference"], row["difference_low"], row["difference_high"]) == (
            pytest.approx(np.median(own) - np.median(base)),
            pytest.approx(gap.low),
            pytest.approx(gap.high),
        )
        assert row["share_lower"] == pytest.approx((own[:, None] < base[None, :]).mean())
        assert np.isnan([row["n_pairs"], row["n_lower"], row["n_untold"]]).all()
        assert not row["paired"]
    same = rows.loc["iv_six_infusions_in_adults_trials"]
    middle = paired.median(peaks["iv_six_infusions_in_adults_trials"].to_numpy() - base)
    assert middle is not None
    assert (same["difference"], same["n_pairs"], same["paired"]) == (pytest.approx(middle.value), 50, True)
    patients = pd.read_parquet("out/patients.parquet")
    assert patients.groupby("population", observed=True)["age_y"].min()["elderly"] >= 65
    assert patients["patient"].tolist() == [*range(1, 51)] * 2
    assert not np.isin(patients["weight_kg"][:50], patients["weight_kg"][50:]).any(), "no draw is shared"
    needed = pd.read_csv("out/needed.csv").set_index(["rule", "arm"])
    row = needed.loc[("low", "iv_single_in_elderly")]
    broken, there = ((peaks[arm] > 170.0).sum() for arm in ("iv_single_in_elderly", "iv_single_in_adults_trials"))
    low, high = risk.independent_interval(int(broken), 50, int(there), 50)
    assert row["difference"] == pytest.approx((broken - there) / 50)
    assert (row["low"], row["high"]) == pytest.approx((low, high))
    assert np.isnan([row["both_keep"], row["needed"]]).all()
    assert needed.loc[("low", "iv_six_infusions_in_adults_trials"), "both_keep"] > 0
    assert not list(Path("out").glob("population *"))
    said = " ".join(told["pairing"])
    assert "iv_single_in_elderly: other patients (population elderly), paired with nobody" in said
    manifest = json.loads(Path("out/manifest.json").read_text())
    assert {"population adults_trials", "population elderly"} <= set(manifest["inputs"])
    assert manifest["seeds"] == told["seeds"] == [4, 5]


def test_page_of_populations(command: Command) -> None:
    """Says that patients are not paired, whose they are, and what an assumption is of."""
    outcome = command("compare", "iv_single", "--n", 30, *(word for name in PEOPLE for word in ("--population", name)))
    assert outcome.code == 0, outcome.err
    text = " ".join(outcome.out.split())
    for part in (
        "Population elderly",
        "of the medians of two groups, not of patients,",
        "in what percent of pairs of a patient of B and one of A",
        "n = 30 virtual patients in each population, seeds 1 and 2",
        "paired with nobody",
        "in elderly: age of patients: assumed",
    ):
        assert part in text, part
    assert "patient by patient" not in text
    assert "Patients are paired" not in text
    assert "median over pairs" not in text


def test_page_of_populations_and_protocols(command: Command) -> None:
    """Where some arm has the patients of the reference, that is said."""
    words = [word for name in PEOPLE for word in ("--population", name)]
    outcome = command("compare", "iv_single", "iv_six_infusions", "--n", 20, *words)
    assert outcome.code == 0, outcome.err
    text = " ".join(outcome.out.split())
    assert "Patients are paired: the same age, weight, height, sex and ancestry in every arm of a population." in text
    assert "median over pairs" in text


def test_picture_of_one_session() -> None:
    """Has no fractions of a day under its peaks."""
    page = comparison_figure.figure(comparison.run(prepare(["iv_single"], population=PEOPLE, n=20)))
    below = page.axes[-1]
    assert below.get_xlabel().startswith("day of the course")
    assert [float(tick) for tick in below.get_xticks()] == [1.0]
    assert below.get_xlim() == (0.5, 1.5)


def test_bits_of_groups_do_not_depend_on_the_split() -> None:
    """One chunk, or chunks of 7 on two threads; progress counts all patients."""
    seen: list[tuple[int, int]] = []
    request = prepare(["iv_single"], population=PEOPLE, n=30, rules=["ceiling"])
    once = comparison.run(request, chunk=30)
    again = comparison.run(request, jobs=2, chunk=7, progress=lambda done, total: seen.append((done, total)))
    assert once.rows == again.rows
    assert once.study.pairs == again.study.pairs
    assert seen[-1] == (60, 60)


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("iv_single", "--model", TWO[0]), ("at least two protocols, or several --model or --population",)),
        (("iv_single", "--model", TWO[0], "--model", TWO[0]), ("--model", f"{TWO[0]} a second time")),
        (
            ("iv_single", "--model", TWO[0], "--model", "ketamine_dominoe1984"),
            ("--model", "nearest ketamine_domino1984"),
        ),
        (("iv_single", "--model", TWO[0], "--model", "esketamine_otto2021"), ("a model of the same drug", "drug: own")),
        (
            ("iv_single", "--population", "elderly", "--population", "elderly"),
            ("--population", "elderly a second time"),
        ),
        (("iv_single", "--population", "elderly", "--population", "elderlies"), ("--population", "nearest elderly")),
        (("a=iv_single", "b=iv_single"), ("iv_single on ketamine_clements1981 a second time",)),
        (("a=iv_single", "a=iv_six_infusions"), ("another protocol called a,",)),
        (("a=iv_single", "iv_single"), ("iv_single on ketamine_clements1981 a second time",)),
        (
            # The arm of a name that is also made of a protocol and a model must not take that one's place.
            (
                *("a=iv_single", f"a_on_{TWO[1]}=iv_six_infusions", "--model", TWO[0], "--model", TWO[1]),
                *("--model", f"a_on_{TWO[1]}={TWO[0]}"),
            ),
            (f"the arm a_on_{TWO[1]} a second time", "NAME=PROTOCOL"),
        ),
        (("a=iv_singel", "b=iv_single"), ("iv_singel", "nearest iv_single")),
        (
            ("esketamine_nasal_induction", "--population", "adults_trials", "--population", "children"),
            ("in children, for which there is no default model",),
        ),
        (
            (
                "iv_taper_dose_and_interval",
                "iv_single",
                *("--model", TWO[0], "--model", TWO[1]),
                *("--population", "adults_trials", "--population", "elderly"),
            ),
            ("at most 64 letters", "NAME=PROTOCOL"),
        ),
        (
            ("iv_single", "--population", "adults_trials", "--population", "elderly", "--reference", "elder"),
            ("--reference", "nearest elderly"),
        ),
    ],
)
def test_refusals(command: Command, words: tuple[str, ...], parts: tuple[str, ...]) -> None:
    """Exit code 2, one error that says what is wrong and where."""
    outcome = command("compare", *words)
    assert outcome.code == 2
    assert outcome.out == ""
    (line,) = outcome.err.splitlines()
    assert all(part in line for part in parts), line
