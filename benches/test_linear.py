"""Speed of the linear engine on the shared workloads: correctness first, then the ratio to hand-written C.

``pytest benches --benchmark-only``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import limits
import numpy as np
import pytest
import workloads
from limits import Program
from turns import report, say, take_turns
from workloads import Workload

import pkmodel as pk
from pkmodel import engine
from pkmodel.core import crossing, modal

pytestmark = pytest.mark.skipif(
    not workloads.SHARED.is_dir(), reason="the shared workloads are not beside the checkout"
)


#: Patients that a thread takes at a time: half of them, because what a block costs besides is spent in Python.
_BLOCK = 5000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the shared folder with its inputs."""
    return workloads.prepare(tmp_path_factory.mktemp("bench"))


@pytest.fixture(scope="module")
def limit_w1(folder: Path) -> Program | str:
    """The C program for W1."""
    return limits.program(folder, "limit_w1", "w1_params.csv")


@pytest.fixture(scope="module")
def limit_w2(folder: Path) -> Program | str:
    """The C program for W2."""
    return limits.program(folder, "limit_w2", "w2_params.csv")


def _stored(work: Workload, out: Any) -> Any:
    return engine.levels(work.system, work.events, work.time, work.observed, work.scale, out=out)


def _store(work: Workload, out: Any) -> dict[int, Callable[[], Any]]:
    """All levels of a workload into memory already touched, by one thread and by two."""
    blocks = work.blocks(_BLOCK)

    def part(number: int) -> None:
        _stored(blocks[number][1], out[blocks[number][0]])

    return {1: lambda: _stored(work, out), 2: lambda: workloads.in_threads(2, part, len(blocks))}


def _hold(
    benchmark: Any, name: str, ours: dict[int, Callable[[], Any]], error: float, limit: Program | str, variant: str
) -> None:
    """Hold a time against the C, and say what error both reach."""
    if isinstance(limit, str):
        say(f"{name}: {1e3 * benchmark.stats.stats.median:.2f} ms, error {error:.1e}; {limit}")
        return
    taken = take_turns(ours, limit, variant)
    which = "w2" if "w2" in limit.path.name else "w1"
    columns = {"w1": 1, "w2": 2}[which]
    # W2's partial fractions lose their digits where the metabolite begins, on any machine: 4e-13 above a thousandth of
    # the peak.
    theirs = workloads.error(limit.levels(columns), workloads.reference(which, columns))
    benchmark.extra_info.update({"achieved error": error, "C error": theirs})
    report(benchmark, name, taken, limit, f"error {error:.1e}, the C {theirs:.1e}")


def test_w1_stored(benchmark: Callable[..., Any], folder: Path, limit_w1: Program | str) -> None:
    """All levels of 10,000 patients at 726 times."""
    work = workloads.w1(folder)
    out = np.zeros((work.system.rates.shape[0], 1, work.time.size))
    ours = _store(work, out)
    benchmark(ours[1])
    error = workloads.error(out[:20], workloads.reference("w1", 1))
    assert error < 1e-11
    _hold(benchmark, "W1 stored", ours, error, limit_w1, "store subject-major")


def test_w1_summaries(benchmark: Callable[..., Any], folder: Path, limit_w1: Program | str) -> None:
    """Highest sample, sampled area and samples above 0.1 mg/L of 10,000 patients, nothing stored: what the C does."""
    work = workloads.w1(folder)
    size = work.scale.shape[1]
    limit, figures = np.full(size, 0.1), np.empty((3, size))

    def by(threads: int, block: int) -> Callable[[], Any]:
        blocks = work.blocks(block)

        def summarise(number: int) -> None:
            part, some = blocks[number]
            figures[:, part] = engine.sampled_figures(
                some.system, some.events, some.time, 0, some.scale[0], limit[part]
            )

        return lambda: workloads.in_threads(threads, summarise, len(blocks))

    ours = {1: by(1, size), 2: by(2, _BLOCK)}
    benchmark(ours[1])
    exact = workloads.reference("w1", 1)[:, 0].reshape(20, 6, 121)
    area = (exact.sum(axis=2) - 0.5 * (exact[..., 0] + exact[..., -1])).sum(axis=1) * 2 / 60
    highest, areas, above = figures[:, :20]
    errors = [np.abs(highest / exact.max(axis=(1, 2)) - 1), np.abs(areas / area - 1)]
    error = float(np.max(errors))
    assert error < 1e-11
    assert np.allclose(above, (exact > 0.1).sum(axis=(1, 2)) * 2 / 60, rtol=1e-12, atol=0)
    _hold(benchmark, "W1 summaries", ours, error, limit_w1, "summaries only")


def test_w2_stored(benchmark: Callable[..., Any], folder: Path, limit_w2: Program | str) -> None:
    """Levels of drug and metabolite of 10,000 patients at 584 times, through the general engine."""
    work = workloads.w2(folder)
    out = np.zeros((work.system.rates.shape[0], 2, work.time.size))
    ours = _store(work, out)
    benchmark(ours[1])
    error = workloads.error(out[:20], workloads.reference("w2", 2))
    assert error < 1e-11
    _hold(benchmark, "W2 stored", ours, error, limit_w2, "store subject-major")


def test_w1_exact_figures(benchmark: Callable[..., Any], folder: Path, limit_w1: Program | str) -> None:
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

    def run() -> None:
        crossing.scan(*given, stats, above, first, none, counts)

    benchmark(run)
    sampled = workloads.reference("w1", 1)[:, 0].reshape(20, 6, 121).max(axis=2)
    peaks = stats[:20, :, 0, crossing.PEAK] * work.scale[0, :20, None]
    error = float(np.abs(peaks / sampled - 1).max())  # the peak of an infusion is at its end, a sample
    assert error < 1e-11
    _hold(benchmark, "W1 exact figures", {1: run}, error, limit_w1, "summaries only")


def test_w4_one_patient(benchmark: Callable[..., Any]) -> None:
    """One patient, one infusion, 121 points, through the public interface; warm."""
    protocol, model = pk.load_protocol("iv_single"), pk.load_model("ketamine_domino1984")
    patient = pk.Patient(weight="70 kg")
    result = benchmark(lambda: pk.simulate(protocol, model, patient, until="4 h", every="2 min"))
    assert result.time.size == 121
    say(f"W4 one patient: {1e3 * benchmark.stats.stats.median:.2f} ms")


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
    say(f"W4 kernel: {1e6 * benchmark.stats.stats.median:.0f} us")
