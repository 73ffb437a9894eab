"""Levels over time, one regimen or several on one axis, with the doses under them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from pkmodel.errors import InputError, Problem
from pkmodel.ink import COLOURS
from pkmodel.plots import time_axis
from pkmodel.plots.curves import (
    Curve,
    axis_of,
    credit,
    curves_of,
    named,
    size_of,
)
from pkmodel.plots.given_doses import doses, two_scales
from pkmodel.plots.limits import Level, wrapped
from pkmodel.plots.marking import check, mark_limits, mark_peaks, name_limits, peak_level, within
from pkmodel.plots.summary import Summary
from pkmodel.plots.ticks import up

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from pkmodel.simulation import Result

Floats = NDArray[np.float64]

#: Dashes of the drug itself and of its metabolites, in this order; markers of the results after the first.
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.8)), (0, (5, 1.5, 1, 1.5)), (0, (1.2, 1.4)))
MARKERS = ("", "o", "s", "^", "D", "v")
#: Decades under the highest level that a log axis shows.
_DECADES = 4.0


def concentration(
    results: Result | Summary | Mapping[str, Result | Summary],
    *,
    outputs: Sequence[str] = ("parent",),
    ax: Axes | None = None,
    dose_ax: Axes | None = None,
    limits: Sequence[Level] = (),
    log: bool = False,
    clock: str | None = None,
    normalise: bool = False,
    window: tuple[float, float] | None = None,
    marks_of_peak: bool = False,
) -> Axes:
    """Levels over time with the doses on the same axis of time.

    One patient is a line; of many the line is the median, with areas for the middle 50 and 90 % of the patients.

    Parameters
    ----------
    results
        a result, or several by name to set side by side; in the unit of the first. A summary stands for its result.
    outputs
        outputs or effects of the models; metabolites are dashed.
    ax, dose_ax
        where to draw levels and doses. Without ``ax`` both get a new figure (9 by 5 inches); with ``ax`` alone there
        are no doses. Leave 0.6 inches free on the right of ``dose_ax`` for a second scale. Data are in h from the
        start of the course, whatever the ticks say.
    limits
        levels to mark, for the first of the ``outputs``. Where that is above an upper one, the area between is hatched.
    log
        a logarithmic axis over at most four decades; levels of 0 have no place on it and leave a gap.
    clock
        the time of day at which the course starts, such as ``"09:00"``: the axis then has times of day.
    normalise
        every curve over its own peak (of the median, for many patients), so that shapes can be compared.
    window
        hours from the start of the course to show, by default all.
    marks_of_peak
        mark the highest point in view of every curve with its level: exact for one patient, else of the drawn grid.

    Returns
    -------
    The axes of the levels.

    Raises
    ------
    InputError
        where there is nothing to draw, an output is unknown, units cannot be converted, or an argument is not such.
    """
    by_name = named(results)
    if ax is None:
        figure = Figure(figsize=(9.0, 5.0), dpi=100)
        width = 0.825 if two_scales(by_name.values()) else 0.875  # what is given at once has an axis on the right
        ax = figure.add_axes((0.095, 0.36, width, 0.55))
        dose_ax = dose_ax if dose_ax is not None else figure.add_axes((0.095, 0.115, width, 0.225))
    look: dict[str, Any] = {"log": log, "clock": clock, "normalise": normalise, "marks_of_peak": marks_of_peak}
    span = draw(by_name, outputs, ax, limits=limits, window=window, label=dose_ax is None, **look)
    if dose_ax is not None:
        doses(by_name if len(by_name) > 1 else by_name[""], ax=dose_ax, clock=clock, window=span)
    return ax


def draw(
    by_name: Mapping[str, Result | Summary],
    outputs: Sequence[str],
    ax: Axes,
    *,
    limits: Sequence[Level],
    log: bool,
    clock: str | None,
    normalise: bool,
    window: tuple[float, float] | None,
    marks_of_peak: bool,
    label: bool,
) -> tuple[float, float]:
    """The levels of :func:`concentration` alone; ``label``: with times under the axis. Returns the span of hours."""
    span = time_axis.span_of(by_name.values(), window)
    if clock is not None:
        time_axis.time_of_day(clock)
    curves = curves_of(by_name, outputs)
    scale = {id(curve): peak_level(curve) if normalise else 1.0 for curve in curves}
    check(limits, curves[0])
    highest = 0.0
    lowest = 0.0
    smallest = np.inf
    for curve in curves:
        shown = within(curve.hours, span)
        edges = (curve.edges if curve.n > 1 else curve.levels)[:, shown] / scale[id(curve)]
        highest, lowest = max(highest, float(edges.max())), min(lowest, float(edges.min()))
        if log:
            smallest = min(smallest, float(edges.min(where=edges > 0, initial=np.inf)))
            edges = np.where(edges > 0, edges, np.nan)
        _draw(curve, curve.hours[shown], edges, ax, alone=len(by_name) == 1)
    if log and highest <= 0:
        raise InputError(Problem("no level above 0", "a level above 0 on a logarithmic axis", path="log"))
    near = mark_limits(limits, curves, span, highest, ax, normalise=normalise)
    if log:
        ax.set_yscale("log")
        top = max(highest, *near, 0.0)
        ax.set_ylim(max(smallest, top / 10**_DECADES) / 1.3, 2.0 * top)
    else:
        ax.set_ylim(1.15 * lowest, 1.15 * max(highest, *near, 0.0) or 1.0)
    if marks_of_peak:
        mark_peaks(curves, scale, span, ax)
    name_limits(ax)
    _explain(curves, by_name, ax, normalise=normalise)
    time_axis.lay_out(ax, span, clock, label=label)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    return span


def look_of(curve: Curve, *, alone: bool) -> dict[str, Any]:
    """Colour, dash and marker of a curve: dashes tell metabolites, markers the results, also in grey."""
    colour = COLOURS[(curve.rank if alone else curve.place) % len(COLOURS)]
    look: dict[str, Any] = {"color": colour, "linestyle": DASHES[min(curve.rank, len(DASHES) - 1)], "linewidth": 2.0}
    marker = MARKERS[curve.place % len(MARKERS)]
    if marker:
        look |= {"marker": marker, "markersize": 5, "markerfacecolor": "white", "markeredgewidth": 1.3}
    return look


def _draw(curve: Curve, hours: Floats, edges: Floats, ax: Axes, *, alone: bool) -> None:
    look = look_of(curve, alone=alone)
    if curve.n > 1:
        ax.fill_between(hours, edges[0], edges[4], color=look["color"], alpha=0.16, linewidth=0)
        ax.fill_between(hours, edges[1], edges[3], color=look["color"], alpha=0.30, linewidth=0)
    every = (0.03 * curve.place, 0.09) if curve.place else None
    ax.plot(hours, edges[edges.shape[0] // 2], label=curve.title, markevery=every, zorder=3, **look)


def _explain(curves: Sequence[Curve], by_name: Mapping[str, Result | Summary], ax: Axes, *, normalise: bool) -> None:
    """The label of the axis with n, the legend, and the grade of the models at the right edge."""
    what = axis_of(curves)
    if normalise:
        what = f"{what.rpartition(' [')[0]}, share of peak [1 = peak]"
    population = any(curve.n > 1 for curve in curves)
    up(ax, wrapped(what) + (f"\n{size_of(by_name)}" if population else ""))
    alone = len(by_name) == 1
    handles: list[Any] = []
    if len(curves) > 1:
        handles = [Line2D([], [], label=curve.title, **look_of(curve, alone=alone)) for curve in curves]
    if population:
        handles.append(Patch(color="#555555", alpha=0.46, linewidth=0, label="25-75 % of patients"))
        handles.append(Patch(color="#555555", alpha=0.2, linewidth=0, label="5-95 %; line: median"))
    if handles:
        ax.legend(
            handles=handles,
            loc="lower left",
            bbox_to_anchor=(-0.01, 1.0),
            ncols=min(len(handles), 4),
            frameon=False,
            fontsize=9.5,
            columnspacing=1.3,
            handlelength=2.6,
            borderaxespad=0.1,
        )
    credit(by_name, ax)
