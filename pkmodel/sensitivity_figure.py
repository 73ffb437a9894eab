"""The picture of a sensitivity: a tornado, the strongest input on top."""

from __future__ import annotations

from matplotlib.figure import Figure

from pkmodel import figures as pages
from pkmodel.disclaimer import IN_A_FIGURE
from pkmodel.plots import tornado
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
    tornado(found, ax=ax)
    ax.set_title("")  # stands at the foot
    return page
