"""A population file: who is treated (DESIGN section 3)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, get_args

from pydantic import BeforeValidator, Field, PlainValidator, model_validator

from pkmodel import units
from pkmodel.errors import InputError, Problem, nearest, one_of, shown
from pkmodel.specs import fields, shapes
from pkmodel.specs.loading import Spec

FORMS = ("normal", "truncated_normal", "lognormal", "uniform", "fixed", "by_sex")
#: Covariates that may be correlated with one another.
CORRELATED = ("age", "height", "weight")
#: What a body can be; anything outside is taken for a mistake and refused.
PLAUSIBLE = {"age": (0.0, 120.0), "height": (30.0, 260.0), "weight": (0.4, 400.0), "severity": (0.0, 1000.0)}
PLAUSIBLE_TEXT = {
    "age": "0 to 120 y",
    "height": "30 to 260 cm",
    "weight": "0.4 to 400 kg",
    "severity": "0 to 1000",
}


@dataclass(frozen=True)
class Distribution:
    """A distribution of one covariate in base units, cut to [low, high].

    ``location`` and ``spread`` are mean and SD, or median and SD on the log scale (log-normal).
    """

    form: str
    location: float = 0.0
    spread: float = 0.0
    low: float = -math.inf
    high: float = math.inf
    by_sex: tuple[Distribution, Distribution] | None = None  # female, male


def _distribution_schema(kind: str) -> shapes.Schema:
    """The forms of a distribution; of men and women each one of its own."""
    one = shapes.quantity(units.KINDS[kind][1])
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

    @shapes.takes(_distribution_schema(kind))
    def read(value: object) -> Distribution:
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


class PopulationSpec(Spec):
    """Covariate distributions. Correlations are of a Gaussian copula, so every marginal stays as stated.

    ``severity`` is a score (MADRS, say) that bands of a protocol may ask for; nobody has one where it is not given.
    """

    title: str = ""
    sex: dict[fields.Sex, ShareOf]
    age: AgeDistribution
    height: HeightDistribution
    weight: WeightDistribution
    severity: SeverityDistribution | None = None
    correlation: dict[str, Annotated[float, Field(gt=-1, lt=1)]] = {}
    ancestry: dict[fields.Ancestry, ShareOf] = {"other": 1.0}
    source: Annotated[fields.Citation | None, BeforeValidator(fields.text_as_citation)] = None
    notes: list[str] = []

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
        problems = []
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

    @property
    def female_share(self) -> float:
        """The share of women."""
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
                Problem("correlations that contradict one another", "correlations of one distribution", "correlation")
            ) from None


def _share(value: Any) -> Any:
    try:
        return units.as_kind(value, "number").value
    except InputError:
        return value
