"""Peak, area, time above and crossings against exact figures, straight from the kernel."""

from __future__ import annotations

import pytest

from pkmodel.own_exact import inside

#: Relative tolerance of every figure; the reference is printed to 15 digits.
TOLERANCE = 1e-9

CASES = inside.load()
METRICS = inside.metrics()
ROWS = [pytest.param(index, id=f"{row.case_id}-{row.threshold:g}") for index, row in enumerate(METRICS.itertuples())]


def _relative(index: int) -> dict[str, float]:
    """The error of every figure of a line."""
    row = METRICS.iloc[index]
    return inside.errors_of(row, CASES[row["case_id"]])


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
