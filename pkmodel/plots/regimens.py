"""Regimens over one another in the same patients, and what lies between them patient by patient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pkmodel.errors import InputError, Problem, unknown_name
from pkmodel.ink import COLOURS, INK
from pkmodel.plots import time_axis
from pkmodel.plots.curves import EDGES, Curve, curves_of, named, quantiles
from pkmodel.plots.given_doses import doses, two_scales
from pkmodel.plots.levels_over_time import MARKERS, draw
from pkmodel.plots.limits import Level
from pkmodel.plots.summary import Summary
from pkmodel.plots.ticks import up

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from pkmodel.population import Population
    from pkmodel.simulation import Result

Floats = NDArray[np.float64]


def regimens_overlay(
    results: Mapping[str, Result],
    *,
    reference: str | None = None,
    output: str = "parent",
    ax: Axes | None = None,
    difference_ax: Axes | None = None,
    dose_ax: Axes | None = None,
    limits: Sequence[Level] = (),
    log: bool = False,
    clock: str | None = None,
    window: tuple[float, float] | None = None,
) -> Axes:
    """Regimens over one another in the same patients, with the difference patient by patient under them.

    The difference is taken in every patient, at every time, and then its median and 5-95 % band over the patients are
    drawn: it is not the difference of the medians, and its band is narrower than the bands of the levels suggest.

    Parameters
    ----------
    results
        at least two by name, of the same patients on the same grid of times.
    reference
        what the others are set against, by default the first.
    ax, difference_ax, dose_ax
        where to draw levels, differences and doses; without ``ax`` all three get a new figure.
    limits, log, clock, window
        as of :func:`pkmodel.plots.concentration`.

    Returns
    -------
    The axes of the levels.

    Raises
    ------
    InputError
        where there are fewer than two, or they are not of the same patients and times.
    """
    by_name = named(results)
    if len(by_name) < 2:
        raise InputError(Problem("one result", "at least two results to set side by side", path="results"))
    base = next(iter(by_name)) if reference is None else reference
    if base not in by_name:
        raise InputError(unknown_name("a result", base, by_name, path="reference"))
    curves = {curve.arm: curve for curve in curves_of(by_name, [output])}
    for name, result in by_name.items():
        if name not in curves:
            result.model.observable(output)  # says what there is
        _same(curves[base], curves[name], base, name)
    span = time_axis.span_of(by_name.values(), window)
    if ax is None:
        figure = Figure(figsize=(9.0, 6.6), dpi=100)
        width = 0.83 if two_scales(by_name.values()) else 0.875
        ax = figure.add_axes((0.095, 0.53, width, 0.40))
        difference_ax = difference_ax or figure.add_axes((0.095, 0.285, width, 0.215))
        dose_ax = dose_ax or figure.add_axes((0.095, 0.09, width, 0.17))
    label = difference_ax is None and dose_ax is None
    look: dict[str, Any] = {"normalise": False, "marks_of_peak": False}
    draw(by_name, [output], ax, limits=limits, log=log, clock=clock, window=window, label=label, **look)
    if difference_ax is not None:
        _differences(curves, base, span, difference_ax)
        for side in ("top", "right"):
            difference_ax.spines[side].set_visible(False)
        time_axis.lay_out(difference_ax, span, clock, label=dose_ax is None)
    if dose_ax is not None:
        doses(by_name, ax=dose_ax, clock=clock, window=span)
    return ax


def paired_difference(one: Curve, other: Curve) -> Floats:
    """(5, t) quantiles over patients, at :data:`pkmodel.plots.curves.EDGES`, of what is in ``other`` above ``one``."""
    difference = other.levels - one.levels
    return np.repeat(difference, len(EDGES), axis=0) if one.n == 1 else quantiles(difference)


def _differences(curves: Mapping[str, Curve], base: str, span: tuple[float, float], ax: Axes) -> None:
    first = curves[base]
    shown = (first.hours >= span[0]) & (first.hours <= span[1])
    hours = first.hours[shown]
    low = high = 0.0
    for curve in curves.values():
        if curve is first:
            continue
        edges = paired_difference(first, curve)[:, shown]
        colour = COLOURS[curve.place % len(COLOURS)]
        if curve.n > 1:
            ax.fill_between(hours, edges[0], edges[4], color=colour, alpha=0.22, linewidth=0)
        look: dict[str, Any] = {
            "marker": MARKERS[curve.place % len(MARKERS)],
            "markerfacecolor": "white",
            "markersize": 5,
        }
        label = f"{curve.arm} - {base}"
        every = (0.03 * curve.place, 0.09)
        ax.plot(hours, edges[2], color=colour, linewidth=2.0, label=label, markevery=every, **look)
        low, high = min(low, float(edges.min())), max(high, float(edges.max()))
    ax.axhline(0, color=INK, linewidth=0.9)
    room = 0.12 * (high - low) or 1.0
    ax.set_ylim(low - 2.0 * room, high + 2.0 * room)
    up(ax, f"difference\n[{first.unit}]", count=4)
    if first.n > 1:
        said = f"n = {first.n:,} pairs; line: median, area: 5-95 % of pairs"
        ax.text(0.995, 0.03, said, transform=ax.transAxes, fontsize=9, ha="right", va="bottom")
    ax.legend(loc="upper right", frameon=False, fontsize=9.5, ncols=len(curves), borderaxespad=0.1)


def _same(one: Curve, other: Curve, name: str, its: str) -> None:
    if one.hours.shape != other.hours.shape or not np.allclose(one.hours, other.hours, rtol=1e-12, atol=1e-12):
        expected = f"the times of {name}: the same `every` and `until`"
        raise InputError(Problem(f"{its} on other times", expected, path="results"))
    if isinstance(one.result, Summary) or isinstance(other.result, Summary):
        raise InputError(Problem("a summary", "results with every patient, to pair them", path="results"))
    if not _alike(one.result.network.population, other.result.network.population):
        raise InputError(Problem(f"{its} in other patients", f"the patients of {name}", path="results"))


def _alike(one: Population, other: Population) -> bool:
    """Whether two blocks hold the same patients: covariates, and random effects as far as both have them."""
    if (one.first, one.size) != (other.first, other.size):
        return False
    pairs = [
        (mine[key], theirs[key])
        for mine, theirs in ((one.covariates, other.covariates), (one.etas, other.etas))
        for key in mine
        if key in theirs
    ]
    return all(np.array_equal(mine, theirs) for mine, theirs in pairs)
