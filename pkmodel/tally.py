"""What a course takes of drug, devices, vials and hours, counted from the sessions as they are given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: What a session may state of each patient, with its unit; ``dosing.py`` says what each one is.
STATED: dict[str, str] = {
    "used": "mg",
    "wasted": "mg",
    "volume": "mL",
    "vials": "",
    "devices": "",
    "sprays": "",
}


class Session(Protocol):
    """A session as it is given, of which this module reads per patient (n,): mg ``given``, and its ``end`` in h.

    And, where it has them, what :data:`STATED` names, each None where the protocol does not say.
    """

    @property
    def given(self) -> Floats: ...

    @property
    def end(self) -> Floats: ...

    @property
    def base(self) -> float:
        """Mass of base in one mass of what is given."""
        ...


@dataclass(frozen=True)
class Taken:
    """What a course takes of each patient.

    ``base`` and ``written`` (n,) are the mg given over the course, as the base and as the protocol writes them (a salt,
    say). ``totals`` (n,) hold what of :data:`STATED` the sessions state, added up, in its unit; what none of them
    states is not in it, and ``sessions`` says how many do. ``given`` (s, n) is the base of each session (mg), ``ends``
    (s, n) when its last dose has been given (h from its start).
    """

    given: Floats
    written: Floats
    ends: Floats
    totals: dict[str, Floats] = field(default_factory=dict)
    sessions: dict[str, int] = field(default_factory=dict)
    by_session: dict[str, Floats] = field(default_factory=dict)
    """(s, n) of what is in ``totals``; 0 in the sessions that do not state it."""

    @property
    def base(self) -> Floats:
        """mg of base given over the course (n,)."""
        whole: Floats = self.given.sum(axis=0)
        return whole


def of(sessions: Sequence[Session]) -> Taken:
    """What the sessions of a course take."""
    totals: dict[str, Floats] = {}
    stated: dict[str, int] = {}
    by_session: dict[str, Floats] = {}
    for name in STATED:
        every = [getattr(session, name, None) for session in sessions]
        known = [value for value in every if value is not None]
        if known:
            totals[name] = np.sum(np.stack(known), axis=0, dtype=np.float64)
            stated[name] = len(known)
            none = np.zeros(totals[name].size)
            by_session[name] = np.stack([none if value is None else value for value in every]).astype(np.float64)
    return Taken(
        given=np.stack([session.given * session.base for session in sessions]),
        written=np.stack([session.given for session in sessions]).sum(axis=0),
        ends=np.stack([session.end for session in sessions]),
        totals=totals,
        sessions=stated,
        by_session=by_session,
    )


def clinic_hours(taken: Taken, minimum: Floats, until: Floats) -> Floats:
    """Hours (s, n) from the start of each session until the patient may leave; infinite where that is never.

    Parameters
    ----------
    minimum
        (s,) h of observation after the last dose of a session, at least.
    until
        (s, n) h from the start of a session until the discharge criterion holds for good
        (:func:`pkmodel.metrics.time_until_below`).

    A session in which a patient is given nothing takes none.
    """
    hours: Floats = np.maximum(taken.ends + minimum[:, None], until)
    return np.where(taken.given > 0.0, hours, 0.0)
