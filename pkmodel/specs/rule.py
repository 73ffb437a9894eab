"""A monitoring rule: what a patient must keep, and the share of patients who must keep it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from pkmodel.specs import fields, shapes
from pkmodel.specs.clause import Clause
from pkmodel.specs.loading import load


class Rule(Clause):
    """A monitoring rule: a metric and a limit, or several together, and the share of patients who must keep it."""

    id: fields.Name
    share: fields.Share = Field(alias="in")
    title: str | None = None
    severity: Literal["info", "minor", "major", "critical"] | None = None
    """How much it matters that the rule is broken; it changes no verdict."""
    sampling: fields.Sampling | None = None
    """The site of the samples that the limit was taken from, where it is known."""
    source: Annotated[fields.Citation | None, BeforeValidator(fields.text_as_citation)] = None


@shapes.short_form({"type": "string", "description": "the name of a shipped rule, or the path of its file"})
def named_rule(value: object) -> object:
    """The rule of a file, where a scenario names one."""
    return load("rules", value, Rule)[0] if isinstance(value, str) else value
