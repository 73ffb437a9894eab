"""Files that are whole or not there: written beside their place, waited for, and then given their name.

Everything temporary is called ``.pkmodel-...`` and lies where the result will, so that taking its name is one step on
one disk. What a killed process left of it is removed by the next one that writes there.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pkmodel import lock
from pkmodel.errors import InputError, PkmodelError, Problem, RunError

PREFIX = ".pkmodel-"

#: What is not a matter of what was asked for but of the machine, and what helps.
_MACHINE = {
    errno.ENOSPC: "free some space on that disk, or write to another one, and run the same again",
    errno.EDQUOT: "your share of that disk is used up: free some of it, or write elsewhere, and run the same again",
    errno.EFBIG: "files may not grow so large here (ulimit -f): raise the limit, or write elsewhere, and run the same",
    errno.EIO: "the disk reports an error: write to another one, and have it looked at",
    errno.EMFILE: "too many files are open in this process (ulimit -n): raise the limit and run the same again",
    errno.ENFILE: "too many files are open on this machine: close some programs and run the same again",
    errno.ENOMEM: "the machine is short of memory: close some programs and run the same again",
}
_VANISHED = "the directory, or a file in it, was removed or renamed meanwhile: run the same again and leave it alone"
_ELSE = "see to it that files can be written there, and run the same again"


def reason(error: OSError) -> str:
    """Why a file could not be written, in the words of the system."""
    return os.strerror(error.errno) if error.errno else str(error) or type(error).__name__


def failure(error: OSError, place: Path) -> RunError:
    """What to say of a file that could not be written to ``place``, or into it: which one, why, and what helps."""
    file = _file_of(error, place)
    gone = error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ESTALE)
    what_helps = _VANISHED if gone else _MACHINE.get(error.errno or 0, _ELSE)
    return RunError(f"{file} could not be written: {reason(error)}; {what_helps}")


def _file_of(error: OSError, place: Path) -> Path:
    """The file that an error is about, by the name that it would have had."""
    if not isinstance(error.filename, str | bytes):
        return place
    file = Path(os.fsdecode(error.filename))
    if place not in file.parents:
        return place
    return place.joinpath(*(name for name in file.relative_to(place).parts if not name.startswith(".")))


def refusal(error: OSError, place: Path, expected: str, option: str = "") -> PkmodelError:
    """What to say before the work begins: that a path will not do, or what ails the machine."""
    if error.errno in _MACHINE:
        return failure(error, place)
    return InputError(Problem(f"{place}: {reason(error)}", expected, option))


@contextmanager
def named(file: Path) -> Iterator[None]:
    """Say in an OSError which file was being written, where the system does not."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            raise OSError(error.errno or 0, reason(error), str(file)) from error
        raise


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    if path.is_dir() and os.name == "nt":
        return  # there a folder cannot be opened, and its names need no help
    with named(path):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def nameable(path: Path, option: str) -> None:
    """Raise InputError where a path holds a NUL, of which the system says nothing but that it is a wrong value."""
    if "\0" in str(path):
        raise InputError(Problem(f"{path}: a name that nothing can have", "a name without NUL", option))


def check(file: Path, option: str) -> None:
    """See whether a file can be written, before the work that fills it.

    Raises InputError where it cannot, with ``option`` as what named it, and RunError where the disk is full or broken.
    """
    expected = "a file that can be written"
    nameable(file, option)
    try:
        with suppress(FileNotFoundError):
            kind = file.stat().st_mode
            if not stat.S_ISREG(kind):
                found = "a directory" if stat.S_ISDIR(kind) else "a device or the like"
                raise InputError(Problem(f"{file}: {found}", expected, option))
        part, handle = _begun(file.parent)
        os.close(handle)
        part.unlink()
    except OSError as error:
        raise refusal(error, file, expected, option) from None


@contextmanager
def whole(file: Path) -> Iterator[Path]:
    """A path to write to, which becomes ``file`` when all went well, and is gone otherwise.

    Raises RunError where the file cannot be written.
    """
    try:
        sweep(file.parent)
        part, handle = _begun(file.parent)
        try:
            yield part
            sync(part)
            if os.name == "nt":  # there an open file keeps its name
                os.close(handle)
                handle = -1
            part.replace(file)
        except BaseException:
            with suppress(OSError):
                part.unlink()
            raise
        finally:
            if handle >= 0:
                os.close(handle)
    except OSError as error:
        raise failure(error, file) from error


def _begun(folder: Path) -> tuple[Path, int]:
    """A new temporary file, and its handle, by which it is held against being swept."""
    part = folder / f"{PREFIX}{secrets.token_hex(6)}.part"
    handle = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
    lock.free(handle)
    return part, handle


def sweep(folder: Path) -> None:
    """Remove the temporary files in a folder that no process holds: those of processes that were killed."""
    for part in folder.glob(f"{PREFIX}*.part"):
        with suppress(OSError):
            handle = os.open(part, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
            try:
                if lock.free(handle):
                    part.unlink()
            finally:
                os.close(handle)
