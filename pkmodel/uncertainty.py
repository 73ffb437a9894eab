"""Parameter uncertainty: a study of studies.

Typical values are estimates. Where a source says how well one is known (a standard error, a 95 % interval), the whole
study is run again with typical values drawn from that, over the same patients: their covariates and random effects are
those of the first study, so that what differs between draws is the typical values alone.

The spread of a share over the draws is uncertainty in parameters (with the simulation error of n patients in it). It is
reported beside the interval of the share, which holds simulation error only, and never mixed with it.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pkmodel import study as studies
from pkmodel.engine import AUTO, Numerics
from pkmodel.outcome import Study, Uncertain
from pkmodel.population import normals
from pkmodel.specs.library import Scenario
from pkmodel.specs.model import ModelSpec

Floats = NDArray[np.float64]

#: The share of the draws that an interval holds: from its lower to its upper end.
_ENDS = (0.025, 0.975)


def typical_values(model: ModelSpec, seed: int, draws: int) -> dict[str, Floats]:
    """Draws (d,) of every typical value whose uncertainty is known, in base units.

    Log-normal around the value itself, or normal on the logit where the parameter varies so between patients;
    independent of one another, since no source read so far prints a covariance of estimates.
    """
    from scipy.special import expit, logit

    found: dict[str, Floats] = {}
    for name in model.uncertain:
        value, _ = model.typical[name]
        scale, sd = model.uncertainty_of(name)
        step = sd * normals(seed, f"typical/{model.id}/{name}", 0, draws)
        found[name] = expit(logit(value) + step) if scale == "logit" else value * np.exp(step)
    return found


def run(
    study: Study,
    *,
    jobs: int = 1,
    numerics: Numerics = AUTO,
    progress: Callable[[int, int], None] | None = None,
) -> list[Uncertain]:
    """Run the scenario of a study once for every draw of the typical values of its models.

    Parameters
    ----------
    study
        the study with the published typical values.
    jobs
        threads over the draws; the result does not depend on it.
    progress
        called with draws done and draws in all.

    Raises
    ------
    InputError
        where a drawn value is none that a patient can have; it names the parameter.
    """
    scenario = study.scenario
    draws, seed = scenario.spec.variability.outer, scenario.spec.seed
    drawn = {model.id: typical_values(model, seed, draws) for model in study.models.values()}
    coarse = _coarse(scenario)

    def one(number: int) -> list[tuple[float, str]]:
        arms = tuple(
            replace(
                arm,
                models=tuple(
                    model.with_typical({name: float(values[number]) for name, values in drawn[model.id].items()})
                    for model in arm.models
                ),
            )
            for arm in coarse.arms
        )
        found = studies.run(replace(coarse, arms=arms), numerics=numerics)
        return [(item.share, item.verdict) for item in found.results]

    outcomes = []
    with ThreadPoolExecutor(max(1, jobs), thread_name_prefix="pkmodel") as pool:
        for outcome in pool.map(one, range(draws)):
            outcomes.append(outcome)
            if progress is not None:
                progress(len(outcomes), draws)
    rows = []
    for index, item in enumerate(study.results):
        shares = np.array([outcome[index][0] for outcome in outcomes])
        verdicts = [outcome[index][1] for outcome in outcomes]
        low, median, high = np.quantile(shares, [_ENDS[0], 0.5, _ENDS[1]])
        counted = {name: verdicts.count(name) / draws for name in ("met", "broken", "undecided")}
        rows.append(
            Uncertain(
                rule=item.rule,
                arm=item.arm,
                model=item.model,
                window=item.window,
                draws=draws,
                n=item.n,
                share_at_typical=item.share,
                median=float(median),
                low=float(low),
                high=float(high),
                draws_met=counted["met"],
                draws_broken=counted["broken"],
                draws_undecided=counted["undecided"],
            )
        )
    return rows


def _coarse(scenario: Scenario) -> Scenario:
    """The scenario without what only pictures need: bands at the start and the end of what is observed."""
    observe = scenario.spec.observe
    return replace(
        scenario,
        spec=scenario.spec.model_copy(
            update={"observe": observe.model_copy(update={"every": observe.span}), "compare": None}
        ),
    )
