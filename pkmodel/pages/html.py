"""A report as one HTML page: no script, no request to anywhere, pictures inside."""

from __future__ import annotations

import base64
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from pkmodel.pages.blocks import Picture, Report, Strip

if TYPE_CHECKING:
    from jinja2 import Template

#: Units of the drawing of an interval: its width, and what is left free at both ends.
_WIDE, _FREE = 120.0, 4.0


def page(report: Report) -> str:
    """The report as the text of an HTML file. Every string of the report is escaped."""
    return _template().render(report=report, style=_file("report.css"))


def _file(name: str) -> str:
    return (resources.files("pkmodel.pages") / name).read_text(encoding="utf-8")


@cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"data_uri": _data_uri, "along": _along, "strip_words": _strip_words}
    return environment.from_string(_file("report.html.jinja"))


def _data_uri(picture: Picture) -> str:
    return "data:image/png;base64," + base64.b64encode(picture.png).decode("ascii")


def _along(share: float, strip: Strip) -> str:
    """Where a share lies in the drawing of an interval."""
    return f"{_FREE + (_WIDE - 2 * _FREE) * (share - strip.first) / (1 - strip.first):.1f}"


def _strip_words(strip: Strip) -> str:
    """What the drawing of an interval shows."""
    return (
        f"{100 * strip.share:.1f} %, interval {100 * strip.low:.1f} to {100 * strip.high:.1f} %, "
        f"required {100 * strip.required:g} %"
    )
