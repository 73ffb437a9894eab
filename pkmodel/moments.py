"""What the rates of a linear system say without a simulation: terminal half-lives and areas to infinity, exactly.

A dose reaches some compartments, and an output is fed by some: what it can ever show is what lies on the ways between.
The matrix of those has no negative entry off its diagonal, and flows only add, so no slow exponential is ever cancelled
on the way: the output falls at last with the slowest rate among them. The rates are taken from each set of compartments
that exchange drug in both directions by itself, where they are well separated; over a chain of equal rates they are
exact too, where a decomposition of the whole matrix would have none.

Berman A, Plemmons RJ. Nonnegative matrices in the mathematical sciences. SIAM 1994, chapters 2 and 6.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from pkmodel import units
from pkmodel.errors import InputError, Problem
from pkmodel.network import Network

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

#: A rate below this part of the fastest one beside it is a rounding error of none.
_NONE = 1e-13


def terminal_half_life(network: Network, output: str, dosed: Flags) -> Floats:
    """The half-life (n,), h, with which an output falls at last.

    Parameters
    ----------
    output
        the name of an output of the model.
    dosed
        (s,) which states the drug is put into.

    Raises
    ------
    InputError
        where the output is not reached, nothing leaves, or a flow on the way is saturable or changes with time.
    """
    found = np.empty(network.size)
    for patients in _alike(network, np.broadcast_to(dosed, (network.size, dosed.size))):
        ways = _ways(network, output, dosed, int(patients[0]))
        slowest = _slowest(network.rates[np.ix_(patients, ways, ways)])
        if (slowest <= 0.0).any():
            raise _refused(network, output, "no elimination")
        found[patients] = math.log(2.0) / slowest
    return found


def area_to_infinity(network: Network, output: str, amounts: Floats) -> Floats:
    """The area (n,) under an output to infinity, mg h/L, after amounts (n, s), mg, that arrive at whatever time.

    Raises InputError as :func:`terminal_half_life` does.
    """
    return _moments(network, output, amounts)[0]


def volume_at_steady_state(network: Network, output: str, amounts: Floats) -> Floats:
    """Dose x AUMC / AUC^2 (n,), L, after amounts (n, s), mg, at once: exact where drug leaves from the centre only.

    Benet LZ, Galeazzi RL. Noncompartmental determination of the steady-state volume of distribution. J Pharm Sci
    1979;68:1071-1074. Raises InputError as :func:`terminal_half_life` does.
    """
    area, first = _moments(network, output, amounts)
    volume: Floats = amounts.sum(axis=1) * first / area**2
    return volume


def _moments(network: Network, output: str, amounts: Floats) -> tuple[Floats, Floats]:
    """The area under an output (n,), mg h/L, and under its product with time, mg h2/L, to infinity."""
    index = network.output_names.index(output)
    observed = int(network.output_compartment[index])
    scale = network.output_scale[index] * float(units.parse_unit(network.output_units[index]).factor)
    found = np.empty((2, network.size))
    for patients in _alike(network, amounts > 0):
        ways = _ways(network, output, amounts[patients[0]] > 0, int(patients[0]))
        rates = network.rates[np.ix_(patients, ways, ways)]
        if (_slowest(rates) <= 0.0).any():
            raise _refused(network, output, "no elimination")
        areas = np.linalg.solve(-rates, amounts[np.ix_(patients, ways)][..., None])
        place = int(np.flatnonzero(ways == observed)[0])
        found[0, patients] = areas[:, place, 0] * scale[patients]
        found[1, patients] = np.linalg.solve(-rates, areas)[:, place, 0] * scale[patients]
    return found[0], found[1]


def _alike(network: Network, dosed: Flags) -> list[NDArray[np.int64]]:
    """The patients in groups within which the same rates are 0 and the same states are ``dosed`` (n, s)."""
    size = network.size
    pattern = np.concatenate([(network.rates != 0).reshape(size, -1), dosed], axis=1)
    if (pattern == pattern[0]).all():
        return [np.arange(size)]
    _, group = np.unique(pattern, axis=0, return_inverse=True)
    return [np.flatnonzero(group.ravel() == index) for index in range(group.max() + 1)]


def _ways(network: Network, output: str, dosed: Flags, patient: int) -> NDArray[np.int64]:
    """The states on the ways from where drug is put to the compartment of an output."""
    observed = int(network.output_compartment[network.output_names.index(output)])
    rates = network.rates[patient]
    feeds = rates.T > 0  # [from, to]
    np.fill_diagonal(feeds, False)
    changing = np.zeros(rates.shape[0], dtype=bool)
    for flow in network.model.flows:
        if flow.rate is None or network.model.changes(flow.rate):
            source = network.states.index(flow.source)
            changing[source] = True
            if flow.target in network.states:
                feeds[source, network.states.index(flow.target)] = True
    reached = _closure(feeds, dosed)
    seen = np.zeros_like(dosed)
    seen[observed] = True
    between = reached & _closure(feeds.T, seen)
    if not between[observed]:
        raise _refused(network, output, "a dose that does not reach it")
    if (between & changing).any():
        raise _refused(network, output, "a flow that is saturable or changes with time")
    return np.flatnonzero(between).astype(np.int64)


def _closure(feeds: Flags, start: Flags) -> Flags:
    """What can be reached (s,) along ``feeds`` [from, to] from a set, which is part of it."""
    reached = start.copy()
    while (further := reached | feeds[reached].any(axis=0)).sum() > reached.sum():
        reached = further
    return reached


def _slowest(rates: Floats) -> Floats:
    """The slowest rate (n,), 1/h, of systems (n, s, s) with the same rates above 0; 0 where something never leaves."""
    from scipy.sparse.csgraph import connected_components

    count, label = connected_components(rates[0].T > 0, directed=True, connection="strong")
    slowest = np.full(rates.shape[0], np.inf)
    for group in range(count):
        members = np.flatnonzero(label == group)
        block = -rates[np.ix_(np.arange(rates.shape[0]), members, members)]
        rate = np.linalg.eigvals(block).real.min(axis=1)
        fastest = np.diagonal(block, axis1=1, axis2=2).max(axis=1, initial=0.0)
        slowest = np.minimum(slowest, np.where(rate < _NONE * fastest, 0.0, rate))
    return slowest


def _refused(network: Network, output: str, found: str) -> InputError:
    expected = f"constant rates on every way to {output}, and one out of the body"
    return InputError(Problem(found, expected, path=f"outputs.{output}", where=network.model.id))
