"""The directory that a command leaves its files in: their names, and that they appear whole or not at all."""

from __future__ import annotations

import csv
import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pkmodel.errors import InputError, Problem, RunError

FILES = (
    "findings.csv",
    "findings.json",
    "failing.csv",
    "comparison.csv",
    "metrics.parquet",
    "patients.parquet",
    "bands.parquet",
    "bands.png",
    "session_peaks.png",
    "inputs.json",
    "manifest.json",
    "report.html",
)
#: The pictures that a run may draw, in the order in which they are looked at.
PICTURES_OF_RUN = ("bands.png", "models.png", "session_peaks.png")
#: What ``pkmodel report`` may leave beside them.
FILES_OF_REPORT = ("report.pdf",)
#: What there is besides where rules are judged in arms that are compared.
FILES_OF_PAIRS = ("needed.csv",)
#: And where an arm runs on several models.
FILES_OF_SEVERAL = ("joint.csv", "between_models.csv", "models.png")
#: And where a clinic decides, or sessions are missed or late.
FILES_OF_CLINICS = ("clinic.csv", "ledger.parquet")
#: And where parameter uncertainty is asked for.
FILES_OF_DRAWS = ("uncertainty.csv",)
#: And what only ``pkmodel compare`` writes.
FILES_OF_COMPARISON = ("comparison.json", "comparison.png", "proportionality.csv")
#: And what ``pkmodel design`` and ``pkmodel sensitivity`` write.
FILES_OF_DESIGN = ("design.json", "design.csv", "design.png", "sensitivity.json", "sensitivity.csv", "sensitivity.png")
ALL_FILES = (
    *FILES,
    *FILES_OF_REPORT,
    *FILES_OF_PAIRS,
    *FILES_OF_SEVERAL,
    *FILES_OF_CLINICS,
    *FILES_OF_DRAWS,
    *FILES_OF_COMPARISON,
    *FILES_OF_DESIGN,
)


def files_in(folder: Path) -> list[str]:
    """The files of a run that are in its folder, by name."""
    return sorted(name for name in ALL_FILES if (folder / name).is_file())


@contextmanager
def workplace(out: Path, own: Sequence[str] = ALL_FILES) -> Iterator[Path]:
    """A directory inside the final one; its files are moved over when all is done, and else thrown away.

    ``own`` are the names that the command may write: those it did not are removed from ``out``.
    """

    def refuse(reason: str) -> InputError:
        return InputError(Problem(f"the output directory {out}: {reason}", "a directory that can be written"))

    created = [parent for parent in (out, *out.parents) if not parent.exists()]
    try:
        out.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".pkmodel-", dir=out))
    except OSError as error:
        for parent in created:
            if parent.is_dir():
                parent.rmdir()
        raise refuse(error.strerror or str(error)) from None
    try:
        yield folder
        produced = sorted(file.name for file in folder.iterdir())
        for name in produced:  # looked at before the first file is moved, so that old and new never stand mixed
            if (out / name).is_dir():
                raise IsADirectoryError(errno.EISDIR, f"{name} is a directory")
        for name in produced:
            os.replace(folder / name, out / name)  # noqa: PTH105 - atomic, and Path.replace says less
        for name in {*own} - {*produced}:  # what an earlier run left there would pass for this run's
            (out / name).unlink(missing_ok=True)
        folder.rmdir()
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        for parent in created:
            if parent.is_dir() and not any(parent.iterdir()):
                parent.rmdir()
        if isinstance(error, OSError):
            raise RunError(f"the files could not be written to {out}: {error.strerror or error}") from error
        raise


def write_csv(file: Path, columns: list[str], rows: list[dict[str, Any]]) -> None:
    """Write rows under these columns."""
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def write_json(file: Path, value: Any) -> None:
    """Write plain data; a NaN in it is an error of ours and not written."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    file.write_text(text + "\n", encoding="utf-8")
