"""What a file is, by its keys, and whether it is a good one of its kind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pkmodel.errors import InputError, Problem, nearest, shown
from pkmodel.specs import loading
from pkmodel.specs.library import (
    KINDS,
    load_effect,
    load_model,
    load_population,
    load_protocol,
    load_reference,
    load_rule,
    load_scenario,
)
from pkmodel.specs.loading import Source
from pkmodel.specs.model import ModelSpec
from pkmodel.specs.protocol import ProtocolSpec
from pkmodel.specs.protocol_lint import lint
from pkmodel.specs.yaml_tree import Document, Place, dotted, read_yaml

#: Keys by which a file says what it is; the first is the one that most have.
_SIGNS = {
    "models": ("compartments",),
    "protocols": ("phases",),
    "scenarios": ("arms",),
    "populations": ("sex", "mixture", "from_csv"),
    "references": ("settings", "not_compared"),
    "effects": ("on",),
    "rules": ("metric", "all", "any", "not"),
}


def kind_of(document: Document) -> str:
    """What a file is, by its keys. Raises InputError where it is none of the known kinds."""
    for kind, signs in _SIGNS.items():
        if any(sign in document.tree for sign in signs):
            return kind
    # A misspelt sign: the kind that most other keys belong to, if they do; its check names the misspelling.
    fits = {
        kind: len({info.alias or name for name, info in cls.model_fields.items()} & set(document.tree))
        for kind, cls in KINDS.items()
        if any(nearest(sign, list(document.tree)) for sign in _SIGNS[kind])
    }
    best = max(fits, key=lambda kind: fits[kind], default=None)
    if best is not None and fits[best] >= 2:
        return best
    expected = ", ".join(f"{signs[0]} ({loading.one(kind)})" for kind, signs in _SIGNS.items())
    raise InputError(Problem(f"the keys {shown(', '.join(document.tree))}", f"one of {expected}", where=document.name))


def check_file(path: Path) -> str:
    """Check one file of any kind, with all that it refers to; the answer is its kind."""
    return examine_file(path)[0]


def examine_file(path: Path) -> tuple[str, list[Problem]]:
    """Check one file of any kind; its kind, and what is legal in it and yet looks like a mistake."""
    document = read_yaml(path)
    kind = kind_of(document)
    loaders: dict[str, Callable[[Source], object]] = {
        "models": load_model,
        "effects": load_effect,
        "protocols": load_protocol,
        "populations": load_population,
        "scenarios": load_scenario,
        "references": load_reference,
        "rules": load_rule,
    }
    loaded = loaders[kind](path)
    if isinstance(loaded, ModelSpec):
        _check_protocols(loaded, document)
    doubts = lint(loaded) if isinstance(loaded, ProtocolSpec) else []
    return kind[:-1], [item.at(where=document.name, line=document.line(loading.parts(item.path))) for item in doubts]


def _check_protocols(model: ModelSpec, document: Document) -> None:
    """The protocols of a model's checks, which a run of the model has no use for."""
    problems: list[Problem] = []
    for index, check in enumerate(model.checks):
        place: Place = ("checks", index, "protocol")
        try:
            if isinstance(check.protocol, dict):
                loading.check(document, ProtocolSpec, place)
            elif check.protocol is not None:
                loading.load("protocols", check.protocol, ProtocolSpec)
        except InputError as error:
            for problem in error.problems:
                if not problem.where:  # an unknown name
                    problem = problem.at(path=dotted(place), where=document.name, line=document.line(place))
                problems.append(problem)
    if problems:
        raise InputError(problems)
