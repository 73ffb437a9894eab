"""Field types that several files share: quantities with a unit, sources, evidence grades, covariates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import Field, PlainValidator

from pkmodel import units
from pkmodel.errors import InputError, Problem, shown
from pkmodel.specs import shapes
from pkmodel.specs.loading import Spec
from pkmodel.specs.shapes import short_form
from pkmodel.units import Quantity

#: How well a number is supported; see "Evidence" in the README.
Evidence = Literal["primary", "trace", "secondary", "derived", "borrowed", "assumed", "unsourced"]
Drug = Literal["ketamine", "esketamine"]
Route = Literal["iv", "intranasal", "oral", "film", "sublingual", "buccal", "im", "sc", "rectal"]
Sex = Literal["female", "male"]
#: Where blood was drawn: levels differ by it while drug goes in.
Sampling = Literal["venous", "arterial"]
Ancestry = Literal["other", "asian", "japanese"]

SEXES: tuple[str, ...] = ("female", "male")
ANCESTRIES: tuple[str, ...] = ("other", "asian", "japanese")


#: No course lasts longer (100 years, in h); a longer time is taken for a mistake.
LONGEST = 876_000.0


def _kind(kind: str, *, above: float | None = None, least: float | None = None) -> Callable[[object], Quantity]:
    bound = ", above 0" if above is not None else ", of at least 0" if least is not None else ""

    @shapes.takes(shapes.quantity(units.KINDS[kind][1] + bound, signed=not bound))
    def read(value: object) -> Quantity:
        quantity = units.as_kind(value, kind)
        if kind == "time" and quantity.value > LONGEST:
            raise InputError(Problem(found=shown(value), expected=f"{units.KINDS[kind][1]}, of at most 100 years"))
        bound = "above 0" if above is not None else "of at least 0"
        if (above is not None and quantity.value <= above) or (least is not None and quantity.value < least):
            raise InputError(Problem(found=shown(value), expected=f"{units.KINDS[kind][1]}, {bound}"))
        return quantity

    return read


Mass = Annotated[Quantity, PlainValidator(_kind("mass", above=0.0))]
PerWeight = Annotated[Quantity, PlainValidator(_kind("dose per weight", above=0.0))]
Duration = Annotated[Quantity, PlainValidator(_kind("time", above=0.0))]
Time = Annotated[Quantity, PlainValidator(_kind("time", least=0.0))]
Weight = Annotated[Quantity, PlainValidator(_kind("weight", above=0.0))]
Length = Annotated[Quantity, PlainValidator(_kind("length", above=0.0))]
Age = Annotated[Quantity, PlainValidator(_kind("age", least=0.0))]
Volume = Annotated[Quantity, PlainValidator(_kind("volume", above=0.0))]
BodyMassIndex = Annotated[Quantity, PlainValidator(_kind("body mass index", least=0.0))]
Concentration = Annotated[Quantity, PlainValidator(_kind("concentration", above=0.0))]
VolumeFlow = Annotated[Quantity, PlainValidator(_kind("volume flow", above=0.0))]
MolarMass = Annotated[Quantity, PlainValidator(_kind("molar mass", above=0.0))]


@shapes.takes(shapes.quantity('a number with or without a unit, such as "95.2 L/h"', plain=True, signed=True))
def _any_quantity(value: object) -> Quantity:
    return units.parse(value, allow_plain=True)


AnyQuantity = Annotated[Quantity, PlainValidator(_any_quantity)]


@shapes.takes(shapes.quantity('a share from 0 to 1, such as "95 %"', plain=True))
def _share(value: object) -> Quantity:
    quantity = units.as_kind(value, "number")
    if not 0.0 <= quantity.value <= 1.0:
        raise InputError(Problem(found=shown(value), expected='a share from 0 to 1, such as "95 %"'))
    return quantity


Share = Annotated[Quantity, PlainValidator(_share)]


def range_of(kind: str) -> Callable[[object], tuple[float, float]]:
    """A pair of bounds in base units; null leaves a side open."""

    bounds = f"[lower, upper], each {units.KINDS[kind][1]} or null"

    @shapes.takes(shapes.pair(shapes.quantity(units.KINDS[kind][1], plain=kind == "number"), bounds))
    def read(value: object) -> tuple[float, float]:
        expected = f"[lower, upper], each {units.KINDS[kind][1]} or null"
        if not isinstance(value, list) or len(value) != 2:
            raise InputError(Problem(found=shown(value), expected=expected))
        sides = []
        for index, side in enumerate(value):
            try:
                sides.append((float("-inf"), float("inf"))[index] if side is None else units.as_kind(side, kind).value)
            except InputError as error:
                raise InputError(error.problems[0].at(path=f"[{index}]")) from None
        if sides[0] >= sides[1]:
            raise InputError(Problem(found=shown(value), expected="a lower bound below the upper one"))
        return sides[0], sides[1]

    return read


AgeRange = Annotated[tuple[float, float], PlainValidator(range_of("age"))]
WeightRange = Annotated[tuple[float, float], PlainValidator(range_of("weight"))]
LengthRange = Annotated[tuple[float, float], PlainValidator(range_of("length"))]
BodyMassIndexRange = Annotated[tuple[float, float], PlainValidator(range_of("body mass index"))]
ConcentrationRange = Annotated[tuple[float, float], PlainValidator(range_of("concentration"))]
TimeRange = Annotated[tuple[float, float], PlainValidator(range_of("time"))]


@shapes.takes({"type": ["string", "object"], "description": "a name, a path, or what the file would hold"})
def _name_or_mapping(value: object) -> str | dict[str, Any]:
    if isinstance(value, (str, dict)):
        return value
    raise InputError(Problem(found=shown(value), expected="a name, a path, or keys and values"))


NameOrMapping = Annotated[str | dict[str, Any], PlainValidator(_name_or_mapping)]

Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,63}$")]


class Citation(Spec):
    """Where a file's numbers were published."""

    citation: str = Field(min_length=3)
    doi: str | None = None
    pmid: str | None = None
    url: str | None = None
    evidence: Evidence | None = None


@short_form({"type": "string", "minLength": 3})
def text_as_citation(value: Any) -> Any:
    """``source: some text`` is short for ``source: {citation: some text}``."""
    return {"citation": value} if isinstance(value, str) else value


def exactly_one(spec: Spec, *names: str) -> None:
    """Raise unless exactly one of the named fields was given."""
    given = [name for name in names if getattr(spec, name) is not None]
    if len(given) != 1:
        found = " and ".join(given) if given else "none of them"
        raise InputError(Problem(found=found, expected="exactly one of " + ", ".join(names)))
