"""The covariance of a block of random effects, factored for sampling."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from pkmodel.errors import InputError, Problem
from pkmodel.specs.variability import Block


def factor(block: Block) -> tuple[list[str], NDArray[np.float64]]:
    """Names of the independent effects of a block, and the Cholesky factor of their covariance.

    Returns
    -------
    names, factor
        ``eta[i] = sum_j factor[i, j] * z[j]`` with z standard normal, in the order of the file.

    Raises
    ------
    InputError
        where the stated covariances do not belong to any distribution.
    """
    names = [name for name, effect in block.effects.items() if "~" not in name and effect.eta is None]
    position = {name: index for index, name in enumerate(names)}
    covariance = np.diag([block.effects[name].variance for name in names]) if names else np.zeros((0, 0))
    for pair, effect in block.effects.items():
        if "~" not in pair:
            continue
        first, second = (position[name] for name in pair.split("~"))
        value = effect.cov
        if value is None:
            value = (effect.correlation or 0.0) * math.sqrt(covariance[first, first] * covariance[second, second])
        elif abs(value) > (1 + 1e-12) * math.sqrt(covariance[first, first]) * math.sqrt(covariance[second, second]):
            raise _impossible(names[first], names[second])
        covariance[first, second] = covariance[second, first] = value
    lower = np.zeros_like(covariance)
    for row in range(len(names)):
        for column in range(row + 1):
            rest = covariance[row, column] - lower[row, :column] @ lower[column, :column]
            if row != column:
                lower[row, column] = rest / lower[column, column] if lower[column, column] > 0 else 0.0
                if lower[column, column] == 0.0 and rest != 0.0:
                    raise _impossible(names[column], names[row])
            elif rest < -1e-12 * covariance[row, row]:  # a correlation of exactly 1 leaves a rounding error
                strongest = int(np.argmax(np.abs(lower[row, :row])))
                raise _impossible(names[strongest], names[row])
            else:
                lower[row, row] = math.sqrt(max(rest, 0.0))
    return names, lower


def _impossible(first: str, second: str) -> InputError:
    return InputError(
        Problem(found=f"a covariance at {first}~{second} too large for the variances", expected="a covariance matrix")
    )
