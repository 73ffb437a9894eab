"""The figures of a run, each with what is seen on it in words, for whoever does not see it."""

from __future__ import annotations

from pkmodel import wording
from pkmodel.pages.blocks import Block, Picture, Section, Words
from pkmodel.pages.finished import Finished, Top
from pkmodel.pages.grounds import unit_of
from pkmodel.pages.numerals import quantity, value

#: Arms, models and outputs that a description names one by one.
_NAMED = 6


def section(run: Finished) -> Section:
    """The figures, in the order in which they are looked at."""
    described = {"bands.png": _bands(run), "models.png": _models(run), "session_peaks.png": _peaks(run)}
    blocks: list[Block] = []
    for name, png in run.pictures.items():
        caption, alt = described[name]
        blocks.append(Picture(name, png.content, png.width, png.height, alt, caption))
    if not blocks:
        blocks.append(Words("No figures were drawn in this run."))
    return Section("figures", "Figures", tuple(blocks))


def _bands(run: Finished) -> tuple[str, str]:
    spec = run.scenario.spec
    many = len(run.scenario.arms) > 1 or run.several
    caption = (
        f"Levels and effects over the first {spec.observe.span.text} of each session: median and bands of "
        f"{run.findings['n']:,} virtual patients, with the limits of the rules."
    )
    alt = f"Curves over time{', a panel to each arm and model' if many else ''}: "
    alt += "the median with bands of 25 to 75 and 5 to 95 % of patients. "
    alt += " ".join(_top(run, top) for top in run.tops[:_NAMED])
    if len(run.tops) > _NAMED:
        alt += f" {len(run.tops) - _NAMED} more curves are in bands.parquet."
    limits = "; ".join(f"{rule.id}, {wording.described(rule)}" for rule in spec.rules)
    return caption, alt + (f" Lines mark the limits of rules: {limits}." if limits else "")


def _top(run: Finished, top: Top) -> str:
    model = f" on {top.model}" if run.several else ""
    teaching = " (illustrative)" if _illustrative(run, top) else ""
    highest = max(top.medians)
    where = top.medians.index(highest) + 1
    at = f" in session {where}" if len(top.medians) > 1 and min(top.medians) < 0.98 * highest else ""
    unit = top.unit or f"({unit_of(run.models[top.model], top.output)})"  # only effects have none
    return (
        f"{top.arm}{model}: the median of {top.output}{teaching} rises to {quantity(highest, unit, 3)}{at}, "
        f"the 95th percentile to {quantity(top.p95, unit, 3)}."
    )


def _illustrative(run: Finished, top: Top) -> bool:
    model = run.models.get(top.model)
    return model is not None and model.illustrative(top.output)


def _models(run: Finished) -> tuple[str, str]:
    caption = f"The medians of all models in one panel; {run.findings['n']:,} virtual patients under each."
    parents = [top for top in run.tops if run.models[top.model].parent == top.output]
    low, high = (end(parents, key=lambda top: max(top.medians)) for end in (min, max))
    alt = (
        f"One curve to each of {len(run.models)} models. The lowest rises to "
        f"{quantity(max(low.medians), low.unit, 3)} ({low.model}), the highest to "
        f"{quantity(max(high.medians), high.unit, 3)} ({high.model})."
    )
    return caption, alt


def _peaks(run: Finished) -> tuple[str, str]:
    caption = (
        f"The highest level of every session: boxes hold the middle half of {run.findings['n']:,} virtual patients, "
        "lines reach from the 5th to the 95th percentile."
    )
    alt = (
        "A box to each session and arm: the middle half of the patients' highest levels with the median across, and a "
        "line from the 5th to the 95th percentile. The middle of the levels, at its highest: "
    )
    parents = [top for top in run.tops if run.models[top.model].parent == top.output]
    alt += " ".join(_course(run, top) for top in parents[:_NAMED])
    return caption, alt


def _course(run: Finished, top: Top) -> str:
    """How the median of the levels' highest point goes over the sessions."""
    who = top.arm + (f" on {top.model}" if run.several else "")
    first, last = top.medians[0], top.medians[-1]
    if len(top.medians) == 1:
        return f"{who}: about {quantity(first, top.unit, 3)}."
    if max(top.medians) < 1.02 * min(top.medians):
        return f"{who}: about {quantity(first, top.unit, 3)} in every session."
    return (
        f"{who}: about {quantity(first, top.unit, 3)} in session 1 and {value(last, 3)} in session "
        f"{len(top.medians)}, {value(min(top.medians), 3)} to {value(max(top.medians), 3)} over the course."
    )
