"""The part of a course that is looked at, and a moment of a session, as files write them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import PlainValidator

from pkmodel import units
from pkmodel.errors import InputError, Problem, nearest, shown
from pkmodel.specs import fields, shapes


@dataclass(frozen=True)
class Window:
    """The part of a course that a rule looks at. Sessions count from 1, both ends included; times in hours."""

    kind: Literal["each", "worst", "sessions", "between", "course", "absolute"]
    first: int = 0
    last: int = 0
    start: float = 0.0
    end: float = 0.0

    def __str__(self) -> str:
        match self.kind:
            case "each":
                return "each session"
            case "worst":
                return "worst session"
            case "sessions":
                return f"session {self.first}" if self.first == self.last else f"sessions {self.first}-{self.last}"
            case "between":
                return "between sessions"
            case "course":
                return "course"
        return f"{self.start:g}-{self.end:g} h"


_NAMED: dict[str, Window] = {
    "each session": Window("each"),
    "worst session": Window("worst"),
    "between sessions": Window("between"),
    "course": Window("course"),
}

#: The windows of rules that name none: of a metric of an output, and of what a course takes.
WORST = _NAMED["worst session"]
COURSE = _NAMED["course"]
_WINDOWS = 'one of "each session", "worst session", "between sessions", "course", {session: 3}, '
_WINDOWS += "{sessions: [8, 12]}, {from: 0 h, to: 96 h}"


_COUNT = {"type": "integer", "minimum": 1}
_TIME = shapes.quantity(units.KINDS["time"][1])
_WINDOW_SCHEMA = {
    "anyOf": [
        shapes.words(*_NAMED),
        {"type": "string", "pattern": r"^session:? [1-9]\d{0,4}$"},
        {"type": "object", "properties": {"session": _COUNT}, "required": ["session"], "additionalProperties": False},
        {
            "type": "object",
            "properties": {"sessions": {"type": "array", "items": _COUNT, "minItems": 2, "maxItems": 2}},
            "required": ["sessions"],
            "additionalProperties": False,
        },
        {
            "type": "object",
            "properties": {"from": _TIME, "to": _TIME},
            "required": ["from", "to"],
            "additionalProperties": False,
        },
    ],
    "description": _WINDOWS,
}


@shapes.takes(_WINDOW_SCHEMA)
def _window(value: object) -> Window:
    if isinstance(value, Window):
        return value
    if isinstance(value, str):
        if value in _NAMED:
            return _NAMED[value]
        if match := re.fullmatch(r"session:? ([1-9]\d{0,4})", value):
            return Window("sessions", int(match[1]), int(match[1]))
        raise InputError(Problem(f"the window {shown(value)}", _WINDOWS, nearest=nearest(value, _NAMED)))
    if isinstance(value, dict) and set(value) == {"session"} and _session(value["session"]):
        return Window("sessions", value["session"], value["session"])
    if isinstance(value, dict) and set(value) == {"sessions"}:
        ends = value["sessions"]
        if isinstance(ends, list) and len(ends) == 2 and all(_session(end) for end in ends) and ends[0] <= ends[1]:
            return Window("sessions", ends[0], ends[1])
        raise InputError(Problem(shown(ends), "the first and the last session, such as [8, 12]", path="sessions"))
    if isinstance(value, dict) and set(value) == {"from", "to"}:
        start, end = (units.as_kind(value[side], "time").value for side in ("from", "to"))
        if not 0 <= start < end <= fields.LONGEST:
            raise InputError(
                Problem(f"{value['from']} to {value['to']}", "a start below the end, from 0 h to 100 years")
            )
        return Window("absolute", start=start, end=end)
    raise InputError(Problem(f"the window {shown(value)}", _WINDOWS))


def _session(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 99999


WindowField = Annotated[Window, PlainValidator(_window)]


@dataclass(frozen=True)
class Moment:
    """A time in every session: ``delay`` hours after its start or its end."""

    delay: float
    anchor: Literal["start", "end"]
    text: str

    def __str__(self) -> str:
        return self.text


_MOMENT = re.compile(r"(.+?)\s+after\s+(?:the\s+)?(session[ _]start|session[ _]end|last device|start|end)")


@shapes.takes(
    {"type": "string", "description": 'a moment such as "2 h after session_end" or "40 min after session_start"'}
)
def _moment(value: object) -> Moment:
    if isinstance(value, Moment):
        return value
    match = _MOMENT.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise InputError(
            Problem(shown(value), 'a moment such as "2 h after session_end" or "40 min after session_start"')
        )
    delay = units.as_kind(match[1], "time")
    if delay.value < 0:
        raise InputError(Problem(shown(value), "a time of at least 0"))
    anchor: Literal["start", "end"] = "start" if "start" in match[2] else "end"
    return Moment(delay.value, anchor, f"{delay.text} after session_{anchor}")


MomentField = Annotated[Moment, PlainValidator(_moment)]
