"""What a dose is given with in a protocol file: nasal devices, an atomiser, a vial, a pump."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field, PlainValidator, model_validator

from pkmodel import units
from pkmodel.errors import InputError, Problem, shown
from pkmodel.specs import fields, shapes
from pkmodel.specs.loading import Spec
from pkmodel.units import Quantity

#: What one spray of an atomiser is taken to be where a protocol does not say (assumed: of metered nasal pumps).
USUAL_SPRAY = "0.1 mL"
#: Slack for a volume that is a whole number of others but for the last bit.
_WHOLE = 1e-9


@shapes.takes(shapes.quantity('a coefficient of variation such as "10 %"', plain=True))
def _cv(value: object) -> Quantity:
    quantity = units.as_kind(value, "number")
    if not 0 < quantity.value <= 1:
        raise InputError(Problem(shown(value), 'a coefficient of variation above 0 and at most 100 %, such as "10 %"'))
    return quantity


class Delivered(Spec):
    """How much a single spray delivers of what it should: log-normal with the mean 1."""

    cv: Annotated[Quantity, PlainValidator(_cv)]

    @property
    def sigma(self) -> float:
        """The standard deviation on the log scale."""
        return math.sqrt(math.log1p(self.cv.value**2))


class Device(Spec):
    """A nasal device of fixed strength; a session's dose is a whole number of them."""

    strength: fields.Mass
    sprays: int = Field(default=2, ge=1, le=10)
    volume_per_spray: fields.Volume | None = None
    rest: fields.Duration | None = None
    delivered: Delivered | None = None

    @property
    def pause(self) -> float:
        """Hours from one device to the next."""
        return self.rest.value if self.rest else 0.0


class Atomiser(Spec):
    """A syringe with an atomiser: a dose is a whole number of sprays, in one nostril and the other by turns.

    ``max_per_nostril`` is the most that a nostril gets in a session. What is above ``absorbed`` in a nostril runs down
    the throat (0.2 to 0.3 mL are absorbed; secondary). ``dead_space`` is drawn up once a session, and lost. A ``spray``
    is :data:`USUAL_SPRAY` where it is not given.
    """

    concentration: fields.Concentration
    max_per_nostril: fields.Volume
    spray: fields.Volume = Field(default_factory=lambda: units.as_kind(USUAL_SPRAY, "volume"))
    dead_space: fields.Volume | None = None
    every: fields.Duration | None = None
    absorbed: fields.Volume | None = None
    delivered: Delivered | None = None

    @model_validator(mode="after")
    def _possible(self) -> Atomiser:
        if self.spray.value > self.max_per_nostril.value * (1 + _WHOLE):
            found = f"a spray of {self.spray_text} into at most {self.max_per_nostril.text}"
            raise InputError(Problem(found, "a spray that a nostril can take", path="spray"))
        if self.most_sprays > 1000:
            found = f"a spray of {self.spray_text} of {self.max_per_nostril.text}"
            raise InputError(Problem(found, "at most 500 sprays to a nostril", path="spray"))
        return self

    @property
    def spray_text(self) -> str:
        """What one spray is, and whether that is assumed."""
        return self.spray.text if "spray" in self.model_fields_set else f"{self.spray.text} (assumed)"

    @property
    def per_spray(self) -> float:
        """mg in one spray."""
        return self.concentration.value * self.spray.value

    @property
    def most_sprays(self) -> int:
        """How many sprays both nostrils take."""
        return 2 * math.floor(self.max_per_nostril.value / self.spray.value * (1 + _WHOLE))

    @property
    def pause(self) -> float:
        """Hours from one spray to the next."""
        return self.every.value if self.every else 0.0

    def run_off(self, spray: int) -> float:
        """The share of a session's spray (1, 2, ...) that runs down the throat."""
        if self.absorbed is None:
            return 0.0
        filled = (spray + 1) // 2 * self.spray.value  # of its nostril, this one included
        over = min(max(filled - self.absorbed.value, 0.0), self.spray.value)
        return over / self.spray.value if over > _WHOLE * self.spray.value else 0.0

    def too_much(self, dose: float) -> str:
        """What could be given instead of a dose (mg) that does not fit into two nostrils."""
        most = self.most_sprays * self.per_spray
        held = self.most_sprays * self.spray.value
        unit = self.concentration.unit.text
        return (
            f"at most {most:.4g} mg at {self.concentration.text} ({self.max_per_nostril.text} per nostril), "
            f"or at least {units.convert(dose / held, unit):.4g} {unit} for this dose"
        )


class Product(Spec):
    """What a dose is drawn from, mg as the doses are written. What is left in a vial is thrown away after a session."""

    concentration: fields.Concentration
    vial: fields.Volume | None = None


class Pump(Spec):
    """A pump: the fastest that it runs, and the steps in which its rate is set.

    Both leave the dose alone and change how long it takes.
    """

    max_rate: fields.VolumeFlow | None = None
    step: fields.VolumeFlow | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Pump:
        if self.max_rate is None and self.step is None:
            raise InputError(Problem("none of them", "at least one of max_rate, step"))
        if self.max_rate is not None and self.step is not None and self.step.value > self.max_rate.value:
            found = f"a step of {self.step.text} above max_rate {self.max_rate.text}"
            raise InputError(Problem(found, "a step that the pump can run at", path="step"))
        return self
