"""Arms beside arms, and patients beside patients: comparison, numbers needed, clinics, and who breaks a rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pkmodel.pages.blocks import Block, Cell, Column, Heading, Items, Section, Table, Words, number, table
from pkmodel.pages.finished import Finished
from pkmodel.pages.grounds import unit_in
from pkmodel.pages.numerals import NONE, percent, percents, points, quantity, value

#: Covariates that are shown of those who break a rule; failing.csv has all.
_COVARIATES = 4
#: Groups of patients that are shown; failing.csv has all.
_GROUPS = 24


def arms(run: Finished) -> Section | None:
    """The comparison of arms; None where there is none."""
    blocks = _comparison(run) + _needed(run)
    return Section("comparison", "Arms compared", tuple(blocks)) if blocks else None


def _comparison(run: Finished) -> list[Block]:
    rows: Sequence[Mapping[str, Any]] = run.findings["comparison"]
    if not rows:
        return []
    columns: list[Column | str] = ["What", "Arm"]
    columns += ["Model"] if run.several else []
    columns += ["Unit", number("Median"), number("Median of the reference"), number("Ratio, median of patients")]
    columns += [number(f"{word} (95 % interval)") for word in ("Lower in", "Equal in", "Higher in")]
    cells: list[list[Cell]] = []
    for row in rows:
        condition = f" {row['condition']}" if row["condition"] else ""
        what = f"{row['metric'].replace('_', ' ')}{condition}{_of(run, row)}, {row['window']}"
        line: list[Cell] = [what, row["arm"]]
        line += [row["model"]] if run.several else []
        line += [unit_in(run, row) or NONE, value(row["median"]), value(row["median_reference"])]
        line += [value(row["median_ratio"])]
        for share, low, high in (
            ("share_lower", "low", "high"),
            ("share_equal", "equal_low", "equal_high"),
            ("share_higher", "higher_low", "higher_high"),
        ):
            line.append(f"{percent(row[share])} ({percents(row[low], row[high])})")
        cells.append(line)
    reference = rows[0]["reference"]
    caption = f"Every arm against {reference}, patient by patient; n = {rows[0]['n']:,} in each arm"
    note = (
        "Each patient is compared with themselves in the other arm. Intervals are of the share and hold simulation "
        "error only."
    )
    if untold := sum(row["n_untold"] for row in rows):
        note += f" Pairs of which neither can be told to be higher: {untold:,}."
    return [table(caption, columns, cells, note)]


def _of(run: Finished, row: Mapping[str, Any]) -> str:
    """The output of a metric, and that it is illustrative."""
    if not row["output"]:
        return ""
    model = run.models.get(row["model"])
    teaching = model is not None and model.illustrative(row["output"])
    return f" of {row['output']}{' (illustrative)' if teaching else ''}"


def _needed(run: Finished) -> list[Block]:
    found = run.findings.get("needed")
    if not found:
        return []
    pairs: Sequence[Mapping[str, Any]] = found["pairs"]
    columns: list[Column | str] = ["Rule", "Arm"]
    columns += ["Model"] if run.several else []
    columns += ["Window", number("Both keep it"), number("Only the reference"), number("Only the arm")]
    columns += [number("Neither"), number("Difference, points"), number("Needed to treat")]
    cells: list[list[Cell]] = []
    for pair in pairs:
        line: list[Cell] = [pair["rule"], pair["arm"]]
        line += [pair["model"]] if run.several else []
        ends = f"{points(pair['low'])} to {points(pair['high'])}"
        needed = NONE
        if pair["needed"] is not None:
            needed = f"{value(pair['needed'], 3)} ({pair['effect']})" if pair["effect"] else value(pair["needed"], 3)
        counts = [pair[key] for key in ("both_keep", "only_reference_keeps", "only_arm_keeps", "neither_keeps")]
        line += [pair["window"], *(NONE if count is None else f"{count:,}" for count in counts)]
        line += [f"{points(pair['difference'])} ({ends})", needed]
        cells.append(line)
    caption = f"Patients by who keeps each rule, against {pairs[0]['reference']}; n = {pairs[0]['n']:,}"
    note = f"Difference: patients who break the rule in the arm less those in the reference. {found['holds']}."
    said = Items(tuple(pair["said"] for pair in pairs))
    return [Heading("What an arm changes for the patients"), said, table(caption, columns, cells, note)]


def clinics(run: Finished) -> Section | None:
    """What clinics did over the whole course; None where none decides."""
    rows: Sequence[Mapping[str, Any]] = run.findings.get("clinic") or []
    if not rows:
        return None
    cells: list[list[Cell]] = []
    of_act: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        of_act.setdefault((row["arm"], row["model"], row["stage"], row["act"]), []).append(row)
    for (arm, model, stage, act), acts in of_act.items():
        patients = sum(item["patients"] for item in acts)
        if not patients:
            continue
        most = max(acts, key=lambda item: item["patients"])
        line: list[Cell] = [act, stage, arm]
        line += [model] if run.several else []
        line += [percent(patients / (run.findings["n"] * len(acts)))]
        line += [f"{percent(most['share'])} (session {most['session']})", percent(acts[-1]["share"])]
        cells.append(line)
    columns: list[Column | str] = ["What", "When", "Arm"]
    columns += ["Model"] if run.several else []
    columns += [number("Of all sessions"), number("Most in one session"), number("In the last session")]
    caption = f"Share of {run.findings['n']:,} patients in whom it was done; what was never done is left out"
    note = "clinic.csv has every session, ledger.parquet every check of every patient."
    return Section("clinic", "What was done on the day", (table(caption, columns, cells, note),))


def failing(run: Finished) -> Section | None:
    """Who breaks the rules that are broken or undecided; None where nobody breaks any."""
    verdicts = {_key(row): row["verdict"] for row in run.findings["findings"]}
    groups: dict[tuple[str, ...], list[Mapping[str, str]]] = {}
    for row in run.failing:
        if verdicts.get(_key(row), "met") != "met":
            groups.setdefault(_key(row), []).append(row)
    if not groups:
        return None
    blocks: list[Block] = [Words(f"{_capital(run.findings['failing']['holds'])}.")]
    said = [
        ", ".join([item["rule"], item["arm"], *([item["model"]] if run.several else []), item["window"]])
        + f": {item['said']}."
        for item in run.findings["failing"]["said"]
    ]
    if said:
        blocks.append(Items(tuple(said)))
    shown = list(groups.items())[:_GROUPS]
    parts: list[tuple[str, tuple[tuple[Cell, ...], ...]]] = []
    for (rule, arm, model, window), rows in shown:
        breaks, rest = (int(rows[0][name]) for name in ("n_failing", "n_rest"))
        where = ", ".join([rule, arm, *([model] if run.several else []), window])
        lines = [
            (
                row["covariate"] + (f": {row['level']}" if row["level"] else ""),
                _middle(row, "failing"),
                _middle(row, "rest"),
                _difference(row),
            )
            for row in rows[:_COVARIATES]
        ]
        parts.append((f"{where}: {breaks:,} of {breaks + rest:,} break it", tuple(lines)))
    columns = (Column("Covariate"), number("Who break it"), number("The rest"), number("Difference (95 % interval)"))
    note = (
        f"Medians with quartiles, or shares. Of each group the {_COVARIATES} covariates that differ most; "
        "failing.csv has all, and those of rules that are met."
    )
    if len(groups) > len(shown):
        note += f" Shown are {len(shown)} of {len(groups)} groups."
    blocks.append(Table("Patients who break a rule beside the rest", columns, tuple(parts), note))
    return Section("failing", "Who breaks the rules", tuple(blocks))


def _key(row: Mapping[str, Any]) -> tuple[str, ...]:
    return (row["rule"], row["arm"], row["model"], row["window"])


def _middle(row: Mapping[str, str], name: str) -> str:
    if row["level"]:
        return percent(float(row[name]))
    low, high = (float(row[f"{name}_{end}"]) for end in ("p25", "p75"))
    return f"{quantity(float(row[name]), row['unit'], 3)} ({value(low, 3)}–{value(high, 3)})"


def _difference(row: Mapping[str, str]) -> str:
    """The difference of means or of shares."""
    unit = "points" if row["level"] else row["unit"]

    def said(name: str) -> str:
        number = float(row[name])
        return points(number) if row["level"] else f"{number:+.3g}".replace("-", "−")

    text = f"{said('difference')} {unit}".rstrip()
    return f"{text} ({said('low')} to {said('high')})" if row["low"] and row["high"] else text


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
