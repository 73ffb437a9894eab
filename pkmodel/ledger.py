"""The ledger of a course: what was planned, what was given, every check, and which rule acted on which value.

It is what a clinic's decisions leave behind, complete: :func:`pkmodel.ward.replay` takes it through the same stops
without looking at a rule, and finds the same amounts, to the last bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from pkmodel.programme import Programme

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
Stage = Literal["before", "during", "between"]

#: What became of a session.
GIVEN, MISSED, SKIPPED, ENDED = 0, 1, 2, 3
STATUS = ("given", "missed", "skipped", "course ended")

#: Columns of ledger.parquet, in order; those of text, and those of whole numbers.
COLUMNS = (
    "patient",
    "session",
    "row",
    "time_h",
    "until_h",
    "number",
    "what",
    "output",
    "value",
    "unit",
    "mg",
    "over_h",
    "action",
)
TEXT = ("row", "what", "output", "unit", "action")
WHOLE = ("patient", "session", "number")


@dataclass(frozen=True)
class Table:
    """A ledger as columns: numbers (NaN: none), and text as places in ``words`` (-1: none), by patient."""

    columns: dict[str, NDArray[Any]]
    words: dict[str, list[str]]

    def only(self, first: int, last: int) -> Table:
        """The rows of the patients from number ``first`` to ``last``."""
        start, end = np.searchsorted(self.columns["patient"], [first, last + 1])
        return Table({name: values[start:end] for name, values in self.columns.items()}, self.words)


@dataclass(frozen=True)
class Sign:
    """A value (n,) that a rule looked at: a level or an effect at a check, or a metric of the session before."""

    name: str
    metric: str | None
    measured: bool
    unit: str
    values: Floats

    def said(self, patient: int) -> str:
        """What was seen in one patient (a place in the block)."""
        what = f"{self.metric} of {self.name}" if self.metric else self.name
        return f"{what} {self.values[patient]:.4g} {self.unit}".strip()


@dataclass(frozen=True)
class Check:
    """One look at the patients ``whom`` (n,), at ``time`` (n,) h: the signs seen, and the rule that acted (-1: none).

    ``actions`` are the rules' actions, as they are written, then what each does when it has waited as often as it may
    (None where it does not wait); ``fired`` is a place among them.
    """

    stage: Stage
    session: int
    number: int
    time: Floats
    whom: Flags
    signs: tuple[Sign, ...]
    fired: Ints
    actions: tuple[str | None, ...]


@dataclass(frozen=True)
class Entry:
    """A session: when it was due and when it began (n,) h, its ``status``, what was asked for (mg), and its runs.

    ``late`` (n,) is by how much a patient came late, h, or made up later for a session that was missed (``made_up``).
    """

    due: Floats
    start: Floats
    status: Ints
    asked: Floats
    programme: Programme
    late: Floats
    made_up: Flags

    @property
    def tardy(self) -> tuple[tuple[str, str, None], Ints]:
        """Words for who came late and who made up for a missed session, and which of them (n,) is a patient's."""
        return ("late", "made up for", None), np.where(self.late > 0.0, self.made_up.astype(np.int64), 2)


@dataclass(frozen=True)
class Ledger:
    """The realised course of a block of patients, of whom the first has the number ``first``."""

    first: int
    size: int
    entries: tuple[Entry, ...]
    checks: tuple[Check, ...]
    stops: tuple[tuple[Flags, Floats, int], ...]
    """Where the course was observed: whom (n,), when (n,), h, and in which session's occasion, in this order."""
    states: tuple[Floats, ...] = field(default=(), repr=False)
    """What was in the states (n, s) at each stop, where that was asked for."""

    @cached_property
    def table(self) -> Table:
        """A row per patient and session, dose and sign, in the order of :data:`COLUMNS`; see docs/clinic.md."""
        words: dict[str, dict[str, int]] = {name: {} for name in TEXT}
        parts: dict[str, list[NDArray[Any]]] = {name: [] for name in COLUMNS}
        for who, row in self._rows():
            for name in COLUMNS:
                given = who + self.first + 1 if name == "patient" else row.get(name)
                if name in TEXT:
                    names, places = given if isinstance(given, tuple) else ((given,), np.zeros(self.size, dtype=int))
                    known = words[name]
                    codes = np.array([-1 if word is None else known.setdefault(word, len(known)) for word in names])
                    parts[name].append(codes[places[who]].astype(np.int32))
                    continue
                kind = np.int64 if name in WHOLE else np.float64
                values = np.asarray(np.nan if given is None else given, dtype=kind)
                parts[name].append(values if name == "patient" else np.broadcast_to(values, (self.size,))[who])
        columns = {name: np.concatenate(arrays) for name, arrays in parts.items()}
        order = np.argsort(columns["patient"], kind="stable")
        return Table({name: values[order] for name, values in columns.items()}, {k: list(v) for k, v in words.items()})

    def counts(self) -> dict[tuple[int, str, str], int]:
        """In how many patients what was done: by session, stage and act. A patient counts once for each."""
        found: dict[tuple[int, str, str], int] = {}
        for number, entry in enumerate(self.entries, 1):
            for code, word in enumerate(STATUS):
                found[number, "session", word] = int((entry.status == code).sum())
            words, which = entry.tardy
            for code, tardy in enumerate(words):
                if tardy is not None and (count := int((which == code).sum())):
                    found[number, "session", tardy] = count
        done: dict[tuple[int, str, str], Flags] = {}
        for check in self.checks:
            for place, action in enumerate(check.actions):
                if action is None:
                    continue
                key = (check.session, check.stage, f"{place % (len(check.actions) // 2) + 1}. {action}")
                whom = check.fired == place
                done[key] = done[key] | whom if key in done else whom
        return found | {key: int(whom.sum()) for key, whom in done.items()}

    def decided(self, patient: int) -> list[dict[str, Any]]:
        """What was decided for one patient (a place in the block): every act, and every session that was not given."""
        found: list[dict[str, Any]] = []
        for number, entry in enumerate(self.entries, 1):
            began = {"session": number, "time_h": float(entry.start[patient]), "stage": "session", "seen": None}
            found += self._acts(number, patient, ("before",))
            if (word := entry.tardy[0][entry.tardy[1][patient]]) is not None:
                found.append({**began, "act": f"{word}, {entry.late[patient]:.4g} h after it was due"})
            if entry.status[patient] != GIVEN:
                found.append({**began, "act": STATUS[entry.status[patient]]})
            found += self._acts(number, patient, ("during", "between"))
        return found

    def _acts(self, session: int, patient: int, stages: tuple[Stage, ...]) -> list[dict[str, Any]]:
        """What rules did in one patient at some stages of a session, with what was seen."""
        found: list[dict[str, Any]] = []
        for check in self.checks:
            if check.session != session or check.stage not in stages or check.fired[patient] < 0:
                continue
            seen = ", ".join(sign.said(patient) for sign in check.signs)
            said = {"session": session, "time_h": float(check.time[patient]), "stage": check.stage, "seen": seen}
            found.append({**said, "act": check.actions[check.fired[patient]]})
        return found

    def to_pandas(self) -> pd.DataFrame:
        """The ledger as a table, by patient and in the order of the sessions."""
        import pandas as pd

        table = self.table
        found = {
            name: np.array([*table.words[name], None], dtype=object)[values] if name in TEXT else values
            for name, values in table.columns.items()
        }
        return pd.DataFrame(found, columns=list(COLUMNS))

    def _rows(self) -> Iterator[tuple[Ints, dict[str, Any]]]:
        """Rows of as many patients as they belong to: who (places), and the columns, (n,) or one for all."""
        for number, entry in enumerate(self.entries, 1):
            yield from self._signs(number, "before")
            session: dict[str, Any] = {"session": number, "row": "session", "number": number}
            session |= {
                "time_h": entry.start,
                "until_h": entry.programme.end(),
                "what": (STATUS, entry.status),
                "action": entry.tardy,
            }
            yield np.arange(self.size), {**session, "value": entry.due, "unit": "h due", "mg": entry.programme.given()}
            runs = np.zeros(self.size, dtype=np.int64)
            for run in entry.programme.runs:
                runs = runs + (run.amount > 0.0)
                dose: dict[str, Any] = {"session": number, "row": "dose", "number": runs}
                dose |= {"time_h": run.begins, "until_h": run.end, "value": run.given, "unit": "mg given"}
                dose |= {"mg": run.amount, "over_h": run.over}
                dose["what"] = ((f"unit {run.dose.device}", "pump"), (run.over > 0.0).astype(int))
                yield np.flatnonzero(run.amount > 0.0), dose
            yield from self._signs(number, "during")
            yield from self._signs(number, "between")

    def _signs(self, session: int, stage: Stage) -> Iterator[tuple[Ints, dict[str, Any]]]:
        """A row for every sign of the checks of a session; one without a sign where nothing was looked at."""
        for check in self.checks:
            if (check.session, check.stage) != (session, stage):
                continue
            who = np.flatnonzero(check.whom)
            row: dict[str, Any] = {"session": session, "row": stage, "time_h": check.time, "number": check.number}
            row["action"] = ((*check.actions, None), check.fired)
            if not check.signs:
                yield who, {**row, "what": "check"}
            for sign in check.signs:
                what = sign.metric or ("measured" if sign.measured else "level")
                yield who, {**row, "what": what, "output": sign.name, "value": sign.values, "unit": sign.unit or None}
