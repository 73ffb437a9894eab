"""Accumulation: what a session finds left of those before it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pkmodel.errors import InputError, Problem, unknown_name
from pkmodel.exact_figures import course_figures
from pkmodel.ink import COLOURS, INK, tidy
from pkmodel.metrics import Request, Span, dosing_interval, evaluate
from pkmodel.plots.curves import EDGES, credit
from pkmodel.specs.window import Moment
from pkmodel.units import clock as duration

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from pkmodel.simulation import Result

Floats = NDArray[np.float64]

#: What can be set against the first session: its marker.
_METRICS = {"peak": "o", "auc": "s", "trough": "^"}


def interval_of(result: Result) -> float:
    """Hours over which the sessions of a course are compared: the shortest time between two starts.

    Raises InputError where there is one session only.
    """
    if len(result.schedule.sessions) < 2:
        raise InputError(Problem("one session", "a course of at least two sessions", path="results"))
    return float(dosing_interval(result.schedule.starts, np.inf).min())


def ratios(result: Result, metrics: Sequence[str], output: str = "parent") -> tuple[Floats, dict[str, Floats]]:
    """Metrics of every session over those of the first, in the same patient; exact.

    ``auc`` is the area over, and ``trough`` the level at the end of, one length of time after the start of every
    session (:func:`interval_of`), because over a week more is left to find, and less at its end, than over two days.

    Returns
    -------
    The numbers of the sessions (s,) and for each metric the ratios (s, n). Sessions that somebody did not have are
    left out.

    Raises
    ------
    InputError
        for an unknown metric, where there is one session only, or where the first has nothing to divide by.
    """
    for metric in metrics:
        if metric not in _METRICS:
            raise InputError(unknown_name("a metric", metric, _METRICS, path="metrics"))
    name, plan = result.model.output(output), result.schedule
    tau = interval_of(result)
    moment = Moment(tau, "start", f"{duration(tau)} after start")
    exact = course_figures(
        result.network,
        plan,
        moments=[moment],
        interval=True,
        last=tau,
        numerics=result.numerics,
        course=result.course,
    )[name]
    doses = plan.doses
    whole = np.flatnonzero([(dose > 0).all() for dose in doses])
    asked = {"peak": Request("peak", name), "trough": Request("level_at", name, moment=moment)}
    found: dict[str, Floats] = {}
    for metric in metrics:
        if not whole.size or whole[0] != 0:
            raise InputError(Problem("a first session that somebody did not have", "one for all", path="results"))
        if metric == "auc":
            request = Request("accumulation_ratio", name)  # per mg
            rows = [evaluate(exact, Span("session", int(k) + 1), request) * doses[k] / doses[0] for k in whole]
            values = np.stack(rows)
        else:
            values = np.stack([evaluate(exact, Span("session", int(k) + 1), asked[metric]) for k in whole])
            if not (values[0] > 0).all():
                expected = f"a {metric} above 0 in every patient"
                raise InputError(Problem(f"a {metric} of {name} of 0 in the first session", expected, path="results"))
            values = values / values[0]
        if not np.isfinite(values).all():
            raise InputError(Problem(f"no {metric} of {name} in the first session", "one above 0", path="results"))
        found[metric] = values
    sessions: Floats = whole + np.float64(1.0)
    return sessions, found


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
    line over patients are drawn. Areas are over, troughs at the end of, the shortest time between two sessions.
    Returns the axes.

    Raises InputError as :func:`ratios`.
    """
    if isinstance(metrics, str):
        metrics = (metrics,)
    ax = ax if ax is not None else Figure(figsize=(8.6, 4.2), dpi=100).add_axes((0.085, 0.17, 0.88, 0.70))
    highest = 1.0
    lowest = 1.0
    sessions, by_metric = ratios(result, metrics, output)
    tau = duration(interval_of(result))
    words = {"peak": "peak", "auc": f"area over {tau}", "trough": f"level {tau} after the start (trough)"}
    for place, metric in enumerate(metrics):
        found, marker = by_metric[metric], _METRICS[metric]
        colour = COLOURS[place % len(COLOURS)]
        x = sessions + 0.16 * (place - (len(metrics) - 1) / 2)
        edges = np.quantile(found, EDGES, axis=1)
        if found.shape[1] > 1:
            said = "line: 5-95 % of patients" if place == len(metrics) - 1 else "_"
            ax.vlines(x, edges[0], edges[4], color=colour, linewidth=1.6, label=said)
        look: dict[str, Any] = {"marker": marker, "markersize": 7, "markeredgecolor": colour, "linewidth": 0.8}
        look["markerfacecolor"] = "white" if place == 1 else colour
        ax.plot(x, edges[2], color=colour, label=words[metric], zorder=4, **look)
        highest, lowest = max(highest, float(edges.max())), min(lowest, float(edges.min()))
    ax.axhline(1.0, color=INK, linewidth=1.0, linestyle="--")
    doses = np.median(result.schedule.doses[sessions.astype(np.int64) - 1], axis=1)
    if (doses != doses[0]).any():  # then ratios follow the dose
        ax.step(sessions, doses / doses[0], where="mid", color="#777777", linewidth=1.2, label="dose", zorder=1)
        highest = max(highest, float(doses.max() / doses[0]))
    if log:
        ax.set_yscale("log")
    else:
        ax.set_ylim(min(0.0, 1.1 * lowest), 1.12 * max(highest, 1.1))
    starts = np.median(
        np.broadcast_to(result.schedule.starts, (len(result.schedule.sessions), result.network.size)), axis=1
    )
    step = max(1, len(starts) // 14)
    labels = [f"{index + 1}\nday {start / 24 + 1:.3g}" for index, start in enumerate(starts)]
    ax.set_xticks(np.arange(1, len(starts) + 1)[::step], labels[::step], fontsize=9.5)
    ax.tick_params(axis="y", labelsize=9.5)
    ax.set_xlabel("session", fontsize=10)
    many = f", n = {result.network.size:,}" if result.network.size > 1 else ""
    ax.set_ylabel(f"{result.model.output(output)}\nratio to session 1{many}", fontsize=10)
    ax.legend(loc="lower left", bbox_to_anchor=(-0.01, 1.0), frameon=False, fontsize=9.5, ncols=4)
    credit({"": result}, ax)
    tidy(ax)
    return ax
