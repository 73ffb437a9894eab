"""Non-compartmental figures of simulated courses: peak, area and terminal half-life of every session and output.

Peaks, their times and areas are exact, found inside the steps of the solution. A terminal half-life is no property of
a stretch of a curve but of a line laid through it, so it is found as studies find it: by regression of the logarithm of
the levels on the grid of the result. Gabrielsson J, Weiner D. Non-compartmental analysis. Methods Mol Biol
2012;929:377-389.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pkmodel import metrics
from pkmodel.engine import AUTO, Numerics
from pkmodel.exact_figures import course_figures
from pkmodel.metrics import Request, Span
from pkmodel.network import Network
from pkmodel.occasions import Course
from pkmodel.schedule import Schedule

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]

#: Fewest levels that a line is laid through.
FEWEST = 3
#: Longer stretches are taken where the adjusted r squared is within this of the best one.
AS_GOOD = 1e-4


@dataclass(frozen=True)
class Terminal:
    """The line through the logarithm of the last levels; ``note`` says why there is none (``lambda_z`` is NaN then)."""

    lambda_z: float = float("nan")
    r_squared: float = float("nan")
    points: int = 0
    note: str = ""


def terminal(time: Floats, level: Floats) -> Terminal:
    """The terminal slope (1/h) of falling levels (t,) at rising times (t,), h.

    The line goes through the last levels above 0, at least three of them: as many as leave the adjusted r squared
    within 1e-4 of the best that any number of them has.
    """
    zero = np.flatnonzero(~(level > 0.0))
    if zero.size:  # what comes before a level of 0 is another phase
        time, level = time[zero[-1] + 1 :], level[zero[-1] + 1 :]
    if time.size < FEWEST:
        return Terminal(note=f"fewer than {FEWEST} levels above 0 after the peak")
    # Sums over the last 1, 2, 3, ... points, counted from the last so that they are small where the line is short.
    x, y = (time - time[-1])[::-1], (np.log(level) - np.log(level[-1]))[::-1]
    count = np.arange(1, x.size + 1)
    sums = (np.cumsum(part) / count for part in (x, y, x * x, x * y, y * y))
    mean_x, mean_y, mean_xx, mean_xy, mean_yy = (part[FEWEST - 1 :] for part in sums)
    count = count[FEWEST - 1 :]
    across, both, up = mean_xx - mean_x**2, mean_xy - mean_x * mean_y, mean_yy - mean_y**2
    falls = (both < 0.0) & (across > 0.0) & (up > 0.0)
    if not falls.any():
        return Terminal(note="levels do not fall at the end")
    with np.errstate(divide="ignore", invalid="ignore"):
        r_squared = np.where(falls, np.minimum(both**2 / (across * up), 1.0), -np.inf)
    adjusted = 1.0 - (1.0 - r_squared) * (count - 1) / (count - 2)
    chosen = int(np.flatnonzero(adjusted >= adjusted.max() - AS_GOOD)[-1])
    slope = both[chosen] / across[chosen]
    return Terminal(float(-slope), float(r_squared[chosen]), int(count[chosen]))


def nca(
    net: Network,
    schedule: Schedule,
    time: Floats,
    levels: Mapping[str, Floats],
    *,
    until: float,
    numerics: Numerics = AUTO,
    course: Course | None = None,
) -> pd.DataFrame:
    """A line per subject, session and output; :meth:`pkmodel.simulation.Result.nca` says what is in it.

    ``levels`` (n, t) are those of every output at ``time`` (t,), and ``until`` (h) is the end of the simulation.
    """
    import pandas as pd

    begun = [index for index, start in enumerate(schedule.starts) if start.max() < until]
    # Of what begins later nothing has been simulated; the last window ends with the simulation.
    sessions = tuple(schedule.sessions[index] for index in begun)
    plan = replace(schedule, sessions=sessions, starts=schedule.starts[begun])
    last = until - plan.last_start
    found = course_figures(net, plan, last=last, numerics=numerics, course=course)
    size = net.size
    starts = np.broadcast_to(plan.starts, (len(begun), size))
    over = np.concatenate([starts[1:], starts[-1:] + last])
    rows = []
    for index, session in enumerate(plan.sessions):
        span = Span("session", index + 1)
        for name, unit in zip(net.output_names, net.output_units, strict=True):
            peak, when, area = (
                metrics.evaluate(found[name], span, Request(metric, name)) for metric in ("peak", "time_of_peak", "auc")
            )
            ends = _at_end(found[name], index)
            for patient in range(size):
                start, end = starts[index, patient], over[index, patient]
                given = start + max(float(when[patient]), float(np.broadcast_to(session.end, (size,))[patient]))
                stretch = (time > given) & (time < end)
                falling = np.append(levels[name][patient, stretch], ends[patient])
                line = terminal(np.append(time[stretch], end), falling)
                beyond = float(ends[patient] / line.lambda_z)
                whole = float(area[patient] + beyond)
                rows.append(
                    {
                        "subject": net.population.first + patient + 1,
                        "session": index + 1,
                        "phase": session.planned.phase,
                        "start_h": start,
                        "dose_mg": session.given[patient],
                        "output": name,
                        "cmax": peak[patient],
                        "tmax": when[patient],
                        "clast": ends[patient],
                        "tlast": end - start,
                        "auclast": area[patient],
                        "aucinf": whole,
                        "extrapolated": beyond / whole if whole > 0.0 else float("nan"),
                        "lambda_z": line.lambda_z,
                        "half_life": float(np.log(2.0)) / line.lambda_z,
                        "r_squared": line.r_squared,
                        "points": line.points,
                        "unit": unit,
                        "note": line.note,
                    }
                )
    return pd.DataFrame(rows)


def _at_end(figures: metrics.Figures, index: int) -> Floats:
    """The level (n,) at the end of a session's window, before what is given there."""
    position = figures.bounds.position["start", index + 1]
    every: Floats = np.take_along_axis(figures.end, np.broadcast_to(position - 1, (1, figures.end.shape[1])), axis=0)[0]
    return every
