"""People read from a table of the user's: one row each, every value with a unit, every wrong cell named.

A header says the covariate and its unit (``weight [kg]``), or a population file maps covariates to headers
(``columns:``) and units (``units:``).
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field

from pkmodel import units
from pkmodel.errors import InputError, Problem, nearest, one_of, shown
from pkmodel.specs import fields
from pkmodel.specs.loading import Spec
from pkmodel.specs.plausible import PLAUSIBLE, PLAUSIBLE_TEXT
from pkmodel.specs.reading import content

Covariate = Literal["sex", "age", "height", "weight", "ancestry", "cyp2b6_activity", "hepatic_impairment", "severity"]
#: What is measured in a unit, with its kind; the rest are words or numbers.
_KINDS = {"age": "age", "height": "length", "weight": "weight"}
_NEEDED = ("sex", "age", "height", "weight")
_OPTIONAL = ("ancestry", "cyp2b6_activity", "hepatic_impairment", "severity")
_UNITS = {"age": "y", "height": "cm", "weight": "kg"}
_HEADER = re.compile(r"\s*(.*?)\s*(?:[\[(]\s*(.*?)\s*[\])])?\s*")
_MAX_MEGABYTES = 200
_MOST_PROBLEMS = 20


class FromCsv(Spec):
    """A table of people: a CSV file beside the population or the scenario, and how patients are drawn from it.

    ``in_order`` takes row 1 for patient 1 and so on; ``bootstrap`` (the default) draws a row for every patient, with
    replacement.
    """

    file: str = Field(min_length=1)
    draw: Literal["in_order", "bootstrap"] = "bootstrap"
    columns: dict[Covariate, str] = {}
    units: dict[Covariate, str] = {}


@dataclass(frozen=True)
class Table:
    """The people of a file: covariates by name, one value a row, in y, cm and kg; ``female`` is 0 or 1."""

    name: str
    draw: str
    columns: Mapping[str, tuple[float, ...]]
    sha256: str
    text: str

    @property
    def size(self) -> int:
        """How many people."""
        return len(next(iter(self.columns.values())))


def read(asked: FromCsv, beside: Path | None) -> Table:
    """The table that a population asks for; paths are relative to ``beside``, the folder of the file that asks.

    Raises InputError with the file, the line and the column of every wrong cell (the first 20 of them).
    """
    path = Path(asked.file).expanduser()
    path = beside / path if beside is not None and not path.is_absolute() else path
    try:
        raw = content(path, "CSV file", _MAX_MEGABYTES)
        text = raw.decode("utf-8-sig")
    except InputError as error:
        name = shown(asked.file.replace("\0", "\\0"))
        raise InputError(
            [Problem(f"{item.found}: {name}", item.expected, path="file") for item in error.problems]
        ) from None
    except UnicodeDecodeError:
        raise InputError(Problem(f"no text: {shown(asked.file)}", "a CSV file in UTF-8", path="file")) from None
    reader = csv.reader(io.StringIO(text), strict=True)
    try:
        header = next(reader, None)
        if not header:
            raise InputError(Problem("an empty file", "a header and a row for each person", where=asked.file, line=1))
        places = _places(asked, header)
        columns: dict[str, list[float]] = {"female" if name == "sex" else name: [] for name in places}
        problems: list[Problem] = []
        for row in reader:
            if not any(cell.strip() for cell in row):
                continue
            if len(row) != len(header):
                found = f"{len(row)} cells"
                problems.append(Problem(found, f"{len(header)} cells", where=asked.file, line=reader.line_num))
            else:
                for name, (index, unit) in places.items():
                    try:
                        value = _cell(name, row[index].strip(), unit)
                        columns["female" if name == "sex" else name].append(value)
                    except InputError as error:
                        problems += [
                            item.at(where=asked.file, line=reader.line_num, path=header[index].strip())
                            for item in error.problems
                        ]
            if len(problems) >= _MOST_PROBLEMS:
                break
    except csv.Error as error:
        raise InputError(Problem(str(error), "a row of a CSV file", where=asked.file, line=reader.line_num)) from None
    if problems:
        raise InputError(problems)
    if not columns["female"]:
        raise InputError(Problem("a header without rows", "a row for each person", where=asked.file, line=1))
    known = {name: tuple(values) for name, values in columns.items()}
    return Table(path.name, asked.draw, known, hashlib.sha256(raw).hexdigest(), text)


def _places(asked: FromCsv, header: list[str]) -> dict[str, tuple[int, str]]:
    """For each covariate the column in which it stands and its unit."""
    whole = [title.strip() for title in header]
    bare: list[str] = []
    stated: list[str] = []
    for title in header:
        match = _HEADER.fullmatch(title)
        if match is None:  # a quoted one may hold the end of a line
            raise InputError(Problem(f"the heading {shown(title)}", "a heading on one line", where=asked.file, line=1))
        bare.append(match[1])
        stated.append(match[2] or "")
    found: dict[str, tuple[int, str]] = {}
    problems = []
    for name in (*_NEEDED, *_OPTIONAL):
        title = asked.columns.get(name, name)  # type: ignore[call-overload]
        places = [index for index in range(len(header)) if title in (whole[index], bare[index])]
        if len(places) > 1:
            problems.append(Problem(f"{len(places)} columns {title}", "one", path=title, where=asked.file, line=1))
        elif places:
            unit = asked.units.get(name, stated[places[0]])  # type: ignore[call-overload]
            if name in _KINDS:
                problems += _unit_problems(name, unit, whole[places[0]], asked.file)
            found[name] = places[0], unit
        elif name in _NEEDED or name in asked.columns:
            expected = f"a column {title}" + (f" [{_UNITS[name]}]" if name in _UNITS else "")
            close = nearest(title, [other for other in bare if other not in (*_NEEDED, *_OPTIONAL)])
            problems.append(Problem(f"the columns {shown(', '.join(whole))}", expected, name, asked.file, 1, close))
    if problems:
        raise InputError(problems)
    return found


def _unit_problems(name: str, unit: str, title: str, file: str) -> list[Problem]:
    expected = f'a unit in the header, such as "{name} [{_UNITS[name]}]", or under `units:`'
    if not unit:
        return [Problem(f"{title} without a unit", expected, title, file, 1)]
    try:
        units.as_kind(f"1 {unit}", _KINDS[name])
    except InputError as error:
        return [Problem(problem.found, expected, title, file, 1, problem.nearest) for problem in error.problems]
    return []


def _cell(name: str, text: str, unit: str) -> float:
    """The value of a cell in base units. Raises InputError."""
    if not text:
        raise InputError(Problem("an empty cell", f"the {name} of a person"))
    words: tuple[str, ...] = {"sex": fields.SEXES, "ancestry": fields.ANCESTRIES}.get(name, ())
    if words:
        if text not in words:
            raise InputError(Problem(shown(text), one_of(words), nearest=nearest(text, words)))
        return float(text == "female") if name == "sex" else float(words.index(text))
    low, high = PLAUSIBLE[name]
    span = PLAUSIBLE_TEXT[name]
    try:
        value = units.as_kind(f"{text} {unit}", _KINDS[name]).value if name in _KINDS else float(text)
    except (InputError, ValueError):
        raise InputError(Problem(shown(text), f"a number, {span}")) from None
    if not low <= value <= high:
        raise InputError(Problem(f"{text} {unit}".strip(), f"{name} of {span}"))
    return value
