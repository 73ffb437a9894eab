"""The command line: ``pkmodel run``, ``simulate``, ``check``, and lists of what is shipped.

Results go to standard output, messages to standard error. Exit codes: 0 it ran, 1 a check failed, 2 the input is
wrong, 3 the run failed, 130 interrupted.
"""

from __future__ import annotations

import json
import shlex
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pkmodel.errors import InputError, PkmodelError, Problem, RunError

if TYPE_CHECKING:
    from pkmodel.population import Patient
    from pkmodel.simulation import Result
    from pkmodel.specs.scenario import Rule
    from pkmodel.study import Study

# The class that click, or typer with a click of its own, raises for a wrong option.
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]

NOT_FOR_CARE = "For research and teaching only. Not for patient care."

app = typer.Typer(
    help=f"Simulate ketamine and esketamine dosing. {NOT_FOR_CARE}",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
out = Console(soft_wrap=False)
err = Console(stderr=True, soft_wrap=True, highlight=False)


class FailOn(StrEnum):
    """Which verdicts make ``run`` end with exit code 1."""

    broken = "broken"
    undecided = "undecided"


class Engine(StrEnum):
    """How levels are computed."""

    propagator = "propagator"


class Metrics(StrEnum):
    """What metrics.parquet holds."""

    rules = "rules"
    all = "all"


class DrugMode(StrEnum):
    """How a protocol's drug meets the model's."""

    match = "match"
    own = "own"
    half = "half"


JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Weight = Annotated[str | None, typer.Option(help='Body weight, such as "82 kg".')]
Age = Annotated[str | None, typer.Option(help='Age, such as "45 y".')]
Height = Annotated[str | None, typer.Option(help='Height, such as "175 cm".')]
Sex = Annotated[str | None, typer.Option(help="female or male.")]
Ancestry = Annotated[str, typer.Option(help="other, asian or japanese.")]


@app.command()
def run(
    scenario: Annotated[str, typer.Argument(help="Name of a scenario, or path of a scenario file.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--out", help="Directory for the files [results/SCENARIO].")
    ] = None,
    n: Annotated[int | None, typer.Option("--n", help="Number of patients, instead of the scenario's.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed, instead of the scenario's.")] = None,
    jobs: Annotated[int, typer.Option(help="Threads; the result does not depend on it.")] = 1,
    model: Annotated[list[str] | None, typer.Option(help="Model for every arm; may be repeated.")] = None,
    engine: Annotated[Engine, typer.Option(help="How levels are computed.")] = Engine.propagator,
    metrics: Annotated[Metrics, typer.Option(help="Metrics to write: those of the rules, or all.")] = Metrics.rules,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse what is outside a model's range.")] = False,
    fail_on: Annotated[
        FailOn | None, typer.Option(help="Exit with 1 on such a verdict (undecided: on either).")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Run a scenario: virtual patients through every arm, held against its rules."""
    from pkmodel import report
    from pkmodel.specs.library import load_scenario

    loaded = load_scenario(scenario).with_options(n=n, seed=seed)
    if model:
        loaded = loaded.with_models(model)
    folder = output if output is not None else Path("results") / loaded.id
    with _progress(loaded.spec.n, quiet=as_json) as advance:
        study = report.run(
            loaded,
            folder,
            jobs=jobs,
            strict=strict,
            all_metrics=metrics is Metrics.all,
            progress=advance,
            command=shlex.join(["pkmodel", *sys.argv[1:]]),
        )
    if as_json:
        _print_json(report.findings_json(study))
    else:
        _show_study(study, folder)
    verdicts = {finding.verdict for finding in study.results}
    if fail_on and ("broken" in verdicts or (fail_on is FailOn.undecided and "undecided" in verdicts)):
        raise typer.Exit(1)


class _progress:
    """A progress bar with the time left on standard error; nothing where it is not a terminal."""

    def __init__(self, total: int, *, quiet: bool):
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("patients"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("time left"),
            TimeRemainingColumn(),
        )
        self.bar = Progress(*columns, console=err, transient=True, disable=quiet or not err.is_terminal)
        self.task = self.bar.add_task("run", total=total)

    def __enter__(self) -> Any:
        self.bar.start()
        return lambda done, total: self.bar.update(self.task, completed=done)

    def __exit__(self, *_: object) -> None:
        self.bar.stop()


def _show_study(study: Study, folder: Path) -> None:
    spec = study.scenario.spec
    out.print(f"[bold]{escape(spec.title)}[/bold]")
    if spec.question:
        out.print(escape(spec.question))
    _show_findings(study)
    out.print(f"n = {study.n:,} virtual patients, seed {spec.seed}. Intervals hold simulation error only.")
    for case in {case.model.id: case for case in study.cases}.values():
        out.print(f"Model {case.model.id}: evidence {case.model.evidence}. {escape(case.model.source.citation)}")
    for sentence in study.assumptions:
        out.print(f"Assumed or borrowed: {escape(sentence)}")
    for sentence in study.warnings:
        err.print(f"warning: {escape(sentence)}")
    out.print(f"Files in {escape(str(folder))}: {', '.join(sorted(f.name for f in folder.iterdir() if f.is_file()))}")
    out.print(NOT_FOR_CARE)


def _show_findings(study: Study) -> None:
    """One line per rule and window, and under it one per arm (and model)."""
    several = len({case.model.id for case in study.cases}) > 1
    names = {id(found): found.arm + (f" ({found.model})" if several else "") for found in study.results}
    widths = {"arm": max(map(len, names.values())) + 2, "kept by": 8, "95 % interval": 14, "required": 8, "verdict": 9}
    colours = {"met": "green", "broken": "red", "undecided": "yellow"}
    first = True
    for rule in study.scenario.spec.rules:
        for window in dict.fromkeys(found.window for found in study.results if found.rule == rule.id):
            table = Table(box=None, pad_edge=False, header_style="dim", show_header=first)
            for head, width in widths.items():
                left = head in ("arm", "verdict")
                table.add_column(head, justify="left" if left else "right", no_wrap=True, min_width=width)
            for found in study.results:
                if (found.rule, found.window) == (rule.id, window):
                    row = [f"  {names[id(found)]}", f"{100 * found.share:.1f} %"]
                    row += [f"{100 * found.low:.1f}-{100 * found.high:.1f} %", f"{100 * found.required:g} %"]
                    table.add_row(*(escape(cell) for cell in row), f"[{colours[found.verdict]}]{found.verdict}[/]")
            out.print(f"[bold]{rule.id}[/bold]: {escape(_described(rule))}, {window}", highlight=False)
            out.print(table)
            first = False


def _described(rule: Rule) -> str:
    """A rule in words, such as ``time above 150 ng/mL of parent at most 30 min``."""
    what = f"{rule.metric.replace('_', ' ')}{f' {rule.threshold.text}' if rule.threshold else ''} of {rule.output}"
    if rule.at is not None:
        what = f"level of {rule.output} {rule.at.text.replace('_', ' ')}"
    return f"{what} {'at most' if rule.upper else 'at least'} {rule.limit.text}"


@app.command()
def simulate(
    protocol: Annotated[str, typer.Argument(help="Name of a protocol, or path of a protocol file.")],
    model: Annotated[str, typer.Option(help="Name of a model, or path of a model file.")],
    weight: Weight = None,
    age: Age = None,
    height: Height = None,
    sex: Sex = None,
    ancestry: Ancestry = "other",
    until: Annotated[str | None, typer.Option(help='How long, such as "24 h" [24 h after the last session].')] = None,
    every: Annotated[str, typer.Option(help="Step of the table and the curve.")] = "5 min",
    drug: Annotated[
        DrugMode, typer.Option(help="own: the mg as the model's own drug; half: the S half.")
    ] = DrugMode.match,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse what is outside the model's range.")] = False,
    output: Annotated[Path | None, typer.Option("-o", "--out", help="File: .csv, .parquet or .png.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Simulate one patient with typical parameters."""
    from pkmodel import simulation
    from pkmodel.specs.library import load_model, load_protocol

    if output is not None and output.suffix not in (".csv", ".parquet", ".png"):
        raise InputError(Problem(str(output), "a file name that ends in .csv, .parquet or .png", "--out"))
    patient = _patient(weight, age, height, sex, ancestry)
    result = simulation.simulate(
        load_protocol(protocol), load_model(model), patient, until=until, every=every, drug=drug.value, strict=strict
    )
    if output is not None:
        _save(result, output)
    table = result.sessions()
    if as_json:
        rows = table.to_dict(orient="records")
        _print_json(
            {"disclaimer": NOT_FOR_CARE, "model": result.model.id, "warnings": result.warnings, "sessions": rows}
        )
        return
    if output is None:
        _show_sessions(result, table)
    for sentence in result.warnings:
        err.print(f"note: {escape(sentence)}")
    if output is not None:
        err.print(f"{output}: {result.time.size:,} times, {len(result.network.output_names)} outputs. {NOT_FOR_CARE}")


def _patient(weight: str | None, age: str | None, height: str | None, sex: str | None, ancestry: str) -> Patient:
    from pkmodel.population import Patient

    return Patient(weight=weight, age=age, height=height, sex=sex, ancestry=ancestry)


def _save(result: Result, file: Path) -> None:
    """Write a result whole or not at all."""
    part = file.with_name(f".{file.name}.part")
    try:
        if file.suffix == ".png":
            from pkmodel import plots

            plots.result_figure(result).savefig(part, dpi=130, format="png")
        elif file.suffix == ".csv":
            result.to_pandas().to_csv(part, index=False, lineterminator="\n")
        else:
            result.to_pandas().to_parquet(part, index=False)
        part.replace(file)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise InputError(Problem(f"{file}: {error.strerror or error}", "a file that can be written", "--out")) from None


def _show_sessions(result: Result, table: Any) -> None:
    from pkmodel import units

    out.print(f"[bold]{escape(result.protocol.title if result.protocol else '')}[/bold]  on {result.model.id}")
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for head in ("session", "day", "phase", "dose [mg]", "output", "peak", "at", "AUC [unit h]", "before dose", "unit"):
        shown.add_column(head, justify="left" if head in ("phase", "output", "unit") else "right")
    for row in table.itertuples():
        shown.add_row(
            str(row.session),
            f"{row.start_h / 24 + 1:g}",
            escape(row.phase),
            f"{row.dose_mg:.4g}",
            row.output,
            f"{row.peak:.4g}",
            units.clock(row.time_of_peak),
            f"{row.auc:.4g}",
            f"{row.trough:.3g}",
            row.unit,
        )
    out.print(shown)
    out.print(f"AUC until the next session (24 h after the last). {NOT_FOR_CARE}")


def _listing(kind: str, name_key: str = "name") -> typer.Typer:
    return typer.Typer(no_args_is_help=False, invoke_without_command=True, rich_markup_mode=None, help=kind)


models_app = _listing("List models with citation and evidence; `models show NAME` prints one.")
protocols_app = _listing("List protocols; `protocols show NAME` prints one for a patient.")
scenarios_app = _listing("List scenarios; `scenarios show NAME` prints the file.")
populations_app = _listing("List populations; `populations show NAME` prints the file.")
for _name, _sub in (
    ("models", models_app),
    ("protocols", protocols_app),
    ("scenarios", scenarios_app),
    ("populations", populations_app),
):
    app.add_typer(_sub, name=_name)


@models_app.callback()
def models(context: typer.Context, as_json: JsonFlag = False) -> None:
    """List models with citation and evidence; `models show NAME` prints one."""
    if context.invoked_subcommand:
        return
    from pkmodel.specs.library import load_model
    from pkmodel.specs.loading import library

    rows = []
    for name in library("models"):
        model = load_model(name)
        variability = "none"
        if model.variability.between_subject.effects:
            borrowed = model.variability.borrowed
            variability = f"borrowed from {borrowed}" if borrowed else "between-subject"
        rows.append(
            {
                "name": name,
                "drug": model.drug,
                "evidence": model.evidence,
                "routes": list(model.routes),
                "outputs": list(model.outputs),
                "sampling": model.sampling,
                "variability": variability,
                "citation": model.source.citation,
                "doi": model.source.doi,
                "title": model.title,
            }
        )
    _list(rows, ("name", "evidence", "drug", "routes", "outputs", "variability", "citation"), as_json)


@models_app.command("show")
def models_show(name: Annotated[str, typer.Argument()], as_json: JsonFlag = False) -> None:
    """Print a model: its numbers with their places in the paper, and its notes."""
    from pkmodel.specs.library import load_model

    model = load_model(name)
    if as_json:
        rows = {
            key: {
                "value": item.value.text if item.value else None,
                "conversion": item.conversion.text if item.conversion else None,
                "from": item.origin,
            }
            for key, item in model.parameters.items()
        }
        _print_json(
            {
                "name": model.id,
                "evidence": model.evidence,
                "citation": model.source.citation,
                "doi": model.source.doi,
                "parameters": rows,
                "assumptions": model.assumptions,
                "notes": model.notes,
            }
        )
        return
    out.print(f"[bold]{model.id}[/bold]  {escape(model.title)}")
    out.print(f"{escape(model.source.citation)}  doi {model.source.doi}")
    out.print(f"Evidence: {model.evidence}; {model.sampling} sampling; {escape(model.population.description)}")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for head in ("parameter", "value", "between subjects", "from"):
        table.add_column(head)
    effects = model.variability.between_subject.effects
    for key, item in model.parameters.items():
        value = item.value.text if item.value else f"= {item.conversion.text}" if item.conversion else ""
        spread = ""
        if key in effects:
            effect = effects[key]
            spread = f"eta of {effect.eta}" if effect.eta else f"{effect.transform}, variance {effect.variance:.4g}"
        table.add_row(key, escape(value), spread, escape(item.origin))
    out.print(table)
    for sentence in [*model.assumptions, *model.notes]:
        out.print(f"- {escape(sentence)}")
    out.print(NOT_FOR_CARE)


@protocols_app.callback()
def protocols(context: typer.Context, as_json: JsonFlag = False) -> None:
    """List protocols; `protocols show NAME` prints one for a patient."""
    if context.invoked_subcommand:
        return
    from pkmodel.specs.library import load_protocol
    from pkmodel.specs.loading import library

    rows = []
    for name in library("protocols"):
        spec = load_protocol(name)
        evidence = spec.source.evidence if spec.source else None
        citation = spec.source.citation if spec.source else ""
        row = {"name": name, "drug": spec.drug, "routes": spec.routes, "sessions": len(spec.plan())}
        rows.append({**row, "evidence": evidence, "title": spec.title, "citation": citation})
    _list(rows, ("name", "drug", "routes", "sessions", "evidence", "title"), as_json)


@protocols_app.command("show")
def protocols_show(
    name: Annotated[str, typer.Argument()],
    weight: Weight = None,
    age: Age = None,
    height: Height = None,
    sex: Sex = None,
    as_json: JsonFlag = False,
) -> None:
    """Print the course of a protocol, session by session; with a weight, in mg."""
    from pkmodel.schedule import course_for
    from pkmodel.specs.library import load_protocol

    spec = load_protocol(name)
    patient = _patient(weight, age, height, sex, "other").population() if weight is not None else None
    rows = course_for(spec, patient.values() if patient is not None else None)
    if as_json:
        _print_json({"protocol": name, "title": spec.title, "disclaimer": NOT_FOR_CARE, "sessions": rows})
        return
    out.print(f"[bold]{escape(spec.title)}[/bold]")
    if spec.source:
        out.print(f"{escape(spec.source.citation)}  (evidence: {spec.source.evidence or 'not stated'})")
    _table(rows, tuple(rows[0]))
    for note in spec.notes:
        out.print(f"- {escape(note)}")
    out.print(NOT_FOR_CARE)


@scenarios_app.callback()
def scenarios(context: typer.Context, as_json: JsonFlag = False) -> None:
    """List scenarios; `scenarios show NAME` prints the file."""
    if context.invoked_subcommand:
        return
    from pkmodel.specs.library import load_scenario
    from pkmodel.specs.loading import library

    rows = []
    for name in library("scenarios"):
        loaded = load_scenario(name)
        named = list(dict.fromkeys(model.id for arm in loaded.arms for model in arm.models))
        row = {"name": name, "arms": [arm.name for arm in loaded.arms], "models": named, "n": loaded.spec.n}
        rows.append({**row, "title": loaded.spec.title, "question": loaded.spec.question})
    _list(rows, ("name", "arms", "models", "n", "title"), as_json)


@scenarios_app.command("show")
def scenarios_show(name: Annotated[str, typer.Argument()]) -> None:
    """Print a scenario file."""
    _print_file("scenarios", name)


@populations_app.callback()
def populations(context: typer.Context, as_json: JsonFlag = False) -> None:
    """List populations; `populations show NAME` prints the file."""
    if context.invoked_subcommand:
        return
    from pkmodel.specs.library import load_population
    from pkmodel.specs.loading import library

    rows = []
    for name in library("populations"):
        spec = load_population(name)
        rows.append({"name": name, "title": spec.title, "source": spec.source.citation if spec.source else ""})
    _list(rows, ("name", "title", "source"), as_json)


@populations_app.command("show")
def populations_show(name: Annotated[str, typer.Argument()]) -> None:
    """Print a population file."""
    _print_file("populations", name)


@app.command()
def check(files: Annotated[list[Path], typer.Argument(help="YAML files of any kind.")]) -> None:
    """Check files without running them; every mistake is printed with its line."""
    from pkmodel.specs.library import check_file

    problems: list[Problem] = []
    for file in files:
        try:
            out.print(f"{escape(str(file))}: a valid {check_file(file)}")
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)


def _print_file(kind: str, name: str) -> None:
    from pkmodel.specs.loading import find
    from pkmodel.specs.yaml_tree import read_yaml

    out.print(read_yaml(find(kind, name)).text, markup=False, highlight=False)


def _list(rows: list[dict[str, Any]], columns: tuple[str, ...], as_json: bool) -> None:
    if as_json:
        _print_json(rows)
    else:
        _table(rows, columns)


def _table(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column.replace("_", " "), overflow="fold")
    for row in rows:
        cells = [row[column] for column in columns]
        table.add_row(
            *(
                escape(", ".join(cell) if isinstance(cell, list) else str(cell if cell is not None else ""))
                for cell in cells
            )
        )
    out.print(table)


def _print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False, default=_plain) + "\n")


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else str(value)


def main() -> None:
    """Entry point: every error that the user can cause is one clear message, never a traceback."""
    code = 0
    try:
        code = app(standalone_mode=False) or 0
    except InputError as error:
        for problem in error.problems:
            err.print(f"error: {problem}", markup=False)
        code = error.exit_code
    except RunError as error:
        err.print(f"error: {error}", markup=False)
        code = error.exit_code
    except PkmodelError as error:
        err.print(f"error: {error}", markup=False)
        code = error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        err.print("interrupted; nothing was written")
        code = 130
    except _UsageError as error:
        error.show()  # type: ignore[attr-defined]
        code = 2
    except MemoryError:
        err.print("error: not enough memory for this run; try fewer patients or a coarser grid")
        code = 3
    except BrokenPipeError:
        sys.stderr.close()
        code = 0
    raise SystemExit(code)
