"""How numbers are written in a report: as many digits as they carry, and a dash where there is none."""

from __future__ import annotations

NONE = "–"
#: Between a number and its sign, so that no line ends there.
_TIED = "\u00a0"


def percent(share: float | None) -> str:
    """A share as a percentage with one decimal."""
    return NONE if share is None else f"{100 * share:.1f}{_TIED}%"


def whole_percent(share: float) -> str:
    """A stated share as a percentage, with the digits that it was stated with."""
    return f"{100 * share:g}{_TIED}%"


def percents(low: float | None, high: float | None) -> str:
    """The ends of an interval of a share."""
    return NONE if low is None or high is None else f"{100 * low:.1f}–{100 * high:.1f}{_TIED}%"


def points(difference: float) -> str:
    """A difference of two shares in percentage points, with its sign."""
    return f"{100 * difference:+.1f}".replace("-", "−")


def value(number: float | None, digits: int = 4) -> str:
    """A number to so many digits, without an exponent where one can do without."""
    if number is None:
        return NONE
    if number == float("inf"):
        return "never"
    if 1e4 <= abs(number) < 1e15:
        return f"{number:,.0f}"
    return f"{number:.{digits}g}".replace("-", "−")


def quantity(number: float | None, unit: str, digits: int = 4) -> str:
    """A number with its unit, which may be empty."""
    return f"{value(number, digits)} {unit}".rstrip() if number is not None else NONE
