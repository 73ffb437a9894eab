"""The clinic in the loop, by hand: one compartment whose levels can be worked out with a pocket calculator.

An infusion of 60 mg/h into V = 100 L with K = 0.9 1/h gives 666.7 (1 - exp(-0.9 t)) ng/mL: 200 ng/mL after 23.8 min.
1e-12 is the rounding of a few sums of hours and milligrams.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import pkmodel as pk
from pkmodel import engine, network, schedule, study, ward
from pkmodel.errors import InputError
from pkmodel.ledger import ENDED, GIVEN, MISSED, SKIPPED, Ledger
from pkmodel.population import Patient, Population, sample_covariates, sample_effects, sample_occasions
from pkmodel.specs.library import load_population
from pkmodel.specs.model import ModelSpec
from pkmodel.treatment import Treatment, treat

K, V = 0.9, 100.0
ONE: dict[str, Any] = {
    "id": "one",
    "title": "One compartment",
    "drug": "ketamine",
    "source": "nobody",
    "evidence": "unsourced",
    "sampling": "venous",
    "population": {"description": "nobody"},
    "parameters": {"K": {"value": f"{K} 1/h", "from": "here"}, "V": {"value": f"{V} L", "from": "here"}},
    "compartments": ["central"],
    "flows": [{"from": "central", "to": "outside", "rate": "K"}],
    "routes": {"iv": [{"into": "central"}]},
    "outputs": {"ketamine": {"amount": "central", "volume": "V", "unit": "ng/mL"}},
    "residual": {"ketamine": {"proportional": 0.3}},
}
PATIENT = Patient(weight="100 kg", age="40 y", sex="female", height="165 cm")
EXACT = pytest.approx


def level(hours: float) -> float:
    """ng/mL after so long at 60 mg/h."""
    return 60.0 / (K * V) * (1.0 - math.exp(-K * hours)) * 1000.0


def course(rules: dict[str, Any] | None = None, *, over: str | None = "1 h", **parts: Any) -> Treatment:
    """One patient of 100 kg under rules; by default one session of 60 mg."""
    phase: dict[str, Any] = {"name": "one", "dose": "60 mg", "sessions": {"days": [1]}} | (
        {"over": over} if over else {}
    )
    head = {"title": "A test", "drug": "ketamine", "route": "iv", "phases": [phase]}
    model = parts.pop("model", ONE)
    who = parts.pop("who", PATIENT.population())
    for key in ("dose", "sessions", "taper"):
        if key in parts:
            phase[key] = parts.pop(key)
            if key == "taper":
                del phase["dose"], phase["sessions"]
    if rules is not None:
        head["clinic"] = rules
    protocol = pk.load_protocol(head | parts)
    return treat(pk.load_model(model), who, protocol, 1.0, keep=True)


def during(every: str, *rules: tuple[dict[str, Any], Any]) -> dict[str, Any]:
    """Rules of a session."""
    return {"during_session": {"every": every, "rules": [{"if": sign, "then": then} for sign, then in rules]}}


def between(*rules: tuple[dict[str, Any], Any], **more: Any) -> dict[str, Any]:
    """Rules between sessions."""
    return {"between_sessions": [{"if": sign, "then": then} for sign, then in rules]} | more


def above(limit: float, **more: Any) -> dict[str, Any]:
    """A level above a limit, ng/mL."""
    return {"output": "parent", "above": f"{limit} ng/mL"} | more


def book(found: Treatment) -> Ledger:
    """The ledger."""
    assert found.ledger is not None
    return found.ledger


def runs(found: Treatment, session: int = 1) -> list[tuple[float, float, float]]:
    """What ran in a session: from and to in minutes of the session, mg."""
    entry = book(found).entries[session - 1]
    return [
        (60 * (run.begins[0] - entry.start[0]), 60 * (run.end[0] - entry.start[0]), run.given[0])
        for run in entry.programme.runs
        if run.amount[0] > 0
    ]


ALWAYS = above(1e-9)
NEVER = above(1e9)


# During a session


@pytest.mark.parametrize(("every", "stopped"), [("10 min", 30.0), ("5 min", 25.0), ("7 min", 28.0)])
def test_a_crossing_is_acted_on_at_the_next_check(every: str, stopped: float) -> None:
    """The level passes 200 ng/mL after 23.8 min; nobody knows before the next look."""
    found = course(during(every, (above(200.0), "stop")))
    assert -math.log(1 - 0.3) / K * 60 == pytest.approx(23.78, abs=0.005)
    assert runs(found) == [(0.0, EXACT(stopped), EXACT(stopped, rel=1e-12))]
    checks = book(found).checks
    assert [check.fired[0] for check in checks] == [-1] * (len(checks) - 1) + [0]
    for check in checks:
        assert check.signs[0].values[0] == pytest.approx(level(check.time[0]), rel=1e-12)
    assert found.plan.doses[0, 0] == pytest.approx(stopped, rel=1e-12)
    assert found.plan.ends[0, 0] == pytest.approx(stopped / 60, rel=1e-12)


def test_after_a_stop_nothing_more_arrives() -> None:
    """The level falls from the check on as a single exponential."""
    head = {"title": "A test", "drug": "ketamine", "route": "iv"} | {"clinic": during("10 min", (above(200.0), "stop"))}
    phases = [{"name": "one", "dose": "60 mg", "over": "1 h", "sessions": {"days": [1]}}]
    result = pk.simulate(
        pk.load_protocol(head | {"phases": phases}), pk.load_model(ONE), PATIENT, until="2 h", every="30 min"
    )
    assert result.level()[0, 1] == pytest.approx(level(0.5), rel=1e-12)
    assert result.level()[0, 4] == pytest.approx(level(0.5) * math.exp(-1.5 * K), rel=1e-12)


def test_a_slower_pump_gives_the_same_dose_later() -> None:
    """35 of 60 mg are left after 25 min, for which half the rate takes 70; that it holds again changes nothing."""
    found = course(during("5 min", (above(200.0), {"rate": "50 %"})))
    assert runs(found) == [(0.0, EXACT(25.0), EXACT(25.0)), (EXACT(25.0), EXACT(95.0), EXACT(35.0))]
    assert sum(check.fired[0] == 0 for check in book(found).checks) > 2
    assert found.plan.doses[0, 0] == pytest.approx(60.0, rel=1e-12)


def test_a_pump_that_goes_back_to_its_rate() -> None:
    """A rate is a part of the planned one, so 100 % undoes 50 %."""
    slow, fast = (above(200.0), {"rate": "50 %"}), ({"output": "parent", "below": "196 ng/mL"}, {"rate": "100 %"})
    found = course(during("5 min", slow, fast))
    speeds = [given / (end - begin) for begin, end, given in runs(found)]
    assert speeds[0] == pytest.approx(1.0) and speeds[1] == pytest.approx(0.5)
    assert set(np.round(speeds, 9)) == {0.5, 1.0}
    assert sum(given for *_, given in runs(found)) == pytest.approx(60.0, rel=1e-12)


def test_a_pause_puts_off_what_is_left() -> None:
    """After 25 min the pump rests for 12; the 35 min that are left follow, and the checks go on meanwhile."""
    found = course(during("5 min", (above(200.0), {"pause": "12 min"})))
    assert runs(found) == [(0.0, EXACT(25.0), EXACT(25.0)), (EXACT(37.0), EXACT(72.0), EXACT(35.0))]
    assert 60 * book(found).checks[-1].time[0] == pytest.approx(70.0)


def test_pauses_run_out() -> None:
    """The second time the level is high after a pause, the session ends."""
    found = course(during("5 min", (above(200.0), {"pause": "6 min", "at_most": 1, "otherwise": "stop"})))
    # 25 min of infusion, 6 min of rest (208.5 to 190.5 ng/mL), and above 200 again at the check after 35 min.
    assert runs(found) == [(0.0, EXACT(25.0), EXACT(25.0)), (EXACT(31.0), EXACT(35.0), EXACT(4.0))]


def test_the_first_rule_that_holds_acts() -> None:
    """Order decides, and conditions may be joined."""
    both = {"all": [above(150.0), {"output": "parent", "below": "160 ng/mL"}]}
    either = {"any": [above(1e6), above(100.0)]}
    found = course(during("5 min", (both, "stop"), (either, {"rate": "80 %"})))
    fired = [int(check.fired[0]) for check in book(found).checks]
    assert fired[:2] == [-1, -1] and level(10 / 60) < 100 < level(15 / 60)
    assert 0 in fired or all(number == 1 for number in fired[2:])
    assert runs(course(during("5 min", (ALWAYS, "stop"), (ALWAYS, {"rate": "80 %"}))))[0][1] == pytest.approx(5.0)


def test_devices_not_yet_given_are_cancelled() -> None:
    """A stop before the second of three devices leaves one, of which all arrives."""
    phases = [{"name": "one", "dose": "84 mg", "sessions": {"days": [1]}}]
    found = course(
        during("5 min", (above(0.001), "stop")),
        model="esketamine_perezruixo2021",
        drug="esketamine",
        route="intranasal",
        device={"strength": "28 mg", "rest": "5 min"},
        phases=phases,
    )
    assert found.plan.doses[0, 0] == 28.0
    assert found.plan.sessions[0].devices == [1]
    one = pk.load_protocol(
        {
            "title": "One device",
            "drug": "esketamine",
            "route": "intranasal",
            "device": {"strength": "28 mg", "rest": "5 min"},
            "phases": [{"name": "one", "dose": "28 mg", "sessions": {"days": [1]}}],
        }
    )
    given = schedule.build(one, found.network).events
    for mine, theirs in zip(found.plan.events, given, strict=True):
        np.testing.assert_array_equal(mine, theirs)


# Before a session


def test_a_session_is_held_until_the_sign_is_gone() -> None:
    """The level falls from 395.6 ng/mL after the first hour; it is below 100 after 1.53 h more, at the seventh look."""
    hold = {"before_session": [{"if": above(100.0), "then": {"hold": "15 min", "at_most": 9}}]}
    found = course(hold, sessions={"every": "1 h", "count": 2})
    assert level(1.0) == pytest.approx(395.6, abs=0.05)
    looks = math.ceil(math.log(level(1.0) / 100.0) / K / 0.25)
    assert looks == 7
    assert found.plan.starts[:, 0] == pytest.approx([0.0, 1.0 + 0.25 * looks], rel=1e-12)
    assert book(found).entries[1].due[0] == 1.0


@pytest.mark.parametrize(
    ("otherwise", "status", "mg"), [("skip", SKIPPED, 0.0), ("give", GIVEN, 60.0), ("end_course", SKIPPED, 0.0)]
)
def test_holds_run_out(otherwise: str, status: int, mg: float) -> None:
    """After two holds the session is skipped, given, or the end of the course."""
    hold = {"before_session": [{"if": above(100.0), "then": {"hold": "15 min", "at_most": 2, "otherwise": otherwise}}]}
    found = course(hold, sessions={"intervals": ["1 h", "24 h"]})
    entries = book(found).entries
    assert entries[1].status[0] == status
    assert found.plan.doses[:, 0] == pytest.approx([60.0, mg, 0.0 if otherwise == "end_course" else 60.0])
    assert entries[2].status[0] == (ENDED if otherwise == "end_course" else GIVEN)
    assert found.plan.starts[1, 0] == pytest.approx(1.5)


def test_a_delay_moves_the_sessions_after_it_too() -> None:
    """A hold does not."""
    for word, later in (("delay", 3.0), ("hold", 0.0)):
        rules = {"before_session": [{"if": above(100.0), "then": {word: "3 h"}}]}
        found = course(rules, sessions={"intervals": ["1 h", "24 h"]})
        assert found.plan.starts[:, 0] == pytest.approx([0.0, 4.0, 25.0 + later])


# Between sessions

DAYS = {"every": "2 d", "count": 5}


def test_doses_go_down_and_up_within_bounds() -> None:
    """100 kg: 0.6 mg/kg gives a peak of 395.6 ng/mL, and so on in proportion."""
    peak = {"metric": "peak", "output": "parent"}
    down = (peak | {"above": "250 ng/mL"}, {"dose": "-25 %", "down_to": "0.4 mg/kg"})
    found = course(between(down), dose="0.6 mg/kg", sessions=DAYS)
    assert found.plan.doses[:, 0] == pytest.approx([60.0, 45.0, 40.0, 40.0, 40.0], rel=1e-12)
    up = (peak | {"below": "560 ng/mL"}, {"dose": "+0.1 mg/kg", "up_to": "0.85 mg/kg"})
    found = course(between(up), dose="0.6 mg/kg", sessions=DAYS)
    assert found.plan.doses[:, 0] == pytest.approx([60.0, 70.0, 80.0, 85.0, 85.0], rel=1e-12)
    exact = (peak | {"above": "300 ng/mL"}, {"dose": "0.2 mg/kg"})
    assert course(between(exact), dose="0.6 mg/kg", sessions=DAYS).plan.doses[:, 0] == pytest.approx(
        [60.0] + 4 * [20.0]
    )


def test_a_step_of_a_taper_is_repeated() -> None:
    """While the sign holds the course stays where it is, and goes on from there."""
    long = ({"metric": "time_above", "threshold": "100 ng/mL", "output": "parent", "above": "2 h"}, "repeat")
    taper = {"from": "60 mg", "to": "20 mg", "sessions": 5, "every": "2 d"}
    plain = course({"during_session": {"every": "1 h"}}, taper=taper).plan.doses[:, 0]
    assert plain == pytest.approx([60.0, 50.0, 40.0, 30.0, 20.0])
    # Above 100 ng/mL for 2.35, 2.13, 1.87 h after 60, 50, 40 mg: so 60 is repeated until the end.
    assert course(between(long), taper=taper).plan.doses[:, 0] == pytest.approx([60.0] * 5)
    once = (long[0] | {"above": "2.2 h"}, "repeat")
    assert course(between(once), taper=taper).plan.doses[:, 0] == pytest.approx([60.0] * 5)
    never = (long[0] | {"above": "2.4 h"}, "repeat")
    assert course(between(never), taper=taper).plan.doses[:, 0] == pytest.approx(plain)


def test_steps_of_a_ladder_stay_on_it() -> None:
    """Two steps up from the middle end on the highest rung."""
    ladder = ["20 mg", "60 mg", "90 mg"]
    up = (({"metric": "peak", "output": "parent", "below": "1000 ng/mL"}), {"step": "up"})
    assert course(between(up, ladder=ladder), sessions=DAYS).plan.doses[:, 0] == pytest.approx([60.0] + 4 * [90.0])
    down = (({"metric": "peak", "output": "parent", "below": "1000 ng/mL"}), {"step": "down"})
    assert course(between(down, ladder=ladder), sessions=DAYS).plan.doses[:, 0] == pytest.approx([60.0] + 4 * [20.0])


def test_intervals_stretch_within_bounds() -> None:
    """2 d, and a day more each time, to 4 d."""
    rule = (({"metric": "auc", "output": "parent", "above": "100 ng*h/mL"}), {"interval": "+1 d", "up_to": "4 d"})
    starts = course(between(rule), sessions=DAYS).plan.starts[:, 0] / 24
    assert np.diff(starts) == pytest.approx([3.0, 4.0, 4.0, 4.0])
    rule = (rule[0], {"interval": "+50 %"})
    starts = course(between(rule), sessions={"every": "2 d", "count": 4}).plan.starts[:, 0] / 24
    assert np.diff(starts) == pytest.approx([3.0, 4.5, 6.75])


def test_the_end_of_a_course() -> None:
    """Stop for response or for toxicity: later sessions are not given, and say so."""
    rule = (({"metric": "peak", "output": "parent", "above": "300 ng/mL"}), "end_course")
    found = course(between(rule), sessions=DAYS)
    assert [int(entry.status[0]) for entry in book(found).entries] == [GIVEN] + 4 * [ENDED]
    found = course(during("5 min", (above(200.0), "end_course")), sessions=DAYS)
    assert found.plan.doses[:, 0] == pytest.approx([25.0, 0.0, 0.0, 0.0, 0.0])


def test_metrics_of_a_session_are_those_of_the_course() -> None:
    """What a rule sees between sessions is what the exact figures of the course are."""
    names = ["peak", "auc", "trough", "time_of_peak", "time_above", "time_below", "first_crossing"]
    limits = {"auc": "1e9 ng*h/mL", "peak": "1e9 ng/mL", "trough": "1e9 ng/mL"}
    rules = [
        (
            {"metric": name, "output": "parent", "above": limits.get(name, "1e5 h")}
            | ({"threshold": "100 ng/mL"} if name in ("time_above", "time_below", "first_crossing") else {}),
            "repeat",
        )
        for name in names
    ]
    found = course(between(*rules), sessions={"every": "4 h", "count": 3})
    from pkmodel import metrics
    from pkmodel.exact_figures import course_figures

    figures = course_figures(found.network, found.plan, thresholds={"ketamine": [100.0]})["ketamine"]
    looked = [check for check in book(found).checks if check.stage == "between"]
    assert len(looked) == 2
    for check in looked:
        for name, sign in zip(names, check.signs, strict=True):
            threshold = 100.0 if name in ("time_above", "time_below", "first_crossing") else None
            request = metrics.Request(name, "ketamine", threshold)
            expected = metrics.evaluate(figures, metrics.Span("session", check.session), request)
            assert sign.values[0] == pytest.approx(expected[0], rel=1e-9, abs=1e-12), name


# Missed and late sessions


def test_missed_sessions_and_what_follows() -> None:
    """Lost, given in the next session, made up for, or the end."""
    taper = {"from": "60 mg", "to": "20 mg", "sessions": 5, "every": "2 d"}
    lost = course(adherence={"missed": [2, 4]}, taper=taper)
    assert lost.plan.doses[:, 0] == pytest.approx([60.0, 0.0, 40.0, 0.0, 20.0])
    assert [int(entry.status[0]) for entry in book(lost).entries] == [GIVEN, MISSED, GIVEN, MISSED, GIVEN]
    again = course(adherence={"missed": [2], "after_missed": "repeat"}, taper=taper)
    assert again.plan.doses[:, 0] == pytest.approx([60.0, 0.0, 50.0, 40.0, 30.0])
    over = course(adherence={"missed": [3], "after_missed": "end_course"}, taper=taper)
    assert over.plan.doses[:, 0] == pytest.approx([60.0, 50.0, 0.0, 0.0, 0.0])
    later = course(adherence={"missed": [3], "after_missed": {"make_up": "1 d"}}, taper=taper)
    assert later.plan.doses[:, 0] == pytest.approx([60.0, 50.0, 40.0, 30.0, 20.0])
    assert later.plan.starts[:, 0] / 24 == pytest.approx([0.0, 2.0, 5.0, 6.0, 8.0])


def test_late_sessions_keep_or_shift_the_rest() -> None:
    """A day late: the next one on its day, or a day later too."""
    for word, rest in (("keep", [4.0, 6.0]), ("shift", [5.0, 7.0])):
        late = {"late": [{"session": 2, "by": "1 d"}], "after_late": word}
        found = course(adherence=late, sessions={"every": "2 d", "count": 4})
        assert found.plan.starts[:, 0] / 24 == pytest.approx([0.0, 3.0, *rest])


def test_chance_is_named_and_counted_by_patient() -> None:
    """One in five is missed and one in four late (4 standard errors); the first 50 of 2,000 are those of 50."""

    def drawn(n: int, seed: int = 3) -> Treatment:
        who = sample_covariates(load_population("adults_trials"), 1, 0, n)
        chance = {"missed": {"share": "20 %"}, "late": {"share": "25 %", "by": ["1 h", "5 h"]}, "seed": seed}
        return course(adherence=chance, who=who, sessions=DAYS)

    many, few, other = drawn(2000), drawn(50), drawn(2000, 4)
    status = np.array([entry.status for entry in book(many).entries])
    late = many.plan.starts - np.array([[entry.programme.session.planned.start] for entry in book(many).entries])
    share = (status == MISSED).mean()
    assert share == pytest.approx(0.2, abs=4 * (0.2 * 0.8 / status.size) ** 0.5)
    came = status == GIVEN
    assert (late[came] > 0).mean() == pytest.approx(0.25, abs=4 * (0.25 * 0.75 / came.sum()) ** 0.5)
    assert late[late > 0].min() >= 1.0 - 1e-9 and late.max() <= 5.0 + 1e-9
    np.testing.assert_array_equal(np.array([entry.status for entry in book(few).entries]), status[:, :50])
    np.testing.assert_array_equal(few.plan.starts, many.plan.starts[:, :50])
    assert not np.array_equal(np.array([entry.status for entry in book(other).entries]), status)


# Bits


def _people(model: ModelSpec, n: int) -> Population:
    return sample_effects(sample_covariates(load_population("adults_trials"), 1, 0, n), model, 1)


@pytest.mark.parametrize("name", ["ketamine_kamp2020", "esketamine_perezruixo2021"])
def test_without_rules_the_course_is_the_plain_one(name: str) -> None:
    """Events, starts and ends to the bit; so are amounts at the checks, which the plain kernel looks at too."""
    nasal = name.startswith("es")
    phase: dict[str, Any] = {"name": "one", "dose": "84 mg" if nasal else "0.5 mg/kg", "sessions": {"days": [1, 3, 8]}}
    parts: dict[str, Any] = {"drug": "esketamine", "route": "intranasal"} if nasal else {}
    if nasal:
        parts["device"] = {"strength": "28 mg", "rest": "5 min"}
    else:
        phase["over"] = "40 min"
    parts["phases"] = [phase]
    model = pk.load_model(name)
    found = course(during("3 min"), model=name, who=_people(model, 37), **parts)
    plain = pk.load_protocol({"title": "x", "drug": "ketamine", "route": "iv"} | parts)
    plan = schedule.build(plain, found.network)
    for mine, theirs in zip(found.plan.events[:6], plan.events[:6], strict=True):
        np.testing.assert_array_equal(mine, theirs)
    np.testing.assert_array_equal(found.plan.starts, plan.starts)
    np.testing.assert_array_equal(found.plan.ends, plan.ends)
    ledger = book(found)
    size, states = found.network.size, len(found.network.states)
    every, one = np.arange(states), np.ones((states, size))
    time = np.maximum.accumulate([np.where(whom, when, -1.0) for whom, when, _ in ledger.stops], axis=0)
    levels = engine.levels(found.network.system, plan.events, time, every, one)
    arrives = {round(float(when), 9) for when in plan.events.time.ravel()}
    for index, (whom, when, _) in enumerate(ledger.stops):
        # What arrives at the instant of a check is in the level of the plain kernel, and not seen by the clinic yet.
        seen = whom & np.array([round(float(at), 9) not in arrives for at in when])
        np.testing.assert_array_equal(ledger.states[index][seen], levels[seen, :, index])
    # Without a stop in between, as a plain course is run: 1e-13 in the norm of the design.
    due = plan.starts[1:, 0]
    plain_states = engine.levels(found.network.system, plan.events, due - 1e-9, every, one).transpose(0, 2, 1)
    starts = [k for k, (_, when, _) in enumerate(ledger.stops) if when[0] in due]
    assert len(starts) == 2
    for k, state in enumerate(starts):
        size_of_dose = 84.0 if nasal else 30.0
        allowed = 1e-13 * np.maximum(np.abs(plain_states[:, k]), 1e-9 * size_of_dose)
        slope = np.abs(np.einsum("nij,nj->ni", found.network.rates, plain_states[:, k])) * 1e-9
        assert (np.abs(ledger.states[state] - plain_states[:, k]) <= allowed + 1.01 * slope).all()


RULES = {
    "before_session": [{"if": above(1.0), "then": {"hold": "15 min", "at_most": 2, "otherwise": "give"}}],
    "during_session": {
        "every": "5 min",
        "rules": [
            {"if": above(280.0), "then": "stop"},
            {"if": above(220.0, measured=True), "then": {"rate": "50 %"}},
            {"if": above(180.0), "then": {"pause": "7 min", "at_most": 2, "otherwise": "stop"}},
        ],
    },
    "between_sessions": [
        {"if": {"metric": "peak", "output": "parent", "above": "200 ng/mL"}, "then": {"dose": "-25 %"}},
        {
            "if": {"metric": "peak", "output": "parent", "below": "150 ng/mL"},
            "then": {"dose": "+0.1 mg/kg", "up_to": "1 mg/kg"},
        },
    ],
}


def test_a_measured_sign_decides_and_is_written_down() -> None:
    """With a residual error of 30 % the values differ from the levels, and they are held against the limit."""
    rules = during("5 min", (above(200.0, measured=True), {"rate": "90 %"}), (NEVER, "stop"))
    found = course(rules, who=sample_covariates(load_population("adults_trials"), 1, 0, 500))
    check = book(found).checks[3]
    measured, true = check.signs
    assert measured.measured and not true.measured
    np.testing.assert_array_equal(check.fired == 0, check.whom & (measured.values > 200.0))
    error = measured.values / true.values - 1.0
    assert error.std() == pytest.approx(0.3, abs=4 * 0.3 / (2 * 500) ** 0.5)
    assert error.mean() == pytest.approx(0.0, abs=4 * 0.3 / 500**0.5)


def _scenario(n: int, rules: dict[str, Any] | None, **more: Any) -> Any:
    phase = {"name": "one", "dose": "0.5 mg/kg", "over": "40 min", "sessions": {"days": [1, 4, 8]}}
    protocol = {"title": "x", "drug": "ketamine", "route": "iv", "phases": [phase]} | (
        {"clinic": rules} if rules else {}
    )
    spec = {
        "title": "A test",
        "arms": {"one": {"protocol": protocol}},
        "model": "ketamine_clements1981",
        "population": "adults_trials",
        "n": n,
        "observe": {"every": "20 min", "for": "2 h after each session start"},
        "rules": [{"id": "peak", "metric": "peak", "at_most": "200 ng/mL", "in": "95 %"}],
    }
    return pk.load_scenario(spec | more)


PLAIN_RULES = {
    "during_session": {"every": "5 min", "rules": [{"if": above(170.0), "then": {"pause": "7 min", "at_most": 2}}]},
    "between_sessions": RULES["between_sessions"],
}


def test_files_do_not_depend_on_chunks_or_workers(tmp_path: Path) -> None:
    """The ledger, the metrics and the counts are the same bits however the run was split."""
    from pkmodel import parquet
    from pkmodel.cases import cases_of

    scenario = _scenario(300, PLAIN_RULES)
    seen = []
    for name, jobs, chunk in (("a", 1, 300), ("b", 2, 64), ("c", 1, 7)):
        (tmp_path / name).mkdir()
        files = parquet.RunFiles(tmp_path / name, cases_of(scenario))
        result = study.run(scenario, jobs=jobs, chunk=chunk, sink=files.write)
        files.close()
        seen.append(
            [(tmp_path / name / file).read_bytes() for file in ("ledger.parquet", "metrics.parquet")]
            + [result.clinic_rows, result.sums[0].bands.tobytes()]
        )
    assert seen[0] == seen[1] == seen[2]
    table = pd.read_parquet(tmp_path / "a" / "ledger.parquet")
    assert table["patient"].is_monotonic_increasing and table["patient"].nunique() == 300
    acts = [row for row in seen[0][2] if row["stage"] == "during"]
    paused = table[(table["row"] == "during") & table["action"].notna()].groupby("session")["patient"].nunique()
    assert {row["session"]: row["patients"] for row in acts if row["patients"]} == paused.to_dict()


def test_a_run_without_rules_is_the_plain_run() -> None:
    """Metrics and findings of a clinic that only looks are those of no clinic, to the bit; bands to a bin's width."""
    looking, plain = (study.run(_scenario(200, rules, compare=None)) for rules in (during("5 min"), None))
    assert [item.n_met for item in looking.results] == [item.n_met for item in plain.results]
    np.testing.assert_allclose(looking.level_quantiles[0], plain.level_quantiles[0], rtol=2**-7)
    np.testing.assert_array_equal(looking.sums[0].peaks, plain.sums[0].peaks)


def test_occasions_and_a_clinic() -> None:
    """Parameters that differ between sessions: what was seen at a check is the level of the course at that time."""
    model = pk.load_model("esketamine_simons2022")
    assert model.variability.between_occasion.effects
    who = sample_occasions(_people(model, 40), model, 1, 3)
    phase = {"name": "one", "dose": "0.5 mg/kg", "over": "40 min", "sessions": {"days": [1, 2, 5]}}
    rules = during("10 min", (above(150.0), {"pause": "10 min", "at_most": 1}))
    found = course(rules, model="esketamine_simons2022", who=who, drug="esketamine", phases=[phase])
    assert found.course is not None
    for check in book(found).checks:
        if check.stage != "during":
            continue
        for patient in np.flatnonzero(check.whom)[:3]:
            time = np.array([check.time[patient]])
            occasion = found.course.occasions[check.session - 1]
            own = found.course.levels(np.broadcast_to(time[:, None], (1, 40)).copy())[patient, 0, 0]
            assert occasion.start[min(patient, occasion.start.size - 1)] <= time[0]
            assert check.signs[0].values[patient] == pytest.approx(own, rel=1e-12)


# What is refused


def test_rules_are_held_against_the_model() -> None:
    """An effect that is not there, a limit in another unit, a metric that an output has not."""
    with pytest.raises(InputError, match=r"clinic\.during_session\.rules\[0\]\.if\.output .*found systolic .*ketamine"):
        course(during("5 min", ({"output": "systolic", "above": "140 mmHg"}, "stop")))
    with pytest.raises(InputError, match=r"measured esketamine|residual"):
        quiet = {key: value for key, value in ONE.items() if key != "residual"}
        course(during("5 min", (above(5.0, measured=True), "stop")), model=quiet)
    with pytest.raises(InputError, match=r"arms\.one\.protocol .*found systolic in clinic"):
        _scenario(10, during("5 min", ({"output": "systolic", "above": "140 mmHg"}, "stop")))


def test_a_plan_that_is_decided_on_the_day_has_no_records() -> None:
    """Neither a schedule nor records are made of it as if nothing were decided."""
    phase = {"name": "one", "dose": "60 mg", "over": "1 h", "sessions": {"days": [1]}}
    head = {"title": "x", "drug": "ketamine", "route": "iv", "phases": [phase]}
    protocol = pk.load_protocol(head | {"clinic": during("5 min", (above(200.0), "stop"))})
    with pytest.raises(InputError, match=r"clinic .*found a clinic that decides on the day"):
        schedule.build(protocol, network.build(pk.load_model(ONE), PATIENT.population()))


def test_an_effect_answers_to_the_beginning_of_its_name() -> None:
    """``dissociation`` is dissociation_olofsen2022 where no other effect begins so."""
    result = pk.simulate("iv_titrated_with_stops", "ketamine_kamp2020", PATIENT, effects=["dissociation_olofsen2022"])
    assert result.ledger is not None
    signs = {sign.name for check in result.ledger.checks for sign in check.signs}
    assert signs == {"ketamine", "dissociation_olofsen2022"}
    assert result.model.observable("dissociation") == "dissociation_olofsen2022"


def test_the_table_of_a_ledger_is_complete() -> None:
    """Planned and given, every check, and which rule acted on which value."""
    found = course(during("10 min", (above(200.0), "stop")), sessions=DAYS)
    table = book(found).to_pandas()
    sessions = table[table["row"] == "session"]
    assert sessions["mg"].tolist() == pytest.approx([30.0] * 5)
    assert table[table["row"] == "dose"]["mg"].tolist() == pytest.approx([60.0] * 5)
    assert table[table["row"] == "dose"]["value"].tolist() == pytest.approx([30.0] * 5)
    acted = table[table["action"] == "stop"]
    assert len(acted) == 5 and (acted["value"] > 200).all() and (acted["number"] == 3).all()
    assert len(table[table["row"] == "during"]) == 15
    states = ward.replay(book(found), [found.network] * 5)
    for mine, theirs in zip(states, book(found).states, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_who_comes_late_changes_no_bit_of_another() -> None:
    """Where a model is not linear too: the same figures in chunks of 7 as in one."""
    protocol = {
        "title": "T",
        "drug": "ketamine",
        "route": "iv",
        "phases": [{"name": "a", "dose": "0.5 mg/kg", "over": "40 min", "sessions": {"days": [1, 3]}}],
        "adherence": {"late": {"share": "60 %", "by": ["10 min", "2 h"]}, "seed": 7},
    }
    tree = {
        "title": "T",
        "arms": {"a": {"protocol": protocol}},
        "model": "ketamine_kamp2020",
        "effects": ["antidepressant_response"],
        "population": "adults_trials",
        "n": 30,
        "observe": {"every": "1 h", "for": "4 h"},
        "rules": [{"id": "r", "metric": "peak", "window": "each session", "at_most": "200 ng/mL", "in": "50 %"}],
    }

    def values(chunk: int) -> list[np.ndarray]:
        found: list[study.Chunk] = []
        study.run(pk.load_scenario(tree), chunk=chunk, sink=found.append)
        return [np.concatenate([part.cases[0].metrics[index].values for part in found]) for index in range(2)]

    for whole, parts in zip(values(30), values(7), strict=True):
        np.testing.assert_array_equal(whole, parts)
