"""A picture as an output of Shiny: the PNG within the message, so that there is no second request for it."""

from __future__ import annotations

import base64
from typing import Any

from shiny import Session
from shiny.render.renderer import Renderer


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


def size_of(session: Session, name: str) -> tuple[float, float]:
    """Width and height of an output, px; of ordinary size before the browser has said."""
    width = session.clientdata.output_width(name) or 800
    height = session.clientdata.output_height(name) or 480
    return max(float(width), 240.0), max(float(height), 200.0)


def ratio_of(session: Session) -> float:
    """Dots to a pixel of the screen, 2 at most."""
    return min(float(session.clientdata.pixelratio() or 1), 2.0)
