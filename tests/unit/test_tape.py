"""Tapes: what they compute against the formula itself, their derivatives against 40-digit ones, and their economy."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest

from pkmodel.core import ops
from pkmodel.core.ops import OPERANDS, Tape
from pkmodel.graph import NUMPY
from pkmodel.specs.expressions import parse_expression
from pkmodel.tape import NOWHERE, Dynamics, Flow, evaluate, tape_of
from pkmodel.terms import Terms

#: Three patients: two parameters, two states (mg) and the time since the first dose (h).
FIXED = {"a": np.array([0.7, 1.3, 2.9]), "b": np.array([0.2, 3.1, 1.7])}
STATES = np.array([[0.05, 1.4, 7.3], [2.3, 0.6, 0.011]])
TIME = np.array([0.4, 11.0, 170.0])


def _tape(*formulas: str) -> Dynamics:
    """The tape of formulas of the parameters a and b, the states x and y and the time t, three patients."""
    terms = Terms(3)
    names = {name: terms.value(name, array) for name, array in FIXED.items()}
    names |= {"x": terms.state(0), "y": terms.state(1), "t": terms.time()}
    flows = [Flow(terms.formula(parse_expression(text).node, names), 0, NOWHERE) for text in formulas]
    return _sound(tape_of(terms, flows, 2))


def _sound(dynamics: Dynamics) -> Dynamics:
    """A tape reads nothing before it is written, does nothing twice or in vain, and has nothing static to do."""
    tape = dynamics.tape
    first = tape.n_parameters + tape.n_states + 1
    assert dynamics.parameters.shape[0] == tape.n_parameters
    assert all(field.dtype == np.int64 for field in tape if isinstance(field, np.ndarray))
    seen, read = set(), set()
    for row in range(tape.op.size):
        operands = [int(each) for each in (tape.a, tape.b, tape.c)[: OPERANDS[tape.op[row]]] for each in [each[row]]]
        assert tape.dst[row] == first + row
        assert all(register < first + row for register in operands)
        assert any(register >= tape.n_parameters for register in operands), "only parameters: should be hoisted"
        if row < tape.n_value:
            assert all(register < first + tape.n_value for register in operands)
        seen.add((int(tape.op[row]), *operands))
        read.update(operands)
    assert len(seen) == tape.op.size
    assert all(register < first + tape.n_value for register in tape.flow_register)
    results = {int(each) for each in (*tape.flow_register, *tape.partial_register, *tape.time_register)}
    assert set(range(tape.n_registers)) - read - results <= set(range(tape.n_parameters, first)), "dead registers"
    return dynamics


def _run(dynamics: Dynamics, states: np.ndarray = STATES, time: Any = TIME) -> tuple[np.ndarray, np.ndarray]:
    """Values (f, n) and the full Jacobian (f, 3, n) by x, y and t."""
    tape = dynamics.tape
    values, by_state, by_time = evaluate(tape, dynamics.parameters, states, time)
    jacobian = np.zeros((tape.flow_register.size, 3, states.shape[1]))
    jacobian[tape.partial_flow, tape.partial_state] = by_state
    jacobian[tape.time_flow, 2] = by_time
    return values, jacobian


def _counts(dynamics: Dynamics, *codes: int) -> int:
    return int(np.isin(dynamics.tape.op, codes).sum())


# The formula itself, in 40 digits

_MP: dict[type, Callable[..., Any]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
    ast.Pow: lambda a, b: a**b,
    ast.Gt: lambda a, b: a > b,
    ast.LtE: lambda a, b: a <= b,
}
_MP_NAMED: dict[str, Callable[..., Any]] = {
    "min": min,
    "max": max,
    "exp": mpmath.exp,
    "log": mpmath.log,
    "sqrt": mpmath.sqrt,
    "where": lambda condition, a, b: a if condition else b,
}


def _exact(node: ast.expr, values: dict[str, Any]) -> Any:
    """A formula with mpmath numbers."""
    match node:
        case ast.Constant(value=value):
            return mpmath.mpf(value)
        case ast.Name(id=name):
            return values[name]
        case ast.UnaryOp(operand=operand):
            return -_exact(operand, values)
        case ast.BinOp(left=left, op=op, right=right) | ast.Compare(left=left, ops=[op], comparators=[right]):
            return _MP[type(op)](_exact(left, values), _exact(right, values))
        case ast.Call(func=ast.Name(id=name), args=args):
            return _MP_NAMED[name](*(_exact(arg, values) for arg in args))
    raise AssertionError(ast.dump(node))


def _check_exactly(text: str, tolerance: float = 1e-12) -> None:
    """Values and derivatives of every patient agree with 40-digit ones, relative to the size of the terms."""
    node = parse_expression(text).node
    values, jacobian = _run(_tape(text))
    with mpmath.workdps(40):
        for patient in range(3):
            at = {name: mpmath.mpf(array[patient]) for name, array in FIXED.items()}
            at |= {"x": mpmath.mpf(STATES[0, patient]), "y": mpmath.mpf(STATES[1, patient])}
            at["t"] = mpmath.mpf(TIME[patient])
            exact = _exact(node, at)
            assert float(values[0, patient]) == pytest.approx(float(exact), rel=tolerance, abs=tolerance), text
            for column, name in enumerate("xyt"):

                def along(moved: Any, name: str = name, at: dict[str, Any] = at) -> Any:
                    return _exact(node, {**at, name: moved})

                slope = float(mpmath.diff(along, at[name], h=mpmath.mpf(10) ** -15))
                scale = max(1.0, abs(float(exact)) / max(1e-3, float(at[name])))
                assert jacobian[0, column, patient] == pytest.approx(slope, rel=1e-9, abs=1e-9 * scale), (text, name)


@pytest.mark.parametrize(
    "text",
    [
        "a * x / (b + x)",
        "a / (1 + x / b) * x",
        "a * (1 + b * t) * x",
        "x * exp(-b * t / 100) + (1 - a) * x",
        "a * x ** 2 / (b ** 2 + x ** 2)",
        "x ** 1.7 + y ** b + 2 ** (-t / 50)",
        "(x + y) ** 3 * (a * x) ** -2",
        "sqrt(x * y + a) - log(y + b)",
        "min(x, a) * max(y, b) + min(x * y, a * t)",
        "where(t > 12, 2 * a, a) * x",
        "where(x > y, x * x, y / a) + where(x <= b, x, b)",
        "where(a > 1, b * x, y)",
        "-(x - y) * -(y - a) - -x",
        "x ** 0.5 + x ** 0 + x ** 1 + x ** 13",
        "(a - x) / (x - a * y)",
        "exp(x) ** a / exp(a * x) + y",
    ],
)
def test_values_and_derivatives(text: str) -> None:
    """Formulas as modellers write them."""
    _check_exactly(text)


def _random_formula(rng: np.random.Generator, depth: int) -> str:
    if depth == 0 or rng.random() < 0.1:
        return str(rng.choice(["x", "y", "t", "a", "b", "a", "b", "x", "0", "1", "2", "0.37"]))
    one, two = _random_formula(rng, depth - 1), _random_formula(rng, depth - 1)
    forms = [f"({one} + {two})", f"({one} - {two})", f"({one} * {two})", f"({one} / (1.5 + ({two}) ** 2))"]
    forms += [f"({one} * {two})", f"({one}) ** 2", f"exp(-(({one}) ** 2) / 50)", f"sqrt(1.1 + ({one}) ** 2)"]
    forms += [f"min({one}, {two})", f"where({one} > {two}, {two}, {one})", f"-({one})", f"(1 + ({one}) ** 2) ** 0.75"]
    return str(rng.choice(forms))


def test_random_formulas() -> None:
    """150 formulas that nobody wrote, with equal parts, zeros and ones in them: the same numbers, and sound tapes."""
    rng = np.random.default_rng(20260711)
    tried = 0
    while tried < 150:
        text = _random_formula(rng, 4)
        size = np.abs(parse_expression(text).evaluate({**FIXED, "x": STATES[0], "y": STATES[1], "t": TIME}))
        if len(text) <= 400 and size.max() < 1e5:
            _check_exactly(text, 1e-11)
            tried += 1


# Economy


def test_a_saturable_flow_split_in_two_shares_everything() -> None:
    """vmax A / (km V + A) to a metabolite and outside: one addition, one reciprocal, one quotient; 8 operations."""
    terms = Terms(3)
    names = {name: terms.value(name, array) for name, array in FIXED.items()}

    def part(text: str) -> int:
        return terms.formula(parse_expression(text).node, names)

    def flow(share: str) -> Flow:
        quotient = terms.saturation(terms.state(0), terms.mul(part("a"), part("b")))
        return Flow(terms.mul(part(share), quotient), 0, NOWHERE)

    dynamics = _sound(tape_of(terms, [flow("0.7 * a"), flow("(1 - 0.7) * a")], 2))
    assert dynamics.tape.n_value == 5
    assert dynamics.tape.op.size == 8
    assert _counts(dynamics, ops.ADD) == _counts(dynamics, ops.RECIPROCAL) == 1
    assert _counts(dynamics, ops.MUL) == 6
    values, jacobian = _run(dynamics)
    km = FIXED["a"] * FIXED["b"]
    for index, share in enumerate((0.7, 1 - 0.7)):
        vmax = share * FIXED["a"]
        np.testing.assert_allclose(values[index], vmax * STATES[0] / (km + STATES[0]), rtol=1e-15)
        np.testing.assert_allclose(jacobian[index, 0], vmax * km / (km + STATES[0]) ** 2, rtol=2e-15)


@pytest.mark.parametrize(
    ("text", "operations"),
    [
        ("a * b * x", 1),  # one parameter
        ("a * x * b", 1),
        ("x * a / b", 1),
        ("a * (b * x)", 1),
        ("a + x + b", 1),
        ("(x - a) - b", 1),
        ("0 * x + y", 0),
        ("x - x", 0),
        ("1 * x + 0", 0),
        ("x ** 1", 0),
        ("x ** 0", 0),
        ("a ** b + log(a)", 0),
        ("where(a > 0, x, x)", 0),
        ("where(1 > 0, x, y)", 0),
        ("-(-x)", 0),
        ("a * x + a * x", 3),  # a x, doubled; and the slope 2 a is a parameter: see below
        ("exp(x) * exp(x)", 4),
        ("x * y + y * x", 4),  # one product, doubled; and two slopes
        ("where(x > y, a, t)", 3),  # the slopes by x and y are 0
    ],
)
def test_simplifications(text: str, operations: int) -> None:
    """Zeros, ones and what does not change with time cost nothing."""
    found = _tape(text)
    assert found.tape.op.size <= operations
    _check_exactly(text)


def test_what_is_static_is_one_parameter() -> None:
    """A whole subtree without state or time is a row of parameters, evaluated per patient."""
    dynamics = _tape("a ** 0.75 * where(b > 1, 2, 3) / exp(a) * x")
    assert dynamics.tape.n_parameters == 1
    expected = FIXED["a"] ** 0.75 * np.where(FIXED["b"] > 1, 2.0, 3.0) / np.exp(FIXED["a"])
    np.testing.assert_allclose(dynamics.parameters[0], expected, rtol=1e-15)


def test_derivatives_by_time_only_where_there_is_time() -> None:
    """A rate that does not know the time has none; a static term has no derivative at all."""
    dynamics = _tape("a * x", "b * t", "a * b", "where(x > 1, a, b)")
    assert dynamics.tape.time_flow.tolist() == [1]
    assert list(zip(dynamics.tape.partial_flow, dynamics.tape.partial_state, strict=True)) == [(0, 0)]
    assert dynamics.tape.op.size == 4
    values, jacobian = _run(dynamics)
    np.testing.assert_array_equal(values[2], FIXED["a"] * FIXED["b"])
    np.testing.assert_array_equal(values[3], [0.2, 1.3, 2.9])
    np.testing.assert_array_equal(jacobian[:, :, 0], [[0.7, 0, 0], [0, 0, 0.2], [0, 0, 0], [0, 0, 0]])


# Sigmoids

HILLS = [0.3, 0.5, 0.99, 1.0, 1.2, 1.5, 2.0, 3.0, 5.33, 8.0, 9.0, 20.0, 200.0]
LEVELS = np.array([1e-8, 1e-3, 0.05, 0.119, 0.121, 0.2, 1.7, 1e3])


def _sigmoid(hill: float, levels: np.ndarray, *, literal: bool) -> tuple[np.ndarray, np.ndarray]:
    """x^h / (c50^h + x^h) with c50 = 0.121, and its slope."""
    terms = Terms(levels.size)
    exponent = terms.constant(hill) if literal else terms.value("hill", np.full(levels.size, hill))
    node = terms.sigmoid(terms.state(0), terms.value("c50", np.full(levels.size, 0.121)), exponent)
    dynamics = _sound(tape_of(terms, [Flow(node, NOWHERE, 0)], 1))
    values, by_state, _ = evaluate(dynamics.tape, dynamics.parameters, levels[None, :], 0.0)
    return values[0], by_state[0]


@pytest.mark.parametrize("literal", [True, False])
@pytest.mark.parametrize("hill", HILLS)
def test_sigmoid(hill: float, literal: bool) -> None:
    """From the lowest level to saturation, whether the exponent is written in the file or drawn for each patient."""
    values, slopes = _sigmoid(hill, LEVELS, literal=literal)
    with mpmath.workdps(60):
        for level, value, slope in zip(LEVELS, values, slopes, strict=True):
            x, h, c50 = mpmath.mpf(level), mpmath.mpf(hill), mpmath.mpf(0.121)
            if hill < 1 and x < 1e-6 * c50:  # the straight line, of the module's own rule
                edge = mpmath.mpf(1e-6)
                exact = edge**h / (1 + edge**h) * (x / c50 / edge)
                steep = exact / x
            else:
                exact = x**h / (c50**h + x**h)
                steep = h / x * exact * (1 - exact)
            # x / c50 is off by a rounding, and so is the logarithm inside the power; both count hill times.
            rounding = (1 + hill * (1 + abs(float(mpmath.log(x / c50))))) * 1e-15
            assert value == pytest.approx(float(exact), rel=rounding, abs=1e-300)
            # Close to saturation 1 - s is a difference, so the slope is right to the rounding of 1.
            largest = float(h / x) * 1e-15
            assert slope == pytest.approx(float(steep), rel=20 * rounding, abs=max(1e-300, largest))


@pytest.mark.parametrize("literal", [True, False])
@pytest.mark.parametrize("hill", HILLS)
def test_sigmoid_at_its_ends(hill: float, literal: bool) -> None:
    """No drug is no effect, exactly; and nothing is ever NaN, infinite or outside of 0 to 1 by more than a rounding."""
    levels = np.array([0.0, -1e-18, -1e-12, 1e-300, 1e-150, 1e-30, 1e15, 1e30])
    values, slopes = _sigmoid(hill, levels, literal=literal)
    assert np.isfinite(values).all()
    assert np.isfinite(slopes).all()
    assert values[0] == 0.0
    assert (values >= -1e-5).all()
    assert (values <= 1.0).all()
    assert abs(values[1]) < 1e-9
    np.testing.assert_allclose(values[-1], 1.0, rtol=1e-8)
    # With a hill below 1 the slope at 0 would be infinite. It is that of the straight line instead.
    bound = 1e-6 ** (hill - 1) / 0.121 if hill < 1 else max(1.0, hill) / 0.121
    assert (np.abs(slopes) <= bound * (1 + 1e-9)).all()


def test_powers_and_roots_at_zero() -> None:
    """At 0, and a rounding error below it, a power and a root are 0 and their slopes finite."""
    states = np.array([[0.0, -1e-18, 4.0], [1.0, 1.0, 1.0]])
    dynamics = _tape("x ** 1.5", "x ** 0.3", "sqrt(x)", "x ** a", "x ** 2 / (1 + x ** 2)")
    values, jacobian = _run(dynamics, states)
    assert np.isfinite(values).all()
    assert np.isfinite(jacobian).all()
    np.testing.assert_array_equal(values[:4, :2], 0.0)
    np.testing.assert_array_equal(jacobian[:4, 0, :2], 0.0)
    np.testing.assert_allclose(values[:4, 2], [8.0, 4.0**0.3, 2.0, 4.0**2.9], rtol=1e-15)
    np.testing.assert_allclose(jacobian[:4, 0, 2], [3.0, 0.3 * 4.0**-0.7, 0.25, 2.9 * 4.0**1.9], rtol=1e-15)


def test_the_branch_that_is_not_chosen_may_be_nan() -> None:
    """A logarithm of a negative number does no harm where it is not wanted, in the value or the slope."""
    values, jacobian = _run(_tape("where(x > 1, log(x - 1), x)"))
    np.testing.assert_allclose(values[0], [0.05, np.log(0.4), np.log(6.3)], rtol=1e-14)
    np.testing.assert_allclose(jacobian[0, 0], [1.0, 1 / 0.4, 1 / 6.3], rtol=1e-14)


# The operations

_EXPECTED = {
    ops.ADD: 5.0,
    ops.SUB: -1.0,
    ops.MUL: 6.0,
    ops.DIV: 2 / 3,
    ops.NEG: -2.0,
    ops.RECIPROCAL: 0.5,
    ops.POW: 8.0,
    ops.SQRT: 2**0.5,
    ops.EXP: np.exp(2.0),
    ops.LOG: np.log(2.0),
    ops.MIN: 2.0,
    ops.MAX: 3.0,
    ops.GT: 0.0,
    ops.GE: 0.0,
    ops.LT: 1.0,
    ops.LE: 1.0,
    ops.EQ: 0.0,
    ops.NE: 1.0,
    ops.AND: 1.0,
    ops.OR: 1.0,
    ops.NOT: 0.0,
    ops.WHERE: 3.0,
}


def test_every_operation() -> None:
    """Each code does what it says on the registers 2, 3 and 5, and they are numbered without a gap."""
    assert sorted(_EXPECTED) == list(range(len(OPERANDS))) == sorted(NUMPY)
    codes = np.arange(len(OPERANDS))
    none = np.zeros(0, dtype=np.int64)
    tape = Tape(
        op=codes,
        dst=4 + codes,
        a=np.full(codes.size, 0),
        b=np.full(codes.size, 1),
        c=np.full(codes.size, 2),
        n_value=codes.size,
        n_parameters=3,
        n_states=0,
        n_registers=4 + codes.size,
        flow_register=4 + codes,
        flow_from=np.full(codes.size, -1),
        flow_to=np.full(codes.size, -1),
        partial_flow=none,
        partial_state=none,
        partial_register=none,
        time_flow=none,
        time_register=none,
    )
    values, *_ = evaluate(tape, np.array([[2.0], [3.0], [5.0]]), np.zeros((0, 1)), 0.0)
    np.testing.assert_allclose(values[:, 0], [_EXPECTED[code] for code in codes], rtol=1e-15)
    values, *_ = evaluate(tape, np.array([[0.0], [3.0], [5.0]]), np.zeros((0, 1)), 0.0)
    assert values[[ops.AND, ops.OR, ops.NOT, ops.WHERE, ops.RECIPROCAL], 0].tolist() == [0.0, 1.0, 1.0, 5.0, np.inf]
