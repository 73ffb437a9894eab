"""The pages of a run whose arms run on several models: small multiples of bands, and all medians in one panel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from pkmodel import figures, overlay, plots
from pkmodel.cases import Case
from pkmodel.ink import ENVELOPE, INK
from pkmodel.outcome import Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDTH = 13.0
#: Panels to a row by the sessions of a course: a broken axis of many sessions needs the width of the page.
_COLUMNS = ((2, 3), (6, 2))
#: Inches beside a panel of medians for the names of the models.
_NAMES = 2.45


def bands_figure(study: Study) -> Figure:
    """Bands of every arm, a panel to a model, on one scale; behind each the range of the medians of all of them."""
    longest = max(case.n_sessions for case in study.cases)
    columns = next((count for most, count in _COLUMNS if longest <= most), 1)
    columns = min(columns, max(len(arm.models) for arm in study.scenario.arms))
    outputs = list(dict.fromkeys(["parent", *(rule.output for rule in study.scenario.spec.rules)]))
    panels: list[tuple[int, int, Case, str]] = []
    row = -1
    for arm in study.scenario.arms:
        for output in outputs:
            cases = [case for case in study.cases if case.arm.name == arm.name]
            panels += [(row + 1 + at // columns, at % columns, case, output) for at, case in enumerate(cases)]
            row = panels[-1][0]
    title = study.scenario.spec.title
    figure, axes = figures.sheet(
        title,
        figures.foot_of(study),
        rows=row + 1,
        columns=columns,
        width=_WIDTH,
        height=2.3,
        legend=True,
        between=0.3,
    )
    tops: dict[tuple[str, str], float] = {}
    for at, column, case, output in panels:
        ax = plots.bands(study, case.arm.name, output, model=case.model.id, ax=axes[at][column])
        scale = output, case.model.outputs[case.model.output(output)].unit
        tops[scale] = max(tops.get(scale, 0.0), ax.get_ylim()[1])
    for index, (at, column, case, output) in enumerate(panels):
        ax = axes[at][column]
        name = case.model.output(output)
        ax.set_ylim(0, tops[output, case.model.outputs[name].unit])
        limits = [limit for limit in plots.limits_of(study, case, name) if limit.level < ax.get_ylim()[1]]
        last = index + 1 == len(panels) or panels[index + 1][0] != at
        if last:
            figures.label_limits(ax, limits)
        if column:
            ax.tick_params(labelleft=False)
            ax.set_ylabel("")
        if any(below[1] == column and below[0] > at for below in panels):
            ax.set_xlabel("")
        _head(ax, case, several_arms=len(study.scenario.arms) > 1)
    used = {(at, column) for at, column, _, _ in panels}
    for at, line in enumerate(axes):
        for column, ax in enumerate(line):
            if (at, column) not in used:
                ax.remove()
    handles = figures.band_handles(study)
    handles.insert(3, Patch(**ENVELOPE, label="medians of all models"))
    figures.legend(figure, handles)
    return figure


def _head(ax: Axes, case: Case, *, several_arms: bool) -> None:
    """The model over its panel, and inside what sets it apart."""
    name = f"{case.arm.name}: {case.model.id}" if several_arms else case.model.id
    ax.set_title(name, loc="left", fontsize=10, fontweight="bold")
    about = f"{case.model.sampling}, evidence {case.model.evidence}"
    ax.text(0.99, 0.985, about, transform=ax.transAxes, ha="right", va="top", fontsize=8.5, color=INK)


def overlay_figure(study: Study) -> Figure:
    """The medians under every model, a row to an arm and a panel to a site of sampling; of the first session."""
    arms = [arm for arm in study.scenario.arms if len(arm.models) > 1]
    sites = [site for site in ("venous", "arterial") if any(m.sampling == site for arm in arms for m in arm.models)]
    session = 1
    foot = [
        "Lines: medians over patients in the first session; beside a name the median of the peaks. Grey and the "
        "bracket: range between models; the spread between patients is in bands.png.",
        *(_cited(study)),
        *figures.foot_of(study),
    ]
    figure, axes = figures.sheet(
        study.scenario.spec.title,
        foot,
        rows=len(arms),
        columns=len(sites),
        width=_WIDTH,
        height=4.4,
        legend=True,
        right=_NAMES,
        between=0.35 + _NAMES,
    )
    for row, arm in enumerate(arms):
        drawn = []
        for column, site in enumerate(sites):
            ax = axes[row][column]
            here = [model for model in arm.models if model.sampling == site]
            if not here:
                ax.remove()
                continue
            plots.models_overlay(study, arm=arm.name, sampling=site, session=session, ax=ax)  # type: ignore[arg-type]
            head = f"{site} sampling" if len(arms) == 1 else f"{arm.name}, {site} sampling"
            ax.set_title(head, loc="left", fontsize=10.5, fontweight="bold")
            drawn.append((ax, site))
        top = max(ax.get_ylim()[1] for ax, _ in drawn)
        for ax, site in drawn:  # one scale for what is to be compared
            ax.set_ylim(0, top)
            lines = overlay.medians(study, arm.name, "parent", session)
            overlay.name_lines([line for line in lines if line.case.model.sampling == site], ax)
    figures.legend(figure, _handles(study))
    return figure


def _cited(study: Study) -> list[str]:
    return [
        f"{mark.label}: {mark.source.citation} (evidence: {mark.source.evidence}"
        + (f", {mark.sampling} sampling)." if mark.sampling else ", site of sampling not stated).")
        for mark in study.scenario.spec.marks
    ]


def _handles(study: Study) -> list[Any]:
    drugs = dict.fromkeys(model.drug for model in study.models.values())
    sites = dict.fromkeys(model.sampling for model in study.models.values())
    handles: list[Any] = [
        Line2D([], [], color=overlay.DRUGS[drug], linewidth=1.8, label=f"a model of {drug}") for drug in drugs
    ]
    if len(sites) > 1:
        handles += [
            Line2D([], [], color=INK, linewidth=1.5, linestyle=overlay.DASHES[site], label=site) for site in sites
        ]
    handles.append(Patch(**ENVELOPE, label="range of the medians between models"))
    handles.append(Line2D([], [], color=INK, marker="_", markersize=9, label="range of the median peaks"))
    if study.scenario.spec.marks:
        handles.append(figures.mark_handle())
    plans = [planned for case in study.cases for planned in case.arm.protocol.plan()]
    if any(planned.over for planned in plans):
        handles.append(Line2D([], [], color=INK, linewidth=4, label="infusion"))
    return handles
