"""Residual error: what an assay and a drawn sample make of a true level.

It belongs to a measurement at a time. So it is on predicted *measured* levels (the points of bands, a level at a
moment, a trough), and never on exact peaks, areas, times above a threshold or effects, which nobody measures as such.

    proportional      y (1 + sigma e)
    additive          y + sigma e                 in the unit of the output
    log_additive      y exp(sigma e)

with e standard normal, one for every patient, output and observation; where a paper gives several, all apply. A
measurement that comes out below 0 is reported as 0: no assay gives less.

Beal SL. Ways to fit a PK model with some data below the quantification limit. J Pharmacokinet Pharmacodyn
2001;28:481-504, on what such a level is to an analyst.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pkmodel import metrics
from pkmodel.metrics import Figures, Request, Span
from pkmodel.population import normals
from pkmodel.specs.metric import WITH_MOMENT
from pkmodel.specs.model import ModelSpec

Floats = NDArray[np.float64]

#: Metrics that are a measured level.
MEASURED = (*WITH_MOMENT, "trough")


@dataclass(frozen=True)
class Assay:
    """The measurements of a block of patients under one model.

    Every error has a stream of its own, named after output and observation and counted by patient: arms share them,
    and more observations or patients change none.
    """

    model: ModelSpec
    seed: int
    first: int
    size: int

    def measured(self, levels: Floats, output: str, observation: str) -> Floats:
        """True levels (n,) of an output, in its unit, as measured; those without a published error stay true."""
        error = self.model.residual.get(output)
        if error is None:
            return levels
        found = levels
        for kind in ("log_additive", "proportional", "additive"):
            sigma: float | None = getattr(error, kind)
            if not sigma:
                continue
            e = sigma * normals(self.seed, f"residual/{output}/{observation}/{kind}", self.first, self.size)
            found = found * np.exp(e) if kind == "log_additive" else found + (levels * e if kind[0] == "p" else e)
        return np.maximum(found, 0.0)

    def of_grid(self, levels: Floats, output: str, time: Floats) -> Floats:
        """True levels (n, t) at times (h) of a course, as measured."""
        found = np.empty(levels.shape)
        for index, moment in enumerate(time.tolist()):
            found[:, index] = self.measured(levels[:, index], output, f"{moment!r} h")
        return found

    def evaluate(self, figures: Figures, span: Span, request: Request) -> Floats:
        """A metric (n,) as :func:`pkmodel.metrics.evaluate` has it; where it is a measured level, as measured."""
        values = metrics.evaluate(figures, span, request)
        if request.metric not in MEASURED:
            return values
        when = "trough" if request.moment is None else str(request.moment)
        return self.measured(values, request.output, f"session {span.session}, {when}")


def notes(models: Iterable[ModelSpec]) -> list[str]:
    """What a reader of a run with residual error must know, one sentence each."""
    said = [
        "bands, levels at a moment and troughs are measured levels, with residual error; peaks, areas and times above "
        "are of true levels"
    ]
    for model in models:
        without = [name for name in model.outputs if name not in model.residual]
        if without:
            said.append(f"{model.id} has no residual error of {' and '.join(without)}: those levels are true ones")
    return said
