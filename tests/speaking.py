"""A browser's side of an open page, without the browser: the messages that Shiny's and the page's scripts send."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import websockets
from websockets.asyncio.client import ClientConnection, connect

OUTPUTS = {
    "curve": (879.0, 461.0),
    "headline": None,
    "pointer": None,
    "numbers": None,
    "evidence": None,
    "messages": None,
    "rows": None,
    "models": None,
    "command": None,
}


def hello(query: str = "", *, width: float = 879.0, height: float = 461.0) -> dict[str, Any]:
    """The first message of a page."""
    data: dict[str, Any] = {}
    for name, size in OUTPUTS.items():
        data[f".clientdata_output_{name}_hidden"] = False
        if size is not None:
            data[f".clientdata_output_{name}_width"] = width
            data[f".clientdata_output_{name}_height"] = height
    data |= {".clientdata_pixelratio": 1, ".clientdata_url_search": query, ".clientdata_url_protocol": "http:"}
    return {"method": "init", "data": data}


class Speaker:
    """An open page. ``shown`` is what its outputs show last, ``told`` the last message of each kind to its script."""

    def __init__(self, address: str, query: str = "", **look: float):
        self.address = address.replace("http://", "ws://") + "/websocket/"
        self.query = query
        self.look = look
        self.session = ""
        self.shown: dict[str, Any] = {}
        self.told: dict[str, Any] = {}
        self.errors: list[Any] = []
        self.count = 0
        self.pictures = 0
        self._changed = asyncio.Condition()
        self._done = 0
        self._connection: ClientConnection | None = None
        self._reader: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Speaker:
        self._connection = await connect(self.address, max_size=None, compression=None, open_timeout=60)
        self._reader = asyncio.create_task(self._read())
        await self.say(hello(self.query, **self.look))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._reader is not None and self._connection is not None
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)
        await self._connection.close()

    @property
    def open(self) -> bool:
        """Whether the server still answers."""
        return self._reader is not None and not self._reader.done()

    async def say(self, message: Any) -> None:
        """Send a message; text as it is."""
        assert self._connection is not None
        await self._connection.send(message if isinstance(message, (str, bytes)) else json.dumps(message))

    async def edit(self, changes: Mapping[str, Any], *, within: float = 120.0) -> float:
        """Change fields, and wait until that is done; s."""
        self.count += 1
        before, begin = self._done, time.perf_counter()
        await self.say({"method": "update", "data": {"edits": {"n": self.count, "edits": dict(changes)}}})
        await self.until(lambda: self._done > before, within)
        return time.perf_counter() - begin

    async def act(self, name: str, arg: str = "", fields: Mapping[str, Any] | None = None) -> None:
        """Press a button; what follows is to be waited for."""
        self.count += 1
        given = {"n": self.count, "act": name, "arg": arg, "fields": dict(fields or {})}
        await self.say({"method": "update", "data": {"act": given}})

    async def until(self, test: Any, within: float = 120.0) -> None:
        """Wait until something is so. Raises TimeoutError, or ConnectionError where the server has closed."""

        def seen() -> bool:
            if test():
                return True
            if not self.open:
                raise ConnectionError("the server has closed the page")
            return False

        async with asyncio.timeout(within), self._changed:
            await self._changed.wait_for(seen)

    @property
    def says(self) -> str:
        """The sentences at the top of the page, as HTML."""
        return str((self.shown.get("messages") or {}).get("html", ""))

    async def _read(self) -> None:
        assert self._connection is not None
        try:
            async for text in self._connection:
                message = json.loads(text)
                async with self._changed:
                    self._take(message)
                    self._changed.notify_all()
        except websockets.ConnectionClosed:
            pass
        finally:
            asyncio.get_running_loop().call_soon(asyncio.ensure_future, self._wake())

    async def _wake(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def _take(self, message: Mapping[str, Any]) -> None:
        if "config" in message:
            self.session = message["config"]["sessionId"]
        for name, value in (message.get("values") or {}).items():
            self.shown[name] = value
            self.pictures += name == "curve" and value is not None
        if message.get("errors"):
            self.errors.append(message["errors"])
        for kind, said in (message.get("custom") or {}).items():
            self.told[kind] = said
            self._done += kind == "done"
