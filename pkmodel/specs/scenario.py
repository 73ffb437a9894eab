"""A scenario file: arms, models, a population, and the monitoring rules that they are held against."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from pydantic import BeforeValidator, Field, PlainValidator, ValidationInfo, model_validator

from pkmodel import units
from pkmodel.errors import InputError, Problem, nearest, one_of, shown, unknown_name
from pkmodel.specs import fields, mark, shapes
from pkmodel.specs.effect_file import ANALYTES
from pkmodel.specs.loading import Spec, load
from pkmodel.specs.mark import Mark
from pkmodel.specs.variability import VariabilitySwitch
from pkmodel.units import Quantity

#: Metrics a rule may name, with the kind of quantity they yield; ``metrics.py`` registers the function.
METRICS: dict[str, str] = {
    "peak": "concentration",
    "time_of_peak": "time",
    "trough": "concentration",
    "auc": "exposure",
    "time_above": "time",
    "first_crossing": "time",
    "level_at": "concentration",
    "lowest": "concentration",
    "time_below": "time",
    "time_until_below": "time",
    "average": "concentration",
    "fluctuation": "number",
    "accumulation_ratio": "number",
}
ALIASES = {"cmax": "peak", "tmax": "time_of_peak", "cavg": "average"}
WITH_THRESHOLD = ("time_above", "time_below", "first_crossing", "time_until_below")
#: Metrics that belong to a session and have no meaning over a course or between sessions.
OF_SESSION = ("trough", "level_at", "fluctuation", "accumulation_ratio")
#: Kinds of metrics that are not counted in the unit of their output.
UNITLESS = ("time", "number")


@shapes.takes(shapes.words(*METRICS, *ALIASES))
def metric_name(value: object) -> str:
    """The registered name of a metric. Raises InputError with the nearest one."""
    if isinstance(value, str) and (name := ALIASES.get(value, value)) in METRICS:
        return name
    raise InputError(
        Problem(f"the metric {shown(value)}", one_of([*METRICS]), nearest=nearest(value, [*METRICS, *ALIASES]))
    )


MetricField = Annotated[str, PlainValidator(metric_name)]


@dataclass(frozen=True)
class Window:
    """The part of a course that a rule looks at. Sessions count from 1, both ends included; times in hours."""

    kind: Literal["each", "worst", "sessions", "between", "course", "absolute"]
    first: int = 0
    last: int = 0
    start: float = 0.0
    end: float = 0.0

    def __str__(self) -> str:
        match self.kind:
            case "each":
                return "each session"
            case "worst":
                return "worst session"
            case "sessions":
                return f"session {self.first}" if self.first == self.last else f"sessions {self.first}-{self.last}"
            case "between":
                return "between sessions"
            case "course":
                return "course"
        return f"{self.start:g}-{self.end:g} h"


_NAMED: dict[str, Window] = {
    "each session": Window("each"),
    "worst session": Window("worst"),
    "between sessions": Window("between"),
    "course": Window("course"),
}
_WINDOWS = 'one of "each session", "worst session", "between sessions", "course", {session: 3}, '
_WINDOWS += "{sessions: [8, 12]}, {from: 0 h, to: 96 h}"


_COUNT = {"type": "integer", "minimum": 1}
_TIME = shapes.quantity(units.KINDS["time"][1])
_WINDOW_SCHEMA = {
    "anyOf": [
        shapes.words(*_NAMED),
        {"type": "string", "pattern": r"^session:? [1-9]\d{0,4}$"},
        {"type": "object", "properties": {"session": _COUNT}, "required": ["session"], "additionalProperties": False},
        {
            "type": "object",
            "properties": {"sessions": {"type": "array", "items": _COUNT, "minItems": 2, "maxItems": 2}},
            "required": ["sessions"],
            "additionalProperties": False,
        },
        {
            "type": "object",
            "properties": {"from": _TIME, "to": _TIME},
            "required": ["from", "to"],
            "additionalProperties": False,
        },
    ],
    "description": _WINDOWS,
}


@shapes.takes(_WINDOW_SCHEMA)
def _window(value: object) -> Window:
    if isinstance(value, Window):
        return value
    if isinstance(value, str):
        if value in _NAMED:
            return _NAMED[value]
        if match := re.fullmatch(r"session:? ([1-9]\d{0,4})", value):
            return Window("sessions", int(match[1]), int(match[1]))
        raise InputError(Problem(f"the window {shown(value)}", _WINDOWS, nearest=nearest(value, _NAMED)))
    if isinstance(value, dict) and set(value) == {"session"} and _session(value["session"]):
        return Window("sessions", value["session"], value["session"])
    if isinstance(value, dict) and set(value) == {"sessions"}:
        ends = value["sessions"]
        if isinstance(ends, list) and len(ends) == 2 and all(_session(end) for end in ends) and ends[0] <= ends[1]:
            return Window("sessions", ends[0], ends[1])
        raise InputError(Problem(shown(ends), "the first and the last session, such as [8, 12]", path="sessions"))
    if isinstance(value, dict) and set(value) == {"from", "to"}:
        start, end = (units.as_kind(value[side], "time").value for side in ("from", "to"))
        if not 0 <= start < end <= fields.LONGEST:
            raise InputError(
                Problem(f"{value['from']} to {value['to']}", "a start below the end, from 0 h to 100 years")
            )
        return Window("absolute", start=start, end=end)
    raise InputError(Problem(f"the window {shown(value)}", _WINDOWS))


def _session(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 99999


WindowField = Annotated[Window, PlainValidator(_window)]


@dataclass(frozen=True)
class Moment:
    """A time in every session: ``delay`` hours after its start or its end."""

    delay: float
    anchor: Literal["start", "end"]
    text: str

    def __str__(self) -> str:
        return self.text


_MOMENT = re.compile(r"(.+?)\s+after\s+(?:the\s+)?(session[ _]start|session[ _]end|last device|start|end)")


@shapes.takes(
    {"type": "string", "description": 'a moment such as "2 h after session_end" or "40 min after session_start"'}
)
def _moment(value: object) -> Moment:
    if isinstance(value, Moment):
        return value
    match = _MOMENT.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise InputError(
            Problem(shown(value), 'a moment such as "2 h after session_end" or "40 min after session_start"')
        )
    delay = units.as_kind(match[1], "time")
    if delay.value < 0:
        raise InputError(Problem(shown(value), "a time of at least 0"))
    anchor: Literal["start", "end"] = "start" if "start" in match[2] else "end"
    return Moment(delay.value, anchor, f"{delay.text} after session_{anchor}")


def is_level(output: str) -> bool:
    """Whether a name is that of a level, whatever the model; other names are looked up in it."""
    return output in (*ANALYTES, "parent", "metabolite")


@shapes.takes(shapes.quantity('a threshold such as "150 ng/mL"', plain=True, signed=True))
def _threshold(value: object, info: ValidationInfo) -> Quantity:
    if is_level(info.data.get("output", "parent")):
        quantity = units.as_kind(value, "concentration")
        if quantity.value <= 0:
            raise InputError(Problem(shown(value), f"{units.KINDS['concentration'][1]}, above 0"))
        return quantity
    return units.parse(value, allow_plain=True)


MomentField = Annotated[Moment, PlainValidator(_moment)]


class Rule(Spec):
    """A monitoring rule: a metric, a limit, and the share of patients who must keep it."""

    id: fields.Name
    metric: MetricField
    output: str = "parent"
    window: WindowField = _NAMED["worst session"]
    threshold: Annotated[Quantity | None, PlainValidator(_threshold)] = None
    at: MomentField | None = None
    at_most: fields.AnyQuantity | None = None
    at_least: fields.AnyQuantity | None = None
    share: fields.Share = Field(alias="in")
    title: str | None = None
    severity: Literal["info", "minor", "major", "critical"] | None = None
    """How much it matters that the rule is broken; it changes no verdict."""
    sampling: fields.Sampling | None = None
    """The site of the samples that the limit was taken from, where it is known."""
    source: Annotated[fields.Citation | None, BeforeValidator(fields.text_as_citation)] = None

    @model_validator(mode="after")
    def _consistent(self) -> Rule:
        fields.exactly_one(self, "at_most", "at_least")
        problems = []
        kind = METRICS[self.metric]
        side = "at_most" if self.at_most is not None else "at_least"
        unit, description = units.KINDS[kind]
        if kind not in UNITLESS and not is_level(self.output):
            pass  # its unit is that of the model's output or effect: specs.rule_checks
        elif self.limit.unit.dimensions != units.parse_unit(unit).dimensions:
            bare = "" if self.limit.unit.text else " without a unit"
            problems.append(Problem(self.limit.text + bare, description, path=side))
        elif self.limit.value < 0:
            problems.append(Problem(self.limit.text, "a limit of at least 0", path=side))
        if (self.metric in WITH_THRESHOLD) != (self.threshold is not None):
            found = "nothing" if self.threshold is None else self.threshold.text
            expected = f"a threshold for {self.metric}" if self.threshold is None else f"no threshold for {self.metric}"
            problems.append(Problem(found, expected, path="threshold"))
        if (self.metric == "level_at") != (self.at is not None):
            found = "nothing" if self.at is None else str(self.at)
            expected = 'when, such as at: "2 h after session_end"' if self.at is None else f"no `at` for {self.metric}"
            problems.append(Problem(found, expected, path="at"))
        if self.metric in OF_SESSION and self.window.kind in ("between", "course", "absolute"):
            problems.append(Problem(str(self.window), f"a window of sessions for {self.metric}", path="window"))
        if problems:
            raise InputError(problems)
        return self

    @property
    def limit(self) -> Quantity:
        """The limit, whichever side it is on."""
        found = self.at_most if self.at_most is not None else self.at_least
        assert found is not None
        return found

    @property
    def upper(self) -> bool:
        """Whether the limit is an upper one."""
        return self.at_most is not None


_DRUGS: tuple[str, ...] = get_args(fields.Drug)


@shapes.takes(
    {
        "anyOf": [
            {"type": "string"},
            {
                "type": "object",
                "properties": {drug: {"type": "string"} for drug in _DRUGS},
                "additionalProperties": False,
                "minProperties": 1,
            },
        ]
    }
)
def _models_of_arm(value: object) -> str | dict[str, str]:
    """The name of a model, or one for each drug of the protocol."""
    if isinstance(value, str):
        return value
    if not isinstance(value, dict) or not value:
        expected = "the name of a model, or one for each drug, such as {ketamine: ..., esketamine: ...}"
        raise InputError(Problem(shown(value), expected))
    problems = []
    for drug, name in value.items():
        if drug not in _DRUGS:
            problems.append(Problem(shown(drug), one_of(_DRUGS), path=str(drug), nearest=nearest(drug, _DRUGS)))
        elif not isinstance(name, str):
            problems.append(Problem(shown(name), "the name of a model", path=str(drug)))
    if problems:
        raise InputError(problems)
    return value


class Arm(Spec):
    """One protocol of the comparison.

    ``model`` may be a mapping from drug to model where the protocol gives several drugs: the sessions of each drug are
    then an arm of their own, named ``arm (drug)``.
    """

    protocol: fields.NameOrMapping
    model: Annotated[str | dict[str, str] | None, PlainValidator(_models_of_arm)] = None
    drug: Literal["match", "own", "half"] = "match"


@shapes.takes(shapes.quantity('a time such as "4 h after each session start"'))
def _observed_for(value: object) -> Quantity:
    text = value
    if isinstance(value, str):
        text = re.sub(r"\s+after\s+(each\s+)?session[ _]start\s*$", "", value)
        if "after" in text:
            raise InputError(Problem(shown(value), 'a time such as "4 h after each session start"'))
    quantity = units.as_kind(text, "time")
    if quantity.value <= 0:
        raise InputError(Problem(shown(value), 'a time such as "4 h after each session start"'))
    return quantity


class Observe(Spec):
    """The grid of bands and pictures; metrics are exact between its points."""

    every: fields.Duration
    span: Annotated[Quantity, PlainValidator(_observed_for)] = Field(alias="for")

    @model_validator(mode="after")
    def _size(self) -> Observe:
        if self.every.value > self.span.value:
            raise InputError(Problem(f"every {self.every.text} for {self.span.text}", "a step below the span"))
        if self.span.value / self.every.value > 20_000:
            raise InputError(
                Problem(f"every {self.every.text} for {self.span.text}", "at most 20,000 points a session")
            )
        return self


class Compare(Spec):
    """Which metrics are put side by side, against which arm."""

    reference: str
    metrics: list[MetricField] = Field(min_length=1)
    output: str = "parent"
    window: WindowField = _NAMED["worst session"]


@shapes.short_form({"type": "string", "description": "the name of a shipped rule, or the path of its file"})
def _named_rule(value: object) -> object:
    """The rule of a file, where a scenario names one."""
    return load("rules", value, Rule)[0] if isinstance(value, str) else value


class ScenarioSpec(Spec):
    """A scenario file, checked as far as it can be without its protocols, models and population."""

    title: str = Field(min_length=1)
    question: str = ""
    context_of_use: str = "research and teaching; not for patient care"
    arms: dict[fields.Name, Arm] = Field(min_length=1)
    model: str | None = None
    models: list[str] | None = None
    effects: list[str] = []
    population: fields.NameOrMapping
    n: Annotated[int, Field(ge=1, le=100_000_000)] = 1000
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1
    variability: VariabilitySwitch = VariabilitySwitch()
    observe: Observe
    rules: list[Annotated[Rule, BeforeValidator(_named_rule)]] = []
    compare: Compare | None = None
    marks: list[Mark] = []
    source: Annotated[fields.Citation | None, BeforeValidator(fields.text_as_citation)] = None
    notes: list[str] = []

    @model_validator(mode="after")
    def _consistent(self) -> ScenarioSpec:
        problems = []
        if self.model is not None and self.models is not None:
            problems.append(Problem("model and models", "one of them", path="models"))
        for index, name in enumerate(self.models or []):
            if name in (self.models or [])[:index]:
                problems.append(Problem(f"{name} a second time", "each model once", path=f"models[{index}]"))
        if self.models is not None and not self.models:
            problems.append(Problem("an empty list", "at least one model", path="models"))
        if self.model is None and self.models is None:
            for name, arm in self.arms.items():
                if arm.model is None:
                    problems.append(Problem("nothing", "a model, here or for the whole scenario", f"arms.{name}.model"))
        for index, name in enumerate(self.effects):
            if name in self.effects[:index]:
                problems.append(Problem(f"{name} a second time", "each effect once", path=f"effects[{index}]"))
        if not self.rules and self.compare is None:
            problems.append(Problem("nothing to judge", "at least one rule, or compare", path="rules"))
        seen: set[str] = set()
        for index, rule in enumerate(self.rules):
            if rule.id in seen:
                problems.append(Problem(f"the id {rule.id} a second time", "each id once", path=f"rules[{index}].id"))
            seen.add(rule.id)
        problems += mark.problems(self.marks, self.arms, self.observe.span)
        if self.compare is not None:
            problems += self._comparison()
        if problems:
            raise InputError(problems)
        return self

    def _comparison(self) -> list[Problem]:
        assert self.compare is not None
        problems = []
        for metric in self.compare.metrics:
            if metric in OF_SESSION and self.compare.window.kind in ("between", "course", "absolute"):
                found = f"{metric} over the window {self.compare.window}"
                problems.append(Problem(found, f"a window of sessions for {metric}", path="compare.window"))
        if self.compare.reference not in self.arms:
            problems.append(unknown_name("an arm", self.compare.reference, self.arms, path="compare.reference"))
        for index, metric in enumerate(self.compare.metrics):
            if metric in (*WITH_THRESHOLD, "level_at") and not any(rule.metric == metric for rule in self.rules):
                path = f"compare.metrics[{index}]"
                problems.append(Problem(metric, "a rule that gives this metric its threshold or moment", path=path))
        return problems
