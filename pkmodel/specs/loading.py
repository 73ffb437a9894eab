"""Files found by name or by path, checked against a specification, every mistake reported at once."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from pkmodel.errors import InputError, Problem, nearest, one_of, shown, unknown_name
from pkmodel.specs.yaml_tree import Document, Place, dotted, read_yaml

Source = str | Path | Mapping[str, Any]
S = TypeVar("S", bound="Spec")

_PACKAGE = Path(__file__).resolve().parent.parent


class Spec(BaseModel):
    """Base of everything that can stand in a file: unknown keys are refused, values are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)


@cache
def library(kind: str) -> dict[str, Path]:
    """The shipped files of a kind (``models``, ``protocols``, ``populations``, ``scenarios``) by name.

    In a wheel all of them lie in the package; in a checkout (an editable install) the protocols and
    scenarios stand beside it.
    """
    folders = [_PACKAGE / kind]
    if (_PACKAGE.parent / "pyproject.toml").is_file():
        folders.append(_PACKAGE.parent / kind)
    return {file.stem: file for folder in folders if folder.is_dir() for file in sorted(folder.glob("*.yaml"))}


def is_path(source: str | Path) -> bool:
    """Whether ``source`` is meant as a path (it ends in .yaml or has a separator) and not as a name."""
    text = str(source)
    return isinstance(source, Path) or text.endswith((".yaml", ".yml")) or "/" in text or "\\" in text


def find(kind: str, source: str | Path, *, beside: Path | None = None) -> Path:
    """The file that ``source`` names: a library name, or a path (relative to ``beside`` where given).

    Raises InputError with the nearest library name.
    """
    if is_path(source):
        path = Path(source).expanduser()
        return beside / path if beside and not path.is_absolute() and not path.exists() else path
    known = library(kind)
    if str(source) not in known:
        raise InputError(unknown_name(f"the name of a {kind[:-1]} or the path of a YAML file", source, known))
    return known[str(source)]


def load(kind: str, source: Source, cls: type[S], *, beside: Path | None = None) -> tuple[S, Document]:
    """Read and check one file (or a mapping that holds what a file would)."""
    if isinstance(source, Mapping):
        document = Document(name=f"<{kind[:-1]}>", tree=dict(source))
    else:
        document = read_yaml(find(kind, source, beside=beside))
    return check(document, cls), document


def check(document: Document, cls: type[S], place: Place = ()) -> S:
    """Validate a document, or the part of it at ``place``; raises one InputError with every mistake."""
    tree = document.tree
    for part in place:
        tree = tree[part]
    try:
        return cls.model_validate(tree, context={"document": document})
    except ValidationError as error:
        problems: list[Problem] = []
        for detail in error.errors(include_url=False):
            problems += _problems(cls, detail, document, place)
        raise InputError(problems) from None


def _problems(cls: type[BaseModel], detail: Any, document: Document, prefix: Place) -> list[Problem]:
    """pydantic's error in our own words."""
    loc: Place = detail["loc"]
    place = (*prefix, *loc)
    inner = detail.get("ctx", {}).get("error")
    if isinstance(inner, InputError):
        found = []
        for problem in inner.problems:
            at = (*place, *parts(problem.path))
            found.append(problem.at(path=dotted(at), where=document.name, line=document.line(at)))
        return found
    kind, value = detail["type"], detail["input"]
    close = ""
    if kind == "extra_forbidden":
        legal = _keys_at(cls, loc[:-1])
        seen, expected, close = f"the key {shown(str(loc[-1]))}", one_of(legal, 30), nearest(loc[-1], legal)
    elif kind == "missing":
        seen, expected = "nothing", f"the key {loc[-1]}"
        if isinstance(value, dict):
            spare = [key for key in value if key not in _keys_at(cls, loc[:-1])]
            close = nearest(loc[-1], spare)
    elif kind == "literal_error":
        expected = "one of " + detail["ctx"]["expected"].replace("'", "")
        legal = [word.strip(" '") for word in detail["ctx"]["expected"].replace(" or ", ",").split(",")]
        seen, close = shown(value), nearest(value, legal)
    else:
        message = detail["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
        seen, expected = shown(value), message
        if value is None:
            seen = "nothing"
    return [Problem(seen, expected, dotted(place), document.name, document.line(place), close)]


def parts(path: str) -> Place:
    """``a[1].b`` as a place; the inverse of :func:`dotted` for the paths that our validators give."""
    parts: list[str | int] = []
    for word in path.replace("[", ".#").replace("]", "").split("."):
        if word:
            parts.append(int(word[1:]) if word.startswith("#") else word)
    return tuple(parts)


def _keys_at(cls: type[BaseModel], loc: Place) -> list[str]:
    """The legal keys of the mapping at ``loc``, found by walking the annotations of ``cls``."""
    candidates: list[Any] = [cls]
    for part in loc:
        following: list[Any] = []
        for candidate in candidates:
            if isinstance(candidate, type) and issubclass(candidate, BaseModel):
                for name, info in candidate.model_fields.items():
                    if part in (name, info.alias):
                        following += _flat(info.annotation)
            else:
                following += [inner for arg in typing.get_args(candidate) for inner in _flat(arg)]
        candidates = following or candidates
    for candidate in candidates:
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return [info.alias or name for name, info in candidate.model_fields.items()]
    return []


def _flat(annotation: Any) -> list[Any]:
    """An annotation without its ``| None`` and ``Annotated`` wrapping."""
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType):
        return [inner for arg in typing.get_args(annotation) for inner in _flat(arg)]
    if origin is typing.Annotated:
        return _flat(typing.get_args(annotation)[0])
    return [annotation]
