"""The figures of a reference, simulated: one value per patient, and then the statistic that the study reported."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pkmodel import metrics, moments, network, schedule, units
from pkmodel.errors import InputError, Problem
from pkmodel.metrics import Request, Span
from pkmodel.network import Network
from pkmodel.population import Population
from pkmodel.schedule import Schedule
from pkmodel.simulation import amounts_at, course_figures
from pkmodel.specs.library import DrugMode, drug_fraction
from pkmodel.specs.model import ModelSpec
from pkmodel.specs.protocol import HYDROCHLORIDE, ProtocolSpec
from pkmodel.specs.reference import Figure

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Course:
    """A protocol given to people on a model; the schedule is worked out once for all figures of a study."""

    model: ModelSpec
    protocol: ProtocolSpec
    people: Population
    drug: DrugMode = "match"
    first_sample: float = 0.0
    """h from the start; a peak is the highest level from then on."""

    @cached_property
    def network(self) -> Network:
        """The model of these people."""
        return network.build(self.model, self.people)

    @cached_property
    def fraction(self) -> float:
        """The part of each dose that the model sees."""
        return drug_fraction(self.protocol, self.model, self.drug)[0]

    @cached_property
    def plan(self) -> Schedule:
        """What they receive."""
        return schedule.build(self.protocol, self.network, fraction_of_drug=self.fraction)

    @cached_property
    def arrived(self) -> Floats:
        """What arrives in each state (n, s), mg, in the end."""
        _, deliveries = schedule.given(self.protocol, self.network, fraction_of_drug=self.fraction)
        return arrived(self.network, deliveries)


def arrived(net: Network, deliveries: list[schedule.Delivery]) -> Floats:
    """What deliveries bring into each state (n, s), mg, in the end."""
    amounts = np.zeros((net.size, len(net.states)))
    for delivery in deliveries:
        amounts[:, delivery.compartment] += delivery.amount * (1.0 if delivery.fraction is None else delivery.fraction)
    return amounts


def measured(course: Course, figure: Figure) -> Floats:
    """A figure of every patient (n,) in base units: mg/L, h, mg h/L, L/h, L, a plain number, or as its formula has it.

    Raises
    ------
    InputError
        where protocol, people and model do not fit together, or the figure has no meaning on the model.
    """
    return _MEASURES[figure.metric](course, figure)


def summary(values: Floats, figure: Figure) -> float:
    """The statistic of values (n,) that the study reported; that of one patient is the value itself."""
    match figure.statistic:
        case "median":
            return float(np.median(values))
        case "geometric_mean":
            if (values <= 0).any():
                found = f"{int((values <= 0).sum())} of {values.size} values of 0"
                raise InputError(Problem(found, "values above 0 for a geometric mean"))
            return float(np.exp(np.log(values).mean()))
        case "share_below":
            assert figure.threshold is not None
            return float((values < figure.threshold.value).mean())
    return float(values.mean())


def _output(course: Course, figure: Figure) -> str:
    return course.model.output(figure.output)


def _of_course(course: Course, figure: Figure) -> Floats:
    """A metric of :mod:`pkmodel.metrics` from the first sample on."""
    output = _output(course, figure)
    until = figure.until.value if figure.until is not None else float(course.plan.starts[-1]) + metrics.LAST_WINDOW
    span = Span("absolute", start=course.first_sample, end=until)
    unit = units.parse_unit(course.model.outputs[output].unit)
    threshold = None if figure.threshold is None else figure.threshold.value / float(unit.factor)
    limits = {} if threshold is None else {output: (threshold,)}
    figures = course_figures(course.network, course.plan, spans=[span], thresholds=limits)[output]
    values = metrics.evaluate(figures, span, Request(figure.metric, output, threshold))
    values = values * float(units.parse_unit(metrics.unit_of(figure.metric, unit.text)).factor)
    if figure.metric == "time_of_peak":
        values = values + course.first_sample - (course.plan.ends[-1] if figure.since == "last_dose" else 0.0)
    return values


def _area(course: Course, figure: Figure) -> Floats:
    if figure.until is not None:
        return _of_course(course, figure)
    return moments.area_to_infinity(course.network, _output(course, figure), course.arrived)


def _level_at(course: Course, figure: Figure) -> Floats:
    assert figure.at is not None
    net = course.network
    index = net.output_names.index(_output(course, figure))
    amounts = amounts_at(net, course.plan, np.array([figure.at.value]))[:, 0, net.output_compartment[index]]
    levels: Floats = amounts * net.output_scale[index] * float(units.parse_unit(net.output_units[index]).factor)
    return levels


def _unit_dose(course: Course) -> Floats:
    """1 mg into the vein of everybody, or down the only way there is: what arrives in each state (n, s)."""
    route = "iv" if "iv" in course.model.routes else course.protocol.routes[0]
    return arrived(course.network, schedule.down(route, course.network, np.ones(course.network.size)))


def _half_life(course: Course, figure: Figure) -> Floats:
    dosed: NDArray[np.bool_] = np.any(_unit_dose(course) > 0, axis=0)
    return moments.terminal_half_life(course.network, _output(course, figure), dosed)


def _clearance(course: Course, figure: Figure) -> Floats:
    cleared: Floats = 1.0 / moments.area_to_infinity(course.network, _output(course, figure), _unit_dose(course))
    return cleared / _weights(course, figure)


def _weights(course: Course, figure: Figure) -> Floats | float:
    """Body weights (n,), kg, where the published value is per kilogram."""
    if ("body_weight", -1.0) in figure.published[0].unit.dimensions:
        weights: Floats = course.people.values()["weight"]
        return weights
    return 1.0


def _volume_terminal(course: Course, figure: Figure) -> Floats:
    volume: Floats = _clearance(course, figure) * _half_life(course, figure) / math.log(2.0)
    return volume


def _volume_steady_state(course: Course, figure: Figure) -> Floats:
    volume = moments.volume_at_steady_state(course.network, _output(course, figure), _unit_dose(course))
    return volume / _weights(course, figure)


def _bioavailability(course: Course, figure: Figure) -> Floats:
    if "iv" not in course.model.routes:
        raise InputError(Problem(f"bioavailability on {course.model.id}", "a model with the route iv", path="metric"))
    output, net = _output(course, figure), course.network
    sessions, _ = schedule.given(course.protocol, net, fraction_of_drug=course.fraction)
    masses = [
        session.given * (HYDROCHLORIDE if session.planned.salt == "hydrochloride" else 1.0) for session in sessions
    ]
    mass: Floats = course.fraction * np.sum(masses, axis=0)
    whole = arrived(net, schedule.down("iv", net, mass))
    share: Floats = moments.area_to_infinity(net, output, course.arrived) / moments.area_to_infinity(net, output, whole)
    return share


def _value(course: Course, figure: Figure) -> Floats:
    assert figure.formula is not None
    missing = figure.formula.names - {*course.network.values, *course.model.derived}
    if missing:
        raise InputError(Problem(f"no {sorted(missing)[0]} in {course.model.id}", "a model with these parameters"))
    return course.network.finite(figure.formula, "formula")


_MEASURES: dict[str, Callable[[Course, Figure], Floats]] = {
    "peak": _of_course,
    "time_of_peak": _of_course,
    "time_above": _of_course,
    "auc": _area,
    "level_at": _level_at,
    "half_life": _half_life,
    "clearance": _clearance,
    "volume_terminal": _volume_terminal,
    "volume_steady_state": _volume_steady_state,
    "bioavailability": _bioavailability,
    "value": _value,
}
