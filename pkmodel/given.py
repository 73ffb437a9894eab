"""What each patient gets in a session, as it was resolved (:mod:`pkmodel.dosing`): doses, adjustments, what it takes.

All masses are as the protocol writes them, of the salt where it says so.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from pkmodel.specs.dose import HYDROCHLORIDE
from pkmodel.specs.planned import PlannedSession

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

#: Slack for a dose that is a whole number of steps but for the last bit.
WHOLE = 1e-9
#: The kind of a dose that runs down the throat.
SWALLOWED = "swallowed"


@dataclass(frozen=True)
class GivenDose:
    """One dose of a session: ``amount`` (n,) mg, from ``begins`` h after the session's start on, over ``over`` h.

    It is given at once where ``over`` is 0. ``device`` says which of the session's devices it comes from (1, 2, ...),
    as formulas of a model count them. It goes down every path of the route, or down the swallowed one only where
    ``kind`` is ``swallowed``. ``part`` is the part of the session (1, 2, ...) that it belongs to.
    """

    begins: Floats | float
    over: Floats | float
    amount: Floats
    device: int = 1
    kind: str = ""
    part: int = 1


@dataclass(frozen=True)
class Adjustment:
    """Why ``whom`` (n,) of the patients get another dose than was asked: ``before`` and ``after`` (n,) in ``unit``.

    ``reason`` is in the words of the protocol ("dose cap 60 mg"). ``kind`` is one of raised, capped, rounded, paced:
    what was paced keeps its dose and takes another time, in h. ``part`` is the part of the session (1, 2, ...).
    """

    reason: str
    whom: Flags
    before: Floats
    after: Floats
    kind: str = ""
    part: int = 1
    unit: str = "mg"


@dataclass(frozen=True)
class GivenSession:
    """A session as it is given, per patient (n,): doses in mg, every adjustment with its reason, times in h.

    ``asked`` is what the protocol asks for at the dosing weight, ``given`` what comes of it as it is labelled, and
    ``doses`` how that is given, with what a spray really delivers. ``end`` is h from the start of the session to the
    end of its last pump run, or its last device.

    What it takes, each None where the protocol does not say enough: ``devices`` (fixed-strength ones), ``sprays``,
    ``volume`` mL that is given, ``vials`` that are opened, ``used`` mg that is taken from stock, ``wasted`` mg of it
    that no patient gets, and the fastest ``pump_rate`` mL/h.
    """

    planned: PlannedSession
    dosing_weight: Floats | None
    asked: Floats
    given: Floats
    doses: tuple[GivenDose, ...]
    adjustments: tuple[Adjustment, ...]
    devices: Ints | None
    end: Floats
    sprays: Ints | None = None
    volume: Floats | None = None
    vials: Ints | None = None
    used: Floats | None = None
    wasted: Floats | None = None
    pump_rate: Floats | None = None

    @property
    def base(self) -> float:
        """Mass of base in one mass of what is given."""
        return HYDROCHLORIDE if self.planned.salt == "hydrochloride" else 1.0

    @property
    def run_off(self) -> Floats:
        """mg (n,) that run down the throat."""
        total = np.zeros(self.given.size)
        for dose in self.doses:
            if dose.kind == SWALLOWED:
                total = total + dose.amount
        return total

    def adjusted(self, reason: str) -> Flags:
        """Which patients (n,) were adjusted for this reason, or by an adjustment of this kind."""
        flags = [item.whom for item in self.adjustments if reason in (item.reason, item.kind)]
        return np.any(flags, axis=0) if flags else np.zeros(self.given.size, dtype=bool)

    def without_run_off(self) -> GivenSession:
        """The session where what runs down the throat is lost: it counts as wasted."""
        lost = self.run_off
        doses = tuple(dose for dose in self.doses if dose.kind != SWALLOWED)
        return replace(self, doses=doses, wasted=lost if self.wasted is None else self.wasted + lost)


@dataclass(frozen=True)
class Before:
    """What the patients were given before a session, for caps over a day and over the course: mg (n,) as written.

    ``date`` (n,) is the day of the course, from 0, that ``day`` is of. Take :meth:`on` for a session that starts at a
    time, and :meth:`add` what was given in it. A session counts to the day on which it begins, from midnight to
    midnight of a course that begins at midnight.
    """

    day: Floats
    course: Floats
    date: Floats = field(default_factory=lambda: np.zeros(1))

    @classmethod
    def nothing(cls, size: int) -> Before:
        """Before the first session."""
        return cls(np.zeros(size), np.zeros(size), np.zeros(size))

    def on(self, start: Floats | float) -> Before:
        """The same at a session that starts ``start`` h into the course: another day begins with nothing."""
        date = np.broadcast_to(np.floor(np.asarray(start) / 24.0 + WHOLE), self.course.shape)
        return Before(np.where(date == self.date, self.day, 0.0), self.course, date)

    def add(self, given: Floats) -> Before:
        """With ``given`` (n,) mg on the day that it stands at."""
        return Before(self.day + given, self.course + given, self.date)
