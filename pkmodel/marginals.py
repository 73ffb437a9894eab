"""The value of a covariate at a normal score: its stated distribution, cut to its range, of a sex or band of age."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pkmodel.specs.distribution import Distribution

Floats = NDArray[np.float64]

#: A rank this near to 0 or 1 counts as this one, so that no score is infinite.
_NEAREST = 2.0**-53


def value_of(distribution: Distribution, z: Floats, female: Floats, age: Floats | None = None) -> Floats:
    """The value (n,) of a cut distribution at the normal score ``z`` (n,).

    ``female`` (n,) is 1 or 0. ``age`` (n,), y, is needed where the distribution has bands of it.
    """
    from scipy.special import ndtr, ndtri

    if distribution.by_sex is not None:
        women, men = (value_of(part, z, female, age) for part in distribution.by_sex)
        return np.where(female == 1.0, women, men)
    if distribution.by_age:
        assert age is not None
        which, value = band_of(distribution, age), np.empty_like(z)
        for index, part in enumerate(distribution.by_age):
            own = which == index
            if own.any():
                value[own] = value_of(part, z[own], female[own], age[own])
        return value
    low, high, centre, spread = distribution.low, distribution.high, distribution.location, distribution.spread
    if distribution.form == "fixed":
        return np.full_like(z, centre)
    if distribution.form == "shares":
        chosen: Floats = np.asarray(distribution.values)[np.searchsorted(distribution.edges, ndtr(z), side="right")]
        return chosen
    if distribution.form == "uniform":
        return centre + (spread - centre) * ndtr(z)  # type: ignore[no-any-return]
    below, above = ndtr(_score(distribution, low)), ndtr(_score(distribution, high))
    cut = ndtri(below + ndtr(z) * (above - below))
    value = centre * np.exp(spread * cut) if distribution.form == "lognormal" else centre + spread * cut
    inside: Floats = np.clip(value, low, high)
    return inside


def band_of(distribution: Distribution, age: Floats) -> NDArray[np.int64]:
    """The band (n,) of each age (n,), y: its lower end is in it, its upper one is not, but for the last."""
    return np.searchsorted(distribution.ages[1:], age, side="right").astype(np.int64)


def score_within(distribution: Distribution, ages: Distribution, z: Floats, female: Floats, age: Floats) -> Floats:
    """The normal score (n,) of each age among those of its band, for a distribution by age; ``z`` (n,) where it is not.

    With it, and not with the score among all ages, the others are correlated: so the distribution within a band is the
    stated one. Among patients of a band it is normal, as ``z`` is among all.

    Parameters
    ----------
    ages
        the distribution of the age, of which ``age`` (n,) is the value at ``z`` (n,).
    """
    from scipy.special import ndtr, ndtri

    if distribution.by_sex is not None:
        women, men = (score_within(part, ages, z, female, age) for part in distribution.by_sex)
        return np.where(female == 1.0, women, men)
    if not distribution.by_age:
        return z
    if ages.by_sex is not None:
        girls, boys = (score_within(distribution, part, z, female, age) for part in ages.by_sex)
        return np.where(female == 1.0, girls, boys)
    which, rank = band_of(distribution, age), ndtr(z)
    bounds = np.array([*distribution.ages, np.inf])
    if ages.form in ("fixed", "shares"):
        edges = np.array([0.0, *ages.edges, 1.0])
        bands = band_of(distribution, np.array(ages.values or (ages.location,)))
        widths = np.diff(edges)
        item = np.searchsorted(edges[1:-1], rank, side="right")
        mine = bands[:, None] == bands  # [value, other value of its band]
        before = (mine * widths * (np.arange(widths.size) < np.arange(widths.size)[:, None])).sum(axis=1)
        whole = (mine * widths).sum(axis=1)
        within = (before[item] + rank - edges[item]) / whole[item]
    else:
        low, high = share_below(ages, bounds[:-1])[which], share_below(ages, bounds[1:])[which]
        # A band without a width is one that only the very last age, by rounding, can fall into.
        within = np.divide(rank - low, high - low, out=np.full_like(rank, 0.5), where=high > low)
    found: Floats = ndtri(np.clip(within, _NEAREST, 1.0 - _NEAREST))
    return found


def share_below(distribution: Distribution, bounds: Floats) -> Floats:
    """The share (b,) of a cut continuous distribution below each of ``bounds`` (b,), which may be infinite."""
    from scipy.special import ndtr

    low, high = distribution.low, distribution.high
    if distribution.form == "uniform":
        low, high = distribution.location, distribution.spread
        inside: Floats = (np.clip(bounds, low, high) - low) / (high - low)
        return inside
    scores = np.array([_score(distribution, float(bound)) for bound in np.clip(bounds, low, high)])
    below, above = ndtr(_score(distribution, low)), ndtr(_score(distribution, high))
    share: Floats = (ndtr(scores) - below) / (above - below)
    return share


def _score(distribution: Distribution, bound: float) -> float:
    """The normal score of a bound in the distribution before it is cut."""
    if distribution.form == "lognormal":
        return float(np.log(bound / distribution.location) / distribution.spread) if bound > 0 else -np.inf
    return (bound - distribution.location) / distribution.spread
