"""Is that too much, and in what share of patients: monitoring rules judged, with sampling error."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pkmodel.metrics import Request, Span
from pkmodel.specs.asked import Asked
from pkmodel.specs.clause import Clause
from pkmodel.specs.metric import METRICS, TAKEN, UNITLESS
from pkmodel.specs.model import ModelSpec
from pkmodel.specs.prices import Prices
from pkmodel.specs.rule import Rule
from pkmodel.specs.rule_checks import alike
from pkmodel.specs.scenario import Compare
from pkmodel.specs.window import Window

Floats = NDArray[np.float64]
Verdict = Literal["met", "broken", "undecided"]

#: What counts of several spans.
Taken = Literal["highest", "lowest", "sum"]

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


@dataclass(frozen=True)
class Finding:
    """One judged rule: a line of findings.csv."""

    rule: str
    arm: str
    model: str
    metric: str
    output: str
    window: str
    limit: float | None
    """None, and the unit empty, where clauses are joined: each has its own."""
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
        metric=rule.named,
        output=model.observable(rule.output) if rule.output else "",
        window=window,
        limit=None if rule.joined else rule.limit.number,
        unit="" if rule.joined else rule.limit.unit.text,
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


def request_of(rule: Clause, model: ModelSpec, prices: Prices | None = None) -> Request:
    """The metric of a rule, or of one of its clauses, in the unit of the model's output or effect."""
    if rule.metric in TAKEN:
        observed = None if rule.observed_for is None else rule.observed_for.value
        until = None
        if rule.discharge is not None:
            until = requested(Asked("time_until_below", rule.discharge.output, rule.discharge.threshold), model)
        of_cost = prices if rule.metric == "cost" else None
        return Request(rule.metric, "", observed=observed, until=until, prices=of_cost)
    name = model.observable(rule.output)
    factor = model.factor_of(name)
    threshold, up_to = (None if level is None else level.value / factor for level in (rule.threshold, rule.up_to))
    return Request(rule.metric, name, threshold, rule.moment, up_to, rule.of_baseline)


def requested(asked: Asked, model: ModelSpec) -> Request:
    """A metric that is asked for, in the unit of the model's output or effect."""
    name = model.observable(asked.output)
    return Request(
        asked.metric, name, None if asked.threshold is None else asked.threshold.value / model.factor_of(name)
    )


def requests_of(compare: Compare, rules: Sequence[Rule], model: ModelSpec) -> list[Request]:
    """The metrics of a comparison; thresholds and moments are those of the rules with the same metric."""
    name = model.observable(compare.output)
    found: list[Request] = []
    for metric in compare.metrics:
        similar = [request_of(test, model) for test in tests_of(rules) if alike(test, metric, name, model)]
        like = [Request(metric, name, item.threshold, item.moment, item.up_to) for item in similar]
        found += like or [Request(metric, name)]
    return list(dict.fromkeys(found))


def tests_of(rules: Sequence[Rule]) -> list[Clause]:
    """Every metric with its limit that rules hold, also those of clauses that are joined."""
    return [test for rule in rules for test in rule.tests]


def illustrative(rule: Clause, model: ModelSpec) -> bool:
    """Whether a rule looks at an effect of this model that is for teaching only."""
    return any(model.illustrative(model.observable(name)) for name in rule.outputs)


def taken_of(rule: Clause) -> Taken:
    """What counts of several spans of a metric: the worst one, or all together where a course takes something."""
    if rule.metric == "max_dose":
        return "highest"
    if rule.metric in TAKEN and rule.window.kind in ("course", "sessions"):
        return "sum"
    return "highest" if rule.upper else "lowest"


def answer(taken: str | None, spans: Sequence[Floats]) -> Floats:
    """The value of each patient (n,) over the spans of a question."""
    how = {"lowest": np.minimum, "sum": np.add}.get(taken or "", np.maximum)
    return reduce(how, spans)  # one after the other, so that the bits of a sum are those of any number of patients


def spans_of_test(rule: Clause, n_sessions: int) -> dict[str, list[Span]]:
    """The spans of a metric of a rule as :func:`spans_of` has them; what a course takes is counted by session."""
    if rule.metric in TAKEN and rule.window.kind == "course":
        return {str(rule.window): [Span("session", index + 1) for index in range(n_sessions)]}
    return spans_of(rule.window, n_sessions)


def labels_of(rule: Clause, n_sessions: int) -> list[str]:
    """The windows under which a rule is reported."""
    return [rule.over] if rule.joined else [*spans_of_test(rule, n_sessions)]


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


#: What gives the values (n,) of a metric over a span.
Values = Callable[[Request, Span], Floats]


def keeps(
    rule: Clause, model: ModelSpec, values: Values, n_sessions: int, prices: Prices | None = None
) -> dict[str, NDArray[np.bool_]]:
    """Which patients (n,) keep a rule, by window.

    Over several spans the worst one counts, but what a course takes is added up. A joined rule has one window, and is
    kept where all, any or none of its clauses are, each over its own window.
    """
    if rule.joined is not None:
        parts = [next(iter(keeps(part, model, values, n_sessions, prices).values())) for part in rule.clauses]
        kept = ~parts[0] if rule.joined == "not" else reduce(_JOIN[rule.joined], parts)
        return {rule.over: kept}
    request = request_of(rule, model, prices)
    limit = limit_of(rule, model, request)
    found = {}
    for label, spans in spans_of_test(rule, n_sessions).items():
        value = answer(taken_of(rule), [values(request, span) for span in spans])
        found[label] = value <= limit if rule.upper else value >= limit
    return found


_JOIN: dict[str, Callable[..., NDArray[np.bool_]]] = {"all": np.logical_and, "any": np.logical_or}


def limit_of(rule: Clause, model: ModelSpec, request: Request) -> float:
    """The limit of a metric in the unit of its values: that of the output, mg, h, a currency or a plain number."""
    if rule.metric in TAKEN or METRICS[rule.metric] in UNITLESS or request.of_baseline == "share":
        return rule.limit.value  # times and areas have the hour as their base unit
    return rule.limit.value / model.factor_of(request.output)


def requests_with(rules: Sequence[Rule], model: ModelSpec, n_sessions: int, prices: Prices | None) -> Wanted:
    """Every metric that rules look at, over which spans; with what a metric of a stay is made of."""
    found: Wanted = {}
    for test in tests_of(rules):
        request = request_of(test, model, prices)
        for spans in spans_of_test(test, n_sessions).values():
            found[request] = list(dict.fromkeys([*found.get(request, []), *spans]))
        if request.until is not None:
            every = [Span("session", index + 1) for index in range(n_sessions)]
            found[request.until] = list(dict.fromkeys([*found.get(request.until, []), *every]))
    return found


Wanted = dict[Request, list[Span]]
