"""Which compartments reach which: the sparsity of a model, worked out once before its patients are run.

The state is ``[states of the model | running integrals | input ports]``. ``exp(M t)`` is non-zero exactly where a path
leads from one state to another, so its entries are numbered once (row by row) and every product of two such
matrices is a fixed list of multiplications. A nasal model with a metabolite has 31 such entries of 49.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numba.core.compiler_lock import global_compiler_lock
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pkmodel.core.straight import Straight

Ints = NDArray[np.int64]


class Structure(NamedTuple):
    """The entries of ``exp(M t)`` for a state of ``size``, and what multiplies what.

    ``row`` and ``column`` (entries,) name the entries, those of row i from ``row_start[i]``; ``diagonal`` (size,) finds
    the diagonal. For entry k of a product, the pairs ``product_left`` x ``product_right`` from ``product_start[k]`` are
    added up; on the diagonal the pair of the entry with itself is the last one. ``taylor_*`` is the same for ``M``
    times a matrix of this pattern. ``direct_entry`` and ``direct_column`` (from ``direct_start[i]``) are the entries of
    ``M`` itself. ``apply_code`` and ``term_code`` are where :mod:`pkmodel.core.straight` has written out what is done
    most, or 0. The first ``states`` states are the model's; the next are running integrals; the last ``ports`` are
    input ports.
    """

    size: int
    states: int
    ports: int
    entries: int
    row: Ints
    column: Ints
    row_start: Ints
    diagonal: Ints
    product_start: Ints
    product_left: Ints
    product_right: Ints
    taylor_start: Ints
    taylor_left: Ints
    taylor_right: Ints
    direct_start: Ints
    direct_entry: Ints
    direct_column: Ints
    apply_code: int = 0
    term_code: int = 0


#: Patients of a block that make up for the time to write out a structure.
_MANY = 500


def structure_of(flows: NDArray[np.bool_], integrand: Ints, port_state: Ints, patients: int = 1) -> Structure:
    """The structure of a model; worked out once, however often it is asked for, and written out for many patients.

    Parameters
    ----------
    flows
        (s, s), true where the rate from state j (column) to state i (row) is not zero in every patient.
    integrand
        (k,) states whose running integral is wanted.
    port_state
        (q,) states that infusions pour into.
    """
    key = flows.shape[0], flows.tobytes(), tuple(integrand.tolist()), tuple(port_state.tolist())
    if patients < _MANY:
        return _structure_of(*key)
    with global_compiler_lock:  # one thread writes it, the others wait
        return _written_out(*key).structure


@functools.lru_cache(maxsize=64)
def _written_out(*key: Any) -> Straight:
    from pkmodel.core.straight import Straight

    return Straight(_structure_of(*key))


@functools.lru_cache(maxsize=256)
def _structure_of(states: int, pattern: bytes, integrals: tuple[int, ...], ports: tuple[int, ...]) -> Structure:
    flows = np.frombuffer(pattern, dtype=bool).reshape(states, states)
    integrand, port_state = np.array(integrals, dtype=np.int64), np.array(ports, dtype=np.int64)
    first_port = states + integrand.size
    size = first_port + port_state.size
    direct = np.zeros((size, size), dtype=bool)
    direct[:states, :states] = flows
    direct[states + np.arange(integrand.size), integrand] = True
    direct[port_state, first_port + np.arange(port_state.size)] = True
    np.fill_diagonal(direct, True)
    reach = direct
    while True:
        further = (reach.astype(np.int64) @ reach.astype(np.int64)) > 0
        if (further == reach).all():
            break
        reach = further
    row, column = (index.astype(np.int64) for index in np.nonzero(reach))
    entry = np.full((size, size), -1, dtype=np.int64)
    entry[row, column] = np.arange(row.size)
    product, taylor = [], []
    for i, j in zip(row, column, strict=True):
        through = np.flatnonzero(reach[i] & reach[:, j])
        if i == j:
            through = np.append(through[through != i], i)
        product.append((entry[i, through], entry[through, j]))
        through = np.flatnonzero(direct[i] & reach[:, j])
        taylor.append((entry[i, through], entry[through, j]))
    direct_row, direct_column = (index.astype(np.int64) for index in np.nonzero(direct))
    return Structure(
        size=size,
        states=states,
        ports=port_state.size,
        entries=row.size,
        row=row,
        column=column,
        row_start=np.searchsorted(row, np.arange(size + 1)).astype(np.int64),
        diagonal=entry[np.arange(size), np.arange(size)].copy(),
        product_start=_starts(product),
        product_left=np.concatenate([left for left, _ in product]),
        product_right=np.concatenate([right for _, right in product]),
        taylor_start=_starts(taylor),
        taylor_left=np.concatenate([left for left, _ in taylor]),
        taylor_right=np.concatenate([right for _, right in taylor]),
        direct_start=np.searchsorted(direct_row, np.arange(size + 1)).astype(np.int64),
        direct_entry=entry[direct_row, direct_column],
        direct_column=direct_column,
    )


def _starts(lists: list[tuple[Ints, Ints]]) -> Ints:
    return np.cumsum([0, *(left.size for left, _ in lists)]).astype(np.int64)
