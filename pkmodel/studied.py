"""The studies of references, run on a model: who takes part, whether the model fits, and the figure they reported."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pkmodel import measures
from pkmodel.errors import InputError, Problem
from pkmodel.measures import Course
from pkmodel.population import Patient, Population, outside_valid_for, sample_covariates, sample_effects
from pkmodel.specs.library import load_protocol
from pkmodel.specs.model import ModelSpec
from pkmodel.specs.protocol import ProtocolSpec
from pkmodel.specs.reference import Figure, Setting

Floats = NDArray[np.float64]

#: Virtual patients of a study whose figures are means or medians over people.
PATIENTS = 1000
SEED = 20261125


@dataclass(frozen=True)
class Studied:
    """One setting of a reference on one model."""

    model: ModelSpec
    setting: Setting

    @cached_property
    def protocol(self) -> ProtocolSpec:
        """What was given."""
        return load_protocol(self.setting.protocol)

    @property
    def fits(self) -> bool:
        """Whether the model is of the drug, has the routes, and was built on such patients."""
        model, drugs = self.model, self.protocol.drugs
        if self.setting.drug == "match" and drugs != [model.drug]:
            return False
        if self.setting.drug == "half" and drugs == [model.drug]:
            return False
        allowed = model.valid_for.routes or list(model.routes)
        if any(route not in model.routes or route not in allowed for route in self.protocol.routes):
            return False
        patient = Patient(**self.setting.patient).population()
        return not any(flags.any() for flags in outside_valid_for(model, patient).values())

    def answers(self, figure: Figure) -> bool:
        """Whether the model gives the output (its own drug, where it is the parent), and the figure has a meaning."""
        if figure.metric == "value":
            return True
        if figure.output == "parent":
            return self.model.drug in self.model.outputs
        if figure.metric == "bioavailability" and ("iv" not in self.model.routes or self.protocol.routes == ["iv"]):
            return False
        return figure.output in self.model.outputs

    def people(self, *, typical: bool) -> Population:
        """The typical patient of the study; or as many as give a mean, with what varies of them and of the model."""
        patient = Patient(**self.setting.patient).population()
        varied = bool(self.model.variability.between_subject.effects)
        if typical or not (varied or self.setting.people):
            return patient
        if self.setting.people is not None:
            people = sample_covariates(self.setting.people, SEED, 0, PATIENTS)
        else:
            repeated = {name: np.repeat(values, PATIENTS) for name, values in patient.covariates.items()}
            people = Population(0, PATIENTS, repeated)
        return sample_effects(people, self.model, SEED)

    @cached_property
    def _typical(self) -> Course:
        return Course(self.model, self.protocol, self.people(typical=True), self.setting.drug)

    @cached_property
    def _varied(self) -> Course:
        return Course(self.model, self.protocol, self.people(typical=False), self.setting.drug)

    def measured(self, figure: Figure) -> Floats:
        """A figure (n,) of every patient, in the base units of what was published.

        Raises
        ------
        InputError
            where protocol, people and model do not fit together, or the figure has no meaning on the model.
        """
        return _MEASURES[figure.metric](self, figure)

    def course(self, figure: Figure) -> Course:
        """Those whom a figure is of: the typical patient, or everybody."""
        return self._typical if figure.statistic == "typical" else self._varied


def summary(values: Floats, figure: Figure) -> float:
    """The statistic of values (n,) that the study reported; that of one patient is the value itself.

    Raises InputError where there is none.
    """
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


def _of_course(study: Studied, figure: Figure) -> Floats:
    """A peak is the highest level from the first sample on."""
    course, first = study.course(figure), study.setting.first_sample
    values = measures.of_course(
        course,
        figure.metric,
        study.model.output(figure.output),
        since=first.value if first is not None else 0.0,
        until=figure.until.value if figure.until is not None else None,
        threshold=figure.threshold.value if figure.threshold is not None else None,
    )
    return values - course.plan.ends[-1] if figure.since == "last_dose" else values


def _area(study: Studied, figure: Figure) -> Floats:
    until = figure.until.value if figure.until is not None else None
    return measures.area(study.course(figure), study.model.output(figure.output), until=until)


def _level_at(study: Studied, figure: Figure) -> Floats:
    assert figure.at is not None
    return measures.level_at(study.course(figure), study.model.output(figure.output), figure.at.value)


def _of_disposition(study: Studied, figure: Figure) -> Floats:
    """After 1 mg into the vein, or by the route of the study where there is no other."""
    net = study.course(figure).network
    route = "iv" if "iv" in study.model.routes else study.protocol.routes[0]
    values = _DISPOSITION[figure.metric](net, study.model.output(figure.output), measures.unit_dose(net, route))
    if ("body_weight", -1.0) in figure.published[0].unit.dimensions:
        return values / net.population.values()["weight"]
    return values


def _bioavailability(study: Studied, figure: Figure) -> Floats:
    course = study.course(figure)
    output = study.model.output(figure.output)
    return measures.bioavailability(course.network, output, course.arrived, course.mass)


def _value(study: Studied, figure: Figure) -> Floats:
    assert figure.formula is not None
    net = study.course(figure).network
    missing = figure.formula.names - {*net.values, *study.model.derived}
    if missing:
        raise InputError(Problem(f"no {min(missing)} in {study.model.id}", "a model with these parameters"))
    return net.finite(figure.formula, "formula")


_DISPOSITION = {
    "half_life": measures.half_life,
    "clearance": measures.clearance,
    "volume_terminal": measures.volume_terminal,
    "volume_steady_state": measures.volume_steady_state,
}
_MEASURES: dict[str, Callable[[Studied, Figure], Floats]] = {
    **dict.fromkeys(("peak", "time_of_peak", "time_above"), _of_course),
    **dict.fromkeys(_DISPOSITION, _of_disposition),
    "auc": _area,
    "level_at": _level_at,
    "bioavailability": _bioavailability,
    "value": _value,
}
