"""Series of doses: tapers (to an end, by steps, by a factor, or as a list) and escalations."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, PlainValidator, Tag, model_validator

from pkmodel import units
from pkmodel.errors import InputError, Problem, shown
from pkmodel.specs import fields
from pkmodel.specs.dose import Dose
from pkmodel.specs.loading import Spec
from pkmodel.specs.sessions import WEEK, Sessions, Stretch, between, sums
from pkmodel.units import Quantity

MOST_LEVELS = 1000


def _change(value: object) -> Quantity:
    """A difference of doses, such as "-0.1 mg/kg"; its unit is held against that of the doses later."""
    expected = 'a difference of doses such as "-0.1 mg/kg" or "-10 mg"'
    try:
        quantity = units.parse(value)
    except InputError as error:
        raise InputError(Problem(error.problems[0].found, expected, nearest=error.problems[0].nearest)) from None
    if quantity.value == 0:
        raise InputError(Problem(shown(value), f"{expected}, other than 0"))
    return quantity


def _factor(value: object) -> Quantity:
    expected = 'a part of the dose before, above 0 and below 100 %, such as "80 %"'
    try:
        quantity = units.as_kind(value, "number")
    except InputError as error:
        raise InputError(Problem(error.problems[0].found, expected)) from None
    if not 0.0 < quantity.value < 1.0:
        raise InputError(Problem(shown(value), expected))
    return quantity


Change = Annotated[Quantity, PlainValidator(_change)]
Factor = Annotated[Quantity, PlainValidator(_factor)]


def _number_or_form(value: Any) -> str:
    return "[number]" if isinstance(value, (int, float, str)) else "[form]"


#: A number of sessions, whose intervals stand beside it, or any form of ``sessions:`` of a phase.
NumberOrForm = Annotated[
    Annotated[Annotated[int, Field(ge=2, le=MOST_LEVELS)], Tag("[number]")] | Annotated[Sessions, Tag("[form]")],
    Discriminator(_number_or_form),
]


class _Series(Spec):
    """What tapers and escalations share: when their sessions are."""

    every: fields.Duration | None = None
    intervals: list[fields.Duration] | None = None
    interval: Stretch | None = None
    by: Literal["session", "week"] = "session"

    def _check_times(self, form: Sessions | None) -> None:
        """Refuse two ways of saying when the sessions are, or none."""
        names = ("every", "intervals", "interval")
        given = [name for name in names if getattr(self, name) is not None]
        if form is None:
            fields.exactly_one(self, *names)
        elif given:
            found = f"{given[0]} beside the form of sessions"
            raise InputError(Problem(found, "one of the two: when the sessions are", path=given[0]))

    def _times(self, form: Sessions | None, count: int) -> list[float]:
        """Hours from the start of the phase to each of ``count`` sessions."""
        if form is not None:
            return form.offsets()
        if self.every is not None:
            return [self.every.value * index for index in range(count)]
        if self.interval is not None:
            return sums(self.interval.hours(count - 1))
        return sums([step.value for step in self.intervals or []])

    def _check_count(self, count: int) -> None:
        """Refuse intervals that do not fit between ``count`` sessions."""
        if self.intervals is not None and len(self.intervals) != count - 1:
            found = f"{len(self.intervals)} intervals"
            raise InputError(Problem(found, f"{count - 1}, one between each two of {count} sessions", path="intervals"))
        if self.interval is not None and count < 3:
            raise InputError(Problem(f"{count} sessions", "at least 3, for an interval that changes", path="interval"))


def _level_of(offsets: list[float], by: str) -> list[int]:
    """Which level, from 0, each session gets: its own, or that of its week (weeks without a session are passed by)."""
    if by == "session":
        return list(range(len(offsets)))
    weeks = [int(offset / WEEK + 1e-9) for offset in offsets]
    order = {week: index for index, week in enumerate(sorted(set(weeks)))}
    return [order[week] for week in weeks]


def _levels_text(count: int, by: str) -> str:
    return f"{count} {'weeks' if by == 'week' else 'sessions'}"


def _same_unit(first: Quantity, other: Quantity | None, path: str) -> None:
    if other is not None and other.unit.dimensions != first.unit.dimensions:
        kinds = {"mg": "a mass (mg)", "mg/kg": "a dose per kilogram of body weight (mg/kg)"}
        fits = [text for unit, text in kinds.items() if units.parse_unit(unit).dimensions == first.unit.dimensions]
        needed = fits[0] if fits else f"a dose in {first.unit.text}"
        raise InputError(Problem(other.text, f"{needed}, as in from: {first.text}", path=path))


def _exact(value: float) -> Fraction:
    """The decimal number that a float was written as, so that 0.5 less three times 0.1 is 0.2."""
    return Fraction(repr(value))


def _as_doses(values: list[float], unit: units.Unit) -> list[Quantity]:
    factor = float(unit.factor)
    return [Quantity(value, unit, f"{value / factor:.4g} {unit.text}") for value in values]


class Taper(_Series):
    """A series of doses that goes down, in one of four ways, with its own sessions.

    ``from`` and ``to`` with a ``shape``; ``from`` and a ``step`` (such as -0.1 mg/kg) or a ``factor`` (80 % of the dose
    before), down to a ``floor``; or ``steps``, every dose in full. ``by: week`` gives one dose to all sessions of a
    week. ``sessions`` is a number, with ``every``, ``intervals`` or ``interval`` beside it, or any form of
    :class:`Sessions`; without it a list of steps, or the way to the floor, says how many there are.
    """

    start: Dose | None = Field(default=None, alias="from")
    to: Dose | None = None
    step: Change | None = None
    factor: Factor | None = None
    floor: Dose | None = None
    steps: Annotated[list[Dose], Field(min_length=2, max_length=MOST_LEVELS)] | None = None
    shape: Literal["linear", "geometric"] | None = None
    sessions: NumberOrForm | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Taper:
        fields.exactly_one(self, "to", "step", "factor", "steps")
        way = next(name for name in ("to", "step", "factor", "steps") if getattr(self, name) is not None)
        if (self.start is None) != (way == "steps"):
            found = "nothing" if self.start is None else "from beside steps"
            expected = (
                "from, the first dose" if self.start is None else "steps alone; the first of them is the first dose"
            )
            raise InputError(Problem(found, expected, path="from"))
        if self.shape is not None and way != "to":
            raise InputError(Problem(f"shape beside {way}", "shape only with from and to", path="shape"))
        if self.floor is not None and way not in ("step", "factor"):
            raise InputError(Problem(f"floor beside {way}", "floor only with step or factor", path="floor"))
        first = self.start or (self.steps or [])[0]
        for path, other in (("to", self.to), ("step", self.step), ("floor", self.floor)):
            _same_unit(first, other, path)
        for index, level in enumerate(self.steps or []):
            _same_unit(first, level, f"steps[{index}]")
        if self.step is not None and self.step.value > 0:
            expected = f"a step down, such as -{self.step.text}; for doses that rise there is escalate"
            raise InputError(Problem(self.step.text, expected, path="step"))
        if self.floor is not None and self.floor.value >= first.value:
            raise InputError(Problem(self.floor.text, f"a floor below from: {first.text}", path="floor"))
        self._check_times(self._form)
        self._check_levels()
        return self

    @property
    def _form(self) -> Sessions | None:
        return self.sessions if isinstance(self.sessions, Sessions) else None

    @property
    def by_day(self) -> bool:
        """Whether the sessions are on stated days."""
        return self._form is not None and self._form.by_day

    def _check_levels(self) -> None:
        """Refuse a series whose number of doses does not come out, or that goes below 0."""
        if self.by == "week" and self.sessions is None:
            raise InputError(Problem("by: week without sessions", "sessions, whose weeks count", path="sessions"))
        if self.sessions is None and self.intervals is None and self.steps is None and self.floor is None:
            what = "step" if self.step is not None else "factor"
            expected = "the key sessions" if self.to is not None else f"sessions, or a floor where the {what} ends"
            raise InputError(Problem("nothing", expected, path="sessions" if self.to is not None else "floor"))
        if self.to is not None and self.sessions is None:
            raise InputError(Problem("nothing", "the key sessions", path="sessions"))
        levels = self._levels_needed()
        if self.steps is not None and levels is not None and len(self.steps) != levels:
            found = f"{len(self.steps)} doses for {_levels_text(levels, self.by)}"
            raise InputError(Problem(found, "as many doses as sessions (or as weeks, by: week)", path="steps"))
        if self.to is not None and levels is not None and levels < 2:
            found = f"{_levels_text(levels, self.by)[:-1]}"
            raise InputError(Problem(found, "at least 2, for a taper from one dose to another", path="sessions"))
        if self.step is not None and self.floor is None and self.start is not None and levels is not None:
            last = _exact(self.start.value) + (levels - 1) * _exact(self.step.value)
            if last <= 0:
                most = -((-_exact(self.start.value)) // -_exact(self.step.value))
                found = f"{_levels_text(levels, self.by)}, the last of them at 0 or below"
                expected = f"a floor, or at most {most} doses by {self.step.text} from {self.start.text}"
                raise InputError(Problem(found, expected, path="step"))
        values = self._levels()
        if len(values) > MOST_LEVELS:
            raise InputError(
                Problem(f"more than {MOST_LEVELS:,} doses", f"at most {MOST_LEVELS:,} doses", path="floor")
            )
        if values[-1] < 1e-6 * values[0]:
            found = f"{len(values)} doses, the last of them below a millionth of the first"
            raise InputError(Problem(found, "a floor, or fewer doses", path="floor"))
        if not (self.sessions is not None and self._form is not None):
            self._check_count(self._count())

    def _levels_needed(self) -> int | None:
        """How many different doses the sessions call for; None where the doses decide."""
        if self.sessions is None and self.intervals is None:
            return None
        if self.by == "session":
            return self._count()
        return len(set(_level_of(self._times(self._form, self._count()), self.by)))

    def _count(self) -> int:
        """How many sessions there are."""
        if isinstance(self.sessions, Sessions):
            return self.sessions.number
        if self.sessions is not None:
            return self.sessions
        return len(self.intervals) + 1 if self.intervals is not None else len(self._levels())

    def _levels(self) -> list[float]:
        """The doses one after the other, in base units."""
        count = self._levels_needed()
        if self.steps is not None:
            return [level.value for level in self.steps]
        assert self.start is not None
        if self.to is not None:
            return between(self.start.value, self.to.value, count or 2, self.shape or "linear")
        values = [self.start.value]
        floor = self.floor.value if self.floor is not None else 0.0
        while len(values) < (count or MOST_LEVELS + 1) and (count is not None or values[-1] > floor):
            values.append(max(self._lowered(len(values)), floor))
        return values

    def _lowered(self, index: int) -> float:
        """The dose after ``index`` steps, before the floor."""
        assert self.start is not None
        if self.step is not None:
            return float(_exact(self.start.value) + index * _exact(self.step.value))
        assert self.factor is not None
        return float(_exact(self.start.value) * _exact(self.factor.value) ** index)

    def doses(self) -> list[Quantity]:
        """The dose of each session; stated ones are exactly as stated."""
        levels = self._levels()
        unit = (self.start or (self.steps or [])[0]).unit
        return _as_doses([levels[index] for index in _level_of(self.offsets(), self.by)], unit)

    def offsets(self) -> list[float]:
        """Hours from the first session of the taper (or day 1 of its phase) to each session."""
        return self._times(self._form, self._count())


class Escalate(_Series):
    """Doses that rise by equal steps (a titration), one session at each, or one week with ``by: week``.

    After Loo CK, et al. Acta Psychiatr Scand 2016;134:48-56: 0.1 to 0.5 mg/kg by 0.1 mg/kg, at least a week apart.
    """

    start: Dose = Field(alias="from")
    to: Dose
    step: Change
    sessions: Sessions | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Escalate:
        _same_unit(self.start, self.to, "to")
        _same_unit(self.start, self.step, "step")
        if self.step.value < 0:
            raise InputError(Problem(self.step.text, "a step up, above 0; for doses that fall there is taper", "step"))
        if self.to.value <= self.start.value:
            found = f"{self.start.text} to {self.to.text}"
            raise InputError(Problem(found, "an escalation that rises; for doses that fall there is taper", "to"))
        start, step = _exact(self.start.value), _exact(self.step.value)
        count = (_exact(self.to.value) - start) / step
        if count.denominator != 1:
            scale = float(self.start.unit.factor)
            fits = [float(start + step * whole) / scale for whole in {max(1, int(count)), int(count) + 1}]
            options = " or ".join(f"{value:g} {self.start.unit.text}" for value in sorted(fits))
            raise InputError(
                Problem(self.to.text, f"whole steps of {self.step.text} above {self.start.text}: {options}", path="to")
            )
        if count >= MOST_LEVELS:
            raise InputError(Problem(f"{int(count) + 1:,} doses", f"at most {MOST_LEVELS:,} doses", path="step"))
        self._check_times(self.sessions)
        levels = len(self._levels())
        if self.sessions is None:
            if self.by == "week":
                raise InputError(Problem("by: week without sessions", "sessions, whose weeks count", path="sessions"))
            self._check_count(levels)
            return self
        found_levels = len(set(_level_of(self.sessions.offsets(), self.by)))
        if found_levels != levels:
            expected = f"{levels}, one for each dose from {self.start.text} to {self.to.text}"
            raise InputError(Problem(_levels_text(found_levels, self.by), expected, path="sessions"))
        return self

    @property
    def by_day(self) -> bool:
        """Whether the sessions are on stated days."""
        return self.sessions is not None and self.sessions.by_day

    def _levels(self) -> list[float]:
        start, step = _exact(self.start.value), _exact(self.step.value)
        count = int((_exact(self.to.value) - start) / step)
        return [*(float(start + step * index) for index in range(count)), self.to.value]

    def doses(self) -> list[Quantity]:
        """The dose of each session."""
        levels = self._levels()
        return _as_doses([levels[index] for index in _level_of(self.offsets(), self.by)], self.start.unit)

    def offsets(self) -> list[float]:
        """Hours from the first session (or day 1 of the phase) to each session."""
        return self._times(self.sessions, len(self._levels()))
