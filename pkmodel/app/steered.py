"""The form of the tab that suggests, as a question to the engine and its answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pkmodel.app import compute
from pkmodel.app.compute import Curves
from pkmodel.app.shown import Sites
from pkmodel.app.state import State
from pkmodel.errors import InputError, Problem
from pkmodel.suggest import Pump, Suggestion, suggest


def sites_of(state: State, curves: Curves) -> Sites:
    """The model that would be steered, and the places where it can be."""
    curve = curves.main[state.editing]
    model = compute.model_of(curve.model)
    if not model.linear or "iv" not in model.routes:
        return Sites(curve.model, None)
    places = [("", "in plasma")]
    for name in compute.effects_for_cached(compute.key_of(state.arm, state.editing), curve.model, curve.drug):
        file = compute.effect_of(name)
        if file.band is None and len(file.on) == 1 and len(file.effect_site) == 1:
            places.append((name, f"at the effect site of {name.replace('_', ' ')}"))
    return Sites(curve.model, tuple(places))


def asked(model: str, patient: Any, fields: Mapping[str, Any]) -> Suggestion:
    """The answer to the fields of the form. Raises InputError where they or the target will not do."""

    def text(name: str, unit: str, *, needed: bool = True) -> str | None:
        value = str(fields.get(name, "")).strip()
        if not value:
            if needed:
                raise InputError(Problem("nothing", f"a number in {unit}", name.replace("_", " ")))
            return None
        return f"{value} {unit}"

    first, later, when = text("level", "ng/mL"), text("then", "ng/mL", needed=False), text("when", "min", needed=False)
    target: Any = first
    if later is not None:
        if when is None:
            raise InputError(Problem("nothing", "the time of the second level, in min", "from"))
        target = [("0 min", first), (when, later)]
    site = str(fields.get("site", ""))
    steered = {"site": "effect", "effect": compute.effect_of(site)} if site else {"site": "plasma"}
    pump = Pump(concentration=text("concentration", "mg/mL") or "", max_rate=text("fastest", "mL/h") or "")
    return suggest(
        compute.model_of(model),
        patient,
        target,
        form=fields.get("form", "bolus+infusion"),
        until=text("until", "min") or "",
        pump=pump,
        **steered,
    )
