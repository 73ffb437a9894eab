"""Reading a table of records: columns found in any case, every value checked, every mistake named with its row.

A :class:`Table` knows how to read a column and to say what is wrong with it; :func:`read` makes the rows of every
subject of it. Nothing is repaired: what cannot be meant is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pkmodel.errors import InputError, Problem, shown

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

#: The columns that say what happens. Any other column is a parameter or covariate of the model, or is only kept.
COLUMNS = ("id", "time", "evid", "amt", "rate", "dur", "rat", "cmt", "addl", "ii", "ss", "mdv", "lag", "f")
#: Those that hold numbers.
NUMBERS = tuple(name for name in COLUMNS if name not in ("id", "cmt"))
#: What other programs and other people call these columns. Where the column itself is missing, such a name is refused:
#: a dose without its lag or its compartment would be another dose.
OTHER_NAMES = {
    "id": ("subject", "subjid", "usubjid", "patient", "subj"),
    "time": ("t", "hours", "hour", "time_h"),
    "evid": ("event", "event_id"),
    "amt": ("amount", "dose"),
    "rate": ("infusion_rate",),
    "dur": ("duration", "tinf", "infusion_duration"),
    "cmt": ("compartment", "cpt", "comp"),
    "addl": ("additional", "n_additional"),
    "ii": ("interval", "tau"),
    "ss": ("steady_state",),
    "lag": ("alag", "alag1", "tlag", "lagtime", "lag_time"),
    "f": ("f1", "fbio", "bioavailability"),
}
#: A time beyond this (h) is taken for a date or a mistake.
LONGEST = 1e9


Found = Callable[[int], str] | Sequence[Any] | NDArray[Any]


@dataclass
class Table:
    """A data frame under examination, and the mistakes found in it so far."""

    frame: pd.DataFrame
    problems: list[Problem] = field(default_factory=list)
    _columns: dict[str, str] = field(default_factory=dict)
    _twice: dict[str, str] = field(default_factory=dict)
    _numbers: dict[str, Floats] = field(default_factory=dict)
    _labels: pd.Index[Any] | None = None

    def __post_init__(self) -> None:
        import pandas as pd

        if not isinstance(self.frame, pd.DataFrame):
            raise InputError(Problem(shown(type(self.frame).__name__), "a pandas DataFrame of records", "df"))
        for name in self.frame.columns:
            if isinstance(name, str) and name.lower() in self._columns:
                self._twice[name.lower()] = name
            elif isinstance(name, str):
                self._columns[name.lower()] = name
        index = self.frame.index
        counted = isinstance(index, pd.RangeIndex) and index.start == 0 and index.step == 1
        self._labels = None if counted else index

    @property
    def size(self) -> int:
        """How many rows."""
        return len(self.frame)

    @property
    def names(self) -> list[str]:
        """The names of the columns as they are written."""
        return list(self._columns.values())

    def has(self, name: str) -> bool:
        """Whether there is such a column, in any case, with anything in it."""
        return name.lower() in self._columns and bool(self._series(name).notna().any())

    def written(self, name: str) -> str:
        """The name of a column as the table has it."""
        return self._columns.get(name.lower(), name)

    def where(self, row: int) -> str:
        """A row as a message names it: counted from 1, with its label where that is something else."""
        if self._labels is None or self._labels[row] == row + 1:
            return f"row {row + 1}"
        return f"row {row + 1} (index {shown(self._labels[row], 24)})"

    def refuse(self, wrong: Flags, name: str, found: Found, expected: str, beside: str = "") -> None:
        """Note a mistake at the first row where ``wrong`` holds, and how many more there are.

        ``found`` is what stands there: numbers or texts by row, or a function of the row; ``beside`` is added to it.
        """
        count = int(np.count_nonzero(wrong))
        if count:
            row = int(np.argmax(wrong))
            seen = found(row) if callable(found) else _quoted(found[row])
            more = f" (and in {count - 1} more rows)" if count > 2 else " (and in 1 more row)" if count == 2 else ""
            self.problems.append(Problem(seen + beside + more, expected, self.written(name), self.where(row)))

    def stop_at_mistakes(self) -> None:
        """Raise InputError with every mistake found so far."""
        if self.problems:
            raise InputError(self.problems)

    def numbers(self, name: str) -> Floats:
        """(n,) numbers of a column, NaN where a cell is empty; NaN throughout where there is no such column."""
        if name.lower() not in self._columns:
            return np.full(self.size, np.nan)
        if name.lower() not in self._numbers:
            self._numbers[name.lower()] = self._read_numbers(name)
        return self._numbers[name.lower()]

    def _read_numbers(self, name: str) -> Floats:
        series = self._series(name)
        if series.dtype.kind in "iufb" and isinstance(series.dtype, np.dtype):
            values = series.to_numpy(dtype=np.float64)
        else:
            empty = series.isna().to_numpy(dtype=bool)
            cells = series.to_numpy(dtype=object)
            wrong = np.array([not (gone or isinstance(cell, Real)) for gone, cell in zip(empty, cells, strict=True)])
            hint = '; NONMEM\'s "." is read as empty with read_csv(..., na_values=".")'
            text = cells[np.argmax(wrong)] if wrong.any() else ""
            self.refuse(wrong, name, cells, "a number" + (hint if text == "." else ""))
            usable = ~(empty | wrong)
            values = np.full(self.size, np.nan)
            values[usable] = [float(cell) for cell in cells[usable]]
        self.refuse(np.isinf(values), name, values, "a finite number")
        return values

    def cells(self, name: str) -> list[Any]:
        """The cells of a column, None where one is empty or there is no such column."""
        if name.lower() not in self._columns:
            return [None] * self.size
        series = self._series(name)
        return [None if gone else cell for gone, cell in zip(series.isna(), series.tolist(), strict=True)]

    def subjects(self) -> Ints:
        """(n,) the number of each row's subject, counted by first appearance."""
        import pandas as pd

        if "id" not in self._columns:
            return np.zeros(self.size, dtype=np.int64)
        series = self._series("id")
        if series.dtype == object:
            cells = series.tolist()
            listed = np.array([isinstance(cell, (list, dict, set, np.ndarray)) for cell in cells], dtype=bool)
            self.refuse(listed, "id", cells, "a number or a name")
            series = series.where(~listed, None)
        codes, _ = pd.factorize(series, use_na_sentinel=True)
        self.refuse(codes < 0, "id", lambda row: "nothing", "the subject of the row")
        return codes.astype(np.int64)

    def refuse_other_names(self, wanted: Iterable[str], others: dict[str, tuple[str, ...]]) -> None:
        """Refuse columns that are meant for a missing one: misspelt, or called what others call it.

        A misspelling is the same letters with one doubled, two swapped, or a sign or a plural s added. Anything else
        is a column of the user's own.
        """
        for name in wanted:
            if name in self._columns:
                continue
            for column, written in self._columns.items():
                if column in COLUMNS:
                    continue
                if column in others.get(name, ()) or _misspelt(column, name):
                    expected = f"the column {name}, or another name for a column that is only kept"
                    self.problems.append(Problem(f"the column {written}", expected, written, "records", nearest=name))

    def _series(self, name: str) -> pd.Series[Any]:
        import pandas as pd

        written = self._columns[name.lower()]
        other = self._twice.pop(name.lower(), None)
        if other is not None:
            self.problems.append(Problem(f"{written} and {other}", "one such column", written, "records"))
        series = self.frame[written]
        return series if isinstance(series, pd.Series) else series.iloc[:, 0]


def _quoted(cell: object) -> str:
    """A cell as a message shows it; one that is empty is nothing."""
    if isinstance(cell, float):
        return "nothing" if np.isnan(cell) else f"{cell:g}"
    return "nothing" if cell is None or cell == "" else shown(cell)


def _misspelt(column: str, name: str) -> bool:
    if len(name) < 2 or column == name:
        return False
    letters = "".join(letter for letter in column if letter.isalpha())
    if letters == name or letters == name + "s":
        return True
    swapped = {name[:at] + name[at + 1] + name[at] + name[at + 2 :] for at in range(len(name) - 1)}
    return len(name) > 2 and (letters in swapped or _single(letters) == _single(name))


def _single(text: str) -> str:
    """A word with each doubled letter once."""
    return "".join(letter for at, letter in enumerate(text) if at == 0 or letter != text[at - 1])
