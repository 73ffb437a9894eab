"""How a scenario is run: split over chunks of patients and threads, without a bit depending on the split.

A run is a set of *cases* (an arm on a model) over the same patients. Patients are worked on in chunks
(:mod:`pkmodel.chunk`), each on its own, and what comes back is integer counts or values in the order of the patients.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from pkmodel.cases import Case, cases_of
from pkmodel.chunk import Chunk, no_sums, run_chunk
from pkmodel.engine import AUTO, Numerics
from pkmodel.errors import InputError, Problem
from pkmodel.metrics import Request
from pkmodel.outcome import CaseSums, Study
from pkmodel.questions import Question
from pkmodel.specs.library import Scenario

Floats = NDArray[np.float64]
T = TypeVar("T")
R = TypeVar("R")

#: Patients to a block of files and sums (DESIGN section 6).
BLOCK = 65_536


Sink = Callable[[Chunk], None]
Progress = Callable[[int, int], None]


def run(
    scenario: Scenario,
    *,
    jobs: int = 1,
    strict: bool = False,
    all_metrics: bool = False,
    numerics: Numerics = AUTO,
    sink: Sink | None = None,
    progress: Progress | None = None,
    chunk: int | None = None,
) -> Study:
    """Run a scenario.

    Parameters
    ----------
    jobs
        threads; the kernels release the interpreter lock.
    strict
        refuse patients and courses outside of what a model is valid for.
    numerics
        the engine and its tolerance; by default the exact one for every model that is linear.
    sink
        called with every chunk, in the order of the patients, on the calling thread.
    chunk
        patients to a chunk; a matter of speed only.

    Raises
    ------
    InputError
        where the scenario cannot be run as it stands, or ``strict`` refuses it.
    """
    cases = cases_to_run(scenario, jobs=jobs, strict=strict, all_metrics=all_metrics)
    n = scenario.spec.n
    size = chunk or chunk_size(scenario, cases, n, jobs)
    firsts = list(range(0, n, size))
    compared: list[dict[Request, list[Floats]]] = [{request: [] for request in case.compared} for case in cases]
    answers: list[dict[Question, list[Floats]]] = [{question: [] for question in case.questions} for case in cases]
    # Sketches are large, so each thread counts into its own and they are added up at the end.
    mine = threading.local()
    every_sum: list[list[CaseSums]] = []
    lock = threading.Lock()

    def work(first: int) -> Chunk:
        if not hasattr(mine, "sums"):
            mine.sums = [no_sums(case) for case in cases]
            with lock:
                every_sum.append(mine.sums)
        return run_chunk(scenario, cases, mine.sums, first, min(size, n - first), strict, numerics)

    done = 0
    for result in in_order(work, firsts, jobs):
        if sink is not None:
            sink(result)
        for values, case_chunk in zip(compared, result.cases, strict=True):
            for request, array in case_chunk.compared.items():
                values[request].append(array)
        for asked, case_chunk in zip(answers, result.cases, strict=True):
            for question, array in case_chunk.answers.items():
                asked[question].append(array)
        done += result.population.size
        if progress is not None:
            progress(done, n)
    sums, *others = every_sum
    for theirs in others:
        for total, part in zip(sums, theirs, strict=True):
            total.add(part)
    joined = [{request: np.concatenate(parts) for request, parts in values.items()} for values in compared]
    answered = [{question: np.concatenate(parts) for question, parts in asked.items()} for asked in answers]
    return Study(scenario, cases, sums, joined, numerics, answered)


def cases_to_run(scenario: Scenario, *, jobs: int, strict: bool, all_metrics: bool) -> list[Case]:
    """The cases of a scenario. Raises InputError where a course is outside of a model and ``strict`` refuses that."""
    if jobs < 1:
        raise InputError(Problem(str(jobs), "at least one worker", path="jobs"))
    cases = cases_of(scenario, all_metrics=all_metrics)
    if strict:
        said = [sentence for case in cases for sentence in case.outside]
        if said:
            raise InputError([Problem(sentence, "nothing outside valid_for (--strict)") for sentence in said])
    return cases


def chunk_size(scenario: Scenario, cases: list[Case], n: int, jobs: int) -> int:
    """Patients to a chunk, a matter of speed and memory only: enough to fill the workers, few enough for the cache."""
    # Levels are counted where they are made; effects, and what is measured, come of stored ones, so of fewer patients.
    stored = scenario.spec.variability.residual or any(case.model.effects for case in cases)
    return int(np.clip(n // (4 * jobs), 256, 1024 if stored else 8192))


def in_order(work: Callable[[T], R], items: Iterable[T], jobs: int) -> Iterator[R]:
    """What ``work`` makes of each item, in their order, by threads, with no more than a few results waiting."""
    if jobs == 1:
        for item in items:
            yield work(item)
        return
    with ThreadPoolExecutor(jobs, thread_name_prefix="pkmodel") as pool:
        waiting: list[Future[R]] = []
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) >= 2 * jobs:
                    yield waiting.pop(0).result()
            while waiting:
                yield waiting.pop(0).result()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
