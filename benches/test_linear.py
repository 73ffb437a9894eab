"""Speed of the linear engine on the shared workloads: correctness first, then the ratio to hand-written C.

``pytest benches --benchmark-only``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import workloads
from workloads import Limits, Workload

import pkmodel as pk
from pkmodel import engine
from pkmodel.core import crossing, modal

pytestmark = pytest.mark.skipif(
    not workloads.SHARED.is_dir(), reason="the shared workloads are not beside the checkout"
)


#: Patients that a thread takes at a time.
_BLOCK = 2500


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the shared folder with its inputs."""
    return workloads.prepare(tmp_path_factory.mktemp("bench"))


@pytest.fixture(scope="module")
def limits_w1(folder: Path) -> Limits | str:
    """Times of the C program for W1."""
    return workloads.limits(folder, "limit_w1", "w1_params.csv", "w1", 1)


@pytest.fixture(scope="module")
def limits_w2(folder: Path) -> Limits | str:
    """Times of the C program for W2."""
    return workloads.limits(folder, "limit_w2", "w2_params.csv", "w2", 2)


def _stored(work: Workload, out: Any) -> Any:
    return engine.levels(work.system, work.events, work.time, work.observed, work.scale, out=out)


def _store(work: Workload, threads: int, benchmark: Callable[..., Any]) -> Any:
    """All levels of a workload, into memory already touched."""
    out = np.zeros((work.system.rates.shape[0], work.observed.size, work.time.size))
    if threads == 1:
        benchmark(lambda: _stored(work, out))
    else:
        blocks = work.blocks(_BLOCK)
        benchmark(
            lambda: workloads.in_threads(threads, lambda k: _stored(blocks[k][1], out[blocks[k][0]]), len(blocks))
        )
    return out


@pytest.mark.parametrize("threads", [1, 2])
def test_w1_stored(benchmark: Callable[..., Any], folder: Path, limits_w1: Limits | str, threads: int) -> None:
    """All levels of 10,000 patients at 726 times."""
    out = _store(workloads.w1(folder), threads, benchmark)
    error = workloads.error(out[:20], workloads.reference("w1", 1))
    assert error < 1e-11
    workloads.report(benchmark, f"W1 stored, {threads} thread(s)", error, limits_w1, "store subject-major", threads)


@pytest.mark.parametrize("threads", [1, 2])
def test_w1_summaries(benchmark: Callable[..., Any], folder: Path, limits_w1: Limits | str, threads: int) -> None:
    """Highest sample, sampled area and samples above 0.1 mg/L of 10,000 patients, nothing stored: what the C does."""
    work = workloads.w1(folder)
    size = work.scale.shape[1]
    blocks = work.blocks(size if threads == 1 else _BLOCK)
    limit, figures = np.full(size, 0.1), np.empty((3, size))

    def summarise(number: int) -> None:
        part, block = blocks[number]
        found = engine.sampled_figures(block.system, block.events, block.time, 0, block.scale[0], limit[part])
        figures[:, part] = found

    benchmark(lambda: workloads.in_threads(threads, summarise, len(blocks)))
    exact = workloads.reference("w1", 1)[:, 0].reshape(20, 6, 121)
    area = (exact.sum(axis=2) - 0.5 * (exact[..., 0] + exact[..., -1])).sum(axis=1) * 2 / 60
    highest, areas, above = figures[:, :20]
    errors = [np.abs(highest / exact.max(axis=(1, 2)) - 1), np.abs(areas / area - 1)]
    error = float(np.max(errors))
    assert error < 1e-11
    assert np.allclose(above, (exact > 0.1).sum(axis=(1, 2)) * 2 / 60, rtol=1e-12, atol=0)
    workloads.report(benchmark, f"W1 summaries, {threads} thread(s)", error, limits_w1, "summaries only", threads)


@pytest.mark.parametrize("threads", [1, 2])
def test_w2_stored(benchmark: Callable[..., Any], folder: Path, limits_w2: Limits | str, threads: int) -> None:
    """Levels of drug and metabolite of 10,000 patients at 584 times, through the general engine."""
    out = _store(workloads.w2(folder), threads, benchmark)
    error = workloads.error(out[:20], workloads.reference("w2", 2))
    assert error < 1e-11
    workloads.report(
        benchmark, f"W2 stored, {threads} thread(s)", error, limits_w2, "limit_w2 store subject-major", threads
    )


def test_w1_exact_figures(benchmark: Callable[..., Any], folder: Path, limits_w1: Limits | str) -> None:
    """Peak, area, time above of each session, found inside the steps; the C reads them off its samples."""
    work = workloads.w1(folder)
    starts = [day * 24.0 for day in (0, 2, 4, 7, 9, 11)]
    size, sessions = work.scale.shape[1], len(starts)
    boundary = np.array([*starts, starts[-1] + 4.0])[:, None]
    stats = np.empty((size, sessions, 1, crossing.N_STATS))
    above, first = np.empty((2, size, sessions, 1, 1))
    none, counts = np.empty((size, 1, 1, 0)), np.empty((size, 1, 1), dtype=np.int64)
    thresholds, nothing = (0.1 / work.scale)[:, None, :], np.zeros((size, 3))
    given = (work.system.rates, nothing, work.events, boundary, work.observed, thresholds)
    benchmark(lambda: crossing.scan(*given, stats, above, first, none, counts))
    sampled = workloads.reference("w1", 1)[:, 0].reshape(20, 6, 121).max(axis=2)
    peaks = stats[:20, :, 0, crossing.PEAK] * work.scale[0, :20, None]
    error = float(np.abs(peaks / sampled - 1).max())  # the peak of an infusion is at its end, a sample
    assert error < 1e-11
    workloads.report(benchmark, "W1 exact figures", error, limits_w1, "summaries only")


def test_w4_one_patient(benchmark: Callable[..., Any]) -> None:
    """One patient, one infusion, 121 points, through the public interface; warm."""
    protocol, model = pk.load_protocol("iv_single"), pk.load_model("ketamine_domino1984")
    patient = pk.Patient(weight="70 kg")
    result = benchmark(lambda: pk.simulate(protocol, model, patient, until="4 h", every="2 min"))
    assert result.time.size == 121
    print(f"\nW4 one patient: {1e3 * benchmark.stats.stats.median:.2f} ms")


def test_w4_kernel(benchmark: Callable[..., Any]) -> None:
    """The kernel of one patient alone, its memory included."""
    result = pk.simulate("iv_single", "ketamine_domino1984", pk.Patient(weight="70 kg"), until="4 h", every="2 min")
    net, events = result.network, result.schedule.events
    places, out = modal.places_of(net.rates.shape[1], 0, events), np.zeros((1, 1, 121))
    assert places is not None
    given = (modal.STORE, places, net.rates, events, result.time, *engine.grid_of(result.time), net.output_scale)
    rest = (np.zeros(1), out, np.empty((0, 0, 0), dtype=np.uint32))
    benchmark(lambda: modal.levels(*given, *rest))
    assert np.allclose(out[0, 0], result.level()[0], rtol=1e-11, atol=0)
    print(f"\nW4 kernel: {1e6 * benchmark.stats.stats.median:.0f} us")
