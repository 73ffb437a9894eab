"""Effects attached to a model: which output drives them, by which conversion, and what a reader must be told.

An effect is stated for analytes (a C50 of S-ketamine is not one of the racemate), and a model gives some. An analyte
that the model gives drives the effect directly, and a racemate is the sum of its halves. One that it does not give may
be had from others in three ways, each said: as half of a racemate, or as the other half (assumed: S and R run alike);
by a `potency` that the effect file states; as nothing, of the R side where esketamine is given. Otherwise the effect
does not fit the model, and is refused.
"""

from __future__ import annotations

import ast
import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from pkmodel.errors import InputError, Problem, one_of
from pkmodel.specs import fields, loading
from pkmodel.specs.effect import ONLY, Band, EffectSpec
from pkmodel.specs.effect_file import DRUGS, NOR, EffectFile
from pkmodel.specs.expressions import Constant, Expression
from pkmodel.specs.loading import Source, Spec
from pkmodel.specs.model import ModelSpec
from pkmodel.specs.parameter import Parameter
from pkmodel.specs.variability import RandomEffect, Variability

#: The halves of a racemate, S and R.
_HALVES = {"ketamine": ("esketamine", "arketamine"), "norketamine": ("noresketamine", "arnorketamine")}


class AttachedEffect(EffectSpec):
    """An effect of a file, on the outputs of one model."""

    title: str
    source: fields.Citation
    drug: fields.Drug
    mixed: dict[str, dict[str, float]] = Field(default={})
    """By driver, the outputs that make up what it is stated for, and how much of each counts."""
    parameters: tuple[str, ...] = ()
    said: tuple[str, ...] = ()
    """What its conversions assume, one sentence each."""

    @property
    def brings(self) -> tuple[str, ...]:
        """The parameters of the model that belong to this effect."""
        return self.parameters

    def sources(self, driver: str) -> Mapping[str, float]:
        """The outputs whose levels make up a driver, and how much of each counts: half of a racemate, say."""
        return self.mixed[driver]

    def assumptions(self, name: str) -> list[str]:
        """What a reader must know: of its numbers, and of how it is driven."""
        return [*super().assumptions(name), *self.said]


@dataclass(frozen=True)
class Driver:
    """What stands for an analyte: the levels of these outputs, so much of each, and what that assumes."""

    outputs: Mapping[str, float]
    said: str = ""

    @property
    def output(self) -> str:
        """The output, or the first of several."""
        return next(iter(self.outputs))


def attach(model: ModelSpec, effects: Sequence[EffectFile | Source], *, given: fields.Drug | None = None) -> ModelSpec:
    """A model that has these effects too, named by their ids; bands go to ``bands``, for pictures.

    Parameters
    ----------
    effects
        loaded ones, or names, paths or mappings.
    given
        the drug that is given, where that is not the model's: esketamine on a racemic model, whose outputs are then
        all S-ketamine; ketamine on a model of esketamine, which describes the S half of it.

    Raises
    ------
    InputError
        where an effect needs an analyte or a potency that is not there, or its name is taken; with what would fit.
    """
    for index, item in enumerate(effects):
        try:
            file = item if isinstance(item, EffectFile) else loading.load("effects", item, EffectFile)[0]
            model = _attached(model, file, given or model.drug)
        except InputError as error:
            raise InputError([p if p.where else p.at(path=f"effects[{index}]") for p in error.problems]) from None
    return model


def fits(model: ModelSpec, file: EffectFile) -> bool:
    """Whether a model gives what an effect is stated for, directly or by a conversion."""
    return all(_driver(model, file, analyte, model.drug) is not None for analyte in file.analytes.values())


def described(model: ModelSpec) -> list[dict[str, Any]]:
    """Effects and bands of a model as plain data: name, what it is on, unit, grade, and whether it is illustrative."""
    found: list[dict[str, Any]] = []
    for name, effect in model.effects.items():
        on = list(dict.fromkeys(output for driver in effect.on for output in effect.sources(driver)))
        head = {"name": name, "on": on, "unit": model.observables[name], "illustrative": effect.illustrative}
        found.append({**head, "evidence": effect.evidence.get(ONLY, effect.evidence)})
    for name, band in model.bands.items():
        low, high = (end if math.isfinite(end) else None for end in band.band)
        head = {"name": name, "on": [band.on], "from_mg_per_L": low, "to_mg_per_L": high}
        found.append({**head, "illustrative": band.illustrative, "evidence": band.evidence})
    return found


def _attached(model: ModelSpec, file: EffectFile, given: fields.Drug) -> ModelSpec:
    if file.id in model.observables or file.id in model.bands:
        raise InputError(Problem(f"the effect {file.id}, which {model.id} has already", "each effect once"))
    drivers = {driver: _driver(model, file, analyte, given) for driver, analyte in file.analytes.items()}
    missing = [analyte for driver, analyte in file.analytes.items() if drivers[driver] is None]
    if missing:
        raise InputError(_refused(model, file, missing[0], given))
    changed, problems = joined(model, file, {driver: found for driver, found in drivers.items() if found is not None})
    if problems:
        raise InputError(problems)
    return changed


def _carried(model: ModelSpec, given: fields.Drug) -> dict[str, str]:
    """The outputs of a model by the analyte that each holds."""
    found = {name: name for name in model.outputs}
    if not set(DRUGS) & set(found):
        found[model.drug] = model.parent
    if given == "esketamine" and model.drug == "ketamine":
        alone = {"ketamine": "esketamine", "norketamine": "noresketamine"}
        found = {alone.get(analyte, analyte): output for analyte, output in found.items()}
    return found


def _driver(model: ModelSpec, file: EffectFile, analyte: str, given: fields.Drug) -> Driver | None:
    """What stands for an analyte; None where nothing does."""
    carried = _carried(model, given)
    who = f"the effect {file.id}" if file.band is None else f"the band {file.id}"
    alike = "assumed: the S and R halves run alike"
    if analyte in carried:
        output, said = carried[analyte], ""
        if (model.drug, given) == ("ketamine", "esketamine"):
            said = f"{who} takes all of {output} for {analyte}, which is given"
        return Driver({output: 1.0}, said)
    if given == "ketamine" and analyte in _HALVES:
        first, second = _HALVES[analyte]
        if first in carried and second in carried:
            if file.band is not None:
                return None  # it would have to be marked on a sum, and that is no output
            said = f"{who} takes {first} and {second} together for {analyte}"
            return Driver({carried[first]: 1.0, carried[second]: 1.0}, said)
        if first in carried:
            return Driver({carried[first]: 2.0}, f"{who} takes twice {first} for {analyte} ({alike})")
    group = next((names for names in (DRUGS, NOR) if analyte in names), ())
    for name, potency in file.potency.items():
        if name in carried and name in group:
            grade = f"{potency.evidence}: {potency.origin}"
            said = f"{who}, stated for {analyte}, counts {name} {potency.value:g} times ({grade})"
            return Driver({carried[name]: potency.value}, said)
    for racemate, halves in _HALVES.items():
        if analyte in halves and racemate in carried:
            output = carried[racemate]
            return Driver({output: 0.5}, f"{who} takes half of {output} for {analyte} ({alike})")
        if analyte == halves[1] and given == "ketamine" and halves[0] in carried:
            return Driver({carried[halves[0]]: 1.0}, f"{who} takes {halves[0]} for {analyte} too ({alike})")
        if analyte == halves[1] and given == "esketamine":
            said = f"{who} counts {analyte} as 0, since {model.id} gives esketamine only"
            return Driver({model.parent: 0.0}, said)
    return None


def _refused(model: ModelSpec, file: EffectFile, analyte: str, given: fields.Drug) -> Problem:
    """Why an effect does not fit a model, and what would."""
    carried = _carried(model, given)
    known = [loading.load("models", name, ModelSpec)[0] for name in loading.library("models")]
    suited = [other.id for other in known if fits(other, file)]
    others = [loading.load("effects", name, EffectFile)[0] for name in loading.library("effects")]
    ours = [other.id for other in others if fits(model, other)]
    what = "effect" if file.band is None else "band"
    found = f"the {what} {file.id}, stated for {analyte}, on {model.id}, which gives {' and '.join(carried)}"
    group = next((names for names in (DRUGS, NOR) if analyte in names), ())
    ways = [f"a model that gives {analyte} ({one_of(suited)})" if suited else f"a model that gives {analyte}"]
    for name in carried:
        if name in group:
            ways.append(f"`potency: {{{name}: ...}}` in the {what}'s file, which says how much {name} counts as")
    if ours:
        ways.append(f"an effect that fits {model.id} ({one_of(ours)})")
    return Problem(found, "; or ".join(ways))


def joined(model: ModelSpec, file: EffectFile, drivers: Mapping[str, Driver]) -> tuple[ModelSpec, list[Problem]]:
    """The model with an effect on these drivers, and what is wrong with it."""
    from pkmodel.specs.model_rules import problems

    parts = {name: getattr(model, name) for name in ModelSpec.model_fields}
    said = [driver.said for driver in drivers.values() if driver.said]
    if file.band is not None:
        parts["bands"] = {**model.bands, file.id: _band(file, drivers[ONLY], said)}
    else:
        table = {name: f"{file.id}_{name}" for name in file.parameters}
        if clash := sorted(set(table.values()) & set(model.parameters)):
            raise InputError(Problem(f"the parameter {clash[0]} of {model.id}", f"a name that {file.id} does not use"))
        own = {table[name]: _graded(file, name, parameter) for name, parameter in file.parameters.items()}
        parts["effects"] = {**model.effects, file.id: _effect(file, drivers, said, table)}
        parts["parameters"] = {**model.parameters, **own}
        parts["variability"] = _variability(model.variability, file)
    # Not a copy: that would keep what the model has worked out of its own effects.
    changed = ModelSpec.model_construct(**parts)
    return changed, problems(changed)


def _band(file: EffectFile, driver: Driver, said: list[str]) -> Band:
    """The range on the output that drives it: what counts twice reaches a level at half of it."""
    assert file.band is not None
    low, high = (end / driver.outputs[driver.output] for end in file.band)
    return Band.model_construct(
        on=driver.output,
        band=(low, high),
        title=file.title,
        illustrative=file.illustrative,
        evidence=file.evidence.get("band") or file.evidence.get(ONLY),
        origin=file.origin.get("band") or file.origin.get(ONLY),
        notes=said,
    )


def _effect(
    file: EffectFile, drivers: Mapping[str, Driver], said: Sequence[str], table: Mapping[str, str]
) -> AttachedEffect:
    parts = {name: _renamed(getattr(file, name), table) for name in EffectSpec.model_fields}
    parts["on"] = {driver: found.output for driver, found in drivers.items()}
    parts["evidence"] = {name: grade for name, grade in file.evidence.items() if name not in file.parameters}
    if not any(effect.variance for effect in file.variability.between_subject.effects.values()):
        said = [*said, f"the effect {file.id} has no spread of its own: patients differ in it by their levels only"]
    return AttachedEffect.model_construct(
        **parts,
        title=file.title,
        source=file.source,
        drug=file.drug,
        mixed={driver: dict(found.outputs) for driver, found in drivers.items()},
        parameters=tuple(table.values()),
        said=tuple(said),
    )


def _renamed(value: Any, table: Mapping[str, str]) -> Any:
    """A part of an effect whose formulas use the names that its parameters have in the model."""
    if isinstance(value, Constant):
        return value
    if isinstance(value, Expression):
        node = copy.deepcopy(value.node)
        for part in ast.walk(node):
            if isinstance(part, ast.Name):
                part.id = table.get(part.id, part.id)
        return Expression(value.text, node, frozenset(table.get(name, name) for name in value.names))
    if isinstance(value, Spec):
        return value.model_copy(
            update={name: _renamed(getattr(value, name), table) for name in type(value).model_fields}
        )
    if isinstance(value, dict):
        return {name: _renamed(part, table) for name, part in value.items()}
    return value


def _graded(file: EffectFile, name: str, parameter: Parameter) -> Parameter:
    """A parameter with the grade that stands in the `evidence` of the file, where it has none of its own."""
    grade = parameter.evidence or file.evidence.get(name) or file.evidence.get(ONLY)
    return parameter.model_copy(update={"evidence": grade})


def _variability(model: Variability, file: EffectFile) -> Variability:
    """The random effects of both; those of the file keep their place and grade beside them."""
    block = file.variability.between_subject
    added: dict[str, RandomEffect] = {}
    for name, effect in block.effects.items():
        where = {"origin": effect.origin or block.origin, "evidence": effect.evidence or block.evidence}
        shared = None if effect.eta is None else f"{file.id}_{effect.eta}"
        whole = "~".join(f"{file.id}_{part}" for part in name.split("~"))
        added[whole] = effect.model_copy(update={**where, "eta": shared})
    if not added:
        return model
    subjects = model.between_subject
    subjects = subjects.model_copy(update={"effects": {**subjects.effects, **added}})
    return model.model_copy(update={"between_subject": subjects})
