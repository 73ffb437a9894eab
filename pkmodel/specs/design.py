"""What ``pkmodel design`` turns: a quantity of a protocol file, by its path, between two bounds; and what must hold.

The protocol is the file with that one value replaced, read and checked again, so that a value that cannot be in a file
cannot be tried either.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pkmodel.errors import InputError, Problem, nearest, one_of, shown, unknown_name
from pkmodel.specs import defaults, loading
from pkmodel.specs.library import Arm, Loaded, Scenario, cross_checks, load_population, load_protocol, load_scenario
from pkmodel.specs.loading import parts
from pkmodel.specs.metric import OF_A_RULE, metric_name
from pkmodel.specs.protocol import ProtocolSpec
from pkmodel.specs.rule import Rule
from pkmodel.specs.rule_checks import refusal
from pkmodel.specs.yaml_tree import Document, Place, dotted
from pkmodel.units import Quantity, Unit, parse

Side = Literal["largest", "smallest"]

#: The range where none is given, in parts of the value in the file; called assumed wherever it shows.
RANGE = (0.1, 4.0)
#: Sections of a protocol in which numbers are no setting of a dose.
_NO_SETTING = ("source", "title", "notes", "name")


@dataclass(frozen=True)
class Knob:
    """One quantity of a protocol: where it stands, what it is there, and between which numbers of ``unit`` it goes."""

    name: str
    """As it was asked for."""
    path: str
    place: Place
    written: Quantity
    low: float
    high: float
    unit: Unit
    assumed: bool
    """Whether the bounds are ours."""

    def text(self, value: float) -> str:
        """A value as a file has it, with every digit."""
        return f"{value!r} {self.unit.text}"

    def label(self, value: float) -> str:
        """A value to read."""
        return f"{value:.4g} {self.unit.text}"

    @property
    def now(self) -> float:
        """The value of the file, in ``unit``."""
        return float(self.written.value / self.unit.factor)


@dataclass(frozen=True)
class Request:
    """A design ready to be looked for; made by :func:`prepare`."""

    scenario: Scenario
    """With the one arm that is designed, and with the rules that must hold."""
    knobs: tuple[Knob, ...]
    side: Side
    tree: Mapping[str, Any]
    """The protocol as its file has it."""
    why_model: str
    points: int

    @property
    def arm(self) -> Arm:
        """The arm that is designed."""
        return self.scenario.arms[0]

    def protocol(self, values: Sequence[float]) -> ProtocolSpec:
        """The protocol with these values of the knobs. Raises InputError where a file could not have them."""
        tree = copy.deepcopy(dict(self.tree))
        for knob, value in zip(self.knobs, values, strict=True):
            holder: Any = tree
            for part in knob.place[:-1]:
                holder = holder[part]
            holder[knob.place[-1]] = knob.text(value)
        try:
            return load_protocol(tree)
        except InputError as error:
            said = ", ".join(
                f"{knob.path} = {knob.label(value)}" for knob, value in zip(self.knobs, values, strict=True)
            )
            raise InputError([item.at(where=f"the protocol with {said}") for item in error.problems]) from None

    def at(self, values: Sequence[float]) -> Scenario:
        """The scenario with these values of the knobs."""
        return self.scenario.with_protocol(self.protocol(values))


def prepare(
    source: str,
    parameters: Sequence[str],
    rules: Sequence[str],
    *,
    arm: str | None = None,
    model: str | None = None,
    population: str | None = None,
    bounds: Sequence[tuple[str | None, str | None]] = (),
    n: int | None = None,
    seed: int | None = None,
    side: Side = "largest",
    points: int = 17,
) -> Request:
    """What to look for.

    Parameters
    ----------
    source
        a scenario or a protocol, by name or path; a protocol runs on the default model of its drug and routes.
    parameters
        one path of the protocol, or two for a map: ``dose``, ``over``, ``phases[1].dose``, ``taper.to``. Only as much
        of the path is needed as tells it from the others.
    rules
        rules that must hold: ids of the scenario, names of the library, or paths of rule files.
    bounds
        for each parameter the lower and the upper end; a tenth and four times what the file has, where none is given.
    points
        how many values are tried over the range before the answer is closed in on.

    Raises
    ------
    InputError
        with every mistake.
    """
    if not 1 <= len(parameters) <= 2:
        found = "nothing" if not parameters else f"{len(parameters)} parameters"
        raise InputError(Problem(found, "one parameter, or two for a map", where="--parameter"))
    if not rules:
        raise InputError(Problem("nothing", "at least one rule that must hold", where="--rule"))
    if not 5 <= points <= 201:
        raise InputError(Problem(str(points), "a number of values from 5 to 201", where="--points"))
    scenario, why = _scenario(source, rules, arm=arm, model=model, population=population)
    scenario = scenario.with_options(n=n, seed=seed)
    tree = _tree_of(scenario)
    knobs = []
    for index, name in enumerate(parameters):
        low, high = bounds[index] if index < len(bounds) else (None, None)
        knobs.append(_knob(tree, name, low, high, title=scenario.arms[0].name))
    if len(knobs) == 2 and knobs[0].place == knobs[1].place:
        raise InputError(Problem(f"{knobs[0].path} a second time", "two parameters", where="--parameter"))
    request = Request(scenario, tuple(knobs), side, tree, why, points)
    for ends in (tuple(knob.low for knob in knobs), tuple(knob.high for knob in knobs)):
        request.at(ends)  # what no file could hold is refused before anything runs
    return request


def subject(
    source: str, *, arm: str | None = None, model: str | None = None, population: str | None = None
) -> tuple[Scenario | None, dict[str, Any], str]:
    """What a name or path stands for: a scenario, or else the beginning of one around a protocol, and why its model.

    Raises InputError with the nearest name of either kind.
    """
    if _is_scenario(source):
        found = load_scenario(source)
        if model is not None:
            found = found.with_models([model])
        if population is not None:
            chosen, document = loading.load("populations", population, type(found.population))
            kept = {key: item for key, item in found.inputs.items() if not key.startswith("population ")}
            found = replace(
                found, population=chosen, inputs={**kept, f"population {population}": Loaded(population, document)}
            )
        return _of_arm(found, arm), {}, "as the scenario says" if model is None else "as asked"
    protocol = load_protocol(source)
    if arm is not None:
        raise InputError(Problem(f"the arm {arm} of a protocol", "no --arm with a protocol", where="--arm"))
    people = population or "adults_trials"
    why = "as asked"
    if model is None:
        choice = defaults.model_for(protocol, defaults.group_of(load_population(people)), arm="design")
        model, why = choice.model, f"by default: {choice.why}"
    name = Path(source).stem if loading.is_path(source) else source
    name = "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in name)
    name = name if name[:1].isalpha() else f"arm_{name}"
    tree = {
        "title": protocol.title,
        "arms": {name: {"protocol": source, "model": model}},
        "population": people,
        "observe": {"every": "4 h", "for": "4 h"},
    }
    return None, tree, why


def _scenario(
    source: str, rules: Sequence[str], *, arm: str | None, model: str | None, population: str | None
) -> tuple[Scenario, str]:
    """The scenario with one arm, without what only pictures need, and with the rules that must hold."""
    found, tree, why = subject(source, arm=arm, model=model, population=population)
    if found is None:
        read = [rule_tree(name) for name in rules]
        try:
            return replace(load_scenario({**tree, "rules": read}), id="design"), why
        except InputError as error:
            raise InputError([_of_rule(problem) for problem in error.problems]) from None
    own = {rule.id: rule for rule in found.spec.rules}
    kept: list[Rule] = [own[name] if name in own else read_rule(name, own) for name in rules]
    spec = found.spec.model_copy(update={"rules": kept, "compare": None, "marks": []})
    found = replace(found, spec=_coarse(spec))
    if problems := cross_checks(found):  # a rule that the scenario does not have may not fit it
        raise InputError([_of_rule(problem) for problem in problems])
    return found, why


def _of_rule(problem: Problem) -> Problem:
    """A mistake of a rule of a scenario in memory at the option that named the rule."""
    if problem.where not in ("", "<scenario>") or not problem.path.startswith("rules["):
        return problem
    return problem.at(where="--rule", path=problem.path.partition("].")[2])


def _coarse(spec: Any) -> Any:
    """Levels of a grid are not looked at here: one step over what is observed."""
    return spec.model_copy(update={"observe": spec.observe.model_copy(update={"every": spec.observe.span})})


def _is_scenario(source: str) -> bool:
    if loading.is_path(source):
        tree = loading.document_of("scenarios", source).tree
        return isinstance(tree, dict) and "arms" in tree
    known = {kind: loading.library(kind) for kind in ("scenarios", "protocols")}
    if source in known["scenarios"]:
        return True
    if source in known["protocols"]:
        return False
    kind = "the name of a scenario or a protocol, or the path of a YAML file"
    raise InputError(unknown_name(kind, source, [*known["scenarios"], *known["protocols"]]))


def _of_arm(scenario: Scenario, arm: str | None) -> Scenario:
    names = [item.name for item in scenario.arms]
    if arm is None and len(names) > 1:
        raise InputError(Problem(f"{len(names)} arms", f"--arm, {one_of(names)}", where="--arm"))
    if arm is not None and arm not in names:
        raise InputError(unknown_name("an arm", arm, names, where="--arm"))
    chosen = scenario.arms[names.index(arm) if arm is not None else 0]
    if chosen.key and chosen.key != chosen.name:
        found = f"{chosen.name}, one drug of a protocol that changes drugs"
        raise InputError(Problem(found, "an arm with a protocol of one drug", where="--arm"))
    if len(chosen.models) > 1:
        models = [model.id for model in chosen.models]
        raise InputError(Problem(f"{len(models)} models", f"--model, {one_of(models)}", where="--model"))
    return replace(scenario, arms=(chosen,))


def rule_tree(name: str) -> dict[str, Any]:
    """A rule of the library, or of a file, as a scenario would hold it. Raises InputError where there is none."""
    read_rule(name, ())
    document = _rule_document(name)
    return {"id": _rule_id(name), **document.tree}


def read_rule(name: str, own: Mapping[str, Rule] | Sequence[str]) -> Rule:
    """A rule of the library, or of a file; ``own`` are the ids that would have been legal too."""
    if not loading.is_path(name) and name not in loading.library("rules"):
        kind = "a rule of the scenario or of the library, or the path of a rule file"
        raise InputError(unknown_name(kind, name, [*own, *loading.library("rules")], where="--rule"))
    document = _rule_document(name)
    if isinstance(document.tree, dict):
        document = replace(document, tree={"id": _rule_id(name), **document.tree})
    return loading.check(document, Rule)


def _rule_document(name: str) -> Document:
    return loading.document_of("rules", name)


def _rule_id(name: str) -> str:
    stem = Path(name).stem if loading.is_path(name) else name
    return "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in stem)


def _tree_of(scenario: Scenario) -> Mapping[str, Any]:
    """The protocol of the one arm as its file has it."""
    arm = scenario.arms[0]
    source = scenario.spec.arms[arm.key or arm.name].protocol
    if isinstance(source, dict):
        return source
    tree: Mapping[str, Any] = scenario.inputs[f"protocol {source}"].document.tree
    return tree


def settings(tree: Mapping[str, Any]) -> dict[str, tuple[Place, Quantity]]:
    """Every quantity with a unit of a protocol file, by its path."""
    found: dict[str, tuple[Place, Quantity]] = {}

    def walk(value: Any, place: Place) -> None:
        if place and place[-1] in _NO_SETTING:
            return
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(inner, (*place, key))
        elif isinstance(value, list):
            for index, inner in enumerate(value):
                walk(inner, (*place, index))
        elif isinstance(value, str):
            try:
                quantity = parse(value)
            except InputError:
                return
            found[dotted(place)] = (place, quantity)

    walk(tree, ())
    return found


def _knob(tree: Mapping[str, Any], name: str, low: str | None, high: str | None, *, title: str) -> Knob:
    """The quantity that a path, or the end of one, stands for."""
    known = settings(tree)
    fits = [path for path, (place, _) in known.items() if path == name or _ends(place, parts(name))]
    if not fits:
        where = "--parameter"
        short = {_short(path): path for path in known}
        close = nearest(name, [*short, *known])
        raise InputError(
            Problem(shown(name), f"a quantity of {title}: {one_of([*known], 20)}", where=where, nearest=close)
        )
    if len(fits) > 1 and name not in fits:
        raise InputError(Problem(f"{name}, which is several", f"{one_of(fits, 20)}", where="--parameter"))
    path = name if name in known else fits[0]
    place, written = known[path]
    ends = []
    for option, text in (("--from", low), ("--to", high)):
        if text is None:
            continue
        try:
            quantity = parse(text)
        except InputError as error:
            raise InputError([item.at(where=option) for item in error.problems]) from None
        if quantity.unit.dimensions != written.unit.dimensions:
            expected = f"a value of the kind of {path}: {written.text}"
            raise InputError(Problem(quantity.text, expected, where=option))
        ends.append((option, quantity))
    unit = ends[0][1].unit if ends else written.unit
    given = {option: float(quantity.value / unit.factor) for option, quantity in ends}
    now = float(written.value / unit.factor)
    sides = sorted((now * RANGE[0], now * RANGE[1]))
    start, end = given.get("--from", sides[0]), given.get("--to", sides[1])
    if not start < end:
        raise InputError(Problem(f"{start:g} to {end:g} {unit.text}", "a start below the end", where="--from"))
    return Knob(name, path, place, written, start, end, unit, len(ends) < 2)


def _ends(place: Place, tail: Place) -> bool:
    return bool(tail) and place[-len(tail) :] == tail


def _short(path: str) -> str:
    return path.rpartition(".")[2]


def explored(
    source: str,
    metric: str | None,
    rule: str | None,
    *,
    arm: str | None = None,
    model: str | None = None,
    population: str | None = None,
) -> tuple[Scenario, str]:
    """The scenario whose metric, or the failure of whose rule, is explored for what drives it; and that metric.

    Raises InputError where a name is wrong, or a metric needs a threshold or moment that only a rule can give it.
    """
    if metric is not None and rule is not None:
        raise InputError(Problem("a metric and a rule", "one of them", where="--metric"))
    if rule is not None:
        scenario, _ = _scenario(source, [rule], arm=arm, model=model, population=population)
        return scenario, scenario.spec.rules[0].named
    try:
        name = metric_name(metric or "peak")
    except InputError as error:
        raise InputError([item.at(where="--metric") for item in error.problems]) from None
    if name in OF_A_RULE:
        raise InputError(Problem(name, f"--rule, with a rule that gives {name} its threshold or moment", "--metric"))
    found, tree, _ = subject(source, arm=arm, model=model, population=population)
    compare = {"reference": next(iter(tree.get("arms", {"": None}))), "metrics": [name]}
    if found is None:
        found = replace(load_scenario({**tree, "compare": compare}), id="sensitivity")
    spec = found.spec.model_copy(update={"rules": [], "compare": None, "marks": []})
    found = replace(found, spec=_coarse(spec))
    (chosen,) = found.arms[0].models
    if (refused := refusal(chosen, chosen.observable("parent"), name)) is not None:
        raise InputError(refused.at(where="--metric", path=""))
    return found, name
