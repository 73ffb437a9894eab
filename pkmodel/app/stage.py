"""The stage: the picture, what is under the pointer, the sentence of the peak, the numbers, and what must be said."""

from __future__ import annotations

from typing import Any

import numpy as np
from htmltools import Tag, tags
from shiny import Inputs, Session, reactive, render

from pkmodel.app import tables
from pkmodel.app.compute import Curves
from pkmodel.app.drawn import picture, ratio_of, size_of
from pkmodel.app.page import Page
from pkmodel.app.picture import picture_of
from pkmodel.app.readouts import peak_sentence, readouts
from pkmodel.app.state import State
from pkmodel.simulation import Result


def hours_of(point: Any) -> float | None:
    """The time (h) of a click on the picture; None outside of its panels."""
    x = point.get("x") if isinstance(point, dict) else None
    return max(float(x), 0.0) if isinstance(x, (int, float)) else None


def wire(page: Page, input: Inputs, session: Session) -> None:
    """The picture, what is under the pointer, and the sentence of the peak."""

    def people() -> dict[str, Result]:
        return page.band()

    def sentence() -> str:
        shown = page.shown()
        parents = {name: curve.result.model.parent for name, curve in shown.by_name.items()}
        return peak_sentence(readouts(shown, page.state().limits), parents)

    @picture
    def curve() -> dict[str, Any]:
        width, height = size_of(session, "curve")
        state, shown = page.state(), page.shown()
        made = picture_of(state, shown, people(), width, height, ratio_of(session))
        with reactive.isolate():
            sizes = {result.network.size for result in people().values()}
            band = f" Band of a population, n = {max(sizes):,}." if sizes else ""
            return {"picture": made, "alt": f"Levels over time. {sentence()}{band}"}

    @render.text
    def headline() -> str:
        return sentence()

    @render.text
    def pointer() -> str:
        at = hours_of(input.curve_hover())
        return "" if at is None else _under(page.shown(), page.state(), at)

    @render.ui
    def numbers() -> Tag:
        shown, state = page.shown(), page.state()
        return tables.numbers(readouts(shown, state.limits), state, shown)

    @render.ui
    def evidence() -> Tag:
        shown = page.shown()
        return tables.evidence(shown, people(), shown.notes)

    @render.ui
    def messages() -> Tag:
        said = page.said()
        return tags.div(*(tags.p(sentence) for sentence in said), role="alert", class_="messages")


def _under(shown: Curves, state: State, at: float) -> str:
    """What the curves say at a time, in words."""
    at = min(at, shown.until)
    minutes = round(at * 60)
    when = f"{minutes // 60}:{minutes % 60:02d} h" if shown.until <= 48 else f"day {at / 24 + 1:.3g}"
    said = []
    for name, curve in shown.by_name.items():
        result = curve.result
        outputs = [result.model.parent]
        if state.view.metabolites:
            outputs += [other for other in result.model.outputs if other not in outputs]
        outputs += [effect for effect in shown.effects if effect in result.model.effects]
        values = []
        for one in outputs:
            level = float(np.interp(at, result.time, result.level(one)[0]))
            values.append(f"{one.replace('_', ' ')} {level:.3g} {result.model.observables[one]}".strip())
        said.append(("" if len(shown.by_name) == 1 else f"{name}: ") + ", ".join(values))
    return f"{when} \u2013 " + "; ".join(said)
