"""Non-linear and time-varying systems: which solver runs for whom."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pkmodel.core.kinds import Events
from pkmodel.errors import InputError, Problem
from pkmodel.system import System

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def levels(
    system: System,
    events: Events,
    time: Floats,
    observed: Ints,
    scale: Floats,
    initial: Floats | None,
    found: Floats,
    method: str,
    tolerance: float,
) -> None:
    """Fill ``found`` (n, k, t) with the states ``observed`` (k,), times ``scale`` (k, n), at rising times (h)."""
    found_model = "a model with a saturable flow, a rate that changes with time or level, or a turnover"
    raise InputError(Problem(found_model, "a linear model: the ODE engine is not there yet", path="model"))


def figures(
    system: System,
    events: Events,
    boundary: Floats,
    observed: Ints,
    thresholds: Floats,
    stats: Floats,
    time_above: Floats,
    first_crossing: Floats,
    method: str,
    tolerance: float,
) -> None:
    """Fill the arrays of :func:`pkmodel.core.crossing.scan`, without the times of the crossings."""
    found_model = "a model with a saturable flow, a rate that changes with time or level, or a turnover"
    raise InputError(Problem(found_model, "a linear model: the ODE engine is not there yet", path="model"))
