"""The dose or infusion that reaches a target level and holds it, in plasma or at an effect site, within pump limits.

Rates are found by superposition of unit responses of the engine (:mod:`pkmodel.steering`), rounded to what the pump can
be set to, written as a protocol, and that protocol is then simulated like any other: what is reported is what comes
out of it. For one patient with typical parameters; nobody's blood is measured. Not for patient care.
"""

from __future__ import annotations

from pathlib import Path

from pkmodel.population import Patient
from pkmodel.specs.effect_file import EffectFile
from pkmodel.specs.model import ModelSpec
from pkmodel.suggest import course
from pkmodel.suggest.asked import FORMS as FORMS
from pkmodel.suggest.asked import Asked, Form, Site, Target
from pkmodel.suggest.pump import Pump as Pump
from pkmodel.suggest.suggestion import Achieved as Achieved
from pkmodel.suggest.suggestion import Row as Row
from pkmodel.suggest.suggestion import Suggestion as Suggestion


def suggest(
    model: ModelSpec | str | Path,
    patient: Patient,
    target: Target,
    *,
    site: Site = "plasma",
    effect: EffectFile | str | Path | None = None,
    output: str = "parent",
    form: Form = "bolus+infusion",
    over: str | None = None,
    until: str = "2 h",
    step: str = "1 min",
    pump: Pump | None = None,
    tolerance: str | float = "5 %",
) -> Suggestion:
    """The bolus, the infusion, or both, that reach a target level and hold it until a time.

    Parameters
    ----------
    target
        a level such as ``"150 ng/mL"``, or (time, level) pairs in rising time from 0 on; levels may fall, and a level
        of 0 stops the pump.
    site, effect
        where the level is meant: in plasma, or at the effect site of an effect file that has one.
    form
        ``bolus``: one dose whose peak is the target; ``infusion``: rates alone, or with ``over`` one rate over that
        time whose peak is the target; ``bolus+infusion``: a bolus wherever the target rises, and rates.
    step
        the shortest time between two changes of the rate; a rate stands as long as the tolerance lets it.
    tolerance
        how far from the target counts as held, as a share of it.

    Raises
    ------
    InputError
        for a non-linear model, a route or output that does not fit, and a target that this pump cannot reach in time,
        with what it can.
    """
    ask = Asked(model, patient, target, site, effect, output, form, over, until, step, pump, tolerance)
    return course.single(ask) if ask.one_dose else course.held(ask)
