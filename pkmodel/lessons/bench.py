"""The engine's side of the lessons: courses as YAML text, runs that are kept, and what the answers rest on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from pkmodel.population import Patient
from pkmodel.simulation import Result, simulate
from pkmodel.specs.library import DrugMode, load_effect, load_model, load_protocol
from pkmodel.specs.loading import library
from pkmodel.specs.model import ModelSpec

Floats = NDArray[np.float64]

#: Whom the lessons treat where nothing else is said; a round adult, no patient of any study.
ADULT: dict[str, Any] = {"weight": "70 kg", "age": "40 y", "height": "170 cm", "sex": "female"}


def course(
    title: str, phases: Sequence[Mapping[str, Any]], *, drug: str = "ketamine", route: str = "iv", **more: Any
) -> str:
    """A protocol as YAML text, as a page or a file takes it. ``more`` are further keys of a protocol."""
    tree = {"title": title, "drug": drug, "route": route, **more, "phases": [dict(phase) for phase in phases]}
    return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, width=110)


def single(dose: str, over: str | None = None, *, drug: str = "ketamine", route: str = "iv", **more: Any) -> str:
    """One dose on day 1, at once or over a time, as YAML text."""
    phase: dict[str, Any] = {"name": "one", "dose": dose}
    phase |= {"over": over} if over else {}
    title = f"{dose} {drug} {route}" + (f" over {over}" if over else "")
    return course(title, [{**phase, "sessions": {"days": [1]}}], drug=drug, route=route, **more)


def run(
    protocol: str,
    model: str,
    *,
    until: str,
    every: str = "1 min",
    patient: Mapping[str, Any] = ADULT,
    effects: Sequence[str] = (),
    drug: DrugMode = "match",
) -> Result:
    """A protocol (a name, or YAML text) in one typical patient on a model; kept, so that it costs its time once."""
    return _run(protocol, model, until, every, tuple(patient.items()), tuple(effects), drug)


@lru_cache(maxsize=256)
def _run(
    protocol: str,
    model: str,
    until: str,
    every: str,
    patient: tuple[tuple[str, Any], ...],
    effects: tuple[str, ...],
    drug: DrugMode,
) -> Result:
    spec = load_protocol(yaml.safe_load(protocol) if "\n" in protocol else protocol)
    whom = Patient(**dict(patient))
    return simulate(spec, _model(model), whom, until=until, every=every, effects=effects, drug=drug)


@lru_cache(maxsize=64)
def _model(name: str) -> ModelSpec:
    return load_model(name)


def figures(result: Result, output: str = "parent") -> list[dict[str, float]]:
    """Of every session, exactly: ``peak`` (in the unit of the output), ``time_of_peak`` (h), ``auc``, ``trough``."""
    name = result.model.observable(output)
    table = result.sessions()
    rows = table[table["output"] == name].to_dict("records")
    return [{str(key): value for key, value in row.items() if not isinstance(value, str)} for row in rows]


def peak(result: Result, output: str = "parent") -> float:
    """The exact peak of the first session, in the unit of the output."""
    return figures(result, output)[0]["peak"]


def crossings(time: Floats, level: Floats, threshold: float) -> Floats:
    """Where a curve passes a threshold, by straight lines between its points; in the unit of ``time``."""
    above = level >= threshold
    at = np.flatnonzero(above[1:] != above[:-1])
    share = (threshold - level[at]) / (level[at + 1] - level[at])
    return time[at] + share * (time[at + 1] - time[at])


def time_above(time: Floats, level: Floats, threshold: float) -> float:
    """How long a finely sampled curve is above a threshold, in the unit of ``time``."""
    edges = np.concatenate(([time[0]], crossings(time, level, threshold), [time[-1]]))
    middle = np.interp((edges[1:] + edges[:-1]) / 2, time, level)
    return float(np.sum((edges[1:] - edges[:-1])[middle >= threshold]))


def source_of(model: str) -> str:
    """A model with its citation and the grade of its evidence."""
    spec = _model(model)
    return f"{spec.id} (evidence: {spec.evidence}): {spec.source.citation}"


def grade(name: str) -> str:
    """The grade of evidence of a model; of an effect, that it is illustrative, or the grades of its numbers."""
    if name in library("models"):
        return f"evidence: {_model(name).evidence}"
    effect = load_effect(name)
    return "illustrative" if effect.illustrative else "/".join(dict.fromkeys(effect.evidence.values()))


def effect_source(name: str) -> str:
    """An effect with its citation; and that it is illustrative, where it is."""
    effect = load_effect(name)
    mark = ", illustrative" if effect.illustrative else ""
    return f"{effect.id}{mark}: {effect.source.citation}"


def which(value: float, edges: Sequence[float], choices: Sequence[str]) -> str:
    """The choice whose range a number falls into: ``edges`` are the bounds between ``choices``, rising."""
    return choices[int(np.searchsorted(np.asarray(edges), value, side="right"))]
