"""Options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pkmodel.population import Patient

JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Weight = Annotated[str | None, typer.Option(help='Body weight, such as "82 kg".')]
Age = Annotated[str | None, typer.Option(help='Age, such as "45 y".')]
Height = Annotated[str | None, typer.Option(help='Height, such as "175 cm".')]
Sex = Annotated[str | None, typer.Option(help="female or male.")]
Ancestry = Annotated[str, typer.Option(help="other, asian or japanese.")]
Cyp2b6 = Annotated[
    float, typer.Option("--cyp2b6-activity", help="CYP2B6: 1 without an inhibitor, 0 inactive, for models that ask.")
]
Severity = Annotated[
    float | None, typer.Option(help="Severity score (MADRS, say), for protocols whose dose depends on it.")
]
Hepatic = Annotated[
    float, typer.Option("--hepatic-impairment", help="0 none to 1 severe, for protocols and models that ask.")
]


class Drug(StrEnum):
    """How a protocol's drug meets the model's."""

    match = "match"
    own = "own"
    half = "half"


def patient_of(
    weight: str | None,
    age: str | None,
    height: str | None,
    sex: str | None,
    ancestry: str,
    cyp2b6_activity: float = 1.0,
    hepatic_impairment: float = 0.0,
    severity: float | None = None,
) -> Patient:
    """The patient that the options describe. Raises InputError where a value is not a person's."""
    from pkmodel.population import Patient

    return Patient(
        weight=weight,
        age=age,
        height=height,
        sex=sex,
        ancestry=ancestry,
        cyp2b6_activity=cyp2b6_activity,
        hepatic_impairment=hepatic_impairment,
        severity=severity,
    )
