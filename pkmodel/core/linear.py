"""Exact levels of a linear model at given times: the propagator run over a block of patients.

Arrays common to the kernels of this package, for ``n`` patients:

``rates``              (n, c, c)  1/h; ``rates[p, i, j]`` moves from compartment j to i, diagonal is what leaves
``event_time``         (e, 1 or n)  h, one column where all patients share their times
``event_order``        (e, 1 or n)  indices that sort the events of a patient; ties are in the order of decision
``event_kind``         (e,)  see ``core.events``;  ``event_target`` (e,) compartment (jump) or port (rate)
``event_value``        (e, n)  mg, or mg/h
``port_compartment``   (q,)  the compartment that each input port pours into
"""

from __future__ import annotations

import numpy as np

from pkmodel.core import sketch
from pkmodel.core.events import longest_gap, system_matrix, take_event
from pkmodel.core.jit import kernel
from pkmodel.core.propagator import MAX_LEVELS, advance, apply, base_step, build_chain, exponential, levels_for


@kernel
def _observe_patient(
    patient,
    rates,
    event_time,
    event_order,
    event_kind,
    event_target,
    event_value,
    port_compartment,
    time,
    step_index,
    steps,
    matrix,
    chain,
    less_one,
    grid,
    scratch,
    state,
    term,
    work,
    active,
    amounts,
):
    """Amounts (n_times, c) of one patient, each after all that arrives up to its time; times must rise."""
    n = rates.shape[1]
    n_ports = port_compartment.shape[0]
    size = system_matrix(rates[patient], n, port_compartment, 0, port_compartment, n_ports, matrix)
    column = patient if event_time.shape[1] > 1 else 0
    n_events, n_times = event_time.shape[0], time.shape[0]
    step = base_step(matrix, n)
    for k in range(steps.shape[0]):
        exponential(matrix, size, step, steps[k], grid[k], chain, less_one, scratch[0], scratch[1])
    levels = levels_for(longest_gap(event_time[:, column], n_events, time, n_times), step)
    build_chain(matrix, size, step, levels, chain, less_one, scratch[0], scratch[1])
    for i in range(size):
        state[i] = 0.0
    for k in range(n_ports):
        active[k] = 0
    now = time[0]
    if n_events:
        now = min(now, event_time[event_order[0, column], column])
    taken = 0
    for at in range(n_times):
        while True:
            event = event_order[taken, column] if taken < n_events else -1
            due = event >= 0 and event_time[event, column] <= time[at]
            target = event_time[event, column] if due else time[at]
            if target > now:
                if at > 0 and step_index[at] >= 0 and now == time[at - 1] and target == time[at]:
                    apply(grid[step_index[at]], size, state, work)
                else:
                    advance(matrix, size, chain, levels, step, target - now, state, term, work)
                now = target
            if not due:
                break
            take_event(event_kind[event], event_target[event], event_value[event, patient], state, n, active)
            taken += 1
        for i in range(n):
            amounts[at, i] = state[i]


@kernel
def observe(
    rates,
    event_time,
    event_order,
    event_kind,
    event_target,
    event_value,
    port_compartment,
    time,
    step_index,
    steps,
    amounts,
):
    """Fill ``amounts`` (n, n_times, c), mg, at the rising times ``time`` (h).

    ``steps`` are the distinct steps of the grid and ``step_index[k]`` says which of them leads from
    time k - 1 to time k (-1: none; the chain of squares is used).
    """
    n_patients, n = rates.shape[0], rates.shape[1]
    size = n + port_compartment.shape[0]
    matrix = np.empty((size, size))
    chain, less_one = np.empty((MAX_LEVELS, size, size)), np.empty((MAX_LEVELS, size))
    grid, scratch = np.empty((steps.shape[0], size, size)), np.empty((2, size, size))
    state, term, work = np.empty(size), np.empty(size), np.empty(size)
    active = np.zeros(port_compartment.shape[0], dtype=np.int64)
    for patient in range(n_patients):
        _observe_patient(
            patient,
            rates,
            event_time,
            event_order,
            event_kind,
            event_target,
            event_value,
            port_compartment,
            time,
            step_index,
            steps,
            matrix,
            chain,
            less_one,
            grid,
            scratch,
            state,
            term,
            work,
            active,
            amounts[patient],
        )


@kernel
def observe_into_sketch(
    rates,
    event_time,
    event_order,
    event_kind,
    event_target,
    event_value,
    port_compartment,
    time,
    step_index,
    steps,
    output_compartment,
    output_scale,
    counts,
):
    """Count each level into ``counts`` (n_times, n_outputs, sketch.BINS) instead of storing it.

    ``output_scale`` (n_outputs, n) turns the amount in ``output_compartment`` into a level.
    """
    n_patients, n = rates.shape[0], rates.shape[1]
    size = n + port_compartment.shape[0]
    matrix = np.empty((size, size))
    chain, less_one = np.empty((MAX_LEVELS, size, size)), np.empty((MAX_LEVELS, size))
    grid, scratch = np.empty((steps.shape[0], size, size)), np.empty((2, size, size))
    state, term, work = np.empty(size), np.empty(size), np.empty(size)
    active = np.zeros(port_compartment.shape[0], dtype=np.int64)
    amounts = np.empty((time.shape[0], n))
    for patient in range(n_patients):
        _observe_patient(
            patient,
            rates,
            event_time,
            event_order,
            event_kind,
            event_target,
            event_value,
            port_compartment,
            time,
            step_index,
            steps,
            matrix,
            chain,
            less_one,
            grid,
            scratch,
            state,
            term,
            work,
            active,
            amounts,
        )
        for k in range(output_compartment.shape[0]):
            scale = output_scale[k, patient]
            for at in range(time.shape[0]):
                counts[at, k, sketch.bin_of(amounts[at, output_compartment[k]] * scale)] += 1
