"""The outcome of a run: rules judged, quantiles over patients, arms compared.

Everything here is made from integer counts and from per-patient values in the order of the patients, so it does
not depend on how a run was split. Tables are plain columns inside and pandas only for who asks for it, because
pandas takes half a second to import.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pkmodel import against_reference, between, cautions, failing, findings, needed, replicates
from pkmodel.cases import Case, variability_notes
from pkmodel.engine import AUTO, Numerics
from pkmodel.findings import Finding
from pkmodel.metrics import Request
from pkmodel.questions import Question
from pkmodel.specs.library import Scenario
from pkmodel.specs.model import ModelSpec

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
Counts = NDArray[np.uint32]
Columns = dict[str, list[Any]]

#: Quantiles of the bands, and the names of their columns.
SHARES = (0.05, 0.25, 0.5, 0.75, 0.95)
QUANTILES = tuple(f"p{100 * share:g}" for share in SHARES)


@dataclass
class CaseSums:
    """What one case leaves behind, whatever the number of patients: integer counts only."""

    bands: Counts
    peaks: Counts
    effects: Counts
    """(effects, times, sketch.SIGNED): the bands of the effects, which may lie below 0."""
    met: dict[tuple[str, str], int] = field(default_factory=dict)
    met_in: dict[tuple[str, str], NDArray[np.int64]] = field(default_factory=dict)
    """How many keep a rule in each replicate (r,), where patients are spread evenly."""
    pairs: dict[tuple[str, str], NDArray[np.int64]] = field(default_factory=dict)
    """Who keeps a rule here and in the reference arm (r, 3); see :mod:`pkmodel.needed`."""
    outside: dict[str, int] = field(default_factory=dict)
    acts: dict[tuple[int, str, str], int] = field(default_factory=dict)
    """What a clinic did: in how many patients, by session, stage and what."""
    people: dict[str, int] = field(default_factory=dict)
    """How many of the patients are adults, and how many children."""
    profiles: Counts = field(default_factory=lambda: np.zeros((0, 0, 0), dtype=np.uint32))
    """(rules and windows + 1, replicates, cells): covariates of everybody, and of those who break each rule."""

    def add(self, other: CaseSums) -> None:
        """Add the counts of other patients."""
        self.bands += other.bands
        self.peaks += other.peaks
        self.effects += other.effects
        self.profiles += other.profiles
        for rule, count in other.met.items():
            self.met[rule] = self.met.get(rule, 0) + count
        for own, theirs_in in ((self.met_in, other.met_in), (self.pairs, other.pairs)):
            for rule, counts in theirs_in.items():
                own[rule] = own.get(rule, 0) + counts
        for act, count in other.acts.items():
            self.acts[act] = self.acts.get(act, 0) + count
        for mine, theirs in ((self.outside, other.outside), (self.people, other.people)):
            for name, count in theirs.items():
                mine[name] = mine.get(name, 0) + count


@dataclass(frozen=True)
class Uncertain:
    """The share of patients who keep a rule, over draws of the typical values; a line of uncertainty.csv."""

    rule: str
    arm: str
    model: str
    window: str
    draws: int
    n: int
    share_at_typical: float
    median: float
    low: float
    high: float
    draws_met: float
    draws_broken: float
    draws_undecided: float


class Precise(Protocol):
    """What :mod:`pkmodel.precision` leaves behind, as far as a run writes it down."""

    def plain(self) -> dict[str, Any]:
        """As plain data, for findings.json."""

    def said(self) -> list[str]:
        """As sentences."""

    def judged(self, finding: Finding) -> Finding:
        """A finding with the interval that holds although the run stopped on it."""


@dataclass
class Study:
    """The outcome of a run."""

    scenario: Scenario
    cases: list[Case]
    sums: list[CaseSums]
    compared: list[dict[Request, Floats]]
    numerics: Numerics = AUTO
    answers: list[dict[Question, Floats]] = field(default_factory=list)
    """For each case what every patient has of the metrics that models are set side by side in; (n,) each."""
    precise: Precise | None = None
    """How many patients a stated precision took, and the confidence sequence of its rule."""
    uncertain: list[Uncertain] = field(default_factory=list)
    """The shares over draws of the typical values, where parameter uncertainty was asked for."""

    @property
    def engines(self) -> dict[str, str]:
        """The engine that ran each model: ``propagator`` or ``ode``."""
        models = {case.model.id: case.model for case in self.cases}
        ode = self.numerics.engine == "ode"
        return {name: "propagator" if model.linear and not ode else "ode" for name, model in models.items()}

    @property
    def n(self) -> int:
        """How many patients."""
        return self.scenario.spec.n

    @cached_property
    def results(self) -> list[Finding]:
        """Every rule judged in every arm and model."""
        found = []
        for rule in self.scenario.spec.rules:
            for case, sums in zip(self.cases, self.sums, strict=True):
                for label in findings.labels_of(rule, case.n_sessions):
                    met = sums.met[rule.id, label]
                    counts = sums.met_in.get((rule.id, label))
                    bounds = None if counts is None else replicates.share_interval(counts, self.n)
                    item = findings.judged(rule, case.arm.name, case.model, label, met, self.n, bounds)
                    found.append(item if self.precise is None else self.precise.judged(item))
        return found

    @property
    def findings(self) -> pd.DataFrame:
        """The findings as a table, columns as in findings.csv."""
        import pandas as pd

        return pd.DataFrame([vars(finding) for finding in self.results], columns=list(findings.COLUMNS))

    @cached_property
    def clinic_rows(self) -> list[dict[str, Any]]:
        """What the clinics did, a row per arm, model, session and act: in how many patients, and in what share."""
        order = {stage: index for index, stage in enumerate(("session", "before", "during", "between"))}
        rows = []
        for case, sums in zip(self.cases, self.sums, strict=True):
            for (session, stage, act), count in sorted(
                sums.acts.items(), key=lambda item: (item[0][0], order[item[0][1]], item[0][2])
            ):
                row: dict[str, Any] = {"arm": case.arm.name, "model": case.model.id, "session": session}
                rows.append({**row, "stage": stage, "act": act, "patients": count, "share": count / self.n})
        return rows

    @property
    def uncertainty(self) -> pd.DataFrame:
        """Shares over draws of the typical values as a table, columns as in uncertainty.csv; empty without them."""
        import pandas as pd

        return pd.DataFrame([vars(item) for item in self.uncertain])

    @cached_property
    def joint_verdicts(self) -> list[between.Joint]:
        """Every rule judged over all models of an arm, where there are several."""
        rules = self.scenario.spec.rules
        teaching = {rule.id for rule in rules for case in self.cases if findings.illustrative(rule, case.model)}
        return between.joint(rules, self.results, teaching)

    @property
    def joint(self) -> pd.DataFrame:
        """The joint verdicts as a table, columns as in joint.csv."""
        import pandas as pd

        return pd.DataFrame([item.row() for item in self.joint_verdicts], columns=list(between.JOINT))

    @cached_property
    def model_ranges(self) -> list[between.Range]:
        """How far the models of an arm lie apart in the median over patients, for every metric asked for."""
        return between.ranges(self.cases, self.answers, self.n)

    @property
    def between_models(self) -> pd.DataFrame:
        """The ranges as a table, columns as in between_models.csv: a line per metric, and a median per model.

        Medians are exact (of the values of all patients, not of a sketch). The range holds differences between
        models only; the spread between patients is in the bands.
        """
        import pandas as pd

        rows = [item.row(self.models) for item in self.model_ranges]
        return pd.DataFrame(rows, columns=[*between.RANGE, *self.models])

    @cached_property
    def models(self) -> dict[str, ModelSpec]:
        """Every model of the run by its id."""
        return {case.model.id: case.model for case in self.cases}

    @cached_property
    def level_quantiles(self) -> list[Floats]:
        """For each case (t, k, 5): quantiles over patients of each output, then effect, at each time of the grid.

        Within 0.4 % of the sample's; see :mod:`pkmodel.core.sketch`. What is smaller than 0.00006 in its unit is 0.
        """
        from pkmodel.core import sketch

        found = []
        for sums in self.sums:
            parts = [sketch.quantiles(sums.bands, np.array(SHARES))]
            parts += [sketch.quantiles(counts, np.array(SHARES))[:, None] for counts in sums.effects]
            found.append(np.concatenate(parts, axis=1) if len(parts) > 1 else parts[0])
        return found

    @cached_property
    def peak_quantiles(self) -> list[Floats]:
        """For each case (s, k, 5): quantiles over patients of the exact peak of each session and output."""
        from pkmodel.core import sketch

        return [sketch.quantiles(sums.peaks, np.array(SHARES)) for sums in self.sums]

    @cached_property
    def band_columns(self) -> Columns:
        """The columns of bands.parquet: one row per arm, model, output and time."""
        columns: Columns = {}
        illustrative = any(case.model.illustrative(name) for case in self.cases for name in case.model.observables)
        for case, table in zip(self.cases, self.level_quantiles, strict=True):
            starts = np.array([planned.start for planned in case.arm.protocol.plan()])
            for index, (name, unit) in enumerate(case.model.observables.items()):
                part: dict[str, Any] = {
                    "arm": case.arm.name,
                    "model": case.model.id,
                    "session": case.session_of,
                    "time_h": case.times - starts[case.session_of - 1],
                    "course_time_h": case.times,
                    "output": name,
                    "n": self.n,
                    **{key: table[:, index, k] for k, key in enumerate(QUANTILES)},
                    "unit": unit,
                }
                if illustrative:
                    part["note"] = "illustrative" if case.model.illustrative(name) else ""
                for key, values in part.items():
                    filled = values.tolist() if isinstance(values, np.ndarray) else [values] * case.times.size
                    columns.setdefault(key, []).extend(filled)
        return columns

    @property
    def bands(self) -> pd.DataFrame:
        """Quantiles over patients at each point of the grid, as in bands.parquet."""
        import pandas as pd

        return pd.DataFrame(self.band_columns)

    @property
    def session_peaks(self) -> pd.DataFrame:
        """Quantiles over patients of the exact peak of every session and output."""
        import pandas as pd

        rows = []
        for case, table in zip(self.cases, self.peak_quantiles, strict=True):
            for session in range(case.n_sessions):
                for index, (name, output) in enumerate(case.model.outputs.items()):
                    where = {"arm": case.arm.name, "model": case.model.id, "session": session + 1, "output": name}
                    quantiles = dict(zip(QUANTILES, table[session, index], strict=True))
                    rows.append({**where, "n": self.n, **quantiles, "unit": output.unit})
        return pd.DataFrame(rows)

    @property
    def comparison(self) -> pd.DataFrame:
        """Arms against the reference, patient by patient, as in comparison.csv."""
        import pandas as pd

        return pd.DataFrame(self.comparisons)

    @cached_property
    def comparisons(self) -> list[dict[str, Any]]:
        """Arms against the reference, patient by patient: medians, the median ratio, and the share that is lower."""
        return against_reference.rows(self.scenario.spec, self.cases, self.compared, self.n)

    @cached_property
    def profiles(self) -> list[failing.Difference]:
        """Who breaks each rule, beside the rest: a covariate at a time, those that differ most first."""
        return failing.differences(self.cases, [sums.profiles for sums in self.sums])

    @property
    def failing(self) -> pd.DataFrame:
        """The covariates of those who break a rule as a table, columns as in failing.csv."""
        import pandas as pd

        return pd.DataFrame([vars(item) for item in self.profiles], columns=list(failing.COLUMNS))

    @cached_property
    def pairs(self) -> list[needed.Pair]:
        """Every rule in every arm against the reference, patient by patient."""
        return needed.pairs(self)

    @property
    def needed(self) -> pd.DataFrame:
        """The same as a table, with numbers needed to treat, as in needed.csv; empty without a comparison."""
        import pandas as pd

        return pd.DataFrame([pair.plain() for pair in self.pairs], columns=list(needed.COLUMNS))

    @property
    def assumptions(self) -> list[str]:
        """Everything assumed, borrowed or derived that this run rests on; what models share is said once."""
        # By arm too: an effect may be driven in one way where ketamine is given, in another where esketamine is.
        of_models = ((case.model.id, sentence) for case in self.cases for sentence in case.model.assumptions)
        return cautions.grouped(of_models) + self.scenario.population.assumptions

    @cached_property
    def warnings(self) -> list[str]:
        """What a reader must know and what to do about it, no sentence twice; see :mod:`pkmodel.cautions`."""
        # A model meets the same patients in every arm.
        of_model = {case.model.id: sums for case, sums in zip(self.cases, self.sums, strict=True)}
        flagged = [(model, of_model[name].outside, of_model[name].people) for name, model in self.models.items()]
        said = cautions.grouped((case.model.id, sentence) for case in self.cases for sentence in case.warnings)
        said += self.scenario.spec.sampling.doubts(self.n)
        said += cautions.of_sites(self.scenario.spec, [*self.models.values()])
        for model, _, people in flagged:
            said += cautions.of_model(model, people)
        said += cautions.of_patients(flagged, self.n)
        said += cautions.grouped((case.model.id, sentence) for case in self.cases for sentence in case.outside)
        said += cautions.grouped(
            (model.id, sentence)
            for model in self.models.values()
            for sentence in variability_notes(self.scenario, [model])
        )
        return list(dict.fromkeys(said))
