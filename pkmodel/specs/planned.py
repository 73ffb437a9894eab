"""A session as a protocol plans it, before any patient is known."""

from __future__ import annotations

from dataclasses import dataclass

from pkmodel.specs.device import Atomiser, Device, Product, Pump
from pkmodel.specs.dose import DoseBand, DoseLimits, Salt, WeightRule, is_rate, same_for_all
from pkmodel.units import Quantity, clock


@dataclass(frozen=True)
class PlannedPart:
    """One dose of a session: ``over`` h, or at once where that is 0.

    It begins ``pause`` h after the part before it has ended. The first of the bands ``when`` that fits a patient goes
    before ``dose``. A rate goes over ``over``, which is then above 0.
    """

    dose: Quantity
    over: float = 0.0
    pause: float = 0.0
    when: tuple[DoseBand, ...] = ()

    @property
    def fixed(self) -> float | None:
        """The dose (mg) that everybody is asked to get; None where it depends on the patient."""
        if self.when or not same_for_all(self.dose):
            return None
        return self.dose.value * self.over if is_rate(self.dose) else self.dose.value

    @property
    def label(self) -> str:
        """The dose as it was written; a rate with its time."""
        return f"{self.dose.text} for {clock(self.over)}" if is_rate(self.dose) else self.dose.text


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
    atomiser: Atomiser | None = None
    product: Product | None = None
    pump: Pump | None = None

    @property
    def dose(self) -> Quantity:
        """The dose of the first part."""
        return self.parts[0].dose

    @property
    def over(self) -> float:
        """Hours that the parts last as planned, with the pauses between them; 0 where all is given at once."""
        return sum(part.pause + part.over for part in self.parts)

    @property
    def label(self) -> str:
        """What is given, as it was written."""
        return " + ".join(part.label for part in self.parts)

    @property
    def step(self) -> float | None:
        """mg that a dose is rounded to; None where it is not, or where the file does not say enough.

        An atomiser gives whole sprays, whether ``round_to`` says so or not.
        """
        wanted = self.limits.round_to
        if isinstance(wanted, Quantity):
            return wanted.value
        if wanted == "device":
            return self.device.strength.value if self.device is not None else None
        if wanted == "vial":
            product = self.product
            return product.concentration.value * product.vial.value if product and product.vial else None
        return self.atomiser.per_spray if self.atomiser is not None else None

    @property
    def counted(self) -> bool:
        """Whether patients get different numbers of devices or sprays."""
        limits = self.limits
        several = (limits.max_per_kg, limits.max_session, limits.max_day, limits.max_course)
        nasal = self.device is not None or self.atomiser is not None
        return nasal and (self.parts[0].fixed is None or any(cap is not None for cap in several))

    @property
    def last_device(self) -> float:
        """Hours from the start to the last device or spray as planned (0 where the dose depends on the patient)."""
        fixed = self.parts[0].fixed
        if fixed is None or (self.device is None and self.atomiser is None):
            return 0.0
        if self.device is not None:
            return max(0.0, round(fixed / self.device.strength.value) - 1) * self.device.pause
        assert self.atomiser is not None
        return max(0.0, round(fixed / self.atomiser.per_spray) - 1) * self.atomiser.pause

    @property
    def lasts(self) -> float:
        """Hours from the start to the end of the session, as planned."""
        return max(self.over, self.last_device)

    @property
    def end(self) -> float:
        """When the session ends as planned, h from the start of the course."""
        return self.start + self.lasts

    @property
    def day(self) -> str:
        """The day of the course, from 1, as people read it."""
        return f"{self.start / 24 + 1:g}"
