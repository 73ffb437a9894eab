"""Who is answered: the browser of this machine, on the page's own address, and nobody else.

Serving on 127.0.0.1 keeps other machines out. It does not keep out a page of another site that runs in the browser of
this one: that page may open connections to 127.0.0.1, or reach it under a name of its own (DNS rebinding). Both tell
themselves apart by their headers.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

#: The names of this machine for itself.
OWN = ("127.0.0.1", "localhost")


class OwnPagesOnly:
    """ASGI middleware that answers 403 where ``Host`` or ``Origin`` name anything but this machine."""

    def __init__(self, app: Any):
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass on what comes from the page itself."""
        if scope["type"] not in ("http", "websocket") or allowed(scope["headers"]):
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()  # the connection that is asked for
            await send({"type": "websocket.close", "code": 1008})
        else:
            await send({"type": "http.response.start", "status": 403, "headers": [(b"content-type", b"text/plain")]})
            await send(
                {"type": "http.response.body", "body": b"This page answers the browser of its own machine only."}
            )


def allowed(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether a request is for this machine and, where it says from which page it comes, from one of it."""
    said = {name.lower(): value.decode("latin-1") for name, value in headers}
    host = urlsplit(f"//{said.get(b'host', '')}").hostname
    origin = said.get(b"origin")
    return host in OWN and (origin is None or urlsplit(origin).hostname in OWN)
