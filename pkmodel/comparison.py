"""Protocols side by side: each on the model of its drug and route, in the same virtual patients.

A comparison is a scenario made in memory, an arm to a protocol, and it runs as every scenario does. Random numbers come
from streams named after what they are drawn for, so the patients of two arms have the same age, weight, height, sex and
ancestry, and the same draw for every random effect whose name both models have; what only one of them names is drawn
apart, and adds to the spread of the differences.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pkmodel import findings, metrics, side_by_side, study, tally
from pkmodel.cases import Case, cases_of
from pkmodel.errors import InputError, Problem, unknown_name
from pkmodel.outcome import Study
from pkmodel.side_by_side import Collected, Measure, Row, Side, Values, over_sessions
from pkmodel.specs import defaults
from pkmodel.specs.asked import Asked, Bound, bound
from pkmodel.specs.covariance import factor
from pkmodel.specs.library import Scenario, load_effect, load_population, load_protocol, load_scenario
from pkmodel.specs.loading import find, is_path
from pkmodel.specs.model import ModelSpec
from pkmodel.specs.protocol import ProtocolSpec
from pkmodel.specs.rule_checks import asked_problems, refusal
from pkmodel.specs.scenario import is_level
from pkmodel.study import Chunk, MetricValues

Floats = NDArray[np.float64]

#: The grid of the bands and of the picture.
OBSERVED = {"every": "2 min", "for": "6 h"}
#: Word for what a protocol does not say, and for what it does not use.
NOT_STATED, NONE_USED = "not stated", "none used"
#: How the sessions of a course are put together, by metric; with what that is called.
_TOGETHER: dict[str, tuple[tuple[Side, str], ...]] = {
    "peak": (("highest", "highest session"),),
    "lowest": (("lowest", "strongest session"),),
    "auc": (("sum", "whole course"), ("mean", "mean session")),
    "time_above": (("sum", "whole course"), ("mean", "mean session")),
    "time_until_below": (("sum", "whole course"), ("mean", "mean session")),
    "accumulation_ratio": (("last", "last session against first"),),
}


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


@dataclass
class Comparison:
    """Protocols side by side; made by :func:`run`."""

    request: Request
    study: Study
    collected: dict[str, Collected] = field(default_factory=dict)

    @cached_property
    def rows(self) -> list[Row]:
        """Every measure in every arm, and against the reference."""
        arms = [(case.arm.name, case.model.id) for case in self.study.cases]
        every = dict.fromkeys(measure for item in self.collected.values() for measure in item.parts)
        every |= dict.fromkeys(_SUPPLIES.values())
        salts = {planned.salt for case in self.study.cases for planned in case.arm.protocol.plan()}
        if salts == {"base"}:
            del every[_GIVEN[1]]  # the same line twice
        found = []
        for measure in sorted(every, key=lambda measure: _ORDER.index(measure.name)):
            of_arm = {arm: item.of(measure, _missing(measure)) for arm, item in self.collected.items()}
            found.append(side_by_side.row(measure, arms, of_arm, self.request.reference))
        return found

    @property
    def pairing(self) -> list[str]:
        """How the patients of each arm are paired with those of the reference, a sentence to an arm."""
        drawn = {case.arm.name: (case.model.id, _drawn(case.model)) for case in self.study.cases}
        base_model, base = drawn[self.request.reference]
        said = []
        for arm, (model, own) in drawn.items():
            if arm == self.request.reference:
                continue
            if model == base_model:
                said.append(f"{arm}: the same model as {self.request.reference}, so the same patients in every respect")
                continue
            shared = ", ".join(name for name in own if name in base)
            apart = []
            for named, mine, theirs in ((model, own, base), (base_model, base, own)):
                if alone := ", ".join(name for name in mine if name not in theirs):
                    apart.append(f"{alone} of {named}")
            words = f"share the draws of {shared}" if shared else "share no random effect by name"
            said.append(f"{arm}: patients {words}; drawn apart: {'; '.join(apart) or 'none'}")
        return said

    @property
    def cautions(self) -> list[str]:
        """What must be known before levels of different arms are held against each other."""
        analytes = {case.arm.name: case.model.parent for case in self.study.cases}
        base = analytes[self.request.reference]
        others = [f"{arm} ({analyte})" for arm, analyte in analytes.items() if analyte != base]
        said = list(self.request.notes)
        if others:
            said.insert(
                0,
                f"differences across analytes: parent is {base} in {self.request.reference}, another in "
                f"{', '.join(others)}; a level, an area or a time above of one says nothing of the other by itself",
            )
        lengths = {len(case.arm.protocol.plan()) for case in self.study.cases}
        if len(lengths) > 1:
            said.append("courses differ in their number of sessions: totals of a course do so for that reason alone")
        return said


def _drawn(model: ModelSpec) -> list[str]:
    """The random effects that are drawn for a model, by the name of their stream."""
    return list(factor(model.variability.between_subject)[0])


def run(
    request: Request,
    *,
    jobs: int = 1,
    sink: study.Sink | None = None,
    progress: study.Progress | None = None,
    chunk: int | None = None,
) -> Comparison:
    """Run a comparison; ``sink`` gets every chunk too, and the rest is as in :func:`pkmodel.study.run`."""
    cases = cases_of(request.scenario)
    collected = {case.arm.name: Collected() for case in cases}

    def take(part: Chunk) -> None:
        for case, found in zip(cases, part.cases, strict=True):
            _collect(request, case, found, collected[case.arm.name])
        if sink is not None:
            sink(part)

    done = study.run(request.scenario, jobs=jobs, sink=take, progress=progress, chunk=chunk)
    return Comparison(request, done, collected)


def _collect(request: Request, case: Case, found: study.CaseChunk, into: Collected) -> None:
    """What the patients of a chunk have in one arm."""
    assert found.taken is not None
    sessions: dict[metrics.Request, list[MetricValues]] = {}
    for item in found.metrics:
        sessions.setdefault(item.request, []).append(item)
    for asked in request.scenario.asked:
        parts = sessions[findings.requested(asked, case.model)]
        values = np.stack([part.values for part in parts])
        if asked.metric == "time_until_below":
            until = values
            continue
        words = [asked.threshold.text] if asked.threshold is not None else []
        words += ["illustrative"] if case.model.illustrative(asked.output) else []
        for how, of in _TOGETHER[asked.metric]:
            measure = Measure(asked.metric, asked.output, ", ".join(words), of)
            into.add(measure, over_sessions(values, how), parts[0].unit)
    plan = case.arm.protocol.plan()
    watched = np.array([_watched(planned.drug, planned.route) for planned in plan])
    hours = tally.clinic_hours(found.taken, watched, until)
    for how, of in _TOGETHER["time_until_below"]:
        into.add(Measure("clinic_hours", of=of), over_sessions(hours, how), "h")
    into.add(Measure("sessions"), (found.taken.given > 0.0).sum(axis=0).astype(np.float64), "")
    into.add(_GIVEN[0], found.taken.base, "mg")
    into.add(_GIVEN[1], found.taken.written, "mg")
    for name, measure in _SUPPLIES.items():
        if name in found.taken.totals:
            stated, unit = found.taken.sessions[name], tally.STATED[name]
            partly = f"stated in {stated} of {len(plan)} sessions" if stated < len(plan) and name != "devices" else ""
            into.add(measure, found.taken.totals[name], unit, partly)


def _watched(drug: str, route: str) -> float:
    observed = defaults.OBSERVED.get((drug, route))
    return observed.hours if observed is not None else 0.0


_GIVEN = (Measure("given", of="whole course, as base"), Measure("given", of="whole course, as written"))
_SUPPLIES = {name: Measure(name, of="whole course") for name in tally.STATED}
_ORDER = (
    *("peak", "auc", "time_above", "accumulation_ratio", "lowest", "sessions", "given"),
    *tally.STATED,
    "clinic_hours",
)


def _missing(measure: Measure) -> Values:
    """What stands for a measure of which no session of an arm says anything."""
    return Values(None, tally.STATED.get(measure.name, ""), NONE_USED if measure.name == "devices" else NOT_STATED)
