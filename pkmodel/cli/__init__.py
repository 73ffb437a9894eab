"""The command line.

Exit codes: 0 it ran, 1 a check failed, 2 the input is wrong, 3 the run failed, 130 interrupted.
"""

from __future__ import annotations

import gc
import io
import os
import sys
import warnings
from functools import cache
from typing import TYPE_CHECKING, Any

from pkmodel.cli import streams

if TYPE_CHECKING:
    from sys import UnraisableHookArgs


def entry() -> None:
    """The installed command: :func:`main` in a process that ends with it.

    A short run spends a tenth of its time collecting garbage among the long-lived objects of start-up, and another
    tenth taking them apart at the end, all for nothing.
    """
    gc.set_threshold(200_000, 20, 20)
    sys.unraisablehook = interrupted_again
    try:
        streams.opened()
        main()
    finally:
        gc.freeze()


def interrupted_again(what: UnraisableHookArgs) -> None:
    """Send a Ctrl-C again that came while an object was taken apart.

    Python cannot let an exception out of a destructor, so that the interruption would be lost and the run go on.
    """
    if what.exc_type is not KeyboardInterrupt:
        sys.__unraisablehook__(what)
        return
    import signal
    import threading

    threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()


def main() -> None:
    """Entry point: every error that the user can cause is one clear message, never a traceback."""
    import signal

    # A cluster ends jobs with SIGTERM: the same tidy end as Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with streams.guarded(), warnings.catch_warnings():
        _say_warnings_plainly()
        try:
            code = _run()
        except KeyboardInterrupt:  # before or after the command itself, while modules are imported
            code = _interrupted()
    raise SystemExit(code)


def _say_warnings_plainly() -> None:
    """Print a warning of this package as a sentence, without the line of code that it came from."""
    others = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *place: Any, **named: Any) -> None:
        if category.__module__.partition(".")[0] == "pkmodel":
            sys.stderr.write(f"note: {message}\n")
        else:
            others(message, category, *place, **named)

    warnings.showwarning = show


def _interrupted(left: str = "interrupted; nothing was written") -> int:
    """Say what an interruption left; the answer is the exit code."""
    sys.stderr.write(f"{left}\n")
    return 130


@cache
def _commands() -> Any:
    """All commands with their options; typer takes longer to read them off their functions than most commands run."""
    import typer.main

    from pkmodel.cli.commands import app

    return typer.main.get_command(app)


def _run() -> int:
    """Run the command; the answer is the exit code."""
    import typer

    from pkmodel import console, whole
    from pkmodel.cli.running import Stopped
    from pkmodel.errors import InputError, PkmodelError, printable

    # The class that click, or typer with a click of its own, raises for a wrong option.
    usage_error: type[Exception] = typer.BadParameter.__mro__[1]
    code = 0
    try:
        code = _commands()(standalone_mode=False) or 0
        if code == 130:  # what some versions of typer make of Ctrl-C; others raise Abort
            code = _interrupted()
    except Stopped as error:
        code = _interrupted(str(error))
    except InputError as error:
        for problem in error.problems:
            console.note(f"error: {problem}")
        code = error.exit_code
    except PkmodelError as error:
        console.note(f"error: {error}")
        code = error.exit_code
    except typer.Abort:
        code = _interrupted()
    except usage_error as error:
        said = io.StringIO()
        error.show(said)  # type: ignore[attr-defined]
        sys.stderr.write(printable(said.getvalue(), "\n"))
        code = 2
    except MemoryError:
        console.note("error: not enough memory for this run; try fewer patients or a coarser grid")
        code = 3
    except OSError as error:  # of a file that nothing else looked after: a temporary one, one of the package
        console.note(f"error: {error.filename or 'a file'}: {whole.reason(error)}")
        code = 3
    try:
        sys.stdout.flush()
    except PkmodelError as error:
        console.note(f"error: {error}")
        code = code or error.exit_code
    return int(code)
