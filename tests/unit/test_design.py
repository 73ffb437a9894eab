"""Dose finding: answers that are known beforehand, and what is said where there is none."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from scipy.stats import binom, norm

import pkmodel as pk
from pkmodel import design_figure, design_files, dose_finding, dose_line, population
from pkmodel.dose_line import needed
from pkmodel.findings import wilson
from pkmodel.specs.design import Request, prepare
from tests.unit.conftest import Command

SD, VOLUME, LIMIT = 0.3, 100.0, 0.5  # of log V; L; mg/L
MODEL = {
    "id": "bolus",
    "title": "One compartment",
    "drug": "ketamine",
    "source": "made up for tests",
    "evidence": "assumed",
    "sampling": "venous",
    "population": {"description": "nobody"},
    "valid_for": {"routes": ["iv"]},
    "parameters": {
        "V": {"value": f"{VOLUME:g} L", "from": "made up"},
        "CL": {"value": "60 L/h", "from": "made up"},
    },
    "variability": {"between_subject": {"V": {"omega2": SD**2}, "from": "made up"}},
    "compartments": ["central"],
    "flows": [{"from": "central", "to": "outside", "rate": "CL / V"}],
    "routes": {"iv": [{"into": "central"}]},
    "outputs": {"ketamine": {"amount": "central", "volume": "V", "unit": "ng/mL"}},
}
BOLUS = {
    "title": "A dose at once",
    "drug": "ketamine",
    "route": "iv",
    "phases": [{"name": "single", "dose": "30 mg", "sessions": {"days": [1]}}],
}
CEILING = {"metric": "peak", "at_most": f"{1000 * LIMIT:g} ng/mL", "in": "95 %"}
FLOOR = {"metric": "peak", "at_least": "200 ng/mL", "in": "90 %"}
N = 2000


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A folder with the model, the protocol, and an upper and a lower rule."""
    for name, tree in (("bolus", MODEL), ("protocol", BOLUS), ("ceiling", CEILING), ("floor", FLOOR)):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(tree))
    return tmp_path


def _request(
    made: Path, rules: tuple[str, ...] = ("ceiling",), protocol: dict[str, object] | None = None, **more: object
) -> Request:
    if protocol is not None:
        (made / "protocol.yaml").write_text(yaml.safe_dump(protocol))
    words = {"parameters": ["dose"], "n": N, "model": str(made / "bolus.yaml"), **more}
    return prepare(str(made / "protocol.yaml"), rules=[str(made / f"{rule}.yaml") for rule in rules], **words)  # type: ignore[arg-type]


def _volumes(made: Path) -> np.ndarray:
    model = pk.load_model(made / "bolus.yaml")
    people = population.sample_covariates(pk.load_population("adults_trials"), 1, 0, N)
    return np.sort(population.parameters(model, population.sample_effects(people, model, 1))["V"])


def test_dose_of_a_bolus_is_a_quantile_of_the_volumes(made: Path) -> None:
    """Peak = dose / V, so that each patient's own dose is the limit times V, and the answer the 5 % quantile of it."""
    found = dose_finding.run(_request(made))
    own = LIMIT * _volumes(made)
    assert found.method == "scaled"
    assert found.answer.value == pytest.approx(own[N - 1900], rel=1e-12)
    low, high = binom.ppf(0.025, N, 0.05), binom.ppf(0.975, N, 0.05)
    assert found.answer.low == pytest.approx(own[int(low) - 1], rel=1e-12)
    assert found.answer.high == pytest.approx(own[int(high)], rel=1e-12)
    truth = LIMIT * VOLUME * np.exp(norm.ppf(0.05) * SD)
    assert found.answer.low < truth < found.answer.high  # type: ignore[operator]
    assert [item.n_met for item in found.checked] == [1900]
    assert found.stated == pytest.approx(found.answer.value, rel=1e-3) and found.stated <= found.answer.value  # type: ignore[operator]


def test_the_smallest_dose_that_is_enough(made: Path) -> None:
    """90 % reach 200 ng/mL: the 90 % quantile of 0.2 mg/L times V."""
    found = dose_finding.run(_request(made, ("floor",), side="smallest"))
    assert found.answer.value == pytest.approx(0.2 * _volumes(made)[1799], rel=1e-12)
    assert found.answer.low < 0.2 * VOLUME * np.exp(norm.ppf(0.9) * SD) < found.answer.high  # type: ignore[operator]
    assert found.checked[0].n_met >= 1800


def test_search_finds_what_the_exact_way_does(made: Path) -> None:
    """A cap that never acts turns the exact way off; bisection then comes to the same dose, and to a like interval."""
    exact = dose_finding.run(_request(made))
    capped = {**BOLUS, "dose_limits": {"max_single": "2000 mg"}}
    found = dose_finding.run(_request(made, protocol=capped, bounds=[("5 mg", "85 mg")], points=9))
    assert (exact.method, found.method) == ("scaled", "searched")
    gap = dose_line.GAP * 80.0
    assert found.answer.value == pytest.approx(exact.answer.value, abs=gap)
    assert found.answer.low == pytest.approx(exact.answer.low, abs=0.02 * 30)
    assert found.answer.high == pytest.approx(exact.answer.high, abs=0.02 * 30)
    assert wilson(found.line.kept(found.answer.low)[0], N)[0] >= 0.95  # type: ignore[arg-type]


def test_rounding_is_met_as_it_is(made: Path) -> None:
    """Doses rounded down to 10 mg: the share is a staircase, and the answer the last dose before its step."""
    rounded = {**BOLUS, "dose_limits": {"round_to": "10 mg", "round": "down"}}
    found = dose_finding.run(_request(made, protocol=rounded, bounds=[("11 mg", "91 mg")], points=9))
    own = LIMIT * _volumes(made)[N - 1900]
    assert found.answer.value == pytest.approx(10 * (own // 10 + 1), abs=dose_line.GAP * 80)


def test_a_floor_and_a_ceiling_together(made: Path) -> None:
    """Both rules leave a part of the range, or nothing; that is said."""
    (made / "floor.yaml").write_text(yaml.safe_dump({**FLOOR, "at_least": "150 ng/mL"}))
    wide = dose_finding.run(_request(made, ("ceiling", "floor")))
    ((low, high),) = wide.parts
    assert low < high and wide.answer.binding == "ceiling"
    (made / "floor.yaml").write_text(yaml.safe_dump({**FLOOR, "at_least": "400 ng/mL"}))
    none = dose_finding.run(_request(made, ("ceiling", "floor")))
    assert none.answer.value is None and none.parts == () and none.checked == []
    assert any("nowhere" in note for note in none.notes)
    assert "No dose from 3 mg to 120 mg" in design_figure.headline(none)


def test_end_of_the_range_is_no_answer(made: Path) -> None:
    """Where rules hold up to the end of the range, that is said and no interval claimed."""
    found = dose_finding.run(_request(made, bounds=[("1 mg", "5 mg")]))
    assert found.answer.open and any("widen it" in note for note in found.notes)


@pytest.mark.usefixtures("pictures")
def test_map_of_dose_and_time_has_its_files(made: Path, command: Command) -> None:
    """Over a longer time the dose may be larger; each line of the map is the answer at its time."""
    slow = {**BOLUS, "phases": [{**BOLUS["phases"][0], "over": "40 min"}]}  # type: ignore[index]
    (made / "protocol.yaml").write_text(yaml.safe_dump(slow))
    words = ["--model", made / "bolus.yaml", "--parameter", "dose", "--parameter", "over", "--n", 500, "--points", 5]
    done = command(
        "design", made / "protocol.yaml", "--rule", made / "ceiling.yaml", *words, "-o", made / "out", "--json"
    )
    assert done.code == 0, done.err
    said = json.loads(done.out)
    doses = [row["value"] for row in said["map"]]
    assert len(doses) == 5 and doses == sorted(doses)
    assert {file.name for file in (made / "out").iterdir()} == {
        "design.csv",
        "design.json",
        "design.png",
        "manifest.json",
    }
    assert json.loads((made / "out/design.json").read_text()) == said


def test_needed_numbers_of_patients() -> None:
    """The Wilson numbers are the first that are met and not broken; those of order statistics are binomial."""
    for n, share in ((1000, 0.95), (200, 0.8), (20, 0.95)):
        need = needed(share, n, "searched")
        assert need.met == n + 1 or wilson(need.met, n)[0] >= share > wilson(need.met - 1, n)[0]
        assert wilson(need.unbroken, n)[1] >= share > wilson(need.unbroken - 1, n)[1]
        exact = needed(share, n, "scaled")
        assert exact.unbroken <= exact.point <= exact.met
        held = binom.cdf(exact.met - 1, n, share) - binom.cdf(exact.unbroken - 1, n, share)
        assert exact.met == n + 1 or held >= 0.95


def test_a_scenario_and_what_is_printed(command: Command, tmp_path: Path) -> None:
    """A rule of the scenario, an arm of it, and a place inside of a taper."""
    words = ["design", "iv_taper_versus_flat", "--arm", "taper", "--parameter", "taper.from", "--rule", "peak"]
    done = command(*words, "--n", 300, "--points", 5, "-o", tmp_path / "out")
    assert done.code == 0, done.err
    assert "Largest taper.from at which peak in 95 % holds" in done.out
    assert "Not for patient care" in done.out
    again = command(*words, "--n", 300, "--points", 5, "--json", "--jobs", 1)
    assert json.loads(again.out)["answer"] == json.loads((tmp_path / "out/design.json").read_text())["answer"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--parameter", "dosse"], "found dosse  expected a quantity of protocol: one of phases[0].dose  nearest dose"),
        (
            ["--parameter", "dose", "--from", "1 min"],
            "--from  found 1 min  expected a value of the kind of phases[0].dose",
        ),
        (["--parameter", "dose", "--from", "9 mg", "--to", "1 mg"], "--from  found 9 to 1 mg  expected a start below"),
        (["--parameter", "dose", "--from", "1", "--to", "2 mg"], "--from  found 1"),
        (["--parameter", "dose", "--arm", "a"], "--arm  found the arm a of a protocol"),
        (["--parameter", "dose", "--points", "3"], "--points  found 3"),
        (["--parameter", "dose", "--parameter", "phases[0].dose"], "found phases[0].dose a second time"),
        (["--parameter", "dose", "--to", "1e6 mg"], "the protocol with phases[0].dose = 1e+06 mg"),
    ],
)
def test_wrong_words_are_refused(made: Path, command: Command, words: list[str], said: str) -> None:
    """One clear error each, and exit code 2."""
    model = ["--model", made / "bolus.yaml", "--rule", made / "ceiling.yaml"]
    done = command("design", made / "protocol.yaml", *model, *words)
    assert done.code == 2 and done.out == ""
    assert said in done.err


def test_unknown_names_are_refused(command: Command) -> None:
    """The nearest names of a protocol, a rule and an arm."""
    assert "nearest iv_single" in command("design", "iv_singel", "--parameter", "dose", "--rule", "peak").err
    done = command("design", "iv_taper_versus_flat", "--arm", "flat", "--parameter", "dose", "--rule", "peek")
    assert "--rule  found peek" in done.err and "nearest peak" in done.err
    done = command("design", "iv_taper_versus_flat", "--parameter", "dose", "--rule", "peak")
    assert "--arm  found 2 arms" in done.err
    done = command("design", "iv_taper_versus_flat", "--arm", "flat", "--parameter", "dose", "--rule", "peak")
    assert "found dose, which is several  expected one of phases[0].dose, phases[1].dose" in done.err


def test_picture_says_what_it_is(made: Path) -> None:
    """The answer, the required share and the purpose stand in the picture."""
    found = design_files.run(_request(made))
    page = design_figure.figure(found)
    words = " ".join([text.get_text() for text in (*page.texts, *page.axes[0].texts)])
    for part in (
        "Largest dose",
        "required: 95 %",
        "95 % interval",
        "not for patient care",
        "order statistics",
        "assumed",
    ):
        assert part in words, words
