"""Accumulation or not: twice a week, and how close doses must come before levels add up."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from pkmodel.lessons import bench, pictures
from pkmodel.lessons.steps import Answer, Lesson, Prediction, Scene, Step

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NASAL, NASAL_MODEL = "esketamine_nasal_acute", "esketamine_perezruixo2021"
MODEL, OTHERS = "ketamine_kamp2020", ("ketamine_clements1981", "ketamine_domino1984")
HIGHER = ("By less than 1 %", "By 1 to 10 %", "By 10 to 30 %", "By more than 30 %")
EVERY = (24, 12, 8, 4, 2)
GAPS = tuple(f"Every {hours} h" for hours in EVERY)
VISIBLE = 10.0


@cache
def _half_life() -> float:
    """The terminal half-life (h) of the nasal model, from the fall between 36 and 60 h after a dose."""
    first = bench.run(NASAL, NASAL_MODEL, until="72 h", every="30 min")
    level = first.level()[0]
    return float(24 * np.log(2) / np.log(level[first.time == 36.0][0] / level[first.time == 60.0][0]))


@cache
def _twice_a_week() -> Answer:
    result = bench.run(NASAL, NASAL_MODEL, until="700 h", every="10 min")
    peaks = [row["peak"] for row in bench.figures(result)]
    rise = 100 * (peaks[-1] / peaks[0] - 1)
    half = _half_life()
    halvings = 72 / half
    left = float(bench.run(NASAL, NASAL_MODEL, until="72 h", every="30 min").level()[0, -2])
    return Answer(
        value=bench.which(rise, (1, 10, 30), HIGHER),
        sentence=f"The eighth peak is {peaks[-1]:.1f} ng/mL, the first {peaks[0]:.1f}: {rise:.1f} % more.",
        numbers=(
            ("peak of session 1", peaks[0], "ng/mL"),
            (f"peak of session {len(peaks)}", peaks[-1], "ng/mL"),
            ("terminal half-life", half, "h"),
            ("halvings in the 3 days to the next session", halvings, ""),
        ),
        why=(
            f"Before the second session {left:.2f} ng/mL are left, {100 * left / peaks[0]:.2f} % of the peak. The "
            "tail "
            f"is halved {halvings:.1f} times in three days, and it begins far below the peak.",
            "The label says the same: no accumulation at twice a week, terminal half-life 7 to 12 h.",
            "Effects may add up though levels do not. Blood pressure and mood have clocks of their own.",
        ),
        sources=(
            bench.source_of(NASAL_MODEL),
            "Spravato (esketamine) nasal spray, prescribing information (evidence: primary)",
        ),
    )


def _draw_twice(ax: Axes, revealed: bool, prediction: Prediction) -> None:
    result = bench.run(NASAL, NASAL_MODEL, until="700 h", every="10 min")
    known = result.time <= (700 if revealed else 72)
    ax.plot(result.time[known] / 24 + 1, result.level()[0][known], **pictures.style(0) | {"linewidth": 1.4})
    rows = bench.figures(result)
    for row in rows if revealed else rows[:1]:
        ax.plot(
            [row["start_h"] / 24 + 1 + row["time_of_peak"] / 24], [row["peak"]], "o", color=pictures.INK, markersize=5
        )
    for row in rows:
        ax.plot([row["start_h"] / 24 + 1], [0], "^", color=pictures.INK, markersize=7, clip_on=False, zorder=8)
    ax.set_xlim(0.5, 29)
    ax.set_ylim(0, 1.3 * rows[0]["peak"])
    if revealed:
        ax.text(
            0.99,
            0.97,
            f"first peak {rows[0]['peak']:.1f}, last {rows[-1]['peak']:.1f} ng/mL",
            transform=ax.transAxes,
            ha="right",
            va="top",
            fontsize=pictures.SIZE,
        )
    pictures.axes(
        ax,
        x="day of the course (triangles: sessions)",
        y="esketamine [ng/mL]",
        title="84 mg by nose twice a week, 8 sessions",
    )
    pictures.credit(ax, NASAL_MODEL)


def _every(hours: int) -> str:
    phase = {"name": "infusions", "dose": "35 mg", "over": "40 min", "sessions": {"every": f"{hours} h", "count": 8}}
    return bench.course(f"35 mg of ketamine over 40 min every {hours} h", [phase])


@cache
def _rise(hours: int, model: str = MODEL) -> float:
    """By how many per cent the eighth peak is higher than the first."""
    peaks = [
        row["peak"] for row in bench.figures(bench.run(_every(hours), model, until=f"{8 * hours} h", every="10 min"))
    ]
    return 100 * (peaks[-1] / peaks[0] - 1)


@cache
def _how_close() -> Answer:
    rises = [_rise(hours) for hours in EVERY]
    first = next(index for index, rise in enumerate(rises) if rise > VISIBLE)
    slow = next(hours for hours in EVERY if _rise(hours, OTHERS[0]) > VISIBLE)
    fast = next(hours for hours in EVERY if _rise(hours, OTHERS[1]) > VISIBLE)
    return Answer(
        value=GAPS[first],
        sentence="The eighth peak is higher than the first by "
        + ", ".join(f"{rise:.1f} % every {hours} h" for hours, rise in zip(EVERY, rises, strict=True))
        + ".",
        numbers=tuple(
            (f"rise of the peak, every {hours} h", rise, "%") for hours, rise in zip(EVERY, rises, strict=True)
        ),
        why=(
            "Levels add up when a dose comes before the last one has gone. What counts is the interval over the "
            "half-life, and not how many doses there are.",
            f"Models differ in how long the tail is: it takes intervals of {slow} h in {OTHERS[0]} and of {fast} h "
            f"in {OTHERS[1]}.",
        ),
        sources=tuple(bench.source_of(name) for name in (MODEL, *OTHERS)),
    )


def _draw_close(ax: Axes, revealed: bool, prediction: Prediction) -> None:
    rises = [_rise(hours) for hours in EVERY]
    values = [rise if revealed or index == 0 else None for index, rise in enumerate(rises)]
    pictures.bars(ax, GAPS, values, texts=[f"{rise:.1f} %" for rise in rises])
    ax.set_ylim(0, 1.2 * max(rises) if revealed else 25)
    pictures.level_line(ax, VISIBLE, f"{VISIBLE:.0f} %", side="left")
    pictures.axes(ax, x="", y="eighth peak above the first [%]", title="35 mg of ketamine over 40 min, eight times")
    pictures.credit(ax, MODEL)


def build() -> Lesson:
    """The lesson."""
    return Lesson(
        id="accumulation",
        title="Does it add up at twice a week?",
        minutes=7,
        for_whom="first pharmacology course; prescribers",
        intro=("84 mg of esketamine by nose twice a week for four weeks, by the label for acute suicidal ideation.",),
        steps=(
            Step(
                question="By how much is the peak of the eighth session higher than that of the first?",
                kind="choice",
                solve=_twice_a_week,
                picture=_draw_twice,
                choices=HIGHER,
                shows="The level in the 3 days after the first session, and marks for the seven sessions to come.",
            ),
            Step(
                question=(
                    "35 mg of ketamine are infused eight times. At which interval is the eighth peak first more "
                    f"than {VISIBLE:.0f} % higher than the first?"
                ),
                kind="choice",
                solve=_how_close,
                picture=_draw_close,
                choices=GAPS,
                shows="An empty place for each interval but the longest, and a line at 10 %.",
            ),
        ),
        try_next=(
            "Look at the metabolite at these intervals. Does it add up sooner?",
            "Attach the illustrative antidepressant response. What adds up there?",
        ),
        scene=Scene(
            patient=bench.ADULT,
            arms=(("every 4 h", _every(4), MODEL), ("every 24 h", _every(24), MODEL)),
            until="32 h",
        ),
    )
