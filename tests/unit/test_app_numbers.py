"""Curves of the page, their numbers, and what is taken away, against the public API and the command line."""

from __future__ import annotations

import shlex
from pathlib import Path

import pandas as pd
import pytest

import pkmodel as pk
from pkmodel.app import compute, take_away
from pkmodel.app.picture import drawn, figure_of
from pkmodel.app.readouts import peak_sentence, readouts, time_words
from pkmodel.app.scene import state_of
from pkmodel.app.state import Arm, Crowd, Limits, Person, Row, State, View
from pkmodel.errors import InputError
from pkmodel.lessons import LESSONS

pytestmark = pytest.mark.pictures

BY_ROWS = Arm(
    source="rows", drug="ketamine", model="ketamine_kamp2020", rows=(Row(dose=0.5, over="40 min"), Row(at="3 h"))
)


def test_numbers_are_those_of_the_api() -> None:
    state = State(person=Person(weight=91, age=52), a=Arm(protocol="esketamine_nasal_acute"), limits=Limits(upper=60))
    shown = compute.curves(state)
    result = pk.simulate(
        "esketamine_nasal_acute",
        "esketamine_perezruixo2021",
        pk.Patient(weight="91 kg", age="52 y", sex="female", height="170 cm"),
        until=f"{shown.until:g} h",
    )
    table = result.sessions()
    for one in readouts(shown, state.limits):
        own = table[table["output"] == one.output]
        assert one.peak == own["peak"].max()
        assert one.auc == pytest.approx(own["auc"].sum(), rel=1e-12)
        first = own.loc[own["peak"].idxmax()]
        assert one.time_of_peak == pytest.approx(first["start_h"] + first["time_of_peak"])
    (parent,) = readouts(shown, state.limits, ["esketamine"])
    assert parent.time_above is not None and parent.time_above > 0
    assert f"{parent.peak:.4g} ng/mL" in peak_sentence([parent], {parent.curve: "esketamine"})


def test_a_limit_and_leaving_by_an_effect() -> None:
    effect = "dissociation_olofsen2022"
    limits = Limits(upper=100, discharge=5, discharge_of=effect)
    state = State(effects=(effect,), limits=limits)
    shown = compute.curves(state)
    found = {one.output: one for one in readouts(shown, limits)}
    result = next(iter(shown.results.values()))
    above = (result.level("esketamine")[0] > 100).sum() / 60
    assert found["esketamine"].time_above == pytest.approx(above, abs=1 / 60)
    after = result.time[result.level(effect)[0] > 0.05][-1]
    assert found[effect].until_below == pytest.approx(after, abs=1 / 60)


def test_two_courses_and_several_models() -> None:
    state = State(a=BY_ROWS, b=Arm(protocol="esketamine_nasal_acute", name="nose"), also=("esketamine_otto2021",))
    shown = compute.curves(state)
    assert list(shown.by_name) == ["A", "A, esketamine_otto2021", "B (nose)"]
    assert shown.by_name["A, esketamine_otto2021"].drug == "half"


def test_what_does_not_fit_is_left_out_and_said() -> None:
    state = State(a=BY_ROWS, effects=("nmda_occupancy",), also=("esketamine_flint2017", "no_such_model"))
    shown = compute.curves(state)
    assert shown.effects == ()
    assert any("nmda_occupancy" in note for note in shown.notes)
    assert any("no_such_model" in note for note in shown.notes)
    wrong = State(a=Arm(protocol="esketamine_nasal_acute", model="ketamine_clements1981"))
    assert any("does not fit" in note for note in compute.curves(wrong).notes)
    with pytest.raises(InputError):
        compute.curves(State(a=Arm(source="rows", drug="ketamine", rows=(Row(route="rectal"),))))


def test_a_child_gets_a_model_of_children() -> None:
    shown = compute.curves(State(person=Person(weight=20, age=6, height=115), a=Arm(protocol="iv_single")))
    assert next(iter(shown.by_name.values())).model == "ketamine_herd2007"


def test_the_first_of_many_patients_are_those_of_few() -> None:
    state = State(crowd=Crowd(n=40, seed=5))
    shown = compute.curves(state)
    few, many = (compute.bands(state, shown, n) for n in (10, 40))
    name = next(iter(few))
    assert (few[name].level()[:10] == many[name].level()[:10]).all()


@pytest.mark.parametrize(
    "state",
    [
        State(a=BY_ROWS, view=View(log=True)),
        State(
            a=BY_ROWS,
            b=Arm(protocol="iv_single"),
            effects=("dissociation_olofsen2022", "nausea"),
            view=View(normalise=True),
        ),
        State(crowd=Crowd(n=20), view=View(clock="09:00", hours=3), limits=Limits(upper=100, lower=20)),
        State(a=Arm(protocol="iv_six_and_maintenance")),
    ],
)
def test_a_picture_and_its_map(state: State) -> None:
    shown = compute.curves(state)
    people = compute.bands(state, shown, 20) if state.crowd.n else {}
    made = drawn(figure_of(state, shown, people, 860, 480))
    assert made.png.startswith(b"\x89PNG")
    panel = made.coordmap["panels"][0]
    assert panel["domain"]["left"] < 0 < shown.until < panel["domain"]["right"]
    assert 0 < panel["range"]["left"] < panel["range"]["right"] < made.width
    assert 0 < panel["range"]["top"] < panel["range"]["bottom"] < made.height


def test_the_command_line_gives_the_same_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from typer.testing import CliRunner

    from pkmodel.cli.commands import app

    person = Person(
        weight=154, weight_unit="lb", height=65, height_unit="inch", ancestry="japanese", cyp2b6_activity=0.5
    )
    state = State(person=person, a=BY_ROWS, effects=("dissociation_olofsen2022",))
    shown = compute.curves(state)
    (line,) = take_away.command_lines(state, shown)
    monkeypatch.chdir(tmp_path)
    Path(take_away.yaml_name(state, "a")).write_text(take_away.yaml_text(state, "a"), encoding="utf-8")
    done = CliRunner().invoke(app, shlex.split(line)[1:])
    assert done.exit_code == 0, done.output
    ours = pd.read_csv(pd.io.common.StringIO(take_away.csv_text(shown)))
    theirs = pd.read_csv("curve.csv")
    assert (ours["value"].to_numpy() == theirs["value"].to_numpy()).all()
    assert (ours["output"] == theirs["output"]).all()


def test_one_command_for_each_course_and_way_of_giving() -> None:
    state = State(a=Arm(protocol="iv_single"), b=BY_ROWS, also=("ketamine_kamp2020", "esketamine_otto2021"))
    lines = take_away.command_lines(state, compute.curves(state))
    assert len(lines) == 3
    assert sum("--drug half" in line for line in lines) == 1
    assert any("course_b.yaml" in line for line in lines)
    assert len({line.rpartition(" ")[2] for line in lines}) == 3


@pytest.mark.parametrize("name", list(LESSONS))
def test_every_lesson_can_be_put_on_the_page(name: str) -> None:
    state = state_of(LESSONS[name].scene)
    shown = compute.curves(state)
    assert len(shown.main) == min(len(LESSONS[name].scene.arms), 2)


def test_times_in_words() -> None:
    assert time_words(2 / 3) == "40 min"
    assert time_words(2.494) == "2 h 30 min"
    assert time_words(408.67) == "day 18"
    assert time_words(float("inf")) == "not within the time shown"
