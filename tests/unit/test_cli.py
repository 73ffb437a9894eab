"""The command line as a user meets it: exit codes, JSON, files, and messages in place of tracebacks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from pkmodel.specs.loading import library

Command = Callable[..., Any]
SIMULATE = ("simulate", "iv_single", "--model", "ketamine_clements1981")


@pytest.fixture
def small(tree: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A scenario file of 40 patients in a directory of its own, which is the working directory."""
    tree["n"] = 40
    file = tmp_path / "in" / "small.yaml"
    file.parent.mkdir()
    file.write_text(yaml.safe_dump(tree))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return file


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ((), ("weight", "V1 of ketamine_clements1981")),
        (("--weight", "0 kg"), ("weight", "0 kg", "0.4 to 400 kg")),
        (("--weight", "700 kg"), ("weight", "700 kg", "0.4 to 400 kg")),
        (("--weight", "nan"), ("weight", "nan", "a body weight")),
        (("--weight", "NaN kg"), ("weight", "NaN kg", "a body weight")),
        (("--weight", "70"), ("weight", "70 without a unit")),
        (("--weight", "-70 kg"), ("weight", "-70 kg")),
        (("--weight", "70 mg"), ("weight", "70 mg", "a body weight")),
        (("--weight", "70 KG"), ("weight", "KG", "nearest kg")),
        (("--weight", "70 kg", "--age", "45"), ("age", "45 without a unit")),
        (("--weight", "70 kg", "--age", "450 y"), ("age", "450 y", "0 to 120 y")),
        (("--weight", "70 kg", "--sex", "woman"), ("sex", "woman", "female, male")),
        (("--weight", "70 kg", "--ancestry", "japan"), ("ancestry", "japan", "japanese")),
        (("--weight", "70 kg", "--until", "24"), ("until", "24 without a unit")),
        (("--weight", "70 kg", "--until", "-1 h"), ("until", "-1 h")),
        (("--weight", "70 kg", "--every", "0 min"), ("every", "0 min")),
        (("--weight", "70 kg", "--every", "0.001 s"), ("every", "2,000,000")),
        (("--weight", "70 kg", "--drug", "half"), ("drug", "half")),
        (("--weight", "70 kg", "-o", "curve.xls"), ("curve.xls", ".csv, .parquet or .png")),
        (("--weight", "70 kg", "-o", "missing/curve.csv"), ("missing/curve.csv", "can be written")),
        (("--weight", "70 kg", "-o", "file/curve.csv"), ("file/curve.csv", "can be written")),
        (("--weight", "12 kg", "--age", "3 y", "--strict"), ("age", "18 y and above", "--strict")),
    ],
)
def test_simulate_refuses(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], parts: tuple[str, ...]
) -> None:
    """Exit code 2, one error that holds what matters, nothing printed as a result and nothing written."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("x")
    outcome = command(*SIMULATE, *words)
    assert outcome.code == 2
    assert outcome.out == ""
    (line,) = outcome.err.splitlines()
    assert line.startswith("error: ")
    assert all(part in line for part in parts), line
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("simulate", "iv_singel", "--model", "ketamine_clements1981"), ("iv_singel", "nearest iv_single")),
        (("simulate", "iv_single", "--model", "clements1981"), ("clements1981", "ketamine_clements1981")),
        (("simulate", "iv_single", "--model", "esketamine_otto2021", "--weight", "70 kg"), ("drug: own", "drug: half")),
        (
            ("simulate", "esketamine_nasal_induction", "--model", "esketamine_otto2021", "--weight", "70 kg"),
            ("intranasal", "a route of esketamine_otto2021: one of iv"),
        ),
        (("run", "iv_versus_nasl"), ("iv_versus_nasl", "nearest iv_versus_nasal")),
        (("run", "iv_versus_nasal", "--n", "0"), ("n", "found 0")),
        (("run", "iv_versus_nasal", "--seed", "-1"), ("seed", "found -1")),
        (("run", "iv_versus_nasal", "--jobs", "0"), ("jobs", "found 0")),
        (("run", "iv_versus_nasal", "--model", "esketamine_otto"), ("esketamine_otto", "nearest esketamine_otto2021")),
        (("run", "iv_versus_nasal", "--model", "esketamine_otto2021"), ("--model", "intranasal")),
        (("run", "iv_versus_nasal", "-o", "file"), ("file", "a directory that can be written")),
        (("run", "iv_versus_nasal", "-o", "file/below"), ("file/below", "a directory that can be written")),
        (("models", "show", "esketamine_otto"), ("nearest esketamine_otto2021",)),
        (("protocols", "show", "iv_singl"), ("nearest iv_single",)),
        (("scenarios", "show", "nasal"), ("nasal_induction",)),
        (("populations", "show", "adults"), ("adults_trials",)),
        (("check", "missing.yaml"), ("missing.yaml", "no such file")),
    ],
)
def test_wrong_names_and_numbers(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], parts: tuple[str, ...]
) -> None:
    """Exit code 2 and a single error with the nearest name; nothing is written."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("x")
    outcome = command(*words)
    assert outcome.code == 2
    assert outcome.out == ""
    (line,) = outcome.err.splitlines()
    assert all(part in line for part in parts), line
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    "words",
    [
        ("nonsense",), ("run",), ("simulate",), ("check",), ("run", "iv_versus_nasal", "--n", "1e3"),
        ("run", "iv_versus_nasal", "--n", "many"), ("run", "iv_versus_nasal", "--wieght", "3"),
        ("run", "iv_versus_nasal", "--engine", "magic"), ("run", "iv_versus_nasal", "--fail-on", "met"),
        ("run", "iv_versus_nasal", "--metrics", "some"), ("models", "shw", "x"), ("models", "show"),
        (*SIMULATE, "--drug", "third"), ("simulate", "iv_single", "--weight", "70 kg"),
    ],
)  # fmt: skip
def test_usage_errors(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    """A wrong option or command: exit code 2, on standard error."""
    monkeypatch.chdir(tmp_path)
    outcome = command(*words)
    assert outcome.code == 2
    assert outcome.out == ""
    assert "Error" in outcome.err
    assert list(tmp_path.iterdir()) == []


def test_run_from_another_directory(command: Command, small: Path) -> None:
    """Exit code 0, files where they belong, and the disclaimer on the screen."""
    outcome = command("run", small, "--n", "30", "-o", "deep/results")
    assert outcome.code == 0, outcome.err
    assert sorted(path.name for path in Path.cwd().iterdir()) == ["deep"]
    assert len(pd.read_csv("deep/results/findings.csv")) > 0
    assert len(pd.read_parquet("deep/results/patients.parquet")) == 30
    assert "patient care" in outcome.out
    assert "broken" in outcome.out


def test_default_directory_is_named_after_the_scenario(command: Command, small: Path) -> None:
    """``results/SCENARIO`` below the working directory."""
    assert command("run", small).code == 0
    assert (Path.cwd() / "results" / "small" / "findings.csv").is_file()
    assert [path.name for path in small.parent.iterdir()] == ["small.yaml"]


def test_empty_output_directory_is_refused(command: Command, small: Path) -> None:
    """``-o "$UNSET"`` must not spill nine files over the working directory."""
    assert command("run", small, "-o", "").code == 2
    assert list(Path.cwd().iterdir()) == []


@pytest.mark.parametrize(
    ("limit", "fail_on", "code"),
    [
        ("1 ng/mL", None, 0),
        ("1 ng/mL", "broken", 1),
        ("1 ng/mL", "undecided", 1),
        ("100000 ng/mL", "broken", 0),
        ("100000 ng/mL", "undecided", 0),
    ],
)
def test_fail_on(
    command: Command, small: Path, tree: dict[str, Any], limit: str, fail_on: str | None, code: int
) -> None:
    """1 on a broken rule when asked, 0 whatever the verdicts when not; the files are written in any case."""
    del tree["compare"]
    tree |= {"rules": [{"id": "peak", "metric": "peak", "at_most": limit, "in": "50 %"}], "n": 40}
    small.write_text(yaml.safe_dump(tree))
    outcome = command("run", small, "-o", "out", *(["--fail-on", fail_on] if fail_on else []))
    assert outcome.code == code
    assert Path("out/findings.csv").is_file()


def test_fail_on_undecided(command: Command, small: Path, tree: dict[str, Any]) -> None:
    """A rule that a single patient keeps is undecided: not broken, but not met either."""
    del tree["compare"]
    tree |= {"rules": [{"id": "peak", "metric": "peak", "at_most": "100000 ng/mL", "in": "50 %"}], "n": 1}
    small.write_text(yaml.safe_dump(tree))
    assert command("run", small, "-o", "out", "--fail-on", "broken").code == 0
    assert command("run", small, "-o", "out", "--fail-on", "undecided").code == 1


def test_run_json(command: Command, small: Path) -> None:
    """Standard output is JSON and nothing else, equal to findings.json."""
    outcome = command("run", small, "-o", "out", "--json")
    assert outcome.code == 0
    assert json.loads(outcome.out) == json.loads(Path("out/findings.json").read_text(encoding="utf-8"))


@pytest.mark.usefixtures("pictures")
def test_simulate_json_and_files(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """JSON of the sessions; CSV, Parquet and PNG hold the same levels; no other file."""
    monkeypatch.chdir(tmp_path)
    words = (*SIMULATE, "--weight", "70 kg", "--age", "12 y", "--until", "2 h", "--every", "10 min")
    found = json.loads(command(*words, "--json").out)
    assert found["sessions"][0]["dose_mg"] == 35.0
    assert any("outside the age" in sentence for sentence in found["warnings"])
    assert "patient care" in found["disclaimer"]
    for suffix in ("csv", "parquet", "png"):
        outcome = command(*words, "-o", f"curve.{suffix}")
        assert outcome.code == 0
        assert "outside the age" in outcome.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curve.csv", "curve.parquet", "curve.png"]
    table = pd.read_csv("curve.csv")
    assert list(table.columns) == ["subject", "time_h", "output", "value", "unit"]
    assert len(table) == 13
    pd.testing.assert_frame_equal(table, pd.read_parquet("curve.parquet"), check_dtype=False)
    assert Path("curve.png").read_bytes().startswith(b"\x89PNG")


def test_interrupted_simulate_leaves_no_part(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while a file is written: 130, and neither the file nor a part of it."""
    monkeypatch.chdir(tmp_path)

    def interrupted(_: pd.DataFrame, file: Path, **__: object) -> None:
        Path(file).write_text("half a tab")
        raise KeyboardInterrupt

    monkeypatch.setattr(pd.DataFrame, "to_csv", interrupted)
    outcome = command(*SIMULATE, "--weight", "70 kg", "-o", "curve.csv")
    assert outcome.code == 130
    assert list(tmp_path.iterdir()) == []


def test_models_json(command: Command) -> None:
    """Every model with its citation, evidence, routes and outputs."""
    rows = json.loads(command("models", "--json").out)
    assert {row["name"] for row in rows} == set(library("models"))
    for row in rows:
        assert len(row["citation"]) > 20
        assert row["evidence"] in ("primary", "trace", "secondary", "derived", "borrowed", "assumed", "unsourced")
        assert row["routes"] and row["outputs"] and row["doi"]


@pytest.mark.parametrize("kind", ["protocols", "scenarios", "populations"])
def test_lists(command: Command, kind: str) -> None:
    """Every list names what is shipped, as a table and as JSON."""
    rows = json.loads(command(kind, "--json").out)
    assert {row["name"] for row in rows} == set(library(kind))
    table = command(kind)
    assert table.code == 0
    assert all(name in table.out for name in library(kind))


@pytest.mark.parametrize("kind", ["models", "protocols", "scenarios", "populations"])
def test_show_prints_everything_that_is_shipped(command: Command, kind: str) -> None:
    """``show`` works for every name of the library."""
    for name in library(kind):
        outcome = command(kind, "show", name)
        assert outcome.code == 0, outcome.err
        assert len(outcome.out) > 200


def test_protocol_for_a_patient(command: Command) -> None:
    """In mg, with what the limits did; without a weight in mg/kg."""
    rows = json.loads(command("protocols", "show", "iv_six_infusions", "--weight", "130 kg", "--json").out)["sessions"]
    assert [row["given_mg"] for row in rows] == [60.0] * 6
    assert [row["day"] for row in rows] == ["1", "3", "5", "8", "10", "12"]
    assert "120 kg" in json.dumps(rows[0])
    outcome = command("protocols", "show", "iv_six_infusions")
    assert outcome.code == 0
    assert "0.5 mg/kg" in outcome.out


@pytest.mark.parametrize("kind", ["models", "protocols", "scenarios", "populations"])
def test_check_of_everything_that_is_shipped(command: Command, kind: str) -> None:
    """Every shipped file is valid."""
    outcome = command("check", *library(kind).values())
    assert outcome.code == 0, outcome.err


def test_import_is_light() -> None:
    """``import pkmodel`` and its public errors do not import numba, pandas, pyarrow or matplotlib."""
    heavy = "{'numba', 'pandas', 'pyarrow', 'matplotlib', 'scipy', 'pint', 'typer'}"
    code = f"import sys, pkmodel; pkmodel.InputError; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_installed_command_from_anywhere(tmp_path: Path) -> None:
    """As a process: the version of the package that is installed, from a directory that has nothing to do with it."""
    program = Path(sys.executable).with_name("pkmodel")
    done = subprocess.run(
        [program, "run", "iv_versus_nasal", "--n", "20", "-o", "out", "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONWARNINGS": "error"},
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["n"] == 20
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_closed_pipe(tmp_path: Path) -> None:
    """``pkmodel models --json | head -1`` ends without a traceback."""
    program = Path(sys.executable).with_name("pkmodel")
    process = subprocess.Popen(
        [program, "models", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    message = process.stderr.read().decode()
    process.stderr.close()
    process.wait(timeout=60)
    assert "Traceback" not in message
    assert "Exception ignored" not in message


def test_an_inhibitor_of_cyp2b6(command: Callable[..., Any], tmp_path: Path) -> None:
    """Without CYP2B6 the oral area of Ashraf's model is 2.65 times as large; an activity of 2 is no activity."""
    file = tmp_path / "oral.yaml"
    file.write_text(
        "{title: by mouth, drug: esketamine, route: oral, "
        "phases: [{name: one, dose: 0.2 mg/kg, sessions: {days: [1]}}]}"
    )
    given = ("simulate", file, "--model", "esketamine_ashraf2018", "--weight", "70 kg", "--age", "30 y", "--json")
    areas = []
    for activity in ("1", "0"):
        outcome = command(*given, "--cyp2b6-activity", activity)
        assert outcome.code == 0
        areas.append(json.loads(outcome.out)["sessions"][0]["auc"])
    assert areas[1] / areas[0] == pytest.approx(2.656, abs=0.001)
    refused = command(*given, "--cyp2b6-activity", "2")
    assert refused.code == 2
    assert "a number from 0 to 1" in refused.err


def test_version(command: Command) -> None:
    """That of the installed distribution, and nothing else is done."""
    from importlib.metadata import version

    told = command("--version")
    assert (told.code, told.out, told.err) == (0, f"pkmodel {version('pkmodel')}\n", "")
