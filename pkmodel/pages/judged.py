"""What was found: every rule with its verdicts, in sentences and in a table; models together; draws of parameters."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pkmodel import findings, wording
from pkmodel.pages.blocks import Block, Cell, Column, Heading, Items, Section, Strip, Verdict, Words, number, table
from pkmodel.pages.finished import Finished
from pkmodel.pages.grounds import unit_in
from pkmodel.pages.numerals import NONE, percent, percents, quantity, value, whole_percent
from pkmodel.specs.clause import COMBINED
from pkmodel.specs.rule import Rule

Found = Mapping[str, Any]

#: Of more judged windows than this the sentences are left to the table.
_SENTENCES = 12


def section(run: Finished) -> Section:
    """Every rule of the run."""
    n = run.findings["n"]
    rows: Sequence[Found] = run.findings["findings"]
    if not rows:
        return Section("findings", "What was found", (Words("The scenario compares arms and judges no rule."),))
    blocks: list[Block] = [
        Words(
            "A rule is met where the whole interval of the share of patients who keep it lies at or above the required "
            "share, broken where all of it lies below, and undecided at this number of patients otherwise. "
            f"Interval: {run.findings['interval']} (how well {n:,} virtual patients show the share, not how well a "
            "model describes people)."
        )
    ]
    for rule in run.scenario.spec.rules:
        own = [row for row in rows if row["rule"] == rule.id]
        if own:
            blocks += _rule(run, rule, own)
    blocks += _precision(run) + _between(run) + _uncertainty(run)
    return Section("findings", "What was found", tuple(blocks))


def _rule(run: Finished, rule: Rule, rows: Sequence[Found]) -> list[Block]:
    """The sentences and the table of a rule."""
    teaching = any(findings.illustrative(rule, run.models[row["model"]]) for row in rows)
    named = wording.described(rule)
    outputs = {row["output"] for row in rows}
    if len(outputs) == 1:
        named = named.replace(" of parent", f" of {outputs.pop()}")
    named += " (illustrative)" if teaching else ""
    windows = list(dict.fromkeys(row["window"] for row in rows))
    (first, *_) = rows
    required = whole_percent(first["required"])
    head = f"{rule.id}: {named}, required in {required}"
    blocks: list[Block] = [Heading(head)]
    if rule.title:
        blocks.append(Words(rule.title))
    joint = [item for item in run.findings["joint"] if item["rule"] == rule.id]
    if joint:
        blocks.append(Items(tuple(f"{item['arm']}{_over(item['window'])}: {item['sentence']}." for item in joint)))
    elif len(rows) <= _SENTENCES:
        blocks.append(Items(tuple(_sentence(row, run.several) for row in rows)))
    begin = _begin([first["required"], *(row["low"] for row in rows)])
    columns: list[Column | str] = ["Arm"]
    columns += ["Model"] if run.several else []
    columns += ["Window"] if len(windows) > 1 else []
    columns += [
        number("Kept by"),
        number("Patients"),
        number("95 % interval"),
        Column(f"{100 * begin:.0f} to 100 %", "drawn"),
        number("Exact interval"),
        Column("Verdict", "drawn"),
    ]
    cells: list[list[Cell]] = []
    for row in rows:
        line: list[Cell] = [row["arm"]]
        line += [row["model"]] if run.several else []
        line += [row["window"]] if len(windows) > 1 else []
        line += [percent(row["share"]), f"{row['n_met']:,} of {row['n']:,}", percents(row["low"], row["high"])]
        line += [Strip(row["share"], row["low"], row["high"], row["required"], begin)]
        line += [percents(row["exact_low"], row["exact_high"]), Verdict(row["verdict"])]
        cells.append(line)
    limit = "one for each clause"
    if first["limit"] is not None:
        limit = f"{first['limit']:g} {unit_in(run, first)}".rstrip()
    caption = f"{rule.id}{_over(windows[0]) if len(windows) == 1 else ''}. Limit: {limit}; required share: {required}"
    severity = f" Severity of a broken rule: {rule.severity}." if rule.severity else ""
    note = f"The bar is the interval, the dot the share, the upright line the required share.{severity}"
    if rule.source is not None:
        note += f" Source of the rule: {rule.source.citation}."
    blocks.append(table(caption, columns, cells, note))
    return blocks


def _begin(shares: Sequence[float]) -> float:
    """Where the scale of the drawings of a table begins: at a tenth that leaves room below the lowest share."""
    return max(0.0, math.floor(10 * min(shares) - 0.3) / 10)


def _over(window: str) -> str:
    return "" if window == COMBINED else f", {window}"


def _sentence(row: Found, several: bool) -> str:
    who = row["arm"] + (f" on {row['model']}" if several else "")
    return (
        f"{who}{_over(row['window'])}: {percent(row['share'])} of {row['n']:,} patients keep it "
        f"({percents(row['low'], row['high'])}), {whole_percent(row['required'])} are required: {row['verdict']}."
    )


def _precision(run: Finished) -> list[Block]:
    """How many patients a stated precision took."""
    asked = run.findings.get("precision")
    if not asked:
        return []
    aim = "it is decided" if asked.get("decide") else f"its interval is {percent(asked['half_width'])} to either side"
    how = "reached after" if asked["reached"] else "not reached with"
    said = (
        f"Patients were drawn until {asked['rule']} is so well known that {aim}: {how} {asked['n']:,} patients, "
        f"in {asked['looks']} looks. The interval is a {asked['interval']}; those of other rules, and of differences "
        "between arms, do not allow for the looking."
    )
    rows: list[list[Cell]] = [
        [
            item["arm"],
            item["model"],
            item["window"],
            f"{item['n_met']:,} of {item['n']:,}",
            percent(item["share"]),
            percents(item["low"], item["high"]),
            Verdict(item["verdict"]),
        ]
        for item in asked["shares"]
    ]
    columns: list[Column | str] = ["Arm", "Model", "Window", number("Patients"), number("Kept by")]
    columns += [number("Interval"), Column("Verdict", "drawn")]
    return [Heading("Precision"), Words(said), table(f"{asked['rule']} at the last look", columns, rows)]


def _between(run: Finished) -> list[Block]:
    """How far models lie apart."""
    section = run.findings["between_models"]
    if not section["ranges"]:
        return []
    rows: list[list[Cell]] = []
    for item in section["ranges"]:
        what = item["metric"].replace("_", " ")
        what += f" {item['condition']}" if item["condition"] else ""
        what += f" of {item['output']}" if item["output"] else ""
        window = (f"{item['taken']} of " if item["taken"] else "") + item["window"]
        low = f"{value(item['lowest'], 3)} ({item['lowest_model']})"
        high = f"{value(item['highest'], 3)} ({item['highest_model']})"
        ratio = NONE if item["ratio"] is None else f"{item['ratio']:.2f}"
        rows.append([what, item["arm"], window, item["unit"] or NONE, low, high, ratio])
    columns: list[Column | str] = ["What", "Arm", "Window", "Unit", "Lowest median", "Highest median", number("Ratio")]
    n_models = max(item["n_models"] for item in section["ranges"])
    caption = f"The lowest and the highest median of {run.findings['n']:,} patients among {n_models} models"
    return [Heading("Between models"), table(caption, columns, rows, f"{section['holds'].capitalize()}.")]


def _uncertainty(run: Finished) -> list[Block]:
    """The shares over draws of the typical values."""
    found = run.findings.get("uncertainty")
    if not found:
        return []
    columns: list[Column | str] = ["Rule", "Arm", "Model", "Window", number("At typical values"), number("Median")]
    columns += [number("2.5–97.5 % of draws"), number("Draws met"), number("Draws broken")]
    rows: list[list[Cell]] = [
        [
            item["rule"],
            item["arm"],
            item["model"],
            item["window"],
            percent(item["share_at_typical"]),
            percent(item["median"]),
            percents(item["low"], item["high"]),
            percent(item["draws_met"]),
            percent(item["draws_broken"]),
        ]
        for item in found["shares"]
    ]
    drawn = "; ".join(f"{name}: {known}" for name, known in found["drawn"].items())
    draws = found["shares"][0]["draws"] if found["shares"] else 0
    caption = f"Share of {quantity(run.findings['n'], 'patients')} who keep each rule, over {draws} draws"
    note = f"{found['holds'].capitalize()}. Drawn: {drawn}."
    return [Heading("Uncertainty in parameters"), table(caption, columns, rows, note)]
