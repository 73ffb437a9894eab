"""The directory of a finished run, read back: what it holds as data, or why it is no such directory."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pkmodel import kept_inputs, kept_json, workplace
from pkmodel.errors import InputError, Problem
from pkmodel.specs.library import Scenario
from pkmodel.specs.model import ModelSpec

if TYPE_CHECKING:
    import pyarrow as pa

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
#: Columns of patients.parquet of which the report names the middle.
_COVARIATES = {"weight_kg": "weight", "age_y": "age", "height_cm": "height"}
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
    kept_json.checked(dict(findings), kept_json.Findings, str(folder / "findings.json"))
    inputs = folder / kept_inputs.FILE
    scenario = kept_inputs.read(inputs)
    known = kept_json.checked(dict(manifest), kept_json.Manifest, str(folder / "manifest.json"))
    kept_inputs.check_against(scenario, known, inputs)
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
    found = kept_json.read(file, "a run's")
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
    import pyarrow.parquet as pq

    with _readable(file), pq.ParquetFile(file) as table:
        wanted = [*_COVARIATES, *({"severity"} & set(table.schema_arrow.names))]
        first = table.read_row_group(0, columns=[*wanted, "sex"])
        medians = {name: float(np.median(_numbers(first[name]))) for name in wanted}
        sexes = _counts(first["sex"])
        outside: dict[str, dict[str, int]] = {}
        for group in range(table.num_row_groups):
            part = table.read_row_group(group, columns=["model", "outside_valid_for"])
            for model in _counts(part["model"]):  # one, as a group is of one model
                own = outside.setdefault(model, {})
                for reason, count in _counts(part["outside_valid_for"]).items():
                    own[reason] = own.get(reason, 0) + count
    sex = "female" if sexes.get("female", 0) >= sexes.get("male", 0) else "male"
    size = {short: medians[name] for name, short in _COVARIATES.items()}
    return Middle(of=first.num_rows, sex=sex, severity=medians.get("severity"), **size), outside


def _tops(file: Path) -> list[Top]:
    """How high medians run, from the bands."""
    import pyarrow.parquet as pq

    names = ("arm", "model", "output", "unit")
    with _readable(file), pq.ParquetFile(file) as parquet:
        table = parquet.read(columns=[*names, "session", "p50", "p95"])
        labels = [_labels(table[name]) for name in names]
        session, p50, p95 = (_numbers(table[name]) for name in ("session", "p50", "p95"))
    # Rows of one arm, model and output stand together, and so do those of one session.
    key = np.stack([which for which, _ in labels] + [session])
    starts = np.flatnonzero(np.r_[True, (np.diff(key) != 0).any(axis=0)]) if session.size else np.zeros(0, dtype=int)
    of_case: dict[tuple[str, ...], list[tuple[float, float]]] = {}
    for first, median, high in zip(
        starts, np.maximum.reduceat(p50, starts), np.maximum.reduceat(p95, starts), strict=True
    ):
        named = tuple(words[which[first]] for which, words in labels)
        of_case.setdefault(named, []).append((float(median), float(high)))
    return [
        Top(arm, model, output, unit, tuple(median for median, _ in sessions), max(high for _, high in sessions))
        for (arm, model, output, unit), sessions in of_case.items()
    ]


@contextmanager
def _readable(file: Path) -> Iterator[None]:
    """Say of a Parquet file that it is not there or cannot be read, whatever goes wrong."""
    try:
        yield
    except FileNotFoundError:
        raise InputError(Problem("no such file", f"a run's {file.name}", where=str(file))) from None
    except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        found = f"a file that cannot be read ({str(error).splitlines()[0]})"
        raise InputError(Problem(found, f"a run's {file.name}", where=str(file))) from None


def _numbers(column: pa.ChunkedArray) -> NDArray[Any]:
    """A column of numbers, none of them missing. ``to_numpy`` would bring pandas: half a second at the end of a run.

    Raises ValueError where it holds anything else.
    """
    import pyarrow as pa

    number = pa.types.is_floating(column.type) or pa.types.is_integer(column.type)
    if not number or column.null_count or not len(column):
        kind = "no rows" if not len(column) else "numbers that are missing" if number else str(column.type)
        raise ValueError(f"{kind} where numbers are expected")
    return np.from_dlpack(column.combine_chunks())


def _labels(column: pa.ChunkedArray) -> tuple[NDArray[np.int64], list[str]]:
    """A column of labels as numbers, -1 where there is none, and what they stand for; without pandas too."""
    whole = column.unify_dictionaries().combine_chunks()
    indices = whole.indices
    there, values = indices.buffers()
    part = slice(indices.offset, indices.offset + len(indices))
    which = np.frombuffer(values, dtype=np.int32)[part].astype(np.int64)
    if there is not None:  # a bit for each label that is not missing
        which[np.unpackbits(np.frombuffer(there, dtype=np.uint8), bitorder="little")[part] == 0] = -1
    return which, [str(item) for item in whole.dictionary.to_pylist()]


def _counts(column: pa.ChunkedArray) -> dict[str, int]:
    """How often each label of a column is there."""
    which, words = _labels(column)
    counts = np.bincount(which[which >= 0], minlength=len(words)).tolist()
    return {word: count for word, count in zip(words, counts, strict=True) if count}
