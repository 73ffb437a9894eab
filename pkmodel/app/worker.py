"""One process that computes for the page: what it is asked, and what the server knows of it."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pkmodel.app import work

#: Bytes that a worker may hold beyond what it held when it was warm; one that holds more is followed by a fresh one.
MOST_MORE = 256 << 20


@dataclass(eq=False)
class Request:
    """What a worker is to do; ``answer`` is done when it is done."""

    do: Callable[..., Any]
    args: tuple[Any, ...]
    owner: Hashable
    slow: bool
    limit: float
    asked: float
    answer: asyncio.Future[Any]
    again: bool = False
    """Whether it was tried before, on a worker that was lost."""


class Worker:
    """A process of its own; ``ready`` is done when it is warm."""

    def __init__(self, warm: Callable[[], None]) -> None:
        before = set(multiprocessing.active_children())
        # A fork would copy the server's open connections into the worker.
        self.pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"), initializer=work.begin)
        self.ready: Future[work.Outcome] = self.pool.submit(work.outcome, warm)
        (self.process,) = set(multiprocessing.active_children()) - before
        self.busy = False
        self.slow = False
        self.memory = 0
        """Bytes that it held after its last answer."""
        self.heir: Worker | None = None
        """Who takes its place as soon as it is warm."""

    @property
    def warm(self) -> bool:
        """Whether it has computed once."""
        return self.ready.done() and self.ready.exception() is None

    @property
    def leaving(self) -> bool:
        """Whether it gets nothing more to do, because who takes its place is warm."""
        return self.heir is not None and self.heir.warm

    @property
    def free(self) -> bool:
        """Whether it may be given something to do."""
        return self.warm and not self.busy and not self.leaving

    @property
    def heavy(self) -> bool:
        """Whether it holds so much that a fresh one is to take its place."""
        return self.warm and self.memory > self.ready.result().memory + MOST_MORE

    @property
    def lost(self) -> bool:
        """Whether it has ended while it had nothing to do; where it had, its request finds out."""
        try:
            return self.warm and not self.busy and self.process.exitcode is not None
        except ValueError:  # it was tidied away
            return True

    def kill(self) -> None:
        """End it, at once."""
        with suppress(ValueError):  # it has ended and was tidied away
            self.process.kill()
        self.pool.shutdown(wait=False, cancel_futures=True)
