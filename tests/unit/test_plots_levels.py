"""Levels over time and doses as they are drawn: the numbers of the engine, their units, n, and what is refused."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon

import pkmodel as pk
from pkmodel import plots
from pkmodel.plots.given_doses import given_sessions
from pkmodel.population import Population, sample_covariates, sample_effects
from pkmodel.simulation import Result

pytestmark = pytest.mark.pictures

NASAL = "esketamine_perezruixo2021"
WHO = pk.Patient(weight="70 kg", age="45 y", sex="female", height="165 cm")
ONE: dict[str, Any] = {
    "id": "one_compartment",
    "title": "One compartment",
    "drug": "ketamine",
    "source": "a test",
    "evidence": "assumed",
    "sampling": "venous",
    "population": {"description": "nobody"},
    "parameters": {"V": {"value": "20 L", "from": "a test"}, "CL": {"value": "2 L/h", "from": "a test"}},
    "compartments": ["central"],
    "flows": [{"from": "central", "to": "outside", "rate": "CL / V"}],
    "routes": {"iv": [{"into": "central"}]},
    "outputs": {"ketamine": {"amount": "central", "volume": "V", "unit": "ng/mL"}},
}


def people(model: str, n: int, first: int = 0) -> Population:
    """Adults of the trials with the random effects of a model."""
    drawn = sample_covariates(pk.load_population("adults_trials"), 1, first, n)
    return sample_effects(drawn, pk.load_model(model), 1)


def protocol(dose: str = "10 mg", **more: Any) -> Any:
    """Doses into a vein, at once where nothing else is said."""
    phase = {"name": "p", "dose": dose, "sessions": {"days": [1]}} | more
    return pk.load_protocol({"title": "T", "drug": "ketamine", "route": "iv", "phases": [phase]})


@pytest.fixture(scope="module")
def vein() -> Result:
    """An infusion over 40 min in one patient."""
    return pk.simulate("esketamine_iv_single", NASAL, WHO, until="6 h", every="2 min")


@pytest.fixture(scope="module")
def nose() -> Result:
    """Three nasal devices in the same patient."""
    return pk.simulate("esketamine_nasal_acute", NASAL, WHO, until="6 h", every="2 min")


@pytest.fixture(scope="module")
def many() -> Result:
    """The nasal session in 60 patients."""
    return pk.simulate("esketamine_nasal_acute", NASAL, people(NASAL, 60), until="6 h", every="10 min")


def words(ax: Axes) -> str:
    """All that is written on a panel."""
    legend = ax.get_legend()
    said = [ax.get_xlabel(), ax.get_ylabel(), ax.get_title(loc="left"), *(text.get_text() for text in ax.texts)]
    return " | ".join(said + ([text.get_text() for text in legend.get_texts()] if legend is not None else []))


def curves(ax: Axes) -> list[Any]:
    """The lines that have a name."""
    return [line for line in ax.lines if not str(line.get_label()).startswith("_")]


def test_curves_are_the_levels(vein: Result, nose: Result) -> None:
    """A line to an output and a result, metabolites dashed, in hours whatever the ticks say."""
    results = {"vein": vein, "nose": nose}
    ax = plots.concentration(results, outputs=("parent", "metabolite"), clock="09:00")
    drawn = curves(ax)
    expected = [result.level(name)[0] for result in results.values() for name in ("parent", "metabolite")]
    for line, level in zip(drawn, expected, strict=True):
        assert np.array_equal(np.asarray(line.get_ydata()), level)
        assert np.array_equal(np.asarray(line.get_xdata()), vein.time)
    assert [line.is_dashed() for line in drawn] == [False, True, False, True]
    assert drawn[0].get_marker() != drawn[2].get_marker()  # told apart in grey
    said = words(ax)
    assert "level [ng/mL]" in said and "nose: noresketamine" in said and f"{NASAL} (evidence: trace)" in said


def test_only_what_is_in_the_window(vein: Result) -> None:
    """The axis ends there, and so does what is drawn, but for a point on either side."""
    ax = plots.concentration(vein, window=(1.0, 2.0))
    (line,) = curves(ax)
    hours = np.asarray(line.get_xdata())
    assert hours[0] <= 1.0 < hours[1] and hours[-2] < 2.0 <= hours[-1]
    assert ax.get_xlim() == pytest.approx((0.99, 2.01))


def test_bands_are_quantiles_and_n_is_said(many: Result) -> None:
    """Median and areas at 5, 25, 75 and 95 %."""
    ax = plots.concentration(many)
    (line,) = curves(ax)
    levels = many.level()
    assert np.allclose(np.asarray(line.get_ydata()), np.median(levels, axis=0), rtol=1e-12)
    for area, (low, high) in zip(ax.collections, ((0.05, 0.95), (0.25, 0.75)), strict=False):
        points = area.get_paths()[0].vertices
        for edge in (np.quantile(levels, low, axis=0), np.quantile(levels, high, axis=0)):
            assert np.isin(np.round(edge[1:], 9), np.round(points[:, 1], 9)).all()
    assert "n = 60 patients" in words(ax) and "5-95 %" in words(ax)


def test_units_are_converted_or_refused(vein: Result) -> None:
    """Of two units the first goes; another kind of quantity is refused."""
    tree = copy.deepcopy(ONE)
    tree["outputs"]["ketamine"]["unit"] = "ug/mL"
    dose = protocol("20 mg")
    mine = pk.simulate(dose, pk.load_model(ONE), WHO, until="2 h")
    other = pk.simulate(dose, pk.load_model(tree), WHO, until="2 h")
    ax = plots.concentration({"a": mine, "b": other})
    first, second = curves(ax)
    assert np.allclose(np.asarray(first.get_ydata()), np.asarray(second.get_ydata()), rtol=1e-12)
    assert np.asarray(first.get_ydata())[0] == pytest.approx(1000.0)
    felt = pk.simulate("esketamine_iv_single", NASAL, WHO, until="2 h", effects=["dissociation_olofsen2022"])
    with pytest.raises(pk.InputError, match="dissociation_olofsen2022 in no unit"):
        plots.concentration(felt, outputs=("parent", "dissociation"))
    with pytest.raises(pk.InputError, match="the limit top in mmHg"):
        plots.concentration(vein, limits=[plots.Level(150, "mmHg", "top", "<=")])


def test_upper_limits_are_named_and_shaded(vein: Result) -> None:
    """The area is where the level is above, in the unit of the curve; a lower limit has none; a far one is said."""
    limits = [plots.Level(0.1, "mg/L", "top", "<="), plots.Level(20, "ng/mL", "base", ">=")]
    ax = plots.concentration(vein, limits=limits)
    (area,) = [one for one in ax.collections if one.get_hatch()]
    points = np.concatenate([path.vertices for path in area.get_paths()])
    assert points[:, 1].min() == pytest.approx(100.0) and points[:, 1].max() == pytest.approx(vein.level().max())
    hours = vein.time[vein.level()[0] > 100]
    assert points[:, 0].min() == pytest.approx(hours[0], abs=1 / 30)
    assert points[:, 0].max() == pytest.approx(hours[-1], abs=1 / 30)
    assert "top ≤ 0.1 mg/L" in words(ax) and "base ≥ 20 ng/mL" in words(ax)
    far = plots.concentration(vein, limits=[plots.Level(5, "mg/L", "far", "<=")])
    assert "above this picture: far ≤ 5 mg/L" in words(far)
    assert far.get_ylim()[1] < 200


def test_over_its_peak(vein: Result, nose: Result) -> None:
    """Every curve reaches 1; a limit moves with a single one, and is not drawn for two."""
    limit = [plots.Level(50, "ng/mL", "floor", ">=")]
    ax = plots.concentration({"vein": vein, "nose": nose}, normalise=True, limits=limit)
    assert [np.asarray(line.get_ydata()).max() for line in curves(ax)] == [1.0, 1.0]
    assert "share of peak" in words(ax) and "limits are not drawn" in words(ax)
    alone = plots.concentration(vein, normalise=True, limits=limit)
    (drawn,) = [line for line in alone.lines if line.get_gid()]
    assert np.asarray(drawn.get_ydata())[0] == pytest.approx(50 / vein.level().max())


def test_log_axis_drops_zeros(nose: Result) -> None:
    """A level of 0 is a gap, and no number on the axis is 0 or below."""
    assert nose.level()[0, 0] == 0.0
    ax = plots.concentration(nose, log=True)
    (line,) = curves(ax)
    level = np.asarray(line.get_ydata())
    assert np.isnan(level[0]) and (level[1:] > 0).all()
    assert 0 < ax.get_ylim()[0] < nose.level().max()
    nothing = replace(nose, amounts=np.zeros_like(nose.amounts))
    assert plots.concentration(nothing).get_ylim() == (0, 1)
    with pytest.raises(pk.InputError, match="a level above 0 on a logarithmic axis"):
        plots.concentration(nothing, log=True)


def test_peak_is_exact(nose: Result, many: Result) -> None:
    """Of one patient the peak of its sessions, on any grid; of many that of the median that is drawn."""
    table = nose.sessions()
    row = table[table["output"] == "esketamine"].iloc[0]
    coarse = pk.simulate("esketamine_nasal_acute", NASAL, WHO, until="6 h", every="1 h")
    ax = plots.concentration(coarse, marks_of_peak=True)
    mark = next(line for line in ax.lines if line.get_linestyle() == "None")
    assert np.asarray(mark.get_ydata())[0] == pytest.approx(row["peak"], rel=1e-9)
    assert np.asarray(mark.get_xdata())[0] == pytest.approx(row["start_h"] + row["time_of_peak"], rel=1e-6)
    assert f"{row['peak']:.3g} ng/mL" in words(ax)
    ax = plots.concentration(many, marks_of_peak=True)
    mark = next(line for line in ax.lines if line.get_linestyle() == "None")
    assert np.asarray(mark.get_ydata())[0] == pytest.approx(np.median(many.level(), axis=0).max(), rel=1e-12)


def test_axis_of_time() -> None:
    """Minutes, hours and days by the length; the time of day across midnight; days by the clock."""
    short = pk.simulate(protocol(), pk.load_model(ONE), WHO, until="90 min")
    assert "minutes from the start" in plots.concentration(short, dose_ax=None, ax=Figure().add_subplot()).get_xlabel()
    long = pk.simulate(protocol(sessions={"days": [1, 8]}), pk.load_model(ONE), WHO, every="1 h")
    panel = Figure((9, 3)).add_subplot()
    assert "days from the start" in plots.doses(long, ax=panel).get_xlabel()
    ticks = {text.get_text(): text.get_position()[0] for text in panel.texts if text.get_gid() == "x tick"}
    assert ticks["7"] == pytest.approx(168.0)
    panel = Figure((9, 3)).add_subplot()
    plots.doses(long, ax=panel, clock="22:00", window=(0, 8))
    ticks = {text.get_text(): text.get_position()[0] for text in panel.texts if text.get_gid() == "x tick"}
    assert ticks["22:00\nday 1"] == pytest.approx(0.0) and ticks["00:00\nday 2"] == pytest.approx(2.0)


def test_doses_are_what_was_given(vein: Result, nose: Result) -> None:
    """Rates as steps, devices as stems with their mg, on two axes where there are both; sessions with their dose."""
    ax = plots.doses({"vein": vein, "nose": nose})
    (step,) = [patch for patch in ax.patches if isinstance(patch, Polygon)]
    points = step.get_xy()
    given = vein.schedule.sessions[0]
    over = float(given.doses[0].over)
    assert points[:, 1].max() == pytest.approx(given.given[0] / over)
    assert np.unique(points[:, 0]) == pytest.approx([0.0, over])
    page = ax.get_figure(root=True)
    assert page is not None
    right = page.axes[1]
    (stems,) = right.lines
    assert np.asarray(stems.get_ydata()) == pytest.approx([28.0, 28.0, 28.0])
    assert ax.get_ylabel() == "rate [mg/h]" and right.get_ylabel() == "dose [mg]"
    assert "35 mg over 40 min" in words(ax) and "84 mg (3 devices)" in words(ax)
    assert "no dose in view" in words(plots.doses(vein, window=(3, 4)))


def test_doses_of_a_population_and_of_a_clinic(many: Result) -> None:
    """The median mg of those who had the session; a pump that a clinic stopped ends where it did."""
    infused = pk.simulate("esketamine_iv_single", NASAL, people(NASAL, 25), until="1 h")
    (session,) = given_sessions(infused)
    assert session.amount == pytest.approx(np.median(infused.schedule.doses))
    assert "(median)" in plots.doses(infused).get_ylabel()
    stop = {"every": "5 min", "rules": [{"if": {"output": "parent", "above": "100 ng/mL"}, "then": "stop"}]}
    tree = {
        "title": "T",
        "drug": "ketamine",
        "route": "iv",
        "phases": [{"name": "p", "dose": "40 mg", "over": "1 h", "sessions": {"days": [1]}}],
        "clinic": {"during_session": stop},
    }
    stopped = pk.simulate(pk.load_protocol(tree), pk.load_model(ONE), WHO, until="2 h")
    (session,) = given_sessions(stopped)
    given = stopped.schedule.sessions[0]
    assert given.given[0] < 40
    assert session.doses[0].amount == pytest.approx(given.given[0])
    assert session.doses[0].rate == pytest.approx(40.0)
    assert session.doses[0].over == pytest.approx(given.end[0])


@pytest.mark.parametrize(
    ("asked", "part"),
    [
        ({"outputs": ()}, "at least one output"),
        ({"outputs": ("noresketamin",)}, "nearest noresketamine"),
        ({"clock": "25:00"}, "a time of day such as"),
        ({"clock": "9"}, "a time of day such as"),
        ({"window": (2, 1)}, "two times in hours"),
        ({"window": (7, 9)}, "overlap 0 to 6 h"),
        ({"window": (0, float("nan"))}, "two times in hours"),
    ],
)
def test_bad_input(vein: Result, asked: dict[str, Any], part: str) -> None:
    """One clear error, before anything is drawn."""
    ax = Figure().add_subplot()
    with pytest.raises(pk.InputError, match=part):
        plots.concentration(vein, ax=ax, **asked)
    assert not ax.lines and not ax.texts


def test_bad_limits_and_nothing_to_draw() -> None:
    """A limit must be a finite number with a unit and a known side."""
    for arguments in ((float("nan"), "ng/mL"), (True, "ng/mL"), (5, "ng/mLL"), (5, "ng/mL", "a", "<")):
        with pytest.raises(pk.InputError):
            plots.Level(*arguments)  # type: ignore[arg-type]
    with pytest.raises(pk.InputError, match="at least one result"):
        plots.concentration({})


def test_names_are_found_lazily() -> None:
    """Every public name is there, and no other."""
    for name in plots.__all__:
        assert callable(getattr(plots, name))
    with pytest.raises(AttributeError, match="no attribute 'concentrations'"):
        plots.concentrations  # noqa: B018
