"""What fuzzing found, each once and small."""

from __future__ import annotations

import copy
import os
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import pkmodel as pk
import pkmodel.cli
import pkmodel.units
from pkmodel.specs.expressions import parse_expression
from pkmodel.specs.library import load_population
from pkmodel.specs.loading import library
from pkmodel.specs.yaml_tree import read_yaml

ADULT = pk.Patient(weight="70 kg", age="40 y", sex="female", height="165 cm")


def _tree(kind: str, name: str) -> Any:
    return copy.deepcopy(read_yaml(library(kind)[name]).tree)


@pytest.mark.parametrize("name", ["/dev/zero", "pipe", "nothing\0.csv", "."])
def test_people_are_read_from_files_only(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A device was read until memory was gone, a NUL was a traceback, and a pipe would have been waited for."""
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    assert stat.S_ISFIFO(Path("pipe").stat().st_mode)
    with pytest.raises(pk.InputError, match=r"from_csv\.file"):
        load_population({"title": "x", "from_csv": {"file": name}})


@pytest.mark.parametrize("name", ["/dev/zero", "pipe.yaml", "nothing\0.yaml"])
def test_models_are_read_from_files_only(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same of files of our own."""
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe.yaml")
    with pytest.raises(pk.InputError):
        pk.load_model(Path(name))


def test_the_id_of_a_record_is_no_list() -> None:
    """It was a TypeError."""
    with pytest.raises(pk.InputError, match="row 2"):
        pk.simulate_records(pd.DataFrame({"id": [1, [2]], "time": [0, 1]}), "one_compartment", {"CL": 1, "V1": 1})


@pytest.mark.parametrize("cmt", ["-inf", "inf", "nan", "1e400"])
def test_the_compartment_of_a_record_is_no_infinity(cmt: str) -> None:
    """It was an OverflowError."""
    table = pd.DataFrame({"time": [0], "amt": [1], "evid": [1], "cmt": [cmt]})
    with pytest.raises(pk.InputError, match="cmt"):
        pk.simulate_records(table, "one_compartment", {"CL": 1, "V1": 1})


def test_comparisons_are_numbers() -> None:
    """The difference of two was a TypeError."""
    found = parse_expression("(weight > 60) - (weight > 80) + (not weight > 60) * 5 + (weight > 60 and weight > 80)")
    assert found.evaluate({"weight": np.array([50.0, 70.0, 90.0])}).tolist() == [5.0, 1.0, 1.0]


def test_rates_that_leave_no_digit_are_no_levels() -> None:
    """Rates of 1e9/h over hours gave levels that are no numbers."""
    tree = _tree("models", "ketamine_herd2007")
    tree["parameters"]["V1"]["scale"]["reference"] = "7e+10 kg"
    with pytest.raises((pk.RunError, pk.InputError), match=r"ketamine_herd2007|V1"):
        pk.simulate("iv_single", pk.load_model(tree), ADULT, until="12 h", every="1 h", drug="own")


def test_parameters_of_no_world_are_refused() -> None:
    """A reference of 1e-299 kg made rates whose products are infinite."""
    tree = _tree("models", "esketamine_flint2017")
    tree["parameters"]["CL"]["scale"] |= {"reference": "7e-99 kg", "weight": 1.5}
    with pytest.raises(pk.InputError, match="a value from 0 to 1e\\+100"):
        pk.simulate("esketamine_iv_single", pk.load_model(tree), ADULT, until="12 h", every="1 h", drug="own")


def test_a_covariance_beside_no_variance_is_refused() -> None:
    """A variance of 5e-324 beside a covariance of 0.04 overflowed where the two were divided."""
    tree = _tree("models", "ketamine_enantiomers")
    tree["variability"]["between_subject"]["VN"] = {"omega2": 5e-324}
    with pytest.raises(pk.InputError, match="VN~CLN too large for the variances"):
        pk.load_model(tree)


def test_a_heading_of_two_lines_is_refused(tmp_path: Path) -> None:
    """A quoted heading may hold the end of a line: an AssertionError, found by atheris."""
    (tmp_path / "people.csv").write_text('"age\nof them",weight\n40,70\n', encoding="utf-8")
    with pytest.raises(pk.InputError, match="a heading on one line"):
        load_population({"title": "x", "from_csv": {"file": str(tmp_path / "people.csv")}})


def test_a_name_with_brackets_is_refused() -> None:
    """Its place in the file was read as one with a number: a ValueError, found by atheris."""
    tree = _tree("models", "ketamine_intranasal")
    tree["parameters"] = {(f"{name}[L" if name == "CL" else name): item for name, item in tree["parameters"].items()}
    with pytest.raises(pk.InputError, match=r"parameters\.CL\[L"):
        pk.load_model(tree)


def test_a_word_too_many_is_written_out(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What is wrong with a command line was printed as it came."""
    monkeypatch.setattr("sys.argv", ["pkmodel", "models", "show", "ketamine_kamp2020", "a\x1b[31m\u2028b"])
    with pytest.raises(SystemExit) as ended:
        pk.cli.main()
    assert ended.value.code == 2
    assert "a\\x1b[31m\\u2028b" in capsys.readouterr().err


def test_a_product_of_nothing_is_refused() -> None:
    """A vial without drug in it made an infinite number of vials."""
    tree = _tree("protocols", "iv_single")
    tree["product"] = {"concentration": "1e-90 mg/mL", "vial": "2 mL"}
    with pytest.raises(pk.InputError, match="vials"):
        pk.simulate(pk.load_protocol(tree), "ketamine_domino1984", ADULT)


@pytest.mark.parametrize("text", ["2.8e-308 mg", "1e-101 h", "-1e-150 L", "1e101 kg", "1e300 mg"])
def test_a_quantity_of_no_world_is_refused(text: str) -> None:
    """A device of 2.8e-308 mg was an OverflowError: a dose is infinitely many of them."""
    with pytest.raises(pk.InputError, match="a size from 1e-100 to 1e\\+100"):
        pk.units.parse(text)
    assert pk.units.parse("0 mg").value == 0.0
