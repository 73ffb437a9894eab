"""Speed of the engine on the shared workloads, correctness first, as ratios to hand-written C where it can run.

``pytest benches --benchmark-only``. The workloads and the C limits live in a folder beside the checkout
(``../shared/bench``); without it these benches are skipped. The C needs gcc and AVX-512.
"""

from __future__ import annotations

import gzip
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pkmodel.core.crossing import N_STATS, scan
from pkmodel.core.linear import observe
from pkmodel.schedule import EventList
from pkmodel.engine import grid_steps

SHARED = Path(__file__).resolve().parents[2] / "shared" / "bench"
pytestmark = pytest.mark.skipif(not SHARED.is_dir(), reason="the shared workloads are not beside the checkout")

Floats = NDArray[np.float64]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The inputs of the workloads, generated from their fixed seeds."""
    folder = tmp_path_factory.mktemp("bench")
    for file in SHARED.iterdir():
        shutil.copy(file, folder / file.name)
    subprocess.run([sys.executable, "gen_inputs.py"], cwd=folder, check=True)
    return folder


def rates_from(size: int, compartments: int, flows: dict[tuple[int, int | None], Floats]) -> Floats:
    """Rate matrices (n, c, c) from flows (source, target or None for outside) -> rate (n,)."""
    rates = np.zeros((size, compartments, compartments))
    for (source, target), rate in flows.items():
        rates[:, source, source] -= rate
        if target is not None:
            rates[:, target, source] += rate
    return rates


def w1(folder: Path) -> tuple[Floats, EventList, Floats, Floats, list[float]]:
    """W1: three compartments, 0.5 mg/kg over 40 min on six days. Rates, events, volume, times, starts."""
    p = np.load(folder / "inputs" / "w1_params.npy").T
    _, weight, cl, v1, q2, v2, q3, v3 = p
    flows = {(0, None): cl / v1, (0, 1): q2 / v1, (1, 0): q2 / v2, (0, 2): q3 / v1, (2, 0): q3 / v3}
    starts = [day * 24.0 for day in (0, 2, 4, 7, 9, 11)]
    events = EventList(weight.size)
    for start in starts:
        events.infusion(start, 40 / 60, 0, 0.5 * weight)
    return rates_from(weight.size, 3, flows), events, v1, np.load(folder / "inputs" / "w1_times.npy"), starts


def reference(name: str, columns: int) -> Floats:
    """The first 20 patients to 17 digits, (20, times, columns)."""
    with gzip.open(SHARED / f"reference_{name}.csv.gz", "rt") as file:
        table = np.loadtxt(file, delimiter=",", skiprows=1)
    return table[:, 2:].reshape(20, -1, columns)


def c_limit(folder: Path, source: str, variant: str) -> float | None:
    """Median seconds of a variant of the C program on one thread, or None where it cannot be built or run."""
    if shutil.which("gcc") is None or "avx512f" not in Path("/proc/cpuinfo").read_text():
        return None
    flags = ["-O3", "-march=native", "-mprefer-vector-width=512", "-ffast-math", "-fopenmp"]
    subprocess.run(["gcc", *flags, f"{source}.c", "-o", source, "-lmvec", "-lm"], cwd=folder, check=True)
    command = [f"./{source}", "inputs/w1_params.csv", "out", "21"]
    text = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout
    found = re.search(rf"{re.escape(variant)}\s+threads=1\s+median=\s*([\d.]+) ms", text)
    return float(found[1]) / 1e3 if found else None


def report(benchmark: Any, folder: Path, variant: str, error: float) -> None:
    """Put the achieved error and the ratio to the C limit beside the time."""
    limit = c_limit(folder, "limit_w1", variant)
    benchmark.extra_info["achieved error"] = error
    benchmark.extra_info["C limit [ms]"] = 1e3 * limit if limit else "not available (needs gcc and AVX-512)"
    ratio = benchmark.stats.stats.median / limit if limit else None
    benchmark.extra_info["ratio to C"] = ratio
    print(f"\n{variant}: {1e3 * benchmark.stats.stats.median:.1f} ms, ratio to C {ratio}, error {error:.1e}")


def test_w1_stored(benchmark: Callable[..., Any], inputs: Path) -> None:
    """All levels of 10,000 patients at 726 times, into memory already touched."""
    rates, events, volume, time, _ = w1(inputs)
    table, steps = events.events(), grid_steps(time)
    amounts = np.zeros((volume.size, time.size, 3))
    benchmark(lambda: observe(rates, table, time, *steps, np.zeros(rates.shape[:2]), amounts))
    levels, exact = amounts[:20, :, 0] / volume[:20, None], reference("w1", 1)[:, :, 0]
    error = float((np.abs(levels - exact) / np.maximum(exact, 1e-9 * exact.max())).max())
    assert error < 1e-11
    report(benchmark, inputs, "store subject-major", error)


def test_w1_exact_metrics(benchmark: Callable[..., Any], inputs: Path) -> None:
    """Peak, area and time above of each session, found inside the steps (the C reads them off its samples)."""
    rates, events, volume, _, starts = w1(inputs)
    table = events.events()
    boundary = np.array([*starts, starts[-1] + 4.0])[:, None]
    size = volume.size
    thresholds = (0.1 * volume)[None, None, :]
    stats = np.empty((size, len(starts), 1, N_STATS))
    above, first = np.empty((2, size, len(starts), 1, 1))
    none, counts = np.empty((size, 1, 1, 0)), np.empty((size, 1, 1), dtype=np.int64)
    output = np.zeros(1, dtype=np.int64)
    benchmark(lambda: scan(rates, table, boundary, output, thresholds, stats, above, first, none, counts))
    sampled = reference("w1", 1)[:, :, 0].reshape(20, 6, 121).max(axis=2)
    peaks = stats[:20, :, 0, 2] / volume[:20, None]
    error = float((np.abs(peaks - sampled) / sampled).max())  # the peak of an infusion is at its end, a sample
    assert error < 1e-11
    report(benchmark, inputs, "summaries only", error)
