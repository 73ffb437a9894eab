"""What goes wrong, said once: where, what was found, what was expected, the nearest legal name.

Every error that a user can cause is an :class:`InputError` (exit code 2) and carries one
:class:`Problem` per mistake, so that a file with five mistakes is reported in one go.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches


@dataclass(frozen=True)
class Problem:
    """One mistake in the input.

    ``where`` is a file or the name of an argument; ``line`` is 1-based and 0 where there is none;
    ``path`` is the place inside the file, such as ``phases[1].dose``.
    """

    found: str
    expected: str
    path: str = ""
    where: str = ""
    line: int = 0
    nearest: str = ""

    def __str__(self) -> str:
        place = f"{self.where}:{self.line}" if self.line else self.where
        parts = [part for part in (place, self.path) if part]
        parts += [f"found {self.found}", f"expected {self.expected}"]
        if self.nearest:
            parts.append(f"nearest {self.nearest}")
        return printable("  ".join(parts))

    def at(self, *, path: str | None = None, where: str | None = None, line: int | None = None) -> Problem:
        """The same problem at a place that only the caller knows."""
        return replace(
            self,
            path=self.path if path is None else path,
            where=self.where if where is None else where,
            line=self.line if line is None else line,
        )


class PkmodelError(Exception):
    """Base of the package's errors; ``exit_code`` is what the command line returns."""

    exit_code = 3


class InputError(PkmodelError, ValueError):
    """The input is wrong. ``problems`` lists every mistake that was found."""

    exit_code = 2

    def __init__(self, problems: Problem | Iterable[Problem]):
        self.problems: tuple[Problem, ...] = (problems,) if isinstance(problems, Problem) else tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class RunError(PkmodelError):
    """The input is right, but the run could not be carried out (disk, worker, solver)."""

    exit_code = 3


class Interrupted(KeyboardInterrupt):
    """A run was interrupted, and what it had done is kept; the message says where."""


def printable(text: str, keep: str = "") -> str:
    """A text that does nothing but stand where it is printed: what cannot be seen is written out, as ``\\x1b``.

    A title, a column or the name of a file may come from anybody, and a terminal obeys what it is sent: colours, a
    cursor that goes back over a verdict, letters that run from right to left. ``keep`` lists what may stay besides.
    """
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() or letter in keep else letter.encode("unicode_escape").decode()
        for letter in text
    )


def shown(value: object, limit: int = 60) -> str:
    """A value as an error message quotes it: short, on one line, never a flood."""
    text = value if isinstance(value, str) else repr(value)
    text = " ".join(printable(text, " \n\t\u00a0").split()) if text.strip() else repr(text)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def nearest(name: object, legal: Iterable[str]) -> str:
    """The legal name closest to ``name``, or ``""`` where nothing is close.

    Case is ignored, and so are ``-`` against ``_``, because those are the commonest slips.
    """
    table = {_plain(candidate): candidate for candidate in legal}
    close = get_close_matches(_plain(str(name)), list(table), n=1, cutoff=0.55)
    return table[close[0]] if close else ""


def _plain(name: str) -> str:
    return name.lower().replace("-", "_").replace(" ", "_")


def one_of(legal: Sequence[str], limit: int = 12) -> str:
    """``one of a, b, c`` for the *expected* part of a message."""
    names = ", ".join(legal[:limit])
    return f"one of {names}" + (f", ... ({len(legal)} in all)" if len(legal) > limit else "")


def unknown_name(kind: str, name: object, legal: Iterable[str], *, path: str = "", where: str = "") -> Problem:
    """The problem of a name that is not in a list."""
    names = sorted(legal)
    expected = f"{kind}: {one_of(names)}" if names else f"{kind} (there is none)"
    return Problem(found=shown(name), expected=expected, path=path, where=where, nearest=nearest(name, names))
