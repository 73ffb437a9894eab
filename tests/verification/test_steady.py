"""Steady states of any network against 60 digits: slow eliminations, long infusions, effect sites, and nothing else.

The oracle adds up the doses that are still running one by one and closes the sum of all earlier ones with a linear
solve in 60 digits, where nothing that cancels matters.
"""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
from numpy.typing import NDArray

from pkmodel.core import steady

Floats = NDArray[np.float64]

#: Positive sums and products only: a rounding each, some dozens of them in a row. DESIGN asks for 1e-11.
TOLERANCE = 1e-13


class Exact:
    """One system in 60 digits; the last state is the input, which stays at 1."""

    def __init__(self, rates: Floats, loss: Floats, mass: int, into: int):
        self.size, self.into = len(loss), into
        self.free = mpmath.zeros(self.size + 1, self.size + 1)
        for j in range(self.size):
            leaving = mpmath.mpf(loss[j])
            for i in range(self.size):
                if i != j:
                    self.free[i, j] = mpmath.mpf(rates[i, j])
                    leaving += self.free[i, j] if i < mass and j < mass else 0
            self.free[j, j] = -leaving

    def after_one(self, amount: float, duration: float, hours: mpmath.mpf) -> mpmath.matrix:
        """The state ``hours`` after one dose, at once or over ``duration``."""
        state = mpmath.zeros(self.size + 1, 1)
        if duration == 0.0:
            state[self.into] = mpmath.mpf(amount)
            return mpmath.expm(self.free * hours) * state
        state[self.size] = mpmath.mpf(1)
        poured = self.free.copy()
        poured[self.into, self.size] = mpmath.mpf(amount) / mpmath.mpf(duration)
        during = min(hours, mpmath.mpf(duration))
        state = mpmath.expm(poured * during) * state
        return mpmath.expm(self.free * (hours - during)) * state

    def repeated(self, amount: float, duration: float, interval: float, phase: float) -> Floats:
        """The state ``phase`` h after a dose that was repeated for ever."""
        total, hours = mpmath.zeros(self.size + 1, 1), mpmath.mpf(phase)
        while hours < duration:
            total += self.after_one(amount, duration, hours)
            hours += mpmath.mpf(interval)
        kept = mpmath.expm(self.free * mpmath.mpf(interval))
        ended = self.after_one(amount, duration, hours)
        ended[self.size] = mpmath.mpf(0)
        reached = [i for i in range(self.size) if kept[i, self.into] != 0]
        part = mpmath.matrix([[(i == j) - kept[i, j] for j in reached] for i in reached])
        solved = mpmath.lu_solve(part, mpmath.matrix([ended[i] for i in reached]))
        for place, i in enumerate(reached):
            total[i] += solved[place]
        return np.array([float(total[i]) for i in range(self.size)])


def _networks(count: int) -> list[tuple[Floats, Floats, int]]:
    """Random networks of one to five compartments, rates over six decades, one way out that may be as slow as 1e-9."""
    random = np.random.default_rng(20261123)
    found: list[tuple[Floats, Floats, int]] = []
    while len(found) < count:
        size = int(random.integers(1, 6))
        rates = 10.0 ** random.uniform(-4, 2.5, (size, size)) * (random.random((size, size)) < 0.6)
        np.fill_diagonal(rates, 0.0)
        loss = np.zeros(size)
        loss[random.integers(size)] = 10.0 ** random.uniform(-9, 1)
        into = int(random.integers(size))
        if steady.trapped(rates[None], loss[None], np.array([into]))[0] < 0:
            found.append((rates, loss, into))
    return found


def _error(found: Floats, expected: Floats) -> float:
    return float((np.abs(found - expected) / np.maximum(expected, 1e-9 * expected.max())).max())


@pytest.mark.parametrize("number", range(12))
def test_any_network(number: int) -> None:
    """At once, and over 0.3, 1, 2 and 3.7 intervals; right after a dose and later in the interval; all in one call."""
    rates, loss, into = _networks(12)[number]
    interval = 10.0 ** np.random.default_rng(number).uniform(-1, 2.3)
    cases = [(part * interval, phase * interval) for part in (0.0, 0.3, 1.0, 2.0, 3.7) for phase in (0.0, 0.3, 0.99)]
    many, one = len(cases), np.ones(len(cases))
    duration, phase = (np.array(column) for column in zip(*cases, strict=True))
    found = steady.repeated(
        np.tile(rates, (many, 1, 1)),
        np.tile(loss, (many, 1)),
        np.full(many, into),
        100.0 * one,
        duration,
        interval * one,
        phase,
        len(loss),
    )
    with mpmath.workdps(60):
        exact = Exact(rates, loss, len(loss), into)
        for case, (hours, later) in enumerate(cases):
            assert _error(found[case], exact.repeated(100.0, hours, interval, later)) <= TOLERANCE, cases[case]


@pytest.mark.parametrize("duration", [0.0, 30.0])
def test_effect_sites_follow(duration: float) -> None:
    """Two sites with half-lives of 11 s and of 4 days, fed by the central compartment, which loses nothing to them."""
    rates = np.array(
        [[0.0, 0.2, 0.0, 0.0], [0.5, 0.0, 0.0, 0.0], [8.0, 0.0, 0.0, 0.0], [1e-3, 0.0, 0.0, 0.0]]  # into 2 and 3 from 0
    )
    loss = np.array([0.3, 0.0, 227.0, 0.0072])
    arguments = (rates[None], loss[None], np.array([0]), np.array([50.0]), np.array([duration]))
    found = steady.repeated(*arguments, np.array([24.0]), np.array([5.0]), 2)
    with mpmath.workdps(60):
        exact = Exact(rates, loss, 2, 0)
        assert _error(found[0], exact.repeated(50.0, duration, 24.0, 5.0)) <= TOLERANCE
    endless = steady.constant(rates[None], loss[None], np.array([0]), np.array([6.0]), 2)[0]
    np.testing.assert_allclose(endless, [20.0, 50.0, 160.0 / 227.0, 0.02 / 0.0072], rtol=1e-15)


def test_a_case_does_not_depend_on_its_company() -> None:
    """The same bits alone and beside faster and slower systems."""
    networks = [each for each in _networks(40) if len(each[1]) == 3][:6]
    rates, loss, into = (np.array(column) for column in zip(*networks, strict=True))
    one = np.ones(len(networks))
    doses = (100.0 * one, 3.0 * one, 8.0 * one, 5.0 * one)
    together = steady.repeated(rates, loss, into, *doses, 3)
    for case in range(len(networks)):
        alone = slice(case, case + 1)
        found = steady.repeated(rates[alone], loss[alone], into[alone], *(each[alone] for each in doses), 3)
        np.testing.assert_array_equal(found[0], together[case])


def test_what_is_trapped() -> None:
    """A chain 0 -> 1 -> 2 without a way out of 2; from 3, which only loses, nothing is trapped."""
    rates = np.zeros((1, 4, 4))
    rates[0, 1, 0] = rates[0, 2, 1] = 1.0
    loss = np.array([[0.0, 0.5, 0.0, 0.1]])
    assert [int(steady.trapped(rates, loss, np.array([into]))[0]) for into in range(4)] == [2, 2, 2, -1]
