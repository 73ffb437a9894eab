"""``pkmodel compare``: protocols side by side, each on the model of its drug and route."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated

import typer

from pkmodel import console
from pkmodel.cli.options import JsonFlag
from pkmodel.cli.running import Progress, cores, out_path
from pkmodel.errors import InputError, Problem, shown


class Drug(StrEnum):
    """How a model of another drug than the protocol's is given the dose."""

    match = "match"
    own = "own"
    half = "half"


def compare(
    protocols: Annotated[
        list[str], typer.Argument(help="Names of protocols, or paths of protocol files; NAME=PROTOCOL names the arm.")
    ],
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="ARM=MODEL, instead of the default one of its drug and route; or MODEL alone, for every protocol: "
            "repeated, each protocol runs on each of them."
        ),
    ] = None,
    population: Annotated[
        list[str] | None,
        typer.Option(help="Population, by name or path; repeated, each has patients of its own [adults_trials]."),
    ] = None,
    drug: Annotated[
        Drug, typer.Option(help="How a model of another drug is given the dose: not, the same mg, or the S half.")
    ] = Drug.match,
    n: Annotated[int, typer.Option("--n", help="Number of patients.")] = 1000,
    seed: Annotated[int, typer.Option(help="Seed.")] = 1,
    jobs: Annotated[int | None, typer.Option(help="Threads [one per core]; the result does not depend on it.")] = None,
    effect: Annotated[list[str] | None, typer.Option(help="Effect to attach; may be repeated.")] = None,
    threshold: Annotated[
        list[str] | None,
        typer.Option(help='Level for the time above, such as "100 ng/mL"; may be repeated [100 ng/mL].'),
    ] = None,
    discharge: Annotated[
        str | None, typer.Option(help='When a patient may leave, such as "parent below 70 ng/mL".')
    ] = None,
    reference: Annotated[str | None, typer.Option(help="Arm that the others are held against [the first].")] = None,
    rule: Annotated[
        list[str] | None,
        typer.Option(help="Rule that is judged in every arm, by name or path, such as ceiling; may be repeated."),
    ] = None,
    output: Annotated[str | None, typer.Option("-o", "--out", help="Directory for the files.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Set protocols side by side in the same virtual patients: levels, times, drug used, hours in the clinic.

    An arm is called as its protocol. Without --model it runs on the default model of its drug and routes. Several
    --model MODEL set one protocol side by side on several models, several --population in several groups of patients,
    who are then not paired.
    """
    from pkmodel import comparison_files
    from pkmodel.cli import compare_page
    from pkmodel.specs.comparison import prepare

    request = prepare(
        protocols,
        models=_models([word for word in model or [] if "=" in word]),
        on=[word for word in model or [] if "=" not in word],
        population=population or "adults_trials",
        drug=drug.value,
        n=n,
        seed=seed,
        effects=effect or [],
        thresholds=threshold or [],
        discharge=discharge,
        reference=reference,
        rules=rule or [],
    )
    folder = out_path(output)
    with Progress(n * len(request.scenarios), quiet=as_json) as advance:
        found = comparison_files.run(
            request,
            folder,
            jobs=jobs if jobs is not None else cores(),
            progress=advance,
            command=shlex.join(["pkmodel", *sys.argv[1:]]),
        )
    if as_json:
        console.print_json(comparison_files.plain(found))
    else:
        compare_page.show(found, folder)


def _models(words: Sequence[str]) -> dict[str, str]:
    """``ARM=MODEL`` by arm. Raises InputError for anything else, and for an arm a second time."""
    found: dict[str, str] = {}
    for word in words:
        arm, equals, name = (part.strip() for part in word.partition("="))
        if not (arm and equals and name):
            raise InputError(Problem(shown(word), "ARM=MODEL", where="--model"))
        if arm in found:
            raise InputError(Problem(f"{arm} a second time", "one model for each arm", where="--model"))
        found[arm] = name
    return found
