"""What every model of the library must hold to. A new file is held to it by lying there."""

from __future__ import annotations

import itertools
import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import pkmodel as pk
from pkmodel import exact, moments, network, schedule, units
from pkmodel.checks import simulated
from pkmodel.core.kinds import AREA, JUMP, N_STATS, RATE_ON, Events
from pkmodel.engine import Numerics
from pkmodel.network import Network
from pkmodel.population import sample_effects
from pkmodel.records import records_of, simulate_records
from pkmodel.records.library import COVARIATES
from pkmodel.simulation import amounts_at
from pkmodel.specs.kinds import check_file
from pkmodel.specs.library import load_model, load_protocol
from pkmodel.specs.loading import library
from pkmodel.specs.model import OUTSIDE, ModelSpec
from pkmodel.specs.protocol import ProtocolSpec

Floats = NDArray[np.float64]

MODELS = library("models")
NAMES = sorted(MODELS)
ROUTES = [(name, route) for name in NAMES for route in load_model(MODELS[name]).routes]
LINEAR = [name for name in NAMES if load_model(MODELS[name]).linear]
CHECKS = [(name, check.id) for name in NAMES for check in load_model(MODELS[name]).checks]
#: Models without figures of their paper to hold them against, which say so in their notes.
UNCHECKED = {"esketamine_flint2017", "esketamine_otto2021", "ketamine_clements1981", "ketamine_domino1984"}

_DOI = re.compile(r"10\.\d{4,9}/\S+")
_PMID = re.compile(r"\d{5,9}")


@cache
def model_of(name: str) -> ModelSpec:
    """A model, loaded once."""
    return load_model(name)


def typical(model: ModelSpec) -> pk.Patient:
    """Somebody that the model was built for: the middle of its ranges, or an adult of 70 kg."""
    low, high = model.valid_for.age or (18.0, np.inf)
    age = 40.0 if high > 40.0 else (low + high) / 2.0
    low, high = model.valid_for.weight or (0.0, np.inf)
    weight = 70.0 if low < 70.0 < high and age >= 18.0 else (low + high) / 2.0 if high < np.inf else 8.0 + 3.0 * age
    return pk.Patient(weight=f"{weight!r} kg", age=f"{age!r} y", sex="female", height="165 cm")


def course(model: ModelSpec, route: str) -> ProtocolSpec:
    """Two sessions by a route, 26 h apart: infusions into a vein, whole devices where the route counts them."""
    tree: dict[str, object] = {"title": "two sessions", "drug": model.drug, "route": route}
    device = model.routes[route].device  # type: ignore[index]
    dose = "20 mg"
    if device is not None:
        tree["device"] = {"strength": device.strength.text, "rest": "5 min"}
        dose = f"{3 * device.strength.number:g} {device.strength.unit.text}"
    phase: dict[str, object] = {"name": "both", "dose": dose, "sessions": {"every": "26 h", "count": 2}}
    if route == "iv":
        phase["over"] = "40 min"
    return load_protocol({**tree, "phases": [phase]})


def built(name: str, route: str) -> tuple[Network, schedule.Schedule]:
    """A model of its typical patient, and what the course brings."""
    model = model_of(name)
    net = network.build(model, typical(model).population())
    return net, schedule.build(course(model, route), net)


def arrived(net: Network, protocol: ProtocolSpec) -> Floats:
    """The sum of F x dose (n,), mg, from the paths of the routes."""
    total = np.zeros(net.size)
    for delivery in schedule.given(protocol, net)[1]:
        total += delivery.amount * (1.0 if delivery.fraction is None else delivery.fraction)
    return total


@pytest.mark.parametrize("name", NAMES)
def test_it_loads_and_says_where_it_is_from(name: str) -> None:
    """As `pkmodel check` reads it; with a DOI or a PMID, and an id that is the name of the file."""
    assert check_file(MODELS[name]) == "model"
    model = model_of(name)
    assert model.id == name == Path(MODELS[name]).stem
    source = model.source
    assert source.doi or source.pmid, "a citation without DOI or PMID"
    assert source.doi is None or _DOI.fullmatch(source.doi)
    assert source.pmid is None or _PMID.fullmatch(source.pmid)
    assert model.notes
    assert model.checks or name in UNCHECKED


@pytest.mark.parametrize("name", NAMES)
def test_units(name: str) -> None:
    """Outputs are concentrations, and every rate of the typical patient is a number per hour, finite, of at least 0."""
    model = model_of(name)
    for output in model.outputs.values():
        assert units.parse_unit(output.unit).dimensions == units.parse_unit("mg/L").dimensions
    net = network.build(model, typical(model).population())
    apart = net.rates[0] - np.diag(np.diag(net.rates[0]))
    assert np.isfinite(net.rates).all() and (apart >= 0).all() and (np.diag(net.rates[0]) <= 0).all()


@pytest.mark.parametrize(("name", "route"), ROUTES)
def test_it_solves(name: str, route: str) -> None:
    """Two sessions by every route: levels of every output and effect are finite, rise above 0 and fall to nothing."""
    model = model_of(name)
    result = pk.simulate(course(model, route), model, typical(model), until="300 h", every="1 h")
    for output in (*model.outputs, *model.effects):
        level = result.level(output)[0]
        assert np.isfinite(level).all()
        assert level.min() >= -1e-12 * level.max()
        assert level.max() > 0 and level[-1] < 1e-3 * level.max()


@pytest.mark.parametrize(("name", "route"), [(name, route) for name, route in ROUTES if name in LINEAR])
def test_nothing_is_lost(name: str, route: str) -> None:
    """What has left and what is left make the sum of F x dose, to 1e-12; what left is known from the flows of the file.

    Each flow to the outside carries its rate times the area under its compartment, which is not a sum over the matrix.
    """
    net, plan = built(name, route)
    states = np.arange(len(net.states))
    until = plan.last_start + 9.0
    stats = np.empty((1, 1, states.size, N_STATS))
    nothing = np.empty((1, 1, states.size, 0))
    edges = np.array([[0.0], [until]])
    exact.figures(net.system, plan.events, edges, states, np.empty((states.size, 0, 1)), stats, nothing, nothing.copy())
    left = exactly_left(net, stats[0, 0, :, AREA])
    final = pk.simulate(course(net.model, route), net.model, typical(net.model), until=f"{until!r} h", every="1 h")
    held = final.amounts[0, -1, : len(net.model.compartments)].sum()
    came = came_by(plan.events, until)
    assert came == pytest.approx(arrived(net, course(net.model, route))[0], rel=1e-12)
    assert left + held == pytest.approx(came, rel=1e-12, abs=0.0)
    assert left > 0 < held


def exactly_left(net: Network, areas: Floats) -> float:
    """What the flows to the outside have carried, mg, from the areas under the compartments (s,), mg h."""
    left = 0.0
    for index, flow in enumerate(net.model.flows):
        if flow.target == OUTSIDE:
            assert flow.rate is not None
            rate = net.evaluate(flow.rate, f"flows[{index}].rate")[0]
            left += rate * areas[net.states.index(flow.source)]
    return left


def came_by(events: Events, until: float) -> float:
    """What events have brought by a time, mg."""
    came = 0.0
    for kind, time, value in zip(events.kind, events.time[:, 0], events.value[:, 0], strict=True):
        if kind == JUMP:
            came += value if time < until else 0.0
        else:
            came += (value if kind == RATE_ON else -value) * max(until - time, 0.0)
    return came


@pytest.mark.parametrize(("name", "route"), ROUTES)
def test_the_tail_falls_with_the_terminal_half_life(name: str, route: str) -> None:
    """Eigenvalues against the ratio of levels one half-life apart, 250 half-lives after the last dose."""
    net, plan = built(name, route)
    amounts = np.zeros(len(net.states), dtype=bool)
    amounts[[delivery.compartment for delivery in schedule.down(route, net, np.ones(1))]] = True
    for output in net.model.outputs:
        try:
            half_life = moments.terminal_half_life(net, output, amounts)[0]
        except pk.InputError as error:
            assert "changes with time" in str(error) and not net.model.linear
            continue
        index = net.output_names.index(output)
        # Parent and metabolite may fall almost alike (Ashraf 2018: 8 % apart), and one outlasts the other late only.
        late = plan.last_start + 250.0 * half_life
        time = np.array([late, late + half_life, late + 2.0 * half_life])
        levels = np.empty((1, 1, 3))
        exact.levels(
            net.system if net.model.linear else linear_part(net),
            plan.events,
            time,
            net.output_compartment[index : index + 1],
            np.ones((1, 1)),
            None,
            levels,
        )
        assert levels[0, 0, :-1] / levels[0, 0, 1:] == pytest.approx(2.0, rel=1e-6), output


def linear_part(net: Network) -> network.System:
    """The rates alone, where the output is not reached by a flow that changes."""
    return network.System(net.rates, net.initial)


@pytest.mark.parametrize(("name", "check"), CHECKS)
def test_its_checks_are_met(name: str, check: str) -> None:
    """Figures to reproduce are reproduced, and known disagreements are of the size that was recorded."""
    model = model_of(name)
    (found,) = (item for item in model.checks if item.id == check)
    assert found.met(simulated(model, found)), f"{found.difference(simulated(model, found)):+.2%}"


@pytest.mark.parametrize(("name", "route"), ROUTES)
def test_protocol_and_records_agree(name: str, route: str) -> None:
    """The same doses as a table of records: every compartment at every time, to 1e-12 of its largest amount."""
    import pandas as pd

    model = model_of(name)
    protocol, patient = course(model, route), typical(model)
    doses = records_of(protocol, model, patient)
    time = np.linspace(0.7, 55.0, 30)
    covariates = [column for column in doses if column in COVARIATES]
    seen = pd.DataFrame({"id": 1, "time": time, "evid": 0, **{key: doses[key].iloc[0] for key in covariates}})
    table = pd.concat([doses, seen], ignore_index=True).sort_values(["time", "evid"], kind="stable", ignore_index=True)
    table[["amt", "rate", "dur", "lag"]] = table[["amt", "rate", "dur", "lag"]].fillna(0.0)
    table["f"] = table["f"].fillna(1.0)
    table["cmt"] = table["cmt"].fillna(model.routes[route].paths[0].into)  # type: ignore[index]
    rows = simulate_records(table, model=name)
    rows = rows[rows["evid"] == 0]
    net = network.build(model, patient.population())
    plan = schedule.build(protocol, net)
    expected = amounts_at(net, plan, time)[0]
    for index, compartment in enumerate(model.compartments):
        found = rows[f"amount_{compartment}"].to_numpy()
        exactness = 1e-12 if model.linear else 1e-7
        np.testing.assert_allclose(found, expected[:, index], rtol=0.0, atol=exactness * expected[:, index].max())


@pytest.mark.parametrize(("name", "route"), [(name, route) for name, route in ROUTES if name in LINEAR])
def test_propagator_and_ode_agree(name: str, route: str) -> None:
    """Every state of the course, within ten times the tolerance of the solver."""
    model = model_of(name)
    tolerance = 1e-8
    runs = [
        pk.simulate(course(model, route), model, typical(model), until="50 h", every="47 min", numerics=numerics)
        for numerics in (Numerics(engine="propagator"), Numerics(engine="ode", tolerance=tolerance))
    ]
    by_propagator, by_ode = (run.amounts for run in runs)
    floor = np.maximum(1e-9 * by_propagator.max(axis=1, keepdims=True), 1e-300)  # a depot that is not used stays at 0
    error = np.abs(by_ode - by_propagator) / np.maximum(np.abs(by_propagator), floor)
    assert error.max() < 10 * tolerance


@pytest.mark.parametrize("name", NAMES)
def test_the_corners_of_its_range(name: str) -> None:
    """The lightest and heaviest, youngest and oldest, of every ancestry and activity of CYP2B6: nothing impossible.

    Where a range is open, far beyond anybody in it. With random effects, of 200 patients at each corner, too.
    """
    model = model_of(name)
    ages = [min(max(age, 0.0), 100.0) for age in model.valid_for.age or (0.0, np.inf)]
    weights = [min(max(weight, 2.0), 250.0) for weight in model.valid_for.weight or (0.0, np.inf)]
    corners = list(itertools.product(ages, weights, (0.0, 1.0, 2.0), (0.0, 1.0), (0.0, 1.0)))
    many = 200
    columns = np.repeat(np.array(corners).T, many, axis=1)
    covariates = dict(zip(("age", "weight", "ancestry", "cyp2b6_activity", "female"), columns, strict=True))
    size = columns.shape[1]
    people = pk.population.Population(0, size, {**covariates, "hepatic_impairment": np.zeros(size)})
    for group in (people, sample_effects(people, model, 5)):
        net = network.build(model, group)
        for parameter, values in net.values.items():
            assert np.isfinite(values).all(), parameter
        for parameter in (*model.parameters, *(key for key in model.derived if key in net.values)):
            assert (net.values[parameter] >= 0).all(), parameter
        assert np.isfinite(net.rates).all() and np.isfinite(net.output_scale).all() and (net.output_scale > 0).all()
        for route in model.routes:
            for delivery in schedule.down(route, net, np.ones(size)):
                assert delivery.fraction is None or (np.isfinite(delivery.fraction) & (delivery.fraction >= 0)).all()
                assert np.isfinite(delivery.duration).all()
