"""Arithmetic on eight patients at a time, written down as the instructions of a function.

A :class:`Lane` stands for one number of each of eight patients. Calculating with it writes instructions into a function
that :mod:`pkmodel.core.native` turns into machine code. Loops over the states and rates of a model run while the
function is written, so that nothing is left to look up when it runs: what a model has not, costs nothing.

Multiplication and addition are fused only where ``times`` says so. Nothing is reordered, so the same model gives the
same bits on every machine.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from llvmlite import ir

from pkmodel.core.lanes import WIDTH

_DOUBLE, _INT32, _INT64 = ir.DoubleType(), ir.IntType(32), ir.IntType(64)
_VECTOR, _WHOLE = ir.VectorType(_DOUBLE, WIDTH), ir.VectorType(_INT64, WIDTH)
_BITS = ir.VectorType(ir.IntType(1), WIDTH)


class Writer:
    """The function that is being written; its arguments are ``memories``, each rows of eight numbers, and ``masks``."""

    def __init__(self, module: ir.Module, name: str, memories: int = 1, masks: int = 0):
        self.module = module
        kind = ir.FunctionType(_INT64, [_DOUBLE.as_pointer()] * memories + [_INT64] * masks)
        self.function = ir.Function(module, kind, name)
        self.builder = ir.IRBuilder(self.function.append_basic_block())
        arguments = self.function.args
        self.rows = [self.builder.bitcast(memory, _VECTOR.as_pointer()) for memory in arguments[:memories]]
        self.masks = [Mask(self, self._bits(mask)) for mask in arguments[memories:]]

    def load(self, row: int, memory: int = 0) -> Lane:
        """The row of a memory."""
        return Lane(self, self.builder.load(self._at(row, memory), align=64))

    def store(self, row: int, lane: Lane, memory: int = 0) -> None:
        """Put a number into a row of a memory."""
        self.builder.store(lane.value, self._at(row, memory), align=64)

    def number(self, value: float) -> Lane:
        """The same number in every lane."""
        return Lane(self, ir.Constant(_VECTOR, [float(value)] * WIDTH))

    @contextmanager
    def where_any(self, mask: Mask) -> Iterator[None]:
        """What is written inside is only carried out when the mask holds in some lane."""
        some = self.builder.icmp_unsigned("!=", mask.bits(), ir.Constant(_INT64, 0))
        with self.builder.if_then(some):
            yield

    def finish(self, *masks: Mask) -> None:
        """Return the masks, eight bits each, the first one lowest."""
        total = ir.Constant(_INT64, 0)
        for place, mask in enumerate(masks):
            total = self.builder.or_(total, self.builder.shl(mask.bits(), ir.Constant(_INT64, WIDTH * place)))
        self.builder.ret(total)

    def call(self, name: str, *operands: ir.Value) -> ir.Value:
        """An intrinsic of the compiler on lanes."""
        kind = ir.FunctionType(_VECTOR, [operand.type for operand in operands])
        full = f"llvm.{name}.v{WIDTH}f64"
        function = self.module.globals.get(full) or ir.Function(self.module, kind, full)
        return self.builder.call(function, operands)

    def _at(self, row: int, memory: int) -> ir.Value:
        return self.builder.gep(self.rows[memory], [ir.Constant(_INT64, row)])

    def _bits(self, number: ir.Value) -> ir.Value:
        return self.builder.bitcast(self.builder.trunc(number, ir.IntType(WIDTH)), _BITS)


class Mask:
    """A truth value of each of eight patients."""

    def __init__(self, writer: Writer, value: ir.Value):
        self.writer, self.value = writer, value

    def __and__(self, other: Mask) -> Mask:
        return Mask(self.writer, self.writer.builder.and_(self.value, other.value))

    def __or__(self, other: Mask) -> Mask:
        return Mask(self.writer, self.writer.builder.or_(self.value, other.value))

    def __invert__(self) -> Mask:
        return Mask(self.writer, self.writer.builder.not_(self.value))

    def bits(self) -> ir.Value:
        """The lanes where this holds, as the bits of an integer."""
        return self.writer.builder.zext(self.writer.builder.bitcast(self.value, ir.IntType(WIDTH)), _INT64)

    def choose(self, yes: Lane | float, no: Lane | float) -> Lane:
        """``yes`` where this holds, ``no`` elsewhere."""
        yes, no = (x if isinstance(x, Lane) else self.writer.number(x) for x in (yes, no))
        return Lane(self.writer, self.writer.builder.select(self.value, yes.value, no.value))


class Lane:
    """A number of each of eight patients."""

    def __init__(self, writer: Writer, value: ir.Value):
        self.writer, self.value = writer, value

    def _both(self, other: Lane | float, name: str, turned: bool = False) -> Lane:
        other = other if isinstance(other, Lane) else self.writer.number(other)
        a, b = (other, self) if turned else (self, other)
        return Lane(self.writer, getattr(self.writer.builder, name)(a.value, b.value))

    def __add__(self, other: Lane | float) -> Lane:
        return self._both(other, "fadd")

    __radd__ = __add__

    def __mul__(self, other: Lane | float) -> Lane:
        return self._both(other, "fmul")

    __rmul__ = __mul__

    def __sub__(self, other: Lane | float) -> Lane:
        return self._both(other, "fsub")

    def __rsub__(self, other: float) -> Lane:
        return self._both(other, "fsub", True)

    def __truediv__(self, other: Lane | float) -> Lane:
        return self._both(other, "fdiv")

    def __rtruediv__(self, other: float) -> Lane:
        return self._both(other, "fdiv", True)

    def __neg__(self) -> Lane:
        return Lane(self.writer, self.writer.builder.fneg(self.value))

    def _compare(self, other: Lane | float, sign: str) -> Mask:
        other = other if isinstance(other, Lane) else self.writer.number(other)
        return Mask(self.writer, self.writer.builder.fcmp_ordered(sign, self.value, other.value))

    def __lt__(self, other: Lane | float) -> Mask:
        return self._compare(other, "<")

    def __le__(self, other: Lane | float) -> Mask:
        return self._compare(other, "<=")

    def __gt__(self, other: Lane | float) -> Mask:
        return self._compare(other, ">")

    def __ge__(self, other: Lane | float) -> Mask:
        return self._compare(other, ">=")

    def equals(self, other: Lane | float) -> Mask:
        """Where two numbers are the same; a NaN is not the same as itself."""
        return self._compare(other, "==")

    def times(self, factor: Lane | float, addend: Lane | float) -> Lane:
        """``self * factor + addend`` with one rounding."""
        factor, addend = (x if isinstance(x, Lane) else self.writer.number(x) for x in (factor, addend))
        return Lane(self.writer, self.writer.call("fma", self.value, factor.value, addend.value))

    def magnitude(self) -> Lane:
        """The absolute value."""
        return Lane(self.writer, self.writer.call("fabs", self.value))

    def root(self) -> Lane:
        """The square root."""
        return Lane(self.writer, self.writer.call("sqrt", self.value))

    def rounded(self) -> Lane:
        """The nearest whole number, ties to even."""
        return Lane(self.writer, self.writer.call("rint", self.value))

    def floored(self) -> Lane:
        """The largest whole number that is not greater."""
        return Lane(self.writer, self.writer.call("floor", self.value))

    def larger(self, other: Lane | float) -> Lane:
        """The larger of two; this one where they cannot be compared."""
        other = other if isinstance(other, Lane) else self.writer.number(other)
        return (other > self).choose(other, self)

    def smaller(self, other: Lane | float) -> Lane:
        """The smaller of two; this one where they cannot be compared."""
        other = other if isinstance(other, Lane) else self.writer.number(other)
        return (other < self).choose(other, self)

    def polynomial(self, factors: Sequence[float]) -> Lane:
        """The polynomial in this number with these factors, the highest power first."""
        total = self.writer.number(factors[0])
        for factor in factors[1:]:
            total = total.times(self, factor)
        return total

    def exponent(self) -> Lane:
        """The whole part of the binary logarithm of positive normal numbers."""
        builder = self.writer.builder
        shifted = builder.lshr(builder.bitcast(self.value, _WHOLE), _whole(52))
        return Lane(self.writer, builder.sitofp(builder.sub(shifted, _whole(1023)), _VECTOR))

    def mantissa(self) -> Lane:
        """A positive normal number over the power of two below it: from 1 to 2."""
        builder = self.writer.builder
        kept = builder.and_(builder.bitcast(self.value, _WHOLE), _whole((1 << 52) - 1))
        return Lane(self.writer, builder.bitcast(builder.or_(kept, _whole(1023 << 52)), _VECTOR))

    def power_of_two(self) -> Lane:
        """2 to this power, a whole number from -1022 to 1023."""
        builder = self.writer.builder
        biased = builder.add(builder.fptosi(self.value, _WHOLE), _whole(1023))
        return Lane(self.writer, builder.bitcast(builder.shl(biased, _whole(52)), _VECTOR))


def _whole(number: int) -> ir.Constant:
    return ir.Constant(_WHOLE, [number] * WIDTH)
