"""JSON Schemas of the kinds of files, for editors: what may stand where, with an example of every quantity.

A file that the schema refuses is refused by the program too; the program also knows what no schema says (which keys
exclude each other, which names a model has).
"""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from pkmodel.errors import InputError, unknown_name
from pkmodel.specs.library import KINDS

#: The kinds by the name of one file of them.
NAMES = {kind[:-1]: kind for kind in KINDS}


class _Generator(GenerateJsonSchema):
    """pydantic's generator, told what our own readers take (:mod:`pkmodel.specs.shapes`)."""

    ignored_warning_kinds = {"non-serializable-default", "skipped-choice"}

    def function_plain_schema(self, schema: Any) -> JsonSchemaValue:
        """What a reader says that it takes."""
        return dict(getattr(schema["function"]["function"], "json_schema", {}))

    def function_before_schema(self, schema: Any) -> JsonSchemaValue:
        """The full form, and the short form that a reader turns into it."""
        function = schema["function"]["function"]
        if hasattr(function, "json_schema"):
            return dict(function.json_schema)
        full = self.generate_inner(schema["schema"])
        short = getattr(function, "json_short_form", None)
        return {"anyOf": [short(full), full]} if short is not None else full

    def default_schema(self, schema: Any) -> JsonSchemaValue:
        """Defaults that a file could have written; others are objects of ours."""
        inner = self.generate_inner(schema["schema"])
        default = schema.get("default")
        plain = isinstance(default, (str, int, float, bool)) or default in ([], {})
        return {**inner, "default": default} if plain and "$ref" not in inner else inner

    def dict_schema(self, schema: Any) -> JsonSchemaValue:
        """A mapping: a name that does not fit the pattern of its keys is refused."""
        found = super().dict_schema(schema)
        return {**found, "additionalProperties": False} if "patternProperties" in found else found


def schema_of(kind: str) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a kind of file: protocol, model, effect, population, scenario, reference.

    Raises InputError for another kind.
    """
    if kind not in NAMES:
        raise InputError(unknown_name("a kind of file", kind, NAMES, where="KIND"))
    found = KINDS[NAMES[kind]].model_json_schema(by_alias=True, schema_generator=_Generator, mode="validation")
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": f"pkmodel {kind} file"}
    return {**head, **{key: value for key, value in found.items() if key != "title"}}
