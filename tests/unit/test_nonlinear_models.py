"""Models that are not linear, from the file to the tape, held against the same equations written by hand."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pkmodel as pk
from pkmodel import engine, network, population, treatment
from pkmodel.engine import Numerics
from pkmodel.errors import InputError
from pkmodel.network import Network
from pkmodel.population import Patient, Population
from pkmodel.specs.loading import library
from pkmodel.specs.model import ModelSpec
from pkmodel.tape import evaluate

W3 = Path(__file__).parents[1] / "reference" / "saturable_nasal.yaml"
ROUNDING = 1e-14


def _model(**changes: Any) -> ModelSpec:
    """One compartment with an output, and what a test adds to it."""
    tree: dict[str, Any] = {
        "id": "small",
        "title": "Small",
        "drug": "esketamine",
        "source": "nobody",
        "evidence": "unsourced",
        "sampling": "venous",
        "population": {"description": "nobody"},
        "parameters": {
            "CL": {"value": "60 L/h", "from": "here", "scale": {"weight": 0.75, "reference": "70 kg"}},
            "V": {"value": "100 L", "from": "here"},
            "VN": {"value": "40 L", "from": "here"},
            "VMAX": {"value": "9 mg/h", "from": "here"},
            "KM": {"value": "150 ng/mL", "from": "here"},
            "KI": {"value": "80 ng/mL", "from": "here"},
            "C50": {"value": "121 ng/mL", "from": "here"},
            "HILL": {"value": 5.33, "from": "here"},
            "KE0": {"value": "3 1/h", "from": "here"},
            "B": {"value": "93 mmHg", "from": "here"},
            "KOUT": {"value": "1.5 1/h", "from": "here"},
            "CO0": {"value": "6.8 L/min", "from": "here"},
        },
        "compartments": ["central", "norket"],
        "flows": [
            {"from": "central", "to": "norket", "rate": "CL / V"},
            {"from": "norket", "to": "outside", "rate": "0.5 * CL / VN"},
        ],
        "routes": {"iv": [{"into": "central"}]},
        "outputs": {
            "esketamine": {"amount": "central", "volume": "V", "unit": "ng/mL"},
            "noresketamine": {"amount": "norket", "volume": "VN", "unit": "ug/L"},
        },
    }
    changes = copy.deepcopy(changes)
    tree["parameters"] |= changes.pop("parameters", {})
    return pk.load_model(tree | changes)


def _network(model: ModelSpec, weights: tuple[float, ...] = (50.0, 70.0, 120.0)) -> Network:
    n = len(weights)
    known = {"weight": np.array(weights), "age": np.full(n, 40.0), "ancestry": np.zeros(n), "female": np.zeros(n)}
    known |= {"cyp2b6_activity": np.ones(n), "hepatic_impairment": np.zeros(n)}
    return network.build(model, Population(0, n, known))


def _slopes(net: Network, states: np.ndarray, time: Any = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """d(states)/dt (n, s) and its Jacobian (n, s, s), from the rates and the tape; ``states`` is (n, s)."""
    slopes, jacobian = np.einsum("pij,pj->pi", net.rates, states), net.rates.copy()
    if net.dynamics is not None:
        tape = net.dynamics.tape
        values, partials, _ = evaluate(tape, net.dynamics.parameters, states.T, time)
        for value, source, target in zip(values, tape.flow_from, tape.flow_to, strict=True):
            if source >= 0:
                slopes[:, source] -= value
            if target >= 0:
                slopes[:, target] += value
        for flow, state, value in zip(tape.partial_flow, tape.partial_state, partials, strict=True):
            if tape.flow_from[flow] >= 0:
                jacobian[:, tape.flow_from[flow], state] -= value
            if tape.flow_to[flow] >= 0:
                jacobian[:, tape.flow_to[flow], state] += value
    return slopes, jacobian


def _states(net: Network, seed: int = 5) -> np.ndarray:
    """Amounts and levels as they occur in a run, over several decades."""
    rng = np.random.default_rng(seed)
    return 10.0 ** rng.uniform(-4, 2, (net.size, len(net.states)))


# The benchmark: Michaelis-Menten, an effect site and a turnover


def _w3(n: int = 7) -> tuple[Network, dict[str, np.ndarray]]:
    """The network of patients who differ in every parameter, and those parameters."""
    tree = pk.load_model(W3)
    rng = np.random.default_rng(20261125)
    spread = {name: {"omega2": 0.04} for name in tree.parameters if name not in ("FN", "FG", "FM")}
    tree = tree.model_copy(update={"variability": type(tree.variability)(between_subject=spread)})
    etas = {name: 0.2 * rng.standard_normal(n) for name in spread}
    people = Population(0, n, {"weight": np.full(n, 70.0), "ancestry": np.zeros(n), "female": np.zeros(n)}, etas)
    net = network.build(tree, people)
    return net, {name: net.values[name] for name in tree.parameters}


def test_the_benchmark_as_written_by_hand() -> None:
    """dy/dt of limit_w3.c, in its order of states."""
    net, p = _w3()
    y = _states(net)
    nasal, gut, central, one, two, metabolite, far, site, pressure = y.T
    cp = central / p["V1"]
    eliminated = p["VMAX"] * cp / (p["KM"] + cp)
    expected = np.stack(
        [
            -p["KA1"] * nasal,
            -p["KA2"] * gut,
            p["KA1"] * nasal + p["FG"] * p["KA2"] * gut - eliminated - (p["Q2"] + p["Q3"]) * cp
            + p["Q2"] / p["V2"] * one + p["Q3"] / p["V3"] * two,
            p["Q2"] * cp - p["Q2"] / p["V2"] * one,
            p["Q3"] * cp - p["Q3"] / p["V3"] * two,
            (1 - p["FG"]) * p["KA2"] * gut + p["FM"] * eliminated - (p["CLM"] + p["QM"]) / p["VM1"] * metabolite
            + p["QM"] / p["VM2"] * far,
            p["QM"] / p["VM1"] * metabolite - p["QM"] / p["VM2"] * far,
            p["KE0"] * (cp - site),
            p["KOUT"] * p["BP0"] * (1 + p["EMAX"] * site / (p["EC50"] + site)) - p["KOUT"] * pressure,
        ],
        axis=1,
    )  # fmt: skip
    found, jacobian = _slopes(net, y)
    # A rate of change is a sum of terms that may cancel: the error counts against the largest of them.
    size = np.einsum("pij,pj->pi", np.abs(net.rates), y)
    size[:, 8] += p["KOUT"] * p["BP0"]
    assert (np.abs(found - expected) <= ROUNDING * (size + np.abs(expected))).all()

    central_slope = p["VMAX"] * p["KM"] * p["V1"] / (p["KM"] * p["V1"] + central) ** 2
    exact = net.rates.copy()
    exact[:, 2, 2] -= central_slope
    exact[:, 5, 2] += p["FM"] * central_slope
    exact[:, 8, 7] += p["KOUT"] * p["BP0"] * p["EMAX"] * p["EC50"] / (p["EC50"] + site) ** 2
    np.testing.assert_allclose(jacobian, exact, rtol=ROUNDING)
    np.testing.assert_array_equal(net.initial, np.stack([*np.zeros((8, 7)), p["BP0"]], axis=1))


def test_the_benchmark_is_cheap() -> None:
    """Two flows of one saturable elimination and a turnover: 10 operations, and 5 more for all derivatives."""
    net, _ = _w3()
    assert net.dynamics is not None
    tape = net.dynamics.tape
    assert (tape.n_value, tape.op.size) == (10, 15)
    assert tape.n_registers == 9 + 9 + 1 + 15
    assert tape.flow_from.tolist() == [2, 2, -1]
    assert tape.flow_to.tolist() == [5, -1, 8]
    assert list(zip(tape.partial_flow, tape.partial_state, strict=True)) == [(0, 2), (1, 2), (2, 7)]
    assert tape.time_flow.size == 0


def test_states_and_their_order() -> None:
    """Compartments in the order of the file, then for each effect its sites and its turnover."""
    model = pk.load_model(W3)
    assert model.states == (*model.compartments, "blood_pressure.site", "blood_pressure")
    assert not model.linear
    several = _model(
        effects={
            "z": {"on": "esketamine", "effect_site": {"ke0": "KE0"}, "unit": "ng/mL"},
            "output": {
                "on": {"s": "esketamine", "n": "noresketamine"},
                "effect_site": {"n": {"half_life": "29.3 min"}, "s": {"half_life": "2.28 min"}},
                "effect": "CO0 * (1 + s / C50 - n / C50)",
                "unit": "L/min",
            },
        }
    )
    assert several.states == ("central", "norket", "z.site", "output.site.n", "output.site.s")
    assert several.linear
    net = _network(several)
    assert net.dynamics is None
    assert net.states == several.states
    assert net.rates.shape == (3, 5, 5)
    assert net.initial.shape == (3, 5)


def test_a_steady_turnover_stays_to_the_last_bit() -> None:
    """Without drug nothing moves: production and loss at the baseline are the same product."""
    net, _ = _w3()
    found, _ = _slopes(net, net.initial)
    np.testing.assert_array_equal(found, 0.0)


# The parts of the syntax, one at a time


@pytest.mark.parametrize("term", ["production", "loss"])
@pytest.mark.parametrize("word", ["stimulate", "inhibit"])
@pytest.mark.parametrize("hill", [None, 1, 2, 2.7, "HILL"])
def test_the_four_turnovers(term: str, word: str, hill: object) -> None:
    """kout baseline (1 +- E) - kout R, or kout baseline - kout (1 +- E) R, on the level in plasma."""
    influence = {"emax": 0.6, "c50": "C50"} | ({} if hill is None else {"hill": hill})
    turnover = {"baseline": "B", "kout": "KOUT", term: {word: influence}}
    net = _network(_model(effects={"pressure": {"on": "esketamine", "turnover": turnover, "unit": "mmHg"}}))
    assert net.states == ("central", "norket", "pressure")
    y = _states(net)
    y[0, 0] = 0.0  # the first patient has no drug
    exponent = {None: 1.0, "HILL": 5.33}.get(hill, hill)  # type: ignore[call-overload]
    level = y[:, 0] / 100.0
    share = 0.6 * level**exponent / (0.121**exponent + level**exponent)
    change = 1 + share if word == "stimulate" else 1 - share
    gain = 1.5 * 93.0 * (change if term == "production" else 1.0)
    lost = 1.5 * y[:, 2] * (change if term == "loss" else 1.0)
    found, jacobian = _slopes(net, y)
    np.testing.assert_allclose(found[:, 2], gain - lost, rtol=0, atol=ROUNDING * 300)
    np.testing.assert_allclose(jacobian[:, 2, 2], -lost / y[:, 2], rtol=ROUNDING)
    np.testing.assert_array_equal(net.initial, [[0.0, 0.0, 93.0]] * 3)
    np.testing.assert_array_equal(_slopes(net, net.initial)[0][:, 2], 0.0)


def test_saturable_beside_first_order() -> None:
    """One pair may have both; the volume may be written out, and units are as the file writes them."""
    flows = [
        {"from": "central", "to": "norket", "rate": "CL / V"},
        {"from": "central", "to": "norket", "michaelis_menten": {"vmax": "150 ug/min", "km": "KM", "volume": "2 * V"}},
        {"from": "norket", "to": "outside", "michaelis_menten": {"vmax": "VMAX", "km": "20 ng/mL"}},
    ]
    net = _network(_model(flows=flows))
    y = _states(net)
    clearance = 60.0 * (np.array([50.0, 70.0, 120.0]) / 70.0) ** 0.75
    level = y[:, 0] / 200.0
    formed = clearance / 100.0 * y[:, 0] + 9.0 * level / (0.15 + level)
    lost = 9.0 * (y[:, 1] / 40.0) / (0.02 + y[:, 1] / 40.0)
    found, _ = _slopes(net, y)
    np.testing.assert_allclose(found[:, 0], -formed, rtol=ROUNDING)
    np.testing.assert_allclose(found[:, 1], formed - lost, rtol=0, atol=ROUNDING * (formed + lost).max())


def test_a_level_may_act_on_a_rate() -> None:
    """Competitive inhibition by the metabolite, in a saturable flow and in a rate; levels are in mg/L."""
    flows = [
        {
            "from": "central",
            "to": "norket",
            "michaelis_menten": {"vmax": "VMAX", "km": "KM * (1 + noresketamine / KI)"},
        },
        {"from": "norket", "to": "outside", "rate": "CL / VN / (1 + esketamine / KI)"},
    ]
    model = _model(flows=flows)
    assert not model.linear
    net = _network(model)
    y = _states(net)
    clearance = 60.0 * (np.array([50.0, 70.0, 120.0]) / 70.0) ** 0.75
    drug, metabolite = y[:, 0] / 100.0, y[:, 1] / 40.0
    formed = 9.0 * drug / (0.15 * (1 + metabolite / 0.08) + drug)
    lost = clearance / 40.0 / (1 + drug / 0.08) * y[:, 1]
    found, jacobian = _slopes(net, y)
    np.testing.assert_allclose(found[:, 0], -formed, rtol=ROUNDING)
    np.testing.assert_allclose(found[:, 1], formed - lost, rtol=0, atol=ROUNDING * (formed + lost).max())
    for state in (0, 1):
        step = 1e-6 * y[:, state]
        moved = [y.copy(), y.copy()]
        moved[0][:, state] += step
        moved[1][:, state] -= step
        slope = (_slopes(net, moved[0])[0] - _slopes(net, moved[1])[0]) / (2 * step)[:, None]
        np.testing.assert_allclose(jacobian[:, :, state], slope, rtol=1e-6, atol=1e-8)


def test_the_factor_of_an_output_counts_wherever_its_level_acts() -> None:
    """What an effect and a rate see is the level that is shown, with the factor of the output (equivalents to mass)."""
    outputs = {
        "esketamine": {"amount": "central", "volume": "V", "unit": "ng/mL"},
        "noresketamine": {"amount": "norket", "volume": "VN", "unit": "ug/L", "factor": 0.94},
    }
    flows = [
        {"from": "central", "to": "norket", "rate": "CL / V / (1 + noresketamine / KI)"},
        {"from": "norket", "to": "outside", "rate": "0.5 * CL / VN"},
    ]
    effects = {
        "direct": {"on": "noresketamine", "emax": {"e0": 0, "emax": 1, "c50": "C50"}},
        "site": {"on": "noresketamine", "effect_site": {"ke0": "KE0"}},
    }
    net = _network(_model(outputs=outputs, flows=flows, effects=effects))
    y = _states(net)
    level = 0.94 * y[:, 1] / 40.0
    np.testing.assert_allclose(net.output_scale[1] * y[:, 1], 1000 * level, rtol=ROUNDING)
    np.testing.assert_allclose(net.effects["direct"].of(y[:, None, :])[:, 0], level / (0.121 + level), rtol=ROUNDING)
    found, _ = _slopes(net, y)
    clearance = 60.0 * (np.array([50.0, 70.0, 120.0]) / 70.0) ** 0.75
    np.testing.assert_allclose(found[:, 0], -clearance / 100.0 / (1 + level / 0.08) * y[:, 0], rtol=ROUNDING)
    np.testing.assert_allclose(
        found[:, 2], 3.0 * (level - y[:, 2]), rtol=0, atol=ROUNDING * 3 * (level + y[:, 2]).max()
    )


@pytest.mark.parametrize(
    ("link", "driver"),
    [
        ({"sigmoid": {"e0": "CO0", "emax": "3 L/min", "c50": "C50", "hill": "HILL"}}, "site"),
        ({"emax": {"e0": "6.8 L/min", "emax": "-3 L/min", "c50": "121 ng/mL"}}, "plasma"),
        ({}, "level"),
    ],
)
def test_an_effect_may_feed_back(link: dict[str, Any], driver: str) -> None:
    """Clearance in proportion to the cardiac output, or hindered by a level at an effect site."""
    effect: dict[str, Any] = {"on": "parent", **link}
    rate = "CL / VN * output / CO0"
    if driver != "plasma":
        effect["effect_site"] = {"half_life": "2.28 min"}
    if driver == "level":
        rate = "CL / VN / (1 + output / KI)"
    else:
        effect["unit"] = "L/min"
    flows = [
        {"from": "central", "to": "norket", "rate": "CL / V"},
        {"from": "norket", "to": "outside", "rate": rate},
    ]
    net = _network(_model(flows=flows, effects={"output": effect}))
    y = _states(net)
    clearance = 60.0 * (np.array([50.0, 70.0, 120.0]) / 70.0) ** 0.75
    level = y[:, 0] / 100.0 if driver == "plasma" else y[:, 2]
    base = 6.8 * 60.0  # L/h
    factor = {
        "site": (base + 180.0 / (1 + (0.121 / level) ** 5.33)) / base,
        "plasma": (base - 180.0 * level / (0.121 + level)) / base,
        "level": 1 / (1 + level / 0.08),
    }[driver]
    expected = clearance / 100.0 * y[:, 0] - clearance / 40.0 * factor * y[:, 1]
    found, _ = _slopes(net, y)
    np.testing.assert_allclose(found[:, 1], expected, rtol=0, atol=4 * ROUNDING * np.abs(clearance * y[:, 0]).max())
    # What is shown is what acts: in the unit of the effect, or of the output.
    shown = net.effects["output"].of(y[:, None, :])[:, 0]
    scale = {"site": factor * 6.8, "plasma": factor * 6.8, "level": 1000.0 * level}[driver]
    np.testing.assert_allclose(shown, scale, rtol=ROUNDING)
    assert net.effects["output"].unit == ("ng/mL" if driver == "level" else "L/min")


def test_clearance_that_grows_with_time() -> None:
    """esketamine_flint2017: CLN (1 + 0.0087 t) at 70 kg 53.2 L/h; the rest is linear and has no part in the tape."""
    model = pk.load_model("esketamine_flint2017")
    assert not model.linear
    assert model.changing == {"time_since_first_dose", "CLN_now", "esketamine", "noresketamine"}
    net = _network(model, (4.0, 10.0, 35.0))
    assert net.dynamics is not None
    tape = net.dynamics.tape
    y, time = _states(net), np.array([0.0, 30.0, 500.0])
    weight = np.array([4.0, 10.0, 35.0]) / 70.0
    rate = 53.2 * weight**0.75 * (1 + 0.0087 * time) / weight
    values, by_state, by_time = evaluate(tape, net.dynamics.parameters, y.T, time)
    np.testing.assert_allclose(values, [rate * y[:, 2]], rtol=ROUNDING)
    np.testing.assert_allclose(by_state, [rate], rtol=ROUNDING)
    np.testing.assert_allclose(by_time, [53.2 * weight**-0.25 * 0.0087 * y[:, 2]], rtol=ROUNDING)
    assert (tape.flow_from.tolist(), tape.flow_to.tolist()) == ([2], [-1])
    np.testing.assert_allclose(net.rates[:, 2, 0], 112 / 7.73 * weight**-0.25, rtol=ROUNDING)
    assert (net.rates[:, 2, 2] == 0.0).all()


def test_the_variability_of_flint_is_that_of_the_abstract() -> None:
    """The abstract prints 40 % for CL and 104 % for the clearance of S-norketamine."""
    effects = pk.load_model("esketamine_flint2017").variability.between_subject.effects
    spread = {name: round(100 * float(np.sqrt(np.expm1(effects[name].variance)))) for name in ("CL", "CLN")}
    assert spread == {"CL": 40, "CLN": 104}


# Effects that leave a model linear


def test_effect_site_on_the_propagator() -> None:
    """A sigmoid of an effect site after a bolus, against the closed form of the delay; plasma is not touched by it."""
    half_life = 8.3 / 60.0
    effects = {
        "dissociation": {
            "on": "esketamine",
            "effect_site": {"half_life": "8.3 min"},
            "sigmoid": {"e0": 0, "emax": 1, "c50": "121 ng/mL", "hill": "HILL"},
            "evidence": {"c50": "primary", "hill": "secondary"},
        },
        "site": {"on": "esketamine", "effect_site": {"half_life": "8.3 min"}, "unit": "mg/L"},
        "direct": {"on": "noresketamine", "emax": {"e0": "93 mmHg", "emax": "10 mmHg", "c50": "C50"}, "unit": "mmHg"},
    }
    model = _model(effects=effects)
    assert model.linear
    dose = {"title": "x", "drug": "esketamine", "route": "iv"}
    dose |= {"phases": [{"name": "one", "dose": "35 mg", "sessions": {"days": [1]}}]}
    result = pk.simulate(dose, model, Patient(weight="70 kg", age="40 y"), until="6 h", every="5 min")
    plain = pk.simulate(dose, _model(), Patient(weight="70 kg", age="40 y"), until="6 h", every="5 min")
    t, k, ke0 = result.time, 0.6, np.log(2.0) / half_life
    level = 0.35 * np.exp(-k * t)
    site = 0.35 * ke0 / (ke0 - k) * (np.exp(-k * t) - np.exp(-ke0 * t))
    np.testing.assert_allclose(result.level("site")[0], site, rtol=1e-11, atol=1e-16)
    np.testing.assert_allclose(result.level("esketamine")[0], 1000 * level, rtol=1e-12)
    for name in ("esketamine", "noresketamine"):
        np.testing.assert_allclose(result.level(name), plain.level(name), rtol=1e-13, atol=1e-12)
    exact = np.append(0.0, 1.0 / (1.0 + (0.121 / site[1:]) ** 5.33))
    np.testing.assert_allclose(result.level("dissociation")[0], exact, rtol=1e-10, atol=1e-30)
    metabolite = result.level("noresketamine")[0] / 1000
    np.testing.assert_allclose(result.level("direct")[0], 93 + 10 * metabolite / (0.121 + metabolite), rtol=1e-13)

    table = result.to_pandas()
    assert list(dict.fromkeys(table["output"])) == ["esketamine", "noresketamine", *effects]
    units = table.groupby("output", sort=False)["unit"].first().to_dict()
    assert units == {
        "esketamine": "ng/mL",
        "noresketamine": "ug/L",
        "dissociation": "",
        "site": "mg/L",
        "direct": "mmHg",
    }
    wide = result.to_pandas(wide=True)
    np.testing.assert_array_equal(wide["dissociation"], result.level("dissociation")[0])


def test_effect_of_two_levels() -> None:
    """A formula of two delayed levels, per patient, in the unit of the effect."""
    effect = {
        "on": {"s": "esketamine", "n": "metabolite"},
        "effect_site": {"s": {"half_life": "2.28 min"}},
        "effect": "CO0 * (1 + 0.25 * s / C50 - 0.25 * n / KI * (weight / weight))",
        "unit": "L/min",
    }
    net = _network(_model(effects={"output": effect}))
    y = _states(net)[:, None, :] * np.array([1.0, 0.1])[None, :, None]
    shown = net.effects["output"].of(y)
    assert shown.shape == (3, 2)
    exact = 6.8 * (1 + 0.25 * y[:, :, 2] / 0.121 - 0.25 * y[:, :, 1] / 40.0 / 0.08)
    np.testing.assert_allclose(shown, exact, rtol=1e-13)


def test_sigmoid_read_off_at_no_drug() -> None:
    """At 0, and a rounding error below, an effect is its e0 for every hill, without a warning."""
    for hill in (0.5, 1, 5.33, 100):
        sigmoid = {"e0": 0.25, "emax": 0.5, "c50": "C50", "hill": hill}
        net = _network(_model(effects={"d": {"on": "esketamine", "sigmoid": sigmoid}}))
        y = np.zeros((3, 3, 2))
        y[:, 1, 0], y[:, 2, 0] = -1e-15, 1e9
        np.testing.assert_allclose(net.effects["d"].of(y), [[0.25, 0.25, 0.75]] * 3, rtol=1e-3)
        np.testing.assert_array_equal(net.effects["d"].of(y)[:, :2], 0.25)


def test_variability_of_an_effect() -> None:
    """C50 differs between patients as any parameter does."""
    model = _model(
        effects={"d": {"on": "esketamine", "emax": {"e0": 0, "emax": 1, "c50": "C50"}}},
        variability={"between_subject": {"C50": {"omega2": 0.25}, "from": "here"}},
    )
    people = population.sample_effects(
        Population(0, 4, {"weight": np.full(4, 70.0), "ancestry": np.zeros(4)}), model, 3
    )
    link = network.build(model, people).effects["d"].link
    assert link is not None
    np.testing.assert_allclose(link.c50, 0.121 * np.exp(people.etas["C50"]), rtol=1e-15)
    assert np.ptp(link.c50) > 0.01


# What is refused


def test_the_propagator_refuses_what_it_cannot_integrate() -> None:
    """Asked for on a model with dynamics it says why, and no number comes out."""
    for model in ("esketamine_flint2017", str(W3)):
        spec = pk.load_model(model)
        assert not spec.linear
    child = Patient(weight="10 kg", age="3 y")
    with pytest.raises(InputError, match="engine auto or ode"):
        pk.simulate(
            "esketamine_iv_single", "esketamine_flint2017", child, until="1 h", numerics=Numerics(engine="propagator")
        )


def test_linear_models_of_the_library_have_no_tape() -> None:
    """Nothing about them has changed: the states are the compartments."""
    linear = [name for name in sorted(library("models")) if pk.load_model(name).linear]
    assert len(linear) >= 4
    for name in linear:
        model = pk.load_model(name)
        net = _network(model, (70.0,))
        assert net.dynamics is None
        if not model.effects:
            assert net.states == tuple(model.compartments)
            assert (net.initial == 0).all()


@pytest.mark.parametrize(
    ("changes", "parameter", "path", "expected"),
    [
        ({"flows": "saturable"}, "KM", "flows[1].michaelis_menten.km", "a finite value above 0"),
        ({"effects": "sigmoid"}, "HILL", "effects.d.sigmoid.hill", "a finite value above 0"),
        ({"effects": "turnover"}, "SHARE", "effects.d.turnover.production.inhibit.emax", "a value from 0 to 1"),
    ],
)
def test_a_patient_with_an_impossible_number(changes: dict[str, str], parameter: str, path: str, expected: str) -> None:
    """A drawn parameter that leaves the model without sense is refused, with the place and the patient."""
    parts: dict[str, Any] = {
        "saturable": [
            {"from": "central", "to": "norket", "rate": "CL / V"},
            {"from": "norket", "to": "outside", "michaelis_menten": {"vmax": "VMAX", "km": "KM"}},
        ],
        "sigmoid": {"d": {"on": "esketamine", "sigmoid": {"e0": 0, "emax": 1, "c50": "C50", "hill": "HILL"}}},
        "turnover": {
            "d": {
                "on": "esketamine",
                "turnover": {
                    "baseline": 1,
                    "kout": "KOUT",
                    "production": {"inhibit": {"emax": "SHARE", "c50": "C50"}},
                },
            }
        },
    }
    spread = {parameter: {"sd": 0.5, "transform": "normal" if parameter != "SHARE" else "lognormal"}, "from": "here"}
    model = _model(
        **{key: parts[part] for key, part in changes.items()},
        parameters={"SHARE": {"value": 0.8, "from": "here"}},
        variability={"between_subject": spread},
    )
    typical = model.typical[parameter][0]
    eta = {"SHARE": np.log(1.5)}.get(parameter, -typical)
    people = Population(0, 2, {"weight": np.full(2, 70.0), "ancestry": np.zeros(2)}, {parameter: np.array([0.0, eta])})
    with pytest.raises(InputError) as refused:
        network.build(model, people)
    (problem,) = refused.value.problems
    assert problem.path == path
    assert problem.expected == expected
    assert "in patient 2" in problem.found


def test_a_covariate_that_is_missing() -> None:
    """A rate that changes with time and the weight, for a patient whose weight nobody knows."""
    flows = [
        {"from": "central", "to": "norket", "rate": "K * size"},
        {"from": "norket", "to": "outside", "rate": "K * (1 + 0.1 * size * time_since_first_dose * K)"},
    ]
    parameters = {"K": {"value": "1 1/h", "from": "here"}, "W": {"value": "70 kg", "from": "here"}}
    parameters["CL"] = {"value": "60 L/h", "from": "here"}
    model = _model(flows=flows, derived={"size": "weight / W"}, parameters=parameters)
    with pytest.raises(InputError, match=r"weight, which flows\[0\].rate depends on"):
        network.build(model, Patient(age="40 y").population())


def test_ends_of_their_own_leave_bits_alone() -> None:
    """Of patients who come late, each for himself: the solver goes the same steps whoever else is in the block."""
    protocol = pk.load_protocol(
        {
            "title": "T",
            "drug": "esketamine",
            "route": "iv",
            "phases": [{"name": "a", "dose": "0.3 mg/kg", "over": "40 min", "sessions": {"days": [1, 3]}}],
            "adherence": {"late": {"share": "60 %", "by": ["10 min", "2 h"]}, "seed": 7},
        }
    )
    model = pk.load_model("esketamine_flint2017")
    people = population.sample_covariates(pk.load_population("adults_trials"), 3, 0, 20)
    treated = treatment.treat(model, population.sample_effects(people, model, 3), protocol, 1.0, seed=3)
    net, events, starts = treated.network, treated.plan.events, treated.plan.starts
    assert np.ptp(starts[-1]) > 1.0
    edges = np.ascontiguousarray(np.stack([starts[0], starts[1], starts[1] + 24.0]))
    seen, none = net.output_compartment[:1], np.empty((1, 0, people.size))
    stats, _, _ = engine.figures(net.system, events, edges, seen, none)
    for who in range(people.size):
        mine = np.array([who])
        own = np.ascontiguousarray(edges[:, mine])
        alone, _, _ = engine.figures(net.system.only(mine), events.only(mine), own, seen, none[:, :, :1])
        np.testing.assert_array_equal(alone[0], stats[who])
