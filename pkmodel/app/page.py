"""One browser's page: what is asked of it becomes a new state, or a sentence that says why not."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from shiny import Session, reactive

from pkmodel.app import compute, rows
from pkmodel.app.compute import Curves, crowd_key, readable
from pkmodel.app.history import History
from pkmodel.app.link import packed, unpacked
from pkmodel.app.state import Arm, Row, State, edited
from pkmodel.errors import InputError, PkmodelError, RunError
from pkmodel.simulation import Result
from pkmodel.specs.loading import library

#: The fields of the dose that is added next; they are on the page and not in its state.
_NEW = {"dose": 0.2, "unit": "mg/kg", "route": "iv", "at": "60 min", "over": ""}


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
        state = State()
        said: tuple[str, ...] = ()
        link = query.removeprefix("?").partition("s=")[2].partition("&")[0] if "s=" in query else ""
        if link:
            try:
                state = unpacked(link)
                compute.curves(state)
            except PkmodelError as error:
                state, said = State(), ("The link could not be read; this is a fresh page.", *sentences(error))
        self.history = History(state)
        await self.show(said)

    async def take(self, state: State, what: str = "", *, anew: bool = False) -> bool:
        """Show another state where it can be computed; else say why not, and keep the curve. Whether it is shown."""
        try:
            compute.curves(state)
        except PkmodelError as error:
            self.refuse(error)
            return False
        self.history.put(state, what, time.monotonic())
        await self.show(anew=anew)
        return True

    def refuse(self, error: PkmodelError) -> None:
        """Say what was wrong, and keep the page."""
        self.said.set(sentences(error))

    async def tell(self, kind: str, message: Any) -> None:
        """Send a message to the page's own script."""
        await self.session.send_custom_message(kind, message)

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
        await self.tell("invalid", list(self.pending))
        await self.tell("link", "" if state == State() else packed(state))
        steps = {"undo": bool(self.history.back), "redo": bool(self.history.forth)}
        await self.tell("steps", steps)

    async def fields(self, *, force: bool) -> None:
        """Put the values of the state into the fields of the page, but for those that were refused."""
        state = self.history.now
        values = _flat(state.model_dump(mode="json"))
        values["@.protocol"] = state.arm.protocol if state.arm.source == "library" else ""
        values["@.model"] = state.arm.model
        values |= {f"new.{name}": value for name, value in self.new.items()}
        values = {path: value for path, value in values.items() if path not in self.pending}
        await self.tell("fields", {"values": values, "force": force})

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
            said = sentences(error)
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
        await self.tell("invalid", list(self.pending))

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
            self.refuse(error)
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
            self.refuse(error)
            return
        if await self.take(self.history.now.with_arm(changed), anew=True) and lost:
            self.said.set(tuple(lost))

    async def remove(self, index: int) -> None:
        """Take a row away."""
        try:
            arm = rows.removed(self.history.now.arm, index)
        except InputError as error:
            self.refuse(error)
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
        await self.tell("tab", "course")
        await self.tell("focus", f"{state.editing}.rows.{index}.dose")


def _row(values: Mapping[str, Any]) -> Row:
    """The dose of the form as a row. Raises InputError with the field named."""
    blank = State(a=Arm(source="rows", rows=(Row(),)))
    try:
        return edited(blank, {f"a.rows.0.{name}": value for name, value in values.items()}).a.rows[0]
    except InputError as error:
        fixed = [problem.at(path=problem.path.replace("row 1", "dose to add")) for problem in error.problems]
        raise InputError(fixed) from None


def sentences(error: PkmodelError) -> tuple[str, ...]:
    """What went wrong, for the page."""
    return tuple(readable(error)) if isinstance(error, (InputError, RunError)) else (str(error),)


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
