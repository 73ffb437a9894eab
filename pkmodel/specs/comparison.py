"""Protocols to be set side by side, checked: a scenario made in memory, an arm to a protocol.

Each arm runs on the model that was asked for, or on the default one of its drug and routes. Every mistake is reported
where the user made it, at an option or an arm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pkmodel.errors import InputError, Problem, unknown_name
from pkmodel.specs import defaults
from pkmodel.specs.asked import Asked, Bound, bound
from pkmodel.specs.library import Scenario, load_effect, load_population, load_protocol, load_scenario
from pkmodel.specs.loading import find, is_path
from pkmodel.specs.metric import is_level
from pkmodel.specs.model import ModelSpec
from pkmodel.specs.protocol import ProtocolSpec
from pkmodel.specs.rule_checks import asked_problems, refusal

#: The grid of the bands and of the picture.
OBSERVED = {"every": "2 min", "for": "6 h"}


@dataclass(frozen=True)
class Chosen:
    """The model of an arm: who chose it, and why."""

    arm: str
    model: str
    default: bool
    why: str


@dataclass(frozen=True)
class Discharge:
    """When a patient may leave: the bound that must hold from then on, how well that is supported, and why."""

    bound: Bound
    evidence: str
    why: str


@dataclass(frozen=True)
class Request:
    """A comparison ready to run; made by :func:`prepare`."""

    scenario: Scenario
    reference: str
    chosen: tuple[Chosen, ...]
    thresholds: tuple[Bound, ...]
    discharge: Discharge
    notes: tuple[str, ...] = ()


def prepare(
    protocols: Sequence[str],
    *,
    models: Mapping[str, str] | None = None,
    population: str = "adults_trials",
    n: int = 1000,
    seed: int = 1,
    effects: Sequence[str] = (),
    thresholds: Sequence[str] = (),
    discharge: str | None = None,
    reference: str | None = None,
) -> Request:
    """The scenario that sets protocols side by side.

    Parameters
    ----------
    protocols
        names or paths, at least two; an arm is called as its protocol, or as the file.
    models
        arm -> model, where it shall not be the default one (:mod:`pkmodel.specs.defaults`).
    thresholds
        levels that the time above is counted of, such as ``100 ng/mL`` or ``dissociation_olofsen2022 above 50 %``.
    discharge
        when a patient may leave, such as ``parent below 70 ng/mL``.
    reference
        the arm that the others are held against; the first one by default.

    Raises
    ------
    InputError
        with every mistake, where a name, a number or a unit is wrong, or drug, route and model do not fit.
    """
    loaded = _arms(protocols)
    models = dict(models or {})
    for arm in models:
        if arm not in loaded:
            raise InputError(unknown_name("an arm", arm, loaded, where="--model"))
    if reference is not None and reference not in loaded:
        raise InputError(unknown_name("an arm", reference, loaded, where="--reference"))
    base = reference or next(iter(loaded))
    try:
        group = defaults.group_of(load_population(population))
    except InputError as error:
        raise InputError([_placed(problem, "--population") for problem in error.problems]) from None
    chosen = []
    for arm, (_, protocol) in loaded.items():
        if arm in models:
            chosen.append(Chosen(arm, models[arm], False, "as asked"))
        else:
            choice = defaults.model_for(protocol, group, arm=arm)
            chosen.append(Chosen(arm, choice.model, True, choice.why))
    try:
        known = [load_effect(source).id for source in effects]
    except InputError as error:
        raise InputError([_placed(problem, "--effect") for problem in error.problems]) from None
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
    titles = [protocol.title for _, protocol in loaded.values()]
    tree: dict[str, Any] = {
        "title": " / ".join(loaded),
        "question": f"Set side by side: {'; '.join(titles)}",
        "arms": {arm: {"protocol": source} for arm, (source, _) in loaded.items()},
        "effects": attached,
        "population": population,
        "n": n,
        "seed": seed,
        "observe": OBSERVED,
        "compare": {"reference": base, "metrics": ["peak", "auc"]},
    }
    for choice_of in chosen:
        tree["arms"][choice_of.arm]["model"] = choice_of.model
    try:
        scenario = load_scenario(tree)
    except InputError as error:
        raise InputError([_placed(problem, effects=options) for problem in error.problems]) from None
    asked, notes = _asked(scenario, above, until.bound)
    named = {arm.name: arm.models[0].id for arm in scenario.arms}
    chosen = [replace(item, model=named[item.arm]) for item in chosen]
    return Request(replace(scenario, id="compare", asked=asked), base, tuple(chosen), above, until, notes)


def _arms(protocols: Sequence[str]) -> dict[str, tuple[str, ProtocolSpec]]:
    """The arms by name, with where the protocol is from."""
    if len(protocols) < 2:
        raise InputError(Problem(f"{len(protocols)} protocol", "at least two protocols", where="compare"))
    found: dict[str, tuple[str, ProtocolSpec]] = {}
    for source in protocols:
        protocol = load_protocol(source)
        name = find("protocols", source).stem if is_path(source) else source
        name = "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in name)[:60]
        name = name if name[:1].isalpha() else f"arm_{name}"
        twin = next((arm for arm, (_, other) in found.items() if other == protocol or arm == name), None)
        if twin is not None:
            same = source if found[twin][1] == protocol else f"{source}, another protocol called {twin},"
            raise InputError(Problem(f"{same} a second time", "each protocol once", where="compare"))
        found[name] = (source, protocol)
    return found


def _placed(problem: Problem, option: str = "", effects: Sequence[str] = ()) -> Problem:
    """A mistake of the scenario in memory where the user made it: in an option, or among the arms.

    ``effects`` are the options that brought each of its effects.
    """
    if option:
        return problem if problem.where else problem.at(where=option)
    if problem.where != "<scenario>":
        return problem
    options = {"n": "--n", "seed": "--seed", "population": "--population"}
    head, _, rest = problem.path.partition("[")
    if head in options:
        return problem.at(where=options[head], path="")
    if head == "effects":
        return problem.at(where=effects[int(rest.partition("]")[0])], path="")
    return problem.at(where="compare", path=problem.path.removeprefix("arms."))


def _asked(
    scenario: Scenario, thresholds: Sequence[Bound], discharge: Bound
) -> tuple[tuple[Asked, ...], tuple[str, ...]]:
    """The metrics of every session that are wanted, and what is said of effects that have none."""
    models = {arm.models[0].id: arm.models[0] for arm in scenario.arms}
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
    for effect in scenario.effects:
        for metric in ("peak", "lowest"):
            if all(_has(model, effect.id, metric) for model in models.values()):
                asked.append(Asked(metric, effect.id))
                break
        else:
            notes.append(f"{effect.id} has no peak that is exact under every model: it is not in the table")
    return (*dict.fromkeys(asked), wanted[-1][0]), tuple(notes)


def _has(model: ModelSpec, name: str, metric: str) -> bool:
    return name in model.effects and refusal(model, name, metric) is None
