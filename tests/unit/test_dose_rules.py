"""The dose of a session: dosing weight (basis, then cap), dose, caps, rounding, devices, in this order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pkmodel as pk
from pkmodel import network, schedule
from pkmodel.population import Population
from pkmodel.schedule import Schedule

# Women of 165 cm and 90 kg, and of 165 cm and 50 kg, and a man of 180 cm and 110 kg, worked out by hand:
#   ideal     45.5 (50) + 2.3 (height / 2.54 - 60)                          Devine 1974
#   adjusted  ideal + 0.4 (actual - ideal)                                   Bauer 1983
#   lean      9270 actual / (8780 + 244 BMI)  (6680 + 216 BMI)               Janmahasatian 2005
HEIGHT, WEIGHT, FEMALE = [165.0, 165.0, 180.0], [90.0, 50.0, 110.0], [1.0, 1.0, 0.0]
BY_HAND = {
    "actual": [90.0, 50.0, 110.0],
    "ideal": [56.9094488188976, 56.9094488188976, 74.9921259842520],
    "adjusted": [70.1456692913386, 54.1456692913386, 88.9952755905511],
    "lean": [49.5247696700321, 34.9516529537954, 72.7664129400571],
    "fat_free": [49.5247696700321, 34.9516529537954, 72.7664129400571],
}


def people(**covariates: list[float]) -> Population:
    """Patients with these covariates."""
    arrays = {name: np.array(values) for name, values in covariates.items()}
    size = len(next(iter(arrays.values())))
    rest = {"ancestry": np.zeros(size), "cyp2b6_activity": np.ones(size), "hepatic_impairment": np.zeros(size)}
    return Population(0, size, {**rest, **arrays})


THREE = people(height=HEIGHT, weight=WEIGHT, female=FEMALE, age=[40.0, 40.0, 40.0])


def given(who: Population = THREE, model: str = "ketamine_clements1981", **protocol: Any) -> Schedule:
    """The schedule of a single session (or of what ``protocol`` says)."""
    dose = protocol.pop("dose", "0.5 mg/kg")
    head: dict[str, Any] = {"title": "T", "drug": "ketamine", "route": "iv"}
    head["phases"] = [{"name": "one", "dose": dose, "sessions": {"days": [1]}}]
    return schedule.build(pk.load_protocol(head | protocol), network.build(pk.load_model(model), who))


@pytest.mark.parametrize("basis", sorted(BY_HAND))
def test_weight_basis(basis: str) -> None:
    """Each body-size descriptor against the value worked out by hand, to its 15 digits."""
    (session,) = given(weight={"basis": basis}).sessions
    assert session.dosing_weight == pytest.approx(BY_HAND[basis], rel=1e-14)
    assert session.given == pytest.approx(0.5 * np.array(BY_HAND[basis]), rel=1e-14)


def test_cap_comes_after_basis() -> None:
    """The cap holds the dosing weight, not the actual one: 90 kg stay uncapped on an ideal weight of 56.9 kg."""
    (session,) = given(weight={"basis": "ideal", "cap": "70 kg"}).sessions
    assert session.dosing_weight == pytest.approx([56.9094488188976, 56.9094488188976, 70.0], rel=1e-14)


def test_bands_of_body_mass_index() -> None:
    """BMI 33.06, 18.37 and 33.95: the band that fits goes before, its lower end inside and its upper end outside."""
    bands = [{"bmi": ["33.5 kg/m2", None], "basis": "adjusted"}, {"bmi": ["30 kg/m2", "33.5 kg/m2"], "basis": "ideal"}]
    (session,) = given(weight={"basis": "actual", "when": bands}).sessions
    assert session.dosing_weight == pytest.approx([56.9094488188976, 50.0, 88.9952755905511], rel=1e-14)
    edge = people(height=[200.0, 200.0], weight=[120.0, 119.999], female=[0.0, 0.0], age=[40.0, 40.0])
    rule = {"basis": "actual", "when": [{"bmi": ["30 kg/m2", None], "basis": "ideal", "cap": "60 kg"}]}
    assert given(edge, weight=rule).sessions[0].dosing_weight == pytest.approx([60.0, 119.999], rel=1e-14)


def test_first_band_that_fits_wins() -> None:
    """Of two bands that overlap the first one counts."""
    bands = [{"bmi": ["30 kg/m2", None], "basis": "ideal"}, {"bmi": ["18 kg/m2", None], "basis": "lean"}]
    (session,) = given(weight={"basis": "actual", "when": bands}).sessions
    expected = [BY_HAND["ideal"][0], BY_HAND["lean"][1], BY_HAND["ideal"][2]]
    assert session.dosing_weight == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({}, [45.0, 25.0, 55.0]),
        ({"max_single": "50 mg"}, [45.0, 25.0, 50.0]),
        ({"max_per_kg": "0.4 mg/kg"}, [36.0, 20.0, 44.0]),
        ({"max_per_kg": "0.4 mg/kg", "max_single": "40 mg"}, [36.0, 20.0, 40.0]),
        ({"round_to": "10 mg", "round": "down"}, [40.0, 20.0, 50.0]),
        ({"round_to": "10 mg", "round": "up"}, [50.0, 30.0, 60.0]),
        ({"round_to": "10 mg", "round": "nearest"}, [50.0, 30.0, 60.0]),
        ({"round_to": "10 mg", "round": "up", "max_single": "52 mg"}, [50.0, 30.0, 50.0]),
        ({"round_to": "10 mg", "round": "nearest", "max_single": "46 mg"}, [40.0, 30.0, 40.0]),
        ({"round_to": "5 mg", "round": "up"}, [45.0, 25.0, 55.0]),
        ({"round_to": "5 mg", "round": "down"}, [45.0, 25.0, 55.0]),
    ],
)
def test_caps_then_rounding(limits: dict[str, str], expected: list[float]) -> None:
    """Doses of 45, 25 and 55 mg: caps first, then rounding, which never leads over a cap."""
    (session,) = given(dose_limits=limits).sessions
    assert session.given == pytest.approx(expected, rel=1e-14)


def test_max_per_kg_is_per_actual_weight_and_also_holds_a_fixed_dose() -> None:
    """100 mg to people of 90, 50 and 110 kg with at most 1 mg/kg."""
    (session,) = given(dose="100 mg", dose_limits={"max_per_kg": "1 mg/kg"}).sessions
    assert session.given == pytest.approx([90.0, 50.0, 100.0], rel=1e-14)
    assert session.adjusted("capped").tolist() == [True, True, False]
    assert session.dosing_weight is None


def test_rounding_up_never_leads_over_max_per_kg() -> None:
    """A cap per kilogram is a cap: 44 mg at 110 kg may not become 50 mg by rounding up."""
    (session,) = given(dose_limits={"max_per_kg": "0.4 mg/kg", "round_to": "10 mg", "round": "up"}).sessions
    assert (session.given <= 0.4 * np.array(WEIGHT) * (1 + 1e-12)).all()


@pytest.mark.parametrize("how", ["down", "up", "nearest"])
@pytest.mark.parametrize("weight", [70.00000000000001, 69.99999999999999, 70.0])
def test_whole_steps_survive_the_last_bit(how: str, weight: float) -> None:
    """0.5 mg/kg x 70 kg is 35 mg, also when the product is 35.000000000000004 or 34.99999999999999."""
    who = people(height=[170.0], weight=[weight], female=[1.0], age=[40.0])
    (session,) = given(who, dose_limits={"round_to": "1 mg", "round": how}).sessions
    assert session.given.tolist() == [35.0]
    assert not session.adjusted("rounded").any()


@pytest.mark.parametrize("how", ["down", "up", "nearest"])
def test_steps_that_are_no_binary_fraction(how: str) -> None:
    """Every multiple of 0.1 mg is a multiple of 0.1 mg, whichever way it is rounded."""
    weights = [10.0 * step for step in range(1, 40)]
    size = len(weights)
    who = people(height=[170.0] * size, weight=weights, female=[1.0] * size, age=[40.0] * size)
    (session,) = given(who, dose="0.01 mg/kg", dose_limits={"round_to": "0.1 mg", "round": how}).sessions
    assert session.given == pytest.approx([0.1 * step for step in range(1, 40)], rel=1e-12)


def test_flags_say_what_was_done() -> None:
    """Capped and rounded are told apart, patient by patient."""
    (session,) = given(dose_limits={"max_single": "50 mg", "round_to": "2 mg", "round": "down"}).sessions
    assert session.asked == pytest.approx([45.0, 25.0, 55.0])
    assert session.given == pytest.approx([44.0, 24.0, 50.0])
    assert session.adjusted("capped").tolist() == [False, False, True]
    assert session.adjusted("rounded").tolist() == [True, True, False]


def test_whole_order() -> None:
    """Basis -> cap -> dose -> caps -> rounding, with a number at each step that another order would change.

    Man of 110 kg: adjusted 88.995 kg, capped to 85 kg, times 0.7 = 59.5 mg, at most 0.53 mg/kg x 110 = 58.3 mg, at
    most 57 mg, down to steps of 5: 55 mg. Woman of 90 kg: 70.146 kg x 0.7 = 49.102 mg, at most 47.7 mg: 45 mg.
    """
    limits = {"max_single": "57 mg", "max_per_kg": "0.53 mg/kg", "round_to": "5 mg", "round": "down"}
    (session,) = given(dose="0.7 mg/kg", weight={"basis": "adjusted", "cap": "85 kg"}, dose_limits=limits).sessions
    assert session.dosing_weight == pytest.approx([70.1456692913386, 54.1456692913386, 85.0], rel=1e-14)
    assert session.asked == pytest.approx([49.1019685039370, 37.9019685039370, 59.5], rel=1e-14)
    assert session.given == pytest.approx([45.0, 25.0, 55.0], rel=1e-14)  # 50 kg: at most 26.5 mg


def test_hydrochloride_is_dosed_as_its_base() -> None:
    """0.867 of the milligrams of the hydrochloride reach the compartment; ``given`` stays what is drawn up."""
    plain, salt = given(), given(**{"as": "hydrochloride"})
    assert salt.events.value == pytest.approx(0.867 * plain.events.value, rel=1e-14)
    assert salt.doses == pytest.approx(plain.doses, rel=1e-14)


def test_zero_after_rounding_is_refused() -> None:
    """A course whose rounding leaves a patient without any drug is a mistake, not a treatment."""
    with pytest.raises(pk.InputError):
        given(dose_limits={"round_to": "100 mg", "round": "down"})


DEVICE = {"drug": "esketamine", "route": "intranasal", "device": {"strength": "28 mg", "rest": "5 min"}}


def test_devices_are_whole_and_spaced() -> None:
    """1 mg/kg down to whole devices of 28 mg: 3, 1 and 3 of them, 5 min apart; the session ends with the last one."""
    limits = {"round_to": "28 mg", "round": "down"}
    plan = given(model="esketamine_perezruixo2021", dose="1 mg/kg", dose_limits=limits, **DEVICE)
    (session,) = plan.sessions
    assert session.devices is not None
    assert session.devices.tolist() == [3, 1, 3]
    assert session.given.tolist() == [84.0, 28.0, 84.0]
    assert plan.ends[0] == pytest.approx([10 / 60, 0.0, 10 / 60], abs=1e-15)
    nasal = pk.load_model("esketamine_perezruixo2021").compartments.index("nasal")
    jumps = plan.events.value[(plan.events.kind == 0) & (plan.events.target == nasal)]
    assert jumps.shape == (3, 3)
    assert (jumps[:, 1] > 0).tolist() == [True, False, False]


def test_session_of_a_pump_ends_with_the_pump() -> None:
    """An infusion of 40 min from day 1 on."""
    plan = given(over="40 min")
    assert plan.starts.tolist() == [[0.0]]
    assert plan.ends.tolist() == [[2 / 3] * 3]


@pytest.mark.parametrize(
    ("who", "weight", "missing"),
    [
        (people(weight=[70.0]), {"basis": "ideal"}, "height"),
        (people(weight=[70.0], height=[170.0]), {"basis": "lean"}, "sex"),
        (people(height=[60.0], weight=[70.0], female=[1.0]), {"basis": "ideal"}, "an ideal weight"),
    ],
)
def test_what_the_dose_needs(who: Population, weight: dict[str, str], missing: str) -> None:
    """A covariate that is not known, or a height without an ideal weight, is named."""
    with pytest.raises(pk.InputError, match=missing):
        given(who, weight=weight)


def test_route_and_device_that_the_model_lacks() -> None:
    """A route that a model does not have, no device where it counts them, and devices of another strength."""
    with pytest.raises(pk.InputError, match=r"found intranasal  expected a route of esketamine_otto2021: one of iv"):
        given(model="esketamine_otto2021", dose="56 mg", **DEVICE)
    with pytest.raises(pk.InputError, match="no device"):
        given(model="esketamine_perezruixo2021", dose="56 mg", drug="esketamine", route="intranasal")
    with pytest.raises(pk.InputError, match="devices of 14 mg"):
        device = {"strength": "14 mg"}
        given(model="esketamine_perezruixo2021", dose="56 mg", drug="esketamine", route="intranasal", device=device)
