"""Protocols become sessions: every form of sessions and tapers, at the hour and the milligram."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

import pkmodel as pk
from pkmodel.specs.planned import PlannedSession


def plan(*phases: dict[str, Any], **more: Any) -> list[PlannedSession]:
    """The sessions of a ketamine IV protocol with these phases."""
    head = {"title": "T", "drug": "ketamine", "route": "iv", "over": "40 min"}
    return pk.load_protocol({**head, **more, "phases": list(phases)}).plan()


def days(sessions: list[PlannedSession]) -> list[float]:
    """The day of each session; the first is day 1."""
    return [session.start / 24.0 + 1.0 for session in sessions]


ONE = {"name": "one", "dose": "35 mg", "sessions": {"days": [1, 3, 5]}}


@pytest.mark.parametrize(
    ("sessions", "expected"),
    [
        ({"days": [1]}, [1]),
        ({"days": [2, 5, 36500]}, [2, 5, 36500]),
        ({"every": "7 d", "count": 4}, [1, 8, 15, 22]),
        ({"every": "12 h", "count": 3}, [1, 1.5, 2]),
        ({"every": "2 weeks", "count": 1}, [1]),
        ({"intervals": ["7 d", "7 d", "14 d"]}, [1, 8, 15, 29]),
        ({"intervals": []}, [1]),
    ],
)
def test_forms_of_sessions(sessions: dict[str, Any], expected: list[float]) -> None:
    """Days, a steady interval, a list of intervals."""
    planned = plan({"name": "one", "dose": "35 mg", "sessions": sessions})
    assert days(planned) == expected
    assert [session.index for session in planned] == list(range(1, len(expected) + 1))
    assert {session.dose.value for session in planned} == {35.0}


def test_after_counts_from_the_last_session() -> None:
    """A later phase begins ``after`` the last session before; its own days count from there."""
    late = {"name": "late", "after": "7 d", "dose": "20 mg", "sessions": {"every": "7 d", "count": 2}}
    shifted = {"name": "later", "after": "14 d", "dose": "10 mg", "sessions": {"days": [1, 4]}}
    planned = plan(ONE, late, shifted)
    assert days(planned) == [1, 3, 5, 12, 19, 33, 36]
    assert [session.phase for session in planned] == ["one"] * 3 + ["late"] * 2 + ["later"] * 2
    assert [session.place for session in planned][-1] == "phases[2]"


def test_days_without_after_are_days_of_the_course() -> None:
    """A later phase on days, without ``after``, counts from day 1 of the course."""
    assert days(plan(ONE, {"name": "two", "dose": "20 mg", "sessions": {"days": [8, 15]}})) == [1, 3, 5, 8, 15]


def test_linear_taper() -> None:
    """Equal steps; both ends exactly as stated, in the unit of the start."""
    taper = {"from": "0.5 mg/kg", "to": "0.2 mg/kg", "sessions": 6, "intervals": ["7 d", "7 d", "14 d", "14 d", "28 d"]}
    planned = plan(ONE, {"name": "taper", "after": "7 d", "taper": taper})[3:]
    assert days(planned) == [12, 19, 26, 40, 54, 82]
    values = [session.dose.value for session in planned]
    assert (values[0], values[-1]) == (0.5, 0.2)
    assert values == pytest.approx([0.5, 0.44, 0.38, 0.32, 0.26, 0.2], rel=1e-15)
    assert [session.dose.text for session in planned][1] == "0.44 mg/kg"


def test_geometric_taper() -> None:
    """Equal ratios; both ends exactly as stated although 0.1 is no binary fraction."""
    taper = {"from": "0.8 mg/kg", "to": "0.1 mg/kg", "sessions": 4, "shape": "geometric", "every": "7 d"}
    planned = plan({"name": "taper", "taper": taper})
    values = [session.dose.value for session in planned]
    assert days(planned) == [1, 8, 15, 22]
    assert (values[0], values[-1]) == (0.8, 0.1)
    assert values == pytest.approx([0.8, 0.4, 0.2, 0.1], rel=1e-14)


@pytest.mark.parametrize("shape", ["linear", "geometric"])
def test_taper_ends_are_exact_whatever_the_numbers(shape: str) -> None:
    """No rounding of the interpolation may move an end, also in another unit of the same dimension."""
    for number in (3, 7, 49):
        taper = {"from": "0.7 mg/kg", "to": "130 ug/kg", "sessions": number, "shape": shape, "every": "1 d"}
        values = [session.dose.value for session in plan({"name": "t", "taper": taper})]
        assert (values[0], values[-1]) == (0.7, 0.13)
        assert values == sorted(values, reverse=True)


def test_taper_may_rise_and_may_be_in_mg() -> None:
    """A titration is a taper upwards."""
    planned = plan({"name": "t", "taper": {"from": "10 mg", "to": "40 mg", "sessions": 4, "every": "2 d"}})
    assert [session.dose.value for session in planned] == [10.0, 20.0, 30.0, 40.0]


def test_phase_goes_before_protocol() -> None:
    """Route, duration, limits, weight rule, salt: what a phase says replaces what the protocol says."""
    phase = {
        **ONE,
        "over": "1 h",
        "as": "hydrochloride",
        "dose_limits": {"max_single": "30 mg"},
        "weight": {"basis": "ideal"},
    }
    other = {"name": "two", "after": "7 d", "dose": "35 mg", "sessions": {"days": [1]}}
    planned = plan(phase, other, dose_limits={"max_single": "60 mg"}, weight={"cap": "120 kg"})
    first, last = planned[0], planned[-1]
    assert (first.over, last.over) == (1.0, 40.0 / 60.0)
    assert (first.salt, last.salt) == ("hydrochloride", "base")
    assert (first.weight.basis, last.weight.basis) == ("ideal", "actual")
    assert [s.limits.max_single.value for s in (first, last) if s.limits.max_single] == [30.0, 60.0]


@pytest.mark.parametrize(
    ("sessions", "expected"),
    [
        ({"per_week": 3, "weeks": 2}, [1, 3, 5, 8, 10, 12]),
        ({"per_week": 2, "count": 5}, [1, 4, 8, 11, 15]),
        ({"per_week": 1, "weeks": 3}, [1, 8, 15]),
        ({"per_week": 4, "weeks": 1}, [1, 2, 4, 6]),
        ({"per_week": 5, "count": 6}, [1, 2, 3, 4, 5, 8]),
        ({"per_week": 6, "weeks": 1}, [1, 2, 3, 4, 5, 6]),
        ({"per_week": 7, "count": 9}, [1, 2, 3, 4, 5, 6, 7, 8, 9]),
        ({"per_week": 2, "weeks": 2, "week_days": [2, 6]}, [2, 6, 9, 13]),
        ({"interval": {"from": "7 d", "to": "28 d"}, "count": 5}, [1, 8, 22, 43, 71]),
        ({"interval": {"from": "3 d", "to": "24 d", "shape": "geometric"}, "count": 5}, [1, 4, 10, 22, 46]),
    ],
)
def test_sessions_by_pattern_and_by_a_stretching_interval(sessions: dict[str, Any], expected: list[float]) -> None:
    """So many a week on their usual or stated days; intervals from one length to another."""
    assert days(plan({"name": "one", "dose": "35 mg", "sessions": sessions})) == expected


def test_stretching_intervals_are_whole_hours_with_the_ends_as_stated() -> None:
    """7 to 10 d in six intervals: 182.4 h becomes 182 h, 196.8 h becomes 197 h, and so on; the ends stay."""
    starts = [
        session.start
        for session in plan(
            {"name": "t", "dose": "1 mg", "sessions": {"interval": {"from": "7 d", "to": "10 d"}, "count": 7}}
        )
    ]
    steps = [later - before for before, later in itertools.pairwise(starts)]
    assert steps == [168.0, 182.0, 197.0, 211.0, 226.0, 240.0]  # 168 + 72 k / 5 = 168, 182.4, 196.8, 211.2, 225.6, 240


def values(taper: dict[str, Any], kind: str = "taper") -> list[float]:
    """The doses of a taper, in base units."""
    return [session.dose.value for session in plan({"name": "t", kind: taper})]


def test_taper_by_explicit_steps() -> None:
    """Every dose in full; how many there are says how many sessions."""
    taper = {"steps": ["0.5 mg/kg", "0.4 mg/kg", "250 ug/kg"], "every": "7 d"}
    assert values(taper) == [0.5, 0.4, 0.25]
    assert days(plan({"name": "t", "taper": taper})) == [1, 8, 15]


@pytest.mark.parametrize(
    ("taper", "expected"),
    [
        ({"step": "-0.1 mg/kg", "floor": "0.2 mg/kg", "every": "7 d"}, [0.5, 0.4, 0.3, 0.2]),
        ({"step": "-0.1 mg/kg", "floor": "0.25 mg/kg", "every": "7 d"}, [0.5, 0.4, 0.3, 0.25]),
        ({"step": "-100 ug/kg", "floor": "0.4 mg/kg", "every": "7 d", "sessions": 4}, [0.5, 0.4, 0.4, 0.4]),
        ({"step": "-0.1 mg/kg", "every": "7 d", "sessions": 3}, [0.5, 0.4, 0.3]),
        ({"factor": "80 %", "sessions": {"days": [1, 4, 8]}}, [0.5, 0.4, 0.32]),
        ({"factor": "50 %", "floor": "0.1 mg/kg", "intervals": ["7 d", "14 d", "14 d"]}, [0.5, 0.25, 0.125, 0.1]),
    ],
)
def test_taper_by_step_or_factor_to_a_floor(taper: dict[str, Any], expected: list[float]) -> None:
    """To the last bit the decimal numbers that people would write: 0.5 - 2 x 0.1 is 0.3 and not 0.30000000000000004."""
    assert values({"from": "0.5 mg/kg", **taper}) == expected


def test_taper_by_week_gives_one_dose_to_all_sessions_of_a_week() -> None:
    """Weeks count from day 1 of the phase; a week without a session is no step."""
    pattern = {"from": "0.5 mg/kg", "step": "-0.1 mg/kg", "by": "week", "sessions": {"per_week": 2, "weeks": 3}}
    assert values(pattern) == [0.5, 0.5, 0.4, 0.4, 0.3, 0.3]
    listed = {"steps": ["40 mg", "30 mg", "20 mg"], "by": "week", "sessions": {"days": [1, 3, 9, 22, 25]}}
    assert values(listed) == [40.0, 40.0, 30.0, 20.0, 20.0]
    to = {"from": "60 mg", "to": "20 mg", "by": "week", "sessions": {"per_week": 3, "weeks": 3}}
    assert values(to) == [60.0] * 3 + [40.0] * 3 + [20.0] * 3


def test_taper_takes_any_form_of_sessions_and_stated_days_need_no_after() -> None:
    """A taper on days of the course, and one with an interval that stretches beside its doses."""
    late = {"name": "late", "taper": {"from": "30 mg", "to": "10 mg", "sessions": {"days": [8, 15, 29]}}}
    assert days(plan(ONE, late)) == [1, 3, 5, 8, 15, 29]
    both = {"from": "0.5 mg/kg", "to": "0.2 mg/kg", "sessions": 4, "interval": {"from": "7 d", "to": "21 d"}}
    assert days(plan({"name": "t", "taper": both})) == [1, 8, 22, 43]
    assert values(both) == pytest.approx([0.5, 0.4, 0.3, 0.2], rel=1e-15)


def test_escalation() -> None:
    """0.1 to 0.5 mg/kg by 0.1 mg/kg, a week apart (Loo 2016): five doses, each the decimal number that it is."""
    rise = {"from": "0.1 mg/kg", "to": "0.5 mg/kg", "step": "0.1 mg/kg", "every": "7 d"}
    assert values(rise, "escalate") == [0.1, 0.2, 0.3, 0.4, 0.5]
    assert days(plan({"name": "t", "escalate": rise})) == [1, 8, 15, 22, 29]
    weekly = {"from": "20 mg", "to": "40 mg", "step": "10 mg", "by": "week", "sessions": {"per_week": 2, "weeks": 3}}
    assert values(weekly, "escalate") == [20.0, 20.0, 30.0, 30.0, 40.0, 40.0]
    assert days(plan(ONE, {"name": "e", "after": "7 d", "escalate": rise}))[3:] == [12, 19, 26, 33, 40]


@pytest.mark.parametrize(
    ("taper", "path", "said"),
    [
        ({"from": "0.5 mg/kg", "step": "-0.2 mg/kg", "sessions": 4, "every": "7 d"}, "step", "at most 3 doses"),
        ({"from": "0.4 mg/kg", "step": "-0.2 mg/kg", "sessions": 3, "every": "7 d"}, "step", "at most 2 doses"),
        ({"from": "0.5 mg/kg", "factor": "1 %", "sessions": 6, "every": "7 d"}, "floor", "a floor"),
        ({"from": "0.5 mg/kg", "step": "-0.1 ug/kg", "floor": "1 ug/kg", "every": "7 d"}, "floor", "1,000 doses"),
        ({"from": "0.5 mg/kg", "factor": "80 %", "every": "7 d"}, "floor", "a floor"),
        ({"from": "1 mg", "to": "2 mg", "sessions": "six", "every": "7 d"}, "sessions", "a whole number"),
        ({"from": "1 mg", "to": "2 mg", "sessions": [1, 4], "every": "7 d"}, "sessions", "keys and values"),
        (
            {"from": "9 mg", "to": "2 mg", "sessions": {"per_week": 2, "weeks": 1}, "by": "week"},
            "sessions",
            "at least 2",
        ),
    ],
)
def test_tapers_that_are_refused(taper: dict[str, Any], path: str, said: str) -> None:
    """One problem, at its place, that says what would do."""
    with pytest.raises(pk.InputError) as raised:
        plan({"name": "t", "taper": taper})
    (problem,) = raised.value.problems
    assert problem.path == f"phases[0].taper.{path}"
    assert said in problem.expected
