"""A look at a value that is to leave no trace leaves none: Shiny keeps every one of them until the value changes.

Shiny looks so whether each output is in sight, at every message of a browser; in a page of twenty outputs that is open
for an hour, these looks are most of what the server holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def forget() -> None:
    """Let Shiny's ``isolate`` forget what was looked at when it is left; once is enough, twice does no harm.

    It is no part of Shiny that others may rely on: where a later one does it in another way, that is left as it is.
    """
    from shiny.reactive import _core

    environment: Any = getattr(_core, "_reactive_environment", None)
    if not hasattr(environment, "isolate") or not hasattr(environment, "_current_context"):
        return

    @contextmanager
    def isolate() -> Iterator[None]:
        context = _core.Context()
        token = environment._current_context.set(context)
        try:
            yield
        finally:
            environment._current_context.reset(token)
            # Nothing follows from it: a value that was looked at strikes the look from its list, no more.
            context.invalidate()

    environment.isolate = isolate
