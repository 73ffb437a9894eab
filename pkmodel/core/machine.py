"""A model and a method as machine code: the functions that the driver of an integration calls."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core.compiler_lock import global_compiler_lock
from numpy.typing import NDArray

from pkmodel.core import explicit, rosenbrock, stepping
from pkmodel.core.emit import Writer
from pkmodel.core.equations import Equations
from pkmodel.core.method import Method
from pkmodel.core.native import Library
from pkmodel.core.ops import Tape

#: The functions, in the order of their addresses.
NAMES = ("evaluate", "start", "attempt", "draw", "values")
EVALUATE, START, ATTEMPT, DRAW, VALUES = range(5)

STIFF, EXPLICIT = rosenbrock.METHOD, explicit.METHOD


class Machine:
    """``equations`` says where numbers lie, ``address`` (5,) where the functions of ``NAMES`` are."""

    def __init__(self, equations: Equations, method: Method):
        self.equations, self.method = equations, method
        equations.reserve(method.rows(equations.states, len(equations.observed)))
        module = ir.Module()
        evaluate, start, attempt, draw, values = (Writer(module, name) for name in NAMES)
        equations.write_evaluate(evaluate)
        evaluate.finish()
        stepping.write_start(start, equations, method)
        stepping.write_attempt(attempt, equations, method)
        stepping.write_draw(draw, equations, method)
        stepping.write_values(values, equations, method)
        self._library = Library(module, NAMES)
        self.address = np.array([self._library.address[name] for name in NAMES])


def machine_for(
    flows: NDArray[np.bool_],
    tape: Tape,
    observed: NDArray[np.int64],
    port_state: NDArray[np.int64],
    method: Method,
    drawn: bool = False,
) -> Machine:
    """The machine code for a model (see :class:`Equations`); made once per process."""
    parts: list[Any] = [flows.shape[0], flows.tobytes(), method, drawn]
    parts += [part.tobytes() if isinstance(part, np.ndarray) else int(part) for part in tape]
    parts += [tuple(observed.tolist()), tuple(port_state.tolist())]
    with global_compiler_lock:  # one thread makes it, the others wait
        return _made(_Key(tuple(parts), (flows, tape, observed, port_state)))


class _Key:
    """The structure of a model; equal where all parts are."""

    def __init__(self, parts: tuple[Any, ...], model: tuple[Any, ...]):
        self.parts, self.model = parts, model

    def __hash__(self) -> int:
        return hash(self.parts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and self.parts == other.parts


@lru_cache(maxsize=128)
def _made(key: _Key) -> Machine:
    flows, tape, observed, port_state = key.model
    method, drawn = key.parts[2:4]
    return Machine(Equations(flows, tape, observed, port_state, method.terms, drawn), method)
