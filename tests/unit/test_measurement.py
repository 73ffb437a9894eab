"""Residual error: its size, where it is and where it is not, and that it depends on nothing but its name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pkmodel as pk
from pkmodel import study as studies
from pkmodel.measurement import Assay
from pkmodel.specs.library import Scenario

MANY = 40_000


def _assay(model: str, size: int = MANY, first: int = 0) -> Assay:
    return Assay(pk.load_model(model), 7, first, size)


@pytest.mark.parametrize(
    ("model", "output", "sigma"),
    [
        ("esketamine_perezruixo2021", "esketamine", 0.276),
        ("esketamine_perezruixo2021", "noresketamine", 0.422),
    ],
)
def test_log_additive(model: str, output: str, sigma: float) -> None:
    """The logarithm of measured over true is normal with the published SD: mean and SD within four standard errors."""
    log = np.log(_assay(model).measured(np.full(MANY, 50.0), output, "1 h") / 50.0)
    assert abs(log.mean()) < 4 * sigma / np.sqrt(MANY)
    assert abs(log.std() / sigma - 1) < 4 / np.sqrt(2 * MANY)


def test_proportional_and_additive() -> None:
    """Variances add: (0.102 y)^2 + 12.97^2 for S-norketamine of Simons; the error does not depend on the drug alone."""
    assay = _assay("esketamine_simons2022")
    for level in (200.0, 1000.0):
        found = assay.measured(np.full(MANY, level), "noresketamine", "1 h")
        expected = np.hypot(0.102 * level, 12.97)
        assert abs(found.std() / expected - 1) < 4 / np.sqrt(2 * MANY)
        assert abs(found.mean() - level) < 4 * expected / np.sqrt(MANY)


def test_a_measurement_below_nothing_is_nothing() -> None:
    """At a true level of 5 ng/mL many additive errors reach below 0; they read 0, and none is lost."""
    found = _assay("esketamine_simons2022").measured(np.full(MANY, 5.0), "noresketamine", "1 h")
    assert found.min() == 0.0
    share = (found == 0.0).mean()
    from scipy.stats import norm

    expected = norm.cdf(-5.0 / np.hypot(0.51, 12.97))
    assert abs(share - expected) < 4 * np.sqrt(expected * (1 - expected) / MANY)


def test_streams() -> None:
    """The first hundred of a thousand; another observation or output has other errors; no numbers, no error."""
    whole, part = _assay("esketamine_otto2021", 1000), _assay("esketamine_otto2021", 100, first=300)
    level = np.full(1000, 50.0)
    found = whole.measured(level, "esketamine", "1 h")
    np.testing.assert_array_equal(found[300:400], part.measured(level[:100], "esketamine", "1 h"))
    for output, observation in (("esketamine", "2 h"), ("noresketamine", "1 h")):
        other = whole.measured(level, output, observation)
        assert abs(np.corrcoef(found, other)[0, 1]) < 4 / np.sqrt(1000)
    clements = _assay("ketamine_clements1981", 1000)
    assert clements.measured(level, "ketamine", "1 h") is level


@pytest.fixture
def measured(tree: dict[str, Any]) -> Scenario:
    """The small scenario with residual error."""
    return pk.load_scenario({**tree, "variability": {"residual": True}})


def test_what_is_measured_and_what_is_true(measured: Scenario, scenario: Scenario) -> None:
    """Bands and levels at a moment change; peaks, areas and times above are to the bit those without."""
    with_error, without = studies.run(measured), studies.run(scenario)
    assert any("residual error" in sentence for sentence in with_error.warnings)
    assert not any("residual error" in sentence for sentence in without.warnings)
    for one, other in zip(with_error.sums, without.sums, strict=True):
        np.testing.assert_array_equal(one.peaks, other.peaks)
        assert (one.bands != other.bands).any()
        assert one.bands.sum() == other.bands.sum()
    rows = {(item.rule, item.arm, item.window): item.n_met for item in without.results}
    moved = {item.rule for item in with_error.results if item.n_met != rows[item.rule, item.arm, item.window]}
    rules = {rule.id: rule.metric for rule in scenario.spec.rules}
    assert moved
    assert {rules[name] for name in moved} <= {"level_at", "trough"}


def test_bits_do_not_depend_on_the_split(measured: Scenario) -> None:
    """One thread and one chunk, or two threads and chunks of 17 patients."""
    whole, split = studies.run(measured), studies.run(measured, jobs=2, chunk=17)
    for one, other in zip(whole.sums, split.sums, strict=True):
        np.testing.assert_array_equal(one.bands, other.bands)
        assert one.met == other.met


def test_simulate_measured_levels() -> None:
    """Levels of one patient as measured: those of the assay at each time; sessions stay exact."""
    given = ("esketamine_iv_single", "esketamine_otto2021", pk.Patient(weight="70 kg", age="40 y"))
    true, seen = (pk.simulate(*given, until="3 h", every="30 min", residual=on, seed=5) for on in (False, True))
    assay = Assay(pk.load_model("esketamine_otto2021"), 5, 0, 1)
    levels = true.level("esketamine")
    for index, moment in enumerate(true.time.tolist()):
        expected = assay.measured(levels[:, index], "esketamine", f"{moment!r} h")
        assert seen.level("esketamine")[0, index] == expected[0]
    assert (seen.level("esketamine")[0, 1:] != levels[0, 1:]).all()
    assert true.sessions().equals(seen.sessions())
    assert any("residual error" in sentence for sentence in seen.warnings)
    assert (seen.to_pandas()["value"] >= 0).all()
