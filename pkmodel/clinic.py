"""What a clinic decides on the day: a course realised session by session, check by check.

At a check the clinic sees the level or the effect of that moment, and acts then and there; what crosses a limit between
two checks is acted on at the next. Everybody goes from stop to stop, so a decision rests on what was there, and what
was given is written down in a :class:`pkmodel.ledger.Ledger`. Without rules the course is that of
:func:`pkmodel.schedule.build`, to the last bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pkmodel import dosing, schedule
from pkmodel.decisions import Decisions, at_next, change, step, stretch
from pkmodel.engine import AUTO, Numerics
from pkmodel.errors import InputError
from pkmodel.judge import Judge
from pkmodel.ledger import ENDED, GIVEN, MISSED, SKIPPED, Entry, Ledger
from pkmodel.measurement import Assay
from pkmodel.network import Network
from pkmodel.population import stream
from pkmodel.programme import Programme
from pkmodel.schedule import Schedule
from pkmodel.specs.adherence import Adherence
from pkmodel.specs.clinic import BeforeRule, Clinic
from pkmodel.specs.clinic_rules import model_problems
from pkmodel.specs.planned import PlannedSession
from pkmodel.specs.protocol import ProtocolSpec
from pkmodel.ward import Ward

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]


#: Hours within which a check at the end of an infusion is after it: sums of times differ in their last digit.
_TIE = 1e-9


@dataclass(frozen=True)
class Realised:
    """A course as it was given, and the ledger of how it came to that."""

    plan: Schedule
    ledger: Ledger


def realise(
    protocol: ProtocolSpec,
    nets: Sequence[Network],
    *,
    fraction_of_drug: float = 1.0,
    numerics: Numerics = AUTO,
    seed: int = 1,
    sprays: bool = True,
    keep: bool = False,
) -> Realised:
    """Carry out a protocol whose clinic decides on the day, or whose patients miss sessions or come late.

    Parameters
    ----------
    nets
        the network of every session (the same one where occasions do not differ).
    seed
        of the residual error of what is measured at checks, and of what sprays deliver (without ``sprays`` every one
        delivers what it should); missed and late sessions have a seed of their own.
    keep
        keep the states at every stop in the ledger.

    Raises
    ------
    InputError
        where a rule looks at what the model does not have, or a dose cannot be given.
    RunError
        where a solver gives up.
    """
    net, plan = nets[0], protocol.plan()
    clinic = protocol.clinic or Clinic()
    if wrong := model_problems(protocol.clinic, net.model):
        raise InputError([problem.at(where="protocol") for problem in wrong])
    size = net.size
    ward = Ward(nets, fraction_of_drug, numerics, net.initial.copy(), np.zeros(size), keep=keep)
    course = Decisions.begin(size)
    judge = Judge(net, Assay(net.model, seed, net.population.first, size))
    entries: list[Entry] = []
    before_it = schedule.before_all(plan, size)
    ended = np.full(size, -np.inf)
    for index, planned in enumerate(plan):
        if index and planned.phase != plan[index - 1].phase:
            course.lag = np.zeros(size, dtype=np.int64)
        nominal = planned.start + course.shift
        made_up = np.zeros(size, dtype=bool)
        missed, late = _adherence(protocol.adherence, index + 1, net.population.first, size)
        if protocol.adherence is not None:
            if protocol.adherence.after_late == "shift":
                course.shift = course.shift + late
            if protocol.adherence.after_missed.make_up is not None:
                late = np.where(missed, protocol.adherence.after_missed.make_up.value, late)
                missed, made_up = made_up, missed
        due = np.maximum(nominal + late, ended)
        before = max(index - 1, 0)
        ward.advance(np.ones(size, dtype=bool), due, before)
        status = np.where(course.alive, np.where(missed, MISSED, GIVEN), ENDED)
        start = _before(clinic.before_session, judge, ward, course, index, due, status)
        given = status == GIVEN
        if not index or nets[index] is not nets[before]:
            judge.net = nets[index]
        before_it = before_it.on(start) if before_it is not None else None
        session = dosing.resolve(
            planned,
            net.values,
            size,
            levels=course.levels(plan, index, net.values, clinic.ladder),
            before=before_it,
            seed=seed if sprays else None,
            first=net.population.first,
        )
        programme = Programme(schedule.on_route(session, net.model), start, given)
        ward.give(programme, index)
        begun = ward.state
        _during(clinic, judge, ward, course, index, programme, given)
        before_it = before_it.add(programme.labelled()) if before_it is not None else None
        entries.append(Entry(nominal, start, status, np.where(given, session.asked, 0.0), programme, late, made_up))
        ended = np.maximum(start, programme.end())
        if index + 1 < len(plan):
            gap = plan[index + 1].start - planned.start
            course.shift = course.shift + (course.interval(gap) - gap)
            if protocol.adherence is not None:
                _after_missed(protocol.adherence, course, missed, plan, index)
            _between(clinic, judge, ward, course, plan, index, given & course.alive, begun, start)
    sessions = tuple(entry.programme.as_given(entry.asked) for entry in entries)
    starts = np.stack([entry.start for entry in entries])
    if not np.ptp(starts, axis=1).any():
        starts = np.ascontiguousarray(starts[:, :1])
    plan_given = Schedule(sessions, ward.events(), starts)
    ledger = Ledger(
        net.population.first, size, tuple(entries), tuple(judge.checks), tuple(ward.stops), tuple(ward.states)
    )
    return Realised(plan_given, ledger)


def _adherence(adherence: Adherence | None, session: int, first: int, size: int) -> tuple[Flags, Floats]:
    """Who misses a session (n,), and by how much the others are late (n,), h."""
    missed, late = np.zeros(size, dtype=bool), np.zeros(size)
    if adherence is None:
        return missed, late
    if adherence.missed is not None:
        if adherence.missed.share is not None:
            draw = stream(adherence.seed, f"adherence/missed/{session}", first, size)
            missed = draw < adherence.missed.share.value
        else:
            missed[:] = session in (adherence.missed.listed or [])
    if adherence.late is not None:
        if adherence.late.share is not None and adherence.late.by is not None:
            low, high = (time.value for time in adherence.late.by)
            draw = stream(adherence.seed, f"adherence/late/{session}", first, size)
            by = low + (high - low) * stream(adherence.seed, f"adherence/late by/{session}", first, size)
            late = np.where(draw < adherence.late.share.value, by, 0.0)
        else:
            late[:] = sum(item.by.value for item in adherence.late.listed or [] if item.session == session)
    return missed, np.where(missed, 0.0, late)


def _after_missed(
    adherence: Adherence, course: Decisions, missed: Flags, plan: Sequence[PlannedSession], index: int
) -> None:
    if adherence.after_missed.do == "end_course":
        course.alive = course.alive & ~missed
    elif adherence.after_missed.do == "repeat" and plan[index + 1].phase == plan[index].phase:
        course.lag = np.where(missed & course.alive, course.lag + 1, course.lag)


def _before(
    rules: Sequence[BeforeRule], judge: Judge, ward: Ward, course: Decisions, index: int, due: Floats, status: Ints
) -> Floats:
    """Look at everybody who is due, until nobody is held any more; when each session begins (n,), h.

    ``status`` (n,) is changed where a session is skipped or the course ends.
    """
    waiting, time = status == GIVEN, due
    used = [np.zeros(due.size, dtype=np.int64) for _ in rules]
    number = 0
    while rules and waiting.any():
        number += 1
        if number > 1:
            ward.advance(waiting, time, max(index - 1, 0))

        def spent(place: int) -> Flags:
            """Who has been held, or put off, as often as may be."""
            return used[place] >= rules[place].then.at_most

        fired = judge.at_check(rules, "before", index + 1, number, ward, waiting, spent=spent)
        waiting = np.zeros(due.size, dtype=bool)
        for place, rule in enumerate(rules):
            whom, then = fired == place, rule.then
            what = then.do
            step = then.hold or then.delay
            if step is not None:
                again = whom & (used[place] < then.at_most)
                used[place] = used[place] + again
                time = np.where(again, time + step.value, time)
                if then.delay is not None:
                    course.shift = np.where(again, course.shift + step.value, course.shift)
                waiting |= again
                whom, what = whom & ~again, None if then.otherwise == "give" else then.otherwise
            if what is not None:
                status[whom] = SKIPPED
            if what == "end_course":
                course.alive = course.alive & ~whom
    return time


def _during(
    clinic: Clinic, judge: Judge, ward: Ward, course: Decisions, index: int, programme: Programme, given: Flags
) -> None:
    """Look at everybody who gets something, check after check, and act."""
    checks = clinic.during_session
    if checks is None:
        return
    used = [np.zeros(given.size, dtype=np.int64) for _ in checks.rules]
    number = 0
    while True:
        number += 1
        now = programme.start + number * checks.every.value
        active = given & (programme.end() > now + _TIE)
        if not active.any():
            return
        ward.advance(active, now, index)

        def spent(place: int) -> Flags:
            """Who has been paused as often as may be."""
            return (checks.rules[place].then.pause is not None) & (used[place] >= checks.rules[place].then.at_most)

        def can(place: int, active: Flags = active, now: Floats = now) -> Flags:
            """A pump that stands still is not paused once more; a pause that is spent leaves it to the other rules."""
            then = checks.rules[place].then
            if then.pause is None:
                return active
            return active & programme.running(now) & (~spent(place) | (then.otherwise == "stop"))

        fired = judge.at_check(checks.rules, "during", index + 1, number, ward, active, can, spent)
        for place, rule in enumerate(checks.rules):
            whom, then = fired == place, rule.then
            if not whom.any():
                continue
            if then.rate is not None:
                programme.set_rate(whom, now, then.rate.value)
                continue
            stop = whom
            if then.pause is not None:
                again = whom & (used[place] < then.at_most)
                used[place] = used[place] + again
                programme.pause(again, now, then.pause.value)
                stop = whom & ~again
            programme.stop(stop, now)
            if then.do == "end_course":
                course.alive = course.alive & ~whom


def _between(
    clinic: Clinic,
    judge: Judge,
    ward: Ward,
    course: Decisions,
    plan: Sequence[PlannedSession],
    index: int,
    whom: Flags,
    begun: Floats,
    start: Floats,
) -> None:
    """Look back at the session of those who had one, and decide on the next ones."""
    rules = clinic.between_sessions
    if not rules or not whom.any():
        return
    following = plan[index + 1]
    end = np.maximum(following.start + course.shift, start)
    fired = judge.after_session(rules, index + 1, ward, whom, begun, start, end)
    same_phase = following.phase == plan[index].phase
    for place, rule in enumerate(rules):
        acted, then = fired == place, rule.then
        if not acted.any():
            continue
        if then.do == "end_course":
            course.alive = course.alive & ~acted
        elif then.do == "repeat":
            course.lag = np.where(acted, course.lag + 1, course.lag) if same_phase else course.lag
        elif then.interval is not None:
            stretch(then, course, following.start - plan[index].start, acted)
        elif then.step is not None:
            assert clinic.ladder is not None
            planned = at_next(course, same_phase).planned(plan, index + 1, judge.net.values)[0]
            step(1 if then.step == "up" else -1, course, planned, clinic.ladder, acted)
        else:
            level = at_next(course, same_phase).levels(plan, index + 1, judge.net.values, clinic.ladder)[0]
            change(then, course, level, acted)
