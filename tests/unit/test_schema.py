"""The JSON Schemas for editors: what is shipped fits them, what is wrong does not, and nothing in them is left open."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from json_schema import faults

from pkmodel.errors import InputError
from pkmodel.specs.loading import library
from pkmodel.specs.schema import NAMES, schema_of
from pkmodel.specs.yaml_tree import read_yaml

Command = Callable[..., Any]
BAD = Path(__file__).parents[1] / "bad_specs"
SCHEMAS = {kind: schema_of(kind) for kind in NAMES}
#: Wrong files whose mistake is one that a schema can say: misspelt keys, missing ones, no unit, a wrong type.
WRONG = {
    "protocol": [
        "key_typo_drug",
        "key_typo_phases",
        "sessions_key_typo",
        "limit_key_typo",
        "dose_without_unit",
        "dose_negative",
        "dose_in_words",
        "dose_is_a_list",
        "drug_typo",
        "route_unknown",
        "phases_empty",
        "phase_is_a_word",
        "pattern_key_typo",
        "pattern_eight_a_week",
        "pattern_week_days_by_name",
        "taper_by_month",
        "taper_shape_unknown",
        "taper_one_session",
        "device_sprays_zero",
        "round_unknown",
        "over_without_unit",
    ],
}


def objects(schema: Any) -> Iterator[dict[str, Any]]:
    """Every part of a schema that is a mapping."""
    if isinstance(schema, dict):
        yield schema
        for part in schema.values():
            yield from objects(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from objects(part)


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in NAMES for name in library(NAMES[kind])])
def test_shipped_files_fit(kind: str, name: str) -> None:
    """Whatever the program takes of the library the schema takes too."""
    assert faults(read_yaml(library(NAMES[kind])[name]).tree, SCHEMAS[kind], SCHEMAS[kind]) == []


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, names in WRONG.items() for name in names])
def test_wrong_files_do_not_fit(kind: str, name: str) -> None:
    """What an editor should underline."""
    tree = read_yaml(BAD / NAMES[kind] / f"{name}.yaml").tree
    assert faults(tree, SCHEMAS[kind], SCHEMAS[kind])


@pytest.mark.parametrize(("kind", "least"), [("model", 10), ("effect", 5), ("population", 10), ("scenario", 15)])
def test_wrong_files_of_other_kinds_do_not_fit(kind: str, least: int) -> None:
    """Of the wrong files at least those are seen that were seen when this was written."""
    seen = 0
    for file in sorted((BAD / NAMES[kind]).glob("*.yaml")):
        try:
            tree = read_yaml(file).tree
        except InputError:  # no YAML of ours, for which no schema is asked
            continue
        seen += bool(faults(tree, SCHEMAS[kind], SCHEMAS[kind]))
    assert seen >= least


@pytest.mark.parametrize("kind", sorted(NAMES))
def test_nothing_is_left_open(kind: str) -> None:
    """Unknown keys are refused in every section, and every key says what it takes; quantities have an example."""
    schema = SCHEMAS[kind]
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["additionalProperties"] is False
    for part in objects(schema):
        if "properties" in part and isinstance(part["properties"], dict) and "type" in part:
            assert "additionalProperties" in part, part
            for key, value in part["properties"].items():
                assert set(value) - {"title", "default"}, f"{key} of {part.get('title')}: its reader needs shapes.takes"
        if "pattern" in part and "description" in part:
            assert part.get("examples"), part


def test_every_key_of_the_code_is_in_the_schema() -> None:
    """Aliases as a file has them: ``from``, ``in``, ``as``, ``for``."""
    phase = SCHEMAS["protocol"]["$defs"]["Phase"]["properties"]
    assert {"name", "dose", "sessions", "after", "taper", "escalate", "over", "as", "route"} <= set(phase)
    taper = SCHEMAS["protocol"]["$defs"]["Taper"]["properties"]
    assert {"from", "to", "steps", "step", "factor", "floor", "interval"} <= set(taper) and "start" not in taper
    assert "in" in SCHEMAS["scenario"]["$defs"]["Rule"]["properties"]


def test_command_prints_a_schema(command: Command) -> None:
    """JSON on standard output and nothing beside it; an unknown kind is one error with the nearest."""
    outcome = command("schema", "protocol")
    assert (outcome.code, outcome.err) == (0, "")
    assert json.loads(outcome.out) == SCHEMAS["protocol"]
    wrong = command("schema", "protocols")
    assert (wrong.code, wrong.out) == (2, "")
    assert "found protocols" in wrong.err and "nearest protocol" in wrong.err
