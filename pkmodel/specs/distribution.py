"""The distribution of one covariate in a population file: a form, or one for each sex or band of age."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, get_args

from pkmodel import units
from pkmodel.errors import InputError, Problem, nearest, one_of, shown
from pkmodel.specs import fields, shapes
from pkmodel.specs.plausible import PLAUSIBLE, PLAUSIBLE_TEXT

FORMS = ("normal", "truncated_normal", "lognormal", "uniform", "fixed", "shares", "by_sex", "by_age")
_ages = fields.range_of("age")


@dataclass(frozen=True)
class Distribution:
    """A distribution of one covariate in base units, cut to [low, high].

    ``location`` and ``spread`` are mean and SD, or median and SD on the log scale (log-normal). ``values`` are those of
    discrete shares, ``edges`` their cumulated shares. ``by_age`` holds a distribution for each of several ages, which
    begin at ``ages`` (y) and go on to the next one's, the last to ``until``. ``origin`` says where the numbers stand,
    ``evidence`` how well they are supported.
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
    by_age: tuple[Distribution, ...] = ()
    ages: tuple[float, ...] = ()
    until: float = math.inf

    @property
    def parts(self) -> tuple[Distribution, ...]:
        """The distributions that it is made of: by sex or by age; none of one that has a form of its own."""
        return self.by_sex or self.by_age

    @property
    def needs(self) -> frozenset[str]:
        """What else of a patient it depends on: ``female``, ``age``."""
        own = {"by_sex": {"female"}, "by_age": {"age"}}.get(self.form, set())
        return frozenset(own).union(*(part.needs for part in self.parts))

    @property
    def graded(self) -> Iterator[tuple[str, str]]:
        """The evidence and the origin of it and of its parts."""
        yield self.evidence, self.origin
        for part in self.parts:
            yield from part.graded

    @property
    def support(self) -> tuple[float, float, tuple[float, ...] | None]:
        """The least and the largest value that anybody can have, and all of them where they are few."""
        if self.parts:
            lows, highs, several = zip(*(part.support for part in self.parts), strict=True)
            known = None if None in several else tuple(dict.fromkeys(value for values in several for value in values))
            return min(lows), max(highs), known
        if self.form in ("shares", "fixed"):
            values = tuple(dict.fromkeys(self.values)) or (self.location,)
            return min(values), max(values), values
        ends = (self.location, self.spread) if self.form == "uniform" else (self.low, self.high)
        return (*ends, None)

    @property
    def oldest(self) -> float:
        """The largest value that anybody can have."""
        return self.support[1]

    def uncovered(self, youngest: float, oldest: float) -> Iterator[tuple[str, str]]:
        """Bands of age that leave out some of the ages from ``youngest`` to ``oldest``: the place, and the bands."""
        if self.by_age and (self.ages[0] > youngest or self.until < oldest):
            ends = [f"from {self.ages[0]:g} y" if math.isfinite(self.ages[0]) else ""]
            ends += [f"to {self.until:g} y" if math.isfinite(self.until) else ""]
            yield "by_age", " ".join(("bands", *filter(None, ends)))
        places = [f"by_sex.{sex}" for sex in fields.SEXES] if self.by_sex else ()
        for place, part in zip(places, self.by_sex or (), strict=True):
            for path, found in part.uncovered(youngest, oldest):
                yield f"{place}.{path}", found


def _schema(covariate: str, kind: str) -> shapes.Schema:
    """The forms of a distribution; of each sex or band of age one of its own."""
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

    def by_sex(inner: shapes.Schema) -> shapes.Schema:
        single = {"type": "object", "properties": inner, "additionalProperties": False}
        return {
            "type": "object",
            "properties": dict.fromkeys(fields.SEXES, single),
            "required": list(fields.SEXES),
            "additionalProperties": False,
        }

    def by_age(inner: shapes.Schema) -> shapes.Schema:
        ages = shapes.pair(shapes.quantity(units.KINDS["age"][1]), "the ages from the lower to below the upper one")
        single = {
            "type": "object",
            "properties": {"age": ages, **inner},
            "required": ["age"],
            "additionalProperties": False,
        }
        return {"type": "array", "items": single, "minItems": 1}

    inner = {**forms, "by_sex": by_sex(forms)}
    both = {**forms, "by_sex": by_sex({**forms, "by_age": by_age(forms)}), "by_age": by_age(inner)}
    return {"type": "object", "properties": inner if covariate == "age" else both, "additionalProperties": False}


def distribution(covariate: str, kind: str) -> Callable[[object], Distribution]:
    """What reads the distribution of a covariate, whose values are quantities of a kind."""
    reader = _Reader(covariate, kind)

    @shapes.takes(_schema(covariate, kind))
    def read(value: object) -> Distribution:
        return reader.read(value, tuple(form for form in FORMS if form != "by_age" or covariate != "age"))

    return read


def _refuse(found: str, expected: str, path: str = "", close: str = "") -> InputError:
    return InputError(Problem(found=found, expected=expected, path=path, nearest=close))


@dataclass(frozen=True)
class _Reader:
    """Reads the distribution of a covariate."""

    covariate: str
    kind: str

    @property
    def example(self) -> str:
        if self.covariate in ("cyp2b6_activity", "hepatic_impairment"):
            return "[0.8, 0.1]"
        examples = {"age": "[45 y, 14 y]", "length": "[161 cm, 7 cm]", "weight": "[74 kg, 15 kg]"}
        return examples.get(self.kind, "[30, 6]")

    def read(self, value: object, known: tuple[str, ...]) -> Distribution:
        """A distribution of one of the ``known`` forms, with where its numbers are from."""
        found = self._spread(value, known)
        if not isinstance(value, dict):
            return found
        grade = value.get("evidence", "")
        if grade and grade not in get_args(fields.Evidence):
            grades = get_args(fields.Evidence)
            raise _refuse(shown(grade), one_of(grades), "evidence", nearest(str(grade), grades))
        return replace(found, origin=str(value.get("from", "")), evidence=grade)

    def _spread(self, value: object, known: tuple[str, ...]) -> Distribution:
        if isinstance(value, Distribution):
            return value
        if not isinstance(value, dict):
            raise _refuse(shown(value), f"a distribution such as {{normal: {self.example}}}")
        extra = [key for key in value if key not in (*known, "range", "from", "evidence")]
        if extra:
            keys = [*known, "range"]
            raise _refuse(f"the key {shown(extra[0])}", one_of(keys), close=nearest(extra[0], keys))
        forms = [key for key in known if key in value]
        if len(forms) != 1:
            raise _refuse(" and ".join(forms) or "none of them", "exactly one of " + ", ".join(known))
        form, body = forms[0], value[forms[0]]
        low, high = self._range(value)
        inner = tuple(name for name in known if name != form)
        passed_on = {"range": value["range"]} if "range" in value else {}
        if form == "by_sex":
            return self._by_sex(body, inner, passed_on)
        if form == "by_age":
            return self._by_age(body, inner, passed_on)
        return self._shares(body, low, high) if form == "shares" else self._plain(form, body, low, high)

    def _range(self, value: dict[str, Any]) -> tuple[float, float]:
        if "range" not in value:
            return PLAUSIBLE[self.covariate]
        low, high = self._pair(value["range"], "range")
        if low >= high:
            raise _refuse(shown(value["range"]), "a lower bound below the upper one", "range")
        if low < PLAUSIBLE[self.covariate][0] or high > PLAUSIBLE[self.covariate][1]:
            raise _refuse(shown(value["range"]), f"a range within {PLAUSIBLE_TEXT[self.covariate]}", "range")
        return low, high

    def _pair(self, value: object, path: str) -> tuple[float, float]:
        if not isinstance(value, list) or len(value) != 2:
            raise _refuse(shown(value), f"two values such as {self.example}", path)
        return self._quantity(value[0], f"{path}[0]"), self._quantity(value[1], f"{path}[1]")

    def _quantity(self, value: object, path: str) -> float:
        try:
            return units.as_kind(value, self.kind).value
        except InputError as error:
            raise InputError(error.problems[0].at(path=path)) from None

    def _inside(self, place: str, body: object, known: tuple[str, ...], passed_on: dict[str, Any]) -> Distribution:
        """A distribution inside this one; ``passed_on`` is what it takes over where it does not say."""
        try:
            if not isinstance(body, dict):
                raise _refuse(shown(body), f"a distribution such as {{normal: {self.example}}}")
            return self.read({**passed_on, **body}, known)
        except InputError as error:
            raise InputError([item.at(path=f"{place}.{item.path}".rstrip(".")) for item in error.problems]) from None

    def _by_sex(self, body: object, known: tuple[str, ...], passed_on: dict[str, Any]) -> Distribution:
        if not isinstance(body, dict) or set(body) != set(fields.SEXES):
            raise _refuse(shown(body), "a distribution for female and one for male", "by_sex")
        women, men = (self._inside(f"by_sex.{sex}", body[sex], known, passed_on) for sex in fields.SEXES)
        return Distribution("by_sex", by_sex=(women, men))

    def _by_age(self, body: object, known: tuple[str, ...], passed_on: dict[str, Any]) -> Distribution:
        if not isinstance(body, list) or not body:
            raise _refuse(shown(body), f"a list of {{age: [2 y, 6 y], normal: {self.example}}}", "by_age")
        parts, ages, until = [], [], -math.inf
        for index, item in enumerate(body):
            place = f"by_age[{index}]"
            if not isinstance(item, dict) or "age" not in item:
                raise _refuse(shown(item), f"a band such as {{age: [2 y, 6 y], normal: {self.example}}}", place)
            try:
                low, high = _ages(item["age"])
            except InputError as error:
                problems = [problem.at(path=f"{place}.age{problem.path}") for problem in error.problems]
                raise InputError(problems) from None
            if index and until == math.inf:
                expected = "the age at which the next band begins"
                raise _refuse("no upper end, with a band after it", expected, f"by_age[{index - 1}].age[1]")
            if index and low != until:
                said = "no lower end" if low == -math.inf else f"a lower end of {low:g} y"
                raise _refuse(said, f"the age at which the band before it ends, {until:g} y", f"{place}.age[0]")
            rest = {key: inner for key, inner in item.items() if key != "age"}
            parts.append(self._inside(place, rest, known, passed_on))
            ages.append(low)
            until = high
        return Distribution("by_age", by_age=tuple(parts), ages=tuple(ages), until=until)

    def _shares(self, body: object, low: float, high: float) -> Distribution:
        if not isinstance(body, list) or not body:
            raise _refuse(shown(body), "a list of {value: ..., share: ...}", "shares")
        values, edges = [], [0.0]
        for index, item in enumerate(body):
            path = f"shares[{index}]"
            if not isinstance(item, dict) or set(item) != {"value", "share"}:
                raise _refuse(shown(item), "{value: ..., share: ...}", path)
            found = self._quantity(item["value"], f"{path}.value")
            if not low <= found <= high:
                raise _refuse(shown(item["value"]), f"a value of {PLAUSIBLE_TEXT[self.covariate]}", f"{path}.value")
            share = units.as_kind(item["share"], "number").value
            if not 0 <= share <= 1:
                raise _refuse(shown(item["share"]), 'a share from 0 to 1, such as "58 %"', f"{path}.share")
            values.append(found)
            edges.append(edges[-1] + share)
        if abs(edges[-1] - 1.0) > 1e-9:
            raise _refuse(f"shares that add up to {edges[-1]:g}", "shares that add up to 1", "shares")
        return Distribution("shares", low=low, high=high, values=tuple(values), edges=tuple(edges[1:-1]))

    def _plain(self, form: str, body: object, low: float, high: float) -> Distribution:
        if form == "lognormal":
            if not isinstance(body, dict) or set(body) != {"median", "cv"}:
                raise _refuse(shown(body), "{median: ..., cv: ...}", form)
            cv = units.parse(body["cv"], allow_plain=True).value
            if units.parse(body["cv"], allow_plain=True).unit.dimensions or not 0 < cv <= 5:
                raise _refuse(shown(body["cv"]), 'a coefficient of variation such as "22 %"', f"{form}.cv")
            location, spread = self._quantity(body["median"], f"{form}.median"), math.sqrt(math.log1p(cv**2))
        elif form == "fixed":
            location, spread = self._quantity(body, form), 0.0
        else:
            location, spread = self._pair(body, form)
        if form == "uniform":
            if location >= spread:
                raise _refuse(shown(body), "a lower value below the upper one", form)
        elif spread < 0 or (form != "fixed" and spread == 0) or (form == "lognormal" and location <= 0):
            raise _refuse(shown(body), "a positive spread", form)
        if not low <= location <= high or (form == "uniform" and spread > high):
            text = f"a centre within the range ({PLAUSIBLE_TEXT[self.covariate]} unless stated)"
            raise _refuse(shown(body), text, form)
        return Distribution(form, location, spread, low, high)
