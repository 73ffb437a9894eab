"""Order of convergence in steps of a fixed length, at the steps and between them, against exact solutions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import mpmath
import numpy as np
import pytest
from numpy.typing import NDArray
from ode_models import events_of
from scipy.linalg import expm

from pkmodel.core import machine
from pkmodel.core.arrivals import patients_for
from pkmodel.core.kinds import JUMP
from pkmodel.core.method import Method
from pkmodel.core.ode import Control, integrate
from pkmodel.system import System
from pkmodel.tape import NOWHERE, Dynamics, Flow, tape_of
from pkmodel.terms import Terms

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Problem:
    """A system of one patient, its exact states (t, s) at times from 0 to ``end`` h, and what is observed."""

    system: System
    exact: Callable[[Floats], Floats]
    end: float
    observed: tuple[int, ...]


def _system(terms: Terms, flows: list[Flow], rates: Floats, initial: list[float]) -> System:
    return System(rates[None], np.array([initial]), tape_of(terms, flows, len(initial)))


def saturable() -> Problem:
    """y' = -V y / (K + y), solved by Lambert's W function; with 40 digits."""
    vmax, half, start = 1.5, 2.0, 3.0
    terms = Terms(1)
    quotient = terms.saturation(terms.state(0), terms.constant(half))
    flow = Flow(terms.mul(terms.constant(vmax), quotient), 0, NOWHERE)

    def exact(time: Floats) -> Floats:
        with mpmath.workdps(40):
            values = [
                half * mpmath.lambertw(start / half * mpmath.exp((start - vmax * mpmath.mpf(float(t))) / half))
                for t in time
            ]
        return np.array([[float(value)] for value in values])

    return Problem(_system(terms, [flow], np.zeros((1, 1)), [start]), exact, 4.0, (0,))


def clearance_that_changes() -> Problem:
    """y' = -(a + b exp(-g t)) y."""
    a, b, g, start = 0.4, 1.1, 0.8, 3.0
    terms = Terms(1)
    fading = terms.exp(terms.mul(terms.constant(-g), terms.time()))
    rate = terms.add(terms.constant(a), terms.mul(terms.constant(b), fading))
    flow = Flow(terms.mul(rate, terms.state(0)), 0, NOWHERE)

    def exact(time: Floats) -> Floats:
        return start * np.exp(-a * time - b * (1.0 - np.exp(-g * time)) / g)[:, None]

    return Problem(_system(terms, [flow], np.zeros((1, 1)), [start]), exact, 4.0, (0,))


def swinging(fast: float = 0.0) -> Problem:
    """A swing that a production which fades with time pushes; beside it, where ``fast`` is above 0, a state so fast
    that every step is long."""
    g = 0.1
    rates = np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, -fast]])
    terms = Terms(1)
    flow = Flow(terms.exp(terms.mul(terms.constant(-g), terms.time())), NOWHERE, 0)
    whole = np.array([[0.0, 1.0, 1.0], [-1.0, 0.0, 0.0], [0.0, 0.0, -g]])

    def exact(time: Floats) -> Floats:
        return np.array([expm(whole * t) @ [1.0, 0.0, 1.0] for t in time])[:, :2]

    return Problem(_system(terms, [flow], rates, [1.0, 0.0, 0.0]), exact, 20.0, (0, 1))


def _largest_error(problem: Problem, method: Method, steps: int, part: float) -> float:
    """The largest error at a part of every step (0: at its start), and that all steps had the same length."""
    system, h = problem.system, problem.end / steps
    states = system.rates.shape[1]
    dynamics = system.dynamics
    assert dynamics is not None and system.initial is not None
    # A dose of next to nothing, so that the clock of the model starts.
    events = events_of(1, [(0.0, JUMP, 0, 1e-300)])
    observed = np.array(problem.observed)
    time = np.append((np.arange(steps) + part) * h, problem.end)
    found = np.empty((1, observed.size, time.size))
    made = machine.machine_for(system.rates[0] != 0.0, dynamics.tape, observed, events.port_compartment, method)
    given = patients_for(
        system.rates,
        made.equations.rate_entries,
        dynamics.parameters,
        system.initial,
        np.full((1, states), 1e-9),
        events.port_compartment,
    )
    queue = np.zeros(1, dtype=np.int64)
    levels = (time, observed, np.ones((observed.size, 1)), found)
    outcome = integrate(made, Control(bound=1.0, fixed=h), given, queue, events, levels=levels)
    assert outcome.status[0] == 0 and abs(outcome.steps[0] - steps) <= 1
    return float(np.abs(found[0].T - problem.exact(time)).max())


def _order(problem: Problem, method: Method, steps: int, part: float) -> float:
    few, many = (_largest_error(problem, method, count, part) for count in (steps, 2 * steps))
    return float(np.log2(few / many))


@pytest.mark.parametrize("part", [0.0, 0.37, 0.81])
@pytest.mark.parametrize(
    ("make", "method", "steps", "nominal"),
    [
        (saturable, machine.STIFF, 32, 5),
        (clearance_that_changes, machine.STIFF, 256, 5),
        (swinging, machine.EXPLICIT, 48, 8),
    ],
)
def test_order(make: Callable[[], Problem], method: Method, steps: int, nominal: int, part: float) -> None:
    """The error falls with the nominal power of the step, at the steps and, by the polynomials, between them."""
    assert abs(_order(make(), method, steps, part) - nominal) < 0.1


def test_order_of_the_quartic() -> None:
    """In long steps the stiff method's own polynomial is of order 4: its error falls with the fifth power."""
    assert abs(_order(swinging(fast=1e5), machine.STIFF, 128, 0.81) - 5) < 0.1


def test_a_system_that_a_polynomial_solves_is_integrated_exactly() -> None:
    """y' = 1 has the same solution in every method: errors are those of rounding."""
    terms = Terms(1)
    system = System(np.zeros((1, 1, 1)), np.array([[2.0]]), tape_of(terms, [Flow(terms.one, NOWHERE, 0)], 1))
    problem = Problem(system, lambda time: 2.0 + time[:, None], 4.0, (0,))
    for method in (machine.STIFF, machine.EXPLICIT):
        assert _largest_error(problem, method, 4, 0.3) < 1e-13


def test_a_linear_system_has_no_tape() -> None:
    """Without dynamic terms a fixed step works as well."""
    none = np.empty(0, dtype=np.int64)
    tape = tape_of(Terms(1), [], 2)
    assert tape.tape.op.size == 0 and tape.tape.flow_register.tolist() == none.tolist()
    rates = np.array([[[-1.0, 0.5], [1.0, -0.5]]])
    problem = Problem(
        System(rates, np.array([[1.0, 0.0]]), Dynamics(tape.tape, tape.parameters)),
        lambda time: np.array([expm(rates[0] * t) @ [1.0, 0.0] for t in time]),
        4.0,
        (0, 1),
    )
    assert _largest_error(problem, machine.EXPLICIT, 32, 0.5) < 1e-11
