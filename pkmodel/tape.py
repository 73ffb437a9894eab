"""From terms to a tape: the dynamic part of a system as a program for the ODE kernel (:mod:`pkmodel.core.ops`).

What does not change with time was evaluated per patient already and is a parameter of the tape. Values come first,
derivatives after them, and both share what they have in common. :func:`evaluate` runs a tape in plain numpy; it is
what kernels are tested against.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pkmodel.core.ops import OPERANDS, Tape
from pkmodel.graph import NUMPY, STATE, TIME
from pkmodel.terms import Terms

Floats = NDArray[np.float64]

#: Where a term comes from or goes to that is no state.
NOWHERE = -1


@dataclass(frozen=True)
class Flow:
    """A dynamic term: a node of the graph, per hour, which leaves ``source`` and enters ``target`` (or NOWHERE)."""

    value: int
    source: int
    target: int


@dataclass(frozen=True)
class Dynamics:
    """The dynamic terms of a block of patients: a tape, and (n_parameters, n) what it reads."""

    tape: Tape
    parameters: Floats


def tape_of(terms: Terms, flows: Sequence[Flow], n_states: int) -> Dynamics:
    """The tape of these flows, with their derivatives by every state and by the time."""
    values = [flow.value for flow in flows]
    partials = [
        (index, state, terms.derivative(value, state))
        for index, value in enumerate(values)
        for state in sorted(terms.depends[value] - {-1})
    ]
    partials = [partial for partial in partials if partial[2] != terms.zero]
    by_time = [(index, terms.derivative(value, -1)) for index, value in enumerate(values)]
    by_time = [partial for partial in by_time if partial[1] != terms.zero]

    needed = terms.live([*values, *(node for *_, node in partials), *(node for _, node in by_time)])
    parameters = [node for node in needed if terms.static(node)]
    register = {node: row for row, node in enumerate(parameters)}
    first = len(parameters)
    for node in needed:
        if terms.op[node] == STATE:
            register[node] = first + terms.leaf[node]
        elif terms.op[node] == TIME:
            register[node] = first + n_states
    for_values = set(terms.live(values))
    dynamic = [node for node in needed if node not in register]
    # Values first. Arguments have smaller numbers than what uses them, so each half stays in a legal order.
    dynamic.sort(key=lambda node: (node not in for_values, node))
    temporary = first + n_states + 1
    for row, node in enumerate(dynamic):
        register[node] = temporary + row

    def column(numbers: Sequence[int]) -> NDArray[np.int64]:
        return np.array(numbers, dtype=np.int64)

    def operand(which: int) -> NDArray[np.int64]:
        return column([register[terms.args[node][which]] if which < len(terms.args[node]) else 0 for node in dynamic])

    tape = Tape(
        op=column([terms.op[node] for node in dynamic]),
        dst=column([register[node] for node in dynamic]),
        a=operand(0),
        b=operand(1),
        c=operand(2),
        n_value=sum(node in for_values for node in dynamic),
        n_parameters=first,
        n_states=n_states,
        n_registers=temporary + len(dynamic),
        flow_register=column([register[value] for value in values]),
        flow_from=column([flow.source for flow in flows]),
        flow_to=column([flow.target for flow in flows]),
        partial_flow=column([index for index, _, _ in partials]),
        partial_state=column([state for _, state, _ in partials]),
        partial_register=column([register[node] for _, _, node in partials]),
        time_flow=column([index for index, _ in by_time]),
        time_register=column([register[node] for _, node in by_time]),
    )
    rows = np.array([terms.array(node) for node in parameters]).reshape(first, terms.size)
    return Dynamics(tape, rows)


def evaluate(tape: Tape, parameters: Floats, states: Floats, time: Floats | float) -> tuple[Floats, Floats, Floats]:
    """Run a tape once for every patient, in plain numpy.

    Parameters
    ----------
    parameters, states
        (n_parameters, n) and (n_states, n).
    time
        h since the first dose, (n,) or one for all.

    Returns
    -------
    values (f, n), their derivatives by states (p, n) and by time (q, n), in the order of the tape's lists
    """
    size = states.shape[1]
    registers = np.zeros((tape.n_registers, size))
    registers[: tape.n_parameters] = parameters
    registers[tape.n_parameters : tape.n_parameters + tape.n_states] = states
    registers[tape.n_parameters + tape.n_states] = time
    with np.errstate(all="ignore"):
        for op, dst, *operands in zip(tape.op, tape.dst, tape.a, tape.b, tape.c, strict=True):
            registers[dst] = NUMPY[int(op)](*(registers[each] for each in operands[: OPERANDS[op]]))
    return registers[tape.flow_register], registers[tape.partial_register], registers[tape.time_register]
