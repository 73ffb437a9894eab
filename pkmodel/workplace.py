"""The directory that a command leaves its files in: their names, and that they appear whole or not at all."""

from __future__ import annotations

import csv
import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pkmodel import lock
from pkmodel.errors import Interrupted
from pkmodel.whole import PREFIX, failure, nameable, named, refusal, sweep, sync

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: A finished run is known by it, so it is the last file that takes its place.
MANIFEST = "manifest.json"
#: The folder of a run on its way.
PARTS = "parts"
#: A folder whose files only have to be moved, and the list of what is to be done with them.
_COMPLETE, _MOVES = f"{PREFIX}complete-", ".moves.json"

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
    MANIFEST,
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
def workplace(out: Path, own: Sequence[str] = ALL_FILES, *, spent: str | None = None) -> Iterator[Path]:
    """A directory inside the final one; its files are moved over when all is done, and else thrown away.

    Nobody else may write into ``out`` meanwhile. From the moment at which all files are whole and on the disk, whatever
    ends the process, the next command that writes there moves what is left to be moved; until then the manifest, by
    which a finished run is known, is missing.

    Parameters
    ----------
    own
        the names that the command may write: those it did not are removed from ``out``.
    spent
        ``PARTS``, where nothing of it is needed when the files are there.

    Raises
    ------
    InputError
        where the directory cannot be written, or another process writes there.
    RunError
        where the disk is full or broken, or the directory vanishes.
    """
    nameable(out, "--out")
    with ExitStack() as at_the_end:
        missing = [folder for folder in (out, *out.parents) if not os.path.exists(folder)]  # noqa: PTH110 - never raises
        at_the_end.callback(_remove_empty, missing)
        try:
            out.mkdir(parents=True, exist_ok=True)
            at_the_end.enter_context(lock.held(out))
            _tidy(out)
            folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=out))
        except OSError as error:
            raise refusal(error, out, "a directory that can be written", "--out") from None
        at_the_end.callback(shutil.rmtree, folder, ignore_errors=True)
        try:
            yield folder
            _put_in_place(folder, out, own, spent)
        except OSError as error:
            raise failure(error, out) from error


def _remove_empty(folders: Sequence[Path]) -> None:
    """Remove folders that hold nothing, the innermost first."""
    with suppress(OSError):
        for folder in folders:
            folder.rmdir()


def _tidy(out: Path) -> None:
    """Finish what a killed process had all but finished, and remove what it had not."""
    sweep(out)
    for folder in sorted(out.glob(f"{PREFIX}*")):
        if folder.is_symlink() or not folder.is_dir():
            continue
        if folder.name.startswith(_COMPLETE) and _moves(folder) is not None:
            _move(folder, out)
        else:
            shutil.rmtree(folder, ignore_errors=True)


def _put_in_place(folder: Path, out: Path, own: Sequence[str], spent: str | None) -> None:
    """Move all files of a folder over those of ``out``, with nothing of an earlier run left between them."""
    produced = sorted(file.name for file in folder.iterdir())
    for name in produced:  # looked at before the first file is moved, so that old and new never stand mixed
        if (out / name).is_dir():
            raise IsADirectoryError(errno.EISDIR, "a directory is in its place", str(out / name))
    # What an earlier run left there would pass for this run's.
    stale = sorted(name for name in {*own} - {*produced} if not (out / name).is_dir())
    if produced:
        moves = {"files": sorted(produced, key=lambda name: name == MANIFEST), "stale": stale, "spent": spent}
        write_json(folder / _MOVES, moves)
        for path in (*folder.iterdir(), folder):
            sync(path)
        complete = out / folder.name.replace(PREFIX, _COMPLETE, 1)
        folder.rename(complete)
        try:
            _move(complete, out)
        except KeyboardInterrupt:  # too late to change anything
            if _moves(complete) is not None:
                _move(complete, out)
            raise Interrupted(f"interrupted when all was done: the files are in {out}") from None
    else:
        for name in stale:
            (out / name).unlink(missing_ok=True)


def _moves(complete: Path) -> Any:
    """What is to be done with the files of a complete folder; None where that cannot be of this program.

    A directory may come from anybody, so only files of a command are taken away, and nothing outside of it is touched.
    """
    try:
        moves = json.loads((complete / _MOVES).read_text(encoding="utf-8"))
        plain = all(name == Path(name).name for name in moves["files"])
        ours = {*moves["stale"]} <= {*ALL_FILES} and moves["spent"] in (None, PARTS)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return moves if plain and ours else None


def _move(complete: Path, out: Path) -> None:
    """Move the files of a complete folder to where they belong, or those that are left after a break."""
    moves = _moves(complete)
    if moves is None:
        raise FileNotFoundError(errno.ENOENT, "no list of files", str(complete / _MOVES))
    if MANIFEST not in moves["files"] or (complete / MANIFEST).exists():
        for name in (MANIFEST, *moves["stale"]):
            (out / name).unlink(missing_ok=True)
    for name in moves["files"]:
        if (complete / name).exists():
            os.replace(complete / name, out / name)  # noqa: PTH105 - atomic, and Path.replace says less
    sync(out)
    if moves["spent"]:
        shutil.rmtree(out / moves["spent"], ignore_errors=True)
    shutil.rmtree(complete, ignore_errors=True)


def write_csv(file: Path, columns: list[str], rows: list[dict[str, Any]]) -> None:
    """Write rows under these columns."""
    with named(file), file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def write_json(file: Path, value: Any) -> None:
    """Write plain data; a NaN in it is an error of ours and not written."""
    write_text(file, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_text(file: Path, text: str) -> None:
    """Write a text, with its line ends as they are."""
    with named(file):
        file.write_text(text, encoding="utf-8", newline="\n")


def write_picture(file: Path, figure: Figure, *, dpi: int = 130) -> None:
    """Write a picture as PNG, packed lightly: most of the time goes into that."""
    with named(file):
        figure.savefig(file, dpi=dpi, pil_kwargs={"compress_level": 2})
