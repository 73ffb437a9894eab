"""A model file: one publication, every number with its unit and its place (DESIGN section 2)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from pkmodel import units
from pkmodel.errors import InputError, Problem, shown, unknown_name
from pkmodel.specs import fields
from pkmodel.specs.check import Check
from pkmodel.specs.effect import POINTS, Band, EffectSpec
from pkmodel.specs.expressions import Dimensions, Expression, ExpressionField, QuantityField
from pkmodel.specs.loading import Spec
from pkmodel.specs.parameter import COVARIATES, Parameter, Published
from pkmodel.specs.variability import ReplacedVariability, Variability

#: Names an expression may use besides parameters and covariates.
DOSING_NAMES = ("device",)
#: The time since the first dose in h, 0 before it; a rate that uses it changes with time.
TIME = "time_since_first_dose"
RESERVED = {*COVARIATES, *DOSING_NAMES, TIME, "min", "max", "exp", "log", "sqrt", "where"}
OUTSIDE = "outside"


class MichaelisMenten(Spec):
    """Saturable transfer: amount per time = vmax x C / (km + C), with C = amount in ``from`` / volume.

    ``vmax`` is a mass per time, ``km`` a mass per volume. Without ``volume`` it is that of the output of ``from``.
    """

    vmax: QuantityField
    km: QuantityField
    volume: QuantityField | None = None


class Flow(Spec):
    """Transfer between compartments: first order (amount per time = rate x amount in ``from``) or saturable."""

    source: str = Field(alias="from")
    target: str = Field(alias="to")
    rate: ExpressionField | None = None
    michaelis_menten: MichaelisMenten | None = None

    @model_validator(mode="after")
    def _one_law(self) -> Flow:
        fields.exactly_one(self, "rate", "michaelis_menten")
        return self


class Path(Spec):
    """One way of a dose into the body.

    ``fraction`` is the part of the dose that goes this way, from 0 to 1. ``apparent: true`` says that it was estimated
    against a dose or a clearance that is not known exactly, so that a published one may exceed 1 (Simons 2022: 1.16).
    ``swallowed`` marks the path of a nasal route that what runs down the throat takes, and is the part of a swallowed
    mg that arrives by it (``fraction`` is that of a mg that is sprayed).
    """

    into: str
    fraction: ExpressionField | None = None
    apparent: bool = False
    swallowed: ExpressionField | None = None
    lag: ExpressionField | None = None
    zero_order: ExpressionField | None = None


class RouteDevice(Spec):
    """The device that the route's expressions count."""

    strength: fields.Mass


class RouteSpec(Spec):
    """The paths of a route; a bare list is short for ``{paths: [...]}``."""

    paths: list[Path] = Field(min_length=1)
    device: RouteDevice | None = None

    @classmethod
    def __get_pydantic_json_schema__(cls, core: Any, handler: Any) -> dict[str, Any]:
        """In a file: the whole, or a bare list of paths."""
        whole = dict(handler.resolve_ref_schema(handler(core)))
        return {"anyOf": [whole["properties"]["paths"], whole]}


def _paths(value: Any) -> Any:
    return {"paths": value} if isinstance(value, list) else value


class Output(Spec):
    """An observable concentration: amount / volume, in ``unit``.

    Where a model carries the mass of its drug through all compartments, a metabolite's output states its ``molar_mass``
    and the parent's output its own: what is observed is the amount times the ratio of the two. Any other conversion is
    a ``factor``.
    """

    amount: str
    volume: ExpressionField
    unit: str
    factor: float = Field(default=1.0, gt=0)
    molar_mass: fields.MolarMass | None = None

    @model_validator(mode="after")
    def _concentration(self) -> Output:
        unit = units.parse_unit(self.unit)
        if unit.dimensions != units.parse_unit("mg/L").dimensions:
            raise InputError(Problem(shown(self.unit), "a unit of mass per volume such as ng/mL", path="unit"))
        if self.molar_mass is not None and self.factor != 1.0:
            raise InputError(Problem("factor and molar_mass", "one of the two", path="molar_mass"))
        return self


class Residual(Spec):
    """Residual error of an output, as the paper states it (standard deviations)."""

    proportional: float | None = Field(default=None, ge=0)
    additive: float | None = Field(default=None, ge=0)
    log_additive: float | None = Field(default=None, ge=0)


class ValidFor(Spec):
    """Who and what the model was built on; outside of it every result is flagged."""

    age: fields.AgeRange | None = None
    weight: fields.WeightRange | None = None
    routes: list[fields.Route] | None = None
    duration: fields.Duration | None = None


class Studied(Spec):
    """The people of the study."""

    n: int | None = Field(default=None, gt=0)
    description: str


class Caution(Spec):
    """What a reader must be told of this model: always, or when it is used for adults (from 18 y) or children."""

    when: Literal["always", "adults", "children"]
    say: str = Field(min_length=1)


class ModelSpec(Spec):
    """A model file, checked: names, units and dimensions agree."""

    id: fields.Name
    title: str
    drug: fields.Drug
    source: Annotated[fields.Citation, BeforeValidator(fields.text_as_citation)]
    evidence: fields.Evidence
    sampling: fields.Sampling
    population: Studied
    valid_for: ValidFor = ValidFor()
    cautions: list[Caution] = []
    published: dict[fields.Name, Published] = {}
    parameters: dict[fields.Name, Parameter] = Field(min_length=1)
    derived: dict[fields.Name, ExpressionField] = {}
    variability: Variability = Variability()
    compartments: list[fields.Name] = Field(min_length=1)
    flows: list[Flow] = Field(min_length=1)
    routes: dict[fields.Route, Annotated[RouteSpec, BeforeValidator(_paths)]] = Field(min_length=1)
    outputs: dict[fields.Name, Output] = Field(min_length=1)
    effects: dict[fields.Name, EffectSpec] = {}
    bands: dict[fields.Name, Band] = {}
    residual: dict[str, Residual] = {}
    notes: list[str] = []
    checks: list[Check] = []

    @model_validator(mode="after")
    def _names_and_units(self) -> ModelSpec:
        from pkmodel.specs.model_rules import problems

        found = problems(self)
        if found:
            raise InputError(found)
        return self

    @cached_property
    def typical(self) -> dict[str, tuple[float, bool]]:
        """The typical value of each parameter in base units, and whether it is per kilogram of body weight."""
        values = {name: number.value.value for name, number in self.published.items()}
        dimensions: dict[str, Dimensions] = {
            name: dict(number.value.unit.dimensions) for name, number in self.published.items()
        }
        found = {}
        for name, parameter in self.parameters.items():
            if parameter.value is not None:
                value, powers = parameter.value.value, dict(parameter.value.unit.dimensions)
            else:
                assert parameter.conversion is not None
                value = float(parameter.conversion.evaluate(values))
                powers = parameter.conversion.dimensions(dimensions) or {}
            values.setdefault(name, value)
            dimensions.setdefault(name, powers)
            found[name] = (value, powers.get("body_weight") == -1.0)
        return found

    @property
    def uncertain(self) -> list[str]:
        """The parameters whose typical value is known with a stated uncertainty."""
        return [name for name, parameter in self.parameters.items() if parameter.known is not None]

    def uncertainty_of(self, name: str) -> tuple[Literal["log", "logit"], float]:
        """On which scale the estimate of a parameter is normal, and its standard deviation there."""
        effect = self.variability.between_subject.effects.get(name)
        scale: Literal["log", "logit"] = "logit" if effect is not None and effect.transform == "logit" else "log"
        return scale, self.parameters[name].sd_of_estimate(self.typical[name][0], scale)

    def with_typical(self, values: Mapping[str, float]) -> ModelSpec:
        """The model with other typical values, in base units, of some parameters."""
        changed = self.model_copy()
        # What is worked out of the file is kept in the instance; the copy has its own.
        changed.__dict__["typical"] = {
            name: (values.get(name, value), per_weight) for name, (value, per_weight) in self.typical.items()
        }
        return changed

    @cached_property
    def metabolite(self) -> str | None:
        """The output that ``metabolite`` stands for: the first one that is not the parent."""
        others = [name for name in self.outputs if name != self.parent]
        return others[0] if others else None

    @cached_property
    def parent(self) -> str:
        """The output that ``parent`` stands for: the drug itself."""
        return self.drug if self.drug in self.outputs else next(iter(self.outputs))

    def output(self, name: str, *, path: str = "output") -> str:
        """Resolve ``parent``, ``metabolite`` or an analyte's name. Raises InputError with the nearest name."""
        resolved = {"parent": self.parent, "metabolite": self.metabolite}.get(name, name)
        if resolved is None or resolved not in self.outputs:
            legal = [*self.outputs, "parent", *(["metabolite"] if self.metabolite else [])]
            raise InputError(unknown_name(f"an output of {self.id}", name, legal, path=path))
        return resolved

    def observable(self, name: str, *, path: str = "output") -> str:
        """Resolve the name of an output or of an effect. Raises InputError with the nearest name.

        An effect also answers to what its name begins with (``dissociation`` for ``dissociation_olofsen2022``), where
        only one does.
        """
        if name in self.effects:
            return name
        named = [effect for effect in self.effects if effect.startswith(f"{name}_")]
        if len(named) == 1 and name not in self.outputs:
            return named[0]
        try:
            return self.output(name, path=path)
        except InputError:
            if not self.effects:
                raise
        legal = [*self.outputs, *self.effects, "parent", *(["metabolite"] if self.metabolite else [])]
        raise InputError(unknown_name(f"an output or effect of {self.id}", name, legal, path=path))

    @cached_property
    def observables(self) -> dict[str, str]:
        """Every output and effect, in this order, with its unit."""
        found = {name: output.unit for name, output in self.outputs.items()}
        for name, effect in self.effects.items():
            own = self.outputs[self.output(effect.level_of)].unit if effect.level_of is not None else ""
            found[name] = effect.unit or own
        return found

    def factor_of(self, name: str) -> float:
        """What a value of an output or effect is multiplied by to be in base units."""
        unit = self.observables[name]
        return 1.0 if unit == POINTS else float(units.parse_unit(unit).factor)

    def illustrative(self, name: str) -> bool:
        """Whether an observable is an effect for teaching only, which must be said wherever its numbers are shown."""
        return name in self.effects and self.effects[name].illustrative

    @cached_property
    def factors(self) -> dict[str, float]:
        """Mass of each output in one mass of what its compartment holds: its ``factor``, or a ratio of molar masses."""
        drug = self.outputs[self.parent].molar_mass
        return {
            name: output.factor if output.molar_mass is None or drug is None else output.molar_mass.value / drug.value
            for name, output in self.outputs.items()
        }

    @cached_property
    def scales(self) -> dict[str, float]:
        """From mg/L in the compartment of each output to the output in its unit."""
        return {
            name: self.factors[name] / float(units.parse_unit(output.unit).factor)
            for name, output in self.outputs.items()
        }

    @cached_property
    def states(self) -> tuple[str, ...]:
        """What is integrated: the compartments, then for each effect its effect sites and its turnover."""
        names = list(self.compartments)
        for name, effect in self.effects.items():
            names += [effect.site_state(name, driver) for driver in effect.sites]
            names += [name] if effect.turnover is not None else []
        return tuple(names)

    @cached_property
    def changing(self) -> frozenset[str]:
        """Names whose value changes in the course of a run: the time, outputs, effects, and what is derived of them."""
        names = {TIME, *self.outputs, *self.effects}
        for name, expression in self.derived.items():
            if expression.names & names:
                names.add(name)
        return frozenset(names)

    def changes(self, expression: Expression) -> bool:
        """Whether a formula depends on the time, an output or an effect."""
        return not self.changing.isdisjoint(expression.names)

    @cached_property
    def linear(self) -> bool:
        """Whether the system is linear with constant rates, so that the propagator is exact.

        Effect sites are linear, and a sigmoid of one is only read off; a saturable flow, a rate that changes with
        time or with a level, and a turnover need the ODE core.
        """
        saturable = any(flow.rate is None or self.changes(flow.rate) for flow in self.flows)
        return not saturable and all(effect.turnover is None for effect in self.effects.values())

    @property
    def assumptions(self) -> list[str]:
        """Everything in this model that is assumed, borrowed or derived, one sentence each."""
        said = []
        if self.evidence in ("derived", "assumed", "unsourced"):
            said.append(f"{self.id}: the model as a whole is {self.evidence}")
        for name, parameter in self.parameters.items():
            if parameter.evidence in ("assumed", "borrowed", "derived", "unsourced"):
                said.append(f"{self.id}: {name} is {parameter.evidence} ({parameter.origin})")
        for grade in ("assumed", "borrowed", "derived", "unsourced"):
            scaled = [name for name, item in self.parameters.items() if item.scale and item.scale.evidence == grade]
            if scaled:
                said.append(f"{self.id}: how {', '.join(scaled)} grow with weight is {grade}")
        if self.variability.borrowed:
            brought = {name for effect in self.effects.values() for name in effect.brings}
            drawn = (name for name in self.variability.between_subject.effects if "~" not in name)
            names = ", ".join(name for name in drawn if name not in brought)
            said.append(
                f"{self.id}: between-subject variability of {names} is borrowed from {self.variability.borrowed}"
            )
        if isinstance(self.variability, ReplacedVariability):
            names = ", ".join(name for name in self.variability.between_subject.effects if "~" not in name)
            said.append(f"{self.id}: between-subject variability, of {names}, is replaced by the scenario")
        for name, effect in self.variability.between_subject.effects.items():
            if effect.evidence in ("assumed", "borrowed", "derived", "unsourced"):
                said.append(
                    f"{self.id}: the variability of {name} is {effect.evidence} ({effect.origin or 'no source'})"
                )
        for name, acting in self.effects.items():
            said += [f"{self.id}: {sentence}" for sentence in acting.assumptions(name)]
        for name, band in self.bands.items():
            said += [f"{self.id}: {sentence}" for sentence in band.assumptions(name)]
        return said
