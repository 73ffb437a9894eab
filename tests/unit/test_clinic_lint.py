"""Rules of a clinic that can never act are warned of at their place; those that can are not."""

from __future__ import annotations

from typing import Any

import pytest

import pkmodel as pk
from pkmodel.specs.clinic_lint import lint_clinic

HIGH: dict[str, Any] = {"output": "parent", "above": "300 ng/mL"}
PEAK: dict[str, Any] = {"metric": "peak", **HIGH}


def warnings(clinic: dict[str, Any], sessions: int = 8, **phase: Any) -> list[tuple[str, str]]:
    """Place and finding of every warning of a course with these rules."""
    days = [1 + 3 * number for number in range(sessions)]
    tree = {
        "title": "T",
        "drug": "ketamine",
        "route": "iv",
        "over": "40 min",
        "phases": [{"name": "one", "dose": "0.5 mg/kg", "sessions": {"days": days}, **phase}],
        "clinic": clinic,
    }
    spec = pk.load_protocol(tree)
    return [(problem.path, problem.found) for problem in lint_clinic(spec.clinic, spec.plan())]


def during(*rules: tuple[dict[str, Any], Any], every: str = "5 min") -> dict[str, Any]:
    """Rules at checks of a session."""
    return {"during_session": {"every": every, "rules": [{"if": sign, "then": then} for sign, then in rules]}}


def between(*rules: tuple[dict[str, Any], Any], **more: Any) -> dict[str, Any]:
    """Rules after a session."""
    return {"between_sessions": [{"if": sign, "then": then} for sign, then in rules], **more}


@pytest.mark.parametrize(
    ("clinic", "more", "path", "found"),
    [
        (during((HIGH, "stop"), every="40 min"), {}, "during_session.every", "every 40 min in sessions of at most"),
        (between((PEAK, {"dose": "-25 %"})), {"sessions": 1}, "between_sessions[0]", "in a course of one"),
        (
            during(({"output": "parent", "below": "0 ng/mL"}, "stop")),
            {},
            "during_session.rules[0].if",
            "parent below 0 ng/mL",
        ),
        (
            during(({"all": [HIGH, {"output": "parent", "below": "300 ng/mL"}]}, "stop")),
            {},
            "during_session.rules[0].if",
            "(parent above 300 ng/mL) and (parent below 300 ng/mL)",
        ),
        (
            during((HIGH, {"rate": "50 %"}), ({**HIGH, "above": "400 ng/mL"}, "stop")),
            {},
            "during_session.rules[1].if",
            "parent above 400 ng/mL, after parent above 300 ng/mL",
        ),
        (
            between((PEAK, {"dose": "+0.1 mg/kg", "up_to": "0.5 mg/kg"})),
            {},
            "between_sessions[0].then",
            "dose +0.1 mg/kg, up to 0.5 mg/kg where every dose is there already",
        ),
        (
            between((PEAK, {"step": "up"}), ladder=["0.3 mg/kg", "0.5 mg/kg"]),
            {},
            "between_sessions[0].then",
            "one step up",
        ),
    ],
)
def test_warned_of(clinic: dict[str, Any], more: dict[str, Any], path: str, found: str) -> None:
    """One warning, at the rule, that says what it would take."""
    ((place, seen),) = warnings(clinic, **more)
    assert place == f"clinic.{path}"
    assert found in seen


@pytest.mark.parametrize(
    "clinic",
    [
        during((HIGH, "stop"), every="39 min"),
        during((HIGH, {"pause": "5 min"}), ({**HIGH, "above": "400 ng/mL"}, "stop")),
        during(({**HIGH, "above": "400 ng/mL"}, "stop"), (HIGH, {"rate": "50 %"})),
        during(({"all": [HIGH, {"output": "parent", "below": "400 ng/mL"}]}, "stop")),
        between((PEAK, {"dose": "-25 %"}), ({**PEAK, "above": "200 ng/mL"}, "repeat")),
        between(
            ({"metric": "peak", "output": "parent", "below": "100 ng/mL"}, {"step": "up"}),
            (PEAK, {"step": "down"}),
            ladder=["0.3 mg/kg", "0.5 mg/kg"],
        ),
        between((PEAK, {"dose": "+0.1 mg/kg", "up_to": "0.6 mg/kg"})),
    ],
)
def test_not_warned_of(clinic: dict[str, Any]) -> None:
    """What may act, however rarely."""
    assert warnings(clinic) == []


def test_a_rule_that_is_warned_of_never_acts() -> None:
    """The claim itself, carried out: the shaded rule of a course where the one before it acts."""
    tree = {
        "title": "T",
        "drug": "ketamine",
        "route": "iv",
        "over": "40 min",
        "phases": [{"name": "one", "dose": "0.5 mg/kg", "sessions": {"days": [1, 4]}}],
        "clinic": during(
            ({"output": "parent", "above": "50 ng/mL"}, {"rate": "50 %"}),
            ({"output": "parent", "above": "100 ng/mL"}, "stop"),
        ),
    }
    result = pk.simulate(pk.load_protocol(tree), "ketamine_clements1981", pk.Patient(weight="80 kg"))
    assert result.ledger is not None
    acts = {name for name, number in result.ledger.counts().items() if number}
    assert any("rate 50 %" in str(act) for act in acts)
    assert not any("stop" in str(act) for act in acts)
