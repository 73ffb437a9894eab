"""What the rules of a clinic must agree on with the course they belong to, and with a model."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from pkmodel.errors import InputError, Problem
from pkmodel.specs.adherence import Adherence
from pkmodel.specs.clinic import BetweenRule, Clinic, Condition
from pkmodel.specs.metric import METRICS
from pkmodel.specs.model import ModelSpec
from pkmodel.specs.planned import PlannedSession
from pkmodel.specs.rule_checks import refusal, unit_problems


def clinic_problems(
    clinic: Clinic | None, adherence: Adherence | None, plan: Sequence[PlannedSession]
) -> list[Problem]:
    """What cannot be carried out of a clinic's rules, or of missed and late sessions, in a course."""
    problems: list[Problem] = []
    if clinic is not None:
        problems += _during(clinic, plan)
        for index, rule in enumerate(clinic.between_sessions):
            problems += _between(rule, f"clinic.between_sessions[{index}].then", plan)
        problems += _ladder(clinic, plan)
    if adherence is not None:
        for path, number in adherence.named():
            if number > len(plan):
                problems.append(Problem(f"session {number}", f"a session from 1 to {len(plan)}", f"adherence.{path}"))
        shortest = min((later.start - earlier.end for earlier, later in pairwise(plan)), default=float("inf"))
        for path, time in adherence.put_off():
            if time >= shortest:
                expected = f"a time below the shortest gap between sessions ({shortest:g} h), or after_late: shift"
                problems.append(Problem(f"{time:g} h", expected, f"adherence.{path}"))
    return problems


def _during(clinic: Clinic, plan: Sequence[PlannedSession]) -> list[Problem]:
    problems = []
    for index, rule in enumerate(clinic.during_session.rules if clinic.during_session else []):
        path = f"clinic.during_session.rules[{index}].then"
        devices = next((planned for planned in plan if planned.device or planned.atomiser), None)
        if rule.then.rate is not None and devices is not None:
            found = f"rate {rule.then.rate.text} in a course with devices or sprays ({devices.phase})"
            problems.append(Problem(found, "stop or {pause: 10 min}: a device has no rate", path=f"{path}.rate"))
    return problems


def _between(rule: BetweenRule, path: str, plan: Sequence[PlannedSession]) -> list[Problem]:
    change = rule.then.dose
    if change is None:
        return []
    problems = []
    dimensions = None if change.quantity is None else change.quantity.unit.dimensions
    for bound in (rule.then.up_to, rule.then.down_to):
        if bound is not None and dimensions is None:
            dimensions = bound.unit.dimensions
    for planned in plan:
        if dimensions is not None and len(planned.parts) > 1:
            found = f"{change.text} in {planned.phase}, a session of {len(planned.parts)} parts"
            return [Problem(found, "a change in percent, which all parts follow", path=f"{path}.dose")]
        if dimensions is not None and planned.dose.unit.dimensions != dimensions:
            expected = f"a change in the unit of {planned.dose.text}, the dose of {planned.phase}, or in percent"
            return [Problem(change.text, expected, path=f"{path}.dose")]
        if planned.device is not None and planned.limits.round_to is None:
            strength = planned.device.strength.text
            whole = change.quantity is not None and (
                abs(change.quantity.value / planned.device.strength.value % 1.0) < 1e-9
            )
            if not whole:
                expected = f"dose_limits with round_to: {strength}, or ladder and step: devices are given whole"
                problems.append(Problem(f"{change.text} of devices of {strength}", expected, path=f"{path}.dose"))
                break
    return problems


def _ladder(clinic: Clinic, plan: Sequence[PlannedSession]) -> list[Problem]:
    if clinic.ladder is None:
        return []
    rungs = [rung.value for rung in clinic.ladder]
    for planned in plan:
        expected = "one of the planned doses of the course on every rung, so that a step has a place to start from"
        if len(planned.parts) > 1:
            return [Problem(f"{planned.phase}, of {len(planned.parts)} parts", expected, path="clinic.ladder")]
        for dose in (planned.dose, *(band.dose for band in planned.parts[0].when)):
            same = dose.unit.dimensions == clinic.ladder[0].unit.dimensions
            if not same or not any(abs(rung - dose.value) <= 1e-9 * rung for rung in rungs):
                listed = ", ".join(rung.text for rung in clinic.ladder)
                found = f"{dose.text} in {planned.phase}, which is none of {listed}"
                return [Problem(found, "a ladder that has every planned dose", path="clinic.ladder")]
    return []


def model_problems(clinic: Clinic | None, model: ModelSpec) -> list[Problem]:
    """What does not fit between the rules of a clinic and a model; paths are those of the protocol."""
    problems: list[Problem] = []
    for path, rule in clinic.rules() if clinic is not None else ():
        for place, leaf in rule.condition.leaves(f"clinic.{path}.if"):
            problems += [problem.at(path=f"{place}.{problem.path}") for problem in _sign_problems(leaf, model)]
    return problems


def _sign_problems(sign: Condition, model: ModelSpec) -> list[Problem]:
    assert sign.output is not None
    try:
        name = model.observable(sign.output)
    except InputError as error:
        return list(error.problems)
    if sign.measured and name in model.effects:
        return [Problem(f"measured {name}", "a level: an effect has no residual error", path="measured")]
    if sign.measured and name not in model.residual:
        return [Problem(f"measured {name}", f"an output of {model.id} with a residual error", path="measured")]
    if sign.metric is not None and (refused := refusal(model, name, sign.metric)) is not None:
        return [refused]
    kind = "concentration" if sign.metric is None else METRICS[sign.metric]
    problems = unit_problems(model, name, kind, sign.limit, sign.side)
    if sign.threshold is not None:
        problems += unit_problems(model, name, "concentration", sign.threshold, "threshold")
    return problems
