"""How the lessons draw: curves that are named where they end, what was predicted, and what came out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pkmodel.ink import COLOURS, HATCHES, apart, pale, tidy
from pkmodel.ink import INK as INK
from pkmodel.ink import LIMIT as LIMIT

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]
Draw = Callable[["Axes", bool, "str | float | None"], None]

DASHES: tuple[Any, ...] = ("-", (0, (6, 2)), (0, (4, 1.5, 1, 1.5)), (0, (1.2, 1.6)), (0, (9, 2, 1, 2)), (0, (3, 3)))
#: What was predicted is drawn in this colour alone, and dotted, in every lesson.
PREDICTED = "#8a3c8f"
SIZE = 10.5


def style(index: int) -> dict[str, Any]:
    """The look of the curve of this number: told apart by its dashes where colours are not."""
    return {"color": COLOURS[index % len(COLOURS)], "linestyle": DASHES[index % len(DASHES)], "linewidth": 2.2}


def axes(ax: Axes, *, x: str, y: str, title: str = "") -> None:
    """Labels with units, and a quiet frame."""
    ax.set_xlabel(x, fontsize=SIZE)
    ax.set_ylabel(y, fontsize=SIZE)
    ax.tick_params(labelsize=SIZE - 1)
    if title:
        ax.set_title(title, loc="left", fontsize=SIZE + 0.5, fontweight="bold")
    tidy(ax)


def beneath(
    ax: Axes, text: str, side: str = "right", colour: str = "#555555", size: float = SIZE - 2, below: float = 37
) -> None:
    """A line under the panel, at its left or right end."""
    look: dict[str, Any] = {"ha": side, "va": "top", "fontsize": size, "color": colour}
    place = (0 if side == "left" else 1, 0)
    ax.annotate(text, place, xycoords="axes fraction", xytext=(0, -below), textcoords="offset points", **look)


def said(ax: Axes, prediction: str) -> None:
    """A choice that was predicted, under the panel."""
    beneath(ax, f"you: {prediction}", "left", PREDICTED, SIZE, 50)


def credit(ax: Axes, *models: str, more: str = "") -> None:
    """Under the panel: what was simulated, with the grade of its evidence; a typical patient where nothing is said."""
    from pkmodel.lessons.bench import grade

    text = "; ".join([*(f"{name} ({grade(name)})" for name in models), more or "one typical patient"])
    beneath(ax, text)


def names_at_the_end(ax: Axes, entries: Sequence[tuple[float, str, str]]) -> None:
    """Write names right of the panel, at the height where their curves end: (height, name, colour).

    Call it when the limits of the axes are set.
    """
    low, high = ax.get_ylim()
    log = ax.get_yscale() == "log"
    share = [
        (np.log(max(h, low) / low) / np.log(high / low)) if log else (h - low) / (high - low) for h, _, _ in entries
    ]
    room = 1.25 * SIZE / 72 / (ax.get_position().height * ax.get_figure(root=True).get_figheight())  # type: ignore[union-attr]
    for height, (_, name, colour) in zip(
        apart(share, room * (1 + max((n.count("\n") for _, n, _ in entries))), 1.0), entries, strict=True
    ):
        ax.text(1.012, height, name, color=colour, fontsize=SIZE, va="center", transform=ax.transAxes, clip_on=False)


def level_line(ax: Axes, level: float, text: str, *, predicted: bool = False, side: str = "right") -> None:
    """A level across the panel with its name on it."""
    look: dict[str, Any] = {"color": PREDICTED, "linestyle": ":"} if predicted else {"color": LIMIT, "linestyle": "--"}
    ax.axhline(level, linewidth=1.6, zorder=1.5, **look)
    place = 0.99 if side == "right" else 0.01
    ax.annotate(
        text,
        (place, level),
        xycoords=ax.get_yaxis_transform(),
        xytext=(0, 3),
        textcoords="offset points",
        ha=side,
        va="bottom",
        fontsize=SIZE,
        color=look["color"],
    )


def time_line(ax: Axes, time: float, text: str, *, predicted: bool = False, height: float = 0.97) -> None:
    """A moment across the panel with its name beside it."""
    look: dict[str, Any] = {"color": PREDICTED, "linestyle": ":"} if predicted else {"color": LIMIT, "linestyle": "--"}
    ax.axvline(time, linewidth=1.6, zorder=1.5, **look)
    left = time < 0.6 * ax.get_xlim()[1]
    ax.annotate(
        text,
        (time, height),
        xycoords=ax.get_xaxis_transform(),
        xytext=(4 if left else -4, 0),
        textcoords="offset points",
        ha="left" if left else "right",
        va="top",
        fontsize=SIZE,
        color=look["color"],
    )


def dot(ax: Axes, x: float, y: float, text: str, *, dx: float = 8, dy: float = 6, ha: str = "left") -> None:
    """A point that matters, with its numbers."""
    ax.plot([x], [y], "o", color=INK, markersize=7, zorder=6)
    ax.annotate(
        text,
        (x, y),
        xytext=(dx, dy),
        textcoords="offset points",
        fontsize=SIZE,
        color=INK,
        ha=ha,
        va="bottom",
        zorder=7,
    )


def bars(
    ax: Axes,
    names: Sequence[str],
    values: Sequence[float | None],
    *,
    texts: Sequence[str] | None = None,
    predicted: tuple[int, float, str] | None = None,
) -> None:
    """Bars with their numbers on top; a value None is asked for, and stands as an empty place with a question mark.

    ``predicted`` marks (index, height, text) as a dotted line across a bar.
    """
    top = max([value for value in values if value is not None] + ([predicted[1]] if predicted else []) + [0.0]) or 1.0
    for index, value in enumerate(values):
        colour = COLOURS[index % len(COLOURS)]
        if value is None:
            ax.text(index, 0.06 * top, "?", ha="center", va="bottom", fontsize=28, color="#777777")
            continue
        ax.bar([index], [value], 0.6, facecolor=pale(colour), edgecolor=colour, hatch=HATCHES[index % len(HATCHES)])
        text = texts[index] if texts else f"{value:.3g}"
        plate = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 0.6}
        ax.text(index, value + 0.02 * top, text, ha="center", va="bottom", fontsize=SIZE, color=INK, bbox=plate)
    if predicted is not None:
        index, height, text = predicted
        ax.hlines(height, index - 0.42, index + 0.42, color=PREDICTED, linestyle=":", linewidth=2.4, zorder=6)
        ax.text(index + 0.44, height, text, ha="left", va="center", fontsize=SIZE, color=PREDICTED)
    ax.set_xticks(range(len(names)), names, fontsize=SIZE)
    ax.set_xlim(-0.6, len(names) - (0.4 if predicted is None else 0.1))
    ax.set_ylim(0, 1.15 * top)
