"""A run on its way: the folder ``parts`` in the directory of its results, with what is done and what was asked.

``run.json`` says what decides the bits; ``inputs.json`` holds the texts of the inputs; a folder per block of patients
appears when the block is on the disk. Whatever ends a process, what is there is whole, and a run goes on from it.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from pkmodel import blocks, kept_inputs, kept_json, provenance
from pkmodel.blocks import Job
from pkmodel.engine import Numerics
from pkmodel.errors import InputError, Interrupted, Problem, RunError
from pkmodel.whole import failure, sync, whole
from pkmodel.workplace import PARTS, write_json

FILE = "run.json"
FORMAT = 2


class Shard(NamedTuple):
    """A part of a run: the ``number``-th (from 1) of ``of``."""

    number: int
    of: int

    @classmethod
    def read(cls, text: str) -> Shard:
        """A shard as ``3/16``. Raises InputError on anything else."""
        number, slash, of = text.partition("/")
        if slash and number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of) <= 100_000:
            return cls(int(number), int(of))
        expected = "a part and the number of parts, such as 3/16: from 1/16 to 16/16"
        raise InputError(Problem(text or "an empty text", expected, "--shard"))

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def blocks(self, count: int) -> range:
        """The blocks of the shard, of ``count`` in all: neighbours, shared out as evenly as they go."""
        return range((self.number - 1) * count // self.of, self.number * count // self.of)


#: A run that is not shared out.
WHOLE = Shard(1, 1)


def identity(job: Job, shard: Shard = WHOLE) -> dict[str, Any]:
    """Everything that decides the bits of a run, as plain data."""
    scenario, numerics = job.scenario, job.numerics
    return {
        "format": FORMAT,
        "scenario": scenario.id,
        "n": scenario.spec.n,
        "seed": scenario.spec.seed,
        "shard": str(shard),
        "block": job.block,
        "options": {
            "models": list(scenario.overridden),
            "metrics": "all" if job.all_metrics else "rules",
            "strict": job.strict,
            "engine": numerics.engine,
            "method": numerics.method,
            "tolerance": numerics.tolerance,
        },
        "inputs": {key: item.sha256 for key, item in scenario.inputs.items()},
        "versions": provenance.versions(),
        "cpu": provenance.cpu(),
    }


def job_of(folder: Path) -> tuple[Job, Shard]:
    """What an unfinished run, or a shard, computes; read from its folder ``parts``.

    Raises InputError where there is none, or its files do not belong together.
    """
    known = kept_json.checked(identity_in(folder), kept_json.Identity, str(folder / FILE))
    scenario = kept_inputs.read(folder / kept_inputs.FILE)
    options = known.options
    numerics = Numerics(options.engine, options.method, options.tolerance)
    return Job(scenario, options.strict, options.metrics == "all", numerics, known.block), Shard.read(known.shard)


def identity_in(folder: Path, whose: str = "an unfinished run's") -> dict[str, Any]:
    """What decided the bits of an unfinished run, or of a shard, as its folder has it.

    Raises InputError where there is none, or it is not in its shape.
    """
    known = kept_json.read(folder / FILE, whose)
    try:
        Shard.read(kept_json.checked(known, kept_json.Identity, str(folder / FILE)).shard)
    except InputError as error:
        raise InputError([problem.at(where=str(folder / FILE)) for problem in error.problems]) from None
    return known


def differences(known: Mapping[str, Any], now: Mapping[str, Any], leave: tuple[str, ...] = ()) -> Iterator[Problem]:
    """What of two identities is not the same, a problem each: the first is expected, the second found."""
    then, here = _flat(known), _flat(now)
    for name in dict.fromkeys((*then, *here)):
        if then.get(name) != here.get(name) and not name.startswith(leave):
            yield Problem(_said(here.get(name)), f"{_said(then.get(name))}, as the run began", name)


def _flat(known: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in known.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = value
    return found


def _said(value: Any) -> str:
    if value is None:
        return "nothing"
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


@contextmanager
def begun(out: Path, job: Job, shard: Shard = WHOLE, *, resume: bool = False) -> Iterator[Path]:
    """The folder ``parts`` of a run, new or, with ``resume``, as it was left; ``out`` is held by the caller.

    What is done stays there where the run breaks off, unless nothing is, or the input is what was wrong.

    Raises
    ------
    InputError
        where there is an unfinished run and ``resume`` is not asked for, or what is to be resumed was another run.
    Interrupted
        in place of KeyboardInterrupt, where something was done.
    RunError
        where a file cannot be written.
    """
    folder = out / PARTS
    try:
        fresh = _open(out, folder, identity(job, shard), job, resume=resume)
        for path in folder.glob(".*"):  # a block that a process which was killed had not finished
            shutil.rmtree(path, ignore_errors=True)
    except OSError as error:
        raise failure(error, out) from error
    try:
        yield folder
    except BaseException as error:
        done = blocks.finished(folder) if folder.is_dir() else []
        if not done or (fresh and isinstance(error, InputError)):
            shutil.rmtree(folder, ignore_errors=True)
            raise
        count = len(shard.blocks(job.count))
        said = f"{len(done)} of {count} blocks of patients are kept in {folder}: --resume goes on"
        if isinstance(error, KeyboardInterrupt):
            raise Interrupted(f"interrupted; {said}") from None
        if isinstance(error, OSError):
            raise RunError(f"{failure(error, out)}; {said}") from error
        raise


def _open(out: Path, folder: Path, now: dict[str, Any], job: Job, *, resume: bool) -> bool:
    """Make the folder, or look whether what is there may be gone on with; whether it was made."""
    if (folder / FILE).is_file():
        done = blocks.finished(folder)
        if resume:
            known = identity_in(folder)
            if problems := [problem.at(where=str(folder / FILE)) for problem in differences(known, now)]:
                raise InputError(problems)
            return False
        if done:
            found = f"{out}, which holds an unfinished run ({len(done)} blocks of patients are done)"
            expected = f"--resume to go on with it, another directory, or none (delete {folder} to begin anew)"
            raise InputError(Problem(found, expected, "--out"))
    if folder.exists():
        if strange := [path.name for path in folder.iterdir() if not path.name.startswith(".")]:
            ours = {FILE, kept_inputs.FILE}
            if not folder.is_dir() or not ours.issuperset(strange):
                found = f"{folder}, which holds {strange[0]} and is no run's"
                raise InputError(Problem(found, "a directory that can be written", "--out"))
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    try:
        for name, value in ((kept_inputs.FILE, kept_inputs.plain(job.scenario)), (FILE, now)):
            with whole(folder / name) as part:
                write_json(part, value)
        sync(folder)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return True
