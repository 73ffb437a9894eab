"""Why a bolus overshoots: the same dose at once and over 40 min, and which volume a loading dose should fill."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from pkmodel.lessons import bench, pictures
from pkmodel.lessons.steps import Answer, Lesson, Prediction, Scene, Step, amount

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MODEL, OTHERS = "ketamine_kamp2020", ("ketamine_clements1981", "ketamine_domino1984")
BOLUS, INFUSION = bench.single("35 mg", "1 min"), bench.single("35 mg", "40 min")
TARGET = 150.0
KEPT = (
    "It stays near the target",
    "It falls to about two thirds of it",
    "It falls to about a third of it",
    "It falls to less than a sixth of it",
)


@cache
def _peaks(model: str) -> tuple[float, float]:
    """Peaks (ng/mL) of the bolus and of the infusion."""
    return tuple(bench.peak(bench.run(text, model, until="3 h")) for text in (BOLUS, INFUSION))  # type: ignore[return-value]


@cache
def _how_high() -> Answer:
    at_once, slowly = _peaks(MODEL)
    ratio = at_once / slowly
    low, high = sorted(_peaks(name)[0] / _peaks(name)[1] for name in OTHERS)
    return Answer(
        value=ratio,
        unit="times",
        sentence=(
            f"The injection peaks at {at_once:.0f} ng/mL and the infusion at {slowly:.0f}: {ratio:.1f} times as "
            "high, from the same 35 mg."
        ),
        numbers=(
            ("peak, 35 mg over 1 min", at_once, "ng/mL"),
            ("peak, 35 mg over 40 min", slowly, "ng/mL"),
            ("ratio of the peaks", ratio, ""),
        ),
        why=(
            "An injected dose is first spread over the small central volume (blood and the organs it reaches within "
            "seconds) "
            "and only then over the large volume of the tissues. In the first minutes much of it is still where the "
            "sample is taken.",
            "An infusion gives the tissues time to take up drug while it is still running, so less of it is in the "
            "blood at any moment.",
            "How large the overshoot is depends on the model more than anything else in this lesson: the same "
            "comparison gives "
            f"{low:.1f} times in one other published model and {high:.1f} times in another. The first minutes after "
            "an injection are "
            "what such models know least: they assume that the blood is mixed at once.",
        ),
        sources=tuple(bench.source_of(name) for name in (MODEL, *OTHERS)),
    )


def _draw_how_high(ax: Axes, revealed: bool, prediction: Prediction) -> None:
    slow = bench.run(INFUSION, MODEL, until="3 h")
    top = _peaks(MODEL)[1]
    ends = [(float(slow.level()[0, -1]), "over 40 min", pictures.style(0)["color"])]
    ax.plot(slow.time * 60, slow.level()[0], **pictures.style(0))
    heights = [top]
    if revealed:
        fast = bench.run(BOLUS, MODEL, until="3 h")
        ax.plot(fast.time * 60, fast.level()[0], **pictures.style(1))
        heights.append(_peaks(MODEL)[0])
        ends.append((float(fast.level()[0, -1]), "over 1 min", pictures.style(1)["color"]))
    if isinstance(prediction, float):
        heights.append(prediction * top)
    ax.set_xlim(-3, 180)
    ax.set_ylim(0, 1.12 * max(heights))
    if isinstance(prediction, float):
        pictures.level_line(ax, prediction * top, f"you: {amount(prediction)} times as high", predicted=True)
    if revealed:
        pictures.dot(ax, 1, heights[1], f"{heights[1]:.0f} ng/mL", dy=-6)
    pictures.dot(ax, 40, top, f"{top:.0f} ng/mL")
    pictures.axes(ax, x="minutes from the start", y="ketamine [ng/mL]", title="35 mg of ketamine (0.5 mg/kg), 70 kg")
    pictures.names_at_the_end(ax, ends)
    pictures.credit(ax, MODEL)


@cache
def _small_load() -> tuple[str, float, float]:
    """The course whose bolus reaches the target at once, its dose (mg), and the share left after 15 min."""
    unit = bench.run(bench.single("100 mg"), MODEL, until="1 h")
    dose = TARGET / float(unit.level()[0, 0]) * 100.0
    return bench.single(f"{dose:.6g} mg"), dose, float(unit.level()[0, 15] / unit.level()[0, 0])


@cache
def _what_is_left() -> Answer:
    _, dose, left = _small_load()
    full = TARGET / _steady_share()
    return Answer(
        value=bench.which(left, (1 / 6, 0.5, 0.85), KEPT[::-1]),
        sentence=f"15 min later {100 * left:.0f} % of the target is left.",
        numbers=(
            ("dose that reaches 150 ng/mL at once", dose, "mg"),
            ("left of the target after 15 min", 100 * left, "%"),
            ("dose that fills all volumes at 150 ng/mL", full, "mg"),
        ),
        why=(
            f"The small dose ({dose:.2g} mg) fills the central volume alone. Then drug moves into the tissues, far "
            "faster than the body clears it.",
            f"Filling every volume at 150 ng/mL takes {full:.2g} mg. Given at once that would first show "
            f"{full / dose:.0f} times the target.",
            "No single injection both reaches a level and holds it. That takes an injection followed by an infusion "
            "that falls step by step: "
            "what Suggest computes (bolus, elimination, transfer).",
        ),
        sources=(bench.source_of(MODEL),),
    )


@cache
def _steady_share() -> float:
    """ng/mL at steady state for every mg in the body, from a long infusion."""
    long = bench.run(bench.single("10 mg/h", "240 h"), MODEL, until="240 h", every="4 h")
    return float(long.level()[0, -1] / long.amounts[0, -1].sum())


def _draw_what_is_left(ax: Axes, revealed: bool, prediction: Prediction) -> None:
    text, dose, left = _small_load()
    result = bench.run(text, MODEL, until="1 h")
    minutes, level = result.time * 60, result.level()[0]
    known = minutes <= (60 if revealed else 1)
    ax.plot(minutes[known], level[known], **pictures.style(1))
    ax.set_xlim(-1, 60)
    ax.set_ylim(0, 1.2 * TARGET)
    pictures.level_line(ax, TARGET, f"target {TARGET:.0f} ng/mL")
    if revealed:
        pictures.dot(ax, 15, left * TARGET, f"after 15 min: {100 * left:.0f} % of the target")
    else:
        ax.text(15, 0.45 * TARGET, "?", fontsize=34, color="#777777", ha="center")
    pictures.axes(
        ax, x="minutes from the injection", y="ketamine [ng/mL]", title=f"{dose:.2g} mg at once, no infusion after it"
    )
    pictures.credit(ax, MODEL)


def build() -> Lesson:
    """The lesson."""
    return Lesson(
        id="bolus",
        title="Why a bolus overshoots",
        minutes=8,
        for_whom="first pharmacology course; anaesthesia",
        intro=(
            "A patient of 70 kg is to have 35 mg of ketamine (0.5 mg/kg) into a vein: pushed in within a minute, or "
            "by a pump over 40 minutes.",
            "The dose is the same. The curve is not.",
        ),
        steps=(
            Step(
                question=(
                    "The infusion over 40 min peaks where the curve shows it. How many times as high is the peak "
                    "when the same 35 mg are injected within 1 min?"
                ),
                kind="number",
                solve=_how_high,
                picture=_draw_how_high,
                unit="times",
                low=1,
                high=20,
                shows="The level of ketamine over 3 hours when 35 mg are infused over 40 min, with its peak marked.",
            ),
            Step(
                question=(
                    "A smaller injection brings the level to a target of 150 ng/mL at once, and nothing more is "
                    "given. What is left 15 min later?"
                ),
                kind="choice",
                solve=_what_is_left,
                picture=_draw_what_is_left,
                choices=KEPT,
                shows="A level that jumps to the target of 150 ng/mL at the injection; what follows is left open.",
            ),
        ),
        try_next=(
            "Stretch the injection to 2, 5 and 10 min. Where does most of the overshoot go?",
            "Change the model. Which part of the curve hardly changes, and which changes most?",
        ),
        scene=Scene(
            patient=bench.ADULT,
            arms=(("injected", BOLUS, MODEL), ("infused", INFUSION, MODEL)),
            limits=("150 ng/mL",),
            until="3 h",
        ),
    )
