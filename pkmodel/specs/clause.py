"""What a patient keeps or not: a metric and its limit, or several such clauses together.

{metric: peak, at_most: 250 ng/mL}
{all: [{metric: peak, at_most: 250 ng/mL}, {metric: time_above, threshold: 100 ng/mL, at_least: 20 min}]}
{metric: total_dose, window: course, at_most: 400 mg}
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, PlainValidator, ValidationInfo, model_validator

from pkmodel import units
from pkmodel.errors import InputError, Problem, shown
from pkmodel.specs import fields, shapes
from pkmodel.specs.asked import Bound, criterion
from pkmodel.specs.loading import Spec
from pkmodel.specs.metric import (
    METRICS,
    OF_SESSION,
    TAKEN,
    UNITLESS,
    WITH_THRESHOLD,
    is_level,
    kind_of,
    rule_metric,
)
from pkmodel.specs.prices import price
from pkmodel.specs.window import COURSE, WORST, Moment, MomentField, Window, WindowField
from pkmodel.units import Quantity

How = Literal["all", "any", "not"]
#: What joins clauses, and how deep clauses may lie in one another.
JOINS: tuple[How, ...] = ("all", "any", "not")
DEPTH = 4
#: The window of a joined rule whose clauses look at several.
COMBINED = "combined"
#: Metrics that may be taken relative to what an effect is without drug.
RELATIVE = ("peak", "lowest", "trough", "level_at", "level_at_discharge", "average")
#: Metrics that say how long a patient stays.
STAYS = ("level_at_discharge", "clinic_hours", "cost")


@shapes.takes(shapes.quantity('a threshold such as "150 ng/mL"', plain=True, signed=True))
def _threshold(value: object, info: ValidationInfo) -> Quantity:
    if is_level(info.data.get("output", "parent")):
        quantity = units.as_kind(value, "concentration")
        if quantity.value <= 0:
            raise InputError(Problem(shown(value), f"{units.KINDS['concentration'][1]}, above 0"))
        return quantity
    return units.parse(value, allow_plain=True)


@shapes.takes(shapes.quantity('a limit such as "250 ng/mL", "30 min", "400 mg" or "500 EUR"', plain=True, signed=True))
def _limit(value: object, info: ValidationInfo) -> Quantity:
    return price(value) if info.data.get("metric") == "cost" else units.parse(value, allow_plain=True)


LimitField = Annotated[Quantity | None, PlainValidator(_limit)]
ThresholdField = Annotated[Quantity | None, PlainValidator(_threshold)]


def _output(data: dict[str, Any]) -> str:
    return "parent" if data.get("metric") in METRICS else ""


def _window(data: dict[str, Any]) -> Window:
    return COURSE if data.get("metric") in TAKEN else WORST


class Clause(Spec):
    """What a patient keeps or not: a metric and its limit, or ``all``, ``any`` or ``not`` of other clauses."""

    metric: Annotated[str, PlainValidator(rule_metric)] = ""
    output: str = Field(default_factory=_output)
    window: WindowField = Field(default_factory=_window)
    threshold: ThresholdField = None
    up_to: ThresholdField = None
    """The upper end of what ``time_between`` counts, above the threshold."""
    at: MomentField | None = None
    observed_for: fields.Time | None = None
    """How long a patient stays after the last dose of a session, at least."""
    discharge: Annotated[Bound | None, PlainValidator(criterion)] = None
    """And until which level has been left for good."""
    relative_to: Literal["baseline"] | None = None
    at_most: LimitField = None
    at_least: LimitField = None
    all: list[Clause] | None = Field(default=None, min_length=1)
    any: list[Clause] | None = Field(default=None, min_length=1)
    not_: Clause | None = Field(default=None, alias="not")

    @model_validator(mode="after")
    def _one_form(self) -> Clause:
        if self.joined is not None:
            self._joins()
            return self
        if not self.metric:
            raise InputError(Problem("nothing", "the key metric, or all, any or not of several", path="metric"))
        fields.exactly_one(self, "at_most", "at_least")
        problems = [*self._limits(), *self._needs()]
        if self.metric in OF_SESSION and self.window.kind in ("between", "course", "absolute"):
            problems.append(Problem(str(self.window), f"a window of sessions for {self.metric}", path="window"))
        if self.metric in TAKEN and self.window.kind in ("between", "absolute"):
            expected = f"sessions or the course for {self.metric}, which is counted by sessions"
            problems.append(Problem(str(self.window), expected, path="window"))
        if problems:
            raise InputError(problems)
        return self

    def _joins(self) -> None:
        """Raise InputError where a clause that joins others has something besides, or joins what cannot be."""
        own = [name for name in Clause.model_fields if name in self.model_fields_set]
        if len(own) != 1:
            named = [name.rstrip("_") for name in own]
            odd = [name for name in named if name not in JOINS] or named[1:]
            expected = f"{self.joined} alone, with the rest inside of it"
            raise InputError(Problem(" and ".join(named), expected, path=odd[0]))
        problems = []
        for path, leaf in self.leaves():
            if leaf.window.kind == "each":
                expected = 'one answer for each patient, such as window: "worst session"'
                problems.append(Problem(f"each session inside of {self.joined}", expected, path=f"{path}.window"))
        if self.depth > DEPTH:
            problems.append(Problem(f"clauses {self.depth} deep", f"at most {DEPTH}", path=str(self.joined)))
        if problems:
            raise InputError(problems)

    def _limits(self) -> list[Problem]:
        kind, side = kind_of(self.metric), "at_most" if self.at_most is not None else "at_least"
        if kind == "cost":
            below = self.limit.value < 0
            return [Problem(self.limit.text, "a price of at least 0", path=side)] if below else []
        unit, description = units.KINDS[kind]
        if self.relative_to is not None:
            return self._relative()
        if self.metric in METRICS and kind not in UNITLESS and not is_level(self.output):
            return []  # its unit is that of the model's output or effect: specs.rule_checks
        if self.limit.unit.dimensions != units.parse_unit(unit).dimensions:
            bare = "" if self.limit.unit.text else " without a unit"
            return [Problem(self.limit.text + bare, description, path=side)]
        return [Problem(self.limit.text, "a limit of at least 0", path=side)] if self.limit.value < 0 else []

    def _relative(self) -> list[Problem]:
        if self.metric not in RELATIVE:
            found = f"{self.metric} relative to the baseline"
            return [Problem(found, f"one of {', '.join(RELATIVE)} of an effect", path="relative_to")]
        if is_level(self.output):
            found = f"{self.output}, a level, which is 0 before the first dose"
            return [Problem(found, "an effect whose value without drug is not 0", path="relative_to")]
        return []

    def _needs(self) -> list[Problem]:
        """What a metric needs and has not, or has and cannot use."""
        problems = []
        if self.metric in TAKEN and "output" in self.model_fields_set:
            problems.append(Problem(self.output, f"no output for {self.metric}, which is of the course", path="output"))
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
        if self.observed_for is None and self.metric in ("level_at_discharge", "clinic_hours"):
            expected = 'how long a patient stays after the last dose, such as observed_for: "2 h"'
            problems.append(Problem("nothing", expected, path="observed_for"))
        elif self.observed_for is not None and self.metric not in STAYS:
            expected = f"no `observed_for` for {self.metric}"
            problems.append(Problem(self.observed_for.text, expected, path="observed_for"))
        if self.discharge is not None and self.metric == "level_at_discharge":
            expected = "observed_for alone: whoever waits for a criterion leaves with just that level; or clinic_hours"
            problems.append(Problem(str(self.discharge), expected, path="discharge"))
        elif self.discharge is not None and self.metric not in STAYS:
            problems.append(Problem(str(self.discharge), f"no `discharge` for {self.metric}", path="discharge"))
        return problems

    @property
    def joined(self) -> How | None:
        """How it joins other clauses; None where it is a metric with a limit."""
        return next((how for how in JOINS if self._joined(how)), None)

    def _joined(self, how: How) -> list[Clause]:
        if how == "not":
            return [] if self.not_ is None else [self.not_]
        return getattr(self, how) or []

    @property
    def clauses(self) -> list[Clause]:
        """The clauses that it joins."""
        return [clause for how in JOINS for clause in self._joined(how)]

    def leaves(self, path: str = "") -> Iterator[tuple[str, Clause]]:
        """Every metric with its limit, itself if it is one, with its place such as ``all[0].not``."""
        how = self.joined
        if how is None:
            yield path, self
            return
        for index, clause in enumerate(self.clauses):
            place = how if how == "not" else f"{how}[{index}]"
            yield from clause.leaves(f"{path}.{place}" if path else place)

    @property
    def tests(self) -> list[Clause]:
        """Every metric with its limit, itself if it is one."""
        return [leaf for _, leaf in self.leaves()]

    @property
    def depth(self) -> int:
        """How deep clauses lie in one another; 0 of a metric with a limit."""
        return 1 + max(clause.depth for clause in self.clauses) if self.joined else 0

    @property
    def outputs(self) -> list[str]:
        """The outputs and effects that are looked at, as they are written."""
        found = [leaf.output for leaf in self.tests if leaf.output]
        found += [leaf.discharge.output for leaf in self.tests if leaf.discharge is not None]
        return list(dict.fromkeys(found))

    @property
    def named(self) -> str:
        """The metric, or how clauses are joined, as tables say it."""
        return self.joined or self.metric

    @property
    def over(self) -> str:
        """The window in words: the one that all clauses share, or that they have several."""
        windows = {str(leaf.window) for leaf in self.tests}
        return windows.pop() if len(windows) == 1 else COMBINED

    @property
    def limit(self) -> Quantity:
        """The limit of a metric, whichever side it is on."""
        found = self.at_most if self.at_most is not None else self.at_least
        assert found is not None
        return found

    @property
    def upper(self) -> bool:
        """Whether the limit is an upper one."""
        return self.at_most is not None

    @property
    def of_baseline(self) -> Literal["share", "change"] | None:
        """Whether a metric is a share of the baseline or a change from it, which the unit of the limit says."""
        if self.relative_to is None:
            return None
        return "share" if not self.limit.unit.dimensions else "change"

    @property
    def moment(self) -> Moment | None:
        """When the level is looked at, of a metric of one moment."""
        if self.metric == "level_at_discharge" and self.observed_for is not None:
            return Moment(self.observed_for.value, "end", f"{self.observed_for.text} after session_end")
        return self.at

    @property
    def bounds(self) -> str:
        """The threshold in words, or between what and what a level counts; empty where there is none."""
        if self.threshold is None:
            return ""
        return self.threshold.text if self.up_to is None else f"{self.threshold.text} and {self.up_to.text}"

    @property
    def stay(self) -> str:
        """How long a patient stays, in words; empty where it is not said."""
        if self.observed_for is None:
            return ""
        until = "" if self.discharge is None else f" and until {self.discharge}"
        return f"observed for {self.observed_for.text}{until}"
