"""Rules on what a course takes: drug, devices, vials, hours and money, against sums by hand of what a run wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

import pkmodel as pk
from pkmodel import dose_finding, population, report, sensitivity, taking
from pkmodel.errors import InputError
from pkmodel.metrics import Request
from pkmodel.specs import design
from pkmodel.specs.prices import Prices, price
from pkmodel.tally import Taken

VIALS = {
    "title": "Three infusions from vials",
    "drug": "ketamine",
    "route": "iv",
    "over": "40 min",
    "product": {"concentration": "10 mg/mL", "vial": "2.5 mL"},
    "phases": [
        {"name": "two", "dose": "0.5 mg/kg", "sessions": {"days": [1, 2]}},
        {"name": "third", "after": "1 d", "dose": "0.75 mg/kg", "sessions": {"every": "1 d", "count": 1}},
    ],
}
PER_KG = (0.5, 0.5, 0.75)


def _rule(metric: str, limit: str, **more: Any) -> dict[str, Any]:
    return {"id": metric, "metric": metric, "at_most": limit, "in": "90 %", **more}


def _tree(rules: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {
        "title": "Test",
        "arms": {"one": {"protocol": VIALS, "model": "ketamine_clements1981"}},
        "population": "adults_trials",
        "n": 80,
        "seed": 11,
        "observe": {"every": "1 h", "for": "4 h"},
        "rules": rules,
        **more,
    }


RULES = [
    _rule("total_dose", "130 mg"),
    _rule("total_dose", "36 mg", id="each", window="each session"),
    _rule("total_dose", "36 mg", id="first_two", window={"sessions": [1, 2]}),
    _rule("max_dose", "55 mg"),
    _rule("vials", "7"),
    _rule("vials", "3", id="worst_vials", window="worst session"),
    _rule("wasted", "25 mg"),
    _rule("sprays", "0"),
    _rule("clinic_hours", "12 h", observed_for="2 h", discharge="parent below 30 ng/mL"),
    _rule("clinic_hours", "2.7 h", id="stay", observed_for="2 h", window="worst session"),
    _rule("cost", "1250 EUR", observed_for="2 h", discharge="parent below 30 ng/mL"),
]
PRICES = {"currency": "EUR", "vial": 20, "session": 30, "clinic_hour": 80.5, "device": 0}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run with every metric of what a course takes."""
    folder = tmp_path_factory.mktemp("run")
    report.run(pk.load_scenario(_tree(RULES, prices=PRICES)), folder)
    return folder


@pytest.fixture(scope="module")
def by_hand(run: Path) -> dict[str, np.ndarray]:
    """What each session takes of each patient (3, n), worked out from the weights and the exact times alone."""
    weight = pd.read_parquet(run / "patients.parquet")["weight_kg"].to_numpy()
    given = np.array(PER_KG)[:, None] * weight
    vials = np.ceil(given / 25.0)
    table = pd.read_parquet(run / "metrics.parquet")
    until = table[table["metric"] == "time_until_below"].pivot(index="session", columns="patient", values="value")
    hours = np.maximum(40 / 60 + 2.0, until.to_numpy())
    cost = 20 * vials + 30 + 80.5 * hours
    return {"given": given, "vials": vials, "wasted": 25.0 * vials - given, "hours": hours, "cost": cost}


def test_every_value_is_the_one_worked_out_by_hand(run: Path, by_hand: dict[str, np.ndarray]) -> None:
    """Session by session, in mg, whole vials, hours and euros; of no output."""
    table = pd.read_parquet(run / "metrics.parquet")
    names = {"total_dose": "given", "max_dose": "given", "vials": "vials", "wasted": "wasted", "cost": "cost"}
    units = {"total_dose": "mg", "max_dose": "mg", "vials": "", "wasted": "mg", "cost": "EUR"}
    for metric, name in names.items():
        rows = table[table["metric"] == metric]
        values = rows.pivot(index="session", columns="patient", values="value").to_numpy()
        assert values == pytest.approx(by_hand[name], rel=1e-12)
        assert rows["output"].isna().all()
        assert rows["unit"].unique().tolist() == [units[metric]]
    hours = table[table["condition"] == "observed for 2 h, until ketamine below 30 ng/mL"]
    hours = hours[hours["metric"] == "clinic_hours"].pivot(index="session", columns="patient", values="value")
    assert hours.to_numpy() == pytest.approx(by_hand["hours"], rel=1e-12)
    assert (by_hand["hours"] > 40 / 60 + 2.0).any(), "a criterion that never counts would show nothing"
    assert len(np.unique(by_hand["vials"])) > 1


def test_every_rule_counts_those_values(run: Path, by_hand: dict[str, np.ndarray]) -> None:
    """Added up over the course or the sessions named; the largest of the sessions for the worst one and max_dose."""
    found = pd.read_csv(run / "findings.csv", keep_default_na=False).set_index(["rule", "window"])
    given, vials, hours = by_hand["given"], by_hand["vials"], by_hand["hours"]
    kept = {
        ("total_dose", "course"): given.sum(axis=0) <= 130,
        ("each", "session 1"): given[0] <= 36,
        ("each", "session 3"): given[2] <= 36,
        ("first_two", "sessions 1-2"): given[0] + given[1] <= 36,
        ("max_dose", "course"): given.max(axis=0) <= 55,
        ("vials", "course"): vials.sum(axis=0) <= 7,
        ("worst_vials", "worst session"): vials.max(axis=0) <= 3,
        ("wasted", "course"): by_hand["wasted"].sum(axis=0) <= 25,
        ("sprays", "course"): np.ones(80, dtype=bool),
        ("clinic_hours", "course"): hours.sum(axis=0) <= 12,
        ("stay", "worst session"): np.ones(80, dtype=bool),
        ("cost", "course"): by_hand["cost"].sum(axis=0) <= 1250,
    }
    for key, flags in kept.items():
        assert found.loc[key, "n_met"] == flags.sum(), key
    undecided = {key for key, flags in kept.items() if 0 < flags.sum() < 80}
    assert len(undecided) >= 7, "limits that everybody keeps, or nobody, would show nothing"
    cost = found.loc["cost", "course"]
    assert (cost["metric"], cost["output"], cost["limit"], cost["unit"]) == ("cost", "", 1250.0, "EUR")


def test_the_same_however_it_is_run(run: Path, tmp_path: Path) -> None:
    """In blocks and shards, on two threads and in chunks of one patient: the same bytes."""
    scenario = pk.load_scenario(_tree(RULES, prices=PRICES))
    report.run(scenario, tmp_path / "blocks", jobs=2, block=32, chunk=1)
    for name in ("findings.csv", "findings.json"):
        assert (tmp_path / "blocks" / name).read_bytes() == (run / name).read_bytes()
    one, other = (pd.read_parquet(folder / "metrics.parquet") for folder in (run, tmp_path / "blocks"))
    keys = ["patient", "metric", "condition", "session"]
    pd.testing.assert_frame_equal(
        one.sort_values(keys, ignore_index=True), other.sort_values(keys, ignore_index=True), check_exact=True
    )


def test_what_a_device_takes(tmp_path: Path) -> None:
    """56 mg, then 84 mg of devices of 28 mg with two sprays each: counted, and no vial is opened."""
    rules = [
        {"id": "devices", "metric": "devices", "at_most": 35, "in": "90 %"},
        {"id": "sprays", "metric": "sprays", "window": {"session": 2}, "at_least": 6, "in": "90 %"},
        {"id": "vials", "metric": "vials", "at_most": 0, "in": "90 %"},
        {"id": "cost", "metric": "cost", "at_most": "8750 EUR", "in": "90 %"},
    ]
    arms = {"nasal": {"protocol": "esketamine_nasal_induction", "model": "esketamine_perezruixo2021"}}
    tree = _tree(rules, arms=arms, n=5, prices={"currency": "EUR", "device": 250, "vial": 99})
    report.run(pk.load_scenario(tree), tmp_path)
    table = pd.read_parquet(tmp_path / "metrics.parquet").set_index(["metric", "session", "patient"])["value"]
    sessions = len(table["devices"].index.unique("session"))
    assert table["devices", 1].tolist() == [2.0] * 5
    assert table["devices", 2].tolist() == [3.0] * 5
    assert table["sprays", 2].tolist() == [6.0] * 5
    total = 2 + 3 * (sessions - 1)
    assert total == 35
    assert table["cost"].groupby("patient").sum().tolist() == [250.0 * total] * 5
    assert pd.read_csv(tmp_path / "findings.csv")["n_met"].tolist() == [5] * 4


def test_what_a_clinic_gave_is_what_is_counted(tmp_path: Path) -> None:
    """Where infusions are stopped and sessions left out, mg and hours are those of the ledger."""
    rules = [
        _rule("total_dose", "250 mg"),
        _rule("clinic_hours", "30 h", observed_for="2 h"),
    ]
    arms = {"one": {"protocol": "iv_titrated_with_stops", "model": "ketamine_clements1981"}}
    scenario = _tree(rules, arms=arms, n=60, effects=["dissociation_olofsen2022"])
    report.run(pk.load_scenario(scenario), tmp_path)
    ledger = pd.read_parquet(tmp_path / "ledger.parquet")
    sessions = ledger[ledger["row"] == "session"].set_index(["session", "patient"]).sort_index()
    table = pd.read_parquet(tmp_path / "metrics.parquet").set_index(["metric", "session", "patient"])["value"]
    assert table["total_dose"].sort_index().tolist() == pytest.approx(sessions["mg"].tolist(), rel=1e-12)
    assert sessions["mg"].nunique() > 60
    hours = np.where(sessions["mg"] > 0, sessions["until_h"] - sessions["time_h"] + 2.0, 0.0)
    assert table["clinic_hours"].sort_index().tolist() == pytest.approx(hours.tolist(), rel=1e-9)
    total = sessions["mg"].groupby("patient").sum()
    found = pd.read_csv(tmp_path / "findings.csv").set_index("rule")
    assert found.loc["total_dose", "n_met"] == (total <= 250).sum()
    assert 0 < (total <= 250).sum() < 60


def test_a_session_that_is_missed_takes_nothing(tmp_path: Path) -> None:
    """No vial, no hour, no price of a session."""
    protocol = {**VIALS, "adherence": {"missed": [2]}}
    rules = [_rule("vials", "9"), _rule("cost", "900 EUR", observed_for="2 h"), _rule("wasted", "60 mg")]
    arms = {"one": {"protocol": protocol, "model": "ketamine_clements1981"}}
    report.run(pk.load_scenario(_tree(rules, arms=arms, n=10, prices=PRICES)), tmp_path)
    table = pd.read_parquet(tmp_path / "metrics.parquet").set_index(["metric", "session"])["value"]
    for metric in ("vials", "cost", "wasted"):
        assert table[metric, 2].tolist() == [0.0] * 10
        assert (table[metric, 1] > 0).all()


def test_hours_without_end() -> None:
    """Who never falls below the criterion stays for ever; at a price of 0 that costs nothing, and no NaN."""
    taken = Taken(given=np.array([[10.0, 10.0, 0.0]]), written=np.zeros(3), ends=np.full((1, 3), 0.5))
    until = np.array([[np.inf, 1.0, np.inf]])

    def cost(**prices: float) -> list[float]:
        request = Request("cost", "", observed=2.0, prices=Prices(currency="EUR", **prices))
        return taking.by_session(request, taken, until)[0].tolist()

    assert taking.by_session(Request("clinic_hours", "", observed=2.0), taken, until)[0].tolist() == [np.inf, 2.5, 0.0]
    assert cost(clinic_hour=10.0) == [np.inf, 25.0, 0.0]
    assert cost(clinic_hour=0.0, session=3.0) == [3.0, 3.0, 0.0]


def test_a_salt_counts_as_its_base(tmp_path: Path) -> None:
    """mg of the hydrochloride hold 237.73 / 274.19 of ketamine, and the rule counts ketamine."""
    protocol = {**VIALS, "salt": "hydrochloride", "phases": VIALS["phases"][:1]}
    arms = {"one": {"protocol": protocol, "model": "ketamine_clements1981"}}
    report.run(pk.load_scenario(_tree([_rule("max_dose", "40 mg")], arms=arms, n=10)), tmp_path)
    weight = pd.read_parquet(tmp_path / "patients.parquet")["weight_kg"]
    table = pd.read_parquet(tmp_path / "metrics.parquet").set_index(["metric", "session"])["value"]
    assert table["max_dose", 1].tolist() == pytest.approx((0.5 * weight * 237.73 / 274.19).tolist(), rel=1e-4)


@pytest.mark.parametrize("text", ["500", "EUR 500", "5,00 EUR", "500 EUR/h", "nan EUR", "500 %", "1e3000 EUR", ""])
def test_what_is_no_price(text: str) -> None:
    """Each is refused; none is taken for a price."""
    with pytest.raises(InputError, match="a price such as"):
        price(text)


def test_what_is_a_price() -> None:
    """With or without a space, and to the last digit as written."""
    assert (price("500 EUR").value, price("0.5eur").unit.text, price(" 1000.5 USD ").number) == (500.0, "eur", 1000.5)


def test_a_dose_is_found_that_a_cost_allows(tmp_path: Path) -> None:
    """Vials of 25 mg at 20 EUR: the cost steps where a patient's dose needs another one, and the search meets it."""
    tree = _tree([_rule("cost", "60 EUR", window="worst session")], prices={"currency": "EUR", "vial": 20}, n=200)
    tree["arms"]["one"]["protocol"] = {**VIALS, "phases": VIALS["phases"][:1]}
    path = tmp_path / "scenario.yaml"
    path.write_text(yaml.safe_dump(tree), encoding="utf-8")
    bounds = [("0.3 mg/kg", "2 mg/kg")]
    request = design.prepare(str(path), ["phases[0].dose"], ["cost"], bounds=bounds, points=9)
    found = dose_finding.run(request)
    assert found.method == "searched"
    scenario = pk.load_scenario(tree)  # the same patients as those of the design
    people = population.sample_covariates(scenario.population, scenario.spec.seed, 0, scenario.spec.n)
    weights = np.sort(people.covariates["weight"])
    # Three vials hold 75 mg, so 90 % keep the rule up to 75 mg over the weight that 90 % do not exceed.
    limit = 75.0 / weights[int(np.ceil(0.9 * 200)) - 1]
    assert found.answer.value == pytest.approx(limit, abs=2e-3 * 1.7)


def test_what_drives_a_cost() -> None:
    """Vials by weight: weight, with what it is drawn together with, explains who is beyond the limit."""
    tree = _tree([_rule("vials", "6")], n=64)
    found = sensitivity.run(pk.load_scenario(tree), rule="vials", method="morris")
    assert "weight" in found.rows[0].input
    assert found.rows[0].total > 0
    assert all(row.total == 0 for row in found.rows[1:])
