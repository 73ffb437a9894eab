"""Metrics over windows: each, worst and named sessions, between sessions, the course, absolute hours.

Figures that must be equal are sums or maxima of the same exact pieces; 1e-9 is a thousand times the error of the
propagator that is verified elsewhere.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pkmodel as pk
from pkmodel import (
    engine,
    exact_figures,
    findings,
    metrics,
    network,
    population,
    schedule,
    simulation,
    study,
    treatment,
)
from pkmodel.metrics import Figures, Request, Span
from pkmodel.population import Population
from pkmodel.specs.rule import Rule
from pkmodel.specs.window import Moment

EXACT = 1e-9
STARTS = [0.0, 48.0, 60.0]
THREE = {
    "title": "Three infusions",
    "drug": "ketamine",
    "route": "iv",
    "over": "40 min",
    "phases": [
        {"name": "two", "dose": "0.5 mg/kg", "sessions": {"days": [1, 3]}},
        {"name": "third", "after": "12 h", "dose": "1 mg/kg", "sessions": {"every": "1 d", "count": 1}},
    ],
}
AFTER = Moment(2.0, "end", "2 h after session_end")
BEFORE = Moment(1.0, "start", "1 h after session_start")
NEXT = Moment(12.0, "start", "12 h after session_start")
SPANS = [Span("absolute", start=0.5, end=50.0), Span("absolute", start=100.0, end=200.0)]


def _patients(**covariates: list[float]) -> Population:
    arrays = {name: np.array(values) for name, values in covariates.items()}
    size = len(arrays["weight"])
    rest = {"ancestry": np.zeros(size), "cyp2b6_activity": np.ones(size), "hepatic_impairment": np.zeros(size)}
    return Population(0, size, {**rest, **arrays})


WHO = _patients(weight=[50.0, 70.0, 110.0], age=[30.0, 45.0, 60.0])


@pytest.fixture(scope="module")
def figures() -> Figures:
    """The parent's figures for three patients and three sessions, with every kind of boundary."""
    net = network.build(pk.load_model("ketamine_clements1981"), WHO)
    plan = schedule.build(pk.load_protocol(THREE), net)
    found = exact_figures.course_figures(
        net,
        plan,
        thresholds={"ketamine": [100.0, 1e6]},
        moments=(AFTER, BEFORE, NEXT),
        between=True,
        spans=SPANS,
    )
    return found["ketamine"]


def _value(figures: Figures, metric: str, span: Span, **more: Any) -> np.ndarray:
    return metrics.evaluate(figures, span, Request(metric, "ketamine", **more))


SESSIONS = [Span("session", number) for number in (1, 2, 3)]


def test_area_of_the_course_is_the_sum_of_its_sessions(figures: Figures) -> None:
    """The windows of the sessions cover the course without a gap."""
    parts = sum(_value(figures, "auc", span) for span in SESSIONS)
    assert _value(figures, "auc", Span("course")) == pytest.approx(parts, rel=EXACT)
    above = [_value(figures, "time_above", span, threshold=100.0) for span in SESSIONS]
    assert _value(figures, "time_above", Span("course"), threshold=100.0) == pytest.approx(sum(above), rel=EXACT)
    assert min(part.min() for part in above) > 0, "a threshold that nobody exceeds would show nothing"


def test_peak_of_the_course_is_the_highest_of_its_sessions(figures: Figures) -> None:
    """And the third session, of the double dose, holds it, 40 min after it began."""
    highest = np.max([_value(figures, "peak", span) for span in SESSIONS], axis=0)
    assert _value(figures, "peak", Span("course")).tolist() == highest.tolist()
    assert highest.tolist() == _value(figures, "peak", SESSIONS[2]).tolist()
    assert _value(figures, "time_of_peak", SESSIONS[2]) == pytest.approx([2 / 3] * 3, rel=EXACT)
    assert _value(figures, "time_of_peak", Span("course")) == pytest.approx([60 + 2 / 3] * 3, rel=EXACT)


def test_between_sessions_begins_at_the_end_of_the_pump(figures: Figures) -> None:
    """The peak between sessions is the level at the end of the infusion; the area is less than the session's."""
    for number in (1, 2):
        gap, session = Span("between", number), Span("session", number)
        assert _value(figures, "peak", gap) == pytest.approx(_value(figures, "peak", session), rel=EXACT)
        assert (_value(figures, "auc", gap) < _value(figures, "auc", session)).all()


def test_area_between_and_during_add_up() -> None:
    """From a session's start to the pump's end, and from there to the next session."""
    net = network.build(pk.load_model("ketamine_clements1981"), WHO)
    plan = schedule.build(pk.load_protocol(THREE), net)
    during = Span("absolute", start=48.0, end=48.0 + 2 / 3)
    found = exact_figures.course_figures(net, plan, between=True, spans=[during])["ketamine"]
    parts = _value(found, "auc", during) + _value(found, "auc", Span("between", 2))
    assert parts == pytest.approx(_value(found, "auc", SESSIONS[1]), rel=EXACT)


def test_absolute_hours(figures: Figures) -> None:
    """Hours count from the start of the course, and may reach beyond its last window."""
    grid = np.linspace(0.5, 50.0, 4951)
    net = network.build(pk.load_model("ketamine_clements1981"), WHO)
    plan = schedule.build(pk.load_protocol(THREE), net)
    levels = simulation.amounts_at(net, plan, grid)[:, :, 0] * net.output_scale[0][:, None]
    # Trapezia of 0.01 h on curves whose half-lives are above 0.3 h: about (0.01 ln 2 / 0.3)^2 / 12 = 4e-5.
    assert _value(figures, "auc", SPANS[0]) == pytest.approx(np.trapezoid(levels, grid, axis=1), rel=1e-4)
    assert _value(figures, "peak", SPANS[1]) == pytest.approx(
        simulation.amounts_at(net, plan, np.array([100.0]))[:, 0, 0] * net.output_scale[0], rel=EXACT
    )


def test_levels_at_moments_are_those_of_simulate(figures: Figures) -> None:
    """2 h after the pump's end, 1 h after its start: as simulate returns them at those hours."""
    protocol, model = pk.load_protocol(THREE), pk.load_model("ketamine_clements1981")
    result = pk.simulate(protocol, model, WHO, until="84 h", every="20 min")
    for number, start in enumerate(STARTS, start=1):
        for moment, hours in ((AFTER, 2 / 3 + 2), (BEFORE, 1.0)):
            where = int(np.argmin(np.abs(result.time - (start + hours))))
            assert result.time[where] == pytest.approx(start + hours, abs=1e-9)
            found = _value(figures, "level_at", Span("session", number), moment=moment)
            assert found == pytest.approx(result.level()[:, where], rel=EXACT)


def test_level_at_the_next_start_is_the_trough(figures: Figures) -> None:
    """12 h after the second start is the third start: the level before its dose, which is also its trough."""
    at_next = _value(figures, "level_at", SESSIONS[1], moment=NEXT)
    assert at_next == pytest.approx(_value(figures, "trough", SESSIONS[2]), rel=EXACT)
    assert (at_next > 0).all()
    assert _value(figures, "trough", SESSIONS[0]).tolist() == [0.0] * 3


def test_first_crossing(figures: Figures) -> None:
    """During the infusion; never for a threshold that is not reached, which is infinite and not 0."""
    crossing = _value(figures, "first_crossing", SESSIONS[0], threshold=100.0)
    assert ((crossing > 0) & (crossing < 2 / 3)).all()
    assert np.isinf(_value(figures, "first_crossing", Span("course"), threshold=1e6)).all()
    assert _value(figures, "time_above", Span("course"), threshold=1e6).tolist() == [0.0] * 3


def test_moments_after_each_patients_own_last_device() -> None:
    """Patients with 1, 2 and 3 devices have sessions of 0, 5 and 10 min: 2 h after *their* end."""
    course = {
        "title": "By weight",
        "drug": "esketamine",
        "route": "intranasal",
        "device": {"strength": "28 mg", "rest": "5 min"},
        "dose_limits": {"round_to": "28 mg", "round": "down"},
        "phases": [{"name": "one", "dose": "0.8 mg/kg", "sessions": {"days": [1, 2]}}],
    }
    model, protocol = pk.load_model("esketamine_perezruixo2021"), pk.load_protocol(course)
    net = network.build(model, WHO)
    plan = schedule.build(protocol, net)
    assert plan.ends[0] == pytest.approx([0.0, 5 / 60, 10 / 60], abs=1e-12)
    found = exact_figures.course_figures(net, plan, moments=(AFTER,), between=True)["esketamine"]
    result = pk.simulate(protocol, model, WHO, until="48 h", every="5 min")
    for number, start in enumerate((0.0, 24.0), start=1):
        span = Span("session", number)
        level = metrics.evaluate(found, span, Request("level_at", "esketamine", None, AFTER))
        rows = [round((start + 2) * 12) + patient for patient in range(3)]
        assert level == pytest.approx(result.level()[range(3), rows], rel=EXACT)
    gap = metrics.evaluate(found, Span("between", 1), Request("auc", "esketamine"))
    whole = metrics.evaluate(found, SESSIONS[0], Request("auc", "esketamine"))
    assert gap[0] == pytest.approx(whole[0], rel=EXACT)  # one device: the session ends where it begins
    assert (gap[1:] < whole[1:]).all()


def _kept(figures: Figures, **rule: Any) -> dict[str, list[bool]]:
    full = {"id": "r", "metric": "peak", "in": "95 %", **rule}
    model = pk.load_model("ketamine_clements1981")

    def values(request: Request, span: Span) -> np.ndarray:
        return metrics.evaluate(figures, span, request)

    kept = findings.keeps(Rule.model_validate(full), model, values, 3)
    return {label: flags.tolist() for label, flags in kept.items()}


def test_rules_over_several_sessions_look_at_the_worst(figures: Figures) -> None:
    """An upper limit between the peaks of the first and the third session; and a lower one."""
    first, _, third = (_value(figures, "peak", span) for span in SESSIONS)
    limit = f"{(first.max() + third.min()) / 2} ng/mL"
    assert first.max() < third.min()
    assert _kept(figures, at_most=limit, window="each session") == {
        "session 1": [True] * 3,
        "session 2": [True] * 3,
        "session 3": [False] * 3,
    }
    assert _kept(figures, at_most=limit, window="worst session") == {"worst session": [False] * 3}
    assert _kept(figures, at_most=limit, window={"sessions": [1, 2]}) == {"sessions 1-2": [True] * 3}
    assert _kept(figures, at_least=limit, window="worst session") == {"worst session": [False] * 3}
    assert _kept(figures, at_least=limit, window={"session": 3}) == {"session 3": [True] * 3}
    assert _kept(figures, at_most=limit, window="course") == {"course": [False] * 3}


def test_limits_are_sharp(figures: Figures) -> None:
    """A limit 1e-9 beyond a patient's peak is kept and one 1e-9 short of it is not, on either side."""
    peak = float(_value(figures, "peak", SESSIONS[0])[0])
    for side, sign in (("at_most", 1.0), ("at_least", -1.0)):
        for beyond in (True, False):
            limit = peak * (1 + (sign if beyond else -sign) * 1e-9)
            kept = _kept(figures, **{side: f"{limit!r} ng/mL"}, window={"session": 1})["session 1"]
            assert kept[0] == beyond, (side, beyond)


def test_units_of_rules_do_not_matter(figures: Figures) -> None:
    """ng/mL and mg/L, min and h, name the same limits."""
    assert _kept(figures, at_most="200 ng/mL") == _kept(figures, at_most="0.2 mg/L")
    time = {"metric": "time_above", "threshold": "100 ng/mL"}
    assert _kept(figures, **time, at_most="90 min") == _kept(figures, **time, at_most="1.5 h")


def test_the_lowest_level_lies_inside_of_a_session() -> None:
    """The metabolite falls on after a dose until what is made of it outweighs what leaves: between two samples."""
    hour = {"from": "72 h", "to": "73 h"}
    spec = {
        "title": "x",
        "arms": {"one": {"protocol": "esketamine_nasal_induction"}},
        "model": "esketamine_perezruixo2021",
        "population": "adults_trials",
        "n": 12,
        "observe": {"every": "1 min", "for": "3 h"},
        "rules": [
            {
                "id": "least",
                "metric": "cmin",
                "output": "noresketamine",
                "window": hour,
                "at_least": "0.1 ng/mL",
            }
            | {"in": "50 %"},
            {"id": "course", "metric": "lowest", "output": "noresketamine", "window": "course", "at_most": "0 ng/mL"}
            | {"in": "100 %"},
            {
                "id": "start",
                "metric": "trough",
                "output": "noresketamine",
                "window": "session: 2",
                "at_least": "0 ng/mL",
            }
            | {"in": "50 %"},
        ],
    }
    scenario = pk.load_scenario(spec)
    chunks: list[study.Chunk] = []
    found = study.run(scenario, sink=chunks.append)
    (case,) = chunks[0].cases
    values = {(item.request.metric, item.span): item.values for item in case.metrics}
    least = values["lowest", Span("absolute", start=72.0, end=73.0)]
    trough = values["trough", Span("session", 2)]
    assert (least < trough * (1 - 1e-6)).all()  # it is inside, and no sample at an end
    assert (values["lowest", Span("course")] == 0.0).all()  # nothing of it is there at the first instant
    assert found.results[1].share == 1.0

    # A parabola through the three lowest points of a grid errs by the cube of its step: at 0.6 s by 1.3e-8 in the worst
    # patient, at 0.15 s by a 64th of that.
    case_of = found.cases[0]
    people = population.sample_covariates(scenario.population, scenario.spec.seed, 0, 12)
    drawn = population.sample_effects(people, case_of.model, scenario.spec.seed)
    treated = treatment.treat(case_of.model, drawn, case_of.arm.protocol, case_of.fraction, seed=scenario.spec.seed)
    start = case_of.arm.protocol.plan()[1].start
    net = treated.network
    fine = start + np.linspace(0.0, 1.0, 24001)
    at = net.output_names.index("noresketamine")
    seen, scale = net.output_compartment[at : at + 1], net.output_scale[at : at + 1]
    level = engine.levels(net.system, treated.plan.events, fine, seen, scale)[:, 0]
    place = level.argmin(axis=1)
    assert ((place > 0) & (place < 24000)).all()
    rows = np.arange(12)
    left, middle, right = (level[rows, place + step] for step in (-1, 0, 1))
    turn = middle - (right - left) ** 2 / (8.0 * (left - 2.0 * middle + right))
    assert np.abs(least / turn - 1.0).max() < 4e-10
