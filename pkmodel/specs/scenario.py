"""A scenario file: arms, models, a population, and the monitoring rules that they are held against."""

from __future__ import annotations

import re
from typing import Annotated, Literal, get_args

from pydantic import BeforeValidator, Field, PlainValidator, model_validator

from pkmodel import units
from pkmodel.errors import InputError, Problem, nearest, one_of, shown, unknown_name
from pkmodel.specs import fields, mark, shapes
from pkmodel.specs.loading import Spec
from pkmodel.specs.mark import Mark
from pkmodel.specs.metric import OF_A_RULE, OF_SESSION, MetricField
from pkmodel.specs.precision import Precision
from pkmodel.specs.prices import Prices
from pkmodel.specs.rule import Rule, named_rule
from pkmodel.specs.sampling import Sampling, word_as_sampling
from pkmodel.specs.variability import VariabilitySwitch
from pkmodel.specs.window import WORST, WindowField
from pkmodel.units import Quantity

_DRUGS: tuple[str, ...] = get_args(fields.Drug)


@shapes.takes(
    {
        "anyOf": [
            {"type": "string"},
            {
                "type": "object",
                "properties": {drug: {"type": "string"} for drug in _DRUGS},
                "additionalProperties": False,
                "minProperties": 1,
            },
        ]
    }
)
def _models_of_arm(value: object) -> str | dict[str, str]:
    """The name of a model, or one for each drug of the protocol."""
    if isinstance(value, str):
        return value
    if not isinstance(value, dict) or not value:
        expected = "the name of a model, or one for each drug, such as {ketamine: ..., esketamine: ...}"
        raise InputError(Problem(shown(value), expected))
    problems = []
    for drug, name in value.items():
        if drug not in _DRUGS:
            problems.append(Problem(shown(drug), one_of(_DRUGS), path=str(drug), nearest=nearest(drug, _DRUGS)))
        elif not isinstance(name, str):
            problems.append(Problem(shown(name), "the name of a model", path=str(drug)))
    if problems:
        raise InputError(problems)
    return value


class Arm(Spec):
    """One protocol of the comparison.

    ``model`` may be a mapping from drug to model where the protocol gives several drugs: the sessions of each drug are
    then an arm of their own, named ``arm (drug)``.
    """

    protocol: fields.NameOrMapping
    model: Annotated[str | dict[str, str] | None, PlainValidator(_models_of_arm)] = None
    drug: Literal["match", "own", "half"] = "match"


@shapes.takes(shapes.quantity('a time such as "4 h after each session start"'))
def _observed_for(value: object) -> Quantity:
    text = value
    if isinstance(value, str):
        text = re.sub(r"\s+after\s+(each\s+)?session[ _]start\s*$", "", value)
        if "after" in text:
            raise InputError(Problem(shown(value), 'a time such as "4 h after each session start"'))
    quantity = units.as_kind(text, "time")
    if quantity.value <= 0:
        raise InputError(Problem(shown(value), 'a time such as "4 h after each session start"'))
    return quantity


class Observe(Spec):
    """The grid of bands and pictures; metrics are exact between its points."""

    every: fields.Duration
    span: Annotated[Quantity, PlainValidator(_observed_for)] = Field(alias="for")

    @model_validator(mode="after")
    def _size(self) -> Observe:
        if self.every.value > self.span.value:
            raise InputError(Problem(f"every {self.every.text} for {self.span.text}", "a step below the span"))
        if self.span.value / self.every.value > 20_000:
            raise InputError(
                Problem(f"every {self.every.text} for {self.span.text}", "at most 20,000 points a session")
            )
        return self


class Compare(Spec):
    """Which metrics are put side by side, against which arm."""

    reference: str
    metrics: list[MetricField] = Field(min_length=1)
    output: str = "parent"
    window: WindowField = WORST


class ScenarioSpec(Spec):
    """A scenario file, checked as far as it can be without its protocols, models and population."""

    title: str = Field(min_length=1)
    question: str = ""
    context_of_use: str = "research and teaching; not for patient care"
    arms: dict[fields.Name, Arm] = Field(min_length=1)
    model: str | None = None
    models: list[str] | None = None
    effects: list[str] = []
    population: fields.NameOrMapping
    n: Annotated[int, Field(ge=1, le=100_000_000)] = 1000
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1
    variability: VariabilitySwitch = VariabilitySwitch()
    sampling: Annotated[Sampling, BeforeValidator(word_as_sampling)] = Sampling()
    observe: Observe
    rules: list[Annotated[Rule, BeforeValidator(named_rule)]] = []
    prices: Prices | None = None
    """What things cost, for rules on cost."""
    compare: Compare | None = None
    precision: Precision | None = None
    marks: list[Mark] = []
    source: Annotated[fields.Citation | None, BeforeValidator(fields.text_as_citation)] = None
    notes: list[str] = []

    @model_validator(mode="after")
    def _consistent(self) -> ScenarioSpec:
        problems = self.sampling.problems(self.n)
        if self.model is not None and self.models is not None:
            problems.append(Problem("model and models", "one of them", path="models"))
        for index, name in enumerate(self.models or []):
            if name in (self.models or [])[:index]:
                problems.append(Problem(f"{name} a second time", "each model once", path=f"models[{index}]"))
        if self.models is not None and not self.models:
            problems.append(Problem("an empty list", "at least one model", path="models"))
        if self.model is None and self.models is None:
            for name, arm in self.arms.items():
                if arm.model is None:
                    problems.append(Problem("nothing", "a model, here or for the whole scenario", f"arms.{name}.model"))
        for index, name in enumerate(self.effects):
            if name in self.effects[:index]:
                problems.append(Problem(f"{name} a second time", "each effect once", path=f"effects[{index}]"))
        if not self.rules and self.compare is None:
            problems.append(Problem("nothing to judge", "at least one rule, or compare", path="rules"))
        seen: set[str] = set()
        for index, rule in enumerate(self.rules):
            if rule.id in seen:
                problems.append(Problem(f"the id {rule.id} a second time", "each id once", path=f"rules[{index}].id"))
            seen.add(rule.id)
        problems += mark.problems(self.marks, self.arms, self.observe.span)
        if self.compare is not None:
            problems += self._comparison()
        if self.precision is not None and self.sampling.even:
            found = f"precision with sampling: {self.sampling.method}"
            problems.append(Problem(found, "sampling: random, whose patients are independent", path="precision"))
        if self.precision is not None:
            wrong = self.precision.problems(rule.id for rule in self.rules)
            problems += [problem.at(path=f"precision.{problem.path}") for problem in wrong]
        if problems:
            raise InputError(problems)
        return self

    def _comparison(self) -> list[Problem]:
        assert self.compare is not None
        problems = []
        for metric in self.compare.metrics:
            if metric in OF_SESSION and self.compare.window.kind in ("between", "course", "absolute"):
                found = f"{metric} over the window {self.compare.window}"
                problems.append(Problem(found, f"a window of sessions for {metric}", path="compare.window"))
        if self.compare.reference not in self.arms:
            problems.append(unknown_name("an arm", self.compare.reference, self.arms, path="compare.reference"))
        for index, metric in enumerate(self.compare.metrics):
            if metric in OF_A_RULE and not any(test.metric == metric for rule in self.rules for test in rule.tests):
                path = f"compare.metrics[{index}]"
                problems.append(Problem(metric, "a rule that gives this metric its threshold or moment", path=path))
        return problems
