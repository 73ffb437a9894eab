"""The picture of a design: the share that keeps each rule against the value, and the answer; or a map of two values."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from pkmodel import figures as pages
from pkmodel.dose_finding import Design
from pkmodel.findings import wilson
from pkmodel.ink import COLOURS, INK, LIMIT, pale, tidy
from pkmodel.plots import dose_duration_map

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_GOOD = "#009E73"


def figure(found: Design) -> Figure:
    """One page: shares with their bands over the range, or the part of a plane where the rules hold."""
    rules = found.line.rules
    asked = "; ".join(f"{pages.describe(rule)} in {rule.share.text}" for rule in rules)
    knob = found.knob
    foot = [
        f"{found.request.arm.name}: {found.request.arm.protocol.title}. {knob.path} is turned; the same "
        "patients at every value.",
        f"Rules: {asked}.",
        f"Interval of the answer: {found.interval}.",
        *(f"Beware: {note}." for note in found.notes),
        *pages.foot_of(found.study),
    ]
    title = "\n".join(textwrap.wrap(headline(found).partition(" (95 % interval")[0], 78))
    page, axes = pages.sheet(title, foot, rows=1, columns=1, width=10.0, height=4.6, right=2.15)
    (ax,) = axes[0]
    if found.feasible is None:
        _shares(found, ax)
    else:
        dose_duration_map(found, ax=ax)
    return page


def headline(found: Design) -> str:
    """The answer as a sentence."""
    knob, side = found.knob, found.request.side
    names = " and ".join(f"{rule.id} in {rule.share.text}" for rule in found.line.rules)
    holds = "hold" if len(found.line.rules) > 1 else "holds"
    if found.feasible is not None:
        return f"Where {names} {holds}: {knob.name} by {found.request.knobs[1].name}"
    if found.stated is None:
        return f"No {knob.name} from {knob.label(knob.low)} to {knob.label(knob.high)} keeps {names}"
    if found.answer.open:
        return f"{_sentence(knob.name)}: {names} {holds} up to the end of the range, {knob.label(found.stated)}"
    ends = f" ({span(found)})"
    return f"{_sentence(side)} {knob.name} at which {names} {holds}: {knob.label(found.stated)}{ends}"


def span(found: Design) -> str:
    """The interval in the unit of the answer."""
    low, high = found.answer.low, found.answer.high
    left = "below the range" if low is None else f"{low:.4g}"
    right = "above the range" if high is None else f"{high:.4g}"
    return f"95 % interval {left} to {right}"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _shares(found: Design, ax: Axes) -> None:
    knob, answer, n = found.knob, found.answer, found.n
    for index, (rule, kept) in enumerate(zip(found.line.rules, found.kept, strict=True)):
        colour = COLOURS[index % len(COLOURS)]
        bands = 100 * np.array([wilson(int(count), n) for count in kept])
        ax.fill_between(found.values, bands[:, 0], bands[:, 1], color=pale(colour), linewidth=0)
        mark = "" if found.method == "scaled" else "o"
        ax.plot(found.values, 100 * kept / n, marker=mark, markersize=3.5, color=colour, linewidth=2, label=rule.id)
    required = sorted({rule.share.value for rule in found.line.rules})
    for share in required:
        ax.axhline(100 * share, color=LIMIT, linewidth=1.1, linestyle="--")
        ax.annotate(
            f"required: {100 * share:g} %",
            (1.01, 100 * share),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=9.5,
            color=LIMIT,
        )
    ax.set_xlim(found.values[0], found.values[-1])
    ax.set_ylim(0, 103)
    if found.stated is not None and answer.value is not None:
        low = answer.low if answer.low is not None else found.values[0]
        high = answer.high if answer.high is not None else found.values[-1]
        ax.axvspan(low, high, color=_GOOD, alpha=0.22, linewidth=0)
        ax.axvline(answer.value, color=_GOOD, linewidth=2)
        above, left = _corner(found, answer.value)
        ax.annotate(
            f"{knob.label(found.stated)}\n{span(found).replace('interval ', 'interval' + chr(10))}",
            (answer.value, 84 if above else 8),
            xytext=(-60 if left else 60, 0),
            textcoords="offset points",
            ha="right" if left else "left",
            va="top" if above else "bottom",
            fontsize=11,
            fontweight="bold",
            color="#00664b",
            arrowprops={"arrowstyle": "-", "color": _GOOD, "linewidth": 1, "shrinkB": 0},
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 2},
        )
    if knob.low <= knob.now <= knob.high:
        ax.plot([knob.now], [0], "^", color=INK, markersize=9, clip_on=False, zorder=5)
    ax.set_xlabel(f"{knob.name} [{knob.unit.text}]", fontsize=11)
    ax.set_ylabel("patients who keep the rule [%]", fontsize=11)
    tidy(ax)
    handles: list[Any] = list(ax.get_lines()[: len(found.line.rules)])
    handles.append(Patch(color="#bbbbbb", label="95 % band of the share\n(Wilson)"))
    handles.append(Patch(color=_GOOD, alpha=0.3, label="95 % interval of\nthe answer"))
    handles.append(
        Line2D([], [], marker="^", color=INK, linestyle="", label=f"the protocol's own:\n{knob.written.text}")
    )
    ax.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.005, 0.78), fontsize=9, frameon=False)


def _corner(found: Design, value: float) -> tuple[bool, bool]:
    """Where beside the answer no curve runs: whether above, and whether to the left."""
    place = (value - found.values[0]) / (found.values[-1] - found.values[0])
    falls = found.kept[0, -1] < found.kept[0, 0]
    if falls:
        return (True, False) if place < 0.65 else (False, True)
    return (True, True) if place > 0.35 else (False, False)
