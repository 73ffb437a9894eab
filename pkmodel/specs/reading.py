"""The bytes of a file that the user, or a file of a stranger, names."""

from __future__ import annotations

from pathlib import Path

from pkmodel.errors import InputError, Problem


def content(path: Path, kind: str, most: int) -> bytes:
    """What is in a file of at most so many million bytes.

    A device or a pipe would be read forever, or wait forever, so only what is a file (or a link to one) is opened.
    Raises InputError on whatever else it is.
    """

    def refuse(found: str, expected: str) -> InputError:
        return InputError(Problem(found=found, expected=expected, where=str(path).replace("\0", "\\0")))

    try:
        if path.is_dir():
            raise refuse("a directory", f"the path of a {kind}")
        if path.exists() and not path.is_file():
            raise refuse("a device or a pipe", f"the path of a {kind}")
        with path.open("rb") as file:
            raw = file.read(most * 1_000_000 + 1)
    except FileNotFoundError:
        raise refuse("no such file", f"the path of a {kind}") from None
    except OSError as error:
        raise refuse(error.strerror or str(error), "a file that can be read") from None
    except InputError:
        raise
    except ValueError:  # a NUL in the name
        raise refuse("a name that no file can have", f"the path of a {kind}") from None
    if len(raw) > most * 1_000_000:
        raise refuse(f"a file of more than {most} MB", f"a {kind} of at most {most} MB")
    return raw
