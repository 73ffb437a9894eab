"""Is that too much, and in what share of patients: monitoring rules judged, with sampling error."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pkmodel import metrics
from pkmodel.metrics import Figures, Request, Span
from pkmodel.specs.asked import Asked
from pkmodel.specs.metric import METRICS, UNITLESS
from pkmodel.specs.model import ModelSpec
from pkmodel.specs.rule import Rule
from pkmodel.specs.rule_checks import alike
from pkmodel.specs.scenario import Compare, ScenarioSpec
from pkmodel.specs.window import Window

Floats = NDArray[np.float64]
Verdict = Literal["met", "broken", "undecided"]

#: Two-sided confidence of every interval of this module, and its normal quantile.
CONFIDENCE = 0.95
_Z = 1.959963984540054


def wilson(met: int, n: int) -> tuple[float, float]:
    """The 95 % Wilson score interval of a share. It holds simulation error only: how well n patients show the share.

    Wilson EB. Probable inference, the law of succession, and statistical inference. J Am Stat Assoc 1927;22:209-212.
    """
    if not 0 <= met <= n or n < 1:
        raise ValueError(f"{met} of {n}")
    share, shift = met / n, _Z * _Z / n
    centre = (share + shift / 2) / (1 + shift)
    half = _Z * math.sqrt(share * (1 - share) / n + shift / (4 * n)) / (1 + shift)
    # At the ends the exact bound is 0 or 1; rounding must not move it.
    return (0.0 if met == 0 else max(0.0, centre - half)), (1.0 if met == n else min(1.0, centre + half))


def clopper_pearson(met: int, n: int) -> tuple[float, float]:
    """The 95 % interval of a share that holds it at least so often, whatever it is. Simulation error only.

    Clopper CJ, Pearson ES. The use of confidence or fiducial limits illustrated in the case of the binomial. Biometrika
    1934;26:404-413.
    """
    from scipy.special import betaincinv

    if not 0 <= met <= n or n < 1:
        raise ValueError(f"{met} of {n}")
    tail = (1.0 - CONFIDENCE) / 2.0
    low = 0.0 if met == 0 else float(betaincinv(met, n - met + 1, tail))
    high = 1.0 if met == n else float(betaincinv(met + 1, n - met, 1.0 - tail))
    return low, high


def verdict(low: float, high: float, required: float) -> Verdict:
    """met where the whole interval reaches the required share, broken where none of it does."""
    if low >= required:
        return "met"
    return "broken" if high < required else "undecided"


def described(rule: Rule) -> str:
    """A rule in words, such as ``time above 150 ng/mL of parent at most 30 min``."""
    what = f"{rule.metric.replace('_', ' ')}{f' {rule.bounds}' if rule.bounds else ''} of {rule.output}"
    discharge = " at discharge," if rule.metric == "level_at_discharge" else ""
    if rule.moment is not None:
        what = f"level of {rule.output}{discharge} {rule.moment.text.replace('_', ' ')}"
    return f"{what} {'at most' if rule.upper else 'at least'} {rule.limit.text}"


@dataclass(frozen=True)
class Finding:
    """One judged rule: a line of findings.csv."""

    rule: str
    arm: str
    model: str
    metric: str
    output: str
    window: str
    limit: float
    unit: str
    n: int
    n_met: int
    share: float
    low: float
    high: float
    required: float
    verdict: Verdict
    exact_low: float
    exact_high: float
    severity: str = "not stated"


#: Columns of findings.csv, in order: a contract up to the verdict (DESIGN section 7), then Clopper and Pearson's
#: interval, which does not decide it, and how severe a broken rule is.
COLUMNS = tuple(Finding.__dataclass_fields__)


def judged(
    rule: Rule, arm: str, model: ModelSpec, window: str, met: int, n: int, bounds: tuple[float, float] | None = None
) -> Finding:
    """The finding of a rule that ``met`` of ``n`` patients keep; ``bounds`` where the interval is not Wilson's."""
    low, high = wilson(met, n) if bounds is None else bounds
    exact_low, exact_high = clopper_pearson(met, n)
    required = rule.share.value
    return Finding(
        rule=rule.id,
        arm=arm,
        model=model.id,
        metric=rule.metric,
        output=model.observable(rule.output),
        window=window,
        limit=rule.limit.number,
        unit=rule.limit.unit.text,
        n=n,
        n_met=met,
        share=met / n,
        low=low,
        high=high,
        required=required,
        verdict=verdict(low, high, required),
        exact_low=exact_low,
        exact_high=exact_high,
        severity=rule.severity or "not stated",
    )


def request_of(rule: Rule, model: ModelSpec) -> Request:
    """The metric that a rule looks at, in the unit of the model's output or effect."""
    name = model.observable(rule.output)
    factor = model.factor_of(name)
    threshold, up_to = (None if level is None else level.value / factor for level in (rule.threshold, rule.up_to))
    return Request(rule.metric, name, threshold, rule.moment, up_to)


def requested(asked: Asked, model: ModelSpec) -> Request:
    """A metric that is asked for, in the unit of the model's output or effect."""
    name = model.observable(asked.output)
    return Request(
        asked.metric, name, None if asked.threshold is None else asked.threshold.value / model.factor_of(name)
    )


def requests_of(compare: Compare, rules: list[Rule], model: ModelSpec) -> list[Request]:
    """The metrics of a comparison; thresholds and moments are those of the rules with the same metric."""
    name = model.observable(compare.output)
    found: list[Request] = []
    for metric in compare.metrics:
        similar = [request_of(rule, model) for rule in rules if alike(rule, metric, name, model)]
        like = [Request(metric, name, item.threshold, item.moment, item.up_to) for item in similar]
        found += like or [Request(metric, name)]
    return list(dict.fromkeys(found))


@dataclass(frozen=True)
class Question:
    """A metric over a window in the words of the scenario, so that models can be set side by side.

    ``condition`` is the threshold or the moment, and whether the effect is illustrative; ``taken`` says which of
    several spans counts, None where there is one.
    """

    output: str
    metric: str
    condition: str | None
    window: str
    taken: Literal["highest", "lowest"] | None


def questions_of(spec: ScenarioSpec, model: ModelSpec, n_sessions: int) -> dict[Question, tuple[Request, list[Span]]]:
    """What rules and comparison ask for, each with what answers it on this model; no question twice."""
    found: dict[Question, tuple[Request, list[Span]]] = {}

    def add(output: str, rule: Rule | None, request: Request, window: str, spans: list[Span], upper: bool) -> None:
        words = [rule.bounds] if rule is not None and rule.bounds else []
        words += [str(rule.moment)] if rule is not None and rule.moment is not None else []
        words += ["illustrative"] if model.illustrative(request.output) else []
        condition = ", ".join(words) or None
        taken: Literal["highest", "lowest"] | None = None
        if len(spans) > 1:
            taken = "highest" if upper else "lowest"
        found.setdefault(Question(output, request.metric, condition, window, taken), (request, spans))

    for rule in spec.rules:
        for label, spans in spans_of(rule.window, n_sessions).items():
            add(rule.output, rule, request_of(rule, model), label, spans, rule.upper)
    if spec.compare is not None:
        together = [span for spans in spans_of(spec.compare.window, n_sessions).values() for span in spans]
        for request in requests_of(spec.compare, spec.rules, model):
            same = (rule for rule in spec.rules if replace(request_of(rule, model), output=request.output) == request)
            upper = request.metric != "lowest"
            add(spec.compare.output, next(same, None), request, str(spec.compare.window), together, upper)
    return found


def answer(taken: str | None, spans: Sequence[Floats]) -> Floats:
    """The value of each patient (n,) over the spans of a question."""
    if taken is None:
        return spans[0]
    together = np.stack(spans)
    worst: Floats = together.max(axis=0) if taken == "highest" else together.min(axis=0)
    return worst


def spans_of(window: Window, n_sessions: int) -> dict[str, list[Span]]:
    """The spans of a window, by the label under which they are reported; several spans are taken together."""
    every = range(1, n_sessions + 1)
    match window.kind:
        case "each":
            return {f"session {index}": [Span("session", index)] for index in every}
        case "worst":
            return {str(window): [Span("session", index) for index in every]}
        case "sessions":
            return {str(window): [Span("session", index) for index in range(window.first, window.last + 1)]}
        case "between":
            return {str(window): [Span("between", index) for index in range(1, n_sessions)]}
        case "course":
            return {str(window): [Span("course")]}
    return {str(window): [Span("absolute", start=window.start, end=window.end)]}


def keeps(
    rule: Rule,
    model: ModelSpec,
    figures: Mapping[str, Figures],
    n_sessions: int,
    evaluate: Callable[[Figures, Span, Request], Floats] = metrics.evaluate,
) -> dict[str, NDArray[np.bool_]]:
    """Which patients (n,) keep a rule, by window; over several spans the worst one counts.

    ``evaluate`` gives a metric, true or as measured.
    """
    request = request_of(rule, model)
    # In hours where it is a time: times and areas have the hour as their base unit.
    limit = rule.limit.value / (1.0 if METRICS[rule.metric] in UNITLESS else model.factor_of(request.output))
    found = {}
    for label, spans in spans_of(rule.window, n_sessions).items():
        values = np.stack([evaluate(figures[request.output], span, request) for span in spans])
        found[label] = values.max(axis=0) <= limit if rule.upper else values.min(axis=0) >= limit
    return found
