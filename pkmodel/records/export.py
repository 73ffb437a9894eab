"""A protocol written out as records: what reaches a patient of a model, dose by dose and path by path."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pkmodel import network, schedule
from pkmodel.population import Patient, Population
from pkmodel.records.resolve import MODELLED_DURATION
from pkmodel.specs import fields
from pkmodel.specs.library import DrugMode, drug_fraction, load_model, load_protocol
from pkmodel.specs.model import ModelSpec
from pkmodel.specs.protocol import ProtocolSpec

if TYPE_CHECKING:
    import pandas as pd


def records_of(
    protocol: ProtocolSpec | str | Path,
    model: ModelSpec | str | Path,
    patient: Patient | Population,
    *,
    drug: DrugMode = "match",
) -> pd.DataFrame:
    """The doses of a protocol as records, one row for each dose down each path of its route.

    Every dosing rule is resolved in them: dosing weight, caps, rounding, devices. ``amt`` is the dose in mg as the
    base, of which the part ``f`` arrives in ``cmt``, ``lag`` h later, at once (``rate`` 0) or over ``dur`` h (``rate``
    -2). The known covariates stand beside them, so that :func:`pkmodel.simulate_records` needs nothing but the model
    and the table, with rows for observations added.

    Parameters
    ----------
    protocol, model
        loaded ones, or their names or paths. Routes, fractions and lags are the model's.
    patient
        a :class:`pkmodel.Patient`, or a population, whose patients are numbered in ``id``. Random effects are not
        written out: a sampled population comes out with its own fractions and lags, but would be simulated with
        typical parameters.
    drug
        ``match``, ``own`` or ``half``; see :func:`pkmodel.specs.library.drug_fraction`.

    Raises InputError where drug, route or covariates do not fit.
    """
    import pandas as pd

    protocol = protocol if isinstance(protocol, ProtocolSpec) else load_protocol(protocol)
    model = model if isinstance(model, ModelSpec) else load_model(model)
    population = patient.population() if isinstance(patient, Patient) else patient
    share, _ = drug_fraction(protocol, model, drug)
    net = network.build(model, population)
    _, deliveries = schedule.given(protocol, net, fraction_of_drug=share)

    def each(values: object) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return np.broadcast_to(np.asarray(values, dtype=np.float64), (net.size,))

    parts = []
    for order, delivery in enumerate(deliveries):
        duration = each(delivery.duration)
        part = {
            "id": population.first + 1 + np.arange(net.size),
            "time": each(delivery.time),
            "evid": 1,
            "amt": each(delivery.amount),
            "rate": np.where(duration > 0, MODELLED_DURATION, 0.0),
            "dur": duration,
            "cmt": model.compartments[delivery.compartment],
            "lag": each(0.0 if delivery.lag is None else delivery.lag),
            "f": each(1.0 if delivery.fraction is None else delivery.fraction),
            "order": order,
        }
        table = pd.DataFrame({**part, **_covariates(population)})
        parts.append(table[table["amt"] > 0])
    whole = pd.concat(parts, ignore_index=True).sort_values(["id", "time", "order"], kind="stable", ignore_index=True)
    return whole.drop(columns="order")


def _covariates(population: Population) -> dict[str, object]:
    """The covariates as columns of a table."""
    known: dict[str, object] = {name: values for name, values in population.covariates.items() if name != "female"}
    if "female" in population.covariates:
        known["sex"] = np.where(population.covariates["female"] == 1.0, "female", "male")
    known["ancestry"] = np.array(fields.ANCESTRIES)[population.covariates["ancestry"].astype(np.int64)]
    return known
