"""Who is answered: the browser of this machine, on the page's own address, and nobody else; and with which headers.

Serving on 127.0.0.1 keeps other machines out. It does not keep out a page of another site that runs in the browser of
this one: that page may open connections to 127.0.0.1, or reach it under a name of its own (DNS rebinding). Both tell
themselves apart by their headers.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from pkmodel.app.connection import Connections

#: The names of this machine for itself.
OWN = ("127.0.0.1", "localhost")
#: How a page is asked for; it takes nothing.
METHODS = ("GET", "HEAD")
#: Scripts and connections of the page's own address alone, no plug-ins, no frame around it; styles may stand in
#: elements (Shiny and the page set widths), pictures in the text itself.
_POLICY = (
    "default-src 'none'; script-src 'self'{scripts}; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self' ws://127.0.0.1:* ws://localhost:*; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; object-src 'none'"
)
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


Header = tuple[bytes, bytes]
_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)


def headers_for(page: str) -> tuple[Header, ...]:
    """The headers of every answer; scripts that stand in the page (Shiny has one) may run, each known by its hash."""
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in _SCRIPT.findall(page)]
    policy = _POLICY.format(scripts="".join(f" 'sha256-{one}'" for one in hashes))
    return ((b"content-security-policy", policy.encode()), *_HEADERS)


class OwnPagesOnly:
    """ASGI middleware: 403 where ``Host`` or ``Origin`` name anything but this machine, 405 for what does not read.

    Every answer has the headers of :func:`headers_for` the page; what open pages say is looked at by
    :class:`pkmodel.app.connection.Connections`.
    """

    def __init__(self, app: Any, page: str = ""):
        self.app = app
        self.connections = Connections(app)
        self.headers = headers_for(page)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass on what comes from the page itself."""
        if scope["type"] == "websocket":
            if allowed(scope["headers"]):
                await self.connections(scope, receive, send)
            else:
                await receive()  # the connection that is asked for
                await send({"type": "websocket.close", "code": 1008})
        elif scope["type"] != "http":
            await self.app(scope, receive, send)
        elif not allowed(scope["headers"]):
            await self._refuse(send, 403, b"This page answers the browser of its own machine only.")
        elif scope["method"] not in METHODS:
            await self._refuse(send, 405, b"This page is read only.", (b"allow", ", ".join(METHODS).encode()))
        else:
            # The page reads its own link; Shiny shall not take parts of it for a state of its own.
            await self.app({**scope, "query_string": b""}, receive, self._with_headers(send))

    def _with_headers(self, send: Any) -> Any:
        async def sent(message: Any) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *self.headers]}
            await send(message)

        return sent

    async def _refuse(self, send: Any, status: int, why: bytes, *more: Header) -> None:
        headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(why)).encode()), *self.headers, *more]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": why})


def allowed(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether a request is for this machine and, where it says from which page it comes, from one of it."""
    said = {name.lower(): value.decode("latin-1") for name, value in headers}
    try:
        host = urlsplit(f"//{said.get(b'host', '')}").hostname
        origin = said.get(b"origin")
        return host in OWN and (origin is None or urlsplit(origin).hostname in OWN)
    except ValueError:  # "[", say
        return False
