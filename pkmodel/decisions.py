"""What a clinic has decided for each patient so far, and how a decision changes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pkmodel import dosing
from pkmodel.specs.clinic import BetweenAction
from pkmodel.specs.planned import PlannedSession
from pkmodel.units import Quantity

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass
class Decisions:
    """What has been decided for each patient (n,) so far.

    A dose is the planned one, ``lag`` steps behind and ``rung`` steps up the ladder, times ``factor``, plus ``added``.
    A session is due ``shift`` h later than planned; intervals are ``stretch`` times as long, and ``extra`` h longer.
    The bounds of a rule that has acted hold from then on: a dose is not below ``floor`` nor above ``ceiling``, and an
    interval not above ``longest``, unless that is what was planned.
    """

    alive: Flags
    shift: Floats
    factor: Floats
    added: Floats
    stretch: Floats
    extra: Floats
    lag: Ints
    rung: Ints
    floor: Floats
    ceiling: Floats
    longest: Floats

    @classmethod
    def begin(cls, size: int) -> Decisions:
        """Everything as planned."""
        zero, one = np.zeros(size), np.ones(size)
        none, endless = np.zeros(size, dtype=np.int64), np.full(size, np.inf)
        return cls(np.ones(size, dtype=bool), zero, one, zero, one, zero, none, none, -endless, endless, endless)

    def interval(self, gap: float) -> Floats:
        """The interval (n,) that was planned to be ``gap`` h, as decided."""
        return np.minimum(gap * self.stretch + self.extra, np.maximum(gap, self.longest))

    def planned(self, plan: Sequence[PlannedSession], index: int, values: Mapping[str, Floats]) -> list[Floats]:
        """The dose of every part of a session (from 0) as planned, (n,) each, in base units."""
        size = self.lag.size
        levels = list(dosing.planned_levels(plan[index], values, size))
        for behind in np.unique(self.lag[self.lag > 0]):
            earlier = dosing.planned_levels(plan[index - behind], values, size)
            levels = [np.where(self.lag == behind, then, now) for then, now in zip(earlier, levels, strict=True)]
        return levels

    def levels(
        self,
        plan: Sequence[PlannedSession],
        index: int,
        values: Mapping[str, Floats],
        ladder: Sequence[Quantity] | None,
    ) -> list[Floats]:
        """The dose of every part of a session (from 0) as decided, (n,) each, in base units."""
        found = []
        for level in self.planned(plan, index, values):
            if ladder is not None:
                rungs = np.array([rung.value for rung in ladder])
                step = np.abs(rungs[:, None] - level).argmin(axis=0) + self.rung
                level = np.where(self.rung != 0, rungs[np.clip(step, 0, rungs.size - 1)], level)
            new = level * self.factor + self.added
            new = np.maximum(new, np.minimum(level, self.floor))
            found.append(np.maximum(np.minimum(new, np.maximum(level, self.ceiling)), 0.0))
        return found


def at_next(course: Decisions, same_phase: bool) -> Decisions:
    """The course at the next session: another phase begins with its first step."""
    return course if same_phase else replace(course, lag=np.zeros_like(course.lag))


def _bounded(then: BetweenAction, old: Floats, new: Floats) -> Floats:
    """A changed value within its bounds; one that was beyond them already stays."""
    if then.up_to is not None:
        new = np.minimum(new, np.maximum(old, then.up_to.value))
    if then.down_to is not None:
        new = np.maximum(new, np.minimum(old, then.down_to.value))
    return new


def change(then: BetweenAction, course: Decisions, level: Floats, whom: Flags) -> None:
    """A change of the dose of ``whom`` (n,), which is ``level`` (n,), from now on."""
    change = then.dose
    assert change is not None
    new = level * change.factor + change.added
    beyond = _bounded(then, level, new) - new
    course.factor = np.where(whom, course.factor * change.factor, course.factor)
    course.added = np.where(whom, course.added * change.factor + change.added + beyond, course.added)
    if then.down_to is not None:
        course.floor = np.where(whom, then.down_to.value, course.floor)
    if then.up_to is not None:
        course.ceiling = np.where(whom, then.up_to.value, course.ceiling)


def stretch(then: BetweenAction, course: Decisions, gap: float, whom: Flags) -> None:
    """A longer interval for ``whom`` (n,) from the one that begins on, planned to be ``gap`` h."""
    change = then.interval
    assert change is not None
    old = course.interval(gap)
    new = old * change.factor + change.added
    beyond = _bounded(then, old, new) - new
    course.stretch = np.where(whom, course.stretch * change.factor, course.stretch)
    course.extra = np.where(whom, course.extra * change.factor + change.added + beyond, course.extra)
    course.shift = np.where(whom, course.shift + (new + beyond - old), course.shift)
    if then.up_to is not None:
        course.longest = np.where(whom, then.up_to.value, course.longest)


def step(by: int, course: Decisions, planned: Floats, ladder: Sequence[Quantity], whom: Flags) -> None:
    """A step up or down the ladder for ``whom`` (n,), seen from the dose that is ``planned`` (n,)."""
    rungs = np.array([rung.value for rung in ladder])
    place = np.abs(rungs[:, None] - planned).argmin(axis=0)
    rung = np.clip(course.rung + by, -place, rungs.size - 1 - place)
    course.rung = np.where(whom, rung, course.rung)
