"""Every wrong file of this folder is refused with one clear error per mistake, at its line, with exit code 2.

A file starts with a line for every mistake in it::

    # expect: line 7 | phases[0].dose | found 0.5 without a unit | nearest mg

Its parts must all stand in one and the same error of ``pkmodel check``; ``line 7`` stands for ``FILE:7``.
"""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from pkmodel import cli

HERE = Path(__file__).parent
FILES = sorted(HERE.glob("*/*.yaml"))
MARK = "# expect: "


@dataclass(frozen=True)
class Outcome:
    """What a command left: its exit code and what it printed."""

    code: object
    out: str
    err: str

    @property
    def errors(self) -> list[str]:
        """The errors, one to a line."""
        return [line.removeprefix("error: ") for line in self.err.splitlines() if line]


def _check(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *files: Path) -> Outcome:
    """Run ``pkmodel check`` in this process; an exception that escapes is a traceback to the user, and fails."""
    monkeypatch.setattr(sys, "argv", ["pkmodel", "check", *map(str, files)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    printed = capsys.readouterr()
    return Outcome(ended.value.code, printed.out, printed.err)


def _expectations(file: Path) -> list[list[str]]:
    lines = file.read_text(encoding="utf-8").splitlines()
    marked = [line.removeprefix(MARK) for line in lines if line.startswith(MARK)]
    return [[part.strip() for part in line.split(" | ")] for line in marked]


def _fits(error: str, file: Path, parts: list[str]) -> bool:
    """Whether an error holds every part; a part ``line 7`` is the place, which is where the error begins."""
    for part in parts:
        place = re.fullmatch(r"line (\d+)", part)
        if not (error.startswith(f"{file}:{place[1]}  ") if place else part in error):
            return False
    return True


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_file_is_refused(file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, nothing on standard output, and exactly the errors that the file expects."""
    expected = _expectations(file)
    outcome = _check(monkeypatch, capsys, file)
    assert outcome.code == 2, f"accepted: {outcome.out}"
    assert outcome.out == ""
    assert all(line.startswith("error: ") for line in outcome.err.splitlines()), outcome.err
    missing = [parts for parts in expected if not any(_fits(error, file, parts) for error in outcome.errors)]
    assert not missing, f"\nnot said: {missing}\nsaid:\n{outcome.err}"
    assert len(outcome.errors) == len(expected), f"\n{len(expected)} mistakes, but said:\n{outcome.err}"


def test_every_file_expects_something() -> None:
    """A file without its first line would pass whatever is said; and there are files of every kind."""
    assert all(file.read_text(encoding="utf-8").startswith(MARK) for file in FILES)
    assert all(len(parts) >= 2 for file in FILES for parts in _expectations(file))
    assert {file.parent.name for file in FILES} == {"effects", "models", "populations", "protocols", "scenarios"}
    assert len(FILES) >= 240


@pytest.mark.parametrize(
    ("content", "found"),
    [
        pytest.param(b"", "an empty file", id="empty"),
        pytest.param(b"\n\n# nothing but a comment\n", "an empty file", id="comment"),
        pytest.param(b"null\n", "an empty file", id="null"),
        pytest.param(bytes(range(256)), "a binary file", id="bytes"),
        pytest.param(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "a binary file", id="png"),
        pytest.param(b"title: a\0b\nphases: []\n", "a binary file", id="nul"),
        pytest.param("title: x\nphases: []\n".encode("utf-16"), "a binary file", id="utf-16"),
        pytest.param("title: Präparat\n".encode("latin-1"), "a binary file", id="latin-1"),
        pytest.param(b"- a\n- b\n", "['a', 'b']", id="list"),
        pytest.param(b"hello\n", "hello", id="word"),
        pytest.param(b"title: " + b"x" * 1_100_000, "a file of more than 1 MB", id="large"),
        pytest.param(b"a: " + b"[" * 3000 + b"]" * 3000, "nested too deeply", id="deep"),
        pytest.param(b"phases: [" + b"x," * 60_000 + b"x]", "too many values", id="wide"),
        pytest.param(b"title: 'never closed\nphases: []\n", "valid YAML", id="quote"),
        pytest.param(b"title: a\x07b\nphases: []\n", "valid YAML", id="control-character"),
        pytest.param(b"[a, b]: c\n", "a key that is not a name", id="list-as-key"),
        pytest.param(b"foo: 1\nbar: 2\n", "the keys foo, bar", id="no-kind"),
    ],
)
def test_file_that_is_no_specification(
    content: bytes,
    found: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Empty, binary and broken files are one error each."""
    file = tmp_path / "file.yaml"
    file.write_bytes(content)
    outcome = _check(monkeypatch, capsys, file)
    assert outcome.code == 2
    assert len(outcome.errors) == 1
    assert outcome.errors[0].startswith(str(file))
    assert found in outcome.errors[0]
    assert len(outcome.err) < 600 + len(str(file)), "a file must not be able to flood the terminal"


def test_files_that_are_no_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A directory, a path below a file and a missing file are all reported, in the order in which they were given."""
    (tmp_path / "file").write_text("x")
    paths = [tmp_path, tmp_path / "file" / "below.yaml", tmp_path / "missing.yaml"]
    outcome = _check(monkeypatch, capsys, *paths)
    assert outcome.code == 2
    assert [error.split("  ")[0] for error in outcome.errors] == [str(path) for path in paths]
    assert [error.split("  ")[1] for error in outcome.errors] == [
        "found a directory",
        "found Not a directory",
        "found no such file",
    ]


def test_byte_order_mark_and_windows_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a Windows editor adds changes neither what is read nor the line of a mistake."""
    lines = ["title: x", "drug: ketamine", "route: iv", "phases:"]
    lines += ["  - name: one", "    dose: 35", "    over: 40 min", "    sessions: {days: [1]}", ""]
    file = tmp_path / "windows.yaml"
    file.write_bytes("\r\n".join(lines).encode("utf-8-sig"))
    outcome = _check(monkeypatch, capsys, file)
    assert outcome.code == 2
    assert outcome.errors == [
        f"{file}:6  phases[0].dose  found 35 without a unit  "
        'expected a dose with its unit, such as "56 mg" or "0.5 mg/kg"'
    ]


def test_good_and_bad_files_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A good file is called valid, on one line, although another one is wrong; the exit code is 2."""
    good = tmp_path / "good.yaml"
    good.write_text(
        "title: x\ndrug: ketamine\nroute: iv\nphases:\n"
        "  - {name: one, dose: 35 mg, over: 40 min, sessions: {days: [1]}}\n"
    )
    bad = HERE / "protocols" / "dose_without_unit.yaml"
    outcome = _check(monkeypatch, capsys, good, bad)
    assert outcome.code == 2
    assert outcome.out == f"{good}: a valid protocol\n"
    assert len(outcome.errors) == 1


@pytest.mark.parametrize(
    "name",
    ["protocols/dose_without_unit", "protocols/yaml_anchor_bomb", "models/flow_calls_python", "scenarios/share_95"],
)
def test_as_a_user_runs_it(name: str, tmp_path: Path) -> None:
    """The installed command, in a process of its own: the same code, no traceback, and nothing is written."""
    file = HERE / f"{name}.yaml"
    program = Path(sys.executable).with_name("pkmodel")
    done = subprocess.run([program, "check", file], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert _fits(done.stderr.removeprefix("error: "), file, _expectations(file)[0])
    assert list(tmp_path.iterdir()) == []
