"""``pkmodel suggest``: the dose or infusion that reaches and holds a target level."""

from __future__ import annotations

import json
from dataclasses import asdict
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pkmodel import console
from pkmodel.cli import running
from pkmodel.cli.options import (
    Age,
    Ancestry,
    Cyp2b6,
    Height,
    Hepatic,
    JsonFlag,
    Sex,
    Weight,
    patient_of,
)
from pkmodel.disclaimer import NOT_FOR_CARE
from pkmodel.whole import whole

if TYPE_CHECKING:
    from pkmodel.suggest import Suggestion

_KINDS = (".yaml", ".yml", ".csv", ".json")


class FormOf(StrEnum):
    """What may be given."""

    bolus = "bolus"
    both = "bolus+infusion"
    infusion = "infusion"


def suggest(
    model: Annotated[str, typer.Argument(help="Name of a model, or path of a model file; a linear one.")],
    target: Annotated[
        list[str],
        typer.Option(help='Level, such as "150 ng/mL"; for several in turn "150 ng/mL from 0 min", repeated.'),
    ],
    effect: Annotated[
        str | None, typer.Option(help="Effect with an effect site: the target is then the level at that site.")
    ] = None,
    form: Annotated[FormOf, typer.Option(help="What may be given.")] = FormOf.both,
    over: Annotated[str | None, typer.Option(help="Of a single dose or rate: the time it takes.")] = None,
    until: Annotated[str, typer.Option(help="How long the last target is held.")] = "2 h",
    step: Annotated[str, typer.Option(help="Shortest time between two changes of the rate.")] = "1 min",
    tolerance: Annotated[str, typer.Option(help="How far from the target counts as held.")] = "5 %",
    output: Annotated[str, typer.Option("--output", help="Output whose level is meant.")] = "parent",
    concentration: Annotated[str | None, typer.Option(help='In the syringe [assumed: "10 mg/mL"].')] = None,
    max_rate: Annotated[str | None, typer.Option(help='Fastest rate, in mL/h or mg/h [assumed: "1200 mL/h"].')] = None,
    min_rate: Annotated[str | None, typer.Option(help='Slowest rate [assumed: "0.1 mL/h"].')] = None,
    rate_step: Annotated[str | None, typer.Option(help='Steps of the rate [assumed: "0.1 mL/h"].')] = None,
    max_bolus: Annotated[str | None, typer.Option(help="Largest bolus, in mg or mL [none].")] = None,
    bolus_step: Annotated[str | None, typer.Option(help='Steps of a bolus [assumed: "0.1 mg"].')] = None,
    bolus_over: Annotated[str | None, typer.Option(help="The time a bolus takes [at once].")] = None,
    weight: Weight = None,
    age: Age = None,
    height: Height = None,
    sex: Sex = None,
    ancestry: Ancestry = "other",
    cyp2b6_activity: Cyp2b6 = 1.0,
    hepatic_impairment: Hepatic = 0.0,
    out: Annotated[
        str | None, typer.Option("-o", "--out", help="File: .yaml (the protocol), .csv (the rows) or .json.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Suggest the dose or infusion that reaches a target level and holds it, in one patient with typical parameters."""
    from pkmodel import suggest as suggestions

    file = running.out_file(out, _KINDS)
    patient = patient_of(weight, age, height, sex, ancestry, cyp2b6_activity, hepatic_impairment)
    stated = {
        "concentration": concentration,
        "max_rate": max_rate,
        "min_rate": min_rate,
        "rate_step": rate_step,
        "max_bolus": max_bolus,
        "bolus_step": bolus_step,
        "bolus_over": bolus_over,
    }
    found = suggestions.suggest(
        model,
        patient,
        _targets(target),
        site="plasma" if effect is None else "effect",
        effect=effect,
        output=output,
        form=form.value,
        over=over,
        until=until,
        step=step,
        pump=suggestions.Pump(**{name: text for name, text in stated.items() if text is not None}),
        tolerance=tolerance,
    )
    if file is not None:
        with whole(file) as part:
            if file.suffix == ".csv":
                found.to_pandas().to_csv(part, index=False, lineterminator="\n")
            elif file.suffix == ".json":
                part.write_text(json.dumps(_plain(found), indent=2, allow_nan=False) + "\n", encoding="utf-8")
            else:
                part.write_text(found.protocol, encoding="utf-8")
    if as_json:
        console.print_json(_plain(found))
    else:
        _print(found)
    for sentence in (*found.assumptions[:-1], *found.warnings):
        console.note(f"note: {sentence}")
    if file is not None:
        console.note(f"{file}: written. {NOT_FOR_CARE}")


def _targets(words: list[str]) -> str | list[tuple[str, str]]:
    """``150 ng/mL``, or several of ``150 ng/mL from 0 min``."""
    pairs = [
        (time.strip() or "0 min", level.strip()) for level, _, time in (word.partition(" from ") for word in words)
    ]
    return pairs[0][1] if len(pairs) == 1 and " from " not in words[0] else pairs


def _plain(found: Suggestion) -> dict[str, Any]:
    """The answer as plain data."""
    return {
        "disclaimer": NOT_FOR_CARE,
        "model": found.result.model.id,
        "evidence": found.result.model.evidence,
        "output": found.aim,
        "unit": found.unit,
        "total_mg": found.total,
        "peak": found.peak,
        "rows": [asdict(row) for row in found.rows],
        "achieved": [asdict(item) for item in found.achieved],
        "sentences": found.sentences,
        "assumptions": found.assumptions,
        "warnings": found.warnings,
        "protocol": found.protocol,
    }


def _print(found: Suggestion) -> None:
    rows = []
    for row in found.rows:
        rows.append(
            {
                "from": f"{60 * row.time:.4g} min",
                "dose": f"{row.dose:.4g} mg" if row.dose else "-",
                "over": "at once" if row.over == 0 else f"{60 * row.over:.4g} min",
                "rate": "" if row.rate is None else f"{row.rate:.4g} mg/h" if row.rate else "off",
                "pump": "" if not row.volume_rate else f"{row.volume_rate:.4g} mL/h",
            }
        )
    console.table(rows, ("from", "dose", "over", "rate", "pump"), right=("from", "dose", "over", "rate", "pump"))
    for sentence in found.sentences:
        console.text(sentence)
    console.text(NOT_FOR_CARE)
