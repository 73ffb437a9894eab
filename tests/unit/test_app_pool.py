"""Workers of the page: limits of time and memory, workers that are lost, whose turn it is, and that none is left."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import psutil
import pytest

from pkmodel.app import work, worker
from pkmodel.app.pool import Lost, TooLong, Withdrawn, Workers
from pkmodel.errors import InputError, Problem, RunError


def nothing() -> None:
    """Warm at once."""


def bounded() -> None:
    """Warm at once, with the bound of memory."""
    work._bound_memory()


def double(value: int) -> int:
    return 2 * value


def doze(seconds: float) -> str:
    time.sleep(seconds)
    return "rested"


def wrong() -> None:
    raise InputError(Problem("a hat", "a dose", path="dose", nearest="cap"))


def gave_up() -> None:
    raise RunError("the solver gave up")


def mistaken() -> float:
    return 1 / len("")


def greedy() -> int:
    return len(bytearray(work.MOST_MEMORY + (1 << 20)))


HOARD: list[bytearray] = []


def hoard(size: int) -> int:
    """Keep so many bytes, as a cache that nobody bounds."""
    HOARD.append(bytearray(b"x" * size))
    return os.getpid()


def nap() -> None:
    """Warm after a while."""
    time.sleep(1.0)


def die_once(marker: str) -> str:
    """End at the first try as if killed for want of memory."""
    if not os.path.exists(marker):  # noqa: PTH110
        with open(marker, "w", encoding="utf-8"):  # noqa: PTH123
            os.kill(os.getpid(), signal.SIGKILL)
    return "there"


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    made = Workers(2, warm=bounded)
    made.start()
    yield made
    made.close()


def _run(do: Callable[[], Awaitable[Any]]) -> Any:
    async def whole() -> Any:
        return await do()

    return asyncio.run(whole())


async def _ended(pid: int) -> None:
    """Wait until a process that was killed has been tidied away: the system takes a moment."""
    async with asyncio.timeout(60):
        while psutil.pid_exists(pid):
            await asyncio.sleep(0.01)


def test_an_answer_and_every_kind_of_error_come_back(workers: Workers, capfd: pytest.CaptureFixture[str]) -> None:
    async def all_of_them() -> None:
        assert await workers.run(double, 21, owner="a") == 42
        with pytest.raises(InputError) as caught:
            await workers.run(wrong, owner="a")
        assert str(caught.value) == "dose  found a hat  expected a dose  nearest cap"
        with pytest.raises(RunError, match="the solver gave up"):
            await workers.run(gave_up, owner="a")
        for _ in range(3):
            with pytest.raises(RunError, match="its log says which"):
                await workers.run(mistaken, owner="a")
        with pytest.raises(RunError, match="more memory"):
            await workers.run(greedy, owner="a")

    _run(all_of_them)
    (line,) = capfd.readouterr().err.splitlines()  # once, and no more
    assert line.startswith("ZeroDivisionError: division by zero (test_app_pool.py:")


@pytest.mark.parametrize("which", [0, 1])
def test_an_idle_worker_that_ends_is_replaced_by_the_next_request(workers: Workers, which: int) -> None:
    """Whoever it is, and though the request goes to another one."""

    async def one_is_killed() -> None:
        await workers.run(double, 0, owner="a")
        while workers.free < 2:
            await asyncio.sleep(0.05)
        killed = workers.pids[which]
        os.kill(killed, signal.SIGKILL)
        await _ended(killed)
        assert await workers.run(double, 1, owner="a") == 2
        assert len(workers.pids) == 2 and killed not in workers.pids

    _run(one_is_killed)


def test_what_takes_too_long_is_ended_while_others_are_answered(workers: Workers) -> None:
    async def one_dozes() -> None:
        await workers.run(double, 0, owner="a")
        while workers.free < 2:  # the second is still starting
            await asyncio.sleep(0.05)
        before = set(workers.pids)
        dozing = asyncio.create_task(workers.run(doze, 600.0, owner="a", limit=1.0))
        await asyncio.sleep(0.1)
        assert await workers.run(double, 1, owner="b") == 2
        assert not dozing.done()
        with pytest.raises(TooLong, match="longer than 1 s"):
            await dozing
        assert await workers.run(double, 2, owner="a") == 4
        after = set(workers.pids)
        assert len(after) == 2 and len(before - after) == 1
        (killed,) = before - after
        await _ended(killed)

    _run(one_dozes)


def test_a_lost_worker_is_replaced_and_its_request_tried_once_more(workers: Workers, tmp_path: Any) -> None:
    async def some_die() -> None:
        assert await workers.run(die_once, str(tmp_path / "marker"), owner="a") == "there"
        with pytest.raises(Lost, match="has been replaced"):
            await workers.run(die, owner="a")
        assert await workers.run(double, 3, owner="a") == 6

    _run(some_die)


def test_slow_requests_leave_a_worker_to_quick_ones_and_what_waits_can_be_withdrawn(workers: Workers) -> None:
    async def many() -> None:
        await workers.run(double, 0, owner="q")
        while workers.free < 2:  # the second is still starting
            await asyncio.sleep(0.05)
        slow = [asyncio.create_task(workers.run(doze, 1.0, owner=name, slow=True)) for name in "abc"]
        await asyncio.sleep(0.05)
        assert [await workers.run(double, value, owner="q") for value in range(5)] == [0, 2, 4, 6, 8]
        assert not slow[1].done()  # one after the other, on one worker
        assert workers.withdraw("c") and not workers.withdraw("c")
        assert workers.waiting <= 1
        with pytest.raises(Withdrawn):
            await slow[2]
        assert await asyncio.gather(*slow[:2]) == ["rested", "rested"]

    _run(many)


def test_a_worker_that_holds_too_much_goes_when_a_warm_one_has_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "MOST_MORE", 32 << 20)
    made = Workers(2, warm=nap)

    async def one_hoards() -> None:
        while made.free < 2:
            await made.run(double, 0, owner="a")
            await asyncio.sleep(0.05)
        before = set(made.pids)
        heavy = await made.run(hoard, 64 << 20, owner="a")
        during = set(made.pids)
        assert before < during and len(during) == 3  # nobody has gone, and one is coming
        assert await made.run(double, 1, owner="a") == 2
        while heavy in made.pids:
            assert made.free >= 2
            await asyncio.sleep(0.01)
        assert set(made.pids) == during - {heavy}
        assert made.free == 2
        assert await made.run(hoard, 1, owner="a") != heavy
        assert len(made.pids) == 2

    try:
        made.start()
        _run(one_hoards)
    finally:
        made.close()


def test_the_only_warm_worker_is_for_quick_requests_while_others_are_starting() -> None:
    made = Workers(2, warm=nap)

    async def slow_and_quick() -> None:
        slow = asyncio.create_task(made.run(doze, 0.1, owner="a", slow=True))
        await asyncio.sleep(0)
        assert await made.run(double, 1, owner="b") == 2
        assert made.waiting == 1 and made.free == 1
        assert await slow == "rested"

    try:
        made.start()
        _run(slow_and_quick)
    finally:
        made.close()


def test_workers_end_with_a_server_that_is_killed() -> None:
    code = (
        "import sys, time, concurrent.futures as c, multiprocessing as m, os\n"
        "from pkmodel.app import work\n"
        "if __name__ == '__main__':\n"
        "    pool = c.ProcessPoolExecutor(1, mp_context=m.get_context('spawn'), initializer=work.begin)\n"
        "    print(pool.submit(os.getpid).result(), flush=True)\n"
        "    time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
        assert server.stdout is not None
        ours = psutil.Process(int(server.stdout.readline()))
        assert ours.is_running()
        server.kill()
    assert psutil.wait_procs([ours], timeout=30)[1] == []


def test_a_worker_that_cannot_start_is_an_error_and_no_loop() -> None:
    with pytest.raises(RunError, match="could not start"):
        Workers(1, warm=mistaken).start()  # type: ignore[arg-type]
    with pytest.raises(RunError, match="ended while it started"):
        Workers(1, warm=die).start()
