"""What an engine integrates: a matrix of rates, a state to start from, and what no constant matrix holds."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pkmodel.tape import Dynamics

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class System:
    """d(state)/dt = rates @ state + dynamics + input, for a block of patients.

    ``rates`` is (n, s, s), 1/h, entry [p, i, j] from state j to i; the diagonal leaves. ``initial`` (n, s) is the state
    before the first dose, 0 where it is not given. ``dynamics`` are the non-linear and time-varying terms, None for a
    linear system. ``first_dose`` (n,) is when ``time_since_first_dose`` begins (h), that of the first event that gives
    something without it.
    """

    rates: Floats
    initial: Floats | None = None
    dynamics: Dynamics | None = None
    first_dose: Floats | None = None

    def only(self, who: NDArray[np.int64]) -> System:
        """The system of some of the patients, by their numbers in the block."""
        dynamics = self.dynamics
        if dynamics is not None:
            dynamics = replace(dynamics, parameters=np.ascontiguousarray(dynamics.parameters[:, who]))
        return System(
            self.rates[who],
            None if self.initial is None else self.initial[who],
            dynamics,
            None if self.first_dose is None else self.first_dose[who],
        )
