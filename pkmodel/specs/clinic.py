"""What a clinic decides on the day: rules that are looked at at discrete checks, declared and never code.

The rules of a list are tried in order, and the first whose condition holds acts. See docs/clinic.md for what each
action does; :mod:`pkmodel.clinic` carries them out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, PlainValidator, model_validator

from pkmodel import units
from pkmodel.errors import InputError, Problem, nearest, one_of, shown
from pkmodel.specs import fields, shapes
from pkmodel.specs.dose import Dose
from pkmodel.specs.loading import Spec
from pkmodel.specs.metric import WITH_MOMENT, WITH_THRESHOLD, MetricField, is_level
from pkmodel.units import Quantity

#: Metrics that a clinic cannot go by after a session: of a moment, of two thresholds, of several sessions.
_NOT_BETWEEN = (*WITH_MOMENT, "time_between", "fluctuation", "accumulation_ratio")


class Condition(Spec):
    """A sign above or below a limit; or ``all`` or ``any`` of several.

    ``output`` is a level or an effect at the moment of a check. Between sessions it is a ``metric`` of it over the
    session before. ``measured`` puts the residual error of the model on a level.
    """

    output: str | None = None
    metric: MetricField | None = None
    threshold: fields.AnyQuantity | None = None
    above: fields.AnyQuantity | None = None
    below: fields.AnyQuantity | None = None
    measured: bool = False
    all: list[Condition] | None = Field(default=None, min_length=1)
    any: list[Condition] | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _one_form(self) -> Condition:
        if self.all is not None or self.any is not None:
            given = sorted(self.model_fields_set)
            if len(given) != 1:
                raise InputError(
                    Problem(" and ".join(given), "all or any alone, with conditions in it", path=given[-1])
                )
            return self
        if self.output is None:
            raise InputError(Problem("nothing", "an output or an effect, such as output: dissociation", path="output"))
        fields.exactly_one(self, "above", "below")
        problems = []
        if (self.metric in WITH_THRESHOLD) != (self.threshold is not None):
            found = "nothing" if self.threshold is None else f"a threshold for {self.metric or 'a level at a check'}"
            expected = f"a threshold for {self.metric}" if self.threshold is None else "no threshold"
            problems.append(Problem(found, expected, path="threshold"))
        if self.metric is not None and (self.metric in _NOT_BETWEEN or self.measured):
            found = "measured" if self.measured else self.metric
            problems.append(
                Problem(f"{found} with a metric", "a metric of true levels over the session", path="metric")
            )
        if self.metric is None and is_level(self.output):
            unit, description = units.KINDS["concentration"]
            if self.limit.unit.dimensions != units.parse_unit(unit).dimensions or self.limit.value < 0:
                problems.append(Problem(self.limit.text, description, path=self.side))
        if problems:
            raise InputError(problems)
        return self

    @property
    def limit(self) -> Quantity:
        """The limit, whichever side it is on."""
        found = self.above if self.above is not None else self.below
        assert found is not None
        return found

    @property
    def side(self) -> Literal["above", "below"]:
        """On which side of its limit a sign makes the condition hold."""
        return "above" if self.above is not None else "below"

    def leaves(self, path: str = "if") -> Iterator[tuple[str, Condition]]:
        """Every sign that it looks at, with its place."""
        for name in ("all", "any"):
            for index, part in enumerate(getattr(self, name) or ()):
                yield from part.leaves(f"{path}.{name}[{index}]")
        if self.output is not None:
            yield path, self

    def __str__(self) -> str:
        for name in ("all", "any"):
            if parts := getattr(self, name):
                return f" {'and' if name == 'all' else 'or'} ".join(f"({part})" for part in parts)
        what = f"{self.metric} of {self.output}" if self.metric else str(self.output)
        what += f" ({self.threshold.text})" if self.threshold else ""
        return f"{'measured ' if self.measured else ''}{what} {self.side} {self.limit.text}"


def _word(*legal: str, forms: str) -> Callable[[object], object]:
    """``then: stop`` is short for ``then: {do: stop}``."""

    @shapes.short_form(shapes.words(*legal))
    def read(value: object) -> object:
        if isinstance(value, str):
            if value not in legal:
                raise InputError(Problem(shown(value), f"{one_of(legal)}, or {forms}", nearest=nearest(value, legal)))
            return {"do": value}
        if not isinstance(value, dict):
            raise InputError(Problem(shown(value), f"{one_of(legal)}, or {forms}"))
        return value

    return read


Times = Annotated[int, Field(ge=1, le=100)]


class BeforeAction(Spec):
    """Before a session: wait and look again (``hold``), come another day (``delay``), or do without.

    After ``at_most`` holds or delays of a session, ``otherwise`` is done.
    """

    do: Literal["skip", "end_course"] | None = None
    hold: fields.Duration | None = None
    delay: fields.Duration | None = None
    at_most: Times = 1
    otherwise: Literal["skip", "give", "end_course"] = "skip"

    @model_validator(mode="after")
    def _one_form(self) -> BeforeAction:
        fields.exactly_one(self, "do", "hold", "delay")
        if self.do is not None and self.model_fields_set - {"do"}:
            raise InputError(Problem(f"{self.do} with {_rest(self)}", "hold or delay, which these belong to"))
        return self

    def __str__(self) -> str:
        if self.do is not None:
            return self.do.replace("_", " ")
        name, step = ("hold", self.hold) if self.hold is not None else ("delay", self.delay)
        assert step is not None
        return f"{name} {step.text} (at most {self.at_most}, otherwise {self.otherwise.replace('_', ' ')})"


class DuringAction(Spec):
    """During a session: end it, run the pump at a part of its planned rate, or pause for a while."""

    do: Literal["stop", "end_course"] | None = None
    rate: fields.Share | None = None
    pause: fields.Duration | None = None
    at_most: Times = 1
    otherwise: Literal["stop", "go_on"] = "go_on"

    @model_validator(mode="after")
    def _one_form(self) -> DuringAction:
        fields.exactly_one(self, "do", "rate", "pause")
        if self.pause is None and self.model_fields_set & {"at_most", "otherwise"}:
            raise InputError(Problem("at_most or otherwise", "pause, which they belong to", path="at_most"))
        if self.rate is not None and self.rate.value < 0.05:
            raise InputError(
                Problem(self.rate.text, "a rate from 5 % to 100 % of the planned one, or stop", path="rate")
            )
        return self

    def __str__(self) -> str:
        if self.do is not None:
            return self.do.replace("_", " ")
        if self.rate is not None:
            return f"rate {self.rate.text}"
        assert self.pause is not None
        return f"pause {self.pause.text} (at most {self.at_most}, otherwise {self.otherwise.replace('_', ' ')})"


@dataclass(frozen=True)
class Change:
    """A change of a dose or interval: a ``factor`` of it, then ``added`` in base units; or what it is set to."""

    factor: float
    added: float
    quantity: Quantity | None
    set_to: bool
    text: str


_SIGNED = re.compile(r"([+-])\s*(.+)", re.DOTALL)


def _change(read: Callable[[object], Quantity], example: str) -> Callable[[object], Change]:
    expected = f"a change with its sign, such as {example}"

    @shapes.takes(shapes.quantity(f"{expected}; or what it is set to", signed=True))
    def parse(value: object) -> Change:
        match = _SIGNED.fullmatch(value.strip()) if isinstance(value, str) else None
        if match is None:
            if isinstance(value, str) and value.strip().endswith("%"):
                raise InputError(Problem(shown(value), expected))
            quantity = read(value)
            return Change(0.0, quantity.value, quantity, True, quantity.text)
        sign = 1.0 if match[1] == "+" else -1.0
        text = f"{match[1]}{match[2].strip()}"
        if match[2].strip().endswith("%"):
            share = units.as_kind(match[2], "number").value
            if (sign < 0 and share >= 1) or share > 10 or share == 0:
                raise InputError(Problem(shown(value), f"{expected}, that leaves something"))
            return Change(1.0 + sign * share, 0.0, None, False, text)
        try:
            quantity = read(match[2])
        except InputError as error:
            raise InputError(Problem(shown(value), expected, nearest=error.problems[0].nearest)) from None
        return Change(1.0, sign * quantity.value, quantity, False, text)

    return parse


def _dose(value: object) -> Quantity:
    from pydantic import TypeAdapter

    quantity: Quantity = TypeAdapter(Dose).validate_python(value)
    return quantity


def _interval(value: object) -> Quantity:
    quantity = units.as_kind(value, "time")
    if not 0 < quantity.value <= fields.LONGEST:
        raise InputError(Problem(shown(value), "an interval above 0"))
    return quantity


class BetweenAction(Spec):
    """Between sessions: change dose or interval from now on, within bounds; repeat a step; or end the course."""

    do: Literal["repeat", "end_course"] | None = None
    dose: Annotated[Change | None, PlainValidator(_change(_dose, '"-25 %" or "+0.1 mg/kg"'))] = None
    step: Literal["up", "down"] | None = None
    interval: Annotated[Change | None, PlainValidator(_change(_interval, '"+7 d" or "+50 %"'))] = None
    up_to: fields.AnyQuantity | None = None
    down_to: fields.AnyQuantity | None = None

    @model_validator(mode="after")
    def _consistent(self) -> BetweenAction:
        fields.exactly_one(self, "do", "dose", "step", "interval")
        problems = []
        change = self.dose or self.interval
        for name in ("up_to", "down_to"):
            bound: Quantity | None = getattr(self, name)
            if bound is None:
                continue
            if change is None:
                problems.append(Problem(name, "a dose or an interval that it bounds", path=name))
                continue
            if self.interval is not None:
                legal = units.parse_unit("h").dimensions
                description = units.KINDS["time"][1]
            else:
                legal = change.quantity.unit.dimensions if change.quantity is not None else bound.unit.dimensions
                description = f"a dose as in dose: {change.text}"
                if change.quantity is None:
                    _dose(bound.text)
            if bound.unit.dimensions != legal or bound.value <= 0:
                problems.append(Problem(bound.text, description, path=name))
            upward = change.factor > 1 or (change.factor == 1 and change.added > 0)
            if not change.set_to and upward != (name == "up_to"):
                found = f"{name} with a change of {change.text}"
                problems.append(Problem(found, "up_to with a rise, down_to with a fall", path=name))
            if change.set_to:
                problems.append(Problem(f"{name} with a dose that is set", f"a change, or no {name}", path=name))
        falls = self.dose is not None and not self.dose.set_to and self.dose.factor == 1 and self.dose.added < 0
        if falls and change is not None and self.down_to is None:
            problems.append(Problem(f"{change.text} without down_to", "down_to, the lowest dose", path="down_to"))
        if self.interval is not None and (self.interval.set_to or self.interval.factor + self.interval.added <= 1):
            found = f"an interval of {self.interval.text}"
            problems.append(Problem(found, 'a longer one, such as interval: "+7 d"', path="interval"))
        if problems:
            raise InputError(problems)
        return self

    def __str__(self) -> str:
        if self.do is not None:
            return self.do.replace("_", " ")
        if self.step is not None:
            return f"one step {self.step}"
        change = self.dose or self.interval
        assert change is not None
        said = f"{'dose' if self.dose else 'interval'} {change.text}"
        for name, bound in (("up to", self.up_to), ("down to", self.down_to)):
            said += f", {name} {bound.text}" if bound is not None else ""
        return said


def _rest(spec: Spec) -> str:
    return " and ".join(sorted(spec.model_fields_set - {"do"}))


_BEFORE = BeforeValidator(_word("skip", "end_course", forms="{hold: 15 min} or {delay: 1 d}"))
_DURING = BeforeValidator(_word("stop", "end_course", forms="{rate: 50 %} or {pause: 10 min}"))
_BETWEEN = BeforeValidator(_word("repeat", "end_course", forms="{dose: -25 %}, {step: up} or {interval: +7 d}"))


class ClinicRule(Spec):
    """If a condition holds, then something is done."""

    condition: Condition = Field(alias="if")
    then: Spec


class BeforeRule(ClinicRule):
    """What is looked at when a session is due."""

    then: Annotated[BeforeAction, _BEFORE]


class DuringRule(ClinicRule):
    """What is looked at at every check of a session."""

    then: Annotated[DuringAction, _DURING]


class BetweenRule(ClinicRule):
    """What is looked at after a session, for the next ones."""

    then: Annotated[BetweenAction, _BETWEEN]


class DuringSession(Spec):
    """Checks while drug is given, ``every`` so often from the start of the session on."""

    every: fields.Duration
    rules: list[DuringRule] = []

    @model_validator(mode="after")
    def _size(self) -> DuringSession:
        if self.every.value < 1.0 / 60.0 - 1e-12:
            raise InputError(Problem(self.every.text, "a check every minute at most", path="every"))
        return self


def _every(clinic: Clinic) -> str:
    return f"every {clinic.during_session.every.text}" if clinic.during_session is not None else ""


class Clinic(Spec):
    """The rules of a clinic, and the ladder of doses that ``step`` goes up and down."""

    before_session: list[BeforeRule] = []
    during_session: DuringSession | None = None
    between_sessions: list[BetweenRule] = []
    ladder: list[Dose] | None = Field(default=None, min_length=2)

    @model_validator(mode="after")
    def _consistent(self) -> Clinic:
        problems = []
        for path, rule in self.rules():
            between = path.startswith("between")
            for place, leaf in rule.condition.leaves(f"{path}.if"):
                if between and leaf.metric is None:
                    expected = "a metric of the session before, such as metric: peak"
                    problems.append(Problem("nothing", expected, path=f"{place}.metric"))
                if not between and leaf.metric is not None:
                    found = f"metric {leaf.metric} at a check"
                    problems.append(
                        Problem(found, "no metric: a check sees the level of the moment", f"{place}.metric")
                    )
        for index, rule in enumerate(self.between_sessions):
            if rule.then.step is not None and self.ladder is None:
                expected = f"the doses that between_sessions[{index}] steps through, such as [28 mg, 56 mg, 84 mg]"
                problems.append(Problem("nothing", expected, path="ladder"))
        for index, (low, high) in enumerate(zip(self.ladder or [], (self.ladder or [])[1:], strict=False)):
            path = f"ladder[{index + 1}]"
            if low.unit.dimensions != high.unit.dimensions:
                problems.append(Problem(high.text, f"a dose as in {low.text}", path=path))
            elif high.value <= low.value:
                problems.append(Problem(f"{high.text} after {low.text}", "doses in rising order", path=path))
        if self.ladder is not None and not any(rule.then.step for rule in self.between_sessions):
            problems.append(Problem("a ladder without a step", "a rule with step: up or step: down", path="ladder"))
        if problems:
            raise InputError(problems)
        return self

    def said(self) -> list[str]:
        """The rules as sentences, in the order in which they are tried."""
        found = []
        for path, rule in self.rules():
            when = {"b": "Before a session", "d": f"At every check ({_every(self)})"}[path[0]]
            when = "After a session" if path.startswith("between") else when
            found.append(f"{when}: if {rule.condition}, then {rule.then}.")
        if self.ladder is not None:
            found.append(f"The ladder of doses: {', '.join(rung.text for rung in self.ladder)}.")
        return found

    def rules(self) -> Iterator[tuple[str, ClinicRule]]:
        """Every rule with its place."""
        for index, before in enumerate(self.before_session):
            yield f"before_session[{index}]", before
        if self.during_session is not None:
            for index, during in enumerate(self.during_session.rules):
                yield f"during_session.rules[{index}]", during
        for index, after in enumerate(self.between_sessions):
            yield f"between_sessions[{index}]", after
