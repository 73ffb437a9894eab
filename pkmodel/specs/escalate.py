"""Doses that rise by equal steps."""

from __future__ import annotations

from pydantic import Field, model_validator

from pkmodel.errors import InputError, Problem
from pkmodel.specs.dose import Dose
from pkmodel.specs.series import MOST_LEVELS, Change, Series, as_doses, exact, level_of, levels_text, same_unit
from pkmodel.specs.sessions import Sessions
from pkmodel.units import Quantity


class Escalate(Series):
    """Doses that rise by equal steps (a titration), one session at each, or one week with ``by: week``.

    After Loo CK, et al. Acta Psychiatr Scand 2016;134:48-56: 0.1 to 0.5 mg/kg by 0.1 mg/kg, at least a week apart.
    """

    start: Dose = Field(alias="from")
    to: Dose
    step: Change
    sessions: Sessions | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Escalate:
        same_unit(self.start, self.to, "to")
        same_unit(self.start, self.step, "step")
        if self.step.value < 0:
            raise InputError(Problem(self.step.text, "a step up, above 0; for doses that fall there is taper", "step"))
        if self.to.value <= self.start.value:
            found = f"{self.start.text} to {self.to.text}"
            raise InputError(Problem(found, "an escalation that rises; for doses that fall there is taper", "to"))
        start, step = exact(self.start.value), exact(self.step.value)
        count = (exact(self.to.value) - start) / step
        if count.denominator != 1:
            scale = float(self.start.unit.factor)
            fits = [float(start + step * whole) / scale for whole in {max(1, int(count)), int(count) + 1}]
            options = " or ".join(f"{value:g} {self.start.unit.text}" for value in sorted(fits))
            raise InputError(
                Problem(self.to.text, f"whole steps of {self.step.text} above {self.start.text}: {options}", path="to")
            )
        if count >= MOST_LEVELS:
            raise InputError(Problem(f"{int(count) + 1:,} doses", f"at most {MOST_LEVELS:,} doses", path="step"))
        self._check_times(self.sessions)
        levels = len(self._levels())
        if self.sessions is None:
            if self.by == "week":
                raise InputError(Problem("by: week without sessions", "sessions, whose weeks count", path="sessions"))
            self._check_count(levels)
            return self
        found_levels = len(set(level_of(self.sessions.offsets(), self.by)))
        if found_levels != levels:
            expected = f"{levels}, one for each dose from {self.start.text} to {self.to.text}"
            raise InputError(Problem(levels_text(found_levels, self.by), expected, path="sessions"))
        return self

    @property
    def by_day(self) -> bool:
        """Whether the sessions are on stated days."""
        return self.sessions is not None and self.sessions.by_day

    def _levels(self) -> list[float]:
        start, step = exact(self.start.value), exact(self.step.value)
        count = int((exact(self.to.value) - start) / step)
        return [*(float(start + step * index) for index in range(count)), self.to.value]

    def doses(self) -> list[Quantity]:
        """The dose of each session."""
        levels = self._levels()
        return as_doses([levels[index] for index in level_of(self.offsets(), self.by)], self.start.unit)

    def offsets(self) -> list[float]:
        """Hours from the first session (or day 1 of the phase) to each session."""
        return self._times(self.sessions, len(self._levels()))
