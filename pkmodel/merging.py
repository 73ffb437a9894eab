"""Shards of a run, made on several machines, put together into the run that one machine would have made."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pkmodel import blocks, report, run_folder
from pkmodel.errors import InputError, Problem
from pkmodel.outcome import Study
from pkmodel.run_folder import Shard
from pkmodel.workplace import PARTS, workplace


def merge(
    folders: Sequence[str | Path], out: str | Path, *, jobs: int = 1, command: str = "", pictures: bool = True
) -> Study:
    """Put shards (:func:`pkmodel.report.run_shard`) together and write the files of the run into ``out``.

    The files are, byte for byte, those of a run on one machine, as long as all machines are of one type; the manifest
    says on which each shard was made. The shards are left as they are.

    Raises
    ------
    InputError
        where a directory holds no shard, shards are of different runs, one is missing, unfinished or there twice.
    RunError
        where the files cannot be written.
    """
    places = [Path(folder) for folder in folders]
    if not places:
        raise InputError(Problem("no directory", "the directories of all shards of a run", "merge"))
    known = [run_folder.identity_in(place / PARTS, "a shard's") for place in places]
    for place, own in zip(places[1:], known[1:], strict=True):
        # Machines may differ in their processors; which ones they were is in the manifest.
        unlike = run_folder.differences(known[0] | {"shard": ""}, own | {"shard": ""}, ("cpu.",))
        if problems := [Problem(item.found, _as_in(item, places[0]), item.path, str(place)) for item in unlike]:
            raise InputError(problems)
    job, _ = run_folder.job_of(places[0] / PARTS)
    parts = _parts(places, known, job.count)
    with workplace(Path(out)) as folder:
        shards = [{"shard": own["shard"], "cpu": own["cpu"]} for own in known]
        return report.finish(job, parts, folder, jobs=jobs, command=command, shards=shards, pictures=pictures)


def _as_in(problem: Problem, first: Path) -> str:
    return problem.expected.replace(", as the run began", f", as in {first}")


def _parts(places: Sequence[Path], known: Sequence[dict[str, Any]], count: int) -> list[Path]:
    """The folder of every block, in order; every shard must be there once, and whole."""
    problems = []
    at: dict[Shard, Path] = {}
    for place, own in zip(places, known, strict=True):
        shard = Shard.read(own["shard"])
        if shard in at:
            found, expected = f"shard {shard} again, as in {at[shard]}", "each shard once"
            problems.append(Problem(found, expected, where=str(place)))
        at.setdefault(shard, place)
    (of, *others) = {shard.of for shard in at}
    if others:
        named = " and ".join(f"shard {shard} in {place}" for shard, place in at.items() if shard.of in (of, others[0]))
        raise InputError(Problem(named, "shards of one division", "merge"))
    if missing := [str(Shard(index, of)) for index in range(1, of + 1) if Shard(index, of) not in at]:
        found = f"no shard {', '.join(missing[:20])}" + (f" and {len(missing) - 20} more" if len(missing) > 20 else "")
        problems.append(Problem(found, f"all {of} shards of the run", "merge"))
    parts = []
    for shard, place in sorted(at.items()):
        there, wanted = set(blocks.finished(place / PARTS)), shard.blocks(count)
        if lacking := [number for number in wanted if number not in there]:
            found = f"shard {shard}, unfinished: {len(wanted) - len(lacking)} of {len(wanted)} blocks"
            problems.append(Problem(found, "a whole shard: go on with it by run --resume", where=str(place)))
        parts += [place / PARTS / blocks.name_of(number) for number in wanted]
    if problems:
        raise InputError(problems)
    return parts
