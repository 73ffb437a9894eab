"""What a 95 % interval means: many small studies of the same question, and the spread of people beside it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import yaml
from numpy.typing import NDArray

from pkmodel.findings import wilson
from pkmodel.lessons import bench, pictures
from pkmodel.lessons.steps import Answer, Lesson, Prediction, Scene, Step, amount

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]

MODEL, POPULATION, SEED = "ketamine_kamp2020", "adults_trials", 7
DOSE = bench.single("0.5 mg/kg", "40 min")
LIMIT = 270.0
STUDIES, SMALL, TIMES = 100, 40, 4
EFFECT_OF_SIZE = (
    "Interval and spread both become half as wide",
    "The interval becomes half as wide, the spread stays",
    "The interval becomes a quarter as wide, the spread stays",
    "The spread becomes half as wide, the interval stays",
)
BORROWED = "between-subject variability is borrowed from esketamine_otto2021, in volume and clearance alone"


@dataclass(frozen=True)
class _Studies:
    """Shares below the limit of many studies of the same size, with their intervals, (k,) each; of 1, not of 100."""

    share: Floats
    low: Floats
    high: Floats

    @property
    def width(self) -> float:
        return float((self.high - self.low).mean())


@cache
def _peaks() -> Floats:
    """Peaks (n,) ng/mL of virtual adults: the level at the end of the infusion, which in this model is the peak."""
    from pkmodel.population import sample_covariates, sample_effects
    from pkmodel.simulation import simulate
    from pkmodel.specs.library import load_model, load_population, load_protocol

    model = load_model(MODEL)
    people = sample_covariates(load_population(POPULATION), SEED, 0, STUDIES * SMALL * TIMES)
    people = sample_effects(people, model, SEED)
    result = simulate(load_protocol(yaml.safe_load(DOSE)), model, people, until="40 min", every="40 min")
    found: Floats = result.level()[:, -1]
    return found


@cache
def _truth() -> float:
    """The share below the limit in all of them."""
    return float((_peaks() < LIMIT).mean())


@cache
def _studies(size: int) -> _Studies:
    """So many studies of ``size`` patients each, one after the other."""
    met = (_peaks()[: STUDIES * size].reshape(STUDIES, size) < LIMIT).sum(axis=1)
    ends = np.array([wilson(int(count), size) for count in met])
    return _Studies(met / size, ends[:, 0], ends[:, 1])


def _missed(studies: _Studies) -> NDArray[np.bool_]:
    missed: NDArray[np.bool_] = (studies.low > _truth()) | (studies.high < _truth())
    return missed


@cache
def _how_many() -> Answer:
    studies = _studies(SMALL)
    missed = int(_missed(studies).sum())
    return Answer(
        value=float(missed),
        unit="of 100",
        sentence=(
            f"{missed} of the {STUDIES} intervals miss the {100 * _truth():.1f} % of all {_peaks().size:,} patients."
        ),
        numbers=(
            ("studies", float(STUDIES), ""),
            ("patients in each", float(SMALL), ""),
            ("intervals that miss", float(missed), ""),
            ("share below the limit in all patients", 100 * _truth(), "%"),
            ("lowest share of a study", 100 * float(studies.share.min()), "%"),
            ("highest share of a study", 100 * float(studies.share.max()), "%"),
        ),
        why=(
            "A 95 % interval is made by a rule that catches the long-run share in about 95 of 100 studies. Which "
            "ones it misses nobody who has a single study can tell.",
            "It does not say that 95 % of patients lie within it, and it says nothing of whether the model is right.",
            "In pkmodel such an interval holds simulation error only: how well this many virtual patients show the "
            "share.",
        ),
        sources=(bench.source_of(MODEL) + "; " + BORROWED, "Wilson EB. J Am Stat Assoc 1927;22:209-212 (the interval)"),
    )


def _draw_studies(ax: Axes, revealed: bool, prediction: Prediction) -> None:
    studies = _studies(SMALL)
    missed = _missed(studies)
    count = STUDIES if revealed else 5
    x = np.arange(1, count + 1)
    for flags, look in ((~missed, pictures.style(0)), (missed, pictures.style(1))):
        flags = flags[:count] if revealed else np.ones(count, dtype=bool) & (look == pictures.style(0))
        colour = look["color"]
        ax.vlines(
            x[flags],
            100 * studies.low[:count][flags],
            100 * studies.high[:count][flags],
            color=colour,
            linewidth=1.6 if look == pictures.style(0) else 2.6,
        )
        ax.plot(
            x[flags],
            100 * studies.share[:count][flags],
            "o" if look == pictures.style(0) else "D",
            color=colour,
            markersize=4,
        )
    ax.set_xlim(0, STUDIES + 1)
    ax.set_ylim(max(0.0, 100 * float(studies.low.min()) - 20), 104)
    if revealed:
        text = f"all {_peaks().size:,}: {100 * _truth():.1f} %; {int(missed.sum())} intervals miss it (diamonds)"
        ax.axhline(100 * _truth(), color=pictures.LIMIT, linestyle="--", linewidth=1.6, zorder=1)
        said = f"\nyou: {amount(prediction)}" if isinstance(prediction, float) else ""
        ax.text(
            0.01,
            0.03,
            text + said,
            transform=ax.transAxes,
            fontsize=pictures.SIZE,
            va="bottom",
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85},
        )
    pictures.axes(
        ax,
        x=f"study (n = {SMALL} patients each)",
        y=f"peak below {LIMIT:.0f} ng/mL [% of patients]",
        title="0.5 mg/kg over 40 min: share with 95 % interval",
    )
    pictures.credit(ax, MODEL, more=f"virtual adults, n = {SMALL} a study")


@cache
def _spread(size: int) -> float:
    """The width (ng/mL) of the middle 90 % of patients' peaks, on average over studies of a size."""
    quantiles = np.quantile(_peaks()[: STUDIES * size].reshape(STUDIES, size), (0.05, 0.95), axis=1)
    return float((quantiles[1] - quantiles[0]).mean())


@cache
def _four_times() -> Answer:
    large = SMALL * TIMES
    interval = _studies(large).width / _studies(SMALL).width
    spread = _spread(large) / _spread(SMALL)
    if 0.8 < spread < 1.25:
        value = EFFECT_OF_SIZE[1] if interval > 0.37 else EFFECT_OF_SIZE[2]
    else:
        value = EFFECT_OF_SIZE[3] if interval > 0.8 else EFFECT_OF_SIZE[0]
    return Answer(
        value=value,
        sentence=(
            f"With {large} patients instead of {SMALL} the interval is {interval:.2f} times as wide, the spread "
            f"between patients {spread:.2f} times."
        ),
        numbers=(
            (f"width of the interval, n = {SMALL}", 100 * _studies(SMALL).width, "percentage points"),
            (f"width of the interval, n = {large}", 100 * _studies(large).width, "percentage points"),
            (f"middle 90 % of peaks, n = {SMALL}", _spread(SMALL), "ng/mL"),
            (f"middle 90 % of peaks, n = {large}", _spread(large), "ng/mL"),
        ),
        why=(
            "The interval shrinks with the square root of the number of patients: four times as many, half as wide.",
            "People do not become more alike because there are more of them. The band of the middle 90 % of "
            "patients describes them; the interval describes how well a figure is known. (A small study sees a "
            "little less of the tails, so its spread is a little too small.)",
            "A narrow interval around a model that is wrong is narrow all the same.",
        ),
        sources=(bench.source_of(MODEL) + "; " + BORROWED,),
    )


def _draw_sizes(ax: Axes, revealed: bool, prediction: Prediction) -> None:
    large = SMALL * TIMES
    widths = (_studies(SMALL).width, _studies(large).width)
    spreads = (_spread(SMALL), _spread(large))
    names = (f"interval,\nn = {SMALL}", f"interval,\nn = {large}", f"spread,\nn = {SMALL}", f"spread,\nn = {large}")
    values = (
        100.0,
        100 * widths[1] / widths[0] if revealed else None,
        100.0,
        100 * spreads[1] / spreads[0] if revealed else None,
    )
    texts = (
        f"{100 * widths[0]:.0f} points",
        f"{100 * widths[1]:.0f} points",
        f"{spreads[0]:.0f} ng/mL",
        f"{spreads[1]:.0f} ng/mL",
    )
    pictures.bars(ax, names, values, texts=texts)
    ax.set_ylim(0, 130)
    pictures.axes(ax, x="", y=f"width [% of that at n = {SMALL}]", title="Four times as many patients")
    pictures.credit(ax, MODEL, more=f"virtual adults, means of {STUDIES} studies")


def build() -> Lesson:
    """The lesson."""
    return Lesson(
        id="intervals",
        title="What a 95 % interval means",
        minutes=9,
        for_whom="whoever reads findings; statistics for pharmacists",
        intro=(
            f"Is the peak after 0.5 mg/kg over 40 min below {LIMIT:.0f} ng/mL? A study of {SMALL} virtual adults "
            "reports the share, with a 95 % interval.",
            f"{STUDIES} such studies are made, each with other adults.",
        ),
        steps=(
            Step(
                question=f"How many of the {STUDIES} intervals miss the share that all the patients together show?",
                kind="number",
                solve=_how_many,
                picture=_draw_studies,
                unit="of 100",
                low=0,
                high=100,
                shows="The shares of the first 5 studies with their intervals, which differ.",
            ),
            Step(
                question=(
                    f"What happens with {TIMES} times as many patients in each study, to the 95 % interval of the "
                    "share, and to the spread between patients (the middle 90 % of peaks)?"
                ),
                kind="choice",
                solve=_four_times,
                picture=_draw_sizes,
                choices=EFFECT_OF_SIZE,
                shows=(
                    "Bars for the width of the interval and of the spread in small studies, and empty places for "
                    "larger ones."
                ),
            ),
        ),
        try_next=(
            "Run one scenario with another seed. Does the verdict stay? Should it?",
            "Change the model and keep the patients. Is the change smaller or larger than the interval?",
        ),
        scene=Scene(
            patient=bench.ADULT,
            arms=(("0.5 mg/kg", DOSE, MODEL),),
            population=(POPULATION, 1000),
            limits=(f"{LIMIT:.0f} ng/mL",),
            until="4 h",
        ),
    )
