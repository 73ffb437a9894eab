"""What a run leaves behind: every file that it names, whole or not at all."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

import pkmodel as pk
from pkmodel import report, run_files
from pkmodel.specs.library import Scenario
from pkmodel.specs.loading import find

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def folder(scenario: Scenario, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of 60 patients."""
    out = tmp_path_factory.mktemp("report") / "deep" / "results"
    pk.run(scenario.with_options(n=60), out=out, all_metrics=True, command="pkmodel run small")
    return out


def _leftovers(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_files(folder: Path) -> None:
    """Those that are promised and no other, not even hidden ones; figures are pictures."""
    assert _leftovers(folder) == sorted([*report.FILES, *report.FILES_OF_PAIRS])
    for path in folder.iterdir():
        assert path.stat().st_size > 100, path
        if path.suffix == ".png":
            assert path.read_bytes().startswith(PNG)


def test_tables_are_as_promised(folder: Path) -> None:
    """Columns in the order of the contract; verdicts from three words; nothing missing."""
    columns = ["rule", "arm", "model", "metric", "output", "window", "limit", "unit", "n", "n_met", "share"]
    columns += ["low", "high", "required", "verdict", "exact_low", "exact_high", "severity"]
    table = pd.read_csv(folder / "findings.csv")
    assert list(table.columns) == columns
    assert not table.isna().any().any()
    assert set(table["verdict"]) <= {"met", "broken", "undecided"}
    assert (folder / "findings.csv").read_bytes().count(b"\r") == 0
    values = pd.read_parquet(folder / "metrics.parquet")
    assert list(values.columns)[:8] == ["patient", "arm", "model", "session", "output", "metric", "value", "unit"]
    assert {"trough", "time_of_peak", "auc"} <= set(values["metric"].astype(str)), "--metrics all"
    assert set(values.loc[values["metric"].astype(str) == "auc", "unit"].astype(str)) == {"ng*h/mL"}


def test_findings_json_is_findings_csv(folder: Path) -> None:
    """The same lines, with the title, the disclaimer and the assumptions."""
    text = (folder / "findings.json").read_text(encoding="utf-8")
    found = json.loads(text)
    assert "NaN" not in text and "Infinity" not in text
    table = pd.read_csv(folder / "findings.csv")
    assert found["findings"] == table.to_dict(orient="records")
    assert "patient care" in found["disclaimer"]
    assert any("kmet" in sentence for sentence in found["assumptions"])


def test_manifest(folder: Path) -> None:
    """Seed, versions, the models with their evidence, the assumptions, and the hash of every input."""
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert (manifest["seed"], manifest["n"], manifest["command"]) == (11, 60, "pkmodel run small")
    assert {"python", "pkmodel", "numpy", "numba"} <= set(manifest["versions"])
    assert manifest["models"]["esketamine_perezruixo2021"]["evidence"] == "trace"
    assert any("kmet" in sentence for sentence in manifest["assumptions"])
    assert "patient care" in manifest["disclaimer"]
    hashes = {key: item["sha256"] for key, item in manifest["inputs"].items()}
    for kind, name in (("models", "esketamine_perezruixo2021"), ("populations", "adults_trials")):
        expected = hashlib.sha256(find(kind, name).read_bytes()).hexdigest()
        assert hashes[f"{kind[:-1]} {name}"] == expected
    assert "protocol esketamine_iv_single" in hashes
    assert len(hashes) == 5


def _fails(monkeypatch: pytest.MonkeyPatch, error: BaseException, where: str = "write_manifest") -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(run_files, where, fail)


@pytest.mark.parametrize("where", ["write_tables", "write_manifest"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt(), MemoryError()])
def test_failing_run_leaves_nothing(
    scenario: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, where: str
) -> None:
    """A full disk, Ctrl-C or too little memory while files are written: no directory that was not there before."""
    _fails(monkeypatch, error, where)
    expected = pk.RunError if isinstance(error, OSError) else type(error)
    with pytest.raises(expected):
        pk.run(scenario.with_options(n=5), out=tmp_path / "a" / "b")
    assert _leftovers(tmp_path) == []


def test_failing_run_leaves_the_old_results(
    scenario: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A directory that was there stays as it was, old results included."""
    (tmp_path / "findings.csv").write_text("old")
    (tmp_path / "notes.txt").write_text("mine")
    _fails(monkeypatch, OSError(28, "No space left on device"))
    with pytest.raises(pk.RunError, match="No space left on device"):
        pk.run(scenario.with_options(n=5), out=tmp_path)
    assert _leftovers(tmp_path) == ["findings.csv", "notes.txt"]
    assert (tmp_path / "findings.csv").read_text() == "old"


def test_blocked_file_leaves_no_mixture(scenario: Scenario, tmp_path: Path) -> None:
    """Where one file cannot be put in its place, none is: old and new results must not stand side by side."""
    (tmp_path / "bands.parquet").write_text("old")
    (tmp_path / "manifest.json").mkdir()
    with pytest.raises(pk.PkmodelError):
        pk.run(scenario.with_options(n=5), out=tmp_path)
    assert _leftovers(tmp_path) == ["bands.parquet", "manifest.json"]
    assert (tmp_path / "bands.parquet").read_text() == "old"


def test_new_results_replace_old_ones_wholly(tree: dict[str, Any], tmp_path: Path) -> None:
    """A run without a comparison, into the directory of one with it, leaves no comparison of the other run."""
    (tmp_path / "notes.txt").write_text("mine")
    tree["n"] = 5
    pk.run(pk.load_scenario(tree), out=tmp_path)
    assert (tmp_path / "comparison.csv").exists()
    del tree["compare"]
    pk.run(pk.load_scenario(tree), out=tmp_path)
    assert not (tmp_path / "comparison.csv").exists()
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("below", ["file", "file/results", "file/a/b"])
def test_directory_that_cannot_be_written(scenario: Scenario, tmp_path: Path, below: str) -> None:
    """A file, or a path below one (root may write anywhere else): refused before anything is run."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(pk.InputError, match="a directory that can be written"):
        pk.run(scenario.with_options(n=100_000_000), out=tmp_path / below)
    assert _leftovers(tmp_path) == ["file"]


def test_scenario_file_and_its_neighbours(
    tree: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files that a scenario names relatively are found beside it, from any working directory."""
    (tmp_path / "study").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "study" / "nasal.yaml").write_text(yaml.safe_dump(tree["arms"]["nasal"]["protocol"]))
    tree["arms"]["nasal"]["protocol"] = "./nasal.yaml"
    file = tmp_path / "study" / "scenario.yaml"
    file.write_text(yaml.safe_dump(tree))
    monkeypatch.chdir(tmp_path / "elsewhere")
    loaded = pk.load_scenario(file)
    assert [arm.protocol.title for arm in loaded.arms][1] == "Two nasal sessions of 56 mg"
    assert loaded.inputs["scenario"].sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
