"""What the page shows of a state, as plain data and HTML: made by a worker, sent to the browser by the server."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pkmodel.app.picture import Picture
from pkmodel.app.state import ArmKey

if TYPE_CHECKING:
    from pkmodel.plots.summary import Summary


@dataclass(frozen=True, eq=False)
class Line:
    """What the pointer reads on a curve: ``levels`` (k, t) of the outputs that are drawn, (label, unit), over h."""

    name: str
    outputs: tuple[tuple[str, str], ...]
    time: NDArray[np.float64]
    levels: NDArray[np.float64]


@dataclass(frozen=True)
class Fits:
    """What fits the courses: models of the edited one and further ones of the first with their grades, and effects."""

    editing: ArmKey
    models: tuple[tuple[str, str], ...]
    others: tuple[tuple[str, str], ...]
    effects: tuple[tuple[str, str], ...]
    drawn: tuple[str, ...]
    """Of the effects that were asked for, those that are drawn."""
    model: str
    """What the edited course runs on."""


@dataclass(frozen=True)
class Sites:
    """The model that would be steered, and the places where it can be (value -> words); None where it cannot."""

    model: str
    places: tuple[tuple[str, str], ...] | None


@dataclass(frozen=True, eq=False)
class Band:
    """Virtual patients of the curves; ``key`` is what they were computed for.

    The server hands them from one worker to another and never looks inside: it would have to load what draws.
    """

    key: str
    n: int
    packed: bytes

    @classmethod
    def of(cls, key: str, n: int, summaries: Mapping[str, Summary]) -> Band:
        """The band of summaries by curve."""
        return cls(key, n, pickle.dumps(summaries))

    @property
    def summaries(self) -> dict[str, Summary]:
        """The summaries by curve."""
        found: dict[str, Summary] = pickle.loads(self.packed)  # a worker wrote it; nothing of a browser's is in reach
        return found


@dataclass(frozen=True, eq=False)
class Shown:
    """A state as the page shows it. Texts that end in ``_html`` are HTML whose parts were escaped when it was made."""

    until: float
    headline: str
    numbers_html: str
    evidence_html: str
    nurse_html: str
    commands: tuple[str, ...]
    files: Mapping[ArmKey, str]
    """The protocols as YAML."""
    fits: Fits
    sites: Sites
    lines: tuple[Line, ...]
    band_key: str
    """What a band of this state is computed for."""
    picture: Picture | None
    """None: it is not in sight."""
    alt: str
