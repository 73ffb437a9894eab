"""Memory of the page's processes: what is no longer used goes back to the system, and what is held is known.

The C library keeps what was freed between two things that are still used. A worker that draws one picture after the
other holds a fifth more in ten minutes, though nothing of it is in use.
"""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable
from pathlib import Path

#: Bytes that a process may grow by before it gives back what it can.
GROWN = 16 << 20
#: Pages that have ended before they are looked for.
TOGETHER = 10

_STATM = Path("/proc/self/statm")
_after = 0


def resident() -> int:
    """Bytes of this process that are in memory; 0 where the system does not say."""
    try:
        import resource

        return int(_STATM.read_text(encoding="ascii").split()[1]) * resource.getpagesize()
    except (ImportError, OSError):
        return 0


def held() -> int:
    """Bytes that this process holds, once it has given back what it can where it has grown; 0 where nobody knows."""
    global _after
    now = resident()
    if now > _after + GROWN:
        give_back()
        _after = now = resident()
    _after = min(_after, now)
    return now


def give_back() -> None:
    """Let the C library return what is free; where it cannot, nothing is done."""
    trim = _trim()
    if trim is not None:
        trim(0)


def _trim() -> Callable[[int], int] | None:
    try:
        found: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # not glibc; Windows has no library of that name
        return None
    return found


def keep() -> None:
    """What is loaded now stays, and is not looked through again when pages are collected."""
    gc.collect()
    gc.freeze()


class Ended:
    """Collects pages that have ended.

    A page holds on to itself in many circles, so that only the collector frees it; and the collector comes when a
    quarter more objects are there than at its last visit, which for fifty open pages is dozens of ended ones.
    """

    def __init__(self) -> None:
        self._left = 0

    def one(self, still_open: int) -> None:
        """A page has ended, and so many are open. They are collected by the ten, and when nobody is left."""
        self._left += 1
        if self._left >= TOGETHER or not still_open:
            self._left = 0
            gc.collect()
            give_back()
