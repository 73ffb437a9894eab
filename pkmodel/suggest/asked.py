"""What is asked of a suggestion, checked before anything is computed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pkmodel import units
from pkmodel.errors import InputError, Problem, one_of, shown
from pkmodel.population import Patient
from pkmodel.specs.attach import attach
from pkmodel.specs.effect_file import EffectFile
from pkmodel.specs.library import load_effect, load_model
from pkmodel.specs.model import ModelSpec
from pkmodel.steering import Plateau
from pkmodel.suggest.pump import Pump, quantity

Site = Literal["plasma", "effect"]
Form = Literal["bolus", "bolus+infusion", "infusion"]
Target = str | Sequence[tuple[str, str]]
FORMS: tuple[Form, ...] = ("bolus", "bolus+infusion", "infusion")
#: Steps of the pump that a course may have.
MOST_STEPS = 6000


class Asked:
    """A question, checked: every text a number in base units, every name found."""

    def __init__(
        self,
        model: ModelSpec | str | Path,
        patient: Patient,
        target: Target,
        site: str,
        effect: EffectFile | str | Path | None,
        output: str,
        form: str,
        over: str | None,
        until: str,
        step: str,
        pump: Pump | None,
        tolerance: str | float,
    ) -> None:
        if form not in FORMS:
            raise InputError(Problem(shown(form), one_of(FORMS), "form"))
        if site not in ("plasma", "effect"):
            raise InputError(Problem(shown(site), one_of(("plasma", "effect")), "site"))
        self.model = model if isinstance(model, ModelSpec) else load_model(model)
        self.patient, self.form, self.pump = patient, form, pump or Pump()
        self.limits = self.pump.limits()
        self.tolerance = _tolerance(tolerance)
        self.step = quantity(step, "time", "step")
        self.until = quantity(until, "time", "until")
        self.over = None if over is None else quantity(over, "time", "over")
        if over is not None and form == "bolus+infusion":
            raise InputError(Problem("over with form bolus+infusion", "form bolus or infusion", "over"))
        bolus_over = self.pump.bolus_over
        self.bolus_over = 0.0 if bolus_over is None else quantity(bolus_over, "time", "pump.bolus_over")
        self.one_dose = form == "bolus" or over is not None
        if form == "bolus" and self.over is None:
            self.over = self.bolus_over
        self.effects = [_site_of(effect, site)] if site == "effect" or effect is not None else []
        self._check_model()
        attached = attach(self.model, self.effects)
        self.aim = attached.observable(self.effects[0].id if self.effects else output)
        self.drives = self._drives(attached, output)
        self.unit = attached.observables[self.aim]
        self.targets = self._targets(target, attached.factor_of(self.aim))

    def _check_model(self) -> None:
        if not self.model.linear:
            found = f"{self.model.id}, in which doses do not add up (a saturable flow, or rates that change with time)"
            raise InputError(Problem(found, "a linear model, in which the response to a sum is the sum", "model"))
        paths = self.model.routes["iv"].paths if "iv" in self.model.routes else []
        if not paths or any(path.lag is not None or path.zero_order is not None for path in paths):
            raise InputError(Problem(f"{self.model.id}", "a model with a plain intravenous route", "model"))

    def _drives(self, attached: ModelSpec, output: str) -> dict[str, float]:
        """The outputs that the target, or the site, follows, and what a level of each counts as in its unit."""
        weights = {attached.output(output): 1.0}
        if self.effects:
            effect = attached.effects[self.aim]
            (driver,) = effect.on
            weights = {attached.output(name): weight for name, weight in effect.sources(driver).items()}
        into = {path.into for path in self.model.routes["iv"].paths}
        for name in weights:
            if attached.outputs[name].amount not in into:
                reached = [other for other, item in attached.outputs.items() if item.amount in into]
                raise InputError(Problem(f"{name}, which is not what is given", one_of(reached), "output"))
        aim = attached.factor_of(self.aim)
        return {name: weight * attached.factor_of(name) / aim for name, weight in weights.items()}

    def _targets(self, target: Target, factor: float) -> list[Plateau]:
        pairs = [("0 min", target)] if isinstance(target, str) else list(target)
        if not pairs or any(not isinstance(pair, (tuple, list)) or len(pair) != 2 for pair in pairs):
            raise InputError(Problem(shown(target), 'a level, or pairs such as ("30 min", "80 ng/mL")', "target"))
        if self.one_dose and len(pairs) > 1:
            expected = "one level: a single dose has one peak"
            raise InputError(Problem(f"{len(pairs)} targets for a single dose", expected, "target"))
        count = self.until / self.step
        if abs(count - round(count)) > 1e-6 or not 1 <= round(count) <= MOST_STEPS:
            expected = f"a whole number of steps, 1 to {MOST_STEPS}"
            raise InputError(Problem(f"{count:.6g} steps until the end", expected, "step"))
        starts: list[int] = []
        levels: list[float] = []
        for index, (time, level) in enumerate(pairs):
            path = f"target[{index}]" if len(pairs) > 1 else "target"
            levels.append(_level(level, path) / factor)
            at = quantity(time, "time", f"{path}.time", zero=True) / self.step
            if abs(at - round(at)) > 1e-6 or round(at) >= round(count):
                expected = "a time before the end, a whole number of steps from the start"
                raise InputError(Problem(shown(time), expected, f"{path}.time"))
            if (not starts and round(at) != 0) or (starts and round(at) <= starts[-1]):
                expected = "0 min for the first target, and rising times after it"
                raise InputError(Problem(shown(time), expected, f"{path}.time"))
            starts.append(round(at))
        if levels[0] <= 0:
            raise InputError(Problem(shown(pairs[0][1]), "a first level above 0", "target"))
        ends = [*starts[1:], round(count)]
        return [Plateau(level, first, last) for level, first, last in zip(levels, starts, ends, strict=True)]

    def said(self, level: float) -> str:
        """A level as people read it."""
        return f"{level:.4g} {self.unit}"


def _site_of(effect: EffectFile | str | Path | None, site: str) -> EffectFile:
    """The level at the site of an effect, as an effect of its own."""
    if effect is None:
        raise InputError(Problem("no effect", "an effect file with an effect site, whose delay it is", "effect"))
    if site != "effect":
        raise InputError(Problem("an effect with site plasma", "site effect, or no effect", "effect"))
    file = effect if isinstance(effect, EffectFile) else load_effect(effect)
    if len(file.on) != 1 or len(file.effect_site) != 1:
        found = f"{file.id} ({file.form})"
        raise InputError(Problem(found, "an effect on one analyte, with an effect site", "effect"))
    bare: dict[str, None] = dict.fromkeys(EffectFile.LINKS)
    told: dict[str, Any] = {
        "id": f"site_of_{file.id}",
        "unit": None,
        "parameters": {},
        "variability": type(file.variability)(),
    }
    return file.model_copy(update={**bare, **told})


def _level(text: object, path: str) -> float:
    """A level in mg/L, 0 among them."""
    return quantity(text, "concentration", path, zero=True)


def _tolerance(value: object) -> float:
    expected = 'a share such as "5 %", from 0.1 % to 50 %'
    try:
        share = units.as_kind(value, "number").value
    except InputError:
        raise InputError(Problem(shown(value), expected, "tolerance")) from None
    if not 0.001 <= share <= 0.5:
        raise InputError(Problem(shown(value), expected, "tolerance"))
    return share
