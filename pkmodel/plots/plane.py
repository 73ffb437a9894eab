"""Where in a plane of two knobs every rule holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from pkmodel.dose_finding import Design
from pkmodel.errors import InputError, Problem
from pkmodel.ink import INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_GOOD, _BAD = "#009E73", "#d9b8a6"


def dose_duration_map(found: Design, *, ax: Axes | None = None) -> Axes:
    """Where in the plane of two knobs (dose and duration, say) every rule holds in its share of the patients.

    The line is the answer at each value of the second knob, with its 95 % interval (simulation error only) as an area;
    a diamond is the protocol's own place. Returns the axes.

    Raises InputError where a design turned one knob only.
    """
    if found.feasible is None or found.others is None:
        raise InputError(Problem("a design with one knob", "a design with two parameters", path="found"))
    if ax is None:
        ax = Figure(figsize=(9.0, 4.8), dpi=100).add_axes((0.09, 0.13, 0.64, 0.80))
    first, second = found.request.knobs
    edges = [item.value for item in found.boundary]
    if (
        found.request.side == "largest"
        and (np.diff(found.feasible.astype(int), axis=1) <= 0).all()
        and None not in edges
    ):
        # One border: drawn as it is, and not in steps of the grid.
        ax.patch.set(facecolor="#f3e3da", edgecolor=_BAD, hatch="..", linewidth=0)
        ax.fill_betweenx(found.others, first.low, np.array(edges, dtype=float), color="#cdeadf", linewidth=0)
    else:
        look: dict[str, Any] = {"colors": ["#f3e3da", "#cdeadf"], "hatches": ["..", ""], "levels": [-0.5, 0.5, 1.5]}
        ax.contourf(found.values, found.others, found.feasible.astype(float), **look)
    _border(found, ax)
    ax.set_xlim(first.low, first.high)
    ax.set_ylim(second.low, second.high)
    handles: list[Any] = [
        Patch(color="#cdeadf", label="every rule holds in\nits share"),
        Patch(facecolor="#f3e3da", edgecolor=_BAD, hatch="..", label="one does not"),
        Line2D([], [], color=_GOOD, linewidth=2, label=f"{found.request.side} {first.name}"),
        Patch(color=_GOOD, alpha=0.3, label="its 95 % interval"),
    ]
    if first.low <= first.now <= first.high and second.low <= second.now <= second.high:
        ax.plot([first.now], [second.now], "D", color=INK, markersize=8, zorder=5)
        own = f"the protocol's own:\n{first.written.text}, {second.written.text}"
        handles.append(Line2D([], [], marker="D", color=INK, linestyle="", label=own))
    ax.set_xlabel(f"{first.name} [{first.unit.text}]", fontsize=11)
    ax.set_ylabel(f"{second.name} [{second.unit.text}]", fontsize=11)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    handles.append(Line2D([], [], linestyle="", label=f"n = {found.n:,} patients"))
    ax.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.01, 1.0), fontsize=9, frameon=False)
    return ax


def _border(found: Design, ax: Axes) -> None:
    """The answer at each value of the second knob, with its interval as an area."""
    assert found.others is not None
    known = [
        (other, item.value, item.low, item.high)
        for other, item in zip(found.others, found.boundary, strict=True)
        if item.value is not None and not item.open
    ]
    if not known:
        return
    rows = np.array([[y, x, x if a is None else a, x if b is None else b] for y, x, a, b in known])
    ax.fill_betweenx(rows[:, 0], rows[:, 2], rows[:, 3], color=_GOOD, alpha=0.3, linewidth=0)
    ax.plot(rows[:, 1], rows[:, 0], "o-", color=_GOOD, linewidth=2, markersize=3.5)
