"""``simulate_records``: a table of records in, the same table with what is in the body after each row out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pkmodel.errors import InputError, Problem, RunError
from pkmodel.records import rows
from pkmodel.records.disposition import given_parameters, model_for
from pkmodel.records.resolve import resolve
from pkmodel.records.run import amounts_after
from pkmodel.records.table import Table

if TYPE_CHECKING:
    import pandas as pd

    from pkmodel.specs.model import ModelSpec


def simulate_records(
    df: pd.DataFrame, model: str | Path | ModelSpec, parameters: Mapping[str, float] | None = None
) -> pd.DataFrame:
    """Simulate a table of records as NONMEM has them: one row per dose or observation, in the order of its subject.

    How events are treated (what F does to an infusion, what comes first at one time, what a reset cancels, steady
    state with a lag) is told rule by rule in docs/events.md.

    Parameters
    ----------
    df
        Columns in upper or lower case; all but ``time`` may be missing, and an empty cell is the default.

        ``id``: the subject; without it there is one. Rows of a subject need not be next to each other.
        ``time``: h, not falling within a subject.
        ``evid``: 0 observation, 1 dose, 2 other (its covariates count), 3 reset, 4 reset and dose. Without it a row
        with an ``amt`` or an ``ss`` above 0 is a dose and every other one an observation.
        ``amt``: the amount, in mg or any other unit (a non-linear model needs mg).
        ``cmt``: the compartment of the dose by name or number, see below. Without it number 1; a library model that can
        be dosed in several places must be told.
        ``rate``: 0 at once, above 0 an infusion at this rate, -1 one at the rate in ``rat``, -2 one over the hours in
        ``dur``. ``rat`` or ``dur`` without the code that calls for it is refused.
        ``addl``, ``ii``: so many additional doses, one every ``ii`` h.
        ``ss``: 1 replaces what is there by the steady state of the dose given every ``ii`` h, 2 adds it. With ``amt``
        0, a rate and ``ii`` 0: the steady state of a constant infusion, which ends at the row (a lag puts off its
        end).
        ``lag``: h until the dose arrives. ``f``: the part of it that does (1). Neither may be empty in some doses only.
        ``mdv``: kept, not used.

        A column named like a parameter of the model (in any case) or, for a library model, like a covariate (weight in
        kg, age in y, height in cm, sex, ancestry, cyp2b6_activity, hepatic_impairment) gives a value by row: that of
        a row holds from the row before it up to it. Every other column is kept as it is, but a column that is
        evidently meant for a missing one (``ammt``, ``alag1``, ``duration``) is refused.
    model
        ``one_compartment``, ``two_compartment`` or ``three_compartment``, or a model of the library by name, path or
        specification, which is taken with its typical parameters.
    parameters
        For a generic model ``CL V1 Q2 V2 Q3 V3`` as far as it has them, in L/h and L, with ``KA`` (1/h) for a depot and
        ``KA2`` for a second one; for a library model those that are to replace its own, in h, mg, L, as they are and
        not scaled by covariates. Names count in any case. A column of the table goes before this.

    Returns
    -------
    The same rows, index and columns, with ``value``, the concentration of the parent drug (central amount / V1) in the
    unit of ``amt`` per L, and ``amount_<compartment>`` for every compartment, each after its row.

    Compartments of the generic models are numbered as in NONMEM's ADVAN1 to 4, 11 and 12: without ``KA`` central 1,
    per1 2, per2 3; with ``KA`` depot 1, central 2, per1 3, per2 4; ``depot2`` comes last. Those of a library model have
    the order of its file.

    Raises
    ------
    InputError
        naming the row (counted from 1; with its index label where that differs) and the column of every mistake: what
        is not a finite number, a negative amount, a falling time, an unknown evid, cmt, parameter or model, a
        parameter that is missing or that the model lacks, ``addl`` or ``ss`` without ``ii``, a lag above ``ii`` with
        ``ss``, a steady state that does not exist or of a model that changes with time, and whatever
        else cannot be meant.
    RunError
        where an amount comes out that is not finite.

    Examples
    --------
    >>> table = pd.DataFrame({"time": [0, 1, 24], "evid": [1, 0, 0], "amt": [100, 0, 0]})
    >>> pk.simulate_records(table, "one_compartment", {"CL": 4, "V1": 30})
    """
    table = Table(df)
    chosen = model_for(model)
    subject = table.subjects()
    given = given_parameters(chosen, table, parameters, subject)
    compartments = chosen.compartments(set(given))
    _refuse_taken(table, ["value", *(f"amount_{name}" for name in compartments.names)])
    subjects = [(places, resolve(each)) for places, each in rows.read(table, subject, compartments)]
    value, amounts = np.empty(0), np.empty((0, len(compartments.names)))
    if table.size:
        disposition = chosen.build(table, given)
        amounts = amounts_after(table, subjects, disposition)
        value = amounts[:, disposition.observed] * disposition.scale[disposition.of_row]
    finite = np.isfinite(amounts).all(axis=1) & np.isfinite(value)
    if not finite.all():
        row = int(np.argmin(finite))
        raise RunError(f"{table.where(row)}: an amount or a concentration beyond what a number can hold")
    result = df.copy()
    result["value"] = value
    for index, name in enumerate(compartments.names):
        result[f"amount_{name}"] = amounts[:, index]
    return result


def _refuse_taken(table: Table, names: list[str]) -> None:
    """Refuse a table that already has the columns of a result."""
    taken = [name for name in names if name in table.frame.columns]
    if taken:
        expected = "a table without the columns of a result (value and amount_...)"
        raise InputError(Problem(f"the column {taken[0]}", expected, taken[0], "records"))
