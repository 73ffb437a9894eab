"""The tab that suggests: a level to reach and hold, a pump, and the course that does it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from htmltools import Tag, tags
from shiny import reactive, render

from pkmodel.app import work
from pkmodel.app.inputs import OURS, act
from pkmodel.app.state import Arm
from pkmodel.errors import PkmodelError
from pkmodel.suggest import Suggestion

if TYPE_CHECKING:
    from pkmodel.app.page import Page

_WAYS = {
    "bolus+infusion": "a bolus, then a pump that is set anew",
    "infusion": "a pump alone",
    "bolus": "one bolus whose peak it is",
}


def wire(page: Page) -> Callable[[str, Mapping[str, Any]], Awaitable[None]]:
    """Wire the tab; the answer is what the buttons of it do: ``(name, fields)``."""
    found: reactive.Value[Suggestion | None] = reactive.value(None, name="found")
    last: dict[str, Arm] = {}
    fits = page.part(lambda shown: shown.sites)  # where these stay, the form does with what was typed

    @render.ui
    def suggest_form() -> Tag:
        of = fits()
        if of.places is None:
            return tags.p(f"{of.model} cannot be steered: it needs an IV route, and doses that add up.")
        return _form(of.model, dict(of.places))

    @render.ui
    def suggestion() -> Tag | None:
        made = found()
        return None if made is None else _shown(made)

    async def show(made: Suggestion | None) -> None:
        async with page.showing():
            if made is not None:
                page.said.set(())
            found.set(made)

    async def do(name: str, fields: Mapping[str, Any]) -> None:
        state = page.history.now
        if name == "suggest" and page.now is not None:
            try:
                made, arm = await page.run(
                    work.suggestion_of, page.now.sites.model, state.person.patient(), dict(fields), slow=True
                )
            except PkmodelError:
                last.clear()
                await show(None)
                raise
            last["arm"] = arm
            await show(made)
        elif name == "follow" and last:
            await page.take(state.with_arm(last["arm"]), anew=True)

    return do


def _form(model: str, sites: Mapping[str, str]) -> Tag:
    def number(name: str, label: str, value: str, unit: str) -> Tag:
        box = tags.input(
            type="number", id=f"s-{name}", data_name=name, value=value, min=0, step="any", inputmode="decimal", **OURS
        )
        return tags.div(
            tags.label(label, for_=f"s-{name}"),
            tags.div(box, tags.span(unit, class_="unit"), class_="box"),
            class_="field",
        )

    def choice(name: str, label: str, choices: Mapping[str, str]) -> Tag:
        options = [tags.option(words, value=key) for key, words in choices.items()]
        box = tags.select(*options, id=f"s-{name}", data_name=name, **OURS)
        return tags.div(tags.label(label, for_=f"s-{name}"), box, class_="field")

    return tags.div(
        tags.p("The dose that reaches a level and holds it, for the patient of the page on ", tags.b(model), "."),
        tags.div(
            number("level", "Level to reach", "100", "ng/mL"),
            number("until", "Hold it until", "60", "min"),
            class_="pair",
        ),
        choice("site", "Where", sites),
        choice("form", "With", _WAYS),
        tags.details(
            tags.summary("A second level; the pump"),
            tags.div(
                number("then", "Then", "", "ng/mL"),
                number("when", "from", "", "min"),
                number("concentration", "Concentration", "10", "mg/mL"),
                number("fastest", "Fastest rate", "1200", "mL/h"),
                class_="two",
            ),
        ),
        act("suggest", "Suggest", class_="main", id="suggest"),
        data_form="",
        class_="form",
    )


def _shown(made: Suggestion) -> Tag:
    """What is suggested, what it does, what it assumes."""
    heads = ("from (min)", "mg", "mg/h", "mL/h")
    rows = [
        tags.tr(
            tags.td(f"{60 * row.time:.3g}"),
            tags.td(f"{row.dose:.3g}" + (" at once" if row.rate is None else "")),
            tags.td("" if row.rate is None else f"{row.rate:.4g}"),
            tags.td("" if row.volume_rate is None else f"{row.volume_rate:.4g}"),
        )
        for row in made.rows
    ]
    table = tags.table(
        tags.caption("What to give", class_="unseen"),
        tags.thead(tags.tr(*(tags.th(head, scope="col") for head in heads))),
        tags.tbody(*rows),
    )
    return tags.div(
        tags.div(*(tags.p(said) for said in made.sentences), aria_live="polite", class_="judge"),
        act("follow", "Put it on the page", class_="main", id="follow"),
        tags.div(table, class_="scroll low", tabindex="0", role="region", aria_label="What to give"),
        tags.details(
            tags.summary("Assumed"), tags.ul(*(tags.li(said) for said in (*made.assumptions, *made.warnings)))
        ),
        class_="form",
    )
