"""Parameters of a model: typical values with their unit and origin, and how covariates change them."""

from __future__ import annotations

import math

from pydantic import Field, model_validator

from pkmodel.errors import InputError, Problem
from pkmodel.specs import fields
from pkmodel.specs.expressions import ExpressionField
from pkmodel.specs.loading import Spec

#: The normal quantile of a two-sided 95 % interval.
_Z = 1.959963984540054
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

    A value per kilogram of body weight (``1.7522 L/kg``) is multiplied by the patient's weight. One of ``se``, ``rse``
    and ``ci`` (95 %) says how well the value itself is known; a ``conversion`` that reads it does not follow its draws.
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
    se: fields.AnyQuantity | None = None
    rse: fields.AnyQuantity | None = None
    ci: list[fields.AnyQuantity] | None = Field(default=None, min_length=2, max_length=2)
    known_evidence: fields.Evidence | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Parameter:
        fields.exactly_one(self, "value", "conversion")
        self._known()
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

    def _known(self) -> None:
        """How well the typical value is known: at most one of ``se``, ``rse``, ``ci``, of its own dimension."""
        given = [name for name in ("se", "rse", "ci") if getattr(self, name) is not None]
        if len(given) > 1:
            raise InputError(Problem(" and ".join(given), "one of se, rse, ci", path=given[1]))
        if self.known_evidence is not None and not given:
            raise InputError(Problem("known_evidence", "se, rse or ci, which it grades", path="known_evidence"))
        if self.rse is not None and (self.rse.unit.dimensions or not 0 < self.rse.value <= 2):
            raise InputError(Problem(self.rse.text, 'a relative standard error such as "6 %"', path="rse"))
        if self.value is None:
            if self.se is not None or self.ci is not None:
                raise InputError(Problem(given[0], "rse, for a value that is converted", path=given[0]))
            return
        several = [("se", self.se), *((f"ci[{index}]", end) for index, end in enumerate(self.ci or []))]
        for path, quantity in several:
            if quantity is not None and quantity.unit.dimensions != self.value.unit.dimensions:
                raise InputError(Problem(quantity.text, f"the dimension of {self.value.text}", path=path))
        if self.se is not None and not 0 < self.se.value <= 2 * self.value.value:
            raise InputError(Problem(self.se.text, "a standard error above 0, of the size of the value", path="se"))
        if self.ci is not None and not 0 < self.ci[0].value < self.value.value < self.ci[1].value:
            found = f"{self.ci[0].text} to {self.ci[1].text}"
            raise InputError(Problem(found, f"an interval above 0 around {self.value.text}", path="ci"))

    @property
    def known(self) -> str | None:
        """How well the typical value is known, as the file says it; None where it does not."""
        grade = f" ({self.known_evidence})" if self.known_evidence is not None else ""
        if self.ci is not None:
            return f"95 % interval {self.ci[0].text} to {self.ci[1].text}{grade}"
        if self.se is not None:
            return f"standard error {self.se.text}{grade}"
        return None if self.rse is None else f"relative standard error {self.rse.text}{grade}"

    def sd_of_estimate(self, typical: float, scale: str) -> float:
        """The standard deviation of the estimate on the scale ``log`` or ``logit``; there must be one.

        An interval is taken for plus and minus 1.96 of them; a standard error is carried over by the slope of the scale
        (a relative one of a log-normal value exactly: sqrt(ln(1 + rse^2))).
        """
        if self.ci is not None:
            low, high = (end.value for end in self.ci)
            ends = [math.log(end) - (math.log1p(-end) if scale == "logit" else 0.0) for end in (low, high)]
            return (ends[1] - ends[0]) / (2 * _Z)
        assert self.se is not None or self.rse is not None
        relative = self.rse.value if self.rse is not None else self.se.value / typical  # type: ignore[union-attr]
        return relative / (1.0 - typical) if scale == "logit" else math.sqrt(math.log1p(relative**2))
