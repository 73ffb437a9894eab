"""The course that reaches and holds a level: against analytic rates, within pump limits, as a protocol that runs."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import pkmodel as pk
from pkmodel.suggest import Pump, Suggestion, suggest

Command = Callable[..., Any]

ADULT = pk.Patient(weight="70 kg", age="40 y", sex="female", height="170 cm")
KAMP, EFFECT = "ketamine_kamp2020", "dissociation_olofsen2022"
#: A pump that hardly rounds.
FINE = Pump(rate_step="0.0001 mL/h", min_rate="0.0001 mL/h", bolus_step="0.00001 mg")


def _model(peripherals: int) -> dict[str, Any]:
    """A mammillary model as a file would hold it, with one to three compartments."""
    names = ["central", *(f"p{index}" for index in range(1, peripherals + 1))]
    flows = [{"from": "central", "to": "outside", "rate": "CL / V1"}]
    numbers = {"CL": "84 L/h", "V1": "25 L", "Q1": "161 L/h", "VP1": "56 L", "Q2": "79 L/h", "VP2": "157 L"}
    used = ["CL", "V1"]
    for index in range(1, peripherals + 1):
        used += [f"Q{index}", f"VP{index}"]
        flows.append({"from": "central", "to": f"p{index}", "rate": f"Q{index} / V1"})
        flows.append({"from": f"p{index}", "to": "central", "rate": f"Q{index} / VP{index}"})
    return {
        "id": f"made_of_{peripherals + 1}",
        "title": "A made-up model",
        "drug": "ketamine",
        "source": {"citation": "none"},
        "evidence": "assumed",
        "sampling": "venous",
        "population": {"description": "nobody"},
        "parameters": {name: {"value": numbers[name], "from": "made up"} for name in used},
        "compartments": names,
        "flows": flows,
        "routes": {"iv": [{"into": "central"}]},
        "outputs": {"ketamine": {"amount": "central", "volume": "V1", "unit": "ng/mL"}},
    }


def _drug_by(time: float, peripherals: int, target: float) -> float:
    """mg given by ``time`` h where plasma is held at ``target`` mg/L from 0 on: bolus, elimination, transfer.

    A peripheral compartment next to a constant plasma fills as 1 - exp(-k t); so every rate has a closed form.
    """
    total = 25.0 * target + 84.0 * target * time
    for flow, volume in ((161.0, 56.0), (79.0, 157.0))[:peripherals]:
        total += volume * target * (1 - math.exp(-flow / volume * time))
    return total


def _given_by(found: Suggestion, time: float) -> float:
    total = 0.0
    for row in found.rows:
        total += row.dose if row.over == 0 else row.dose * min(max(time - row.time, 0.0) / row.over, 1.0)
    return total


@pytest.mark.parametrize("peripherals", [0, 1, 2])
def test_bolus_elimination_transfer(peripherals: int) -> None:
    """What is given by any time is what the exact scheme of rates gives, for one, two and three compartments."""
    found = suggest(pk.load_model(_model(peripherals)), ADULT, "150 ng/mL", pump=FINE, tolerance="0.5 %", until="3 h")
    assert found.rows[0].over == 0
    assert found.rows[0].dose == pytest.approx(25.0 * 0.15, rel=1e-5)  # fills the central volume
    for time in (0.1, 0.5, 1.0, 2.0, 3.0):
        assert _given_by(found, time) == pytest.approx(_drug_by(time, peripherals, 0.15), rel=0.01)
    (held,) = found.achieved
    assert held.reached == 0.0
    assert held.outside == 0.0
    assert max(held.above, held.below) <= 0.5 + 1e-6


def test_one_compartment_needs_one_rate() -> None:
    """Where nothing is transferred the rate is target x clearance, and never changes."""
    found = suggest(pk.load_model(_model(0)), ADULT, "150 ng/mL", pump=FINE)
    assert len(found.rows) == 2
    assert found.rows[1].rate == pytest.approx(0.15 * 84.0, rel=1e-3)


@pytest.mark.parametrize("site", [{}, {"site": "effect", "effect": EFFECT}])
def test_the_protocol_gives_the_same_levels(site: dict[str, Any], tmp_path: Path) -> None:
    """The text runs as any protocol does, and gives the levels that were reported, bit for bit."""
    found = suggest(KAMP, ADULT, [("0 min", "100 ng/mL"), ("40 min", "60 ng/mL")], **site)
    file = tmp_path / "course.yaml"
    file.write_text(found.protocol, encoding="utf-8")
    result = pk.simulate(file, KAMP, ADULT, until="2 h", every="15 s")
    index = np.searchsorted(found.result.time, result.time - 1e-9)
    np.testing.assert_allclose(result.level(), found.result.level("ketamine")[:, index], rtol=1e-12)
    assert result.sessions()["dose_mg"].iloc[0] == pytest.approx(found.total, rel=1e-12)
    assert sum(row.dose for row in found.rows) == pytest.approx(found.total)
    assert "Not for patient care" in found.protocol


def test_reported_figures_are_those_of_the_curve() -> None:
    """Reached, above, below and outside are read off the simulated level."""
    found = suggest(KAMP, ADULT, "150 ng/mL", form="infusion", pump=Pump(max_rate="50 mg/h"))
    (held,) = found.achieved
    off = found.level / 150.0 - 1
    first = int(np.argmax(np.abs(off) <= 0.05))
    assert held.reached == pytest.approx(found.time[first])
    assert held.reached > 5 / 60  # a slow pump takes its time
    assert held.above == pytest.approx(100 * off[first:].max())
    assert held.below == pytest.approx(-100 * off[first:].min())
    assert all(row.rate is not None and row.rate <= 50.0 for row in found.rows)
    assert found.rows[0].rate == 50.0  # as fast as it can
    assert found.peak == pytest.approx(found.level.max(), rel=1e-3)


def test_rates_are_whole_steps_of_the_pump() -> None:
    """Rounding is part of the answer: every rate and bolus can be set."""
    pump = Pump(concentration="5 mg/mL", rate_step="0.5 mL/h", min_rate="1 mL/h", bolus_step="0.5 mg")
    found = suggest(KAMP, ADULT, "150 ng/mL", pump=pump)
    for row in found.rows:
        if row.rate is None:
            assert row.dose % 0.5 == pytest.approx(0.0)
        elif row.rate:
            assert row.volume_rate is not None
            assert row.volume_rate >= 1.0
            assert row.volume_rate / 0.5 == pytest.approx(round(row.volume_rate / 0.5))
            assert row.rate == pytest.approx(row.volume_rate * 5.0)
    assert "Assumed of the pump: max_rate 1200 mL/h." in found.assumptions


def test_a_falling_target_turns_the_pump_off() -> None:
    """Nothing is given until the level has fallen; then it is held."""
    found = suggest(KAMP, ADULT, [("0 min", "150 ng/mL"), ("40 min", "60 ng/mL"), ("90 min", "0 ng/mL")], until="3 h")
    high, low, none = found.achieved
    assert high.outside == low.outside == 0.0
    assert 0.0 < low.reached < 0.6
    pause = next(row for row in found.rows if row.time == pytest.approx(40 / 60))
    assert pause.rate == 0.0
    assert pause.over == pytest.approx(low.reached, abs=1.5 / 60)
    assert none.level == 0.0
    last = found.rows[-1]
    assert last.time + last.over <= 1.5 + 1e-9  # off from then on
    assert found.level[-1] < 0.5 * 60.0


def test_a_rising_target_gets_a_bolus_of_its_own() -> None:
    """With boluses allowed there is one wherever the target rises."""
    found = suggest(KAMP, ADULT, [("0 min", "60 ng/mL"), ("30 min", "120 ng/mL")])
    assert [row.time for row in found.rows if row.rate is None] == pytest.approx([0.0, 0.5])
    assert all(item.reached <= 1 / 60 for item in found.achieved)


@pytest.mark.parametrize("model", [KAMP, "ketamine_domino1984", "esketamine_perezruixo2021", "ketamine_enantiomers"])
@pytest.mark.parametrize("form", ["bolus+infusion", "infusion"])
def test_the_effect_site_is_reached_without_overshoot(model: str, form: Any) -> None:
    """The site gets there, stays within the tolerance and never above it; plasma passes the target on the way."""
    found = suggest(model, ADULT, "100 ng/mL", site="effect", effect=EFFECT, form=form)
    (held,) = found.achieved
    assert 0.0 < held.reached < 0.3
    assert held.outside == 0.0
    assert found.level.max() <= 105.0 * (1 + 1e-6)
    assert found.result.level("parent").max() > 150.0
    np.testing.assert_allclose(found.level[-40:], 100.0, rtol=0.06)


def test_faster_than_holding_the_plasma() -> None:
    """The reason for it: a plasma target leaves the site behind for much longer."""
    site = suggest(KAMP, ADULT, "100 ng/mL", site="effect", effect=EFFECT)
    # Half of the racemate drives this effect, so that 200 ng/mL in plasma are 100 at the site in the end.
    plasma = suggest(KAMP, ADULT, "200 ng/mL")
    result = pk.simulate(yaml.safe_load(plasma.protocol), KAMP, ADULT, until="2 h", every="15 s", effects=[EFFECT])
    sited = pk.simulate(yaml.safe_load(site.protocol), KAMP, ADULT, until="2 h", every="15 s", effects=[EFFECT])
    at = int(np.searchsorted(result.time, 8 / 60))
    assert sited.level(EFFECT)[0, at] > 1.5 * result.level(EFFECT)[0, at]


@pytest.mark.parametrize(
    ("more", "over"),
    [
        ({"form": "bolus"}, 0.0),
        ({"form": "bolus", "over": "2 min"}, 2 / 60),
        ({"form": "infusion", "over": "40 min"}, 40 / 60),
        ({"form": "bolus", "site": "effect", "effect": EFFECT}, 0.0),
    ],
)
def test_a_single_dose_peaks_at_the_target(more: dict[str, Any], over: float) -> None:
    """One scaling: the exact peak is the target, but for the rounding of the pump."""
    fine = suggest(KAMP, ADULT, "150 ng/mL", pump=FINE, **more)
    (row,) = fine.rows
    assert row.over == pytest.approx(over)
    assert fine.peak == pytest.approx(150.0, rel=2e-4)
    assert fine.level.max() <= 150.0 * (1 + 3e-4)
    coarse = suggest(KAMP, ADULT, "150 ng/mL", pump=Pump(rate_step="10 mg/h", bolus_step="5 mg"), **more)
    assert coarse.peak / coarse.total == pytest.approx(fine.peak / fine.total)  # proportional
    assert "rounding" in coarse.sentences[0]


def test_a_bolus_may_take_time_and_have_a_limit() -> None:
    """What a limited bolus does not reach the pump makes up for."""
    pump = Pump(max_bolus="2 mg", bolus_over="2 min", max_rate="60 mg/h")
    found = suggest(KAMP, ADULT, "150 ng/mL", pump=pump)
    assert found.rows[0].dose == pytest.approx(2.0)
    assert found.rows[0].over == pytest.approx(2 / 60)
    (held,) = found.achieved
    assert held.outside == 0.0
    assert held.reached > 2 / 60


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"target": "150"}, ("target", "150 without a unit")),
        ({"target": "-1 ng/mL"}, ("target", "-1 ng/mL")),
        ({"target": "0 ng/mL"}, ("target", "above 0")),
        ({"target": "nan ng/mL"}, ("target", "nan")),
        ({"target": []}, ("target", "pairs")),
        ({"target": [("0 min", "1 ng/mL", "x")]}, ("target", "pairs")),
        ({"target": [("5 min", "100 ng/mL")]}, ("target.time", "0 min for the first")),
        ({"target": [("0 min", "100 ng/mL"), ("0 min", "90 ng/mL")]}, ("target[1].time", "rising")),
        ({"target": [("0 min", "100 ng/mL"), ("3 h", "90 ng/mL")]}, ("target[1].time", "before the end")),
        ({"target": [("0 min", "100 ng/mL"), ("90 s", "90 ng/mL")]}, ("target[1].time", "whole number of steps")),
        ({"target": [("0 min", "100 ng/mL"), ("5 min", "9 ng/mL")], "form": "bolus"}, ("target", "one peak")),
        ({"site": "brain"}, ("site", "plasma, effect")),
        ({"site": "effect"}, ("effect", "effect site")),
        ({"site": "effect", "effect": "nmda_occupancy"}, ("effect", "one analyte")),
        ({"site": "effect", "effect": "blood_pressure"}, ("effect", "with an effect site")),
        ({"site": "effect", "effect": "dissociation"}, ("dissociation_olofsen2022",)),
        ({"effect": EFFECT}, ("effect", "site effect")),
        ({"output": "norketamine"}, ("norketamine", "an output of")),
        ({"model": "esketamine_otto2021", "output": "metabolite"}, ("output", "one of esketamine")),
        ({"model": "esketamine_flint2017"}, ("model", "linear")),
        ({"form": "drip"}, ("form", "bolus+infusion")),
        ({"over": "40 min"}, ("over", "form bolus or infusion")),
        ({"step": "7 min"}, ("step", "whole number")),
        ({"step": "0 min"}, ("step", "above 0")),
        ({"step": "0.5 s"}, ("step", "6000")),
        ({"until": "2"}, ("until", "without a unit")),
        ({"tolerance": "0 %"}, ("tolerance", "0.1 %")),
        ({"tolerance": math.nan}, ("tolerance", "nan")),
        ({"pump": Pump(max_rate="5 mg")}, ("pump.max_rate", "a rate")),
        ({"pump": Pump(max_rate="0 mg/h")}, ("pump.max_rate", "above 0")),
        ({"pump": Pump(rate_step="2000 mL/h")}, ("pump.rate_step", "at most 1200 mL/h")),
        ({"pump": Pump(max_bolus="0.01 mg")}, ("pump.bolus_step", "at most 0.01 mg")),
        ({"pump": Pump(concentration="10 mg")}, ("pump.concentration", "concentration")),
        ({"pump": Pump(bolus_over="90 s")}, ("pump.bolus_over", "whole number of steps")),
    ],
)
def test_bad_input(change: dict[str, Any], parts: tuple[str, ...]) -> None:
    """One clear error that names the argument."""
    arguments: dict[str, Any] = {"model": KAMP, "patient": ADULT, "target": "150 ng/mL", **change}
    with pytest.raises(pk.InputError) as caught:
        suggest(**arguments)
    assert all(part in str(caught.value) for part in parts), caught.value


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"form": "infusion", "pump": Pump(max_rate="10 mg/h")}, ("150 ng/mL", "reaches at most 71.7")),
        ({"target": [("0 min", "150 ng/mL"), ("5 min", "5 ng/mL")], "until": "10 min"}, ("5 ng/mL", "falls to")),
        ({"form": "bolus", "pump": Pump(max_bolus="2 mg")}, ("150 ng/mL", "at most 80 ng/mL")),
        ({"form": "infusion", "over": "10 min", "pump": Pump(max_rate="10 mg/h")}, ("150 ng/mL", "at most")),
        ({"target": "0.001 ng/mL", "form": "infusion"}, ("0.001 ng/mL", "lowest rate")),
        ({"tolerance": "0.1 %", "until": "8 h"}, ("changes of the rate", "a wider tolerance")),
    ],
)
def test_what_cannot_be_had_is_refused_with_what_can(change: dict[str, Any], parts: tuple[str, ...]) -> None:
    """The error says what this pump, or nature, allows."""
    arguments: dict[str, Any] = {"model": KAMP, "patient": ADULT, "target": "150 ng/mL", **change}
    with pytest.raises(pk.InputError) as caught:
        suggest(**arguments)
    assert all(part in str(caught.value) for part in parts), caught.value


def test_sentences_and_assumptions() -> None:
    """What was done in words; that it is for nobody's care; and what the effect assumes."""
    found = suggest(KAMP, ADULT, "100 ng/mL", site="effect", effect=EFFECT)
    assert "at the effect site" in found.sentences[-1]
    assert found.assumptions[-1] == "For research and teaching only. Not for patient care."
    assert any("half of ketamine" in sentence for sentence in found.warnings)
    assert any("evidence: secondary" in sentence for sentence in found.assumptions)
    table = found.to_pandas()
    assert list(table) == ["time_min", "dose_mg", "over_min", "rate_mg_per_h", "rate_mL_per_h"]
    assert table["dose_mg"].sum() == pytest.approx(found.total)


def test_the_command_writes_a_protocol_that_runs(command: Command, tmp_path: Path) -> None:
    """``suggest -o course.yaml`` and then ``simulate course.yaml``: the same peak and dose."""
    file = tmp_path / "course.yaml"
    person = ("--weight", "70 kg")
    first = command("suggest", KAMP, "--target", "150 ng/mL", *person, "-o", file, "--json")
    assert first.code == 0
    told = json.loads(first.out)
    then = command("simulate", file, "--model", KAMP, *person, "--until", "2 h", "--json")
    assert then.code == 0
    (session,) = json.loads(then.out)["sessions"]
    assert session["peak"] == pytest.approx(told["peak"])
    assert session["dose_mg"] == pytest.approx(told["total_mg"])
    assert command("check", file).code == 0
    shown = command("suggest", KAMP, "--target", "100 ng/mL from 0 min", "--target", "50 ng/mL from 40 min", *person)
    assert shown.code == 0
    assert "50 ng/mL in plasma from 40 min" in shown.out


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("--target", "150"), "without a unit"),
        (("--target", "150 ng/mL", "-o", "x.png"), ".yaml"),
        (("--target", "150 ng/mL", "-o", ""), "an empty path"),
        (("--target", "150 ng/mL", "--max-rate", "1 mg/h", "--form", "infusion"), "at most"),
        (("--target", "150 ng/mL from", "--form", "infusion"), "ng/mL from"),
    ],
)
def test_the_command_refuses(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], part: str
) -> None:
    """Exit code 2, one error, nothing written."""
    monkeypatch.chdir(tmp_path)
    outcome = command("suggest", KAMP, "--weight", "70 kg", *words)
    assert outcome.code == 2
    assert outcome.out == ""
    assert part in outcome.err
    assert list(tmp_path.iterdir()) == []
