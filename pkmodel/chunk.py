"""A chunk of patients worked through: sampled, given their courses, and held against the rules.

What comes back of a chunk is values in the order of the patients; what is counted is added to the sums of its case.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pkmodel import (
    cautions,
    effect_figures,
    engine,
    findings,
    metrics,
    population,
    replicates,
    taking,
    tally,
    treatment,
)
from pkmodel.cases import Case, own_times, unit_of
from pkmodel.engine import Grid, Numerics
from pkmodel.errors import InputError, Problem
from pkmodel.exact_figures import figures_for
from pkmodel.ledger import Table
from pkmodel.measurement import Assay
from pkmodel.metrics import Request, Span
from pkmodel.needed import Kept, count_pairs
from pkmodel.network import Network
from pkmodel.occasions import Course
from pkmodel.outcome import CaseSums
from pkmodel.population import Population
from pkmodel.questions import Question
from pkmodel.schedule import Schedule
from pkmodel.specs.library import Scenario
from pkmodel.tally import Taken

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class MetricValues:
    """One metric over one span for the patients of a chunk."""

    request: Request
    span: Span
    unit: str
    values: Floats


@dataclass(frozen=True)
class CaseChunk:
    """The per-patient results of one case over one chunk."""

    metrics: list[MetricValues]
    compared: dict[Request, Floats]
    etas: dict[str, Floats]
    parameters: dict[str, Floats]
    outside: dict[str, NDArray[np.bool_]]
    """Who is outside of what the model is valid for, by the covariate."""
    ledger: Table | None = None
    """What a clinic did, where it decides on the day."""
    answers: dict[Question, Floats] = field(default_factory=dict)
    """Where the arm runs on several models: what each patient has of every metric that is set side by side."""
    taken: Taken | None = None
    """What the course takes, where metrics are asked for besides those of rules."""


@dataclass(frozen=True)
class Chunk:
    """A chunk of patients worked through, for whoever writes it down."""

    population: Population
    cases: list[CaseChunk]


def no_sums(case: Case) -> CaseSums:
    """The counts of a case over nobody."""
    from pkmodel.core import sketch

    outputs = len(case.model.outputs)
    return CaseSums(
        bands=np.zeros((case.times.size, outputs, sketch.BINS), dtype=np.uint32),
        peaks=np.zeros((case.n_sessions, outputs, sketch.BINS), dtype=np.uint32),
        effects=np.zeros((len(case.model.effects), case.times.size, sketch.SIGNED), dtype=np.uint32),
        profiles=case.profile.nobody(),
    )


def run_chunk(
    scenario: Scenario,
    cases: list[Case],
    sums: list[CaseSums],
    first: int,
    count: int,
    strict: bool,
    numerics: Numerics,
) -> Chunk:
    """Work through the patients ``first`` to ``first + count - 1`` in every case."""
    seed = replicates.seed_of(scenario)
    people = population.sample_covariates(scenario.population, seed, first, count)
    chunks: list[CaseChunk] = []
    kept: list[Kept] = [{} for _ in cases]
    for case, total, keeping in zip(cases, sums, kept, strict=True):
        drawn = people
        if scenario.spec.variability.between_subject:
            drawn = population.sample_effects(people, case.model, seed)
        if scenario.spec.variability.between_occasion:
            drawn = population.sample_occasions(drawn, case.model, seed, case.n_sessions)
        chunks.append(_run_case(scenario, case, total, drawn, strict, numerics, keeping))
    count_pairs(scenario, cases, sums, kept, first)
    return Chunk(people, chunks)


def _run_case(
    scenario: Scenario,
    case: Case,
    sums: CaseSums,
    drawn: Population,
    strict: bool,
    numerics: Numerics,
    keeping: Kept,
) -> CaseChunk:
    """One case over a chunk; ``keeping`` takes who keeps each rule."""
    from pkmodel.core import sketch

    if strict and (said := cautions.validity(case.arm.protocol, case.model, drawn)):
        raise InputError(
            [Problem(sentence, "nothing outside valid_for (--strict)", case.model.id) for sentence in said]
        )
    treated = treatment.treat(case.model, drawn, case.arm.protocol, case.fraction, numerics, seed=scenario.spec.seed)
    net, plan, course = treated.network, treated.plan, treated.course
    times, grid = own_times(case, plan)
    figures = figures_for(
        case.requests,
        net,
        plan,
        course,
        last=case.last_window,
        step=scenario.spec.observe.every.value,
        numerics=numerics,
    )
    assay = None
    if scenario.spec.variability.residual:
        assay = Assay(case.model, scenario.spec.seed, drawn.first, drawn.size)
        _count_measured(assay, net, plan, case, sums, numerics, course, times, grid)
    elif course is None:
        seen, scale = net.output_compartment, net.output_scale
        engine.count_levels(net.system, plan.events, times, seen, scale, sums.bands, numerics, grid)
    else:
        course.count_levels(times, sums.bands)
    if net.effects:
        levels = effect_figures.levels(net, plan.events, times, numerics, course, grid)
        for index in range(len(net.effects)):
            sketch.count_signed(levels[index], sums.effects[index])
    evaluate = metrics.evaluate if assay is None else assay.evaluate
    values = {
        (request, span): evaluate(figures[request.output], span, request)
        for request, several in case.requests.items()
        if request.output
        for span in several
    }
    taken = None
    if scenario.asked or not all(request.output for request in case.requests):
        taken = tally.of(plan.sessions)
        values |= taking.of_course(case.requests, taken, values)
    for (request, _), array in values.items():
        engine.refuse_lost(array, f"{case.model.id}, {request.metric} of {request.output}", drawn.first)
    for name, index in zip(net.output_names, range(len(net.output_names)), strict=True):
        for session in range(case.n_sessions):
            highest = metrics.peak(figures[name], Span("session", session + 1), Request("peak", name))
            sketch.count(highest, sums.peaks[session, index])
    breakers = case.profile.seen(drawn, sums.profiles)
    for rule in scenario.spec.rules:
        kept_in = findings.keeps(rule, case.model, lambda *asked: values[asked], case.n_sessions, scenario.spec.prices)
        for label, kept in kept_in.items():
            breakers.kept(rule.id, label, kept)
            keeping[rule.id, label] = kept
            sums.met[rule.id, label] = sums.met.get((rule.id, label), 0) + int(kept.sum())
            if scenario.spec.sampling.even:
                counts = replicates.counted(kept, drawn.first, scenario.spec.sampling.replicates)
                sums.met_in[rule.id, label] = sums.met_in.get((rule.id, label), 0) + counts
    if treated.ledger is not None:
        for act, number in treated.ledger.counts().items():
            sums.acts[act] = sums.acts.get(act, 0) + number
    flags = population.outside_valid_for(case.model, drawn)
    for name, outside in flags.items():
        sums.outside[name] = sums.outside.get(name, 0) + int(outside.sum())
    for name, number in cautions.ages(drawn).items():
        sums.people[name] = sums.people.get(name, 0) + number
    compare = scenario.spec.compare
    compared = {}
    if compare is not None:
        windows = findings.spans_of(compare.window, case.n_sessions)
        for request in case.compared:
            each = np.stack([values[request, span] for several in windows.values() for span in several])
            compared[request] = each.min(axis=0) if request.metric == "lowest" else each.max(axis=0)
    return CaseChunk(
        metrics=[
            MetricValues(request, span, unit_of(request, case.model), array)
            for (request, span), array in values.items()
        ],
        compared=compared,
        etas=dict(drawn.etas),
        parameters={name: net.values[name] for name in case.model.parameters},
        outside=flags,
        ledger=None if treated.ledger is None else treated.ledger.table,
        answers={
            question: findings.answer(question.taken, [values[request, span] for span in several])
            for question, (request, several) in case.questions.items()
        },
        taken=taken if scenario.asked else None,
    )


def _count_measured(
    assay: Assay,
    net: Network,
    plan: Schedule,
    case: Case,
    sums: CaseSums,
    numerics: Numerics,
    course: Course | None,
    times: Floats,
    grid: Grid | None,
) -> None:
    """Add measured levels to the sketches of the bands."""
    from pkmodel.core import sketch

    if course is not None:
        levels = course.levels(times)
    else:
        seen, scale = net.output_compartment, net.output_scale
        levels = engine.levels(net.system, plan.events, times, seen, scale, numerics=numerics, grid=grid)
    for index, name in enumerate(net.output_names):
        measured = assay.of_grid(levels[:, index], name, case.times)
        for at in range(case.times.size):
            sketch.count(np.ascontiguousarray(measured[:, at]), sums.bands[at, index])
