"""Metrics of rules against arithmetic of another kind: dense grids, and sums by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pkmodel as pk
from pkmodel import exact_figures, findings, metrics, network, report, schedule, simulation, wording
from pkmodel.metrics import Figures, Request, Span
from pkmodel.network import Network
from pkmodel.population import Population
from pkmodel.schedule import Schedule
from pkmodel.specs.metric import METRICS, OF_AREAS, WITH_MOMENT, WITH_THRESHOLD
from pkmodel.specs.rule import Rule
from pkmodel.specs.window import Moment

STEP = 1 / 3600
#: Hours of a count of grid points may be wrong by a step at each crossing, and a course here has at most eight.
OFF = 8 * STEP


def _patients() -> Population:
    arrays = {"weight": [50.0, 70.0, 110.0], "age": [30.0, 45.0, 60.0], "ancestry": [0.0] * 3}
    arrays |= {"cyp2b6_activity": [1.0] * 3, "hepatic_impairment": [0.0] * 3}
    return Population(0, 3, {name: np.array(values) for name, values in arrays.items()})


@pytest.fixture(scope="module")
def course() -> tuple[Network, Schedule]:
    """Two infusions, six hours apart, in three patients."""
    protocol = {
        "title": "Two infusions",
        "drug": "ketamine",
        "route": "iv",
        "over": "40 min",
        "phases": [{"name": "two", "dose": "0.5 mg/kg", "sessions": {"every": "6 h", "count": 2}}],
    }
    net = network.build(pk.load_model("ketamine_clements1981"), _patients())
    return net, schedule.build(pk.load_protocol(protocol), net)


@pytest.fixture(scope="module")
def dense(course: tuple[Network, Schedule]) -> tuple[np.ndarray, np.ndarray]:
    """Levels (n, t) of the parent, ng/mL, every second of the first twelve hours."""
    net, plan = course
    grid = np.arange(STEP / 2, 12.0, STEP)
    return grid, simulation.amounts_at(net, plan, grid)[:, :, 0] * net.output_scale[0][:, None]


def _figures(course: tuple[Network, Schedule], *levels: float) -> Figures:
    net, plan = course
    return exact_figures.course_figures(net, plan, thresholds={"ketamine": levels})["ketamine"]


@pytest.mark.parametrize("metric", METRICS)
def test_what_one_metric_needs_is_looked_for_and_no_areas_besides(
    metric: str, course: tuple[Network, Schedule]
) -> None:
    """The same as from figures with everything, to the 1e-11 that the engine keeps to, in other steps."""
    net, plan = course
    moment = Moment(1.5, "start", "1.5 h after start")
    request = Request(
        metric,
        "ketamine",
        threshold=100.0 if metric in WITH_THRESHOLD else None,
        up_to=150.0 if metric == "time_between" else None,
        moment=moment if metric in WITH_MOMENT else None,
    )
    span = Span("session", 2)
    alone = exact_figures.figures_for({request: [span]}, net, plan, None, last=24.0, step=1 / 12)["ketamine"]
    whole = exact_figures.course_figures(
        net,
        plan,
        thresholds={"ketamine": request.levels},
        moments=[moment],
        settling=["ketamine"],
        lowest=["ketamine"],
        interval=True,
    )["ketamine"]
    assert (alone.area is not None) == (metric in OF_AREAS)
    expected = metrics.evaluate(whole, span, request)
    assert metrics.evaluate(alone, span, request) == pytest.approx(expected, rel=1e-11)


@settings(max_examples=25, deadline=None)
@given(ends=st.tuples(st.floats(1.0, 250.0), st.floats(1.0, 250.0)).filter(lambda ends: abs(ends[0] - ends[1]) > 0.1))
def test_time_between_is_what_a_dense_grid_counts(
    ends: tuple[float, float], course: tuple[Network, Schedule], dense: tuple[np.ndarray, np.ndarray]
) -> None:
    """Seconds with the level above the one and not above the other, session by session."""
    low, high = sorted(ends)
    figures = _figures(course, low, high)
    grid, levels = dense
    for number, start in ((1, 0.0), (2, 6.0)):
        inside = (grid >= start) & (grid < start + 6) & (levels > low) & (levels <= high)
        request = Request("time_between", "ketamine", low, up_to=high)
        found = metrics.evaluate(figures, Span("session", number), request)
        if number == 1:  # the window of the last session is longer than the grid
            assert found == pytest.approx(inside.sum(axis=1) * STEP, abs=OFF)
    parts = [
        metrics.evaluate(figures, Span("course"), Request("time_above", "ketamine", level)) for level in (low, high)
    ]
    whole = metrics.evaluate(figures, Span("course"), Request("time_between", "ketamine", low, up_to=high))
    assert whole.tolist() == (parts[0] - parts[1]).tolist()


def _scenario(rules: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {
        "title": "Test",
        "arms": {"one": {"protocol": "iv_single"}},
        "model": "ketamine_clements1981",
        "population": "adults_trials",
        "n": 60,
        "seed": 3,
        "observe": {"every": "30 min", "for": "4 h"},
        "rules": rules,
        **more,
    }


def _run(tree: dict[str, Any], folder: Path, **more: Any) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The findings and the metrics that a run writes down."""
    report.run(pk.load_scenario(tree), folder, **more)
    return pd.read_csv(folder / "findings.csv"), pd.read_parquet(folder / "metrics.parquet")


def test_time_between_of_a_run(tmp_path: Path) -> None:
    """The value of every patient is the difference of two times above, and the finding counts those values."""
    band = {"id": "band", "metric": "time_between", "threshold": "100 ng/mL", "up_to": "0.2 mg/L", "at_least": "35 min"}
    above = [
        {"id": f"above{level}", "metric": "time_above", "threshold": f"{level} ng/mL", "at_most": "9 h", "in": "90 %"}
        for level in (100, 200)
    ]
    found, table = _run(_scenario([{**band, "in": "90 %"}, *above]), tmp_path)
    by = table.set_index(["metric", "condition", "patient"])["value"]
    difference = by["time_above", "100 ng/mL"] - by["time_above", "200 ng/mL"]
    assert by["time_between", "100 to 200 ng/mL"].tolist() == difference.tolist()
    assert 0 < (difference >= 35 / 60).sum() < 60
    assert found.set_index("rule")["n_met"]["band"] == (difference >= 35 / 60).sum()


def test_time_between_in_words_and_in_a_comparison(tmp_path: Path) -> None:
    """A comparison takes both levels from the rule; the picture and the terminal name both."""
    band = {"id": "band", "metric": "time_between", "threshold": "100 ng/mL", "up_to": "250 ng/mL", "at_least": "1 min"}
    rule = Rule.model_validate({**band, "in": "90 %"})
    assert wording.described(rule) == "time between 100 ng/mL and 250 ng/mL of parent at least 1 min"
    arms = {"one": {"protocol": "iv_single"}, "two": {"protocol": "iv_single"}}
    compare = {"reference": "one", "metrics": ["time_between"]}
    _run(_scenario([{**band, "in": "90 %"}], arms=arms, compare=compare), tmp_path)
    (row,) = pd.read_csv(tmp_path / "comparison.csv").to_dict("records")
    assert (row["metric"], row["condition"], row["n_lower"]) == ("time_between", "100 to 250 ng/mL", 0)
    assert row["median"] == row["median_reference"] > 0


def test_time_between_of_a_falling_effect(course: tuple[Network, Schedule]) -> None:
    """Of an effect that falls as levels rise: what lies between two values of it, counted on a dense grid."""
    from pkmodel.specs.attach import attach
    from pkmodel.specs.library import load_effect

    curve = {"e0": 1.0, "emax": -0.8, "c50": "100 ng/mL", "hill": 2}
    effect = {"id": "fall", "title": "Falling", "drug": "ketamine", "on": "parent", "sigmoid": curve}
    effect |= {"source": "none at all", "evidence": "assumed", "from": {"emax": "x", "c50": "x", "hill": "x"}}
    model = attach(pk.load_model("ketamine_clements1981"), [load_effect(effect)], given="ketamine")
    (name,) = model.effects
    net = network.build(model, _patients())
    _, plan = course
    low, high = 0.5, 0.8
    figures = exact_figures.course_figures(net, plan, thresholds={name: [low, high]}, effects=[name])[name]
    grid = np.arange(STEP / 2, 6.0, STEP)
    levels = simulation.amounts_at(net, plan, grid)[:, :, 0] * net.output_scale[0][:, None]
    values = 1.0 - 0.8 * levels**2 / (100.0**2 + levels**2)
    inside = ((values > low) & (values <= high)).sum(axis=1) * STEP
    found = metrics.evaluate(figures, Span("session", 1), Request("time_between", name, low, up_to=high))
    assert inside.min() > 0.05
    assert found == pytest.approx(inside, abs=OFF)


def test_level_at_discharge(tmp_path: Path, course: tuple[Network, Schedule]) -> None:
    """What simulate gives 1.5 h after the pump's end, the same as a level at that moment; also as measured."""
    net, plan = course
    rule = Rule.model_validate(
        {"id": "r", "metric": "level_at_discharge", "observed_for": "90 min", "at_most": "70 ng/mL", "in": "90 %"}
    )
    assert wording.described(rule) == "level of parent at discharge, 90 min after session end at most 70 ng/mL"
    assert rule.moment is not None
    figures = exact_figures.course_figures(net, plan, moments=(rule.moment,))["ketamine"]
    request = findings.request_of(rule, net.model)
    for number, start in ((1, 0.0), (2, 6.0)):
        levels = simulation.amounts_at(net, plan, np.array([start + 40 / 60 + 1.5]))[:, 0, 0] * net.output_scale[0]
        assert metrics.evaluate(figures, Span("session", number), request) == pytest.approx(levels, rel=1e-9)
    at = {"id": "at", "metric": "level_at", "at": "90 min after session_end", "at_most": "25 ng/mL", "in": "90 %"}
    leaves = {"id": "leaves", "metric": "level_at_discharge", "observed_for": "90 min", "at_most": "25 ng/mL"}
    tree = _scenario([at, {**leaves, "in": "90 %"}], model="esketamine_otto2021", variability={"residual": True})
    tree["arms"] = {"one": {"protocol": "iv_single", "drug": "half"}}
    found, table = _run(tree, tmp_path)
    by = table.set_index(["metric", "patient"])["value"]
    assert by["level_at"].tolist() == by["level_at_discharge"].tolist()
    assert 0 < (by["level_at"] <= 25).sum() < 60
    assert found["n_met"].tolist() == [int((by["level_at"] <= 25).sum())] * 2
