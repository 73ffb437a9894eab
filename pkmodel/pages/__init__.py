"""The report of a finished run as one file to read, print and hand on: ``report.html``, or ``report.pdf``.

Both are made from what the run's directory holds and from nothing else, so that a report can be made again, byte for
byte, wherever the directory goes. Neither the date nor the command as it was typed is in it: they are in the manifest.

    finished   what the directory holds, or why it is no finished run
    contents   the sections, in order; courses, judged, beside, pictures and grounds each make some of them
    blocks     what a section is made of: text, tables, pictures; the same for every form
    html, pdf  the two forms
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pkmodel.errors import InputError

if TYPE_CHECKING:
    from pkmodel.pages.blocks import Report

Form = TypeVar("Form", str, bytes)

#: Its name in the directory of a run.
FILE, FILE_PDF = "report.html", "report.pdf"

__all__ = ["FILE", "FILE_PDF", "html_of", "pdf_of"]


def html_of(folder: Path) -> str:
    """The report of the finished run in a directory, as one HTML page that needs nothing else.

    Raises InputError where the directory holds no finished run, or a file of it is missing, damaged or not of this
    run.
    """
    from pkmodel.pages.html import page

    return _made(folder, page)


def pdf_of(folder: Path) -> bytes:
    """The same report as a PDF.

    Raises InputError as :func:`html_of` does, and where the package ``typst`` (extra ``pdf``) is not installed.
    """
    from pkmodel.pages.pdf import document, needed

    needed()
    return _made(folder, document)


def _made(folder: Path, form: Callable[[Report], Form]) -> Form:
    """The report of a directory in one of its forms; nothing of what is read is trusted to be of the right kind."""
    from jinja2 import TemplateError

    from pkmodel.pages.contents import report
    from pkmodel.pages.finished import damaged, read

    run = read(folder)
    try:
        return form(report(run))
    except InputError:
        raise
    except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError, TemplateError) as error:
        raise damaged(folder, error) from error
