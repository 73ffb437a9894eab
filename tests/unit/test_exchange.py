"""What other programs read is, dose by dose and to the last digit, what the engine gives."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pkmodel as pk
from pkmodel import dosing, network, schedule
from pkmodel.records.exchange import Arrival, export, folded
from pkmodel.specs.loading import library

Command = Callable[..., Any]
MAN = pk.Patient(weight="82 kg", height="175 cm", age="45 y", sex="male")
#: time, amount, duration (a rate in NONMEM), compartment.
Dose = tuple[float, float, float, str]
COURSES = [
    ("iv_taper_dose_and_interval", "ketamine_clements1981"),
    ("esketamine_nasal_induction", "esketamine_perezruixo2021"),
    ("esketamine_iv_then_nasal", "esketamine_perezruixo2021"),
    ("iv_titration", "ketamine_domino1984"),
    ("ketamine_nasal_50", "ketamine_intranasal"),
]


def calls(text: str, function: str, duration: str) -> list[Dose]:
    """The doses of ``ev()`` or ``et()`` calls, with their repetitions; a line that is none of them is an error."""
    found: list[Dose] = []
    lines = [line.strip() for line in text.splitlines() if not line.startswith("#")]
    assert lines[0] == ("doses <- c(" if function == "ev" else 'doses <- et(amountUnits = "mg", timeUnits = "h") |>')
    if function == "ev":
        assert lines.pop() == ")"
    for line in lines[1:]:
        match = re.fullmatch(function + r"\((.*)\)(,| \|>)?", line)
        assert match is not None, line
        words = dict(part.split(" = ") for part in match[1].split(", "))
        assert set(words) <= {"time", "amt", "cmt", duration, "ii", "addl"}
        for index in range(int(words.get("addl", 0)) + 1):
            time = float(words["time"]) + float(words.get("ii", 0)) * index
            cmt = words["cmt"].removeprefix('"').removesuffix('"')
            found.append((time, float(words["amt"]), float(words.get(duration, 0)), cmt))
    return sorted(found)


def records(text: str) -> list[Dose]:
    """The doses of NONMEM records, under their rate, with the compartment that the comment names."""
    lines = text.splitlines()
    (named,) = (line for line in lines if line.startswith("@ CMT: "))
    names = dict(part.split(" ") for part in named.removeprefix("@ CMT: ").split(", "))
    rows = [line.split(",") for line in lines if not line.startswith("@")]
    found: list[Dose] = []
    for row in rows[1:]:
        cells = dict(zip(rows[0], row, strict=True))
        assert (cells["ID"], cells["EVID"], cells["MDV"]) == ("1", "1", "1")
        for index in range(int(cells["ADDL"]) + 1):
            time = float(cells["TIME"]) + float(cells["II"]) * index
            found.append((time, float(cells["AMT"]), float(cells["RATE"]), names[cells["CMT"]]))
    return sorted(found)


def engine(protocol: str, model: str, *, rates: bool = False) -> list[Dose]:
    """The doses as the engine gets them: what arrives, when, over how long (or at which rate), and where."""
    net = network.build(pk.load_model(model), MAN.population())
    found: list[Dose] = []
    for item in schedule.given(pk.load_protocol(protocol), net)[1]:
        amount, lag, share, over, time = (
            float(np.ravel(part)[0]) if part is not None else other
            for part, other in (
                (item.amount, 0.0),
                (item.lag, 0.0),
                (item.fraction, 1.0),
                (item.duration, 0.0),
                (item.time, 0.0),
            )
        )
        arrives = amount * share
        length = (arrives / over if over else 0.0) if rates else over
        if arrives > 0:
            found.append((time + lag, arrives, length, net.model.compartments[item.compartment]))
    return sorted(found)


@pytest.mark.parametrize(("protocol", "model"), COURSES)
def test_doses_read_back_are_those_of_the_engine(protocol: str, model: str) -> None:
    """All three programs: every time, amount, duration and compartment, bit for bit."""
    spec, chosen = pk.load_protocol(protocol), pk.load_model(model)
    expected = engine(protocol, model)
    assert len(expected) >= len(spec.plan())
    assert calls(export(spec, MAN, "mrgsolve", model=chosen), "ev", "tinf") == expected
    assert calls(export(spec, MAN, "rxode2", model=chosen), "et", "dur") == expected
    assert records(export(spec, MAN, "nonmem", model=chosen)) == engine(protocol, model, rates=True)


@pytest.mark.parametrize("protocol", sorted(library("protocols")))
def test_every_protocol_is_written_without_a_model(protocol: str) -> None:
    """What is given, in all: the milligrams of the engine, into central by vein and into depot otherwise."""
    spec = pk.load_protocol(protocol)
    found = calls(export(spec, MAN, "rxode2"), "et", "dur")
    routes = {"central" if planned.route == "iv" else "depot" for planned in spec.plan()}
    assert {cmt for *_, cmt in found} == routes
    assert calls(export(spec, MAN, "mrgsolve"), "ev", "tinf") == found
    total = sum(float(dosing.resolve(planned, MAN.population().values(), 1).given[0]) for planned in spec.plan())
    assert sum(amount for _, amount, _, _ in found) == pytest.approx(total, rel=1e-13)


def test_repetitions_are_folded_only_where_they_are_exact() -> None:
    """Six equal doses in two runs; a third of an hour repeated is written out, and so is a dose that differs."""
    text = export(pk.load_protocol("iv_six_infusions"), MAN, "mrgsolve")
    assert text.count("ev(") == 2 and text.count("ii = 48.0, addl = 2") == 2

    def dose(time: float, amount: float = 1.0) -> Arrival:
        return Arrival(time, amount, 0.0, "central")

    assert len(folded([dose(0.0), dose(24.0), dose(48.0), dose(72.5)])) == 2
    assert len(folded([dose(0.0), dose(24.0, 2.0), dose(48.0)])) == 2
    assert len(folded([dose(0.0), dose(1 / 3), dose(2 / 3)])) == 3
    (one,) = folded([dose(0.1), dose(24.1), dose(48.1)])
    assert one.times() == [0.1, 24.1, 48.1]


def test_header_says_what_it_is(command: Command) -> None:
    """Title, source with its grade, units, patient, and that it is not for care, as comment of the program."""
    for program, mark in (("nonmem", "@ "), ("mrgsolve", "# "), ("rxode2", "# ")):
        outcome = command("protocols", "export", "iv_six_infusions", "--to", program, "--weight", "82 kg")
        assert (outcome.code, outcome.err) == (0, "")
        head = [line for line in outcome.out.splitlines() if line.startswith(mark)]
        assert head[0] == f"{mark}Ketamine IV, six infusions of 0.5 mg/kg over 12 days"
        said = "\n".join(head)
        for part in ("Murrough", "evidence: primary", "mg of the base", "weight 82 kg", "Not for patient care"):
            assert part in said


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("iv_single", "--to", "nonmen", "--weight", "82 kg"), ("nonmen", "nearest nonmem")),
        (("iv_single", "--to", "rxode2"), ("weight, which the dose depends on",)),
        (("iv_single", "--to", "rxode2", "--weight", "82 kg", "--model", "esketamine_otto2021"), ("ketamine", "drug")),
        (("iv_single", "--to", "rxode2", "--weight", "82 kg", "-o", "missing/x.R"), ("missing/x.R",)),
        (("iv_single", "--to", "rxode2", "--weight", "82 kg", "-o", " "), ("an empty path",)),
        (
            ("esketamine_nasal_acute", "--to", "mrgsolve", "--weight", "82 kg", "--model", "esketamine_otto2021"),
            ("intranasal", "a route of esketamine_otto2021"),
        ),
    ],
)
def test_refused(command: Command, tmp_path: Path, monkeypatch: Any, words: tuple[str, ...], parts: Any) -> None:
    """One error, exit code 2, nothing printed or written."""
    monkeypatch.chdir(tmp_path)
    outcome = command("protocols", "export", *words)
    assert (outcome.code, outcome.out) == (2, "")
    (line,) = outcome.err.splitlines()
    assert all(part in line for part in parts), line
    assert list(tmp_path.iterdir()) == []


def test_two_drugs_are_not_written_as_one() -> None:
    """Milligrams of the racemate and of esketamine are not the same; without a model nothing tells them apart."""
    phases = [
        {"name": "one", "dose": "35 mg", "sessions": {"days": [1]}},
        {"name": "two", "drug": "esketamine", "dose": "20 mg", "sessions": {"days": [8]}},
    ]
    spec = pk.load_protocol({"title": "T", "drug": "ketamine", "route": "iv", "over": "40 min", "phases": phases})
    assert spec.drugs == ["ketamine", "esketamine"]
    with pytest.raises(pk.InputError, match="ketamine and esketamine"):
        export(spec, MAN, "rxode2")
    with pytest.raises(pk.InputError, match="ketamine and esketamine"):
        export(spec, MAN, "rxode2", model=pk.load_model("ketamine_clements1981"))


def test_written_to_a_file(command: Command, tmp_path: Path) -> None:
    """The same text as on standard output, whole, with a note of what was written."""
    words = ("protocols", "export", "iv_single", "--to", "mrgsolve", "--weight", "82 kg")
    printed = command(*words).out
    outcome = command(*words, "-o", tmp_path / "doses.R")
    assert (outcome.code, outcome.out) == (0, "")
    assert (tmp_path / "doses.R").read_text() == printed
    assert "Not for patient care" in outcome.err
