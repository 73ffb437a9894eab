"""Exponential, logarithm and power of eight numbers at a time, from additions, multiplications and their fusion only.

A library's functions differ in the last digit from machine to machine and work on one number after the other; these
give the same bits everywhere. Errors are below 3e-16 (relative) over the whole range. Results below the smallest
normal number (2e-308) are 0.

The logarithm: s = (m - 1) / (m + 1), log m = 2 atanh s, on m from 0.7 to 1.4. A power keeps the logarithm as a sum of
two numbers. See Muller JM. Elementary functions: algorithms and implementation. 3rd ed. Birkhauser 2016.
"""

from __future__ import annotations

from pkmodel.core.emit import Lane

_INFINITY = float("inf")
_NAN = float("nan")
_LOG2_E = 1.4426950408889634
#: log 2 in two pieces; the first ends in 32 zero bits, so that a whole number times it is exact.
_LN2_HIGH, _LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
_HIGHEST, _LOWEST = 709.782712893384, -708.3964185322641
_SMALLEST = 2.2250738585072014e-308
_SQRT_2 = 1.4142135623730951
_TWO_54 = 18014398509481984.0
#: 1 / k! from k = 13 down to 2.
_FACTORIALS = tuple(
    1.0 / f for f in (6227020800, 479001600, 39916800, 3628800, 362880, 40320, 5040, 720, 120, 24, 6, 2)
)
#: 2 / k from k = 23 down to 3, odd.
_ODD = tuple(2.0 / k for k in range(23, 1, -2))


def _reduced(x: Lane) -> tuple[Lane, Lane]:
    """A whole number n and e**r - 1, where x = n log 2 + r; x is kept where the result can be represented."""
    x = x.equals(x).choose(x.smaller(_HIGHEST).larger(_LOWEST), 0.0)
    n = (x * _LOG2_E).rounded()
    r = n.times(-_LN2_LOW, n.times(-_LN2_HIGH, x))
    return n, (r * r).times(r.polynomial(_FACTORIALS), r)


def _scaled(x: Lane, n: Lane) -> Lane:
    """``x * 2**n`` for n from -1022 to 1024, in two steps because 2**1024 is not a number."""
    half = (n * 0.5).floored()
    return x * half.power_of_two() * (n - half).power_of_two()


def exponential(x: Lane) -> Lane:
    """e to the power x."""
    n, p = _reduced(x)
    result = (x < _LOWEST).choose(0.0, (x > _HIGHEST).choose(_INFINITY, _scaled(1.0 + p, n)))
    return x.equals(x).choose(result, x)


def decaying(x: Lane) -> Lane:
    """e to the power x for x of at most 0 (0 below -700), in fewer instructions."""
    x = x.larger(-700.0)
    n = (x * _LOG2_E).rounded()
    r = n.times(-_LN2_LOW, n.times(-_LN2_HIGH, x))
    p = (r * r).times(r.polynomial(_FACTORIALS), r)
    power = n.power_of_two()
    return (x > -700.0).choose(power.times(p, power), 0.0)


def mean_exponential(x: Lane) -> Lane:
    """``(e**x - 1) / x`` for x up to 700, and 1 at 0: the mean of e**(x t) over t from 0 to 1."""
    n, p = _reduced(x)
    power = _scaled(x.writer.number(1.0), n)
    return x.equals(0.0).choose(1.0, power.times(p, power - 1.0) / x)


def _split_logarithm(x: Lane) -> tuple[Lane, Lane]:
    """The natural logarithm of positive finite numbers as a sum of two, good to 1e-18."""
    tiny = x < _SMALLEST
    x = tiny.choose(x * _TWO_54, x)
    k, m = x.exponent(), x.mantissa()
    large = m > _SQRT_2
    k = large.choose(k + 1.0, k) - tiny.choose(54.0, 0.0)
    m = large.choose(0.5 * m, m)
    above, below = m - 1.0, m + 1.0
    lost = (1.0 - below) + m  # what rounding took off m + 1
    s = above / below
    rest = ((-s).times(below, above) - s * lost) / below
    square = s * s
    tail = (s * square).times(square.polynomial(_ODD), 2.0 * rest) + k * _LN2_LOW
    whole, part = k * _LN2_HIGH, 2.0 * s
    # Sums in which the first is the larger, or 0: what each of them rounds off is kept.
    first = whole + part
    tail = ((whole - first) + part) + tail
    high = first + tail
    return high, (first - high) + tail


def logarithm(x: Lane) -> Lane:
    """The natural logarithm; -infinity at 0, NaN below."""
    usable = (x > 0.0) & (x < _INFINITY)
    high, low = _split_logarithm(usable.choose(x, 1.0))
    special = x.equals(0.0).choose(-_INFINITY, x.equals(_INFINITY).choose(x, _NAN))
    return usable.choose(high + low, special)


def power(a: Lane, b: Lane) -> Lane:
    """a to the power b for a of at least 0; NaN below."""
    usable = (a > 0.0) & (a < _INFINITY)
    high, low = _split_logarithm(usable.choose(a, 1.0))
    product = b * high
    rest = b.times(high, -product) + b * low
    raised = exponential(product)
    raised = ((raised > 0.0) & (raised < _INFINITY)).choose(raised.times(rest, raised), raised)
    grows = a.equals(0.0).choose(-b, b)
    edge = (grows > 0.0).choose(_INFINITY, (grows < 0.0).choose(0.0, _NAN))
    edge = (a.equals(0.0) | a.equals(_INFINITY)).choose(edge, _NAN)
    return (b.equals(0.0) | a.equals(1.0)).choose(1.0, usable.choose(raised, edge))


def rough_log2(x: Lane) -> Lane:
    """The binary logarithm to 0.01, for step control."""
    m = x.mantissa()
    return x.exponent() + m.times(m.times(-1.0 / 3.0, 2.0), -5.0 / 3.0)


def rough_exp2(x: Lane) -> Lane:
    """2 to the power x to 0.4 %, for x from -1000 to 1000."""
    n = x.floored()
    part = x - n
    return n.power_of_two() * part.times(part.times(0.3435, 0.6565), 1.0)
