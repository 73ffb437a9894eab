"""The engine against 17-digit amounts after every record of an event table."""

from __future__ import annotations

from collections import Counter

import numpy as np
import own_exact
import pandas as pd
import pytest
from own_exact import Case, Floats

#: The tolerance that holds with an exact engine, in the norm of :func:`errors`.
TOLERANCE = 1e-11
#: A level this far below the largest one of its case is held against that instead of against itself.
FLOOR = 1e-9

CASES = own_exact.load()
COVERED = [name for name, case in CASES.items() if not case.needs]


def errors(found: Floats, expected: Floats) -> Floats:
    """``|err| / max(|ref|, 1e-9 * the largest |value|)``, whatever the shape."""
    largest = np.abs(expected).max()
    return np.abs(found - expected) / np.maximum(np.abs(expected), FLOOR * largest)


def deviations(case: Case) -> dict[str, Floats]:
    """The errors of the concentrations (rows,) and amounts (rows, c) of a case, each against their own largest."""
    amounts = case.amounts()
    expected = case.records[[f"exp_{name}" for name in case.compartments]].to_numpy()
    concentration = amounts[:, case.compartments.index("central")] / case.volume
    return {
        "concentration": errors(concentration, case.records["exp_conc"].to_numpy()),
        "amounts": errors(amounts, expected),
    }


@pytest.mark.parametrize("name", COVERED)
def test_amounts_after_each_record(name: str) -> None:
    """Concentration and every amount agree to 1e-11 after every record."""
    for quantity, error in deviations(CASES[name]).items():
        assert error.max() <= TOLERANCE, f"{quantity} after row {np.argwhere(error == error.max())[0]}"


def test_every_case_is_accounted_for() -> None:
    """24 of the 50 cases are run; the others need what an event table of doses alone does not have."""
    needs = Counter(case.needs for case in CASES.values())
    assert needs == {"": 24, "steady state": 16, "reset": 8, "modelled rate": 2}
    assert len(COVERED) == 24
    assert sum(len(CASES[name].records) for name in COVERED) == 535


def test_every_record_has_its_numbers() -> None:
    """No expected value is missing, so that none is passed over as nan."""
    for case in CASES.values():
        columns = ["exp_conc", *(f"exp_{name}" for name in case.compartments)]
        assert np.isfinite(case.records[columns].to_numpy()).all(), case.name


def test_worst_error() -> None:
    """The digits achieved over all cases, shown with ``pytest -s``."""
    worst = {name: max(float(error.max()) for error in deviations(CASES[name]).values()) for name in COVERED}
    name = max(worst, key=worst.__getitem__)
    print(f"\nown_exact: {len(worst)} cases, worst error {worst[name]:.1e} ({name}) of the {TOLERANCE:g} allowed")
    assert worst[name] <= TOLERANCE


def test_explicit_rows_at_one_time_keep_their_order() -> None:
    """An observation row that stands before a dose row at its time sees the level before that dose.

    No reference case has such a pair of rows. Implied arrivals differ: the additional dose at 8 h has come when
    the first row of that instant is read.
    """
    base = CASES["bolus_1cpt"]
    row = dict.fromkeys(base.records.columns, 0.0)
    row |= {"cmt": "central", "f": 1.0, "addl": 0}
    dose = row | {"evid": 1, "amt": 100.0}
    table = [
        row | {"time": 0.0},
        dose | {"time": 0.0, "addl": 1, "ii": 8.0},
        row | {"time": 8.0},
        dose | {"time": 8.0, "amt": 50.0},
        row | {"time": 8.0},
        dose | {"time": 8.0, "amt": 25.0, "lag": 1.0},
        row | {"time": 9.0},
    ]
    case = Case("rows", base.parameters, pd.DataFrame(table))
    k = 4.0 / 30.0
    at_8 = 100.0 * np.exp(-8 * k) + 100.0
    expected = np.array([0.0, 100.0, at_8, at_8 + 50.0, at_8 + 50.0, at_8 + 50.0, (at_8 + 50.0) * np.exp(-k) + 25.0])
    central = case.amounts()[:, case.compartments.index("central")]
    # A few roundings of exp and of one step each: 8 units in the last place.
    np.testing.assert_allclose(central, expected, rtol=8 * np.finfo(float).eps, atol=0.0)
