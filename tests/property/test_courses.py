"""Courses of any numbers: sessions in rising order, doses that keep their ends, their floor and their direction."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

import pkmodel as pk
from pkmodel.records.exchange import Arrival, folded
from pkmodel.specs.planned import PlannedSession

HEAD: dict[str, Any] = {"title": "T", "drug": "ketamine", "route": "iv", "over": "1 min"}
HUNDREDTHS = st.integers(1, 400)
FORMS = st.one_of(
    st.builds(lambda per, weeks: {"per_week": per, "weeks": weeks}, st.integers(1, 7), st.integers(2, 6)),
    st.builds(lambda per, count: {"per_week": per, "count": count}, st.integers(1, 7), st.integers(8, 20)),
    st.builds(lambda days: {"days": sorted(days)}, st.sets(st.integers(1, 80), min_size=2, max_size=12)),
    st.builds(lambda hours, count: {"every": f"{hours} h", "count": count}, st.integers(1, 700), st.integers(2, 12)),
    st.builds(lambda steps: {"intervals": [f"{step} h" for step in steps]}, st.lists(st.integers(1, 700), min_size=1)),
    st.builds(
        lambda first, last, count, shape: {
            "interval": {"from": f"{first} h", "to": f"{last} h", "shape": shape},
            "count": count,
        },
        st.integers(1, 700),
        st.integers(1, 700),
        st.integers(3, 12),
        st.sampled_from(["linear", "geometric"]),
    ),
)


def plan(phase: dict[str, Any]) -> list[PlannedSession]:
    """The sessions of a phase."""
    return pk.load_protocol({**HEAD, "phases": [{"name": "one", **phase}]}).plan()


def per_kg(hundredths: int) -> str:
    """A dose as text."""
    return f"{hundredths / 100} mg/kg"


@given(FORMS)
@settings(max_examples=150)
def test_sessions_rise_in_whole_hours(form: dict[str, Any]) -> None:
    """Whatever the form: as many sessions as it says, each after the one before, at a whole hour."""
    sessions = plan({"dose": "1 mg", "sessions": form})
    starts = [session.start for session in sessions]
    assert starts == sorted(set(starts)) and all(start == round(start) for start in starts)
    if "per_week" in form:
        per = form["per_week"]
        assert len(starts) == form.get("count", per * form.get("weeks", 0))
        for week in range(int(starts[-1] // 168)):  # every whole week has its number
            assert sum(week * 168 <= start < (week + 1) * 168 for start in starts) == per
    if "interval" in form:
        first, last = (float(form["interval"][end].removesuffix(" h")) for end in ("from", "to"))
        steps = [later - before for before, later in pairwise(starts)]
        assert (steps[0], steps[-1]) == (first, last)
        assert steps == sorted(steps, reverse=first > last)


@given(HUNDREDTHS, HUNDREDTHS, FORMS, st.sampled_from(["linear", "geometric"]))
@settings(max_examples=100)
def test_taper_keeps_its_ends_and_its_direction(first: int, last: int, form: dict[str, Any], shape: str) -> None:
    """From the first dose to the last, both to the bit, never back."""
    taper = {"from": per_kg(first), "to": per_kg(last), "shape": shape, "sessions": form}
    doses = [session.dose.value for session in plan({"taper": taper})]
    assert (doses[0], doses[-1]) == (first / 100, last / 100)
    assert doses == sorted(doses, reverse=first > last)


@given(st.integers(10, 400), st.integers(1, 399), st.data())
@settings(max_examples=100)
def test_steps_and_factors_go_down_to_the_floor_and_no_further(first: int, step: int, data: st.DataObject) -> None:
    """Every dose is that many steps below the first, to the bit of its decimal number, and the last is the floor."""
    floor = data.draw(st.integers(1, first - 1))
    step = min(step, first)
    taper = {"from": per_kg(first), "step": f"-{step / 100} mg/kg", "floor": per_kg(floor), "every": "7 d"}
    doses = [session.dose.value for session in plan({"taper": taper})]
    assert doses == [max(first - index * step, floor) / 100 for index in range(len(doses))]
    assert doses[-1] == floor / 100 and doses[-2] > floor / 100
    percent = data.draw(st.integers(1, 95))
    lower = {"from": per_kg(first), "factor": f"{percent} %", "floor": per_kg(floor), "every": "7 d"}
    parts = [session.dose.value for session in plan({"taper": lower})]
    assert parts[-1] == floor / 100 and all(later < before for before, later in pairwise(parts))


@given(st.integers(1, 300), st.integers(1, 50), st.integers(1, 30))
@settings(max_examples=100)
def test_escalation_is_made_of_its_steps(first: int, step: int, count: int) -> None:
    """Each dose is the decimal number that it is, and the last one is the one asked for."""
    last = first + step * count
    rise = {"from": per_kg(first), "to": per_kg(last), "step": per_kg(step), "every": "7 d"}
    doses = [session.dose.value for session in plan({"escalate": rise})]
    assert doses == [(first + step * index) / 100 for index in range(count + 1)]


@given(st.lists(st.tuples(st.integers(0, 2000), st.sampled_from([0.0, 0.25, 1 / 12]), st.sampled_from([1.0, 2.0]))))
@settings(max_examples=150)
def test_folding_changes_no_dose(rows: list[tuple[int, float, float]]) -> None:
    """Folded doses, unfolded, are the doses: none lost, none moved by a bit."""
    doses = sorted((Arrival(hour + part, amount, 0.5, "central") for hour, part, amount in rows), key=lambda d: d.time)
    unfolded = sorted((time, dose.amount) for dose in folded(doses) for time in dose.times())
    assert unfolded == sorted((dose.time, dose.amount) for dose in doses)
