"""Speed of the ODE core on W3, where both it and the hand-written C reach the same error.

``pytest benches --benchmark-only``. The C is an explicit pair in lock-step over eight patients at a given rtol.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import workloads
from workloads import Workload

from pkmodel import engine
from pkmodel.engine import Numerics

pytestmark = pytest.mark.skipif(
    not workloads.SHARED.is_dir(), reason="the shared workloads are not beside the checkout"
)


#: Patients that a thread takes at a time. The C hands out eight; cores that are not alike would wait for one another.
_BLOCK = 64


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the shared folder with its inputs."""
    return workloads.prepare(tmp_path_factory.mktemp("bench"))


def c_limit(folder: Path, rtol: str) -> tuple[str, dict[int, float], float] | str:
    """How the C program was compiled, its median seconds by threads, and its peak error; or why there is none."""
    compiled = workloads.compile_limit(folder, "limit_w3")
    if isinstance(compiled, str):
        return compiled
    path, kind = compiled
    command = [str(path), "inputs/w3_params.csv", "out", "7", rtol, "1e-9"]
    text = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout
    medians = {int(threads): float(median) for threads, median in re.findall(r"threads=(\d) median=([\d.]+) s", text)}
    return kind, medians, workloads.peak_error(workloads.levels_of_c(folder, 3), workloads.reference("w3", 3))


def _solve(work: Workload, tolerance: float, out: Any) -> Any:
    numerics = Numerics(tolerance=tolerance)
    return engine.levels(work.system, work.events, work.time, work.observed, work.scale, out=out, numerics=numerics)


@pytest.mark.parametrize(("rtol", "tolerance"), [("1e-7", 1e-6), ("1e-8", 1.2e-7)])
@pytest.mark.parametrize("threads", [1, 2])
def test_w3(benchmark: Callable[..., Any], folder: Path, rtol: str, tolerance: float, threads: int) -> None:
    """2,000 patients, saturable elimination, effect site and turnover, 584 times, at the error that the C reaches."""
    work = workloads.w3(folder)
    size = work.system.rates.shape[0]
    out = np.zeros((size, 3, work.time.size))
    blocks = work.blocks(_BLOCK)

    def solve(number: int) -> None:
        part, block = blocks[number]
        _solve(block, tolerance, out[part])

    if threads == 1:
        benchmark(lambda: _solve(work, tolerance, out))
    else:
        benchmark(lambda: workloads.in_threads(threads, solve, len(blocks)))
    error = workloads.peak_error(out[:20], workloads.reference("w3", 3))
    assert error < 0.1 * tolerance * 10
    median = benchmark.stats.stats.median  # type: ignore[attr-defined]
    name = f"W3, {threads} thread(s), tolerance {tolerance:g}"
    limit = c_limit(folder, rtol)
    if isinstance(limit, str):
        print(f"\n{name}: {1e3 * median:.0f} ms, peak error {error:.1e}; {limit}")
        return
    kind, seconds, reached = limit
    ratio = median / seconds[threads]
    benchmark.extra_info.update({"peak error": error, "C peak error": reached, "ratio to C": ratio})  # type: ignore[attr-defined]
    print(
        f"\n{name}: {1e3 * median:.0f} ms, peak error {error:.1e}; "
        f"{kind}, at rtol {rtol}: {1e3 * seconds[threads]:.0f} ms, peak error {reached:.1e}; ratio {ratio:.2f}"
    )
