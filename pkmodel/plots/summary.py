"""A result of many patients as a picture needs it: a thousandth of its size, so that it can be kept and sent on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pkmodel.plots.given_doses import Given
    from pkmodel.simulation import Result
    from pkmodel.specs.model import ModelSpec

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Summary:
    """What :func:`pkmodel.plots.concentration` draws of a result: edges of its bands, and the median of each dose.

    ``time`` is (t,) h from the start of the course; ``edges`` are (5, t) of every output and effect in its unit, the
    levels that :data:`pkmodel.plots.curves.EDGES` of the ``size`` patients are below.
    """

    model: ModelSpec
    size: int
    time: Floats
    edges: Mapping[str, Floats]
    given: tuple[Given, ...]
    warnings: tuple[str, ...] = ()

    def level(self, output: str) -> Floats:
        """(5, t) the edges of the band of an output or effect, in its unit."""
        return self.edges[output]


def patients_of(result: Result | Summary) -> int:
    """How many patients a result is of."""
    return result.size if isinstance(result, Summary) else result.network.size


def summarised(result: Result) -> Summary:
    """The summary of a result of many patients."""
    from pkmodel.plots.curves import quantiles
    from pkmodel.plots.given_doses import given_sessions

    edges = {name: quantiles(result.level(name)) for name in result.model.observables}
    size = result.network.size
    return Summary(result.model, size, result.time, edges, tuple(given_sessions(result)), result.warnings)
