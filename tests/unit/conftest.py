"""What the unit tests share: the command line in this process, a small scenario, and the typical patients."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

import pkmodel as pk
from pkmodel import cli
from pkmodel.specs.library import Scenario


@dataclass(frozen=True)
class Outcome:
    """What a command left: its exit code and what it printed."""

    code: object
    out: str
    err: str


Command = Callable[..., Outcome]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run ``pkmodel`` with these arguments in this process; an exception that escapes fails the test."""

    def run(*words: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["pkmodel", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        return Outcome(ended.value.code, printed.out, printed.err)

    return run


NASAL: dict[str, Any] = {
    "title": "Two nasal sessions of 56 mg",
    "drug": "esketamine",
    "route": "intranasal",
    "device": {"strength": "28 mg", "rest": "5 min"},
    "phases": [{"name": "session", "dose": "56 mg", "sessions": {"days": [1, 8]}}],
}


def _small_scenario() -> dict[str, Any]:
    return {
        "title": "A vein against the nose",
        "arms": {"iv": {"protocol": "esketamine_iv_single"}, "nasal": {"protocol": NASAL}},
        "model": "esketamine_perezruixo2021",
        "population": "adults_trials",
        "n": 1200,
        "seed": 11,
        "observe": {"every": "20 min", "for": "4 h after each session start"},
        "rules": [
            {"id": "peak", "metric": "peak", "at_most": "150 ng/mL", "in": "95 %"},
            {
                "id": "long",
                "metric": "time_above",
                "threshold": "50 ng/mL",
                "window": "course",
                "at_most": "90 min",
                "in": "90 %",
            },
            {
                "id": "down",
                "metric": "level_at",
                "at": "2 h after session_end",
                "window": "each session",
                "at_most": "60 ng/mL",
                "in": "90 %",
            },
        ],
        "compare": {"reference": "iv", "metrics": ["peak", "auc", "time_above"]},
    }


@pytest.fixture
def tree() -> dict[str, Any]:
    """Two arms, three rules and a comparison, as a file would hold them; cheap enough to run often, free to change."""
    return copy.deepcopy(_small_scenario())


@pytest.fixture(scope="session")
def scenario() -> Scenario:
    """The same scenario, loaded."""
    return pk.load_scenario(_small_scenario())
