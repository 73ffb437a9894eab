"""Who breaks a rule: the covariates of those who do beside those of the rest, from counts.

Medians and quartiles are within 0.4 % of the sample's (:mod:`pkmodel.core.sketch`), shares are exact. What differs is
described, not explained: random effects are no covariates, and covariates go together. Intervals hold simulation error
only, and do not allow for having looked at several covariates.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pkmodel import replicates
from pkmodel.cases import Case
from pkmodel.findings import Finding, wilson
from pkmodel.profiles import Column, Counts

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: A sentence is said of at least so many who break a rule, and so many who do not.
FEWEST = 20
#: And of a standardised difference of at least this: "small" in Cohen J. Statistical power analysis. 1988, chapter 2.
NOTABLE = 0.2
HOLDS = (
    "covariates of those who break a rule beside those of the rest; all of them are in failing.csv; differences are "
    "described, not explained; their intervals hold simulation error only and do not allow for looking at several"
)


@dataclass(frozen=True)
class Difference:
    """One covariate of those who break a rule beside the rest: a line of failing.csv.

    ``failing`` and ``rest`` are medians with quartiles, or shares of those with ``level``. ``difference`` is that of
    the means, or of the shares, failing - rest, with its 95 % interval ``low`` to ``high``; ``standardised`` is it over
    the root of the mean of both variances. None where there is no such number: one patient has no variance.
    """

    rule: str
    arm: str
    model: str
    window: str
    covariate: str
    level: str
    unit: str
    n_failing: int
    n_rest: int
    failing: float
    failing_p25: float | None
    failing_p75: float | None
    rest: float
    rest_p25: float | None
    rest_p75: float | None
    difference: float
    low: float | None
    high: float | None
    standardised: float | None

    @property
    def size(self) -> float:
        """How large the difference is, to put covariates in order; infinite where the two have nothing in common."""
        if self.standardised is not None:
            return abs(self.standardised)
        return math.inf if self.difference and min(self.n_failing, self.n_rest) > 1 else -1.0


#: Columns of failing.csv, in order.
COLUMNS = tuple(Difference.__dataclass_fields__)


def differences(cases: Sequence[Case], counts: Sequence[Counts]) -> list[Difference]:
    """Every rule that some break and some keep, by arm, model and window; what differs most comes first.

    Parameters
    ----------
    counts
        for each case those of :class:`pkmodel.profiles.Layout`.
    """
    found = []
    for rule, label in dict.fromkeys(key for case in cases for key in case.profile.rows):
        for case, of_case in zip(cases, counts, strict=True):
            row = case.profile.rows.get((rule, label))
            if row is None or not of_case.size:
                continue
            bad = of_case[row].astype(np.int64)
            good = of_case[0].astype(np.int64) - bad
            lines = [
                Difference(rule, case.arm.name, case.model.id, label, **line)
                for column in case.profile.columns
                for line in _beside(column, bad, good)
            ]
            found += sorted(lines, key=lambda line: -line.size)
    return found


def _beside(column: Column, bad: Ints, good: Ints) -> Iterator[dict[str, Any]]:
    """What a line says of one covariate, from counts (replicates, cells); one line of two kinds is enough."""
    from pkmodel.core import sketch

    cells = slice(column.first, column.first + column.size)
    pair = np.stack([bad[:, cells], good[:, cells]])  # (2, replicates, cells of the covariate)
    whole = pair.sum(axis=1)
    n, m = (int(total) for total in whole.sum(axis=1))
    if not n or not m:
        return
    head = {"covariate": column.name, "unit": column.unit, "n_failing": n, "n_rest": m}
    if not column.levels:
        middles = column.middles()
        quartiles = sketch.quantiles(whole, np.array([0.25, 0.5, 0.75]), middles)
        line: dict[str, Any] = {**head, "level": ""}
        for name, (low, median, high) in zip(("failing", "rest"), quartiles.tolist(), strict=True):
            line |= {name: median, f"{name}_p25": low, f"{name}_p75": high}
        yield line | _difference(pair, middles, None)
        return
    blank = dict.fromkeys(("failing_p25", "failing_p75", "rest_p25", "rest_p75"))
    for index in range(1 if len(column.levels) == 2 else len(column.levels)):
        has = np.zeros(column.size)
        has[index] = 1.0
        share, other = (int(count) / total for count, total in zip(whole[:, index], (n, m), strict=True))
        line = {**head, "level": column.levels[index], "failing": share, "rest": other, **blank}
        yield line | _difference(pair, has, (int(whole[0, index]), int(whole[1, index])))


def _difference(pair: Ints, values: Floats, having: tuple[int, int] | None) -> dict[str, float | None]:
    """The difference of means with its interval, and over the root of the mean variance.

    Parameters
    ----------
    pair
        counts (2, replicates, cells) of both groups.
    values
        what stands for each cell (cells,); 1 and 0 where the mean is a share.
    having
        where it is, how many of each group are counted by it.
    """
    whole = pair.sum(axis=1)
    n, m = (int(total) for total in whole.sum(axis=1))
    mean, other = (float(value) for value in _means(whole, values))
    difference = mean - other
    low: float | None = None
    high: float | None = None
    variances = [
        float((counts * (values - centre) ** 2).sum()) / (total if having else max(total - 1, 1))
        for counts, centre, total in zip(whole, (mean, other), (n, m), strict=True)
    ]
    spread = math.sqrt(sum(variances) / 2.0)
    known = spread > 0.0 and (having is not None or min(n, m) > 1)
    standardised = difference / spread if known else 0.0 if not difference and min(n, m) > 1 else None
    if pair.shape[1] > 1:
        # Each replicate must have some of both: else it says nothing of the difference.
        if pair.sum(axis=2).min() > 1:
            estimates = _means(pair[0], values) - _means(pair[1], values)
            first, last = replicates.interval(estimates)
            low, high = difference - (last - first) / 2.0, difference + (last - first) / 2.0
            if having:
                low, high = max(-1.0, low), min(1.0, high)
    elif having:
        low, high = newcombe(having[0], n, having[1], m)
    elif known:
        low, high = welch(difference, variances[0] / n, n, variances[1] / m, m)
    return {"difference": difference, "low": low, "high": high, "standardised": standardised}


def _means(counts: Ints, values: Floats) -> Floats:
    """The mean (...) of values (cells,) from counts (..., cells)."""
    found: Floats = (counts * values).sum(axis=-1) / counts.sum(axis=-1)
    return found


def newcombe(met: int, n: int, other: int, m: int) -> tuple[float, float]:
    """The 95 % interval of a difference of two shares, ``met`` of ``n`` less ``other`` of ``m``; simulation error only.

    Newcombe RG. Interval estimation for the difference between independent proportions: comparison of eleven methods.
    Stat Med 1998;17:873-890, method 10.
    """
    share, rest = met / n, other / m
    (low, high), (least, most) = wilson(met, n), wilson(other, m)
    difference = share - rest
    return (
        difference - math.hypot(share - low, most - rest),
        difference + math.hypot(high - share, rest - least),
    )


def welch(difference: float, square: float, n: int, other: float, m: int) -> tuple[float, float]:
    """The 95 % interval of a difference of two means with squared standard errors ``square`` of n and ``other`` of m.

    Simulation error only. Welch BL. The generalization of Student's problem when several different population variances
    are involved. Biometrika 1947;34:28-35.
    """
    from scipy.special import stdtrit

    total = square + other
    freedom = total**2 / (square**2 / (n - 1) + other**2 / (m - 1))
    half = float(stdtrit(freedom, 0.975)) * math.sqrt(total)
    return difference - half, difference + half


_WORDS = {
    "age": ("younger", "older"),
    "weight": ("lighter", "heavier"),
    "height": ("shorter", "taller"),
    "bmi": ("of a lower BMI", "of a higher BMI"),
    "severity": ("of a lower severity", "of a higher severity"),
    "cyp2b6_activity": ("of a lower CYP2B6 activity", "of a higher CYP2B6 activity"),
    "hepatic_impairment": ("of less hepatic impairment", "of more hepatic impairment"),
}
_KINDS = {
    "sex": "{}",
    "ancestry": "of {} ancestry",
    "cyp2b6_activity": "with a CYP2B6 activity of {}",
    "hepatic_impairment": "with a hepatic impairment of {}",
}


def sentences(judged: Sequence[Finding], lines: Iterable[Difference]) -> dict[tuple[str, str, str, str], str]:
    """Who breaks a rule, in words, by rule, arm, model and window, where it is broken or undecided.

    Of several windows of a rule only the one that most patients break has a sentence, and only where at least
    :data:`FEWEST` break it and as many do not.
    """
    by_key: dict[tuple[str, str, str, str], list[Difference]] = {}
    for line in lines:
        by_key.setdefault((line.rule, line.arm, line.model, line.window), []).append(line)
    worst: dict[tuple[str, str, str], Finding] = {}
    for item in judged:
        before = worst.get((item.rule, item.arm, item.model))
        if before is None or item.n_met < before.n_met:
            worst[item.rule, item.arm, item.model] = item
    found = {}
    for item in judged:
        key = (item.rule, item.arm, item.model, item.window)
        several = by_key.get(key, [])
        if item.verdict == "met" or worst[key[:3]] is not item or not several:
            continue
        if min(item.n - item.n_met, item.n_met) >= FEWEST:
            found[key] = _sentence(item, several)
    return found


def _sentence(item: Finding, lines: Sequence[Difference]) -> str:
    """What the one or two covariates that differ most say."""
    said: list[Difference] = []
    for line in lines:
        # A BMI is made of the weight: that it differs too says little more.
        known = {other.covariate for other in said} | ({"weight", "bmi"} if {*_of(said)} & {"weight", "bmi"} else set())
        certain = line.size == math.inf or (line.low is not None and line.high is not None and line.low * line.high > 0)
        # Of a skewed covariate the medians may lie the other way round than the means; then no word is right.
        certain = certain and (bool(line.level) or (line.failing - line.rest) * line.difference > 0)
        if len(said) < 2 and certain and line.size >= NOTABLE and line.covariate not in known:
            said.append(line)
    who = f"who breaks it ({item.n - item.n_met:,} of {item.n:,})"
    if not said:
        return f"{who}: no covariate differs by much from the rest"
    return f"{who}: {'; '.join(map(_words, said))}"


def _of(lines: Iterable[Difference]) -> Iterator[str]:
    return (line.covariate for line in lines)


def _words(line: Difference) -> str:
    if line.level:
        level = line.level.title() if line.covariate == "ancestry" and line.level != "other" else line.level
        kind = _KINDS[line.covariate].format(level)
        return f"{_percent(line.failing)} {kind} against {_percent(line.rest)}"
    unit = f" {line.unit}" if line.unit else ""
    word = _WORDS[line.covariate][line.difference > 0]
    return f"{word}, median {line.failing:.3g}{unit} against {line.rest:.3g}{unit}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.1 or not share else f"{100 * share:.2g} %"
