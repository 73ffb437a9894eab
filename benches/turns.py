"""Ours and the C in turns.

A machine's speed drifts, by half within a minute where others share it. A ratio is therefore taken of times that stand
beside each other: the C, then ours, again and again. What is reported is the median of the ratios of all turns, and
between which figures the middle half of them lies.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from limits import Program


@dataclass(frozen=True)
class Turns:
    """Median seconds of each turn, by threads."""

    ours: list[dict[int, float]]
    theirs: list[Mapping[int, float]]

    def ratio(self, threads: int) -> tuple[float, float, float]:
        """Ours over the C: the median, and the quartiles."""
        ratios = [own[threads] / other[threads] for own, other in zip(self.ours, self.theirs, strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        return middle, low, high

    def gain(self) -> tuple[float, float]:
        """How many times faster than one thread two are, ours and the C: medians."""
        own, other = ([turn[1] / turn[2] for turn in turns] for turns in (self.ours, self.theirs))
        return statistics.median(own), statistics.median(other)


def take_turns(
    ours: Mapping[int, Callable[[], Any]], limit: Program, variant: str, turns: int = 9, runs: int = 9
) -> Turns:
    """Run a variant of the C and ours with each number of threads in turns, each so many times in a turn."""
    taken = Turns([], [])
    for _ in range(turns):
        taken.theirs.append(limit.seconds(variant, runs))
        taken.ours.append({threads: _median(run, runs) for threads, run in ours.items()})
    return taken


def _median(run: Callable[[], Any], runs: int) -> float:
    """Median seconds of a few runs."""
    times = []
    for _ in range(runs):
        before = time.perf_counter()
        run()
        times.append(time.perf_counter() - before)
    return statistics.median(times)


#: What the benches found, in words; printed when all have run (conftest.py), so that no option is needed to see it.
FOUND: list[str] = []


def say(line: str) -> None:
    """Keep a line for the end."""
    FOUND.append(line)


def report(benchmark: Any, name: str, taken: Turns, limit: Program, reached: str) -> None:
    """Say times, the ratio to the C and the gain of two threads, and keep them with the benchmark."""
    benchmark.extra_info["C limit"] = limit.name
    say(f"{name}: {reached}")
    for threads in taken.ours[0]:
        middle, low, high = taken.ratio(threads)
        own, other = (1e3 * statistics.median(turn[threads] for turn in turns) for turns in (taken.ours, taken.theirs))
        benchmark.extra_info[f"ratio to C, {threads} thread(s)"] = middle
        say(
            f"  {threads} thread(s): {own:.2f} ms, {limit.name} {other:.2f} ms, "
            f"ratio {middle:.2f} ({low:.2f} to {high:.2f} in the middle half of {len(taken.ours)} turns)"
        )
    if 2 in taken.ours[0]:
        own, other = taken.gain()
        benchmark.extra_info["gain of two threads over that of the C"] = own / other
        say(f"  two threads gain {own:.2f}, the C {other:.2f}: {own / other:.2f} of it")
