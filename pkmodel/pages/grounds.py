"""What a result rests on: models and their evidence, assumptions, who is outside, numerics, provenance, how to redo."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from pkmodel.pages.blocks import Block, Cell, Column, Commands, Facts, Heading, Items, Section, Words, number, table
from pkmodel.pages.finished import Finished
from pkmodel.pages.numerals import percent
from pkmodel.specs.clause import RELATIVE
from pkmodel.specs.fields import Citation
from pkmodel.specs.model import ModelSpec

_GRADES = (
    "Evidence grades: primary (the numbers stand in the paper itself), trace (a public transcription that cites the "
    "paper's tables row by row), secondary (public code or a digitised figure), derived, borrowed (taken from another "
    "model), assumed, unsourced."
)


def models(run: Finished) -> Section:
    """The models and effects that were used."""
    rows: list[list[Cell]] = [
        [
            model.id,
            model.drug if model.drug != "ketamine" else "ketamine (racemic)",
            model.evidence,
            model.sampling,
            model.population.description + (f" (n = {model.population.n})" if model.population.n else ""),
            valid_for(model),
        ]
        for model in run.models.values()
    ]
    columns = ["Model", "Drug", "Evidence", "Blood", "Built on", "Valid for"]
    blocks: list[Block] = [
        table("Models of this run", columns, rows, _GRADES),
        Facts(tuple((model.id, f"{model.title}. {cited(model.source)}") for model in run.models.values())),
    ]
    if run.scenario.effects:
        blocks.append(Heading("Effects"))
        blocks.append(_effects(run))
        blocks.append(
            Facts(tuple((effect.id, f"{effect.title}. {cited(effect.source)}") for effect in run.scenario.effects))
        )
    if run.scenario.spec.marks:
        marks = [
            f"{mark.label}, {mark.level.text} at {mark.time.text}: {cited(mark.source)}"
            for mark in run.scenario.spec.marks
        ]
        blocks += [Heading("Published levels that are drawn in"), Items(tuple(marks))]
    return Section("models", "Models used", tuple(blocks))


def _effects(run: Finished) -> Block:
    rows: list[list[Cell]] = []
    for model, effects in run.findings.get("effects", {}).items():
        for effect in effects:
            grades = effect["evidence"]
            graded = (
                "; ".join(f"{name.replace('_', ' ')} {_plain(grade)}" for name, grade in grades.items())
                if isinstance(grades, dict)
                else str(grades)
            )
            status = "illustrative" if effect["illustrative"] else "stated by its source"
            rows.append([effect["name"], model, ", ".join(effect["on"]), graded, status])
    columns = ["Effect", "Model", "Driven by", "Evidence", "Standing"]
    return table("Effects of this run", columns, rows, "What is illustrative is for teaching, not for conclusions.")


def _plain(grade: Any) -> str:
    return ", ".join(f"{key} {item}" for key, item in grade.items()) if isinstance(grade, dict) else str(grade)


def cited(source: Citation) -> str:
    """A citation with its identifier and grade."""
    text = source.citation.rstrip(".")
    text += f". doi {source.doi}" if source.doi and source.doi not in text else ""
    text += f". PMID {source.pmid}" if source.pmid else ""
    text += f". {source.url}" if source.url and not source.doi else ""
    return text + (f" (evidence: {source.evidence})" if source.evidence else "")


def valid_for(model: ModelSpec) -> str:
    """Whom and what a model is valid for, in words."""
    ranges = model.valid_for
    said = []
    for name, unit in (("age", "y"), ("weight", "kg")):
        if (ends := getattr(ranges, name)) is not None:
            low, high = ends
            said.append(f"{name} {low:g}–{high:g} {unit}" if math.isfinite(high) else f"{name} from {low:g} {unit}")
    if ranges.routes is not None:
        said.append(f"routes {', '.join(ranges.routes)}")
    if ranges.duration is not None:
        said.append(f"up to {ranges.duration.text}")
    return "; ".join(said) or "not stated"


def unit_of(model: ModelSpec, effect: str) -> str:
    """What an effect is counted in, in words where it has no unit."""
    bare = "fraction of maximal effect" if model.effects[effect].turnover is None else "no unit"
    return model.observables[effect] or bare


def unit_in(run: Finished, row: Mapping[str, Any]) -> str:
    """The unit of a figure of findings.json; in words where it is a height of an effect without one."""
    if row["unit"] or row["metric"] not in RELATIVE:
        return str(row["unit"])
    model = run.models[row["model"]]
    return unit_of(model, row["output"]) if row["output"] in model.effects else ""


def assumed(run: Finished) -> Section:
    """Everything assumed or borrowed, and what a reader is warned of."""
    blocks: list[Block] = []
    if run.findings["assumptions"]:
        blocks += [Words("Assumed, borrowed or derived:"), Items(tuple(_sentences(run.findings["assumptions"])))]
    else:
        blocks.append(Words("Nothing in this run is assumed, borrowed or derived."))
    if run.findings["warnings"]:
        blocks += [Heading("Read with care"), Items(tuple(_sentences(run.findings["warnings"])))]
    if run.scenario.spec.notes:
        blocks += [Heading("Notes of the scenario"), Items(tuple(run.scenario.spec.notes))]
    return Section("assumed", "What is assumed or borrowed", tuple(blocks))


def _sentences(said: Sequence[str]) -> list[str]:
    return [sentence if sentence.endswith((".", "!", "?")) else f"{sentence}." for sentence in said]


def outside(run: Finished) -> Section:
    """Who is outside of what the models were built on."""
    n = run.findings["n"]
    rows: list[list[Cell]] = []
    for name, model in run.models.items():
        counts = run.outside.get(name, {})
        total = sum(counts.values())
        why = "; ".join(f"{reason}: {count:,}" for reason, count in sorted(counts.items())) or "nobody"
        rows.append([name, valid_for(model), f"{total:,} of {n:,} ({percent(total / n)})", why])
    columns: list[Column | str] = ["Model", "Valid for", number("Patients outside"), "By what"]
    note = "Results of patients outside are extrapolations; patients.parquet names each of them."
    return Section("outside", "Patients outside of a model's range", (table("Patients by model", columns, rows, note),))


def numerics(run: Finished) -> Section:
    """How levels were computed."""
    engine, options = run.manifest["engine"], run.manifest["options"]
    said = {
        "propagator": "propagator, exact between events (a matrix exponential)",
        "ode": f"ODE solver (method {engine.get('method')}, tolerance {engine.get('tolerance')})",
    }
    facts = [(name, said.get(kind, str(kind))) for name, kind in engine["models"].items()]
    sampling = run.manifest["sampling"]
    how = (
        "independent draws"
        if sampling["method"] == "random"
        else f"{sampling['method']}, {sampling['replicates']} replicates"
    )
    switch = run.scenario.spec.variability
    kinds = {
        "between subjects": switch.between_subject,
        "between occasions": switch.between_occasion,
        "of measurements": switch.residual,
        "in parameters": switch.parameter_uncertainty,
    }
    facts += [
        ("Engine asked for", f"{options['engine']}, strict about ranges: {'yes' if options['strict'] else 'no'}"),
        ("Figures", "peaks, areas, crossings and times above a level are found inside the steps, not read off samples"),
        ("Patients", how),
        ("Variability drawn", ", ".join(name for name, on in kinds.items() if on) or "none"),
    ]
    return Section("numerics", "Numerics", (Facts(tuple(facts)),))


def provenance(run: Finished) -> Section:
    """Seed, versions, hashes and processor."""
    manifest = run.manifest
    cpu = manifest["cpu"]
    facts = (
        ("Scenario", str(manifest["scenario"])),
        ("Seed", str(manifest["seed"])),
        ("Patients", f"{manifest['n']:,}"),
        ("Versions", ", ".join(f"{name} {version}" for name, version in manifest["versions"].items())),
        ("Processor", f"{cpu['machine']}, {cpu['name']}"),
    )
    rows: list[list[Cell]] = [
        [key if item["name"] in key else f"{key} {item['name']}", item["sha256"]]
        for key, item in manifest["inputs"].items()
    ]
    columns: list[Column | str] = ["Input", Column("SHA-256", "code")]
    note = (
        "inputs.json holds their texts; manifest.json besides the date, the command as it was typed and the "
        "features of the processor."
    )
    return Section("provenance", "Provenance", (Facts(facts), table("Inputs", columns, rows, note)))


def again(run: Finished) -> Section:
    """How to run it again."""
    blocks: list[Block] = [
        Words("In the directory of this report: run again from its own inputs, and compare the files bit by bit."),
        Commands(("pkmodel replay .",)),
    ]
    blocks += [
        Words(
            "Or anew, with what the library holds today by these names (of a scenario file of your own, give the path):"
        ),
        Commands((command(run),)),
        Words("This report again, from the directory alone:"),
        Commands(("pkmodel report .",)),
    ]
    return Section("again", "How to run it again", tuple(blocks))


def command(run: Finished) -> str:
    """The command that runs the scenario again with everything that was asked for."""
    manifest, options = run.manifest, run.manifest["options"]
    words = ["pkmodel", "run", str(manifest["scenario"])]
    if run.scenario.spec.precision is None:
        words += ["--n", str(manifest["n"])]
    words += ["--seed", str(manifest["seed"])]
    for model in options["models"]:
        words += ["--model", model]
    if options["engine"] != "auto":
        words += ["--engine", options["engine"]]
    if options["tolerance"] != 1e-8:
        words += ["--tolerance", str(options["tolerance"])]
    if options["metrics"] == "all":
        words += ["--metrics", "all"]
    if options["strict"]:
        words += ["--strict"]
    return shlex.join([*words, "-o", "again"])
