"""Pages that are made from the program: every key, model, effect and command is there, and links lead somewhere."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from pkmodel.specs import schema
from pkmodel.specs.loading import library

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
sys.path.insert(0, str(DOCS))
import generate  # noqa: E402


@pytest.fixture(scope="module")
def made() -> dict[str, str]:
    """The generated pages."""
    return generate.pages()


@pytest.mark.parametrize("kind", schema.NAMES)
def test_every_key_is_listed(made: dict[str, str], kind: str) -> None:
    """At every depth, with what it is for."""
    whole, page = schema.schema_of(kind), made[f"format-{kind}"]
    for part in (whole, *whole.get("$defs", {}).values()):
        for key in part.get("properties", {}):
            assert f"| `{key}` |" in page, key
    assert not re.findall(r"^\| `\w+` \|  \|.*", page, re.MULTILINE)
    assert set(generate.KEYS[kind]) == set(whole["properties"])


def test_no_key_is_explained_that_is_none() -> None:
    """A key that was renamed takes its sentence along."""
    parts = {name: part for kind in schema.NAMES for name, part in schema.schema_of(kind).get("$defs", {}).items()}
    for name, said in generate.KEYS["parts"].items():
        if name == "every":
            used = {key for part in parts.values() for key in part.get("properties", {})}
            assert set(said) <= used
        else:
            assert set(said) <= set(parts[name]["properties"]), name


def test_catalogues_hold_what_is_shipped(made: dict[str, str]) -> None:
    """Every file by its name."""
    for kind, page in (("models", "models"), ("effects", "effects")):
        assert all(f"\n## {name}\n" in made[page] for name in library(kind))
    for kind in ("protocols", "populations", "scenarios", "rules"):
        assert all(f"| `{name}` |" in made["shipped"] for name in library(kind))


def test_every_command_is_listed(made: dict[str, str]) -> None:
    """With those of groups."""
    for words in ("run", "protocols show", "lessons show", "suggest", "replay"):
        assert f"\n## pkmodel {words}\n" in made["commands"]
    assert "`--resume`" in made["commands"]


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path, made: dict[str, str]) -> None:
    """To a page, a picture or a file of the repository."""
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)\s]*)?\)", page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        if target.startswith("generated/"):
            assert Path(target).stem in made
        else:
            assert (DOCS / target).exists(), target


def test_every_module_is_listed(made: dict[str, str]) -> None:
    """Those of the package, each with what it is for; the contract names none that is gone."""
    there = {f"pkmodel.{path.stem}" for path in (ROOT / "pkmodel").iterdir() if _is_module(path)}
    assert {name for layer in generate.layers() for name in layer} <= there
    assert all(re.search(rf"\| `{re.escape(name)}` \| \w", made["modules"]) for name in there)


def _is_module(path: Path) -> bool:
    return (path.suffix == ".py" or (path / "__init__.py").exists()) and not path.stem.startswith("__")


def test_architecture_names_what_there_is() -> None:
    """No module on the page is one that is gone."""
    page = (DOCS / "architecture.md").read_text(encoding="utf-8")
    for name in re.findall(
        r"`([a-z_]+(?:\.[a-z_]+|/[a-z_]*)?)`", page.split("| question | owner |")[1].split("**Kernels")[0]
    ):
        place = ROOT / "pkmodel" / name.split(".")[0]
        assert place.with_suffix(".py").exists() or place.is_dir(), name
