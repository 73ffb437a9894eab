"""When the sessions of a phase are, and the series of doses of a taper."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from pkmodel.errors import InputError, Problem
from pkmodel.specs import fields
from pkmodel.specs.dose import Dose, per_weight
from pkmodel.specs.loading import Spec
from pkmodel.units import Quantity


class Sessions(Spec):
    """When the sessions of a phase are: by day, by a steady interval and a count, or by a list of intervals."""

    days: list[Annotated[int, Field(ge=1, le=36500)]] | None = None
    every: fields.Duration | None = None
    count: Annotated[int, Field(ge=1, le=5000)] | None = None
    intervals: list[fields.Duration] | None = None

    @model_validator(mode="after")
    def _one_form(self) -> Sessions:
        fields.exactly_one(self, "days", "every", "intervals")
        if self.every is not None and self.count is None:
            raise InputError(Problem("every without count", "count, the number of sessions", path="count"))
        if self.every is None and self.count is not None:
            raise InputError(Problem("count without every", "every, the interval between sessions", path="every"))
        if self.days is not None:
            if not self.days:
                raise InputError(Problem("no days", "at least one day", path="days"))
            for index in range(1, len(self.days)):
                if self.days[index] <= self.days[index - 1]:
                    found = f"day {self.days[index]} after day {self.days[index - 1]}"
                    raise InputError(Problem(found, "days in rising order", path=f"days[{index}]"))
        return self

    def offsets(self) -> list[float]:
        """Hours from the day 1 of the phase to each session."""
        if self.days is not None:
            return [24.0 * (day - 1) for day in self.days]
        if self.every is not None and self.count is not None:
            return [self.every.value * index for index in range(self.count)]
        return [0.0, *np.cumsum([step.value for step in self.intervals or []]).tolist()]


class Taper(Spec):
    """A series of doses from one level to another, with its own intervals."""

    start: Dose = Field(alias="from")
    to: Dose
    sessions: Annotated[int, Field(ge=2, le=1000)]
    shape: Literal["linear", "geometric"] = "linear"
    every: fields.Duration | None = None
    intervals: list[fields.Duration] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Taper:
        fields.exactly_one(self, "every", "intervals")
        if self.start.unit.dimensions != self.to.unit.dimensions:
            needed = "a dose per kilogram of body weight (mg/kg)" if per_weight(self.start) else "a mass (mg)"
            raise InputError(Problem(self.to.text, f"{needed}, as in from: {self.start.text}", path="to"))
        if self.intervals is not None and len(self.intervals) != self.sessions - 1:
            found = f"{len(self.intervals)} intervals"
            expected = f"{self.sessions - 1}, one between each two of {self.sessions} sessions"
            raise InputError(Problem(found, expected, path="intervals"))
        return self

    def doses(self) -> list[Quantity]:
        """The dose of each session; the ends are exactly as stated."""
        steps = np.arange(self.sessions) / (self.sessions - 1)
        if self.shape == "linear":
            values = self.start.value + (self.to.value - self.start.value) * steps
        else:
            values = self.start.value * (self.to.value / self.start.value) ** steps
        values[0], values[-1] = self.start.value, self.to.value
        unit = self.start.unit
        factor = float(unit.factor)
        return [Quantity(float(value), unit, f"{value / factor:.4g} {unit.text}") for value in values]

    def offsets(self) -> list[float]:
        """Hours from the first session of the taper to each session."""
        if self.every is not None:
            return [self.every.value * index for index in range(self.sessions)]
        return [0.0, *np.cumsum([step.value for step in self.intervals or []]).tolist()]
