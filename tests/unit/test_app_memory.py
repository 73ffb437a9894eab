"""Memory of the page: pages that have ended are gone, an open one does not grow, and what is freed is given back."""

from __future__ import annotations

import asyncio
import gc
import pickle
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
from shiny.reactive._core import Context, _reactive_environment
from shiny.session._session import AppSession
from speaking import Speaker

from pkmodel.app import memory, work
from pkmodel.app.page import Page
from pkmodel.app.pool import Workers
from pkmodel.app.serve import application
from pkmodel.app.shown import Band
from pkmodel.app.state import Crowd, State


class Here(Workers):
    """No processes: what is asked is done at once, in this one."""

    async def run(self, do: Callable[..., Any], *args: Any, **_: Any) -> Any:
        await asyncio.sleep(0)
        return do(*args)


@pytest.fixture
def _no_collector() -> Iterator[None]:
    """What is collected is collected by the page."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@asynccontextmanager
async def _serving() -> AsyncIterator[str]:
    """The page, served by this process."""
    _reactive_environment._lock = None  # it is of the loop of the test before
    server = uvicorn.Server(uvicorn.Config(application(Here(1)), port=0, log_level="error"))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving


def _alive(kind: type) -> int:
    return sum(type(one) is kind for one in gc.get_objects())


async def _played(address: str) -> None:
    async with Speaker(address) as one:
        await one.until(lambda: one.pictures)
        await one.edit({"person.weight": "81"})
        assert not one.errors


@pytest.mark.usefixtures("_no_collector")
def test_pages_that_have_ended_are_gone() -> None:
    async def lesson() -> None:
        async with _serving() as address:
            async with Speaker(address) as stays:
                await stays.until(lambda: stays.pictures)
                for _ in range(2 * memory.TOGETHER + 2):
                    await _played(address)
                await stays.edit({"person.weight": "82"})
                assert 1 <= _alive(AppSession) <= memory.TOGETHER + 1
                assert 1 <= _alive(Page) <= memory.TOGETHER + 1
            async with asyncio.timeout(60):
                while _alive(AppSession) + _alive(Page):  # the last of them ends a moment after it was left
                    await asyncio.sleep(0.1)

    asyncio.run(lesson())


def test_a_page_that_is_open_does_not_grow_with_what_is_done_on_it() -> None:
    async def lesson() -> None:
        async with _serving() as address, Speaker(address) as one:
            await one.until(lambda: one.pictures)
            looks = []
            for _ in range(2):
                for step in range(20):
                    await one.edit({"person.weight": str(70 + step)})
                    await one.say({"method": "update", "data": {"curve_hover": {"x": 0.1 * step}}})
                await one.edit({"person.weight": "75"})
                gc.collect()
                looks.append(_alive(Context))
            assert looks[1] <= looks[0] + 5

    asyncio.run(lesson())


def test_the_server_hands_a_band_on_without_what_draws() -> None:
    """It is loaded by the workers; in the server it would keep everybody waiting, and take as much again."""
    band = work.band_of(State(crowd=Crowd(n=10)), 10)
    assert set(pickle.loads(pickle.dumps(band)).summaries) == set(band.summaries) != set()
    code = (
        "import pickle, sys, pkmodel.app.server\n"
        "band = pickle.loads(sys.stdin.buffer.read())\n"
        "print(band.n, [name for name in ('matplotlib', 'numba') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(band), capture_output=True, check=True)
    assert isinstance(band, Band)
    assert done.stdout.split(maxsplit=1)[0] == b"10" and b"matplotlib" not in done.stdout


def test_a_process_gives_back_what_it_can_where_it_has_grown(monkeypatch: pytest.MonkeyPatch) -> None:
    mb = 1 << 20
    sizes = iter([300 * mb, 280 * mb, 290 * mb, 270 * mb, 287 * mb, 275 * mb])
    given = []
    monkeypatch.setattr(memory, "_after", 0)
    monkeypatch.setattr(memory, "resident", lambda: next(sizes))
    monkeypatch.setattr(memory, "give_back", lambda: given.append(memory._after))
    assert memory.held() == 280 * mb  # from nothing to 300, and 20 of them were free
    assert memory.held() == 290 * mb
    assert memory.held() == 270 * mb
    assert memory.held() == 275 * mb  # 17 more than it once was
    assert given == [0, 270 * mb]


@pytest.mark.skipif(memory._trim() is None or not memory.resident(), reason="only the C library of GNU gives back")
def test_what_is_free_goes_back_to_the_system() -> None:
    code = (
        "from pkmodel.app import memory\n"
        "made = [bytes(1000) for _ in range(100_000)]\n"
        "del made[:-1]\n"  # the last one stands above all that is free
        "full = memory.resident()\n"
        "memory.give_back()\n"
        "print(full - memory.resident())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 50_000_000
