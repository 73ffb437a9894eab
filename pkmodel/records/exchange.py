"""A protocol for other programs: NONMEM records, mrgsolve ``ev()`` and rxode2 ``et()``, for one patient.

Every dosing rule is resolved. With a model what is written is what *arrives* in its compartments (dose times fraction,
at the time of the dose plus its lag), so that it needs no bioavailability and no lag at the other end; without one it
is what is given, into ``central`` by vein and into ``depot`` by any other route.

Syntax: mrgsolve ``ev(time, amt, cmt, tinf, ii, addl)`` combined by ``c()`` (its manual, ``?ev``); rxode2 ``et(time,
amt, cmt, dur, ii, addl)`` in a pipe (``?et``); NONMEM's ``$DATA`` with ``IGNORE=@``, which passes by the lines of
comment and of names.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Literal, get_args

import numpy as np

from pkmodel import dosing, network, schedule
from pkmodel.disclaimer import NOT_FOR_CARE
from pkmodel.errors import InputError, Problem, unknown_name
from pkmodel.population import Patient
from pkmodel.specs.library import DrugMode, drug_fraction
from pkmodel.specs.model import ModelSpec
from pkmodel.specs.protocol import ProtocolSpec

Program = Literal["nonmem", "mrgsolve", "rxode2"]


@dataclass(frozen=True)
class Arrival:
    """A dose into a compartment: ``amount`` mg from ``time`` h on, over ``duration`` h (0: at once).

    It is repeated ``more`` times, every ``interval`` h.
    """

    time: float
    amount: float
    duration: float
    compartment: str
    interval: float = 0.0
    more: int = 0

    def times(self) -> list[float]:
        """Hours at which the dose and its repetitions begin, as the other programs count them."""
        return [self.time + self.interval * index for index in range(self.more + 1)]


def arrivals(
    protocol: ProtocolSpec, patient: Patient, model: ModelSpec | None = None, *, drug: DrugMode = "match"
) -> list[Arrival]:
    """Every dose of a protocol for one patient, in mg of the base and h from the start of the course, in time order.

    Raises InputError where a covariate is missing, or drug or route do not fit the model.
    """
    population = patient.population()
    found: list[Arrival] = []
    if model is None and len(protocol.drugs) > 1:
        found_drugs = " and ".join(protocol.drugs)
        raise InputError(Problem(f"a protocol of {found_drugs}", "one drug, whose milligrams count alike", "drug"))
    if model is None:
        values, before = population.values(), dosing.Before.nothing(1)
        for planned in protocol.plan():
            before = before.on(planned.start)
            session = dosing.resolve(planned, values, 1, before=before)
            before = before.add(session.given)
            into = "central" if planned.route == "iv" else "depot"
            for dose in session.doses:
                begins, over, amount = (_only(part) for part in (dose.begins, dose.over, dose.amount))
                found.append(Arrival(planned.start + begins, amount * session.base, over, into))
    else:
        share, _ = drug_fraction(protocol, model, drug)
        net = network.build(model, population)
        for delivery in schedule.given(protocol, net, fraction_of_drug=share)[1]:
            time = _only(delivery.time) + (0.0 if delivery.lag is None else _only(delivery.lag))
            amount = _only(delivery.amount) * (1.0 if delivery.fraction is None else _only(delivery.fraction))
            into = model.compartments[delivery.compartment]
            found.append(Arrival(time, amount, _only(delivery.duration), into))
    return sorted((item for item in found if item.amount > 0), key=lambda item: item.time)


def _only(value: object) -> float:
    return float(np.ravel(np.asarray(value, dtype=np.float64))[0])


def folded(doses: Iterable[Arrival]) -> list[Arrival]:
    """Equal doses as one with repetitions every so many whole hours, where the times come out to the last bit."""
    runs: list[list[Arrival]] = []
    alike: dict[tuple[float, float, str], list[list[Arrival]]] = {}
    for dose in doses:
        same = alike.setdefault((dose.amount, dose.duration, dose.compartment), [])
        for run in same[-4:]:  # of older ones none can go on at the same interval
            if _fits(run, dose.time):
                run.append(dose)
                break
        else:
            same.append([dose])
            runs.append(same[-1])
    return [
        replace(run[0], interval=run[1].time - run[0].time, more=len(run) - 1) if len(run) > 1 else run[0]
        for run in runs
    ]


def _fits(run: Sequence[Arrival], time: float) -> bool:
    """Whether a run of equal doses goes on at ``time``, exactly."""
    first = run[0].time
    interval = (run[1].time if len(run) > 1 else time) - first
    return interval >= 1 and interval == round(interval) and first + interval * len(run) == time


def export(
    protocol: ProtocolSpec,
    patient: Patient,
    program: str,
    *,
    model: ModelSpec | None = None,
    drug: DrugMode = "match",
) -> str:
    """The doses of a protocol for one patient as text that another program reads; see the module.

    Parameters
    ----------
    program
        ``nonmem``, ``mrgsolve`` or ``rxode2``.
    model
        whose compartments receive the doses.

    Raises InputError for another program, or where the protocol does not fit patient or model.
    """
    if program not in get_args(Program):
        raise InputError(unknown_name("a program", program, get_args(Program), where="--to"))
    doses = folded(arrivals(protocol, patient, model, drug=drug))
    comment = "@" if program == "nonmem" else "#"
    head = "".join(f"{comment} {line}\n" for line in _head(protocol, patient, model))
    if program == "nonmem":
        return head + _nonmem(doses, model)
    if program == "mrgsolve":
        return head + "doses <- c(\n  " + ",\n  ".join(_calls(doses, "ev", "tinf")) + "\n)\n"
    return (
        head + " |>\n  ".join(['doses <- et(amountUnits = "mg", timeUnits = "h")', *_calls(doses, "et", "dur")]) + "\n"
    )


_USUAL = {item.name: item.default for item in fields(Patient)}


def _head(protocol: ProtocolSpec, patient: Patient, model: ModelSpec | None) -> list[str]:
    """What the numbers are, for the lines of comment."""
    lines = [protocol.title]
    if protocol.source is not None:
        lines.append(f"Source: {protocol.source.citation} (evidence: {protocol.source.evidence or 'not stated'})")
    lines.append("Units: mg of the base, h from the start of the course")
    if model is not None:
        lines.append(f"What arrives in the compartments of {model.id}: dose times fraction, with its lag; use F = 1")
        lines.append("and no lag at the other end")
    else:
        lines.append("What is given, into central by vein and into depot by any other route")
    if protocol.clinic is not None:
        lines.append("The course as planned: what a clinic would decide on the day is not in it")
    known = {item.name: getattr(patient, item.name) for item in fields(patient)}
    told = [f"{name} {value}" for name, value in known.items() if value is not None and value != _USUAL.get(name)]
    lines += [f"Patient: {', '.join(told) or 'not described'}", NOT_FOR_CARE]
    # A citation is free text: nothing of it may end its comment.
    return [" ".join(line.split()) for line in lines]


def _calls(doses: list[Arrival], function: str, duration: str) -> list[str]:
    """One call for every dose, with its repetitions; numbers with all their digits."""
    calls = []
    for dose in doses:
        words = [f"time = {dose.time!r}", f"amt = {dose.amount!r}", f'cmt = "{dose.compartment}"']
        words += [f"{duration} = {dose.duration!r}"] if dose.duration > 0 else []
        words += [f"ii = {dose.interval!r}", f"addl = {dose.more}"] if dose.more else []
        calls.append(f"{function}({', '.join(words)})")
    return calls


def _nonmem(doses: list[Arrival], model: ModelSpec | None) -> str:
    """Records; compartments by their number, which a line of comment explains."""
    order = list(model.compartments) if model is not None else _generic(doses)
    named = ", ".join(f"{number} {name}" for number, name in enumerate(order, 1))
    lines = [f"@ CMT: {named}", "ID,TIME,EVID,MDV,AMT,RATE,II,ADDL,CMT"]
    for dose in doses:
        rate = dose.amount / dose.duration if dose.duration > 0 else 0
        cells = (1, dose.time, 1, 1, dose.amount, rate, dose.interval if dose.more else 0, dose.more)
        lines.append(",".join([*map(repr, cells), str(order.index(dose.compartment) + 1)]))
    return "\n".join(lines) + "\n"


def _generic(doses: list[Arrival]) -> list[str]:
    """The compartments as ADVAN2, 4 and 12 number them where there is a depot, and ADVAN1, 3 and 11 where not."""
    return ["depot", "central"] if any(dose.compartment == "depot" for dose in doses) else ["central"]
