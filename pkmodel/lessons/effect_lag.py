"""The effect lags behind the blood: an effect site, its delay, and the loop that it makes."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from pkmodel.lessons import bench, pictures
from pkmodel.lessons.steps import Answer, Lesson, Prediction, Scene, Step, amount

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from pkmodel.simulation import Result

MODEL, OTHER, EFFECT = "ketamine_kamp2020", "ketamine_clements1981", "dissociation_olofsen2022"
QUICK, SLOW = bench.single("28 mg", "1 min"), bench.single("35 mg", "40 min")
LEVEL = 180.0
WAY = ("Stronger on the way up", "The same", "Stronger on the way down")
CAUTION = "The effect is that of S-ketamine in healthy men, taken as half of the racemate here (assumed)"


def _run(text: str, model: str = MODEL) -> Result:
    return bench.run(text, model, until="2 h", every="15 s", effects=(EFFECT,))


@cache
def _strongest(model: str) -> tuple[float, float]:
    """When (min) the effect is strongest after the injection, and how strong it is (a fraction of the maximum)."""
    result = _run(QUICK, model)
    effect = result.level(EFFECT)[0]
    return 60 * float(result.time[effect.argmax()]), float(effect.max())


@cache
def _when() -> Answer:
    time, effect = _strongest(MODEL)
    other, _ = _strongest(OTHER)
    return Answer(
        value=time,
        unit="min",
        sentence=(
            f"The level is highest after 1 min, the effect after {time:.1f} min, at {100 * effect:.0f} % of its "
            "maximum."
        ),
        numbers=(
            ("level highest", 1.0, "min"),
            ("effect strongest", time, "min"),
            ("effect, of the maximum", 100 * effect, "%"),
            (f"effect strongest in {OTHER}", other, "min"),
        ),
        why=(
            "The effect follows a site that fills and empties with a half-life of 8.3 min (95 % interval 5.1 to "
            "13.0). It rises as long as the blood holds more than the site, and turns when the two are level.",
            f"So the delay depends on how fast the blood falls, too: in {OTHER}, where it falls more slowly at "
            f"first, the effect is strongest after {other:.0f} min.",
            "Whoever gives a second dose because nothing has happened yet gives it before the first has acted.",
        ),
        sources=(bench.source_of(MODEL), bench.source_of(OTHER), bench.effect_source(EFFECT), CAUTION),
    )


def _draw_when(ax: Axes, revealed: bool, prediction: Prediction) -> None:
    result = _run(QUICK)
    minutes, level = result.time * 60, result.level()[0] / result.level()[0].max()
    shown = minutes <= 40
    look = pictures.style(0)
    ax.plot(minutes[shown], 100 * level[shown], **look)
    ends = [(100 * float(level[shown][-1]), "level", look["color"])]
    ax.set_xlim(-0.5, 40)
    ax.set_ylim(0, 118)
    if revealed:
        effect = result.level(EFFECT)[0]
        look = pictures.style(1)
        share = 100 * effect / effect.max()
        ax.plot(minutes[shown], share[shown], **look)
        ends.append((float(share[shown][-1]), "effect", look["color"]))
        time = _strongest(MODEL)[0]
        pictures.dot(ax, time, 100, f"effect strongest at {time:.1f} min", dy=4)
    if isinstance(prediction, float):
        pictures.time_line(ax, prediction, f"you: {amount(prediction)} min", predicted=True, height=0.72)
    pictures.axes(
        ax, x="minutes from the start", y="share of its own highest [%]", title="28 mg of ketamine within 1 min"
    )
    pictures.names_at_the_end(ax, ends)
    pictures.credit(ax, MODEL, EFFECT)


@cache
def _on_both_ways() -> tuple[float, float]:
    """The effect (a fraction) at the level, on the way up and on the way down of the infusion."""
    result = _run(SLOW)
    up, down = bench.crossings(result.time, result.level()[0], LEVEL)
    effect = result.level(EFFECT)[0]
    return float(np.interp(up, result.time, effect)), float(np.interp(down, result.time, effect))


@cache
def _which_way() -> Answer:
    up, down = _on_both_ways()
    value = WAY[1] if abs(up - down) < 0.02 else WAY[0] if up > down else WAY[2]
    return Answer(
        value=value,
        sentence=(
            f"At the same {LEVEL:.0f} ng/mL the effect is {100 * up:.0f} % of its maximum on the way up and "
            f"{100 * down:.0f} % on the way down."
        ),
        numbers=(
            ("effect on the way up, of the maximum", 100 * up, "%"),
            ("effect on the way down, of the maximum", 100 * down, "%"),
        ),
        why=(
            "On the way up the site has less than the blood, on the way down more. Drawn against the level the "
            "effect makes a loop, which runs against the clock (hysteresis).",
            "A single sample of blood therefore says little about the effect unless one knows whether the pump is "
            "running.",
            "A loop the other way round would speak for something else, such as tolerance. It is not in this effect.",
        ),
        sources=(bench.source_of(MODEL), bench.effect_source(EFFECT), CAUTION),
    )


def _draw_loop(ax: Axes, revealed: bool, prediction: Prediction) -> None:
    result = _run(SLOW)
    level, effect = result.level()[0], 100 * result.level(EFFECT)[0]
    top = int(level.argmax())
    ax.set_xlim(0, 290)
    ax.set_ylim(0, 60)
    look = pictures.style(0)
    ax.plot(level[: top + 1], effect[: top + 1], **look)
    ax.text(235, 12, "up", color=look["color"], fontsize=pictures.SIZE)
    if revealed:
        down = pictures.style(1)
        ax.plot(level[top:], effect[top:], **down)
        up_at, down_at = (100 * value for value in _on_both_ways())
        pictures.dot(ax, LEVEL, up_at, f"up: {up_at:.0f} %", dx=-8, dy=4, ha="right")
        pictures.dot(ax, LEVEL, down_at, f"down: {down_at:.0f} %", dx=-8, dy=4, ha="right")
    pictures.time_line(ax, LEVEL, f"{LEVEL:.0f} ng/mL", height=0.97)
    pictures.axes(
        ax, x="ketamine [ng/mL]", y="dissociation [% of maximum]", title="35 mg over 40 min: effect against level"
    )
    pictures.credit(ax, MODEL, EFFECT)


def build() -> Lesson:
    """The lesson."""
    return Lesson(
        id="effect_lag",
        title="The effect lags behind the blood",
        minutes=8,
        for_whom="anaesthesia; whoever titrates",
        intro=(
            "Dissociation follows the level of S-ketamine with a delay, which was measured in volunteers. The "
            "effect is counted as a fraction of its maximum.",
        ),
        steps=(
            Step(
                question=(
                    "28 mg of ketamine (0.4 mg/kg) are injected within 1 min. How many minutes after the start is "
                    "the effect strongest?"
                ),
                kind="number",
                solve=_when,
                picture=_draw_when,
                unit="min",
                low=0,
                high=40,
                shows="The level after the injection as a share of its highest value, over 40 min.",
            ),
            Step(
                question=(
                    f"During and after an infusion the level passes {LEVEL:.0f} ng/mL twice. When is the effect "
                    "stronger?"
                ),
                kind="choice",
                solve=_which_way,
                picture=_draw_loop,
                choices=WAY,
                shows=f"The effect against the level while the infusion runs, and a line at {LEVEL:.0f} ng/mL.",
            ),
        ),
        try_next=(
            "Give the 28 mg over 10 min. What becomes of the delay?",
            "Ask Suggest to hold the effect site at 80 ng/mL, and then the plasma. Which needs the larger bolus?",
        ),
        scene=Scene(
            patient=bench.ADULT,
            arms=(("injected", QUICK, MODEL), ("infused", SLOW, MODEL)),
            effects=(EFFECT,),
            until="2 h",
        ),
    )
