"""The page at work: what the user does becomes a new state, and the state becomes curves, numbers and texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from shiny import Inputs, Outputs, Session, reactive

from pkmodel.app import controls, crowd, downloads, lessons_tab, rows, stage, suggest_tab
from pkmodel.app.kept import Kept
from pkmodel.app.page import Page
from pkmodel.app.pool import Workers
from pkmodel.app.presets import PRESETS
from pkmodel.app.stage import hours_of
from pkmodel.app.state import State


def server_of(workers: Workers) -> Callable[[Inputs, Outputs, Session], None]:
    """What Shiny calls for every browser; all of them share the workers, and what is kept."""
    kept = Kept()

    def server(input: Inputs, output: Outputs, session: Session) -> None:
        _wire(Page(session, workers, kept), input, session)

    return server


def _wire(page: Page, input: Inputs, session: Session) -> None:
    """Wire one browser's page."""
    started = reactive.value(False, name="started")
    suggesting = suggest_tab.wire(page)
    teaching = lessons_tab.wire(page, session)
    stage.wire(page, input, session)

    @reactive.effect
    def _begin() -> None:
        if started():
            return
        with reactive.isolate():
            query = session.clientdata.url_search()
            started.set(True)
            page.ask(partial(page.begin, query))

    @reactive.effect
    @reactive.event(input.edits)
    def _edit() -> None:
        page.ask_edits(input.edits()["edits"])

    @reactive.effect
    @reactive.event(input.act)
    def _act() -> None:
        given = input.act()
        page.ask(partial(_do, given["act"], given["arg"], given["fields"]))

    async def _do(name: str, arg: str, fields: Mapping[str, Any]) -> None:
        state = page.history.now
        match name:
            case "undo" | "redo":
                await page.step(forth=name == "redo")
            case "reset":
                await page.take(State(), anew=True)
            case "preset" if arg in PRESETS:
                await page.take(state.model_copy(update={"person": PRESETS[arg]}), anew=True)
            case "add":
                await page.add()
            case "remove" if arg.isdecimal() and len(arg) < 6:
                await page.remove(int(arg))
            case "rows":
                await page.show_rows()
            case "beside":
                view = state.view.model_copy(update={"arm": "b"})
                await page.take(state.model_copy(update={"b": state.a, "view": view}), anew=True)
            case "alone":
                view = state.view.model_copy(update={"arm": "a"})
                await page.take(state.model_copy(update={"b": None, "view": view}), anew=True)
            case "arm" if arg in state.arms:
                view = state.view.model_copy(update={"arm": arg})
                await page.take(state.model_copy(update={"view": view}), anew=True)
            case "swap" if state.b is not None:
                await page.take(state.model_copy(update={"a": state.b, "b": state.a}), anew=True)
            case "suggest" | "follow":
                await suggesting(name, fields)
            case _:
                await teaching(name, arg, fields)

    @reactive.effect
    @reactive.event(input.curve_click)
    def _click() -> None:
        if page.now is not None and (at := hours_of(input.curve_click(), page.now.until)) is not None:
            page.ask(partial(page.add, rows.clicked(at, page.now.until)))

    @reactive.effect
    @reactive.event(input.curve_dblclick)
    def _double() -> None:
        if page.now is not None and (at := hours_of(input.curve_dblclick(), page.now.until)) is not None:
            page.ask(partial(page.point, at))

    crowd.wire(page)
    controls.wire(page)
    downloads.wire(page)
