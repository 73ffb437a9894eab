"""How compartments connect: a model and its patients become rate matrices, dosing ports, outputs and effects."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from pkmodel import dynamics, units
from pkmodel import population as people
from pkmodel.errors import InputError, Problem
from pkmodel.population import Population
from pkmodel.readout import Link, Readout
from pkmodel.specs.effect import ONLY, EffectSite, EffectSpec
from pkmodel.specs.expressions import Expression
from pkmodel.specs.model import OUTSIDE, TIME, ModelSpec
from pkmodel.system import System
from pkmodel.tape import Dynamics

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Network:
    """A model for a block of patients, in h, mg and L.

    ``states`` are the compartments (mg), then for each effect its effect sites (mg/L) and its turnover (base units).
    ``rates`` is (n, s, s): entry [p, i, j] moves drug of patient p from state j to i, 1/h. An effect site takes
    nothing out of its compartment, so that its entry is matched by none on the diagonal. ``initial`` (n, s) is the
    state before the first dose. ``dynamics`` holds what no constant matrix can (None for a linear model).
    ``output_scale`` is (k, n): amount in ``output_compartment[k]`` times this is the output in ``output_unit[k]``.
    ``effects`` are read off the states.
    """

    model: ModelSpec
    population: Population
    states: tuple[str, ...]
    rates: Floats
    initial: Floats
    output_names: tuple[str, ...]
    output_units: tuple[str, ...]
    output_compartment: NDArray[np.int64]
    output_scale: Floats
    values: Mapping[str, Floats]
    effects: Mapping[str, Readout]
    dynamics: Dynamics | None = None
    _known: dict[tuple[int, int], tuple[Expression, Floats]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @property
    def size(self) -> int:
        """How many patients."""
        return self.population.size

    @property
    def system(self) -> System:
        """What an engine integrates."""
        return System(self.rates, self.initial, self.dynamics)

    def evaluate(
        self, expression: Expression, path: str, *, device: int = 1, high: float = units.LARGEST, above: bool = False
    ) -> Floats:
        """A formula for every patient (n,); refused where it is not between 0 (``above``: over 0) and ``high``.

        One that changes with time is evaluated as it is before the first dose. The answer is kept, because every dose
        of a course asks for the same; it cannot be written to.
        """
        key = (id(expression), device)
        if key not in self._known:
            values = self._evaluated(expression, path, device)
            values.flags.writeable = False
            self._known[key] = (expression, values)
        _, result = self._known[key]
        good = np.isfinite(result) & (result >= 0) & (result <= high)
        bad = ~(good & (result > 0) if above else good)
        if bad.any():
            expected = f"a value from 0 to {high:g}"
            raise self._refused(result, bad, "a finite value above 0" if above else expected, path)
        return result

    def finite(self, expression: Expression, path: str, beside: Mapping[str, Floats] | None = None) -> Floats:
        """A formula for every patient (n,), of any sign; refused where it is not finite. ``beside``: further names."""
        result = self._evaluated(expression, path, 1, beside)
        if not np.isfinite(result).all():
            raise self._refused(result, ~np.isfinite(result), "a finite value", path)
        return result

    def _evaluated(
        self, expression: Expression, path: str, device: int, beside: Mapping[str, Floats] | None = None
    ) -> Floats:
        found = np.empty(self.size)
        if beside is None and self.values.keys() >= expression.names and not self.model.changes(expression):
            found[:] = expression.evaluate(self.values)
            return found
        values: dict[str, Floats] = {**self.values, "device": np.full(self.size, float(device)), **(beside or {})}
        if self.model.changes(expression):
            values |= dict.fromkeys((TIME, *self.output_names), np.zeros(self.size))
            for name, effect in self.effects.items():
                values[name] = effect.of(self.initial[:, None, :])[:, 0] * effect.factor
        _derive(self.model, values)
        needed = set(expression.names)
        for name, derived in reversed(self.model.derived.items()):
            if name in needed and name not in values:  # say which covariate is missing, not what is made of it
                needed = needed - {name} | derived.names
        missing = sorted(needed - set(values))
        if missing:
            raise InputError(Problem("nothing", f"{missing[0]}, which {path} depends on", missing[0], "patient"))
        found[:] = expression.evaluate(values)
        return found

    def _refused(self, result: Floats, bad: NDArray[np.bool_], expected: str, path: str) -> InputError:
        index = int(np.argmax(bad))
        found = f"{result[index]:.4g} in patient {self.population.first + index + 1}"
        return InputError(Problem(found, expected, path=path, where=self.model.id))


def build(model: ModelSpec, population: Population, parameters: Mapping[str, Floats] | None = None) -> Network:
    """Evaluate a model for every patient of a block, with these ``parameters`` (n,) where not with its own.

    Raises InputError where a covariate is missing or a rate comes out negative or not finite.
    """
    own = people.parameters(model, population) if parameters is None else parameters
    values: dict[str, Floats] = {**population.values(), **own}
    _derive(model, values)
    size, count = population.size, len(model.states)
    position = {name: index for index, name in enumerate(model.states)}
    network = Network(
        model=model,
        population=population,
        states=model.states,
        rates=np.zeros((size, count, count)),
        initial=np.zeros((size, count)),
        output_names=tuple(model.outputs),
        output_units=tuple(output.unit for output in model.outputs.values()),
        output_compartment=np.array([position[output.amount] for output in model.outputs.values()], dtype=np.int64),
        output_scale=np.empty((len(model.outputs), size)),
        values=values,
        effects={},
    )
    for index, flow in enumerate(model.flows):
        if flow.rate is None or model.changes(flow.rate):
            continue  # a dynamic term
        rate = network.evaluate(flow.rate, f"flows[{index}].rate")
        network.rates[:, position[flow.source], position[flow.source]] -= rate
        if flow.target != OUTSIDE:
            network.rates[:, position[flow.target], position[flow.source]] += rate
    for index, (name, output) in enumerate(model.outputs.items()):
        volume = network.evaluate(output.volume, f"outputs.{name}.volume", above=True)
        network.output_scale[index] = model.scales[name] / volume
    network = replace(network, effects={name: _effect(network, name, effect) for name, effect in model.effects.items()})
    return network if model.linear else replace(network, dynamics=dynamics.build(model, size, values, network.evaluate))


def _derive(model: ModelSpec, values: dict[str, Floats]) -> None:
    """Add the derived names that these values are enough for."""
    for name, expression in model.derived.items():
        if name not in values and expression.names <= set(values):
            values[name] = expression.evaluate(values)


def _effect(network: Network, name: str, effect: EffectSpec) -> Readout:
    """Enter the states of an effect into ``rates`` and ``initial``, and say how it is read off them."""
    model, path, one = network.model, f"effects.{name}", np.ones(network.size)
    states: dict[str, int] = {}
    scale: dict[str, Floats] = {}
    adds: dict[str, str] = {}
    for driver in effect.on:
        ke0 = None
        if driver in effect.sites:
            ke0 = _ke0(network, effect.sites[driver], f"{path}.{effect.site_path(driver)}")
            site = network.states.index(effect.site_state(name, driver))
            network.rates[:, site, site] -= ke0
            states[driver], scale[driver] = site, one
        for number, (output, weight) in enumerate(effect.sources(driver).items()):
            index = network.output_names.index(model.output(output))
            compartment = int(network.output_compartment[index])
            factor = float(units.parse_unit(network.output_units[index]).factor)
            level = network.output_scale[index] * factor * weight
            if ke0 is not None:
                network.rates[:, site, compartment] += ke0 * level
            else:
                key = f"{driver}+{output}" if number else driver
                states[key], scale[key] = compartment, level
                adds |= {key: driver} if number else {}
    unit = model.observables[name]
    link = formula = None
    if effect.turnover is not None:
        state = network.states.index(name)
        network.initial[:, state] = network.evaluate(effect.turnover.baseline, f"{path}.turnover.baseline")
        network.rates[:, state, state] -= network.evaluate(effect.turnover.kout, f"{path}.turnover.kout", above=True)
        states, scale, adds = {ONLY: state}, {ONLY: one}, {}
    elif effect.effect is not None:
        formula = effect.effect
        network.finite(formula, f"{path}.effect", dict.fromkeys(effect.on, np.zeros(network.size)))
    elif effect.level_of is None:
        link = _link(network, effect, path)
    return Readout(name, unit, model.factor_of(name), states, scale, link, formula, network.values, adds)


def _ke0(network: Network, site: EffectSite, path: str) -> Floats:
    if site.ke0 is not None:
        return network.evaluate(site.ke0, f"{path}.ke0", above=True)
    assert site.half_life is not None
    return math.log(2.0) / network.evaluate(site.half_life, f"{path}.half_life", above=True)


def _link(network: Network, effect: EffectSpec, path: str) -> Link:
    link = effect.sigmoid or effect.emax
    assert link is not None
    path = f"{path}.{'emax' if effect.sigmoid is None else 'sigmoid'}"
    hill = np.ones(network.size)
    if effect.sigmoid is not None:
        hill = network.evaluate(effect.sigmoid.hill, f"{path}.hill", above=True)
    return Link(
        e0=network.finite(link.e0, f"{path}.e0"),
        emax=network.finite(link.emax, f"{path}.emax"),
        c50=network.evaluate(link.c50, f"{path}.c50", above=True),
        hill=hill,
    )
