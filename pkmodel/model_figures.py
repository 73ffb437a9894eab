"""The pages of a run whose arms run on several models: small multiples of bands, and all medians in one panel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from pkmodel import figures as pages
from pkmodel import model_peaks, overlay, plots
from pkmodel.cases import Case
from pkmodel.disclaimer import IN_A_FIGURE
from pkmodel.ink import ENVELOPE, INK
from pkmodel.outcome import Study
from pkmodel.specs.model import ModelSpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from pkmodel.simulation import Result

_WIDTH = 13.0
#: Panels to a row by the sessions of a course: a broken axis of many sessions needs the width of the page.
_COLUMNS = ((2, 3), (6, 2))
#: Inches beside a panel of medians for the names of the models.
_NAMES = 2.45
#: Widths of panels of medians: most models are of the first site.
_SHARES = {1: (1.0,), 2: (2.0, 1.0)}


def figures(study: Study) -> dict[str, Figure]:
    """The figures of a run by file name."""
    return {
        "bands.png": bands_figure(study),
        "models.png": overlay_figure(study),
        "session_peaks.png": model_peaks.peaks_figure(study),
    }


def bands_figure(study: Study) -> Figure:
    """Bands of every arm, a panel to a model, on one scale; behind each the range of the medians of all of them."""
    longest = max(case.n_sessions for case in study.cases)
    columns = next((count for most, count in _COLUMNS if longest <= most), 1)
    columns = min(columns, max(len(arm.models) for arm in study.scenario.arms))
    effects = [name for case in study.cases for name in case.model.effects]
    outputs = list(
        dict.fromkeys(["parent", *(name for rule in study.scenario.spec.rules for name in rule.outputs), *effects])
    )
    panels: list[tuple[int, int, Case, str]] = []
    row = -1
    for arm in study.scenario.arms:
        for output in outputs:
            cases = [case for case in study.cases if case.arm.name == arm.name and overlay.gives(case, output)]
            panels += [(row + 1 + at // columns, at % columns, case, output) for at, case in enumerate(cases)]
            row = panels[-1][0] if cases else row
    title = study.scenario.spec.title
    figure, axes = pages.sheet(
        title,
        pages.foot_of(study),
        rows=row + 1,
        columns=columns,
        width=_WIDTH,
        height=2.3,
        legend=True,
        between=0.3,
    )
    bounds: dict[tuple[str, str], tuple[float, float]] = {}
    for at, column, case, output in panels:
        ax = plots.bands(study, case.arm.name, output, model=case.model.id, ax=axes[at][column])
        low, high = bounds.get(_scale(case, output), (0.0, 0.0))
        bottom, top = ax.get_ylim()
        bounds[_scale(case, output)] = min(low, bottom), max(high, top)
    for index, (at, column, case, output) in enumerate(panels):
        ax = axes[at][column]
        ax.set_ylim(*bounds[_scale(case, output)])  # one scale for what is to be compared
        every = plots.limits_of(study, case, case.model.observable(output))
        limits = [limit for limit in every if limit.level < ax.get_ylim()[1]]
        last = index + 1 == len(panels) or panels[index + 1][0] != at
        if last:
            pages.label_limits(ax, limits)
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
    handles = pages.band_handles(study)
    handles.insert(3, Patch(**ENVELOPE, label="medians of all models"))
    pages.legend(figure, handles)
    return figure


def _scale(case: Case, output: str) -> tuple[str, str]:
    """What panels have to share to have one scale."""
    return output, case.model.observables[case.model.observable(output)]


def _head(ax: Axes, case: Case, *, several_arms: bool) -> None:
    """The model over its panel, and inside what sets it apart."""
    name = f"{case.arm.name}: {case.model.id}" if several_arms else case.model.id
    ax.set_title(name, loc="left", fontsize=10, fontweight="bold")
    about = f"{case.model.sampling}, evidence {case.model.evidence}"
    # A course of many sessions has a wide panel, and its doses stand along the top.
    above = case.n_sessions > _COLUMNS[0][0]
    ax.text(
        0.99,
        1.03 if above else 0.985,
        about,
        transform=ax.transAxes,
        ha="right",
        va="bottom" if above else "top",
        fontsize=8.5,
    )


def overlay_figure(study: Study) -> Figure:
    """The medians under every model, a row to an arm and a panel to a site of sampling.

    Of one session, the first that a rule names.
    """
    arms = [arm for arm in study.scenario.arms if len(arm.models) > 1]
    sites = [site for site in ("venous", "arterial") if any(m.sampling == site for arm in arms for m in arm.models)]
    named = (test.window.first for _, _, test in plots.tests_of(study) if test.window.kind == "sessions")
    session = min(named, default=1)
    foot = [
        f"Lines: medians over patients in session {session}; before a name the median of the peaks. The grey area and "
        "the bracket hold the range between the models of a site, thin grey lines are models of another site; the "
        "spread between patients is in bands.png.",
        *_cited(study, session),
        *pages.foot_of(study),
    ]
    figure, axes = pages.sheet(
        study.scenario.spec.title,
        foot,
        rows=len(arms),
        columns=len(sites),
        width=_WIDTH,
        height=4.4,
        legend=True,
        right=_NAMES,
        between=0.5 + _NAMES,
        shares=_SHARES[len(sites)],
    )
    for row, arm in enumerate(arms):
        drawn: list[tuple[Axes, str]] = []
        for column, site in enumerate(sites):
            ax = axes[row][column]
            here = [model for model in arm.models if model.sampling == site]
            if not here:
                ax.remove()
                continue
            plots.models_overlay(study, arm=arm.name, sampling=site, session=session, ax=ax)  # type: ignore[arg-type]
            head = f"{site} sampling" if len(arms) == 1 else f"{arm.name}, {site} sampling"
            head += f", session {session}" if len(arm.protocol.plan()) > 1 else ""
            ax.set_title(head, loc="left", fontsize=10.5, fontweight="bold")
            if drawn:
                ax.set_ylabel("")
            drawn.append((ax, site))
        top = max(ax.get_ylim()[1] for ax, _ in drawn)
        for ax, site in drawn:  # one scale for what is to be compared
            ax.set_ylim(0, top)
            lines = overlay.medians(study, arm.name, "parent", session)
            overlay.name_lines([line for line in lines if line.model.sampling == site], ax)
    pages.legend(figure, _handles(study))
    return figure


def results_figure(results: Sequence[Result], warnings: Sequence[str]) -> Figure:
    """The figure of one patient under several models, with evidence and what to beware of."""
    grades = "; ".join(
        f"{result.model.id} (evidence: {result.model.evidence}, {result.model.sampling} sampling)" for result in results
    )
    foot = [
        f"One patient with typical parameters; before a name the highest level drawn. Models {grades}.",
        *(f"Note: {sentence}." for sentence in warnings),
        IN_A_FIGURE,
    ]
    protocol = results[0].protocol
    title = protocol.title if protocol is not None else "Several models"
    figure, ((ax,),) = pages.sheet(
        title, foot, rows=1, columns=1, width=11.0, height=4.2, right=_NAMES + 0.1, legend=True
    )
    overlay.results_overlay(results, ax=ax)
    pages.legend(figure, _model_handles([result.model for result in results]))
    return figure


def _cited(study: Study, session: int) -> list[str]:
    return [
        f"{mark.label}: {mark.source.citation} (evidence: {mark.source.evidence}"
        + (f", {mark.sampling} sampling)." if mark.sampling else ", site of sampling not stated).")
        for mark in study.scenario.spec.marks
        if mark.session == session
    ]


def _model_handles(models: Sequence[ModelSpec]) -> list[Any]:
    drugs = dict.fromkeys(model.drug for model in models)
    sites = dict.fromkeys(model.sampling for model in models)
    handles: list[Any] = [
        Line2D([], [], color=overlay.DRUGS[drug], linewidth=1.8, label=f"a model of {drug}") for drug in drugs
    ]
    if len(sites) > 1:
        handles += [
            Line2D([], [], color=INK, linewidth=1.5, linestyle=overlay.DASHES[site], label=site) for site in sites
        ]
    return handles


def _handles(study: Study) -> list[Any]:
    handles = _model_handles([*study.models.values()])
    handles.append(Patch(**ENVELOPE, label="range of the medians between models"))
    if study.scenario.spec.marks:
        handles.append(pages.mark_handle())
    plans = [planned for case in study.cases for planned in case.arm.protocol.plan()]
    if any(planned.over for planned in plans):
        handles.append(Line2D([], [], color=INK, linewidth=4, label="infusion"))
    return handles
