"""What a population refers to: the populations of a mixture and the table of people, found and checked."""

from __future__ import annotations

from pathlib import Path

from pkmodel.errors import InputError, Problem
from pkmodel.specs import csv_people, loading
from pkmodel.specs.loading import Source
from pkmodel.specs.population import PopulationSpec
from pkmodel.specs.yaml_tree import Document, Place, dotted

#: A mixture of mixtures of mixtures has gone wrong, or names itself.
_DEEPEST = 4

Files = dict[str, Document]


def load(source: Source, beside: Path | None = None) -> tuple[PopulationSpec, Document, Files]:
    """A population by name, path or mapping, its document, and the files that it refers to in turn, by their names."""
    return _load(source, beside, 0)


def _load(source: Source, beside: Path | None, depth: int) -> tuple[PopulationSpec, Document, Files]:
    spec, document = loading.load("populations", source, PopulationSpec, beside=beside)
    folder = document.path.parent if document.path is not None else beside
    return spec, document, resolve(spec, document, (), folder, depth)


def resolve(spec: PopulationSpec, document: Document, place: Place, beside: Path | None, depth: int = 0) -> Files:
    """Read what a population refers to into it; the files read. ``place`` is where it stands in the document.

    Raises InputError with the file and the line of every mistake.
    """
    files: Files = {}
    problems: list[Problem] = []

    def said(error: InputError, here: Place) -> list[Problem]:
        path, where, line = dotted(here), document.name, document.line(here)
        return [item if item.where else item.at(path=path, where=where, line=line) for item in error.problems]

    if spec.from_csv is not None:
        try:
            table = csv_people.read(spec.from_csv, beside)
            spec._table = table
            files[table.name] = Document(table.name, None, text=table.text)
        except InputError as error:
            problems += said(error, (*place, "from_csv", "file"))
    if spec.mixture is not None:
        total = sum(component.weight.value for component in spec.mixture)
        wrong = None
        if len(spec.mixture) < 2:
            wrong = Problem(f"{len(spec.mixture)} population", "two or more with weights")
        elif abs(total - 1.0) > 1e-9:
            wrong = Problem(f"weights that add up to {total:g}", "weights that add up to 1")
        if wrong is not None:
            problems += said(InputError(wrong), (*place, "mixture"))
    parts: list[PopulationSpec] = []
    for index, component in enumerate(spec.mixture or []):
        here = (*place, "mixture", index, "population")
        try:
            if depth >= _DEEPEST:
                raise InputError(Problem("a mixture within mixtures", f"at most {_DEEPEST} of them, one in another"))
            if isinstance(component.population, dict):
                part = loading.check(document, PopulationSpec, here)
                files |= resolve(part, document, here, beside, depth + 1)
            else:
                part, file, deeper = _load(component.population, beside, depth + 1)
                files |= {component.population: file, **deeper}
            parts.append(part)
        except InputError as error:
            problems += said(error, here)
    if parts and not problems and any(part.has_severity != parts[0].has_severity for part in parts):
        problems.append(
            Problem(
                "severity in some of the populations",
                "severity in all of them or in none",
                dotted((*place, "mixture")),
                document.name,
                document.line((*place, "mixture")),
            )
        )
    if problems:
        raise InputError(problems)
    spec._parts = tuple(parts)
    return files


def too_many(spec: PopulationSpec, n: int) -> list[Problem]:
    """What is wrong with drawing ``n`` patients from a population."""
    found = [problem for part in spec.parts for problem in too_many(part, n)]
    if spec.table is not None and spec.table.draw == "in_order" and n > spec.table.size:
        rows = f"{spec.table.size:,} rows of {spec.table.name}"
        found.append(Problem(f"{n:,} patients in the order of {rows}", "at most as many, or draw: bootstrap", "n"))
    return found
