"""A run is the same to the bit, whatever the chunks and the workers; and its head is the smaller run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import pkmodel as pk
from pkmodel import study as studies
from pkmodel.specs.library import Scenario
from pkmodel.study import Study

pytestmark = pytest.mark.xdist_group("study")  # one study for all of them

TABLES = ("findings.csv", "comparison.csv", "metrics.parquet", "patients.parquet", "bands.parquet")


def _same(first: Study, second: Study) -> None:
    for name in ("findings", "bands", "session_peaks", "comparison"):
        pd.testing.assert_frame_equal(getattr(first, name), getattr(second, name), check_exact=True)
    assert first.warnings == second.warnings


@pytest.fixture(scope="module")
def whole(scenario: Scenario) -> Study:
    """300 patients in one chunk on one thread."""
    return studies.run(scenario.with_options(n=300), chunk=300)


@pytest.mark.parametrize(("chunk", "jobs"), [(1, 1), (7, 1), (64, 2), (101, 3), (299, 2), (5000, 3)])
def test_chunks_and_workers_change_no_bit(scenario: Scenario, whole: Study, chunk: int, jobs: int) -> None:
    """Findings, bands, peaks and the comparison are equal, not close."""
    few = scenario.with_options(n=300 if chunk > 1 else 20)
    _same(studies.run(few, chunk=chunk, jobs=jobs), whole if chunk > 1 else studies.run(few))


def test_another_seed_is_another_run(scenario: Scenario, whole: Study) -> None:
    """Otherwise the tests above would show nothing."""
    other = studies.run(scenario.with_options(n=300, seed=12))
    assert (other.comparison["median"] != whole.comparison["median"]).all()


@pytest.fixture(scope="module")
def folders(scenario: Scenario, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files of 1,200 patients on 1, 2 and 3 threads (chunks of 300, 256 and 256), and of the first 100 of them."""
    base = tmp_path_factory.mktemp("runs")
    for jobs in (1, 2, 3):
        pk.run(scenario, out=base / f"jobs{jobs}", jobs=jobs)
    pk.run(scenario.with_options(n=100), out=base / "few")
    return {path.name: path for path in base.iterdir()}


@pytest.mark.parametrize("name", TABLES)
def test_files_are_equal_byte_for_byte(folders: dict[str, Path], name: str) -> None:
    """On one, two and three threads."""
    expected = (folders["jobs1"] / name).read_bytes()
    for jobs in (2, 3):
        assert (folders[f"jobs{jobs}"] / name).read_bytes() == expected


@pytest.mark.parametrize("name", ["metrics.parquet", "patients.parquet"])
def test_first_hundred_patients_of_a_larger_run(folders: dict[str, Path], name: str) -> None:
    """The rows of ``--n 100`` are those of the first 100 patients of ``--n 1200``, in every column."""
    few, many = (pd.read_parquet(folders[which] / name) for which in ("few", "jobs1"))
    head = many[many["patient"] <= 100].reset_index(drop=True)
    keys = [key for key in ("arm", "model", "session", "output", "metric", "condition", "patient") if key in few]
    few, head = (table.astype(dict.fromkeys(keys, object)) for table in (few, head))
    few, head = (table.sort_values(keys, ignore_index=True, key=lambda c: c.astype(str)) for table in (few, head))
    assert len(few) > 0
    pd.testing.assert_frame_equal(few, head, check_exact=True)


def test_files_agree_with_one_another(folders: dict[str, Path]) -> None:
    """The counts of findings.csv are what metrics.parquet says of the same rule, patient by patient."""
    found = pd.read_csv(folders["jobs1"] / "findings.csv").set_index(["rule", "arm", "window"])
    values = pd.read_parquet(folders["jobs1"] / "metrics.parquet")
    for arm in ("iv", "nasal"):
        of_arm = values[values["arm"].astype(str) == arm]
        peaks = of_arm[(of_arm["metric"].astype(str) == "peak")].groupby("patient")["value"].max()
        assert found.loc[("peak", arm, "worst session"), "n_met"] == (peaks <= 150.0).sum()
        above = of_arm[(of_arm["metric"].astype(str) == "time_above") & of_arm["session"].isna()]
        assert len(above) == 1200
        assert found.loc[("long", arm, "course"), "n_met"] == (above["value"] <= 1.5).sum()
    assert ((found["n_met"] / found["n"]) == found["share"]).all()
    assert ((found["low"] <= found["share"]) & (found["share"] <= found["high"])).all()


def test_arms_share_their_patients(folders: dict[str, Path]) -> None:
    """One line per patient and model, not per arm; patients are numbered from 1."""
    patients = pd.read_parquet(folders["jobs1"] / "patients.parquet")
    assert patients["patient"].tolist() == list(range(1, 1201))
    assert np.isfinite(patients.select_dtypes("number").to_numpy()).all()


def test_comparison_by_hand(folders: dict[str, Path]) -> None:
    """Medians, the median of the ratios and the share that is lower, from the values of the patients."""
    values = pd.read_parquet(folders["jobs1"] / "metrics.parquet")
    peaks = values[(values["metric"].astype(str) == "peak") & values["session"].notna()]
    worst = peaks.groupby([peaks["arm"].astype(str), "patient"])["value"].max().unstack(0)
    row = pd.read_csv(folders["jobs1"] / "comparison.csv").set_index("metric").loc["peak"]
    assert row["median"] == pytest.approx(worst["nasal"].median(), rel=1e-14)
    assert row["median_reference"] == pytest.approx(worst["iv"].median(), rel=1e-14)
    assert row["median_ratio"] == pytest.approx((worst["nasal"] / worst["iv"]).median(), rel=1e-14)
    assert row["n_lower"] == (worst["nasal"] < worst["iv"]).sum()


def test_bands_are_quantiles_of_the_patients(scenario: Scenario) -> None:
    """Within 2**-8 of the sample's quantile at every point of the grid."""
    few = scenario.with_options(n=200)
    table = studies.run(few).bands
    rows = table[(table["arm"] == "iv") & (table["output"] == "esketamine")]
    arm = next(arm for arm in few.arms if arm.name == "iv")
    from pkmodel.population import sample_covariates, sample_effects

    who = sample_effects(sample_covariates(few.population, few.spec.seed, 0, 200), arm.models[0], few.spec.seed)
    result = pk.simulate(arm.protocol, arm.models[0], who, until="4 h", every="20 min")
    assert rows["time_h"].to_numpy() == pytest.approx(result.time, abs=1e-12)
    levels = np.sort(result.level(), axis=0)
    for share in (5, 25, 50, 75, 95):
        exact = levels[int(np.ceil(share / 100 * 200)) - 1]
        found = rows[f"p{share}"].to_numpy()
        above = exact > 2.0**-14
        assert (np.abs(found[above] / exact[above] - 1) <= 2.0**-8 + 1e-12).all()


def test_without_variability_everyone_differs_by_covariates_only(tree: dict[str, Any]) -> None:
    """``between_subject: false`` draws no effects."""
    tree |= {"n": 50, "variability": {"between_subject": False}}
    fixed = {"sex": {"female": 1.0}, "age": {"fixed": "45 y"}, "height": {"fixed": "165 cm"}}
    tree["population"] = {**fixed, "weight": {"fixed": "70 kg"}}
    shares = {found.share for found in studies.run(pk.load_scenario(tree)).results}
    assert shares <= {0.0, 1.0}


@pytest.mark.parametrize("jobs", [0, -1])
def test_no_workers(scenario: Scenario, jobs: int) -> None:
    """At least one."""
    with pytest.raises(pk.InputError, match="at least one worker"):
        studies.run(scenario, jobs=jobs)


def test_window_of_the_comparison_is_checked(tree: dict[str, Any]) -> None:
    """What loads must run: a window of sessions that an arm does not have is refused, not a KeyError."""
    for window in ("course", {"sessions": [1, 9]}):
        tree["n"] = 10
        tree["compare"] = {"reference": "iv", "metrics": ["trough"], "window": window}
        with pytest.raises(pk.InputError):
            studies.run(pk.load_scenario(tree))
