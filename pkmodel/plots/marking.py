"""What is marked on curves of levels: limits with the area above them, and peaks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pkmodel.ink import COLOURS, INK, LIMIT, apart
from pkmodel.plots.curves import Curve, conversion, exact_peaks, figures
from pkmodel.plots.limits import Level
from pkmodel.plots.summary import Summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]

#: A limit further above the highest level than this would flatten the curves; its value is written at the edge.
_NEAR = 1.8
#: Behind texts that curves may cross.
_HALO: dict[str, Any] = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.6}


def within(hours: Floats, span: tuple[float, float]) -> slice:
    """The points of a grid from the last before the span to the first behind it."""
    start = max(int(np.searchsorted(hours, span[0], side="right")) - 1, 0)
    return slice(start, min(int(np.searchsorted(hours, span[1], side="left")) + 1, hours.size))


def peak_level(curve: Curve) -> float:
    """The highest level of a curve, or of its median; 1 where there is none, to divide by."""
    return float(curve.middle.max()) or 1.0


def check(limits: Sequence[Level], curve: Curve) -> None:
    """Raise InputError where a limit is of another kind than the curve."""
    for limit in limits:
        conversion(limit.unit, curve.unit, f"the limit {limit.label or limit.value}")


def mark_limits(
    limits: Sequence[Level],
    curves: Sequence[Curve],
    span: tuple[float, float],
    highest: float,
    ax: Axes,
    *,
    normalise: bool,
) -> list[float]:
    """Draw the limits that are near the curves, and the area of the first output above upper ones."""
    first = [curve for curve in curves if curve.rank == curves[0].rank]
    if normalise and len(first) > 1:
        if limits:
            said = "limits are not drawn: every curve is over its own peak"
            ax.text(0.995, 0.985, said, transform=ax.transAxes, ha="right", va="top", fontsize=9, color=LIMIT)
        return []
    near = []
    beyond = []
    for limit in limits:
        level = limit.value * conversion(limit.unit, curves[0].unit, limit.label)
        level /= peak_level(first[0]) if normalise else 1.0
        if level > _NEAR * highest > 0:
            beyond.append(limit.text)
            continue
        near.append(level)
        ax.axhline(level, color=LIMIT, linewidth=1.3, linestyle="--" if limit.sign else ":", zorder=2, gid=limit.text)
        if not limit.upper:
            continue
        for curve in first:
            shown = within(curve.hours, span)
            middle = curve.middle[shown] / (peak_level(curve) if normalise else 1.0)
            if (middle > level).any():
                colour = COLOURS[curve.place % len(COLOURS)]
                look: dict[str, Any] = {"facecolor": colour, "edgecolor": colour, "alpha": 0.35, "linewidth": 0.0}
                above = middle > level
                ax.fill_between(
                    curve.hours[shown], level, middle, where=above.tolist(), interpolate=True, hatch="///", **look
                )
    if beyond:
        said = f"above this picture: {'; '.join(beyond)}"
        ax.text(0.995, 0.985, said, transform=ax.transAxes, ha="right", va="top", fontsize=9, color=LIMIT)
    return near


def name_limits(ax: Axes) -> None:
    """Write at the right end of every limit what it is, pushed apart where two are close."""
    lines = [line for line in ax.lines if line.get_gid()]
    if not lines:
        return
    page = ax.get_figure(root=True)
    inches = ax.get_position().height * page.get_figheight() if page is not None else 3.0
    along = ax.transData + ax.transAxes.inverted()
    places = [float(along.transform((1.0, np.asarray(line.get_ydata())[0]))[1]) for line in lines]
    room = 0.17 / inches
    for line, y in zip(lines, apart([place + 0.62 * room for place in places], room, 1.0), strict=True):
        ax.text(
            0.995,
            y,
            str(line.get_gid()),
            transform=ax.transAxes,
            ha="right",
            va="center",
            fontsize=9.5,
            color=LIMIT,
            zorder=5,
            bbox=_HALO,
        )


def mark_peaks(curves: Sequence[Curve], scale: Mapping[int, float], span: tuple[float, float], ax: Axes) -> None:
    """A point at the peak of every curve in view with its level, pushed apart where two are close."""
    place = []
    for curve in curves:
        time, level = peak_of(curve, span)
        y = level / scale[id(curve)]
        if y <= 0:
            continue
        colour = COLOURS[(curve.rank if curve.arm == "" else curve.place) % len(COLOURS)]
        ax.plot([time], [y], marker="o", markersize=6, color=colour, markeredgecolor=INK, linestyle="", zorder=6)
        unit = f" {curve.unit}" if curve.unit else ""
        place.append((time, y, f"{figures(level)}{unit}"))
    bottom, top = ax.get_ylim()
    log = ax.get_yscale() == "log"
    heights = [
        (np.log(y / bottom) / np.log(top / bottom) if log else (y - bottom) / (top - bottom)) for _, y, _ in place
    ]
    page = ax.get_figure(root=True)
    inches = ax.get_position().height * page.get_figheight() if page is not None else 3.0
    room = 0.17 / inches
    levels = apart([height + 0.6 * room for height in heights], room, 1.0)
    for (time, _, text), height in zip(place, levels, strict=True):
        left = time > 0.8 * span[1] + 0.2 * span[0]
        ax.annotate(
            text,
            (time, height),
            xycoords=ax.get_xaxis_transform(),
            xytext=(-8 if left else 8, 0),
            textcoords="offset points",
            ha="right" if left else "left",
            va="center",
            fontsize=9.5,
            fontweight="bold",
            color=INK,
            zorder=7,
            bbox=_HALO,
        )


def peak_of(curve: Curve, span: tuple[float, float]) -> tuple[float, float]:
    """When (h) and how high a curve is highest within a span: exact for one patient, else on the grid of the result."""
    shown = within(curve.hours, span)
    middle = curve.middle[shown]
    at = int(middle.argmax())
    time, level = float(curve.hours[shown][at]), float(middle[at])
    result = curve.result
    if (
        curve.n > 1
        or isinstance(result, Summary)
        or result.assay is not None
        or curve.output not in result.model.outputs
    ):
        return time, level
    factor = conversion(result.model.observables[curve.output], curve.unit, curve.output)
    for when, peak in exact_peaks(result, curve.output):
        if span[0] <= when <= span[1] and peak * factor > level:
            time, level = when, peak * factor
    return time, level
