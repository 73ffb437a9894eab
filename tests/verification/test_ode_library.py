"""The ODE engine where the propagator is exact: the linear models of the library, and degenerate and stiff rates."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from ode_models import events_of, rates_of

import pkmodel as pk
from pkmodel import exact, odes
from pkmodel.core.kinds import JUMP, N_STATS, PEAK, RATE_OFF, RATE_ON, Events
from pkmodel.engine import Numerics
from pkmodel.system import System

Floats = NDArray[np.float64]

PATIENT = pk.Patient(weight="82 kg", age="51 y", sex="female", height="165 cm", ancestry="other")
COURSES = [
    ("iv_six_and_maintenance", "ketamine_clements1981"),
    ("iv_taper_dose_and_interval", "ketamine_domino1984"),
    ("esketamine_iv_single", "esketamine_otto2021"),
    ("esketamine_nasal_induction", "esketamine_perezruixo2021"),
]


def worst(found: Floats, expected: Floats, largest: Floats) -> float:
    """The largest error, relative to the level or to 1e-9 of the largest of its state (axis 2)."""
    floor = np.maximum(1e-9 * largest, 1e-300)
    return float((np.abs(found - expected) / np.maximum(np.abs(expected), floor)).max())


@pytest.mark.parametrize("method", ["auto", "stiff", "explicit"])
@pytest.mark.parametrize(("protocol", "model"), COURSES)
def test_library(protocol: str, model: str, method: str) -> None:
    """Every compartment of a whole course, at tolerances from 1e-4 to 1e-10."""
    by_propagator = pk.simulate(protocol, model, PATIENT, every="17 min").amounts
    largest = by_propagator.max(axis=1, keepdims=True)
    for tolerance in (1e-4, 1e-6, 1e-8, 1e-10):
        numerics = Numerics(engine="ode", method=method, tolerance=tolerance)  # type: ignore[arg-type]
        by_ode = pk.simulate(protocol, model, PATIENT, every="17 min", numerics=numerics).amounts
        assert worst(by_ode, by_propagator, largest) < 10 * tolerance


#: Flows of three compartments and a depot: (centre out, to 1, back, to 2, back, absorption), 1/h.
AWKWARD = {
    "k21 = k31": (0.4, 0.5, 0.3, 0.7, 0.3, 1.1),
    "ka = k10": (0.8, 0.5, 0.3, 0.7, 0.1, 0.8),
    "all the same": (0.5, 0.5, 0.5, 0.5, 0.5, 0.5),
    "no way to one periphery": (0.4, 0.0, 0.0, 0.7, 0.3, 1.1),
    "no elimination": (0.0, 0.5, 0.3, 0.7, 0.3, 1.1),
    "nothing flows": (0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
    "30,000 between rates": (0.4, 300.0, 90.0, 0.01, 0.01, 1.1),
    "a very fast depot": (0.4, 0.5, 0.3, 0.7, 0.3, 1e4),
    "a very slow depot": (3.0, 0.5, 0.3, 0.7, 0.3, 1e-4),
}


def system_of(name: str) -> tuple[System, Events]:
    """One patient with a dose into the depot, one into the centre and an infusion."""
    out, k12, k21, k13, k31, ka = AWKWARD[name]
    flows = {(0, -1): out, (0, 1): k12, (1, 0): k21, (0, 2): k13, (2, 0): k31, (3, 0): ka}
    rows = [(0.0, JUMP, 3, 10.0), (12.0, JUMP, 0, 5.0), (24.0, RATE_ON, 0, 2.0), (24.7, RATE_OFF, 0, 2.0)]
    return System(rates_of(1, 4, flows)), events_of(1, rows)


#: What the stiff method is for: the explicit one would take 100,000 steps.
FAST = ("a very fast depot", "30,000 between rates")
CASES = [
    (name, method) for name in AWKWARD for method in ("stiff", "explicit") if (name not in FAST) or method == "stiff"
]


@pytest.mark.parametrize(("name", "method"), CASES)
def test_degenerate_and_stiff_rates(name: str, method: str) -> None:
    """Equal, vanishing and far apart: levels and peaks against the propagator."""
    system, events = system_of(name)
    time, observed, scale = np.linspace(0.0, 72.0, 500), np.arange(4), np.ones((4, 1))
    for tolerance in (1e-5, 1e-9):
        found, expected = np.empty((2, 1, 4, time.size))
        odes.levels(system, events, time, observed, scale, None, found, method, tolerance)
        exact.levels(system, events, time, observed, scale, None, expected)
        assert worst(found, expected, np.abs(expected).max(axis=2, keepdims=True)) < 10 * tolerance
        boundary, thresholds = np.array([[0.0], [24.0], [72.0]]), np.empty((4, 0, 1))
        by_ode, by_exact = ([np.empty((1, 2, 4, last)) for last in (N_STATS, 0, 0)] for _ in range(2))
        odes.figures(system, events, boundary, observed, thresholds, *by_ode, method, tolerance)
        exact.figures(system, events, boundary, observed, thresholds, *by_exact)
        assert np.allclose(by_ode[0][..., PEAK], by_exact[0][..., PEAK], rtol=10 * tolerance, atol=1e-12)


def test_auto_takes_the_stiff_method_where_rates_are_far_apart() -> None:
    """Nobody has to know."""
    for name in FAST:
        assert odes.methods(*system_of(name), 72.0, "auto", 1e-8).tolist() == ["stiff"]
