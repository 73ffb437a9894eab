"""The right side of a model for eight patients at a time: slopes, derivatives, and where each number lies.

The memory of a group of eight is one array of rows of eight numbers, small enough for the first level of the cache.
Which rows there are depends on the structure of the model alone: on which rates are not zero in every patient, and on
the tape of its dynamic terms (:mod:`pkmodel.core.ops`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pkmodel.core import ops
from pkmodel.core.elementary import exponential, logarithm, power
from pkmodel.core.emit import Lane, Mask, Writer
from pkmodel.core.ops import OPERANDS, Tape

Ints = NDArray[np.int64]
Entry = tuple[int, int]

# Rows at the same place for every model: time now and at the start of the last step (h); length of the next step; the
# next stop; the next time to report; the first dose;
(T, T_START, H, END, DUE, FIRST) = range(6)
# steps, rejected ones, and the most there may be;
(STEPS, REJECTED, MOST) = range(6, 9)
# 1 over the bound of the estimate; the largest growth of a step; 1 where the state has jumped, and where a patient is
# under way.
(TIGHTNESS, GROWTH, FRESH, RUNNING) = range(9, 13)
_FIRST_FREE = 13


class Rows(NamedTuple):
    """The first row of: parameters, rates, inflow, state, slope, its change with time, floor of the error;
    of what is observed: second derivative, polynomial, values; of what the method keeps; and how many rows there are.
    """

    parameter: int
    rate: int
    inflow: int
    y: int
    f: int
    drift: int
    floor: int
    bent: int
    curve: int
    out: int
    own: int
    size: int


class Equations:
    """A model as its structure shows it, and the instructions that follow from it.

    Parameters
    ----------
    flows
        (s, s), true where the rate from state j (column) to state i (row) is not zero in every patient.
    tape
        the dynamic terms, none for a linear model.
    observed
        (k,) the states that are reported.
    port_state
        (q,) the state that each port pours into.
    terms
        numbers of a polynomial inside a step.
    drawn
        whether what is observed is read off these polynomials wherever it is looked at.
    """

    def __init__(self, flows: NDArray[np.bool_], tape: Tape, observed: Ints, port_state: Ints, terms: int, drawn: bool):
        self.tape, self.observed, self.states = tape, observed.tolist(), flows.shape[0]
        self.terms, self.drawn = terms, drawn
        self.ports = set(port_state.tolist())
        self.rate_entries: list[Entry] = [(int(i), int(j)) for i, j in np.argwhere(flows)]
        flowing = list(enumerate(tape.flow_register.tolist()))
        self.enters = [[r for f, r in flowing if tape.flow_to[f] == i] for i in range(self.states)]
        self.leaves = [[r for f, r in flowing if tape.flow_from[f] == i] for i in range(self.states)]
        self.partial = self._derivatives(tape.partial_flow, tape.partial_state, tape.partial_register)
        by_time = self._derivatives(tape.time_flow, np.zeros_like(tape.time_flow), tape.time_register)
        self.drift = {i: parts for (i, _), parts in by_time.items()}
        self.timed = self._reads_time()
        #: Every entry of the Jacobian that is not zero in every patient.
        self.linked = sorted({*self.rate_entries, *self.partial})
        self._place(tape.n_parameters)

    def _derivatives(self, flow: Ints, state: Ints, register: Ints) -> dict[Entry, list[tuple[int, int]]]:
        """Derivatives of terms as parts of the derivatives of states: by entry, the signs and registers to add up."""
        found: dict[Entry, list[tuple[int, int]]] = {}
        for term, j, source in zip(flow.tolist(), state.tolist(), register.tolist(), strict=True):
            for i, sign in ((int(self.tape.flow_from[term]), -1), (int(self.tape.flow_to[term]), 1)):
                if i >= 0:
                    found.setdefault((i, j), []).append((sign, source))
        return found

    def _reads_time(self) -> bool:
        tape = self.tape
        operands = zip(tape.op.tolist(), tape.a.tolist(), tape.b.tolist(), tape.c.tolist(), strict=True)
        read = {register for op, *registers in operands for register in registers[: OPERANDS[op]]}
        return tape.n_parameters + tape.n_states in read | {*tape.flow_register.tolist()}

    def _place(self, n_parameters: int) -> None:
        k, s = len(self.observed), self.states
        sizes = (n_parameters, len(self.rate_entries), s, s, s, s, s, k, self.terms * k, k, len(self.partial))
        edges = np.cumsum([_FIRST_FREE, *sizes]).tolist()
        self.rate_row = {entry: edges[1] + number for number, entry in enumerate(self.rate_entries)}
        self.jacobian_row = self.rate_row | {entry: edges[-2] + n for n, entry in enumerate(self.partial)}
        self.rows = Rows._make([*edges[:-2], edges[-1], edges[-1]])

    def reserve(self, rows: int) -> None:
        """Give the method its rows."""
        self.rows = self.rows._replace(size=self.rows.own + rows)

    def decays(self) -> dict[int, int]:
        """States that only lose what they hold, at a constant rate: the row of the rate, by state.

        They are moved exactly, whatever the length of the step, unless they are read off polynomials.
        """
        drawn = self.observed if self.drawn else []
        touched = {*self.tape.flow_from.tolist(), *self.tape.flow_to.tolist(), *drawn}
        inward = {i: {j for row, j in self.linked if row == i} for i in range(self.states)}
        return {i: self.rate_row[i, i] for i in range(self.states) if inward[i] == {i} and i not in touched}

    def run(self, writer: Writer, state: list[Lane], since: Lane, count: int) -> Callable[[int], Lane]:
        """Write down the first ``count`` operations of the tape; returns what finds a register."""
        tape, first = self.tape, self.tape.n_parameters
        held: dict[int, Lane] = {first + i: lane for i, lane in enumerate(state)} | {first + len(state): since}

        def register(number: int) -> Lane:
            return writer.load(self.rows.parameter + number) if number < first else held[number]

        for k in range(count):
            op = int(tape.op[k])
            operands = [int(source[k]) for source in (tape.a, tape.b, tape.c)][: OPERANDS[op]]
            held[int(tape.dst[k])] = _operate(op, *(register(number) for number in operands))
        return register

    def slope(
        self, writer: Writer, state: list[Lane], register: Callable[[int], Lane], start: list[Lane]
    ) -> list[Lane]:
        """``start`` plus d(state)/dt: inflow, rates, terms."""
        total = list(start)
        for i in self.ports:
            total[i] = total[i] + writer.load(self.rows.inflow + i)
        for (i, j), row in self.rate_row.items():
            total[i] = writer.load(row).times(state[j], total[i])
        for i in range(self.states):
            for number in self.leaves[i]:
                total[i] = total[i] - register(number)
            for number in self.enters[i]:
                total[i] = total[i] + register(number)
        return total

    def write_evaluate(self, writer: Writer) -> None:
        """Slope, Jacobian, change of the slope with time, and second derivatives, at the time and state in memory."""
        rows, zero = self.rows, writer.number(0.0)
        time, first = writer.load(T), writer.load(FIRST)
        state = [writer.load(rows.y + i) for i in range(self.states)]
        register = self.run(writer, state, (time - first).larger(0.0), self.tape.op.size)
        slope = self.slope(writer, state, register, [zero] * self.states)
        for i in range(self.states):
            writer.store(rows.f + i, slope[i])
        for entry, parts in self.partial.items():
            total = writer.load(self.rate_row[entry]) if entry in self.rate_row else zero
            writer.store(self.jacobian_row[entry], _summed(total, parts, register))
        for i, parts in self.drift.items():
            changes = _summed(zero, parts, register)
            writer.store(rows.drift + i, (time >= first).choose(changes, 0.0))
        for k, i in enumerate(self.observed):
            total = writer.load(rows.drift + i) if i in self.drift else zero
            writer.store(rows.bent + k, self.product(writer, i, slope, total))

    def product(self, writer: Writer, i: int, vector: list[Lane], start: Lane) -> Lane:
        """``start`` plus row i of the Jacobian in memory times a vector."""
        total = start
        for row, j in self.linked:
            if row == i:
                total = writer.load(self.jacobian_row[i, j]).times(vector[j], total)
        return total

    def fastest(self, writer: Writer) -> Lane:
        """About the largest rate (1/h) at which anything changes: a bound of the eigenvalues of the Jacobian in memory.

        The largest sum of a row, once states are scaled so that what passes between two of them is the same both ways
        (Gershgorin's circles). A bound where no way leads round in a circle, and right to a factor of 2 elsewhere.
        """
        largest = writer.number(0.0)
        for i in range(self.states):
            total = writer.number(0.0)
            for row, j in self.linked:
                if row == i and (j, i) in self.jacobian_row:
                    there = self._magnitude(writer, i, j)
                    total = total + (there if i == j else (there * self._magnitude(writer, j, i)).root())
            largest = largest.larger(total)
        return largest

    def _magnitude(self, writer: Writer, i: int, j: int) -> Lane:
        return writer.load(self.jacobian_row[i, j]).magnitude()


def _summed(total: Lane, parts: list[tuple[int, int]], register: Callable[[int], Lane]) -> Lane:
    for sign, number in parts:
        total = total + register(number) if sign > 0 else total - register(number)
    return total


def _truth(mask: Mask) -> Lane:
    return mask.choose(1.0, 0.0)


def _is_true(x: Lane) -> Mask:
    return ~x.equals(0.0)


def _both(a: Lane, b: Lane, chosen: Lane) -> Lane:
    """The choice between two, or a NaN where one of them is one."""
    return (a.equals(a) & b.equals(b)).choose(chosen, a + b)


_OPERATIONS: dict[int, Callable[..., Lane]] = {
    ops.ADD: lambda a, b: a + b,
    ops.SUB: lambda a, b: a - b,
    ops.MUL: lambda a, b: a * b,
    ops.DIV: lambda a, b: a / b,
    ops.NEG: lambda a: -a,
    ops.RECIPROCAL: lambda a: 1.0 / a,
    ops.POW: power,
    ops.SQRT: lambda a: a.root(),
    ops.EXP: exponential,
    ops.LOG: logarithm,
    ops.MIN: lambda a, b: _both(a, b, a.smaller(b)),
    ops.MAX: lambda a, b: _both(a, b, a.larger(b)),
    ops.GT: lambda a, b: _truth(a > b),
    ops.GE: lambda a, b: _truth(a >= b),
    ops.LT: lambda a, b: _truth(a < b),
    ops.LE: lambda a, b: _truth(a <= b),
    ops.EQ: lambda a, b: _truth(a.equals(b)),
    ops.NE: lambda a, b: _truth(~a.equals(b)),
    ops.AND: lambda a, b: _truth(_is_true(a) & _is_true(b)),
    ops.OR: lambda a, b: _truth(_is_true(a) | _is_true(b)),
    ops.NOT: lambda a: _truth(a.equals(0.0)),
    ops.WHERE: lambda a, b, c: _is_true(a).choose(b, c),
}


def _operate(op: int, *operands: Lane) -> Lane:
    return _OPERATIONS[op](*operands)
