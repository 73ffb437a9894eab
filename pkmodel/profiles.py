"""Counts of patients by their covariates, once for everybody and once for those who break each rule.

A covariate that is a quantity is counted in the bins of :mod:`pkmodel.core.sketch` that the population can reach, one
that is a kind by what it may be. How many cells there are follows from the population file alone, so the counts of
chunks, blocks and shards add up to the same bits in any order.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pkmodel import replicates
from pkmodel.population import Population
from pkmodel.specs import fields
from pkmodel.specs.population import PopulationSpec

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Counts = NDArray[np.uint32]

#: What is smaller than this in its unit (an age of six days) counts as 0.
SMALLEST = 2.0**-6
#: BMI (kg/m2) below or above these counts as the one at the end; no person that a model was built on is outside.
BMI = (4.0, 256.0)
#: A column of a table with at most so many values of its own is counted by value.
_FEW = 8
_UNITS = {"age": "y", "weight": "kg", "height": "cm", "bmi": "kg/m2", "severity": ""}
_USUAL = {"cyp2b6_activity": 1.0, "hepatic_impairment": 0.0, "ancestry": 0.0}


@dataclass(frozen=True)
class Column:
    """One covariate and where its cells are.

    A quantity has the sketch's bins from ``low`` on, a kind the ``levels`` in the order of their ``values``.
    """

    name: str
    unit: str
    first: int
    size: int
    low: int = 0
    levels: tuple[str, ...] = ()
    values: tuple[float, ...] = ()

    def cells(self, values: Floats) -> Ints:
        """The cell (n,) of each value (n,)."""
        from pkmodel.core import sketch

        if self.levels:
            order = np.argsort(self.values)
            places: Ints = order[np.searchsorted(np.asarray(self.values)[order], values)]
            return self.first + places
        bins: Ints = np.clip(sketch.bins_of(values) - self.low, 0, self.size - 1)
        return self.first + bins

    def middles(self) -> Floats:
        """The value (size,) that stands for each bin."""
        from pkmodel.core import sketch

        found = sketch.middles()[self.low : self.low + self.size]
        return np.where(found < SMALLEST, 0.0, found)


@dataclass(frozen=True)
class Layout:
    """What is counted of the patients of a case: ``columns`` by the cells of row 0 for everybody.

    ``rows`` says which row (from 1) holds those who break a rule over a window. Patients that are spread evenly are
    counted by replicate.
    """

    columns: tuple[Column, ...]
    rows: dict[tuple[str, str], int]
    replicates: int = 1

    @property
    def width(self) -> int:
        """How many cells a row has."""
        return sum(column.size for column in self.columns)

    def nobody(self) -> Counts:
        """Counts (rows + 1, replicates, cells) over nobody; none at all without rules, or where nothing varies."""
        rows = len(self.rows) + 1 if self.rows and self.columns else 0
        return np.zeros((rows, self.replicates, self.width), dtype=np.uint32)

    def seen(self, people: Population, counts: Counts) -> Seen:
        """Count everybody of a chunk, and make ready to count those who break a rule."""
        cells = np.empty((len(self.columns), people.size), dtype=np.int64)
        if counts.size:
            for index, column in enumerate(self.columns):
                cells[index] = column.cells(_values(people, column.name))
            if self.replicates > 1:
                cells += replicates.of_patients(people.first, people.size, self.replicates) * self.width
        found = Seen(self, counts, cells)
        found.add(0, slice(None))
        return found


@dataclass(frozen=True)
class Seen:
    """The patients of a chunk, each in its cells (columns, n)."""

    layout: Layout
    counts: Counts
    cells: Ints

    def kept(self, rule: str, label: str, kept: NDArray[np.bool_]) -> None:
        """Count those of the patients (n,) who did not keep a rule."""
        self.add(self.layout.rows[rule, label], ~kept)

    def add(self, row: int, whom: NDArray[np.bool_] | slice) -> None:
        """Count patients into a row."""
        if self.counts.size:
            shape = self.counts.shape[1:]
            found = np.bincount(self.cells[:, whom].ravel(), minlength=shape[0] * shape[1])
            self.counts[row] += found.reshape(shape).astype(np.uint32)


def layout(spec: PopulationSpec, rows: Iterable[tuple[str, str]], replicates: int = 1) -> Layout:
    """What to count of the patients of a population; what is the same in everybody is left out.

    Parameters
    ----------
    rows
        the rules, each with a window.
    """
    columns: list[Column] = []
    width = 0
    for name, unit, low, high, levels in _wanted(spec):
        if levels:
            texts, values = zip(*levels, strict=True)
            column = Column(name, unit, width, len(levels), levels=texts, values=values)
        else:
            from pkmodel.core import sketch

            ends = sketch.bins_of(np.array([max(low, SMALLEST), max(high, SMALLEST)]))
            # One bin further down where there are values that count as 0.
            start = int(ends[0]) - (1 if low < SMALLEST else 0)
            column = Column(name, unit, width, int(ends[1]) - start + 1, low=start)
        columns.append(column)
        width += column.size
    return Layout(tuple(columns), {key: index for index, key in enumerate(dict.fromkeys(rows), 1)}, replicates)


def _values(people: Population, name: str) -> Floats:
    if name == "bmi":
        return people.covariates["weight"] / (people.covariates["height"] / 100.0) ** 2
    return people.covariates["female" if name == "sex" else name]


Levels = list[tuple[str, float]]


def _wanted(spec: PopulationSpec) -> list[tuple[str, str, float, float, Levels]]:
    """What varies: name, unit, ends, and for a kind its levels, from the one that is the least usual."""
    found: list[tuple[str, str, float, float, Levels]] = []
    ends = {name: support(spec, name)[:2] for name in ("age", "weight", "height")}
    (lightest, heaviest), (shortest, tallest) = ends["weight"], ends["height"]
    ends["bmi"] = tuple(  # type: ignore[assignment]
        float(np.clip(mass / (size / 100.0) ** 2, *BMI)) for mass, size in ((lightest, tallest), (heaviest, shortest))
    )
    if spec.has_severity:
        ends["severity"] = support(spec, "severity")[:2]
    found += [(name, _UNITS[name], low, high, []) for name, (low, high) in ends.items() if low < high]
    kinds: dict[str, dict[float, str]] = {
        "sex": {1.0: "female", 0.0: "male"},
        "ancestry": {float(index): name for index, name in reversed([*enumerate(fields.ANCESTRIES)])},
    }
    for name, words in kinds.items():
        there = support(spec, name)[2] or ()
        if len(there) > 1:
            found.append((name, "", 0.0, 0.0, [(word, value) for value, word in words.items() if value in there]))
    for name in ("cyp2b6_activity", "hepatic_impairment"):
        low, high, values = support(spec, name)
        if low < high:
            levels = [(f"{value:.12g}", value) for value in sorted(values or (), reverse=name == "hepatic_impairment")]
            found.append((name, "", low, high, levels))
    return found


def support(spec: PopulationSpec, name: str) -> tuple[float, float, tuple[float, ...] | None]:
    """The least and the largest value that anybody can have, and all of them where they are few; sex is 1 for women."""
    if spec.parts:
        lows, highs, several = zip(*(support(part, name) for part in spec.parts), strict=True)
        known = None if None in several else tuple(dict.fromkeys(value for values in several for value in values))
        return min(lows), max(highs), known
    if spec.table is not None:
        column = spec.table.columns.get("female" if name == "sex" else name)
        if column is not None:
            values = tuple(dict.fromkeys(column))
            return min(values), max(values), values if len(values) <= _FEW else None
    elif name == "sex":
        return _among(value for value, share in ((1.0, spec.female_share), (0.0, 1.0 - spec.female_share)) if share > 0)
    elif name == "ancestry":
        return _among(float(fields.ANCESTRIES.index(word)) for word, share in spec.ancestry.items() if share > 0)
    elif (distribution := getattr(spec, name)) is not None:
        return distribution.support  # type: ignore[no-any-return]
    return _among([_USUAL[name]])


def _among(values: Iterable[float]) -> tuple[float, float, tuple[float, ...]]:
    known = tuple(values)
    return min(known), max(known), known
