"""What things cost, in one currency that a scenario names, so that a rule can limit the cost of a course."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Annotated

from pydantic import BeforeValidator, Field, model_validator

from pkmodel import units
from pkmodel.errors import InputError, Problem, shown
from pkmodel.specs.loading import Spec
from pkmodel.units import Quantity, Unit

_CURRENCY = r"[A-Za-z]{2,10}"
_PRICE = re.compile(rf"\s*(?P<number>[^\sA-Za-z]+)\s*(?P<currency>{_CURRENCY})\s*")
EXAMPLE = 'a price such as "500 EUR"'


def _currency(value: object) -> object:
    if not isinstance(value, str) or re.fullmatch(_CURRENCY, value) is None:
        raise InputError(Problem(shown(value), 'a currency of 2 to 10 letters, such as "EUR"'))
    return value


Amount = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]


def price(value: object) -> Quantity:
    """Read an amount of money such as ``500 EUR``; its unit is the currency. Raises InputError."""
    match = _PRICE.fullmatch(value) if isinstance(value, str) and len(value) <= 80 else None
    if match is None:
        raise InputError(Problem(shown(value), EXAMPLE))
    try:
        number = units.parse(match["number"], allow_plain=True)
    except InputError:
        raise InputError(Problem(shown(value), EXAMPLE)) from None
    if number.unit.text:
        raise InputError(Problem(shown(value), EXAMPLE))
    currency = match["currency"]
    return Quantity(number.value, Unit(currency, Fraction(1), ((f"currency {currency}", 1.0),)), str(value).strip())


class Prices(Spec):
    """Prices of what a course takes, plain numbers in ``currency``; what has none is not counted.

    A ``session`` is one in which something is given, a ``clinic_hour`` one until the patient may leave.
    """

    currency: Annotated[str, Field(pattern=f"^{_CURRENCY}$"), BeforeValidator(_currency)]
    vial: Amount | None = None
    device: Amount | None = None
    spray: Amount | None = None
    clinic_hour: Amount | None = None
    session: Amount | None = None

    @model_validator(mode="after")
    def _something(self) -> Prices:
        if not self.of:
            legal = ", ".join(name for name in type(self).model_fields if name != "currency")
            raise InputError(Problem("no price", f"at least one of {legal}"))
        return self

    @property
    def of(self) -> dict[str, float]:
        """The prices that are given, by what they are of."""
        named = {name: getattr(self, name) for name in type(self).model_fields if name != "currency"}
        return {name: value for name, value in named.items() if value is not None}
