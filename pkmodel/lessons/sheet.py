"""A lesson on paper: self-contained HTML for A4, its pictures in it, room to write, the answers on a last page."""

from __future__ import annotations

import base64
import io
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from pkmodel.disclaimer import NOT_FOR_CARE
from pkmodel.lessons.steps import Lesson, Prediction, Step, amount

if TYPE_CHECKING:
    import jinja2
    from matplotlib.figure import Figure


def figure(
    step: Step, *, revealed: bool, prediction: Prediction = None, size: tuple[float, float] = (8.0, 3.9)
) -> Figure:
    """The picture of a step on a figure of its own, in inches, with room for the names beside it."""
    from matplotlib.figure import Figure

    made = Figure(figsize=size, layout="constrained")
    step.draw(made.add_subplot(), revealed=revealed, prediction=prediction)
    return made


@lru_cache(maxsize=128)
def _uri(step: Step, revealed: bool) -> str:
    """A picture as a data URI."""
    held = io.BytesIO()
    figure(step, revealed=revealed, size=(7.4, 3.0 if revealed else 2.6)).savefig(
        held, dpi=150, format="png", metadata={"Software": None}
    )
    return "data:image/png;base64," + base64.b64encode(held.getvalue()).decode("ascii")


@cache
def _template() -> jinja2.Template:
    import jinja2

    loader = jinja2.PackageLoader("pkmodel.lessons", "templates")
    made = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    made.undefined = jinja2.StrictUndefined
    return made.get_template("worksheet.html")


def page(lesson: Lesson, *, with_answers: bool) -> str:
    """A lesson as HTML without any reference to elsewhere; with the answers on pages of their own at the end.

    Without ``with_answers`` nothing in the page gives an answer away.
    """
    steps = [{"step": step, "picture": _uri(step, False), "alt": step.alt(revealed=False)} for step in lesson.steps]
    answers = []
    if with_answers:
        for step in lesson.steps:
            answers.append(
                {"step": step, "answer": step.answer(), "picture": _uri(step, True), "alt": step.alt(revealed=True)}
            )
    sources = dict.fromkeys(source for item in answers for source in item["answer"].sources)  # type: ignore[attr-defined]
    if not with_answers:
        sources = dict.fromkeys(source for step in lesson.steps for source in step.answer().sources)
    return _template().render(
        lesson=lesson, steps=steps, answers=answers, sources=list(sources), amount=amount, disclaimer=NOT_FOR_CARE
    )
