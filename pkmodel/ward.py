"""Where the patients of a clinic are: brought from stop to stop with what they were given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from pkmodel.core.kinds import Events
from pkmodel.engine import AUTO, Numerics
from pkmodel.ledger import Ledger
from pkmodel.network import Network
from pkmodel.occasions import first_dose_of, states_at, within
from pkmodel.programme import Programme
from pkmodel.schedule import Delivery, EventList

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass
class Ward:
    """Where the patients of a block are: ``state`` (n, s) at ``now`` (n,) h, with all that was given so far."""

    nets: Sequence[Network]
    fraction: float
    numerics: Numerics
    state: Floats
    now: Floats
    ports: dict[int, int] = field(default_factory=dict)
    keep: bool = False
    stops: list[tuple[Flags, Floats, int]] = field(default_factory=list)
    states: list[Floats] = field(default_factory=list)
    _deliveries: list[tuple[float, Delivery]] = field(default_factory=list)
    _current: tuple[Programme, Network] | None = None

    def give(self, programme: Programme, session: int) -> None:
        """Begin with the runs of a session (from 0); those of the session before are settled."""
        self._deliveries += [(_last_of(item), item) for item in self.open()]
        self._current = (programme, self.nets[session])

    def open(self) -> list[Delivery]:
        """The doses of the session that runs, as they stand now."""
        if self._current is None:
            return []
        programme, net = self._current
        return programme.deliveries(net, self.fraction)

    def events(self, since: float = -np.inf) -> Events:
        """All doses, or those of which something may still arrive after ``since`` (h)."""
        events = EventList(self.now.size, self.ports)
        for last, delivery in self._deliveries:
            if last >= since:
                events.deliver(delivery)
        for delivery in self.open():
            events.deliver(delivery)
        return events.events()

    def advance(self, whom: Flags, to: Floats, occasion: int) -> None:
        """Bring the patients ``whom`` (n,) to ``to`` (n,) h, before what arrives there, by the rates of an occasion."""
        who = np.flatnonzero(whom & (to > self.now))
        if who.size:
            events = self.events(float(self.now[who].min()))
            system = replace(self.nets[occasion].system, initial=self.state)
            if system.dynamics is not None:
                first = first_dose_of(self.events())
                system = replace(system, first_dose=np.where(first < self.now, first, np.inf))
            start, end = self.now[who], to[who]
            part = within(events.only(who), start, end, anchored=True)
            self.state = self.state.copy()
            self.state[who] = states_at(system.only(who), part, end, self.numerics)
            self.now = np.where(whom, np.maximum(to, self.now), self.now)
        self.stops.append((whom, to, occasion))
        if self.keep:
            self.states.append(self.state)


def _last_of(delivery: Delivery) -> float:
    """When the last of a dose has arrived, h."""
    lag = 0.0 if delivery.lag is None else delivery.lag
    return float(np.max(np.asarray(delivery.time) + np.asarray(lag) + np.asarray(delivery.duration)))


def replay(
    ledger: Ledger,
    nets: Sequence[Network],
    *,
    fraction_of_drug: float = 1.0,
    numerics: Numerics = AUTO,
) -> list[Floats]:
    """Take a ledger through its stops with what was given, without a rule; the states (n, s) at every stop."""
    size = ledger.size
    ward = Ward(nets, fraction_of_drug, numerics, nets[0].initial.copy(), np.zeros(size), keep=True)
    for index, entry in enumerate(ledger.entries):
        ward.give(entry.programme, index)
    for whom, time, occasion in ledger.stops:
        ward.advance(whom, time, occasion)
    return ward.states
