"""Response in hours against weeks: published means of trials side by side, quoted and never simulated."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

import yaml

from pkmodel.ink import COLOURS
from pkmodel.lessons import bench, pictures
from pkmodel.lessons.steps import Answer, Lesson, Prediction, Scene, Step, amount

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MODEL = "ketamine_kamp2020"
SINGLE = bench.single("35 mg", "40 min")
WHEN = ("Fewer than a tenth", "About a quarter", "More than half", "Nearly all")
APART = "Other patients, designs and comparisons: the figures stand side by side, and none is a result against another."
OPEN = "There was no placebo in this study, and everyone knew what was given: a part of such a fall may be expectation."


@dataclass(frozen=True)
class Published:
    """A published figure: what it is, where it stands, and how well that is known. ``hours`` from the first dose."""

    what: str
    drug: str
    value: float
    unit: str
    design: str
    citation: str
    evidence: str
    hours: float | None = None
    sd: float | None = None
    interval: tuple[float, float] | None = None
    n: int | None = None
    n_total: int | None = None

    @property
    def source(self) -> str:
        return f"{self.citation}; {self.design} (evidence: {self.evidence})"

    @property
    def people(self) -> str:
        """How many, as a picture says it."""
        return f"n = {self.n:,}" if self.n else f"n = {self.n_total} in 4 arms" if self.n_total else "pooled trials"


@cache
def published() -> dict[str, Published]:
    """The figures of the data file by name."""
    text = resources.files("pkmodel.lessons").joinpath("data/response.yaml").read_text(encoding="utf-8")
    return {name: Published(**entry) for name, entry in yaml.safe_load(text).items()}


def _sources(*names: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(published()[name].source for name in names))


@cache
def _two_hours() -> Answer:
    first, week = published()["ketamine_2h"], published()["ssri_day7"]
    result = bench.run(SINGLE, MODEL, until="26 h")
    left = 100 * float(result.level()[0, 120]) / bench.peak(result)
    return Answer(
        value=float(first.value),
        unit="points",
        sentence=(
            f"By {first.value} points (SD {first.sd}, n = {first.n}) after 2 h; on day 7 of escitalopram the fall "
            f"was {week.value} points in pooled trials."
        ),
        numbers=(
            (first.what, first.value, first.unit),
            (week.what, week.value, week.unit),
            (f"level of ketamine after 2 h, of its peak ({MODEL})", left, "%"),
        ),
        why=(
            OPEN,
            "The MADRS runs from 0 to 60 points. It was made for weeks and asks about sleep and appetite too, which "
            "nobody can answer for two hours.",
            f"The level of ketamine is then {left:.0f} % of its peak, by {MODEL}. The score follows another clock "
            "than the level, which this package does not model: its slow response is illustrative.",
            APART,
        ),
        sources=(*_sources("ketamine_2h", "ssri_day7"), bench.source_of(MODEL)),
    )


#: Where each time of the data stands: in order, and not to scale.
PLACES = {2: "2 h", 24: "24 h", 168: "day 7", 336: "day 15", 1344: "week 8"}


def _frame(ax: Axes, title: str) -> None:
    ax.set_xlim(-0.5, 5.2)
    ax.set_ylim(0, 34)
    ax.set_xticks(range(len(PLACES)), list(PLACES.values()))
    y = "mean fall of\nthe MADRS [points]"
    pictures.axes(ax, x="time from the first dose (in order, not to scale)", y=y, title=title)
    pictures.beneath(ax, "published means; lines: SD where published; quoted, not simulated", below=50)


def _point(ax: Axes, name: str, text: str, *, shift: float = 0.0, dy: float = 0.0) -> None:
    """A published mean with its name to the right; hollow where it is the difference from a control."""
    figure = published()[name]
    colour, mark = {"ketamine": (COLOURS[0], "o"), "placebo": ("#666666", "s")}.get(figure.drug, (COLOURS[1], "D"))
    assert figure.hours is not None
    x = list(PLACES).index(int(figure.hours)) + shift
    if figure.sd is not None:
        ax.vlines(x, max(figure.value - figure.sd, 0.0), figure.value + figure.sd, color=colour, linewidth=1.2)
    inside = "white" if "beyond" in figure.what else colour
    ax.plot([x], [figure.value], mark, color=colour, markersize=8, markerfacecolor=inside, zorder=5)
    look: dict[str, Any] = {"xytext": (8, dy), "textcoords": "offset points", "va": "center", "color": colour}
    ax.annotate(text, (x, figure.value), fontsize=pictures.SIZE - 1, **look)


def _draw_two_hours(ax: Axes, revealed: bool, prediction: Prediction) -> None:
    figures = published()
    _frame(ax, "Ketamine and an SSRI: what trials reported")
    if isinstance(prediction, float):
        ax.set_ylim(0, max(34.0, 1.1 * prediction))
        pictures.level_line(ax, prediction, f"you: {amount(prediction)} points", predicted=True)
    _point(ax, "ssri_day7", f"escitalopram\n{figures['ssri_day7'].value} (pooled)")
    if not revealed:
        ax.text(0, 12, "?", fontsize=30, color="#777777", ha="center")
        return
    _point(ax, "ketamine_2h", f"ketamine {figures['ketamine_2h'].value}\nopen label,\nn = 24")
    _point(ax, "ketamine_nasal_24h", f"nose {figures['ketamine_nasal_24h'].value}\nbeyond saline,\nn = 18")
    _point(ax, "ketamine_day15_two", f"ketamine {figures['ketamine_day15_two'].value}", shift=-0.06, dy=7)
    _point(ax, "placebo_day15_two", f"placebo {figures['placebo_day15_two'].value}\nn = 67, 4 arms", shift=0.06, dy=16)
    _point(ax, "ssri_week8", f"escitalopram {figures['ssri_week8'].value}\nbeyond placebo,\nn = 191", dy=8)


@cache
def _relapse() -> Answer:
    figure = published()["ketamine_relapse"]
    return Answer(
        value=float(figure.value),
        unit="d",
        sentence=f"After {figure.value:.0f} days, in the median of those who had responded.",
        numbers=((figure.what, figure.value, figure.unit),),
        why=(
            "Half of the responders had relapsed by then, and half had not; they were followed for up to 83 days.",
            "The drug is gone within a day or two. What ends after weeks is something that it set off.",
            "That is why courses go on: weekly infusions after the six, or a taper. How far a taper works is not "
            "shown by these figures.",
        ),
        sources=_sources("ketamine_relapse"),
    )


def _draw_relapse(ax: Axes, revealed: bool, prediction: Prediction) -> None:
    figure = published()["ketamine_relapse"]
    ax.set_xlim(-13, 60)
    ax.set_ylim(0, 1)
    for day in (0, 2, 4, 7, 9, 11):
        ax.plot([day - 11], [0.3], "^", color=pictures.INK, markersize=10)
    ax.text(-12, 0.42, "six infusions", fontsize=pictures.SIZE)
    if revealed:
        pictures.time_line(ax, figure.value, f"median relapse: {figure.value:.0f} d after the last", height=0.9)
    if isinstance(prediction, float):
        pictures.time_line(ax, prediction, f"you: {amount(prediction)} d", predicted=True, height=0.72)
    pictures.axes(ax, x="days from the last infusion", y="", title="24 patients, open label; 70.8 % had responded")
    ax.set_yticks([])
    pictures.beneath(ax, "published, n = 24; quoted, not simulated")
    ax.grid(visible=False)


@cache
def _late() -> Answer:
    late, first = published()["ssri_late_responders"], published()["ssri_first_week"]
    return Answer(
        value=bench.which(late.value, (10, 40, 80), WHEN),
        sentence=f"{late.value:.0f} % of those who responded to citalopram needed 8 weeks or more.",
        numbers=((late.what, late.value, late.unit), (first.what, first.value, first.unit)),
        why=(
            "That is not the same as nothing before: in a meta-analysis about a third of the effect beyond placebo "
            "after 6 weeks was there after the first. The mean begins to move early, and many people cross the line "
            "late.",
            "An antidepressant taken daily has reached its steady level long before: here, too, the response has a "
            "clock of its own.",
            APART,
        ),
        sources=_sources("ssri_late_responders", "ssri_first_week"),
    )


def _draw_late(ax: Axes, revealed: bool, prediction: Prediction) -> None:
    late = published()["ssri_late_responders"]
    names = ("before week 8", "at week 8 or later")
    values = (100 - late.value, late.value) if revealed else (None, None)
    pictures.bars(ax, names, values, texts=(f"{100 - late.value:.0f} %", f"{late.value:.0f} %"))
    ax.set_ylim(0, 100)
    pictures.axes(ax, x="", y="responders to citalopram [%]", title="STAR*D, first step: when they responded")
    pictures.beneath(ax, "published, n = 2,876, 47 % responded; quoted, not simulated")


def build() -> Lesson:
    """The lesson."""
    return Lesson(
        id="hours_and_weeks",
        title="Response in hours against weeks",
        minutes=9,
        for_whom="psychiatry courses; prescribers",
        intro=(
            "What trials reported of mood after ketamine, beside a conventional antidepressant. All figures are "
            "quoted with their source; none is a prediction, and nothing here is simulated but one level.",
            "The MADRS is a score of depression from 0 to 60. A fall is an improvement.",
        ),
        steps=(
            Step(
                question=(
                    "In one study the mean MADRS fell within 2 h of the first infusion of ketamine. By how many points?"
                ),
                kind="number",
                solve=_two_hours,
                picture=_draw_two_hours,
                unit="points",
                low=0,
                high=40,
                shows=(
                    "The mean fall of the MADRS on day 7 of escitalopram, 3.9 points, on a logarithmic axis of time "
                    "from hours to weeks."
                ),
            ),
            Step(
                question="How many days after the last of six infusions had half of the responders relapsed?",
                kind="number",
                solve=_relapse,
                picture=_draw_relapse,
                unit="d",
                low=1,
                high=60,
                shows="Six infusions in 12 days, and the 60 days after the last.",
            ),
            Step(
                question="Of those who responded to citalopram within 14 weeks, how many needed 8 weeks or more?",
                kind="choice",
                solve=_late,
                picture=_draw_late,
                choices=WHEN,
                shows="Empty places for responders before week 8, and at week 8 or later.",
            ),
        ),
        try_next=(
            "Look up one of the sources. Who was excluded, and what was the comparison?",
            "Attach the illustrative antidepressant response to a course. Which of its numbers could these trials "
            "give, and which not?",
        ),
        scene=Scene(
            patient=bench.ADULT,
            arms=(("six infusions", "iv_six_infusions", MODEL),),
            effects=("antidepressant_response",),
            until="30 d",
        ),
    )
