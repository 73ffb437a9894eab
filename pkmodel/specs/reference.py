"""A reference file: figures that a publication printed, and how they came about, so that models can be held to them.

id: hijazi2003
title: Ketamine infusion in intensive care
source: {citation: ..., doi: ..., evidence: primary}
own: [ketamine_hijazi2003]                 # models that were fitted to these data: their rows are verification
settings:
  icu:
    what: infusion, patients with brain or spinal injury
    protocol: {title: ..., drug: ketamine, route: iv, phases: [...]}
    patient: {weight: 70 kg, age: 40 y}    # the typical patient
    people: {...}                          # their spread, where it is known; a population file's keys
    figures:
      - {quantity: clearance, metric: clearance, published: 36.0 mL/min/kg, sd: 13.3 mL/min/kg, role: must_reproduce}
not_compared:
  - {quantity: ..., published: ..., reason: ...}
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainValidator, model_validator

from pkmodel import units
from pkmodel.errors import InputError, Problem, shown
from pkmodel.specs import fields
from pkmodel.specs.expressions import ExpressionField
from pkmodel.specs.loading import Spec
from pkmodel.specs.population import PopulationSpec
from pkmodel.specs.shapes import quantity, takes
from pkmodel.units import Quantity

_CONCENTRATION = {"mass": 1.0, "volume": -1.0}
_TIME = {"time": 1.0}
#: Dimensions of a metric's value; a molar value is turned into mass first, one per body weight multiplied by it.
METRICS: dict[str, dict[str, float]] = {
    "peak": _CONCENTRATION,
    "time_of_peak": _TIME,
    "auc": {**_CONCENTRATION, "time": 1.0},
    "level_at": _CONCENTRATION,
    "time_above": _TIME,
    "half_life": _TIME,
    "clearance": {"volume": 1.0, "time": -1.0},
    "volume_steady_state": {"volume": 1.0},
    "volume_terminal": {"volume": 1.0},
    "bioavailability": {},
    "value": {},
}
#: Figures of the system itself, whatever was dosed.
OF_DISPOSITION = ("half_life", "clearance", "volume_steady_state", "volume_terminal")
#: g/mol of the free bases; both enantiomers weigh the same.
MOLAR_MASS = {
    **dict.fromkeys(("ketamine", "esketamine", "arketamine"), 237.73),
    **dict.fromkeys(("norketamine", "noresketamine", "arnorketamine"), 223.70),
    "hydroxynorketamine": 239.70,
}


@takes(
    {
        "anyOf": [
            quantity('a figure such as "355 ng/mL"', plain=True, signed=True),
            {
                "type": "array",
                "items": quantity('a figure such as "355 ng/mL"', plain=True, signed=True),
                "minItems": 1,
                "maxItems": 2,
            },
        ]
    }
)
def _one_or_range(value: object) -> tuple[Quantity, ...]:
    """``355 ng/mL``, or a range ``[100 ng/mL, 250 ng/mL]``."""
    if isinstance(value, tuple):
        return value
    parts = value if isinstance(value, list) else [value]
    if len(parts) not in (1, 2):
        raise InputError(Problem(shown(value), "a quantity, or [lowest, highest]"))
    found = tuple(units.parse(part, allow_plain=True) for part in parts)
    if len(found) == 2 and (found[0].unit.dimensions != found[1].unit.dimensions or found[0].value >= found[1].value):
        raise InputError(Problem(shown(value), "a lowest value below the highest, in one unit"))
    return found


OneOrRange = Annotated[tuple[Quantity, ...], PlainValidator(_one_or_range)]


class Expected(Spec):
    """A known disagreement: the difference of a model in percent, and why."""

    percent: float
    within: float = Field(default=2.0, gt=0)
    reason: str = Field(min_length=10)


class Figure(Spec):
    """One published number."""

    quantity: str = Field(min_length=3)
    metric: Literal[
        "peak",
        "time_of_peak",
        "auc",
        "level_at",
        "time_above",
        "half_life",
        "clearance",
        "volume_steady_state",
        "volume_terminal",
        "bioavailability",
        "value",
    ]
    output: str = "parent"
    statistic: Literal["mean", "median", "geometric_mean", "typical", "share_below"] = "mean"
    published: OneOrRange
    sd: fields.AnyQuantity | None = None
    geometric_sd: float | None = Field(default=None, ge=1)
    interval: OneOrRange | None = None
    spread: str | None = None
    role: Literal["must_reproduce", "compare"] = "compare"
    evidence: fields.Evidence | None = None
    at: fields.Time | None = None
    until: fields.Duration | None = None
    since: Literal["course", "last_dose"] = "course"
    threshold: fields.Concentration | None = None
    formula: ExpressionField | None = None
    expected: dict[str, Expected] = {}
    note: str | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Figure:
        problems = []
        needs = {
            "at": self.metric == "level_at",
            "threshold": self.metric == "time_above" or self.statistic == "share_below",
            "formula": self.metric == "value",
        }
        for name, needed in needs.items():
            if needed != (getattr(self, name) is not None):
                wanted = f"`{name}` for {self.metric}" if needed else f"no `{name}` for {self.metric}"
                problems.append(Problem("nothing" if needed else name, wanted, path=name))
        if self.statistic == "share_below" and self.metric != "level_at":
            problems.append(Problem(self.metric, "level_at, for the share below a threshold", path="metric"))
        expected: dict[str, float] = {} if self.statistic == "share_below" else METRICS[self.metric]
        if self.metric != "value":
            for name in ("published", "sd", "interval"):
                for value in _several(getattr(self, name)):
                    if massive(value, None)[1] != expected:
                        problems.append(Problem(value.text, f"a value of {self.metric}", path=name))
        if problems:
            raise InputError(problems)
        return self


def _several(value: Any) -> tuple[Quantity, ...]:
    return () if value is None else value if isinstance(value, tuple) else (value,)


def massive(value: Quantity, analyte: str | None) -> tuple[float, dict[str, float]]:
    """A quantity in base units and its dimensions, an amount of substance of ``analyte`` as its mass.

    One per kilogram of body weight keeps its number; its dimensions are without the body weight.
    Raises InputError for an amount of substance of an analyte without a known molar mass.
    """
    powers = dict(value.unit.dimensions)
    powers.pop("body_weight", None)
    number = value.value
    if powers.pop("substance", None):
        powers["mass"] = 1.0
        if analyte is not None:
            if analyte not in MOLAR_MASS:
                raise InputError(Problem(value.text, f"a mass: no molar mass of {analyte} is known"))
            number *= MOLAR_MASS[analyte] * 1e-6  # nmol x g/mol = ng; in mg
    return number, powers


class Setting(Spec):
    """One way in which people were dosed and sampled, and what was found."""

    what: str = Field(min_length=3)
    protocol: fields.NameOrMapping
    drug: Literal["match", "own", "half"] = "match"
    patient: dict[str, Any]
    people: PopulationSpec | None = None
    n: int | None = Field(default=None, gt=0)
    sampling: Literal["venous", "arterial"] | None = None
    first_sample: fields.Duration | None = None
    models: Literal["all", "own", "others"] = "all"
    not_for: dict[str, str] = {}
    assumed: list[str] = []
    figures: list[Figure] = Field(min_length=1)


class NotCompared(Spec):
    """A published number that no simulation here can be held against, and why."""

    quantity: str = Field(min_length=3)
    published: str
    reason: str = Field(min_length=10)


class ReferenceSpec(Spec):
    """A reference file, checked as far as it can be without the models."""

    id: fields.Name
    title: str = Field(min_length=3)
    source: Annotated[fields.Citation, BeforeValidator(fields.text_as_citation)]
    own: list[str] = []
    settings: dict[fields.Name, Setting] = {}
    not_compared: list[NotCompared] = []
    notes: list[str] = []

    @model_validator(mode="after")
    def _something(self) -> ReferenceSpec:
        if not self.settings and not self.not_compared:
            raise InputError(Problem("nothing", "settings, or what is not compared", path="settings"))
        return self
