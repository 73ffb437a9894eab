"""Published levels that a scenario draws beside its curves: data of the scenario, never used in a calculation."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, get_args

from pydantic import BeforeValidator, Field, model_validator

from pkmodel.errors import InputError, Problem, one_of, unknown_name
from pkmodel.specs import fields
from pkmodel.specs.loading import Spec
from pkmodel.units import Quantity


class Mark(Spec):
    """One published level: ``time`` counts from the start of ``session``.

    ``sampling`` is the site where the study drew its blood, left out where it is not known; ``arm`` the only arm that
    it belongs to. The source has to say how well the number is supported.
    """

    label: str = Field(min_length=1, max_length=60)
    time: fields.Time
    level: fields.Concentration
    output: str = "parent"
    session: Annotated[int, Field(ge=1)] = 1
    arm: str | None = None
    sampling: fields.Sampling | None = None
    source: Annotated[fields.Citation, BeforeValidator(fields.text_as_citation)]

    @model_validator(mode="after")
    def _graded(self) -> Mark:
        if self.source.evidence is None:
            raise InputError(Problem("no evidence grade", one_of(get_args(fields.Evidence)), path="source.evidence"))
        return self


def problems(marks: list[Mark], arms: Iterable[str], span: Quantity) -> list[Problem]:
    """What is wrong with marks beside the arms and the observed ``span`` of a session (h)."""
    found = []
    for index, mark in enumerate(marks):
        path = f"marks[{index}]"
        if mark.arm is not None and mark.arm not in arms:
            found.append(unknown_name("an arm", mark.arm, arms, path=f"{path}.arm"))
        if mark.time.value > span.value:
            expected = f"a time inside what is observed of a session, {span.text}"
            found.append(Problem(mark.time.text, expected, path=f"{path}.time"))
    return found
