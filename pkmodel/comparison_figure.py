"""The picture of a comparison: the session with the highest peak on one axis of hours, and peaks over the course."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from pkmodel import figures as pages
from pkmodel import plots, units
from pkmodel.cases import Case
from pkmodel.comparison import Comparison
from pkmodel.ink import COLOURS, LIMIT, tidy
from pkmodel.specs.asked import Bound
from pkmodel.specs.metric import is_level
from pkmodel.units import clock

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def figure(found: Comparison) -> Figure:
    """Bands of every arm in its session with the highest peak, there too the effect that discharge looks at, and the
    peak of every session over the course.
    """
    until = found.request.discharge.bound
    effect = None if is_level(until.output) else until.output
    foot = [
        f"{case.arm.name}: {case.arm.protocol.title}. Parent drug: {case.model.parent}. {chosen(found, case)}"
        + whose(found, case)
        for case in found.study.cases
    ]
    foot += lower_in(found)
    foot += [f"Beware: {sentence}." for sentence in found.cautions]
    grade = found.request.discharge
    foot.append(f"Discharge: {until} ({grade.evidence}{f': {grade.why}' if grade.why else ''}).")
    page, axes = pages.sheet(
        f"Side by side: {_title(found)}",
        [*foot, *pages.foot_of(found.study)],
        rows=3 if effect else 2,
        columns=1,
        width=12.0,
        height=3.0,
        right=1.7,
    )
    panels = [line[0] for line in axes]
    bounds = [item for item in found.request.thresholds if is_level(item.output)]
    bounds += [until] if effect is None else []
    highest = {case.arm.name: _highest(found, case) for case in found.study.cases}
    _levels(found, highest, "parent", bounds, panels[0])
    panels[0].set_title("The session with the highest peak: the parent drug", **_HEAD)
    if effect:
        lines = [item for item in (*found.request.thresholds, until) if item.output == effect]
        _levels(found, highest, effect, lines, panels[1])
        panels[1].set_title(f"The same session: {effect}", **_HEAD)
    _course(found, panels[-1])
    panels[0].legend(handles=_handles(found, highest), loc="upper right", fontsize=9, frameon=False)
    return page


#: Of each arm in turn: where arms are equal, the dashes of the later one leave the earlier one to be seen.
_STYLES = ("-", "--", ":", "-.")
_HEAD: dict[str, Any] = {"loc": "left", "fontsize": 10.5, "fontweight": "bold"}


def chosen(found: Comparison, case: Case) -> str:
    """Which model an arm runs on, who chose it, and its evidence: a sentence."""
    choice = next(item for item in found.request.chosen if item.arm == case.arm.name)
    how = f"by default: {choice.why}" if choice.default else choice.why
    return f"Model {case.model.id} ({how}; evidence: {case.model.evidence}, {case.model.sampling} sampling)."


def lower_in(found: Comparison) -> list[str]:
    """In what share of patients the highest peak of each arm is lower than that of the reference: a sentence each."""
    said = []
    for row in found.rows:
        if (row.measure.name, row.measure.output) != ("peak", "parent"):
            continue
        for cell in row.cells:
            if (of := cell.sides) is None:
                continue
            share = f"{100 * of.lower.share:.1f} % ({100 * of.lower.low:.1f} to {100 * of.lower.high:.1f} %)"
            same = f", equal in {100 * of.equal.share:.1f} %" if of.equal.count else ""
            base = found.request.reference
            who = "pairs of one patient from each group" if of.apart else "patients"
            said.append(f"{cell.arm}: lower highest peak than {base} in {share} of {who}{same}.")
    return said


#: Letters that the heading of the page has room for.
_ROOM = 90


def _title(found: Comparison) -> str:
    """All arms by name, or how many where there is no room for them."""
    names = found.study.scenario.spec.title
    return names if len(names) <= _ROOM else f"{len(found.study.cases)} arms, against {found.request.reference}"


def whose(found: Comparison, case: Case) -> str:
    """Whose patients an arm has, where there are several populations: a sentence, after a space."""
    name = found.request.populations.get(case.arm.name)
    if not name:
        return ""
    seed = next(item.spec.seed for item in found.request.scenarios if case.arm.name in item.spec.arms)
    return f" Population {name}, with {found.study.n:,} patients of its own (seed {seed})."


def _colour(found: Comparison, arm: str) -> str:
    return COLOURS[[case.arm.name for case in found.study.cases].index(arm) % len(COLOURS)]


def _highest(found: Comparison, case: Case) -> int:
    """The session (from 1) with the highest median peak of the parent drug."""
    table = found.study.peak_quantiles[found.study.cases.index(case)]
    index = list(case.model.outputs).index(case.model.parent)
    return int(np.argmax(table[:, index, 2])) + 1


def _levels(found: Comparison, highest: dict[str, int], output: str, bounds: list[Bound], ax: Axes) -> None:
    """Median and 5-95 % of every arm over the hours of one session, with the doses under the curves."""
    first = found.study.cases[0].model
    unit = first.observables[first.observable(output)]
    along, top = ax.get_xaxis_transform(), 0.0
    for place, (case, table) in enumerate(zip(found.study.cases, found.study.level_quantiles, strict=True)):
        name = case.model.observable(output)
        planned = case.arm.protocol.plan()[highest[case.arm.name] - 1]
        own = case.session_of == planned.index
        hours = case.times[own] - planned.start
        factor = units.ratio(case.model.observables[name], unit)
        p5, _, p50, _, p95 = factor * table[own][:, list(case.model.observables).index(name)].T
        colour = _colour(found, case.arm.name)
        ax.fill_between(hours, p5, p95, color=colour, alpha=0.18, linewidth=0)
        ax.plot(hours, p50, _STYLES[place % len(_STYLES)], color=colour, linewidth=2.4 if place == 0 else 1.8)
        height = 0.016 + 0.026 * place
        if planned.over:
            look: dict[str, Any] = {"linewidth": 4, "solid_capstyle": "butt"}
            ax.plot((0, planned.over), (height, height), transform=along, color=colour, **look)
        else:
            ax.plot([0], [height], "v", transform=along, color=colour, markersize=6)
        top = max(top, float(p95.max()))
    for bound in bounds:
        level = bound.threshold.value / first.factor_of(first.observable(output))
        ax.axhline(level, color=LIMIT, linewidth=1.1, linestyle=":" if bound.side == "above" else "--")
        words = f"{'time above' if bound.side == 'above' else 'leaves below'} {bound.threshold.text}"
        ax.annotate(words, (1.005, level), xycoords=("axes fraction", "data"), fontsize=9, va="center", color=LIMIT)
        top = max(top, level)
    ax.set_ylim(0, 1.1 * top or 1.0)
    ax.set_xlim(left=-0.05)
    ax.set_xlabel("hours from the start of the session", fontsize=9.5)
    what = "parent drug" if output == "parent" else output.split("_")[0]
    ax.set_ylabel(f"{what} [{_unit(found, output)}]", fontsize=10)
    tidy(ax)


def _unit(found: Comparison, output: str) -> str:
    model = found.study.cases[0].model
    return plots.unit_of(model, model.observable(output))


def _course(found: Comparison, ax: Axes) -> None:
    """The exact peak of every session of every arm over the days of the course."""
    cases = found.study.cases
    last = max(planned.start for case in cases for planned in case.arm.protocol.plan()) / 24
    unit = cases[0].model.outputs[cases[0].model.parent].unit
    for place, (case, table) in enumerate(zip(cases, found.study.peak_quantiles, strict=True)):
        index = list(case.model.outputs).index(case.model.parent)
        factor = units.ratio(case.model.outputs[case.model.parent].unit, unit)
        p5, _, p50, _, p95 = factor * table[:, index].T
        shift = 0.006 * max(last, 1.0) * (place - (len(cases) - 1) / 2)
        days = np.array([planned.start for planned in case.arm.protocol.plan()]) / 24 + 1 + shift
        colour = _colour(found, case.arm.name)
        ax.vlines(days, p5, p95, color=colour, linewidth=1.6, alpha=0.6)
        ax.plot(days, p50, "o-", color=colour, markersize=5, linewidth=0.8)
    ax.set_ylim(bottom=0)
    if last < 1.0:  # one day only: no fractions of it
        ax.set_xlim(0.5, 1.5)
        ax.set_xticks([1])
    ax.set_xlabel("day of the course (arms side by side where they share a day)", fontsize=9.5)
    ax.set_ylabel(f"peak [{unit}]", fontsize=10)
    ax.set_title("Over the course: the peak of every session", **_HEAD)
    tidy(ax)


def _handles(found: Comparison, highest: dict[str, int]) -> list[Any]:
    handles: list[Any] = []
    for place, case in enumerate(found.study.cases):
        planned = case.arm.protocol.plan()[highest[case.arm.name] - 1]
        when = f"session {planned.index}, {planned.label}" + (f" over {clock(planned.over)}" if planned.over else "")
        look: dict[str, Any] = {"color": _colour(found, case.arm.name), "linewidth": 2}
        look |= {"linestyle": _STYLES[place % len(_STYLES)], "label": f"{case.arm.name}: {case.model.parent}, {when}"}
        handles.append(Line2D([], [], **look))
    handles.append(Patch(color="#555555", alpha=0.25, linewidth=0, label="line: median; area: 5-95 % of patients"))
    handles.append(Line2D([], [], color="#555555", linewidth=4, label="infusion; a triangle is a dose at once"))
    return handles
