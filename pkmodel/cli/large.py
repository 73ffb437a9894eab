"""Large runs: a shard of one, going on with one, ``pkmodel merge`` and ``pkmodel replay``."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pkmodel import console
from pkmodel.cli import running
from pkmodel.cli.options import JsonFlag
from pkmodel.disclaimer import NOT_FOR_CARE
from pkmodel.errors import InputError, Problem

if TYPE_CHECKING:
    from pkmodel.engine import Numerics
    from pkmodel.outcome import Study
    from pkmodel.specs.library import Scenario

_Jobs = Annotated[int | None, typer.Option(help="Threads [one per core]; the result does not depend on it.")]


@dataclass(frozen=True)
class Asked:
    """How a run was asked for."""

    jobs: int | None
    strict: bool
    all_metrics: bool
    numerics: Numerics
    resume: bool
    scheduler: str | None

    def keywords(self) -> dict[str, Any]:
        """The same as keywords of ``report.run`` and ``report.run_shard``."""
        return {**vars(self), "jobs": self.jobs if self.jobs is not None else running.cores()}


def is_begun(text: str) -> bool:
    """Whether a path is the directory of an unfinished run, or of a shard."""
    return bool(text.strip()) and (Path(text) / "parts" / "run.json").is_file()


def go_on(folder: Path, *, jobs: int | None, scheduler: str | None, as_json: bool) -> None:
    """Go on with an unfinished run from its own directory: what it was asked for stands there."""
    from pkmodel import report, run_folder
    from pkmodel.workplace import PARTS

    job, shard = run_folder.job_of(folder / PARTS)
    asked = Asked(jobs, job.strict, job.all_metrics, job.numerics, True, scheduler)
    if shard != run_folder.WHOLE:
        run_shard(job.scenario, folder, str(shard), asked, as_json=as_json, block=job.block)
        return
    with running.Progress(job.scenario.spec.n, quiet=as_json) as advance:
        command = shlex.join(["pkmodel", *sys.argv[1:]])
        keywords = asked.keywords() | {"block": job.block}
        study = report.run(job.scenario, folder, progress=advance, command=command, **keywords)
    _show(study, folder, as_json=as_json)


def run_shard(
    scenario: Scenario, folder: Path, shard: str, asked: Asked, *, as_json: bool, block: int | None = None
) -> None:
    """Run a shard and say what it holds."""
    from pkmodel import report

    sized: dict[str, Any] = {} if block is None else {"block": block}
    with running.Progress(scenario.spec.n, quiet=as_json) as advance:
        patients = report.run_shard(scenario, shard, folder, progress=advance, **asked.keywords(), **sized)
    held = {"shard": shard, "first": patients.start + 1, "last": patients.stop, "out": str(folder)}
    if as_json:
        console.print_json({"disclaimer": NOT_FOR_CARE, **held})
        return
    who = f"patients {held['first']:,} to {held['last']:,}" if patients else "no patient: there are fewer blocks"
    console.note(f"{folder}: shard {shard}, {who}. `pkmodel merge` makes a run of all shards. {NOT_FOR_CARE}")


def merge(
    folders: Annotated[list[str], typer.Argument(help="The directories of all shards of a run.")],
    output: Annotated[str, typer.Option("-o", "--out", help="Directory for the files of the run.")],
    jobs: _Jobs = None,
    as_json: JsonFlag = False,
) -> None:
    """Put the shards of a run (`run --shard`) together: the files of a run in one piece, byte for byte."""
    from pkmodel import merging

    folder = running.out_path(output)
    assert folder is not None
    command = shlex.join(["pkmodel", *sys.argv[1:]])
    study = merging.merge(folders, folder, jobs=jobs if jobs is not None else running.cores(), command=command)
    _show(study, folder, as_json=as_json)


def replay(
    folder: Annotated[str, typer.Argument(help="The directory of a finished run.")],
    jobs: _Jobs = None,
    as_json: JsonFlag = False,
) -> None:
    """Run again what a directory holds, from its own manifest and inputs, and compare the files bit by bit."""
    from pkmodel import replay as replays

    path = running.out_path(folder)
    assert path is not None
    if not path.is_dir():
        raise InputError(Problem(folder, "the directory of a finished run", "replay"))
    with running.Progress(1, quiet=as_json) as advance:
        found = replays.replay(path, jobs=jobs if jobs is not None else running.cores(), progress=advance)
    if as_json:
        console.print_json({"disclaimer": NOT_FOR_CARE, **found.plain()})
    else:
        for line in found.lines():
            console.out.print(line, markup=False, soft_wrap=True)
        console.note(NOT_FOR_CARE)
    if not found.achieved:
        raise typer.Exit(1)


def _show(study: Study, folder: Path, *, as_json: bool) -> None:
    from pkmodel import run_files

    if as_json:
        console.print_json(run_files.findings_json(study))
    else:
        console.study(study, folder)
