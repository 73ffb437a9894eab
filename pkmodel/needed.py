"""Who keeps a rule in one arm and breaks it in another: pairs counted chunk by chunk, and the table needed.csv."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pkmodel import replicates, risk
from pkmodel.cases import Case, references
from pkmodel.risk import Needed
from pkmodel.specs.clause import COMBINED

if TYPE_CHECKING:
    from pkmodel.outcome import CaseSums, Study
    from pkmodel.specs.library import Scenario

#: Who keeps a rule (n,), by rule and window.
Kept = dict[tuple[str, str], NDArray[np.bool_]]
#: Counts of pairs (r, 3): both arms keep the rule, only the reference does, only the arm does; in each replicate where
#: patients are spread evenly, else in one.
Pairs = NDArray[np.int64]

HOLDS = (
    "95 % score interval of Tango for paired shares; of two populations, whose patients are not paired, Newcombe's of "
    "two independent shares; simulation error only"
)


def count_pairs(
    scenario: Scenario, cases: Sequence[Case], sums: Sequence[CaseSums], kept: Sequence[Kept], first: int
) -> None:
    """Add the pairs of a chunk of patients, of whom ``first`` is the first, to the sums of each arm."""
    if scenario.spec.compare is None:
        return
    sampling = scenario.spec.sampling
    groups = sampling.replicates if sampling.even else 1
    for total, own, against in zip(sums, kept, references(cases, scenario.spec.compare.reference), strict=True):
        for key, flags in own.items():
            other = None if against is None else kept[against].get(key)
            if other is None:
                continue  # the reference itself, or a session that the reference does not have
            of = [replicates.counted(who, first, groups) for who in (flags & other, other & ~flags, flags & ~other)]
            total.pairs[key] = total.pairs.get(key, 0) + np.stack(of, axis=1)


@dataclass(frozen=True)
class Pair:
    """A rule in an arm against the reference: a line of needed.csv.

    ``broken`` is the share of patients who break the rule in the arm, and in the reference; ``difference`` the first
    minus the second. ``counts`` are patients of whom both arms, only the reference, only the arm and neither keep it;
    None where the arms have different patients. ``needed`` is None there, and where both arms are one protocol on two
    models: no treatment is in question then. ``several`` where the arm runs on several models, which words then name.
    """

    rule: str
    arm: str
    reference: str
    model: str
    reference_model: str
    window: str
    n: int
    counts: tuple[int, int, int, int] | None
    broken: tuple[float, float]
    difference: float
    low: float
    high: float
    needed: Needed | None
    several: bool = False

    def plain(self) -> dict[str, Any]:
        """As columns."""
        row = {name: getattr(self, name) for name in COLUMNS[:7]}
        row |= dict(zip(COLUMNS[7:11], self.counts or (None,) * 4, strict=True))
        row |= dict(zip(("broken", "broken_reference"), self.broken, strict=True))
        row |= {"difference": self.difference, "low": self.low, "high": self.high}
        return row | (dict.fromkeys(COLUMNS[16:]) if self.needed is None else self.needed.plain())

    def words(self) -> str:
        """The difference, and what it means for a patient."""
        own, other = self.broken
        ends = f"{100 * self.low:+.1f} to {100 * self.high:+.1f}"
        over = "" if self.window == COMBINED else f", {self.window}"
        arm = self.arm + (f" on {self.model}" if self.several else "")
        reference = self.reference
        if self.several and self.reference_model != self.model:
            reference += f" on {self.reference_model}"
        return (
            f"{self.rule}{over}: broken in {100 * own:.1f} % with {arm}, in {100 * other:.1f} % with "
            f"{reference} ({100 * self.difference:+.1f} points, {ends})."
            + (f" {self.needed.words(self.arm, self.reference)}." if self.needed is not None else "")
        )


#: Columns of needed.csv, in order.
COLUMNS = (
    "rule",
    "arm",
    "reference",
    "model",
    "reference_model",
    "window",
    "n",
    "both_keep",
    "only_reference_keeps",
    "only_arm_keeps",
    "neither_keeps",
    "broken",
    "broken_reference",
    "difference",
    "low",
    "high",
    "needed",
    "effect",
    "benefit_from",
    "benefit_to",
    "harm_from",
    "harm_to",
)


def pairs(study: Study) -> list[Pair]:
    """Every rule in every arm against the reference; nothing without a comparison."""
    compare = study.scenario.spec.compare
    if compare is None:
        return []
    found = []
    against = references(study.cases, compare.reference)
    for rule in study.scenario.spec.rules:
        for case, sums, other in zip(study.cases, study.sums, against, strict=True):
            for (name, window), counts in sums.pairs.items():
                if name == rule.id and other is not None:
                    base = study.cases[other]
                    named = (rule.id, case.arm.name, base.arm.name, case.model.id, base.model.id)
                    item = _pair(named, window, counts, study.n, treated=treated(case, base))
                    found.append(replace(item, several=len(case.arm.models) > 1))
    return found


def treated(case: Case, base: Case) -> bool:
    """Whether two arms differ in what is given, and not only in their model."""
    return case.arm.protocol != base.arm.protocol


def _pair(named: tuple[str, str, str, str, str], window: str, counts: Pairs, n: int, *, treated: bool) -> Pair:
    both, only_reference, only_arm = (int(count) for count in counts.sum(axis=0))
    difference = (only_reference - only_arm) / n
    low, high = risk.paired_interval(only_reference, only_arm, n)
    groups = counts.shape[0]
    if groups > 1 and only_reference + only_arm >= groups:  # else too few replicates have anybody who differs
        low, high = replicates.interval((counts[:, 1] - counts[:, 2]) / (n / groups))
        low, high = max(-1.0, low), min(1.0, high)
    neither = n - both - only_reference - only_arm
    told = risk.needed(difference, low, high) if treated else None
    counts_of = (both, only_reference, only_arm, neither)
    shares = ((neither + only_reference) / n, (neither + only_arm) / n)
    return Pair(*named, window, n, counts_of, shares, difference, low, high, told)


def section(found: Sequence[Pair]) -> Mapping[str, Any]:
    """For findings.json: the rows, each with its sentence, and what the intervals hold."""
    if not found:
        return {}
    return {"needed": {"holds": HOLDS, "pairs": [{**item.plain(), "said": item.words()} for item in found]}}
