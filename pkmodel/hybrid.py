"""Hybrid constants: the exponentials that a mammillary model of up to three compartments is the sum of.

Programs for target-controlled infusion and papers print models in this form; the simulator itself has no use for it,
since two equal exponentials have none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pkmodel.errors import InputError, Problem

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class HybridConstants:
    """After a unit bolus the central concentration is the sum of ``coefficients * exp(-rates * t)``.

    ``rates`` (3,) are in the unit of the micro-constants, falling; ``coefficients`` (3,) in 1 / unit of the volume.
    """

    rates: Floats
    coefficients: Floats


def hybrid_constants(
    k10: float, k12: float = 0.0, k21: float = 0.0, k13: float = 0.0, k31: float = 0.0, volume: float = 1.0
) -> HybridConstants:
    """Rates and unit-bolus coefficients of a mammillary model, of three compartments or, with k13 = 0, of fewer.

    A mammillary matrix becomes symmetric when its compartments are weighed, with off-diagonal entries sqrt(k12 k21)
    and sqrt(k13 k31). So its eigenvalues are real and found without loss, equal ones too, and the share of each in
    the central compartment is the square of an entry of its eigenvector. Compare Jacquez JA. Compartmental analysis in
    biology and medicine. 3rd ed. 1996.

    Parameters
    ----------
    k10, k12, k21, k13, k31
        micro-constants, all per the same time and at least 0. A compartment without any flow has a rate of 0.
    volume
        of the central compartment, above 0.

    Raises InputError where one of them is negative or not finite.
    """
    values = {"k10": k10, "k12": k12, "k21": k21, "k13": k13, "k31": k31, "volume": volume}
    for name, value in values.items():
        if not np.isfinite(value) or value < 0 or (name == "volume" and value == 0):
            least = "above 0" if name == "volume" else "of at least 0"
            raise InputError(Problem(f"{value:g}", f"a finite number {least}", name))
    shallow, deep = np.sqrt(k12 * k21), np.sqrt(k13 * k31)
    matrix = np.array([[k10 + k12 + k13, -shallow, -deep], [-shallow, k21, 0.0], [-deep, 0.0, k31]])
    rates, vectors = np.linalg.eigh(matrix)
    order = np.argsort(-rates, kind="stable")
    return HybridConstants(np.maximum(rates[order], 0.0), vectors[0, order] ** 2 / volume)
