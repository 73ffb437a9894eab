"""Arms against the reference arm, patient by patient: medians, the median ratio, and who is lower."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pkmodel import dominance
from pkmodel.cases import Case, condition, references, unit_of
from pkmodel.request import Request, Span
from pkmodel.specs.sampling import Sampling
from pkmodel.specs.scenario import Compare, ScenarioSpec

Floats = NDArray[np.float64]


def rows(
    spec: ScenarioSpec, cases: Sequence[Case], compared: Sequence[Mapping[Request, Floats]], n: int
) -> list[dict[str, Any]]:
    """The lines of comparison.csv; none where the scenario compares nothing.

    Parameters
    ----------
    compared
        for each case the values (n,) of each metric, in the order of the patients.
    """
    compare = spec.compare
    if compare is None:
        return []
    found = []
    for case, values, base in zip(cases, compared, references(cases, compare.reference), strict=True):
        if base is None:
            continue
        # An arm on a model of its own is compared with the reference arm on whatever model that has.
        alike = {replace(request, output=""): values for request, values in compared[base].items()}
        for request, own in values.items():
            other = alike.get(replace(request, output=""))
            if other is not None:
                found.append({**_beside(own, other, spec.sampling), **_labels(compare, case, cases[base], request, n)})
    order = ("arm", "reference", "model", "output", "metric", "condition", "window", "n", "unit")
    return [{key: row.pop(key) for key in order} | row for row in found]


def _labels(compare: Compare, case: Case, base: Case, request: Request, n: int) -> dict[str, Any]:
    return {
        "arm": case.arm.name,
        "reference": base.arm.name,
        "model": case.model.id,
        "output": request.output,
        "metric": request.metric,
        "condition": condition(request, Span("session"), case.model),
        "window": str(compare.window),
        "n": n,
        "unit": unit_of(request, case.model),
    }


def _beside(own: Floats, other: Floats, sampling: Sampling) -> dict[str, Any]:
    sides = dominance.of_pairs(own, other, sampling.replicates if sampling.even else 0).plain()
    usable = np.isfinite(own) & np.isfinite(other) & (other > 0)
    return {
        "median": _finite(np.median(own)),
        "median_reference": _finite(np.median(other)),
        "median_ratio": _finite(np.median(own[usable] / other[usable])) if usable.any() else None,
        "n_lower": sides.pop("n_lower"),
        "share_lower": sides.pop("share_lower"),
        "low": sides.pop("lower_low"),
        "high": sides.pop("lower_high"),
        **sides,
    }


def _finite(value: Any) -> float | None:
    """A number for a table; None where it is infinite (a level that half of the patients never reach)."""
    return float(value) if np.isfinite(value) else None
