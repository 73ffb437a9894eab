"""Areas and times above a threshold of *sampled* curves: what observed data allow, for comparison with them.

A simulated curve has its exact figures in :mod:`pkmodel.metrics`. These here join samples, by straight lines, or
("linear up, log down") by straight lines while the level rises and exponentials while it falls, and share the errors
of doing so with the study that they are compared with. Gabrielsson J, Weiner D. Non-compartmental analysis. Methods
Mol Biol 2012;929:377-389.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pkmodel.errors import InputError, Problem, nearest, one_of, shown

Floats = NDArray[np.float64]
Method = Literal["linear", "linear_up_log_down"]

METHODS: tuple[Method, ...] = ("linear", "linear_up_log_down")


def sampled_auc(time: ArrayLike, level: ArrayLike, method: Method = "linear") -> float:
    """The area under samples, from the first to the last of them, in units of level x time.

    Parameters
    ----------
    time, level
        (t,) rising times, and levels of at least 0.
    method
        ``linear``: trapezoids. ``linear_up_log_down``: where the level falls between two samples above 0, the area
        under the exponential through them, (c1 - c2) (t2 - t1) / ln(c1 / c2).

    Raises InputError where the samples are not such a curve.
    """
    times, levels = _samples(time, level, method)
    first, last, span = levels[:-1], levels[1:], np.diff(times)
    areas = 0.5 * (first + last) * span
    falling = _exponential(first, last, method)
    areas[falling] = (first - last)[falling] * span[falling] / _fall(first[falling], last[falling])
    return float(areas.sum())


def sampled_time_above(time: ArrayLike, level: ArrayLike, threshold: float, method: Method = "linear") -> float:
    """How long samples, joined as ``method`` says, are at or above a threshold, in units of time.

    A level that stays at the threshold counts. With ``linear_up_log_down`` a fall between two samples above 0 crosses
    the threshold where the exponential through them does.

    Raises InputError where the samples are not a curve as for :func:`sampled_auc`, or the threshold is not finite.
    """
    times, levels = _samples(time, level, method)
    if not np.isfinite(threshold):
        raise InputError(Problem(shown(threshold), "a finite number", "threshold"))
    first, last, span = levels[:-1], levels[1:], np.diff(times)
    above = np.where((first >= threshold) & (last >= threshold), span, 0.0)
    crossing = (first >= threshold) != (last >= threshold)
    share = np.zeros_like(span)
    share[crossing] = (threshold - first[crossing]) / (last[crossing] - first[crossing])
    bent = crossing & _exponential(first, last, method)
    share[bent] = _fall(first[bent], threshold) / _fall(first[bent], last[bent])
    above = np.where(crossing, span * np.where(first >= threshold, share, 1.0 - share), above)
    return float(above.sum())


def _fall(high: Floats, low: Floats | float) -> Floats:
    """ln(high / low), not 0 unless they are the same number."""
    return np.log1p((high - low) / low)


def _exponential(first: Floats, last: Floats, method: Method) -> NDArray[np.bool_]:
    """Between which samples the curve is an exponential."""
    falling: NDArray[np.bool_] = (last < first) & (last > 0.0)
    return falling & (method == "linear_up_log_down")


def _samples(time: ArrayLike, level: ArrayLike, method: Method) -> tuple[Floats, Floats]:
    if method not in METHODS:
        raise InputError(Problem(shown(method), one_of(METHODS), "method", nearest=nearest(method, METHODS)))
    times, levels = np.asarray(time, dtype=np.float64), np.asarray(level, dtype=np.float64)
    if times.ndim != 1 or times.shape != levels.shape or times.size == 0:
        found = f"shapes {times.shape} and {levels.shape}"
        raise InputError(Problem(found, "as many levels as times, in one row each, and at least one", "time, level"))
    if not (np.isfinite(times).all() and (np.diff(times) > 0).all()):
        raise InputError(Problem("times that do not rise, or are not finite", "rising times", "time"))
    if not (np.isfinite(levels).all() and (levels >= 0).all()):
        raise InputError(Problem("a level below 0, or not finite", "levels of at least 0", "level"))
    return times, levels
