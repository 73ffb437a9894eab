"""Bands of a population over the sessions of a course, with the limits that rules set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pkmodel import units
from pkmodel.cases import Case
from pkmodel.errors import InputError, Problem
from pkmodel.ink import COLOURS, ENVELOPE, INK, LIMIT, tidy
from pkmodel.outcome import Study
from pkmodel.overlay import envelope, marks_of, medians, stated
from pkmodel.plots.limits import label_limits, limits_of, mark_bands, unit_of, wrapped

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]

#: White space between two sessions on the broken time axis, as a share of a session.
_GAP = 0.18


def bands(study: Study, arm: str, output: str = "parent", *, model: str | None = None, ax: Axes | None = None) -> Axes:
    """Median and quantile bands of an output or effect over the sessions of one arm, with the limits that rules set.

    The time axis is broken between sessions, so that a course of weeks still shows what happens in an hour. Where the
    arm runs on several models, a grey area behind holds the range of their medians. Published marks of the scenario
    are drawn where they belong. At a limit stands in what share of the patients its rule does not hold.

    Raises InputError for an unknown arm or output.
    """
    case = _case(study, arm, model)
    name = case.model.observable(output)
    own = ax is None
    ax = ax if ax is not None else Figure(figsize=(12, 3.4)).add_axes((0.065, 0.17, 0.83, 0.74))
    colour = COLOURS[[other.name for other in study.scenario.arms].index(arm) % len(COLOURS)]
    span = study.scenario.spec.observe.span.value
    pitch = span * (1 + _GAP)
    plan = case.arm.protocol.plan()
    along = ax.get_xaxis_transform()  # hours across, share of the panel's height up
    # All sessions in one line each, broken by a gap: a figure of 36 artists takes a second to draw.
    starts = np.array([planned.start for planned in plan])
    gaps = np.flatnonzero(np.diff(case.session_of)) + 1
    hours = _broken(case.times - starts[case.session_of - 1] + (case.session_of - 1) * pitch, gaps)
    table = study.level_quantiles[study.cases.index(case)][:, list(case.model.observables).index(name)]
    p5, p25, p50, p75, p95 = (_broken(column, gaps) for column in table.T)
    if len(case.arm.models) > 1:
        lines = medians(study, arm, stated(case, output))
        factor = units.ratio(lines[0].unit, case.model.observables[name])
        low, high = (_broken(edge * factor, gaps) for edge in envelope(lines))
        ax.fill_between(hours, low, high, **ENVELOPE)
    ax.fill_between(hours, p5, p95, color=colour, alpha=0.20, linewidth=0)
    ax.fill_between(hours, p25, p75, color=colour, alpha=0.40, linewidth=0)
    ax.plot(hours, p50, color=colour, linewidth=1.6)
    lefts = np.array([(planned.index - 1) * pitch for planned in plan])
    overs = np.array([planned.over for planned in plan])
    bars = [((left, 0.012), (left + over, 0.012)) for left, over in zip(lefts, overs, strict=True) if over]
    ax.add_collection(LineCollection(bars, transform=along, color=INK, linewidth=4, capstyle="butt"), autolim=False)
    ax.plot(lefts[overs == 0], np.full((overs == 0).sum(), 0.02), "v", transform=along, color=INK, markersize=6)
    rifts = [((left - span * _GAP / 2, 0), (left - span * _GAP / 2, 1)) for left in lefts[1:]]
    dashes: Any = (0, (2, 2))
    faint = LineCollection(rifts, transform=along, color="#cccccc", linewidth=0.7, linestyle=dashes)
    ax.add_collection(faint, autolim=False)
    before = ""
    for left, planned in zip(lefts, plan, strict=True):  # a dose is named where it changes
        if planned.label != before and len(plan) <= 30:
            named = f"{planned.label}{' planned' if case.arm.protocol.clinic is not None else ''}"
            ax.text(left, 0.985, named, transform=along, va="top", fontsize=9, color=INK)
        before = planned.label
    highest = float(table[:, -1].max())
    for mark in marks_of(study, arm, None, stated(case, output)):
        level = units.convert(mark.level.value, case.model.outputs[name].unit)
        place = (mark.session - 1) * pitch + mark.time.value
        look: dict[str, Any] = {"color": "white", "markeredgecolor": INK, "markeredgewidth": 1.4}
        ax.plot([place], [level], "D", markersize=6, zorder=6, **look)
        highest = max(highest, level)
    limits = limits_of(study, case, name)
    near = [limit.level for limit in limits if limit.level < 2.2 * highest]  # the others would flatten the curves
    for limit in limits:
        style: Any = ":" if limit.rule.threshold is not None else "--"
        if (at := limit.rule.moment) is not None:  # a limit at one moment of every session
            for planned in plan[limit.first - 1 : limit.last]:
                moment = (planned.index - 1) * pitch + at.delay + _until(case, planned.index, at.anchor)
                ax.plot((moment - 0.06 * span, moment + 0.06 * span), (limit.level,) * 2, color=LIMIT, linewidth=2)
        else:
            across = ((limit.first - 1) * pitch, (limit.last - 1) * pitch + span)
            ax.plot(across, (limit.level, limit.level), color=LIMIT, linewidth=1.2, linestyle=style)
        if limit.beyond and limit.level in near:
            end = (limit.last - 1) * pitch + span
            under = limit.sign == "\u2265"
            ax.annotate(
                limit.beyond,
                (end, limit.level),
                (-2, -2 if under else 1.5),
                textcoords="offset points",
                ha="right",
                va="top" if under else "bottom",
                fontsize=9,
                fontweight="bold",
                color=LIMIT,
                zorder=6,
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 0.4},
                gid="beyond",
            )
    # An effect may lie below 0, or be 0 throughout.
    ax.set_ylim(min(0.0, 1.2 * float(table[:, 0].min())), max([highest, *near]) * 1.2 or 1.0)
    mark_bands(case.model, name, ax)
    ax.set_xlim(-0.02 * pitch, len(plan) * pitch - span * _GAP + 0.02 * pitch)
    _session_ticks(ax, [planned.start for planned in plan], pitch, span)
    ax.set_ylabel(wrapped(f"{name} [{unit_of(case.model, name)}]") + f"\nn = {study.n:,}", fontsize=10)
    ax.set_title(f"{arm}: {case.arm.protocol.title}", loc="left", fontsize=10.5, fontweight="bold")
    tidy(ax)
    if own:
        label_limits(ax, [limit for limit in limits if limit.level < ax.get_ylim()[1]])
    return ax


def _until(case: Case, session: int, anchor: str) -> float:
    """Hours from a session's start to the anchor of a moment, as planned."""
    planned = case.arm.protocol.plan()[session - 1]
    return 0.0 if anchor == "start" else planned.lasts


def _session_ticks(ax: Axes, starts: Sequence[float], pitch: float, span: float) -> None:
    if len(starts) == 1:
        ax.set_xlabel("hours from the start of the session", fontsize=9.5)
        return
    lefts = [index * pitch for index in range(len(starts))]
    step = max(1, len(starts) // 16)
    ax.set_xticks(lefts[::step], [f"day {start / 24 + 1:g}" for start in starts][::step], fontsize=9)
    if len(starts) <= 16:
        ticks = [((left + hour, 0), (left + hour, -0.012)) for left in lefts for hour in range(1, int(span) + 1)]
        along = ax.get_xaxis_transform()
        marks = LineCollection(ticks, transform=along, color="black", linewidth=0.7, clip_on=False)
        ax.add_collection(marks, autolim=False)
    ax.set_xlabel(
        f"the first {span:g} h of each session (small ticks: hours); the time between is left out", fontsize=9.5
    )


def _broken(values: Floats, ends: NDArray[np.int64]) -> Floats:
    """A line with a gap (NaN) before each of the indices ``ends``."""
    return np.insert(values.astype(np.float64), ends, np.nan)


def _case(study: Study, arm: str, model: str | None) -> Case:
    for case in study.cases:
        if case.arm.name == arm and model in (None, case.model.id):
            return case
    raise InputError(Problem(f"arm {arm}, model {model}", "an arm and a model of the study"))
