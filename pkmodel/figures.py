"""The pages of a run: plots set side by side with title, verdicts, models, evidence and what is assumed.

Laid out by arithmetic in inches, because a solver for the layout takes longer than the simulation.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from pkmodel import findings, plots, wording
from pkmodel.disclaimer import IN_A_FIGURE
from pkmodel.ink import INK, LIMIT
from pkmodel.outcome import Study
from pkmodel.plots import limits_of
from pkmodel.plots.limits import label_limits as label_limits
from pkmodel.specs.clause import COMBINED
from pkmodel.specs.metric import is_level
from pkmodel.specs.model import ModelSpec
from pkmodel.specs.rule import Rule

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from pkmodel.simulation import Result

#: Inches of the page around the panels.
_LEFT, _RIGHT, _LINE = 0.85, 1.25, 0.14
#: Letters of the foot to an inch, at least.
_PER_INCH = 14.5


def result_figure(result: Result) -> Figure:
    """The figure of one simulated patient with title, model, evidence and what to beware of."""
    model = result.model
    foot = [f"One patient with typical parameters; model {model.id} ({_grade(model)})."]
    foot += [f"Note: {sentence}." for sentence in result.warnings]
    title = result.protocol.title if result.protocol else model.title
    units = list(dict.fromkeys(plots.unit_of(model, name) for name in result.network.effects))
    lines = [*foot, IN_A_FIGURE]
    figure, axes = sheet(
        title, lines, rows=1 + len(units), columns=1, width=10.5, height=3.9 if not units else 3.1, right=0.25
    )
    plots.levels(result, ax=axes[0][0])
    for unit, (ax,) in zip(units, axes[1:], strict=True):
        plots.effects(result, unit, ax=ax)
    return figure


def figures(study: Study) -> dict[str, Figure]:
    """The figures of a run by file name: bands per arm, session peaks, and several models of an arm in one panel."""
    if any(len(arm.models) > 1 for arm in study.scenario.arms):
        from pkmodel import model_figures

        return model_figures.figures(study)
    return {"bands.png": _bands_figure(study), "session_peaks.png": _peaks_figure(study)}


def _bands_figure(study: Study) -> Figure:
    outputs = []
    for case in study.cases:
        named = [case.model.observable(name) for rule in study.scenario.spec.rules for name in rule.outputs]
        outputs.append(list(dict.fromkeys([case.model.parent, *named, *case.model.effects])))
    # Side by side only where there is room for titles.
    if all(case.n_sessions <= 2 for case in study.cases) and max(map(len, outputs)) <= 2:
        rows, columns = len(study.cases), max(len(names) for names in outputs)
        places = [(row, column) for row, names in enumerate(outputs) for column in range(len(names))]
    else:
        rows, columns = sum(len(names) for names in outputs), 1
        places = [(row, 0) for row in range(rows)]
    title = study.scenario.spec.title
    figure, axes = sheet(title, foot_of(study), rows=rows, columns=columns, width=13.0, height=2.75, legend=True)
    panels = [(case, name) for case, names in zip(study.cases, outputs, strict=True) for name in names]
    tops: dict[str, float] = {}
    bottoms: dict[str, float] = {}
    for (row, column), (case, name) in zip(places, panels, strict=True):
        ax = plots.bands(study, case.arm.name, name, model=case.model.id, ax=axes[row][column])
        bottom, top = ax.get_ylim()
        tops[name], bottoms[name] = max(tops.get(name, 0.0), top), min(bottoms.get(name, 0.0), bottom)
    for (row, column), (case, name) in zip(places, panels, strict=True):
        axes[row][column].set_ylim(bottoms[name], tops[name])  # one scale for what is to be compared
        label_limits(axes[row][column], [limit for limit in limits_of(study, case, name) if limit.level < tops[name]])
    used = set(places)
    for row in range(rows):
        for column in range(columns):
            if (row, column) not in used:
                axes[row][column].remove()
    legend(figure, band_handles(study))
    return figure


def band_handles(study: Study) -> list[Any]:
    """What the legend of bands explains."""
    tests = [test for _, _, test in plots.tests_of(study)]
    handles: list[Any] = [
        Line2D([], [], color="#555555", linewidth=1.6, label="median"),
        Patch(color="#555555", alpha=0.55, linewidth=0, label="25-75 % of patients"),
        Patch(color="#555555", alpha=0.22, linewidth=0, label="5-95 % of patients"),
        Line2D([], [], color=LIMIT, linestyle="--", label="limit of a rule"),
    ]
    if any(test.threshold is not None for test in tests):
        handles.append(Line2D([], [], color=LIMIT, linestyle=":", label="level with limited time above"))
    if any(test.moment is not None for test in tests):
        handles.append(Line2D([], [], color=LIMIT, linewidth=2, label="limit at one moment"))
    plans = [planned for case in study.cases for planned in case.arm.protocol.plan()]
    if any(planned.over for planned in plans):
        handles.append(Line2D([], [], color=INK, linewidth=4, label="infusion"))
    if any(not planned.over for planned in plans):
        handles.append(Line2D([], [], color=INK, marker="v", linestyle="", label="dose at once (first device)"))
    if study.scenario.spec.marks:
        handles.append(mark_handle())
    return handles


def mark_handle() -> Line2D:
    """The legend's entry for published levels."""
    look: dict[str, Any] = {"color": "white", "markeredgecolor": INK, "markeredgewidth": 1.4}
    return Line2D([], [], marker="D", markersize=6, linestyle="", label="published level", **look)


def legend(figure: Figure, handles: list[Any]) -> None:
    """A line of entries under the title."""
    height = figure.get_figheight()
    figure.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(0.005, 1 - 0.36 / height),
        ncols=len(handles),
        fontsize=9 if len(handles) <= 8 else 8,
        frameon=False,
        columnspacing=1.2 if len(handles) <= 8 else 0.9,
        handlelength=1.8 if len(handles) <= 8 else 1.5,
    )


def _peaks_figure(study: Study) -> Figure:
    described = {rule.id: describe(rule) + teaching(study, rule) for rule in study.scenario.spec.rules}
    several = len({case.model.id for case in study.cases}) > 1
    judged: dict[str, list[str]] = {}
    for found in study.results:
        rule = f"{described[found.rule]}{over(found.window)}, required in {100 * found.required:g} %"
        who = found.arm + (f" on {found.model}" if several else "")
        share = f"{100 * found.share:.1f} % [{100 * found.low:.1f}-{100 * found.high:.1f}]"
        judged.setdefault(rule, []).append(f"{who} {share} {found.verdict.upper()}")
    lines = [f"{rule}:  {';  '.join(arms)}" for rule, arms in judged.items()]
    lines.append("In brackets the 95 % interval, simulation error only.")
    title = f"{study.scenario.spec.title}\nPeak of each session"
    figure, ((ax,),) = sheet(title, [*lines, *foot_of(study)], rows=1, columns=1, width=12.0, height=3.9, legend=True)
    plots.session_peaks(study, ax=ax)
    case = study.cases[0]
    name = case.model.output("parent")
    top = ax.get_ylim()[1]
    label_limits(
        ax, [limit for limit in limits_of(study, case, name) if limit.rule.metric == "peak" and limit.level < top]
    )
    return figure


def describe(rule: Rule) -> str:
    """A rule in words, with its name before them."""
    said = wording.described(rule)
    if rule.joined is None and rule.output and is_level(rule.output):
        said = said.replace(f" of {rule.output}", "", 1)  # a level is what the picture shows
    return f"{rule.id}: {said}"


def over(window: str) -> str:
    """The window of a rule in brackets; nothing where its clauses have several, which the rule says itself."""
    return "" if window == COMBINED else f" ({window})"


def teaching(study: Study, rule: Rule) -> str:
    """What is said beside a rule on an illustrative effect."""
    return " (illustrative)" if any(findings.illustrative(rule, case.model) for case in study.cases) else ""


def _grade(model: ModelSpec) -> str:
    return f"evidence: {model.evidence}, {model.sampling} sampling"


def foot_of(study: Study) -> list[str]:
    """What stands at the foot of every page of a run."""
    models = {case.model.id: case.model for case in study.cases}
    grades = "; ".join(f"{model.id} ({_grade(model)})" for model in models.values())
    lines = [f"n = {study.n:,} virtual patients, seed {study.scenario.spec.seed}. Model {grades}."]
    lines += [f"Assumed or borrowed: {sentence}." for sentence in study.assumptions]
    lines += [f"Warning: {sentence}." for sentence in study.warnings]
    return [*lines, IN_A_FIGURE]


def sheet(
    title: str,
    foot: list[str],
    *,
    rows: int,
    columns: int,
    width: float,
    height: float,
    legend: bool = False,
    right: float = _RIGHT,
    between: float | None = None,
    shares: Sequence[float] = (),
) -> tuple[Figure, list[list[Axes]]]:
    """A page with a title, a grid of panels, and lines of text at the foot; sizes in inches.

    ``right`` is what stays free beside the last column, ``between`` what lies between two; ``shares`` are the widths of
    the columns over one another, equal by default. Long lines of the foot are wrapped.

    Laid out by arithmetic, because a solver for the layout takes longer than the simulation.
    """
    pad, between = 0.75, 0.45 + right if between is None else between
    foot = [part for line in foot for part in textwrap.wrap(line, int(_PER_INCH * width), subsequent_indent="    ")]
    top = 0.35 + 0.22 * title.count("\n") + (0.32 if legend else 0.0) + 0.28
    bottom = 0.62 + _LINE * len(foot)
    total = top + rows * height + (rows - 1) * pad + bottom
    room = width - _LEFT - right - (columns - 1) * between
    panels = [room * share / sum(shares) for share in shares] if shares else [room / columns] * columns
    figure = Figure(figsize=(width, total))
    axes = []
    for row in range(rows):
        y = (bottom + (rows - 1 - row) * (height + pad)) / total
        line = []
        for column in range(columns):
            x = (_LEFT + sum(panels[:column]) + column * between) / width
            line.append(figure.add_axes((x, y, panels[column] / width, height / total)))
        axes.append(line)
    figure.text(
        0.1 / width, 1 - 0.1 / total, title, ha="left", va="top", fontsize=13, fontweight="bold", linespacing=1.15
    )
    text = "\n".join(foot)
    figure.text(
        0.1 / width, 0.08 / total, text, ha="left", va="bottom", fontsize=8.5, color="#444444", linespacing=1.15
    )
    return figure, axes
