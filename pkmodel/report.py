"""What a run leaves behind: tables, Parquet files, figures and a manifest, written whole or not at all."""

from __future__ import annotations

import csv
import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pkmodel import between, failing, needed, provenance, replicates
from pkmodel import study as studies
from pkmodel.engine import AUTO, Numerics
from pkmodel.errors import InputError, Problem, RunError
from pkmodel.findings import COLUMNS
from pkmodel.outcome import Precise, Study
from pkmodel.specs.attach import described
from pkmodel.specs.library import Scenario, load_scenario
from pkmodel.study import Progress

if TYPE_CHECKING:
    from pkmodel.blocks import Job

NOT_FOR_CARE = "For research and teaching only. Not for patient care."
FILES = (
    "findings.csv",
    "findings.json",
    "failing.csv",
    "comparison.csv",
    "metrics.parquet",
    "patients.parquet",
    "bands.parquet",
    "bands.png",
    "session_peaks.png",
    "inputs.json",
    "manifest.json",
)
#: What there is besides where rules are judged in arms that are compared.
FILES_OF_PAIRS = ("needed.csv",)
#: And where an arm runs on several models.
FILES_OF_SEVERAL = ("joint.csv", "between_models.csv", "models.png")
#: And where a clinic decides, or sessions are missed or late.
FILES_OF_CLINICS = ("clinic.csv", "ledger.parquet")
#: And where parameter uncertainty is asked for.
FILES_OF_DRAWS = ("uncertainty.csv",)
#: And what only ``pkmodel compare`` writes.
FILES_OF_COMPARISON = ("comparison.json", "comparison.png", "proportionality.csv")
#: And what ``pkmodel design`` and ``pkmodel sensitivity`` write.
FILES_OF_DESIGN = ("design.json", "design.csv", "design.png", "sensitivity.json", "sensitivity.csv", "sensitivity.png")
ALL_FILES = (
    *FILES,
    *FILES_OF_PAIRS,
    *FILES_OF_SEVERAL,
    *FILES_OF_CLINICS,
    *FILES_OF_DRAWS,
    *FILES_OF_COMPARISON,
    *FILES_OF_DESIGN,
)


def files_in(folder: Path) -> list[str]:
    """The files of a run that are in its folder, by name."""
    return sorted(name for name in ALL_FILES if (folder / name).is_file())


def run(
    scenario: Scenario | str | Path,
    out: str | Path | None = None,
    *,
    jobs: int = 1,
    strict: bool = False,
    all_metrics: bool = False,
    numerics: Numerics = AUTO,
    progress: Progress | None = None,
    command: str = "",
    resume: bool = False,
    scheduler: str | None = None,
    chunk: int | None = None,
    block: int = studies.BLOCK,
    pictures: bool = True,
) -> Study:
    """Run a scenario (or the one of that name or path) and, with ``out``, write its files into that directory.

    Files appear when the run is complete. An interrupted or failed run leaves the directory as it was, but for a folder
    ``parts`` with the blocks of patients that were done, where there are any.

    Parameters
    ----------
    jobs
        threads.
    strict
        refuse what lies outside of a model's range instead of flagging it.
    all_metrics
        write every metric of every session to metrics.parquet, not only what rules and comparison name.
    numerics
        the engine and its tolerance; by default the exact one for every model that is linear.
    progress
        called with patients done and patients in all.
    resume
        go on with what an earlier run of the same left in ``out``; begin where it left nothing.
    scheduler
        the address of a Dask scheduler (``tcp://host:8786``) whose workers compute, instead of this process.
    chunk, block
        patients to a chunk, which is a matter of speed, and to a part file, which decides its row groups.
    pictures
        whether figures are drawn.

    Raises
    ------
    InputError
        where the scenario or the directory cannot be used, or what is to be resumed was another run.
    RunError
        where the files cannot be written (a full disk, say), or the cluster fails.
    """
    if not isinstance(scenario, Scenario):
        scenario = load_scenario(scenario)
    precise = None
    if scenario.spec.precision is not None:
        from pkmodel import precision

        precise = precision.run(scenario, jobs=jobs, numerics=numerics, progress=progress)
        scenario = scenario.with_options(n=precise.n)
    if out is None:
        if resume or scheduler:
            raise InputError(Problem("no directory", "a directory for the parts of the run", "out"))
        study = studies.run(
            scenario, jobs=jobs, strict=strict, all_metrics=all_metrics, numerics=numerics, progress=progress
        )
        study.precise = precise
        _draw_typical(study, jobs, numerics, progress)
        return study
    from pkmodel import blocks, run_folder

    job = blocks.Job(scenario, strict, all_metrics, numerics, block)
    with workplace(Path(out)) as folder:
        # A run of one block has nothing to go on from; its part is thrown away with the rest.
        whole = job.count == 1 and not (Path(out) / run_folder.PARTS).exists()
        began = own_part(folder) if whole else run_folder.begun(Path(out), job, resume=resume, beside=folder)
        with began as parts:
            compute(job, range(job.count), parts, jobs=jobs, chunk=chunk, scheduler=scheduler, progress=progress)
            found = [parts / blocks.name_of(number) for number in range(job.count)]
            study = finish(
                job,
                found,
                folder,
                jobs=jobs,
                progress=progress,
                command=command,
                pictures=pictures,
                precise=precise,
            )
    if not whole:
        shutil.rmtree(Path(out) / run_folder.PARTS)
    return study


@contextmanager
def own_part(folder: Path) -> Iterator[Path]:
    """A folder inside another, thrown away at the end."""
    place = folder / "part"
    place.mkdir()
    yield place
    shutil.rmtree(place)


def run_shard(
    scenario: Scenario | str | Path,
    shard: str,
    out: str | Path,
    *,
    jobs: int = 1,
    strict: bool = False,
    all_metrics: bool = False,
    numerics: Numerics = AUTO,
    progress: Progress | None = None,
    resume: bool = False,
    scheduler: str | None = None,
    chunk: int | None = None,
    block: int = studies.BLOCK,
) -> range:
    """Run the part ``shard`` of a scenario (``3/16``) and leave its blocks of patients in ``out/parts``.

    :func:`pkmodel.merging.merge` makes one run of all parts. The rest is as in :func:`run`; the answer is the numbers
    of the patients (from 0) that the shard holds.
    """
    from pkmodel import blocks, run_folder

    if not isinstance(scenario, Scenario):
        scenario = load_scenario(scenario)
    if scenario.spec.precision is not None:
        raise InputError(
            Problem("precision in a shard", "a number of patients (--n): how many it takes is not known", "shard")
        )
    part = run_folder.Shard.read(shard)
    with workplace(Path(out)) as folder:
        job = blocks.Job(scenario, strict, all_metrics, numerics, block)
        own = part.blocks(job.count)
        with run_folder.begun(Path(out), job, part, resume=resume, beside=folder) as parts:
            compute(job, own, parts, jobs=jobs, chunk=chunk, scheduler=scheduler, progress=progress)
    return range(min(own.start * block, scenario.spec.n), min(own.stop * block, scenario.spec.n))


def compute(
    job: Job,
    numbers: range,
    parts: Path,
    *,
    jobs: int,
    chunk: int | None = None,
    scheduler: str | None = None,
    progress: Progress | None = None,
) -> None:
    """Compute the blocks of ``numbers`` that are not in ``parts`` yet, here or on a cluster."""
    from pkmodel import blocks

    if jobs < 1:
        raise InputError(Problem(str(jobs), "at least one worker", path="jobs"))
    there = set(blocks.finished(parts))
    done, total = 0, sum(len(job.patients(number)) for number in numbers)

    def advance(count: int) -> None:
        nonlocal done
        done += count
        if progress is not None and count:
            progress(done, total)

    advance(sum(len(job.patients(number)) for number in numbers if number in there))
    wanted = [number for number in numbers if number not in there]
    if scheduler is not None:
        from pkmodel import cluster

        cluster.run(job, wanted, parts, scheduler, progress=advance)
    else:
        blocks.run(job, wanted, parts, jobs=jobs, chunk=chunk, progress=advance)


def finish(
    job: Job,
    parts: Sequence[Path],
    folder: Path,
    *,
    jobs: int = 1,
    progress: Progress | None = None,
    command: str = "",
    shards: Sequence[Mapping[str, Any]] = (),
    pictures: bool = True,
    precise: Precise | None = None,
) -> Study:
    """Put the blocks of a run together and write all its files into a folder."""
    from pkmodel import blocks, kept_inputs, run_folder

    study = blocks.assemble(job, parts, folder)
    study.precise = precise
    _draw_typical(study, jobs, job.numerics, progress)
    _write_tables(study, folder)
    if pictures:
        _write_figures(study, folder)
    write_json(folder / kept_inputs.FILE, kept_inputs.plain(job.scenario, precise=precise is not None))
    asked = {"block": job.block, "options": run_folder.identity(job)["options"]}
    _write_manifest(study, folder, command, asked | ({"shards": shards} if shards else {}))
    return study


def _draw_typical(study: Study, jobs: int, numerics: Numerics, progress: Progress | None) -> None:
    """The study of studies, where parameter uncertainty was asked for."""
    if study.scenario.spec.variability.parameter_uncertainty:
        from pkmodel import uncertainty

        def patients(done: int, draws: int) -> None:
            """Progress in patients, all of whom go through every draw."""
            if progress is not None:
                progress(done * study.n, draws * study.n)

        study.uncertain = uncertainty.run(study, jobs=jobs, numerics=numerics, progress=patients)


@contextmanager
def workplace(out: Path, own: Sequence[str] = ALL_FILES) -> Iterator[Path]:
    """A directory inside the final one; its files are moved over when all is done, and else thrown away.

    ``own`` are the names that the command may write: those it did not are removed from ``out``.
    """

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
        produced = sorted(file.name for file in folder.iterdir())
        for name in produced:  # looked at before the first file is moved, so that old and new never stand mixed
            if (out / name).is_dir():
                raise IsADirectoryError(errno.EISDIR, f"{name} is a directory")
        for name in produced:
            os.replace(folder / name, out / name)  # noqa: PTH105 - atomic, and Path.replace says less
        for name in {*own} - {*produced}:  # what an earlier run left there would pass for this run's
            (out / name).unlink(missing_ok=True)
        folder.rmdir()
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        for parent in created:
            if parent.is_dir() and not any(parent.iterdir()):
                parent.rmdir()
        if isinstance(error, OSError):
            raise RunError(f"the files could not be written to {out}: {error.strerror or error}") from error
        raise


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


def _write_tables(study: Study, folder: Path) -> None:
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


def write_csv(file: Path, columns: list[str], rows: list[dict[str, Any]]) -> None:
    """Write rows under these columns."""
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _write_figures(study: Study, folder: Path) -> None:
    from pkmodel import figures

    for name, figure in figures.figures(study).items():
        figure.savefig(folder / name, dpi=130, pil_kwargs={"compress_level": 2})


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
    named: dict[str, Any] = {"asked": study.numerics.engine, "models": study.engines, "block": studies.BLOCK}
    if "ode" in study.engines.values():
        named |= {"method": study.numerics.method, "tolerance": study.numerics.tolerance}
    return named


def _write_manifest(study: Study, folder: Path, command: str, asked: dict[str, Any]) -> None:
    write_json(folder / "manifest.json", manifest(study, command) | asked)


def write_json(file: Path, value: Any) -> None:
    """Write plain data; a NaN in it is an error of ours and not written."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    file.write_text(text + "\n", encoding="utf-8")
