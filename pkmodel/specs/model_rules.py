"""What a model file must agree on across its sections: names that exist, dimensions that fit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pkmodel.errors import Problem, shown, unknown_name
from pkmodel.specs.check_rules import check_checks
from pkmodel.specs.effect_rules import check_effects, try_effects
from pkmodel.specs.expressions import Dimensions, Expression, Value
from pkmodel.specs.formula_rules import Problems, Trial, check_formula
from pkmodel.specs.model import OUTSIDE, RESERVED, TIME, Flow, ModelSpec
from pkmodel.specs.parameter import COVARIATES
from pkmodel.specs.variability_rules import check_variability

_RATE = {"time": -1.0}


def problems(model: ModelSpec) -> list[Problem]:
    """Every mistake between the sections of a model file."""
    found = Problems(model)
    known = _parameter_dimensions(model, found)
    changing = _derived(model, known, found)
    _structure(model, known, changing, found)
    check_effects(model, known, found)
    _routes(model, known, found)
    check_variability(model, found)
    check_checks(model, known, found)
    if not found:
        _typical_values(model, found)
    return found


def _parameter_dimensions(model: ModelSpec, found: Problems) -> dict[str, Dimensions]:
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
            dimensions = check_formula(parameter.conversion, published, None, path, found, model)
        published.setdefault(name, dimensions)
        if dimensions is not None and dimensions.get("body_weight") == -1.0:
            dimensions = {key: power for key, power in dimensions.items() if key != "body_weight"}
        known[name] = dimensions
    return known


def _derived(model: ModelSpec, known: dict[str, Dimensions], found: Problems) -> dict[str, Dimensions]:
    """Check derived names. Those that stay the same go to ``known``; returns what a rate may use, which is more."""
    changing: dict[str, Dimensions] = {TIME: {"time": 1.0}}
    changing |= {name: {"mass": 1.0, "volume": -1.0} for name in model.outputs}
    changing |= {name: effect.dimensions for name, effect in model.effects.items()}
    for name, expression in model.derived.items():
        powers = check_formula(expression, {**changing, **known, "device": {}}, None, f"derived.{name}", found, model)
        (changing if name in model.changing else known)[name] = powers
    return {**changing, **known}


def _structure(
    model: ModelSpec, known: Mapping[str, Dimensions], changing: Mapping[str, Dimensions], found: Problems
) -> None:
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
        law = "michaelis_menten" if flow.rate is None else "rate"
        if any(
            (flow.source, flow.target) == (other.source, other.target) and getattr(other, law) is not None
            for other in model.flows[:index]
        ):
            expected = "each flow once (a rate and a michaelis_menten may stand side by side)"
            found.append(Problem(f"a second flow from {flow.source} to {flow.target}", expected, path=path))
        if flow.source == flow.target:
            found.append(Problem(f"a flow from {flow.source} to itself", "two compartments", path=path))
        if flow.rate is not None:
            _rate(model, flow.rate, changing, f"{path}.rate", found)
        else:
            _saturable(model, flow, known, changing, f"{path}.michaelis_menten", found)
    if all(flow.target in compartments for flow in model.flows):
        found.append(Problem("no flow that leaves the body", "a flow with `to: outside`", path="flows"))
    for name, output in model.outputs.items():
        path = f"outputs.{name}"
        if output.amount not in compartments:
            found.append(unknown_name("a compartment", output.amount, compartments, path=f"{path}.amount"))
        check_formula(output.volume, known, {"volume": 1.0}, f"{path}.volume", found, model, what="a volume")
        if output.molar_mass is not None and model.outputs[model.parent].molar_mass is None:
            expected = f"that of {model.parent} too, to which it is a ratio"
            found.append(Problem(f"the molar_mass of {name} alone", expected, path=f"{path}.molar_mass"))
        if name in ("parent", "metabolite"):
            found.append(Problem(name, "the name of an analyte", path=path))
        if name in (*model.parameters, *model.derived, *RESERVED):
            found.append(Problem(f"the name {name}, which is taken", "a name of its own", path=path))
    for name in model.residual:
        if name not in model.outputs:
            found.append(unknown_name("an output", name, model.outputs, path=f"residual.{name}"))


def _rate(model: ModelSpec, rate: Expression, changing: Mapping[str, Dimensions], path: str, found: Problems) -> None:
    """A rate of first order, which may change with the time, a level or an effect."""
    if not device_free(model, rate):
        found.append(Problem("device", "a rate that does not depend on the device", path=path))
    elif rate.names:
        check_formula(rate, changing, _RATE, path, found, model, what="a rate constant")
    else:
        found.append(Problem(shown(rate.text), "a rate made of parameters, which carry units", path=path))


def _saturable(
    model: ModelSpec,
    flow: Flow,
    known: Mapping[str, Dimensions],
    changing: Mapping[str, Dimensions],
    path: str,
    found: Problems,
) -> None:
    """vmax and km may change with time, the volume may not."""
    law = flow.michaelis_menten
    assert law is not None
    for name, expected, what in (
        ("vmax", {"mass": 1.0, "time": -1.0}, "a mass per time"),
        ("km", {"mass": 1.0, "volume": -1.0}, "a concentration"),
    ):
        formula: Expression = getattr(law, name)
        if not device_free(model, formula):
            found.append(Problem("device", f"{name} that does not depend on the device", path=f"{path}.{name}"))
        else:
            check_formula(formula, changing, expected, f"{path}.{name}", found, model, what=what)
    if law.volume is not None:
        check_formula(law.volume, known, {"volume": 1.0}, f"{path}.volume", found, model, what="a volume")
    elif volume_of(model, flow.source) is None:
        what = "a volume, which is that of the output only where there is exactly one of this compartment"
        found.append(Problem(f"no volume of {flow.source}", what, path=path))


def volume_of(model: ModelSpec, compartment: str) -> Expression | None:
    """The volume of the only output of a compartment; None where there is none, or several."""
    volumes = [output.volume for output in model.outputs.values() if output.amount == compartment]
    return volumes[0] if len({volume.text for volume in volumes}) == 1 else None


def _routes(model: ModelSpec, known: Mapping[str, Dimensions], found: Problems) -> None:
    dosing: dict[str, Dimensions] = {**known, "device": {}}
    for route, spec in model.routes.items():
        bare = f"routes.{route}"
        without = [way.into for way in spec.paths if way.fraction is None]
        if len(spec.paths) > 1 and without:
            missing = f"no fraction of the dose into {' and '.join(without)}"
            found.append(Problem(missing, "a fraction for each of several paths", path=bare))
        swallowed = [way.into for way in spec.paths if way.swallowed is not None]
        if len(swallowed) > 1 or (swallowed and route != "intranasal"):
            expected = "at most one path that is swallowed, of the route intranasal"
            found.append(Problem(f"swallowed into {' and '.join(swallowed)} by {route}", expected, path=bare))
        for index, way in enumerate(spec.paths):
            path = f"{bare}[{index}]" if spec.device is None else f"{bare}.paths[{index}]"
            if way.apparent and way.fraction is None:
                found.append(
                    Problem("apparent without a fraction", "the fraction that is apparent", f"{path}.apparent")
                )
            if way.into not in model.compartments:
                found.append(unknown_name("a compartment", way.into, model.compartments, path=f"{path}.into"))
            if way.fraction is not None:
                check_formula(way.fraction, dosing, {}, f"{path}.fraction", found, model, what="a fraction")
                if spec.device is None and not device_free(model, way.fraction):
                    found.append(
                        Problem("device", "a route that declares its device: {strength: ...}", f"{path}.fraction")
                    )
            if way.swallowed is not None:
                check_formula(way.swallowed, known, {}, f"{path}.swallowed", found, model, what="a fraction")
                if not device_free(model, way.swallowed):
                    found.append(
                        Problem("device", "a fraction that does not depend on the device", f"{path}.swallowed")
                    )
            for name, time in (("lag", way.lag), ("zero_order", way.zero_order)):
                if time is not None:
                    check_formula(time, known, {"time": 1.0}, f"{path}.{name}", found, model, what="a time")
    for route in model.valid_for.routes or []:
        if route not in model.routes:
            found.append(unknown_name("a route of this model", route, model.routes, path="valid_for.routes"))


#: An adult on whom formulas are tried when a file is loaded.
_ADULT = {"age": 40.0, "weight": 70.0, "height": 170.0, "female": 1.0, "male": 0.0, "asian": 0.0, "japanese": 0.0}
_ADULT |= {"cyp2b6_activity": 1.0, "hepatic_impairment": 0.0}


def typical_adult(model: ModelSpec) -> dict[str, Value]:
    """Covariates, typical parameters, and what is derived of them and stays the same, of one adult."""
    values: dict[str, Value] = {**_ADULT, "device": 1.0}
    for name, (value, per_weight) in model.typical.items():
        values[name] = value * (_ADULT["weight"] if per_weight else 1.0)
    for name, expression in model.derived.items():
        if name not in model.changing:
            values[name] = expression.evaluate(values)
    return values


def _typical_values(model: ModelSpec, found: Problems) -> None:
    """Try every formula on a typical adult before the first dose: what comes out impossible is a mistake of the file.

    Rates that change with time are tried at the end of ``valid_for.duration`` too.
    """
    trial = Trial(typical_adult(model), found)
    try_effects(model, trial)
    for route, spec in model.routes.items():
        for index, way in enumerate(spec.paths):
            path = f"routes.{route}[{index}]" if spec.device is None else f"routes.{route}.paths[{index}]"
            trial(way.fraction, f"{path}.fraction", high=None if way.apparent else 1.0)
            trial(way.swallowed, f"{path}.swallowed", high=1.0)
            trial(way.lag, f"{path}.lag")
            trial(way.zero_order, f"{path}.zero_order")
    for name, output in model.outputs.items():
        trial(output.volume, f"outputs.{name}.volume")
    duration = model.valid_for.duration
    for time in (0.0,) if duration is None else (0.0, duration.value):
        if found:
            return
        trial.values |= {TIME: time, **dict.fromkeys(model.outputs, 0.0)}
        for name, expression in model.derived.items():
            if name in model.changing:
                trial.values[name] = expression.evaluate(trial.values)
        for index, flow in enumerate(model.flows):
            trial(flow.rate, f"flows[{index}].rate")
            if (law := flow.michaelis_menten) is not None:
                path = f"flows[{index}].michaelis_menten"
                trial(law.vmax, f"{path}.vmax")
                trial(law.km, f"{path}.km", above=True)
                trial(law.volume, f"{path}.volume", above=True)


def device_free(model: ModelSpec, expression: Expression) -> bool:
    """Whether a formula is the same for every device of a session."""
    return not _reaches(model, expression.names, "device")


def _reaches(model: ModelSpec, names: Iterable[str], target: str) -> bool:
    return any(
        name == target or (name in model.derived and _reaches(model, model.derived[name].names, target))
        for name in names
    )
