"""The mechanism: how many NMDA receptors might be occupied, and for how long. Illustrative throughout."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from pkmodel.lessons import bench, pictures
from pkmodel.lessons.steps import Answer, Lesson, Prediction, Scene, Step, amount

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from pkmodel.simulation import Result

MODEL, OTHER, EFFECT = "ketamine_enantiomers", "ketamine_herd2007_norketamine", "nmda_occupancy"
ONCE, TWICE = bench.single("35 mg", "40 min"), bench.single("70 mg", "40 min")
RISE = ("It hardly changes", "It rises by about a third", "It rises by about two thirds", "It doubles")
LEFT = ("More than half of it", "About a quarter of it", "About a tenth of it", "Less than a twentieth of it")
NEVER = "Nobody has measured this occupancy: affinities of rat brain, unbound levels of human plasma (illustrative)"
LAPIDUS = (
    "Lapidus KAB, et al. Biol Psychiatry 2014 (PMC4185009; evidence: primary): MADRS 7.6 points lower than after "
    "saline "
    "24 h after 50 mg by nose, n = 18"
)


def _run(text: str, model: str = MODEL) -> Result:
    return bench.run(text, model, until="26 h", every="1 min", effects=(EFFECT,))


@cache
def _occupancy(text: str, model: str = MODEL) -> tuple[float, float]:
    """Occupancy at its highest and 24 h after the start (fractions)."""
    result = _run(text, model)
    level = result.level(EFFECT)[0]
    return float(level.max()), float(level[24 * 60])


def _sources() -> tuple[str, ...]:
    return bench.source_of(MODEL), bench.source_of(OTHER), bench.effect_source(EFFECT), NEVER


@cache
def _how_much() -> Answer:
    top, _ = _occupancy(ONCE)
    other, _ = _occupancy(ONCE, OTHER)
    return Answer(
        value=100 * top,
        unit="%",
        sentence=f"At the end of the infusion the curve stands at {100 * top:.0f} % (illustrative).",
        numbers=(("highest occupancy (illustrative)", 100 * top, "%"), (f"the same on {OTHER}", 100 * other, "%")),
        why=(
            "Ketamine blocks the NMDA receptor, a channel that glutamate opens. The share that is blocked depends "
            "on the unbound level at the receptor and on the affinity. Of the four that are counted (ketamine and "
            "norketamine, S and R) S-ketamine binds most tightly.",
            f"On another model the same curve stands at {100 * other:.0f} %. The number is to think with and not to "
            "quote.",
            "The level at the receptor is taken as that unbound in plasma, at once: no delay, no barrier.",
        ),
        sources=_sources(),
        illustrative=True,
    )


def _draw(ax: Axes, texts: dict[str, str], hours: float, title: str, top: float) -> None:
    ends = []
    for index, (name, text) in enumerate(texts.items()):
        result = _run(text)
        shown = result.time <= hours
        look = pictures.style(index)
        level = 100 * result.level(EFFECT)[0][shown]
        ax.plot(result.time[shown] * (60 if hours <= 4 else 1), level, **look)
        ends.append((float(level[-1]), name, look["color"]))
    ax.set_xlim(0, hours * (60 if hours <= 4 else 1))
    ax.set_ylim(0, top)
    x = "minutes from the start" if hours <= 4 else "hours from the start"
    pictures.axes(ax, x=x, y="occupied [%],\nillustrative", title=title)
    pictures.names_at_the_end(ax, ends)
    pictures.credit(ax, MODEL, EFFECT)


def _draw_how_much(ax: Axes, revealed: bool, prediction: Prediction) -> None:
    if not revealed:
        result = _run(ONCE)
        shown = result.time <= 4
        for index, output in enumerate(("esketamine", "arketamine")):
            look = pictures.style(index)
            ax.plot(result.time[shown] * 60, result.level(output)[0][shown], **look, label=output)
        ax.set_xlim(0, 240)
        ax.set_ylim(0)
        ax.legend(frameon=False, fontsize=pictures.SIZE)
        pictures.axes(
            ax, x="minutes from the start", y="level [ng/mL]", title="35 mg of ketamine over 40 min: the levels"
        )
        pictures.credit(ax, MODEL)
        return
    _draw(ax, {"35 mg": ONCE}, 4, "The occupancy that they might mean", 100)
    top, _ = _occupancy(ONCE)
    pictures.dot(ax, 40, 100 * top, f"{100 * top:.0f} %")
    if isinstance(prediction, float):
        pictures.level_line(ax, prediction, f"you: {amount(prediction)} %", predicted=True)


@cache
def _double() -> Answer:
    once, twice = _occupancy(ONCE)[0], _occupancy(TWICE)[0]
    rise = twice / once
    return Answer(
        value=bench.which(rise, (1.15, 1.5, 1.85), RISE),
        sentence=(
            f"Twice the dose takes the highest occupancy from {100 * once:.0f} to {100 * twice:.0f} %, {rise:.2f} "
            "times as much (illustrative)."
        ),
        numbers=(
            ("highest occupancy, 35 mg (illustrative)", 100 * once, "%"),
            ("highest occupancy, 70 mg (illustrative)", 100 * twice, "%"),
        ),
        why=(
            "The levels double, but receptors that are taken cannot be taken again. The nearer to full, the less a "
            "further milligram adds: saturation.",
            "It is the binding that saturates here, and not the elimination. The levels stay in proportion to the "
            "dose.",
        ),
        sources=_sources(),
        illustrative=True,
    )


def _draw_double(ax: Axes, revealed: bool, prediction: Prediction) -> None:
    texts = {"35 mg": ONCE, "70 mg": TWICE} if revealed else {"35 mg": ONCE}
    _draw(ax, texts, 4, "Twice the dose over 40 min", 100)


@cache
def _a_day_later() -> Answer:
    top, later = _occupancy(ONCE)
    _, other_later = _occupancy(ONCE, OTHER)
    share = later / top
    return Answer(
        value=bench.which(share, (0.05, 0.17, 0.5), LEFT[::-1]),
        sentence=(
            f"After 24 h {100 * later:.1f} % are occupied, {100 * share:.0f} % of what was at the highest "
            "(illustrative)."
        ),
        numbers=(
            ("highest occupancy (illustrative)", 100 * top, "%"),
            ("occupancy after 24 h (illustrative)", 100 * later, "%"),
            (f"after 24 h on {OTHER} (illustrative)", 100 * other_later, "%"),
        ),
        why=(
            "In one trial, mood was better a day after a single dose (50 mg by nose: 7.6 points on the MADRS against "
            "saline, at 24 h). By "
            "then next to nothing is bound: whatever lasts is not the block itself.",
            "What the block sets off, and whether the block is what matters, is debated. This curve cannot tell.",
            "Dissociation, by contrast, comes and goes with the level, some minutes behind it.",
        ),
        sources=(*_sources(), LAPIDUS),
        illustrative=True,
    )


def _draw_day(ax: Axes, revealed: bool, prediction: Prediction) -> None:
    _draw(ax, {"35 mg": ONCE}, 24.5 if revealed else 2, "A day later", 100)
    if revealed:
        pictures.dot(
            ax, 24, 100 * _occupancy(ONCE)[1], f"24 h: {100 * _occupancy(ONCE)[1]:.1f} %", dx=-6, dy=8, ha="right"
        )


def build() -> Lesson:
    """The lesson."""
    return Lesson(
        id="mechanism",
        title="The mechanism: receptors (illustrative)",
        minutes=9,
        for_whom="pharmacology and psychiatry courses",
        intro=(
            "35 mg of racemic ketamine (0.5 mg/kg) over 40 min. How many NMDA receptors could the levels occupy?",
            "The curve is illustrative: it joins affinities from rat brain to unbound levels in human plasma. "
            "Nobody has measured it in people at these doses in this way.",
        ),
        steps=(
            Step(
                question="What share of the receptors would be occupied at the end of the infusion, by this curve?",
                kind="number",
                solve=_how_much,
                picture=_draw_how_much,
                unit="%",
                low=0,
                high=100,
                shows="Levels of S- and R-ketamine over 4 hours.",
            ),
            Step(
                question="Twice the dose over the same time: what becomes of the highest occupancy?",
                kind="choice",
                solve=_double,
                picture=_draw_double,
                choices=RISE,
                shows="The illustrative occupancy after 35 mg over 4 hours.",
            ),
            Step(
                question="How much of the highest occupancy is left 24 h after the start?",
                kind="choice",
                solve=_a_day_later,
                picture=_draw_day,
                choices=LEFT,
                shows="The illustrative occupancy after 35 mg over the first 2 hours.",
            ),
        ),
        try_next=(
            "Change the unbound fraction in a copy of the effect file from 0.70 to 0.55. How far does the curve move?",
            "Lay dissociation beside occupancy. Do they peak together?",
        ),
        scene=Scene(
            patient=bench.ADULT,
            arms=(("35 mg", ONCE, MODEL), ("70 mg", TWICE, MODEL)),
            effects=(EFFECT,),
            until="24 h",
        ),
    )
