"""Which milligrams reach whom, and when: the doses of a course on their way into the body, before a kernel runs.

What each patient gets in a session is decided in :mod:`pkmodel.dosing`; here it goes down the paths of the route, with
their fraction, lag and zero-order release, and becomes events.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pkmodel import dosing
from pkmodel.core.kinds import JUMP, RATE_OFF, RATE_ON, RESET, Events
from pkmodel.dosing import WHOLE, GivenSession
from pkmodel.errors import InputError, Problem, unknown_name
from pkmodel.network import Network
from pkmodel.specs.model import Path
from pkmodel.specs.protocol import ProtocolSpec

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Schedule:
    """What every patient of a block receives. Times in h from the start of the course, amounts in mg."""

    sessions: tuple[GivenSession, ...]
    events: Events

    @property
    def starts(self) -> Floats:
        """(s,) start of each session."""
        return np.array([session.planned.start for session in self.sessions])

    @property
    def ends(self) -> Floats:
        """(s, n) end of each session: the end of its last pump run, or its last device."""
        return np.stack([session.planned.start + session.end for session in self.sessions])

    @property
    def doses(self) -> Floats:
        """(s, n) mg given in each session, as the base."""
        return np.stack([session.given for session in self.sessions])


@dataclass(frozen=True)
class Delivery:
    """One dose down one path of a route: ``amount`` (n,) mg, of which ``fraction`` (n,) arrives in a compartment.

    It arrives ``lag`` (n,) h (None: none) after ``time``, at once or at a constant rate over ``duration`` h.
    """

    time: Floats | float
    compartment: int
    amount: Floats
    fraction: Floats | None
    lag: Floats | None
    duration: Floats | float


class EventList:
    """Collects events for ``size`` patients; the order of adding decides between events at one instant."""

    def __init__(self, size: int):
        self.size = size
        self._time: list[Floats] = []
        self._kind: list[int] = []
        self._target: list[int] = []
        self._value: list[Floats] = []
        self._ports: dict[int, int] = {}
        self._alike = True

    def bolus(self, time: Floats | float, compartment: int, amount: Floats) -> None:
        """``amount`` (n,) mg into a compartment at ``time`` (n,) or one for all."""
        self.add(time, JUMP, compartment, amount)

    def infusion(self, time: Floats | float, duration: Floats | float, compartment: int, amount: Floats) -> None:
        """``amount`` (n,) mg at a constant rate over ``duration`` h, which is above 0 for everyone."""
        rate = np.broadcast_to(amount / np.asarray(duration), (self.size,))
        self.add(time, RATE_ON, compartment, rate)
        self.add(np.asarray(time) + np.asarray(duration), RATE_OFF, compartment, rate)

    def deliver(self, delivery: Delivery) -> None:
        """A dose down a path, with its fraction, lag and duration."""
        amount = delivery.amount if delivery.fraction is None else delivery.amount * delivery.fraction
        time = delivery.time if delivery.lag is None else delivery.time + delivery.lag
        if np.any(delivery.duration):
            self.infusion(time, delivery.duration, delivery.compartment, amount)
        else:
            self.bolus(time, delivery.compartment, amount)

    def reset(self, time: Floats | float, whom: NDArray[np.bool_] | bool = True) -> None:
        """Every state back to its start and every infusion ended, at ``time``, in those of ``whom`` (n,)."""
        self.add(time, RESET, 0, np.broadcast_to(np.asarray(whom, dtype=np.float64), (self.size,)))

    def add(self, time: Floats | float, kind: int, compartment: int, value: Floats) -> None:
        """One event of a kind of ``core.kinds``; it passes by a patient whose ``value`` is 0."""
        target = compartment
        if kind in (RATE_ON, RATE_OFF):
            target = self._ports.setdefault(compartment, len(self._ports))
        self._alike = self._alike and np.ndim(time) == 0
        self._time.append(np.atleast_1d(np.asarray(time, dtype=np.float64)))
        self._kind.append(kind)
        self._target.append(target)
        self._value.append(np.broadcast_to(value, (self.size,)).astype(np.float64))

    def events(self) -> Events:
        """The arrays for a kernel. Times are one column where every patient shares them."""
        if not self._kind:
            empty = np.empty((0, 1))
            ints = np.empty(0, dtype=np.int64)
            return Events(empty, empty.astype(np.int64), ints, ints, np.empty((0, self.size)), ints)
        shared = all(time.size == 1 or np.ptp(time) == 0.0 for time in self._time)
        width = 1 if shared else self.size
        time = np.stack([np.broadcast_to(time[:1] if shared else time, (width,)) for time in self._time])
        return Events(
            time=np.ascontiguousarray(time),
            order=np.ascontiguousarray(np.argsort(time, axis=0, kind="stable")).astype(np.int64),
            kind=np.array(self._kind, dtype=np.int64),
            target=np.array(self._target, dtype=np.int64),
            value=np.stack(self._value),
            port_compartment=np.array(list(self._ports), dtype=np.int64),
            alike=self._alike,
        )


def build(
    protocol: ProtocolSpec,
    network: Network,
    *,
    fraction_of_drug: float = 1.0,
    occasions: Sequence[Network] | None = None,
) -> Schedule:
    """Resolve a protocol for the patients and the model of ``network``.

    Parameters
    ----------
    fraction_of_drug
        The part of every dose that the model sees: 0.5 for the S half of a racemate.
    occasions
        the network of each session, whose fraction, lag and release are those of its doses, where they differ from
        one to the next (:mod:`pkmodel.occasions`).

    Raises
    ------
    InputError
        where the model lacks the route, a covariate is missing, or a dose cannot be given.
    """
    sessions, deliveries = given(protocol, network, fraction_of_drug=fraction_of_drug, occasions=occasions)
    events = EventList(network.size)
    for delivery in deliveries:
        events.deliver(delivery)
    return Schedule(tuple(sessions), events.events())


def given(
    protocol: ProtocolSpec,
    network: Network,
    *,
    fraction_of_drug: float = 1.0,
    occasions: Sequence[Network] | None = None,
) -> tuple[list[GivenSession], list[Delivery]]:
    """The sessions of a protocol as they are given, and every dose down every path; see :func:`build`."""
    sessions: list[GivenSession] = []
    deliveries: list[Delivery] = []
    for planned in protocol.plan():
        session = dosing.resolve(planned, network.values, network.size)
        of_session = network if occasions is None else occasions[planned.index - 1]
        deliveries += deliver(session, of_session, planned.start, fraction_of_drug)
        if sessions and (sessions[-1].planned.start + sessions[-1].end > planned.start).any():
            found = f"session {planned.index} before the end of session {planned.index - 1}"
            raise InputError(Problem(found, "sessions that do not overlap", planned.place, "protocol"))
        sessions.append(session)
    return sessions, deliveries


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
        deliveries += down(planned.route, network, amount, start + dose.begins, dose.over, dose.device)
    return deliveries


def down(
    route: str,
    network: Network,
    amount: Floats,
    start: Floats | float = 0.0,
    over: Floats | float = 0.0,
    device: int = 1,
) -> list[Delivery]:
    """One dose of ``amount`` (n,) mg, from ``start`` over ``over`` h, down every path of a route of the model."""
    paths = network.model.routes[route].paths  # type: ignore[index]  # a name that was looked up
    return [
        _send(way, f"routes.{route}[{index}]", network, start, over, amount, device) for index, way in enumerate(paths)
    ]


def _send(
    way: Path,
    place: str,
    network: Network,
    start: Floats | float,
    over: Floats | float,
    amount: Floats,
    device: int,
) -> Delivery:
    """One dose down one path: fraction, lag, and an infusion, a zero-order release or a jump."""
    fraction = lag = None
    duration = over
    if way.fraction is not None:
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
