"""Would the suites notice? Each rule of events is broken on purpose, and cases of own_exact must fail.

A rule that can be wrong without any case failing is a rule that nothing pins. For each one the cases that notice are
listed, so that this file also says which case stands for which rule.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
from suites import SUITES

from pkmodel.records import resolve
from pkmodel.records.resolve import MODELLED_DURATION, MODELLED_RATE, RESET_AND_DOSE, RESET_ONLY, Dose, Infusion

OURS = SUITES["own_exact"]


def both(*patterns: str) -> set[str]:
    """The cases of these patterns with one and with two compartments."""
    return {f"{pattern}_{size}cpt" for pattern in patterns for size in (1, 2)}


def _fraction_scales_the_rate(dose: Dose) -> tuple[float, float, float]:
    """F lowers the rate of an infusion of given rate, and leaves its duration."""
    amount = dose.fraction * dose.amount
    if dose.rate == MODELLED_DURATION:
        return amount, amount / dose.modelled_duration, dose.modelled_duration
    rate = dose.modelled_rate if dose.rate == MODELLED_RATE else dose.rate
    return amount, rate * dose.fraction, dose.amount / rate if rate > 0.0 else 0.0


def _fraction_shortens_a_given_duration(dose: Dose) -> tuple[float, float, float]:
    """F shortens an infusion of given duration, and leaves its rate."""
    amount, rate, duration = resolve_delivered(dose)
    if dose.rate == MODELLED_DURATION:
        return amount, dose.amount / dose.modelled_duration, dose.fraction * dose.modelled_duration
    return amount, rate, duration


def _row_before_arrival(arrival: float, row: float, rounding: float) -> bool:
    """A row is taken before what arrives at its instant."""
    return arrival < row - rounding


def _second_steady_state_replaces(evid: int, steady: int) -> bool:
    """ss 2 empties the body as ss 1 does."""
    return evid in (RESET_ONLY, RESET_AND_DOSE) or steady > 0


def _steady_state_is_always_added(evid: int, steady: int) -> bool:
    """ss 1 is added to what is there, as ss 2 is."""
    return evid in (RESET_ONLY, RESET_AND_DOSE)


def _infusions_run_on(running: list[Infusion]) -> list[Infusion]:
    """A reset leaves infusions running."""
    return running


def _pending_doses_survive(pending: list[Dose]) -> list[Dose]:
    """A reset leaves lagged and additional doses to come."""
    return pending


def _lag_forgotten(interval: float, lag: float) -> float:
    """A steady state with a lag is that right after an arrival."""
    return 0.0


resolve_delivered = resolve.delivered

_MUTATIONS: list[tuple[str, Callable[..., Any], set[str]]] = [
    ("delivered", _fraction_scales_the_rate, both("infusion_ss_lag_F", "modelled_rate_F")),
    ("delivered", _fraction_shortens_a_given_duration, {*both("modelled_duration_F"), "parallel_zero_first"}),
    ("due_before", _row_before_arrival, both("bolus_addl", "bolus_ss_addl")),
    ("starts_over", _second_steady_state_replaces, both("ss2_on_top")),
    ("starts_over", _steady_state_is_always_added, both("ss1_clears_and_cancels")),
    ("running_after_reset", _infusions_run_on, both("evid3_stops_infusion", "evid3_cancels_pending_DECLARED")),
    ("pending_after_reset", _pending_doses_survive, both("evid4_cancels_pending_DECLARED", "ss1_clears_and_cancels")),
    ("phase_at_row", _lag_forgotten, both("infusion_ss_lag_F", "oral_ss_lag_F")),
]


def failing() -> set[str]:
    """The cases of own_exact that miss their tolerance."""
    return {name for name in OURS.names() if OURS.run(OURS.name, name).error > OURS.tolerance}


def test_every_rule_is_broken_in_some_way() -> None:
    """The public functions of the module, but the one that carries them out, are the rules."""
    rules = {
        name for name, what in vars(resolve).items() if inspect.isfunction(what) and what.__module__ == resolve.__name__
    }
    assert {name for name in rules if not name.startswith("_")} - {"resolve"} == {rule for rule, _, _ in _MUTATIONS}


def test_unbroken_rules_fail_nothing() -> None:
    """Without a mutation every case holds."""
    assert failing() == set()


@pytest.mark.parametrize(("rule", "mutant", "expected"), _MUTATIONS, ids=lambda item: getattr(item, "__name__", None))
def test_broken_rule_is_noticed(
    rule: str, mutant: Callable[..., Any], expected: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """These cases fail (others may too), and those that have nothing to do with the rule do not."""
    monkeypatch.setattr(resolve, rule, mutant)
    noticed = failing()
    print(f"\n{rule} mutated ({mutant.__doc__}): " + ", ".join(sorted(noticed)))
    assert expected <= noticed
    assert noticed.isdisjoint(both("bolus", "infusion", "oral"))
