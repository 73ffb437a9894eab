"""Peak, area, time above and crossings against exact figures, straight from the kernel."""

from __future__ import annotations

import numpy as np
import own_exact
import pytest
from own_exact import Scanned

#: Relative tolerance of every figure; the reference is printed to 15 digits.
TOLERANCE = 1e-9

CASES = own_exact.load()
METRICS = own_exact.metrics()
ROWS = [pytest.param(index, id=f"{row.case_id}-{row.threshold:g}") for index, row in enumerate(METRICS.itertuples())]


def _scan(index: int) -> tuple[Scanned, float]:
    """The figures that belong to a line of the table, and the volume that turns amounts into its unit."""
    row = METRICS.iloc[index]
    case = CASES[row["case_id"]]
    start, end = (float(edge) for edge in row["window"].split("-"))
    return own_exact.scan(case, start, end, np.array([row["threshold"] * case.volume])), case.volume


def _relative(index: int) -> dict[str, float]:
    """The error of every figure of a line, each relative to the reference (time of peak: to the window of 24 h)."""
    row = METRICS.iloc[index]
    found, volume = _scan(index)
    crossings = np.array([float(word) for word in row["continuous_crossings"].split()])
    assert found.crossings[0].size == crossings.size, f"{found.crossings[0]} are not the crossings {crossings}"
    return {
        "auc": abs(found.area / volume / row["auc"] - 1.0),
        "cmax": abs(found.peak / volume / row["cmax"] - 1.0),
        "tmax": abs(found.time_of_peak - row["tmax"]) / 24.0,
        "time_above": abs(found.time_above[0] / row["time_above"] - 1.0),
        "crossings": float(np.abs(found.crossings[0] / crossings - 1.0).max()),
    }


@pytest.mark.parametrize("index", ROWS)
def test_figures(index: int) -> None:
    """Every figure of a line agrees to 1e-9."""
    errors = _relative(index)
    assert max(errors.values()) <= TOLERANCE, errors


def test_every_line_is_read() -> None:
    """15 lines of five cases, each with at least one crossing."""
    assert len(METRICS) == 15
    assert METRICS["case_id"].nunique() == 5
    assert set(METRICS["window"]) == {"0-24"}
    assert sum(len(text.split()) for text in METRICS["continuous_crossings"]) == 37


def test_worst_error() -> None:
    """The digits achieved over all lines, shown with ``pytest -s``."""
    table = [_relative(index) for index in range(len(METRICS))]
    worst = {figure: max(line[figure] for line in table) for figure in table[0]}
    print("\nmetrics, worst errors: " + ", ".join(f"{figure} {error:.1e}" for figure, error in worst.items()))
    assert max(worst.values()) <= TOLERANCE
