"""Effect files: what is shipped, on which models it goes, by which conversion, and what is said of it."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import pkmodel as pk
from pkmodel import network
from pkmodel.population import Patient, sample_covariates, sample_effects
from pkmodel.specs.attach import AttachedEffect, attach, described
from pkmodel.specs.effect_file import EffectFile
from pkmodel.specs.loading import library
from pkmodel.specs.model import ModelSpec
from pkmodel.specs.rule import Rule
from pkmodel.specs.rule_checks import rule_problems

ILLUSTRATIVE = {"blood_pressure", "heart_rate", "nausea", "nmda_occupancy", "antidepressant_response"}
FOR_THE_RACEMATE = {"sedation_herd2008", "psychedelic_bowdle1998"}
PATIENT = Patient(weight="70 kg", age="40 y", sex="female", height="165 cm")
Command = Callable[..., Any]

#: A racemate with its metabolite, and with nothing of a spread.
RACEMATE: dict[str, Any] = {
    "id": "racemate",
    "title": "A racemate and its metabolite",
    "drug": "ketamine",
    "source": "nobody",
    "evidence": "unsourced",
    "sampling": "venous",
    "population": {"description": "nobody"},
    "parameters": {"K": {"value": "0.6 1/h", "from": "here"}, "V": {"value": "100 L", "from": "here"}},
    "compartments": ["central", "nor"],
    "flows": [{"from": "central", "to": "nor", "rate": "K"}, {"from": "nor", "to": "outside", "rate": "K"}],
    "routes": {"iv": [{"into": "central"}]},
    "outputs": {
        "ketamine": {"amount": "central", "volume": "V", "unit": "ng/mL"},
        "norketamine": {"amount": "nor", "volume": "V", "unit": "ng/mL"},
    },
}
EFFECT: dict[str, Any] = {
    "id": "small",
    "title": "A small effect",
    "drug": "ketamine",
    "source": "nobody",
    "on": "ketamine",
    "emax": {"e0": 0, "emax": 1, "c50": "100 ng/mL"},
    "evidence": "primary",
    "from": "here",
}


PEAK = {"id": "a", "metric": "peak", "at_most": 0.5, "in": "90 %"}
#: 30 mg/h for 40 h.
SLOW = pk.load_protocol(
    {
        "title": "Slow",
        "drug": "ketamine",
        "route": "iv",
        "phases": [{"name": "one", "dose": "1200 mg", "over": "40 h", "sessions": {"days": [1]}}],
    }
)


def _renamed(**outputs: str) -> ModelSpec:
    """The racemate's model with its outputs under other names, and the drug of the first."""
    tree = copy.deepcopy(RACEMATE)
    tree["outputs"] = {new: tree["outputs"][old] for new, old in outputs.items()}
    tree["drug"] = "ketamine" if "ketamine" in outputs else "esketamine"
    return pk.load_model(tree)


def _value(model: ModelSpec, name: str, **levels: float) -> float:
    """An effect at these levels (ng/mL) in the compartments of a model, in its unit."""
    net = network.build(model, PATIENT.population())
    states = np.zeros((1, 1, len(net.states)))
    for compartment, level in levels.items():
        states[0, 0, net.states.index(compartment)] = level * 100 / 1000
    return float(net.effects[name].of(states)[0, 0])


# The library


@pytest.mark.parametrize("name", sorted(library("effects")))
def test_every_file_is_whole(name: str) -> None:
    """It is named as its file, says where it is from, and every number has a grade and a place."""
    effect = pk.load_effect(name)
    assert effect.id == name
    assert effect.notes
    assert effect.illustrative == (name in ILLUSTRATIVE)
    assert effect.source.doi or effect.source.pmid or effect.illustrative
    rows = effect.numbers()
    assert rows
    assert all(row["value"] and row["from"] for row in rows)
    assert all(row["evidence"] or row["from"] in ("the scale", "a formula") for row in rows)


def test_the_library_is_what_was_read() -> None:
    """The figures of the papers, in the unit that the files have them in."""
    assert set(library("effects")) >= ILLUSTRATIVE | FOR_THE_RACEMATE | {
        "dissociation_olofsen2022",
        "drug_high_simons2022",
        "antinociception_simons2022",
    }
    for name, nanomolar in (("dissociation_olofsen2022", 0.51), ("drug_high_simons2022", 0.30)):
        link = pk.load_effect(name).link
        assert link is not None
        # The table of the design rounds to 3 digits.
        assert 1000 * link.c50.evaluate({}) == pytest.approx(nanomolar * 237.73, abs=0.5)
    middle = pk.load_effect("antinociception_simons2022").link
    assert middle is not None
    assert 1.2 * 237.73 < 1000 * middle.c50.evaluate({}) < 1.7 * 237.73
    assert pk.load_effect("psychedelic_bowdle1998").band == pytest.approx((0.05, 0.2))
    occupancy = pk.load_effect("nmda_occupancy").parameters
    for key, micromolar, molar_mass in (
        ("KIS", 0.3, 237.73),
        ("KIR", 1.4, 237.73),
        ("KISN", 1.7, 223.70),
        ("KIRN", 13.0, 223.70),
    ):
        value = occupancy[key].value
        assert value is not None
        assert 1000 * value.value == pytest.approx(micromolar * molar_mass, rel=2e-3)  # three digits


def _should_fit(effect: str, model: ModelSpec) -> bool:
    """As the papers have it: a racemate cannot be had of S-ketamine, nor a metabolite of a model without."""
    if effect == "psychedelic_bowdle1998":
        return "ketamine" in model.outputs
    if effect in FOR_THE_RACEMATE:
        return model.drug == "ketamine"
    if effect == "nmda_occupancy":
        return bool({"norketamine", "noresketamine"} & set(model.outputs))
    return True


@pytest.mark.parametrize("effect", sorted(library("effects")))
@pytest.mark.parametrize("name", sorted(library("models")))
def test_every_effect_on_every_model(effect: str, name: str) -> None:
    """It goes on where it should, and gives what it is without drug; elsewhere one sentence says what would fit."""
    model, file = pk.load_model(name), pk.load_effect(effect)
    if not _should_fit(effect, model):
        with pytest.raises(pk.InputError) as refused:
            attach(model, [file])
        (problem,) = refused.value.problems
        assert problem.path == "effects[0]"
        assert effect in problem.found
        assert name in problem.found
        assert "a model that gives" in problem.expected
        assert f"an effect that fits {name}" in problem.expected
        return
    attached = attach(model, [file])
    if file.band is not None:
        assert attached.states == model.states
        assert attached.bands[effect].on == model.parent
        return
    net = network.build(attached, PATIENT.population())
    rest = net.effects[effect].of(net.initial[:, None, :])
    assert np.isfinite(rest).all()
    assert rest.item() == {"sedation_herd2008": 5.0, "antidepressant_response": 30.0}.get(effect, 0.0)


def test_a_model_stays_as_it_was() -> None:
    """Attaching makes another model, and what the first has worked out of its own effects is not handed on."""
    model = pk.load_model("ketamine_clements1981")
    before = (model.states, model.linear, model.observables, model.typical, model.changing)
    other = attach(model, ["antidepressant_response", "sedation_herd2008"])
    assert (model.states, model.linear, model.observables, model.typical, model.changing) == before
    assert not model.effects
    assert other.states[: len(model.states)] == model.states
    assert not other.linear
    assert list(other.observables) == ["ketamine", "antidepressant_response", "sedation_herd2008"]
    assert attach(model, []) is model
    with pytest.raises(pk.InputError, match=r"effects\[0\].*sedation_herd2008, which ketamine_clements1981 has"):
        attach(other, ["sedation_herd2008"])


def test_a_file_may_stand_anywhere(tmp_path: Path) -> None:
    """By path or as a mapping, like any other file."""
    file = tmp_path / "mine.yaml"
    file.write_text(json.dumps(EFFECT))
    for source in (file, str(file), EFFECT, pk.load_effect(EFFECT)):
        assert list(attach(pk.load_model(RACEMATE), [source]).effects) == ["small"]


# What drives an effect


@pytest.mark.parametrize(
    ("analyte", "model", "factor", "words"),
    [
        ("ketamine", RACEMATE, 1.0, ""),
        ("esketamine", RACEMATE, 0.5, "takes half of ketamine for esketamine (assumed"),
        ("parent", RACEMATE, 0.5, "takes half of ketamine for esketamine (assumed"),
        ("arketamine", RACEMATE, 0.5, "takes half of ketamine for arketamine (assumed"),
        ("noresketamine", RACEMATE, 0.5, "takes half of norketamine for noresketamine (assumed"),
        ("esketamine", {"esketamine": "central"}, 1.0, ""),
        ("arketamine", {"esketamine": "central"}, 0.0, "counts arketamine as 0"),
        ("ketamine", {"esketamine": "central"}, None, "potency: {esketamine: ...}"),
        ("noresketamine", {"esketamine": "central"}, None, "a model that gives noresketamine"),
    ],
)
def test_conversions(analyte: str, model: dict[str, Any], factor: float | None, words: str) -> None:
    """Half of a racemate for an enantiomer, nothing of the R side after S-ketamine; each said."""
    drug = "ketamine" if analyte == "ketamine" else "esketamine"
    whole = pk.load_model(model) if model is RACEMATE else _renamed(esketamine="ketamine")
    file = pk.load_effect({**EFFECT, "drug": drug, "on": analyte})
    if factor is None:
        with pytest.raises(pk.InputError) as refused:
            attach(whole, [file])
        assert words in str(refused.value)
        return
    attached = attach(whole, [file])
    said = [sentence for sentence in attached.assumptions if "no spread" not in sentence and "small" in sentence]
    assert len(said) == (1 if words else 0)
    assert words in "".join(said)
    compartment = "nor" if analyte == "noresketamine" else "central"
    level = 150.0 * factor
    assert _value(attached, "small", **{compartment: 150.0}) == pytest.approx(level / (100 + level), rel=1e-14)


def test_enantiomers_of_a_racemate() -> None:
    """Where a model gives both halves, the racemate is their sum; where it gives S only, twice S (assumed)."""
    tree = copy.deepcopy(RACEMATE)
    outputs = tree["outputs"]
    tree["outputs"] = {"esketamine": outputs["ketamine"], "arketamine": outputs["norketamine"]}
    both = attach(pk.load_model(tree), [EFFECT])
    said = " ".join(both.assumptions)
    assert "takes esketamine and arketamine together for ketamine" in said
    assert "run alike" not in said
    assert _value(both, "small", central=30.0, nor=70.0) == pytest.approx(0.5, rel=1e-14)
    (problem,) = rule_problems(Rule.model_validate({**PEAK, "output": "small"}), both)
    assert "follows esketamine and arketamine together" in problem.found
    assert described(both)[0]["on"] == ["esketamine", "arketamine"]
    # Behind a site the sum is a state, which has exact figures.
    sited = attach(pk.load_model(tree), [{**EFFECT, "effect_site": {"half_life": "5 min"}}])
    assert not rule_problems(Rule.model_validate({**PEAK, "output": "small"}), sited)
    rates = network.build(sited, PATIENT.population()).rates[0]
    np.testing.assert_allclose(rates[2], np.array([0.01, 0.01, -1.0]) * np.log(2) * 12, rtol=1e-14)
    tree["outputs"] = {"esketamine": outputs["ketamine"]}
    single = attach(pk.load_model(tree), [EFFECT])
    assert "takes twice esketamine for ketamine (assumed" in " ".join(single.assumptions)
    assert _value(single, "small", central=50.0) == pytest.approx(0.5, rel=1e-14)


def test_a_turnover_of_a_sum() -> None:
    """Both halves act on the rate, so that the sum goes into the tape."""
    turnover = {"baseline": 1, "kout": "1 1/h", "production": {"stimulate": {"emax": 2, "c50": "100 ng/mL"}}}
    tree = copy.deepcopy(RACEMATE)
    tree["outputs"] = {"esketamine": tree["outputs"]["ketamine"], "arketamine": tree["outputs"]["norketamine"]}
    file = {key: value for key, value in EFFECT.items() if key != "emax"} | {"turnover": turnover}
    result = pk.simulate(SLOW, attach(pk.load_model(tree), [file]), PATIENT, until="40 h", every="40 h")
    # 500 ng/mL of each in the end, as the second empties as fast as the first fills it.
    assert result.level("small")[0, -1] == pytest.approx(1 + 2 * 1000 / 1100, rel=1e-6)


def test_half_of_a_racemic_dose() -> None:
    """`drug: half` on a model of esketamine: ketamine was given, so the R half is there, though not in the model."""
    model = attach(_renamed(esketamine="ketamine", noresketamine="norketamine"), [EFFECT], given="ketamine")
    assert _value(model, "small", central=50.0) == pytest.approx(0.5, rel=1e-14)
    assert "takes twice esketamine for ketamine (assumed" in " ".join(model.assumptions)
    result = pk.simulate(
        "iv_single", "esketamine_otto2021", PATIENT, until="1 h", drug="half", effects=["nmda_occupancy"]
    )
    said = " ".join(result.warnings)
    assert "takes esketamine for arketamine too (assumed" in said
    assert "as 0" not in said
    s, n = 0.7 * result.level("esketamine")[0], 0.5 * result.level("noresketamine")[0]
    bound = s * (1 / 71.3 + 1 / 333) + n * (1 / 380 + 1 / 2908)
    np.testing.assert_allclose(result.level("nmda_occupancy")[0], bound / (1 + bound), rtol=1e-10, atol=1e-15)


def test_esketamine_on_a_racemic_model_is_all_esketamine() -> None:
    """Half of its parent would be half of what was given."""
    effects = ["dissociation_olofsen2022"]
    racemate = pk.simulate("iv_single", "ketamine_clements1981", PATIENT, until="2 h", effects=effects)
    alone = pk.simulate("esketamine_iv_single", "ketamine_clements1981", PATIENT, until="2 h", effects=effects)
    np.testing.assert_allclose(
        alone.amounts[..., -1], 2 * racemate.amounts[..., -1], rtol=0, atol=1e-12 * alone.amounts[..., -1].max()
    )
    assert any("takes all of ketamine for esketamine" in sentence for sentence in alone.warnings)
    with pytest.raises(pk.InputError, match="potency"):
        pk.simulate("esketamine_iv_single", "ketamine_clements1981", PATIENT, effects=["sedation_herd2008"])


def test_a_stated_potency() -> None:
    """A level that counts twice drives the effect twice as hard, and reaches the edges of a band at half."""
    potency = {"esketamine": {"value": 2.0, "from": "a guess of this test", "evidence": "assumed"}}
    model = _renamed(esketamine="ketamine", noresketamine="norketamine")
    attached = attach(model, [{**EFFECT, "potency": potency}])
    assert _value(attached, "small", central=50.0) == pytest.approx(0.5, rel=1e-14)
    (said,) = [sentence for sentence in attached.assumptions if "counts esketamine 2 times" in sentence]
    assert "assumed: a guess of this test" in said
    # The potency is that of the drug; it says nothing of a metabolite.
    with pytest.raises(pk.InputError, match=r"stated for norketamine.*potency: \{noresketamine"):
        attach(model, [{**EFFECT, "on": "norketamine", "potency": potency}])
    band = {key: value for key, value in EFFECT.items() if key != "emax"} | {"band": ["50 ng/mL", "200 ng/mL"]}
    marked = attach(model, [{**band, "potency": potency}])
    assert marked.bands["small"].band == (0.025, 0.1)
    assert not marked.effects
    assert any("counts esketamine 2 times" in sentence for sentence in marked.assumptions)


def test_a_turnover_without_a_site_counts_half_too() -> None:
    """Where the level itself acts on a rate, so that the factor goes into the tape."""
    turnover = {"baseline": 1, "kout": "1 1/h", "production": {"stimulate": {"emax": 2, "c50": "100 ng/mL"}}}
    tree = {key: value for key, value in EFFECT.items() if key != "emax"} | {"turnover": turnover}
    model = pk.load_model(RACEMATE)
    ends = []
    for drug, on in (("ketamine", "ketamine"), ("esketamine", "esketamine")):
        file = pk.load_effect({**tree, "drug": drug, "on": on})
        result = pk.simulate(SLOW, attach(model, [file]), PATIENT, until="40 h", every="40 h")
        ends.append(float(result.level("small")[0, -1]))
    # A steady level of 30 mg/h / 0.6/h / 100 L = 500 ng/mL, but for e^-24 of it and the tolerance of the solver.
    assert ends == pytest.approx([1 + 2 * 500 / 600, 1 + 2 * 250 / 350], rel=1e-6)


# Numbers and words


def test_sedation_by_hand() -> None:
    """E = 5 (1 - Emax Ce^3.71 / (EC50^3.71 + Ce^3.71)) in drawn patients, whose Emax is capped at 1."""
    model = attach(pk.load_model("ketamine_clements1981"), ["sedation_herd2008"])
    population = pk.load_population("adults_trials")
    drawn = sample_effects(sample_covariates(population, 3, 0, 400), model, 3)
    net = network.build(model, drawn)
    level = np.linspace(0.0, 3.0, 13)
    states = np.zeros((400, 13, len(net.states)))
    states[..., -1] = level
    largest = 0.939 * np.exp(drawn.etas["sedation_herd2008_EMAX"])
    half = 0.56 * np.exp(drawn.etas["sedation_herd2008_EC50"])
    assert (largest > 1).any()
    spread = drawn.etas["sedation_herd2008_EC50"].std() / np.log1p(1.36**2) ** 0.5
    assert abs(spread - 1) < 4 / np.sqrt(2 * 400), "four standard errors of an SD of 400 people"
    with np.errstate(divide="ignore"):
        share = 1 / (1 + (half[:, None] / level) ** 3.71)
    expected = 5 * (1 - np.minimum(largest, 1)[:, None] * share)
    np.testing.assert_allclose(net.effects["sedation_herd2008"].of(states), expected, rtol=0, atol=1e-14)
    # The spread of the model's own parameters is borrowed, that of the effect is not.
    said = " | ".join(model.assumptions)
    assert "variability of V1, CL is borrowed" in said
    assert "the variability of sedation_herd2008_EMAX is assumed" in said


def test_attaching_reshuffles_nobody() -> None:
    """The parameters of a model are drawn alike with effects and without; a matrix product may round otherwise."""
    model = pk.load_model("ketamine_clements1981")
    people = sample_covariates(pk.load_population("adults_trials"), 5, 0, 50)
    plain = sample_effects(people, model, 5)
    more = sample_effects(people, attach(model, ["sedation_herd2008"]), 5)
    for name in plain.etas:
        np.testing.assert_allclose(more.etas[name], plain.etas[name], rtol=1e-14)


def test_occupancy_by_hand() -> None:
    """Four binders after the racemate and two after S-ketamine, at their unbound levels."""
    racemate = attach(pk.load_model(RACEMATE), ["nmda_occupancy"])
    bound = 0.7 * 75 * (1 / 71.3 + 1 / 333) + 0.5 * 30 * (1 / 380 + 1 / 2908)
    found = _value(racemate, "nmda_occupancy", central=150.0, nor=60.0)
    assert found == pytest.approx(bound / (1 + bound), rel=1e-12)
    alone = attach(_renamed(esketamine="ketamine", noresketamine="norketamine"), ["nmda_occupancy"])
    bound = 0.7 * 150 / 71.3 + 0.5 * 60 / 380
    assert _value(alone, "nmda_occupancy", central=150.0, nor=60.0) == pytest.approx(bound / (1 + bound), rel=1e-12)


def test_what_must_be_said() -> None:
    """Illustrative, assumed, and without a spread of its own: in the warnings of every result."""
    names = ["blood_pressure", "drug_high_simons2022", "psychedelic_bowdle1998"]
    result = pk.simulate("iv_single", "ketamine_clements1981", PATIENT, until="1 h", effects=names)
    said = " | ".join(result.warnings)
    assert "the effect blood_pressure is illustrative" in said
    assert "emax of the effect blood_pressure is derived (27 %" in said
    assert "hill of the effect drug_high_simons2022 is assumed" in said
    assert "the effect drug_high_simons2022 has no spread of its own" in said
    attached = result.model.effects["drug_high_simons2022"]
    assert isinstance(attached, AttachedEffect)
    assert attached.source.doi == "10.3389/fpain.2022.946487"
    table = result.to_pandas()
    assert set(table.loc[table["output"] == "blood_pressure", "note"]) == {"illustrative"}
    assert set(table.loc[table["output"] != "blood_pressure", "note"]) == {""}
    assert "note" not in pk.simulate("iv_single", "ketamine_clements1981", PATIENT, until="1 h").to_pandas()


def test_a_band_may_stand_in_a_model(tmp_path: Path) -> None:
    """A model file of its own may mark ranges too; on an output that it has."""
    tree = {**copy.deepcopy(RACEMATE), "bands": {"mark": {"on": "parent", "band": ["1 ng/mL", None], "from": "here"}}}
    assert pk.load_model(tree).bands["mark"].band == (0.001, np.inf)
    tree["bands"]["mark"]["on"] = "ketamin"
    with pytest.raises(pk.InputError, match=r"bands\.mark\.on.*nearest ketamine"):
        pk.load_model(tree)


def test_what_effects_are_counted_in() -> None:
    """Words for lists and axes."""
    counted = {name: pk.load_effect(name).counted for name in library("effects")}
    assert counted["dissociation_olofsen2022"] == "fraction of maximal effect"
    assert counted["heart_rate"] == "1/min"
    assert counted["sedation_herd2008"] == "points"
    assert EffectFile.model_validate({**EFFECT, "on": "parent"}).analytes == {"": "ketamine"}
    assert EffectFile.model_validate({**EFFECT, "on": "metabolite"}).analytes == {"": "norketamine"}


# The command line


def test_list_and_show(command: Command) -> None:
    """As a table and as JSON; what is illustrative says so."""
    listed = command("effects")
    assert listed.code == 0
    assert all(name in listed.out for name in library("effects"))
    rows = json.loads(command("effects", "--json").out)
    assert {row["name"] for row in rows if row["illustrative"]} == ILLUSTRATIVE
    shown = command("effects", "show", "nmda_occupancy")
    assert "ILLUSTRATIVE" in shown.out
    assert "Not for patient care" in shown.out
    one = json.loads(command("effects", "show", "dissociation_olofsen2022", "--json").out)
    assert {"number": "hill", "value": "5.33"}.items() <= {**one["numbers"][-1]}.items()
    assert "esketamine_otto2021" in one["models"]
    assert command("effects", "show", "dissociation_olofsen2020").code == 2


def test_check_knows_effects(command: Command, tmp_path: Path) -> None:
    """By its keys."""
    file = tmp_path / "small.yaml"
    file.write_text(json.dumps(EFFECT))
    assert command("check", file).out == f"{file}: a valid effect\n"


@pytest.mark.usefixtures("pictures")
def test_simulate_with_effects(command: Command, tmp_path: Path) -> None:
    """Repeatable; in the table, in JSON without a NaN, and in the picture."""
    words = ("simulate", "iv_single", "--model", "ketamine_clements1981", "--weight", "70 kg", "--until", "3 h")
    words += ("--effect", "sedation_herd2008", "--effect", "heart_rate", "--effect", "psychedelic_bowdle1998")
    table, picture = tmp_path / "out.csv", tmp_path / "out.png"
    assert command(*words, "-o", table).code == 0
    assert set(pd.read_csv(table)["output"]) == {"ketamine", "sedation_herd2008", "heart_rate"}
    assert command(*words, "-o", picture).code == 0
    assert picture.stat().st_size > 10_000
    printed = command(*words)
    assert "heart_rate, 1/min, illustrative" in printed.out
    assert "lowest" in printed.out
    found = json.loads(command(*words, "--json").out)
    assert {item["name"]: item["illustrative"] for item in found["effects"]} == {
        "sedation_herd2008": False,
        "heart_rate": True,
        "psychedelic_bowdle1998": False,
    }
    by_output = {row["output"]: row for row in found["sessions"]}
    assert by_output["sedation_herd2008"]["peak"] is None
    assert by_output["sedation_herd2008"]["lowest"] < 5
    assert by_output["heart_rate"]["note"] == "illustrative"
    assert by_output["ketamine"]["lowest"] is None
    assert command(*words, "--effect", "nmda_occupancy").code == 2


def test_a_formula_is_shown(command: Command) -> None:
    """It has no exact figures, and is in the table all the same."""
    words = ("simulate", "esketamine_iv_single", "--model", "esketamine_otto2021", "--weight", "70 kg")
    words += ("--until", "2 h", "--effect", "nmda_occupancy")
    assert "nmda_occupancy: a formula of levels" in command(*words).out
    assert [row["output"] for row in json.loads(command(*words, "--json").out)["sessions"]] == [
        "esketamine",
        "noresketamine",
    ]


def test_sessions_of_several_patients() -> None:
    """A line for each patient and effect; an area that an effect has not is missing, not 0."""
    people = sample_covariates(pk.load_population("adults_trials"), 1, 0, 3)
    result = pk.simulate("iv_single", "ketamine_clements1981", people, until="2 h", effects=["nausea"])
    rows = result.sessions()
    assert len(rows) == 6
    assert rows.loc[rows["output"] == "nausea", "auc"].isna().all()
    assert (rows.loc[rows["output"] == "nausea", "peak"] > 0).all()
