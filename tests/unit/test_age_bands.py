"""Marginals by bands of age: each is what is stated, correlated with the rank of the age within its band."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import pkmodel as pk
from pkmodel import study
from pkmodel.marginals import band_of, score_within, share_below, value_of
from pkmodel.population import sample_covariates
from pkmodel.sensitivity import groups_of
from pkmodel.specs.distribution import Distribution, distribution
from pkmodel.streams import normals

SEED, N = 20261126, 24_000
BANDS: list[dict[str, Any]] = [
    {"age": [None, "6 y"], "normal": ["105 cm", "6 cm"]},
    {
        "age": ["6 y", "11 y"],
        "by_sex": {"female": {"normal": ["131 cm", "8 cm"]}, "male": {"uniform": ["115 cm", "150 cm"]}},
    },
    {"age": ["11 y", None], "lognormal": {"median": "158 cm", "cv": "6 %"}},
]
WEIGHTS: list[dict[str, Any]] = [
    {"age": [None, "6 y"], "lognormal": {"median": "16 kg", "cv": "15 %"}},
    {"age": ["6 y", "11 y"], "lognormal": {"median": "27 kg", "cv": "20 %"}},
    {"age": ["11 y", None], "lognormal": {"median": "48 kg", "cv": "20 %"}},
]
AGES: dict[str, dict[str, Any]] = {
    "uniform": {"uniform": ["2 y", "16 y"]},
    "truncated_normal": {"truncated_normal": ["7 y", "4 y"], "range": ["2 y", "17 y"]},
    "lognormal": {"lognormal": {"median": "7 y", "cv": "60 %"}, "range": ["1 y", "18 y"]},
    "by_sex": {"by_sex": {"female": {"uniform": ["2 y", "16 y"]}, "male": {"normal": ["9 y", "3 y"]}}},
    "shares": {"shares": [{"value": f"{age} y", "share": 0.125} for age in (12, 3, 7, 5, 14, 9, 4, 10)]},
}
WITHIN = {"age~height": 0.6, "age~weight": 0.4, "height~weight": 0.7}


def _spec(age: dict[str, Any], **more: Any) -> pk.specs.population.PopulationSpec:  # type: ignore[name-defined]
    body = {"sex": {"female": 0.5}, "age": age, "height": {"by_age": BANDS}, "weight": {"by_age": WEIGHTS}}
    return pk.load_population({"title": "Children", **body, "correlation": WITHIN, **more})


def _fits(values: np.ndarray, cdf: Any) -> None:
    """Kolmogorov and Smirnov at the level of 0.1 %."""
    assert stats.ks_1samp(values, cdf).statistic < 1.95 / values.size**0.5


@pytest.mark.parametrize("name", AGES)
def test_each_band_has_its_distribution(name: str) -> None:
    """Whatever the distribution of the age, and though height and weight are correlated with it."""
    drawn = sample_covariates(_spec(AGES[name]), SEED, 0, N).covariates
    age, height, female = drawn["age"], drawn["height"], drawn["female"] == 1.0
    young, old = age < 6.0, age >= 11.0
    between = ~young & ~old
    assert min(young.sum(), between.sum(), old.sum()) > 1000
    _fits(height[young], stats.norm(105, 6).cdf)
    _fits(height[between & female], stats.norm(131, 8).cdf)
    _fits(height[between & ~female], stats.uniform(115, 35).cdf)
    spread = math.sqrt(math.log1p(0.06**2))
    _fits(height[old], stats.lognorm(spread, scale=158).cdf)
    _fits(drawn["weight"][between], stats.lognorm(math.sqrt(math.log1p(0.2**2)), scale=27).cdf)


@pytest.mark.parametrize("name", ["uniform", "truncated_normal", "lognormal"])
def test_correlation_is_that_within_a_band(name: str) -> None:
    """Of normal scores of the ranks, within 4 standard errors (at most 1 / sqrt(n) each)."""
    drawn = sample_covariates(_spec(AGES[name]), SEED, 0, N).covariates
    for low, high in ((0, 6), (11, 99)):
        own = (drawn["age"] >= low) & (drawn["age"] < high)
        scores = {
            key: stats.norm.ppf((stats.rankdata(drawn[key][own]) - 0.5) / own.sum())
            for key in ("age", "height", "weight")
        }
        for pair, stated in WITHIN.items():
            first, second = pair.split("~")
            found = np.corrcoef(scores[first], scores[second])[0, 1]
            assert found == pytest.approx(stated, abs=4 / own.sum() ** 0.5)


def test_ages_of_a_few_values_have_ranks_in_their_band() -> None:
    """Values in any order of their shares: the scores are normal in each band, and rise with the draw of the age."""
    ages = distribution("age", "age")(AGES["shares"])
    bands = distribution("height", "length")({"by_age": BANDS})
    z = normals(SEED, "covariate/age", 0, N)
    female = np.zeros(N)
    age = value_of(ages, z, female)
    score = score_within(bands, ages, z, female, age)
    which = band_of(bands, age)
    for band, values in ((0, {3.0, 5.0, 4.0}), (1, {7.0, 9.0, 10.0}), (2, {12.0, 14.0})):
        own = which == band
        assert set(age[own]) == values
        _fits(score[own], stats.norm.cdf)
        assert (np.diff(score[own][np.argsort(z[own])]) >= 0).all()


def test_chunks_and_numbers_change_nothing() -> None:
    """Patients of any chunk are those of the whole, and the first hundred those of more."""
    spec = _spec(AGES["truncated_normal"])
    whole = sample_covariates(spec, SEED, 0, 500).covariates
    for first, count in ((0, 100), (1, 3), (77, 256), (499, 1)):
        part = sample_covariates(spec, SEED, first, count).covariates
        for name, values in part.items():
            assert np.array_equal(values, whole[name][first : first + count]), name


def test_bands_of_one_distribution_are_that_distribution() -> None:
    """To the last bit without a correlation with age; with one band and a correlation, to rounding."""
    plain = {"normal": ["130 cm", "20 cm"]}
    several = {"by_age": [{"age": [None, "6 y"], **plain}, {"age": ["6 y", None], **plain}]}
    apart = {"correlation": {"height~weight": 0.7}, "weight": {"normal": ["30 kg", "6 kg"]}}
    one, other = (
        sample_covariates(_spec(AGES["uniform"], height=height, **apart), SEED, 0, 3000).covariates
        for height in (plain, several)
    )
    assert all(np.array_equal(one[name], other[name]) for name in one)
    single = {"by_age": [{"age": [None, None], **plain}]}
    one, other = (
        sample_covariates(_spec(AGES["uniform"], height=height, weight=apart["weight"]), SEED, 0, 3000).covariates
        for height in (plain, single)
    )
    for name in one:
        assert other[name] == pytest.approx(one[name], rel=1e-9)


def test_sex_and_age_in_either_order() -> None:
    """Bands of age for each sex are sexes in each band of age, to the last bit."""
    girls, boys = ["110 cm", "130 cm", "150 cm"], ["112 cm", "133 cm", "160 cm"]
    ages: list[list[str | None]] = [[None, "5 y"], ["5 y", "10 y"], ["10 y", None]]
    inner = [
        {"age": age, "by_sex": {"female": {"normal": [girl, "6 cm"]}, "male": {"normal": [boy, "6 cm"]}}}
        for age, girl, boy in zip(ages, girls, boys, strict=True)
    ]
    outer = {
        sex: {"by_age": [{"age": age, "normal": [centre, "6 cm"]} for age, centre in zip(ages, centres, strict=True)]}
        for sex, centres in (("female", girls), ("male", boys))
    }
    one, other = (
        sample_covariates(_spec(AGES["lognormal"], height=height), SEED, 0, 3000).covariates
        for height in ({"by_age": inner}, {"by_sex": outer})
    )
    assert all(np.array_equal(one[name], other[name]) for name in one)


def test_range_is_handed_on_and_cuts() -> None:
    """A range beside the bands holds in each of them that has none of its own."""
    bands = [BANDS[0] | {"range": ["100 cm", "110 cm"]}, BANDS[2] | {"age": ["6 y", None]}]
    spec = _spec(AGES["uniform"], height={"by_age": bands, "range": ["90 cm", "165 cm"]})
    drawn = sample_covariates(spec, SEED, 0, 4000).covariates
    young = drawn["age"] < 6.0
    assert (drawn["height"][young].min(), drawn["height"][young].max()) == (
        pytest.approx(100, abs=0.1),
        pytest.approx(110, abs=0.1),
    )
    assert drawn["height"][~young].max() == pytest.approx(165, abs=0.2)
    assert spec.height is not None
    assert spec.height.support == (90.0, 165.0, None)


EDGES = st.lists(st.floats(0.5, 100.0), min_size=0, max_size=6, unique=True).map(sorted)


@given(EDGES, st.lists(st.floats(0.0, 120.0), min_size=1, max_size=20))
def test_band_of_an_age(edges: list[float], ages: list[float]) -> None:
    """The lower end is in a band, the upper one is not; found by looking at every band."""
    lows, highs = [-math.inf, *edges], [*edges, math.inf]
    part = Distribution("fixed", 1.0)
    bands = Distribution("by_age", by_age=tuple(part for _ in lows), ages=tuple(lows))
    for age, found in zip(ages, band_of(bands, np.array(ages)), strict=True):
        assert lows[found] <= age < highs[found]


@given(st.sampled_from(["uniform", "truncated_normal", "lognormal"]), st.floats(0.0, 20.0))
def test_share_below_an_age(name: str, bound: float) -> None:
    """Against the patients themselves: within 4 standard errors of a share."""
    ages = distribution("age", "age")(AGES[name])
    drawn = value_of(ages, normals(SEED, "covariate/age", 0, 4000), np.zeros(4000))
    (share,) = share_below(ages, np.array([bound]))
    assert (drawn < bound).mean() == pytest.approx(share, abs=4 * 0.5 / 4000**0.5)


def test_last_band_holds_its_upper_end() -> None:
    """Bands from the youngest to the oldest age are enough; an age at the end of the last is in it."""
    bands = [{"age": ["2 y", "6 y"], "fixed": "16 kg"}, {"age": ["6 y", "16 y"], "fixed": "30 kg"}]
    ages = {"shares": [{"value": "2 y", "share": 0.3}, {"value": "6 y", "share": 0.3}, {"value": "16 y", "share": 0.4}]}
    drawn = sample_covariates(_spec(ages, weight={"by_age": bands}), SEED, 0, 500).covariates
    for age, weight in ((2.0, 16.0), (6.0, 30.0), (16.0, 30.0)):
        assert set(drawn["weight"][drawn["age"] == age]) == {weight}


def test_other_covariates_by_age() -> None:
    """Severity and the like may have bands too, and the grades of bands are said."""
    severity = {
        "by_age": [
            {"age": [None, "10 y"], "fixed": 12, "evidence": "assumed", "from": "a guess"},
            {"age": ["10 y", None], "fixed": 30, "evidence": "primary"},
        ]
    }
    spec = _spec(AGES["uniform"], severity=severity)
    drawn = sample_covariates(spec, SEED, 0, 400).covariates
    assert np.array_equal(drawn["severity"], np.where(drawn["age"] < 10.0, 12.0, 30.0))
    assert spec.assumptions == ["severity of patients: assumed (a guess)"]


def test_sensitivity_counts_them_as_one() -> None:
    """A height that depends on the age, and a weight that does, go with it, and the sex with what depends on it."""
    model = pk.load_model("esketamine_perezruixo2021")
    apart = _spec(AGES["uniform"], correlation={}, weight={"normal": ["30 kg", "6 kg"]})
    names = {frozenset(group.covariates) for group in groups_of(apart, model) if group.covariates}
    assert frozenset({"female", "age", "height"}) in names
    assert frozenset({"weight"}) in names


#: Year of age: 5th, 50th and 95th percentile at its middle, of the 2000 CDC growth charts (statage.csv and wtage.csv,
#: the mean of the months 5.5 and 6.5 of the year), stature in cm and weight in kg.
CDC = {
    ("height", 1.0): {
        2: (83.8, 90.0, 96.2),
        6: (109.8, 118.2, 127.4),
        10: (129.5, 140.8, 152.6),
        14: (150.6, 161.3, 172.0),
        17: (152.4, 163.0, 173.7),
    },
    ("height", 0.0): {
        2: (85.0, 91.0, 97.3),
        6: (110.0, 118.6, 127.2),
        10: (130.1, 141.1, 152.5),
        14: (153.6, 167.2, 179.8),
        17: (163.7, 175.8, 187.4),
    },
    ("weight", 1.0): {
        2: (10.9, 13.0, 15.9),
        6: (17.2, 21.5, 29.2),
        10: (26.2, 35.0, 51.3),
        14: (39.3, 50.8, 74.1),
        17: (44.9, 55.7, 80.1),
    },
    ("weight", 0.0): {
        2: (11.3, 13.5, 16.3),
        6: (17.8, 21.9, 28.8),
        10: (26.1, 33.8, 49.0),
        14: (40.5, 53.7, 75.6),
        17: (52.0, 66.0, 90.5),
    },
}


@pytest.mark.parametrize(("covariate", "female"), [("height", 1.0), ("height", 0.0), ("weight", 1.0), ("weight", 0.0)])
def test_children_are_those_of_the_charts(covariate: str, female: float) -> None:
    """Medians within 1.5 %, 5th and 95th percentiles as near as the file says, with sampling error and growth."""
    drawn = sample_covariates(pk.load_population("children_by_age"), SEED, 0, 60_000).covariates
    for year, percentiles in CDC[covariate, female].items():
        own = (np.floor(drawn["age"]) == year) & (drawn["female"] == female)
        found = np.quantile(drawn[covariate][own], [0.05, 0.5, 0.95])
        close = (0.03, 0.015, 0.03) if covariate == "height" else (0.10, 0.015, 0.10)
        for share, stated, error in zip(found, percentiles, close, strict=True):
            assert share == pytest.approx(stated, rel=error), (year, stated)


def test_children_grow() -> None:
    """From year to year, and the weight goes with the height at an age."""
    drawn = sample_covariates(pk.load_population("children_by_age"), SEED, 0, 30_000).covariates
    assert drawn["age"].min() >= 2.0
    assert drawn["age"].max() <= 18.0
    medians = [np.median(drawn["height"][np.floor(drawn["age"]) == year]) for year in range(2, 18)]
    assert (np.diff(medians) > 0).all()
    own = np.floor(drawn["age"]) == 8
    assert np.corrcoef(drawn["height"][own], np.log(drawn["weight"][own]))[0, 1] == pytest.approx(0.7, abs=0.05)


def test_run_with_children_by_age(tree: dict[str, Any]) -> None:
    """Through the whole of a run, whatever its chunks, at random and spread evenly."""
    for sampling in ("random", "sobol"):
        body = {**tree, "population": "children_by_age", "n": 160, "sampling": sampling}
        loaded = pk.load_scenario(body)
        one, other = study.run(loaded), study.run(loaded, jobs=2, chunk=37)
        assert one.results == other.results
        assert one.profiles == other.profiles
        assert {item.covariate for item in one.profiles} == {"age", "weight", "height", "bmi", "sex"}
