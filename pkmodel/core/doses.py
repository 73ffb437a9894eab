"""Dosing events, and what they do to the states of eight patients.

The state of a patient is ``[states of the model | running integrals | input ports]``. A jump adds an amount to a
compartment; a rate event adds to (or takes from) the rate of an input port, which pours into its compartment until it
is taken back; a reset puts every state back to its start.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pkmodel.core.jit import merged, piece
from pkmodel.core.kinds import JUMP, RATE_ON, RESET
from pkmodel.core.lanes import WIDTH, aligned_together, choose, load, load_at, pointer, splat, store


class Given(NamedTuple):
    """:class:`pkmodel.core.kinds.Events` as pointers: ``number`` events of ``patients``, their times shared or not."""

    time: np.ndarray
    order: np.ndarray
    kind: np.ndarray
    target: np.ndarray
    value: np.ndarray
    number: int
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


class Group(NamedTuple):
    """Eight patients: their numbers, and 1 where these follow one another; in lanes what they start from and more.

    ``start`` is (states,), ``active`` (ports,) the infusions that are open, ``spare`` (1,).
    """

    patients: np.ndarray
    start: np.ndarray
    active: np.ndarray
    spare: np.ndarray


def group_for(states: int, ports: int) -> Group:
    """Memory for a group."""
    return Group(np.zeros(WIDTH + 1, dtype=np.int64), *aligned_together((states, WIDTH), (ports, WIDTH), (1, WIDTH)))


@piece
def muster(structure, chain, group, initial, queue, first, n):
    """Take patients from the queue, from place ``first`` on (the last one again where none is left), to their start."""
    group.patients[WIDTH] = 1
    for lane in range(chain.lanes):
        patient = queue[min(first + lane, n - 1)]
        group.patients[lane] = patient
        if patient != group.patients[0] + lane:
            group.patients[WIDTH] = 0
        for i in range(structure.states):
            group.start[i * WIDTH + lane] = initial[patient * structure.states + i]
    for i in range(structure.size):
        store(chain.state, i, load(group.start, i) if i < structure.states else splat(0.0))
    for port in range(structure.ports):
        store(group.active, port, splat(0.0))


@merged
def gather(values, row, n, group):
    """The values of the group's patients, from ``values`` (rows, n), in lanes."""
    if group.patients[WIDTH]:
        return load_at(values, row * n + group.patients[0])
    for lane in range(WIDTH):
        group.spare[lane] = values[row * n + group.patients[lane]]
    return load(group.spare, 0)


@piece
def take_together(structure, chain, events, event, group):
    """Apply one event to the eight patients of a group, each with a value of its own; 0 changes nothing.

    A port that nothing pours into any more is exactly 0, whatever was added and taken. A reset puts every state back
    to its start and closes all ports.
    """
    value = gather(events.value, event, events.patients, group)
    kind, target = events.kind[event], events.target[event]
    zero = splat(0.0)
    first_port = structure.size - structure.ports
    if kind == JUMP:
        store(chain.state, target, load(chain.state, target) + value)
    elif kind == RESET:
        due = value > 0.0
        for i in range(structure.states):
            store(chain.state, i, choose(due, load(group.start, i), load(chain.state, i)))
        for port in range(structure.ports):
            store(chain.state, first_port + port, choose(due, zero, load(chain.state, first_port + port)))
            store(group.active, port, choose(due, zero, load(group.active, port)))
    else:
        one = choose(value == 0.0, zero, splat(1.0))
        rate, pouring = load(chain.state, first_port + target), load(group.active, target)
        if kind == RATE_ON:
            rate, pouring = rate + value, pouring + one
        else:
            rate, pouring = rate - value, pouring - one
            rate = choose(pouring > 0.0, rate, zero)
        store(chain.state, first_port + target, rate)
        store(group.active, target, pouring)


@piece
def take_alone(structure, chain, events, event, lane, group):
    """Apply one event to one patient of a group: :func:`take_together` for courses that differ in their times."""
    kind, target = events.kind[event], events.target[event]
    value = events.value[event * events.patients + group.patients[lane]]
    first_port = structure.size - structure.ports
    if value == 0.0:
        return
    if kind == JUMP:
        chain.state[target * WIDTH + lane] = chain.state[target * WIDTH + lane] + value
    elif kind == RESET:
        for i in range(structure.states):
            chain.state[i * WIDTH + lane] = group.start[i * WIDTH + lane]
        for port in range(structure.ports):
            chain.state[(first_port + port) * WIDTH + lane] = 0.0
            group.active[port * WIDTH + lane] = 0.0
    else:
        place, counter = (first_port + target) * WIDTH + lane, target * WIDTH + lane
        if kind == RATE_ON:
            chain.state[place] = chain.state[place] + value
            group.active[counter] = group.active[counter] + 1.0
        else:
            left = chain.state[place] - value
            group.active[counter] = group.active[counter] - 1.0
            chain.state[place] = left if group.active[counter] > 0.0 else 0.0
