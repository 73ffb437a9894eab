"""What each patient gets in a session: every dosing rule resolved, with the reason of every adjustment.

The order of a dose is: dosing weight (basis, then its cap), dose (of the band that fits), floor, caps, rounding, what
is left of the caps over a session, a day and the course, and what it is given with: devices, sprays, a pump, vials.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pkmodel import body, supply
from pkmodel.body import covariate, dosing_weight
from pkmodel.given import WHOLE, Adjustment, Before, GivenDose, GivenSession
from pkmodel.limits import Limiter
from pkmodel.specs.dose import is_rate, per_surface, per_weight
from pkmodel.specs.planned import PlannedPart, PlannedSession
from pkmodel.supply import Draw

__all__ = [
    "WHOLE",
    "Adjustment",
    "Before",
    "GivenDose",
    "GivenSession",
    "covariate",
    "dosing_weight",
    "planned_levels",
    "resolve",
]

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


def planned_levels(planned: PlannedSession, values: Mapping[str, Floats], size: int) -> tuple[Floats, ...]:
    """The dose of every part (n,) as planned, in the base unit of its kind: that of the first band that fits.

    Raises InputError where a covariate of a band is missing.
    """
    levels = []
    for part in planned.parts:
        level = np.full(size, part.dose.value)
        left: Flags | bool = True
        for band in part.when:
            if np.any(left):  # what only later bands need is not asked of those who are in an earlier one
                whom = left & body.inside(band, values)
                level = np.where(whom, band.dose.value, level)
                left = left & ~whom
        levels.append(level)
    return tuple(levels)


def resolve(
    planned: PlannedSession,
    values: Mapping[str, Floats],
    size: int,
    levels: Sequence[Floats] | None = None,
    before: Before | None = None,
    *,
    seed: int | None = None,
    first: int = 0,
) -> GivenSession:
    """What each of ``size`` patients gets in a session: dosing weight, dose, limits, and what it is given with.

    Parameters
    ----------
    values
        what is known of the patients, (n,) each.
    levels
        the dose of every part (n,) in the base unit of the planned one (mg, mg/kg, mg/cm2, or one of them per h),
        where it is not the planned one: what a clinic decided.
    before
        what was given before, for caps over a day and the course, as it stands at this session (:meth:`Before.on`).
        None: nothing.
    seed, first
        the seed of what sprays deliver, and the number of the first patient; without a seed every spray delivers what
        it should.

    Raises
    ------
    InputError
        where a covariate is missing or a dose cannot be given.
    """
    levels = planned_levels(planned, values, size) if levels is None else levels
    weight: Floats | None = None
    if any(per_weight(part.dose) for part in planned.parts):
        weight = dosing_weight(planned.weight, values)
    limiter = Limiter(planned, values, size, before)
    asked: list[Floats] = []
    parts: list[Floats] = []
    for number, (part, level) in enumerate(zip(planned.parts, levels, strict=True), 1):
        asked.append(_amount(part, level, weight, values))
        parts.append(limiter.hold(asked[-1], number))
    draw = None if seed is None else Draw(seed, first)
    if planned.device is not None:
        supplied = supply.by_devices(planned, planned.device, parts[0], draw)
    elif planned.atomiser is not None:
        supplied = supply.by_sprays(planned, planned.atomiser, parts[0], draw)
    else:
        supplied = supply.by_hand_or_pump(planned, parts, limiter)
    return GivenSession(
        planned,
        weight,
        _total(asked),
        _total(parts),
        supplied.doses,
        tuple(limiter.adjustments),
        supplied.devices,
        supplied.end,
        supplied.sprays,
        supplied.volume,
        supplied.vials,
        supplied.used,
        supplied.wasted,
        supplied.pump_rate,
    )


def _amount(part: PlannedPart, level: Floats, weight: Floats | None, values: Mapping[str, Floats]) -> Floats:
    """The mg (n,) that a dose of ``level`` comes to: per kilogram, per square metre, per time."""
    amount = level
    if per_weight(part.dose):
        assert weight is not None
        amount = amount * weight
    elif per_surface(part.dose):
        amount = amount * body.surface(values)
    return amount * part.over if is_rate(part.dose) else amount


def _total(parts: Sequence[Floats]) -> Floats:
    whole: Floats = parts[0] if len(parts) == 1 else np.sum(parts, axis=0)
    return whole
