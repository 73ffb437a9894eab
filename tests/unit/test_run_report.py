"""The report of a run: made of its directory alone, the same bytes each time, and refused where that is no run's."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import pkmodel as pk
from pkmodel import merging, pages, report
from pkmodel.disclaimer import NOT_FOR_CARE
from pkmodel.pages import contents, finished, pdf
from pkmodel.pages.blocks import Picture, Report, Table
from pkmodel.specs.library import Scenario

pytestmark = [pytest.mark.pictures, pytest.mark.xdist_group("run_report")]  # one run for all of them

Command = Callable[..., Any]
Change = Callable[[Path], object]


@pytest.fixture(scope="module")
def run(scenario: Scenario, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of 60 patients."""
    out = tmp_path_factory.mktemp("report") / "out"
    pk.run(scenario.with_options(n=60), out=out, command="pkmodel run small")
    return out


def _copy(run: Path, place: Path) -> Path:
    return Path(shutil.copytree(run, place / "copy"))


def _said(tree: dict[str, Any], out: Path, n: int = 20) -> tuple[Report, str]:
    """The report of a run without pictures, as data and as a page."""
    pk.run(pk.load_scenario(tree).with_options(n=n), out=out, pictures=False)
    assert not (out / "report.html").exists()
    return contents.report(finished.read(out)), pages.html_of(out).replace("\u00a0", " ")


def _tables(made: Report, key: str) -> list[Table]:
    (section,) = (section for section in made.sections if section.key == key)
    return [block for block in section.blocks if isinstance(block, Table)]


def test_again_from_the_directory_alone(run: Path, tmp_path: Path, command: Command) -> None:
    """The same bytes as the run wrote, wherever the directory is by then, and without a date in them."""
    written = (run / "report.html").read_bytes()
    copy = _copy(run, tmp_path)
    (copy / "report.html").unlink()
    (copy / "manifest.json").write_text((copy / "manifest.json").read_text().replace('"created": "2', '"created": "1'))
    done = command("report", copy)
    assert (done.code, done.out) == (0, "")
    assert "report.html" in done.err and "Not for patient care" in done.err
    assert (copy / "report.html").read_bytes() == written
    command("report", copy, "-o", tmp_path / "mine.html")
    assert (tmp_path / "mine.html").read_bytes() == written


def test_the_page_needs_nothing_else(run: Path) -> None:
    """No script, no address but a place on the page, a policy that forbids the rest; below 2 MB."""
    text = (run / "report.html").read_text(encoding="utf-8")
    assert "<script" not in text and "@import" not in text and "url(" not in text
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in re.findall(r'(?:href|src)="([^"]*)"', text))
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in text
    assert text.count(NOT_FOR_CARE) >= 3
    assert len(text) < 2_000_000


def test_the_course_is_that_of_the_middle_patient(run: Path) -> None:
    """Medians of patients.parquet; mg per kilogram times that weight, as it is rounded."""
    made = contents.report(finished.read(run))
    patients = pd.read_parquet(run / "patients.parquet")
    weight = f"{patients['weight_kg'].median():.0f}"
    iv, nasal = _tables(made, "arms")
    assert iv.caption == f"iv. The course for {weight} kg"
    ((_, (row,)),) = iv.groups
    assert float(str(row[5])) == pytest.approx(0.5 * float(weight), abs=0.51)
    assert [row[-1] for _, rows in nasal.groups for row in rows] == ["2 devices", "2 devices"]


def test_a_run_in_blocks_and_shards(tmp_path: Path, tree: dict[str, Any]) -> None:
    """The middle is that of the first block, and said so; shards merged have the report of the run in one piece."""
    tree["model"], tree["population"] = "esketamine_otto2021", "elderly"
    tree["arms"] = {"iv": tree["arms"]["iv"]}
    del tree["compare"]
    small = pk.load_scenario(tree).with_options(n=150)
    report.run(small, tmp_path / "one", block=64)
    for index in (1, 2):
        report.run_shard(small, f"{index}/2", tmp_path / str(index), block=64)
    merging.merge([tmp_path / "2", tmp_path / "1"], tmp_path / "out")
    assert (tmp_path / "out" / "report.html").read_bytes() == (tmp_path / "one" / "report.html").read_bytes()
    found = finished.read(tmp_path / "out")
    patients = pd.read_parquet(tmp_path / "out" / "patients.parquet")
    assert found.middle.of == 64 and found.middle.weight == patients["weight_kg"][:64].median()
    counts = patients["outside_valid_for"].astype(object).value_counts()
    assert found.outside["esketamine_otto2021"] == counts[counts > 0].to_dict() != {}


def test_pictures_are_told_in_words(run: Path) -> None:
    """The heights that a description names are those of the bands."""
    made = contents.report(finished.read(run))
    (figures,) = (section for section in made.sections if section.key == "figures")
    bands = pd.read_parquet(run / "bands.parquet")
    top = bands[(bands["arm"] == "iv") & (bands["output"] == "esketamine")]
    described = {block.name: block.alt for block in figures.blocks if isinstance(block, Picture)}
    assert list(described) == ["bands.png", "session_peaks.png"]
    assert f"iv: the median of esketamine rises to {top['p50'].max():.3g} ng/mL" in described["bands.png"]
    assert f"95th percentile to {top['p95'].max():.3g} ng/mL" in described["bands.png"]
    assert "peak of parent at most 150 ng/mL" in described["bands.png"]
    assert f"about {top['p50'].max():.3g} ng/mL" in described["session_peaks.png"]


def test_how_to_run_it_again(tmp_path: Path, tree: dict[str, Any]) -> None:
    """The command holds everything that was asked for and is no default."""
    loaded = pk.load_scenario(tree).with_options(n=20, seed=5).with_models(["esketamine_perezruixo2021"])
    pk.run(loaded, out=tmp_path, pictures=False, all_metrics=True)
    expected = f"pkmodel run {loaded.id} --n 20 --seed 5 --model esketamine_perezruixo2021 --metrics all -o again"
    assert expected in pages.html_of(tmp_path)


def test_several_models_and_who_is_outside(tmp_path: Path, tree: dict[str, Any]) -> None:
    """Every number names its model; patients outside are counted as in patients.parquet."""
    tree |= {"arms": {"one": {"protocol": "iv_single", "drug": "own"}}}
    tree |= {"models": ["ketamine_herd2007", "esketamine_otto2021"], "rules": tree["rules"][:1]}
    del tree["model"], tree["compare"]
    made, page = _said(tree, tmp_path)
    (judged, *_) = _tables(made, "findings")
    assert [column.head for column in judged.columns][:2] == ["Arm", "Model"]
    patients = pd.read_parquet(tmp_path / "patients.parquet")
    outside = patients[patients["outside_valid_for"].notna()].groupby("model", observed=True).size()
    (table,) = _tables(made, "outside")
    ((_, rows),) = table.groups
    assert {row[0]: int(str(row[2]).split()[0]) for row in rows} == outside.to_dict()
    (joint,) = json.loads((tmp_path / "findings.json").read_text())["joint"]
    assert (
        joint["sentence"] in page and "Between models" in page and "each model is given the stated milligrams" in page
    )
    assert "No figures were drawn in this run." in page


def test_clinics_effects_and_draws(tmp_path: Path, tree: dict[str, Any]) -> None:
    """What a clinic decides and did; an illustrative effect is called so; draws of typical values have their table."""
    scenario = pk.load_scenario("iv_titrated")
    pk.run(scenario.with_options(n=20), out=tmp_path / "a", pictures=False)
    page = pages.html_of(tmp_path / "a")
    assert "What changes it on the day" in page and "What was done on the day" in page
    assert "0.5 fraction of maximal effect" in page
    tree |= {"arms": {"one": {"protocol": "iv_single"}}, "model": "ketamine_kamp2020"}
    tree |= {"effects": ["nausea"], "variability": {"parameter_uncertainty": True, "outer": 20}}
    del tree["compare"]
    tree["rules"] = [{"id": "ill", "metric": "peak", "output": "nausea", "at_most": 0.5, "in": "90 %"}]
    _, page = _said(tree, tmp_path / "b", 10)
    assert "(illustrative)" in page and "Uncertainty in parameters" in page and "over 20 draws" in page


def test_a_stated_precision(tmp_path: Path, tree: dict[str, Any]) -> None:
    """How many patients it took, and no --n in the command, which would overrule it."""
    tree["precision"] = {"rule": "peak", "half_width": "10 %", "max_n": 400}
    pk.run(pk.load_scenario(tree), out=tmp_path, pictures=False)
    page = pages.html_of(tmp_path)
    assert "Patients were drawn until peak is so well known" in page
    assert re.search(r"pkmodel run \S+ --seed 11 -o again", page)


def _cut(name: str) -> Change:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-40])


def _in_json(name: str, change: Callable[[Any], object]) -> Change:
    def changed(folder: Path) -> None:
        tree = json.loads((folder / name).read_text())
        change(tree)
        (folder / name).write_text(json.dumps(tree))

    return changed


def _text(name: str, old: str, new: str) -> Change:
    def changed(folder: Path) -> None:
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new, 1))

    return changed


DAMAGE: dict[str, tuple[Change, str]] = {
    "findings.json is cut": (_cut("findings.json"), "cannot be read"),
    "a key is gone": (_in_json("findings.json", lambda tree: tree.pop("joint")), "nothing of joint"),
    "a row lost its share": (_in_json("findings.json", lambda tree: tree["comparison"][0].pop("median")), "KeyError"),
    "manifest.json is another's": (_in_json("manifest.json", lambda tree: tree.update(seed=12)), "12, as manifest"),
    "an input was changed": (_text("inputs.json", "A vein against", "A nose against"), "as manifest.json says"),
    "findings.csv was changed": (_text("findings.csv", "broken", "met"), "one of the two was changed"),
    "findings.csv lost a row": (lambda folder: _lines(folder / "findings.csv"), "rows"),
    "failing.csv lost a cell": (_text("failing.csv", ",iv,", ","), "fewer cells than heads"),
    "patients.parquet is cut": (_cut("patients.parquet"), "patients.parquet"),
    "bands.parquet is gone": (lambda folder: (folder / "bands.parquet").unlink(), "no such file"),
    "a picture is cut": (_cut("bands.png"), "no whole PNG"),
    "inputs.json is gone": (lambda folder: (folder / "inputs.json").unlink(), "no such file"),
    "manifest.json is gone": (lambda folder: (folder / "manifest.json").unlink(), "findings.json but no manifest.json"),
}


def _lines(file: Path) -> None:
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:-1]))


@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_run_is_refused(run: Path, tmp_path: Path, command: Command, what: str) -> None:
    """One clear error and exit code 2; the old report stays as it was, and nothing is half-written."""
    folder = _copy(run, tmp_path)
    change, said = DAMAGE[what]
    change(folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    done = command("report", folder)
    assert done.code == 2
    assert said in done.err and done.err.count("error:") == 1
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda folder: None, "which has no manifest.json"),
        (lambda folder: folder.rmdir(), "which is not there"),
        (lambda folder: (folder.rmdir(), folder.write_text("x")), "which is a file"),
        (lambda folder: (folder / "comparison.json").write_text("{}"), "`pkmodel compare` left: only runs have"),
        (lambda folder: (folder / "design.json").write_text("{}"), "`pkmodel design` left"),
        (lambda folder: (folder / "sensitivity.json").write_text("{}"), "`pkmodel sensitivity` left"),
        (lambda folder: ((folder / "parts").mkdir(), (folder / "parts" / "run.json").write_text("{}")), "--resume"),
    ],
)
def test_a_directory_that_is_no_run_is_refused(tmp_path: Path, command: Command, make: Change, said: str) -> None:
    """And what it is instead, where that can be told."""
    folder = tmp_path / "it"
    folder.mkdir()
    make(folder)
    done = command("report", folder)
    assert done.code == 2 and said in done.err


def test_names_of_files(run: Path, tmp_path: Path, command: Command) -> None:
    """A name that says another format, no name, and a place that cannot be written."""
    for words, said in (
        (("-o", tmp_path / "a.pdf"), "ends in .html"),
        (("--pdf", "-o", tmp_path / "a.html"), "ends in .pdf"),
        (("-o", ""), "an empty path"),
        (("-o", tmp_path / "no" / "a.html"), "a file that can be written"),
    ):
        done = command("report", run, *words)
        assert done.code == 2 and said in done.err
    assert list(tmp_path.iterdir()) == []


def test_pdf(run: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same bytes each time; where typst is not there, an error that says how to get it."""
    folder = _copy(run, tmp_path)
    assert command("report", folder, "--pdf").code == 0
    made = (folder / "report.pdf").read_bytes()
    assert made.startswith(b"%PDF-") and len(made) < 2_000_000
    assert pages.pdf_of(run) == made
    monkeypatch.setattr(pdf, "find_spec", lambda _: None)
    done = command("report", folder, "--pdf", "-o", tmp_path / "other.pdf")
    assert done.code == 2 and "pkmodel[pdf]" in done.err
    assert not (tmp_path / "other.pdf").exists()


def test_pdf_takes_words_as_words(tmp_path: Path, tree: dict[str, Any]) -> None:
    """What would be code in typst is text."""
    tree["title"] = '#panic(1) $ * _ ` <label> @ref [ ] { } \\ // "quoted" µ → 5 < 6'
    tree["question"] = tree["context_of_use"] = '#read("/etc/passwd") é'
    pk.run(pk.load_scenario(tree).with_options(n=5), out=tmp_path, pictures=False)
    assert pages.pdf_of(tmp_path).startswith(b"%PDF-")
