"""The page about events says what is so: its example gives the numbers it prints, and every case it names exists."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "events.md").read_text(encoding="utf-8")


def _block(language: str) -> str:
    """The first block of code in a language."""
    found = re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    return found.group(1)


def test_the_example_prints_what_the_page_shows(capsys: pytest.CaptureFixture[str]) -> None:
    """Character by character."""
    exec(compile(_block("python"), "docs/events.md", "exec"), {})
    assert capsys.readouterr().out == _block("text")


def test_every_case_that_is_named_exists() -> None:
    """Cases of own_exact with one or two compartments, tests by their function, and files."""
    cases = set(pd.read_csv(ROOT / "pkmodel" / "own_exact" / "cases.csv")["case_id"])
    sources = "".join(file.read_text(encoding="utf-8") for file in sorted((ROOT / "tests").rglob("test_*.py")))
    pinned = re.findall(r"\*Pinned by:\*(.*?)(?:\n\n|No published)", PAGE, re.DOTALL)
    assert len(pinned) == 16
    named = {name for text in pinned for name in re.findall(r"`([^`]+)`", text)}
    for name in named:
        if name.startswith("tests/"):
            assert (ROOT / name).is_file(), name
        elif name.startswith("test_"):
            assert f"def {name}(" in sources, name
        else:
            assert name in cases or {f"{name}_1cpt", f"{name}_2cpt"} <= cases, name
