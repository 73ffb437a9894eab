"""Ideal against actual weight: what a basis does to the dose, and what models say of weight and levels."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from pkmodel.lessons import bench, pictures
from pkmodel.lessons.steps import Answer, Lesson, Prediction, Scene, Step, amount

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MODEL, FLAT = "ketamine_kamp2020", "esketamine_perezruixo2021"
HEAVY = {"weight": "120 kg", "height": "165 cm", "age": "40 y", "sex": "female"}
LIGHT = HEAVY | {"weight": "60 kg"}
BASES = ("actual", "adjusted", "ideal")
COMPARED = ("Clearly lower", "About the same (within 5 %)", "A little higher (up to a third)", "About twice as high")
CUSTOM = "Capping the dosing weight, or taking the ideal one in obesity, is customary and unsourced"


def _text(basis: str, drug: str) -> str:
    return bench.single("0.5 mg/kg", "40 min", drug=drug, weight={"basis": basis})


@cache
def _given(basis: str) -> float:
    """The dose (mg) of the heavy woman on a basis."""
    result = bench.run(_text(basis, "ketamine"), MODEL, until="4 h", patient=HEAVY)
    return float(result.schedule.sessions[0].given[0])


@cache
def _peak(model: str, basis: str, light: bool) -> float:
    drug = "esketamine" if model.startswith("esketamine") else "ketamine"
    return bench.peak(bench.run(_text(basis, drug), model, until="4 h", patient=LIGHT if light else HEAVY))


@cache
def _by_ideal() -> Answer:
    doses = [_given(basis) for basis in BASES]
    return Answer(
        value=doses[2],
        unit="mg",
        sentence=f"By ideal weight 0.5 mg/kg make {doses[2]:.1f} mg, by actual weight {doses[0]:.0f} mg.",
        numbers=tuple((f"dose by {basis} weight", dose, "mg") for basis, dose in zip(BASES, doses, strict=True)),
        why=(
            f"Her ideal weight after Devine is {2 * doses[2]:.1f} kg: 45.5 kg and 2.3 kg for each inch above 5 "
            "feet. It does not know what she weighs.",
            "The adjusted weight is the ideal one and 40 % of what lies above it.",
            "The basis of a dose per kilogram is a choice. The same order, 0.5 mg/kg, means half as much under "
            "another one.",
        ),
        sources=(
            "Devine BJ. Drug Intell Clin Pharm 1974;8:650 (ideal weight)",
            "Bauer LA, et al. Eur J Clin Pharmacol 1983;24:643 (adjusted weight)",
            CUSTOM,
        ),
    )


def _draw_doses(ax: Axes, revealed: bool, prediction: Prediction) -> None:
    doses = [_given(basis) for basis in BASES]
    values = (doses[0], doses[1] if revealed else None, doses[2] if revealed else None)
    said = (2, prediction, f"you: {amount(prediction)} mg") if isinstance(prediction, float) else None
    names = tuple(f"{basis} weight" for basis in BASES)
    pictures.bars(ax, names, values, texts=tuple(f"{dose:.1f} mg" for dose in doses), predicted=said)
    ax.set_ylim(0, 1.2 * max(doses[0], prediction if isinstance(prediction, float) else 0.0))
    pictures.axes(ax, x="", y="dose [mg]", title="0.5 mg/kg for a woman of 120 kg and 165 cm")


@cache
def _against_light(model: str) -> float:
    """Her peak by actual weight over that of the light woman."""
    return _peak(model, "actual", False) / _peak(model, "actual", True)


def _compared(model: str) -> str:
    return bench.which(_against_light(model), (0.95, 1.05, 1.34), COMPARED)


def _numbers(model: str) -> tuple[tuple[str, float, str], ...]:
    return (
        ("peak, 120 kg, by actual weight (60 mg)", _peak(model, "actual", False), "ng/mL"),
        ("peak, 120 kg, by ideal weight", _peak(model, "ideal", False), "ng/mL"),
        ("peak, 60 kg, by actual weight (30 mg)", _peak(model, "actual", True), "ng/mL"),
        ("ratio of the peaks by actual weight", _against_light(model), ""),
    )


@cache
def _scaled() -> Answer:
    ratio, ideal = _against_light(MODEL), _peak(MODEL, "ideal", False) / _peak(MODEL, "actual", True)
    return Answer(
        value=_compared(MODEL),
        sentence=(
            f"With twice the dose her peak is {_peak(MODEL, 'actual', False):.0f} ng/mL, the other's "
            f"{_peak(MODEL, 'actual', True):.0f}: {ratio:.2f} times as high."
        ),
        numbers=_numbers(MODEL),
        why=(
            "In this model volumes grow with weight as the dose does, and clearance a little less (with the power "
            "of 0.75). So a dose per kilogram of actual weight gives the heavier person nearly the same level.",
            f"Dosed by ideal weight, her peak would be {100 * ideal:.0f} % of the other woman's.",
            "That volumes grow in proportion up to 120 kg is put into the model and not found by it. Much of what "
            "she weighs more is fat, which blood reaches slowly.",
        ),
        sources=(bench.source_of(MODEL), CUSTOM),
    )


@cache
def _flat() -> Answer:
    ratio, ideal = _against_light(FLAT), _peak(FLAT, "ideal", False) / _peak(FLAT, "actual", True)
    return Answer(
        value=_compared(FLAT),
        sentence=f"In {FLAT} her peak is {ratio:.2f} times as high, since nothing in it depends on weight.",
        numbers=_numbers(FLAT),
        why=(
            "Its authors tested an effect of weight in 820 people and kept none. Then every milligram counts "
            "the same in everyone, and a dose per kilogram makes heavy people's levels high.",
            f"Dosed by ideal weight, her peak would be {100 * ideal:.0f} % of the other woman's: the very basis "
            "that would leave her short in the first model puts her right in this one.",
            "A later analysis with Japanese people (doi 10.1002/cpdd.1214) did find an effect: a fifth less exposure "
            "for "
            "each 30 kg more.",
            "Which of the two is nearer to the truth decides whether to cap. The models cannot decide it; data in "
            "heavy people would.",
        ),
        sources=(bench.source_of(FLAT), bench.source_of(MODEL)),
    )


def _draw_peaks(model: str, title: str) -> pictures.Draw:
    def draw(ax: Axes, revealed: bool, prediction: Prediction) -> None:
        light, heavy, ideal = _peak(model, "actual", True), _peak(model, "actual", False), _peak(model, "ideal", False)
        names = ("60 kg, actual\n(30 mg)", "120 kg, actual\n(60 mg)", f"120 kg, ideal\n({_given('ideal'):.1f} mg)")
        values = (light, heavy if revealed else None, ideal if revealed else None)
        pictures.bars(ax, names, values, texts=tuple(f"{value:.0f}" for value in (light, heavy, ideal)))
        ax.set_ylim(0, 2.4 * light)
        drug = model.partition("_")[0]
        pictures.axes(ax, x="", y=f"peak of {drug} [ng/mL]", title=title)
        pictures.credit(ax, model, more="typical women of 165 cm")

    return draw


def build() -> Lesson:
    """The lesson."""
    return Lesson(
        id="dosing_weight",
        title="Ideal against actual weight",
        minutes=9,
        for_whom="prescribers; pharmacy students",
        intro=(
            "Two women of 165 cm, one of 60 kg and one of 120 kg. Both are to have 0.5 mg/kg over 40 min. Per "
            "kilogram of what?",
        ),
        steps=(
            Step(
                question="By actual weight the woman of 120 kg gets 60 mg. How many mg does she get by ideal weight?",
                kind="number",
                solve=_by_ideal,
                picture=_draw_doses,
                unit="mg",
                low=10,
                high=80,
                shows="A bar of 60 mg by actual weight, and empty places for adjusted and ideal weight.",
            ),
            Step(
                question=(
                    "Both are dosed by actual weight, 30 mg and 60 mg of ketamine. By a model in which volumes and "
                    "clearance grow with weight, how high is the heavier woman's peak beside the other's?"
                ),
                kind="choice",
                solve=_scaled,
                picture=_draw_peaks(MODEL, "A model that scales with weight"),
                choices=COMPARED,
                shows="A bar of the lighter woman's peak, and empty places for the heavier one's.",
            ),
            Step(
                question="And by a model of esketamine whose authors found no effect of weight?",
                kind="choice",
                solve=_flat,
                picture=_draw_peaks(FLAT, "A model without an effect of weight"),
                choices=COMPARED,
                shows="A bar of the lighter woman's peak, and empty places for the heavier one's.",
            ),
        ),
        try_next=(
            "Set a dose cap of 40 mg. Whom does it change, and by how much?",
            "Run the scenario dosing_weight_in_obesity: how many patients leave the limits under each basis?",
        ),
        scene=Scene(
            patient=HEAVY,
            arms=(
                ("actual", _text("actual", "ketamine"), MODEL),
                ("ideal", _text("ideal", "ketamine"), MODEL),
            ),
            until="4 h",
        ),
    )
