"""What a dose is in a protocol file: an amount, the weight it counts with, its caps and its rounding."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import PlainValidator, model_validator

from pkmodel import units
from pkmodel.errors import InputError, Problem, shown
from pkmodel.specs import fields, shapes
from pkmodel.specs.loading import Spec
from pkmodel.units import Quantity

Basis = Literal["actual", "ideal", "adjusted", "lean", "fat_free"]
Salt = Literal["base", "hydrochloride"]

#: Mass of base in one mass of the hydrochloride (DESIGN section 2).
HYDROCHLORIDE = 0.867


#: The largest doses of a session that are taken for meant and not for a slip of the unit (days of intensive care).
MOST_PER_KG, MOST = 200.0, 20_000.0


@shapes.takes(shapes.quantity('a dose with its unit, such as "0.5 mg/kg" or "56 mg"'))
def _dose(value: object) -> Quantity:
    expected = 'a dose with its unit, such as "56 mg" or "0.5 mg/kg"'
    try:
        quantity = units.parse(value)
    except InputError as error:
        raise InputError(Problem(error.problems[0].found, expected, nearest=error.problems[0].nearest)) from None
    legal = [units.parse_unit(unit).dimensions for unit in ("mg", "mg/kg")]
    if quantity.unit.dimensions not in legal:
        raise InputError(Problem(shown(value), expected))
    most, unit = (MOST_PER_KG, "mg/kg") if per_weight(quantity) else (MOST, "mg")
    if not 0 < quantity.value <= most:
        raise InputError(Problem(shown(value), f"{expected}, above 0 and at most {most:g} {unit}"))
    return quantity


Dose = Annotated[Quantity, PlainValidator(_dose)]


def per_weight(dose: Quantity) -> bool:
    """Whether a dose is per kilogram of body weight."""
    return ("body_weight", -1.0) in dose.unit.dimensions


class WeightBand(Spec):
    """A dosing weight for a band of body mass index."""

    bmi: fields.BodyMassIndexRange
    basis: Basis
    cap: fields.Weight | None = None


class WeightRule(Spec):
    """The dosing weight: a basis, then its cap; the first band of ``when`` that fits goes before."""

    basis: Basis = "actual"
    cap: fields.Weight | None = None
    when: list[WeightBand] = []


class DoseLimits(Spec):
    """Caps, then rounding, of the dose of one session."""

    max_single: fields.Mass | None = None
    max_per_kg: fields.PerWeight | None = None
    round_to: fields.Mass | None = None
    round: Literal["down", "up", "nearest"] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> DoseLimits:
        if self.round is not None and self.round_to is None:
            raise InputError(Problem(f"round: {self.round} without round_to", "round_to, the step", path="round_to"))
        if self.round_to is not None and self.max_single is not None and self.round_to.value > self.max_single.value:
            found = f"round_to {self.round_to.text} above max_single {self.max_single.text}"
            raise InputError(Problem(found, "a step that a dose below the cap can have"))
        return self
