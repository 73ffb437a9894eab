"""What stands in the files of a run: findings, tables, figures and the manifest, each made of the study."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pkmodel import between, failing, needed, provenance, replicates
from pkmodel.disclaimer import NOT_FOR_CARE
from pkmodel.findings import COLUMNS
from pkmodel.outcome import Study
from pkmodel.specs.attach import described
from pkmodel.study import BLOCK
from pkmodel.workplace import MANIFEST, write_csv, write_json, write_picture


def findings_json(study: Study) -> dict[str, Any]:
    """The findings with what is needed to read them, as plain data."""
    spec = study.scenario.spec
    models = {case.model.id: case.model for case in study.cases}
    effects = {name: described(model) for name, model in models.items() if model.effects or model.bands}
    return {
        "title": spec.title,
        "question": spec.question,
        "context_of_use": spec.context_of_use,
        "disclaimer": NOT_FOR_CARE,
        "n": study.n,
        "seed": spec.seed,
        "interval": replicates.method(study.scenario)
        + ("" if study.precise is None else "; that of the rule under precision is a confidence sequence, see there"),
        "findings": [vars(finding) for finding in study.results],
        "failing": {"holds": failing.HOLDS, "said": who_breaks(study)},
        "comparison": study.comparisons,
        **needed.section(study.pairs),
        "joint": [item.plain() for item in study.joint_verdicts],
        "between_models": {
            "holds": "medians over all patients under each model, exact; the range holds differences between models "
            "only, neither the spread between patients nor simulation error",
            "ranges": [item.plain() for item in study.model_ranges],
        },
        **({"precision": study.precise.plain()} if study.precise is not None else {}),
        **({"clinic": study.clinic_rows} if study.clinic_rows else {}),
        **({"uncertainty": _uncertainty(study)} if study.uncertain else {}),
        **({"effects": effects} if effects else {}),
        "assumptions": study.assumptions,
        "warnings": study.warnings,
    }


def who_breaks(study: Study) -> list[dict[str, Any]]:
    """In words who breaks the rules that are broken or undecided."""
    said = failing.sentences(study.results, study.profiles)
    return [dict(zip(("rule", "arm", "model", "window"), key, strict=True), said=text) for key, text in said.items()]


def _uncertainty(study: Study) -> dict[str, Any]:
    """The shares over draws of the typical values, and what they hold."""
    known = {
        f"{model.id}.{name}": model.parameters[name].known
        for model in study.models.values()
        for name in model.uncertain
    }
    return {
        "holds": "2.5 to 97.5 % of the share over draws of the typical values: uncertainty in parameters, with the "
        "simulation error of n patients in it; only the parameters named here are drawn, the others count as known",
        "drawn": known,
        "shares": [vars(item) for item in study.uncertain],
    }


def write_tables(study: Study, folder: Path) -> None:
    """Write the findings and everything else that is counted, but for the tables with a row per patient."""
    from pkmodel import parquet

    write_csv(folder / "findings.csv", list(COLUMNS), [vars(finding) for finding in study.results])
    write_csv(folder / "failing.csv", list(failing.COLUMNS), [vars(item) for item in study.profiles])
    write_pairs(study, folder)
    if study.comparisons:
        write_csv(folder / "comparison.csv", list(study.comparisons[0]), study.comparisons)
    if study.clinic_rows:
        write_csv(folder / "clinic.csv", list(study.clinic_rows[0]), study.clinic_rows)
    if study.uncertain:
        rows = [vars(item) for item in study.uncertain]
        write_csv(folder / "uncertainty.csv", list(rows[0]), rows)
    if study.joint_verdicts:
        write_csv(folder / "joint.csv", list(between.JOINT), [item.row() for item in study.joint_verdicts])
        rows = [item.row(study.models) for item in study.model_ranges]
        write_csv(folder / "between_models.csv", [*between.RANGE, *study.models], rows)
    write_json(folder / "findings.json", findings_json(study))
    parquet.write_bands(study.band_columns, folder / "bands.parquet")


def write_pairs(study: Study, folder: Path) -> None:
    """Write needed.csv, where rules are judged in arms that are compared."""
    if study.pairs:
        write_csv(folder / "needed.csv", list(needed.COLUMNS), [pair.plain() for pair in study.pairs])


def write_figures(study: Study, folder: Path) -> None:
    """Write the pictures."""
    from pkmodel import figures

    for name, figure in figures.figures(study).items():
        write_picture(folder / name, figure)


def manifest(study: Study, command: str = "") -> dict[str, Any]:
    """Everything that decides the bits of a run, and what it rests on."""
    models = {case.model.id: case.model for case in study.cases}
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "disclaimer": NOT_FOR_CARE,
        "command": command,
        "scenario": study.scenario.id,
        "n": study.n,
        "seed": study.scenario.spec.seed,
        "sampling": study.scenario.spec.sampling.model_dump(),
        "outer": study.scenario.spec.variability.outer if study.uncertain else None,
        "engine": _engine(study),
        "bands": {"method": "log-scale counts", "relative_error": 2.0**-8},
        "inputs": {key: {"name": item.name, "sha256": item.sha256} for key, item in study.scenario.inputs.items()},
        "models": {
            name: {"evidence": model.evidence, "citation": model.source.citation, "doi": model.source.doi}
            for name, model in models.items()
        },
        "assumptions": study.assumptions,
        "warnings": study.warnings,
        "versions": provenance.versions(),
        "cpu": provenance.cpu(),
    }


def _engine(study: Study) -> dict[str, Any]:
    """The engine of each model; the propagator is exact between events, the solvers keep to a tolerance."""
    named: dict[str, Any] = {"asked": study.numerics.engine, "models": study.engines, "block": BLOCK}
    if "ode" in study.engines.values():
        named |= {"method": study.numerics.method, "tolerance": study.numerics.tolerance}
    return named


def write_manifest(study: Study, folder: Path, command: str, asked: dict[str, Any]) -> None:
    """Write the manifest, with what was asked for besides."""
    write_json(folder / MANIFEST, manifest(study, command) | asked)
