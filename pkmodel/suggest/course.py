"""From a question to a course: unit responses, rates, a protocol, and what the protocol does when it is simulated."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from pkmodel import steering
from pkmodel.disclaimer import NOT_FOR_CARE
from pkmodel.errors import InputError, Problem
from pkmodel.simulation import Result, simulate
from pkmodel.specs.library import load_protocol
from pkmodel.steering import FINE, Plateau, Responses
from pkmodel.suggest.asked import Asked
from pkmodel.suggest.pump import quantity
from pkmodel.suggest.suggestion import Achieved, Row, Suggestion

Floats = NDArray[np.float64]

#: Parts that a session of a protocol may have.
MOST_PARTS = 100


def single(ask: Asked) -> Suggestion:
    """The dose whose exact peak is the target."""
    (plateau,) = ask.targets
    assert ask.over is not None
    trial = 100.0
    unit = _exact_peak(ask, _write(ask, [(trial, ask.over)])) / trial
    dose = plateau.level / unit
    if ask.over and ask.form == "infusion":
        rate = steering.allowed(dose / ask.over, dose / ask.over * 2, ask.limits)
        too_much = dose / ask.over > ask.limits.max_rate * (1 + 1e-9)
        most = unit * ask.limits.max_rate * ask.over
        dose = rate * ask.over
    else:
        too_much, most = dose > ask.limits.max_bolus, unit * ask.limits.max_bolus
        dose = round(dose / ask.limits.bolus_step) * ask.limits.bolus_step
    if too_much:
        raise InputError(Problem(ask.said(plateau.level), f"at most {ask.said(most)} with this pump", "target"))
    if dose <= 0:
        raise InputError(Problem(ask.said(plateau.level), "a level that one step of the pump reaches", "target"))
    return _answer(ask, [(float(f"{dose:.12g}"), ask.over)], hold=False)


def _exact_peak(ask: Asked, text: str) -> float:
    result = _simulate(ask, text)
    table = result.sessions()
    return float(table[table["output"] == ask.aim]["peak"].iloc[0])


def held(ask: Asked) -> Suggestion:
    """Rates (and boluses) that reach every target in turn and hold it."""
    course = steering.plan(
        _responses(ask), ask.targets, ask.limits, ask.tolerance, boluses=ask.form == "bolus+infusion"
    )
    pieces: list[tuple[float, float]] = []
    for given in course.given:
        over = given.steps * ask.step
        pieces.append((given.amount if given.bolus else given.amount * over, over))
    while pieces and pieces[-1][0] == 0:
        pieces.pop()
    if not pieces or pieces[0][0] == 0:
        lowest = f"a level that the pump's lowest rate, {ask.limits.min_rate:g} mg/h, and its steps can make"
        raise InputError(Problem(ask.said(ask.targets[0].level), lowest, "target"))
    if len(pieces) > MOST_PARTS:
        expected = f"at most {MOST_PARTS}: a wider tolerance, longer steps, or a shorter time"
        raise InputError(Problem(f"{len(pieces)} changes of the rate", expected, "tolerance"))
    return _answer(ask, pieces, hold=True)


def _responses(ask: Asked) -> Responses:
    """Unit responses of plasma and site on the grid, from the engine."""
    count = ask.targets[-1].last
    bolus_steps = ask.bolus_over / ask.step
    if abs(bolus_steps - round(bolus_steps)) > 1e-6:
        raise InputError(Problem(f"{bolus_steps:.6g} steps", "a whole number of steps", "pump.bolus_over"))
    # After the end the site may still rise: look as far again, and at least an hour, ahead.
    span = 2 * count * ask.step + 1.0
    size = math.ceil(span / ask.step) * FINE
    forever = _simulate(ask, _write(ask, [(100.0 * 2 * span, 2 * span)]), until=span)
    at_once = _simulate(ask, _write(ask, [(100.0, ask.bolus_over)]), until=span)

    def of(result: Result, names: Mapping[str, float]) -> Floats:
        levels = sum(weight * result.level(name)[0][:size] for name, weight in names.items())
        found: Floats = np.maximum(levels / 100.0, 0.0)
        return found

    sited = {ask.aim: 1.0} if ask.effects else {}
    return Responses(
        of(forever, ask.drives),
        of(at_once, ask.drives),
        of(forever, sited) if sited else None,
        of(at_once, sited) if sited else None,
        round(bolus_steps),
    )


def _write(ask: Asked, pieces: Sequence[tuple[float, float]], title: str = "A suggested course") -> str:
    """Pieces (mg, h) as the YAML text of a protocol with one session in parts."""
    parts: list[dict[str, str]] = []
    for dose, over in pieces:
        if dose == 0:
            parts.append({"pause": _minutes(over)})
        elif over == 0:
            parts.append({"dose": f"{dose:.12g} mg"})
        else:
            parts.append({"dose": f"{dose / over:.12g} mg/h", "over": _minutes(over)})
    tree: dict[str, Any] = {
        "title": title,
        "drug": ask.model.drug,
        "source": {
            "citation": f"Computed by pkmodel for one patient on {ask.model.id}",
            "evidence": "derived",
        },
        "route": "iv",
        "phases": [{"name": "suggested", "parts": parts, "sessions": {"days": [1]}}],
        "notes": [NOT_FOR_CARE],
    }
    return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, width=110)


def _simulate(ask: Asked, text: str, until: float | None = None) -> Result:
    return simulate(
        load_protocol(yaml.safe_load(text)),
        ask.model,
        ask.patient,
        until=f"{max(ask.until, ask.over or 0.0) if until is None else until!r} h",
        every=f"{ask.step / FINE!r} h",
        effects=ask.effects,
    )


def _answer(ask: Asked, pieces: list[tuple[float, float]], *, hold: bool) -> Suggestion:
    where = "at the effect site" if ask.effects else "in plasma"
    wanted = ", then ".join(ask.said(plateau.level) for plateau in ask.targets)
    text = _write(ask, pieces, f"{ask.model.drug} IV for {wanted} {where} (suggested)")
    result = _simulate(ask, text)
    level = result.level(ask.aim)[0]
    peak = _exact_peak(ask, text)
    achieved = tuple(_achieved(ask, result.time, level, plateau) for plateau in ask.targets) if hold else ()
    rows, clock = [], 0.0
    per_volume = quantity(ask.pump.concentration, "concentration", "pump.concentration")
    for dose, over in pieces:
        rate = float(f"{dose / over:.12g}") if over else None
        volume_rate = None if rate is None else float(f"{1000 * rate / per_volume:.12g}")
        rows.append(Row(clock, dose, over, rate, volume_rate))
        clock += over
    total = sum(dose for dose, _ in pieces)
    return Suggestion(
        protocol=text,
        result=result,
        aim=ask.aim,
        unit=ask.unit,
        rows=tuple(rows),
        achieved=achieved,
        total=total,
        peak=peak,
        sentences=tuple(_sentences(ask, rows, achieved, total, peak, where)),
        assumptions=tuple(_assumptions(ask)),
        warnings=tuple(result.warnings),
    )


def _achieved(ask: Asked, time: Floats, level: Floats, plateau: Plateau) -> Achieved:
    """What became of a target. Raises InputError where it was never reached."""
    first, last = plateau.first * FINE, plateau.last * FINE
    part, start = level[first : last + 1], float(time[first])
    end = float(time[min(last, time.size - 1)])
    if plateau.level <= 0:
        return Achieved(0.0, start, end, 0.0, 0.0, 0.0, 0.0, 0.0)
    off = part / plateau.level - 1
    inside = np.abs(off) <= ask.tolerance * (1 + 1e-6)
    if not inside.any():
        falling = part[0] > plateau.level
        best = ask.said(float(part.min() if falling else part.max()))
        how = "with the pump off it falls to" if falling else "this pump reaches at most"
        expected = f"what can be had by {60 * end:.4g} min: {how} {best}"
        if falling and abs(off).min() < 0.5 and not (off > 0).all():
            expected = "steps of the pump, or of time, fine enough to come within the tolerance"
        raise InputError(Problem(f"{ask.said(plateau.level)} from {60 * start:.4g} min on", expected, "target"))
    reached = int(np.argmax(inside))
    held = off[reached:]
    return Achieved(
        level=plateau.level,
        start=start,
        end=end,
        reached=float(time[first + reached] - start),
        above=float(100 * max(held.max(), 0.0)),
        below=float(100 * max(-held.min(), 0.0)),
        rms=float(100 * np.sqrt(np.mean(held**2))),
        outside=float((~inside[reached:]).mean() * (end - float(time[first + reached]))),
    )


def _sentences(
    ask: Asked, rows: Sequence[Row], achieved: Sequence[Achieved], total: float, peak: float, where: str
) -> list[str]:
    said = []
    if not achieved:
        (row,) = rows
        how = "at once" if row.over == 0 else f"over {_shown(row.over)} ({row.rate:.4g} mg/h)"
        said.append(
            f"{row.dose:.4g} mg {how}: the peak {where} is {ask.said(peak)} for a target of "
            f"{ask.said(ask.targets[0].level)} ({100 * (peak / ask.targets[0].level - 1):+.2g} %, rounding)."
        )
        return said
    boluses = [row for row in rows if row.rate is None]
    changes = sum(1 for row in rows if row.rate is not None)
    given = " and ".join(f"{row.dose:.4g} mg at {_shown(row.time)}" for row in boluses)
    said.append((f"At once: {given}; " if given else "") + f"{changes} settings of the pump; {total:.4g} mg in all.")
    for item in achieved:
        if item.level <= 0:
            said.append(f"From {_shown(item.start)} on the pump is off.")
            continue
        said.append(
            f"{ask.said(item.level)} {where} from {_shown(item.start)}: within {100 * ask.tolerance:g} % after "
            f"{_shown(item.reached)}; then at most {item.above:.1f} % above and {item.below:.1f} % below"
            + (f", outside for {_shown(item.outside)}." if item.outside > 1e-9 else ".")
        )
    return said


def _assumptions(ask: Asked) -> list[str]:
    said = [
        f"One patient with the typical parameters of {ask.model.id} (evidence: {ask.model.evidence}): real "
        "people differ, and other models would ask for other rates.",
    ]
    if ask.pump.assumed:
        said.append(f"Assumed of the pump: {', '.join(ask.pump.assumed)}.")
    if ask.form != "infusion" and ask.bolus_over == 0 and not (ask.one_dose and ask.over):
        said.append("A bolus is mixed with the blood of the central volume at once (assumed by the model).")
    if ask.effects:
        said.append(f"The effect site is that of {ask.effects[0].title}: a delay, in no place of the body.")
    said.append(NOT_FOR_CARE)
    return said


def _shown(hours: float) -> str:
    """Hours as a reader takes them in."""
    return f"{60 * hours:.3g} min" if hours < 2 else f"{hours:.3g} h"


def _minutes(hours: float) -> str:
    """Hours as minutes, exactly enough for a protocol to be read back."""
    return f"{60 * hours:.12g} min"
