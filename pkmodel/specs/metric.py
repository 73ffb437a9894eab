"""The names of metrics that files may use, and what each of them needs; ``metrics.py`` says how they are computed."""

from __future__ import annotations

from typing import Annotated

from pydantic import PlainValidator

from pkmodel.errors import InputError, Problem, nearest, one_of, shown
from pkmodel.specs import shapes
from pkmodel.specs.effect_file import ANALYTES

#: Metrics a rule may name, with the kind of quantity they yield; ``metrics.py`` registers the function.
METRICS: dict[str, str] = {
    "peak": "concentration",
    "time_of_peak": "time",
    "trough": "concentration",
    "auc": "exposure",
    "time_above": "time",
    "time_between": "time",
    "first_crossing": "time",
    "level_at": "concentration",
    "level_at_discharge": "concentration",
    "lowest": "concentration",
    "time_below": "time",
    "time_until_below": "time",
    "average": "concentration",
    "fluctuation": "number",
    "accumulation_ratio": "number",
}
#: What a course takes: metrics of the sessions as they are given, and of no output.
TAKEN: dict[str, str] = {
    "total_dose": "mass",
    "max_dose": "mass",
    "devices": "number",
    "sprays": "number",
    "vials": "number",
    "wasted": "mass",
    "clinic_hours": "time",
    "cost": "cost",
}
ALIASES = {"cmax": "peak", "cmin": "lowest", "tmax": "time_of_peak", "cavg": "average"}
WITH_THRESHOLD = ("time_above", "time_between", "time_below", "first_crossing", "time_until_below")
WITH_MOMENT = ("level_at", "level_at_discharge")
#: Metrics that need a rule, to give them a threshold or a moment.
OF_A_RULE = (*WITH_THRESHOLD, *WITH_MOMENT)
#: Metrics that belong to a session and have no meaning over a course or between sessions.
OF_SESSION = ("trough", *WITH_MOMENT, "fluctuation", "accumulation_ratio")
#: Metrics that are made of areas.
OF_AREAS = ("auc", "average", "fluctuation", "accumulation_ratio")
#: Kinds of metrics that are not counted in the unit of their output.
UNITLESS = ("time", "number")


@shapes.takes(shapes.words(*METRICS, *ALIASES))
def metric_name(value: object) -> str:
    """The registered name of a metric. Raises InputError with the nearest one."""
    if isinstance(value, str) and (name := ALIASES.get(value, value)) in METRICS:
        return name
    if isinstance(value, str) and value in TAKEN:
        raise InputError(Problem(f"{value}, which is what a course takes", f"it in a rule; here {one_of([*METRICS])}"))
    raise InputError(
        Problem(f"the metric {shown(value)}", one_of([*METRICS]), nearest=nearest(value, [*METRICS, *ALIASES]))
    )


@shapes.takes(shapes.words(*METRICS, *ALIASES, *TAKEN))
def rule_metric(value: object) -> str:
    """The registered name of a metric of a rule: of an output, or of what a course takes. Raises InputError."""
    if isinstance(value, str) and (name := ALIASES.get(value, value)) in {**METRICS, **TAKEN}:
        return name
    legal = [*METRICS, *TAKEN]
    raise InputError(
        Problem(f"the metric {shown(value)}", one_of(legal, 30), nearest=nearest(value, [*legal, *ALIASES]))
    )


def kind_of(metric: str) -> str:
    """The kind of quantity that a metric yields."""
    return {**METRICS, **TAKEN}[metric]


MetricField = Annotated[str, PlainValidator(metric_name)]


def is_level(output: str) -> bool:
    """Whether a name is that of a level, whatever the model; other names are looked up in it."""
    return output in (*ANALYTES, "parent", "metabolite")
