"""Numbers needed to treat: intervals against published examples and a likelihood maximised by brute force; counts."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pkmodel as pk
from pkmodel import replicates, risk, study
from pkmodel.specs.library import load_scenario

Command = Callable[..., Any]
Z = 1.959963984540054


@pytest.mark.parametrize(
    ("only_first", "only_second", "n", "published"),
    [
        # Complete response before and after consolidation, 59 + 6 + 16 + 80 patients: Fagerland MW, Lydersen S, Laake
        # P. Statistical analysis of contingency tables. CRC 2017, chapter 8 (data of Cavo et al. 2012).
        (6, 16, 161, (-0.1240, -0.0054)),
        # PropCIs::scoreci.mp(20, 60, 1000) of R, which follows Tango's paper.
        (60, 20, 1000, (0.0231, 0.0584)),
    ],
)
def test_published_paired_intervals(only_first: int, only_second: int, n: int, published: tuple[float, float]) -> None:
    """To the four decimals that are printed."""
    assert risk.paired_interval(only_first, only_second, n) == pytest.approx(published, abs=5.1e-5)


def _score(b: int, c: int, n: int, delta: float) -> float:
    """Tango's statistic with the likeliest shares found by trying a million, and the variance from its definition."""
    low, high = max(0.0, -delta), (1.0 - delta) / 2.0
    second = np.linspace(low, high, 1_000_001)[1:-1]
    likelihood = b * np.log(second + delta) + c * np.log(second) + (n - b - c) * np.log1p(-2.0 * second - delta)
    best = second[np.argmax(likelihood)]
    return (b - c - n * delta) / math.sqrt(n * (2.0 * best + delta - delta * delta))


@pytest.mark.parametrize(("b", "c", "n"), [(7, 1, 21), (3, 3, 40), (1, 12, 200), (5, 0, 30)])
def test_paired_interval_by_brute_force(b: int, c: int, n: int) -> None:
    """At each end of the interval the score of the data is 1.96 standard errors."""
    low, high = risk.paired_interval(b, c, n)
    assert _score(b, c, n, low) == pytest.approx(Z, abs=2e-3)
    assert _score(b, c, n, high) == pytest.approx(-Z, abs=2e-3)
    assert low <= (b - c) / n <= high


@given(st.integers(1, 5000), st.data())
def test_paired_interval_in_general(n: int, data: st.DataObject) -> None:
    """It holds the difference, is the other way round for arms the other way round, excludes 0 as McNemar's test."""
    b = data.draw(st.integers(0, n))
    c = data.draw(st.integers(0, n - b))
    low, high = risk.paired_interval(b, c, n)
    assert -1.0 <= low <= (b - c) / n <= high <= 1.0
    assert risk.paired_interval(c, b, n) == pytest.approx((-high, -low), abs=1e-12)
    if b + c and abs(abs(b - c) / math.sqrt(b + c) - Z) > 1e-6:
        assert (low > 0.0 or high < 0.0) == (abs(b - c) / math.sqrt(b + c) > Z)
    if b + c == 0:
        assert high == pytest.approx(Z * Z / (n + Z * Z), rel=1e-9)


def test_interval_of_two_groups() -> None:
    """Newcombe's first example: 56 of 70 against 48 of 80 by his method 10."""
    assert risk.independent_interval(56, 70, 48, 80) == pytest.approx((0.0524, 0.3339), abs=5e-5)


def test_impossible_counts() -> None:
    """More who differ than there are."""
    with pytest.raises(ValueError, match="3 and 2 of 4"):
        risk.paired_interval(3, 2, 4)


def test_numbers_needed_by_inversion() -> None:
    """Altman's example (a reduction of 10 %, -5 to 25 %), clear benefit and harm, ends at 0, and nothing at all."""
    either = risk.needed(-0.10, -0.25, 0.05)
    assert (either.value, either.effect) == (pytest.approx(10.0), "benefit")
    assert either.benefit == pytest.approx((4.0, math.inf))
    assert either.harm == pytest.approx((20.0, math.inf))
    said = either.words("B", "A")
    assert said.startswith("One patient fewer breaks it for every 10 treated with B instead of A")
    assert said.endswith("(4 for one fewer, through infinity, to 20 for one more)")
    assert either.plain() == pytest.approx(
        {
            "needed": 10.0,
            "effect": "benefit",
            "benefit_from": 4.0,
            "benefit_to": None,
            "harm_from": 20.0,
            "harm_to": None,
        }
    )
    benefit = risk.needed(-0.10, -0.20, -0.05)
    assert (benefit.benefit, benefit.harm) == ((5.0, 20.0), None)
    assert benefit.words("B", "A").endswith("for every 10 treated with B instead of A (5 to 20)")
    harm = risk.needed(0.0005, 0.00025, 0.001)
    assert (harm.benefit, harm.harm) == (None, (1000.0, 4000.0))
    assert "One patient more breaks it for every 2,000" in harm.words("B", "A")
    edge = risk.needed(0.1, 0.0, 0.2)
    assert (edge.benefit, edge.harm) == (None, (5.0, math.inf))
    assert edge.words("B", "A").endswith("(5 to infinity)")
    nothing = risk.needed(0.0, 0.0, 0.0)
    assert nothing.words("B", "A") == "As many break it treated with B instead of A"
    assert nothing.plain()["needed"] is None


def _keeps(values: pd.DataFrame, arm: str, rule: str, window: str) -> Any:
    """Who keeps a rule of the small scenario, from metrics.parquet."""
    own = values[values["arm"].astype(str) == arm]
    of = own["metric"].astype(str)
    if rule == "peak":
        return own[of == "peak"].groupby("patient")["value"].max() <= 150.0
    if rule == "long":
        return own[(of == "time_above") & own["session"].isna()].set_index("patient")["value"] <= 1.5
    session = int(window.removeprefix("session "))
    return own[(of == "level_at") & (own["session"] == session)].set_index("patient")["value"] <= 60.0


def test_counts_are_those_of_the_patients(tree: dict[str, Any], tmp_path: Path) -> None:
    """needed.csv against metrics.parquet with pandas; a session that the reference does not have has no pairs."""
    done = pk.run(load_scenario(tree), out=tmp_path, pictures=False)
    rows = pd.read_csv(tmp_path / "needed.csv")
    assert rows[["rule", "window"]].to_numpy().tolist() == [
        ["peak", "worst session"],
        ["long", "course"],
        ["down", "session 1"],
    ]
    values = pd.read_parquet(tmp_path / "metrics.parquet")
    for row in rows.to_dict("records"):
        own = _keeps(values, "nasal", row["rule"], row["window"]).to_numpy()
        base = _keeps(values, "iv", row["rule"], row["window"]).to_numpy()
        assert row["both_keep"] == (own & base).sum()
        assert row["only_reference_keeps"] == (base & ~own).sum()
        assert row["only_arm_keeps"] == (own & ~base).sum()
        assert row["neither_keeps"] == (~own & ~base).sum()
        assert row["broken"] == pytest.approx((~own).mean(), rel=1e-12)
        assert row["broken_reference"] == pytest.approx((~base).mean(), rel=1e-12)
        assert row["difference"] == pytest.approx(row["broken"] - row["broken_reference"], abs=1e-12)
        if row["effect"] != "none":
            assert row["needed"] == pytest.approx(1.0 / abs(row["difference"]), rel=1e-12)
    assert (rows["only_arm_keeps"] > 0).any()
    assert list(done.needed.columns) == list(rows.columns)
    told = json.loads((tmp_path / "findings.json").read_text())["needed"]
    assert [item["only_arm_keeps"] for item in told["pairs"]] == rows["only_arm_keeps"].tolist()
    assert "treated with nasal instead of iv" in told["pairs"][0]["said"]


def test_pairs_do_not_depend_on_the_split(tree: dict[str, Any]) -> None:
    """One chunk, or chunks of 17 on three threads; also with evenly spread patients, counted by replicate."""
    for sampling in ("random", {"method": "latin_hypercube", "replicates": 10}):
        scenario = load_scenario({**tree, "n": 300, "sampling": sampling})
        once, again = study.run(scenario, chunk=300), study.run(scenario, jobs=3, chunk=17)
        assert once.pairs == again.pairs
        assert all(pair.needed is not None for pair in once.pairs)
    counts = once.sums[1].pairs["peak", "worst session"]
    assert counts.shape == (10, 3)
    (pair,) = (pair for pair in once.pairs if pair.rule == "peak")
    shares = (counts[:, 1] - counts[:, 2]) / 30.0
    assert pair.difference == pytest.approx(shares.mean(), abs=1e-12)
    assert pair.counts is not None
    if pair.counts[1] + pair.counts[2] >= 10:
        assert (pair.low, pair.high) == pytest.approx(replicates.interval(shares), abs=1e-12)


def test_no_comparison_no_pairs(tree: dict[str, Any], tmp_path: Path) -> None:
    """Without a reference nothing is needed, and the file of an earlier run goes."""
    pk.run(load_scenario({**tree, "n": 20}), out=tmp_path, pictures=False)
    assert (tmp_path / "needed.csv").exists()
    done = pk.run(load_scenario({**tree, "n": 20, "compare": None}), out=tmp_path, pictures=False)
    assert done.pairs == []
    assert done.needed.empty
    assert not (tmp_path / "needed.csv").exists()


def test_a_run_without_a_rule_is_printed(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which a scenario with a comparison may be."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scenario.yaml").write_text(
        "{title: T, arms: {a: {protocol: iv_single}, b: {protocol: iv_six_infusions}}, model: ketamine_clements1981, "
        "population: adults_trials, n: 10, observe: {every: 1 h, for: 2 h}, compare: {reference: a, metrics: [peak]}}"
    )
    outcome = command("run", "scenario.yaml", "-o", "out")
    assert outcome.code == 0, outcome.err
    assert "Who breaks" not in outcome.out


def test_words_of_several_models(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each sentence says of which model it is; a window that is none is left out, an output stands with its metric."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scenario.yaml").write_text(
        "{title: T, arms: {a: {protocol: iv_six_infusions}, b: {protocol: iv_twice_weekly}}, "
        "models: [ketamine_clements1981, ketamine_kamp2020], population: adults_trials, n: 40, "
        "effects: [antidepressant_response], observe: {every: 1 h, for: 2 h}, "
        "compare: {reference: a, metrics: [peak]}, rules: [{id: high, in: 50 %, any: "
        "[{metric: peak, at_least: 200 ng/mL}, {metric: total_dose, at_most: 250 mg}]}, "
        "{id: better, metric: trough, output: antidepressant_response, window: {session: 6}, relative_to: baseline, "
        "at_most: 60 %, in: 50 %}]}"
    )
    outcome = command("run", "scenario.yaml", "-o", "out")
    assert outcome.code == 0, outcome.err
    out = " ".join(outcome.out.split())
    for model in ("ketamine_clements1981", "ketamine_kamp2020"):
        assert f"% with b on {model}, in " in out
    assert "high: broken in" in out
    assert "combined" not in out
    assert "a: trough of antidepressant_response, share of baseline (illustrative), session 6: " in out
    said = json.loads((tmp_path / "out" / "findings.json").read_text())["needed"]["pairs"]
    assert len({item["said"] for item in said}) == len(said) == 4


def test_rules_of_compare(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Judged in every arm, with numbers needed; and what was compared without them stays what it was."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "late.yaml").write_text(
        "{id: late, metric: peak, window: {sessions: [5, 6]}, at_most: 180 ng/mL, in: 50 %}"
    )
    arms = ("iv_six_infusions", "esketamine_nasal_induction", "--n", 60)
    assert command("compare", *arms, "-o", "plain").code == 0
    outcome = command("compare", *arms, "--rule", "ceiling", "--rule", "late.yaml", "-o", "ruled")
    assert outcome.code == 0, outcome.err
    assert Path("plain/comparison.csv").read_bytes() == Path("ruled/comparison.csv").read_bytes()
    assert not Path("plain/findings.csv").exists()
    assert not Path("plain/failing.csv").exists()
    findings, rows = pd.read_csv("ruled/findings.csv"), pd.read_csv("ruled/needed.csv")
    assert findings["rule"].tolist() == ["ceiling"] * 2 + ["late"] * 2
    values = pd.read_parquet("ruled/metrics.parquet")
    late = values[values["metric"].eq("peak") & values["session"].isin([5, 6])]
    late = late[late["output"].isin(["ketamine", "esketamine"])]
    worst = late.groupby([late["arm"].astype(str), "patient"])["value"].max().unstack(0)
    kept = worst <= 180.0
    row = rows.set_index("rule").loc["late"]
    assert row["only_arm_keeps"] == (kept[arms[1]] & ~kept[arms[0]]).sum()
    assert row["only_reference_keeps"] == (kept[arms[0]] & ~kept[arms[1]]).sum()
    text = " ".join(outcome.out.split())
    assert "ceiling: peak of parent at most 250 ng/mL" in text
    assert "Who breaks a rule, against iv_six_infusions" in text
    assert "One patient fewer breaks it for every" in text
    told = json.loads(Path("ruled/comparison.json").read_text())
    assert {item["verdict"] for item in told["findings"]} <= {"met", "broken", "undecided"}
    assert len(told["needed"]["pairs"]) == 2
    failing = pd.read_csv("ruled/failing.csv").set_index(["rule", "arm", "covariate"])
    assert failing.loc[("late", arms[0], "weight"), "n_failing"] == (~kept[arms[0]]).sum()
    sentences = [item["said"] for item in told["failing"]["said"]]
    assert sentences
    assert all(sentence in text for sentence in sentences)


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("--rule", "cieling"), ("--rule", "cieling", "nearest ceiling")),
        (("--rule", "ceiling", "--rule", "ceiling"), ("--rule", "ceiling a second time")),
        (("--rule", "far.yaml"), ("--rule", "session")),
        (("--rule", "effect.yaml"), ("--rule", "nothing_known")),
    ],
)
def test_compare_refuses_rules(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], parts: tuple[str, ...]
) -> None:
    """Unknown, twice, of sessions that an arm does not have, of an output that a model does not have."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "far.yaml").write_text("{id: far, metric: peak, window: 'session 7', at_most: 1 ng/mL, in: 50 %}")
    (tmp_path / "effect.yaml").write_text("{id: e, metric: peak, output: nothing_known, at_most: 1, in: 50 %}")
    outcome = command("compare", "iv_six_infusions", "iv_single", *words)
    assert outcome.code == 2
    assert outcome.out == ""
    assert all(part in outcome.err for part in parts), outcome.err
    assert all(line.startswith("error: --rule") for line in outcome.err.splitlines()), outcome.err
