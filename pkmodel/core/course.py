"""The course of one patient as a list of stops: events to take, and runs of observations to report.

A run is a stretch of the grid of observations without an event inside: its levels follow from the state at its
start and the powers of one propagator.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pkmodel.core.jit import kernel, merged
from pkmodel.core.lanes import pointer

#: Observations to a run at most; a longer stretch of the grid is several runs.
LONGEST_RUN = 128


class Given(NamedTuple):
    """:class:`pkmodel.core.kinds.Events` as pointers: ``count`` events of ``patients``, times shared or not."""

    time: np.ndarray
    order: np.ndarray
    kind: np.ndarray
    target: np.ndarray
    value: np.ndarray
    count: int
    patients: int
    shared: bool


@merged
def bare_events(events):
    """Events as pointers."""
    return Given(
        pointer(events.time),
        pointer(events.order),
        pointer(events.kind),
        pointer(events.target),
        pointer(events.value),
        events.time.shape[0],
        events.value.shape[1],
        events.time.shape[1] == 1,
    )


@merged
def event_of(events, position, patient):
    """The number of the event that a patient takes at a position in the order of time."""
    return events.order[position if events.shared else position * events.patients + patient]


@merged
def time_of(events, event, patient):
    """When (h) a patient takes an event."""
    return events.time[event if events.shared else event * events.patients + patient]


class Course(NamedTuple):
    """The stops of eight patients (or of one that stands for all): arrays
    (8 or 1, room), of which ``stops`` (8 or 1) hold.

    ``when`` (h) rises. A stop takes the event ``event``, or, where that is -1, reports ``count`` observations from
    number ``first`` on.
    """

    when: np.ndarray
    event: np.ndarray
    first: np.ndarray
    count: np.ndarray
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


@merged
def bare_course(course):
    """The course as pointers."""
    return Course(
        pointer(course.when),
        pointer(course.event),
        pointer(course.first),
        pointer(course.count),
        pointer(course.stops),
        course.rows,
        course.room,
    )


@kernel
def lay_out(events, patient, time, on_grid, n_times, course, row):
    """Fill ``row`` of the course with the stops of a patient.

    ``on_grid[k]`` is 1 where observation k follows the one before it by a step of the grid. What arrives at the time of
    an observation comes before it.
    """
    taken, at, stop = 0, 0, row * course.room
    while at < n_times:
        upcoming = np.inf
        if taken < events.count:
            event = event_of(events, taken, patient)
            upcoming = time_of(events, event, patient)
            if upcoming <= time[at]:
                course.when[stop] = upcoming
                course.event[stop] = event
                course.first[stop] = 0
                course.count[stop] = 0
                taken += 1
                stop += 1
                continue
        count = 1
        while at + count < n_times and count < LONGEST_RUN and on_grid[at + count] and time[at + count] < upcoming:
            count += 1
        course.when[stop] = time[at]
        course.event[stop] = -1
        course.first[stop] = at
        course.count[stop] = count
        at += count
        stop += 1
    course.stops[row] = stop - row * course.room
