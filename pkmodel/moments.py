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
    for patient in range(network.size):
        ways = _ways(network, output, dosed, patient)
        slowest = _slowest(network.rates[patient][np.ix_(ways, ways)])
        if slowest <= 0.0:
            raise _refused(network, output, "no elimination")
        found[patient] = math.log(2.0) / slowest
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
    for patient in range(network.size):
        ways = _ways(network, output, amounts[patient] > 0, patient)
        rates = network.rates[patient][np.ix_(ways, ways)]
        if _slowest(rates) <= 0.0:
            raise _refused(network, output, "no elimination")
        areas = np.linalg.solve(-rates, amounts[patient, ways])
        place = int(np.flatnonzero(ways == observed)[0])
        found[0, patient] = areas[place] * scale[patient]
        found[1, patient] = np.linalg.solve(-rates, areas)[place] * scale[patient]
    return found[0], found[1]


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


def _slowest(rates: Floats) -> float:
    """The slowest rate of a system, 1/h; 0 where something never leaves."""
    from scipy.sparse.csgraph import connected_components

    count, label = connected_components(rates.T > 0, directed=True, connection="strong")
    slowest = math.inf
    for group in range(count):
        members = np.flatnonzero(label == group)
        block = -rates[np.ix_(members, members)]
        rate = float(np.linalg.eigvals(block).real.min())
        slowest = min(slowest, 0.0 if rate < _NONE * block.diagonal().max(initial=0.0) else rate)
    return slowest


def _refused(network: Network, output: str, found: str) -> InputError:
    expected = f"constant rates on every way to {output}, and one out of the body"
    return InputError(Problem(found, expected, path=f"outputs.{output}", where=network.model.id))
