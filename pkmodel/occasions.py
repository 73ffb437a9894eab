"""Parameters that differ from session to session: a course is run occasion by occasion.

An occasion lasts from the start of a session to the start of the next; the first one from the start of the course, the
last one for ever. ::

    session        1              2              3
    occasion  <----1--------------2--------------3---->
    rates          K1             K2             K3         constant within an occasion, as the engines need them
    amounts        x(0)    ---->  x(T2)  ---->   x(T3)      continuous: the end of one is the start of the next
    levels         x / V1         x / V2         x / V3     may jump with the volume where an occasion begins
    a dose of 1    ====lag====[release.............]        its fraction, lag and release are those of session 1;
                                                            what is still to come when 2 begins arrives then and there

So nothing is approximated: each occasion is a run of its own, exact or to the tolerance of the solver, and a figure
over several occasions is put together of theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pkmodel import engine, network
from pkmodel import population as people
from pkmodel.core.kinds import JUMP, N_STATS, RATE_OFF, RATE_ON, USUAL, Events, Look
from pkmodel.engine import AUTO, Numerics
from pkmodel.metrics import Boundaries
from pkmodel.network import Network
from pkmodel.population import Population
from pkmodel.schedule import Schedule
from pkmodel.specs.model import ModelSpec
from pkmodel.system import System

Floats = NDArray[np.float64]


def networks(model: ModelSpec, population: Population, sessions: int) -> tuple[Network, ...] | None:
    """The network of each of ``sessions`` sessions; None where the population has no effects of occasions.

    Raises InputError where a parameter comes out that no patient can have.
    """
    if not population.kappas:
        return None
    every = range(1, sessions + 1)
    return tuple(
        network.build(model, population, people.parameters(model, population, session=index)) for index in every
    )


@dataclass(frozen=True)
class Occasion:
    """One occasion: ``start`` to ``end`` in h, what arrives in it, and a system that begins with what is there.

    Both are (1,), or (n,) where sessions begin at a time of each patient's own.
    """

    start: Floats
    end: Floats
    network: Network
    system: System
    events: Events


@dataclass(frozen=True)
class Part:
    """The part of rising times that falls into an occasion.

    ``rows`` of them do so in some patient, ``time`` are these (t,), or (t, n) and not before the occasion begins where
    it begins at a time of each patient's own, and ``mine`` (t, n) is where they do; None for everybody.
    """

    occasion: Occasion
    rows: slice
    time: Floats
    mine: NDArray[np.bool_] | None

    def put(self, values: Floats, into: Floats) -> None:
        """Put values (n, ..., t) of the rows into an array of that shape over all times."""
        target = into[..., self.rows]
        if self.mine is None:
            target[...] = values
        else:
            mine = self.mine.T.reshape(self.mine.shape[1], *(1,) * (values.ndim - 2), self.mine.shape[0])
            np.copyto(target, values, where=mine)


@dataclass(frozen=True)
class Course:
    """A course in occasions; made by :func:`course`."""

    occasions: tuple[Occasion, ...]
    numerics: Numerics

    def parts(self, time: Floats) -> Iterator[Part]:
        """The occasions that rising times, (t,) or (t, n), fall into, each with its part of them."""
        shared = time.ndim == 1 and all(occasion.start.size == 1 for occasion in self.occasions)
        if shared:
            starts = [occasion.start[0] for occasion in self.occasions[1:]]
            edges = [0, *np.searchsorted(time, starts, side="left").tolist(), time.size]
            for occasion, first, last in zip(self.occasions, edges[:-1], edges[1:], strict=True):
                if last > first:
                    yield Part(occasion, slice(first, last), time[first:last], None)
            return
        every = np.broadcast_to(
            time[:, None] if time.ndim == 1 else time, (time.shape[0], self.occasions[0].network.size)
        )
        for index, occasion in enumerate(self.occasions):
            mine = every < occasion.end
            if index:
                mine &= every >= occasion.start
            rows = np.flatnonzero(mine.any(axis=1))
            if rows.size:
                part = slice(int(rows[0]), int(rows[-1]) + 1)
                yield Part(occasion, part, np.maximum(every[part], occasion.start if index else -np.inf), mine[part])

    def amounts(self, time: Floats) -> Floats:
        """Amounts (n, t, s) in mg at rising times (h), each after what arrives at that instant."""
        size, states, _ = self.occasions[0].system.rates.shape
        found = np.empty((size, states, time.shape[0]))
        every = np.arange(states)
        one = np.ones((states, size))
        for part in self.parts(time):
            of = part.occasion
            part.put(engine.levels(of.system, of.events, part.time, every, one, numerics=self.numerics), found)
        return found.transpose(0, 2, 1)

    def levels(self, time: Floats) -> Floats:
        """Levels (n, k, t) of the outputs in their units at rising times, (t,) or (t, n), in h."""
        first = self.occasions[0].network
        found = np.empty((first.size, len(first.output_names), time.shape[0]))
        for part in self.parts(time):
            of, net = part.occasion, part.occasion.network
            seen, scale = net.output_compartment, net.output_scale
            part.put(engine.levels(of.system, of.events, part.time, seen, scale, numerics=self.numerics), found)
        return found

    def count_levels(self, time: Floats, counts: NDArray[np.uint32]) -> None:
        """Add each level of :meth:`levels` to the sketches ``counts`` (t, k, sketch.BINS)."""
        from pkmodel.core import sketch

        for part in self.parts(time):
            of, net = part.occasion, part.occasion.network
            seen, scale, into = net.output_compartment, net.output_scale, counts[part.rows]
            if part.mine is None:
                engine.count_levels(of.system, of.events, part.time, seen, scale, into, self.numerics)
                continue
            found = engine.levels(of.system, of.events, part.time, seen, scale, numerics=self.numerics)
            for at, who in enumerate(part.mine):
                for k in range(seen.size):
                    sketch.count(np.ascontiguousarray(found[who, k, at]), into[at, k])

    def figures(
        self,
        bounds: Boundaries,
        observe: Callable[[Network], tuple[NDArray[np.int64], Floats]],
        settling: bool = False,
        look: Look = USUAL,
    ) -> tuple[Floats, Floats, Floats, Floats, Floats | None]:
        """Figures of states over the intervals of a course, and the scale that turns amounts of outputs into levels.

        The start of every session is a boundary, so that no interval lies in two occasions.

        Parameters
        ----------
        observe
            gives, for the network of an occasion, the states that are seen (k,), the same in every occasion, and the
            amounts (k, q, n) at which their thresholds stand.
        settling
            asks for the last crossings too.
        look
            says what to look for besides.

        Returns
        -------
        ``stats`` (n, m, k, N_STATS), ``time_above`` and ``first_crossing`` (n, m, k, q) as
        :func:`pkmodel.engine.figures` has them, ``scale`` (outputs, m, n), and the last crossings (n, m, k, q) of
        :func:`pkmodel.engine.settling_figures` or None.
        """
        size, intervals = self.occasions[0].network.size, bounds.time.shape[0] - 1
        seen, limits, _ = observe(self.occasions[0].network)[1].shape
        stats = np.empty((size, intervals, seen, N_STATS))
        above, first = np.empty((size, intervals, seen, limits)), np.empty((size, intervals, seen, limits))
        latest = np.full((size, intervals, seen, limits), -np.inf)
        scale = np.empty((len(self.occasions[0].network.output_names), intervals, size))
        for occasion, edges, own, mine in self._pieces(bounds):
            net = occasion.network
            asked = (occasion.system, occasion.events, edges, *observe(net), self.numerics)
            # With thresholds, without which nothing settles, the lowest levels are found anyway.
            part = (engine.settling_figures if settling else engine.figures)(*asked, look)
            for whole, piece in zip((stats, above, first, latest), part, strict=False):
                whole[:, own][mine.T] = piece[mine.T]
            scale[:, own] = np.where(mine, net.output_scale[:, None, :], scale[:, own])
        return stats, above, first, scale, latest if settling else None

    def _pieces(self, bounds: Boundaries) -> Iterator[tuple[Occasion, Floats, slice, NDArray[np.bool_]]]:
        """Each occasion with its boundaries, which intervals they make, and whose of those are its own (m, n)."""
        size, intervals = self.occasions[0].network.size, bounds.time.shape[0] - 1
        for index, occasion in enumerate(self.occasions):
            final = index + 1 == len(self.occasions)
            begins = bounds.position["start", index] if index else np.zeros(1, dtype=np.int64)
            ends = np.full(1, intervals) if final else bounds.position["start", index + 1]
            low, high = int(begins.min()), int(ends.max())
            # Intervals of other occasions, where patients differ in the order of their boundaries, shrink to nothing.
            edges = np.clip(bounds.time[low : high + 1], occasion.start if index else -np.inf, occasion.end)
            number = np.arange(low, high)[:, None]
            mine = np.broadcast_to((number >= begins) & (number < ends), (high - low, size))
            yield occasion, edges, slice(low, high), mine

    def methods(self, until: float) -> NDArray[np.str_]:
        """What integrates each patient (n,) up to ``until`` (h): the stiff solver where it does in any occasion."""
        reached = [occasion for occasion in self.occasions[1:] if occasion.start.min() <= until]
        found = [
            engine.methods(occasion.system, occasion.events, min(until, float(occasion.end.max())), self.numerics)
            for occasion in (self.occasions[0], *reached)
        ]
        return np.where(np.any([own == "stiff" for own in found], axis=0), "stiff", found[0])


def course(nets: tuple[Network, ...], plan: Schedule, numerics: Numerics = AUTO) -> Course:
    """Run through the occasions of a course, so that each begins with what the one before has left.

    Parameters
    ----------
    nets
        the networks of the sessions, with which ``plan`` was built too.

    Raises
    ------
    RunError
        where a solver gives up, with what to do.
    """
    starts = [*plan.starts, np.full(1, np.inf)]
    first_dose = first_dose_of(plan.events)
    state: Floats | None = None
    found = []
    for index, net in enumerate(nets):
        start, end = starts[index], starts[index + 1]
        system = net.system
        if state is not None:
            system = replace(system, initial=state)
            if system.dynamics is not None:
                system = replace(system, first_dose=np.where(first_dose < start, first_dose, np.inf))
        events = within(plan.events, start, end, anchored=state is not None)
        found.append(Occasion(start, end, net, system, events))
        if index + 1 < len(nets):
            if start.size == end.size == 1:
                state = engine.amounts(system, events, np.concatenate([start, end]), numerics=numerics)[:, -1]
            else:
                state = states_at(system, events, end, numerics)
    return Course(tuple(found), numerics)


def states_at(system: System, events: Events, time: Floats, numerics: Numerics = AUTO) -> Floats:
    """The states (n, s) of a system at a time (n,) of each patient's own, h, before what arrives there.

    ``events`` are those before it. A system goes on from there as if it had never been stopped, to the last bit.
    """
    size, count, _ = system.rates.shape
    at = np.broadcast_to(time, (1, size))
    return engine.levels(system, events, at, np.arange(count), np.ones((count, size)), numerics=numerics)[:, :, 0]


def first_dose_of(events: Events) -> Floats:
    """When (h) each patient (n,) gets something for the first time; infinite where never."""
    giving = np.isin(events.kind, (JUMP, RATE_ON))
    when = np.where(events.value[giving] != 0.0, events.time[giving], np.inf)
    earliest: Floats = when.min(axis=0, initial=np.inf)
    return earliest


def within(events: Events, start: Floats, end: Floats, *, anchored: bool) -> Events:
    """What of ``events`` falls into ``start`` <= time < ``end`` (h): an infusion that runs at the start begins there.

    Both are (1,), or (n,) where they are each patient's own. An infusion that runs on at the end is not ended. One that
    has ended while others poured into the same port is taken up and ended again at the start, all in the order in which
    they were, so that the rate of the port is the same sum, to the last bit. An event that passes a patient by stands,
    with value 0, at the start, where it changes nothing, so that the bits of a patient do not depend on who else is
    there. ``anchored`` puts such an event there for everybody: a run begins with its first event.

    Raises ValueError where an infusion's end is not the event after its beginning.
    """
    count = events.kind.size
    begins = np.flatnonzero(events.kind == RATE_ON)
    ends = np.flatnonzero(events.kind == RATE_OFF)
    if not np.array_equal(ends, begins + 1) or begins.size + ends.size + (events.kind == JUMP).sum() < count:
        raise ValueError("an infusion whose end does not follow its beginning")
    time = events.time
    if start.size > 1 or end.size > 1:
        time = np.broadcast_to(time, events.value.shape)
    inside = (time >= start) & (time < end)
    since = np.broadcast_to(start, time.shape[1:])
    if begins.size:
        opened = _poured_since(events, begins, time, since)
        inside[begins] = (time[begins] < end) & (time[ends] > opened)
        inside[ends] = (time[ends] > opened) & (time[ends] < end)
    moved = np.maximum(time, since)
    kept = inside.any(axis=1)
    value = np.where(inside, events.value, 0.0)[kept]
    moved, before = (np.where(inside, part, since)[kept] for part in (moved, time))
    kind, target = events.kind[kept], events.target[kept]
    if anchored or not events.alike:
        kind, target = np.append(JUMP, kind), np.append(0, target)
        first = np.broadcast_to(since, (1, time.shape[1]))
        moved, before = np.concatenate([first, moved]), np.concatenate([np.full_like(first, -np.inf), before])
        value = np.concatenate([np.zeros((1, value.shape[1])), value])
    return Events(
        time=np.ascontiguousarray(moved),
        order=np.ascontiguousarray(np.lexsort((before, moved), axis=0)).astype(np.int64),
        kind=kind.astype(np.int64),
        target=target.astype(np.int64),
        value=np.ascontiguousarray(value),
        port_compartment=events.port_compartment,
        alike=events.alike,
    )


def _poured_since(events: Events, begins: NDArray[np.int64], time: Floats, start: Floats) -> Floats:
    """Since when (b, n or 1) the port of each infusion has poured without a break at ``start``; that where it does not.

    Infusions that pass a patient by do not pour.
    """
    opened = np.empty((begins.size, start.size))
    ports = events.target[begins]
    for port in np.unique(ports):
        own = begins[ports == port]
        pours = events.value[own] != 0.0
        if time.shape[1] == 1:
            pours = pours.any(axis=1, keepdims=True)
        since = start
        while True:
            over = pours & (time[own] < since) & (time[own + 1] > since)
            earlier = np.where(over, time[own], since).min(axis=0)
            if np.array_equal(earlier, since):
                break
            since = earlier
        opened[ports == port] = since
    return opened
