"""Records on models that need the ODE engine: against a protocol, against explicit doses, and their steady states."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

import pkmodel as pk
from pkmodel.engine import Numerics
from pkmodel.records.export import records_of

SATURABLE = str(Path(__file__).resolve().parent.parent / "reference" / "saturable_nasal.yaml")
#: The solver keeps a step's error under 1e-8; what it grows to stays within ten times that.
TOLERANCE = 1e-7


def row(**cells: Any) -> dict[str, Any]:
    """An observation, or whatever the cells make of it."""
    return {"evid": 0, "amt": 0.0, "cmt": "central", "rate": 0.0, "ii": 0.0, "addl": 0, "ss": 0, "lag": 0.0, **cells}


def amounts(rows: list[dict[str, Any]], model: str = SATURABLE) -> NDArray[np.float64]:
    """All amounts after each row."""
    found = pk.simulate_records(pd.DataFrame(rows), model)
    return found[[name for name in found.columns if name.startswith("amount_")]].to_numpy()


def close(found: NDArray[np.float64], expected: NDArray[np.float64], tolerance: float) -> bool:
    """Within a tolerance in the norm of DESIGN section 5."""
    floor = 1e-9 * np.abs(expected).max()
    return bool((np.abs(found - expected) <= tolerance * np.maximum(np.abs(expected), floor)).all())


def test_a_clearance_that_grows_with_time_knows_the_first_dose() -> None:
    """Flint: rows at any times, the protocol's course; the clock begins with the first dose, not with a row."""
    child = pk.Patient(weight="10 kg", age="3 y", sex="male", height="95 cm")
    result = pk.simulate("esketamine_iv_single", "esketamine_flint2017", child, until="30 h", every="6 h")
    doses = records_of("esketamine_iv_single", "esketamine_flint2017", child).to_dict(orient="records")
    late = 50.0
    for dose in doses:
        dose["time"] += late
    covariates = {"weight": 10.0, "age": 3.0, "sex": "male", "height": 95.0, "ancestry": "other"}
    seen = [
        row(time=time + late, f=1.0, dur=0.0, cyp2b6_activity=1.0, hepatic_impairment=0.0, **covariates)
        for time in result.time
    ]
    before = [dict(seen[0], time=0.0)]
    table = sorted([*before, *doses, *seen], key=lambda cells: cells["time"])
    for cells in table:
        cells["id"] = 1
    found = pk.simulate_records(pd.DataFrame(table), "esketamine_flint2017")
    found = found[(found["evid"] == 0) & (found["time"] >= late)]
    names = [f"amount_{name}" for name in result.model.compartments]
    assert close(found[names].to_numpy()[1:], result.amounts[0, 1:, : len(names)], TOLERANCE)


def test_additional_doses_are_explicit_doses() -> None:
    """Where doses do not superpose: addl and one row for each."""
    times = [row(time=float(hour)) for hour in (5, 20, 40)]
    one = amounts([row(time=0.0, evid=1, amt=20.0, ii=12.0, addl=2), *times])[1:]
    table = [*times, *(row(time=12.0 * number, evid=1, amt=20.0) for number in range(3))]
    table.sort(key=lambda cells: cells["time"])
    many = amounts(table)[[cells["evid"] == 0 for cells in table]]
    assert close(one, many, TOLERANCE)
    assert not close(amounts([row(time=0.0, evid=1, amt=40.0), *times])[1:] / 2.0, one, 0.01)  # not linear indeed


@pytest.mark.parametrize(
    "dose",
    [
        {"amt": 28.0},
        {"amt": 28.0, "rate": 20.0},
        {"amt": 28.0, "rate": 1.0},  # longer than the interval
        {"amt": 28.0, "lag": 3.0},
        {"amt": 10.0, "cmt": "nasal"},
    ],
)
def test_steady_state_is_what_sixty_doses_lead_to(dose: dict[str, Any]) -> None:
    """The state of a dose given for ever against the state after sixty of it."""
    many, lag = 60, dose.get("lag", 0.0)
    hours = (0.0, 0.5, 3.0, 11.9)
    steady = amounts([row(time=0.0, evid=1, ii=12.0, ss=1, **dose), *(row(time=hour, lag=lag) for hour in hours)])[1:]
    seen = [row(time=12.0 * many + hour, lag=lag) for hour in hours]
    led = amounts([row(time=0.0, evid=1, ii=12.0, addl=many + 4, **dose), *seen])[1:]
    assert close(steady, led, TOLERANCE)


def test_steady_state_of_a_constant_infusion() -> None:
    """3 mg/h against 12 C / (0.15 + C) mg/h: C = 0.05 mg/L, in closed form, and in balance with the periphery."""
    found = amounts([row(time=0.0, evid=1, rate=3.0, ss=1), row(time=0.0)])[1]
    _, _, central, second, third, *_ = found
    np.testing.assert_allclose([central / 20.0, second / 70.0, third / 150.0], 0.05, rtol=1e-9)


def test_two_steady_states_add() -> None:
    """ss = 2 adds the steady state of its dose, as it stands alone, to what is there."""
    alone = [amounts([row(time=0.0, evid=1, amt=amount, ii=12.0, ss=1), row(time=0.0)])[1] for amount in (10.0, 4.0)]
    both = amounts(
        [row(time=0.0, evid=1, amt=10.0, ii=12.0, ss=1), row(time=0.0, evid=1, amt=4.0, ii=12.0, ss=2), row(time=0.0)]
    )[2]
    assert close(both, alone[0] + alone[1], 1e-8)


def test_a_dose_above_what_can_be_eliminated_has_no_steady_state() -> None:
    """200 mg every 12 h is more than 12 mg/h; the row is named."""
    with pytest.raises(pk.InputError, match=r"row 1  ss  found a steady state that does not exist"):
        amounts([row(time=0.0, evid=1, amt=200.0, ii=12.0, ss=1)])


def test_a_linear_model_has_the_same_steady_state_by_iteration() -> None:
    """The map's fixed point by the ODE engine against the linear solve, with a transit of both."""
    from pkmodel.records import periodic
    from pkmodel.records.resolve import Repeated
    from pkmodel.system import System

    rates = np.array([[[-0.8, 0.0], [0.8, -0.3]]])
    doses = Repeated(compartment=0, amount=10.0, rate=2.0, duration=5.0, interval=8.0, phase=6.5)
    found = periodic.steady_state(lambda size: System(np.repeat(rates, size, axis=0)), np.zeros(2), doses)
    from pkmodel.core import steady

    one = [np.array([value]) for value in (10.0, 5.0, 8.0, 6.5)]
    expected = steady.repeated(rates, np.array([[0.0, 0.3]]), np.array([0]), *one, 2)[0]
    assert found is not None
    np.testing.assert_allclose(found, expected, rtol=1e-8)


def test_the_engine_can_be_asked_for_by_name() -> None:
    """A linear model by the solver: the same to its tolerance, and not the same bits."""
    patient = pk.Patient(weight="70 kg")
    exact = pk.simulate("iv_single", "ketamine_domino1984", patient, until="6 h")
    solved = pk.simulate(
        "iv_single", "ketamine_domino1984", patient, until="6 h", numerics=Numerics(engine="ode", tolerance=1e-9)
    )
    assert close(solved.amounts, exact.amounts, 1e-8)
    assert (solved.amounts != exact.amounts).any()
