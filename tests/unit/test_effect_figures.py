"""Figures of effects: against closed forms, against dense sampling, and in rules, bands and files of a run."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

import pkmodel as pk
from pkmodel import effect_figures, exact_figures, network, schedule, simulation
from pkmodel import study as studies
from pkmodel.core import sketch
from pkmodel.metrics import Request, Span, evaluate
from pkmodel.population import Patient, Population, sample_covariates, sample_effects
from pkmodel.readout import Link
from pkmodel.specs.attach import attach
from pkmodel.specs.library import Scenario, load_scenario
from pkmodel.specs.model import ModelSpec
from pkmodel.specs.rule_checks import offered
from pkmodel.specs.window import Moment
from pkmodel.study import Study

PATIENT = Patient(weight="70 kg", age="40 y", sex="female", height="165 cm")
K, V = 0.9, 100.0
ONE: dict[str, Any] = {
    "id": "one",
    "title": "One compartment",
    "drug": "esketamine",
    "source": "nobody",
    "evidence": "unsourced",
    "sampling": "venous",
    "population": {"description": "nobody"},
    "parameters": {"K": {"value": f"{K} 1/h", "from": "here"}, "V": {"value": f"{V} L", "from": "here"}},
    "compartments": ["central"],
    "flows": [{"from": "central", "to": "outside", "rate": "K"}],
    "routes": {"iv": [{"into": "central"}]},
    "outputs": {"esketamine": {"amount": "central", "volume": "V", "unit": "ng/mL"}},
}


def _protocol(dose: str, over: str | None = None, days: tuple[int, ...] = (1,)) -> Any:
    phase = {"name": "one", "dose": dose, "sessions": {"days": list(days)}} | ({} if over is None else {"over": over})
    return pk.load_protocol({"title": "A test", "drug": "esketamine", "route": "iv", "phases": [phase]})


def _effect(**parts: Any) -> dict[str, Any]:
    head = {"id": "small", "title": "Small", "drug": "esketamine", "source": "nobody", "on": "esketamine"}
    return {**head, "evidence": "assumed", "from": "here", **parts}


# Closed forms


def test_a_site_in_steady_state_and_half_way() -> None:
    """A long infusion of K V 121 ng/mL brings plasma and site to the C50, and the effect to a half."""
    rate = K * V * 0.121  # mg/h
    model = attach(pk.load_model(ONE), ["dissociation_olofsen2022"])
    result = pk.simulate(_protocol(f"{rate * 60} mg", "60 h"), model, PATIENT, until="60 h", every="10 h")
    # e^(-0.9 * 60) is less than a rounding error.
    assert result.amounts[0, -1, -1] == pytest.approx(0.121, rel=1e-13)
    assert result.level("dissociation_olofsen2022")[0, -1] == pytest.approx(0.5, rel=1e-12)


def test_the_half_life_of_a_site() -> None:
    """Under a level that stays (a drug that is hardly lost), half of the way is gone after 8.3 min."""
    tree = {**ONE, "parameters": {**ONE["parameters"], "K": {"value": "1e-9 1/h", "from": "here"}}}
    model = attach(pk.load_model(tree), ["dissociation_olofsen2022"])
    result = pk.simulate(_protocol("10 mg"), model, PATIENT, until="83 min", every="8.3 min")
    np.testing.assert_allclose(result.amounts[0, :, -1] / 0.1, 1 - 0.5 ** np.arange(11), rtol=0, atol=3e-9)


def test_a_bolus_behind_a_site() -> None:
    """Ce = ke0 C0 / (ke0 - k) (e^-kt - e^-ke0 t), highest at ln(ke0 / k) / (ke0 - k); its area is that of plasma."""
    file = _effect(effect_site={"ke0": "5 1/h"})
    model = attach(pk.load_model(ONE), [file])
    sessions = pk.simulate(_protocol("20 mg"), model, PATIENT, until="30 h").sessions().set_index("output")
    peak_time = math.log(5 / K) / (5 - K)
    peak = 200 * 5 / (5 - K) * (math.exp(-K * peak_time) - math.exp(-5 * peak_time))
    assert sessions.loc["small", "time_of_peak"] == pytest.approx(peak_time, rel=1e-7)  # a flat top: root of 1e-15
    assert sessions.loc["small", "peak"] == pytest.approx(peak, rel=1e-12)
    assert sessions.loc["small", "auc"] == pytest.approx(200 / K, rel=1e-10)
    assert sessions.loc["small", "unit"] == "ng/mL"


def test_times_of_a_curve_of_a_bolus() -> None:
    """A direct Emax curve of C0 e^-kt is above a threshold until ln(C0 / c) / k, with c from its inverse."""
    model = attach(pk.load_model(ONE), [_effect(emax={"e0": 2, "emax": 8, "c50": "100 ng/mL"}, unit="points")])
    net = network.build(model, PATIENT.population())
    plan = schedule.build(_protocol("50 mg"), net, fraction_of_drug=1.0)
    limits = (1.0, 2.0, 6.0, 8.0, 10.0, 11.0)
    found = exact_figures.course_figures(net, plan, thresholds={"small": limits}, effects=["small"])["small"]
    span = Span("session", 1)
    above = [float(evaluate(found, span, Request("time_above", "small", limit))[0]) for limit in limits]
    below = [float(evaluate(found, span, Request("time_below", "small", limit))[0]) for limit in limits]
    first = [float(evaluate(found, span, Request("first_crossing", "small", limit))[0]) for limit in limits]
    # 6 is half way: c = 100; 8 is three quarters: c = 300. 2 and less is always passed, 10 and more never.
    expected = [24.0, 24.0, math.log(5) / K, math.log(500 / 300) / K, 0.0, 0.0]
    assert above == pytest.approx(expected, rel=1e-12)
    assert below == pytest.approx([24 - hours for hours in expected], rel=1e-12)
    assert first == [0.0, 0.0, 0.0, 0.0, math.inf, math.inf]
    assert evaluate(found, span, Request("peak", "small"))[0] == pytest.approx(2 + 8 * 5 / 6, rel=1e-13)
    assert evaluate(found, span, Request("trough", "small"))[0] == 2.0


# Inverse curves


@pytest.mark.parametrize("emax", [3.0, -3.0])
@pytest.mark.parametrize("hill", [0.6, 1.0, 3.71, 5.33])
def test_level_at_is_the_inverse(emax: float, hill: float) -> None:
    """Over six decades; the closer to an end of the curve, the less of the level is left in the value."""
    level = np.geomspace(1e-3, 1e3, 37)[None]
    link = Link(np.full(1, 1.5), np.full(1, emax), np.full(1, 0.4), np.full(1, hill))
    found = effect_figures.level_at(link, link.of(level)[0][:, None], emax < 0)[:, 0]
    share = 1 / (1 + (0.4 / level[0]) ** hill)
    known = (share > 1e-9) & (share < 1 - 1e-9)
    assert known.sum() >= 15
    slope = hill * share * (1 - share)  # of the share by the logarithm of the level
    error = np.abs(np.log(found / level[0]))
    assert (error[known] <= 4e-16 * 4.5 / 3 / slope[known] + 1e-14).all()


@pytest.mark.parametrize(
    ("emax", "falling", "value", "expected"),
    [
        (3.0, False, 1.0, -1.0),  # every level is above it
        (3.0, False, 1.5, 0.0),  # all but none at all
        (3.0, False, 4.5, math.inf),  # only an infinite one
        (3.0, False, 5.0, math.inf),
        (-3.0, True, 2.0, -1.0),  # every level is below it
        (-3.0, True, 1.5, 0.0),
        (-3.0, True, -1.5, math.inf),
        (-3.0, True, -2.0, math.inf),
        (0.0, False, 1.0, -1.0),  # flat at 1.5
        (0.0, False, 1.5, math.inf),
        (0.0, True, 2.0, -1.0),
        (0.0, True, 1.5, math.inf),
    ],
)
def test_levels_beyond_the_ends(emax: float, falling: bool, value: float, expected: float) -> None:
    """At, above and below what a curve can reach, without a NaN."""
    link = Link(np.full(1, 1.5), np.full(1, emax), np.full(1, 0.4), np.full(1, 2.0))
    assert effect_figures.level_at(link, np.array([[value]]), falling)[0, 0] == expected


# Dense sampling

MOMENT = Moment(0.5, "end", "30 min after session_end")
LIMITS = {
    "esketamine": (100.0,),
    "rising": (0.1, 0.5),
    "falling": (4.0, 2.5),
    "turnover": (95.0, 92.0),
    "site": (60.0,),
}
FILES = [
    _effect(
        id="rising",
        effect_site={"half_life": "8.3 min"},
        sigmoid={"e0": 0, "emax": 1, "c50": "C50", "hill": 5.33},
        parameters={"C50": {"value": "121 ng/mL", "from": "here"}},
        variability={"between_subject": {"C50": {"cv": "40 %"}}},
    ),
    _effect(id="falling", emax={"e0": 5, "emax": -5, "c50": "100 ng/mL"}, unit="points"),
    _effect(id="site", effect_site={"half_life": "30 min"}),
]
TURNOVER = _effect(
    id="turnover",
    turnover={"baseline": "93 mmHg", "kout": "2 1/h", "production": {"stimulate": {"emax": 0.1, "c50": "100 ng/mL"}}},
    unit="mmHg",
)


def _people(model: ModelSpec, n: int) -> Population:
    people = sample_covariates(pk.load_population("adults_trials"), 9, 0, n)
    return sample_effects(people, model, 9)


@pytest.mark.parametrize("turnover", [False, True])
def test_figures_against_dense_sampling(turnover: bool) -> None:
    """Two infusions on two days, sampled every 4 s: every metric of every effect, in patients who differ."""
    model = attach(
        pk.load_model("esketamine_otto2021"), [*FILES, TURNOVER][3 if turnover else 0 : 4 if turnover else 3]
    )
    net = network.build(model, _people(model, 8 if turnover else 24))
    protocol = _protocol("0.5 mg/kg", "40 min", (1, 2))
    plan = schedule.build(protocol, net, fraction_of_drug=1.0)
    names = list(model.effects)
    wanted = {name: LIMITS[name] for name in ["esketamine", *names]}
    figures = exact_figures.course_figures(
        net, plan, thresholds=wanted, moments=[MOMENT], between=True, effects=names, lowest=names, last=24.0
    )
    step = 4.0 / 3600
    grid = step * np.arange(round(24 / step) + 1)
    for session in (1, 2):
        time = 24.0 * (session - 1) + grid
        levels = dict(zip(names, effect_figures.levels(net, plan.events, time, simulation.AUTO), strict=True))
        for name in names:
            sampled = levels[name]
            has = offered(model, name)

            def exact(metric: str, threshold: float | None = None, name: str = name, session: int = session) -> Any:
                moment = MOMENT if metric == "level_at" else None
                return evaluate(figures[name], Span("session", session), Request(metric, name, threshold, moment))

            reach = np.ptp(sampled, axis=1) + 1e-9
            if "peak" in has:
                highest = exact("peak")
                assert (highest >= sampled.max(axis=1) - 1e-7 * reach).all()
                assert (highest <= sampled.max(axis=1) + 2e-3 * reach).all()
                # At a flat top a second is more than the difference shows.
                at = time[sampled.argmax(axis=1)] - time[0]
                assert np.abs(exact("time_of_peak") - at).max() <= 30 * step
            if "lowest" in has:
                assert (exact("lowest") <= sampled.min(axis=1) + 1e-12).all()
                assert (exact("lowest") >= sampled.min(axis=1) - 2e-3 * reach).all()
            for limit in LIMITS[name]:
                inside = (sampled > limit).sum(axis=1) * step
                crossings = (np.diff(np.signbit(sampled - limit), axis=1) != 0).sum(axis=1)
                assert (np.abs(exact("time_above", limit) - inside) <= (crossings + 1) * step + 1e-9).all()
                assert limit != LIMITS[name][0] or (crossings > 0).any(), "a limit that shows nothing"
                np.testing.assert_allclose(exact("time_below", limit) + exact("time_above", limit), 24, rtol=1e-12)
                if "first_crossing" in has:
                    passed = (sampled > limit).any(axis=1)
                    first = np.where(passed, grid[(sampled > limit).argmax(axis=1)], np.inf)
                    found = exact("first_crossing", limit)
                    assert (np.isfinite(found) == passed).all()
                    assert (np.abs(found[passed] - first[passed]) <= step).all()
            moment = np.array([time[0] + 40 / 60 + 0.5])
            there = effect_figures.levels(net, plan.events, moment, simulation.AUTO)[names.index(name)][:, 0]
            np.testing.assert_allclose(exact("level_at"), there, rtol=1e-7, atol=1e-12)
            before = net.effects[name].of(net.initial[:, None, :])[:, 0] if session == 1 else None
            if before is not None:
                np.testing.assert_array_equal(exact("trough"), before)
            else:
                before = effect_figures.levels(net, plan.events, np.array([24.0]), simulation.AUTO)[names.index(name)][
                    :, 0
                ]
                np.testing.assert_allclose(exact("trough"), before, rtol=1e-7, atol=1e-12)


def test_the_area_of_a_turnover() -> None:
    """dR/dt = kout (B (1 + E) - R) over all of a course: the area above the baseline is that of B E."""
    model = attach(pk.load_model(ONE), [TURNOVER])
    found = pk.simulate(_protocol("50 mg"), model, PATIENT, until="40 h").sessions().set_index("output")
    # E = 0.1 C / (100 + C) of C0 e^-kt: its area is 0.1 ln(1 + C0 / 100) / k.
    assert found.loc["turnover", "auc"] == pytest.approx(93 * (40 + 0.1 * math.log(6) / K), rel=1e-8)
    assert found.loc["turnover", "trough"] == 93.0


def test_an_effect_that_rises_in_some_and_falls_in_others() -> None:
    """Its figures cannot be those of one end of the level, and it is refused with the patient."""
    file = _effect(
        emax={"e0": "0 mmHg", "emax": "A", "c50": "100 ng/mL"},
        unit="mmHg",
        parameters={"A": {"value": "3 mmHg", "from": "here", "lower": "-99 mmHg"}},
        variability={"between_subject": {"A": {"sd": 4.0, "transform": "normal"}}},
    )
    model = attach(pk.load_model(ONE), [file])
    net = network.build(model, _people(model, 50))
    with pytest.raises(pk.InputError, match=r"small rises in a typical adult, but not in patient \d+"):
        effect_figures.follow(net, "small")


# Sketches of either sign


def test_signed_sketches() -> None:
    """Quantiles within half a bin of the sample's; added in parts they are the same."""
    rng = np.random.default_rng(4)
    values = np.sign(rng.uniform(-1, 1, (4001, 3))) * 10 ** rng.uniform(-3, 3, (4001, 3))
    values[:, 1] = np.abs(values[:, 1])
    values[::2, 2] = 0.0
    whole = np.zeros((3, sketch.SIGNED), dtype=np.uint32)
    sketch.count_signed(values, whole)
    parts = np.zeros_like(whole)
    for part in (values[:1000], values[1000:]):
        sketch.count_signed(np.ascontiguousarray(part), parts)
    np.testing.assert_array_equal(whole, parts)
    shares = np.array([0.05, 0.25, 0.5, 0.75, 0.95])
    found = sketch.quantiles(whole, shares)
    ranks = np.ceil(shares * 4001).astype(int) - 1
    expected = np.sort(values, axis=0)[ranks].T
    np.testing.assert_allclose(found, expected, rtol=sketch.RELATIVE_ERROR)
    assert not np.signbit(found[2][expected[2] == 0]).any()


# Runs

SCENARIO: dict[str, Any] = {
    "title": "Effects of the racemate",
    "arms": {"flat": {"protocol": "iv_single"}},
    "model": "ketamine_clements1981",
    "effects": ["dissociation_olofsen2022", "sedation_herd2008", "heart_rate", "psychedelic_bowdle1998"],
    "population": "adults_trials",
    "n": 300,
    "seed": 5,
    "observe": {"every": "5 min", "for": "2 h"},
    "rules": [
        {"id": "peak", "metric": "peak", "output": "dissociation_olofsen2022", "at_most": "10 %", "in": "90 %"},
        {"id": "time", "metric": "time_above", "output": "dissociation_olofsen2022", "threshold": 0.05,
         "at_most": "20 min", "in": "90 %"},
        {"id": "awake", "metric": "lowest", "output": "sedation_herd2008", "at_least": 4, "in": "90 %"},
        {"id": "drowsy", "metric": "time_below", "output": "sedation_herd2008", "threshold": 4,
         "at_most": "10 min", "in": "90 %"},
        {"id": "pulse", "metric": "level_at", "output": "heart_rate", "at": "1 h after session_end",
         "at_most": "2 1/min", "in": "90 %"},
        {"id": "level", "metric": "peak", "at_most": "200 ng/mL", "in": "90 %"},
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    """Rules on effects of every kind beside one on a level."""
    return load_scenario(SCENARIO)


@pytest.fixture(scope="module")
def study(scenario: Scenario) -> Study:
    """In one chunk."""
    return studies.run(scenario, chunk=300)


@pytest.mark.parametrize(("chunk", "jobs"), [(7, 1), (64, 2), (1024, 2)])
def test_chunks_and_workers_change_no_bit(scenario: Scenario, study: Study, chunk: int, jobs: int) -> None:
    """Of findings and bands, effects among them."""
    other = studies.run(scenario, chunk=chunk, jobs=jobs)
    for name in ("findings", "bands", "session_peaks"):
        pd.testing.assert_frame_equal(getattr(other, name), getattr(study, name), check_exact=True)


def test_findings_are_those_of_the_patients(scenario: Scenario, study: Study) -> None:
    """Counted by hand from sampled effects of the same people; who sits within a step of a limit may differ."""
    model = scenario.arms[0].models[0]
    people = sample_effects(sample_covariates(scenario.population, 5, 0, 300), model, 5)
    net = network.build(model, people)
    plan = schedule.build(scenario.arms[0].protocol, net, fraction_of_drug=1.0)
    step = 10 / 3600
    time = step * np.arange(round(24 / step) + 1)
    seen = dict(zip(model.effects, effect_figures.levels(net, plan.events, time, simulation.AUTO), strict=True))
    dissociation, sedation = seen["dissociation_olofsen2022"], seen["sedation_herd2008"]
    pulse = seen["heart_rate"][:, round((40 / 60 + 1) / step)]
    kept = {
        "peak": (dissociation.max(axis=1), 0.1, 1e-4),
        "time": ((dissociation > 0.05).sum(axis=1) * step, 20 / 60, 2 * step),
        "awake": (-sedation.min(axis=1), -4.0, 1e-3),
        "drowsy": ((sedation <= 4).sum(axis=1) * step, 10 / 60, 2 * step),
        "pulse": (pulse, 2.0, 1e-9),
    }
    counts = {item.rule: item.n_met for item in study.results}
    for rule, (values, limit, width) in kept.items():
        near = int((np.abs(values - limit) < width).sum())
        assert near < 10
        assert abs(counts[rule] - int((values <= limit).sum())) <= near
        assert 20 < counts[rule] < 300, "a rule that everybody keeps, or nobody, would show nothing"
    assert {item.output for item in study.results} == {"ketamine", *model.effects}


def test_bands_hold_effects(study: Study) -> None:
    """Dissociation has no spread of its own, so its quantiles are its curve at the quantiles of its site."""
    bands = study.bands
    assert set(bands["output"]) == {"ketamine", *study.cases[0].model.effects}
    assert set(bands.loc[bands["output"] == "heart_rate", "note"]) == {"illustrative"}
    assert set(bands.loc[bands["output"] == "sedation_herd2008", "note"]) == {""}
    model = study.cases[0].model
    net = network.build(model, sample_effects(sample_covariates(study.scenario.population, 5, 0, 300), model, 5))
    plan = schedule.build(study.scenario.arms[0].protocol, net, fraction_of_drug=1.0)
    site = simulation.amounts_at(net, plan, study.cases[0].times)[
        ..., net.states.index("dissociation_olofsen2022.site")
    ]
    part = bands[bands["output"] == "dissociation_olofsen2022"]
    for column, share in (("p5", 0.05), ("p50", 0.5), ("p95", 0.95)):
        at = np.sort(site, axis=0)[math.ceil(share * 300) - 1]
        curve = 1 / (1 + (0.121 / np.maximum(at, 1e-12)) ** 5.33)
        np.testing.assert_allclose(
            part[column], np.where(curve < 2.0**-14, 0, curve), rtol=1.01 * sketch.RELATIVE_ERROR
        )


def test_a_formula_below_zero_has_bands() -> None:
    """What no logarithmic count of levels could hold: a change that falls below 0."""
    model = pk.load_model("esketamine_otto2021")
    change = _effect(
        id="change",
        on={"s": "esketamine", "n": "noresketamine"},
        effect="A * (s - n) / C",
        unit="mmHg",
        parameters={
            "A": {"value": "3 mmHg", "from": "here"},
            "C": {"value": "100 ng/mL", "from": "here"},
        },
    )
    tree = {**SCENARIO, "model": "esketamine_otto2021", "arms": {"flat": {"protocol": "esketamine_iv_single"}}}
    tree |= {"rules": [SCENARIO["rules"][-1]], "effects": [], "n": 60, "observe": {"every": "10 min", "for": "6 h"}}
    scenario = load_scenario(tree)
    from dataclasses import replace

    arm = replace(scenario.arms[0], models=(attach(model, [change]),))
    found = studies.run(replace(scenario, arms=(arm,))).bands
    part = found[found["output"] == "change"]
    assert part["p95"].max() > 2
    assert part["p5"].min() < -0.5
    assert (part[["p5", "p25", "p50", "p75", "p95"]].diff(axis=1).iloc[:, 1:] >= 0).all(axis=None)


@pytest.mark.usefixtures("pictures")
def test_files_of_a_run_with_effects(tmp_path: Path, scenario: Scenario) -> None:
    """Metrics, patients, JSON and pictures; the word illustrative beside its numbers."""
    import json

    pk.run(scenario.with_options(n=40), out=tmp_path, all_metrics=True)
    table = pd.read_parquet(tmp_path / "metrics.parquet")
    metrics_of = table.groupby("output", observed=True)["metric"].unique().map(set).to_dict()
    assert metrics_of["dissociation_olofsen2022"] == {"peak", "time_of_peak", "trough", "lowest", "time_above"}
    assert metrics_of["sedation_herd2008"] == {"lowest", "trough", "time_below"}
    of_levels = {"peak", "time_of_peak", "trough", "lowest", "auc", "average", "fluctuation", "accumulation_ratio"}
    assert metrics_of["ketamine"] == of_levels
    taught = table.loc[table["output"] == "heart_rate", "condition"]
    assert taught.str.endswith("illustrative").all()
    assert set(table.loc[table["metric"] == "time_below", "condition"]) == {"4 points"}
    patients = pd.read_parquet(tmp_path / "patients.parquet")
    assert {"sedation_herd2008_EC50", "eta_sedation_herd2008_EC50"} <= set(patients.columns)
    found = json.loads((tmp_path / "findings.json").read_text())
    said = {item["name"]: item["illustrative"] for item in found["effects"]["ketamine_clements1981"]}
    assert said["heart_rate"]
    assert not said["psychedelic_bowdle1998"]
    assert any("takes half of ketamine" in sentence for sentence in found["assumptions"])
    assert any("is illustrative" in sentence for sentence in found["assumptions"])
    assert "effects/dissociation_olofsen2022" not in (tmp_path / "manifest.json").read_text()
    inputs = json.loads((tmp_path / "manifest.json").read_text())["inputs"]
    assert {f"effect {name}" for name in SCENARIO["effects"]} <= set(inputs)
    assert (tmp_path / "bands.png").stat().st_size > 10_000


def test_without_effects_nothing_is_added(tmp_path: Path) -> None:
    """The columns of a run without effects are what they were."""
    tree = {**SCENARIO, "effects": [], "rules": [SCENARIO["rules"][-1]], "n": 20}
    found = studies.run(load_scenario(tree))
    assert "note" not in found.bands
    assert all(sums.effects.size == 0 for sums in found.sums)


def test_comparison_of_effects() -> None:
    """Arms by an effect, with the thresholds of the rules on that effect only."""
    tree = {**SCENARIO, "n": 40, "arms": {"one": {"protocol": "iv_single"}, "two": {"protocol": "iv_six_infusions"}}}
    compare = {"reference": "one", "metrics": ["lowest", "time_below"], "output": "sedation_herd2008"}
    rows = studies.run(load_scenario({**tree, "compare": {**compare, "window": {"session": 1}}})).comparison
    assert list(rows["metric"]) == ["lowest", "time_below"]
    assert list(rows["condition"].fillna("")) == ["", "4 points"]
    # The first sessions are alike, but for doses that one of the protocols rounds to 1 mg.
    np.testing.assert_allclose(rows["median"], rows["median_reference"], rtol=2e-3)


def test_models_of_the_command_line_get_the_effects(scenario: Scenario) -> None:
    """`--model` swaps the models; effects go on them as on the scenario's own, or are refused by name."""
    other = scenario.with_models(["ketamine_domino1984"])
    assert list(other.arms[0].models[0].effects) == ["dissociation_olofsen2022", "sedation_herd2008", "heart_rate"]
    alone = load_scenario({**SCENARIO, "arms": {"flat": {"protocol": "esketamine_iv_single"}},
                           "model": "esketamine_otto2021", "effects": ["dissociation_olofsen2022", "heart_rate"],
                           "rules": SCENARIO["rules"][:2]})  # fmt: skip
    racemic = alone.with_models(["ketamine_clements1981"])
    assert any("takes all of ketamine" in said for said in racemic.arms[0].models[0].assumptions)


def test_a_scenario_file_names_an_effect_beside_it(tmp_path: Path) -> None:
    """By path, from the folder of the scenario."""
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({**_effect(emax={"e0": 0, "emax": 1, "c50": "90 ng/mL"})}))
    tree = {**SCENARIO, "effects": ["mine.yaml"], "n": 20}
    tree["rules"] = [{"id": "a", "metric": "peak", "output": "small", "at_most": 0.6, "in": "90 %"}]
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(tree))
    assert studies.run(load_scenario(tmp_path / "run.yaml")).results[0].output == "small"
