"""Whoever is outside of what a model was built on is flagged everywhere, and refused with --strict."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import pkmodel as pk

HEAVY = {"weight": "130 kg", "age": "75 y"}


def test_simulate_warns_and_strict_refuses() -> None:
    """A patient of 75 y and 130 kg on a model of 18 to 60 y and 50 to 100 kg."""
    protocol, model = pk.load_protocol("esketamine_iv_single"), pk.load_model("esketamine_otto2021")
    result = pk.simulate(protocol, model, pk.Patient(**HEAVY))
    for name, bounds in (("age", "18 to 60 y"), ("weight", "50 to 100 kg")):
        assert any(name in sentence and bounds in sentence for sentence in result.warnings)
    assert any("age" in sentence for sentence in result.to_pandas().attrs["warnings"])
    with pytest.raises(pk.InputError) as refused:
        pk.simulate(protocol, model, pk.Patient(**HEAVY), strict=True)
    assert len(refused.value.problems) == 2


@pytest.mark.parametrize(
    ("weight", "inside"), [("50 kg", True), ("100 kg", True), ("49.9 kg", False), ("101 kg", False)]
)
def test_ends_of_a_range_are_inside(weight: str, inside: bool) -> None:
    """Nobody is flagged at the bounds themselves."""
    protocol, model = pk.load_protocol("esketamine_iv_single"), pk.load_model("esketamine_otto2021")
    result = pk.simulate(protocol, model, pk.Patient(weight=weight, age="40 y"))
    assert any("outside the weight" in sentence for sentence in result.warnings) is not inside


def test_course_longer_than_valid() -> None:
    """A course of 7 weeks on a model that is valid for 4."""
    phases = [{"name": "weekly", "dose": "20 mg", "over": "40 min", "sessions": {"every": "7 d", "count": 8}}]
    protocol = pk.load_protocol({"title": "T", "drug": "esketamine", "route": "iv", "phases": phases})
    patient = pk.Patient(weight="70 kg", age="40 y")
    result = pk.simulate(protocol, pk.load_model("esketamine_otto2021"), patient, every="1 h")
    assert any("longer" in sentence for sentence in result.warnings)
    with pytest.raises(pk.InputError, match="longer"):
        pk.simulate(protocol, pk.load_model("esketamine_otto2021"), patient, strict=True)


def _scenario(tree: dict[str, Any]) -> dict[str, Any]:
    tree["arms"] = {"iv": {"protocol": "esketamine_iv_single"}}
    tree["model"] = "esketamine_otto2021"
    del tree["compare"]
    tree["n"] = 80
    return tree


def test_run_flags_everywhere(tree: dict[str, Any], tmp_path: Path) -> None:
    """findings.json, manifest.json and patients.parquet agree on who is outside."""
    study = pk.run(pk.load_scenario(_scenario(tree)), out=tmp_path)
    patients = pd.read_parquet(tmp_path / "patients.parquet")
    age, weight = patients["age_y"], patients["weight_kg"]
    outside = {"age": (age < 18) | (age > 60), "weight": (weight < 50) | (weight > 100)}
    flags = patients["outside_valid_for"].astype(object).fillna("")
    for name, who in outside.items():
        assert 0 < who.sum() < 80
        assert (flags.str.contains(name) == who).all()
        sentence = f"{who.sum()} of 80 patients are outside the {name} that esketamine_otto2021 is valid for"
        for place in ("findings.json", "manifest.json"):
            assert sentence in json.loads((tmp_path / place).read_text())["warnings"]
        assert sentence in study.warnings
    assert set(flags) <= {"", "age", "weight", "age, weight"}


def test_strict_run_is_refused_and_leaves_nothing(tree: dict[str, Any], tmp_path: Path) -> None:
    """The error names the model and the covariate."""
    with pytest.raises(pk.InputError, match=r"outside the age that esketamine_otto2021 is valid for \(18 to 60 y\)"):
        pk.run(pk.load_scenario(_scenario(tree)), out=tmp_path / "out", strict=True)
    assert list(tmp_path.iterdir()) == []


def test_strict_run_inside_is_the_same_run(tree: dict[str, Any]) -> None:
    """Where everyone is inside, --strict changes nothing."""
    tree = _scenario(tree)
    tree["population"] = {
        "sex": {"female": 0.5},
        "age": {"uniform": ["20 y", "60 y"]},
        "height": {"fixed": "170 cm"},
        "weight": {"uniform": ["50 kg", "100 kg"]},
    }
    plain, strict = (pk.run(pk.load_scenario(tree), strict=how) for how in (False, True))
    pd.testing.assert_frame_equal(plain.findings, strict.findings, check_exact=True)
    assert plain.warnings == []
