"""What ``pkmodel design`` leaves behind: the answer, the shares at every value, a picture and a manifest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pkmodel import dose_finding
from pkmodel.disclaimer import NOT_FOR_CARE
from pkmodel.dose_finding import Design
from pkmodel.findings import verdict, wilson
from pkmodel.run_files import manifest
from pkmodel.specs.design import Request
from pkmodel.workplace import MANIFEST, workplace, write_csv, write_json, write_picture

COLUMNS = ("parameter", "value", "unit", "rule", "n", "n_met", "share", "low", "high", "required", "verdict")
MAP_COLUMNS = ("second", "second_value", "second_unit", "first", "value", "low", "high", "unit", "open", "binding")


def run(
    request: Request,
    out: str | Path | None = None,
    *,
    jobs: int = 1,
    progress: Callable[[int, int], None] | None = None,
    command: str = "",
) -> Design:
    """Look for a value and, with ``out``, write design.json, .csv, .png and a manifest into it, all or none.

    Raises
    ------
    InputError
        where the design or the directory cannot be used.
    RunError
        where the files cannot be written.
    """
    if out is None:
        return dose_finding.run(request, jobs=jobs, progress=progress)
    with workplace(Path(out)) as folder:
        from pkmodel import design_figure

        found = dose_finding.run(request, jobs=jobs, progress=progress)
        rows, columns = (map_rows(found), MAP_COLUMNS) if found.feasible is not None else (rows_of(found), COLUMNS)
        write_csv(folder / "design.csv", list(columns), rows)
        write_json(folder / "design.json", plain(found))
        write_picture(folder / "design.png", design_figure.figure(found), dpi=150)
        asked = {
            "parameters": [knob.path for knob in request.knobs],
            "range": [[knob.low, knob.high, knob.unit.text] for knob in request.knobs],
            "side": request.side,
            "points": request.points,
        }
        write_json(folder / MANIFEST, manifest(found.study, command) | asked)
    return found


def rows_of(found: Design) -> list[dict[str, Any]]:
    """The share that keeps each rule at each value, a line of design.csv each."""
    rows = []
    for rule, counts in zip(found.line.rules, found.kept, strict=True):
        required = rule.share.value
        for value, count in zip(found.values, counts, strict=True):
            low, high = wilson(int(count), found.n)
            head = {"parameter": found.knob.path, "value": float(value), "unit": found.knob.unit.text, "rule": rule.id}
            share = {"n": found.n, "n_met": int(count), "share": int(count) / found.n, "low": low, "high": high}
            rows.append({**head, **share, "required": required, "verdict": verdict(low, high, required)})
    return rows


def map_rows(found: Design) -> list[dict[str, Any]]:
    """The answer at each value of the second parameter, a line of design.csv each."""
    assert found.others is not None
    first, second = found.request.knobs
    return [
        {
            "second": second.path,
            "second_value": float(other),
            "second_unit": second.unit.text,
            "first": first.path,
            "value": item.value,
            "low": item.low,
            "high": item.high,
            "unit": first.unit.text,
            "open": item.open,
            "binding": item.binding,
        }
        for other, item in zip(found.others, found.boundary, strict=True)
    ]


def plain(found: Design) -> dict[str, Any]:
    """A design as plain data, with what is needed to read it."""
    request, answer = found.request, found.answer
    (model,) = request.arm.models
    said: dict[str, Any] = {
        "title": request.arm.protocol.title,
        "disclaimer": NOT_FOR_CARE,
        "arm": request.arm.name,
        "model": model.id,
        "chosen": request.why_model,
        "evidence": model.evidence,
        "population": request.scenario.spec.population,
        "n": found.n,
        "seed": request.scenario.spec.seed,
        "parameters": [
            {
                "path": knob.path,
                "unit": knob.unit.text,
                "from": knob.low,
                "to": knob.high,
                "range": "assumed" if knob.assumed else "as asked",
                "protocol": knob.now,
            }
            for knob in request.knobs
        ],
        "rules": [
            {
                "id": rule.id,
                "metric": rule.named,
                "limit": None if rule.joined else rule.limit.text,
                "required": rule.share.value,
            }
            for rule in found.line.rules
        ],
        "side": request.side,
        "method": found.method,
        "interval": found.interval,
        "notes": found.notes,
        "assumptions": found.study.assumptions,
        "warnings": found.study.warnings,
    }
    if found.feasible is not None:
        return said | {"map": map_rows(found)}
    return said | {
        "answer": {
            "value": answer.value,
            "stated": found.stated,
            "low": answer.low,
            "high": answer.high,
            "unit": found.knob.unit.text,
            "open": answer.open,
            "binding": answer.binding,
        },
        "holds_in": [list(part) for part in found.parts],
        "at_the_answer": [vars(item) for item in found.checked],
    }
