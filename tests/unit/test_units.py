"""Quantities: exact where a decimal is exact, and refused where the dimension is another one."""

from __future__ import annotations

from fractions import Fraction

import pytest

from pkmodel import units
from pkmodel.errors import InputError


@pytest.mark.parametrize(
    ("text", "exact"),
    [
        ("95 %", Fraction(95, 100)),
        ("40 min", Fraction(2, 3)),
        ("0.1 mL", Fraction(1, 10_000)),
        ("215 ng/mL", Fraction(215, 1000)),
        ("0.5 mg/kg", Fraction(1, 2)),
        ("500 ug/kg", Fraction(1, 2)),
        ("15 µg/kg", Fraction(15, 1000)),
        ("0.0109 1/min", Fraction(109, 10_000) * 60),
        ("8.3 min", Fraction(83, 600)),
        ("11 s", Fraction(11, 3600)),
        ("4 weeks", Fraction(672)),
        ("1.65 m", Fraction(165)),
        ("150 lb", Fraction(45359237, 100_000_000) * 150),
        ("30 kg/m2", Fraction(30, 10_000)),
        ("-2.19 L/h/y", Fraction(-219, 100)),
        ("6 mo", Fraction(1, 2)),
        ("360 ng*h/mL", Fraction(360, 1000)),
        (".5 mg", Fraction(1, 2)),
        ("1e-3 g", Fraction(1)),
    ],
)
def test_value_is_the_nearest_float(text: str, exact: Fraction) -> None:
    """Not a bit is lost: the value is the float nearest to the exact rational number."""
    assert units.parse(text).value == float(exact)


def test_ninety_five_percent_is_the_float_095() -> None:
    """95 times the float 0.01 would be 0.9500000000000001 in some orders; a required share must be 0.95."""
    assert units.parse("95 %").value == 0.95
    assert units.parse("29 %").value == 0.29


def test_number_and_text_are_as_written() -> None:
    """The number in its own unit comes back, and so does the text."""
    quantity = units.parse(" 40 min ")
    assert quantity.text == "40 min"
    assert quantity.number == pytest.approx(40.0, rel=1e-15)


@pytest.mark.parametrize(
    "text",
    [
        "", "  ", "mg", "0.5", "0,5 mg", "1 2 mg", "--5 mg", "0.5 mgg", "0.5 mg/", "0.5 /kg/", "0.5 mg//kg",
        "0.5 mg/kg/1", "0.5 mg/0", "nan mg", "inf mg", "-inf kg", "1e999 mg", "1e400 kg", "0x10 mg", "1_000 mg",
        "0.5 mg; rm", "0.5 mg**9", "0.5 (mg)", "0.5 mg/kg over 40 min", "5 percentmg", "1 mg" + "/kg" * 60,
        "9" * 90 + " mg", "0.5 __import__", "0.5 mg kg",
    ],
)  # fmt: skip
def test_text_is_refused(text: str) -> None:
    """One problem, quickly, and never anything but InputError."""
    with pytest.raises(InputError) as refused:
        units.parse(text)
    assert len(refused.value.problems) == 1


@pytest.mark.parametrize("value", [None, True, False, [], {}, ["5 mg"], b"5 mg", object(), float("nan"), float("inf")])
def test_other_types_are_refused(value: object) -> None:
    """What YAML may yield in place of text is refused, also where plain numbers are allowed."""
    for allow_plain in (False, True):
        with pytest.raises(InputError):
            units.parse(value, allow_plain=allow_plain)


def test_number_needs_a_unit_unless_allowed() -> None:
    """A bare number passes only where a dimensionless one is wanted."""
    with pytest.raises(InputError, match=r"found 0\.5 without a unit"):
        units.parse(0.5)
    assert units.parse(0.5, allow_plain=True).value == 0.5
    assert units.as_kind("0.62", "number").value == 0.62


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("0.5 mg/kg", "mass"),
        ("0.5 mg", "dose per weight"),
        ("0.5 kg", "mass"),
        ("70 mg", "weight"),
        ("45 h", "age"),
        ("45 y", "time"),
        ("1 mo", "time"),
        ("40 m", "time"),
        ("40 min", "length"),
        ("95.2 L", "flow"),
        ("95.2 L/h", "volume"),
        ("95.2 L/h/kg", "flow"),
        ("215 ng", "concentration"),
        ("215 nmol/L", "concentration"),
        ("360 ng/mL", "exposure"),
        ("2.93 h", "rate"),
        ("30 kg", "body mass index"),
        ("30 kg/m", "body mass index"),
        ("0.5 mg/mg", "weight"),
        ("5 mg", "number"),
    ],
)
def test_kind_refuses_other_dimensions(text: str, kind: str) -> None:
    """The message shows what was found and what was expected, with an example."""
    with pytest.raises(InputError) as refused:
        units.as_kind(text, kind)
    (problem,) = refused.value.problems
    assert text in problem.found
    assert problem.expected == units.KINDS[kind][1]


@pytest.mark.parametrize(("per_weight", "plain"), [("15 ug/kg/h", "15 ug/h"), ("0.5 mg/kg", "0.5 mg")])
def test_per_kilogram_is_a_dimension_of_its_own(per_weight: str, plain: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """15 ug/kg/h never passes where 15 ug/h belongs, nor 0.5 mg/kg where 0.5 mg does; nor the other way round."""
    for wanted, other in ((plain, per_weight), (per_weight, plain)):
        monkeypatch.setitem(units.KINDS, "wanted", (wanted.split()[1], f"such as {wanted}"))
        assert units.as_kind(wanted, "wanted").text == wanted
        with pytest.raises(InputError, match="such as"):
            units.as_kind(other, "wanted")


@pytest.mark.parametrize(
    ("unit", "close"),
    [("mgg", "mg"), ("KG", "kg"), ("mins", "min"), ("hous", "hours"), ("liters", "liter"), ("ML", "mL"), ("wks", "wk")],
)
def test_nearest_unit_is_named(unit: str, close: str) -> None:
    """A slip in a unit names the unit that was meant."""
    with pytest.raises(InputError) as refused:
        units.parse(f"1 {unit}")
    assert refused.value.problems[0].nearest == close


@pytest.mark.parametrize("kind", sorted(units.KINDS))
def test_example_of_each_kind_is_of_that_kind(kind: str) -> None:
    """The example in a message would itself be accepted."""
    description = units.KINDS[kind][1]
    for example in description.split('"')[1::2]:
        assert units.as_kind(example, kind).value > 0


def test_convert_is_the_inverse() -> None:
    """Base units to a unit and back, within the rounding of one multiplication and one division."""
    for unit in ("ng/mL", "min", "%", "lb", "1/min", "ng*h/mL"):
        assert units.convert(units.parse(f"7.3 {unit}").value, unit) == pytest.approx(7.3, rel=4e-16)


def test_times_as_people_read_them() -> None:
    """Minutes, then hours, then days."""
    assert [units.clock(hours) for hours in (2 / 3, 1.5, 2.0, 95.0, 96.0)] == [
        "40 min", "90 min", "2 h", "95 h", "4 d",
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["116 %", "57 %", "0.1 ng/mL", "250 ng/mL", "35 min", "1e-7 mg", "123456789.5 ng/mL"])
def test_the_number_is_the_one_that_was_written(text: str) -> None:
    """Not 115.99999999999999 % of a limit of 116 %."""
    assert units.parse(text).number == float(text.split()[0])
