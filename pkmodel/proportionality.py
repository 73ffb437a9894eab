"""Does exposure grow as the dose does: the power model, patient by patient.

Of arms that differ in their dose, each patient has one slope b of log(exposure) = a + b log(dose): exactly with two
doses, by least squares with more. The median slope has the interval of the sign test, so that nothing is assumed about
how slopes are spread. Gough K, Hutchison M, Keene O, et al. Assessment of dose proportionality. Drug Inf J
1995;29:1039-1048.

Exposure is proportional where the whole interval lies in the range that keeps the exposure per mg at the highest dose
within 0.8 to 1.25 of that at the lowest, 1 + ln(0.8) / ln(r) to 1 + ln(1.25) / ln(r) for doses r-fold apart. Smith BP,
Vandenhende FR, DeSante KA, et al. Confidence interval criteria for assessment of dose proportionality. Pharm Res
2000;17:1278-1283. (They take intervals of 90 %; those here are of 95 %, which asks for more.)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from pkmodel import paired
from pkmodel.paired import Median

if TYPE_CHECKING:
    from pkmodel.cases import Case

Floats = NDArray[np.float64]
Verdict = Literal["proportional", "more than proportional", "less than proportional", "undecided"]

#: What the exposure per mg may change by over the doses, by Smith.
ACCEPTED = (0.8, 1.25)
#: The exposures that are looked at: of the parent drug in the first session.
EXPOSURES = ("peak", "auc")
#: Windows and infusions whose lengths differ by no more hours than this are as long as one another.
_SAME = 1e-9
#: Doses of a patient must be so many times apart at least: of closer ones even an exposure that does not change at all
#: would lie in Smith's range, and rounding alone makes some.
APART = ACCEPTED[1]
HOLDS = "95 % interval of the median slope over patients, by the sign test; simulation error only"


@dataclass
class First:
    """What the patients of an arm have in their first session, chunk by chunk: mg of base (n,), and exposures (n,)."""

    doses: list[Floats]
    exposures: dict[str, list[Floats]]

    @classmethod
    def nothing(cls) -> First:
        """Of nobody yet."""
        return cls([], {name: [] for name in EXPOSURES})


@dataclass(frozen=True)
class Slope:
    """The slope of an exposure over the doses of some arms: a line of proportionality.csv.

    ``n`` patients have it; of the others a dose or an exposure is 0, or doses are too close. ``ratio`` is the median
    over patients of their highest dose to their lowest, ``accepted`` the range of slopes that follows, and ``p5`` and
    ``p95`` say how much patients differ.
    """

    exposure: str
    arms: tuple[str, ...]
    model: str
    n: int
    slope: Median
    p5: float
    p95: float
    ratio: float

    @property
    def accepted(self) -> tuple[float, float]:
        """The slopes that count as proportional."""
        low, high = (1.0 + math.log(end) / math.log(self.ratio) for end in ACCEPTED)
        return low, high

    @property
    def verdict(self) -> Verdict:
        """Proportional, or not, where the whole interval says so."""
        low, high = self.accepted
        if self.slope.low is None or self.slope.high is None:
            return "undecided"
        if low <= self.slope.low and self.slope.high <= high:
            return "proportional"
        if self.slope.low > high:
            return "more than proportional"
        return "less than proportional" if self.slope.high < low else "undecided"

    def plain(self) -> dict[str, Any]:
        """As columns."""
        low, high = self.accepted
        return {
            "exposure": self.exposure,
            "arms": " ".join(self.arms),
            "model": self.model,
            "n": self.n,
            "dose_ratio": self.ratio,
            "slope": self.slope.value,
            "low": self.slope.low,
            "high": self.slope.high,
            "p5": self.p5,
            "p95": self.p95,
            "accepted_low": low,
            "accepted_high": high,
            "verdict": self.verdict,
        }

    def words(self) -> str:
        """As a sentence without its stop."""
        low, high = self.accepted
        ends = "n too small for an interval"
        if self.slope.low is not None and self.slope.high is not None:
            ends = f"{self.slope.low:.3f} to {self.slope.high:.3f}"
        name = {"auc": "AUC"}.get(self.exposure, self.exposure)
        return (
            f"{name} of the first session, doses {self.ratio:.3g}-fold apart: slope {self.slope.value:.3f} ({ends}), "
            f"{self.verdict} (accepted: {low:.3f} to {high:.3f}); twice the dose gives {2**self.slope.value:.3g} "
            f"times the {name}"
        )


#: Columns of proportionality.csv, in order.
COLUMNS = (
    *("exposure", "arms", "model", "n", "dose_ratio", "slope", "low", "high", "p5", "p95"),
    *("accepted_low", "accepted_high", "verdict"),
)


def slopes(
    cases: Sequence[Case], found: Mapping[str, First], populations: Mapping[str, str]
) -> tuple[list[Slope], list[str]]:
    """The slopes of every group of arms that differ in their dose and nothing else, and what is left out and why.

    Arms belong together that give one drug by one route on one model, for as long a time (in their first session), in
    one of the ``populations``, where there are several.
    """
    groups: dict[Any, list[Case]] = {}
    for case in cases:
        first = case.arm.protocol.plan()[0]
        over = round(first.over / _SAME)
        people = populations.get(case.arm.name)
        groups.setdefault((people, case.model.id, case.fraction, first.drug, first.route, over), []).append(case)
    every: list[Slope] = []
    left = []
    for arms in groups.values():
        doses = [np.concatenate(found[case.arm.name].doses) for case in arms]
        if len(arms) < 2 or not apart(np.stack(doses)).any():
            continue
        lengths = [_window(case) for case in arms]
        for name in EXPOSURES:
            if name == "auc" and max(lengths) - min(lengths) > _SAME:
                names = ", ".join(case.arm.name for case in arms)
                left.append(f"no slope of the AUC: the first sessions of {names} are followed for different times")
                continue
            values = np.stack([np.concatenate(found[case.arm.name].exposures[name]) for case in arms])
            own = tuple(case.arm.name for case in arms)
            if (of := slope(name, own, arms[0].model.id, np.stack(doses), values)) is not None:
                every.append(of)
    return every, left


def _window(case: Case) -> float:
    """Hours that the first session is followed: until the second, or to the end of the last window."""
    starts = case.starts
    return float(starts[1] - starts[0]) if starts.size > 1 else case.last_window


def apart(doses: Floats) -> NDArray[np.bool_]:
    """Which patients (n,) get some dose in every arm (k, n), the highest :data:`APART` times the lowest at least."""
    low, high = doses.min(axis=0), doses.max(axis=0)
    found: NDArray[np.bool_] = (low > 0.0) & (high >= low * APART)
    return found


def slope(exposure: str, arms: tuple[str, ...], model: str, doses: Floats, values: Floats) -> Slope | None:
    """The slope of exposures (k, n) over doses (k, n, mg) of k arms; None where no patient has one."""
    use = apart(doses) & (values > 0.0).all(axis=0) & np.isfinite(values).all(axis=0)
    if not use.any():
        return None
    along, up = np.log(doses[:, use]), np.log(values[:, use])
    along_mean = along - along.mean(axis=0)
    each = (along_mean * (up - up.mean(axis=0))).sum(axis=0) / (along_mean**2).sum(axis=0)
    middle = paired.median(each)
    ratio = paired.median(np.exp(along.max(axis=0) - along.min(axis=0)))
    assert middle is not None and ratio is not None
    order = np.sort(each)
    p5, p95 = (float(order[min(math.ceil(share * order.size), order.size) - 1]) for share in (0.05, 0.95))
    return Slope(exposure, arms, model, int(use.sum()), middle, p5, p95, ratio.value)
