"""Who is treated: covariates, random effects and parameters, one array entry per patient.

Every random quantity has a stream of its own, named (``sex``, ``eta/CL``) and counted by patient, so
the first 100 patients of 1,000 are the 100-patient run, arms share their patients, and a new covariate
reshuffles nothing (DESIGN section 6).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from pkmodel import units
from pkmodel.errors import InputError, Problem, one_of, shown
from pkmodel.marginals import score_within, value_of
from pkmodel.specs import fields
from pkmodel.specs.covariance import factor
from pkmodel.specs.csv_people import Table
from pkmodel.specs.model import ModelSpec
from pkmodel.specs.parameter import Parameter
from pkmodel.specs.population import CORRELATED, PLAUSIBLE, PLAUSIBLE_TEXT, PopulationSpec
from pkmodel.specs.variability import Block
from pkmodel.streams import correlated
from pkmodel.streams import normals as normals
from pkmodel.streams import stream as stream

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Patient:
    """One patient. Quantities are text with units; what a model or a protocol does not need may be left out.

    ``severity`` is the score (MADRS, say) that bands of a protocol may ask for; it has no default.

    Raises InputError where a value is not one that a person can have.
    """

    weight: str | None = None
    age: str | None = None
    sex: str | None = None
    height: str | None = None
    ancestry: str = "other"
    cyp2b6_activity: float = 1.0
    hepatic_impairment: float = 0.0
    severity: float | None = None

    def __post_init__(self) -> None:
        self.population()

    def population(self) -> Population:
        """The patient as a population of one, with no random effects. Unknown covariates are absent."""
        problems: list[Problem] = []
        covariates: dict[str, Floats] = {}
        for name, kind in (("weight", "weight"), ("age", "age"), ("height", "length")):
            text = getattr(self, name)
            if text is None:
                continue
            try:
                value = units.as_kind(text, kind).value
            except InputError as error:
                problems += [problem.at(where="patient", path=name) for problem in error.problems]
                continue
            low, high = PLAUSIBLE[name]
            if not low <= value <= high:
                problems.append(Problem(shown(text), f"{name} of {PLAUSIBLE_TEXT[name]}", name, "patient"))
            covariates[name] = np.array([value])
        if self.sex is not None and self.sex not in fields.SEXES:
            problems.append(Problem(shown(self.sex), one_of(fields.SEXES), "sex", "patient"))
        if self.ancestry not in fields.ANCESTRIES:
            problems.append(Problem(shown(self.ancestry), one_of(fields.ANCESTRIES), "ancestry", "patient"))
        for name in ("cyp2b6_activity", "hepatic_impairment"):
            number = getattr(self, name)
            if isinstance(number, bool) or not isinstance(number, (int, float)) or not 0 <= number <= 1:
                problems.append(Problem(shown(number), "a number from 0 to 1", name, "patient"))
        if self.severity is not None:
            number = self.severity
            if isinstance(number, bool) or not isinstance(number, (int, float)) or not 0 <= number <= 1000:
                problems.append(Problem(shown(number), f"a score, {PLAUSIBLE_TEXT['severity']}", "severity", "patient"))
        if problems:
            raise InputError(problems)
        if self.severity is not None:
            covariates["severity"] = np.array([float(self.severity)])
        if self.sex is not None:
            covariates["female"] = np.array([float(self.sex == "female")])
        covariates["ancestry"] = np.array([float(fields.ANCESTRIES.index(self.ancestry))])
        covariates["cyp2b6_activity"] = np.array([float(self.cyp2b6_activity)])
        covariates["hepatic_impairment"] = np.array([float(self.hepatic_impairment)])
        return Population(first=0, size=1, covariates=covariates)


@dataclass(frozen=True)
class Population:
    """A block of patients as arrays of one entry each.

    ``covariates`` holds age (y), weight (kg), height (cm), female (0 or 1), ancestry (index into
    ``fields.ANCESTRIES``), cyp2b6_activity, hepatic_impairment and, where it is known, severity. ``first`` is the
    number of the first patient.
    ``etas`` (n,) are the effects of a patient, ``kappas`` (s, n) those of each of its sessions, by the parameter.
    """

    first: int
    size: int
    covariates: Mapping[str, Floats]
    etas: Mapping[str, Floats] = field(default_factory=dict)
    kappas: Mapping[str, Floats] = field(default_factory=dict)

    def values(self) -> dict[str, Floats]:
        """The covariates as the names that expressions use (``asian`` holds for Japanese patients too)."""
        known = {name: array for name, array in self.covariates.items() if name != "ancestry"}
        if "female" in known:
            known["male"] = 1.0 - known["female"]
        ancestry = self.covariates["ancestry"]
        known["asian"] = (ancestry >= 1).astype(float)
        known["japanese"] = (ancestry == 2).astype(float)
        return known


def sample_covariates(spec: PopulationSpec, seed: int, first: int, count: int) -> Population:
    """Draw the covariates of a block of patients.

    Age, height and weight come from a Gaussian copula with the stated correlations; each marginal is cut to
    its range by inverting its distribution function between the ends, so no draw is ever rejected. A marginal with
    bands of age is the stated one within each band, and there it is correlated with the rank of the age in the band.

    In a mixture a stream of its own says which component a patient belongs to; whoever belongs to it is the patient
    of that number in a run of the component alone. Rows of a table are taken in order or drawn by a stream.

    Raises InputError where a table has too few rows for patients in its order.
    """
    if spec.parts:
        return _mixed(spec, seed, first, count)
    if spec.table is not None:
        return _tabled(spec.table, seed, first, count)
    female = (stream(seed, "sex", first, count) < spec.female_share).astype(float)
    independent = np.stack([normals(seed, f"covariate/{name}", first, count) for name in CORRELATED])
    lower = np.asarray(spec.copula_factor())
    together = correlated(lower, independent)
    covariates: dict[str, Floats] = {"female": female}
    for index, name in enumerate(CORRELATED):
        marginal, z, age = getattr(spec, name), together[index], covariates.get("age")
        if "age" in marginal.needs and lower[index, 0]:
            assert spec.age is not None and age is not None
            # Age is first of the correlated, so that its score is its own draw.
            own = score_within(marginal, spec.age, independent[0], female, age)
            z = correlated(lower, np.stack([own, *independent[1:]]))[index]
        covariates[name] = value_of(marginal, z, female, age)
    shares = [spec.ancestry.get(name, 0.0) for name in fields.ANCESTRIES]  # type: ignore[call-overload]
    edges = np.cumsum(shares)[:-1]
    covariates["ancestry"] = np.searchsorted(edges, stream(seed, "ancestry", first, count), side="right").astype(float)
    for name, usual in (("cyp2b6_activity", 1.0), ("hepatic_impairment", 0.0), ("severity", None)):
        distribution = getattr(spec, name)
        if distribution is not None:
            z = normals(seed, f"covariate/{name}", first, count)
            covariates[name] = value_of(distribution, z, female, covariates["age"])
        elif usual is not None:
            covariates[name] = np.full(count, usual)
    return Population(first, count, covariates)


def _mixed(spec: PopulationSpec, seed: int, first: int, count: int) -> Population:
    """Patients of a mixture, each of the component that its stream says."""
    assert spec.mixture is not None
    edges = np.cumsum([part.weight.value for part in spec.mixture])[:-1]
    # Named after the whole mixture: the parts of an inner one are drawn independently of those of an outer one.
    which = np.searchsorted(edges, stream(seed, _component(spec), first, count), side="right")
    drawn = [sample_covariates(part, seed, first, count).covariates for part in spec.parts]
    covariates = {name: np.choose(which, [part[name] for part in drawn]) for name in drawn[0]}
    return Population(first, count, covariates)


def _component(spec: PopulationSpec) -> str:
    """The stream of the membership of a mixture, by how deep mixtures are nested below it."""
    deepest = 0
    parts = list(spec.parts)
    while parts := [inner for part in parts if part.parts for inner in part.parts]:
        deepest += 1
    return f"component/{deepest}" if deepest else "component"


def _tabled(table: Table, seed: int, first: int, count: int) -> Population:
    """People of a table, in its order or drawn with replacement."""
    if table.draw == "bootstrap":
        rows = np.minimum((stream(seed, "row", first, count) * table.size).astype(np.int64), table.size - 1)
    else:
        rows = np.arange(first, first + count)
        if first + count > table.size:
            expected = f"at most the {table.size:,} rows of {table.name}, or draw: bootstrap"
            raise InputError(Problem(f"{first + count:,} patients in order", expected, path="n", where=table.name))
    covariates = {name: np.asarray(values)[rows] for name, values in table.columns.items()}
    for name, usual in (("ancestry", 0.0), ("cyp2b6_activity", 1.0), ("hepatic_impairment", 0.0)):
        covariates.setdefault(name, np.full(count, usual))
    return Population(first, count, covariates)


def dimensions(spec: PopulationSpec, models: Iterable[ModelSpec] = ()) -> tuple[str, ...]:
    """The names of the streams that make a patient of a population in these models, each once.

    Random effects between subjects and the weight come first: the first dimensions of a point set are its best.
    """
    names: list[str] = [] if spec.table is not None and not spec.parts else ["covariate/weight"]
    for model in models:
        block = model.variability.between_subject
        names += [f"eta/{name}" for name in factor(block)[0] if block.effects[name].variance]

    def of_people(part: PopulationSpec) -> None:
        if part.parts:
            names.append(_component(part))
            for inner in part.parts:
                of_people(inner)
        elif part.table is not None:
            names.extend(["row"] if part.table.draw == "bootstrap" else [])
        else:
            names.extend(["sex", "covariate/weight", "covariate/age", "covariate/height"])
            names.extend(["ancestry"] if len(part.ancestry) > 1 else [])
            history = ("cyp2b6_activity", "hepatic_impairment", "severity")
            names.extend(f"covariate/{name}" for name in history if getattr(part, name) is not None)

    of_people(spec)
    return tuple(dict.fromkeys(names))


def sample_effects(population: Population, model: ModelSpec, seed: int) -> Population:
    """Add the model's between-subject random effects; patients share them by name across arms and models."""
    drawn = _effects(model.variability.between_subject, seed, "eta/{}", population)
    return replace(population, etas=drawn) if drawn else population


def sample_occasions(population: Population, model: ModelSpec, seed: int, sessions: int) -> Population:
    """Add the model's between-occasion effects for the first ``sessions`` sessions of a course.

    Each session of each parameter has a stream of its own, so that more sessions, or arms that share some of them,
    reshuffle nothing. A model whose effects all have a variance of 0 draws none.
    """
    block = model.variability.between_occasion
    if not any(effect.variance for effect in block.effects.values()):
        return population
    per_session = [_effects(block, seed, f"kappa/{{}}/{index + 1}", population) for index in range(sessions)]
    varying = [name for name in per_session[0] if block.effects[block.effects[name].eta or name].variance]
    return replace(population, kappas={name: np.stack([kappas[name] for kappas in per_session]) for name in varying})


def _effects(block: Block, seed: int, stream_name: str, population: Population) -> dict[str, Floats]:
    """The effects (n,) of a block, by the name of the parameter."""
    names, lower = factor(block)
    if not names:
        return {}
    z = np.stack([normals(seed, stream_name.format(name), population.first, population.size) for name in names])
    drawn = dict(zip(names, correlated(lower, z), strict=True))
    for name, effect in block.effects.items():
        if effect.eta is not None:
            drawn[name] = drawn[effect.eta]
    return drawn


def parameters(model: ModelSpec, population: Population, session: int | None = None) -> dict[str, Floats]:
    """The parameters of every patient (n,), in base units: typical value, covariates, random effects.

    With ``session`` (from 1) they are those of its occasion, without it those of the patient over all occasions.

    Raises
    ------
    InputError
        where a covariate is needed and unknown, or a value comes out that no patient can have.
    """
    values = population.values()
    found: dict[str, Floats] = {}
    for name, parameter in model.parameters.items():
        typical, per_weight = model.typical[name]
        individual = _with_covariates(model, name, parameter, typical, per_weight, values, population.size)
        if name in population.etas:
            transform = model.variability.between_subject.effects[name].transform
            individual = _with_effect(individual, population.etas[name], transform)
        if session is not None and name in population.kappas:
            transform = model.variability.between_occasion.effects[name].transform
            individual = _with_effect(individual, population.kappas[name][session - 1], transform)
        refuse_impossible(model, name, individual, population)
        found[name] = individual
    return found


def _with_covariates(
    model: ModelSpec,
    name: str,
    parameter: Parameter,
    typical: float,
    per_weight: bool,
    values: Mapping[str, Floats],
    size: int,
) -> Floats:
    def covariate(which: str) -> Floats:
        if which not in values:
            expected = f"{which}, which {name} of {model.id} depends on"
            raise InputError(Problem("nothing", expected, path=which, where="patient"))
        return values[which]

    result = np.full(size, typical)
    if parameter.above is not None:
        result = result + parameter.above.slope.value * np.maximum(0.0, covariate("age") - parameter.above.age.value)
    if per_weight:
        result = result * covariate("weight")
    if parameter.scale is not None:
        result = result * (covariate("weight") / parameter.scale.reference.value) ** parameter.scale.weight
    if parameter.factor is not None:
        for ancestry in ("asian", "japanese"):
            times = getattr(parameter.factor, ancestry)
            if times is not None:
                result = result * np.where(covariate(ancestry) == 1.0, times, 1.0)
    return result


def _with_effect(typical: Floats, eta: Floats, transform: str) -> Floats:
    from scipy.special import expit, logit

    if transform == "lognormal":
        return typical * np.exp(eta)
    if transform == "logit":
        return expit(logit(typical) + eta)  # type: ignore[no-any-return]
    return typical + eta


def refuse_impossible(model: ModelSpec, name: str, values: Floats, population: Population) -> None:
    """Raise InputError where a parameter (n,) is outside of what the model file allows."""
    parameter = model.parameters[name]
    low = parameter.lower.value if parameter.lower else 0.0
    high = parameter.upper.value if parameter.upper else units.LARGEST
    bad = ~(np.isfinite(values) & (values >= low) & (values <= high))
    if bad.any():
        index = int(np.argmax(bad))
        who = ", ".join(f"{key} {array[index]:.4g}" for key, array in population.covariates.items())
        found = f"{name} = {values[index]:.4g} in patient {population.first + index + 1} ({who})"
        raise InputError(Problem(found, f"a value from {low:g} to {high:g}", path=f"parameters.{name}", where=model.id))


def outside_valid_for(model: ModelSpec, population: Population) -> dict[str, NDArray[np.bool_]]:
    """Which patients lie outside of what the model was built on: covariate -> (n,) flags.

    A covariate that is not known cannot be checked and is not in the result.
    """
    flags = {}
    for name in ("age", "weight"):
        bounds = getattr(model.valid_for, name)
        if bounds is not None and name in population.covariates:
            values = population.covariates[name]
            flags[name] = (values < bounds[0]) | (values > bounds[1])
    return flags
