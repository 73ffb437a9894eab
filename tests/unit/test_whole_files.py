"""Files are whole or not there: a process is killed at every step on the disk, and what is left is looked at."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pkmodel import lock, workplace
from pkmodel.errors import InputError, Interrupted, RunError
from pkmodel.whole import whole
from pkmodel.workplace import MANIFEST

#: Makes a child for every step, which writes over an earlier result and kills itself before that step; then a child
#: that only begins something in the same place. It prints what is there after each of the two.
KILLED = """
import os, shutil, signal, sys
from pathlib import Path
from pkmodel import lock, whole, workplace

out, kind = Path(sys.argv[1]), sys.argv[2]
steps = [(os, "fsync"), (os, "replace"), (os, "rename"), (os, "unlink"), (os, "rmdir"), (os, "mkdir"), (os, "open")]

def write(text, names):
    if kind == "file":
        with whole.whole(out / "a.csv") as part:
            part.write_text(text)
        return
    with workplace.workplace(out, spent="parts") as folder:
        for name in names:
            (folder / name).write_text(text)

def die_at(step):
    left = [step]
    def dying(real):
        def act(*words, **named):
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] -= 1
            return real(*words, **named)
        return act
    for place, name in steps:
        setattr(place, name, dying(getattr(place, name)))

def child(act):
    number = os.fork()
    if number == 0:
        try:
            act()
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(number, 0)[1])

def begin():
    if kind == "file":
        with whole.whole(out / "b.csv") as part:
            raise SystemExit
    with workplace.workplace(out):
        raise SystemExit

def there():
    def what(p):
        return "hidden" if p.name.startswith(".") else p.read_text() if p.is_file() else "folder"
    return " ".join(sorted(f"{p.name}={what(p)}" for p in out.iterdir()))

for step in range(200):
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    write("old", ["findings.csv", "clinic.csv", "manifest.json"])
    if kind == "folder":
        (out / "parts").mkdir()
    def act():
        die_at(step)
        write("new", ["findings.csv", "metrics.parquet", "manifest.json"])
    killed = child(act)
    first = there()
    child(begin)
    print(first, "|", there(), "|", killed, flush=True)
    if not killed:
        break
"""


def _killed(out: Path, kind: str) -> list[tuple[dict[str, str], dict[str, str], bool]]:
    words = [sys.executable, "-c", KILLED, str(out), kind]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    found = []
    for line in done.stdout.splitlines():
        first, second, killed = line.split(" | ")
        parts = [dict(word.split("=") for word in text.split()) for text in (first, second)]
        found.append((parts[0], parts[1], killed == "True"))
    assert not found[-1][2], "the last one was never killed"
    return found


HOLDS = """
import sys, time
from pathlib import Path
from pkmodel import lock
with lock.held(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""

OLD = {"findings.csv": "old", "clinic.csv": "old", MANIFEST: "old", "parts": "folder"}
NEW = {"findings.csv": "new", "metrics.parquet": "new", MANIFEST: "new"}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_folder_killed_at_every_step(tmp_path: Path) -> None:
    """What has a manifest is all old or all new; after the next command everything is, with nothing temporary."""
    found = _killed(tmp_path / "out", "folder")
    assert len(found) > 20
    for first, second, _ in found:
        seen = {name: text for name, text in first.items() if not name.startswith(".")}
        if MANIFEST in seen:
            assert seen in (OLD, NEW, {**NEW, "parts": "folder"}), first
        assert second in (OLD, NEW), (first, second)
    assert found[0][1] == OLD and found[-1][1] == NEW
    assert any(MANIFEST not in first for first, _, _ in found), "some were killed while files were moved"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_file_killed_at_every_step(tmp_path: Path) -> None:
    """The file is the old one or the new one, and what was left beside it is gone after the next one."""
    found = _killed(tmp_path / "out", "file")
    assert len(found) > 4
    assert {first["a.csv"] for first, _, _ in found} == {"old", "new"}
    assert any(len(first) > 1 for first, _, _ in found)
    for first, second, _ in found:
        assert second == {"a.csv": first["a.csv"]}


@pytest.mark.parametrize(
    "moves",
    [
        {"files": ["../outside.csv"], "stale": [], "spent": None},
        {"files": ["manifest.json"], "stale": ["../precious"], "spent": None},
        {"files": ["manifest.json"], "stale": ["notes.txt"], "spent": None},
        {"files": ["manifest.json"], "stale": [], "spent": ".."},
        {"files": 3},
        ["manifest.json"],
    ],
)
def test_list_of_moves_from_a_stranger(tmp_path: Path, moves: object) -> None:
    """A directory that somebody else made moves and removes nothing but what a command may write."""
    out, precious = tmp_path / "out", tmp_path / "precious"
    complete = out / ".pkmodel-complete-x"
    complete.mkdir(parents=True)
    (complete / ".moves.json").write_text(json.dumps(moves))
    (complete / "manifest.json").write_text("theirs")
    (out / "notes.txt").write_text("mine")
    precious.write_text("mine")
    with pytest.raises(KeyError), workplace.workplace(out):
        raise KeyError
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "precious"]
    assert [path.name for path in out.iterdir()] == ["notes.txt"]


def test_ctrl_c_while_files_are_moved_is_too_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are all moved, and it is said that they are there."""
    real, calls = os.replace, []

    def replace(*words: object) -> None:
        calls.append(words)
        if len(calls) == 2:
            raise KeyboardInterrupt
        real(*words)  # type: ignore[arg-type]

    monkeypatch.setattr(workplace.os, "replace", replace)
    with pytest.raises(Interrupted, match="the files are in"), workplace.workplace(tmp_path / "out") as folder:
        for name in NEW:
            (folder / name).write_text("new")
    assert {path.name for path in (tmp_path / "out").iterdir()} == set(NEW)


def test_file_that_is_being_written_is_not_swept(tmp_path: Path) -> None:
    """Two files of one directory at the same time, as two processes would."""
    with whole(tmp_path / "a.csv") as a:
        a.write_text("a")
        with whole(tmp_path / "b.csv") as b:
            b.write_text("b")
        assert a.is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "b.csv"]


def test_failure_names_the_file(tmp_path: Path) -> None:
    """The file by the name it would have had; and what was there before stays."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "findings.csv").write_text("old")
    with (
        pytest.raises(RunError, match=r"out/findings\.csv could not be written: No such file.*removed or renamed"),
        workplace.workplace(tmp_path / "out") as folder,
    ):
        workplace.write_csv(folder / "findings.csv", ["a"], [])
        folder.rename(tmp_path / "elsewhere")
        workplace.write_csv(folder / "findings.csv", ["a"], [])
    assert [path.read_text() for path in (tmp_path / "out").iterdir()] == ["old"]


def test_one_run_at_a_time(tmp_path: Path) -> None:
    """Eight threads that take a directory over and over are never in it together, and leave nothing."""
    inside, most, refused, taken = 0, 0, 0, 0
    guard = threading.Lock()

    def work() -> None:
        nonlocal inside, most, refused, taken
        for _ in range(150):
            try:
                with lock.held(tmp_path):
                    with guard:
                        inside, taken = inside + 1, taken + 1
                        most = max(most, inside)
                    with guard:
                        inside -= 1
            except InputError:
                refused += 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1 and taken > 8
    assert list(tmp_path.iterdir()) == []


def test_lock_ends_with_its_process(tmp_path: Path) -> None:
    """Who holds it is said: process, machine, since when; after kill -9 it is free, though its file is still there."""
    with subprocess.Popen([sys.executable, "-c", HOLDS, str(tmp_path)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        with (
            pytest.raises(InputError, match=rf"another run is at work \(process {holder.pid} on .+, since 20.+ UTC\)"),
            lock.held(tmp_path),
        ):
            pytest.fail("two at once")
        holder.kill()
        holder.wait()
    assert [path.name for path in tmp_path.iterdir()] == [lock.FILE]
    with lock.held(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_without_locks_on_this_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network disk that knows none: the run goes ahead, and nothing stays behind."""
    import errno
    import fcntl

    def none(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", none)
    with workplace.workplace(tmp_path / "out") as folder:
        (folder / MANIFEST).write_text("new")
    assert [path.name for path in (tmp_path / "out").iterdir()] == [MANIFEST]
