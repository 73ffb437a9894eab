"""What is run: every arm of a scenario on every model, and all that is wanted of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pkmodel import cautions, findings, measurement, metrics, profiles
from pkmodel.engine import Grid, grid_of
from pkmodel.population import Population
from pkmodel.profiles import Layout
from pkmodel.questions import Question, questions_of
from pkmodel.request import OF_BASELINE, Request, Span, unit_in
from pkmodel.schedule import Schedule
from pkmodel.specs.library import Arm, Scenario, drug_fraction
from pkmodel.specs.metric import OF_A_RULE, OF_SESSION
from pkmodel.specs.model import ModelSpec
from pkmodel.specs.rule_checks import offered

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Case:
    """One arm on one model, with all that is wanted of it."""

    arm: Arm
    model: ModelSpec
    fraction: float
    warnings: tuple[str, ...]
    """Of the drug that is given, and of how: a sentence each."""
    outside: tuple[str, ...]
    """How the course leaves what the model is valid for, which --strict refuses: a sentence each."""
    requests: dict[Request, list[Span]]
    compared: tuple[Request, ...]
    times: Floats
    """(t,) h from the start of the course: the grid of the bands, session after session."""
    session_of: NDArray[np.int64]
    last_window: float
    questions: dict[Question, tuple[Request, list[Span]]]
    """What this model is set beside others in; empty where its arm runs on one model."""
    profile: Layout
    """What is counted of the covariates of those who break a rule."""

    @property
    def starts(self) -> Floats:
        """(s,) when the sessions begin as planned, h from the start of the course."""
        return np.array([planned.start for planned in self.arm.protocol.plan()])

    @property
    def n_sessions(self) -> int:
        """How many sessions the arm plans."""
        return len(self.arm.protocol.plan())


def cases_of(scenario: Scenario, *, all_metrics: bool = False) -> list[Case]:
    """The cases of a scenario: every arm on every model of it."""
    spec = scenario.spec
    found = []
    for arm in scenario.arms:
        plan = arm.protocol.plan()
        starts = [planned.start for planned in plan]
        grid = spec.observe.every.value * np.arange(
            int(spec.observe.span.value / spec.observe.every.value * (1 + 1e-12)) + 1
        )
        times, session_of = [], []
        for index, start in enumerate(starts):
            end = starts[index + 1] if index + 1 < len(starts) else np.inf
            own = grid[start + grid < end] + start
            times.append(own)
            session_of.append(np.full(own.size, index + 1))
        labels = [(rule.id, label) for rule in spec.rules for label in findings.labels_of(rule, len(plan))]
        profile = profiles.layout(scenario.population, labels, spec.sampling.replicates if spec.sampling.even else 1)
        for model in arm.models:
            fraction, warnings = drug_fraction(arm.protocol, model, arm.drug)
            requests: dict[Request, list[Span]] = {}

            def want(request: Request, spans: list[Span], into: dict[Request, list[Span]] = requests) -> None:
                into[request] = list(dict.fromkeys([*into.get(request, []), *spans]))

            for request, wanted in findings.requests_with(spec.rules, model, len(plan), spec.prices).items():
                want(request, wanted)
            compared = findings.requests_of(spec.compare, spec.rules, model) if spec.compare else []
            if spec.compare is not None:
                for spans in findings.spans_of(spec.compare.window, len(plan)).values():
                    for request in compared:
                        want(request, spans)
            every = [Span("session", index + 1) for index in range(len(plan))]
            for asked in scenario.asked:
                want(findings.requested(asked, model), every)
            if all_metrics:
                for name in model.observables:
                    for metric in offered(model, name):
                        if metric not in OF_A_RULE:
                            want(Request(metric, name), every if metric in OF_SESSION else [*every, Span("course")])
            found.append(
                Case(
                    arm=arm,
                    model=model,
                    fraction=fraction,
                    warnings=(*warnings, *cautions.of_giving(arm.protocol, model)),
                    outside=_course_warnings(arm, model),
                    requests=requests,
                    compared=tuple(compared),
                    times=np.concatenate(times),
                    session_of=np.concatenate(session_of),
                    last_window=max(metrics.LAST_WINDOW, spec.observe.span.value),
                    questions=questions_of(spec, model, len(plan)) if len(arm.models) > 1 else {},
                    profile=profile,
                )
            )
    return found


def references(cases: Sequence[Case], reference: str) -> list[int | None]:
    """The case that each is held against: the reference arm on the same model, else on its first; None for itself.

    An arm that runs the sessions of each drug on a model of their own is several cases, of the same ``key``.
    """
    base = [index for index, case in enumerate(cases) if reference in (case.arm.name, case.arm.key)]

    def nearest(case: Case) -> int | None:
        def apart(index: int) -> tuple[bool, bool]:
            other = cases[index]
            return other.model.id != case.model.id, other.arm.protocol.drugs != case.arm.protocol.drugs

        return min(base, key=apart, default=None)

    return [None if index in base else nearest(case) for index, case in enumerate(cases)]


def own_times(case: Case, plan: Schedule) -> tuple[Floats, Grid | None]:
    """The grid of the bands, (t,), or (t, n) where sessions begin at a time of each patient's own; and its steps.

    Where a session is earlier than planned, what is left of the grid of the one before stands at its start.
    """
    if plan.starts.shape[1] == 1 and np.array_equal(plan.starts[:, 0], case.starts):
        return case.times, None
    session = case.session_of - 1
    own = plan.starts[session] + (case.times - case.starts[session])[:, None]
    following = np.concatenate([plan.starts[1:], np.full((1, plan.starts.shape[1]), np.inf)])[session]
    cut = own > following
    times = np.ascontiguousarray(np.where(cut, following, own))
    return times, None if cut.any() else grid_of(case.times)


def _course_warnings(arm: Arm, model: ModelSpec) -> tuple[str, ...]:
    nobody = Population(0, 0, {})
    return tuple(f"arm {arm.name}: {sentence}" for sentence in cautions.validity(arm.protocol, model, nobody))


def variability_notes(scenario: Scenario, models: Iterable[ModelSpec]) -> list[str]:
    """What a reader must know of the kinds of variability that were asked for, one sentence each."""
    said = []
    models = list(models)
    for model in models:
        block = model.variability.between_occasion
        if scenario.spec.variability.between_occasion and not any(effect.variance for effect in block.effects.values()):
            said.append(f"{model.id} has no between-occasion variability: its patients are the same in every session")
    return said + (measurement.notes(models) if scenario.spec.variability.residual else [])


def condition(request: Request, span: Span, model: ModelSpec) -> str | None:
    """What sets a metric apart from others of its name: threshold, moment, or window that is no session's."""
    words = []
    if request.output == "":
        return _stay(request, model)
    if request.levels:
        words.append(
            f"{' to '.join(f'{level:g}' for level in request.levels)} {model.observables[request.output]}".rstrip()
        )
    if request.moment is not None:
        words.append(str(request.moment))
    if span.kind == "between":
        words.append("between sessions")
    if span.kind == "absolute":
        words.append(f"{span.start:g}-{span.end:g} h")
    if request.of_baseline is not None:
        words.append(OF_BASELINE[request.of_baseline])
    if model.illustrative(request.output):
        words.append("illustrative")
    return ", ".join(words) or None


def _stay(request: Request, model: ModelSpec) -> str | None:
    """What a metric of what a course takes rests on: how long patients stay, where that counts."""
    words = []
    if request.observed is not None:
        words.append(f"observed for {request.observed:g} h")
    if request.until is not None and request.until.threshold is not None:
        unit = model.observables[request.until.output]
        words.append(f"until {request.until.output} below {request.until.threshold:g} {unit}".rstrip())
        words += ["illustrative"] if model.illustrative(request.until.output) else []
    return ", ".join(words) or None


def unit_of(request: Request, model: ModelSpec) -> str:
    """The unit in which the values of a metric are reported."""
    return unit_in(request, model.observables.get(request.output, ""))
