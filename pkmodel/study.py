"""How sure are we, and how is it split: a scenario run over blocks of patients.

A run is a set of *cases* (an arm on a model) over the same patients. Patients are worked on in chunks, each
on its own (sampling, schedule, kernels, rules), and what comes back is integer counts or values in the order
of the patients, so neither the size of the chunks nor the number of workers changes a bit.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pkmodel import findings, metrics, network, population, schedule, simulation, units
from pkmodel.errors import InputError, Problem
from pkmodel.findings import Finding
from pkmodel.metrics import Request, Span
from pkmodel.population import Population
from pkmodel.specs.library import Arm, Scenario, drug_fraction
from pkmodel.specs.model import ModelSpec
from pkmodel.specs.scenario import METRICS, OF_SESSION, WITH_THRESHOLD

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
Counts = NDArray[np.uint32]

#: Patients to a block of files and sums (DESIGN section 6).
BLOCK = 65_536
#: Quantiles of the bands.
SHARES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True)
class Case:
    """One arm on one model, with all that is wanted of it."""

    arm: Arm
    model: ModelSpec
    fraction: float
    warnings: tuple[str, ...]
    requests: dict[Request, list[Span]]
    compared: tuple[Request, ...]
    times: Floats
    """(t,) h from the start of the course: the grid of the bands, session after session."""
    session_of: NDArray[np.int64]
    last_window: float

    @property
    def n_sessions(self) -> int:
        """How many sessions the arm plans."""
        return len(self.arm.protocol.plan())


@dataclass
class CaseSums:
    """What one case leaves behind, whatever the number of patients: integer counts only."""

    bands: Counts
    peaks: Counts
    met: dict[tuple[str, str], int] = field(default_factory=dict)
    outside: dict[str, int] = field(default_factory=dict)

    def add(self, other: CaseSums) -> None:
        """Add the counts of other patients."""
        self.bands += other.bands
        self.peaks += other.peaks
        for rule, count in other.met.items():
            self.met[rule] = self.met.get(rule, 0) + count
        for name, count in other.outside.items():
            self.outside[name] = self.outside.get(name, 0) + count


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
    outside: list[str]


@dataclass(frozen=True)
class Chunk:
    """A chunk of patients worked through, for whoever writes it down."""

    population: Population
    cases: list[CaseChunk]


Sink = Callable[[Chunk], None]
Progress = Callable[[int, int], None]


@dataclass
class Study:
    """The outcome of a run."""

    scenario: Scenario
    cases: list[Case]
    sums: list[CaseSums]
    compared: list[dict[Request, Floats]]

    @property
    def n(self) -> int:
        """How many patients."""
        return self.scenario.spec.n

    @cached_property
    def results(self) -> list[Finding]:
        """Every rule judged in every arm and model."""
        found = []
        for rule in self.scenario.spec.rules:
            for case, sums in zip(self.cases, self.sums, strict=True):
                for label in findings.spans_of(rule.window, case.n_sessions):
                    met = sums.met[rule.id, label]
                    found.append(findings.judged(rule, case.arm.name, case.model, label, met, self.n))
        return found

    @property
    def findings(self) -> pd.DataFrame:
        """The findings as a table, columns as in findings.csv."""
        import pandas as pd

        return pd.DataFrame([vars(finding) for finding in self.results], columns=list(findings.COLUMNS))

    @cached_property
    def bands(self) -> pd.DataFrame:
        """Quantiles over patients at each point of the grid (within 0.4 % of the sample's; see core.sketch)."""
        import pandas as pd

        from pkmodel.core import sketch

        parts = []
        for case, sums in zip(self.cases, self.sums, strict=True):
            starts = np.array([planned.start for planned in case.arm.protocol.plan()])
            table = sketch.quantiles(sums.bands, np.array(SHARES))
            for index, (name, output) in enumerate(case.model.outputs.items()):
                columns = {f"p{100 * share:g}": table[:, index, k] for k, share in enumerate(SHARES)}
                parts.append(
                    pd.DataFrame(
                        {
                            "arm": case.arm.name,
                            "model": case.model.id,
                            "session": case.session_of,
                            "time_h": case.times - starts[case.session_of - 1],
                            "course_time_h": case.times,
                            "output": name,
                            "n": self.n,
                            **columns,
                            "unit": output.unit,
                        }
                    )
                )
        return pd.concat(parts, ignore_index=True)

    @cached_property
    def session_peaks(self) -> pd.DataFrame:
        """Quantiles over patients of the exact peak of every session and output."""
        import pandas as pd

        from pkmodel.core import sketch

        rows = []
        for case, sums in zip(self.cases, self.sums, strict=True):
            table = sketch.quantiles(sums.peaks, np.array(SHARES))
            for session in range(case.n_sessions):
                for index, (name, output) in enumerate(case.model.outputs.items()):
                    quantiles = {f"p{100 * share:g}": table[session, index, k] for k, share in enumerate(SHARES)}
                    where = {"arm": case.arm.name, "model": case.model.id, "session": session + 1, "output": name}
                    rows.append({**where, "n": self.n, **quantiles, "unit": output.unit})
        return pd.DataFrame(rows)

    @cached_property
    def comparison(self) -> pd.DataFrame:
        """Arms against the reference, patient by patient: medians, the median ratio, and the share that is lower."""
        import pandas as pd

        compare = self.scenario.spec.compare
        rows: list[dict[str, Any]] = []
        if compare is None:
            return pd.DataFrame(rows)
        base = {case.model.id: k for k, case in enumerate(self.cases) if case.arm.name == compare.reference}
        for case, values in zip(self.cases, self.compared, strict=True):
            # An arm on a model of its own is compared with the reference arm on whatever model that has.
            reference = self.compared[base.get(case.model.id, next(iter(base.values())))]
            if case.arm.name == compare.reference:
                continue
            for request, own in values.items():
                other = next(
                    (v for r, v in reference.items() if (r.metric, r.threshold) == (request.metric, request.threshold)),
                    None,
                )
                if other is None:
                    continue
                lower = int((own < other).sum())
                low, high = findings.wilson(lower, self.n)
                ratio = own[other > 0] / other[other > 0]
                rows.append(
                    {
                        "arm": case.arm.name,
                        "reference": compare.reference,
                        "model": case.model.id,
                        "output": request.output,
                        "metric": request.metric,
                        "condition": condition(request, Span("session"), case.model),
                        "window": str(compare.window),
                        "n": self.n,
                        "median": float(np.median(own)),
                        "median_reference": float(np.median(other)),
                        "median_ratio": float(np.median(ratio)) if ratio.size else None,
                        "n_lower": lower,
                        "share_lower": lower / self.n,
                        "low": low,
                        "high": high,
                        "unit": metrics.unit_of(request.metric, case.model.outputs[request.output].unit),
                    }
                )
        return pd.DataFrame(rows)

    @property
    def assumptions(self) -> list[str]:
        """Everything assumed, borrowed or derived that this run rests on."""
        models = {case.model.id: case.model for case in self.cases}
        return [sentence for model in models.values() for sentence in model.assumptions]

    @property
    def warnings(self) -> list[str]:
        """What a reader must know: patients and courses outside of what a model is valid for, mixed drugs."""
        said: list[str] = []
        for case, sums in zip(self.cases, self.sums, strict=True):
            said += case.warnings
            said += [
                f"{count} of {self.n} patients are outside the {name} that {case.model.id} is valid for"
                for name, count in sums.outside.items()
                if count
            ]
        return list(dict.fromkeys(said))


def condition(request: Request, span: Span, model: ModelSpec) -> str | None:
    """What sets a metric apart from others of its name: threshold, moment, or window that is no session's."""
    words = []
    if request.threshold is not None:
        words.append(f"{request.threshold:g} {model.outputs[request.output].unit}")
    if request.moment is not None:
        words.append(str(request.moment))
    if span.kind == "between":
        words.append("between sessions")
    if span.kind == "absolute":
        words.append(f"{span.start:g}-{span.end:g} h")
    return ", ".join(words) or None


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
        for model in arm.models:
            fraction, warnings = drug_fraction(arm.protocol, model, arm.drug)
            requests: dict[Request, list[Span]] = {}

            def want(request: Request, spans: list[Span], into: dict[Request, list[Span]] = requests) -> None:
                into[request] = list(dict.fromkeys([*into.get(request, []), *spans]))

            for rule in spec.rules:
                for spans in findings.spans_of(rule.window, len(plan)).values():
                    want(findings.request_of(rule, model), spans)
            compared = findings.requests_of(spec.compare, spec.rules, model) if spec.compare else []
            if spec.compare is not None:
                for spans in findings.spans_of(spec.compare.window, len(plan)).values():
                    for request in compared:
                        want(request, spans)
            if all_metrics:
                every = [Span("session", index + 1) for index in range(len(plan))]
                for name in model.outputs:
                    for metric in METRICS:
                        if metric not in (*WITH_THRESHOLD, "level_at"):
                            want(Request(metric, name), every if metric in OF_SESSION else [*every, Span("course")])
            found.append(
                Case(
                    arm=arm,
                    model=model,
                    fraction=fraction,
                    warnings=tuple(warnings) + _course_warnings(arm, model),
                    requests=requests,
                    compared=tuple(compared),
                    times=np.concatenate(times),
                    session_of=np.concatenate(session_of),
                    last_window=max(metrics.LAST_WINDOW, spec.observe.span.value),
                )
            )
    return found


def _course_warnings(arm: Arm, model: ModelSpec) -> tuple[str, ...]:
    nobody = Population(0, 0, {})
    return tuple(f"arm {arm.name}: {sentence}" for sentence in simulation.validity(arm.protocol, model, nobody))


def run(
    scenario: Scenario,
    *,
    jobs: int = 1,
    strict: bool = False,
    all_metrics: bool = False,
    sink: Sink | None = None,
    progress: Progress | None = None,
    chunk: int | None = None,
) -> Study:
    """Run a scenario.

    Parameters
    ----------
    jobs
        threads; the kernels release the interpreter lock.
    strict
        refuse patients and courses outside of what a model is valid for.
    sink
        called with every chunk, in the order of the patients, on the calling thread.
    chunk
        patients to a chunk; a matter of speed only.

    Raises
    ------
    InputError
        where the scenario cannot be run as it stands, or ``strict`` refuses it.
    """
    if jobs < 1:
        raise InputError(Problem(str(jobs), "at least one worker", path="jobs"))
    cases = cases_of(scenario, all_metrics=all_metrics)
    if strict:
        said = [sentence for case in cases for sentence in (*case.warnings,)]
        if said:
            raise InputError([Problem(sentence, "nothing outside valid_for (--strict)") for sentence in said])
    n = scenario.spec.n
    size = chunk or int(np.clip(n // (4 * jobs), 256, 8192))
    firsts = list(range(0, n, size))
    sums = [_no_sums(case) for case in cases]
    compared: list[dict[Request, list[Floats]]] = [{request: [] for request in case.compared} for case in cases]
    # Sketches are large, so each thread counts into its own and they are added up at the end.
    mine = threading.local()
    every_sum: list[list[CaseSums]] = []
    lock = threading.Lock()

    def work(first: int) -> Chunk:
        if not hasattr(mine, "sums"):
            mine.sums = [_no_sums(case) for case in cases]
            with lock:
                every_sum.append(mine.sums)
        return _run_chunk(scenario, cases, mine.sums, first, min(size, n - first), strict)

    done = 0
    for result in _in_order(work, firsts, jobs):
        if sink is not None:
            sink(result)
        for values, case_chunk in zip(compared, result.cases, strict=True):
            for request, array in case_chunk.compared.items():
                values[request].append(array)
        done += result.population.size
        if progress is not None:
            progress(done, n)
    for theirs in every_sum:
        for total, part in zip(sums, theirs, strict=True):
            total.add(part)
    joined = [{request: np.concatenate(parts) for request, parts in values.items()} for values in compared]
    return Study(scenario, cases, sums, joined)


def _in_order(work: Callable[[int], Chunk], firsts: list[int], jobs: int) -> Iterator[Chunk]:
    """Results in the order of the patients, with no more than a few chunks waiting."""
    if jobs == 1:
        for first in firsts:
            yield work(first)
        return
    with ThreadPoolExecutor(jobs, thread_name_prefix="pkmodel") as pool:
        waiting: list[Future[Chunk]] = []
        try:
            for first in firsts:
                waiting.append(pool.submit(work, first))
                if len(waiting) >= 2 * jobs:
                    yield waiting.pop(0).result()
            while waiting:
                yield waiting.pop(0).result()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _no_sums(case: Case) -> CaseSums:
    from pkmodel.core import sketch

    outputs = len(case.model.outputs)
    return CaseSums(
        bands=np.zeros((case.times.size, outputs, sketch.BINS), dtype=np.uint32),
        peaks=np.zeros((case.n_sessions, outputs, sketch.BINS), dtype=np.uint32),
    )


def _run_chunk(
    scenario: Scenario, cases: list[Case], sums: list[CaseSums], first: int, count: int, strict: bool
) -> Chunk:
    """Work through the patients ``first`` to ``first + count - 1`` in every case."""
    seed = scenario.spec.seed
    people = population.sample_covariates(scenario.population, seed, first, count)
    chunks = []
    for case, total in zip(cases, sums, strict=True):
        drawn = people
        if scenario.spec.variability.between_subject:
            drawn = population.sample_effects(people, case.model, seed)
        chunks.append(_run_case(scenario, case, total, drawn, strict))
    return Chunk(people, chunks)


def _run_case(scenario: Scenario, case: Case, sums: CaseSums, drawn: Population, strict: bool) -> CaseChunk:
    from pkmodel.core import sketch
    from pkmodel.core.linear import observe_into_sketch

    if strict and (said := simulation.validity(case.arm.protocol, case.model, drawn)):
        raise InputError(
            [Problem(sentence, "nothing outside valid_for (--strict)", case.model.id) for sentence in said]
        )
    net = network.build(case.model, drawn)
    plan = schedule.build(case.arm.protocol, net, fraction_of_drug=case.fraction)
    wanted: dict[str, list[float]] = {}
    for request in case.requests:
        if request.threshold is not None:
            wanted.setdefault(request.output, []).append(request.threshold)
    spans = [span for several in case.requests.values() for span in several]
    figures = simulation.course_figures(
        net,
        plan,
        thresholds=wanted,
        moments=tuple(dict.fromkeys(request.moment for request in case.requests if request.moment is not None)),
        between=any(span.kind == "between" for span in spans),
        spans=spans,
        last=case.last_window,
    )
    observe_into_sketch(
        net.rates,
        *plan.events.arrays(),
        case.times,
        *simulation.grid_steps(case.times),
        net.output_compartment,
        net.output_scale,
        sums.bands,
    )
    values = {
        (request, span): metrics.evaluate(figures[request.output], span, request)
        for request, several in case.requests.items()
        for span in several
    }
    for name, index in zip(net.output_names, range(len(net.output_names)), strict=True):
        for session in range(case.n_sessions):
            levels = metrics.peak(figures[name], Span("session", session + 1), Request("peak", name))
            sketch.count(levels, sums.peaks[session, index])
    for rule in scenario.spec.rules:
        for label, kept in findings.keeps(rule, case.model, figures, case.n_sessions).items():
            sums.met[rule.id, label] = sums.met.get((rule.id, label), 0) + int(kept.sum())
    flags = population.outside_valid_for(case.model, drawn)
    for name, outside in flags.items():
        sums.outside[name] = sums.outside.get(name, 0) + int(outside.sum())
    compare = scenario.spec.compare
    compared = {}
    if compare is not None:
        windows = findings.spans_of(compare.window, case.n_sessions)
        for request in case.compared:
            highest = np.stack([values[request, span] for several in windows.values() for span in several])
            compared[request] = highest.max(axis=0)
    unit = dict(zip(net.output_names, net.output_units, strict=True))
    return CaseChunk(
        metrics=[
            MetricValues(request, span, metrics.unit_of(request.metric, unit[request.output]), array)
            for (request, span), array in values.items()
        ],
        compared=compared,
        etas=dict(drawn.etas),
        parameters={name: net.values[name] for name in case.model.parameters},
        outside=[
            ", ".join(name for name, outside in flags.items() if outside[patient]) for patient in range(drawn.size)
        ],
    )


def limits_of(scenario: Scenario, model: ModelSpec, output: str) -> list[tuple[str, float]]:
    """The levels that rules hold an output against, with the rule's id, in the unit of the output: to be drawn."""
    unit = model.outputs[output].unit
    found: dict[float, list[str]] = {}
    for rule in scenario.spec.rules:
        if model.output(rule.output) == output:
            level = rule.threshold if rule.threshold is not None else rule.limit
            if METRICS[rule.metric] == "concentration" or rule.threshold is not None:
                found.setdefault(units.convert(level.value, unit), []).append(rule.id)
    return [(", ".join(ids), level) for level, ids in found.items()]
