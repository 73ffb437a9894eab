"""``pkmodel protocols show``: a course as a table that a nurse could follow."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pkmodel as pk
from pkmodel.instructions import course_for, lines, time_text

Command = Callable[..., Any]

SEDATION = """
title: Sedation in parts
drug: ketamine
route: iv
product: {concentration: 10 mg/mL, vial: 20 mL}
pump: {max_rate: 60 mL/h}
dose_limits: {max_single: 60 mg, max_day: 100 mg, round_to: 1 mg}
phases:
  - name: sedation
    parts: [{dose: 0.3 mg/kg, over: 1 min}, {dose: 3 mg/kg/h, over: 15 min}, {pause: 5 min}, {dose: 20 mg}]
    sessions: {days: [1, 3]}
"""
SPRAYS = """
title: Ketamine nasal spray
drug: ketamine
route: intranasal
atomiser: {concentration: 100 mg/mL, max_per_nostril: 0.3 mL, dead_space: 0.1 mL, spray: 0.1 mL, every: 30 s}
product: {concentration: 100 mg/mL, vial: 1 mL}
phases:
  - name: nasal
    dose: 50 mg
    dose_when: [{age: [65 y, null], dose: 20 mg}, {severity: [40, null], dose: 60 mg}]
    sessions: {days: [1]}
"""

PATIENT = {"weight": np.array([82.0]), "age": np.array([40.0])}


def file_of(text: str, folder: Path) -> Path:
    """A protocol file."""
    file = folder / "protocol.yaml"
    file.write_text(text)
    return file


@pytest.mark.parametrize(
    ("hours", "text"),
    [(0.0, "0:00"), (5 / 60, "0:05"), (2 / 3, "0:40"), (1.5, "1:30"), (30 / 3600, "0:00:30"), (26.0, "26:00")],
)
def test_times_from_the_start_of_a_session(hours: float, text: str) -> None:
    """Hours and minutes, seconds only where there are any."""
    assert time_text(hours) == text


def test_every_part_at_its_time(tmp_path: Path) -> None:
    """24.6 mg become 25, at 60 mL/h over 2.5 min; 61.5 become 60; 15 of 20 mg are left of 100 a day; 1 vial of 200."""
    rows = course_for(pk.load_protocol(file_of(SEDATION, tmp_path)), PATIENT)
    assert [row["session"] for row in rows] == [1, 2]
    first = rows[0]
    assert (first["day"], first["given_mg"], first["vials"], first["wasted_mg"]) == ("1", 100.0, 1, 100.0)
    assert (first["volume_mL"], first["pump_mL_per_h"]) == (10.0, 60.0)
    parts: list[dict[str, object]] = first["parts"]  # type: ignore[assignment]
    assert [part["time"] for part in parts] == ["0:00", "0:02:30", "0:22:30"]
    assert [part["given_mg"] for part in parts] == [25.0, 60.0, 15.0]
    assert [part["volume_mL"] for part in parts] == [2.5, 6.0, 1.5]
    assert [part.get("pump_mL_per_h") for part in parts] == [60.0, 24.0, None]
    assert first["why"] == [
        "dose 1: rounded to 1 mg (24.6 mg to 25 mg)",
        "dose 1: pump limit 60 mL/h (1 min to 2.5 min)",
        "dose 2: dose cap 60 mg (61.5 mg to 60 mg)",
        "dose 3: day cap 100 mg (20 mg to 15 mg)",
    ]
    assert rows[1]["given_mg"] == 100.0, "a day later nothing is gone of the day's cap"


def test_lines_of_parts(tmp_path: Path) -> None:
    """One line for each part; the session stands on the first only, a reason on the part that it is of."""
    shown = lines(course_for(pk.load_protocol(file_of(SEDATION, tmp_path)), PATIENT), patient=True)
    assert [line["session"] for line in shown] == ["1", "", "", "2", "", ""]
    assert [line["take"] for line in shown[:3]] == ["2.5 mL", "6 mL", "1.5 mL"]
    assert shown[1]["how"] == "over 15 min, pump 24 mL/h; dose cap 60 mg (61.5 mg to 60 mg)"
    assert shown[2]["how"] == "at once; day cap 100 mg (20 mg to 15 mg)"
    assert "1 vial, 100 mg wasted" in shown[0]["how"]


def test_sprays_and_the_dose_of_a_band(tmp_path: Path) -> None:
    """Two sprays of 10 mg for the old; five for the others, and six from a score of 40 on."""
    spec = pk.load_protocol(file_of(SPRAYS, tmp_path))
    (old,) = course_for(spec, {"age": np.array([70.0])})
    assert (old["given_mg"], old["sprays"], old["volume_mL"], old["vials"]) == (20.0, 2, 0.2, 1)
    assert old["why"] == ["20 mg for this patient"]
    assert (old["used_mg"], old["wasted_mg"]) == (100.0, 80.0)
    (severe,) = course_for(spec, {"age": np.array([40.0]), "severity": np.array([40.0])})
    assert (severe["given_mg"], severe["sprays"]) == (60.0, 6)
    (line,) = lines([severe], patient=True)
    assert line["time"] == "0:00, 0:00:30 ... 0:02:30"
    assert line["take"] == "6 sprays, 0.6 mL"


def test_the_bands_stand_in_the_table_for_nobody_in_particular(command: Command, tmp_path: Path) -> None:
    """Without a patient every dose that the file knows is told."""
    outcome = command("protocols", "show", file_of(SPRAYS, tmp_path))
    assert outcome.code == 0, outcome.err
    assert "but 20 mg for age from 65 y, 60 mg for severity from 40" in " ".join(outcome.out.split())


def test_a_score_that_is_needed_is_asked_for(command: Command, tmp_path: Path) -> None:
    """By name, with exit code 2; given on the command line it is used."""
    file = file_of(SPRAYS, tmp_path)
    outcome = command("protocols", "show", file, "--age", "40 y")
    assert outcome.code == 2
    assert "severity, which the dose depends on" in outcome.err
    outcome = command("protocols", "show", file, "--age", "40 y", "--severity", "45", "--json")
    assert [row["given_mg"] for row in json.loads(outcome.out)["sessions"]] == [60.0]


def test_the_table_fits_into_100_columns(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No line is longer, every dose has a line that begins with its time, and no cell of a short column is broken."""
    monkeypatch.setenv("COLUMNS", "100")
    outcome = command("protocols", "show", file_of(SEDATION, tmp_path), "--weight", "82 kg")
    assert outcome.code == 0, outcome.err
    shown = outcome.out.splitlines()
    assert max(map(len, shown)) <= 100
    for text in ("0:00 ", "0:02:30 ", "0:22:30 "):
        assert sum(text in line for line in shown) == 2, text
    assert sum("3 mg/kg/h for 15 min  60  6 mL" in line for line in shown) == 2


def test_devices_at_their_times(command: Command) -> None:
    """84 mg: three devices of 28 mg, 5 min apart, told once above the lines of the phase."""
    outcome = command("protocols", "show", "esketamine_nasal_induction", "--weight", "70 kg")
    assert "induction: devices of 28 mg, 5 min apart" in outcome.out
    assert "0:00, 0:05, 0:10" in outcome.out
    assert "3 devices" in outcome.out
    rows = json.loads(command("protocols", "show", "esketamine_nasal_induction", "--weight", "70 kg", "--json").out)
    assert [part["time"] for part in rows["sessions"][1]["parts"]] == ["0:00", "0:05", "0:10"]
    assert [row["devices"] for row in rows["sessions"]] == [2] + [3] * 11


def test_a_session_in_the_middle_of_a_day_is_told_by_day_and_time() -> None:
    """Days are whole; the course begins at 0:00 of day 1."""
    tree = {
        "title": "every 36 h",
        "drug": "ketamine",
        "source": {"citation": "made up", "evidence": "assumed"},
        "route": "iv",
        "phases": [{"name": "all", "dose": "20 mg", "over": "40 min", "sessions": {"every": "36 h", "count": 3}}],
    }
    told = lines(course_for(pk.load_protocol(tree), None), patient=False)
    assert [(line["day"], line["time"]) for line in told] == [("1", "0:00"), ("2", "12:00"), ("4", "0:00")]
