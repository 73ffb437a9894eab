"""Answers that are kept because they are asked for again: a class opens the same page, and goes back and forth."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

from pkmodel.app.shown import Shown

#: Bytes that are kept in all, and how many at most.
MOST_BYTES, MOST = 32 << 20, 200


class Kept:
    """What pages show, by what was asked; the oldest goes first."""

    def __init__(self, most_bytes: int = MOST_BYTES):
        self._found: OrderedDict[Hashable, tuple[Shown, int]] = OrderedDict()
        self._most = most_bytes
        self._bytes = 0

    @property
    def size(self) -> int:
        """Bytes that are kept, about."""
        return self._bytes

    def get(self, key: Hashable) -> Shown | None:
        """What was made for the same question."""
        found = self._found.get(key)
        if found is None:
            return None
        self._found.move_to_end(key)
        return found[0]

    def put(self, key: Hashable, made: Shown) -> None:
        """Keep an answer."""
        before = self._found.pop(key, None)
        size = _size(made)
        self._found[key] = (made, size)
        self._bytes += size - (before[1] if before else 0)
        while self._found and (self._bytes > self._most or len(self._found) > MOST):
            _, (_, freed) = self._found.popitem(last=False)
            self._bytes -= freed


def _size(made: Shown) -> int:
    texts = (made.numbers_html, made.evidence_html, made.nurse_html, *made.commands, *made.files.values())
    arrays = sum(line.levels.nbytes + line.time.nbytes for line in made.lines)
    return 4096 + sum(map(len, texts)) + arrays + (len(made.picture.png) if made.picture else 0)
