"""The tab that suggests: a level to reach and hold, a pump, and the course that does it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from htmltools import Tag, tags
from shiny import Session, reactive, render

from pkmodel.app import compute
from pkmodel.app.compute import Curves
from pkmodel.app.inputs import OURS, act
from pkmodel.app.scene import arm_of_text
from pkmodel.app.state import State
from pkmodel.errors import InputError, PkmodelError, Problem
from pkmodel.suggest import Pump, Suggestion, suggest

if TYPE_CHECKING:
    from pkmodel.app.page import Page

_WAYS = {
    "bolus+infusion": "a bolus, then a pump that is set anew",
    "infusion": "a pump alone",
    "bolus": "one bolus whose peak it is",
}


def wire(page: Page, session: Session) -> Any:
    """Wire the tab; the answer is what the buttons of it do: ``(name, arg, fields)``."""
    found: reactive.Value[tuple[Suggestion, str] | None] = reactive.value(None)

    fits: reactive.Value[tuple[str, dict[str, str] | None] | None] = reactive.value(None)

    @reactive.effect
    def _fits() -> None:
        """Apart from the form, which is made anew only where this differs: what was typed stays."""
        fits.set(sites_of(page.state(), page.shown()))

    @render.ui
    def suggest_form() -> Tag | None:
        if (of := fits()) is None:
            return None
        model, sites = of
        if sites is None:
            return tags.p(f"{model} cannot be steered: it needs an IV route, and doses that add up.")
        return _form(model, sites)

    @render.ui
    def suggestion() -> Tag | None:
        return None if found() is None else _shown(found()[0])  # type: ignore[index]

    async def do(name: str, arg: str, fields: Mapping[str, Any]) -> None:
        with reactive.isolate():
            state, shown, last = page.state(), page.shown(), found()
        if name == "suggest":
            model = shown.main[state.editing].model
            try:
                made = await asyncio.to_thread(asked, model, state.person.patient(), fields)
            except PkmodelError as error:
                found.set(None)
                page.refuse(error)
                return
            page.said.set(())
            found.set((made, model))
        elif name == "follow" and last is not None:
            arm = arm_of_text(last[0].protocol, model=last[1], name="suggested")
            await page.take(state.with_arm(arm), anew=True)

    return do


def sites_of(state: State, shown: Curves) -> tuple[str, dict[str, str] | None]:
    """The model that would be steered, and the places where it can be; None where it cannot."""
    curve = shown.main[state.editing]
    model = compute.model_of(curve.model)
    if not model.linear or "iv" not in model.routes:
        return curve.model, None
    sites = {"": "in plasma"}
    for name in compute.effects_for_cached(compute.key_of(state.arm, state.editing), curve.model, curve.drug):
        file = compute.effect_of(name)
        if file.band is None and len(file.on) == 1 and len(file.effect_site) == 1:
            sites[name] = f"at the effect site of {name.replace('_', ' ')}"
    return curve.model, sites


def asked(model: str, patient: Any, fields: Mapping[str, Any]) -> Suggestion:
    """The answer to the fields of the form. Raises InputError where they or the target will not do."""

    def text(name: str, unit: str, *, needed: bool = True) -> str | None:
        value = str(fields.get(name, "")).strip()
        if not value:
            if needed:
                raise InputError(Problem("nothing", f"a number in {unit}", name.replace("_", " ")))
            return None
        return f"{value} {unit}"

    first, later, when = text("level", "ng/mL"), text("then", "ng/mL", needed=False), text("when", "min", needed=False)
    target: Any = first
    if later is not None:
        if when is None:
            raise InputError(Problem("nothing", "the time of the second level, in min", "from"))
        target = [("0 min", first), (when, later)]
    site = str(fields.get("site", ""))
    steered = {"site": "effect", "effect": compute.effect_of(site)} if site else {"site": "plasma"}
    pump = Pump(concentration=text("concentration", "mg/mL") or "", max_rate=text("fastest", "mL/h") or "")
    return suggest(
        compute.model_of(model),
        patient,
        target,
        form=fields.get("form", "bolus+infusion"),
        until=text("until", "min") or "",
        pump=pump,
        **steered,
    )


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
