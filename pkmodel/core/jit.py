"""How every kernel is compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba

# No fast-math: the order of additions is part of the promise that the same seed gives the same bits.
_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile for one thread, without the interpreter lock, and keep the machine code on disk.

    For what Python calls; what only kernels call is a :func:`piece`. Where no cache directory can be written the kernel
    still works; it is then compiled in every process.
    """
    try:
        return numba.njit(cache=True, **_OPTIONS)(function)
    except RuntimeError:  # numba: "cannot cache function: no locator available"
        return numba.njit(**_OPTIONS)(function)


def merged(function: Callable[..., Any]) -> Callable[..., Any]:
    """A piece of a kernel of its own type, merged into its caller's machine code: no arguments are handed over."""
    return numba.njit(inline="always", no_cpython_wrapper=True, **_OPTIONS)(function)


def piece(function: Callable[..., Any]) -> Callable[..., Any]:
    """A piece of a kernel that kernels call and Python does not: what Python would need of it is not compiled."""
    return numba.njit(no_cpython_wrapper=True, **_OPTIONS)(function)
