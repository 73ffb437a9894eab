"""Who breaks a rule: against pandas on the files of the same run, over splits, in every kind of population."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import pkmodel as pk
from pkmodel import chunk as chunk_of
from pkmodel import failing, population, profiles, replicates, report, study
from pkmodel.core import sketch
from pkmodel.engine import AUTO
from pkmodel.failing import Difference
from pkmodel.findings import judged
from pkmodel.specs.library import Scenario

ERROR = sketch.RELATIVE_ERROR
COVARIATES = ("age", "weight", "height", "bmi")


def _broken(folder: Path, rule: dict[str, Any], arm: str, window: str) -> np.ndarray:
    """Which patients break a rule, from metrics.parquet and the numbers of the rule alone."""
    rows = pd.read_parquet(folder / "metrics.parquet")
    rows = rows[(rows["arm"] == arm) & (rows["metric"] == rule["metric"])]
    if rule["id"] == "long":
        rows = rows[rows["session"].isna()]
    if window.startswith("session "):
        rows = rows[rows["session"] == int(window.removeprefix("session "))]
    limit = float(rule["at_most"].split()[0]) / (60.0 if rule["at_most"].endswith("min") else 1.0)
    worst: np.ndarray = rows.groupby("patient")["value"].max().sort_index().to_numpy() > limit
    return worst


@pytest.fixture(scope="module")
def folder(scenario: Scenario, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two arms and three rules, one of them over each session."""
    out = tmp_path_factory.mktemp("failing") / "run"
    report.run(scenario, out, pictures=False)
    return out


def test_every_line_is_what_pandas_finds(folder: Path, tree: dict[str, Any]) -> None:
    """Counts and shares exactly, medians and quartiles within the error of the sketch, intervals by scipy."""
    lines = pd.read_csv(folder / "failing.csv")
    people = pd.read_parquet(folder / "patients.parquet").sort_values("patient")
    people = people.rename(columns={"age_y": "age", "weight_kg": "weight", "height_cm": "height"})
    people["bmi"] = people["weight"] / (people["height"] / 100.0) ** 2
    found = pd.read_csv(folder / "findings.csv")
    mixed = found[(found["n_met"] > 0) & (found["n_met"] < found["n"])]
    here = set(lines[["rule", "arm", "window"]].itertuples(index=False, name=None))
    assert here == set(mixed[["rule", "arm", "window"]].itertuples(index=False, name=None))
    assert {window for _, _, window in here} >= {"course", "session 1", "session 2"}
    for line in lines.itertuples():
        rule = next(item for item in tree["rules"] if item["id"] == line.rule)
        bad = _broken(folder, rule, line.arm, line.window)
        assert (line.n_failing, line.n_rest) == (bad.sum(), (~bad).sum())
        if line.covariate in COVARIATES:
            values = people[line.covariate].to_numpy()
            sides = [np.sort(values[bad]), np.sort(values[~bad])]
            for side, name in zip(sides, ("failing", "rest"), strict=True):
                for share, column in ((0.25, f"{name}_p25"), (0.5, name), (0.75, f"{name}_p75")):
                    at = side[max(math.ceil(share * side.size) - 1, 0)]
                    assert getattr(line, column) == pytest.approx(at, rel=ERROR)
            if bad.sum() < 2:
                assert math.isnan(line.low)
                continue
            exact = stats.ttest_ind(*sides, equal_var=False).confidence_interval()
            close = 2 * ERROR * values.mean()
            assert line.difference == pytest.approx(sides[0].mean() - sides[1].mean(), abs=close)
            assert (line.low, line.high) == (pytest.approx(exact.low, abs=close), pytest.approx(exact.high, abs=close))
            spread = math.sqrt((sides[0].var(ddof=1) + sides[1].var(ddof=1)) / 2)
            assert line.standardised == pytest.approx(line.difference / spread, rel=0.01)
        else:
            has = (people[line.covariate] == line.level).to_numpy()
            assert line.failing == has[bad].mean()
            assert line.rest == has[~bad].mean()
            assert line.difference == pytest.approx(has[bad].mean() - has[~bad].mean(), abs=1e-15)
            assert line.low <= line.difference <= line.high
            variances = [side.mean() * (1 - side.mean()) for side in (has[bad], has[~bad])]
            if any(variances):
                assert line.standardised == pytest.approx(line.difference / math.sqrt(sum(variances) / 2), rel=1e-9)


def test_order_and_columns(folder: Path, scenario: Scenario) -> None:
    """What differs most comes first; the file, the table of the study and the rows are one thing."""
    done = study.run(scenario)
    with (folder / "failing.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == list(failing.COLUMNS) == list(done.failing.columns)
    assert [row["rule"] + row["covariate"] + row["level"] for row in rows] == [
        item.rule + item.covariate + item.level for item in done.profiles
    ]
    groups: dict[tuple[str, ...], list[float]] = {}
    for item in done.profiles:
        groups.setdefault((item.rule, item.arm, item.window), []).append(item.size)
    assert len(groups) > 2
    for sizes in groups.values():
        assert sizes == sorted(sizes, reverse=True)
    assert {item.level for item in done.profiles if item.covariate == "sex"} == {"female"}, "the other is the rest"


@pytest.mark.parametrize("sampling", ["random", "sobol"])
@pytest.mark.parametrize(("jobs", "chunk"), [(1, 17), (2, None), (3, 100)])
def test_lines_depend_on_no_split(tree: dict[str, Any], sampling: str, jobs: int, chunk: int | None) -> None:
    """To the last bit, by threads and chunks; blocks and shards are in the tests of large runs."""
    loaded = pk.load_scenario({**tree, "n": 320, "sampling": sampling})
    assert study.run(loaded, jobs=jobs, chunk=chunk).profiles == study.run(loaded).profiles


def test_even_patients_have_intervals_of_replicates(tree: dict[str, Any]) -> None:
    """As wide as the spread of 16 randomisations says, around the difference over all patients."""
    loaded = pk.load_scenario({**tree, "n": 2048, "sampling": "sobol"})
    done = study.run(loaded)
    rule, arm = "long", "nasal"
    lines = [item for item in done.profiles if (item.rule, item.arm) == (rule, arm)]
    seed = replicates.seed_of(loaded)
    people = population.sample_covariates(loaded.population, seed, 0, 2048).covariates
    sums = [chunk_of.no_sums(case) for case in done.cases]
    chunk = chunk_of.run_chunk(loaded, done.cases, sums, 0, 2048, False, AUTO)
    place = next(index for index, case in enumerate(done.cases) if case.arm.name == arm)
    asked = [item for item in chunk.cases[place].metrics if item.request.metric == "time_above"]
    (value,) = (item.values for item in asked if item.span.kind == "course")
    bad = value > 1.5
    for name, values in (("weight", people["weight"]), ("sex", people["female"])):
        (line,) = (item for item in lines if item.covariate == name)
        each = [
            values[number::16][bad[number::16]].mean() - values[number::16][~bad[number::16]].mean()
            for number in range(16)
        ]
        half = stats.t.ppf(0.975, 15) * np.std(each, ddof=1) / 4.0
        assert line.low is not None
        assert line.high is not None
        assert (line.high - line.low) / 2 == pytest.approx(half, rel=0.02)
        assert (line.high + line.low) / 2 == pytest.approx(line.difference, abs=1e-12)


MIXED = {
    "mixture": [
        {"weight": "50 %", "population": "adults_trials"},
        {
            "weight": "30 %",
            "population": {
                "title": "Inhibited men of one height",
                "sex": {"male": 1.0},
                "age": {"uniform": ["20 y", "60 y"]},
                "height": {"fixed": "180 cm"},
                "weight": {"normal": ["95 kg", "12 kg"], "range": ["60 kg", "140 kg"]},
                "ancestry": {"japanese": 1.0},
                "cyp2b6_activity": {"shares": [{"value": 0, "share": 0.4}, {"value": 0.5, "share": 0.6}]},
            },
        },
        {"weight": "20 %", "population": "children_6_to_12"},
    ]
}


def test_mixture(tree: dict[str, Any], tmp_path: Path) -> None:
    """Levels and bins are those that any part can have; counts against the patients themselves."""
    loaded = pk.load_scenario({**tree, "population": MIXED, "n": 700})
    (columns,) = {case.profile.columns for case in study.run(loaded).cases}
    levels = {column.name: column.levels for column in columns if column.levels}
    assert levels == {
        "sex": ("female", "male"),
        "ancestry": ("japanese", "asian", "other"),
        "cyp2b6_activity": ("0", "0.5", "1"),
    }
    assert [column.name for column in columns if not column.levels] == ["age", "weight", "height", "bmi"]
    report.run(loaded, tmp_path / "run", pictures=False)
    lines = pd.read_csv(tmp_path / "run" / "failing.csv")
    people = population.sample_covariates(loaded.population, loaded.spec.seed, 0, 700).covariates
    bad = _broken(tmp_path / "run", tree["rules"][0], "iv", "worst session")
    here = lines[(lines["rule"] == "peak") & (lines["arm"] == "iv")]
    activity = here[here["covariate"] == "cyp2b6_activity"]
    assert set(activity["level"].astype(float)) == {0.0, 0.5, 1.0}
    for line in activity.itertuples():
        has = people["cyp2b6_activity"] == float(line.level)
        assert (line.failing, line.rest) == (has[bad].mean(), has[~bad].mean())
    (age,) = here[here["covariate"] == "age"].itertuples()
    middle = np.sort(people["age"][~bad])[math.ceil(0.5 * (~bad).sum()) - 1]
    assert age.rest == pytest.approx(middle, rel=ERROR)


@pytest.mark.parametrize("draw", ["in_order", "bootstrap"])
def test_table_of_people(tree: dict[str, Any], tmp_path: Path, draw: str) -> None:
    """A column with few values is counted by value, one with many as a quantity; what is the same is left out."""
    rng = np.random.default_rng(3)
    rows = [
        f"{'female' if index % 3 else 'male'},{20 + index % 40},{160 + index % 30},{50 + 30 * rng.random():.3f},"
        f"{(0, 0.25)[index % 2]},{index / 400:.5f}"
        for index in range(400)
    ]
    head = "sex,age [y],height [cm],weight [kg],hepatic_impairment,cyp2b6_activity"
    (tmp_path / "people.csv").write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    people = {"from_csv": {"file": str(tmp_path / "people.csv"), "draw": draw}}
    loaded = pk.load_scenario({**tree, "population": people, "n": 400})
    done = study.run(loaded)
    columns = {column.name: column for column in done.cases[0].profile.columns}
    assert columns["hepatic_impairment"].levels == ("0.25", "0")
    assert not columns["cyp2b6_activity"].levels
    assert "ancestry" not in columns
    drawn = population.sample_covariates(loaded.population, loaded.spec.seed, 0, 400).covariates
    for name in ("cyp2b6_activity", "weight", "age"):
        everybody = done.sums[0].profiles[0].sum(axis=0)
        column = columns[name]
        own = everybody[column.first : column.first + column.size]
        assert own.sum() == 400
        found = sketch.quantiles(own, np.array([0.5]), column.middles())[0]
        assert found == pytest.approx(np.sort(drawn[name])[199], rel=ERROR, abs=profiles.SMALLEST)
    assert done.sums[0].profiles[0].sum() == 400 * len(columns)


@pytest.mark.parametrize(("limit", "met"), [("1e6 ng/mL", True), ("1e-6 ng/mL", False)])
def test_rule_that_all_keep_or_all_break(tree: dict[str, Any], tmp_path: Path, limit: str, met: bool) -> None:
    """There is nobody to set beside the others: a file of names alone, and no sentence."""
    rules = [{"id": "peak", "metric": "peak", "at_most": limit, "in": "95 %"}]
    loaded = pk.load_scenario({**tree, "compare": None, "rules": rules, "n": 50})
    done = report.run(loaded, tmp_path / "run", pictures=False)
    assert {item.n_met for item in done.results} == {50 if met else 0}
    assert done.profiles == []
    assert list(done.failing.columns) == list(failing.COLUMNS)
    assert (tmp_path / "run" / "failing.csv").read_text().splitlines() == [",".join(failing.COLUMNS)]
    assert failing.sentences(done.results, done.profiles) == {}


def test_one_patient_and_no_rules(tree: dict[str, Any], tmp_path: Path) -> None:
    """One patient breaks a rule or keeps it; without rules there is nothing."""
    done = study.run(pk.load_scenario({**tree, "n": 1}))
    assert done.profiles == []
    report.run(
        pk.load_scenario({**tree, "rules": [], "compare": {"reference": "iv", "metrics": ["peak"]}, "n": 20}),
        tmp_path / "run",
        pictures=False,
    )
    assert len((tmp_path / "run" / "failing.csv").read_text().splitlines()) == 1


def test_people_who_are_all_alike(tree: dict[str, Any]) -> None:
    """Nothing varies but the random effects: nothing is counted, and nothing said."""
    same = {
        "title": "One man",
        "sex": {"male": 1.0},
        "age": {"fixed": "40 y"},
        "height": {"fixed": "180 cm"},
        "weight": {"fixed": "80 kg"},
    }
    done = study.run(pk.load_scenario({**tree, "population": same, "n": 60}))
    assert any(0 < item.n_met < 60 for item in done.results), "there would be somebody to set beside the others"
    assert done.cases[0].profile.columns == ()
    assert done.profiles == []


def test_one_who_breaks_it_has_no_interval_of_means(tree: dict[str, Any]) -> None:
    """A variance of one patient is not known, and not written; shares have an interval all the same."""
    loaded = pk.load_scenario({**tree, "n": 40})
    done = study.run(loaded)
    case, counts = done.cases[0], done.sums[0].profiles.copy()
    counts[1:] = 0
    people = population.sample_covariates(loaded.population, loaded.spec.seed, 0, 40)
    seen = profiles.Seen(case.profile, counts, case.profile.seen(people, np.zeros_like(counts)).cells)
    seen.kept("peak", "worst session", np.arange(40) != 7)
    lines = failing.differences([case], [counts])
    assert {line.n_failing for line in lines} == {1}
    for line in lines:
        if line.covariate in COVARIATES:
            value = people.covariates["weight"][7] if line.covariate == "weight" else None
            assert (line.low, line.high, line.standardised) == (None, None, None)
            assert value is None or line.failing == pytest.approx(value, rel=ERROR)
        else:
            assert line.low is not None
            assert line.high is not None
            assert -1.0 <= line.low <= line.difference <= line.high <= 1.0


@pytest.mark.parametrize(
    ("first", "second", "low", "high"),
    [
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((10, 10), (0, 10), 0.6075, 1.0000),
        ((5, 56), (0, 29), -0.0381, 0.1926),
    ],
)
def test_interval_of_two_shares(first: tuple[int, int], second: tuple[int, int], low: float, high: float) -> None:
    """The examples of Newcombe 1998, Table II, method 10."""
    assert failing.newcombe(*first, *second) == (pytest.approx(low, abs=6e-5), pytest.approx(high, abs=6e-5))


@given(st.lists(st.floats(1e-3, 250.0), min_size=1, max_size=30), st.floats(0.0, 60.0), st.floats(61.0, 120.0))
def test_bins(values: list[float], low: float, high: float) -> None:
    """Each value lies in the bin that the kernel counts it in, and what stands for it is as near as stated."""
    inside = np.clip(np.array(values), low, high)
    kernel = np.zeros(sketch.BINS, dtype=np.uint32)
    sketch.count(inside, kernel)
    assert np.array_equal(np.bincount(sketch.bins_of(inside), minlength=sketch.BINS), kernel)
    spec = pk.load_population(
        {
            "title": "One",
            "sex": {"female": 1.0},
            "age": {"uniform": [f"{low} y", f"{high} y"]},
            "height": {"fixed": "170 cm"},
            "weight": {"fixed": "70 kg"},
        }
    )
    (column,) = profiles.layout(spec, [("rule", "window")]).columns
    cells = column.cells(inside)
    assert ((cells >= 0) & (cells < column.size)).all()
    stands = column.middles()[cells]
    assert (
        np.abs(stands - inside) <= np.maximum(ERROR * inside, np.where(inside < profiles.SMALLEST, inside, 0))
    ).all()


def _line(covariate: str, level: str = "", **how: Any) -> Difference:
    known: dict[str, Any] = {
        "rule": "peak",
        "arm": "iv",
        "model": "m",
        "window": "course",
        "covariate": covariate,
        "level": level,
        "unit": "kg" if covariate == "weight" else "",
        "n_failing": 100,
        "n_rest": 900,
        "failing": 0.5,
        "failing_p25": None,
        "failing_p75": None,
        "rest": 0.4,
        "rest_p25": None,
        "rest_p75": None,
        "difference": 0.1,
        "low": 0.05,
        "high": 0.15,
        "standardised": 0.3,
    }
    return Difference(**{**known, **how})


def _said(tree: dict[str, Any], lines: list[Difference], met: int = 900) -> str | None:
    loaded = pk.load_scenario(tree)
    (case, *_) = study.run(loaded.with_options(n=2)).cases
    item = judged(loaded.spec.rules[0], "iv", case.model, "course", met, 1000)
    lines = [Difference(**{**vars(line), "model": case.model.id}) for line in lines]
    return failing.sentences([item], lines).get(("peak", "iv", case.model.id, "course"))


LIGHTER = {"failing": 61.9, "rest": 75.2, "difference": -12.0, "low": -14.0, "high": -10.0, "standardised": -0.9}


def test_sentences(tree: dict[str, Any]) -> None:
    """The two that differ most and surely, and no BMI beside a weight."""
    lighter, bmi = _line("weight", **LIGHTER), _line("bmi", **LIGHTER)
    women = _line("sex", "female", failing=0.71, rest=0.56)
    few = _line("ancestry", "japanese", failing=0.031, rest=0.009)
    assert _said(tree, [lighter, bmi, women, few]) == (
        "who breaks it (100 of 1,000): lighter, median 61.9 kg against 75.2 kg; 71 % female against 56 %"
    )
    assert _said(tree, [few]) == "who breaks it (100 of 1,000): 3.1 % of Japanese ancestry against 0.9 %"
    unsure = _line("sex", "female", low=-0.01)
    small = _line("age", standardised=0.19)
    assert _said(tree, [unsure, small]) == "who breaks it (100 of 1,000): no covariate differs by much from the rest"
    # A mean age above that of the rest, and a median below it, as a few very old patients make it: neither word fits.
    skewed = _line("age", failing=43.6, rest=47.4, difference=4.1, low=1.5, high=6.7)
    tied = _line("weight", failing=70.25, rest=70.25, difference=3.0, low=1.5, high=4.5)
    assert _said(tree, [skewed, tied, women]) == "who breaks it (100 of 1,000): 71 % female against 56 %"
    assert _said(tree, [lighter], met=981) is None, "19 break it"
    assert _said(tree, [lighter], met=19) is None, "19 keep it"
    assert _said(tree, []) is None
    loaded = pk.load_scenario(tree).with_options(n=2)
    kept = judged(loaded.spec.rules[0], "iv", study.run(loaded).cases[0].model, "course", 975, 1000)
    assert kept.verdict == "met"
    assert failing.sentences([kept], [lighter]) == {}


def test_weight_alone_decides(tree: dict[str, Any], command: Any, tmp_path: Path) -> None:
    """Without random effects mg/kg sets the level: who breaks the rule is heavier than all others, and it is said."""
    alone = {
        "title": "Weight and nothing else",
        "sex": {"female": 0.5},
        "age": {"fixed": "40 y"},
        "height": {"fixed": "175 cm"},
        "weight": {"uniform": ["50 kg", "100 kg"]},
    }
    rules = [{"id": "peak", "metric": "peak", "at_most": "100 ng/mL", "in": "95 %", "window": "session: 1"}]
    body = {**tree, "population": alone, "n": 400, "compare": None, "variability": {"between_subject": False}}
    body["arms"] = {"iv": tree["arms"]["iv"]}
    everybody = study.run(pk.load_scenario({**body, "rules": rules}))
    median = everybody.session_peaks.query("output == 'esketamine'")["p50"].iloc[0]
    rules[0]["at_most"] = f"{median:.6g} ng/mL"
    done = study.run(pk.load_scenario({**body, "rules": rules}))
    (weight,) = (item for item in done.profiles if item.covariate == "weight")
    (sex,) = (item for item in done.profiles if item.covariate == "sex")
    assert weight.failing_p25 is not None
    assert weight.rest_p75 is not None
    heavier = weight.difference > 0
    assert weight.failing_p25 > weight.rest_p75 if heavier else weight.failing_p75 < weight.rest_p25
    # Two halves of an even spread of 50 kg: means 25 kg apart, each with an SD of 25 / sqrt(12) kg.
    assert abs(weight.difference) == pytest.approx(25.0, abs=1.5)
    assert abs(weight.standardised or 0.0) == pytest.approx(math.sqrt(12.0), abs=0.3)
    assert abs(sex.difference) < 0.2
    (text,) = failing.sentences(done.results, done.profiles).values()
    assert f"): {'heavier' if heavier else 'lighter'}, median " in text


def test_terminal_and_json(tree: dict[str, Any], tmp_path: Path, command: Any) -> None:
    """A line under the table of the rule, the same words in findings.json, and what the intervals hold."""
    import json

    import yaml

    file = tmp_path / "small.yaml"
    file.write_text(yaml.safe_dump(tree), encoding="utf-8")
    shown = command("run", file, "-o", tmp_path / "out", "--jobs", 1)
    assert shown.code == 0
    said = json.loads((tmp_path / "out" / "findings.json").read_text())["failing"]
    assert "simulation error only" in said["holds"]
    assert said["said"]
    printed = " ".join(shown.out.split())
    for item in said["said"]:
        assert f"{item['arm']}: {item['said']}" in printed
    assert "failing.csv" in printed
    verdicts = {(item["rule"], item["arm"], item["window"]) for item in said["said"]}
    table = pd.read_csv(tmp_path / "out" / "findings.csv").set_index(["rule", "arm", "window"])
    assert {table.loc[key, "verdict"] for key in verdicts} <= {"broken", "undecided"}
    assert len({(rule, arm) for rule, arm, _ in verdicts}) == len(verdicts), "one window of a rule is enough"
