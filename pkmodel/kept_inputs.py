"""The inputs of a run as a file beside its results, from which the same scenario is made again anywhere.

``inputs.json`` holds the text of every file that decided the run, with the name by which it was asked for, and the
options that changed it. A text is used as it was, whatever the library or the disk holds by then.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pkmodel.errors import InputError, Problem
from pkmodel.specs import loading
from pkmodel.specs.library import Loaded, Scenario, load_scenario
from pkmodel.specs.yaml_tree import Document, read_yaml_text

FILE = "inputs.json"
FORMAT = 1


def plain(scenario: Scenario, *, precise: bool = False) -> dict[str, Any]:
    """The inputs of a scenario as plain data; for :func:`scenario_of`.

    ``precise`` where its own ``precision`` says how many patients there are, as it will again.
    """
    items = [(key, item) for key, item in scenario.inputs.items() if key != "scenario"]
    items += [("", item) for item in scenario.unused]
    files = [
        {"key": key, "kind": kind, "asked": asked, "sha256": item.sha256, "text": item.document.text}
        for key, item in items
        if (kind := item.document.asked[0]) and (asked := item.document.asked[1])
    ]
    return {
        "format": FORMAT,
        "scenario": _scenario(scenario.inputs["scenario"]),
        "n": None if precise else scenario.spec.n,
        "seed": scenario.spec.seed,
        "models": list(scenario.overridden),
        "files": sorted(files, key=lambda item: (item["kind"], item["asked"])),
    }


def _scenario(item: Loaded) -> dict[str, Any]:
    document = item.document
    if document.text:
        return {"name": item.name, "sha256": item.sha256, "text": document.text}
    return {"name": item.name, "sha256": item.sha256, "tree": document.tree}


def scenario_of(inputs: dict[str, Any], where: str) -> Scenario:
    """The scenario that these inputs make.

    Raises
    ------
    InputError
        where they are of another format, a text is not the one whose hash stands beside it, or this version of the
        package does not take it. ``where`` is the file, for messages.
    """
    try:
        if inputs["format"] != FORMAT:
            raise InputError(Problem(f"format {inputs['format']}", f"format {FORMAT}", "format", where))
        documents = []
        for item in inputs["files"]:
            _check(item, item["asked"], where)
            document = read_yaml_text(item["text"], f"{where}: {item['asked']}", Path(item["asked"]))
            document.asked = (item["kind"], item["asked"])
            documents.append(document)
        head = inputs["scenario"]
        source: Any = head.get("tree")
        if source is None:
            _check(head, head["name"], where)
            source = f"{head['name']}.yaml"
            own = read_yaml_text(head["text"], f"{where}: {head['name']}", Path(source))
            own.asked = ("scenarios", source)
            documents.append(own)
        n, seed, models = inputs["n"], inputs["seed"], inputs["models"]
    except (KeyError, TypeError) as error:
        raise InputError(Problem(f"nothing of {error}", f"the {FILE} that a run wrote", where=where)) from None
    return _made(documents, source, n, seed, models)


def _made(documents: list[Document], source: Any, n: int | None, seed: int, models: list[str]) -> Scenario:
    with loading.kept(documents):
        scenario = load_scenario(source).with_options(n=n, seed=seed)
        return scenario.with_models(models) if models else scenario


def _check(item: dict[str, Any], name: str, where: str) -> None:
    found = hashlib.sha256(item["text"].encode()).hexdigest()
    if found != item["sha256"]:
        expected = f"{item['sha256'][:12]}..., which the run noted: the text was changed"
        raise InputError(Problem(f"a text with the hash {found[:12]}...", expected, name, where))


def read(file: Path) -> Scenario:
    """The scenario of an ``inputs.json``. Raises InputError where there is none, or as :func:`scenario_of` does."""
    return scenario_of(read_json(file, "a run's"), str(file))


def check_against(scenario: Scenario, manifest: Mapping[str, Any], file: Path) -> None:
    """Raise InputError where the inputs of a run are not those whose hashes its manifest holds.

    ``file`` is where they were read from.
    """
    here = {key: item.sha256 for key, item in scenario.inputs.items()}
    noted: Mapping[str, Any] = manifest.get("inputs", {})
    for key in dict.fromkeys((*noted, *here)):
        there = noted.get(key, {}).get("sha256")
        if here.get(key) != there:
            found, expected = f"hash {str(here.get(key))[:12]}", f"{str(there)[:12]}, as manifest.json says"
            raise InputError(Problem(found, expected, key, str(file)))


def read_json(file: Path, whose: str) -> dict[str, Any]:
    """A JSON file of a run. Raises InputError where it is not there or no such file."""
    expected = f"{whose} {file.name}"
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(Problem("no such file", expected, where=str(file))) from None
    except (OSError, ValueError) as error:
        raise InputError(Problem(f"a file that cannot be read ({error})", expected, where=str(file))) from None
    if not isinstance(found, dict):
        raise InputError(Problem("something else", expected, where=str(file)))
    return found
