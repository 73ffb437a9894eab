"""``pkmodel models | protocols | scenarios | populations``: lists of what is shipped, and one of them in full."""

from __future__ import annotations

import sys
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pkmodel import console
from pkmodel.cli import running
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
from pkmodel.disclaimer import NOT_FOR_CARE
from pkmodel.errors import InputError, Problem
from pkmodel.whole import whole

if TYPE_CHECKING:
    from pkmodel.population import Patient
    from pkmodel.specs.protocol import ProtocolSpec

Name = Annotated[str, typer.Argument(help="A name of the list, or the path of a YAML file.")]


def _group(help_text: str) -> typer.Typer:
    return typer.Typer(invoke_without_command=True, rich_markup_mode=None, help=help_text)


models = _group("List models with evidence and citation; `models show NAME` prints one.")
protocols = _group("List protocols; `protocols show NAME` prints one as a course of sessions.")
scenarios = _group("List scenarios; `scenarios show NAME` prints the file.")
populations = _group("List populations; `populations show NAME` prints the file.")


def _list(rows: list[dict[str, Any]], columns: tuple[str, ...], below: tuple[str, ...], as_json: bool) -> None:
    if as_json:
        console.print_json(rows)
    else:
        console.listing(rows, columns, below)


@models.callback()
def list_models(context: typer.Context, as_json: JsonFlag = False) -> None:
    """List models with evidence and citation; `models show NAME` prints one."""
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
            variability = f"borrowed from {borrowed}" if borrowed else "published"
        rows.append(
            {
                "name": name,
                "evidence": model.evidence,
                "drug": model.drug,
                "routes": list(model.routes),
                "outputs": list(model.outputs),
                "sampling": model.sampling,
                "variability": variability,
                "title": model.title,
                "citation": model.source.citation,
                "doi": model.source.doi,
                "said_of_variability": f"Variability between subjects: {variability}.",
            }
        )
    if as_json:
        rows = [{key: value for key, value in row.items() if key != "said_of_variability"} for row in rows]
    _list(rows, ("name", "evidence", "drug", "routes"), ("title", "citation", "said_of_variability"), as_json)


@models.command("show")
def show_model(name: Name, as_json: JsonFlag = False) -> None:
    """Print a model: its numbers with their places in the paper, and its notes."""
    from pkmodel.specs.library import load_model

    model = load_model(name)
    effects = model.variability.between_subject.effects
    rows = []
    for key, item in model.parameters.items():
        value = item.value.text if item.value else f"= {item.conversion.text}" if item.conversion else ""
        spread = ""
        if key in effects:
            effect = effects[key]
            spread = f"eta of {effect.eta}" if effect.eta else f"{effect.transform}, variance {effect.variance:.4g}"
        evidence = item.evidence or model.evidence
        value += f" ({item.known})" if item.known else ""
        rows.append({"parameter": key, "value": value, "spread": spread, "evidence": evidence, "from": item.origin})
    if as_json:
        console.print_json(
            {
                "name": model.id,
                "title": model.title,
                "evidence": model.evidence,
                "citation": model.source.citation,
                "doi": model.source.doi,
                "published": {
                    key: {"value": item.value.text, "from": item.origin} for key, item in model.published.items()
                },
                "outputs": {key: output.unit for key, output in model.outputs.items()},
                "effects": {key: effect.unit for key, effect in model.effects.items()},
                "engine": "propagator" if model.linear else "ode",
                "parameters": rows,
                "assumptions": model.assumptions,
                "notes": model.notes,
            }
        )
        return
    console.text(f"{model.id}: {model.title}", bold=True)
    console.text(f"{model.source.citation}" + (f"  doi {model.source.doi}" if model.source.doi else ""))
    console.text(f"Evidence: {model.evidence}; {model.sampling} sampling; {model.population.description}")
    if model.published:
        published = ", ".join(f"{key} = {item.value.text}" for key, item in model.published.items())
        console.text(f"As published: {published}")
    console.table(rows, ("parameter", "value", "spread", "from"))
    seen = [f"{key} ({output.unit})" for key, output in model.outputs.items()]
    seen += [f"{key} ({effect.unit or 'a number'}, an effect)" for key, effect in model.effects.items()]
    console.text(f"Gives: {', '.join(seen)}")
    console.text(
        "Engine: propagator; the model is linear, and its levels are exact"
        if model.linear
        else "Engine: ODE solver; the model has a saturable flow, a turnover, or a rate that changes"
    )
    for sentence in [*model.assumptions, *model.notes]:
        console.text(f"- {sentence}")
    console.text(NOT_FOR_CARE)


@protocols.callback()
def list_protocols(context: typer.Context, as_json: JsonFlag = False) -> None:
    """List protocols; `protocols show NAME` prints one as a course of sessions."""
    if context.invoked_subcommand:
        return
    from pkmodel.specs.library import load_protocol
    from pkmodel.specs.loading import library

    rows = []
    for name in library("protocols"):
        spec = load_protocol(name)
        rows.append(
            {
                "name": name,
                "evidence": spec.source.evidence if spec.source else None,
                "drug": spec.drug,
                "routes": spec.routes,
                "sessions": len(spec.plan()),
                "title": spec.title,
                "citation": spec.source.citation if spec.source else None,
            }
        )
    _list(rows, ("name", "evidence", "drug", "routes", "sessions"), ("title",), as_json)


@protocols.command("show")
def show_protocol(
    name: Name,
    weight: Weight = None,
    age: Age = None,
    height: Height = None,
    sex: Sex = None,
    ancestry: Ancestry = "other",
    cyp2b6_activity: Cyp2b6 = 1.0,
    hepatic_impairment: Hepatic = 0.0,
    severity: Severity = None,
    records: Annotated[str | None, typer.Option(help="Write the doses as NONMEM-style records (.csv).")] = None,
    model: Annotated[str | None, typer.Option(help="Model whose routes the records follow.")] = None,
    drug: Annotated[Drug, typer.Option(help="For the records: own: the mg as the model's drug; half: the S half.")] = (
        Drug.match
    ),
    as_json: JsonFlag = False,
) -> None:
    """Print the course of a protocol, session by session; with a weight, in mg, and why a dose was changed."""
    from pkmodel.instructions import COLUMNS, course_for, heading, lines
    from pkmodel.population import Patient
    from pkmodel.specs.dose import same_for_all
    from pkmodel.specs.library import load_protocol

    spec = load_protocol(name)
    who = patient_of(weight, age, height, sex, ancestry, cyp2b6_activity, hepatic_impairment, severity)
    sized = any(not same_for_all(part.dose) for planned in spec.plan() for part in planned.parts)
    patient = who.population() if weight is not None or (not sized and who != Patient()) else None
    if records is not None:
        written = _write_records(records, spec, model, who, drug)
        console.note(f"{written}. {NOT_FOR_CARE}")
    elif model is not None:
        raise InputError(Problem("--model without --records", "--records FILE.csv, which it is for", "--model"))
    rows = course_for(spec, patient.values() if patient is not None else None)
    if as_json:
        tree = {"protocol": name, "title": spec.title, "disclaimer": NOT_FOR_CARE, "sessions": rows}
        console.print_json(tree | ({"decisions": spec.decisions()} if spec.decides else {}))
        return
    console.text(spec.title, bold=True)
    if spec.source:
        console.text(f"{spec.source.citation} (evidence: {spec.source.evidence or 'not stated'})")
    for above, of_phase in groupby(rows, key=heading):
        console.text(f"\n{above}", bold=True)
        shown = lines(of_phase, patient=patient is not None)
        used = [column for column in COLUMNS if any(line.get(column) for line in shown)]
        console.table(shown, used, right=("session", "day", "mg"))
    if spec.decides:
        console.text("\nWhat is decided on the day, starting from this plan:", bold=True)
        for sentence in spec.decisions():
            console.text(f"- {sentence}")
        console.text("")
    for sentence in spec.notes:
        console.text(f"- {sentence}")
    if patient is None and sized:
        console.text('Doses per kilogram: give --weight "82 kg" to see them in mg.')
    console.text(NOT_FOR_CARE)


@protocols.command("export")
def export_protocol(
    name: Name,
    to: Annotated[str, typer.Option(help="nonmem, mrgsolve or rxode2.")],
    weight: Weight = None,
    age: Age = None,
    height: Height = None,
    sex: Sex = None,
    ancestry: Ancestry = "other",
    model: Annotated[
        str | None, typer.Option(help="Model whose compartments receive the doses [central or depot].")
    ] = None,
    drug: Annotated[Drug, typer.Option(help="own: the mg as the model's drug; half: the S half.")] = Drug.match,
    output: Annotated[str | None, typer.Option("-o", "--out", help="File [standard output].")] = None,
) -> None:
    """Print the doses of a protocol for one patient as text that another program reads."""
    from pkmodel.records.exchange import export
    from pkmodel.specs.library import load_model, load_protocol

    file = running.out_file(output)
    patient = patient_of(weight, age, height, sex, ancestry)
    chosen = load_model(model) if model is not None else None
    text = export(load_protocol(name), patient, to, model=chosen, drug=drug.value)
    if file is None:
        sys.stdout.write(text)
        return
    with whole(file) as part:
        part.write_text(text, encoding="utf-8")
    console.note(f"{file}: the doses of {name} for {to}. {NOT_FOR_CARE}")


def _write_records(text: str, spec: ProtocolSpec, model: str | None, patient: Patient, drug: Drug) -> str:
    """Write the doses of a protocol as records; the answer is what was written."""
    from pkmodel.records import records_of
    from pkmodel.specs.library import load_model

    file = running.out_file(text, (".csv",), "--records")
    assert file is not None
    if model is None:
        expected = "--model, whose routes say what reaches which compartment"
        raise InputError(Problem("--records without --model", expected, "--model"))
    chosen = load_model(model)
    table = records_of(spec, chosen, patient, drug=drug.value)
    with whole(file) as part:
        table.to_csv(part, index=False, lineterminator="\n")
    return f"{file}: {len(table)} doses into {', '.join(table['cmt'].unique())} of {chosen.id}"


@scenarios.callback()
def list_scenarios(context: typer.Context, as_json: JsonFlag = False) -> None:
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
    _list(rows, ("name", "arms", "models", "n"), ("title",), as_json)


@scenarios.command("show")
def show_scenario(name: Name) -> None:
    """Print a scenario file."""
    _print_file("scenarios", name)


@populations.callback()
def list_populations(context: typer.Context, as_json: JsonFlag = False) -> None:
    """List populations; `populations show NAME` prints the file."""
    if context.invoked_subcommand:
        return
    from pkmodel.specs.library import load_population
    from pkmodel.specs.loading import library

    rows = []
    for name in library("populations"):
        spec = load_population(name)
        citation = spec.source.citation if spec.source else None
        rows.append({"name": name, "title": spec.title, "source": citation, "notes": spec.notes})
    _list(rows, ("name",), ("title", "source", "notes"), as_json)


@populations.command("show")
def show_population(name: Name) -> None:
    """Print a population file."""
    _print_file("populations", name)


def _print_file(kind: str, name: str) -> None:
    from pkmodel.specs.loading import find
    from pkmodel.specs.yaml_tree import read_yaml

    console.out.print(read_yaml(find(kind, name)).text, markup=False, soft_wrap=True)
