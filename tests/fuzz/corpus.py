"""What inputs are made of: the shipped files as trees, and values that files of this kind may not hold."""

from __future__ import annotations

from functools import cache
from typing import Any

import yaml

from pkmodel.specs.loading import library
from pkmodel.specs.yaml_tree import read_yaml

Tree = Any
Place = tuple[str | int, ...]

KINDS = ("models", "effects", "protocols", "populations", "scenarios", "rules")

#: Scalars that no field takes as they are, or that lie at the end of what one takes.
HOSTILE: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    -0.0,
    1,
    2**63,
    10**17,
    1e308,
    5e-324,
    -1e-300,
    float("nan"),
    float("inf"),
    float("-inf"),
    "",
    " ",
    "nan",
    ".inf",
    "inf mg",
    "nan mg/kg",
    "-5 mg",
    "0 mg",
    "0 h",
    "1e400 mg",
    "1e300 mg",
    "1e-300 L",
    "1e308 h",
    "0.5 mg/kg",
    "5 furlongs",
    "mg",
    "3",
    "3 %",
    "100 %",
    "101 %",
    "-3 %",
    "1 mg/mg",
    "9**9**9",
    "__import__('os').system('id')",
    "(" * 150 + "1" + ")" * 150,
    "exp(exp(exp(weight)))",
    "log(-1)",
    "0 / 0",
    "weight ** 400",
    "../../../etc/passwd",
    "/etc/passwd",
    "/dev/zero",
    "~/.bashrc",
    "a/b\\c",
    "con",
    "<script>alert(1)</script>",
    "\u202egm\u202c",
    "e\u0301\U0001f489",
    "\ud7ff\ue000",
    "\x1b[2J\x1b[31mmet\x1b[0m",
    "broken\b\b\b\b\b\bmet",
    "a\u2066b\u2069",
    "a\r\nb",
    "a\u2028\x85b",
    "nul\0nul",
    "x" * 2000,
    "[bold]x[/bold]",
    "{0}",
    "%s%n",
    [],
    {},
    [[]],
    [{}],
    {"": ""},
    [1, 2, 3],
    ["iv"],
    [0.5, 0.5, 0.5],
)

#: Units that a quantity may be given.
UNITS = (
    "mg",
    "ug",
    "mg/kg",
    "mg/m2",
    "mL",
    "L",
    "L/h",
    "L/h/kg",
    "1/h",
    "h",
    "min",
    "d",
    "kg",
    "cm",
    "y",
    "%",
    "ng/mL",
)
UNITS += ("mg/kg/h", "ug/kg/min", "points", "mmHg", "mg/h", "mL/min/70kg", "lb", "s", "wk")


@cache
def files(kind: str) -> tuple[tuple[str, Tree], ...]:
    """The shipped files of a kind, as names and trees."""
    return tuple((name, read_yaml(path).tree) for name, path in sorted(library(kind).items()))


@cache
def texts(kind: str) -> tuple[str, ...]:
    """The shipped files of a kind as they are written."""
    return tuple(path.read_text(encoding="utf-8") for path in library(kind).values())


@cache
def places(kind: str) -> dict[str, tuple[Any, ...]]:
    """What stands under each key in any shipped file of a kind."""
    found: dict[str, list[Any]] = {}
    for _, tree in files(kind):
        for _, key, value in walk(tree):
            if isinstance(key, str):
                found.setdefault(key, []).append(value)
    return {key: tuple(values) for key, values in found.items()}


def walk(tree: Tree, place: Place = ()) -> list[tuple[Place, str | int, Any]]:
    """Every place of a tree with its key and what stands there."""
    found: list[tuple[Place, str | int, Any]] = []
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        found.append(((*place, key), key, value))
        found += walk(value, (*place, key))
    return found


def written(tree: Tree) -> str:
    """A tree as a file."""
    return yaml.dump(tree, Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=1000)


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """Writes a value that stands in two places twice: files of ours have no anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True
