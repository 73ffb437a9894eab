"""Non-compartmental figures: against the rates they come from, and against the rule written out."""

from __future__ import annotations

import numpy as np
import pytest

import pkmodel as pk
from pkmodel.nca import AS_GOOD, terminal

PATIENT = pk.Patient(weight="70 kg", age="45 y", sex="female", height="165 cm")


def test_an_exponential_has_its_own_slope() -> None:
    time = np.linspace(1.0, 13.0, 60)
    line = terminal(time, 250.0 * np.exp(-0.31 * time))
    assert line.lambda_z == pytest.approx(0.31, rel=1e-10)
    assert line.points == 60 and line.r_squared == pytest.approx(1.0, abs=1e-9) and not line.note


def test_the_line_is_the_longest_of_the_best() -> None:
    """Every number of last points in turn, by numpy's own fit."""
    time = np.linspace(0.2, 24.0, 70)
    level = 90.0 * np.exp(-2.0 * time) + 40.0 * np.exp(-0.2 * time)
    fits = {}
    for count in range(3, time.size + 1):
        x, y = time[-count:], np.log(level[-count:])
        slope, intercept = np.polyfit(x, y, 1)
        left = np.sum((y - slope * x - intercept) ** 2) / np.sum((y - y.mean()) ** 2)
        fits[count] = (1 - left * (count - 1) / (count - 2), -slope)
    best = max(adjusted for adjusted, _ in fits.values())
    count = max(count for count, (adjusted, _) in fits.items() if adjusted >= best - AS_GOOD)
    line = terminal(time, level)
    assert 3 < line.points == count < time.size
    assert line.lambda_z == pytest.approx(fits[count][1], rel=1e-9)


@pytest.mark.parametrize(
    ("level", "note"),
    [([3.0, 2.0], "fewer than 3"), ([1.0, 2.0, 3.0, 4.0], "do not fall"), ([4.0, 3.0, 2.0, 0.0], "fewer than 3")],
)
def test_where_there_is_no_line_the_note_says_why(level: list[float], note: str) -> None:
    line = terminal(np.arange(len(level), dtype=float), np.array(level))
    assert np.isnan(line.lambda_z) and note in line.note


def test_an_area_to_infinity_is_the_dose_over_the_clearance() -> None:
    model = pk.load_model("ketamine_clements1981")
    result = pk.simulate("iv_single", model, PATIENT, until="3 d", every="10 min")
    (row,) = result.nca().to_dict("records")
    clearance = float(result.network.values["CL"][0])
    assert row["aucinf"] == pytest.approx(1000 * row["dose_mg"] / clearance, rel=1e-9)
    slowest = -np.linalg.eigvals(result.network.rates[0]).real.max()
    # The line is laid through levels in which the first phase still shows a little: 1e-4 of r squared, 1 % of slope.
    assert row["half_life"] == pytest.approx(np.log(2) / slowest, rel=0.01)


def test_figures_are_those_of_the_sessions_and_do_not_depend_on_the_grid() -> None:
    coarse, fine = (
        pk.simulate("iv_six_infusions", "ketamine_clements1981", PATIENT, every=every) for every in ("30 min", "3 min")
    )
    table, sessions = coarse.nca(), coarse.sessions()
    assert len(table) == 6
    for ours, theirs in (("cmax", "peak"), ("tmax", "time_of_peak"), ("auclast", "auc")):
        np.testing.assert_allclose(table[ours], sessions[theirs], rtol=1e-12)
        np.testing.assert_array_equal(table[ours], fine.nca()[ours])
    # The level at the end is the one before the next dose, which is the trough of the session after.
    np.testing.assert_allclose(table["clast"][:-1], sessions["trough"][1:], rtol=1e-9)


def test_only_what_was_simulated_counts() -> None:
    """Sessions after the end are left out, and the last one ends with the simulation."""
    result = pk.simulate("iv_six_infusions", "ketamine_clements1981", PATIENT, until="50 h", every="5 min")
    table = result.nca()
    assert list(table["session"]) == [1, 2] and list(table["tlast"]) == [48.0, 2.0]
    assert table["clast"].iloc[-1] == pytest.approx(result.level()[0, -1], rel=1e-12)
    during = pk.simulate("iv_single", "ketamine_clements1981", PATIENT, until="30 min", every="1 min").nca()
    assert np.isnan(during["half_life"]).all() and during["note"].str.contains("fewer than 3").all()


def test_metabolites_and_several_patients_have_lines_of_their_own() -> None:
    result = pk.simulate("esketamine_nasal_induction", "esketamine_perezruixo2021", PATIENT, until="24 h")
    table = result.nca().set_index("output")
    assert set(table.index) == {"esketamine", "noresketamine"}
    assert (table["auclast"] < table["aucinf"]).all()
    assert (table["extrapolated"] * table["aucinf"]).to_numpy() == pytest.approx(
        (table["aucinf"] - table["auclast"]).to_numpy()
    )
