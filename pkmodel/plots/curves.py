"""What a picture of levels is made of: a curve for every result and output, all in one unit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from pkmodel import units
from pkmodel.errors import InputError, Problem
from pkmodel.exact_figures import course_figures
from pkmodel.metrics import LAST_WINDOW
from pkmodel.plots.limits import unit_of
from pkmodel.plots.summary import Summary, patients_of
from pkmodel.specs.model import ModelSpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from pkmodel.simulation import Result

Floats = NDArray[np.float64]

#: What a picture is drawn of: results, or summaries of them too.
_Some = TypeVar("_Some", "Result", "Result | Summary")
#: Shares of the patients that the edges of bands are at, with the median in the middle.
EDGES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True, eq=False)
class Curve:
    """An output or effect of a result: ``levels`` (n, t) in ``unit`` at ``hours`` (t,) from the start of the course.

    ``arm`` is the name of the result (empty where there is only one) and ``place`` its number from 0; ``rank`` is 0
    for the drug itself, 1, 2, ... for what else is drawn of the same result. Of a summary ``levels`` are its edges.
    """

    arm: str
    place: int
    result: Result | Summary
    output: str
    rank: int
    unit: str
    hours: Floats
    levels: Floats

    @property
    def n(self) -> int:
        """The patients."""
        return patients_of(self.result)

    @cached_property
    def edges(self) -> Floats:
        """(5, t) the levels that :data:`EDGES` of the patients are below; all alike for one patient."""
        if isinstance(self.result, Summary):
            return self.levels
        if self.n == 1:
            return np.repeat(self.levels, len(EDGES), axis=0)
        return quantiles(self.levels)

    @property
    def middle(self) -> Floats:
        """(t,) the level of the one patient, or the median."""
        levels: Floats = self.levels[0] if self.n == 1 else self.edges[2]
        return levels

    @property
    def title(self) -> str:
        """What the curve is called in a legend."""
        name = self.output + (" (illustrative)" if self.result.model.illustrative(self.output) else "")
        return f"{self.arm}: {name}" if self.arm else name


def quantiles(levels: Floats) -> Floats:
    """(5, t) of levels (n, t): the linear interpolation between ranks that numpy calls its default."""
    ranked = np.sort(np.ascontiguousarray(levels.T), axis=1)
    found = []
    for share in EDGES:
        rank = share * (levels.shape[0] - 1)
        low = int(rank)
        high = min(low + 1, levels.shape[0] - 1)
        found.append(ranked[:, low] + (rank - low) * (ranked[:, high] - ranked[:, low]))
    return np.stack(found)


def named(results: _Some | Mapping[str, _Some]) -> dict[str, _Some]:
    """Results by name, a single one under the empty name. Raises InputError where there is none."""
    if isinstance(results, Mapping):
        if not results:
            raise InputError(Problem("no result", "at least one result to draw", path="results"))
        return dict(results) if len(results) > 1 else {"": next(iter(results.values()))}
    return {"": results}


def conversion(own: str, unit: str, what: str) -> float:
    """What a value in ``own`` is multiplied by to be in ``unit``. Raises InputError where they measure other things."""
    if own == unit:
        return 1.0
    try:
        fits = units.parse_unit(own).dimensions == units.parse_unit(unit).dimensions
    except InputError:  # points of a scale, say
        fits = False
    if not fits:
        found, expected = own or "no unit", f"a unit that can be converted to {unit or 'no unit'}"
        raise InputError(Problem(f"{what} in {found}", expected, path="unit"))
    return units.ratio(own, unit)


def curves_of(results: Mapping[str, Result | Summary], outputs: Sequence[str]) -> list[Curve]:
    """A curve for every output of every result, in the unit of the first.

    A metabolite that a model does not have is left out where others have it.
    Raises InputError for an output that no model has, or units that cannot be converted.
    """
    asked = [outputs] if isinstance(outputs, str) else list(dict.fromkeys(outputs))
    if not asked:
        raise InputError(Problem("no output", "at least one output to draw", path="outputs"))
    found: list[Curve] = []
    for place, (arm, result) in enumerate(results.items()):
        drawn: list[str] = []
        for output in asked:
            name = _resolved(result.model, output, [other.model for other in results.values()])
            if name is None or name in drawn:
                continue
            own = result.model.observables[name]
            unit = found[0].unit if found else own
            factor = conversion(own, unit, f"{name}{f' of {arm}' if arm else ''}")
            level = result.level(name)
            drawn.append(name)
            others = len([one for one in drawn if one != result.model.parent])
            effect = len(drawn) == 1 and name in result.model.effects
            found.append(
                Curve(
                    arm=arm,
                    place=place,
                    result=result,
                    output=name,
                    rank=0 if name == result.model.parent or effect else others,
                    unit=unit,
                    hours=result.time,
                    levels=level if factor == 1.0 else level * factor,
                )
            )
    return found


def _resolved(model: ModelSpec, output: str, models: Sequence[ModelSpec]) -> str | None:
    """The name of an output in a model; None where it has none, but another one of the models does."""
    try:
        return model.observable(output, path="outputs")
    except InputError:
        if any(_has(other, output) for other in models):
            return None
        raise


def _has(model: ModelSpec, output: str) -> bool:
    try:
        model.observable(output)
    except InputError:
        return False
    return True


def axis_of(curves: Sequence[Curve]) -> str:
    """What an axis of these curves counts, with its unit."""
    names = {curve.output for curve in curves}
    first = curves[0]
    unit = unit_of(first.result.model, first.output) if first.output in first.result.model.effects else first.unit
    what = first.output if len(names) == 1 else "level" if first.output not in first.result.model.effects else "effect"
    return f"{what} [{unit}]"


def evidence_of(results: Mapping[str, Result | Summary]) -> str:
    """The models behind a picture, each with its grade, one a line."""
    models = dict.fromkeys((result.model.id, result.model.evidence) for result in results.values())
    return "\n".join(f"{name} (evidence: {grade})" for name, grade in models)


def credit(results: Mapping[str, Result | Summary], ax: Axes) -> None:
    """Write the models and their grades along the right edge of a panel, smaller where it is low."""
    page = ax.get_figure(root=True)
    inches = ax.get_position().height * page.get_figheight() if page is not None else 3.0
    text = evidence_of(results)
    longest = max(map(len, text.split("\n")))
    if longest * 0.058 > inches:
        text = text.replace("evidence: ", "")
        longest = max(map(len, text.split("\n")))
    size = min(8.0, 8.0 * inches / (0.058 * longest))
    look: dict[str, Any] = {"rotation": 90, "ha": "left", "va": "bottom", "color": "#555555", "gid": "evidence"}
    ax.text(1.004, 0.0, text, transform=ax.transAxes, fontsize=size, **look)


def size_of(results: Mapping[str, Result | Summary]) -> str:
    """How many patients a picture is of, in words."""
    sizes = list(dict.fromkeys(patients_of(result) for result in results.values()))
    if sizes == [1]:
        return "one patient"
    return "n = " + " and ".join(f"{size:,}" for size in sizes) + " patients"


def exact_peaks(result: Result, output: str) -> list[tuple[float, float]]:
    """When (h from the start of the course) and how high an output of one patient is highest in every session."""
    last = max(result.until - result.schedule.last_start, LAST_WINDOW)
    figures = course_figures(
        result.network,
        result.schedule,
        last=last,
        areas=False,
        numerics=result.numerics,
        course=result.course,
    )[output]
    assert figures.time_of_peak is not None and figures.peak is not None
    return [
        (float(when), float(peak)) for when, peak in zip(figures.time_of_peak[:, 0], figures.peak[:, 0], strict=True)
    ]


def figures(value: float) -> str:
    """A number of three figures as people read it: 16,100 and not 1.61e+04."""
    return f"{value:.3g}" if abs(value) < 1000 else f"{float(f'{value:.3g}'):,.0f}"
