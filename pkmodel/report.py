"""A run that leaves files: its patients in blocks, here or on a cluster, and a directory that is whole or as it was."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pkmodel import pages, run_files
from pkmodel import study as studies
from pkmodel.engine import AUTO, Numerics
from pkmodel.errors import InputError, Problem, RunError
from pkmodel.outcome import Precise, Study
from pkmodel.specs.library import Scenario, load_scenario
from pkmodel.study import Progress
from pkmodel.workplace import FILES, FILES_OF_PAIRS, FILES_OF_SEVERAL, PARTS, workplace, write_json, write_text

if TYPE_CHECKING:
    from pkmodel.blocks import Job

__all__ = ["FILES", "FILES_OF_PAIRS", "FILES_OF_SEVERAL", "compute", "finish", "run", "run_shard"]


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
        whether figures are drawn, and the report with them.

    Raises
    ------
    InputError
        where the scenario or the directory cannot be used, or what is to be resumed was another run.
    RunError
        where the files cannot be written (a full disk, say), or the cluster fails.
    """
    if not isinstance(scenario, Scenario):
        scenario = load_scenario(scenario)
    if out is None:
        if resume or scheduler:
            raise InputError(Problem("no directory", "a directory for the parts of the run", "out"))
        scenario, precise = _enough(scenario, jobs, numerics, progress)
        study = studies.run(
            scenario, jobs=jobs, strict=strict, all_metrics=all_metrics, numerics=numerics, progress=progress
        )
        study.precise = precise
        _draw_typical(study, jobs, numerics, progress)
        return study
    from pkmodel import blocks, run_folder

    with workplace(Path(out), spent=PARTS) as folder:
        scenario, precise = _enough(scenario, jobs, numerics, progress)
        job = blocks.Job(scenario, strict, all_metrics, numerics, block)
        # A run of one block has nothing to go on from; its part is thrown away with the rest.
        whole = job.count == 1 and not (Path(out) / PARTS).exists()
        with own_part(folder) if whole else run_folder.begun(Path(out), job, resume=resume) as parts:
            compute(job, range(job.count), parts, jobs=jobs, chunk=chunk, scheduler=scheduler, progress=progress)
            found = [parts / blocks.name_of(number) for number in range(job.count)]
            return finish(
                job,
                found,
                folder,
                jobs=jobs,
                progress=progress,
                command=command,
                pictures=pictures,
                precise=precise,
            )


def _enough(
    scenario: Scenario, jobs: int, numerics: Numerics, progress: Progress | None
) -> tuple[Scenario, Precise | None]:
    """The scenario with as many patients as its precision takes, where it asks for one."""
    if scenario.spec.precision is None:
        return scenario, None
    from pkmodel import precision

    precise = precision.run(scenario, jobs=jobs, numerics=numerics, progress=progress)
    return scenario.with_options(n=precise.n), precise


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
    with workplace(Path(out)):
        job = blocks.Job(scenario, strict, all_metrics, numerics, block)
        own = part.blocks(job.count)
        with run_folder.begun(Path(out), job, part, resume=resume) as parts:
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
    run_files.write_tables(study, folder)
    if pictures:
        run_files.write_figures(study, folder)
    write_json(folder / kept_inputs.FILE, kept_inputs.plain(job.scenario, precise=precise is not None))
    asked = {"block": job.block, "options": run_folder.identity(job)["options"]}
    run_files.write_manifest(study, folder, command, asked | ({"shards": shards} if shards else {}))
    if pictures:
        # Made of the files alone, as `pkmodel report` does later.
        write_text(folder / pages.FILE, _html_of(folder))
    return study


def _html_of(folder: Path) -> str:
    """The report of files that this run has just written. Raises RunError where they are not there any more."""
    try:
        return pages.html_of(folder)
    except InputError as error:
        raise RunError(f"a file of the run vanished, or was changed, while it was at work: {error}") from error


def _draw_typical(study: Study, jobs: int, numerics: Numerics, progress: Progress | None) -> None:
    """The study of studies, where parameter uncertainty was asked for."""
    if study.scenario.spec.variability.parameter_uncertainty:
        from pkmodel import uncertainty

        def patients(done: int, draws: int) -> None:
            """Progress in patients, all of whom go through every draw."""
            if progress is not None:
                progress(done * study.n, draws * study.n)

        study.uncertain = uncertainty.run(study, jobs=jobs, numerics=numerics, progress=patients)
