"""Records on library models, and protocols written out as records and read back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import pkmodel as pk
from pkmodel.records import records_of

Command = Callable[..., Any]
#: A rate of 40 /h over 900 h, in steps that end elsewhere: EPS * rate * hours, where both keep the slow rates apart.
CLOSE = 1e-12

ADULT = pk.Patient(weight="82 kg", age="70 y", sex="female", height="165 cm", ancestry="japanese")


def doses(**columns: Any) -> pd.DataFrame:
    """10 mg at 0 h into the central compartment, looked at after 1 and 2 h, in someone of 70 kg and 40 y."""
    base = {
        "time": [0.0, 1.0, 2.0],
        "evid": [1, 0, 0],
        "amt": [10.0, 0, 0],
        "cmt": "central",
        "weight": 70.0,
        "age": 40.0,
    }
    return pd.DataFrame({name: value for name, value in {**base, **columns}.items() if value is not None})


def with_rows(records: pd.DataFrame, time: np.ndarray) -> pd.DataFrame:
    """Records with an observation at each of these times, after the doses of its instant."""
    covariates = [name for name in records if name not in ("time", "evid", "amt", "rate", "dur", "cmt", "lag", "f")]
    seen = pd.DataFrame({"time": time, "evid": 0}).assign(**{name: records[name].iloc[0] for name in covariates})
    return pd.concat([records, seen], ignore_index=True).sort_values("time", kind="stable", ignore_index=True)


def gap(found: np.ndarray, expected: np.ndarray) -> float:
    """The largest relative error; against 1e-9 of the largest level where a level is below that."""
    return float((np.abs(found - expected) / np.maximum(expected, 1e-9 * expected.max())).max())


@pytest.mark.parametrize(
    ("protocol", "model", "drug"),
    [
        pytest.param("iv_taper_dose_and_interval", "ketamine_domino1984", "match", id="infusions"),
        pytest.param("esketamine_nasal_induction", "esketamine_perezruixo2021", "match", id="two paths, zero order"),
        pytest.param("iv_single", "esketamine_otto2021", "half", id="half of a racemate"),
    ],
)
def test_a_protocol_read_back_gives_the_same_numbers(protocol: str, model: str, drug: Any, tmp_path: Path) -> None:
    """Written to a file, read again, simulated on the same model: the amounts and levels of ``simulate``."""
    expected = pk.simulate(protocol, model, ADULT, every="2 h", drug=drug)
    file = tmp_path / "records.csv"
    records_of(protocol, model, ADULT, drug=drug).to_csv(file, index=False)
    found = pk.simulate_records(with_rows(pd.read_csv(file), expected.time), model)
    found = found[found["evid"] == 0]
    compartments = expected.model.compartments
    amounts = found[[f"amount_{name}" for name in compartments]].to_numpy()
    assert gap(amounts, expected.amounts[0, :, : len(compartments)]) <= CLOSE
    assert gap(1000.0 * found["value"].to_numpy(), expected.level()[0]) <= CLOSE  # mg/L beside ng/mL


def test_what_the_records_of_a_nasal_session_say() -> None:
    """Two devices, each down two paths: nose at once, the swallowed part over 0.53 h; fractions per device."""
    table = records_of("esketamine_nasal_induction", "esketamine_perezruixo2021", pk.Patient(age="45 y"))
    first = table[table["time"] < 1.0]
    assert first["cmt"].tolist() == ["nasal", "swallowed"] * 2
    assert first["amt"].tolist() == [28.0] * 4
    assert first["rate"].tolist() == [0.0, -2.0] * 2
    assert first["dur"].tolist() == [0.0, 0.53] * 2
    np.testing.assert_allclose(first["time"], [0.0, 0.0, 1 / 12, 1 / 12])
    np.testing.assert_allclose(first["f"], [0.54, 0.46 * 0.64, 0.54 * 0.62, (1 - 0.54 * 0.62) * 0.64], rtol=1e-12)
    assert (table["evid"] == 1).all()
    assert table["age"].eq(45.0).all()
    assert "weight" not in table


def test_records_of_a_population() -> None:
    """Each patient is a subject with covariates of its own; together they are simulated as each is alone."""
    from pkmodel.population import sample_covariates
    from pkmodel.specs.library import load_population

    people = sample_covariates(load_population("adults_trials"), 5, 0, 4)
    expected = pk.simulate("esketamine_nasal_induction", "esketamine_perezruixo2021", people, until="24 h", every="2 h")
    table = records_of("esketamine_nasal_induction", "esketamine_perezruixo2021", people)
    table = pd.concat([with_rows(mine, expected.time) for _, mine in table.groupby("id")], ignore_index=True)
    found = pk.simulate_records(table.sort_values("time", kind="stable"), "esketamine_perezruixo2021")
    for patient in range(4):
        mine = found[(found["evid"] == 0) & (found["id"] == patient + 1)]
        assert gap(1000.0 * mine["value"].to_numpy(), expected.level()[patient]) <= CLOSE


def test_weight_that_changes() -> None:
    """V1 and CL of the model at the weight of the row at the end of each stretch."""
    table = doses(weight=[60.0, 80.0, 100.0])
    found = pk.simulate_records(table, "ketamine_clements1981")
    state = None
    for row, weight in enumerate(table["weight"]):
        start = doses(weight=weight)
        if state is not None:
            start = pd.DataFrame({"time": 0.0, "evid": 1, "amt": state, "cmt": list(range(1, len(state) + 1))})
            start = pd.concat([start, pd.DataFrame({"time": [1.0], "evid": 0})]).assign(weight=weight)
        alone = pk.simulate_records(start, "ketamine_clements1981")
        here = alone.iloc[0 if state is None else -1]
        columns = [name for name in found if name == "value" or name.startswith("amount_")]
        np.testing.assert_allclose(found[columns].iloc[row].to_numpy(), here[columns].to_numpy(dtype=float), rtol=1e-14)
        state = [here[name] for name in columns[1:]]


def test_parameters_of_the_file_may_be_replaced() -> None:
    """Twice the clearance, by name or by column, in any case; the rest stays the model's."""
    model = "esketamine_otto2021"
    own = pk.load_model(model).typical["CL"][0]
    typical = pk.simulate_records(doses(), model)
    np.testing.assert_array_equal(pk.simulate_records(doses(), model, {"CL": own})["value"], typical["value"])
    by_name = pk.simulate_records(doses(), model, {"cl": 2 * own})
    by_column = pk.simulate_records(doses(CL=2 * own), model)
    np.testing.assert_array_equal(by_name["value"], by_column["value"])
    assert by_name["value"].iloc[0] == typical["value"].iloc[0]
    assert by_name["value"].iloc[2] < typical["value"].iloc[2]


def test_a_loaded_model_and_a_path(tmp_path: Path) -> None:
    """The specification, or the path of a file."""
    from pkmodel.specs.loading import library

    file = tmp_path / "mine.yaml"
    file.write_text(library("models")["ketamine_domino1984"].read_text())
    expected = pk.simulate_records(doses(), "ketamine_domino1984")
    for model in (pk.load_model("ketamine_domino1984"), file, str(file)):
        pd.testing.assert_frame_equal(pk.simulate_records(doses(), model), expected)


def test_a_model_with_one_way_in_needs_no_cmt() -> None:
    """All routes of ketamine_clements1981 lead into one compartment."""
    without = pk.simulate_records(doses(cmt=None), "ketamine_clements1981")
    assert without["value"].equals(pk.simulate_records(doses(), "ketamine_clements1981")["value"])


def test_steady_state_of_a_library_model() -> None:
    """Of the nine compartments of the nasal model, against 60 doses one by one."""
    nasal = "esketamine_perezruixo2021"
    one = doses(cmt="nasal", ss=[1, 0, 0], ii=24.0, age=70.0)
    many = doses(time=[-60 * 24.0, 1.0, 2.0], cmt="nasal", addl=[60, 0, 0], ii=24.0, age=70.0)
    found, expected = pk.simulate_records(one, nasal), pk.simulate_records(many, nasal)
    columns = [name for name in found if name == "value" or name.startswith("amount_")]
    np.testing.assert_allclose(found[columns].iloc[1:], expected[columns].iloc[1:], rtol=1e-11)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            {"weight": None},
            r"^row 1  weight  found nothing  expected weight, which V1 of ketamine_clements1981 depends on",
        ),
        ({"weight": None, "WT": 70.0}, r"the column WT .*nearest weight$"),
        ({"weight": [70.0, None, 70.0]}, r"^row 2  weight  found nothing  expected the weight in every row$"),
        ({"weight": [70.0, 70.0, 700.0]}, r"^row 3  weight  found 700  expected weight of 0.4 to 400 kg$"),
        ({"weight": "70 kg"}, r"^row 1  weight  found 70 kg"),
        ({"sex": ["female", "male", "man"]}, r"^row 3  sex  found man  expected one of female, male$"),
        ({"ancestry": "thai"}, r"^row 1  ancestry  found thai .* expected one of other, asian, japanese$"),
        ({"cyp2b6_activity": 2.0}, r"^row 1  cyp2b6_activity  found 2 .* expected a number from 0 to 1$"),
        ({"cmt": "centrl"}, r"^row 1  cmt  found centrl .*nearest central$"),
        ({"V1": [50.0, -1.0, 50.0]}, r"^row 2  parameters\.V1  found V1 = -1"),
    ],
)
def test_refused(columns: dict[str, Any], message: str) -> None:
    """Covariates that are missing or impossible, with their row."""
    with pytest.raises(pk.InputError, match=message):
        pk.simulate_records(doses(**columns), "ketamine_clements1981")


def test_a_dose_must_say_where_to() -> None:
    """The nasal model can be dosed in four places."""
    with pytest.raises(
        pk.InputError, match=r"^row 1  cmt  found nothing  expected the compartment of a dose: nasal \(1\)"
    ):
        pk.simulate_records(doses(cmt=None), "esketamine_perezruixo2021")


# ------------------------------------------------------------------------------------------------ the command line


def test_show_writes_records(command: Command, tmp_path: Path) -> None:
    """``protocols show --records`` writes what ``records_of`` gives, beside the course that it prints."""
    file = tmp_path / "out.csv"
    model = "ketamine_clements1981"
    outcome = command("protocols", "show", "iv_six_infusions", "--weight", "82 kg", "--model", model, "--records", file)
    assert outcome.code == 0
    assert outcome.out.startswith("Ketamine IV, six infusions")
    assert "6 doses into central of ketamine_clements1981" in outcome.err
    expected = records_of("iv_six_infusions", model, pk.Patient(weight="82 kg"))
    pd.testing.assert_frame_equal(pd.read_csv(file), expected, check_dtype=False)


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("--records", "out.csv"), ("--records without --model", "--model")),
        (("--model", "ketamine_clements1981"), ("--model without --records",)),
        (("--model", "ketamine_clements1981", "--records", "out.txt"), ("out.txt", ".csv")),
        (("--model", "ketamine_clements1981", "--records", "no/out.csv"), ("no/out.csv", "can be written")),
        (("--model", "ketamine_clements", "--records", "out.csv"), ("nearest ketamine_clements1981",)),
        (("--model", "esketamine_otto2021", "--records", "out.csv"), ("a model of esketamine", "drug")),
    ],
)
def test_show_refuses(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], parts: tuple[str, ...]
) -> None:
    """Exit code 2, one error, and no file."""
    monkeypatch.chdir(tmp_path)
    outcome = command("protocols", "show", "iv_single", "--weight", "82 kg", *words)
    assert outcome.code == 2
    (line,) = outcome.err.splitlines()
    assert all(part in line for part in parts), line
    assert list(tmp_path.iterdir()) == []


def test_records_of_a_dose_per_kilogram_need_a_weight(command: Command, tmp_path: Path) -> None:
    """Nothing is guessed."""
    outcome = command(
        "protocols", "show", "iv_single", "--model", "ketamine_clements1981", "--records", tmp_path / "out.csv"
    )
    assert outcome.code == 2
    assert "weight" in outcome.err


def test_no_steady_state_of_a_model_that_changes_with_time() -> None:
    """A clearance that grows with time has none; said with the row, and with what to do instead."""
    model = pk.load_model("esketamine_flint2017")
    assert not model.linear
    into = model.routes["iv"].paths[0].into
    said = r"^row 1  ss  found a steady state of a model that changes with time  .*addl"
    with pytest.raises(pk.InputError, match=said):
        pk.simulate_records(doses(ss=[1, 0, 0], ii=12.0, cmt=into, sex="male", height=175.0), model)
