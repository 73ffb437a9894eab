"""What all pictures share: colours, lines that are left free, labels that keep clear of one another.

Colours are Okabe and Ito's, which keep apart for colour-blind eyes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
HATCHES = ("", "////", "....", "xxxx", "\\\\\\\\", "++++")
INK, LIMIT, MARK = "#222222", "#333333", "#F0E442"
#: The range of several models' medians: an area with an edge, so that it is not taken for a band of patients.
ENVELOPE: dict[str, Any] = {"facecolor": "#ececec", "edgecolor": "#8a8a8a", "linewidth": 0.8}


def tidy(ax: Axes) -> None:
    """Free the panel of what does not carry numbers."""
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    ax.grid(axis="y", color="#e6e6e6", linewidth=0.6)
    ax.set_axisbelow(True)


def pale(colour: str) -> tuple[float, float, float]:
    """A colour mixed with white, opaque so that lines behind it do not show through."""
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (0.5 + 0.5 * part for part in parts)
    return red, green, blue


def apart(heights: Sequence[float], room: float, top: float) -> list[float]:
    """Where labels go that belong at ``heights``: at least ``room`` apart, in the same order, from 0 to ``top``.

    Labels that are too close form a pile around the middle of where they belong; piles that meet become one.
    """
    order = sorted(range(len(heights)), key=lambda index: heights[index])
    piles: list[list[int]] = []

    def middle(pile: list[int]) -> float:
        half = (len(pile) - 1) * room / 2
        centre = sum(heights[index] for index in pile) / len(pile)
        return min(max(centre, half), max(top - half, half))

    for index in order:
        piles.append([index])
        while len(piles) > 1:
            below, above = piles[-2:]
            if middle(above) - middle(below) >= (len(below) + len(above)) * room / 2 * (1 - 1e-12):
                break
            piles[-2:] = [below + above]
    placed = [0.0] * len(heights)
    for pile in piles:
        for place, index in enumerate(pile):
            placed[index] = middle(pile) + (place - (len(pile) - 1) / 2) * room
    return placed
