"""Peaks, crossings and areas found inside the steps of an exact solution, not read off samples.

Between two events a level is a sum of exponentials whose fast terms die first, so at a time ``t`` after an event
nothing happens faster than about ``t``. The scan therefore walks in steps that grow with the time since the last stop
(four per octave, at least the base step, all from the patient's chain of squares). A change of sign of the derivative
over a step brackets an extremum; between extrema the level is monotone, so a change of sign against a threshold
brackets one crossing. Brackets are closed on the exact solution, to the last few digits (:mod:`pkmodel.core.roots`).
Eight patients are scanned at a time, each in steps of its own.
"""

from __future__ import annotations

import numpy as np

from pkmodel.core.chain import DEGREE, begin, chain_for, queue_of
from pkmodel.core.course import course_for, lay_out_edges
from pkmodel.core.doses import bare_events, group_for, muster, take_alone, take_together
from pkmodel.core.intervals import Found, Notes, arrived, close, open_next
from pkmodel.core.jit import kernel
from pkmodel.core.kinds import AREA, END, LEAST, N_STATS, PEAK, START, TIME_OF_PEAK, USUAL, Events, Look
from pkmodel.core.lanes import WIDTH, aligned, bare, bits, load, pointer
from pkmodel.core.pending import places_of, room_for, settle
from pkmodel.core.structure import structure_of
from pkmodel.core.walk import walk

__all__ = ["AREA", "END", "LEAST", "N_STATS", "PEAK", "START", "TIME_OF_PEAK", "scan"]


@kernel
def _scan(
    structure,
    chain,
    group,
    course,
    notes,
    queue,
    unit,
    rates,
    initial,
    events,
    edges,
    thresholds,
    stats,
    time_above,
    first_crossing,
    crossings,
    n_crossings,
):
    n, n_edges, stride = rates.shape[0], edges.shape[0], edges.shape[1]
    intervals, room = n_edges - 1, crossings.shape[3]
    structure, chain, course = bare(structure), bare(chain), bare(course)
    group, notes, events = bare(group), bare(notes), bare_events(events)
    rates, initial, edges, thresholds = pointer(rates), pointer(initial), pointer(edges), pointer(thresholds)
    stats, time_above, first_crossing = pointer(stats), pointer(time_above), pointer(first_crossing)
    crossings, n_crossings, queue = pointer(crossings), pointer(n_crossings), pointer(queue)
    shared, nobody = course.rows == 1, np.int64(0)
    if shared:
        lay_out_edges(events, nobody, edges, stride, nobody, n_edges, course, nobody)
    for first in range(0, n, WIDTH):
        found = Found(
            stats,
            time_above,
            first_crossing,
            crossings,
            n_crossings,
            group.patients,
            min(WIDTH, n - first),
            intervals,
            room,
        )
        muster(structure, chain, group, initial, queue, first, n)
        begin(structure, rates, group.patients, unit, chain)
        last = 0
        for lane in range(chain.lanes):
            patient = group.patients[lane]
            notes.interval[lane] = -1
            notes.opened[lane] = -np.inf
            for place in range(notes.outputs * notes.limits):
                notes.limit[place * WIDTH + lane] = thresholds[place * n + patient]
            if not shared:
                lay_out_edges(events, patient, edges, stride, patient if stride > 1 else nobody, n_edges, course, lane)
            last = max(last, course.stops[0 if shared else lane])
            notes.now[lane] = course.when[0 if shared else lane * course.room]
        now = load(notes.now, 0)
        together = shared
        for lane in range(chain.lanes):
            together = together and chain.shift[lane] == chain.deepest[0]
        for stop in range(last):
            before = now
            for lane in range(chain.lanes):
                row = 0 if shared else lane
                notes.now[lane] = course.when[row * course.room + min(stop, course.stops[row] - 1)]
            now = load(notes.now, 0)
            if bits(now > before):
                walk(structure, chain, notes, found, now, before, together)
            if shared and course.event[stop] >= 0:
                take_together(structure, chain, events, course.event[stop], group)
            closing = False
            for lane in range(chain.lanes):
                row = 0 if shared else lane
                closing = closing or (stop < course.stops[row] and course.event[row * course.room + stop] < 0)
            if closing:
                for _ in range(2):  # once more for the crossings beside an extremum
                    for k in range(notes.outputs):
                        settle(structure, chain, notes, found, k)
            for lane in range(chain.lanes):
                row = 0 if shared else lane
                if stop >= course.stops[row]:
                    continue
                place = row * course.room + stop
                if course.event[place] >= 0:
                    if not shared:
                        take_alone(structure, chain, events, course.event[place], lane, group)
                    arrived(chain, notes, lane, course.when[place])
                else:
                    close(structure, chain, notes, found, lane)
                    if course.first[place] < intervals:
                        open_next(structure, chain, notes, lane, course.first[place], course.when[place])


def scan(
    rates: np.ndarray,
    initial: np.ndarray,
    events: Events,
    boundary: np.ndarray,
    output_compartment: np.ndarray,
    thresholds: np.ndarray,
    stats: np.ndarray,
    time_above: np.ndarray,
    first_crossing: np.ndarray,
    crossings: np.ndarray,
    n_crossings: np.ndarray,
    look: Look = USUAL,
) -> None:
    """Figures of every output over the intervals between boundaries.

    Parameters
    ----------
    rates, initial
        (n, s, s) in 1/h and (n, s); see :func:`pkmodel.core.levels.levels`.
    boundary
        (m + 1, 1 or n) rising times in h. What arrives at a boundary belongs to the interval after it.
    output_compartment
        (k,) the compartment whose amount is followed.
    thresholds
        (k, q, n) amounts in mg; a level counts as above when it is greater.
    stats
        (n, m, k, N_STATS) filled with amounts (mg), times (h) and areas (mg h). LEAST is the lowest level at the ends
        of steps, and the lowest of all where there are thresholds or valleys are looked for. AREA is 0 where areas are
        not.
    time_above, first_crossing
        (n, m, k, q) h; ``first_crossing`` is a time, infinite where the threshold is never exceeded.
    crossings, n_crossings
        (n, k, q, c) and (n, k, q): times of the continuous crossings over the whole run, both directions, as many as
        there is room for, in no order; c may be 0.
    look
        what to look for besides.
    """
    flows = (rates != 0.0).any(axis=0)
    integrand = output_compartment if look.areas else output_compartment[:0]
    structure = structure_of(flows, integrand, events.port_compartment, rates.shape[0])
    outputs, limits = thresholds.shape[:2]
    size = structure.size
    stops = events.time.shape[0] + boundary.shape[0]
    shared = events.time.shape[1] == 1 and boundary.shape[1] == 1
    notes = Notes(
        limit=aligned(outputs, limits, WIDTH),
        above=aligned(outputs, limits, WIDTH),
        passed=aligned(outputs, limits, WIDTH),
        crossed=aligned(outputs, limits, WIDTH),
        peak=aligned(outputs, WIDTH),
        when=aligned(outputs, WIDTH),
        least=aligned(outputs, WIDTH),
        first=aligned(outputs, WIDTH),
        before=aligned(size, WIDTH),
        after=aligned(size, WIDTH),
        series=aligned(DEGREE + 1, WIDTH),
        held=aligned(*room_for(size, outputs, limits)),
        spare=aligned(1, WIDTH),
        slope=aligned(outputs + 1, WIDTH),
        now=aligned(1, WIDTH),
        opened=aligned(1, WIDTH),
        compartment=output_compartment.astype(np.int64),
        interval=np.zeros(WIDTH, dtype=np.int64),
        position=np.zeros(WIDTH, dtype=np.int64),
        whole=np.zeros(WIDTH, dtype=np.int64),
        level=np.zeros(WIDTH, dtype=np.int64),
        pending=np.zeros(places_of(outputs, limits), dtype=np.int64),
        outputs=outputs,
        limits=limits,
        valleys=int(look.valleys or limits > 0),
        areas=int(look.areas),
    )
    n_crossings[:] = 0
    _scan(
        structure,
        chain_for(size, structure.entries),
        group_for(structure.states, structure.ports),
        course_for(1 if shared else WIDTH, stops),
        notes,
        queue_of(rates, look.unit),
        look.unit,
        np.ascontiguousarray(rates),
        np.ascontiguousarray(initial),
        events,
        np.ascontiguousarray(boundary),
        np.ascontiguousarray(thresholds),
        stats,
        time_above,
        first_crossing,
        crossings,
        n_crossings,
    )
