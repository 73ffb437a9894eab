"""The cases as tables of records, each row with what is in the body after it, and how far a result is from them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pkmodel.records import simulate_records

Floats = NDArray[np.float64]

FOLDER = Path(__file__).resolve().parent

#: A level this far below the largest one of its case is held against that instead of against itself.
FLOOR = 1e-9
MODELS = {1: "one_compartment", 2: "two_compartment", 3: "three_compartment"}
PARAMETERS = ("CL", "V1", "Q2", "V2", "Q3", "V3", "KA", "KA2")


@dataclass(frozen=True)
class Outcome:
    """How a case went: numbers compared, and the largest error in the norm of its suite."""

    rows: int
    error: float


def errors(found: Floats, expected: Floats) -> Floats:
    """``|err| / max(|ref|, 1e-9 * the largest |value|)``, whatever the shape; where all are 0 the error itself."""
    largest = np.abs(expected).max(initial=0.0)
    scale = np.maximum(np.abs(expected), FLOOR * largest)
    return np.abs(found - expected) / np.where(scale > 0.0, scale, 1.0)


@cache
def tables(folder: Path) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    """The cases of a suite by name, and the records of each."""
    cases = pd.read_csv(folder / "cases.csv").set_index("case_id")
    records = pd.read_csv(folder / "records.csv")
    return cases, {str(name): table.sort_values("row") for name, table in records.groupby("case_id")}


def case_of(folder: Path, name: str) -> tuple[pd.Series, pd.DataFrame]:
    """A case: its parameters and the rest of its line, and its records."""
    cases, records = tables(folder)
    (place,) = np.flatnonzero(cases.index == name)
    return cases.iloc[place], records[name]


def simulated(case: pd.Series, records: pd.DataFrame) -> pd.DataFrame:
    """The records of a case through ``simulate_records``, as a user would."""
    depot = bool(case.get("depot", 1))
    given = {
        name: float(case[name])
        for name in PARAMETERS
        if name in case and pd.notna(case[name]) and (depot or name not in ("KA", "KA2"))
    }
    return simulate_records(records, MODELS[int(case["n_cmt"])], given)


def compared(case: pd.Series, records: pd.DataFrame) -> Outcome:
    """The errors of a table of records: of its concentrations, and of its amounts, each against their own largest."""
    found = simulated(case, records)
    use = found["use"].to_numpy() == 1 if "use" in found else np.ones(len(found), dtype=bool)
    scale = case.get("conc_scale", 1.0)
    amount = "amount_"
    named = [name for name in map(str, found.columns) if name.startswith(amount)]
    pairs = [(f"exp_{name.removeprefix(amount)}", found[name].to_numpy()) for name in named]
    expected = {name: found[name].to_numpy(dtype=float) for name, _ in pairs if name in found}
    amounts = [(found_amounts, expected[name]) for name, found_amounts in pairs if name in expected]
    groups = [[(found["value"].to_numpy() * scale, found["exp_conc"].to_numpy(dtype=float))], amounts]
    rows, worst = np.zeros(len(found), dtype=bool), 0.0
    for group in groups:
        there = [use & np.isfinite(reference) for _, reference in group]
        if any(flags.any() for flags in there):
            values = np.concatenate([value[flags] for (value, _), flags in zip(group, there, strict=True)])
            references = np.concatenate([ref[flags] for (_, ref), flags in zip(group, there, strict=True)])
            # A NaN goes through this, as it would not through max().
            worst = float(np.maximum(worst, errors(values, references).max()))
            for flags in there:
                rows |= flags
    return Outcome(int(rows.sum()), worst)
