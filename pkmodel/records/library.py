"""A model of the library for the rows of a table: covariates in columns, parameters by name, typical values.

Each distinct set of covariates and parameters is a patient of its own for :mod:`pkmodel.network`; no random effects.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pkmodel import network
from pkmodel import population as people
from pkmodel.engine import System
from pkmodel.errors import InputError, nearest, one_of
from pkmodel.network import Network
from pkmodel.population import Population
from pkmodel.records.disposition import Disposition, distinct
from pkmodel.records.rows import Compartments
from pkmodel.records.table import Table
from pkmodel.specs import fields
from pkmodel.specs.model import OUTSIDE, ModelSpec
from pkmodel.specs.population import PLAUSIBLE, PLAUSIBLE_TEXT

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_SHARES = ("cyp2b6_activity", "hepatic_impairment")
#: What each column of a covariate may hold; weights in kg, ages in y, heights in cm.
COVARIATES = (*PLAUSIBLE, "sex", "ancestry")
#: Other names of covariates, refused where the covariate itself is missing.
OTHER_NAMES = {
    "weight": ("wt", "bwt", "bw", "body_weight", "weight_kg"),
    "age": ("age_y", "years"),
    "height": ("ht", "height_cm"),
    "sex": ("gender",),
    "ancestry": ("race",),
}


@dataclass(frozen=True)
class Library:
    """A model file as the model of a table."""

    spec: ModelSpec

    @property
    def name(self) -> str:
        """The id of the model."""
        return self.spec.id

    @property
    def parameters(self) -> tuple[str, ...]:
        """The parameters of the file; those that are given replace the typical values."""
        return tuple(self.spec.parameters)

    def compartments(self, given: set[str]) -> Compartments:
        """In the order of the file. A dose goes where all routes lead, if that is one place; else it must say."""
        names = tuple(self.spec.compartments)
        places = {path.into for route in self.spec.routes.values() for path in route.paths}
        return Compartments(names, default=names.index(places.pop()) + 1 if len(places) == 1 else 0)

    def build(self, table: Table, given: Mapping[str, Floats]) -> Disposition:
        """The network of every distinct set of covariates and parameters."""
        table.refuse_other_names(COVARIATES, OTHER_NAMES)
        covariates = _covariates(table)
        table.stop_at_mistakes()
        names = [*covariates, *given]
        unique, of_row = distinct([*covariates.values(), *given.values()], table.size)
        values = dict(zip(names, unique, strict=True))
        count = unique.shape[1]
        population = Population(0, count, {name: values[name] for name in covariates})
        own = {name: values[name] for name in given}
        try:
            net = _network(self.spec, population, own)
        except InputError:
            self._say_where(table, population, own, of_row)
            raise
        spec = self.spec
        index = list(spec.outputs).index(spec.parent)
        return Disposition(
            compartments=tuple(spec.compartments),
            of_row=of_row,
            system=lambda which: _part(net.system, which),
            start=net.initial,
            rates=net.rates,
            loss=_loss(net) if spec.linear else None,
            scale=net.output_scale[index] * (spec.factors[spec.parent] / spec.scales[spec.parent]),
            observed=int(net.output_compartment[index]),
        )

    def _say_where(self, table: Table, population: Population, own: Mapping[str, Floats], of_row: Ints) -> None:
        """Raise the error of the first row whose patient cannot be, with the row."""
        for each in range(population.size):
            alone = {name: array[each : each + 1] for name, array in population.covariates.items()}
            row = int(np.argmax(of_row == each))
            try:
                _network(
                    self.spec, Population(row, 1, alone), {name: array[each : each + 1] for name, array in own.items()}
                )
            except InputError as error:
                said = []
                for problem in error.problems:
                    close = nearest(problem.path, table.names) if problem.where == "patient" else problem.nearest
                    found = problem.found.replace(f" in patient {row + 1}", "")
                    said.append(replace(problem, found=found, where=table.where(row), nearest=close))
                raise InputError(said) from None


def _network(spec: ModelSpec, population: Population, own: Mapping[str, Floats]) -> Network:
    """The network with the parameters that were given in the place of the typical ones."""
    if not own:
        return network.build(spec, population)
    parameters = people.parameters(spec, population)
    for name, values in own.items():
        parameters[name] = np.where(np.isnan(values), parameters[name], values)
        people.refuse_impossible(spec, name, parameters[name], population)
    return network.build(spec, population, parameters)


def _part(system: System, which: Ints) -> System:
    """The systems of some patients of a block, on a clock that begins with a subject's first dose."""
    dynamics = system.dynamics
    if dynamics is not None:
        dynamics = replace(dynamics, parameters=dynamics.parameters[:, which])
    initial = None if system.initial is None else system.initial[which]
    return System(system.rates[which], initial, dynamics, first_dose=np.zeros(which.size))


def _loss(net: Network) -> Floats:
    """(n, s) rates at which states lose drug for good; an effect site loses all that it has, to nowhere."""
    loss = np.zeros(net.rates.shape[:2])
    for index, flow in enumerate(net.model.flows):
        if flow.target == OUTSIDE and flow.rate is not None:
            loss[:, net.states.index(flow.source)] += net.evaluate(flow.rate, f"flows[{index}].rate")
    for state in range(len(net.model.compartments), len(net.states)):
        loss[:, state] = -net.rates[:, state, state]
    return loss


def _covariates(table: Table) -> dict[str, Floats]:
    """The covariates that the table has, (n,) each, and those that every patient has where it does not say."""
    found: dict[str, Floats] = {}
    for name in PLAUSIBLE:
        if table.has(name):
            values = table.numbers(name)
            table.refuse(np.isnan(values), name, values, f"the {name} in every row")
            low, high = PLAUSIBLE[name]
            expected = "a number from 0 to 1" if name in _SHARES else f"{name} of {PLAUSIBLE_TEXT[name]}"
            wrong = (values < low) | (values > high)
            table.refuse(wrong, name, values, expected)
            found[name] = values
        elif name in _SHARES:
            found[name] = np.full(table.size, 1.0 if name == "cyp2b6_activity" else 0.0)
    for name, legal in (("sex", fields.SEXES), ("ancestry", fields.ANCESTRIES)):
        cells = [str(cell).strip().lower() if cell is not None else "" for cell in table.cells(name)]
        if table.has(name):
            wrong = np.array([cell not in legal for cell in cells])
            table.refuse(wrong, name, cells, one_of(legal))
            index = np.array([legal.index(cell) if cell in legal else 0 for cell in cells], dtype=np.float64)
            found["female" if name == "sex" else name] = 1.0 - index if name == "sex" else index
        elif name == "ancestry":
            found[name] = np.zeros(table.size)
    return found
