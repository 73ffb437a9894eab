"""What is given in each arm: the course of one typical patient as a table to work from."""

from __future__ import annotations

from itertools import groupby

from pkmodel import instructions
from pkmodel.errors import InputError
from pkmodel.pages.blocks import Block, Cell, Column, Facts, Heading, Items, Section, Table, Words, number
from pkmodel.pages.finished import Finished, Middle
from pkmodel.pages.grounds import cited
from pkmodel.population import Patient
from pkmodel.specs.library import Arm
from pkmodel.specs.planned import PlannedSession
from pkmodel.specs.protocol import ProtocolSpec

_HEADS = {
    "session": number("Session"),
    "day": number("Day"),
    "time": Column("Time (h:min)"),
    "route": Column("Route"),
    "dose": Column("Dose"),
    "mg": number("mg"),
    "take": Column("Take"),
    "how": Column("How"),
}


def section(run: Finished) -> Section:
    """The arms, one after the other; what several arms give alike is set out once."""
    typical = patient_of(run.middle)
    blocks: list[Block] = [Words(f"Planned for {said(run.middle, run)}. Times count from the start of a session.")]
    done: list[tuple[Arm, ProtocolSpec]] = []
    for arm in run.scenario.arms:
        blocks.append(Heading(f"{arm.name}: {arm.protocol.title}"))
        blocks.append(Facts(_facts(arm)))
        same = next((other.name for other, protocol in done if protocol == arm.protocol), None)
        done.append((arm, arm.protocol))
        if same is not None:
            blocks.append(Words(f"The course is that of {same}."))
            continue
        blocks += _course(arm, typical)
    return Section("arms", "What is given", tuple(blocks))


def patient_of(middle: Middle) -> Patient:
    """The middle patient of a run, with what a person could say of themselves: whole kilograms, years, centimetres."""
    return Patient(
        weight=f"{middle.weight:.0f} kg" if middle.weight >= 10 else f"{middle.weight:.1f} kg",
        age=f"{middle.age:.0f} y" if middle.age >= 3 else f"{middle.age:.2f} y",
        height=f"{middle.height:.0f} cm",
        sex=middle.sex,
        severity=None if middle.severity is None else round(middle.severity),
    )


def said(middle: Middle, run: Finished) -> str:
    """Who that is, in words."""
    patient = patient_of(middle)
    whose = "the patients of this run" if middle.of == run.findings["n"] else f"the first {middle.of:,} patients"
    score = "" if patient.severity is None else f", a severity score of {patient.severity:g}"
    return (
        f"one typical patient of {patient.weight} ({patient.sex}, {patient.age}, {patient.height}{score}: the medians "
        f"of {whose})"
    )


def _facts(arm: Arm) -> tuple[tuple[str, str], ...]:
    protocol = arm.protocol
    plan = protocol.plan()
    drugs = " and ".join(dict.fromkeys(_drug(planned) for planned in plan))
    facts = [("Drug", drugs)]
    if arm.drug != "match":
        how = {
            "own": "each model is given the stated milligrams of its own drug",
            "half": "an esketamine model is given the S half of a racemic dose",
        }
        facts.append(("In the models", how[arm.drug]))
    facts.append(("Model" if len(arm.models) == 1 else "Models", ", ".join(model.id for model in arm.models)))
    last = plan[-1].start - plan[0].start
    facts.append(("Sessions", f"{len(plan)}" + (f" over {last / 24:.4g} days" if last else "")))
    if protocol.source is not None:
        facts.append(("Source", cited(protocol.source)))
    return tuple(facts)


def _drug(planned: PlannedSession) -> str:
    return "ketamine (racemic)" if planned.drug == "ketamine" else str(planned.drug)


def _course(arm: Arm, patient: Patient) -> list[Block]:
    """The table of a course, and what is decided on the day."""
    protocol = arm.protocol
    blocks: list[Block] = []
    who: Patient | None = patient
    try:
        rows = instructions.course_for(protocol, patient.population().values())
    except InputError as error:
        who = None
        rows = instructions.course_for(protocol, None)
        blocks.append(Words(f"As it is written, because it cannot be set out for that patient: {error.problems[0]}."))
    groups = []
    for phase, of_phase in groupby(rows, key=instructions.heading):
        groups.append((phase, instructions.lines(of_phase, patient=who is not None)))
    used = [name for name in _HEADS if any(line.get(name) for _, lines in groups for line in lines)]
    cells: list[tuple[str, tuple[tuple[Cell, ...], ...]]] = [
        (phase, tuple(tuple(line.get(name, "") for name in used) for line in lines)) for phase, lines in groups
    ]
    weight = f" for {patient.weight}" if who is not None else ", as written"
    planned = "The course as it is planned" if protocol.decides else "The course"
    blocks.append(Table(f"{arm.name}. {planned}{weight}", tuple(_HEADS[name] for name in used), tuple(cells)))
    if protocol.decides:
        blocks.append(Words("What changes it on the day, patient by patient:"))
        blocks.append(Items(tuple(protocol.decisions())))
    if protocol.notes:
        blocks.append(Items(tuple(protocol.notes)))
    return blocks
