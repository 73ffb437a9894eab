"""A class on the page for a few seconds: everybody is answered, and what they opened is given back."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import psutil
import pytest
from serving import Served
from speaking import Speaker

pytestmark = pytest.mark.xdist_group("page")  # one server for all tests of the page


def test_eight_pages_at_once_are_answered_and_leave_nothing(page_served: Served) -> None:
    async def pupil(number: int) -> int:
        async with Speaker(page_served.address) as speaker:
            await speaker.until(lambda: speaker.pictures)
            for step in range(4):
                weight = 50 + 5 * number + step
                await speaker.edit({"person.weight": weight, "crowd.n": "100" if number % 4 == 0 else "0"})
                await speaker.act("undo")
            await speaker.edit({"@.protocol": "iv_single"})
            assert "ketamine peaks at" in speaker.shown["headline"]
            assert not speaker.errors
            return speaker.count

    async def lesson() -> int:
        return sum(await asyncio.gather(*map(pupil, range(8))))

    asyncio.run(lesson())
    own = page_served.family()[0]
    before = own.num_fds()
    for _ in range(2):
        assert asyncio.run(lesson()) == 8 * 9
    until = time.monotonic() + 30
    while own.num_fds() > before + 4 and time.monotonic() < until:  # connections are closed a moment later
        time.sleep(0.1)
    assert own.num_fds() <= before + 4
    assert len(page_served.workers()) >= 2


def test_a_worker_that_is_killed_is_replaced_and_nobody_notices(page_served: Served) -> None:
    async def one() -> None:
        async with Speaker(page_served.address) as speaker:
            await speaker.until(lambda: speaker.pictures)
            before = page_served.workers()
            os.kill(before[0].pid, signal.SIGKILL)
            psutil.wait_procs(before[:1], timeout=20)
            for weight in range(91, 95):
                await speaker.edit({"person.weight": weight})
                assert speaker.told["link"] and not speaker.says.count("<p>")
            assert len(page_served.workers()) == len(before)

    asyncio.run(one())
