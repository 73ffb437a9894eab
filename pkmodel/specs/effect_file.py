"""An effect file: one published effect, every number with its unit, its place and its grade (DESIGN section 2).

    id: dissociation_olofsen2022
    drug: esketamine                    # what the numbers are stated for
    on: esketamine
    effect_site: {half_life: 8.3 min}
    sigmoid: {e0: 0, emax: 1, c50: 121 ng/mL, hill: 5.33}
    evidence: {c50: primary, half_life: primary, hill: secondary}
    from: {c50: "0.51 nmol/mL x 237.73 g/mol", half_life: the abstract, hill: public code}

It attaches to any model that gives its analytes, or from which they are had by a conversion that is said
(:mod:`pkmodel.specs.attach`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

from pydantic import BeforeValidator, Field, model_validator

from pkmodel.errors import InputError, Problem, unknown_name
from pkmodel.specs import fields
from pkmodel.specs.effect import ONLY, EffectSpec
from pkmodel.specs.expressions import Constant, Expression
from pkmodel.specs.loading import Spec
from pkmodel.specs.parameter import Parameter
from pkmodel.specs.variability import Variability

#: Drugs and their first metabolites; a potency compares two of one group.
DRUGS = ("ketamine", "esketamine", "arketamine")
NOR = ("norketamine", "noresketamine", "arnorketamine")
#: What an output may be named for (DESIGN section 2).
ANALYTES = (*DRUGS, *NOR, "hydroxynorketamine", "dehydronorketamine")
#: The numbers of an effect, by their keys.
_NUMBERS = ("half_life", "ke0", "e0", "emax", "c50", "hill", "baseline", "kout", "band")
#: The metabolite that `metabolite` stands for, by the drug that an effect is stated for.
METABOLITE = {"ketamine": "norketamine", "esketamine": "noresketamine"}


class Potency(Spec):
    """How many units of what the effect is stated for one unit of another analyte counts as much as."""

    value: float = Field(gt=0, le=100)
    origin: str = Field(alias="from", min_length=1)
    evidence: fields.Evidence


class EffectFile(EffectSpec):
    """An effect file, checked by itself: names, units, and a grade and a place for every number."""

    LINKS: ClassVar[tuple[str, ...]] = (*EffectSpec.LINKS, "band")

    id: fields.Name
    title: str = Field(min_length=1)
    drug: fields.Drug
    source: Annotated[fields.Citation, BeforeValidator(fields.text_as_citation)]
    band: fields.ConcentrationRange | None = None
    potency: dict[str, Potency] = {}
    parameters: dict[fields.Name, Parameter] = {}
    variability: Variability = Variability()
    notes: list[str] = []

    @model_validator(mode="after")
    def _whole(self) -> EffectFile:
        problems = [*self._drivers(), *self._numbers()]
        if not problems:
            from pkmodel.specs.effect_trial import problems_alone

            problems = problems_alone(self)
        if problems:
            raise InputError(problems)
        return self

    def _drivers(self) -> Iterator[Problem]:
        for driver, name in self.on.items():
            if name not in (*ANALYTES, "parent", "metabolite"):
                path = "on" if driver == ONLY else f"on.{driver}"
                yield unknown_name("an analyte", name, [*ANALYTES, "parent", "metabolite"], path=path)
        if self.band is not None and self.effect_site:
            yield Problem("a band with an effect_site", "a band of levels of the output itself", path="effect_site")
        if self.band is not None and max(map(abs, self.band)) == float("inf") == -min(self.band):
            yield Problem("a band without ends", "a lower or an upper end", path="band")
        for name in self.potency:
            if name not in (*DRUGS, *NOR):
                yield unknown_name("a drug or its first metabolite", name, [*DRUGS, *NOR], path=f"potency.{name}")
            elif name in self.analytes.values():
                found = f"a potency of {name}, which the effect is stated for"
                yield Problem(found, "another analyte, compared with that", path=f"potency.{name}")
        for name, parameter in self.parameters.items():
            if parameter.value is None:
                yield Problem("a conversion", "a value with its unit", path=f"parameters.{name}.conversion")
        if self.variability.borrowed is not None or self.variability.between_occasion.effects:
            what = "borrowed" if self.variability.borrowed is not None else "between_occasion"
            yield Problem(what, "between_subject, with the grade of its numbers", path=f"variability.{what}")

    def _numbers(self) -> Iterator[Problem]:
        """Every number has a grade and a place, and every grade and place a number."""
        inline = list(dict.fromkeys(name for name, value in self._inline() if not _defines_a_scale(name, value)))
        legal = [*_NUMBERS, *self.parameters]  # not only those given: one that is wrong is reported by itself
        for section, given in (("evidence", self.evidence), ("from", self.origin)):
            for name in given:
                if name != ONLY and name not in legal:
                    yield unknown_name("a number of this effect", name, legal, path=f"{section}.{name}")
            missing = [name for name in inline if name not in given] if ONLY not in given else []
            if missing:
                what = "a grade" if section == "evidence" else "its place in the source"
                yield Problem(f"no `{section}` of {' and '.join(missing)}", f"{what} for every number", path=section)

    def _inline(self) -> Iterator[tuple[str, Expression | None]]:
        """The numbers that stand in the effect itself, by the name of their key."""
        links = [self.sigmoid, self.emax, self.turnover]
        if self.turnover is not None:
            links.append(self.turnover.change.influence)  # type: ignore[arg-type]
        for part in (*self.effect_site.values(), *links):
            if part is not None:
                for name in type(part).model_fields:
                    value = getattr(part, name)
                    if isinstance(value, Expression):
                        yield name, value
        if self.band is not None:
            yield "band", None

    @property
    def analytes(self) -> dict[str, str]:
        """What each driver is stated for: the analyte that `parent` and `metabolite` stand for."""
        named = {"parent": self.drug, "metabolite": METABOLITE[self.drug]}
        return {driver: named.get(name, name) for driver, name in self.on.items()}

    @property
    def form(self) -> str:
        """What kind of effect it is, in a word or two."""
        given = [name for name in self.LINKS if getattr(self, name) is not None]
        sited = ["effect site"] if self.effect_site else []
        return " and ".join([*sited, *("formula" if name == "effect" else name for name in given)])

    @property
    def counted(self) -> str:
        """What the effect is counted in, in words."""
        if self.band is not None or self.level_of is not None:
            return "ng/mL"
        return self.unit or ("multiples" if self.turnover is not None else "fraction of maximal effect")

    def numbers(self) -> list[dict[str, str]]:
        """Every number as people read it: name, value, grade and place."""
        rows = []
        for name, value in self._inline():
            text = "-".join(f"{1000 * end:g}" for end in self.band or ()) + " ng/mL" if value is None else value.text
            grade = self.evidence.get(name) or self.evidence.get(ONLY) or ""
            origin = self.origin.get(name) or self.origin.get(ONLY) or ""
            if _defines_a_scale(name, value) and name not in self.evidence:
                grade, origin = "", "a formula" if value is not None and value.names else "the scale"
            rows.append({"number": name, "value": text, "evidence": grade, "from": origin})
        if self.effect is not None:
            grade, origin = self.evidence.get(ONLY) or "", self.origin.get(ONLY) or ""
            rows.append({"number": "effect", "value": self.effect.text, "evidence": grade, "from": origin})
        for name, parameter in self.parameters.items():
            grade = parameter.evidence or self.evidence.get(name) or self.evidence.get(ONLY) or ""
            assert parameter.value is not None
            rows.append({"number": name, "value": parameter.value.text, "evidence": grade, "from": parameter.origin})
        for name, potency in self.potency.items():
            row = {"number": f"potency of {name}", "value": f"{potency.value:g}"}
            rows.append({**row, "evidence": potency.evidence, "from": potency.origin})
        return rows


def _defines_a_scale(name: str, value: Expression | None) -> bool:
    """Whether a number is no finding of anybody: a fraction that goes from 0 to 1, or a formula of parameters."""
    if not isinstance(value, Constant):
        return value is not None
    return name in ("e0", "emax") and not value.quantity.unit.text and value.quantity.value in (0.0, 1.0)
