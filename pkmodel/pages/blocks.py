"""What a report is made of, whatever it becomes: text, lists, tables, pictures and commands, in sections.

Every string is plain text; a form that needs markup escapes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal


@dataclass(frozen=True)
class Words:
    """A paragraph; ``strong`` where it must not be overlooked."""

    kind: ClassVar[str] = "words"
    text: str
    strong: bool = False


@dataclass(frozen=True)
class Heading:
    """The heading of a part of a section."""

    kind: ClassVar[str] = "heading"
    text: str


@dataclass(frozen=True)
class Items:
    """A list of sentences."""

    kind: ClassVar[str] = "items"
    items: tuple[str, ...]


@dataclass(frozen=True)
class Facts:
    """Names with what is known of each."""

    kind: ClassVar[str] = "facts"
    facts: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Commands:
    """Lines to type."""

    kind: ClassVar[str] = "commands"
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Verdict:
    """A cell with a verdict; its mark says it without colour."""

    kind: ClassVar[str] = "verdict"
    word: str

    @property
    def tone(self) -> Literal["met", "broken", "open"]:
        """What it is drawn as."""
        return self.word if self.word in ("met", "broken") else "open"  # type: ignore[return-value]

    @property
    def mark(self) -> str:
        """A sign of its own for each."""
        return {"met": "✓", "broken": "✗", "open": "?"}[self.tone]


@dataclass(frozen=True)
class Strip:
    """A cell that draws a share with its interval against the required one, on a scale from ``first`` to 1.

    What it shows stands in words in other cells of its row.
    """

    kind: ClassVar[str] = "strip"
    share: float
    low: float
    high: float
    required: float
    first: float = 0.0


Cell = str | Verdict | Strip


@dataclass(frozen=True)
class Column:
    """The head of a column; numbers stand to the right, and hashes may break anywhere."""

    head: str
    form: Literal["text", "number", "drawn", "code"] = "text"


@dataclass(frozen=True)
class Table:
    """Rows under heads, in groups with a name (empty where there is one group only). The first cell names its row."""

    kind: ClassVar[str] = "table"
    caption: str
    columns: tuple[Column, ...]
    groups: tuple[tuple[str, tuple[tuple[Cell, ...], ...]], ...]
    note: str = ""

    @property
    def size(self) -> int:
        """How many rows there are, the names of groups among them."""
        return sum(len(rows) + bool(name) for name, rows in self.groups)

    def __post_init__(self) -> None:
        for _, rows in self.groups:
            for row in rows:
                if len(row) != len(self.columns):
                    raise ValueError(f"{self.caption}: {len(row)} cells under {len(self.columns)} heads")


def table(caption: str, columns: Sequence[Column | str], rows: Sequence[Sequence[Cell]], note: str = "") -> Table:
    """A table of one group; a bare head is a column of text."""
    heads = tuple(Column(head) if isinstance(head, str) else head for head in columns)
    return Table(caption, heads, (("", tuple(tuple(row) for row in rows)),), note)


def number(head: str) -> Column:
    """A column of numbers."""
    return Column(head, "number")


@dataclass(frozen=True)
class Picture:
    """A PNG with what is seen on it in words."""

    kind: ClassVar[str] = "picture"
    name: str
    png: bytes = field(repr=False)
    width: int
    height: int
    alt: str
    caption: str


Block = Words | Heading | Items | Facts | Commands | Table | Picture


@dataclass(frozen=True)
class Section:
    """A part of the report under a heading."""

    key: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Report:
    """A report: its head, and the sections that follow."""

    title: str
    question: str
    context_of_use: str
    disclaimer: str
    facts: tuple[tuple[str, str], ...]
    sections: tuple[Section, ...]
