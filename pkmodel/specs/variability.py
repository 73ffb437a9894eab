"""Random effects of a model: who differs from the typical patient, and by how much."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from pkmodel.errors import InputError, Problem, shown
from pkmodel.specs import fields
from pkmodel.specs.loading import Spec


class RandomEffect(Spec):
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
    def _one_form(self) -> RandomEffect:
        fields.exactly_one(self, "omega2", "cv", "sd", "cov", "correlation", "eta")
        if self.cv is not None and (self.cv.unit.dimensions or not 0 <= self.cv.value <= 10):
            raise InputError(Problem(self.cv.text, 'a coefficient of variation such as "30 %"', path="cv"))
        if self.cv is not None and self.transform != "lognormal":
            raise InputError(Problem("cv", f"omega2 or sd of the {self.transform} effect", path="cv"))
        return self

    @property
    def variance(self) -> float:
        """The variance of eta; a CV of a log-normal parameter becomes ln(1 + CV^2)."""
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

    effects: dict[str, RandomEffect] = {}
    origin: str | None = Field(default=None, alias="from")
    evidence: fields.Evidence | None = None

    @classmethod
    def __get_pydantic_json_schema__(cls, core: Any, handler: Any) -> dict[str, Any]:
        """In a file: the effects beside their origin, and under ``eta`` who shares whose."""
        whole = dict(handler.resolve_ref_schema(handler(core)))
        known = dict(whole["properties"])
        effects = known.pop("effects")
        shared = {"type": "object", "additionalProperties": {"type": "string"}}
        return {
            **whole,
            "properties": {**known, "eta": shared},
            "additionalProperties": effects["additionalProperties"],
        }


BlockField = Annotated[Block, BeforeValidator(_split_origin)]


class Variability(Spec):
    """Random effects; ``borrowed`` names the model from which they were taken."""

    borrowed: str | None = None
    between_subject: BlockField = Block()
    between_occasion: BlockField = Block()


class ReplacedVariability(Variability):
    """Random effects of which a scenario replaced those between subjects."""


class VariabilitySwitch(Spec):
    """Which kinds of variability a run draws, and whose between-subject block it replaces for itself."""

    between_subject: bool = True
    between_occasion: bool = False
    residual: bool = False
    parameter_uncertainty: bool = False
    outer: Annotated[int, Field(ge=20, le=5000)] = 200
    replace: dict[str, BlockField] = {}

    @model_validator(mode="after")
    def _consistent(self) -> VariabilitySwitch:
        problems = []
        if "outer" in self.model_fields_set and not self.parameter_uncertainty:
            problems.append(Problem("outer", "parameter_uncertainty: true, whose draws it counts", path="outer"))
        if self.replace and not self.between_subject:
            problems.append(Problem("replace", "between_subject: true, which draws what is replaced", path="replace"))
        if problems:
            raise InputError(problems)
        return self
