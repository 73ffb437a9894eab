"""The long job: ``python tests/fuzz/job.py --inputs 100000 --jobs 2``.

Prints a table of what came of the inputs, keeps what failed in a folder (one of each place where it failed), and ends
with 1 where anything did. The same seed and number of inputs give the same inputs, whatever ``--jobs`` is.
"""

from __future__ import annotations

import argparse
import json
import pickle
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: Inputs to a batch, and batches to a process.
BATCH, PER_PROCESS = 250, 12


@dataclass
class Tally:
    """What came of the inputs of a kind."""

    inputs: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    longest: float = 0.0
    largest: int = 0
    failures: list[tuple[str, str, Any]] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Count another tally in."""
        self.inputs += other.inputs
        self.outcomes.update(other.outcomes)
        self.longest = max(self.longest, other.longest)
        self.largest = max(self.largest, other.largest)
        self.failures += other.failures


def batch(kind: str, number: int, size: int, seed: int) -> Tally:
    """Run a batch of inputs of a kind, generated from their number alone."""
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import seed as seeded
    from kinds import STRATEGIES
    from outcomes import FAILED, judge

    tally = Tally()

    @seeded(f"{seed}/{kind}/{number}")
    @settings(
        max_examples=size,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(STRATEGIES[kind])
    def run(one: Any) -> None:
        found = judge(kind, one)
        tally.inputs += 1
        tally.outcomes[found.what] += 1
        tally.longest = max(tally.longest, found.seconds)
        tally.largest = max(tally.largest, found.memory)
        if found.what == FAILED:
            tally.failures.append((found.mark, found.why, one))

    run()
    return tally


def _ready() -> None:
    """Kernels compiled before anything is timed."""
    import pkmodel as pk

    pk.simulate("iv_single", "ketamine_clements1981", pk.Patient(weight="70 kg"), until="1 h").sessions()
    pk.run(pk.load_scenario("iv_versus_nasal").with_options(n=2))


def work(tasks: list[tuple[str, int, int, int]], out: Path) -> None:
    """Run some batches in this process, and leave what came of each in a file."""
    _ready()
    for task in tasks:
        tally = batch(*task)
        with out.open("ab") as file:
            pickle.dump((task[0], tally), file)


def apart(tasks: list[tuple[str, int, int, int]]) -> list[tuple[str, Tally]]:
    """Run some batches in a process of their own; where it dies, that is a failure of the batch that it was in."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "tallies"
        words = [sys.executable, __file__, "--batches", json.dumps(tasks), "--out", str(out)]
        ended = subprocess.run(words, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        found: list[tuple[str, Tally]] = []
        if out.exists():
            with out.open("rb") as file:
                while True:
                    try:
                        found.append(pickle.load(file))
                    except EOFError:
                        break
    if len(found) < len(tasks):
        kind, *where = tasks[len(found)]
        died = Tally(outcomes=Counter({"failed": 1}))
        died.failures.append((f"the process ended with {ended.returncode}", ended.stderr[-4000:], where))
        found.append((kind, died))
    return found


def main() -> int:
    """Run the job."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--kind", action="append", help="only these kinds")
    parser.add_argument("--out", type=Path, default=Path("fuzz-failures"), help="where failing inputs are kept")
    parser.add_argument("--batches", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.batches:
        work([tuple(task) for task in json.loads(asked.batches)], asked.out)
        return 0
    from kinds import SHARES

    shares = {kind: share for kind, share in SHARES.items() if not asked.kind or kind in asked.kind}
    tasks = []
    for kind, share in shares.items():
        left = -(-asked.inputs * share // sum(shares.values()))
        tasks += [(kind, first // BATCH, min(BATCH, left - first), asked.seed) for first in range(0, left, BATCH)]
    # Batches of every kind to a process, which ends after them, and what they left in its memory with it.
    groups = [tasks[first :: -(-len(tasks) // PER_PROCESS)] for first in range(-(-len(tasks) // PER_PROCESS))]
    tallies = {kind: Tally() for kind in shares}
    began = time.monotonic()
    with ThreadPoolExecutor(asked.jobs) as pool:
        for done, found in enumerate(pool.map(apart, groups), 1):
            for kind, tally in found:
                tallies[kind].add(tally)
            failed = sum(item.outcomes["failed"] for item in tallies.values())
            print(f"{done}/{len(groups)} processes, {failed} failed, {time.monotonic() - began:.0f} s", file=sys.stderr)
    _tell(tallies, time.monotonic() - began)
    return _keep(tallies, asked.out)


def _tell(tallies: dict[str, Tally], seconds: float) -> None:
    """Print the table."""
    print("| kind | inputs | valid and run | refused | solver gave up | failed | longest | most memory |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|")
    total = Tally()
    for tally in tallies.values():
        total.add(tally)
    for kind, tally in [*tallies.items(), ("all", total)]:
        counted = " | ".join(f"{tally.outcomes[what]:,}" for what in ("valid", "refused", "gave up", "failed"))
        print(f"| {kind} | {tally.inputs:,} | {counted} | {tally.longest:.1f} s | {tally.largest / 1e6:.0f} MB |")
    print(f"\n{total.inputs:,} inputs in {seconds / 60:.0f} min")


def _keep(tallies: dict[str, Tally], folder: Path) -> int:
    """Keep one input of each failure; 1 where there is any."""
    seen: Counter[str] = Counter()
    for kind, tally in tallies.items():
        for mark, why, one in tally.failures:
            name = f"{kind} {mark}"
            seen[name] += 1
            if seen[name] > 1:
                continue
            folder.mkdir(parents=True, exist_ok=True)
            stem = "".join(c if c.isalnum() or c in "-_." else "_" for c in name)
            (folder / f"{stem}.txt").write_text(f"{why}\n\n{one!r}\n", encoding="utf-8", errors="backslashreplace")
            (folder / f"{stem}.pickle").write_bytes(pickle.dumps(one))
    for name, count in seen.most_common():
        print(f"failed {count} times: {name}", file=sys.stderr)
    return int(bool(seen))


if __name__ == "__main__":
    sys.exit(main())
