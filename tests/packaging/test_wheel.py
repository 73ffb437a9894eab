"""The built wheel works outside of the checkout: it carries the protocols, scenarios, models and types."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(*command: str | Path, cwd: Path, path: Path | None = None) -> str:
    """Run a command outside of the checkout, with ``path`` before everything else that Python imports from."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    done = subprocess.run([str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the checkout as it is."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path) -> Path:
    """The wheel unpacked, as an installer would lay it out."""
    target = wheel.parent / "site"
    run(sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", target, wheel, cwd=wheel.parent)
    return target


def test_wheel_holds_the_library(wheel: Path) -> None:
    """Every shipped file of the checkout is in the wheel, and the mark of a typed package."""
    names = set(zipfile.ZipFile(wheel).namelist())
    for kind, folder in (
        ("protocols", ROOT / "protocols"),
        ("scenarios", ROOT / "scenarios"),
        ("models", ROOT / "pkmodel" / "models"),
        ("effects", ROOT / "pkmodel" / "effects"),
        ("populations", ROOT / "pkmodel" / "populations"),
    ):
        shipped = {f"pkmodel/{kind}/{file.name}" for file in folder.glob("*.yaml")}
        assert shipped and shipped <= names
    assert "pkmodel/py.typed" in names
    assert not any(name.startswith(("tests/", "protocols/")) for name in names)


def test_commands_work_from_the_wheel_in_any_directory(installed: Path, tmp_path: Path) -> None:
    """The two commands of the user's first hour, with the installed wheel and not the checkout."""
    where = run(sys.executable, "-c", "import pkmodel; print(pkmodel.__file__)", cwd=tmp_path, path=installed)
    assert Path(where.strip()).parent == installed / "pkmodel"
    command = [sys.executable, "-m", "pkmodel"]
    run(*command, "run", "nasal_induction", "--n", "50", "-o", "out", cwd=tmp_path, path=installed)
    found = json.loads((tmp_path / "out" / "findings.json").read_text())
    assert found["n"] == 50 and len(found["findings"]) == 3
    simulate = ["simulate", "esketamine_nasal_induction", "--model", "esketamine_perezruixo2021"]
    run(*command, *simulate, "--weight", "70 kg", "--age", "45 y", "-o", "one.csv", cwd=tmp_path, path=installed)
    assert (tmp_path / "one.csv").read_text().startswith("subject,time_h,output,value,unit\n")
    listed = json.loads(run(*command, "protocols", "--json", cwd=tmp_path, path=installed))
    assert len(listed) == len(list((ROOT / "protocols").glob("*.yaml")))
