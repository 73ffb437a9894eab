"""Files that a command writes: whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pkmodel.errors import InputError, Problem


@contextmanager
def whole(file: Path, option: str) -> Iterator[Path]:
    """A path to write to, which becomes ``file`` when all went well, and is gone otherwise.

    Raises InputError where the file cannot be written; ``option`` is what named it.
    """
    part = file.with_name(f".{file.name}.part")
    try:
        yield part
        part.replace(file)
    except BaseException as error:
        if part.parent.is_dir():
            part.unlink(missing_ok=True)
        if not isinstance(error, OSError):
            raise
        raise InputError(Problem(f"{file}: {error.strerror or error}", "a file that can be written", option)) from None
