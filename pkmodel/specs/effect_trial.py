"""An effect file tried by itself: on a model that gives what the effect is stated for, and nothing else."""

from __future__ import annotations

from functools import cache

from pkmodel.errors import Problem
from pkmodel.specs.attach import Driver, joined
from pkmodel.specs.effect_file import EffectFile
from pkmodel.specs.model import ModelSpec


def problems_alone(file: EffectFile) -> list[Problem]:
    """What is wrong with the numbers and formulas of a file, whatever the model; by the places of the file."""
    if file.band is not None:
        return []
    model = _stand_in(file.drug, tuple(dict.fromkeys(file.analytes.values())))
    _, problems = joined(model, file, {driver: Driver({analyte: 1.0}) for driver, analyte in file.analytes.items()})
    return [_in_file(problem, file.id) for problem in problems]


def _in_file(problem: Problem, name: str) -> Problem:
    """A problem of the model that an effect was tried on, in the words and places of the effect's file."""

    def plain(text: str) -> str:
        return text.replace(f"{name}_", "").replace(", zz_rate, zz_volume", "")

    path = problem.path.removeprefix(f"effects.{name}").removeprefix(".")
    return Problem(plain(problem.found), plain(problem.expected), plain(path), nearest=plain(problem.nearest))


@cache
def _stand_in(drug: str, analytes: tuple[str, ...]) -> ModelSpec:
    """A model that gives these analytes and nothing else, to try an effect on."""
    number = {"from": "nowhere"}
    return ModelSpec.model_validate(
        {
            "id": "any_model",
            "title": "A model that an effect is tried on",
            "drug": drug,
            "source": "nowhere",
            "evidence": "assumed",
            "sampling": "venous",
            "population": {"description": "nobody"},
            "parameters": {"zz_rate": {"value": "1 1/h", **number}, "zz_volume": {"value": "100 L", **number}},
            "compartments": [f"zz_{analyte}" for analyte in analytes],
            "flows": [{"from": f"zz_{analyte}", "to": "outside", "rate": "zz_rate"} for analyte in analytes],
            "routes": {"iv": [{"into": f"zz_{analytes[0]}"}]},
            "outputs": {
                analyte: {"amount": f"zz_{analyte}", "volume": "zz_volume", "unit": "ng/mL"} for analyte in analytes
            },
        }
    )
