"""The suites of numeric cases: where they are, how a case is run through the public functions, how errors are measured.

``own_exact`` was made for this project and lies in the package. The others are tables of other programs, which are
read from beside the checkout where they are there, and are not part of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pkmodel.hybrid import hybrid_constants
from pkmodel.own_exact.tables import FOLDER, Outcome, case_of, compared
from pkmodel.sampled import sampled_auc, sampled_time_above

Floats = NDArray[np.float64]

TESTS = Path(__file__).resolve().parents[1]
BESIDE = TESTS.parents[1] / "shared" / "reference" / "cases"
ABSENT = "the folder shared/reference/cases is not beside the checkout"


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


def late(records: pd.DataFrame) -> pd.Series:
    """Which rows have a steady state with a lag above the interval, which is refused."""
    return (records["ss"] > 0) & (records["ii"] > 0) & (records["lag"] > records["ii"])


def run_records(suite: str, name: str) -> Outcome:
    """The errors of a table of records (:func:`compared`).

    Where a steady state has a lag above ii the same course is written as one may: the lag less whole intervals, and as
    many more additional doses.
    """
    case, records = case_of(FOLDERS[suite], name)
    if late(records).any():
        whole = np.where(late(records), records["lag"] // records["ii"].clip(lower=1), 0)
        records = records.assign(addl=records["addl"] + whole, lag=records["lag"] - whole * records["ii"])
    return compared(case, records)


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
    "own_exact": FOLDER,
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
