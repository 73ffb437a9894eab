"""Processes that compute and draw for the page, so that nobody's request holds up anybody else's.

A pool of the standard library (or of loky) cannot end one request that takes too long: it ends all that it runs. So
every worker here is a ``ProcessPoolExecutor`` of one process, which can be killed and replaced alone; who waits, in
which order, and for how long, is decided here.

Nobody waits for a worker that is not warm yet, and one that holds too much memory goes when another, warm one has come
for it. A worker ends with the server however that ends: it watches its parent (:func:`pkmodel.app.work.begin`).
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from pkmodel.app import work
from pkmodel.app.worker import Request, Worker
from pkmodel.errors import InputError, RunError

T = TypeVar("T")

#: Workers: two at least, so that a band of a population never keeps a drag waiting; more do not help one classroom.
FEWEST, MOST = 2, 4
#: Seconds that a request may take: what follows a drag, and what was asked for on purpose.
QUICK, SLOW = 15.0, 90.0
#: Seconds after which a slow request is taken before quick ones, and how often in a row a worker may fail to start.
_PATIENCE, _TRIES = 2.0, 3
#: Lines about failed requests that the log takes, in all.
_MOST_LINES = 50


class TooLong(RunError):
    """A request took longer than it may, and was ended."""

    def __init__(self, limit: float):
        super().__init__(
            f"This took longer than {limit:g} s and was stopped. "
            "A shorter course, fewer hours or fewer patients take less."
        )


class Lost(RunError):
    """The process that worked on a request ended before it was done."""

    def __init__(self) -> None:
        super().__init__("The process that computed this was lost (no memory left, say), and has been replaced.")


class Withdrawn(Exception):
    """A request was taken back before a worker began with it."""


class Workers:
    """The workers of a server; requests are answered in the order they came, quick ones before slow ones.

    The first is started by :meth:`start`, the others when the first request comes.
    """

    def __init__(self, count: int | None = None, warm: Callable[[], None] = work.warm_up):
        self._warm = warm
        self.count = count or min(max(os.cpu_count() or 1, FEWEST), MOST)
        self._workers: list[Worker] = []
        self._waiting: dict[bool, deque[Request]] = {False: deque(), True: deque()}
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._failed = 0
        self._said: set[str] = set()
        self._closed = False

    def start(self) -> None:
        """Start the first worker and wait until it is warm. Raises RunError where it cannot begin."""
        worker = Worker(self._warm)
        self._workers.append(worker)
        try:
            work.result(worker.ready.result())
        except BrokenProcessPool:
            self.close()
            raise RunError("the process that computes for the page ended while it started") from None
        except work.Failed as error:
            self.close()
            raise RunError(f"the process that computes for the page could not start: {error}") from None

    @property
    def pids(self) -> list[int]:
        """The processes, warm or not yet."""
        return [worker.process.pid for worker in self._workers if worker.process.pid is not None]

    @property
    def free(self) -> int:
        """How many workers are warm and have nothing to do."""
        return sum(worker.free for worker in self._workers)

    @property
    def waiting(self) -> int:
        """How many requests no worker has begun with."""
        return sum(map(len, self._waiting.values()))

    async def run(
        self, do: Callable[..., T], *args: Any, owner: Hashable, slow: bool = False, limit: float | None = None
    ) -> T:
        """The answer of ``do(*args)``, a function of a module, in a worker.

        Raises what it raises of InputError and RunError; :class:`TooLong`, :class:`Lost`, :class:`Withdrawn`;
        and RunError for what is a mistake of the program, which goes to the log in one line.
        """
        if self._closed:
            raise RunError("the server is ending")
        self._loop = asyncio.get_running_loop()
        request = Request(
            do,
            args,
            owner,
            slow,
            limit or (SLOW if slow else QUICK),
            time.monotonic(),
            self._loop.create_future(),
        )
        self._waiting[slow].append(request)
        self._fill()
        self._next()
        try:
            answer: T = work.result(await request.answer)
        except work.Failed as error:
            self._log(str(error))
            raise RunError("The server made a mistake with this; its log says which.") from None
        except asyncio.CancelledError:
            with suppress(ValueError):
                self._waiting[slow].remove(request)
            raise
        return answer

    def withdraw(self, owner: Hashable) -> bool:
        """Take back what an owner has asked for and no worker has begun with. Whether there was any."""
        found = False
        for waiting in self._waiting.values():
            for request in [one for one in waiting if one.owner == owner]:
                waiting.remove(request)
                if not request.answer.done():
                    request.answer.set_exception(Withdrawn())
                found = True
        return found

    def close(self) -> None:
        """End every worker, at once."""
        self._closed = True
        for worker in self._workers:
            worker.kill()
        self._workers.clear()
        for waiting in self._waiting.values():
            for request in waiting:
                if not request.answer.done():
                    request.answer.cancel()
            waiting.clear()

    def _fill(self) -> None:
        """Have as many workers as there should be."""
        while len(self._workers) < self.count and not self._closed:
            self._started()

    def _started(self) -> Worker:
        worker = Worker(self._warm)
        self._workers.append(worker)
        worker.ready.add_done_callback(partial(self._tell, worker))
        return worker

    def _tell(self, worker: Worker, _: Future[work.Outcome]) -> None:
        """From the thread of a pool: the worker is warm, or is not going to be."""
        assert self._loop is not None
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._begun, worker)

    def _begun(self, worker: Worker) -> None:
        if worker not in self._workers:
            return
        before = next((one for one in self._workers if one.heir is worker), None)
        try:
            work.result(worker.ready.result())
        except Exception as error:
            self._failed += 1
            self._log(f"a worker of the page could not start: {type(error).__name__}")
            self._workers.remove(worker)
            worker.kill()
            if before is not None:
                before.heir = None
            if self._failed < _TRIES:
                self._fill()
            elif not self._workers:
                for waiting in self._waiting.values():
                    while waiting:
                        waiting.popleft().answer.set_exception(RunError("no process could be started to compute this"))
                self._failed = 0
            else:
                self._next()
            return
        self._failed = 0
        if before is not None:
            self._let_go(before)
        self._next()

    def _next(self) -> None:
        """Give what waits to whoever is free. An idle worker that has ended is replaced before a request finds out."""
        assert self._loop is not None
        for gone in [one for one in self._workers if one.lost]:
            self._replace(gone)
        while (worker := next((one for one in self._workers if one.free), None)) is not None:
            request = self._pick()
            if request is None:
                return
            worker.busy, worker.slow = True, request.slow
            task = self._loop.create_task(self._serve(worker, request))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _pick(self) -> Request | None:
        """The request whose turn it is: quick ones first, slow ones never on all workers at once."""
        quick, slow = self._waiting[False], self._waiting[True]
        running = sum(worker.busy and worker.slow for worker in self._workers)
        warm = sum(worker.warm and not worker.leaving for worker in self._workers)
        alone = self.count == 1 or len(self._workers) == 1
        may = bool(slow) and running < (1 if alone else warm - 1)
        if may and (not quick or time.monotonic() - slow[0].asked > _PATIENCE):
            return slow.popleft()
        return quick.popleft() if quick else None

    async def _serve(self, worker: Worker, request: Request) -> None:
        try:
            outcome = worker.pool.submit(work.outcome, request.do, *request.args)
            future = asyncio.wrap_future(outcome)
            await asyncio.wait([future], timeout=request.limit)
            if not future.done():
                future.cancel()
                self._replace(worker)
                self._answer(request, TooLong(request.limit))
            else:
                found = future.result()
                worker.memory = found.memory
                self._answer(request, found)
        except BrokenProcessPool:
            self._replace(worker)
            if request.again:
                self._answer(request, Lost())
            else:
                request.again = True
                self._waiting[request.slow].appendleft(request)
        finally:
            worker.busy = worker.slow = False
            if not self._closed:
                self._let_go(worker)
                self._relieve(worker)
                self._next()

    def _relieve(self, worker: Worker) -> None:
        """Start who is to take the place of a worker that holds too much; one at a time, for each takes a core."""
        if worker in self._workers and worker.heavy and not any(one.heir for one in self._workers):
            worker.heir = self._started()

    def _let_go(self, worker: Worker) -> None:
        """End a worker whose place another has taken, once it has done what it is at."""
        if worker in self._workers and worker.leaving and not worker.busy:
            self._workers.remove(worker)
            worker.kill()

    def _replace(self, worker: Worker) -> None:
        if worker in self._workers:
            self._workers.remove(worker)
            worker.kill()
            self._fill()

    @staticmethod
    def _answer(request: Request, answer: Any) -> None:
        if request.answer.done():
            return
        if isinstance(answer, Exception):
            request.answer.set_exception(answer)
        else:
            request.answer.set_result(answer)

    def _log(self, line: str) -> None:
        """Say a thing once, and not too much in all."""
        if line not in self._said and len(self._said) < _MOST_LINES:
            self._said.add(line)
            sys.stderr.write(f"{line}\n")


__all__ = ["QUICK", "SLOW", "InputError", "Lost", "RunError", "TooLong", "Withdrawn", "Workers"]
