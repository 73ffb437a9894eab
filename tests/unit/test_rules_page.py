"""The page on rules: its examples load, its tables are the program's, its intervals are computed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from pkmodel.findings import verdict, wilson
from pkmodel.specs.library import load_rule
from pkmodel.specs.loading import library
from pkmodel.specs.metric import METRICS, OF_SESSION, TAKEN, WITH_THRESHOLD

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "rules.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```yaml\n(.*?)```", PAGE, flags=re.DOTALL)


def _rows(heading: str) -> list[list[str]]:
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


@pytest.mark.parametrize("index", range(len(EXAMPLES)))
def test_examples_load(index: int) -> None:
    """Every one is a rule, with the severity that it states."""
    said = yaml.safe_load(EXAMPLES[index])
    rule = load_rule(said)
    assert (rule.id, rule.severity) == (said["id"], said.get("severity"))


def test_every_metric_is_listed_with_what_it_needs() -> None:
    """The table has the metrics of the program, and says which take a threshold or sessions."""
    needs = {name.strip("`"): needed for name, _, needed in _rows("Metrics")}
    assert set(needs) == set(METRICS)
    assert {name for name, needed in needs.items() if "threshold" in needed} == set(WITH_THRESHOLD)
    assert {name for name, needed in needs.items() if "sessions" in needed} == set(OF_SESSION)


def test_everything_that_a_course_takes_is_listed() -> None:
    """And nothing else; those that need a stay or prices say so."""
    needs = {name.strip("`"): needed for name, _, needed in _rows("What a course takes")}
    assert set(needs) == set(TAKEN)
    assert [name for name, needed in needs.items() if "observed_for" in needed] == ["clinic_hours"]
    assert [name for name, needed in needs.items() if "prices" in needed] == ["cost"]


def test_every_shipped_rule_is_listed() -> None:
    """With the evidence of its file, and its limit and share."""
    rows = {name.strip("`"): (says, grade) for name, says, grade in _rows("Rules in files")}
    assert set(rows) == set(library("rules"))
    for name, (says, grade) in rows.items():
        rule = load_rule(name)
        assert rule.source is not None
        assert rule.source.evidence == grade
        assert rule.limit.text in says
        assert rule.share.text in says


def test_verdicts_of_the_page() -> None:
    """The intervals in the table, to the digits that it prints."""
    rows = _rows("What the answer says")
    assert len(rows) == 3
    for met, n, low, high, said in rows:
        found = wilson(int(met), int(n))
        assert (f"{found[0]:.4f}", f"{found[1]:.4f}", verdict(*found, 0.95)) == (low, high, said)
