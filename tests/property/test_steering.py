"""Rates by superposition, on any system of two compartments with an effect site: limits, overshoot, and sums."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.linalg import expm

from pkmodel.steering import FINE, Limits, Plateau, Responses, down, largest, plan

Floats = NDArray[np.float64]
STEP = 1 / 60
STEPS = 90


def _responses(cl: float, v: float, q: float, vp: float, ke0: float) -> Responses:
    """Exact responses of plasma and site (mg/L) to 1 mg/h and 1 mg, by matrix exponentials."""
    rates = np.array([[-(cl + q) / v, q / vp, 0], [q / v, -q / vp, 0], [ke0 / v, 0, -ke0]])
    size = (2 * STEPS + 60) * FINE
    whole = np.zeros((4, 4))
    whole[:3, :3], whole[0, 3] = rates, 1.0
    onward = expm(whole * STEP / FINE)
    held, given = np.zeros((size, 4)), np.zeros((size, 4))
    held[0, 3], given[0, 0] = 1.0, 1.0
    for index in range(1, size):
        held[index] = onward @ held[index - 1]
        given[index] = onward @ given[index - 1]
    return Responses(held[:, 0] / v, given[:, 0] / v, held[:, 2], given[:, 2])


systems = st.tuples(st.floats(5, 150), st.floats(5, 150), st.floats(5, 200), st.floats(20, 300), st.floats(2, 20))
pumps = st.builds(
    Limits,
    max_rate=st.floats(50, 5000),
    min_rate=st.just(1.0),
    rate_step=st.just(0.5),
    max_bolus=st.floats(1, 500),
    bolus_step=st.just(0.1),
)


@settings(max_examples=30)
@given(systems, pumps, st.floats(0.05, 0.5), st.booleans(), st.booleans())
def test_within_the_pump_and_never_above(
    numbers: tuple[float, ...], limits: Limits, level: float, boluses: bool, sited: bool
) -> None:
    """Every rate can be set, the level never passes the tolerance, and what is planned is the sum of its parts."""
    unit = _responses(*numbers)
    if not sited:
        unit = Responses(unit.step, unit.bolus)
    course = plan(unit, [Plateau(level, 0, STEPS)], limits, 0.05, boluses=boluses)
    plasma = np.zeros(course.points)
    for part in course.given:
        at = part.first * FINE
        if part.bolus:
            assert 0 < part.amount <= limits.max_bolus
            plasma[at:] += part.amount * unit.bolus[: course.points - at]
            continue
        assert part.amount == 0 or limits.min_rate <= part.amount <= limits.max_rate * (1 + 1e-9)
        assert abs(part.amount / 0.5 - round(part.amount / 0.5)) < 1e-6
        pulse = unit.step.copy()
        pulse[part.steps * FINE :] -= unit.step[: unit.step.size - part.steps * FINE]
        plasma[at:] += part.amount * pulse[: course.points - at]
    np.testing.assert_allclose(course.plasma, plasma, rtol=1e-9, atol=1e-12)
    held = course.aim[: STEPS * FINE + 1]
    assert held.max() <= level * 1.05 * (1 + 1e-9)
    assert [part.first for part in course.given] == sorted(part.first for part in course.given)


@settings(max_examples=30)
@given(systems, st.floats(0.05, 0.5), st.floats(0.1, 0.9))
def test_a_fast_pump_holds(numbers: tuple[float, ...], level: float, share: float) -> None:
    """With a pump that is fast and fine the plasma is held within the tolerance, also after a fall."""
    unit = _responses(*numbers)
    limits = Limits(1e6, 1e-6, 1e-6, 1e6, 1e-6)
    middle = STEPS // 2
    plateaus = [Plateau(level, 0, middle), Plateau(share * level, middle, STEPS)]
    course = plan(Responses(unit.step, unit.bolus), plateaus, limits, 0.05, boluses=True)
    first = course.plasma[: middle * FINE + 1]
    assert np.abs(first / level - 1).max() <= 0.05 * (1 + 1e-9)
    rest = course.plasma[middle * FINE : STEPS * FINE + 1] / (share * level)
    inside = np.flatnonzero(rest <= 1.05 * (1 + 1e-9))
    if inside.size:  # once it has fallen so far it stays
        assert np.abs(rest[inside[0] :] - 1).max() <= 0.05 * (1 + 1e-9)


@given(st.floats(0.1, 10), st.floats(0.01, 2))
def test_largest_touches_the_limit(limit: float, height: float) -> None:
    """The largest multiple leads exactly to the limit, and is 0 where the limit is passed already."""
    unit = height * np.exp(-np.linspace(0, 3, 50))
    ahead = 0.5 * limit * np.exp(-np.linspace(0, 1, 50))
    amount = largest(limit, ahead, unit)
    np.testing.assert_allclose((ahead + amount * unit).max(), limit, rtol=1e-9)
    assert largest(limit, ahead + 2 * limit, unit) == 0.0
    assert largest(limit, ahead, np.zeros(50)) == 0.0


def test_rounding_down_keeps_whole_steps() -> None:
    """A number that is whole but for the last bit stays."""
    assert down(0.3, 0.1) == 0.3
    assert down(0.29999, 0.1) == 0.2
    assert down(7.0, 0.5) == 7.0
