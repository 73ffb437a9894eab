"""What is given over time: infusions as steps of their rate, doses at once as stems, sessions with their mg."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Polygon
from numpy.typing import NDArray

from pkmodel.given import SWALLOWED, GivenDose, GivenSession
from pkmodel.ink import COLOURS, HATCHES, INK, pale
from pkmodel.plots import time_axis
from pkmodel.plots.curves import named
from pkmodel.plots.summary import Summary, patients_of
from pkmodel.plots.ticks import up
from pkmodel.units import clock as duration

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from pkmodel.simulation import Result

Floats = NDArray[np.float64]

#: Marker of a dose at once by the way it takes; what is not named here is a circle.
MARKERS = {"intranasal": "v", "oral": "s", "film": "s", "sublingual": "s", "buccal": "s"}
#: Inches of a letter and of a line of text in this panel.
_LETTER, _LINE = 0.066, 0.165
#: Sessions of which the whole text is written, at most.
_FEW = 12


@dataclass(frozen=True)
class Drawn:
    """A dose as it is drawn: medians over the patients who had it. h from the start of the course, mg, mg/h."""

    time: float
    over: float
    amount: float

    @property
    def rate(self) -> float:
        """mg/h; 0 for a dose at once."""
        return self.amount / self.over if self.over else 0.0


@dataclass(frozen=True)
class Given:
    """A session as it is drawn: its doses, when it starts (h), what it is called, in full and in short."""

    index: int
    start: float
    route: str
    doses: tuple[Drawn, ...]
    amount: float
    text: str


def given_sessions(result: Result | Summary) -> list[Given]:
    """The sessions of a result that at least one patient had, as medians over those patients.

    Where a clinic stopped, held or slowed a session, the doses end where that ended, at the mean rate.
    """
    if isinstance(result, Summary):
        return list(result.given)
    found = []
    plan = result.schedule
    for index, session in enumerate(plan.sessions):
        had = session.given > 0
        if not had.any():
            continue
        starts = np.broadcast_to(plan.starts[index], had.shape)[had]
        start = float(np.median(starts))
        drawn = tuple(_drawn(dose, session, start, had, decided=result.ledger is not None) for dose in session.doses)
        drawn = tuple(dose for dose in drawn if dose.amount > 0)
        amount = float(np.median(session.given[had]))
        found.append(
            Given(index + 1, start, session.planned.route, drawn, amount, _text(session, amount, drawn, had, result))
        )
    return found


def _drawn(dose: GivenDose, session: GivenSession, start: float, had: NDArray[np.bool_], *, decided: bool) -> Drawn:
    size = had.shape
    if dose.kind == SWALLOWED:
        return Drawn(start, 0.0, 0.0)  # part of a spray that is drawn already
    amount = np.broadcast_to(dose.amount, size)[had]
    begins = np.broadcast_to(np.asarray(dose.begins, dtype=np.float64), size)[had]
    over = np.broadcast_to(np.asarray(dose.over, dtype=np.float64), size)[had]
    if decided:
        whole = np.sum([np.broadcast_to(one.amount, size) for one in session.doses], axis=0)[had]
        share = np.divide(session.given[had], whole, out=np.ones_like(whole), where=whole > 0)
        ends = session.end[had]
        if len(session.doses) == 1 and over.any():
            amount, over = amount * share, np.maximum(ends - begins, 1e-9)
        else:  # devices that were not given any more
            amount = np.where(begins <= ends + 1e-9, amount, 0.0)
    some = amount > 0
    if not some.any():
        return Drawn(start, 0.0, 0.0)
    return Drawn(start + float(np.median(begins[some])), float(np.median(over[some])), float(np.median(amount[some])))


def _text(
    session: GivenSession, amount: float, drawn: tuple[Drawn, ...], had: NDArray[np.bool_], result: Result
) -> str:
    several = had.size > 1
    salt = " of the salt" if session.planned.salt == "hydrochloride" else ""
    said = f"{amount:.3g} mg{salt}"
    counted = session.devices if session.devices is not None else session.sprays
    if counted is not None:
        number = int(np.median(counted[had]))
        one = "device" if session.devices is not None else "spray"
        said += f" ({number} {one}{'' if number == 1 else 's'})"
    elif len(drawn) == 1 and drawn[0].over:
        said += f" over {duration(drawn[0].over)}"
    elif len(drawn) > 1:
        said += f" in {len(drawn)} doses"
    if several and not had.all():
        said += f", {100 * had.mean():.0f} % had it"
    return said


def doses(
    results: Result | Summary | Mapping[str, Result | Summary],
    *,
    ax: Axes | None = None,
    clock: str | None = None,
    window: tuple[float, float] | None = None,
) -> Axes:
    """What was given over time.

    Infusions are steps of their rate (mg/h, left axis), doses at once are stems with a marker (mg; on the right axis
    where there are both). Every session has its mg written above it as far as there is room, else its number. Of a
    population medians are drawn. Results are told by colour and hatch, and have a line of text each.

    Parameters are those of :func:`pkmodel.plots.concentration`. Returns the (left) axes.

    Raises InputError where there is no result, or ``clock`` or ``window`` is not such.
    """
    by_name = named(results)
    span = time_axis.span_of(by_name.values(), window)
    if ax is None:
        width = 0.825 if two_scales(by_name.values()) else 0.875
        ax = Figure(figsize=(9.0, 2.2), dpi=100).add_axes((0.095, 0.27, width, 0.66))
    shown = [
        [one for one in given_sessions(result) if one.start <= span[1] and _end(one) >= span[0]]
        for result in by_name.values()
    ]
    flat = [dose for given in shown for one in given for dose in one.doses]
    rates = [dose.rate for dose in flat if dose.over]
    amounts = [dose.amount for dose in flat if not dose.over]
    page = ax.get_figure(root=True)
    box = ax.get_position()
    width = box.width * page.get_figwidth() if page is not None else 8.0
    height = box.height * page.get_figheight() if page is not None else 1.2
    # Texts stand above the highest dose, a line to a result.
    head = 1.0 + (0.06 + _LINE * len(by_name)) / max(height - _LINE * len(by_name), 0.2)
    stems = ax.twinx() if rates and amounts else ax
    for place, given in enumerate(shown):
        _draw(given, place, len(shown), span, ax, stems)
        _name(given, place, width / (span[1] - span[0]), span, ax, several=len(shown) > 1)
    many = any(patients_of(result) > 1 for result in by_name.values())
    note = "\n(median)" if many else ""
    ax.set_ylim(0, head * max(rates or amounts or [1.0]))
    if flat:
        up(ax, f"{'rate [mg/h]' if rates else 'dose [mg]'}{note}", count=2, grid=False)
    else:
        ax.text(0.5, 0.5, "no dose in view", transform=ax.transAxes, ha="center", va="center", fontsize=10)
        ax.set_yticks([])
    if stems is not ax:
        stems.set_ylim(0, head * max(amounts))
        up(stems, "dose [mg]", count=2, right=True, grid=False)
        stems.spines["top"].set_visible(False)
        stems.xaxis.set_visible(False)
    else:
        ax.spines["right"].set_visible(False)
    ax.spines["top"].set_visible(False)
    time_axis.lay_out(ax, span, clock)
    return ax


def two_scales(results: Iterable[Result | Summary]) -> bool:
    """Whether there are doses over time and doses at once, so that a panel of doses has an axis on either side."""
    over = [
        bool(np.any(dose.over))
        for result in results
        for session in (result.given if isinstance(result, Summary) else result.schedule.sessions)
        for dose in session.doses
    ]
    return any(over) and not all(over)


def _end(one: Given) -> float:
    return max([one.start, *(dose.time + dose.over for dose in one.doses)])


def _draw(given: list[Given], place: int, of: int, span: tuple[float, float], ax: Axes, stems: Axes) -> None:
    colour = COLOURS[place % len(COLOURS)] if of > 1 else INK
    width = span[1] - span[0]
    shift = 0.004 * width * (place - (of - 1) / 2)  # stems of one time stand side by side
    for one in given:
        infused = [dose for dose in one.doses if dose.over]
        if infused:
            times, rates = _steps(infused)
            look: dict[str, Any] = {"facecolor": (*pale(colour), 0.55), "edgecolor": colour, "linewidth": 1.6}
            look |= {"hatch": HATCHES[place % len(HATCHES)], "closed": False}
            ax.add_patch(Polygon(np.column_stack([times, rates]), **look))
    at_once = [(dose.time + shift, dose.amount, one.route) for one in given for dose in one.doses if not dose.over]
    if at_once:
        stems.vlines([x for x, _, _ in at_once], 0, [y for _, y, _ in at_once], color=colour, linewidth=1.8)
        for route in dict.fromkeys(route for _, _, route in at_once):
            points = [(x, y) for x, y, by in at_once if by == route]
            face = colour if place % 2 == 0 else "white"
            stems.plot(
                *zip(*points, strict=True),
                marker=MARKERS.get(route, "o"),
                markersize=6,
                linestyle="",
                markeredgecolor=colour,
                markerfacecolor=face,
                markeredgewidth=1.4,
                clip_on=False,
                zorder=4,
            )


def _steps(infused: list[Drawn]) -> tuple[Floats, Floats]:
    """The outline of the rate of infusions (which may overlap) over time, from 0 to 0."""
    edges = np.unique([edge for dose in infused for edge in (dose.time, dose.time + dose.over)])
    middles = (edges[:-1] + edges[1:]) / 2
    rates = np.zeros(middles.size)
    for dose in infused:
        rates += np.where((middles > dose.time) & (middles < dose.time + dose.over), dose.rate, 0.0)
    times = np.repeat(edges, 2)
    return times, np.concatenate([[0.0], np.repeat(rates, 2), [0.0]])


def _name(
    given: list[Given], place: int, per_hour: float, span: tuple[float, float], ax: Axes, *, several: bool
) -> None:
    """Texts above the sessions of a result: the whole of it where there is room, else mg alone, or the number."""
    inside = [one for one in given if one.start >= span[0]]
    if not inside:
        return
    places = [max(one.start, span[0]) for one in inside]
    room = min(np.diff([*places, span[1] + 0.01 * (span[1] - span[0])])) * per_hour if len(places) > 1 else np.inf
    whole = [f"session {one.index}: {one.text}" if len(given) > 1 else one.text for one in inside]
    short = [f"{one.index}: {one.amount:.3g} mg" for one in inside]
    choices = [
        whole if len(inside) <= _FEW else short,
        [one.text for one in inside],
        short,
        [str(one.index) for one in inside],
    ]
    texts = next((texts for texts in choices if _LETTER * max(map(len, texts)) <= room), choices[-1])
    page = ax.get_figure(root=True)
    height = ax.get_position().height * page.get_figheight() if page is not None else 1.2
    y = 1.0 - place * _LINE / height
    colour = COLOURS[place % len(COLOURS)] if several else INK
    if texts is choices[-1] and place == 0 and len(texts) > 1:
        ax.text(-0.006, 1.0, "session", transform=ax.transAxes, ha="right", va="top", fontsize=9.5, color=INK)
    free = -np.inf
    for x, text in zip(places, texts, strict=True):
        if x < free:
            continue  # no room beside the one before
        free = x + _LETTER * (len(text) + 1) / per_hour
        right = x + _LETTER * len(text) / per_hour > span[1]
        ax.text(
            span[1] if right else x,
            y,
            text,
            transform=ax.get_xaxis_transform(),
            ha="right" if right else "left",
            va="top",
            fontsize=9.5,
            color=colour,
            clip_on=False,
        )
