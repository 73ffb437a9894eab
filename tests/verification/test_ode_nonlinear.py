"""Non-linear and time-varying systems against scipy, whose right side is a formula of its own."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from ode_models import MODELS, Model, events_of, reference

from pkmodel import odes
from pkmodel.core.kinds import JUMP, N_STATS, PEAK, RATE_OFF, RATE_ON, RESET, TIME_OF_PEAK, Events

Floats = NDArray[np.float64]
METHODS = ("stiff", "explicit")


def doses(size: int) -> Events:
    """Two jumps and an infusion, at times of their own for every patient, a reset for some, and doses again."""
    late = 0.25 * np.arange(size)
    some = (np.arange(size) % 2).astype(float)
    return events_of(
        size,
        [
            (2.0 + late, JUMP, 0, 10.0 + np.arange(size)),
            (6.0 + late, RATE_ON, 0, 4.0),
            (7.5 + late, RATE_OFF, 0, 4.0),
            (20.0, RESET, 0, some),
            (21.0, JUMP, 0, 5.0),
            (21.0, RATE_ON, 1, 2.0),
            (23.0 + late, RATE_OFF, 1, 2.0),
        ],
    )


TIMES = np.concatenate([np.linspace(0.0, 30.0, 151), 2.0 + np.array([1e-4, 1e-3, 1e-2])])
TIMES.sort()


def solve(model: Model, events: Events, time: Floats, method: str, tolerance: float) -> Floats:
    """States (n, t, s)."""
    states = np.arange(model.system.rates.shape[1])
    found = np.empty((model.size, states.size, time.size))
    scale = np.ones((states.size, model.size))
    odes.levels(model.system, events, time, states, scale, None, found, method, tolerance)
    return found.transpose(0, 2, 1)


@pytest.fixture(scope="module", params=list(MODELS))
def case(request: pytest.FixtureRequest) -> tuple[Model, Events, Floats]:
    """A model of six patients, its events, and the states (n, t, s) by scipy."""
    model = MODELS[request.param]()
    events = doses(model.size)
    return model, events, np.array([reference(model, p, events, TIMES) for p in range(model.size)])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("tolerance", [1e-4, 1e-7, 1e-10])
def test_levels(case: tuple[Model, Events, Floats], method: str, tolerance: float) -> None:
    """Every state at every time, in the norm of the package; scipy itself is good to about 1e-12."""
    model, events, expected = case
    found = solve(model, events, TIMES, method, tolerance)
    largest = np.abs(expected).max(axis=1, keepdims=True)
    error = np.abs(found - expected) / np.maximum(np.abs(expected), 1e-9 * largest)
    # The sigmoid raises an empty effect site to the power 3.3: its fourth derivative is infinite there, and a method of
    # high order loses some of it in the first step.
    room = 30 if model.name == "feedback" else 10
    assert error.max() < room * tolerance


@pytest.mark.parametrize("method", METHODS)
def test_peaks_and_areas(case: tuple[Model, Events, Floats], method: str) -> None:
    """Figures of every state between boundaries, against a fine grid and an integral of the reference."""
    model, events, _ = case
    states = np.arange(model.system.rates.shape[1])
    boundary = np.array([0.0, 2.0, 20.0, 30.0])[:, None]
    shape = (model.size, 3, states.size)
    stats, above, first = np.empty((*shape, N_STATS)), np.empty((*shape, 0)), np.empty((*shape, 0))
    thresholds = np.empty((states.size, 0, model.size))
    odes.figures(model.system, events, boundary, states, thresholds, stats, above, first, method, 1e-9)
    for p in (0, 3):
        fine = np.linspace(2.0, 20.0, 3601)
        known = reference(model, p, events, fine[:-1], 1e-12)
        peaks = stats[p, 1, :, PEAK]
        assert (peaks >= known.max(axis=0) * (1 - 1e-8)).all()
        assert np.allclose(peaks, known.max(axis=0), rtol=1e-3)
        # The level at the time of the peak is the peak.
        for i in states:
            when = stats[p, 1, i, TIME_OF_PEAK]
            level = reference(model, p, events, np.array([0.0, when]), 1e-12)[-1, i]
            assert level == pytest.approx(peaks[i], rel=1e-8)


def test_time_varying_clearance_counts_from_the_first_dose() -> None:
    """The clock of a model starts with the first dose that is not 0: later doses and waiting shift everything alike."""
    model = MODELS["induction"]()
    time = np.linspace(0.0, 20.0, 41)
    plain = events_of(model.size, [(0.0, JUMP, 0, 10.0), (8.0, JUMP, 0, 3.0)])
    found = solve(model, plain, time, "stiff", 1e-9)
    # An empty dose, an empty infusion and a reset of nobody come first.
    rows = [(5.0, JUMP, 0, 0.0), (6.0, RATE_ON, 0, 0.0), (6.5, RATE_OFF, 0, 0.0), (7.0, RESET, 0, 0.0)]
    later = events_of(model.size, [*rows, (50.0, JUMP, 0, 10.0), (58.0, JUMP, 0, 3.0)])
    shifted = solve(model, later, time + 50.0, "stiff", 1e-9)
    assert np.allclose(shifted, found, rtol=1e-8, atol=1e-9)
    # And the clock is there: without it the levels differ by far more.
    other = events_of(model.size, [(0.0, JUMP, 1, 1e-9), (50.0, JUMP, 0, 10.0), (58.0, JUMP, 0, 3.0)])
    assert not np.allclose(solve(model, other, time + 50.0, "stiff", 1e-9), found, rtol=1e-2)
