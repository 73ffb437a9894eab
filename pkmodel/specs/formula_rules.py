"""What formulas of a model file must agree on: names that exist, dimensions that fit."""

from __future__ import annotations

import math
from collections.abc import Mapping

from pkmodel.errors import InputError, Problem, shown, unknown_name
from pkmodel.specs.expressions import Dimensions, Expression, Value, described
from pkmodel.specs.model import ModelSpec


class Problems(list[Problem]):
    """Problems found so far, and the parameters already blamed for having no unit."""

    def __init__(self, model: ModelSpec):
        super().__init__()
        self.unitless = {
            name for name, item in model.parameters.items() if item.value is not None and not item.value.unit.text
        }
        self.blamed: set[str] = set()

    def blame_missing_unit(self, model: ModelSpec, expression: Expression, known: Mapping[str, Dimensions]) -> bool:
        """Whether a formula's dimensions only fail because a parameter was written without its unit; says so once."""
        suspects = expression.names & self.unitless
        try:
            if not suspects or expression.dimensions({**known, **dict.fromkeys(suspects)}) is not None:
                return False
        except InputError:
            return False
        for name in sorted(suspects - self.blamed):
            value = model.parameters[name].value
            assert value is not None
            path = f"parameters.{name}.value"
            self.append(Problem(f"{value.text} without a unit", 'a value with its unit, such as "133 L"', path))
        self.blamed |= suspects
        return True


def check_formula(
    expression: Expression,
    known: Mapping[str, Dimensions],
    expected: Dimensions,
    path: str,
    found: Problems,
    model: ModelSpec,
    *,
    what: str = "",
) -> Dimensions:
    """Check names and dimensions of one formula; ``expected`` None accepts any."""
    missing = sorted(expression.names - set(known))
    for name in missing:
        if name in model.changing:
            found.append(Problem(f"{name}, which changes with time", "something that stays the same", path=path))
        else:
            found.append(unknown_name("a parameter, covariate or derived name", name, known, path=path))
    if missing:
        return None
    try:
        dimensions = expression.dimensions(known)
    except InputError as error:
        if not found.blame_missing_unit(model, expression, known):
            found += [problem.at(path=path) for problem in error.problems]
        return None
    mismatch = expected is not None and dimensions is not None and dimensions != expected
    if mismatch and not found.blame_missing_unit(model, expression, known):
        # A bare number in front of nothing (rate: 0.5) has no unit either, which is just as wrong.
        found.append(
            Problem(
                found=f"{shown(expression.text)}, which is {described(dimensions)}",
                expected=f"{what or described(expected)} ({described(expected)})" if what else described(expected),
                path=path,
            )
        )
    return dimensions


class Trial:
    """Formulas tried on one person: a rate or fraction that comes out impossible is a mistake of the file."""

    def __init__(self, values: dict[str, Value], found: list[Problem]):
        self.values, self.found = values, found

    def __call__(
        self, expression: Expression | None, path: str, *, high: float | None = None, above: bool = False
    ) -> None:
        """Refuse what is not between 0 (``above``: over 0) and ``high``."""
        if expression is None:
            return
        result = float(expression.evaluate(self.values))
        if math.isfinite(result) and 0 <= result <= (math.inf if high is None else high) and (result or not above):
            return
        expected = "a finite value above 0" if above else "a finite value of at least 0"
        self._refuse(expression, result, expected if high is None else f"a value from 0 to {high:g}", path)

    def finite(self, expression: Expression, path: str, values: Mapping[str, Value] | None = None) -> float:
        """Refuse what is not finite; returns it."""
        result = float(expression.evaluate(self.values if values is None else values))
        if not math.isfinite(result):
            self._refuse(expression, result, "a finite value", path)
        return result

    def _refuse(self, expression: Expression, result: float, expected: str, path: str) -> None:
        seen = shown(expression.text)
        if expression.names:
            seen = f"{seen}, which is {result:.4g} in a typical adult"
        self.found.append(Problem(seen, expected, path=path))
