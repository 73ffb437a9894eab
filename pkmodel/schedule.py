"""Which milligrams reach whom, and when: every dosing rule resolved before a kernel runs.

The order of a dose is: dosing weight (basis, then its cap), dose, caps, rounding, devices; then the paths
of the route with their fraction, lag and zero-order release.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pkmodel.core.kinds import JUMP, RATE_OFF, RATE_ON, RESET, Events
from pkmodel.errors import InputError, Problem, unknown_name
from pkmodel.network import Network
from pkmodel.specs.model import Path
from pkmodel.specs.protocol import HYDROCHLORIDE, PlannedSession, ProtocolSpec, WeightRule, per_weight
from pkmodel.units import clock

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Slack for a dose that is a whole number of steps but for the last bit.
_WHOLE = 1e-9


@dataclass(frozen=True)
class GivenSession:
    """A session as it is given: planned and given doses per patient (n,), mg, and why they differ."""

    planned: PlannedSession
    dosing_weight: Floats | None
    asked: Floats
    given: Floats
    capped: NDArray[np.bool_]
    rounded: NDArray[np.bool_]
    devices: Ints | None
    end: Floats


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
        return np.stack([session.end for session in self.sessions])

    @property
    def doses(self) -> Floats:
        """(s, n) mg given in each session, as the base."""
        return np.stack([session.given for session in self.sessions])


@dataclass(frozen=True)
class Delivery:
    """One dose down one path of a route: ``amount`` (n,) mg, of which ``fraction`` (n,) arrives in a compartment.

    It arrives ``lag`` (n,) h (None: none) after ``time``, at once or at a constant rate over ``duration`` h.
    """

    time: float
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
        session = _dose_of(planned, network.values, network.size)
        of_session = network if occasions is None else occasions[planned.index - 1]
        deliveries += _deliver(session, of_session, fraction_of_drug)
        if sessions and (sessions[-1].end > planned.start).any():
            found = f"session {planned.index} before the end of session {planned.index - 1}"
            raise InputError(Problem(found, "sessions that do not overlap", planned.place, "protocol"))
        sessions.append(session)
    return sessions, deliveries


def _dose_of(planned: PlannedSession, values: Mapping[str, Floats], size: int) -> GivenSession:
    """What each of ``size`` patients gets in a session: dosing weight, dose, caps, rounding, devices."""
    limits = planned.limits
    weight: Floats | None = None
    if per_weight(planned.dose):
        weight = dosing_weight(planned.weight, values)
        asked = planned.dose.value * weight
    else:
        asked = np.full(size, planned.dose.value)
    ceiling = np.full(size, np.inf)
    if limits.max_per_kg is not None:
        ceiling = np.minimum(ceiling, limits.max_per_kg.value * _covariate(values, "weight"))
    if limits.max_single is not None:
        ceiling = np.minimum(ceiling, limits.max_single.value)
    dose = np.minimum(asked, ceiling)
    capped = dose < asked * (1 - _WHOLE)
    before = dose
    if limits.round_to is not None:
        dose = _rounded(dose, limits.round_to.value, limits.round or "nearest")
        over = dose > ceiling * (1 + _WHOLE)  # rounding up never goes over a cap
        dose = np.where(over, _rounded(before, limits.round_to.value, "down"), dose)
        if (dose == 0.0).any():
            least = before[np.argmin(dose)]
            found = f"{least:.4g} mg in session {planned.index}, which rounds to 0 mg"
            expected = f"a dose that leaves something at round_to: {limits.round_to.text}"
            raise InputError(Problem(found, expected, planned.place, "protocol"))
    rounded = np.abs(dose - before) > _WHOLE * before
    devices = None
    end = np.full(size, planned.start + planned.over)
    if planned.device is not None:
        count = dose / planned.device.strength.value
        devices = np.rint(count).astype(np.int64)
        if (np.abs(count - devices) > _WHOLE * np.maximum(count, 1.0)).any():
            raise InputError(
                Problem(f"{planned.dose.text} in session {planned.index}", "whole devices", planned.place, "protocol")
            )
        end = planned.start + np.maximum(devices - 1, 0) * planned.device.pause
    return GivenSession(planned, weight, asked, dose, capped, rounded, devices, end)


def _rounded(dose: Floats, step: float, how: str) -> Floats:
    count = dose / step
    if how == "down":
        return np.floor(count * (1 + _WHOLE)) * step
    return (np.ceil(count * (1 - _WHOLE)) if how == "up" else np.floor(count + 0.5)) * step


def _deliver(session: GivenSession, network: Network, fraction_of_drug: float) -> list[Delivery]:
    """A session's dose down the paths of its route."""
    planned, model = session.planned, network.model
    if planned.route not in model.routes:
        raise InputError(
            unknown_name(f"a route of {model.id}", planned.route, model.routes, path=planned.place, where="protocol")
        )
    route = model.routes[planned.route]
    base = HYDROCHLORIDE if planned.salt == "hydrochloride" else 1.0
    where = f"session {planned.index}"
    if planned.device is None:
        if route.device is not None:
            expected = f"device: {{strength: {route.device.strength.text}}}, which {model.id} counts"
            raise InputError(Problem(f"no device in {where}", expected, planned.place, "protocol"))
        return down(planned.route, network, session.given * base * fraction_of_drug, planned.start, planned.over)
    strength = planned.device.strength.value
    if route.device is not None and abs(route.device.strength.value - strength) > _WHOLE * strength:
        expected = f"devices of {route.device.strength.text}, on which {model.id} rests"
        raise InputError(Problem(f"devices of {planned.device.strength.text}", expected, planned.place, "protocol"))
    assert session.devices is not None
    deliveries = []
    for number in range(1, int(session.devices.max(initial=0)) + 1):
        amount = np.where(session.devices >= number, strength * base * fraction_of_drug, 0.0)
        start = planned.start + (number - 1) * planned.device.pause
        deliveries += down(planned.route, network, amount, start, device=number)
    return deliveries


def down(
    route: str, network: Network, amount: Floats, start: float = 0.0, over: float = 0.0, device: int = 1
) -> list[Delivery]:
    """One dose of ``amount`` (n,) mg, from ``start`` over ``over`` h, down every path of a route of the model."""
    paths = network.model.routes[route].paths  # type: ignore[index]  # a name that was looked up
    return [
        _send(way, f"routes.{route}[{index}]", network, start, over, amount, device) for index, way in enumerate(paths)
    ]


def _send(way: Path, place: str, network: Network, start: float, over: float, amount: Floats, device: int) -> Delivery:
    """One dose down one path: fraction, lag, and an infusion, a zero-order release or a jump."""
    fraction = lag = None
    duration: Floats | float = over
    if way.fraction is not None:
        high = np.inf if way.apparent else 1.0
        fraction = network.evaluate(way.fraction, f"{place}.fraction", device=device, high=high)
    if way.lag is not None:
        lag = network.evaluate(way.lag, f"{place}.lag")
    if over > 0 and way.zero_order is not None:
        raise InputError(
            Problem("a dose given over time", "a dose at once: the path has its own zero-order release", place)
        )
    if way.zero_order is not None:
        duration = network.evaluate(way.zero_order, f"{place}.zero_order")
        if not (duration > 0).all():
            raise InputError(Problem("a release over 0 h", "a duration above 0", f"{place}.zero_order"))
    return Delivery(start, network.model.compartments.index(way.into), amount, fraction, lag, duration)


def dosing_weight(rule: WeightRule, values: Mapping[str, Floats]) -> Floats:
    """The weight (n,), kg, that a dose per kilogram counts with: basis, then cap; bands of BMI go before.

    Raises InputError where height or sex is needed and unknown.
    """
    result = _capped(_basis(rule.basis, values), rule.cap)
    for band in reversed(rule.when):
        low, high = band.bmi
        index = _covariate(values, "weight") / _covariate(values, "height") ** 2
        inside = (index >= low) & (index < high)
        result = np.where(inside, _capped(_basis(band.basis, values), band.cap or rule.cap), result)
    return result


def _capped(weight: Floats, cap: object) -> Floats:
    return weight if cap is None else np.minimum(weight, cap.value)  # type: ignore[attr-defined]


def _basis(basis: str, values: Mapping[str, Floats]) -> Floats:
    """A body-size descriptor in kg.

    ideal: Devine BJ. Drug Intell Clin Pharm 1974;8:650. adjusted: ideal + 0.4 (actual - ideal), Bauer LA, et al.
    Eur J Clin Pharmacol 1983;24:643. lean and fat_free: Janmahasatian S, et al. Clin Pharmacokinet 2005;44:1051,
    whose lean body weight is the fat-free mass.
    """
    actual = _covariate(values, "weight")
    if basis == "actual":
        return actual
    height, female = _covariate(values, "height"), _covariate(values, "female") == 1.0
    if basis in ("lean", "fat_free"):
        index = actual / (height / 100.0) ** 2
        return np.where(female, 9270.0 * actual / (8780.0 + 244.0 * index), 9270.0 * actual / (6680.0 + 216.0 * index))
    ideal = np.where(female, 45.5, 50.0) + 2.3 * (height / 2.54 - 60.0)
    if (ideal <= 0).any():
        raise InputError(
            Problem(
                f"a height of {height[np.argmin(ideal)]:.4g} cm", "a height for which an ideal weight exists", "height"
            )
        )
    return ideal if basis == "ideal" else ideal + 0.4 * (actual - ideal)


def _covariate(values: Mapping[str, Floats], name: str) -> Floats:
    if name not in values:
        shown = "sex" if name == "female" else name
        raise InputError(Problem("nothing", f"{shown}, which the dose depends on", path=shown, where="patient"))
    return values[name]


def course_for(protocol: ProtocolSpec, values: Mapping[str, Floats] | None) -> list[dict[str, object]]:
    """The course as a table: one row per session; with one patient's covariates, in mg, with every adjustment."""
    rows: list[dict[str, object]] = []
    for planned in protocol.plan():
        how = f"over {clock(planned.over)}" if planned.over else "at once"
        if planned.device is not None:
            how = f"devices of {planned.device.strength.text}, {clock(planned.device.pause)} apart"
        row: dict[str, object] = {"session": planned.index, "day": f"{planned.start / 24 + 1:g}"}
        row |= {"phase": planned.phase, "route": planned.route, "dose": planned.dose.text}
        if values is not None:
            given = _dose_of(planned, values, 1)
            why = []
            if given.dosing_weight is not None and given.dosing_weight[0] != values["weight"][0]:
                why.append(f"dosing weight {given.dosing_weight[0]:.4g} kg")
            if given.capped[0]:
                why.append(f"capped from {given.asked[0]:.4g} mg")
            if given.rounded[0]:
                why.append("rounded" if given.capped[0] else f"rounded from {given.asked[0]:.4g} mg")
            row["given_mg"] = float(f"{given.given[0]:.6g}")
            if given.devices is not None:
                row["devices"] = int(given.devices[0])
            how += f" ({', '.join(why)})" if why else ""
        row["how"] = how
        rows.append(row)
    return rows
