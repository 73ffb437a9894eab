"""Effects: what levels do, by a delay, a link and a turnover (DESIGN section 2).

    dissociation:   {on: esketamine, effect_site: {half_life: 8.3 min}, sigmoid: {e0: 0, emax: 1, c50: 121 ng/mL, hill: 5.33}}
    blood_pressure: {on: esketamine, turnover: {baseline: BP0, kout: KOUT, production: {stimulate: {emax: 0.3, c50: C50}}}, unit: mmHg}
    cardiac_output:
      on: {s: esketamine, n: noresketamine}
      effect_site: {s: {half_life: 2.28 min}, n: {half_life: 29.3 min}}
      effect: CO0 * (1 + 0.25 * s / C25S - 0.25 * n / C25N)
      unit: L/min

Wherever a number stands there may be a quantity with its unit or a formula of parameters.
"""  # noqa: E501

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import BeforeValidator, Field, PlainValidator, model_validator

from pkmodel import units
from pkmodel.errors import InputError, Problem, one_of, shown, unknown_name
from pkmodel.specs import fields
from pkmodel.specs.expressions import Dimensions, ExpressionField, QuantityField
from pkmodel.specs.loading import Spec
from pkmodel.specs.shapes import short_form, takes, words

#: The driver of an effect that is on one output.
ONLY = ""
#: Where a site stands that was written without the name of a driver.
_SITE = "site"
#: What an effect may be counted in beside the units of :mod:`pkmodel.units`: a rating scale.
POINTS = "points"


class EffectSite(Spec):
    """A delay: dCe/dt = ke0 (C - Ce), which takes nothing out of the compartment; ke0 = ln 2 / half-life."""

    half_life: QuantityField | None = None
    ke0: QuantityField | None = None

    @model_validator(mode="after")
    def _one_form(self) -> EffectSite:
        fields.exactly_one(self, "half_life", "ke0")
        return self


class Emax(Spec):
    """e0 + emax C / (c50 + C)."""

    e0: QuantityField
    emax: QuantityField
    c50: QuantityField


class Sigmoid(Emax):
    """e0 + emax C^hill / (c50^hill + C^hill)."""

    hill: QuantityField


class Influence(Spec):
    """E = emax C^hill / (c50^hill + C^hill), a plain number."""

    emax: QuantityField
    c50: QuantityField
    hill: QuantityField | None = None


class Change(Spec):
    """Times 1 + E (``stimulate``) or 1 - E (``inhibit``)."""

    stimulate: Influence | None = None
    inhibit: Influence | None = None

    @model_validator(mode="after")
    def _one_sign(self) -> Change:
        fields.exactly_one(self, "stimulate", "inhibit")
        return self

    @property
    def influence(self) -> Influence:
        """The one that was given."""
        influence = self.stimulate or self.inhibit
        assert influence is not None
        return influence

    @property
    def sign(self) -> float:
        """1 to stimulate, -1 to inhibit."""
        return 1.0 if self.stimulate is not None else -1.0

    @property
    def word(self) -> Literal["stimulate", "inhibit"]:
        """The word of the file."""
        return "stimulate" if self.stimulate is not None else "inhibit"


class Turnover(Spec):
    """Indirect response: dR/dt = kout baseline - kout R, with one of the two terms changed; R starts at its baseline.

    Dayneka NL, Garg V, Jusko WJ. J Pharmacokinet Biopharm 1993;21:457-478, models I to IV.
    """

    baseline: QuantityField
    kout: QuantityField
    production: Change | None = None
    loss: Change | None = None

    @model_validator(mode="after")
    def _one_term(self) -> Turnover:
        fields.exactly_one(self, "production", "loss")
        return self

    @property
    def change(self) -> Change:
        """What the drug does."""
        change = self.production or self.loss
        assert change is not None
        return change


@takes(
    {
        "anyOf": [
            {"type": "string"},
            {"type": "object", "additionalProperties": {"type": "string"}, "minProperties": 1},
        ],
        "description": "the name of an output, or {s: an output, n: another}",
    }
)
def _drivers(value: Any) -> dict[str, str]:
    """``on: esketamine`` or ``on: {s: esketamine, n: noresketamine}``."""
    if isinstance(value, str):
        return {ONLY: value}
    if isinstance(value, dict) and value and all(isinstance(output, str) for output in value.values()):
        return dict(value)
    raise InputError(Problem(shown(value), "the name of an output, or {s: an output, n: another}"))


@short_form(lambda full: dict(full["additionalProperties"]))
def _sites(value: Any) -> Any:
    """``effect_site: {half_life: 8.3 min}`` is that of the only driver."""
    if isinstance(value, dict) and not (value and all(isinstance(part, dict) for part in value.values())):
        return {_SITE: value}
    return value


@takes(
    {
        "anyOf": [
            words(*get_args(fields.Evidence)),
            {"type": "object", "additionalProperties": words(*get_args(fields.Evidence))},
        ],
        "description": "how well a number is supported, or {name of a number: its grade}",
    }
)
def _grades(value: Any) -> dict[str, Any]:
    """``evidence: primary`` or ``evidence: {c50: primary, hill: secondary}``."""
    grades = value if isinstance(value, dict) else {ONLY: value}
    legal = get_args(fields.Evidence)
    for name, grade in grades.items():
        if grade not in legal:
            raise InputError(Problem(shown(grade), one_of(legal), path=name))
    return dict(grades)


@short_form({"type": "string"})
def _origins(value: Any) -> Any:
    """``from: Table 3`` or ``from: {c50: Table 3, hill: a figure}``."""
    return {ONLY: value} if isinstance(value, str) else value


#: Grades of which a reader must be told.
TOLD = ("assumed", "borrowed", "derived", "unsourced")


class Band(Spec):
    """A range of levels of one output to mark in pictures, mg/L: a report of what happens there, not a curve."""

    on: str
    band: fields.ConcentrationRange
    title: str = ""
    illustrative: bool = False
    evidence: fields.Evidence | None = None
    origin: str | None = Field(default=None, alias="from")
    notes: list[str] = []

    def assumptions(self, name: str) -> list[str]:
        """What a reader must know."""
        said = [f"the band {name} is illustrative"] if self.illustrative else []
        if self.evidence in TOLD:
            said.append(f"the band {name} is {self.evidence}" + (f" ({self.origin})" if self.origin else ""))
        return [*said, *self.notes]


class EffectSpec(Spec):
    """An effect on one output, or of several: a delay, then at most one link (none: the level at the site itself)."""

    LINKS: ClassVar[tuple[str, ...]] = ("sigmoid", "emax", "turnover", "effect")

    on: Annotated[dict[str, str], PlainValidator(_drivers)]
    effect_site: Annotated[dict[str, EffectSite], BeforeValidator(_sites)] = {}
    sigmoid: Sigmoid | None = None
    emax: Emax | None = None
    turnover: Turnover | None = None
    effect: ExpressionField | None = None
    unit: str | None = None
    illustrative: bool = False
    evidence: Annotated[dict[str, fields.Evidence], PlainValidator(_grades)] = {}
    origin: Annotated[dict[str, str], BeforeValidator(_origins)] = Field(default={}, alias="from")

    @model_validator(mode="after")
    def _one_link(self) -> EffectSpec:
        given = [name for name in self.LINKS if getattr(self, name) is not None]
        if len(given) > 1:
            raise InputError(Problem(" and ".join(given), "one of " + ", ".join(self.LINKS)))
        if not given and not self.effect_site:
            *others, last = self.LINKS
            expected = f"an effect_site, {', '.join(others)} or {last}"
            raise InputError(Problem("no effect_site and no link", expected))
        if ONLY not in self.on and given != ["effect"]:
            expected = f"`effect:`, a formula of {' and '.join(self.on)}"
            raise InputError(Problem("on several names " + shown(self.on), expected))
        if ONLY in self.on and self.effect is not None:
            expected = "`on: {c: the name of an output}`, whose names the formula uses"
            raise InputError(Problem(f"`effect:` with `on: {self.on[ONLY]}`", expected, path="on"))
        for name in self.sites:
            if name == _SITE and name not in self.on:
                expected = f"an effect site for each: {{{', '.join(f'{driver}: ...' for driver in self.on)}}}"
                raise InputError(Problem(f"one effect site for {' and '.join(self.on)}", expected, path="effect_site"))
            if name not in self.on:
                raise InputError(unknown_name("a name of `on`", name, self.on, path=f"effect_site.{name}"))
        if self.unit is not None and self.unit != POINTS:
            try:
                units.parse_unit(self.unit)
            except InputError as error:
                raise InputError([problem.at(path="unit") for problem in error.problems]) from None
        return self

    @property
    def sites(self) -> dict[str, EffectSite]:
        """The effect sites by the name of their driver (``ONLY`` where there is but one)."""
        single = ONLY in self.on
        return {ONLY if single and name == _SITE else name: site for name, site in self.effect_site.items()}

    def site_state(self, name: str, driver: str) -> str:
        """What the state of an effect site is called, where this effect is called ``name``."""
        return f"{name}.site" if driver == ONLY else f"{name}.site.{driver}"

    def site_path(self, driver: str) -> str:
        """Where the site of a driver stands in the file."""
        return "effect_site" if driver == ONLY else f"effect_site.{driver}"

    @property
    def counted_in(self) -> units.Unit:
        """The unit of the effect; a plain number where none is given, or points on a scale."""
        return units.parse_unit("" if self.unit in (None, POINTS) else str(self.unit))

    @property
    def dimensions(self) -> Dimensions:
        """The dimensions of the effect; an effect site that is read as it is is a concentration."""
        return {"mass": 1.0, "volume": -1.0} if self.level_of is not None else dict(self.counted_in.dimensions)

    @property
    def level_of(self) -> str | None:
        """The output whose level at the site this is, where there is no link."""
        linked = any(getattr(self, name) is not None for name in self.LINKS)
        return None if linked else self.on[ONLY]

    @property
    def link(self) -> Emax | None:
        """The curve that the effect is read off by, where there is one."""
        return self.sigmoid or self.emax

    @property
    def brings(self) -> tuple[str, ...]:
        """The parameters of the model that belong to this effect; none, in an effect of the model's own file."""
        return ()

    def sources(self, driver: str) -> Mapping[str, float]:
        """The outputs whose levels make up a driver, and how much of each counts: all of one, in a model's own file."""
        return {self.on[driver]: 1.0}

    @property
    def summed(self) -> list[str]:
        """The outputs whose sum the effect follows without a state of its own that does; none, for most effects."""
        if self.turnover is not None:
            return []
        bare = [list(self.sources(driver)) for driver in self.on if driver not in self.sites]
        return [name for names in bare if len(names) > 1 for name in names]

    def assumptions(self, name: str) -> list[str]:
        """What a reader must know: illustrative effects, and numbers that are not from the source."""
        said = [f"the effect {name} is illustrative"] if self.illustrative else []
        for part, grade in self.evidence.items():
            if grade in TOLD:
                what = f"{part} of the effect {name}" if part else f"the effect {name}"
                origin = self.origin.get(part) or self.origin.get(ONLY)
                said.append(f"{what} is {grade}" + (f" ({origin})" if origin else ""))
        return said
