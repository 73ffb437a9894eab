"""What the checks of a model file must agree on with the rest of it: outputs, routes, formulas and patients."""

from __future__ import annotations

from collections.abc import Mapping

from pkmodel import units
from pkmodel.errors import InputError, Problem, one_of, shown, unknown_name
from pkmodel.specs import fields
from pkmodel.specs.expressions import Dimensions
from pkmodel.specs.formula_rules import Problems, check_formula
from pkmodel.specs.model import ModelSpec
from pkmodel.specs.population import PLAUSIBLE, PLAUSIBLE_TEXT

_WORDS = {"sex": fields.SEXES, "ancestry": fields.ANCESTRIES}
_SHARES = ("cyp2b6_activity", "hepatic_impairment")
_QUANTITIES = {"weight": "weight", "age": "age", "height": "length"}


def check_checks(model: ModelSpec, known: Mapping[str, Dimensions], found: Problems) -> None:
    """The figures that the model is held against; ``known`` are names of formulas with their dimensions."""
    ids: set[str] = set()
    for index, check in enumerate(model.checks):
        path = f"checks[{index}]"
        if check.id in ids:
            found.append(Problem(f"the id {check.id} a second time", "each id once", path=f"{path}.id"))
        ids.add(check.id)
        found += [problem.at(path=f"{path}.{problem.path}") for problem in check.problems()]
        if check.output is not None:
            try:
                model.output(check.output, path=f"{path}.output")
            except InputError as error:
                found += error.problems
        if check.route is not None and check.route not in model.routes:
            found.append(unknown_name("a route of this model", check.route, model.routes, path=f"{path}.route"))
        if check.metric == "bioavailability" and "iv" not in model.routes:
            found.append(Problem("bioavailability without a route iv", "a model with one", path=f"{path}.metric"))
        if check.into is not None and check.into not in model.compartments:
            found.append(unknown_name("a compartment", check.into, model.compartments, path=f"{path}.into"))
        if check.formula is not None:
            expected: Dimensions = dict(check.expected.unit.dimensions)
            check_formula(check.formula, known, expected, f"{path}.formula", found, model, what=check.expected.text)
        _patient(check.patient, f"{path}.patient", found)


def _patient(patient: Mapping[str, object], path: str, found: Problems) -> None:
    legal = (*_QUANTITIES, *_WORDS, *_SHARES)
    for name, given in patient.items():
        place = f"{path}.{name}"
        if name in _QUANTITIES:
            low, high = PLAUSIBLE[name]
            try:
                value = units.as_kind(given, _QUANTITIES[name])
                if not low <= value.value <= high:
                    found.append(Problem(value.text, f"{name} of {PLAUSIBLE_TEXT[name]}", place))
            except InputError as error:
                found += [problem.at(path=place) for problem in error.problems]
        elif name in _WORDS:
            if given not in _WORDS[name]:
                found.append(Problem(shown(given), one_of(_WORDS[name]), place))
        elif name in _SHARES:
            if isinstance(given, bool) or not isinstance(given, (int, float)) or not 0 <= given <= 1:
                found.append(Problem(shown(given), "a number from 0 to 1", place))
        else:
            found.append(unknown_name("a covariate", name, legal, path=place))
