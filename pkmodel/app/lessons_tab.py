"""The tab of lessons: choose one, read, predict, reveal, play on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from htmltools import Tag, TagList, tags
from shiny import Session, reactive, render, ui

from pkmodel.app.drawn import picture, ratio_of, size_of
from pkmodel.app.inputs import OURS, act
from pkmodel.app.picture import DPI, drawn, scale_of
from pkmodel.app.scene import state_of
from pkmodel.errors import InputError, PkmodelError
from pkmodel.lessons import LESSONS, Lesson, Step, lesson, worksheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from pkmodel.app.page import Page


@dataclass(frozen=True)
class Place:
    """Where a class is in a lesson; ``prediction`` is what it said, ``revealed`` whether the answer is shown."""

    id: str
    step: int = 0
    prediction: str | float | None = None
    revealed: bool = False

    @property
    def lesson(self) -> Lesson:
        """The lesson."""
        return lesson(self.id)

    @property
    def now(self) -> Step:
        """The step of it."""
        return self.lesson.steps[self.step]


def wire(page: Page, session: Session) -> Any:
    """Wire the tab; the answer is what the buttons of it do: ``(name, arg, fields)``."""
    place: reactive.Value[Place | None] = reactive.value(None)
    _texts(place)

    async def go(to: Place | None) -> None:
        place.set(to)
        await page.tell("lesson", to.id if to is not None else "")

    async def do(name: str, arg: str, fields: Mapping[str, Any]) -> None:
        with reactive.isolate():
            now = place()
        try:
            match name:
                case "lesson":
                    lesson(arg)
                    await go(Place(arg))
                case "lessons":
                    await go(None)
                case "reveal" if now is not None:
                    said = now.now.check(fields.get("prediction"))
                    page.said.set(())
                    await go(replace(now, prediction=said, revealed=True))
                case "step" if now is not None and now.step + 1 < len(now.lesson.steps):
                    await go(Place(now.id, now.step + 1))
                case "again" if now is not None:
                    await go(Place(now.id, now.step))
                case "play" if now is not None and await page.take(state_of(now.lesson.scene), anew=True):
                    await page.tell("tab", "curves")
        except PkmodelError as error:
            page.refuse(error)

    @picture
    def lesson_picture() -> dict[str, Any] | None:
        now = place()
        if now is None:
            return None
        width, height = size_of(session, "lesson_picture")
        made = drawn(_figure(now, width, height), ratio_of(session))
        return {"picture": made, "alt": now.now.alt(revealed=now.revealed)}

    @render.ui
    def lesson_head() -> Tag:
        now = place()
        if now is None:
            return tags.h2("Lessons")
        return tags.div(
            tags.p(f"{now.lesson.title} \u2013 question {now.step + 1} of {len(now.lesson.steps)}", class_="over"),
            tags.h2(now.now.question),
            class_="lesson-head",
        )

    @render.ui
    def lesson_answer() -> Tag:
        now = place()
        said = []
        if now is not None and now.revealed:
            answer = now.now.answer()
            mark = tags.span("illustrative", class_="mark") if answer.illustrative else None
            said = [tags.p(tags.b(answer.judge(now.prediction)), " ", answer.sentence, " ", mark)]
        return tags.div(*said, class_="answer", aria_live="polite")

    @render.download_link(filename="worksheet.html")
    def sheet() -> Any:
        yield _sheet(place, with_answers=False)

    @render.download_link(filename="worksheet_with_answers.html")
    def sheet_answers() -> Any:
        yield _sheet(place, with_answers=True)

    return do


def _sheet(place: reactive.Value[Place | None], *, with_answers: bool) -> str:
    with reactive.isolate():
        now = place()
    if now is None:
        raise InputError(())
    return worksheet(now.lesson, with_answers=with_answers)


def _figure(now: Place, width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    scale = scale_of(width)
    page = Figure(figsize=(width / DPI / scale, height / DPI / scale), dpi=DPI * scale, layout="constrained")
    now.now.draw(page.add_subplot(), revealed=now.revealed, prediction=now.prediction)
    return page


def _texts(place: reactive.Value[Place | None]) -> None:
    """The list of lessons, or the lesson that is open."""

    @render.ui
    def lesson_list() -> Tag:
        if place() is not None:
            return tags.div(act("lessons", "\u2190 All lessons"))
        entries = [
            tags.li(
                act("lesson", one.title, arg=one.id, class_="entry"),
                tags.small(f"{one.minutes} min, {one.for_whom}", class_="hint"),
            )
            for one in LESSONS.values()
        ]
        return tags.div(tags.p("Predict first, then reveal."), tags.ol(*entries, class_="lessons"))

    @render.ui
    def lesson_step() -> TagList | None:
        now = place()
        if now is None:
            return None
        of = now.lesson
        parts: list[Any] = [tags.h3(of.title)]
        if now.step == 0 and not now.revealed:
            parts += [tags.p(said) for said in of.intro]
        parts.append(_answer(now) if now.revealed else _question(now.now))
        if now.revealed and now.step + 1 == len(of.steps):
            parts += [tags.h3("Try next"), tags.ul(*(tags.li(said) for said in of.try_next))]
        parts.append(
            tags.div(
                act("play", "Put it on the page", title="Curves, doses and sliders of this lesson, to play on with"),
                ui.download_link("sheet", "Worksheet", class_="button"),
                ui.download_link("sheet_answers", "Worksheet with answers", class_="button"),
                class_="downloads",
            )
        )
        return TagList(*parts)


def _question(step: Step) -> Tag:
    """The form of a prediction."""
    if step.kind == "choice":
        boxes = [
            tags.div(
                tags.input(
                    type="radio", name="prediction", id=f"choice-{index}", value=words, data_name="prediction", **OURS
                ),
                tags.label(words, for_=f"choice-{index}"),
                class_="tick",
            )
            for index, words in enumerate(step.choices)
        ]
        asked: Tag = tags.fieldset(tags.legend("What do you predict?"), *boxes)
    else:
        ends = f"from {step.low:g} to {step.high:g} {step.unit}".strip()
        asked = tags.div(
            tags.label(f"What do you predict? ({ends})", for_="prediction"),
            tags.div(
                tags.input(
                    type="number",
                    id="prediction",
                    data_name="prediction",
                    min=step.low,
                    max=step.high,
                    step="any",
                    **OURS,
                ),
                tags.span(step.unit, class_="unit"),
                class_="box",
            ),
            class_="field",
        )
    return tags.div(
        tags.p(step.question, class_="question"),
        asked,
        act("reveal", "Reveal", class_="main", id="reveal"),
        data_form="",
        class_="form",
    )


def _answer(now: Place) -> Tag:
    """The answer with its reasons, numbers and sources."""
    answer = now.now.answer()
    unit = now.now.unit if isinstance(now.prediction, float) else ""
    rows = [
        tags.tr(tags.th(label, scope="row"), tags.td(f"{value:.4g} {unit_}".strip()))
        for label, value, unit_ in answer.numbers
    ]
    more = now.step + 1 < len(now.lesson.steps)
    said = f"{now.prediction:g} {unit}".strip() if isinstance(now.prediction, float) else str(now.prediction)
    return tags.div(
        tags.p(now.now.question, class_="question"),
        tags.p("You said: ", tags.b(said)),
        tags.p(answer.judge(now.prediction), class_="judge"),
        tags.p(answer.sentence),
        *(tags.p(words) for words in answer.why),
        tags.table(tags.caption("The numbers"), tags.tbody(*rows), class_="plain") if rows else None,
        tags.details(tags.summary("What it rests on"), tags.ul(*(tags.li(words) for words in answer.sources))),
        tags.div(
            act("step", "Next question", class_="main", id="next") if more else None,
            act("again", "Predict again"),
            class_="downloads",
        ),
        class_="form",
    )
