"""Rules of events that no suite holds, or holds in one place only, against amounts of 30 digits.

Each test writes a table as a user would, and beside it, by hand and in order, what it must make happen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
import timeline
from timeline import Step, infusion, ordered, rows

import pkmodel as pk
from pkmodel import engine
from pkmodel.core.kinds import RATE_OFF, RATE_ON
from pkmodel.engine import System
from pkmodel.own_exact.tables import errors
from pkmodel.schedule import EventList

#: The tolerance of own_exact, in its norm.
TOLERANCE = 1e-11
ONE = {"CL": 4.0, "V1": 30.0}
TWO = {"CL": 4.0, "V1": 12.0, "Q2": 6.0, "V2": 30.0}
ORAL = {**TWO, "KA": 0.9}
NASAL = {**TWO, "KA": 2.9, "KA2": 0.35}
DEEP = {**NASAL, "Q3": 2.0, "V3": 80.0}

Row = Mapping[str, Any]


def dose(time: float, amt: float = 100.0, cmt: object = "central", **more: object) -> Row:
    """A row of a dose."""
    return {"time": time, "evid": 1, "amt": amt, "cmt": cmt, **more}


def see(*times: float, **more: object) -> list[Row]:
    """Rows of observations."""
    return [{"time": time, "evid": 0, **more} for time in times]


def table(*parts: Row | Sequence[Row]) -> pd.DataFrame:
    """Rows, or lists of them, as a table; what a row does not say is empty, but a lag of 0 and an F of 1 are said."""
    flat: list[Row] = []
    for part in parts:
        flat += [part] if isinstance(part, Mapping) else part
    frame = pd.DataFrame(flat)
    for name, value in (("lag", 0.0), ("f", 1.0)):
        if name in frame:
            frame[name] = frame[name].fillna(value)
    return frame


def model_of(parameters: Mapping[str, float]) -> str:
    """The generic model that has these parameters."""
    return "three_compartment" if "Q3" in parameters else "two_compartment" if "Q2" in parameters else "one_compartment"


def agree(frame: pd.DataFrame, parameters: Mapping[str, float], steps: Sequence[Step]) -> None:
    """Every amount, and the concentration, after every row."""
    found = pk.simulate_records(frame, model_of(parameters), parameters)
    expected = timeline.amounts(parameters, steps)
    assert len(expected) == len(frame)
    names = [name for name in timeline.COMPARTMENTS if f"amount_{name}" in found]
    amounts = found[[f"amount_{name}" for name in names]].to_numpy()
    reference = expected[:, [timeline.COMPARTMENTS.index(name) for name in names]]
    assert errors(amounts, reference).max() <= TOLERANCE
    volume = found["v1"].to_numpy() if "v1" in found else parameters["V1"]
    assert errors(found["value"].to_numpy(), expected[:, 2] / volume).max() <= TOLERANCE


# ------------------------------------------------------------------------------------------------ order at one time


def test_explicit_rows_keep_their_order() -> None:
    """An observation before a dose row of its time does not see that dose; one after it does."""
    frame = table(see(0.0), dose(0.0), see(0.0, 8.0), dose(8.0, 50.0), see(8.0), dose(8.0, 25.0, "per1"), see(8.0, 9.0))
    steps = [
        ("row", 0.0),
        ("bolus", 0.0, "central", 100.0),
        *rows([0.0, 0.0, 8.0]),
        ("bolus", 8.0, "central", 50.0),
        *rows([8.0, 8.0]),
        ("bolus", 8.0, "per1", 25.0),
        *rows([8.0, 8.0, 9.0]),
    ]
    agree(frame, TWO, steps)


def test_implied_arrivals_come_before_rows() -> None:
    """An additional dose, a lagged dose and the end of an infusion at 8 h come before every row of 8 h."""
    frame = table(
        dose(0.0, 100.0, "depot", addl=1, ii=8.0),
        dose(2.0, 40.0, "depot2", lag=6.0),
        dose(4.0, 60.0, "central", rate=15.0),
        see(8.0),
        dose(8.0, 10.0),
        see(8.0, 9.0),
    )
    steps = ordered(
        [("bolus", 0.0, "depot", 100.0), ("row", 0.0), ("row", 2.0)],
        infusion(4.0, 4.0, "central", 15.0),
        [("row", 4.0), ("bolus", 8.0, "depot", 100.0), ("bolus", 8.0, "depot2", 40.0), ("row", 8.0)],
        [("bolus", 8.0, "central", 10.0), *rows([8.0, 8.0, 9.0])],
    )
    agree(frame, NASAL, steps)


@pytest.mark.parametrize(
    ("start", "interval", "lag", "at"), [(0.0, 0.1, 0.0, 0.3), (0.1, 0.5, 0.1, 1.7), (-0.3, 0.1, 0.0, 0.0)]
)
def test_times_that_a_sum_misses_are_one_time(start: float, interval: float, lag: float, at: float) -> None:
    """3 x 0.1 is not 0.3 in binary numbers, but a row at 0.3 sees the third additional dose all the same."""
    assert start + 3 * interval + lag != at
    frame = table(dose(start, 100.0, addl=3, ii=interval, lag=lag), see(at))
    steps = [("row", start), *(("bolus", start + k * interval + lag, "central", 100.0) for k in range(3))]
    if lag == 0.0:
        steps[0], steps[1] = steps[1], steps[0]
    agree(frame, ONE, [*steps, ("bolus", at, "central", 100.0), ("row", at)])


def test_a_reset_takes_what_arrived_at_its_instant() -> None:
    """The additional dose of 8 h comes before the reset row of 8 h and is gone with it; the dose after it stays."""
    frame = table(dose(0.0, addl=3, ii=8.0), {"time": 8.0, "evid": 3}, see(8.0), dose(8.0, 30.0), see(8.0, 20.0))
    steps = [
        ("bolus", 0.0, "central", 100.0),
        ("row", 0.0),
        ("empty", 8.0),
        *rows([8.0, 8.0]),
        ("bolus", 8.0, "central", 30.0),
        *rows([8.0, 8.0, 20.0]),
    ]
    agree(frame, ONE, steps)


# ------------------------------------------------------------------------------------------------ resets


@pytest.mark.parametrize("evid", [3, 4])
def test_a_reset_ends_what_runs_and_what_is_to_come(evid: int) -> None:
    """An infusion running, a lagged dose and additional infusions: nothing of them is left after a reset at 5 h."""
    reset: Row = {"time": 5.0, "evid": 3} if evid == 3 else dose(5.0, 80.0, "central", rate=40.0, lag=0.5) | {"evid": 4}
    frame = table(
        dose(0.0, 100.0, "central", rate=10.0, addl=2, ii=6.0),
        dose(4.0, 50.0, "depot", lag=2.0),
        see(4.5),
        reset,
        see(5.2, 6.5, 8.0, 13.0),
    )
    new = infusion(5.5, 2.0, "central", 40.0) if evid == 4 else []
    steps = ordered(
        [("rate", 0.0, "central", 10.0), *rows([0.0, 4.0, 4.5]), ("empty", 5.0), ("row", 5.0)],
        new,
        rows([5.2, 6.5, 8.0, 13.0]),
    )
    agree(frame, ORAL, steps)


# ------------------------------------------------------------------------------------------------ amounts and rates


@pytest.mark.parametrize(
    ("columns", "rate", "duration"),
    [
        ({"rate": 25.0}, 25.0, 2.4),
        ({"rate": -1, "rat": 25.0}, 25.0, 2.4),
        ({"rate": -2, "dur": 3.0}, 20.0, 3.0),
    ],
)
@pytest.mark.parametrize("into", ["central", "depot"])
def test_f_of_an_infusion(columns: dict[str, float], rate: float, duration: float, into: str) -> None:
    """Of 100 with F = 0.6: a given rate runs shorter, a given duration slower; into the depot too."""
    times = [0.5, 2.4, 2.9, 3.4, 12.0]
    frame = table(dose(0.0, 100.0, into, f=0.6, lag=0.5, **columns), see(*times))
    agree(frame, ORAL, ordered([("row", 0.0)], infusion(0.5, duration, into, rate), rows(times)))


def test_nothing_arrives_with_f_0() -> None:
    """A dose, an infusion and a steady state of which nothing arrives."""
    frame = table(
        dose(0.0, 50.0),
        dose(1.0, 100.0, f=0.0),
        dose(1.0, 100.0, f=0.0, rate=-2, dur=2.0),
        dose(2.0, 100.0, f=0.0, ss=2, ii=12.0),
        see(3.0),
        dose(4.0, 100.0, f=0.0, ss=1, ii=12.0),
    )
    agree(frame, ONE, [("bolus", 0.0, "central", 50.0), *rows([0, 1, 1, 2, 3]), ("empty", 4.0), ("row", 4.0)])


@pytest.mark.parametrize("start", [0.0, 12.0, 1000.3])
def test_an_infusion_shorter_than_the_clock_shows(start: float) -> None:
    """1e-9 at a rate of 10 lasts 0.4 us, a few roundings of a time of day: all of it arrives."""
    frame = table(dose(start, 1e-9, rate=10.0), see(start + 1.0, start + 9.0))
    agree(frame, TWO, ordered([("row", start)], infusion(start, 1e-10, "central", 10.0), rows([start + 1, start + 9])))


def test_compartments_by_number() -> None:
    """Two depots and three compartments: depot 1, central 2, per1 3, per2 4, depot2 5; text and case do not matter."""
    cells = [1, "2", 3.0, "PER2", 5]
    names = ["depot", "central", "per1", "per2", "depot2"]
    frame = table([dose(float(k), 10.0 + k, cell) for k, cell in enumerate(cells)], see(9.0))
    steps: list[Step] = []
    for k, name in enumerate(names):
        steps += [("bolus", float(k), name, 10.0 + k), ("row", float(k))]
    agree(frame, DEEP, [*steps, ("row", 9.0)])


def test_without_a_depot_central_is_number_1() -> None:
    """ADVAN3: central 1, per1 2; a dose without cmt, or with cmt 0, goes to number 1."""
    frame = table(dose(0.0, 10.0, 1), dose(1.0, 20.0, 2), dose(2.0, 30.0, 0), dose(3.0, 40.0, None), see(4.0))
    steps: list[Step] = []
    for time, name, amount in ((0.0, "central", 10), (1.0, "per1", 20), (2.0, "central", 30), (3.0, "central", 40)):
        steps += [("bolus", time, name, amount), ("row", time)]
    agree(frame, TWO, [*steps, ("row", 4.0)])


# ------------------------------------------------------------------------------------------------ steady state

#: Repetitions that stand for all: what is left of the first one is below 1e-17 of the sum (half-lives of 9 h or less).
MANY = 120


def repeated(
    times: Sequence[float], interval: float, first: float, compartment: str, amount: float, rate: float = 0.0
) -> list[Step]:
    """Doses every ``interval`` h up to ``first``, from MANY of them before; and rows at ``times``, sorted."""
    steps: list[Step] = []
    for k in range(MANY, -1, -1):
        start = first - k * interval
        steps += infusion(start, amount / rate, compartment, rate) if rate else [("bolus", start, compartment, amount)]
    return ordered(steps, rows(times))


@pytest.mark.parametrize("lag", [0.0, 0.4, 5.0, 8.0])
@pytest.mark.parametrize("columns", [{}, {"rate": 100.0}, {"rate": 12.0}, {"rate": 5.0}, {"rate": -2, "dur": 16.0}])
def test_steady_state_with_lag_and_long_infusions(lag: float, columns: dict[str, float]) -> None:
    """ss = 1 every 8 h with F = 0.9: at once, for 0.9 h, 7.5 h, 18 h and 16 h; with lags up to the interval itself.

    Rows before, at and after the first arrival and after the last of two additional ones.
    """
    interval, amount = 8.0, 90.0
    rate = amount / 16.0 if "dur" in columns else columns.get("rate", 0.0)
    times = [0.0, 0.2, 0.4, 3.0, 5.0, 7.9, 8.0, 12.0, 16.5, 30.0, 60.0]
    frame = table(dose(0.0, 100.0, "central", ss=1, ii=interval, addl=2, lag=lag, f=0.9, **columns), see(*times))
    agree(frame, TWO, repeated([0.0, *times], interval, lag + 2 * interval, "central", amount, rate))


@pytest.mark.parametrize("rate", [0.0, 1.5])
@pytest.mark.parametrize("into", ["depot", "depot2", "per1", "per2"])
def test_steady_state_from_anywhere(into: str, rate: float) -> None:
    """Doses into depots and peripheral compartments of a slow model every day: at once, and over 67 h."""
    times = [0.0, 1.0, 24.0, 50.0, 90.0]
    frame = table(dose(0.0, 100.0, into, ss=1, ii=24.0, rate=rate), see(*times))
    agree(frame, DEEP, repeated([0.0, *times], 24.0, 0.0, into, 100.0, rate))


def test_second_steady_state_is_added() -> None:
    """ss = 2 with a lag, an infusion and additional doses, on top of ss = 1, of a pending dose and of one running."""
    times = [3.0, 4.0, 6.0, 7.5, 8.0, 9.0, 15.0, 20.0, 40.0]
    frame = table(
        dose(0.0, 100.0, "central", ss=1, ii=8.0, addl=1),
        dose(0.0, 30.0, "central", rate=5.0),
        dose(2.0, 40.0, "depot", lag=5.5),
        dose(3.0, 50.0, "central", ss=2, ii=12.0, rate=10.0, lag=1.0, addl=1),
        see(*times),
    )
    first = repeated([], 8.0, 8.0, "central", 100.0)
    second = repeated([], 12.0, 16.0, "central", 50.0, 10.0)
    start = [("row", 0.0), *infusion(0.0, 6.0, "central", 5.0)[:1], ("row", 0.0), ("row", 2.0), ("row", 3.0)]
    # What the second steady state adds before its row is not there before it: those rows are looked at without it.
    later = ordered(
        first, infusion(0.0, 6.0, "central", 5.0), [("bolus", 7.5, "depot", 40.0)], second, rows([3.0, *times])
    )
    early = ordered(first, [step for step in start if step[0] != "row"], rows([0.0, 0.0, 2.0]))
    found = pk.simulate_records(frame, "two_compartment", ORAL)
    expected = np.concatenate([timeline.amounts(ORAL, early), timeline.amounts(ORAL, later)])
    expected[0, 2] = timeline.amounts(ORAL, ordered(first, rows([0.0])))[0, 2]
    columns = [timeline.COMPARTMENTS.index(name) for name in ("depot", "central", "per1")]
    amounts = found[["amount_depot", "amount_central", "amount_per1"]].to_numpy()
    assert errors(amounts, expected[:, columns]).max() <= TOLERANCE


def test_a_first_steady_state_clears_and_cancels() -> None:
    """ss = 1 at 5 h: an infusion running, a lagged dose and additional ones are gone; its own lag lasts to 6 h."""
    frame = table(
        dose(0.0, 100.0, "central", rate=10.0, addl=3, ii=7.0),
        dose(4.0, 50.0, "depot", lag=2.0),
        dose(5.0, 60.0, "central", ss=1, ii=12.0, lag=1.0),
        see(5.5, 6.0, 7.0, 14.0),
    )
    found = pk.simulate_records(frame, "two_compartment", ORAL)
    expected = timeline.amounts(ORAL, repeated([5.0, 5.5, 6.0, 7.0, 14.0], 12.0, 6.0, "central", 60.0))
    columns = [timeline.COMPARTMENTS.index(name) for name in ("depot", "central", "per1")]
    amounts = found[["amount_depot", "amount_central", "amount_per1"]].to_numpy()
    assert errors(amounts[2:], expected[:, columns]).max() <= TOLERANCE


@pytest.mark.parametrize("columns", [{"rate": 10.0}, {"rate": -1, "rat": 10.0}])
@pytest.mark.parametrize("lag", [0.0, 1.5])
@pytest.mark.parametrize("steady", [1, 2])
def test_constant_infusion(columns: dict[str, float], lag: float, steady: int) -> None:
    """amt 0, ii 0, ss: what an endless infusion has left, which ends at the row, or a lag later; ss = 2 adds it."""
    times = [4.0, 5.0, 5.5, 8.0]
    frame = table(dose(0.0, 100.0), dose(4.0, 0.0, "central", ss=steady, ii=0.0, lag=lag, **columns), see(*times))
    endless = infusion(-1000.0, 1004.0 + lag, "central", 10.0)
    before = [("bolus", 0.0, "central", 100.0)] if steady == 2 else []
    steps = ordered(endless[:1], before, endless[1:], rows([4.0, *times]))
    expected = timeline.amounts(TWO, steps)
    found = pk.simulate_records(frame, "two_compartment", TWO)
    amounts = found[["amount_central", "amount_per1"]].to_numpy()
    assert errors(amounts[1:], expected[:, 2:4]).max() <= TOLERANCE


@pytest.mark.parametrize("clearance", [1e-3, 1e-6, 1e-9])
def test_steady_state_of_a_slow_elimination(clearance: float) -> None:
    """A half-life up to a million years beside one of an hour: the mean amount is dose rate / k10, to 11 digits.

    Over an interval so short beside the half-life the amounts are those of a closed body that holds the mean amount,
    and the little that the dose changes: expected values from 60 digits.
    """
    import mpmath

    parameters = {**ORAL, "CL": clearance}
    frame = table(dose(0.0, 100.0, "depot", ss=1, ii=12.0), see(0.0))
    found = pk.simulate_records(frame, "two_compartment", parameters)
    with mpmath.workdps(60):
        matrix = timeline._matrix(parameters)[:5, :5]
        kept = mpmath.expm(matrix * 12)
        dosed = mpmath.matrix([100, 0, 0, 0, 0])
        used = [0, 2, 3]  # the others are unconnected, and nothing leaves them
        some = mpmath.matrix(3, 3)
        for i, row in enumerate(used):
            for j, column in enumerate(used):
                some[i, j] = (1 if i == j else 0) - kept[row, column]
        solved = mpmath.lu_solve(some, mpmath.matrix([dosed[index] for index in used]))
        expected = np.array([float(solved[index]) for index in range(3)])
    amounts = found[["amount_depot", "amount_central", "amount_per1"]].to_numpy()
    assert errors(amounts[0], expected).max() <= TOLERANCE


# ------------------------------------------------------------------------------------------------ values by row


def test_the_next_value_is_held() -> None:
    """CL, Q2, V1 and KA by row: those of a row hold from the row before it on, also for what arrives in between.

    An evid 2 row changes values and nothing else; the concentration is over the volume of its own row.
    """
    frame = pd.DataFrame(
        {
            "time": [0.0, 3.0, 3.0, 10.0, 16.0, 20.0],
            "evid": [1, 2, 0, 0, 1, 0],
            "amt": [100.0, 0, 0, 0, 50.0, 0],
            "cmt": ["depot", "central", "central", "central", "central", "central"],
            "addl": [2, 0, 0, 0, 0, 0],
            "ii": [6.0, 0, 0, 0, 0, 0],
            "CL": [4.0, 5.0, 2.0, 8.0, 4.0, 3.0],
            "v1": [12.0, 10.0, 20.0, 12.0, 14.0, 12.0],
            "ka": [0.9, 0.8, 0.7, 1.4, 0.5, 0.6],
        }
    )
    steps: list[Step] = [("bolus", 0.0, "depot", 100.0), ("row", 0.0)]
    arrivals = {3: [6.0], 4: [12.0]}
    for index in range(1, 6):
        values = {"CL": frame["CL"][index], "V1": frame["v1"][index], "KA": frame["ka"][index]}
        steps.append(("with", values))
        steps += [("bolus", time, "depot", 100.0) for time in arrivals.get(index, [])]
        if index == 4:
            steps.append(("bolus", 16.0, "central", 50.0))
        steps.append(("row", float(frame["time"][index])))
    agree(frame, {"Q2": 6.0, "V2": 30.0, "CL": 4.0, "V1": 12.0, "KA": 0.9}, steps)


def test_a_steady_state_has_the_values_of_its_row() -> None:
    """CL 2 before and 8 after: the steady state at the row with 5 is that of 5."""
    frame = pd.DataFrame(
        {"time": [0.0, 6.0, 12.0], "evid": [1, 1, 0], "amt": [100.0, 60.0, 0.0], "ss": [0, 1, 0], "ii": [0, 8, 0.0]}
    ).assign(CL=[2.0, 5.0, 8.0])
    steady = timeline.amounts({**TWO, "CL": 5.0}, repeated([6.0], 8.0, 6.0, "central", 60.0))
    found = pk.simulate_records(frame, "two_compartment", {"V1": 12.0, "Q2": 6.0, "V2": 30.0})
    assert errors(found[["amount_central", "amount_per1"]].to_numpy()[1], steady[0, 2:4]).max() <= TOLERANCE
    after = timeline.amounts(
        {**TWO, "CL": 8.0},
        [("bolus", 6.0, "central", steady[0, 2]), ("bolus", 6.0, "per1", steady[0, 3]), ("row", 12.0)],
    )
    assert errors(found[["amount_central", "amount_per1"]].to_numpy()[2], after[0, 2:4]).max() <= TOLERANCE


# ------------------------------------------------------------------------------------------------ in the kernel


def test_a_reset_among_the_events_of_a_block() -> None:
    """``EventList.reset``: a bolus and an infusion that runs from 1 to 9 h; the reset at 5 h is for one patient of two.

    The end of the infusion that the reset cut off stays out of the list, as the resolved events of a table have it.
    """
    rates = np.array([[[-1.0, 0.2], [0.5, -0.2]]]).repeat(2, axis=0)
    events = EventList(2)
    one = np.ones(2)
    events.bolus(0.0, 0, 100.0 * one)
    events.add(1.0, RATE_ON, 0, 10.0 * one)
    events.reset(5.0, np.array([True, False]))
    events.add(9.0, RATE_OFF, 0, np.array([0.0, 10.0]))
    events.bolus(5.0, 1, 7.0 * one)
    time = np.array([4.0, 5.0, 8.0, 12.0])
    found = engine.amounts(System(rates=rates), events.events(), time)
    parameters = {"CL": 0.5, "V1": 1.0, "Q2": 0.5, "V2": 2.5}
    begun: list[Step] = [("bolus", 0.0, "central", 100.0), ("rate", 1.0, "central", 10.0), ("row", 4.0)]
    after: list[Step] = [("bolus", 5.0, "per1", 7.0), *rows([5.0, 8.0])]
    reset = timeline.amounts(parameters, [*begun, ("empty", 5.0), *after, ("row", 12.0)])
    other = timeline.amounts(parameters, [*begun, *after, ("rate", 9.0, "central", -10.0), ("row", 12.0)])
    assert errors(found, np.stack([reset, other])[:, :, 2:4]).max() <= TOLERANCE
