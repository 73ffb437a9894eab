"""What commands that run virtual patients share: where to write, on how many cores, and how far they are."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pkmodel import console, whole
from pkmodel.errors import InputError, Interrupted, Problem, shown


def out_path(text: str | None) -> Path | None:
    """The path that ``--out`` gives; an empty one (an unset variable of a script, say) is refused."""
    if text is not None and not text.strip():
        raise InputError(Problem("an empty path", "a path", "--out"))
    return Path(text) if text is not None else None


def own_folder(scenario: str) -> Path:
    """The directory of a scenario where none was asked for.

    Raises InputError where its name, which is that of its file, would lead elsewhere: ``...yaml`` is called ``..``.
    """
    if scenario in ("", ".", ".."):
        raise InputError(Problem(f"a scenario called {scenario or 'nothing'}", "a directory to write to", "--out"))
    return Path("results") / scenario


def out_file(text: str | None, kinds: Sequence[str] = (), option: str = "--out") -> Path | None:
    """The file that an option names, of one of these kinds (``.csv``), once it is seen that it can be written.

    Raises InputError where it cannot be, and RunError where the disk is full.
    """
    if text is None:
        return None
    file = Path(text)
    if not text.strip() or (kinds and file.suffix not in kinds):
        *others, last = kinds or ("",)
        listed = f"{', '.join(others)} or {last}" if others else last
        expected = f"a file name that ends in {listed}" if kinds else "a path"
        raise InputError(Problem((text.strip() and shown(text)) or "an empty path", expected, option))
    whole.check(file, option)
    return file


def cores() -> int:
    """The cores that this process may use; more than eight only cost memory (a sketch for each)."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(available, 8)


class Stopped(Exception):
    """An interruption with what it left, in words: of one that it knows typer keeps the exit code alone."""


class Progress:
    """A progress bar with the time left on standard error; nothing where it is not a terminal."""

    def __init__(self, total: int, *, quiet: bool):
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        left = (TextColumn("{task.fields[rate]}"), TextColumn("time left"), TimeRemainingColumn())
        hidden = quiet or not console.err.is_terminal
        columns = (TextColumn("patients"), BarColumn(), MofNCompleteColumn(), *left)
        self.bar = Bar(*columns, console=console.err, transient=True, disable=hidden)
        self.task = self.bar.add_task("run", total=total, rate="")

    def __enter__(self) -> Any:
        if not self.bar.disable:  # before release 15, rich ends a hidden bar with an empty line
            self.bar.start()
        return self.advance

    def advance(self, done: int, total: int) -> None:
        """Show how many patients are done, and how many a second."""
        speed = self.bar.tasks[0].speed
        self.bar.update(self.task, completed=done, total=total, rate=f"{speed:,.0f}/s" if speed else "")

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if not self.bar.disable:
            self.bar.stop()
        if isinstance(error, Interrupted):
            raise Stopped(str(error)) from None
