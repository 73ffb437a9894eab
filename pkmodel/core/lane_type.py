"""Eight patients at a time: a number type for numba that holds one value for each of eight lanes.

A kernel written on :data:`LANE` s works on eight patients in lock-step, in the machine's vector registers where it
has them (AVX-512: one register, AVX2: two, otherwise one number after the other). The compiler is not asked to find
the vectors, so it cannot fail to. Nothing a lane does depends on another lane, so a result does not depend on who
else is in the group.

Multiplication and addition are fused only where ``fma`` says so, and are then fused on every machine.
"""

from __future__ import annotations

import operator

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.imputils import lower_builtin, lower_cast
from numba.core.typing.templates import ConcreteTemplate, infer_global, signature
from numba.extending import intrinsic, models, register_model

#: How many patients go together.
WIDTH = 8

_DOUBLE = ir.DoubleType()
_INT64 = ir.IntType(64)
_VECTOR = ir.VectorType(_DOUBLE, WIDTH)
_BITS = ir.VectorType(ir.IntType(1), WIDTH)


class _Lane(types.Type):
    """Eight float64."""

    def __init__(self) -> None:
        super().__init__(name="Lane")


class _Mask(types.Type):
    """Eight truth values."""

    def __init__(self) -> None:
        super().__init__(name="LaneMask")


LANE, MASK = _Lane(), _Mask()


@register_model(_Lane)
class _LaneModel(models.PrimitiveModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, _VECTOR)


@register_model(_Mask)
class _MaskModel(models.PrimitiveModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, _BITS)


def _splat(builder, value):
    vector = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), [0] * WIDTH)
    return builder.shuffle_vector(vector, ir.Constant(_VECTOR, ir.Undefined), zeros)


@lower_cast(types.float64, LANE)
def _cast(context, builder, source, target, value):
    return _splat(builder, value)


def _arithmetic(operation, name):
    """Give lanes an operator; a plain float on either side stands for eight of it."""

    @infer_global(operation)
    class _Typing(ConcreteTemplate):
        cases = [
            signature(LANE, LANE, LANE),
            signature(LANE, types.float64, LANE),
            signature(LANE, LANE, types.float64),
        ]

    @lower_builtin(operation, LANE, LANE)
    def _both(context, builder, sig, args):
        return getattr(builder, name)(*args)

    @lower_builtin(operation, types.float64, LANE)
    def _left(context, builder, sig, args):
        return getattr(builder, name)(_splat(builder, args[0]), args[1])

    @lower_builtin(operation, LANE, types.float64)
    def _right(context, builder, sig, args):
        return getattr(builder, name)(args[0], _splat(builder, args[1]))


def _comparison(operation, name):
    """Give lanes a comparison, which yields a mask; a comparison with NaN is false."""

    @infer_global(operation)
    class _Typing(ConcreteTemplate):
        cases = [
            signature(MASK, LANE, LANE),
            signature(MASK, types.float64, LANE),
            signature(MASK, LANE, types.float64),
        ]

    @lower_builtin(operation, LANE, LANE)
    def _both(context, builder, sig, args):
        return builder.fcmp_ordered(name, *args)

    @lower_builtin(operation, types.float64, LANE)
    def _left(context, builder, sig, args):
        return builder.fcmp_ordered(name, _splat(builder, args[0]), args[1])

    @lower_builtin(operation, LANE, types.float64)
    def _right(context, builder, sig, args):
        return builder.fcmp_ordered(name, args[0], _splat(builder, args[1]))


for _operation, _name in (
    (operator.add, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
    (operator.truediv, "fdiv"),
):
    _arithmetic(_operation, _name)
for _operation, _name in (
    (operator.lt, "<"),
    (operator.le, "<="),
    (operator.gt, ">"),
    (operator.ge, ">="),
    (operator.eq, "=="),
):
    _comparison(_operation, _name)


@infer_global(operator.neg)
class _Negative(ConcreteTemplate):
    cases = [signature(LANE, LANE)]


@lower_builtin(operator.neg, LANE)
def _negative(context, builder, sig, args):
    return builder.fneg(args[0])


def _mask_operator(operation, name):
    @infer_global(operation)
    class _Typing(ConcreteTemplate):
        cases = [signature(MASK, MASK, MASK)]

    @lower_builtin(operation, MASK, MASK)
    def _both(context, builder, sig, args):
        return getattr(builder, name)(*args)


_mask_operator(operator.and_, "and_")
_mask_operator(operator.or_, "or_")


@infer_global(operator.invert)
class _Invert(ConcreteTemplate):
    cases = [signature(MASK, MASK)]


@lower_builtin(operator.invert, MASK)
def _invert(context, builder, sig, args):
    return builder.not_(args[0])


@intrinsic
def splat(typing_context, value):
    """The same number in every lane."""

    def codegen(context, builder, sig, args):
        return _splat(builder, args[0])

    return LANE(types.float64), codegen


def _call(builder, name, result, operands):
    """A call of an LLVM intrinsic."""
    function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(result, [x.type for x in operands]), name)
    return builder.call(function, operands)


@intrinsic
def fma(typing_context, a, b, c):
    """``a * b + c`` with one rounding."""

    def codegen(context, builder, sig, args):
        return _call(builder, f"llvm.fma.v{WIDTH}f64", _VECTOR, args)

    return LANE(LANE, LANE, LANE), codegen


def _unary(name, doc):
    @intrinsic
    def function(typing_context, x):
        def codegen(context, builder, sig, args):
            return _call(builder, f"llvm.{name}.v{WIDTH}f64", _VECTOR, args)

        return LANE(LANE), codegen

    function.__doc__ = doc
    return function


magnitude = _unary("fabs", "The absolute value.")
square_root = _unary("sqrt", "The square root.")
rounded = _unary("rint", "The nearest whole number, ties to even.")
floored = _unary("floor", "The largest whole number that is not greater.")


@intrinsic
def choose(typing_context, mask, yes, no):
    """``yes`` in the lanes where the mask holds, ``no`` in the others."""

    def codegen(context, builder, sig, args):
        return builder.select(*args)

    return LANE(MASK, LANE, LANE), codegen


@intrinsic
def larger(typing_context, a, b):
    """The larger of two; ``a`` where they cannot be compared."""

    def codegen(context, builder, sig, args):
        a, b = args
        return builder.select(builder.fcmp_ordered(">", b, a), b, a)

    return LANE(LANE, LANE), codegen


@intrinsic
def smaller(typing_context, a, b):
    """The smaller of two; ``a`` where they cannot be compared."""

    def codegen(context, builder, sig, args):
        a, b = args
        return builder.select(builder.fcmp_ordered("<", b, a), b, a)

    return LANE(LANE, LANE), codegen


@intrinsic
def bits(typing_context, mask):
    """The lanes where a mask holds, as the bits of an integer: 0 where it holds nowhere."""

    def codegen(context, builder, sig, args):
        return builder.zext(builder.bitcast(args[0], ir.IntType(WIDTH)), _INT64)

    return types.int64(MASK), codegen


@intrinsic
def of_bits(typing_context, value):
    """The mask whose lanes are the bits of an integer."""

    def codegen(context, builder, sig, args):
        return builder.bitcast(builder.trunc(args[0], ir.IntType(WIDTH)), _BITS)

    return MASK(types.int64), codegen


@intrinsic
def power_of_two(typing_context, exponent):
    """2 to a whole power between -1022 and 1023."""

    def codegen(context, builder, sig, args):
        whole = ir.VectorType(_INT64, WIDTH)
        exponent = builder.fptosi(args[0], whole)
        biased = builder.add(exponent, ir.Constant(whole, [1023] * WIDTH))
        return builder.bitcast(builder.shl(biased, ir.Constant(whole, [52] * WIDTH)), _VECTOR)

    return LANE(LANE), codegen


@intrinsic
def counted(typing_context, count, mask):
    """A count with one more in the lanes where the mask holds; it begins as 0.0, and :func:`number_counted` reads it.

    Inside it is a whole number, of which a truth value is taken away as it is, -1: half the work of adding 1.0.
    """

    def codegen(context, builder, sig, args):
        whole = ir.VectorType(_INT64, WIDTH)
        less = builder.sub(builder.bitcast(args[0], whole), builder.sext(args[1], whole))
        return builder.bitcast(less, _VECTOR)

    return LANE(LANE, MASK), codegen


@intrinsic
def number_counted(typing_context, count):
    """What :func:`counted` has counted, as numbers."""

    def codegen(context, builder, sig, args):
        return builder.sitofp(builder.bitcast(args[0], ir.VectorType(_INT64, WIDTH)), _VECTOR)

    return LANE(LANE), codegen


@intrinsic
def as_it_stands(typing_context):
    """Nothing; but a loop around it is not written out several times, which costs more registers than there are."""

    def codegen(context, builder, sig, args):
        builder.asm(ir.FunctionType(ir.VoidType(), []), "", "", [], side_effect=True)
        return context.get_dummy_value()

    return types.void(), codegen
