"""Arithmetic as a graph: each subexpression once, simplified, with its exact derivatives.

A node is *static* if it is the same at all times (parameters, covariates, constants), and *dynamic* if it depends on a
state or on the time since the first dose. Static nodes are evaluated here, once per patient; what is dynamic
becomes operations of a tape (:mod:`pkmodel.tape`). Equal subexpressions are one node (hash-consing), constants are
folded, and static factors and summands are drawn together, so that ``CL * (1 + k * T) / V`` costs one multiplication
by ``CL / V`` and not two operations.

Derivatives are those of forward differentiation. Three rules keep them finite where a formula's own are not:

- a power that is no whole number, and a square root, take a negative base for 0 (a solver may leave a concentration a
  rounding error below 0), and their derivative at 0 is taken as 0;
- a saturation x / (k + x) has one reciprocal, which value and derivatives share;
- a sigmoid is 1 / (1 + (c50/x)^h), which neither overflows nor divides 0 by 0; close to 0 it is a straight
  line through 0: below 1e-20 c50, and below 1e-6 c50 where h < 1, whose slope at 0 is infinite.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping

from pkmodel.core import ops
from pkmodel.graph import CONSTANT, STATE, TIME, Graph

_BINARY: dict[type[ast.operator], str] = {
    ast.Add: "add",
    ast.Sub: "sub",
    ast.Mult: "mul",
    ast.Div: "div",
    ast.Pow: "pow",
}
_COMPARE: dict[type[ast.cmpop], int] = {
    ast.Gt: ops.GT,
    ast.GtE: ops.GE,
    ast.Lt: ops.LT,
    ast.LtE: ops.LE,
    ast.Eq: ops.EQ,
    ast.NotEq: ops.NE,
}
#: Whole exponents up to this one become multiplications.
_LARGEST_WHOLE = 16
#: Below this times c50 a sigmoid is a straight line: with a hill of at least 1, and with a lower one.
_LINE, _LINE_BELOW_ONE = 1e-20, 1e-6


class Terms(Graph):
    """A graph with arithmetic: every method gives the node of a result."""

    # Arithmetic

    def add(self, a: int, b: int) -> int:
        """a + b"""
        if self.static(b):
            a, b = b, a
        if self.zero in (a, b):
            return b if a == self.zero else a
        if a == b:
            return self.mul(self.constant(2.0), a)
        if self.static(a) and self.op[b] == ops.ADD and not self.static(b):
            inner, rest = self.args[b]
            if self.static(inner):
                return self.add(self.add(a, inner), rest)
        if self.op[b] == ops.NEG and not self.static(b):
            return self.sub(a, self.args[b][0])
        if self.op[a] == ops.NEG and not self.static(a):
            return self.sub(b, self.args[a][0])
        return self._node(ops.ADD, (a, b))

    def sub(self, a: int, b: int) -> int:
        """a - b"""
        if a == b:
            return self.zero
        if b == self.zero:
            return a
        if a == self.zero:
            return self.neg(b)
        if self.static(b) and not self.static(a):
            return self.add(self.neg(b), a)
        if self.op[b] == ops.NEG and not self.static(b):
            return self.add(a, self.args[b][0])
        return self._node(ops.SUB, (a, b))

    def neg(self, a: int) -> int:
        """-a"""
        if self.op[a] == ops.NEG:
            return self.args[a][0]
        if self.static(a):
            return self.zero if a == self.zero else self._node(ops.NEG, (a,))
        factor, rest = self._split(a)
        if factor != self.one:
            return self.mul(self.neg(factor), rest)
        if self.op[a] == ops.SUB:
            return self.sub(self.args[a][1], self.args[a][0])
        return self._node(ops.NEG, (a,))

    def mul(self, a: int, b: int) -> int:
        """a * b"""
        if self.zero in (a, b):
            return self.zero
        if a == self.one:
            return b
        if b == self.one:
            return a
        if self.static(a) and self.static(b):
            return self._node(ops.MUL, (a, b))
        (first, a), (second, b) = self._split(a), self._split(b)
        factor = self.mul(first, second)
        rest = self._node(ops.MUL, (a, b)) if self.one not in (a, b) else a if b == self.one else b
        if factor == self.one:
            return rest
        if self._is(factor, -1.0):
            return self._node(ops.NEG, (rest,))
        return self._node(ops.MUL, (factor, rest))

    def div(self, a: int, b: int) -> int:
        """a / b; a dynamic b becomes a multiplication by its reciprocal, which the derivatives need too."""
        if b == self.one:
            return a
        if self.static(a) and self.static(b):
            return self._node(ops.DIV, (a, b))
        return self.mul(a, self.reciprocal(b))

    def reciprocal(self, a: int) -> int:
        """1 / a"""
        if self.static(a):
            return self._node(ops.DIV, (self.one, a))
        if self.op[a] == ops.RECIPROCAL:
            return self.args[a][0]
        factor, rest = self._split(a)
        if factor != self.one:
            return self.mul(self.reciprocal(factor), self.reciprocal(rest))
        return self._node(ops.RECIPROCAL, (a,))

    def pow(self, a: int, b: int) -> int:
        """a ** b; whole constant exponents by multiplication."""
        if self.static(a) and self.static(b):
            return self._node(ops.POW, (a, b))
        exponent = self.leaf[b] if self.op[b] == CONSTANT else 0.5 + _LARGEST_WHOLE
        if exponent == 0.5:
            return self.sqrt(a)
        if abs(exponent) <= _LARGEST_WHOLE and exponent == int(exponent):
            return self._whole_power(a, int(exponent))
        base = a if self.static(a) else self.max(a, self.zero)
        node = self._node(ops.POW, (base, b))
        above = self.compare(ops.GT, a, self.zero)
        slope = self.mul(b, self._node(ops.POW, (base, self.sub(b, self.one))))
        by_base = self.where(above, slope, self.zero)
        by_exponent = self.where(above, self.mul(node, self._node(ops.LOG, (base,))), self.zero)
        return self._with_slopes(node, (a, by_base), (b, by_exponent))

    def _whole_power(self, a: int, exponent: int) -> int:
        if exponent < 0:
            return self.reciprocal(self._whole_power(a, -exponent))
        if exponent < 2:
            return a if exponent else self.one
        factor, rest = self._split(a)
        if self.one not in (factor, rest):
            return self.mul(self._whole_power(factor, exponent), self._whole_power(rest, exponent))
        half = self._whole_power(a, exponent // 2)
        node = self.mul(half, half)
        if exponent % 2:
            node = self.mul(node, a)
        if self.static(node):
            return node
        slope = self.mul(self.constant(exponent), self._whole_power(a, exponent - 1))
        return self._with_slopes(node, (a, slope))

    def sqrt(self, a: int) -> int:
        """The square root; of something dynamic below 0 it is 0."""
        if self.static(a):
            return self._node(ops.SQRT, (a,))
        node = self._node(ops.SQRT, (self.max(a, self.zero),))
        slope = self.mul(self.constant(0.5), self.reciprocal(node))
        return self._with_slopes(node, (a, self.where(self.compare(ops.GT, a, self.zero), slope, self.zero)))

    def exp(self, a: int) -> int:
        """The exponential."""
        return self._node(ops.EXP, (a,))

    def log(self, a: int) -> int:
        """The natural logarithm."""
        return self._node(ops.LOG, (a,))

    def min(self, a: int, b: int) -> int:
        """The smaller of two."""
        return a if a == b else self._node(ops.MIN, (a, b))

    def max(self, a: int, b: int) -> int:
        """The larger of two."""
        return a if a == b else self._node(ops.MAX, (a, b))

    def compare(self, how: int, a: int, b: int) -> int:
        """GT, GE, LT, LE, EQ, NE, AND or OR of two."""
        return self._node(how, (a, b))

    def negation(self, a: int) -> int:
        """Not a."""
        return self._node(ops.NOT, (a,))

    def where(self, condition: int, a: int, b: int) -> int:
        """a where the condition holds, else b."""
        if a == b:
            return a
        if self.op[condition] == CONSTANT:
            return a if self.leaf[condition] else b
        return self._node(ops.WHERE, (condition, a, b))

    def saturation(self, x: int, k: int) -> int:
        """x / (k + x), the quotient of Michaelis and Menten; its slope is k / (k + x)^2."""
        factor, rest = self._split(x)
        if self.static(k) and factor != self.one and rest != self.one:
            x, k = rest, self.div(k, factor)
        r = self.reciprocal(self.add(k, x))
        node = self.mul(x, r)
        square = self.mul(r, r)
        return self._with_slopes(node, (x, self.mul(k, square)), (k, self.neg(self.mul(x, square))))

    def sigmoid(self, x: int, c50: int, hill: int) -> int:
        """x^hill / (c50^hill + x^hill), with static c50 and hill; the module says what happens close to 0."""
        whole = self.leaf[hill] if self.op[hill] == CONSTANT else 0.0
        if whole == 1.0:
            return self.saturation(x, c50)
        u = self.div(x, c50)
        if whole in range(2, 9):
            return self.saturation(self._whole_power(u, int(whole)), self.one)
        low = self.where(self.compare(ops.LT, hill, self.one), self.constant(_LINE_BELOW_ONE), self.constant(_LINE))
        z = self.max(u, low)
        s = self.reciprocal(self.add(self.one, self._node(ops.POW, (z, self.neg(hill)))))
        node = self.mul(s, self.min(self.div(u, low), self.one))
        steep = self.mul(self.mul(hill, self.reciprocal(z)), self.mul(s, self.sub(self.one, s)))
        slope = self.where(self.compare(ops.GT, u, low), steep, self.div(s, low))
        return self._with_slopes(node, (u, slope))

    def _split(self, node: int) -> tuple[int, int]:
        """A node as its static factor and the rest."""
        if self.static(node):
            return node, self.one
        if self.op[node] == ops.NEG:
            return self.constant(-1.0), self.args[node][0]
        if self.op[node] == ops.MUL and self.static(self.args[node][0]):
            return self.args[node][0], self.args[node][1]
        return self.one, node

    def _is(self, node: int, number: float) -> bool:
        return self.op[node] == CONSTANT and self.leaf[node] == number

    # Formulas

    def formula(self, node: ast.expr, names: Mapping[str, int]) -> int:
        """A parsed expression (:class:`pkmodel.specs.expressions.Expression`) as a node."""
        match node:
            case ast.Constant(value=value):
                return self.constant(float(value))  # type: ignore[arg-type]
            case ast.Name(id=name):
                return names[name]
            case ast.UnaryOp(op=op, operand=operand):
                inner = self.formula(operand, names)
                if isinstance(op, ast.Not):
                    return self.negation(inner)
                return self.neg(inner) if isinstance(op, ast.USub) else inner
            case ast.BinOp(left=left, op=op, right=right):
                combine = getattr(self, _BINARY[type(op)])
                return int(combine(self.formula(left, names), self.formula(right, names)))
            case ast.BoolOp(op=op, values=parts):
                result = self.formula(parts[0], names)
                for part in parts[1:]:
                    how = ops.AND if isinstance(op, ast.And) else ops.OR
                    result = self.compare(how, result, self.formula(part, names))
                return result
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                return self.compare(_COMPARE[type(op)], self.formula(left, names), self.formula(right, names))
            case ast.Call(func=ast.Name(id=name), args=args):
                return int(getattr(self, name)(*(self.formula(value, names) for value in args)))
        raise AssertionError(ast.dump(node))  # pragma: no cover - the parser admits nothing else

    # Derivatives

    def derivative(self, node: int, by: int) -> int:
        """The derivative of a node by the state ``by``, or by the time where ``by`` is -1."""
        found = self._derivatives.setdefault(by, {})

        def sources(inner: int) -> tuple[int, ...]:
            return tuple(arg for arg, _ in self._shortcuts[inner]) if inner in self._shortcuts else self.args[inner]

        for each in self._below([node], lambda inner: by in self.depends[inner] and inner not in found, sources):
            found[each] = self._rule(each, found)
        return found.get(node, self.zero)

    def _rule(self, node: int, found: Mapping[int, int]) -> int:
        """The derivative of a node from those of what it depends on."""
        op, args = self.op[node], self.args[node]
        if op in (STATE, TIME):
            return self.one
        if op in (ops.MIN, ops.MAX, ops.WHERE):
            first, second = args[-2:]
            condition = args[0] if op == ops.WHERE else self.compare(ops.LE if op == ops.MIN else ops.GE, *args)
            return self.where(condition, found.get(first, self.zero), found.get(second, self.zero))
        slopes = self._shortcuts.get(node) or tuple(zip(args, self._slopes(node), strict=True))
        total = self.zero
        for arg, slope in slopes:
            total = self.add(total, self.mul(slope, found.get(arg, self.zero)))
        return total

    def _slopes(self, node: int) -> tuple[int, ...]:
        """The derivatives of an operation by each of its arguments."""
        op, args, one = self.op[node], self.args[node], self.one
        if op == ops.ADD:
            return one, one
        if op == ops.SUB:
            return one, self.constant(-1.0)
        if op == ops.NEG:
            return (self.constant(-1.0),)
        if op == ops.MUL:
            return args[1], args[0]
        if op == ops.RECIPROCAL:
            return (self.neg(self.mul(node, node)),)
        if op == ops.EXP:
            return (node,)
        if op == ops.LOG:
            return (self.reciprocal(args[0]),)
        return (self.zero,) * len(args)  # comparisons
