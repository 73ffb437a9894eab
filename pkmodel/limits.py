"""The limits of a dose: a floor, caps, rounding, and what is left of the caps over a session, a day and the course."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pkmodel.body import covariate
from pkmodel.errors import InputError, Problem
from pkmodel.given import WHOLE, Adjustment, Before
from pkmodel.specs.planned import PlannedSession

Floats = NDArray[np.float64]


@dataclass
class Limiter:
    """Holds the doses of one session, part after part, to its limits, and writes down every adjustment.

    ``before`` is what was given before it; None: nothing. It changes: ``session`` (n,) mg grows with every part.
    """

    planned: PlannedSession
    values: Mapping[str, Floats]
    size: int
    before: Before | None = None
    adjustments: list[Adjustment] = field(default_factory=list)
    session: Floats | None = None

    def note(self, reason: str, kind: str, part: int, before: Floats, after: Floats, unit: str = "mg") -> Floats:
        """Write down whose dose (n,) changes; returns ``after``."""
        changed = np.abs(after - before) > WHOLE * before
        if changed.any():
            self.adjustments.append(Adjustment(reason, changed, before, after, kind, part, unit))
        return after

    def hold(self, asked: Floats, part: int = 1) -> Floats:
        """What becomes of a dose (n,) mg that is asked for: never above a cap, and a whole number of steps.

        Raises InputError where rounding leaves nothing of it, or the weight is needed and unknown.
        """
        limits = self.planned.limits
        dose = asked
        if limits.min_single is not None:
            raised = np.where(asked > 0.0, np.maximum(asked, limits.min_single.value), asked)
            dose = self.note(f"dose floor {limits.min_single.text}", "raised", part, asked, raised)
        ceiling = np.full(self.size, np.inf)
        if limits.max_per_kg is not None:
            ceiling = np.minimum(ceiling, limits.max_per_kg.value * covariate(self.values, "weight"))
            dose = self.note(f"dose cap {limits.max_per_kg.text}", "capped", part, dose, np.minimum(dose, ceiling))
        if limits.max_single is not None:
            ceiling = np.minimum(ceiling, limits.max_single.value)
            dose = self.note(f"dose cap {limits.max_single.text}", "capped", part, dose, np.minimum(dose, ceiling))
        step = self.planned.step
        if step is not None:
            dose = self._rounded(dose, ceiling, step, part)
        return self._left(dose, step, part)

    def _rounded(self, before: Floats, ceiling: Floats, step: float, part: int) -> Floats:
        """A dose (n,) in whole steps: never over a cap by rounding up, nor under the floor by rounding down."""
        limits = self.planned.limits
        dose = rounded(before, step, limits.round or "nearest")
        if limits.min_single is not None:
            low = (dose < limits.min_single.value * (1 - WHOLE)) & (before >= limits.min_single.value)
            dose = np.where(low, rounded(before, step, "up"), dose)
        over = dose > ceiling * (1 + WHOLE)
        dose = np.where(over, rounded(before, step, "down"), dose)
        nothing = (dose == 0.0) & (before > 0.0)
        if nothing.any():
            least = before[np.argmax(nothing)]
            found = f"{least:.4g} mg in session {self.planned.index}, which rounds to 0 mg"
            expected = f"a dose that leaves something at round_to: {_text(limits.round_to, step)}"
            raise InputError(Problem(found, expected, self.planned.place, "protocol"))
        what = limits.round_to if limits.round_to is not None else "spray"
        reason = f"whole {what}s" if isinstance(what, str) else f"rounded to {what.text}"
        self.note(reason, "rounded", part, before, dose)
        return dose

    def _left(self, dose: Floats, step: float | None, part: int) -> Floats:
        """A dose (n,) cut, to nothing if need be, to what is left of the caps over several doses."""
        limits = self.planned.limits
        several = limits.max_session, limits.max_day, limits.max_course
        if several == (None, None, None):
            return dose
        session = self.session if self.session is not None else np.zeros(self.size)
        before = self.before if self.before is not None else Before.nothing(self.size)
        so_far = session, before.day + session, before.course + session
        for name, cap, had in zip(("session", "day", "course"), several, so_far, strict=True):
            if cap is None:
                continue
            left = np.maximum(cap.value - had, 0.0)
            if step is not None:
                left = rounded(left, step, "down")
            dose = self.note(f"{name} cap {cap.text}", "capped", part, dose, np.minimum(dose, left))
        self.session = session + dose
        return dose


def _text(round_to: object, step: float) -> str:
    return str(getattr(round_to, "text", f"{round_to or 'spray'} ({step:.4g} mg)"))


def rounded(dose: Floats, step: float, how: str) -> Floats:
    """A dose (n,) in whole steps; ``how`` is down, up or nearest (a half goes up)."""
    count = dose / step
    if how == "down":
        return np.floor(count * (1 + WHOLE)) * step
    return (np.ceil(count * (1 - WHOLE)) if how == "up" else np.floor(count + 0.5)) * step
