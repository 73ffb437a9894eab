"""``pkmodel selftest``: it passes, and it names what is broken."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pkmodel import exact, report, selftest
from pkmodel.own_exact import inside
from pkmodel.records import simulate as records
from pkmodel.specs.loading import library

Command = Callable[..., Any]
CHECKS = ("exact amounts", "exact figures", "two engines", "library", "own papers", "same bits")


def test_it_passes(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From an empty directory, in which nothing is left; every check has an error, a limit and what was compared."""
    monkeypatch.chdir(tmp_path)
    found = command("selftest", "--json")
    assert found.code == 0, found.out
    plain = json.loads(found.out)
    assert plain["passed"] and "Not for patient care" in plain["disclaimer"]
    checks = {check["name"]: check for check in plain["checks"]}
    assert tuple(checks) == CHECKS
    assert all(check["passed"] and 0 <= check["worst"] <= check["limit"] for check in plain["checks"])
    assert checks["exact amounts"]["compared"] == "1,125 rows of 50 exact cases"
    assert 0 < checks["exact amounts"]["worst"] < 1e-13 and checks["two engines"]["worst"] > 0
    assert plain["speed"]["patients_per_second"] > 0 and plain["speed"]["one_patient_ms"] > 0
    assert plain["kernels"]["kept"] and {"python", "numpy", "numba"} <= set(plain["versions"])
    assert plain["cpu"]["name"] and plain["cpu"]["features"]
    assert list(tmp_path.iterdir()) == []


def only(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Leave out other checks, and the measurement of the speed."""
    monkeypatch.setattr(selftest, "_CHECKS", tuple(check for check in selftest._CHECKS if check[0] in names))
    speed = {"patients_per_second": 1, "threads": 1, "one_patient_ms": 1}
    monkeypatch.setattr(selftest, "speed", lambda _: speed)


def broken(command: Command, name: str) -> str:
    """The line of a check that failed; it is named, and the exit code is 1."""
    found = command("selftest")
    assert found.code == 1
    assert "of 1 checks failed" in found.out.replace("\n", " ") and "FAIL" in found.out
    line = found.out[found.out.index(f"FAIL {name}") :]
    return " ".join(line[: line.index("Speed:")].split())


def test_a_table_to_read(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line for each check within 80 columns, with whole heads."""
    only(monkeypatch)
    passing = tuple((name, lambda: selftest._Found("x" * 36, 1.23e-10), "", 1e-9, "") for name in CHECKS)
    monkeypatch.setattr(selftest, "_CHECKS", passing)
    found = command("selftest")
    assert found.code == 0
    head, *lines = found.out.splitlines()
    assert re.split(" {2,}", head.rstrip()) == ["check", "what was compared", "worst error", "limit", "result"]
    for name, line in zip(CHECKS, lines, strict=False):
        assert line.startswith(name) and line.endswith("pass") and len(line) <= 80
    assert "All 6 checks passed" in found.out and "not for patient care" in found.out.lower()


def test_amounts_that_are_off(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """By one part in 10^10, which no figure would show."""
    only(monkeypatch, "exact amounts")
    real = records.amounts_after
    monkeypatch.setattr(records, "amounts_after", lambda *words: real(*words) * (1 + 1e-10))
    assert "worst in" in broken(command, "exact amounts")


def test_figures_that_are_off(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """A peak, in its eighth digit."""
    only(monkeypatch, "exact figures")
    real = inside.scan

    def scan(*words: Any) -> inside.Scanned:
        found = real(*words)
        return dataclasses.replace(found, peak=found.peak * (1 + 1e-8))

    monkeypatch.setattr(inside, "scan", scan)
    assert "cmax" in broken(command, "exact figures")


def test_engines_that_disagree(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """The propagator is off by a part in a million, and in another case gives no number."""
    only(monkeypatch, "two engines")
    monkeypatch.setattr(selftest, "COURSES", selftest.COURSES[2:3])
    real = exact.levels

    for factor in (1 + 1e-6, math.nan):

        def levels(*words: Any, factor: float = factor, **named: Any) -> Any:
            result = real(*words, **named)
            words[6][...] *= factor
            return result

        monkeypatch.setattr(exact, "levels", levels)
        broken(command, "two engines")


def test_files_and_papers_that_do_not_hold(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that lost a line, and one with another clearance."""
    name = "ketamine_hornik2018"
    text = library("models")[name].read_text()
    mine = tmp_path / f"{name}.yaml"
    monkeypatch.setitem(library("models"), name, mine)
    only(monkeypatch, "library")
    mine.write_text(text.replace("compartments:", "compartmentz:"))
    assert f"{name}.yaml" in broken(command, "library")
    monkeypatch.undo()


def test_paper_that_is_missed(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model with another number than its paper's."""
    name = "ketamine_hornik2018"
    text = library("models")[name].read_text()
    changed = re.sub(r"(\n  CL: \{value: )[\d.]+", r"\g<1>70", text)
    assert changed != text
    mine = tmp_path / f"{name}.yaml"
    mine.write_text(changed)
    monkeypatch.setitem(library("models"), name, mine)
    only(monkeypatch, "own papers")
    assert f"of {name}, by " in broken(command, "own papers")


def test_bits_that_depend_on_the_split(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """One file of the second run has one byte more than that of the first."""
    only(monkeypatch, "same bits")
    ran: list[Path] = []

    def run(_: Any, out: Path, **how: Any) -> None:
        out.mkdir()
        for name in selftest.SAME:
            (out / name).write_bytes(b"x" * (1 + (name == "bands.parquet") * len(ran)))
        ran.append(out)

    monkeypatch.setattr(report, "run", run)
    assert broken(command, "same bits").endswith("(files that differ): bands.parquet: other bytes")
    assert len(ran) == 2


def test_check_that_cannot_be_carried_out(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it raises is said, and the other checks go on."""
    only(monkeypatch, "library", "exact figures")

    def gone() -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(inside, "load", gone)
    found = command("selftest", "--json")
    assert found.code == 1
    first, second = json.loads(found.out)["checks"]
    assert (first["passed"], first["worst"], first["said"]) == (False, None, "ZeroDivisionError: a bug")
    assert second["passed"]


def test_page_shows_the_table() -> None:
    """Each check that there is, passing, and what it compares."""
    page = (Path(__file__).resolve().parents[2] / "docs" / "selftest.md").read_text(encoding="utf-8")
    assert tuple(re.findall(r"^\| ([a-z ]+) \|", page, re.MULTILINE)[1:]) == CHECKS
    assert tuple(re.findall(r"^([a-z ]+?)  .* pass$", page, re.MULTILINE)) == CHECKS
