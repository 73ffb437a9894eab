"""Exact levels of a linear model at given times: the propagator run over a block of patients.

``rates`` is (n, c, c) in 1/h: ``rates[p, i, j]`` moves drug of patient p from compartment j to i, and the diagonal
is what leaves. ``events`` is :class:`pkmodel.core.kinds.Events`. Times of observation rise, and ``step_index[k]``
says which of the grid's ``steps`` leads from time k - 1 to time k (-1: none; the chain of squares is used).
"""

from __future__ import annotations

import numpy as np

from pkmodel.core import sketch
from pkmodel.core.events import pass_time, prepare, take_event, workspace
from pkmodel.core.jit import kernel
from pkmodel.core.propagator import apply, exponential


@kernel
def _observe_patient(patient, rates, events, time, step_index, steps, initial, work, amounts):
    """Amounts (n_times, c) of one patient, each after all that arrives up to its time."""
    n = rates.shape[1]
    column = patient if events.time.shape[1] > 1 else 0
    n_events = events.time.shape[0]
    system, now = prepare(rates[patient], events, column, time, events.port_compartment[:0], work)
    for i in range(n):
        work.state[i] = initial[patient, i]
    for k in range(steps.shape[0]):
        exponential(
            work.matrix,
            system.size,
            system.step,
            steps[k],
            work.grid[k],
            work.chain[-2:],
            work.less_one[-2:],
            work.scratch[0],
            work.scratch[1],
        )
    taken = 0
    for at in range(time.shape[0]):
        while True:
            event = events.order[taken, column] if taken < n_events else -1
            due = event >= 0 and events.time[event, column] <= time[at]
            target = events.time[event, column] if due else time[at]
            if target > now:
                if at > 0 and step_index[at] >= 0 and now == time[at - 1] and target == time[at]:
                    apply(work.grid[step_index[at]], system.size, work.state, work.temporary)
                else:
                    pass_time(system, work, target - now)
                now = target
            if not due:
                break
            take_event(events, event, patient, system, work)
            taken += 1
        for i in range(n):
            amounts[at, i] = work.state[i]


@kernel
def observe(rates, events, time, step_index, steps, initial, amounts):
    """Fill ``amounts`` (n, n_times, c), mg, at the rising times ``time`` (h).

    ``initial`` (n, c) are the amounts at the first event or time.
    """
    n_ports = events.port_compartment.shape[0]
    work = workspace(rates.shape[1] + n_ports, n_ports, steps.shape[0])
    for patient in range(rates.shape[0]):
        _observe_patient(patient, rates, events, time, step_index, steps, initial, work, amounts[patient])


@kernel
def observe_into_sketch(rates, events, time, step_index, steps, output_compartment, output_scale, counts):
    """Count each level into ``counts`` (n_times, n_outputs, sketch.BINS) instead of storing it.

    ``output_scale`` (n_outputs, n) turns the amount in ``output_compartment`` into a level.
    """
    n_ports = events.port_compartment.shape[0]
    work = workspace(rates.shape[1] + n_ports, n_ports, steps.shape[0])
    amounts = np.empty((time.shape[0], rates.shape[1]))
    initial = np.zeros(rates.shape[:2])
    for patient in range(rates.shape[0]):
        _observe_patient(patient, rates, events, time, step_index, steps, initial, work, amounts)
        for k in range(output_compartment.shape[0]):
            scale = output_scale[k, patient]
            for at in range(time.shape[0]):
                counts[at, k, sketch.bin_of(amounts[at, output_compartment[k]] * scale)] += 1
