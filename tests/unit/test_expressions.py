"""Formulas of model files: a whitelist, arithmetic per patient, and dimensions."""

from __future__ import annotations

import time

import numpy as np
import pytest

from pkmodel.errors import InputError
from pkmodel.specs.expressions import parse_expression


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('x')", "V1.real", "().__class__", "V1[0]", "V1[:]", "lambda: 1", "(lambda x: x)(1)",
        "[x for x in (1, 2)]", "{x: 1 for x in (1, 2)}", "sum(x for x in y)", "'text'", 'f"{V1}"', "b'x'", "(x := 3)",
        "1 if V1 else 2", "V1, V2", "[1, 2]", "{1: 2}", "{1}", "*V1", "await V1", "yield V1", "print(1)", "eval(V1)",
        "open(V1)", "exp(*V1)", "exp(x=1)", "min(1)", "min(1, 2, 3)", "where(1, 2)", "exp()", "V1 // 2", "V1 % 2",
        "V1 @ V2", "V1 << 2", "V1 & V2", "~V1", "1 < V1 < 2", "V1 is V2", "V1 in V2", "True", "None", "1j", "...",
        "V1; V2", "V1 = 3", "import os", "", "   ", "V1 +", "(V1", "exp.real(1)", "exp(1)(2)", "min(1, 2).real",
        "\0", "V1 # c\n+ __import__",
    ],
)  # fmt: skip
def test_refused(text: str) -> None:
    """Everything outside of the whitelist is one problem that says what is allowed."""
    with pytest.raises(InputError) as refused:
        parse_expression(text)
    (problem,) = refused.value.problems
    assert "arithmetic on names" in problem.expected


@pytest.mark.parametrize("value", [None, True, [], {}, b"1"])
def test_refused_types(value: object) -> None:
    """What is neither text nor a number is refused."""
    with pytest.raises(InputError):
        parse_expression(value)


@pytest.mark.parametrize("text", ["+".join(["V1"] * 300), "(" * 300 + "V1" + ")" * 300, "-" * 399 + "V1"])
def test_long_or_deep_is_refused(text: str) -> None:
    """Neither a long formula nor a deep one reaches the parser's limits."""
    with pytest.raises(InputError, match="a shorter formula"):
        parse_expression(text)


def test_tower_of_powers_does_not_hang() -> None:
    """9**9**9 has 369 million digits as an integer; as a float it is infinite at once."""
    begin = time.perf_counter()
    assert np.isinf(parse_expression("9**9**9").evaluate({}))
    assert time.perf_counter() - begin < 1.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3.75 * w**0.75", 3.75 * 16.0**0.75),
        ("min(1, f * where(j, 1.34, 1))", 0.5 * 1.34),
        ("where(d > 1, 0.62, 1)", 0.62),
        ("where(not j, 2, 3)", 3.0),
        ("where(d >= 2 and j, 2, 3)", 2.0),
        ("where(d < 2 or w != 16, 2, 3)", 3.0),
        ("-2**2", -4.0),
        ("2**3**2", 512.0),
        ("exp(log(7)) + sqrt(49) - max(1, 7)", 7.0),
        ("1e3", 1000.0),
        ("7 / 2", 3.5),
        ("1 / 0", np.inf),
    ],
)
def test_value(text: str, expected: float) -> None:
    """Arithmetic as Python's, in floats; a division by zero is infinite and not an exception."""
    values = {name: np.array([value]) for name, value in {"w": 16.0, "f": 0.5, "j": 1.0, "d": 2.0}.items()}
    assert parse_expression(text).evaluate(values) == pytest.approx(expected, rel=4e-16)


def test_names_and_arrays() -> None:
    """The names are those that are used, and every patient gets a value of his own."""
    expression = parse_expression("min(CL, 2) / V1 + exp(0)")
    assert expression.names == {"CL", "V1"}
    assert expression.evaluate({"CL": np.array([1.0, 4.0]), "V1": np.array([2.0, 4.0])}).tolist() == [1.5, 1.5]


KNOWN = {
    "V": {"volume": 1.0},
    "Q": {"volume": 1.0, "time": -1.0},
    "age": {"age": 1.0},
    "f": {},
    "anything": None,
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Q / V", {"time": -1.0}),
        ("Q / V * V", {"volume": 1.0, "time": -1.0}),
        ("V / V", {}),
        ("V**2", {"volume": 2.0}),
        ("V**0.75", None),
        ("f**0.75", {}),
        ("f * Q", {"volume": 1.0, "time": -1.0}),
        ("-V", {"volume": 1.0}),
        ("min(V, 2 * V)", {"volume": 1.0}),
        ("where(age > age, Q, Q)", {"volume": 1.0, "time": -1.0}),
        ("anything * V", None),
        ("V + anything", None),
    ],
)
def test_dimensions(text: str, expected: dict[str, float] | None) -> None:
    """Dimensions follow the arithmetic; None is for what cannot be known."""
    assert parse_expression(text).dimensions(KNOWN) == expected


@pytest.mark.parametrize("text", ["V + Q", "V - 1", "min(V, Q)", "where(f > 1, V, Q)", "V + V / V"])
def test_dimensions_disagree(text: str) -> None:
    """Terms of two dimensions are refused."""
    with pytest.raises(InputError, match="terms of one dimension"):
        parse_expression(text).dimensions(KNOWN)


@pytest.mark.parametrize("text", ["where(V > Q, f, f)", "sqrt(V + Q)", "where(V + Q > 1, f, f)", "exp(V - Q)"])
def test_dimensions_inside_functions_are_checked(text: str) -> None:
    """A volume cannot be compared with a flow nor added to one, wherever in a formula that is written."""
    with pytest.raises(InputError):
        parse_expression(text).dimensions(KNOWN)


@pytest.mark.parametrize("text", ["exp(V)", "log(Q)", "sqrt(V)", "f**V"])
def test_function_of_a_dimension_is_no_plain_number(text: str) -> None:
    """The exponential of litres is refused or unknown, but never a plain number that could pass for a fraction."""
    try:
        found = parse_expression(text).dimensions(KNOWN)
    except InputError:
        return
    assert found != {}
