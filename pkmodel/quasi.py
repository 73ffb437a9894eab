"""Patients spread evenly instead of at random: scrambled Sobol points and Latin hypercubes, in replicates.

The patients are dealt to several independent randomisations in turn, so that patient ``i`` is point ``i // r`` of
replicate ``i % r``, whatever chunk it is drawn in. What the replicates estimate varies as independent numbers do;
an interval comes of their spread (:mod:`pkmodel.replicates`). Owen AB. Quasi-Monte Carlo, replicated by randomisation:
Ann Stat 1997;25:1541-1562.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: Of Sobol points; each is moved by half a step, so none is 0 or 1.
_BITS = 30


class Draws(int):
    """A seed that spreads some of the named streams evenly; the others stay as they are under the plain seed.

    ``dimensions`` are the names of the streams that are spread. ``n`` is the number of patients, which a Latin
    hypercube must know beforehand and Sobol points need not.
    """

    method: str
    dimensions: tuple[str, ...]
    replicates: int
    n: int

    def __new__(cls, seed: int, method: str, dimensions: tuple[str, ...], replicates: int, n: int) -> Draws:
        """The seed ``seed`` with ``method`` sobol or latin_hypercube."""
        made = super().__new__(cls, seed)
        made.method, made.dimensions, made.replicates, made.n = method, dimensions, replicates, n
        return made

    def uniforms(self, name: str, first: int, count: int) -> Floats:
        """Numbers in (0, 1) (count,) of the dimension ``name`` for a block of patients."""
        size = self.n if self.method == "latin_hypercube" else 0
        block = _block(int(self), self.method, len(self.dimensions), self.replicates, size, first, count)
        found: Floats = block[self.dimensions.index(name)]
        return found


@lru_cache(maxsize=8)
def _block(seed: int, method: str, width: int, replicates: int, n: int, first: int, count: int) -> Floats:
    """The points (width, count) of a block of patients; read only, as it is kept for the next dimension."""
    found = np.empty((width, count))
    for replicate in range(replicates):
        start = max(0, -((replicate - first) // replicates))  # the first point of the replicate in the block
        stop = max(start, -((replicate - first - count) // replicates))
        if stop > start:
            if method == "sobol":
                points = _sobol(seed, replicate, width, start, stop)
            else:
                points = _hypercube(seed, replicate, width, n // replicates)[start:stop]
            found[:, start * replicates + replicate - first :: replicates] = points.T
    found.flags.writeable = False
    return found


def _generator(seed: int, method: str, replicate: int) -> np.random.Generator:
    digest = hashlib.sha256(f"{seed}/{method}/{replicate}".encode()).digest()
    return np.random.Generator(np.random.Philox(int.from_bytes(digest[:16], "little")))


def _sobol(seed: int, replicate: int, width: int, start: int, stop: int) -> Floats:
    """Points ``start`` to ``stop - 1`` (stop - start, width) of a scrambled Sobol sequence."""
    from scipy.stats import qmc

    engine = qmc.Sobol(width, scramble=True, bits=_BITS, rng=_generator(seed, "sobol", replicate))
    if start:
        engine.fast_forward(start)
        points = engine.random(stop - start)
    else:  # the library warns where the first call is for another number than a power of two
        points = engine.random(1 << (stop - 1).bit_length())[:stop]
    return np.asarray(points + 0.5 ** (_BITS + 1))


@lru_cache(maxsize=64)
def _hypercube(seed: int, replicate: int, width: int, size: int) -> Floats:
    """All points (size, width) of a Latin hypercube; no point of one can be made alone."""
    from scipy.stats import qmc

    points = qmc.LatinHypercube(width, rng=_generator(seed, "latin_hypercube", replicate)).random(size)
    inside: Floats = np.clip(points, 0.5**53, 1 - 0.5**53)
    return inside
