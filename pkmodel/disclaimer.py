"""The sentence that stands on every result: what a result is for, and what never."""

from __future__ import annotations

NOT_FOR_CARE = "For research and teaching only. Not for patient care."
#: The same, where there is little room.
IN_A_FIGURE = "Research and teaching only, not for patient care."
