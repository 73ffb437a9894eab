"""Nasal devices in a protocol file: what a dose is given with."""

from __future__ import annotations

from pydantic import Field

from pkmodel.specs import fields
from pkmodel.specs.loading import Spec


class Device(Spec):
    """A nasal device of fixed strength; a session's dose is a whole number of them."""

    strength: fields.Mass
    sprays: int = Field(default=2, ge=1, le=10)
    volume_per_spray: fields.Volume | None = None
    rest: fields.Duration | None = None

    @property
    def pause(self) -> float:
        """Hours from one device to the next."""
        return self.rest.value if self.rest else 0.0
