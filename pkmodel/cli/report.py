"""``pkmodel report``: the report of a finished run, made again from its directory."""

from __future__ import annotations

from typing import Annotated

import typer

from pkmodel import console
from pkmodel.cli import running
from pkmodel.disclaimer import NOT_FOR_CARE
from pkmodel.whole import check, whole


def make_report(
    folder: Annotated[str, typer.Argument(help="The directory of a finished run.")],
    output: Annotated[
        str | None, typer.Option("-o", "--out", help="File [report.html, or report.pdf, in that directory].")
    ] = None,
    pdf: Annotated[bool, typer.Option("--pdf", help="A PDF instead of an HTML page (extra pdf).")] = False,
) -> None:
    """Make the report of a finished run from its directory alone: one file to read, print and hand on."""
    from pkmodel import pages

    path, file = running.out_path(folder), running.out_file(output, (".pdf" if pdf else ".html",))
    assert path is not None
    if file is None:
        file = path / (pages.FILE_PDF if pdf else pages.FILE)
        if path.is_dir():
            check(file, "DIR")
    made = pages.pdf_of(path) if pdf else pages.html_of(path).encode()
    with whole(file) as part:
        part.write_bytes(made)
    console.note(f"{file}: {len(made) / 1000:,.0f} kB. {NOT_FOR_CARE}")
