"""``pkmodel lessons``: the guided lessons, and one of them as a worksheet to print."""

from __future__ import annotations

from typing import Annotated

import typer

from pkmodel import console
from pkmodel.cli import running
from pkmodel.cli.options import JsonFlag
from pkmodel.disclaimer import NOT_FOR_CARE
from pkmodel.whole import whole

HELP = "List the guided lessons; `lessons show ID -o worksheet.html` writes one to print, with --answers at its end."
lessons = typer.Typer(invoke_without_command=True, rich_markup_mode=None, help=HELP)
Id = Annotated[str, typer.Argument(help="An id of the list.")]


@lessons.callback()
def list_lessons(context: typer.Context, as_json: JsonFlag = False) -> None:
    """List the guided lessons; `lessons show ID -o worksheet.html` writes one to print, with --answers at its end."""
    if context.invoked_subcommand:
        return
    from pkmodel.lessons import LESSONS

    rows = [
        {
            "name": lesson.id,
            "minutes": lesson.minutes,
            "steps": len(lesson.steps),
            "title": lesson.title,
            "for_whom": lesson.for_whom,
        }
        for lesson in LESSONS.values()
    ]
    if as_json:
        console.print_json(rows)
    else:
        console.listing(rows, ("name", "minutes", "steps"), ("title", "for_whom"))
        console.text(NOT_FOR_CARE)


@lessons.command("show")
def show_lesson(
    name: Id,
    answers: Annotated[bool, typer.Option("--answers", help="With the answers, computed now.")] = False,
    output: Annotated[str | None, typer.Option("-o", "--out", help="File: .html, to print on A4.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Print a lesson, its questions and, with --answers, what comes out; or write it as a worksheet."""
    from pkmodel.lessons import lesson as find
    from pkmodel.lessons import worksheet

    file = running.out_file(output, (".html", ".htm"))
    lesson = find(name)
    if file is not None:
        text = worksheet(lesson, with_answers=answers)
        with whole(file) as part:
            part.write_text(text, encoding="utf-8")
        console.note(f"{file}: {lesson.title}{', with answers' if answers else ''}. {NOT_FOR_CARE}")
        return
    steps = []
    for step in lesson.steps:
        shown: dict[str, object] = {"question": step.question, "kind": step.kind}
        shown |= {"choices": step.choices} if step.choices else {"unit": step.unit, "range": [step.low, step.high]}
        if answers:
            answer = step.answer()
            shown["answer"] = {
                "value": answer.value,
                "sentence": answer.sentence,
                "numbers": [{"label": label, "value": value, "unit": unit} for label, value, unit in answer.numbers],
                "why": answer.why,
                "sources": answer.sources,
                "illustrative": answer.illustrative,
            }
        steps.append(shown)
    if as_json:
        head = {"disclaimer": NOT_FOR_CARE, "name": lesson.id, "title": lesson.title, "intro": lesson.intro}
        console.print_json({**head, "steps": steps, "try_next": lesson.try_next})
        return
    console.text(lesson.title, bold=True)
    for paragraph in lesson.intro:
        console.text(paragraph)
    for number, step in enumerate(lesson.steps, start=1):
        console.text(f"{number}. {step.question}", bold=True)
        for choice in step.choices:
            console.text(f"[ ] {choice}", indent=3)
        if answers:
            answer = step.answer()
            said = f"{answer.value}. " if isinstance(answer.value, str) else ""
            for line in (said + answer.sentence, *answer.why):
                console.text(line, indent=3)
    console.text(NOT_FOR_CARE)
