"""Ctrl-C on a long run: exit code 130, a word about it, and nothing left behind but whole blocks of patients."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

PROGRAM = Path(sys.executable).with_name("pkmodel")


def _start(folder: Path, tree: dict[str, Any], jobs: int) -> subprocess.Popen[str]:
    """A run that would take many minutes, started as a shell does in the foreground (SIGINT not ignored)."""
    tree["n"] = 3_000_000
    (folder / "long.yaml").write_text(yaml.safe_dump(tree))
    words = [PROGRAM, "run", "long.yaml", "-o", "new/out", "--jobs", str(jobs)]
    return subprocess.Popen(
        words,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def _wait_for_rows(process: subprocess.Popen[str], folder: Path) -> None:
    """Wait until the run has its temporary directory, which is when it starts to compute, and a little longer."""
    for _ in range(600):
        if list(folder.glob("new/out/.*")) or list(folder.glob("new/.*")):
            time.sleep(1.5)
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.kill()
    pytest.fail("the run did not start within 30 s")


def _interrupt(process: subprocess.Popen[str], sent: signal.Signals = signal.SIGINT) -> tuple[int, str, float]:
    begin = time.perf_counter()
    process.send_signal(sent)
    try:
        _, message = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        pytest.fail("still running 60 s after Ctrl-C")
    return process.returncode, message, time.perf_counter() - begin


@pytest.mark.parametrize(("jobs", "sent"), [(1, signal.SIGTERM), (2, signal.SIGINT)])
def test_new_directory_is_gone(tmp_path: Path, tree: dict[str, Any], jobs: int, sent: signal.Signals) -> None:
    """Neither ``new`` nor ``new/out``, which the run had made, unless a block was done; within 10 s."""
    process = _start(tmp_path, tree, jobs)
    _wait_for_rows(process, tmp_path)
    code, message, seconds = _interrupt(process, sent)
    assert code == 130
    assert "Traceback" not in message
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.glob("new/out/*"))
    assert left == (["new/out/parts"] if "--resume goes on" in message else [])
    if not left:
        assert [path.name for path in tmp_path.iterdir()] == ["long.yaml"]
    assert seconds < 10


def test_the_user_is_told_and_old_results_stay(tmp_path: Path, tree: dict[str, Any]) -> None:
    """A directory that was there keeps its files and gains none; standard error says what happened."""
    (tmp_path / "new" / "out").mkdir(parents=True)
    (tmp_path / "new" / "out" / "findings.csv").write_text("old")
    process = _start(tmp_path, tree, 1)
    _wait_for_rows(process, tmp_path)
    code, message, _ = _interrupt(process)
    assert code == 130
    kept = {"parts"} if "--resume goes on" in message else set()
    assert {path.name for path in (tmp_path / "new" / "out").iterdir()} == {"findings.csv"} | kept
    assert (tmp_path / "new" / "out" / "findings.csv").read_text() == "old"
    assert "interrupted" in message


def test_what_is_kept_is_said(command: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The words of a run that was interrupted reach standard error, whatever typer does with Ctrl-C."""
    from pkmodel import report
    from pkmodel.errors import Interrupted

    def interrupted(*_: object, **__: object) -> None:
        raise Interrupted("interrupted; 2 of 5 blocks of patients are kept in here: --resume goes on")

    monkeypatch.setattr(report, "run", interrupted)
    outcome = command("run", "iv_taper_versus_flat", "--n", "10", "-o", str(tmp_path / "out"))
    assert (outcome.code, outcome.out) == (130, "")
    assert outcome.err == "interrupted; 2 of 5 blocks of patients are kept in here: --resume goes on\n"


def test_an_interruption_within_a_destructor_is_not_lost() -> None:
    """Ctrl-C may come while an object is taken apart, out of which Python lets no exception."""
    script = """
import sys, time
from pkmodel.cli import interrupted_again
sys.unraisablehook = interrupted_again
class Late:
    def __del__(self):
        raise KeyboardInterrupt
try:
    Late()
    time.sleep(60)
    sys.exit(1)
except KeyboardInterrupt:
    sys.exit(130)
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=50)
    assert (ended.returncode, ended.stderr) == (130, "")
