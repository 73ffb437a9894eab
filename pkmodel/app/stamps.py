"""A renderer that copies the pixels of a text that it has drawn before.

A third of the time of a picture goes into the letters of its axes and legends, and from one picture to the next most
of them are the same. Only public parts of matplotlib are used; texts stand on whole pixels.
"""

from __future__ import annotations

from math import ceil
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import RendererAgg
from numpy.typing import NDArray

#: Texts that are kept, at most.
_MOST = 1000
#: Pixels around a text, for what its box does not hold.
_ROOM = 4


class StampingRenderer(RendererAgg):
    """Agg's renderer for pictures of one size; texts without transparency are drawn once."""

    def __init__(self, width: int, height: int, dpi: float):
        super().__init__(width, height, dpi)  # type: ignore[no-untyped-call]
        self._stamps: dict[Any, tuple[NDArray[np.uint8], int, int] | None] = {}

    def draw_text(  # type: ignore[no-untyped-def]
        self, gc, x, y, s, prop, angle, ismath=False, mtext=None
    ) -> None:
        """A text with its baseline's left end at ``x``, ``y`` px from the top left, turned by ``angle`` degrees."""
        if gc.get_alpha() != 1.0 or ismath:
            super().draw_text(gc, x, y, s, prop, angle, ismath, mtext)  # type: ignore[no-untyped-call]
            return
        key = (s, hash(prop), angle, gc.get_rgb())
        if key not in self._stamps:
            if len(self._stamps) >= _MOST:
                self._stamps.clear()
            self._stamps[key] = self._stamp(gc, s, prop, angle)
        stamp = self._stamps[key]
        if stamp is not None:
            pixels, left, down = stamp
            at = round(self.height - y) - down
            self.draw_image(gc, round(x) + left, at, pixels)

    def _stamp(self, gc: Any, s: str, prop: Any, angle: float) -> tuple[NDArray[np.uint8], int, int] | None:
        """The pixels of a text, and where they are from the left end of its baseline: px to the right and down."""
        width, height, _ = self.get_text_width_height_descent(s, prop, False)  # type: ignore[no-untyped-call]
        half = ceil(width + height) + _ROOM
        sheet = RendererAgg(2 * half, 2 * half, self.dpi)  # type: ignore[no-untyped-call]
        pen = sheet.new_gc()
        pen.set_foreground(gc.get_rgb())
        pen.set_antialiased(gc.get_antialiased())
        sheet.draw_text(pen, half, half, s, prop, angle)  # type: ignore[no-untyped-call]
        whole = np.asarray(sheet.buffer_rgba())  # type: ignore[no-untyped-call]
        rows, columns = np.nonzero(whole[:, :, 3])
        if not rows.size:
            return None
        top, bottom, left, right = rows.min(), rows.max() + 1, columns.min(), columns.max() + 1
        # draw_image takes the lowest row first, and its place from below.
        return np.ascontiguousarray(whole[top:bottom, left:right][::-1]), int(left) - half, int(bottom) - half
