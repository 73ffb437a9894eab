"""Which milligrams reach whom, and when: the doses of a course on their way into the body, before a kernel runs.

What each patient gets in a session is decided in :mod:`pkmodel.dosing`; here it goes down the paths of the route, with
their fraction, lag and zero-order release, and becomes events.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pkmodel import dosing
from pkmodel.core.kinds import JUMP, RATE_OFF, RATE_ON, RESET, Events
from pkmodel.dosing import WHOLE, Before, GivenSession
from pkmodel.errors import InputError, Problem, unknown_name
from pkmodel.given import SWALLOWED
from pkmodel.network import Network
from pkmodel.specs.model import ModelSpec, Path
from pkmodel.specs.planned import PlannedSession
from pkmodel.specs.protocol import ProtocolSpec

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Schedule:
    """What every patient of a block receives. Times in h from the start of the course, amounts in mg.

    ``starts`` is (s, 1), or (s, n) where sessions begin at a time of each patient's own: the first pump start or the
    first device, or, of a session that is not given, when it was due.
    """

    sessions: tuple[GivenSession, ...]
    events: Events
    starts: Floats

    @property
    def ends(self) -> Floats:
        """(s, n) end of each session: the end of its last pump run, or its last device."""
        return self.starts + np.stack([session.end for session in self.sessions])

    @property
    def last_start(self) -> float:
        """When the last session begins, h; of the patient with whom it is latest."""
        return float(self.starts[-1].max())

    @property
    def doses(self) -> Floats:
        """(s, n) mg given in each session, as they are written (of the salt, where the protocol says so)."""
        return np.stack([session.given for session in self.sessions])


@dataclass(frozen=True)
class Delivery:
    """One dose down one path of a route: ``amount`` (n,) mg, of which ``fraction`` (n,) arrives in a compartment.

    It arrives ``lag`` (n,) h (None: none) after ``time``, at once or at a constant rate over ``duration`` h. ``own``:
    whether it is one of a number that differs between patients, so that it passes by some of them.
    """

    time: Floats | float
    compartment: int
    amount: Floats
    fraction: Floats | None
    lag: Floats | None
    duration: Floats | float
    own: bool = False
    until: Floats | None = None
    """When (n,), h, a pump that would run on is stopped; what it has given by then arrives."""


class EventList:
    """Collects events for ``size`` patients; the order of adding decides between events at one instant."""

    def __init__(self, size: int, ports: dict[int, int] | None = None):
        """``ports`` are those that earlier lists of the same course have given to compartments, and are added to."""
        self.size = size
        self._time: list[Floats] = []
        self._kind: list[int] = []
        self._target: list[int] = []
        self._value: list[Floats] = []
        self._ports = {} if ports is None else ports
        self._alike = True
        self._own = False
        self._begins: set[int] = set()

    def begin(self, time: Floats) -> None:
        """The run begins at ``time`` (n,), h, whether or not a patient gets something there."""
        self._begins.add(len(self._kind))
        self.add(time, JUMP, 0, np.zeros(self.size))

    def bolus(self, time: Floats | float, compartment: int, amount: Floats) -> None:
        """``amount`` (n,) mg into a compartment at ``time`` (n,) or one for all."""
        self.add(time, JUMP, compartment, amount)

    def infusion(
        self,
        time: Floats | float,
        duration: Floats | float,
        compartment: int,
        amount: Floats,
        until: Floats | None = None,
    ) -> None:
        """``amount`` (n,) mg at a constant rate over ``duration`` h, which is above 0 where there is an amount.

        It stops at ``until`` (n,) h where that is earlier.
        """
        over = np.asarray(duration, dtype=np.float64)
        rate = np.divide(amount, over, out=np.zeros(self.size), where=over > 0)
        end = np.asarray(time) + over
        self.add(time, RATE_ON, compartment, rate)
        self.add(end if until is None else np.minimum(end, until), RATE_OFF, compartment, rate)

    def deliver(self, delivery: Delivery) -> None:
        """A dose down a path, with its fraction, lag and duration."""
        self._own = self._own or delivery.own
        amount = delivery.amount if delivery.fraction is None else delivery.amount * delivery.fraction
        time = delivery.time if delivery.lag is None else delivery.time + delivery.lag
        if not np.any(delivery.duration):
            self.bolus(time, delivery.compartment, amount)
            return
        until = delivery.until
        if until is not None and delivery.lag is not None:
            until = until + delivery.lag
        self.infusion(time, delivery.duration, delivery.compartment, amount, until)
        at_once = np.asarray(delivery.duration) == 0.0
        if np.any(at_once & (amount != 0.0)):
            self.bolus(time, delivery.compartment, np.where(at_once, amount, 0.0))

    def reset(self, time: Floats | float, whom: NDArray[np.bool_] | bool = True) -> None:
        """Every state back to its start and every infusion ended, at ``time``, in those of ``whom`` (n,)."""
        self.add(time, RESET, 0, np.broadcast_to(np.asarray(whom, dtype=np.float64), (self.size,)))

    def add(self, time: Floats | float, kind: int, compartment: int, value: Floats) -> None:
        """One event of a kind of ``core.kinds``; it passes by a patient whose ``value`` is 0."""
        target = compartment
        if kind in (RATE_ON, RATE_OFF):
            target = self._ports.setdefault(compartment, len(self._ports))
        self._alike = self._alike and np.ndim(time) == 0
        own = np.empty(self.size)
        own[:] = value
        self._time.append(np.atleast_1d(np.asarray(time, dtype=np.float64)))
        self._kind.append(kind)
        self._target.append(target)
        self._value.append(own)

    def events(self) -> Events:
        """The arrays for a kernel. Times are one column where every patient shares them."""
        if not self._kind:
            empty = np.empty((0, 1))
            ints = np.empty(0, dtype=np.int64)
            return Events(empty, empty.astype(np.int64), ints, ints, np.empty((0, self.size)), ints)
        value = np.stack(self._value)
        alike = self._alike and not self._own
        times = self._time if alike else self._own_times(value)
        shared = all(time.size == 1 or np.ptp(time) == 0.0 for time in times)
        width = 1 if shared else self.size
        time = np.stack([time[:1] if shared else np.broadcast_to(time, (width,)) for time in times])
        return Events(
            time=np.ascontiguousarray(time),
            order=np.ascontiguousarray(np.argsort(time, axis=0, kind="stable")).astype(np.int64),
            kind=np.array(self._kind, dtype=np.int64),
            target=np.array(self._target, dtype=np.int64),
            value=value,
            port_compartment=np.array(list(self._ports), dtype=np.int64),
            alike=alike,
        )

    def _own_times(self, value: Floats) -> list[Floats]:
        """Times (n,) of the events, where ``value`` (e, n) is 0 those of a patient's first dose.

        An event is a stop on the way, and a way in two steps may differ from one in the last bit; one that passes a
        patient by must be none, or the bits of a patient would depend on who else is there.
        """
        passes = value == 0.0
        passes[list(self._begins)] = False
        if not passes.any():
            return self._time
        time = np.stack([np.broadcast_to(time, (self.size,)) for time in self._time])
        first = np.where(passes, np.inf, time).min(axis=0)
        return list(np.where(passes, np.where(np.isfinite(first), first, 0.0), time))


def build(
    protocol: ProtocolSpec,
    network: Network,
    *,
    fraction_of_drug: float = 1.0,
    occasions: Sequence[Network] | None = None,
    seed: int | None = None,
) -> Schedule:
    """Resolve a protocol for the patients and the model of ``network``.

    Parameters
    ----------
    fraction_of_drug
        The part of every dose that the model sees: 0.5 for the S half of a racemate.
    occasions
        the network of each session, whose fraction, lag and release are those of its doses, where they differ from
        one to the next (:mod:`pkmodel.occasions`).
    seed
        that of what sprays deliver; without it every spray delivers what it should.

    Raises
    ------
    InputError
        where the model lacks the route, a covariate is missing, or a dose cannot be given.
    """
    sessions, deliveries = given(protocol, network, fraction_of_drug=fraction_of_drug, occasions=occasions, seed=seed)
    events = EventList(network.size)
    for delivery in deliveries:
        events.deliver(delivery)
    starts = np.array([[session.planned.start] for session in sessions])
    return Schedule(tuple(sessions), events.events(), starts)


def given(
    protocol: ProtocolSpec,
    network: Network,
    *,
    fraction_of_drug: float = 1.0,
    occasions: Sequence[Network] | None = None,
    seed: int | None = None,
) -> tuple[list[GivenSession], list[Delivery]]:
    """The sessions of a protocol as they are given, and every dose down every path; see :func:`build`."""
    if protocol.decides:
        what = (
            "a clinic that decides on the day" if protocol.clinic is not None else "sessions missed or late by chance"
        )
        expected = "a protocol without clinic and adherence here; simulate and run carry it out, and keep a ledger"
        raise InputError(Problem(what, expected, "clinic" if protocol.clinic is not None else "adherence", "protocol"))
    sessions: list[GivenSession] = []
    deliveries: list[Delivery] = []
    plan = protocol.plan()
    before = before_all(plan, network.size)
    first = network.population.first
    for planned in plan:
        before = before.on(planned.start) if before is not None else None
        session = dosing.resolve(planned, network.values, network.size, before=before, seed=seed, first=first)
        session = on_route(session, network.model)
        before = before.add(session.given) if before is not None else None
        of_session = network if occasions is None else occasions[planned.index - 1]
        deliveries += deliver(session, of_session, planned.start, fraction_of_drug)
        if sessions and (sessions[-1].planned.start + sessions[-1].end > planned.start).any():
            found = f"session {planned.index} before the end of session {planned.index - 1}"
            raise InputError(Problem(found, "sessions that do not overlap", planned.place, "protocol"))
        sessions.append(session)
    return sessions, deliveries


def before_all(plan: Sequence[PlannedSession], size: int) -> Before | None:
    """Before the first session, where something of a course depends on what was given before; None where nothing."""
    needed = any(planned.limits.max_day or planned.limits.max_course for planned in plan)
    return Before.nothing(size) if needed else None


def on_route(session: GivenSession, model: ModelSpec) -> GivenSession:
    """The session on a model: what runs down the throat is lost where its route has no swallowed path."""
    if all(dose.kind != SWALLOWED for dose in session.doses) or swallows(model, session.planned.route):
        return session
    return session.without_run_off()


def swallows(model: ModelSpec, route: str) -> bool:
    """Whether a route of a model has a path for what runs down the throat."""
    known = model.routes.get(route)  # type: ignore[call-overload]  # a route that the model may not have
    return known is not None and any(way.swallowed is not None for way in known.paths)


def deliver(
    session: GivenSession, network: Network, start: Floats | float, fraction_of_drug: float = 1.0
) -> list[Delivery]:
    """A session's doses down the paths of its route, from ``start`` (h) on."""
    planned, model = session.planned, network.model
    if planned.route not in model.routes:
        raise InputError(
            unknown_name(f"a route of {model.id}", planned.route, model.routes, path=planned.place, where="protocol")
        )
    route = model.routes[planned.route]
    where = f"session {planned.index}"
    if planned.device is None and route.device is not None:
        expected = f"device: {{strength: {route.device.strength.text}}}, which {model.id} counts"
        raise InputError(Problem(f"no device in {where}", expected, planned.place, "protocol"))
    if planned.device is not None and route.device is not None:
        strength = planned.device.strength.value
        if abs(route.device.strength.value - strength) > WHOLE * strength:
            expected = f"devices of {route.device.strength.text}, on which {model.id} rests"
            raise InputError(Problem(f"devices of {planned.device.strength.text}", expected, planned.place, "protocol"))
    deliveries = []
    for dose in session.doses:
        amount = dose.amount * session.base * fraction_of_drug
        swallowed = dose.kind == SWALLOWED
        deliveries += down(planned.route, network, amount, start + dose.begins, dose.over, dose.device, swallowed)
    return [replace(delivery, own=True) for delivery in deliveries] if planned.counted else deliveries


def down(
    route: str,
    network: Network,
    amount: Floats,
    start: Floats | float = 0.0,
    over: Floats | float = 0.0,
    device: int = 1,
    swallowed: bool = False,
) -> list[Delivery]:
    """One dose of ``amount`` (n,) mg, from ``start`` over ``over`` h, down every path of a route of the model.

    ``swallowed``: down the path of what runs down the throat only, with the fraction of that; nothing where there is
    no such path.
    """
    paths = network.model.routes[route].paths  # type: ignore[index]  # a name that was looked up
    return [
        _send(way, f"routes.{route}[{index}]", network, start, over, amount, device, swallowed)
        for index, way in enumerate(paths)
        if way.swallowed is not None or not swallowed
    ]


def _send(
    way: Path,
    place: str,
    network: Network,
    start: Floats | float,
    over: Floats | float,
    amount: Floats,
    device: int,
    swallowed: bool,
) -> Delivery:
    """One dose down one path: fraction, lag, and an infusion, a zero-order release or a jump."""
    fraction = lag = None
    duration = over
    if swallowed and way.swallowed is not None:
        fraction = network.evaluate(way.swallowed, f"{place}.swallowed", high=1.0)
    elif way.fraction is not None:
        high = np.inf if way.apparent else 1.0
        fraction = network.evaluate(way.fraction, f"{place}.fraction", device=device, high=high)
    if way.lag is not None:
        lag = network.evaluate(way.lag, f"{place}.lag")
    if np.any(over) and way.zero_order is not None:
        raise InputError(
            Problem("a dose given over time", "a dose at once: the path has its own zero-order release", place)
        )
    if way.zero_order is not None:
        duration = network.evaluate(way.zero_order, f"{place}.zero_order")
        if not (duration > 0).all():
            raise InputError(Problem("a release over 0 h", "a duration above 0", f"{place}.zero_order"))
    return Delivery(start, network.model.compartments.index(way.into), amount, fraction, lag, duration)
