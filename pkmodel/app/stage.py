"""The stage: the picture, what is under the pointer, the sentence of the peak, the numbers, and what must be said."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from htmltools import HTML, Tag, tags
from shiny import Inputs, Session, reactive, render, req

from pkmodel.app.drawn import look_of, picture
from pkmodel.app.page import Page
from pkmodel.app.picture import Picture
from pkmodel.app.shown import Shown


def hours_of(point: Any, until: float) -> float | None:
    """The time (h) of a click on the picture of so many hours; None outside of its panels."""
    x = point.get("x") if isinstance(point, dict) else None
    if isinstance(x, bool) or not isinstance(x, (int, float)) or not math.isfinite(x):
        return None
    return min(max(float(x), 0.0), until)


def wire(page: Page, input: Inputs, session: Session) -> None:
    """The picture, what is under the pointer, and the sentence of the peak."""
    drawn: reactive.Value[tuple[Picture, str]] = reactive.value(name="drawn")

    @reactive.effect
    def _look() -> None:
        page.look_at(look_of(session, "curve"))

    @reactive.effect
    def _drawn() -> None:
        """Apart from the output: a state that was computed while the picture was out of sight has none."""
        shown = page.shown()
        if shown.picture is not None:
            drawn.set((shown.picture, shown.alt))

    @picture
    def curve() -> dict[str, Any]:
        made, alt = drawn()
        return {"picture": made, "alt": alt}

    @render.text
    def headline() -> str:
        return page.shown().headline

    @render.text
    def pointer() -> str:
        at = hours_of(req(input.curve_hover()), page.shown().until)
        return "" if at is None else _under(page.shown(), at)

    @render.ui
    def numbers() -> Any:
        return HTML(page.shown().numbers_html)

    rests_on = page.part(lambda shown: shown.evidence_html)

    @render.ui
    def evidence() -> Any:
        return HTML(rests_on())

    @render.ui
    def messages() -> Tag:
        said = page.said()
        return tags.div(*(tags.p(sentence) for sentence in said), role="alert", class_="messages")


def _under(shown: Shown, at: float) -> str:
    """What the curves say at a time, in words."""
    minutes = round(at * 60)
    when = f"{minutes // 60}:{minutes % 60:02d} h" if shown.until <= 48 else f"day {at / 24 + 1:.3g}"
    said = []
    for line in shown.lines:
        values = [
            f"{label} {float(np.interp(at, line.time, levels)):.3g} {unit}".strip()
            for (label, unit), levels in zip(line.outputs, line.levels, strict=True)
        ]
        said.append(("" if len(shown.lines) == 1 else f"{line.name}: ") + ", ".join(values))
    return f"{when} \u2013 " + "; ".join(said)
