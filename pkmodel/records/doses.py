"""The columns of doses: what each one means, and what cannot be meant."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pkmodel.records.resolve import MODELLED_DURATION, MODELLED_RATE, NO_STEADY_STATE, Dose
from pkmodel.records.table import Table

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

#: More doses from one row, or more infusions at once in a steady state, are taken for a mistake.
MOST_DOSES = 100_000
_LEAST_0 = "a number of at least 0"
_RATES = "0 (at once), a rate above 0, -1 (the rate in column rat) or -2 (the duration in column dur)"


class Doses:
    """The columns that describe doses, for the rows with a dose (``dosing``); in other rows only empty ones count.

    An empty cell is 0 in rate, addl, ii and ss, and nothing in rat and dur; amt must be there, and lag and f must be
    where the table has them at all.
    """

    def __init__(self, table: Table, dosing: Flags):
        self.table, self.dosing = table, dosing
        amount, fraction, lag = (table.numbers(name) for name in ("amt", "f", "lag"))
        table.refuse(dosing & np.isnan(amount), "amt", amount, "the amount of a dose")
        for name, values in (("f", fraction), ("lag", lag)):
            if table.has(name):
                table.refuse(dosing & np.isnan(values), name, values, "a number in every dose, or in none")
        self.amount, self.lag = np.nan_to_num(amount), np.nan_to_num(lag)
        self.fraction = np.where(np.isnan(fraction), 1.0, fraction)
        self.rate, self.rat, self.dur, self.addl, self.ii, self.ss = (
            np.nan_to_num(table.numbers(name)) for name in ("rate", "rat", "dur", "addl", "ii", "ss")
        )

    def check(self) -> None:
        """Note everything that cannot be meant."""
        for name, values in (("amt", self.amount), ("addl", self.addl), ("ss", self.ss)):
            self.table.refuse(~self.dosing & (values != 0), name, values, "0 or nothing in a row without a dose")
        for name, values in (("amt", self.amount), ("f", self.fraction), ("lag", self.lag), ("ii", self.ii)):
            self._refuse(values < 0, name, values, _LEAST_0)
        for name, values in (("dur", self.dur), ("rat", self.rat)):
            self._refuse(values < 0, name, values, _LEAST_0)
        known = (self.rate >= 0) | (self.rate == MODELLED_RATE) | (self.rate == MODELLED_DURATION)
        self._refuse(~known, "rate", self.rate, _RATES)
        whole = (self.addl >= 0) & (self.addl == np.floor(self.addl))
        self._refuse(~whole, "addl", self.addl, "a whole number of additional doses")
        self._refuse(~np.isin(self.ss, (0, 1, 2)), "ss", self.ss, "0, 1 or 2")
        self._check_infusions()
        self._check_repeats()

    def _check_infusions(self) -> None:
        rate = self.rate
        for name, values, code, what in (
            ("rat", self.rat, MODELLED_RATE, "a rate"),
            ("dur", self.dur, MODELLED_DURATION, "a duration"),
        ):
            self._refuse((rate == code) & (values == 0), name, values, f"{what} above 0", "rate {rate}")
            unasked = (rate != code) & (values > 0)
            self._refuse(unasked, name, values, f"rate {code:g}, or nothing in {name}", "rate {rate}")
        empty = (self.amount == 0) & (rate != 0) & (self.ss == NO_STEADY_STATE)
        self._refuse(empty, "amt", self.amount, "an amount above 0", "rate {rate}")

    def _check_repeats(self) -> None:
        steady, nothing = self.ss != NO_STEADY_STATE, self.amount == 0
        pours = (self.rate > 0) | (self.rate == MODELLED_RATE)
        without = (self.addl > 0) | (steady & ~nothing)
        self._refuse(without & (self.ii == 0), "ii", self.ii, "an interval above 0 h", "addl {addl} and ss {ss}")
        expected = "0 for a constant infusion (amt 0), or an amount"
        self._refuse(steady & nothing & pours & (self.ii > 0), "ii", self.ii, expected, "ss {ss}")
        expected = "an amount above 0, or a rate with ii 0 for a constant infusion"
        self._refuse(steady & nothing & ~pours, "amt", self.amount, expected, "ss {ss}")
        late = steady & ~nothing & (self.lag > self.ii)
        self._refuse(late, "lag", self.lag, "a lag of at most ii ({ii} h) in a steady state", "ss {ss}")

    def _refuse(self, wrong: Flags, name: str, values: Floats, expected: str, beside: str = "") -> None:
        """Refuse values of doses; ``{ii}`` in the texts stands for what is in that column of the row."""
        wrong = self.dosing & wrong
        if wrong.any():
            row = int(np.argmax(wrong))
            others = {key: f"{getattr(self, key)[row]:g}" for key in ("rate", "addl", "ii", "ss")}
            seen = f" with {beside.format(**others)}" if beside else ""
            self.table.refuse(wrong, name, values, expected.format(**others), seen)

    def refuse_too_many(self, time: Floats, last: Floats) -> None:
        """Refuse what would take for ever. ``last`` (n,) is the time of the last row of each row's subject, h."""
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            arriving = np.minimum(self.addl, np.where(self.addl > 0, (last - time - self.lag) / self.ii, 0.0))
            rate = np.where(self.rate == MODELLED_RATE, self.rat, self.rate)
            given = np.where(rate > 0, self.fraction * self.amount / rate, 0.0)
            duration = np.where(self.rate == MODELLED_DURATION, self.dur, given)
            at_once = np.where((self.ss != NO_STEADY_STATE) | (self.addl > 0), duration / self.ii, 0.0)
        expected = f"at most {MOST_DOSES:,} before the subject's last row"
        for name, count, what in (("addl", arriving, " doses"), ("ii", at_once, " infusions at once")):
            too_many = self.dosing & (np.nan_to_num(count) > MOST_DOSES)
            self.table.refuse(too_many, name, count, expected, what)

    def at(self, row: int, time: float, compartment: int) -> Dose:
        """The dose of a row."""
        return Dose(
            time=time,
            compartment=compartment,
            amount=float(self.amount[row]),
            rate=float(self.rate[row]),
            modelled_rate=float(self.rat[row]),
            modelled_duration=float(self.dur[row]),
            additional=int(self.addl[row]),
            interval=float(self.ii[row]),
            steady=int(self.ss[row]),
            lag=float(self.lag[row]),
            fraction=float(self.fraction[row]),
        )
