"""What is legal and looks like a mistake is warned of, at its line, and nothing that is meant is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import pkmodel as pk
from pkmodel.specs.loading import library
from pkmodel.specs.protocol_lint import RULES, lint

Command = Callable[..., Any]
NASAL = {"drug": "esketamine", "route": "intranasal", "over": None, "device": {"strength": "28 mg", "rest": "5 min"}}

BOLUS_AND_INFUSION = [{"dose": "2 mg/kg"}, {"dose": "3 mg/kg/h", "over": "15 min"}]


def warnings(phase: dict[str, Any], **more: Any) -> list[tuple[str, str]]:
    """Place and finding of every warning of a protocol of one phase."""
    head: dict[str, Any] = {"title": "T", "drug": "ketamine", "route": "iv", "over": "40 min"}
    tree = {**head, **more, "phases": [{"name": "one", **phase}]}
    spec = pk.load_protocol({key: value for key, value in tree.items() if value is not None})
    return [(problem.path, problem.found) for problem in lint(spec)]


def single(dose: str, **more: Any) -> dict[str, Any]:
    """A phase of one session."""
    return {"dose": dose, "sessions": {"days": [1]}, **more}


def taper(first: str, last: str) -> dict[str, Any]:
    """A phase that is a taper of three sessions."""
    return {"taper": {"from": first, "to": last, "sessions": 3, "every": "7 d"}}


@pytest.mark.parametrize(
    ("phase", "more", "path", "found"),
    [
        (taper("0.3 mg/kg", "0.5 mg/kg"), {}, "phases[0].taper", "rises from 0.3 mg/kg to 0.4 mg/kg"),
        (single("40 mg"), {"dose_limits": {"max_single": "30 mg"}}, "dose_limits.max_single", "max_single 30 mg"),
        (single("0.5 mg/kg"), {"dose_limits": {"max_single": "19 mg"}}, "dose_limits.max_single", "at 40 kg, 20 mg"),
        (
            single("0.5 mg/kg", dose_limits={"max_per_kg": "0.4 mg/kg"}),
            {},
            "phases[0].dose_limits.max_per_kg",
            "max_per_kg 0.4 mg/kg",
        ),
        (single("40 mg"), {"dose_limits": {"max_single": "50 mg"}}, "dose_limits.max_single", "no dose comes up to"),
        (
            single("0.5 mg/kg"),
            {"dose_limits": {"max_single": "61 mg"}, "weight": {"cap": "120 kg"}},
            "dose_limits.max_single",
            "0.5 mg/kg at 120 kg, 60 mg",
        ),
        (single("0.5 mg/kg"), {"dose_limits": {"max_single": "126 mg"}}, "dose_limits.max_single", "at 250 kg, 125 mg"),
        (single("40 mg"), {"dose_limits": {"min_single": "50 mg"}}, "dose_limits.min_single", "lifts every dose"),
        (
            single("0.5 mg/kg"),
            {"dose_limits": {"min_single": "61 mg"}, "weight": {"cap": "120 kg"}},
            "dose_limits.min_single",
            "0.5 mg/kg at 120 kg, 60 mg",
        ),
        (single("1.1 mg/kg"), {}, "phases[0]", "1.1 mg/kg over 40 min in session 1"),
        (single("2 mg/kg/h"), {}, "phases[0]", "2 mg/kg/h for 40 min in session 1"),
        (single("0.09 mg/kg"), {}, "phases[0]", "0.09 mg/kg over 40 min in session 1"),
        (single("130 mg"), {}, "phases[0]", "130 mg over 40 min in session 1"),
        (single("3 mg"), {}, "phases[0]", "3 mg over 40 min in session 1"),
        (single("5 mg/kg"), {"over": "60 s"}, "phases[0]", "5 mg/kg over 1 min in session 1"),
        (single("112 mg"), NASAL, "phases[0]", "112 mg in session 1"),
        (
            {"dose": "0.5 mg/kg", "sessions": {"per_week": 4, "weeks": 1}},
            {},
            "phases[0]",
            "sessions 1 to 4 within 7 d",
        ),
        ({"dose": "56 mg", "sessions": {"per_week": 5, "weeks": 2}}, NASAL, "phases[0]", "sessions 1 to 4 within 7 d"),
        ({"dose": "0.5 mg/kg", "sessions": {"every": "2.1 d", "count": 2}}, {}, "phases[0].sessions.every", "2.1 d"),
        (
            {"taper": {"from": "0.5 mg/kg", "to": "0.2 mg/kg", "sessions": 3, "intervals": ["7 d", "0.7 d"]}},
            {},
            "phases[0].taper.intervals[1]",
            "0.7 d",
        ),
    ],
)
def test_warned_of(phase: dict[str, Any], more: dict[str, Any], path: str, found: str) -> None:
    """One warning, where the mistake would be."""
    ((where, said),) = warnings(phase, **more)
    assert where == path
    assert found in said


@pytest.mark.parametrize(
    ("phase", "more"),
    [
        (taper("0.5 mg/kg", "0.5 mg/kg"), {}),
        ({"escalate": {"from": "0.1 mg/kg", "to": "0.5 mg/kg", "step": "0.1 mg/kg", "every": "7 d"}}, {}),
        (taper("40 mg", "10 mg"), {"dose_limits": {"max_single": "30 mg"}}),
        (single("0.5 mg/kg"), {"dose_limits": {"max_single": "20 mg"}}),
        (single("0.5 mg/kg"), {"dose_limits": {"max_single": "60 mg"}, "weight": {"cap": "120 kg"}}),
        (single("0.5 mg/kg"), {"dose_limits": {"max_per_kg": "0.4 mg/kg"}, "weight": {"basis": "ideal"}}),
        (single("1.0 mg/kg"), {}),
        (single("1.5 mg/kg/h"), {}),
        (single("1.2 mg/kg/h"), {"over": "72 h"}),
        (single("0.5 mg/kg"), {"dose_limits": {"min_single": "60 mg"}, "weight": {"cap": "120 kg"}}),
        (
            {"parts": [{"dose": "2 mg/kg"}, {"dose": "3 mg/kg/h", "over": "15 min"}], "sessions": {"days": [1]}},
            {"over": None},
        ),
        (single("0.1 mg/kg"), {}),
        (single("4.5 mg/kg"), {"over": "60 s"}),
        (single("29 mg/kg"), {"over": "24 h"}),
        (single("84 mg"), NASAL),
        ({"dose": "0.5 mg/kg", "sessions": {"per_week": 3, "weeks": 4}}, {}),
        ({"dose": "2 mg/kg", "sessions": {"per_week": 5, "weeks": 1}}, {"over": "60 s"}),
        ({"dose": "0.5 mg/kg", "sessions": {"every": "3.5 d", "count": 3}}, {}),
        ({"dose": "0.5 mg/kg", "sessions": {"every": "77 h", "count": 3}}, {}),
    ],
)
def test_not_warned_of(phase: dict[str, Any], more: dict[str, Any]) -> None:
    """What is usual, or just inside, is passed by."""
    assert warnings(phase, **more) == []


def test_shipped_protocols_are_free_of_warnings_and_rules_name_their_source() -> None:
    """The library holds itself to the rules; each rule says what it rests on."""
    assert {name: lint(pk.load_protocol(name)) for name in library("protocols")} == {
        name: [] for name in library("protocols")
    }
    for rule in RULES:
        said = rule.__doc__ or ""
        assert any(word in said for word in ("source", "assumed", "label", ";")), rule.__name__


def test_check_prints_a_warning_on_a_line_of_its_own_and_still_calls_the_file_valid(
    command: Command, tmp_path: Path
) -> None:
    """Exit code 0; standard output as ever; the warning with file, line, place and the nearest that may be meant."""
    tree = {"title": "T", "drug": "ketamine", "route": "iv", "over": "40 min"}
    phase = {"name": "one", "dose": "1.2 mg/kg", "sessions": {"every": "0.7 d", "count": 2}}
    file = tmp_path / "odd.yaml"
    file.write_text(yaml.safe_dump({**tree, "phases": [phase]}, sort_keys=False))
    outcome = command("check", file)
    assert outcome.code == 0
    assert outcome.out == f"{file}: a valid protocol\n"
    assert outcome.err.splitlines() == [
        f"warning: {file}:6  phases[0]  found 1.2 mg/kg over 40 min in session 1 and 1 more  "
        "expected 0.1 to 1 mg/kg over 2 to 100 min, the range that was studied",
        f"warning: {file}:9  phases[0].sessions.every  found 0.7 d  "
        "expected whole or quarter days, or the hours that are meant (16.8 h)  nearest 7 d",
    ]
