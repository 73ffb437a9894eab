"""Levels and effects of one simulated patient over time, a panel to a unit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from pkmodel.ink import COLOURS, INK, tidy
from pkmodel.plots.limits import mark_bands, unit_of, wrapped

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from pkmodel.simulation import Result


def levels(result: Result, *, ax: Axes | None = None) -> Axes:
    """Levels of every output of one simulated patient over time, with the doses given marked under the curves."""
    ax = ax if ax is not None else Figure(figsize=(10, 4.6)).add_subplot()
    scale = 24.0 if result.until > 96 else 1.0
    for index, (name, unit) in enumerate(zip(result.network.output_names, result.network.output_units, strict=True)):
        style = ("-", "--", "-.", ":")[index % 4]
        ax.plot(
            result.time / scale,
            result.level(name)[0],
            style,
            color=COLOURS[index],
            linewidth=1.5,
            label=f"{name} [{unit}]",
        )
    mark_given(result, ax, scale)
    ax.set_ylabel(f"level [{result.network.output_units[0]}]", fontsize=10)
    ax.set_ylim(0, ax.get_ylim()[1] * 1.15)
    mark_bands(result.model, result.model.parent, ax)
    return ax


def effects(result: Result, unit: str, *, ax: Axes | None = None) -> Axes:
    """The effects of one simulated patient that are counted in ``unit`` (as :func:`unit_of` says it) over time."""
    ax = ax if ax is not None else Figure(figsize=(10, 4.6)).add_subplot()
    scale = 24.0 if result.until > 96 else 1.0
    names = [name for name in result.network.effects if unit_of(result.model, name) == unit]
    low = 0.0
    for index, name in enumerate(names):
        style, level = ("-", "--", "-.", ":")[index % 4], result.level(name)[0]
        label = name + (" (illustrative)" if result.model.illustrative(name) else "")
        ax.plot(result.time / scale, level, style, color=COLOURS[index % len(COLOURS)], linewidth=1.5, label=label)
        low = min(low, float(level.min()))
    mark_given(result, ax, scale)
    ax.set_ylabel(wrapped(unit), fontsize=10)
    ax.set_ylim(1.15 * low, max(ax.get_ylim()[1], 0.0) * 1.15 or 1.0)
    return ax


def mark_given(result: Result, ax: Axes, scale: float) -> None:
    """Mark the doses given under the curves of one patient, and set out the axis of time and the legend."""
    along = ax.get_xaxis_transform()
    shown = [given for given in result.schedule.sessions if given.planned.start <= result.until]
    for given in shown:
        start = given.planned.start / scale
        ax.plot([start], [0.02], transform=along, marker="^", color=INK, markersize=5)
        if len(shown) <= 16:
            ax.text(
                start,
                0.985,
                f" {given.given[0]:.4g} mg",
                transform=along,
                fontsize=8,
                va="top",
                rotation=90 if len(shown) > 6 else 0,
            )
    unit = "days" if scale > 1 else "hours"
    ax.set_xlabel(f"{unit} from the start of the course", fontsize=9.5)
    ax.set_xlim(-0.01 * result.until / scale, result.until / scale)
    ax.legend(frameon=False, fontsize=9, ncols=4, loc="lower right", bbox_to_anchor=(1.0, 1.0))
    tidy(ax)
