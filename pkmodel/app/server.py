"""The page at work: what the user does becomes a new state, and the state becomes curves, numbers and texts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shiny import Inputs, Outputs, Session, reactive

from pkmodel.app import controls, crowd, downloads, lessons_tab, rows, stage, suggest_tab
from pkmodel.app.page import Page
from pkmodel.app.presets import PRESETS
from pkmodel.app.stage import hours_of
from pkmodel.app.state import State


def server(input: Inputs, output: Outputs, session: Session) -> None:
    """Wire one browser's page."""
    page = Page(session)
    started = reactive.value(False)
    suggesting = suggest_tab.wire(page, session)
    teaching = lessons_tab.wire(page, session)

    @reactive.effect
    async def _begin() -> None:
        if started():
            return
        with reactive.isolate():
            query = session.clientdata.url_search()
            started.set(True)
            await page.begin(query)

    @reactive.effect
    @reactive.event(input.edits)
    async def _edit() -> None:
        given = input.edits()
        edits = given.get("edits") if isinstance(given, dict) else None
        if isinstance(edits, dict) and len(edits) < 200:
            await page.edit({str(path): value for path, value in edits.items()})

    @reactive.effect
    @reactive.event(input.act)
    async def _act() -> None:
        given = input.act()
        if isinstance(given, dict):
            await _do(str(given.get("act")), str(given.get("arg", "")), given.get("fields") or {})

    async def _do(name: str, arg: str, fields: Mapping[str, Any]) -> None:
        state = page.history.now
        match name:
            case "undo":
                if page.history.undo():
                    await page.show()
            case "redo":
                if page.history.redo():
                    await page.show()
            case "reset":
                await page.take(State(), anew=True)
            case "preset" if arg in PRESETS:
                await page.take(state.model_copy(update={"person": PRESETS[arg]}), anew=True)
            case "add":
                await page.add()
            case "remove" if arg.isdigit():
                await page.remove(int(arg))
            case "rows":
                found = await page.by_rows()
                if found is not None and await page.take(state.with_arm(found[0]), anew=True) and found[1]:
                    page.said.set(tuple(found[1]))
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
                await suggesting(name, arg, fields)
            case _:
                await teaching(name, arg, fields)

    @reactive.effect
    @reactive.event(input.curve_click)
    async def _click() -> None:
        at = hours_of(input.curve_click())
        if at is not None:
            await page.add(rows.clicked(at, page.shown().until))

    @reactive.effect
    @reactive.event(input.curve_dblclick)
    async def _double() -> None:
        at = hours_of(input.curve_dblclick())
        if at is not None:
            await page.point(at)

    crowd.wire(page, session)
    stage.wire(page, input, session)
    controls.wire(page)
    downloads.wire(page)
