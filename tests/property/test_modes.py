"""Levels by modes against the general engine, and figures read off samples against numpy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pkmodel import engine
from pkmodel.core import modal
from pkmodel.core.kinds import Events
from pkmodel.engine import System
from pkmodel.schedule import EventList

Floats = NDArray[np.float64]

#: Modes closer than 2**-6 of each other are refused, so cancellation costs a factor of 2**12 at most; a level that has
#: fallen by exp(-40) has lost another 40 units in the last place.
TOLERANCE = 2.0**-52 * 2.0**12
TIME = np.concatenate([24.0 * day + 0.1 * np.arange(50) for day in range(3)] + [[100.0, 101.3]])


def stars(generator: np.random.Generator, size: int, compartments: int, spread: float) -> Floats:
    """Rates (n, c, c) of one to three compartments around the first, log-normal."""
    rates = np.zeros((size, compartments, compartments))
    rates[:, 0, 0] -= generator.lognormal(0, spread, size)
    for place in range(1, compartments):
        away, back = generator.lognormal(0, spread, (2, size))
        rates[:, place, 0] += away
        rates[:, 0, 0] -= away
        rates[:, 0, place] += back
        rates[:, place, place] -= back
    return rates


def course(generator: np.random.Generator, size: int) -> Events:
    """Overlapping infusions and boluses into the first compartment; some patients get none of a dose."""
    doses = EventList(size)
    for day in range(3):
        start, given = 24.0 * day, generator.random(size) > 0.2
        doses.infusion(start, 0.5, 0, generator.uniform(0, 2, size) * given)
        doses.infusion(start + 0.3, 1.05, 0, generator.uniform(0, 1, size))
        doses.bolus(start + 0.7, 0, generator.uniform(0, 1, size))
    return doses.events()


@pytest.mark.parametrize("compartments", [1, 2, 3])
@pytest.mark.parametrize("spread", [0.3, 2.0])
def test_modes_agree_with_the_general_engine(compartments: int, spread: float) -> None:
    """Both ways to a level agree, for patients of every kind; few are refused where rates are ordinary."""
    generator = np.random.default_rng(compartments)
    size = 203
    rates, events = stars(generator, size, compartments, spread), course(generator, size)
    scale = generator.uniform(1, 2, (1, size))
    observed = np.array([0])
    by_modes = engine.levels(System(rates=rates), events, TIME, observed, scale)[:, 0]
    general = engine.levels(System(rates=rates), events._replace(alike=False), TIME, observed, scale)[:, 0]
    floor = 1e-9 * general.max(axis=1, keepdims=True)
    error = np.abs(by_modes - general) / np.maximum(general, floor)
    assert error.max() <= TOLERANCE
    assert (by_modes != general).any()  # they are indeed two ways


@pytest.mark.parametrize("compartments", [1, 2, 3])
def test_figures_read_off_samples(compartments: int) -> None:
    """Highest sample, trapezoidal area of each stretch of the grid, and samples above, refused patients included."""
    generator = np.random.default_rng(compartments)
    size = 203
    rates, events = stars(generator, size, compartments, 1.0), course(generator, size)
    scale, limit = generator.uniform(1, 2, (1, size)), np.full(size, 0.5)
    levels = engine.levels(System(rates=rates), events, TIME, np.array([0]), scale)[:, 0]
    stretches = levels[:, :150].reshape(size, 3, 50)
    area = 0.1 * (stretches.sum(axis=2) - 0.5 * (stretches[..., 0] + stretches[..., -1])).sum(axis=1)
    found = engine.sampled_figures(System(rates=rates), events, TIME, 0, scale[0], limit)
    np.testing.assert_allclose(found[0], levels.max(axis=1), rtol=1e-13)
    np.testing.assert_allclose(found[1], area, rtol=1e-12)
    np.testing.assert_allclose(found[2], 0.1 * (levels > limit[:, None]).sum(axis=1), rtol=1e-12)


@given(st.lists(st.integers(0, 99), min_size=1, max_size=20), st.booleans())
def test_company_changes_nothing(chosen: list[int], alike: bool) -> None:
    """A patient's levels are the same bits alone, in any group, in any order."""
    generator = np.random.default_rng(7)
    rates, events = stars(generator, 100, 3, 1.5), course(generator, 100)._replace(alike=alike)
    scale, observed = generator.uniform(1, 2, (1, 100)), np.array([0])
    everybody = engine.levels(System(rates=rates), events, TIME, observed, scale)
    part = events._replace(value=np.ascontiguousarray(events.value[:, chosen]))
    some = engine.levels(System(rates=rates[chosen]), part, TIME, observed, scale[:, chosen])
    np.testing.assert_array_equal(some, everybody[chosen])


@pytest.mark.parametrize(
    ("rates", "why"),
    [
        ([[0.0]], "no elimination"),
        ([[-1.0, 1.0], [1.0, -1.0]], "no elimination"),
        ([[-1.0, 0.0], [0.0, 0.0]], "no exchange"),
        ([[-2.0, 1.0, 1.0], [0.5, -1.0, 0.0], [0.5, 0.0, -1.0]], "equal exchange rates"),
        ([[-1.0, 1e-12], [1e-12, -1e-12]], "modes too far apart"),
    ],
)
def test_patients_whose_modes_are_close_are_refused(rates: list[list[float]], why: str) -> None:
    """They are not written by modes, and come out right all the same."""
    matrix = np.array([rates])
    doses = EventList(1)
    doses.bolus(0.0, 0, np.array([100.0]))
    events, time, scale = doses.events(), np.array([0.0, 0.5, 3.0]), np.ones((1, 1))
    places = modal.places_of(matrix.shape[1], 0, events)
    assert places is not None
    out = np.full((1, 1, 3), -1.0)
    nothing = np.empty((0, 0, 0), dtype=np.uint32)
    refused = modal.levels(
        modal.STORE, places, matrix, events, time, *engine.grid_of(time), scale, np.zeros(1), out, nothing
    )
    assert refused.all(), why
    assert (out == -1.0).all()
    from scipy.linalg import expm

    found = engine.levels(System(rates=matrix), events, time, np.array([0]), scale)[0, 0]
    expected = [100.0 * expm(matrix[0] * moment)[0, 0] for moment in time]
    np.testing.assert_allclose(found, expected, rtol=1e-13)


def test_who_has_modes() -> None:
    """Doses outside of the centre: nobody. Drug that leaves from elsewhere, or peripherals that exchange: not they.

    The others of the block keep theirs, to the bit: a patient's way does not depend on company.
    """
    generator = np.random.default_rng(3)
    rates = stars(generator, 4, 3, 0.3)
    doses = EventList(4)
    doses.bolus(0.0, 0, np.ones(4))
    events, scale = doses.events(), np.ones((1, 4))
    assert modal.places_of(3, 1, events) is None
    mixed = rates.copy()
    mixed[1, 1, 1] -= 0.1
    mixed[2, 2, 1] += 0.1
    mixed[2, 1, 1] -= 0.1
    places, nothing = modal.places_of(3, 0, events), np.empty((0, 0, 0), dtype=np.uint32)
    assert places is not None
    for chosen, expected in ((rates, [False] * 4), (mixed, [False, True, True, False])):
        out = np.empty((4, 1, TIME.size))
        refused = modal.levels(
            modal.STORE, places, chosen, events, TIME, *engine.grid_of(TIME), scale, np.zeros(4), out, nothing
        )
        np.testing.assert_array_equal(refused, expected)
    found = engine.levels(System(rates=mixed), events, TIME, np.array([0]), scale)
    np.testing.assert_array_equal(found[[0, 3]], out[[0, 3]])
    from scipy.linalg import expm

    for patient in (1, 2):
        exact = [expm(mixed[patient] * moment)[0, 0] for moment in TIME[:50]]
        np.testing.assert_allclose(found[patient, 0, :50], exact, rtol=1e-12)
    doses.bolus(0.0, 2, np.ones(4))
    assert modal.places_of(3, 0, doses.events()) is None
