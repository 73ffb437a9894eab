"""The JSON files of a run, read with the care that a stranger's file needs: size, depth, numbers and shape."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from pkmodel.errors import InputError, Problem, shown
from pkmodel.specs import loading
from pkmodel.specs.reading import content
from pkmodel.specs.yaml_tree import Document

#: Far more than a run writes.
MAX_MEGABYTES = 50

Count = Annotated[int, Field(ge=1, le=100_000_000)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]


class Shape(loading.Spec):
    """What is needed of a file; what else is there is left alone, as another version may have written it."""

    model_config = ConfigDict(extra="ignore")


class Text(Shape):
    """The text of a file that decided a run."""

    key: str
    kind: Literal["scenarios", "models", "protocols", "populations", "effects", "rules"]
    asked: str
    sha256: str
    text: str


class Head(Shape):
    """The scenario itself: a text, or what a mapping in Python held."""

    name: str
    sha256: str
    text: str | None = None
    tree: dict[str, Any] | None = None


class Inputs(Shape):
    """``inputs.json``."""

    format: int
    scenario: Head
    n: Count | None
    seed: Seed
    models: list[str]
    files: list[Text]


class Options(Shape):
    """How a run was asked for."""

    engine: Literal["auto", "propagator", "ode"]
    method: Literal["auto", "explicit", "stiff"]
    tolerance: Annotated[float, Field(gt=0, lt=1)]
    strict: bool
    metrics: Literal["rules", "all"]


class Identity(Shape):
    """``run.json`` of an unfinished run or a shard."""

    shard: str
    block: Count
    options: Options
    inputs: dict[str, str]
    versions: dict[str, str]
    cpu: dict[str, str | float | bool | list[str] | None]


class Input(Shape):
    """What a manifest says of a file that decided a run."""

    name: str
    sha256: str


class Manifest(Shape):
    """``manifest.json`` of a finished run."""

    n: Count
    seed: Seed
    block: Count
    options: Options
    inputs: dict[str, Input]
    versions: dict[str, str]
    cpu: dict[str, str | float | bool | list[str] | None]


class Findings(Shape):
    """``findings.json``; the sections of a report look at the rest."""

    title: str
    question: str
    n: Count
    seed: Seed
    findings: list[dict[str, Any]]


def read(file: Path, whose: str) -> dict[str, Any]:
    """The keys and values of a JSON file. Raises InputError where there is none, or no such file."""
    expected = f"{whose} {file.name}"

    def refuse(found: str) -> InputError:
        return InputError(Problem(found, expected, where=str(file)))

    try:
        text = content(file, file.suffix, MAX_MEGABYTES).decode("utf-8")
        found = json.loads(text, parse_constant=_number, parse_float=_number)
    except InputError as error:
        raise refuse(error.problems[0].found) from None
    except RecursionError:
        raise refuse("a file nested too deeply") from None
    except ValueError as error:
        raise refuse(f"a file that cannot be read ({shown(str(error))})") from None
    if not isinstance(found, dict):
        raise refuse(shown(found))
    return found


def _number(text: str) -> float:
    """A number of a file; ``NaN``, ``Infinity`` and 1e999 are none."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is no number that a run writes")
    return number


def checked(found: dict[str, Any], cls: type[loading.S], where: str) -> loading.S:
    """What is needed of it, in its shape. Raises InputError with all that is wrong; ``where`` is the file."""
    return loading.check(Document(name=where, tree=found), cls)
