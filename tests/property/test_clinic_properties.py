"""Random rules of a clinic: the ledger replays to the last bit, no rule is broken, and nothing given is lost.

``PKMODEL_CLINIC_EXAMPLES`` sets how many cases are drawn (25 without it).
"""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pkmodel as pk
from pkmodel import engine, ward
from pkmodel.core.kinds import JUMP, RATE_ON
from pkmodel.ledger import GIVEN, Ledger
from pkmodel.population import sample_covariates, sample_effects
from pkmodel.specs.library import load_population
from pkmodel.treatment import treat

EXAMPLES = int(os.environ.get("PKMODEL_CLINIC_EXAMPLES", "25"))
NASAL: dict[str, Any] = {"drug": "esketamine", "route": "intranasal", "device": {"strength": "28 mg", "rest": "5 min"}}
#: Models, how they are dosed, and a level that is often passed (ng/mL).
COURSES: dict[str, tuple[str, dict[str, Any], dict[str, Any], float]] = {
    "linear, iv": (
        "ketamine_kamp2020",
        {"drug": "ketamine", "route": "iv"},
        {"dose": "0.5 mg/kg", "over": "40 min"},
        180.0,
    ),
    "linear, nasal": ("esketamine_perezruixo2021", NASAL, {"dose": "84 mg"}, 40.0),
    "saturable, nasal": (
        str(Path(__file__).parents[1] / "reference/saturable_nasal.yaml"),
        NASAL,
        {"dose": "84 mg"},
        40.0,
    ),
}
SHARES = st.sampled_from([0.02, 0.3, 0.8, 1.0, 1.3, 3.0])


@st.composite
def signs(draw: st.DrawFn, level: float, metric: bool) -> dict[str, Any]:
    """A level or a metric above or below a limit near what is seen, alone or with another."""
    if draw(st.integers(0, 4)) == 0:
        parts = st.lists(signs(level, metric), min_size=1, max_size=2)
        return {draw(st.sampled_from(["all", "any"])): draw(parts)}
    sign: dict[str, Any] = {
        "output": "parent",
        draw(st.sampled_from(["above", "below"])): f"{level * draw(SHARES)} ng/mL",
    }
    if metric:
        sign["metric"] = draw(st.sampled_from(["peak", "trough"]))
    return sign


@st.composite
def rules(draw: st.DrawFn, level: float, devices: bool) -> dict[str, Any]:
    """Rules of every stage."""
    before = st.one_of(
        st.sampled_from(["skip", "end_course"]),
        st.fixed_dictionaries(
            {
                "hold": st.sampled_from(["7 min", "1 h"]),
                "at_most": st.integers(1, 3),
                "otherwise": st.sampled_from(["skip", "give", "end_course"]),
            }
        ),
        st.fixed_dictionaries({"delay": st.just("1 d")}),
    )
    pause = st.fixed_dictionaries(
        {
            "pause": st.sampled_from(["4 min", "11 min"]),
            "at_most": st.integers(1, 3),
            "otherwise": st.sampled_from(["stop", "go_on"]),
        }
    )
    during = [st.sampled_from(["stop", "end_course"]), pause]
    during += [] if devices else [st.fixed_dictionaries({"rate": st.sampled_from(["50 %", "20 %", "100 %"])})]
    change = (
        st.fixed_dictionaries({"step": st.sampled_from(["up", "down"])})
        if devices
        else st.one_of(
            st.fixed_dictionaries({"dose": st.sampled_from(["-25 %", "+40 %"])}),
            st.fixed_dictionaries({"dose": st.just("+0.1 mg/kg"), "up_to": st.just("0.8 mg/kg")}),
        )
    )
    between = st.one_of(
        change, st.sampled_from(["repeat", "end_course"]), st.fixed_dictionaries({"interval": st.just("+1 d")})
    )

    def some(then: st.SearchStrategy[Any], metric: bool = False) -> list[dict[str, Any]]:
        pair = st.fixed_dictionaries({"if": signs(level, metric), "then": then})
        return draw(st.lists(pair, max_size=2))

    found = {
        "before_session": some(before),
        "during_session": {
            "every": draw(st.sampled_from(["3 min", "5 min", "9.5 min"])),
            "rules": some(st.one_of(during)),
        },
        "between_sessions": some(between, metric=True),
    }
    if any(isinstance(rule["then"], dict) and "step" in rule["then"] for rule in found["between_sessions"]):
        found["ladder"] = ["28 mg", "84 mg", "112 mg"]
    return found


@st.composite
def cases(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """A course with rules, and who comes when."""
    name = draw(st.sampled_from(list(COURSES)))
    _, head, dose, level = COURSES[name]
    phase = {"name": "one", **dose, "sessions": {"days": [1, 2, 5]}}
    protocol = {"title": "x", **head, "phases": [phase], "clinic": draw(rules(level, "device" in head))}
    if draw(st.booleans()):
        missed = {"share": "30 %"}
        after = draw(st.sampled_from(["continue", "repeat", "end_course", {"make_up": "5 h"}]))
        late = {"share": "40 %", "by": ["10 min", "3 h"]}
        protocol["adherence"] = {
            "missed": missed,
            "late": late,
            "after_missed": after,
            "seed": draw(st.integers(0, 99)),
        }
        protocol["adherence"]["after_late"] = draw(st.sampled_from(["keep", "shift"]))
    return name, protocol


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(cases())
def test_a_ledger_replays_to_the_last_bit(case: tuple[str, dict[str, Any]]) -> None:
    """Whatever the rules decide, what was given, taken through the same stops, gives the same states."""
    name, protocol = case
    model = pk.load_model(COURSES[name][0])
    who = sample_effects(sample_covariates(load_population("adults_trials"), 1, 0, 11), model, 1)
    found = treat(model, who, pk.load_protocol(protocol), 1.0, keep=True)
    ledger = found.ledger
    assert ledger is not None
    states = ward.replay(ledger, [found.network] * 3)
    assert len(states) == len(ledger.states) == len(ledger.stops) >= 3
    for mine, theirs in zip(states, ledger.states, strict=True):
        assert np.isfinite(mine).all()
        np.testing.assert_array_equal(mine, theirs)
    _nothing_is_lost(ledger, found.plan.events, model.id)
    _alone(protocol, model.id, COURSES[name][0], ledger)
    if found.network.dynamics is None:  # the plain kernel, which knows nothing of sessions, on the plan as it was given
        _plain_kernel(found.network.system, found.plan.events, ledger)


def _nothing_is_lost(ledger: Ledger, events: Any, model: str) -> None:
    """Runs follow one another, every mg is in the plan, and nothing is given in a session that was not."""
    given = np.zeros(ledger.size)
    for entry in ledger.entries:
        programme = entry.programme
        assert (programme.given()[entry.status != GIVEN] == 0.0).all()
        assert (programme.end() >= entry.start).all() and (entry.start >= entry.due).all()
        given = given + programme.given()
        pump = [run for run in programme.runs if run.over.any()]
        for earlier, later in itertools.pairwise(pump):
            both = (earlier.amount > 0) & (later.amount > 0)
            assert (later.begins[both] >= earlier.end[both] - 1e-12).all()
    if model == "ketamine_kamp2020":
        on = events.kind == RATE_ON
        hours = np.broadcast_to(events.time, events.value.shape)
        poured = (events.value[on] * (hours[np.flatnonzero(on) + 1] - hours[on])).sum(axis=0)
        assert not (events.kind == JUMP).any()
        np.testing.assert_allclose(poured, given, rtol=1e-9, atol=1e-9)  # hours near 200, of 3e-14 each


def _alone(protocol: dict[str, Any], model: str, source: str, ledger: Ledger) -> None:
    """A patient alone has the same course, to the bit."""
    loaded = pk.load_model(source)
    who = sample_effects(sample_covariates(load_population("adults_trials"), 1, 4, 1), loaded, 1)
    own = treat(loaded, who, pk.load_protocol(protocol), 1.0).ledger
    assert own is not None
    for mine, theirs in zip(own.entries, ledger.entries, strict=True):
        assert mine.start[0] == theirs.start[4]
        assert mine.status[0] == theirs.status[4]
        assert mine.programme.given()[0] == theirs.programme.given()[4]


def _plain_kernel(system: Any, events: Any, ledger: Ledger) -> None:
    count = system.rates.shape[1]
    time = np.maximum.accumulate([np.where(whom, when, -1.0) for whom, when, _ in ledger.stops], axis=0)
    levels = engine.levels(system, events, time, np.arange(count), np.ones((count, ledger.size)))
    hours = np.where(events.value != 0.0, events.time, np.nan)
    for index, (whom, when, _) in enumerate(ledger.stops):
        arrives = (np.abs(hours - when) < 1e-9).any(axis=0)  # is in the level of the plain kernel already
        seen = whom & ~arrives
        np.testing.assert_array_equal(ledger.states[index][seen], levels[seen, :, index])
