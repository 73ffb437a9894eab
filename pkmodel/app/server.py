"""The page at work: what the user does becomes a new state, and the state becomes curves, numbers and texts."""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import Mapping, Sequence
from typing import Any

from htmltools import Tag, TagList, tags
from shiny import Inputs, Outputs, Session, reactive, render

from pkmodel.app import compute, lessons_tab, rows, suggest_tab, tables, take_away
from pkmodel.app.compute import Curves, readable
from pkmodel.app.drawn import picture, ratio_of, size_of
from pkmodel.app.history import History
from pkmodel.app.inputs import act, choice, ticks
from pkmodel.app.link import packed, unpacked
from pkmodel.app.picture import drawn, figure_of
from pkmodel.app.presets import PRESETS
from pkmodel.app.readouts import peak_sentence, readouts
from pkmodel.app.state import Arm, Row, State, edited
from pkmodel.errors import InputError, PkmodelError, RunError
from pkmodel.simulation import Result
from pkmodel.specs.loading import library

#: The fields of the dose that is added next; they are on the page and not in its state.
_NEW = {"dose": 0.2, "unit": "mg/kg", "route": "iv", "at": "60 min", "over": ""}
#: Patients of the first, quick band.
FIRST = 100


class Page:
    """One browser's page: its history, its curves, what is refused and what is said."""

    def __init__(self, session: Session):
        self.session = session
        self.history = History(State())
        self.pending: dict[str, Any] = {}
        self.new: dict[str, Any] = dict(_NEW)
        self.state = reactive.value(State())
        self.shown: reactive.Value[Curves] = reactive.value(compute.curves(State()))
        self.people: reactive.Value[tuple[Any, dict[str, Result]]] = reactive.value((None, {}))
        """The results of virtual patients by curve, with what they were computed for."""
        self.said: reactive.Value[tuple[str, ...]] = reactive.value(())
        self.structure: reactive.Value[int] = reactive.value(0)
        """Counts up where fields come or go, so that they are made anew; not while one of them is typed in."""

    def band(self) -> dict[str, Result]:
        """The virtual patients of the curves that are shown; none while they are computed."""
        state, shown = self.state(), self.shown()
        key, people = self.people()
        return people if state.crowd.n and key == crowd_key(state, shown) else {}

    async def begin(self, query: str) -> None:
        """The page of the link, or a fresh one."""
        state, said = State(), ()
        link = query.removeprefix("?").partition("s=")[2].partition("&")[0] if "s=" in query else ""
        if link:
            try:
                state = unpacked(link)
                compute.curves(state)
            except PkmodelError as error:
                state, said = State(), tuple(["The link could not be read; this is a fresh page.", *_sentences(error)])
        self.history = History(state)
        await self.show(said)

    async def take(self, state: State, what: str = "", *, anew: bool = False) -> bool:
        """Show another state where it can be computed; else say why not, and keep the curve. Whether it is shown."""
        try:
            compute.curves(state)
        except PkmodelError as error:
            self.said.set(tuple(_sentences(error)))
            return False
        self.history.put(state, what, time.monotonic())
        await self.show(anew=anew)
        return True

    async def refuse(self, error: PkmodelError) -> None:
        """Say what was wrong, and keep the page."""
        self.said.set(tuple(_sentences(error)))

    async def show(self, said: tuple[str, ...] = (), *, anew: bool = True) -> None:
        """Draw the state that the history holds."""
        state = self.history.now
        if anew:
            self.pending.clear()
            with reactive.isolate():
                self.structure.set(self.structure() + 1)
        self.said.set(said)
        self.shown.set(compute.curves(state))
        self.state.set(state)
        await self.fields(force=anew)
        await self.session.send_custom_message("invalid", list(self.pending))
        await self.session.send_custom_message("link", "" if state == State() else packed(state))
        steps = {"undo": bool(self.history.back), "redo": bool(self.history.forth)}
        await self.session.send_custom_message("steps", steps)

    async def fields(self, *, force: bool) -> None:
        """Put the values of the state into the fields of the page, but for those that were refused."""
        state = self.history.now
        values = _flat(state.model_dump(mode="json"))
        values["@.protocol"] = state.arm.protocol if state.arm.source == "library" else ""
        values["@.model"] = state.arm.model
        values |= {f"new.{name}": value for name, value in self.new.items()}
        values = {path: value for path, value in values.items() if path not in self.pending}
        await self.session.send_custom_message("fields", {"values": values, "force": force})

    async def edit(self, changes: Mapping[str, Any]) -> None:
        """Take what fields say. What is refused stays in its field, and is tried again with the next change."""
        now = self.history.now
        key = now.editing
        given = {}
        for path, value in changes.items():
            if path.startswith("new."):
                self.new[path[4:]] = value
            else:
                given[path.replace("@", key)] = value
        if not given:
            return
        if f"{key}.protocol" in given:
            await self._pick(given[f"{key}.protocol"])
            return
        anew = any(path in ("view.arm",) for path in given)
        what = " ".join(sorted(given))
        try:
            whole = edited(now, {**self.pending, **given})
            compute.curves(whole)
        except PkmodelError as error:
            said = tuple(_sentences(error))
        else:
            self.pending.clear()
            await self.take(whole, what, anew=anew)
            return
        try:
            alone = edited(now, given)
            compute.curves(alone)
        except PkmodelError:
            self.pending |= given
        else:
            await self.take(alone, what, anew=anew)
        self.said.set(said)
        await self.session.send_custom_message("invalid", list(self.pending))

    async def _pick(self, name: str) -> None:
        if name not in library("protocols"):
            return
        arm = self.history.now.arm.model_copy(update={"source": "library", "protocol": name})
        await self.take(self.history.now.with_arm(arm), "protocol", anew=True)

    async def by_rows(self) -> tuple[Arm, list[str]] | None:
        """The arm that is edited as rows, and what they do not keep; None, and a message, where rows cannot say it."""
        state = self.history.now
        try:
            return rows.as_rows(state.arm, state.editing)
        except PkmodelError as error:
            self.said.set(tuple(_sentences(error)))
            return None

    async def add(self, at: str | None = None) -> None:
        """Add the dose of the form, at a time of its own or at another one."""
        found = await self.by_rows()
        if found is None:
            return
        arm, lost = found
        try:
            row = _row({**self.new, **({} if at is None else {"at": at})})
            changed = rows.added(arm, row)
        except InputError as error:
            self.said.set(tuple(_sentences(error)))
            return
        if await self.take(self.history.now.with_arm(changed), anew=True) and lost:
            self.said.set(tuple(lost))

    async def remove(self, index: int) -> None:
        """Take a row away."""
        try:
            arm = rows.removed(self.history.now.arm, index)
        except InputError as error:
            self.said.set(tuple(_sentences(error)))
            return
        await self.take(self.history.now.with_arm(arm), anew=True)

    async def point(self, hours: float) -> None:
        """Open the dose nearest to a time that was double clicked for editing."""
        found = await self.by_rows()
        if found is None:
            return
        arm, lost = found
        state = self.history.now
        if state.arm.source != "rows":
            if not await self.take(state.with_arm(arm), anew=True):
                return
            if lost:
                self.said.set(tuple(lost))
        index = rows.nearest_row(arm, hours, 0.03 * self.shown().until)
        if index is None:
            self.said.set(("There is no dose at that time: click once to add one.",))
            return
        await self.session.send_custom_message("tab", "course")
        await self.session.send_custom_message("focus", f"{state.editing}.rows.{index}.dose")


def _row(values: Mapping[str, Any]) -> Row:
    """The dose of the form as a row. Raises InputError with the field named."""
    blank = State(a=Arm(source="rows", rows=(Row(),)))
    try:
        return edited(blank, {f"a.rows.0.{name}": value for name, value in values.items()}).a.rows[0]
    except InputError as error:
        fixed = [problem.at(path=problem.path.replace("row 1", "dose to add")) for problem in error.problems]
        raise InputError(fixed) from None


def _sentences(error: PkmodelError) -> list[str]:
    return readable(error) if isinstance(error, (InputError, RunError)) else [str(error)]


def _flat(tree: Any, path: str = "") -> dict[str, Any]:
    """A tree of plain data as place -> value; lists of names stay lists."""
    if isinstance(tree, dict):
        parts: Any = tree.items()
    elif isinstance(tree, list) and tree and isinstance(tree[0], dict):
        parts = enumerate(tree)
    else:
        return {path: tree}
    found: dict[str, Any] = {}
    for name, value in parts:
        found |= _flat(value, f"{path}.{name}" if path else str(name))
    return found


def server(input: Inputs, output: Outputs, session: Session) -> None:  # noqa: A002
    """Wire one browser's page."""
    page = Page(session)
    started = reactive.value(False)
    suggesting = suggest_tab.wire(page, session)
    teaching = lessons_tab.wire(page, session)

    @reactive.effect
    async def _begin() -> None:
        if started():
            return
        with reactive.isolate():
            query = session.clientdata.url_search()
            started.set(True)
            await page.begin(query)

    @reactive.effect
    @reactive.event(input.edits)
    async def _edit() -> None:
        given = input.edits()
        edits = given.get("edits") if isinstance(given, dict) else None
        if isinstance(edits, dict) and len(edits) < 200:
            await page.edit({str(path): value for path, value in edits.items()})

    @reactive.effect
    @reactive.event(input.act)
    async def _act() -> None:
        given = input.act()
        if isinstance(given, dict):
            await _do(str(given.get("act")), str(given.get("arg", "")), given.get("fields") or {})

    async def _do(name: str, arg: str, fields: Mapping[str, Any]) -> None:
        state = page.history.now
        match name:
            case "undo":
                if page.history.undo():
                    await page.show()
            case "redo":
                if page.history.redo():
                    await page.show()
            case "reset":
                await page.take(State(), anew=True)
            case "preset" if arg in PRESETS:
                await page.take(state.model_copy(update={"person": PRESETS[arg]}), anew=True)
            case "add":
                await page.add()
            case "remove" if arg.isdigit():
                await page.remove(int(arg))
            case "rows":
                found = await page.by_rows()
                if found is not None and await page.take(state.with_arm(found[0]), anew=True) and found[1]:
                    page.said.set(tuple(found[1]))
            case "beside":
                view = state.view.model_copy(update={"arm": "b"})
                await page.take(state.model_copy(update={"b": state.a, "view": view}), anew=True)
            case "alone":
                view = state.view.model_copy(update={"arm": "a"})
                await page.take(state.model_copy(update={"b": None, "view": view}), anew=True)
            case "arm" if arg in state.arms:
                view = state.view.model_copy(update={"arm": arg})
                await page.take(state.model_copy(update={"view": view}), anew=True)
            case "swap" if state.b is not None:
                await page.take(state.model_copy(update={"a": state.b, "b": state.a}), anew=True)
            case "suggest" | "follow":
                await suggesting(name, arg, fields)
            case _:
                await teaching(name, arg, fields)

    @reactive.effect
    @reactive.event(input.curve_click)
    async def _click() -> None:
        at = _hours(input.curve_click())
        if at is not None:
            await page.add(rows.clicked(at, page.shown().until))

    @reactive.effect
    @reactive.event(input.curve_dblclick)
    async def _double() -> None:
        at = _hours(input.curve_dblclick())
        if at is not None:
            await page.point(at)

    _bands(page, session)
    _curve(page, input, session)
    _texts(page)
    _controls(page)
    _files(page)


def _hours(point: Any) -> float | None:
    """The time (h) of a click on the picture; None outside of its panels."""
    x = point.get("x") if isinstance(point, dict) else None
    return max(float(x), 0.0) if isinstance(x, (int, float)) else None


def _bands(page: Page, session: Session) -> None:
    """Bands of a population: a quick one of a hundred, then the whole; in a thread, so that no drag waits."""
    asked: dict[str, Any] = {"key": None, "task": None}

    async def refine(key: Any, state: State, shown: Curves) -> None:
        for n in dict.fromkeys((min(FIRST, state.crowd.n), state.crowd.n)):
            said: tuple[str, ...] = ()
            try:
                people = await asyncio.to_thread(compute.bands, state, shown, n)
            except PkmodelError as error:
                people, said = {}, tuple(_sentences(error))
            if asked["key"] != key:  # the page has moved on
                return
            async with reactive.lock():
                page.people.set((key, people))
                if said:
                    page.said.set(said)
                await reactive.flush()
            if said:
                return

    @reactive.effect
    def _ask() -> None:
        state, shown = page.state(), page.shown()
        key = crowd_key(state, shown)
        if key == asked["key"]:
            return
        asked["key"] = key
        if state.crowd.n:
            # In a context of its own: what it sets later is no part of this effect.
            asked["task"] = asyncio.create_task(refine(key, state, shown), context=contextvars.Context())

    session.on_ended(lambda: asked.update(key=None))


def crowd_key(state: State, shown: Curves) -> Any:
    """What the band depends on; the patient of the page is not in it."""
    courses = [
        (curve.name, curve.model, compute.key_of(state.arms[curve.arm], curve.arm), curve.drug)
        for curve in shown.main.values()
    ]
    return tuple(courses), shown.effects, shown.until, state.crowd


def _curve(page: Page, input: Inputs, session: Session) -> None:  # noqa: A002
    """The picture, what is under the pointer, and the sentence of the peak."""

    def people() -> dict[str, Result]:
        return page.band()

    def sentence() -> str:
        shown = page.shown()
        parents = {name: curve.result.model.parent for name, curve in shown.by_name.items()}
        return peak_sentence(readouts(shown, page.state().limits), parents)

    @picture
    def curve() -> dict[str, Any]:
        width, height = size_of(session, "curve")
        state, shown = page.state(), page.shown()
        made = drawn(figure_of(state, shown, people(), width, height), ratio_of(session))
        with reactive.isolate():
            return {"picture": made, "alt": f"Levels over time. {sentence()}"}

    @render.text
    def headline() -> str:
        return sentence()

    @render.text
    def pointer() -> str:
        at = _hours(input.curve_hover())
        return "" if at is None else _under(page.shown(), page.state(), at)

    @render.ui
    def numbers() -> Tag:
        shown, state = page.shown(), page.state()
        return tables.numbers(readouts(shown, state.limits), state, shown)

    @render.ui
    def evidence() -> Tag:
        shown = page.shown()
        return tables.evidence(shown, people(), shown.notes)


def _under(shown: Curves, state: State, at: float) -> str:
    """What the curves say at a time, in words."""
    import numpy as np

    at = min(at, shown.until)
    minutes = round(at * 60)
    when = f"{minutes // 60}:{minutes % 60:02d} h" if shown.until <= 48 else f"day {at / 24 + 1:.3g}"
    said = []
    for name, curve in shown.by_name.items():
        result = curve.result
        outputs = [result.model.parent]
        if state.view.metabolites:
            outputs += [other for other in result.model.outputs if other not in outputs]
        outputs += [effect for effect in shown.effects if effect in result.model.effects]
        values = []
        for one in outputs:
            level = float(np.interp(at, result.time, result.level(one)[0]))
            values.append(f"{one.replace('_', ' ')} {level:.3g} {result.model.observables[one]}".strip())
        said.append(("" if len(shown.by_name) == 1 else f"{name}: ") + ", ".join(values))
    return f"{when} \u2013 " + "; ".join(said)


def _texts(page: Page) -> None:
    """What is refused or must be said."""

    @render.ui
    def messages() -> Tag:
        said = page.said()
        return tags.div(*(tags.p(sentence) for sentence in said), role="alert", class_="messages")


def _controls(page: Page) -> None:
    """The parts of the tabs that follow the state."""

    @render.ui
    def arm_switch() -> Tag:
        page.structure()
        with reactive.isolate():
            state = page.state()
        if state.b is None:
            return tags.div(act("beside", "Compare with a second course (B)"), class_="arms")
        buttons = [
            act("arm", f"Course {key.upper()}", arg=key, aria_pressed=str(key == state.editing).lower(), class_=f"arm {key}")
            for key in ("a", "b")
        ]
        return tags.div(*buttons, act("swap", "Swap"), act("alone", "Remove B"), class_="arms", role="group", aria_label="Course to change")

    @render.ui
    def rows() -> Tag:
        page.structure()
        with reactive.isolate():
            state = page.state()
        arm = state.arm
        if arm.source == "rows":
            return tags.div(
                tags.div(choice(f"{state.editing}.drug", "Drug", {"ketamine": "ketamine", "esketamine": "esketamine"}, arm.drug)),
                tables.row_cards(arm, state.editing),
            )
        what = "The protocol of the library" if arm.source == "library" else "A protocol as text"
        return tags.div(tags.p(f"{what} is shown."), act("rows", "Edit it as rows"), class_="asis")

    @render.ui
    def nurse() -> Tag:
        shown, state = page.shown(), page.state()
        return tags.div(tables.nurse_table(shown.main[state.editing]))

    fits: reactive.Value[Any] = reactive.value(None)

    @reactive.effect
    def _fits() -> None:
        state, shown = page.state(), page.shown()
        curve = shown.main[state.editing]
        mine = compute.suited(curve.spec)
        first = shown.main["a"]
        others = {name: mode for name, mode in compute.suited(first.spec).items() if name != first.model}
        effects = dict.fromkeys(
            name
            for one in shown.main.values()
            for name in compute.effects_for_cached(compute.key_of(state.arms[one.arm], one.arm), one.model, one.drug)
        )
        fits.set((state.editing, tuple(mine), tuple(others.items()), tuple(effects), shown.effects, curve.model))

    @render.ui
    def models() -> TagList:
        found = fits()
        if found is None:
            return TagList()
        page.structure()
        key, mine, others, *_ = found
        with reactive.isolate():
            state = page.state()
        named = {"": "the default of its drug and routes", **{name: _graded(name) for name in mine}}
        also = {name: _graded(name) + (" \u2013 given the S half" if mode == "half" else "") for name, mode in others}
        label = "Model" if state.b is None else f"Model of course {key.upper()}"
        return TagList(
            choice("@.model", label, named, state.arms[key].model),
            _folded("Further models", ticks("also", "Also drawn for course A", also, state.also), state.also) if also else None,
        )

    @render.ui
    def effects() -> Tag:
        found = fits()
        names = found[3] if found is not None else ()
        page.structure()
        with reactive.isolate():
            state = page.state()
        words = {}
        for name in names:
            words[name] = tables.effect_words(name)
        if not words:
            return tags.p("No effect of the library fits this model.", class_="hint")
        return _folded("Effects", ticks("effects", "Drawn under the levels", words, state.effects), state.effects)

    @render.ui
    def discharge_of() -> Tag:
        found = fits()
        shown = found[4] if found is not None else ()
        with reactive.isolate():
            state = page.state()
        names = {"parent": "level of the drug", **{name: tables.short(name) for name in shown}}
        return choice("limits.discharge_of", "of", names, state.limits.discharge_of)


def _folded(title: str, what: Tag, chosen: Sequence[str]) -> Tag:
    """A list that is folded away where nothing of it is chosen."""
    return tags.details(tags.summary(title + (f": {len(chosen)} chosen" if chosen else "")), what, open="" if chosen else None)


def _graded(name: str) -> str:
    return f"{name} ({compute.model_of(name).evidence})"


def _files(page: Page) -> None:
    """What leaves the page."""

    @render.download_link(filename="pkmodel.png")
    def png() -> Any:
        with reactive.isolate():
            state, shown, people = page.state(), page.shown(), page.band()
        yield drawn(figure_of(state, shown, people, 1100, 640, foot=True), 2.0).png

    @render.download_link(filename="levels.csv")
    def csv() -> Any:
        with reactive.isolate():
            shown = page.shown()
        yield take_away.csv_text(shown)

    @render.download_link(filename=lambda: take_away.yaml_name(page.history.now, "a"))
    def yaml_a() -> Any:
        yield take_away.yaml_text(page.history.now, "a")

    @render.download_link(filename=lambda: take_away.yaml_name(page.history.now, "b"))
    def yaml_b() -> Any:
        yield take_away.yaml_text(page.history.now, "b")

    @render.ui
    def yaml_b_link() -> Tag | None:
        from shiny import ui

        return ui.download_link("yaml_b", "Protocol B (YAML)", class_="button") if page.state().b is not None else None

    @render.ui
    def command() -> Tag:
        lines = take_away.command_lines(page.state(), page.shown())
        return tags.pre("\n".join(lines), id="command-text", tabindex="0")

    @render.ui
    def yaml_text() -> Tag:
        state = page.state()
        return tags.div(*(tags.pre(take_away.yaml_text(state, key), tabindex="0") for key in state.arms))
