"""The page of session peaks of a run whose arms run on several models."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from pkmodel import figures as pages
from pkmodel import overlay, plots, units
from pkmodel.cautions import group_of
from pkmodel.ink import LIMIT, pale, tidy
from pkmodel.outcome import Study
from pkmodel.specs.library import Arm

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Inches of the page, as of bands.
_WIDTH = 13.0


def peaks_figure(study: Study) -> Figure:
    """The peaks over patients under every model: a row to a model where sessions differ, else a panel to an arm."""
    foot = [*_verdicts(study), *pages.foot_of(study)]
    title = f"{study.scenario.spec.title}\nPeaks under each model"
    if max(case.n_sessions for case in study.cases) > 1:
        figure, axes = pages.sheet(title, foot, rows=len(study.models), columns=1, width=12.0, height=2.6)
        for ax, (name, model) in zip((line[0] for line in axes), study.models.items(), strict=True):
            plots.session_peaks(study, model=name, ax=ax)
            legend = ax.get_legend()
            if ax is not axes[-1][0]:
                ax.set_xlabel("")
            if legend is not None and ax is not axes[0][0]:
                legend.remove()
            elif legend is not None:
                legend.set_loc("lower right")
                legend.set_bbox_to_anchor((1.0, 1.0), transform=ax.transAxes)
            ax.set_title(f"{name}, {model.sampling}", loc="left", fontsize=10, fontweight="bold")
        top = max(line[0].get_ylim()[1] for line in axes)
        for ax, name in zip((line[0] for line in axes), study.models, strict=True):  # one scale for what is compared
            ax.set_ylim(0, top)
            case = next(case for case in study.cases if case.model.id == name)
            limits = plots.limits_of(study, case, case.model.parent)
            pages.label_limits(ax, [limit for limit in limits if limit.rule.metric == "peak" and limit.level < top])
        return figure
    foot.insert(0, "Box: 25-75 %, line: 5-95 %, stroke: median of the patients' peaks. Dashed: limits on peaks.")
    arms = study.scenario.arms
    figure, axes = pages.sheet(
        title,
        foot,
        rows=len(arms),
        columns=2,
        width=_WIDTH,
        height=0.5 + 0.28 * max(len(arm.models) for arm in arms),
        right=1.0,
        between=0.0,
        shares=(2.4, 9.0),
    )
    for (blank, ax), arm in zip(axes, arms, strict=True):
        blank.remove()  # the room for the names
        _peaks(study, arm, ax)
    top = max(ax.get_xlim()[1] for _, ax in axes)
    for _, ax in axes:
        ax.set_xlim(0, top)
    return figure


def _peaks(study: Study, arm: Arm, ax: Axes) -> None:
    """Peaks under each model of an arm, the first model on top, with the limits that rules set on them."""
    cases = overlay.of_arm(study, arm.name)
    unit = cases[0].model.outputs[cases[0].model.parent].unit
    names, highest = [], 0.0
    for place, case in enumerate(cases):
        index = list(case.model.outputs).index(case.model.parent)
        table = study.peak_quantiles[study.cases.index(case)][:, index]
        factor = units.ratio(case.model.outputs[case.model.parent].unit, unit)
        p5, p25, p50, p75, p95 = table[0] * factor
        colour = overlay.DRUGS[case.model.drug]
        ax.hlines(place, p5, p95, color=colour, linewidth=1.4, zorder=2)
        ax.barh(place, p75 - p25, 0.55, left=p25, facecolor=pale(colour), edgecolor=colour, linewidth=0.9, zorder=3)
        ax.vlines(p50, place - 0.28, place + 0.28, color="black", linewidth=1.8, zorder=4)
        built = ", of children" if group_of(case.model) == "children" else ""
        names.append(f"{case.model.id} ({case.model.sampling}{built})")
        highest = max(highest, float(p95))
    limits = [
        limit
        for limit in plots.limits_of(study, cases[0], cases[0].model.parent)
        if limit.rule.metric == "peak" and limit.level < 2.2 * highest
    ]
    for limit in limits:
        ax.axvline(limit.level, color=LIMIT, linestyle="--", linewidth=1.2)
        ax.annotate(
            limit.label, (limit.level, 1.01), xycoords=("data", "axes fraction"), ha="center", va="bottom", fontsize=9
        )
    ax.set_yticks(np.arange(len(cases)), names, fontsize=9)
    ax.set_ylim(len(cases) - 0.4, -0.6)
    ax.set_xlim(0, 1.08 * max([highest, *(limit.level for limit in limits)]))
    ax.set_xlabel(f"peak of the parent drug [{unit}]", fontsize=9.5)
    if len(study.scenario.arms) > 1:
        ax.set_title(arm.name, loc="right", fontsize=10, fontweight="bold")
    tidy(ax)
    ax.grid(axis="y", visible=False)
    ax.grid(axis="x", color="#e6e6e6", linewidth=0.6)


def _verdicts(study: Study) -> list[str]:
    """A line for every rule and window: what the models say together, and one model's own verdict elsewhere."""
    together = {(item.rule.id, item.window, item.arm): item.sentence for item in study.joint_verdicts}
    said: dict[tuple[str, str], dict[str, str]] = {}
    for found in study.results:
        sentence = together.get((found.rule, found.window, found.arm), f"{found.verdict} under {found.model}")
        said.setdefault((found.rule, found.window), {})[found.arm] = sentence
    named = {rule.id: rule for rule in study.scenario.spec.rules}
    words = {rule: pages.describe(spec) + pages.teaching(study, spec) for rule, spec in named.items()}
    return [
        f"{words[rule]}{pages.over(window)}, required in {100 * named[rule].share.value:g} %:  "
        + ";  ".join(f"{arm} {sentence}" for arm, sentence in arms.items())
        for (rule, window), arms in said.items()
    ]
