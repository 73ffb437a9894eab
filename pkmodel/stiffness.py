"""How fast a system changes, how large its states become, and which ODE method is the cheaper one for whom."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pkmodel.core.kinds import JUMP, RATE_ON, RESET, Events
from pkmodel.core.ops import Tape
from pkmodel.system import System
from pkmodel.tape import evaluate

Floats = NDArray[np.float64]

STIFF, EXPLICIT = "stiff", "explicit"
#: How much tighter than the tolerance a step is kept, so that what its error grows to stays near the tolerance.
MARGIN = {STIFF: 0.5, EXPLICIT: 0.25}
#: Below this part of what a dose can bring into a state, errors count as those of a state of that size.
_FLOOR = 1e-9


class Block:
    """A block of patients as a solver takes it, from ``initial`` (the system's without it) up to ``end`` (h).

    ``end`` is one for all or (n,), each patient's own: then nothing of a patient depends on who else is in the block.

    ``doses`` (n, s) is what is given into each state; ``entries`` are the rates that are not zero in every patient.
    """

    def __init__(self, system: System, events: Events, initial: Floats | None, end: Floats | float):
        self.rates, self.events, self.end = np.ascontiguousarray(system.rates), events, end
        size, states, _ = self.rates.shape
        start = system.initial if initial is None else initial
        self.initial = np.zeros((size, states)) if start is None else np.ascontiguousarray(start, dtype=np.float64)
        self.first_dose = system.first_dose
        dynamics = system.dynamics
        self.tape = _no_tape(states) if dynamics is None else dynamics.tape
        self.parameters = np.empty((0, size)) if dynamics is None else dynamics.parameters
        self.doses = _doses(events, size, states, end)
        self.entries = [(int(i), int(j)) for i, j in np.argwhere((self.rates != 0.0).any(axis=0))]

    def floor(self) -> Floats:
        """Sizes (n, s) below which errors are not relative: a part of what the doses can bring into each state.

        A dose spreads with the ratio of the rate at which it enters a state to that at which the state empties, at most
        1; a state with a start counts at that.
        """
        gains = {}
        for i, j in self.entries:
            if i != j:
                rate, empties = np.abs(self.rates[:, i, j]), np.abs(self.rates[:, i, i])
                with np.errstate(divide="ignore", invalid="ignore"):
                    gains[i, j] = np.where(rate > 0.0, np.fmin(rate / empties, 1.0), 0.0)
        for source, target in zip(self.tape.flow_from.tolist(), self.tape.flow_to.tolist(), strict=True):
            if min(source, target) >= 0:
                gains[target, source] = np.ones(self.doses.shape[0])
        size = np.maximum(self.doses, np.abs(self.initial))
        for _ in range(size.shape[1]):
            for (i, j), gain in gains.items():
                size[:, i] = np.fmax(size[:, i], gain * size[:, j])
        largest = size.max(axis=1, keepdims=True)
        size = np.where(size > 0.0, size, np.where(largest > 0.0, largest, 1.0))
        return _FLOOR * size

    def cheaper(self, tolerance: float) -> NDArray[np.str_]:
        """The method (n,) that is expected to cost less.

        Counted is, for each stretch between two stops, how many time constants of the fastest rate pass in it. The
        explicit method is bound by stability (three of them a step), or by accuracy while a level falls (for some 20 of
        them, with steps of (1.7e6 bound)**(1/8)). The stiff method is bound by accuracy, with steps of
        (8000 bound)**(1/5) for about a quarter of the first 80. Each starts anew at a stop, in 3 and in 6 steps, and a
        step of the explicit one costs one and a half. The rate is the fastest of the patient at its start and with all
        doses inside, at the first dose and at the end.
        """
        passed = self.fastest()[:, None] * self._stretches()
        stiff_step = (8e3 * MARGIN[STIFF] * tolerance) ** 0.2
        explicit_step = (1.7e6 * MARGIN[EXPLICIT] * tolerance) ** 0.125
        stiff = np.where(passed > 0.0, 6.0 + 0.25 * np.minimum(passed, 80.0) / stiff_step, 0.0)
        explicit = np.where(passed > 0.0, 3.0 + np.maximum(passed / 3.0, np.minimum(passed, 20.0) / explicit_step), 0.0)
        return np.where(1.5 * explicit.sum(axis=1) < stiff.sum(axis=1), EXPLICIT, STIFF)

    def _stretches(self) -> Floats:
        """Hours between stops (n or 1, e + 1), 0 where nothing lies between."""
        time = np.sort(np.minimum(self.events.time, self.end), axis=0).T
        if not time.shape[1]:
            return np.maximum(self.end, 0.0).reshape(-1, 1)
        last = np.broadcast_to(self.end, time.shape[:1])[:, None]
        hours = np.diff(np.concatenate([time, last], axis=1), axis=1)
        return hours[:, hours.any(axis=0)]

    def fastest(self) -> Floats:
        """The fastest rate (n,), 1/h, as the explicit method sees it, at the start and with all doses inside."""
        found = np.zeros(self.rates.shape[0])
        for state in (self.initial, self.initial + self.doses):
            for time in (0.0, np.maximum(self.end, 0.0)):
                jacobian = {(i, j): self.rates[:, i, j] for i, j in self.entries}
                _, partial, _ = evaluate(self.tape, self.parameters, state.T, time)
                for flow, j, derivative in zip(
                    self.tape.partial_flow.tolist(), self.tape.partial_state.tolist(), partial, strict=True
                ):
                    for i, sign in ((int(self.tape.flow_from[flow]), -1.0), (int(self.tape.flow_to[flow]), 1.0)):
                        if i >= 0:
                            jacobian[i, j] = jacobian.get((i, j), 0.0) + sign * derivative
                sums = np.zeros((self.rates.shape[1], found.size))
                for (i, j), entry in sorted(jacobian.items(), key=lambda item: item[0]):  # the same sums in any block
                    if (j, i) in jacobian:
                        # Two roots and not that of the product, which rates of 1e200 would carry past all numbers.
                        sums[i] += np.sqrt(np.abs(entry)) * np.sqrt(np.abs(jacobian[j, i]))
                found = np.fmax(found, sums.max(axis=0))
        return found


def _doses(events: Events, size: int, states: int, end: Floats | float) -> Floats:
    """What is given into each state (n, s) up to ``end`` (h): jumps, and infusions for as long as they pour."""
    given = np.zeros((size, states))
    for kind, target, time, value in zip(
        events.kind.tolist(), events.target.tolist(), events.time, events.value, strict=True
    ):
        if kind == JUMP:
            given[:, target] += np.where(time <= end, value, 0.0)
        elif kind != RESET:
            hours = np.maximum(end - time, 0.0)
            given[:, events.port_compartment[target]] += (value if kind == RATE_ON else -value) * hours
    return np.maximum(given, 0.0)


def _no_tape(states: int) -> Tape:
    """The tape of a linear system."""
    none = np.empty(0, dtype=np.int64)
    return Tape(
        op=none,
        dst=none,
        a=none,
        b=none,
        c=none,
        n_value=0,
        n_parameters=0,
        n_states=states,
        n_registers=states + 1,
        flow_register=none,
        flow_from=none,
        flow_to=none,
        partial_flow=none,
        partial_state=none,
        partial_register=none,
        time_flow=none,
        time_register=none,
    )
