"""A small checker of JSON Schemas: the keywords that ours use, and an error at any other: none passes unread."""

from __future__ import annotations

import re
from typing import Any

Schema = dict[str, Any]
_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
_SILENT = {"$schema", "$defs", "title", "description", "default", "examples", "format"}


def faults(value: Any, schema: Schema | bool, root: Schema, place: str = "") -> list[str]:
    """What is wrong with a value under a schema (draft 2020-12), one sentence each, with its place."""
    if isinstance(schema, bool):
        return [] if schema else [f"{place}: nothing is legal here"]
    found: list[str] = []
    for keyword, rule in schema.items():
        if keyword not in _SILENT:
            found += _CHECKS[keyword](value, rule, schema, root, place)
    return found


def _type(value: Any, rule: Any, _: Schema, __: Schema, place: str) -> list[str]:
    names = [rule] if isinstance(rule, str) else rule
    fits = any(isinstance(value, _TYPES[name]) and (name == "boolean" or not isinstance(value, bool)) for name in names)
    return [] if fits else [f"{place}: {value!r} is no {' or '.join(names)}"]


def _ref(value: Any, rule: str, _: Schema, root: Schema, place: str) -> list[str]:
    target: Any = root
    for part in rule.removeprefix("#/").split("/"):
        target = target[part]
    return faults(value, target, root, place)


def _any_of(value: Any, rule: list[Schema], _: Schema, root: Schema, place: str) -> list[str]:
    return [] if any(not faults(value, part, root, place) for part in rule) else [f"{place}: {value!r} fits no form"]


def _one_of(value: Any, rule: list[Schema], _: Schema, root: Schema, place: str) -> list[str]:
    fits = sum(not faults(value, part, root, place) for part in rule)
    return [] if fits == 1 else [f"{place}: {value!r} fits {fits} forms"]


def _not(value: Any, rule: Schema, _: Schema, root: Schema, place: str) -> list[str]:
    return [] if faults(value, rule, root, place) else [f"{place}: {value!r} is not legal here"]


def _members(value: Any, rule: Any, schema: Schema, root: Schema, place: str) -> list[str]:
    """``properties``, ``patternProperties`` and ``additionalProperties``, at the first of them that the schema has."""
    present = [key for key in ("properties", "patternProperties", "additionalProperties") if key in schema]
    if not isinstance(value, dict) or schema[present[0]] is not rule:
        return []
    found = []
    for key, item in value.items():
        rules = [schema["properties"][key]] if key in schema.get("properties", {}) else []
        rules += [part for pattern, part in schema.get("patternProperties", {}).items() if re.search(pattern, key)]
        for part in rules or [schema.get("additionalProperties", True)]:
            found += faults(item, part, root, f"{place}.{key}")
    return found


def _names(value: Any, rule: Schema, _: Schema, root: Schema, place: str) -> list[str]:
    return [fault for key in value for fault in faults(key, rule, root, place)] if isinstance(value, dict) else []


def _required(value: Any, rule: list[str], _: Schema, __: Schema, place: str) -> list[str]:
    return [f"{place}: no {key}" for key in rule if key not in value] if isinstance(value, dict) else []


def _items(value: Any, rule: Any, _: Schema, root: Schema, place: str) -> list[str]:
    items = enumerate(value) if isinstance(value, list) else ()
    return [fault for index, item in items for fault in faults(item, rule, root, f"{place}[{index}]")]


def _pattern(value: Any, rule: str, _: Schema, __: Schema, place: str) -> list[str]:
    return [f"{place}: {value!r} is not of {rule}"] if isinstance(value, str) and not re.search(rule, value) else []


def _bound(of: type | tuple[type, ...], holds: Any) -> Any:
    def check(value: Any, rule: Any, _: Schema, __: Schema, place: str) -> list[str]:
        right = not isinstance(value, of) or isinstance(value, bool) or holds(value, rule)
        return [] if right else [f"{place}: {value!r} against {rule}"]

    return check


_NUMBER = (int, float)
_CHECKS: dict[str, Any] = {
    "type": _type,
    "$ref": _ref,
    "anyOf": _any_of,
    "oneOf": _one_of,
    "not": _not,
    "properties": _members,
    "patternProperties": _members,
    "additionalProperties": _members,
    "propertyNames": _names,
    "required": _required,
    "items": _items,
    "pattern": _pattern,
    "enum": lambda value, rule, _, __, place: [] if value in rule else [f"{place}: {value!r} is none of {rule}"],
    "const": lambda value, rule, _, __, place: [] if value == rule else [f"{place}: {value!r} is not {rule}"],
    "minimum": _bound(_NUMBER, lambda value, rule: value >= rule),
    "maximum": _bound(_NUMBER, lambda value, rule: value <= rule),
    "exclusiveMinimum": _bound(_NUMBER, lambda value, rule: value > rule),
    "exclusiveMaximum": _bound(_NUMBER, lambda value, rule: value < rule),
    "minLength": _bound(str, lambda value, rule: len(value) >= rule),
    "maxLength": _bound(str, lambda value, rule: len(value) <= rule),
    "minItems": _bound(list, lambda value, rule: len(value) >= rule),
    "maxItems": _bound(list, lambda value, rule: len(value) <= rule),
    "minProperties": _bound(dict, lambda value, rule: len(value) >= rule),
}
