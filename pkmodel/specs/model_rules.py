"""What a model file must agree on across its sections: names that exist, dimensions that fit."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from pkmodel import units
from pkmodel.errors import InputError, Problem, shown, unknown_name
from pkmodel.specs.covariance import factor
from pkmodel.specs.expressions import Dimensions, Expression, Value, described
from pkmodel.specs.loading import is_path, library
from pkmodel.specs.model import COVARIATES, OUTSIDE, RESERVED, Block, Effect, ModelSpec
from pkmodel.specs.population import PLAUSIBLE, PLAUSIBLE_TEXT

_RATE = {"time": -1.0}


def problems(model: ModelSpec) -> list[Problem]:
    """Every mistake between the sections of a model file."""
    found = _Problems(model)
    known = _parameter_dimensions(model, found)
    _derived(model, known, found)
    _structure(model, known, found)
    _routes(model, known, found)
    _variability(model, found)
    _checks(model, found)
    if not found:
        _typical_values(model, found)
    return found


class _Problems(list[Problem]):
    """Problems found so far, and the parameters already blamed for having no unit."""

    def __init__(self, model: ModelSpec):
        super().__init__()
        self.unitless = {
            name for name, item in model.parameters.items() if item.value is not None and not item.value.unit.text
        }
        self.blamed: set[str] = set()

    def blame_missing_unit(self, model: ModelSpec, expression: Expression, known: Mapping[str, Dimensions]) -> bool:
        """Whether a formula's dimensions only fail because a parameter was written without its unit; says so once."""
        suspects = expression.names & self.unitless
        try:
            if not suspects or expression.dimensions({**known, **dict.fromkeys(suspects)}) is not None:
                return False
        except InputError:
            return False
        for name in sorted(suspects - self.blamed):
            value = model.parameters[name].value
            assert value is not None
            path = f"parameters.{name}.value"
            self.append(Problem(f"{value.text} without a unit", 'a value with its unit, such as "133 L"', path))
        self.blamed |= suspects
        return True


def _expression(
    expression: Expression,
    known: Mapping[str, Dimensions],
    expected: Dimensions,
    path: str,
    found: _Problems,
    model: ModelSpec,
    *,
    what: str = "",
) -> Dimensions:
    """Check names and dimensions of one formula; ``expected`` None accepts any."""
    missing = sorted(expression.names - set(known))
    for name in missing:
        found.append(unknown_name("a parameter, covariate or derived name", name, known, path=path))
    if missing:
        return None
    try:
        dimensions = expression.dimensions(known)
    except InputError as error:
        if not found.blame_missing_unit(model, expression, known):
            found += [problem.at(path=path) for problem in error.problems]
        return None
    mismatch = expected is not None and dimensions is not None and dimensions != expected
    if mismatch and not found.blame_missing_unit(model, expression, known):
        # A bare number in front of nothing (rate: 0.5) has no unit either, which is just as wrong.
        found.append(
            Problem(
                found=f"{shown(expression.text)}, which is {described(dimensions)}",
                expected=f"{what or described(expected)} ({described(expected)})" if what else described(expected),
                path=path,
            )
        )
    return dimensions


def _parameter_dimensions(model: ModelSpec, found: _Problems) -> dict[str, Dimensions]:
    known: dict[str, Dimensions] = {name: dict(powers) for name, powers in COVARIATES.items()}
    published: dict[str, Dimensions] = {
        name: dict(number.value.unit.dimensions) for name, number in model.published.items()
    }
    for section, names in (("parameters", model.parameters), ("derived", model.derived)):
        for name in names:
            if name in RESERVED:
                found.append(Problem(f"the name {name}", "a name that is not reserved", path=f"{section}.{name}"))
    for name in set(model.parameters) & set(model.derived):
        found.append(Problem(f"the name {name} in parameters too", "each name once", path=f"derived.{name}"))
    for name, parameter in model.parameters.items():
        if parameter.value is not None:
            dimensions: Dimensions = dict(parameter.value.unit.dimensions)
        else:
            assert parameter.conversion is not None
            path = f"parameters.{name}.conversion"
            dimensions = _expression(parameter.conversion, published, None, path, found, model)
        published.setdefault(name, dimensions)
        if dimensions is not None and dimensions.get("body_weight") == -1.0:
            dimensions = {key: power for key, power in dimensions.items() if key != "body_weight"}
        known[name] = dimensions
    return known


def _derived(model: ModelSpec, known: dict[str, Dimensions], found: _Problems) -> None:
    dosing: dict[str, Dimensions] = {**known, "device": {}}
    for name, expression in model.derived.items():
        dosing[name] = _expression(expression, dosing, None, f"derived.{name}", found, model)
        known[name] = dosing[name]


def _structure(model: ModelSpec, known: Mapping[str, Dimensions], found: _Problems) -> None:
    compartments = model.compartments
    for index, name in enumerate(compartments):
        if name in compartments[:index] or name == OUTSIDE:
            found.append(
                Problem(f"the compartment {name}", "each name once, and not outside", f"compartments[{index}]")
            )
    for index, flow in enumerate(model.flows):
        path = f"flows[{index}]"
        if flow.source not in compartments:
            found.append(unknown_name("a compartment", flow.source, compartments, path=f"{path}.from"))
        if flow.target not in (*compartments, OUTSIDE):
            found.append(
                unknown_name("a compartment or outside", flow.target, [*compartments, OUTSIDE], path=f"{path}.to")
            )
        if (flow.source, flow.target) in [(other.source, other.target) for other in model.flows[:index]]:
            found.append(Problem(f"a second flow from {flow.source} to {flow.target}", "each flow once", path=path))
        if flow.source == flow.target:
            found.append(Problem(f"a flow from {flow.source} to itself", "two compartments", path=path))
        if not device_free(model, flow.rate):
            found.append(Problem("device", "a rate that does not depend on the device", path=f"{path}.rate"))
        elif flow.rate.names:
            _expression(flow.rate, known, _RATE, f"{path}.rate", found, model, what="a rate constant")
        else:
            found.append(Problem(shown(flow.rate.text), "a rate made of parameters, which carry units", f"{path}.rate"))
    if all(flow.target in compartments for flow in model.flows):
        found.append(Problem("no flow that leaves the body", "a flow with `to: outside`", path="flows"))
    for name, output in model.outputs.items():
        path = f"outputs.{name}"
        if output.amount not in compartments:
            found.append(unknown_name("a compartment", output.amount, compartments, path=f"{path}.amount"))
        _expression(output.volume, known, {"volume": 1.0}, f"{path}.volume", found, model, what="a volume")
        if name in ("parent", "metabolite"):
            found.append(Problem(name, "the name of an analyte", path=path))
    for name in model.residual:
        if name not in model.outputs:
            found.append(unknown_name("an output", name, model.outputs, path=f"residual.{name}"))


def _routes(model: ModelSpec, known: Mapping[str, Dimensions], found: _Problems) -> None:
    dosing: dict[str, Dimensions] = {**known, "device": {}}
    for route, spec in model.routes.items():
        bare = f"routes.{route}"
        without = [way.into for way in spec.paths if way.fraction is None]
        if len(spec.paths) > 1 and without:
            missing = f"no fraction of the dose into {' and '.join(without)}"
            found.append(Problem(missing, "a fraction for each of several paths", path=bare))
        for index, way in enumerate(spec.paths):
            path = f"{bare}[{index}]" if spec.device is None else f"{bare}.paths[{index}]"
            if way.into not in model.compartments:
                found.append(unknown_name("a compartment", way.into, model.compartments, path=f"{path}.into"))
            if way.fraction is not None:
                _expression(way.fraction, dosing, {}, f"{path}.fraction", found, model, what="a fraction")
                if spec.device is None and not device_free(model, way.fraction):
                    found.append(
                        Problem("device", "a route that declares its device: {strength: ...}", f"{path}.fraction")
                    )
            for name, time in (("lag", way.lag), ("zero_order", way.zero_order)):
                if time is not None:
                    _expression(time, known, {"time": 1.0}, f"{path}.{name}", found, model, what="a time")
    for route in model.valid_for.routes or []:
        if route not in model.routes:
            found.append(unknown_name("a route of this model", route, model.routes, path="valid_for.routes"))


def _variability(model: ModelSpec, found: _Problems) -> None:
    borrowed = model.variability.borrowed
    if borrowed is not None and not is_path(borrowed) and borrowed not in library("models"):
        found.append(unknown_name("the name of a model", borrowed, library("models"), path="variability.borrowed"))
    for level in ("between_subject", "between_occasion"):
        block: Block = getattr(model.variability, level)
        here: list[Problem] = []
        for name, effect in block.effects.items():
            path = f"variability.{level}.{name}"
            here += _pair(name, effect, block, path) if "~" in name else _effect(name, effect, block, model, path)
        if not here:
            try:
                factor(block)
            except InputError as error:
                here = [problem.at(path=f"variability.{level}") for problem in error.problems]
        found += here


def _pair(name: str, effect: Effect, block: Block, path: str) -> list[Problem]:
    """The covariance of two effects, as ``V1~CL``."""
    first, _, second = name.partition("~")
    own = [key for key, other in block.effects.items() if "~" not in key and other.eta is None]
    problems = [
        unknown_name("a parameter of this block with a variance of its own", part, own, path=path)
        for part in (first, second)
        if part not in own
    ]
    if first == second:
        problems = [Problem(f"the covariance {name} of an effect with itself", "two parameters", path=path)]
    if f"{second}~{first}" in list(block.effects)[: list(block.effects).index(name)]:
        problems.append(Problem(f"{name} beside {second}~{first}", "each pair once", path=path))
    if effect.cov is None and effect.correlation is None:
        problems.append(Problem("no cov or correlation", "cov or correlation of the pair", path=path))
    return problems


def _effect(name: str, effect: Effect, block: Block, model: ModelSpec, path: str) -> list[Problem]:
    """The effect on one parameter."""
    if name not in model.parameters:
        return [unknown_name("a parameter", name, model.parameters, path=path)]
    if effect.cov is not None or effect.correlation is not None:
        return [Problem("the covariance of one parameter", f"a pair such as {name}~CL", path=path)]
    if effect.eta is not None:
        own = [key for key, other in block.effects.items() if "~" not in key and other.eta is None]
        if effect.eta not in own:
            expected = "a parameter with a variance of its own, whose effect is shared"
            return [unknown_name(expected, effect.eta, own, path=f"{path}.eta")]
    if effect.transform == "logit":
        value, per_weight = model.typical[name]
        if per_weight or not 0 < value < 1 or _dimensions_of(model, name):
            expected = "a parameter between 0 and 1 for the transform logit"
            return [Problem(f"the transform logit on {name} = {value:g}", expected, path=path)]
    return []


def _dimensions_of(model: ModelSpec, name: str) -> bool:
    value = model.parameters[name].value
    return value is not None and bool(value.unit.dimensions)


def _checks(model: ModelSpec, found: _Problems) -> None:
    """The figures that the model is held against: outputs, units and patients that exist."""
    kinds = {"peak": "concentration", "level_at": "concentration", "auc": "exposure", "time_of_peak": "time"}
    for index, check in enumerate(model.checks):
        path = f"checks[{index}]"
        try:
            model.output(check.output, path=f"{path}.output")
        except InputError as error:
            found += error.problems
        unit, description = units.KINDS[kinds[check.metric]]
        if check.expected.unit.dimensions != units.parse_unit(unit).dimensions:
            found.append(Problem(check.expected.text, description, path=f"{path}.expected"))
        if (check.metric == "level_at") != (check.at is not None):
            found.append(Problem("level_at and `at` apart", "both or neither", path=f"{path}.at"))
        for name, kind in (("weight", "weight"), ("age", "age"), ("height", "length")):
            if name in check.patient:
                low, high = PLAUSIBLE[name]
                try:
                    value = units.as_kind(check.patient[name], kind)
                    if not low <= value.value <= high:
                        found.append(Problem(value.text, f"{name} of {PLAUSIBLE_TEXT[name]}", f"{path}.patient.{name}"))
                except InputError as error:
                    found += [problem.at(path=f"{path}.patient.{name}") for problem in error.problems]


#: An adult on whom formulas are tried when a file is loaded.
_ADULT = {"age": 40.0, "weight": 70.0, "height": 170.0, "female": 1.0, "male": 0.0, "asian": 0.0, "japanese": 0.0}
_ADULT |= {"cyp2b6_activity": 1.0, "hepatic_impairment": 0.0}


def _typical_values(model: ModelSpec, found: _Problems) -> None:
    """Try every formula on a typical adult: a rate or fraction that comes out impossible is a mistake of the file."""
    values: dict[str, Value] = {**_ADULT, "device": 1.0}
    for name, (value, per_weight) in model.typical.items():
        values[name] = value * (_ADULT["weight"] if per_weight else 1.0)
    for name, expression in model.derived.items():
        values[name] = expression.evaluate(values)

    def tried(expression: Expression | None, path: str, high: float = math.inf) -> None:
        if expression is None:
            return
        result = float(expression.evaluate(values))
        if not 0 <= result <= high or not math.isfinite(result):
            seen = f"{shown(expression.text)}, which is {result:.4g} in a typical adult"
            expected = f"a value from 0 to {high:g}" if math.isfinite(high) else "a finite value of at least 0"
            found.append(Problem(seen, expected, path=path))

    for index, flow in enumerate(model.flows):
        tried(flow.rate, f"flows[{index}].rate")
    for route, spec in model.routes.items():
        for index, way in enumerate(spec.paths):
            path = f"routes.{route}[{index}]" if spec.device is None else f"routes.{route}.paths[{index}]"
            tried(way.fraction, f"{path}.fraction", 1.0)
            tried(way.lag, f"{path}.lag")
            tried(way.zero_order, f"{path}.zero_order")
    for name, output in model.outputs.items():
        tried(output.volume, f"outputs.{name}.volume")


def device_free(model: ModelSpec, expression: Expression) -> bool:
    """Whether a formula is the same for every device of a session."""
    return not _reaches(model, expression.names, "device")


def _reaches(model: ModelSpec, names: Iterable[str], target: str) -> bool:
    return any(
        name == target or (name in model.derived and _reaches(model, model.derived[name].names, target))
        for name in names
    )
