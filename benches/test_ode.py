"""Speed of the ODE core on W3, where both it and the hand-written C reach the same error.

``pytest benches --benchmark-only``. The C is an explicit pair in lock-step over eight patients at a given rtol.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import limits
import numpy as np
import pytest
import workloads
from turns import report, say, take_turns
from workloads import Workload

from pkmodel import engine
from pkmodel.engine import Numerics

pytestmark = pytest.mark.skipif(
    not workloads.SHARED.is_dir(), reason="the shared workloads are not beside the checkout"
)


#: Patients that a thread takes at a time. The C hands out eight; here a block costs a millisecond or two besides, and
#: larger ones would have the faster of two cores wait.
_BLOCK = 256


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the shared folder with its inputs."""
    return workloads.prepare(tmp_path_factory.mktemp("bench"))


def _solve(work: Workload, tolerance: float, out: Any) -> Any:
    numerics = Numerics(tolerance=tolerance)
    return engine.levels(work.system, work.events, work.time, work.observed, work.scale, out=out, numerics=numerics)


@pytest.mark.parametrize(("rtol", "tolerance"), [("1e-7", 1e-6), ("1e-8", 1.2e-7)])
def test_w3(benchmark: Callable[..., Any], folder: Path, rtol: str, tolerance: float) -> None:
    """2,000 patients, saturable elimination, effect site and turnover, 584 times, at the error that the C reaches."""
    work = workloads.w3(folder)
    out = np.zeros((work.system.rates.shape[0], 3, work.time.size))
    blocks = work.blocks(_BLOCK)

    def solve(number: int) -> None:
        part, block = blocks[number]
        _solve(block, tolerance, out[part])

    ours = {
        1: lambda: _solve(work, tolerance, out),
        2: lambda: workloads.in_threads(2, solve, len(blocks)),
    }
    benchmark(ours[1])
    error = workloads.peak_error(out[:20], workloads.reference("w3", 3))
    assert error < tolerance
    name = f"W3, tolerance {tolerance:g}"
    limit = limits.program(folder, "limit_w3", "w3_params.csv", rtol, "1e-9")
    if isinstance(limit, str):
        median = benchmark.stats.stats.median  # type: ignore[attr-defined]
        say(f"{name}: {1e3 * median:.0f} ms, peak error {error:.1e}; {limit}")
        return
    taken = take_turns(ours, limit, "", turns=5, runs=3)
    theirs = workloads.peak_error(limit.levels(3), workloads.reference("w3", 3))
    report(benchmark, name, taken, limit, f"peak error {error:.1e}, the C at rtol {rtol} {theirs:.1e}")
