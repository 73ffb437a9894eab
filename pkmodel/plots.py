"""Pictures that explain. Every function takes ``ax=``, draws on it, returns it, and never shows it."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from pkmodel import units
from pkmodel.cases import Case
from pkmodel.errors import InputError, Problem, unknown_name
from pkmodel.ink import COLOURS, ENVELOPE, HATCHES, INK, LIMIT, MARK, pale, tidy
from pkmodel.outcome import Study
from pkmodel.overlay import envelope, marks_of, medians, stated
from pkmodel.overlay import models_overlay as models_overlay
from pkmodel.specs.clause import Clause
from pkmodel.specs.metric import METRICS
from pkmodel.specs.model import ModelSpec
from pkmodel.specs.rule import Rule

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from pkmodel.simulation import Result

Floats = NDArray[np.float64]

#: White space between two sessions on the broken time axis, as a share of a session.
_GAP = 0.18
#: Letters of the name of a limit that the margin has room for; what is cut is the name of the rule, not the number.
_LABEL = 16


@dataclass(frozen=True)
class Limit:
    """A level that a rule sets on an output, in its unit: where to draw it and what to call it."""

    rule: Clause
    name: str
    level: float
    first: int
    last: int
    sign: str

    @property
    def label(self) -> str:
        tail = f" {self.sign} {self.level:g}"
        room = max(_LABEL - len(tail), 6)
        name = self.name if len(self.name) <= room else f"{self.name[: room - 1]}\u2026"
        return name + tail


def tests_of(study: Study) -> list[tuple[Rule, str, Clause]]:
    """Every metric with its limit that rules hold: the rule, the place in it, and the metric."""
    return [(rule, path, test) for rule in study.scenario.spec.rules for path, test in rule.leaves()]


def limits_of(study: Study, case: Case, output: str) -> list[Limit]:
    found = []
    for rule, path, test in tests_of(study):
        if not test.output or case.model.observable(test.output) != output:
            continue
        levels = [(test.threshold, ">"), (test.up_to, "\u2264")]
        if METRICS[test.metric] == "concentration" and test.relative_to is None:
            levels.append((test.limit, "\u2264" if test.upper else "\u2265"))
        first, last = (test.window.first, test.window.last) if test.window.kind == "sessions" else (1, case.n_sessions)
        factor = case.model.factor_of(output)
        name = f"not {rule.id}" if path.split(".").count("not") % 2 else rule.id
        found += [
            Limit(test, name, level.value / factor, first, last, sign) for level, sign in levels if level is not None
        ]
    return found


def unit_of(model: ModelSpec, name: str) -> str:
    """What an output or effect is counted in, as axes say it; and that an effect is illustrative."""
    bare = "fraction of maximal effect" if name in model.effects and model.effects[name].turnover is None else "no unit"
    return (model.observables[name] or bare) + (", illustrative" if model.illustrative(name) else "")


def mark_bands(model: ModelSpec, name: str, ax: Axes) -> None:
    """Shade the ranges of levels that a model marks on an output, as far as the axis reaches; with their names."""
    bottom, top = ax.get_ylim()
    for title, band in model.bands.items():
        factor = model.factor_of(name)
        low, high = (end / factor for end in band.band)
        if model.output(band.on) != name or low >= top:
            continue
        ax.axhspan(max(low, bottom), min(high, top), color=MARK, alpha=0.16, linewidth=0, zorder=0)
        text = title + (", illustrative" if band.illustrative else "")
        ax.text(0.995, max(low, bottom), text, transform=ax.get_yaxis_transform(), fontsize=8, ha="right", va="bottom")
    ax.set_ylim(bottom, top)


def bands(study: Study, arm: str, output: str = "parent", *, model: str | None = None, ax: Axes | None = None) -> Axes:
    """Median and quantile bands of an output or effect over the sessions of one arm, with the limits that rules set.

    The time axis is broken between sessions, so that a course of weeks still shows what happens in an hour. Where the
    arm runs on several models, a grey area behind holds the range of their medians. Published marks of the scenario
    are drawn where they belong.

    Raises InputError for an unknown arm or output.
    """
    case = _case(study, arm, model)
    name = case.model.observable(output)
    ax = ax if ax is not None else Figure(figsize=(12, 3.4)).add_subplot()
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
    # An effect may lie below 0, or be 0 throughout.
    ax.set_ylim(min(0.0, 1.2 * float(table[:, 0].min())), max([highest, *near]) * 1.2 or 1.0)
    mark_bands(case.model, name, ax)
    ax.set_xlim(-0.02 * pitch, len(plan) * pitch - span * _GAP + 0.02 * pitch)
    _session_ticks(ax, [planned.start for planned in plan], pitch, span)
    ax.set_ylabel(_wrapped(f"{name} [{unit_of(case.model, name)}]"), fontsize=10)
    ax.set_title(f"{arm}: {case.arm.protocol.title}", loc="left", fontsize=10.5, fontweight="bold")
    tidy(ax)
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


def session_peaks(study: Study, output: str = "parent", *, model: str | None = None, ax: Axes | None = None) -> Axes:
    """The distribution over patients of every session's exact peak, arm beside arm, with the limits on peaks.

    Boxes hold the middle half of the patients, lines reach from the 5th to the 95th percentile. With ``model`` only
    the arms on that model are drawn. Raises InputError for an unknown output or model.
    """
    cases = [case for case in study.cases if model in (None, case.model.id)]
    if not cases:
        raise InputError(unknown_name("a model of the study", model, study.models, path="model"))
    ax = ax if ax is not None else Figure(figsize=(10, 4.6)).add_subplot()
    names = [arm.name for arm in study.scenario.arms]
    several = len({case.model.id for case in cases}) > 1
    width = 0.8 / len(cases)
    handles: list[Any] = []
    highest = 0.0
    for index, case in enumerate(cases):
        name = case.model.output(output)
        which = names.index(case.arm.name) % len(COLOURS)
        colour, hatch = COLOURS[which], HATCHES[which]
        x = np.arange(1, case.n_sessions + 1) + (index - (len(cases) - 1) / 2) * width
        table = study.peak_quantiles[study.cases.index(case)][:, list(case.model.outputs).index(name)]
        p5, p25, p50, p75, p95 = table.T
        ax.vlines(x, p5, p95, color=colour, linewidth=1.4, zorder=2)
        look: dict[str, Any] = {"facecolor": pale(colour), "edgecolor": colour, "hatch": hatch, "linewidth": 0.9}
        ax.bar(x, p75 - p25, width * 0.78, bottom=p25, zorder=3, **look)
        ax.hlines(p50, x - width * 0.39, x + width * 0.39, color="black", linewidth=1.8, zorder=4)
        handles.append(Patch(label=case.arm.name + (f", {case.model.id}" if several else ""), **look))
        highest = max(highest, float(p95.max()))
    first = cases[0]
    parent = first.model.output(output)
    drawn = [
        limit
        for limit in limits_of(study, first, parent)
        if limit.rule.metric == "peak" and limit.level < 2.2 * highest
    ]
    for limit in drawn:
        ax.plot(
            (limit.first - 0.5, limit.last + 0.5),
            (limit.level,) * 2,
            color=LIMIT,
            linestyle="--",
            linewidth=1.3,
            zorder=5,
        )
    plan = max(cases, key=lambda case: case.n_sessions).arm.protocol.plan()
    step = max(1, len(plan) // 16)
    same = len({tuple(planned.start for planned in case.arm.protocol.plan()) for case in cases}) == 1
    labels = [f"{p.index}\nday {p.start / 24 + 1:g}" if same else f"{p.index}" for p in plan]
    ax.set_xticks([p.index for p in plan][::step], labels[::step], fontsize=9)
    ax.set_xlabel("session", fontsize=9.5)
    ax.set_xlim(0.4, len(plan) + 0.6)
    ax.set_ylim(0, max([highest, *(limit.level for limit in drawn)]) * 1.08)
    ax.set_ylabel(f"peak of {parent} [{first.model.outputs[parent].unit}]", fontsize=10)
    handles.append(Line2D([], [], color="black", linewidth=1.8, label="median"))
    handles.append(Line2D([], [], color="#777777", linewidth=1.4, label="box: 25-75 %, line: 5-95 % of patients"))
    ax.legend(
        handles=handles, fontsize=9, frameon=False, ncols=len(handles), loc="lower left", bbox_to_anchor=(-0.01, 1.0)
    )
    tidy(ax)
    return ax


def levels(result: Result, *, ax: Axes | None = None) -> Axes:
    """Levels of every output of one simulated patient over time, with the doses given marked under the curves."""
    ax = ax if ax is not None else Figure(figsize=(10, 4.6)).add_subplot()
    scale = 24.0 if result.until > 96 else 1.0
    for index, (name, unit) in enumerate(zip(result.network.output_names, result.network.output_units, strict=True)):
        style = ("-", "--", "-.", ":")[index % 4]
        ax.plot(
            result.time / scale,
            result.level(name)[0],
            style,
            color=COLOURS[index],
            linewidth=1.5,
            label=f"{name} [{unit}]",
        )
    mark_given(result, ax, scale)
    ax.set_ylabel(f"level [{result.network.output_units[0]}]", fontsize=10)
    ax.set_ylim(0, ax.get_ylim()[1] * 1.15)
    mark_bands(result.model, result.model.parent, ax)
    return ax


def effects(result: Result, unit: str, *, ax: Axes | None = None) -> Axes:
    """The effects of one simulated patient that are counted in ``unit`` (as :func:`unit_of` says it) over time."""
    ax = ax if ax is not None else Figure(figsize=(10, 4.6)).add_subplot()
    scale = 24.0 if result.until > 96 else 1.0
    names = [name for name in result.network.effects if unit_of(result.model, name) == unit]
    low = 0.0
    for index, name in enumerate(names):
        style, level = ("-", "--", "-.", ":")[index % 4], result.level(name)[0]
        label = name + (" (illustrative)" if result.model.illustrative(name) else "")
        ax.plot(result.time / scale, level, style, color=COLOURS[index % len(COLOURS)], linewidth=1.5, label=label)
        low = min(low, float(level.min()))
    mark_given(result, ax, scale)
    ax.set_ylabel(_wrapped(unit), fontsize=10)
    ax.set_ylim(1.15 * low, max(ax.get_ylim()[1], 0.0) * 1.15 or 1.0)
    return ax


def mark_given(result: Result, ax: Axes, scale: float) -> None:
    """Mark the doses given under the curves of one patient, and set out the axis of time and the legend."""
    along = ax.get_xaxis_transform()
    shown = [given for given in result.schedule.sessions if given.planned.start <= result.until]
    for given in shown:
        start = given.planned.start / scale
        ax.plot([start], [0.02], transform=along, marker="^", color=INK, markersize=5)
        if len(shown) <= 16:
            ax.text(
                start,
                0.985,
                f" {given.given[0]:.4g} mg",
                transform=along,
                fontsize=8,
                va="top",
                rotation=90 if len(shown) > 6 else 0,
            )
    unit = "days" if scale > 1 else "hours"
    ax.set_xlabel(f"{unit} from the start of the course", fontsize=9.5)
    ax.set_xlim(-0.01 * result.until / scale, result.until / scale)
    ax.legend(frameon=False, fontsize=9, ncols=4, loc="lower right", bbox_to_anchor=(1.0, 1.0))
    tidy(ax)


def _wrapped(text: str, width: int = 30) -> str:
    """A label of an axis in lines that fit beside a panel."""
    return text if len(text) <= width else "\n".join(textwrap.wrap(text, width, break_long_words=False))


def _case(study: Study, arm: str, model: str | None) -> Case:
    for case in study.cases:
        if case.arm.name == arm and model in (None, case.model.id):
            return case
    raise InputError(Problem(f"arm {arm}, model {model}", "an arm and a model of the study"))
