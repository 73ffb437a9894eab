"""A run in blocks of patients, each of which leaves a folder of files that is whole or not there.

Chunks of patients flow through sampling, schedule, kernels and metrics; what is left of a block is its rows of the
tables and the state of its reducers. Blocks know nothing of one another, so they may be made in any order, by any
thread, process or machine, now or after a break. The end of a run puts them together in the order of the patients, so
memory does not grow with the number of blocks, and its bits depend on no split.
"""

from __future__ import annotations

import os
import shutil
import struct
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from pkmodel import block_state, joined, parquet, study
from pkmodel.block_state import State
from pkmodel.cases import Case
from pkmodel.chunk import Chunk, no_sums, run_chunk
from pkmodel.engine import AUTO, Numerics
from pkmodel.errors import InputError, Problem, shown
from pkmodel.outcome import CaseSums, Study
from pkmodel.specs.library import Scenario
from pkmodel.study import BLOCK
from pkmodel.whole import named, sync

Floats = NDArray[np.float64]

#: The tables that are made of those of the blocks.
TABLES = (parquet.METRICS, parquet.PATIENTS, parquet.LEDGER)
STATE = "state.npz"


@dataclass(frozen=True)
class Job:
    """A scenario and how it is to be run: all that a worker must know."""

    scenario: Scenario
    strict: bool = False
    all_metrics: bool = False
    numerics: Numerics = AUTO
    block: int = BLOCK

    @cached_property
    def cases(self) -> list[Case]:
        """The cases. Raises InputError where ``strict`` refuses one."""
        return study.cases_to_run(self.scenario, jobs=1, strict=self.strict, all_metrics=self.all_metrics)

    @property
    def count(self) -> int:
        """How many blocks the patients of the run fill."""
        return -(-self.scenario.spec.n // self.block)

    def patients(self, number: int) -> range:
        """The patients of a block, both counted from 0."""
        return range(number * self.block, min((number + 1) * self.block, self.scenario.spec.n))


class _Part(NamedTuple):
    """A chunk to work through, and whether it is the last of its block."""

    block: int
    first: int
    size: int
    last: bool


@dataclass
class _Open:
    """A block of which some chunks are done."""

    chunks: list[Chunk] = field(default_factory=list)
    idle: list[list[CaseSums]] = field(default_factory=list)
    """Counts that no thread adds to at the moment; sketches are large, so there are only as many as are needed."""


def name_of(number: int) -> str:
    """The name of the folder of a block."""
    return f"{number:05d}"


def finished(folder: Path) -> list[int]:
    """The numbers of the blocks that are there, whole."""
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isdecimal() and path.is_dir())


def run(
    job: Job,
    numbers: Sequence[int],
    folder: Path,
    *,
    jobs: int = 1,
    chunk: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Work through blocks on the threads of this process, and put each into ``folder`` as soon as it is done.

    Parameters
    ----------
    numbers
        the blocks that are wanted, from 0.
    chunk
        patients to a chunk; a matter of speed only.
    progress
        called with the number of patients of every chunk that is done.

    Raises
    ------
    InputError
        where a patient cannot be simulated, or ``strict`` refuses one.
    """
    cases = job.cases
    size = chunk or study.chunk_size(job.scenario, cases, min(job.scenario.spec.n, job.block), jobs)
    blocks: dict[int, _Open] = {}
    lock = threading.Lock()

    def work(part: _Part) -> tuple[_Part, Chunk]:
        with lock:
            idle = blocks.setdefault(part.block, _Open()).idle
            sums = idle.pop() if idle else None
        if sums is None:
            sums = [no_sums(case) for case in cases]
        found = run_chunk(job.scenario, cases, sums, part.first, part.size, job.strict, job.numerics)
        with lock:
            idle.append(sums)
        return part, found

    for part, found in study.in_order(work, _parts(job, numbers, size), jobs):
        blocks[part.block].chunks.append(found)
        if progress is not None:
            progress(part.size)
        if part.last:
            done = blocks.pop(part.block)
            sums, *others = done.idle
            for theirs in others:
                for total, more in zip(sums, theirs, strict=True):
                    total.add(more)
            write(job, part.block, done.chunks, sums, folder)


def _parts(job: Job, numbers: Sequence[int], size: int) -> Iterator[_Part]:
    for number in numbers:
        patients = job.patients(number)
        for first in range(patients.start, patients.stop, size):
            count = min(size, patients.stop - first)
            yield _Part(number, first, count, first + count == patients.stop)


def write(job: Job, number: int, chunks: Sequence[Chunk], sums: list[CaseSums], folder: Path) -> None:
    """Put the files of a block into a folder of their own, which appears when they are all on the disk."""
    cases = job.cases
    with Placed(folder, number) as place:
        files = parquet.RunFiles(place, cases, severity=job.scenario.population.has_severity, block=job.block)
        complete = False
        try:
            for chunk in chunks:
                files.write(chunk)
            complete = True
        finally:
            files.close(complete=complete)
        compared = [
            [np.concatenate([chunk.cases[index].compared[request] for chunk in chunks]) for request in case.compared]
            for index, case in enumerate(cases)
        ]
        answers = [
            [np.concatenate([chunk.cases[index].answers[asked] for chunk in chunks]) for asked in case.questions]
            for index, case in enumerate(cases)
        ]
        with named(place / STATE), (place / STATE).open("wb") as file:
            block_state.save(file, sums, compared, answers)


class Placed:
    """A folder for the files of a block, which takes its place when they are whole and on the disk."""

    def __init__(self, folder: Path, number: int):
        self.folder, self.place = folder, folder / name_of(number)
        self.part = folder / f".{name_of(number)}-{os.getpid()}-{threading.get_ident()}"

    def __enter__(self) -> Path:
        shutil.rmtree(self.part, ignore_errors=True)
        self.part.mkdir()
        return self.part

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None:
            shutil.rmtree(self.part, ignore_errors=True)
            return
        for path in (*self.part.iterdir(), self.part):
            sync(path)
        self.part.rename(self.place)
        sync(self.folder)


def assemble(job: Job, parts: Sequence[Path], folder: Path) -> Study:
    """Put the blocks of a run together: its tables into ``folder``, and the outcome.

    Parameters
    ----------
    parts
        the folder of every block, in order; they are read one at a time.

    Raises
    ------
    InputError
        where a file of a block is not what :func:`write` left.
    """
    cases = job.cases
    for name in TABLES:
        if (parts[0] / name).is_file():
            tables = [part / name for part in parts]
            for table in tables:  # looked at one by one, to say which one it is, and before anything is written
                with _readable(table):
                    joined.check(table)
            joined.join(tables, folder / name)
    sums = [no_sums(case) for case in cases]
    n = job.scenario.spec.n
    compared = [{request: _room(n, folder) for request in case.compared} for case in cases]
    answers = [{asked: _room(n, folder) for asked in case.questions} for case in cases]
    at = 0
    for number, part in enumerate(parts):
        to = at + len(job.patients(number))
        with _readable(part / STATE), State(part / STATE) as state:
            state.add_to(sums)
            for index, case in enumerate(cases):
                for place, request in enumerate(case.compared):
                    compared[index][request][at:to] = state.values("compared", index, place)
                for place, asked in enumerate(case.questions):
                    answers[index][asked][at:to] = state.values("answers", index, place)
        at = to
    return Study(job.scenario, cases, sums, compared, job.numerics, answers)


@contextmanager
def _readable(file: Path) -> Iterator[None]:
    """Say of a file of blocks that it is not what was written, whatever goes wrong when it is read."""
    wrong = (LookupError, ValueError, TypeError, AttributeError, EOFError, BadZipFile, zlib.error, struct.error)
    try:
        yield
    except (*wrong, FileNotFoundError, RecursionError) as error:
        found = f"a file that cannot be read ({type(error).__name__}: {shown(str(error))})"
        expected = "what the run wrote: delete the folder of the block and go on by run --resume"
        raise InputError(Problem(found, expected, where=str(file))) from None


#: Values of more patients than this lie in a file that the system pages in and out, not in memory.
_IN_MEMORY = 1_000_000


def _room(n: int, folder: Path) -> Floats:
    """Room for a value of every patient."""
    if n <= _IN_MEMORY:
        return np.empty(n)
    import tempfile

    with named(folder / "values of all patients"), tempfile.TemporaryFile(dir=folder) as file:
        if hasattr(os, "posix_fallocate"):  # else a full disk would be noticed when a page is written: by a signal
            os.posix_fallocate(file.fileno(), 0, 8 * n)
        return np.memmap(file, dtype=np.float64, mode="w+", shape=(n,))
