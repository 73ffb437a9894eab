"""Floors, and caps over a dose, a session, a day and the course, with rounding: every adjustment with its reason."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

import pkmodel as pk
from pkmodel import dosing, network, schedule
from pkmodel.dosing import Before
from pkmodel.given import GivenSession
from pkmodel.population import Patient

HEAD: dict[str, Any] = {"title": "T", "drug": "ketamine", "route": "iv"}
VALUES = {"weight": np.array([90.0, 50.0, 110.0])}


def resolved(dose: str, limits: dict[str, str], before: Before | None = None, **head: Any) -> GivenSession:
    """One session of a dose under limits, for people of 90, 50 and 110 kg."""
    phase = {"name": "one", "dose": dose, "sessions": {"days": [1]}}
    tree = {**HEAD, "dose_limits": limits, **head, "phases": [phase]}
    return dosing.resolve(pk.load_protocol(tree).plan()[0], VALUES, 3, before=before)


def reasons(session: GivenSession) -> list[str]:
    """Why, in order."""
    return [item.reason for item in session.adjustments]


def test_a_floor_raises() -> None:
    """45, 25 and 55 mg, at least 30: one is raised, and that is written down."""
    session = resolved("0.5 mg/kg", {"min_single": "30 mg"})
    assert session.given.tolist() == [45.0, 30.0, 55.0]
    (raised,) = session.adjustments
    assert (raised.reason, raised.kind) == ("dose floor 30 mg", "raised")
    assert raised.whom.tolist() == [False, True, False]
    assert (raised.before[1], raised.after[1]) == (25.0, 30.0)


def test_a_dose_of_nothing_is_not_raised() -> None:
    """A clinic that gives nothing gives nothing."""
    phase = {"name": "one", "dose": "0.5 mg/kg", "sessions": {"days": [1]}}
    tree = {**HEAD, "dose_limits": {"min_single": "30 mg", "round_to": "1 mg"}, "phases": [phase]}
    levels = [np.array([0.0, 0.5, 0.0])]
    assert dosing.resolve(pk.load_protocol(tree).plan()[0], VALUES, 3, levels).given.tolist() == [0.0, 30.0, 0.0]


def test_rounding_down_stays_on_the_floor_and_a_cap_goes_before_it() -> None:
    """25 mg, at least 25, down to steps of 10: 30. At most 0.3 mg/kg, which is 27, 15 and 33 mg: 20, 10 and 30."""
    assert resolved("0.5 mg/kg", {"min_single": "25 mg", "round_to": "10 mg", "round": "down"}).given.tolist() == [
        40.0,
        30.0,
        50.0,
    ]
    limits = {"min_single": "25 mg", "round_to": "10 mg", "round": "down", "max_per_kg": "0.3 mg/kg"}
    assert resolved("0.5 mg/kg", limits).given.tolist() == [20.0, 10.0, 30.0]


def test_every_cap_says_which_it_is() -> None:
    """The words of the file, one reason for each."""
    limits = {"max_per_kg": "0.4 mg/kg", "max_single": "40 mg", "max_session": "38 mg", "round_to": "1 mg"}
    session = resolved("0.5 mg/kg", limits)
    assert session.given.tolist() == [36.0, 20.0, 38.0]
    assert reasons(session) == ["dose cap 0.4 mg/kg", "dose cap 40 mg", "session cap 38 mg"]
    assert session.adjusted("session cap 38 mg").tolist() == [False, False, True]
    assert session.adjusted("capped").all()


def test_a_session_cap_cuts_the_last_parts() -> None:
    """24, 40 and 20 mg with at most 70 in the session: the third is cut to 6; with at most 60 to nothing."""
    parts = [{"dose": "24 mg"}, {"dose": "40 mg", "over": "10 min"}, {"dose": "20 mg"}]
    phase = {"name": "one", "parts": parts, "sessions": {"days": [1]}}

    def given(cap: str) -> GivenSession:
        tree = {**HEAD, "dose_limits": {"max_session": cap}, "phases": [phase]}
        return dosing.resolve(pk.load_protocol(tree).plan()[0], VALUES, 3)

    session = given("70 mg")
    assert [dose.amount.tolist() for dose in session.doses] == [[24.0] * 3, [40.0] * 3, [6.0] * 3]
    (cut,) = session.adjustments
    assert (cut.reason, cut.part) == ("session cap 70 mg", 3)
    assert [dose.amount[0] for dose in given("60 mg").doses] == [24.0, 36.0, 0.0]


def test_what_was_given_before_counts() -> None:
    """100 mg a day, 85 of it gone: 15 are left, which is 10; 300 in the course, 295 gone: 5, which is nothing."""
    limits = {"max_day": "100 mg", "max_course": "300 mg", "round_to": "10 mg", "round": "down"}
    before = Before(np.array([0.0, 85.0, 0.0]), np.array([0.0, 85.0, 295.0]), np.zeros(3))
    session = resolved("40 mg", limits, before)
    assert session.given.tolist() == [40.0, 10.0, 0.0]
    assert reasons(session) == ["day cap 100 mg", "course cap 300 mg"]
    assert [item.whom.tolist() for item in session.adjustments] == [[False, True, False], [False, False, True]]


def test_days_and_the_course_of_a_schedule() -> None:
    """Every 8 h from day 1: 40, 40 and 20 of 100 mg a day, then 40 and 40 on day 2, and 20 left of 200 in all."""
    phase = {"name": "one", "dose": "40 mg", "sessions": {"every": "8 h", "count": 8}}
    tree = {**HEAD, "dose_limits": {"max_day": "100 mg", "max_course": "200 mg"}, "phases": [phase]}
    net = network.build(pk.load_model("ketamine_clements1981"), Patient(weight="82 kg").population())
    plan = schedule.build(pk.load_protocol(tree), net)
    assert plan.doses[:, 0].tolist() == [40.0, 40.0, 20.0, 40.0, 40.0, 20.0, 0.0, 0.0]
    assert reasons(plan.sessions[2]) == ["day cap 100 mg"]
    assert reasons(plan.sessions[6]) == ["course cap 200 mg"]
    arrived = plan.events.value[plan.events.kind == 0]
    assert arrived.sum() == pytest.approx(200.0, rel=1e-14)


def test_before_follows_each_patient() -> None:
    """Another day begins at midnight of the patient's own time."""
    before = Before.nothing(2).on(1.0).add(np.array([30.0, 40.0]))
    later = before.on(np.array([23.0, 24.0]))
    assert later.day.tolist() == [30.0, 0.0]
    assert later.course.tolist() == [30.0, 40.0]
    again = later.add(np.array([5.0, 5.0]))
    assert (again.day.tolist(), again.course.tolist()) == ([35.0, 5.0], [35.0, 45.0])


def test_limits_are_in_the_mass_as_it_is_written() -> None:
    """Of the hydrochloride, 40 mg at most, in steps of 4, from 10 mg/mL: 4 mL, of which 34.68 mg of base arrive."""
    head = {"as": "hydrochloride", "product": {"concentration": "10 mg/mL"}}
    session = resolved("0.5 mg/kg", {"max_single": "40 mg", "round_to": "4 mg", "round": "down"}, **head)
    assert session.given.tolist() == [40.0, 24.0, 40.0]
    assert session.volume == pytest.approx([4.0, 2.4, 4.0])
    net = network.build(pk.load_model("ketamine_clements1981"), Patient(weight="90 kg").population())
    one = dosing.resolve(session.planned, net.values, 1)
    (delivery,) = schedule.deliver(one, net, 0.0)
    assert delivery.amount == pytest.approx([40 * 0.867], rel=1e-14)


def milligrams(low: float, high: float) -> st.SearchStrategy[float]:
    """Doses with few digits, as people write them, and with many."""
    return st.one_of(st.integers(int(low), int(high)).map(float), st.floats(low, high))


@settings(max_examples=120, deadline=None)
@drawn(
    doses=st.lists(milligrams(1, 200), min_size=1, max_size=4),
    caps=st.dictionaries(
        st.sampled_from(["max_single", "max_session", "max_day", "max_course"]), milligrams(20, 300), max_size=4
    ),
    per_kg=st.none() | st.floats(0.3, 3.0),
    floor=st.none() | milligrams(1, 20),
    step=st.none() | st.sampled_from([0.1, 0.25, 1.0, 3.0, 5.0, 10.0]),
    how=st.sampled_from(["down", "up", "nearest"]),
    sessions=st.integers(1, 3),
)
def test_whatever_the_limits(
    doses: list[float],
    caps: dict[str, float],
    per_kg: float | None,
    floor: float | None,
    step: float | None,
    how: str,
    sessions: int,
) -> None:
    """Never above any cap, a whole number of steps, nothing negative, and every change has a reason."""
    limits: dict[str, str] = {name: f"{value!r} mg" for name, value in caps.items()}
    limits |= {"max_per_kg": f"{per_kg!r} mg/kg"} if per_kg else {}
    limits |= {"min_single": f"{floor!r} mg"} if floor else {}
    limits |= {"round_to": f"{step} mg", "round": how} if step else {}
    parts = [{"dose": f"{dose!r} mg"} for dose in doses]
    phase = {"name": "one", "parts": parts, "sessions": {"every": "8 h", "count": sessions}}
    try:
        plan = pk.load_protocol({**HEAD, "dose_limits": limits, "phases": [phase]}).plan()
    except pk.InputError as error:  # what the file alone tells is refused with the file
        assert "rounds to 0 mg" in str(error)
        assert step is not None and min(doses) < step
        return
    before = Before.nothing(3)
    slack = 1 + 1e-9
    for planned in plan:
        before = before.on(planned.start)
        try:
            session = dosing.resolve(planned, VALUES, 3, before=before)
        except pk.InputError as error:
            assert step is not None and "rounds to 0 mg" in str(error)
            return
        before = before.add(session.given)
        for dose, asked in zip(session.doses, doses, strict=True):
            assert (dose.amount >= 0).all()
            assert (dose.amount <= caps.get("max_single", np.inf) * slack).all()
            assert (dose.amount <= (per_kg or np.inf) * VALUES["weight"] * slack).all()
            if step is not None:
                count = dose.amount / step
                assert np.abs(count - np.rint(count)).max() <= 1e-9 * max(1.0, count.max())
            changed = np.abs(dose.amount - asked) > 1e-9 * asked
            told = np.zeros(3, dtype=bool)
            for item in session.adjustments:
                told |= item.whom & (item.part == dose.part)
            assert (told | ~changed).all()
        assert (session.given <= caps.get("max_session", np.inf) * slack).all()
        assert (before.day <= caps.get("max_day", np.inf) * slack).all()
        assert (before.course <= caps.get("max_course", np.inf) * slack).all()
