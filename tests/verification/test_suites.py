"""Every suite of reference cases through the public functions; the table at the end of the run says how well."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from suites import ABSENT, FOLDERS, SUITES, Outcome, Suite, late

import pkmodel as pk
from pkmodel.own_exact.tables import case_of, simulated

Tally = Callable[[str, str, Outcome], None]


def _cases() -> list[object]:
    """Each case of each suite that is there; one that is skipped, with the reason, for each suite that is not."""
    found: list[object] = []
    for suite in SUITES.values():
        if suite.here:
            found += [pytest.param(suite, name, id=f"{suite.name}-{name}") for name in suite.names()]
        else:
            found.append(pytest.param(suite, "", id=suite.name, marks=pytest.mark.skip(reason=ABSENT)))
    return found


@pytest.mark.parametrize(("suite", "name"), _cases())
def test_case(suite: Suite, name: str, tally: Tally) -> None:
    """Every usable row of the case agrees within the tolerance of its suite."""
    outcome = suite.run(suite.name, name)
    tally(suite.name, name, outcome)
    assert outcome.rows > 0
    assert outcome.error <= suite.tolerance


@pytest.mark.parametrize("suite", [suite for suite in SUITES.values() if suite.here], ids=lambda suite: suite.name)
def test_suite_is_whole(suite: Suite) -> None:
    """As many cases as the suite is known to have, so that none is passed over."""
    assert len(suite.names()) == suite.cases


def test_every_record_of_ours_has_its_numbers() -> None:
    """No expected value of own_exact is missing, so that none is passed over as nan; 1125 rows, of all amounts."""
    folder, rows = FOLDERS["own_exact"], 0
    for name in SUITES["own_exact"].names():
        case, records = case_of(folder, name)
        compartments = ("depot", "depot2", "central", "per1", "per2")[: 2 + int(case["n_cmt"])]
        found = simulated(case, records)
        assert {column for column in found if column.startswith("amount_")} == {
            f"amount_{name}" for name in compartments
        }
        assert np.isfinite(records[["exp_conc", *(f"exp_{name}" for name in compartments)]].to_numpy()).all()
        rows += len(records)
    assert rows == 1125


@pytest.mark.skipif(not SUITES["nonmem_nmtests"].here, reason=ABSENT)
def test_late_steady_states_of_nonmem_are_refused() -> None:
    """Seven cases have a lag above ii, where NONMEM prints concentrations below 0: refused as they stand."""
    folder, refused = FOLDERS["nonmem_nmtests"], 0
    for name in SUITES["nonmem_nmtests"].names():
        case, records = case_of(folder, name)
        if late(records).any():
            with pytest.raises(pk.InputError, match=r"row 1 .*lag.*of at most ii"):
                simulated(case, records)
            refused += 1
    assert refused == 7


def test_a_table_of_all_cases_at_once() -> None:
    """All cases of own_exact with two compartments in one table, their rows interleaved, give what each gives alone."""
    folder = FOLDERS["own_exact"]
    names = [name for name in SUITES["own_exact"].names() if case_of(folder, name)[0]["n_cmt"] == 2]
    parts, alone = [], []
    for name in names:
        case, records = case_of(folder, name)
        own = {key: float(case[key]) for key in ("CL", "V1", "Q2", "V2", "KA", "KA2")}
        parts.append(records.assign(id=name, **own))
        alone.append(simulated(case, records))
    table = pd.concat(parts).sort_values("row", kind="stable")
    table.columns = table.columns.str.upper()
    found = pk.simulate_records(table, "two_compartment")
    assert list(found.columns[: len(table.columns)]) == list(table.columns)
    for name, expected in zip(names, alone, strict=True):
        mine = found[found["ID"] == name]
        for column in ("value", "amount_depot", "amount_depot2", "amount_central", "amount_per1"):
            np.testing.assert_array_equal(mine[column].to_numpy(), expected[column].to_numpy(), err_msg=name)
