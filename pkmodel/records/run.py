"""The amounts after every row: what happens between two rows goes to the engine, what happens at a row is applied here.

The course of a subject is cut at its rows, and the stretches that lead to the k-th row of every subject are run
together. So a row sees what stands before it in the list of events and nothing after it, and the parameters
of a stretch are those of the row at its end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pkmodel import engine
from pkmodel.core.kinds import JUMP, RATE_OFF, RATE_ON, RESET, Events
from pkmodel.errors import InputError, Problem
from pkmodel.records.disposition import Disposition
from pkmodel.records.resolve import OBSERVE, STEADY, Event, Infusion, Repeated
from pkmodel.records.table import Table
from pkmodel.schedule import EventList
from pkmodel.system import System

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass
class _Subject:
    """One subject on its way: the events of each row, and the infusions that are running."""

    places: Ints
    events: list[list[Event]]
    first_dose: float
    now: float = 0.0
    running: list[Infusion] = field(default_factory=list)


#: A change inside a stretch: its time in h before the end, its kind, where, and how much.
_Change = tuple[float, int, int, float]


def amounts_after(table: Table, subjects: Sequence[tuple[Ints, list[Event]]], disposition: Disposition) -> Floats:
    """(n, s) amounts after each row of the table.

    ``subjects`` are each subject's rows (places in the table) and events. Raises InputError where a steady state
    does not exist.
    """
    steady = _steady_states(table, subjects, disposition)
    found = np.empty((table.size, disposition.start.shape[1]))
    courses = [_Subject(places, _by_row(events), _first_dose(events)) for places, events in subjects]
    start = disposition.start[disposition.of_row]
    state = start[[course.places[0] for course in courses]]
    for number in range(max((course.places.size for course in courses), default=0)):
        lanes = [lane for lane, course in enumerate(courses) if course.places.size > number]
        _stretch(lanes, number, courses, disposition, state)
        for lane in lanes:
            course = courses[lane]
            for event in course.events[number]:
                _apply(event, course, state[lane], start[course.places[number]], steady)
            found[course.places[number]] = state[lane]
    return found


def _by_row(events: list[Event]) -> list[list[Event]]:
    """The events of a subject, those of each row up to its observation, which closes it."""
    rows: list[list[Event]] = [[]]
    for event in events:
        rows[-1].append(event)
        if event.kind == OBSERVE:
            rows.append([])
    return rows[:-1]


def _first_dose(events: list[Event]) -> float:
    """The time (h) of the first dose, from which a model counts its time; without one that of the first row."""
    given = [event.time for event in events if event.kind in (JUMP, RATE_ON, STEADY)]
    return given[0] if given else events[0].time


def _apply(event: Event, course: _Subject, state: Floats, start: Floats, steady: dict[int, Floats]) -> None:
    """What happens at the instant of a row: the state changes at once."""
    if event.kind == JUMP:
        state[event.target] += event.value
    elif event.kind == STEADY:
        state += steady[id(event.source)]
    elif event.kind == RESET:
        state[:] = start
        course.running.clear()
    elif isinstance(event.source, Infusion):
        if event.kind == RATE_ON:
            course.running.append(event.source)
        else:
            course.running.remove(event.source)


def _stretch(
    lanes: Sequence[int], number: int, courses: Sequence[_Subject], disposition: Disposition, state: Floats
) -> None:
    """Bring subjects from their row before to row ``number``; of its events those at its instant are left to do."""
    moving: list[int] = []
    changes: list[list[_Change]] = []
    spans: list[float] = []
    for lane in lanes:
        course = courses[lane]
        events = course.events[number]
        now = events[-1].time
        span = now - course.now if number else 0.0
        course.now = now
        if span > 0.0:
            inside = [event for event in events if event.time < now]
            course.events[number] = events[len(inside) :]
            moving.append(lane)
            spans.append(span)
            changes.append(_changes(inside, course, span))
    if not moving:
        return
    which = disposition.of_row[[courses[lane].places[number] for lane in moving]]
    # A linear system does not ask what time it is: all stretches end at 0 and fit into one call.
    ends = np.zeros(len(moving))
    if disposition.loss is None:
        ends = np.array([courses[lane].now - courses[lane].first_dose for lane in moving])
    for end in np.unique(ends):
        group = np.flatnonzero(ends == end)
        events_of = _events([changes[index] for index in group], end, np.array(spans)[group])
        who = np.array(moving)[group]
        system = disposition.system(which[group])
        state[who] = engine.amounts(system, events_of, np.array([end]), state[who])[:, 0]


def _changes(inside: list[Event], course: _Subject, span: float) -> list[_Change]:
    """The changes of one subject inside the stretch of ``span`` h that ends now; its list of running infusions changes.

    A time is rounded, so the difference of two is not quite the duration of an infusion; for one of less than a second
    that shows. So what an infusion still has to give is poured over the time that is left of it in these numbers.
    """
    found: list[_Change] = []
    end = course.now
    ends = {id(event.source): event.time - end for event in inside if event.kind == RATE_OFF}

    def pour(begin: float, infusion: Infusion, gone: float) -> None:
        finish = ends.get(id(infusion))
        into, rate = infusion.compartment, infusion.rate
        if finish is None:
            found.append((begin, RATE_ON, into, rate))
            return
        amount = rate * max(infusion.duration - gone, 0.0)
        if finish > begin:
            rate = amount / (finish - begin)
            found.append((begin, RATE_ON, into, rate))
            found.append((finish, RATE_OFF, into, rate))
        else:
            found.append((begin, JUMP, into, amount))

    for infusion in course.running:
        pour(-span, infusion, end - span - infusion.start)
    for event in inside:
        if event.kind == JUMP:
            found.append((event.time - end, JUMP, event.target, event.value))
        elif isinstance(event.source, Infusion):
            if event.kind == RATE_ON:
                course.running.append(event.source)
                pour(event.time - end, event.source, 0.0)
            else:
                course.running.remove(event.source)
    found.sort(key=lambda change: change[0])
    return found


def _events(changes: Sequence[list[_Change]], end: float, span: Floats) -> Events:
    """The changes of several subjects as arrays: the k-th of each in one layer, so that the order of each is kept."""
    events = EventList(span.size)
    start = end - span
    events.begin(start)
    for layer in range(max(len(each) for each in changes)):
        slots: dict[tuple[int, int], tuple[Floats, Floats]] = {}
        for lane, each in enumerate(changes):
            if layer < len(each):
                time, kind, target, value = each[layer]
                times, values = slots.setdefault((kind, target), (start.copy(), np.zeros(span.size)))
                times[lane], values[lane] = end + time, value
        for (kind, target), (times, values) in slots.items():
            events.add(times, kind, target, values)
    return events.events()


def _steady_states(
    table: Table, subjects: Sequence[tuple[Ints, list[Event]]], disposition: Disposition
) -> dict[int, Floats]:
    """The amounts of each steady state in the events, by the identity of its :class:`Repeated`; with the parameters of
    its row.
    """
    from pkmodel.core import steady

    cases: list[tuple[int, Repeated]] = []
    for places, events in subjects:
        row = 0
        for event in events:
            if event.kind == OBSERVE:
                row += 1
            elif isinstance(event.source, Repeated):
                cases.append((int(places[row]), event.source))
    if not cases:
        return {}
    if disposition.loss is None:
        return _iterated(table, cases, disposition)
    rows = np.array([row for row, _ in cases])
    which = disposition.of_row[rows]
    rates, loss = disposition.rates[which], disposition.loss[which]
    column = {
        name: np.array([getattr(each, name) for _, each in cases])
        for name in ("compartment", "amount", "rate", "duration", "interval", "phase")
    }
    stuck = steady.trapped(rates, loss, column["compartment"])
    if (stuck >= 0).any():
        first = int(np.argmax(stuck >= 0))
        found = f"a steady state, but nothing leaves {disposition.compartments[stuck[first]]} for good"
        raise InputError(Problem(found, "elimination from wherever the dose gets", "ss", table.where(int(rows[first]))))
    amounts = np.empty(loss.shape)
    into, mass = column["compartment"], len(disposition.compartments)
    endless = column["interval"] == 0.0
    if endless.any():
        which = np.flatnonzero(endless)
        amounts[which] = steady.constant(rates[which], loss[which], into[which], column["rate"][which], mass)
    if not endless.all():
        which = np.flatnonzero(~endless)
        amount, duration, interval, phase = (
            column[name][which] for name in ("amount", "duration", "interval", "phase")
        )
        amounts[which] = steady.repeated(
            rates[which], loss[which], into[which], amount, duration, interval, phase, mass
        )
    return {id(each): amounts[index] for index, (_, each) in enumerate(cases)}


def _iterated(table: Table, cases: Sequence[tuple[int, Repeated]], disposition: Disposition) -> dict[int, Floats]:
    """Steady states of a non-linear model; one that changes with time has none."""
    from pkmodel.records import periodic

    found = {}
    for row, doses in cases:
        which = int(disposition.of_row[row])
        dynamics = disposition.system(np.array([which])).dynamics
        if dynamics is not None and dynamics.tape.time_flow.size:
            seen, expected = "a steady state of a model that changes with time", "doses given one by one (addl)"
            raise InputError(Problem(seen, expected, "ss", table.where(row)))
        start = disposition.start[which]

        def copies(size: int, which: int = which) -> System:
            return disposition.system(np.full(size, which))

        state = periodic.steady_state(copies, start, doses)
        if state is None:
            expected = "a dose that the body can eliminate within its interval"
            raise InputError(Problem("a steady state that does not exist", expected, "ss", table.where(row)))
        found[id(doses)] = state - start
    return found
