"""Which dose, over which time: the values of a protocol's quantities for which rules hold.

The same virtual patients are given every value (their random numbers are named after what they are drawn for), so the
share that keeps a rule changes with the value alone and not by chance. Where it passes the required share is found by
bisection; where the ends of its Wilson interval pass it are the ends of the interval of the answer: at the values
between them so many patients leave the rule undecided. That interval holds simulation error only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pkmodel import study as studies
from pkmodel.errors import InputError, Problem
from pkmodel.findings import Finding
from pkmodel.outcome import Study
from pkmodel.specs import knobs
from pkmodel.specs.knobs import Knob
from pkmodel.specs.library import Scenario, load_protocol

#: How close (relative to the value) a boundary is found.
RESOLUTION = 1e-4
#: Values that a range is looked through at first, so that pieces of the feasible region are not missed.
LOOKS = 13
#: Values of each of two quantities on a map.
MAP = 11
#: How far a share may go between two neighbours of a picture, and how close they may then be (relative).
_JUMP, _CLOSE = 0.08, 0.02
#: Falls (rises) of a share, in standard errors, on a way that otherwise rises (falls), from which it is said.
_NOISE = 2.0

Side = Literal["largest", "smallest"]


@dataclass(frozen=True)
class Task:
    """What is searched: one arm on one model, the quantities of its protocol with their ranges, and the rules.

    ``scenario`` has this arm alone and these rules alone; ``tree`` is the protocol as its file has it.
    """

    scenario: Scenario
    tree: dict[str, Any]
    knobs: tuple[Knob, ...]
    ranges: tuple[tuple[float, float], ...]

    def study(self, values: Sequence[float], jobs: int = 1) -> Study:
        """The run with these values, numbers in the units of the knobs."""
        settings = list(zip(self.knobs, values, strict=True))
        (arm,) = self.scenario.arms
        try:
            protocol = load_protocol(knobs.turned(self.tree, settings))
            changed = replace(self.scenario, arms=(replace(arm, protocol=protocol),))
            return studies.run(changed, jobs=jobs)
        except InputError as error:
            said = ", ".join(f"{knob.name} {value:.6g} {knob.unit}" for knob, value in settings)
            raise InputError(
                [Problem(f"{item.found}, at {said}", item.expected, item.path, "protocol") for item in error.problems]
            ) from None


@dataclass(frozen=True)
class End:
    """An end of the values for which the rules hold.

    ``low`` and ``high`` are its 95 % interval (simulation error only), None where that reaches beyond the range.
    """

    side: Side
    value: float
    low: float | None
    high: float | None


@dataclass
class Design:
    """A search over one quantity; made by :func:`search`."""

    task: Task
    points: dict[float, list[Finding]] = field(default_factory=dict)
    study: Study | None = None

    @property
    def knob(self) -> Knob:
        """What is searched over."""
        return self.task.knobs[0]

    @property
    def values(self) -> list[float]:
        """Every value that was looked at, rising."""
        return sorted(self.points)

    @cached_property
    def pieces(self) -> list[tuple[float, float]]:
        """The stretches of values for which every rule holds, between the looks of the range."""
        return _stretches(self.values, [_holds(self.points[value], "share") for value in self.values])

    @cached_property
    def ends(self) -> list[End]:
        """The ends of the feasible values inside the range: the first piece's smallest, the last piece's largest."""
        if not self.pieces:
            return []
        found = []
        for side, value in (("smallest", self.pieces[0][0]), ("largest", self.pieces[-1][1])):
            if value not in (self.values[0], self.values[-1]):
                found.append(self._end(side, value))  # type: ignore[arg-type]
        return found

    def _end(self, side: Side, value: float) -> End:
        """With the ends of the stretches for which the rules are met, and for which none is broken."""
        bounds: list[float | None] = []
        for criterion in ("low", "high"):
            flags = [_holds(self.points[at], criterion) for at in self.values]
            stretches = _stretches(self.values, flags)
            if not stretches:
                bounds.append(None)
                continue
            end = stretches[0][0] if side == "smallest" else stretches[-1][1]
            bounds.append(None if end in (self.values[0], self.values[-1]) else end)
        strict, lax = bounds
        return End(side, value, *((strict, lax) if side == "largest" else (lax, strict)))

    @property
    def cautions(self) -> list[str]:
        """What must be known before the answer is used."""
        said = []
        if not self.pieces:
            said.append("no value of the range keeps every rule")
        if len(self.pieces) > 1:
            said.append(f"the feasible values are in {len(self.pieces)} pieces; the picture shows them")
        for rule in self.rules:
            shares = np.array([finding.share for finding in self.of(rule)])
            noise = _NOISE * np.sqrt(np.maximum(shares * (1 - shares), 1e-4) / self.of(rule)[0].n)
            steps = np.diff(shares)
            if (steps > noise[1:]).any() and (steps < -noise[1:]).any():
                said.append(f"the share that keeps {rule} both rises and falls over the range")
        return said

    @property
    def rules(self) -> list[str]:
        """The rules by their id."""
        return [rule.id for rule in self.task.scenario.spec.rules]

    def of(self, rule: str) -> list[Finding]:
        """The findings of a rule at every value."""
        return [finding for value in self.values for finding in self.points[value] if finding.rule == rule]


def _holds(found: Sequence[Finding], criterion: str) -> bool:
    return all(getattr(finding, criterion) >= finding.required for finding in found)


def _stretches(values: Sequence[float], flags: Sequence[bool]) -> list[tuple[float, float]]:
    """First and last value of every run of true flags."""
    found: list[tuple[float, float]] = []
    for index, (value, flag) in enumerate(zip(values, flags, strict=True)):
        if flag and index and flags[index - 1]:
            found[-1] = (found[-1][0], value)
        elif flag:
            found.append((value, value))
    return found


def looks(low: float, high: float, count: int) -> list[float]:
    """Values from ``low`` to ``high``, evenly apart by factor where the range spans more than one of 4."""
    if high / low > 4.0:
        return [float(value) for value in np.geomspace(low, high, count)]
    return [float(value) for value in np.linspace(low, high, count)]


def search(task: Task, *, jobs: int = 1, progress: Callable[[int, int], None] | None = None) -> Design:
    """Look for the values of one quantity for which every rule of the task holds.

    Raises InputError where a value of the range is none that the protocol can have, with the value.
    """
    found = Design(task)

    def look(value: float) -> None:
        if value not in found.points:
            result = task.study([value], jobs)
            found.points[value], found.study = result.results, found.study or result
            if progress is not None:
                progress(len(found.points), 0)

    for value in looks(*task.ranges[0], LOOKS):
        look(value)
    for place in range(len(found.rules)):
        for criterion in ("share", "low", "high"):

            def keeps(value: float, place: int = place, criterion: str = criterion) -> bool:
                """One rule at a time: both ends of a window that no look has hit are found all the same."""
                return _holds(found.points[value][place : place + 1], criterion)

            for left, right in pairwise(found.values):
                before = keeps(left)
                while keeps(right) != before and right - left > RESOLUTION * right:
                    middle = 0.5 * (left + right)
                    look(middle)
                    left, right = (middle, right) if keeps(middle) == before else (left, middle)
    while gap := _widest(found):
        look(gap)
    return found


def _widest(found: Design) -> float | None:
    """The middle between two values at which a share differs by more than a picture may bridge; None where there is
    none, or they are as close as values need be.
    """
    grid = found.values
    table = np.array([[finding.share for finding in found.points[value]] for value in grid])
    jumps = np.abs(np.diff(table, axis=0)).max(axis=1)
    jumps[np.diff(grid) < _CLOSE * np.array(grid[1:])] = 0.0
    place = int(jumps.argmax())
    return 0.5 * (grid[place] + grid[place + 1]) if jumps[place] > _JUMP else None


@dataclass(frozen=True)
class Map:
    """Two quantities at once: ``share`` (rules, second, first), and where every rule holds."""

    task: Task
    axes: tuple[list[float], list[float]]
    findings: list[list[list[Finding]]]
    study: Study

    @cached_property
    def share(self) -> NDArray[np.float64]:
        """Shares of patients (rules, second, first)."""
        table = [[[item.share for item in cell] for cell in row] for row in self.findings]
        return np.array(table).transpose(2, 0, 1)

    @cached_property
    def margin(self) -> NDArray[np.float64]:
        """How far the worst rule is above its required share (second, first); feasible where it is not below 0."""
        table = [[min(item.share - item.required for item in cell) for cell in row] for row in self.findings]
        return np.array(table)


def chart(task: Task, *, jobs: int = 1, progress: Callable[[int, int], None] | None = None) -> Map:
    """Look at two quantities together, on a grid of :data:`MAP` values each. Raises as :func:`search`."""
    first, second = (looks(*ends, MAP) for ends in task.ranges)
    rows, last = [], None
    for number, upper in enumerate(second):
        row = []
        for place, value in enumerate(first):
            last = task.study([value, upper], jobs)
            row.append(last.results)
            if progress is not None:
                progress(number * MAP + place + 1, MAP * MAP)
        rows.append(row)
    assert last is not None
    return Map(task, (first, second), rows, last)
