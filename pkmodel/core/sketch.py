"""Quantiles from counts: a histogram on the logarithmic grid that a float64 carries in its own bits.

Bins are integer counts, so sketches of parts of a population add up to the same bits in any order.
Each octave has 128 bins, so a quantile is within 0.4 % of the sample's.
"""

from __future__ import annotations

import numpy as np

from pkmodel.core.jit import kernel, piece

_LOW_EXPONENT, _HIGH_EXPONENT = -14, 18
_SHIFT = 45
_BASE = (1023 + _LOW_EXPONENT) << 7
_SPAN = (_HIGH_EXPONENT - _LOW_EXPONENT) << 7
#: Bin 0 holds everything below 2**-14 (a level of practically nothing), the last one all above 2**18.
BINS = _SPAN + 2
#: Half the width of a bin over its middle: the largest relative error of a quantile inside the range.
RELATIVE_ERROR = 2.0**-8


@piece
def bin_of(level):
    """The bin of a level of at least 0."""
    key = (np.float64(level).view(np.int64) >> _SHIFT) - _BASE + 1
    return min(max(key, 0), BINS - 1)


def bins_of(levels: np.ndarray) -> np.ndarray:
    """The bin (...) of each of ``levels`` (...), all at least 0: as :func:`bin_of`, for Python to call."""
    keys = (np.ascontiguousarray(levels, dtype=np.float64).view(np.int64) >> _SHIFT) - _BASE + 1
    found: np.ndarray = np.clip(keys, 0, BINS - 1)
    return found


def middles() -> np.ndarray:
    """The level that stands for each bin (BINS,): its middle; 0 for the lowest."""
    keys = (np.arange(_SPAN, dtype=np.int64) + _BASE) << _SHIFT
    edges = keys.view(np.float64)
    upper = ((np.arange(_SPAN, dtype=np.int64) + _BASE + 1) << _SHIFT).view(np.float64)
    return np.concatenate([[0.0], 0.5 * (edges + upper), [2.0**_HIGH_EXPONENT]])


def quantiles(counts: np.ndarray, shares: np.ndarray, levels: np.ndarray | None = None) -> np.ndarray:
    """Quantiles (..., len(shares)) of sketches ``counts`` (..., BINS), or (..., SIGNED) of values of either sign.

    Or of counts (..., b) of other bins, with what stands for each: ``levels`` (b,). The share p is the level at rank
    ``ceil(p n)``: a value of the sample, not between two of them.
    """
    # Only the bins that something fell into: a few hundred of the thousands.
    signed = counts.shape[-1] == SIGNED
    used = np.flatnonzero(counts.reshape(-1, counts.shape[-1]).any(axis=0))
    first, last = (int(used[0]), int(used[-1]) + 1) if used.size else (0, 1)
    cumulative = counts[..., first:last].cumsum(axis=-1, dtype=np.int64)
    totals = cumulative[..., -1]
    if levels is None:
        sizes = middles()
        levels = np.concatenate([-sizes[::-1], sizes]) + 0.0 if signed else sizes
    table = levels[first:last]
    found = np.empty((*counts.shape[:-1], len(shares)))
    for index, share in enumerate(shares):
        rank = np.maximum(np.ceil(share * totals - 1e-9), 1)
        found[..., index] = table[np.argmax(cumulative >= rank[..., None], axis=-1)]
    return found


#: Bins of a sketch of values of either sign: those of their sizes below 0, from the largest, then those above.
SIGNED = 2 * BINS


@kernel
def count_signed(values, counts):
    """Count ``values`` (n, t), of either sign, into ``counts`` (t, SIGNED); a size below 2**-14 counts as 0."""
    for patient in range(values.shape[0]):
        for at in range(values.shape[1]):
            value = values[patient, at]
            place = BINS + bin_of(value) if value >= 0.0 else BINS - 1 - bin_of(-value)
            counts[at, place] += 1


@kernel
def count(levels, counts):
    """Count ``levels`` (n,) into ``counts`` (BINS,)."""
    for index in range(levels.shape[0]):
        counts[bin_of(levels[index])] += 1
