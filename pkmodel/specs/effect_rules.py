"""What the effects of a model file must agree on: outputs that exist, units that fit, numbers that make sense."""

from __future__ import annotations

from collections.abc import Mapping

from pkmodel.errors import InputError, Problem, shown
from pkmodel.specs.effect import ONLY, EffectSpec, Emax, Influence, Sigmoid
from pkmodel.specs.expressions import Dimensions
from pkmodel.specs.formula_rules import Problems, Trial, check_formula
from pkmodel.specs.model import OUTSIDE, RESERVED, ModelSpec

_CONCENTRATION: Dimensions = {"mass": 1.0, "volume": -1.0}


def check_effects(model: ModelSpec, known: Mapping[str, Dimensions], found: Problems) -> None:
    """Names and dimensions; ``known`` are those of parameters, covariates and what is derived of them."""
    taken = {
        **dict.fromkeys((*RESERVED, "parent", "metabolite", OUTSIDE), "a word with a meaning of its own"),
        **dict.fromkeys((*model.parameters, *model.derived), "a parameter or derived name"),
        **dict.fromkeys(model.compartments, "a compartment"),
        **dict.fromkeys(model.outputs, "an output"),
    }
    for name, effect in model.effects.items():
        path = f"effects.{name}"
        if name in taken:
            found.append(Problem(f"the name {name}, which is {taken[name]}", "a name of its own", path=path))
        for driver, output in effect.on.items():
            place = f"{path}.on" + (f".{driver}" if driver != ONLY else "")
            try:
                model.output(output, path=place)
            except InputError as error:
                found += error.problems
            if driver in taken or driver in model.effects:
                found.append(Problem(f"the name {driver}, which is taken", "a name of its own", path=place))
        for driver, site in effect.sites.items():
            place = f"{path}.{effect.site_path(driver)}"
            if site.half_life is not None:
                check_formula(site.half_life, known, {"time": 1.0}, f"{place}.half_life", found, model, what="a time")
            if site.ke0 is not None:
                check_formula(site.ke0, known, {"time": -1.0}, f"{place}.ke0", found, model, what="a rate constant")
        _check_link(model, effect, known, path, found)
    for name, band in model.bands.items():
        if name in taken or name in model.effects:
            found.append(Problem(f"the name {name}, which is taken", "a name of its own", path=f"bands.{name}"))
        try:
            model.output(band.on, path=f"bands.{name}.on")
        except InputError as error:
            found += error.problems


def _check_link(
    model: ModelSpec, effect: EffectSpec, known: Mapping[str, Dimensions], path: str, found: Problems
) -> None:
    counted = f"what the effect is counted in, {effect.unit or 'which has no `unit`'}"
    for word in ("sigmoid", "emax"):
        link: Emax | None = getattr(effect, word)
        if link is not None:
            for name in ("e0", "emax"):
                place = f"{path}.{word}.{name}"
                check_formula(getattr(link, name), known, effect.dimensions, place, found, model, what=counted)
            check_formula(link.c50, known, _CONCENTRATION, f"{path}.{word}.c50", found, model, what="a concentration")
            if isinstance(link, Sigmoid):
                check_formula(link.hill, known, {}, f"{path}.{word}.hill", found, model, what="an exponent")
    if effect.turnover is not None:
        turnover, place = effect.turnover, f"{path}.turnover"
        check_formula(turnover.baseline, known, effect.dimensions, f"{place}.baseline", found, model, what=counted)
        check_formula(turnover.kout, known, {"time": -1.0}, f"{place}.kout", found, model, what="a rate constant")
        place, influence = influence_of(effect, path)
        check_formula(influence.emax, known, {}, f"{place}.emax", found, model, what="a share of the baseline")
        check_formula(influence.c50, known, _CONCENTRATION, f"{place}.c50", found, model, what="a concentration")
        if influence.hill is not None:
            check_formula(influence.hill, known, {}, f"{place}.hill", found, model, what="an exponent")
    if effect.effect is not None:
        names = {**known, **dict.fromkeys(effect.on, _CONCENTRATION)}
        check_formula(effect.effect, names, effect.dimensions, f"{path}.effect", found, model, what=counted)
    if effect.level_of is not None and effect.unit is not None and dict(effect.counted_in.dimensions) != _CONCENTRATION:
        found.append(Problem(shown(effect.unit), "a unit of mass per volume such as ng/mL", path=f"{path}.unit"))


def influence_of(effect: EffectSpec, path: str) -> tuple[str, Influence]:
    """What the drug does in a turnover, and where that stands in the file."""
    assert effect.turnover is not None
    term = "production" if effect.turnover.production is not None else "loss"
    change = effect.turnover.change
    return f"{path}.turnover.{term}.{change.word}", change.influence


def try_effects(model: ModelSpec, trial: Trial) -> None:
    """Try the numbers of effects on a typical adult, and add what each effect is without drug."""
    for name, effect in model.effects.items():
        path = f"effects.{name}"
        for driver, site in effect.sites.items():
            place = f"{path}.{effect.site_path(driver)}"
            trial(site.half_life, f"{place}.half_life", above=True)
            trial(site.ke0, f"{place}.ke0", above=True)
        for word in ("sigmoid", "emax"):
            link: Emax | None = getattr(effect, word)
            if link is not None:
                trial.values[name] = trial.finite(link.e0, f"{path}.{word}.e0")
                trial.finite(link.emax, f"{path}.{word}.emax")
                trial(link.c50, f"{path}.{word}.c50", above=True)
                trial(link.hill if isinstance(link, Sigmoid) else None, f"{path}.{word}.hill", above=True)
        if effect.turnover is not None:
            trial(effect.turnover.baseline, f"{path}.turnover.baseline")
            trial(effect.turnover.kout, f"{path}.turnover.kout", above=True)
            place, influence = influence_of(effect, path)
            trial(influence.emax, f"{place}.emax", high=1.0 if effect.turnover.change.sign < 0 else None)
            trial(influence.c50, f"{place}.c50", above=True)
            trial(influence.hill, f"{place}.hill", above=True)
            trial.values[name] = effect.turnover.baseline.evaluate(trial.values)
        elif effect.effect is not None:
            nothing = {**trial.values, **dict.fromkeys(effect.on, 0.0)}
            trial.values[name] = trial.finite(effect.effect, f"{path}.effect", nothing)
        elif effect.level_of is not None:
            trial.values[name] = 0.0
