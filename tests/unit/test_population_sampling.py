"""Covariates and random effects: the stated distributions, and streams that no other choice reshuffles.

Seeds are fixed, so nothing here is flaky; every tolerance is 4 standard errors at the n of the test, or a critical
value of the Kolmogorov-Smirnov statistic (1.95 / sqrt(n): one in a thousand).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

import pkmodel as pk
from pkmodel import network
from pkmodel.population import Population, normals, parameters, sample_covariates, sample_effects, stream
from pkmodel.specs.loading import find
from pkmodel.specs.yaml_tree import read_yaml

SEED, N = 20261123, 20_000
KS = 1.95 / N**0.5
ADULTS = pk.load_population("adults_trials")
DRAWN = sample_covariates(ADULTS, SEED, 0, N)


def _same(first: Population, second: Population, where: slice = slice(None)) -> None:
    assert set(first.covariates) == set(second.covariates)
    for name, values in first.covariates.items():
        assert np.array_equal(values[where], second.covariates[name]), name


def _distance(values: NDArray[np.float64], cdf: Any) -> float:
    return float(stats.ks_1samp(values, cdf).statistic)


def test_stream_is_uniform_and_open() -> None:
    """Uniform on (0, 1) without its ends, where the normal quantile would be infinite."""
    drawn = stream(SEED, "sex", 0, N)
    assert _distance(drawn, stats.uniform.cdf) < KS
    assert drawn.min() > 0 and drawn.max() < 1
    assert np.isfinite(normals(SEED, "sex", 0, 200_000)).all()


def test_streams_of_two_names_or_seeds_are_unrelated() -> None:
    """Correlations between streams are within 4 / sqrt(n) of 0."""
    table = np.stack(
        [normals(seed, name, 0, N) for seed in (1, 2, 12) for name in ("sex", "eta/CL", "eta/V1", "2/sex")]
    )
    off = np.corrcoef(table) - np.eye(len(table))
    assert np.abs(off).max() < 4 / N**0.5


@pytest.mark.parametrize("first", [0, 1, 2, 3, 4, 5, 7, 255, 256, 4099])
@pytest.mark.parametrize("count", [1, 2, 3, 100])
def test_any_chunk_is_the_same_patients(first: int, count: int) -> None:
    """Patients 256 to 355 are the same ones, wherever a chunk begins."""
    _same(DRAWN, sample_covariates(ADULTS, SEED, first, count), slice(first, first + count))


def test_first_hundred_of_a_thousand() -> None:
    """The run of 100 patients is the head of the run of 1,000, effects included."""
    model = pk.load_model("esketamine_perezruixo2021")
    few = sample_effects(sample_covariates(ADULTS, SEED, 0, 100), model, SEED)
    many = sample_effects(sample_covariates(ADULTS, SEED, 0, 1000), model, SEED)
    _same(many, few, slice(100))
    for name, values in many.etas.items():
        assert np.array_equal(values[:100], few.etas[name]), name


def test_other_seed_other_patients() -> None:
    """No patient is shared between two seeds."""
    other = sample_covariates(ADULTS, SEED + 1, 0, 1000)
    assert not (other.covariates["weight"] == DRAWN.covariates["weight"][:1000]).any()


def test_age_is_the_truncated_normal() -> None:
    """Age as scipy's truncated normal, inside its range."""
    age = DRAWN.covariates["age"]
    low, high = (18 - 45) / 14, (86 - 45) / 14
    assert _distance(age, stats.truncnorm(low, high, loc=45, scale=14).cdf) < KS
    assert age.min() >= 18 and age.max() <= 86


def test_weight_is_the_truncated_lognormal() -> None:
    """Weight as a log-normal of median 74 kg and CV 22 %, cut to 39 to 170 kg."""
    weight = DRAWN.covariates["weight"]
    whole = stats.lognorm(np.log1p(0.22**2) ** 0.5, scale=74.0)
    below, above = whole.cdf(39), whole.cdf(170)
    assert _distance(weight, lambda value: (whole.cdf(value) - below) / (above - below)) < KS
    assert weight.min() >= 39 and weight.max() <= 170
    # Standard error of a median: 1 / (2 f sqrt(n)), with the density f = 1 / (74 s sqrt(2 pi)) there.
    error = 74 * np.log1p(0.22**2) ** 0.5 * (2 * np.pi) ** 0.5 / (2 * N**0.5)
    assert abs(np.median(weight) - 74.0) < 4 * error + 0.05  # the cut itself moves the median by 0.03 kg


def test_height_is_normal_within_each_sex() -> None:
    """161 and 175 cm with 7 and 7.5 cm."""
    female = DRAWN.covariates["female"] == 1.0
    for who, mean, spread in ((female, 161.0, 7.0), (~female, 175.0, 7.5)):
        heights = DRAWN.covariates["height"][who]
        assert _distance(heights, stats.norm(mean, spread).cdf) < 1.95 / heights.size**0.5


def test_shares_of_sex_and_ancestry() -> None:
    """Shares within 4 binomial standard errors."""
    ancestry = DRAWN.covariates["ancestry"]
    found = {"female": DRAWN.covariates["female"].mean(), **{str(k): (ancestry == k).mean() for k in range(3)}}
    for name, share in {"female": 0.58, "0": 0.86, "1": 0.05, "2": 0.09}.items():
        assert abs(found[name] - share) < 4 * (share * (1 - share) / N) ** 0.5, name


def _normal_population(**more: Any) -> dict[str, Any]:
    return {
        "sex": {"female": 0.5},
        "age": {"normal": ["50 y", "8 y"]},
        "height": {"normal": ["170 cm", "8 cm"]},
        "weight": {"normal": ["75 kg", "10 kg"]},
        **more,
    }


def test_correlations() -> None:
    """Correlations within 4 (1 - r^2) / sqrt(n); between normal marginals the copula's r is Pearson's."""
    stated = {"height~weight": 0.6, "age~weight": -0.3, "age~height": 0.0}
    spec = pk.load_population(_normal_population(correlation={"height~weight": 0.6, "age~weight": -0.3}))
    drawn = sample_covariates(spec, SEED, 0, N).covariates
    for pair, r in stated.items():
        first, second = pair.split("~")
        assert abs(np.corrcoef(drawn[first], drawn[second])[0, 1] - r) < 4 * (1 - r**2) / N**0.5, pair


def test_adding_a_covariate_reshuffles_nothing() -> None:
    """Other shares of ancestry, a correlation or another age leave every other covariate as it was."""
    plain = sample_covariates(pk.load_population(_normal_population()), SEED, 0, 500).covariates
    more = _normal_population(ancestry={"other": 0.5, "japanese": 0.5}, correlation={"age~height": 0.4})
    more["weight"] = {"uniform": ["50 kg", "90 kg"]}
    changed = sample_covariates(pk.load_population(more), SEED, 0, 500).covariates
    for name in ("female", "age"):
        assert np.array_equal(plain[name], changed[name]), name
    # The order of the uniform and of the normal weights is the same: one stream, two marginals.
    assert np.array_equal(np.argsort(plain["weight"]), np.argsort(changed["weight"]))


def test_effects_are_shared_by_name() -> None:
    """A model with fewer effects, or another model with the same ones, draws the same values by name."""
    otto, clements = pk.load_model("esketamine_otto2021"), pk.load_model("ketamine_clements1981")
    of_otto, of_clements = (sample_effects(DRAWN, model, SEED).etas for model in (otto, clements))
    for name in ("V1", "CL"):
        assert np.array_equal(of_otto[name], of_clements[name])
    tree = read_yaml(find("models", "esketamine_otto2021")).tree
    tree["variability"]["between_subject"] = {
        "Q1": {"cv": "20 %"},
        **{name: tree["variability"]["between_subject"][name] for name in ("V1", "CL", "V1~CL")},
    }
    of_changed = sample_effects(DRAWN, pk.load_model(tree), SEED).etas
    assert set(of_changed) == {"Q1", "V1", "CL"}
    for name in ("V1", "CL"):
        assert np.array_equal(of_otto[name], of_changed[name])


def test_covariance_of_effects() -> None:
    """Variances and covariances as stated: 4 x sqrt((s11 s22 + s12^2) / n), the error of a normal sample's."""
    etas = sample_effects(DRAWN, pk.load_model("esketamine_otto2021"), SEED).etas
    names = ["V1", "CL", "VN", "CLN"]
    stated = np.diag([0.084177, 0.026048, 0.040426, 0.10319])
    stated[0, 1] = stated[1, 0] = 0.02261
    stated[2, 3] = stated[3, 2] = 0.04456
    found = np.cov(np.stack([etas[name] for name in names]))
    error = np.sqrt((np.outer(np.diag(stated), np.diag(stated)) + stated**2) / N)
    assert (np.abs(found - stated) < 4 * error).all(), (found - stated) / error
    for name in names:
        assert abs(etas[name].mean()) < 4 * (stated[names.index(name), names.index(name)] / N) ** 0.5


def test_cv_of_a_lognormal_parameter() -> None:
    """A CV of 132 % is the coefficient of variation of the parameter: log(1 + CV^2) is the variance of its log."""
    model = pk.load_model("esketamine_perezruixo2021")
    values = parameters(model, sample_effects(DRAWN, model, SEED))
    for name, cv in (("ka_sw", 1.32), ("Vc", 0.275)):
        logs = np.log(values[name] / model.typical[name][0])
        variance = np.log1p(cv**2)
        assert abs(logs.var() - variance) < 4 * variance * (2 / N) ** 0.5, name
    assert np.array_equal(values["Fgut"], np.full(N, 0.64))


def test_logit_normal_fraction() -> None:
    """FRn stays inside (0, 1), its median is the typical value, and its logit has the stated SD."""
    model = pk.load_model("esketamine_perezruixo2021")
    fraction = parameters(model, sample_effects(DRAWN, model, SEED))["FRn"]
    assert fraction.min() > 0 and fraction.max() < 1
    logits = np.log(fraction / (1 - fraction)) - np.log(0.54 / 0.46)
    assert abs(logits.std() - 0.708) < 4 * 0.708 / (2 * N) ** 0.5
    assert abs(logits.mean()) < 4 * 0.708 / N**0.5


def test_nasal_fraction_of_japanese_patients() -> None:
    """1.34 FRn would exceed 1 in one Japanese patient in ten; it is held at 1, or a negative dose is swallowed."""
    model = pk.load_model("esketamine_perezruixo2021")
    drawn = sample_effects(DRAWN, model, SEED)
    net = network.build(model, drawn)
    japanese = drawn.values()["japanese"] == 1.0
    uncapped = 1.34 * net.values["FRn"][japanese]
    assert 0.05 < (uncapped > 1).mean() < 0.2, "without such patients this test shows nothing"
    nose, swallowed = (way.fraction for way in model.routes["intranasal"].paths)
    assert nose is not None and swallowed is not None
    for device, factor in ((1, 1.0), (2, 0.62), (3, 0.62)):
        up = net.evaluate(nose, "nose", device=device, high=1.0)
        down = net.evaluate(swallowed, "swallowed", device=device, high=1.0)
        assert up[japanese] == pytest.approx(np.minimum(1.0, uncapped) * factor, rel=1e-14)
        assert up[~japanese] == pytest.approx(net.values["FRn"][~japanese] * factor, rel=1e-14)
        assert (down >= 0).all()
        assert down == pytest.approx((1 - up) * 0.64, rel=1e-12, abs=1e-15)


def test_covariate_effects() -> None:
    """Weight to the power, age above 60 y, factors by ancestry (Japanese counts as Asian too)."""
    otto, perez = pk.load_model("esketamine_otto2021"), pk.load_model("esketamine_perezruixo2021")
    patient = pk.Patient(weight="140 kg", age="70 y", ancestry="japanese").population()
    assert parameters(otto, patient)["CL"] == pytest.approx([95.2 * 2**0.75], rel=1e-14)
    assert parameters(otto, patient)["V1"] == pytest.approx([266.0], rel=1e-14)
    assert parameters(perez, patient)["Qh"] == pytest.approx([151 - 21.9], rel=1e-14)
    assert parameters(perez, patient)["kel"] == pytest.approx([1.11 * 0.36], rel=1e-14)
    assert parameters(pk.load_model("ketamine_clements1981"), patient)["V1"] == pytest.approx([1.7522 * 140], rel=1e-14)


@pytest.mark.parametrize(
    "wrong",
    [
        {"weight": "0 kg"}, {"weight": "700 kg"}, {"weight": "nan kg"}, {"weight": "70"}, {"weight": "70 mg"},
        {"weight": 70}, {"weight": float("nan")}, {"weight": "-70 kg"}, {"age": "45"}, {"age": "150 y"},
        {"age": "45 h"}, {"height": "1.7"}, {"height": "17 m"}, {"sex": "woman"}, {"ancestry": "martian"},
        {"cyp2b6_activity": 1.5}, {"cyp2b6_activity": float("nan")}, {"hepatic_impairment": -0.1},
        {"hepatic_impairment": "0.5"},
    ],
)  # fmt: skip
def test_patient_that_cannot_be(wrong: dict[str, Any]) -> None:
    """One problem that names the argument."""
    with pytest.raises(pk.InputError) as refused:
        pk.Patient(**wrong)
    (problem,) = refused.value.problems
    assert (problem.where, problem.path) == ("patient", next(iter(wrong)))


def test_all_mistakes_of_a_patient_at_once() -> None:
    """Three wrong arguments are three problems."""
    with pytest.raises(pk.InputError) as refused:
        pk.Patient(weight="0 kg", age="45", sex="x")
    assert [problem.path for problem in refused.value.problems] == ["weight", "age", "sex"]


@pytest.mark.parametrize("name", ["esketamine_perezruixo2021", "ketamine_clements1981", "esketamine_simons2022"])
def test_a_patient_drawn_alone_is_the_same_to_the_bit(name: str) -> None:
    """Covariates and correlated effects of 60 patients, together and one by one."""
    model = pk.load_model(name)
    together = sample_effects(sample_covariates(ADULTS, 5, 0, 60), model, 5)
    for patient in range(60):
        alone = sample_effects(sample_covariates(ADULTS, 5, patient, 1), model, 5)
        for part in ("covariates", "etas"):
            whole = getattr(together, part)
            assert {key: values[0] for key, values in getattr(alone, part).items()} == {
                key: values[patient] for key, values in whole.items()
            }
