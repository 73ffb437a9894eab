"""Sessions that a patient misses or comes late to, and what the protocol does about them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from pkmodel.errors import InputError, Problem, nearest, one_of, shown
from pkmodel.specs import fields, shapes
from pkmodel.specs.loading import Spec
from pkmodel.units import Quantity


class LateSession(Spec):
    """A session that everybody comes late to."""

    session: Annotated[int, Field(ge=1, le=99999)]
    by: fields.Duration


def _listed(item: shapes.Schema) -> Callable[[object], object]:
    """A list is short for ``{listed: [...]}``."""

    @shapes.short_form({"type": "array", "items": item})
    def read(value: object) -> object:
        return {"listed": value} if isinstance(value, list) else value

    return read


_SESSION: shapes.Schema = {"type": "integer", "minimum": 1}
_LATE_SESSION: shapes.Schema = {
    "type": "object",
    "properties": {"session": _SESSION, "by": shapes.quantity('a time, such as "30 min"')},
    "required": ["session", "by"],
    "additionalProperties": False,
}


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


@shapes.short_form(shapes.words(*_AFTER_MISSED))
def _after_missed(value: object) -> object:
    if isinstance(value, str):
        if value not in _AFTER_MISSED:
            expected = f"{one_of(_AFTER_MISSED)}, or {{make_up: 2 d}}"
            raise InputError(Problem(shown(value), expected, nearest=nearest(value, _AFTER_MISSED)))
        return {"do": value}
    return value


def _which(share: Quantity | None, sessions: list[int]) -> str:
    if share is not None:
        return f"{share.text} of sessions, by chance"
    return f"session{'s' if len(sessions) > 1 else ''} {', '.join(map(str, sessions))}"


class Adherence(Spec):
    """Which sessions are missed or late: a list that holds for everybody, or chance with a ``seed`` of its own."""

    missed: Annotated[Missed | None, BeforeValidator(_listed(_SESSION))] = None
    late: Annotated[Late | None, BeforeValidator(_listed(_LATE_SESSION))] = None
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

    def said(self) -> list[str]:
        """What is missed or late, and what follows, as sentences."""
        found = []
        if self.missed is not None:
            who = _which(self.missed.share, self.missed.listed or [])
            then = {"continue": "their doses are lost", "repeat": "the dose is given in the next session"}
            follows = then.get(self.after_missed.do or "", "the course ends")
            if self.after_missed.make_up is not None:
                follows = f"they are made up for {self.after_missed.make_up.text} later"
            found.append(f"Missed: {who}; {follows}.")
        if self.late is not None:
            listed = self.late.listed or []
            who = _which(self.late.share, [item.session for item in listed])
            texts = " to ".join(time.text for time in self.late.by or ()) or ", ".join(item.by.text for item in listed)
            keep = (
                "later sessions keep their day" if self.after_late == "keep" else "later sessions are put off as well"
            )
            found.append(f"Late: {who}, by {texts}; {keep}.")
        return found

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
