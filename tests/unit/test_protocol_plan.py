"""Protocols become sessions: every form of sessions and tapers, at the hour and the milligram."""

from __future__ import annotations

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
