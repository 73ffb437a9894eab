"""Rules as a forest plot: the share of patients who keep each, with its interval, against the share that must."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pkmodel import findings, wording
from pkmodel.errors import InputError, Problem
from pkmodel.findings import Finding
from pkmodel.ink import COLOURS, INK, LIMIT
from pkmodel.outcome import Study
from pkmodel.specs.clause import COMBINED

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Verdict: marker, whether it is filled.
_LOOK = {"met": ("o", True), "undecided": ("D", False), "broken": ("X", True)}
#: Letters to a line of the description of a rule.
_WIDTH = 42
#: Rows that the heading of a rule takes, beside one for each arm.
_HEAD = 1.0


def forest(study: Study, *, ax: Axes | None = None) -> Axes:
    """The share of patients who keep each rule in each arm, with its 95 % interval (simulation error only).

    A tick across each line is the share that is required; the shape of the marker is the verdict. Numbers stand on
    the right. Returns the axes; without ``ax`` a figure whose height fits the rules.

    Raises InputError where the study has no rules.
    """
    results = study.results
    if not results:
        raise InputError(Problem("a study without rules", "at least one rule", path="study"))
    groups: dict[tuple[str, str], list[Finding]] = {}
    for found in results:
        groups.setdefault((found.rule, found.window), []).append(found)
    rules = {rule.id: rule for rule in study.scenario.spec.rules}
    texts = {}
    for rule, window in groups:
        over = "" if window == COMBINED else f" ({window})"
        taught = any(findings.illustrative(rules[rule], case.model) for case in study.cases)
        said = f"{rule}: {wording.described(rules[rule])}{over}{', illustrative' if taught else ''}"
        texts[rule, window] = textwrap.wrap(said, 2 * _WIDTH)
    rows = sum(len(texts[key]) * 0.75 + len(group) + 0.45 for key, group in groups.items())
    if ax is None:
        height = 0.27 * rows + 1.15
        figure = Figure(figsize=(9.6, height), dpi=100)
        ax = figure.add_axes((0.27, 0.58 / height, 0.47, 1 - (0.58 + 0.42) / height))
    several = len({case.model.id for case in study.cases}) > 1
    names = [arm.name for arm in study.scenario.arms]
    y = 0.0
    ticks: list[tuple[float, str]] = []
    lowest = 100.0
    along = ax.get_yaxis_transform()
    for key, group in groups.items():
        for line in texts[key]:
            ax.text(-0.56, y, line, transform=along, fontsize=9.5, fontweight="bold", va="center", clip_on=False)
            y += 0.75
        y += 0.05
        for found in group:
            _row(found, y, COLOURS[names.index(found.arm) % len(COLOURS)], ax)
            ticks.append((y, found.arm + (f", {found.model}" if several else "")))
            lowest = min(lowest, 100 * found.low, 100 * found.required)
            y += 1.0
        y += 0.4
    ax.set_ylim(y - 0.4, -0.7)
    left = 0.0 if lowest < 60 else 10 * (lowest // 10) - 2
    ax.set_xlim(left, 101.5)
    ax.set_yticks(
        [at for at, _ in ticks], [textwrap.shorten(name, 40, placeholder="...") for _, name in ticks], fontsize=9
    )
    ax.tick_params(axis="y", length=0)
    ax.tick_params(axis="x", labelsize=9.5)
    ax.set_xlabel(f"patients who keep the rule [%], n = {study.n:,}", fontsize=10)
    ax.grid(axis="x", color="#e6e6e6", linewidth=0.6)
    ax.set_axisbelow(True)
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)
    ax.legend(
        handles=_handles(results), loc="lower right", bbox_to_anchor=(1.56, 1.0), ncols=5, frameon=False, fontsize=9
    )
    return ax


def _row(found: Finding, y: float, colour: str, ax: Axes) -> None:
    marker, filled = _LOOK[found.verdict]
    share = 100 * found.share
    ax.plot((100 * found.low, 100 * found.high), (y, y), color=colour, linewidth=2.2, solid_capstyle="butt")
    look: dict[str, Any] = {"markerfacecolor": colour if filled else "white", "markeredgecolor": colour}
    ax.plot([share], [y], marker=marker, markersize=8, markeredgewidth=1.5, zorder=4, gid=found.verdict, **look)
    ax.plot((100 * found.required,) * 2, (y - 0.38, y + 0.38), color=LIMIT, linewidth=2.2, zorder=3)
    interval = f"{share:.1f} % [{100 * found.low:.1f} to {100 * found.high:.1f}]"
    said = f"{interval}  {found.verdict}"
    ax.text(1.02, y, said, transform=ax.get_yaxis_transform(), fontsize=9, va="center", clip_on=False)


def _handles(results: list[Finding]) -> list[Any]:
    handles: list[Any] = []
    for verdict, (marker, filled) in _LOOK.items():
        if any(found.verdict == verdict for found in results):
            face = INK if filled else "white"
            look: dict[str, Any] = {"markerfacecolor": face, "markeredgecolor": INK, "linestyle": ""}
            handles.append(Line2D([], [], marker=marker, markersize=8, label=verdict, **look))
    handles.append(
        Line2D([], [], marker="|", markersize=11, markeredgewidth=2.2, color=LIMIT, linestyle="", label="required")
    )
    handles.append(Line2D([], [], color=INK, linewidth=2.2, label="95 % interval (simulation error)"))
    return handles
