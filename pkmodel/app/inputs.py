"""The fields of the page: plain HTML inputs with a label of their own, tied to a place of the state by ``data-path``.

They are not Shiny's inputs: a native slider says every step of a drag, takes the arrow keys, and can be set from the
state without an echo. ``page.js`` sends what changes as one batch whenever the server is idle.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from htmltools import Tag, TagList, tags

from pkmodel.app.messages import MOST_LETTERS

#: Shiny shall not take them for inputs of its own.
OURS = {"data-shiny-no-bind-input": ""}


def ident(path: str) -> str:
    """The id of the field of a place."""
    return "f-" + path.replace(".", "-").replace("@", "arm")


def number(path: str, label: str, value: Any = "", *, unit: str = "", hint: str = "", **attrs: Any) -> Tag:
    """A field for a number; ``step`` and the like go to the input."""
    attrs = {"step": "any", "inputmode": "decimal", **attrs}
    box = tags.input(
        type="number", id=ident(path), data_path=path, value=_text(value), autocomplete="off", **attrs, **OURS
    )
    return _field(path, label, TagList(box, tags.span(unit, class_="unit") if unit else None), hint)


def text(path: str, label: str, value: str = "", *, hint: str = "", **attrs: Any) -> Tag:
    """A field for text, such as a time with its unit."""
    box = tags.input(
        type="text",
        id=ident(path),
        data_path=path,
        value=value,
        maxlength=MOST_LETTERS,
        autocomplete="off",
        spellcheck="false",
        **attrs,
        **OURS,
    )
    return _field(path, label, box, hint)


def slider(
    path: str,
    label: str,
    value: float,
    ends: tuple[float, float, float],
    *,
    unit: Tag | str = "",
    ranges: Mapping[str, tuple[float, float, float]] | None = None,
) -> Tag:
    """A slider with a box for the number beside it; both are of one place. ``ranges`` are its ends by unit."""
    low, high, step = ends
    data = {f"data-range-{name}": f"{a:g} {b:g} {c:g}" for name, (a, b, c) in (ranges or {}).items()}
    return tags.div(
        tags.label(label, for_=ident(path)),
        tags.div(
            tags.input(
                type="range",
                id=f"{ident(path)}-slider",
                data_path=path,
                min=low,
                max=high,
                step=step,
                value=_text(value),
                aria_label=f"{label}, slider",
                **data,
                **OURS,
            ),
            tags.input(
                type="number",
                id=ident(path),
                data_path=path,
                value=_text(value),
                step="any",
                inputmode="decimal",
                **OURS,
            ),
            unit if isinstance(unit, Tag) else tags.span(unit, class_="unit"),
            class_="slider",
        ),
        class_="field",
    )


def choice(
    path: str,
    label: str,
    choices: Mapping[str, str | Mapping[str, str]] | Mapping[str, str],
    value: str = "",
    *,
    hint: str = "",
    bare: bool = False,
) -> Tag:
    """A list to choose from, value -> text, or group -> such a list; ``bare``: the label is for screen readers only."""
    box = tags.select(*_options(choices, value), id=ident(path), data_path=path, **OURS)
    if bare:
        return tags.span(tags.label(label, for_=ident(path), class_="unseen"), box)
    return _field(path, label, box, hint)


def _options(choices: Mapping[str, Any], value: str) -> list[Tag]:
    found = []
    for key, text_of in choices.items():
        if isinstance(text_of, Mapping):
            found.append(tags.optgroup(*_options(text_of, value), label=key))
        else:
            found.append(tags.option(text_of, value=key, selected="" if key == value else None))
    return found


def tick(path: str, label: str, value: bool = False, *, hint: str = "") -> Tag:
    """A box to tick."""
    box = tags.input(type="checkbox", id=ident(path), data_path=path, checked="" if value else None, **OURS)
    note = tags.small(hint, class_="hint") if hint else None
    return tags.div(box, tags.label(label, note, for_=ident(path)), class_="tick")


def ticks(path: str, legend: str, choices: Mapping[str, str], values: Iterable[str], *, hint: str = "") -> Tag:
    """A list of boxes to tick, value -> text; the place holds those that are ticked."""
    ticked = set(values)
    boxes = []
    for key, words in choices.items():
        name = f"{ident(path)}-{key}"
        box = tags.input(
            type="checkbox", id=name, data_list=path, value=key, checked="" if key in ticked else None, **OURS
        )
        boxes.append(tags.div(box, tags.label(words, for_=name), class_="tick"))
    note = tags.p(hint, class_="hint") if hint else None
    return tags.fieldset(tags.legend(legend), note, *boxes)


def act(name: str, label: str, *, arg: str = "", class_: str = "", **attrs: Any) -> Tag:
    """A button that does something: ``name`` and ``arg`` go to the server."""
    return tags.button(label, type="button", data_act=name, data_arg=arg or None, class_=class_ or None, **attrs)


def _field(path: str, label: str, box: Any, hint: str) -> Tag:
    note = tags.small(hint, class_="hint") if hint else None
    return tags.div(tags.label(label, for_=ident(path)), tags.div(box, class_="box"), note, class_="field")


def _text(value: Any) -> str:
    if value is None or value == "":
        return ""
    return f"{value:.10g}" if isinstance(value, (int, float)) else str(value)
