"""A model for a population, and what everyone gets of it: as it was planned, or as a clinic decides."""

from __future__ import annotations

from dataclasses import dataclass

from pkmodel import clinic, network, occasions, schedule
from pkmodel.engine import AUTO, Numerics
from pkmodel.errors import InputError, Problem
from pkmodel.ledger import Ledger
from pkmodel.network import Network
from pkmodel.occasions import Course
from pkmodel.population import Population
from pkmodel.schedule import Schedule
from pkmodel.specs.model import ModelSpec
from pkmodel.specs.protocol import ProtocolSpec


@dataclass(frozen=True)
class Treatment:
    """A block of patients and what they get.

    ``course`` is there where parameters differ between occasions, ``ledger`` where something was decided on the day.
    """

    network: Network
    plan: Schedule
    course: Course | None = None
    ledger: Ledger | None = None


def treat(
    model: ModelSpec,
    population: Population,
    protocol: ProtocolSpec,
    fraction: float,
    numerics: Numerics = AUTO,
    *,
    seed: int = 1,
    sprays: bool = True,
    keep: bool = False,
) -> Treatment:
    """A model for a population, what everyone gets of it, the course where occasions differ, and the ledger.

    ``seed`` is that of what a clinic measures, and of what sprays deliver (without ``sprays`` every one delivers what
    it should); with ``keep`` the ledger has the states at every stop.

    Raises InputError where the population has effects of fewer occasions than the protocol has sessions, or a dose or a
    rule of the clinic does not fit; RunError where a solver gives up.
    """
    net = network.build(model, population)
    drawn = min((len(kappas) for kappas in population.kappas.values()), default=0)
    sessions = len(protocol.plan())
    if population.kappas and drawn < sessions:
        found = f"effects of {drawn} occasions for {sessions} sessions"
        raise InputError(Problem(found, "one occasion for each session", path="kappas", where="population"))
    several = occasions.networks(model, population, sessions)
    ledger = None
    if protocol.decides:
        nets = several or (net,) * sessions
        realised = clinic.realise(
            protocol, nets, fraction_of_drug=fraction, numerics=numerics, seed=seed, sprays=sprays, keep=keep
        )
        plan, ledger = realised.plan, realised.ledger
    else:
        sprayed = seed if sprays else None
        plan = schedule.build(protocol, net, fraction_of_drug=fraction, occasions=several, seed=sprayed)
    return Treatment(net, plan, None if several is None else occasions.course(several, plan, numerics), ledger)
