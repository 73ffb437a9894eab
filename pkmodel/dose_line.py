"""The shares of patients who keep each rule, value by value of one quantity of a protocol, and where they end.

Where every level is proportional to the dose one run tells all values (*scaled*), else every value is a run
(*searched*); :mod:`pkmodel.dose_finding` says what is made of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pkmodel import findings, study
from pkmodel.chunk import Chunk
from pkmodel.errors import InputError
from pkmodel.findings import wilson
from pkmodel.outcome import Study
from pkmodel.specs.design import Request
from pkmodel.specs.dose import DoseLimits
from pkmodel.specs.protocol import ProtocolSpec
from pkmodel.specs.rule import Rule

Floats = NDArray[np.float64]
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
