"""Small non-linear and time-varying systems, once as a tape and once as a formula in plain numpy.

The formulas are written down a second time on purpose: they share nothing with tapes, so that scipy integrates what the
model says and not what the tape makes of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import solve_ivp

from pkmodel.core.kinds import JUMP, RATE_OFF, RATE_ON, RESET, Events
from pkmodel.system import System
from pkmodel.tape import NOWHERE, Flow, tape_of
from pkmodel.terms import Terms

Floats = NDArray[np.float64]
#: d(state)/dt of one patient from the hours since the first dose and the state, without inflow.
Slope = Callable[[float, Floats], Floats]


@dataclass(frozen=True)
class Model:
    """A block of patients as a system, and the slope of each as a formula."""

    name: str
    system: System
    slopes: tuple[Slope, ...]

    @property
    def size(self) -> int:
        """How many patients."""
        return len(self.slopes)

    def only(self, patients: Sequence[int]) -> Model:
        """Some of the patients, in the order given."""
        system, chosen = self.system, list(patients)
        dynamics = system.dynamics
        if dynamics is not None:
            dynamics = type(dynamics)(dynamics.tape, np.ascontiguousarray(dynamics.parameters[:, chosen]))
        initial = None if system.initial is None else system.initial[chosen]
        return Model(self.name, System(system.rates[chosen], initial, dynamics), tuple(self.slopes[p] for p in chosen))


def spread(size: int, typical: float, seed: int, cv: float = 0.3) -> Floats:
    """Values of ``size`` patients around a typical one."""
    return typical * np.exp(cv * np.random.default_rng(seed).standard_normal(size))


def rates_of(size: int, states: int, flows: dict[tuple[int, int], Floats | float]) -> Floats:
    """Rate matrices (n, s, s) from flows (source, target; -1 is outside) -> rate."""
    rates = np.zeros((size, states, states))
    for (source, target), rate in flows.items():
        rates[:, source, source] -= rate
        if target >= 0:
            rates[:, target, source] += rate
    return rates


def michaelis_menten(size: int = 6) -> Model:
    """A depot, a centre that empties by a saturable flow into a metabolite, and a periphery."""
    ka, k12, k21, k20 = spread(size, 1.5, 1), spread(size, 2.0, 2), spread(size, 0.8, 3), spread(size, 0.4, 4)
    vmax, half = spread(size, 6.0, 5), spread(size, 3.0, 6)
    rates = rates_of(size, 4, {(0, 1): ka, (1, 2): k12, (2, 1): k21, (3, -1): k20})
    terms = Terms(size)
    quotient = terms.saturation(terms.state(1), terms.value("half", half))
    into = terms.mul(terms.value("into", 0.7 * vmax), quotient)
    out = terms.mul(terms.value("out", 0.3 * vmax), quotient)
    dynamics = tape_of(terms, [Flow(into, 1, 3), Flow(out, 1, NOWHERE)], 4)

    def slope(p: int) -> Slope:
        def formula(time: float, y: Floats) -> Floats:
            lost = vmax[p] * y[1] / (half[p] + y[1])
            return np.array(
                [
                    -ka[p] * y[0],
                    ka[p] * y[0] - k12[p] * y[1] + k21[p] * y[2] - lost,
                    k12[p] * y[1] - k21[p] * y[2],
                    0.7 * lost - k20[p] * y[3],
                ]
            )

        return formula

    return Model("michaelis_menten", System(rates, None, dynamics), tuple(slope(p) for p in range(size)))


def turnover(size: int = 6) -> Model:
    """A centre, an effect site and a turnover whose production rises with the site (emax)."""
    k10, k12, k21 = spread(size, 1.2, 1), spread(size, 1.0, 2), spread(size, 0.5, 3)
    ke0, kout, base = spread(size, 3.0, 4), spread(size, 0.9, 5), spread(size, 100.0, 6, 0.1)
    emax, half = 0.4, spread(size, 0.5, 7)
    rates = rates_of(size, 4, {(0, -1): k10, (0, 1): k12, (1, 0): k21})
    rates[:, 2, 0], rates[:, 2, 2], rates[:, 3, 3] = ke0 / 10.0, -ke0, -kout
    terms = Terms(size)
    share = terms.sigmoid(terms.state(2), terms.value("half", half), terms.one)
    gained = terms.mul(
        terms.value("production", kout * base), terms.add(terms.one, terms.mul(terms.constant(emax), share))
    )
    dynamics = tape_of(terms, [Flow(gained, NOWHERE, 3)], 4)
    initial = np.zeros((size, 4))
    initial[:, 3] = base

    def slope(p: int) -> Slope:
        def formula(time: float, y: Floats) -> Floats:
            effect = emax * y[2] / (half[p] + y[2])
            return np.array(
                [
                    -(k10[p] + k12[p]) * y[0] + k21[p] * y[1],
                    k12[p] * y[0] - k21[p] * y[1],
                    ke0[p] * (y[0] / 10.0 - y[2]),
                    kout[p] * base[p] * (1.0 + effect) - kout[p] * y[3],
                ]
            )

        return formula

    return Model("turnover", System(rates, initial, dynamics), tuple(slope(p) for p in range(size)))


def feedback(size: int = 6) -> Model:
    """A centre whose clearance falls with its own effect site, by a steep sigmoid."""
    k12, k21, ke0 = spread(size, 0.6, 1), spread(size, 0.4, 2), spread(size, 2.0, 3)
    clearance, half, hill = spread(size, 1.1, 4), spread(size, 4.0, 5), spread(size, 3.3, 6, 0.1)
    rates = rates_of(size, 3, {(0, 1): k12, (1, 0): k21})
    rates[:, 2, 0], rates[:, 2, 2] = ke0, -ke0
    terms = Terms(size)
    share = terms.sigmoid(terms.state(2), terms.value("half", half), terms.value("hill", hill))
    rate = terms.mul(terms.value("clearance", clearance), terms.sub(terms.one, terms.mul(terms.constant(0.8), share)))
    dynamics = tape_of(terms, [Flow(terms.mul(rate, terms.state(0)), 0, NOWHERE)], 3)

    def slope(p: int) -> Slope:
        def formula(time: float, y: Floats) -> Floats:
            site = max(y[2], 0.0)
            inhibited = 0.8 * site ** hill[p] / (half[p] ** hill[p] + site ** hill[p])
            return np.array(
                [
                    -clearance[p] * (1.0 - inhibited) * y[0] - k12[p] * y[0] + k21[p] * y[1],
                    k12[p] * y[0] - k21[p] * y[1],
                    ke0[p] * (y[0] - y[2]),
                ]
            )

        return formula

    return Model("feedback", System(rates, None, dynamics), tuple(slope(p) for p in range(size)))


def induction(size: int = 6) -> Model:
    """Two compartments whose clearance doubles over a day after the first dose."""
    k12, k21 = spread(size, 0.9, 1), spread(size, 0.3, 2)
    clearance, growth = spread(size, 0.5, 3), spread(size, 0.12, 4)
    rates = rates_of(size, 2, {(0, 1): k12, (1, 0): k21})
    terms = Terms(size)
    grown = terms.sub(terms.constant(2.0), terms.exp(terms.mul(terms.value("growth", -growth), terms.time())))
    rate = terms.mul(terms.value("clearance", clearance), grown)
    dynamics = tape_of(terms, [Flow(terms.mul(rate, terms.state(0)), 0, NOWHERE)], 2)

    def slope(p: int) -> Slope:
        def formula(time: float, y: Floats) -> Floats:
            lost = clearance[p] * (2.0 - np.exp(-growth[p] * time)) * y[0]
            return np.array([-lost - k12[p] * y[0] + k21[p] * y[1], k12[p] * y[0] - k21[p] * y[1]])

        return formula

    return Model("induction", System(rates, None, dynamics), tuple(slope(p) for p in range(size)))


MODELS = {make.__name__: make for make in (michaelis_menten, turnover, feedback, induction)}


def events_of(size: int, rows: Sequence[tuple[float | Floats, int, int, float | Floats]]) -> Events:
    """Events from rows of time, kind, target (the state, also for rates) and value, one or (n,) each."""
    ports: list[int] = []
    targets = []
    for _, kind, target, _ in rows:
        if kind in (RATE_ON, RATE_OFF) and target not in ports:
            ports.append(target)
        targets.append(ports.index(target) if kind in (RATE_ON, RATE_OFF) else target)
    time = np.array([np.broadcast_to(row[0], (size,)) for row in rows], dtype=float).reshape(-1, size)
    return Events(
        time=time,
        order=np.argsort(time, axis=0, kind="stable").astype(np.int64),
        kind=np.array([row[1] for row in rows], dtype=np.int64),
        target=np.array(targets, dtype=np.int64),
        value=np.array([np.broadcast_to(row[3], (size,)) for row in rows], dtype=float).reshape(-1, size),
        port_compartment=np.array(ports, dtype=np.int64),
    )


def reference(model: Model, patient: int, events: Events, time: Floats, tolerance: float = 1e-13) -> Floats:
    """States (t, s) of one patient at rising times, by scipy's DOP853, started anew at every event."""
    initial = model.system.initial
    start = np.zeros(model.system.rates.shape[1]) if initial is None else initial[patient].copy()
    state, inflow = start.copy(), np.zeros_like(start)
    found = np.empty((time.size, start.size))
    order, now, first = events.order[:, patient], min(time[0], events.time[:, patient].min()), np.inf
    at, taken = 0, 0

    def go(until: float) -> None:
        nonlocal state, at, now
        inside = time[(time >= now) & (time < until)]
        if until > now:
            solved = solve_ivp(
                lambda t, y: model.slopes[patient](max(t - first, 0.0), y) + inflow,
                (now, until),
                state,
                method="DOP853",
                rtol=max(tolerance, 1e-13),
                atol=1e-16,
                t_eval=np.append(inside, until),
            )
            assert solved.success
            found[at : at + inside.size] = solved.y.T[:-1]
            at, state, now = at + inside.size, solved.y[:, -1].copy(), until

    while taken < order.size and events.time[order[taken], patient] <= time[-1]:
        event = order[taken]
        go(float(events.time[event, patient]))
        kind, target, value = events.kind[event], events.target[event], events.value[event, patient]
        if value != 0.0:
            if kind == RESET:
                state, inflow = start.copy(), np.zeros_like(start)
            elif kind == JUMP:
                state[target] += value
            else:
                inflow[events.port_compartment[target]] += value if kind == RATE_ON else -value
            first = min(first, now) if kind in (JUMP, RATE_ON) else first
        taken += 1
    go(float(time[-1]))
    found[at:] = state
    return found
