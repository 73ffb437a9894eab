"""Does this installation compute what it should, on this machine? Exact cases, two engines, the library, equal bits.

Nothing here needs a network, a checkout or a file of the user's. What is wrong with one check does not stop the next.
"""

from __future__ import annotations

import filecmp
import math
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pkmodel import checks, provenance, report, simulation, study
from pkmodel.core import kept
from pkmodel.engine import Numerics
from pkmodel.errors import InputError, PkmodelError
from pkmodel.own_exact import inside, tables
from pkmodel.population import Patient
from pkmodel.specs.kinds import examine_file
from pkmodel.specs.library import load_model, load_scenario
from pkmodel.specs.loading import library

#: The relative error of amounts and levels, and that of figures inside of steps (the references have 15 digits).
EXACT, EXACT_INSIDE = 1e-11, 1e-9
#: What the ODE solver is asked for, and how far from the propagator it may end up.
TOLERANCE = 1e-8
BETWEEN_ENGINES = 10 * TOLERANCE

KINDS = ("models", "effects", "protocols", "populations", "scenarios", "rules", "references")
PATIENT = Patient(weight="82 kg", age="51 y", sex="female", height="165 cm", ancestry="other")
COURSES = (
    ("iv_six_and_maintenance", "ketamine_clements1981"),
    ("iv_taper_dose_and_interval", "ketamine_domino1984"),
    ("esketamine_iv_single", "esketamine_otto2021"),
    ("esketamine_nasal_induction", "esketamine_perezruixo2021"),
)
SCENARIO, PATIENTS = "nasal_monte_carlo", 300
#: Two ways of splitting the same run: threads and patients to a chunk.
SPLITS = ((1, None), (3, 17))
SAME = ("findings.csv", "metrics.parquet", "patients.parquet", "bands.parquet")


@dataclass(frozen=True)
class Check:
    """What was compared, how far apart it was at worst, and how far it may be; ``said`` is what a reader must know."""

    name: str
    compared: str
    worst: float | None
    limit: float
    unit: str
    said: str
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether the worst error is within its limit; never where there is none."""
        return self.worst is not None and self.worst <= self.limit

    def plain(self) -> dict[str, Any]:
        """The check as plain data."""
        return {**vars(self), "seconds": round(self.seconds, 2), "passed": self.passed}


@dataclass(frozen=True)
class Selftest:
    """All checks, and what they ran on."""

    checks: tuple[Check, ...]
    speed: dict[str, float]
    kernels: dict[str, Any]
    versions: dict[str, str]
    cpu: dict[str, Any]
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(check.passed for check in self.checks)

    def plain(self) -> dict[str, Any]:
        """The outcome as plain data."""
        own = {**vars(self), "checks": [check.plain() for check in self.checks], "seconds": round(self.seconds, 1)}
        return {"passed": self.passed, **own}


@dataclass(frozen=True)
class _Found:
    """The outcome of a check: its worst error, and what to say."""

    compared: str
    worst: float
    said: str = ""


def run(*, jobs: int = 1, progress: Callable[[str], None] | None = None) -> Selftest:
    """Run all checks.

    Parameters
    ----------
    jobs
        threads of the run that measures the speed.
    progress
        called with the name of every check before it begins.
    """
    begun = time.perf_counter()
    done = []
    for name, check, what, limit, unit in _CHECKS:
        if progress is not None:
            progress(name)
        done.append(_carried_out(name, check, what, limit, unit))
    if progress is not None:
        progress("speed")
    return Selftest(
        checks=tuple(done),
        speed=speed(jobs),
        kernels=kernels(),
        versions=provenance.versions(),
        cpu=provenance.cpu(),
        seconds=time.perf_counter() - begun,
    )


def _carried_out(name: str, check: Callable[[], _Found], what: str, limit: float, unit: str) -> Check:
    begun = time.perf_counter()
    try:
        found = check()
    except PkmodelError as error:
        found = _Found(what, math.nan, str(error))
    except Exception as error:  # whatever is broken: to name it is what this is for
        found = _Found(what, math.nan, f"{type(error).__name__}: {error}")
    worst = float(found.worst)
    said = found.said or ("" if math.isfinite(worst) else "what came out is not a number")
    kept_worst = worst if math.isfinite(worst) else None
    return Check(name, found.compared, kept_worst, limit, unit, said, time.perf_counter() - begun)


def exact_amounts() -> _Found:
    """The exact cases through ``simulate_records``."""
    names = [str(name) for name in tables.tables(tables.FOLDER)[0].index]
    outcomes = {name: tables.compared(*tables.case_of(tables.FOLDER, name)) for name in names}
    worst, at = _worst({name: outcome.error for name, outcome in outcomes.items()})
    rows = sum(outcome.rows for outcome in outcomes.values())
    return _Found(f"{rows:,} rows of {len(names)} exact cases", worst, f"worst in {at}")


def exact_figures() -> _Found:
    """Peaks, areas, times above and crossings of exact cases, from the kernel."""
    cases, lines = inside.load(), inside.metrics()
    errors = {}
    for index, (_, line) in enumerate(lines.iterrows()):
        for figure, error in inside.errors_of(line, cases[str(line["case_id"])]).items():
            errors[f"{figure} of {line['case_id']}, line {index + 1}"] = error
    worst, at = _worst(errors)
    return _Found(f"{len(errors)} peaks, areas, times and crossings", worst, f"worst in {at}")


def two_engines() -> _Found:
    """Amounts of four courses by the propagator and by the ODE solver."""
    errors = {}
    count = 0
    for protocol, model in COURSES:
        exact, solved = (
            simulation.simulate(protocol, model, PATIENT, every="17 min", numerics=numerics).amounts
            for numerics in (Numerics(engine="propagator"), Numerics(engine="ode", tolerance=TOLERANCE))
        )
        # A level this far below the largest of its compartment is held against that instead of against itself.
        scale = np.maximum(np.abs(exact), tables.FLOOR * np.abs(exact).max(axis=1, keepdims=True))
        errors[f"{protocol} on {model}"] = float(_ratio(np.abs(solved - exact), scale).max())
        count += exact.size
    worst, at = _worst(errors)
    return _Found(f"{count:,} amounts of {len(COURSES)} courses", worst, f"worst in {at}")


def library_loads() -> _Found:
    """Every shipped file, as ``pkmodel check`` reads it."""
    files = [file for kind in KINDS for file in library(kind).values()]
    wrong = []
    for file in files:
        try:
            examine_file(file)
        except InputError as error:
            wrong.append(f"{file.name}: {error.problems[0]}")
    if not all(library(kind) for kind in KINDS):
        wrong.append(f"no {' and no '.join(kind for kind in KINDS if not library(kind))}")
    return _Found(f"{len(files)} shipped files, read and checked", len(wrong), "; ".join(wrong))


def own_papers() -> _Found:
    """What the models' own papers print, as ``pkmodel verify`` holds them to it."""
    wrong, count = [], 0
    for name in sorted(library("models")):
        model = load_model(name)
        for check in model.checks:
            count += 1
            simulated = checks.simulated(model, check)
            if not (math.isfinite(simulated) and check.met(simulated)):
                wrong.append(f"{check.id} of {name}, by {100 * check.difference(simulated):.3g} %")
    return _Found(f"{count} figures of the models' own papers", len(wrong), "; ".join(wrong))


def same_bits() -> _Found:
    """A small run twice, split in two ways."""
    scenario = load_scenario(SCENARIO).with_options(n=PATIENTS)
    with tempfile.TemporaryDirectory(prefix="pkmodel-selftest-") as place:
        folders = [Path(place) / str(index) for index in range(len(SPLITS))]
        for folder, (jobs, chunk) in zip(folders, SPLITS, strict=True):
            report.run(scenario, folder, jobs=jobs, chunk=chunk, block=64, pictures=False)
        other = [name for name in SAME if not filecmp.cmp(folders[0] / name, folders[1] / name, shallow=False)]
    said = f"{', '.join(other)}: other bytes" if other else ""
    return _Found(f"{len(SAME)} files of a run, split two ways", len(other), said)


def speed(jobs: int) -> dict[str, float]:
    """Patients a second of a small run on so many threads, and the milliseconds that one patient takes."""
    scenario = load_scenario(SCENARIO).with_options(n=4000)
    begun = time.perf_counter()
    study.run(scenario, jobs=jobs)
    rate = scenario.spec.n / (time.perf_counter() - begun)
    one = []
    for _ in range(5):
        begun = time.perf_counter()
        simulation.simulate("iv_single", "ketamine_clements1981", PATIENT, until="6 h")
        one.append(time.perf_counter() - begun)
    took = round(1e3 * statistics.median(one), 1)
    return {"patients_per_second": round(rate), "threads": jobs, "one_patient_ms": took}


def kernels() -> dict[str, Any]:
    """Where compiled kernels are kept, whether they can be, and what went wrong with it in this process."""
    folder = kept.folder()
    return {"folder": folder, "kept": folder is not None and _can_be_written(Path(folder)), "trouble": kept.trouble()}


def _can_be_written(folder: Path) -> bool:
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _ratio(error: NDArray[np.float64], scale: NDArray[np.float64]) -> NDArray[np.float64]:
    """An error by its scale; where that is 0 the error itself."""
    return error / np.where(scale > 0.0, scale, 1.0)


def _worst(errors: dict[str, float]) -> tuple[float, str]:
    """The largest error and whose it is; a NaN is larger than any."""
    at = max(errors, key=lambda name: math.inf if math.isnan(errors[name]) else errors[name])
    return errors[at], at


#: Each check: what it is called, what it does and compares, and how large its worst error may be, of what.
_CHECKS: tuple[tuple[str, Callable[[], _Found], str, float, str], ...] = (
    ("exact amounts", exact_amounts, "exact cases", EXACT, "relative error"),
    ("exact figures", exact_figures, "peaks, areas, times and crossings", EXACT_INSIDE, "relative error"),
    ("two engines", two_engines, "courses, both ways", BETWEEN_ENGINES, "relative error"),
    ("library", library_loads, "shipped files", 0, "files refused"),
    ("own papers", own_papers, "figures of the models' own papers", 0, "figures missed"),
    ("same bits", same_bits, "a run split in two ways", 0, "files that differ"),
)
