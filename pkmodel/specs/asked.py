"""What a comparison asks of every session: metrics without a limit, written as people say them.

100 ng/mL                                     the time above it, of the parent drug
dissociation_olofsen2022 above 50 %           the time above it, of an effect
parent below 70 ng/mL                         a discharge criterion
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pkmodel import units
from pkmodel.errors import InputError, Problem, shown, unknown_name
from pkmodel.specs import shapes
from pkmodel.specs.effect_file import ANALYTES
from pkmodel.specs.loading import library
from pkmodel.specs.metric import is_level
from pkmodel.units import Quantity

_SIDED = re.compile(r"\s*(?P<output>\S+)\s+(?P<side>below|above)\s+(?P<value>.+?)\s*")


@dataclass(frozen=True)
class Asked:
    """A metric of an output or effect that is wanted of every session, with its threshold where it has one."""

    metric: str
    output: str = "parent"
    threshold: Quantity | None = None


@dataclass(frozen=True)
class Bound:
    """A level that something lies below or above, such as ``parent below 70 ng/mL``."""

    output: str
    side: Literal["below", "above"]
    threshold: Quantity

    def __str__(self) -> str:
        return f"{self.output} {self.side} {self.threshold.text}"


@shapes.takes({"type": "string", "description": 'a level to be below, such as "parent below 70 ng/mL"'})
def criterion(value: object) -> Bound:
    """Read a discharge criterion such as ``parent below 70 ng/mL``; whether the output exists is for the model to say.

    Raises InputError for another form, and for a threshold of a level that is none.
    """
    match = _SIDED.fullmatch(value) if isinstance(value, str) else None
    if match is None or match["side"] != "below":
        raise InputError(Problem(shown(value), 'a level to be below, such as "parent below 70 ng/mL"'))
    if not is_level(match["output"]):
        return Bound(match["output"], "below", units.parse(match["value"], allow_plain=True))
    quantity = units.as_kind(match["value"], "concentration")
    if quantity.value <= 0:
        raise InputError(Problem(shown(match["value"]), f"{units.KINDS['concentration'][1]}, above 0"))
    return Bound(match["output"], "below", quantity)


def bound(text: str, side: Literal["below", "above"], *, where: str, effects: Sequence[str] = ()) -> Bound:
    """Read a bound; the output and the side may be left out of one ``above``, which is then one of the parent drug.

    ``effects`` are names or paths that are attached besides those of the library.

    Raises InputError, at ``where``, for another side, a threshold without a unit, and a name that nothing has.
    """
    example = "parent below 70 ng/mL" if side == "below" else "100 ng/mL, or parent above 100 ng/mL"
    match = _SIDED.fullmatch(text)
    if match is None and (side == "below" or re.search(r"\b(below|above)\b", text)):
        raise InputError(Problem(shown(text), f'a bound such as "{example}"', where=where))
    output, value = ("parent", text) if match is None else (match["output"], match["value"])
    if match is not None and match["side"] != side:
        raise InputError(Problem(shown(text), f'a bound such as "{example}"', where=where))
    legal = ["parent", "metabolite", *ANALYTES, *library("effects"), *effects]
    if output not in legal:
        raise InputError(unknown_name("an output or an effect", output, legal, where=where))
    try:
        if not is_level(output):
            return Bound(output, side, units.parse(value, allow_plain=True))
        quantity = units.as_kind(value, "concentration")
    except InputError as error:
        raise InputError([problem.at(where=where) for problem in error.problems]) from None
    if quantity.value <= 0:
        raise InputError(Problem(shown(value), f"{units.KINDS['concentration'][1]}, above 0", where=where))
    return Bound(output, side, quantity)
