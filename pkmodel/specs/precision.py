"""``precision:`` of a scenario: until when patients are drawn."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from pydantic import Field, PlainValidator, model_validator

from pkmodel import units
from pkmodel.errors import InputError, Problem, shown, unknown_name
from pkmodel.specs import fields, shapes
from pkmodel.specs.loading import Spec
from pkmodel.units import Quantity

_EXPECTED = 'a half width above 0 and below 50 %, such as "0.5 %"'


@shapes.takes(shapes.quantity(_EXPECTED, plain=True))
def _half_width(value: object) -> Quantity:
    quantity = units.as_kind(value, "number")
    if not 0.0 < quantity.value < 0.5:
        raise InputError(Problem(shown(value), _EXPECTED))
    return quantity


class Precision(Spec):
    """Draw patients until the interval of a rule is at most ``half_width`` to either side, or until it is decided.

    In every arm, model and window of the rule; with ``max_n`` patients the run ends all the same, and says so.
    """

    rule: fields.Name
    half_width: Annotated[Quantity | None, PlainValidator(_half_width)] = None
    decide: bool = False
    max_n: Annotated[int, Field(ge=1, le=100_000_000)] = 1_000_000

    @model_validator(mode="after")
    def _one_target(self) -> Precision:
        if (self.half_width is None) != self.decide:
            found = "half_width and decide" if self.decide else "neither half_width nor decide"
            expected = "one of them: half_width, such as 0.5 %, or decide: true"
            raise InputError(Problem(found, expected, path="decide" if self.decide else "half_width"))
        return self

    def problems(self, rules: Iterable[str]) -> list[Problem]:
        """What does not fit between this and the rules of the scenario."""
        known = list(rules)
        return [] if self.rule in known else [unknown_name("a rule of this scenario", self.rule, known, path="rule")]
