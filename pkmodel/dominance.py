"""In what share of patients an arm is lower than another, equal to it, or higher; each share with its interval.

Levels that agree to nine digits are a tie: two courses that should give the same differ by rounding, and rounding picks
a side. Of two infinite values (neither level is ever reached, or neither comes down before the end) it cannot be told
which is lower: such patients are counted apart, in none of the three shares but in their denominator.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pkmodel import findings, replicates

Floats = NDArray[np.float64]

#: Relative difference up to which two values are a tie.
TIE = 1e-9
SIDES = ("lower", "equal", "higher")


@dataclass(frozen=True)
class Share:
    """A count of patients, or of pairs of them, its share of all, and the 95 % interval of that share."""

    count: int
    share: float
    low: float
    high: float


@dataclass(frozen=True)
class Dominance:
    """How often an arm is lower than the reference, equal, or higher; ``untold`` of ``n`` are infinite in both.

    Where the arms have different patients (``apart``), ``n`` and the counts are of all pairs of one patient from each.
    """

    n: int
    lower: Share
    equal: Share
    higher: Share
    untold: int
    apart: bool = False

    def plain(self) -> dict[str, Any]:
        """Columns ``n_lower, share_lower, lower_low, lower_high``, the same of equal and higher, and ``n_untold``.

        Where nobody is paired there are no counts of patients, and they are None.
        """
        found: dict[str, Any] = {}
        for side in SIDES:
            of: Share = getattr(self, side)
            count = None if self.apart else of.count
            found |= {f"n_{side}": count, f"share_{side}": of.share, f"{side}_low": of.low, f"{side}_high": of.high}
        return {**found, "n_untold": None if self.apart else self.untold}


#: Columns of :meth:`Dominance.plain`, in order.
COLUMNS = (
    *(name for side in SIDES for name in (f"n_{side}", f"share_{side}", f"{side}_low", f"{side}_high")),
    "n_untold",
)


def sides(own: Floats, other: Floats) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    """In whom (n,) ``own`` is lower than ``other``, equal to it, higher; in none of them where both are infinite."""
    finite = np.isfinite(own) & np.isfinite(other)
    gap = np.subtract(own, other, out=np.zeros(own.shape), where=finite)
    tie = finite & (np.abs(gap) <= TIE * np.maximum(np.abs(own), np.abs(other)))
    return (own < other) & ~tie, tie, (own > other) & ~tie


def of_pairs(own: Floats, other: Floats, spread: int = 0) -> Dominance:
    """How often ``own`` (n,) is lower than ``other`` in the same patients.

    Intervals are Wilson's; with ``spread`` replicates of evenly spread patients, in the order of their numbers, they
    are those of :func:`pkmodel.replicates.share_interval`, where it has one.
    """
    n = own.size
    lower, tie, higher = sides(own, other)

    def share(flags: NDArray[np.bool_]) -> Share:
        count = int(flags.sum())
        bounds = replicates.share_interval(replicates.counted(flags, 0, spread), n) if spread else None
        return Share(count, count / n, *(bounds or findings.wilson(count, n)))

    told = int((lower | tie | higher).sum())
    return Dominance(n, share(lower), share(tie), share(higher), n - told)
