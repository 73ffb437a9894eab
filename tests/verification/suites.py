"""The suites of numeric cases: where they are, how a case is run through the public functions, how errors are measured.

``own_exact`` was made for this project and lies in tests/reference. The others are tables of other programs, which are
read from beside the checkout where they are there, and are not part of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import pkmodel as pk
from pkmodel.hybrid import hybrid_constants
from pkmodel.sampled import sampled_auc, sampled_time_above

Floats = NDArray[np.float64]

TESTS = Path(__file__).resolve().parents[1]
BESIDE = TESTS.parents[1] / "shared" / "reference" / "cases"
ABSENT = "the folder shared/reference/cases is not beside the checkout"

#: A level this far below the largest one of its case is held against that instead of against itself.
FLOOR = 1e-9
MODELS = {1: "one_compartment", 2: "two_compartment", 3: "three_compartment"}
PARAMETERS = ("CL", "V1", "Q2", "V2", "Q3", "V3", "KA", "KA2")


@dataclass(frozen=True)
class Outcome:
    """How a case went: numbers compared, and the largest error in the norm of its suite."""

    rows: int
    error: float


@dataclass(frozen=True)
class Suite:
    """A suite: its folder, the largest error allowed, how many cases it has, and how one of them is run."""

    name: str
    tolerance: float
    cases: int
    run: Callable[[str, str], Outcome]
    folder: Path

    @property
    def here(self) -> bool:
        """Whether its tables are there."""
        return self.folder.is_dir()

    def names(self) -> list[str]:
        """The names of its cases, in the order of the file."""
        file = next(self.folder / name for name in FILES if (self.folder / name).is_file())
        return pd.read_csv(file)["case_id"].tolist()  # type: ignore[no-any-return]


#: What holds the cases of a suite.
FILES = ("cases.csv", "metrics.csv", "hybrid.csv")


def errors(found: Floats, expected: Floats) -> Floats:
    """``|err| / max(|ref|, 1e-9 * the largest |value|)``, whatever the shape; where all are 0 the error itself."""
    largest = np.abs(expected).max(initial=0.0)
    scale = np.maximum(np.abs(expected), FLOOR * largest)
    return np.abs(found - expected) / np.where(scale > 0.0, scale, 1.0)


@cache
def _tables(folder: Path) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    """The cases of a suite by name, and the records of each."""
    cases = pd.read_csv(folder / "cases.csv").set_index("case_id")
    records = pd.read_csv(folder / "records.csv")
    return cases, {str(name): table.sort_values("row") for name, table in records.groupby("case_id")}


def case_of(folder: Path, name: str) -> tuple[pd.Series, pd.DataFrame]:
    """A case: its parameters and the rest of its line, and its records."""
    cases, records = _tables(folder)
    return cases.loc[name], records[name]


def simulated(case: pd.Series, records: pd.DataFrame) -> pd.DataFrame:
    """The records of a case through ``simulate_records``, as a user would."""
    depot = bool(case.get("depot", 1))
    given = {
        name: float(case[name])
        for name in PARAMETERS
        if name in case and pd.notna(case[name]) and (depot or name not in ("KA", "KA2"))
    }
    return pk.simulate_records(records, model=MODELS[int(case["n_cmt"])], parameters=given)


def late(records: pd.DataFrame) -> pd.Series:
    """Which rows have a steady state with a lag above the interval, which is refused."""
    return (records["ss"] > 0) & (records["ii"] > 0) & (records["lag"] > records["ii"])


def run_records(suite: str, name: str) -> Outcome:
    """The errors of a table of records: of its concentrations, and of its amounts, each against their own largest.

    Where a steady state has a lag above ii the same course is written as one may: the lag less whole intervals, and as
    many more additional doses.
    """
    case, records = case_of(FOLDERS[suite], name)
    if late(records).any():
        whole = np.where(late(records), records["lag"] // records["ii"].clip(lower=1), 0)
        records = records.assign(addl=records["addl"] + whole, lag=records["lag"] - whole * records["ii"])
    found = simulated(case, records)
    use = found["use"].to_numpy() == 1 if "use" in found else np.ones(len(found), dtype=bool)
    scale = case.get("conc_scale", 1.0)
    pairs = [(f"exp_{name[7:]}", found[name].to_numpy()) for name in found if name.startswith("amount_")]
    expected = {name: found[name].to_numpy(dtype=float) for name, _ in pairs if name in found}
    amounts = [(found_amounts, expected[name]) for name, found_amounts in pairs if name in expected]
    groups = [[(found["value"].to_numpy() * scale, found["exp_conc"].to_numpy(dtype=float))], amounts]
    rows, worst = np.zeros(len(found), dtype=bool), 0.0
    for group in groups:
        there = [use & np.isfinite(reference) for _, reference in group]
        if any(flags.any() for flags in there):
            values = np.concatenate([value[flags] for (value, _), flags in zip(group, there, strict=True)])
            references = np.concatenate([ref[flags] for (_, ref), flags in zip(group, there, strict=True)])
            worst = max(worst, float(errors(values, references).max()))
            for flags in there:
                rows |= flags
    return Outcome(int(rows.sum()), worst)


def run_sampled(suite: str, name: str) -> Outcome:
    """The error of one figure of a sampled curve; the figures are of the order of 1."""
    line = pd.read_csv(FOLDERS[suite] / "metrics.csv").set_index("case_id").loc[name]
    time, level = ([float(word) for word in str(line[key]).split()] for key in ("time", "conc"))
    method = "linear" if line["method"] == "linear" else "linear_up_log_down"
    if name.startswith("auc"):
        found = sampled_auc(time, level, method)
    else:
        found = sampled_time_above(time, level, float(line["threshold"]), method)
    return Outcome(1, abs(found - float(line["expected"])))


def run_hybrid(suite: str, name: str) -> Outcome:
    """The largest error of the rates and coefficients of a line; of a rate that is 0 against the largest one."""
    line = pd.read_csv(FOLDERS[suite] / "hybrid.csv").set_index("case_id").loc[name]
    micro = {key: float(line[key]) for key in ("k10", "k12", "k13", "k21", "k31") if pd.notna(line[key])}
    volume = float(line["v1"]) if pd.notna(line["v1"]) else 1.0
    found = hybrid_constants(**micro, volume=volume)
    worst, count = 0.0, 0
    for key, values in (("lambda", found.rates), ("coef", found.coefficients)):
        expected = line[[f"{key}{number}" for number in (1, 2, 3)]].to_numpy(dtype=float)
        if np.isfinite(expected).all():
            scale = np.where(expected > 0, expected, expected.max())
            worst, count = max(worst, float((np.abs(values - expected) / scale).max())), count + 3
    return Outcome(count, worst)


FOLDERS = {
    "own_exact": TESTS / "reference" / "own_exact",
    **{
        name: BESIDE / name
        for name in (
            "nonmem_nmtests",
            "pmxtools_closed_form",
            "torsten_amounts",
            "pknca_metrics",
            "stanpumpr_hybrid",
        )
    },
}


def _suite(name: str, tolerance: float, cases: int, run: Callable[[str, str], Outcome] = run_records) -> Suite:
    return Suite(name, tolerance, cases, run, FOLDERS[name])


#: stanpumpR prints seven digits, of the micro-constants that go in as well as of what comes out: 1e-6.
SUITES = {
    suite.name: suite
    for suite in (
        _suite("own_exact", 1e-11, 50),
        _suite("nonmem_nmtests", 6e-5, 27),
        _suite("pmxtools_closed_form", 6e-4, 18),
        _suite("torsten_amounts", 3e-6, 6),
        _suite("pknca_metrics", 1e-12, 13, run_sampled),
        _suite("stanpumpr_hybrid", 1e-6, 4, run_hybrid),
    )
}
