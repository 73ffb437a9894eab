"""A session as a protocol plans it, before any patient is known, and what is wrong with one."""

from __future__ import annotations

from dataclasses import dataclass

from pkmodel.errors import Problem
from pkmodel.specs.device import Device
from pkmodel.specs.dose import DoseLimits, Salt, WeightRule, per_weight
from pkmodel.units import Quantity


@dataclass(frozen=True)
class PlannedPart:
    """One dose of a session: ``over`` h, or at once where that is 0; it begins where the part before it has ended."""

    dose: Quantity
    over: float = 0.0


@dataclass(frozen=True)
class PlannedSession:
    """One session as the protocol plans it. Times in hours from the start of the course; ``index`` from 1."""

    index: int
    phase: str
    start: float
    parts: tuple[PlannedPart, ...]
    drug: str
    salt: Salt
    route: str
    device: Device | None
    weight: WeightRule
    limits: DoseLimits
    place: str

    @property
    def dose(self) -> Quantity:
        """The dose of the first part."""
        return self.parts[0].dose

    @property
    def over(self) -> float:
        """Hours that the parts last as planned; 0 where all is given at once."""
        return sum(part.over for part in self.parts)

    @property
    def label(self) -> str:
        """What is given, as it was written."""
        return " + ".join(part.dose.text for part in self.parts)

    @property
    def last_device(self) -> float:
        """Hours from the start to the last device of the dose as planned (0 for a dose per kilogram)."""
        if self.device is None or per_weight(self.dose):
            return 0.0
        return max(0.0, round(self.dose.value / self.device.strength.value) - 1) * self.device.pause

    @property
    def end(self) -> float:
        """When the session ends as planned, h from the start of the course."""
        return self.start + max(self.over, self.last_device)

    @property
    def day(self) -> str:
        """The day of the course, from 1, as people read it."""
        return f"{self.start / 24 + 1:g}"


def session_problems(planned: PlannedSession) -> list[Problem]:
    """What cannot be carried out of a session, whoever the patient."""
    problems = []
    device, limits = planned.device, planned.limits
    if device is not None and planned.route != "intranasal":
        problems.append(Problem(f"a device on the route {planned.route}", "the route intranasal", planned.place))
    if device is not None and planned.over:
        problems.append(Problem("a device and over", "one of the two: devices are given at once", planned.place))
    if device is not None:
        count = planned.dose.value / device.strength.value
        if not per_weight(planned.dose) and abs(count - round(count)) > 1e-9:
            step = device.strength.number
            options = sorted({max(1, int(count)), int(count) + 1})
            fits = " or ".join(f"{step * number:g} {device.strength.unit.text}" for number in options)
            problems.append(
                Problem(planned.dose.text, f"whole devices of {device.strength.text}: {fits}", f"{planned.place}.dose")
            )
        cap = limits.max_single
        if (
            cap is not None
            and limits.round_to is None
            and cap.value < planned.dose.value
            and not per_weight(planned.dose)
        ):
            count = cap.value / device.strength.value
            if abs(count - round(count)) > 1e-9:
                expected = f"a cap of whole devices of {device.strength.text}, or round_to: {device.strength.text}"
                problems.append(Problem(f"max_single {cap.text} below {planned.dose.text}", expected, planned.place))
        if per_weight(planned.dose):
            whole = limits.round_to and abs(limits.round_to.value / device.strength.value % 1.0) < 1e-9
            if not whole:
                problems.append(
                    Problem(
                        found=f"{planned.dose.text} from devices of {device.strength.text}",
                        expected=f"dose_limits with round_to: {device.strength.text}",
                        path=f"{planned.place}.dose",
                    )
                )
    return problems
