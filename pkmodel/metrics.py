"""What is the peak, the area, the time above: figures of a course, found inside the steps of the solution.

A course is cut at *boundaries* (session starts and ends, moments asked for, edges of absolute windows) into
intervals, and the kernel reports each output over each interval. A metric is then a small function that
combines the intervals of a window; it is registered under its own name, and ``specs.metric.METRICS`` lists
the names that files may use.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from pkmodel.errors import InputError, Problem
from pkmodel.request import Request as Request
from pkmodel.request import Span as Span
from pkmodel.request import unit_of as unit_of
from pkmodel.schedule import Schedule
from pkmodel.specs.window import Moment

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Hours that the window of the last session lasts at least; every other one ends where the next begins.
LAST_WINDOW = 24.0


@dataclass(frozen=True)
class Boundaries:
    """The cut points of a course: ``time`` (m + 1, 1 or n) rising, and where each labelled point ended up."""

    time: Floats
    position: dict[tuple[str, float], Ints]
    """Label -> index into ``time`` per patient (1,) or (n,)."""
    n_sessions: int


def boundaries(
    schedule: Schedule,
    *,
    moments: Sequence[Moment] = (),
    between: bool = False,
    spans: Sequence[Span] = (),
    interval: bool = False,
    last: float,
) -> Boundaries:
    """The cut points that a set of metrics needs.

    ``last`` is the length of the last session's window (h), and ``interval`` asks for the end of the dosing interval of
    every session (:func:`dosing_interval`). Ties keep the order: end of a session, moments, start of the next session,
    so that a level asked for at a session's start is the one before its dose.
    """
    starts, ends = schedule.starts, schedule.ends
    count = len(starts)
    points: list[tuple[tuple[str, float], Floats]] = []
    for index in range(count):
        if between:
            points.append((("end", index), ends[index]))
        for number, moment in enumerate(moments):
            anchor = starts[index] if moment.anchor == "start" else ends[index]
            points.append(((f"moment{number}", index), anchor + moment.delay))
    for span in spans:
        if span.kind == "absolute":
            points += [(("at", span.start), np.array([span.start])), (("at", span.end), np.array([span.end]))]
    if interval:
        length = dosing_interval(starts, last)
        points += [(("interval", index), starts[index] + length) for index in range(count)]
    points += [(("start", index), starts[index]) for index in range(count)]
    points.append((("start", count), starts[-1] + last))
    latest = reduce(np.maximum, (time for _, time in points))  # each patient's own
    points.append((("finish", 0), latest))
    unique = dict(points)
    shared = all(np.ptp(time) == 0.0 for time in unique.values())
    width = 1 if shared else max(time.size for time in unique.values())
    table = np.stack([np.broadcast_to(time[:1] if shared else time, (width,)) for time in unique.values()])
    order = np.argsort(table, axis=0, kind="stable")
    rank = np.argsort(order, axis=0, kind="stable")
    position = {label: rank[index].astype(np.int64) for index, label in enumerate(unique)}
    return Boundaries(np.ascontiguousarray(np.take_along_axis(table, order, axis=0)), position, count)


def dosing_interval(starts: Floats, last: float) -> Floats:
    """Hours (1,) or (n,) over which the sessions of a course are compared: the shortest time between two starts, and
    no longer than the window of the last one.

    One length for all sessions, because an area over a week is larger than one over two days without any accumulation.
    """
    return np.atleast_1d(np.minimum(np.diff(starts, axis=0).min(axis=0, initial=np.inf), last))


@dataclass(frozen=True)
class Figures:
    """One output of a block of patients over every interval, in the unit of the output, h, and unit x h.

    ``start``, ``end``, ``peak``, ``time_of_peak``, ``area`` are (m, n); ``time_above``, ``first_crossing`` and, where
    it was asked for, ``last_crossing`` are (q, m, n) for the thresholds in ``thresholds``. ``doses`` (s, n) is the base
    given in each session, mg, where accumulation was asked for, and ``lowest`` (m, n) the lowest value where that was.
    Of an effect ``rest`` (n,) is what it is without drug, and what it has not is None: an area where it is a curve of a
    level; where that curve falls, a peak and first crossings, but then always ``lowest``.
    """

    bounds: Boundaries
    starts: Floats
    start: Floats
    end: Floats
    peak: Floats | None
    time_of_peak: Floats | None
    area: Floats | None
    thresholds: tuple[float, ...]
    time_above: Floats
    first_crossing: Floats | None
    moments: tuple[Moment, ...] = ()
    rest: Floats | None = None
    lowest: Floats | None = None
    last_crossing: Floats | None = None
    doses: Floats | None = None

    def edges(self, span: Span) -> tuple[Ints, Ints]:
        """First interval of a span and the one after its last, per patient (1,) or (n,)."""
        place = self.bounds.position
        match span.kind:
            case "session":
                return place["start", span.session - 1], place["start", span.session]
            case "between":
                return place["end", span.session - 1], place["start", span.session]
            case "course":
                return place["start", 0], place["start", self.bounds.n_sessions]
        return place["at", span.start], place["at", span.end]

    def reduce(self, values: Floats, span: Span, how: Callable[..., Floats], empty: float) -> Floats:
        """Combine ``values`` (m, n) over the intervals of a span; ``empty`` stands where there is none."""
        return self.over(values, *self.edges(span), how, empty)

    def over(self, values: Floats, first: Ints, last: Ints, how: Callable[..., Floats], empty: float) -> Floats:
        """Combine ``values`` (m, n) over the intervals from ``first`` to before ``last``, (1,) or (n,) each."""
        if first.size == 1 and last.size == 1:
            part = values[int(first[0]) : int(last[0])]
            return how(part, axis=0, initial=empty)
        index = np.arange(values.shape[0])[:, None]
        return how(np.where((index >= first) & (index < last), values, empty), axis=0, initial=empty)


Metric = Callable[[Figures, Span, Request], Floats]
REGISTRY: dict[str, Metric] = {}


def register(function: Metric) -> Metric:
    """Register a metric under its function's name."""
    REGISTRY[function.__name__] = function
    return function


@register
def peak(figures: Figures, span: Span, request: Request) -> Floats:
    """The highest level (n,), in the unit of the output."""
    assert figures.peak is not None
    if figures.rest is None:
        return figures.reduce(figures.peak, span, np.max, 0.0)
    highest = figures.reduce(figures.peak, span, np.max, -np.inf)  # an effect may lie below 0
    return np.where(np.isfinite(highest), highest, figures.rest)


@register
def time_of_peak(figures: Figures, span: Span, request: Request) -> Floats:
    """Hours from the start of the session (or of the course) to the first time that the peak is reached (n,)."""
    highest = peak(figures, span, request)
    assert figures.time_of_peak is not None
    times = np.where(figures.peak == highest, figures.time_of_peak, np.inf)
    return figures.reduce(times, span, np.min, np.inf) - _origin(figures, span)


@register
def auc(figures: Figures, span: Span, request: Request) -> Floats:
    """The area under the level (n,), in its unit times hours."""
    assert figures.area is not None
    return figures.reduce(figures.area, span, np.sum, 0.0)


@register
def time_above(figures: Figures, span: Span, request: Request) -> Floats:
    """Hours with the level above the threshold (n,)."""
    return figures.reduce(figures.time_above[_threshold(figures, request)], span, np.sum, 0.0)


@register
def time_between(figures: Figures, span: Span, request: Request) -> Floats:
    """Hours with the level above the threshold and not above the second one, ``up_to`` (n,)."""
    assert request.up_to is not None
    beyond = time_above(figures, span, replace(request, threshold=request.up_to))
    within: Floats = np.maximum(time_above(figures, span, request) - beyond, 0.0)
    return within


@register
def time_below(figures: Figures, span: Span, request: Request) -> Floats:
    """Hours with the level not above the threshold (n,)."""
    above = figures.time_above[_threshold(figures, request)]
    below: Floats = np.maximum(np.diff(figures.bounds.time, axis=0) - above, 0.0)
    return figures.reduce(below, span, np.sum, 0.0)


@register
def lowest(figures: Figures, span: Span, request: Request) -> Floats:
    """The lowest level or effect (n,) over a span with its ends, in the unit of the output.

    A session begins with the level after what arrives at its start.
    """
    assert figures.lowest is not None
    least = figures.reduce(figures.lowest, span, np.min, np.inf)
    # A span of no length has no interval: the level before it stands for it.
    alone = _before(figures, figures.edges(span)[0]) if figures.rest is None else figures.rest
    return np.where(np.isfinite(least), least, alone)


@register
def first_crossing(figures: Figures, span: Span, request: Request) -> Floats:
    """Hours until the level first exceeds the threshold (n,); infinite where it never does."""
    assert figures.first_crossing is not None
    times = figures.reduce(figures.first_crossing[_threshold(figures, request)], span, np.min, np.inf)
    return times - _origin(figures, span)


@register
def trough(figures: Figures, span: Span, request: Request) -> Floats:
    """The level just before the session's first dose (n,), in the unit of the output."""
    place = figures.bounds.position["start", span.session - 1]
    return _before(figures, place)


@register
def level_at(figures: Figures, span: Span, request: Request) -> Floats:
    """The level at a moment of the session (n,), in the unit of the output, before what arrives at that instant."""
    assert request.moment is not None
    number = figures.moments.index(request.moment)
    return _before(figures, figures.bounds.position[f"moment{number}", span.session - 1])


@register
def level_at_discharge(figures: Figures, span: Span, request: Request) -> Floats:
    """The level when the patient may leave (n,): so long after the end of the session's last dose."""
    return level_at(figures, span, request)


@register
def time_until_below(figures: Figures, span: Span, request: Request) -> Floats:
    """Hours from the start of the session (or of the course) until the level stays at or below the threshold (n,).

    0 where it never exceeds it; infinite where it still does at the end of the span. The last downward crossing, found
    inside the steps, so that a level that dips and rises again (a second device, a swallowed part) counts as above.
    """
    assert figures.last_crossing is not None
    assert request.threshold is not None
    which = _threshold(figures, request)
    latest = figures.reduce(figures.last_crossing[which], span, np.max, -np.inf)
    above = figures.reduce(figures.time_above[which], span, np.sum, 0.0)
    at_end = _before(figures, figures.edges(span)[1])
    # Above without a crossing: an effect that nears its threshold from above and meets it in the last digit only.
    stays = (at_end > request.threshold) | ((above > 0.0) & np.isneginf(latest))
    hours: Floats = np.where(stays, np.inf, np.maximum(latest - _origin(figures, span), 0.0))
    return hours


@register
def average(figures: Figures, span: Span, request: Request) -> Floats:
    """The average level (n,): the area over the length of the span, in the unit of the output; 0 over no time."""
    lengths = np.broadcast_to(np.diff(figures.bounds.time, axis=0), figures.end.shape)
    hours = figures.reduce(lengths, span, np.sum, 0.0)
    return np.divide(auc(figures, span, request), hours, out=np.zeros_like(hours), where=hours > 0.0)


@register
def fluctuation(figures: Figures, span: Span, request: Request) -> Floats:
    """Peak-trough fluctuation (n,) over a session's window: (highest - lowest) / average, a plain number.

    The lowest level is the lower one of those at the two ends of the window, as troughs are sampled. 0 without drug.
    Gabrielsson J, Weiner D. Methods Mol Biol 2012;929:377-389.
    """
    first, last = figures.edges(span)
    trough_of = np.minimum(_before(figures, first), _before(figures, last))
    swing, mean = peak(figures, span, request) - trough_of, average(figures, span, request)
    return np.divide(swing, mean, out=np.zeros_like(mean), where=mean > 0.0)


@register
def accumulation_ratio(figures: Figures, span: Span, request: Request) -> Floats:
    """Accumulation (n,): the area per mg given over a dosing interval of the session, over that of the first session.

    With equal doses it is AUC(tau, session) / AUC(tau, first), the usual ratio (Rowland M, Tozer TN. Clinical
    Pharmacokinetics and Pharmacodynamics, 4th ed. 2011); where doses change it is taken per mg, so that a taper
    does not look like the opposite of accumulation. ``tau`` is :func:`dosing_interval`. Infinite where nothing was
    given in one of the two sessions.
    """
    assert figures.area is not None
    assert figures.doses is not None
    place, area = figures.bounds.position, figures.area

    def per_mg(session: int) -> Floats:
        found = figures.over(area, place["start", session], place["interval", session], np.sum, 0.0)
        mass = figures.doses[session]  # type: ignore[index]
        ratio: Floats = np.divide(found, mass, out=np.full_like(found, np.inf), where=mass > 0.0)
        return ratio

    first, own = per_mg(0), per_mg(span.session - 1)
    usable = (first > 0.0) & np.isfinite(first)
    ratio: Floats = np.divide(own, first, out=np.full_like(own, np.inf), where=usable)
    return ratio


def _before(figures: Figures, place: Ints) -> Floats:
    """The level just before a boundary; 0 before the course, or what an effect is without drug."""
    nothing = np.zeros(figures.end.shape[1]) if figures.rest is None else figures.rest
    before = np.concatenate([nothing[None], figures.end])
    if place.size == 1:
        place = np.broadcast_to(place, (before.shape[1],))
    level: Floats = np.take_along_axis(before, place[None, :], axis=0)[0]
    return level


def _threshold(figures: Figures, request: Request) -> int:
    assert request.threshold is not None
    return figures.thresholds.index(request.threshold)


def _origin(figures: Figures, span: Span) -> Floats | float:
    start: Floats = figures.starts[span.session - 1]
    return start if span.session else span.start


def evaluate(figures: Figures, span: Span, request: Request) -> Floats:
    """The metric of ``request`` over one span (n,).

    Raises InputError for a share of a baseline that is not above 0 in every patient.
    """
    values = REGISTRY[request.metric](figures, span, request)
    if request.of_baseline is None:
        return values
    assert figures.rest is not None
    if request.of_baseline == "change":
        return values - figures.rest
    if not (figures.rest > 0.0).all():
        found = f"a share of the baseline of {request.output}, which is {float(figures.rest.min()):g} in a patient"
        raise InputError(Problem(found, "a baseline above 0 in everybody, or a limit as a change", "relative_to"))
    return values / figures.rest
