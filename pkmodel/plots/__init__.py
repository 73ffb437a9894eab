"""Pictures that explain. Every function takes ``ax=``, draws on it, returns it, and never shows it.

The names are imported when they are first used, so that whoever wants one picture does not wait for all of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pkmodel.overlay import models_overlay as models_overlay
    from pkmodel.plots.build_up import accumulation as accumulation
    from pkmodel.plots.decline import context_half_times as context_half_times
    from pkmodel.plots.decline import half_times as half_times
    from pkmodel.plots.diagram import compartments as compartments
    from pkmodel.plots.given_doses import doses as doses
    from pkmodel.plots.levels_over_time import concentration as concentration
    from pkmodel.plots.limits import Level as Level
    from pkmodel.plots.limits import Limit as Limit
    from pkmodel.plots.limits import limits_of as limits_of
    from pkmodel.plots.limits import mark_bands as mark_bands
    from pkmodel.plots.limits import tests_of as tests_of
    from pkmodel.plots.limits import unit_of as unit_of
    from pkmodel.plots.loops import effect_against_level as effect_against_level
    from pkmodel.plots.one_patient import effects as effects
    from pkmodel.plots.one_patient import levels as levels
    from pkmodel.plots.one_patient import mark_given as mark_given
    from pkmodel.plots.peaks import session_peaks as session_peaks
    from pkmodel.plots.plane import dose_duration_map as dose_duration_map
    from pkmodel.plots.population_bands import bands as bands
    from pkmodel.plots.ranking import tornado as tornado
    from pkmodel.plots.regimens import regimens_overlay as regimens_overlay
    from pkmodel.plots.verdicts import forest as forest

# No module has the name of a function of this list: importing it would put the module in the function's place.
_HOME = {
    "Level": "plots.limits",
    "Limit": "plots.limits",
    "accumulation": "plots.build_up",
    "bands": "plots.population_bands",
    "compartments": "plots.diagram",
    "concentration": "plots.levels_over_time",
    "context_half_times": "plots.decline",
    "dose_duration_map": "plots.plane",
    "doses": "plots.given_doses",
    "effect_against_level": "plots.loops",
    "effects": "plots.one_patient",
    "forest": "plots.verdicts",
    "half_times": "plots.decline",
    "levels": "plots.one_patient",
    "limits_of": "plots.limits",
    "mark_bands": "plots.limits",
    "mark_given": "plots.one_patient",
    "models_overlay": "overlay",
    "regimens_overlay": "plots.regimens",
    "session_peaks": "plots.peaks",
    "tests_of": "plots.limits",
    "tornado": "plots.ranking",
    "unit_of": "plots.limits",
}
__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(import_module(f"pkmodel.{_HOME[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
