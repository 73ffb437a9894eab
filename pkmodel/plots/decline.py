"""Context-sensitive half-times: how long a level takes to halve after infusions of growing length.

Hughes MA, Glass PSA, Jacobs JR. Context-sensitive half-time in multicompartment pharmacokinetic models for intravenous
anesthetic drugs. Anesthesiology 1992;76:334-341.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pkmodel import engine, network, schedule, units
from pkmodel.engine import AUTO, Numerics
from pkmodel.errors import InputError, Problem, shown, unknown_name
from pkmodel.ink import COLOURS, apart, tidy
from pkmodel.overlay import DASHES
from pkmodel.population import Patient, Population
from pkmodel.schedule import EventList
from pkmodel.specs.library import load_model
from pkmodel.specs.model import ModelSpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]

#: Points that a bracket is looked at in, and how often it is narrowed: to 1e-12 of itself.
_POINTS, _ROUNDS = 41, 9
#: Hours after the infusion within which a level must have halved.
_LONGEST = 24.0 * 365.0
_MARKERS = ("", "o", "s", "^", "D", "v", "P", "X")


def context_half_times(
    model: ModelSpec | str,
    durations: Sequence[float] | Floats,
    *,
    patient: Patient,
    effect: str | None = None,
    rate: str = "10 mg/h",
    numerics: Numerics = AUTO,
) -> Floats:
    """Hours (d,) until the level has halved after intravenous infusions over ``durations`` (d,) h at a constant rate.

    Counted from the end of the infusion, to half of the level at its end: of the drug itself, or at the effect site of
    ``effect``, where the level may rise for a while before it falls. Of a linear model the rate makes no difference.
    As exact as the engine: times are narrowed to 12 digits.

    Raises
    ------
    InputError
        where the model has no intravenous route, no such effect site, a duration is not above 0, or a level does not
        halve within a year.
    """
    spec = load_model(model) if isinstance(model, str) else model
    over = np.asarray(durations, dtype=np.float64)
    if over.ndim != 1 or not over.size or not (np.isfinite(over) & (over > 0)).all():
        raise InputError(Problem(shown(list(np.ravel(over))), "durations above 0 h", path="durations"))
    if "iv" not in spec.routes:
        raise InputError(unknown_name(f"a route of {spec.id}", "iv", spec.routes, path="route"))
    flow = units.parse(rate)
    if flow.unit.dimensions != units.parse_unit("mg/h").dimensions or flow.value <= 0:
        raise InputError(Problem(shown(rate), 'a rate such as "10 mg/h"', path="rate"))
    one = patient.population()
    copies = {name: np.repeat(values, over.size) for name, values in one.covariates.items()}
    net = network.build(spec, Population(first=0, size=over.size, covariates=copies))
    events = EventList(net.size)
    for delivery in schedule.down("iv", net, flow.value * over, 0.0, over):
        events.deliver(replace(delivery, own=True))
    given = events.events()
    state, scale = _observed(spec, net, effect)

    def levels(times: Floats) -> Floats:
        found: Floats = engine.levels(net.system, given, times, state, scale, numerics=numerics)[:, 0].T
        return found

    end = levels(over[None])[0]
    if not (end > 0).all():
        raise InputError(Problem("no level at the end of the infusion", "a level above 0", path=spec.id))
    after = np.concatenate([[0.0], np.geomspace(1e-4, _LONGEST, 300)])[:, None] + np.zeros(over.size)
    last = _last_above(levels(over + after), end)
    if (late := last == after.shape[0] - 1).any():
        found = f"a level that has not halved {_LONGEST:g} h after an infusion of {over[late][0]:g} h"
        raise InputError(Problem(found, "a model that clears its drug", path=spec.id))
    column = np.arange(over.size)
    low, high = after[last, column], after[last + 1, column]
    for _ in range(_ROUNDS):
        grid = low + np.linspace(0, 1, _POINTS)[:, None] * (high - low)
        if (np.diff(over + grid, axis=0) <= 0).any():
            break  # the times are neighbours in floating point
        last = np.minimum(_last_above(levels(over + grid), end), _POINTS - 2)
        low, high = grid[last, column], grid[last + 1, column]
    return (low + high) / 2


def _last_above(found: Floats, end: Floats) -> NDArray[np.int64]:
    """The last of rising times (d,) at which a level of ``found`` (t, d) is above half of its ``end`` (d,)."""
    above = found > end / 2
    last: NDArray[np.int64] = above.shape[0] - 1 - np.argmax(above[::-1], axis=0)
    return last


def _observed(spec: ModelSpec, net: network.Network, effect: str | None) -> tuple[NDArray[np.int64], Floats]:
    """The state to follow, and from that to a level, for every patient."""
    if effect is None:
        index = net.output_names.index(spec.parent)
        return net.output_compartment[[index]], net.output_scale[[index]]
    name = spec.observable(effect, path="effect")
    acting = spec.effects.get(name)
    if acting is None or not acting.sites:
        raise InputError(Problem(effect, f"an effect of {spec.id} with an effect site", path="effect"))
    site = acting.site_state(name, next(iter(acting.sites)))
    return np.array([net.states.index(site)]), np.ones((1, net.size))


def half_times(
    models: Sequence[ModelSpec | str] | Mapping[str, ModelSpec | str],
    *,
    patient: Patient,
    longest: float = 12.0,
    effect: str | None = None,
    ax: Axes | None = None,
    log: bool = False,
) -> Axes:
    """Context-sensitive half-times of models, against the length of the infusion up to ``longest`` h.

    Of a typical ``patient``. With ``effect`` those of its effect site, in models to which it is attached. A curve that
    flattens has its peripheral compartments filled; one compartment alone gives a flat line at ln 2 / k.

    Raises InputError as :func:`context_half_times`, and where there is no model.
    """
    named = dict(models) if isinstance(models, Mapping) else {_id(model): model for model in models}
    if not named:
        raise InputError(Problem("no model", "at least one model", path="models"))
    if not (np.isfinite(longest) and longest > 0):
        raise InputError(Problem(shown(longest), "hours above 0", path="longest"))
    ax = ax if ax is not None else Figure(figsize=(8.0, 4.6), dpi=100).add_axes((0.09, 0.12, 0.60, 0.80))
    durations = np.concatenate([np.geomspace(longest / 300, longest / 12, 12), np.linspace(longest / 10, longest, 28)])
    ends = []
    for place, (name, model) in enumerate(named.items()):
        spec = load_model(model) if isinstance(model, str) else model
        minutes = 60 * context_half_times(spec, durations, patient=patient, effect=effect)
        colour = COLOURS[place % len(COLOURS)]
        look: dict[str, Any] = {"marker": _MARKERS[place % len(_MARKERS)], "markersize": 5, "markerfacecolor": "white"}
        every = (2 + place % 3, 5)
        ax.plot(durations, minutes, color=colour, linestyle=DASHES[spec.sampling], markevery=every, **look)
        ends.append((float(minutes[-1]), f"{name}\n(evidence: {spec.evidence})", colour))
    if log:
        ax.set_yscale("log")
    else:
        ax.set_ylim(0, 1.12 * max(float(np.max(line.get_ydata())) for line in ax.lines))
    ax.set_xlim(0, longest)
    _name(ends, ax)
    ax.set_xlabel("length of the infusion [h]", fontsize=10)
    where = "plasma" if effect is None else f"effect site of {effect}"
    ax.set_ylabel(f"time for the level to halve, {where} [min]", fontsize=10)
    ax.tick_params(labelsize=9.5)
    said = ", ".join(text for text in (patient.weight, patient.age, patient.sex) if text)
    ax.set_title(f"one typical patient{f': {said}' if said else ''}", loc="left", fontsize=9.5)
    tidy(ax)
    return ax


def _id(model: ModelSpec | str) -> str:
    return model if isinstance(model, str) else model.id


def _name(ends: Sequence[tuple[float, str, str]], ax: Axes) -> None:
    """Names in the margin at the ends of the curves, pushed apart."""
    page = ax.get_figure(root=True)
    inches = ax.get_position().height * page.get_figheight() if page is not None else 3.6
    along = ax.transData + ax.transAxes.inverted()
    heights = [float(along.transform((1.0, end))[1]) for end, _, _ in ends]
    for (end, text, colour), y in zip(ends, apart(heights, 0.36 / inches, 1.0), strict=True):
        ax.annotate(
            text,
            (1.0, end),
            (1.045, y),
            xycoords=ax.get_yaxis_transform(),
            textcoords="axes fraction",
            fontsize=9,
            va="center",
            color=colour,
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.7, "shrinkA": 1, "relpos": (0, 0.5)},
        )
