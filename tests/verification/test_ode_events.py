"""Events at awkward times, stiffness, statuses, and bits that depend on nobody else."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from numpy.typing import NDArray
from ode_models import MODELS, Model, events_of, michaelis_menten, rates_of, spread, turnover

from pkmodel import exact, odes
from pkmodel.core.kinds import JUMP, N_STATS, RATE_OFF, RATE_ON, RESET, Events
from pkmodel.errors import RunError
from pkmodel.stiffness import Block
from pkmodel.system import System
from pkmodel.tape import NOWHERE, Flow, tape_of
from pkmodel.terms import Terms

Floats = NDArray[np.float64]
METHODS = ("stiff", "explicit")


def linear(size: int = 3) -> System:
    """A depot, a centre and a periphery."""
    flows = {
        (0, 1): spread(size, 1.2, 1),
        (1, 2): spread(size, 0.7, 2),
        (2, 1): spread(size, 0.3, 3),
        (1, -1): spread(size, 0.5, 4),
    }
    return System(rates_of(size, 3, flows))


def by_both(system: System, events: Events, time: Floats, method: str, tolerance: float) -> tuple[Floats, Floats]:
    """States (n, s, t) by the solver and by the propagator."""
    size, states, _ = system.rates.shape
    observed, scale = np.arange(states), np.ones((states, size))
    found, expected = np.empty((2, size, states, time.size))
    odes.levels(system, events, time, observed, scale, None, found, method, tolerance)
    exact.levels(system, events, time, observed, scale, None, expected)
    return found, expected


def assert_close(found: Floats, expected: Floats, tolerance: float) -> None:
    """Within ten times the tolerance, in the norm of the package."""
    largest = np.abs(expected).max(axis=-1, keepdims=True)
    floor = np.maximum(1e-9 * largest, 1e-300)
    assert (np.abs(found - expected) / np.maximum(np.abs(expected), floor)).max() < 10 * tolerance


AWKWARD = {
    "on an observation": [(4.0, JUMP, 0, 10.0), (6.0, RATE_ON, 1, 3.0), (8.0, RATE_OFF, 1, 3.0)],
    "two at once": [(4.0, JUMP, 0, 10.0), (4.0, JUMP, 1, 5.0), (4.0, RATE_ON, 1, 3.0), (7.3, RATE_OFF, 1, 3.0)],
    "before the first observation": [(-3.7, JUMP, 0, 10.0), (-1.0, RATE_ON, 1, 2.0), (1.5, RATE_OFF, 1, 2.0)],
    "after the last observation": [(2.0, JUMP, 0, 10.0), (90.0, JUMP, 0, 10.0)],
    "an instant apart": [(4.0, JUMP, 0, 10.0), (np.nextafter(4.0, 5.0), JUMP, 0, 10.0), (4.0 + 1e-12, JUMP, 1, 1.0)],
    "overlapping infusions": [
        (1.0, RATE_ON, 1, 3.0),
        (2.0, RATE_ON, 1, 4.0),
        (3.0, RATE_OFF, 1, 3.0),
        (5.0, RATE_OFF, 1, 4.0),
        (5.0, RATE_ON, 0, 1.0),
        (6.0, RATE_OFF, 0, 1.0),
    ],
    "an infusion that never ends": [(1.0, RATE_ON, 1, 3.0)],
    "an infusion of a moment": [(1.0, RATE_ON, 1, 3e6), (1.0 + 1e-6, RATE_OFF, 1, 3e6)],
    "a reset while pouring": [(1.0, RATE_ON, 1, 3.0), (2.0, JUMP, 0, 4.0), (3.0, RESET, 0, 1.0), (5.0, JUMP, 0, 1.0)],
    "a reset at a dose": [(1.0, JUMP, 0, 3.0), (4.0, JUMP, 0, 9.0), (4.0, RESET, 0, 1.0), (4.0, JUMP, 1, 2.0)],
    "nothing at all": [],
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", list(AWKWARD))
def test_awkward_times(name: str, method: str) -> None:
    """Against the propagator, which takes the same events."""
    system = linear()
    events = events_of(3, AWKWARD[name])
    time = np.array([0.0, 0.5, 2.0, 4.0, 4.0 + 1e-4, 5.0, 6.0, 8.0, 8.0, 24.0])
    if events.time.size:
        found, expected = by_both(system, events, time, method, 1e-8)
        assert_close(found, expected, 1e-8)
    else:
        found = np.empty((3, 3, time.size))
        odes.levels(system, events, time, np.arange(3), np.ones((3, 3)), None, found, method, 1e-8)
        assert (found == 0.0).all()


def test_a_level_at_an_event_is_the_one_after_it() -> None:
    """Bit for bit the level before plus the dose, and observation times change nothing."""
    system, events = linear(1), events_of(1, [(0.0, JUMP, 1, 10.0), (5.0, JUMP, 1, 3.0)])
    found = np.empty((1, 1, 2))
    odes.levels(
        system, events, np.array([5.0 - 1e-13, 5.0]), np.array([1]), np.ones((1, 1)), None, found, "stiff", 1e-9
    )
    assert found[0, 0, 1] == pytest.approx(found[0, 0, 0] + 3.0, rel=1e-12)
    few, many = np.array([3.0, 9.0]), np.unique(np.concatenate([np.linspace(0.0, 9.0, 1001), [3.0, 9.0]]))
    sparse, dense = np.empty((1, 3, 2)), np.empty((1, 3, many.size))
    for time, out in ((few, sparse), (many, dense)):
        odes.levels(system, events, time, np.arange(3), np.ones((3, 1)), None, out, "stiff", 1e-9)
    assert (dense[:, :, np.searchsorted(many, few)] == sparse).all()


def course(size: int) -> Events:
    """Doses that differ from patient to patient, in time as well."""
    late = 0.31 * np.arange(size)
    return events_of(
        size,
        [
            (late, JUMP, 0, 5.0 + np.arange(size)),
            (8.0, RATE_ON, 0, 2.0),
            (9.0 + late, RATE_OFF, 0, 2.0),
            (24.0, JUMP, 0, 4.0),
        ],
    )


def solve(model: Model, events: Events, method: str) -> tuple[Floats, Floats]:
    """States (n, s, t), and figures (n, m, s, N_STATS) of a model."""
    states = model.system.rates.shape[1]
    time, boundary = np.linspace(0.0, 40.0, 83), np.array([0.0, 8.0, 30.0])[:, None]
    found, stats = np.empty((model.size, states, time.size)), np.empty((model.size, 2, states, N_STATS))
    observed, none = np.arange(states), np.empty((model.size, 2, states, 0))
    odes.levels(model.system, events, time, observed, np.ones((states, model.size)), None, found, method, 1e-7)
    thresholds = np.empty((states, 0, model.size))
    odes.figures(model.system, events, boundary, observed, thresholds, stats, none, none.copy(), method, 1e-7)
    return found, stats


def _only(events: Events, patients: list[int]) -> Events:
    return events._replace(
        time=np.ascontiguousarray(events.time[:, patients]),
        order=np.ascontiguousarray(events.order[:, patients]),
        value=np.ascontiguousarray(events.value[:, patients]),
    )


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", list(MODELS))
def test_the_same_bits_whoever_else_is_there(name: str, method: str) -> None:
    """Alone, in another order, in parts, in two threads: nothing changes in the last bit."""
    size = 19
    model, events = MODELS[name](size), course(size)
    whole = solve(model, events, method)
    orders = [[4], [18], list(range(size))[::-1], list(np.random.default_rng(1).permutation(size)), [3, 3, 3]]
    for patients in orders:
        part = solve(model.only(patients), _only(events, patients), method)
        assert all((a[patients] == b).all() for a, b in zip(whole, part, strict=True))
    halves: list[tuple[Floats, Floats]] = [whole, whole]

    def work(half: int) -> None:
        patients = list(range(half, size, 2))
        halves[half] = solve(model.only(patients), _only(events, patients), method)

    threads = [threading.Thread(target=work, args=(half,)) for half in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for half in range(2):
        assert all((a[half::2] == b).all() for a, b in zip(whole, halves[half], strict=True))


@pytest.mark.parametrize("method", METHODS)
def test_a_rate_of_zero_in_somebody_else_changes_nothing(method: str) -> None:
    """Which rates are zero decides on the machine code; a patient's is made for the patient alone."""
    model, events = michaelis_menten(5), course(5)
    none = model.system.rates.copy()
    for i, j, k in ((2, 1, 1), (1, 2, 2)):  # no way into the periphery in two of them
        none[[1, 3], i, j] = 0.0
        none[[1, 3], k, j] = 0.0 if k == j else none[[1, 3], k, j]
    none[[1, 3], 1, 1] = none[[1, 3], 2, 2] = 0.0
    mixed = Model(model.name, System(none, None, model.system.dynamics), model.slopes)
    whole = solve(mixed, events, method)
    for p in range(5):
        alone = solve(mixed.only([p]), _only(events, [p]), method)
        assert all((a[[p]] == b).all() for a, b in zip(whole, alone, strict=True))


@pytest.mark.parametrize("tolerance", [1e-4, 1e-6, 1e-8])
def test_a_fast_effect_site_costs_few_steps(tolerance: float) -> None:
    """A half-life of 11 s over four weeks of two doses a week takes at most five times the steps of the run without."""
    size = 4
    slow = rates_of(
        size,
        4,
        {(0, 1): spread(size, 2.5, 1), (1, -1): 4.0, (1, 2): 5.0, (2, 1): 1.4, (1, 3): 2.0, (3, 1): 0.27},
    )
    fast = np.zeros((size, 5, 5))
    fast[:, :4, :4] = slow
    ke0 = np.log(2.0) / (11.0 / 3600.0)
    fast[:, 4, 1], fast[:, 4, 4] = ke0 / 20.0, -ke0
    rows = [(24.0 * day, JUMP, 0, 50.0) for day in (0, 3, 7, 10, 14, 17, 21, 24)]
    events, time = events_of(size, rows), np.linspace(0.0, 28 * 24.0, 500)
    steps = []
    for rates in (slow, fast):
        system, states = System(rates), rates.shape[1]
        observed, scale = np.arange(1, states), np.ones((states - 1, size))
        found, expected = np.empty((2, size, states - 1, time.size))
        report = odes.levels(system, events, time, observed, scale, None, found, "auto", tolerance)
        exact.levels(system, events, time, observed, scale, None, expected)
        assert_close(found, expected, tolerance)
        assert (report.method == "stiff").all()
        steps.append(report.steps)
    assert (steps[1] < 2 * steps[0]).all()  # 1.3 times, really


def test_the_choice_of_a_method() -> None:
    """Explicit where nothing is stiff and the tolerance tight; stiff for a fast effect site; as the caller says."""
    events = events_of(3, [(0.0, JUMP, 0, 10.0)])
    slow = linear()
    assert set(odes.methods(slow, events, 48.0, "auto", 1e-10)) == {"explicit"}
    assert set(odes.methods(slow, events, 24 * 365.0, "auto", 1e-5)) == {"stiff"}
    fast = slow.rates.copy()
    fast[1] *= 1e3
    assert odes.methods(System(fast), events, 48.0, "auto", 1e-10).tolist() == ["explicit", "stiff", "explicit"]
    assert set(odes.methods(System(fast), events, 48.0, "explicit", 1e-8)) == {"explicit"}


def test_a_patient_who_turns_out_stiff_gets_the_stiff_method(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the explicit method gives up on is integrated again, for that patient alone."""
    rates = linear().rates.copy()
    rates[1] *= 300.0
    system, events = System(rates), events_of(3, [(0.0, JUMP, 0, 10.0)])
    time, observed, scale = np.linspace(0.0, 50.0, 11), np.arange(3), np.ones((3, 3))
    given = (system, events, time, observed, scale, None)
    by_stiff, by_explicit, found = np.empty((3, 3, 3, 11))
    stiff = odes.levels(*given, by_stiff, "stiff", 1e-6)
    explicit = odes.levels(*given, by_explicit, "explicit", 1e-6)
    assert explicit.steps[1] > 2000 > 3 * max(*stiff.steps, *explicit.steps[[0, 2]])
    # It looks as if nothing ever happened in anybody, and nobody may take many steps.
    monkeypatch.setattr(Block, "fastest", lambda block: np.full(3, 1e-6))
    monkeypatch.setattr(odes, "MOST_STEPS", 1000)
    report = odes.levels(*given, found, "auto", 1e-6)
    assert report.method.tolist() == ["explicit", "stiff", "explicit"]
    assert (found[1] == by_stiff[1]).all() and (found[[0, 2]] == by_explicit[[0, 2]]).all()
    with pytest.raises(RunError):
        odes.levels(*given, found, "explicit", 1e-6)


def refused(model: System, events: Events) -> str:
    """What is said of a system that cannot be integrated."""
    states = model.rates.shape[1]
    found = np.empty((model.rates.shape[0], states, 2))
    time, scale = np.array([0.0, 10.0]), np.ones((states, model.rates.shape[0]))
    with pytest.raises(RunError) as caught:
        odes.levels(model, events, time, np.arange(states), scale, None, found, "auto", 1e-8)
    return str(caught.value)


def _single(build: str) -> System:
    """Systems of two patients that no method can integrate; the second patient is harmless."""
    terms = Terms(2)
    y = terms.state(0)
    if build == "explodes":  # y' = k y**2: infinite at 1 / (k y)
        value = terms.mul(terms.value("k", np.array([1.0, 1e-9])), terms.mul(y, y))
    else:  # the logarithm of what falls below 0
        value = terms.log(terms.sub(y, terms.value("k", np.array([2.0, -1.0]))))
    return System(np.zeros((2, 1, 1)), np.array([[1.0], [1.0]]), tape_of(terms, [Flow(value, NOWHERE, 0)], 1))


def test_statuses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has a sentence with the patient, the time, the reason and a remedy; nothing comes back as NaN in silence."""
    nothing = events_of(2, [(0.0, JUMP, 0, 0.0)])
    exploded = refused(_single("explodes"), nothing)
    assert "patient 1 of 2 " in exploded and "at 1 h" in exploded and "grows without bound" in exploded
    undefined = refused(_single("undefined"), nothing)
    assert "patient 1 of 2 " in undefined and "not a finite number" in undefined and "logarithm" in undefined
    monkeypatch.setattr(odes, "MOST_STEPS", 5)
    model = turnover(2)
    many = refused(model.system, events_of(2, [(0.0, JUMP, 0, 10.0)]))
    assert "and 1 more" in many and "took 5 steps" in many and "tolerance" in many


def test_who_can_be_integrated_has_levels_beside_one_who_cannot() -> None:
    """The kernel goes on with the others, and what was not reached is NaN (never seen outside: the run is refused)."""
    system = _single("explodes")
    found = np.zeros((2, 1, 3))
    with pytest.raises(RunError):
        odes.levels(
            system,
            events_of(2, [(0.0, JUMP, 0, 0.0)]),
            np.array([0.0, 0.5, 5.0]),
            np.arange(1),
            np.ones((1, 2)),
            None,
            found,
            "stiff",
            1e-8,
        )
    assert found[0, 0, 1] == pytest.approx(2.0, rel=1e-6) and np.isnan(found[0, 0, 2])
    assert np.allclose(found[1], 1.0)
