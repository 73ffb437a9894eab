"""YAML as plain data: YAML 1.2 scalars, the line of every place, and nothing dangerous."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from pkmodel.errors import InputError
from pkmodel.specs.yaml_tree import dotted, read_yaml, read_yaml_text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"), ("off", "off"), ("yes", "yes"), ("no", "no"), ("y", "y"), ("N", "N"), ("true", True),
        ("False", False), ("null", None), ("~", None), ("", None), ("'null'", "null"), ('"12"', "12"), ("12", 12),
        ("-3", -3), ("010", 10), ("0x10", "0x10"), ("0o17", "0o17"), ("1:30", "1:30"), ("1_000", "1_000"),
        ("1.5", 1.5), (".5", 0.5), ("1e3", 1000.0), ("1E-3", 0.001), (".nan", ".nan"), (".inf", ".inf"),
        ("-.inf", "-.inf"), ("1e999", "1e999"), ("2026-11-23", "2026-11-23"), ("0.5 mg/kg", "0.5 mg/kg"), ("=", "="),
    ],
)  # fmt: skip
def test_scalar(text: str, value: object) -> None:
    """The core schema of YAML 1.2, without octal, base 60, dates, infinities or NaN."""
    found = read_yaml_text(f"key: {text}\n", "x").tree["key"]
    assert found == value
    assert type(found) is type(value)


def test_key_on_is_text() -> None:
    """Under YAML 1.1 the key ``on`` of an effect file would be the boolean True."""
    assert read_yaml_text("on: esketamine\nno: 1\n1: 2\n", "x").tree == {"on": "esketamine", "no": 1, "1": 2}


def test_lines_of_places() -> None:
    """Every key and every item of a list has its line; a place that does not exist has that of what is around it."""
    text = "a: 1\nb:\n  - c: 2\n    d: 3\n  -\n    e: [1,\n        2]\nf: |\n  text\n  more\ng: 4\n"
    document = read_yaml_text(text, "x")
    lines = {
        ("a",): 1,
        ("b",): 2,
        ("b", 0, "c"): 3,
        ("b", 0, "d"): 4,
        ("b", 1, "e"): 6,
        ("b", 1, "e", 1): 7,
        ("f",): 8,
        ("g",): 11,
        ("b", 0, "missing"): 3,
        ("b", 7): 2,
        ("missing", "too"): 1,
    }
    assert {place: document.line(place) for place in lines} == lines
    assert document.tree["f"] == "text\nmore\n"


@pytest.mark.parametrize(
    ("text", "found", "line"),
    [
        ("a: 1\nb: !!python/object/new:os.system [x]\n", "YAML tag", 2),
        ("a: !!int '3'\n", "YAML tag", 1),
        ("a: 1\n!x b: 2\n", "tag or anchor", 2),
        ("a: 1\nb: &x [1]\n", "anchor", 2),
        ("a: 1\nb: *x\n", "alias", 2),
        ("a: 1\n&x b: 2\n", "tag or anchor", 2),
        ("a: 1\n*x : 2\n", "not a name", 2),
        ("a: 1\nb: 2\na: 3\n", "the key a a second time", 3),
        ("a:\n  b: 1\n  b: 1\n", "the key b a second time", 3),
        ("a: 1\n---\nb: 2\n", "second YAML document", 3),
        ("a: 1\n\tb: 2\n", "tab", 2),
        ("? [a]\n: 1\n", "not a name", 1),
    ],
)
def test_refused(text: str, found: str, line: int) -> None:
    """Tags, anchors, aliases, double keys, second documents: one problem with its line."""
    with pytest.raises(InputError) as refused:
        read_yaml_text(text, "x.yaml")
    (problem,) = refused.value.problems
    assert found in problem.found
    assert (problem.where, problem.line) == ("x.yaml", line)


def test_bomb_is_refused_at_once() -> None:
    """Nine levels of nine aliases would be a billion items; the first anchor is already refused."""
    levels = [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 10)]
    begin = time.perf_counter()
    with pytest.raises(InputError, match="anchor"):
        read_yaml_text("\n".join(["l0: &l0 [x]", *levels]), "x")
    assert time.perf_counter() - begin < 1.0


def test_big_file_is_not_read_whole(tmp_path: Path) -> None:
    """A sparse file of 1 TB is refused at once."""
    file = tmp_path / "big.yaml"
    with file.open("wb") as handle:
        handle.truncate(2**40)
    with pytest.raises(InputError, match="more than 1 MB"):
        read_yaml(file)


def test_dotted() -> None:
    """A place as messages write it."""
    assert dotted(("phases", 1, "taper", "intervals", 0)) == "phases[1].taper.intervals[0]"
