"""Exact figures of effects: those of the state that an effect follows, taken over its curve.

An effect that is a state itself (an effect site, a turnover) has the figures of that state. One that is read off a
state by a curve that only rises, or only falls, reaches its highest, or lowest, value with the state, and crosses a
threshold when the state crosses the level that the threshold stands for, which differs from patient to patient.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pkmodel import engine
from pkmodel.core import kinds
from pkmodel.core.kinds import Events
from pkmodel.engine import Grid, Numerics
from pkmodel.errors import InputError, Problem
from pkmodel.metrics import Boundaries, Figures
from pkmodel.network import Network
from pkmodel.occasions import Course
from pkmodel.readout import Link, Readout
from pkmodel.specs.rule_checks import falls
from pkmodel.specs.window import Moment
from pkmodel.system import System

Floats = NDArray[np.float64]

#: A threshold that every state exceeds: states are amounts and levels of at least 0.
_ALWAYS = -1.0


@dataclass(frozen=True)
class Followed:
    """An effect that follows one state, for a block of patients."""

    readout: Readout
    falling: bool
    rest: Floats
    """(n,) what it is without drug."""

    @property
    def state(self) -> int:
        """The state that it follows."""
        return self.readout.state

    def limits(self, levels: Sequence[float]) -> Floats:
        """The state (q, n) at which the effect passes each of these values; infinite where it never does."""
        ((_, scale),) = self.readout.scale.items()
        value = np.array(levels, dtype=np.float64)[:, None] * self.readout.factor
        link = self.readout.link
        at = value * np.ones_like(scale) if link is None else level_at(link, value, self.falling)
        out = np.full(at.shape, np.inf)
        np.divide(at, scale, out=out, where=np.broadcast_to(scale > 0, at.shape))
        return out if link is None else np.where(at < 0, _ALWAYS, out)

    def figures(
        self,
        bounds: Boundaries,
        starts: Floats,
        stats: Floats,
        above: Floats,
        first: Floats,
        thresholds: tuple[float, ...],
        moments: tuple[Moment, ...],
        lowest: bool = False,
    ) -> Figures:
        """The figures of the effect from those of its state: ``stats`` (6, m, n), ``above`` and ``first`` (q, m, n).

        An effect that falls always has its lowest values, one that rises where they are asked for.
        """
        curve = self._curve(stats)
        lengths = np.diff(bounds.time, axis=0)
        rising = not self.falling
        least = curve[kinds.LEAST] if lowest else None
        return Figures(
            bounds=bounds,
            starts=starts,
            start=curve[kinds.START],
            end=curve[kinds.END],
            peak=curve[kinds.PEAK] if rising else None,
            time_of_peak=stats[kinds.TIME_OF_PEAK] if rising else None,
            area=curve[kinds.AREA] if self.readout.link is None else None,
            thresholds=thresholds,
            time_above=above if rising else np.maximum(lengths - above, 0.0),
            first_crossing=first if rising else None,
            moments=moments,
            rest=self.rest,
            lowest=curve[kinds.PEAK] if self.falling else least,
        )

    def _curve(self, stats: Floats) -> Floats:
        """Values (6, m, n) of the state as values of the effect; the area only where that is linear in the state."""
        ((_, scale),) = self.readout.scale.items()
        link, level = self.readout.link, stats * scale
        if link is None:
            return level / self.readout.factor
        figures, intervals, size = level.shape
        return link.of(level.reshape(-1, size).T).T.reshape(figures, intervals, size) / self.readout.factor


def level_at(link: Link, value: Floats, falling: bool) -> Floats:
    """The level (q, n), mg/L, at which a curve passes ``value`` (q, 1): e0 + emax C^hill / (c50^hill + C^hill) solved.

    Below 0 where every level is beyond it, infinite where none is. ``beyond`` is above it on a rising curve, below it
    on a falling one.
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        share = (value - link.e0) / link.emax
        inside = link.c50 * (share / (1.0 - share)) ** (1.0 / link.hill)
    flat = (link.e0 < value) if falling else (link.e0 > value)
    level = np.where(share >= 1.0, np.inf, np.where(share >= 0.0, inside, _ALWAYS))
    found: Floats = np.where(link.emax == 0.0, np.where(flat, _ALWAYS, np.inf), level)
    return found


def follow(net: Network, name: str) -> Followed:
    """An effect with the state that it follows.

    Raises InputError where it rises in some of the patients and falls in others, which its figures cannot follow.
    """
    readout, falling = net.effects[name], falls(net.model, name)
    if readout.link is not None:
        wrong = readout.link.emax > 0 if falling else readout.link.emax < 0
        if wrong.any():
            who = net.population.first + int(np.argmax(wrong)) + 1
            found = f"{name} {'falls' if falling else 'rises'} in a typical adult, but not in patient {who}"
            raise InputError(Problem(found, "an emax that has the same sign in everybody", f"effects.{name}"))
    return Followed(readout, falling, readout.of(net.initial[:, None, :])[:, 0])


def levels(
    net: Network,
    events: Events,
    time: Floats,
    numerics: Numerics,
    course: Course | None = None,
    grid: Grid | None = None,
) -> Floats:
    """Every effect of a network (k, n, t), in its unit, at rising times (h); occasion by occasion of a ``course``.

    ``time`` and ``grid`` are as :func:`pkmodel.engine.levels` takes them.
    """
    if course is None:
        return _levels(net, net.system, events, time, numerics, grid)
    found = np.empty((net.size, len(net.effects), time.shape[0]))
    for part in course.parts(time):
        of = part.occasion
        part.put(_levels(of.network, of.system, of.events, part.time, numerics).transpose(1, 0, 2), found)
    return found.transpose(1, 0, 2)


def refuse_changing(course: Course, effects: Sequence[str]) -> None:
    """Raise InputError where an effect is read off its state in another way in another occasion.

    One figure over several occasions would then be of several curves.
    """
    first, *others = (occasion.network.effects for occasion in course.occasions)
    for name in effects:
        if any(not _same(first[name], other[name]) for other in others):
            found = f"figures of {name}, whose volume or curve differs between occasions"
            expected = "an effect with an effect_site and constants, or between_occasion: false"
            raise InputError(Problem(found, expected, path=f"effects.{name}"))


def _same(one: Readout, other: Readout) -> bool:
    alike = all(np.array_equal(one.scale[driver], other.scale[driver]) for driver in one.scale)
    if one.link is None or other.link is None:
        return alike
    pairs = [(getattr(one.link, part), getattr(other.link, part)) for part in ("e0", "emax", "c50", "hill")]
    return alike and all(np.array_equal(first, second) for first, second in pairs)


def _levels(
    net: Network, system: System, events: Events, time: Floats, numerics: Numerics, grid: Grid | None = None
) -> Floats:
    states = sorted({state for readout in net.effects.values() for state in readout.states.values()})
    seen = np.array(states, dtype=np.int64)
    found = engine.levels(system, events, time, seen, np.ones((seen.size, net.size)), numerics=numerics, grid=grid)
    place = {state: index for index, state in enumerate(states)}
    values = np.empty((len(net.effects), net.size, time.shape[0]))
    for index, readout in enumerate(net.effects.values()):
        own = replace(readout, states={name: place[state] for name, state in readout.states.items()})
        values[index] = own.of(found.transpose(0, 2, 1))
    return values
