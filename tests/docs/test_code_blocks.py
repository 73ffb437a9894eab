"""Every code block of the README and the docs is run, page by page, in a folder of its own.

A block that cannot be run here has a comment above it, ``<!-- not run: reason -->``. Commands run in this process; a
run of more patients than :data:`FEW` is made smaller, which changes none of its files' form. ``pkmodel app``, which
serves until it is stopped, is left to the tests of the page.
"""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pkmodel import cli
from pkmodel.errors import InputError
from pkmodel.specs import schema
from pkmodel.specs.kinds import check_file, kind_of
from pkmodel.specs.loading import library
from pkmodel.specs.yaml_tree import read_yaml_text

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
FEW = 100
#: What a fence may hold: commands, Python, files, and output, which is not compared here.
LANGUAGES = ("sh", "python", "yaml", "text")
#: Files that pages take as the reader's own.
OWN = {"my_scenario.yaml": ("scenarios", "nasal_induction"), "my_protocol.yaml": ("protocols", "iv_single")}
_FENCE = re.compile(r"^( *)```(\S*)[^\n]*\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
_MARK = re.compile(r"<!-- (not run: .+|main-command|test-command) -->\s*$")


@dataclass(frozen=True)
class Block:
    """A fence of a page: its line, its language, its text, and why it is not run."""

    line: int
    language: str
    text: str
    skipped: str = ""
    file: str = ""
    """The file that the sentence before it names."""


def blocks(page: Path) -> list[Block]:
    """The fences of a page; directives of Sphinx are no code."""
    whole = page.read_text(encoding="utf-8")
    found, end = [], 0
    for fence in _FENCE.finditer(whole):
        before, end = whole[end : fence.start()], fence.end()
        if fence[2].startswith("{"):
            continue
        mark = _MARK.search(whole[: fence.start()])
        indent = fence[1]
        lines = [line.removeprefix(indent) for line in fence[3].splitlines()]
        line = whole[: fence.start()].count("\n") + 1
        named = re.findall(r"`(?:[\w/]+/)?([\w-]+\.yaml)`", before)
        found.append(
            Block(line, fence[2], "\n".join(lines) + "\n", mark[1] if mark else "", named[-1] if named else "")
        )
    return found


def commands(text: str) -> list[list[str]]:
    """The command lines of a block, without comments; a line that ends with a backslash goes on."""
    joined = text.replace("\\\n", " ")
    words = [shlex.split(line, comments=True) for line in joined.splitlines()]
    return [line for line in words if line]


def smaller(words: list[str]) -> list[str]:
    """The same command with few patients, where it draws some."""
    words = list(words)
    if "--n" in words:
        at = words.index("--n") + 1
        words[at] = str(min(int(words[at]), FEW))
    elif words[0] in ("run", "compare", "design", "sensitivity"):
        words += ["--n", str(FEW)]
    return words


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_blocks_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order of the page, so that a file that one block makes is there for the next."""
    monkeypatch.chdir(tmp_path)
    for name, (kind, source) in OWN.items():
        shutil.copy(library(kind)[source], tmp_path / name)
    names: dict[str, Any] = {"__name__": "page"}
    for block in blocks(page):
        where = f"{page.name}:{block.line}"
        assert block.language in LANGUAGES, f"{where}: a fence of {block.language or 'no language'}"
        if block.skipped:
            continue
        if block.language == "sh":
            for words in commands(block.text):
                _run(words, where, monkeypatch)
        elif block.language == "python":
            exec(compile(block.text, where, "exec"), names)
        elif block.language == "yaml":
            _read(block.text, where, tmp_path / (block.file or "block.yaml"))


def _run(words: list[str], where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Path(words[0]).name == "pkmodel", f"{where}: {words[0]} is not run here: mark the block"
    if words[1:2] == ["app"]:
        return
    monkeypatch.setattr(sys, "argv", ["pkmodel", *smaller(words[1:])])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code, f"{where}: {shlex.join(words)}"


def _read(text: str, where: str, file: Path) -> None:
    """A whole file is checked as one; of a part, every key is one that some kind of file has."""
    file.write_text(text, encoding="utf-8")
    document = read_yaml_text(text, where)
    try:
        kind = kind_of(document)
    except InputError:
        kind = ""
    if kind and set(schema.schema_of(kind[:-1]).get("required", ())) <= set(document.tree):
        check_file(file)
        return
    unknown = set(document.tree) - _known()
    assert not unknown, f"{where}: no kind of file has the keys {sorted(unknown)}"


def _known() -> set[str]:
    """Every key of every kind of file, at any depth."""
    found: set[str] = set()
    for kind in schema.NAMES:
        whole = schema.schema_of(kind)
        for part in (whole, *whole.get("$defs", {}).values()):
            found |= set(part.get("properties", {}))
    return found


def test_every_reason_is_one() -> None:
    """A block is left out with a reason, and most are not left out."""
    every = [block for page in PAGES for block in blocks(page) if block.language in ("sh", "python", "yaml")]
    left = [block for block in every if block.skipped]
    assert len(left) <= len(every) // 4
