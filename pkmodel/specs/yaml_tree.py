"""YAML read safely: plain data with the line of every key, and nothing that a file of ours needs not.

Built on PyYAML's parser events, not on its constructors, so a tag cannot make an object and an alias
cannot make a bomb; both are refused, as are duplicate keys. Scalars follow YAML 1.2's core schema,
because under YAML 1.1 the key ``on`` of an effect file would read as *true*.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from pkmodel.errors import InputError, Problem, shown
from pkmodel.specs.reading import content

Tree = Any
Place = tuple[str | int, ...]

MAX_MEGABYTES = 1
MAX_DEPTH = 40
MAX_NODES = 50_000
#: What does not show but acts: controls, and marks that turn the direction of writing.
_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_TOO_DEEP, _ORDINARY = "a file nested too deeply or with too many values", "a file of ordinary size"

_SEEN = "text without control characters and marks of direction"

_INTEGER = re.compile(r"[-+]?[0-9]{1,18}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]{1,3})?")
_WORDS: dict[str, bool | None] = {"null": None, "Null": None, "NULL": None, "~": None, "": None}
_WORDS |= {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass
class Document:
    """A file as plain data, with the line on which each place of it stands."""

    name: str
    tree: Tree
    lines: dict[Place, int] = field(default_factory=dict)
    path: Path | None = None
    text: str = ""
    asked: tuple[str, str] = ("", "")
    """The kind and the name or path by which it was asked for, where that was one."""

    def line(self, place: Place) -> int:
        """The line of a place, or of the nearest place around it (0 where there is no file)."""
        for length in range(len(place), -1, -1):
            if (line := self.lines.get(place[:length])) is not None:
                return line
        return 0


def read_yaml(path: Path) -> Document:
    """Read a file. Raises InputError, with the line where there is one."""

    def refuse(found: str, expected: str) -> InputError:
        return InputError(Problem(found=found, expected=expected, where=str(path)))

    raw = content(path, "YAML file", MAX_MEGABYTES)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise refuse("a binary file", "a YAML file in UTF-8") from None
    if "\0" in text:
        raise refuse("a binary file", "a YAML file in UTF-8")
    return read_yaml_text(text, str(path), path)


def read_yaml_text(text: str, name: str, path: Path | None = None) -> Document:
    """Read YAML from a string; ``name`` stands for the file in messages."""
    document = Document(name=name, tree=None, path=path, text=text)
    try:
        _Builder(document, yaml.parse(text, Loader=_Loader)).build()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 0
        if "nesting depth" in (error.problem or ""):  # the parser's own limit, in its newer releases
            raise InputError(Problem(_TOO_DEEP, _ORDINARY, where=name, line=line)) from None
        raise InputError(
            Problem(found=shown(error.problem or "broken YAML"), expected="valid YAML", where=name, line=line)
        ) from None
    except yaml.YAMLError as error:
        raise InputError(Problem(found=shown(str(error)), expected="valid YAML", where=name)) from None
    if document.tree is None:
        raise InputError(Problem(found="an empty file", expected="keys and values", where=name))
    if not isinstance(document.tree, dict):
        raise InputError(
            Problem(found=shown(document.tree), expected="keys and values at the top of the file", where=name, line=1)
        )
    return document


class _Builder:
    """Turns parser events into plain data and notes the line of every place."""

    def __init__(self, document: Document, events: Iterator[Any]):
        self.document, self.events, self.nodes = document, events, 0

    def build(self) -> None:
        seen = False
        for event in self.events:
            if isinstance(event, (yaml.ScalarEvent, yaml.MappingStartEvent, yaml.SequenceStartEvent, yaml.AliasEvent)):
                if seen:
                    raise self.refuse(event, "a second YAML document", "one document per file")
                self.document.tree, seen = self.node(event, ()), True

    def node(self, event: Any, place: Place) -> Tree:
        self.nodes += 1
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise self.refuse(event, f"the YAML anchor or alias {event.anchor}", "plain values, written out", place)
        if event.tag is not None:
            raise self.refuse(event, f"the YAML tag {shown(event.tag)}", "plain values without a tag", place)
        if len(place) > MAX_DEPTH or self.nodes > MAX_NODES:
            raise self.refuse(event, _TOO_DEEP, _ORDINARY)
        self.document.lines.setdefault(place, event.start_mark.line + 1)
        if isinstance(event, yaml.ScalarEvent):
            if _UNSEEN.search(event.value):
                raise self.refuse(event, f"an unseen character in {shown(event.value)}", _SEEN, place)
            return _scalar(event)
        if isinstance(event, yaml.SequenceStartEvent):
            items: list[Tree] = []
            while not isinstance(item := next(self.events), yaml.SequenceEndEvent):
                items.append(self.node(item, (*place, len(items))))
            return items
        mapping: dict[str, Tree] = {}
        while not isinstance(key := next(self.events), yaml.MappingEndEvent):
            name = self.key(key, place)
            if name in mapping:
                raise self.refuse(key, f"the key {shown(name)} a second time", "each key once", place)
            mapping[name] = self.node(next(self.events), (*place, name))
        return mapping

    def key(self, event: Any, place: Place) -> str:
        """A key of a mapping, with its line noted."""
        if not isinstance(event, yaml.ScalarEvent):
            raise self.refuse(event, "a key that is not a name", "a name", place)
        if event.anchor or event.tag is not None:
            raise self.refuse(event, "a key with a YAML tag or anchor", "a name", place)
        name = str(event.value)
        if _UNSEEN.search(name) or "\n" in name:
            raise self.refuse(event, f"an unseen character in the key {shown(name)}", _SEEN, place)
        start: Any = event.start_mark
        self.document.lines.setdefault((*place, name), start.line + 1)
        return name

    def refuse(self, event: Any, found: str, expected: str, place: Place = ()) -> InputError:
        line: int = event.start_mark.line + 1
        return InputError(Problem(found, expected, path=dotted(place), where=self.document.name, line=line))


def dotted(place: Place) -> str:
    """A place as messages write it: ``phases[1].dose``."""
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _scalar(event: Any) -> Any:
    if not event.implicit[0]:  # quoted, so it is text
        return event.value
    value: str = event.value
    if value in _WORDS:
        return _WORDS[value]
    if _INTEGER.fullmatch(value):
        return int(value)
    if _FLOAT.fullmatch(value) and math.isfinite(float(value)):
        return float(value)
    return value
