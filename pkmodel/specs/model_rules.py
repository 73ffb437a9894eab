"""What a model file must agree on across its sections: names that exist, dimensions that fit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pkmodel.errors import InputError, Problem, shown, unknown_name
from pkmodel.specs.expressions import Dimensions, Expression, described
from pkmodel.specs.model import COVARIATES, OUTSIDE, RESERVED, ModelSpec

_RATE = {"time": -1.0}


def problems(model: ModelSpec) -> list[Problem]:
    """Every mistake between the sections of a model file."""
    found: list[Problem] = []
    known = _parameter_dimensions(model, found)
    _derived(model, known, found)
    _structure(model, known, found)
    _routes(model, known, found)
    _variability(model, found)
    return found


def _expression(
    expression: Expression,
    known: Mapping[str, Dimensions],
    expected: Dimensions,
    path: str,
    found: list[Problem],
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
        found += [problem.at(path=path) for problem in error.problems]
        return None
    if expected is not None and dimensions is not None and dimensions != expected:
        # A bare number in front of nothing (rate: 0.5) has no unit either, which is just as wrong.
        found.append(
            Problem(
                found=f"{shown(expression.text)}, which is {described(dimensions)}",
                expected=f"{what or described(expected)} ({described(expected)})" if what else described(expected),
                path=path,
            )
        )
    return dimensions


def _parameter_dimensions(model: ModelSpec, found: list[Problem]) -> dict[str, Dimensions]:
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
            dimensions = _expression(parameter.conversion, published, None, path, found)
        published.setdefault(name, dimensions)
        if dimensions is not None and dimensions.get("body_weight") == -1.0:
            dimensions = {key: power for key, power in dimensions.items() if key != "body_weight"}
        known[name] = dimensions
    return known


def _derived(model: ModelSpec, known: dict[str, Dimensions], found: list[Problem]) -> None:
    dosing: dict[str, Dimensions] = {**known, "device": {}}
    for name, expression in model.derived.items():
        dosing[name] = _expression(expression, dosing, None, f"derived.{name}", found)
        known[name] = dosing[name]


def _structure(model: ModelSpec, known: Mapping[str, Dimensions], found: list[Problem]) -> None:
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
        if flow.source == flow.target:
            found.append(Problem(f"a flow from {flow.source} to itself", "two compartments", path=path))
        if not device_free(model, flow.rate):
            found.append(Problem("device", "a rate that does not depend on the device", path=f"{path}.rate"))
        elif flow.rate.names:
            _expression(flow.rate, known, _RATE, f"{path}.rate", found, what="a rate constant")
        else:
            found.append(Problem(shown(flow.rate.text), "a rate made of parameters, which carry units", f"{path}.rate"))
    for name, output in model.outputs.items():
        path = f"outputs.{name}"
        if output.amount not in compartments:
            found.append(unknown_name("a compartment", output.amount, compartments, path=f"{path}.amount"))
        _expression(output.volume, known, {"volume": 1.0}, f"{path}.volume", found, what="a volume")
        if name in ("parent", "metabolite"):
            found.append(Problem(name, "the name of an analyte", path=path))
    for name in model.residual:
        if name not in model.outputs:
            found.append(unknown_name("an output", name, model.outputs, path=f"residual.{name}"))


def _routes(model: ModelSpec, known: Mapping[str, Dimensions], found: list[Problem]) -> None:
    dosing: dict[str, Dimensions] = {**known, "device": {}}
    for route, spec in model.routes.items():
        bare = f"routes.{route}"
        for index, way in enumerate(spec.paths):
            path = f"{bare}[{index}]" if spec.device is None else f"{bare}.paths[{index}]"
            if way.into not in model.compartments:
                found.append(unknown_name("a compartment", way.into, model.compartments, path=f"{path}.into"))
            if way.fraction is not None:
                _expression(way.fraction, dosing, {}, f"{path}.fraction", found, what="a fraction")
                if spec.device is None and not device_free(model, way.fraction):
                    found.append(
                        Problem("device", "a route that declares its device: {strength: ...}", f"{path}.fraction")
                    )
            for name, time in (("lag", way.lag), ("zero_order", way.zero_order)):
                if time is not None:
                    _expression(time, known, {"time": 1.0}, f"{path}.{name}", found, what="a time")
    for route in model.valid_for.routes or []:
        if route not in model.routes:
            found.append(unknown_name("a route of this model", route, model.routes, path="valid_for.routes"))


def _variability(model: ModelSpec, found: list[Problem]) -> None:
    for level in ("between_subject", "between_occasion"):
        effects = getattr(model.variability, level).effects
        names = [name for name in effects if "~" not in name]
        for name, effect in effects.items():
            path = f"variability.{level}.{name}"
            pair = name.split("~")
            if len(pair) == 2:
                for part in pair:
                    if part not in names:
                        found.append(unknown_name("a parameter of this block", part, names, path=path))
                if effect.cov is None and effect.correlation is None:
                    found.append(Problem("no cov or correlation", "cov or correlation of the pair", path=path))
            elif name not in model.parameters:
                found.append(unknown_name("a parameter", name, model.parameters, path=path))
            elif effect.cov is not None or effect.correlation is not None:
                found.append(Problem("the covariance of one parameter", f"a pair such as {name}~CL", path=path))
            elif effect.eta is not None and effect.eta not in names:
                found.append(unknown_name("a parameter whose effect is shared", effect.eta, names, path=f"{path}.eta"))
        if not found:
            try:
                from pkmodel.specs.covariance import factor

                factor(getattr(model.variability, level))
            except InputError as error:
                found += [problem.at(path=f"variability.{level}") for problem in error.problems]


def device_free(model: ModelSpec, expression: Expression) -> bool:
    """Whether a formula is the same for every device of a session."""
    return not _reaches(model, expression.names, "device")


def _reaches(model: ModelSpec, names: Iterable[str], target: str) -> bool:
    return any(
        name == target or (name in model.derived and _reaches(model, model.derived[name].names, target))
        for name in names
    )
