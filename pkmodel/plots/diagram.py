"""A model as a diagram of its compartments, drawn from its file, with the amounts in them at a time."""

from __future__ import annotations

import textwrap
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle
from numpy.typing import NDArray

from pkmodel.errors import InputError, Problem, shown
from pkmodel.ink import COLOURS, INK
from pkmodel.plots.curves import figures
from pkmodel.plots.diagram_layout import places, upstream
from pkmodel.simulation import amounts_at
from pkmodel.specs.library import load_model
from pkmodel.specs.model import OUTSIDE, Flow, ModelSpec
from pkmodel.units import clock as duration

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from pkmodel.simulation import Result

Floats = NDArray[np.float64]

#: Inches of a box, and between two rows; the gap between columns follows the longest rate that stands in one.
_WIDE, _HIGH, _ROW = 1.32, 0.72, 1.55
#: Inches of a letter of a rate, and the letters of a line of it.
_LETTER, _LINE = 0.062, 15
_FLOW, _DRUG, _METABOLITE = "#444444", COLOURS[0], COLOURS[1]


def compartments(
    model: ModelSpec | str | None = None,
    *,
    result: Result | None = None,
    at: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """The compartments of a model with what flows between them.

    A box is a compartment, an arrow a flow with its rate (times the amount in the box it leaves that is mg/h); routes
    come in at the upper left, what is eliminated leaves downwards. Effect sites are not drawn: they take nothing out.

    Parameters
    ----------
    model
        a model or its name; that of the ``result`` without it.
    result, at
        fills every box with what it holds ``at`` a time (h from the start of the course; exact, wherever the grid of
        the result has points): mg, and as the height of the filling its share of all that the body holds then. Of
        many patients the medians.

    Returns
    -------
    The axes; without ``ax`` a figure of the size that the model needs.

    Raises
    ------
    InputError
        where there is neither a model nor a result, they do not belong together, or the time is not in the result.
    """
    spec = load_model(model) if isinstance(model, str) else model
    if spec is None:
        if result is None:
            raise InputError(Problem("neither a model nor a result", "one of the two", path="model"))
        spec = result.model
    held = _held(spec, result, at)
    where = places(spec)
    gap = max([0.72, *(_LETTER * _longest(flow) + 0.16 for flow in spec.flows if _level(flow, where))])
    spot = {name: (x * (_WIDE + gap), y * _ROW) for name, (x, y) in where.items()}
    xs, ys = zip(*spot.values(), strict=True)
    left, right = min(xs) - _WIDE / 2 - 0.85, max(xs) + _WIDE / 2 + 0.35
    bottom, top = min(ys) - _HIGH / 2 - 0.95, max(ys) + (0.84 if max(ys) == 0 else _HIGH / 2 + 0.12)
    if ax is None:
        size = (right - left, top - bottom + 0.55)
        ax = Figure(figsize=size, dpi=100).add_axes((0.0, 0.0, 1.0, (top - bottom) / size[1]))
    ax.set_xlim(left, right)
    ax.set_ylim(bottom, top)
    ax.set_aspect("equal", adjustable="datalim")
    ax.set_axis_off()
    parents = upstream(spec)
    whole = sum(held.values()) if held else 0.0
    for name, (x, y) in spot.items():
        colour = _DRUG if name in parents else _METABOLITE
        _box(name, x, y, colour, None if held is None else held[name], whole, ax)
    for flow in spec.flows:
        if flow.target == OUTSIDE:
            _out(flow, [other for other in spec.flows if other.source == flow.source], spot, ax)
        else:
            both = any(other.source == flow.target and other.target == flow.source for other in spec.flows)
            _arrow(spot[flow.source], spot[flow.target], _rate(flow), ax, both=both)
    _routes(spec, spot, ax)
    _head(spec, result, at, whole, ax)
    return ax


def _held(spec: ModelSpec, result: Result | None, at: float | None) -> dict[str, float] | None:
    """mg in every compartment at a time, the median over patients; None without a result."""
    if result is None:
        if at is not None:
            raise InputError(Problem("a time without a result", "the result whose amounts to show", path="result"))
        return None
    if tuple(result.model.compartments) != tuple(spec.compartments) or result.model.id != spec.id:
        raise InputError(Problem(f"a result of {result.model.id}", f"a result of {spec.id}", path="result"))
    end = float(result.time[-1])
    if at is None or not isfinite(at) or not 0 <= at <= end:
        raise InputError(Problem(shown(at), f"a time from 0 to {end:g} h", path="at"))
    time = np.array([float(at)])
    if result.course is not None:
        amounts = result.course.amounts(time)[:, 0]
    else:
        amounts = amounts_at(result.network, result.schedule, time, result.numerics)[:, 0]
    return {name: float(np.median(amounts[:, index])) for index, name in enumerate(spec.compartments)}


def _rate(flow: Flow) -> str:
    text = flow.rate.text if flow.rate is not None else "saturable"
    return "\n".join(textwrap.wrap(text, _LINE, break_long_words=False))


def _longest(flow: Flow) -> int:
    return max(map(len, _rate(flow).split("\n")))


def _level(flow: Flow, where: dict[str, tuple[float, float]]) -> bool:
    """Whether a flow runs along a row, from one box to the next."""
    return flow.target != OUTSIDE and where[flow.source][1] == where[flow.target][1]


def _box(name: str, x: float, y: float, colour: str, held: float | None, whole: float, ax: Axes) -> None:
    left, bottom = x - _WIDE / 2, y - _HIGH / 2
    if held is not None and whole > 0:
        share = held / whole
        ax.add_patch(
            Rectangle((left, bottom), _WIDE, _HIGH * share, facecolor=colour, alpha=0.35, linewidth=0, gid=name)
        )
    frame = FancyBboxPatch((left, bottom), _WIDE, _HIGH, boxstyle="square,pad=0", edgecolor=colour, facecolor="none")
    frame.set_linewidth(2.0)
    ax.add_patch(frame)
    text = "\n".join(textwrap.wrap(name.replace("_", " "), 18))
    said = f"\n{figures(held)} mg" if held is not None else ""
    ax.text(
        x,
        y,
        text + said,
        ha="center",
        va="center",
        fontsize=8.8 if max(map(len, text.split("\n"))) <= 16 else 8,
        color=INK,
        linespacing=1.1,
    )


def _arrow(start: tuple[float, float], end: tuple[float, float], text: str, ax: Axes, *, both: bool) -> None:
    """An arrow from the edge of one box to that of another; of two that go both ways each keeps to its right."""
    along = np.subtract(end, start)
    length = float(np.hypot(*along)) or 1.0
    side = np.array([along[1], -along[0]]) / length * (0.11 if both else 0.0)
    tail, head = np.add(start, side), np.add(end, side)
    tail, head = _edge(start, tail, head), _edge(end, head, tail)
    look: dict[str, Any] = {"arrowstyle": "-|>", "color": _FLOW, "linewidth": 1.5, "shrinkA": 0, "shrinkB": 1}
    ax.annotate("", tuple(head), tuple(tail), arrowprops=look | {"mutation_scale": 13})
    flat = abs(along[1]) < 0.3 * abs(along[0])
    # Of arrows that fan out upwards the rates stand where they are apart.
    share = 0.5 if flat or not both else 0.72 if along[1] > 0 else 0.28
    middle = tail + share * (head - tail)
    away = side / 0.11 if both else np.array([along[1], -along[0]]) / length * (-1 if flat else 1)
    place = middle + away * (0.07 if flat else 0.06)
    horizontal = "center" if flat else ("left" if away[0] > 0 else "right")
    vertical = ("bottom" if away[1] > 0 else "top") if flat else "center"
    ax.text(
        float(place[0]), float(place[1]), text, ha=horizontal, va=vertical, fontsize=8.5, color=_FLOW, linespacing=1.0
    )


def _edge(centre: tuple[float, float], inside: Floats, towards: Floats) -> Floats:
    """Where a line from inside of a box leaves it."""
    direction = towards - inside
    shares = []
    for axis, half in ((0, _WIDE / 2), (1, _HIGH / 2)):
        if direction[axis]:
            border = centre[axis] + np.sign(direction[axis]) * half
            shares.append((border - inside[axis]) / direction[axis])
    found: Floats = inside + min(shares) * direction
    return found


def _out(flow: Flow, of_box: list[Flow], spot: dict[str, tuple[float, float]], ax: Axes) -> None:
    """An arrow out of the body, downwards from the right half of a box."""
    x, y = spot[flow.source]
    outs = [other for other in of_box if other.target == OUTSIDE]
    x += 0.30 * _WIDE + 0.2 * outs.index(flow)
    look: dict[str, Any] = {"arrowstyle": "-|>", "color": _FLOW, "linewidth": 1.5, "mutation_scale": 13, "shrinkA": 0}
    ax.annotate("", (x, y - _HIGH / 2 - 0.45), (x, y - _HIGH / 2), arrowprops=look)
    ax.text(
        x,
        y - _HIGH / 2 - 0.48,
        f"out: {_rate(flow)}",
        ha="center",
        va="top",
        fontsize=8.5,
        color=_FLOW,
        linespacing=1.0,
    )


def _routes(spec: ModelSpec, spot: dict[str, tuple[float, float]], ax: Axes) -> None:
    into: dict[str, list[str]] = {}
    for name, route in spec.routes.items():
        for way in route.paths:
            into.setdefault(way.into, []).append(name)
    for box, names in into.items():
        x, y = spot[box]
        corner = (x - _WIDE / 2, y + 0.24)
        tail = (corner[0] - 0.34, corner[1] + 0.30)
        look: dict[str, Any] = {"arrowstyle": "-|>", "color": INK, "linewidth": 2.2, "mutation_scale": 15, "shrinkA": 0}
        ax.annotate("", corner, tail, arrowprops=look)
        text = "\n".join(dict.fromkeys(names))
        ax.text(tail[0], tail[1] + 0.02, text, ha="center", va="bottom", fontsize=9.5, fontweight="bold", color=INK)


def _head(spec: ModelSpec, result: Result | None, at: float | None, whole: float, ax: Axes) -> None:
    said = f"{spec.id} (evidence: {spec.evidence})"
    if result is not None and at is not None:
        many = f", median of n = {result.network.size:,}" if result.network.size > 1 else ", one patient"
        said += f"; {duration(at)} after the start{many}: {figures(whole)} mg in the body, metabolites included"
    width = int((ax.get_xlim()[1] - ax.get_xlim()[0]) / 0.085)
    title = "\n".join(textwrap.wrap(said, width))
    ax.set_title(title, loc="left", fontsize=10, fontweight="bold", x=0.01, pad=4)
