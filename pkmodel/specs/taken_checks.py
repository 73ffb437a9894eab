"""What a rule on what a course takes must agree on with protocol, model and prices, before anything runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pkmodel.errors import InputError, Problem
from pkmodel.specs.clause import Clause
from pkmodel.specs.model import ModelSpec
from pkmodel.specs.planned import PlannedSession
from pkmodel.specs.prices import Prices
from pkmodel.specs.rule_checks import refusal, unit_problems

#: What a price is of, in the words of a session that is given.
PRICED = {"vial": "vials", "device": "devices", "spray": "sprays"}
_VIAL = "product: {concentration: 10 mg/mL, vial: 20 mL} in its protocol, with its own numbers"
_NASAL = "a device or an atomiser in its protocol"
#: What a protocol must say so that something is stated.
_TO_STATE = {"vials": _VIAL, "wasted": _VIAL, "devices": _NASAL, "sprays": _NASAL}


def states(planned: PlannedSession, name: str) -> bool:
    """Whether a session says how much it takes of ``devices``, ``sprays``, ``vials`` or ``wasted``; none is said too.

    A session by device opens no vial; what goes in by no nose takes no device and no spray.
    """
    vial = planned.product is not None and planned.product.vial is not None
    if name in ("devices", "sprays"):
        nasal = planned.route == "intranasal"
        return not nasal or planned.device is not None or planned.atomiser is not None
    if name == "wasted":
        return vial or planned.device is not None or planned.atomiser is not None
    return vial or planned.device is not None


def counted(clause: Clause, prices: Prices | None) -> list[str]:
    """What must be stated for a metric of what a course takes."""
    if clause.metric == "cost":
        return [PRICED[name] for name in (prices.of if prices is not None else ()) if name in PRICED]
    return [clause.metric] if clause.metric in _TO_STATE else []


def stated_problems(clause: Clause, prices: Prices | None, plan: Sequence[PlannedSession], arm: str) -> list[Problem]:
    """What an arm does not state and a metric counts; paths are those inside of the clause."""
    window = clause.window
    seen = plan[window.first - 1 : window.last] if window.kind == "sessions" else plan
    found = []
    for name in counted(clause, prices):
        silent = next((planned for planned in seen if not states(planned, name)), None)
        if silent is not None:
            said = f"a price of {name}" if clause.metric == "cost" else name
            what = f"{said} with arm {arm}, whose session {silent.index} does not state {name}"
            found.append(Problem(what, _TO_STATE[name], path="metric"))
    return found


def stay_problems(clause: Clause, model: ModelSpec) -> list[Problem]:
    """What does not fit between a discharge criterion and a model."""
    if clause.discharge is None:
        return []
    try:
        name = model.observable(clause.discharge.output, path="discharge")
    except InputError as error:
        return list(error.problems)
    if (refused := refusal(model, name, "time_until_below")) is not None:
        return [refused.at(path="discharge")]
    return unit_problems(model, name, "concentration", clause.discharge.threshold, "discharge")


def price_problems(clauses: Iterator[tuple[str, Clause]], prices: Prices | None) -> list[Problem]:
    """What does not fit between rules on cost, each with its path, and the prices of the scenario."""
    problems = []
    for path, clause in clauses:
        if clause.metric != "cost":
            continue
        side = f"{path}.{'at_most' if clause.upper else 'at_least'}"
        if prices is None:
            expected = "prices in the scenario, such as prices: {currency: EUR, vial: 20, clinic_hour: 80}"
            problems.append(Problem("cost without prices", expected, path=f"{path}.metric"))
        elif clause.limit.unit.text != prices.currency:
            problems.append(Problem(clause.limit.text, f"a price in {prices.currency}, as prices are", path=side))
        elif "clinic_hour" in prices.of and clause.observed_for is None:
            expected = 'how long a patient stays after the last dose, which has a price: observed_for: "2 h"'
            problems.append(Problem("nothing", expected, path=f"{path}.observed_for"))
        elif "clinic_hour" not in prices.of and (clause.observed_for is not None or clause.discharge is not None):
            key = "discharge" if clause.observed_for is None else "observed_for"
            problems.append(Problem(clause.stay or str(clause.discharge), "a price of a clinic_hour", f"{path}.{key}"))
        elif clause.discharge is not None and clause.observed_for is None:
            problems.append(Problem("nothing", "observed_for beside discharge", path=f"{path}.observed_for"))
    return problems
