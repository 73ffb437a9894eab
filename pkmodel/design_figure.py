"""The pictures of a search: the share that keeps each rule against the value, or a map of two values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from pkmodel import figures as pages
from pkmodel.design import Design, Map, Task
from pkmodel.findings import described
from pkmodel.ink import COLOURS, INK, LIMIT, tidy
from pkmodel.specs.knobs import Knob

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_HEAD: dict[str, Any] = {"loc": "left", "fontsize": 10.5, "fontweight": "bold"}


def figure(found: Design) -> Figure:
    """Share of patients against the value, with its interval, the required share, and the answer with its own."""
    assert found.study is not None
    rules = found.task.scenario.spec.rules
    said = [f"{rule.id}: {described(rule)} in {rule.share.text} of patients." for rule in rules]
    said.append("Areas: 95 % Wilson intervals of the shares; simulation error only. The same patients at every value.")
    page, axes = pages.sheet(
        f"{sentence(found)}\n{title(found.task)}",
        [*said, *(f"Beware: {item}." for item in found.cautions), *pages.foot_of(found.study)],
        rows=1,
        columns=1,
        width=11.0,
        height=4.2,
        right=1.9,
    )
    ax = axes[0][0]
    tidy(ax)
    knob, values = found.knob, np.array(found.values)
    _band_of_answer(ax, found)
    for index, rule in enumerate(rules):
        items, colour = found.of(rule.id), COLOURS[index % len(COLOURS)]
        low, share, high = (
            100 * np.array([getattr(item, name) for item in items]) for name in ("low", "share", "high")
        )
        ax.fill_between(values, low, high, color=colour, alpha=0.25, linewidth=0)
        ax.plot(values, share, color=colour, linewidth=1.8, label=f"{rule.id}: kept by")
        required = 100 * rule.share.value
        ax.axhline(required, color=colour, linewidth=1.0, linestyle="--")
        ax.annotate(
            f"{rule.id}: {required:g} % required",
            (1.0, required),
            xycoords=("axes fraction", "data"),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
            color=colour,
        )
    ax.set_xlabel(label(knob))
    ax.set_ylabel("patients who keep the rule [%]")
    ax.set_ylim(-2, 102)
    ax.set_xlim(*_shown(found))
    now = knob.now.number
    if values[0] < now < values[-1]:
        ax.annotate("now", (now, -2), xytext=(0, 8), textcoords="offset points", ha="center", fontsize=8.5, color=INK)
        ax.plot([now], [-2], marker="^", color=INK, clip_on=False, markersize=6)
    if len(rules) > 1:
        ax.legend(loc="best", fontsize=9, frameon=False)
    return page


def _shown(found: Design) -> tuple[float, float]:
    """The part of the range in which something happens: beyond it every share stays within a point of its last."""
    table = np.array([[item.share for item in found.of(rule)] for rule in found.rules])
    low, high = 0, table.shape[1] - 1
    while low < high and (np.abs(table[:, : low + 2] - table[:, :1]) < 0.01).all():
        low += 1
    while high > low and (np.abs(table[:, high - 1 :] - table[:, -1:]) < 0.01).all():
        high -= 1
    values, now = found.values, found.knob.now.number
    left = min(values[max(low - 1, 0)], max(values[0], 0.9 * now))
    right = max(values[min(high + 1, len(values) - 1)], min(values[-1], 1.1 * now))
    return left, right


def _band_of_answer(ax: Axes, found: Design) -> None:
    for low, high in found.pieces:
        ax.axvspan(low, high, color="#edf5ee", zorder=0, linewidth=0)
    for end in found.ends:
        if end.low is not None and end.high is not None:
            ax.axvspan(end.low, end.high, color="#cfcfcf", zorder=0.5, linewidth=0)
        ax.axvline(end.value, color=LIMIT, linewidth=1.2)
        right = end.side == "largest"
        ax.annotate(
            f"{end.value:.3g} {found.knob.unit}",
            (end.value, 4),
            xytext=(6 if right else -6, 0),
            textcoords="offset points",
            ha="left" if right else "right",
            fontsize=11,
            fontweight="bold",
            color=INK,
        )


def chart_figure(found: Map) -> Figure:
    """The worst rule's share less what is required, over two quantities, and the line where it passes 0."""
    rules = found.task.scenario.spec.rules
    said = [f"{rule.id}: {described(rule)} in {rule.share.text} of patients." for rule in rules]
    said.append("Outlined: every rule holds. Shares without their intervals; the same patients at every point.")
    page, axes = pages.sheet(
        title(found.task),
        [*said, *pages.foot_of(found.study)],
        rows=1,
        columns=1,
        width=9.5,
        height=5.0,
        right=1.6,
    )
    ax = axes[0][0]
    first, second = found.task.knobs
    margin = 100 * found.margin
    shown = ax.contourf(*found.axes, margin, levels=np.linspace(-100, 100, 21), cmap="PuOr_r")
    if margin.min() < 0 <= margin.max():
        ax.contour(*found.axes, margin, levels=[0.0], colors=[INK], linewidths=2.0)
    ax.plot([first.now.number], [second.now.number], marker="o", color=INK, markerfacecolor="white", markersize=8)
    ax.annotate(
        "now", (first.now.number, second.now.number), xytext=(7, 5), textcoords="offset points", fontsize=9, color=INK
    )
    ax.set_xlabel(label(first))
    ax.set_ylabel(label(second))
    ax.set_xlim(found.axes[0][0], found.axes[0][-1])
    ax.set_ylim(found.axes[1][0], found.axes[1][-1])
    bar = page.colorbar(shown, ax=ax, fraction=0.05, pad=0.02, ticks=[-100, -75, -50, -25, 0, 25])
    bar.ax.set_ylim(-100, max(20.0, 10.0 * np.ceil(margin.max() / 10.0)))
    bar.set_label("worst rule: share of patients less what is required [percentage points]", fontsize=9)
    return page


def title(task: Task) -> str:
    """What is searched, in words."""
    (arm,) = task.scenario.arms
    name = arm.protocol.title if arm.name == "protocol" else f"{arm.name}, {arm.protocol.title}"
    return f"{' and '.join(knob.name for knob in task.knobs)} of {name}"


def label(knob: Knob) -> str:
    """An axis."""
    return f"{knob.name} [{knob.unit}]"


def sentence(found: Design) -> str:
    """The answer in a few words."""
    if not found.pieces:
        return "Nowhere in the range do the rules hold"
    words = []
    for end in found.ends:
        said = f"{end.side} {found.knob.name} that keeps {' and '.join(found.rules)}: {end.value:.3g} {found.knob.unit}"
        if end.low is not None and end.high is not None:
            said += f" (95 % interval {end.low:.3g} to {end.high:.3g})"
        words.append(said)
    if not words:
        return f"{' and '.join(found.rules)}: kept over the whole range"
    return "\n".join(word[:1].upper() + word[1:] for word in words)
