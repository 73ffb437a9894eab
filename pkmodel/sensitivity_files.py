"""What ``pkmodel sensitivity`` leaves behind: the indices, a tornado and a manifest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pkmodel import sensitivity
from pkmodel.disclaimer import NOT_FOR_CARE
from pkmodel.run_files import manifest
from pkmodel.sensitivity import Method, Progress, Sensitivity
from pkmodel.specs.library import Scenario
from pkmodel.workplace import MANIFEST, workplace, write_csv, write_json, write_picture

HOLDS = "95 %; simulation error only"


def run(
    scenario: Scenario,
    out: str | Path | None = None,
    *,
    metric: str | None = None,
    rule: str | None = None,
    method: Method = "sobol",
    progress: Progress | None = None,
    command: str = "",
) -> Sensitivity:
    """Look for what drives a metric and, with ``out``, write sensitivity.json, .csv, .png and a manifest, all or none.

    Raises
    ------
    InputError
        where there is nothing to look at, or the directory cannot be used.
    RunError
        where the files cannot be written.
    """
    if out is None:
        return sensitivity.run(scenario, metric=metric, rule=rule, method=method, progress=progress)
    with workplace(Path(out)) as folder:
        from pkmodel import sensitivity_figure

        found = sensitivity.run(scenario, metric=metric, rule=rule, method=method, progress=progress)
        write_csv(folder / "sensitivity.csv", list(sensitivity.COLUMNS), [vars(row) for row in found.rows])
        write_json(folder / "sensitivity.json", plain(found))
        write_picture(folder / "sensitivity.png", sensitivity_figure.figure(found), dpi=150)
        asked = {"what": found.what, "method": found.method}
        write_json(folder / MANIFEST, manifest(found.study, command) | asked)
    return found


def plain(found: Sensitivity) -> dict[str, Any]:
    """A sensitivity as plain data, with what is needed to read it."""
    return {
        "title": found.case.arm.protocol.title,
        "disclaimer": NOT_FOR_CARE,
        "what": found.what,
        "unit": found.unit,
        "method": found.method,
        "arm": found.case.arm.name,
        "model": found.case.model.id,
        "evidence": found.case.model.evidence,
        "n": found.n,
        "seed": found.scenario.spec.seed,
        "mean": found.mean,
        "sd": found.sd,
        "interval": HOLDS,
        "indices": [vars(row) for row in found.rows],
        "notes": found.notes,
        "assumptions": found.study.assumptions,
    }
