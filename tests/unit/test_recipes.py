"""The four recipes of CONTRIBUTING.md, each done once: in a copy of the checkout, by what the page says and no more."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.xdist_group("recipes")  # one copy for all

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
#: Where a file is to be saved, and the file.
FILES = dict(re.findall(r"Save this as\s+`([\w/]+\.yaml)`[^`]*```yaml\n(.*?)```", PAGE, re.DOTALL))
ROW = re.search(r"```text\n(\| `quiet` .*?\n)```", PAGE)
CHECKS = re.search(r"### After each\n.*?```sh\n(.*?)```", PAGE, re.DOTALL)


def _copy(folder: Path) -> Path:
    """What stands in the checkout, with the kernels that it has compiled."""
    for name in ("pkmodel", "protocols", "scenarios", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("*.pyc"))
    (folder / "docs").mkdir()
    for name in ("pyproject.toml", "docs/rules.md"):
        shutil.copy(ROOT / name, folder / name)
    return folder


def _run(copy: Path, *words: str) -> str:
    """Run Python there, on the package of the copy."""
    environment = os.environ | {"PYTHONPATH": str(copy)}
    done = subprocess.run(
        [sys.executable, *words], cwd=copy, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy in which all four were done."""
    assert ROW is not None and CHECKS is not None
    folder = _copy(tmp_path_factory.mktemp("checkout"))
    for name, text in FILES.items():
        assert not (folder / name).exists()
        (folder / name).write_text(text, encoding="utf-8")
    rules = folder / "docs" / "rules.md"
    head, mark, rest = rules.read_text(encoding="utf-8").partition("| `ceiling` |")
    rules.write_text(head + ROW[1] + mark + rest, encoding="utf-8")
    renew, _ = CHECKS[1].splitlines()
    _run(folder, *renew.split()[1:])
    return folder


def test_there_are_four() -> None:
    """The page has four recipes, each with its file."""
    assert re.findall(r"^### Add an? ([\w ]+)$", PAGE, re.MULTILINE) == ["model", "protocol", "rule", "absorption path"]
    assert list(FILES) == [
        "pkmodel/models/my_infusion.yaml",
        "protocols/my_taper.yaml",
        "pkmodel/rules/quiet.yaml",
        "pkmodel/models/my_sublingual.yaml",
    ]


def test_the_checks_pass(copy: Path) -> None:
    """The gates of the two models, the table of the protocol, the rule in its place: those tests."""
    assert CHECKS is not None
    _, check = CHECKS[1].splitlines()
    wanted = "my_infusion or my_sublingual or my_taper or every_protocol or every_shipped_rule"
    said = _run(copy, *check.split()[1:], "-k", wanted, "-v", "-o", "addopts=-p no:cacheprovider")
    passed = re.findall(r"::(\w+)(?:\[(.*?)\])? PASSED", said)
    gates = {name for name, what in passed if what.startswith("my_infusion")}
    assert gates >= {"test_its_checks_are_met", "test_nothing_is_lost", "test_propagator_and_ode_agree", "test_units"}
    assert {what for _, what in passed} >= {"my_sublingual-sublingual", "my_sublingual-bioavailability", "my_taper"}
    assert ("test_every_shipped_rule_is_listed", "") in passed


def test_what_was_added_works_together(copy: Path, tmp_path: Path) -> None:
    """The names can be used like any other: a scenario of the protocol under the model, judged by the rule."""
    scenario = tmp_path / "all.yaml"
    scenario.write_text(
        "title: All four\n"
        "arms: {taper: {protocol: my_taper}}\n"
        "model: my_infusion\n"
        "population: adults_trials\n"
        "n: 50\n"
        "observe: {every: 10 min, for: 6 h after each session start}\n"
        "rules: [quiet]\n",
        encoding="utf-8",
    )
    said = _run(copy, "-m", "pkmodel", "run", str(scenario), "-o", str(tmp_path / "out"))
    assert "quiet" in said and "my_infusion: evidence assumed" in " ".join(said.split()).replace("Model ", "")
    assert (tmp_path / "out" / "findings.csv").read_text(encoding="utf-8").count("quiet") == 1
    said = _run(copy, "-m", "pkmodel", "protocols", "show", "my_taper", "--weight", "82 kg")
    assert "41" in said  # 0.5 mg/kg of 82 kg
