"""``simulate_records`` as a user meets it: what a table may look like, what comes back, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import pkmodel as pk
from pkmodel import engine
from pkmodel.records import disposition

ONE: dict[str, float] = {"CL": 4.0, "V1": 30.0}
ORAL = {**ONE, "KA": 1.1}


def doses(**columns: Any) -> pd.DataFrame:
    """A dose of 100 at 0 h and two observations; columns replace these or come on top."""
    base: dict[str, Any] = {"time": [0.0, 1.0, 2.0], "evid": [1, 0, 0], "amt": [100.0, 0.0, 0.0]}
    return pd.DataFrame({name: value for name, value in {**base, **columns}.items() if value is not None})


def level(time: float) -> float:
    """The concentration after the dose of :func:`doses`."""
    return float(100.0 / 30.0 * np.exp(-4.0 / 30.0 * time))


EXACT = [level(0.0), level(1.0), level(2.0)]


# ------------------------------------------------------------------------------------------------ what may come


@pytest.mark.parametrize(
    "table",
    [
        pytest.param(doses(), id="the least"),
        pytest.param(doses().rename(columns=str.upper), id="upper case"),
        pytest.param(doses(evid=None), id="evid from the amount"),
        pytest.param(doses(amt=[100, None, None], rate=np.nan, ss=None, mdv=[1, 0, 1]), id="empty cells"),
        pytest.param(doses(cmt="central"), id="by name"),
        pytest.param(doses(cmt=[1, 1, 1]), id="by number"),
        pytest.param(doses(cmt=["1", "Central", None]), id="by text"),
        pytest.param(doses(amt=pd.array([100, 0, None], dtype="Int64")), id="nullable numbers"),
        pytest.param(doses(amt=np.array([100, 0, None], dtype=object)), id="numbers among objects"),
        pytest.param(doses(ss=[False, False, False]), id="flags"),
        pytest.param(doses(ii=24.0, lag=0.0, f=1.0, rate=0, dur=0, rat=0, addl=0), id="all columns"),
        pytest.param(doses(exp_conc=1.0, dv=".", site="north", age=70, tad=2, date="2024-01-01"), id="others' columns"),
        pytest.param(doses(cl=4.0, v1=[30.0, 30.0, 30.0]), id="parameters by row"),
        pytest.param(doses(cl=np.nan, q2=np.nan), id="empty parameters"),
    ],
)
def test_tables_that_mean_the_same(table: pd.DataFrame) -> None:
    """Whatever the writing, the numbers are those of one bolus; the table itself is as it was."""
    before = table.copy(deep=True)
    found = pk.simulate_records(table, "one_compartment", ONE)
    np.testing.assert_allclose(found["value"], EXACT, rtol=1e-14)
    np.testing.assert_allclose(found["amount_central"], 30.0 * np.array(EXACT), rtol=1e-14)
    assert list(found.columns) == [*table.columns, "value", "amount_central"]
    pd.testing.assert_frame_equal(table, before)
    pd.testing.assert_frame_equal(found[list(table.columns)], before)


@pytest.mark.parametrize(
    "parameters", [{"cl": 4, "v1": 30}, {"Cl": np.float64(4.0), "V1": np.int64(30)}, pd.Series(ONE)]
)
def test_names_of_parameters_in_any_case(parameters: Mapping[str, float]) -> None:
    """A mapping, a series, whole numbers and numpy's."""
    np.testing.assert_allclose(pk.simulate_records(doses(), "one_compartment", parameters)["value"], EXACT, rtol=1e-14)


def test_index_and_order_are_kept() -> None:
    """Subjects interleaved, any labels (some twice): each row keeps its place and its label."""
    table = pd.concat([doses(id="b"), doses(id="a", amt=[50.0, 0, 0])]).iloc[[3, 0, 1, 4, 5, 2]]
    table.index = pd.Index(["x", "x", 7, None, 3.5, "y"])
    found = pk.simulate_records(table, "one_compartment", ONE)
    assert found.index.equals(table.index)
    factor = np.where(table["id"] == "a", 0.5, 1.0)
    np.testing.assert_allclose(found["value"], factor * [level(time) for time in table["time"]], rtol=1e-14)


def test_an_empty_table() -> None:
    """No rows, no numbers, but the columns."""
    for model in ("one_compartment", "ketamine_clements1981"):
        found = pk.simulate_records(doses().iloc[:0], model, ONE if model == "one_compartment" else None)
        assert len(found) == 0
        assert "value" in found


def test_a_column_goes_before_the_mapping() -> None:
    """CL of the table where a subject has it, of ``parameters`` where it has not."""
    table = pd.concat([doses(id=1, CL=np.nan), doses(id=2, CL=8.0)], ignore_index=True)
    found = pk.simulate_records(table, "one_compartment", ONE)
    expected = [level(0), level(1), level(2), level(0), level(2), level(4)]
    np.testing.assert_allclose(found["value"], expected, rtol=1e-14)


def test_amounts_of_every_compartment() -> None:
    """The columns are named for the compartments, in the order of their numbers, depot2 last."""
    parameters = {"CL": 5, "V1": 10, "Q2": 3, "V2": 20, "Q3": 6, "V3": 40, "KA": 1, "KA2": 0.5}
    found = pk.simulate_records(doses(cmt=["depot2", None, None]), "three_compartment", parameters)
    names = ["amount_depot", "amount_central", "amount_per1", "amount_per2", "amount_depot2"]
    assert list(found.columns[4:]) == ["value", *names]
    assert found[names].iloc[0].tolist() == [0.0, 0.0, 0.0, 0.0, 100.0]


def test_what_is_given_in_a_row_without_a_dose_does_not_matter() -> None:
    """rate, ii, lag and f may stand in every row; in rows of observations they mean nothing."""
    table = doses(rate=[200.0, 5.0, -7.0], ii=[0, 24, -1], lag=[0.5, -3, 9], f=[0.5, 0.0, -2], dur=[0, 3, 3])
    found = pk.simulate_records(table, "one_compartment", ONE)
    k = 4.0 / 30.0
    end = 200.0 / 4.0 * (1.0 - np.exp(-k * 0.25))
    np.testing.assert_allclose(found["value"], [0.0, end * np.exp(-k * 0.25), end * np.exp(-k * 1.25)], rtol=1e-14)


def test_doses_at_negative_times() -> None:
    """Nothing is special about 0 h."""
    found = pk.simulate_records(doses(time=[-5.0, -4.0, -3.0]), "one_compartment", ONE)
    np.testing.assert_allclose(found["value"], EXACT, rtol=1e-14)


def test_many_doses_before_few_rows() -> None:
    """Additional doses beyond the last row cost nothing, however many there are."""
    found = pk.simulate_records(doses(addl=[10**9, 0, 0], ii=[24.0, 0, 0]), "one_compartment", ONE)
    np.testing.assert_allclose(found["value"], EXACT, rtol=1e-14)


# ------------------------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"amt": [-100.0, 0, 0]}, r"^row 1  amt  found -100  expected a number of at least 0$"),
        ({"amt": [100.0, 0, 5]}, r"^row 3  amt  found 5  expected 0 or nothing in a row without a dose$"),
        ({"amt": [None, 0, 0]}, r"^row 1  amt  found nothing  expected the amount of a dose$"),
        ({"amt": [np.inf, 0, 0]}, r"^row 1  amt  found inf  expected a finite number$"),
        ({"amt": ["100", 0, 0]}, r"^row 1  amt  found 100  expected a number$"),
        ({"amt": ["100 mg", ".", "."]}, r"^row 1  amt  found 100 mg \(and in 2 more rows\)  expected a number$"),
        ({"amt": [100.0, ".", "."]}, r"^row 2  amt  found \. .*na_values"),
        ({"amt": [0.0, 0, 0], "rate": [5, 0, 0]}, r"^row 1  amt  found 0 with rate 5  expected an amount above 0$"),
        ({"time": [0.0, 2.0, 1.0]}, r"^row 3  time  found 1 after 2 in row 2  expected times that do not fall"),
        ({"time": [0.0, None, 1.0]}, r"^row 2  time  found nothing  expected a time in h$"),
        ({"time": ["0:00", "1:00", "2:00"]}, r"^row 1  time  found 0:00 \(and in 2 more rows\)  expected a number"),
        ({"time": pd.date_range("2024-01-01", periods=3)}, r"^row 1  time  found Timestamp.* expected a number"),
        ({"time": [0.0, 1.0, 1.7e9]}, r"^row 3  time  found 1.7e\+09  expected a time of at most 1e\+09 h"),
        ({"time": None}, r"no column time"),
        ({"evid": [1, 0, 5]}, r"^row 3  evid  found 5  expected 0 \(observation\), 1 \(dose\)"),
        ({"evid": [1, 0, 0.5]}, r"^row 3  evid  found 0.5"),
        ({"evid": [1, None, 0]}, r"^row 2  evid  found nothing"),
        ({"evid": None, "amt": None}, r"neither evid nor amt"),
        ({"evid": None, "rate": [0, 9.0, 0]}, r"^row 2  rate  found 9 without an amount and without evid"),
        ({"id": [1, 1, None]}, r"^row 3  id  found nothing  expected the subject of the row$"),
        ({"cmt": ["centre", None, None]}, r"^row 1  cmt  found centre .*central \(1\)  nearest central$"),
        ({"cmt": [2, 1, 1]}, r"^row 1  cmt  found 2  expected a compartment by name or number: central \(1\)$"),
        ({"cmt": [-1, 1, 1]}, r"^row 1  cmt  found -1"),
        ({"cmt": [1.5, 1, 1]}, r"^row 1  cmt  found 1.5"),
        ({"rate": [-3, 0, 0]}, r"^row 1  rate  found -3  expected 0 \(at once\).*-2 \(the duration in column dur\)$"),
        ({"rate": [-1, 0, 0]}, r"^row 1  rat  found 0 with rate -1  expected a rate above 0$"),
        ({"rate": [-2, 0, 0], "dur": [None, 2, 2]}, r"^row 1  dur  found 0 with rate -2  expected a duration above 0$"),
        ({"dur": [2.0, 0, 0]}, r"^row 1  dur  found 2 with rate 0  expected rate -2, or nothing in dur$"),
        ({"rate": [50, 0, 0], "rat": [9.0, 0, 0]}, r"^row 1  rat  found 9 with rate 50  expected rate -1"),
        ({"rate": [-2, 0, 0], "dur": [-2, 0, 0]}, r"^row 1  dur  found -2  expected a number of at least 0$"),
        ({"lag": [-0.5, 0, 0]}, r"^row 1  lag  found -0.5"),
        ({"f": [-0.5, 0, 0]}, r"^row 1  f  found -0.5"),
        ({"evid": [1, 0, 1], "amt": [1, 0, 1], "f": [0.5, None, None]}, r"^row 3  f  found nothing  .*in every dose"),
        ({"ss": [1, 0, 0]}, r"^row 1  ii  found 0 with addl 0 and ss 1  expected an interval above 0 h$"),
        ({"ss": [3, 0, 0], "ii": 12.0}, r"^row 1  ss  found 3  expected 0, 1 or 2$"),
        ({"ss": [0, 1, 0], "ii": 12.0}, r"^row 2  ss  found 1  expected 0 or nothing in a row without a dose$"),
        ({"ss": [1, 0, 0], "ii": 12.0, "lag": 12.5}, r"^row 1  lag  found 12.5 .*at most ii \(12 h\)"),
        ({"ss": [1, 0, 0], "amt": 0.0}, r"^row 1  amt  found 0 with ss 1  .*or a rate with ii 0"),
        (
            {"ss": [1, 0, 0], "amt": 0.0, "rate": 5, "ii": 8},
            r"^row 1  ii  found 8 with ss 1  expected 0 for a constant",
        ),
        ({"addl": [2, 0, 0]}, r"^row 1  ii  found 0 with addl 2 and ss 0  expected an interval above 0 h$"),
        ({"addl": [2, 0, 0], "ii": -1.0}, r"^row 1  ii  found -1"),
        ({"addl": [1.5, 0, 0], "ii": 1.0}, r"^row 1  addl  found 1.5  expected a whole number"),
        ({"addl": [-1, 0, 0], "ii": 1.0}, r"^row 1  addl  found -1"),
        ({"addl": [10**9, 0, 0], "ii": 1e-6}, r"^row 1  addl  found 2e\+06 doses  expected at most 100,000 before"),
        ({"ss": [1, 0, 0], "ii": 1e-6, "rate": 1e-3}, r"^row 1  ii  found 1e\+11 infusions at once"),
        (
            {"cl": [4.0, None, 4.0]},
            r"^row 2  cl  found nothing  expected a number in every row of the subject, or in none",
        ),
        ({"v1": [30.0, 30.0, 0.0]}, r"^row 3  v1  found 0  expected a volume above 0 L$"),
        ({"CL": [4.0, -4.0, 4.0]}, r"^row 2  CL  found -4  expected a clearance in L/h, of at least 0$"),
        ({"q2": 6.0}, r"the column q2  expected a parameter of one_compartment: CL, V1, KA, KA2$"),
        ({"CL": 4.0, "cl": 4.0}, r"found CL and cl  expected one such column$"),
        ({"AMT": 100.0}, r"found amt and AMT  expected one such column$"),
        ({"value": 1.0}, r"found the column value  expected a table without the columns of a result"),
        ({"ammt": 1.0, "amt": None}, r"found the column ammt  expected the column amt.*nearest amt$"),
        ({"duration": 1.0}, r"found the column duration .*nearest dur$"),
        ({"ALAG1": 1.0}, r"found the column ALAG1 .*nearest lag$"),
        ({"addll": 1.0}, r"found the column addll .*nearest addl$"),
        ({"eivd": 1.0, "evid": None}, r"found the column eivd .*nearest evid$"),
    ],
)
def test_refused(columns: dict[str, Any], message: str) -> None:
    """One error that says row, column, what was found and what was expected."""
    with pytest.raises(pk.InputError, match=message):
        pk.simulate_records(doses(**columns), "one_compartment", ONE)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (None, r"parameters\.CL  found nothing  expected CL, a clearance in L/h$"),
        ({"CL": 4}, r"parameters\.V1  found nothing  expected V1, a volume above 0 L$"),
        ({**ONE, "Q2": 3}, r"found Q2  expected a parameter of one_compartment: one of CL, KA, KA2, V1"),
        ({"CL": 4, "V": 30}, r"found V  .*nearest V1$"),
        ({"CL": 4, "V1": 0}, r"^one_compartment  parameters\.V1  found 0  expected a volume above 0 L$"),
        ({"CL": -4, "V1": 30}, r"parameters\.CL  found -4  expected a clearance in L/h, of at least 0$"),
        ({"CL": np.nan, "V1": 30}, r"parameters\.CL  found nan  expected a finite number"),
        ({"CL": "4 L/h", "V1": 30}, r"parameters\.CL  found 4 L/h  expected a finite number, in h and L"),
        ({"CL": True, "V1": 30}, r"parameters\.CL  found True"),
        ({"CL": 4, "cl": 4, "V1": 30}, r"parameters\.CL  found CL twice"),
        ({**ONE, "KA2": 1}, r"found KA2 without KA"),
        ({"CL": 4, "V1": 1e-9}, r"a rate constant above 1e8 1/h .* expected parameters in h and L"),
        ([4, 30], r"^parameters  found \[4, 30\]  expected a mapping"),
    ],
)
def test_parameters_refused(parameters: Any, message: str) -> None:
    """A parameter that is missing, unknown or impossible."""
    with pytest.raises(pk.InputError, match=message):
        pk.simulate_records(doses(), "one_compartment", parameters)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("one_compartmnt", r"^model  found one_compartmnt .*nearest one_compartment$"),
        ("ketamine_clements", r"nearest ketamine_clements1981$"),
        ("missing.yaml", r"missing\.yaml"),
        (1, r"^model  found 1  expected the name of a generic or a library model"),
    ],
)
def test_models_refused(model: Any, message: str) -> None:
    """What is no model."""
    with pytest.raises(pk.InputError, match=message):
        pk.simulate_records(doses(), model, ONE)


def test_no_table() -> None:
    """A list of rows is not a table."""
    with pytest.raises(pk.InputError, match=r"^df  found list  expected a pandas DataFrame"):
        pk.simulate_records([{"time": 0.0}], "one_compartment", ONE)  # type: ignore[arg-type]


def test_every_mistake_at_once_with_its_label() -> None:
    """Several mistakes are one error; a row has its number and, where that says more, its label."""
    table = doses(amt=[-1.0, 0, 0], rate=[-5, 0, 0], cmt=["brain", 1, 1]).set_index(pd.Index(["a", "b", "c"]))
    with pytest.raises(pk.InputError) as raised:
        pk.simulate_records(table, "one_compartment", ONE)
    assert [problem.path for problem in raised.value.problems] == ["amt", "rate", "cmt"]
    assert {problem.where for problem in raised.value.problems} == {"row 1 (index a)"}


@pytest.mark.parametrize(
    ("parameters", "cmt", "stuck"),
    [
        ({"CL": 0.0, "V1": 30.0}, "central", "central"),
        ({**ONE, "KA": 0.0}, "depot", "depot"),
    ],
)
def test_no_steady_state_without_a_way_out(parameters: dict[str, float], cmt: str, stuck: str) -> None:
    """CL = 0, or a depot that never empties: what is given for ever grows for ever."""
    table = doses(ss=[1, 0, 0], ii=12.0, cmt=cmt)
    with pytest.raises(pk.InputError, match=rf"^row 1  ss  .*nothing leaves {stuck} for good"):
        pk.simulate_records(table, "one_compartment", parameters)
    pk.simulate_records(doses(cmt=cmt), "one_compartment", parameters)


def test_a_depot_that_is_not_used_may_be_closed() -> None:
    """KA = 0 does not matter to a steady state of doses into the vein."""
    found = pk.simulate_records(doses(ss=[1, 0, 0], ii=12.0, cmt="central"), "one_compartment", {**ONE, "KA": 0.0})
    np.testing.assert_allclose(found["value"], np.array(EXACT) / (1 - np.exp(-1.6)), rtol=1e-14)


def test_an_amount_beyond_all_numbers() -> None:
    """An infinite amount never gets into a result."""
    table = doses(amt=[1.7e308, 0, 0], evid=[1, 1, 0]).assign(amt=[1.7e308, 1.7e308, 0])
    with np.errstate(over="ignore"), pytest.raises(pk.RunError, match=r"row 2"):
        pk.simulate_records(table, "one_compartment", {"CL": 0.0, "V1": 30.0})


def test_a_model_that_asks_what_time_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system that is not linear runs on the clock of its subject, in hours since the first dose: the same numbers.

    The generic models stand in for it here, with subjects whose doses begin at other times.
    """
    table = pd.concat(
        [
            doses(id=1, time=[3.0, 5.0, 9.0], addl=[1, 0, 0], ii=5.0, rate=[50.0, 0, 0]),
            doses(id=2, time=[5.0, 7.0, 11.0], addl=[1, 0, 0], ii=5.0, rate=[20.0, 0, 0]),
            doses(id=3, time=[0.0, 1.0, 20.0], evid=[0, 1, 0], amt=[0.0, 7.0, 0.0]),
        ],
        ignore_index=True,
    ).fillna(0.0)
    expected = pk.simulate_records(table, "one_compartment", ONE)
    build, amounts, ends = disposition.Generic.build, engine.amounts, []

    def without_loss(self: disposition.Generic, *arguments: Any) -> disposition.Disposition:
        return replace(build(self, *arguments), loss=None)

    def noted(system: engine.System, events: Any, time: Any, initial: Any) -> Any:
        ends.append((time.tolist(), len(initial)))
        return amounts(system, events, time, initial)

    monkeypatch.setattr(disposition.Generic, "build", without_loss)
    monkeypatch.setattr(engine, "amounts", noted)
    found = pk.simulate_records(table, "one_compartment", ONE)
    np.testing.assert_allclose(found["value"], expected["value"], rtol=1e-14)
    assert ends == [([0.0], 1), ([2.0], 2), ([6.0], 2), ([19.0], 1)]
