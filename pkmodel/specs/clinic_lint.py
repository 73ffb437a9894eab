"""Rules of a clinic that can never act: legal, and yet a mistake; part of the warnings of ``pkmodel check``.

Each rule here follows from how a clinic is carried out (:mod:`pkmodel.clinic`) and needs no model: the first rule that
holds acts, checks are made while drug is given, and what happens between sessions concerns the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from pkmodel.errors import Problem
from pkmodel.specs.clinic import BeforeAction, BetweenAction, Clinic, ClinicRule, Condition, DuringAction
from pkmodel.specs.metric import METRICS, is_level
from pkmodel.specs.planned import PlannedSession
from pkmodel.units import clock

SLACK = 1e-9
Plan = Sequence[PlannedSession]
#: What a sign looks at: two signs of one key are of one number.
Key = tuple[str | None, str | None, float | None, bool]


def lint_clinic(clinic: Clinic | None, plan: Plan) -> list[Problem]:
    """The rules of a clinic that can never act in a course, each with its place in the protocol."""
    return [] if clinic is None else [problem for rule in RULES for problem in rule(clinic, plan)]


def _key(sign: Condition) -> Key:
    threshold = None if sign.threshold is None else sign.threshold.value
    return sign.output, sign.metric, threshold, sign.measured


def _lists(clinic: Clinic) -> Iterator[list[tuple[str, ClinicRule]]]:
    """The rules that are tried one after the other, with their places."""
    named: dict[str, list[tuple[str, ClinicRule]]] = {}
    for path, rule in clinic.rules():
        named.setdefault(path.partition("[")[0], []).append((f"clinic.{path}", rule))
    yield from named.values()


def checks_that_never_come(clinic: Clinic, plan: Plan) -> list[Problem]:
    """Checks further apart than the longest session is long: there is none while drug is given."""
    during = clinic.during_session
    if during is None or not during.rules or any(planned.pump is not None for planned in plan):
        return []  # a pump that is at its limit takes longer than planned
    longest = max(planned.end - planned.start for planned in plan)
    if during.every.value < longest * (1 - SLACK):
        return []
    seen = f"a check every {during.every.text} in sessions of at most {clock(longest)}"
    return [Problem(seen, "a check before the last of the dose is given", "clinic.during_session.every")]


def nothing_comes_after(clinic: Clinic, plan: Plan) -> list[Problem]:
    """Rules between sessions in a course of one, and steps to repeat where every phase has one session."""
    if not clinic.between_sessions:
        return []
    if len(plan) == 1:
        return [Problem("a rule between sessions in a course of one", "several sessions", "clinic.between_sessions[0]")]
    phases = [planned.place for planned in plan]
    if len(set(phases)) < len(phases):
        return []
    return [
        Problem("repeat in phases of one session", "a phase of several sessions", f"clinic.between_sessions[{index}]")
        for index, rule in enumerate(clinic.between_sessions)
        if rule.then.do == "repeat"
    ]


def conditions_that_cannot_hold(clinic: Clinic, plan: Plan) -> list[Problem]:
    """A level, or a time, below 0; one number above a limit and below a lower one."""
    found = []
    for path, rule in clinic.rules():
        where = f"clinic.{path}.if"
        for place, sign in rule.condition.leaves(where):
            counted = is_level(str(sign.output)) or (sign.metric is not None and METRICS[sign.metric] == "time")
            if counted and sign.side == "below" and sign.limit.value <= 0.0:
                found.append(Problem(str(sign), "a limit above 0, which something can be below", place))
        bounds: dict[Key, tuple[float, float]] = {}
        for part in rule.condition.all or ():
            if part.output is None:
                continue
            low, high = bounds.get(_key(part), (-float("inf"), float("inf")))
            low, high = (
                (max(low, part.limit.value), high) if part.side == "above" else (low, min(high, part.limit.value))
            )
            bounds[_key(part)] = low, high
        if any(low >= high for low, high in bounds.values()):
            found.append(Problem(str(rule.condition), "limits that one number can be between", where))
    return found


def rules_in_the_shade(clinic: Clinic, plan: Plan) -> list[Problem]:
    """A rule whose every case is taken by one before it: the first rule that holds is the one that acts."""
    found = []
    for rules in _lists(clinic):
        for index, (path, rule) in enumerate(rules):
            for _, earlier in rules[:index]:
                if _always_acts(earlier.then) and _implies(rule.condition, earlier.condition):
                    seen = f"{rule.condition}, after {earlier.condition}, which holds whenever this does"
                    found.append(Problem(seen, "the narrower rule first", f"{path}.if"))
                    break
    return found


def _always_acts(then: object) -> bool:
    """Whether nothing of an action is left to the rules after it, however often it was done before."""
    match then:
        case BeforeAction():
            return then.do is not None
        case DuringAction():
            return then.pause is None
    return True


def _implies(narrow: Condition, wide: Condition) -> bool:
    """Whether one sign beyond a limit is beyond another one too."""
    if narrow.output is None or wide.output is None or _key(narrow) != _key(wide) or narrow.side != wide.side:
        return False
    above = narrow.side == "above"
    return narrow.limit.value >= wide.limit.value if above else narrow.limit.value <= wide.limit.value


def changes_at_their_bound(clinic: Clinic, plan: Plan) -> list[Problem]:
    """A rise (fall) of doses that are all at its bound already, where no other rule lowers (raises) them."""
    if any(len(planned.parts) > 1 or planned.parts[0].when for planned in plan):
        return []
    doses = [planned.dose.value for planned in plan[1:]]
    actions = [rule.then for rule in clinic.between_sessions]
    found = []
    for index, then in enumerate(actions):
        way = _way(then)
        if not way or any(_way(other) in (-way, None) for other in actions):
            continue
        bound = then.up_to if way == 1 else then.down_to
        limit = None if bound is None else bound.value
        if then.step is not None and clinic.ladder is not None:
            limit = clinic.ladder[-1 if way == 1 else 0].value
        if limit is None or not doses:
            continue
        if all(way * (dose - limit) >= -SLACK * limit for dose in doses):
            seen = f"{then} where every dose is there already"
            found.append(Problem(seen, "a bound that leaves room", f"clinic.between_sessions[{index}].then"))
    return found


def _way(then: BetweenAction) -> int | None:
    """Whether doses rise (1) or fall (-1); 0 where they stay, None where they are set or steps are taken again."""
    if then.step is not None:
        return 1 if then.step == "up" else -1
    if then.do == "repeat":
        return None
    if then.dose is None:
        return 0
    if then.dose.set_to:
        return None
    return 1 if then.dose.factor > 1 or then.dose.added > 0 else -1


RULES: tuple[Callable[[Clinic, Plan], list[Problem]], ...] = (
    checks_that_never_come,
    nothing_comes_after,
    conditions_that_cannot_hold,
    rules_in_the_shade,
    changes_at_their_bound,
)
