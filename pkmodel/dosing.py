"""What each patient gets in a session: every dosing rule resolved, with the reason of every adjustment.

The order of a dose is: dosing weight (basis, then its cap), dose, caps, rounding, devices.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pkmodel.errors import InputError, Problem
from pkmodel.specs.dose import HYDROCHLORIDE, WeightRule, per_weight
from pkmodel.specs.planned import PlannedSession
from pkmodel.specs.protocol import ProtocolSpec
from pkmodel.units import clock

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

#: Slack for a dose that is a whole number of steps but for the last bit.
WHOLE = 1e-9


@dataclass(frozen=True)
class GivenDose:
    """One dose of a session: ``amount`` (n,) mg, from ``begins`` h after the session's start on, over ``over`` h.

    It is given at once where ``over`` is 0. ``device`` says which of the session's devices it comes from (1, 2, ...),
    as formulas of a model count them.
    """

    begins: Floats | float
    over: Floats | float
    amount: Floats
    device: int = 1


@dataclass(frozen=True)
class Adjustment:
    """Why ``whom`` (n,) of the patients get another dose than was asked: ``before`` and ``after`` (n,) in mg."""

    reason: str
    whom: Flags
    before: Floats
    after: Floats


@dataclass(frozen=True)
class GivenSession:
    """A session as it is given, per patient (n,): doses in mg, every adjustment with its reason, times in h.

    ``asked`` is what the protocol asks for at the dosing weight, ``given`` what comes of it, and ``doses`` how that is
    given. ``devices`` is how many devices it takes (None: none are used). ``end`` is h from the start of the session
    to the end of its last pump run, or its last device.
    """

    planned: PlannedSession
    dosing_weight: Floats | None
    asked: Floats
    given: Floats
    doses: tuple[GivenDose, ...]
    adjustments: tuple[Adjustment, ...]
    devices: Ints | None
    end: Floats

    @property
    def base(self) -> float:
        """Mass of base in one mass of what is given."""
        return HYDROCHLORIDE if self.planned.salt == "hydrochloride" else 1.0

    def adjusted(self, reason: str) -> Flags:
        """Which patients (n,) were adjusted for this reason."""
        flags = [item.whom for item in self.adjustments if item.reason == reason]
        return np.any(flags, axis=0) if flags else np.zeros(self.given.size, dtype=bool)


def resolve(
    planned: PlannedSession, values: Mapping[str, Floats], size: int, levels: Sequence[Floats] | None = None
) -> GivenSession:
    """What each of ``size`` patients gets in a session: dosing weight, dose, caps, rounding, devices.

    Parameters
    ----------
    values
        what is known of the patients, (n,) each.
    levels
        the dose of every part (n,) in the base unit of the planned one (mg, or mg/kg), where it is not the planned
        one: what a clinic decided.

    Raises
    ------
    InputError
        where a covariate is missing or a dose cannot be given.
    """
    limits = planned.limits
    (level,) = levels if levels is not None else (np.full(size, planned.dose.value),)
    weight: Floats | None = None
    asked = level
    if per_weight(planned.dose):
        weight = dosing_weight(planned.weight, values)
        asked = level * weight
    adjustments: list[Adjustment] = []

    def note(reason: str, before: Floats, after: Floats) -> Floats:
        changed = np.abs(after - before) > WHOLE * before
        if changed.any():
            adjustments.append(Adjustment(reason, changed, before, after))
        return after

    ceiling = np.full(size, np.inf)
    if limits.max_per_kg is not None:
        ceiling = np.minimum(ceiling, limits.max_per_kg.value * covariate(values, "weight"))
    if limits.max_single is not None:
        ceiling = np.minimum(ceiling, limits.max_single.value)
    dose = note("capped", asked, np.minimum(asked, ceiling))
    if limits.round_to is not None:
        before = dose
        dose = _rounded(dose, limits.round_to.value, limits.round or "nearest")
        over = dose > ceiling * (1 + WHOLE)  # rounding up never goes over a cap
        dose = np.where(over, _rounded(before, limits.round_to.value, "down"), dose)
        nothing = (dose == 0.0) & (before > 0.0)
        if nothing.any():
            least = before[np.argmax(nothing)]
            found = f"{least:.4g} mg in session {planned.index}, which rounds to 0 mg"
            expected = f"a dose that leaves something at round_to: {limits.round_to.text}"
            raise InputError(Problem(found, expected, planned.place, "protocol"))
        note("rounded", before, dose)
    if planned.device is None:
        whole = GivenDose(0.0, planned.over, dose)
        end = np.full(size, planned.over)
        return GivenSession(planned, weight, asked, dose, (whole,), tuple(adjustments), None, end)
    strength, pause = planned.device.strength.value, planned.device.pause
    count = dose / strength
    devices = np.rint(count).astype(np.int64)
    if (np.abs(count - devices) > WHOLE * np.maximum(count, 1.0)).any():
        raise InputError(
            Problem(f"{planned.dose.text} in session {planned.index}", "whole devices", planned.place, "protocol")
        )
    doses = tuple(
        GivenDose((number - 1) * pause, 0.0, np.where(devices >= number, strength, 0.0), number)
        for number in range(1, int(devices.max(initial=0)) + 1)
    )
    end = np.maximum(devices - 1, 0) * pause
    return GivenSession(planned, weight, asked, dose, doses, tuple(adjustments), devices, end)


def _rounded(dose: Floats, step: float, how: str) -> Floats:
    count = dose / step
    if how == "down":
        return np.floor(count * (1 + WHOLE)) * step
    return (np.ceil(count * (1 - WHOLE)) if how == "up" else np.floor(count + 0.5)) * step


def dosing_weight(rule: WeightRule, values: Mapping[str, Floats]) -> Floats:
    """The weight (n,), kg, that a dose per kilogram counts with: basis, then cap; bands of BMI go before.

    Raises InputError where height or sex is needed and unknown.
    """
    result = _capped(_basis(rule.basis, values), rule.cap)
    for band in reversed(rule.when):
        low, high = band.bmi
        index = covariate(values, "weight") / covariate(values, "height") ** 2
        inside = (index >= low) & (index < high)
        result = np.where(inside, _capped(_basis(band.basis, values), band.cap or rule.cap), result)
    return result


def _capped(weight: Floats, cap: object) -> Floats:
    return weight if cap is None else np.minimum(weight, cap.value)  # type: ignore[attr-defined]


def _basis(basis: str, values: Mapping[str, Floats]) -> Floats:
    """A body-size descriptor in kg.

    ideal: Devine BJ. Drug Intell Clin Pharm 1974;8:650. adjusted: ideal + 0.4 (actual - ideal), Bauer LA, et al.
    Eur J Clin Pharmacol 1983;24:643. lean and fat_free: Janmahasatian S, et al. Clin Pharmacokinet 2005;44:1051,
    whose lean body weight is the fat-free mass.
    """
    actual = covariate(values, "weight")
    if basis == "actual":
        return actual
    height, female = covariate(values, "height"), covariate(values, "female") == 1.0
    if basis in ("lean", "fat_free"):
        index = actual / (height / 100.0) ** 2
        return np.where(female, 9270.0 * actual / (8780.0 + 244.0 * index), 9270.0 * actual / (6680.0 + 216.0 * index))
    ideal = np.where(female, 45.5, 50.0) + 2.3 * (height / 2.54 - 60.0)
    if (ideal <= 0).any():
        raise InputError(
            Problem(
                f"a height of {height[np.argmin(ideal)]:.4g} cm", "a height for which an ideal weight exists", "height"
            )
        )
    return ideal if basis == "ideal" else ideal + 0.4 * (actual - ideal)


def covariate(values: Mapping[str, Floats], name: str) -> Floats:
    """What is known of the patients (n,). Raises InputError where it is not known."""
    if name not in values:
        shown = "sex" if name == "female" else name
        raise InputError(Problem("nothing", f"{shown}, which the dose depends on", path=shown, where="patient"))
    return values[name]


def course_for(protocol: ProtocolSpec, values: Mapping[str, Floats] | None) -> list[dict[str, object]]:
    """The course as a table: one row per session; with one patient's covariates, in mg, with every adjustment."""
    rows: list[dict[str, object]] = []
    for planned in protocol.plan():
        how = f"over {clock(planned.over)}" if planned.over else "at once"
        if planned.device is not None:
            how = f"devices of {planned.device.strength.text}, {clock(planned.device.pause)} apart"
        row: dict[str, object] = {"session": planned.index, "day": planned.day}
        row |= {"phase": planned.phase, "route": planned.route, "dose": planned.label}
        if values is not None:
            given = resolve(planned, values, 1)
            why = []
            if given.dosing_weight is not None and given.dosing_weight[0] != values["weight"][0]:
                why.append(f"dosing weight {given.dosing_weight[0]:.4g} kg")
            capped, rounded = given.adjusted("capped")[0], given.adjusted("rounded")[0]
            if capped:
                why.append(f"capped from {given.asked[0]:.4g} mg")
            if rounded:
                why.append("rounded" if capped else f"rounded from {given.asked[0]:.4g} mg")
            row["given_mg"] = float(f"{given.given[0]:.6g}")
            if given.devices is not None:
                row["devices"] = int(given.devices[0])
            how += f" ({', '.join(why)})" if why else ""
        row["how"] = how
        rows.append(row)
    return rows
