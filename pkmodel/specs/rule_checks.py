"""What a rule must agree on with a model: metrics that an output or effect has, and limits in its unit.

The exact figures of a course belong to states. An effect that follows one state by a curve that only rises, or only
falls, takes them over: its highest value is that at the highest level, its time above a threshold the level's time
above the level that the threshold stands for. An area does not carry over a curve, and a formula of several levels
follows no single state; these are refused, with what to do instead.
"""

from __future__ import annotations

from collections.abc import Sequence

from pkmodel import units
from pkmodel.errors import InputError, Problem
from pkmodel.specs.asked import Asked
from pkmodel.specs.clause import Clause
from pkmodel.specs.expressions import described
from pkmodel.specs.metric import METRICS, OF_A_RULE, OF_AREAS, UNITLESS
from pkmodel.specs.model import ModelSpec
from pkmodel.specs.scenario import Compare
from pkmodel.units import Quantity

#: Of an effect that falls as levels rise: what is not to be had, and what is instead.
_FALLING = {
    "peak": "lowest, its strongest effect",
    "time_of_peak": "lowest, level_at or time_below",
    "first_crossing": "lowest, level_at or time_below",
    "time_until_below": "lowest, level_at or time_below",
}


def falls(model: ModelSpec, name: str) -> bool:
    """Whether the curve of an effect falls as levels rise, in a typical adult."""
    from pkmodel.specs.model_rules import typical_adult

    link = model.effects[name].link if name in model.effects else None
    return link is not None and float(link.emax.evaluate(typical_adult(model))) < 0


def refusal(model: ModelSpec, name: str, metric: str) -> Problem | None:
    """Why a metric of an output or effect (its resolved name) is not to be had exactly; None where it is."""
    what = metric.replace("_", " ")
    if name not in model.effects:
        return None
    effect = model.effects[name]
    if effect.effect is not None:
        levels = " or ".join(dict.fromkeys(effect.on.values()))
        found = f"{what} of {name}, which is a formula of levels and follows no single one"
        expected = f"a rule on {levels}, or an effect by emax, sigmoid, turnover or effect_site alone; "
        return Problem(found, expected + "simulate and the bands show a formula", path="output")
    if effect.summed:
        halves = " and ".join(effect.summed)
        found = f"{what} of {name}, which follows {halves} together and no single one"
        expected = f"a rule on one of {halves}, or an effect behind an effect_site; simulate and the bands show it"
        return Problem(found, expected, path="output")
    if effect.link is None:
        return None
    if metric in OF_AREAS:  # which do not carry over a curve
        expected = f"{metric} of an output, of a turnover or of an effect site alone"
        what = "area" if metric == "auc" else what
        return Problem(f"the {what} of {name}, which is no area of a level", expected, path="metric")
    if metric in _FALLING and falls(model, name):
        return Problem(f"{what} of {name}, which falls as levels rise", _FALLING[metric], path="metric")
    return None


def offered(model: ModelSpec, name: str) -> list[str]:
    """The metrics of an output or effect."""
    return [metric for metric in METRICS if refusal(model, name, metric) is None]


def alike(rule: Clause, metric: str, name: str, model: ModelSpec) -> bool:
    """Whether a rule gives its threshold or moment to a metric of an output or effect that is compared.

    Levels share them; what an effect is counted in is its own.
    """
    try:
        own = model.observable(rule.output)
    except InputError:
        return False
    return rule.metric == metric and (own == name or not {own, name} & set(model.effects))


def rule_problems(rule: Clause, model: ModelSpec) -> list[Problem]:
    """What does not fit between a metric with its limit and a model; paths are those inside of the clause."""
    try:
        name = model.observable(rule.output)
    except InputError as error:
        return list(error.problems)
    if (refused := refusal(model, name, rule.metric)) is not None:
        return [refused]
    side = "at_most" if rule.at_most is not None else "at_least"
    if rule.relative_to is not None:
        return baseline_problems(rule, model, name, side)
    found = unit_problems(model, name, METRICS[rule.metric], rule.limit, side)
    for path, level in (("threshold", rule.threshold), ("up_to", rule.up_to)):
        if level is not None:
            found += unit_problems(model, name, "concentration", level, path)
    return found


def baseline_problems(rule: Clause, model: ModelSpec, name: str, side: str) -> list[Problem]:
    """What does not fit between a metric relative to a baseline and the effect that has one."""
    if name not in model.effects:
        return [Problem(f"{name}, a level, which is 0 before the first dose", _WITH_BASELINE, path="relative_to")]
    if rule.of_baseline == "change":
        return unit_problems(model, name, "concentration", rule.limit, side)
    if not rule.limit.unit.text and not model.effects[name].dimensions:
        # A plain number of an effect that is one itself could be meant as either.
        return [Problem(f"{rule.limit.text} without a unit", 'a share of the baseline in %, such as "50 %"', path=side)]
    if rule.limit.value < 0:
        return [Problem(rule.limit.text, "a share of at least 0", path=side)]
    if typical_baseline(model, name) <= 0:
        found = f"a share of the baseline of {name}, which is {typical_baseline(model, name):g} without drug"
        return [Problem(found, _WITH_BASELINE, path="relative_to")]
    return []


_WITH_BASELINE = "an effect whose value without drug is not 0"


def typical_baseline(model: ModelSpec, name: str) -> float:
    """What an effect is without drug in a typical adult, in its unit."""
    from pkmodel.specs.model_rules import typical_adult

    effect = model.effects[name]
    at = effect.turnover.baseline if effect.turnover is not None else effect.link.e0 if effect.link else None
    return 0.0 if at is None else float(at.evaluate(typical_adult(model))) / model.factor_of(name)


def asked_problems(asked: Asked, model: ModelSpec) -> list[Problem]:
    """What does not fit between a metric that is asked for and a model."""
    try:
        name = model.observable(asked.output)
    except InputError as error:
        return list(error.problems)
    if (refused := refusal(model, name, asked.metric)) is not None:
        return [refused]
    if asked.threshold is None:
        return []
    return unit_problems(model, name, "concentration", asked.threshold, "threshold")


def compare_problems(compare: Compare, rules: Sequence[Clause], model: ModelSpec) -> list[Problem]:
    """What does not fit between a comparison and a model."""
    try:
        name = model.observable(compare.output, path="compare.output")
    except InputError as error:
        return list(error.problems)
    problems = []
    for index, metric in enumerate(compare.metrics):
        path = f"compare.metrics[{index}]"
        if (refused := refusal(model, name, metric)) is not None:
            problems.append(refused.at(path="compare.output" if refused.path == "output" else path))
        elif metric in OF_A_RULE and not any(alike(rule, metric, name, model) for rule in rules):
            problems.append(Problem(metric, f"a rule on {name} that gives this metric its threshold or moment", path))
    return problems


def unit_problems(model: ModelSpec, name: str, kind: str, value: Quantity, path: str) -> list[Problem]:
    """A limit or threshold in the unit of what it limits; below 0 only for an effect."""
    unit, expected = units.KINDS[kind]
    dimensions = dict(units.parse_unit(unit).dimensions)
    if name in model.effects and kind not in UNITLESS:
        own = model.observables[name]
        dimensions = dict(model.effects[name].dimensions or {})
        expected = f"a value in what {name} is counted in, {own}" if own else f"a plain number, which {name} is"
        if kind == "exposure":
            dimensions["time"] = dimensions.get("time", 0.0) + 1.0
            dimensions = {key: power for key, power in dimensions.items() if power}
            expected = f"an area under {name} ({described(dimensions)})"
    if dict(value.unit.dimensions) != dimensions:
        bare = "" if value.unit.text else " without a unit"
        return [Problem(value.text + bare, expected, path=path)]
    if name not in model.effects and value.value < 0:
        return [Problem(value.text, "a limit of at least 0", path=path)]
    return []
