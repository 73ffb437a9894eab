"""Doses per square metre and as rates, sessions of several parts, and doses by bands of patients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import pkmodel as pk
from pkmodel import dosing, network, schedule
from pkmodel.given import GivenSession
from pkmodel.population import Patient, sample_covariates
from pkmodel.specs.library import load_population
from pkmodel.specs.loading import document_of
from pkmodel.specs.protocol import ProtocolSpec

# Women of 165 cm and 90 kg, and of 165 cm and 50 kg, and a man of 180 cm and 110 kg; one of them 70 years old.
THREE: dict[str, Any] = {
    "height": np.array([165.0, 165.0, 180.0]),
    "weight": np.array([90.0, 50.0, 110.0]),
    "female": np.array([1.0, 1.0, 0.0]),
    "age": np.array([40.0, 70.0, 40.0]),
    "hepatic_impairment": np.array([0.0, 0.0, 0.5]),
    "cyp2b6_activity": np.ones(3),
}


def protocol(phase: dict[str, Any], **head: Any) -> ProtocolSpec:
    """A protocol of one phase of one session, where it does not say otherwise."""
    whole = {"title": "T", "drug": "ketamine", "route": "iv", **head}
    return pk.load_protocol({**whole, "phases": [{"name": "one", "sessions": {"days": [1]}, **phase}]})


def resolved(phase: dict[str, Any], values: dict[str, Any] = THREE, **head: Any) -> GivenSession:
    """The first session of it."""
    return dosing.resolve(protocol(phase, **head).plan()[0], values, len(values["weight"]))


def test_square_metres_are_mosteller() -> None:
    """sqrt(165 x 90 / 3600) = 2.03101 m2, sqrt(165 x 50 / 3600) = 1.51383, sqrt(180 x 110 / 3600) = 2.34521."""
    session = resolved({"dose": "40 mg/m2"})
    assert session.given == pytest.approx(40 * np.sqrt(np.array([4.125, 8250 / 3600, 5.5])), rel=1e-14)
    assert session.given == pytest.approx([81.24038, 60.55301, 93.80832], abs=5e-6)


@pytest.mark.parametrize(
    ("dose", "known", "missing"),
    [
        ("40 mg/m2", {"weight": np.array([70.0])}, "height"),
        ("40 mg/m2", {"height": np.array([170.0])}, "weight"),
        ("0.5 mg/kg", {"height": np.array([170.0])}, "weight"),
    ],
)
def test_what_a_dose_needs_is_asked_for(dose: str, known: dict[str, Any], missing: str) -> None:
    """By name, where it is not known."""
    with pytest.raises(pk.InputError, match=f"{missing}, which the dose depends on"):
        dosing.resolve(protocol({"dose": dose}).plan()[0], known, 1)


@pytest.mark.parametrize(
    ("dose", "over", "expected"),
    [
        ("15 ug/kg/min", "40 min", [54.0, 30.0, 66.0]),  # 0.6 mg/kg
        ("3 mg/kg/h", "15 min", [67.5, 37.5, 82.5]),
        ("90 mg/h", "40 min", [60.0, 60.0, 60.0]),
        ("0.5 mg/min", "1 h", [30.0, 30.0, 30.0]),
        ("60 mg/m2/h", "30 min", [60.9302880, 45.4147551, 70.3562364]),
    ],
)
def test_a_rate_is_given_over_its_time(dose: str, over: str, expected: list[float]) -> None:
    """The amount is rate x time x size."""
    session = resolved({"dose": dose, "over": over})
    assert session.given == pytest.approx(expected, rel=1e-7)
    (only,) = session.doses
    assert only.over == pytest.approx({"40 min": 2 / 3, "15 min": 0.25, "1 h": 1.0, "30 min": 0.5}[over])


def test_a_rate_counts_with_the_dosing_weight() -> None:
    """At most 80 kg of them: 3 mg/kg/h x 80 kg x 15 min = 60 mg."""
    assert resolved({"dose": "3 mg/kg/h", "over": "15 min"}, weight={"cap": "80 kg"}).given == pytest.approx(
        [60.0, 37.5, 60.0]
    )


PARTS = [
    {"dose": "0.3 mg/kg", "over": "1 min"},
    {"dose": "3 mg/kg/h", "over": "15 min"},
    {"pause": "5 min"},
    {"dose": "20 mg"},
]


def test_parts_follow_one_another() -> None:
    """Bolus, infusion, a pause of 5 min, bolus: at 0, 1 and 21 min, and over with the last."""
    session = resolved({"parts": PARTS})
    assert [dose.begins for dose in session.doses] == pytest.approx([0.0, 1 / 60, 21 / 60])
    assert [dose.over for dose in session.doses] == pytest.approx([1 / 60, 0.25, 0.0])
    assert [dose.part for dose in session.doses] == [1, 2, 3]
    assert session.doses[1].amount == pytest.approx([67.5, 37.5, 82.5])
    assert session.given == pytest.approx([27 + 67.5 + 20, 15 + 37.5 + 20, 33 + 82.5 + 20])
    assert session.end == pytest.approx([21 / 60] * 3)
    assert session.planned.label == "0.3 mg/kg + 3 mg/kg/h for 15 min + 20 mg"


def test_parts_reach_the_body_as_sessions_of_their_own_would() -> None:
    """Levels after the parts are the sum of levels after each dose alone, on a linear model."""
    who, model = Patient(weight="82 kg"), "ketamine_clements1981"

    def level(phase: dict[str, Any]) -> Any:
        return pk.simulate(protocol(phase), model, who, until="3 h", every="7 min").level()[0]

    whole = level({"parts": PARTS})
    net = network.build(pk.load_model(model), who.population())
    late = {"title": "T", "drug": "ketamine", "route": "iv"}
    late["phases"] = [  # type: ignore[assignment]
        {"name": "first", "dose": "24.6 mg", "over": "1 min", "sessions": {"days": [1]}},
        {"name": "second", "dose": "61.5 mg", "over": "15 min", "after": "1 min", "sessions": {"days": [1]}},
        {"name": "third", "dose": "20 mg", "after": "20 min", "sessions": {"days": [1]}},
    ]
    apart = pk.simulate(late, model, who, until="3 h", every="7 min").level()[0]
    assert net.size == 1
    assert whole == pytest.approx(apart, rel=1e-12)


def test_levels_have_one_array_per_part() -> None:
    """What a clinic decides stands in the unit of each part: mg/kg, mg/kg/h, mg."""
    planned = protocol({"parts": PARTS}).plan()[0]
    levels = dosing.planned_levels(planned, THREE, 3)
    assert [level.tolist() for level in levels] == [[0.3] * 3, [3.0] * 3, [20.0] * 3]
    halved = dosing.resolve(planned, THREE, 3, [level / 2 for level in levels])
    assert halved.given == pytest.approx(dosing.resolve(planned, THREE, 3).given / 2, rel=1e-14)


BANDS = [{"age": ["65 y", None], "dose": "28 mg"}, {"hepatic_impairment": [0.5, None], "dose": "20 mg"}]


def test_dose_by_band() -> None:
    """The first band that fits goes before the dose; the lower end is in it."""
    assert resolved({"dose": "56 mg", "dose_when": BANDS}).given.tolist() == [56.0, 28.0, 20.0]
    edge = THREE | {"age": np.array([65.0, np.nextafter(65.0, 0.0), 75.0])}
    assert resolved({"dose": "56 mg", "dose_when": BANDS}, edge).given.tolist() == [28.0, 56.0, 28.0]
    upper = [{"age": ["65 y", "75 y"], "dose": "28 mg"}]
    assert resolved({"dose": "56 mg", "dose_when": upper}, edge).given.tolist() == [28.0, 56.0, 56.0]


def test_keys_of_a_band_are_all_needed() -> None:
    """Women from 60 kg: one of the three. In mg/kg like the dose."""
    bands = [{"sex": "female", "weight": ["60 kg", None], "dose": "0.25 mg/kg"}]
    assert resolved({"dose": "0.5 mg/kg", "dose_when": bands}).given.tolist() == [22.5, 25.0, 55.0]


@pytest.mark.parametrize(
    ("band", "expected"),
    [
        ({"bmi": ["30 kg/m2", None]}, [20.0, 56.0, 20.0]),  # 33.06, 18.37 and 33.95 kg/m2
        ({"cyp2b6_activity": [1, None]}, [20.0, 20.0, 20.0]),
        ({"cyp2b6_activity": [None, 1]}, [56.0, 56.0, 56.0]),
        ({"sex": "male"}, [56.0, 56.0, 20.0]),
        ({"severity": [30, None]}, [56.0, 20.0, 20.0]),
    ],
)
def test_what_a_band_may_be_of(band: dict[str, Any], expected: list[float]) -> None:
    """Body mass index, CYP2B6, sex and a severity score."""
    known = THREE | {"severity": np.array([29.9, 30.0, 40.0])}
    assert resolved({"dose": "56 mg", "dose_when": [{**band, "dose": "20 mg"}]}, known).given.tolist() == expected


def test_what_a_band_needs_is_asked_for() -> None:
    """A severity that is not known is named; whom an earlier band takes is not asked for it."""
    bands = [{"age": ["65 y", None], "dose": "28 mg"}, {"severity": [30, None], "dose": "20 mg"}]
    phase = {"dose": "56 mg", "dose_when": bands}
    with pytest.raises(pk.InputError, match="severity, which the dose depends on"):
        resolved(phase)
    old = {"weight": np.array([80.0]), "age": np.array([70.0])}
    assert resolved(phase, old).given.tolist() == [28.0]


def test_weight_by_age_and_by_weight() -> None:
    """Ideal weight from 65 years on, and a cap from 100 kg on: 90, 56.909 and 95 kg."""
    rule = {"when": [{"age": ["65 y", None], "basis": "ideal"}, {"weight": ["100 kg", None], "basis": "actual"}]}
    rule["when"][1]["cap"] = "95 kg"
    session = resolved({"dose": "0.5 mg/kg"}, weight=rule)
    assert session.dosing_weight == pytest.approx([90.0, 56.9094488188976, 95.0], rel=1e-14)


def test_what_only_a_band_needs_is_not_asked_of_others() -> None:
    """A height is needed for the ideal weight of the old only."""
    rule = {"when": [{"age": ["65 y", None], "basis": "ideal"}]}
    young = {"weight": np.array([80.0]), "age": np.array([40.0])}
    assert resolved({"dose": "0.5 mg/kg"}, young, weight=rule).given.tolist() == [40.0]
    with pytest.raises(pk.InputError, match="height"):
        resolved({"dose": "0.5 mg/kg"}, young | {"age": np.array([70.0])}, weight=rule)


@pytest.mark.parametrize("score", [-1.0, float("nan"), float("inf"), True, "30"])
def test_a_severity_that_is_no_score(score: Any) -> None:
    """Refused by name."""
    with pytest.raises(pk.InputError, match="severity"):
        Patient(weight="70 kg", severity=score)


def test_severity_of_a_population_has_a_stream_of_its_own() -> None:
    """Normal with the mean 30 and the SD 6, cut at 0 and 60; every other covariate keeps its bits."""
    tree = document_of("populations", "adults_trials").tree
    plain = sample_covariates(load_population(tree), 7, 0, 4000)
    spec = load_population({**tree, "severity": {"normal": [30, 6], "range": [0, 60]}})
    scored = sample_covariates(spec, 7, 0, 4000)
    assert "severity" not in plain.covariates
    for name, values in plain.covariates.items():
        assert (values == scored.covariates[name]).all()
    found = scored.covariates["severity"]
    # Bounds of five standard errors; the cut, five SD away, moves neither moment.
    assert abs(found.mean() - 30.0) < 5 * 6 / np.sqrt(4000)
    assert abs(found.std() - 6.0) < 5 * 6 / np.sqrt(8000)
    assert (sample_covariates(spec, 7, 1000, 10).covariates["severity"] == found[1000:1010]).all()


def test_given_in_a_schedule_ends_with_the_last_part() -> None:
    """A schedule knows the end of every session."""
    plan = schedule.build(
        protocol({"parts": PARTS}),
        network.build(pk.load_model("ketamine_clements1981"), Patient(weight="82 kg").population()),
    )
    assert plan.ends.tolist() == [pytest.approx([21 / 60])]


def test_doses_by_severity_in_a_scenario(tmp_path: Path) -> None:
    """Half the dose from a score of 30 on is half of the area, to the last bits; patients.parquet tells the scores."""
    population = {**document_of("populations", "adults_trials").tree, "severity": {"normal": [30, 6], "range": [0, 60]}}
    head = {"title": "T", "drug": "ketamine", "route": "iv"}
    phase: dict[str, Any] = {"name": "one", "dose": "40 mg", "over": "40 min", "sessions": {"days": [1]}}
    rule = {"id": "a", "metric": "auc", "output": "parent", "window": "course", "at_most": "1 g*h/L", "in": "5 %"}
    scenario = {
        "title": "T",
        "arms": {
            "all": {"protocol": {**head, "phases": [phase]}},
            "severe": {
                "protocol": {**head, "phases": [{**phase, "dose_when": [{"severity": [30, None], "dose": "20 mg"}]}]}
            },
        },
        "model": "ketamine_clements1981",
        "population": population,
        "n": 40,
        "seed": 9,
        "observe": {"every": "1 h", "for": "4 h after each session start"},
        "rules": [rule],
    }
    pk.run(pk.load_scenario(scenario), out=tmp_path / "results")
    people = pd.read_parquet(tmp_path / "results" / "patients.parquet")
    scores = people["severity"].to_numpy()
    assert 5 < (scores >= 30).sum() < 35
    found = pd.read_parquet(tmp_path / "results" / "metrics.parquet").pivot(
        index="patient", columns="arm", values="value"
    )
    ratio = found["severe"].to_numpy() / found["all"].to_numpy()
    assert ratio == pytest.approx(np.where(scores[: ratio.size] >= 30, 0.5, 1.0), rel=1e-12)
