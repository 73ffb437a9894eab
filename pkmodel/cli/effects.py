"""``pkmodel effects``: the effects and bands that are shipped, and one of them in full, with the models it fits."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from pkmodel import console
from pkmodel.cli.options import JsonFlag
from pkmodel.disclaimer import NOT_FOR_CARE

HELP = "List effects with what they are stated for; `effects show NAME` prints one, and the models that it fits."
effects = typer.Typer(invoke_without_command=True, rich_markup_mode=None, help=HELP)
Name = Annotated[str, typer.Argument(help="A name of the list, or the path of a YAML file.")]


@effects.callback()
def list_effects(context: typer.Context, as_json: JsonFlag = False) -> None:
    """List effects with what they are stated for; `effects show NAME` prints one, and the models that it fits."""
    if context.invoked_subcommand:
        return
    from pkmodel.specs.library import load_effect
    from pkmodel.specs.loading import library

    rows = []
    for name in library("effects"):
        effect = load_effect(name)
        rows.append(
            {
                "name": name,
                "on": list(dict.fromkeys(effect.analytes.values())),
                "form": effect.form,
                "counted_in": effect.counted,
                "illustrative": effect.illustrative,
                "title": effect.title,
                "citation": effect.source.citation,
                "doi": effect.source.doi,
            }
        )
    if as_json:
        console.print_json(rows)
    else:
        console.listing(rows, ("name", "form", "counted_in"), ("title", "citation"))


@effects.command("show")
def show_effect(name: Name, as_json: JsonFlag = False) -> None:
    """Print an effect: its numbers with their places in the paper, its notes, and the models that it fits."""
    from pkmodel.specs.attach import fits
    from pkmodel.specs.library import load_effect, load_model
    from pkmodel.specs.loading import library

    effect = load_effect(name)
    suited = [other for other in library("models") if fits(load_model(other), effect)]
    rows = effect.numbers()
    if as_json:
        shown: dict[str, Any] = {
            "name": effect.id,
            "title": effect.title,
            "drug": effect.drug,
            "on": effect.analytes if len(effect.on) > 1 else next(iter(effect.analytes.values())),
            "form": effect.form,
            "counted_in": effect.counted,
            "illustrative": effect.illustrative,
            "citation": effect.source.citation,
            "doi": effect.source.doi,
            "pmid": effect.source.pmid,
            "numbers": rows,
            "notes": effect.notes,
            "models": suited,
            "disclaimer": NOT_FOR_CARE,
        }
        console.print_json(shown)
        return
    console.text(effect.title, bold=True)
    console.text(effect.source.citation)
    stated = ", ".join(dict.fromkeys(effect.analytes.values()))
    console.text(f"{effect.form}, stated for {stated}, counted in: {effect.counted}")
    if effect.illustrative:
        console.text("ILLUSTRATIVE: for teaching; its numbers are no finding of anybody.")
    console.table(rows, ("number", "value", "evidence", "from"))
    for sentence in effect.notes:
        console.text(f"- {sentence}")
    console.text(f"Fits: {', '.join(suited) or 'no model of the library'}")
    console.text(NOT_FOR_CARE)
