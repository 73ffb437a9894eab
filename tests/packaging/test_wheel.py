"""The built wheel works outside of the checkout: it carries the protocols, scenarios, models and types."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder

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
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The wheel and the sdist, built from the checkout as it is."""
    folder = tmp_path_factory.mktemp("built")
    wheel, sdist = (next(builder(str(ROOT)).build(directory=str(folder))) for builder in (WheelBuilder, SdistBuilder))
    return Path(wheel), Path(sdist)


@pytest.fixture(scope="module")
def wheel(built: tuple[Path, Path]) -> Path:
    """The wheel."""
    return built[0]


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel unpacked, as an installer would lay it out, with the kernels that the checkout has compiled.

    A kernel belongs to a source file of a certain time, so that time is kept. ``.ci/pythons`` installs the wheel in new
    environments, where all is compiled.
    """
    target = tmp_path_factory.mktemp("site")
    zipfile.ZipFile(wheel).extractall(target)
    own, theirs = ROOT / "pkmodel" / "core", target / "pkmodel" / "core"
    for file in own.glob("*.py"):
        shutil.copystat(file, theirs / file.name)
    kernels = [file for file in (own / "__pycache__").glob("*") if file.suffix in (".nbi", ".nbc")]
    (theirs / "__pycache__").mkdir()
    for file in kernels:
        shutil.copy2(file, theirs / "__pycache__")
    return target


def test_sdist_is_the_checkout(built: tuple[Path, Path]) -> None:
    """Whoever packages it from the sdist has all that the project keeps, and nothing that lay about."""
    with tarfile.open(built[1]) as archive:
        names = {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("the checkout is no git repository")
    kept = {name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()}
    assert names - {"PKG-INFO"} <= kept
    assert {name for name in kept - names if not name.startswith(".")} == set()
    assert ".ci/run" in names


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
