"""Models held against published figures: the checks of their own papers, and what other studies observed.

Two kinds of rows are kept apart. *verification*: the model's own paper or the data it was fitted to; it asks whether
the numbers were entered and are solved rightly. *validation*: somebody else's data; it asks whether the model is right
for such use. Every row is shown, however far off; what a row has to hold is said by its ``role``:

``must_reproduce``
    a figure that follows from the published numbers: within the tolerance.
``recorded``
    a known disagreement: the difference is the recorded one, with its reason.
``shown``
    nothing is asked of it; the difference is the result.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pkmodel import checks
from pkmodel.errors import InputError
from pkmodel.specs.check import Check
from pkmodel.specs.library import load_model, load_reference
from pkmodel.specs.loading import library
from pkmodel.specs.model import ModelSpec
from pkmodel.specs.reference import MOLAR_MASS, OF_DISPOSITION, Expected, Figure, ReferenceSpec, Setting, massive
from pkmodel.studied import Studied, summary
from pkmodel.units import Quantity

Kind = Literal["verification", "validation"]
Role = Literal["must_reproduce", "recorded", "shown"]

#: A figure agrees within one SD of the study, inside its interval or range, or else within this share.
NEAR = 0.30
#: What a figure to reproduce may be off.
REPRODUCED = 0.01


@dataclass(frozen=True)
class Row:
    """One published figure beside what one model gives, both in ``unit``.

    ``low`` and ``high`` are the ends of a published range or interval; the published value of a range is its middle.
    ``in_sd`` is the difference in standard deviations between people (of the logarithm, where the study gives a
    geometric one). ``patients`` is 1 for a typical patient. ``expected_percent`` is a recorded difference.
    """

    model: str
    study: str
    quantity: str
    unit: str
    published: float
    low: float | None
    high: float | None
    is_range: bool
    sd: float | None
    geometric_sd: float | None
    spread: str | None
    simulated: float
    percent: float
    in_sd: float | None
    statistic: str
    patients: int
    kind: Kind
    evidence: str | None
    role: Role
    expected_percent: float | None
    within_percent: float | None
    reason: str | None
    notes: tuple[str, ...]
    holds: bool

    @property
    def agrees(self) -> bool:
        """Whether the model is near: within 1 SD, inside the published interval or range, or within 30 %."""
        if self.low is not None and self.high is not None and self.low <= self.simulated <= self.high:
            return True
        if self.in_sd is not None and abs(self.in_sd) <= 1.0:
            return True
        return abs(self.percent) <= 100 * NEAR

    def as_json(self) -> dict[str, Any]:
        """The row as plain data; ``pass`` says whether it holds what its role asks, ``agrees`` whether it is near."""
        plain = {name: value for name, value in vars(self).items() if name != "holds"}
        return {**plain, "notes": list(self.notes), "agrees": self.agrees, "pass": self.holds}


@dataclass(frozen=True)
class Left:
    """A published figure that no model, or not this one, is held against, and why."""

    study: str
    quantity: str
    published: str
    reason: str
    model: str | None = None


@dataclass(frozen=True)
class Verification:
    """All rows, and what was left out."""

    rows: tuple[Row, ...]
    left: tuple[Left, ...]

    @property
    def holds(self) -> bool:
        """Whether every row holds what is asked of it."""
        return all(row.holds for row in self.rows)

    def counts(self) -> dict[str, dict[str, int]]:
        """For each kind of rows: how many, how many agree, and how many models and studies there are."""
        found = {}
        for kind in ("verification", "validation"):
            rows = [row for row in self.rows if row.kind == kind]
            found[kind] = {
                "rows": len(rows),
                "agree": sum(row.agrees for row in rows),
                "models": len({row.model for row in rows}),
                "studies": len({row.study for row in rows}),
            }
        return found


def verify(models: Sequence[ModelSpec] | None = None) -> Verification:
    """Hold models (all of the library without any named) against their checks and every reference that fits them.

    Raises InputError where a reference names a model or a protocol that does not exist.
    """
    chosen = list(models) if models is not None else [load_model(name) for name in sorted(library("models"))]
    references = [load_reference(name) for name in sorted(library("references"))]
    rows: list[Row] = []
    left: list[Left] = []
    for model in chosen:
        rows += [_check_row(model, check) for check in model.checks]
        for reference in references:
            for setting in reference.settings.values():
                for found in _held(model, reference, setting):
                    (rows if isinstance(found, Row) else left).append(found)  # type: ignore[arg-type]
    left += [
        Left(reference.title, item.quantity, item.published, item.reason)
        for reference in references
        for item in reference.not_compared
    ]
    return Verification(tuple(rows), tuple(left))


def _check_row(model: ModelSpec, check: Check) -> Row:
    """A figure of the model's own paper, of the patient that it names."""
    unit, factor = check.expected.unit.text, float(check.expected.unit.factor)
    simulated = checks.simulated(model, check)
    low, high = (end.value / factor for end in check.interval) if check.interval is not None else (None, None)
    recorded = check.expected_difference
    role: Role = "must_reproduce" if check.role == "must_reproduce" else "recorded" if recorded else "shown"
    sd = None if check.sd is None else check.sd.value / factor
    return Row(
        model=model.id,
        study=f"own paper, {check.origin}",
        quantity=check.id.replace("_", " "),
        unit=unit,
        published=check.expected.value / factor,
        low=low,
        high=high,
        is_range=False,
        sd=sd,
        geometric_sd=None,
        spread=None,
        simulated=simulated / factor,
        percent=100 * check.difference(simulated),
        in_sd=None if not sd else (simulated - check.expected.value) / factor / sd,
        statistic="typical",
        patients=1,
        kind="verification",
        evidence=check.evidence or model.evidence,
        role=role,
        expected_percent=100 * recorded.value if recorded else None,
        within_percent=100 * check.tolerance.value if role != "shown" else None,
        reason=check.reason,
        notes=(),
        holds=check.met(simulated),
    )


def _held(model: ModelSpec, reference: ReferenceSpec, setting: Setting) -> Iterator[Row | Left]:
    """Every figure of a study that the model can be held against."""
    own = model.id in reference.own
    study = Studied(model, setting)
    if setting.models == ("others" if own else "own") or not study.fits:
        return
    if model.id in setting.not_for:
        for figure in setting.figures:
            yield Left(reference.title, figure.quantity, _printed(figure), setting.not_for[model.id], model.id)
        return
    for figure in setting.figures:
        if not study.answers(figure):
            continue
        try:
            values = study.measured(figure)
            simulated = summary(values, figure)
        except InputError as error:
            reason = "; ".join(f"found {problem.found}, expected {problem.expected}" for problem in error.problems)
            yield Left(reference.title, figure.quantity, _printed(figure), reason, model.id)
            continue
        yield _row(model, reference, setting, figure, simulated, values.size, own)


def _row(
    model: ModelSpec,
    reference: ReferenceSpec,
    setting: Setting,
    figure: Figure,
    simulated: float,
    patients: int,
    own: bool,
) -> Row:
    analyte = model.drug if figure.output == "parent" else figure.output
    unit = figure.published[0].unit

    def shown(quantity: Quantity) -> float:
        """A published quantity in base units, with an amount of substance as its mass."""
        return massive(quantity, analyte)[0]

    factor = shown(figure.published[0]) / figure.published[0].number
    ends = [shown(end) / factor for end in (figure.interval or (figure.published if len(figure.published) > 1 else ()))]
    published = sum(shown(value) for value in figure.published) / len(figure.published) / factor
    value = simulated / factor
    sd = None if figure.sd is None else shown(figure.sd) / factor
    in_sd = None
    if sd:
        in_sd = (value - published) / sd
    elif figure.geometric_sd is not None and figure.geometric_sd > 1:
        in_sd = math.log(value / published) / math.log(figure.geometric_sd)
    percent = 100 * (value / published - 1)
    expected = figure.expected.get(model.id)
    role, within, holds = _asked(figure, expected, percent)
    return Row(
        model=model.id,
        study=reference.title,
        quantity=figure.quantity,
        unit=unit.text,
        published=published,
        low=ends[0] if ends else None,
        high=ends[1] if len(ends) > 1 else None,
        is_range=len(figure.published) > 1,
        sd=sd,
        geometric_sd=figure.geometric_sd,
        spread=figure.spread,
        simulated=value,
        percent=percent,
        in_sd=in_sd,
        statistic=figure.statistic if patients > 1 else "typical",
        patients=patients,
        kind="verification" if own else "validation",
        evidence=figure.evidence or reference.source.evidence,
        role=role,
        expected_percent=expected.percent if expected else None,
        within_percent=within,
        reason=expected.reason if expected else figure.note,
        notes=_notes(model, setting, figure, analyte),
        holds=holds,
    )


def _asked(figure: Figure, expected: Expected | None, percent: float) -> tuple[Role, float | None, bool]:
    """What is asked of a row, how near it must be (percent), and whether it is."""
    if expected is not None:
        return "recorded", expected.within, abs(percent - expected.percent) <= expected.within
    if figure.role == "must_reproduce":
        return "must_reproduce", 100 * REPRODUCED, abs(percent) <= 100 * REPRODUCED
    return "shown", None, True


def _notes(model: ModelSpec, setting: Setting, figure: Figure, analyte: str) -> tuple[str, ...]:
    """What a reader of the row must know."""
    said = [f"assumed: {sentence}" for sentence in setting.assumed]
    if setting.sampling is not None and setting.sampling != model.sampling and figure.metric not in OF_DISPOSITION:
        said.append(f"{setting.sampling} samples against a model of {model.sampling} levels")
    if model.variability.borrowed:
        said.append(f"variability borrowed from {model.variability.borrowed}")
    if any(("substance", 1.0) in value.unit.dimensions for value in figure.published):
        said.append(f"{analyte}: {MOLAR_MASS[analyte]:g} g/mol")
    return tuple(said)


def _printed(figure: Figure) -> str:
    return " - ".join(value.text for value in figure.published)
