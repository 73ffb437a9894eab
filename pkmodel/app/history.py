"""Undo and redo: the pages that were shown, one after the other."""

from __future__ import annotations

from dataclasses import dataclass, field

from pkmodel.app.state import State

#: How many steps back are kept.
DEPTH = 100
#: Changes of the same fields within so many seconds are one step: the drag of a slider is taken back at once.
TOGETHER = 1.0


@dataclass
class History:
    """The page now, those before it and those that were taken back."""

    now: State
    back: list[State] = field(default_factory=list)
    forth: list[State] = field(default_factory=list)
    _what: str = ""
    _when: float = float("-inf")

    def put(self, state: State, what: str, when: float) -> bool:
        """Show another page; ``what`` changed, ``when`` in seconds. Whether it is another one."""
        if state == self.now:
            return False
        if not (what and what == self._what and when - self._when < TOGETHER and self.back):
            self.back = [*self.back, self.now][-DEPTH:]
        self.now, self.forth, self._what, self._when = state, [], what, when
        return True

    def undo(self) -> bool:
        """Go back to the page before. Whether there was one."""
        if not self.back:
            return False
        self.forth.append(self.now)
        self.now, self._what = self.back.pop(), ""
        return True

    def redo(self) -> bool:
        """Go forth to the page that was taken back. Whether there was one."""
        if not self.forth:
            return False
        self.back.append(self.now)
        self.now, self._what = self.forth.pop(), ""
        return True
