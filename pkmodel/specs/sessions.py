"""When the sessions of a phase are: by day, by a steady or a stretching interval, by a list, or so many a week."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from pkmodel.errors import InputError, Problem
from pkmodel.specs import fields
from pkmodel.specs.loading import Spec

#: No phase has more sessions; more are taken for a slip.
MOST_SESSIONS = 5000
WEEK = 168.0

Count = Annotated[int, Field(ge=1, le=MOST_SESSIONS)]
#: The ways in which a file may say when sessions are; each is refused beside another.
FORMS = ("days", "every", "intervals", "interval", "per_week")


class Stretch(Spec):
    """Intervals that go from one length to another (an interval taper), each rounded to the whole hour."""

    start: fields.Duration = Field(alias="from")
    to: fields.Duration
    shape: Literal["linear", "geometric"] = "linear"

    @model_validator(mode="after")
    def _whole_hours(self) -> Stretch:
        for path, end in (("from", self.start), ("to", self.to)):
            if end.value != round(end.value):
                below, above = max(1.0, float(np.floor(end.value))), float(np.ceil(end.value))
                expected = (
                    f"a whole number of hours, to which the intervals between are rounded: {below:g} or {above:g} h"
                )
                raise InputError(Problem(end.text, expected, path=path))
        return self

    def hours(self, count: int) -> list[float]:
        """``count`` intervals in h; the ends exactly as stated, those between rounded to the whole hour (half up)."""
        return [float(np.floor(value + 0.5)) for value in between(self.start.value, self.to.value, count, self.shape)]


def between(start: float, end: float, count: int, shape: str) -> list[float]:
    """``count`` values from ``start`` to ``end`` by equal steps (linear) or ratios; both ends exactly as they are."""
    steps = np.arange(count) / max(count - 1, 1)
    if shape == "linear":
        values = start + (end - start) * steps
    else:
        values = start * (end / start) ** steps
    values[0], values[-1] = start, end
    return [float(value) for value in values]


def usual_days(per_week: int) -> list[int]:
    """The days of the week, from 1, of so many sessions a week.

    1; 1 and 4; 1, 3 and 5; 1 to 5; every day. Others are spaced as evenly as whole days allow: 1, 2, 4 and 6.
    """
    return [1, 2, 3, 4, 5] if per_week == 5 else [1 + 7 * index // per_week for index in range(per_week)]


class Sessions(Spec):
    """When the sessions of a phase are, in one of five forms.

    ``days: [1, 4, 8]``; ``every: 7 d`` with a ``count``; ``intervals: [7 d, 14 d]``; ``interval: {from: 7 d,
    to: 28 d}`` with a ``count``; or ``per_week: 2`` with ``weeks`` or a ``count``, on ``week_days`` if they are given.
    """

    days: list[Annotated[int, Field(ge=1, le=36500)]] | None = None
    every: fields.Duration | None = None
    count: Count | None = None
    intervals: list[fields.Duration] | None = None
    interval: Stretch | None = None
    per_week: Annotated[int, Field(ge=1, le=7)] | None = None
    weeks: Annotated[int, Field(ge=1, le=700)] | None = None
    week_days: list[Annotated[int, Field(ge=1, le=7)]] | None = None

    @model_validator(mode="after")
    def _one_form(self) -> Sessions:
        fields.exactly_one(self, *FORMS)
        if self.every is not None and self.count is None:
            raise InputError(Problem("every without count", "count, the number of sessions", path="count"))
        if self.interval is not None and self.count is None:
            raise InputError(Problem("interval without count", "count, the number of sessions", path="count"))
        if self.interval is not None and self.count is not None and self.count < 3:
            found = f"{self.count} sessions" if self.count > 1 else "1 session"
            raise InputError(Problem(found, "at least 3, for an interval that changes", path="count"))
        if self.days is not None or self.intervals is not None:
            if self.count is not None:
                expected = "every, the interval between sessions, or no count"
                raise InputError(Problem("count without every", expected, path="every"))
            if self.days is not None:
                _rising(self.days, "days")
        self._of_a_week()
        return self

    def _of_a_week(self) -> None:
        """Refuse what does not belong to a pattern of a week, or is not a whole one."""
        if self.per_week is None:
            for name in ("weeks", "week_days"):
                if getattr(self, name) is not None:
                    raise InputError(Problem(f"{name} without per_week", "per_week, the sessions of a week", path=name))
            return
        if (self.weeks is None) == (self.count is None):
            found = "neither" if self.weeks is None else "both"
            raise InputError(Problem(found, "weeks, or the count of sessions: one of the two", path="weeks"))
        if self.week_days is not None:
            _rising(self.week_days, "week_days")
            if len(self.week_days) != self.per_week:
                found = f"{len(self.week_days)} days"
                raise InputError(Problem(found, f"{self.per_week}, as per_week says", path="week_days"))

    @property
    def number(self) -> int:
        """How many sessions there are."""
        return len(self.offsets())

    @property
    def by_day(self) -> bool:
        """Whether the sessions are on stated days, which are those of the course where nothing else is said."""
        return self.days is not None

    def offsets(self) -> list[float]:
        """Hours from the day 1 of the phase to each session."""
        if self.days is not None:
            return [24.0 * (day - 1) for day in self.days]
        if self.every is not None and self.count is not None:
            return [self.every.value * index for index in range(self.count)]
        if self.per_week is not None:
            days = self.week_days or usual_days(self.per_week)
            count = self.count or self.per_week * (self.weeks or 0)
            return [WEEK * (index // len(days)) + 24.0 * (days[index % len(days)] - 1) for index in range(count)]
        if self.interval is not None and self.count is not None:
            return sums(self.interval.hours(self.count - 1))
        return sums([step.value for step in self.intervals or []])


def sums(steps: list[float]) -> list[float]:
    """Hours to each session, from the intervals between them."""
    return [0.0, *np.cumsum(steps).tolist()]


def _rising(days: list[int], path: str) -> None:
    if not days:
        raise InputError(Problem("no days", "at least one day", path=path))
    for index in range(1, len(days)):
        if days[index] <= days[index - 1]:
            found = f"day {days[index]} after day {days[index - 1]}"
            raise InputError(Problem(found, "days in rising order", path=f"{path}[{index}]"))
