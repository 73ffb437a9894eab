"""Pages that are made from the program itself, so that they cannot fall behind it: formats, catalogues, commands.

A Sphinx extension: the pages are written into ``docs/generated`` when a build begins, and are not kept in the
repository. ``pages()`` gives them as text.
"""

from __future__ import annotations

import importlib
import inspect
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from pkmodel.specs import library, schema
from pkmodel.specs.loading import library as shipped

FOLDER = Path(__file__).parent / "generated"
#: What keys are for: those at the top of a file by kind, and under ``parts`` those of its parts.
KEYS: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "keys.yaml").read_text(encoding="utf-8"))


def setup(app: Any) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("builder-inited", lambda _: write())
    return {"parallel_read_safe": True}


def write() -> None:
    """Write every page whose text has changed."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        file = FOLDER / f"{name}.md"
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            file.write_text(text, encoding="utf-8")


def pages() -> dict[str, str]:
    """Every generated page by its name."""
    made = {f"format-{kind}": format_page(kind) for kind in schema.NAMES}
    made["models"] = models_page()
    made["effects"] = effects_page()
    made["shipped"] = shipped_page()
    made["commands"] = commands_page()
    made["modules"] = modules_page()
    return made


def _cell(text: object) -> str:
    """A text in one cell of a table."""
    return " ".join(str(text).split()).replace("|", "\\|").replace("<", "\\<").replace("*", "\\*")


def _table(head: list[str], rows: list[list[object]]) -> str:
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    return "\n".join([*lines, *(f"| {' | '.join(_cell(cell) for cell in row)} |" for row in rows)]) + "\n"


# Formats ---------------------------------------------------------------------------------------------------------


def format_page(kind: str) -> str:
    """Every key of a kind of file, from the schema that ``pkmodel schema`` prints."""
    found = schema.schema_of(kind)
    parts = found.get("$defs", {})
    text = f"# Keys of {_article(kind)} file\n\n"
    text += f"Made from `pkmodel schema {kind}`, which an editor can use to check a file while it is written. "
    text += "Unknown keys are refused, with the nearest legal one.\n\n"
    text += _keys(found, kind, KEYS.get(kind, {}))
    for name in _in_order(found, parts):
        part = parts[name]
        text += f"\n({_anchor(kind, name)})=\n## {name}\n\n{_plain(part.get('description', ''))}\n\n"
        text += _keys(part, kind, meanings(name)) if "properties" in part else f"{_takes(part, kind)}\n"
    return text


def meanings(part: str) -> dict[str, str]:
    """What the keys of a part of a file are for."""
    return KEYS["parts"]["every"] | KEYS["parts"].get(part, {})


def _article(word: str) -> str:
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"


def _anchor(kind: str, name: str) -> str:
    return f"{kind}-{name}".lower()


def _plain(docstring: str) -> str:
    """The first paragraph of a docstring, in Markdown."""
    first = docstring.strip().split("\n\n")[0]
    return re.sub(r":\w+:`~?([^`]*)`", r"`\1`", first).replace("``", "`")


def _in_order(found: dict[str, Any], parts: dict[str, Any]) -> list[str]:
    """Parts in the order in which they are first referred to."""
    seen: list[str] = []

    def follow(tree: Any) -> None:
        if isinstance(tree, dict):
            if "$ref" in tree and (name := tree["$ref"].rsplit("/", 1)[-1]) not in seen:
                seen.append(name)
                follow(parts[name])
            for key, value in tree.items():
                if key != "$defs":
                    follow(value)
        elif isinstance(tree, list):
            for value in tree:
                follow(value)

    follow(found)
    return seen


def _keys(part: dict[str, Any], kind: str, meanings: dict[str, str]) -> str:
    needed = set(part.get("required", ()))
    rows = []
    for key, value in part.get("properties", {}).items():
        default = value.get("default")
        absent = "needed" if key in needed else "" if default in (None, [], {}) else f"`{default}`"
        rows.append([f"`{key}`", meanings.get(key, ""), _takes(value, kind), absent])
    return _rows(["key", "what", "takes", "without it"], rows)


def _rows(head: list[str], rows: list[list[Any]]) -> str:
    """A table whose cells are Markdown already."""
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    return "\n".join([*lines, *(f"| {' | '.join(str(cell) for cell in row)} |" for row in rows)]) + "\n"


def _takes(value: dict[str, Any], kind: str) -> str:
    """What may stand under a key, in words."""
    if "$ref" in value:
        name = value["$ref"].rsplit("/", 1)[-1]
        return f"[{name}](#{_anchor(kind, name)})"
    if "enum" in value:
        return " or ".join(f"`{item}`" for item in value["enum"])
    if "const" in value:
        return f"`{value['const']}`"
    for several in ("anyOf", "oneOf"):
        if several in value:
            told = [_takes(item, kind) for item in value[several] if item.get("type") != "null"]
            return ", or ".join(dict.fromkeys(told))
    if "description" in value:
        return _cell(value["description"])
    what = value.get("type")
    if what == "array":
        inner = value.get("items") or {}
        return f"a list of {_takes(inner, kind)}" if inner else "a list"
    if what == "object":
        inner = value.get("additionalProperties")
        return f"names, each with {_takes(inner, kind)}" if isinstance(inner, dict) and inner else "keys and values"
    ends = [f"{said} {value[key]}" for key, said in _ENDS.items() if key in value]
    return " ".join([_WORDS.get(str(what), "anything"), *ends])


_WORDS = {"string": "text", "integer": "a whole number", "number": "a number", "boolean": "`true` or `false`"}
_ENDS = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "to", "exclusiveMaximum": "below"}


# Catalogues ------------------------------------------------------------------------------------------------------


def models_page() -> str:
    """Every model with its numbers, their places in the paper and their grades."""
    text = "# Models\n\nMade from the files in `pkmodel/models`. What a grade means: "
    text += "[limits of use](../limits-of-use.md). How each does against published figures: "
    text += "[verification](../verification.md).\n\n"
    found = {name: library.load_model(name) for name in sorted(shipped("models"))}
    rows = [[f"[{name}](#{name})", one.title, one.evidence, one.sampling] for name, one in found.items()]
    text += _table(["model", "what", "evidence", "sampled"], rows)
    for name, model in found.items():
        text += f"\n({name})=\n## {name}\n\n{model.title}.\n\n{_source(model.source)}\n\n"
        valid = [f"{what} {ends[0]:g} to {ends[1]:g} {unit}" for what, ends, unit in _valid(model) if ends]
        text += f"* built on {model.population.n} people: {model.population.description}\n" if model.population else ""
        text += f"* valid for {', '.join([*valid, *('by ' + route for route in model.valid_for.routes)])}\n"
        text += f"* engine: {'propagator (exact)' if model.linear else 'ODE solver'}; levels are {model.sampling}\n"
        text += f"* gives {', '.join(f'{output} in {item.unit}' for output, item in model.outputs.items())}\n\n"
        text += _table(
            ["parameter", "typical value", "from", "grade"],
            [
                [key, _value(item), item.origin, item.evidence or model.evidence]
                for key, item in model.parameters.items()
            ],
        )
        said = [*model.assumptions, *model.notes]
        text += "\n" + "".join(f"* {_cell(sentence)}\n" for sentence in dict.fromkeys(said))
    return text


def _value(item: Any) -> str:
    """The typical value of a parameter as the file writes it, or how it is converted from the paper's own."""
    return item.value.text if item.value is not None else f"`{item.conversion.text}`"


def _valid(model: Any) -> Iterator[tuple[str, tuple[float, float] | None, str]]:
    yield "age", model.valid_for.age, "y"
    yield "weight", model.valid_for.weight, "kg"


def _source(source: Any) -> str:
    """A citation with its links."""
    if source is None:
        return "No publication."
    said = _cell(source if isinstance(source, str) else source.citation)
    doi = getattr(source, "doi", None)
    return f"{said}. doi:{doi}" if doi else said


def effects_page() -> str:
    """Every effect with its numbers; illustrative ones are called so."""
    text = (
        "# Effects\n\nMade from the files in `pkmodel/effects`. An effect attaches to any model that gives what it is "
    )
    text += "stated for. *Illustrative* ones are for teaching; they are called so wherever they appear.\n\n"
    found = {name: library.load_effect(name) for name in sorted(shipped("effects"))}
    rows = [
        [name, item.title, item.evidence or "", "illustrative" if item.illustrative else ""]
        for name, item in found.items()
    ]
    text += _table(["effect", "what", "evidence", ""], rows)
    for name, effect in found.items():
        text += f"\n## {name}\n\n{effect.title}. "
        text += "**Illustrative.** " if effect.illustrative else ""
        text += f"{_source(effect.source)}\n\n"
        if effect.parameters:
            rows = [[key, _value(item), item.origin, item.evidence or ""] for key, item in effect.parameters.items()]
            text += _table(["parameter", "typical value", "from", "grade"], rows)
        text += "\n" + "".join(f"* {_cell(sentence)}\n" for sentence in effect.notes)
    return text


def shipped_page() -> str:
    """Protocols, populations, scenarios and rules by name."""
    text = (
        "# Protocols, populations, scenarios, rules\n\nThe files that come with pkmodel; `pkmodel protocols show NAME "
    )
    text += '--weight "70 kg"` and the like print them.\n'
    for kind in ("protocols", "populations", "scenarios", "rules"):
        load = getattr(library, f"load_{kind[:-1]}")
        rows = []
        for name in sorted(shipped(kind)):
            item = load(name)
            item = getattr(item, "spec", item)
            source = getattr(item, "source", None)
            rows.append([f"`{name}`", item.title or "", _source(source) if source else ""])
        text += f"\n## {kind.capitalize()}\n\n{_table(['name', 'what', 'source'], rows)}"
    return text


# Modules ---------------------------------------------------------------------------------------------------------


def layers() -> list[list[str]]:
    """The layers of the import contract, from the command line down; modules of one layer do not know each other."""
    with (FOLDER.parents[1] / "pyproject.toml").open("rb") as file:
        contracts = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    (arrow,) = (contract["layers"] for contract in contracts if contract["type"] == "layers")
    return [[name.strip() for name in layer.split(":")] for layer in arrow]


def modules_page() -> str:
    """Every module with what it says of itself, in the order of the import contract."""
    text = (
        "# Modules\n\nMade from the import contract in `pyproject.toml`: a module may import those below it, and none "
    )
    text += (
        "above. Kernels (`pkmodel.core`) know nothing of the rest. Modules below `pkmodel.disclaimer` are not in the "
    )
    text += "contract.\n\n"
    rows: list[list[object]] = []
    package = FOLDER.parents[1] / "pkmodel"
    there = {
        f"pkmodel.{path.parent.name if path.stem == '__init__' else path.stem}"
        for path in package.glob("*/__init__.py")
    }
    there |= {f"pkmodel.{path.stem}" for path in package.glob("*.py") if not path.stem.startswith("__")}
    ordered = [name for layer in layers() for name in layer]
    for name in [*ordered, *sorted(there - set(ordered))]:
        said = inspect.getdoc(importlib.import_module(name)) or ""
        rows.append([f"`{name}`", _cell(_plain(said))])
    return text + _rows(["module", "what it answers"], rows)


# Commands --------------------------------------------------------------------------------------------------------


def commands_page() -> str:
    """Every command with its arguments and options."""
    import typer.main

    from pkmodel.cli.commands import app

    text = "# Commands\n\nMade from the command line itself; `pkmodel COMMAND --help` prints the same. Exit codes: "
    text += "0 it ran, 1 a check failed, 2 the input is wrong, 3 the run failed, 130 interrupted.\n"
    return text + "".join(_commands(typer.main.get_command(app), "pkmodel"))


def _commands(command: Any, name: str) -> Iterator[str]:
    inner = getattr(command, "commands", {})
    if name != "pkmodel":
        yield f"\n## {name}\n\n{_plain(inspect.cleandoc(command.help or ''))}\n\n"
        rows = []
        for parameter in command.params:
            if parameter.name == "help":
                continue
            option = parameter.param_type_name == "option"
            said = ", ".join(f"`{word}`" for word in parameter.opts) if option else f"`{parameter.name.upper()}`"
            rows.append([said, _cell(getattr(parameter, "help", None) or "")])
        if rows:
            yield _rows(["argument or option", "what"], rows)
    for word in sorted(inner):
        yield from _commands(inner[word], f"{name} {word}")
