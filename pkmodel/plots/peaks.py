"""The peak of every session of a course over patients, arm beside arm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from pkmodel.errors import InputError, unknown_name
from pkmodel.ink import COLOURS, HATCHES, LIMIT, pale, tidy
from pkmodel.outcome import Study
from pkmodel.plots.limits import label_limits, limits_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def session_peaks(study: Study, output: str = "parent", *, model: str | None = None, ax: Axes | None = None) -> Axes:
    """The distribution over patients of every session's exact peak, arm beside arm, with the limits on peaks.

    Boxes hold the middle half of the patients, lines reach from the 5th to the 95th percentile. With ``model`` only
    the arms on that model are drawn. Raises InputError for an unknown output or model.
    """
    cases = [case for case in study.cases if model in (None, case.model.id)]
    if not cases:
        raise InputError(unknown_name("a model of the study", model, study.models, path="model"))
    own = ax is None
    ax = ax if ax is not None else Figure(figsize=(10, 4.6)).add_axes((0.08, 0.15, 0.79, 0.76))
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
    ax.set_ylabel(f"peak of {parent} [{first.model.outputs[parent].unit}]\nn = {study.n:,} patients", fontsize=10)
    handles.append(Line2D([], [], color="black", linewidth=1.8, label="median"))
    handles.append(Line2D([], [], color="#777777", linewidth=1.4, label="box: 25-75 %, line: 5-95 % of patients"))
    ax.legend(
        handles=handles, fontsize=9, frameon=False, ncols=len(handles), loc="lower left", bbox_to_anchor=(-0.01, 1.0)
    )
    tidy(ax)
    if own:
        label_limits(ax, drawn)
    return ax
