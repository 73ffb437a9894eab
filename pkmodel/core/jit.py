"""How every kernel is compiled.

Numba compiles every function that it meets into a library of its own, machine code and all, and then once more as part
of each function that calls it. Compiling therefore takes as long as functions are deep in one another. A ``kernel`` is
what Python calls; it is made of a few ``piece`` s, each called from several places or long, and of what is ``merged``.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from threading import Lock
from typing import Any

import numba
from numba.core import event

from pkmodel.core import kept

# No fast-math: the order of additions is part of the promise that the same seed gives the same bits.
_KERNEL: dict[str, Any] = {"nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}
_PIECE: dict[str, Any] = {**_KERNEL, "no_cpython_wrapper": True}


class _NoCollection(event.Listener):
    """Holds back Python's search for cycles while something is compiled: it finds little in numba's many small objects
    and takes a tenth of the time.
    """

    def __init__(self) -> None:
        self._lock, self._depth, self._enabled = Lock(), 0, False

    def on_start(self, event: event.Event) -> None:
        """The outermost compilation begins."""
        with self._lock:
            self._depth += 1
            if self._depth == 1:
                self._enabled = gc.isenabled()
                gc.disable()

    def on_end(self, event: event.Event) -> None:
        """The outermost compilation is over, well or not."""
        with self._lock:
            self._depth -= 1
            if self._depth == 0 and self._enabled:
                gc.enable()


event.register("numba:compile", _NoCollection())


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile for one thread, without the interpreter lock, and keep the machine code on disk (:mod:`kept`)."""
    compiled = numba.njit(**_KERNEL)(function)
    compiled._cache = kept.cache_of(function)
    return compiled


def merged(function: Callable[..., Any]) -> Callable[..., Any]:
    """A piece that becomes part of its caller before anything is compiled; only kernels and pieces call it.

    Nothing is compiled of it but where it stands, so it should stand in one place or be short. The caller's own
    compilation takes longer than in proportion to its length, so what is long is better a :func:`piece`.
    """
    return numba.njit(inline="always", **_PIECE)(function)


def piece(function: Callable[..., Any]) -> Callable[..., Any]:
    """A piece of a kernel that kernels call and Python does not: what Python would need of it is not compiled."""
    return numba.njit(**_PIECE)(function)
