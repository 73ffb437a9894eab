"""The figures that a model file holds itself against, simulated (``checks:`` of a model file; see specs.check)."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pkmodel import metrics, moments, network, schedule, units
from pkmodel.errors import InputError
from pkmodel.metrics import Request, Span
from pkmodel.network import Network
from pkmodel.population import Patient
from pkmodel.schedule import Delivery, Schedule
from pkmodel.simulation import amounts_at, course_figures
from pkmodel.specs.check import Check
from pkmodel.specs.library import drug_fraction, load_protocol
from pkmodel.specs.model import ModelSpec
from pkmodel.specs.protocol import HYDROCHLORIDE, PlannedSession, ProtocolSpec

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
        return float(_FIGURES[check.metric](net, check))
    except InputError as error:
        place = f"checks.{check.id}"
        raise InputError(
            [
                problem.at(path=f"{place}.{problem.path}" if problem.path else place, where=problem.where or model.id)
                for problem in error.problems
            ]
        ) from None


def _course(net: Network, check: Check) -> tuple[ProtocolSpec, float]:
    assert check.protocol is not None
    protocol = load_protocol(check.protocol)
    return protocol, drug_fraction(protocol, net.model, "match")[0]


def _plan(net: Network, check: Check) -> Schedule:
    protocol, share = _course(net, check)
    return schedule.build(protocol, net, fraction_of_drug=share)


def _output(net: Network, check: Check) -> str:
    assert check.output is not None
    return net.model.output(check.output)


def _of_course(net: Network, check: Check) -> float:
    """A metric of :mod:`pkmodel.metrics` over a stretch of the course."""
    plan, output = _plan(net, check), _output(net, check)
    until = check.until.value if check.until is not None else float(plan.starts[-1]) + metrics.LAST_WINDOW
    span = Span("absolute", start=check.since.value if check.since is not None else 0.0, end=until)
    unit = units.parse_unit(net.model.outputs[output].unit)
    threshold = None if check.threshold is None else check.threshold.value / float(unit.factor)
    limits = {} if threshold is None else {output: (threshold,)}
    figures = course_figures(net, plan, spans=[span], thresholds=limits)[output]
    value = metrics.evaluate(figures, span, Request(check.metric, output, threshold))[0]
    return float(value) * float(units.parse_unit(metrics.unit_of(check.metric, unit.text)).factor)


def _area(net: Network, check: Check) -> float:
    if check.until is not None:
        return _of_course(net, check)
    protocol, share = _course(net, check)
    _, deliveries = schedule.given(protocol, net, fraction_of_drug=share)
    return float(moments.area_to_infinity(net, _output(net, check), _arrived(net, deliveries))[0])


def _arrived(net: Network, deliveries: list[Delivery]) -> Floats:
    """What arrives in each state (n, s), mg, in the end."""
    amounts = np.zeros((net.size, len(net.states)))
    for delivery in deliveries:
        amounts[:, delivery.compartment] += delivery.amount * (1.0 if delivery.fraction is None else delivery.fraction)
    return amounts


def _level_at(net: Network, check: Check) -> float:
    assert check.at is not None
    plan, output = _plan(net, check), _output(net, check)
    index = net.output_names.index(output)
    amounts = amounts_at(net, plan, np.array([check.at.value]))[0, 0]
    level = amounts[net.output_compartment[index]] * net.output_scale[index, 0]
    return float(level) * float(units.parse_unit(net.output_units[index]).factor)


def _dosed(net: Network, check: Check) -> Floats:
    """1 mg by the route of a check (its first device) or into its compartment: what arrives in each state (1, s)."""
    amounts = np.zeros((1, len(net.states)))
    if check.into is not None:
        amounts[0, net.states.index(check.into)] = 1.0
        return amounts
    route: str = check.route or ("iv" if "iv" in net.model.routes else next(iter(net.model.routes)))
    return _arrived(net, schedule.down(route, net, np.ones(net.size)))


def _half_life(net: Network, check: Check) -> float:
    return float(moments.terminal_half_life(net, _output(net, check), _dosed(net, check)[0] > 0)[0])


def _clearance(net: Network, check: Check) -> float:
    cleared = 1.0 / float(moments.area_to_infinity(net, _output(net, check), _dosed(net, check))[0])
    if ("body_weight", -1.0) in check.expected.unit.dimensions:
        cleared /= float(net.population.covariates["weight"][0])
    return cleared


def _volume_terminal(net: Network, check: Check) -> float:
    return _clearance(net, check) * _half_life(net, check) / math.log(2.0)


def _bioavailability(net: Network, check: Check) -> float:
    output = _output(net, check)
    if check.protocol is not None:
        protocol, share = _course(net, check)
        sessions, deliveries = schedule.given(protocol, net, fraction_of_drug=share)
        mass = share * sum(session.given[0] * _base(session.planned) for session in sessions)
        amounts = _arrived(net, deliveries)
    else:
        amounts, mass = _dosed(net, check), 1.0
    intravenous = _arrived(net, schedule.down("iv", net, np.full(net.size, mass)))
    given, whole = (moments.area_to_infinity(net, output, amount)[0] for amount in (amounts, intravenous))
    return float(given / whole)


def _base(planned: PlannedSession) -> float:
    """Mass of base in one mass of what was given."""
    return HYDROCHLORIDE if planned.salt == "hydrochloride" else 1.0


def _value(net: Network, check: Check) -> float:
    assert check.formula is not None
    return float(net.finite(check.formula, "formula")[0])


_FIGURES: dict[str, Callable[[Network, Check], float]] = {
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
