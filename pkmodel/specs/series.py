"""What tapers and escalations share: a series of doses, its levels, and when its sessions are."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Literal

from pydantic import PlainValidator

from pkmodel import units
from pkmodel.errors import InputError, Problem, shown
from pkmodel.specs import fields, shapes
from pkmodel.specs.loading import Spec
from pkmodel.specs.sessions import WEEK, Sessions, Stretch, sums
from pkmodel.units import Quantity

MOST_LEVELS = 1000


@shapes.takes(shapes.quantity('a difference of doses, such as "-0.1 mg/kg"', signed=True))
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


Change = Annotated[Quantity, PlainValidator(_change)]


class Series(Spec):
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


def level_of(offsets: list[float], by: str) -> list[int]:
    """Which level, from 0, each session gets: its own, or that of its week (weeks without a session are passed by)."""
    if by == "session":
        return list(range(len(offsets)))
    weeks = [int(offset / WEEK + 1e-9) for offset in offsets]
    order = {week: index for index, week in enumerate(sorted(set(weeks)))}
    return [order[week] for week in weeks]


def levels_text(count: int, by: str) -> str:
    """``6 sessions``, or ``3 weeks`` where each week has a dose."""
    return f"{count} {'weeks' if by == 'week' else 'sessions'}"


def same_unit(first: Quantity, other: Quantity | None, path: str) -> None:
    """Raise InputError where another dose of a series is not of the kind (mg, mg/kg) of the first."""
    if other is not None and other.unit.dimensions != first.unit.dimensions:
        kinds = {"mg": "a mass (mg)", "mg/kg": "a dose per kilogram of body weight (mg/kg)"}
        fits = [text for unit, text in kinds.items() if units.parse_unit(unit).dimensions == first.unit.dimensions]
        needed = fits[0] if fits else f"a dose in {first.unit.text}"
        raise InputError(Problem(other.text, f"{needed}, as in from: {first.text}", path=path))


def exact(value: float) -> Fraction:
    """The decimal number that a float was written as, so that 0.5 less three times 0.1 is 0.2."""
    return Fraction(repr(value))


def as_doses(values: list[float], unit: units.Unit) -> list[Quantity]:
    """Values in base units as doses that are written in ``unit``, with four digits."""
    factor = float(unit.factor)
    return [Quantity(value, unit, f"{value / factor:.4g} {unit.text}") for value in values]
