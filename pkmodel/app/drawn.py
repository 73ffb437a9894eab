"""A picture as an output of Shiny: the PNG within the message, so that there is no second request for it."""

from __future__ import annotations

import base64
import math
from typing import Any

from shiny import Session
from shiny.render.renderer import Renderer

from pkmodel.app.picture import Look

#: Pixels that a picture has at least and at most, across and down: a browser may say what it likes.
_LEAST, _MOST = (240.0, 200.0), (4000.0, 3000.0)


class picture(Renderer[dict[str, Any]]):
    """Renders what a function returns: a ``picture`` (:class:`pkmodel.app.picture.Picture`) and its ``alt`` text."""

    async def transform(self, value: dict[str, Any]) -> Any:
        made = value["picture"]
        return {
            "src": f"data:image/png;base64,{base64.b64encode(made.png).decode()}",
            "width": "100%",
            "height": "100%",
            "alt": value["alt"],
            "coordmap": made.coordmap,
        }


def look_of(session: Session, name: str) -> Look | None:
    """How large an output is; of ordinary size before the browser has said; None: it is not in sight."""
    if session.clientdata.output_hidden(name):
        return None
    width = _within(session.clientdata.output_width(name), 800.0, _LEAST[0], _MOST[0])
    height = _within(session.clientdata.output_height(name), 480.0, _LEAST[1], _MOST[1])
    return Look(width, height, _within(session.clientdata.pixelratio(), 1.0, 1.0, 2.0))


def _within(value: Any, usual: float, least: float, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or value <= 0:
        return usual
    return min(max(float(value), least), most)
