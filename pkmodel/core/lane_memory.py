"""Numbers of eight patients in memory: pointers, and moving lanes between memory and the vector registers.

Arrays that hold lanes end in an axis of ``WIDTH`` and are C-contiguous; ``load(array, k)`` and ``store(array, k, x)``
take the k-th group of eight numbers of the array's memory, whatever its shape. Indices are not checked.
"""

from __future__ import annotations

import math
import operator

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.imputils import lower_builtin
from numba.core.typing.templates import ConcreteTemplate, infer_global, signature
from numba.extending import intrinsic, models, register_model

from pkmodel.core.jit import merged
from pkmodel.core.lane_type import LANE, MASK, WIDTH

_DOUBLE = ir.DoubleType()
_INT64 = ir.IntType(64)
_VECTOR = ir.VectorType(_DOUBLE, WIDTH)
_BITS = ir.VectorType(ir.IntType(1), WIDTH)


class _Pointer(types.Type):
    """Where numbers stand in memory, without the shape: what kernels hand on to one another."""

    def __init__(self, dtype):
        self.dtype = dtype
        super().__init__(name=f"Pointer({dtype})")


NUMBERS, WHOLES = _Pointer(types.float64), _Pointer(types.int64)


@register_model(_Pointer)
class _PointerModel(models.PrimitiveModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, (_DOUBLE if kind.dtype == types.float64 else _INT64).as_pointer())


@intrinsic
def pointer(typing_context, array):
    """The memory of a C-contiguous array. Indexing it counts single numbers, and is not checked."""
    if not (isinstance(array, types.Array) and array.layout == "C"):
        return None

    def codegen(context, builder, sig, args):
        return context.make_array(sig.args[0])(context, builder, args[0]).data

    return _Pointer(array.dtype)(array), codegen


@intrinsic
def onwards(typing_context, array, index):
    """The memory of a pointer from its ``index``-th group of eight numbers on."""
    if not isinstance(array, _Pointer):
        return None

    def codegen(context, builder, sig, args):
        return builder.gep(args[0], [builder.mul(args[1], ir.Constant(_INT64, WIDTH))])

    return array(array, types.int64), codegen


@intrinsic
def bare(typing_context, bundle):
    """A named tuple with pointers for its C-contiguous arrays, which is what the pieces of a kernel hand on."""
    if not isinstance(bundle, types.BaseNamedTuple):
        return None
    arrays = [isinstance(kind, types.Array) and kind.layout == "C" for kind in bundle]
    kinds = [_Pointer(kind.dtype) if flat else kind for kind, flat in zip(bundle, arrays, strict=True)]

    def codegen(context, builder, sig, args):
        values = []
        for kind, flat, value in zip(bundle, arrays, cgutils.unpack_tuple(builder, args[0]), strict=True):
            values.append(context.make_array(kind)(context, builder, value).data if flat else value)
        return context.make_tuple(builder, sig.return_type, values)

    return types.BaseTuple.from_types(kinds, bundle.instance_class)(bundle), codegen


@infer_global(operator.getitem)
class _Getitem(ConcreteTemplate):
    cases = [signature(kind.dtype, kind, types.int64) for kind in (NUMBERS, WHOLES)]


@infer_global(operator.setitem)
class _Setitem(ConcreteTemplate):
    cases = [signature(types.void, kind, types.int64, kind.dtype) for kind in (NUMBERS, WHOLES)]


@lower_builtin(operator.getitem, _Pointer, types.int64)
def _getitem(context, builder, sig, args):
    return builder.load(builder.gep(args[0], [args[1]]))


@lower_builtin(operator.setitem, _Pointer, types.int64, types.Number)
def _setitem(context, builder, sig, args):
    builder.store(args[2], builder.gep(args[0], [args[1]]))
    return context.get_dummy_value()


def _data(context, builder, array_type, array):
    if isinstance(array_type, _Pointer):
        return array
    return context.make_array(array_type)(context, builder, array).data


def _address(context, builder, array_type, array, index, width=WIDTH):
    """A pointer to the ``index``-th group of ``width`` numbers in the memory of an array."""
    data = _data(context, builder, array_type, array)
    offset = builder.mul(index, ir.Constant(_INT64, width)) if width > 1 else index
    return builder.gep(data, [offset])


def _holds(array, dtype=types.float64):
    """Whether numbers of a type can be taken from the memory of an array (or pointer)."""
    if isinstance(array, _Pointer):
        return array.dtype == dtype
    return isinstance(array, types.Array) and array.dtype == dtype and array.layout == "C"


@intrinsic
def load(typing_context, array, index):
    """The ``index``-th group of eight numbers in the memory of a C-contiguous array."""
    if not (_holds(array) and isinstance(index, types.Integer)):
        return None

    def codegen(context, builder, sig, args):
        pointer = _address(context, builder, sig.args[0], *args)
        return builder.load(builder.bitcast(pointer, _VECTOR.as_pointer()), align=8)

    return LANE(array, types.int64), codegen


@intrinsic
def load_at(typing_context, array, index):
    """Eight numbers that follow one another in memory, from the ``index``-th number of an array on."""
    if not (_holds(array) and isinstance(index, types.Integer)):
        return None

    def codegen(context, builder, sig, args):
        pointer = _address(context, builder, sig.args[0], *args, width=1)
        return builder.load(builder.bitcast(pointer, _VECTOR.as_pointer()), align=8)

    return LANE(array, types.int64), codegen


@intrinsic
def store(typing_context, array, index, value):
    """Put eight numbers into the ``index``-th group of an array's memory."""
    if not (_holds(array) and isinstance(index, types.Integer)):
        return None

    def codegen(context, builder, sig, args):
        pointer = _address(context, builder, sig.args[0], *args[:2])
        builder.store(args[2], builder.bitcast(pointer, _VECTOR.as_pointer()), align=8)
        return context.get_dummy_value()

    return types.void(array, types.int64, LANE), codegen


@intrinsic
def store_at(typing_context, array, index, value):
    """Put eight numbers one after the other, from the ``index``-th number of an array on."""
    if not (_holds(array) and isinstance(index, types.Integer)):
        return None

    def codegen(context, builder, sig, args):
        pointer = _address(context, builder, sig.args[0], *args[:2], width=1)
        builder.store(args[2], builder.bitcast(pointer, _VECTOR.as_pointer()), align=8)
        return context.get_dummy_value()

    return types.void(array, types.int64, LANE), codegen


@intrinsic
def stream(typing_context, source, start, target, place):
    """Copy eight numbers to a cache line of their own, past the caches: ``target[place]`` must begin one."""
    if not (_holds(source) and _holds(target)):
        return None

    def codegen(context, builder, sig, args):
        pointer = _address(context, builder, sig.args[0], args[0], args[1], width=1)
        value = builder.load(builder.bitcast(pointer, _VECTOR.as_pointer()), align=8)
        pointer = _address(context, builder, sig.args[2], args[2], args[3], width=1)
        line = builder.store(value, builder.bitcast(pointer, _VECTOR.as_pointer()), align=64)
        line.set_metadata("nontemporal", builder.module.add_metadata([ir.Constant(ir.IntType(32), 1)]))
        return context.get_dummy_value()

    return types.void(source, types.int64, target, types.int64), codegen


@intrinsic
def prefetch(typing_context, array, index):
    """Ask for the cache line of the ``index``-th number of an array without waiting for it; past the end is allowed."""
    if not isinstance(array, _Pointer):
        return None

    def codegen(context, builder, sig, args):
        bytes_of, whole = ir.IntType(8).as_pointer(), ir.IntType(32)
        place = builder.bitcast(builder.gep(args[0], [args[1]]), bytes_of)
        kind = ir.FunctionType(ir.VoidType(), [bytes_of, whole, whole, whole])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
        to_read, to_all_caches, data = 0, 3, 1
        builder.call(function, [place, *(ir.Constant(whole, how) for how in (to_read, to_all_caches, data))])
        return context.get_dummy_value()

    return types.void(array, types.int64), codegen


@intrinsic
def within_line(typing_context, array):
    """How many numbers after the beginning of a cache line the memory of an array begins."""

    def codegen(context, builder, sig, args):
        address = builder.ptrtoint(_data(context, builder, sig.args[0], args[0]), _INT64)
        return builder.and_(builder.lshr(address, ir.Constant(_INT64, 3)), ir.Constant(_INT64, 7))

    return types.int64(array), codegen


@intrinsic
def bit_set(typing_context, numbers, position):
    """The lanes in whose number (of an int64 array of eight) the bit at ``position`` is 1."""
    if not _holds(numbers, types.int64):
        return None

    def codegen(context, builder, sig, args):
        whole = ir.VectorType(_INT64, WIDTH)
        data = _data(context, builder, sig.args[0], args[0])
        vector = builder.load(builder.bitcast(data, whole.as_pointer()), align=8)
        mask = builder.shl(ir.Constant(_INT64, 1), args[1])
        first = builder.insert_element(ir.Constant(whole, ir.Undefined), mask, ir.Constant(ir.IntType(32), 0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), [0] * WIDTH)
        masks = builder.shuffle_vector(first, ir.Constant(whole, ir.Undefined), zeros)
        return builder.icmp_unsigned("!=", builder.and_(vector, masks), ir.Constant(whole, [0] * WIDTH))

    return MASK(numbers, types.int64), codegen


@intrinsic
def store_whole(typing_context, numbers, value):
    """Put the eight whole numbers of a lane into an int64 array of eight."""
    if not _holds(numbers, types.int64):
        return None

    def codegen(context, builder, sig, args):
        whole = ir.VectorType(_INT64, WIDTH)
        data = _data(context, builder, sig.args[0], args[0])
        builder.store(builder.fptosi(args[1], whole), builder.bitcast(data, whole.as_pointer()), align=8)
        return context.get_dummy_value()

    return types.void(numbers, LANE), codegen


@intrinsic
def transposed(typing_context, source, start, step, target, place, stride):
    """Eight groups of ``source``, at ``start`` and every ``step`` on, as eight runs of eight numbers in ``target``.

    Number j of group k goes to ``target[place + j * stride + k]``: what is a group of eight patients at each of eight
    times becomes eight times of each patient.
    """
    if not (_holds(source) and _holds(target)):
        return None

    def codegen(context, builder, sig, args):
        source, start, step, target, place, stride = args
        base = _address(context, builder, sig.args[0], source, start)
        pointer = builder.bitcast(base, _VECTOR.as_pointer())
        places = [builder.mul(step, ir.Constant(_INT64, k)) for k in range(WIDTH)]
        rows = [builder.load(builder.gep(pointer, [offset]), align=8) for offset in places]
        mask_type = ir.VectorType(ir.IntType(32), WIDTH)
        distance = 1
        while distance < WIDTH:  # swap blocks of 1, 2, 4 across the diagonal
            low = [k if not k & distance else WIDTH + k - distance for k in range(WIDTH)]
            high = [k + distance if not k & distance else WIDTH + k for k in range(WIDTH)]
            mixed = list(rows)
            for k in range(WIDTH):
                if not k & distance:
                    a, b = rows[k], rows[k + distance]
                    mixed[k] = builder.shuffle_vector(a, b, ir.Constant(mask_type, low))
                    mixed[k + distance] = builder.shuffle_vector(a, b, ir.Constant(mask_type, high))
            rows, distance = mixed, 2 * distance
        data = _data(context, builder, sig.args[3], target)
        for k in range(WIDTH):
            offset = builder.add(place, builder.mul(stride, ir.Constant(_INT64, k)))
            builder.store(rows[k], builder.bitcast(builder.gep(data, [offset]), _VECTOR.as_pointer()), align=8)
        return context.get_dummy_value()

    return types.void(source, types.int64, types.int64, target, types.int64, types.int64), codegen


@merged
def hand_over(source, start, out, base, count):
    """Copy ``count`` numbers from ``source[start]`` on to ``out[base]`` on, whole cache lines past the caches."""
    done = min((WIDTH - within_line(out) - base) & (WIDTH - 1), count)
    for k in range(done):
        out[base + k] = source[start + k]
    while done + WIDTH <= count:
        stream(source, start + done, out, base + done)
        done += WIDTH
    for k in range(done, count):
        out[base + k] = source[start + k]


def groups_of(size: int) -> int:
    """How many groups of eight hold ``size`` patients."""
    return -(-size // WIDTH)


def aligned(*shape: int) -> np.ndarray:
    """An uninitialised float64 array whose memory begins at a cache line, so that no group straddles two."""
    return aligned_together(shape)[0]


def aligned_together(*shapes: tuple[int, ...]) -> list[np.ndarray]:
    """Arrays as of :func:`aligned` from one piece of memory, which is what takes time for a single patient."""
    counts = [math.prod(shape) for shape in shapes]
    memory = np.empty(sum(groups_of(count) for count in counts) * WIDTH + WIDTH)
    start = (-memory.__array_interface__["data"][0] % 64) // 8  # `ctypes.data` is slower by far
    arrays = []
    for shape, count in zip(shapes, counts, strict=True):
        arrays.append(memory[start : start + count].reshape(shape))
        start += groups_of(count) * WIDTH
    return arrays
