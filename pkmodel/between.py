"""What several models say of the same question: verdicts taken together, and how far the medians lie apart.

A range of this module holds differences *between models* and nothing else. The spread between patients (bands,
quantiles) and the simulation error (Wilson intervals) are other things, and no number mixes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pkmodel import units
from pkmodel.cases import Case, unit_of
from pkmodel.cautions import listed
from pkmodel.findings import Finding
from pkmodel.questions import Question
from pkmodel.specs.rule import Rule

Floats = NDArray[np.float64]

#: What a joint verdict says where models do not agree.
DISAGREE = "models disagree"
#: Columns of joint.csv and between_models.csv, in order; the latter goes on with a median per model.
JOINT = (
    *("rule", "arm", "output", "metric", "window", "limit", "unit", "required", "n", "n_models"),
    *("n_met", "n_broken", "n_undecided", "verdict", "met_under", "broken_under", "undecided_under"),
    *("lowest_share", "lowest_share_model", "highest_share", "highest_share_model", "sentence"),
)
RANGE = (
    *("arm", "output", "metric", "condition", "window", "taken", "n", "n_models", "unit"),
    *("lowest", "lowest_model", "highest", "highest_model", "ratio"),
)


@dataclass(frozen=True)
class Joint:
    """One rule in one arm, over all models that the arm runs on."""

    rule: Rule
    findings: tuple[Finding, ...]
    illustrative: bool = False

    @property
    def arm(self) -> str:
        """The arm that is judged."""
        return self.findings[0].arm

    @property
    def window(self) -> str:
        """The window that is judged."""
        return self.findings[0].window

    def under(self, verdict: str) -> list[str]:
        """The models with this verdict."""
        return [found.model for found in self.findings if found.verdict == verdict]

    @property
    def verdict(self) -> str:
        """The verdict that all models share, or that they disagree."""
        verdicts = {found.verdict for found in self.findings}
        return verdicts.pop() if len(verdicts) == 1 else DISAGREE

    @property
    def sentence(self) -> str:
        """In words: ``met under 3 of 5 models (broken under a and b)``."""
        count = len(self.findings)
        teaching = ", illustrative" if self.illustrative else ""
        if self.verdict != DISAGREE:
            return f"{self.verdict} under {'both' if count == 2 else f'all {count}'} models{teaching}"
        met = len(self.under("met"))
        others = [f"{word} under {listed(named)}" for word in ("broken", "undecided") if (named := self.under(word))]
        return f"met under {met or 'none'} of {count} models ({'; '.join(others)}){teaching}"

    def plain(self) -> dict[str, Any]:
        """Plain data, as in findings.json: the lists of models are lists."""
        lowest = min(self.findings, key=lambda found: found.share)
        highest = max(self.findings, key=lambda found: found.share)
        under = {word: self.under(word) for word in ("met", "broken", "undecided")}
        found = {
            "rule": self.rule.id,
            "arm": self.arm,
            "output": self.rule.output,
            "metric": self.rule.named,
            "window": self.window,
            "limit": lowest.limit,
            "unit": lowest.unit,
            "required": lowest.required,
            "n": lowest.n,
            "n_models": len(self.findings),
            **{f"n_{word}": len(names) for word, names in under.items()},
            "verdict": self.verdict,
            **{f"{word}_under": names for word, names in under.items()},
            "lowest_share": lowest.share,
            "lowest_share_model": lowest.model,
            "highest_share": highest.share,
            "highest_share_model": highest.model,
            "sentence": self.sentence,
        }
        return {name: found[name] for name in JOINT}

    def row(self) -> dict[str, Any]:
        """A line of joint.csv: models of a list are parted by semicolons."""
        return {key: "; ".join(value) if isinstance(value, list) else value for key, value in self.plain().items()}


def joint(rules: Sequence[Rule], results: Sequence[Finding], teaching: Iterable[str] = ()) -> list[Joint]:
    """The joint verdict of every rule, arm and window that was judged under more than one model.

    ``teaching`` are the ids of rules on illustrative effects, which every sentence about them says.
    """
    named = {rule.id: rule for rule in rules}
    together: dict[tuple[str, str, str], list[Finding]] = {}
    for found in results:
        together.setdefault((found.rule, found.arm, found.window), []).append(found)
    shown = set(teaching)
    return [
        Joint(named[rule], tuple(several), rule in shown)
        for (rule, _, _), several in together.items()
        if len(several) > 1
    ]


@dataclass(frozen=True)
class Range:
    """The medians over patients of one metric under every model of an arm, in the unit of the first model.

    A median is infinite where half of the patients never reach what is asked for.
    """

    arm: str
    question: Question
    n: int
    unit: str
    medians: Mapping[str, float]

    @property
    def lowest(self) -> tuple[str, float]:
        """The model with the lowest median, and that median."""
        return min(self.medians.items(), key=lambda item: item[1])

    @property
    def highest(self) -> tuple[str, float]:
        """The model with the highest median, and that median."""
        return max(self.medians.items(), key=lambda item: item[1])

    @property
    def ratio(self) -> float | None:
        """Highest over lowest; None where the lowest is 0, or one is never reached."""
        (_, low), (_, high) = self.lowest, self.highest
        return high / low if low > 0 and np.isfinite(high) else None

    def plain(self) -> dict[str, Any]:
        """Plain data, as in findings.json; None for a median that is never reached."""
        (low_model, low), (high_model, high) = self.lowest, self.highest
        found = {
            "arm": self.arm,
            **vars(self.question),
            "n": self.n,
            "n_models": len(self.medians),
            "unit": self.unit,
            "lowest": _finite(low),
            "lowest_model": low_model,
            "highest": _finite(high),
            "highest_model": high_model,
            "ratio": self.ratio,
        }
        return {name: found[name] for name in RANGE} | {
            "medians": {model: _finite(median) for model, median in self.medians.items()}
        }

    def row(self, models: Iterable[str]) -> dict[str, Any]:
        """A line of between_models.csv: a column for each of ``models``, empty where the arm does not run on it."""
        found = self.plain()
        medians = found.pop("medians")
        return found | {model: medians.get(model) for model in models}


def ranges(cases: Sequence[Case], answers: Sequence[Mapping[Question, Floats]], n: int) -> list[Range]:
    """How far models lie apart: for every arm with several, and every metric that rules or comparison name.

    ``answers`` holds for each case the value of each patient (n,) in the unit of the model's own output.
    """
    arms: dict[str, list[tuple[Case, Mapping[Question, Floats]]]] = {}
    for case, values in zip(cases, answers, strict=True):
        if values:
            arms.setdefault(case.arm.name, []).append((case, values))
    found = []
    for arm, several in arms.items():
        first = several[0][0]
        for question in first.questions:
            unit = _unit(first, question)
            medians = {}
            for case, values in several:
                factor = units.ratio(_unit(case, question), unit)
                # A median between two values is their mean, and that of two infinite ones is infinite.
                medians[case.model.id] = float(np.median(values[question])) * factor
            found.append(Range(arm, question, n, unit, medians))
    return found


def _unit(case: Case, question: Question) -> str:
    request, _ = case.questions[question]
    return unit_of(request, case.model)


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
