"""What ``pkmodel compare`` prints: every measure in every arm, what sets arms apart, and what it rests on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pkmodel import console

if TYPE_CHECKING:
    from pkmodel.comparison import Comparison
    from pkmodel.dominance import Share
    from pkmodel.paired import Median
    from pkmodel.side_by_side import Cell, Row

_SHORT = {
    "auc": "AUC",
    "accumulation_ratio": "accumulation",
    "whole course": "course",
    "mean session": "per session",
    "last session against first": "last session",
    "whole course, as base": "as base",
    "whole course, as written": "as written",
}
#: Letters of a line that names need beside their numbers.
_ROOM = 26
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def show(found: Comparison, folder: Path | None) -> None:
    """The table, what it rests on, and where the files are."""
    from pkmodel import apart, paired
    from pkmodel.specs import defaults

    request, cases = found.request, found.study.cases
    letters = {case.arm.name: _LETTERS[index % 26] * (1 + index // 26) for index, case in enumerate(cases)}
    chosen = {item.arm: item for item in request.chosen}
    console.text("Side by side", bold=True)
    for case in cases:
        choice, model = chosen[case.arm.name], case.model
        mark = ", the reference" if case.arm.name == request.reference else ""
        console.text(f"{letters[case.arm.name]}  {case.arm.name}{mark}: {case.arm.protocol.title}", bold=True)
        how = f"by default: {choice.why}" if choice.default else choice.why
        console.text(f"Model {model.id} ({how})", indent=3)
        console.text(f"Evidence {model.evidence}, {model.sampling} sampling. {model.source.citation}", indent=3)
        if request.populations:
            console.text(f"Population {request.populations[case.arm.name]}", indent=3)
    console.text("Median over patients (5-95 %)", bold=True)
    rows = []
    for row in found.rows:
        rows.append({"measure": _named(row), **{letters[cell.arm]: _cell(cell) for cell in row.cells}})
    _table(rows)
    for case in cases:
        if case.arm.name != request.reference:
            _against(found, case.arm.name, letters)
    _slopes(found)
    console.rules(found.study)
    seeds = " and ".join(str(scenario.spec.seed) for scenario in request.scenarios)
    many = f" in each population, seeds {seeds}" if request.others else f", seed {seeds}"
    pairs = len(request.apart) < len(cases) - 1  # some arm has the patients of the reference
    console.text(f"n = {found.study.n:,} virtual patients{many}.{f' {paired.HOLDS}.' if pairs else ''}")
    if request.apart:
        console.text(f"Populations have patients of their own, who are paired with nobody. {apart.HOLDS}.")
    if pairs:
        where = "every arm of a population" if request.others else "every arm"
        console.text(f"Patients are paired: the same age, weight, height, sex and ancestry in {where}.")
    for sentence in found.pairing:
        console.text(sentence, indent=2)
    told = request.discharge
    why = f"{told.evidence}: {told.why}" if told.why else told.evidence
    watched = "; ".join(
        f"for {drug} {route} not before {item.hours:g} h after the last dose ({item.evidence}: {item.source})"
        for (drug, route), item in defaults.OBSERVED.items()
    )
    console.text(
        f"Clinic hours: from the start of a session until {told.bound} for good ({why}), and not before its last dose; "
        f"{watched}. No minimum was read for any other drug or route."
    )
    if request.thresholds == (defaults.THRESHOLD.bound,):
        taken = defaults.THRESHOLD
        console.text(f"Time above {taken.bound.threshold.text}: {taken.evidence}, {taken.why}.")
    console.text("Accumulation: area per mg over one dosing interval (at most 24 h), last session over first.")
    for sentence in found.cautions:
        console.text(f"Beware: {sentence}")
    console.end(folder, found.study.assumptions, found.study.warnings)


def _slopes(found: Comparison) -> None:
    """How exposure grows with the dose, where arms differ in it."""
    from pkmodel import proportionality

    if not found.slopes:
        return
    console.text("Does exposure grow as the dose does? log(exposure) = a + b log(dose)", bold=True)
    for slope in found.slopes:
        console.text(f"{', '.join(slope.arms)}: {slope.words()}. {slope.n:,} patients.", indent=2)
    console.text(f"{proportionality.HOLDS}. Dose: mg of base given to each patient in the first session.", indent=2)


def _against(found: Comparison, arm: str, letters: dict[str, str]) -> None:
    """One arm against the reference, patient by patient."""
    base = found.request.reference
    rows = []
    told = [(row, next(cell for cell in row.cells if cell.arm == arm)) for row in found.rows]
    for row, cell in told:
        if cell.difference is not None:
            ratio = _interval(cell.ratio) if cell.ratio is not None else ""
            rows.append({"measure": _named(row), "difference": _interval(cell.difference), "ratio": ratio})
    own, other = letters[arm], letters[base]
    groups = arm in found.request.apart
    how = "of the medians of two groups, not of patients," if groups else "patient by patient,"
    console.text(f"{own} - {other} and {own} / {other}, {how} with 95 % intervals", bold=True)
    _table(rows)
    who = f"pairs of a patient of {own} and one of {other}" if groups else "patients"
    console.text(f"{own} against {other}: in what percent of {who}, with 95 % intervals", bold=True)
    _table(_sides(told))


def _named(row: Row) -> str:
    """A measure in few words: of the parent drug unless it says of what."""
    measure = row.measure
    short = replace(measure, name=_SHORT.get(measure.name, measure.name), of=_SHORT.get(measure.of, measure.of))
    short = replace(short, output="" if measure.output == "parent" else measure.output)
    return f"{short}{f' [{row.unit}]' if row.unit else ''}"


def _table(rows: Sequence[dict[str, str]]) -> None:
    """Names before their numbers; where there is no room for both, above them. Numbers never wrap."""
    from rich.markup import escape
    from rich.table import Table

    name, *others = rows[0]
    widths = {column: max(len(column), *(len(row[column]) for row in rows)) for column in others}
    if console.out.width - sum(widths.values()) - 2 * len(others) < _ROOM:
        head = "  ".join(column.rjust(width) for column, width in widths.items())
        console.out.print(f"[dim]{escape(f'  {head}')}[/dim]", soft_wrap=True)
        for row in rows:
            numbers = "  ".join(row[column].rjust(width) for column, width in widths.items())
            console.out.print(f"{escape(row[name])}\n  {escape(numbers)}", soft_wrap=True)
        return
    shown = Table(box=None, pad_edge=False, header_style="dim")
    for place, column in enumerate(rows[0]):
        head = "" if place == 0 else column
        shown.add_column(head, justify="right" if place else "left", no_wrap=place > 0, overflow="fold")
    for row in rows:
        shown.add_row(*map(escape, row.values()))
    console.out.print(shown)


def _cell(cell: Cell) -> str:
    if cell.median is None or cell.p5 is None or cell.p95 is None:
        return cell.note
    middle, low, high = (_number(value, "never") for value in (cell.median, cell.p5, cell.p95))
    text = middle if low == high else f"{middle} ({low}-{high})"
    return f"{text}, {cell.note}" if cell.note else text


def _sides(told: Sequence[tuple[Row, Cell]]) -> list[dict[str, str]]:
    """How often an arm is lower, equal, higher; and infinite in both, where that is ever so."""
    rows = []
    untold = any(cell.sides.untold for _, cell in told if cell.sides is not None)
    for row, cell in told:
        if (of := cell.sides) is None:
            continue
        percent = {side: _percent(getattr(of, side), interval=side != "equal") for side in ("lower", "equal", "higher")}
        rows.append({"measure": _named(row), **percent})
        if untold:
            rows[-1]["never in both"] = f"{100 * of.untold / of.n:.1f}"
    return rows


def _percent(of: Share, *, interval: bool) -> str:
    text = f"{100 * of.share:.1f}"
    return f"{text} ({100 * of.low:.1f} to {100 * of.high:.1f})" if interval else text


def _interval(of: Median) -> str:
    middle = _number(of.value)
    if of.low is None or of.high is None:
        return f"{middle} (n too small)"
    low, high = _number(of.low), _number(of.high)
    return middle if low == high == middle else f"{middle} ({low} to {high})"


def _number(value: float, infinite: str = "infinite") -> str:
    if not math.isfinite(value):
        return infinite if value > 0 else f"-{infinite}"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 1e-3 or value == 0 else f"{value:.0e}"
