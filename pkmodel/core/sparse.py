"""The elimination of a sparse Jacobian, worked out once for all patients of a model.

Which state acts on which is the same for every patient, so the order of elimination, the entries that it fills in and
every multiplication are lists made here, in Python; a kernel only follows them (:mod:`pkmodel.core.rosenbrock`).
Pivots stay on the diagonal. That is stable for compartment models: what leaves one compartment enters at most the
others, so ``I / (gamma h) - J`` is diagonally dominant by columns; feedback terms keep it so for small enough steps.

Markowitz HM. The elimination form of the inverse and its application to linear programming. Manage Sci 1957;3:255-269.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


class Elimination(NamedTuple):
    """How ``L U = W`` is computed and used; U has a unit diagonal (Crout).

    ``order`` (s,) lists the states as they are eliminated. ``entries`` names the computed entries (i, j) in the order
    in which they are computed, and ``products`` for each of them the states k of its update, the sum of
    ``L[i, k] * U[k, j]``. ``lower`` and ``upper`` (by state i) are the columns of the entries beside the diagonal.
    """

    order: list[int]
    entries: list[tuple[int, int]]
    products: list[list[int]]
    lower: list[list[int]]
    upper: list[list[int]]


def eliminate(pattern: NDArray[np.bool_]) -> Elimination:
    """The elimination of a matrix whose entries are non-zero where ``pattern`` (s, s) is true; the diagonal counts.

    The next pivot is the one that fills in the fewest entries; of those, the one with the fewest entries in its row,
    so that states come after those that feed them, for entries of L cost less than entries of U.
    """
    size = pattern.shape[0]
    filled = pattern | np.eye(size, dtype=bool)
    left = list(range(size))
    order: list[int] = []
    updates: dict[tuple[int, int], list[int]] = {}
    while left:
        pivot = min(left, key=lambda state: _cost(filled, left, state))
        left.remove(pivot)
        order.append(pivot)
        for i in left:
            for j in left:
                if filled[i, pivot] and filled[pivot, j]:
                    filled[i, j] = True
                    updates.setdefault((i, j), []).append(pivot)
    rank = {state: place for place, state in enumerate(order)}
    entries: list[tuple[int, int]] = []
    for place, pivot in enumerate(order):
        entries.append((pivot, pivot))
        for other in order[place + 1 :]:
            entries += [entry for entry in ((other, pivot), (pivot, other)) if filled[entry]]
    return Elimination(
        order=order,
        entries=entries,
        products=[updates.get(entry, []) for entry in entries],
        lower=[[j for j in order if filled[i, j] and rank[j] < rank[i]] for i in range(size)],
        upper=[[j for j in order if filled[i, j] and rank[j] > rank[i]] for i in range(size)],
    )


def _cost(filled: NDArray[np.bool_], left: list[int], state: int) -> tuple[int, int, int, int]:
    """What the choice of a pivot goes by, least first."""
    above = [i for i in left if i != state and filled[i, state]]
    beside = [j for j in left if j != state and filled[state, j]]
    new = sum(not filled[i, j] for i in above for j in beside)
    return new, len(beside), -len(above), state
