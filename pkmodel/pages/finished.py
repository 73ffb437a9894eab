"""The directory of a finished run, read back: what it holds as data, or why it is no such directory."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pkmodel import kept_inputs, workplace
from pkmodel.errors import InputError, Problem
from pkmodel.specs.library import Scenario
from pkmodel.specs.model import ModelSpec

Row = dict[str, Any]

#: What a directory of another command is known by.
_OTHERS = {
    "comparison.json": "pkmodel compare",
    "design.json": "pkmodel design",
    "sensitivity.json": "pkmodel sensitivity",
}
#: What must stand in the files that are read.
_FINDINGS = (
    "title",
    "question",
    "context_of_use",
    "disclaimer",
    "n",
    "seed",
    "interval",
    "findings",
    "failing",
    "comparison",
    "joint",
    "between_models",
    "assumptions",
    "warnings",
)
_MANIFEST = ("scenario", "n", "seed", "sampling", "engine", "inputs", "models", "versions", "cpu", "options")
#: Covariates of patients.parquet, with their units, of which the report names the middle.
_COVARIATES = {"weight_kg": "kg", "age_y": "y", "height_cm": "cm"}
_PNG_HEAD, _PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"


@dataclass(frozen=True)
class Middle:
    """The middle patient of a run: medians of the covariates, the commoner sex, no random effect."""

    of: int
    """The first so many patients are meant."""
    weight: float
    age: float
    height: float
    sex: str
    severity: float | None = None


@dataclass(frozen=True)
class Png:
    """A picture with its size in pixels."""

    content: bytes = field(repr=False)
    width: int
    height: int


@dataclass(frozen=True)
class Top:
    """How high the median of an output runs in an arm on a model, and the 95th percentile of the patients."""

    arm: str
    model: str
    output: str
    unit: str
    medians: tuple[float, ...]
    """The highest median level of each session."""
    p95: float


@dataclass(frozen=True)
class Finished:
    """What the directory of a finished run holds."""

    folder: Path
    scenario: Scenario
    findings: Mapping[str, Any]
    manifest: Mapping[str, Any]
    failing: Sequence[Mapping[str, str]]
    middle: Middle
    outside: Mapping[str, Mapping[str, int]]
    """By model how many patients are outside of what it is valid for, by the covariates that are."""
    tops: Sequence[Top]
    pictures: Mapping[str, Png]

    @property
    def models(self) -> dict[str, ModelSpec]:
        """The models of the run, by id."""
        return {model.id: model for arm in self.scenario.arms for model in arm.models}

    @property
    def several(self) -> bool:
        """Whether there is more than one model, so that each number has to name its own."""
        return len(self.models) > 1


def read(folder: Path) -> Finished:
    """Read the directory of a finished run.

    Raises
    ------
    InputError
        where it holds no finished run; where a file of it is missing, damaged, or not of the run that the others are.
    """
    _is_run(folder)
    manifest = _json(folder / "manifest.json", _MANIFEST)
    findings = _json(folder / "findings.json", _FINDINGS)
    inputs = folder / kept_inputs.FILE
    scenario = kept_inputs.read(inputs)
    kept_inputs.check_against(scenario, manifest, inputs)
    for name in ("n", "seed"):
        if findings[name] != manifest[name]:
            expected = f"{manifest[name]}, as manifest.json says"
            raise InputError(Problem(str(findings[name]), expected, name, str(folder / "findings.json")))
    _same_table(folder / "findings.csv", findings["findings"])
    middle, outside = _patients(folder / "patients.parquet")
    pictures = {
        path.name: _png(path) for path in (folder / name for name in workplace.PICTURES_OF_RUN) if path.is_file()
    }
    failing = _csv(folder / "failing.csv")
    return Finished(
        folder,
        scenario,
        findings,
        manifest,
        failing,
        middle,
        outside,
        _tops(folder / "bands.parquet"),
        pictures,
    )


def damaged(folder: Path, error: Exception) -> InputError:
    """What is said where the files of a run do not hold what this version of the package writes."""
    found = f"files that do not hold what a run writes ({type(error).__name__}: {error})"
    return InputError(Problem(found, "the files of a finished run of this version, unchanged", where=str(folder)))


def _is_run(folder: Path) -> None:
    """Raise InputError where a directory is not that of a finished run, and say what it is."""
    expected = "the directory of a finished run, such as `pkmodel run SCENARIO -o DIR` leaves"
    if not folder.is_dir():
        found = f"{folder}, which is a file" if folder.exists() else f"{folder}, which is not there"
        raise InputError(Problem(found, expected, "report"))
    if (folder / "manifest.json").is_file() and (folder / "findings.json").is_file():
        return
    for name, command in _OTHERS.items():
        if (folder / name).is_file():
            found = f"{folder}, which holds what `{command}` left: only runs have reports"
            raise InputError(Problem(found, expected, "report"))
    if (folder / "parts" / "run.json").is_file():
        found = f"{folder}, which holds an unfinished run or a shard"
        wanted = f"a finished run: `pkmodel run {folder} --resume` goes on with it, `pkmodel merge` joins shards"
        raise InputError(Problem(found, wanted, "report"))
    there = [name for name in ("manifest.json", "findings.json") if (folder / name).is_file()]
    found = f"{folder}, which has {'no' if not there else f'{there[0]} but no'} "
    found += (
        "manifest.json and findings.json" if not there else "findings.json" if "man" in there[0] else "manifest.json"
    )
    raise InputError(Problem(found, expected, "report"))


def _json(file: Path, keys: Sequence[str]) -> Mapping[str, Any]:
    found = kept_inputs.read_json(file, "a run's")
    if missing := [key for key in keys if key not in found]:
        raise InputError(Problem(f"nothing of {', '.join(missing)}", f"the {file.name} of a run", where=str(file)))
    return found


def _csv(file: Path) -> list[dict[str, str]]:
    try:
        with file.open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
    except FileNotFoundError:
        raise InputError(Problem("no such file", f"a run's {file.name}", where=str(file))) from None
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(
            Problem(f"a file that cannot be read ({error})", f"a run's {file.name}", where=str(file))
        ) from None
    for number, row in enumerate(rows, 2):
        if None in row or None in row.values():
            found = f"{'more' if None in row else 'fewer'} cells than heads"
            raise InputError(Problem(found, f"a run's {file.name}", where=str(file), line=number))
    return rows


def _same_table(file: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Raise InputError where a table is not, cell by cell, what findings.json holds of it."""
    table = _csv(file)
    expected = "what findings.json says: one of the two was changed"
    if len(table) != len(rows):
        raise InputError(Problem(f"{len(table)} rows", f"{len(rows)}, {expected}", where=str(file)))
    for number, (written, row) in enumerate(zip(table, rows, strict=True), 2):
        for name, item in row.items():
            text = "" if item is None else str(item)
            if written.get(name) != text:
                found = str(written.get(name, "no such column"))
                raise InputError(Problem(found, f"{text}, {expected}", name, str(file), number))


def _png(file: Path) -> Png:
    content = file.read_bytes()
    if not content.startswith(_PNG_HEAD) or not content.endswith(_PNG_END) or content[12:16] != b"IHDR":
        raise InputError(Problem("a file that is no whole PNG", f"a run's {file.name}", where=str(file)))
    width, height = (int.from_bytes(content[start : start + 4], "big") for start in (16, 20))
    return Png(content, width, height)


def _patients(file: Path) -> tuple[Middle, dict[str, dict[str, int]]]:
    """The middle patient, of the first row group, and who is outside of what, of all."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file) as table:
            names = set(table.schema_arrow.names)
            severity = "severity" in names
            first = table.read_row_group(0, columns=[*_COVARIATES, "sex", *(["severity"] if severity else [])])
            medians = {
                name: float(pc.quantile(first[name], 0.5)[0].as_py()) for name in first.column_names if name != "sex"
            }
            female = pc.sum(pc.equal(first["sex"].cast(pa.string()), "female")).as_py() or 0
            outside: dict[str, dict[str, int]] = {}
            for group in range(table.num_row_groups):
                part = table.read_row_group(group, columns=["model", "outside_valid_for"])
                if not part.num_rows:
                    continue
                own = outside.setdefault(part["model"][0].as_py(), {})
                for item in pc.value_counts(part["outside_valid_for"].cast(pa.string())).to_pylist():
                    if item["values"] is not None:
                        own[item["values"]] = own.get(item["values"], 0) + item["counts"]
    except FileNotFoundError:
        raise InputError(Problem("no such file", f"a run's {file.name}", where=str(file))) from None
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        found = f"a file that cannot be read ({str(error).splitlines()[0]})"
        raise InputError(Problem(found, f"a run's {file.name}", where=str(file))) from None
    sex = "female" if 2 * female >= first.num_rows else "male"
    middle = Middle(
        first.num_rows, medians["weight_kg"], medians["age_y"], medians["height_cm"], sex, medians.get("severity")
    )
    return middle, outside


def _tops(file: Path) -> list[Top]:
    """How high medians run, from the bands."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    keys = ["arm", "model", "output", "unit", "session"]
    try:
        table = pq.read_table(file, columns=[*keys, "p50", "p95"])
        words = [table[name].cast(pa.string()) for name in keys[:4]]
        plain = pa.table([*words, table["session"], table["p50"], table["p95"]], [*keys, "p50", "p95"])
        rows = plain.group_by(keys, use_threads=False).aggregate([("p50", "max"), ("p95", "max")]).to_pylist()
    except FileNotFoundError:
        raise InputError(Problem("no such file", f"a run's {file.name}", where=str(file))) from None
    except (OSError, ValueError, KeyError) as error:
        found = f"a file that cannot be read ({str(error).splitlines()[0]})"
        raise InputError(Problem(found, f"a run's {file.name}", where=str(file))) from None
    of_case: dict[tuple[str, str, str, str], list[Row]] = {}
    for row in rows:
        of_case.setdefault((row["arm"], row["model"], row["output"], row["unit"]), []).append(row)
    tops = []
    for key, sessions in of_case.items():
        sessions.sort(key=lambda row: int(row["session"]))
        medians = tuple(float(row["p50_max"]) for row in sessions)
        tops.append(Top(*key, medians, max(float(row["p95_max"]) for row in sessions)))
    return tops
