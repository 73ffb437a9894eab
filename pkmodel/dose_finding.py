"""Dose finding: the largest, or the smallest, value of a protocol's quantity for which rules hold in their shares.

The same patients are treated at every value (common random numbers), so that what differs from value to value is the
value alone. Two ways lead to the answer:

scaled
    Where every level is proportional to the dose, each patient has a dose of its own at which a limit is reached,
    ``limit / level x dose``, and the share that keeps a rule at a dose is the share of patients whose own is beyond it.
    One run tells all of it. The answer is a quantile of these doses, and its interval that of a quantile by order
    statistics, which needs no distribution: Hahn GJ, Meeker WQ. Statistical Intervals. Wiley 1991, section 5.2.
searched
    Else values over the range are run, and where the rules stop to hold the gap is halved until it is narrow. The
    interval inverts the Wilson band: it goes from the last value at which every rule is met to the first at which one
    is broken. Where the rules hold in several parts of the range, that is said.

Intervals hold simulation error only: another draw of as many patients.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pkmodel import findings, study
from pkmodel.chunk import Chunk
from pkmodel.errors import InputError
from pkmodel.findings import Finding, wilson
from pkmodel.outcome import Study
from pkmodel.specs.design import Knob, Request
from pkmodel.specs.dose import DoseLimits
from pkmodel.specs.protocol import ProtocolSpec
from pkmodel.specs.rule import Rule

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
Progress = Callable[[int, int], None]
Method = Literal["scaled", "searched"]
Level = Literal["point", "met", "unbroken"]
LEVELS: tuple[Level, ...] = ("point", "met", "unbroken")

#: Metrics that are proportional to the dose where levels are.
PROPORTIONAL = ("peak", "trough", "auc", "level_at", "level_at_discharge", "average")
#: How narrow the gap around an answer must be, in parts of the range.
GAP = 1e-4


@dataclass(frozen=True)
class Needed:
    """How many of n patients must keep a rule: for the share itself, for it to be met, and for it not to be broken."""

    point: int
    met: int
    unbroken: int


def needed(share: float, n: int, method: Method) -> Needed:
    """The numbers of patients that stand for a required share.

    By order statistics where the answer is a quantile: at the true quantile the number of patients beyond it is
    binomial, so that it lies between the two with at least 95 %. Else those of the Wilson interval of a share.
    ``n + 1`` where no number of n patients is enough.
    """
    from scipy.stats import binom

    # 95 % of 1,000 is 950 and not 951, whatever the product of the floats is.
    point = math.ceil(share * n - 1e-9)
    counts = np.arange(n + 1)
    if method == "scaled":
        beyond = binom.sf(counts - 1, n, share)  # P(at least so many)
        below = binom.cdf(counts, n, share)
        met = int(np.argmax(beyond <= 0.025)) if (beyond <= 0.025).any() else n + 1
        unbroken = int(np.argmax(below > 0.025))
        return Needed(point, max(met, point), min(unbroken, point))
    met = next((int(k) for k in counts[point:] if wilson(int(k), n)[0] >= share), n + 1)
    unbroken = next((int(k) for k in counts[: point + 1] if wilson(int(k), n)[1] >= share), point)
    return Needed(point, met, unbroken)


@dataclass(frozen=True)
class Answer:
    """The value looked for, in the unit of the knob, with its interval.

    ``low`` is the last value at which every rule is surely kept, ``high`` the first beyond which one surely is not (for
    the smallest value the other way round). None where there is none in the range; ``open`` where the rules still hold
    at the end of the range.
    """

    value: float | None
    low: float | None
    high: float | None
    open: bool
    binding: str
    """The rule that is the first to give way beyond the value."""


@dataclass
class Line:
    """How many patients keep each rule, value by value of the first knob, at fixed values of the others."""

    request: Request
    rest: tuple[float, ...]
    jobs: int
    method: Method
    limits: tuple[Floats, ...] = ()
    """Scaled: for each rule the value (n,) at which each patient reaches the limit, in rising order."""
    runs: dict[float, Study] = field(default_factory=dict)

    @property
    def rules(self) -> list[Rule]:
        """The rules that must hold."""
        return self.request.scenario.spec.rules

    @property
    def n(self) -> int:
        """How many patients."""
        return self.request.scenario.spec.n

    @cached_property
    def needed(self) -> list[Needed]:
        """For each rule, how many patients must keep it."""
        return [needed(rule.share.value, self.n, self.method) for rule in self.rules]

    def run(self, value: float) -> Study:
        """The study at a value, run once."""
        if value not in self.runs:
            self.runs[value] = study.run(self.request.at((value, *self.rest)), jobs=self.jobs)
        return self.runs[value]

    def kept(self, value: float) -> list[int]:
        """For each rule the number of patients who keep it at a value; in several windows the fewest count."""
        if self.method == "scaled":
            found = []
            for rule, limits in zip(self.rules, self.limits, strict=True):
                below = int(np.searchsorted(limits, value, side="left" if rule.upper else "right"))
                found.append(self.n - below if rule.upper else below)
            return found
        results = self.run(value).results
        return [min(item.n_met for item in results if item.rule == rule.id) for rule in self.rules]

    def holds(self, value: float, level: Level) -> bool:
        """Whether every rule is kept by as many patients as ``level`` asks for."""
        return all(count >= getattr(need, level) for count, need in zip(self.kept(value), self.needed, strict=True))

    def edge(self, values: Floats, level: Level) -> tuple[float | None, bool]:
        """The last of the values (or the first, as the request says) at which all rules hold, closed in on; and
        whether it is the end of the range.
        """
        order = values if self.request.side == "largest" else values[::-1]
        holding = [index for index, value in enumerate(order) if self.holds(float(value), level)]
        if not holding:
            return None, False
        last = holding[-1]
        if last == len(order) - 1:
            return float(order[-1]), True
        good, bad = float(order[last]), float(order[last + 1])
        if self.method == "scaled":
            return self._own(good, bad, level), False
        gap = GAP * abs(float(values[-1] - values[0]))
        while abs(bad - good) > gap:
            middle = 0.5 * (good + bad)
            good, bad = (middle, bad) if self.holds(middle, level) else (good, middle)
        return good, False

    def _own(self, good: float, bad: float, level: Level) -> float:
        """The patient's own value at which, between two values, the last of the rules still holds."""
        low, high = min(good, bad), max(good, bad)
        between = np.unique(np.concatenate([part[(part >= low) & (part <= high)] for part in self.limits]))
        order = between if self.request.side == "largest" else between[::-1]
        start, end = -1, len(order)  # holds at the start, does not at the end
        while end - start > 1:
            middle = (start + end) // 2
            start, end = (middle, end) if self.holds(float(order[middle]), level) else (start, middle)
        return good if start < 0 else float(order[start])


@dataclass
class Design:
    """What was found; made by :func:`run`."""

    request: Request
    line: Line
    values: Floats
    """(v,) values of the first knob over its range, in its unit."""
    kept: Counts
    """(r, v) patients who keep each rule at each value."""
    answer: Answer
    parts: tuple[tuple[float, float], ...]
    """Parts of the range, by the values tried, in which all rules hold."""
    rising: tuple[bool, ...]
    """For each rule whether its share goes only one way over the values tried."""
    others: Floats | None = None
    """A map: (w,) values of the second knob."""
    boundary: list[Answer] = field(default_factory=list)
    """A map: the answer at each value of the second knob."""
    feasible: NDArray[np.bool_] | None = None
    """A map: (w, v) whether all rules hold in their shares."""

    @property
    def knob(self) -> Knob:
        """What was turned."""
        return self.request.knobs[0]

    @property
    def method(self) -> Method:
        """How the answer was found."""
        return self.line.method

    @property
    def n(self) -> int:
        """How many patients."""
        return self.line.n

    @property
    def stated(self) -> float | None:
        """The answer to four digits, rounded to the side on which the rules hold; what a protocol would say."""
        return None if self.answer.value is None else _rounded(self.answer.value, up=self.request.side == "smallest")

    @cached_property
    def checked(self) -> list[Finding]:
        """The rules judged in a run at the stated answer itself; empty where there is no answer."""
        return [] if self.stated is None else self.line.run(self.stated).results

    @cached_property
    def study(self) -> Study:
        """A run whose models, assumptions and warnings are those of all: at the answer, or in the middle."""
        middle = float(self.values[len(self.values) // 2])
        return self.line.run(middle if self.stated is None else self.stated)

    @property
    def interval(self) -> str:
        """What the interval is, in words."""
        how = {
            "scaled": "order statistics of the patients' own values (no distribution assumed)",
            "searched": "the inverted Wilson band of the share",
        }[self.method]
        several = "; over several rules the narrowest end counts" if len(self.line.rules) > 1 else ""
        return f"95 %, {how}{several}; simulation error only"

    @property
    def notes(self) -> list[str]:
        """What a reader must know of the search."""
        said = []
        if self.knob.assumed:
            said.append(f"the range of {self.knob.path} is assumed where it was not given: a tenth to four times")
        for rule, rising in zip(self.line.rules, self.rising, strict=True):
            if not rising:
                said.append(f"the share that keeps {rule.id} does not go one way over the range")
        if len(self.parts) > 1:
            text = " and ".join(f"{low:.4g}-{high:.4g}" for low, high in self.parts)
            said.append(f"the rules hold in several parts of the range ({text} {self.knob.unit.text})")
        if self.answer.value is None:
            said.append(f"the rules hold together nowhere from {self._range()}")
        elif self.answer.open:
            said.append(f"the rules still hold at the end of the range, {self._range()}: widen it")
        return said

    def _range(self) -> str:
        return f"{self.knob.low:.4g} to {self.knob.high:.4g} {self.knob.unit.text}"


def scales(protocol: ProtocolSpec, doubled: ProtocolSpec, request: Request) -> bool:
    """Whether every level, and what the rules ask of it, is proportional to the knob.

    ``doubled`` is the protocol with twice the value. Caps, rounding, devices, bands, a clinic and whatever is not
    linear break proportionality; so does a dose beside that of the knob.
    """
    (model,) = request.arm.models
    if not model.linear or request.scenario.spec.variability.residual or protocol.decides:
        return False
    if any(
        rule.joined or rule.metric not in PROPORTIONAL or model.observable(rule.output) in model.effects
        for rule in _rules(request)
    ):
        return False
    pairs = list(zip(protocol.plan(), doubled.plan(), strict=False))
    if len(pairs) != len(protocol.plan()) or len(pairs) != len(doubled.plan()):
        return False
    for one, two in pairs:
        given = (one.device, one.atomiser, one.pump, one.product)
        if given != (None,) * 4 or one.limits != DoseLimits() or one.start != two.start:
            return False
        if len(one.parts) != len(two.parts):
            return False
        for first, second in zip(one.parts, two.parts, strict=True):
            twice = math.isclose(second.dose.value, 2 * first.dose.value, rel_tol=1e-12)
            if first.when or not twice or (first.over, first.pause) != (second.over, second.pause):
                return False
    return True


def _rules(request: Request) -> list[Rule]:
    return request.scenario.spec.rules


def line_of(request: Request, rest: Sequence[float], jobs: int) -> Line:
    """The way to the shares along the first knob, at fixed values of the others."""
    rest = tuple(rest)
    knob = request.knobs[0]
    base = min(max(knob.now, knob.low), knob.high)
    here = request.protocol((base, *rest))
    try:
        there = request.protocol((2 * base, *rest))
    except InputError:  # twice the dose is more than a file may hold
        return Line(request, rest, jobs, "searched")
    if not scales(here, there, request):
        return Line(request, rest, jobs, "searched")
    return Line(request, rest, jobs, "scaled", _own_values(request, (base, *rest), jobs))


def _own_values(request: Request, values: tuple[float, ...], jobs: int) -> tuple[Floats, ...]:
    """For each rule the value of the first knob (n,) at which each patient reaches the limit, in rising order."""
    scenario = request.at(values)
    (model,) = request.arm.models
    sessions = len(scenario.arms[0].protocol.plan())
    rules = scenario.spec.rules
    found: list[list[Floats]] = [[] for _ in rules]

    def take(part: Chunk) -> None:
        (case,) = part.cases
        by = {(item.request, item.span): item.values for item in case.metrics}
        for rule, into in zip(rules, found, strict=True):
            request_ = findings.request_of(rule, model)
            spans = [span for several in findings.spans_of(rule.window, sessions).values() for span in several]
            levels = np.stack([by[request_, span] for span in spans])
            worst = levels.max(axis=0) if rule.upper else levels.min(axis=0)
            with np.errstate(divide="ignore"):  # a level of 0 never reaches a limit
                into.append(values[0] * findings.limit_of(rule, model, request_) / worst)

    study.run(scenario, jobs=jobs, sink=take)
    return tuple(np.sort(np.concatenate(parts)) for parts in found)


def run(request: Request, *, jobs: int = 1, progress: Progress | None = None) -> Design:
    """Look for the value.

    Parameters
    ----------
    request
        made by :func:`pkmodel.specs.design.prepare`; with two knobs a map is made, in which the first is looked for at
        each value of the second.
    jobs
        threads of every run; the result does not depend on it.
    progress
        called with values done and values in all.

    Raises
    ------
    InputError
        where a value of the range makes a protocol that cannot be.
    RunError
        where a solver gives up.
    """
    first, *second = request.knobs
    told = progress or (lambda done, total: None)
    others = np.linspace(second[0].low, second[0].high, request.points) if second else np.zeros(0)
    lines: list[tuple[float, ...]] = [(other,) for other in map(float, others)] or [()]
    values = np.linspace(first.low, first.high, request.points)
    found = []
    for index, rest in enumerate(lines):
        line = line_of(request, rest, jobs)
        found.append(_along(line, values))
        told(index + 1, len(lines))
    if not second:
        return found[0]
    middle = _nearest(others, second[0].now)
    chosen = found[middle]
    chosen.others = others
    chosen.boundary = [item.answer for item in found]
    chosen.feasible = np.array(
        [[item.line.holds(float(value), "point") for value in item.values] for item in found], dtype=np.bool_
    )
    return chosen


def _rounded(value: float, *, up: bool) -> float:
    """Four digits, down or up; a value that has no more stays."""
    text = Decimal(repr(value))
    step = Decimal(1).scaleb(text.adjusted() - 3)
    return float(text.quantize(step, rounding=ROUND_CEILING if up else ROUND_FLOOR))


def _nearest(values: Floats, value: float) -> int:
    return int(np.argmin(np.abs(values - value)))


def _along(line: Line, values: Floats) -> Design:
    """The answer along one line."""
    if line.method == "scaled":
        values = np.linspace(values[0], values[-1], 400)  # no value costs anything
    kept = np.array([line.kept(float(value)) for value in values], dtype=np.int64).T
    ends = {level: line.edge(values, level) for level in LEVELS}
    value, is_open = ends["point"]
    low, high = ends["met"][0], ends["unbroken"][0]
    if line.request.side == "smallest":
        low, high = high, low
    needs = np.array([need.point for need in line.needed])
    holding = np.asarray((kept >= needs[:, None]).all(axis=0))
    rising = tuple(bool((np.diff(row) >= 0).all() or (np.diff(row) <= 0).all()) for row in kept)
    return Design(
        request=line.request,
        line=line,
        values=values,
        kept=kept,
        answer=Answer(value, low, high, is_open, _binding(line, values, value)),
        parts=tuple(_parts(values, holding)),
        rising=rising,
    )


def _binding(line: Line, values: Floats, value: float | None) -> str:
    """The rule that gives way beyond a value (or that is furthest from holding, where none holds)."""
    names = [rule.id for rule in line.rules]
    if value is None:
        slack = [
            max((line.kept(float(at))[index] - need.point) for at in values) for index, need in enumerate(line.needed)
        ]
        return names[int(np.argmin(slack))]
    beyond = values[values > value] if line.request.side == "largest" else values[values < value][::-1]
    at = float(beyond[0]) if beyond.size else value
    slack = [count - need.point for count, need in zip(line.kept(at), line.needed, strict=True)]
    return names[int(np.argmin(slack))]


def _parts(values: Floats, holding: NDArray[np.bool_]) -> list[tuple[float, float]]:
    """The stretches of values in which all rules hold."""
    found: list[tuple[float, float]] = []
    start: float | None = None
    for value, holds in zip(values, holding, strict=True):
        if holds and start is None:
            start = float(value)
        if holds:
            last = float(value)
        elif start is not None:
            found.append((start, last))
            start = None
    if start is not None:
        found.append((start, last))
    return found
