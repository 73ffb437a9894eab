"""Standard output that is closed, full, or read by nobody any more: the work is done, its exit code is right."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pkmodel import cli
from pkmodel.cli import streams
from pkmodel.errors import RunError

pytestmark = pytest.mark.skipif(os.name != "posix", reason="of a shell that this system has not")

FULL = Path("/dev/full")


def shell(line: str) -> tuple[int, str, str]:
    """What ``pkmodel`` gives in a line of the shell, where it is called PK."""
    command = f'"{sys.executable}" -c "from pkmodel.cli import entry; entry()"'
    line = f"set -o pipefail; {line.replace('PK', command)}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("line", "code", "out"),
    [
        ("PK protocols --json | head -1", 0, "[\n"),  # longer than a pipe holds
        ("PK models >&-", 0, ""),
        ("PK modls 2>&- ", 2, ""),
    ],
)
def test_reader_has_gone(line: str, code: int, out: str) -> None:
    """No traceback, nothing on standard error, and the exit code of the work."""
    assert shell(line) == (code, out, "")


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full on this system")
@pytest.mark.parametrize("words", ["models", "--help"])
def test_full(words: str) -> None:
    """Exit code 3 and one sentence."""
    code, _, error = shell(f"PK {words} > {FULL}")
    assert (code, error) == (3, "error: standard output could not be written: No space left on device\n")


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full on this system")
def test_stream_that_is_full() -> None:
    """Standard output matters and standard error does not; what comes later goes nowhere."""
    for matters in (True, False):
        with FULL.open("w") as stream:
            ours = streams.Stream(stream, matters=matters)
            ours.write("x")
            if matters:
                with pytest.raises(RunError, match="No space left on device"):
                    ours.flush()
            ours.flush()
            ours.write("y")
            ours.flush()
    with pytest.raises(TypeError, match="bytes"):
        ours.write(b"x")  # type: ignore[arg-type]


def test_verdict_of_a_run_whose_reader_has_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The exit code is that of the command, though all of its output is lost."""
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as gone:
        monkeypatch.setattr(sys, "stdout", gone)

        def run() -> int:
            print("a line that nobody reads", flush=True)
            return 1

        monkeypatch.setattr(cli, "_run", run)
        with pytest.raises(SystemExit) as ended:
            cli.main()
    assert ended.value.code == 1
