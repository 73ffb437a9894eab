"""The dose or infusion that reaches a target level and holds it, in plasma or at an effect site, within pump limits.

Rates are found by superposition of unit responses of the engine (:mod:`pkmodel.steering`), rounded to what the pump can
be set to, written as a protocol, and that protocol is then simulated like any other: what is reported is what comes
out of it. For one patient with typical parameters; nobody's blood is measured. Not for patient care.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import yaml
from numpy.typing import NDArray

from pkmodel import steering, units
from pkmodel.disclaimer import NOT_FOR_CARE
from pkmodel.errors import InputError, Problem, one_of, shown
from pkmodel.population import Patient
from pkmodel.simulation import Result, simulate
from pkmodel.specs.attach import attach
from pkmodel.specs.effect_file import EffectFile
from pkmodel.specs.library import load_effect, load_model, load_protocol
from pkmodel.specs.model import ModelSpec
from pkmodel.steering import FINE, Given, Limits, Plateau, Responses

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
Site = Literal["plasma", "effect"]
Form = Literal["bolus", "bolus+infusion", "infusion"]
FORMS: tuple[Form, ...] = ("bolus", "bolus+infusion", "infusion")

#: Parts that a session of a protocol may have.
MOST_PARTS = 100
#: Steps of the pump that a course may have.
MOST_STEPS = 6000


@dataclass(frozen=True, kw_only=True)
class Pump:
    """What the pump and the syringe can do; rates in mL/h or mg/h, boluses in mL or mg.

    A rate is set in steps of ``rate_step`` from ``min_rate`` to ``max_rate``; a bolus is drawn up in steps of
    ``bolus_step``, at most ``max_bolus``, and given over ``bolus_over`` (at once where it is None). The values that
    stand here are assumed; they are no particular pump's.
    """

    concentration: str = "10 mg/mL"
    max_rate: str = "1200 mL/h"
    min_rate: str = "0.1 mL/h"
    rate_step: str = "0.1 mL/h"
    max_bolus: str | None = None
    bolus_step: str = "0.1 mg"
    bolus_over: str | None = None

    def limits(self) -> Limits:
        """The limits in mg/h and mg. Raises InputError where they contradict one another."""
        made = Limits(
            max_rate=self._rate("max_rate"),
            min_rate=self._rate("min_rate"),
            rate_step=self._rate("rate_step"),
            max_bolus=math.inf if self.max_bolus is None else self._mass("max_bolus"),
            bolus_step=self._mass("bolus_step"),
        )
        if made.rate_step > made.max_rate:
            raise InputError(Problem(self.rate_step, f"a step of at most {self.max_rate}", "pump.rate_step"))
        if made.min_rate > made.max_rate:
            raise InputError(Problem(self.min_rate, f"a rate of at most {self.max_rate}", "pump.min_rate"))
        if made.bolus_step > made.max_bolus:
            raise InputError(Problem(self.bolus_step, f"a step of at most {self.max_bolus}", "pump.bolus_step"))
        return made

    def _rate(self, name: str) -> float:
        return self._amount(name, "mg/h", "mL/h", 'a rate such as "60 mL/h" or "600 mg/h"')

    def _mass(self, name: str) -> float:
        return self._amount(name, "mg", "mL", 'an amount such as "20 mg" or "2 mL"')

    def _amount(self, name: str, mass: str, volume: str, expected: str) -> float:
        text = getattr(self, name)
        path = f"pump.{name}"
        try:
            quantity = units.parse(text)
        except InputError as error:
            (problem,) = error.problems
            raise InputError(Problem(problem.found, expected, path, nearest=problem.nearest)) from None
        value = quantity.value
        if quantity.unit.dimensions == units.parse_unit(volume).dimensions:
            value *= _quantity(self.concentration, "concentration", "pump.concentration")
        elif quantity.unit.dimensions != units.parse_unit(mass).dimensions:
            raise InputError(Problem(shown(text), expected, path))
        if not value > 0:
            raise InputError(Problem(shown(text), f"{expected}, above 0", path))
        return value

    @property
    def assumed(self) -> list[str]:
        """The limits that were not stated, by name and value."""
        default = Pump()
        names = ("concentration", "max_rate", "min_rate", "rate_step", "bolus_step")
        return [f"{name} {getattr(self, name)}" for name in names if getattr(self, name) == getattr(default, name)]


@dataclass(frozen=True)
class Row:
    """A line of the nurse's table: from ``time`` h on, ``dose`` mg over ``over`` h (0: at once), so ``rate`` mg/h.

    ``rate`` is None for what is given at once; a pause has a dose and a rate of 0.
    """

    time: float
    dose: float
    over: float
    rate: float | None
    volume_rate: float | None


@dataclass(frozen=True)
class Achieved:
    """What comes of a target: times in h, deviations in % of it, all of the simulated protocol.

    ``reached`` is when the level is first within the tolerance, counted from when the target is set; ``above`` and
    ``below`` are the largest deviations from then on, ``rms`` their root mean square, ``outside`` the time not within.
    """

    level: float
    start: float
    end: float
    reached: float
    above: float
    below: float
    rms: float
    outside: float


@dataclass(frozen=True)
class Suggestion:
    """A course that reaches the target, as a protocol that ``simulate`` takes, and what it achieves.

    ``unit`` is that of levels; ``aim`` is the observable of ``result`` that the target is stated for.
    """

    protocol: str
    result: Result
    aim: str
    unit: str
    rows: tuple[Row, ...]
    achieved: tuple[Achieved, ...]
    total: float
    peak: float
    sentences: tuple[str, ...]
    assumptions: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def time(self) -> Floats:
        """(t,) h."""
        return self.result.time

    @property
    def level(self) -> Floats:
        """(t,) what the target is stated for, in ``unit``."""
        found: Floats = self.result.level(self.aim)[0]
        return found

    def to_pandas(self) -> pd.DataFrame:
        """The rows: time_min, dose_mg, over_min, rate_mg_per_h, rate_mL_per_h (NaN for what is given at once)."""
        import pandas as pd

        return pd.DataFrame(
            {
                "time_min": [60 * row.time for row in self.rows],
                "dose_mg": [row.dose for row in self.rows],
                "over_min": [60 * row.over for row in self.rows],
                "rate_mg_per_h": [np.nan if row.rate is None else row.rate for row in self.rows],
                "rate_mL_per_h": [np.nan if row.volume_rate is None else row.volume_rate for row in self.rows],
            }
        )


Target = str | Sequence[tuple[str, str]]


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
    ask = _Asked(model, patient, target, site, effect, output, form, over, until, step, pump, tolerance)
    return ask.single() if ask.one_dose else ask.held()


class _Asked:
    """A question, checked; and the way from it to the answer."""

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
        self.step = _quantity(step, "time", "step")
        self.until = _quantity(until, "time", "until")
        self.over = None if over is None else _quantity(over, "time", "over")
        if over is not None and form == "bolus+infusion":
            raise InputError(Problem("over with form bolus+infusion", "form bolus or infusion", "over"))
        bolus_over = self.pump.bolus_over
        self.bolus_over = 0.0 if bolus_over is None else _quantity(bolus_over, "time", "pump.bolus_over")
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
            at = _quantity(time, "time", f"{path}.time", zero=True) / self.step
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

    # One dose, scaled: in a linear model the peak is so many times the dose.

    def single(self) -> Suggestion:
        """The dose whose exact peak is the target."""
        (plateau,) = self.targets
        assert self.over is not None
        trial = 100.0
        unit = self._exact_peak(self._write([(trial, self.over)])) / trial
        dose = plateau.level / unit
        if self.over and self.form == "infusion":
            rate = steering._allowed(dose / self.over, dose / self.over * 2, self.limits)
            too_much = dose / self.over > self.limits.max_rate * (1 + 1e-9)
            most = unit * self.limits.max_rate * self.over
            dose = rate * self.over
        else:
            too_much, most = dose > self.limits.max_bolus, unit * self.limits.max_bolus
            dose = round(dose / self.limits.bolus_step) * self.limits.bolus_step
        if too_much:
            raise InputError(Problem(self._said(plateau.level), f"at most {self._said(most)} with this pump", "target"))
        if dose <= 0:
            raise InputError(Problem(self._said(plateau.level), "a level that one step of the pump reaches", "target"))
        return self._answer([(float(f"{dose:.12g}"), self.over)], hold=False)

    def _exact_peak(self, text: str) -> float:
        result = self._simulate(text)
        table = result.sessions()
        return float(table[table["output"] == self.aim]["peak"].iloc[0])

    # Rates, chosen one after the other.

    def held(self) -> Suggestion:
        """Rates (and boluses) that reach every target in turn and hold it."""
        course = steering.plan(
            self._responses(), self.targets, self.limits, self.tolerance, boluses=self.form == "bolus+infusion"
        )
        pieces: list[tuple[float, float]] = []
        for given in course.given:
            over = given.steps * self.step
            pieces.append((given.amount if given.bolus else given.amount * over, over))
        while pieces and pieces[-1][0] == 0:
            pieces.pop()
        if not pieces or pieces[0][0] == 0:
            lowest = f"a level that the pump's lowest rate, {self.limits.min_rate:g} mg/h, and its steps can make"
            raise InputError(Problem(self._said(self.targets[0].level), lowest, "target"))
        if len(pieces) > MOST_PARTS:
            expected = f"at most {MOST_PARTS}: a wider tolerance, longer steps, or a shorter time"
            raise InputError(Problem(f"{len(pieces)} changes of the rate", expected, "tolerance"))
        return self._answer(pieces, hold=True, given=course.given)

    def _responses(self) -> Responses:
        """Unit responses of plasma and site on the grid, from the engine."""
        count = self.targets[-1].last
        bolus_steps = self.bolus_over / self.step
        if abs(bolus_steps - round(bolus_steps)) > 1e-6:
            raise InputError(Problem(f"{bolus_steps:.6g} steps", "a whole number of steps", "pump.bolus_over"))
        # After the end the site may still rise: look as far again, and at least an hour, ahead.
        span = 2 * count * self.step + 1.0
        size = math.ceil(span / self.step) * FINE
        forever = self._simulate(self._write([(100.0 * 2 * span, 2 * span)]), until=span)
        at_once = self._simulate(self._write([(100.0, self.bolus_over)]), until=span)

        def of(result: Result, names: Mapping[str, float]) -> Floats:
            levels = sum(weight * result.level(name)[0][:size] for name, weight in names.items())
            found: Floats = np.maximum(levels / 100.0, 0.0)
            return found

        sited = {self.aim: 1.0} if self.effects else {}
        return Responses(
            of(forever, self.drives),
            of(at_once, self.drives),
            of(forever, sited) if sited else None,
            of(at_once, sited) if sited else None,
            round(bolus_steps),
        )

    # The protocol and what it does.

    def _write(self, pieces: Sequence[tuple[float, float]], title: str = "A suggested course") -> str:
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
            "drug": self.model.drug,
            "source": {
                "citation": f"Computed by pkmodel for one patient on {self.model.id}",
                "evidence": "derived",
            },
            "route": "iv",
            "phases": [{"name": "suggested", "parts": parts, "sessions": {"days": [1]}}],
            "notes": [NOT_FOR_CARE],
        }
        return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, width=110)

    def _simulate(self, text: str, until: float | None = None) -> Result:
        return simulate(
            load_protocol(yaml.safe_load(text)),
            self.model,
            self.patient,
            until=f"{self.until if until is None else until!r} h",
            every=f"{self.step / FINE!r} h",
            effects=self.effects,
        )

    def _said(self, level: float) -> str:
        return f"{level:.4g} {self.unit}"

    def _answer(self, pieces: list[tuple[float, float]], *, hold: bool, given: Sequence[Given] = ()) -> Suggestion:
        where = "at the effect site" if self.effects else "in plasma"
        wanted = ", then ".join(self._said(plateau.level) for plateau in self.targets)
        text = self._write(pieces, f"{self.model.drug} IV for {wanted} {where} (suggested)")
        result = self._simulate(text)
        level = result.level(self.aim)[0]
        peak = self._exact_peak(text)
        achieved = tuple(self._achieved(result.time, level, plateau) for plateau in self.targets) if hold else ()
        rows, clock = [], 0.0
        per_volume = _quantity(self.pump.concentration, "concentration", "pump.concentration")
        for dose, over in pieces:
            rate = dose / over if over else None
            rows.append(Row(clock, dose, over, rate, None if rate is None else 1000 * rate / per_volume))
            clock += over
        total = sum(dose for dose, _ in pieces)
        return Suggestion(
            protocol=text,
            result=result,
            aim=self.aim,
            unit=self.unit,
            rows=tuple(rows),
            achieved=achieved,
            total=total,
            peak=peak,
            sentences=tuple(self._sentences(rows, achieved, total, peak, where)),
            assumptions=tuple(self._assumptions()),
            warnings=tuple(result.warnings),
        )

    def _achieved(self, time: Floats, level: Floats, plateau: Plateau) -> Achieved:
        """What became of a target. Raises InputError where it was never reached."""
        first, last = plateau.first * FINE, plateau.last * FINE
        part, start = level[first : last + 1], float(time[first])
        end = float(time[min(last, time.size - 1)])
        if plateau.level <= 0:
            return Achieved(0.0, start, end, 0.0, 0.0, 0.0, 0.0, 0.0)
        off = part / plateau.level - 1
        inside = np.abs(off) <= self.tolerance * (1 + 1e-6)
        if not inside.any():
            falling = part[0] > plateau.level
            best = self._said(float(part.min() if falling else part.max()))
            how = "with the pump off it falls to" if falling else "this pump reaches at most"
            expected = f"what can be had by {60 * end:.4g} min: {how} {best}"
            if falling and abs(off).min() < 0.5 and not (off > 0).all():
                expected = "steps of the pump, or of time, fine enough to come within the tolerance"
            raise InputError(Problem(f"{self._said(plateau.level)} from {60 * start:.4g} min on", expected, "target"))
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
        self, rows: Sequence[Row], achieved: Sequence[Achieved], total: float, peak: float, where: str
    ) -> list[str]:
        said = []
        if not achieved:
            (row,) = rows
            how = "at once" if row.over == 0 else f"over {_shown(row.over)} ({row.rate:.4g} mg/h)"
            said.append(
                f"{row.dose:.4g} mg {how}: the peak {where} is {self._said(peak)} for a target of "
                f"{self._said(self.targets[0].level)} ({100 * (peak / self.targets[0].level - 1):+.2g} %, rounding)."
            )
            return said
        boluses = [row for row in rows if row.rate is None]
        changes = sum(1 for row in rows if row.rate is not None)
        given = " and ".join(f"{row.dose:.4g} mg at {_shown(row.time)}" for row in boluses)
        said.append(
            (f"At once: {given}; " if given else "") + f"{changes} settings of the pump; {total:.4g} mg in all."
        )
        for item in achieved:
            if item.level <= 0:
                said.append(f"From {_shown(item.start)} on the pump is off.")
                continue
            said.append(
                f"{self._said(item.level)} {where} from {_shown(item.start)}: within {100 * self.tolerance:g} % after "
                f"{_shown(item.reached)}; then at most {item.above:.1f} % above and {item.below:.1f} % below"
                + (f", outside for {_shown(item.outside)}." if item.outside > 1e-9 else ".")
            )
        return said

    def _assumptions(self) -> list[str]:
        said = [
            f"One patient with the typical parameters of {self.model.id} (evidence: {self.model.evidence}): real "
            "people differ, and other models would ask for other rates.",
        ]
        if self.pump.assumed:
            said.append(f"Assumed of the pump: {', '.join(self.pump.assumed)}.")
        if self.form != "infusion" and self.bolus_over == 0 and not (self.one_dose and self.over):
            said.append("A bolus is mixed with the blood of the central volume at once (assumed by the model).")
        if self.effects:
            said.append(f"The effect site is that of {self.effects[0].title}: a delay, in no place of the body.")
        said.append(NOT_FOR_CARE)
        return said


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


def _quantity(text: object, kind: str, path: str, *, zero: bool = False) -> float:
    try:
        value = units.as_kind(text, kind).value
    except InputError as error:
        raise InputError([problem.at(path=path) for problem in error.problems]) from None
    if value < 0 or (value == 0 and not zero):
        expected = f"{units.KINDS[kind][1]}, {'at least' if zero else 'above'} 0"
        raise InputError(Problem(shown(text), expected, path))
    return value


def _level(text: object, path: str) -> float:
    """A level in mg/L, 0 among them."""
    return _quantity(text, "concentration", path, zero=True)


def _tolerance(value: object) -> float:
    expected = 'a share such as "5 %", from 0.1 % to 50 %'
    try:
        share = units.as_kind(value, "number").value
    except InputError:
        raise InputError(Problem(shown(value), expected, "tolerance")) from None
    if not 0.001 <= share <= 0.5:
        raise InputError(Problem(shown(value), expected, "tolerance"))
    return share


def _shown(hours: float) -> str:
    """Hours as a reader takes them in."""
    return f"{60 * hours:.3g} min" if hours < 2 else f"{hours:.3g} h"


def _minutes(hours: float) -> str:
    """Hours as minutes, exactly enough for a protocol to be read back."""
    return f"{60 * hours:.12g} min"
