"""An effect against the level that drives it: a loop where the effect lags behind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pkmodel.errors import InputError, Problem
from pkmodel.ink import COLOURS, INK, tidy
from pkmodel.instructions import time_text
from pkmodel.plots import time_axis
from pkmodel.plots.curves import Curve, credit, curves_of, named, size_of
from pkmodel.plots.levels_over_time import DASHES
from pkmodel.plots.limits import unit_of, wrapped

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from pkmodel.simulation import Result

Floats = NDArray[np.float64]

#: Places of the arrows, and of the times, as shares of the length of a loop.
_ARROWS, _TIMES = (0.12, 0.35, 0.6, 0.82), (0.22, 0.48, 0.72, 0.9)
#: Less than this share of the whole movement is nothing that a loop shows.
_STILL = 1e-9


def effect_against_level(
    results: Result | Mapping[str, Result],
    effect: str,
    *,
    output: str = "parent",
    ax: Axes | None = None,
    window: tuple[float, float] | None = None,
    log: bool = False,
) -> Axes:
    """An effect against a level, with arrows in the direction of time and times beside the path.

    Of many patients the path of the medians is drawn. ``window`` is in h from the start of the course, ``log`` is for
    the axis of levels. Returns the axes.

    Raises
    ------
    InputError
        where a model has no such effect or output, units cannot be converted, or nothing moves.
    """
    by_name = named(results)
    span = time_axis.span_of(by_name.values(), window)
    for result in by_name.values():
        name = result.model.observable(effect, path="effect")
        if name not in result.model.effects:
            raise InputError(Problem(name, f"an effect of {result.model.id}", path="effect"))
    levels, felt = curves_of(by_name, [output]), curves_of(by_name, [effect])
    ax = ax if ax is not None else Figure(figsize=(6.4, 5.0), dpi=100).add_axes((0.14, 0.13, 0.80, 0.76))
    if log:
        ax.set_xscale("log")
    paths = []
    for across, up in zip(levels, felt, strict=True):
        shown = (across.hours >= span[0]) & (across.hours <= span[1])
        x, y, hours = across.middle[shown], up.middle[shown], across.hours[shown]
        if log:
            x, y, hours = x[x > 0], y[x > 0], hours[x > 0]
        if x.size < 2 or not (np.ptp(x) > 0 or np.ptp(y) > 0):
            raise InputError(Problem("levels that do not move", "a course with a dose in the window", path="results"))
        colour = COLOURS[across.place % len(COLOURS)]
        dash = DASHES[across.place % len(DASHES)]
        ax.plot(x, y, color=colour, linewidth=2.0, linestyle=dash, label=across.arm or None)
        paths.append((x, y, hours, colour))
    top = max(float(y.max()) for _, y, _, _ in paths)
    low = min(float(y.min()) for _, y, _, _ in paths)
    ax.set_ylim(min(0.0, low) - 0.03 * (top - low), top + 0.08 * (top - low))
    if not log:
        ax.set_xlim(
            -0.02 * max(float(x.max()) for x, _, _, _ in paths), 1.06 * max(float(x.max()) for x, _, _, _ in paths)
        )
    for x, y, hours, colour in paths:
        _arrows(x, y, hours, colour, ax, times=len(paths) == 1)
    _explain(levels, felt, by_name, ax)
    tidy(ax)
    ax.grid(axis="x", color="#e6e6e6", linewidth=0.6)
    return ax


def _arrows(x: Floats, y: Floats, hours: Floats, colour: str, ax: Axes, *, times: bool) -> None:
    """Arrow heads along a path and, of a single one, what time it is there."""
    place = ax.transData.transform(np.column_stack([x, y]))
    steps = np.hypot(*np.diff(place, axis=0).T)
    length = np.concatenate([[0.0], np.cumsum(steps)])
    if length[-1] <= _STILL:
        return
    for share in _ARROWS:
        at = min(max(int(np.searchsorted(length, share * length[-1])), 1), x.size - 1)
        # The head points along a piece of the path that is long enough to have a direction on the page.
        back = int(np.searchsorted(length, length[at] - 0.02 * length[-1]))
        back = min(back, at - 1)
        look: dict[str, Any] = {"arrowstyle": "-|>", "color": colour, "linewidth": 0, "mutation_scale": 18}
        ax.annotate("", (x[at], y[at]), (x[back], y[back]), arrowprops=look)
    if not times:
        return
    middle = place.mean(axis=0)
    for share in _TIMES:
        at = min(int(np.searchsorted(length, share * length[-1])), x.size - 1)
        away = place[at] - middle
        away = 13 * away / (np.hypot(*away) or 1.0)
        ax.plot([x[at]], [y[at]], "o", color="white", markeredgecolor=colour, markersize=5, zorder=4)
        ax.annotate(
            _when(float(hours[at])),
            (x[at], y[at]),
            (float(away[0]), float(away[1])),
            textcoords="offset points",
            fontsize=9.5,
            color=INK,
            ha="left" if away[0] > 4 else "right" if away[0] < -4 else "center",
            va="center",
        )


def _when(hours: float) -> str:
    """A time from the start of the course, in seconds below two minutes."""
    return (
        "start"
        if hours <= 0
        else f"{3600 * hours:.0f} s"
        if 60 * hours < 2
        else f"{time_text(round(60 * hours) / 60)} h"
    )


def _explain(levels: list[Curve], felt: list[Curve], by_name: Mapping[str, Result], ax: Axes) -> None:
    first, acting = levels[0], felt[0]
    many = f", median of {size_of(by_name)}" if first.n > 1 else ""
    ax.set_xlabel(f"{first.output} [{first.unit}]{many}", fontsize=10)
    ax.set_ylabel(wrapped(f"{acting.output} [{unit_of(acting.result.model, acting.output)}]", 44), fontsize=10)
    ax.tick_params(labelsize=9.5)
    credit(by_name, ax)
    if len(levels) > 1:
        ax.legend(loc="lower left", bbox_to_anchor=(-0.01, 1.0), frameon=False, fontsize=9.5, ncols=3)
