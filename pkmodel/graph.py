"""A graph of arithmetic over patients: every subexpression once, known by its number.

A node is *static* if it is the same at all times (parameters, covariates, constants), and *dynamic* if it depends on a
state or on the time since the first dose. Equal nodes are one node (hash-consing) and constants are folded.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pkmodel.core import ops

Floats = NDArray[np.float64]

#: Leaves of the graph, in the place of an operation.
CONSTANT, VALUE, STATE, TIME = -1, -2, -3, -4

#: The operations in numpy; comparisons give bools, which the caller turns into numbers.
NUMPY: dict[int, Callable[..., Any]] = {
    ops.ADD: np.add,
    ops.SUB: np.subtract,
    ops.MUL: np.multiply,
    ops.DIV: np.divide,
    ops.NEG: np.negative,
    ops.RECIPROCAL: lambda a: 1.0 / a,
    ops.POW: np.power,
    ops.SQRT: np.sqrt,
    ops.EXP: np.exp,
    ops.LOG: np.log,
    ops.MIN: np.minimum,
    ops.MAX: np.maximum,
    ops.GT: np.greater,
    ops.GE: np.greater_equal,
    ops.LT: np.less,
    ops.LE: np.less_equal,
    ops.EQ: np.equal,
    ops.NE: np.not_equal,
    ops.AND: np.logical_and,
    ops.OR: np.logical_or,
    ops.NOT: np.logical_not,
    ops.WHERE: lambda a, b, c: np.where(a != 0, b, c),
}
_COMMUTATIVE = {ops.ADD, ops.MUL, ops.MIN, ops.MAX, ops.EQ, ops.NE, ops.AND, ops.OR}


class Graph:
    """Nodes over ``size`` patients. Nodes are numbers; the arguments of a node are always smaller than itself."""

    def __init__(self, size: int):
        self.size = size
        self.op: list[int] = []
        self.args: list[tuple[int, ...]] = []
        #: What a leaf is: a constant, the name of a value, the index of a state.
        self.leaf: list[Any] = []
        #: Which states (and, as number -1, the time) each node depends on; empty for a static one.
        self.depends: list[frozenset[int]] = []
        self._known: dict[tuple[Any, ...], int] = {}
        self._arrays: dict[int, Floats] = {}
        self._shortcuts: dict[int, tuple[tuple[int, int], ...]] = {}
        self._derivatives: dict[int, dict[int, int]] = {}
        self.zero, self.one = self.constant(0.0), self.constant(1.0)

    # Leaves

    def constant(self, number: float) -> int:
        """The same number for everyone."""
        return self._node(CONSTANT, (), float(number), frozenset())

    def value(self, name: str, array: Floats) -> int:
        """A number per patient, (n,), known by its name."""
        node = self._node(VALUE, (), name, frozenset())
        self._arrays.setdefault(node, np.broadcast_to(array, (self.size,)).astype(np.float64))
        return node

    def state(self, index: int) -> int:
        """A state of the system."""
        return self._node(STATE, (), index, frozenset([index]))

    def time(self) -> int:
        """The time since the first dose, h."""
        return self._node(TIME, (), None, frozenset([-1]))

    def static(self, node: int) -> bool:
        """Whether a node is the same at all times."""
        return not self.depends[node]

    def array(self, node: int) -> Floats:
        """(n,) values of a static node."""
        if node not in self._arrays:
            with np.errstate(all="ignore"):
                for each in self._below([node], lambda inner: inner not in self._arrays):
                    if self.op[each] == CONSTANT:
                        self._arrays[each] = np.full(self.size, self.leaf[each])
                    else:
                        inner = [self._arrays[arg] for arg in self.args[each]]
                        self._arrays[each] = np.asarray(NUMPY[self.op[each]](*inner), dtype=np.float64)
        return self._arrays[node]

    def live(self, roots: Collection[int]) -> list[int]:
        """The dynamic nodes that roots need, and the static ones that these or the roots read; arguments first."""
        wanted = set(roots)
        for node in self._below(roots, lambda inner: not self.static(inner)):
            wanted |= {node, *self.args[node]}
        return sorted(wanted)

    def _below(
        self,
        nodes: Iterable[int],
        wanted: Callable[[int], bool],
        sources: Callable[[int], tuple[int, ...]] | None = None,
    ) -> list[int]:
        """The nodes for which ``wanted`` holds and that can be reached through such nodes, arguments first."""
        found: set[int] = set()
        waiting = [node for node in nodes if wanted(node)]
        while waiting:
            node = waiting.pop()
            if node not in found:
                found.add(node)
                waiting += [arg for arg in (sources or self.args.__getitem__)(node) if wanted(arg)]
        return sorted(found)

    def _with_slopes(self, node: int, *slopes: tuple[int, int]) -> int:
        """Note the derivatives of a node by others below it, in place of those by its arguments; returns the node."""
        if all(below < node for below, _ in slopes):
            self._shortcuts.setdefault(node, slopes)
        return node

    def _node(self, op: int, args: tuple[int, ...], leaf: Any = None, depends: frozenset[int] | None = None) -> int:
        if op in _COMMUTATIVE:  # static ones first, then in the order of their numbers
            args = tuple(sorted(args, key=lambda arg: (not self.static(arg), arg)))
        if args and all(self.op[arg] == CONSTANT for arg in args):
            with np.errstate(all="ignore"):
                return self.constant(float(NUMPY[op](*(np.float64(self.leaf[arg]) for arg in args))))
        key = (op, args, leaf)
        if key not in self._known:
            self._known[key] = len(self.op)
            self.op.append(op)
            self.args.append(args)
            self.leaf.append(leaf)
            self.depends.append(frozenset().union(*(self.depends[arg] for arg in args)) if depends is None else depends)
        return self._known[key]
