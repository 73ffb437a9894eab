"""What ``pkmodel design`` is asked: a scenario's arm or a protocol, its quantities with their ranges, and the rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pkmodel.design import Task
from pkmodel.errors import InputError, Problem, unknown_name
from pkmodel.specs import defaults, knobs
from pkmodel.specs.library import Scenario, cross_checks, load_population, load_protocol, load_rule, load_scenario
from pkmodel.specs.loading import document_of, find, is_path, library
from pkmodel.specs.scenario import Observe, Rule
from pkmodel.specs.yaml_tree import read_yaml

#: A range that is searched where none is given, as factors of the value in the file (assumed).
AROUND = (0.2, 4.0)
#: Bands are not looked at, so the grid of times is as coarse as it may be.
_OBSERVED = {"every": "1 h", "for": "1 h"}


def prepare(
    source: str,
    *,
    parameters: Sequence[str],
    rules: Sequence[str],
    arm: str | None = None,
    model: str | None = None,
    population: str | None = None,
    effects: Sequence[str] = (),
    lows: Sequence[str] = (),
    highs: Sequence[str] = (),
    n: int | None = None,
    seed: int | None = None,
) -> Task:
    """The task of a search.

    Parameters
    ----------
    source
        name or path of a scenario or of a protocol; a protocol runs on ``model``, or the default one of its drug and
        routes, in ``population``.
    parameters
        one or two quantities of the protocol (:func:`pkmodel.specs.knobs.find`).
    rules
        ids of rules of the scenario, or names or paths of rule files; those of the scenario where none is given.
    lows, highs
        ends of the range of each quantity; 0.2 and 4 times its present value where they are not given.

    Raises
    ------
    InputError
        with every mistake, and the names that there are.
    """
    if not 1 <= len(parameters) <= 2:
        raise InputError(Problem(f"{len(parameters)} parameters", "one, or two for a map", where="--parameter"))
    if _is_scenario(source):
        if population is not None:
            raise InputError(Problem("--population with a scenario", "a protocol, or the scenario's own population"))
        scenario = load_scenario(source).with_options(n=n, seed=seed)
        scenario = _one_arm(scenario, arm, model)
        tree = _tree_of(scenario, scenario.arms[0].key or scenario.arms[0].name)
    else:
        if arm is not None:
            raise InputError(Problem("--arm with a protocol", "a scenario, whose arm it is", where="--arm"))
        scenario, tree = _of_protocol(source, model, population or "adults_trials", effects, n, seed)
    judged = [_rule(name, scenario) for name in rules] or list(scenario.spec.rules)
    if not judged:
        raise InputError(Problem("no rule", "--rule with the name of a rule, such as ceiling", where="--rule"))
    coarse = scenario.spec.model_copy(
        update={"rules": judged, "compare": None, "marks": [], "observe": Observe.model_validate(_OBSERVED)}
    )
    scenario = _checked(replace(scenario, spec=coarse))
    found = [knobs.find(tree, name) for name in parameters]
    if len(found) == 2 and set(found[0].places) & set(found[1].places):
        raise InputError(Problem(f"{parameters[0]} and {parameters[1]}", "two quantities", where="--parameter"))
    ranges = []
    for index, knob in enumerate(found):
        low, high = (factor * knob.now.number for factor in AROUND)
        low = knob.number(lows[index], "--from") if index < len(lows) else low
        high = knob.number(highs[index], "--to") if index < len(highs) else high
        if low >= high:
            raise InputError(Problem(f"{low:g} to {high:g} {knob.unit}", "a range that rises", where="--from, --to"))
        ranges.append((low, high))
    return Task(scenario, tree, tuple(found), tuple(ranges))


def _is_scenario(source: str) -> bool:
    if is_path(source):
        return "arms" in read_yaml(find("scenarios", source)).tree
    if source in library("scenarios"):
        return True
    if source in library("protocols"):
        return False
    known = [*library("protocols"), *library("scenarios")]
    raise InputError(unknown_name("the name of a protocol or scenario, or the path of a YAML file", source, known))


def _one_arm(scenario: Scenario, name: str | None, model: str | None) -> Scenario:
    """The scenario with one arm on one model."""
    names = [arm.name for arm in scenario.arms]
    if name is None and len(names) > 1:
        raise InputError(Problem("no arm", f"--arm with one of {', '.join(names)}", where="--arm"))
    if name is not None and name not in names:
        raise InputError(unknown_name("an arm", name, names, where="--arm"))
    arm = next(arm for arm in scenario.arms if name in (None, arm.name))
    scenario = replace(scenario, arms=(arm,))
    if model is not None:
        return scenario.with_models([model])
    if len(arm.models) > 1:
        listed = ", ".join(item.id for item in arm.models)
        raise InputError(Problem(f"{len(arm.models)} models", f"--model with one of {listed}", where="--model"))
    return scenario


def _tree_of(scenario: Scenario, arm: str) -> dict[str, Any]:
    """The protocol of an arm as its file has it."""
    source = scenario.spec.arms[arm].protocol
    if isinstance(source, Mapping):
        return dict(source)
    return dict(scenario.inputs[f"protocol {source}"].document.tree)


def _of_protocol(
    source: str, model: str | None, population: str, effects: Sequence[str], n: int | None, seed: int | None
) -> tuple[Scenario, dict[str, Any]]:
    """A scenario of one protocol."""
    protocol = load_protocol(source)
    if model is None:
        model = defaults.model_for(protocol, defaults.group_of(load_population(population)), arm="protocol").model
    scenario = load_scenario(
        {
            "title": protocol.title,
            "arms": {"protocol": {"protocol": source}},
            "model": model,
            "effects": list(effects),
            "population": population,
            "observe": _OBSERVED,
            "n": 2000 if n is None else n,
            "seed": 1 if seed is None else seed,
            "rules": [{"id": "none", "metric": "peak", "at_most": "1 g/L", "in": "100 %"}],
        }
    )
    scenario = replace(scenario, spec=scenario.spec.model_copy(update={"rules": []}))
    return scenario, dict(document_of("protocols", source).tree)


def _rule(name: str, scenario: Scenario) -> Rule:
    own = {rule.id: rule for rule in scenario.spec.rules}
    if name in own:
        return own[name]
    if not is_path(name) and name not in library("rules"):
        raise InputError(unknown_name("a rule", name, [*own, *library("rules")], where="--rule"))
    return load_rule(name)


def _checked(scenario: Scenario) -> Scenario:
    """With rules that fit the model and the course; raises InputError where they do not."""
    if problems := cross_checks(scenario):
        raise InputError([problem.at(where="--rule") for problem in problems])
    return scenario
