"""Precision on purpose: patients are drawn until the share that keeps a rule is known as well as was asked for.

A 95 % interval of a fixed number of patients that is looked at again and again, until it says what one hopes, is wrong
far more often than in 5 %. Here the interval is a *confidence sequence*: with 95 % it holds the true share at every
number of patients at once, so that one may stop whenever one likes. It is the beta-binomial mixture: under any true
share p the ratio

    M(p) = integral of q^k (1 - q)^(n - k) dBeta(q; 1/2, 1/2)  /  p^k (1 - p)^(n - k)

of n patients of whom k keep the rule is a martingale that begins at 1, and exceeds 1 / 0.05 at any time with at most
5 % (Ville). The interval is of the shares for which it never has: those for which M(p) < 20. Robbins H. Statistical
methods related to the law of the iterated logarithm. Ann Math Stat 1970;41:1397-1409; Howard SR, Ramdas A, McAuliffe J,
Sekhon J. Time-uniform, nonparametric, nonasymptotic confidence sequences. Ann Stat 2021;49:1055-1080.

The intervals of all looks hold together, so that they may be cut with one another; they are, and never widen.

The patients of a longer run begin with those of a shorter one, so that what comes out is the run of a fixed number of
patients but for its interval. Each look runs its patients anew, on the one rule alone: as the numbers grow by a half
from look to look, all looks together cost about three of the last.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from pkmodel import study
from pkmodel.engine import AUTO, Numerics
from pkmodel.errors import InputError, Problem
from pkmodel.findings import Finding, Verdict, verdict
from pkmodel.specs.clause import COMBINED
from pkmodel.specs.library import Scenario
from pkmodel.specs.precision import Precision
from pkmodel.specs.rule import Rule

#: One minus the confidence of a sequence.
ALPHA = 0.05
#: The prior of the mixture: as much as one patient, and as good for shares near 0 and 1 as for those between.
PRIOR = (0.5, 0.5)
#: The first look, and by how much the number of patients grows to the next.
FIRST, GROWTH = 256, 1.5
METHOD = (
    "95 % confidence sequence of the share (beta-binomial mixture, Robbins 1970; Howard et al. 2021): it holds at "
    "every number of patients at once, so that a run may stop on it; simulation error only"
)


def sequence(met: int, n: int, alpha: float = ALPHA) -> tuple[float, float]:
    """The interval of the confidence sequence after n patients of whom ``met`` keep the rule.

    Shares from 0 to 1. Raises ValueError where there are fewer patients than keep the rule.
    """
    if not 0 <= met <= n or n < 1:
        raise ValueError(f"{met} of {n}")
    return _lower(met, n, alpha), 1.0 - _lower(n - met, n, alpha)


def _lower(met: int, n: int, alpha: float) -> float:
    """The lower end; the upper one is that of those who do not keep the rule."""
    from scipy.optimize import brentq
    from scipy.special import betaln, xlog1py, xlogy

    if met == 0:
        return 0.0
    a, b = PRIOR
    mixture = float(betaln(a + met, b + n - met) - betaln(a, b)) + math.log(alpha)

    def inside(share: float) -> float:
        return float(xlogy(met, share) + xlog1py(n - met, -share)) - mixture

    return float(brentq(inside, 1e-300, met / n, xtol=1e-15))


def reached(target: Precision, low: float, high: float, required: float) -> bool:
    """Whether an interval is as tight as was asked for, or does decide."""
    if target.half_width is not None:
        return 0.5 * (high - low) <= target.half_width.value
    return verdict(low, high, required) != "undecided"


@dataclass(frozen=True)
class Look:
    """What one arm, model and window of the rule showed after ``n`` patients, with the sequence so far."""

    n: int
    n_met: int
    low: float
    high: float


@dataclass
class Outcome:
    """A run that went on until it knew; made by :func:`run`."""

    target: Precision
    n: int
    reached: bool
    required: float
    looks: dict[tuple[str, str, str], list[Look]] = field(default_factory=dict)
    """By arm, model and window: every look, the last one last."""

    def verdicts(self) -> dict[tuple[str, str, str], Verdict]:
        """What the sequence says of each arm, model and window."""
        return {key: verdict(looks[-1].low, looks[-1].high, self.required) for key, looks in self.looks.items()}

    def plain(self) -> dict[str, Any]:
        """As plain data, for findings.json."""
        rows = []
        verdicts = self.verdicts()
        for key, looks in self.looks.items():
            arm, model, window = key
            last = looks[-1]
            head = {"arm": arm, "model": model, "window": window, "n": last.n, "n_met": last.n_met}
            rows.append({**head, "share": last.n_met / last.n, "low": last.low, "high": last.high})
            rows[-1] |= {"verdict": verdicts[key]}
        width = self.target.half_width
        asked = {"decide": True} if width is None else {"half_width": width.value}
        return {
            "rule": self.target.rule,
            **asked,
            "reached": self.reached,
            "n": self.n,
            "max_n": self.target.max_n,
            "looks": len(next(iter(self.looks.values()))),
            "interval": METHOD,
            "shares": rows,
        }

    def judged(self, finding: Finding) -> Finding:
        """A finding of the rule with the interval of the sequence and its verdict; any other one as it is."""
        looks = self.looks.get((finding.arm, finding.model, finding.window))
        if finding.rule != self.target.rule or looks is None:
            return finding
        low, high = looks[-1].low, looks[-1].high
        return replace(finding, low=low, high=high, verdict=verdict(low, high, self.required))

    def said(self) -> list[str]:
        """As sentences: how many patients it took, and the interval of each arm, model and window."""
        width = self.target.half_width
        aim = "it is decided" if width is None else f"its interval is {width.text} to either side"
        how = f"reached after {self.n:,}" if self.reached else f"not reached with max_n = {self.n:,}"
        lines = [f"Precision: patients were drawn until {self.target.rule} is so well known that {aim}: {how} patients"]
        verdicts = self.verdicts()
        for key, looks in self.looks.items():
            last = looks[-1]
            ends = f"{100 * last.n_met / last.n:.2f} % ({100 * last.low:.2f}-{100 * last.high:.2f})"
            who = ", ".join(part for part in key if part != COMBINED)
            lines.append(f"{who}: {ends}, {verdicts[key]}")
        lines.append(
            f"The interval is a {METHOD}. Those of other rules, and of differences between arms, do not "
            "allow for the looking"
        )
        return lines


Progress = Callable[[int, int], None]


def look_sizes(max_n: int) -> list[int]:
    """How many patients there are at each look: 256, then half as many again each time, and ``max_n`` at the end."""
    sizes = [min(FIRST, max_n)]
    while sizes[-1] < max_n:
        sizes.append(min(max_n, math.ceil(sizes[-1] * GROWTH)))
    return sizes


def run(
    scenario: Scenario,
    *,
    jobs: int = 1,
    numerics: Numerics = AUTO,
    progress: Progress | None = None,
) -> Outcome:
    """Draw patients until what ``precision`` of a scenario asks for is reached in every arm, model and window.

    ``n`` of the outcome is then the number of patients for a run of all rules. The result depends neither on ``jobs``
    nor on how patients are put into chunks.

    Raises
    ------
    InputError
        where the scenario does not say what precision it wants.
    """
    target = scenario.spec.precision
    if target is None:
        raise InputError(Problem("nothing", "the key precision", path="precision", where=scenario.id))
    (rule,) = (rule for rule in scenario.spec.rules if rule.id == target.rule)
    outcome = Outcome(target, 0, False, rule.share.value)
    for size in look_sizes(target.max_n):
        counted = study.run(_only(scenario, rule, size), jobs=jobs, numerics=numerics)
        for item in counted.results:
            looks = outcome.looks.setdefault((item.arm, item.model, item.window), [])
            low, high = sequence(item.n_met, size)
            if looks:
                low, high = max(low, looks[-1].low), min(high, looks[-1].high)
            looks.append(Look(size, item.n_met, low, high))
        outcome.n = size
        if progress is not None:
            progress(size, target.max_n)
        last = [looks[-1] for looks in outcome.looks.values()]
        outcome.reached = all(reached(target, look.low, look.high, outcome.required) for look in last)
        if outcome.reached:
            break
    return outcome


def _only(scenario: Scenario, rule: Rule, n: int) -> Scenario:
    """The scenario with one rule, n patients, and without what only pictures need."""
    observe = scenario.spec.observe
    update = {
        "rules": [rule],
        "n": n,
        "precision": None,
        "compare": None,
        "marks": [],
        "observe": observe.model_copy(update={"every": observe.span}),
    }
    return replace(scenario, spec=scenario.spec.model_copy(update=update), asked=())
