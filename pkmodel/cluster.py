"""A run on the workers of a Dask cluster (extra ``cluster``): a block of patients is a task, its files the answer.

Tasks know nothing of one another, so one that was on a worker that died is given to another, and what comes back is
the same. Parts are written here as they arrive, with no more on their way than the workers need; workers need neither
this machine's disk nor each other's.
"""

from __future__ import annotations

import importlib
import pickle
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from functools import lru_cache
from pathlib import Path
from typing import Any

from pkmodel import blocks
from pkmodel.blocks import Job
from pkmodel.errors import InputError, PkmodelError, Problem, RunError
from pkmodel.whole import named

#: How often a block is tried on another worker where the one that had it died.
TRIES = 10
#: How often it is looked whether anybody works, and how long nobody may (seconds).
LOOK, PATIENCE = 5.0, 60.0

Files = dict[str, bytes]


def run(
    job: Job,
    numbers: Sequence[int],
    folder: Path,
    scheduler: str,
    *,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Have the workers of a scheduler compute blocks, and put each into ``folder`` as it arrives.

    Parameters
    ----------
    scheduler
        its address, such as ``tcp://10.0.0.1:8786``.
    progress
        called with the number of patients of every block that has arrived.

    Raises
    ------
    InputError
        where Dask is not installed, nobody answers at the address, or the run is refused.
    RunError
        where the cluster fails: no workers, other versions there, a block that kills every worker.
    """
    try:
        distributed: Any = importlib.import_module("distributed")
    except ImportError:
        expected = "dask.distributed: pip install 'pkmodel[cluster]'"
        raise InputError(Problem("no dask.distributed", expected, "--scheduler")) from None
    _ = job.cases  # what is refused is refused here
    try:
        client = distributed.Client(scheduler, timeout="20s", set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        found = f"{scheduler or 'an empty address'} ({type(error).__name__})"
        expected = "the address of a Dask scheduler that runs, such as tcp://127.0.0.1:8786"
        raise InputError(Problem(found, expected, "--scheduler")) from None
    packed = pickle.dumps(job)
    with client, client.as_current():
        try:
            client.wait_for_workers(1, timeout=PATIENCE)
        except TimeoutError:
            raise RunError(f"the cluster at {scheduler} has had no worker for {PATIENCE:.0f} s") from None
        threads = sum(client.nthreads().values())
        waiting = list(numbers)
        asked: dict[Any, int] = {}

        def ask() -> None:
            number = waiting.pop(0)
            asked[client.submit(files_of_block, packed, number, pure=False, retries=TRIES)] = number

        for _ in range(min(len(waiting), 2 * threads)):
            ask()
        while asked:
            for future in _arrived(distributed, client, list(asked), scheduler):
                number = asked.pop(future)
                put(folder, number, _answer(future, scheduler))
                future.release()
                if progress is not None:
                    progress(len(job.patients(number)))
                if waiting:
                    ask()


def _arrived(distributed: Any, client: Any, futures: list[Any], scheduler: str) -> list[Any]:
    """The futures that are done, at least one of them.

    Raises RunError where nobody works on them any more: no worker has been there for a minute, or no scheduler.
    """
    alone_since: float | None = None
    while True:
        try:
            return list(distributed.wait(futures, timeout=LOOK, return_when="FIRST_COMPLETED").done)
        except TimeoutError:  # which is how long a block may take: only a cluster without workers will never end
            try:
                there = client.status == "running" and bool(client.nthreads())
            except Exception:  # of whatever kind: the scheduler does not answer
                there = False
        except (OSError, CancelledError):  # the scheduler has gone, which is known at once and may pass
            there = False
            time.sleep(LOOK)
        now = time.monotonic()
        if there:
            alone_since = None
        elif alone_since is None:
            alone_since = now
        elif now - alone_since > PATIENCE:
            raise RunError(
                f"the cluster at {scheduler} has had no worker for {PATIENCE:.0f} s, or its scheduler is gone: start "
                "some and go on with --resume"
            )


def _answer(future: Any, scheduler: str) -> Files:
    """The files of a block, or the error of ours that it ended in."""
    try:
        found: Files = future.result()
    except PkmodelError:
        raise
    except Exception as error:
        raise RunError(f"the cluster at {scheduler} failed: {type(error).__name__}: {error}") from error
    return found


@lru_cache(maxsize=4)
def _unpacked(packed: bytes) -> Job:
    job = pickle.loads(packed)
    assert isinstance(job, Job)
    return job


def files_of_block(packed: bytes, number: int) -> Files:
    """Compute a block and return its files by name; this is what a worker is given."""
    job = _unpacked(packed)
    with tempfile.TemporaryDirectory(prefix="pkmodel-block-") as place:
        blocks.run(job, [number], Path(place))
        folder = Path(place) / blocks.name_of(number)
        return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def put(folder: Path, number: int, files: Files) -> None:
    """Write the files of a block that arrived into their place, whole."""
    with blocks.Placed(folder, number) as place:
        for name, content in files.items():
            with named(place / name):
                (place / name).write_bytes(content)
