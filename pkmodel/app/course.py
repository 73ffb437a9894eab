"""Rows of a table as a protocol: what the page shows is what its YAML says, read by the loader of the command line.

A protocol has sessions that do not overlap. Rows may overlap: what runs at the same time becomes one session, whose
parts add up to the same rates (0.5 mg/kg over 40 min with a bolus after 10 min is three parts), exactly.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache

from pkmodel import units
from pkmodel.app.state import Arm, Row, label_of
from pkmodel.errors import InputError, Problem, unknown_name
from pkmodel.specs.library import load_protocol
from pkmodel.specs.loading import check, library
from pkmodel.specs.protocol import ProtocolSpec
from pkmodel.specs.yaml_tree import read_yaml_text

#: What a spray of each drug is given with: the device of the label, the atomiser of protocols/ketamine_nasal_50.yaml.
DEVICE_MG, SPRAY_MG = 28, 10
DEVICE = "{strength: 28 mg, sprays: 2, volume_per_spray: 0.1 mL, rest: 5 min}"
ATOMISER = "{concentration: 100 mg/mL, spray: 0.1 mL, max_per_nostril: 0.3 mL, dead_space: 0.1 mL, every: 5 min}"
_NASAL = {"devices": f"device: {DEVICE}", "sprays": f"atomiser: {ATOMISER}"}
_REST = Fraction(1, 12)
#: A course of more doses is not built by hand.
MOST_DOSES = 500
_RATES = {"mg/h": Fraction(1), "mg/kg/h": Fraction(1), "ug/kg/min": Fraction(60, 1000)}


@dataclass(frozen=True)
class _Given:
    """One dose of a row: when (h), for how long, how much (in the unit of the row) and as which of its doses."""

    row: int
    number: int
    start: Fraction
    over: Fraction
    dose: Fraction
    spec: Row

    @property
    def nasal(self) -> bool:
        return self.spec.unit in _NASAL

    @property
    def end(self) -> Fraction:
        return self.start + (max(self.dose - 1, Fraction(0)) * _REST if self.nasal else self.over)

    @property
    def amount(self) -> Fraction:
        """mg, or mg/kg."""
        return self.dose * _RATES[self.spec.unit] * self.over if self.spec.unit in _RATES else self.dose

    @property
    def kind(self) -> str:
        return "mg/kg" if "/kg" in self.spec.unit else "mg"


@dataclass(frozen=True)
class _Session:
    """Doses that belong together; ``form`` is what the phase says of them."""

    start: Fraction
    doses: tuple[_Given, ...]
    form: str


def protocol_of(arm: Arm, key: str = "a") -> ProtocolSpec:
    """The protocol of an arm. Raises InputError, with the row and the field named where it is built by rows."""
    if arm.source == "library":
        return _of_library(arm.protocol)
    if arm.source == "text":
        return _read(arm.text)
    text, owners = _written(arm, key)
    try:
        return _read(text)
    except InputError as error:
        raise InputError([_of_row(problem, owners, key) for problem in error.problems]) from None


def yaml_of(arm: Arm, key: str = "a") -> str:
    """The text of the protocol file of an arm, as the command line takes it."""
    if arm.source == "library":
        protocol_of(arm, key)
        return library("protocols")[arm.protocol].read_text(encoding="utf-8")
    return arm.text if arm.source == "text" else _written(arm, key)[0]


@lru_cache(maxsize=128)
def _of_library(name: str) -> ProtocolSpec:
    if name not in library("protocols"):
        raise InputError(unknown_name("the name of a protocol", name, library("protocols"), path="protocol"))
    return load_protocol(name)


@lru_cache(maxsize=256)
def _read(text: str) -> ProtocolSpec:
    return check(read_yaml_text(text, "course.yaml"), ProtocolSpec)


def _of_row(problem: Problem, owners: Sequence[int], key: str) -> Problem:
    """A problem of the file as one of the table."""
    found = re.match(r"phases\[(\d+)\]\.?(.*)", problem.path)
    if found is None:
        return replace(problem, where="", line=0)
    field = found[2].split(".")[0].split("[")[0]
    words = {"sessions": "every", "after": "at", "parts": "dose", "taper": "to"}
    path = f"{key}.rows.{owners[int(found[1])]}" + (f".{words.get(field, field)}" if field else "")
    return replace(problem, path=label_of(path), where="", line=0)


def hours(text: str, path: str) -> Fraction:
    """A time as exact hours. Raises InputError for what is none."""
    try:
        quantity = units.as_kind(text, "time")
    except InputError as error:
        raise InputError([problem.at(path=path) for problem in error.problems]) from None
    return Fraction(f"{quantity.number:.12g}") * quantity.unit.factor


def time_text(time: Fraction) -> str:
    """Exact hours as a file writes them: whole days, hours or minutes, or minutes with decimals."""
    if time and time % 24 == 0:
        return f"{time // 24} d"
    if time >= 2 and time.denominator == 1:
        return f"{time} h"
    return f"{_decimal(time * 60)} min"


def _decimal(value: Fraction) -> str:
    return f"{float(value):.12g}"


def _given(row: Row, index: int, key: str) -> list[_Given]:
    """Every dose of a row."""
    place = f"{key}.rows.{index}"

    def field(name: str) -> str:
        return label_of(f"{place}.{name}")

    start = hours(row.at, field("at"))
    if start < 0:
        raise InputError(Problem(row.at, "a time from the start of the course, 0 min or later", field("at")))
    over = hours(row.over, field("over")) if row.over.strip() else Fraction(0)
    if over < 0 or (row.over.strip() and over == 0):
        raise InputError(Problem(row.over, "a time above 0, or nothing for a dose at once", field("over")))
    if row.unit in _RATES and not over:
        raise InputError(
            Problem("nothing", f"for how long {_decimal(Fraction(row.dose))} {row.unit} runs", field("over"))
        )
    if row.unit in _NASAL:
        if row.route != "intranasal":
            raise InputError(Problem(f"{row.unit} on the route {row.route}", "the route intranasal", field("route")))
        if over:
            raise InputError(Problem(row.over, f"nothing: {row.unit} are given at once", field("over")))
        if row.dose != int(row.dose):
            raise InputError(Problem(f"{row.dose:g} {row.unit}", "a whole number of them", field("dose")))
    every = hours(row.every, field("every")) if row.every.strip() else Fraction(0)
    if row.count > 1 and every <= 0:
        found = row.every or "nothing"
        raise InputError(Problem(found, "the time from one dose to the next, such as 24 h", field("every")))
    first = Fraction(f"{row.dose:.12g}")
    last = first if row.to is None else Fraction(f"{row.to:.12g}")
    steps = max(row.count - 1, 1)
    doses = [first + (last - first) * number / steps for number in range(row.count)]
    return [_Given(index, number, start + number * every, over, dose, row) for number, dose in enumerate(doses)]


def _written(arm: Arm, key: str) -> tuple[str, list[int]]:
    """The text of the protocol, and the row that each phase comes from."""
    if not arm.rows:
        raise InputError(Problem("no dose", "at least one row", path="course"))
    doses = [dose for index, row in enumerate(arm.rows) for dose in _given(row, index, key)]
    if len(doses) > MOST_DOSES:
        raise InputError(Problem(f"{len(doses)} doses", f"at most {MOST_DOSES} in a course by rows", path="course"))
    if arm.drug == "ketamine" and any(dose.spec.unit == "devices" for dose in doses):
        expected = "esketamine, which devices of 28 mg hold; or sprays of ketamine"
        raise InputError(Problem("devices of ketamine", expected, path="drug"))
    doses.sort(key=lambda dose: (dose.start, dose.row))
    first = doses[0].start
    sessions = _sessions([replace(dose, start=dose.start - first) for dose in doses], key)
    lines: list[str] = []
    owners: list[int] = []
    index, before = 0, Fraction(0)
    while index < len(sessions):
        run = _run(sessions, index)
        head = sessions[index]
        when = "" if index == 0 else f"after: {time_text(head.start - before)}, "
        lines.append(f"  - {{name: {_name(head, run, len(lines))}, {when}{_phase(sessions, index, run)}}}")
        owners.append(head.doses[0].row)
        before = sessions[index + run - 1].start
        index += run
    route = sessions[0].doses[0].spec.route
    lines = [line.replace(f"route: {route}, ", "") for line in lines]
    text = (
        "title: A course built on the page\n"
        f"drug: {arm.drug}\n"
        "source: {citation: built by hand on the page of pkmodel, evidence: unsourced}\n"
        f"route: {route}\n"
        "phases:\n" + "\n".join(lines) + "\n"
    )
    return text, owners


def _name(head: _Session, run: int, place: int) -> str:
    rows = sorted({dose.row + 1 for dose in head.doses})
    named = f"row {rows[0]}" if len(rows) == 1 else f"rows {' and '.join(map(str, rows))}"
    return named if run > 1 or place == 0 else f"{named} phase {place + 1}"


def _sessions(doses: Sequence[_Given], key: str) -> list[_Session]:
    """Doses in the order of time as sessions: those that touch or overlap together."""
    found: list[_Session] = []
    cluster: list[_Given] = []

    def close() -> None:
        if cluster:
            found.append(_Session(cluster[0].start, tuple(cluster), _form(cluster)))
            cluster.clear()

    for dose in doses:
        end = max((other.end for other in cluster), default=None)
        if end is None or dose.start > end or (dose.start == end and not _joins(cluster[-1], dose)):
            close()
        elif not all(_joins(other, dose) for other in cluster):
            said = f"a dose {dose.spec.route} at {time_text(dose.start)}, before the one that begins at "
            said += f"{time_text(cluster[0].start)} has ended"
            expected = "doses of one route and of one kind (mg, or mg/kg) at the same time: put the other one later"
            if dose.start == cluster[0].start and not cluster[0].end > dose.start:
                expected += ", by a minute say"
            raise InputError(Problem(said, expected, label_of(f"{key}.rows.{dose.row}.at")))
        cluster.append(dose)
    close()
    for before, after in itertools.pairwise(found):
        if after.start == before.start:
            said = f"two doses of different kinds at {time_text(after.start)}"
            raise InputError(
                Problem(said, "one of them later, by a minute say", label_of(f"{key}.rows.{after.doses[0].row}.at"))
            )
    return found


def _joins(one: _Given, other: _Given) -> bool:
    """Whether two doses can be parts of one session."""
    return one.spec.route == other.spec.route and one.kind == other.kind and not one.nasal and not other.nasal


def _form(doses: Sequence[_Given]) -> str:
    """What a phase says of the doses of one session."""
    head = doses[0]
    if len(doses) == 1:
        over = f", over: {time_text(head.over)}" if head.over else ""
        return f"{_route(head)}dose: {_dose_text(head)}{over}"
    start = head.start
    cuts = sorted({time for dose in doses for time in (dose.start, dose.end)})
    parts = []
    for index, cut in enumerate(cuts):
        for dose in doses:
            if not dose.over and dose.start == cut:
                parts.append(f"{{dose: {_decimal(dose.amount)} {dose.kind}}}")
        if index + 1 < len(cuts):
            long = cuts[index + 1] - cut
            running = [dose for dose in doses if dose.over and dose.start <= cut < dose.end]
            amount = sum((dose.amount / dose.over * long for dose in running), Fraction(0))
            parts.append(f"{{dose: {_decimal(amount)} {head.kind}, over: {time_text(long)}}}")
    assert start == cuts[0]
    return f"{_route(head)}parts: [{', '.join(parts)}]"


def _dose_text(dose: _Given) -> str:
    if dose.nasal:
        return f"{_decimal(dose.dose * (DEVICE_MG if dose.spec.unit == 'devices' else SPRAY_MG))} mg"
    return f"{_decimal(dose.dose)} {dose.spec.unit}"


def _route(dose: _Given) -> str:
    return f"route: {dose.spec.route}, " + (f"{_NASAL[dose.spec.unit]}, " if dose.nasal else "")


def _run(sessions: Sequence[_Session], index: int) -> int:
    """How many sessions from ``index`` on are one phase: the doses of one row, one after the other."""
    head = sessions[index]
    if len(head.doses) > 1 or head.doses[0].number != 0:
        return 1
    row = head.doses[0]
    run = 1
    while (
        index + run < len(sessions)
        and len(sessions[index + run].doses) == 1
        and sessions[index + run].doses[0].row == row.row
    ):
        run += 1
    rises = row.spec.to is not None and row.spec.to > row.spec.dose
    # A taper is one as a whole only: from, to and how many.
    broken = row.spec.to is not None and run != row.spec.count
    return 1 if (rises or broken or row.nasal) and row.spec.to not in (None, row.spec.dose) else run


def _phase(sessions: Sequence[_Session], index: int, run: int) -> str:
    head = sessions[index]
    if run == 1:
        return f"{head.form}, sessions: {{days: [1]}}"
    row = head.doses[0]
    every = time_text(sessions[index + 1].start - head.start)
    if row.spec.to is None or row.spec.to == row.spec.dose:
        return f"{head.form}, sessions: {{every: {every}, count: {run}}}"
    over = f"over: {time_text(row.over)}, " if row.over else ""
    last = sessions[index + run - 1].doses[0]
    taper = f"{{from: {_dose_text(row)}, to: {_dose_text(last)}, sessions: {run}, every: {every}}}"
    return f"{_route(row)}{over}taper: {taper}"
