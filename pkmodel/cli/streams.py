"""Standard output and standard error as commands see them: somebody may have closed them, or the disk is full."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from pkmodel.errors import RunError
from pkmodel.whole import reason


class Stream:
    """A stream that goes on into nothing when its reader has gone (``pkmodel models | head``).

    The work is done and its exit code is right, whoever reads about it. Where text is lost for another reason (a full
    disk) that is a failure, but on standard error, where there is nobody left to tell.
    """

    def __init__(self, stream: Any, *, matters: bool):
        self._stream, self._matters = stream, matters

    def write(self, text: str) -> int:
        """Write a text; the answer is its length."""
        if not isinstance(text, str):
            raise TypeError(f"a text, not {type(text).__name__}")
        if text:  # click writes an empty one to see whether it is taken, and would not look at another error
            self._try(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        """Pass on what was written. Raises RunError where it cannot be and matters."""
        self._try(self._stream.flush)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _try(self, act: Callable[[], object]) -> None:
        try:
            act()
        except OSError as error:
            with suppress(OSError):  # what is left in buffers goes there too
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, self._stream.fileno())
                os.close(nowhere)
            if self._matters and not isinstance(error, BrokenPipeError):
                raise RunError(f"standard output could not be written: {reason(error)}") from error


@contextmanager
def guarded() -> Iterator[None]:
    """Write through such streams."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = Stream(before[0], matters=True), Stream(before[1], matters=False)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def opened() -> None:
    """Give the three standard streams somewhere to go where they were closed (``>&-``).

    Else the next file to be opened would take the number of one, and what is printed would end in it.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "r" if number == 0 else "w", encoding="utf-8", closefd=False))
