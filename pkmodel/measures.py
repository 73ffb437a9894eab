"""What is measured of a course or of a system, exactly and in base units: one value per patient.

Both the checks of model files and the figures of references are made of these.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pkmodel import metrics, moments, network, schedule, units
from pkmodel.errors import InputError, Problem
from pkmodel.exact_figures import course_figures
from pkmodel.metrics import Request, Span
from pkmodel.network import Network
from pkmodel.population import Population
from pkmodel.schedule import Delivery, Schedule
from pkmodel.simulation import amounts_at
from pkmodel.specs.dose import HYDROCHLORIDE
from pkmodel.specs.library import DrugMode, drug_fraction
from pkmodel.specs.model import ModelSpec
from pkmodel.specs.planned import PlannedSession
from pkmodel.specs.protocol import ProtocolSpec

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Course:
    """A protocol given to people on a model; the schedule is worked out once, whatever is measured.

    Raises InputError where protocol, people and model do not fit together, when it is first measured.
    """

    model: ModelSpec
    protocol: ProtocolSpec
    people: Population
    drug: DrugMode = "match"

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

    @cached_property
    def mass(self) -> Floats:
        """All that is given (n,), mg of base, as far as the model sees it."""
        sessions, _ = schedule.given(self.protocol, self.network, fraction_of_drug=self.fraction)
        whole: Floats = self.fraction * np.sum([session.given * _base(session.planned) for session in sessions], axis=0)
        return whole


def _base(planned: PlannedSession) -> float:
    """Mass of base in one mass of what was given."""
    return HYDROCHLORIDE if planned.salt == "hydrochloride" else 1.0


def arrived(net: Network, deliveries: list[Delivery]) -> Floats:
    """What deliveries bring into each state (n, s), mg, in the end."""
    amounts = np.zeros((net.size, len(net.states)))
    for delivery in deliveries:
        amounts[:, delivery.compartment] += delivery.amount * (1.0 if delivery.fraction is None else delivery.fraction)
    return amounts


def unit_dose(net: Network, route: str) -> Floats:
    """1 mg down a route (its first device): what arrives in each state (n, s)."""
    return arrived(net, schedule.down(route, net, np.ones(net.size)))


def of_course(
    course: Course,
    metric: str,
    output: str,
    *,
    since: float = 0.0,
    until: float | None = None,
    threshold: float | None = None,
) -> Floats:
    """A metric (n,) of :mod:`pkmodel.metrics` over a stretch of the course, in h, mg/L, mg h/L.

    ``since`` and ``until`` are h from its start (without ``until``: 24 h after the start of the last session);
    ``threshold`` is in mg/L. A time to the peak counts from the start of the course.
    """
    end = until if until is not None else course.plan.last_start + metrics.LAST_WINDOW
    span = Span("absolute", start=since, end=end)
    unit = units.parse_unit(course.model.outputs[output].unit)
    level = None if threshold is None else threshold / float(unit.factor)
    limits = {} if level is None else {output: (level,)}
    figures = course_figures(course.network, course.plan, spans=[span], thresholds=limits)[output]
    values = metrics.evaluate(figures, span, Request(metric, output, level))
    values = values * float(units.parse_unit(metrics.unit_of(metric, unit.text)).factor)
    return values + since if metric in ("time_of_peak", "first_crossing") else values


def area(course: Course, output: str, *, since: float = 0.0, until: float | None = None) -> Floats:
    """The area under an output (n,), mg h/L: between two times, or all of it to infinity without ``until``."""
    if until is not None:
        return of_course(course, "auc", output, since=since, until=until)
    return moments.area_to_infinity(course.network, output, course.arrived)


def level_at(course: Course, output: str, at: float) -> Floats:
    """The level of an output (n,), mg/L, at a time (h), after what arrives at that instant."""
    net = course.network
    index = net.output_names.index(output)
    amounts = amounts_at(net, course.plan, np.array([at]))[:, 0, net.output_compartment[index]]
    levels: Floats = amounts * net.output_scale[index] * float(units.parse_unit(net.output_units[index]).factor)
    return levels


def half_life(net: Network, output: str, dose: Floats) -> Floats:
    """The terminal half-life of an output (n,), h, after a dose (n, s)."""
    return moments.terminal_half_life(net, output, np.any(dose > 0, axis=0))


def clearance(net: Network, output: str, dose: Floats) -> Floats:
    """1 mg over its area to infinity (n,), L/h, where ``dose`` (n, s) is what arrives of 1 mg."""
    cleared: Floats = 1.0 / moments.area_to_infinity(net, output, dose)
    return cleared


def volume_terminal(net: Network, output: str, dose: Floats) -> Floats:
    """Clearance over the slowest rate (n,), L: V beta."""
    volume: Floats = clearance(net, output, dose) * half_life(net, output, dose) / math.log(2.0)
    return volume


def volume_steady_state(net: Network, output: str, dose: Floats) -> Floats:
    """The volume at steady state (n,), L; see :func:`pkmodel.moments.volume_at_steady_state`."""
    return moments.volume_at_steady_state(net, output, dose)


def bioavailability(net: Network, output: str, dose: Floats, mass: Floats) -> Floats:
    """The area that ``dose`` (n, s) brings over that of the same mass (n,), mg, given by ``iv`` (n,).

    Raises InputError where the model has no route iv.
    """
    if "iv" not in net.model.routes:
        raise InputError(Problem(f"bioavailability on {net.model.id}", "a model with the route iv", path="metric"))
    whole = arrived(net, schedule.down("iv", net, mass))
    share: Floats = moments.area_to_infinity(net, output, dose) / moments.area_to_infinity(net, output, whole)
    return share
