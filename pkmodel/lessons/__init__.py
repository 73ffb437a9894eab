"""Guided lessons in pharmacokinetics: predict, then reveal. Free of any page; see :mod:`pkmodel.lessons.steps`.

``LESSONS`` maps the id of a lesson to the lesson, which is built when it is first asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module

from pkmodel.errors import InputError, unknown_name
from pkmodel.lessons.steps import Answer as Answer
from pkmodel.lessons.steps import Lesson as Lesson
from pkmodel.lessons.steps import Scene as Scene
from pkmodel.lessons.steps import Step as Step

#: The lessons in the order in which a course would take them; each is ``build()`` of the module of this name.
_ORDER = (
    "bolus",
    "infusion_length",
    "nose_and_vein",
    "first_pass",
    "accumulation",
    "dosing_weight",
    "taper_threshold",
    "effect_lag",
    "models_disagree",
    "intervals",
    "mechanism",
    "hours_and_weeks",
)


class _Lessons(Mapping[str, Lesson]):
    """Lessons by id, built when they are first asked for."""

    def __init__(self) -> None:
        self._built: dict[str, Lesson] = {}

    def __getitem__(self, name: str) -> Lesson:
        if name not in _ORDER:
            raise KeyError(name)
        if name not in self._built:
            self._built[name] = import_module(f"pkmodel.lessons.{name}").build()
        return self._built[name]

    def __contains__(self, name: object) -> bool:
        return name in _ORDER

    def __iter__(self) -> Iterator[str]:
        return iter(_ORDER)

    def __len__(self) -> int:
        return len(_ORDER)


LESSONS: Mapping[str, Lesson] = _Lessons()


def lesson(name: str) -> Lesson:
    """The lesson of this id. Raises InputError with the nearest one where there is none."""
    if name not in LESSONS:
        raise InputError(unknown_name("the id of a lesson", name, LESSONS))
    return LESSONS[name]


def worksheet(of: Lesson, *, with_answers: bool = False) -> str:
    """A lesson as printable, self-contained HTML (A4); see :func:`pkmodel.lessons.sheet.page`."""
    from pkmodel.lessons.sheet import page

    return page(of, with_answers=with_answers)
