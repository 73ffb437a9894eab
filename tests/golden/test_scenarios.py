"""What the shipped scenarios find, pinned: a change of any number in the chain shows here and has to be explained.

Counts are exact on one type of CPU; across types levels agree to 1e-12, so a count moves only where a patient sits
that close to a limit. To renew after a meant change: ``python tests/golden/test_scenarios.py``.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pkmodel import study
from pkmodel.specs.library import load_scenario
from pkmodel.specs.loading import library

GOLDEN = Path(__file__).with_name("findings.json")


def found(name: str) -> dict[str, list[int]]:
    """Of each rule and arm (and model): how many patients keep it, of how many, with the scenario's own n and seed."""
    result = study.run(load_scenario(name), jobs=2)
    several = {item.arm for item in result.joint_verdicts}
    return {
        f"{item.rule}/{item.arm}/{item.window}" + (f"/{item.model}" if item.arm in several else ""): [
            item.n_met,
            item.n,
        ]
        for item in result.results
    }


@pytest.mark.parametrize("name", sorted(library("scenarios")))
def test_findings_are_those_of_record(name: str) -> None:
    """The counts of every rule and arm are those on file."""
    assert found(name) == json.loads(GOLDEN.read_text())[name]


def test_every_scenario_is_on_file() -> None:
    """No scenario ships without its record."""
    assert set(json.loads(GOLDEN.read_text())) == set(library("scenarios"))


def test_taper_meets_what_the_flat_course_breaks() -> None:
    """The design's own expectation: flat near 88 % for both upper limits, taper near 98, 99 and 90 %.

    A share of 0.88 among 1,000 has a standard error of 0.010; three of them, and half a percent for "near".
    """
    shares = {key: met / n for key, (met, n) in json.loads(GOLDEN.read_text())["iv_taper_versus_flat"].items()}
    expected = {
        "peak/flat": 0.88,
        "long_high/flat": 0.88,
        "peak/taper": 0.98,
        "long_high/taper": 0.99,
        "effective/taper": 0.90,
    }
    for key, share in expected.items():
        assert shares[f"{key}/sessions 8-12"] == pytest.approx(
            share, abs=3 * (share * (1 - share) / 1000) ** 0.5 + 0.005
        )


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps({name: found(name) for name in sorted(library("scenarios"))}, indent=1) + "\n")
