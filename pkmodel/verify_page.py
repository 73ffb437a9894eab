"""How the rows of a verification read: a table cell, the sentences of the summary, and a page of the documentation."""

from __future__ import annotations

from collections.abc import Sequence

from pkmodel.verify import Row, Verification


def published_text(row: Row) -> str:
    """The published figure as a table prints it: value, range, SD or interval, and unit."""
    return f"{_number(row)} {row.unit}".rstrip()


def _number(row: Row) -> str:
    if row.is_range:
        return f"{row.low:.4g} - {row.high:.4g}"
    text = f"{row.published:.4g}"
    if row.sd is not None:
        return f"{text} (SD {row.sd:.3g})"
    if row.geometric_sd is not None and row.geometric_sd > 1:
        return f"{text} (gSD {row.geometric_sd:.3g})"
    if row.low is not None:
        return f"{text} [{row.low:.4g} - {row.high:.4g}]"
    return text


def page(found: Verification) -> str:
    """The rows as a page of the documentation (Markdown)."""
    lines = [
        "# Models against published figures",
        "",
        "Made by `pkmodel verify --page docs/verification.md`. For research and teaching only, not for patient care.",
        "",
        "*Verification* rows hold a model to its own paper or to the data it was fitted to; *validation* rows hold",
        "it to somebody else's data. Nothing was tuned to any of them, and no row is left out for being far off. A",
        "row marked `must reproduce` follows from the published numbers; a `recorded` one is a known disagreement,",
        "with its reason; the others are `shown`. Means are compared with means over 1,000 virtual patients where the",
        "variability of a model is known, and with its typical patient where it is not.",
        "",
        *(f"* {sentence}" for sentence in sentences(found)),
        "",
    ]
    for model in dict.fromkeys(row.model for row in found.rows):
        lines += [
            f"## {model}",
            "",
            "| study | quantity | published | model | difference | in SD | kind | grade | asked |",
        ]
        lines += ["|---|---|--:|--:|--:|--:|---|---|---|"]
        rows = [row for row in found.rows if row.model == model]
        for row in rows:
            in_sd = "" if row.in_sd is None else f"{row.in_sd:+.1f}"
            asked = row.role.replace("_", " ") + ("" if row.holds else ", **does not hold**")
            lines.append(
                f"| {row.study} | {row.quantity} | {published_text(row)} | {row.simulated:.4g} "
                f"| {row.percent:+.1f} % | {in_sd} | {row.kind} | {row.evidence or ''} | {asked} |"
            )
        lines.append("")
        lines += [f"* {sentence}" for sentence in _said(rows)]
        lines.append("")
    lines += ["## Not compared", "", "| study | quantity | published | why |", "|---|---|---|---|"]
    for item in found.left:
        who = f" ({item.model})" if item.model else ""
        lines.append(f"| {item.study}{who} | {item.quantity} | {item.published} | {item.reason} |")
    return "\n".join(lines) + "\n"


def sentences(found: Verification) -> list[str]:
    """The summary: rows, models, studies, and the share that is near."""
    said = []
    for kind, count in found.counts().items():
        if count["rows"]:
            share = 100 * count["agree"] / count["rows"]
            said.append(
                f"{kind}: {count['rows']} rows, {count['models']} models, {count['studies']} studies; "
                f"{count['agree']} ({share:.0f} %) within 1 SD, inside the published interval, or within 30 %"
            )
    failing = [row for row in found.rows if not row.holds]
    asked = [row for row in found.rows if row.role != "shown"]
    said.append(
        f"{len(asked)} rows have something to hold (must reproduce, or a recorded difference); {len(failing)} do not"
    )
    return said


def _said(rows: Sequence[Row]) -> list[str]:
    """Reasons and notes of the rows, each once, with the rows that they belong to counted."""
    said = [f"{row.quantity}: {row.reason}" for row in rows if row.reason]
    said += [f"{row.study}: {note}" for row in rows for note in row.notes]
    return list(dict.fromkeys(said))
