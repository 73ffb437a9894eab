"""Peaks, crossings and areas of an integrated level, found on the polynomials inside its steps.

The rules are those of :mod:`pkmodel.core.crossing`: what arrives at a boundary belongs to the interval after it, a
level counts as above when it is greater than the threshold, and a jump is no crossing. An extremum is where the
derivative of the polynomial changes its sign, so peaks and crossings are as good as the solution. Areas are integrals
of the polynomials.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pkmodel.core.equations import T_START, T
from pkmodel.core.jit import piece
from pkmodel.core.kinds import AREA, END, LEAST, N_STATS, PEAK, START, TIME_OF_PEAK
from pkmodel.core.lanes import WIDTH

#: Parts of a step in which a change of the derivative's sign is looked for.
_PARTS = 8


class Figures(NamedTuple):
    """What is to be found, and where it goes; shapes as in :func:`pkmodel.core.crossing.scan`.

    ``observed`` (k,) are the states, ``thresholds`` (k, q, n) amounts; then the numbers of ``outputs`` (k), ``limits``
    (q), patients, intervals, and the room for crossings.
    """

    observed: np.ndarray
    thresholds: np.ndarray
    stats: np.ndarray
    time_above: np.ndarray
    first_crossing: np.ndarray
    crossings: np.ndarray
    n_crossings: np.ndarray
    outputs: int
    limits: int
    n: int
    intervals: int
    room: int


class Notes(NamedTuple):
    """What is known of the interval that each lane is in: ``first``, ``peak``, ``when``, ``least`` and ``area`` (k,
    lanes), ``above`` and ``crossed`` (k, q, lanes), ``opened`` (lanes,) its start; and memory for a polynomial of so
    many ``terms``.
    """

    first: np.ndarray
    peak: np.ndarray
    when: np.ndarray
    least: np.ndarray
    area: np.ndarray
    above: np.ndarray
    crossed: np.ndarray
    opened: np.ndarray
    factors: np.ndarray
    terms: int


@piece
def open_interval(w, rows, notes, figures, lane, now):
    """Begin an interval."""
    notes.opened[lane] = now
    for k in range(figures.outputs):
        notes.area[k * WIDTH + lane] = 0.0
    for place in range(figures.outputs * figures.limits):
        notes.above[place * WIDTH + lane] = 0.0
        notes.crossed[place * WIDTH + lane] = np.inf
    arrived(w, rows, notes, figures, lane, now)


@piece
def arrived(w, rows, notes, figures, lane, now):
    """Note the level after an event; one at the first instant of an interval is what it begins with."""
    begins = now == notes.opened[lane]
    for k in range(figures.outputs):
        level = w[(rows.y + figures.observed[k]) * WIDTH + lane]
        if begins:
            notes.first[k * WIDTH + lane] = level
        if begins or level > notes.peak[k * WIDTH + lane]:
            notes.peak[k * WIDTH + lane] = level
            notes.when[k * WIDTH + lane] = now
        if begins or level < notes.least[k * WIDTH + lane]:
            notes.least[k * WIDTH + lane] = level


@piece
def close(w, rows, notes, figures, lane, p, interval):
    """Write down the interval that a patient leaves (-1: none)."""
    if interval < 0:
        return
    for k in range(figures.outputs):
        row = (p * figures.intervals + interval) * figures.outputs + k
        figures.stats[row * N_STATS + START] = notes.first[k * WIDTH + lane]
        figures.stats[row * N_STATS + END] = w[(rows.y + figures.observed[k]) * WIDTH + lane]
        figures.stats[row * N_STATS + PEAK] = notes.peak[k * WIDTH + lane]
        figures.stats[row * N_STATS + TIME_OF_PEAK] = notes.when[k * WIDTH + lane]
        figures.stats[row * N_STATS + LEAST] = notes.least[k * WIDTH + lane]
        figures.stats[row * N_STATS + AREA] = notes.area[k * WIDTH + lane]
        for q in range(figures.limits):
            place = (k * figures.limits + q) * WIDTH + lane
            figures.time_above[row * figures.limits + q] = notes.above[place]
            figures.first_crossing[row * figures.limits + q] = notes.crossed[place]


@piece
def void(figures, p):
    """Figures that could not be found are NaN."""
    rows = figures.intervals * figures.outputs
    for place in range(p * rows * N_STATS, (p + 1) * rows * N_STATS):
        figures.stats[place] = np.nan
    for place in range(p * rows * figures.limits, (p + 1) * rows * figures.limits):
        figures.time_above[place] = np.nan
        figures.first_crossing[place] = np.nan


@piece
def _value(factors, terms, x):
    total = 0.0
    for place in range(terms - 1, -1, -1):
        total = total * x + factors[place]
    return total


@piece
def _slope(factors, terms, x):
    total = 0.0
    for place in range(terms - 1, 0, -1):
        total = total * x + factors[place] * float(place)
    return total


@piece
def _bend(factors, terms, x):
    total = 0.0
    for place in range(terms - 1, 1, -1):
        total = total * x + factors[place] * float(place * (place - 1))
    return total


@piece
def _root(factors, terms, of_slope, low, high, target, rising):
    """Where the polynomial, or (``of_slope`` is 1) its derivative, passes ``target`` between ``low`` and ``high``."""
    x = 0.5 * (low + high)
    for _ in range(100):
        if of_slope:
            value, speed = _slope(factors, terms, x) - target, _bend(factors, terms, x)
        else:
            value, speed = _value(factors, terms, x) - target, _slope(factors, terms, x)
        if value == 0.0:
            break
        if (value > 0.0) == rising:
            high = x
        else:
            low = x
        following = x - value / speed  # infinite or NaN where the curve is flat
        if not low < following < high:
            following = 0.5 * (low + high)
        done = abs(following - x) <= 1e-16 or high - low <= 1e-16
        x = following
        if done:
            break
    return x


@piece
def _hold(notes, figures, lane, p, k, begin, length, low, high, first, last):
    """Hold a monotone piece of a step, from ``low`` to ``high`` of it, against the thresholds of output k."""
    for q in range(figures.limits):
        place = (k * figures.limits + q) * WIDTH + lane
        limit = figures.thresholds[(k * figures.limits + q) * figures.n + p]
        was, stays = first > limit, last > limit
        if was and notes.crossed[place] == np.inf:
            notes.crossed[place] = begin + low * length
        if was and stays:
            notes.above[place] = notes.above[place] + (high - low) * length
        elif was != stays:
            x = _root(notes.factors, notes.terms, np.int64(0), low, high, limit, stays)
            notes.above[place] = notes.above[place] + (x - low if was else high - x) * length
            if stays and notes.crossed[place] == np.inf:
                notes.crossed[place] = begin + x * length
            row = (p * figures.outputs + k) * figures.limits + q
            count = figures.n_crossings[row]
            if count < figures.room:
                figures.crossings[row * figures.room + count] = begin + x * length
            figures.n_crossings[row] = count + 1


@piece
def _note_extremes(notes, place, level, time):
    if level > notes.peak[place]:
        notes.peak[place] = level
        notes.when[place] = time
    if level < notes.least[place]:
        notes.least[place] = level


@piece
def look(w, rows, notes, figures, lane, p):
    """Note areas, peaks and crossings of the last step of a lane, whose polynomials have been drawn."""
    begin, factors, terms = w[T_START * WIDTH + lane], notes.factors, notes.terms
    length = w[T * WIDTH + lane] - begin
    for k in range(figures.outputs):
        area, bent = 0.0, 0.0
        for place in range(terms):
            factor = w[(rows.curve + k * terms + place) * WIDTH + lane]
            factors[place] = factor
            area += factor / float(place + 1)
            bent += abs(factor) * float(place)
        here = k * WIDTH + lane
        notes.area[here] = notes.area[here] + area * length
        last = w[(rows.y + figures.observed[k]) * WIDTH + lane]
        x, level = 0.0, factors[0]
        if 2.0 * abs(factors[1]) <= bent:  # else the derivative cannot change its sign
            before = factors[1]
            for part in range(1, _PARTS + 1):
                high = float(part) / _PARTS
                after = _slope(factors, terms, high)
                if (before > 0.0 and after < 0.0) or (before < 0.0 and after > 0.0):
                    low = float(part - 1) / _PARTS
                    split = _root(factors, terms, np.int64(1), low, high, 0.0, after > 0.0)
                    turn = _value(factors, terms, split)
                    _hold(notes, figures, lane, p, k, begin, length, x, split, level, turn)
                    _note_extremes(notes, here, turn, begin + split * length)
                    x, level = split, turn
                if after != 0.0:
                    before = after
        _hold(notes, figures, lane, p, k, begin, length, x, 1.0, level, last)
        _note_extremes(notes, here, last, begin + length)
