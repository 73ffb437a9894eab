"""Bands of patients in a protocol file: whom a dose or a dosing weight of its own is for.

The lower end of a range is in a band, the upper end is not. Several keys in one band are all needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

from pydantic import PlainValidator, model_validator

from pkmodel import units
from pkmodel.errors import InputError, Problem, shown
from pkmodel.specs import fields
from pkmodel.specs.fields import range_of
from pkmodel.specs.loading import Spec

Range = tuple[float, float]
NumberRange = Annotated[Range, PlainValidator(range_of("number"))]

#: What a person can be, in base units: a band that lies outside fits nobody.
POSSIBLE: dict[str, tuple[float, float, str]] = {
    "age": (0.0, 120.0, "0 to 120 y"),
    "weight": (0.4, 400.0, "0.4 to 400 kg"),
    "bmi": (5e-4, 2e-2, "5 to 200 kg/m2"),
    "severity": (0.0, float("inf"), "0 and above"),
    "hepatic_impairment": (0.0, 1.0, "0 to 1"),
    "cyp2b6_activity": (0.0, 1.0, "0 to 1"),
}


class BodyBand(Spec):
    """A band of body mass index, age or weight."""

    RANGES: ClassVar[tuple[str, ...]] = ("bmi", "age", "weight")
    KEYS: ClassVar[tuple[str, ...]] = RANGES

    bmi: fields.BodyMassIndexRange | None = None
    age: fields.AgeRange | None = None
    weight: fields.WeightRange | None = None

    @property
    def ranges(self) -> dict[str, Range]:
        """The ranges of the band, by what they are of, in base units."""
        every = {name: getattr(self, name) for name in self.RANGES}
        return {name: bounds for name, bounds in every.items() if bounds is not None}

    @property
    def only(self) -> str | None:
        """The sex that the band is for; None where it is for both."""
        return None

    @property
    def text(self) -> str:
        """Whom the band is for, as people read it."""
        said = [self.only] if self.only is not None else []
        for name, (low, high) in self.ranges.items():
            unit = {"age": "y", "weight": "kg", "bmi": "kg/m2"}.get(name, "")
            ends = [f"{units.convert(end, unit):.4g}{f' {unit}' if unit else ''}" for end in (low, high)]
            between = f"from {ends[0]} to below {ends[1]}" if low > float("-inf") else f"below {ends[1]}"
            said.append(f"{name.replace('_', ' ')} {f'from {ends[0]}' if high == float('inf') else between}")
        return " and ".join(said)

    def covers(self, other: BodyBand) -> bool:
        """Whether whoever is in the ``other`` band is in this one too."""
        theirs = other.ranges
        within = all(
            name in theirs and low <= theirs[name][0] and theirs[name][1] <= high
            for name, (low, high) in self.ranges.items()
        )
        return within and self.only in (None, other.only)

    def crosses(self, other: BodyBand) -> bool:
        """Whether two bands of one and the same key overlap without one being inside the other."""
        if self.only or other.only or len(self.ranges) != 1 or self.ranges.keys() != other.ranges.keys():
            return False
        ((low, high),), ((lower, higher),) = self.ranges.values(), other.ranges.values()
        return (low < lower < high < higher) or (lower < low < higher < high)

    @model_validator(mode="after")
    def _fits_somebody(self) -> BodyBand:
        if not self.ranges and self.only is None:
            raise InputError(Problem("a band for everybody", f"at least one of {', '.join(self.KEYS)}"))
        for name, (low, high) in self.ranges.items():
            least, most, text = POSSIBLE[name]
            if low > most or high <= least:
                raise InputError(Problem("a band that fits nobody", f"{name} of {text}", path=name))
        return self


class PatientBand(BodyBand):
    """A band of anything that is known of a patient."""

    RANGES: ClassVar[tuple[str, ...]] = (*BodyBand.RANGES, "severity", "hepatic_impairment", "cyp2b6_activity")
    KEYS: ClassVar[tuple[str, ...]] = (*RANGES, "sex")

    sex: fields.Sex | None = None
    severity: NumberRange | None = None
    hepatic_impairment: NumberRange | None = None
    cyp2b6_activity: NumberRange | None = None

    @property
    def only(self) -> str | None:
        """The sex that the band is for; None where it is for both."""
        return self.sex


def band_problems(bands: Sequence[BodyBand], path: str) -> list[Problem]:
    """Bands that can never fit, since an earlier one takes all of their patients, and such as cross one another."""
    found = []
    for index, band in enumerate(bands):
        for before, earlier in enumerate(bands[:index]):
            if earlier.covers(band):
                said = f"a band that is within band {before + 1}, which goes before it"
                found.append(Problem(said, "the narrower band first", f"{path}[{index}]"))
                break
            if earlier.crosses(band):
                (name,) = earlier.ranges
                said = f"{shown(name)} that overlaps with band {before + 1}"
                found.append(Problem(said, "bands that end where the next one begins", f"{path}[{index}].{name}"))
                break
    return found
