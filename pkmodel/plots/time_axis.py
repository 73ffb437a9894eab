"""The axis of time of a course: minutes, hours or days from its start, or the time of day.

Data are in hours from the start of the course whatever the axis says, so that a click on a picture is a time of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from math import ceil, floor, isfinite
from typing import TYPE_CHECKING

from pkmodel.errors import InputError, Problem, shown
from pkmodel.plots.ticks import across

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from pkmodel.plots.summary import Summary
    from pkmodel.simulation import Result

#: Hours from which on an axis counts days.
DAYS = 48.0
#: Steps between two ticks, in h.
_STEPS = (1 / 60, 1 / 30, 1 / 12, 1 / 6, 0.25, 1 / 3, 0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 12.0, 24.0)
_DAY_STEPS = (12.0, 24.0, 48.0, 7 * 24.0, 14 * 24.0, 28 * 24.0, 56 * 24.0, 91 * 24.0, 182 * 24.0)
_CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")
#: Inches that a tick with its label takes, for elapsed time and for the time of day.
_ROOM = {False: 0.55, True: 0.75}


def time_of_day(text: str) -> float:
    """Hours after midnight of a time such as ``"09:00"``. Raises InputError where it is none."""
    match = _CLOCK.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise InputError(Problem(shown(text), 'a time of day such as "09:00"', path="clock"))
    return int(match[1]) + int(match[2]) / 60


def span_of(results: Iterable[Result | Summary], window: tuple[float, float] | None) -> tuple[float, float]:
    """The hours to show: ``window``, or all that the longest result has. Raises InputError for an impossible window."""
    last = max(float(result.time[-1]) for result in results)
    if window is None:
        return 0.0, last
    try:
        start, end = (float(edge) for edge in window)
    except (TypeError, ValueError):
        start = end = float("nan")
    if not (isfinite(start) and isfinite(end) and start < end and start < last and end > 0):
        expected = f"two times in hours, the first below the second, that overlap 0 to {last:g} h"
        raise InputError(Problem(shown(window), expected, path="window"))
    return start, end


def lay_out(ax: Axes, span: tuple[float, float], clock: str | None = None, *, label: bool = True) -> None:
    """Limits, ticks and label of an axis of time (h from the start of the course); no label where not ``label``."""
    start, end = span
    margin = 0.01 * (end - start)
    ax.set_xlim(start - margin, end + margin)
    page = ax.get_figure(root=True)
    inches = ax.get_position().width * page.get_figwidth() if page is not None else 8.0
    most = max(2, int(inches / _ROOM[clock is not None]))
    if clock is None:
        ticks, labels, title = _elapsed(start, end, most)
    else:
        ticks, labels, title = _of_day(start, end, most, time_of_day(clock), clock)
    across(ax, ticks, labels if label else [""] * len(ticks), title if label else "")


def _step(start: float, end: float, most: int, steps: tuple[float, ...]) -> float:
    return next((step for step in steps if (end - start) / step <= most), (end - start) / most)


def _ticks(start: float, end: float, step: float, offset: float = 0.0) -> list[float]:
    slack = 1e-9 * step
    first = ceil((start - offset - slack) / step)
    last = floor((end - offset + slack) / step)
    return [offset + step * index for index in range(first, last + 1)]


def _elapsed(start: float, end: float, most: int) -> tuple[list[float], list[str], str]:
    width = end - start
    if width > DAYS:
        scale, unit, step = 24.0, "days", _step(start, end, most, _DAY_STEPS)
    elif width > 2.0:
        scale, unit, step = 1.0, "hours", _step(start, end, most, tuple(s for s in _STEPS if s * 4 % 1 == 0))
    else:
        scale, unit, step = 1 / 60, "minutes", _step(start, end, most, _STEPS)
    ticks = _ticks(start, end, step)
    return ticks, [f"{round(tick / scale, 6):g}" for tick in ticks], f"{unit} from the start of the course"


def _of_day(start: float, end: float, most: int, begins: float, clock: str) -> tuple[list[float], list[str], str]:
    days = end - start > DAYS
    step = _step(start, end, most, _DAY_STEPS if days else _STEPS)
    ticks = _ticks(start, end, step, -begins)
    labels: list[str] = []
    before = None
    for tick in ticks:
        minutes = round((tick + begins) * 60)
        day, minute = minutes // 1440 + 1, minutes % 1440
        if step >= 24:
            labels.append(f"day {day}")
            continue
        new = f"\nday {day}" if day != before and (before is not None or day != 1 or end + begins > 24) else ""
        labels.append(f"{minute // 60:02d}:{minute % 60:02d}{new}")
        before = day
    what = "day of the course, from midnight" if step >= 24 else "time of day"
    return ticks, labels, f"{what}; the course starts at {clock}" + (" on day 1" if days else "")
