"""A picture as an output of Shiny: the PNG within the message, so that there is no second request for it."""

from __future__ import annotations

import base64
from typing import Any

from shiny.render.renderer import Renderer


class picture(Renderer[dict[str, Any]]):  # noqa: N801 - a decorator, as Shiny names its own
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
