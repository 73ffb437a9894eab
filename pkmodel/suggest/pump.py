"""What a pump and a syringe can do: in mL or mg, rounded to what can be set."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pkmodel import units
from pkmodel.errors import InputError, Problem, shown
from pkmodel.steering import Limits


@dataclass(frozen=True, kw_only=True)
class Pump:
    """What the pump and the syringe can do; rates in mL/h or mg/h, boluses in mL or mg.

    A rate is set in steps of ``rate_step`` from ``min_rate`` to ``max_rate``; a bolus is drawn up in steps of
    ``bolus_step``, at most ``max_bolus``, and given over ``bolus_over`` (at once where it is None). The values that
    stand here are assumed; they are no particular pump's.
    """

    concentration: str = "10 mg/mL"
    max_rate: str = "1200 mL/h"
    min_rate: str = "0.1 mL/h"
    rate_step: str = "0.1 mL/h"
    max_bolus: str | None = None
    bolus_step: str = "0.1 mg"
    bolus_over: str | None = None

    def limits(self) -> Limits:
        """The limits in mg/h and mg. Raises InputError where they contradict one another."""
        made = Limits(
            max_rate=self._rate("max_rate"),
            min_rate=self._rate("min_rate"),
            rate_step=self._rate("rate_step"),
            max_bolus=math.inf if self.max_bolus is None else self._mass("max_bolus"),
            bolus_step=self._mass("bolus_step"),
        )
        if made.rate_step > made.max_rate:
            raise InputError(Problem(self.rate_step, f"a step of at most {self.max_rate}", "pump.rate_step"))
        if made.min_rate > made.max_rate:
            raise InputError(Problem(self.min_rate, f"a rate of at most {self.max_rate}", "pump.min_rate"))
        if made.bolus_step > made.max_bolus:
            raise InputError(Problem(self.bolus_step, f"a step of at most {self.max_bolus}", "pump.bolus_step"))
        return made

    def _rate(self, name: str) -> float:
        return self._amount(name, "mg/h", "mL/h", 'a rate such as "60 mL/h" or "600 mg/h"')

    def _mass(self, name: str) -> float:
        return self._amount(name, "mg", "mL", 'an amount such as "20 mg" or "2 mL"')

    def _amount(self, name: str, mass: str, volume: str, expected: str) -> float:
        text = getattr(self, name)
        path = f"pump.{name}"
        try:
            read = units.parse(text)
        except InputError as error:
            (problem,) = error.problems
            raise InputError(Problem(problem.found, expected, path, nearest=problem.nearest)) from None
        value = read.value
        if read.unit.dimensions == units.parse_unit(volume).dimensions:
            value *= quantity(self.concentration, "concentration", "pump.concentration")
        elif read.unit.dimensions != units.parse_unit(mass).dimensions:
            raise InputError(Problem(shown(text), expected, path))
        if not value > 0:
            raise InputError(Problem(shown(text), f"{expected}, above 0", path))
        return value

    @property
    def assumed(self) -> list[str]:
        """The limits that were not stated, by name and value."""
        default = Pump()
        names = ("concentration", "max_rate", "min_rate", "rate_step", "bolus_step")
        return [f"{name} {getattr(self, name)}" for name in names if getattr(self, name) == getattr(default, name)]


def quantity(text: object, kind: str, path: str, *, zero: bool = False) -> float:
    """A text as a quantity of a kind, in base units; above 0, or at least 0 with ``zero``. Raises InputError."""
    try:
        value = units.as_kind(text, kind).value
    except InputError as error:
        raise InputError([problem.at(path=path) for problem in error.problems]) from None
    if value < 0 or (value == 0 and not zero):
        expected = f"{units.KINDS[kind][1]}, {'at least' if zero else 'above'} 0"
        raise InputError(Problem(shown(text), expected, path))
    return value
