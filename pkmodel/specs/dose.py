"""What a dose is in a protocol file: an amount or a rate, the weight it counts with, its limits and its rounding."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PlainValidator, model_validator

from pkmodel import units
from pkmodel.errors import InputError, Problem, nearest, shown
from pkmodel.specs import fields, shapes
from pkmodel.specs.bands import BodyBand, PatientBand
from pkmodel.specs.loading import Spec
from pkmodel.units import Quantity

#: ``lean`` and ``fat_free`` are one and the same here: the lean body weight of Janmahasatian 2005 is the fat-free mass.
Basis = Literal["actual", "ideal", "adjusted", "lean", "fat_free"]
Salt = Literal["base", "hydrochloride"]

#: Mass of base in one mass of the hydrochloride (DESIGN section 2).
HYDROCHLORIDE = 0.867

#: The largest doses of a session that are taken for meant and not for a slip of the unit (days of intensive care).
MOST_PER_KG, MOST = 200.0, 20_000.0
#: The kinds of a dose by their unit, with the largest number of each that is taken for meant. A square metre of body
#: surface stands for 40 kg of body; no rate is faster than the 4.5 mg/kg over 60 s of an anaesthetic bolus by much.
MOST_OF = {
    "mg": MOST,
    "mg/kg": MOST_PER_KG,
    "mg/m2": 40 * MOST_PER_KG,
    "mg/h": MOST,
    "mg/kg/h": 400.0,
    "mg/m2/h": 40 * 400.0,
}
#: Units that a dose is written in, to name the nearest one.
_WRITTEN = ("mg", "mg/kg", "mg/m2", "mg/h", "mg/min", "mg/kg/h", "mg/kg/min", "ug/kg/min", "ug/kg/h", "mg/m2/h")


@shapes.takes(shapes.quantity('a dose with its unit, such as "0.5 mg/kg", "56 mg" or "15 ug/kg/min"'))
def _dose(value: object) -> Quantity:
    expected = 'a dose with its unit, such as "56 mg" or "0.5 mg/kg"'
    try:
        quantity = units.parse(value)
    except InputError as error:
        raise InputError(Problem(error.problems[0].found, expected, nearest=error.problems[0].nearest)) from None
    kind = next((unit for unit in MOST_OF if units.parse_unit(unit).dimensions == quantity.unit.dimensions), None)
    if kind is None:
        raise InputError(Problem(shown(value), expected, nearest=nearest(quantity.unit.text, _WRITTEN)))
    most = MOST_OF[kind]
    if not 0 < units.convert(quantity.value, kind) <= most:
        raise InputError(Problem(shown(value), f"{expected}, above 0 and at most {most:g} {kind}"))
    return quantity


#: A mass, or one per kilogram of body weight or per square metre of body surface; or a rate of one of these.
Dose = Annotated[Quantity, PlainValidator(_dose)]


def per_weight(dose: Quantity) -> bool:
    """Whether a dose is per kilogram of body weight."""
    return ("body_weight", -1.0) in dose.unit.dimensions


def per_surface(dose: Quantity) -> bool:
    """Whether a dose is per square metre of body surface."""
    return ("length", -2.0) in dose.unit.dimensions


def is_rate(dose: Quantity) -> bool:
    """Whether a dose is a rate, so that its amount is rate x time."""
    return ("time", -1.0) in dose.unit.dimensions


def same_for_all(dose: Quantity) -> bool:
    """Whether a dose is the same for every patient, per no kilogram and no square metre."""
    return not per_weight(dose) and not per_surface(dose)


class WeightBand(BodyBand):
    """A dosing weight for a band of body mass index, age or weight; several keys of a band are all needed."""

    basis: Basis
    cap: fields.Weight | None = None


class WeightRule(Spec):
    """The dosing weight: a basis, then its cap; the first band of ``when`` that fits goes before."""

    basis: Basis = "actual"
    cap: fields.Weight | None = None
    when: list[WeightBand] = []


class DoseBand(PatientBand):
    """A dose for a band of patients, of the kind of the dose that it goes before."""

    dose: Dose


class Part(Spec):
    """A part of a session: a dose, at once or ``over`` a time, or a pause."""

    dose: Dose | None = None
    over: fields.Duration | None = None
    pause: fields.Duration | None = None

    @model_validator(mode="after")
    def _one_form(self) -> Part:
        fields.exactly_one(self, "dose", "pause")
        if self.pause is not None and self.over is not None:
            raise InputError(Problem("pause and over", "pause: its length", path="over"))
        return self


def _alternating(value: list[Part]) -> list[Part]:
    for index, name in ((0, "first"), (len(value) - 1, "last")):
        if value[index].pause is not None:
            raise InputError(Problem(f"a pause {name}", "a pause between two doses", path=f"[{index}].pause"))
    return value


#: The parts of a session, one after the other.
Parts = Annotated[list[Part], Field(min_length=1, max_length=100), AfterValidator(_alternating)]

#: A step of rounding: a mass, or what a dose is given with, of which the file says how much it holds.
Step = Quantity | Literal["device", "spray", "vial"]
_CONTAINERS = ("device", "spray", "vial")


@shapes.takes({"anyOf": [shapes.words(*_CONTAINERS), shapes.quantity('a mass of drug such as "1 mg"')]})
def _step(value: object) -> Any:
    if value is None or value in _CONTAINERS:
        return value
    expected = f'a mass of drug such as "1 mg", or one of {", ".join(_CONTAINERS)}'
    try:
        quantity = units.as_kind(value, "mass")
    except InputError as error:
        close = error.problems[0].nearest or nearest(value, _CONTAINERS)
        raise InputError(Problem(error.problems[0].found, expected, nearest=close)) from None
    if quantity.value <= 0:
        raise InputError(Problem(shown(value), f"{expected}, above 0"))
    return quantity


class DoseLimits(Spec):
    """The limits of a dose: a floor, caps, then rounding, then what is left of the caps over several doses.

    All of them in the mass as it is written (of the salt, where ``as`` says so). ``max_single``, ``max_per_kg`` (of
    actual weight) and ``min_single`` hold each dose of a session, ``max_session`` all of them together, ``max_day``
    those of a day of the course (a session counts to the day on which it begins), ``max_course`` all so far.
    """

    min_single: fields.Mass | None = None
    max_single: fields.Mass | None = None
    max_per_kg: fields.PerWeight | None = None
    max_session: fields.Mass | None = None
    max_day: fields.Mass | None = None
    max_course: fields.Mass | None = None
    round_to: Annotated[Any, PlainValidator(_step)] = None
    round: Literal["down", "up", "nearest"] | None = None

    @property
    def caps(self) -> dict[str, Quantity]:
        """The caps that are a mass, by their key."""
        every = {name: getattr(self, name) for name in ("max_single", "max_session", "max_day", "max_course")}
        return {name: cap for name, cap in every.items() if cap is not None}

    @model_validator(mode="after")
    def _consistent(self) -> DoseLimits:
        if self.round is not None and self.round_to is None:
            raise InputError(Problem(f"round: {self.round} without round_to", "round_to, the step", path="round_to"))
        for name, cap in self.caps.items():
            if isinstance(self.round_to, Quantity) and self.round_to.value > cap.value:
                found = f"round_to {self.round_to.text} above {name} {cap.text}"
                raise InputError(Problem(found, "a step that a dose below the cap can have"))
            if self.min_single is not None and self.min_single.value > cap.value:
                found = f"min_single {self.min_single.text} above {name} {cap.text}"
                raise InputError(Problem(found, "a floor below every cap", path="min_single"))
        return self
