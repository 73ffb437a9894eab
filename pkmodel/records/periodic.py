"""The steady state of a non-linear model: the state that one dosing interval brings back to itself.

There is no linear solve for it. Newton's method is applied to the map of a state before a dose to the state before the
next one, which the ODE engine computes; its derivatives are differences, one patient of a batch for each state.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pkmodel import engine
from pkmodel.engine import Numerics
from pkmodel.records.resolve import Repeated
from pkmodel.schedule import EventList
from pkmodel.system import System

Floats = NDArray[np.float64]

#: The state comes back to itself to this part of it (or of 1e-6 of the largest state).
TOLERANCE = 1e-9
#: The solver is kept as tight as it goes, so that differences mean something.
_NUMERICS = Numerics(engine="ode", tolerance=1e-10)
#: Intervals that are simply lived through first, and steps of Newton's method at most.
_LIVED, _MOST = 5, 40
#: A state of so many doses is none that doses keep up.
_TOO_MUCH = 1e4
#: Without an interval (a constant infusion) the map is over so many hours.
_ENDLESS = 24.0


def steady_state(system: Callable[[int], System], start: Floats, doses: Repeated) -> Floats | None:
    """The state (s,) ``doses.phase`` h after the last of doses that have been given for ever.

    Parameters
    ----------
    system
        gives the system of so many copies of the patient.
    start
        (s,) the state before any dose.

    Returns
    -------
    None where there is none to be found: where drug is given faster than it can leave, say.
    """
    span = doses.interval or _ENDLESS

    def after(states: Floats, time: float) -> Floats:
        """The states (k, s), ``time`` h after a dose that found them."""
        events, size = EventList(states.shape[0]), states.shape[0]
        amount = np.full(size, doses.amount)
        if doses.interval == 0.0:
            events.infusion(0.0, span, doses.compartment, np.full(size, doses.rate * span))
        elif doses.duration == 0.0:
            events.bolus(0.0, doses.compartment, amount)
        else:
            # Infusions that run all through an interval, and one more that ends in it.
            running, rest = divmod(doses.duration, span)
            rate = doses.amount / doses.duration
            if running:
                events.infusion(0.0, span, doses.compartment, np.full(size, running * rate * span))
            if rest:
                events.infusion(0.0, rest, doses.compartment, np.full(size, rate * rest))
        return engine.amounts(system(size), events.events(), np.array([time]), states, _NUMERICS)[:, 0]

    state = start.copy()
    for _ in range(_LIVED):
        state = after(state[None], span)[0]
    for _ in range(_MOST):
        size = np.maximum(np.abs(state), 1e-6 * np.abs(state).max())
        nudge = 1e-5 * np.where(size > 0.0, size, 1.0)
        moved = after(np.concatenate([state[None], state + np.diag(nudge)]), span)
        slope = ((moved[1:] - moved[0]) / nudge[:, None]).T
        try:
            change = np.linalg.solve(np.eye(state.size) - slope, moved[0] - state)
        except np.linalg.LinAlgError:
            return None
        following = state + change
        # Where the tangent leads out of what can be, an interval is lived through instead.
        state, change = (moved[0], moved[0] - state) if (following < 0.0).any() else (following, change)
        settled = (np.abs(change) <= TOLERANCE * np.maximum(np.abs(state), 1e-6 * np.abs(state).max())).all()
        # Where elimination is saturated the tangent leads far out, to a state that would grow for ever.
        if np.abs(state).max() > _TOO_MUCH * max(doses.amount or doses.rate * span, np.abs(start).max()):
            return None
        if settled:
            return after(state[None], doses.phase)[0] if doses.interval else state
    return None
