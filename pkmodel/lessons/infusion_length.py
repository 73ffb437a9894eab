"""How long an infusion runs, how high it gets, and how long it stays above a level."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from pkmodel.lessons import bench, pictures
from pkmodel.lessons.steps import Answer, Lesson, Prediction, Scene, Step, amount

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MODEL, OTHER = "ketamine_kamp2020", "ketamine_clements1981"
LENGTHS = ("10 min", "40 min", "80 min")
LEVEL = 100.0
LONGER = ("Over 10 min", "Over 40 min", "Over 80 min")


def _text(over: str) -> str:
    return bench.single("35 mg", over)


@cache
def _peaks(model: str) -> tuple[float, ...]:
    return tuple(bench.peak(bench.run(_text(over), model, until="5 h")) for over in LENGTHS)


@cache
def _twice_as_long() -> Answer:
    _, usual, twice = _peaks(MODEL)
    share, other = 100 * twice / usual, 100 * _peaks(OTHER)[2] / _peaks(OTHER)[1]
    return Answer(
        value=share,
        unit="%",
        sentence=(
            f"Over 80 min the peak is {twice:.0f} ng/mL, {share:.0f} % of the {usual:.0f} over 40 min: not half."
        ),
        numbers=(
            ("peak over 40 min", usual, "ng/mL"),
            ("peak over 80 min", twice, "ng/mL"),
            ("share of the peak", share, "%"),
        ),
        why=(
            "At half the rate the level would be half as high at every moment of the first 40 min. But the pump "
            "then runs on, and the level goes on rising for another 40 min.",
            f"How much of the peak is saved depends on how fast drug leaves the blood: {other:.0f} % of the peak "
            f"remain in {OTHER}, where it leaves more slowly at first.",
            "Either way the peak comes at the end of the infusion, because the level rises as long as the pump runs.",
        ),
        sources=(bench.source_of(MODEL), bench.source_of(OTHER)),
    )


def _draw_twice(ax: Axes, revealed: bool, prediction: Prediction) -> None:
    shown = (1, 2) if revealed else (1,)
    usual = _peaks(MODEL)[1]
    ends = []
    for index in shown:
        result = bench.run(_text(LENGTHS[index]), MODEL, until="5 h")
        look = pictures.style(index - 1)
        ax.plot(result.time * 60, result.level()[0], **look)
        ends.append((float(result.level()[0, 240]), f"over {LENGTHS[index]}", look["color"]))
    ax.set_xlim(-3, 240)
    ax.set_ylim(0, 1.2 * usual)
    if isinstance(prediction, float):
        pictures.level_line(ax, prediction / 100 * usual, f"you: {amount(prediction)} % of the peak", predicted=True)
    for index in shown:
        pictures.dot(ax, (10, 40, 80)[index], _peaks(MODEL)[index], f"{_peaks(MODEL)[index]:.0f} ng/mL")
    pictures.axes(ax, x="minutes from the start", y="ketamine [ng/mL]", title="35 mg of ketamine (0.5 mg/kg), 70 kg")
    pictures.names_at_the_end(ax, ends)
    pictures.credit(ax, MODEL)


@cache
def _above(model: str) -> tuple[float, ...]:
    """Minutes above the level for each length."""
    runs = [bench.run(_text(over), model, until="5 h") for over in LENGTHS]
    return tuple(bench.time_above(result.time * 60, result.level()[0], LEVEL) for result in runs)


@cache
def _which_stays() -> Answer:
    minutes = _above(MODEL)
    longest = max(range(3), key=lambda index: minutes[index])
    others = _above(OTHER)
    same = max(range(3), key=lambda index: others[index]) == longest
    return Answer(
        value=LONGER[longest],
        sentence=(
            f"Above {LEVEL:.0f} ng/mL: {minutes[0]:.0f} min when given over 10 min, {minutes[1]:.0f} over 40 min, "
            f"{minutes[2]:.0f} over 80 min."
        ),
        numbers=tuple(
            (f"above {LEVEL:.0f} ng/mL, over {over}", value, "min")
            for over, value in zip(LENGTHS, minutes, strict=True)
        ),
        why=(
            "A short infusion has a high peak which soon falls away into the tissues. A long one stays lower and, "
            "as long as the pump runs, keeps what it has reached.",
            "The area under the curve is the same for all three, since the dose and the clearance are. Peak and "
            "time above a level are two different questions.",
            f"In {OTHER} it is {others[0]:.0f}, {others[1]:.0f} and {others[2]:.0f} min: "
            + (
                "the same order at the top."
                if same
                else "there another one stays above longest. The answer hangs on the model and on the level chosen."
            ),
        ),
        sources=(bench.source_of(MODEL), bench.source_of(OTHER)),
    )


def _draw_above(ax: Axes, revealed: bool, prediction: Prediction) -> None:
    ends = []
    for index, over in enumerate(LENGTHS):
        result = bench.run(_text(over), MODEL, until="5 h")
        look = pictures.style(index)
        known = result.time * 60 <= (240 if revealed else 10)
        ax.plot(result.time[known] * 60, result.level()[0][known], **look)
        ends.append((float(result.level()[0, 240 if revealed else 10]), f"over {over}", look["color"]))
    ax.set_xlim(-2, 240)
    ax.set_ylim(0, 1.12 * _peaks(MODEL)[0])
    pictures.level_line(ax, LEVEL, f"{LEVEL:.0f} ng/mL")
    if revealed:
        rows = "\n".join(
            f"over {over}: {value:.0f} min above" for over, value in zip(LENGTHS, _above(MODEL), strict=True)
        )
        said = f"\nyou: {prediction.lower()}" if isinstance(prediction, str) else ""
        ax.text(0.98, 0.95, rows + said, transform=ax.transAxes, ha="right", va="top", fontsize=pictures.SIZE)
        pictures.axes(ax, x="minutes from the start", y="ketamine [ng/mL]", title="35 mg of ketamine, three lengths")
        ax.legend([f"over {over}" for over in LENGTHS], frameon=False, fontsize=pictures.SIZE, loc="center right")
    else:
        pictures.axes(
            ax,
            x="minutes from the start",
            y="ketamine [ng/mL]",
            title="35 mg of ketamine, the first 10 min",
        )
        pictures.names_at_the_end(ax, ends)
    pictures.credit(ax, MODEL)


def build() -> Lesson:
    """The lesson."""
    return Lesson(
        id="infusion_length",
        title="How long it runs, how high it gets",
        minutes=7,
        for_whom="first pharmacology course; nurses who set pumps",
        intro=(
            "35 mg of ketamine (0.5 mg/kg at 70 kg) are usually given over 40 min. A clinic wonders about running "
            "the pump for twice as long.",
        ),
        steps=(
            Step(
                question=(
                    "The same dose over 80 min instead of 40: how high is the peak, in per cent of the usual one?"
                ),
                kind="number",
                solve=_twice_as_long,
                picture=_draw_twice,
                unit="%",
                low=10,
                high=150,
                shows="The level over 4 hours when 35 mg are given over 40 min, with its peak marked.",
            ),
            Step(
                question=f"Which of the three stays above {LEVEL:.0f} ng/mL for the longest time?",
                kind="choice",
                solve=_which_stays,
                picture=_draw_above,
                choices=LONGER,
                shows=(
                    "The first 10 min of three infusions of 35 mg, over 10, 40 and 80 min, and a line at "
                    f"{LEVEL:.0f} ng/mL."
                ),
            ),
        ),
        try_next=(
            "Move the line to 200 ng/mL, then to 50. Does the same infusion stay above it longest?",
            "Give the dose over 2 min. What becomes of the peak, and what of the area?",
        ),
        scene=Scene(
            patient=bench.ADULT,
            arms=tuple((f"over {over}", _text(over), MODEL) for over in LENGTHS[1:]),
            limits=(f"{LEVEL:.0f} ng/mL",),
            until="4 h",
        ),
    )
