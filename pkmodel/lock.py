"""A directory that one run at a time may write into, whoever started it and on whichever machine.

The lock is the operating system's (``flock``), so it ends with its process, after ``kill -9`` too, and leaves nothing
that must be tidied up by hand. Where the system or the disk has no such locks (Windows, some network disks) a run goes
ahead without one.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from pkmodel.errors import InputError, Problem, shown

FILE = ".pkmodel.lock"

#: What a disk without locks answers.
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL, errno.EBADF}


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a directory while something is written into it.

    Raises
    ------
    InputError
        where another process holds it: which one, on which machine, since when.
    OSError
        where there is no such directory, or nothing can be written there.
    """
    handle = _taken(folder)
    try:
        if handle is not None:
            with suppress(OSError):  # a full disk: the lock holds, and only its message suffers
                who = f"process {os.getpid()} on {socket.gethostname()}, since {_now()}"
                os.ftruncate(handle, 0)
                os.pwrite(handle, who.encode(), 0)
        yield
    finally:
        if handle is not None:
            with suppress(OSError):
                (folder / FILE).unlink()  # while it is held: nobody can be about to take this very file
            os.close(handle)


def free(handle: int) -> bool:
    """Whether nobody holds an open file; it is held from then on."""
    try:
        import fcntl
    except ImportError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _taken(folder: Path) -> int | None:
    """The lock of a directory, opened and held; None where there are no locks."""
    try:
        import fcntl
    except ImportError:
        return None
    file = folder / FILE
    while True:
        handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is(handle, file):
                return handle
        except BlockingIOError:
            who = os.pread(handle, 200, 0).decode(errors="replace")
            os.close(handle)
            found = f"{folder}, in which another run is at work" + (f" ({shown(who, 120)})" if who else "")
            expected = "a directory of its own for each run, or to wait until that one has ended"
            raise InputError(Problem(found, expected, "--out")) from None
        except OSError as error:
            os.close(handle)
            if error.errno in _NO_LOCKS:
                with suppress(OSError):
                    file.unlink()
                return None
            raise
        os.close(handle)  # its holder removed the file between our opening and holding it


def _is(handle: int, file: Path) -> bool:
    """Whether an open file is still the one of that name."""
    try:
        return os.path.samestat(os.fstat(handle), file.stat())
    except FileNotFoundError:
        return False


def _now() -> str:
    """The time of day, for people to read; nothing is decided by it."""
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
