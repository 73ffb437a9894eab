"""Protocols side by side: each on the model of its drug and route, in the same virtual patients.

A comparison is a scenario made in memory (:mod:`pkmodel.specs.comparison`), and it runs as every scenario does. Random
numbers come from streams named after what they are drawn for, so the patients of two arms have the same age, weight,
height, sex and ancestry, and the same draw for every random effect whose name both models have; what only one of them
names is drawn apart, and adds to the spread of the differences.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pkmodel import findings, groups, metrics, proportionality, side_by_side, study, tally
from pkmodel.cases import Case, cases_of
from pkmodel.chunk import CaseChunk, Chunk, MetricValues
from pkmodel.outcome import Study
from pkmodel.proportionality import First, Slope
from pkmodel.side_by_side import Collected, Measure, Row, Side, Values, over_sessions
from pkmodel.specs import defaults
from pkmodel.specs.comparison import Request
from pkmodel.specs.covariance import factor
from pkmodel.specs.model import ModelSpec

Floats = NDArray[np.float64]

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


@dataclass
class Comparison:
    """Protocols side by side; made by :func:`run`."""

    request: Request
    study: Study
    collected: dict[str, Collected] = field(default_factory=dict)
    first: dict[str, First] = field(default_factory=dict)

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
            asked = self.request
            found.append(side_by_side.row(measure, arms, of_arm, asked.reference, asked.populations))
        return found

    @cached_property
    def slopes(self) -> list[Slope]:
        """How exposure grows with the dose, where arms differ in it."""
        return self._slopes[0]

    @cached_property
    def _slopes(self) -> tuple[list[Slope], list[str]]:
        return proportionality.slopes(self.study.cases, self.first, self.request.populations)

    @property
    def pairing(self) -> list[str]:
        """How the patients of each arm are paired with those of the reference, a sentence to an arm."""
        drawn = {case.arm.name: (case.model.id, _drawn(case.model)) for case in self.study.cases}
        base_model, base = drawn[self.request.reference]
        said = []
        for arm, (model, own) in drawn.items():
            if arm == self.request.reference:
                continue
            if arm in self.request.apart:
                said.append(f"{arm}: other patients (population {self.request.populations[arm]}), paired with nobody")
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
        for case in self.study.cases:
            if len(case.arm.protocol.routes) > 1:
                routes = " and ".join(case.arm.protocol.routes)
                said.append(f"{case.arm.name} goes by {routes}: its accumulation is one of bioavailability as well")
        lengths = {len(case.arm.protocol.plan()) for case in self.study.cases}
        if len(lengths) > 1:
            said.append("courses differ in their number of sessions: totals of a course do so for that reason alone")
        return said + self._slopes[1]


def _drawn(model: ModelSpec) -> list[str]:
    """The random effects that are drawn for a model, by the name of their stream."""
    return list(factor(model.variability.between_subject)[0])


def run(
    request: Request,
    *,
    jobs: int = 1,
    sinks: Sequence[study.Sink] = (),
    progress: study.Progress | None = None,
    chunk: int | None = None,
) -> Comparison:
    """Run a comparison; ``sinks``, one to a population, get every chunk too, and the rest is as in
    :func:`pkmodel.study.run`.
    """
    collected: dict[str, Collected] = {}
    first: dict[str, First] = {}
    studies: list[Study] = []
    total = sum(scenario.spec.n for scenario in request.scenarios)
    for scenario in request.scenarios:
        cases = cases_of(scenario)
        for case in cases:
            collected[case.arm.name], first[case.arm.name] = Collected(), First.nothing()

        def take(part: Chunk, cases: list[Case] = cases, number: int = len(studies)) -> None:
            for case, found in zip(cases, part.cases, strict=True):
                _collect(request, case, found, collected[case.arm.name])
                _first(case, found, first[case.arm.name])
            if sinks:
                sinks[number](part)

        def advance(done: int, _: int, before: int = sum(item.n for item in studies)) -> None:
            if progress is not None:
                progress(before + done, total)

        studies.append(study.run(scenario, jobs=jobs, sink=take, progress=advance, chunk=chunk))
    return Comparison(request, groups.together(studies, request), collected, first)


def _collect(request: Request, case: Case, found: CaseChunk, into: Collected) -> None:
    """What the patients of a chunk have in one arm."""
    assert found.taken is not None
    given = found.taken.given > 0.0
    sessions: dict[metrics.Request, list[MetricValues]] = {}
    for item in sorted(found.metrics, key=lambda item: item.span.session):
        if item.span.kind == "session":  # a rule may ask for a course, or for some sessions before the others
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
            into.add(measure, over_sessions(values, how, given), parts[0].unit)
    plan = case.arm.protocol.plan()
    watched = np.array([_watched(planned.drug, planned.route) for planned in plan])
    hours = tally.clinic_hours(found.taken, watched, until)
    for how, of in _TOGETHER["time_until_below"]:
        into.add(Measure("clinic_hours", of=of), over_sessions(hours, how, given), "h")
    into.add(Measure("sessions"), given.sum(axis=0).astype(np.float64), "")
    into.add(_GIVEN[0], found.taken.base, "mg")
    into.add(_GIVEN[1], found.taken.written, "mg")
    for name, measure in _SUPPLIES.items():
        if name in found.taken.totals:
            stated, unit = found.taken.sessions[name], tally.STATED[name]
            partly = f"stated in {stated} of {len(plan)} sessions" if stated < len(plan) and name != "devices" else ""
            into.add(measure, found.taken.totals[name], unit, partly)


def _first(case: Case, found: CaseChunk, into: First) -> None:
    """What the patients of a chunk get in their first session, and what comes of it."""
    assert found.taken is not None
    into.doses.append(found.taken.given[0])
    for item in found.metrics:
        wanted = item.request.output == case.model.parent and item.request.metric in proportionality.EXPOSURES
        if wanted and item.span == metrics.Span("session", 1):
            into.exposures[item.request.metric].append(item.values)


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
