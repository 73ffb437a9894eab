"""A full disk, a directory that is read-only or vanishes, a path of something else: said, and nothing half."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pkmodel as pk
from pkmodel import blocks, lock, report, simulation
from pkmodel.errors import RunError
from pkmodel.specs.library import Scenario

resource = pytest.importorskip("resource", reason="no limits on the size of files on this system")

Command = Callable[..., Any]
ONE = ("--model", "ketamine_clements1981", "--weight", "70 kg")
EFFECT = ("--effect", "dissociation_olofsen2022")
RUN = ("run", "nasal_induction", "--n", "8")


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond so many bytes; to whoever writes that is a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """A small disk in memory; called again with another size it grows, files and all."""
    place = tmp_path / "disk"
    place.mkdir()
    made: list[str] = []

    def mount(size: str, *words: str) -> Path:
        options = ",".join([f"size={size}", *(["remount"] if made else []), *words])
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", place], capture_output=True, check=False)
        if done.returncode:
            pytest.skip("no disk can be mounted here")
        made.append(size)
        return place

    if shutil.which("mount") is None:
        pytest.skip("no mount on this system")
    yield mount
    if made:
        subprocess.run(["umount", "-l", place], check=True)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small run with everything a report needs, and a shard of the same."""
    out = tmp_path_factory.mktemp("finished")
    scenario = pk.load_scenario("nasal_induction").with_options(n=8)
    report.run(scenario, out / "run")
    (out / "run" / "report.html").unlink()
    report.run_shard(scenario, "1/1", out / "shard")
    return out


#: What each command writes: its words, and the file that does not fit into so many bytes. ``DIR`` is a finished run.
WRITERS = {
    "run": ((*RUN, "-o", "out"), 1000, "out"),
    "run --shard": ((*RUN, "--shard", "1/1", "-o", "out"), 1000, "out"),
    "simulate, csv": (("simulate", "iv_single", *ONE, "-o", "one.csv"), 1000, "one.csv"),
    "simulate, parquet": (("simulate", "iv_single", *ONE, "-o", "one.parquet"), 1000, "one.parquet"),
    "simulate, png": (("simulate", "iv_single", *ONE, "-o", "one.png"), 1000, "one.png"),
    "simulate, two models": (
        ("simulate", "iv_single", *ONE, "--model", "ketamine_domino1984", "-o", "two.csv"),
        1000,
        "two.csv",
    ),
    "simulate, ledger": (("simulate", "iv_titrated_with_stops", *ONE, *EFFECT, "--ledger", "l.csv"), 100, "l.csv"),
    "compare": (("compare", "iv_single", "iv_dose_1_0", "--n", "8", "-o", "out"), 1000, "out"),
    "design": (
        ("design", "iv_single", "--parameter", "dose", "--rule", "ceiling", "--n", "40", "-o", "out"),
        1000,
        "out",
    ),
    "sensitivity": (("sensitivity", "iv_single", "--n", "64", "-o", "out"), 1000, "out"),
    "merge": (("merge", "DIR/shard", "-o", "out"), 1000, "out"),
    "report": (("report", "DIR/run", "-o", "report.html"), 1000, "report.html"),
    "report, pdf": (("report", "DIR/run", "--pdf", "-o", "report.pdf"), 1000, "report.pdf"),
    "records": (("protocols", "show", "iv_six_infusions", *ONE, "--records", "r.csv"), 100, "r.csv"),
    "export": (
        ("protocols", "export", "iv_six_infusions", "--to", "nonmem", "--weight", "70 kg", "-o", "e.csv"),
        50,
        "e.csv",
    ),
    "verify": (("verify", "ketamine_hornik2018", "--page", "v.md"), 1000, "v.md"),
    "suggest": (
        ("suggest", "ketamine_kamp2020", "--target", "150 ng/mL", "--weight", "70 kg", "-o", "s.yaml"),
        100,
        "s.yaml",
    ),
    "lessons": (("lessons", "show", "bolus", "-o", "l.html"), 1000, "l.html"),
}


@pytest.mark.filterwarnings("ignore::pkmodel.core.kept.SlowStart")  # a kernel that is first compiled here
@pytest.mark.usefixtures("pictures")
@pytest.mark.parametrize("which", WRITERS)
def test_full_disk(which: str, command: Command, finished: Path, tmp_path: Path, monkeypatch: Any) -> None:
    """Exit code 3, one sentence with the file and what helps, and nothing at all left behind."""
    monkeypatch.chdir(tmp_path)
    words, size, file = WRITERS[which]
    if which == "report, pdf":
        pytest.importorskip("typst")
        from pkmodel import pages  # setting it needs temporary files, which is not what is looked at

        monkeypatch.setattr(pages, "pdf_of", lambda _: b"x" * 2000)
    with files_of_at_most(size):
        found = command(*(word.replace("DIR", str(finished)) for word in words))
    assert found.code == 3, found.err
    (line,) = (line for line in found.err.splitlines() if line.startswith("error: "))
    assert line.startswith(f"error: {file}"), line
    assert "could not be written: File too large; " in line and "raise the limit" in line
    assert "Traceback" not in found.err
    assert list(tmp_path.iterdir()) == []


def test_disk_that_is_full(disk: Callable[..., Path], command: Command) -> None:
    """A real one, for a directory and for a file; and one that is full before anything begins."""
    place = disk("8k")
    for words in ((*RUN, "-o", place / "out"), ("simulate", "iv_single", *ONE, "-o", place / "one.csv")):
        found = command(*words)
        assert (found.code, "No space left on device; free some space" in found.err) == (3, True), found.err
        assert list(place.iterdir()) == []
    (place / "fill").write_bytes(b"x" * 8192)
    found = command(*RUN, "-o", place / "out")
    assert found.code == 3 and "No space left on device" in found.err
    assert [path.name for path in place.iterdir()] == ["fill"]


def test_run_goes_on_when_there_is_room_again(disk: Callable[..., Path], scenario: Scenario, tmp_path: Path) -> None:
    """What was done before the disk was full is kept, and the end is that of a run without a break."""
    place, small = disk("800k"), scenario.with_options(n=300)
    with pytest.raises(RunError, match=r"No space left on device; free some.*; [1-4] of 5 blocks .*--resume goes on"):
        report.run(small, place / "out", block=64, pictures=False)
    assert [path.name for path in (place / "out").iterdir()] == ["parts"]
    disk("20m")
    report.run(small, place / "out", block=64, pictures=False, resume=True)
    report.run(small, tmp_path / "whole", block=64, pictures=False)
    for name in ("findings.csv", "metrics.parquet", "patients.parquet", "bands.parquet"):
        assert (place / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_values_in_a_file_have_their_room_before_they_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where pages of a file are written by the system, a full disk would end the process without a word."""
    monkeypatch.setattr(blocks, "_IN_MEMORY", 10)
    with files_of_at_most(1000), pytest.raises(OSError, match="too large"):
        blocks._room(1000, tmp_path)
    room = blocks._room(1000, tmp_path)
    room[:] = np.arange(1000.0)
    assert room.sum() == 499_500.0 and list(tmp_path.iterdir()) == []


def test_directory_that_vanishes(scenario: Scenario, tmp_path: Path) -> None:
    """In the middle of a run, with blocks and without: which file, and that it was removed."""
    for block in (64, 1000):
        out = tmp_path / f"out{block}"

        def remove(done: int, _: int, out: Path = out) -> None:
            if done > 128 and out.is_dir():
                shutil.rmtree(out)

        with pytest.raises(RunError, match=rf"{out.name}.* could not be written: No such file.*removed or renamed"):
            report.run(scenario.with_options(n=300), out, block=block, chunk=64, progress=remove)
        assert list(tmp_path.iterdir()) == []


@pytest.fixture
def read_only(disk: Callable[..., Path]) -> Path:
    """A directory on a disk that is not to be written, for root either."""
    place = disk("64k")
    (place / "there").mkdir()
    (place / "there" / "report.html").write_text("old")
    return disk("64k", "ro")


def _never(*_: object, **__: object) -> None:
    raise AssertionError("the work has begun")


def test_read_only_disk(read_only: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Said before the work begins, and exit code 2: another path will do."""
    monkeypatch.setattr(report, "compute", _never)
    monkeypatch.setattr(simulation, "simulate", _never)
    for words in (
        (*RUN, "-o", read_only / "there"),
        (*RUN, "-o", read_only / "new" / "er"),
        ("simulate", "iv_single", *ONE, "-o", read_only / "one.csv"),
        ("simulate", "iv_titrated_with_stops", *ONE, "--ledger", read_only / "l.csv"),
        ("report", read_only / "there"),
    ):
        found = command(*words)
        assert found.code == 2, found.err
        assert "Read-only file system" in found.err and "can be written" in found.err


def test_path_of_something_else(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory, a pipe, a file as a directory, a name that is too long: before the work begins, and all is left."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(simulation, "simulate", _never)
    monkeypatch.setattr(report, "compute", _never)
    Path("dir.csv").mkdir()
    Path("file").write_text("x")
    os.mkfifo("pipe.csv")
    simulate = ("simulate", "iv_single", *ONE, "-o")
    for words, said in (
        ((*simulate, "dir.csv"), "dir.csv: a directory"),
        ((*simulate, "pipe.csv"), "pipe.csv: a device or the like"),
        ((*simulate, f"{'x' * 300}.csv"), "too long"),
        ((*simulate, "none/one.csv"), "none/one.csv: No such file or directory"),
        ((*RUN, "-o", "file"), "file: "),
        ((*RUN, "-o", "file/below"), "file/below: Not a directory"),
        ((*RUN, "-o", "x" * 300), "too long"),
        (("verify", "--page", "dir.csv/../none/v.md"), "No such file"),
    ):
        found = command(*words)
        assert (found.code, found.out) == (2, ""), found.err
        (line,) = found.err.splitlines()
        assert said in line and "expected" in line, line
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dir.csv", "file", "pipe.csv"]


def test_two_commands_in_one_directory(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever they are; the one that came first is named, and nothing of it is touched."""
    monkeypatch.setattr(report, "compute", _never)
    with lock.held(tmp_path):
        for words in (RUN, ("compare", "iv_single", "iv_dose_1_0"), ("sensitivity", "iv_single")):
            found = command(*words, "-o", tmp_path)
            assert found.code == 2
            assert f"another run is at work (process {os.getpid()} on " in found.err
        assert [path.name for path in tmp_path.iterdir()] == [lock.FILE]
