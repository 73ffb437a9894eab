"""What leaves the page: picture, table, protocols, the command line."""

from __future__ import annotations

from typing import Any

from htmltools import Tag, tags
from shiny import reactive, render, ui

from pkmodel.app import take_away
from pkmodel.app.page import Page
from pkmodel.app.picture import drawn, figure_of


def wire(page: Page) -> None:
    """What leaves the page."""

    @render.download_link(filename="pkmodel.png")
    def png() -> Any:
        with reactive.isolate():
            state, shown, people = page.state(), page.shown(), page.band()
        yield drawn(figure_of(state, shown, people, 1100, 640, foot=True), 2.0).png

    @render.download_link(filename="levels.csv")
    def csv() -> Any:
        with reactive.isolate():
            shown = page.shown()
        yield take_away.csv_text(shown)

    @render.download_link(filename=lambda: take_away.yaml_name(page.history.now, "a"))
    def yaml_a() -> Any:
        yield take_away.yaml_text(page.history.now, "a")

    @render.download_link(filename=lambda: take_away.yaml_name(page.history.now, "b"))
    def yaml_b() -> Any:
        yield take_away.yaml_text(page.history.now, "b")

    @render.ui
    def yaml_b_link() -> Tag | None:
        return ui.download_link("yaml_b", "Protocol B (YAML)", class_="button") if page.state().b is not None else None

    @render.ui
    def command() -> Tag:
        lines = take_away.command_lines(page.state(), page.shown())
        return tags.pre("\n".join(lines), id="command-text", tabindex="0")

    @render.ui
    def yaml_text() -> Tag:
        state = page.state()
        return tags.div(*(tags.pre(take_away.yaml_text(state, key), tabindex="0") for key in state.arms))
