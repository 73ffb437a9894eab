"""Series of doses that go down: to an end, by steps, by a factor, or as a list."""

from __future__ import annotations

from decimal import Decimal, localcontext
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, PlainValidator, Tag, model_validator

from pkmodel import units
from pkmodel.errors import InputError, Problem, shown
from pkmodel.specs import fields, shapes
from pkmodel.specs.dose import Dose
from pkmodel.specs.series import MOST_LEVELS, Change, Series, as_doses, exact, level_of, levels_text, same_unit
from pkmodel.specs.sessions import Sessions, between
from pkmodel.units import Quantity


@shapes.takes(shapes.quantity('a part of the dose before, such as "80 %"', plain=True))
def _factor(value: object) -> Quantity:
    expected = 'a part of the dose before, above 0 and below 100 %, such as "80 %"'
    try:
        quantity = units.as_kind(value, "number")
    except InputError as error:
        raise InputError(Problem(error.problems[0].found, expected)) from None
    if not 0.0 < quantity.value < 1.0:
        raise InputError(Problem(shown(value), expected))
    return quantity


Factor = Annotated[Quantity, PlainValidator(_factor)]


def _number_or_form(value: Any) -> str:
    return "[number]" if isinstance(value, (int, float, str)) else "[form]"


#: A number of sessions, whose intervals stand beside it, or any form of ``sessions:`` of a phase.
NumberOrForm = Annotated[
    Annotated[Annotated[int, Field(ge=2, le=MOST_LEVELS)], Tag("[number]")] | Annotated[Sessions, Tag("[form]")],
    Discriminator(_number_or_form),
]


class Taper(Series):
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
            same_unit(first, other, path)
        for index, level in enumerate(self.steps or []):
            same_unit(first, level, f"steps[{index}]")
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
            found = f"{len(self.steps)} doses for {levels_text(levels, self.by)}"
            raise InputError(Problem(found, "as many doses as sessions (or as weeks, by: week)", path="steps"))
        if self.to is not None and levels is not None and levels < 2:
            found = f"{levels_text(levels, self.by)[:-1]}"
            raise InputError(Problem(found, "at least 2, for a taper from one dose to another", path="sessions"))
        if self.step is not None and self.floor is None and self.start is not None and levels is not None:
            last = exact(self.start.value) + (levels - 1) * exact(self.step.value)
            if last <= 0:
                most = -((-exact(self.start.value)) // -exact(self.step.value))
                found = f"{levels_text(levels, self.by)}, the last of them at 0 or below"
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
        return len(set(level_of(self._times(self._form, self._count()), self.by)))

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
            return float(exact(self.start.value) + index * exact(self.step.value))
        assert self.factor is not None
        with localcontext(prec=50):  # as decimal numbers, so that 0.5 x 80 % x 80 % is 0.32
            return float(Decimal(repr(self.start.value)) * Decimal(repr(self.factor.value)) ** index)

    def doses(self) -> list[Quantity]:
        """The dose of each session; stated ones are exactly as stated."""
        levels = self._levels()
        unit = (self.start or (self.steps or [])[0]).unit
        return as_doses([levels[index] for index in level_of(self.offsets(), self.by)], unit)

    def offsets(self) -> list[float]:
        """Hours from the first session of the taper (or day 1 of its phase) to each session."""
        return self._times(self._form, self._count())
