"""What the other pictures draw, against the engine's own numbers and, where there is one, the exact answer."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

import pkmodel as pk
from pkmodel import dose_finding, plots, sensitivity
from pkmodel import study as studies
from pkmodel.outcome import Study
from pkmodel.plots.build_up import ratios
from pkmodel.plots.diagram_layout import places
from pkmodel.population import Population, sample_covariates, sample_effects
from pkmodel.simulation import Result
from pkmodel.specs.attach import attach
from pkmodel.specs.design import explored, prepare
from pkmodel.specs.library import load_effect

pytestmark = pytest.mark.pictures

NASAL = "esketamine_perezruixo2021"
WHO = pk.Patient(weight="70 kg", age="45 y", sex="female", height="165 cm")
#: V 20 L and CL 2 L/h: k = 0.1 per hour.
ONE: dict[str, Any] = {
    "id": "one_compartment",
    "title": "One compartment",
    "drug": "ketamine",
    "source": "a test",
    "evidence": "assumed",
    "sampling": "venous",
    "population": {"description": "nobody"},
    "parameters": {"V": {"value": "20 L", "from": "a test"}, "CL": {"value": "2 L/h", "from": "a test"}},
    "compartments": ["central"],
    "flows": [{"from": "central", "to": "outside", "rate": "CL / V"}],
    "routes": {"iv": [{"into": "central"}]},
    "outputs": {"ketamine": {"amount": "central", "volume": "V", "unit": "ng/mL"}},
}
K = 0.1


def people(n: int, first: int = 0) -> Population:
    """Adults of the trials with the random effects of the nasal model."""
    drawn = sample_covariates(pk.load_population("adults_trials"), 1, first, n)
    return sample_effects(drawn, pk.load_model(NASAL), 1)


@pytest.fixture(scope="module")
def pair() -> dict[str, Result]:
    """A vein against the nose in the same 40 patients."""
    named = {"vein": "esketamine_iv_single", "nose": "esketamine_nasal_acute"}
    return {name: pk.simulate(what, NASAL, people(40), until="4 h", every="10 min") for name, what in named.items()}


@pytest.fixture(scope="module")
def study() -> Study:
    """A shipped scenario in a few patients."""
    return studies.run(pk.load_scenario("iv_taper_versus_flat").with_options(n=120))


def written(ax: Axes) -> str:
    """All texts of a panel and its axes."""
    return " | ".join([ax.get_xlabel(), ax.get_ylabel(), ax.get_title(loc="left"), *(t.get_text() for t in ax.texts)])


def test_paired_difference(pair: dict[str, Result]) -> None:
    """The quantiles of the differences, patient by patient, and not the difference of the quantiles."""
    ax = plots.regimens_overlay(pair)
    page = ax.get_figure(root=True)
    assert page is not None
    below = page.axes[1]
    difference = pair["nose"].level() - pair["vein"].level()
    line = below.lines[0]
    assert np.allclose(np.asarray(line.get_ydata()), np.median(difference, axis=0), atol=1e-9)
    points = below.collections[0].get_paths()[0].vertices
    assert points[:, 1].min() == pytest.approx(np.quantile(difference, 0.05, axis=0).min())
    assert points[:, 1].max() == pytest.approx(np.quantile(difference, 0.95, axis=0).max())
    assert "n = 40 pairs" in written(below) and "[ng/mL]" in below.get_ylabel()
    swapped = plots.regimens_overlay(pair, reference="nose").get_figure(root=True)
    assert swapped is not None
    assert np.allclose(np.asarray(swapped.axes[1].lines[0].get_ydata()), -np.median(difference, axis=0), atol=1e-9)


def test_only_the_same_patients_are_paired(pair: dict[str, Result]) -> None:
    """Other patients, other times, one result alone or an unknown reference are refused."""
    others = pk.simulate("esketamine_nasal_acute", NASAL, people(40, first=40), until="4 h", every="10 min")
    with pytest.raises(pk.InputError, match="nose in other patients"):
        plots.regimens_overlay({"vein": pair["vein"], "nose": others})
    later = pk.simulate("esketamine_nasal_acute", NASAL, people(40), until="3 h", every="10 min")
    with pytest.raises(pk.InputError, match="nose on other times"):
        plots.regimens_overlay({"vein": pair["vein"], "nose": later})
    with pytest.raises(pk.InputError, match="at least two results"):
        plots.regimens_overlay({"vein": pair["vein"]})
    with pytest.raises(pk.InputError, match="nearest vein"):
        plots.regimens_overlay(pair, reference="vien")


def test_half_time_of_one_compartment_is_exact() -> None:
    """ln 2 / k whatever the length of the infusion and its rate."""
    model = pk.load_model(ONE)
    for rate in ("10 mg/h", "500 mg/h"):
        found = plots.context_half_times(model, [0.01, 1.0, 50.0], patient=WHO, rate=rate)
        assert found == pytest.approx(math.log(2) / K, rel=1e-10)


def test_half_time_is_where_a_simulated_level_has_halved() -> None:
    """Of the drug and of its effect site, by a simulation of its own; longer after a longer infusion."""
    model = attach(pk.load_model("ketamine_domino1984"), [load_effect("dissociation_olofsen2022")])
    over = np.array([0.5, 4.0])
    plain = plots.context_half_times(model, over, patient=WHO)
    site = plots.context_half_times(model, over, patient=WHO, effect="dissociation")
    assert plain[1] > 1.5 * plain[0] and (site > plain).all()
    for hours, half in zip(over, plain, strict=True):
        phase = {"name": "p", "dose": "100 mg", "over": f"{hours} h", "sessions": {"days": [1]}}
        course = pk.load_protocol({"title": "T", "drug": "ketamine", "route": "iv", "phases": [phase]})
        end = pk.simulate(course, model, WHO, until=f"{hours} h", every=f"{hours} h").level()[0, -1]
        later = float(hours + half)
        assert pk.simulate(course, model, WHO, until=f"{later!r} h", every=f"{later!r} h").level()[0, -1] == (
            pytest.approx(end / 2, rel=1e-9)
        )


def test_half_times_are_drawn_in_minutes() -> None:
    """A line to a model, with its name and grade at the end."""
    ax = plots.half_times([pk.load_model(ONE), "ketamine_kamp2020"], patient=WHO, longest=4)
    assert np.asarray(ax.lines[0].get_ydata()) == pytest.approx(60 * math.log(2) / K)
    said = written(ax)
    assert "plasma [min]" in said and "infusion [h]" in said and "70 kg" in said
    assert "one_compartment\n(evidence: assumed)" in said


@pytest.mark.parametrize(
    ("asked", "part"),
    [
        ({"durations": [0.0]}, "durations above 0 h"),
        ({"durations": []}, "durations above 0 h"),
        ({"durations": [1.0], "rate": "10 mg"}, "a rate such as"),
        ({"durations": [1.0], "effect": "dissociation"}, "dissociation"),
    ],
)
def test_half_times_refuse(asked: dict[str, Any], part: str) -> None:
    """One clear error."""
    durations = asked.pop("durations")
    with pytest.raises(pk.InputError, match=part):
        plots.context_half_times(pk.load_model(ONE), durations, patient=WHO, **asked)


def test_half_times_need_a_way_out_and_a_vein() -> None:
    """A drug that stays never halves."""
    tree = ONE | {"parameters": {**ONE["parameters"], "CL": {"value": "0 L/h", "from": "a test"}}}
    with pytest.raises(pk.InputError, match="has not halved"):
        plots.context_half_times(pk.load_model(tree), [1.0], patient=WHO)
    with pytest.raises(pk.InputError, match="at least one model"):
        plots.half_times([], patient=WHO)


def test_accumulation_of_one_compartment() -> None:
    """Equal doses every tau: (1 - exp(-j k tau)) / (1 - exp(-k tau)) at session j, for peak, area and trough alike."""
    sessions = {"days": [1, 2, 3, 5]}  # the last interval is longer: only one length is compared
    phase = {"name": "p", "dose": "10 mg", "sessions": sessions}
    course = pk.load_protocol({"title": "T", "drug": "ketamine", "route": "iv", "phases": [phase]})
    result = pk.simulate(course, pk.load_model(ONE), WHO, every="6 h")
    numbers, found = ratios(result, ("peak", "auc", "trough"))
    left = [0.0]
    for gap in (24, 24, 48):
        left.append((left[-1] + 1) * math.exp(-K * gap))
    expected = 1 + np.array(left)
    assert numbers.tolist() == [1, 2, 3, 4]
    for metric in ("peak", "auc", "trough"):
        assert found[metric][:, 0] == pytest.approx(expected, rel=1e-9)
    ax = plots.accumulation(result)
    for line in ax.lines[:3]:
        assert np.asarray(line.get_ydata()) == pytest.approx(expected, rel=1e-9)
    assert "ratio to session 1" in ax.get_ylabel()
    with pytest.raises(pk.InputError, match="nearest trough"):
        plots.accumulation(result, metrics=["trough", "trouh"])
    with pytest.raises(pk.InputError, match="at least two sessions"):
        plots.accumulation(pk.simulate("esketamine_iv_single", NASAL, WHO, every="1 h"))


def test_loop_is_effect_over_level() -> None:
    """The path of the levels and of the effect, with arrows; an illustrative effect is called one."""
    felt = pk.simulate(
        "iv_single", "ketamine_kamp2020", WHO, until="4 h", effects=["dissociation_olofsen2022", "blood_pressure"]
    )
    ax = plots.effect_against_level(felt, "dissociation")
    assert np.array_equal(np.asarray(ax.lines[0].get_xdata()), felt.level()[0])
    assert np.array_equal(np.asarray(ax.lines[0].get_ydata()), felt.level("dissociation_olofsen2022")[0])
    assert sum(text.get_text() == "" for text in ax.texts) >= 3  # arrow heads
    assert "[ng/mL]" in ax.get_xlabel() and "illustrative" not in written(ax)
    assert "illustrative" in plots.effect_against_level(felt, "blood_pressure").get_ylabel()
    with pytest.raises(pk.InputError, match="an effect of ketamine_kamp2020"):
        plots.effect_against_level(felt, "ketamine")


@pytest.mark.parametrize("name", ["ketamine_kamp2020", NASAL, "esketamine_simons2022", "ketamine_enantiomers"])
def test_diagram_has_all_of_a_model(name: str) -> None:
    """A box to each compartment, none over another; every rate and route is written."""
    model = pk.load_model(name)
    said = written(plots.compartments(name)).replace("\n", " ")
    for compartment in model.compartments:
        assert compartment.replace("_", " ") in said
    for flow in model.flows:
        assert flow.rate is not None and flow.rate.text in said
    for route in model.routes:
        assert route in said
    assert f"evidence: {model.evidence}" in said


def test_boxes_keep_clear_of_one_another() -> None:
    """In every model that is shipped."""
    for file in Path(pk.__file__ or "").parent.glob("models/*.yaml"):
        where = list(places(pk.load_model(file.stem)).values())
        for index, (x, y) in enumerate(where):
            for other_x, other_y in where[index + 1 :]:
                assert abs(x - other_x) >= 1 - 1e-9 or abs(y - other_y) >= 1, file.stem


def test_diagram_is_filled_by_amounts() -> None:
    """The height of a filling is the share of what the body holds; exact between the points of a grid."""
    result = pk.simulate("esketamine_nasal_acute", NASAL, WHO, until="3 h", every="1 h")
    fine = pk.simulate("esketamine_nasal_acute", NASAL, WHO, until="3 h", every="10 min")
    ax = plots.compartments(result=result, at=0.5)
    amounts = dict(zip(fine.model.compartments, fine.amounts[0, 3], strict=True))
    boxes = {patch.get_gid(): patch for patch in ax.patches if isinstance(patch, Rectangle) and patch.get_gid()}
    whole = sum(amounts.values())
    heights = {name: box.get_height() / 0.72 for name, box in boxes.items()}
    assert heights == pytest.approx({name: amount / whole for name, amount in amounts.items()}, rel=1e-9)
    assert "30 min after the start, one patient" in written(ax).replace("\n", " ")
    for asked in ({"result": result, "at": 4.0}, {"result": result}, {"model": NASAL, "at": 1.0}, {}):
        with pytest.raises(pk.InputError):
            plots.compartments(**asked)
    with pytest.raises(pk.InputError, match="a result of ketamine_kamp2020"):
        plots.compartments("ketamine_kamp2020", result=result, at=1.0)


def test_forest_has_every_finding(study: Study) -> None:
    """Share, interval, requirement and the shape of the verdict; numbers beside."""
    ax = plots.forest(study)
    marks = {"met": "o", "undecided": "D", "broken": "X"}
    drawn = [line for line in ax.lines if line.get_gid() in marks]
    assert len(drawn) == len(study.results)
    for line, found in zip(drawn, study.results, strict=True):
        assert np.asarray(line.get_xdata())[0] == pytest.approx(100 * found.share)
        assert line.get_gid() == found.verdict and line.get_marker() == marks[found.verdict]
    said = written(ax)
    for found in study.results:
        assert f"{100 * found.share:.1f} % [{100 * found.low:.1f} to {100 * found.high:.1f}]  {found.verdict}" in said
    assert "n = 120" in ax.get_xlabel()


def test_shares_stand_at_the_limits(study: Study) -> None:
    """At each limit of the bands the part of the patients in whom its rule does not hold; n on the axis."""
    ax = plots.bands(study, "flat")
    said = [text.get_text() for text in ax.texts if text.get_gid() == "beyond"]
    side = {"peak": "above", "long_high": "break it", "effective": "below"}
    expected = set()
    for found in study.results:
        if found.arm == "flat":
            share = 100 * (1 - found.share)
            expected.add(f"{share:.0f} % {side[found.rule]}" if share >= 0.95 or share == 0 else f"{share:.1f} % below")
    assert set(said) == expected
    assert "n = 120" in ax.get_ylabel()
    assert "n = 120 patients" in plots.session_peaks(study).get_ylabel()


def test_tornado_and_map() -> None:
    """Bars are the indices, the strongest on top; the map's line is the answer at each value of the second knob."""
    scenario, metric = explored("iv_taper_versus_flat", "peak", None, arm="taper")
    found = sensitivity.run(scenario.with_options(n=64), metric=metric)
    ax = plots.tornado(found)
    names = [label.get_text().replace("\n", " ") for label in ax.get_yticklabels()]
    assert names == [row.input for row in reversed(found.rows)]
    lengths = [patch.get_width() for patch in ax.patches if isinstance(patch, Rectangle)]
    assert max(lengths) == pytest.approx(100 * max(max(row.total, row.first or 0) for row in found.rows))
    assert "n = 64" in ax.get_xlabel() and "ng/mL" in ax.get_title(loc="left")
    request = prepare("iv_taper_versus_flat", ["taper.from", "phases[1].over"], ["peak"], arm="taper", n=60, points=5)
    design = dose_finding.run(request)
    ax = plots.dose_duration_map(design)
    (line,) = [one for one in ax.lines if one.get_marker() == "o"]
    answers = [item.value for item in design.boundary if item.value is not None and not item.open]
    assert np.asarray(line.get_xdata()).tolist() == answers
    assert "[mg/kg]" in ax.get_xlabel() and "[min]" in ax.get_ylabel()
    single = prepare("iv_taper_versus_flat", ["taper.from"], ["peak"], arm="taper", n=20, points=5)
    with pytest.raises(pk.InputError, match="two parameters"):
        plots.dose_duration_map(dose_finding.run(single))


def test_gallery_has_every_picture() -> None:
    """The page shows each picture of its script with the call that made it, and every plot is among them."""
    docs = Path(__file__).parents[2] / "docs"
    script, page = (docs / "gallery.py").read_text(), (docs / "gallery.md").read_text()
    pictures = re.findall(r"@picture\ndef (\w+)\(\)", script)
    shown = re.findall(r"images/gallery/(\w+)\.png", page)
    assert sorted(set(shown)) == sorted(pictures)
    for name in pictures:
        file = docs / f"images/gallery/{name}.png"
        assert 1000 < file.stat().st_size <= 60_000
    for name in ("concentration", "doses", "regimens_overlay", "bands", "session_peaks", "models_overlay"):
        assert f"plots.{name}(" in page
    for name in ("effect_against_level", "half_times", "accumulation", "compartments", "tornado", "forest"):
        assert f"plots.{name}(" in page
