"""What a run leaves behind: tables, Parquet files, figures and a manifest, written whole or not at all."""

from __future__ import annotations

import csv
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pkmodel import study as studies
from pkmodel.cases import Case, cases_of, condition
from pkmodel.errors import InputError, Problem, RunError
from pkmodel.findings import COLUMNS
from pkmodel.outcome import Study
from pkmodel.population import Population
from pkmodel.specs import fields
from pkmodel.specs.library import Scenario
from pkmodel.study import Chunk, Progress

if TYPE_CHECKING:
    import pyarrow as pa

NOT_FOR_CARE = "For research and teaching only. Not for patient care."
FILES = (
    "findings.csv",
    "findings.json",
    "comparison.csv",
    "metrics.parquet",
    "patients.parquet",
    "bands.parquet",
    "bands.png",
    "session_peaks.png",
    "manifest.json",
)


def run(
    scenario: Scenario,
    out: str | Path | None = None,
    *,
    jobs: int = 1,
    strict: bool = False,
    all_metrics: bool = False,
    progress: Progress | None = None,
    command: str = "",
) -> Study:
    """Run a scenario and, with ``out``, write its files into that directory.

    Files appear when the run is complete; an interrupted or failed run leaves the directory as it was.

    Parameters
    ----------
    jobs
        threads.
    strict
        refuse what lies outside of a model's range instead of flagging it.
    all_metrics
        write every metric of every session to metrics.parquet, not only what rules and comparison name.
    progress
        called with patients done and patients in all.

    Raises
    ------
    InputError
        where the scenario or the directory cannot be used.
    RunError
        where the files cannot be written (a full disk, say).
    """
    if out is None:
        return studies.run(scenario, jobs=jobs, strict=strict, all_metrics=all_metrics, progress=progress)
    with _workplace(Path(out)) as folder:
        writer = _Writer(folder, cases_of(scenario, all_metrics=all_metrics))
        try:
            study = studies.run(
                scenario, jobs=jobs, strict=strict, all_metrics=all_metrics, sink=writer.write, progress=progress
            )
        finally:
            writer.close()
        _write_tables(study, folder)
        _write_figures(study, folder)
        _write_manifest(study, folder, command)
    return study


@contextmanager
def _workplace(out: Path) -> Iterator[Path]:
    """A directory beside the final one; its files are moved over when all is done, and else thrown away."""

    def refuse(reason: str) -> InputError:
        return InputError(Problem(f"the output directory {out}: {reason}", "a directory that can be written"))

    created = [parent for parent in (out, *out.parents) if not parent.exists()]
    try:
        out.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".pkmodel-", dir=out))
    except OSError as error:
        for parent in created:
            if parent.is_dir():
                parent.rmdir()
        raise refuse(error.strerror or str(error)) from None
    try:
        yield folder
        for file in sorted(folder.iterdir()):
            os.replace(file, out / file.name)  # noqa: PTH105 - atomic, and Path.replace says less
        folder.rmdir()
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise RunError(f"the files could not be written to {out}: {error.strerror or error}") from error
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        for parent in created:
            if parent.is_dir() and not any(parent.iterdir()):
                parent.rmdir()
        raise


class _Writer:
    """Writes the per-patient files chunk by chunk, one row group per block, in the order of the patients."""

    def __init__(self, folder: Path, cases: list[Case]):
        import pyarrow as pa
        import pyarrow.parquet as pq

        self.cases = cases
        text = pa.dictionary(pa.int32(), pa.string())
        self.metrics_schema = pa.schema(
            [
                ("patient", pa.int64()),
                ("arm", text),
                ("model", text),
                ("session", pa.int32()),
                ("output", text),
                ("metric", text),
                ("value", pa.float64()),
                ("unit", text),
                ("condition", text),
            ]
        )
        etas: dict[str, None] = {}
        parameters: dict[str, None] = {}
        for case in cases:
            etas |= dict.fromkeys(case.model.variability.between_subject.effects)
            parameters |= dict.fromkeys(case.model.parameters)
        self.etas = [name for name in etas if "~" not in name]
        self.parameters = list(parameters)
        plain = [("age_y", pa.float64()), ("weight_kg", pa.float64()), ("height_cm", pa.float64())]
        self.patients_schema = pa.schema(
            [
                ("patient", pa.int64()),
                ("model", text),
                ("sex", text),
                *plain,
                ("ancestry", text),
                ("outside_valid_for", pa.string()),
                *((f"eta_{name}", pa.float64()) for name in self.etas),
                *((name, pa.float64()) for name in self.parameters),
            ]
        )
        self._metrics = pq.ParquetWriter(folder / "metrics.parquet", self.metrics_schema)
        self._patients = pq.ParquetWriter(folder / "patients.parquet", self.patients_schema)
        self._waiting: list[Chunk] = []
        self._count = 0

    def write(self, chunk: Chunk) -> None:
        """Take a chunk; a block of 65,536 patients becomes one row group whatever the size of the chunks."""
        while chunk.population.size:
            room = studies.BLOCK - self._count
            part, chunk = _split(chunk, room)
            self._waiting.append(part)
            self._count += part.population.size
            if self._count == studies.BLOCK:
                self._flush()

    def _flush(self) -> None:
        if not self._waiting:
            return
        for index, case in enumerate(self.cases):
            self._metrics.write_table(self._metrics_table(index, case), row_group_size=2**31 - 1)
        seen: set[str] = set()
        for index, case in enumerate(self.cases):
            if case.model.id not in seen:
                seen.add(case.model.id)
                self._patients.write_table(self._patients_table(index, case), row_group_size=2**31 - 1)
        self._waiting, self._count = [], 0

    def _metrics_table(self, index: int, case: Case) -> pa.Table:
        import pyarrow as pa

        first = self._waiting[0].population.first + 1
        patient = np.arange(first, first + self._count)
        columns: dict[str, list[Any]] = {name: [] for name in self.metrics_schema.names}
        for row, head in enumerate(self._waiting[0].cases[index].metrics):
            values = np.concatenate([chunk.cases[index].metrics[row].values for chunk in self._waiting])
            fixed = {
                "arm": case.arm.name,
                "model": case.model.id,
                "output": head.request.output,
                "metric": head.request.metric,
                "unit": head.unit,
                "condition": condition(head.request, head.span, case.model),
            }
            for name, value in fixed.items():
                columns[name].append(_constant(value, self._count))
            session = pa.scalar(head.span.session or None, pa.int32())
            columns["session"].append(pa.repeat(session, self._count))
            columns["patient"].append(pa.array(patient))
            columns["value"].append(pa.array(values, mask=~np.isfinite(values)))  # null: never reached
        return pa.table(
            {
                name: pa.chunked_array(parts).cast(self.metrics_schema.field(name).type)
                for name, parts in columns.items()
            },
            schema=self.metrics_schema,
        ).combine_chunks()

    def _patients_table(self, index: int, case: Case) -> pa.Table:
        import pyarrow as pa

        first = self._waiting[0].population.first + 1

        def joined(name: str) -> np.ndarray:
            return np.concatenate([chunk.population.covariates[name] for chunk in self._waiting])

        def of_case(which: str, name: str) -> pa.Array:
            parts = [getattr(chunk.cases[index], which).get(name) for chunk in self._waiting]
            return pa.nulls(self._count, pa.float64()) if parts[0] is None else pa.array(np.concatenate(parts))

        columns: dict[str, Any] = {
            "patient": pa.array(np.arange(first, first + self._count)),
            "model": _constant(case.model.id, self._count),
            "sex": pa.array(np.where(joined("female") == 1.0, "female", "male")),
            "age_y": pa.array(joined("age")),
            "weight_kg": pa.array(joined("weight")),
            "height_cm": pa.array(joined("height")),
            "ancestry": pa.array(np.array(fields.ANCESTRIES)[joined("ancestry").astype(int)]),
            "outside_valid_for": pa.array(
                [flag or None for chunk in self._waiting for flag in chunk.cases[index].outside]
            ),
            **{f"eta_{name}": of_case("etas", name) for name in self.etas},
            **{name: of_case("parameters", name) for name in self.parameters},
        }
        return pa.table(
            {name: column.cast(self.patients_schema.field(name).type) for name, column in columns.items()},
            schema=self.patients_schema,
        )

    def close(self) -> None:
        """Write what is left and close the files."""
        self._flush()
        self._metrics.close()
        self._patients.close()


def _constant(value: str | None, count: int) -> pa.Array:
    import pyarrow as pa

    if value is None:
        return pa.nulls(count, pa.dictionary(pa.int32(), pa.string()))
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, dtype=np.int32)), pa.array([value]))


def _split(chunk: Chunk, count: int) -> tuple[Chunk, Chunk]:
    """The first ``count`` patients of a chunk, and the rest."""
    return _part(chunk, slice(0, count)), _part(chunk, slice(count, None))


def _part(chunk: Chunk, which: slice) -> Chunk:
    people = chunk.population
    start, stop, _ = which.indices(people.size)
    covariates = {name: values[which] for name, values in people.covariates.items()}
    return Chunk(
        population=Population(people.first + start, stop - start, covariates),
        cases=[
            studies.CaseChunk(
                metrics=[studies.MetricValues(m.request, m.span, m.unit, m.values[which]) for m in case.metrics],
                compared={},
                etas={name: values[which] for name, values in case.etas.items()},
                parameters={name: values[which] for name, values in case.parameters.items()},
                outside=case.outside[which],
            )
            for case in chunk.cases
        ],
    )


def findings_json(study: Study) -> dict[str, Any]:
    """The findings with what is needed to read them, as plain data."""
    spec = study.scenario.spec
    return {
        "title": spec.title,
        "question": spec.question,
        "context_of_use": spec.context_of_use,
        "disclaimer": NOT_FOR_CARE,
        "n": study.n,
        "seed": spec.seed,
        "interval": "95 % Wilson score interval of the share; simulation error only",
        "findings": [vars(finding) for finding in study.results],
        "comparison": study.comparisons,
        "assumptions": study.assumptions,
        "warnings": study.warnings,
    }


def _write_tables(study: Study, folder: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    _write_csv(folder / "findings.csv", list(COLUMNS), [vars(finding) for finding in study.results])
    if study.comparisons:
        _write_csv(folder / "comparison.csv", list(study.comparisons[0]), study.comparisons)
    text = json.dumps(findings_json(study), indent=2, ensure_ascii=False, allow_nan=False)
    (folder / "findings.json").write_text(text + "\n", encoding="utf-8")
    pq.write_table(pa.table(study.band_columns), folder / "bands.parquet")


def _write_csv(file: Path, columns: list[str], rows: list[dict[str, Any]]) -> None:
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _write_figures(study: Study, folder: Path) -> None:
    from pkmodel import plots

    for name, figure in plots.figures(study).items():
        figure.savefig(folder / name, dpi=130, pil_kwargs={"compress_level": 4})


def manifest(study: Study, command: str = "") -> dict[str, Any]:
    """Everything that decides the bits of a run, and what it rests on."""
    packages = ("pkmodel", "numpy", "scipy", "numba", "llvmlite", "pandas", "pyarrow", "pydantic", "pint")
    models = {case.model.id: case.model for case in study.cases}
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "disclaimer": NOT_FOR_CARE,
        "command": command,
        "scenario": study.scenario.id,
        "n": study.n,
        "seed": study.scenario.spec.seed,
        "engine": {"name": "propagator", "tolerance": "exact between events; see docs", "block": studies.BLOCK},
        "bands": {"method": "log-scale counts", "relative_error": 2.0**-8},
        "inputs": {key: {"name": item.name, "sha256": item.sha256} for key, item in study.scenario.inputs.items()},
        "models": {
            name: {"evidence": model.evidence, "citation": model.source.citation, "doi": model.source.doi}
            for name, model in models.items()
        },
        "assumptions": study.assumptions,
        "warnings": study.warnings,
        "versions": {"python": platform.python_version(), **{name: version(name) for name in packages}},
        "cpu": _cpu(),
    }


def _cpu() -> dict[str, Any]:
    import llvmlite.binding as llvm

    features = sorted(name for name, on in llvm.get_host_cpu_features().items() if on)
    return {"machine": platform.machine(), "name": llvm.get_host_cpu_name(), "features": features}


def _write_manifest(study: Study, folder: Path, command: str) -> None:
    text = json.dumps(manifest(study, command), indent=2, ensure_ascii=False, allow_nan=False)
    (folder / "manifest.json").write_text(text + "\n", encoding="utf-8")
