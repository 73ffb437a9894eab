"""The numbers beside the curves: peak, its time, area, time above the limit, time until a patient may leave; exact."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from pkmodel import metrics
from pkmodel.app.compute import Curve, Curves
from pkmodel.app.state import Limits
from pkmodel.exact_figures import figures_for
from pkmodel.plots import unit_of
from pkmodel.request import Request, Span
from pkmodel.simulation import Result
from pkmodel.specs.rule_checks import offered

_COURSE = Span("course")


@dataclass(frozen=True)
class Readout:
    """The numbers of one output or effect of one curve; None: it has no such number."""

    curve: str
    output: str
    unit: str
    illustrative: bool
    peak: float | None
    time_of_peak: float | None
    """h from the start of the course."""
    auc: float | None
    """In the unit times h."""
    time_above: float | None
    """h above the upper limit."""
    until_below: float | None
    """h from the start of the last session until it stays below the discharge level; infinite: not in its window."""


def readouts(shown: Curves, limits: Limits, outputs: Sequence[str] = ()) -> list[Readout]:
    """The numbers of every curve that is shown: its parent, metabolites and effects (``outputs``: these alone)."""
    found: list[Readout] = []
    for curve in shown.by_name.values():
        found += [one for one in _of_curve(_Key(curve, shown.until), limits) if not outputs or one.output in outputs]
    return found


@dataclass(frozen=True)
class _Key:
    curve: Curve
    until: float

    def __hash__(self) -> int:
        return id(self.curve.result)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, _Key) and other.curve.result is self.curve.result and other.curve.name == self.curve.name
        )


@lru_cache(maxsize=64)
def _of_curve(key: _Key, limits: Limits) -> tuple[Readout, ...]:
    curve, result = key.curve, key.curve.result
    model = result.model
    wanted: dict[Request, list[Span]] = {}
    rows: list[tuple[str, dict[str, Request]]] = []
    discharge = discharge_level(curve, limits)
    for name in model.observables:
        has = offered(model, name)
        asked: dict[str, Request] = {}
        for metric in ("peak", "time_of_peak", "auc"):
            if metric in has:
                asked[metric] = Request(metric, name)
        if name == model.parent and limits.upper is not None:
            asked["time_above"] = Request("time_above", name, threshold=limits.upper)
        if discharge is not None and discharge[0] == name and "time_until_below" in has:
            asked["until_below"] = Request("time_until_below", name, threshold=discharge[1])
        wanted |= {request: [_span(metric, result)] for metric, request in asked.items()}
        rows.append((name, asked))
    last = max(result.until - result.schedule.last_start, metrics.LAST_WINDOW)
    figures = figures_for(
        wanted,
        result.network,
        result.schedule,
        result.course,
        last=last,
        step=1.0,
        numerics=result.numerics,
    )
    found = []
    for name, asked in rows:
        values = {
            metric: float(metrics.evaluate(figures[name], _span(metric, result), request)[0])
            for metric, request in asked.items()
        }
        found.append(
            Readout(
                curve.name,
                name,
                unit_of(model, name).removesuffix(", illustrative"),
                model.illustrative(name),
                values.get("peak"),
                values.get("time_of_peak"),
                values.get("auc"),
                values.get("time_above"),
                values.get("until_below"),
            )
        )
    return tuple(found)


def _span(metric: str, result: Result) -> Span:
    """What a number is taken over: leaving the clinic is a question of the last session."""
    return Span("session", len(result.schedule.sessions)) if metric == "until_below" else _COURSE


def discharge_level(curve: Curve, limits: Limits) -> tuple[str, float] | None:
    """The output and the level, in its unit, that a patient must have fallen below; None where it has no such."""
    if limits.discharge is None:
        return None
    model = curve.result.model
    name = model.parent if limits.discharge_of == "parent" else limits.discharge_of
    if name not in model.observables:
        return None
    share = name in model.effects and not model.observables[name]
    return name, limits.discharge / 100 if share else limits.discharge


def time_words(hours: float | None) -> str:
    """A time as people read it: minutes below two hours, hours and minutes, days."""
    if hours is None:
        return "\u2013"
    if math.isinf(hours):
        return "not within the time shown"
    minutes = hours * 60
    if minutes < 120:
        return f"{minutes:.3g} min"
    if hours < 48:
        whole = round(minutes)
        return f"{whole // 60} h {whole % 60:02d} min"
    return f"day {hours / 24 + 1:.3g}"


def duration_words(hours: float | None) -> str:
    """A length of time as people read it."""
    if hours is not None and not math.isinf(hours) and hours >= 48:
        return f"{hours / 24:.3g} d"
    return time_words(hours)


def number_words(value: float | None, unit: str = "") -> str:
    """A number in four digits with its unit."""
    return "\u2013" if value is None else f"{value:.4g}{f' {unit}' if unit else ''}"


def peak_sentence(found: Sequence[Readout], parents: Mapping[str, str]) -> str:
    """The peaks as one sentence for a reader who cannot see the picture; ``parents`` is the output of each curve."""
    said = []
    for one in found:
        if one.output != parents.get(one.curve) or one.peak is None:
            continue
        peak, when = number_words(one.peak, one.unit), time_words(one.time_of_peak)
        after = when if when.startswith("day") else f"{when} after the start"
        said.append(f"{one.output} peaks at {peak}, {after}" if len(parents) == 1 else f"{one.curve} {peak} at {when}")
    return ("" if len(parents) == 1 else "Peaks: ") + "; ".join(said) + "." if said else ""
