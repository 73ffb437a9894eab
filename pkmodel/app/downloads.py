"""What leaves the page: picture, table, protocols, the command line."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

from htmltools import Tag, tags
from shiny import reactive, render, ui

from pkmodel.app import take_away, work
from pkmodel.app.page import Page
from pkmodel.errors import PkmodelError


async def made(page: Page, do: Callable[..., Any], *args: Any) -> AsyncIterator[Any]:
    """What a worker makes as the content of a file; nothing, and a sentence on the page, where it cannot."""
    try:
        yield await page.run(do, *args, slow=True)
    except PkmodelError as error:
        await page.refuse(error)


def wire(page: Page) -> None:
    """What leaves the page."""

    @render.download_link(filename="pkmodel.png")
    def png() -> Any:
        state = page.history.now
        return made(page, work.png_of, state, page.band if state.crowd.n else None)

    @render.download_link(filename="levels.csv")
    def csv() -> Any:
        return made(page, work.csv_of, page.history.now)

    def file(key: Any) -> Any:
        with reactive.isolate():
            yield page.shown().files.get(key, "")

    @render.download_link(filename=lambda: take_away.yaml_name(page.history.now, "a"))
    def yaml_a() -> Any:
        return file("a")

    @render.download_link(filename=lambda: take_away.yaml_name(page.history.now, "b"))
    def yaml_b() -> Any:
        return file("b")

    @render.ui
    def yaml_b_link() -> Tag | None:
        return ui.download_link("yaml_b", "Protocol B (YAML)", class_="button") if page.state().b is not None else None

    commands = page.part(lambda shown: shown.commands)
    files = page.part(lambda shown: shown.files)

    @render.ui
    def command() -> Tag:
        return tags.pre("\n".join(commands()), id="command-text", tabindex="0")

    @render.ui
    def yaml_text() -> Tag:
        return tags.div(*(tags.pre(text, tabindex="0") for text in files().values()))
