"""How the patients of a scenario are drawn: at random, or spread evenly in replicates."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, get_args

from pydantic import Field

from pkmodel.errors import InputError, Problem, nearest, one_of, shown
from pkmodel.specs.loading import Spec
from pkmodel.specs.shapes import short_form, words

Method = Literal["random", "sobol", "latin_hypercube"]
#: A Latin hypercube is drawn as a whole and kept.
LARGEST_HYPERCUBE = 1_000_000


class Sampling(Spec):
    """``random`` draws patients independently; the others spread them evenly, in ``replicates`` randomisations."""

    method: Method = "random"
    replicates: Annotated[int, Field(ge=8, le=64)] = 16

    @property
    def even(self) -> bool:
        """Whether patients are spread evenly."""
        return self.method != "random"

    def problems(self, n: int) -> list[Problem]:
        """What is wrong with so many patients: every replicate has the same number of them, two at least."""
        if not self.even:
            return []
        if n % self.replicates or n < 2 * self.replicates:
            points = 2 ** max(1, round(math.log2(n / self.replicates)))
            close = str(points * self.replicates)
            expected = f"a multiple of {self.replicates} replicates, of at least {2 * self.replicates}"
            return [Problem(f"{n} patients by {self.method}", expected, path="n", nearest=close)]
        if self.method == "latin_hypercube" and n > LARGEST_HYPERCUBE:
            return [Problem(f"{n:,} patients by latin_hypercube", f"at most {LARGEST_HYPERCUBE:,}, or sobol", path="n")]
        return []

    def doubts(self, n: int) -> list[str]:
        """What a reader should know of so many patients."""
        points = n // self.replicates
        if self.method == "sobol" and points & (points - 1):
            below = (1 << points.bit_length() - 1) * self.replicates
            return [
                f"Sobol points are balanced in powers of two; {n:,} patients are {self.replicates} replicates of "
                f"{points:,} points. {below:,} or {2 * below:,} patients would be balanced."
            ]
        return []


@short_form(words(*get_args(Method)))
def word_as_sampling(value: Any) -> Any:
    """``sampling: sobol`` is short for ``sampling: {method: sobol}``."""
    if not isinstance(value, str):
        return value
    known = get_args(Method)
    if value not in known:
        raise InputError(Problem(shown(value), one_of(known), nearest=nearest(value, known)))
    return {"method": value}
