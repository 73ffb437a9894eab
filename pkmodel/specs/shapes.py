"""What a value may look like in a file, said beside the function that reads it: the source of the JSON Schemas.

A function that reads a value of a file carries the JSON Schema of what it takes (:func:`takes`), or of a short form
that it takes beside the full one (:func:`short_form`); :mod:`pkmodel.specs.schema` collects them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])
Schema = dict[str, Any]

#: A number; what follows is the unit.
_NUMBER = r"(\d|\.\d).*"


def takes(schema: Schema) -> Callable[[F], F]:
    """Attach the JSON Schema of what a function takes."""

    def attach(function: F) -> F:
        function.json_schema = schema  # type: ignore[attr-defined]
        return function

    return attach


def short_form(schema: Schema | Callable[[Schema], Schema]) -> Callable[[F], F]:
    """Attach the JSON Schema of a short form, or how it follows from that of the full form."""

    def attach(function: F) -> F:
        function.json_short_form = schema if callable(schema) else lambda full: schema  # type: ignore[attr-defined]
        return function

    return attach


@dataclass(frozen=True)
class Also:
    """In an annotation: another form that the value may have in a file, which is turned into this one before."""

    schema: Schema

    def __get_pydantic_json_schema__(self, core: Any, handler: Callable[[Any], Schema]) -> Schema:
        """Either form."""
        return {"anyOf": [handler(core), self.schema]}


def quantity(description: str, *, plain: bool = False, signed: bool = False) -> Schema:
    """The schema of a number with a unit.

    ``plain`` where the unit may be left out (and the number be a number), ``signed`` where it may be below 0. The
    example is the first quoted part of the description.
    """
    pattern = (r"^\s*[-+]?" if signed else r"^\s*\+?") + _NUMBER + ("" if plain else "[A-Za-z%µμ]")
    found: Schema = {"type": ["string", "number"] if plain else "string", "pattern": pattern}
    example = description.partition('"')[2].partition('"')[0]
    return {**found, "description": description} | ({"examples": [example]} if example else {})


def pair(items: Schema, description: str) -> Schema:
    """The schema of a lower and an upper bound, either of which may be left open by null."""
    bound = {"anyOf": [items, {"type": "null"}]}
    return {"type": "array", "items": bound, "minItems": 2, "maxItems": 2, "description": description}


def words(*names: str) -> Schema:
    """The schema of one of several words."""
    return {"enum": list(names)}


FORMULA: Schema = {
    "type": ["string", "number"],
    "description": 'a formula of parameters and covariates, such as "CL / V1"',
    "examples": ["CL / V1"],
}
