"""The rows of every subject, with their doses: what each column means, and what cannot be meant."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pkmodel.errors import Problem, nearest
from pkmodel.records.doses import Doses
from pkmodel.records.resolve import DOSE, OBSERVATION, RESET_AND_DOSE, Row
from pkmodel.records.table import COLUMNS, LONGEST, NUMBERS, OTHER_NAMES, Table

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Compartments:
    """The compartments of a model by name, in the order of their numbers (from 1).

    ``default`` is the number of the one that a dose without ``cmt`` goes to; 0 where that is not clear.
    """

    names: tuple[str, ...]
    default: int

    @property
    def expected(self) -> str:
        """What may stand in ``cmt``."""
        return ", ".join(f"{name} ({number})" for number, name in enumerate(self.names, 1))


def read(table: Table, subject: Ints, compartments: Compartments) -> list[tuple[Ints, list[Row]]]:
    """Each subject's rows and where they stand in the table, by first appearance; ``subject`` (n,) numbers them.

    Raises InputError with every mistake of the table.
    """
    wanted = [name for name in COLUMNS if name != "mdv"]
    table.refuse_other_names(wanted, OTHER_NAMES)
    if "time" not in {name.lower() for name in table.names} and not table.problems:
        close = nearest("time", table.names)
        table.problems.append(Problem("no column time", "the time of every row in h", "time", "records", nearest=close))
    for name in NUMBERS:
        table.numbers(name)
    table.stop_at_mistakes()
    count = int(subject.max(initial=-1)) + 1
    time = _times(table, subject)
    evid = _evid(table)
    dosing = (evid == DOSE) | (evid == RESET_AND_DOSE)
    doses = Doses(table, dosing)
    doses.check()
    into = _into(table, compartments, dosing)
    table.stop_at_mistakes()
    doses.refuse_too_many(time, _last_times(time, subject, count))
    table.stop_at_mistakes()
    rows: list[list[Row]] = [[] for _ in range(count)]
    for number, (who, when, what) in enumerate(zip(subject.tolist(), time.tolist(), evid.tolist(), strict=True)):
        dose = doses.at(number, when, int(into[number])) if dosing[number] else None
        rows[who].append(Row(when, what, dose))
    order = np.argsort(subject, kind="stable")
    places = np.split(order, np.cumsum(np.bincount(subject, minlength=count))[:-1]) if count else []
    return list(zip(places, rows, strict=True))


def _times(table: Table, subject: Ints) -> Floats:
    """(n,) h, rising within each subject."""
    time = table.numbers("time")
    table.refuse(np.isnan(time), "time", time, "a time in h")
    table.refuse(np.abs(time) > LONGEST, "time", time, f"a time of at most {LONGEST:g} h")
    order = np.argsort(subject, kind="stable")
    falls = np.zeros(table.size, dtype=bool)
    falls[order[1:]] = (np.diff(time[order]) < 0) & (np.diff(subject[order]) == 0)
    before = np.full(table.size, -1)
    before[order[1:]] = order[:-1]
    table.refuse(
        falls,
        "time",
        lambda row: f"{time[row]:g} after {time[before[row]]:g} in {table.where(int(before[row]))}",
        "times that do not fall within a subject",
    )
    return time


def _last_times(time: Floats, subject: Ints, count: int) -> Floats:
    """(n,) the time of the last row of each row's subject."""
    last = np.full(count, -np.inf)
    np.maximum.at(last, subject, time)
    return last[subject]


def _evid(table: Table) -> Ints:
    """(n,) what each row is; without the column a row with an amount or a steady state is a dose."""
    amount, steady = table.numbers("amt"), table.numbers("ss")
    if table.has("evid"):
        evid = table.numbers("evid")
        known = np.isin(evid, range(5))
        table.refuse(
            ~known,
            "evid",
            evid,
            "0 (observation), 1 (dose), 2 (other), 3 (reset) or 4 (reset and dose)",
        )
        return np.where(known, evid, OBSERVATION).astype(np.int64)
    if table.size and not table.has("amt") and not table.has("ss"):
        expected = "a column evid, or amt, which says which rows are doses"
        table.problems.append(Problem("neither evid nor amt", expected, "evid", "records"))
    dosing = (np.nan_to_num(amount) != 0) | (np.nan_to_num(steady) != 0)
    for name in ("rate", "addl"):
        values = table.numbers(name)
        unclear = ~dosing & (np.nan_to_num(values) != 0)
        table.refuse(
            unclear,
            name,
            values,
            "a column evid that says whether the row is a dose",
            " without an amount and without evid",
        )
    return np.where(dosing, DOSE, OBSERVATION).astype(np.int64)


def _into(table: Table, compartments: Compartments, dosing: Flags) -> Ints:
    """(n,) the index of the compartment of each row; 0 where a row without a dose does not say."""
    cells = table.cells("cmt")
    words = ["" if cell is None else str(cell).strip().lower() for cell in cells]
    known = {word: _compartment(word, compartments) for word in set(words)}
    into = np.array([known[word] for word in words], dtype=np.int64)
    table.refuse(
        into == _UNKNOWN,
        "cmt",
        cells,
        f"a compartment by name or number: {compartments.expected}",
    )
    if into.size and (into == _UNKNOWN).any():
        close = nearest(str(cells[int(np.argmax(into == _UNKNOWN))]), compartments.names)
        table.problems[-1] = Problem(**{**vars(table.problems[-1]), "nearest": close})
    table.refuse(dosing & (into == _UNCLEAR), "cmt", cells, f"the compartment of a dose: {compartments.expected}")
    return np.maximum(into, 0)


_UNKNOWN, _UNCLEAR = -1, -2


def _compartment(text: str, compartments: Compartments) -> int:
    """The index of a compartment; _UNKNOWN, or _UNCLEAR where nothing is said and nothing is the rule."""
    names = [name.lower() for name in compartments.names]
    if text in names:
        return names.index(text)
    try:
        number = float(text or 0)
    except ValueError:
        return _UNKNOWN
    if number == 0:
        return compartments.default - 1 if compartments.default else _UNCLEAR
    return int(number) - 1 if 1 <= number <= len(names) and number == int(number) else _UNKNOWN
