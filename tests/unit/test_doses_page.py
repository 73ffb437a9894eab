"""The page on doses: its examples are protocols that can be given."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import yaml

import pkmodel as pk
from pkmodel.instructions import course_for

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "doses.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```yaml\n(.*?)```", PAGE, flags=re.DOTALL)
PATIENT = {
    "weight": np.array([82.0]),
    "height": np.array([175.0]),
    "age": np.array([70.0]),
    "hepatic_impairment": np.array([0.0]),
}


@pytest.mark.parametrize("index", range(len(EXAMPLES)))
def test_examples_can_be_given(index: int) -> None:
    """Every one loads, and gives something in every session."""
    rows = course_for(pk.load_protocol(yaml.safe_load(EXAMPLES[index])), PATIENT)
    assert all(isinstance(row["given_mg"], float) and row["given_mg"] > 0 for row in rows)


def test_the_first_example_by_hand() -> None:
    """82 kg: 24.6 -> 25, 61.5 -> 62 and 20 mg in 10.7 mL; from 65 y 0.25 mg/kg, 20.5 -> 21 mg."""
    assert len(EXAMPLES) == 2
    rows = course_for(pk.load_protocol(yaml.safe_load(EXAMPLES[0])), PATIENT)
    assert [row["given_mg"] for row in rows] == [107.0, 21.0, 21.0, 21.0]
    assert rows[0]["volume_mL"] == 10.7
