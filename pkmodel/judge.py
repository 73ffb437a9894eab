"""Looks at the signs of a clinic's rules, at a check or back over a session, and says which rule acts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from pkmodel import metrics
from pkmodel.exact_figures import session_figures
from pkmodel.ledger import Check, Sign, Stage
from pkmodel.measurement import Assay
from pkmodel.metrics import Request, Span
from pkmodel.network import Network
from pkmodel.occasions import first_dose_of, within
from pkmodel.specs.clinic import BetweenRule, ClinicRule, Condition
from pkmodel.specs.metric import METRICS
from pkmodel.ward import Ward

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass
class Judge:
    """Looks at signs, says which rule acts, and writes the check down."""

    net: Network
    assay: Assay
    checks: list[Check] = field(default_factory=list)

    def at_check(
        self,
        rules: Sequence[ClinicRule],
        stage: Stage,
        session: int,
        number: int,
        ward: Ward,
        whom: Flags,
        can: Callable[[int], Flags] | None = None,
        spent: Callable[[int], Flags] | None = None,
    ) -> Ints:
        """Which rule (n,) acts at a check in the patients ``whom`` (-1: none).

        ``can`` says in whom a rule may, and ``spent`` in whom what it does ``otherwise`` is now done.
        """
        moment = f"clinic, {stage} session {session}, check {number}"

        def value(sign: Condition) -> Floats:
            return self._level(sign, ward.state, moment)

        return self._decide(rules, stage, session, number, ward.now, whom, value, can, spent)

    def _level(self, sign: Condition, states: Floats, moment: str) -> Floats:
        """A level or an effect (n,) at states (n, s), in its unit."""
        assert sign.output is not None
        name = self.net.model.observable(sign.output)
        if name in self.net.effects:
            return self.net.effects[name].of(states[:, None, :])[:, 0]
        place = self.net.output_names.index(name)
        level: Floats = states[:, self.net.output_compartment[place]] * self.net.output_scale[place]
        return self.assay.measured(level, name, moment) if sign.measured else level

    def after_session(
        self,
        rules: Sequence[BetweenRule],
        session: int,
        ward: Ward,
        whom: Flags,
        begun: Floats,
        start: Floats,
        end: Floats,
    ) -> Ints:
        """Which rule (n,) acts after a session that began at ``start`` with ``begun``, the next one due at ``end``."""
        model = self.net.model
        wanted: dict[str, list[float]] = {}
        asked: dict[int, Request] = {}
        for rule in rules:
            for _, sign in rule.condition.leaves():
                assert sign.output is not None and sign.metric is not None
                name = model.observable(sign.output)
                threshold = None if sign.threshold is None else sign.threshold.value / model.factor_of(name)
                wanted.setdefault(name, []).extend([] if threshold is None else [threshold])
                asked[id(sign)] = Request(sign.metric, name, threshold)
        system = replace(self.net.system, initial=begun)
        events = within(ward.events(float(start.min())), start, end, anchored=True)
        if system.dynamics is not None:
            first = first_dose_of(ward.events())
            system = replace(system, first_dose=np.where(first < start, first, np.inf))
        figures = session_figures(
            self.net,
            system,
            events,
            start,
            end,
            thresholds=wanted,
            numerics=ward.numerics,
            effects=[name for name in wanted if name in self.net.effects],
            settling={request.output for request in asked.values() if request.metric == "time_until_below"},
            lowest={request.output for request in asked.values() if request.metric == "lowest"},
        )

        def value(sign: Condition) -> Floats:
            request = asked[id(sign)]
            if request.metric == "trough":
                return self._level(sign, begun, "")
            return metrics.evaluate(figures[request.output], Span("session", 1), request)

        return self._decide(rules, "between", session, 1, end, whom, value, None)

    def _decide(
        self,
        rules: Sequence[ClinicRule],
        stage: Stage,
        session: int,
        number: int,
        time: Floats,
        whom: Flags,
        value: Callable[[Condition], Floats],
        can: Callable[[int], Flags] | None,
        spent: Callable[[int], Flags] | None = None,
    ) -> Ints:
        model = self.net.model
        fired = np.full(whom.size, -1, dtype=np.int64)
        signs: dict[tuple[str, str | None, bool], Sign] = {}

        def seen(sign: Condition) -> Floats:
            assert sign.output is not None
            name = model.observable(sign.output)
            key = (name, f"{sign.metric} {sign.threshold.text}" if sign.threshold else sign.metric, sign.measured)
            if key not in signs:
                unit = (
                    model.observables[name]
                    if sign.metric is None
                    else metrics.unit_of(sign.metric, model.observables[name])
                )
                signs[key] = Sign(name, key[1], sign.measured, unit, value(sign))
            return signs[key].values

        for index, rule in enumerate(rules):
            held = holds(rule.condition, seen, model.factor_of, model.observable)
            acts = whom & (fired < 0) & held
            fired = np.where(acts if can is None else acts & can(index), index, fired)
        actions = (*(str(rule.then) for rule in rules), *(_otherwise(rule) for rule in rules))
        acted = fired
        for index, word in enumerate(actions[len(rules) :]):
            if spent is not None and word is not None:
                acted = np.where((fired == index) & spent(index), fired + len(rules), acted)
        self.checks.append(Check(stage, session, number, time, whom, tuple(signs.values()), acted, actions))
        return fired


def _otherwise(rule: ClinicRule) -> str | None:
    """What a rule does when it has waited as often as it may; None where it does not wait."""
    then = rule.then
    waits = any(getattr(then, name, None) is not None for name in ("hold", "delay", "pause"))
    return f"{then.otherwise.replace('_', ' ')}, after {then.at_most} times" if waits else None  # type: ignore[attr-defined]


def holds(
    condition: Condition,
    value: Callable[[Condition], Floats],
    factor_of: Callable[[str], float],
    observable: Callable[[str], str],
) -> Flags:
    """In which patients (n,) a condition holds."""
    for name, combine in (("all", np.logical_and.reduce), ("any", np.logical_or.reduce)):
        if parts := getattr(condition, name):
            found: Flags = combine([holds(part, value, factor_of, observable) for part in parts])
            return found
    assert condition.output is not None
    time = condition.metric is not None and METRICS[condition.metric] == "time"
    limit = condition.limit.value / (1.0 if time else factor_of(observable(condition.output)))
    values = value(condition)
    return values > limit if condition.side == "above" else values < limit
