"""The kinds of inputs, their strategies, and how many of a hundred are of each."""

from __future__ import annotations

from typing import Any

import mangle
from hypothesis.strategies import SearchStrategy

STRATEGIES: dict[str, SearchStrategy[Any]] = {
    "raw": mangle.raw_files(),
    "models": mangle.trees("models"),
    "protocols": mangle.trees("protocols"),
    "populations": mangle.trees("populations"),
    "scenarios": mangle.trees("scenarios"),
    "effects": mangle.trees("effects"),
    "rules": mangle.trees("rules"),
    "records": mangle.records(),
    "people": mangle.people(),
    "text": mangle.TEXTS,
    "words": mangle.words(),
}
SHARES = {
    "raw": 18,
    "models": 12,
    "protocols": 14,
    "populations": 8,
    "scenarios": 10,
    "effects": 5,
    "rules": 5,
    "records": 10,
    "people": 5,
    "text": 10,
    "words": 3,
}
assert sum(SHARES.values()) == 100
assert set(SHARES) == set(STRATEGIES)
