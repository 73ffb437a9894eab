"""One browser's page: what is asked of it becomes a new state, or a sentence that says why not.

What takes time is done by a worker while the page waits; nobody else does. A page does one thing after the other, in
the order in which it was asked; changes of fields that wait are taken together, so that no picture is drawn that
nobody wants any more.
"""

from __future__ import annotations

import asyncio
import contextvars
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from shiny import Session, reactive

from pkmodel.app import rows, work
from pkmodel.app.compute import readable
from pkmodel.app.history import History
from pkmodel.app.kept import Kept
from pkmodel.app.link import packed, unpacked
from pkmodel.app.picture import Look
from pkmodel.app.pool import Withdrawn, Workers
from pkmodel.app.shown import Band, Shown
from pkmodel.app.state import Arm, Row, State, edited, is_field
from pkmodel.errors import InputError, PkmodelError, RunError
from pkmodel.specs.loading import library

T = TypeVar("T")

#: The fields of the dose that is added next; they are on the page and not in its state.
_NEW = {"dose": 0.2, "unit": "mg/kg", "route": "iv", "at": "60 min", "over": ""}
#: How much a page has to do at most; a browser that asks for more is not answered.
_MOST_ASKED = 100


@dataclass
class _Task:
    do: Callable[[], Awaitable[None]]
    edits: dict[str, Any] | None = None
    """What fields say, where it is that."""


class Page:
    """One browser's page: its history, what is shown of it, what is refused and what is said."""

    def __init__(self, session: Session, workers: Workers, kept: Kept):
        self.session = session
        self.workers = workers
        self.history = History(State())
        self.pending: dict[str, Any] = {}
        self.new: dict[str, Any] = dict(_NEW)
        self.now: Shown | None = None
        """What is shown, outside of Shiny's reactions."""
        self.state = reactive.value(State(), name="state")
        self.shown: reactive.Value[Shown] = reactive.value(name="shown")
        self.said: reactive.Value[tuple[str, ...]] = reactive.value((), name="said")
        self.structure: reactive.Value[int] = reactive.value(0, name="structure")
        """Counts up where fields come or go, so that they are made anew; not while one of them is typed in."""
        self.band: Band | None = None
        self._kept = kept
        self._look: Look | None = None
        self._made = 0
        self._asked: deque[_Task] = deque()
        self._doing: _Task | None = None
        self._task: asyncio.Task[None] | None = None
        self._others: set[asyncio.Task[None]] = set()
        self._ended = False
        session.on_ended(self._end)

    def part(self, pick: Callable[[Shown], T]) -> reactive.Value[T]:
        """A part of what is shown; who reads it reacts only where it differs."""
        found: reactive.Value[T] = reactive.value(name="found")

        @reactive.effect(priority=1)  # before the outputs that read it beside the state
        def _part() -> None:
            now = pick(self.shown())
            with reactive.isolate():
                same = found.is_set() and found() == now
            if not same:
                found.set(now)

        return found

    # One thing after the other

    def ask(self, do: Callable[[], Awaitable[None]]) -> None:
        """Do something when what was asked before is done."""
        self._put(_Task(do))

    def ask_edits(self, changes: Mapping[str, Any]) -> None:
        """Take what fields say when what was asked before is done, with what they say until then."""
        last = self._asked[-1] if self._asked else None
        if last is not None and last.edits is not None:
            last.edits.update(changes)
            return
        task = _Task(self._nothing, dict(changes))
        doing = self._doing
        if not self._asked and doing is not None and doing.edits is not None and self.workers.withdraw(self._owner):
            task.edits = {**doing.edits, **changes}
        self._put(task)

    def beside(self, do: Awaitable[None]) -> None:
        """Do something beside all this, such as a band that nobody waits for."""

        async def whole() -> None:
            await self._said_if_wrong(do)

        # In a context of its own: what it sets later is no part of the reaction that asks.
        task = asyncio.create_task(whole(), context=contextvars.Context())
        self._others.add(task)
        task.add_done_callback(self._others.discard)

    def _put(self, task: _Task) -> None:
        if self._ended or len(self._asked) >= _MOST_ASKED:
            return
        self._asked.append(task)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work(), context=contextvars.Context())

    async def _nothing(self) -> None:
        pass

    async def _work(self) -> None:
        while self._asked and not self._ended:
            self._doing = task = self._asked.popleft()
            await self._said_if_wrong(task.do() if task.edits is None else self.edit(task.edits))
            if task.edits is not None and not any(one.edits is not None for one in self._asked):
                await self.tell("done", True)
            self._doing = None

    async def _said_if_wrong(self, do: Awaitable[None]) -> None:
        try:
            await do
        except Withdrawn:
            pass
        except PkmodelError as error:
            await self.refuse(error)
        except Exception as error:  # one page's mishap is not everybody's
            sys.stderr.write(f"the page met {type(error).__name__}: {' '.join(str(error).split())[:200]}\n")
            await self.refuse(RunError("The server made a mistake with this; its log says which."))

    def _end(self) -> None:
        self._ended = True
        self._asked.clear()
        self.workers.withdraw(self._owner)
        for task in (self._task, *self._others):
            if task is not None:
                task.cancel()

    @property
    def _owner(self) -> str:
        return self.session.id

    @asynccontextmanager
    async def showing(self) -> AsyncIterator[None]:
        """Change what Shiny reacts to, and send what follows to the browser."""
        async with reactive.lock():
            yield
            await reactive.flush()

    async def run(self, do: Callable[..., T], *args: Any, slow: bool = False) -> T:
        """What a worker answers."""
        return await self.workers.run(do, *args, owner=self._owner, slow=slow)

    # What is shown

    async def begin(self, query: str) -> None:
        """The page of the link, or a fresh one."""
        state = State()
        said: tuple[str, ...] = ()
        link = query.removeprefix("?").partition("s=")[2].partition("&")[0] if "s=" in query else ""
        made = None
        if link:
            try:
                state = unpacked(link)
                made = await self._computed(state)
            except PkmodelError as error:
                state, said = State(), ("The link could not be read; this is a fresh page.", *sentences(error))
        if made is None:
            made = await self._computed(state)
        self.history = History(state)
        await self._show(made, said)

    def look_at(self, look: Look | None) -> None:
        """The picture has another size, or is out of sight (None)."""
        if look == self._look:
            return
        self._look = look
        if self.now is not None and look is not None:
            self.ask(self.redraw)

    async def redraw(self) -> None:
        """Show the same state again: with a band that has come, or in another size."""
        made = await self._computed(self.history.now)
        async with self.showing():
            self.now = made
            self.shown.set(made)

    async def take(self, state: State, what: str = "", *, anew: bool = False, said: tuple[str, ...] = ()) -> None:
        """Show another state. Raises InputError or RunError where it cannot be computed; the curve stays then."""
        made = await self._computed(state)
        self.history.put(state, what, time.monotonic())
        await self._show(made, said, anew=anew)

    async def step(self, *, forth: bool) -> None:
        """Undo, or redo."""
        there, back = (self.history.redo, self.history.undo) if forth else (self.history.undo, self.history.redo)
        if not there():
            return
        try:
            made = await self._computed(self.history.now)
        except PkmodelError:
            back()
            raise
        await self._show(made)

    async def refuse(self, error: PkmodelError) -> None:
        """Say what was wrong, and keep the page."""
        async with self.showing():
            self.said.set(sentences(error))

    async def tell(self, kind: str, message: Any) -> None:
        """Send a message to the page's own script."""
        await self.session.send_custom_message(kind, message)

    async def _computed(self, state: State) -> Shown:
        look, band = self._look, self.band if state.crowd.n else None
        key = (state, look, band.key if band else "", band.n if band else 0)
        made = self._kept.get(key)
        if made is None:
            made = await self.run(work.page_of, state, look, band)
            self._kept.put(key, made)
        return made

    async def _show(self, made: Shown, said: tuple[str, ...] = (), *, anew: bool = True) -> None:
        state = self.history.now
        async with self.showing():
            if anew:
                self.pending.clear()
                self._made += 1
                self.structure.set(self._made)
            self.said.set(said)
            self.now = made
            self.shown.set(made)
            self.state.set(state)
            await self.fields(force=anew)
            await self.tell("invalid", list(self.pending))
            await self.tell("link", "" if state == State() else packed(state))
            await self.tell("steps", {"undo": bool(self.history.back), "redo": bool(self.history.forth)})

    async def fields(self, *, force: bool) -> None:
        """Put the values of the state into the fields of the page, but for those that were refused."""
        state = self.history.now
        values = _flat(state.model_dump(mode="json"))
        values["@.protocol"] = state.arm.protocol if state.arm.source == "library" else ""
        values["@.model"] = state.arm.model
        values |= {f"new.{name}": value for name, value in self.new.items()}
        values = {path: value for path, value in values.items() if path not in self.pending}
        await self.tell("fields", {"values": values, "force": force})

    # What is asked

    async def edit(self, changes: Mapping[str, Any]) -> None:
        """Take what fields say. What is refused stays in its field, and is tried again with the next change."""
        now = self.history.now
        key = now.editing
        given = {}
        for path, value in changes.items():
            if path.startswith("new."):
                if path[4:] in _NEW:
                    self.new[path[4:]] = value
            else:
                given[path.replace("@", key)] = value
        if not given:
            return
        if f"{key}.protocol" in given:
            await self._pick(given[f"{key}.protocol"])
            return
        anew = "view.arm" in given
        what = " ".join(sorted(given))
        try:
            whole = edited(now, {**self.pending, **given})
            made = await self._computed(whole)
        except PkmodelError as error:
            said = sentences(error)
        else:
            self.pending.clear()
            self.history.put(whole, what, time.monotonic())
            await self._show(made, anew=anew)
            return
        refused = {path: value for path, value in given.items() if is_field(now, path)}
        if self.pending:
            with suppress(PkmodelError):
                await self.take(edited(now, given), what, anew=anew)
                refused = {}
        self.pending |= refused
        async with self.showing():
            self.said.set(said)
            await self.tell("invalid", list(self.pending))

    async def _pick(self, name: Any) -> None:
        if name not in list(library("protocols")):
            return
        arm = self.history.now.arm.model_copy(update={"source": "library", "protocol": name})
        await self.take(self.history.now.with_arm(arm), "protocol", anew=True)

    async def by_rows(self) -> tuple[Arm, tuple[str, ...]]:
        """The arm that is edited as rows, and what they do not keep. Raises InputError where rows cannot say it."""
        state = self.history.now
        if state.arm.source == "rows":
            return state.arm, ()
        arm, lost = await self.run(work.as_rows, state.arm, state.editing)
        return arm, tuple(lost)

    async def show_rows(self) -> None:
        """Edit the course as rows."""
        arm, lost = await self.by_rows()
        await self.take(self.history.now.with_arm(arm), anew=True, said=lost)

    async def add(self, at: str | None = None) -> None:
        """Add the dose of the form, at a time of its own or at another one."""
        arm, lost = await self.by_rows()
        row = _row({**self.new, **({} if at is None else {"at": at})})
        await self.take(self.history.now.with_arm(rows.added(arm, row)), anew=True, said=lost)

    async def remove(self, index: int) -> None:
        """Take a row away."""
        await self.take(self.history.now.with_arm(rows.removed(self.history.now.arm, index)), anew=True)

    async def point(self, hours: float) -> None:
        """Open the dose nearest to a time that was double clicked for editing."""
        if self.now is None:
            return
        arm, lost = await self.by_rows()
        state = self.history.now
        if state.arm.source != "rows":
            await self.take(state.with_arm(arm), anew=True, said=lost)
        index = rows.nearest_row(arm, hours, 0.03 * self.now.until)
        if index is None:
            async with self.showing():
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
