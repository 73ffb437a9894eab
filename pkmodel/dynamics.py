"""What a model does that no constant matrix holds: saturable flows, changing rates and turnovers, as a tape."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from pkmodel.specs.effect import ONLY, EffectSpec
from pkmodel.specs.effect_rules import influence_of
from pkmodel.specs.expressions import Expression
from pkmodel.specs.model import OUTSIDE, TIME, ModelSpec
from pkmodel.specs.model_rules import volume_of
from pkmodel.tape import NOWHERE, Dynamics, Flow, tape_of
from pkmodel.terms import Terms

Floats = NDArray[np.float64]

#: Evaluates a formula that stays the same for every patient, (n,); the place in the file, and the bounds that hold.
Evaluate = Callable[..., Floats]


def build(model: ModelSpec, size: int, values: Mapping[str, Floats], evaluate: Evaluate) -> Dynamics:
    """The dynamic terms of a model for a block of patients.

    Parameters
    ----------
    values
        covariates, parameters and derived names that stay the same, (n,) each.
    evaluate
        ``Network.evaluate``: formulas before the first dose, refused where no patient can have them.
    """
    return _Builder(model, size, values, evaluate).build()


class _Builder:
    def __init__(self, model: ModelSpec, size: int, values: Mapping[str, Floats], evaluate: Evaluate):
        self.model, self.evaluate = model, evaluate
        self.terms = Terms(size)
        self.position = {name: index for index, name in enumerate(model.states)}
        self.names = {name: self.terms.value(name, array) for name, array in values.items()}
        self.names[TIME] = self.terms.time()
        for name in model.outputs:
            self.names[name] = self._level(name)
        for name, effect in model.effects.items():
            self.names[name] = self._effect(name, effect)
        for name, expression in model.derived.items():
            if name in model.changing and expression.names <= set(self.names):
                self.names[name] = self.terms.formula(expression.node, self.names)

    def build(self) -> Dynamics:
        """Every dynamic term, on one tape."""
        terms, flows = self.terms, []
        for index, flow in enumerate(self.model.flows):
            amount = terms.state(self.position[flow.source])
            path = f"flows[{index}]"
            if flow.michaelis_menten is not None:
                value = self._saturable(index)
            elif flow.rate is not None and self.model.changes(flow.rate):
                self.evaluate(flow.rate, f"{path}.rate")
                value = terms.mul(self._formula(flow.rate), amount)
            else:
                continue
            target = NOWHERE if flow.target == OUTSIDE else self.position[flow.target]
            flows.append(Flow(value, self.position[flow.source], target))
        for name, effect in self.model.effects.items():
            if effect.turnover is not None:
                flows.append(Flow(self._turnover(name, effect), NOWHERE, self.position[name]))
        return tape_of(terms, flows, len(self.model.states))

    def _formula(self, expression: Expression) -> int:
        return self.terms.formula(expression.node, self.names)

    def _level(self, name: str) -> int:
        """The level of an output, mg/L."""
        output, terms = self.model.outputs[name], self.terms
        amount = terms.state(self.position[output.amount])
        volume = self._formula(output.volume)
        return terms.mul(terms.div(terms.constant(self.model.factors[name]), volume), amount)

    def _driver(self, name: str, effect: EffectSpec, driver: str) -> int:
        """What an effect acts on: the level at its site, or that of the output, mg/L."""
        if driver in effect.sites:
            return self.terms.state(self.position[effect.site_state(name, driver)])
        total, terms = -1, self.terms
        for output, weight in effect.sources(driver).items():
            level = self.names[self.model.output(output)]
            level = level if weight == 1.0 else terms.mul(terms.constant(weight), level)
            total = level if total < 0 else terms.add(total, level)
        return total

    def _effect(self, name: str, effect: EffectSpec) -> int:
        """The value of an effect in base units, for rates that depend on it."""
        terms = self.terms
        if effect.turnover is not None:
            return terms.state(self.position[name])
        if effect.effect is not None:
            drivers = {driver: self._driver(name, effect, driver) for driver in effect.on}
            return terms.formula(effect.effect.node, {**self.names, **drivers})
        link = effect.sigmoid or effect.emax
        driver = self._driver(name, effect, ONLY)
        if link is None:
            return driver
        share = self._share(driver, link.c50, None if effect.sigmoid is None else effect.sigmoid.hill)
        return terms.add(self._formula(link.e0), terms.mul(self._formula(link.emax), share))

    def _share(self, driver: int, c50: Expression, hill: Expression | None) -> int:
        """The share of the largest effect, 0 to 1."""
        exponent = self.terms.one if hill is None else self._formula(hill)
        return self.terms.sigmoid(driver, self._formula(c50), exponent)

    def _saturable(self, index: int) -> int:
        """vmax A / (km V + A), of which flows that share km and V share the quotient."""
        flow, terms, path = self.model.flows[index], self.terms, f"flows[{index}].michaelis_menten"
        law = flow.michaelis_menten
        assert law is not None
        volume = law.volume or volume_of(self.model, flow.source)
        assert volume is not None
        for formula, name, above in ((law.vmax, "vmax", False), (law.km, "km", True), (volume, "volume", True)):
            self.evaluate(formula, f"{path}.{name}", above=above)
        half = terms.mul(self._formula(law.km), self._formula(volume))
        return terms.mul(self._formula(law.vmax), terms.saturation(terms.state(self.position[flow.source]), half))

    def _turnover(self, name: str, effect: EffectSpec) -> int:
        """What a turnover gains beside ``- kout R``, which is in the matrix: the drug's part, and the production."""
        turnover, terms = effect.turnover, self.terms
        assert turnover is not None
        path, influence = influence_of(effect, f"effects.{name}")
        kout = self._formula(turnover.kout)
        baseline = self._formula(turnover.baseline)
        self.evaluate(influence.emax, f"{path}.emax", high=1.0 if turnover.change.sign < 0 else np.inf)
        self.evaluate(influence.c50, f"{path}.c50", above=True)
        if influence.hill is not None:
            self.evaluate(influence.hill, f"{path}.hill", above=True)
        share = self._share(self._driver(name, effect, ONLY), influence.c50, influence.hill)
        production = terms.mul(kout, baseline)
        steep = terms.mul(terms.constant(turnover.change.sign), self._formula(influence.emax))
        if turnover.production is not None:
            return terms.add(production, terms.mul(terms.mul(production, steep), share))
        lost = terms.mul(share, terms.state(self.position[name]))
        return terms.sub(production, terms.mul(terms.mul(kout, steep), lost))
