"""Accumulation, average, fluctuation and the time until a level stays below a threshold, against exact answers.

A dose at once into one compartment decays as C0 exp(-k t), so every figure has a formula; the propagator is exact to
some 1e-13 of the level, and 1e-9 leaves room for the logarithm of a small ratio.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pkmodel as pk
from pkmodel import effect_figures, metrics, network, population, schedule, treatment
from pkmodel.engine import AUTO, Numerics
from pkmodel.exact_figures import course_figures
from pkmodel.metrics import Figures, Request, Span
from pkmodel.population import Population
from pkmodel.specs.attach import attach
from pkmodel.specs.library import load_population
from pkmodel.specs.rule import Rule

EXACT = 1e-9
VOLUME, RATE = 20.0, 0.1  # L, 1/h
MODEL: dict[str, Any] = {
    "id": "one_compartment",
    "title": "One compartment",
    "drug": "ketamine",
    "source": "a test",
    "evidence": "assumed",
    "sampling": "venous",
    "population": {"description": "nobody"},
    "parameters": {"V": {"value": f"{VOLUME} L", "from": "a test"}, "CL": {"value": "2 L/h", "from": "a test"}},
    "compartments": ["central"],
    "flows": [{"from": "central", "to": "outside", "rate": "CL / V"}],
    "routes": {"iv": [{"into": "central"}], "intranasal": [{"into": "central"}]},
    "outputs": {"ketamine": {"amount": "central", "volume": "V", "unit": "mg/L"}},
}
WHO = Population(0, 2, {"ancestry": np.zeros(2), "cyp2b6_activity": np.ones(2), "hepatic_impairment": np.zeros(2)})


def _course(*doses: str, every: str = "12 h", **more: Any) -> dict[str, Any]:
    first, *others = doses
    phases = [{"name": "first", "dose": first, "sessions": {"days": [1]}}]
    phases += [
        {"name": f"{number}", "after": every, "dose": dose, "sessions": {"every": "1 d", "count": 1}}
        for number, dose in enumerate(others, start=2)
    ]
    return {"title": "A course", "drug": "ketamine", "route": "iv", "phases": phases, **more}


def _figures(protocol: dict[str, Any], thresholds: tuple[float, ...] = (), **more: Any) -> Figures:
    net = network.build(pk.load_model(MODEL), WHO)
    plan = schedule.build(pk.load_protocol(protocol), net)
    limits = {"ketamine": thresholds}
    found = course_figures(
        net, plan, thresholds=limits, settling=["ketamine"] if thresholds else [], interval=True, **more
    )
    return found["ketamine"]


def _value(figures: Figures, metric: str, session: int, threshold: float | None = None) -> float:
    values = metrics.evaluate(figures, Span("session", session), Request(metric, "ketamine", threshold))
    assert values.shape == (2,)
    assert values[0] == values[1]
    return float(values[0])


def test_accumulation_of_equal_doses() -> None:
    """(1 - r^j) / (1 - r) for the j-th of equal doses, with r = exp(-k tau); infinitely many would give 1 / (1 - r)."""
    figures = _figures(_course(*["40 mg"] * 5))
    r = np.exp(-RATE * 12)
    for session in range(1, 6):
        expected = (1 - r**session) / (1 - r)
        assert _value(figures, "accumulation_ratio", session) == pytest.approx(expected, rel=EXACT)
    assert _value(figures, "accumulation_ratio", 5) > 1.4, "a course that accumulates, so that the figure could fail"


def test_accumulation_is_over_one_interval_and_per_mg() -> None:
    """Sessions 12 h and 36 h apart, with doses that change: areas over 12 h of each, per mg given.

    After doses of 40, 20 and 10 mg at 0, 12 and 48 h the areas over the next 12 h are those of what is left from before
    and of the dose, all times (1 - r) / CL.
    """
    protocol = _course("40 mg", "20 mg")
    protocol["phases"].append({"name": "3", "after": "36 h", "dose": "10 mg", "sessions": {"every": "1 d", "count": 1}})
    figures = _figures(protocol)
    left = np.exp(-RATE * np.array([12.0, 36.0, 48.0]))
    assert _value(figures, "accumulation_ratio", 2) == pytest.approx((20 + 40 * left[0]) / 20, rel=EXACT)
    expected = (10 + 20 * left[1] + 40 * left[2]) / 10
    assert _value(figures, "accumulation_ratio", 3) == pytest.approx(expected, rel=EXACT)


def test_long_intervals_count_for_the_window_of_the_last_session() -> None:
    """Sessions 7 d apart are compared over 24 h, which is all that the last one is followed for."""
    assert metrics.dosing_interval(np.array([0.0, 168.0]), 24.0).tolist() == [24.0]
    assert metrics.dosing_interval(np.array([0.0]), 24.0).tolist() == [24.0]
    assert metrics.dosing_interval(np.array([[0.0, 0.0], [12.0, 30.0]]), 24.0).tolist() == [12.0, 24.0]


def test_salt_counts_as_base() -> None:
    """40 mg of the hydrochloride are 0.867 of that as the base, in both sessions: the ratio is that of equal doses."""
    figures = _figures(_course("40 mg", "40 mg", **{"as": "hydrochloride"}))
    assert figures.doses == pytest.approx(np.full((2, 2), 0.867 * 40.0))
    assert _value(figures, "accumulation_ratio", 2) == pytest.approx(1 + np.exp(-RATE * 12), rel=EXACT)


def test_average_and_fluctuation() -> None:
    """Average: the area of 12 h over 12 h. Fluctuation: (C0 - C12) / average in the 2nd session, C0 / average in the
    1st, which begins without drug.
    """
    figures = _figures(_course("40 mg", "40 mg", "40 mg"))
    r, c0 = np.exp(-RATE * 12), 40.0 / VOLUME
    mean = c0 * (1 - r) / (RATE * 12)
    assert _value(figures, "average", 1) == pytest.approx(mean, rel=EXACT)
    assert _value(figures, "fluctuation", 1) == pytest.approx(c0 / mean, rel=EXACT)
    assert _value(figures, "average", 2) == pytest.approx(mean * (1 + r), rel=EXACT)
    swing = c0 * (1 + r) - min(c0 * r, c0 * (1 + r) * r)
    assert _value(figures, "fluctuation", 2) == pytest.approx(swing / (mean * (1 + r)), rel=EXACT)


def test_time_until_below_after_a_dose_at_once() -> None:
    """ln(C0 / c) / k; 0 for a level that is never exceeded; infinite for one that is still exceeded 12 h later."""
    c0 = 40.0 / VOLUME
    figures = _figures(_course("40 mg", "40 mg"), (0.5 * c0, 0.9 * c0, 1.7 * c0, 0.2 * c0))
    assert _value(figures, "time_until_below", 1, 0.9 * c0) == pytest.approx(np.log(1 / 0.9) / RATE, rel=EXACT)
    assert _value(figures, "time_until_below", 1, 0.5 * c0) == pytest.approx(np.log(2) / RATE, rel=EXACT)
    assert _value(figures, "time_until_below", 1, 1.7 * c0) == 0.0
    assert _value(figures, "time_until_below", 1, 0.2 * c0) == np.inf
    both = c0 * (1 + np.exp(-RATE * 12))
    assert _value(figures, "time_until_below", 2, 0.9 * c0) == pytest.approx(
        np.log(both / (0.9 * c0)) / RATE, rel=EXACT
    )
    whole = metrics.evaluate(figures, Span("course"), Request("time_until_below", "ketamine", 0.9 * c0))
    assert whole == pytest.approx(12 + np.log(both / (0.9 * c0)) / RATE, rel=EXACT)


def test_a_level_that_dips_and_rises_again_is_above_until_its_last_crossing() -> None:
    """Two devices 3 h apart: the level falls below the threshold, exceeds it again, and falls for good.

    Time above, and first crossing plus time above, are other numbers: only the last crossing is the answer.
    """
    device = {"device": {"strength": "20 mg", "rest": "3 h"}, "route": "intranasal"}
    c0 = 20.0 / VOLUME
    limit = 0.9 * c0
    figures = _figures(_course("40 mg", "40 mg", every="24 h", **device), (limit,))
    second = c0 * (1 + np.exp(-RATE * 3))
    last = 3 + np.log(second / limit) / RATE
    assert np.log(1 / 0.9) / RATE < 3, "below the threshold when the second device is given"
    assert _value(figures, "time_until_below", 1, limit) == pytest.approx(last, rel=EXACT)
    above = np.log(1 / 0.9) / RATE + np.log(second / limit) / RATE
    assert _value(figures, "time_above", 1, limit) == pytest.approx(above, rel=EXACT)
    assert above < last - 1


def test_the_solver_agrees() -> None:
    """The ODE engine, to its tolerance: 1e-8 of the level in a step, and ten times that as measured."""
    net = network.build(pk.load_model(MODEL), WHO)
    plan = schedule.build(pk.load_protocol(_course("40 mg", "40 mg")), net)
    limit = 0.7 * 40.0 / VOLUME
    found = [
        course_figures(
            net, plan, thresholds={"ketamine": (limit,)}, settling=["ketamine"], numerics=Numerics(engine=engine)
        )["ketamine"]
        for engine in ("propagator", "ode")
    ]
    exact, solved = (_value(figures, "time_until_below", 2, limit) for figures in found)
    assert solved == pytest.approx(exact, rel=1e-6)  # 1e-7 of the level, over k t of about 1


def test_of_an_effect_against_samples() -> None:
    """Dissociation after three nasal devices, whose nasal and swallowed parts overlap: the last second above 5 %."""
    model = attach(pk.load_model("esketamine_perezruixo2021"), ["dissociation_olofsen2022"])
    people = population.sample_covariates(load_population("adults_trials"), 3, 0, 12)
    people = population.sample_effects(people, model, 3)
    course = {
        "title": "One session",
        "drug": "esketamine",
        "route": "intranasal",
        "device": {"strength": "28 mg", "rest": "5 min"},
        "phases": [{"name": "x", "dose": "84 mg", "sessions": {"days": [1]}}],
    }
    treated = treatment.treat(model, people, pk.load_protocol(course), 1.0)
    net, plan = treated.network, treated.plan
    assert treated.course is None
    name = "dissociation_olofsen2022"
    found = course_figures(net, plan, thresholds={name: (0.05,)}, effects=[name], settling=[name])[name]
    hours = metrics.evaluate(found, Span("session", 1), Request("time_until_below", name, 0.05))
    assert (hours > 0).sum() >= 8, "most people reach 5 %"
    grid = np.arange(24 * 3600 + 1) / 3600.0
    above = effect_figures.levels(net, plan.events, grid, AUTO)[0] > 0.05
    for patient, hour in enumerate(hours):
        last = grid[np.flatnonzero(above[patient]).max()] if above[patient].any() else 0.0
        assert last <= hour <= last + 1 / 3600 or hour == last == 0.0


def test_of_occasions_against_samples() -> None:
    """Simons 2022 with effects of occasions: nowhere above afterwards, just above before.

    Samples of 1 s on either side of the answer; levels there change by far more than rounding.
    """
    model = pk.load_model("esketamine_simons2022")
    people = population.sample_covariates(load_population("adults_trials"), 3, 0, 6)
    people = population.sample_occasions(population.sample_effects(people, model, 3), model, 3, 2)
    course = {
        "title": "Two infusions",
        "drug": "esketamine",
        "route": "iv",
        "phases": [{"name": "x", "dose": "0.5 mg/kg", "over": "40 min", "sessions": {"days": [1, 2]}}],
    }
    treated = treatment.treat(model, people, pk.load_protocol(course), 1.0)
    net, plan, parts = treated.network, treated.plan, treated.course
    assert parts is not None
    found = course_figures(net, plan, thresholds={"esketamine": (100.0,)}, settling=["esketamine"], course=parts)[
        "esketamine"
    ]
    for session, start in ((1, 0.0), (2, 24.0)):
        hours = metrics.evaluate(found, Span("session", session), Request("time_until_below", "esketamine", 100.0))
        assert ((hours > 2 / 3) & np.isfinite(hours)).all()
        for patient, hour in enumerate(hours):
            at = start + hour + np.array([-1.0, 1.0, 600.0, 3600.0]) / 3600
            levels = parts.levels(np.concatenate([at, [47.0]]))[patient, 0]
            assert levels[0] > 100.0
            assert (levels[1:4] < 100.0).all()


def test_rules_may_name_them() -> None:
    """A limit without a unit for a ratio; a time for discharge; and each refused where it does not fit."""
    base = {"id": "r", "in": "90 %"}
    Rule.model_validate({**base, "metric": "accumulation_ratio", "at_most": 1.2})
    Rule.model_validate({**base, "metric": "fluctuation", "at_most": "300 %"})
    Rule.model_validate({**base, "metric": "time_until_below", "threshold": "70 ng/mL", "at_most": "2 h"})
    Rule.model_validate({**base, "metric": "cavg", "at_most": "70 ng/mL"})
    for wrong in (
        {"metric": "accumulation_ratio", "at_most": "1.2 ng/mL"},
        {"metric": "accumulation_ratio", "at_most": 1.2, "window": "course"},
        {"metric": "time_until_below", "at_most": "2 h"},
        {"metric": "average", "at_most": "2 h"},
    ):
        with pytest.raises(ValueError, match="expected"):
            Rule.model_validate({**base, **wrong})
