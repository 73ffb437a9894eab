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

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pkmodel.dose_line import LEVELS, Line, Method, line_of
from pkmodel.findings import Finding
from pkmodel.outcome import Study
from pkmodel.specs.design import Knob, Request

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
Progress = Callable[[int, int], None]


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
