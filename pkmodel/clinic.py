"""What a clinic decides on the day: a course realised session by session, check by check.

At a check the clinic sees the level or the effect of that moment, and acts then and there; what crosses a limit between
two checks is acted on at the next. Everybody goes from stop to stop, so a decision rests on what was there, and what
was given is written down in a :class:`pkmodel.ledger.Ledger`. Without rules the course is that of
:func:`pkmodel.schedule.build`, to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from pkmodel import dosing, metrics, schedule
from pkmodel.core.kinds import Events
from pkmodel.engine import AUTO, Numerics
from pkmodel.errors import InputError
from pkmodel.exact_figures import session_figures
from pkmodel.ledger import ENDED, GIVEN, MISSED, SKIPPED, Check, Entry, Ledger, Sign, Stage
from pkmodel.measurement import Assay
from pkmodel.metrics import Request, Span
from pkmodel.network import Network
from pkmodel.occasions import first_dose_of, states_at, within
from pkmodel.population import stream
from pkmodel.programme import Programme
from pkmodel.schedule import Delivery, EventList, Schedule
from pkmodel.specs.adherence import Adherence
from pkmodel.specs.clinic import BeforeRule, BetweenAction, BetweenRule, Clinic, ClinicRule, Condition
from pkmodel.specs.clinic_rules import model_problems
from pkmodel.specs.planned import PlannedSession
from pkmodel.specs.protocol import ProtocolSpec
from pkmodel.specs.scenario import METRICS
from pkmodel.units import Quantity

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass
class Ward:
    """Where the patients of a block are: ``state`` (n, s) at ``now`` (n,) h, with all that was given so far."""

    nets: Sequence[Network]
    fraction: float
    numerics: Numerics
    state: Floats
    now: Floats
    ports: dict[int, int] = field(default_factory=dict)
    keep: bool = False
    stops: list[tuple[Flags, Floats, int]] = field(default_factory=list)
    states: list[Floats] = field(default_factory=list)
    _deliveries: list[tuple[float, Delivery]] = field(default_factory=list)
    _current: tuple[Programme, Network] | None = None

    def give(self, programme: Programme, session: int) -> None:
        """Begin with the runs of a session (from 0); those of the session before are settled."""
        self._deliveries += [(_last_of(item), item) for item in self.open()]
        self._current = (programme, self.nets[session])

    def open(self) -> list[Delivery]:
        """The doses of the session that runs, as they stand now."""
        if self._current is None:
            return []
        programme, net = self._current
        return programme.deliveries(net, self.fraction)

    def events(self, since: float = -np.inf) -> Events:
        """All doses, or those of which something may still arrive after ``since`` (h)."""
        events = EventList(self.now.size, self.ports)
        for last, delivery in self._deliveries:
            if last >= since:
                events.deliver(delivery)
        for delivery in self.open():
            events.deliver(delivery)
        return events.events()

    def advance(self, whom: Flags, to: Floats, occasion: int) -> None:
        """Bring the patients ``whom`` (n,) to ``to`` (n,) h, before what arrives there, by the rates of an occasion."""
        who = np.flatnonzero(whom & (to > self.now))
        if who.size:
            events = self.events(float(self.now[who].min()))
            system = replace(self.nets[occasion].system, initial=self.state)
            if system.dynamics is not None:
                first = first_dose_of(self.events())
                system = replace(system, first_dose=np.where(first < self.now, first, np.inf))
            start, end = self.now[who], to[who]
            part = within(events.only(who), start, end, anchored=True)
            self.state = self.state.copy()
            self.state[who] = states_at(system.only(who), part, end, self.numerics)
            self.now = np.where(whom, np.maximum(to, self.now), self.now)
        self.stops.append((whom, to, occasion))
        if self.keep:
            self.states.append(self.state)


def _last_of(delivery: Delivery) -> float:
    """When the last of a dose has arrived, h."""
    lag = 0.0 if delivery.lag is None else delivery.lag
    return float(np.max(np.asarray(delivery.time) + np.asarray(lag) + np.asarray(delivery.duration)))


@dataclass
class Course:
    """What has been decided for each patient (n,) so far.

    A dose is the planned one, ``lag`` steps behind and ``rung`` steps up the ladder, times ``factor``, plus ``added``.
    A session is due ``shift`` h later than planned; intervals are ``stretch`` times as long, and ``extra`` h longer.
    """

    alive: Flags
    shift: Floats
    factor: Floats
    added: Floats
    stretch: Floats
    extra: Floats
    lag: Ints
    rung: Ints

    @classmethod
    def begin(cls, size: int) -> Course:
        """Everything as planned."""
        zero, one = np.zeros(size), np.ones(size)
        none = np.zeros(size, dtype=np.int64)
        return cls(np.ones(size, dtype=bool), zero, one, zero, one, zero, none, none)

    def planned(self, plan: Sequence[PlannedSession], index: int, values: Mapping[str, Floats]) -> list[Floats]:
        """The dose of every part of a session (from 0) as planned, (n,) each, in base units."""
        size = self.lag.size
        levels = list(dosing.planned_levels(plan[index], values, size))
        for behind in np.unique(self.lag[self.lag > 0]):
            earlier = dosing.planned_levels(plan[index - behind], values, size)
            levels = [np.where(self.lag == behind, then, now) for then, now in zip(earlier, levels, strict=True)]
        return levels

    def levels(
        self,
        plan: Sequence[PlannedSession],
        index: int,
        values: Mapping[str, Floats],
        ladder: Sequence[Quantity] | None,
    ) -> list[Floats]:
        """The dose of every part of a session (from 0) as decided, (n,) each, in base units."""
        found = []
        for level in self.planned(plan, index, values):
            if ladder is not None:
                rungs = np.array([rung.value for rung in ladder])
                step = np.abs(rungs[:, None] - level).argmin(axis=0) + self.rung
                level = np.where(self.rung != 0, rungs[np.clip(step, 0, rungs.size - 1)], level)
            found.append(level * self.factor + self.added)
        return found


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
    course = Course.begin(size)
    judge = _Judge(net, Assay(net.model, seed, net.population.first, size))
    entries: list[Entry] = []
    before_it = schedule.before_all(plan, size)
    ended = np.full(size, -np.inf)
    for index, planned in enumerate(plan):
        if index and planned.phase != plan[index - 1].phase:
            course.lag = np.zeros(size, dtype=np.int64)
        nominal = planned.start + course.shift
        missed, late = _adherence(protocol.adherence, index + 1, net.population.first, size)
        if protocol.adherence is not None:
            if protocol.adherence.after_late == "shift":
                course.shift = course.shift + late
            if protocol.adherence.after_missed.make_up is not None:
                late = np.where(missed, protocol.adherence.after_missed.make_up.value, late)
                missed = np.zeros(size, dtype=bool)
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
        entries.append(Entry(due, start, status, np.where(given, session.asked, 0.0), programme))
        ended = np.maximum(start, programme.end())
        if index + 1 < len(plan):
            gap = plan[index + 1].start - planned.start
            course.shift = course.shift + ((gap * course.stretch + course.extra) - gap)
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


@dataclass
class _Judge:
    """Looks at signs, says which rule acts, and writes the check down."""

    net: Network
    assay: Assay
    checks: list[Check] = field(default_factory=list)

    def at_check(
        self,
        rules: Sequence[ClinicRule],
        stage: Stage,
        session: int,
        number: int,
        ward: Ward,
        whom: Flags,
        can: Callable[[int], Flags] | None = None,
    ) -> Ints:
        """Which rule (n,) acts at a check in the patients ``whom`` (-1: none); ``can`` says in whom a rule may."""
        moment = f"clinic, {stage} session {session}, check {number}"

        def value(sign: Condition) -> Floats:
            return self._level(sign, ward.state, moment)

        return self._decide(rules, stage, session, number, ward.now, whom, value, can)

    def _level(self, sign: Condition, states: Floats, moment: str) -> Floats:
        """A level or an effect (n,) at states (n, s), in its unit."""
        assert sign.output is not None
        name = self.net.model.observable(sign.output)
        if name in self.net.effects:
            return self.net.effects[name].of(states[:, None, :])[:, 0]
        place = self.net.output_names.index(name)
        level: Floats = states[:, self.net.output_compartment[place]] * self.net.output_scale[place]
        return self.assay.measured(level, name, moment) if sign.measured else level

    def after_session(
        self,
        rules: Sequence[BetweenRule],
        session: int,
        ward: Ward,
        whom: Flags,
        begun: Floats,
        start: Floats,
        end: Floats,
    ) -> Ints:
        """Which rule (n,) acts after a session that began at ``start`` with ``begun``, the next one due at ``end``."""
        model = self.net.model
        wanted: dict[str, list[float]] = {}
        asked: dict[int, Request] = {}
        for rule in rules:
            for _, sign in rule.condition.leaves():
                assert sign.output is not None and sign.metric is not None
                name = model.observable(sign.output)
                threshold = None if sign.threshold is None else sign.threshold.value / model.factor_of(name)
                wanted.setdefault(name, []).extend([] if threshold is None else [threshold])
                asked[id(sign)] = Request(sign.metric, name, threshold)
        system = replace(self.net.system, initial=begun)
        events = within(ward.events(float(start.min())), start, end, anchored=True)
        if system.dynamics is not None:
            first = first_dose_of(ward.events())
            system = replace(system, first_dose=np.where(first < start, first, np.inf))
        figures = session_figures(
            self.net,
            system,
            events,
            start,
            end,
            thresholds=wanted,
            numerics=ward.numerics,
            effects=[name for name in wanted if name in self.net.effects],
            settling={request.output for request in asked.values() if request.metric == "time_until_below"},
        )

        def value(sign: Condition) -> Floats:
            request = asked[id(sign)]
            if request.metric == "trough":
                return self._level(sign, begun, "")
            return metrics.evaluate(figures[request.output], Span("session", 1), request)

        return self._decide(rules, "between", session, 1, end, whom, value, None)

    def _decide(
        self,
        rules: Sequence[ClinicRule],
        stage: Stage,
        session: int,
        number: int,
        time: Floats,
        whom: Flags,
        value: Callable[[Condition], Floats],
        can: Callable[[int], Flags] | None,
    ) -> Ints:
        model = self.net.model
        fired = np.full(whom.size, -1, dtype=np.int64)
        signs: dict[tuple[str, str | None, bool], Sign] = {}

        def seen(sign: Condition) -> Floats:
            assert sign.output is not None
            name = model.observable(sign.output)
            key = (name, f"{sign.metric} {sign.threshold.text}" if sign.threshold else sign.metric, sign.measured)
            if key not in signs:
                unit = (
                    model.observables[name]
                    if sign.metric is None
                    else metrics.unit_of(sign.metric, model.observables[name])
                )
                signs[key] = Sign(name, key[1], sign.measured, unit, value(sign))
            return signs[key].values

        for index, rule in enumerate(rules):
            holds = _holds(rule.condition, seen, model.factor_of, model.observable)
            acts = whom & (fired < 0) & holds
            fired = np.where(acts if can is None else acts & can(index), index, fired)
        actions = tuple(str(rule.then) for rule in rules)
        self.checks.append(Check(stage, session, number, time, whom, tuple(signs.values()), fired, actions))
        return fired


def _holds(
    condition: Condition,
    value: Callable[[Condition], Floats],
    factor_of: Callable[[str], float],
    observable: Callable[[str], str],
) -> Flags:
    """In which patients (n,) a condition holds."""
    for name, combine in (("all", np.logical_and.reduce), ("any", np.logical_or.reduce)):
        if parts := getattr(condition, name):
            found: Flags = combine([_holds(part, value, factor_of, observable) for part in parts])
            return found
    assert condition.output is not None
    time = condition.metric is not None and METRICS[condition.metric] == "time"
    limit = condition.limit.value / (1.0 if time else factor_of(observable(condition.output)))
    values = value(condition)
    return values > limit if condition.side == "above" else values < limit


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
    adherence: Adherence, course: Course, missed: Flags, plan: Sequence[PlannedSession], index: int
) -> None:
    if adherence.after_missed.do == "end_course":
        course.alive = course.alive & ~missed
    elif adherence.after_missed.do == "repeat" and plan[index + 1].phase == plan[index].phase:
        course.lag = np.where(missed & course.alive, course.lag + 1, course.lag)


def _before(
    rules: Sequence[BeforeRule], judge: _Judge, ward: Ward, course: Course, index: int, due: Floats, status: Ints
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
        fired = judge.at_check(rules, "before", index + 1, number, ward, waiting)
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
    clinic: Clinic, judge: _Judge, ward: Ward, course: Course, index: int, programme: Programme, given: Flags
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
        active = given & (programme.end() > now)
        if not active.any():
            return
        ward.advance(active, now, index)

        def can(place: int, active: Flags = active, now: Floats = now) -> Flags:
            """A pump that stands still is not stopped once more."""
            return active & programme.running(now) if checks.rules[place].then.pause is not None else active

        fired = judge.at_check(checks.rules, "during", index + 1, number, ward, active, can)
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
                stop = whom & ~again if then.otherwise == "stop" else np.zeros_like(whom)
            programme.stop(stop, now)
            if then.do == "end_course":
                course.alive = course.alive & ~whom


def _between(
    clinic: Clinic,
    judge: _Judge,
    ward: Ward,
    course: Course,
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
            _stretch(then, course, following.start - plan[index].start, acted)
        elif then.step is not None:
            assert clinic.ladder is not None
            planned = _at(course, same_phase).planned(plan, index + 1, judge.net.values)[0]
            _step(1 if then.step == "up" else -1, course, planned, clinic.ladder, acted)
        else:
            level = _at(course, same_phase).levels(plan, index + 1, judge.net.values, clinic.ladder)[0]
            _change(then, course, level, acted)


def _at(course: Course, same_phase: bool) -> Course:
    """The course at the next session: another phase begins with its first step."""
    return course if same_phase else replace(course, lag=np.zeros_like(course.lag))


def _bounded(then: BetweenAction, old: Floats, new: Floats) -> Floats:
    """A changed value within its bounds; one that was beyond them already stays."""
    if then.up_to is not None:
        new = np.minimum(new, np.maximum(old, then.up_to.value))
    if then.down_to is not None:
        new = np.maximum(new, np.minimum(old, then.down_to.value))
    return new


def _change(then: BetweenAction, course: Course, level: Floats, whom: Flags) -> None:
    change = then.dose
    assert change is not None
    new = level * change.factor + change.added
    beyond = _bounded(then, level, new) - new
    course.factor = np.where(whom, course.factor * change.factor, course.factor)
    course.added = np.where(whom, course.added * change.factor + change.added + beyond, course.added)


def _stretch(then: BetweenAction, course: Course, gap: float, whom: Flags) -> None:
    change = then.interval
    assert change is not None
    old = gap * course.stretch + course.extra
    new = old * change.factor + change.added
    beyond = _bounded(then, old, new) - new
    course.stretch = np.where(whom, course.stretch * change.factor, course.stretch)
    course.extra = np.where(whom, course.extra * change.factor + change.added + beyond, course.extra)
    course.shift = np.where(whom, course.shift + (new + beyond - old), course.shift)


def _step(by: int, course: Course, planned: Floats, ladder: Sequence[Quantity], whom: Flags) -> None:
    rungs = np.array([rung.value for rung in ladder])
    place = np.abs(rungs[:, None] - planned).argmin(axis=0)
    rung = np.clip(course.rung + by, -place, rungs.size - 1 - place)
    course.rung = np.where(whom, rung, course.rung)


def replay(
    ledger: Ledger,
    nets: Sequence[Network],
    *,
    fraction_of_drug: float = 1.0,
    numerics: Numerics = AUTO,
) -> list[Floats]:
    """Take a ledger through its stops with what was given, without a rule; the states (n, s) at every stop."""
    size = ledger.size
    ward = Ward(nets, fraction_of_drug, numerics, nets[0].initial.copy(), np.zeros(size), keep=True)
    for index, entry in enumerate(ledger.entries):
        ward.give(entry.programme, index)
    for whom, time, occasion in ledger.stops:
        ward.advance(whom, time, occasion)
    return ward.states
