"""``pkmodel sensitivity``: which covariates and random effects drive a metric, or the failure of a rule."""

from __future__ import annotations

import shlex
import sys
from enum import StrEnum
from typing import Annotated

import typer

from pkmodel import console
from pkmodel.cli.options import JsonFlag
from pkmodel.cli.running import Progress, out_path


class Method(StrEnum):
    """How inputs are weighed."""

    sobol = "sobol"
    morris = "morris"


def sensitivity(
    source: Annotated[str, typer.Argument(help="Name of a scenario or a protocol, or path of its file.")],
    metric: Annotated[str | None, typer.Option(help="Metric of the parent drug [peak].")] = None,
    rule: Annotated[str | None, typer.Option(help="Rule whose failure is looked at, instead of a metric.")] = None,
    method: Annotated[
        Method, typer.Option(help="sobol: shares of the variance; morris: mean absolute change.")
    ] = Method.sobol,
    arm: Annotated[str | None, typer.Option(help="Arm of the scenario, where it has several.")] = None,
    model: Annotated[str | None, typer.Option(help="Model, instead of the scenario's or the default one.")] = None,
    population: Annotated[str | None, typer.Option(help="Population, by name or path [adults_trials].")] = None,
    n: Annotated[int, typer.Option("--n", help="Patients in each of the two populations.")] = 2000,
    seed: Annotated[int | None, typer.Option(help="Seed [that of the scenario, or 1].")] = None,
    output: Annotated[str | None, typer.Option("-o", "--out", help="Directory for the files.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Weigh covariates and random effects by what they do to a metric, or to the failure of a rule."""
    from pkmodel import sensitivity_figure, sensitivity_files
    from pkmodel.specs.design import explored

    scenario, metric = explored(source, metric, rule, arm=arm, model=model, population=population)
    scenario = scenario.with_options(n=n, seed=seed)
    folder = out_path(output)
    with Progress(n, quiet=as_json) as advance:
        found = sensitivity_files.run(
            scenario,
            folder,
            metric=metric,
            rule=None if rule is None else scenario.spec.rules[0].id,
            method=method.value,
            progress=advance,
            command=shlex.join(["pkmodel", *sys.argv[1:]]),
        )
    if as_json:
        console.print_json(sensitivity_files.plain(found))
        return
    unit = f" {found.unit}" if found.unit else ""
    console.text(f"What drives the {found.what}", bold=True)
    console.text(f"{found.case.arm.name}: {found.case.arm.protocol.title}")
    console.text(f"Mean {found.mean:.4g}{unit}, SD {found.sd:.3g}{unit} over patients")
    rows = []
    for row in found.rows:
        line = {"input": row.input, "kind": row.kind}
        if row.first is not None:
            line |= {"alone": _share(row.first, row.first_low, row.first_high)}
            line |= {"with interactions": _share(row.total, row.total_low, row.total_high)}
        else:
            line |= {"mean change": f"{row.total:.3g}{unit} ({row.total_low:.3g} to {row.total_high:.3g})"}
        rows.append(line)
    console.table(rows, list(rows[0]))
    console.text(f"{sensitivity_figure.HOW[found.method]}. Intervals: {sensitivity_files.HOLDS}.")
    for sentence in found.notes:
        console.text(f"Note: {sentence}")
    model_spec = found.case.model
    console.text(f"Model {model_spec.id}: evidence {model_spec.evidence}. n = {found.n:,}, seed {scenario.spec.seed}.")
    console.end(folder, found.study.assumptions)


def _share(value: float, low: float | None, high: float | None) -> str:
    return f"{100 * value:.1f} % ({100 * (low or 0.0):.1f} to {100 * (high or 0.0):.1f})"
