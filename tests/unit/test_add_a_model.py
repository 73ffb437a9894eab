"""A new model is one file: the one of docs/add-a-model.md, used by its path in every way, with no code touched."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

import pkmodel as pk
from pkmodel.checks import simulated

Command = Callable[..., Any]

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "add-a-model.md").read_text(encoding="utf-8")
MODEL = re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = re.search(r"```sh\n(.*?)```", PAGE, re.DOTALL)
MISTAKES = re.findall(r"^\| `(.+?)` \| `(.+?)` \| `(error: .+?)` \|$", PAGE, re.MULTILINE)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of the page, in a directory of its own that one works in."""
    assert MODEL is not None
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "my_ketamine.yaml"
    path.write_text(MODEL[1], encoding="utf-8")
    return path


def test_the_page_shows_mistakes() -> None:
    """Each row of the table is one, and the line it changes stands in the file once or first."""
    assert MODEL is not None
    assert len(MISTAKES) == 7 == PAGE.count("| `error: ")
    assert all(original in MODEL[1] and original != wrong for original, wrong, _ in MISTAKES)


@pytest.mark.parametrize(("original", "wrong", "said"), MISTAKES, ids=[wrong for _, wrong, _ in MISTAKES])
def test_a_mistake_is_reported_as_on_the_page(
    original: str, wrong: str, said: str, file: Path, command: Command
) -> None:
    """Character by character, and nothing else."""
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace(original, wrong, 1), encoding="utf-8")
    outcome = command("check", "my_ketamine.yaml")
    assert outcome.code == 2
    assert outcome.err.splitlines() == [said]


def test_the_commands_of_the_page(file: Path, command: Command) -> None:
    """Every line of the block runs and ends well, and leaves what it says."""
    assert COMMANDS is not None
    lines = [line.split("#")[0].strip() for line in COMMANDS[1].splitlines()]
    assert [line.split()[1] for line in lines] == ["check", "models", "verify", "simulate", "run"]
    for line in lines:
        words = [quoted or plain for quoted, plain in re.findall(r'"([^"]+)"|(\S+)', line)][1:]
        outcome = command(*words, *(["--jobs", "1"] if words[0] == "run" else []))
        assert outcome.code == 0, f"{line}\n{outcome.err}"
    levels = pd.read_csv("levels.csv", comment="#")
    assert levels["ketamine" if "ketamine" in levels else "value"].max() > 0
    findings = json.loads(Path("out/findings.json").read_text(encoding="utf-8"))
    assert {row["model"] for row in findings["findings"]} == {"my_ketamine"}
    assert any("VN is assumed" in sentence for sentence in findings["assumptions"])


def test_its_checks_are_met(file: Path) -> None:
    """Those that the page writes: the half-life and bioavailability it prints, and the difference it records."""
    model = pk.load_model(file)
    assert [check.id for check in model.checks] == ["half_life", "oral_bioavailability", "level_after_infusion"]
    assert all(check.met(simulated(model, check)) for check in model.checks)
    (spread,) = (check for check in model.checks if check.role == "compare")
    assert abs(spread.difference(simulated(model, spread))) > spread.tolerance.value


def test_python_and_records_and_a_scenario_take_the_path(file: Path, command: Command) -> None:
    """The same levels from a protocol and from a table of records, and a scenario that stands beside the file."""
    patient = pk.Patient(weight="70 kg", age="40 y")
    result = pk.simulate("iv_single", str(file), patient, until="4 h", every="1 h")
    table = pd.DataFrame({"time": [0, 1, 2, 3, 4], "evid": [1, 0, 0, 0, 0], "amt": [35, 0, 0, 0, 0], "weight": 70})
    table["rate"], table["cmt"] = [52.5, 0, 0, 0, 0], "central"
    rows = pk.simulate_records(table, str(file))
    np.testing.assert_allclose(rows["value"].to_numpy()[1:] * 1000, result.level("parent")[0, 1:], rtol=1e-12)
    scenario = {
        "title": "By its path",
        "arms": {"one": {"protocol": "iv_single"}},
        "model": "my_ketamine.yaml",
        "population": "adults_trials",
        "n": 20,
        "seed": 1,
        "observe": {"every": "20 min", "for": "2 h after each session start"},
        "rules": [{"id": "peak", "metric": "peak", "at_most": "400 ng/mL", "in": "90 %"}],
    }
    (file.parent / "mine").mkdir()
    beside = file.rename(file.parent / "mine" / file.name).parent / "mine.yaml"
    beside.write_text(yaml.safe_dump(scenario), encoding="utf-8")
    assert command("run", beside, "-o", "there", "--jobs", "1").code == 0
    assert (Path("there") / "findings.csv").is_file()
