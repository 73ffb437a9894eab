"""A monitoring rule: a metric, a limit, and the share of patients who must keep it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, PlainValidator, ValidationInfo, model_validator

from pkmodel import units
from pkmodel.errors import InputError, Problem, shown
from pkmodel.specs import fields, shapes
from pkmodel.specs.loading import Spec, load
from pkmodel.specs.metric import METRICS, OF_SESSION, UNITLESS, WITH_THRESHOLD, MetricField, is_level
from pkmodel.specs.window import WORST, Moment, MomentField, WindowField
from pkmodel.units import Quantity


@shapes.takes(shapes.quantity('a threshold such as "150 ng/mL"', plain=True, signed=True))
def _threshold(value: object, info: ValidationInfo) -> Quantity:
    if is_level(info.data.get("output", "parent")):
        quantity = units.as_kind(value, "concentration")
        if quantity.value <= 0:
            raise InputError(Problem(shown(value), f"{units.KINDS['concentration'][1]}, above 0"))
        return quantity
    return units.parse(value, allow_plain=True)


class Rule(Spec):
    """A monitoring rule: a metric, a limit, and the share of patients who must keep it."""

    id: fields.Name
    metric: MetricField
    output: str = "parent"
    window: WindowField = WORST
    threshold: Annotated[Quantity | None, PlainValidator(_threshold)] = None
    up_to: Annotated[Quantity | None, PlainValidator(_threshold)] = None
    """The upper end of what ``time_between`` counts, above the threshold."""
    at: MomentField | None = None
    observed_for: fields.Time | None = None
    """How long a patient stays after the last dose of a session, at least."""
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
        if (self.metric == "time_between") != (self.up_to is not None):
            found = "nothing" if self.up_to is None else self.up_to.text
            expected = 'the upper end, such as up_to: "250 ng/mL"' if self.up_to is None else "time_between, for up_to"
            problems.append(Problem(found, expected, path="up_to"))
        elif self.up_to is not None and self.threshold is not None:
            # Of another kind than the threshold: specs.rule_checks, which knows what an effect is counted in.
            same = self.up_to.unit.dimensions == self.threshold.unit.dimensions
            if same and self.up_to.value <= self.threshold.value:
                problems.append(Problem(self.up_to.text, f"more than the threshold, {self.threshold.text}", "up_to"))
        if (self.metric == "level_at") != (self.at is not None):
            found = "nothing" if self.at is None else str(self.at)
            expected = 'when, such as at: "2 h after session_end"' if self.at is None else f"no `at` for {self.metric}"
            problems.append(Problem(found, expected, path="at"))
        if (self.metric == "level_at_discharge") != (self.observed_for is not None):
            found = "nothing" if self.observed_for is None else self.observed_for.text
            expected = f"no `observed_for` for {self.metric}"
            if self.observed_for is None:
                expected = 'how long a patient stays after the last dose, such as observed_for: "2 h"'
            problems.append(Problem(found, expected, path="observed_for"))
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
    def moment(self) -> Moment | None:
        """When the level is looked at, of a metric of one moment."""
        if self.at is None and self.observed_for is not None:
            return Moment(self.observed_for.value, "end", f"{self.observed_for.text} after session_end")
        return self.at

    @property
    def bounds(self) -> str:
        """The threshold in words, or between what and what a level counts; empty where there is none."""
        if self.threshold is None:
            return ""
        return self.threshold.text if self.up_to is None else f"{self.threshold.text} and {self.up_to.text}"

    @property
    def upper(self) -> bool:
        """Whether the limit is an upper one."""
        return self.at_most is not None


@shapes.short_form({"type": "string", "description": "the name of a shipped rule, or the path of its file"})
def named_rule(value: object) -> object:
    """The rule of a file, where a scenario names one."""
    return load("rules", value, Rule)[0] if isinstance(value, str) else value
