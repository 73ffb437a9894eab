"""Arithmetic in model files, parsed against a whitelist and never evaluated as Python.

An :class:`Expression` knows its names, evaluates over arrays (one value per patient), and can work out
its physical dimensions, which is how a file that writes ``rate: Q`` for ``rate: Q / V1`` is caught when
it is loaded.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import PlainValidator

from pkmodel import units
from pkmodel.errors import InputError, Problem, shown
from pkmodel.specs import shapes

MAX_LENGTH = 400
MAX_NODES = 200

#: Dimensions as name -> power; None where they cannot be known (an empirical formula such as 3.75 * weight**0.75).
Dimensions = dict[str, float] | None
Value = float | NDArray[np.float64]

_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
    ast.Pow: np.power,
}
_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Gt: np.greater,
    ast.GtE: np.greater_equal,
    ast.Lt: np.less,
    ast.LtE: np.less_equal,
    ast.Eq: np.equal,
    ast.NotEq: np.not_equal,
}
_FUNCTIONS: dict[str, tuple[int, Callable[..., Any]]] = {
    "min": (2, np.minimum),
    "max": (2, np.maximum),
    "exp": (1, np.exp),
    "log": (1, np.log),
    "sqrt": (1, np.sqrt),
    "where": (3, np.where),
}
_EXPECTED = "arithmetic on names with + - * / ** ( ), comparisons, and " + ", ".join(_FUNCTIONS)


@dataclass(frozen=True)
class Expression:
    """A parsed expression. ``names`` are the variables that it needs."""

    text: str
    node: ast.expr
    names: frozenset[str]

    def evaluate(self, values: Mapping[str, Value]) -> NDArray[np.float64]:
        """The value for each patient; arrays of ``values`` must broadcast. Not checked for NaN here."""
        with np.errstate(all="ignore"):
            return np.asarray(_evaluate(self.node, values), dtype=np.float64)

    def dimensions(self, known: Mapping[str, Dimensions]) -> Dimensions:
        """The dimensions of the result, None where unknown; raises InputError on 1 L + 1 h."""
        return _dimensions(self.node, known)


@shapes.takes(shapes.FORMULA)
def parse_expression(text: object) -> Expression:
    """Parse a formula (or a plain number). Raises InputError on anything outside the whitelist."""
    if isinstance(text, Expression):
        return text
    if isinstance(text, (int, float)) and not isinstance(text, bool):
        text = repr(text)
    if not isinstance(text, str) or not text.strip():
        raise InputError(Problem(found=shown(text), expected=_EXPECTED))
    if len(text) > MAX_LENGTH:
        raise InputError(Problem(found="a formula of over 400 characters", expected="a shorter formula"))
    try:
        node = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise InputError(Problem(found=shown(text), expected=_EXPECTED)) from None
    names: set[str] = set()
    if sum(1 for _ in ast.walk(node)) > MAX_NODES:
        raise InputError(Problem(found="a formula with too many terms", expected="a shorter formula"))
    _check(node, names, text)
    return Expression(" ".join(text.split()), node, frozenset(names))


ExpressionField = Annotated[Expression, PlainValidator(parse_expression)]


@dataclass(frozen=True)
class Constant(Expression):
    """A quantity where a formula may stand (``c50: 121 ng/mL``): the same for everyone, with the unit it was given."""

    quantity: units.Quantity

    def dimensions(self, known: Mapping[str, Dimensions]) -> Dimensions:
        """The dimensions of the quantity."""
        return dict(self.quantity.unit.dimensions)


#: A number with a unit after it or nothing, and so no formula: ``8.3 min`` or ``5.33``, but not ``2 * C50``.
_LOOKS_LIKE_A_QUANTITY = re.compile(r"\s*[+-]?[\d.]+(?:[eE][+-]?\d+)?\s*(?:[A-Za-z%µμ].*)?", re.DOTALL)


@shapes.takes({**shapes.FORMULA, "description": 'a quantity such as "121 ng/mL", or a formula of parameters'})
def parse_quantity_or_formula(text: object) -> Expression:
    """Parse a quantity such as ``121 ng/mL``, or a formula of parameters such as ``C50 * 2``.

    Raises InputError on a unit that is not one, and on anything outside the whitelist of formulas.
    """
    if isinstance(text, Expression):
        return text
    try:
        quantity = units.parse(text, allow_plain=True)
    except InputError:
        if not isinstance(text, str) or _LOOKS_LIKE_A_QUANTITY.fullmatch(text):
            raise
        return parse_expression(text)
    return Constant(quantity.text, ast.Constant(quantity.value), frozenset(), quantity)


QuantityField = Annotated[Expression, PlainValidator(parse_quantity_or_formula)]


def _check(node: ast.expr, names: set[str], text: str) -> None:
    def refuse(found: str) -> InputError:
        return InputError(Problem(found=f"{found} in {shown(text)}", expected=_EXPECTED))

    match node:
        case ast.Constant(value=bool()) | ast.Constant(value=complex()):
            raise refuse(shown(node.value))
        case ast.Constant(value=int() | float()):
            return
        case ast.Name(id=name):
            names.add(name)
        case ast.UnaryOp(op=ast.USub() | ast.UAdd() | ast.Not(), operand=operand):
            _check(operand, names, text)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            _check(left, names, text)
            _check(right, names, text)
        case ast.BoolOp(values=values):
            for value in values:
                _check(value, names, text)
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _COMPARE:
            _check(left, names, text)
            _check(right, names, text)
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in _FUNCTIONS:
            count = _FUNCTIONS[name][0]
            if len(args) != count:
                raise refuse(f"{name} with {len(args)} values instead of {count}")
            for value in args:
                _check(value, names, text)
        case ast.Call(func=ast.Name(id=name)):
            raise refuse(f"the function {name}")
        case _:
            raise refuse(shown(ast.unparse(node)))


def _evaluate(node: ast.expr, values: Mapping[str, Value]) -> Any:
    match node:
        case ast.Constant(value=value):
            return np.float64(value)  # type: ignore[arg-type]
        case ast.Name(id=name):
            return values[name]
        case ast.UnaryOp(op=op, operand=operand):
            inner = _evaluate(operand, values)
            if isinstance(op, ast.Not):
                return np.logical_not(inner) * 1.0
            return np.negative(inner) if isinstance(op, ast.USub) else inner
        case ast.BinOp(left=left, op=op, right=right):
            return _BINARY[type(op)](_evaluate(left, values), _evaluate(right, values))
        case ast.BoolOp(op=op, values=parts):
            combine = np.logical_and if isinstance(op, ast.And) else np.logical_or
            result = _evaluate(parts[0], values)
            for part in parts[1:]:
                result = combine(result, _evaluate(part, values)) * 1.0
            return result
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            return (
                _COMPARE[type(op)](_evaluate(left, values), _evaluate(right, values)) * 1.0
            )  # so that it can be added
        case ast.Call(func=ast.Name(id=name), args=args):
            return _FUNCTIONS[name][1](*(_evaluate(value, values) for value in args))
    raise AssertionError(ast.dump(node))  # pragma: no cover - _check admits nothing else


def _dimensions(node: ast.expr, known: Mapping[str, Dimensions]) -> Dimensions:
    match node:
        case ast.Constant():
            return {}
        case ast.Compare(left=left, comparators=[right]):
            # A bare number may stand for any unit (age > 60); two named things must agree.
            if not any(isinstance(_bare(side), ast.Constant) for side in (left, right)):
                _same(node, left, right, known)
            else:
                _dimensions(left, known), _dimensions(right, known)
            return {}
        case ast.BoolOp(values=values):
            for value in values:
                _dimensions(value, known)
            return {}
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            _dimensions(operand, known)
            return {}
        case ast.Name(id=name):
            return known[name]
        case ast.UnaryOp(operand=operand):
            return _dimensions(operand, known)
        case ast.BinOp(left=left, op=ast.Mult() | ast.Div() as op, right=right):
            first, second = _dimensions(left, known), _dimensions(right, known)
            sign = 1.0 if isinstance(op, ast.Mult) else -1.0
            if first is None or second is None:
                return None
            powers = {name: first.get(name, 0.0) + sign * second.get(name, 0.0) for name in {*first, *second}}
            return {name: power for name, power in powers.items() if power}
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            base = _dimensions(left, known)
            if _dimensions(right, known) != {}:
                return None  # a power of litres: unknown, so that it never passes for a plain number
            if not base:
                return base
            if isinstance(right, ast.Constant) and isinstance(right.value, int):
                return {name: power * right.value for name, power in base.items() if right.value}
            return None
        case ast.BinOp(left=left, right=right):
            return _same(node, left, right, known)
        case ast.Call(func=ast.Name(id="min" | "max"), args=[left, right]):
            return _same(node, left, right, known)
        case ast.Call(func=ast.Name(id="where"), args=[condition, left, right]):
            _dimensions(condition, known)
            return _same(node, left, right, known)
        case ast.Call(func=ast.Name(id="sqrt"), args=[inner]):
            base = _dimensions(inner, known)
            return base and {name: power / 2 for name, power in base.items()}
        case ast.Call(args=[inner]):  # exp and log: unknown unless of a plain number
            return {} if _dimensions(inner, known) == {} else None
    raise AssertionError(ast.dump(node))  # pragma: no cover


def _bare(node: ast.expr) -> ast.expr:
    """A node without its sign."""
    return node.operand if isinstance(node, ast.UnaryOp) else node


def _same(node: ast.expr, left: ast.expr, right: ast.expr, known: Mapping[str, Dimensions]) -> Dimensions:
    """Dimensions of two things that are added, compared or chosen between: they must agree."""
    first, second = _dimensions(left, known), _dimensions(right, known)
    if first is None or second is None:
        return None
    if first != second:
        raise InputError(
            Problem(
                found=f"{described(first)} with {described(second)} in {shown(ast.unparse(node))}",
                expected="terms of one dimension",
            )
        )
    return first


def described(dimensions: Dimensions) -> str:
    """Dimensions as a message writes them: ``volume/time``."""
    if not dimensions:
        return "a plain number"
    over = [name + (f"^{power:g}" if power != 1 else "") for name, power in dimensions.items() if power > 0]
    under = [name + (f"^{-power:g}" if power != -1 else "") for name, power in dimensions.items() if power < 0]
    return " * ".join(over or ["1"]) + "".join(f"/{name}" for name in under)
