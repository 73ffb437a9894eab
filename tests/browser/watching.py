"""What a page does while a test looks at it: errors, requests that leave the machine, barriers to access."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import BrowserContext, Page

HERE = ("127.0.0.1", "localhost")
INSIDE = ("file", "data", "blob", "about", "chrome-error")
GRAVE = ("serious", "critical")


@dataclass
class Watch:
    """What went wrong on the pages of a context: said in its console, thrown, or asked of another machine.

    A test that means to provoke an error takes it out of ``errors`` after it has looked at it.
    """

    errors: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)

    def follow(self, context: BrowserContext) -> None:
        """Record what every page of the context says and asks for."""
        context.on("request", lambda request: self._asked(request.url))
        context.on("console", lambda said: self.errors.append(said.text) if said.type == "error" else None)
        context.on("weberror", lambda thrown: self.errors.append(f"{thrown.error}"))
        context.on("page", lambda page: page.on("websocket", lambda socket: self._asked(socket.url)))

    def _asked(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in INSIDE and parts.hostname not in HERE:
            self.outside.append(url)

    def assert_quiet(self) -> None:
        """Fail where anything was recorded."""
        assert not self.outside, f"asked of other machines: {self.outside}"
        assert not self.errors, f"errors on the page: {self.errors}"


def violations(page: Page) -> list[dict[str, Any]]:
    """What axe-core finds on a page, of every impact.

    It is put in through the debugger, so that a page whose policy forbids scripts can be judged as it is.
    """
    session = page.context.new_cdp_session(page)
    session.send("Runtime.evaluate", {"expression": AXE_SCRIPT})
    asked = json.dumps({"resultTypes": ["violations"]})
    answer = session.send(
        "Runtime.evaluate",
        {"expression": f"axe.run({asked})", "awaitPromise": True, "returnByValue": True},
    )
    session.detach()
    assert "exceptionDetails" not in answer, answer["exceptionDetails"]
    return list(answer["result"]["value"]["violations"])


def assert_accessible(page: Page, *, except_for: tuple[str, ...] = ()) -> None:
    """Fail where axe-core finds something serious or critical on the page, and say what and where.

    ``except_for`` names rules of axe that do not count (say in the test why).
    """
    said = []
    for found in violations(page):
        if found["impact"] in GRAVE and found["id"] not in except_for:
            said.append(f"{found['impact']}: {found['id']}: {found['help']} ({found['helpUrl']})")
            for node in found["nodes"][:5]:
                said.append(f"    {node['target']}: {node['html'][:200]}\n        {node['failureSummary']}")
    assert not said, "not accessible:\n" + "\n".join(said)
