"""A model file: one publication, every number with its unit and its place (DESIGN section 2)."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from pkmodel import units
from pkmodel.errors import InputError, Problem, shown, unknown_name
from pkmodel.specs import fields
from pkmodel.specs.expressions import Dimensions, ExpressionField
from pkmodel.specs.loading import Spec

#: Covariates that every patient has, with their dimensions in expressions.
COVARIATES: dict[str, dict[str, float]] = {
    "age": {"age": 1.0},
    "weight": {"body_weight": 1.0},
    "height": {"length": 1.0},
    "female": {},
    "male": {},
    "asian": {},
    "japanese": {},
    "cyp2b6_activity": {},
    "hepatic_impairment": {},
}
#: Names an expression may use besides parameters and covariates.
DOSING_NAMES = ("device",)
RESERVED = {*COVARIATES, *DOSING_NAMES, "time_since_first_dose", "min", "max", "exp", "log", "sqrt", "where"}
OUTSIDE = "outside"


class Scale(Spec):
    """Power scaling with a covariate: ``value * (weight / reference) ** exponent``."""

    weight: float = Field(gt=-3, lt=3)
    reference: fields.Weight


class Above(Spec):
    """A change in proportion to the age above a threshold, added to the typical value."""

    age: fields.Age
    slope: fields.AnyQuantity


class Factor(Spec):
    """Factors by ancestry. Japanese counts as Asian too, so both factors apply to a Japanese patient."""

    asian: float | None = Field(default=None, gt=0)
    japanese: float | None = Field(default=None, gt=0)


class Published(Spec):
    """A number in the paper's own parameterisation, for use in a ``conversion``."""

    value: fields.AnyQuantity
    origin: str = Field(alias="from", min_length=1)


class Parameter(Spec):
    """A typical value and how it depends on covariates.

    A value per kilogram of body weight (``1.7522 L/kg``) is multiplied by the patient's weight.
    """

    value: fields.AnyQuantity | None = None
    conversion: ExpressionField | None = None
    origin: str = Field(alias="from", min_length=1)
    evidence: fields.Evidence | None = None
    scale: Scale | None = None
    above: Above | None = None
    factor: Factor | None = None
    lower: fields.AnyQuantity | None = None
    upper: fields.AnyQuantity | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Parameter:
        fields.exactly_one(self, "value", "conversion")
        if self.value is None:
            return self
        dimensions = self.value.unit.dimensions
        for side in ("lower", "upper"):
            bound = getattr(self, side)
            if bound is not None and bound.unit.dimensions != dimensions:
                raise InputError(Problem(bound.text, f"the dimension of {self.value.text}", path=side))
        if self.lower is not None and self.upper is not None and self.lower.value >= self.upper.value:
            raise InputError(Problem(f"{self.lower.text} to {self.upper.text}", "a lower bound below the upper one"))
        low = self.lower.value if self.lower is not None else 0.0
        high = self.upper.value if self.upper is not None else float("inf")
        if not low <= self.value.value <= high or (self.value.value == 0 and dict(dimensions) == {"volume": 1.0}):
            ends = f"{self.lower.text if self.lower else 0} to {self.upper.text if self.upper else 'any'}"
            raise InputError(Problem(self.value.text, f"a value from {ends}, and a volume above 0", path="value"))
        if self.above is not None:
            expected = dict(dimensions)
            expected["age"] = expected.get("age", 0.0) - 1.0
            if dict(self.above.slope.unit.dimensions) != expected:
                raise InputError(
                    Problem(self.above.slope.text, f"{self.value.unit.text or 'a number'} per y", path="above.slope")
                )
        if ("body_weight", -1.0) in dimensions and self.scale is not None:
            raise InputError(Problem("a value per kg with `scale`", "one of the two", path="scale"))
        return self


class Effect(Spec):
    """The spread of one parameter, or the covariance of a pair."""

    omega2: float | None = Field(default=None, ge=0)
    cv: fields.AnyQuantity | None = None
    sd: float | None = Field(default=None, ge=0)
    cov: float | None = None
    correlation: float | None = Field(default=None, ge=-1, le=1)
    eta: str | None = None
    transform: Literal["lognormal", "logit", "normal"] = "lognormal"
    evidence: fields.Evidence | None = None
    origin: str | None = Field(default=None, alias="from")

    @model_validator(mode="after")
    def _one_form(self) -> Effect:
        fields.exactly_one(self, "omega2", "cv", "sd", "cov", "correlation", "eta")
        if self.cv is not None and (self.cv.unit.dimensions or not 0 <= self.cv.value <= 10):
            raise InputError(Problem(self.cv.text, 'a coefficient of variation such as "30 %"', path="cv"))
        if self.cv is not None and self.transform != "lognormal":
            raise InputError(Problem("cv", f"omega2 or sd of the {self.transform} effect", path="cv"))
        return self

    @property
    def variance(self) -> float:
        """The variance of eta; a CV of a log-normal parameter becomes ln(1 + CV^2)."""
        import math

        if self.omega2 is not None:
            return self.omega2
        if self.sd is not None:
            return self.sd**2
        return math.log1p(self.cv.value**2) if self.cv is not None else 0.0


def _split_origin(value: Any) -> Any:
    """``between_subject: {V1: ..., eta: {VN1: VK1}, from: Table 3}`` keeps effects and their origin apart."""
    if isinstance(value, dict) and "effects" not in value:
        value = dict(value)
        rest = {key: value.pop(key) for key in ("from", "evidence") if key in value}
        shared = value.pop("eta", {})
        if not isinstance(shared, dict):
            raise InputError(Problem(shown(shared), "{PARAMETER: the parameter whose effect it shares}", path="eta"))
        return {"effects": {**value, **{name: {"eta": other} for name, other in shared.items()}}, **rest}
    return value


class Block(Spec):
    """Random effects at one level, by the name of the parameter; ``A~B`` is a covariance."""

    effects: dict[str, Effect] = {}
    origin: str | None = Field(default=None, alias="from")
    evidence: fields.Evidence | None = None


class Variability(Spec):
    """Random effects; ``borrowed`` names the model from which they were taken."""

    borrowed: str | None = None
    between_subject: Annotated[Block, BeforeValidator(_split_origin)] = Block()
    between_occasion: Annotated[Block, BeforeValidator(_split_origin)] = Block()


class Flow(Spec):
    """First-order transfer: amount per time = rate x amount in ``from``."""

    source: str = Field(alias="from")
    target: str = Field(alias="to")
    rate: ExpressionField


class Path(Spec):
    """One way of a dose into the body."""

    into: str
    fraction: ExpressionField | None = None
    lag: ExpressionField | None = None
    zero_order: ExpressionField | None = None


class RouteDevice(Spec):
    """The device that the route's expressions count."""

    strength: fields.Mass


class RouteSpec(Spec):
    """The paths of a route; a bare list is short for ``{paths: [...]}``."""

    paths: list[Path] = Field(min_length=1)
    device: RouteDevice | None = None


def _paths(value: Any) -> Any:
    return {"paths": value} if isinstance(value, list) else value


class Output(Spec):
    """An observable concentration: amount / volume, in ``unit``."""

    amount: str
    volume: ExpressionField
    unit: str
    factor: float = Field(default=1.0, gt=0)
    molar_mass: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _concentration(self) -> Output:
        unit = units.parse_unit(self.unit)
        if unit.dimensions != units.parse_unit("mg/L").dimensions:
            raise InputError(Problem(shown(self.unit), "a unit of mass per volume such as ng/mL", path="unit"))
        return self

    @property
    def scale(self) -> float:
        """From mg/L to the unit of the output."""
        return self.factor / float(units.parse_unit(self.unit).factor)


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


class Check(Spec):
    """A figure of the paper itself, to be simulated: ``must_reproduce`` is tested, ``compare`` shown."""

    id: fields.Name
    role: Literal["must_reproduce", "compare"]
    protocol: fields.NameOrMapping
    patient: dict[str, Any] = {}
    metric: Literal["peak", "auc", "level_at", "time_of_peak"]
    output: str
    at: fields.Time | None = None
    until: fields.Duration | None = None
    expected: fields.AnyQuantity
    tolerance: fields.Share
    origin: str = Field(alias="from")
    reason: str | None = None


class ModelSpec(Spec):
    """A model file, checked: names, units and dimensions agree."""

    id: fields.Name
    title: str
    drug: fields.Drug
    source: Annotated[fields.Citation, BeforeValidator(fields.text_as_citation)]
    evidence: fields.Evidence
    sampling: Literal["venous", "arterial"]
    population: Studied
    valid_for: ValidFor = ValidFor()
    published: dict[fields.Name, Published] = {}
    parameters: dict[fields.Name, Parameter] = Field(min_length=1)
    derived: dict[fields.Name, ExpressionField] = {}
    variability: Variability = Variability()
    compartments: list[fields.Name] = Field(min_length=1)
    flows: list[Flow] = Field(min_length=1)
    routes: dict[fields.Route, Annotated[RouteSpec, BeforeValidator(_paths)]] = Field(min_length=1)
    outputs: dict[fields.Name, Output] = Field(min_length=1)
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

    @property
    def assumptions(self) -> list[str]:
        """Everything in this model that is assumed, borrowed or derived, one sentence each."""
        said = []
        if self.evidence in ("derived", "assumed", "unsourced"):
            said.append(f"{self.id}: the model as a whole is {self.evidence}")
        for name, parameter in self.parameters.items():
            if parameter.evidence in ("assumed", "borrowed", "derived", "unsourced"):
                said.append(f"{self.id}: {name} is {parameter.evidence} ({parameter.origin})")
        if self.variability.borrowed:
            names = ", ".join(name for name in self.variability.between_subject.effects if "~" not in name)
            said.append(
                f"{self.id}: between-subject variability of {names} is borrowed from {self.variability.borrowed}"
            )
        for name, effect in self.variability.between_subject.effects.items():
            if effect.evidence in ("assumed", "borrowed", "derived", "unsourced"):
                said.append(
                    f"{self.id}: the variability of {name} is {effect.evidence} ({effect.origin or 'no source'})"
                )
        return said
