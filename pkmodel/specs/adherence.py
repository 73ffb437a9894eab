"""Sessions that a patient misses or comes late to, and what the protocol does about them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from pkmodel.errors import InputError, Problem, nearest, one_of, shown
from pkmodel.specs import fields
from pkmodel.specs.loading import Spec


class LateSession(Spec):
    """A session that everybody comes late to."""

    session: Annotated[int, Field(ge=1, le=99999)]
    by: fields.Duration


def _listed(value: object) -> object:
    """A list is short for ``{listed: [...]}``."""
    return {"listed": value} if isinstance(value, list) else value


class Missed(Spec):
    """Sessions by number that everybody misses, or a ``share`` of sessions, by chance."""

    listed: list[Annotated[int, Field(ge=1, le=99999)]] | None = None
    share: fields.Share | None = None

    @model_validator(mode="after")
    def _one_form(self) -> Missed:
        fields.exactly_one(self, "listed", "share")
        return self


class Late(Spec):
    """Sessions that everybody comes late to, or a ``share`` of them by chance, by a time uniform between two."""

    listed: list[LateSession] | None = None
    share: fields.Share | None = None
    by: list[fields.Duration] | None = Field(default=None, min_length=2, max_length=2)

    @model_validator(mode="after")
    def _one_form(self) -> Late:
        fields.exactly_one(self, "listed", "share")
        if (self.share is None) != (self.by is None):
            raise InputError(Problem("share without by" if self.by is None else "by without share", "both", path="by"))
        if self.by is not None and self.by[0].value > self.by[1].value:
            raise InputError(Problem(f"{self.by[0].text} to {self.by[1].text}", "the shorter time first", path="by"))
        return self


_AFTER_MISSED = ("continue", "repeat", "end_course")


class AfterMissed(Spec):
    """What follows a missed session: it is lost (``continue``), its dose is given in the next one (``repeat``), the
    course ends, or it is made up for after a while.
    """

    do: Literal["continue", "repeat", "end_course"] | None = None
    make_up: fields.Duration | None = None

    @model_validator(mode="after")
    def _one_form(self) -> AfterMissed:
        fields.exactly_one(self, "do", "make_up")
        return self


def _after_missed(value: object) -> object:
    if isinstance(value, str):
        if value not in _AFTER_MISSED:
            expected = f"{one_of(_AFTER_MISSED)}, or {{make_up: 2 d}}"
            raise InputError(Problem(shown(value), expected, nearest=nearest(value, _AFTER_MISSED)))
        return {"do": value}
    return value


class Adherence(Spec):
    """Which sessions are missed or late: a list that holds for everybody, or chance with a ``seed`` of its own."""

    missed: Annotated[Missed | None, BeforeValidator(_listed)] = None
    late: Annotated[Late | None, BeforeValidator(_listed)] = None
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1
    after_missed: Annotated[AfterMissed, BeforeValidator(_after_missed)] = AfterMissed(do="continue")
    after_late: Literal["keep", "shift"] = "keep"

    @model_validator(mode="after")
    def _something(self) -> Adherence:
        if self.missed is None and self.late is None:
            raise InputError(Problem("neither missed nor late", "sessions that are missed or late", path="missed"))
        if "seed" in self.model_fields_set and not self.by_chance:
            raise InputError(Problem("a seed", "a share that is missed or late; a list needs no seed", path="seed"))
        return self

    @property
    def by_chance(self) -> bool:
        """Whether anything is drawn."""
        return any(part is not None and part.share is not None for part in (self.missed, self.late))

    def named(self) -> list[tuple[str, int]]:
        """Every session that is named, with its place."""
        missed = (self.missed.listed if self.missed else None) or []
        late = (self.late.listed if self.late else None) or []
        found = [(f"missed[{index}]", number) for index, number in enumerate(missed)]
        return found + [(f"late[{index}].session", item.session) for index, item in enumerate(late)]

    def put_off(self) -> list[tuple[str, float]]:
        """Every time by which a session may be put off (h) while the next one keeps its day, with its place."""
        found: list[tuple[str, float]] = []
        if self.late is not None and self.after_late == "keep":
            listed = self.late.listed or []
            found += [(f"late[{index}].by", item.by.value) for index, item in enumerate(listed)]
            found += [("late.by[1]", self.late.by[1].value)] if self.late.by else []
        if self.after_missed.make_up is not None:
            found.append(("after_missed.make_up", self.after_missed.make_up.value))
        return found
