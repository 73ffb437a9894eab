"""What makes an integration method: how it steps, how it estimates its error, and what it knows inside a step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pkmodel.core.emit import Lane, Writer
from pkmodel.core.equations import Equations


@dataclass(frozen=True)
class Method:
    """A method, as the instructions it writes.

    ``rows`` says how many rows of memory it needs for a number of states and of observed ones; they begin at
    ``equations.rows.own``. ``terms`` are the numbers of its polynomial inside a step. The error estimate of a linear
    system is about ``constant * h**order * J**(order - 1) f``. ``begin`` is written before a step, ``advance`` gives
    the state after it and one or more estimates of its error, of which ``weigh`` makes one for each state once they are
    relative and positive; ``inside`` is written after a step of which something is to be reported,
    and ``draw`` gives the polynomial of each observed state once the slopes at the end of the step are known. A step is
    at most ``reach`` of the fastest time constants long. ``guarded``: states that are moved exactly count for its error
    all the same, since estimates of few states may vanish by chance.
    """

    name: str
    rows: Callable[[int, int], int]
    terms: int
    order: int
    constant: float
    guarded: bool
    reach: float
    begin: Callable[[Writer, Equations], None]
    advance: Callable[[Writer, Equations, Lane], tuple[list[Lane], list[list[Lane]]]]
    weigh: Callable[[list[Lane]], Lane]
    inside: Callable[[Writer, Equations, Lane], None]
    draw: Callable[[Writer, Equations], list[list[Lane]]]


def combined(total: Lane, factors: tuple[float, ...], vectors: list[Lane]) -> Lane:
    """``total`` plus the sum of vectors, each times its factor; factors of 0 cost nothing."""
    for factor, vector in zip(factors, vectors, strict=True):
        if factor != 0.0:
            total = vector.times(factor, total)
    return total
