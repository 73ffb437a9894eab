"""The course of one patient as a list of stops: events to take, and runs of observations to report.

A run is a stretch of the grid of observations without an event inside: its levels follow from the state at its
start and the powers of one propagator.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pkmodel.core.doses import event_of, time_of
from pkmodel.core.jit import piece

#: Observations to a run at most; a longer stretch of the grid is several runs.
LONGEST_RUN = 128


class Course(NamedTuple):
    """The stops of eight patients (or of one that stands for all): arrays
    (8 or 1, room), of which ``stops`` (8 or 1) hold.

    ``when`` (h) rises. A stop takes the event ``event``, or, where that is -1, reports ``points`` observations from
    number ``first`` on.
    """

    when: np.ndarray
    event: np.ndarray
    first: np.ndarray
    points: np.ndarray
    stops: np.ndarray
    rows: int
    room: int


def course_for(patients: int, stops: int) -> Course:
    """Memory for the courses of ``patients``."""
    shape = (patients, stops)
    return Course(
        np.empty(shape),
        np.empty(shape, dtype=np.int64),
        np.empty(shape, dtype=np.int64),
        np.empty(shape, dtype=np.int64),
        np.zeros(patients, dtype=np.int64),
        patients,
        stops,
    )


@piece
def lay_out(events, patient, time, stride, place, on_grid, n_times, course, row):
    """Fill ``row`` of the course with the stops of a patient.

    Observation k is at ``time[k * stride + place]``; ``on_grid[k]`` is 1 where it follows the one before it by a step
    of the grid. What arrives at the time of an observation comes before it.
    """
    taken, at, stop = np.int64(0), 0, row * course.room
    while at < n_times:
        upcoming, now = np.inf, time[at * stride + place]
        if taken < events.number:
            event = event_of(events, taken, patient)
            upcoming = time_of(events, event, patient)
            if upcoming <= now:
                course.when[stop] = upcoming
                course.event[stop] = event
                course.first[stop] = 0
                course.points[stop] = 0
                taken += 1
                stop += 1
                continue
        count = 1
        while (
            at + count < n_times
            and count < LONGEST_RUN
            and on_grid[at + count]
            and time[(at + count) * stride + place] < upcoming
        ):
            count += 1
        course.when[stop] = now
        course.event[stop] = -1
        course.first[stop] = at
        course.points[stop] = count
        at += count
        stop += 1
    course.stops[row] = stop - row * course.room


@piece
def lay_out_edges(events, patient, edges, stride, place, n_edges, course, row):
    """Fill ``row`` of the course with the events of a patient and the edges of intervals, as stops without an event.

    Edge k is ``edges[k * stride + place]`` and stands in ``first`` of its stop. What arrives at an edge comes after it.
    """
    taken, stop = np.int64(0), row * course.room
    for edge in range(n_edges):
        until = edges[edge * stride + place]
        while taken < events.number:
            event = event_of(events, taken, patient)
            if time_of(events, event, patient) >= until:
                break
            course.when[stop] = time_of(events, event, patient)
            course.event[stop] = event
            taken += 1
            stop += 1
        course.when[stop] = until
        course.event[stop] = -1
        course.first[stop] = edge
        stop += 1
    course.stops[row] = stop - row * course.room
