"""The commands of docs/large-runs.md do what the page says, with few patients."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]
PAGE = (Path(__file__).resolve().parents[2] / "docs" / "large-runs.md").read_text(encoding="utf-8")


def test_commands_run(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command but the one that needs a cluster, in order, in one directory; merged is out, byte for byte."""
    monkeypatch.chdir(tmp_path)
    lines = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
    ran = 0
    for line in lines:
        if "--scheduler" in line:
            continue
        words = shlex.split(re.sub(r"--n \d+", "--n 8", line))
        assert words[0] == "pkmodel"
        found = command(*words[1:])
        assert found.code == 0, (line, found.err)
        ran += 1
    assert ran == 6
    for name in ("findings.csv", "metrics.parquet", "patients.parquet", "bands.parquet"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "merged" / name).read_bytes(), name
