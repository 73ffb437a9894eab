"""A population file: who is treated (DESIGN section 3)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Any, get_args

from pydantic import BeforeValidator, Field, PlainValidator, PrivateAttr, model_validator

from pkmodel import units
from pkmodel.errors import InputError, Problem, nearest, one_of, shown
from pkmodel.specs import fields, shapes
from pkmodel.specs.csv_people import FromCsv, Table
from pkmodel.specs.loading import Spec
from pkmodel.specs.plausible import PLAUSIBLE as PLAUSIBLE
from pkmodel.specs.plausible import PLAUSIBLE_TEXT as PLAUSIBLE_TEXT

FORMS = ("normal", "truncated_normal", "lognormal", "uniform", "fixed", "shares", "by_sex")
#: What a population file must say of everybody, unless it mixes other populations or reads a table.
NEEDED = ("sex", "age", "height", "weight")
#: Grades that show under every result of a population.
UNPUBLISHED = ("derived", "borrowed", "assumed", "unsourced")
#: Covariates that may be correlated with one another.
CORRELATED = ("age", "height", "weight")


@dataclass(frozen=True)
class Distribution:
    """A distribution of one covariate in base units, cut to [low, high].

    ``location`` and ``spread`` are mean and SD, or median and SD on the log scale (log-normal). ``values`` are those of
    discrete shares, ``edges`` their cumulated shares. ``origin`` says where the numbers stand, ``evidence`` how well
    they are supported.
    """

    form: str
    location: float = 0.0
    spread: float = 0.0
    low: float = -math.inf
    high: float = math.inf
    by_sex: tuple[Distribution, Distribution] | None = None  # female, male
    values: tuple[float, ...] = ()
    edges: tuple[float, ...] = ()
    origin: str = ""
    evidence: str = ""

    @property
    def support(self) -> tuple[float, float, tuple[float, ...] | None]:
        """The least and the largest value that anybody can have, and all of them where they are few."""
        if self.by_sex is not None:
            (low, high, some), (least, most, others) = (part.support for part in self.by_sex)
            both = None if some is None or others is None else tuple(dict.fromkeys(some + others))
            return min(low, least), max(high, most), both
        if self.form in ("shares", "fixed"):
            values = tuple(dict.fromkeys(self.values)) or (self.location,)
            return min(values), max(values), values
        ends = (self.location, self.spread) if self.form == "uniform" else (self.low, self.high)
        return (*ends, None)

    @property
    def oldest(self) -> float:
        """The largest value that anybody can have."""
        return self.support[1]


def _distribution_schema(kind: str) -> shapes.Schema:
    """The forms of a distribution; of men and women each one of its own."""
    one = shapes.quantity(units.KINDS[kind][1], plain=kind == "number")
    two = {"type": "array", "items": one, "minItems": 2, "maxItems": 2}
    spread = shapes.quantity('a coefficient of variation such as "22 %"', plain=True)
    forms = {
        "normal": two,
        "truncated_normal": two,
        "uniform": two,
        "fixed": one,
        "lognormal": {
            "type": "object",
            "properties": {"median": one, "cv": spread},
            "required": ["median", "cv"],
            "additionalProperties": False,
        },
        "shares": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"value": one, "share": shapes.quantity('a share such as "58 %"', plain=True)},
                "required": ["value", "share"],
                "additionalProperties": False,
            },
            "minItems": 1,
        },
        "range": two,
        "from": {"type": "string"},
        "evidence": shapes.words(*get_args(fields.Evidence)),
    }
    single = {"type": "object", "properties": forms, "additionalProperties": False}
    by_sex = {
        "type": "object",
        "properties": dict.fromkeys(fields.SEXES, single),
        "required": list(fields.SEXES),
        "additionalProperties": False,
    }
    return {"type": "object", "properties": {**forms, "by_sex": by_sex}, "additionalProperties": False}


def _distribution(covariate: str, kind: str) -> Callable[[object], Distribution]:
    example = {"age": "[45 y, 14 y]", "length": "[161 cm, 7 cm]", "weight": "[74 kg, 15 kg]", "number": "[30, 6]"}[kind]
    if covariate in ("cyp2b6_activity", "hepatic_impairment"):
        example = "[0.8, 0.1]"

    def refuse(found: str, expected: str, path: str = "", close: str = "") -> InputError:
        return InputError(Problem(found=found, expected=expected, path=path, nearest=close))

    def pair(value: object, path: str) -> tuple[float, float]:
        if not isinstance(value, list) or len(value) != 2:
            raise refuse(shown(value), f"two values such as {example}", path)
        return quantity(value[0], f"{path}[0]"), quantity(value[1], f"{path}[1]")

    def quantity(value: object, path: str) -> float:
        try:
            return units.as_kind(value, kind).value
        except InputError as error:
            raise InputError(error.problems[0].at(path=path)) from None

    def discrete(body: object, low: float, high: float) -> Distribution:
        expected = "a list of {value: ..., share: ...}"
        if not isinstance(body, list) or not body:
            raise refuse(shown(body), expected, "shares")
        values, edges = [], [0.0]
        for index, item in enumerate(body):
            path = f"shares[{index}]"
            if not isinstance(item, dict) or set(item) != {"value", "share"}:
                raise refuse(shown(item), "{value: ..., share: ...}", path)
            found = quantity(item["value"], f"{path}.value")
            if not low <= found <= high:
                raise refuse(shown(item["value"]), f"a value of {PLAUSIBLE_TEXT[covariate]}", f"{path}.value")
            share = units.as_kind(item["share"], "number").value
            if not 0 <= share <= 1:
                raise refuse(shown(item["share"]), 'a share from 0 to 1, such as "58 %"', f"{path}.share")
            values.append(found)
            edges.append(edges[-1] + share)
        if abs(edges[-1] - 1.0) > 1e-9:
            raise refuse(f"shares that add up to {edges[-1]:g}", "shares that add up to 1", "shares")
        return Distribution("shares", low=low, high=high, values=tuple(values), edges=tuple(edges[1:-1]))

    @shapes.takes(_distribution_schema(kind))
    def read(value: object) -> Distribution:
        found = spread_of(value)
        if not isinstance(value, dict):
            return found
        grade = value.get("evidence", "")
        if grade and grade not in get_args(fields.Evidence):
            known = get_args(fields.Evidence)
            raise refuse(shown(grade), one_of(known), "evidence", nearest(str(grade), known))
        return replace(found, origin=str(value.get("from", "")), evidence=grade)

    def spread_of(value: object) -> Distribution:
        if isinstance(value, Distribution):
            return value
        if not isinstance(value, dict):
            raise refuse(shown(value), f"a distribution such as {{normal: {example}}}")
        extra = [key for key in value if key not in (*FORMS, "range", "from", "evidence")]
        if extra:
            raise refuse(
                f"the key {shown(extra[0])}", one_of([*FORMS, "range"]), close=nearest(extra[0], [*FORMS, "range"])
            )
        forms = [key for key in FORMS if key in value]
        if len(forms) != 1:
            raise refuse(" and ".join(forms) or "none of them", "exactly one of " + ", ".join(FORMS))
        form, body = forms[0], value[forms[0]]
        low, high = PLAUSIBLE[covariate]
        if "range" in value:
            low, high = pair(value["range"], "range")
            if low >= high:
                raise refuse(shown(value["range"]), "a lower bound below the upper one", "range")
            if low < PLAUSIBLE[covariate][0] or high > PLAUSIBLE[covariate][1]:
                raise refuse(shown(value["range"]), f"a range within {PLAUSIBLE_TEXT[covariate]}", "range")
        if form == "by_sex":
            if not isinstance(body, dict) or set(body) != set(fields.SEXES):
                raise refuse(shown(body), "a distribution for female and one for male", "by_sex")
            parts = []
            for sex in fields.SEXES:
                try:
                    if not isinstance(body[sex], dict):
                        raise refuse(shown(body[sex]), f"a distribution such as {{normal: {example}}}")
                    parts.append(read({**({"range": value["range"]} if "range" in value else {}), **body[sex]}))
                except InputError as error:
                    raise InputError(
                        [problem.at(path=f"by_sex.{sex}.{problem.path}".rstrip(".")) for problem in error.problems]
                    ) from None
            return Distribution("by_sex", by_sex=(parts[0], parts[1]), low=low, high=high)
        if form == "shares":
            return discrete(body, low, high)
        if form == "lognormal":
            if not isinstance(body, dict) or set(body) != {"median", "cv"}:
                raise refuse(shown(body), "{median: ..., cv: ...}", form)
            cv = units.parse(body["cv"], allow_plain=True).value
            if units.parse(body["cv"], allow_plain=True).unit.dimensions or not 0 < cv <= 5:
                raise refuse(shown(body["cv"]), 'a coefficient of variation such as "22 %"', f"{form}.cv")
            location, spread = quantity(body["median"], f"{form}.median"), math.sqrt(math.log1p(cv**2))
        elif form == "fixed":
            location, spread = quantity(body, form), 0.0
        else:
            location, spread = pair(body, form)
        if form == "uniform":
            if location >= spread:
                raise refuse(shown(body), "a lower value below the upper one", form)
        elif spread < 0 or (form != "fixed" and spread == 0) or (form == "lognormal" and location <= 0):
            raise refuse(shown(body), "a positive spread", form)
        inside = low <= location <= high and (form != "uniform" or spread <= high)
        if not inside:
            raise refuse(shown(body), f"a centre within the range ({PLAUSIBLE_TEXT[covariate]} unless stated)", form)
        return Distribution(form, location, spread, low, high)

    return read


ShareOf = Annotated[float, Field(ge=0, le=1), shapes.Also(shapes.quantity('a share such as "58 %"', plain=True))]
AgeDistribution = Annotated[Distribution, PlainValidator(_distribution("age", "age"))]
HeightDistribution = Annotated[Distribution, PlainValidator(_distribution("height", "length"))]
WeightDistribution = Annotated[Distribution, PlainValidator(_distribution("weight", "weight"))]
SeverityDistribution = Annotated[Distribution, PlainValidator(_distribution("severity", "number"))]


ActivityDistribution = Annotated[Distribution, PlainValidator(_distribution("cyp2b6_activity", "number"))]
ImpairmentDistribution = Annotated[Distribution, PlainValidator(_distribution("hepatic_impairment", "number"))]


class Component(Spec):
    """A part of a mixture: its weight (its share of the patients) and the population that it is drawn from."""

    weight: fields.Share
    population: fields.NameOrMapping


class PopulationSpec(Spec):
    """Covariate distributions, or a mixture of populations, or a table of people.

    Correlations are of a Gaussian copula, so every marginal stays as stated. ``severity`` is a score (MADRS, say) that
    bands of a protocol may ask for; nobody has one where it is not given. Without ``cyp2b6_activity`` and
    ``hepatic_impairment`` everybody has the activity 1 and no impairment. ``parts`` (the populations of a mixture) and
    ``table`` (the rows of a file) are filled in by :mod:`pkmodel.specs.people`.
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
        if problems:
            raise InputError(problems)
        self.copula_factor()
        return self

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
        for name in (*NEEDED[1:], "cyp2b6_activity", "hepatic_impairment", "severity"):
            item = getattr(self, name)
            if item is not None and item.evidence in UNPUBLISHED:
                found.append(f"{name} of patients: {item.evidence}" + (f" ({item.origin})" if item.origin else ""))
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
