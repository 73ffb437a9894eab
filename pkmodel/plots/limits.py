"""Levels that are drawn across a picture: those that rules set, and those that a reader asks for."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING

from pkmodel import units
from pkmodel.cases import Case
from pkmodel.errors import InputError, Problem, one_of, shown
from pkmodel.ink import LIMIT, MARK
from pkmodel.outcome import Study
from pkmodel.specs.clause import Clause
from pkmodel.specs.metric import METRICS
from pkmodel.specs.model import ModelSpec
from pkmodel.specs.rule import Rule

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Letters of the name of a limit that the margin has room for; what is cut is the name of the rule, not the number.
_LABEL = 16
#: How a limit may be written, and how it is printed; an empty sign is a line without a side.
_SIGNS = {"<=": "\u2264", "\u2264": "\u2264", ">=": "\u2265", "\u2265": "\u2265", "": ""}


@dataclass(frozen=True)
class Level:
    """A level to draw across a picture: ``value`` in ``unit``, what to call it, and which side of it is allowed.

    ``sign`` is ``<=`` (an upper limit), ``>=`` (a lower one) or empty (a line to read off).
    Raises InputError where one of them is not such.
    """

    value: float
    unit: str
    label: str = ""
    sign: str = ""

    def __post_init__(self) -> None:
        if isinstance(self.value, bool) or not isinstance(self.value, (int, float)) or not isfinite(self.value):
            raise InputError(Problem(shown(self.value), "a finite number", path="value", where="limit"))
        if self.sign not in _SIGNS:
            raise InputError(Problem(shown(self.sign), one_of(["<=", ">=", "''"]), path="sign", where="limit"))
        units.parse_unit(self.unit)

    @property
    def upper(self) -> bool:
        """Whether levels should stay below it."""
        return _SIGNS[self.sign] == "\u2264"

    @property
    def text(self) -> str:
        """The limit as it stands at its line."""
        return " ".join(part for part in (self.label, _SIGNS[self.sign], f"{self.value:g}", self.unit) if part)


@dataclass(frozen=True)
class Limit:
    """A level that a rule sets on an output, in its unit: where to draw it and what to call it."""

    rule: Clause
    name: str
    level: float
    first: int
    last: int
    sign: str
    beyond: str = ""
    """In what share of the patients it does not hold; empty where the limit is one of several of a rule."""

    @property
    def label(self) -> str:
        tail = f" {self.sign} {self.level:g}"
        room = max(_LABEL - len(tail), 6)
        name = self.name if len(self.name) <= room else f"{self.name[: room - 1]}\u2026"
        return name + tail


def tests_of(study: Study) -> list[tuple[Rule, str, Clause]]:
    """Every metric with its limit that rules hold: the rule, the place in it, and the metric."""
    return [(rule, path, test) for rule in study.scenario.spec.rules for path, test in rule.leaves()]


def limits_of(study: Study, case: Case, output: str) -> list[Limit]:
    found = []
    for rule, path, test in tests_of(study):
        if not test.output or case.model.observable(test.output) != output:
            continue
        levels = [(test.threshold, ">"), (test.up_to, "\u2264")]
        if METRICS[test.metric] == "concentration" and test.relative_to is None:
            levels.append((test.limit, "\u2264" if test.upper else "\u2265"))
        first, last = (test.window.first, test.window.last) if test.window.kind == "sessions" else (1, case.n_sessions)
        factor = case.model.factor_of(output)
        name = f"not {rule.id}" if path.split(".").count("not") % 2 else rule.id
        beyond = _beyond(study, case, rule) if rule.joined is None else ""
        found += [
            Limit(test, name, level.value / factor, first, last, sign, beyond)
            for level, sign in levels
            if level is not None
        ]
    return found


def _beyond(study: Study, case: Case, rule: Rule) -> str:
    """The share of the patients who do not keep a rule, in words; of several windows the largest."""
    of_case = [f for f in study.results if (f.rule, f.arm, f.model) == (rule.id, case.arm.name, case.model.id)]
    if not of_case:
        return ""
    share = 100 * max(1 - found.share for found in of_case)
    level = METRICS[rule.metric] == "concentration" and rule.threshold is None and rule.relative_to is None
    side = ("above" if rule.upper else "below") if level else "break it"
    said = f"{share:.0f} %" if share >= 0.95 or share == 0 else f"{share:.1f} %"
    return f"{'up to ' if len(of_case) > 1 else ''}{said} {side}"


def unit_of(model: ModelSpec, name: str) -> str:
    """What an output or effect is counted in, as axes say it; and that an effect is illustrative."""
    bare = "fraction of maximal effect" if name in model.effects and model.effects[name].turnover is None else "no unit"
    return (model.observables[name] or bare) + (", illustrative" if model.illustrative(name) else "")


def mark_bands(model: ModelSpec, name: str, ax: Axes) -> None:
    """Shade the ranges of levels that a model marks on an output, as far as the axis reaches; with their names."""
    bottom, top = ax.get_ylim()
    for title, band in model.bands.items():
        factor = model.factor_of(name)
        low, high = (end / factor for end in band.band)
        if model.output(band.on) != name or low >= top:
            continue
        ax.axhspan(max(low, bottom), min(high, top), color=MARK, alpha=0.16, linewidth=0, zorder=0)
        text = title + (", illustrative" if band.illustrative else "")
        ax.text(0.995, max(low, bottom), text, transform=ax.get_yaxis_transform(), fontsize=8, ha="right", va="bottom")
    ax.set_ylim(bottom, top)


def label_limits(ax: Axes, limits: list[Limit]) -> None:
    """Names of the limits in the right margin, pushed apart where they would overlap."""
    top = ax.get_ylim()[1]
    room = 0.062 * top
    last = float("-inf")
    for limit in sorted(limits, key=lambda item: item.level):
        y = max(limit.level, last + room)
        last = y
        ax.annotate(
            limit.label,
            (1.0, limit.level),
            (1.008, y),
            xycoords=("axes fraction", "data"),
            textcoords=("axes fraction", "data"),
            fontsize=9,
            va="center",
            color=LIMIT,
            annotation_clip=False,
        )


def wrapped(text: str, width: int = 30) -> str:
    """A label of an axis in lines that fit beside a panel."""
    return text if len(text) <= width else "\n".join(textwrap.wrap(text, width, break_long_words=False))
