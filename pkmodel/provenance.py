"""What decides the bits of a run besides its inputs: versions of what computes, and the processor."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import Any

#: The packages whose version may change a bit of a file.
PACKAGES = ("pkmodel", "numpy", "scipy", "numba", "llvmlite", "pandas", "pyarrow", "pydantic", "pint")


def versions() -> dict[str, str]:
    """The version of Python and of every package that computes."""
    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


def cpu() -> dict[str, Any]:
    """The processor as the compiler of the kernels sees it."""
    import llvmlite.binding as llvm

    features = sorted(name for name, on in llvm.get_host_cpu_features().items() if on)
    return {"machine": platform.machine(), "name": llvm.get_host_cpu_name(), "features": features}
