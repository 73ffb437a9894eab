"""Machine code of kernels that is kept on disk between two processes, and never trusted blindly.

Numba writes what it compiled to a file and loads it again unseen: a file that was cut off stops the program, and one of
which a byte was changed gives other numbers, or a crash. Here each file begins with a digest of the rest, holds the key
it was kept under, and belongs to the source text of all kernels (one is compiled into another). Whatever is wrong with
a file, or with the place for them, the kernel is compiled, and it is said once that this takes a while.
"""

from __future__ import annotations

import hashlib
import pickle
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

from numba.core.caching import FunctionCache, IndexDataCacheFile, NullCache

_DIGEST = hashlib.sha256().digest_size
_HELP = "set NUMBA_CACHE_DIR to a directory that can be written"
_said: dict[str, str] = {}
_folders: list[str] = []
_lock = Lock()


class SlowStart(UserWarning):
    """Kernels had to be compiled that should have been on the disk."""


def cache_of(function: Callable[..., Any]) -> Any:
    """Where the machine code of a function is kept; nowhere, where no directory can be written."""
    try:
        made = KernelCache(function)
    except (RuntimeError, OSError):  # numba: "cannot cache function: no locator available"
        return Unkept()
    _folders.append(made.cache_path)
    return made


def folder() -> str | None:
    """The directory in which kernels are kept; None where there is none."""
    return _folders[-1] if _folders else None


def trouble() -> list[str]:
    """What was said in this process about kernels that had to be compiled though they should not."""
    with _lock:
        return list(_said.values())


class Unkept(NullCache):
    """Keeps nothing, and says so when something was compiled."""

    def save_overload(self, sig: Any, data: Any) -> None:
        """Say that the machine code is lost at the end of the process."""
        _not_kept("there is no directory for them that can be written")


class KernelCache(FunctionCache):
    """Numba's cache of a function, with files that are looked through before they are used."""

    def __init__(self, function: Callable[..., Any]):
        super().__init__(function)
        self._cache_file = _Files(
            cache_path=self._cache_path,
            filename_base=f"{self._impl.filename_base}.checked",
            source_stamp=_source() or self._impl.locator.get_source_stamp(),
        )

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The machine code for these types, or None where there is none that can be used."""
        try:
            return super().load_overload(sig, target_context)
        except Exception as error:  # whatever does not load is compiled
            _damaged(self._cache_path, error)
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep machine code, where that is possible."""
        try:
            super().save_overload(sig, data)
        except OSError as error:
            _not_kept(f"{error.filename or self._cache_path}: {error.strerror or error}")


class _Files(IndexDataCacheFile):
    """The files of a function: an index by key, and machine code, each behind its digest."""

    def save(self, key: Any, data: Any) -> None:
        super().save(key, (key, data))

    def load(self, key: Any) -> Any:
        # Two processes that keep something at the same time may have given both the same file.
        found = super().load(key)
        return found[1] if found is not None and found[0] == key else None

    def _load_index(self) -> Any:
        found = self._read(self._index_path)
        return found[1] if found is not None and found[0] == self._source_stamp else {}

    def _save_index(self, overloads: Any) -> None:
        self._write(self._index_path, (self._source_stamp, overloads))

    def _load_data(self, name: str) -> Any:
        return self._read(self._data_path(name))

    def _save_data(self, name: str, data: Any) -> None:
        self._write(self._data_path(name), data)

    def _write(self, path: str, value: Any) -> None:
        body = self._version.encode() + b"\n" + self._dump(value)
        with self._open_for_write(path) as file:
            file.write(hashlib.sha256(body).digest() + body)

    def _read(self, path: str) -> Any:
        """What a file holds; None where there is none, or one that is damaged or of another version of numba."""
        try:
            content = Path(path).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            _damaged(path, error)
            return None
        digest, body = content[:_DIGEST], content[_DIGEST:]
        if hashlib.sha256(body).digest() != digest:
            _damaged(path)
            return None
        version, _, value = body.partition(b"\n")
        return pickle.loads(value) if version == self._version.encode() else None


@cache
def _source() -> str:
    """The source of all kernels as a digest; nothing where it cannot be read (in a zip, say)."""
    try:
        texts = [file.read_bytes() for file in sorted(Path(__file__).parent.glob("*.py"))]
    except OSError:
        return ""
    return hashlib.sha256(b"\0".join(texts)).hexdigest() if texts else ""


def _not_kept(reason: str) -> None:
    said = f"compiled kernels could not be kept on disk ({reason}), so that each start takes half a minute longer"
    _say("kept", f"{said}: {_HELP}")


def _damaged(path: str, error: Exception | None = None) -> None:
    why = "is damaged" if error is None else f"cannot be used: {type(error).__name__}: {error}"
    _say("damaged", f"a compiled kernel on disk {why} ({path}); it is compiled anew, so that this start is slower")


def _say(what: str, sentence: str) -> None:
    """Say something once in a process."""
    with _lock:
        if what in _said:
            return
        _said[what] = sentence
    warnings.warn(sentence, SlowStart, stacklevel=2)
