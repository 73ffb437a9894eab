"""Dose finding against answers that can be worked out: a dose at once into one compartment peaks at dose / V."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pkmodel as pk
from pkmodel import design, network
from pkmodel.design_task import prepare
from pkmodel.errors import InputError
from pkmodel.findings import wilson
from pkmodel.population import sample_covariates, sample_effects
from pkmodel.specs import knobs

Command = Callable[..., Any]
MODEL = """
id: one_compartment
title: One compartment
drug: ketamine
source: a test
evidence: assumed
sampling: venous
population: {description: nobody}
parameters:
  V: {value: 20 L, from: a test}
  CL: {value: 2 L/h, from: a test}
variability:
  between_subject:
    V: {cv: 30 %, from: a test}
compartments: [central]
flows: [{from: central, to: outside, rate: CL / V}]
routes: {iv: [{into: central}]}
outputs: {ketamine: {amount: central, volume: V, unit: ng/mL}}
"""
PROTOCOL = """
title: A dose at once
drug: ketamine
route: iv
phases: [{name: one, dose: 5 mg, sessions: {days: [1]}}]
"""
N = 500


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    """The files of the model and of the protocol."""
    (tmp_path / "model.yaml").write_text(MODEL)
    (tmp_path / "protocol.yaml").write_text(PROTOCOL)
    return str(tmp_path / "model.yaml"), str(tmp_path / "protocol.yaml")


def volumes(model: str) -> np.ndarray:
    """V (L) of every patient of the search, rising."""
    spec = pk.load_model(model)
    people = sample_effects(sample_covariates(pk.load_population("adults_trials"), 1, 0, N), spec, 1)
    return np.sort(network.build(spec, people).values["V"])


def largest(sorted_volumes: np.ndarray, kept: int) -> float:
    """The largest dose (mg) with which ``kept`` patients stay at or below 0.25 mg/L: dose / V <= 0.25."""
    return float(0.25 * sorted_volumes[N - kept])


def test_the_largest_dose_is_a_quantile(files: tuple[str, str]) -> None:
    """95 % of 500 are 475; the interval ends where Wilson's interval of the share does. To the search's resolution."""
    model, protocol = files
    task = prepare(protocol, parameters=["dose"], rules=["ceiling"], model=model, n=N)
    found = design.search(task)
    (end,) = found.ends
    sizes = volumes(model)
    strict = min(kept for kept in range(N + 1) if wilson(kept, N)[0] >= 0.95)
    lax = min(kept for kept in range(N + 1) if wilson(kept, N)[1] >= 0.95)
    assert end.side == "largest"
    assert end.low is not None and end.high is not None
    for value, kept in ((end.value, 475), (end.low, strict), (end.high, lax)):
        exact = largest(sizes, kept)
        assert exact * (1 - 2 * design.RESOLUTION) <= value <= exact
    assert end.low < end.value < end.high
    assert not found.cautions


def test_two_rules_leave_a_window(files: tuple[str, str]) -> None:
    """At most 0.25 mg/L in 95 %, at least 0.1 mg/L in 90 %: from one quantile to the other."""
    model, protocol = files
    task = prepare(protocol, parameters=["dose"], rules=["ceiling", "reached"], model=model, n=N)
    found = design.search(task)
    smallest, biggest = found.ends
    sizes = volumes(model)
    assert (smallest.side, biggest.side) == ("smallest", "largest")
    least = 0.1 * sizes[450 - 1]  # 450 of 500 reach 0.1 mg/L
    assert least <= smallest.value <= least * (1 + 2 * design.RESOLUTION)
    assert biggest.value == pytest.approx(largest(sizes, 475), rel=2 * design.RESOLUTION)
    assert found.pieces == [(smallest.value, biggest.value)]


def test_nothing_and_everything(files: tuple[str, str]) -> None:
    """A range below the answer keeps the rule everywhere; one above it nowhere, and says so."""
    model, protocol = files
    low = prepare(protocol, parameters=["dose"], rules=["ceiling"], model=model, n=50, lows=["0.1 mg"], highs=["1 mg"])
    high = prepare(protocol, parameters=["dose"], rules=["ceiling"], model=model, n=50, lows=["20 mg"], highs=["30 mg"])
    easy, hard = design.search(low), design.search(high)
    assert (easy.pieces, easy.ends) == ([(pytest.approx(0.1), pytest.approx(1.0))], [])
    assert (hard.pieces, hard.ends, hard.cautions) == ([], [], ["no value of the range keeps every rule"])


def test_a_map_has_the_shares_of_single_runs(files: tuple[str, str]) -> None:
    """Dose and duration together: where both are as in a run of their own, so are the counts."""
    model, _ = files
    protocol = Path(files[1])
    protocol.write_text(PROTOCOL.replace("dose: 5 mg,", "dose: 5 mg, over: 40 min,"))
    task = prepare(str(protocol), parameters=["dose", "over"], rules=["ceiling"], model=model, n=40)
    found = design.chart(task)
    assert found.share.shape == (1, design.MAP, design.MAP)
    for i, j in ((0, 0), (5, 3), (10, 10)):
        alone = task.study([found.axes[0][i], found.axes[1][j]])
        assert [item.n_met for item in alone.results] == [item.n_met for item in found.findings[j][i]]
    assert (np.diff(found.share[0], axis=1) <= 0).all(), "more drug, higher peaks"
    assert (np.diff(found.share[0], axis=0) >= 0).all(), "a longer infusion, lower peaks"


def test_quantities_are_named_by_place_end_or_phase() -> None:
    """One name for several places that hold the same; an error where they do not, and where there is none."""
    phases = [
        {"name": "induction", "dose": "0.5 mg/kg", "over": "40 min", "sessions": {"days": [1, 4]}},
        {
            "name": "taper",
            "after": "7 d",
            "taper": {"from": "0.5 mg/kg", "to": "0.2 mg/kg", "sessions": 3, "every": "7 d"},
        },
    ]
    tree = {"title": "T", "drug": "ketamine", "route": "iv", "over": "40 min", "phases": phases}
    assert knobs.find(tree, "dose").places == (("phases", 0, "dose"),)
    assert knobs.find(tree, "taper.to").places == (("phases", 1, "taper", "to"),)
    assert knobs.find(tree, "induction.over").places == (("phases", 0, "over"),)
    assert len(knobs.find(tree, "over").places) == 2
    turned = knobs.turned(tree, [(knobs.find(tree, "over"), 20.0), (knobs.find(tree, "dose"), 0.25)])
    assert (turned["over"], turned["phases"][0]["over"], turned["phases"][0]["dose"]) == (
        "20 min",
        "20 min",
        "0.25 mg/kg",
    )
    assert tree["over"] == "40 min", "the file's own is left alone"
    with pytest.raises(InputError, match=r"found dosse .*nearest dose"):
        knobs.find(tree, "dosse")
    tree["over"] = "30 min"
    with pytest.raises(InputError, match=r"over, which may be over \(30 min\), phases\[0\].over \(40 min\)"):
        knobs.find(tree, "over")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["iv_singel", "--parameter", "dose", "--rule", "ceiling"], "nearest iv_single"),
        (["iv_single", "--parameter", "dosse", "--rule", "ceiling"], "nearest dose"),
        (["iv_single", "--parameter", "dose", "--rule", "ceilling"], "nearest ceiling"),
        (["iv_single", "--parameter", "dose"], "found no rule"),
        (["iv_single", "--parameter", "dose", "--rule", "ceiling", "--from", "3 h"], "--from"),
        (
            ["iv_single", "--parameter", "dose", "--rule", "ceiling", "--from", "1 mg/kg", "--to", "0.5 mg/kg"],
            "that rises",
        ),
        (["iv_single", "--parameter", "dose", "--rule", "discharge"], "--rule"),
        (["iv_single", "--parameter", "dose", "--rule", "ceiling", "--arm", "x"], "found --arm with a protocol"),
        (["iv_taper_versus_flat", "--parameter", "dose", "--rule", "peak"], "--arm with one of flat, taper"),
        (["model_spread", "--parameter", "dose", "--arm", "racemate"], "expected"),
        (["iv_single", *["--parameter", "dose"] * 2, "--rule", "ceiling"], "expected two quantities"),
        (["iv_single", *["--parameter", "dose"] * 3, "--rule", "ceiling"], "expected one, or two for a map"),
    ],
)
def test_refused(command: Command, words: list[str], said: str) -> None:
    """One error that names what was expected, exit code 2, and nothing on standard output."""
    outcome = command("design", *words)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("error: ") and said in outcome.err


def test_command_writes_table_answer_and_picture(command: Command, tmp_path: Path) -> None:
    """The answer is in every file, and only there what was asked."""
    out = tmp_path / "out"
    words = ["design", "iv_single", "--parameter", "dose", "--rule", "ceiling", "--n", "200", "-o", str(out)]
    outcome = command(*words)
    assert outcome.code == 0, outcome.err
    assert sorted(file.name for file in out.iterdir()) == ["design.csv", "design.json", "design.png"]
    tree = json.loads((out / "design.json").read_text())
    (answer,) = tree["answer"]
    assert f"Largest dose: {answer['value']:.4g} mg/kg" in outcome.out
    assert answer["low"] < answer["value"] < answer["high"]
    with (out / "design.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    kept = [float(row["dose [mg/kg]"]) for row in rows if float(row["share"]) >= 0.95]
    assert max(kept) == answer["value"]
    assert "Not for patient care" in tree["disclaimer"]
    assert (out / "design.png").read_bytes()[:4] == b"\x89PNG"
