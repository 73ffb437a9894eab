"""``pkmodel verify``: models held against published figures."""

from __future__ import annotations

from typing import Annotated

import typer

from pkmodel import console
from pkmodel.cli import running
from pkmodel.cli.options import JsonFlag
from pkmodel.disclaimer import NOT_FOR_CARE
from pkmodel.whole import whole


def verify(
    models: Annotated[
        list[str] | None, typer.Argument(help="Names of models, or paths of model files [all of the library].")
    ] = None,
    page: Annotated[str | None, typer.Option(help="Write the rows as a page of Markdown (.md).")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Hold models against their own papers and other people's data, row by row; exit 1 where one does not hold.

    A row must hold where it follows from the published numbers, or where a known disagreement was recorded. Every
    other row is shown, however far off.
    """
    from pkmodel import verify as held
    from pkmodel import verify_page
    from pkmodel.specs.library import load_model

    file = running.out_file(page, (".md",), "--page")
    found = held.verify([load_model(name) for name in models] if models else None)
    if file is not None:
        with whole(file) as part:
            part.write_text(verify_page.page(found), encoding="utf-8")
    if as_json:
        console.print_json([row.as_json() for row in found.rows])
    else:
        console.verification(found)
    if file is not None:
        console.note(f"{file}: {len(found.rows)} rows. {NOT_FOR_CARE}")
    if not found.holds:
        raise typer.Exit(1)
