"""Metrics of rules that no model gives: what a course takes of drug, devices, vials, hours and money."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pkmodel import tally
from pkmodel.metrics import Request, Span
from pkmodel.specs.taken_checks import PRICED
from pkmodel.tally import Taken

Floats = NDArray[np.float64]
#: What patients have (n,) of a metric over a span.
Values = dict[tuple[Request, Span], Floats]


def of_course(requests: Mapping[Request, Sequence[Span]], taken: Taken, values: Values) -> Values:
    """Those of the requests that are on what a course takes, session by session.

    ``values`` hold when a discharge criterion is kept for good, of every session, where one is asked for.
    """
    found: Values = {}
    for request, several in requests.items():
        if request.output:
            continue
        until = None
        if request.until is not None:
            sessions = range(1, taken.given.shape[0] + 1)
            until = np.stack([values[request.until, Span("session", number)] for number in sessions])
        each = by_session(request, taken, until)
        found |= {(request, span): each[span.session - 1] for span in several}
    return found


def by_session(request: Request, taken: Taken, until: Floats | None = None) -> Floats:
    """What each session takes of each patient (s, n): mg of base, whole things, h or money.

    ``until`` (s, n) is h from the start of a session until the discharge criterion holds for good
    (:func:`pkmodel.metrics.time_until_below`), where there is one. What a session does not state is 0 here: rules on it
    are refused before a run.
    """
    if request.metric in ("total_dose", "max_dose"):
        return taken.given
    if request.metric == "clinic_hours":
        return _hours(request, taken, until)
    if request.metric == "cost":
        return _cost(request, taken, until)
    return _counted(request.metric, taken)


def _counted(name: str, taken: Taken) -> Floats:
    found = taken.by_session.get(name)
    return np.zeros_like(taken.given) if found is None else found


def _hours(request: Request, taken: Taken, until: Floats | None) -> Floats:
    assert request.observed is not None
    minimum = np.full(taken.ends.shape[0], request.observed)
    return tally.clinic_hours(taken, minimum, np.zeros_like(taken.ends) if until is None else until)


def _cost(request: Request, taken: Taken, until: Floats | None) -> Floats:
    assert request.prices is not None
    cost = np.zeros_like(taken.given)
    for name, price in request.prices.of.items():
        if price == 0.0:
            continue  # of hours without end nothing is due
        if name == "session":
            cost = cost + price * (taken.given > 0.0)
        elif name == "clinic_hour":
            cost = cost + price * _hours(request, taken, until)
        else:
            cost = cost + price * _counted(PRICED[name], taken)
    return cost
