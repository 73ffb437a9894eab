"""Levels over time: a protocol, a model and one patient or many become trajectories."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pkmodel import cautions, engine, measurement, metrics, units
from pkmodel.engine import AUTO, Numerics
from pkmodel.errors import InputError, Problem, shown
from pkmodel.exact_figures import course_figures
from pkmodel.ledger import Ledger
from pkmodel.measurement import Assay
from pkmodel.metrics import Request, Span
from pkmodel.network import Network
from pkmodel.occasions import Course
from pkmodel.population import Patient, Population
from pkmodel.schedule import Schedule
from pkmodel.specs.attach import attach
from pkmodel.specs.effect_file import EffectFile
from pkmodel.specs.library import DrugMode, drug_fraction, given_drug, load_model, load_protocol
from pkmodel.specs.loading import Source
from pkmodel.specs.model import ModelSpec
from pkmodel.specs.protocol import ProtocolSpec
from pkmodel.specs.rule_checks import offered
from pkmodel.treatment import treat

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]

#: A longer grid is taken for a mistake (a step in seconds over a year, say).
MAX_POINTS = 2_000_000


@dataclass(frozen=True)
class Result:
    """Levels of one patient or many.

    ``time`` is (t,) h from the start of the course; ``amounts`` is (n, t, s) mg in the model's compartments, and what
    the other states of the network hold (effect sites mg/L, turnovers in the unit of their effect).
    ``warnings`` says what a reader must know: who is outside the model's range, what is assumed. ``course`` is there
    where parameters differ between occasions; ``network`` then holds those of the patients over all occasions.
    ``assay`` measures levels where residual error was asked for. ``ledger`` says how the course came about where a
    clinic decided on the day, or sessions were missed or late.
    """

    network: Network
    schedule: Schedule
    time: Floats
    amounts: Floats
    warnings: tuple[str, ...] = ()
    protocol: ProtocolSpec | None = None
    until: float = field(default=0.0)
    numerics: Numerics = AUTO
    course: Course | None = None
    assay: Assay | None = None
    ledger: Ledger | None = None

    @property
    def model(self) -> ModelSpec:
        """The model that was run."""
        return self.network.model

    @property
    def engine(self) -> str:
        """The engine that ran: ``propagator`` or ``ode``."""
        return "ode" if self.numerics.by_ode(self.network.system) else "propagator"

    @property
    def methods(self) -> NDArray[np.str_]:
        """What integrated each patient (n,): ``propagator``, ``explicit`` or ``stiff``."""
        if self.course is not None:
            return self.course.methods(float(self.time[-1]))
        return engine.methods(self.network.system, self.schedule.events, float(self.time[-1]), self.numerics)

    def level(self, output: str = "parent") -> Floats:
        """(n, t) levels of an output, or an effect, in its unit; an output as measured where there is an ``assay``."""
        if self.assay is None or output in self.network.effects:
            return self.true_level(output)
        return self.assay.of_grid(self.true_level(output), self.model.output(output), self.time)

    def true_level(self, output: str = "parent") -> Floats:
        """(n, t) levels of an output, or an effect, in its unit, without residual error."""
        if self.course is None:
            return _level(self.network, self.amounts, output)
        found = np.empty(self.amounts.shape[:2])
        for part in self.course.parts(self.time):
            part.put(_level(part.occasion.network, self.amounts[:, part.rows], output), found)
        return found

    def to_pandas(self, wide: bool = False) -> pd.DataFrame:
        """A table: subject, time_h, output, value, unit; or, ``wide``, subject, time_h and a column per output.

        Effects stand among the outputs; where one of them is illustrative, a column ``note`` of the long table says so.
        ``attrs`` of the table holds the units of a wide one, and what a reader must know (``warnings``).
        """
        import pandas as pd

        units_of = self.model.observables
        count, points = self.network.size, self.time.size
        subject = np.repeat(np.arange(1, count + 1) + self.network.population.first, points)
        head = {"subject": subject, "time_h": np.tile(self.time, count)}
        if wide:
            table = pd.DataFrame({**head, **{name: self.level(name).ravel() for name in units_of}})
            table.attrs["units"] = units_of
        else:
            parts = [
                pd.DataFrame({**head, "output": name, "value": self.level(name).ravel(), "unit": unit})
                for name, unit in units_of.items()
            ]
            table = pd.concat(parts, ignore_index=True)
            if any(map(self.model.illustrative, units_of)):
                table["note"] = ["illustrative" if self.model.illustrative(name) else "" for name in table["output"]]
        table.attrs["warnings"] = list(self.warnings)
        return table

    def sessions(self) -> pd.DataFrame:
        """A line per subject, session and output: dose given, exact peak, its time, and area until the next session.

        An effect has a line where it follows one state. What it has not (an area, where it is a curve of a level) is
        NaN; where it falls as levels rise, that is its peak too, and a column ``lowest`` has its strongest.
        """
        import pandas as pd

        last = max(self.until - self.schedule.last_start, metrics.LAST_WINDOW)
        has = {name: offered(self.model, name) for name in self.model.observables}
        effects = [name for name in self.model.effects if has[name]]
        figures = course_figures(
            self.network, self.schedule, last=last, numerics=self.numerics, effects=effects, course=self.course
        )
        columns = ["peak", "time_of_peak", "auc", "trough"]
        columns += ["lowest"] if any(found.lowest is not None for found in figures.values()) else []
        rows = []
        for index, session in enumerate(self.schedule.sessions):
            span = Span("session", index + 1)
            starts = np.broadcast_to(self.schedule.starts[index], (self.network.size,))
            for name in figures:
                nothing = np.full(self.network.size, np.nan)
                found = {
                    metric: metrics.evaluate(figures[name], span, Request(metric, name))
                    if metric in has[name] and (metric != "lowest" or figures[name].lowest is not None)
                    else nothing
                    for metric in columns
                }
                for patient in range(self.network.size):
                    rows.append(
                        {
                            "subject": self.network.population.first + patient + 1,
                            "session": index + 1,
                            "phase": session.planned.phase,
                            "start_h": starts[patient],
                            "dose_mg": session.given[patient],
                            "output": name,
                            **{metric: values[patient] for metric, values in found.items()},
                            "unit": self.model.observables[name],
                        }
                    )
        table = pd.DataFrame(rows)
        if any(map(self.model.illustrative, figures)):
            table["note"] = ["illustrative" if self.model.illustrative(name) else "" for name in table["output"]]
        return table

    def nca(self) -> pd.DataFrame:
        """Non-compartmental figures: a line per subject, session that begins by the end, and output.

        A session lasts until the next one begins, the last one until the simulation ends. ``cmax`` and ``clast`` are
        in ``unit``, ``tmax`` and ``tlast`` in h from the start of the session, ``auclast`` (until ``tlast``) and
        ``aucinf`` in unit x h; these are exact whatever the grid. ``lambda_z`` (1/h) and ``half_life`` (h) are those of
        the regression of log levels on the grid after the peak and the dosing, over as many last ``points`` as leave
        the adjusted r squared within 1e-4 of the best; ``aucinf`` adds clast / lambda_z, which is ``extrapolated`` as a
        share of it. Where no line can be laid they are NaN and ``note`` says why. What earlier sessions left behind is
        in the levels. True levels, without residual error; outputs only, no effects.
        """
        from pkmodel.nca import nca

        levels = {name: self.true_level(name) for name in self.network.output_names}
        plan, until, numerics = self.schedule, self.until, self.numerics
        table = nca(self.network, plan, self.time, levels, until=until, numerics=numerics, course=self.course)
        table.attrs["warnings"] = list(self.warnings)
        return table


def _level(net: Network, amounts: Floats, output: str) -> Floats:
    """(n, t) levels of an output, or an effect, at amounts (n, t, s), in its unit."""
    if output in net.effects:
        return net.effects[output].of(amounts)
    index = net.output_names.index(net.model.output(output))
    levels: Floats = amounts[:, :, net.output_compartment[index]] * net.output_scale[index][:, None]
    return levels


def simulate(
    protocol: ProtocolSpec | str | Path,
    model: ModelSpec | str | Path,
    patient: Patient | Population,
    *,
    until: str | None = None,
    every: str = "5 min",
    drug: DrugMode = "match",
    strict: bool = False,
    numerics: Numerics = AUTO,
    effects: Sequence[EffectFile | Source] = (),
    residual: bool = False,
    seed: int = 1,
) -> Result:
    """Simulate a protocol.

    Parameters
    ----------
    protocol, model
        loaded ones, or their names or paths.
    patient
        a :class:`Patient`, or a sampled population; with effects of occasions
        (:func:`pkmodel.population.sample_occasions`) each session has parameters of its own.
    until
        how long from the start of the course; without it until 24 h after the start of the last session.
    every
        the step of the grid on which levels are returned. Levels are exact at every point, whatever the step.
    drug
        ``match``, ``own`` or ``half``; see :func:`pkmodel.specs.library.drug_fraction`.
    strict
        refuse a patient or course outside of what the model is valid for, instead of warning.
    numerics
        the engine and its tolerance; by default the exact one where the model is linear.
    effects
        loaded ones, or their names or paths, to attach to the model; see :func:`pkmodel.specs.attach.attach`.
    residual, seed
        whether levels are as measured, with the residual error of the model (:mod:`pkmodel.measurement`); the seed of
        that, and of what sprays deliver to a population. Figures of sessions are of true levels all the same.

    Raises
    ------
    InputError
        where drug, route, units, covariates or an effect do not fit.
    RunError
        where a solver gives up, with what to do.
    """
    protocol = protocol if isinstance(protocol, ProtocolSpec) else load_protocol(protocol)
    model = model if isinstance(model, ModelSpec) else load_model(model)
    population = patient.population() if isinstance(patient, Patient) else patient
    fraction, warnings = drug_fraction(protocol, model, drug)
    model = attach(model, effects, given=given_drug(protocol, model, drug))
    outside = cautions.validity(protocol, model, population)
    if strict and outside:
        raise InputError(
            [Problem(sentence, "nothing outside valid_for (--strict)", path=model.id) for sentence in outside]
        )
    step = _positive(every, "every")
    asked = None if until is None else _positive(until, "until")
    several = not isinstance(patient, Patient)
    treated = treat(model, population, protocol, fraction, numerics, seed=seed, sprays=several)
    net, plan, course = treated.network, treated.plan, treated.course
    span = plan.last_start + metrics.LAST_WINDOW if asked is None else asked
    if span / step > MAX_POINTS:
        raise InputError(
            Problem(f"a point every {every} for {span:g} h", f"at most {MAX_POINTS:,} points", path="every")
        )
    time: Floats = step * np.arange(int(np.floor(span / step * (1 + 1e-12))) + 1, dtype=np.float64)
    if time[-1] < span * (1 - 1e-12):
        time = np.append(time, span)
    told = cautions.of_model(model, cautions.ages(population))
    giving = cautions.of_giving(protocol, model, drawn=several)
    said = (*warnings, *giving, *told, *outside, *model.assumptions)
    assay = Assay(model, seed, population.first, population.size) if residual else None
    if residual:
        said = (*said, *measurement.notes([model]))
    amounts = amounts_at(net, plan, time, numerics) if course is None else course.amounts(time)
    engine.refuse_lost(amounts, model.id, population.first)
    return Result(net, plan, time, amounts, said, protocol, span, numerics, course, assay, treated.ledger)


def _positive(text: str, name: str) -> float:
    try:
        value = units.as_kind(text, "time").value
    except InputError as error:
        raise InputError(error.problems[0].at(path=name)) from None
    if value <= 0:
        raise InputError(Problem(shown(text), "a time above 0", path=name))
    return value


def amounts_at(net: Network, plan: Schedule, time: Floats, numerics: Numerics = AUTO) -> Floats:
    """Amounts (n, t, s) in mg at rising times (h), each after what arrives at that instant."""
    return engine.amounts(net.system, plan.events, time, numerics=numerics)
