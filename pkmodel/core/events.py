"""The state that dosing events act on, and the memory that a kernel works in.

The state of a patient is ``[compartments | running integrals of the outputs | input ports]``. A jump adds
an amount to a compartment; a rate event adds to (or takes from) the rate of an input port, which pours
into its compartment until it is taken back.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pkmodel.core.jit import kernel
from pkmodel.core.kinds import JUMP, RATE_ON
from pkmodel.core.propagator import DEGREE, MAX_LEVELS, advance, base_step, build_chain, levels_for


class Work(NamedTuple):
    """Memory for one patient at a time: the system, its chain of squares, the state, and scratch."""

    matrix: np.ndarray
    chain: np.ndarray
    less_one: np.ndarray
    scratch: np.ndarray
    grid: np.ndarray
    state: np.ndarray
    start: np.ndarray
    probe: np.ndarray
    term: np.ndarray
    temporary: np.ndarray
    taylor: np.ndarray
    active: np.ndarray


class System(NamedTuple):
    """What the steps of one patient need beside the memory: size of the state, base step (h), levels, first port."""

    size: int
    step: float
    levels: int
    first_port: int


@kernel
def workspace(size, n_ports, n_grid):
    """Memory for a state of ``size``, with ``n_ports`` input ports and ``n_grid`` propagators of grid steps."""
    return Work(
        np.empty((size, size)),
        np.empty((MAX_LEVELS + 2, size, size)),  # two more, for squarings outside of the chain
        np.empty((MAX_LEVELS + 2, size)),
        np.empty((2, size, size)),
        np.empty((n_grid, size, size)),
        np.empty(size),
        np.empty(size),
        np.empty(size),
        np.empty(size),
        np.empty(size),
        np.empty(DEGREE + 1),
        np.zeros(n_ports, dtype=np.int64),
    )


@kernel
def prepare(rates, events, column, stops, integrals, work):
    """Set up one patient: the augmented matrix and its chain in ``work``, an empty state, and the first instant.

    ``stops`` are the times (h) that matter beside the events; ``integrals`` the compartments whose amounts are
    integrated. Returns the system and the time from which it runs.
    """
    n, n_integrals, n_ports = rates.shape[0], integrals.shape[0], events.port_compartment.shape[0]
    size = n + n_integrals + n_ports
    work.matrix[:] = 0.0
    work.matrix[:n, :n] = rates
    for k in range(n_integrals):
        work.matrix[n + k, integrals[k]] = 1.0
    for k in range(n_ports):
        work.matrix[events.port_compartment[k], n + n_integrals + k] = 1.0
    work.state[:] = 0.0
    work.active[:] = 0
    first, last = stops[0], stops[-1]
    for k in range(events.time.shape[0]):
        first, last = min(first, events.time[k, column]), max(last, events.time[k, column])
    step = base_step(work.matrix, n)
    levels = levels_for(last - first, step)
    build_chain(work.matrix, size, step, levels, work.chain, work.less_one, work.scratch[0], work.scratch[1])
    return System(size, step, levels, n + n_integrals), first


@kernel
def pass_time(system, work, time):
    """Move the state by ``time`` h."""
    advance(
        work.matrix,
        system.size,
        work.chain,
        system.levels,
        system.step,
        time,
        work.state,
        work.term,
        work.temporary,
    )


@kernel
def take_event(events, event, patient, system, work):
    """Apply one event. A port that nothing pours into any more is exactly 0, whatever was added and taken."""
    kind, target, value = events.kind[event], events.target[event], events.value[event, patient]
    if value == 0.0:
        return
    if kind == JUMP:
        work.state[target] += value
        return
    port = system.first_port + target
    if kind == RATE_ON:
        work.state[port] += value
        work.active[target] += 1
    else:
        work.state[port] -= value
        work.active[target] -= 1
        if work.active[target] == 0:
            work.state[port] = 0.0
