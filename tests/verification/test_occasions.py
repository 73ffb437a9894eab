"""Courses whose parameters change from session to session, against scipy stretch by stretch and against the plain run.

The reference shares nothing with the package: it takes the drawn effects, makes the parameters from the formula
``typical exp(eta + kappa)``, writes out what pours in when, and lets ``solve_ivp`` integrate from stop to stop.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.optimize import brentq, minimize_scalar

import pkmodel as pk
from pkmodel import exact_figures, occasions, schedule
from pkmodel.core.kinds import JUMP, RATE_OFF, RATE_ON, RESET
from pkmodel.engine import AUTO, Numerics
from pkmodel.metrics import Request, Span, evaluate
from pkmodel.network import build
from pkmodel.population import Population, parameters, sample_covariates, sample_effects, sample_occasions
from pkmodel.schedule import EventList
from pkmodel.specs.model import ModelSpec
from pkmodel.specs.window import Moment

SEED, N = 5, 7
VARYING = {"F1": 0.06, "D1": 0.154, "KA": 0.062, "LAG": 0.3, "V1": 0.152, "CL": 0.1}
#: A slow release that outlasts the hours to the next session, beside a dose at once, which comes late.
MODEL: dict[str, Any] = {
    "id": "occasional",
    "title": "Two ways in, two compartments, everything different in every session",
    "drug": "esketamine",
    "source": {"citation": "No publication: a model to test occasions on"},
    "evidence": "unsourced",
    "sampling": "venous",
    "population": {"description": "nobody"},
    "parameters": {
        "F1": {"value": 0.26, "from": "test"},
        "D1": {"value": "9 h", "from": "test"},
        "KA": {"value": "1.4 1/h", "from": "test"},
        "LAG": {"value": "3 h", "from": "test"},
        "V1": {"value": "90 L", "from": "test"},
        "CL": {"value": "40 L/h", "from": "test"},
        "Q": {"value": "30 L/h", "from": "test"},
        "V2": {"value": "120 L", "from": "test"},
    },
    "variability": {
        "between_subject": {"V1": {"omega2": 0.08}, "CL": {"omega2": 0.03}},
        "between_occasion": {name: {"omega2": variance} for name, variance in VARYING.items()},
    },
    "compartments": ["depot", "central", "peripheral"],
    "flows": [
        {"from": "depot", "to": "central", "rate": "KA"},
        {"from": "central", "to": "peripheral", "rate": "Q / V1"},
        {"from": "peripheral", "to": "central", "rate": "Q / V2"},
        {"from": "central", "to": "outside", "rate": "CL / V1"},
    ],
    "routes": {
        "oral": [
            {"into": "depot", "fraction": "F1", "zero_order": "D1"},
            {"into": "central", "fraction": "1 - F1", "lag": "LAG"},
        ]
    },
    "outputs": {"esketamine": {"amount": "central", "volume": "V1", "unit": "ng/mL"}},
}
STARTS = (0.0, 4.0, 8.0, 30.0)
PROTOCOL = {
    "title": "Four doses, three of them close together",
    "drug": "esketamine",
    "route": "oral",
    "phases": [
        {"name": "close", "dose": "20 mg", "sessions": {"every": "4 h", "count": 3}},
        {"name": "late", "after": "22 h", "dose": "20 mg", "sessions": {"every": "1 d", "count": 1}},
    ],
}


def _people(model: ModelSpec, count: int = N, sessions: int = 4) -> Population:
    drawn = sample_covariates(pk.load_population("adults_trials"), SEED, 0, count)
    return sample_occasions(sample_effects(drawn, model, SEED), model, SEED, sessions)


def _saturable() -> dict[str, Any]:
    """The same model with an elimination that saturates, and one rate that grows with time: for the ODE core."""
    tree = copy.deepcopy(MODEL)
    tree["parameters"] |= {
        "VMAX": {"value": "9 mg/h", "from": "test"},
        "KM": {"value": "0.15 mg/L", "from": "test"},
        "GROWTH": {"value": "0.02 1/h", "from": "test"},
    }
    tree["flows"][3] = {"from": "central", "to": "outside", "michaelis_menten": {"vmax": "VMAX", "km": "KM"}}
    tree["flows"][2] = {
        "from": "peripheral",
        "to": "central",
        "rate": "Q / V2 * (1 + GROWTH * time_since_first_dose)",
    }
    tree["variability"]["between_occasion"]["VMAX"] = {"omega2": 0.1}
    return tree


class Reference:
    """One patient by scipy: states, and the area so far, at any time."""

    def __init__(self, tree: dict[str, Any], people: Population, patient: int, rtol: float = 1e-11):
        etas = {name: values[patient] for name, values in people.etas.items()}
        self.values: list[dict[str, float]] = []
        for session in range(4):
            own = {}
            for name, entry in tree["parameters"].items():
                typical = float(str(entry["value"]).split()[0])
                kappa = people.kappas[name][session, patient] if name in people.kappas else 0.0
                own[name] = typical * np.exp(etas.get(name, 0.0) + kappa)
            self.values.append(own)
        pours = [
            (start, start + own["D1"], 20.0 * own["F1"] / own["D1"])
            for start, own in zip(STARTS, self.values, strict=True)
        ]
        self.jumps = [
            (start + own["LAG"], 20.0 * (1 - own["F1"])) for start, own in zip(STARTS, self.values, strict=True)
        ]
        stops = {*STARTS, *(time for pour in pours for time in pour[:2]), *(time for time, _ in self.jumps), 80.0}
        self.stops = sorted(stops)
        self.first = min(0.0, self.jumps[0][0])
        self.pieces = []
        state = np.zeros(4)
        for begin, end in pairwise(self.stops):
            state[1] += sum(amount for time, amount in self.jumps if time == begin)
            own = self.values[self.occasion(begin)]
            rate = sum(rate for on, off, rate in pours if on <= begin < off)
            solved = solve_ivp(
                self._slope, (begin, end), state, "DOP853", dense_output=True, rtol=rtol, atol=1e-13, args=(own, rate)
            )
            assert solved.success
            self.pieces.append(solved.sol)
            state = solved.y[:, -1].copy()

    @staticmethod
    def occasion(time: float) -> int:
        """Which of the sessions began last."""
        return int(np.searchsorted(STARTS, time, side="right")) - 1

    def _slope(self, time: float, y: Any, own: dict[str, float], rate: float) -> list[float]:
        depot, central, peripheral, _ = y
        back = own["Q"] / own["V2"] * (1 + own.get("GROWTH", 0.0) * (time - self.first)) * peripheral
        out = own["CL"] / own["V1"] * central
        if "VMAX" in own:
            level = central / own["V1"]
            out = own["VMAX"] * level / (own["KM"] + level)
        there = own["Q"] / own["V1"] * central
        return [rate - own["KA"] * depot, own["KA"] * depot + back - there - out, there - back, central]

    def state(self, time: float, *, before: bool = False) -> Any:
        """The state (3,) and the running integral of the central amount at a time; ``before`` what arrives then."""
        side = "left" if before else "right"
        index = min(max(int(np.searchsorted(self.stops, time, side=side)) - 1, 0), len(self.pieces) - 1)
        return self.pieces[index](time)

    def level(self, time: float, *, before: bool = False) -> float:
        """ng/mL."""
        index = max(self.occasion(time) - (before and time in STARTS), 0)
        return float(1000.0 * self.state(time, before=before)[1] / self.values[index]["V1"])

    def figures(self, begin: float, end: float, threshold: float) -> tuple[float, float, float, float]:
        """Peak, its time, hours above the threshold, and the time it is first exceeded, from piece to piece."""
        highest, when, above, first = 0.0, begin, 0.0, np.inf
        for (start, stop), piece in zip(pairwise(self.stops), self.pieces, strict=True):
            low, high = max(start, begin), min(stop, end)
            if high <= low:
                continue
            volume = self.values[self.occasion(start)]["V1"]

            def level(time: Any, piece: Any = piece, volume: float = volume) -> Any:
                return 1000.0 * piece(time)[1] / volume

            grid = np.linspace(low, high, 200)
            levels = level(grid)
            best = int(np.argmax(levels))
            around = grid[max(best - 1, 0)], grid[min(best + 1, 199)]
            inner = minimize_scalar(
                lambda t, level=level: -level(t), bounds=around, method="bounded", options={"xatol": 1e-10}
            )
            for time, found in ((grid[best], levels[best]), (inner.x, -inner.fun)):
                if found > highest:
                    highest, when = float(found), float(time)
            for a, b in pairwise(range(200)):
                edges = [grid[a], grid[b]]
                if (levels[a] > threshold) != (levels[b] > threshold):
                    edges.insert(1, brentq(lambda t, level=level: level(t) - threshold, *edges, xtol=1e-13))
                for from_, to in pairwise(edges):
                    if level(0.5 * (from_ + to)) > threshold:
                        above, first = above + to - from_, min(first, from_)
        return highest, when, above, first

    def area(self, begin: float, end: float) -> float:
        """ng h/mL; each occasion with its volume."""
        edges = [begin, *(start for start in STARTS if begin < start < end), end]
        return sum(
            1000.0 * (self.state(b, before=True)[3] - self.state(a)[3]) / self.values[self.occasion(a)]["V1"]
            for a, b in pairwise(edges)
        )


@pytest.mark.parametrize(
    ("tree", "tolerance"),
    [pytest.param(MODEL, 2e-9, id="linear"), pytest.param(_saturable(), 1e-7, id="saturable")],
)
def test_levels_and_figures_against_scipy(tree: dict[str, Any], tolerance: float) -> None:
    """Levels at every quarter of an hour and all kinds of figures, for three patients.

    scipy keeps each step to 1e-11; its errors grow to some 1e-9 over twenty stops. The ODE core keeps steps to 1e-8 and
    errors to ten times that.
    """
    model = pk.load_model(tree)
    people = _people(model)
    result = pk.simulate(PROTOCOL, model, people, until="54 h", every="15 min")
    assert result.course is not None and len(result.course.occasions) == 4
    late = Moment(2.5, "start", "2.5 h after session_start")
    spans = [Span("session", index) for index in (1, 2, 3, 4)]
    spans += [Span("course"), Span("absolute", start=2.0, end=33.0)]
    figures = exact_figures.course_figures(
        result.network,
        result.schedule,
        thresholds={"esketamine": [60.0]},
        moments=[late],
        between=True,
        spans=spans,
        course=result.course,
    )["esketamine"]
    crossed = 0
    for patient in (0, 3, 6):
        exact = Reference(tree, people, patient)
        running = [pour for pour in (0, 1) if STARTS[pour] + exact.values[pour]["D1"] > STARTS[pour + 1]]
        assert running, "a release that runs across a session start is what this is about"
        crossed += any(exact.jumps[index][0] > STARTS[index + 1] for index in (0, 1))
        expected = np.array([exact.level(time) for time in result.time])
        assert result.level()[patient] == pytest.approx(expected, rel=tolerance, abs=tolerance * expected.max())
        found = {
            (span, metric): evaluate(figures, span, Request(metric, "esketamine", 60.0))[patient]
            for span in spans
            for metric in ("peak", "time_of_peak", "auc", "time_above", "first_crossing")
        }
        ends = {Span("course"): (0.0, 54.0), spans[-1]: (2.0, 33.0)}
        ends |= {span: (start, end) for span, start, end in zip(spans, STARTS, (*STARTS[1:], 54.0), strict=False)}
        for span, (begin, end) in ends.items():
            peak, when, above, first = exact.figures(begin, end, 60.0)
            assert found[span, "auc"] == pytest.approx(exact.area(begin, end), rel=10 * tolerance)
            assert found[span, "peak"] == pytest.approx(peak, rel=tolerance)
            # A maximum is flat: its time is known to the root of what its height is known to.
            assert found[span, "time_of_peak"] == pytest.approx(when - begin, abs=3 * tolerance**0.5)
            assert found[span, "time_above"] == pytest.approx(above, abs=10 * tolerance)
            assert found[span, "first_crossing"] == pytest.approx(first - begin, abs=10 * tolerance)
        for index, span in enumerate(spans[:4]):
            trough = evaluate(figures, span, Request("trough", "esketamine"))[patient]
            before = exact.level(STARTS[index], before=True) if index else 0.0
            assert trough == pytest.approx(before, rel=10 * tolerance)
            moment = evaluate(figures, span, Request("level_at", "esketamine", moment=late))[patient]
            assert moment == pytest.approx(exact.level(STARTS[index] + 2.5, before=True), rel=10 * tolerance)
    assert crossed, "a dose that arrives in the next occasion is what this is about"


def test_amounts_are_continuous_and_levels_jump_with_the_volume() -> None:
    """At a session start whose dose comes later nothing but the volume changes."""
    model = pk.load_model(MODEL)
    people = _people(model)
    nets = occasions.networks(model, people, 4)
    assert nets is not None
    plan = schedule.build(pk.load_protocol(PROTOCOL), nets[0], occasions=nets)
    course = occasions.course(nets, plan)
    instant = 1e-9
    for index in (1, 2, 3):
        start = STARTS[index]
        before, after = course.amounts(np.array([start - instant, start])).transpose(1, 0, 2)
        # Nothing moves faster than about 3 per hour.
        assert after == pytest.approx(before, rel=10 * instant, abs=1e-7)
        levels = course.levels(np.array([start - instant, start]))[:, 0]
        volumes = nets[index - 1].values["V1"] / nets[index].values["V1"]
        assert levels[:, 1] / levels[:, 0] == pytest.approx(volumes, rel=1e-7)
        assert np.ptp(volumes) > 0.1


def test_effects_that_are_all_zero_give_the_plain_run() -> None:
    """Occasions without any difference: the same levels and figures but for rounding, by quite another way."""
    model = pk.load_model(MODEL)
    people = _people(model)
    still = replace(people, kappas={name: np.zeros_like(kappas) for name, kappas in people.kappas.items()})
    plain = replace(people, kappas={})
    for numerics, tolerance in ((AUTO, 1e-12), (Numerics(engine="ode"), 1e-7)):
        several, one = (
            pk.simulate(PROTOCOL, model, who, until="54 h", every="7 min", numerics=numerics) for who in (still, plain)
        )
        assert several.course is not None and one.course is None
        assert several.level() == pytest.approx(one.level(), rel=tolerance, abs=1e-11)
        assert several.sessions()["peak"].to_numpy() == pytest.approx(one.sessions()["peak"].to_numpy(), rel=tolerance)
        assert several.sessions()["auc"].to_numpy() == pytest.approx(one.sessions()["auc"].to_numpy(), rel=tolerance)


@pytest.mark.parametrize("tree", [MODEL, _saturable()], ids=["linear", "saturable"])
def test_a_patient_does_not_depend_on_the_block(tree: dict[str, Any]) -> None:
    """Bit for bit: alone or among 40, whose lags put their doses into other occasions."""
    model = pk.load_model(tree)
    people = _people(model, 40)
    whole = pk.simulate(PROTOCOL, model, people, until="40 h", every="30 min")
    figures = whole.sessions().set_index("subject")
    for patient in (0, 17, 39):
        one = Population(
            patient,
            1,
            {name: values[[patient]] for name, values in people.covariates.items()},
            {name: values[[patient]] for name, values in people.etas.items()},
            {name: values[:, [patient]] for name, values in people.kappas.items()},
        )
        alone = pk.simulate(PROTOCOL, model, one, until="40 h", every="30 min")
        assert np.array_equal(alone.level()[0], whole.level()[patient])
        for name in ("peak", "auc", "time_of_peak", "trough"):
            assert np.array_equal(alone.sessions()[name], figures.loc[patient + 1, name]), name


def test_effects_go_through_occasions_too() -> None:
    """A site and a turnover: without differences as in the plain run, alone as among others.

    The turnover needs the ODE core: steps to 1e-8, errors to ten times that.
    """
    model = pk.load_model(MODEL)
    effects = ("dissociation_olofsen2022", "antidepressant_response")
    people = _people(model)
    still = replace(people, kappas={name: np.zeros_like(kappas) for name, kappas in people.kappas.items()})
    alike, plain, varied = (
        pk.simulate(PROTOCOL, model, who, until="40 h", every="1 h", effects=effects)
        for who in (still, replace(people, kappas={}), people)
    )
    one = Population(
        4,
        1,
        {name: values[[4]] for name, values in people.covariates.items()},
        {name: values[[4]] for name, values in people.etas.items()},
        {name: values[:, [4]] for name, values in people.kappas.items()},
    )
    alone = pk.simulate(PROTOCOL, model, one, until="40 h", every="1 h", effects=effects)
    for name in plain.model.observables:
        assert alike.level(name) == pytest.approx(plain.level(name), rel=1e-7, abs=1e-7 * plain.level(name).max())
        assert np.array_equal(alone.level(name)[0], varied.level(name)[4])
        assert not np.array_equal(varied.level(name), plain.level(name))
    for name in ("peak", "trough", "auc"):
        found, expected = (result.sessions()[name].to_numpy(dtype=float) for result in (alike, plain))
        assert found == pytest.approx(expected, rel=1e-7, abs=1e-9, nan_ok=True)


def test_variance_of_the_logarithms() -> None:
    """nu2 within its sampling error, 4 x nu2 sqrt(2 / n); sessions and parameters are independent of each other."""
    model = pk.load_model(MODEL)
    count = 20_000
    people = _people(model, count, sessions=2)
    first, second = (parameters(model, people, session=session) for session in (1, 2))
    own = parameters(model, people)
    logs = {}
    for name, variance in VARYING.items():
        for session, found in enumerate((first, second)):
            log = np.log(found[name] / own[name])
            assert abs(log.var() - variance) < 4 * variance * (2 / count) ** 0.5, name
            assert abs(log.mean()) < 4 * (variance / count) ** 0.5, name
            logs[name, session] = log / log.std()
    correlation = np.corrcoef(np.stack(list(logs.values())))
    np.fill_diagonal(correlation, 0.0)
    # 66 pairs of independent normals: the largest of so many stays under 4.5 / sqrt(n).
    assert np.abs(correlation).max() < 4.5 / count**0.5
    assert np.array_equal(first["Q"], own["Q"])


def test_more_sessions_and_patients_reshuffle_nothing() -> None:
    """Streams are named for the parameter and the session, and counted by patient."""
    model = pk.load_model(MODEL)
    few, many = _people(model, 5, sessions=2).kappas, _people(model, 50, sessions=6).kappas
    for name in VARYING:
        assert np.array_equal(few[name], many[name][:2, :5])
    tree = copy.deepcopy(MODEL)
    tree["variability"]["between_occasion"] = {"Q": {"cv": "20 %"}, "CL": {"omega2": 0.1}}
    other = _people(pk.load_model(tree), 5, sessions=2).kappas
    assert set(other) == {"Q", "CL"}
    assert np.array_equal(other["CL"], few["CL"])


def test_variances_of_zero_are_the_run_without() -> None:
    """Nothing is drawn, so that the same code runs and gives the same bits."""
    tree = copy.deepcopy(MODEL)
    tree["variability"]["between_occasion"] = {name: {"omega2": 0.0} for name in VARYING}
    model = pk.load_model(tree)
    with_zero, without = _people(model), replace(_people(model), kappas={})
    assert not with_zero.kappas
    first, second = (pk.simulate(PROTOCOL, model, who) for who in (with_zero, without))
    assert np.array_equal(first.level(), second.level())


def test_shared_and_correlated_effects() -> None:
    """``eta`` shares the effect of another parameter in every session; a covariance holds within a session."""
    tree = copy.deepcopy(MODEL)
    block = {"V1": {"omega2": 0.1}, "CL": {"omega2": 0.2}, "V1~CL": {"correlation": 0.7}, "eta": {"V2": "V1"}}
    tree["variability"]["between_occasion"] = block
    count = 10_000
    kappas = _people(pk.load_model(tree), count, sessions=2).kappas
    assert np.array_equal(kappas["V2"], kappas["V1"])
    for session in (0, 1):
        r = np.corrcoef(kappas["V1"][session], kappas["CL"][session])[0, 1]
        assert abs(r - 0.7) < 4 * (1 - 0.7**2) / count**0.5


def test_too_few_occasions() -> None:
    """A population with the effects of two occasions cannot go through four sessions."""
    model = pk.load_model(MODEL)
    with pytest.raises(pk.InputError, match="effects of 2 occasions for 4 sessions"):
        pk.simulate(PROTOCOL, model, _people(model, sessions=2))


def test_events_of_a_stretch() -> None:
    """An infusion across both ends pours on in between; what ends or begins at an edge belongs to one side only."""
    events = EventList(2)
    events.infusion(np.array([0.0, 1.0]), 3.0, 0, np.array([3.0, 6.0]))
    events.bolus(2.0, 0, np.array([5.0, 5.0]))
    whole = events.events()
    first, middle, last = (
        occasions.within(whole, np.array([start]), np.array([end]), anchored=start > 0)
        for start, end in ((0.0, 2.0), (2.0, 3.0), (3.0, np.inf))
    )

    def said(part: Any, patient: int) -> list[tuple[float, int, float]]:
        column = patient if part.time.shape[1] > 1 else 0
        rows = [(part.time[e, column], int(part.kind[e]), part.value[e, patient]) for e in part.order[:, column]]
        return [row for row in rows if row[2]]

    assert said(first, 0) == [(0.0, RATE_ON, 1.0)]
    assert said(first, 1) == [(1.0, RATE_ON, 2.0)]
    assert said(middle, 0) == [(2.0, RATE_ON, 1.0), (2.0, JUMP, 5.0)]
    assert said(middle, 1) == [(2.0, RATE_ON, 2.0), (2.0, JUMP, 5.0)]
    assert said(last, 0) == []
    assert said(last, 1) == [(3.0, RATE_ON, 2.0), (4.0, RATE_OFF, 2.0)]
    events.add(1.0, RESET, 0, np.ones(2))
    with pytest.raises(ValueError, match="does not follow its beginning"):
        occasions.within(events.events(), np.array([0.0]), np.array([2.0]), anchored=False)


def test_parameters_of_sessions_reach_the_network() -> None:
    """The fraction of a session is in its doses and nowhere else: amounts that arrive, one session at a time."""
    model = pk.load_model(MODEL)
    people = _people(model)
    nets = occasions.networks(model, people, 4)
    assert nets is not None
    _, deliveries = schedule.given(pk.load_protocol(PROTOCOL), build(model, people), occasions=nets)
    by_session = [deliveries[index : index + 2] for index in range(0, 8, 2)]
    for net, (slow, fast) in zip(nets, by_session, strict=True):
        assert np.array_equal(slow.fraction, net.values["F1"])
        assert np.array_equal(slow.duration, net.values["D1"])
        assert np.array_equal(fast.lag, net.values["LAG"])
