"""Pictures that explain. Every function takes ``ax=``, draws on it, returns it, and never shows it.

Colours are Okabe and Ito's, which keep apart for colour-blind eyes; in grey, arms differ by hatching and bands
by lightness. Every figure carries the number of patients, the models with their evidence, what is assumed or
borrowed, and the sentence that it is not for patient care.
"""

from __future__ import annotations

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
from pkmodel.errors import InputError, Problem
from pkmodel.outcome import Study
from pkmodel.specs.model import ModelSpec
from pkmodel.specs.scenario import METRICS, Rule

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from pkmodel.simulation import Result

Floats = NDArray[np.float64]

NOT_FOR_CARE = "Research and teaching only, not for patient care."
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
HATCHES = ("", "////", "....", "xxxx", "\\\\\\\\", "++++")
_INK, _LIMIT = "#222222", "#333333"
#: White space between two sessions on the broken time axis, as a share of a session.
_GAP = 0.18
#: Inches of the page around the panels.
_LEFT, _RIGHT, _LINE = 0.85, 1.25, 0.165


@dataclass(frozen=True)
class _Limit:
    """A level that a rule sets on an output, in its unit: where to draw it and what to call it."""

    rule: Rule
    level: float
    first: int
    last: int

    @property
    def label(self) -> str:
        sign = ">" if self.rule.threshold is not None else "\u2264" if self.rule.upper else "\u2265"
        return f"{self.rule.id} {sign} {self.level:g}"


def _limits(study: Study, case: Case, output: str) -> list[_Limit]:
    found = []
    for rule in study.scenario.spec.rules:
        level = rule.threshold or (rule.limit if METRICS[rule.metric] == "concentration" else None)
        if level is None or case.model.output(rule.output) != output:
            continue
        first, last = (rule.window.first, rule.window.last) if rule.window.kind == "sessions" else (1, case.n_sessions)
        found.append(_Limit(rule, units.convert(level.value, case.model.outputs[output].unit), first, last))
    return found


def bands(study: Study, arm: str, output: str = "parent", *, model: str | None = None, ax: Axes | None = None) -> Axes:
    """Median and quantile bands of an output over the sessions of one arm, with the limits that rules set.

    The time axis is broken between sessions, so that a course of weeks still shows what happens in an hour.
    Raises InputError for an unknown arm or output.
    """
    case = _case(study, arm, model)
    name = case.model.output(output)
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
    table = study.level_quantiles[study.cases.index(case)][:, list(case.model.outputs).index(name)]
    p5, p25, p50, p75, p95 = (_broken(column, gaps) for column in table.T)
    ax.fill_between(hours, p5, p95, color=colour, alpha=0.20, linewidth=0)
    ax.fill_between(hours, p25, p75, color=colour, alpha=0.40, linewidth=0)
    ax.plot(hours, p50, color=colour, linewidth=1.6)
    lefts = np.array([(planned.index - 1) * pitch for planned in plan])
    overs = np.array([planned.over for planned in plan])
    bars = [((left, 0.012), (left + over, 0.012)) for left, over in zip(lefts, overs, strict=True) if over]
    ax.add_collection(LineCollection(bars, transform=along, color=_INK, linewidth=4, capstyle="butt"), autolim=False)
    ax.plot(lefts[overs == 0], np.full((overs == 0).sum(), 0.02), "v", transform=along, color=_INK, markersize=6)
    rifts = [((left - span * _GAP / 2, 0), (left - span * _GAP / 2, 1)) for left in lefts[1:]]
    dashes: Any = (0, (2, 2))
    faint = LineCollection(rifts, transform=along, color="#cccccc", linewidth=0.7, linestyle=dashes)
    ax.add_collection(faint, autolim=False)
    before = ""
    for left, planned in zip(lefts, plan, strict=True):  # a dose is named where it changes
        if planned.dose.text != before and len(plan) <= 30:
            ax.text(left, 0.985, planned.dose.text, transform=along, va="top", fontsize=9, color=_INK)
        before = planned.dose.text
    highest = float(table[:, -1].max())
    limits = _limits(study, case, name)
    near = [limit.level for limit in limits if limit.level < 2.2 * highest]  # the others would flatten the curves
    for limit in limits:
        style: Any = ":" if limit.rule.threshold is not None else "--"
        if limit.rule.at is not None:  # a limit at one moment of every session
            for planned in plan[limit.first - 1 : limit.last]:
                moment = (
                    (planned.index - 1) * pitch
                    + limit.rule.at.delay
                    + _until(case, planned.index, limit.rule.at.anchor)
                )
                ax.plot((moment - 0.06 * span, moment + 0.06 * span), (limit.level,) * 2, color=_LIMIT, linewidth=2)
        else:
            across = ((limit.first - 1) * pitch, (limit.last - 1) * pitch + span)
            ax.plot(across, (limit.level, limit.level), color=_LIMIT, linewidth=1.2, linestyle=style)
    ax.set_ylim(0, max([highest, *near]) * 1.2)
    ax.set_xlim(-0.02 * pitch, len(plan) * pitch - span * _GAP + 0.02 * pitch)
    _session_ticks(ax, [planned.start for planned in plan], pitch, span)
    ax.set_ylabel(f"{name} [{case.model.outputs[name].unit}]", fontsize=10)
    ax.set_title(f"{arm}: {case.arm.protocol.title}", loc="left", fontsize=10.5, fontweight="bold")
    _tidy(ax)
    return ax


def _until(case: Case, session: int, anchor: str) -> float:
    """Hours from a session's start to the anchor of a moment, as planned."""
    planned = case.arm.protocol.plan()[session - 1]
    if anchor == "start":
        return 0.0
    if planned.device is None:
        return planned.over
    return max(0.0, round(planned.dose.value / planned.device.strength.value) - 1) * planned.device.pause


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


def session_peaks(study: Study, output: str = "parent", *, ax: Axes | None = None) -> Axes:
    """The distribution over patients of every session's exact peak, arm beside arm, with the limits on peaks.

    Boxes hold the middle half of the patients, lines reach from the 5th to the 95th percentile.
    """
    ax = ax if ax is not None else Figure(figsize=(10, 4.6)).add_subplot()
    names = [arm.name for arm in study.scenario.arms]
    several = len({case.model.id for case in study.cases}) > 1
    width = 0.8 / len(study.cases)
    handles: list[Any] = []
    highest = 0.0
    for index, case in enumerate(study.cases):
        name = case.model.output(output)
        which = names.index(case.arm.name) % len(COLOURS)
        colour, hatch = COLOURS[which], HATCHES[which]
        x = np.arange(1, case.n_sessions + 1) + (index - (len(study.cases) - 1) / 2) * width
        table = study.peak_quantiles[index][:, list(case.model.outputs).index(name)]
        p5, p25, p50, p75, p95 = table.T
        ax.vlines(x, p5, p95, color=colour, linewidth=1.4, zorder=2)
        look: dict[str, Any] = {"facecolor": _pale(colour), "edgecolor": colour, "hatch": hatch, "linewidth": 0.9}
        ax.bar(x, p75 - p25, width * 0.78, bottom=p25, zorder=3, **look)
        ax.hlines(p50, x - width * 0.39, x + width * 0.39, color="black", linewidth=1.8, zorder=4)
        handles.append(Patch(label=case.arm.name + (f", {case.model.id}" if several else ""), **look))
        highest = max(highest, float(p95.max()))
    first = study.cases[0]
    parent = first.model.output(output)
    drawn = [
        limit for limit in _limits(study, first, parent) if limit.rule.metric == "peak" and limit.level < 2.2 * highest
    ]
    for limit in drawn:
        ax.plot(
            (limit.first - 0.5, limit.last + 0.5),
            (limit.level,) * 2,
            color=_LIMIT,
            linestyle="--",
            linewidth=1.3,
            zorder=5,
        )
    plan = max(study.cases, key=lambda case: case.n_sessions).arm.protocol.plan()
    step = max(1, len(plan) // 16)
    same = len({tuple(planned.start for planned in case.arm.protocol.plan()) for case in study.cases}) == 1
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
    _tidy(ax)
    return ax


def levels(result: Result, *, ax: Axes | None = None) -> Axes:
    """Levels of every output of one simulated patient over time, with the doses given marked under the curves."""
    ax = ax if ax is not None else Figure(figsize=(10, 4.6)).add_subplot()
    days = result.until > 96
    scale = 24.0 if days else 1.0
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
    along = ax.get_xaxis_transform()
    shown = [given for given in result.schedule.sessions if given.planned.start <= result.until]
    for given in shown:
        start = given.planned.start / scale
        ax.plot([start], [0.02], transform=along, marker="^", color=_INK, markersize=5)
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
    ax.set_xlabel("days from the start of the course" if days else "hours from the start of the course", fontsize=9.5)
    ax.set_ylabel(f"level [{result.network.output_units[0]}]", fontsize=10)
    ax.set_xlim(-0.01 * result.until / scale, result.until / scale)
    ax.set_ylim(0, ax.get_ylim()[1] * 1.15)
    ax.legend(frameon=False, fontsize=9, ncols=4, loc="lower right", bbox_to_anchor=(1.0, 1.0))
    _tidy(ax)
    return ax


def result_figure(result: Result) -> Figure:
    """The figure of one simulated patient with title, model, evidence and what to beware of."""
    model = result.model
    foot = [f"One patient with typical parameters; model {model.id} ({_grade(model)})."]
    foot += [f"Note: {sentence}." for sentence in result.warnings]
    title = result.protocol.title if result.protocol else model.title
    figure, ((ax,),) = _sheet(title, [*foot, NOT_FOR_CARE], rows=1, columns=1, width=10.5, height=3.9, right=0.25)
    levels(result, ax=ax)
    return figure


def figures(study: Study) -> dict[str, Figure]:
    """The figures of a run by file name: bands per arm, and session peaks."""
    return {"bands.png": _bands_figure(study), "session_peaks.png": _peaks_figure(study)}


def _bands_figure(study: Study) -> Figure:
    short = all(case.n_sessions <= 2 for case in study.cases)
    outputs = []
    for case in study.cases:
        named = [case.model.output(rule.output) for rule in study.scenario.spec.rules]
        outputs.append(list(dict.fromkeys([case.model.parent, *named])))
    if short:
        rows, columns = len(study.cases), max(len(names) for names in outputs)
        places = [(row, column) for row, names in enumerate(outputs) for column in range(len(names))]
    else:
        rows, columns = sum(len(names) for names in outputs), 1
        places = [(row, 0) for row in range(rows)]
    title = study.scenario.spec.title
    figure, axes = _sheet(title, _foot(study), rows=rows, columns=columns, width=13.0, height=2.75, legend=True)
    panels = [(case, name) for case, names in zip(study.cases, outputs, strict=True) for name in names]
    tops: dict[str, float] = {}
    for (row, column), (case, name) in zip(places, panels, strict=True):
        ax = bands(study, case.arm.name, name, model=case.model.id, ax=axes[row][column])
        tops[name] = max(tops.get(name, 0.0), ax.get_ylim()[1])
    for (row, column), (case, name) in zip(places, panels, strict=True):
        axes[row][column].set_ylim(0, tops[name])  # one scale for what is to be compared
        _label_limits(axes[row][column], [limit for limit in _limits(study, case, name) if limit.level < tops[name]])
    used = set(places)
    for row in range(rows):
        for column in range(columns):
            if (row, column) not in used:
                axes[row][column].remove()
    rules = study.scenario.spec.rules
    handles: list[Any] = [
        Line2D([], [], color="#555555", linewidth=1.6, label="median"),
        Patch(color="#555555", alpha=0.55, linewidth=0, label="25-75 % of patients"),
        Patch(color="#555555", alpha=0.22, linewidth=0, label="5-95 % of patients"),
        Line2D([], [], color=_LIMIT, linestyle="--", label="limit of a rule"),
    ]
    if any(rule.threshold is not None for rule in rules):
        handles.append(Line2D([], [], color=_LIMIT, linestyle=":", label="level with limited time above"))
    if any(rule.at is not None for rule in rules):
        handles.append(Line2D([], [], color=_LIMIT, linewidth=2, label="limit at one moment"))
    plans = [planned for case in study.cases for planned in case.arm.protocol.plan()]
    if any(planned.over for planned in plans):
        handles.append(Line2D([], [], color=_INK, linewidth=4, label="infusion"))
    if any(not planned.over for planned in plans):
        handles.append(Line2D([], [], color=_INK, marker="v", linestyle="", label="dose at once (first device)"))
    height = figure.get_figheight()
    figure.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(0.005, 1 - 0.36 / height),
        ncols=len(handles),
        fontsize=9,
        frameon=False,
        columnspacing=1.2,
        handlelength=1.8,
    )
    return figure


def _peaks_figure(study: Study) -> Figure:
    described = {rule.id: _describe(rule) for rule in study.scenario.spec.rules}
    several = len({case.model.id for case in study.cases}) > 1
    judged: dict[str, list[str]] = {}
    for found in study.results:
        rule = f"{described[found.rule]} ({found.window}), required in {100 * found.required:g} %"
        who = found.arm + (f" on {found.model}" if several else "")
        share = f"{100 * found.share:.1f} % [{100 * found.low:.1f}-{100 * found.high:.1f}]"
        judged.setdefault(rule, []).append(f"{who} {share} {found.verdict.upper()}")
    lines = [f"{rule}:  {';  '.join(arms)}" for rule, arms in judged.items()]
    lines.append("In brackets the 95 % interval, simulation error only.")
    title = f"{study.scenario.spec.title}\nPeak of each session"
    figure, ((ax,),) = _sheet(title, [*lines, *_foot(study)], rows=1, columns=1, width=12.0, height=3.9, legend=True)
    session_peaks(study, ax=ax)
    case = study.cases[0]
    name = case.model.output("parent")
    top = ax.get_ylim()[1]
    _label_limits(
        ax, [limit for limit in _limits(study, case, name) if limit.rule.metric == "peak" and limit.level < top]
    )
    return figure


def _describe(rule: Rule) -> str:
    what = rule.metric.replace("_", " ")
    if rule.threshold is not None:
        what += f" {rule.threshold.text}"
    if rule.at is not None:
        what = f"level {rule.at.text.replace('_', ' ')}"
    return f"{rule.id}: {what} {'at most' if rule.upper else 'at least'} {rule.limit.text}"


def _grade(model: ModelSpec) -> str:
    return f"evidence: {model.evidence}, {model.sampling} sampling"


def _foot(study: Study) -> list[str]:
    models = {case.model.id: case.model for case in study.cases}
    grades = "; ".join(f"{model.id} ({_grade(model)})" for model in models.values())
    lines = [f"n = {study.n:,} virtual patients, seed {study.scenario.spec.seed}. Model {grades}."]
    lines += [f"Assumed or borrowed: {sentence}." for sentence in study.assumptions]
    lines += [f"Warning: {sentence}." for sentence in study.warnings]
    return [*lines, NOT_FOR_CARE]


def _sheet(
    title: str,
    foot: list[str],
    *,
    rows: int,
    columns: int,
    width: float,
    height: float,
    legend: bool = False,
    right: float = _RIGHT,
) -> tuple[Figure, list[list[Axes]]]:
    """A page with a title, a grid of panels, and lines of text at the foot; sizes in inches.

    Laid out by arithmetic, because a solver for the layout takes longer than the simulation.
    """
    pad, between = 0.75, 0.45 + right
    top = 0.35 + 0.22 * title.count("\n") + (0.32 if legend else 0.0) + 0.28
    bottom = 0.62 + _LINE * len(foot)
    total = top + rows * height + (rows - 1) * pad + bottom
    panel = (width - _LEFT - right - (columns - 1) * between) / columns
    figure = Figure(figsize=(width, total))
    axes = []
    for row in range(rows):
        y = (bottom + (rows - 1 - row) * (height + pad)) / total
        line = []
        for column in range(columns):
            x = (_LEFT + column * (panel + between)) / width
            line.append(figure.add_axes((x, y, panel / width, height / total)))
        axes.append(line)
    figure.text(
        0.1 / width, 1 - 0.1 / total, title, ha="left", va="top", fontsize=13, fontweight="bold", linespacing=1.15
    )
    text = "\n".join(foot)
    figure.text(
        0.1 / width, 0.08 / total, text, ha="left", va="bottom", fontsize=8.5, color="#444444", linespacing=1.15
    )
    return figure, axes


def _label_limits(ax: Axes, limits: list[_Limit]) -> None:
    """Names of the limits in the right margin, pushed apart where they would overlap."""
    top = ax.get_ylim()[1]
    room = 0.062 * top
    last = float("-inf")
    for limit in sorted(limits, key=lambda item: item.level):
        y = max(limit.level, last + room)
        last = y
        ax.annotate(
            limit.label,
            (1.0, limit.level),
            (1.008, y),
            xycoords=("axes fraction", "data"),
            textcoords=("axes fraction", "data"),
            fontsize=9,
            va="center",
            color=_LIMIT,
            annotation_clip=False,
        )


def _tidy(ax: Axes) -> None:
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    ax.grid(axis="y", color="#dddddd", linewidth=0.6)
    ax.set_axisbelow(True)


def _pale(colour: str) -> tuple[float, float, float]:
    """A colour mixed with white, opaque so that lines behind it do not show through."""
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (0.5 + 0.5 * part for part in parts)
    return red, green, blue


def _case(study: Study, arm: str, model: str | None) -> Case:
    for case in study.cases:
        if case.arm.name == arm and model in (None, case.model.id):
            return case
    raise InputError(Problem(f"arm {arm}, model {model}", "an arm and a model of the study"))
