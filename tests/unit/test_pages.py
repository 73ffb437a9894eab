"""The pages on populations and on dose finding: their examples are files that load."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import pkmodel as pk

DOCS = Path(__file__).resolve().parents[2] / "docs"


def examples(page: str) -> list[dict[str, Any]]:
    """The YAML examples of a page."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return [yaml.safe_load(example) for example in re.findall(r"```yaml\n(.*?)```", text, flags=re.DOTALL)]


@pytest.mark.parametrize("index", range(len(examples("populations.md"))))
def test_populations_load(index: int) -> None:
    """Every population of the page."""
    assert pk.load_population(examples("populations.md")[index]).title


def test_a_precision_belongs_to_a_scenario() -> None:
    """The key of the page, in a scenario with that rule."""
    (tree,) = examples("design.md")
    scenario = pk.load_scenario(
        {
            "title": "T",
            "arms": {"one": {"protocol": "iv_single"}},
            "model": "ketamine_clements1981",
            "population": "adults_trials",
            "observe": {"every": "1 h", "for": "1 h"},
            "rules": ["ceiling"],
            **tree,
        }
    )
    assert scenario.spec.precision is not None
    assert scenario.spec.precision.max_n == 200_000
