"""What is suggested: a protocol that runs, its rows, what it achieves, and what it assumes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pkmodel.simulation import Result

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Row:
    """A line of the nurse's table: from ``time`` h on, ``dose`` mg over ``over`` h (0: at once), so ``rate`` mg/h.

    ``rate`` is None for what is given at once; a pause has a dose and a rate of 0.
    """

    time: float
    dose: float
    over: float
    rate: float | None
    volume_rate: float | None


@dataclass(frozen=True)
class Achieved:
    """What comes of a target: times in h, deviations in % of it, all of the simulated protocol.

    ``reached`` is when the level is first within the tolerance, counted from when the target is set; ``above`` and
    ``below`` are the largest deviations from then on, ``rms`` their root mean square, ``outside`` the time not within.
    """

    level: float
    start: float
    end: float
    reached: float
    above: float
    below: float
    rms: float
    outside: float


@dataclass(frozen=True)
class Suggestion:
    """A course that reaches the target, as a protocol that ``simulate`` takes, and what it achieves.

    ``unit`` is that of levels; ``aim`` is the observable of ``result`` that the target is stated for.
    """

    protocol: str
    result: Result
    aim: str
    unit: str
    rows: tuple[Row, ...]
    achieved: tuple[Achieved, ...]
    total: float
    peak: float
    sentences: tuple[str, ...]
    assumptions: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def time(self) -> Floats:
        """(t,) h."""
        return self.result.time

    @property
    def level(self) -> Floats:
        """(t,) what the target is stated for, in ``unit``."""
        found: Floats = self.result.level(self.aim)[0]
        return found

    def to_pandas(self) -> pd.DataFrame:
        """The rows: time_min, dose_mg, over_min, rate_mg_per_h, rate_mL_per_h (NaN for what is given at once)."""
        import pandas as pd

        return pd.DataFrame(
            {
                "time_min": [60 * row.time for row in self.rows],
                "dose_mg": [row.dose for row in self.rows],
                "over_min": [60 * row.over for row in self.rows],
                "rate_mg_per_h": [np.nan if row.rate is None else row.rate for row in self.rows],
                "rate_mL_per_h": [np.nan if row.volume_rate is None else row.volume_rate for row in self.rows],
            }
        )
