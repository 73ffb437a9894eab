"""A report as a PDF, set by typst: the same contents as the page, on A4."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pkmodel.errors import InputError, Problem, RunError
from pkmodel.pages.blocks import Block, Cell, Picture, Report, Strip, Table, Verdict


def needed() -> None:
    """Raise InputError where typst is not installed."""
    if find_spec("typst") is None:
        raise InputError(Problem("no package typst", 'pip install "pkmodel[pdf]", or a report.html to print', "--pdf"))


def document(report: Report) -> bytes:
    """The report as the bytes of a PDF; with no date in it, so that the same run gives the same file.

    Raises RunError where typst refuses, which is not the user's doing.
    """
    import typst

    with tempfile.TemporaryDirectory(prefix="pkmodel-pdf-") as place:
        folder = Path(place)
        template = resources.files("pkmodel.pages") / "report.typ"
        (folder / "report.typ").write_bytes(template.read_bytes())
        plain = json.dumps(_plain(report, folder), ensure_ascii=False)
        (folder / "report.json").write_text(plain, encoding="utf-8")
        try:
            # Its own fonts only: the same on every machine.
            return typst.compile(str(folder / "report.typ"), root=place, format="pdf", ignore_system_fonts=True)
        except RuntimeError as error:
            raise RunError(f"typst could not set the report: {error}") from error


def _plain(report: Report, folder: Path) -> dict[str, Any]:
    """The report as plain data; its pictures go into ``folder``."""
    sections = [
        {"title": section.title, "blocks": [_block(block, folder) for block in section.blocks]}
        for section in report.sections
    ]
    return {
        "title": report.title,
        "question": report.question,
        "context_of_use": report.context_of_use,
        "disclaimer": report.disclaimer,
        "facts": report.facts,
        "sections": sections,
    }


def _block(block: Block, folder: Path) -> dict[str, Any]:
    if isinstance(block, Picture):
        (folder / block.name).write_bytes(block.png)
        return {"kind": block.kind, "name": block.name, "alt": block.alt, "caption": block.caption}
    if isinstance(block, Table):
        columns = [{"head": column.head, "form": column.form} for column in block.columns]
        groups = [
            {"name": name, "rows": [[_cell(cell) for cell in row] for row in rows]} for name, rows in block.groups
        ]
        return {"kind": block.kind, "caption": block.caption, "note": block.note, "columns": columns, "groups": groups}
    return {"kind": block.kind, **asdict(block)}


def _cell(cell: Cell) -> dict[str, Any]:
    if isinstance(cell, Verdict):
        return {"kind": cell.kind, "word": cell.word, "mark": cell.mark, "tone": cell.tone}
    if isinstance(cell, Strip):
        return {"kind": cell.kind, **asdict(cell)}
    return {"kind": "text", "text": cell}
