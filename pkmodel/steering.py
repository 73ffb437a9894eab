"""Which rates bring a linear system to a level and hold it: superposition of unit responses, interval by interval.

Arrays and floats only. A level is the sum of the responses to everything given so far (the *prediction*, with the pump
off from now on) and of what is about to be given; so each bolus and rate follows from the last by a division.

Plasma: every rate is the one that keeps nearest to the target over its interval (least squares), and none leads over
the tolerance. Effect site: the largest rate after which, with the pump off, the site never passes its target, until
the site is there; then the plasma is held at the target, because a site is at rest where plasma and site are level.
Shafer SL, Gregg KM. J Pharmacokinet Biopharm 1992;20:147-169. Jacobs JR, Williams EA. IEEE Trans Biomed Eng
1993;40:993-999.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: Points of the grid in each step of the pump.
FINE = 4
#: A response below this share of its largest limits no dose: it is a rounding error.
_NOTHING = 1e-9
#: Slack for a rate that is a whole number of steps but for the last bits.
_WHOLE = 1e-9
#: A site that will come within this share of the tolerance is not given more, which would be drops.
_ENOUGH = 0.2


@dataclass(frozen=True)
class Responses:
    """Levels (t,) on a grid of ``FINE`` points a step, in plasma and at the site, to 1 mg/h from 0 on and to 1 mg.

    Where the target is one of plasma, ``site_step`` and ``site_bolus`` are None. ``bolus`` is given over
    ``bolus_steps`` steps, at once where that is 0.
    """

    step: Floats
    bolus: Floats
    site_step: Floats | None = None
    site_bolus: Floats | None = None
    bolus_steps: int = 0


@dataclass(frozen=True)
class Limits:
    """What the pump can do, in mg/h and mg: its steps are what a rate or bolus is rounded to."""

    max_rate: float
    min_rate: float
    rate_step: float
    max_bolus: float
    bolus_step: float


@dataclass(frozen=True)
class Plateau:
    """A target ``level`` over the steps from ``first`` to before ``last``."""

    level: float
    first: int
    last: int


@dataclass(frozen=True)
class Given:
    """What is given from step ``first`` on, over ``steps`` steps (0: at once): mg/h, or mg where ``bolus``."""

    first: int
    steps: int
    amount: float
    bolus: bool = False


class Course:
    """The prediction, which grows with everything that is given."""

    def __init__(self, responses: Responses, steps: int) -> None:
        self.responses = responses
        self.points = responses.step.size
        self.steps = steps
        self.plasma: Floats = np.zeros(self.points)
        self.site: Floats | None = None if responses.site_step is None else np.zeros(self.points)
        self.given: list[Given] = []

    @property
    def aim(self) -> Floats:
        """The prediction of what the target is stated for."""
        return self.plasma if self.site is None else self.site

    def pulse(self, response: Floats, steps: int) -> Floats:
        """The response to 1 mg/h over so many steps, then off."""
        later = np.zeros_like(response)
        later[steps * FINE :] = response[: response.size - steps * FINE]
        pulse: Floats = response - later
        return pulse

    def give(self, first: int, steps: int, rate: float) -> None:
        """A rate (mg/h) over steps; it goes on with the one before where the two are alike."""
        if rate > 0:
            self._add(first, self.pulse(self.responses.step, steps), self.responses.site_step, steps, rate)
        last = self.given[-1] if self.given else None
        if last is not None and not last.bolus and last.amount == rate and last.first + last.steps == first:
            self.given[-1] = Given(last.first, last.steps + steps, rate)
        else:
            self.given.append(Given(first, steps, rate))

    def _add(self, first: int, plasma: Floats, site: Floats | None, steps: int, rate: float) -> None:
        at = first * FINE
        self.plasma[at:] += rate * plasma[: self.points - at]
        if self.site is not None and site is not None:
            self.site[at:] += rate * self.pulse(site, steps)[: self.points - at]

    def inject(self, first: int, amount: float) -> None:
        """A bolus (mg)."""
        at, unit = first * FINE, self.responses
        self.plasma[at:] += amount * unit.bolus[: self.points - at]
        if self.site is not None and unit.site_bolus is not None:
            self.site[at:] += amount * unit.site_bolus[: self.points - at]
        self.given.append(Given(first, unit.bolus_steps, amount, bolus=True))


def largest(limit: float, ahead: Floats, unit: Floats) -> float:
    """The largest multiple of ``unit`` (t,) that added to ``ahead`` (t,) keeps it at or below ``limit``; at least 0."""
    felt = unit > _NOTHING * max(float(unit.max(initial=0.0)), 1e-300)
    if not felt.any():
        return 0.0
    return max(0.0, float(((limit - ahead[felt]) / unit[felt]).min()))


def plan(
    responses: Responses,
    plateaus: Sequence[Plateau],
    limits: Limits,
    tolerance: float,
    *,
    boluses: bool,
) -> Course:
    """What to give for every plateau in turn, each rate over as many steps as the tolerance lets it be."""
    course = Course(responses, plateaus[-1].last)
    before = 0.0
    for plateau in plateaus:
        step = plateau.first
        if boluses and plateau.level > before:
            step += _bolus(course, plateau, limits)
        while step < plateau.last:
            rate, steps = _next(course, plateau, step, limits, tolerance)
            course.give(step, steps, rate)
            step += steps
        before = plateau.level
    return course


def _bolus(course: Course, plateau: Plateau, limits: Limits) -> int:
    """Give the bolus that reaches the plateau; the answer is how many steps it takes."""
    unit = course.responses
    response = unit.bolus if unit.site_bolus is None else unit.site_bolus
    at = plateau.first * FINE
    amount = largest(plateau.level, course.aim[at:], response[: course.points - at])
    amount = down(min(amount, limits.max_bolus), limits.bolus_step)
    if amount <= 0 or unit.bolus_steps > plateau.last - plateau.first:
        return 0
    course.inject(plateau.first, amount)
    return unit.bolus_steps


def _next(course: Course, plateau: Plateau, step: int, limits: Limits, tolerance: float) -> tuple[float, int]:
    """The rate from a step on, and for how many steps."""
    now, level = float(course.aim[step * FINE]), plateau.level
    room = plateau.last - step
    if level <= 0:
        return 0.0, room
    if now > level * (1 + tolerance):
        return _falling(course, level, step, limits), 1
    if course.site is not None and now < level * (1 - tolerance):
        unit = course.pulse(course.responses.site_step, 1)  # type: ignore[arg-type]
        at = step * FINE
        if course.site[at:].max() >= level * (1 - tolerance * _ENOUGH):
            return 0.0, 1  # on its way there
        rate = largest(level, course.site[at:], unit[: course.points - at])
        return allowed(rate, rate, limits), 1
    rate, good = _holding(course, level, step, 1, limits, tolerance)
    steps = 1
    while good and steps < room:  # as long as one rate will do
        further = min(2 * steps, room)
        other, good = _holding(course, level, step, further, limits, tolerance)
        if not good and further - steps > 1:
            further = steps + (further - steps) // 2
            other, good = _holding(course, level, step, further, limits, tolerance)
        if good:
            rate, steps = other, further
    return rate, steps


def _falling(course: Course, level: float, step: int, limits: Limits) -> float:
    """0 while the level comes down; in the step in which plasma would fall through the target, what stops it there."""
    end = (step + 1) * FINE
    missing = level - float(course.plasma[end])
    if course.site is not None or missing <= 0:
        return 0.0
    rate = missing / float(course.responses.step[FINE])
    return allowed(rate, rate, limits)


def _holding(
    course: Course, level: float, step: int, steps: int, limits: Limits, tolerance: float
) -> tuple[float, bool]:
    """The rate that keeps plasma nearest to a level over steps, and whether all stays within the tolerance."""
    at, end = step * FINE, (step + steps) * FINE + 1
    ahead, unit = course.plasma[at:end], course.responses.step[: end - at]
    best = float(unit @ (level - ahead) / (unit @ unit))
    if course.site is None:
        most = largest(level * (1 + tolerance), ahead, unit)
    else:
        later = course.pulse(course.responses.site_step, steps)  # type: ignore[arg-type]
        most = largest(level * (1 + tolerance), course.site[at:], later[: course.points - at])
    rate = allowed(best, most, limits)
    inside = [np.abs(ahead + rate * unit - level).max() <= level * tolerance]
    if course.site is not None:
        site = course.site[at:end] + rate * course.responses.site_step[: end - at]  # type: ignore[index]
        inside.append(np.abs(site - level).max() <= level * tolerance)
    return rate, bool(all(inside))


def allowed(best: float, most: float, limits: Limits) -> float:
    """The rate of the pump nearest to the best one that is not above the most."""
    most = min(most, limits.max_rate)
    rate = round(min(max(best, 0.0), most) / limits.rate_step) * limits.rate_step
    if rate > most * (1 + _WHOLE):
        rate = down(most, limits.rate_step)
    if rate < limits.min_rate:
        rate = limits.min_rate if best >= limits.min_rate / 2 and most >= limits.min_rate else 0.0
    return float(f"{rate:.12g}")


def down(amount: float, step: float) -> float:
    """An amount rounded down to a whole number of steps."""
    return float(f"{math.floor(amount / step * (1 + _WHOLE)) * step:.12g}")
