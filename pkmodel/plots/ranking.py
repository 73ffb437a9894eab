"""What drives a metric: a tornado, the strongest input on top."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.patches import Patch

from pkmodel.ink import COLOURS, INK, pale
from pkmodel.sensitivity import Sensitivity

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Covariates and what varies between patients: colour, and hatch for grey.
_KINDS = {"covariate": ("covariate", COLOURS[0], ""), "between patients": ("between patients", COLOURS[1], "////")}


def tornado(found: Sensitivity, *, ax: Axes | None = None) -> Axes:
    """A bar to each input of a sensitivity, with its 95 % interval (simulation error only); the strongest on top.

    Of Sobol's shares of the variance the part that the input makes alone is darker. Returns the axes.
    """
    unit = f" [{found.unit}]" if found.unit else ""
    if ax is None:
        height = 1.5 + 0.5 * len(found.rows)
        figure = Figure(figsize=(9.0, height), dpi=100)
        ax = figure.add_axes((0.25, 0.62 / height, 0.71, 1 - 1.0 / height))
    factor = 100.0 if found.method == "sobol" else 1.0
    most = factor * max(row.total for row in found.rows)
    for place, row in enumerate(reversed(found.rows)):
        _, colour, hatch = _KINDS[row.kind]
        ax.barh(place, factor * row.total, facecolor=pale(colour), edgecolor=colour, hatch=hatch, height=0.62)
        if row.first is not None:
            ax.barh(place, factor * max(row.first, 0.0), color=colour, height=0.62)
        ax.plot([factor * row.total_low, factor * row.total_high], [place, place], color=INK, linewidth=1.5)
        ax.annotate(
            _label(factor * row.total, most),
            (factor * max(row.total_high, 0.0), place),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize=10,
        )
    names = [textwrap.fill(row.input, 24) for row in reversed(found.rows)]
    ax.set_yticks(range(len(names)), names, fontsize=10)
    ax.set_xlim(0, 1.12 * factor * max(row.total_high for row in found.rows))
    words = {"sobol": "share of the variance [%]", "morris": f"mean absolute change{unit}"}
    ax.set_xlabel(f"{words[found.method]}, n = {found.n:,} patients", fontsize=10.5)
    ax.set_title(f"{found.what}: mean {found.mean:.4g}, SD {found.sd:.3g} {found.unit}", loc="left", fontsize=10)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    handles = []
    for kind, colour, hatch in _KINDS.values():
        if any(row.kind == kind for row in found.rows):
            if found.method == "sobol":
                handles.append(Patch(color=colour, label=f"{kind}, alone"))
                handles.append(Patch(facecolor=pale(colour), edgecolor=colour, hatch=hatch, label="with interactions"))
            else:
                handles.append(Patch(facecolor=pale(colour), edgecolor=colour, hatch=hatch, label=kind))
    ax.legend(handles=handles, loc="lower right", fontsize=9.5, frameon=False)
    return ax


def _label(value: float, most: float) -> str:
    """A number of a bar; one that is nothing beside the largest is 0, whatever rounding has left of it."""
    return f"{value:.3g}" if value > 1e-9 * most else "0"
