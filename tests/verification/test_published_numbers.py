"""Figures that the papers and the library's own notes print, from the shipped model files."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from pkmodel.checks import simulated
from pkmodel.population import Patient
from pkmodel.simulation import simulate
from pkmodel.specs.check import Check
from pkmodel.specs.library import load_model, load_protocol
from pkmodel.specs.loading import library
from pkmodel.specs.model import ModelSpec
from pkmodel.specs.yaml_tree import read_yaml

MODELS = sorted(library("models"))
#: ng/mL at 40, 80, 110 and 230 min: 0.5 mg/kg over 40 min at 70 kg, each model given 35 mg of its own drug.
INFUSION = {
    "ketamine_clements1981": (177, 85, 63, 36),
    "ketamine_domino1984": (240, 46, 38, 18),
    "esketamine_otto2021": (158, 79, 60, 27),
}
#: "The spread between models": the parent in ng/mL at the end of the same infusion.
SPREAD = {
    "esketamine_otto2021": 158,
    "ketamine_clements1981": 177,
    "ketamine_domino1984": 240,
    "ketamine_kamp2020": 253,
    "ketamine_herd2007": 253,
    "esketamine_simons2022": 289,
    "ketamine_herd2007_norketamine": 296,
    "ketamine_hornik2018": 496,
}


@cache
def _model(name: str) -> ModelSpec:
    return load_model(name)


CHECKS = [(name, check) for name in MODELS for check in _model(name).checks]


def _named(role: str) -> list[object]:
    return [pytest.param(name, check, id=f"{name}-{check.id}") for name, check in CHECKS if check.role == role]


def test_the_figures_that_are_known_are_there() -> None:
    """The nine figures of the esketamine paper to reproduce, and its three areas that disagree."""
    of_paper = [check for name, check in CHECKS if name == "esketamine_perezruixo2021"]
    assert len([check for check in of_paper if check.id.startswith("esketamine_") and check.until]) == 6
    assert {check.id for check in of_paper if check.id.startswith("noresketamine_auc")} == {
        f"noresketamine_auc_{dose}mg" for dose in (28, 56, 84)
    }


@pytest.mark.parametrize(("name", "check"), _named("must_reproduce"))
def test_a_figure_of_the_paper_is_reproduced(name: str, check: Check) -> None:
    """A figure that follows from the published parameters is in its interval, or within the tolerance beside it."""
    found = simulated(_model(name), check)
    if check.interval is not None:
        assert check.interval[0].value <= found <= check.interval[1].value
    else:
        assert found == pytest.approx(check.expected.value, rel=check.tolerance.value, abs=0.0)
    assert check.met(found)


@pytest.mark.parametrize(("name", "check"), _named("compare"))
def test_a_known_disagreement_is_what_was_recorded(name: str, check: Check) -> None:
    """Nothing was tuned to a figure that does not follow from the parameters: the difference is that of the file."""
    found = simulated(_model(name), check)
    assert np.isfinite(found)
    assert check.met(found)
    if check.expected_difference is not None:
        recorded = check.expected_difference.value
        assert found / check.expected.value - 1.0 == pytest.approx(recorded, rel=0.0, abs=check.tolerance.value)
        assert check.reason


def test_the_agreement_in_percent() -> None:
    """How near the reproduced figures are, shown with ``pytest -s``."""
    off = {
        f"{name} {check.id}": check.difference(simulated(_model(name), check))
        for name, check in CHECKS
        if check.role == "must_reproduce" and check.interval is None
    }
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


@pytest.mark.parametrize(("name", "printed"), SPREAD.items())
def test_the_spread_between_models(name: str, printed: int) -> None:
    """0.5 mg/kg over 40 min at 70 kg, each model given the full 35 mg of its own drug: to the digits of the table."""
    who = Patient(weight="70 kg", age="45 y")
    result = simulate(load_protocol("iv_single"), _model(name), who, until="40 min", every="40 min", drug="own")
    assert int(np.rint(result.level("parent")[0, -1])) == printed


def test_the_racemic_total_of_the_enantiomers() -> None:
    """S is that of its own model given half of the dose, R falls more slowly, and the total is their sum."""
    protocol, who = load_protocol("iv_single"), Patient(weight="70 kg", age="45 y")
    both = simulate(protocol, _model("ketamine_enantiomers"), who, until="12 h", every="10 min")
    alone = simulate(protocol, _model("esketamine_otto2021"), who, until="12 h", every="10 min", drug="half")
    for name in ("esketamine", "noresketamine"):
        np.testing.assert_allclose(both.level(name), alone.level(name), rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(both.level("ketamine"), both.level("esketamine") + both.level("arketamine"), rtol=1e-14)
    assert (both.level("arketamine")[0, 1:] > both.level("esketamine")[0, 1:]).all()


@pytest.mark.parametrize("fraction", [0.11, 0.17, 0.2, 0.45, 0.5])
def test_the_nasal_fraction_is_what_arrives(fraction: float) -> None:
    """Whatever value of the published range a user puts in its place, the bioavailability is that."""
    tree = read_yaml(library("models")["ketamine_intranasal"]).tree
    tree["parameters"]["F_nasal"]["value"] = fraction
    model = load_model(tree)
    (check,) = (check for check in model.checks if check.id == "bioavailability_yanagihara")
    assert simulated(model, check) == pytest.approx(fraction, rel=1e-12)


def test_a_metabolite_is_weighed_as_itself() -> None:
    """Where all compartments hold mg of the parent, an output is the metabolite's own mass."""
    model = _model("esketamine_simons2022")
    assert model.factors == pytest.approx(
        {"esketamine": 1.0, "noresketamine": 223.70 / 237.73, "hydroxynorketamine": 239.70 / 237.73}, rel=1e-15
    )
    for name, per_nmol in (("noresketamine", 0.058), ("hydroxynorketamine", 0.020)):
        mass = model.outputs[name].molar_mass
        assert mass is not None
        additive = model.residual[name].additive  # ng/mL, of nmol/mL in the paper
        assert additive == pytest.approx(per_nmol * 1e6 * mass.value, rel=1e-3)


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
