"""What leaves the page: the protocol as YAML, the levels as CSV, the command line that gives the same numbers."""

from __future__ import annotations

import io
import shlex

from pkmodel.app.compute import Curve, Curves
from pkmodel.app.course import yaml_of
from pkmodel.app.state import ArmKey, State
from pkmodel.disclaimer import NOT_FOR_CARE


def yaml_name(state: State, key: ArmKey) -> str:
    """The name of the file of an arm's protocol."""
    arm = state.arms[key]
    if arm.source == "library":
        return f"{arm.protocol}.yaml"
    return "course.yaml" if state.b is None else f"course_{key}.yaml"


def yaml_text(state: State, key: ArmKey) -> str:
    """The protocol of an arm as a file of its own, with what it is not for."""
    return f"# {NOT_FOR_CARE}\n{yaml_of(state.arms[key], key)}"


def command_lines(state: State, shown: Curves, out: str = ".csv") -> list[str]:
    """The command lines that reproduce the curves of the patient, one for each arm and way of giving the drug.

    A protocol that is not of the library is the file that the page downloads, in the folder where the command runs.
    """
    groups: dict[tuple[ArmKey, str], list[Curve]] = {}
    for curve in shown.by_name.values():
        groups.setdefault((curve.arm, curve.drug), []).append(curve)
    return [
        _command(state, shown, list(curves), out, place, len(groups)) for place, curves in enumerate(groups.values())
    ]


def _command(state: State, shown: Curves, curves: list[Curve], out: str, place: int, of: int) -> str:
    first = curves[0]
    arm = state.arms[first.arm]
    words = ["pkmodel", "simulate", arm.protocol if arm.source == "library" else yaml_name(state, first.arm)]
    for curve in curves:
        words += ["--model", curve.model]
    fitting = [name for name in shown.effects if all(name in _named(curve) for curve in curves)]
    for name in fitting:
        words += ["--effect", name]
    person = state.person.arguments()
    for key in ("weight", "age", "height", "sex"):
        words += [f"--{key}", str(person[key])]
    usual = {"ancestry": "other", "cyp2b6_activity": 1.0, "hepatic_impairment": 0.0, "severity": None}
    for key, value in usual.items():
        if person.get(key) != value:
            words += [f"--{key.replace('_', '-')}", str(person[key])]
    if first.drug != "match":
        words += ["--drug", first.drug]
    words += ["--until", f"{shown.until:.12g} h", "--every", shown.every]
    words += ["-o", f"curve{'' if of == 1 else f'_{place + 1}'}{out}"]
    return shlex.join(words)


def _named(curve: Curve) -> list[str]:
    model = curve.result.model
    return [*model.effects, *model.bands]


def csv_text(shown: Curves) -> str:
    """The levels of the patient as a table: curve, model, subject, time_h, output, value, unit (and note)."""
    import pandas as pd

    parts = []
    for name, curve in shown.by_name.items():
        table = curve.result.to_pandas()
        table.insert(0, "curve", name)
        table.insert(1, "model", curve.model)
        table.attrs = {}
        parts.append(table)
    file = io.StringIO()
    pd.concat(parts, ignore_index=True).to_csv(file, index=False, lineterminator="\n")
    return file.getvalue()
