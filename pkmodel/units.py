"""What "0.5 mg/kg" means: text with a unit, turned once into a plain float.

Inside the package every number is in the base units of this module's registry::

    drug mass mg     time h     volume L     body weight kg     length cm     age y     substance nmol

so a clearance is in L/h, a rate constant in 1/h and a concentration in mg/L.

Two dimensions are deliberately *not* what physics makes of them:

* the **kilogram is body weight**, never drug. So 0.5 mg/kg cannot pass where 0.5 mg belongs (in plain
  SI "mg/kg" is a pure number), nor 15 ug/kg/h where 15 ug/h does;
* the **year is age**, never a duration, so a slope such as -2.19 L/h/y reads as it is printed.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING

from pkmodel.errors import InputError, Problem, nearest, shown

if TYPE_CHECKING:
    import pint

_DEFINITIONS = """
milligram = [mass] = mg
gram = 1000 * milligram = g
microgram = 0.001 * milligram = ug = mcg
nanogram = 0.000001 * milligram = ng
hour = [time] = h = hours = hr
minute = hour / 60 = min = minutes
second = hour / 3600 = s = seconds = sec
day = 24 * hour = d = days
week = 168 * hour = wk = weeks
liter = [volume] = L = l = litre
milliliter = 0.001 * liter = mL = ml
deciliter = 0.1 * liter = dL = dl
microliter = 0.000001 * liter = uL = ul
kilogram = [body_weight] = kg
pound = 0.45359237 * kilogram = lb = lbs
centimeter = [length] = cm
meter = 100 * centimeter = m
foot = 30.48 * centimeter = ft
inch = 2.54 * centimeter
year = [age] = y = years = yr
month = year / 12 = mo = months
nanomole = [substance] = nmol
micromole = 1000 * nanomole = umol
picomole = 0.001 * nanomole = pmol
mole = 1000000000 * nanomole = mol
mmHg = [pressure]
percent = 0.01 = pct
"""

#: What each kind of quantity is called in a message, with an example: kind -> (unit, description).
KINDS: dict[str, tuple[str, str]] = {
    "mass": ("mg", 'a mass of drug such as "56 mg"'),
    "dose per weight": ("mg/kg", 'a dose per kilogram of body weight such as "0.5 mg/kg"'),
    "time": ("h", 'a time such as "40 min"'),
    "weight": ("kg", 'a body weight such as "70 kg"'),
    "length": ("cm", 'a length such as "170 cm"'),
    "age": ("y", 'an age such as "45 y"'),
    "volume": ("L", 'a volume such as "133 L"'),
    "concentration": ("mg/L", 'a concentration such as "215 ng/mL"'),
    "exposure": ("mg*h/L", 'an area under the curve such as "360 ng*h/mL"'),
    "flow": ("L/h", 'a flow such as "95.2 L/h"'),
    "rate": ("1/h", 'a rate constant such as "2.93 1/h"'),
    "number": ("", 'a number such as "0.62", or a share such as "95 %"'),
    "molar mass": ("g/mol", 'a molar mass such as "237.73 g/mol"'),
    "volume flow": ("mL/h", 'a volume per time such as "100 mL/h"'),
    "body mass index": ("kg/m**2", 'a body mass index such as "30 kg/m2"'),
}

# A number that ends there: 0,5 mg and 00:40 are not taken apart into a number and an odd unit.
#: What a quantity may be in base units (mg, L, h, kg, cm, y): nothing in nature is beyond, and products stay numbers.
SMALLEST, LARGEST = 1e-100, 1e100

_NUMBER = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?)(?![\d.,:])\s*(.*)", re.DOTALL)
# Unit words, each to a small whole power, joined by * and /. Anything else never reaches pint.
_WORD = r"[A-Za-z%µμ]+(?:(?:\*\*|\^)?-?[1-3])?"
_UNIT = re.compile(rf"(?:1?\s*/\s*)?{_WORD}(?:\s*[*/·]\s*{_WORD}){{0,4}}")
_POWER = re.compile(r"([A-Za-z])(?:\*\*|\^)?(-?[1-3])")


@dataclass(frozen=True)
class Unit:
    """A unit as the user wrote it: its text, its factor to base units, and its dimensions.

    The factor is exact, so that 95 % is the float nearest to 0.95 and not 95 times the one nearest to 0.01.
    """

    text: str
    factor: Fraction
    dimensions: tuple[tuple[str, float], ...]


@lru_cache(maxsize=1)
def registry() -> pint.UnitRegistry[Fraction]:
    """The registry of this module; built at first use because pint is slow to import."""
    import pint

    ureg: pint.UnitRegistry[Fraction] = pint.UnitRegistry(None, non_int_type=Fraction)
    ureg.load_definitions(_DEFINITIONS.strip().splitlines())
    return ureg


@lru_cache(maxsize=4096)
def parse_unit(text: str) -> Unit:
    """The unit named by ``text``.

    Raises
    ------
    InputError
        where the text is not a unit of this package; the nearest legal unit is named.
    """
    plain = text.strip()
    if not plain:
        return Unit("", Fraction(1), ())
    spelled = plain.replace("%", "percent").replace("µ", "u").replace("μ", "u").replace("·", "*")
    legal = _legal_units()
    unknown = [word for word in re.findall(r"[A-Za-z]+", spelled) if word not in legal]
    if unknown or len(plain) > 40 or not _UNIT.fullmatch(plain):
        close = ""
        if unknown:
            same = [name for name in legal if name.lower() == unknown[0].lower()]
            close = same[0] if same else nearest(unknown[0], legal)
        raise InputError(
            Problem(found=f"unit {shown(text)}", expected="a unit such as mg/kg, L/h or ng/mL", nearest=close)
        )
    ureg = registry()
    inverse = re.match(r"1?\s*/\s*", spelled)
    body = _POWER.sub(r"\1**\2", spelled[inverse.end() :] if inverse else spelled)
    if inverse:
        first, _, rest = body.partition("/")
        body = f"{_inverted(first)}/{rest}" if rest else _inverted(first)
    factor, base = ureg.get_base_units(ureg.parse_units(body))
    dimensions = {str(name).strip("[]"): float(str(power)) for name, power in ureg.get_dimensionality(base).items()}
    return Unit(
        plain, Fraction(str(factor)), tuple(sorted((name, power) for name, power in dimensions.items() if power))
    )


def _inverted(word: str) -> str:
    name, _, power = word.strip().partition("**")
    return f"{name}**{-int(power or 1)}"


@lru_cache(maxsize=1)
def _legal_units() -> tuple[str, ...]:
    names: list[str] = []
    for line in _DEFINITIONS.strip().splitlines():
        left, *rest = (part.strip() for part in line.split("="))
        names += [left, *rest[1:]]
    return tuple(names)


@dataclass(frozen=True)
class Quantity:
    """A number with its unit: ``value`` in base units, ``text`` as it was written."""

    value: float
    unit: Unit
    text: str

    @property
    def number(self) -> float:
        """The number as it was written, in its own unit: the shortest of those that are read as this value."""
        number = self.value / float(self.unit.factor)
        short = f"{number:.12g}"
        same = math.isfinite(number) and float(Fraction(short) * self.unit.factor) == self.value
        return float(short) if same else number


def parse(text: object, *, allow_plain: bool = False) -> Quantity:
    """Read a quantity such as ``"0.5 mg/kg"``.

    ``allow_plain`` lets a number without a unit through, for dimensionless quantities.

    Raises
    ------
    InputError
        where there is no finite number, no unit, or an unknown one.
    """
    if isinstance(text, Quantity):
        return text
    if isinstance(text, bool) or not isinstance(text, (str, int, float)):
        raise InputError(Problem(found=shown(text), expected="a quantity with a unit"))
    if isinstance(text, (int, float)):
        if not math.isfinite(text):
            raise InputError(Problem(found=str(text), expected="a finite number"))
        if not allow_plain:
            raise InputError(Problem(found=f"{text} without a unit", expected="a quantity with a unit"))
        return Quantity(_usable(float(text), str(text)), parse_unit(""), repr(text))
    return _of_text(text, allow_plain)


@lru_cache(maxsize=4096)
def _of_text(text: str, allow_plain: bool) -> Quantity:
    match = _NUMBER.fullmatch(text) if len(text) <= 80 else None
    if match is None:
        raise InputError(Problem(found=shown(text), expected="a number followed by a unit"))
    unit_text = match[2].strip()
    if not unit_text and not allow_plain:
        raise InputError(Problem(found=f"{shown(text)} without a unit", expected="a quantity with a unit"))
    unit = parse_unit(unit_text)
    try:
        value = float(Fraction(match[1]) * unit.factor)
    except OverflowError:
        raise InputError(Problem(found=shown(text), expected="a finite number")) from None
    return Quantity(_usable(value, text), unit, text.strip())


def _usable(value: float, text: str) -> float:
    """The number in base units, where it is one of this world: its square, and what it divides, are numbers too."""
    if value and not SMALLEST <= abs(value) <= LARGEST:
        expected = f"0, or a size from {SMALLEST:g} to {LARGEST:g} (in mg, L, h, kg, cm, y)"
        raise InputError(Problem(found=shown(text), expected=expected))
    return value


def as_kind(text: object, kind: str) -> Quantity:
    """Read a quantity that must be of ``kind`` (a key of :data:`KINDS`).

    Raises
    ------
    InputError
        where the unit is missing or of another dimension; the message says what was expected.
    """
    unit_text, description = KINDS[kind]
    try:
        quantity = parse(text, allow_plain=kind == "number")
    except InputError as error:
        (problem,) = error.problems
        raise InputError(Problem(problem.found, description, nearest=problem.nearest)) from None
    if quantity.unit.dimensions != parse_unit(unit_text).dimensions:
        raise InputError(Problem(found=shown(text), expected=description))
    return quantity


def convert(value: float, unit: str) -> float:
    """A base-unit ``value`` expressed in ``unit``: ``convert(0.177, "ng/mL") == 177``."""
    return value / float(parse_unit(unit).factor)


def ratio(unit: str, other: str) -> float:
    """What a value in ``unit`` is multiplied by to be in ``other``: ``ratio("mg/L", "ng/mL") == 1000``.

    1 exactly where the two are written alike, whatever they are (points of a scale, say).
    """
    return 1.0 if unit == other else convert(1.0, other) / convert(1.0, unit)


def compact(value: float, unit: str, digits: int = 4) -> str:
    """A base-unit value as people read it: ``compact(2/3, "min") == "40 min"``."""
    return f"{convert(value, unit):.{digits}g} {unit}"


def clock(hours: float) -> str:
    """A duration as people read it: minutes below two hours, then hours, then days."""
    unit = "min" if abs(hours) < 2 else "h" if abs(hours) < 96 else "d"
    return compact(hours, unit, digits=3)
