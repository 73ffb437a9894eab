"""Files found by name or by path, checked against a specification, every mistake reported at once."""

from __future__ import annotations

import copy
import re
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from pkmodel.errors import InputError, Problem, nearest, one_of, shown, unknown_name
from pkmodel.specs.yaml_tree import Document, Place, dotted, read_yaml

Source = str | Path | Mapping[str, Any]
S = TypeVar("S", bound="Spec")

_KEPT: ContextVar[Mapping[tuple[str, str], Document]] = ContextVar("documents of an earlier run", default={})  # noqa: B039
_PACKAGE = Path(__file__).resolve().parent.parent


class Spec(BaseModel):
    """Base of everything that can stand in a file: unknown keys are refused, values are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)


@cache
def library(kind: str) -> dict[str, Path]:
    """The shipped files of a kind by name: models, effects, protocols, populations, scenarios, rules.

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


def one(kind: str) -> str:
    """One of a kind of file, with its article: ``a model``, ``an effect``."""
    return f"{'an' if kind[0] in 'aeio' else 'a'} {kind[:-1]}"


def find(kind: str, source: str | Path, *, beside: Path | None = None) -> Path:
    """The file that ``source`` names: a library name, or a path (relative to ``beside`` where given).

    Raises InputError with the nearest library name.
    """
    if is_path(source):
        path = Path(source).expanduser()
        return beside / path if beside and not path.is_absolute() and not path.exists() else path
    known = library(kind)
    if str(source) not in known:
        raise InputError(unknown_name(f"the name of {one(kind)} or the path of a YAML file", source, known))
    return known[str(source)]


def document_of(kind: str, source: Source, *, beside: Path | None = None) -> Document:
    """The document of a name, a path, or a mapping that holds what a file would."""
    if isinstance(source, Mapping):
        return Document(name=f"<{kind[:-1]}>", tree=dict(source))
    kept = _KEPT.get().get((kind, str(source)))
    if kept is not None:
        return kept
    document = read_yaml(find(kind, source, beside=beside))
    document.asked = (kind, str(source))
    return document


@contextmanager
def kept(documents: Iterable[Document]) -> Iterator[None]:
    """Within this, what these documents were asked for by gives them, whatever the library or the disk holds now."""
    token = _KEPT.set({document.asked: document for document in documents})
    try:
        yield
    finally:
        _KEPT.reset(token)


def load(kind: str, source: Source, cls: type[S], *, beside: Path | None = None) -> tuple[S, Document]:
    """Read and check one file (or a mapping that holds what a file would)."""
    document = document_of(kind, source, beside=beside)
    return check(document, cls), document


def check(document: Document, cls: type[S], place: Place = ()) -> S:
    """Validate a document, or the part of it at ``place``; raises one InputError with every mistake."""
    spec, problems = examine(document, cls, place)
    if spec is None or problems:
        raise InputError(problems)
    return spec


def examine(document: Document, cls: type[S], place: Place = ()) -> tuple[S | None, list[Problem]]:
    """Validate a document; every mistake in it, and what is left of it without them (None where nothing is).

    Mistakes of single values hide those between the sections of a file. So what is wrong is cut out and the rest
    looked at again, until it holds or nothing new is found; what is missing only because it was cut out is not said.
    """
    tree = document.tree
    for part in place:
        tree = tree[part]
    pruned = _Pruned(tree)
    problems: list[Problem] = []
    for _ in range(6):
        try:
            return cls.model_validate(pruned.tree, context={"document": document}), problems
        except ValidationError as error:
            found: list[tuple[Place, Problem]] = []
            for detail in error.errors(include_url=False):
                if detail["type"] == "default_factory_not_called":
                    continue  # what is wrong elsewhere, said again of a key that is not there
                found += _problems(cls, detail, document, place, pruned)
        fresh = [problem for loc, problem in _without_echoes(found) if not pruned.explains(loc, problem)]
        meant = {(*item.path.rpartition(".")[:2], item.nearest) for item in problems if item.nearest}
        fresh = [item for item in fresh if item.found != "nothing" or item.path.rpartition(".") not in meant]
        problems += [problem for problem in fresh if problem not in problems]
        cuts = [pruned.cut(loc) for loc, _ in sorted(found, key=lambda item: _order(item[0]), reverse=True)]
        if not all(cuts):
            break
    return None, problems


def _order(place: Place) -> tuple[str, ...]:
    """Places in an order in which later items of a list come later."""
    return tuple(f"{part:09d}" if isinstance(part, int) else part for part in place)


def _without_echoes(found: list[tuple[Place, Problem]]) -> list[tuple[Place, Problem]]:
    """Without "nothing, expected the key arms" where the misspelling ``amrs`` of that key is reported anyway."""
    meant = {(loc[:-1], problem.nearest) for loc, problem in found if problem.found.startswith("the key ")}
    return [
        (loc, problem)
        for loc, problem in found
        if problem.found != "nothing" or (loc[:-1], loc[-1:][0] if loc else "") not in meant
    ]


class _Pruned:
    """A copy of a tree from which wrong parts are cut out; list items keep the index they had."""

    def __init__(self, tree: Any):
        self.tree = copy.deepcopy(tree)
        self.gone: list[Place] = []
        self._kept: dict[Place, list[int]] = {}

    def original(self, loc: Place) -> Place:
        """A place in the pruned tree as it was in the whole one."""
        place: Place = ()
        for part in loc:
            kept = self._kept.get(place)
            place = (*place, kept[part] if kept is not None and isinstance(part, int) and part < len(kept) else part)
        return place

    def explains(self, loc: Place, problem: Problem) -> bool:
        """Whether a problem is only there because something was cut out."""
        place = self.original(loc)
        for gone in self.gone:
            if place == gone[: len(place)] or gone == place[: len(gone)]:  # above it, or below
                return True
            holder = gone[:-1]  # beside it: the rest of a mapping, or a list whose order has changed
            if holder and place[: len(holder)] == holder and (isinstance(gone[-1], int) or len(place) == len(gone)):
                return True
            if isinstance(gone[-1], str) and problem.found == gone[-1]:  # it looks for what was cut out
                return True
        return False

    def cut(self, loc: Place) -> bool:
        """Cut out what is at ``loc``, or the nearest thing around it that is there; False where nothing can be."""
        for length in range(len(loc), 0, -1):
            *parents, last = loc[:length]
            holder = self.tree
            try:
                for part in parents:
                    holder = holder[part]
                holder[last]
            except (KeyError, IndexError, TypeError):
                continue
            if isinstance(holder, str):
                continue
            self.gone.append(self.original(loc[:length]))
            if isinstance(holder, list) and isinstance(last, int):
                place = self.original(tuple(parents))
                kept = self._kept.setdefault(place, list(range(len(holder))))
                del kept[last], holder[last]
            else:
                del holder[last]
            return True
        return False


def _problems(
    cls: type[BaseModel], detail: Any, document: Document, prefix: Place, pruned: _Pruned
) -> list[tuple[Place, Problem]]:
    """pydantic's error in our own words, with the place in the pruned tree."""
    loc = _real_place(pruned.tree, detail["loc"])
    place = (*prefix, *pruned.original(loc))
    inner = detail.get("ctx", {}).get("error")
    if isinstance(inner, InputError):
        found = []
        for problem in inner.problems:
            at = _real_place(pruned.tree, (*loc, *parts(problem.path)))
            whole = (*prefix, *pruned.original(at))
            found.append((at, problem.at(path=dotted(whole), where=document.name, line=document.line(whole))))
        return found
    kind, value = detail["type"], detail["input"]
    close = ""
    if kind == "extra_forbidden":
        legal = _keys_at(cls, detail["loc"][:-1])
        seen, expected, close = f"the key {shown(str(loc[-1]))}", one_of(legal, 30), nearest(loc[-1], legal)
    elif kind == "missing":
        seen, expected = "nothing", f"the key {loc[-1]}"
    elif kind == "literal_error":
        expected = "one of " + detail["ctx"]["expected"].replace("'", "")
        legal = [word.strip(" '") for word in detail["ctx"]["expected"].replace(" or ", ",").split(",")]
        seen, close = shown(value), nearest(value, legal)
    else:
        message = detail["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
        seen, expected = shown(value), _PLAIN.get(kind, message)
        if value is None:
            seen = "nothing"
    return [(loc, Problem(seen, expected, dotted(place), document.name, document.line(place), close))]


#: pydantic's words where ours are plainer.
_PLAIN = {
    "model_type": "keys and values",
    "dict_type": "keys and values",
    "list_type": "a list",
    "too_short": "at least one item",
    "string_pattern_mismatch": "a name of letters, digits and _, which begins with a letter",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "float_type": "a number",
    "string_type": "text",
    "bool_type": "true or false",
}
#: Parts of a place that our own short forms put in, and that no file has.
_INVENTED = ("effects", "paths", "site", "listed", "do", "[key]", "[number]", "[form]")


def _real_place(tree: Any, loc: Place) -> Place:
    """A place of pydantic's as it is in the file: without the levels that short forms of ours added."""
    place: list[str | int] = []
    holder = tree
    for index, part in enumerate(loc):
        try:
            holder = holder[part]
        except (KeyError, IndexError, TypeError):
            if part in _INVENTED:
                continue
            return (*place, *(rest for rest in loc[index:] if rest not in _INVENTED))
        place.append(part)
    return tuple(place)


_PART = re.compile(r"\[([0-9]{1,9})\]|((?:[^.\[]|\[(?![0-9]{1,9}\]))+)")


def parts(path: str) -> Place:
    """``a[1].b`` as a place; the inverse of :func:`dotted` for the paths that our validators give.

    A key of a file may have brackets that are no number's.
    """
    return tuple(int(index) if index else word for index, word in _PART.findall(path))


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
