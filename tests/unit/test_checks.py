"""The figures of a model's checks: half-lives and areas against their closed forms, and what cannot be asked."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import pkmodel as pk
from pkmodel import moments, network
from pkmodel.checks import simulated
from pkmodel.errors import InputError
from pkmodel.hybrid import hybrid_constants
from pkmodel.specs.check import FORMS, METRICS, Check
from pkmodel.specs.model import ModelSpec

#: A parent of two compartments (V1 20 L, V2 60 L, CL 10 L/h, Q 30 L/h), a metabolite (VN 40 L, CLN 8 L/h) of 70 % of
#: it, and an oral depot (KA 1.2/h, of which 25 % arrive).
MODEL: dict[str, Any] = {
    "id": "worked",
    "title": "A parent, a metabolite, and a depot",
    "drug": "ketamine",
    "source": "worked by hand",
    "evidence": "assumed",
    "sampling": "venous",
    "population": {"description": "nobody"},
    "parameters": {
        name: {"value": value, "from": "worked by hand"}
        for name, value in {
            "V1": "20 L",
            "V2": "60 L",
            "CL": "10 L/h",
            "Q": "30 L/h",
            "VN": "40 L",
            "CLN": "8 L/h",
            "FM": 0.7,
            "KA": "1.2 1/h",
            "F": 0.25,
        }.items()
    },
    "compartments": ["depot", "central", "peripheral", "formed"],
    "flows": [
        {"from": "depot", "to": "central", "rate": "KA"},
        {"from": "central", "to": "peripheral", "rate": "Q / V1"},
        {"from": "peripheral", "to": "central", "rate": "Q / V2"},
        {"from": "central", "to": "formed", "rate": "FM * CL / V1"},
        {"from": "central", "to": "outside", "rate": "(1 - FM) * CL / V1"},
        {"from": "formed", "to": "outside", "rate": "CLN / VN"},
    ],
    "routes": {"iv": [{"into": "central"}], "oral": [{"into": "depot", "fraction": "F"}]},
    "outputs": {
        "ketamine": {"amount": "central", "volume": "V1", "unit": "ng/mL"},
        "norketamine": {"amount": "formed", "volume": "VN", "unit": "ng/mL"},
    },
}
BOLUS = {"title": "10 mg", "drug": "ketamine", "route": "iv"}
BOLUS |= {"phases": [{"name": "one", "dose": "10 mg", "sessions": {"days": [1]}}]}
SLOW = hybrid_constants(k10=0.5, k12=1.5, k21=0.5)  # ends with a rate of 0, of the third compartment that is not there


def model_with(**check: Any) -> ModelSpec:
    """The model with one check; ``expected`` in the right unit, and a tolerance that is not looked at."""
    row = {"id": "one", "role": "compare", "from": "worked by hand", "patient": {"weight": "50 kg"}, **check}
    return pk.load_model({**MODEL, "checks": [row]})


def figure(**check: Any) -> float:
    """The figure of a check."""
    model = model_with(**check)
    return simulated(model, model.checks[0])


@pytest.mark.parametrize(
    ("check", "exact"),
    [
        ({"metric": "half_life", "output": "ketamine", "expected": "1 h"}, math.log(2) / SLOW.rates[1]),
        ({"metric": "half_life", "output": "metabolite", "expected": "1 h"}, math.log(2) / SLOW.rates[1]),
        ({"metric": "half_life", "output": "metabolite", "into": "formed", "expected": "1 h"}, math.log(2) / 0.2),
        ({"metric": "clearance", "output": "parent", "expected": "1 L/h"}, 10.0),
        ({"metric": "clearance", "output": "parent", "expected": "3 mL/min/kg"}, 10.0 / 50.0),
        ({"metric": "clearance", "output": "parent", "route": "oral", "expected": "1 L/h"}, 10.0 / 0.25),
        ({"metric": "clearance", "output": "metabolite", "into": "formed", "expected": "1 L/h"}, 8.0),
        ({"metric": "clearance", "output": "metabolite", "expected": "1 L/h"}, 8.0 / 0.7),
        ({"metric": "volume_terminal", "output": "parent", "expected": "1 L/kg"}, 0.2 / SLOW.rates[1]),
        ({"metric": "bioavailability", "output": "parent", "route": "oral", "expected": "40 %"}, 0.25),
        ({"metric": "bioavailability", "output": "metabolite", "route": "oral", "expected": "40 %"}, 0.25),
        ({"metric": "bioavailability", "output": "parent", "protocol": BOLUS | {"as": "hydrochloride"}}, 1.0),
        ({"metric": "auc", "output": "parent", "protocol": BOLUS, "expected": "1 ng*h/mL"}, 1.0),
        ({"metric": "auc", "output": "metabolite", "protocol": BOLUS, "expected": "1 ng*h/mL"}, 7.0 / 8.0),
        ({"metric": "value", "formula": "V1 + V2", "expected": "70 L"}, 80.0),
        ({"metric": "value", "formula": "(V1 + V2) / weight", "expected": "1 L/kg"}, 1.6),
        ({"metric": "level_at", "output": "parent", "protocol": BOLUS, "at": "0 h", "expected": "1 ng/mL"}, 0.5),
        ({"metric": "time_of_peak", "output": "parent", "protocol": BOLUS, "expected": "1 h"}, 0.0),
        ({"metric": "peak", "output": "parent", "protocol": BOLUS, "expected": "1 mg/L"}, 0.5),
    ],
)
def test_closed_forms(check: dict[str, Any], exact: float) -> None:
    """To 1e-13: what stands between is an eigenvalue or a solve of at most four compartments."""
    assert figure(**{"expected": 0.5, **check}) == pytest.approx(exact, rel=1e-13, abs=0.0)


def test_level_and_time_above_of_a_course() -> None:
    """Against the exponentials of the model, at a moment and over a stretch."""
    level = 10.0 / 20.0 * float(SLOW.coefficients @ np.exp(-SLOW.rates * 2.5))
    found = figure(metric="level_at", output="parent", protocol=BOLUS, at="150 min", expected="1 ng/mL")
    assert found == pytest.approx(level, rel=1e-12)
    above = figure(
        metric="time_above",
        output="parent",
        protocol=BOLUS,
        threshold=f"{level!r} mg/L",
        since="30 min",
        until="9 h",
        expected="1 h",
    )
    assert above == pytest.approx(2.0, rel=1e-9)
    peak = figure(metric="peak", output="parent", protocol=BOLUS, since="150 min", until="5 h", expected="1 ng/mL")
    assert peak == pytest.approx(level, rel=1e-12)


def test_a_chain_of_equal_rates_has_its_rate_to_the_last_digit() -> None:
    """Where the eigenvalues of the whole matrix are off by 1e-4, since it is defective."""
    chain = [f"transit{k}" for k in range(5)]
    tree = {
        **MODEL,
        "compartments": chain,
        "flows": [{"from": a, "to": b, "rate": "KA"} for a, b in zip(chain, [*chain[1:], "outside"], strict=True)],
        "routes": {"iv": [{"into": "transit0"}]},
        "outputs": {"ketamine": {"amount": "transit4", "volume": "V1", "unit": "ng/mL"}},
    }
    net = network.build(pk.load_model(tree), pk.Patient(weight="70 kg").population())
    dosed = np.array([True, False, False, False, False])
    assert moments.terminal_half_life(net, "ketamine", dosed) == pytest.approx([math.log(2) / 1.2], rel=1e-15)


def test_what_an_output_cannot_see_does_not_count() -> None:
    """A metabolite that is slower than its parent: only its own levels fall with its own rate."""
    slow = {**MODEL["parameters"], "CLN": {"value": "0.8 L/h", "from": "worked by hand"}}
    net = network.build(pk.load_model({**MODEL, "parameters": slow}), pk.Patient(weight="70 kg").population())
    dosed = np.array([False, True, False, False])
    of_parent = moments.terminal_half_life(net, "ketamine", dosed)[0]
    assert of_parent == pytest.approx(math.log(2) / SLOW.rates[1], rel=1e-13)
    assert moments.terminal_half_life(net, "norketamine", dosed)[0] == pytest.approx(math.log(2) / 0.02, rel=1e-13)


def test_a_clearance_that_changes_with_time_has_no_half_life() -> None:
    """The parent of the model for children has one; its metabolite, whose clearance grows, has none."""
    model = pk.load_model("esketamine_flint2017")
    net = network.build(model, pk.Patient(weight="10 kg").population())
    dosed = np.array([True, False, False])
    assert moments.terminal_half_life(net, "esketamine", dosed)[0] > 0
    with pytest.raises(InputError, match="saturable or changes with time"):
        moments.terminal_half_life(net, "noresketamine", dosed)
    with pytest.raises(InputError, match="does not reach"):
        moments.area_to_infinity(net, "esketamine", np.array([[0.0, 0.0, 1.0]]))


def test_nothing_leaves() -> None:
    """A clearance of 0 is refused, not infinite."""
    none = {**MODEL["parameters"], "CL": {"value": "0 L/h", "from": "worked by hand"}}
    net = network.build(pk.load_model({**MODEL, "parameters": none}), pk.Patient(weight="70 kg").population())
    with pytest.raises(InputError, match="no elimination"):
        moments.area_to_infinity(net, "ketamine", np.array([[0.0, 1.0, 0.0, 0.0]]))
    with pytest.raises(InputError, match="no elimination"):
        moments.terminal_half_life(net, "ketamine", np.array([False, True, False, False]))


@pytest.mark.parametrize(
    ("check", "said"),
    [
        ({"metric": "half_life", "output": "parent", "expected": "1 L"}, r"checks\[0\].expected  found 1 L"),
        ({"metric": "clearance", "output": "parent", "expected": "1 h"}, "expected a clearance"),
        ({"metric": "half_life", "output": "parent", "into": "centre", "expected": "1 h"}, "nearest central"),
        ({"metric": "half_life", "output": "parent", "route": "film", "expected": "1 h"}, "a route of this model: one"),
        ({"metric": "half_life", "output": "parent", "at": "1 h", "expected": "1 h"}, "at with metric: half_life"),
        ({"metric": "peak", "output": "parent", "expected": "1 ng/mL"}, "protocol, which metric: peak needs"),
        ({"metric": "level_at", "output": "parent", "protocol": BOLUS, "expected": "1 ng/mL"}, "at, which metric"),
        ({"metric": "bioavailability", "output": "parent", "expected": "10 %"}, "expected a route or a protocol"),
        ({"metric": "value", "formula": "V1 + CL", "expected": "1 L"}, "volume with volume/time"),
        ({"metric": "value", "formula": "V1 + V9", "expected": "1 L"}, "found V9  expected a parameter"),
        ({"metric": "half_life", "output": "parent", "expected": "0 h"}, "a figure other than 0"),
        ({"metric": "half_life", "output": "parent", "expected": "1 h", "patient": {"wieght": "1"}}, "nearest weight"),
        (
            {"metric": "half_life", "output": "parent", "expected": "1 h", "patient": {"sex": "f"}},
            "one of female, male",
        ),
        ({"metric": "half_life", "output": "parent", "expected": "1 h", "expected_difference": "5 %"}, "the reason"),
        (
            {"metric": "half_life", "output": "parent", "expected": "1 h", "interval": ["2 h", "1 h"]},
            "the lower end first",
        ),
        ({"metric": "half_life", "output": "parent", "expected": "1 h", "sd": "1 L"}, "a unit as in expected: 1 h"),
        ({"metric": "auc", "output": "parent", "protocol": BOLUS, "since": "1 h", "expected": "1 ng*h/mL"}, "both, or"),
    ],
)
def test_a_check_that_makes_no_sense(check: dict[str, Any], said: str) -> None:
    """One clear sentence when the model is loaded."""
    with pytest.raises(InputError, match=said):
        model_with(**check)


def test_a_protocol_that_does_not_fit_is_named_with_its_check() -> None:
    """The other drug, at the check's place."""
    model = model_with(metric="peak", output="parent", expected="1 ng/mL", protocol=BOLUS | {"route": "film"})
    with pytest.raises(InputError, match=r"checks\.one.*a route of worked"):
        simulated(model, model.checks[0])


def test_when_a_figure_is_met() -> None:
    """Within the tolerance, the interval, or the tolerance around the recorded difference; compared ones always."""

    def check(**more: Any) -> Check:
        return model_with(metric="half_life", output="parent", expected="2 h", **more).checks[0]

    must = {"role": "must_reproduce"}
    assert check(**must).met(2.019) and not check(**must).met(2.021)
    assert check(**must, interval=["1 h", "4 h"]).met(3.9) and not check(**must, interval=["1 h", "4 h"]).met(4.1)
    known = check(expected_difference="-20 %", reason="the paper's own", tolerance="2 %")
    assert known.met(1.6) and known.met(1.57) and not known.met(1.55) and not known.met(2.0)
    assert check().met(99.0)


def test_every_metric_has_a_form() -> None:
    """The words of files, and what each needs."""
    assert set(FORMS) == set(METRICS)
