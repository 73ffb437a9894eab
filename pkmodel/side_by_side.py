"""Arms side by side: what every patient has in every arm becomes medians, and paired differences with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pkmodel import apart, dominance, paired, units
from pkmodel.dominance import Dominance
from pkmodel.paired import Median

Floats = NDArray[np.float64]

#: Columns of comparison.csv, in order.
COLUMNS = (
    "measure",
    "output",
    "condition",
    "of",
    "unit",
    "arm",
    "model",
    "n",
    "n_infinite",
    "median",
    "p5",
    "p95",
    "mean",
    "reference",
    "n_pairs",
    "difference",
    "difference_low",
    "difference_high",
    "ratio",
    "ratio_low",
    "ratio_high",
    "note",
    *dominance.COLUMNS,
    "population",
    "paired",
)


@dataclass(frozen=True)
class Measure:
    """What arms are compared in: of which output, under which condition, and of what part of the course (``of``)."""

    name: str
    output: str = ""
    condition: str = ""
    of: str = ""

    def __str__(self) -> str:
        *threshold, last = self.condition.split(", ")
        threshold += [last] if last != "illustrative" else []
        what = " ".join(filter(None, [self.name.replace("_", " "), *threshold]))
        what += (f" of {self.output}" if self.output else "") + (f", {self.of}" if self.of else "")
        return what + (" (illustrative)" if last == "illustrative" else "")


@dataclass(frozen=True)
class Values:
    """A measure of one arm: what each patient has (n,) in ``unit``; or None, and why."""

    values: Floats | None
    unit: str
    note: str = ""


@dataclass(frozen=True)
class Cell:
    """A measure of one arm over patients. What is not to be had is None; what is never reached is infinite."""

    arm: str
    model: str
    n: int
    n_infinite: int
    median: float | None
    p5: float | None
    p95: float | None
    mean: float | None
    note: str
    difference: Median | None = None
    ratio: Median | None = None
    sides: Dominance | None = None
    population: str = ""
    """Its name, where the arms have patients of several."""
    paired: bool | None = None
    """Whether the patients are those of the reference; None for the reference itself."""


@dataclass(frozen=True)
class Row:
    """A measure in every arm, in one unit; the differences and ratios are against the reference arm."""

    measure: Measure
    unit: str
    cells: tuple[Cell, ...]

    def plain(self, reference: str) -> list[dict[str, Any]]:
        """A line of comparison.csv for each arm; what is not to be had, or infinite, is None."""
        head = vars(self.measure) | {"unit": self.unit}
        found = []
        for cell in self.cells:
            row: dict[str, Any] = {**head, **vars(cell), "measure": head["name"], "reference": reference}
            if cell.arm == reference:
                row["reference"] = None
            pairs = cell.difference or cell.ratio
            row["n_pairs"] = pairs.n if pairs and cell.paired else None
            for name, of in (("difference", cell.difference), ("ratio", cell.ratio)):
                ends = (of.value, of.low, of.high) if of else (None, None, None)
                row |= dict(zip((name, f"{name}_low", f"{name}_high"), ends, strict=True))
            row |= dict.fromkeys(dominance.COLUMNS) if cell.sides is None else cell.sides.plain()
            found.append({key: _finite(row[key]) for key in COLUMNS})
        return found


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not np.isfinite(value) else value


def row(
    measure: Measure,
    arms: Sequence[tuple[str, str]],
    of_arm: Mapping[str, Values],
    reference: str,
    populations: Mapping[str, str] | None = None,
) -> Row:
    """A row of a comparison.

    Parameters
    ----------
    arms
        name and model of each arm, in order.
    of_arm
        what each arm has of the measure; patients are the same, in the same order, in all arms of a population.
    populations
        the population of each arm, where there are several: arms of another one than the reference's are not paired.
    """
    base = of_arm[reference]
    whose = populations or {}
    known = [item.unit for item in (base, *of_arm.values()) if item.values is not None]
    unit = known[0] if known else base.unit
    cells = []
    for arm, model in arms:
        item = of_arm[arm]
        values = None if item.values is None else item.values * units.ratio(item.unit, unit)
        cell = replace(_cell(arm, model, values, item.note), population=whose.get(arm, ""))
        if arm != reference:
            cell = replace(cell, paired=whose.get(arm) == whose.get(reference))
        if arm != reference and values is not None and base.values is not None:
            cell = _against(cell, values, base.values)
        cells.append(cell)
    return Row(measure, unit, tuple(cells))


def _against(cell: Cell, own: Floats, other: Floats) -> Cell:
    """A cell with what sets it apart from the reference: patient by patient, or group against group."""
    if not cell.paired:
        gap, ratio, sides = apart.difference(own, other), apart.ratio(own, other), apart.sides(own, other)
    else:
        gap = paired.median(paired.differences(own, other))
        ratio = paired.median(paired.ratios(own, other))
        sides = dominance.of_pairs(own, other)
    return replace(cell, difference=gap, ratio=ratio, sides=sides)


def _cell(arm: str, model: str, values: Floats | None, note: str) -> Cell:
    if values is None:
        return Cell(arm, model, 0, 0, None, None, None, None, note)
    infinite = int(np.isinf(values).sum())
    order = np.sort(values)
    # The values of patients, not between two of them: one may be infinite.
    p5, p95 = (float(order[min(int(np.ceil(share * order.size)), order.size) - 1]) for share in (0.05, 0.95))
    middle = paired.median(values)
    assert middle is not None
    mean = float(values.mean())
    return Cell(arm, model, values.size, infinite, middle.value, p5, p95, mean, note)


@dataclass
class Collected:
    """What patients have in one arm, gathered chunk by chunk, in the order of the patients."""

    parts: dict[Measure, list[Floats]] = field(default_factory=dict)
    units: dict[Measure, str] = field(default_factory=dict)
    notes: dict[Measure, str] = field(default_factory=dict)

    def add(self, measure: Measure, values: Floats, unit: str, note: str = "") -> None:
        """Take what the patients of a chunk have (n,)."""
        self.parts.setdefault(measure, []).append(values)
        self.units[measure], self.notes[measure] = unit, note

    def of(self, measure: Measure, missing: Values) -> Values:
        """All patients' values of a measure, or what stands for none."""
        if measure not in self.parts:
            return missing
        return Values(np.concatenate(self.parts[measure]), self.units[measure], self.notes[measure])


Side = Literal["highest", "lowest", "sum", "mean", "last"]


def over_sessions(values: Floats, how: Side, given: NDArray[np.bool_]) -> Floats:
    """What the sessions of a course have together (n,), of values (s, n); those of no NaN are none either.

    ``given`` (s, n) says in which sessions a patient got something: a mean is over these, and the last is the last of
    them (0 and the first where there is none).
    """
    match how:
        case "highest":
            return values.max(axis=0)  # type: ignore[no-any-return]
        case "lowest":
            return values.min(axis=0)  # type: ignore[no-any-return]
        case "sum":
            return values.sum(axis=0)  # type: ignore[no-any-return]
        case "mean":
            number = given.sum(axis=0)
            if number.min() == values.shape[0]:
                return values.mean(axis=0)  # type: ignore[no-any-return]
            mean: Floats = np.where(number > 0, values.sum(axis=0) / np.maximum(number, 1), 0.0)
            return mean
        case "last":
            place = values.shape[0] - 1 - np.argmax(given[::-1], axis=0)
            last: Floats = np.take_along_axis(values, np.where(given.any(axis=0), place, 0)[None], axis=0)[0]
            return last
