"""Pictures and commands of several models: what is drawn and printed, and that names stay clear of one another."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.text import Text

import pkmodel as pk
from pkmodel import figures, overlay, plots
from pkmodel import study as studies
from pkmodel.ink import apart
from pkmodel.study import Study

pytestmark = [pytest.mark.pictures, pytest.mark.xdist_group("several_figures")]  # one study for all of them

Command = Callable[..., Any]
MODELS = ("ketamine_clements1981", "ketamine_domino1984", "esketamine_simons2022")
SOURCE = {"citation": "Somebody 1999", "evidence": "secondary"}


@pytest.fixture(scope="module")
def study() -> Study:
    """Two arms of two infusions on three models, with a mark on the second session."""
    phases = [{"name": "p", "dose": "0.5 mg/kg", "over": "40 min", "sessions": {"days": [1, 8]}}]
    weekly = {"title": "Weekly", "drug": "ketamine", "route": "iv", "phases": phases}
    lower = weekly | {"phases": [phases[0] | {"dose": "0.25 mg/kg"}]}
    mark = {"label": "trial", "time": "40 min", "level": "185 ng/mL", "session": 2, "arm": "full", "source": SOURCE}
    tree = {
        "title": "Weekly infusions",
        "arms": {"full": {"protocol": weekly, "drug": "own"}, "half": {"protocol": lower, "drug": "own"}},
        "models": list(MODELS),
        "population": "adults_trials",
        "n": 40,
        "observe": {"every": "10 min", "for": "2 h"},
        "rules": [
            {"id": "peak", "metric": "peak", "window": {"session": 2}, "at_most": "215 ng/mL", "in": "90 %"},
        ],
        "marks": [mark],
    }
    return studies.run(pk.load_scenario(tree))


@given(st.lists(st.floats(0, 100), min_size=1, max_size=12), st.floats(0.5, 8))
def test_labels_keep_apart(heights: list[float], room: float) -> None:
    """At least ``room`` apart, in the order of what they name, inside the panel; left alone where nothing is close."""
    placed = np.array(apart(heights, room, 100.0))
    order = np.argsort(heights, kind="stable")
    assert (np.diff(placed[order]) >= room * (1 - 1e-9)).all()
    assert placed.min() >= -1e-9 and placed.max() <= 100 + 1e-9
    if len(heights) == 1:
        assert placed[0] == heights[0]


def test_overlay_draws_medians_of_the_run(study: Study) -> None:
    """A line per model with the medians of bands.parquet, dashes for the arterial one, a name at each end, the mark."""
    ax = plots.models_overlay(study, arm="full", session=2)
    bands = study.bands
    for model, line in zip(MODELS, ax.lines, strict=False):
        drug = "esketamine" if model.startswith("es") else "ketamine"
        rows = bands[(bands["arm"] == "full") & (bands["model"] == model) & (bands["session"] == 2)]
        rows = rows[rows["output"] == drug]
        assert np.array_equal(np.asarray(line.get_ydata()), rows["p50"].to_numpy())
        assert np.allclose(np.asarray(line.get_xdata()), rows["time_h"].to_numpy())
        assert line.is_dashed() is (model == "esketamine_simons2022")
    named = [text.get_text() for text in ax.texts]
    for model in MODELS:
        (text,) = (text for text in named if model in text)
        medians = next(item for item in study.model_ranges if item.arm == "full").medians
        assert text.split()[0] == f"{medians[model]:.3g}"
    assert any("trial: 185 ng/mL" in text for text in named)
    assert any("between models" in text for text in named)


def test_overlay_of_one_site(study: Study) -> None:
    """Only models of the site are named; one line has no range; the mark of unknown site stays."""
    ax = plots.models_overlay(study, arm="full", sampling="arterial", session=2)
    named = [text.get_text() for text in ax.texts]
    assert sum("esketamine_simons2022" in text for text in named) == 1
    assert not any("ketamine_domino1984" in text or "between models" in text for text in named)
    assert any("trial" in text for text in named)
    assert not any("trial" in text.get_text() for text in plots.models_overlay(study, arm="half", session=2).texts)


@pytest.mark.parametrize(
    ("asked", "part"),
    [
        ({"arm": "ful"}, "nearest full"),
        ({"session": 3}, "a session from 1 to 2"),
        ({"session": 0}, "a session from 1 to 2"),
        ({"output": "norketamine"}, "norketamine"),
    ],
)
def test_overlay_refuses(study: Study, asked: dict[str, Any], part: str) -> None:
    """One clear error."""
    with pytest.raises(pk.InputError, match=part):
        plots.models_overlay(study, **asked)


def test_overlay_without_a_site(study: Study) -> None:
    """Of venous models there is no arterial panel."""
    alone = studies.run(study.scenario.with_models(MODELS[:2]).with_options(n=2))
    with pytest.raises(pk.InputError, match="no model with arterial sampling"):
        plots.models_overlay(alone, sampling="arterial")


def test_envelope_holds_every_median(study: Study) -> None:
    """The lowest and the highest at each time, of an arm's models and of nothing else."""
    lines = overlay.medians(study, "full")
    low, high = overlay.envelope(lines)
    together = np.stack([line.median for line in lines])
    assert len(lines) == 3
    assert (low == together.min(axis=0)).all() and (high == together.max(axis=0)).all()
    assert (low < high).any()


def _overlaps(figure: Any, texts: list[Any]) -> list[tuple[str, str]]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # only then are annotations where they belong
    renderer = canvas.get_renderer()
    boxes = [(text.get_text(), Text.get_window_extent(text, renderer)) for text in texts]  # without the arrow
    return [
        (one, other)
        for index, (one, first) in enumerate(boxes)
        for other, second in boxes[index + 1 :]
        if first.overlaps(second)
    ]


@pytest.mark.parametrize("name", ["bands.png", "models.png", "session_peaks.png"])
def test_pages(study: Study, name: str) -> None:
    """Every model is named on every page, and the foot stays on the page."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    page = figures.figures(study)[name]
    texts = [text for ax in page.axes for text in [*ax.texts, *ax.get_yticklabels()]]
    heads = [ax.get_title(loc="left") for ax in page.axes]
    for model in MODELS:
        assert any(model in text for text in [*heads, *(text.get_text() for text in texts)])
    renderer = FigureCanvasAgg(page).get_renderer()
    foot = max(page.texts, key=lambda text: len(text.get_text()))
    assert "not for patient care" in foot.get_text()
    assert foot.get_window_extent(renderer).x1 <= page.bbox.x1
    assert not plt.get_fignums(), "no figure is left with pyplot"


def test_names_of_ten_models_do_not_overlap() -> None:
    """On the page of the shipped scenario, in both panels, after the scales were made one."""
    found = studies.run(pk.load_scenario("model_spread").with_options(n=3))
    page = figures.figures(found)["models.png"]
    names = [text for ax in page.axes for text in ax.texts if text.get_gid() == "line"]
    assert len(names) == 10
    assert _overlaps(page, names) == []
    assert len({ax.get_ylim() for ax in page.axes}) == 1


def test_published_bands_figure_of_one_model_is_as_before(study: Study) -> None:
    """One model: no range of medians in the panel, two areas of patients only."""
    alone = studies.run(study.scenario.with_models(MODELS[:1]).with_options(n=2))
    assert len(plots.bands(alone, "full").collections) < len(plots.bands(study, "full", model=MODELS[0]).collections)
    assert set(figures.figures(alone)) == {"bands.png", "session_peaks.png"}


WORDS = ("simulate", "iv_single", "--weight", "70 kg", "--age", "40 y", "--until", "2 h", "--every", "1 h")
TWO = ("--model", "ketamine_clements1981", "--model", "ketamine_kamp2020")


def test_simulate_several(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long table with the model; each part is the run of that model alone; a picture; JSON with a list."""
    monkeypatch.chdir(tmp_path)
    for name in ("both.csv", "both.parquet", "both.png"):
        assert command(*WORDS, *TWO, "-o", name).code == 0
    table = pd.read_csv("both.csv")
    assert list(table.columns) == ["subject", "model", "time_h", "output", "value", "unit"]
    for model in ("ketamine_clements1981", "ketamine_kamp2020"):
        assert command(*WORDS, "--model", model, "-o", "one.csv").code == 0
        own = table[table["model"] == model].drop(columns="model").reset_index(drop=True)
        pd.testing.assert_frame_equal(own, pd.read_csv("one.csv"), check_exact=True)
    pd.testing.assert_frame_equal(table, pd.read_parquet("both.parquet"), check_dtype=False)
    assert Path("both.png").read_bytes().startswith(b"\x89PNG")
    found = json.loads(command(*WORDS, *TWO, "--json").out)
    assert [item["model"] for item in found["models"]] == ["ketamine_clements1981", "ketamine_kamp2020"]
    assert "patient care" in found["disclaimer"]


def test_effects_of_several_models(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An effect is judged jointly and drawn like a level; what is illustrative is so in every sentence and row."""
    monkeypatch.chdir(tmp_path)
    tree: dict[str, Any] = {
        "title": "Effects",
        "arms": {"s": {"protocol": "esketamine_iv_single"}},
        "models": ["esketamine_otto2021", "esketamine_simons2022"],
        "effects": ["dissociation_olofsen2022", "heart_rate"],
        "population": "adults_trials",
        "n": 60,
        "observe": {"every": "20 min", "for": "2 h"},
        "rules": [
            {"id": "half", "metric": "peak", "output": "dissociation_olofsen2022", "at_most": "50 %", "in": "90 %"},
            {"id": "fast", "metric": "peak", "output": "heart_rate", "at_most": "1000 1/min", "in": "90 %"},
        ],
    }
    found = studies.run(pk.load_scenario(tree))
    half, fast = found.joint_verdicts
    assert "illustrative" not in half.sentence and fast.sentence == "met under both models, illustrative"
    medians = {item.question.output: item for item in found.model_ranges}
    assert medians["heart_rate"].question.condition == "illustrative"
    assert medians["dissociation_olofsen2022"].ratio is not None
    ax = plots.models_overlay(found, output="dissociation_olofsen2022")
    assert any("between models" in text.get_text() for text in ax.texts)
    assert {"bands.png", "models.png", "session_peaks.png"} == set(figures.figures(found))
    words = ("simulate", "esketamine_iv_single", "--weight", "70 kg", "--until", "1 h", "--effect", "heart_rate")
    models = [word for name in tree["models"] for word in ("--model", name)]
    listed = json.loads(command(*words, *models, "--json").out)["models"]
    assert [item["effects"][0]["name"] for item in listed] == ["heart_rate", "heart_rate"]


def test_simulate_several_prints_each_and_warns_once(command: Command) -> None:
    """The sessions of both on standard output; a shared sentence once on standard error."""
    outcome = command(*WORDS, *TWO)
    assert outcome.code == 0
    assert outcome.out.count("AUC until the next session") == 2
    assert outcome.err.count("is borrowed from esketamine_otto2021") == 1


def test_simulate_refuses_a_model_twice(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And writes nothing."""
    monkeypatch.chdir(tmp_path)
    outcome = command(*WORDS, *TWO, "--model", "ketamine_kamp2020", "-o", "both.csv")
    assert (outcome.code, outcome.out) == (2, "")
    assert "ketamine_kamp2020 a second time" in outcome.err
    assert list(tmp_path.iterdir()) == []


def test_run_prints_joint_verdicts(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At 80 columns every verdict is whole, and what the models say together stands under each rule."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    outcome = command("run", "model_spread", "--n", "60", "-o", "out")
    assert outcome.code == 0, outcome.err
    verdicts = pd.read_csv("out/findings.csv")["verdict"]
    for word in ("met", "broken", "undecided"):
        assert sum(line.split()[-1:] == [word] for line in outcome.out.splitlines()) >= (verdicts == word).sum()
    text = " ".join(outcome.out.split())
    for sentence in pd.read_csv("out/joint.csv")["sentence"]:
        assert sentence in text
    assert "Between models" in text
