"""Nose against vein: what a nasal dose is worth, when it peaks, and how much of it goes the swallowed way."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from pkmodel.lessons import bench, pictures
from pkmodel.lessons.steps import Answer, Lesson, Prediction, Scene, Step, amount

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MODEL = "esketamine_perezruixo2021"
DEVICE = {"strength": "28 mg", "sprays": 2, "volume_per_spray": "0.1 mL", "rest": "5 min"}
NASAL = bench.single("84 mg", drug="esketamine", route="intranasal", device=DEVICE)
VEIN = bench.single("35 mg", "40 min", drug="esketamine")
MOUTH = bench.single("84 mg", drug="esketamine", route="oral")
LONG = "240 h"
LABEL = "Spravato (esketamine) nasal spray, prescribing information (evidence: primary)"


@cache
def _per_mg() -> tuple[float, float, float]:
    """Area for each mg (ng h/mL) by nose, by vein and by mouth, the whole of it."""
    areas = [
        bench.figures(bench.run(text, MODEL, until=LONG, every="10 min"))[0]["auc"] for text in (NASAL, VEIN, MOUTH)
    ]
    ends = [bench.run(text, MODEL, until=LONG, every="10 min").level()[0, -1] for text in (NASAL, VEIN, MOUTH)]
    assert max(ends) < 1e-3  # nothing is left that the area would miss
    return areas[0] / 84, areas[1] / 35, areas[2] / 84


@cache
def _shares() -> tuple[float, float, float, float]:
    """Bioavailability by nose and by mouth; the share of a nasal dose that the nose absorbs, and that is swallowed."""
    nose, vein, mouth = _per_mg()
    nasal, oral = nose / vein, mouth / vein
    absorbed = (nasal - oral) / (1 - oral)  # nasal = absorbed + (1 - absorbed) oral
    return nasal, oral, absorbed, 1 - absorbed


@cache
def _what_it_is_worth() -> Answer:
    nasal = _shares()[0]
    return Answer(
        value=84 * nasal,
        unit="mg",
        sentence=f"84 mg by nose bring as much into the blood as {84 * nasal:.0f} mg by vein: {100 * nasal:.0f} %.",
        numbers=(
            ("bioavailability by nose, 84 mg", 100 * nasal, "%"),
            ("the same, after the label", 48.0, "%"),
            ("bioavailability by mouth", 100 * _shares()[1], "%"),
        ),
        why=(
            "The area under the curve of a dose, over that of a dose into the vein, mg for mg, is its bioavailability.",
            f"The label says 48 %; the model, made from 13 studies, gives {100 * nasal:.0f} %.",
            "The second and third device are worth less than the first: the model lets the nose absorb 62 % as much "
            "of them.",
        ),
        sources=(bench.source_of(MODEL), LABEL),
    )


def _curves(ax: Axes, texts: dict[str, str], until: float, title: str) -> None:
    ends, top = [], 0.0
    for index, (name, text) in enumerate(texts.items()):
        result = bench.run(text, MODEL, until="8 h")
        look = pictures.style(index)
        shown = result.time <= until
        ax.plot(result.time[shown] * 60, result.level()[0][shown], **look)
        ends.append((float(result.level()[0][shown][-1]), name, look["color"]))
        top = max(top, float(result.level()[0].max()))
    ax.set_xlim(-2, until * 60)
    ax.set_ylim(0, 1.2 * top)
    pictures.axes(ax, x="minutes from the start", y="esketamine [ng/mL]", title=title)
    pictures.names_at_the_end(ax, ends)
    pictures.credit(ax, MODEL)


def _draw_worth(ax: Axes, revealed: bool, prediction: Prediction) -> None:
    if not revealed:
        _curves(ax, {"35 mg by vein": VEIN, "84 mg by nose": NASAL}, 6, "Esketamine by two ways")
        return
    nasal = 84 * _shares()[0]
    said = (1, prediction, f"you: {amount(prediction)} mg") if isinstance(prediction, float) else None
    names = ("sprayed", "reaches the blood")
    pictures.bars(ax, names, (84, nasal), texts=("84 mg", f"{nasal:.0f} mg"), predicted=said)
    pictures.axes(ax, x="", y="esketamine [mg]", title="What 84 mg by nose is worth")
    pictures.credit(ax, MODEL)


@cache
def _after_the_last() -> tuple[float, float]:
    """Minutes from the last spray to the peak; and to the last spray from the first."""
    result = bench.run(NASAL, MODEL, until="8 h")
    last = float(np.max(result.schedule.sessions[0].doses[-1].begins))
    return 60 * (bench.figures(result)[0]["time_of_peak"] - last), 60 * last


@cache
def _when() -> Answer:
    after, last = _after_the_last()
    return Answer(
        value=after,
        unit="min",
        sentence=f"The peak comes {after:.0f} min after the last spray, {after + last:.0f} min after the first.",
        numbers=(("from the last spray to the peak", after, "min"), ("from the first to the last spray", last, "min")),
        why=(
            "Drug goes on arriving from the nose after the last spray, and what was swallowed arrives later still. "
            "The level rises as long as more arrives than leaves.",
            "An infusion peaks when the pump stops. A spray has no such moment: whoever watches the patient must "
            "wait for the peak.",
            "The label gives 20 to 40 min after the last spray.",
        ),
        sources=(bench.source_of(MODEL), LABEL),
    )


def _draw_when(ax: Axes, revealed: bool, prediction: Prediction) -> None:
    after, last = _after_the_last()
    _curves(ax, {"84 mg by nose": NASAL}, 3 if revealed else last / 60, "Three devices, 5 min apart")
    ax.set_xlim(-2, 180)
    for index in range(3):
        ax.plot([index * last / 2], [0], "^", color=pictures.INK, markersize=9, clip_on=False, zorder=8)
    pictures.time_line(ax, last, "last spray", height=0.97)
    if isinstance(prediction, float):
        pictures.time_line(ax, last + prediction, f"you: {amount(prediction)} min after it", predicted=True, height=0.2)
    if revealed:
        top = bench.peak(bench.run(NASAL, MODEL, until="8 h"))
        pictures.dot(ax, last + after, top, f"{after:.0f} min after it", dx=10, dy=4)


@cache
def _how_much_swallowed() -> Answer:
    nasal, oral, absorbed, swallowed = _shares()
    share = swallowed * oral / nasal
    return Answer(
        value=100 * share,
        unit="%",
        sentence=(
            f"{100 * swallowed:.0f} % of the dose are swallowed, yet only {100 * share:.0f} % of what reaches the "
            "blood came that way."
        ),
        numbers=(
            ("absorbed by the nose, of the dose", 100 * absorbed, "%"),
            ("swallowed, of the dose", 100 * swallowed, "%"),
            ("of a swallowed mg reaches the blood", 100 * oral, "%"),
            ("of what reaches the blood was swallowed", 100 * share, "%"),
        ),
        why=(
            "What runs down the throat must pass the gut wall and the liver before it reaches the rest of the body, "
            "and most of it is changed there (first pass).",
            "What is lost as esketamine arrives as its metabolite noresketamine: see the lesson on the first pass.",
        ),
        sources=(bench.source_of(MODEL),),
    )


def _draw_swallowed(ax: Axes, revealed: bool, prediction: Prediction) -> None:
    nasal, oral, _, swallowed = _shares()
    share = 100 * swallowed * oral / nasal
    said = (1, prediction, f"you: {amount(prediction)} %") if isinstance(prediction, float) else None
    names = ("swallowed,\n% of the dose", "swallowed way,\n% of what reaches the blood")
    values = (100 * swallowed, share if revealed else None)
    pictures.bars(ax, names, values, texts=(f"{100 * swallowed:.0f} %", f"{share:.0f} %"), predicted=said)
    ax.set_ylim(0, 100)
    pictures.axes(ax, x="", y="share [%]", title="84 mg of esketamine by nose")
    pictures.credit(ax, MODEL)


def build() -> Lesson:
    """The lesson."""
    return Lesson(
        id="nose_and_vein",
        title="Nose against vein, and what is swallowed",
        minutes=10,
        for_whom="pharmacy students; staff who supervise the nasal spray",
        intro=(
            "Three devices of 28 mg of esketamine, 5 min apart, make 84 mg. A part is absorbed by the lining of the "
            "nose; the rest runs down the throat.",
        ),
        steps=(
            Step(
                question="84 mg by nose: how many mg by vein would give the same area under the curve?",
                kind="number",
                solve=_what_it_is_worth,
                picture=_draw_worth,
                unit="mg",
                low=1,
                high=84,
                shows="Levels over 6 hours after 35 mg of esketamine by vein over 40 min, and after 84 mg by nose.",
            ),
            Step(
                question="How many minutes after the last spray is the level highest?",
                kind="number",
                solve=_when,
                picture=_draw_when,
                unit="min",
                low=0,
                high=120,
                shows=(
                    "The level while three devices are given 5 min apart; what follows the last spray is left open."
                ),
            ),
            Step(
                question="Of the esketamine that reaches the blood, how many per cent were swallowed?",
                kind="number",
                solve=_how_much_swallowed,
                picture=_draw_swallowed,
                unit="%",
                low=0,
                high=100,
                shows=(
                    "A bar of the share of the dose that is swallowed, and an empty place for its share of what "
                    "reaches the blood."
                ),
            ),
        ),
        try_next=(
            "Give one device, then two, then three. Does each add as much to the peak as the one before?",
            "Make the patient Japanese. Which way does the peak go, and why?",
        ),
        scene=Scene(
            patient=bench.ADULT,
            arms=(("nose", NASAL, MODEL), ("vein", VEIN, MODEL)),
            outputs=("parent", "metabolite"),
            until="8 h",
        ),
    )
