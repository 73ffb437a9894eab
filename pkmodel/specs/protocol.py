"""A protocol file: who gets which dose, when and how (DESIGN section 3)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, Field, PlainValidator, model_validator

from pkmodel import units
from pkmodel.errors import InputError, Problem, shown
from pkmodel.specs import fields
from pkmodel.specs.loading import Spec
from pkmodel.units import Quantity

Basis = Literal["actual", "ideal", "adjusted", "lean", "fat_free"]
Salt = Literal["base", "hydrochloride"]

#: Mass of base in one mass of the hydrochloride (DESIGN section 2).
HYDROCHLORIDE = 0.867


#: The largest doses of a session that are taken for meant and not for a slip of the unit (days of intensive care).
MOST_PER_KG, MOST = 200.0, 20_000.0


def _dose(value: object) -> Quantity:
    expected = 'a dose with its unit, such as "56 mg" or "0.5 mg/kg"'
    try:
        quantity = units.parse(value)
    except InputError as error:
        raise InputError(Problem(error.problems[0].found, expected, nearest=error.problems[0].nearest)) from None
    legal = [units.parse_unit(unit).dimensions for unit in ("mg", "mg/kg")]
    if quantity.unit.dimensions not in legal:
        raise InputError(Problem(shown(value), expected))
    most, unit = (MOST_PER_KG, "mg/kg") if per_weight(quantity) else (MOST, "mg")
    if not 0 < quantity.value <= most:
        raise InputError(Problem(shown(value), f"{expected}, above 0 and at most {most:g} {unit}"))
    return quantity


Dose = Annotated[Quantity, PlainValidator(_dose)]


def per_weight(dose: Quantity) -> bool:
    """Whether a dose is per kilogram of body weight."""
    return ("body_weight", -1.0) in dose.unit.dimensions


class WeightBand(Spec):
    """A dosing weight for a band of body mass index."""

    bmi: fields.BodyMassIndexRange
    basis: Basis
    cap: fields.Weight | None = None


class WeightRule(Spec):
    """The dosing weight: a basis, then its cap; the first band of ``when`` that fits goes before."""

    basis: Basis = "actual"
    cap: fields.Weight | None = None
    when: list[WeightBand] = []


class DoseLimits(Spec):
    """Caps, then rounding, of the dose of one session."""

    max_single: fields.Mass | None = None
    max_per_kg: fields.PerWeight | None = None
    round_to: fields.Mass | None = None
    round: Literal["down", "up", "nearest"] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> DoseLimits:
        if self.round is not None and self.round_to is None:
            raise InputError(Problem(f"round: {self.round} without round_to", "round_to, the step", path="round_to"))
        if self.round_to is not None and self.max_single is not None and self.round_to.value > self.max_single.value:
            found = f"round_to {self.round_to.text} above max_single {self.max_single.text}"
            raise InputError(Problem(found, "a step that a dose below the cap can have"))
        return self


class Device(Spec):
    """A nasal device of fixed strength; a session's dose is a whole number of them."""

    strength: fields.Mass
    sprays: int = Field(default=2, ge=1, le=10)
    volume_per_spray: fields.Volume | None = None
    rest: fields.Duration | None = None

    @property
    def pause(self) -> float:
        """Hours from one device to the next."""
        return self.rest.value if self.rest else 0.0


class Sessions(Spec):
    """When the sessions of a phase are: by day, by a steady interval and a count, or by a list of intervals."""

    days: list[Annotated[int, Field(ge=1, le=36500)]] | None = None
    every: fields.Duration | None = None
    count: Annotated[int, Field(ge=1, le=5000)] | None = None
    intervals: list[fields.Duration] | None = None

    @model_validator(mode="after")
    def _one_form(self) -> Sessions:
        fields.exactly_one(self, "days", "every", "intervals")
        if self.every is not None and self.count is None:
            raise InputError(Problem("every without count", "count, the number of sessions", path="count"))
        if self.every is None and self.count is not None:
            raise InputError(Problem("count without every", "every, the interval between sessions", path="every"))
        if self.days is not None:
            if not self.days:
                raise InputError(Problem("no days", "at least one day", path="days"))
            for index in range(1, len(self.days)):
                if self.days[index] <= self.days[index - 1]:
                    found = f"day {self.days[index]} after day {self.days[index - 1]}"
                    raise InputError(Problem(found, "days in rising order", path=f"days[{index}]"))
        return self

    def offsets(self) -> list[float]:
        """Hours from the day 1 of the phase to each session."""
        if self.days is not None:
            return [24.0 * (day - 1) for day in self.days]
        if self.every is not None and self.count is not None:
            return [self.every.value * index for index in range(self.count)]
        return [0.0, *np.cumsum([step.value for step in self.intervals or []]).tolist()]


class Taper(Spec):
    """A series of doses from one level to another, with its own intervals."""

    start: Dose = Field(alias="from")
    to: Dose
    sessions: Annotated[int, Field(ge=2, le=1000)]
    shape: Literal["linear", "geometric"] = "linear"
    every: fields.Duration | None = None
    intervals: list[fields.Duration] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Taper:
        fields.exactly_one(self, "every", "intervals")
        if self.start.unit.dimensions != self.to.unit.dimensions:
            needed = "a dose per kilogram of body weight (mg/kg)" if per_weight(self.start) else "a mass (mg)"
            raise InputError(Problem(self.to.text, f"{needed}, as in from: {self.start.text}", path="to"))
        if self.intervals is not None and len(self.intervals) != self.sessions - 1:
            found = f"{len(self.intervals)} intervals"
            expected = f"{self.sessions - 1}, one between each two of {self.sessions} sessions"
            raise InputError(Problem(found, expected, path="intervals"))
        return self

    def doses(self) -> list[Quantity]:
        """The dose of each session; the ends are exactly as stated."""
        steps = np.arange(self.sessions) / (self.sessions - 1)
        if self.shape == "linear":
            values = self.start.value + (self.to.value - self.start.value) * steps
        else:
            values = self.start.value * (self.to.value / self.start.value) ** steps
        values[0], values[-1] = self.start.value, self.to.value
        unit = self.start.unit
        factor = float(unit.factor)
        return [Quantity(float(value), unit, f"{value / factor:.4g} {unit.text}") for value in values]

    def offsets(self) -> list[float]:
        """Hours from the first session of the taper to each session."""
        if self.every is not None:
            return [self.every.value * index for index in range(self.sessions)]
        return [0.0, *np.cumsum([step.value for step in self.intervals or []]).tolist()]


def _not_yet(name: str) -> Any:
    def refuse(value: object) -> None:
        raise InputError(Problem(found=name, expected=f"a protocol without {name}: this version cannot carry it out"))

    return Annotated[Any, BeforeValidator(refuse)]


class _Defaults(Spec):
    """What may be set for the whole protocol and overridden in a phase."""

    drug: fields.Drug | None = None
    salt: Salt | None = Field(default=None, alias="as")
    route: fields.Route | None = None
    over: fields.Duration | None = None
    weight: WeightRule | None = None
    dose_limits: DoseLimits | None = None
    device: Device | None = None
    atomiser: _not_yet("atomiser") = None  # type: ignore[valid-type]


class Phase(_Defaults):
    """A run of sessions: one dose repeated, or a taper."""

    name: str = Field(min_length=1, max_length=80)
    dose: Dose | None = None
    sessions: Sessions | None = None
    after: fields.Duration | None = None
    taper: Taper | None = None

    @model_validator(mode="after")
    def _one_form(self) -> Phase:
        fields.exactly_one(self, "dose", "taper")
        if self.taper is not None and self.sessions is not None:
            raise InputError(
                Problem("taper and sessions", "one of them; a taper has its own sessions", path="sessions")
            )
        if self.dose is not None and self.sessions is None:
            raise InputError(Problem("nothing", "sessions, when the dose is given", path="sessions"))
        return self


@dataclass(frozen=True)
class PlannedSession:
    """One session as the protocol plans it, before any patient is known. Times in hours."""

    index: int
    phase: str
    start: float
    dose: Quantity
    drug: str
    salt: Salt
    route: str
    over: float
    device: Device | None
    weight: WeightRule
    limits: DoseLimits
    place: str

    @property
    def last_device(self) -> float:
        """Hours from the start to the last device of the dose as planned (0 for a dose per kilogram)."""
        if self.device is None or per_weight(self.dose):
            return 0.0
        return max(0.0, round(self.dose.value / self.device.strength.value) - 1) * self.device.pause


class ProtocolSpec(_Defaults):
    """A protocol file, checked; ``plan()`` is the list of its sessions."""

    title: str = Field(min_length=1)
    drug: fields.Drug
    route: fields.Route
    source: Annotated[fields.Citation | None, BeforeValidator(fields.text_as_citation)] = None
    phases: list[Phase] = Field(min_length=1)
    notes: list[str] = []
    clinic: _not_yet("clinic") = None  # type: ignore[valid-type]

    @model_validator(mode="after")
    def _possible(self) -> ProtocolSpec:
        problems: list[Problem] = []
        for index, phase in enumerate(self.phases):
            path = f"phases[{index}]"
            if phase.after is not None and index == 0:
                problems.append(Problem("after in the first phase", "after only behind a phase", path=f"{path}.after"))
            on_days = phase.sessions is not None and phase.sessions.days is not None
            if phase.after is None and index > 0 and not on_days:
                problems.append(Problem("nothing", "after: the time from the last session before", f"{path}.after"))
        if problems:
            raise InputError(problems)
        plan = self.plan()
        for planned in plan:
            problems += _session_problems(planned)
        for before, planned in pairwise(plan):
            if planned.start <= before.start:
                problems.append(
                    Problem(
                        found=f"session {planned.index} on day {_day(planned)}, not after day {_day(before)}",
                        expected="sessions in rising order",
                        path=planned.place,
                    )
                )
            elif planned.start < before.start + max(before.over, before.last_device):
                problems.append(
                    Problem(
                        found=f"session {planned.index} before the end of session {before.index}",
                        expected="sessions that do not overlap",
                        path=planned.place,
                    )
                )
        unique = {(problem.path, problem.expected): problem for problem in reversed(problems)}
        if unique:
            raise InputError(list(unique.values())[::-1])
        return self

    def plan(self) -> list[PlannedSession]:
        """Every session of the course in order, with the phase's settings over the protocol's."""
        planned: list[PlannedSession] = []
        for number, phase in enumerate(self.phases):
            start = planned[-1].start + phase.after.value if phase.after is not None and planned else 0.0
            if phase.taper is not None:
                offsets, doses = phase.taper.offsets(), phase.taper.doses()
            else:
                assert phase.sessions is not None and phase.dose is not None
                offsets = phase.sessions.offsets()
                doses = [phase.dose] * len(offsets)
            over = phase.over or self.over
            for offset, dose in zip(offsets, doses, strict=True):
                planned.append(
                    PlannedSession(
                        index=len(planned) + 1,
                        phase=phase.name,
                        start=start + offset,
                        dose=dose,
                        drug=phase.drug or self.drug,
                        salt=phase.salt or self.salt or "base",
                        route=phase.route or self.route,
                        over=over.value if over else 0.0,
                        device=phase.device or self.device,
                        weight=phase.weight or self.weight or WeightRule(),
                        limits=phase.dose_limits or self.dose_limits or DoseLimits(),
                        place=f"phases[{number}]",
                    )
                )
        return planned

    @property
    def routes(self) -> list[str]:
        """The routes that the course uses, in order of first use."""
        return list(dict.fromkeys(planned.route for planned in self.plan()))

    @property
    def drugs(self) -> list[str]:
        """The drugs that the course uses, in order of first use."""
        return list(dict.fromkeys(planned.drug for planned in self.plan()))


def _session_problems(planned: PlannedSession) -> list[Problem]:
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


def _day(planned: PlannedSession) -> str:
    return f"{planned.start / 24 + 1:g}"
