"""A run of a million patients with all its files: wall time, peak memory, and whether both are as they should be.

``pytest benches/test_million.py -s``, or ``python benches/test_million.py [SCENARIO] [N ...]`` for other scenarios (a
name or a path) and numbers of patients. Each run is a process of its own, after a small one that warms the caches.
Nothing is timed in the tests; this prints.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

SCENARIO = Path(__file__).with_name("million.yaml")

_RUN = """
import sys, time, resource
from pathlib import Path
from pkmodel import report
from pkmodel.specs.library import load_scenario
scenario = load_scenario(sys.argv[1] if not sys.argv[1].endswith(".yaml") else Path(sys.argv[1]))
out, n, jobs = Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
report.run(scenario.with_options(n=2000), out / "warm", jobs=jobs)
begun, used = time.perf_counter(), time.process_time()
report.run(scenario.with_options(n=n), out / "run", jobs=jobs)
wall, cpu = time.perf_counter() - begun, time.process_time() - used
print(wall, cpu, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def measure(scenario: str, n: int, jobs: int) -> tuple[float, float, float]:
    """Seconds of wall time and of processor time, and the peak of memory in MB."""
    with tempfile.TemporaryDirectory() as out:
        words = [sys.executable, "-c", _RUN, scenario, out, str(n), str(jobs)]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        size = sum(file.stat().st_size for file in (Path(out) / "run").iterdir())
    wall, cpu, memory = map(float, done.stdout.split())
    print(
        f"{Path(scenario).stem}: {n:>10,} patients, {jobs} threads: {wall:7.2f} s wall, {cpu:7.2f} s processor, "
        f"{memory:6.0f} MB peak, {n / wall:10,.0f} patients/s, {size / 2**20:6.0f} MB of files",
        flush=True,
    )
    return wall, cpu, memory


def test_a_million_patients() -> None:
    """Files of a million patients in less memory than 1 GB, and little more than a tenth of them takes."""
    _, _, few = measure(str(SCENARIO), 100_000, 2)
    _, _, many = measure(str(SCENARIO), 1_000_000, 2)
    assert many < 1024
    assert many < few + 400


if __name__ == "__main__":
    names = [word for word in sys.argv[1:] if not word.isdecimal()] or [str(SCENARIO)]
    for word in [word for word in sys.argv[1:] if word.isdecimal()] or ["100000", "1000000"]:
        measure(names[0], int(word), len(os.sched_getaffinity(0)))
