"""The lessons: they build, draw and answer; what they say is what the engine gives; their data carry their sources."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from matplotlib.figure import Figure

import pkmodel as pk
from pkmodel.lessons import (
    LESSONS,
    Answer,
    bench,
    dosing_weight,
    effect_lag,
    first_pass,
    hours_and_weeks,
    infusion_length,
    intervals,
    lesson,
    mechanism,
    models_disagree,
    nose_and_vein,
    taper_threshold,
    worksheet,
)
from pkmodel.lessons import accumulation as adding_up
from pkmodel.lessons import bolus as overshoot
from pkmodel.specs.loading import library

pytestmark = [pytest.mark.pictures, pytest.mark.xdist_group("lessons")]  # lessons are built and answered once

Command = Callable[..., Any]

STEPS = [(name, index) for name in LESSONS for index in range(len(LESSONS[name].steps))]
GRADES = ("primary", "trace", "secondary", "derived", "borrowed", "assumed", "unsourced")
ADULT = pk.Patient(weight="70 kg", age="40 y", sex="female", height="170 cm")


def _value(name: str, step: int) -> Any:
    return lesson(name).steps[step].answer().value


def test_at_least_ten_and_each_whole() -> None:
    """Titles differ; every lesson has one to three steps, minutes, readers, and something to try."""
    assert len(LESSONS) >= 10
    assert len({made.title for made in LESSONS.values()}) == len(LESSONS)
    for name, made in LESSONS.items():
        assert made.id == name
        assert 1 <= len(made.steps) <= 3
        assert 3 <= made.minutes <= 15
        assert made.intro and made.try_next and made.for_whom
        assert LESSONS[name] is made  # built once


@pytest.mark.parametrize(("name", "index"), STEPS)
def test_a_step_draws_and_answers(name: str, index: int) -> None:
    """Before and after, with a prediction; the answer lies among the choices or within the range, with its sources."""
    step = lesson(name).steps[index]
    answer = step.answer()
    assert answer is step.answer()  # kept
    if step.kind == "choice":
        assert answer.value in step.choices
        assert len(set(step.choices)) == len(step.choices) >= 2
        guesses: list[Any] = list(step.choices)
    else:
        assert isinstance(answer.value, float)
        assert step.low < answer.value < step.high
        assert step.unit
        guesses = [step.low, (step.low + step.high) / 2, step.high]
    assert answer.sentence and answer.why and answer.sources
    assert all(math.isfinite(value) for _, value, _ in answer.numbers)
    before = Figure(figsize=(8, 4)).add_subplot()
    step.draw(before, revealed=False)
    assert before.get_ylabel() or index == 1  # a time line has no height
    for guess in guesses:
        after = Figure(figsize=(8, 4)).add_subplot()
        step.draw(after, revealed=True, prediction=guess)
        written = [text.get_text() for text in after.texts]
        assert any("you: " in text for text in written), written  # the prediction is marked
        assert answer.judge(guess)
    assert step.alt(revealed=False) == step.shows != ""
    assert answer.sentence in step.alt(revealed=True)
    assert answer.sentence not in step.alt(revealed=False)


def test_the_picture_before_gives_nothing_away() -> None:
    """The same picture, whether the prediction is there or not: before the reveal nothing is marked."""
    for name, index in STEPS:
        ax = Figure(figsize=(8, 4)).add_subplot()
        lesson(name).steps[index].draw(ax, revealed=False)
        assert not any("you: " in text.get_text() for text in ax.texts)


@pytest.mark.parametrize("guess", ["", "no", None, math.nan, math.inf, -1, 1e9, True, [], "nan"])
def test_a_prediction_that_is_none(guess: Any) -> None:
    """Neither a choice nor a number in range: one error with what is asked for."""
    number, choice = lesson("bolus").steps
    with pytest.raises(pk.InputError, match="a number from 1 to 20 times"):
        number.check(guess)
    with pytest.raises(pk.InputError, match="one of"):
        choice.check(guess)
    assert number.check("7.5") == 7.5


def test_judged_kindly_and_rightly() -> None:
    """How near, in words; a share below, a share above, and times."""
    answer = Answer(value=40.0, unit="mg", sentence="")
    assert answer.judge(40.3).startswith("Spot on")
    assert answer.judge(44.0) == "Very near: 10 % above the 40 mg that comes out."
    assert answer.judge(28.0) == "The right size: 30 % below the 40 mg that comes out."
    assert answer.judge(120.0) == "Further off: it is 40 mg; 120 is 3.0 times too high."
    assert answer.judge(10.0) == "Further off: it is 40 mg; 10 is 4.0 times too low."
    assert answer.judge(0.0) == "It is 40 mg; you said 0."
    with pytest.raises(pk.InputError):
        answer.judge(math.nan)
    choice = Answer(value="More", sentence="")
    assert choice.judge("More") == "That is right."
    assert choice.judge("Less") == "Not this time. It is: More."


@pytest.mark.parametrize("name", ["bolsu", "", "../bolus", "bolus.py", "__init__", "sheet", "steps", "Bolus "])
def test_no_such_lesson(name: str) -> None:
    """Also the name of a module that is no lesson; the nearest one is named."""
    assert name not in LESSONS
    with pytest.raises(pk.InputError, match="the id of a lesson"):
        lesson(name)
    with pytest.raises(KeyError):
        LESSONS[name]


def test_nearest_lesson() -> None:
    """A slip is told what was meant."""
    with pytest.raises(pk.InputError, match="nearest bolus"):
        lesson("bolsu")


# What the lessons say, held against runs of their own.


def _infused(minutes: int, model: str, dose: float = 35.0) -> Any:
    phase = {"name": "one", "dose": f"{dose} mg", "over": f"{minutes} min", "sessions": {"days": [1]}}
    drug = model.partition("_")[0]
    tree = {"title": "T", "drug": drug, "route": "iv", "phases": [phase]}
    return pk.simulate(tree, model, ADULT, until="5 h", every="1 min")


def test_bolus() -> None:
    """The overshoot is that of two runs; transfer is faster than clearance; the models lie on both sides."""
    model = pk.load_model(overshoot.MODEL)
    ratio = _infused(1, model.id).sessions()["peak"][0] / _infused(40, model.id).sessions()["peak"][0]
    assert _value("bolus", 0) == pytest.approx(ratio)
    assert ratio > 3
    low, high = (overshoot._peaks(name)[0] / overshoot._peaks(name)[1] for name in overshoot.OTHERS)
    assert low < ratio < high
    typical = {name: model.typical[name][0] for name in ("Q2", "Q3", "CL", "V1", "V2", "V3")}
    assert typical["Q2"] + typical["Q3"] > 2 * typical["CL"]  # far faster than it is cleared
    _, dose, left = overshoot._small_load()
    assert dose == pytest.approx(0.150 * typical["V1"])
    assert left < 1 / 6


def test_infusion_length() -> None:
    """Not half the peak; which infusion stays above longest depends on the model."""
    share = _value("infusion_length", 0)
    assert 55 < share < 85
    assert share == pytest.approx(
        100
        * _infused(80, infusion_length.MODEL).sessions()["peak"][0]
        / infusion_length._peaks(infusion_length.MODEL)[1]
    )
    mine, others = infusion_length._above(infusion_length.MODEL), infusion_length._above(infusion_length.OTHER)
    assert max(mine) == mine[2]
    assert max(others) != others[2]  # "another one stays above longest"
    assert (
        infusion_length._peaks(infusion_length.OTHER)[2] / infusion_length._peaks(infusion_length.OTHER)[1]
        > share / 100
    )


def test_nose_and_vein() -> None:
    """The shares that areas give are those of the model's own parameters."""
    model = pk.load_model(nose_and_vein.MODEL)
    first, later = model.typical["FRn"][0], model.typical["FRn"][0] * model.typical["FRn_next"][0]
    nasal, oral, absorbed, swallowed = nose_and_vein._shares()
    assert absorbed == pytest.approx((first + 2 * later) / 3, rel=1e-5)
    assert swallowed == pytest.approx(1 - absorbed)
    assert _value("nose_and_vein", 0) == pytest.approx(84 * nasal)
    assert 0.45 < nasal < 0.55
    assert oral < nasal / 2
    after, last = nose_and_vein._after_the_last()
    assert last == pytest.approx(10.0)
    assert 20 <= after <= 40  # as the label says
    assert _value("nose_and_vein", 2) < 100 * swallowed  # "yet only"
    assert model.typical["FRn_next"][0] == 0.62  # "62 % as much"


def test_first_pass() -> None:
    """By mouth little arrives, as metabolite much; inhibition counts more by mouth; both models agree on that side."""
    assert _value("first_pass", 0) < 25
    for model in (first_pass.MODEL, first_pass.OTHER):
        mouth, nor_mouth, vein, nor_vein = first_pass._areas(model)
        assert nor_mouth / mouth > 1.5 * nor_vein / vein
    plain, blocked = first_pass._areas(), first_pass._areas(inhibited=True)
    assert blocked[0] / plain[0] > 1.5 * blocked[2] / plain[2] > 1.5
    assert _value("first_pass", 2) == first_pass.WHICH[0]


def test_accumulation() -> None:
    """None at twice a week, some at 4 h; the half-life is the label's; the models stand in the order that is told."""
    assert _value("accumulation", 0) == adding_up.HIGHER[0]
    assert 7 < adding_up._half_life() < 12
    rises = [adding_up._rise(hours) for hours in adding_up.EVERY]
    assert rises == sorted(rises)
    assert rises[0] < 1 < 10 < rises[-1]
    longest, shortest = (adding_up._rise(4, name) for name in adding_up.OTHERS)
    assert longest > adding_up._rise(4) > shortest


def test_dosing_weight() -> None:
    """Devine's weight; one model scales with it, the other knows none; the basis that is right is another in each."""
    assert _value("dosing_weight", 0) == pytest.approx(0.5 * (45.5 + 2.3 * (165 / 2.54 - 60)))
    assert 1.05 < dosing_weight._against_light(dosing_weight.MODEL) < 1.34
    assert dosing_weight._against_light(dosing_weight.FLAT) == pytest.approx(2.0)
    light = {model: dosing_weight._peak(model, "actual", True) for model in (dosing_weight.MODEL, dosing_weight.FLAT)}
    assert (
        dosing_weight._peak(dosing_weight.MODEL, "ideal", False) < 0.6 * light[dosing_weight.MODEL]
    )  # leaves her short
    assert dosing_weight._peak(dosing_weight.FLAT, "ideal", False) > 0.9 * light[dosing_weight.FLAT]  # puts her right


def test_taper_threshold() -> None:
    """The time above falls by more than the peak; peaks are in proportion; from one session on nothing is above."""
    assert _value("taper_threshold", 0) > 20.0
    tops = [top for _, _, top in taper_threshold._taper()]
    doses = [dose for _, dose, _ in taper_threshold._taper()]
    assert [top / dose for top, dose in zip(tops, doses, strict=True)] == pytest.approx(
        [tops[0] / doses[0]] * 6, rel=1e-3
    )
    below = [top < taper_threshold.LEVEL for top in tops]
    assert below == sorted(below)
    assert _value("taper_threshold", 1) == f"Session {7 + below.index(True)}"
    nearer = bench.peak(bench.run(taper_threshold.FULL, taper_threshold.OTHER, until="4 h", every="30 s"))
    assert taper_threshold.LEVEL < nearer < tops[0]  # "whose peak lies nearer to the line"


def test_effect_lag() -> None:
    """The effect comes later than the level, the more the slower the level falls; it is stronger on the way down."""
    assert 2 < _value("effect_lag", 0) < effect_lag._strongest(effect_lag.OTHER)[0]
    up, down = effect_lag._on_both_ways()
    assert down > up
    effect = pk.load_effect(effect_lag.EFFECT)
    assert "8.3 min" in next(row["value"] for row in effect.numbers() if row["number"] == "half_life")


def test_models_disagree() -> None:
    """The range is that of the models; the lowest is drawn first; the fast injection is where they differ most."""
    peaks = [_infused(40, name).sessions()["peak"][0] for name in models_disagree.MODELS]
    assert min(peaks) == peaks[0]
    assert _value("models_disagree", 0) == pytest.approx(max(peaks) / min(peaks))
    assert _value("models_disagree", 1) == models_disagree.FIGURES[0]
    assert models_disagree._spreads()[1] == min(models_disagree._spreads())
    assert all(pk.load_model(name).evidence == "secondary" for name in models_disagree.MODELS)  # as the picture says


def test_intervals() -> None:
    """About 5 in 100 miss; the interval halves with four times the patients; the spread stays."""
    assert 1 <= _value("intervals", 0) <= 11
    assert _value("intervals", 1) == intervals.EFFECT_OF_SIZE[1]
    small, large = intervals._studies(40), intervals._studies(160)
    assert large.width / small.width == pytest.approx(0.5, abs=0.05)
    wide = intervals._studies(160)
    assert 1 <= intervals._missed(wide).sum() <= 11
    assert 0.6 < intervals._truth() < 0.9
    # The level at the end of the infusion is the peak.
    first = pk.load_population(intervals.POPULATION)
    from pkmodel.population import sample_covariates, sample_effects

    model = pk.load_model(intervals.MODEL)
    people = sample_effects(sample_covariates(first, intervals.SEED, 0, 20), model, intervals.SEED)
    result = pk.simulate(yaml.safe_load(intervals.DOSE), model, people, until="2 h")
    assert result.sessions()["peak"].to_numpy() == pytest.approx(intervals._peaks()[:20])


def test_mechanism() -> None:
    """Illustrative in every answer; saturation; nearly nothing left after a day, on both models."""
    for step in lesson("mechanism").steps:
        answer = step.answer()
        assert answer.illustrative
        assert "illustrative" in answer.sentence
    once, twice = (mechanism._occupancy(text)[0] for text in (mechanism.ONCE, mechanism.TWICE))
    assert 1.15 < twice / once < 1.5
    for model in (mechanism.MODEL, mechanism.OTHER):
        top, later = mechanism._occupancy(mechanism.ONCE, model)
        assert later < 0.05 * top
    assert pk.load_effect(mechanism.EFFECT).illustrative


# The data of published responses.


def test_published_figures_carry_citation_and_grade() -> None:
    """Every number has its source, its grade, its design, and a unit."""
    for name, figure in hours_and_weeks.published().items():
        assert figure.evidence in GRADES, name
        assert re.search(r"\d{4};", figure.citation) or "doi" in figure.citation, name
        assert figure.design and figure.unit and figure.what, name
        assert math.isfinite(figure.value), name
    assert any(figure.drug not in ("ketamine", "placebo") for figure in hours_and_weeks.published().values())


def test_published_figures_are_those_of_the_reference_tables() -> None:
    """Those of ketamine stand in the library's own list of outcomes too, with the same numbers."""
    tree = yaml.safe_load(library("references")["effects_and_outcomes"].read_text(encoding="utf-8"))
    listed = {row["quantity"]: str(row["published"]) for row in tree["not_compared"]}
    found = hours_and_weeks.published()
    for quantity, name in (
        ("Murrough 2013, MADRS drop 2 h after the first infusion", "ketamine_2h"),
        ("Murrough 2013, median time to relapse", "ketamine_relapse"),
        ("Singh 2016, MADRS change at day 15, twice a week", "ketamine_day15_two"),
        ("Singh 2016, MADRS change at day 15, three times a week", "ketamine_day15_three"),
        ("Lapidus 2014, MADRS difference at 24 h", "ketamine_nasal_24h"),
    ):
        number = re.match(r"-?([\d.]+)", listed[quantity])
        assert number is not None
        assert float(number[1]) == found[name].value, name
    assert listed["Murrough 2013, response"] == "70.8 %"


def test_responses_are_quoted_and_not_simulated() -> None:
    """The answers are the file's numbers; sources say open label where it was; the picture says it is not simulated."""
    found = hours_and_weeks.published()
    assert _value("hours_and_weeks", 0) == found["ketamine_2h"].value
    assert _value("hours_and_weeks", 1) == found["ketamine_relapse"].value
    answer = lesson("hours_and_weeks").steps[0].answer()
    assert any("open label" in source for source in answer.sources)
    for step in lesson("hours_and_weeks").steps:
        ax = Figure(figsize=(8, 4)).add_subplot()
        step.draw(ax, revealed=True)
        assert any("not simulated" in text.get_text() for text in ax.texts)


# What a page plays on with, and what is printed.


@pytest.mark.parametrize("name", list(LESSONS))
def test_a_scene_can_be_played(name: str) -> None:
    """Its patient, protocols, models, effects, outputs and limits fit together."""
    scene = lesson(name).scene
    patient = pk.Patient(**scene.patient)
    assert len({arm for arm, _, _ in scene.arms}) == len(scene.arms) >= 1
    for _, protocol, model in scene.arms:
        spec = pk.load_protocol(yaml.safe_load(protocol) if "\n" in protocol else protocol)
        result = pk.simulate(spec, model, patient, until="1 h", effects=scene.effects)
        for output in scene.outputs:
            assert result.level(output).shape[0] == 1
    from pkmodel import units

    assert all(units.as_kind(level, "concentration").value > 0 for level in scene.limits)
    assert units.as_kind(scene.until, "time").value > 0
    if scene.population is not None:
        assert pk.load_population(scene.population[0]).title


@pytest.mark.parametrize("name", ["bolus", "mechanism", "hours_and_weeks"])
def test_a_worksheet_stands_alone(name: str) -> None:
    """Pictures are in it, nothing is fetched; answers are there only where they are asked for; the statement is."""
    made = lesson(name)
    plain, full = worksheet(made, with_answers=False), worksheet(made, with_answers=True)
    for text in (plain, full):
        assert text.startswith("<!doctype html>")
        assert not re.search(r"""(src|href)=["'](?!data:)""", text)
        assert "url(" not in text
        assert "<script" not in text
        assert "For research and teaching only. Not for patient care." in text
        assert "@page" in text
    assert plain.count("data:image/png;base64,") == len(made.steps)
    assert full.count("data:image/png;base64,") == 2 * len(made.steps)
    from html import escape

    for step in made.steps:
        answer = step.answer()
        assert escape(answer.sentence) not in plain
        assert escape(answer.sentence) in full
        assert all(escape(paragraph, quote=False).replace("'", "&#39;") in full for paragraph in answer.why)
        assert all(choice in plain for choice in step.choices)
        assert all(source.partition(";")[0].replace("'", "&#39;") in plain for source in answer.sources)
    assert ("illustrative</span>" in full) == (name == "mechanism")


def test_sources_give_no_answer_away() -> None:
    """They stand on the sheet without answers too, so what the label says of a peak or of accumulation is not there."""
    for name in ("nose_and_vein", "accumulation"):
        for step in lesson(name).steps:
            assert not any("min after" in source or "no accumulation" in source for source in step.answer().sources)


def test_the_command(command: Command, tmp_path: Path) -> None:
    """List, show, and write; as JSON too."""
    listed = command("lessons", "--json")
    assert listed.code == 0
    assert [row["name"] for row in json.loads(listed.out)] == list(LESSONS)
    shown = command("lessons", "show", "accumulation")
    assert shown.code == 0
    assert lesson("accumulation").steps[0].answer().sentence not in " ".join(shown.out.split())
    told = command("lessons", "show", "accumulation", "--answers", "--json")
    assert json.loads(told.out)["steps"][0]["answer"]["value"] == _value("accumulation", 0)
    file = tmp_path / "sheet.html"
    assert command("lessons", "show", "accumulation", "--answers", "-o", file).code == 0
    assert "Answers:" in file.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("show", "bolsu"), "nearest bolus"),
        (("show", "bolus", "-o", "x.pdf"), ".html"),
        (("show", "bolus", "-o", ""), "empty"),
    ],
)
def test_the_command_refuses(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], part: str
) -> None:
    """Exit code 2, one error, nothing written."""
    monkeypatch.chdir(tmp_path)
    outcome = command("lessons", *words)
    assert outcome.code == 2
    assert part in outcome.err
    assert list(tmp_path.iterdir()) == []


def test_start_up_imports_no_lesson() -> None:
    """Neither the package nor its command line pulls in jinja2, matplotlib or the lessons."""
    import subprocess
    import sys

    code = (
        "import sys, pkmodel, pkmodel.cli.commands\n"
        "print([name for name in ('jinja2', 'matplotlib', 'pkmodel.lessons', 'pkmodel.suggest') if name in "
        "sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
