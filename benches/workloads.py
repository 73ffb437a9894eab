"""The shared workloads W1, W2 and W3 as the engine takes them, and their references.

They live in a folder beside the checkout (``../shared/bench``); its README says what each is.
"""

from __future__ import annotations

import gzip
import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pkmodel.core.kinds import Events
from pkmodel.engine import System
from pkmodel.schedule import EventList

SHARED = Path(__file__).resolve().parents[2] / "shared" / "bench"
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Workload:
    """A block of patients, their doses, and what is to be seen of them."""

    system: System
    events: Events
    time: Floats
    observed: NDArray[np.int64]
    scale: Floats

    def blocks(self, size: int) -> list[tuple[slice, Workload]]:
        """The patients in blocks of ``size``, for threads that take the next one when they are free."""
        number = self.system.rates.shape[0]
        parts = [slice(first, min(first + size, number)) for first in range(0, number, size)]
        return [
            (
                part,
                Workload(
                    _part(self.system, part),
                    self.events._replace(value=np.ascontiguousarray(self.events.value[:, part])),
                    self.time,
                    self.observed,
                    np.ascontiguousarray(self.scale[:, part]),
                ),
            )
            for part in parts
        ]


def _part(system: System, part: slice) -> System:
    """The systems of some patients."""
    dynamics = system.dynamics
    if dynamics is not None:
        dynamics = replace(dynamics, parameters=np.ascontiguousarray(dynamics.parameters[:, part]))
    initial = None if system.initial is None else system.initial[part]
    return System(rates=system.rates[part], initial=initial, dynamics=dynamics)


def prepare(folder: Path) -> Path:
    """Copy the shared folder and write the inputs of the workloads from their fixed seeds."""
    for file in SHARED.iterdir():
        shutil.copy(file, folder / file.name)
    subprocess.run([sys.executable, "gen_inputs.py"], cwd=folder, check=True)
    return folder


def _rates(size: int, states: int, flows: dict[tuple[int, int | None], Floats]) -> Floats:
    """Rate matrices (n, s, s) from flows (source, target or None for outside) -> rate (n,)."""
    rates = np.zeros((size, states, states))
    for (source, target), rate in flows.items():
        rates[:, source, source] -= rate
        if target is not None:
            rates[:, target, source] += rate
    return rates


def w1(folder: Path) -> Workload:
    """W1: three compartments, 0.5 mg/kg over 40 min on six days, every 2 min for 4 h."""
    _, weight, cl, v1, q2, v2, q3, v3 = np.load(folder / "inputs" / "w1_params.npy").T
    flows = {(0, None): cl / v1, (0, 1): q2 / v1, (1, 0): q2 / v2, (0, 2): q3 / v1, (2, 0): q3 / v3}
    doses = EventList(weight.size)
    for day in (0, 2, 4, 7, 9, 11):
        doses.infusion(day * 24.0, 40 / 60, 0, 0.5 * weight)
    rates, time = _rates(weight.size, 3, flows), np.load(folder / "inputs" / "w1_times.npy")
    return Workload(System(rates=rates), doses.events(), time, np.array([0]), 1.0 / v1[None])


def w2(folder: Path) -> Workload:
    """W2: nose, swallowed part with first pass, three compartments, metabolite with two; three sprays twice a week."""
    _, _, cl, v1, q2, v2, q3, v3, ka1, ka2, fn, fg, fm, clm, vm1, qm, vm2 = np.load(
        folder / "inputs" / "w2_params.npy"
    ).T
    nose, gut, central, second, third, metabolite, peripheral = range(7)
    flows: dict[tuple[int, int | None], Floats] = {
        (nose, central): ka1,
        (gut, central): fg * ka2,
        (gut, metabolite): (1 - fg) * ka2,
        (central, second): q2 / v1,
        (second, central): q2 / v2,
        (central, third): q3 / v1,
        (third, central): q3 / v3,
        (central, metabolite): fm * cl / v1,
        (central, None): (1 - fm) * cl / v1,
        (metabolite, None): clm / vm1,
        (metabolite, peripheral): qm / vm1,
        (peripheral, metabolite): qm / vm2,
    }
    doses = EventList(cl.size)
    for day in (0, 3, 7, 10, 14, 17, 21, 24):
        for spray in range(3):
            time = day * 24.0 + spray * 5 / 60
            doses.bolus(time, nose, fn * 28)
            doses.bolus(time, gut, (1 - fn) * 28)
    rates, times = _rates(cl.size, 7, flows), np.load(folder / "inputs" / "w2_times.npy")
    observed, scale = np.array([central, metabolite]), np.stack([1.0 / v1, 1.0 / vm1])
    return Workload(System(rates=rates), doses.events(), times, observed, scale)


def reference(name: str, columns: int) -> Floats:
    """The first 20 patients to 17 digits, (20, columns, times)."""
    with gzip.open(SHARED / f"reference_{name}.csv.gz", "rt") as file:
        table = np.loadtxt(file, delimiter=",", skiprows=1)
    return table[:, 2:].reshape(20, -1, columns).transpose(0, 2, 1)


def error(found: Floats, exact: Floats) -> float:
    """The largest error in the norm of DESIGN section 5, output by output."""
    floor = 1e-9 * np.abs(exact).max(axis=(0, 2), keepdims=True)
    return float((np.abs(found - exact) / np.maximum(np.abs(exact), floor)).max())


#: The cores of this process, where the system says.
_CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def _stay(cores: list[int]) -> None:
    """Keep the thread that calls this on some cores."""
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)


_POOL = ThreadPoolExecutor(1, initializer=lambda: _stay(_CORES[1:2]))


def in_threads(threads: int, work: Callable[[int], Any], number: int) -> None:
    """Do the parts 0, 1, ... of a work, each by the thread that is free first.

    Threads stay, as those of the C do, each on a core of its own: a thread that is woken where another runs is moved
    after milliseconds, which is longer than some of these works take.
    """
    parts = itertools.count()

    def take() -> None:
        while (part := next(parts)) < number:
            work(part)

    if threads == 1:
        take()
        return
    _stay(_CORES[:1])
    try:
        others = [_POOL.submit(take) for _ in range(threads - 1)]
        take()
        for other in others:
            other.result()
    finally:
        _stay(_CORES)


def w3(folder: Path) -> Workload:
    """W3: 2,000 patients of W2 with saturable elimination, effect site and blood-pressure turnover, from a file."""
    import pkmodel as pk
    from pkmodel import network
    from pkmodel.population import Population

    names = [
        "V1",
        "Q2",
        "V2",
        "Q3",
        "V3",
        "KA1",
        "KA2",
        "FN",
        "FG",
        "FM",
        "CLM",
        "VM1",
        "QM",
        "VM2",
        "VMAX",
        "KM",
        "KE0",
        "EMAX",
        "EC50",
        "KOUT",
        "BP0",
    ]
    table = np.load(folder / "inputs" / "w3_params.npy").T
    model = pk.load_model(Path(__file__).resolve().parents[1] / "tests" / "reference" / "saturable_nasal.yaml")
    size = table.shape[1]
    values = dict(zip(names, np.ascontiguousarray(table[3:]), strict=True))
    net = network.build(model, Population(0, size, {"ancestry": np.zeros(size)}), parameters=values)
    doses = EventList(size)
    for day in (0, 3, 7, 10, 14, 17, 21, 24):
        for spray in range(3):
            time = day * 24.0 + spray * 5 / 60
            doses.bolus(time, 0, values["FN"] * 28)
            doses.bolus(time, 1, (1 - values["FN"]) * 28)
    observed = np.array([net.states.index(name) for name in ("central", "noresketamine", "blood_pressure")])
    scale = np.stack([1 / values["V1"], 1 / values["VM1"], np.ones(size)])
    return Workload(net.system, doses.events(), np.load(folder / "inputs" / "w2_times.npy"), observed, scale)


def peak_error(found: Floats, exact: Floats) -> float:
    """The largest error relative to the peak of each output of each patient: the norm of W3."""
    return float((np.abs(found - exact) / np.abs(exact).max(axis=2, keepdims=True)).max())
