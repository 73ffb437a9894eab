"""Bounds of a clinic hold from then on, ties fall one way, and the ledger says what was done and when it was due."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pkmodel as pk
from pkmodel.ledger import Ledger
from pkmodel.side_by_side import over_sessions

ALWAYS = {"metric": "peak", "output": "parent", "above": "0.001 ng/mL"}
NOW = {"output": "parent", "above": "0.001 ng/mL"}


def ledger_of(phase: dict[str, Any], **more: Any) -> Ledger:
    """One patient of 100 kg."""
    tree = {"title": "T", "drug": "ketamine", "route": "iv", "over": "40 min", "phases": [{"name": "one", **phase}]}
    result = pk.simulate(pk.load_protocol(tree | more), "ketamine_clements1981", pk.Patient(weight="100 kg"))
    assert result.ledger is not None
    return result.ledger


def given(ledger: Ledger) -> list[float]:
    """mg of every session."""
    return [float(entry.programme.given()[0]) for entry in ledger.entries]


@pytest.mark.parametrize(
    ("taper", "change", "expected"),
    [
        # 0.5 to 0.1 mg/kg less 0.2, not below 0.1: 50, then 40 - 20, 30 - 20, and the floor of 10 mg from there on.
        (
            {"from": "0.5 mg/kg", "to": "0.1 mg/kg"},
            {"dose": "-0.2 mg/kg", "down_to": "0.1 mg/kg"},
            [50, 20, 10, 10, 10],
        ),
        # Without a floor a percentage leaves something of everything.
        ({"from": "0.5 mg/kg", "to": "0.1 mg/kg"}, {"dose": "-50 %"}, [50, 20, 15, 10, 5]),
    ],
)
def test_a_floor_holds_for_all_that_is_planned(taper: Any, change: Any, expected: list[float]) -> None:
    """A rule that acts once, after the first session, on a course that goes on falling: never below its floor."""
    once = {"all": [ALWAYS, {"metric": "peak", "output": "parent", "above": "165 ng/mL"}]}
    ledger = ledger_of(
        {"taper": {**taper, "sessions": 5, "every": "7 d"}}, clinic={"between_sessions": [{"if": once, "then": change}]}
    )
    fired = [check.fired[0] for check in ledger.checks]
    if fired != [0, -1, -1, -1]:
        pytest.fail(f"the rule was meant to act once: {fired}")
    assert given(ledger) == pytest.approx(expected, rel=1e-12)


def test_a_ceiling_holds_for_all_that_is_planned() -> None:
    """0.1 to 0.5 mg/kg and 0.2 more, not above 0.5: 10, 40, 50, 50, 50 mg."""
    once = {"metric": "peak", "output": "parent", "below": "60 ng/mL"}
    change = {"dose": "+0.2 mg/kg", "up_to": "0.5 mg/kg"}
    ledger = ledger_of(
        {"escalate": {"from": "0.1 mg/kg", "to": "0.5 mg/kg", "step": "0.1 mg/kg", "every": "7 d"}},
        clinic={"between_sessions": [{"if": once, "then": change}]},
    )
    assert given(ledger) == pytest.approx([10, 40, 50, 50, 50], rel=1e-12)


def test_an_interval_stays_within_its_bound() -> None:
    """Gaps of 2, 2, 3, 2 and 2 d, a week longer after every session, up to 14 d: 9, 14, 14, 14, 14 d."""
    rule = {"if": ALWAYS, "then": {"interval": "+7 d", "up_to": "14 d"}}
    ledger = ledger_of(
        {"dose": "0.5 mg/kg", "sessions": {"days": [1, 3, 5, 8, 10, 12]}}, clinic={"between_sessions": [rule]}
    )
    starts = np.array([entry.start[0] for entry in ledger.entries]) / 24.0
    assert np.diff(starts) == pytest.approx([9, 14, 14, 14, 14], rel=1e-12)


def test_a_check_at_the_end_is_after_it_in_every_session() -> None:
    """40 min and a check every 5: seven looks in each session, whatever the last digit of its time is."""
    ledger = ledger_of(
        {"dose": "0.5 mg/kg", "sessions": {"days": [1, 3, 5, 8, 10, 12]}},
        clinic={"during_session": {"every": "5 min", "rules": [{"if": {**NOW, "above": "9 mg/L"}, "then": "stop"}]}},
    )
    looks = [sum(check.session == number for check in ledger.checks) for number in range(1, 7)]
    assert looks == [7] * 6


def test_a_spent_pause_leaves_it_to_the_other_rules() -> None:
    """A pause that may be made once, then the stop that stands after it; both are in the ledger as what they were."""
    rules = [{"if": NOW, "then": {"pause": "10 min", "at_most": 1, "otherwise": "go_on"}}, {"if": NOW, "then": "stop"}]
    ledger = ledger_of(
        {"dose": "0.5 mg/kg", "sessions": {"days": [1]}}, clinic={"during_session": {"every": "5 min", "rules": rules}}
    )
    # A pump that stands still is not paused once more; the stop, after it in the list, may act at any check.
    acts = [act["act"] for act in ledger.decided(0)]
    assert acts == ["pause 10 min (at most 1, otherwise go on)", "stop"]


def test_what_is_done_otherwise_is_written_down() -> None:
    """Two holds and then the skip, in this order, with the session's end after its holds."""
    rule = {
        "if": {"output": "parent", "below": "1 mg/L"},
        "then": {"hold": "15 min", "at_most": 2, "otherwise": "skip"},
    }
    ledger = ledger_of({"dose": "0.5 mg/kg", "sessions": {"days": [1]}}, clinic={"before_session": [rule]})
    acts = [act["act"] for act in ledger.decided(0)]
    assert acts == ["hold 15 min (at most 2, otherwise skip)"] * 2 + ["skip, after 2 times", "skipped"]
    counts = {key[2]: number for key, number in ledger.counts().items() if key[1] == "before"}
    assert counts == {"1. hold 15 min (at most 2, otherwise skip)": 1, "1. skip, after 2 times": 1}


@pytest.mark.parametrize(
    ("adherence", "word", "hours"),
    [
        ({"late": [{"session": 2, "by": "3 h"}]}, "late, 3 h after it was due", 3.0),
        ({"missed": [2], "after_missed": {"make_up": "1 d"}}, "made up for, 24 h after it was due", 24.0),
    ],
)
def test_when_a_session_was_due(adherence: dict[str, Any], word: str, hours: float) -> None:
    """Due is when it was planned, whenever the patient came; and that they came late, or made up for it, is said."""
    ledger = ledger_of({"dose": "0.5 mg/kg", "sessions": {"days": [1, 4, 8]}}, adherence=adherence)
    second = ledger.entries[1]
    assert (second.due[0], second.start[0]) == (72.0, 72.0 + hours)
    assert [act["act"] for act in ledger.decided(0)] == [word]
    table = ledger.to_pandas()
    rows = table[table["row"] == "session"]
    assert rows["action"].fillna("").tolist() == ["", word.split(",")[0], ""]


def test_sessions_that_were_not_given_do_not_count() -> None:
    """A mean over sessions is over those in which something was given, and the last is the last of them."""
    values, took = np.array([[4.0, 4.0], [2.0, 2.0], [0.0, 6.0]]), np.array([[True, True], [True, True], [False, True]])
    assert over_sessions(values, "mean", took).tolist() == [3.0, 4.0]
    assert over_sessions(values, "last", took).tolist() == [2.0, 6.0]
    assert over_sessions(values, "sum", took).tolist() == [6.0, 12.0]
    assert over_sessions(values, "mean", np.zeros_like(took)).tolist() == [0.0, 0.0]
