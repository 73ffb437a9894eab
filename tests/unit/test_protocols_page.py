"""The page about protocols says what is so: its examples load, and its commands run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import pkmodel as pk
from pkmodel.specs.protocol_lint import RULES

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "protocols.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
FORMS = re.findall(r"^\| `(\{.*?\})` \|", PAGE, re.MULTILINE)
HEAD: dict[str, Any] = {"title": "T", "drug": "ketamine", "route": "iv", "over": "40 min"}


@pytest.mark.parametrize("text", BLOCKS)
def test_examples_load(text: str) -> None:
    """A whole file, or what stands in a phase."""
    tree = yaml.safe_load(text)
    pk.load_protocol(tree if "phases" in tree else {**HEAD, "phases": [{"name": "one", **tree}]})


@pytest.mark.parametrize("text", FORMS)
def test_forms_of_sessions_load(text: str) -> None:
    """Every form of the table."""
    phase = {"name": "one", "dose": "0.5 mg/kg", "sessions": yaml.safe_load(text)}
    assert pk.load_protocol({**HEAD, "phases": [phase]}).plan()


def test_commands_run(command: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each command of the page, in a directory of its own."""
    monkeypatch.chdir(tmp_path)
    lines = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
    for line in lines:
        program, *words = shlex.split(line)
        assert program == "pkmodel"
        assert command(*words).code == 0, line
    assert len(lines) >= 3 and len(FORMS) == 5 and len(BLOCKS) >= 4 and len(RULES) >= 6
