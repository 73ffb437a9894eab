"""A run again, from what its directory says of it, and its files compared bit by bit.

The same versions on the same type of processor give the same bits. Another type may round the last digits of a level
another way; then numbers agree to 1e-12 and verdicts are equal, and it is said that this is what was achieved.
"""

from __future__ import annotations

import csv
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pkmodel import kept_inputs, kept_json, provenance, report, run_folder
from pkmodel.engine import Numerics
from pkmodel.study import Progress

if TYPE_CHECKING:
    import pyarrow as pa

#: The files that are compared, where a run has them.
COMPARED = (
    "findings.csv",
    "failing.csv",
    "metrics.parquet",
    "bands.parquet",
    "patients.parquet",
    "comparison.csv",
    "needed.csv",
    "ledger.parquet",
)
#: What numbers agree to across types of processor, relative to the larger one.
CLOSE = 1e-12


@dataclass(frozen=True)
class Compared:
    """One file of a run and of its replay."""

    file: str
    how: str
    """``bits``, ``close`` (every number to 1e-12, all else the same) or ``differs``."""
    said: str
    """In words."""
    largest: float = 0.0
    """The largest relative difference between two numbers."""


@dataclass(frozen=True)
class Replay:
    """How a run and its replay agree."""

    files: tuple[Compared, ...]
    changed: tuple[str, ...]
    """What is not as it was: versions, the processor."""

    @property
    def bits(self) -> bool:
        """Whether every file is the same bit by bit."""
        return all(item.how == "bits" for item in self.files)

    @property
    def achieved(self) -> bool:
        """Whether the replay agrees as well as it must: bit by bit, or to 1e-12 on another machine or version."""
        return self.bits or (bool(self.changed) and all(item.how != "differs" for item in self.files))

    def lines(self) -> list[str]:
        """The outcome in words, a line each."""
        said = [f"{item.file}: {item.said}" for item in self.files]
        said += [f"changed since: {item}" for item in self.changed]
        if self.bits:
            return [*said, "replayed: equal bit by bit"]
        named = ", ".join(item.file for item in self.files if item.how == "differs")
        if named:
            return [*said, f"not replayed: {named} differ beyond {CLOSE:g}"]
        largest = max(item.largest for item in self.files)
        what = f"equal to {CLOSE:g}, not bit by bit (largest relative difference {largest:.1e})"
        return [*said, f"replayed: {what}" if self.achieved else f"not replayed: {what}, on the same machine"]

    def plain(self) -> dict[str, Any]:
        """Plain data."""
        files = [{"file": i.file, "how": i.how, "said": i.said, "largest": i.largest} for i in self.files]
        return {"bits": self.bits, "achieved": self.achieved, "files": files, "changed": list(self.changed)}


def replay(folder: Path, *, jobs: int = 1, progress: Progress | None = None) -> Replay:
    """Run again what a directory holds and compare.

    Raises
    ------
    InputError
        where the directory is not that of a finished run, or its inputs are not those that its manifest names.
    """
    manifest_file, inputs_file = folder / "manifest.json", folder / kept_inputs.FILE
    manifest = kept_json.checked(
        kept_json.read(manifest_file, "a finished run's"), kept_json.Manifest, str(manifest_file)
    )
    scenario = kept_inputs.read(inputs_file)
    kept_inputs.check_against(scenario, manifest, inputs_file)
    # A number of patients that a precision took is found again, with the intervals that go with it.
    n = manifest.n if scenario.spec.precision is None else None
    scenario = scenario.with_options(n=n, seed=manifest.seed)
    options = manifest.options
    with tempfile.TemporaryDirectory(prefix="pkmodel-replay-") as place:
        again = Path(place) / "again"
        report.run(
            scenario,
            again,
            jobs=jobs,
            numerics=Numerics(options.engine, options.method, options.tolerance),
            progress=progress,
            block=manifest.block,
            pictures=False,
            strict=options.strict,
            all_metrics=options.metrics == "all",
        )
        files = tuple(
            compare(folder / name, again / name)
            for name in COMPARED
            if (folder / name).is_file() or (again / name).is_file()
        )
    then = {"versions": manifest.versions, "cpu": manifest.cpu}
    now = {"versions": provenance.versions(), "cpu": provenance.cpu()}
    changed = tuple(
        f"{item.path} {item.expected.removesuffix(', as the run began')}, now {item.found}"
        for item in run_folder.differences(then, now)
    )
    return Replay(files, changed)


def compare(old: Path, new: Path) -> Compared:
    """Compare a file with its replay: bytes first, then what they hold."""
    for path, where in ((old, "the run"), (new, "the replay")):
        if not path.is_file():
            return Compared(old.name, "differs", f"missing from {where}")
    if _same_bytes(old, new):
        return Compared(old.name, "bits", "the same bytes")
    try:
        worst = _table_difference(old, new) if old.suffix == ".parquet" else _csv_difference(old, new)
    except (_Unlike, ValueError, OSError) as error:
        return Compared(old.name, "differs", str(error))
    if worst == 0.0:
        return Compared(old.name, "bits", "the same bits, in another encoding")
    how = "close" if worst <= CLOSE else "differs"
    return Compared(old.name, how, f"numbers differ, by {worst:.1e} of their size at most", worst)


class _Unlike(Exception):
    """Two tables differ in more than a number."""


def _same_bytes(old: Path, new: Path) -> bool:
    if old.stat().st_size != new.stat().st_size:
        return False
    with old.open("rb") as one, new.open("rb") as other:
        while piece := one.read(1 << 20):
            if piece != other.read(1 << 20):
                return False
    return True


def _csv_difference(old: Path, new: Path) -> float:
    """The largest relative difference between numbers in the cells of two CSV files."""
    tables = []
    for path in (old, new):
        with path.open(newline="", encoding="utf-8") as stream:
            tables.append(list(csv.reader(stream)))
    if len(tables[0]) != len(tables[1]):
        raise _Unlike(f"{len(tables[0])} lines in the run, {len(tables[1])} in the replay")
    worst = 0.0
    for number, (one, other) in enumerate(zip(*tables, strict=True), 1):
        for mine, theirs in zip(one, other, strict=True):
            if mine == theirs:
                continue
            try:
                a, b = float(mine), float(theirs)
            except ValueError:
                raise _Unlike(f"line {number}: {mine!r} in the run, {theirs!r} in the replay") from None
            worst = max(worst, _difference(np.array([a]), np.array([b])))
    return worst


def _table_difference(old: Path, new: Path) -> float:
    """The largest relative difference between numbers of two Parquet files, a row group at a time."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(old) as one, pq.ParquetFile(new) as other:
        if not one.schema_arrow.equals(other.schema_arrow):
            raise _Unlike("other columns")
        if one.num_row_groups != other.num_row_groups or one.metadata.num_rows != other.metadata.num_rows:
            raise _Unlike(f"{one.metadata.num_rows:,} rows in the run, {other.metadata.num_rows:,} in the replay")
        worst = 0.0
        for group in range(one.num_row_groups):
            mine, theirs = one.read_row_group(group), other.read_row_group(group)
            for name in mine.column_names:
                worst = max(worst, _column_difference(name, mine[name], theirs[name]))
    return worst


def _column_difference(name: str, one: pa.ChunkedArray, other: pa.ChunkedArray) -> float:
    import pyarrow as pa
    import pyarrow.compute as pc

    if len(one) != len(other):
        raise _Unlike(f"column {name}: {len(one):,} rows in the run, {len(other):,} in the replay")
    if not pa.types.is_floating(one.type):
        if not one.cast(_plain(one.type)).equals(other.cast(_plain(other.type))):
            raise _Unlike(f"column {name}: text or whole numbers differ")
        return 0.0
    if not one.is_null().equals(other.is_null()):
        raise _Unlike(f"column {name}: what is missing differs")
    kept = [pc.fill_null(column, 0.0).to_numpy() for column in (one, other)]
    return _difference(kept[0], kept[1], name)


def _plain(kind: Any) -> Any:
    import pyarrow as pa

    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _difference(one: NDArray[np.float64], other: NDArray[np.float64], name: str = "") -> float:
    """The largest difference relative to the larger of two numbers; equal bits are no difference."""
    apart = one.view(np.int64) != other.view(np.int64)
    if not apart.any():
        return 0.0
    a, b = one[apart], other[apart]
    if not (np.isfinite(a) & np.isfinite(b)).all():
        raise _Unlike(f"column {name}: a number is not finite" if name else "a number is not finite")
    size = np.maximum(np.abs(a), np.abs(b))
    # 0 and -0 differ in a bit and in nothing else: the smallest difference there is.
    relative = np.divide(np.abs(a - b), size, out=np.zeros_like(size), where=size > 0.0)
    return max(float(relative.max()), float(np.finfo(np.float64).tiny))
