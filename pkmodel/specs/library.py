"""Load models, effects, protocols, populations and scenarios, by name or by path, with what they refer to."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

from pkmodel.errors import InputError, Problem, unknown_name
from pkmodel.specs import fields, loading, people
from pkmodel.specs.asked import Asked
from pkmodel.specs.attach import attach
from pkmodel.specs.clinic_rules import model_problems
from pkmodel.specs.effect_file import EffectFile
from pkmodel.specs.loading import Source, Spec
from pkmodel.specs.mark import Mark
from pkmodel.specs.metric import TAKEN
from pkmodel.specs.model import ModelSpec
from pkmodel.specs.population import PopulationSpec
from pkmodel.specs.prices import Prices
from pkmodel.specs.protocol import ProtocolSpec
from pkmodel.specs.reference import ReferenceSpec
from pkmodel.specs.rule import Rule
from pkmodel.specs.rule_checks import compare_problems, rule_problems
from pkmodel.specs.scenario import ScenarioSpec
from pkmodel.specs.taken_checks import price_problems, stated_problems, stay_problems
from pkmodel.specs.variability_rules import replaced
from pkmodel.specs.window import Window
from pkmodel.specs.yaml_tree import Document, Place, dotted

S = TypeVar("S", bound=Spec)
DrugMode = Literal["match", "own", "half"]

KINDS: dict[str, type[Spec]] = {
    "models": ModelSpec,
    "effects": EffectFile,
    "protocols": ProtocolSpec,
    "populations": PopulationSpec,
    "scenarios": ScenarioSpec,
    "references": ReferenceSpec,
    "rules": Rule,
}


def load_model(source: Source) -> ModelSpec:
    """A model by name, path or mapping. Raises InputError with every mistake of the file."""
    return loading.load("models", source, ModelSpec)[0]


def load_effect(source: Source) -> EffectFile:
    """An effect by name, path or mapping. Raises InputError with every mistake of the file."""
    return loading.load("effects", source, EffectFile)[0]


def load_protocol(source: Source) -> ProtocolSpec:
    """A protocol by name, path or mapping. Raises InputError with every mistake of the file."""
    return loading.load("protocols", source, ProtocolSpec)[0]


def load_population(source: Source) -> PopulationSpec:
    """A population by name, path or mapping, with what it refers to. Raises InputError with every mistake."""
    return people.load(source)[0]


def load_rule(source: Source) -> Rule:
    """A monitoring rule by name, path or mapping. Raises InputError with every mistake of the file."""
    return loading.load("rules", source, Rule)[0]


def load_reference(source: Source) -> ReferenceSpec:
    """A reference by name, path or mapping. Raises InputError with every mistake of the file."""
    return loading.load("references", source, ReferenceSpec)[0]


@dataclass(frozen=True)
class Loaded:
    """What a scenario refers to, with the file it came from."""

    name: str
    document: Document

    @property
    def sha256(self) -> str:
        """The hash of the file's text (of the mapping's form, where there is no file)."""
        return hashlib.sha256((self.document.text or repr(self.document.tree)).encode()).hexdigest()


@dataclass(frozen=True)
class Arm:
    """One arm of a scenario with its protocol and the models that it runs on."""

    name: str
    protocol: ProtocolSpec
    models: tuple[ModelSpec, ...]
    drug: DrugMode
    key: str = ""
    """Its key in the file, where that is not its name."""


@dataclass(frozen=True)
class Scenario:
    """A scenario with everything it refers to; made by :func:`load_scenario`."""

    id: str
    spec: ScenarioSpec
    arms: tuple[Arm, ...]
    population: PopulationSpec
    inputs: Mapping[str, Loaded]
    effects: tuple[EffectFile, ...] = ()
    asked: tuple[Asked, ...] = ()
    """Metrics that are wanted of every session besides; with them, what each course takes is counted."""
    overridden: tuple[str, ...] = ()
    """The models that stand in for those of the scenario, as they were asked for."""
    unused: tuple[Loaded, ...] = ()
    """Files that the scenario names and that this run does without, kept so that it can be loaded again."""

    def with_options(self, *, n: int | None = None, seed: int | None = None) -> Scenario:
        """The scenario with another number of patients or seed. Raises InputError where they are not legal.

        A number that is asked for goes before a ``precision`` of the file.
        """
        changed: dict[str, Any] = {key: value for key, value in (("n", n), ("seed", seed)) if value is not None}
        if n is not None:
            changed["precision"] = None
        if n is not None and not 1 <= n <= 100_000_000:
            raise InputError(Problem(str(n), "a number of patients from 1 to 100,000,000", path="n"))
        if seed is not None and not 0 <= seed < 2**63:
            raise InputError(Problem(str(seed), "a seed from 0 to 2**63 - 1", path="seed"))
        wanted = self.spec.n if n is None else n
        if problems := self.spec.sampling.problems(wanted) + people.too_many(self.population, wanted):
            raise InputError(problems)
        return replace(self, spec=self.spec.model_copy(update=changed))

    def with_protocol(self, protocol: ProtocolSpec) -> Scenario:
        """The scenario with another protocol in its only arm. Raises InputError where rules or models do not fit it."""
        (arm,) = self.arms
        changed = replace(self, arms=(replace(arm, protocol=protocol),))
        if problems := cross_checks(changed):
            raise InputError(problems)
        return changed

    def with_models(self, names: Sequence[str]) -> Scenario:
        """The scenario with every arm on these models instead of its own."""
        inputs = {key: item for key, item in self.inputs.items() if not key.startswith("model ")}
        models = []
        for name in names:
            model, document = loading.load("models", name, ModelSpec)
            models.append(model)
            inputs[f"model {model.id}"] = Loaded(model.id, document)
        models, problems = _replaced(models, self.spec)
        arms = []
        for arm in self.arms:
            arms.append(_with_effects(replace(arm, models=tuple(models)), self.effects, where="--model"))
        unused = tuple(item for key, item in self.inputs.items() if key not in inputs)
        changed = replace(
            self, arms=tuple(arms), inputs=inputs, overridden=tuple(names), unused=(*self.unused, *unused)
        )
        if problems := problems or cross_checks(changed):
            raise InputError([problem.at(where="--model") for problem in problems])
        return changed


def load_scenario(source: Source) -> Scenario:
    """A scenario by name, path or mapping, with its protocols, models and population.

    Raises InputError with every mistake, in the scenario or in a file that it refers to.
    """
    document = loading.document_of("scenarios", source)
    spec, problems = loading.examine(document, ScenarioSpec)
    if spec is None:
        raise InputError(problems)
    beside = document.path.parent if document.path else None
    inputs: dict[str, Loaded] = {}
    scenario_id = document.path.stem if document.path else "scenario"
    inputs["scenario"] = Loaded(scenario_id, document)

    def refer(files: people.Files) -> None:
        """Note the files that a population reads."""
        inputs.update({f"population {name}": Loaded(name, file) for name, file in files.items()})

    def fetch(kind: str, name: object, cls: type[S], place: Place) -> S | None:
        try:
            if isinstance(name, dict):
                inputs[f"{kind[:-1]} {dotted(place)}"] = Loaded(dotted(place), document)
                part = loading.check(document, cls, place)
                if isinstance(part, PopulationSpec):
                    refer(people.resolve(part, document, place, beside))
                return part
            found, file = loading.load(kind, str(name), cls, beside=beside)
            if isinstance(found, PopulationSpec):
                refer(people.resolve(found, file, (), file.path.parent if file.path else beside))
        except InputError as error:
            here = (dotted(place), document.name, document.line(place))
            for problem in error.problems:
                if not problem.where:  # an unknown name
                    problem = problem.at(path=here[0], where=here[1], line=here[2])
                elif not problem.line:  # a file that cannot be read: say who asked for it
                    problem = Problem(f"{problem.where}: {problem.found}", problem.expected, *here)
                problems.append(problem)
            return None
        label = found.id if isinstance(found, ModelSpec) else str(name)
        inputs[f"{kind[:-1]} {label}"] = Loaded(label, file)
        return found

    def by_drug(arm: str, chosen: Mapping[str, str], protocol: ProtocolSpec | None, mode: DrugMode) -> list[Arm]:
        """An arm for the sessions of each drug, on the model of that drug."""
        place = ("arms", arm, "model")
        models = {drug: fetch("models", name, ModelSpec, (*place, drug)) for drug, name in chosen.items()}
        if protocol is None:
            return []
        if wrong := _mapping_problems(protocol, models, dotted(place)):
            problems.extend(item.at(where=document.name, line=document.line(place)) for item in wrong)
            return []
        return [
            Arm(f"{arm} ({drug})", protocol.of_drug(drug), (model,), mode, key=arm)
            for drug, model in models.items()
            if model is not None
        ]

    if not problems:
        for named in document.tree.get("rules") or ():
            if isinstance(named, str):
                inputs[f"rule {named}"] = Loaded(named, loading.document_of("rules", named))
    population = fetch("populations", spec.population, PopulationSpec, ("population",))
    shared: list[ModelSpec | None] = []
    if spec.model is not None:
        shared = [fetch("models", spec.model, ModelSpec, ("model",))]
    elif spec.models is not None:
        shared = [fetch("models", name, ModelSpec, ("models", index)) for index, name in enumerate(spec.models)]
    effects = [fetch("effects", name, EffectFile, ("effects", index)) for index, name in enumerate(spec.effects)]
    arms = []
    for name, arm in spec.arms.items():
        protocol = fetch("protocols", arm.protocol, ProtocolSpec, ("arms", name, "protocol"))
        if isinstance(arm.model, dict):
            arms += by_drug(name, arm.model, protocol, arm.drug)
            continue
        own = shared if arm.model is None else [fetch("models", arm.model, ModelSpec, ("arms", name, "model"))]
        if protocol is not None and None not in own:
            arms.append(Arm(name, protocol, tuple(model for model in own if model is not None), arm.drug))
    if problems or population is None:
        raise InputError(problems)
    used = {model.id: None for of_arm in arms for model in of_arm.models}
    for name in spec.variability.replace:
        if name not in used:
            problems.append(unknown_name("a model of this scenario", name, used, path=f"variability.replace.{name}"))
    for index, of_arm in enumerate(arms):
        own_models, wrong = _replaced(of_arm.models, spec)
        arms[index] = replace(of_arm, models=tuple(own_models))
        problems += [problem for problem in wrong if problem not in problems]
    attached = tuple(effect for effect in effects if effect is not None)
    try:
        arms = [_with_effects(arm, attached) for arm in arms]
    except InputError as error:
        raise InputError(
            [item.at(where=document.name, line=document.line(loading.parts(item.path))) for item in error.problems]
        ) from None
    scenario = Scenario(scenario_id, spec, tuple(arms), population, inputs, attached)
    if problems := problems or cross_checks(scenario):
        raise InputError(
            [item.at(where=document.name, line=document.line(loading.parts(item.path))) for item in problems]
        )
    return scenario


def _mapping_problems(protocol: ProtocolSpec, models: Mapping[str, object], path: str) -> list[Problem]:
    """What does not fit between a protocol and a mapping of its drugs to models."""
    problems = []
    given = " and ".join(protocol.drugs)
    if set(models) != set(protocol.drugs):
        found, expected = f"models for {' and '.join(models)}", f"one for each drug of the protocol: {given}"
        problems.append(Problem(found, expected, path))
    elif protocol.decides and len(models) > 1:
        found = f"clinic or adherence in a protocol of {given}"
        problems.append(Problem(found, "a protocol of one drug: a rule looks at one model", path))
    return problems


def _replaced(models: Sequence[ModelSpec], spec: ScenarioSpec) -> tuple[list[ModelSpec], list[Problem]]:
    """The models with the blocks of random effects that the scenario replaces, and what is wrong with those."""
    found: list[ModelSpec] = []
    problems: list[Problem] = []
    for model in models:
        try:
            block = spec.variability.replace.get(model.id)
            found.append(model if block is None else replaced(model, block, f"variability.replace.{model.id}"))
        except InputError as error:
            problems += error.problems
    return found, problems


def _with_effects(arm: Arm, effects: Sequence[EffectFile], where: str = "") -> Arm:
    """An arm whose models have these effects too; esketamine given to a racemic model makes its levels S-ketamine."""
    if not effects:
        return arm
    models = []
    for model in arm.models:
        try:
            models.append(attach(model, effects, given=given_drug(arm.protocol, model, arm.drug)))
        except InputError as error:
            raise InputError([problem.at(where=where or None) for problem in error.problems]) from None
    return replace(arm, models=tuple(models))


def given_drug(protocol: ProtocolSpec, model: ModelSpec, mode: DrugMode) -> fields.Drug:
    """The drug whose levels the outputs of a model are, when this protocol is given to it."""
    if mode == "half":
        return "ketamine"
    return "esketamine" if mode == "match" and protocol.drugs == ["esketamine"] else model.drug


def cross_checks(scenario: Scenario) -> list[Problem]:
    """What only shows once arms, models and rules are together."""
    problems: list[Problem] = people.too_many(scenario.population, scenario.spec.n)
    if scenario.spec.variability.parameter_uncertainty:
        for model in {model.id: model for arm in scenario.arms for model in arm.models}.values():
            if not model.uncertain:
                expected = f"se, rse or ci of at least one parameter ({', '.join(model.parameters)})"
                found = f"{model.id}, which does not say how well its typical values are known"
                problems.append(Problem(found, expected, path="variability.parameter_uncertainty"))
    for arm in scenario.arms:
        path = f"arms.{arm.key or arm.name}"
        for model in arm.models:
            try:
                drug_fraction(arm.protocol, model, arm.drug)
            except InputError as error:
                problems += [problem.at(path=f"{path}.{problem.path}") for problem in error.problems]
            for route in arm.protocol.routes:
                if route not in model.routes:
                    problems.append(
                        unknown_name(f"a route of {model.id}", route, model.routes, path=f"{path}.protocol")
                    )
            for problem in model_problems(arm.protocol.clinic, model):
                found = f"{problem.found} in {problem.path} of the protocol"
                problems.append(Problem(found, problem.expected, path=f"{path}.protocol", nearest=problem.nearest))
            for index, rule in enumerate(scenario.spec.rules):
                problems += _rule_checks(rule, f"rules[{index}]", model, arm, scenario.spec.prices)
            compare = scenario.spec.compare
            if compare is not None:
                tests = [test for rule in scenario.spec.rules for test in rule.tests]
                problems += compare_problems(compare, tests, model)
                problems += _window_checks(compare.window, "compare", len(arm.protocol.plan()), arm.name)
            for index, mark in enumerate(scenario.spec.marks):
                if mark.arm in (None, arm.name):
                    problems += _output(model, mark.output, f"marks[{index}].output")
                    problems += _mark_checks(mark, f"marks[{index}]", len(arm.protocol.plan()), arm.name)
    return list({(problem.path, problem.found): problem for problem in problems}.values())


def _rule_checks(rule: Rule, path: str, model: ModelSpec, arm: Arm, prices: Prices | None) -> list[Problem]:
    plan = arm.protocol.plan()
    problems = price_problems(rule.leaves(path), prices)
    for place, clause in rule.leaves(path):
        windows = _window_checks(clause.window, place, len(plan), arm.name)
        if clause.metric not in TAKEN:
            found = rule_problems(clause, model)
        else:
            found = stay_problems(clause, model)
            found += [] if windows else stated_problems(clause, prices, plan, arm.name)
        problems += [problem.at(path=f"{place}.{problem.path}") for problem in found] + windows
    return problems


def _window_checks(window: Window, path: str, sessions: int, arm: str) -> list[Problem]:
    if window.kind == "sessions" and window.last > sessions:
        return [Problem(str(window), f"sessions 1 to {sessions}, which arm {arm} has", path=f"{path}.window")]
    if window.kind == "between" and sessions < 2:
        return [Problem("between sessions", f"more than the one session of arm {arm}", path=f"{path}.window")]
    return []


def _mark_checks(mark: Mark, path: str, sessions: int, arm: str) -> list[Problem]:
    if mark.session > sessions:
        return [Problem(str(mark.session), f"a session from 1 to {sessions}, which arm {arm} has", f"{path}.session")]
    return []


def _output(model: ModelSpec, name: str, path: str) -> list[Problem]:
    try:
        model.output(name, path=path)
    except InputError as error:
        return list(error.problems)
    return []


def drug_fraction(protocol: ProtocolSpec, model: ModelSpec, mode: DrugMode) -> tuple[float, list[str]]:
    """The part of each dose that the model sees, and what to warn of.

    ``match`` refuses a protocol of another drug (but warns only of esketamine on a racemic model); ``own`` gives
    the stated mg as the model's own drug, to compare models; ``half`` gives an esketamine model half a racemate.
    """
    drugs = protocol.drugs
    named = " and ".join(drugs)
    if mode == "own":
        if drugs == [model.drug]:
            return 1.0, []
        said = f"{named} doses are given to {model.id} as {model.drug}, milligram for milligram (drug: own)"
        if drugs == ["ketamine"]:
            said += "; to see the S half that a racemic dose contains, take drug: half"
        return 1.0, [said]
    if mode == "half":
        if drugs != ["ketamine"] or model.drug != "esketamine":
            found = f"drug: half with a {named} protocol on {model.id}"
            raise InputError(Problem(found, "a ketamine protocol on an esketamine model", path="drug"))
        return 0.5, [f"the S half of each racemic dose is given to {model.id} (drug: half)"]
    if drugs == [model.drug]:
        return 1.0, []
    if drugs == ["esketamine"] and model.drug == "ketamine":
        said = f"an esketamine protocol is run on {model.id}, of the racemate, which does not tell S from R: "
        return 1.0, [f"{said}read its levels as racemic ones, or choose a model of esketamine"]
    if len(drugs) > 1:
        expected = "an arm of a scenario with a model for each drug: model: {ketamine: ..., esketamine: ...}"
        raise InputError(Problem(f"a protocol of {named} on {model.id} alone", expected, path="model"))
    raise InputError(
        Problem(
            found=f"a protocol of {named} on {model.id}, a model of {model.drug}",
            expected="a model of the same drug, or drug: own (the same mg of its own drug) or drug: half (the S half)",
            path="model",
        )
    )
