"""A population file: who is treated (DESIGN section 3)."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PlainValidator, PrivateAttr, model_validator

from pkmodel import units
from pkmodel.errors import InputError, Problem, shown
from pkmodel.specs import fields, shapes
from pkmodel.specs.csv_people import FromCsv, Table
from pkmodel.specs.distribution import Distribution, distribution
from pkmodel.specs.loading import Spec
from pkmodel.specs.plausible import PLAUSIBLE as PLAUSIBLE
from pkmodel.specs.plausible import PLAUSIBLE_TEXT as PLAUSIBLE_TEXT

#: What a population file must say of everybody, unless it mixes other populations or reads a table.
NEEDED = ("sex", "age", "height", "weight")
#: What it may say of everybody besides.
HISTORY = ("cyp2b6_activity", "hepatic_impairment", "severity")
#: Grades that show under every result of a population.
UNPUBLISHED = ("derived", "borrowed", "assumed", "unsourced")
#: Covariates that may be correlated with one another.
CORRELATED = ("age", "height", "weight")


ShareOf = Annotated[float, Field(ge=0, le=1), shapes.Also(shapes.quantity('a share such as "58 %"', plain=True))]
AgeDistribution = Annotated[Distribution, PlainValidator(distribution("age", "age"))]
HeightDistribution = Annotated[Distribution, PlainValidator(distribution("height", "length"))]
WeightDistribution = Annotated[Distribution, PlainValidator(distribution("weight", "weight"))]
SeverityDistribution = Annotated[Distribution, PlainValidator(distribution("severity", "number"))]


ActivityDistribution = Annotated[Distribution, PlainValidator(distribution("cyp2b6_activity", "number"))]
ImpairmentDistribution = Annotated[Distribution, PlainValidator(distribution("hepatic_impairment", "number"))]


class Component(Spec):
    """A part of a mixture: its weight (its share of the patients) and the population that it is drawn from."""

    weight: fields.Share
    population: fields.NameOrMapping


class PopulationSpec(Spec):
    """Covariate distributions, or a mixture of populations, or a table of people.

    Correlations are of a Gaussian copula, so every marginal stays as stated, within each band of age where it has such.
    ``severity`` is a score (MADRS, say) that bands of a protocol may ask for; nobody has one where it is not given.
    Without ``cyp2b6_activity`` and ``hepatic_impairment`` everybody has the activity 1 and no impairment. ``parts``
    (the populations of a mixture) and ``table`` (the rows of a file) are filled in by :mod:`pkmodel.specs.people`.
    """

    title: str = ""
    sex: dict[fields.Sex, ShareOf] | None = None
    age: AgeDistribution | None = None
    height: HeightDistribution | None = None
    weight: WeightDistribution | None = None
    cyp2b6_activity: ActivityDistribution | None = None
    hepatic_impairment: ImpairmentDistribution | None = None
    mixture: list[Component] | None = None
    from_csv: FromCsv | None = None
    severity: SeverityDistribution | None = None
    correlation: dict[str, Annotated[float, Field(gt=-1, lt=1)]] = {}
    ancestry: dict[fields.Ancestry, ShareOf] = {"other": 1.0}
    source: Annotated[fields.Citation | None, BeforeValidator(fields.text_as_citation)] = None
    notes: list[str] = []
    _parts: tuple[PopulationSpec, ...] = PrivateAttr(default=())
    _table: Table | None = PrivateAttr(default=None)

    @model_validator(mode="before")
    @classmethod
    def _numbers(cls, value: Any) -> Any:
        """Shares may be written as numbers or as percent."""
        if isinstance(value, dict):
            value = dict(value)
            for key in ("sex", "ancestry"):
                if isinstance(value.get(key), dict):
                    value[key] = {name: _share(share) for name, share in value[key].items()}
        return value

    @model_validator(mode="after")
    def _consistent(self) -> PopulationSpec:
        problems: list[Problem] = []
        if self.mixture is not None or self.from_csv is not None:
            self._refuse_own_distributions()
            return self
        for name in NEEDED:
            if getattr(self, name) is None:
                problems.append(Problem("nothing", f"the key {name}", path=name))
        if self.sex is None:
            raise InputError(problems)
        total = sum(self.sex.values())
        if len(self.sex) == 2 and abs(total - 1.0) > 1e-9:
            problems.append(Problem(f"shares that add up to {total:g}", "shares that add up to 1", path="sex"))
        if not self.sex:
            problems.append(Problem("nothing", "the share of female or male", path="sex"))
        total = sum(self.ancestry.values())
        if abs(total - 1.0) > 1e-9:
            problems.append(Problem(f"shares that add up to {total:g}", "shares that add up to 1", path="ancestry"))
        for pair in self.correlation:
            first, _, second = pair.partition("~")
            if f"{second}~{first}" in self.correlation and first > second:
                found = f"{pair} beside {second}~{first}"
                problems.append(Problem(found, "each pair once", path=f"correlation.{pair}"))
            if first == second or first not in CORRELATED or second not in CORRELATED:
                path = f"correlation.{pair}"
                problems.append(Problem(shown(pair), "two of age, height and weight, as height~weight", path=path))
        problems += self._uncovered()
        if problems:
            raise InputError(problems)
        self.copula_factor()
        return self

    def _uncovered(self) -> list[Problem]:
        """Bands of age that leave out some of the ages that patients have."""
        if self.age is None:
            return []
        youngest, oldest, _ = self.age.support
        expected = f"bands that cover every age, {youngest:g} to {oldest:g} y"
        return [
            Problem(found, expected, path=f"{name}.{path}")
            for name in (*NEEDED[2:], *HISTORY)
            if (item := getattr(self, name)) is not None
            for path, found in item.uncovered(youngest, oldest)
        ]

    def _refuse_own_distributions(self) -> None:
        """A mixture or a table says all of its people; a distribution beside it would be read by nobody."""
        own = "mixture" if self.mixture is not None else "from_csv"
        problems = []
        beside = (*NEEDED, "severity", "correlation", "ancestry", "cyp2b6_activity", "hepatic_impairment", "from_csv")
        for name in beside:
            if name != own and name in self.model_fields_set and getattr(self, name) is not None:
                problems.append(Problem(f"{name} beside {own}", f"either {own} or distributions", path=name))
        if problems:
            raise InputError(problems)

    @property
    def parts(self) -> tuple[PopulationSpec, ...]:
        """The populations of a mixture, in its order."""
        return self._parts

    @property
    def table(self) -> Table | None:
        """The people of a file."""
        return self._table

    @property
    def has_severity(self) -> bool:
        """Whether everybody has a severity score."""
        if self.parts:
            return all(part.has_severity for part in self.parts)
        return "severity" in self.table.columns if self.table is not None else self.severity is not None

    @property
    def oldest(self) -> float:
        """The age (y) that nobody is above."""
        if self.parts:
            return max(part.oldest for part in self.parts)
        if self.table is not None:
            return float(max(self.table.columns["age"]))
        assert self.age is not None
        return self.age.oldest

    @property
    def assumptions(self) -> list[str]:
        """What of the people is assumed, borrowed, derived or without a source; a sentence each."""
        found = [sentence for part in self.parts for sentence in part.assumptions]
        for name in (*NEEDED[1:], *HISTORY):
            item = getattr(self, name)
            for grade, origin in item.graded if item is not None else ():
                if grade in UNPUBLISHED:
                    found.append(f"{name} of patients: {grade}" + (f" ({origin})" if origin else ""))
        for note in self.notes:
            grade, _, what = note.partition(":")
            if what and grade.lower() in UNPUBLISHED:
                found.append(f"population ({self.title}): {what.strip().rstrip('.')} ({grade.lower()})")
            elif note.lower().startswith(tuple(UNPUBLISHED)):
                found.append(f"population ({self.title}): {note.rstrip('.')}")
        return list(dict.fromkeys(found))

    @property
    def female_share(self) -> float:
        """The share of women."""
        assert self.sex is not None
        return self.sex["female"] if "female" in self.sex else 1.0 - self.sex["male"]

    def copula_factor(self) -> list[list[float]]:
        """Lower Cholesky factor of the correlations of age, height and weight (in this order)."""
        import numpy as np

        matrix = np.eye(3)
        for pair, value in self.correlation.items():
            first, second = (CORRELATED.index(name) for name in pair.split("~"))
            matrix[first, second] = matrix[second, first] = value
        try:
            return np.linalg.cholesky(matrix).tolist()  # type: ignore[no-any-return]
        except np.linalg.LinAlgError:
            raise InputError(
                Problem(
                    "correlations that contradict one another (their matrix is not positive definite)",
                    "correlations that people can have together",
                    "correlation",
                )
            ) from None


def _share(value: Any) -> Any:
    try:
        return units.as_kind(value, "number").value
    except InputError:
        return value
