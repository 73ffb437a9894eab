"""Protocols to be set side by side, checked: a scenario made in memory, an arm to a protocol.

Each arm runs on the model that was asked for, or on the default one of its drug and routes. Every mistake is reported
where the user made it, at an option or an arm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pkmodel.errors import InputError, Problem, unknown_name
from pkmodel.specs import defaults
from pkmodel.specs.asked import Asked, Bound, bound
from pkmodel.specs.compared_arms import Chosen, arms_of, placed
from pkmodel.specs.library import DrugMode, Scenario, load_effect, load_rule, load_scenario
from pkmodel.specs.metric import is_level
from pkmodel.specs.model import ModelSpec
from pkmodel.specs.rule_checks import asked_problems, refusal

#: The grid of the bands and of the picture.
OBSERVED = {"every": "2 min", "for": "6 h"}


@dataclass(frozen=True)
class Discharge:
    """When a patient may leave: the bound that must hold from then on, how well that is supported, and why."""

    bound: Bound
    evidence: str
    why: str


@dataclass(frozen=True)
class Request:
    """A comparison ready to run; made by :func:`prepare`.

    A scenario holds the arms of one population; where there are several, ``others`` are those of the rest, and
    ``populations`` says by their names which arm has whose patients (nothing where there is one).
    """

    scenario: Scenario
    reference: str
    chosen: tuple[Chosen, ...]
    thresholds: tuple[Bound, ...]
    discharge: Discharge
    notes: tuple[str, ...] = ()
    others: tuple[Scenario, ...] = ()
    populations: Mapping[str, str] = field(default_factory=dict)

    @property
    def scenarios(self) -> tuple[Scenario, ...]:
        """One for each population."""
        return (self.scenario, *self.others)

    @property
    def apart(self) -> tuple[str, ...]:
        """The arms that have other patients than the reference."""
        return tuple(arm for arm, name in self.populations.items() if name != self.populations[self.reference])


def prepare(
    protocols: Sequence[str],
    *,
    models: Mapping[str, str] | None = None,
    on: Sequence[str] = (),
    population: str | Sequence[str] = "adults_trials",
    drug: DrugMode = "match",
    n: int = 1000,
    seed: int = 1,
    effects: Sequence[str] = (),
    thresholds: Sequence[str] = (),
    discharge: str | None = None,
    reference: str | None = None,
    rules: Sequence[str] = (),
) -> Request:
    """The scenario that sets protocols side by side; or one protocol on several models, or in several populations.

    Parameters
    ----------
    protocols
        names or paths, or ``NAME=PROTOCOL``; an arm is called as its protocol, or as the file.
    models
        arm -> model, where it shall not be the default one (:mod:`pkmodel.specs.defaults`).
    on
        models that every protocol without one of its own runs on, one after another (:mod:`.compared_arms`).
    population
        one, or several: then each has ``n`` patients of its own, the first with ``seed``, the next with ``seed`` + 1.
    drug
        how a model of another drug than the protocol's is given the dose: refused, ``own`` or ``half``.
    thresholds
        levels that the time above is counted of, such as ``100 ng/mL`` or ``dissociation_olofsen2022 above 50 %``.
    discharge
        when a patient may leave, such as ``parent below 70 ng/mL``.
    reference
        the arm that the others are held against; the first one by default.
    rules
        names or paths of rules that are judged in every arm.

    Raises
    ------
    InputError
        with every mistake, where a name, a number or a unit is wrong, or drug, route and model do not fit.
    """
    populations = [population] if isinstance(population, str) else [*population]
    compared = arms_of(protocols, dict(models or {}), on, populations, drug)
    names = [arm.name for arm in compared.arms]
    if reference is not None and reference not in names:
        raise InputError(unknown_name("an arm", reference, names, where="--reference"))
    base = reference or names[0]
    try:
        known = [load_effect(source).id for source in effects]
    except InputError as error:
        raise InputError([placed(problem, "--effect") for problem in error.problems]) from None
    above = tuple(bound(text, "above", where="--threshold", effects=known) for text in thresholds)
    above = above or (defaults.THRESHOLD.bound,)
    until = Discharge(defaults.DISCHARGE.bound, defaults.DISCHARGE.evidence, defaults.DISCHARGE.why)
    if discharge is not None:
        until = Discharge(bound(discharge, "below", where="--discharge", effects=known), "as asked", "")
    attached = [*effects]
    options = ["--effect"] * len(attached)
    for item, option in (*((item, "--threshold") for item in above), (until.bound, "--discharge")):
        if not is_level(item.output) and item.output not in known:
            attached.append(item.output)
            known.append(item.output)
            options.append(option)
    try:
        for rule in rules:
            load_rule(rule)
    except InputError as error:
        raise InputError([placed(problem, "--rule") for problem in error.problems]) from None
    scenarios = []
    for number, (name, source) in enumerate(compared.populations.items()):
        own = [arm for arm in compared.arms if arm.population == name]
        tree: dict[str, Any] = {
            "title": " / ".join(names),
            "question": f"Set side by side: {'; '.join(compared.titles)}",
            "arms": {arm.name: {"protocol": arm.protocol, "model": arm.chosen.model, "drug": arm.drug} for arm in own},
            "effects": attached,
            "population": source,
            "n": n,
            "seed": seed + number,
            "observe": OBSERVED,
            "rules": [*rules],
            "compare": {
                "reference": base if any(arm.name == base for arm in own) else own[0].name,
                "metrics": ["peak", "auc"],
            },
        }
        try:
            scenarios.append(load_scenario(tree))
        except InputError as error:
            raise InputError([_placed(problem, options) for problem in error.problems]) from None
    asked, notes = _asked(scenarios, above, until.bound)
    first, *others = (replace(scenario, id="compare", asked=asked) for scenario in scenarios)
    ids = {arm.name: arm.models[0].id for scenario in scenarios for arm in scenario.arms}
    chosen = tuple(replace(arm.chosen, model=ids[arm.name]) for arm in compared.arms)
    whose = {arm.name: arm.population for arm in compared.arms} if others else {}
    return Request(first, base, chosen, above, until, notes, tuple(others), whose)


def _placed(problem: Problem, effects: Sequence[str]) -> Problem:
    """A mistake of the scenario in memory where the user made it: in an option, or among the arms.

    ``effects`` are the options that brought each of its effects.
    """
    if problem.where != "<scenario>":
        return problem
    options = {"n": "--n", "seed": "--seed", "population": "--population"}
    head, _, rest = problem.path.partition("[")
    if head in options:
        return problem.at(where=options[head], path="")
    if head == "effects":
        return problem.at(where=effects[int(rest.partition("]")[0])], path="")
    if head == "rules":
        return problem.at(where="--rule", path=rest.partition("].")[2])
    return problem.at(where="compare", path=problem.path.removeprefix("arms."))


def _asked(
    scenarios: Sequence[Scenario], thresholds: Sequence[Bound], discharge: Bound
) -> tuple[tuple[Asked, ...], tuple[str, ...]]:
    """The metrics of every session that are wanted, and what is said of effects that have none."""
    models = {arm.models[0].id: arm.models[0] for scenario in scenarios for arm in scenario.arms}
    asked = [Asked("peak"), Asked("auc")]
    wanted = [(Asked("time_above", item.output, item.threshold), "--threshold") for item in thresholds]
    wanted.append((Asked("time_until_below", discharge.output, discharge.threshold), "--discharge"))
    problems = []
    for item, option in wanted:
        for model in models.values():
            problems += [problem.at(where=option, path="") for problem in asked_problems(item, model)]
    if problems:
        raise InputError(list(dict.fromkeys(problems)))
    asked += [item for item, _ in wanted[:-1]]
    asked.append(Asked("accumulation_ratio"))
    notes = []
    for effect in scenarios[0].effects:
        for metric in ("peak", "lowest"):
            if all(_has(model, effect.id, metric) for model in models.values()):
                asked.append(Asked(metric, effect.id))
                break
        else:
            notes.append(f"{effect.id} has no peak that is exact under every model: it is not in the table")
    return (*dict.fromkeys(asked), wanted[-1][0]), tuple(notes)


def _has(model: ModelSpec, name: str, metric: str) -> bool:
    return name in model.effects and refusal(model, name, metric) is None
