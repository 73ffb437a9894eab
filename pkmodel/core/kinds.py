"""Events as a kernel sees them, apart from the kernels so that a schedule can be made without loading numba."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

#: An amount (mg) arrives in a compartment at once.
JUMP = 0
#: A rate (mg/h) begins to pour into a port, or ends.
RATE_ON = 1
RATE_OFF = 2
#: Every state back to its start, every port closed; in patients whose value is above 0.
RESET = 3


#: Figures of one state over one interval, the last axis of ``stats`` (:func:`pkmodel.core.crossing.scan`).
START, END, PEAK, TIME_OF_PEAK, AREA, LEAST = 0, 1, 2, 3, 4, 5
N_STATS = 6


class Look(NamedTuple):
    """What a scan looks for besides peaks, and the steps in which it does.

    With ``valleys`` the lowest levels inside of steps are found; without ``areas`` AREA is 0, which saves the running
    integrals. Steps are halvings of ``unit`` (h): where times of a course are whole parts of it, none of them needs a
    rest of a step. That is a matter of speed, and of the last digits.
    """

    valleys: bool = False
    areas: bool = True
    unit: float = 1.0


#: What a scan looks for where nothing is said of it.
USUAL = Look()


class Events(NamedTuple):
    """The dosing events of ``n`` patients, everything about them decided.

    ``time`` is (e, 1 or n) h, one column where all patients share their times; ``order`` (the same shape) sorts the
    events of a patient, ties in the order of decision. ``kind`` (e,); ``target`` (e,) is the compartment of a jump
    or the port of a rate; ``value`` (e, n) is in mg or mg/h. ``port_compartment`` (q,) says where each port pours.
    ``alike`` holds where every patient has the same times whoever else is in the block, not by chance.
    """

    time: NDArray[np.float64]
    order: NDArray[np.int64]
    kind: NDArray[np.int64]
    target: NDArray[np.int64]
    value: NDArray[np.float64]
    port_compartment: NDArray[np.int64]
    alike: bool = False

    def only(self, who: NDArray[np.int64] | NDArray[np.bool_]) -> Events:
        """The events of some of the patients, by their numbers in the block or by flags."""
        events = self._replace(value=np.ascontiguousarray(self.value[:, who]))
        if self.time.shape[1] > 1:
            time, order = np.ascontiguousarray(self.time[:, who]), np.ascontiguousarray(self.order[:, who])
            events = events._replace(time=time, order=order)
        return events
