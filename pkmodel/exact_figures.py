"""Exact figures of a course or of a session: peaks, areas, times above, found inside the steps of the solution."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pkmodel import effect_figures, engine, metrics
from pkmodel.core import kinds
from pkmodel.core.kinds import Events, Look
from pkmodel.engine import AUTO, Numerics
from pkmodel.metrics import Boundaries, Figures, Request, Span
from pkmodel.network import Network
from pkmodel.occasions import Course
from pkmodel.schedule import Schedule
from pkmodel.specs.metric import OF_AREAS
from pkmodel.specs.window import Moment
from pkmodel.system import System

Floats = NDArray[np.float64]


def figures_for(
    requests: Mapping[Request, Sequence[Span]],
    net: Network,
    plan: Schedule,
    course: Course | None,
    *,
    last: float,
    step: float,
    numerics: Numerics = AUTO,
) -> dict[str, Figures]:
    """Exact figures, by the name of the output or effect, with all that requests of metrics need and no more.

    ``last`` is how long the window of the last session is (h), ``step`` that of :func:`course_figures`.
    """
    asked = [request for request in requests if request.output]
    thresholds: dict[str, list[float]] = {}
    for request in asked:
        if request.levels:
            thresholds.setdefault(request.output, []).extend(request.levels)
    spans = [span for several in requests.values() for span in several]

    def outputs_of(metric: str) -> set[str]:
        return {request.output for request in asked if request.metric == metric}

    return course_figures(
        net,
        plan,
        thresholds=thresholds,
        moments=tuple(dict.fromkeys(request.moment for request in asked if request.moment is not None)),
        between=any(span.kind == "between" for span in spans),
        spans=spans,
        last=last,
        numerics=numerics,
        effects=tuple(dict.fromkeys(request.output for request in asked if request.output in net.effects)),
        course=course,
        settling=outputs_of("time_until_below"),
        lowest=outputs_of("lowest"),
        interval=any(request.metric == "accumulation_ratio" for request in asked),
        areas=any(request.metric in OF_AREAS for request in asked),
        step=step,
    )


def course_figures(
    net: Network,
    plan: Schedule,
    *,
    thresholds: Mapping[str, Sequence[float]] | None = None,
    moments: Sequence[Moment] = (),
    between: bool = False,
    spans: Sequence[Span] = (),
    last: float = metrics.LAST_WINDOW,
    numerics: Numerics = AUTO,
    effects: Sequence[str] = (),
    course: Course | None = None,
    settling: Collection[str] = (),
    lowest: Collection[str] = (),
    interval: bool = False,
    areas: bool = True,
    step: float = 1.0,
) -> dict[str, Figures]:
    """Exact figures of every output, and of these effects, over the intervals of a course, by name.

    ``thresholds`` are levels in the unit of the output or effect they belong to. Each effect must follow one state.
    ``course`` is that of patients whose parameters differ between occasions. ``settling`` names the outputs and effects
    whose last crossings are wanted too (``time_until_below``), ``lowest`` those whose lowest values are; ``interval``
    cuts at the end of every dosing interval (``accumulation_ratio``). Without ``areas`` there are none. ``step`` (h) is
    one that many times of the course are whole multiples of, if there is one: a matter of speed.
    """
    bounds = metrics.boundaries(plan, moments=moments, between=between, spans=spans, interval=interval, last=last)
    found = _figures(
        net,
        net.system,
        plan.events,
        bounds,
        plan.starts,
        thresholds or {},
        tuple(moments),
        numerics,
        effects,
        course,
        settling,
        lowest,
        areas,
        step,
    )
    if not interval:
        return found
    doses = np.stack([session.given * session.base for session in plan.sessions])
    return {name: replace(figures, doses=doses) for name, figures in found.items()}


def session_figures(
    net: Network,
    system: System,
    events: Events,
    start: Floats,
    end: Floats,
    *,
    thresholds: Mapping[str, Sequence[float]],
    numerics: Numerics = AUTO,
    effects: Sequence[str] = (),
    settling: Collection[str] = (),
    lowest: Collection[str] = (),
) -> dict[str, Figures]:
    """Exact figures as :func:`course_figures` has them, of one session: from ``start`` to ``end`` (n,), h.

    ``system`` begins at the start, and ``events`` are those between. There is no trough, which is before it.
    """
    none, one = np.zeros(1, dtype=np.int64), np.ones(1, dtype=np.int64)
    bounds = Boundaries(np.stack([start, end]), {("start", 0): none, ("start", 1): one}, 1)
    return _figures(net, system, events, bounds, start[None], thresholds, (), numerics, effects, None, settling, lowest)


def _figures(
    net: Network,
    system: System,
    events: Events,
    bounds: Boundaries,
    starts: Floats,
    thresholds: Mapping[str, Sequence[float]],
    moments: tuple[Moment, ...],
    numerics: Numerics,
    effects: Sequence[str],
    course: Course | None,
    settling: Collection[str],
    lowest: Collection[str],
    areas: bool = True,
    step: float = 1.0,
) -> dict[str, Figures]:
    followed = {name: effect_figures.follow(net, name) for name in effects}
    wanted = {name: tuple(dict.fromkeys(thresholds.get(name, ()))) for name in (*net.output_names, *followed)}
    deepest = max((len(limits) for limits in wanted.values()), default=0)
    scales = net.output_scale

    def observe(of: Network) -> tuple[NDArray[np.int64], Floats]:
        """The states that are seen, and where their thresholds stand (k, q, n), with the parameters of an occasion."""
        outputs = len(of.output_names)
        limits = np.full((outputs + len(followed), deepest, of.size), np.inf)
        for index, name in enumerate(of.output_names):
            limits[index, : len(wanted[name])] = np.array(wanted[name])[:, None] / of.output_scale[index]
        observed = of.output_compartment
        for index, (name, effect) in enumerate(followed.items(), outputs):
            limits[index, : len(wanted[name])] = effect.limits(wanted[name])
            observed = np.append(observed, effect.state)
        return observed, limits

    latest: Floats | None = None
    # Of the doubles and halves of the step the one from an hour to two.
    look = Look(valleys=bool(lowest), areas=areas, unit=2.0 * math.frexp(step)[0])
    if course is None and settling:
        stats, above, first, latest = engine.settling_figures(
            system, events, bounds.time, *observe(net), numerics, look
        )
    elif course is None:
        stats, above, first = engine.figures(system, events, bounds.time, *observe(net), numerics, look)
    else:
        effect_figures.refuse_changing(course, effects)
        stats, above, first, scales, latest = course.figures(bounds, observe, bool(settling), look)

    def settled(name: str, index: int) -> Floats | None:
        if latest is None or name not in settling:
            return None
        return latest[:, :, index, : len(wanted[name])].transpose(2, 1, 0)

    found = {}
    for index, name in enumerate(net.output_names):
        scale = scales[index]

        def figure(which: int, index: int = index) -> Floats:
            return stats[:, :, index, which].T

        found[name] = Figures(
            bounds=bounds,
            starts=starts,
            start=figure(kinds.START) * scale,
            end=figure(kinds.END) * scale,
            peak=figure(kinds.PEAK) * scale,
            time_of_peak=figure(kinds.TIME_OF_PEAK),
            area=figure(kinds.AREA) * scale if areas else None,
            thresholds=wanted[name],
            time_above=above[:, :, index].transpose(2, 1, 0),
            first_crossing=first[:, :, index].transpose(2, 1, 0),
            moments=moments,
            last_crossing=settled(name, index),
            lowest=figure(kinds.LEAST) * scale if name in lowest else None,
        )
    for index, (name, effect) in enumerate(followed.items(), len(net.output_names)):
        over, since = (part[:, :, index, : len(wanted[name])].transpose(2, 1, 0) for part in (above, first))
        seen = stats[:, :, index].transpose(2, 1, 0)
        own = effect.figures(bounds, starts, seen, over, since, wanted[name], moments, name in lowest)
        found[name] = replace(own, last_crossing=settled(name, index), area=own.area if areas else None)
    return found
