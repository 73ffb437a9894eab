"""``pkmodel design``: the largest (smallest) value of a protocol's quantity for which rules hold."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from pkmodel import console
from pkmodel.cli.options import JsonFlag
from pkmodel.cli.running import cores, out_path
from pkmodel.console import NOT_FOR_CARE

if TYPE_CHECKING:
    from pkmodel.design import Design, End, Map


def design(
    source: Annotated[str, typer.Argument(metavar="SCENARIO|PROTOCOL", help="Name or path.")],
    parameter: Annotated[
        list[str], typer.Option(help="Quantity of the protocol, such as dose or phases[1].over; two make a map.")
    ],
    rule: Annotated[
        list[str] | None, typer.Option(help="Rule that must hold; may be repeated [those of the scenario].")
    ] = None,
    arm: Annotated[str | None, typer.Option(help="Arm of the scenario.")] = None,
    model: Annotated[
        str | None, typer.Option(help="Model [the scenario's; the default one of drug and routes].")
    ] = None,
    population: Annotated[str | None, typer.Option(help="Population, with a protocol [adults_trials].")] = None,
    effect: Annotated[
        list[str] | None, typer.Option(help="Effect to attach, with a protocol; may be repeated.")
    ] = None,
    low: Annotated[list[str] | None, typer.Option("--from", help="Start of the range [0.2 times the present].")] = None,
    high: Annotated[list[str] | None, typer.Option("--to", help="End of the range [4 times the present].")] = None,
    n: Annotated[int | None, typer.Option("--n", help="Number of patients [the scenario's; 2000].")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed [the scenario's; 1].")] = None,
    jobs: Annotated[int | None, typer.Option(help="Threads [one per core]; the result does not depend on it.")] = None,
    output: Annotated[str | None, typer.Option("-o", "--out", help="Directory for the files.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Find the values of a protocol's quantity for which rules hold, with an interval; two quantities make a map.

    The same virtual patients are given every value.
    """
    from pkmodel import design as search
    from pkmodel import design_files
    from pkmodel.design_task import prepare

    task = prepare(
        source,
        parameters=parameter,
        rules=rule or [],
        arm=arm,
        model=model,
        population=population,
        effects=effect or [],
        lows=low or [],
        highs=high or [],
        n=n,
        seed=seed,
    )
    folder, threads = out_path(output), jobs if jobs is not None else cores()
    found = search.search(task, jobs=threads) if len(task.knobs) == 1 else search.chart(task, jobs=threads)
    if folder is not None:
        design_files.write(found, folder, shlex.join(["pkmodel", *sys.argv[1:]]))
    if as_json:
        console.print_json(design_files.plain(found))
        return
    _print(found)
    if folder is not None:
        console.text(f"Files in {folder}: {', '.join(design_files.FILES)}")
    console.text(NOT_FOR_CARE)


def _print(found: Design | Map) -> None:
    from pkmodel.design import Design
    from pkmodel.design_figure import title
    from pkmodel.findings import described

    task, study = found.task, found.study
    assert study is not None
    console.text(title(task), bold=True)
    for rule in task.scenario.spec.rules:
        console.text(f"{rule.id}: {described(rule)} in {rule.share.text} of patients")
    if isinstance(found, Design):
        _answer(found)
    else:
        _map(found)
    model = study.cases[0].model
    console.text(f"n = {study.n:,} virtual patients, seed {study.scenario.spec.seed}, the same at every value.")
    console.text(f"Model {model.id}: evidence {model.evidence}. {model.source.citation}")
    for sentence in study.assumptions:
        console.text(f"Assumed or borrowed: {sentence}")
    for sentence in study.warnings:
        console.note(f"warning: {sentence}")


def _answer(found: Design) -> None:
    knob = found.knob
    low, high = found.task.ranges[0]
    console.text(f"Range looked through: {low:.4g} to {high:.4g} {knob.unit} (now {knob.now.text})")
    for end in found.ends:
        console.text(
            f"{end.side.capitalize()} {knob.name}: {end.value:.4g} {knob.unit}, {_interval(end, knob.unit)}", bold=True
        )
    if found.pieces and not found.ends:
        console.text("Every value of the range keeps the rules.", bold=True)
    for sentence in found.cautions:
        console.text(f"Beware: {sentence}")


def _interval(end: End, unit: str) -> str:
    if end.low is None and end.high is None:
        return "the interval reaches beyond the range on both sides"
    low = "below the range" if end.low is None else f"{end.low:.4g}"
    high = "beyond the range" if end.high is None else f"{end.high:.4g} {unit}"
    return f"95 % interval {low} to {high} (simulation error only: between its ends so many patients do not decide)"


def _map(found: Map) -> None:
    first, second = found.task.knobs
    feasible = int((found.margin >= 0).sum())
    console.text(f"Every rule holds at {feasible} of {found.margin.size} points:", bold=True)
    for place, value in enumerate(found.axes[1]):
        good = [found.axes[0][index] for index in range(len(found.axes[0])) if found.margin[place, index] >= 0]
        said = f"{min(good):.4g} to {max(good):.4g} {first.unit}" if good else "none"
        console.text(f"{second.name} {value:.4g} {second.unit}: {first.name} {said}", indent=2)
