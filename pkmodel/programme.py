"""What the pump and the devices of a session are set to, and what becomes of it when somebody intervenes.

A run is one setting of the pump, or one device, syringe or spray. Whatever is done at a check ends runs and puts others
in their place; none is ever changed after it has begun, so the list of runs is what was given, and when.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pkmodel import schedule
from pkmodel.given import SWALLOWED, GivenDose, GivenSession
from pkmodel.network import Network
from pkmodel.schedule import Delivery

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(eq=False)
class Run:
    """One setting of the pump, or one device, of every patient (n,).

    ``begins`` (h of the course), ``over`` (h; 0: at once) and ``amount`` (mg as written; 0: not for this patient) are
    as it was set. A pump that was stopped, or set anew, ran ``until`` then (h; infinite: to its end).
    """

    dose: GivenDose
    begins: Floats
    over: Floats
    amount: Floats
    until: Floats

    @property
    def end(self) -> Floats:
        """When it ended (n,), h; that of a dose at once is when it was given."""
        return np.minimum(self.begins + self.over, self.until)

    @property
    def given(self) -> Floats:
        """What went in (n,), mg as written."""
        whole = self.begins + self.over <= self.until
        share = np.divide(self.until - self.begins, self.over, out=np.ones_like(self.over), where=~whole)
        return np.where(whole, self.amount, self.amount * np.where(whole, 1.0, share))


class Programme:
    """The runs of one session that begins at ``start`` (n,) h, in the patients ``whom`` (n,)."""

    def __init__(self, session: GivenSession, start: Floats, whom: Flags):
        self.session, self.start = session, start
        size = start.size
        never = np.full(size, np.inf)
        self.runs = [
            Run(
                dose,
                start + dose.begins,
                np.broadcast_to(np.asarray(dose.over, dtype=np.float64), (size,)),
                np.where(whom, dose.amount, 0.0),
                never,
            )
            for dose in session.doses
        ]
        self._speed = np.ones(size)
        self._paused = np.full(size, -np.inf)

    def end(self) -> Floats:
        """When the last run has ended (n,), h; the start where nothing is given."""
        found = self.start
        for run in self.runs:
            found = np.where(run.amount > 0.0, np.maximum(found, run.end), found)
        return found

    def given(self) -> Floats:
        """What went in (n,), mg as written."""
        total = np.zeros(self.start.size)
        for run in self.runs:
            total = total + run.given
        return total

    def labelled(self) -> Floats:
        """What went in (n,), mg as it is labelled: what a spray really delivers may differ."""
        return self.session.given * self._share()

    def _share(self) -> Floats:
        """The part (n,) of the session that went in; 0 in those who had none."""
        whole = np.zeros(self.start.size)
        for dose in self.session.doses:
            whole = whole + dose.amount
        given = self.given()
        return np.divide(given, whole, out=np.zeros_like(given), where=whole > 0.0)

    def as_given(self, asked: Floats) -> GivenSession:
        """The session as it went in the end: nothing of it in those who had none, less where it was stopped.

        Devices that were not opened are not used; of a syringe or an atomiser that was drawn up the rest is wasted.
        """
        session, share = self.session, self._share()
        had, given = share > 0.0, self.labelled()
        left = session.given - given
        found = replace(session, asked=asked, given=given, end=self.end() - self.start)
        units = np.zeros(self.start.size, dtype=np.int64)
        for run in self.runs:
            units = units + ((run.amount > 0.0) & (run.dose.kind != SWALLOWED))
        planned = session.planned
        counted: dict[str, Any] = {}
        for name in ("vials", "used", "wasted", "pump_rate"):
            whole = getattr(session, name)
            counted[name] = None if whole is None else np.where(had, whole, 0)
        if session.volume is not None:
            counted["volume"] = session.volume * share
        if planned.device is not None:
            counted |= {"devices": units, "sprays": units * planned.device.sprays}
            if session.used is not None:
                counted["used"] = units * planned.device.strength.value
        else:
            if planned.atomiser is not None:
                counted["sprays"] = units
            if session.wasted is not None:
                counted["wasted"] = np.where(had, session.wasted + left, 0.0)
        return replace(found, **counted)

    def running(self, now: Floats) -> Flags:
        """Who (n,) is not in a pause at ``now`` (n,) h."""
        return now >= self._paused

    def stop(self, whom: Flags, now: Floats) -> None:
        """End the pump and cancel what is still to come, in ``whom`` (n,) at ``now`` (n,) h."""
        for run in self.runs:
            running = whom & _running(run, now)
            run.until = np.where(running, now, run.until)
            run.amount = np.where(whom & (run.begins >= now), 0.0, run.amount)

    def pause(self, whom: Flags, now: Floats, hours: float) -> None:
        """Stop everything for some hours; then it goes on as it was, and ends so much later."""
        for run in list(self.runs):
            running = whom & _running(run, now)
            later = whom & (run.begins >= now)
            if running.any():
                self._go_on(run, running, now, now + hours, np.ones_like(now))
            run.begins = np.where(later, run.begins + hours, run.begins)
        self._paused = np.where(whom, now + hours, self._paused)

    def set_rate(self, whom: Flags, now: Floats, speed: float) -> None:
        """Let the pump run at a part of the planned rate from now on; the dose stays, so it takes longer."""
        ratio = np.where(whom, speed / self._speed, 1.0)
        whom = whom & (ratio != 1.0)
        later = np.zeros(now.size)
        for run in list(self.runs):
            running = whom & _running(run, now)
            to_come = whom & (run.begins >= now)
            if running.any():
                later = later + self._go_on(run, running, now, now, ratio)
            slower = to_come & (run.over > 0.0)
            over = np.where(slower, run.over / ratio, run.over)
            run.begins = np.where(to_come, run.begins + later, run.begins)
            later = later + np.where(slower & (run.amount > 0.0), over - run.over, 0.0)
            run.over = over
        self._speed = np.where(whom, speed, self._speed)

    def _go_on(self, run: Run, whom: Flags, now: Floats, begins: Floats, ratio: Floats) -> Floats:
        """End a run now; what is left of it goes into one from ``begins`` on. Returns how much later that ends (h)."""
        end = run.end
        left = np.where(whom, end - now, 0.0)
        share = np.divide(left, run.over, out=np.zeros_like(left), where=whom)
        over = left / ratio
        amount = np.where(whom, run.amount * share, 0.0)
        run.until = np.where(whom, now, run.until)
        self.runs.insert(self.runs.index(run) + 1, Run(run.dose, begins, over, amount, np.full(now.size, np.inf)))
        return np.where(whom, begins + over - end, 0.0)

    def deliveries(self, network: Network, fraction_of_drug: float) -> list[Delivery]:
        """The runs down the paths of the route."""
        return [
            delivery
            for run in self.runs
            if (run.amount > 0.0).any()
            for delivery in deliver(self.session, network, run, fraction_of_drug)
        ]


def deliver(session: GivenSession, network: Network, run: Run, fraction_of_drug: float) -> list[Delivery]:
    """A run down the paths of the session's route; a release of the route's own is not ended by a stop of the pump."""
    dose = replace(run.dose, begins=run.begins, over=run.over, amount=run.amount)
    found = schedule.deliver(replace(session, doses=(dose,)), network, 0.0, fraction_of_drug)
    return [replace(item, until=run.until) if np.any(run.over) else item for item in found]


def _running(run: Run, now: Floats) -> Flags:
    return (run.amount > 0.0) & (run.begins < now) & (run.end > now)
