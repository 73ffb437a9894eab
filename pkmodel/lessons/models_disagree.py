"""When models disagree: the same infusion through every racemic model for adults."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from pkmodel.lessons import bench, pictures
from pkmodel.lessons.steps import Answer, Lesson, Prediction, Scene, Step, amount

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MODELS = (
    "ketamine_clements1981",
    "ketamine_domino1984",
    "ketamine_kamp2020",
    "ketamine_hijazi2003",
    "ketamine_herd2007_norketamine",
)
SHORT = {name: name.partition("_")[2].partition("_")[0] for name in MODELS}
INFUSION, BOLUS = bench.single("35 mg", "40 min"), bench.single("35 mg", "1 min")
FIGURES = (
    "The peak after 1 min of injection",
    "The peak after 40 min of infusion",
    "The level 4 h after the start of the infusion",
    "The area under the curve",
)


@cache
def _table() -> dict[str, tuple[float, ...]]:
    """Of every model the four figures, in the order of the choices."""
    found: dict[str, tuple[float, ...]] = {}
    for name in MODELS:
        slow = bench.run(INFUSION, name, until="24 h")
        figure = bench.figures(slow)[0]
        found[name] = (
            bench.peak(bench.run(BOLUS, name, until="4 h")),
            figure["peak"],
            float(slow.level()[0, 240]),
            figure["auc"],
        )
    return found


@cache
def _spreads() -> tuple[float, ...]:
    """Highest over lowest model, of each figure."""
    columns = np.array(list(_table().values()))
    return tuple(float(value) for value in columns.max(axis=0) / columns.min(axis=0))


@cache
def _how_far() -> Answer:
    peaks = {name: row[1] for name, row in _table().items()}
    lowest, highest = min(peaks, key=lambda name: peaks[name]), max(peaks, key=lambda name: peaks[name])
    return Answer(
        value=peaks[highest] / peaks[lowest],
        unit="times",
        sentence=(
            f"From {peaks[lowest]:.0f} ({lowest}) to {peaks[highest]:.0f} ng/mL ({highest}): "
            f"{peaks[highest] / peaks[lowest]:.2f} times."
        ),
        numbers=tuple((f"peak, {name}", value, "ng/mL") for name, value in peaks.items()),
        why=(
            "Each model describes other people, other samples (venous or arterial), another assay and another "
            "design. None is the truth, and none is wrong by itself.",
            "hijazi2003 was made in intensive care, and herd2007_norketamine in children and adults. That explains "
            "a part.",
            "A spread between people and a spread between models are two kinds of doubt. More patients in one model "
            "make the first better known, and leave the second as it is.",
        ),
        sources=tuple(bench.source_of(name) for name in MODELS),
    )


def _draw_far(ax: Axes, revealed: bool, prediction: Prediction) -> None:
    first = MODELS[0]
    lowest = _table()[first][1]
    ends, top = [], [lowest]
    for index, name in enumerate(MODELS if revealed else MODELS[:1]):
        result = bench.run(INFUSION, name, until="24 h")
        shown = result.time <= 3
        look = pictures.style(index)
        ax.plot(result.time[shown] * 60, result.level()[0][shown], **look)
        ends.append((float(result.level()[0][shown][-1]), SHORT[name], look["color"]))
        top.append(_table()[name][1])
    if isinstance(prediction, float):
        top.append(lowest * prediction)
    ax.set_xlim(-2, 180)
    ax.set_ylim(0, 1.15 * max(top))
    if isinstance(prediction, float):
        pictures.level_line(ax, lowest * prediction, f"you: {amount(prediction)} times the lowest", predicted=True)
    pictures.axes(ax, x="minutes from the start", y="ketamine [ng/mL]", title="35 mg of ketamine over 40 min, 70 kg")
    pictures.names_at_the_end(ax, ends)
    said = f"{len(MODELS)} racemic models" if revealed else first
    pictures.credit(ax, more=f"{said}, evidence: secondary; one typical patient")


@cache
def _which_most() -> Answer:
    spreads = _spreads()
    most = int(np.argmax(spreads))
    return Answer(
        value=FIGURES[most],
        sentence="Highest over lowest model: "
        + ", ".join(f"{spread:.1f} ({name[4:]})" for name, spread in zip(FIGURES, spreads, strict=True))
        + ".",
        numbers=tuple(
            (f"{name}, highest over lowest", spread, "times") for name, spread in zip(FIGURES, spreads, strict=True)
        ),
        why=(
            "The peak of a fast injection hangs on the smallest volume of a model, and that on how soon a study "
            "took its first sample: none in the first minutes, and the peak is a guess.",
            "The late level hangs on the last slope, and that on how long a study went on sampling.",
            "During an infusion of 40 min most of these differences average out. Ask a model what its study could see.",
        ),
        sources=tuple(bench.source_of(name) for name in MODELS),
    )


def _draw_most(ax: Axes, revealed: bool, prediction: Prediction) -> None:
    spreads = _spreads()
    names = ("peak,\n1 min", "peak,\n40 min", "level\nat 4 h", "area")
    values = [spread if revealed or index == 1 else None for index, spread in enumerate(spreads)]
    pictures.bars(ax, names, values, texts=[f"{spread:.1f}" for spread in spreads])
    ax.set_ylim(0, 1.2 * max(spreads) if revealed else 4)
    pictures.axes(ax, x="", y="highest over lowest model", title=f"{len(MODELS)} models, 35 mg of ketamine")
    pictures.credit(ax, more=f"{len(MODELS)} racemic models, evidence: secondary; one typical patient")


def build() -> Lesson:
    """The lesson."""
    return Lesson(
        id="models_disagree",
        title="When models disagree",
        minutes=8,
        for_whom="whoever reads simulations",
        intro=(
            "Five published models describe racemic ketamine in a vein of adults. The same 35 mg go through all of "
            "them.",
        ),
        steps=(
            Step(
                question=(
                    "After 40 min of infusion, how many times as high is the highest model's peak as the lowest's "
                    "(which is drawn)?"
                ),
                kind="number",
                solve=_how_far,
                picture=_draw_far,
                unit="times",
                low=1,
                high=5,
                shows="The level over 3 hours in the model with the lowest peak.",
            ),
            Step(
                question="On which figure do the models disagree most?",
                kind="choice",
                solve=_which_most,
                picture=_draw_most,
                choices=FIGURES,
                shows="The ratio for the peak of the infusion, and empty places for the other three figures.",
            ),
        ),
        try_next=(
            "Lay all five over one another with a limit at 200 ng/mL. How many break it?",
            "Run the scenario model_spread: which figures does it set side by side?",
        ),
        scene=Scene(
            patient=bench.ADULT,
            arms=tuple((SHORT[name], INFUSION, name) for name in MODELS),
            limits=("200 ng/mL",),
            until="4 h",
        ),
    )
