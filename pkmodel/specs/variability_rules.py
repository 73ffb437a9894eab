"""What the random effects of a model file must agree on."""

from __future__ import annotations

from pkmodel.errors import InputError, Problem, unknown_name
from pkmodel.specs.covariance import factor
from pkmodel.specs.loading import is_path, library
from pkmodel.specs.model import ModelSpec
from pkmodel.specs.variability import Block, RandomEffect, ReplacedVariability


def check_variability(model: ModelSpec, found: list[Problem]) -> None:
    """Random effects on parameters that exist, with covariances that belong to a distribution."""
    borrowed = model.variability.borrowed
    if borrowed is not None and not is_path(borrowed) and borrowed not in library("models"):
        found.append(unknown_name("the name of a model", borrowed, library("models"), path="variability.borrowed"))
    for level in ("between_subject", "between_occasion"):
        found += _block(model, getattr(model.variability, level), f"variability.{level}")


def replaced(model: ModelSpec, block: Block, path: str) -> ModelSpec:
    """The model with another block between its subjects, which a scenario has at ``path``.

    Raises InputError with every mistake of the block: it is checked as a model file's is.
    """
    if not any("~" not in name for name in block.effects):
        raise InputError(
            Problem("no effects", f"effects such as {{{next(iter(model.parameters))}: {{cv: 30 %}}}}", path)
        )
    if problems := _block(model, block, path):
        raise InputError(problems)
    occasions = model.variability.between_occasion
    variability = ReplacedVariability(between_subject=block, between_occasion=occasions)
    return model.model_copy(update={"variability": variability})


def _block(model: ModelSpec, block: Block, where: str) -> list[Problem]:
    """Every mistake of a block of random effects on the parameters of a model."""
    found: list[Problem] = []
    for name, effect in block.effects.items():
        path = f"{where}.{name}"
        found += _pair(name, effect, block, path) if "~" in name else _effect(name, effect, block, model, path)
    if not found:
        try:
            factor(block)
        except InputError as error:
            found = [problem.at(path=where) for problem in error.problems]
    return found


def _pair(name: str, effect: RandomEffect, block: Block, path: str) -> list[Problem]:
    """The covariance of two effects, as ``V1~CL``."""
    first, _, second = name.partition("~")
    own = [key for key, other in block.effects.items() if "~" not in key and other.eta is None]
    problems = [
        unknown_name("a parameter of this block with a variance of its own", part, own, path=path)
        for part in (first, second)
        if part not in own
    ]
    if first == second:
        problems = [Problem(f"the covariance {name} of an effect with itself", "two parameters", path=path)]
    if f"{second}~{first}" in list(block.effects)[: list(block.effects).index(name)]:
        problems.append(Problem(f"{name} beside {second}~{first}", "each pair once", path=path))
    if effect.cov is None and effect.correlation is None:
        problems.append(Problem("no cov or correlation", "cov or correlation of the pair", path=path))
    return problems


def _effect(name: str, effect: RandomEffect, block: Block, model: ModelSpec, path: str) -> list[Problem]:
    """The effect on one parameter."""
    if name not in model.parameters:
        return [unknown_name("a parameter", name, model.parameters, path=path)]
    if effect.cov is not None or effect.correlation is not None:
        return [Problem("the covariance of one parameter", f"a pair such as {name}~CL", path=path)]
    if effect.eta is not None:
        own = [key for key, other in block.effects.items() if "~" not in key and other.eta is None]
        if effect.eta not in own:
            expected = "a parameter with a variance of its own, whose effect is shared"
            return [unknown_name(expected, effect.eta, own, path=f"{path}.eta")]
    if effect.transform == "logit":
        value, per_weight = model.typical[name]
        if per_weight or not 0 < value < 1 or _dimensions_of(model, name):
            expected = "a parameter between 0 and 1 for the transform logit"
            return [Problem(f"the transform logit on {name} = {value:g}", expected, path=path)]
        ends = model.parameters[name].ci
        if ends is not None and ends[1].value >= 1:
            said = f"the transform logit on {name}, whose ci is {ends[0].text} to {ends[1].text}"
            return [Problem(said, "a ci between 0 and 1 for the transform logit", path=path)]
    return []


def _dimensions_of(model: ModelSpec, name: str) -> bool:
    value = model.parameters[name].value
    return value is not None and bool(value.unit.dimensions)
