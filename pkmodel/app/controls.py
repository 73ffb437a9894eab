"""The parts of the tabs that follow the state: which arm, which rows, which models and effects fit."""

from __future__ import annotations

from collections.abc import Sequence

from htmltools import HTML, Tag, TagList, tags
from shiny import reactive, render

from pkmodel.app import tables
from pkmodel.app.inputs import act, choice, ticks
from pkmodel.app.page import Page


def wire(page: Page) -> None:
    """The parts of the tabs that follow the state."""

    @render.ui
    def arm_switch() -> Tag:
        page.structure()
        with reactive.isolate():
            state = page.state()
        if state.b is None:
            return tags.div(act("beside", "Compare with a second course (B)"), class_="arms")
        buttons = [
            act(
                "arm",
                f"Course {key.upper()}",
                arg=key,
                aria_pressed=str(key == state.editing).lower(),
                class_=f"arm {key}",
            )
            for key in ("a", "b")
        ]
        return tags.div(
            *buttons,
            act("swap", "Swap"),
            act("alone", "Remove B"),
            class_="arms",
            role="group",
            aria_label="Course to change",
        )

    @render.ui
    def rows() -> Tag:
        page.structure()
        with reactive.isolate():
            state = page.state()
        arm = state.arm
        if arm.source == "rows":
            return tags.div(
                tags.div(
                    choice(
                        f"{state.editing}.drug", "Drug", {"ketamine": "ketamine", "esketamine": "esketamine"}, arm.drug
                    )
                ),
                tables.row_cards(arm, state.editing),
            )
        what = "The protocol of the library" if arm.source == "library" else "A protocol as text"
        return tags.div(tags.p(f"{what} is shown."), act("rows", "Edit it as rows"), class_="asis")

    @render.ui
    def nurse() -> Tag:
        return tags.div(HTML(table()))

    fits = page.part(lambda shown: shown.fits)
    table = page.part(lambda shown: shown.nurse_html)

    @render.ui
    def models() -> TagList:
        found = fits()
        page.structure()
        key = found.editing
        with reactive.isolate():
            state = page.state()
        named = {"": "the default of its drug and routes", **dict(found.models)}
        also = dict(found.others)
        label = "Model" if state.b is None else f"Model of course {key.upper()}"
        return TagList(
            choice("@.model", label, named, state.arms[key].model),
            _folded("Further models", ticks("also", "Also drawn for course A", also, state.also), state.also)
            if also
            else None,
        )

    @render.ui
    def effects() -> Tag:
        words = dict(fits().effects)
        page.structure()
        with reactive.isolate():
            state = page.state()
        if not words:
            return tags.p("No effect of the library fits this model.", class_="hint")
        return _folded("Effects", ticks("effects", "Drawn under the levels", words, state.effects), state.effects)

    @render.ui
    def discharge_of() -> Tag:
        shown = fits().drawn
        with reactive.isolate():
            state = page.state()
        names = {"parent": "level of the drug", **{name: tables.short(name) for name in shown}}
        return choice("limits.discharge_of", "of", names, state.limits.discharge_of)


def _folded(title: str, what: Tag, chosen: Sequence[str]) -> Tag:
    """A list that is folded away where nothing of it is chosen."""
    return tags.details(
        tags.summary(title + (f": {len(chosen)} chosen" if chosen else "")), what, open="" if chosen else None
    )
