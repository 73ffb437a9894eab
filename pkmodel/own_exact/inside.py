"""Figures inside of steps (peaks, areas, times above, crossings) straight from the kernel, against exact ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pkmodel.core import crossing
from pkmodel.core.kinds import Events
from pkmodel.own_exact.tables import FOLDER, tables
from pkmodel.schedule import EventList

Floats = NDArray[np.float64]

#: Every case has both depots, whether a dose goes there or not; the disposition compartments follow.
COMPARTMENTS = ("depot", "depot2", "central", "per1", "per2")
DOSE, MODELLED_DURATION = 1, -2
#: Room for crossing times; no case has nearly as many.
ROOM = 32


@dataclass(frozen=True)
class Case:
    """One case: its parameters (h, L), and its records with the values expected after each of them."""

    name: str
    parameters: dict[str, float]
    records: pd.DataFrame

    @property
    def compartments(self) -> tuple[str, ...]:
        """The compartments of the model, in the order of the rate matrix."""
        return COMPARTMENTS[: 2 + int(self.parameters["n_cmt"])]

    @property
    def volume(self) -> float:
        """The volume of the central compartment: concentration is its amount over this."""
        return self.parameters["V1"]

    @property
    def rates(self) -> Floats:
        """The rate matrix (1, c, c), 1/h."""
        value, position = self.parameters, {name: index for index, name in enumerate(self.compartments)}
        flows = [
            ("depot", "central", value["KA"]),
            ("depot2", "central", value["KA2"]),
            ("central", "", value["CL"] / value["V1"]),
        ]
        for name, flow, volume in (("per1", "Q2", "V2"), ("per2", "Q3", "V3")):
            if name in position:
                flows += [
                    ("central", name, value[flow] / value["V1"]),
                    (name, "central", value[flow] / value[volume]),
                ]
        matrix = np.zeros((1, len(position), len(position)))
        for source, target, rate in flows:
            matrix[0, position[source], position[source]] -= rate
            if target:
                matrix[0, position[target], position[source]] += rate
        return matrix

    def events(self) -> Events:
        """The doses and what they entail later, taken apart here and not by the package."""
        if self.records["ss"].any() or not self.records["evid"].isin([0, DOSE]).all():
            raise ValueError(f"{self.name}: a steady state or a reset, which is not taken apart here")
        found = EventList(1)
        row: Any
        for row in self.records[self.records["evid"] == DOSE].itertuples():
            amount, compartment = row.f * row.amt, self.compartments.index(row.cmt)
            for number in range(row.addl + 1):
                time = row.time + number * row.ii + row.lag
                if row.rate == 0:
                    found.bolus(time, compartment, np.array([amount]))
                else:  # of a given rate F shortens the duration, of a given duration it lowers the rate
                    duration = row.dur if row.rate == MODELLED_DURATION else amount / row.rate
                    found.infusion(time, duration, compartment, np.array([amount]))
        return found.events()


@dataclass(frozen=True)
class Scanned:
    """The figures of the central amount of one patient over one window (mg, h)."""

    peak: float
    time_of_peak: float
    area: float
    time_above: Floats
    crossings: list[Floats]


def scan(case: Case, start: float, end: float, thresholds: Floats) -> Scanned:
    """Scan the central amount of a case from ``start`` to ``end`` against thresholds (mg)."""
    count = thresholds.size
    stats = np.empty((1, 1, 1, crossing.N_STATS))
    above, first = np.empty((1, 1, 1, count)), np.empty((1, 1, 1, count))
    crossings, n_crossings = np.full((1, 1, count, ROOM), np.nan), np.zeros((1, 1, count), dtype=np.int64)
    crossing.scan(
        case.rates,
        np.zeros(case.rates.shape[:2]),
        case.events(),
        np.array([[start], [end]]),
        np.array([case.compartments.index("central")], dtype=np.int64),
        thresholds.reshape(1, count, 1),
        stats,
        above,
        first,
        crossings,
        n_crossings,
    )
    figures = stats[0, 0, 0]
    return Scanned(
        peak=float(figures[crossing.PEAK]),
        time_of_peak=float(figures[crossing.TIME_OF_PEAK]),
        area=float(figures[crossing.AREA]),
        time_above=above[0, 0, 0],
        crossings=[crossings[0, 0, index, : n_crossings[0, 0, index]] for index in range(count)],
    )


def load() -> dict[str, Case]:
    """Every case by name, in the order of the file."""
    cases, records = tables(FOLDER)
    numbers = ["n_cmt", "CL", "V1", "Q2", "V2", "Q3", "V3", "KA", "KA2"]
    return {
        str(name): Case(
            name=str(name),
            parameters={number: float(row[number]) for number in numbers},
            records=records[str(name)].reset_index(drop=True),
        )
        for name, row in cases.iterrows()
    }


def metrics() -> pd.DataFrame:
    """The exact figures: a line per case and threshold."""
    return pd.read_csv(FOLDER / "metrics.csv", dtype={"continuous_crossings": str})


def errors_of(row: Any, case: Case) -> dict[str, float]:
    """The error of every figure of a line, each relative to the reference (time of peak: to the window of 24 h).

    Raises ValueError where a level is crossed more or less often than it should be.
    """
    start, end = (float(edge) for edge in row["window"].split("-"))
    found = scan(case, start, end, np.array([row["threshold"] * case.volume]))
    crossings = np.array([float(word) for word in row["continuous_crossings"].split()])
    if found.crossings[0].size != crossings.size:
        raise ValueError(f"{case.name}: {found.crossings[0]} are not the crossings {crossings}")
    return {
        "auc": abs(found.area / case.volume / row["auc"] - 1.0),
        "cmax": abs(found.peak / case.volume / row["cmax"] - 1.0),
        "tmax": abs(found.time_of_peak - row["tmax"]) / 24.0,
        "time_above": abs(found.time_above[0] / row["time_above"] - 1.0),
        "crossings": float(np.abs(found.crossings[0] / crossings - 1.0).max()),
    }
