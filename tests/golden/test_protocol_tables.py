"""What every shipped protocol gives one patient, dose by dose, pinned as text: a changed number has to be explained.

The patient is a man of 45 y, 175 cm and 82 kg; for children a boy of 6 y, 116 cm and 20.5 kg. Doses are as planned
(before a clinic decides on the day), in mg as they are drawn up (of the salt, where the protocol says so), times in h
from the start of the course, each with 12 digits. To renew after a meant change:
``python tests/golden/test_protocol_tables.py``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import pkmodel as pk
from pkmodel import dosing
from pkmodel.specs.loading import library

FOLDER = Path(__file__).with_name("protocols")
MAN = pk.Patient(weight="82 kg", height="175 cm", age="45 y", sex="male")
CHILD = pk.Patient(weight="20.5 kg", height="116 cm", age="6 y", sex="male")
#: A model of the drug that has the routes; the typical patient of each protocol is simulated under it.
MODELS = {
    ("ketamine", "iv"): "ketamine_clements1981",
    ("ketamine", "intranasal"): "ketamine_intranasal",
    ("esketamine", "iv"): "esketamine_perezruixo2021",
    ("esketamine", "intranasal"): "esketamine_perezruixo2021",
}


def patient_of(name: str) -> pk.Patient:
    """The patient that a protocol is resolved for."""
    return CHILD if name.startswith("paediatric") else MAN


def table(name: str) -> str:
    """The resolved doses of a protocol as text: session, time_h, dose_mg, over_h, device (empty: none)."""
    values = patient_of(name).population().values()
    lines = ["session,time_h,dose_mg,over_h,device"]
    for planned in pk.load_protocol(name).plan():
        given = dosing.resolve(planned, values, 1)
        for dose in given.doses:
            begins, over, amount = (float(np.ravel(part)[0]) for part in (dose.begins, dose.over, dose.amount))
            if amount > 0:
                device = dose.device if given.devices is not None else ""
                cells = (f"{planned.start + begins:.12g}", f"{amount:.12g}", f"{over:.12g}", device)
                lines.append(f"{planned.index},{','.join(map(str, cells))}")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("name", sorted(library("protocols")))
def test_table_is_that_of_record(name: str) -> None:
    """Every dose, to the last of its 12 digits."""
    assert table(name) == (FOLDER / f"{name}.csv").read_text()


def test_every_protocol_is_on_file_and_says_what_it_rests_on() -> None:
    """At least 18 protocols, each with its table, a source and a grade, and nothing on file that is not shipped."""
    names = set(library("protocols"))
    assert {file.stem for file in FOLDER.glob("*.csv")} == names
    assert len(names) >= 18
    for name in names:
        source = pk.load_protocol(name).source
        assert source is not None and source.evidence is not None, name


@pytest.mark.parametrize("name", sorted(library("protocols")))
def test_protocol_is_simulated(name: str) -> None:
    """Every session reaches the blood: a finite, positive peak in each, from the first to the last."""
    protocol = pk.load_protocol(name)
    model = MODELS[protocol.drugs[0], protocol.routes[-1]]
    signs = ["dissociation_olofsen2022"] if protocol.decides else []
    sessions = pk.simulate(protocol, model, patient_of(name), every="12 h", effects=signs).sessions()
    parent = sessions[sessions["output"] == pk.load_model(model).output("parent")]
    assert len(parent) == len(protocol.plan())
    assert np.isfinite(parent["peak"]).all() and (parent["peak"] > 0).all()


if __name__ == "__main__":
    for each in sorted(library("protocols")):
        (FOLDER / f"{each}.csv").write_text(table(each))
