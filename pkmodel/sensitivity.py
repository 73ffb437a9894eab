"""Sensitivity: which covariates and random effects drive a metric, or the failure of a rule.

Two populations A and B are drawn as every run draws them. In the patients of A one input at a time is replaced by that
of B: what that changes is due to the input alone. Inputs that are correlated, or of which one is drawn from the other
(heights by sex), are replaced together and counted as one, because an index of each alone would have no meaning.

sobol
    The share of the variance of the metric over patients that an input makes alone (first order), and with all its
    interactions (total). Saltelli A, et al. Variance based sensitivity analysis of model output. Comput Phys Commun
    2010;181:259-270; computed by SALib, intervals by its bootstrap over patients.
morris
    The mean absolute change of the metric when the input is drawn anew, in the unit of the metric: elementary effects
    in a radial design. Campolongo F, Saltelli A, Cariboni J. From screening to quantitative sensitivity analysis.
    Comput Phys Commun 2011;182:978-988. The interval is that of a mean.

All intervals hold simulation error only. Effects of occasions, of devices and of measurement are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pkmodel import findings, metrics, population, taking, tally, treatment
from pkmodel.cases import Case, cases_of
from pkmodel.engine import AUTO
from pkmodel.errors import InputError, Problem
from pkmodel.exact_figures import figures_for
from pkmodel.findings import Wanted
from pkmodel.metrics import Request, Span
from pkmodel.outcome import CaseSums, Study
from pkmodel.population import Population
from pkmodel.specs.covariance import factor
from pkmodel.specs.library import Scenario
from pkmodel.specs.model import ModelSpec
from pkmodel.specs.population import CORRELATED, PopulationSpec
from pkmodel.specs.rule import Rule

Floats = NDArray[np.float64]
Method = Literal["sobol", "morris"]
Progress = Callable[[int, int], None]

#: Patients to a block, for memory.
_BLOCK = 4096
#: Resamples of the bootstrap.
RESAMPLES = 400


@dataclass(frozen=True)
class Group:
    """Inputs that are replaced together: covariates by name, or random effects by their parameter."""

    name: str
    covariates: tuple[str, ...] = ()
    etas: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """What kind of input it is."""
        return "covariate" if self.covariates else "between patients"


@dataclass(frozen=True)
class Index:
    """What an input does to the metric: a line of sensitivity.csv.

    Sobol: ``first`` and ``total`` are shares of the variance. Morris: ``total`` is the mean absolute change in the unit
    of the metric, and ``first`` None.
    """

    input: str
    kind: str
    first: float | None
    first_low: float | None
    first_high: float | None
    total: float
    total_low: float
    total_high: float


COLUMNS = tuple(Index.__dataclass_fields__)


@dataclass
class Sensitivity:
    """What drives a metric, the strongest input first; made by :func:`run`."""

    scenario: Scenario
    case: Case
    method: Method
    what: str
    unit: str
    n: int
    mean: float
    sd: float
    rows: list[Index]
    notes: list[str]

    @property
    def study(self) -> Study:
        """A study without patients, for what all runs of the model rest on."""
        empty = np.zeros((0, 0, 0), dtype=np.uint32)
        return Study(self.scenario, [self.case], [CaseSums(empty, empty, empty)], [{}])


def groups_of(spec: PopulationSpec, model: ModelSpec) -> list[Group]:
    """The inputs that vary, those that belong together as one.

    Raises InputError for a mixture and for people of a table, whose covariates have no distribution of their own.
    """
    if spec.parts or spec.table is not None:
        what = "a mixture" if spec.parts else "a table of people"
        raise InputError(Problem(f"{what}: {spec.title}", "a population of stated distributions", "population"))
    covariance = np.asarray(spec.copula_factor()) @ np.asarray(spec.copula_factor()).T
    joined = {
        frozenset((a, b))
        for i, a in enumerate(CORRELATED)
        for j, b in enumerate(CORRELATED)
        if i != j and covariance[i, j]
    }
    history = ("ancestry", "severity", "cyp2b6_activity", "hepatic_impairment")
    stated = {name: getattr(spec, name) for name in (*CORRELATED, *history[1:])}
    joined |= {frozenset((name, other)) for name, item in stated.items() if item is not None for other in item.needs}
    covariates = _together(("female", *CORRELATED, *history), joined)
    found = [Group(", ".join("sex" if name == "female" else name for name in names), names) for names in covariates]
    block = model.variability.between_subject
    drawn, lower = factor(block)
    spread = lower @ lower.T
    pairs = {frozenset((a, b)) for i, a in enumerate(drawn) for j, b in enumerate(drawn) if i != j and spread[i, j]}
    for names in _together(drawn, pairs):
        shared = tuple(name for name, effect in block.effects.items() if effect.eta in names)
        found.append(Group("eta " + ", ".join(names), etas=(*names, *shared)))
    return found


def _together(names: Sequence[str], pairs: set[frozenset[str]]) -> list[tuple[str, ...]]:
    """The names in groups that pairs connect, in order."""
    left = list(names)
    found = []
    while left:
        group = [left.pop(0)]
        for name in group:
            for other in [item for item in left if frozenset((name, item)) in pairs]:
                left.remove(other)
                group.append(other)
        found.append(tuple(sorted(group, key=list(names).index)))
    return found


def _swapped(mine: Population, theirs: Population, group: Group) -> Population:
    """The patients of ``mine`` with the inputs of a group of ``theirs``."""
    covariates = {**mine.covariates, **{name: theirs.covariates[name] for name in group.covariates}}
    etas = {**mine.etas, **{name: theirs.etas[name] for name in group.etas}}
    return replace(mine, covariates=covariates, etas=etas)


def _varies(a: Population, b: Population, group: Group) -> bool:
    known = [(a.covariates, b.covariates, name) for name in group.covariates]
    known += [(a.etas, b.etas, name) for name in group.etas]
    return any(name in one and not np.array_equal(one[name], two[name]) for one, two, name in known)


def run(
    scenario: Scenario,
    *,
    metric: str | None = None,
    rule: str | None = None,
    method: Method = "sobol",
    progress: Progress | None = None,
) -> Sensitivity:
    """What drives a metric of the parent drug in its worst session, or the failure of a rule.

    Parameters
    ----------
    scenario
        with one arm on one model; its ``n`` is the number of patients in each of the two populations.
    metric, rule
        one of them: a metric that needs no threshold or moment; or the id of a rule of the scenario, of which then the
        failure (0 or 1) is looked at.

    Raises
    ------
    InputError
        where there is nothing to look at, or it is the same in every patient.
    """
    (case,) = cases_of(scenario)
    judged = next((item for item in scenario.spec.rules if item.id == rule), None)
    sessions = case.n_sessions
    if judged is not None:
        requests = findings.requests_with([judged], case.model, sessions, scenario.spec.prices)
        what, unit = f"failure of {judged.id}", ""
    else:
        name = case.model.observable("parent")
        request = Request(metric or "peak", name)
        requests = {request: [Span("session", index + 1) for index in range(sessions)]}
        what = f"{request.metric.replace('_', ' ')} of {name}, worst session"
        unit = metrics.unit_of(request.metric, case.model.observables[name])

    n, seed = scenario.spec.n, scenario.spec.seed
    groups = groups_of(scenario.population, case.model)
    kept: list[Group] = []
    parts: list[list[Floats]] = []
    for first in range(0, n, _BLOCK):
        count = min(_BLOCK, n - first)
        mine, theirs = (_drawn(scenario, case.model, seed, start, count) for start in (first, n + first))
        if first == 0:
            known = [group for group in groups if all(name in mine.covariates for name in group.covariates)]
            kept = [group for group in known if _varies(mine, theirs, group)]
        populations = [mine, *(_swapped(mine, theirs, group) for group in kept), theirs]
        parts.append([_values(scenario, case, people, requests, judged) for people in populations])
        if progress is not None:
            progress(first + count, n)
    values = np.stack([np.concatenate(column) for column in zip(*parts, strict=True)])  # (groups + 2, n)
    if not np.isfinite(values).all():
        raise InputError(Problem(f"{what}, which some patients never have", "a metric that everybody has", "metric"))
    if np.ptp(values) == 0.0 and judged is not None:
        found = f"a rule that {'no' if values.flat[0] == 0.0 else 'every'} patient breaks, {judged.id}"
        raise InputError(Problem(found, "one that some keep and some do not", where="--rule"))
    if np.ptp(values) == 0.0:
        raise InputError(Problem(f"{what} of {values.flat[0]:g} in every patient", "something that varies", "metric"))
    rows = _sobol(kept, values, seed) if method == "sobol" else _morris(kept, values)
    rows.sort(key=lambda row: -row.total)
    notes = [
        f"counted as one, because correlated or drawn from one another: {group.name}"
        for group in kept
        if _several(group)
    ]
    if gone := [group.name for group in groups if group not in kept]:
        notes.append(f"the same in everybody, so left out: {', '.join(gone)}")
    if any(effect.variance for effect in case.model.variability.between_occasion.effects.values()):
        notes.append("variability between occasions is left out")
    return Sensitivity(
        scenario=scenario,
        case=case,
        method=method,
        what=what,
        unit=unit,
        n=n,
        mean=float(values[0].mean()),
        sd=float(values[0].std()),
        rows=rows,
        notes=notes,
    )


def _several(group: Group) -> bool:
    return len(group.covariates) > 1 or "," in group.name


def _drawn(scenario: Scenario, model: ModelSpec, seed: int, first: int, count: int) -> Population:
    people = population.sample_covariates(scenario.population, seed, first, count)
    return population.sample_effects(people, model, seed)


def _values(scenario: Scenario, case: Case, people: Population, requests: Wanted, rule: Rule | None) -> Floats:
    """The one metric of every patient (n,) in the worst span, or 1 where the rule is broken and 0 where it is kept."""
    seed, protocol = scenario.spec.seed, case.arm.protocol
    treated = treatment.treat(case.model, people, protocol, case.fraction, AUTO, seed=seed, sprays=False)
    looks = [request for request in requests if request.output]
    step = scenario.spec.observe.every.value
    figures = figures_for(requests, treated.network, treated.plan, treated.course, last=case.last_window, step=step)
    values = {
        (request, span): metrics.evaluate(figures[request.output], span, request)
        for request in looks
        for span in requests[request]
    }
    if rule is None:
        each = np.stack([*values.values()])
        worst: Floats = each.min(axis=0) if looks[0].metric == "lowest" else each.max(axis=0)
        return worst
    values |= taking.of_course(requests, tally.of(treated.plan.sessions), values)
    kept = findings.keeps(rule, case.model, lambda *asked: values[asked], case.n_sessions, scenario.spec.prices)
    return np.asarray(1.0 - np.logical_and.reduce([*kept.values()]), dtype=np.float64)


def _sobol(groups: list[Group], values: Floats, seed: int) -> list[Index]:
    """First-order and total indices with bootstrap intervals, of values (groups + 2, n): A, A with each of B, B."""
    try:
        from SALib.analyze import sobol
    except ImportError:
        raise InputError(
            Problem("no SALib in this Python", 'pip install "pkmodel[sensitivity]", or --method morris', "method")
        ) from None
    names = [group.name for group in groups]
    problem = {"num_vars": len(names), "names": names, "bounds": [[0.0, 1.0]] * len(names)}
    # Where everybody of a resample is alike SALib would divide by 0; it is rare and no index then.
    with np.errstate(divide="ignore", invalid="ignore"):
        found = sobol.analyze(
            problem,
            np.ascontiguousarray(values.T).ravel(),
            calc_second_order=False,
            num_resamples=RESAMPLES,
            conf_level=0.95,
            seed=seed % 2**32,
        )
    rows = []
    for index, group in enumerate(groups):
        first, total = float(found["S1"][index]), float(found["ST"][index])
        wide, broad = float(found["S1_conf"][index]), float(found["ST_conf"][index])
        ends = (first - wide, first + wide, total, total - broad, total + broad)
        rows.append(Index(group.name, group.kind, first, *ends))
    return rows


def _morris(groups: list[Group], values: Floats) -> list[Index]:
    """The mean absolute change with its interval, of values (groups + 2, n)."""
    rows = []
    for group, changed in zip(groups, values[1:-1], strict=True):
        change = np.abs(changed - values[0])
        mean, error = float(change.mean()), float(change.std(ddof=1) / np.sqrt(change.size))
        half = 1.959963984540054 * error
        rows.append(Index(group.name, group.kind, None, None, None, mean, mean - half, mean + half))
    return rows
