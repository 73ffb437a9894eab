"""Accumulation: what a session finds left of those before it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pkmodel.errors import InputError, Problem, one_of
from pkmodel.ink import COLOURS, INK, tidy
from pkmodel.plots.curves import EDGES, credit

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from pkmodel.simulation import Result

Floats = NDArray[np.float64]

#: What can be set against the first session: its words, its marker.
_METRICS = {
    "peak": ("peak", "o"),
    "auc": ("area until the next session", "s"),
    "trough": ("trough before the next", "^"),
}


def ratios(result: Result, metric: str, output: str = "parent") -> tuple[Floats, Floats]:
    """A metric of every session over that of the first: the numbers of the sessions (s,), and ratios (s, n).

    The last session has no next one: its area and trough are left out. So are sessions that somebody did not have.
    Figures are exact. Raises InputError for an unknown metric, where there is one session only, or where the first
    has nothing to divide by.
    """
    if metric not in _METRICS:
        raise InputError(Problem(metric, one_of([*_METRICS]), path="metrics"))
    name = result.model.output(output)
    count = len(result.schedule.sessions)
    if count < 2:
        raise InputError(Problem("one session", "a course of at least two sessions", path="results"))
    table = result.sessions()
    rows = table[table["output"] == name]
    values = rows.pivot(index="session", columns="subject", values=metric).to_numpy(dtype=np.float64)
    given = rows.pivot(index="session", columns="subject", values="dose_mg").to_numpy(dtype=np.float64)
    whole: NDArray[np.bool_] = np.all(given > 0, axis=1, keepdims=True)[:, 0]
    if metric == "trough":  # a session's own is the level before it; here that before the next
        values = np.concatenate([values[1:], values[-1:]])
    if metric != "peak":
        whole[-1] = False
    if not whole[0] or not (np.isfinite(values[0]) & (values[0] > 0)).all():
        found = f"a first session whose {metric} of {name} is 0, or that somebody did not have"
        raise InputError(Problem(found, f"a {metric} above 0 in every patient", path="results"))
    found_ratios: Floats = values[whole] / values[0]
    return np.flatnonzero(whole).astype(np.float64) + 1, found_ratios


def accumulation(
    result: Result,
    *,
    output: str = "parent",
    metrics: Sequence[str] = ("peak", "auc", "trough"),
    ax: Axes | None = None,
    log: bool = False,
) -> Axes:
    """Peak, area and trough of every session over those of the first session, in the same patient.

    1 means that nothing builds up (or that doses fall as fast as it does). Of many patients the median and the 5-95 %
    line over patients are drawn. Areas and troughs reach to the next session, however far that is. Returns the axes.

    Raises InputError as :func:`ratios`.
    """
    if isinstance(metrics, str):
        metrics = (metrics,)
    ax = ax if ax is not None else Figure(figsize=(8.6, 4.2), dpi=100).add_axes((0.085, 0.17, 0.88, 0.70))
    highest = 1.0
    lowest = 1.0
    for place, metric in enumerate(metrics):
        sessions, found = ratios(result, metric, output)
        words, marker = _METRICS[metric]
        colour = COLOURS[place % len(COLOURS)]
        x = sessions + 0.16 * (place - (len(metrics) - 1) / 2)
        edges = np.quantile(found, EDGES, axis=1)
        if found.shape[1] > 1:
            ax.vlines(x, edges[0], edges[4], color=colour, linewidth=1.6)
        look: dict[str, Any] = {"marker": marker, "markersize": 7, "markeredgecolor": colour, "linewidth": 0.8}
        look["markerfacecolor"] = "white" if place == 1 else colour
        ax.plot(x, edges[2], color=colour, label=words, zorder=4, **look)
        highest, lowest = max(highest, float(edges.max())), min(lowest, float(edges.min()))
    ax.axhline(1.0, color=INK, linewidth=1.0, linestyle="--")
    if log:
        ax.set_yscale("log")
    else:
        ax.set_ylim(min(0.0, 1.1 * lowest), 1.12 * highest)
    starts = np.median(
        np.broadcast_to(result.schedule.starts, (len(result.schedule.sessions), result.network.size)), axis=1
    )
    step = max(1, len(starts) // 14)
    labels = [f"{index + 1}\nday {start / 24 + 1:.3g}" for index, start in enumerate(starts)]
    ax.set_xticks(np.arange(1, len(starts) + 1)[::step], labels[::step], fontsize=9.5)
    ax.tick_params(axis="y", labelsize=9.5)
    ax.set_xlabel("session", fontsize=10)
    many = f"\nn = {result.network.size:,}: median, 5-95 % of patients" if result.network.size > 1 else ""
    ax.set_ylabel(f"{result.model.output(output)}: ratio to session 1 [no unit]{many}", fontsize=10)
    ax.legend(loc="lower left", bbox_to_anchor=(-0.01, 1.0), frameon=False, fontsize=9.5, ncols=len(metrics))
    credit({"": result}, ax)
    tidy(ax)
    return ax
