"""What is legal in a protocol and yet looks like a mistake: warnings of ``pkmodel check``, one function for each.

A warning is a :class:`Problem` with its place in the file; nothing is refused for it. The published ranges are those of
the studies named in each rule; a dose outside of them may well be meant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import groupby, pairwise

from pkmodel.errors import Problem
from pkmodel.specs.clinic_lint import lint_clinic
from pkmodel.specs.dose import is_rate, per_surface, per_weight
from pkmodel.specs.loading import Spec
from pkmodel.specs.planned import PlannedSession
from pkmodel.specs.protocol import ProtocolSpec
from pkmodel.specs.sessions import WEEK, Stretch
from pkmodel.units import Quantity, clock

#: Body weights (kg) between which a cap is tried: a light and a very heavy adult (assumed).
LIGHTEST, HEAVIEST = 40.0, 250.0
#: Durations (h) of infusions for depression that are described: 2 to 100 min (Andrade 2017).
INFUSION = (2.0 / 60.0, 100.0 / 60.0)
#: mg/kg of racemic ketamine in such an infusion: the lowest and the highest dose studied (Andrade 2017, Fava 2018).
STUDIED = (0.1, 1.0)
#: The largest bolus of racemic ketamine for anaesthesia, mg/kg (label).
ANAESTHESIA = 4.5
#: The largest session of esketamine nasal spray, mg (label).
NASAL = 84.0
#: The most sessions of a week in a course for depression (Murrough 2013, Singh 2016).
SESSIONS_A_WEEK = 3
SLACK = 1e-9


def lint(protocol: ProtocolSpec) -> list[Problem]:
    """What looks like a mistake in a protocol that is legal, in the order of the file."""
    found = [problem for rule in RULES for problem in rule(protocol)]
    found += lint_clinic(protocol.clinic, protocol.plan())
    order = {f"phases[{index}]": index for index in range(len(protocol.phases))}
    return sorted(found, key=lambda problem: order.get(problem.path.split(".")[0], -1))


def _phases(protocol: ProtocolSpec) -> Iterator[tuple[str, list[PlannedSession]]]:
    """Each phase's place and sessions."""
    for place, sessions in groupby(protocol.plan(), key=lambda planned: planned.place):
        yield place, list(sessions)


def _simple(planned: PlannedSession) -> bool:
    """Whether a session is one dose of mg or mg/kg, at once or as a rate, and the same for every band of patients.

    A bolus and an infusion together have ranges of their own.
    """
    (first, *rest) = planned.parts
    return not rest and not first.when and not per_surface(first.dose)


def _level(planned: PlannedSession) -> float:
    """The dose in mg or mg/kg; that of a rate over its time."""
    return planned.dose.value * (planned.over if is_rate(planned.dose) else 1.0)


def _least_mg(planned: PlannedSession) -> float:
    """The dose (mg) of an adult of 40 kg; of anyone, where it is in mg."""
    if not per_weight(planned.dose):
        return _level(planned)
    cap = planned.weight.cap.value if planned.weight.cap is not None else LIGHTEST
    return _level(planned) * min(LIGHTEST, cap)


def _most_mg(planned: PlannedSession) -> float:
    """The dose (mg) of the heaviest patient that the weight cap lets count; of anyone, where it is in mg."""
    if not per_weight(planned.dose):
        return _level(planned)
    caps = [planned.weight.cap, *(band.cap or planned.weight.cap for band in planned.weight.when)]
    return _level(planned) * max(cap.value if cap is not None else HEAVIEST for cap in caps)


def taper_that_rises(protocol: ProtocolSpec) -> list[Problem]:
    """A taper whose doses go up somewhere: ``escalate`` says that a rise is meant. (House rule, no source.)"""
    found = []
    for index, phase in enumerate(protocol.phases):
        if phase.taper is None:
            continue
        for before, dose in pairwise(phase.taper.doses()):
            if dose.value > before.value * (1 + SLACK):
                seen = f"a taper that rises from {before.text} to {dose.text}"
                found.append(
                    Problem(seen, "doses that fall; for a titration there is escalate", f"phases[{index}].taper")
                )
                break
    return found


def cap_that_always_bites(protocol: ProtocolSpec) -> list[Problem]:
    """A cap below every dose of a phase, already at 40 kg (assumed lightest adult): the dose is never given."""
    found = []
    for place, sessions in _phases(protocol):
        where = _limits_place(protocol, place)
        cap, per_kg = sessions[0].limits.max_single, sessions[0].limits.max_per_kg
        if not all(_simple(planned) for planned in sessions):
            continue
        if cap is not None and all(cap.value < _least_mg(planned) * (1 - SLACK) for planned in sessions):
            least = min(sessions, key=_least_mg)
            dose = least.label + (f" at 40 kg, {_least_mg(least):.4g} mg" if per_weight(least.dose) else "")
            seen = f"max_single {cap.text}, which caps every dose of the phase ({dose})"
            found.append(Problem(seen, "a cap that the least of its doses is not above", f"{where}.max_single"))
        if per_kg is not None and all(
            per_weight(planned.dose)
            and planned.weight.basis == "actual"
            and planned.weight.cap is None
            and not planned.weight.when
            and per_kg.value < _level(planned) * (1 - SLACK)
            for planned in sessions
        ):
            seen = f"max_per_kg {per_kg.text}, which caps every dose of the phase ({sessions[-1].label})"
            found.append(Problem(seen, "a cap that the least of its doses is not above", f"{where}.max_per_kg"))
    return found


def cap_that_never_can(protocol: ProtocolSpec) -> list[Problem]:
    """A cap above every dose that it holds for, also at the weight cap, or at 250 kg (assumed heaviest patient)."""
    if protocol.clinic is not None:  # doses that a clinic raises may come up to it
        return []
    held: dict[str, list[PlannedSession]] = {}
    for place, sessions in _phases(protocol):
        held.setdefault(_limits_place(protocol, place), []).extend(sessions)
    found = []
    for place, sessions in held.items():
        cap = sessions[0].limits.max_single
        if cap is None or not all(_simple(planned) for planned in sessions):
            continue
        most = max(sessions, key=_most_mg)
        if cap.value > _most_mg(most) * (1 + SLACK):
            heaviest = _most_mg(most) / _level(most)
            at = f" at {heaviest:g} kg, {_most_mg(most):.4g} mg" if per_weight(most.dose) else ""
            seen = f"max_single {cap.text}, which no dose comes up to ({most.label}{at})"
            found.append(Problem(seen, "a cap that the largest of its doses can exceed", f"{place}.max_single"))
    return found


def floor_that_always_lifts(protocol: ProtocolSpec) -> list[Problem]:
    """A floor above every dose of a phase, also at the weight cap or at 250 kg (assumed heaviest patient)."""
    found = []
    for place, sessions in _phases(protocol):
        floor = sessions[0].limits.min_single
        if floor is None or not all(_simple(planned) for planned in sessions):
            continue
        most = max(sessions, key=_most_mg)
        if floor.value > _most_mg(most) * (1 + SLACK):
            at = f" at {_most_mg(most) / _level(most):g} kg, {_most_mg(most):.4g} mg" if per_weight(most.dose) else ""
            seen = f"min_single {floor.text}, which lifts every dose of the phase ({most.label}{at})"
            where = f"{_limits_place(protocol, place)}.min_single"
            found.append(Problem(seen, "a floor that the largest of its doses is above", where))
    return found


def _limits_place(protocol: ProtocolSpec, place: str) -> str:
    """Where the limits of a phase are written: in the phase, or for the whole protocol."""
    phase = protocol.phases[int(place.removeprefix("phases[").removesuffix("]"))]
    return f"{place}.dose_limits" if phase.dose_limits is not None else "dose_limits"


def beyond_published_doses(protocol: ProtocolSpec) -> list[Problem]:
    """A dose outside of what was studied or is on a label.

    Racemic ketamine IV over 2 to 100 min: 0.1 to 1.0 mg/kg (effective 0.1 to 0.75 mg/kg: Andrade C. J Clin Psychiatry
    2017;78:e852; to 1.0 mg/kg studied: Fava M, et al. Mol Psychiatry 2020;25:1592). A bolus: up to 4.5 mg/kg (label of
    anaesthesia). Esketamine nasal spray: up to 84 mg a session (label). Fixed doses in mg count at any weight from 40
    to 120 kg; esketamine IV and infusions of hours have no range here.
    """
    found = []
    for place, sessions in _phases(protocol):
        wrong = [(planned, expected) for planned in sessions if (expected := _outside(planned))]
        if wrong:
            planned, expected = wrong[0]
            how = f" over {clock(planned.over)}" if planned.over and not is_rate(planned.dose) else ""
            more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
            found.append(Problem(f"{planned.label}{how} in session {planned.index}{more}", expected, place))
    return found


def _outside(planned: PlannedSession) -> str:
    """The published range that a session's dose is outside of, in words; nothing where it is inside."""
    if not _simple(planned):
        return ""
    dose, relative = _level(planned), per_weight(planned.dose)
    lowest, highest = (dose, dose) if relative else (dose / 120.0, dose / LIGHTEST)  # mg/kg, from heavy to light
    if planned.drug == "esketamine" and planned.route == "intranasal":
        least = dose * LIGHTEST if relative else dose
        return f"at most {NASAL:g} mg of nasal spray in a session (label)" if least > NASAL * (1 + SLACK) else ""
    if planned.drug != "ketamine" or planned.route != "iv":
        return ""
    if planned.over < INFUSION[0]:
        return f"a bolus of at most {ANAESTHESIA:g} mg/kg (label)" if lowest > ANAESTHESIA * (1 + SLACK) else ""
    if planned.over > INFUSION[1] * (1 + SLACK):
        return ""
    if lowest > STUDIED[1] * (1 + SLACK) or highest < STUDIED[0] * (1 - SLACK):
        return f"{STUDIED[0]:g} to {STUDIED[1]:g} mg/kg over 2 to 100 min, the range that was studied"
    return ""


def too_many_sessions_a_week(protocol: ProtocolSpec) -> list[Problem]:
    """More than three sessions in seven days of a course for depression.

    Three a week is the most that was studied: Murrough JW, et al. Biol Psychiatry 2013;74:250; Singh JB, et al. Am J
    Psychiatry 2016;173:816. A course for depression is taken to be one of infusions of 2 to 100 min of at most
    1.0 mg/kg, or of nasal doses (assumed).
    """
    course = [planned for planned in protocol.plan() if _for_depression(planned)]
    for first, last in zip(course, course[SESSIONS_A_WEEK:], strict=False):
        if last.start - first.start < WEEK * (1 - SLACK):
            seen = f"sessions {first.index} to {last.index} within 7 d"
            return [Problem(seen, f"at most {SESSIONS_A_WEEK} sessions a week, the most that was studied", last.place)]
    return []


def _for_depression(planned: PlannedSession) -> bool:
    if planned.route == "intranasal":
        return True
    if not _simple(planned):
        return False
    low = not per_weight(planned.dose) or _level(planned) <= STUDIED[1] * (1 + SLACK)
    return low and INFUSION[0] <= planned.over <= INFUSION[1] * (1 + SLACK)


def parts_of_a_day(protocol: ProtocolSpec) -> list[Problem]:
    """An interval such as 0.7 d, which is no quarter of a day and may be a slip for 7 d. (House rule, no source.)"""
    found = []
    for index, phase in enumerate(protocol.phases):
        for path, when in _intervals(phase, f"phases[{index}]"):
            if float(when.unit.factor) in (24.0, WEEK) and abs(when.value / 6.0 - round(when.value / 6.0)) > SLACK:
                tenfold = when.number * 10.0
                close = f"{tenfold:g} {when.unit.text}" if abs(tenfold - round(tenfold)) < SLACK else ""
                expected = f"whole or quarter days, or the hours that are meant ({when.value:.4g} h)"
                found.append(Problem(when.text, expected, path, nearest=close))
    return found


def _intervals(spec: Spec, path: str) -> Iterator[tuple[str, Quantity]]:
    """Every time between sessions of a phase, with its place in the file."""
    for name, info in type(spec).model_fields.items():
        value, here = getattr(spec, name), f"{path}.{info.alias or name}"
        if isinstance(value, Spec) and name in ("sessions", "taper", "escalate", "interval"):
            yield from _intervals(value, here)
        elif isinstance(value, Quantity) and (name in ("after", "every") or isinstance(spec, Stretch)):
            yield here, value
        elif name == "intervals":
            yield from ((f"{here}[{index}]", step) for index, step in enumerate(value or []))


RULES: tuple[Callable[[ProtocolSpec], list[Problem]], ...] = (
    taper_that_rises,
    cap_that_always_bites,
    cap_that_never_can,
    floor_that_always_lifts,
    beyond_published_doses,
    too_many_sessions_a_week,
    parts_of_a_day,
)
