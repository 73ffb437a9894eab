"""What ``pkmodel compare`` leaves behind: the table, the values of every patient, a picture and a manifest."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pkmodel import apart, blocks, comparison, failing, findings, needed, paired, proportionality, side_by_side
from pkmodel.cases import cases_of
from pkmodel.comparison import Comparison
from pkmodel.disclaimer import NOT_FOR_CARE
from pkmodel.outcome import Study
from pkmodel.run_files import manifest, who_breaks, write_pairs
from pkmodel.specs import defaults
from pkmodel.specs.comparison import Request
from pkmodel.study import Progress
from pkmodel.whole import named
from pkmodel.workplace import MANIFEST, workplace, write_csv, write_json, write_picture


def run(
    request: Request,
    out: str | Path | None = None,
    *,
    jobs: int = 1,
    progress: Progress | None = None,
    command: str = "",
) -> Comparison:
    """Run a comparison and, with ``out``, write its files into that directory, all of them or none.

    Raises
    ------
    InputError
        where the comparison or the directory cannot be used.
    RunError
        where the files cannot be written.
    """
    if out is None:
        return comparison.run(request, jobs=jobs, progress=progress)
    with workplace(Path(out)) as folder:
        from pkmodel import comparison_figure, parquet

        names = list(dict.fromkeys(request.populations.values()))
        places = [folder / f"population {name}" for name in names] or [folder]
        files = []
        complete = False
        try:
            for place, scenario in zip(places, request.scenarios, strict=True):
                place.mkdir(exist_ok=True)
                severity = scenario.population.has_severity
                files.append(parquet.RunFiles(place, cases_of(scenario), severity=severity))
            sinks = [file.write for file in files]
            found = comparison.run(request, jobs=jobs, sinks=sinks, progress=progress)
            complete = True
        finally:
            for file in files:
                file.close(complete=complete)
        if names:
            _gather(dict(zip(names, places, strict=True)), folder)
        rows = [line for row in found.rows for line in row.plain(request.reference)]
        write_csv(folder / "comparison.csv", list(side_by_side.COLUMNS), rows)
        write_json(folder / "comparison.json", plain(found))
        if found.slopes:
            slopes = [slope.plain() for slope in found.slopes]
            write_csv(folder / "proportionality.csv", list(proportionality.COLUMNS), slopes)
        if found.study.results:
            rows = [vars(finding) for finding in found.study.results]
            write_csv(folder / "findings.csv", list(findings.COLUMNS), rows)
            rows = [vars(item) for item in found.study.profiles]
            write_csv(folder / "failing.csv", list(failing.COLUMNS), rows)
            write_pairs(found.study, folder)
        parquet.write_bands(found.study.band_columns, folder / "bands.parquet")
        write_picture(folder / "comparison.png", comparison_figure.figure(found))
        said = plain(found)
        asked = {key: said[key] for key in ("reference", "thresholds", "discharge", "seeds") if key in said}
        write_json(folder / MANIFEST, manifest(found.study, command) | asked)
    return found


def _gather(places: Mapping[str, Path], folder: Path) -> None:
    """Put the tables of several populations together, with a column that says whose patient a row is of.

    Patients are numbered from 1 in each.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    for name in blocks.TABLES:
        tables = []
        for population, place in places.items():
            if (place / name).is_file():
                table = pq.read_table(place / name)
                whose = pa.array([population] * table.num_rows).dictionary_encode()
                tables.append(table.add_column(1, "population", whose))
        if tables:
            with named(folder / name):
                pq.write_table(pa.concat_tables(tables, promote_options="default"), folder / name)
    for place in places.values():
        shutil.rmtree(place)


def plain(found: Comparison) -> dict[str, Any]:
    """A comparison as plain data, with what is needed to read it."""
    request, spec = found.request, found.study.scenario.spec
    chosen = {item.arm: item for item in request.chosen}
    arms = []
    for case in found.study.cases:
        choice, model = chosen[case.arm.name], case.model
        arms.append(
            {
                "arm": case.arm.name,
                "protocol": case.arm.protocol.title,
                "model": model.id,
                "chosen": "by default" if choice.default else "as asked",
                "why": choice.why,
                "evidence": model.evidence,
                "sampling": model.sampling,
                "citation": model.source.citation,
                "parent": model.parent,
                "sessions": case.n_sessions,
                **({"population": request.populations[case.arm.name]} if request.populations else {}),
            }
        )
    return {
        "title": spec.title,
        "disclaimer": NOT_FOR_CARE,
        "n": found.study.n,
        "seed": spec.seed,
        **({"seeds": [scenario.spec.seed for scenario in request.scenarios]} if request.others else {}),
        "population": list(dict.fromkeys(request.populations.values())) or spec.population,
        "reference": request.reference,
        "arms": arms,
        "interval": paired.HOLDS + (f"; {apart.HOLDS}" if request.apart else ""),
        "pairing": found.pairing,
        "thresholds": [str(item) for item in request.thresholds],
        "discharge": {
            "criterion": str(request.discharge.bound),
            "evidence": request.discharge.evidence,
            "why": request.discharge.why,
            "at_least": [
                {"drug": drug, "route": route, "hours": item.hours, "evidence": item.evidence, "source": item.source}
                for (drug, route), item in defaults.OBSERVED.items()
            ],
        },
        "comparison": [line for row in found.rows for line in row.plain(request.reference)],
        **_slopes(found),
        **_rules(found.study),
        "cautions": found.cautions,
        "assumptions": found.study.assumptions,
        "warnings": found.study.warnings,
    }


def _rules(study: Study) -> dict[str, Any]:
    """The rules that were asked for, judged in every arm."""
    if not study.results:
        return {}
    said = {"holds": failing.HOLDS, "said": who_breaks(study)}
    return {"findings": [vars(finding) for finding in study.results], "failing": said, **needed.section(study.pairs)}


def _slopes(found: Comparison) -> dict[str, Any]:
    """How exposure grows with the dose, where arms differ in it."""
    if not found.slopes:
        return {}
    return {"proportionality": {"holds": proportionality.HOLDS, "slopes": [slope.plain() for slope in found.slopes]}}
