"""What ``pkmodel design`` leaves behind: a table, the answer, and a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pkmodel import report
from pkmodel.design import Design, Map, Task
from pkmodel.findings import Finding, described

#: The files, of which each takes the place of an earlier one.
FILES = ("design.csv", "design.json", "design.png")
_COLUMNS = ("rule", "n", "n_met", "share", "low", "high", "required", "verdict")


def write(found: Design | Map, out: Path, command: str) -> None:
    """All files, or none. Raises InputError or RunError where the directory cannot be used."""
    from pkmodel import design_figure

    with report.workplace(out, FILES) as folder:
        rows = list(_rows(found))
        report.write_csv(folder / "design.csv", list(rows[0]), rows)
        report.write_json(folder / "design.json", plain(found, command))
        picture = design_figure.figure(found) if isinstance(found, Design) else design_figure.chart_figure(found)
        picture.savefig(folder / "design.png", dpi=130, pil_kwargs={"compress_level": 2})


def _rows(found: Design | Map) -> list[dict[str, Any]]:
    """A line for every value and rule."""
    names = [f"{knob.name} [{knob.unit}]" for knob in found.task.knobs]
    if isinstance(found, Design):
        cells: list[tuple[tuple[float, ...], list[Finding]]] = [
            ((value,), found.points[value]) for value in found.values
        ]
    else:
        first, second = found.axes
        cells = [((first[i], second[j]), found.findings[j][i]) for j in range(len(second)) for i in range(len(first))]
    return [
        dict(zip(names, values, strict=True)) | {name: getattr(item, name) for name in _COLUMNS}
        for values, items in cells
        for item in items
    ]


def plain(found: Design | Map, command: str = "") -> dict[str, Any]:
    """A search as plain data, with what is needed to read it and to do it again."""
    task: Task = found.task
    study = found.study
    assert study is not None
    tree: dict[str, Any] = {
        "title": study.scenario.spec.title,
        "disclaimer": report.NOT_FOR_CARE,
        "parameters": [
            {"name": knob.name, "now": knob.now.text, "from": low, "to": high, "unit": knob.unit}
            for knob, (low, high) in zip(task.knobs, task.ranges, strict=True)
        ],
        "rules": [
            {"id": rule.id, "rule": described(rule), "in": rule.share.value} for rule in task.scenario.spec.rules
        ],
        "interval": "95 %, Wilson intervals of the shares turned into values; simulation error only",
    }
    if isinstance(found, Design):
        tree["feasible"] = [{"from": low, "to": high} for low, high in found.pieces]
        tree["answer"] = [vars(end) for end in found.ends]
        tree["cautions"] = found.cautions
    else:
        first, second = found.axes
        tree["feasible"] = [
            {first_knob: first[i], second_knob: second[j]}
            for first_knob, second_knob in [(task.knobs[0].name, task.knobs[1].name)]
            for j in range(len(second))
            for i in range(len(first))
            if found.margin[j, i] >= 0
        ]
    tree["assumptions"], tree["warnings"] = study.assumptions, study.warnings
    return tree | {"manifest": report.manifest(study, command)}
