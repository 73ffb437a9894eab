"""Models against published figures: what is compared with what, what a row must hold, and how mistakes are reported."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import pkmodel as pk
from pkmodel import cli, moments, network, studied, units, verify
from pkmodel.population import Patient, Population, outside_valid_for, sample_effects
from pkmodel.specs.kinds import check_file
from pkmodel.specs.library import load_reference
from pkmodel.specs.loading import library
from pkmodel.specs.reference import Figure, Setting, massive
from pkmodel.studied import Studied, summary
from pkmodel.verify import Verification
from pkmodel.verify_page import published_text

FIELDS = {"model", "study", "quantity", "unit", "published", "simulated", "percent", "kind", "evidence", "pass"}
BOLUS = {
    "title": "35 mg",
    "drug": "ketamine",
    "route": "iv",
    "phases": [{"name": "one", "dose": "35 mg", "sessions": {"days": [1]}}],
}


@pytest.fixture(scope="module")
def library_rows() -> Verification:
    """The whole library against everything."""
    return verify.verify()


def _reference(tmp_path: Path, **figure: Any) -> Path:
    """A reference of one figure of a 35 mg bolus, in a file."""
    tree = {
        "id": "made_up",
        "title": "Made up",
        "source": "nobody, to test with",
        "settings": {
            "bolus": {
                "what": "35 mg IV",
                "protocol": BOLUS,
                "patient": {"weight": "70 kg", "age": "40 y"},
                "figures": [{"quantity": "a level", "published": "100 ng/mL", **figure}],
            }
        },
    }
    file = tmp_path / "made_up.yaml"
    file.write_text(yaml.safe_dump(tree))
    return file


def _figure(**keys: Any) -> Figure:
    return Figure.model_validate({"quantity": "a figure", "published": "1 mg/L", **keys})


def _studied(model: str, first_sample: str | None = None, **patient: str) -> Studied:
    """35 mg at once, given to people alike."""
    tree = {"what": "35 mg IV", "protocol": BOLUS, "patient": patient, "figures": [_figure(metric="peak")]}
    if first_sample is not None:
        tree["first_sample"] = first_sample
    return Studied(pk.load_model(model), Setting.model_validate(tree))


def _rows_of(file: Path, model: str, monkeypatch: pytest.MonkeyPatch) -> Verification:
    """One model against one reference only."""
    monkeypatch.setattr(verify, "library", lambda kind: {"made_up": file} if kind == "references" else library(kind))
    monkeypatch.setattr(verify, "load_reference", lambda name: load_reference(file))
    plain = pk.load_model(model).model_copy(update={"checks": []})
    return verify.verify([plain])


def test_every_row_that_must_hold_does(library_rows: Verification) -> None:
    """The library as it stands: nothing fails, and enough is compared."""
    failing = [(row.model, row.study, row.quantity, row.percent) for row in library_rows.rows if not row.holds]
    assert failing == []
    assert len(library_rows.rows) >= 60
    assert any(row.role == "must_reproduce" for row in library_rows.rows)
    assert any(row.role == "recorded" for row in library_rows.rows)
    for row in library_rows.rows:
        numbers = (row.published, row.simulated, row.percent)
        assert all(math.isfinite(number) for number in numbers), row
        assert row.percent == pytest.approx(100 * (row.simulated / row.published - 1), rel=1e-9, abs=1e-9)
        assert row.role != "recorded" or row.reason, row


def test_own_data_verify_and_others_validate(library_rows: Verification) -> None:
    """The medians of Otto's study verify Otto's model and validate every other one."""
    rows = [row for row in library_rows.rows if row.study.startswith("Otto 2021")]
    assert {row.kind for row in rows if row.model == "esketamine_otto2021"} == {"verification"}
    others = [row for row in rows if row.model != "esketamine_otto2021"]
    assert others
    assert {row.kind for row in others} == {"validation"}
    assert {row.statistic for row in rows} == {"median"}
    assert {row.patients for row in rows} == {studied.PATIENTS}


@pytest.mark.parametrize("name", sorted(library("references")))
def test_a_shipped_reference_is_one(name: str) -> None:
    """As `pkmodel check` sees it, also where nothing of it can be compared."""
    assert check_file(library("references")[name]) == "reference"


def test_no_time_of_a_peak_is_compared_with_the_sample_it_was_taken_from() -> None:
    """A bolus into the vein is highest at the first sample; where that is assumed, its time is no result."""
    for name in library("references"):
        for setting in load_reference(name).settings.values():
            if setting.first_sample is not None:
                parents = [item for item in setting.figures if item.output in ("ketamine", "esketamine", "parent")]
                assert all(item.metric != "time_of_peak" for item in parents), name


def test_a_racemic_study_is_not_held_against_an_enantiomer(library_rows: Verification) -> None:
    """Drug, route and range of patients decide which rows there are."""
    zarate = {row.model for row in library_rows.rows if row.study.startswith("Zarate")}
    assert {"ketamine_clements1981", "ketamine_domino1984"} <= zarate
    assert all(pk.load_model(name).drug == "ketamine" for name in zarate)
    weber = {row.model for row in library_rows.rows if row.study.startswith("Weber")}
    assert all(not outside_valid_for(pk.load_model(name), _child())["age"].any() for name in weber)


def _child() -> Population:
    return Patient(weight="17 kg", age="4 y").population()


def test_a_mean_is_over_people_and_a_typical_value_of_one() -> None:
    """The mean of a level over log-normal patients, by hand, is the mean of the row."""
    model = pk.load_model("ketamine_clements1981")
    figure = _figure(metric="level_at", at="1 h", output="ketamine")
    study = _studied("ketamine_clements1981", weight="70 kg", age="45 y")
    values = study.measured(figure)
    assert values.shape == (studied.PATIENTS,)
    repeated = Population(0, 1000, {key: np.repeat(value, 1000) for key, value in _adult().covariates.items()})
    drawn = sample_effects(repeated, model, studied.SEED)
    result = pk.simulate(pk.load_protocol(BOLUS), model, drawn, until="1 h", every="1 h")
    np.testing.assert_allclose(values, result.level("ketamine")[:, -1] / 1000, rtol=1e-12)
    assert summary(values, figure) == values.mean()
    assert summary(values, figure.model_copy(update={"statistic": "median"})) == np.median(values)
    typical = study.measured(figure.model_copy(update={"statistic": "typical"}))
    one = pk.simulate(pk.load_protocol(BOLUS), model, _adult(), until="1 h", every="1 h")
    np.testing.assert_allclose(typical, one.level("ketamine")[:, -1] / 1000, rtol=1e-12)


def _adult() -> Population:
    return Patient(weight="70 kg", age="45 y").population()


def test_statistics() -> None:
    """Geometric mean and share below, and what has no geometric mean."""
    values = np.array([1.0, 2.0, 4.0])
    geometric = _figure(metric="level_at", at="1 h", statistic="geometric_mean")
    assert summary(values, geometric) == pytest.approx(2.0, rel=1e-15)
    share = _figure(metric="level_at", at="1 h", statistic="share_below", threshold="3 mg/L", published=0.5)
    assert summary(values, share) == pytest.approx(2 / 3, rel=1e-15)
    with pytest.raises(pk.InputError, match="values of 0"):
        summary(np.array([0.0, 1.0]), geometric)


def test_figures_of_disposition() -> None:
    """Clearance, volumes and half-life of a two-compartment model, against its constants."""
    study = _studied("ketamine_clements1981", weight="70 kg", age="45 y")
    k10, k12, k21, central = 0.0109 * 60, 0.0186 * 60, 0.0137 * 60, 1.7522 * 70
    total = k10 + k12 + k21
    slow = (total - math.sqrt(total**2 - 4 * k10 * k21)) / 2

    def value(metric: str, unit: str, **more: Any) -> float:
        keys = {"metric": metric, "output": "ketamine", "published": f"1 {unit}", "statistic": "typical"}
        return float(study.measured(_figure(**keys, **more))[0])

    assert value("clearance", "L/h") == pytest.approx(k10 * central, rel=1e-12)
    assert value("clearance", "mL/min/kg") == pytest.approx(k10 * central / 70, rel=1e-12)
    assert value("half_life", "h") == pytest.approx(math.log(2) / slow, rel=1e-12)
    assert value("volume_terminal", "L") == pytest.approx(k10 * central / slow, rel=1e-12)
    assert value("volume_steady_state", "L") == pytest.approx(central * (1 + k12 / k21), rel=1e-12)
    assert value("volume_steady_state", "L/kg") == pytest.approx(1.7522 * (1 + k12 / k21), rel=1e-12)
    assert value("auc", "mg*h/L") == pytest.approx(35 / (k10 * central), rel=1e-12)


def test_volume_at_steady_state_of_a_metabolite_is_no_number_of_its_own() -> None:
    """The moments of an output that the dose reaches through others include the time on the way."""
    model = pk.load_model("esketamine_otto2021")
    net = network.build(model, _adult())
    dose = np.zeros((1, len(net.states)))
    dose[0, net.states.index("noresketamine")] = 10.0
    direct = moments.volume_at_steady_state(net, "noresketamine", dose)
    np.testing.assert_allclose(direct, [98.638 + 160.04], rtol=1e-12)


def test_patients_of_other_structures_stand_side_by_side() -> None:
    """A patient with no way to the periphery among others: each has what it has alone, to the bit."""
    model = pk.load_model("ketamine_domino1984")
    repeated = {key: np.repeat(value, 5) for key, value in _adult().covariates.items()}
    net = network.build(model, sample_effects(Population(0, 5, repeated), model, 4))
    centre, away = (net.states.index(flow) for flow in (model.flows[0].source, model.flows[0].target))
    for patient in (1, 3):
        net.rates[patient, centre, centre] += net.rates[patient, away, centre]
        net.rates[patient, away, centre] = 0.0
    dose = np.zeros((5, len(net.states)))
    dose[:, centre] = 10.0
    together = (
        moments.area_to_infinity(net, "ketamine", dose),
        moments.volume_at_steady_state(net, "ketamine", dose),
        moments.terminal_half_life(net, "ketamine", dose[0] > 0),
    )
    for patient in range(5):
        alone = replace(
            net,
            rates=net.rates[[patient]],
            output_scale=net.output_scale[:, [patient]],
            population=Population(0, 1, {}),
        )
        assert together[0][patient] == moments.area_to_infinity(alone, "ketamine", dose[:1])[0]
        assert together[1][patient] == moments.volume_at_steady_state(alone, "ketamine", dose[:1])[0]
        assert together[2][patient] == moments.terminal_half_life(alone, "ketamine", dose[0] > 0)[0]
    assert together[1][1] < together[1][0]


def test_peaks_begin_with_the_first_sample() -> None:
    """A bolus is highest at once; a study that first sampled at 2 min saw the level then."""
    late = _studied("ketamine_domino1984", first_sample="2 min", weight="70 kg", age="45 y")
    keys = {"output": "ketamine", "statistic": "typical"}
    peak = late.measured(_figure(metric="peak", **keys))
    np.testing.assert_allclose(peak, late.measured(_figure(metric="level_at", at="2 min", **keys)), rtol=1e-12)
    time = late.measured(_figure(metric="time_of_peak", published="2 min", **keys))
    np.testing.assert_allclose(time, [2 / 60], rtol=1e-12)


def test_amounts_of_substance_become_mass() -> None:
    """9.3 umol/L of ketamine (237.73 g/mol) is 2.211 mg/L."""
    value, powers = massive(units.parse("9.3 umol/L"), "ketamine")
    assert value == pytest.approx(9.3 * 237.73e-3, rel=1e-12)
    assert powers == {"mass": 1.0, "volume": -1.0}
    with pytest.raises(pk.InputError, match="no molar mass of dehydronorketamine"):
        massive(units.parse("9.3 umol/L"), "dehydronorketamine")


@pytest.mark.parametrize(
    ("published", "extra", "low", "agrees"),
    [
        ("200 ng/mL", {}, None, True),
        ("180 ng/mL", {}, None, False),
        ("150 ng/mL", {"sd": "100 ng/mL"}, None, True),
        ("150 ng/mL", {"sd": "90 ng/mL"}, None, False),
        ("130 ng/mL", {"geometric_sd": 2.0}, None, True),
        ("130 ng/mL", {"geometric_sd": 1.8}, None, False),
        (["100 ng/mL", "250 ng/mL"], {}, 100.0, True),
        (["100 ng/mL", "150 ng/mL"], {}, 100.0, False),
        ("100 ng/mL", {"interval": ["90 ng/mL", "250 ng/mL"]}, 90.0, True),
        ("100 ng/mL", {"interval": ["90 ng/mL", "110 ng/mL"]}, 90.0, False),
    ],
)
def test_what_is_near(
    published: Any,
    extra: dict[str, Any],
    low: float | None,
    agrees: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Within 1 SD, inside an interval or range, or within 30 %, of a level of 247 ng/mL."""
    keys = {"metric": "level_at", "at": "5 min", "output": "ketamine", "statistic": "typical"}
    file = _reference(tmp_path, published=published, **keys, **extra)
    (row,) = _rows_of(file, "ketamine_clements1981", monkeypatch).rows
    assert row.simulated == pytest.approx(247.0, abs=1.0)
    if row.sd is not None:
        assert row.in_sd == pytest.approx((row.simulated - 150) / row.sd, rel=1e-12)
    assert row.low == low
    assert row.holds
    assert row.agrees is agrees


@pytest.mark.parametrize(
    ("keys", "role", "holds"),
    [
        ({"role": "must_reproduce"}, "must_reproduce", False),
        ({"role": "must_reproduce", "published": "247.0 ng/mL"}, "must_reproduce", True),
        ({"expected": {"ketamine_clements1981": {"percent": 147, "reason": "made for a test"}}}, "recorded", True),
        ({"expected": {"ketamine_clements1981": {"percent": 120, "reason": "made for a test"}}}, "recorded", False),
        ({"expected": {"ketamine_domino1984": {"percent": 120, "reason": "made for a test"}}}, "shown", True),
        ({}, "shown", True),
    ],
)
def test_what_a_row_must_hold(
    keys: dict[str, Any], role: str, holds: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A figure to reproduce within 1 %, a recorded difference within its width, and nothing of the others."""
    shown = {"metric": "level_at", "at": "5 min", "output": "ketamine", "statistic": "typical"}
    found = _rows_of(_reference(tmp_path, **{**shown, **keys}), "ketamine_clements1981", monkeypatch)
    (row,) = found.rows
    assert (row.role, row.holds) == (role, holds)
    assert found.holds is holds


def test_a_model_that_leaves_its_paper_ends_with_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A user's copy with another clearance: its rows say so, in the table and in JSON."""
    text = library("models")["esketamine_perezruixo2021"].read_text()
    file = tmp_path / "mine.yaml"
    file.write_text(text.replace("Vc:          {value: 192 L,", "Vc:          {value: 170 L,"))
    monkeypatch.setattr("sys.argv", ["pkmodel", "verify", str(file), "--json"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    rows = json.loads(capsys.readouterr().out)
    assert set(rows[0]) >= FIELDS
    failing = [row["quantity"] for row in rows if not row["pass"]]
    assert "esketamine cmax 28mg" in failing
    monkeypatch.setattr("sys.argv", ["pkmodel", "verify", str(file)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    assert "does not hold: esketamine_perezruixo2021" in " ".join(capsys.readouterr().out.split())


def test_the_table_and_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One model: exit 0, every row in the table, and the page as asked for."""
    file = tmp_path / "page.md"
    monkeypatch.setattr("sys.argv", ["pkmodel", "verify", "ketamine_clements1981", "--page", str(file)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    for said in ("ketamine_clements1981", "Zarate 2006", "185 ng/mL", "validation", "Not for patient care"):
        assert said in printed
    page = file.read_text()
    assert "| 185 ng/mL |" in page
    assert "## Not compared" in page


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["esketamine_oto2021"], "nearest esketamine_otto2021"),
        (["--page", "rows.txt"], "a file name that ends in .md"),
    ],
)
def test_wrong_input(
    arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One clear error and exit code 2."""
    monkeypatch.setattr("sys.argv", ["pkmodel", "verify", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"metric": "peek"}, "metric"),
        ({"metric": "level_at"}, "`at` for level_at"),
        ({"metric": "peak", "at": "1 h"}, "no `at` for peak"),
        ({"metric": "peak", "published": "3 h"}, "a value of peak"),
        ({"metric": "peak", "sd": "3 h"}, "a value of peak"),
        ({"metric": "peak", "published": ["3 ng/mL", "2 ng/mL"]}, "a lowest value below the highest"),
        ({"metric": "peak", "statistic": "share_below", "threshold": "1 ng/mL"}, "level_at, for the share below"),
        ({"metric": "value"}, "`formula` for value"),
        ({"metric": "peak", "unknown": 1}, "unknown"),
        ({"metric": "peak", "expected": {"m": {"percent": 3}}}, "reason"),
    ],
)
def test_a_wrong_reference_is_refused(keys: dict[str, Any], said: str, tmp_path: Path) -> None:
    """Every mistake of a reference file is named, with its line."""
    file = _reference(tmp_path, **keys)
    with pytest.raises(pk.InputError) as error:
        load_reference(file)
    assert said in str(error.value)
    assert str(file) in str(error.value)


def test_a_figure_that_makes_no_sense_on_a_model_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A half-life where the clearance changes with time is no row, and not silently gone."""
    tree = yaml.safe_load(_reference(tmp_path, metric="half_life", output="noresketamine", published="2 h").read_text())
    setting = tree["settings"]["bolus"]
    setting["protocol"] = {**BOLUS, "drug": "esketamine"}
    setting["patient"] = {"weight": "17 kg", "age": "4 y"}
    file = tmp_path / "made_up.yaml"
    file.write_text(yaml.safe_dump(tree))
    found = _rows_of(file, "esketamine_flint2017", monkeypatch)
    assert found.rows == ()
    (left,) = found.left
    assert left.model == "esketamine_flint2017"
    assert "changes with time" in left.reason


def test_the_page_of_the_docs_is_that_of_the_library(library_rows: Verification) -> None:
    """Every row stands on docs/verification.md with the difference that is found here, as printed."""
    page = (Path(__file__).resolve().parents[2] / "docs" / "verification.md").read_text(encoding="utf-8")
    shown = [line for line in page.splitlines() if line.count("|") == 10]
    rows = [line for line in shown if not line.startswith(("| study", "|---"))]
    assert len(rows) == len(library_rows.rows)
    for line, row in zip(rows, library_rows.rows, strict=True):
        study, quantity, published, _, difference, *_ = (cell.strip() for cell in line.strip("|").split(" | "))
        assert (study, quantity) == (row.study, row.quantity)
        assert published == published_text(row)
        assert float(difference.removesuffix(" %")) == pytest.approx(row.percent, abs=0.11)
