"""Nothing is lost: what has left, what is left and what is still to come add up to the sum of F x dose."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import pkmodel as pk
from pkmodel import network, population, schedule
from pkmodel.core import crossing
from pkmodel.core.kinds import JUMP, RATE_OFF, RATE_ON, Events
from pkmodel.schedule import EventList
from pkmodel.specs.library import load_model, load_population, load_protocol

Floats = NDArray[np.float64]

#: Of the sum of F x dose.
TOLERANCE = 1e-12


def balance(rates: Floats, events: Events, until: float) -> tuple[Floats, Floats]:
    """What has come and what can be accounted for (n,), mg, at ``until`` (h).

    What has left through a compartment is its loss times the area under its amount: every flow out of the body counts,
    ``to: outside`` and clearance that forms no metabolite alike.
    """
    size, states, _ = rates.shape
    stats = np.empty((size, 1, states, crossing.N_STATS))
    nothing, none = np.empty((2, size, 1, states, 0)), np.empty((size, states, 0, 0))
    edges = np.array([[0.0], [until]])
    crossing.scan(
        rates,
        np.zeros((size, states)),
        events,
        edges,
        np.arange(states),
        np.empty((states, 0, size)),
        stats,
        *nothing,
        none,
        np.zeros((size, states, 0), dtype=np.int64),
    )
    loss = -rates.sum(axis=1)
    gone = (loss * stats[:, 0, :, crossing.AREA]).sum(axis=1)
    held = stats[:, 0, :, crossing.END].sum(axis=1)
    come = np.zeros(size)
    for kind, value, time in zip(events.kind, events.value, events.time, strict=True):
        if kind == JUMP:
            come += np.where(time < until, value, 0.0)
        elif kind == RATE_ON:
            come += value * np.maximum(until - time, 0.0)
        elif kind == RATE_OFF:
            come -= value * np.maximum(until - time, 0.0)
    return come, gone + held


@pytest.mark.parametrize(
    ("model", "protocol"),
    [
        ("ketamine_clements1981", "iv_six_infusions"),
        ("ketamine_domino1984", "iv_taper_dose_and_interval"),
        ("esketamine_otto2021", "esketamine_iv_single"),
        ("esketamine_perezruixo2021", "esketamine_nasal_induction"),
    ],
)
def test_library_models_lose_nothing(model: str, protocol: str) -> None:
    """Virtual patients of the trials: at the end of the course the drug is all accounted for."""
    spec = load_model(model)
    people = population.sample_covariates(load_population("adults_trials"), 1, 0, 40)
    net = network.build(spec, population.sample_effects(people, spec, 1))
    plan = schedule.build(load_protocol(protocol), net)
    come, found = balance(net.rates, plan.events, plan.last_start + 30.0)
    if model != "esketamine_perezruixo2021":  # whose swallowed part passes the gut, where some is lost
        np.testing.assert_allclose(come, plan.doses.sum(axis=0), rtol=TOLERANCE)
    np.testing.assert_allclose(found, come, rtol=TOLERANCE)


@given(data=st.data(), compartments=st.integers(1, 6))
def test_any_network_loses_nothing(data: st.DataObject, compartments: int) -> None:
    """Random flows over five decades, boluses and infusions, some still running at the end."""
    flow = st.one_of(st.just(0.0), st.floats(-3.0, 2.0).map(lambda power: 10.0**power))
    rates = np.zeros((1, compartments, compartments))
    for source in range(compartments):
        for target in range(compartments):
            rate = data.draw(flow)
            rates[0, source, source] -= rate
            if target != source:
                rates[0, target, source] += rate
    doses = EventList(1)
    for _ in range(data.draw(st.integers(1, 3))):
        into, time = data.draw(st.integers(0, compartments - 1)), data.draw(st.floats(0.0, 20.0))
        amount = np.array([data.draw(st.floats(1.0, 1000.0))])
        if data.draw(st.booleans()):
            doses.bolus(time, into, amount)
        else:
            doses.infusion(time, data.draw(st.floats(0.1, 40.0)), into, amount)
    come, found = balance(rates, doses.events(), 36.0)
    np.testing.assert_allclose(found, come, rtol=TOLERANCE)


def test_the_package_says_the_same() -> None:
    """A level far from every dose plus nothing else: the area of a course times clearance is the dose."""
    model, patient = pk.load_model("ketamine_clements1981"), pk.Patient(weight="70 kg")
    protocol = load_protocol("iv_single")
    net = network.build(model, patient.population())
    plan = schedule.build(protocol, net)
    come, found = balance(net.rates, plan.events, 2000.0)
    np.testing.assert_allclose(found, come, rtol=TOLERANCE)
    np.testing.assert_allclose(come, plan.doses[0], rtol=TOLERANCE)
