"""The first pass: what is left of a swallowed dose, what becomes of the rest, and what an inhibitor does."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from pkmodel.lessons import bench, pictures
from pkmodel.lessons.steps import Answer, Lesson, Prediction, Scene, Step, amount

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MODEL, OTHER = "esketamine_ashraf2018", "esketamine_perezruixo2021"
MOUTH = bench.single("14 mg", drug="esketamine", route="oral")
VEIN = bench.single("14 mg", "30 min", drug="esketamine")
INHIBITED = {**bench.ADULT, "cyp2b6_activity": 0.0}
LONG = "240 h"
TIMES = ("As much as after the vein", "About twice as much", "About 6 times as much", "About 20 times as much")
WHICH = ("The swallowed dose", "The dose into the vein", "Both by as much", "Neither changes")
NO_AREA = (
    "the paper's own areas of noresketamine cannot be reproduced from its parameters (the model gives 1.4 times more)"
)


@cache
def _areas(model: str = MODEL, inhibited: bool = False) -> tuple[float, float, float, float]:
    """Areas (ng h/mL) of parent and metabolite by mouth, then by vein."""
    patient = INHIBITED if inhibited else bench.ADULT
    found: list[float] = []
    for text in (MOUTH, VEIN):
        result = bench.run(text, model, until=LONG, every="10 min", patient=patient)
        found += [bench.figures(result, name)[0]["auc"] for name in ("parent", "metabolite")]
    return found[0], found[1], found[2], found[3]


@cache
def _what_arrives() -> Answer:
    mouth, _, vein, _ = _areas()
    other = _areas(OTHER)
    share = 100 * mouth / vein
    return Answer(
        value=share,
        unit="%",
        sentence=f"{share:.0f} % of a swallowed dose arrive as esketamine.",
        numbers=(
            ("bioavailability by mouth", share, "%"),
            (f"the same in {OTHER}", 100 * other[0] / other[2], "%"),
            ("area by mouth, 14 mg", mouth, "ng h/mL"),
            ("area by vein, 14 mg", vein, "ng h/mL"),
        ),
        why=(
            "All that is absorbed from the gut passes the gut wall and then the liver before anything else. Both "
            "change esketamine, and both do it before the drug has been anywhere.",
            "A drug that the liver takes out of the blood almost as fast as blood brings it has a low "
            "bioavailability by mouth, however well it dissolves.",
            f"{OTHER}, from other studies, gives {100 * other[0] / other[2]:.0f} %.",
        ),
        sources=(bench.source_of(MODEL), bench.source_of(OTHER)),
    )


def _draw_arrives(ax: Axes, revealed: bool, prediction: Prediction) -> None:
    share = _what_arrives().value
    assert isinstance(share, float)
    names = ("14 mg by vein", "14 mg by mouth")
    said = (1, prediction, f"you: {amount(prediction)} %") if isinstance(prediction, float) else None
    values = (100.0, share if revealed else None)
    pictures.bars(ax, names, values, texts=("100 %", f"{share:.0f} %"), predicted=said)
    pictures.axes(ax, x="", y="reaches the blood as esketamine [%]", title="A swallowed dose")
    pictures.credit(ax, MODEL)


@cache
def _metabolite() -> Answer:
    mouth, nor_mouth, vein, nor_vein = _areas()
    by_mouth, by_vein = nor_mouth / mouth, nor_vein / vein
    ratio = by_mouth / by_vein
    other = _areas(OTHER)
    return Answer(
        value=bench.which(ratio, (1.4, 3.5, 11), TIMES),
        sentence=(
            f"For each ng of esketamine there are {by_mouth:.0f} ng of noresketamine after the mouth and "
            f"{by_vein:.0f} after the vein: {ratio:.0f} times as much."
        ),
        numbers=(
            ("noresketamine for esketamine, by mouth (areas)", by_mouth, ""),
            ("noresketamine for esketamine, by vein (areas)", by_vein, ""),
            ("ratio", ratio, ""),
            (f"ratio in {OTHER}", (other[1] / other[0]) / (other[3] / other[2]), ""),
        ),
        why=(
            "Much of what the first pass takes from the parent it gives to the metabolite. The dose is not lost: it "
            "arrives "
            "as something else.",
            "Whoever compares routes by the level of esketamine alone compares two different mixtures. Whether "
            "noresketamine matters for an effect is another question, and not answered here.",
            f"A caution on {OTHER}: {NO_AREA}. The direction is the same in both models.",
        ),
        sources=(bench.source_of(MODEL), bench.source_of(OTHER)),
    )


def _draw_metabolite(ax: Axes, revealed: bool, prediction: Prediction) -> None:
    ends, top = [], 0.0
    pairs = [("vein", VEIN, 0), ("mouth", MOUTH, 1)]
    for name, text, index in pairs if revealed else pairs[:1]:
        result = bench.run(text, MODEL, until="8 h")
        for output, width in (("parent", 2.4), ("metabolite", 1.3)):
            level = result.level(output)[0]
            look = pictures.style(index) | {"linewidth": width}
            ax.plot(result.time, level, **look)
            said = "esketamine" if output == "parent" else "noresketamine"
            ends.append((float(level[-1]), f"{said}, {name}", look["color"]))
            top = max(top, float(level.max()))
    ax.set_xlim(-0.1, 8)
    ax.set_ylim(0, 1.08 * top)
    pictures.axes(ax, x="hours from the start", y="level [ng/mL]", title="14 mg of esketamine (thin: noresketamine)")
    pictures.names_at_the_end(ax, ends)
    pictures.credit(ax, MODEL)


@cache
def _inhibitor() -> Answer:
    plain, blocked = _areas(), _areas(inhibited=True)
    mouth, vein = blocked[0] / plain[0], blocked[2] / plain[2]
    apart = mouth / vein
    value = WHICH[2] if 1 / 1.1 < apart < 1.1 else WHICH[0] if apart > 1 else WHICH[1]
    return Answer(
        value=value,
        sentence=f"Without CYP2B6 the area rises {mouth:.1f} times by mouth, and {vein:.1f} times by vein.",
        numbers=(("rise of the area by mouth", mouth, "times"), ("rise of the area by vein", vein, "times")),
        why=(
            "By vein, an enzyme only sets how fast drug leaves. By mouth it stands twice in the way: at the first "
            "pass and at every pass after it.",
            "An interaction that is found after an infusion can therefore be far too small for tablets, and the "
            "reverse.",
            "The study gave ticlopidine, which inhibits CYP2B6; an activity of 0 is the end of the scale and not "
            "what ticlopidine does (assumed here, to show the direction).",
        ),
        sources=(bench.source_of(MODEL),),
    )


def _draw_inhibitor(ax: Axes, revealed: bool, prediction: Prediction) -> None:
    plain, blocked = _areas(), _areas(inhibited=True)
    names = ("mouth", "mouth,\nno CYP2B6", "vein", "vein,\nno CYP2B6")
    areas = (plain[0], blocked[0], plain[2], blocked[2])
    values = tuple(area if revealed or index % 2 == 0 else None for index, area in enumerate(areas))
    texts = (
        f"{plain[0]:.0f}",
        f"{blocked[0]:.0f}\n({blocked[0] / plain[0]:.1f} times)",
        f"{plain[2]:.0f}",
        f"{blocked[2]:.0f}\n({blocked[2] / plain[2]:.1f} times)",
    )
    pictures.bars(ax, names, values, texts=texts)
    ax.set_ylim(0, 1.3 * max(areas))
    pictures.axes(ax, x="", y="area of esketamine [ng h/mL]", title="14 mg with and without the enzyme")
    pictures.credit(ax, MODEL)


def build() -> Lesson:
    """The lesson."""
    return Lesson(
        id="first_pass",
        title="First pass and norketamine",
        minutes=10,
        for_whom="pharmacy students; whoever thinks of tablets",
        intro=(
            "14 mg of esketamine, swallowed or given into a vein over 30 min. Gut wall and liver turn esketamine "
            "into noresketamine, mainly by the enzymes CYP3A4 and CYP2B6.",
        ),
        steps=(
            Step(
                question="How many per cent of a swallowed dose arrive in the blood as esketamine?",
                kind="number",
                solve=_what_arrives,
                picture=_draw_arrives,
                unit="%",
                low=0,
                high=100,
                shows="A bar of 100 % for the vein, and an empty place for the mouth.",
            ),
            Step(
                question=(
                    "After swallowing, how much noresketamine is there for each ng of esketamine, compared with "
                    "after the vein (areas under the curves)?"
                ),
                kind="choice",
                solve=_metabolite,
                picture=_draw_metabolite,
                choices=TIMES,
                shows="Levels of esketamine and noresketamine over 8 hours after 14 mg by vein.",
            ),
            Step(
                question="CYP2B6 is inhibited altogether. Whose area of esketamine rises more?",
                kind="choice",
                solve=_inhibitor,
                picture=_draw_inhibitor,
                choices=WHICH,
                shows="Areas of esketamine by mouth and by vein with the enzyme, and empty places without it.",
            ),
        ),
        try_next=(
            "Move the CYP2B6 activity from 1 to 0.5. Is the change half of that to 0?",
            "Find the dose by mouth that gives the area of 14 mg by vein. What is then the level of noresketamine?",
        ),
        scene=Scene(
            patient=bench.ADULT,
            arms=(("mouth", MOUTH, MODEL), ("vein", VEIN, MODEL)),
            outputs=("parent", "metabolite"),
            until="8 h",
        ),
    )
