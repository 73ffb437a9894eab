"""The quantities of a protocol file that a search may turn: found in the file, named by their place, set to a value."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pkmodel import units
from pkmodel.errors import InputError, Problem, nearest, one_of
from pkmodel.specs.yaml_tree import Place, dotted
from pkmodel.units import Quantity

#: Keys whose values are words, and those of decisions on the day, which no search turns.
_LEFT_ALONE = ("title", "source", "notes", "name", "drug", "route", "as", "clinic", "adherence")


@dataclass(frozen=True)
class Knob:
    """A quantity of a protocol that is searched over: one place, or several that hold the same quantity."""

    name: str
    places: tuple[Place, ...]
    now: Quantity

    @property
    def unit(self) -> str:
        """The unit that the file has it in."""
        return self.now.unit.text

    def number(self, text: str, option: str) -> float:
        """A value that an option gives, as a number in :attr:`unit`; raises InputError where it is of another kind."""
        try:
            given = units.parse(text)
        except InputError as error:
            raise InputError([problem.at(where=option) for problem in error.problems]) from None
        if given.unit.dimensions != self.now.unit.dimensions or given.value <= 0:
            raise InputError(
                Problem(given.text, f"a value above 0 as {self.now.text} is, for {self.name}", where=option)
            )
        return units.convert(given.value, self.unit)


def quantities(tree: Mapping[str, Any]) -> dict[str, tuple[Place, Quantity]]:
    """Every quantity of a protocol above 0, by its place in the file such as ``phases[0].dose``."""
    return {dotted(place): (place, quantity) for place, quantity in _walk(tree, ())}


def _walk(tree: Any, place: Place) -> Iterator[tuple[Place, Quantity]]:
    if isinstance(tree, dict):
        for key, value in tree.items():
            if key not in _LEFT_ALONE:
                yield from _walk(value, (*place, key))
    elif isinstance(tree, list):
        for index, value in enumerate(tree):
            yield from _walk(value, (*place, index))
    elif isinstance(tree, str):
        try:
            quantity = units.parse(tree)
        except InputError:
            return
        if quantity.unit.text and quantity.value > 0:
            yield place, quantity


def find(tree: Mapping[str, Any], name: str, option: str = "--parameter") -> Knob:
    """The knob called ``name``: a place such as ``phases[1].dose``, or the end of one.

    The end of several places is enough where all of them hold the same quantity, which is then set in all. A phase
    may be called by its name (``taper.dose``).

    Raises InputError with the names that there are.
    """
    known = quantities(tree)
    found: list[str] = []
    for wanted in (name, _by_number(tree, name)):
        found = found or [path for path in known if path == wanted or path.endswith(f".{wanted}")]
    if not found:
        legal = list(dict.fromkeys([*(path.rpartition(".")[2] for path in known), *known]))
        raise InputError(Problem(name, one_of(list(known)), where=option, nearest=nearest(name, legal)))
    now = [known[path][1] for path in found]
    if any((item.value, item.unit.dimensions) != (now[0].value, now[0].unit.dimensions) for item in now):
        several = ", ".join(f"{path} ({known[path][1].text})" for path in found)
        raise InputError(Problem(f"{name}, which may be {several}", "one of them", where=option))
    return Knob(name, tuple(known[path][0] for path in found), now[0])


def _by_number(tree: Mapping[str, Any], name: str) -> str:
    """A place with a phase's name instead of its number, by its number."""
    head, dot, rest = name.partition(".")
    names = [phase.get("name") for phase in tree.get("phases") or () if isinstance(phase, dict)]
    return f"phases[{names.index(head)}].{rest}" if dot and head in names else name


def turned(tree: Mapping[str, Any], settings: Sequence[tuple[Knob, float]]) -> dict[str, Any]:
    """The protocol with other values, numbers in the units of the knobs."""
    changed = copy.deepcopy(dict(tree))
    for knob, number in settings:
        for place in knob.places:
            at: Any = changed
            for step in place[:-1]:
                at = at[step]
            at[place[-1]] = f"{number:.12g} {knob.unit}"
    return changed
