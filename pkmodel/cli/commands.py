"""``pkmodel run``, ``simulate`` and ``check``."""

from __future__ import annotations

import shlex
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pkmodel import console
from pkmodel.cli import effects, large, library, page, running, several
from pkmodel.cli.compare import compare
from pkmodel.cli.design import design
from pkmodel.cli.lessons import lessons
from pkmodel.cli.options import (
    Age,
    Ancestry,
    Cyp2b6,
    Drug,
    Height,
    Hepatic,
    JsonFlag,
    Severity,
    Sex,
    Weight,
    patient_of,
)
from pkmodel.cli.report import make_report
from pkmodel.cli.schema import schema
from pkmodel.cli.selftest import selftest
from pkmodel.cli.sensitivity import sensitivity
from pkmodel.cli.suggest import suggest
from pkmodel.cli.verify import verify
from pkmodel.disclaimer import NOT_FOR_CARE
from pkmodel.errors import InputError, Problem
from pkmodel.whole import whole

if TYPE_CHECKING:
    from pkmodel.ledger import Ledger
    from pkmodel.simulation import Result
    from pkmodel.specs.protocol import ProtocolSpec

app = typer.Typer(
    help=f"Simulate ketamine and esketamine dosing. {NOT_FOR_CARE}",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _tell_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"pkmodel {version('pkmodel')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Print it.")
    ] = False,
) -> None:
    pass


app.add_typer(library.models, name="models")
app.add_typer(effects.effects, name="effects")
app.add_typer(library.protocols, name="protocols")
app.add_typer(library.scenarios, name="scenarios")
app.add_typer(library.populations, name="populations")
app.add_typer(lessons, name="lessons")
app.command()(verify)
app.command()(compare)
app.command()(design)
app.command()(sensitivity)
app.command()(suggest)
app.command()(schema)
app.command()(selftest)
app.command()(large.merge)
app.command()(large.replay)
app.command()(page.app)
app.command("report")(make_report)


class FailOn(StrEnum):
    """Which verdicts make ``run`` end with exit code 1."""

    broken = "broken"
    undecided = "undecided"


class Engine(StrEnum):
    """How levels are computed."""

    auto = "auto"
    propagator = "propagator"
    ode = "ode"


UseEngine = Annotated[Engine, typer.Option(help="auto: exact where the model is linear; ode: the solver, to compare.")]
Tolerance = Annotated[float, typer.Option(help="Relative error that the ODE solver keeps a step under.")]


class Metrics(StrEnum):
    """What metrics.parquet holds."""

    rules = "rules"
    all = "all"


@app.command()
def run(
    scenario: Annotated[str, typer.Argument(help="Name of a scenario, or path of a scenario file.")],
    output: Annotated[
        str | None, typer.Option("-o", "--out", help="Directory for the files [results/SCENARIO].")
    ] = None,
    n: Annotated[int | None, typer.Option("--n", help="Number of patients, instead of the scenario's.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed, instead of the scenario's.")] = None,
    jobs: Annotated[int | None, typer.Option(help="Threads [one per core]; the result does not depend on it.")] = None,
    model: Annotated[list[str] | None, typer.Option(help="Model for every arm; may be repeated.")] = None,
    engine: UseEngine = Engine.auto,
    tolerance: Tolerance = 1e-8,
    metrics: Annotated[Metrics, typer.Option(help="Metrics to write: those of the rules, or all.")] = Metrics.rules,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse what is outside a model's range.")] = False,
    fail_on: Annotated[
        FailOn | None, typer.Option(help="Exit with 1 on such a verdict (undecided: on either).")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the unfinished run in --out.")] = False,
    shard: Annotated[str | None, typer.Option(help="Only this part of the run, such as 3/16; for `merge`.")] = None,
    scheduler: Annotated[
        str | None, typer.Option(help="Address of a Dask scheduler, tcp://HOST:PORT, whose workers compute.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Run a scenario: virtual patients through every arm, held against its rules."""
    from pkmodel import report, run_files
    from pkmodel.engine import Numerics
    from pkmodel.specs.library import load_scenario

    if resume and large.is_begun(scenario):
        large.go_on(Path(scenario), jobs=jobs, scheduler=scheduler, as_json=as_json)
        return
    loaded = load_scenario(scenario).with_options(n=n, seed=seed)
    if model:
        loaded = loaded.with_models(model)
    folder = running.out_path(output) or running.own_folder(loaded.id)
    numerics = Numerics(engine=engine.value, tolerance=tolerance)
    asked = large.Asked(jobs, strict, metrics is Metrics.all, numerics, resume, scheduler)
    if shard is not None:
        large.run_shard(loaded, folder, shard, asked, as_json=as_json)
        return
    with running.Progress(loaded.spec.n, quiet=as_json) as advance:
        command = shlex.join(["pkmodel", *sys.argv[1:]])
        study = report.run(loaded, folder, progress=advance, command=command, **asked.keywords())
    if as_json:
        console.print_json(run_files.findings_json(study))
    else:
        console.study(study, folder)
    verdicts = {finding.verdict for finding in study.results}
    if fail_on and ("broken" in verdicts or (fail_on is FailOn.undecided and "undecided" in verdicts)):
        raise typer.Exit(1)


@app.command()
def simulate(
    protocol: Annotated[str, typer.Argument(help="Name of a protocol, or path of a protocol file.")],
    model: Annotated[list[str], typer.Option(help="Name of a model, or path of a model file; may be repeated.")],
    effect: Annotated[list[str] | None, typer.Option(help="Effect to attach to the model; may be repeated.")] = None,
    weight: Weight = None,
    age: Age = None,
    height: Height = None,
    sex: Sex = None,
    ancestry: Ancestry = "other",
    cyp2b6_activity: Cyp2b6 = 1.0,
    hepatic_impairment: Hepatic = 0.0,
    severity: Severity = None,
    until: Annotated[str | None, typer.Option(help='How long, such as "24 h" [24 h after the last session].')] = None,
    every: Annotated[str, typer.Option(help="Step of the table and the curve.")] = "5 min",
    drug: Annotated[Drug, typer.Option(help="own: the mg as the model's own drug; half: the S half.")] = Drug.match,
    engine: UseEngine = Engine.auto,
    tolerance: Tolerance = 1e-8,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse what is outside the model's range.")] = False,
    output: Annotated[str | None, typer.Option("-o", "--out", help="File: .csv, .parquet or .png.")] = None,
    ledger: Annotated[str | None, typer.Option(help="Write what a clinic decided, and when: .csv or .parquet.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Simulate one patient with typical parameters, under one model or several."""
    from pkmodel import simulation
    from pkmodel.engine import Numerics
    from pkmodel.specs.library import load_model, load_protocol

    file = running.out_file(output, (".csv", ".parquet", ".png"))
    ledger_file = running.out_file(ledger, (".csv", ".parquet"), "--ledger")
    patient = patient_of(weight, age, height, sex, ancestry, cyp2b6_activity, hepatic_impairment, severity)
    spec = load_protocol(protocol)
    if ledger is not None:
        _check_ledger(spec, model)
    results = [
        simulation.simulate(
            spec,
            load_model(name),
            patient,
            until=until,
            every=every,
            drug=drug.value,
            strict=strict,
            numerics=Numerics(engine=engine.value, tolerance=tolerance),
            effects=effect or [],
        )
        for name in model
    ]
    if len(results) > 1:
        several.report(results, file, as_json=as_json)
        return
    (result,) = results
    if file is not None:
        _save(result, file)
    if ledger_file is not None and result.ledger is not None:
        _save_ledger(result.ledger, ledger_file)
    if as_json:
        head = {"disclaimer": NOT_FOR_CARE, **several.head_of(result), "warnings": result.warnings}
        decided = {} if result.ledger is None else {"decided": result.ledger.decided(0)}
        console.print_json({**head, "sessions": several.rows_of(result), **decided})
    elif file is None:
        console.sessions(result, several.rows_of(result))
        if result.ledger is not None:
            console.decided(result.ledger.decided(0))
    for sentence in result.warnings:
        console.note(f"note: {sentence}")
    if file is not None:
        count = len(result.network.output_names) + len(result.network.effects)
        console.note(f"{file}: {result.time.size:,} times, outputs: {count}. {NOT_FOR_CARE}")


def _check_ledger(protocol: ProtocolSpec, models: list[str]) -> None:
    if not protocol.decides:
        raise InputError(
            Problem("--ledger", "a protocol with clinic or adherence: this one decides nothing", "--ledger")
        )
    if len(models) > 1:
        raise InputError(Problem(f"--ledger with {len(models)} models", "one model", "--ledger"))


def _save_ledger(ledger: Ledger, file: Path) -> None:
    with whole(file) as part:
        table = ledger.to_pandas()
        if file.suffix == ".csv":
            table.to_csv(part, index=False, lineterminator="\n")
        else:
            table.to_parquet(part, index=False)
    console.note(f"{file}: {len(table):,} rows. {NOT_FOR_CARE}")


def _save(result: Result, file: Path) -> None:
    """Write a result whole or not at all."""
    with whole(file) as part:
        if file.suffix == ".png":
            from pkmodel import figures

            figures.result_figure(result).savefig(part, dpi=130, format="png")
        elif file.suffix == ".csv":
            result.to_pandas().to_csv(part, index=False, lineterminator="\n")
        else:
            result.to_pandas().to_parquet(part, index=False)


@app.command()
def check(files: Annotated[list[Path], typer.Argument(help="YAML files of any kind.")]) -> None:
    """Check files without running them; every mistake is printed with its line, and what looks like one."""
    from pkmodel.specs.kinds import examine_file

    problems: list[Problem] = []
    for file in files:
        try:
            kind, doubts = examine_file(file)
            console.out.print(f"{file}: a valid {kind}", markup=False, soft_wrap=True)
            for doubt in doubts:
                console.note(f"warning: {doubt}")
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
