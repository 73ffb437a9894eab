"""A taper and a threshold: peaks shrink with the dose, the time above a level shrinks faster, and then it is gone."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from pkmodel.lessons import bench, pictures
from pkmodel.lessons.steps import Answer, Lesson, Prediction, Scene, Step, amount

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MODEL, OTHER = "ketamine_kamp2020", "ketamine_clements1981"
PROTOCOL = "iv_taper_dose_and_interval"
LEVEL = 150.0
FULL, FIFTH_LESS = bench.single("35 mg", "40 min"), bench.single("28 mg", "40 min")
ILLUSTRATIVE = f"The {LEVEL:.0f} ng/mL are a level to teach with and no threshold of any effect (assumed)"


@cache
def _above(text: str, model: str = MODEL) -> float:
    """Minutes above the level."""
    result = bench.run(text, model, until="4 h", every="30 s")
    return bench.time_above(result.time * 60, result.level()[0], LEVEL)


@cache
def _falls_by() -> Answer:
    full, less = _above(FULL), _above(FIFTH_LESS)
    peaks = [bench.peak(bench.run(text, MODEL, until="4 h", every="30 s")) for text in (FULL, FIFTH_LESS)]
    fall = 100 * (1 - less / full)
    other = 100 * (1 - _above(FIFTH_LESS, OTHER) / _above(FULL, OTHER))
    return Answer(
        value=fall,
        unit="%",
        sentence=(
            f"The time above {LEVEL:.0f} ng/mL falls from {full:.0f} to {less:.0f} min, by {fall:.0f} %, while the "
            f"peak falls by {100 * (1 - peaks[1] / peaks[0]):.0f} %."
        ),
        numbers=(
            ("peak, 35 mg", peaks[0], "ng/mL"),
            ("peak, 28 mg", peaks[1], "ng/mL"),
            (f"above {LEVEL:.0f} ng/mL, 35 mg", full, "min"),
            (f"above {LEVEL:.0f} ng/mL, 28 mg", less, "min"),
        ),
        why=(
            "In a linear model every level falls by as much as the dose: 20 % off the dose is 20 % off the peak.",
            "The time above a line is another matter. The curve sinks through the line at both ends at once, and "
            "the nearer the peak comes to the line, the faster what is left above it goes.",
            f"In {OTHER}, whose peak lies nearer to the line, it falls by {other:.0f} %.",
        ),
        sources=(bench.source_of(MODEL), bench.source_of(OTHER), ILLUSTRATIVE),
    )


def _draw_fall(ax: Axes, revealed: bool, prediction: Prediction) -> None:
    ends = []
    for index, (name, text) in enumerate((("35 mg", FULL), ("28 mg", FIFTH_LESS))[: 2 if revealed else 1]):
        result = bench.run(text, MODEL, until="4 h", every="30 s")
        look = pictures.style(index)
        shown = result.time <= 2
        level = result.level()[0][shown]
        ax.plot(result.time[shown] * 60, level, **look)
        ax.fill_between(
            result.time[shown] * 60, LEVEL, level, where=level > LEVEL, color=look["color"], alpha=0.18, linewidth=0
        )
        ends.append((float(level[-1]), name, look["color"]))
    ax.set_xlim(-2, 120)
    ax.set_ylim(0, 300)
    pictures.level_line(ax, LEVEL, f"{LEVEL:.0f} ng/mL")
    text = f"35 mg: {_above(FULL):.0f} min above"
    if revealed:
        text += f"\n28 mg: {_above(FIFTH_LESS):.0f} min above"
    ax.text(0.99, 0.97, text, transform=ax.transAxes, ha="right", va="top", fontsize=pictures.SIZE)
    if isinstance(prediction, float):
        left = _above(FULL) * (1 - prediction / 100)
        said = f"you: {amount(prediction)} % less, {left:.0f} min"
        ax.text(
            0.99,
            0.78,
            said,
            transform=ax.transAxes,
            ha="right",
            va="top",
            fontsize=pictures.SIZE,
            color=pictures.PREDICTED,
        )
    pictures.axes(ax, x="minutes from the start", y="ketamine [ng/mL]", title="A fifth less, over 40 min")
    pictures.names_at_the_end(ax, ends)
    pictures.credit(ax, MODEL)


@cache
def _taper() -> tuple[tuple[int, float, float], ...]:
    """Of the sessions of the taper: their number, dose (mg) and peak (ng/mL)."""
    rows = bench.figures(bench.run(PROTOCOL, MODEL, until="2200 h", every="2 h"))
    return tuple((index + 1, row["dose_mg"], row["peak"]) for index, row in enumerate(rows))[6:]


CHOICES = tuple(f"Session {number}" for number in range(7, 13))


@cache
def _first_below() -> Answer:
    number, dose, peak = next(row for row in _taper() if row[2] < LEVEL)
    full = bench.peak(bench.run(FULL, MODEL, until="4 h", every="30 s"))
    least = 35 * LEVEL / full
    return Answer(
        value=f"Session {number}",
        sentence=(
            f"Session {number}, with {dose:.0f} mg, peaks at {peak:.0f} ng/mL; no dose below {least:.1f} mg reaches "
            f"{LEVEL:.0f}."
        ),
        numbers=(
            *((f"peak of session {index}, {mg:.0f} mg", top, "ng/mL") for index, mg, top in _taper()),
            ("dose whose peak is at the line", least, "mg"),
        ),
        why=(
            f"Since the peak goes with the dose, the dose that just reaches the line is 35 mg x {LEVEL:.0f} / "
            f"{full:.0f}.",
            "Below it the time above the line is nothing, however slowly the taper goes on. If a benefit, or a side "
            "effect, needs a level, it is gone from one session on, though dose and peak go on falling evenly.",
            "People differ: the session at which it ends is another one in each. That is what a population shows "
            "(pkmodel run iv_taper_versus_flat).",
            "Dose and interval of the taper are customary in their idea and unsourced in their numbers.",
        ),
        sources=(
            bench.source_of(MODEL),
            ILLUSTRATIVE,
            f"Protocol {PROTOCOL}: induction after Murrough JW, et al. Biol Psychiatry 2013;74:250-256; the taper is "
            "unsourced",
        ),
    )


def _draw_taper(ax: Axes, revealed: bool, prediction: Prediction) -> None:
    rows = _taper()
    names = tuple(f"session {number}\n{dose:.0f} mg" for number, dose, _ in rows)
    values = [top if revealed or index == 0 else None for index, (_, _, top) in enumerate(rows)]
    pictures.bars(ax, names, values, texts=[f"{top:.0f}" for _, _, top in rows])
    ax.set_ylim(0, 1.2 * rows[0][2])
    pictures.level_line(ax, LEVEL, f"{LEVEL:.0f} ng/mL")
    pictures.axes(ax, x="", y="peak of ketamine [ng/mL]", title="Six sessions of a taper, 70 kg")
    pictures.credit(ax, MODEL)


def build() -> Lesson:
    """The lesson."""
    return Lesson(
        id="taper_threshold",
        title="A taper and a threshold",
        minutes=8,
        for_whom="protocol designers; prescribers",
        intro=(
            "After six infusions of 35 mg (0.5 mg/kg) the dose is stepped down. Say that something matters above "
            f"{LEVEL:.0f} ng/mL.",
        ),
        steps=(
            Step(
                question=(
                    "The dose falls by a fifth, from 35 to 28 mg. By how many per cent does the time above "
                    f"{LEVEL:.0f} ng/mL fall?"
                ),
                kind="number",
                solve=_falls_by,
                picture=_draw_fall,
                unit="%",
                low=0,
                high=100,
                shows=f"The level after 35 mg over 40 min, shaded where it is above {LEVEL:.0f} ng/mL.",
            ),
            Step(
                question=f"Which is the first session of the taper that no longer reaches {LEVEL:.0f} ng/mL?",
                kind="choice",
                solve=_first_below,
                picture=_draw_taper,
                choices=CHOICES,
                shows=(
                    "The peak of the first session of the taper, empty places for the other five with their doses, "
                    "and a line."
                ),
            ),
        ),
        try_next=(
            "Give the smaller doses over 20 min instead of 40. What comes back, and at which price?",
            "Compare with iv_taper_interval, which stretches the intervals and keeps the dose.",
        ),
        scene=Scene(
            patient=bench.ADULT,
            arms=(("taper", PROTOCOL, MODEL), ("flat", "iv_six_and_maintenance", MODEL)),
            limits=(f"{LEVEL:.0f} ng/mL",),
            until="90 d",
        ),
    )
