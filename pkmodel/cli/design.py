"""``pkmodel design``: the largest or smallest value of a protocol's quantity for which rules hold."""

from __future__ import annotations

import shlex
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pkmodel import console
from pkmodel.cli.options import JsonFlag
from pkmodel.cli.running import Progress, cores, out_path
from pkmodel.errors import InputError, Problem

if TYPE_CHECKING:
    from pkmodel.dose_finding import Design


class Find(StrEnum):
    """Which value is looked for."""

    largest = "largest"
    smallest = "smallest"


def design(
    source: Annotated[str, typer.Argument(help="Name of a scenario or a protocol, or path of its file.")],
    parameter: Annotated[
        list[str], typer.Option(help="Quantity of the protocol: dose, over, phases[1].dose; two make a map.")
    ],
    rule: Annotated[list[str], typer.Option(help="Rule that must hold: id, name or path; may be repeated.")],
    arm: Annotated[str | None, typer.Option(help="Arm of the scenario, where it has several.")] = None,
    model: Annotated[str | None, typer.Option(help="Model, instead of the scenario's or the default one.")] = None,
    population: Annotated[str | None, typer.Option(help="Population, by name or path [adults_trials].")] = None,
    low: Annotated[
        list[str] | None, typer.Option("--from", help='Start of the range, such as "0.1 mg/kg"; one per parameter.')
    ] = None,
    high: Annotated[
        list[str] | None, typer.Option("--to", help='End of the range, such as "1 mg/kg"; one per parameter.')
    ] = None,
    side: Annotated[
        Find, typer.Option("--find", help="The largest value for which the rules hold, or the smallest.")
    ] = (Find.largest),
    n: Annotated[int | None, typer.Option("--n", help="Number of patients [that of the scenario, or 1000].")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed [that of the scenario, or 1].")] = None,
    points: Annotated[int, typer.Option(help="Values tried over the range before the answer is closed in on.")] = 17,
    jobs: Annotated[int | None, typer.Option(help="Threads [one per core]; the result does not depend on it.")] = None,
    output: Annotated[str | None, typer.Option("-o", "--out", help="Directory for the files.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Find the largest (smallest) dose, time or interval of a protocol for which rules hold in their shares.

    The same patients at every value. Without --from and --to the range goes from a tenth to four times of what the
    protocol has.
    """
    from pkmodel import design_files
    from pkmodel.specs.design import prepare

    starts, ends = low or [], high or []
    for option, given in (("--from", starts), ("--to", ends)):
        if len(given) > len(parameter):
            found = f"{len(given)} of them for {len(parameter)} parameter{'s' if len(parameter) > 1 else ''}"
            raise InputError(Problem(found, "one for each --parameter, in the same order", where=option))
    bounds = [
        (starts[index] if index < len(starts) else None, ends[index] if index < len(ends) else None)
        for index in range(len(parameter))
    ]
    request = prepare(
        source,
        parameter,
        rule,
        arm=arm,
        model=model,
        population=population,
        bounds=bounds,
        n=n,
        seed=seed,
        side=side.value,
        points=points,
    )
    folder = out_path(output)
    with Progress(points if len(parameter) > 1 else 1, quiet=as_json) as advance:
        done = design_files.run(
            request,
            folder,
            jobs=jobs if jobs is not None else cores(),
            progress=advance,
            command=shlex.join(["pkmodel", *sys.argv[1:]]),
        )
    if as_json:
        console.print_json(design_files.plain(done))
    else:
        _print(done, folder)


def _print(found: Design, folder: Path | None) -> None:
    """The answer, the shares about it, and what it rests on."""
    from pkmodel import design_figure
    from pkmodel.specs.clause import COMBINED
    from pkmodel.wording import described

    request, knob = found.request, found.knob
    (model,) = request.arm.models
    console.text(design_figure.headline(found), bold=True)
    console.text(f"{request.arm.name}: {request.arm.protocol.title}; the protocol has {knob.written.text}")
    console.text(f"Model {model.id} ({request.why_model}; evidence {model.evidence})")
    if found.feasible is not None:
        _print_map(found)
    else:
        said = {rule.id: described(rule) for rule in found.line.rules}
        for item in found.checked:
            window = "" if item.window == COMBINED else f", {item.window}"
            console.text(
                f"At {knob.label(found.stated or 0.0)} {item.n_met:,} of {item.n:,} patients "
                f"({100 * item.share:.1f} %, {100 * item.low:.1f}-{100 * item.high:.1f}) keep {item.rule}: "
                f"{said[item.rule]}{window}; "
                f"required {100 * item.required:g} %",
                indent=2,
            )
        if found.stated is not None and not found.answer.open:
            console.text(f"Beyond it gives way: {found.answer.binding}", indent=2)
    how = {
        "scaled": "levels are proportional to it: one run gives each patient's own value",
        "searched": f"{len(found.line.runs)} values were run, the same patients at each",
    }[found.method]
    console.text(f"How: {how}. Interval: {found.interval}.")
    console.text(f"n = {found.n:,} virtual patients, seed {request.scenario.spec.seed}.")
    for sentence in found.notes:
        console.text(f"Beware: {sentence}")
    console.end(folder, found.study.assumptions, found.study.warnings)


def _print_map(found: Design) -> None:
    """The answer at each value of the second parameter."""
    first, second = found.request.knobs
    assert found.others is not None
    rows = []
    for other, item in zip(found.others, found.boundary, strict=True):
        value = "none" if item.value is None else f"{item.value:.4g}" + (" or beyond" if item.open else "")
        ends = [f"{end:.4g}" if end is not None else "beyond" for end in (item.low, item.high)]
        shown = "" if item.value is None or item.open else f"{ends[0]} to {ends[1]}"
        rows.append(
            {
                second.name: second.label(float(other)),
                f"{found.request.side} {first.name} [{first.unit.text}]": value,
                "95 %": shown,
                "gives way": item.binding,
            }
        )
    console.table(rows, list(rows[0]))
