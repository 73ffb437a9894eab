"""The open connection of a page: what comes in is read first, and who does not take what goes out keeps nobody waiting.

Shiny sends while it holds the lock of everybody's pages: a browser that stops reading would stop them all. Here what
goes out waits in a queue of its own connection, and a connection whose queue is too long is closed.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import Any

from pkmodel.app.memory import Ended
from pkmodel.app.messages import Illegal, Reader

#: Bytes that may wait for a browser, seconds that one message may take, seconds until a page must have said hello.
MOST_WAITING, SLOWEST, HELLO = 16 << 20, 60.0, 30.0
#: Bytes of the largest message that is read (the server's own limit); pages that are open at once.
MOST_MESSAGE, MOST_PAGES = 256 << 10, 200
#: What Shiny sends to every page whenever anything happens on any of them.
_NOTHING = '{"values": {}, "inputMessages": [], "errors": {}}'
#: Codes of closing (RFC 6455): not allowed, try again later.
_NOT_ALLOWED, _LATER = 1008, 1013


class Connections:
    """ASGI application of websockets around another one."""

    def __init__(self, app: Any, most_pages: int = MOST_PAGES):
        self.app = app
        self.open = 0
        self._ended = Ended()
        self._most = most_pages

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """One page, from its opening to its end."""
        if self.open >= self._most:
            await receive()  # the connection that is asked for
            await send({"type": "websocket.close", "code": _LATER})
            return
        self.open += 1
        line = _Line(receive, send)
        try:
            await self.app(scope, line.receive, line.send)
        finally:
            self.open -= 1
            await line.end()
            self._ended.one(self.open)


class _Line:
    """Both directions of one connection."""

    def __init__(self, receive: Any, send: Any):
        self._receive = receive
        self._send = send
        self._reader = Reader()
        self._begun = False
        self._waiting: deque[Any] = deque()
        self._bytes = 0
        self._some = asyncio.Event()
        self._gone = asyncio.Event()
        self._sender = asyncio.create_task(self._sending())

    async def send(self, message: Any) -> None:
        """Let a message go out when the browser takes it."""
        if self._gone.is_set() or message.get("text") == _NOTHING:
            return
        self._bytes += len(message.get("text") or message.get("bytes") or b"")
        if self._bytes > MOST_WAITING:
            self._gone.set()
            return
        self._waiting.append(message)
        self._some.set()

    async def receive(self) -> Any:
        """The next message that is one; the end of the connection where the browser sends what no page sends."""
        while True:
            message = await self._next()
            if message["type"] != "websocket.receive":
                return message
            text = message.get("text")
            try:
                if not isinstance(text, str):
                    raise Illegal("no text")
                text = self._reader.read(text)
            except Illegal:
                await self.send({"type": "websocket.close", "code": _NOT_ALLOWED})
                return {"type": "websocket.disconnect", "code": _NOT_ALLOWED}
            self._begun = True
            if text is not None:
                return {"type": "websocket.receive", "text": text}

    async def end(self) -> None:
        """Let what waits go out, for a moment, and stop."""
        if self._waiting and not self._gone.is_set():
            self._some.set()
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._drained(), 2.0)
        self._sender.cancel()
        await asyncio.gather(self._sender, return_exceptions=True)

    async def _next(self) -> Any:
        incoming = asyncio.ensure_future(self._receive())
        gone = asyncio.ensure_future(self._gone.wait())
        try:
            await asyncio.wait(
                {incoming, gone},
                timeout=None if self._begun else HELLO,
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            gone.cancel()
            if not incoming.done():
                incoming.cancel()
        if incoming.done() and not incoming.cancelled():
            return incoming.result()
        return {"type": "websocket.disconnect", "code": _NOT_ALLOWED}

    async def _drained(self) -> None:
        while self._waiting and not self._gone.is_set():
            await asyncio.sleep(0.01)

    async def _sending(self) -> None:
        while not self._gone.is_set():
            await self._some.wait()
            self._some.clear()
            while self._waiting:
                message = self._waiting[0]
                try:
                    async with asyncio.timeout(SLOWEST):
                        await self._send(message)
                except Exception:  # closed, or nobody reads at the other end
                    self._gone.set()
                    return
                self._waiting.popleft()
                self._bytes -= len(message.get("text") or message.get("bytes") or b"")
