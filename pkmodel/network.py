"""How compartments connect: a model and its patients become rate matrices, dosing ports and outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pkmodel import population as people
from pkmodel.errors import InputError, Problem
from pkmodel.population import Population
from pkmodel.specs.expressions import Expression
from pkmodel.specs.model import OUTSIDE, ModelSpec
from pkmodel.specs.model_rules import device_free

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Network:
    """A model for a block of patients, in h, mg and L.

    ``rates`` is (n, c, c): entry [p, i, j] moves drug of patient p from compartment j to i, 1/h.
    ``output_scale`` is (k, n): amount in ``output_compartment[k]`` times this is the output in ``output_unit[k]``.
    """

    model: ModelSpec
    population: Population
    rates: Floats
    output_names: tuple[str, ...]
    output_units: tuple[str, ...]
    output_compartment: NDArray[np.int64]
    output_scale: Floats
    values: Mapping[str, Floats]

    @property
    def size(self) -> int:
        """How many patients."""
        return self.population.size

    def evaluate(self, expression: Expression, path: str, *, device: int = 1, high: float = np.inf) -> Floats:
        """A formula of the model for every patient (n,); refused where it is not between 0 and ``high``."""
        values: dict[str, Floats] = dict(self.values)
        values["device"] = np.full(self.size, float(device))
        for name, derived in self.model.derived.items():
            if name not in values:
                values[name] = derived.evaluate(values)
        missing = sorted(expression.names - set(values))
        if missing:
            raise InputError(Problem("nothing", f"{missing[0]}, which {path} depends on", missing[0], "patient"))
        return self._checked(expression.evaluate(values), path, high)

    def _checked(self, result: Floats, path: str, high: float = np.inf) -> Floats:
        result = np.broadcast_to(result, (self.size,)).astype(np.float64)
        bad = ~(np.isfinite(result) & (result >= 0) & (result <= high))
        if bad.any():
            index = int(np.argmax(bad))
            found = f"{result[index]:.4g} in patient {self.population.first + index + 1}"
            expected = f"a value from 0 to {high:g}" if np.isfinite(high) else "a finite value of at least 0"
            raise InputError(Problem(found, expected, path=path, where=self.model.id))
        return result


def build(model: ModelSpec, population: Population) -> Network:
    """Evaluate a model for every patient of a block.

    Raises InputError where a covariate is missing or a rate comes out negative or not finite.
    """
    values: dict[str, Floats] = {**population.values(), **people.parameters(model, population)}
    for name, expression in model.derived.items():
        if device_free(model, expression) and expression.names <= set(values):
            values[name] = expression.evaluate(values)
    size, count = population.size, len(model.compartments)
    position = {name: index for index, name in enumerate(model.compartments)}
    network = Network(
        model=model,
        population=population,
        rates=np.zeros((size, count, count)),
        output_names=tuple(model.outputs),
        output_units=tuple(output.unit for output in model.outputs.values()),
        output_compartment=np.array([position[output.amount] for output in model.outputs.values()], dtype=np.int64),
        output_scale=np.empty((len(model.outputs), size)),
        values=values,
    )
    for index, flow in enumerate(model.flows):
        rate = network.evaluate(flow.rate, f"flows[{index}].rate")
        network.rates[:, position[flow.source], position[flow.source]] -= rate
        if flow.target != OUTSIDE:
            network.rates[:, position[flow.target], position[flow.source]] += rate
    for index, (name, output) in enumerate(model.outputs.items()):
        volume = network.evaluate(output.volume, f"outputs.{name}.volume")
        if not (volume > 0).all():
            raise InputError(Problem("a volume of 0", "a volume above 0", f"outputs.{name}.volume", model.id))
        network.output_scale[index] = output.scale / volume
    return network
