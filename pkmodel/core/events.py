"""Dosing events as a kernel sees them, and the state that they act on.

The state of a patient is ``[compartments | running integrals of the outputs | input ports]``. A jump adds
an amount to a compartment; a rate event adds to (or takes from) the rate of an input port, which pours
into its compartment until it is taken back.
"""

from __future__ import annotations

from pkmodel.core.jit import kernel
from pkmodel.core.kinds import JUMP, RATE_ON


@kernel
def system_matrix(rates, n, output_compartment, n_integrals, port_compartment, n_ports, out):
    """Fill the augmented matrix: rates, integrals of the outputs' amounts, ports."""
    size = n + n_integrals + n_ports
    for i in range(size):
        for j in range(size):
            out[i, j] = 0.0
    for i in range(n):
        for j in range(n):
            out[i, j] = rates[i, j]
    for k in range(n_integrals):
        out[n + k, output_compartment[k]] = 1.0
    for k in range(n_ports):
        out[port_compartment[k], n + n_integrals + k] = 1.0
    return size


@kernel
def take_event(kind, target, value, state, first_port, active):
    """Apply one event. A port that nothing pours into any more is exactly 0, whatever was added and taken."""
    if kind == JUMP:
        state[target] += value
    elif kind == RATE_ON:
        if value != 0.0:
            state[first_port + target] += value
            active[target] += 1
    elif value != 0.0:
        state[first_port + target] -= value
        active[target] -= 1
        if active[target] == 0:
            state[first_port + target] = 0.0


@kernel
def longest_gap(event_time, n_events, stop_time, n_stops):
    """An upper bound of the time between two stops of a patient (times may be in any order)."""
    low, high = stop_time[0], stop_time[0]
    for k in range(n_stops):
        low, high = min(low, stop_time[k]), max(high, stop_time[k])
    for k in range(n_events):
        low, high = min(low, event_time[k]), max(high, event_time[k])
    return high - low
