"""The eight-lane number type: every operation against numpy, lane by lane and bit by bit."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pkmodel.core import lanes
from pkmodel.core.jit import kernel
from pkmodel.core.lanes import WIDTH

A = np.array([1.5, -2.25, 0.0, 1e300, -1e-300, 3.0, 1 / 3, -0.1])
B = np.array([2.0, -2.25, 5.0, 1e10, 7.0, -3.0, 1 / 7, 0.3])


@kernel
def _operations(a, b, out):
    x, y = lanes.load(a, 0), lanes.load(b, 0)
    lanes.store(out, 0, x + y)
    lanes.store(out, 1, x - 0.5)
    lanes.store(out, 2, 2.0 * x)
    lanes.store(out, 3, x / y)
    lanes.store(out, 4, -x)
    lanes.store(out, 5, lanes.fma(x, y, lanes.splat(1.0)))
    lanes.store(out, 6, lanes.choose(x > y, x, y))
    lanes.store(out, 7, lanes.larger(x, y))
    lanes.store(out, 8, lanes.smaller(x, y))
    lanes.store(out, 9, lanes.magnitude(x))
    lanes.store(out, 10, lanes.square_root(lanes.magnitude(x)))
    lanes.store(out, 11, lanes.rounded(y))
    lanes.store(out, 12, lanes.floored(y))
    lanes.store(out, 13, lanes.choose((x > 0.0) & ~(y > 1.0) | (x == y), lanes.splat(1.0), lanes.splat(0.0)))
    lanes.store(out, 14, lanes.power_of_two(lanes.rounded(y)))
    return lanes.bits(x >= y), lanes.bits(lanes.of_bits(np.int64(0b10110001)))


def test_arithmetic() -> None:
    """Each lane is what numpy gives for its number; multiplication and addition are fused only by fma."""
    out = np.empty((15, WIDTH))
    greater, same = _operations(A.copy(), np.clip(B, -1000, 1000), out)
    b = np.clip(B, -1000, 1000)
    expected = [A + b, A - 0.5, 2 * A, A / b, -A, out[5], np.maximum(A, b), np.maximum(A, b), np.minimum(A, b), abs(A)]
    expected += [np.sqrt(abs(A)), np.rint(b), np.floor(b), ((A > 0) & ~(b > 1) | (b == A)).astype(float)]
    expected += [2.0 ** np.rint(b)]
    np.testing.assert_array_equal(out, np.array(expected))
    assert greater == sum(1 << lane for lane in range(WIDTH) if A[lane] >= b[lane])
    assert same == 0b10110001


def test_fused_multiplication_rounds_once() -> None:
    """1 + 2**-30 squared, less its rounded square, is the rounding itself: lost without fusion."""
    x = np.full(WIDTH, 1 + 2.0**-30)
    out = np.empty((15, WIDTH))

    @kernel
    def fused(x, out):
        number = lanes.load(x, 0)
        lanes.store(out, 0, lanes.fma(number, number, -(number * number)))

    fused(x, out)
    assert (out[0] == 2.0**-60).all()


@kernel
def _moves(source, target, wholes, out):
    lanes.transposed(source, 1, 2, target, 3, 11)
    lanes.store_whole(wholes, lanes.load(source, 0))
    lanes.store(out, 0, lanes.choose(lanes.bit_set(wholes, np.int64(2)), lanes.splat(1.0), lanes.splat(0.0)))
    memory = lanes.pointer(source)
    memory[5] = memory[6] + 1.0
    return memory[5]


def test_moving_numbers() -> None:
    """Transposing groups of patients into runs of times, whole numbers and their bits, single numbers by pointer."""
    source = np.arange(20.0 * WIDTH).reshape(20, WIDTH)
    groups = source[1:17:2].copy()
    target, wholes, out = np.zeros(100), np.zeros(WIDTH, dtype=np.int64), np.empty((1, WIDTH))
    assert _moves(source, target, wholes, out) == 7.0
    for lane in range(WIDTH):
        np.testing.assert_array_equal(target[3 + 11 * lane : 3 + 11 * lane + WIDTH], groups[:, lane])
    np.testing.assert_array_equal(wholes, np.arange(WIDTH))
    np.testing.assert_array_equal(out[0], np.arange(WIDTH) >> 2 & 1)


@kernel
def _copy(source, start, out, base, count):
    lanes.hand_over(source, start, out, base, count)


@pytest.mark.parametrize("base", range(WIDTH + 1))
@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 30])
def test_handing_over(base: int, count: int) -> None:
    """Exactly the numbers asked for are copied, wherever the target lies in its cache line."""
    source, out = np.arange(100.0), np.full(100, -1.0)
    _copy(source, 3, out, base, count)
    expected = np.full(100, -1.0)
    expected[base : base + count] = source[3 : 3 + count]
    np.testing.assert_array_equal(out, expected)


def test_aligned_memory() -> None:
    """Memory for lanes begins at a cache line."""
    for _ in range(20):
        assert lanes.aligned(3, 5, WIDTH).ctypes.data % 64 == 0
    assert [lanes.groups_of(size) for size in (1, 8, 9)] == [1, 1, 2]
    assert math.prod(lanes.aligned(2, WIDTH).shape) == 2 * WIDTH
