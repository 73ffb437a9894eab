"""What the command line prints: results on standard output, messages on standard error, readable at 80 columns."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from pkmodel.disclaimer import NOT_FOR_CARE
from pkmodel.errors import printable
from pkmodel.units import clock

if TYPE_CHECKING:
    from pkmodel.outcome import Study
    from pkmodel.simulation import Result
    from pkmodel.verify import Verification

out = Console(highlight=False)
err = Console(stderr=True, soft_wrap=True, highlight=False)

#: What a text may hold besides letters: ends of lines, spaces of any width, what joins letters or keeps them apart.
_KEPT = "\n\t\u00a0\u2009\u202f\u200b\u200c\u200d\u00ad"
_COLOURS = {"met": "green", "broken": "red", "undecided": "yellow"}


def print_json(value: Any) -> None:
    """Print a value as JSON; a NaN in it is an error of ours and not printed."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False, default=_plain) + "\n")


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else str(value)


def text(line: str, *, bold: bool = False, indent: int = 0) -> None:
    """Print a line of plain text, wrapped, whatever brackets are in it."""
    line = escape(printable(line, _KEPT))
    marked = f"[bold]{line}[/bold]" if bold else line
    out.print(Padding(marked, (0, 0, 0, indent)) if indent else marked)


def note(line: str) -> None:
    """Print a message on standard error."""
    err.print(printable(line, "\n"), markup=False)


def table(rows: Sequence[dict[str, Any]], columns: Sequence[str], *, right: Sequence[str] = ()) -> None:
    """Print rows under the names of their columns; the last column wraps, the others never do."""
    shown = Table(box=None, pad_edge=False, header_style="dim")
    for column in columns:
        wraps = column == columns[-1] and column not in right
        head = column.replace("_", " ")
        shown.add_column(head, justify="right" if column in right else "left", no_wrap=not wraps, overflow="fold")
    for row in rows:
        shown.add_row(*(escape(_cell(row[column])) for column in columns))
    out.print(shown)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, (list, tuple)):
        return (" " if any(" " in str(item) for item in value) else ", ").join(map(str, value))
    return str(value)


def listing(rows: Sequence[dict[str, Any]], columns: Sequence[str], below: Sequence[str]) -> None:
    """Print rows of short columns, each with longer texts indented under it; names stay whole."""
    widths = {column: max(len(column), *(len(_cell(row[column])) for row in rows)) for column in columns}
    out.print("  ".join(column.ljust(widths[column]) for column in columns), style="dim", soft_wrap=True)
    for row in rows:
        first, *others = columns
        cells = [f"[bold]{escape(_cell(row[first]).ljust(widths[first]))}[/bold]"]
        cells += [escape(_cell(row[column]).ljust(widths[column])) for column in others]
        out.print("  ".join(cells), soft_wrap=True)
        for key in below:
            if _cell(row[key]):
                text(_cell(row[key]), indent=4)


def decided(acts: Sequence[dict[str, Any]]) -> None:
    """Print what a clinic decided for one patient."""
    if not acts:
        text("The clinic changed nothing.")
        return
    text("What was decided on the day:", bold=True)
    for act in acts:
        seen = f" ({act['seen']})" if act["seen"] else ""
        text(f"session {act['session']}, at {clock(act['time_h'])}, {act['stage']}: {act['act']}{seen}", indent=2)


def study(found: Study, folder: Path) -> None:
    """Print what a run found, what it rests on, and where its files are."""
    spec = found.scenario.spec
    text(spec.title, bold=True)
    if spec.question:
        text(spec.question)
    rules(found)
    _between_models(found)
    _uncertainty(found)
    _clinics(found)
    for sentence in found.precise.said() if found.precise is not None else []:
        text(sentence)
    text(f"n = {found.n:,} virtual patients, seed {spec.seed}. Intervals hold simulation error only.")
    for case in {case.model.id: case for case in found.cases}.values():
        text(f"Model {case.model.id}: evidence {case.model.evidence}. {case.model.source.citation}")
    end(folder, found.assumptions, found.warnings)


def end(folder: Path | None, assumptions: Sequence[str], warnings: Sequence[str] = ()) -> None:
    """Print what a result rests on, where its files are, and what it is not for."""
    from pkmodel import workplace

    for sentence in assumptions:
        text(f"Assumed or borrowed: {sentence}")
    for sentence in warnings:
        note(f"warning: {sentence}")
    if folder is not None:
        text(f"Files in {folder}: {', '.join(workplace.files_in(folder))}")
    text(NOT_FOR_CARE)


def rules(found: Study) -> None:
    """Print every rule judged in every arm, and what an arm changes for the patients against the reference."""
    if not found.results:  # a comparison needs no rule
        return
    _findings(found)
    compare = found.scenario.spec.compare
    if found.pairs and compare is not None:
        text(f"Who breaks a rule, against {compare.reference}, with 95 % intervals", bold=True)
    for pair in found.pairs:
        text(pair.words(), indent=2)


def _findings(found: Study) -> None:
    """One line per rule and window, under it one per arm, or per model of an arm and what they say together."""
    from pkmodel import failing
    from pkmodel.findings import illustrative
    from pkmodel.specs.clause import COMBINED
    from pkmodel.wording import described

    who = failing.sentences(found.results, found.profiles)
    several = len(found.models) > 1
    names = {id(item): f"    {item.model}" if several else f"  {item.arm}" for item in found.results}
    widths = {"arm": max(map(len, names.values())), "kept by": 8, "95 % interval": 14, "required": 8, "verdict": 9}
    if several:  # the required share stands in the heading, to leave room for the names of models
        del widths["required"]
    together = {(joint.rule.id, joint.window, joint.arm): joint for joint in found.joint_verdicts}
    first = True
    for rule in found.scenario.spec.rules:
        for window in dict.fromkeys(item.window for item in found.results if item.rule == rule.id):
            shown = Table(box=None, pad_edge=False, header_style="dim", show_header=first)
            for head, width in widths.items():
                left = head in ("arm", "verdict")
                title = "arm and model" if several and head == "arm" else head
                shown.add_column(title, justify="left" if left else "right", no_wrap=True, min_width=width)
            here = [item for item in found.results if (item.rule, item.window) == (rule.id, window)]
            for index, item in enumerate(here):
                if several and (index == 0 or here[index - 1].arm != item.arm):
                    shown.add_row(escape(f"  {item.arm}"))
                row = [names[id(item)], f"{100 * item.share:.1f} %"]
                row += [f"{100 * item.low:.1f}-{100 * item.high:.1f} %"]
                row += [] if several else [f"{100 * item.required:g} %"]
                shown.add_row(*(escape(cell) for cell in row), f"[{_COLOURS[item.verdict]}]{item.verdict}[/]")
            teaching = any(illustrative(rule, case.model) for case in found.cases)
            said = described(rule) + (" (illustrative)" if teaching else "")
            over = "" if window == COMBINED else f", {window}"
            required = f", required in {100 * rule.share.value:g} %" if several else ""
            mark = f" [{rule.severity}]" if rule.severity else ""
            out.print(f"[bold]{rule.id}[/bold]{escape(mark)}: {escape(said)}{over}{required}")
            out.print(shown)
            for arm in dict.fromkeys(item.arm for item in here):
                if (joint := together.get((rule.id, window, arm))) is not None:
                    line = f"{escape(arm)}: [{_COLOURS.get(joint.verdict, 'yellow')}]{escape(joint.sentence)}[/]"
                    out.print(Padding(line, (0, 0, 0, 2)))
            for item in here:
                if words := who.get((item.rule, item.arm, item.model, window)):
                    text(f"{item.arm}{f', {item.model}' if several else ''}: {words}", indent=2)
            first = False


def _clinics(found: Study) -> None:
    """What clinics did over the whole course, a line per arm and model."""
    for case, sums in zip(found.cases, found.sums, strict=True):
        if not sums.acts:
            continue
        sessions = case.n_sessions
        total: dict[str, int] = {}
        for (_, stage, act), count in sums.acts.items():
            name = act if stage == "session" else f"{stage} {act.partition('. ')[2]}"
            total[name] = total.get(name, 0) + count
        per = found.n * sessions
        said = ", ".join(f"{name} {_percent(count / per)}" for name, count in total.items() if count)
        files = "clinic.csv has every session, ledger.parquet every check"
        text(f"{case.arm.name}, of {sessions} sessions each: {said} ({files})")


def _percent(share: float) -> str:
    """A share in percent: a decimal, and two digits of what is below 1 %."""
    return f"{100 * share:.1f} %" if share >= 0.01 or share == 0 else f"{100 * share:.2g} %"


def _uncertainty(found: Study) -> None:
    """The shares over draws of the typical values, a line for each rule, arm and model."""
    from pkmodel.specs.clause import COMBINED

    if not found.uncertain:
        return
    drawn = [
        f"{name} of {model.id}, {model.parameters[name].known}"
        for model in found.models.values()
        for name in model.uncertain
    ]
    text("Uncertainty in parameters: share of patients, 2.5-97.5 % over draws of the typical values", bold=True)
    for item in found.uncertain:
        who = item.arm + (f" on {item.model}" if len(found.models) > 1 else "")
        share = f"{100 * item.median:.1f} % ({100 * item.low:.1f}-{100 * item.high:.1f} %)"
        verdicts = f"met in {100 * item.draws_met:.0f} %, broken in {100 * item.draws_broken:.0f} % of the draws"
        over = "" if item.window == COMBINED else f", {item.window}"
        text(f"{item.rule}, {who}{over}: {share}; {verdicts}", indent=2)
    text(f"{found.uncertain[0].draws} draws of {'; of '.join(drawn)}; every other number counts as known.", indent=2)


def _between_models(found: Study) -> None:
    """How far the models of an arm lie apart, a line for each metric."""
    from pkmodel.request import OF_BASELINE

    if not found.model_ranges:
        return
    text("Between models: the lowest and the highest median over patients", bold=True)
    for item in found.model_ranges:
        asked = item.question
        said = asked.condition.split(", ") if asked.condition else []
        of_output = [word for word in said if word in (*OF_BASELINE.values(), "illustrative")]
        what = " ".join([asked.metric.replace("_", " "), ", ".join(word for word in said if word not in of_output)])
        what = f"{item.arm}: {what.rstrip()}{f' of {asked.output}' if asked.output else ''}"
        what += "".join(f" ({word})" if word == "illustrative" else f", {word}" for word in of_output)
        what += f", {f'{asked.taken} of ' if asked.taken else ''}{asked.window}"
        (low, lowest), (high, highest) = item.lowest, item.highest
        ratio = f", ratio {item.ratio:.2f}" if item.ratio is not None else ""
        unit = f" {item.unit}" if item.unit else ""
        ends = [f"{value:.3g}{unit}" if value < float("inf") else "never" for value in (lowest, highest)]
        text(f"{what}: {ends[0]} ({low}) to {ends[1]} ({high}){ratio}", indent=2)


def _figures(row: Mapping[Any, Any]) -> dict[str, str]:
    """How high an output or effect went, and when; or how low, where it falls as levels rise."""
    from pkmodel import units

    if row["peak"] is None:
        return {"lowest": f"{row['lowest']:.4g}"}
    found = {"peak": f"{row['peak']:.4g}", "at": units.clock(row["time_of_peak"])}
    return found | ({} if row["auc"] is None else {"AUC_[x_h]": f"{row['auc']:.4g}"})


def sessions(result: Result, rows: Sequence[Mapping[Any, Any]]) -> None:
    """Print the sessions of one patient: what was given, and how high each output and effect went."""
    text(result.protocol.title if result.protocol else "", bold=True)
    text(f"Model {result.model.id} (evidence: {result.model.evidence}), one patient with typical parameters")
    for name, unit in result.model.observables.items():
        if name in result.network.effects and all(row["output"] != name for row in rows):
            text(f"{name}: a formula of levels, shown in tables and pictures")
            continue
        note_of = ", illustrative" if result.model.illustrative(name) else ""
        counted = unit or ("no unit" if result.model.effects[name].turnover else "fraction of maximal effect")
        out.print(f"[bold]{name}[/bold], {counted}{note_of}")
        shown = [
            {
                "session": row["session"],
                "day": f"{row['start_h'] / 24 + 1:g}",
                "dose_mg": f"{row['dose_mg']:.4g}",
                **_figures(row),
                "before_dose": f"{row['trough']:.3g}",
                "phase": row["phase"],
            }
            for row in rows
            if row["output"] == name
        ]
        table(shown, tuple(shown[0]), right=tuple(key for key in shown[0] if key != "phase"))
    if any(row.get("lowest") is not None for row in rows):
        text("lowest: the strongest effect, where an effect falls as levels rise.")
    text(f"Times from the start of the session; AUC until the next session (24 h after the last). {NOT_FOR_CARE}")


def verification(found: Verification) -> None:
    """Print every row of published figure and model, by model and study, and the summary."""
    from pkmodel.verify_page import published_text, sentences

    lines = [
        (
            row.quantity,
            published_text(row),
            f"{row.simulated:.4g}",
            f"{row.percent:+.1f} %",
            "" if row.in_sd is None else f"{row.in_sd:+.1f}",
        )
        for row in found.rows
    ]
    heads = ("quantity", "published", "model", "difference", "in SD")
    widths = [max(map(len, column)) for column in zip(heads, *lines, strict=True)]

    def line(cells: Sequence[str]) -> str:
        aligned = [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
        return escape("  ".join(["", cells[0].ljust(widths[0]), *aligned]))

    model, study = "", ("", "")
    for row, cells in zip(found.rows, lines, strict=True):
        if row.model != model:
            model, study = row.model, ("", "")
            out.print(f"\n[bold]{escape(model)}[/bold]", soft_wrap=True)
            out.print(line(heads), style="dim", soft_wrap=True)
        if (row.study, row.kind) != study:
            study = (row.study, row.kind)
            grade = f", {row.evidence}" if row.evidence else ""
            out.print(f"[dim]{escape(row.study)} ({row.kind}{grade})[/dim]", soft_wrap=True)
        mark = {"must_reproduce": "must hold", "recorded": "recorded", "shown": ""}[row.role]
        if row.role != "shown":
            mark = f"[green]{mark}[/green]" if row.holds else f"[red]{mark}, DOES NOT[/red]"
        out.print(f"{line(cells)}  {mark}".rstrip(), soft_wrap=True)
    out.print()
    for row in found.rows:
        if not row.holds:
            asked = f"{row.expected_percent or 0:+.1f} % +- {row.within_percent:g}"
            text(f"does not hold: {row.model}, {row.study}, {row.quantity}: {row.percent:+.2f} %, expected {asked}")
    for sentence in sentences(found):
        text(sentence)
    count = len(found.left)
    text(f"{count} published figures are not compared, each with its reason: --json or --page FILE.md")
    text(NOT_FOR_CARE)
