"""Parameters of a model: typical values with their unit and origin, and how covariates change them."""

from __future__ import annotations

from pydantic import Field, model_validator

from pkmodel.errors import InputError, Problem
from pkmodel.specs import fields
from pkmodel.specs.expressions import ExpressionField
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


class Scale(Spec):
    """Power scaling with a covariate: ``value * (weight / reference) ** exponent``.

    ``evidence`` is that of the exponent, where it is not that of the value.
    """

    weight: float = Field(gt=-3, lt=3)
    reference: fields.Weight
    evidence: fields.Evidence | None = None


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
