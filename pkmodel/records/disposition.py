"""Where drug goes: the generic models of one to three compartments, and the library's models, for rows of a table.

Both answer the same questions: which columns and parameters they know, what their compartments are called, and, once
the values of every row are known, the rates (a :class:`Disposition`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pkmodel.engine import System
from pkmodel.errors import InputError, Problem, shown, unknown_name
from pkmodel.records.rows import Compartments
from pkmodel.records.table import COLUMNS, Table

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: A rate constant beyond this (1/h; a half-life of 25 us) is taken for a mistake of units.
FASTEST = 1e8


@dataclass(frozen=True)
class Disposition:
    """The systems of a table. Rows with equal parameters share one; ``of_row`` (n,) says which.

    ``system`` gives those with the numbers (k,). The first states are the ``compartments``; the others, such as effect
    sites, take no drug away. ``start`` (u, s) is a body before any dose, ``loss`` (u, s) the rates at which states lose
    drug for good (None where the system is not linear), and ``scale`` (u,) turns the amount in ``observed`` into the
    value.
    """

    compartments: tuple[str, ...]
    of_row: Ints
    system: Callable[[Ints], System]
    start: Floats
    rates: Floats
    loss: Floats | None
    scale: Floats
    observed: int


class Model(Protocol):
    """What a table of records needs to know of a model."""

    @property
    def name(self) -> str:
        """How messages name it."""

    @property
    def parameters(self) -> tuple[str, ...]:
        """The parameters that may be given, in a column or by name."""

    def compartments(self, given: set[str]) -> Compartments:
        """The compartments, once it is known which parameters are given."""

    def build(self, table: Table, given: Mapping[str, Floats]) -> Disposition:
        """The systems for the rows of a table. ``given`` (n,) is NaN in rows for which a parameter was not."""


# ---------------------------------------------------------------------------------------------------- generic models

#: The generic models by name, and how many compartments they have beside depots.
GENERIC = {"one_compartment": 1, "two_compartment": 2, "three_compartment": 3}
_DISPOSITION = ("CL", "V1", "Q2", "V2", "Q3", "V3")
_DEPOTS = ("KA", "KA2")
_UNITS = {"C": "a clearance in L/h", "V": "a volume above 0 L", "Q": "a clearance in L/h", "K": "a rate in 1/h"}


@dataclass(frozen=True)
class Generic:
    """A mammillary model of ``size`` compartments with up to two first-order depots, in h and L."""

    name: str

    @property
    def size(self) -> int:
        """The number of compartments without depots."""
        return GENERIC[self.name]

    @property
    def required(self) -> tuple[str, ...]:
        """The parameters that must be given."""
        return _DISPOSITION[: 2 * self.size]

    @property
    def parameters(self) -> tuple[str, ...]:
        """Those that may be: KA brings a depot, KA2 a second one."""
        return (*self.required, *_DEPOTS)

    def compartments(self, given: set[str]) -> Compartments:
        """Numbered as ADVAN1 to 4, 11 and 12 have them: depot (if any), central, per1, per2; then a second depot."""
        names = ("central", "per1", "per2")[: self.size]
        if "KA2" in given and "KA" not in given:
            raise InputError(Problem("KA2 without KA", "KA, the rate from the first depot", "KA", self.name))
        if "KA" in given:
            names = ("depot", *names)
        if "KA2" in given:
            names = (*names, "depot2")
        return Compartments(names, default=1)

    def build(self, table: Table, given: Mapping[str, Floats]) -> Disposition:
        """Rates from clearances and volumes: k10 = CL / V1, k12 = Q2 / V1, k21 = Q2 / V2 and so on."""
        for name in dict.fromkeys((*self.required, *given)):
            values = given.get(name)
            if values is None or (np.isnan(values).any() and not table.has(name)):
                self._missing(name, given)
            else:
                empty = np.isnan(values)
                table.refuse(empty, name, values, f"{_UNITS[name[0]]}, in every row of a subject or in none")
                wrong = (values < 0) | ((values == 0) & (name[0] == "V"))
                expected = f"{_UNITS[name[0]]}, of at least 0" if name[0] != "V" else _UNITS["V"]
                if wrong.any() and not table.has(name):
                    found = f"{values[np.argmax(wrong)]:g}"
                    table.problems.append(Problem(found, expected, f"parameters.{name}", self.name))
                else:
                    table.refuse(wrong, name, values, expected)
        table.stop_at_mistakes()
        names = [name for name in self.parameters if name in given]
        unique, of_row = distinct([given[name] for name in names], table.size)
        value = dict(zip(names, unique, strict=True))
        compartments = self.compartments(set(given)).names
        place = {name: index for index, name in enumerate(compartments)}
        flows = [("depot", "central", "KA", ""), ("depot2", "central", "KA2", "")]
        for name, flow, volume in (("per1", "Q2", "V2"), ("per2", "Q3", "V3")):
            flows += [("central", name, flow, "V1"), (name, "central", flow, volume)]
        with np.errstate(over="ignore"):
            loss = np.zeros((unique.shape[1], len(compartments)))
            loss[:, place["central"]] = value["CL"] / value["V1"]
            rates = np.zeros((*loss.shape, len(compartments)))
            for source, target, flow, volume in flows:
                if source in place and target in place:
                    rate = value[flow] / value[volume] if volume else value[flow]
                    rates[:, place[target], place[source]] = rate
        leaving = rates.sum(axis=1) + loss
        rates[:, range(len(place)), range(len(place))] = -leaving
        too_fast = np.any(leaving > FASTEST, axis=1)
        table.refuse(too_fast[of_row], "CL", lambda row: "a rate constant above 1e8 1/h", "parameters in h and L")
        table.stop_at_mistakes()
        return Disposition(
            compartments=compartments,
            of_row=of_row,
            system=lambda which: System(rates=rates[which]),
            start=np.zeros(loss.shape),
            rates=rates,
            loss=loss,
            scale=1.0 / value["V1"],
            observed=place["central"],
        )

    def _missing(self, name: str, given: Mapping[str, Floats]) -> None:
        found = "nothing" if name not in given else "nothing for some subjects"
        raise InputError(Problem(found, f"{name}, {_UNITS[name[0]]}", f"parameters.{name}", self.name))


def distinct(columns: list[Floats], size: int) -> tuple[Floats, Ints]:
    """The distinct rows of some columns, as (k, u), and which of them each row is."""
    table = np.stack(columns) if columns else np.zeros((0, size))
    if size == 0 or (table == table[:, :1]).all():
        return table[:, :1], np.zeros(size, dtype=np.int64)
    unique, of_row = np.unique(table, axis=1, return_inverse=True)
    return np.ascontiguousarray(unique), of_row.reshape(-1).astype(np.int64)


# ---------------------------------------------------------------------------------------------------- what is given


def model_for(model: object) -> Model:
    """The model that ``simulate_records`` was given: a generic one, or one of the library by name, path or spec."""
    from pkmodel.records.library import Library
    from pkmodel.specs.library import load_model
    from pkmodel.specs.loading import is_path, library
    from pkmodel.specs.model import ModelSpec

    if isinstance(model, ModelSpec):
        return Library(model)
    if isinstance(model, str) and model in GENERIC:
        return Generic(model)
    if not isinstance(model, (str, Path)):
        expected = "the name of a generic or a library model, the path of a model file, or a loaded model"
        raise InputError(Problem(shown(model), expected, "model"))
    if not is_path(model) and str(model) not in library("models"):
        legal = [*GENERIC, *library("models")]
        raise InputError(
            unknown_name("a generic or library model, or the path of a YAML file", model, legal, path="model")
        )
    return Library(load_model(model))


def given_parameters(model: Model, table: Table, parameters: object, subject: Ints) -> dict[str, Floats]:
    """The parameters of each row (n,): from a column of the table, else from ``parameters``; NaN where neither has it.

    Names are read in any case. A column counts for a subject that has a number in it, and then in every row of it.

    Raises InputError where a name is unknown or a value is not a finite number.
    """
    legal = {name.lower(): name for name in model.parameters}
    given: dict[str, Floats] = {}
    for name, value in _stated(parameters, model).items():
        own = name if name in model.parameters else legal.get(name.lower(), "")
        if not own:
            raise InputError(unknown_name(f"a parameter of {model.name}", name, model.parameters, path="parameters"))
        if own in given:
            raise InputError(Problem(f"{own} twice", "one value", f"parameters.{own}"))
        given[own] = np.full(table.size, value)
    siblings = {name.lower() for name in (*_DISPOSITION, *_DEPOTS)} if model.name in GENERIC else set()
    for lower in siblings - set(legal):
        if table.has(lower):
            expected = f"a parameter of {model.name}: {', '.join(model.parameters)}"
            table.problems.append(
                Problem(f"the column {table.written(lower)}", expected, table.written(lower), "records")
            )
    for lower, name in legal.items():
        if lower in COLUMNS or not table.has(lower):
            continue
        column = table.numbers(lower)
        has = np.zeros(subject.max(initial=-1) + 1, dtype=bool)
        np.logical_or.at(has, subject, ~np.isnan(column))
        base = given.get(name, np.full(table.size, np.nan))
        partly = has[subject] & np.isnan(column)
        table.refuse(partly, lower, column, "a number in every row of the subject, or in none")
        given[name] = np.where(has[subject], column, base)
    table.stop_at_mistakes()
    return given


def _stated(parameters: object, model: Model) -> dict[str, float]:
    """The mapping ``parameters`` with plain numbers."""
    if parameters is None:
        return {}
    try:
        pairs = dict(parameters.items())  # type: ignore[attr-defined]
    except (AttributeError, TypeError, ValueError):
        raise InputError(Problem(shown(parameters), "a mapping such as {'CL': 4, 'V1': 12}", "parameters")) from None
    for name, value in pairs.items():
        if isinstance(value, bool) or not isinstance(value, Real) or not np.isfinite(float(value)):
            raise InputError(Problem(shown(value), "a finite number, in h and L (and mg)", f"parameters.{name}"))
    return {str(name): float(value) for name, value in pairs.items()}
