"""How effects are read off the states of a system: the level at a site or in a compartment, through a link."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pkmodel.specs.expressions import Expression

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Link:
    """e0 + emax C^hill / (c50^hill + C^hill) for every patient, (n,) each; ``c50`` in mg/L, the rest in base units."""

    e0: Floats
    emax: Floats
    c50: Floats
    hill: Floats

    def of(self, level: Floats) -> Floats:
        """The effect (n, t) at levels (n, t), mg/L. A level that is a rounding error below 0 counts as 0."""
        share = np.maximum(level, 0.0) / self.c50[:, None]
        with np.errstate(divide="ignore", over="ignore"):  # no drug: infinite to a power, and 1 / infinite
            share = 1.0 / (1.0 + share ** -self.hill[:, None])
        effect: Floats = self.e0[:, None] + self.emax[:, None] * share
        return effect


@dataclass(frozen=True)
class Readout:
    """An effect of every patient, in ``unit``.

    ``states`` are the numbers of the states that it is read off, by the name of the driver, and ``scale`` (n,) turns
    each into mg/L (or, for a turnover, is 1). ``adds`` names states whose level adds to that of a driver. Without a
    ``link`` or a ``formula`` the effect is the state itself.
    """

    name: str
    unit: str
    factor: float
    states: Mapping[str, int]
    scale: Mapping[str, Floats]
    link: Link | None = None
    formula: Expression | None = None
    values: Mapping[str, Floats] = field(default_factory=dict)
    adds: Mapping[str, str] = field(default_factory=dict)

    @property
    def state(self) -> int:
        """The number of the state, where it is one."""
        (state,) = self.states.values()
        return state

    def of(self, states: Floats) -> Floats:
        """The effect (n, t) at states (n, t, s), in its unit."""
        levels = {name: states[:, :, index] * self.scale[name][:, None] for name, index in self.states.items()}
        for name, driver in self.adds.items():
            levels[driver] = levels[driver] + levels.pop(name)
        if self.formula is not None:
            fixed = {name: array[:, None] for name, array in self.values.items()}
            effect: Floats = np.broadcast_to(self.formula.evaluate({**fixed, **levels}), states.shape[:2])
        else:
            (effect,) = levels.values()
            effect = effect if self.link is None else self.link.of(effect)
        return effect / self.factor
