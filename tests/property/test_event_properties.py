"""What must hold for tables of records whatever the doses: two ways of writing one course give the same numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import pkmodel as pk

Floats = NDArray[np.float64]

#: Two ways to one number differ by the roundings of a few dozen steps, and of times of some 100 h beside rates of a few
#: per hour; DESIGN asks for no more between machines.
CLOSE = 1e-12
TIMES = [0.0, 0.5, 1.0, 2.5, 7.0, 11.0, 24.0, 36.5, 60.0]
few = settings(max_examples=15)


def dyadic(low: int, high: int) -> st.SearchStrategy[float]:
    """Times in whole 64ths of an hour, whose sums and differences are exact."""
    return st.integers(64 * low, 64 * high).map(lambda count: count / 64.0)


def number(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high, allow_subnormal=False)


@st.composite
def models(draw: st.DrawFn) -> tuple[str, dict[str, float]]:
    """A generic model with one or two depots; half-lives from minutes to two days."""
    size = draw(st.integers(1, 3))
    parameters = {"CL": draw(number(1.0, 20.0)), "V1": draw(number(5.0, 50.0))}
    for which in range(2, size + 1):
        parameters |= {f"Q{which}": draw(number(0.5, 10.0)), f"V{which}": draw(number(5.0, 50.0))}
    parameters |= {"KA": draw(number(0.1, 4.0)), "KA2": draw(number(0.1, 4.0))}
    return ("one_compartment", "two_compartment", "three_compartment")[size - 1], parameters


@st.composite
def doses(draw: st.DrawFn, *, infused: bool | None = None) -> dict[str, Any]:
    """A dose anywhere, at once or infused, with a lag and an F."""
    found: dict[str, Any] = {"time": draw(dyadic(0, 30)), "evid": 1, "amt": draw(number(1.0, 200.0))}
    found |= {"cmt": draw(st.sampled_from(["depot", "central", "depot2"]))}
    found |= {"lag": draw(st.sampled_from([0.0, 0.25, 3.5])), "f": draw(number(0.1, 1.5))}
    if infused if infused is not None else draw(st.booleans()):
        found["rate"] = draw(number(2.0, 100.0))
    return found


def run(model: tuple[str, dict[str, float]], *rows: dict[str, Any], times: Sequence[float] = TIMES) -> Floats:
    """Value and amounts at ``times``, observed after every row of theirs; the rows in their order where times agree."""
    defaults = {"amt": 0.0, "rate": 0.0, "addl": 0, "ii": 0.0, "ss": 0, "lag": 0.0, "f": 1.0, "dur": 0.0, "rat": 0.0}
    seen = [{"time": time, "evid": 0} for time in times]
    table = pd.DataFrame([{**defaults, "cmt": "central", **row} for row in [*rows, *seen]])
    found = pk.simulate_records(table.sort_values("time", kind="stable"), *model).sort_index()
    columns = [name for name in found if name == "value" or name.startswith("amount_")]
    result: Floats = found[columns].to_numpy()[len(rows) :]
    return result


def assert_same(found: Floats, expected: Floats, tolerance: float = CLOSE) -> None:
    """Equal in the norm of the package, for the value and for the amounts."""
    for part in (slice(0, 1), slice(1, None)):
        scale = np.maximum(np.abs(expected[:, part]), 1e-9 * np.abs(expected[:, part]).max())
        error = np.abs(found[:, part] - expected[:, part]) / np.where(scale > 0, scale, 1.0)
        assert error.max() <= tolerance, error.max()


@few
@given(model=models(), dose=doses(), other=doses(), count=st.integers(1, 5), interval=dyadic(1, 12))
def test_additional_doses_are_doses(
    model: tuple[str, dict[str, float]], dose: dict[str, Any], other: dict[str, Any], count: int, interval: float
) -> None:
    """addl = n, ii = t: as n + 1 rows. Explicit rows come before the observations of their time here."""
    written = [{**dose, "time": dose["time"] + number * interval} for number in range(count + 1)]
    assert_same(run(model, {**dose, "addl": count, "ii": interval}, other), run(model, *written, other))


@few
@given(model=models(), dose=doses(infused=True))
def test_three_ways_to_say_a_rate(model: tuple[str, dict[str, float]], dose: dict[str, Any]) -> None:
    """A rate, rate -1 with the rate in rat, rate -2 with the duration that F x amount / rate makes."""
    explicit = run(model, dose)
    assert_same(run(model, {**dose, "rate": -1, "rat": dose["rate"]}), explicit, 0.0)
    duration = dose["f"] * dose["amt"] / dose["rate"]
    assert_same(run(model, {**dose, "rate": -2, "dur": duration}), explicit)


@few
@given(model=models(), before=st.lists(doses(), min_size=1, max_size=3), dose=doses())
def test_reset_and_dose_is_a_reset_and_a_dose(
    model: tuple[str, dict[str, float]], before: list[dict[str, Any]], dose: dict[str, Any]
) -> None:
    """evid 4 is evid 3 and then evid 1, to the last bit, whatever was running or to come."""
    before = [{**each, "addl": 3, "ii": 5.0} for each in before]
    reset = {"time": dose["time"], "evid": 3}
    assert_same(run(model, *before, {**dose, "evid": 4}), run(model, *before, reset, dose), 0.0)


@few
@given(
    model=models(), rate=number(2.0, 100.0), hours=st.lists(dyadic(1, 8), min_size=2, max_size=5), start=dyadic(0, 5)
)
def test_infusions_one_after_the_other_are_one(
    model: tuple[str, dict[str, float]], rate: float, hours: list[float], start: float
) -> None:
    """Consecutive infusions at one rate are one long one."""
    times = start + np.cumsum([0.0, *hours])
    parts = [
        {"time": time, "evid": 1, "amt": rate * length, "rate": rate}
        for time, length in zip(times, hours, strict=False)
    ]
    whole = {"time": start, "evid": 1, "amt": rate * sum(hours), "rate": rate}
    assert_same(run(model, *parts), run(model, whole))


@few
@given(model=models(), dose=doses(), interval=dyadic(4, 24), addl=st.integers(0, 2))
def test_steady_state_is_doses_for_long_enough(
    model: tuple[str, dict[str, float]], dose: dict[str, Any], interval: float, addl: int
) -> None:
    """As many doses before as leave a remainder under 1e-13, by the slowest rate of the model; long infusions too.

    Hundreds of doses one by one have roundings of their own: 1e-11, as DESIGN asks of steady states.
    """
    name, parameters = model
    count = {"one_compartment": 1, "two_compartment": 2, "three_compartment": 3}[name]
    flows = [(parameters[f"Q{k}"], parameters[f"V{k}"]) for k in range(2, count + 1)]
    k10, k1, k2 = parameters["CL"] / parameters["V1"], parameters["KA"], parameters["KA2"]
    matrix = np.diag([k10 + sum(q for q, _ in flows) / parameters["V1"], *(q / v for q, v in flows)])
    for index, (flow, volume) in enumerate(flows, 1):
        matrix[0, index], matrix[index, 0] = -flow / volume, -flow / parameters["V1"]
    slowest = min(float(np.linalg.eigvals(matrix).real.min()), k1, k2)
    # Times t**2 e**(-r t) where rates are alike: 45 time constants instead of the 30 of one exponential.
    doses_before = int(np.ceil((45.0 / slowest + dose["amt"] * dose["f"] / dose.get("rate", np.inf)) / interval)) + 1
    dose = {**dose, "time": 0.0}
    steady = run(model, {**dose, "ss": 1, "ii": interval, "addl": addl})
    early = {**dose, "time": -doses_before * interval, "ii": interval, "addl": addl + doses_before}
    assert_same(steady, run(model, early), 1e-11)


@few
@given(model=models(), rows=st.lists(doses(), min_size=1, max_size=4), shift=dyadic(-100, 1000))
def test_a_shift_of_time_changes_nothing(
    model: tuple[str, dict[str, float]], rows: list[dict[str, Any]], shift: float
) -> None:
    """Every time later by as much."""
    rows = [{**row, "addl": 2, "ii": 7.0} for row in rows]
    later = [{**row, "time": row["time"] + shift} for row in rows]
    assert_same(run(model, *later, times=[time + shift for time in TIMES]), run(model, *rows))


@few
@given(model=models(), rows=st.lists(doses(), min_size=1, max_size=4), unit=st.sampled_from([1e-9, 1e-3, 1e3, 1e6]))
def test_a_change_of_unit_is_a_factor(
    model: tuple[str, dict[str, float]], rows: list[dict[str, Any]], unit: float
) -> None:
    """Amounts and rates in another unit: the value is in that unit per L. And hours against minutes."""
    rows = [{**row, "addl": 2, "ii": 7.0} for row in rows]
    scaled = [{**row, "amt": row["amt"] * unit, "rate": row.get("rate", 0.0) * unit} for row in rows]
    plain = run(model, *rows)
    assert_same(run(model, *scaled), plain * unit)
    minutes = [
        {
            **row,
            **{name: row.get(name, 0.0) * 60.0 for name in ("time", "lag", "ii")},
            "rate": row.get("rate", 0.0) / 60.0,
        }
        for row in rows
    ]
    name, parameters = model
    per_minute = {key: value if key[0] == "V" else value / 60.0 for key, value in parameters.items()}
    assert_same(run((name, per_minute), *minutes, times=[60.0 * time for time in TIMES]), plain)


@few
@given(model=models(), rows=st.lists(doses(), min_size=2, max_size=5), random=st.randoms(use_true_random=False))
def test_the_order_of_subjects_changes_nothing(
    model: tuple[str, dict[str, float]], rows: list[dict[str, Any]], random: Any
) -> None:
    """Subjects with different doses, apart or mixed row by row in any order: the same bits, as alone."""
    tables = []
    for number_of, row in enumerate(rows):
        seen = [{"time": time, "evid": 0} for time in random.sample(TIMES, 4)]
        table = pd.DataFrame([row, *seen]).sort_values("time", kind="stable").assign(id=number_of)
        tables.append(table.fillna({"amt": 0.0, "rate": 0.0, "lag": 0.0, "f": 1.0, "cmt": "central"}))
    alone = pd.concat([pk.simulate_records(table, *model) for table in tables])
    whole = pd.concat(tables, ignore_index=True)
    alone.index = whole.index
    whole["key"] = [random.random() for _ in range(len(whole))]
    mixed = whole.assign(key=whole.groupby("id")["key"].transform(sorted)).sort_values("key", kind="stable")
    found = pk.simulate_records(mixed.drop(columns="key"), *model).sort_index()
    pd.testing.assert_frame_equal(found[alone.columns], alone)
