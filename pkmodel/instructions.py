"""A course as a table that a nurse could follow: when, by which route, how much, why, and what to take for it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from pkmodel import dosing
from pkmodel.given import SWALLOWED, WHOLE, Adjustment, Before, GivenSession
from pkmodel.specs.planned import PlannedSession
from pkmodel.specs.protocol import ProtocolSpec
from pkmodel.units import clock

Floats = NDArray[np.float64]
Row = dict[str, object]

#: What is printed of a session, in this order.
COLUMNS = ("session", "day", "time", "route", "dose", "mg", "take", "how")
#: Of many doses of a session (sprays, say) only so many times are written out.
_TIMES = 4


def course_for(protocol: ProtocolSpec, values: Mapping[str, Floats] | None) -> list[Row]:
    """The course as a table: one row per session; with one patient's covariates, in mg, with every adjustment.

    Parameters
    ----------
    values
        what is known of a patient, (1,) each; None: the course as it is written, for nobody in particular.

    Returns
    -------
    Rows of session, day, phase, route, dose (as written), ``parts`` and ``how`` in words. A part is a dose: its
    ``time`` (from 0:00 of the day; the course begins at 0:00 of day 1), dose, h that it takes, mg, mL and mL/h. For a
    patient ``given_mg`` and ``why`` too, and where the protocol says enough ``devices``, ``sprays``, ``volume_mL``,
    ``vials``, ``used_mg``, ``wasted_mg`` and ``pump_mL_per_h``.

    Raises
    ------
    InputError
        where a covariate is missing or a dose cannot be given.
    """
    rows = []
    before = Before.nothing(1)
    for planned in protocol.plan():
        row: Row = {"session": planned.index, "day": f"{_midnight(planned.start) / 24 + 1:g}"}
        row |= {"phase": planned.phase, "route": planned.route, "dose": planned.label}
        given = None
        if values is not None:
            before = before.on(planned.start)
            given = dosing.resolve(planned, values, 1, before=before)
            before = before.add(given.given)
            row |= _of_patient(given, values)
        row["parts"] = _parts(planned, given)
        row["how"] = how(planned) + (_bands(planned) if values is None else "")
        rows.append(row)
    return rows


def _midnight(start: float) -> float:
    """When the day (h) of a session begins; the course begins at 0:00 of its first. Not a rounding before midnight."""
    return 24.0 * math.floor(start / 24.0 + WHOLE)


def _plain(value: float) -> float:
    return float(f"{value:.6g}")


def _of_patient(given: GivenSession, values: Mapping[str, Floats]) -> Row:
    row: Row = {"given_mg": _plain(given.given[0]), "why": why(given, values)}
    for key, counted in (("devices", given.devices), ("sprays", given.sprays), ("vials", given.vials)):
        if counted is not None:
            row[key] = int(counted[0])
    measured = (
        ("volume_mL", given.volume),
        ("used_mg", given.used),
        ("wasted_mg", given.wasted),
        ("pump_mL_per_h", given.pump_rate),
    )
    return row | {key: _plain(amount[0]) for key, amount in measured if amount is not None}


def why(given: GivenSession, values: Mapping[str, Floats]) -> list[str]:
    """Why the first patient gets another dose than the protocol asks for, a few words for each reason."""
    said = []
    weight = given.dosing_weight
    if weight is not None and weight[0] != values["weight"][0]:
        said.append(f"dosing weight {weight[0]:.4g} kg")
    for index, part in enumerate(given.planned.parts):
        level = dosing.planned_levels(given.planned, values, 1)[index][0]
        if level != part.dose.value:
            said.append(f"{next(band.dose.text for band in part.when if band.dose.value == level)} for this patient")
    if len(given.planned.parts) == 1:
        return said + _reasons(given, 1)
    every = range(1, len(given.planned.parts) + 1)
    return said + [f"dose {part}: {reason}" for part in every for reason in _reasons(given, part)]


def _reasons(given: GivenSession, part: int) -> list[str]:
    """What was done to a part of the session of the first patient."""
    return [_reason(item) for item in given.adjustments if item.whom[0] and item.part == part]


def _reason(item: Adjustment) -> str:
    form = clock if item.unit == "h" else _mg
    return f"{item.reason} ({form(float(item.before[0]))} to {form(float(item.after[0]))})"


def _mg(value: float) -> str:
    return f"{value:.4g} mg"


def how(planned: PlannedSession) -> str:
    """How a session is given, in words, whoever the patient."""
    if planned.device is not None:
        device = planned.device
        return f"devices of {device.strength.text}{_apart(device.pause)}"
    if planned.atomiser is not None:
        atomiser = planned.atomiser
        return f"sprays of {atomiser.spray_text} in turns, {atomiser.concentration.text}{_apart(atomiser.pause)}"
    if len(planned.parts) > 1:
        return f"{len(planned.parts)} doses in {clock(planned.over)}" if planned.over else "at once"
    return f"over {clock(planned.over)}" if planned.over else "at once"


def _bands(planned: PlannedSession) -> str:
    """The doses of bands of patients, for nobody in particular."""
    others = [f"{band.dose.text} for {band.text}" for part in planned.parts for band in part.when]
    return f"; but {', '.join(others)}" if others else ""


def _apart(pause: float) -> str:
    if not pause:
        return ""
    return f", {clock(pause) if pause * 60 >= 1 else f'{pause * 3600:.3g} s'} apart"


def _parts(planned: PlannedSession, given: GivenSession | None) -> list[Row]:
    """A row for each dose of a session, in the order of their times."""
    of_day = planned.start - _midnight(planned.start)
    if given is None:
        rows, time = [], of_day
        for part in planned.parts:
            time += part.pause
            rows.append({"time": time_text(time), "dose": part.label, "over_h": _plain(part.over)})
            time += part.over
        return rows
    found = []
    for dose in given.doses:
        amount, over, begins = (float(np.ravel(value)[0]) for value in (dose.amount, dose.over, dose.begins))
        if amount == 0.0 and planned.device is not None:
            continue
        row: Row = {
            "time": time_text(of_day + begins),
            "dose": planned.parts[dose.part - 1].label,
            "over_h": _plain(over),
        }
        row["given_mg"] = _plain(amount)
        if dose.kind == SWALLOWED:
            row["kind"] = SWALLOWED
        if len(planned.parts) > 1:
            row["why"] = _reasons(given, dose.part)
        if planned.product is not None and planned.atomiser is None:
            volume = 1000.0 * amount / planned.product.concentration.value
            row["volume_mL"] = _plain(volume)
            if over:
                row["pump_mL_per_h"] = _plain(volume / over)
        found.append(row)
    return found


def time_text(hours: float) -> str:
    """A time of a day as people read it: hours, minutes, and seconds where there are any."""
    seconds = round(hours * 3600)
    text = f"{seconds // 3600}:{seconds // 60 % 60:02d}"
    return f"{text}:{seconds % 60:02d}" if seconds % 60 else text


def lines(rows: Iterable[Row], *, patient: bool) -> list[dict[str, str]]:
    """The rows of :func:`course_for` as lines to print: one for a session, or one for each part of it.

    The columns are session, day, time, route, dose, for a patient mg and take (devices, sprays, mL), and ``how`` (with
    the pump rate, the vials, and why the dose is another one).
    """
    printed = []
    for row in rows:
        parts: list[Row] = row["parts"]  # type: ignore[assignment]
        times = list(dict.fromkeys(str(part["time"]) for part in parts)) or ["-"]
        head = {"session": str(row["session"]), "day": str(row["day"]), "route": str(row["route"])}
        if len(parts) < 2 or "devices" in row or "sprays" in row:
            line = {**head, "time": _times(times), "dose": str(row["dose"])}
            if patient:
                line |= {"mg": f"{row['given_mg']:.6g}", "take": _take(row)}
            rate = row.get("pump_mL_per_h")
            over = parts[0]["over_h"] if parts else 0.0
            nasal = "devices" in row or "sprays" in row  # how is said once, above
            said = [] if nasal else [f"over {clock(over)}" if over else str(row["how"])]  # type: ignore[arg-type]
            printed.append(line | {"how": _sentence(said, rate, row)})
            continue
        for number, part in enumerate(parts):
            first = number == 0
            line = {key: value if first else "" for key, value in head.items()}
            line |= {"time": str(part["time"]), "dose": str(part["dose"])}
            if patient:
                line |= {"mg": f"{part['given_mg']:.6g}", "take": _take(part)}
            said = [f"over {clock(part['over_h'])}" if part["over_h"] else "at once"]  # type: ignore[arg-type]
            stock = {key: row.get(key) for key in ("vials", "wasted_mg")} if first else {}
            rest: Row = {**stock, "why": part.get("why")}
            printed.append(line | {"how": _sentence(said, part.get("pump_mL_per_h"), rest)})
    return printed


def _times(times: list[str]) -> str:
    if len(times) <= _TIMES:
        return ", ".join(times)
    return f"{times[0]}, {times[1]} ... {times[-1]}"


def _take(row: Row) -> str:
    """What to take for a dose: devices, sprays, mL."""
    parts = []
    for key, one, many in (("devices", "device", "devices"), ("sprays", "spray", "sprays")):
        if key in row and (key == "devices" or "devices" not in row):
            parts.append(f"{row[key]} {one if row[key] == 1 else many}")
    if "volume_mL" in row and "devices" not in row:
        parts.append(f"{row['volume_mL']:.4g} mL")
    return ", ".join(parts)


def _sentence(said: list[str], rate: object, row: Row) -> str:
    """How a dose is given, the pump rate, what is opened for it, and why it is not the one that was asked."""
    if rate is not None:
        said = [*said, f"pump {rate:.4g} mL/h"]
    if row.get("vials") is not None:
        said = [*said, f"{row['vials']} {'vial' if row['vials'] == 1 else 'vials'}"]
    if row.get("wasted_mg"):
        said = [*said, f"{row['wasted_mg']:.4g} mg wasted"]
    reasons: list[str] = row.get("why") or []  # type: ignore[assignment]
    return "; ".join([*([", ".join(said)] if said else []), *reasons])


def heading(row: Row) -> str:
    """What stands above the lines of a phase: its name, and how its devices or sprays are given."""
    nasal = "devices" in row or "sprays" in row
    return f"{row['phase']}: {row['how']}" if nasal else str(row["phase"])
