"""What a reader must be told: who and what a model was not made for, and sampling sites that do not match.

Every warning is a sentence that says what is the matter and what to do. Those that differ only in the model are said
once, for all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import numpy as np

from pkmodel.population import Population, outside_valid_for
from pkmodel.specs.model import ModelSpec
from pkmodel.specs.protocol import ProtocolSpec
from pkmodel.specs.scenario import ScenarioSpec

#: Years from which a patient counts as an adult.
ADULT = 18.0
#: Of a group of models at most so many are named; of more their number is said.
_NAMED = 3


def listed(names: Iterable[str]) -> str:
    """Names as a sentence has them: ``a, b and c``."""
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def group_of(model: ModelSpec) -> Literal["adults", "children"] | None:
    """Whom a model was built on, by the ages that it is valid for; None where it covers both, or does not say."""
    if model.valid_for.age is None:
        return None
    low, high = model.valid_for.age
    if high <= ADULT:
        return "children"
    return "adults" if low >= ADULT else None


def ages(population: Population) -> dict[str, int]:
    """How many of the patients are adults and how many children; nothing where ages are not known."""
    if "age" not in population.covariates:
        return {}
    adults = int((population.covariates["age"] >= ADULT).sum())
    return {"adults": adults, "children": population.size - adults}


def _bounds(model: ModelSpec, name: str) -> str:
    low, high = getattr(model.valid_for, name)
    unit = {"age": "y", "weight": "kg"}[name]
    return f"{low:g} to {high:g} {unit}" if np.isfinite(high) else f"{low:g} {unit} and above"


def _strangers(model: ModelSpec, name: str, people: Mapping[str, int]) -> str:
    """The end of a sentence on the age of patients, where a model of children meets adults or the reverse."""
    group = group_of(model)
    other = {"adults": "children", "children": "adults"}.get(group or "", "")
    if name != "age" or not people.get(other):
        return ""
    return (
        f": a model of {group} used for {other}, for whom it can only extrapolate; "
        f"choose a model of {other}, or read it beside others only"
    )


def validity(protocol: ProtocolSpec, model: ModelSpec, population: Population) -> list[str]:
    """One sentence for each way in which a run leaves what the model was built on."""
    said = []
    for name, flags in outside_valid_for(model, population).items():
        if flags.any():
            who = "the patient is" if flags.size == 1 else f"{int(flags.sum())} of {flags.size} patients are"
            tail = _strangers(model, name, ages(population))
            said.append(f"{who} outside the {name} that {model.id} is valid for ({_bounds(model, name)}){tail}")
    for route in protocol.routes:
        if model.valid_for.routes is not None and route not in model.valid_for.routes:
            said.append(f"the route {route} is outside what {model.id} is valid for")
    duration = model.valid_for.duration
    plan = protocol.plan()
    if duration is not None and plan[-1].start - plan[0].start > duration.value:
        said.append(f"the course is longer than {model.id} is valid for ({duration.text})")
    return said


def of_model(model: ModelSpec, people: Mapping[str, int]) -> list[str]:
    """What a model file itself cautions against; ``people`` are adults and children by number, {} where not known.

    Where the age is not known the caution is given: it costs a line, and its absence could mislead.
    """
    said = [
        f"{model.id}: {caution.say}"
        for caution in model.cautions
        if caution.when == "always" or not people or people[caution.when]
    ]
    if group_of(model) == "children" and not people:
        said.append(
            f"{model.id} is a model of children ({_bounds(model, 'age')}) and the age is not given: give it, "
            "or choose a model of adults"
        )
    return said


def of_giving(protocol: ProtocolSpec, model: ModelSpec, *, drawn: bool = True) -> list[str]:
    """What is left out of how doses are given: run-off that the model has no path for, sprays that are not drawn."""
    said = []
    for planned in protocol.plan():
        atomiser = planned.atomiser
        if atomiser is not None and any(map(atomiser.run_off, range(1, atomiser.most_sprays + 1))):
            route = model.routes.get(planned.route)  # type: ignore[call-overload]  # one that the model may not have
            if route is not None and all(way.swallowed is None for way in route.paths):
                assert atomiser.absorbed is not None
                said.append(
                    f"what is above {atomiser.absorbed.text} in a nostril runs down the throat and is lost: {model.id} "
                    "has no path for what is swallowed"
                )
        delivered = getattr(planned.device or atomiser, "delivered", None)
        if delivered is not None and not drawn:
            said.append(
                f"what a spray delivers varies by {delivered.cv.text}, which was not drawn: every spray delivers what "
                "it should; run a scenario to see it vary"
            )
    return list(dict.fromkeys(said))


def _by_site(models: Iterable[ModelSpec]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {"arterial": [], "venous": []}
    for model in models:
        found[model.sampling].append(model.id)
    return found


def between_sites(models: Iterable[ModelSpec]) -> list[str]:
    """Where arterial levels stand beside venous ones."""
    by_site = _by_site(models)
    if not all(by_site.values()):
        return []
    fewer, more = sorted(by_site, key=lambda site: len(by_site[site]))
    others = by_site[more]
    rest = listed(others) if len(others) <= _NAMED else f"the other {len(others)} models"
    return [
        f"{fewer} levels ({listed(by_site[fewer])}) stand beside {more} ones ({rest}): arterial levels are higher "
        "while drug goes in, so compare peaks among models of one site, and lay a part of the difference to it"
    ]


def of_sites(spec: ScenarioSpec, models: Sequence[ModelSpec]) -> list[str]:
    """Where arterial levels meet venous ones: among the models, or between a model and a limit or a mark."""
    said = between_sites(models)
    by_site = _by_site(models)
    quoted = [(f"the limit of rule {rule.id}", rule.sampling) for rule in spec.rules]
    quoted += [(f"the mark {mark.label}", mark.sampling) for mark in spec.marks]
    for what, site in quoted:
        if site is None:
            continue
        other, than = ("arterial", "higher") if site == "venous" else ("venous", "lower")
        if by_site[other]:
            said.append(
                f"{what} was taken from {site} samples, and the levels of {listed(by_site[other])} are {other}, which "
                f"are {than} while drug goes in: hold it against {site} models"
            )
    return said


def of_patients(flagged: Sequence[tuple[ModelSpec, Mapping[str, int], Mapping[str, int]]], n: int) -> list[str]:
    """Patients outside of what models are valid for, of ``n``: a sentence per covariate, whatever the models.

    ``flagged`` holds for each model how many patients are outside by covariate, and how many are adults and children.
    """
    groups: dict[tuple[str, str], dict[str, int]] = {}
    for model, outside, people in flagged:
        for name, count in outside.items():
            if count:
                groups.setdefault((name, _strangers(model, name, people)), {})[model.id] = count
    said = []
    for (name, tail), counts in groups.items():
        if len(counts) == 1:
            ((model_id, count),) = counts.items()
            said.append(f"{count} of {n} patients are outside the {name} that {model_id} is valid for{tail}")
        else:
            each = ", ".join(f"{count} ({model_id})" for model_id, count in counts.items())
            said.append(f"of {n} patients are outside the {name} that a model is valid for: {each}{tail}")
    return said


def grouped(said: Iterable[tuple[str, str]]) -> list[str]:
    """Sentences about a model each, as (id, sentence); those that differ only in the id are said once for all."""
    groups: dict[str, dict[str, str]] = {}
    for model_id, sentence in said:
        groups.setdefault(sentence.replace(model_id, "\0"), {})[model_id] = sentence
    return [
        next(iter(sentences.values())) if len(sentences) == 1 else pattern.replace("\0", listed(sentences))
        for pattern, sentences in groups.items()
    ]
