"""Several models in one picture: a line for each, named at its end, and how far the lines lie apart.

A line is the median over the patients of the run. The grey area and the bracket hold the range *between models* of
these medians, and nothing of the spread between patients.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pkmodel import units
from pkmodel.cases import Case
from pkmodel.cautions import group_of
from pkmodel.errors import InputError, Problem, unknown_name
from pkmodel.ink import COLOURS, ENVELOPE, INK, apart, tidy
from pkmodel.outcome import SHARES, Study
from pkmodel.specs import fields
from pkmodel.specs.mark import Mark
from pkmodel.specs.model import ModelSpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from pkmodel.simulation import Result

Floats = NDArray[np.float64]

_MEDIAN = SHARES.index(0.5)
#: A colour for each drug, a dash for each site of sampling: both show in grey.
DRUGS = {"ketamine": COLOURS[0], "esketamine": COLOURS[1]}
DASHES: dict[str, Any] = {"venous": "-", "arterial": (0, (5, 1.6))}
GHOST = "#b5b5b5"


@dataclass(frozen=True, eq=False)
class Line:
    """The median of an output under one model: ``median`` (t,) in ``unit`` at ``hours`` (t,).

    ``peak`` is the median over patients of the exact peak of the session; None where it is not known: of the
    whole course, and of an effect whose peak no rule asks for.
    """

    model: ModelSpec
    hours: Floats
    median: Floats
    unit: str
    peak: float | None = None


def of_arm(study: Study, arm: str | None) -> list[Case]:
    """The cases of an arm, by default the first. Raises InputError with the nearest name."""
    names = [other.name for other in study.scenario.arms]
    if arm is not None and arm not in names:
        raise InputError(unknown_name("an arm", arm, names, path="arm"))
    return [case for case in study.cases if case.arm.name == (arm if arm is not None else names[0])]


def gives(case: Case, output: str) -> bool:
    """Whether a model has an output or effect."""
    try:
        case.model.observable(output)
    except InputError:
        return False
    return True


def medians(study: Study, arm: str | None = None, output: str = "parent", session: int | None = None) -> list[Line]:
    """A line for every model of an arm that gives the output or effect, all in the unit of the first of them.

    Of one session, or of the whole course.
    Raises InputError for an unknown arm or output, or a session that the arm does not have.
    """
    cases = [case for case in of_arm(study, arm) if gives(case, output)]
    if not cases:
        of_arm(study, arm)[0].model.observable(output)  # says what there is
    if session is not None and not 1 <= session <= cases[0].n_sessions:
        raise InputError(Problem(str(session), f"a session from 1 to {cases[0].n_sessions}", path="session"))
    found = []
    unit = cases[0].model.observables[cases[0].model.observable(output)]
    for case in cases:
        name = case.model.observable(output)
        factor = units.ratio(case.model.observables[name], unit)
        table = study.level_quantiles[study.cases.index(case)]
        index = list(case.model.observables).index(name)
        median = table[:, index, _MEDIAN] * factor
        if session is None:
            found.append(Line(case.model, case.times, median, unit))
        else:
            which = case.session_of == session
            # The exact median where a rule or the comparison has asked for it; else the sketch's, within 0.4 %.
            peak = _asked(study, case, output, session, unit)
            if peak is None and name in case.model.outputs:
                peak = float(study.peak_quantiles[study.cases.index(case)][session - 1, index, _MEDIAN]) * factor
            found.append(Line(case.model, case.times[which] - case.times[which][0], median[which], unit, peak))
    return found


def _asked(study: Study, case: Case, output: str, session: int, unit: str) -> float | None:
    windows = [f"session {session}"] + (["worst session"] if case.n_sessions == 1 else [])
    for item in study.model_ranges:
        asked = item.question
        if asked in case.questions and case.questions[asked][0].of_baseline is not None:
            continue
        if (item.arm, asked.output, asked.metric) == (case.arm.name, output, "peak") and asked.window in windows:
            return item.medians[case.model.id] * units.ratio(item.unit, unit)
    return None


def stated(case: Case, output: str) -> str:
    """An output in words that every model understands: ``parent`` for the drug itself, whatever it is called."""
    return "parent" if case.model.observable(output) == case.model.parent else output


def envelope(lines: list[Line]) -> tuple[Floats, Floats]:
    """The lowest and the highest median (t,) at each time, over all lines."""
    together = np.stack([line.median for line in lines])
    return together.min(axis=0), together.max(axis=0)


def marks_of(study: Study, arm: str, session: int | None, output: str) -> list[Mark]:
    """The marks of a scenario that belong on this arm, session (None: any) and output."""
    model = of_arm(study, arm)[0].model
    return [
        mark
        for mark in study.scenario.spec.marks
        if mark.arm in (None, arm)
        and session in (None, mark.session)
        and model.output(mark.output) == model.observable(output)
    ]


def models_overlay(
    study: Study,
    *,
    arm: str | None = None,
    output: str = "parent",
    sampling: fields.Sampling | None = None,
    session: int = 1,
    ax: Axes | None = None,
) -> Axes:
    """The median over patients under each model of an arm, in one session, with the published marks of the scenario.

    Lines are named at their ends, each after the median of the peaks. Colour tells the drug, dashes an arterial model;
    the grey area and the bracket hold the range of the medians between models. With ``sampling`` only models of that
    site are named, the others stay thin and grey behind, and marks of the other site are left out.

    Raises InputError for an unknown arm, output or session, and where no model has the site asked for.
    """
    every = medians(study, arm, output, session)
    lines = [line for line in every if sampling in (None, line.model.sampling)]
    if not lines:
        raise InputError(
            Problem(f"no model with {sampling} sampling", "a site that a model of the arm has", "sampling")
        )
    ax = ax if ax is not None else Figure(figsize=(9, 4.4)).add_subplot()
    unit, hours, case = lines[0].unit, lines[0].hours, of_arm(study, arm)[0]
    low, high = envelope(lines)
    if len(lines) > 1:
        ax.fill_between(hours, low, high, **ENVELOPE, zorder=1)
    for line in every:
        if line not in lines:
            ax.plot(hours, line.median, color=GHOST, linestyle=DASHES[line.model.sampling], linewidth=0.9, zorder=2)
    for line in lines:
        model = line.model
        ax.plot(hours, line.median, color=DRUGS[model.drug], linestyle=DASHES[model.sampling], linewidth=1.5, zorder=3)
    marks = [
        mark
        for mark in marks_of(study, case.arm.name, session, output)
        if sampling in (None, mark.sampling or sampling)
    ]
    levels = [units.convert(mark.level.value, unit) for mark in marks]
    floor = min(0.0, *(1.12 * float(line.median.min()) for line in every))  # an effect may lie below 0
    ax.set_xlim(0, hours[-1])
    ax.set_ylim(floor, 1.12 * max([*(float(line.median.max()) for line in every), *levels]) or 1.0)
    planned = case.arm.protocol.plan()[session - 1]
    if planned.over:
        ax.plot((0, planned.over), (0.012, 0.012), transform=ax.get_xaxis_transform(), color=INK, linewidth=4, zorder=4)
    notes = _bracket(lines, ax)
    for mark, level in zip(marks, levels, strict=True):
        ax.plot(
            [mark.time.value],
            [level],
            marker="D",
            markersize=7.5,
            color="white",
            markeredgecolor=INK,
            markeredgewidth=1.6,
            linestyle="",
            zorder=6,
        )
        notes.append((mark.time.value, level, f"{mark.label}: {level:.3g} {unit}"))
    _notes(notes, ax)
    ax.set_xlabel("hours from the start of the session", fontsize=9.5)
    what = "parent drug" if output == "parent" else output
    ax.set_ylabel(f"{what} [{unit}]\nmedian, n = {study.n:,} patients", fontsize=10)
    tidy(ax)
    name_lines(lines, ax)
    return ax


def results_overlay(results: Sequence[Result], *, ax: Axes | None = None) -> Axes:
    """The level of the drug itself in one patient under several models, named at the ends of the lines.

    ``results`` are of one protocol on one grid of times; the unit is that of the first.
    """
    ax = ax if ax is not None else Figure(figsize=(9, 4.4)).add_subplot()
    first = results[0]
    unit = first.model.outputs[first.model.parent].unit
    scale = 24.0 if first.until > 96 else 1.0
    lines = []
    for result in results:
        model = result.model
        factor = units.ratio(model.outputs[model.parent].unit, unit)
        level = result.level()[0] * factor
        line = Line(model, result.time / scale, level, unit, float(level.max()))
        look: dict[str, Any] = {"color": DRUGS[model.drug], "linestyle": DASHES[model.sampling], "linewidth": 1.5}
        ax.plot(line.hours, level, **look)
        lines.append(line)
    ax.set_xlim(0, first.until / scale)
    ax.set_ylim(0, 1.12 * max(float(line.median.max()) for line in lines) or 1.0)
    ax.set_xlabel(f"{'days' if scale > 1 else 'hours'} from the start of the course", fontsize=9.5)
    ax.set_ylabel(f"parent drug [{unit}]", fontsize=10)
    tidy(ax)
    name_lines(lines, ax)
    return ax


def name_lines(lines: list[Line], ax: Axes) -> None:
    """Name every line in the margin at its end, after its peak, pushed apart where names would overlap.

    To be called again where the scale of the axis was changed.
    """
    for text in [text for text in ax.texts if text.get_gid() == "line"]:
        text.remove()
    top = ax.get_ylim()[1]
    page = ax.get_figure(root=True)
    inches = ax.get_position().height * page.get_figheight() if page is not None else 4.0
    ends = [float(line.median[-1]) for line in lines]
    for line, end, y in zip(lines, ends, apart(ends, 0.165 / inches * top, top), strict=True):
        colour = DRUGS[line.model.drug]
        ax.annotate(
            ("" if line.peak is None else f"{line.peak:.3g}  ")
            + f"{line.model.id}{' (children)' if group_of(line.model) == 'children' else ''}",
            (1.0, end),
            (1.045, y),
            xycoords=("axes fraction", "data"),
            textcoords=("axes fraction", "data"),
            fontsize=8.5,
            va="center",
            color=colour,
            arrowprops={
                "arrowstyle": "-",
                "color": colour,
                "linewidth": 0.7,
                "linestyle": DASHES[line.model.sampling],
                "shrinkA": 1,
                "shrinkB": 0,
                "relpos": (0, 0.5),
            },
            annotation_clip=False,
            gid="line",
        )


def _bracket(lines: list[Line], ax: Axes) -> list[tuple[float, float, str]]:
    """A bracket from the lowest to the highest median peak; the answer is what to write of it."""
    peaks = [line.peak for line in lines if line.peak is not None]
    if len(lines) < 2 or len(peaks) < len(lines):
        return []
    low, high = min(peaks), max(peaks)
    highest = lines[peaks.index(high)]
    x = float(highest.hours[highest.median.argmax()] + 0.03 * highest.hours[-1])
    ax.errorbar([x], [low], yerr=[[0.0], [high - low]], color=INK, linewidth=1.2, capsize=4, fmt="none", zorder=5)
    text = f"median peaks {low:.3g} to {high:.3g} {lines[0].unit}"
    return [(x, high, text + (f",\n{high / low:.2g}-fold between models" if low > 0 else ""))]


def _notes(notes: list[tuple[float, float, str]], ax: Axes) -> None:
    """Texts in the upper right, which curves leave free after a dose, each led to its point by a thin line."""
    start, end = ax.get_xlim()
    right = max((x for x, _, _ in notes), default=0.0) + 0.05 * (end - start)
    height = 0.965
    for x, y, text in notes:
        ax.annotate(
            text,
            (x, y),
            (right, height),
            textcoords=("data", "axes fraction"),
            fontsize=9,
            ha="left",
            va="top",
            color=INK,
            linespacing=1.1,
            arrowprops={"arrowstyle": "-", "color": "#777777", "linewidth": 0.8, "shrinkB": 3, "relpos": (0, 0.5)},
            zorder=7,
        )
        height -= 0.05 + 0.045 * (text.count("\n") + 1)
