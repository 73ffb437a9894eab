"""Figures that the papers and the library's own notes print, from the shipped model files."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from pkmodel import metrics, network, schedule, units
from pkmodel.metrics import Request, Span
from pkmodel.population import Patient
from pkmodel.simulation import course_figures, simulate
from pkmodel.specs.library import load_model, load_protocol
from pkmodel.specs.loading import library
from pkmodel.specs.model import Check, ModelSpec

MODELS = sorted(library("models"))
#: What a model gives over what its paper prints, where the two disagree and the model file says so.
DISAGREEMENTS = {
    ("esketamine_perezruixo2021", "noresketamine_auc_28mg"): 1.41,
    ("esketamine_perezruixo2021", "noresketamine_auc_56mg"): 1.44,
    ("esketamine_perezruixo2021", "noresketamine_auc_84mg"): 1.46,
}
#: ng/mL at 40, 80, 110 and 230 min: 0.5 mg/kg over 40 min at 70 kg, each model given 35 mg of its own drug.
INFUSION = {
    "ketamine_clements1981": (177, 85, 63, 36),
    "ketamine_domino1984": (240, 46, 38, 18),
    "esketamine_otto2021": (158, 79, 60, 27),
}


@cache
def _model(name: str) -> ModelSpec:
    return load_model(name)


def _checks(role: str) -> list[tuple[str, Check]]:
    return [(name, check) for name in MODELS for check in _model(name).checks if check.role == role]


def _simulated(name: str, check: Check) -> float:
    """The figure of a check as the model gives it, in base units."""
    model = _model(name)
    assert check.until is not None
    net = network.build(model, Patient(**check.patient).population())
    plan = schedule.build(load_protocol(check.protocol), net)
    span = Span("absolute", start=0.0, end=check.until.value)
    output = model.output(check.output)
    figures = course_figures(net, plan, spans=[span])[output]
    value = metrics.evaluate(figures, span, Request(check.metric, output))[0]
    return float(value) * float(units.parse_unit(metrics.unit_of(check.metric, model.outputs[output].unit)).factor)


def _named(checks: list[tuple[str, Check]]) -> list[object]:
    return [pytest.param(name, check, id=f"{name}-{check.id}") for name, check in checks]


def test_every_check_is_of_a_known_kind() -> None:
    """The nine figures of the esketamine paper to reproduce are there, and each one to compare is recorded."""
    reproduced = [check.id for name, check in _checks("must_reproduce") if name == "esketamine_perezruixo2021"]
    assert len(reproduced) == 9
    assert {(name, check.id) for name, check in _checks("compare")} == set(DISAGREEMENTS)


@pytest.mark.parametrize(("name", "check"), _named(_checks("must_reproduce")))
def test_a_figure_of_the_paper_is_reproduced(name: str, check: Check) -> None:
    """A figure that follows from the published parameters agrees within the tolerance stated beside it."""
    assert _simulated(name, check) == pytest.approx(check.expected.value, rel=check.tolerance.value, abs=0.0)


@pytest.mark.parametrize(("name", "check"), _named(_checks("compare")))
def test_a_known_disagreement_is_what_was_recorded(name: str, check: Check) -> None:
    """Nothing was tuned to a figure that does not follow from the parameters: the ratio is that of the notes."""
    ratio = _simulated(name, check) / check.expected.value
    assert round(ratio, 2) == DISAGREEMENTS[name, check.id]
    assert abs(ratio - 1.0) > check.tolerance.value
    assert check.reason


def test_the_agreement_in_percent() -> None:
    """How near the reproduced figures are, shown with ``pytest -s``."""
    off = {check.id: _simulated(name, check) / check.expected.value - 1.0 for name, check in _checks("must_reproduce")}
    worst = max(off, key=lambda name: abs(off[name]))
    print(f"\n{len(off)} published figures reproduced, the worst within {100 * abs(off[worst]):.2f} % ({worst})")
    assert abs(off[worst]) <= 0.01


@pytest.mark.parametrize(("name", "printed"), INFUSION.items())
def test_the_classical_infusion(name: str, printed: tuple[int, ...]) -> None:
    """0.5 mg/kg over 40 min: the parent rounds to the printed integers, during and after."""
    result = simulate(
        load_protocol("iv_single"),
        _model(name),
        Patient(weight="70 kg", age="45 y"),
        until="230 min",
        every="10 min",
        drug="own",
    )
    assert result.schedule.doses.tolist() == [[35.0]]
    levels = result.level("parent")[0, [4, 8, 11, 23]]
    np.testing.assert_allclose(60.0 * result.time[[4, 8, 11, 23]], [40.0, 80.0, 110.0, 230.0], rtol=1e-12)
    assert tuple(int(level) for level in np.rint(levels)) == printed


def test_borrowed_variability_is_that_of_its_owner() -> None:
    """A block taken from another model holds that model's numbers for every parameter and pair it names."""
    borrowers = [name for name in MODELS if _model(name).variability.borrowed]
    assert {"ketamine_clements1981", "ketamine_domino1984"} <= set(borrowers)
    for name in borrowers:
        block = _model(name).variability.between_subject
        owner = _model(str(_model(name).variability.borrowed)).variability
        assert owner.borrowed is None, f"{name} borrows from a model that borrows"
        assert block.evidence == "borrowed", name
        assert block.effects, name
        for effect, numbers in block.effects.items():
            assert numbers == owner.between_subject.effects[effect], f"{effect} of {name}"
