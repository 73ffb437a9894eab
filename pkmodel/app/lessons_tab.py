"""The tab of lessons: choose one, read, predict, reveal, play on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from htmltools import Tag, TagList, tags
from shiny import Session, reactive, render, ui

from pkmodel.app import work
from pkmodel.app.downloads import made
from pkmodel.app.drawn import look_of, picture
from pkmodel.app.inputs import OURS, act
from pkmodel.app.picture import Look, Picture
from pkmodel.app.scene import state_of
from pkmodel.lessons import LESSONS, Lesson, Step, lesson
from pkmodel.lessons.steps import Answer

if TYPE_CHECKING:
    from pkmodel.app.page import Page


@dataclass(frozen=True)
class Place:
    """Where a class is in a lesson; ``prediction`` is what it said, ``answer`` what the engine says, once revealed."""

    id: str
    step: int = 0
    prediction: str | float | None = None
    answer: Answer | None = None

    @property
    def revealed(self) -> bool:
        """Whether the answer is shown."""
        return self.answer is not None

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
    place: reactive.Value[Place | None] = reactive.value(None, name="place")
    drawn: reactive.Value[tuple[Picture, str]] = reactive.value(name="drawn")
    now: list[Place | None] = [None]
    """The same, outside of Shiny's reactions."""
    _texts(place)

    async def go(to: Place | None) -> None:
        now[0] = to
        async with page.showing():
            page.said.set(())
            place.set(to)
        await page.tell("lesson", to.id if to is not None else "")

    async def do(name: str, arg: str, fields: Mapping[str, Any]) -> None:
        at = now[0]
        match name:
            case "lesson":
                lesson(arg)
                await go(Place(arg))
            case "lessons":
                await go(None)
            case "reveal" if at is not None:
                said = at.now.check(fields.get("prediction"))
                answer = await page.run(work.lesson_answer, at.id, at.step, slow=True)
                await go(replace(at, prediction=said, answer=answer))
            case "step" if at is not None and at.step + 1 < len(at.lesson.steps):
                await go(Place(at.id, at.step + 1))
            case "again" if at is not None:
                await go(Place(at.id, at.step))
            case "play" if at is not None:
                await page.take(state_of(at.lesson.scene), anew=True)
                await page.tell("tab", "curves")

    async def draw(at: Place, look: Look) -> None:
        made = await page.run(work.lesson_picture, at.id, at.step, at.revealed, at.prediction, look, slow=True)
        if at == now[0]:
            async with page.showing():
                drawn.set(made)

    @reactive.effect
    def _draw() -> None:
        at, look = place(), look_of(session, "lesson_picture")
        if at is not None and look is not None:
            page.ask(partial(draw, at, look))

    @picture
    def lesson_picture() -> dict[str, Any]:
        made, alt = drawn()
        return {"picture": made, "alt": alt}

    @render.ui
    def lesson_head() -> Tag:
        at = place()
        if at is None:
            return tags.h2("Lessons")
        return tags.div(
            tags.p(f"{at.lesson.title} \u2013 question {at.step + 1} of {len(at.lesson.steps)}", class_="over"),
            tags.h2(at.now.question),
            class_="lesson-head",
        )

    @render.ui
    def lesson_answer() -> Tag:
        at = place()
        said = []
        if at is not None and at.answer is not None:
            answer = at.answer
            mark = tags.span("illustrative", class_="mark") if answer.illustrative else None
            said = [tags.p(tags.b(answer.judge(at.prediction)), " ", answer.sentence, " ", mark)]
        return tags.div(*said, class_="answer", aria_live="polite")

    @render.download_link(filename="worksheet.html")
    def sheet() -> Any:
        return _sheet(page, now[0], with_answers=False)

    @render.download_link(filename="worksheet_with_answers.html")
    def sheet_answers() -> Any:
        return _sheet(page, now[0], with_answers=True)

    return do


async def _sheet(page: Page, at: Place | None, *, with_answers: bool) -> AsyncIterator[Any]:
    if at is not None:
        async for part in made(page, work.lesson_sheet, at.id, with_answers):
            yield part


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
    answer = now.answer
    assert answer is not None
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
