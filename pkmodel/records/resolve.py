"""What a table of records makes happen, and in which order: the rules of events, and nothing else.

:func:`resolve` turns the rows of one subject into a list of :class:`Event`: amounts that arrive, infusions that begin
and end, resets, and observations. The order of the list is the order in which they happen, also at equal times, and
nothing is left to decide for whatever computes the amounts. Each rule that software disagrees about is a function of
its own here; docs/events.md says why it is as it is and which reference case pins it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from itertools import count
from typing import NamedTuple

import numpy as np

from pkmodel.core.kinds import JUMP, RATE_OFF, RATE_ON, RESET

#: Kinds of events that only a table of records has, beside those of the kernels: amounts are read off after a row, and
#: the amounts of a steady state arrive.
OBSERVE = 4
STEADY = 5

#: What a row is (NONMEM's EVID): an observation, a dose, another event, a reset, a reset and a dose.
OBSERVATION, DOSE, OTHER, RESET_ONLY, RESET_AND_DOSE = range(5)
#: Values of ``rate`` that say where the rate of an infusion is to be found.
MODELLED_RATE, MODELLED_DURATION = -1.0, -2.0
#: Values of ``ss``: no steady state, one that replaces what was there, one that is added to it.
NO_STEADY_STATE, REPLACES, IS_ADDED = range(3)


@dataclass(frozen=True, slots=True)
class Dose:
    """A dose as its row states it: time, lag and interval in h, ``rate`` with its negative codes.

    ``modelled_rate`` and ``modelled_duration`` are the columns rat and dur; ``additional`` doses follow, one every
    ``interval``; ``fraction`` is the part of ``amount`` that arrives.
    """

    time: float
    compartment: int
    amount: float
    rate: float = 0.0
    modelled_rate: float = 0.0
    modelled_duration: float = 0.0
    additional: int = 0
    interval: float = 0.0
    steady: int = NO_STEADY_STATE
    lag: float = 0.0
    fraction: float = 1.0


@dataclass(frozen=True, slots=True)
class Row:
    """One row of one subject: its time (h), what it is, and its dose where it has one."""

    time: float
    evid: int = OBSERVATION
    dose: Dose | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Infusion:
    """An infusion of ``rate`` per hour from ``start`` on, for ``duration`` h."""

    compartment: int
    rate: float
    start: float
    duration: float

    @property
    def end(self) -> float:
        """When it ends, h; as a sum of rounded numbers it may miss the duration by a rounding."""
        return self.start + self.duration


@dataclass(frozen=True, slots=True)
class Repeated:
    """Doses that have been given for ever: ``amount`` over ``duration`` h every ``interval`` h, the last one ``phase``
    h ago. With an interval of 0 an infusion at ``rate`` without end.
    """

    compartment: int
    amount: float
    rate: float
    duration: float
    interval: float
    phase: float


class Event(NamedTuple):
    """Something that happens at a time (h). ``target`` is a compartment, or the row of an observation."""

    time: float
    kind: int
    target: int = 0
    value: float = 0.0
    source: Infusion | Repeated | None = None


# ------------------------------------------------------------------------------------------------------- the rules


def delivered(dose: Dose) -> tuple[float, float, float]:
    """Amount, rate and duration of a dose as it arrives; a rate and a duration of 0 mean at once.

    F is a fraction of the amount. An infusion of a given rate runs at that rate, so F shortens it; one of a given
    duration lasts that long, so F lowers its rate.
    """
    amount = dose.fraction * dose.amount
    if dose.rate == MODELLED_DURATION:
        return amount, amount / dose.modelled_duration, dose.modelled_duration
    rate = dose.modelled_rate if dose.rate == MODELLED_RATE else dose.rate
    return amount, rate, amount / rate if rate > 0.0 else 0.0


def due_before(arrival: float, row: float, rounding: float) -> bool:
    """Whether something implied by an earlier row comes before a row: it does at the same instant too.

    Additional doses, doses with a lag and ends of infusions have times that are sums; ``rounding`` is by how much a
    sum may miss the decimal number of a row that means the same instant.
    """
    return arrival <= row + rounding


def starts_over(evid: int, steady: int) -> bool:
    """Whether a row begins with an empty body: a reset, or a steady state that replaces what was there (ss 1)."""
    return evid in (RESET_ONLY, RESET_AND_DOSE) or steady == REPLACES


def running_after_reset(running: list[Infusion]) -> list[Infusion]:
    """The infusions that a reset leaves running: none."""
    return []


def pending_after_reset(pending: list[Dose]) -> list[Dose]:
    """The doses whose arrivals (lagged or additional) a reset leaves to come: none. A declared rule."""
    return []


def phase_at_row(interval: float, lag: float) -> float:
    """Hours since the last arrival of doses repeated for ever, at the row of a steady-state dose with this lag.

    Its own arrival is still to come, a lag after the row; without a lag it has just happened.
    """
    return (interval - lag) % interval


# ---------------------------------------------------------------------------------------------------- carrying them out


def resolve(rows: Sequence[Row]) -> list[Event]:
    """The events of one subject's rows, in the order in which they happen.

    Explicit rows keep their order. What they imply for later stands in its place among them. An observation closes
    each row; its ``target`` is the number of the row.
    """
    course = _Course(rounding=_rounding(rows))
    for number, row in enumerate(rows):
        course.catch_up(row.time)
        dose = row.dose
        if starts_over(row.evid, dose.steady if dose is not None else NO_STEADY_STATE):
            course.start_over(row.time)
        if dose is not None and dose.steady:
            course.give_steady(dose)
        elif dose is not None and dose.lag > 0.0:
            course.expect(_arrival(dose, 0), dose)
        elif dose is not None:
            course.give(row.time, dose)
        course.events.append(Event(row.time, OBSERVE, number))
    return course.events


def _rounding(rows: Sequence[Row]) -> float:
    """By how much a sum of times of a subject may be off: four roundings of the largest of them."""
    largest = max((abs(row.time) for row in rows), default=0.0)
    for row in rows:
        if row.dose is not None:
            largest = max(largest, row.dose.lag, row.dose.interval)
    return 4.0 * float(np.spacing(largest))


def _arrival(dose: Dose, number: int) -> float:
    """When the dose of a row, or additional dose ``number`` of it, arrives (h)."""
    return dose.time + number * dose.interval + dose.lag


@dataclass(slots=True)
class _Course:
    """What has happened so far, what is running, and what is to come.

    The queue holds arrivals of doses, each with the number of the additional dose, and ends of infusions. At one time
    they happen in the order in which they were decided.
    """

    rounding: float
    events: list[Event] = field(default_factory=list)
    running: list[Infusion] = field(default_factory=list)
    queue: list[tuple[float, int, Dose | Infusion, int]] = field(default_factory=list)
    decided: count[int] = field(default_factory=count)

    def expect(self, time: float, what: Dose | Infusion, number: int = 0) -> None:
        """Put an arrival or an end into the queue."""
        heappush(self.queue, (time, next(self.decided), what, number))

    def catch_up(self, time: float) -> None:
        """Let everything happen that comes before a row at this time."""
        while self.queue and due_before(self.queue[0][0], time, self.rounding):
            due, _, what, number = heappop(self.queue)
            due = min(due, time)
            if isinstance(what, Dose):
                self.give(due, what, number)
            else:
                self.running.remove(what)
                self.events.append(Event(due, RATE_OFF, what.compartment, what.rate, what))

    def give(self, time: float, dose: Dose, number: int = 0) -> None:
        """A dose arrives; expect the additional one after it."""
        amount, rate, duration = delivered(dose)
        if amount > 0.0 and duration > 0.0:
            self.begin(Infusion(dose.compartment, rate, time, duration))
        elif amount > 0.0:
            self.events.append(Event(time, JUMP, dose.compartment, amount))
        if number < dose.additional:
            self.expect(_arrival(dose, number + 1), dose, number + 1)

    def begin(self, infusion: Infusion) -> None:
        """An infusion begins; expect its end."""
        self.events.append(Event(infusion.start, RATE_ON, infusion.compartment, infusion.rate, infusion))
        self.running.append(infusion)
        self.expect(infusion.end, infusion)

    def start_over(self, time: float) -> None:
        """Empty the body; by the rules of a reset nothing runs on and nothing is still to come."""
        self.events.append(Event(time, RESET, value=1.0))
        self.running = running_after_reset(self.running)
        arrivals = pending_after_reset([what for _, _, what, _ in self.queue if isinstance(what, Dose)])
        kept = {id(what) for what in (*self.running, *arrivals)}
        self.queue = [entry for entry in self.queue if id(entry[2]) in kept]
        heapify(self.queue)
        self.events += [Event(time, RATE_ON, each.compartment, each.rate, each) for each in self.running]

    def give_steady(self, dose: Dose) -> None:
        """The amounts and infusions that doses repeated for ever have left at the row; expect the row's own dose."""
        amount, rate, duration = delivered(dose)
        time, into, interval = dose.time, dose.compartment, dose.interval
        if interval == 0.0:  # a constant infusion, which ends here; a lag puts off its end
            self.events.append(Event(time, STEADY, into, source=Repeated(into, 0.0, rate, 0.0, 0.0, 0.0)))
            if dose.lag > 0.0:
                self.begin(Infusion(into, rate, time, dose.lag))
            return
        phase = phase_at_row(interval, dose.lag)
        if amount > 0.0:
            source = Repeated(into, amount, rate, duration, interval, phase)
            self.events.append(Event(time, STEADY, into, source=source))
            for number in count():
                left = duration - phase - number * interval
                if left <= self.rounding:
                    break
                self.begin(Infusion(into, rate, time, left))
        if dose.lag > 0.0:
            self.expect(_arrival(dose, 0), dose)
        elif dose.additional:
            self.expect(_arrival(dose, 1), dose, 1)
