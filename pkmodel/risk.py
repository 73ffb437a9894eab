"""Differences between two shares of patients with their intervals, and the numbers needed to treat that follow.

Shares of the same patients in two arms are paired, so their difference is known better than those of two groups. The
interval is Tango's score interval: it inverts McNemar's test, stays within -1 to 1 and holds for rare events too.
Tango T. Equivalence test and confidence interval for the difference in proportions for the paired-sample design. Stat
Med 1998;17:891-908. Of two groups it is Newcombe's: Newcombe RG. Interval estimation for the difference between
independent proportions. Stat Med 1998;17:873-890, method 10.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from pkmodel.findings import CONFIDENCE, wilson

_Z = 1.959963984540054
assert CONFIDENCE == 0.95  # whose quantile is written down


def paired_interval(only_first: int, only_second: int, n: int) -> tuple[float, float]:
    """The 95 % score interval of the share of the first minus that of the second, in the same ``n`` patients.

    Parameters
    ----------
    only_first, only_second
        in how many patients the first holds and the second does not, and the reverse.
    """
    if n < 1 or min(only_first, only_second) < 0 or only_first + only_second > n:
        raise ValueError(f"{only_first} and {only_second} of {n}")
    found = (only_first - only_second) / n

    def statistic(delta: float) -> float:
        """How many standard errors the data lie above a difference ``delta``; falls as it grows."""
        linear = (2 * n - only_first + only_second) * delta - only_first - only_second
        root = math.sqrt(max(0.0, linear * linear + 8 * n * only_second * delta * (1.0 - delta)))
        second = (root - linear) / (4 * n)  # the likeliest share of those in whom only the second holds
        variance = n * (2.0 * second + delta * (1.0 - delta))
        gap = only_first - only_second - n * delta
        return gap / math.sqrt(variance) if variance > 0.0 else math.copysign(math.inf, gap)

    def end(low: float, high: float, wanted: float) -> float:
        while True:
            middle = 0.5 * (low + high)
            if middle in (low, high):
                return middle
            low, high = (middle, high) if statistic(middle) > wanted else (low, middle)

    return (
        -1.0 if only_second == n else end(-1.0, found, _Z),
        1.0 if only_first == n else end(found, 1.0, -_Z),
    )


def independent_interval(first: int, n_first: int, second: int, n_second: int) -> tuple[float, float]:
    """The 95 % interval of the share ``first`` of ``n_first`` minus ``second`` of ``n_second``, of two groups."""
    (low, high), (other_low, other_high) = wilson(first, n_first), wilson(second, n_second)
    share, other = first / n_first, second / n_second
    return (
        share - other - math.hypot(share - low, other_high - other),
        share - other + math.hypot(high - share, other - other_low),
    )


@dataclass(frozen=True)
class Needed:
    """How many patients are treated with an arm instead of the reference for one of them to fare otherwise.

    ``value`` of them for one fewer (``effect`` benefit) or one more (harm) to break a rule; infinite, and none, where
    as many break it. ``benefit`` and ``harm`` are what the interval holds of either, each from its smallest number to
    its largest, which is infinite where the interval of the difference holds 0: the interval then goes from benefit
    through infinity to harm. Altman DG. Confidence intervals for the number needed to treat. BMJ 1998;317:1309-1312.
    """

    value: float
    effect: str
    benefit: tuple[float, float] | None
    harm: tuple[float, float] | None

    def plain(self) -> dict[str, Any]:
        """Columns of needed.csv; what is infinite is None."""
        ends = {"benefit": self.benefit or (math.inf, math.inf), "harm": self.harm or (math.inf, math.inf)}
        found: dict[str, Any] = {"needed": self.value, "effect": self.effect}
        found |= {f"{name}_{end}": of[at] for name, of in ends.items() for at, end in enumerate(("from", "to"))}
        return {key: None if value == math.inf else value for key, value in found.items()}

    def words(self, arm: str, reference: str) -> str:
        """As a sentence without its stop, of a rule called "it"."""
        told = f"treated with {arm} instead of {reference}"
        if self.benefit and self.harm:
            ends = f" ({_of(self.benefit[0])} for one fewer, through infinity, to {_of(self.harm[0])} for one more)"
        else:
            of = self.benefit or self.harm
            ends = f" ({_of(of[0])} to {_of(of[1])})" if of else ""
        if self.effect == "none":
            return f"As many break it {told}{ends}"
        sense = "fewer" if self.effect == "benefit" else "more"
        return f"One patient {sense} breaks it for every {_of(self.value)} {told}{ends}"


def _of(value: float) -> str:
    if not math.isfinite(value):
        return "infinity"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def needed(difference: float, low: float, high: float) -> Needed:
    """From the difference in the share of patients who break a rule, arm minus reference, and its interval."""

    def ends(near: float, far: float) -> tuple[float, float] | None:
        """Of differences in one sense: from ``near`` 0 to ``far`` from it."""
        if far <= 0.0:
            return None
        return 1.0 / far, (1.0 / near if near > 0.0 else math.inf)

    effect = "none" if difference == 0.0 else "harm" if difference > 0.0 else "benefit"
    value = math.inf if difference == 0.0 else 1.0 / abs(difference)
    return Needed(value, effect, ends(-high, -low), ends(low, high))
