"""Machine code on disk that is damaged, mixed up or cannot be written: the same bits, and it is said once."""

from __future__ import annotations

import importlib.util
import os
import random
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from numba.core import config

from pkmodel.core import kept

SOURCE = """
from pkmodel.core import jit

@jit.kernel
def grown(x, y):
    total = x
    for i in range(3):
        total = total * y - i / 7.0
    return total
"""
EXPECTED = (2.5 * 1.1 * 1.1 * 1.1 - 1.1 / 7.0 - 2.0 / 7.0, -2.0 / 7.0 - 1.0 / 7.0 + 8.0)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a kernel; what is said is said in each test anew."""
    monkeypatch.setattr(kept, "_said", {})
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "kernels.py").write_text(SOURCE)
    return tmp_path / "code"


def loaded(place: Path) -> ModuleType:
    """The kernel as another process would find it."""
    spec = importlib.util.spec_from_file_location("kernels", place / "kernels.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def results(place: Path) -> tuple[str, str, int]:
    """The bits of two calls with other types, and how many of them were found on the disk."""
    grown = loaded(place).grown
    floats, whole = float(grown(2.5, 1.1)), float(grown(8, 1))
    return floats.hex(), whole.hex(), sum(grown.stats.cache_hits.values())


def files(place: Path, suffix: str) -> list[Path]:
    """The files that the kernel is kept in."""
    return sorted((place / "__pycache__").glob(f"*{suffix}"))


def _cut(file: Path, at: int) -> None:
    file.write_bytes(file.read_bytes()[:at])


def _scribbled(file: Path, at: int) -> None:
    content = bytearray(file.read_bytes())
    content[at % len(content)] ^= 0x55
    file.write_bytes(content)


def _damages() -> Iterator[object]:
    draw = random.Random(20261126)
    for suffix in (".nbi", ".nbc"):
        for name, act in (("cut", _cut), ("scribbled", _scribbled)):
            for at in (0, 20, draw.randrange(40, 1400)):
                yield pytest.param(suffix, act, at, id=f"{suffix[1:]}-{name}-{at}")


def test_it_is_kept(place: Path) -> None:
    """The second process compiles nothing, and the numbers are those of the formula."""
    first, second = results(place), results(place)
    assert (first[2], second[2]) == (0, 2)
    assert first[:2] == second[:2]
    assert [float.fromhex(text) for text in first[:2]] == pytest.approx(EXPECTED, rel=1e-15)


@pytest.mark.parametrize(("suffix", "damage", "at"), list(_damages()))
def test_damaged(place: Path, suffix: str, damage: Callable[[Path, int], None], at: int) -> None:
    """The same bits, a word about it, and all is well in the next process."""
    first = results(place)
    damage(files(place, suffix)[0], at)
    with pytest.warns(kept.SlowStart, match="a compiled kernel on disk is damaged .*compiled anew") as said:
        second = results(place)
    assert len(said) == 1
    assert second[:2] == first[:2] and second[2] < 2
    third = results(place)
    assert third == (*first[:2], 2)


def test_mixed_up(place: Path) -> None:
    """Whole files under each other's names, as two processes that keep something at once may leave them."""
    first = results(place)
    one, other = files(place, ".nbc")
    kept_one = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(kept_one)
    assert results(place) == (*first[:2], 0)


def test_other_source(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where any kernel was changed nothing is taken from the disk: one is compiled into another."""
    first = results(place)
    monkeypatch.setattr(kept, "_source", lambda: "another")
    assert results(place) == (*first[:2], 0)


def test_disk_is_full(place: Path) -> None:
    """When the machine code is written: the kernel works, and it is said how to help."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with pytest.warns(kept.SlowStart, match="could not be kept on disk .*too large.*NUMBA_CACHE_DIR") as said:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
        try:
            first = results(place)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert len(said) == 1
    assert results(place)[:2] == first[:2]


@pytest.fixture
def nowhere(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The kernel on a disk that is read-only, and a home directory that cannot be."""
    (tmp_path / "file").write_text("")
    for name in ("HOME", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(tmp_path / "file" / "below"))
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path / "file" / "below"))
    if os.name != "posix":
        pytest.skip("no such permissions on this system")
    if os.geteuid() != 0:
        place.chmod(0o555)
        yield place
        place.chmod(0o755)
        return
    if shutil.which("mount") is None or subprocess.run(["mount", "--bind", place, place], check=False).returncode:
        pytest.skip("nothing can be mounted here")
    subprocess.run(["mount", "-o", "remount,bind,ro", place], check=True)
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def test_nowhere_to_keep_it(nowhere: Path) -> None:
    """It runs, and says once why it is slow and what to set."""
    with pytest.warns(kept.SlowStart, match="no directory for them that can be written.*NUMBA_CACHE_DIR") as said:
        assert [float.fromhex(text) for text in results(nowhere)[:2]] == pytest.approx(EXPECTED, rel=1e-15)
    assert len(said) == 1
    assert not files(nowhere, ".nbc")


def test_nothing_is_said_where_nothing_was_compiled(nowhere: Path) -> None:
    """A list of names needs no kernel."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded(nowhere)


def test_the_command_says_it_in_a_sentence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """As a note on standard error, without a line of code; warnings of others are left as they are."""
    from pkmodel import cli

    def run() -> int:
        warnings.warn("it is slower", kept.SlowStart, stacklevel=1)
        warnings.warn("of another", UserWarning, stacklevel=1)
        return 0

    monkeypatch.setattr(cli, "_run", run)
    with warnings.catch_warnings(), pytest.raises(SystemExit):
        warnings.simplefilter("always")
        monkeypatch.setattr(warnings, "showwarning", lambda message, *_: sys.stderr.write(f"other: {message}\n"))
        cli.main()
    assert capsys.readouterr().err.splitlines() == ["note: it is slower", "other: of another"]
