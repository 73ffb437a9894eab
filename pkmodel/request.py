"""What is asked of a course: a metric, of which output, and over which stretch of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pkmodel.specs.metric import METRICS, TAKEN
from pkmodel.specs.prices import Prices
from pkmodel.specs.window import Moment

#: What a metric relative to a baseline is called.
OF_BASELINE = {"share": "share of baseline", "change": "change from baseline"}


@dataclass(frozen=True)
class Span:
    """One stretch of a course: a session's window (from 1), the gap after it, the course, or absolute hours."""

    kind: Literal["session", "between", "course", "absolute"]
    session: int = 0
    start: float = 0.0
    end: float = 0.0


@dataclass(frozen=True)
class Request:
    """A metric of an output, with what it needs: a threshold (in the output's unit), a second one, or a moment.

    ``of_baseline`` makes it a share of what an effect is without drug, or a change from that. A metric of what a course
    takes (:mod:`pkmodel.taking`) has no output; it may need how long a patient is ``observed`` (h) after the last dose,
    ``until`` when the level stays below another, and ``prices``.
    """

    metric: str
    output: str
    threshold: float | None = None
    moment: Moment | None = None
    up_to: float | None = None
    of_baseline: Literal["share", "change"] | None = None
    observed: float | None = None
    until: Request | None = None
    prices: Prices | None = None

    @property
    def levels(self) -> list[float]:
        """The levels that the time above must be known of."""
        return [level for level in (self.threshold, self.up_to) if level is not None]


def unit_in(request: Request, output_unit: str) -> str:
    """The unit in which what is requested is reported; ``output_unit`` is that of its output, if it has one."""
    if request.prices is not None:
        return request.prices.currency
    return "" if request.of_baseline == "share" else unit_of(request.metric, output_unit)


def unit_of(metric: str, output_unit: str) -> str:
    """The unit in which a metric of an output, or of what a course takes, is reported."""
    if metric in TAKEN:
        return {"mass": "mg", "time": "h"}.get(TAKEN[metric], "")
    if METRICS[metric] == "time":
        return "h"
    if METRICS[metric] == "number":
        return ""
    if metric == "auc":
        mass, over, volume = output_unit.partition("/")
        return f"{mass}*h{over}{volume}" if mass else "h"
    return output_unit
