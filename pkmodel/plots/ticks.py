"""Ticks of a panel that is redrawn while somebody drags a slider.

A tick of matplotlib is five artists, and 25 of them take longer to make than all the rest of a picture. These are one
collection of lines and a text each, at their places in the data, so that they stay right where limits change.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor, log10
from typing import TYPE_CHECKING, Any

from matplotlib.collections import LineCollection
from matplotlib.ticker import MaxNLocator, NullFormatter, NullLocator

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

GRID, _SIZE, _LENGTH = "#e6e6e6", 9.5, 3.5


def _silence(axis: Axis) -> None:
    axis.set_major_locator(NullLocator())
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())


def _inches(ax: Axes) -> tuple[float, float]:
    """Width and height of a panel."""
    page = ax.get_figure(root=True)
    box = ax.get_position()
    return (box.width * page.get_figwidth(), box.height * page.get_figheight()) if page is not None else (8.0, 3.0)


def across(ax: Axes, places: Sequence[float], labels: Sequence[str], title: str) -> None:
    """Ticks under a panel with their labels, and the title under them; only ticks where labels are empty."""
    _silence(ax.xaxis)
    along = ax.get_xaxis_transform()
    point = 1 / 72 / _inches(ax)[1]
    lines = [((x, 0.0), (x, -_LENGTH * point)) for x in places]
    ax.add_collection(
        LineCollection(lines, transform=along, color="black", linewidth=0.8, clip_on=False), autolim=False
    )
    for x, label in zip(places, labels, strict=True):
        if label:
            ax.text(x, -6 * point, label, transform=along, ha="center", va="top", fontsize=_SIZE, gid="x tick")
    rows = max((label.count("\n") + 1 for label in labels if label), default=0)
    ax.set_xlabel(title, fontsize=10, labelpad=6 + 1.2 * _SIZE * rows)


def up(ax: Axes, title: str, *, count: int = 5, right: bool = False, grid: bool = True) -> None:
    """Ticks beside a panel for its present limits, linear or logarithmic, with faint lines across it."""
    _silence(ax.yaxis)
    bottom, top = ax.get_ylim()
    small: list[float] = []
    if ax.get_yscale() == "log":
        decades = range(floor(log10(bottom)), ceil(log10(top)) + 1)
        places = [10.0**power for power in decades]
        small = [digit * 10.0**power for power in decades for digit in range(2, 10)]
        if len([place for place in places if bottom <= place <= top]) < 3:
            places = sorted([*places, *(digit * 10.0**power for power in decades for digit in (2, 5))])
    else:
        places = [float(place) for place in MaxNLocator(count).tick_values(bottom, top)]
    slack = 1e-9 * (top - bottom)
    places = [place for place in places if bottom - slack <= place <= top + slack]
    small = [place for place in small if bottom <= place <= top]
    along = ax.get_yaxis_transform()
    point = 1 / 72 / _inches(ax)[0]
    edge, sign = (1.0, 1.0) if right else (0.0, -1.0)
    if grid:
        lines = [((0.0, y), (1.0, y)) for y in places]
        ax.add_collection(LineCollection(lines, transform=along, color=GRID, linewidth=0.6, zorder=0.5), autolim=False)
    marks = [((edge, y), (edge + sign * _LENGTH * point, y)) for y in places]
    marks += [((edge, y), (edge + sign * 0.6 * _LENGTH * point, y)) for y in small]
    ax.add_collection(
        LineCollection(marks, transform=along, color="black", linewidth=0.8, clip_on=False), autolim=False
    )
    widest = 0
    for y in places:
        text = f"{round(y, 12):g}"
        widest = max(widest, len(text))
        side = "left" if right else "right"
        look: dict[str, Any] = {"ha": side, "va": "center", "fontsize": _SIZE, "gid": "y tick"}
        ax.text(edge + sign * 6 * point, y, text, transform=along, **look)
    ax.set_ylabel(title, fontsize=10, labelpad=8 + 0.62 * _SIZE * widest)
