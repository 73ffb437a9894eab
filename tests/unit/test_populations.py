"""Populations: what is shipped, mixtures, tables of people, medical history, and patients spread evenly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

import pkmodel as pk
from pkmodel import replicates, study
from pkmodel.population import dimensions, parameters, sample_covariates, sample_effects
from pkmodel.quasi import Draws
from pkmodel.specs.loading import find, library
from pkmodel.specs.yaml_tree import read_yaml
from pkmodel.streams import stream

SEED, N = 20261126, 8000
ADULT: dict[str, Any] = {
    "sex": {"female": 0.5},
    "age": {"normal": ["50 y", "8 y"]},
    "height": {"normal": ["170 cm", "8 cm"]},
    "weight": {"normal": ["75 kg", "10 kg"]},
}
PEOPLE = "id,sex,age [y],height [m],weight (kg),ancestry\n1,female,30,1.60,60,other\n2,male,41,1.80,82.5,asian\n"


@pytest.mark.parametrize("name", sorted(library("populations")))
def test_shipped_populations(name: str) -> None:
    """Patients lie within the ranges that the parts state, say where they come from, and differ by sex."""
    spec = pk.load_population(name)
    drawn = sample_covariates(spec, SEED, 0, 2000).covariates
    assert drawn["age"].max() <= spec.oldest
    assert spec.assumptions and (spec.source or spec.parts)
    if spec.parts:
        return
    for covariate in ("height", "weight"):
        stated = getattr(spec, covariate)
        if stated.by_sex is not None:
            for part, who in zip(stated.by_sex, (drawn["female"] == 1.0, drawn["female"] == 0.0), strict=True):
                assert part.low <= drawn[covariate][who].min() and drawn[covariate][who].max() <= part.high
                # The median of a marginal that is cut on both sides lies near its centre.
                assert abs(np.median(drawn[covariate][who]) / part.location - 1) < 0.04


def test_weight_by_sex_is_its_own_lognormal() -> None:
    """Weights of obese women are the cut log-normal of the file, at the 0.1 % level of Kolmogorov and Smirnov."""
    drawn = sample_covariates(pk.load_population("adults_obese"), SEED, 0, N).covariates
    weights = drawn["weight"][drawn["female"] == 1.0]
    whole = stats.lognorm(np.log1p(0.15**2) ** 0.5, scale=93.0)
    below, above = whole.cdf(70), whole.cdf(170)
    found = stats.ks_1samp(weights, lambda value: (whole.cdf(value) - below) / (above - below)).statistic
    assert found < 1.95 / weights.size**0.5


def test_discrete_shares_and_what_a_model_makes_of_them() -> None:
    """Shares within 4 binomial errors; the model answers to the activity of each patient."""
    spec = pk.load_population(
        {**ADULT, "cyp2b6_activity": {"shares": [{"value": 1, "share": "70 %"}, {"value": 0.25, "share": "30 %"}]}}
    )
    drawn = sample_covariates(spec, SEED, 0, N)
    activity = drawn.covariates["cyp2b6_activity"]
    assert set(activity) == {0.25, 1.0}
    assert abs((activity == 0.25).mean() - 0.3) < 4 * (0.21 / N) ** 0.5
    plain = sample_covariates(pk.load_population(ADULT), SEED, 0, N).covariates
    assert all(np.array_equal(plain[name], drawn.covariates[name]) for name in ("age", "height", "weight", "female"))


def test_mixture_takes_patients_of_its_components() -> None:
    """The weights hold, and whoever belongs to a component is the patient of that number in a run of it alone."""
    parts = ("adults_trials", "elderly")
    spec = pk.load_population(
        {"mixture": [{"weight": "70 %", "population": parts[0]}, {"weight": 0.3, "population": parts[1]}]}
    )
    drawn = sample_covariates(spec, SEED, 0, N).covariates
    second = stream(SEED, "component", 0, N) >= 0.7
    assert abs(second.mean() - 0.3) < 4 * (0.21 / N) ** 0.5
    for name, who in zip(parts, (~second, second), strict=True):
        alone = sample_covariates(pk.load_population(name), SEED, 0, N).covariates
        assert all(np.array_equal(values[who], alone[key][who]) for key, values in drawn.items())
    chunk = sample_covariates(spec, SEED, 333, 50).covariates
    assert all(np.array_equal(values, drawn[key][333:383]) for key, values in chunk.items())


def _table(folder: Path, text: str = PEOPLE, **more: Any) -> dict[str, Any]:
    (folder / "people.csv").write_text(text)
    return {"from_csv": {"file": str(folder / "people.csv"), "draw": "bootstrap", **more}}


def test_people_of_a_table(tmp_path: Path) -> None:
    """Units of headers are converted; rows in order, or drawn by a stream with the right shares."""
    spec = pk.load_population(_table(tmp_path, draw="in_order"))
    drawn = sample_covariates(spec, SEED, 0, 2).covariates
    assert drawn["weight"].tolist() == [60.0, 82.5] and drawn["height"].tolist() == pytest.approx([160.0, 180.0])
    assert drawn["female"].tolist() == [1.0, 0.0] and drawn["ancestry"].tolist() == [0.0, 1.0]
    with pytest.raises(pk.InputError, match="3 patients in order"):
        sample_covariates(spec, SEED, 0, 3)
    many = sample_covariates(pk.load_population(_table(tmp_path)), SEED, 0, N).covariates
    assert abs(many["female"].mean() - 0.5) < 4 * 0.5 / N**0.5
    assert set(zip(many["female"], many["weight"], strict=True)) == {(1.0, 60.0), (0.0, 82.5)}


def test_headers_and_units_of_the_users_own(tmp_path: Path) -> None:
    """Columns by other names, units stated in the population file."""
    text = "gender,years,size,mass\nmale,50,70.9,180\n"
    columns = {"sex": "gender", "age": "years", "height": "size", "weight": "mass"}
    made = _table(tmp_path, text, columns=columns, units={"age": "y", "height": "inch", "weight": "lb"})
    drawn = sample_covariates(pk.load_population(made), SEED, 0, 1).covariates
    assert drawn["weight"] == pytest.approx([180 * 0.45359237]) and drawn["height"] == pytest.approx([70.9 * 2.54])


@pytest.mark.parametrize(
    ("old", "new", "line", "path", "said"),
    [
        ("82.5", "825", 3, "weight (kg)", "weight of 0.4 to 400 kg"),
        (",60,", ",,", 2, "weight (kg)", "found an empty cell"),
        ("male,41", "man,41", 3, "sex", "found man"),
        ("asian", "asain", 3, "ancestry", "nearest asian"),
        (",30,", ",thirty,", 2, "age [y]", "found thirty"),
        (",1.80,", ",", 3, "", "found 5 cells"),
        ("age [y]", "age", 1, "age", "age without a unit"),
        ("height [m]", "heigth [m]", 1, "height", "nearest heigth"),
        ("age [y]", "age [kg]", 1, "age [kg]", "expected a unit in the header"),
    ],
)
def test_wrong_cells(tmp_path: Path, old: str, new: str, line: int, path: str, said: str) -> None:
    """One error with the file, the line and the column."""
    with pytest.raises(pk.InputError) as refused:
        pk.load_population(_table(tmp_path, PEOPLE.replace(old, new, 1)))
    (problem,) = refused.value.problems
    assert (problem.line, problem.path) == (line, path) and str(problem.where).endswith("people.csv")
    assert said in str(refused.value)


def _scenario(sampling: Any, n: int, **more: Any) -> pk.specs.library.Scenario:  # type: ignore[name-defined]
    tree = dict(read_yaml(find("scenarios", "iv_taper_versus_flat")).tree)
    return pk.load_scenario({**tree, "sampling": sampling, "n": n, "observe": {"every": "1 h", "for": "2 h"}, **more})


def test_a_table_beside_a_scenario(tmp_path: Path) -> None:
    """Its path is relative to the scenario, its hash is among the inputs, and too few rows are refused beforehand."""
    source = find("scenarios", "iv_taper_versus_flat").read_text()
    (tmp_path / "people.csv").write_text(PEOPLE)
    file = tmp_path / "mine.yaml"
    file.write_text(
        source.replace("population: adults_trials", "population: {from_csv: {file: people.csv, draw: in_order}}")
    )
    with pytest.raises(pk.InputError, match="1,000 patients in the order of 2 rows"):
        pk.load_scenario(file)
    file.write_text(file.read_text().replace("n: 1000", "n: 2"))
    scenario = pk.load_scenario(file)
    assert scenario.inputs["population people.csv"].document.text == PEOPLE
    with pytest.raises(pk.InputError, match="3 patients in the order"):
        scenario.with_options(n=3)


@pytest.mark.parametrize("method", ["sobol", "latin_hypercube"])
def test_evenly_spread_patients_are_the_same_in_any_chunk(method: str) -> None:
    """Any block has the bits of the whole; every replicate is balanced in every dimension."""
    model = pk.load_model("ketamine_clements1981")
    adults = pk.load_population("adults_trials")
    seed = Draws(7, method, dimensions(adults, [model]), 16, 512)
    whole = sample_effects(sample_covariates(adults, seed, 0, 512), model, seed)
    for first, count in ((0, 1), (1, 17), (15, 2), (100, 333), (511, 1)):
        block = sample_effects(sample_covariates(adults, seed, first, count), model, seed)
        for mine, theirs in ((block.covariates, whole.covariates), (block.etas, whole.etas)):
            assert all(np.array_equal(values, theirs[key][first : first + count]) for key, values in mine.items())
    for name in seed.dimensions:
        points = stream(seed, name, 0, 512).reshape(-1, 16)
        # A net, or a Latin hypercube, has one point in each of 32 equal parts.
        assert all((np.sort((column * 32).astype(int)) == np.arange(32)).all() for column in points.T), name
    assert np.array_equal(stream(seed, "residual/x", 0, 9), stream(7, "residual/x", 0, 9))
    assert parameters(model, whole)["CL"].std() > 0


def test_interval_of_replicates_covers() -> None:
    """The t interval of Sobol replicates holds a known mean in 95 % of 200 runs (within 3 binomial errors)."""
    truth, held = np.exp(0.5**2), 0
    for run in range(200):
        seed = Draws(run, "sobol", ("a", "b"), 8, 0)
        z = [stats.norm.ppf(stream(seed, name, 0, 128)) for name in ("a", "b")]
        low, high = replicates.mean_interval(np.exp(0.5 * (z[0] + z[1])), 8)
        held += low <= truth <= high
    # A mean of a skewed figure over 16 points is nearly normal, not quite: one more standard error is allowed below.
    assert held / 200 > 0.95 - 4 * (0.95 * 0.05 / 200) ** 0.5


def test_sobol_needs_a_quarter_of_the_patients() -> None:
    """2,048 Sobol patients have the half-width of 10,000 random ones or less on the means of peak and area."""
    even = study.run(_scenario("sobol", 2048))
    spread = study.run(_scenario("random", 2048))
    for values, others in zip(even.compared, spread.compared, strict=True):
        for request in values:
            if request.metric in ("peak", "auc", "time_above"):
                low, high = replicates.mean_interval(values[request], 16)
                random = stats.norm.ppf(0.975) * others[request].std(ddof=1) / 10_000**0.5
                assert (high - low) / 2 <= random, request
    finding = next(item for item in even.results if item.rule == "peak" and item.arm == "flat")
    counts = next(sums.met_in["peak", finding.window] for sums in even.sums)
    assert (finding.low, finding.high) == replicates.share_interval(counts, 2048)
    assert int(counts.sum()) == finding.n_met


@pytest.mark.parametrize("n", [100, 16])
def test_patients_that_replicates_cannot_share(n: int) -> None:
    """Refused with a number that is legal; a number that is no power of two is run, and said."""
    with pytest.raises(pk.InputError, match="nearest"):
        _scenario("sobol", n)
    assert "balanced" in _scenario("sobol", 48).spec.sampling.doubts(48)[0]
    assert _scenario("latin_hypercube", 48).spec.sampling.doubts(48) == []
