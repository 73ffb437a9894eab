"""What the written machine code computes: elementary functions to the last digits, and every operation of a tape."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import mpmath
import numpy as np
import pytest
from llvmlite import ir
from numpy.typing import NDArray

from pkmodel.core import elementary, ops
from pkmodel.core.emit import Lane, Writer
from pkmodel.core.equations import _operate
from pkmodel.core.lanes import WIDTH, aligned
from pkmodel.core.native import Library
from pkmodel.core.sparse import eliminate
from pkmodel.graph import NUMPY

Floats = NDArray[np.float64]


def run(function: Callable[..., Lane], *operands: Floats) -> Floats:
    """A function of lanes on arrays, eight numbers at a time."""
    module = ir.Module()
    writer = Writer(module, "run")
    writer.store(len(operands), function(*(writer.load(row) for row in range(len(operands)))))
    writer.finish()
    library = Library(module, ["run"])
    code = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)(library.address["run"])
    memory = aligned(len(operands) + 1, WIDTH)
    size = operands[0].size
    found = np.empty(-(-size // WIDTH) * WIDTH)
    padded = [np.resize(operand, found.size) for operand in operands]
    for start in range(0, found.size, WIDTH):
        for row, operand in enumerate(padded):
            memory[row] = operand[start : start + WIDTH]
        code(memory.ctypes.data)
        found[start : start + WIDTH] = memory[-1]
    return found[:size]


def relative(found: Floats, exact: list[mpmath.mpf]) -> float:
    """The largest relative error."""
    pairs = zip(found.tolist(), exact, strict=True)
    return max(float(abs((mpmath.mpf(number) - known) / known)) for number, known in pairs if known != 0)


def test_exponential() -> None:
    """To 2.5e-16, over the whole range and near 0."""
    random = np.random.default_rng(1)
    x = np.concatenate([random.uniform(-708, 709, 800), random.uniform(-1, 1, 800), random.uniform(-1e-8, 1e-8, 100)])
    with mpmath.workdps(40):
        assert relative(run(elementary.exponential, x), [mpmath.exp(float(each)) for each in x]) < 2.5e-16
        below = -np.abs(x[np.abs(x) < 700])
        assert relative(run(elementary.decaying, below), [mpmath.exp(float(each)) for each in below]) < 2.5e-16


def test_mean_exponential() -> None:
    """(e**x - 1) / x without cancellation."""
    random = np.random.default_rng(2)
    x = np.concatenate(
        [random.uniform(-700, 5, 800), random.uniform(-1, 1, 400), 10.0 ** random.uniform(-300, -3, 400)]
    )
    with mpmath.workdps(400):
        exact = [mpmath.expm1(float(each)) / float(each) for each in x]
    assert relative(run(elementary.mean_exponential, x), exact) < 4e-16
    assert run(elementary.mean_exponential, np.zeros(8)).tolist() == [1.0] * 8


def test_logarithm() -> None:
    """To 2.5e-16, subnormal numbers and the neighbours of 1 included."""
    random = np.random.default_rng(3)
    x = np.concatenate(
        [np.exp(random.uniform(-744, 709, 800)), random.uniform(0.5, 2, 800), 1 + random.uniform(-1e-6, 1e-6, 200)]
    )
    with mpmath.workdps(40):
        assert relative(run(elementary.logarithm, x), [mpmath.log(float(each)) for each in x]) < 2.5e-16


def test_power() -> None:
    """To 3e-16, however large the exponent: a Hill coefficient must not cost digits."""
    random = np.random.default_rng(4)
    x = np.concatenate([np.exp(random.uniform(-30, 30, 1000)), random.uniform(0.9, 1.1, 500)])
    y = np.concatenate([random.uniform(-12, 12, 1000), random.uniform(-3000, 3000, 500)])
    with mpmath.workdps(40):
        exact = [mpmath.mpf(float(a)) ** float(b) for a, b in zip(x, y, strict=True)]
    usual = np.array([1e-300 < each < 1e300 for each in exact])
    assert usual.sum() > 1400
    found = run(elementary.power, x, y)
    assert relative(found[usual], [each for each, is_usual in zip(exact, usual, strict=True) if is_usual]) < 3e-16


SPECIAL = np.array(
    [0.0, -0.0, 1.0, -1.0, 0.5, 3.0, np.inf, -np.inf, np.nan, 5e-324, 1e-310, 1e300, -1e300, 709.9, -745.2]
)


@pytest.mark.parametrize("op", range(len(ops.OPERANDS)))
def test_operations(op: int) -> None:
    """Every operation of a tape as numpy has it, on usual numbers and on the odd ones."""
    count = ops.OPERANDS[op]
    random = np.random.default_rng(op)
    usual = [random.uniform(0.1, 5.0, 64) for _ in range(count)]
    usual[0][::3] = usual[-1][::3]  # equal ones
    usual[0][::5] = 0.0
    grids = [grid.ravel() for grid in np.meshgrid(*[SPECIAL] * count)]
    for operands in (usual, grids):
        with np.errstate(all="ignore"):
            expected = np.asarray(NUMPY[op](*operands), dtype=float)
        found = run(lambda *lanes: _operate(op, *lanes), *operands)
        kept = np.ones(found.size, dtype=bool)
        if op == ops.POW:  # negative bases are not used, nor are subnormal ones
            kept = (operands[0] > 1e-300) | ((operands[0] == 0.0) & ~np.signbit(operands[0]))
        if op in (ops.EXP, ops.POW):  # what is too small for a normal number is 0
            expected = np.where(np.abs(expected) < 2.3e-308, 0.0, expected)
            found = np.where(np.abs(found) < 2.3e-308, 0.0, found)
        exactly = op not in (ops.EXP, ops.LOG, ops.POW)
        assert np.allclose(found[kept], expected[kept], rtol=0 if exactly else 5e-16, atol=0, equal_nan=True)


def test_rough_functions() -> None:
    """Good enough for step lengths."""
    x = np.exp(np.random.default_rng(5).uniform(-600, 600, 400))
    assert np.abs(run(elementary.rough_log2, x) - np.log2(x)).max() < 0.011
    y = np.random.default_rng(6).uniform(-900, 900, 400)
    assert np.abs(run(elementary.rough_exp2, y) / 2.0**y - 1).max() < 0.005


@pytest.mark.parametrize("seed", range(20))
def test_elimination(seed: int) -> None:
    """The lists of a sparse elimination solve the system, for any pattern."""
    random = np.random.default_rng(seed)
    size = int(random.integers(1, 12))
    pattern = random.random((size, size)) < 0.3
    matrix = np.where(pattern, random.uniform(-1, 0, (size, size)), 0.0)
    np.fill_diagonal(matrix, random.uniform(0.5, 1.0, size) + np.abs(matrix).sum(axis=0))
    found = eliminate(pattern)
    assert sorted(found.order) == list(range(size))
    lower, upper = np.zeros((size, size)), np.eye(size)
    place = {state: rank for rank, state in enumerate(found.order)}
    for (i, j), products in zip(found.entries, found.products, strict=True):
        value = matrix[i, j] - sum(lower[i, k] * upper[k, j] for k in products)
        if place[i] >= place[j]:
            lower[i, j] = value
        else:
            upper[i, j] = value / lower[i, i]
    assert np.allclose(lower @ upper, matrix, rtol=0, atol=1e-14 * size)
    for i in range(size):
        assert set(found.lower[i]) >= set(np.flatnonzero(lower[i])) - {i}
        assert set(found.upper[i]) >= set(np.flatnonzero(upper[i])) - {i}


def test_compartment_models_fill_nothing_in() -> None:
    """A mammillary model with depots and a metabolite is eliminated without a new entry, feeders first."""
    flows = [(0, 2), (1, 2), (1, 5), (2, 3), (3, 2), (2, 4), (4, 2), (2, 5), (5, 6), (6, 5), (2, 7), (7, 8)]
    pattern = np.eye(9, dtype=bool)
    for source, target in flows:
        pattern[target, source] = True
    found = eliminate(pattern)
    assert len(found.entries) == int(pattern.sum())
    assert sum(len(row) for row in found.upper) == 3  # only from the centres to the peripheries
