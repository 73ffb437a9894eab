"""The page as curves, through the public API, with what was asked before kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pkmodel.app.course import protocol_of, yaml_of
from pkmodel.app.state import Arm, ArmKey, Person, State
from pkmodel.errors import InputError, Problem, RunError, unknown_name
from pkmodel.population import Population, sample_covariates, sample_effects, sample_occasions
from pkmodel.simulation import Result, simulate
from pkmodel.specs.attach import attach
from pkmodel.specs.defaults import Group, model_for
from pkmodel.specs.effect_file import EffectFile
from pkmodel.specs.library import DrugMode, drug_fraction, given_drug, load_effect, load_model, load_population
from pkmodel.specs.loading import library
from pkmodel.specs.model import ModelSpec
from pkmodel.specs.population import PopulationSpec
from pkmodel.specs.protocol import ProtocolSpec

#: Steps of a curve, min: the finest with which it has no more than so many points.
STEPS = (1, 2, 3, 5, 10, 15, 20, 30, 60, 120, 240)
MOST_POINTS = 1500
#: Hours that are shown after the last session of a course, and after one session of its own, by its kind.
AFTER_LAST, AFTER_IV, AFTER_OTHER = 24.0, 6.0, 12.0
#: The oldest child, y.
_GROWN = 18.0


@dataclass(frozen=True)
class Curve:
    """One arm on one model, for the patient of the page."""

    name: str
    arm: ArmKey
    model: str
    drug: DrugMode
    result: Result
    spec: ProtocolSpec
    main: bool
    """Whether it is on the arm's own model."""


@dataclass(frozen=True)
class Curves:
    """What the page draws, and what must be said beside it."""

    by_name: Mapping[str, Curve]
    until: float
    every: str
    effects: tuple[str, ...]
    """Of the effects that were asked for, those that fit."""
    notes: tuple[str, ...] = ()

    @property
    def main(self) -> dict[ArmKey, Curve]:
        """The curve of each arm on its own model."""
        return {curve.arm: curve for curve in self.by_name.values() if curve.main}

    @property
    def results(self) -> dict[str, Result]:
        """The results by name."""
        return {name: curve.result for name, curve in self.by_name.items()}


@lru_cache(maxsize=64)
def model_of(name: str) -> ModelSpec:
    """A model of the library, read once."""
    if name not in library("models"):
        raise InputError(unknown_name("the name of a model", name, library("models"), path="model"))
    return load_model(name)


@lru_cache(maxsize=64)
def effect_of(name: str) -> EffectFile:
    """An effect of the library, read once."""
    if name not in library("effects"):
        raise InputError(unknown_name("the name of an effect", name, library("effects"), path="effects"))
    return load_effect(name)


@lru_cache(maxsize=32)
def population_of(name: str) -> PopulationSpec:
    """A population of the library, read once."""
    if name not in library("populations"):
        raise InputError(unknown_name("the name of a population", name, library("populations"), path="population"))
    return load_population(name)


def mode_of(spec: ProtocolSpec, model: ModelSpec) -> DrugMode | None:
    """How a protocol can be given to a model: as it is, or the S half of a racemate; None: not at all."""
    if any(route not in model.routes for route in spec.routes):
        return None
    try:
        drug_fraction(spec, model, "match")
    except InputError:
        return "half" if spec.drugs == ["ketamine"] and model.drug == "esketamine" else None
    return "match"


def suited(spec: ProtocolSpec) -> dict[str, DrugMode]:
    """The models of the library that a protocol can be given to, and how."""
    modes = {name: mode_of(spec, model_of(name)) for name in library("models")}
    return {name: mode for name, mode in modes.items() if mode is not None}


def effects_for(spec: ProtocolSpec, model: ModelSpec, mode: DrugMode) -> list[str]:
    """The effects of the library that attach to a model when this protocol is given to it."""
    found = []
    for name in library("effects"):
        try:
            attach(model, [effect_of(name)], given=given_drug(spec, model, mode))
        except InputError:
            continue
        found.append(name)
    return found


def chosen(arm: Arm, key: ArmKey, spec: ProtocolSpec, age: float) -> tuple[str, DrugMode, list[str]]:
    """The model of an arm, how it is given, and what must be said of that.

    Raises InputError where no model has the drug and the routes of the course.
    """
    fit = suited_cached(key_of(arm, key))
    if arm.model in fit:
        return arm.model, fit[arm.model], []
    group: Group = "children" if age < _GROWN else "adults"
    said = []
    try:
        model = model_for(spec, group, arm="course").model
    except InputError:
        if not fit:
            given = f"{' and '.join(spec.drugs)} by {' and '.join(spec.routes)}"
            raise InputError(Problem(given, "a drug and routes that one of the models has", path="course")) from None
        model = next(iter(fit))
        said.append(f"No model is the default for this course in {group}: {model} is taken.")
    if arm.model:
        said.append(f"{arm.model} does not fit this course: {model} is taken.")
    return model, fit.get(model, "match"), said


def span_of(state: State, specs: Mapping[ArmKey, ProtocolSpec]) -> float:
    """How much of the course is shown, h."""
    if state.view.hours is not None:
        return state.view.hours
    longest = 0.0
    for spec in specs.values():
        plan = spec.plan()
        after = AFTER_IV if set(spec.routes) == {"iv"} else AFTER_OTHER
        tail = AFTER_LAST if plan[-1].start > AFTER_LAST else after
        longest = max(longest, float(round(plan[-1].start + plan[-1].lasts + tail)))
    return longest


def step_of(until: float, most: int = MOST_POINTS) -> str:
    """The step of the curves, as text."""
    return f"{next((step for step in STEPS if until * 60 / step <= most), STEPS[-1])} min"


def course_key(arm: Arm, key: str) -> str:
    """What an arm gives, as one text: the same text is the same course."""
    return f"library {arm.protocol}" if arm.source == "library" else yaml_of(arm, key)


def curves(state: State) -> Curves:
    """Everything that the page draws for its patient.

    Raises InputError where a course, the patient or a model does not do, and RunError where a solver gives up. Effects
    and further models that do not fit are left out, and said.
    """
    specs = {key: protocol_of(arm, key) for key, arm in state.arms.items()}
    state.person.patient()
    until = span_of(state, specs)
    every = step_of(until)
    notes: list[str] = []
    found: dict[str, Curve] = {}
    fitting: list[str] = []
    for key, arm in state.arms.items():
        spec = specs[key]
        name, mode, said = chosen(arm, key, spec, state.person.age)
        notes += said
        models = [(name, mode)]
        if key == "a":
            fit = suited_cached(key_of(arm, key))
            models += [(other, fit[other]) for other in state.also if other in fit and other != name]
            notes += [f"{other} does not fit this course and is left out." for other in state.also if other not in fit]
        for index, (model, drug) in enumerate(models):
            effects = tuple(name for name in state.effects if name in effects_for_cached(key_of(arm, key), model, drug))
            if index == 0:
                fitting += [name for name in effects if name not in fitting]
                notes += [
                    f"{left} does not fit {model}, and is left out there."
                    for left in state.effects
                    if left not in effects
                ]
            result = _simulated(key_of(arm, key), model, state.person, effects, until, every, drug)
            title = _title(state, key, model, index == 0)
            found[title] = Curve(title, key, model, drug, result, spec, index == 0)
    return Curves(found, until, every, tuple(fitting), tuple(dict.fromkeys(notes)))


def _title(state: State, key: ArmKey, model: str, main: bool) -> str:
    if state.b is None:
        return model
    name = state.arms[key].name
    arm = f"{key.upper()} ({name})" if name else key.upper()
    return arm if main else f"{arm}, {model}"


@dataclass(frozen=True)
class CourseKey:
    """A course that can be looked up: its text, and the arm that it is made from."""

    text: str
    arm: Arm
    key: ArmKey

    def __hash__(self) -> int:
        return hash(self.text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CourseKey) and other.text == self.text

    @property
    def spec(self) -> ProtocolSpec:
        return protocol_of(self.arm, self.key)


def key_of(arm: Arm, key: ArmKey) -> CourseKey:
    """The course of an arm as a key of what is kept."""
    return CourseKey(course_key(arm, key), arm, key)


@lru_cache(maxsize=64)
def suited_cached(course: CourseKey) -> dict[str, DrugMode]:
    """:func:`suited`, kept; not to be changed."""
    return suited(course.spec)


@lru_cache(maxsize=256)
def effects_for_cached(course: CourseKey, model: str, drug: DrugMode) -> tuple[str, ...]:
    """:func:`effects_for`, kept."""
    return tuple(effects_for(course.spec, model_of(model), drug))


@lru_cache(maxsize=128)
def _simulated(
    course: CourseKey, model: str, person: Person, effects: tuple[str, ...], until: float, every: str, drug: DrugMode
) -> Result:
    return simulate(
        course.spec,
        model_of(model),
        person.patient(),
        until=f"{until:.12g} h",
        every=every,
        drug=drug,
        effects=[effect_of(name) for name in effects],
    )


def bands(state: State, shown: Curves, n: int) -> dict[str, Result]:
    """The curves of the arms, on their own models, for ``n`` virtual patients; the first of them are always the same.

    Raises InputError where the population does not do for a model or a course, RunError where a solver gives up.
    """
    crowd = state.crowd
    found = {}
    for curve in shown.main.values():
        arm = state.arms[curve.arm]
        every = step_of(shown.until, 500)
        found[curve.name] = _of_population(
            key_of(arm, curve.arm),
            curve.model,
            crowd.population,
            n,
            crowd.seed,
            shown.effects,
            shown.until,
            every,
            curve.drug,
        )
    return found


def _of_population(
    course: CourseKey,
    model: str,
    population: str,
    n: int,
    seed: int,
    effects: tuple[str, ...],
    until: float,
    every: str,
    drug: DrugMode,
) -> Result:
    spec, loaded = course.spec, model_of(model)
    files = [effect_of(name) for name in effects if name in effects_for_cached(course, model, drug)]
    whole = attach(loaded, files, given=given_drug(spec, loaded, drug))
    people: Population = sample_covariates(population_of(population), seed, 0, n)
    people = sample_effects(people, whole, seed)
    if whole.variability.between_occasion is not None:
        people = sample_occasions(people, whole, seed, len(spec.plan()))
    return simulate(spec, loaded, people, until=f"{until:.12g} h", every=every, drug=drug, effects=files, seed=seed)


def crowd_key(state: State, shown: Curves) -> Any:
    """What the band depends on; the patient of the page is not in it."""
    courses = [
        (curve.name, curve.model, course_key(state.arms[curve.arm], curve.arm), curve.drug)
        for curve in shown.main.values()
    ]
    return tuple(courses), shown.effects, shown.until, state.crowd


def readable(error: InputError | RunError) -> list[str]:
    """What went wrong as sentences for the page: the field, what was found, what was expected."""
    if isinstance(error, RunError):
        return [str(error)]
    said = []
    for problem in error.problems:
        where = f"{problem.path}: " if problem.path else ""
        sentence = f"{where}found {problem.found}, expected {problem.expected}"
        said.append(sentence + (f" (nearest: {problem.nearest})" if problem.nearest else "") + ".")
    return said
