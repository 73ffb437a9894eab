"""``pkmodel schema``."""

from __future__ import annotations

from typing import Annotated

import typer

from pkmodel import console


def schema(
    kind: Annotated[str, typer.Argument(help="protocol, model, effect, population, scenario or reference.")],
) -> None:
    """Print the JSON Schema of a kind of file, for editors (yaml-language-server)."""
    from pkmodel.specs.schema import schema_of

    console.print_json(schema_of(kind))
