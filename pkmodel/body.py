"""What a dose counts with of a patient's body: dosing weight, body surface, and the bands that a patient is in."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from pkmodel.errors import InputError, Problem
from pkmodel.specs.bands import BodyBand
from pkmodel.specs.dose import WeightRule
from pkmodel.units import Quantity

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


def covariate(values: Mapping[str, Floats], name: str) -> Floats:
    """What is known of the patients (n,). Raises InputError where it is not known."""
    if name not in values:
        shown = "sex" if name == "female" else name
        raise InputError(Problem("nothing", f"{shown}, which the dose depends on", path=shown, where="patient"))
    return values[name]


def dosing_weight(rule: WeightRule, values: Mapping[str, Floats]) -> Floats:
    """The weight (n,), kg, that a dose per kilogram counts with: basis, then cap; bands go before.

    Raises InputError where height, sex or age is needed and unknown.
    """
    result = _capped(_basis(rule.basis, values), rule.cap)
    for band in reversed(rule.when):
        whom = inside(band, values)
        if whom.any():  # what only the band needs (a height, say) is not asked of those outside
            mine = _capped(_basis(band.basis, values), band.cap or rule.cap)
            result = np.where(whom, mine, result)
    return result


def inside(band: BodyBand, values: Mapping[str, Floats]) -> Flags:
    """Who (n,) is in a band: in every range of it, the lower end included and the upper not, and of its sex.

    Raises InputError where something is needed and unknown.
    """
    whom: Flags = np.ones(1, dtype=bool)
    if band.only is not None:
        whom = covariate(values, "female") == float(band.only == "female")
    for name, (low, high) in band.ranges.items():
        if not whom.any():
            break
        if name == "bmi":
            value = covariate(values, "weight") / covariate(values, "height") ** 2
        else:
            value = covariate(values, name)
        whom = whom & (value >= low) & (value < high)
    return whom


def surface(values: Mapping[str, Floats]) -> Floats:
    """Body surface (n,), cm2, of actual weight: sqrt(height weight / 3600) m2 with cm and kg.

    Mosteller RD. N Engl J Med 1987;317:1098. Raises InputError where height or weight is unknown.
    """
    area: Floats = 1e4 * np.sqrt(covariate(values, "height") * covariate(values, "weight") / 3600.0)
    return area


def _capped(weight: Floats, cap: Quantity | None) -> Floats:
    return weight if cap is None else np.minimum(weight, cap.value)


def _basis(basis: str, values: Mapping[str, Floats]) -> Floats:
    """A body-size descriptor in kg.

    ideal: Devine BJ. Drug Intell Clin Pharm 1974;8:650. adjusted: ideal + 0.4 (actual - ideal), Bauer LA, et al.
    Eur J Clin Pharmacol 1983;24:643. lean and fat_free: Janmahasatian S, et al. Clin Pharmacokinet 2005;44:1051,
    whose lean body weight is the fat-free mass.
    """
    actual = covariate(values, "weight")
    if basis == "actual":
        return actual
    height, female = covariate(values, "height"), covariate(values, "female") == 1.0
    if basis in ("lean", "fat_free"):
        index = actual / (height / 100.0) ** 2
        return np.where(female, 9270.0 * actual / (8780.0 + 244.0 * index), 9270.0 * actual / (6680.0 + 216.0 * index))
    ideal = np.where(female, 45.5, 50.0) + 2.3 * (height / 2.54 - 60.0)
    if (ideal <= 0).any():
        raise InputError(
            Problem(
                f"a height of {height[np.argmin(ideal)]:.4g} cm", "a height for which an ideal weight exists", "height"
            )
        )
    return ideal if basis == "ideal" else ideal + 0.4 * (actual - ideal)
