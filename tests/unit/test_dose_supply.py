"""What a dose is given with: vials, pumps, devices and atomisers; what is used, wasted, run off and delivered."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pkmodel as pk
from pkmodel import dosing, network, schedule, study
from pkmodel.given import GivenSession
from pkmodel.population import Patient, Population, normals
from pkmodel.specs.library import load_scenario
from pkmodel.specs.protocol import ProtocolSpec

VALUES = {"weight": np.array([90.0, 50.0, 110.0])}
NASAL = {"drug": "ketamine", "route": "intranasal"}


def protocol(phase: dict[str, Any], **head: Any) -> ProtocolSpec:
    """A protocol of one phase of one session, where it does not say otherwise."""
    whole = {"title": "T", "drug": "ketamine", "route": "iv", **head}
    return pk.load_protocol({**whole, "phases": [{"name": "one", "sessions": {"days": [1]}, **phase}]})


def resolved(phase: dict[str, Any], **head: Any) -> GivenSession:
    """The first session of it, for people of 90, 50 and 110 kg."""
    return dosing.resolve(protocol(phase, **head).plan()[0], VALUES, 3)


def test_nothing_is_said_where_the_protocol_says_nothing() -> None:
    """Without a product there are no mL and no vials, and the vial alone tells what is wasted."""
    plain = resolved({"dose": "0.5 mg/kg", "over": "40 min"})
    names = ("devices", "sprays", "volume", "vials", "used", "wasted", "pump_rate")
    assert [getattr(plain, name) for name in names] == [None] * 7
    mixed = resolved({"dose": "0.5 mg/kg", "over": "40 min"}, product={"concentration": "10 mg/mL"})
    assert mixed.volume == pytest.approx([4.5, 2.5, 5.5])
    assert mixed.pump_rate == pytest.approx([6.75, 3.75, 8.25])
    assert (mixed.vials, mixed.used, mixed.wasted) == (None, None, None)


def test_vials_are_opened_whole() -> None:
    """1 mg/kg from vials of 50 mg: 2, 1 and 3 of them; 10, 0 and 40 mg are thrown away."""
    session = resolved({"dose": "1 mg/kg"}, product={"concentration": "50 mg/mL", "vial": "1 mL"})
    assert session.vials is not None and session.vials.tolist() == [2, 1, 3]
    assert session.used == pytest.approx([100.0, 50.0, 150.0])
    assert session.wasted == pytest.approx([10.0, 0.0, 40.0], abs=1e-12)


def test_the_parts_of_a_session_share_a_vial() -> None:
    """30 and 20 mg from a vial of 50 mg: one."""
    parts = [{"dose": "30 mg"}, {"dose": "20 mg", "over": "10 min"}]
    session = resolved({"parts": parts}, product={"concentration": "50 mg/mL", "vial": "1 mL"})
    assert session.vials is not None and session.vials.tolist() == [1, 1, 1]


def test_rounding_to_vials() -> None:
    """45, 25 and 55 mg to vials of 20 mg: 40, 20 and 60 (a half goes up)."""
    product = {"concentration": "10 mg/mL", "vial": "2 mL"}
    session = resolved({"dose": "0.5 mg/kg"}, product=product, dose_limits={"round_to": "vial"})
    assert session.given.tolist() == [40.0, 20.0, 60.0]
    assert session.wasted == pytest.approx([0.0, 0.0, 0.0], abs=1e-12)
    assert [item.reason for item in session.adjustments] == ["whole vials"]


def test_a_pump_that_is_too_slow_takes_longer() -> None:
    """4.5, 2.5 and 5.5 mL in 3 min are 90, 50 and 110 mL/h; at 100 at most the last takes 3.3 min."""
    head = {"product": {"concentration": "10 mg/mL"}, "pump": {"max_rate": "100 mL/h"}}
    session = resolved({"dose": "0.5 mg/kg", "over": "3 min"}, **head)
    assert session.given.tolist() == [45.0, 25.0, 55.0]
    (dose,) = session.doses
    assert dose.over == pytest.approx([0.05, 0.05, 0.055], rel=1e-14)
    assert session.end == pytest.approx([0.05, 0.05, 0.055], rel=1e-14)
    assert session.pump_rate == pytest.approx([90.0, 50.0, 100.0], rel=1e-14)
    (paced,) = session.adjustments
    assert (paced.reason, paced.kind, paced.unit) == ("pump limit 100 mL/h", "paced", "h")
    assert paced.whom.tolist() == [False, False, True]


def test_the_steps_of_a_pump_change_the_time_and_not_the_dose() -> None:
    """6.75, 3.75 and 8.25 mL/h in steps of 1: 7, 4 and 8, for 4.5 / 7, 2.5 / 4 and 5.5 / 8 h."""
    head = {"product": {"concentration": "10 mg/mL"}, "pump": {"step": "1 mL/h"}}
    session = resolved({"dose": "0.5 mg/kg", "over": "40 min"}, **head)
    assert session.pump_rate == pytest.approx([7.0, 4.0, 8.0], rel=1e-14)
    assert session.end == pytest.approx([4.5 / 7, 0.625, 0.6875], rel=1e-14)
    assert session.given.tolist() == [45.0, 25.0, 55.0]
    assert session.adjusted("pump in steps of 1 mL/h").all()


def test_steps_never_lead_over_the_limit() -> None:
    """At most 6.5 mL/h in steps of 1: 6, 4 and 6 mL/h, although 6.5 would round to 7."""
    head = {"product": {"concentration": "10 mg/mL"}, "pump": {"max_rate": "6.5 mL/h", "step": "1 mL/h"}}
    session = resolved({"dose": "0.5 mg/kg", "over": "40 min"}, **head)
    assert session.pump_rate == pytest.approx([6.0, 4.0, 6.0], rel=1e-14)


def test_what_follows_a_slow_pump_is_later() -> None:
    """A bolus of 20 mg behind an infusion waits for its end, patient by patient."""
    parts = [{"dose": "0.5 mg/kg", "over": "3 min"}, {"pause": "1 min"}, {"dose": "20 mg"}]
    head = {"product": {"concentration": "10 mg/mL"}, "pump": {"max_rate": "100 mL/h"}}
    session = resolved({"parts": parts}, **head)
    assert session.doses[1].begins == pytest.approx([4 / 60, 4 / 60, 4.3 / 60], rel=1e-14)


def test_a_slow_pump_that_runs_into_the_next_session_is_refused() -> None:
    """60 mg at 1 mL/h take 6 h, and the next session is after 5."""
    head = {"product": {"concentration": "10 mg/mL"}, "pump": {"max_rate": "1 mL/h"}}
    phase = {"dose": "60 mg", "over": "1 h", "sessions": {"every": "5 h", "count": 2}}
    net = network.build(pk.load_model("ketamine_clements1981"), Patient(weight="82 kg").population())
    with pytest.raises(pk.InputError, match="session 2 before the end of session 1"):
        schedule.build(protocol(phase, **head), net)


def test_devices_say_what_they_take() -> None:
    """56 mg: two devices, four sprays, 0.4 mL; nothing is wasted."""
    device = {"strength": "28 mg", "volume_per_spray": "0.1 mL", "rest": "5 min"}
    session = resolved({"dose": "56 mg"}, **NASAL, device=device)
    assert session.devices is not None and session.devices.tolist() == [2] * 3
    assert session.sprays is not None and session.sprays.tolist() == [4] * 3
    assert session.volume == pytest.approx([0.4] * 3)
    assert (session.used, session.wasted) == (pytest.approx([56.0] * 3), pytest.approx([0.0] * 3))


def test_rounding_to_devices() -> None:
    """1 mg/kg: 90, 50 and 110 mg, 3, 2 and 4 devices (110 / 28 = 3.93)."""
    session = resolved({"dose": "1 mg/kg"}, **NASAL, device={"strength": "28 mg"}, dose_limits={"round_to": "device"})
    assert session.devices is not None and session.devices.tolist() == [3, 2, 4]
    assert session.adjusted("whole devices").all()


ATOMISER = {
    "concentration": "100 mg/mL",
    "max_per_nostril": "0.3 mL",
    "dead_space": "0.1 mL",
    "spray": "0.1 mL",
    "every": "30 s",
    "absorbed": "0.2 mL",
}


def test_a_dose_becomes_sprays_in_turns() -> None:
    """0.5 mg/kg in sprays of 10 mg: 45, 25 and 55 mg are 5 (a half goes up), 3 and 6 of them, 30 s apart.

    A nostril absorbs two of its sprays, so that of the fifth and sixth all runs down the throat. Dead space: 10 mg.
    """
    session = resolved({"dose": "0.5 mg/kg"}, **NASAL, atomiser=ATOMISER)
    assert session.sprays is not None and session.sprays.tolist() == [5, 3, 6]
    assert session.given.tolist() == [50.0, 30.0, 60.0]
    assert session.adjusted("whole sprays").all()
    assert session.volume == pytest.approx([0.5, 0.3, 0.6])
    assert session.used == pytest.approx([60.0, 40.0, 70.0])
    assert session.wasted == pytest.approx([10.0] * 3)
    assert session.end == pytest.approx([120 / 3600, 60 / 3600, 150 / 3600])
    assert [dose.begins * 3600 for dose in session.doses] == pytest.approx([0, 30, 60, 90, 120, 150])
    assert [dose.kind for dose in session.doses] == ["", "", "", "", "swallowed", "swallowed"]
    assert session.run_off.tolist() == [10.0, 0.0, 20.0]


def test_a_spray_may_run_off_in_part() -> None:
    """Of 0.25 mL that a nostril absorbs, half of its third spray is left."""
    session = resolved({"dose": "60 mg"}, **NASAL, atomiser=ATOMISER | {"absorbed": "0.25 mL"})
    assert session.run_off == pytest.approx([10.0] * 3)
    assert sum(dose.amount[0] for dose in session.doses) == pytest.approx(60.0)


def test_vials_of_an_atomiser_hold_the_dead_space_too() -> None:
    """0.5 mL and 0.1 mL of dead space from vials of 0.5 mL: two, of which 50 of 100 mg are wasted."""
    product = {"concentration": "100 mg/mL", "vial": "0.5 mL"}
    session = resolved({"dose": "50 mg"}, **NASAL, atomiser=ATOMISER, product=product)
    assert session.vials is not None and session.vials.tolist() == [2] * 3
    assert (session.used, session.wasted) == (pytest.approx([100.0] * 3), pytest.approx([50.0] * 3))


def test_sprays_may_be_rounded_down() -> None:
    """45, 25 and 55 mg down to sprays of 10 mg."""
    limits = {"round_to": "spray", "round": "down"}
    assert resolved({"dose": "0.5 mg/kg"}, **NASAL, atomiser=ATOMISER, dose_limits=limits).given.tolist() == [
        40.0,
        20.0,
        50.0,
    ]


def test_what_does_not_fit_into_two_nostrils() -> None:
    """90 mg: at most 60 fit, or 150 mg/mL would do; a cap would hold it to that."""
    with pytest.raises(pk.InputError) as refused:
        resolved({"dose": "1 mg/kg"}, **NASAL, atomiser=ATOMISER)
    (problem,) = refused.value.problems
    assert problem.found == "110 mg in session 1, 11 sprays of 0.1 mL"
    assert "at most 60 mg at 100 mg/mL" in problem.expected
    assert "at least 183.3 mg/mL" in problem.expected
    capped = resolved({"dose": "1 mg/kg"}, **NASAL, atomiser=ATOMISER, dose_limits={"max_single": "60 mg"})
    assert capped.given.tolist() == [60.0, 50.0, 60.0]


WHO = Patient(weight="70 kg", age="40 y")


def deliveries(model: str, spec: ProtocolSpec) -> tuple[GivenSession, list[schedule.Delivery], list[str]]:
    """What a single session brings to a patient, into which compartments."""
    net = network.build(pk.load_model(model), WHO.population())
    sessions, found = schedule.given(spec, net)
    return sessions[0], found, [net.model.compartments[each.compartment] for each in found]


def test_run_off_is_swallowed_where_the_model_has_a_path() -> None:
    """60 mg: 40 by the nose (31.25 and 13.75 %), 20 swallowed, of which 20 % arrive: 12.5 + 5.5 + 4 mg.

    through_nose = (0.45 - 0.2) / 0.8 = 0.3125, through_gut = 0.45 - 0.3125 = 0.1375, F_swallowed = 0.2.
    """
    session, found, into = deliveries("ketamine_intranasal", protocol({"dose": "60 mg"}, **NASAL, atomiser=ATOMISER))
    arrived = dict.fromkeys(into, 0.0)
    for each, name in zip(found, into, strict=True):
        assert each.fraction is not None
        arrived[name] += float((each.amount * each.fraction)[0])
    assert arrived == {"nasal": pytest.approx(12.5), "swallowed": pytest.approx(5.5 + 4.0)}
    assert session.wasted == pytest.approx([10.0])
    assert into.count("swallowed") == 6  # four with what is absorbed, two alone


def test_run_off_is_lost_where_the_model_has_no_path() -> None:
    """It is wasted, and that is said."""
    spec = protocol({"dose": "60 mg"}, **NASAL, atomiser=ATOMISER)
    model = pk.load_model("ketamine_intranasal")
    nose, gut = model.routes["intranasal"].paths
    route = model.routes["intranasal"].model_copy(update={"paths": [nose, gut.model_copy(update={"swallowed": None})]})
    without = model.model_copy(update={"routes": {**model.routes, "intranasal": route}})
    net = network.build(without, WHO.population())
    sessions, found = schedule.given(spec, net)
    assert sessions[0].wasted == pytest.approx([30.0])
    assert sum(float(each.amount[0]) for each in found) == pytest.approx(2 * 40.0)
    said = pk.simulate(spec, without, WHO).warnings
    assert any("runs down the throat and is lost" in sentence for sentence in said)
    assert not any("runs down the throat" in sentence for sentence in pk.simulate(spec, model, WHO).warnings)


def test_marking_a_path_changes_no_level() -> None:
    """A device or a plain spray goes down every path as it did, whatever is marked."""
    spec = protocol({"dose": "50 mg"}, **NASAL)
    model = pk.load_model("ketamine_intranasal")
    nose, gut = model.routes["intranasal"].paths
    route = model.routes["intranasal"].model_copy(update={"paths": [nose, gut.model_copy(update={"swallowed": None})]})
    without = model.model_copy(update={"routes": {**model.routes, "intranasal": route}})
    assert (pk.simulate(spec, model, WHO).amounts == pk.simulate(spec, without, WHO).amounts).all()


DEVICE = {"strength": "28 mg", "rest": "5 min", "delivered": {"cv": "10 %"}}


def test_what_a_spray_delivers_has_a_stream_of_its_own() -> None:
    """The mean of two log-normal sprays, written out; no seed, no draw; the label stays what is given."""
    spec = protocol({"dose": "56 mg"}, drug="esketamine", route="intranasal", device=DEVICE)
    planned = spec.plan()[0]
    plain = dosing.resolve(planned, VALUES, 3)
    assert [dose.amount.tolist() for dose in plain.doses] == [[28.0] * 3] * 2
    drawn = dosing.resolve(planned, VALUES, 3, seed=11, first=5)
    sigma = np.sqrt(np.log1p(0.01))
    for number, dose in enumerate(drawn.doses, 1):
        factors = [
            np.exp(sigma * normals(11, f"delivered/1/{number}/{spray}", 5, 3) - sigma**2 / 2) for spray in (1, 2)
        ]
        assert dose.amount == pytest.approx(14.0 * (factors[0] + factors[1]), rel=1e-14)
    assert drawn.given.tolist() == [56.0] * 3


@pytest.mark.parametrize("nasal", [{"device": DEVICE}, {"atomiser": ATOMISER | {"delivered": {"cv": "10 %"}}}])
def test_deliveries_have_the_mean_and_spread_that_they_should(nasal: dict[str, Any]) -> None:
    """Over 20,000 patients; bounds of five standard errors. A device of two sprays has a CV of 10 % / sqrt 2."""
    spec = protocol({"dose": "28 mg" if "device" in nasal else "10 mg"}, **NASAL, **nasal)
    size = 20_000
    found = dosing.resolve(spec.plan()[0], {}, size, seed=3).doses[0].amount
    label, sprays = (28.0, 2) if "device" in nasal else (10.0, 1)
    cv = 0.1 / np.sqrt(sprays)
    assert abs(found.mean() / label - 1.0) < 5 * cv / np.sqrt(size)
    assert abs(found.std() / label / cv - 1.0) < 5 / np.sqrt(2 * size) * 1.1


def test_deliveries_are_the_patients_own_whatever_the_chunk() -> None:
    """A scenario in chunks of 50 and of 7 patients: the same metrics, to the bit; and they do vary."""
    head = {"title": "T", "drug": "esketamine", "route": "intranasal", "device": DEVICE}
    course = {**head, "phases": [{"name": "one", "dose": "56 mg", "sessions": {"days": [1, 4]}}]}
    tree = {
        "title": "T",
        "arms": {"one": {"protocol": course}},
        "model": "esketamine_perezruixo2021",
        "population": "adults_trials",
        "n": 50,
        "seed": 5,
        "variability": {"between_subject": False},
        "observe": {"every": "1 h", "for": "4 h after each session start"},
        "rules": [
            {
                "id": "a",
                "metric": "auc",
                "output": "parent",
                "window": "each session",
                "at_most": "1 g*h/L",
                "in": "5 %",
            }
        ],
    }

    def values(tree: dict[str, Any], chunk: int) -> np.ndarray[Any, Any]:
        parts: list[Any] = []
        study.run(load_scenario(tree), chunk=chunk, sink=lambda part: parts.append(part.cases[0].metrics[0].values))
        return np.concatenate(parts)

    once = values(tree, 50)
    assert (once == values(tree, 7)).all()
    steady = {**course, "device": {"strength": "28 mg", "rest": "5 min"}}
    ratio = once / values({**tree, "arms": {"one": {"protocol": steady}}}, 50)
    assert 0.02 < ratio.std() < 0.1


def test_a_single_patient_is_told_that_nothing_was_drawn() -> None:
    """Of one patient the typical delivery is shown; a population has its own, by the seed."""
    spec = protocol({"dose": "56 mg"}, drug="esketamine", route="intranasal", device=DEVICE)
    alone = pk.simulate(spec, "esketamine_perezruixo2021", WHO)
    assert any("10 %, which was not drawn" in sentence for sentence in alone.warnings)
    covariates = WHO.population().covariates
    people = Population(0, 4, {name: np.repeat(values, 4) for name, values in covariates.items()})
    several = pk.simulate(spec, "esketamine_perezruixo2021", people, seed=2)
    assert not any("not drawn" in sentence for sentence in several.warnings)
    peaks = several.level().max(axis=1)
    assert np.unique(peaks).size == 4
    assert abs(peaks / alone.level().max() - 1.0).max() < 0.5


@pytest.mark.parametrize(
    ("model", "head"),
    [
        ("esketamine_perezruixo2021", {"drug": "esketamine", "device": {"strength": "28 mg", "rest": "5 min"}}),
        ("ketamine_intranasal", {"atomiser": ATOMISER}),
    ],
)
def test_devices_of_others_change_no_bit(model: str, head: dict[str, Any]) -> None:
    """A patient who gets two devices has the same levels beside one who gets four; what passes by ends no step."""
    limits = {"max_single": "56 mg" if "atomiser" in head else "112 mg"}
    limits |= {"round_to": "device"} if "device" in head else {}
    phase = {"dose": "0.8 mg/kg", "sessions": {"days": [1, 3]}}
    spec = protocol(phase, **{**NASAL, **head}, dose_limits=limits)
    weights = [40.0, 60.0, 95.0, 140.0, 30.0, 66.0, 71.0, 88.0, 54.0]
    size = len(weights)
    known = {"ancestry": np.zeros(size), "cyp2b6_activity": np.ones(size), "hepatic_impairment": np.zeros(size)}
    people = {**known, "weight": np.array(weights), "age": np.full(size, 40.0)}

    def figures(which: slice) -> np.ndarray[Any, Any]:
        chosen = {name: values[which] for name, values in people.items()}
        found = pk.simulate(spec, model, Population(0, len(chosen["weight"]), chosen))
        table = found.sessions()
        first = table[table["output"] == found.model.parent]
        return first[["peak", "auc", "trough"]].to_numpy().reshape(2, -1, 3)

    whole = figures(slice(None))
    assert np.unique(whole[0, :, 0]).size >= 4
    for which in (slice(0, 2), slice(2, 5), slice(4, 9)):
        assert (figures(which) == whole[:, which]).all()
