"""Non-linear and time-varying systems: which solver runs for whom, how tightly, and what is said when it gives up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pkmodel.core.kinds import Events
from pkmodel.errors import RunError
from pkmodel.stiffness import EXPLICIT, MARGIN, STIFF, Block
from pkmodel.system import System

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Steps that one patient may take.
MOST_STEPS = 200_000

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
    report = _Run(Block(system, events, initial, float(time[-1])), tolerance, observed, False).carry_out(method, wanted)
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
    # Each patient's own end: what is chosen for one must not depend on how late another one begins.
    end = boundary[-1] if boundary.shape[1] > 1 else float(boundary[-1, 0])
    run = _Run(Block(system, events, None, end), tolerance, observed, True)
    return run.carry_out(method, {"edges": boundary, "figures": bundle}, n_crossings)


def levels_of_each(
    system: System,
    events: Events,
    time: Floats,
    observed: Ints,
    scale: Floats,
    found: Floats,
    method: str,
    tolerance: float,
) -> Report:
    """:func:`levels` at times (t, n) that every patient has for itself: the starts of intervals that begin there.

    A level at the last of them is the one before what arrives at that instant.
    """
    from pkmodel.core.kinds import END, N_STATS, START

    size, count = system.rates.shape[0], time.shape[0]
    # The state at the system's start stands at the earlier of the first event and the first time, as in `levels`.
    stats = np.empty((size, max(count - 1, 1), observed.size, N_STATS))
    boundary = np.ascontiguousarray(time if count > 1 else np.concatenate([time, time]))
    none = np.empty((*stats.shape[:3], 0))
    limits = np.empty((observed.size, 0, size))
    report = figures(system, events, boundary, observed, limits, stats, none, none, method, tolerance)
    found[:, :, -1] = stats[:, -1, :, END]
    if count > 1:
        found[:, :, :-1] = stats[:, :, :, START].transpose(0, 2, 1)
    found *= scale.T[:, :, None]
    return report


def methods(system: System, events: Events, until: float, method: str, tolerance: float) -> NDArray[np.str_]:
    """The method (n,) that each patient is integrated with up to ``until`` (h)."""
    return _Run(Block(system, events, None, until), tolerance, np.arange(1), False).choose(method)


class _Run:
    """A block of patients, how tightly they are integrated, and what is observed (``drawn``: inside of every step)."""

    def __init__(self, block: Block, tolerance: float, observed: Ints, drawn: bool):
        self.block, self.tolerance, self.observed, self.drawn = block, tolerance, observed, drawn

    def choose(self, method: str) -> NDArray[np.str_]:
        """The method (n,) for each patient."""
        if method == "auto":
            return self.block.cheaper(self.tolerance)
        return np.full(self.block.rates.shape[0], method)

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

        block, size, floor = self.block, chosen.size, self.block.floor()
        ports = block.events.port_compartment.astype(np.int64)
        total = [np.zeros(size, dtype=np.int64) for _ in range(3)] + [np.zeros(size)]
        for flows, alike in _alike(block.rates, who):
            for name, numbers in ((STIFF, machine.STIFF), (EXPLICIT, machine.EXPLICIT)):
                queue = np.flatnonzero(alike & (chosen == name)).astype(np.int64)
                if not queue.size:
                    continue
                code = machine.machine_for(flows, block.tape, self.observed, ports, numbers, self.drawn)
                entries = code.equations.rate_entries
                given = patients_for(
                    block.rates, entries, block.parameters, block.initial, floor, ports, block.first_dose
                )
                control = Control(MARGIN[name] * self.tolerance, MOST_STEPS)
                outcome = integrate(code, control, given, queue, block.events, **wanted)
                for part, whole in zip(outcome, total, strict=True):
                    whole[queue] = part[queue]
        return tuple(total)


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
