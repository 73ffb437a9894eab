"""Bands of a population: computed beside the page, so that no drag waits for them."""

from __future__ import annotations

from shiny import reactive

from pkmodel.app import work
from pkmodel.app.page import Page
from pkmodel.app.state import State

#: Patients of the first, quick band.
FIRST = 100


def wire(page: Page) -> None:
    """Bands of a population: a quick one of a hundred, then the whole."""
    asked: dict[str, object] = {"key": None}

    async def refine(key: object, state: State) -> None:
        for n in dict.fromkeys((min(FIRST, state.crowd.n), state.crowd.n)):
            band = await page.run(work.band_of, state, n, slow=True)
            if asked["key"] != key:  # the page has moved on
                return
            page.band = band
            page.ask(page.redraw)

    @reactive.effect
    def _ask() -> None:
        shown = page.shown()
        with reactive.isolate():
            state = page.state()
        key = (shown.band_key, state.crowd)
        if key == asked["key"]:
            return
        asked["key"] = key
        if page.band is not None and page.band.key != shown.band_key:
            page.band = None
        if state.crowd.n:
            page.beside(refine(key, state))
