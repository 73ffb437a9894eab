"""The inputs of a run as a file beside its results, from which the same scenario is made again anywhere.

``inputs.json`` holds the text of every file that decided the run, with the name by which it was asked for, and the
options that changed it. A text is used as it was, whatever the library or the disk holds by then.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pkmodel import kept_json
from pkmodel.errors import InputError, Problem, shown
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
    if inputs.get("format") != FORMAT:
        raise InputError(Problem(f"format {shown(inputs.get('format'))}", f"format {FORMAT}", "format", where))
    kept = kept_json.checked(inputs, kept_json.Inputs, where)
    documents = [_document(item.text, item.sha256, item.asked, where) for item in kept.files]
    for item, document in zip(kept.files, documents, strict=True):
        document.asked = (item.kind, item.asked)
    head, source = kept.scenario, kept.scenario.tree
    if source is not None:
        return _made(documents, source, kept.n, kept.seed, kept.models)
    if head.text is None:
        raise InputError(Problem("nothing", "the text of the scenario, or its tree", "scenario", where))
    own = _document(head.text, head.sha256, head.name, where)
    own.asked = ("scenarios", f"{head.name}.yaml")
    return _made([*documents, own], own.asked[1], kept.n, kept.seed, kept.models)


def _document(text: str, sha256: str, name: str, where: str) -> Document:
    """A text that decided a run, if it is still the one that the run noted."""
    found = hashlib.sha256(text.encode("utf-8", errors="surrogatepass")).hexdigest()
    if found != sha256:
        expected = f"{shown(sha256[:12])}..., which the run noted: the text was changed"
        raise InputError(Problem(f"a text with the hash {found[:12]}...", expected, name, where))
    return read_yaml_text(text, f"{where}: {name}", Path(name))


def _made(documents: list[Document], source: Any, n: int | None, seed: int, models: Sequence[str]) -> Scenario:
    with loading.kept(documents):
        scenario = load_scenario(source).with_options(n=n, seed=seed)
        return scenario.with_models(models) if models else scenario


def read(file: Path) -> Scenario:
    """The scenario of an ``inputs.json``. Raises InputError where there is none, or as :func:`scenario_of` does."""
    return scenario_of(kept_json.read(file, "a run's"), str(file))


def check_against(scenario: Scenario, manifest: kept_json.Manifest, file: Path) -> None:
    """Raise InputError where the inputs of a run are not those whose hashes its manifest holds.

    ``file`` is where they were read from.
    """
    here = {key: item.sha256 for key, item in scenario.inputs.items()}
    noted = {key: item.sha256 for key, item in manifest.inputs.items()}
    for key in dict.fromkeys((*noted, *here)):
        there = noted.get(key)
        if here.get(key) != there:
            found, expected = f"hash {str(here.get(key))[:12]}", f"{str(there)[:12]}, as manifest.json says"
            raise InputError(Problem(found, expected, key, str(file)))
