"""The figures that a model file holds itself against, simulated (``checks:`` of a model file; see specs.check)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pkmodel import measures, network
from pkmodel.errors import InputError
from pkmodel.measures import Course
from pkmodel.network import Network
from pkmodel.population import Patient
from pkmodel.specs.check import Check
from pkmodel.specs.library import load_protocol
from pkmodel.specs.model import ModelSpec

Floats = NDArray[np.float64]


def simulated(model: ModelSpec, check: Check) -> float:
    """The figure of a check, of the typical patient that it describes, as the model gives it.

    Returns
    -------
    In the base unit (:mod:`pkmodel.units`) of ``check.expected``: mg/L, h, mg h/L, L/h, L/h/kg, L or a plain number.

    Raises
    ------
    InputError
        at ``checks.ID`` of the model, where the protocol, the patient and the model do not fit together.
    """
    try:
        net = network.build(model, Patient(**check.patient).population())
        return float(_FIGURES[check.metric](net, check)[0])
    except InputError as error:
        place = f"checks.{check.id}"
        raise InputError(
            [
                problem.at(path=f"{place}.{problem.path}" if problem.path else place, where=problem.where or model.id)
                for problem in error.problems
            ]
        ) from None


def _course(net: Network, check: Check) -> Course:
    assert check.protocol is not None
    return Course(net.model, load_protocol(check.protocol), net.population)


def _output(net: Network, check: Check) -> str:
    assert check.output is not None
    return net.model.output(check.output)


def _since(check: Check) -> float:
    return check.since.value if check.since is not None else 0.0


def _until(check: Check) -> float | None:
    return check.until.value if check.until is not None else None


def _of_course(net: Network, check: Check) -> Floats:
    return measures.of_course(
        _course(net, check),
        check.metric,
        _output(net, check),
        since=_since(check),
        until=_until(check),
        threshold=check.threshold.value if check.threshold is not None else None,
    )


def _area(net: Network, check: Check) -> Floats:
    return measures.area(_course(net, check), _output(net, check), since=_since(check), until=_until(check))


def _level_at(net: Network, check: Check) -> Floats:
    assert check.at is not None
    return measures.level_at(_course(net, check), _output(net, check), check.at.value)


def _dosed(net: Network, check: Check) -> Floats:
    """1 mg by the route of a check (its first device) or into its compartment: what arrives in each state (1, s)."""
    if check.into is not None:
        amounts = np.zeros((1, len(net.states)))
        amounts[0, net.states.index(check.into)] = 1.0
        return amounts
    route: str = check.route or ("iv" if "iv" in net.model.routes else next(iter(net.model.routes)))
    return measures.unit_dose(net, route)


def _half_life(net: Network, check: Check) -> Floats:
    return measures.half_life(net, _output(net, check), _dosed(net, check))


def _per_weight(net: Network, check: Check, value: Floats) -> Floats:
    """A value per kilogram of the patient, where that is how it was printed."""
    if ("body_weight", -1.0) in check.expected.unit.dimensions:
        return value / net.population.values()["weight"]
    return value


def _clearance(net: Network, check: Check) -> Floats:
    return _per_weight(net, check, measures.clearance(net, _output(net, check), _dosed(net, check)))


def _volume_terminal(net: Network, check: Check) -> Floats:
    return _per_weight(net, check, measures.volume_terminal(net, _output(net, check), _dosed(net, check)))


def _bioavailability(net: Network, check: Check) -> Floats:
    if check.protocol is None:
        return measures.bioavailability(net, _output(net, check), _dosed(net, check), np.ones(net.size))
    course = _course(net, check)
    return measures.bioavailability(net, _output(net, check), course.arrived, course.mass)


def _value(net: Network, check: Check) -> Floats:
    assert check.formula is not None
    return net.finite(check.formula, "formula")


_FIGURES: dict[str, Callable[[Network, Check], Floats]] = {
    "peak": _of_course,
    "auc": _area,
    "level_at": _level_at,
    "time_of_peak": _of_course,
    "time_above": _of_course,
    "half_life": _half_life,
    "clearance": _clearance,
    "volume_terminal": _volume_terminal,
    "bioavailability": _bioavailability,
    "value": _value,
}
