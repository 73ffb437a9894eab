"""Bands of a population: computed beside the page, so that no drag waits for them."""

from __future__ import annotations

import asyncio
import contextvars
from typing import Any

from shiny import Session, reactive

from pkmodel.app import compute
from pkmodel.app.compute import Curves, crowd_key
from pkmodel.app.page import Page, sentences
from pkmodel.app.state import State
from pkmodel.errors import PkmodelError

#: Patients of the first, quick band.
FIRST = 100


def wire(page: Page, session: Session) -> None:
    """Bands of a population: a quick one of a hundred, then the whole; in a thread, so that no drag waits."""
    asked: dict[str, Any] = {"key": None, "task": None}

    async def refine(key: Any, state: State, shown: Curves) -> None:
        for n in dict.fromkeys((min(FIRST, state.crowd.n), state.crowd.n)):
            said: tuple[str, ...] = ()
            try:
                people = await asyncio.to_thread(compute.bands, state, shown, n)
            except PkmodelError as error:
                people, said = {}, sentences(error)
            if asked["key"] != key:  # the page has moved on
                return
            async with reactive.lock():
                page.people.set((key, people))
                if said:
                    page.said.set(said)
                await reactive.flush()
            if said:
                return

    @reactive.effect
    def _ask() -> None:
        state, shown = page.state(), page.shown()
        key = crowd_key(state, shown)
        if key == asked["key"]:
            return
        asked["key"] = key
        if state.crowd.n:
            # In a context of its own: what it sets later is no part of this effect.
            asked["task"] = asyncio.create_task(refine(key, state, shown), context=contextvars.Context())

    session.on_ended(lambda: asked.update(key=None))
