"""Non-linear and time-varying systems: which solver runs for whom, how tightly, and what is said when it gives up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pkmodel.core.kinds import JUMP, RATE_ON, RESET, Events
from pkmodel.core.ops import Tape
from pkmodel.errors import RunError
from pkmodel.system import System
from pkmodel.tape import evaluate

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

STIFF, EXPLICIT = "stiff", "explicit"
#: Steps that one patient may take.
MOST_STEPS = 200_000

#: How much tighter than the tolerance a step is kept, so that what its error grows to stays near the tolerance.
_MARGIN = {STIFF: 0.5, EXPLICIT: 0.25}
#: Below this part of what a dose can bring into a state, errors count as those of a state of that size.
_FLOOR = 1e-9
#: What went wrong, and what to do, by the status of :mod:`pkmodel.core.ode`.
_SENTENCES = {
    1: ("it took {most:,} steps", "loosen the tolerance, or look for rates in the model that are far too fast"),
    2: (
        "its steps became shorter than the clock can tell",
        "look for a rate that grows without bound, jumps, or is not defined beyond some level",
    ),
    3: (
        "a rate is not a finite number",
        "look for a division by 0, or a root or logarithm of something negative, in the rates of the model",
    ),
}


@dataclass(frozen=True)
class Report:
    """What the solver did for each patient, (n,) each: the method (``stiff`` or ``explicit``), and steps tried."""

    method: NDArray[np.str_]
    steps: Ints
    rejected: Ints


def levels(
    system: System,
    events: Events,
    time: Floats,
    observed: Ints,
    scale: Floats,
    initial: Floats | None,
    found: Floats,
    method: str,
    tolerance: float,
) -> Report:
    """Fill ``found`` (n, k, t) with the states ``observed`` (k,), times ``scale`` (k, n), at rising times (h).

    ``initial`` (n, s) is the state at the earlier of the first event and the first time; the system's without it.
    ``method`` is ``auto``, ``stiff`` or ``explicit``. Raises RunError where a patient cannot be integrated.
    """
    if not time.size:
        none = np.zeros(system.rates.shape[0], dtype=np.int64)
        return Report(np.full(none.size, STIFF), none, none)
    observed = observed.astype(np.int64)
    target = found if found.flags.c_contiguous else np.empty(found.shape)
    wanted = {"levels": (time, observed, np.ascontiguousarray(scale), target)}
    report = _Run(system, events, initial, float(time[-1]), tolerance, observed, False).carry_out(method, wanted)
    if target is not found:
        found[:] = target
    return report


def figures(
    system: System,
    events: Events,
    boundary: Floats,
    observed: Ints,
    thresholds: Floats,
    stats: Floats,
    time_above: Floats,
    first_crossing: Floats,
    method: str,
    tolerance: float,
    crossings: Floats | None = None,
    n_crossings: Ints | None = None,
) -> Report:
    """Fill the arrays of :func:`pkmodel.core.crossing.scan`, times of crossings where there is an array for them.

    ``method`` is ``auto``, ``stiff`` or ``explicit``. Raises RunError where a patient cannot be integrated.
    """
    from pkmodel.core.inside import Figures

    size, (outputs, limits) = system.rates.shape[0], thresholds.shape[:2]
    crossings = np.empty((size, outputs, limits, 0)) if crossings is None else crossings
    n_crossings = np.zeros((size, outputs, limits), dtype=np.int64) if n_crossings is None else n_crossings
    observed = observed.astype(np.int64)
    bundle = Figures(
        observed,
        np.ascontiguousarray(thresholds),
        stats,
        time_above,
        first_crossing,
        crossings,
        n_crossings,
        outputs,
        limits,
        size,
        boundary.shape[0] - 1,
        crossings.shape[3],
    )
    n_crossings[:] = 0
    run = _Run(system, events, None, float(boundary[-1].max()), tolerance, observed, True)
    return run.carry_out(method, {"edges": boundary, "figures": bundle}, n_crossings)


def methods(system: System, events: Events, until: float, method: str, tolerance: float) -> NDArray[np.str_]:
    """The method (n,) that each patient is integrated with up to ``until`` (h)."""
    return _Run(system, events, None, until, tolerance, np.arange(1), False).choose(method)


class _Run:
    """A block of patients, and how tightly they are integrated up to ``end`` (h)."""

    def __init__(
        self,
        system: System,
        events: Events,
        initial: Floats | None,
        end: float,
        tolerance: float,
        observed: Ints,
        drawn: bool,
    ):
        self.rates, self.events, self.end = np.ascontiguousarray(system.rates), events, end
        self.tolerance, self.observed, self.drawn = tolerance, observed, drawn
        size, states, _ = self.rates.shape
        start = system.initial if initial is None else initial
        self.initial = np.zeros((size, states)) if start is None else np.ascontiguousarray(start, dtype=np.float64)
        self.first_dose = system.first_dose
        dynamics = system.dynamics
        self.tape = _no_tape(states) if dynamics is None else dynamics.tape
        self.parameters = np.empty((0, size)) if dynamics is None else dynamics.parameters
        self.doses = _doses(events, size, states, end)
        self.entries = [(int(i), int(j)) for i, j in np.argwhere((self.rates != 0.0).any(axis=0))]

    def carry_out(self, method: str, wanted: dict[str, Any], counts: Ints | None = None) -> Report:
        """Integrate everybody; a patient for whom the explicit method was chosen and gave up gets the stiff one.

        ``wanted`` is what :func:`pkmodel.core.ode.integrate` is asked for; ``counts`` (n, ...) are counters that start
        again at 0 for such a patient.
        """
        chosen = self.choose(method)
        outcome = self._integrate(chosen, np.ones(chosen.size, dtype=bool), wanted)
        again = (outcome[0] > 0) & (chosen == EXPLICIT) & (method == "auto")
        if again.any():
            chosen = np.where(again, STIFF, chosen)
            if counts is not None:
                counts[again] = 0
            second = self._integrate(chosen, again, wanted)
            outcome = tuple(np.where(again, late, early) for late, early in zip(second, outcome, strict=True))
        status, steps, rejected, reached = outcome
        _refuse(status, reached)
        return Report(chosen, steps, rejected)

    def _integrate(
        self, chosen: NDArray[np.str_], who: NDArray[np.bool_], wanted: dict[str, Any]
    ) -> tuple[NDArray[Any], ...]:
        """Status, steps, rejected steps and time reached, (n,) each, of the patients ``who``."""
        from pkmodel.core import machine
        from pkmodel.core.arrivals import patients_for
        from pkmodel.core.ode import Control, integrate

        size, ports, floor = chosen.size, self.events.port_compartment.astype(np.int64), self._floor()
        total = [np.zeros(size, dtype=np.int64) for _ in range(3)] + [np.zeros(size)]
        for flows, alike in _alike(self.rates, who):
            for name, numbers in ((STIFF, machine.STIFF), (EXPLICIT, machine.EXPLICIT)):
                queue = np.flatnonzero(alike & (chosen == name)).astype(np.int64)
                if not queue.size:
                    continue
                code = machine.machine_for(flows, self.tape, self.observed, ports, numbers, self.drawn)
                entries = code.equations.rate_entries
                given = patients_for(self.rates, entries, self.parameters, self.initial, floor, ports, self.first_dose)
                control = Control(_MARGIN[name] * self.tolerance, MOST_STEPS)
                outcome = integrate(code, control, given, queue, self.events, **wanted)
                for part, whole in zip(outcome, total, strict=True):
                    whole[queue] = part[queue]
        return tuple(total)

    def _floor(self) -> Floats:
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

    def choose(self, method: str) -> NDArray[np.str_]:
        """The method (n,) for each patient: the one that is expected to cost less.

        Counted is, for each stretch between two stops, how many time constants of the fastest rate pass in it. The
        explicit method is bound by stability (three of them a step), or by accuracy while a level falls (for some 20 of
        them, with steps of (1.7e6 bound)**(1/8)). The stiff method is bound by accuracy, with steps of
        (8000 bound)**(1/5) for about a quarter of the first 80. Each starts anew at a stop, in 3 and in 6 steps, and a
        step of the explicit one costs one and a half. The rate is the fastest of the patient at its start and with all
        doses inside, at the first dose and at the end.
        """
        size = self.rates.shape[0]
        if method != "auto":
            return np.full(size, method)
        passed = self._fastest()[:, None] * self._stretches()
        stiff_step = (8e3 * _MARGIN[STIFF] * self.tolerance) ** 0.2
        explicit_step = (1.7e6 * _MARGIN[EXPLICIT] * self.tolerance) ** 0.125
        stiff = np.where(passed > 0.0, 6.0 + 0.25 * np.minimum(passed, 80.0) / stiff_step, 0.0)
        explicit = np.where(passed > 0.0, 3.0 + np.maximum(passed / 3.0, np.minimum(passed, 20.0) / explicit_step), 0.0)
        return np.where(1.5 * explicit.sum(axis=1) < stiff.sum(axis=1), EXPLICIT, STIFF)

    def _stretches(self) -> Floats:
        """Hours between stops (n or 1, e + 1), 0 where nothing lies between."""
        time = np.sort(np.minimum(self.events.time, self.end), axis=0).T
        if not time.shape[1]:
            return np.array([[max(self.end, 0.0)]])
        hours = np.diff(np.concatenate([time, np.full((time.shape[0], 1), self.end)], axis=1), axis=1)
        return hours[:, hours.any(axis=0)]

    def _fastest(self) -> Floats:
        """The fastest rate (n,), 1/h, as the explicit method sees it, at the start and with all doses inside."""
        found = np.zeros(self.rates.shape[0])
        for state in (self.initial, self.initial + self.doses):
            for time in (0.0, max(self.end, 0.0)):
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
                        sums[i] += np.sqrt(np.abs(entry * jacobian[j, i]))
                found = np.fmax(found, sums.max(axis=0))
        return found


def _alike(rates: Floats, who: NDArray[np.bool_]) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """Patients whose rates are zero in the same places: which are not (s, s), and who they are (n,).

    Each pattern has machine code of its own. If it were made for the pattern of a block, the last bits of a patient
    could depend on who else is in it.
    """
    flows = rates != 0.0
    left = who.copy()
    while left.any():
        first = flows[np.argmax(left)]
        alike = left & (flows == first).all(axis=(1, 2))
        yield first, alike
        left &= ~alike


def _doses(events: Events, size: int, states: int, end: float) -> Floats:
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


def _refuse(status: Ints, reached: Floats) -> None:
    """Say who could not be integrated, why, and what to do."""
    bad = np.flatnonzero(status)
    if not bad.size:
        return
    first = int(bad[0])
    why, remedy = _SENTENCES[int(status[first])]
    others = f", and {bad.size - 1} more" if bad.size > 1 else ""
    raise RunError(
        f"patient {first + 1} of {status.size}{others} could not be integrated: at {reached[first]:.6g} h "
        f"{why.format(most=MOST_STEPS)}; {remedy}"
    )
