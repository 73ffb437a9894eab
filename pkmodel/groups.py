"""Several populations as one study: each has patients of its own, so that their differences are between groups.

Every population is a run with a seed of its own (that of the first, and one more for each that follows), so that no two
of them share a draw. Arms of one population stay paired; arms of two are not.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from pkmodel import risk
from pkmodel.cases import references
from pkmodel.needed import Pair
from pkmodel.outcome import Study
from pkmodel.specs.comparison import Request


@dataclass
class Groups(Study):
    """The studies of several populations, their cases one after another."""

    studies: tuple[Study, ...] = ()
    populations: Mapping[str, str] = field(default_factory=dict)
    """The population of each arm, by their names."""
    reference: str = ""

    @property
    def names(self) -> list[str]:
        """The populations, one to a study."""
        return [self.populations[study.cases[0].arm.name] for study in self.studies]

    @cached_property
    def comparisons(self) -> list[dict[str, Any]]:
        """Nothing: `pkmodel compare` has a table of its own."""
        return []

    @property
    def assumptions(self) -> list[str]:
        """Those of every population; what only some of them rest on is said of them."""
        return self._merged([study.assumptions for study in self.studies])

    @cached_property
    def warnings(self) -> list[str]:
        """Those of every population; what only some of them must know is said of them."""
        return self._merged([study.warnings for study in self.studies])

    def _merged(self, said: Sequence[Sequence[str]]) -> list[str]:
        """Sentences of each population, none twice."""
        found = []
        for sentence in dict.fromkeys(itertools.chain.from_iterable(said)):
            who = [name for name, own in zip(self.names, said, strict=True) if sentence in own]
            every = len(who) == len(said) or sentence.startswith("population ")
            found.append(sentence if every else f"in {' and '.join(who)}: {sentence}")
        return found

    @cached_property
    def pairs(self) -> list[Pair]:
        """Every rule in every arm against the reference: pairs of patients within its population, groups without."""
        own = [pair for study in self.studies for pair in study.pairs if pair.reference == self.reference]
        found = own + self._apart
        order = {rule.id: index for index, rule in enumerate(self.scenario.spec.rules)}
        arms = [case.arm.name for case in self.cases]
        return sorted(found, key=lambda pair: (order[pair.rule], arms.index(pair.arm)))

    @property
    def _apart(self) -> list[Pair]:
        against = references(self.cases, self.reference)
        found = []
        for rule in self.scenario.spec.rules:
            for case, sums, other in zip(self.cases, self.sums, against, strict=True):
                here = self.populations[case.arm.name]
                if other is None or here == self.populations[self.reference]:
                    continue
                base = self.sums[other]
                for (name, window), met in sums.met.items():
                    if name != rule.id or (name, window) not in base.met:
                        continue
                    broken, broken_there = self.n - met, self.n - base.met[name, window]
                    low, high = risk.independent_interval(broken, self.n, broken_there, self.n)
                    difference = (broken - broken_there) / self.n
                    named = (rule.id, case.arm.name, self.reference, case.model.id, self.cases[other].model.id)
                    shares = (broken / self.n, broken_there / self.n)
                    found.append(Pair(*named, window, self.n, None, shares, difference, low, high, None))
        return found


def together(studies: Sequence[Study], request: Request) -> Study:
    """One study of the studies of a comparison, which is itself where there is one."""
    first = studies[0]
    if len(studies) == 1:
        return first
    spec = first.scenario.spec
    assert spec.compare is not None
    inputs = {key: item for study in studies for key, item in study.scenario.inputs.items()}
    compare = spec.compare.model_copy(update={"reference": request.reference})
    scenario = replace(first.scenario, spec=spec.model_copy(update={"compare": compare}), inputs=inputs)
    return Groups(
        scenario=scenario,
        cases=[case for study in studies for case in study.cases],
        sums=[sums for study in studies for sums in study.sums],
        compared=[values for study in studies for values in study.compared],
        numerics=first.numerics,
        studies=tuple(studies),
        populations=request.populations,
        reference=request.reference,
    )
