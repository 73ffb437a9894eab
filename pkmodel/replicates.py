"""How sure a figure is that comes of patients spread evenly: the spread of independent replicates.

Such patients are not independent of one another, so that Wilson's interval, or one of a standard deviation, would be
wrong (as a rule far too wide). Each replicate estimates the figure on its own, and those estimates are independent.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from pkmodel.population import dimensions
from pkmodel.quasi import Draws
from pkmodel.specs.library import Scenario

Floats = NDArray[np.float64]

#: Two-sided confidence, as in :mod:`pkmodel.findings`.
CONFIDENCE = 0.95


def seed_of(scenario: Scenario) -> int:
    """The seed of the patients of a scenario, which spreads them evenly where it asks for that.

    What patients share over arms and models is spread: covariates, the component of a mixture, the row of a table and
    random effects between subjects, by name. Occasions, residual error, sprays and adherence stay pseudo-random.
    """
    spec = scenario.spec
    if not spec.sampling.even:
        return spec.seed
    models = [model for arm in scenario.arms for model in arm.models] if spec.variability.between_subject else []
    names = dimensions(scenario.population, models)
    if not names:
        return spec.seed
    return Draws(spec.seed, spec.sampling.method, names, spec.sampling.replicates, spec.n)


def of_patients(first: int, count: int, replicates: int) -> NDArray[np.int64]:
    """The replicate (count,) of each patient of a block."""
    return np.arange(first, first + count, dtype=np.int64) % replicates


def counted(kept: NDArray[np.bool_], first: int, replicates: int) -> NDArray[np.int64]:
    """How many of a block of patients (n,) are counted in each replicate (r,)."""
    which = of_patients(first, kept.size, replicates)
    return np.bincount(which[kept], minlength=replicates).astype(np.int64)


def interval(estimates: Floats) -> tuple[float, float]:
    """The 95 % t interval of a mean from the estimates (r,) of independent replicates of one size.

    It holds simulation error only. Student. The probable error of a mean. Biometrika 1908;6:1-25.
    """
    from scipy.special import stdtrit

    count = estimates.size
    if count < 2:
        raise ValueError(f"{count} replicates")
    half = float(stdtrit(count - 1, 0.5 + CONFIDENCE / 2)) * float(np.std(estimates, ddof=1)) / math.sqrt(count)
    centre = float(np.mean(estimates))
    return centre - half, centre + half


def mean_interval(values: Floats, replicates: int) -> tuple[float, float]:
    """The interval of the mean of what patients (n,), in the order of their numbers, have."""
    return interval(values.reshape(-1, replicates).mean(axis=0))


def share_interval(met: NDArray[np.int64], n: int) -> tuple[float, float] | None:
    """The interval of a share from the patients counted in each replicate (r,), within 0 to 1.

    None where fewer patients than there are replicates are on the rarer side: too few replicates have any of them, so
    that their spread says nothing, and Wilson's interval stands.
    """
    total = int(met.sum())
    if min(total, n - total) < met.size:
        return None
    low, high = interval(met / (n / met.size))
    return max(0.0, low), min(1.0, high)


def method(scenario: Scenario) -> str:
    """What the intervals of a run are, in a sentence."""
    sampling = scenario.spec.sampling
    if not sampling.even:
        return "95 % Wilson score interval of the share; simulation error only"
    points = scenario.spec.n // sampling.replicates
    return (
        f"95 % t interval of the share over {sampling.replicates} independent randomisations of {points:,} "
        f"{sampling.method} points; Wilson score interval where fewer than {sampling.replicates} patients are on one "
        "side; simulation error only"
    )
