"""``pkmodel app``: the page for teaching."""

from __future__ import annotations

from typing import Annotated

import typer


def app(
    port: Annotated[int | None, typer.Option(help="Port to serve on [8765, or the next free one].")] = None,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in the browser.")] = True,
) -> None:
    """Serve the page for teaching on this machine: drag, click, compare, predict. Needs the extra `app`."""
    from pkmodel.app.serve import serve

    serve(port, browser=browser)
