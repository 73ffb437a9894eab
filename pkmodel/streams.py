"""Named streams of random numbers, one for each random quantity, counted by patient (DESIGN section 6)."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from pkmodel.quasi import Draws

Floats = NDArray[np.float64]


def stream(seed: int, name: str, first: int, count: int) -> Floats:
    """Uniform numbers in (0, 1) of the stream ``name`` for patients ``first`` to ``first + count - 1``.

    Philox-4x64 with a key made of seed and name and a counter that stands for the patient, so any block of
    patients can be drawn alone. Salmon JK, et al. Parallel random numbers: as easy as 1, 2, 3. SC11 (2011).
    Under :class:`pkmodel.quasi.Draws` some streams are spread evenly instead.
    """
    if isinstance(seed, Draws) and name in seed.dimensions:
        return seed.uniforms(name, first, count)
    digest = hashlib.sha256(f"{int(seed)}/{name}".encode()).digest()
    generator = np.random.Philox(key=int.from_bytes(digest[:16], "little"))
    generator.advance(first // 4)
    raw = generator.random_raw(first % 4 + count)[first % 4 :]
    return ((raw >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52


def normals(seed: int, name: str, first: int, count: int) -> Floats:
    """Standard normal numbers of a stream, by the inverse of the distribution function."""
    from scipy.special import ndtri

    return ndtri(stream(seed, name, first, count))  # type: ignore[no-any-return]


def correlated(factor: Floats, independent: Floats) -> Floats:
    """``factor`` (k, k) times ``independent`` (k, n), with the same bits for a patient whoever else is there.

    A library's product of matrices may add up in another order for another number of columns.
    """
    found = np.zeros_like(independent)
    for column, numbers in zip(factor.T, independent, strict=True):
        found += column[:, None] * numbers
    return found
