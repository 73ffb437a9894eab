"""What a browser may say to the page: anything else is dropped before Shiny sees it.

The page's own script sends few kinds of messages. Shiny takes any name and any value; with a wrong one it may write a
file, end the session with a traceback in the log, or keep what nobody asked for.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

#: How much a field, a list, a batch of fields, a link may hold.
MOST_LETTERS, MOST_VALUES, MOST_FIELDS, MOST_LINK = 2_000, 50, 200, 20_000
#: What stands for a text that is longer: no field takes it, so that the page says what is wrong with it.
TOO_LONG = f"a text of over {MOST_LETTERS:,} letters"
#: Names of what Shiny's script tells of the browser, and how many of them one page may use.
_ABOUT = re.compile(r"\.clientdata_[A-Za-z0-9_]{1,60}")
MOST_NAMES = 400
_LINK = re.compile(r"[?&]s=([^&]*)")


class Illegal(ValueError):
    """A message that the page's script does not send; the connection ends."""


class Reader:
    """Reads what one browser says, in order."""

    def __init__(self) -> None:
        self._begun = False
        self._names: set[str] = set()

    def read(self, text: str) -> str | None:
        """The message as it is passed on; None: nothing of it is left. Raises :class:`Illegal`."""
        try:
            message = json.loads(text)
        except (ValueError, RecursionError):
            raise Illegal("no JSON") from None
        if not isinstance(message, dict) or not isinstance(message.get("data"), dict):
            raise Illegal("no message")
        method = message.get("method")
        if method != ("update" if self._begun else "init"):
            raise Illegal("a message out of turn")
        self._begun = True
        data = self._data(message["data"])
        if not data and method == "update":
            return None
        return json.dumps({"method": method, "data": data})

    def _data(self, given: Mapping[str, Any]) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for name, value in given.items():
            plain = name.partition(":")[0]  # what follows is how Shiny's R side would read it
            if plain in _READ:
                found = _READ[plain](value)
                if found is not None:
                    data[plain] = found
            elif _ABOUT.fullmatch(plain) and (plain in self._names or len(self._names) < MOST_NAMES):
                about = _about(plain, value)
                if about is not None:
                    self._names.add(plain)
                    data[plain] = about
        return data


def _scalar(value: Any, most: int = MOST_LETTERS) -> bool:
    if isinstance(value, str):
        return len(value) <= most
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, bool) or (isinstance(value, int) and abs(value) < 1 << 53)


def _cut(value: Any) -> Any:
    """What a field holds, or words in its place where it is too long."""
    return TOO_LONG if isinstance(value, str) and len(value) > MOST_LETTERS else value


def _about(name: str, value: Any) -> Any:
    if name == ".clientdata_url_search":
        # Shiny looks for a state of its own in it; the page's is ``s`` alone, and too long a one is refused as such.
        found = _LINK.search(value) if isinstance(value, str) else None
        return f"?s={found[1][:MOST_LINK]}" if found else ""
    return value if _scalar(value) else None


def _edits(value: Any) -> dict[str, Any] | None:
    edits = value.get("edits") if isinstance(value, dict) else None
    if not isinstance(edits, dict) or len(edits) > MOST_FIELDS:
        return None
    found = {}
    for path, whole in edits.items():
        given = [_cut(one) for one in whole] if isinstance(whole, list) and len(whole) <= MOST_VALUES else _cut(whole)
        listed = isinstance(given, list) and len(given) <= MOST_VALUES and all(isinstance(one, str) for one in given)
        if len(path) <= 80 and (_scalar(given) or listed):
            found[path] = given
    return {"n": _count(value), "edits": found} if found else None


def _act(value: Any) -> dict[str, Any] | None:
    if not isinstance(value, dict) or not isinstance(value.get("act"), str) or len(value["act"]) > 40:
        return None
    arg, fields = value.get("arg"), value.get("fields")
    if not isinstance(fields, dict) or len(fields) > MOST_VALUES:
        fields = {}
    return {
        "n": _count(value),
        "act": value["act"],
        "arg": arg if isinstance(arg, str) and len(arg) <= 200 else "",
        "fields": {name: _cut(given) for name, given in fields.items() if len(name) <= 80 and _scalar(_cut(given))},
    }


def _point(value: Any) -> dict[str, Any] | None:
    x = value.get("x") if isinstance(value, dict) else None
    if isinstance(x, bool) or not isinstance(x, (int, float)) or not _scalar(x):
        return None
    # Shiny tells two clicks on one place apart by their number.
    return {"x": x, "nonce": _count(value, ".nonce")}


def _count(value: Mapping[str, Any], name: str = "n") -> Any:
    given = value.get(name)
    return given if _scalar(given, 40) else None


def _tab(value: Any) -> str | None:
    return value if isinstance(value, str) and len(value) <= 20 else None


_READ: dict[str, Callable[[Any], Any]] = {
    "edits": _edits,
    "act": _act,
    "curve_click": _point,
    "curve_dblclick": _point,
    "curve_hover": _point,
    "tab": _tab,
}
