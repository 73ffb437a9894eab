"""The frame of the page: head, tabs, the curve with its numbers, foot. What is in the tabs is in ``panels``."""

from __future__ import annotations

from typing import Any

from htmltools import HTML, Tag, tags
from shiny import ui

from pkmodel.app import panels
from pkmodel.app.inputs import act
from pkmodel.disclaimer import NOT_FOR_CARE

#: Where Shiny puts its scripts.
DEPENDENCIES = '<meta name="shiny-dependency-placeholder" content="">'
#: The tabs, in the order of a lesson; the names are those of the functions in ``panels``.
TABS = {
    "patient": "Patient",
    "course": "Course",
    "curves": "Curves",
    "suggest": "Suggest",
    "lessons": "Lessons",
    "take": "Take away",
}


def page() -> Any:
    """The page as it is served, without Bootstrap; every value is then set from the state."""
    html = str(_page()).replace('<meta name="shiny-dependency-placeholder" content=""/>', DEPENDENCIES)
    return ui.page_html(f"<!doctype html>\n{html}")


def _page() -> Tag:
    return tags.html(
        tags.head(
            tags.meta(charset="utf-8"),
            tags.title("pkmodel: ketamine and esketamine, from dose to level"),
            tags.meta(name="viewport", content="width=device-width, initial-scale=1"),
            tags.meta(name="shiny-dependency-placeholder", content=""),
            tags.link(rel="icon", href="favicon.svg", type="image/svg+xml"),
            tags.link(rel="stylesheet", href="page.css"),
        ),
        tags.body(
            tags.a("Skip to the curve", href="#main", class_="skip"),
            _head(),
            tags.div(_controls(), _stage(), class_="page"),
            tags.footer(tags.strong("For research and teaching, never for patient care."), " ", tags.span(_foot())),
            tags.script(src="page.js", defer=""),
        ),
        lang="en",
    )


def _foot() -> str:
    return "Every person here is invented; every model is named with the grade of its evidence."


def _head() -> Tag:
    return tags.header(
        tags.h1(tags.b("pkmodel"), tags.span(" ketamine and esketamine, from dose to level")),
        tags.div(
            act("undo", "Undo", id="undo", title="Take the last change back (Ctrl+Z)", aria_keyshortcuts="Control+Z"),
            act("redo", "Redo", id="redo", title="Do it again (Ctrl+Y)", aria_keyshortcuts="Control+Y"),
            act("reset", "Start again", title="A fresh page; Undo brings this one back"),
            class_="tools",
            role="group",
            aria_label="History",
        ),
    )


def _controls() -> Tag:
    tabs = [
        tags.button(
            label,
            type="button",
            role="tab",
            id=f"tab-{name}",
            aria_controls=f"panel-{name}",
            aria_selected="true" if name == "patient" else "false",
            tabindex="0" if name == "patient" else "-1",
        )
        for name, label in TABS.items()
    ]
    bodies = [
        tags.div(
            getattr(panels, name)(),
            role="tabpanel",
            id=f"panel-{name}",
            aria_labelledby=f"tab-{name}",
            tabindex="0",
            hidden=None if name == "patient" else "",
        )
        for name in TABS
    ]
    return tags.aside(
        tags.div(*tabs, role="tablist", aria_label="Controls"), *bodies, class_="controls", aria_label="Controls"
    )


def _stage() -> Tag:
    plot = ui.output_plot(
        "curve",
        width="100%",
        height="100%",
        click=ui.click_opts(clip=True),
        dblclick=ui.dblclick_opts(clip=True),
        hover=ui.hover_opts(delay=60, delay_type="throttle", clip=True),
    )
    return tags.main(
        ui.output_ui("messages"),
        tags.div(
            tags.h2(ui.output_text("headline", inline=True), id="peak", aria_live="polite", aria_atomic="true"),
            ui.output_ui("numbers"),
            tags.div(plot, class_="picture"),
            tags.p(
                ui.output_text("pointer", inline=True),
                tags.span("Click to add a dose; double click on a dose to change it.", class_="hint", id="how"),
                class_="under",
            ),
            ui.output_ui("evidence"),
            id="stage-curve",
            class_="stage",
        ),
        tags.div(
            ui.output_ui("lesson_head"),
            tags.div(ui.output_plot("lesson_picture", width="100%", height="100%"), class_="picture"),
            ui.output_ui("lesson_answer"),
            id="stage-lesson",
            class_="stage",
            hidden="",
        ),
        id="main",
        tabindex="-1",
    )


def not_for_care() -> Tag:
    """The sentence that stands on everything that is printed."""
    return tags.p(HTML("&#9432; "), NOT_FOR_CARE, class_="care")
