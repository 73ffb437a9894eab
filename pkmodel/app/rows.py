"""A protocol of the library as rows that can be edited; and rows that are added, moved and taken away."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from pkmodel.app.course import DEVICE_MG, MOST_DOSES, SPRAY_MG, hours, protocol_of, time_text
from pkmodel.app.state import MOST_ROWS, UNITS, Arm, Row
from pkmodel.errors import InputError, Problem
from pkmodel.specs.dose import DoseLimits, WeightRule
from pkmodel.specs.planned import PlannedPart, PlannedSession
from pkmodel.specs.protocol import ProtocolSpec


@dataclass(frozen=True)
class _Dose:
    start: Fraction
    row: Row


def as_rows(arm: Arm, key: str = "a") -> tuple[Arm, list[str]]:
    """An arm whose course can be edited by rows, and what the rows do not keep of its protocol.

    Raises InputError where the protocol says what rows cannot: doses per square metre, two drugs, too many doses.
    """
    if arm.source == "rows":
        return arm, []
    spec = protocol_of(arm, key)
    if len(spec.drugs) > 1:
        raise InputError(Problem(f"a protocol of {' and '.join(spec.drugs)}", "one drug, to edit it by rows", "course"))
    doses = [dose for planned in spec.plan() for dose in _doses(planned)]
    if len(doses) > MOST_DOSES:
        raise InputError(Problem(f"{len(doses)} doses", f"at most {MOST_DOSES}, to edit them by rows", "course"))
    rows = _grouped(doses)
    if len(rows) > MOST_ROWS:
        raise InputError(Problem(f"{len(rows)} rows", f"at most {MOST_ROWS}", "course"))
    return arm.model_copy(update={"source": "rows", "drug": spec.drugs[0], "rows": tuple(rows)}), _lost(spec)


def _doses(planned: PlannedSession) -> list[_Dose]:
    found = []
    time = _exact(planned.start)
    for part in planned.parts:
        time += _exact(part.pause)
        found.append(_Dose(time, _row(planned, part)))
        time += _exact(part.over)
    return found


def _exact(time: float) -> Fraction:
    return Fraction(round(time * 36000), 36000)


def _row(planned: PlannedSession, part: PlannedPart) -> Row:
    over = time_text(_exact(part.over)) if part.over else ""
    number, unit = part.dose.number, part.dose.unit.text
    for things, each in (("devices", planned.device), ("sprays", planned.atomiser)):
        if each is not None:
            number, unit = part.dose.value / (DEVICE_MG if things == "devices" else SPRAY_MG), things
    if unit not in UNITS or number != float(f"{number:.12g}"):
        raise InputError(Problem(part.dose.text, f"a dose in {', '.join(UNITS[:5])}, to edit it by rows", "course"))
    return Row(route=planned.route, dose=number, unit=unit, over=over)


def _grouped(doses: list[_Dose]) -> list[Row]:
    """Equal doses at equal intervals as one row."""
    rows: list[Row] = []
    index = 0
    while index < len(doses):
        head, run = doses[index], 1
        step = doses[index + 1].start - head.start if index + 1 < len(doses) else Fraction(0)
        while (
            index + run < len(doses)
            and doses[index + run].row == head.row
            and doses[index + run].start - doses[index + run - 1].start == step
        ):
            run += 1
        run = run if run > 2 or (run == 2 and index + 2 == len(doses)) else 1
        repeats = {"every": time_text(step), "count": run} if run > 1 else {}
        rows.append(head.row.model_copy(update={"at": time_text(head.start), **repeats}))
        index += run
    return rows


def _lost(spec: ProtocolSpec) -> list[str]:
    """What rows do not keep of a protocol, one sentence each."""
    plan = spec.plan()
    parts = {
        "dose caps and rounding": any(planned.limits != DoseLimits() for planned in plan),
        "the rule of the dosing weight": any(planned.weight != WeightRule() for planned in plan),
        "doses for bands of patients": any(part.when for planned in plan for part in planned.parts),
        "the salt": any(planned.salt != "base" for planned in plan),
        "products and pumps": any(planned.product or planned.pump for planned in plan),
        "decisions of the clinic": spec.clinic is not None,
        "missed and late sessions": spec.adherence is not None,
    }
    said = [what for what, there in parts.items() if there]
    return [f"The rows do not keep {', '.join(said)} of the protocol."] if said else []


def added(arm: Arm, row: Row) -> Arm:
    """An arm with one more row. Raises InputError where there are too many."""
    if len(arm.rows) >= MOST_ROWS:
        raise InputError(Problem(f"{len(arm.rows) + 1} rows", f"at most {MOST_ROWS}", "course"))
    return arm.model_copy(update={"rows": (*arm.rows, row)})


def removed(arm: Arm, index: int) -> Arm:
    """An arm without a row. Raises InputError for the last one, and for one that is not there."""
    if not 0 <= index < len(arm.rows):
        raise InputError(Problem(f"row {index + 1}", f"a row from 1 to {len(arm.rows)}", "course"))
    if len(arm.rows) == 1:
        raise InputError(Problem("no dose left", "at least one row: change it, or pick a protocol", "course"))
    return arm.model_copy(update={"rows": arm.rows[:index] + arm.rows[index + 1 :]})


def clicked(time: float, shown: float) -> str:
    """A time (h) that was pointed at, as text, in the steps that a hand can hit on an axis of ``shown`` h."""
    minutes = 1 if shown <= 8 else 5 if shown <= 30 else 60 if shown <= 24 * 21 else 24 * 60
    return time_text(Fraction(max(0, round(time * 60 / minutes)) * minutes, 60))


def nearest_row(arm: Arm, time: float, within: float) -> int | None:
    """The row with a dose nearest to ``time`` (h from the first dose), no further than ``within``; None: there is none.

    While an infusion runs it is near.
    """
    if arm.source != "rows":
        return None
    begins = min(hours(row.at, "at") for row in arm.rows)
    best: tuple[float, int] | None = None
    for index, row in enumerate(arm.rows):
        start = float(hours(row.at, "at") - begins)
        every = float(hours(row.every, "every")) if row.every.strip() else 0.0
        over = float(hours(row.over, "over")) if row.over.strip() else 0.0
        for number in range(row.count):
            at = start + number * every
            off = 0.0 if at <= time <= at + over else min(abs(time - at), abs(time - at - over))
            if off <= within and (best is None or off < best[0]):
                best = (off, index)
    return None if best is None else best[1]
