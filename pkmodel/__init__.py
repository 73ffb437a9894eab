"""pkmodel: a simulator of ketamine and esketamine dosing, for research and teaching, not for patient care.

The public names are imported when they are first used, so that ``import pkmodel`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pkmodel.errors import InputError, PkmodelError, RunError
    from pkmodel.outcome import Study
    from pkmodel.population import Patient
    from pkmodel.records import simulate_records
    from pkmodel.report import run
    from pkmodel.simulation import Result, simulate
    from pkmodel.specs.library import load_effect, load_model, load_population, load_protocol, load_scenario

_HOME = {
    "InputError": "errors",
    "PkmodelError": "errors",
    "RunError": "errors",
    "Patient": "population",
    "Result": "simulation",
    "Study": "outcome",
    "load_effect": "specs.library",
    "load_model": "specs.library",
    "load_population": "specs.library",
    "load_protocol": "specs.library",
    "load_scenario": "specs.library",
    "run": "report",
    "simulate": "simulation",
    "simulate_records": "records",
}
__all__ = [
    "InputError",
    "Patient",
    "PkmodelError",
    "Result",
    "RunError",
    "Study",
    "load_effect",
    "load_model",
    "load_population",
    "load_protocol",
    "load_scenario",
    "run",
    "simulate",
    "simulate_records",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("pkmodel")
    if name in _HOME:
        value = getattr(import_module(f"pkmodel.{_HOME[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
