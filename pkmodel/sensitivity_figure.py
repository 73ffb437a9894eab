"""The picture of a sensitivity: a tornado, the strongest input on top."""

from __future__ import annotations

import textwrap

from matplotlib.figure import Figure
from matplotlib.patches import Patch

from pkmodel import figures as pages
from pkmodel.disclaimer import IN_A_FIGURE
from pkmodel.ink import COLOURS, INK, pale
from pkmodel.sensitivity import Sensitivity

HOW = {
    "sobol": "Sobol: shares of the variance over patients; correlated inputs count as one (Saltelli 2010, by SALib)",
    "morris": "Elementary effects: mean absolute change when the input is drawn anew (Campolongo 2011)",
}


def figure(found: Sensitivity) -> Figure:
    """A bar to each input, with its interval; the first-order part of it darker."""
    unit = f" [{found.unit}]" if found.unit else ""
    foot = [
        f"{found.case.arm.name}: {found.case.arm.protocol.title}. Mean {found.mean:.4g}{unit}, SD {found.sd:.3g}.",
        f"{HOW[found.method]}. Intervals are 95 %, simulation error only.",
        *(f"{note[:1].upper()}{note[1:]}." for note in found.notes),
        f"n = {found.n:,} patients in each of two populations, seed {found.scenario.spec.seed}. Model "
        f"{found.case.model.id} (evidence: {found.case.model.evidence}).",
        *(f"Assumed or borrowed: {sentence}." for sentence in found.study.assumptions),
        IN_A_FIGURE,
    ]
    title = f"What drives the {found.what}"
    height = 0.7 + 0.5 * len(found.rows)
    page, axes = pages.sheet(title, foot, rows=1, columns=1, width=10.0, height=height, right=0.5, legend=True)
    (ax,) = axes[0]
    box = ax.get_position()
    ax.set_position((0.24, box.y0, box.x1 - 0.24, box.height))
    factor = 100.0 if found.method == "sobol" else 1.0
    most = factor * max(row.total for row in found.rows)
    for place, row in enumerate(reversed(found.rows)):
        colour = COLOURS[0] if row.kind == "covariate" else COLOURS[1]
        ax.barh(place, factor * row.total, color=pale(colour), height=0.62)
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
    ax.set_xlabel(words[found.method], fontsize=11)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    handles = []
    for colour, kind in ((COLOURS[0], "covariate"), (COLOURS[1], "between patients")):
        if any(row.kind == kind for row in found.rows):
            if found.method == "sobol":
                handles.append(Patch(color=colour, label=f"{kind}, alone"))
                handles.append(Patch(color=pale(colour), label="with interactions"))
            else:
                handles.append(Patch(color=pale(colour), label=kind))
    ax.legend(handles=handles, loc="lower right", fontsize=9.5, frameon=False)
    return page


def _label(value: float, most: float) -> str:
    """A number of a bar; one that is nothing beside the largest is 0, whatever rounding has left of it."""
    return f"{value:.3g}" if value > 1e-9 * most else "0"
