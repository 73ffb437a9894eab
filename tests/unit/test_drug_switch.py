"""A protocol that changes drugs: the sessions of each drug run on their own model, and nothing is summed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pkmodel as pk
from pkmodel.errors import InputError
from pkmodel.study import Chunk, run

INFUSIONS: dict[str, Any] = {"name": "infusions", "dose": "0.5 mg/kg", "over": "40 min", "sessions": {"days": [1, 4]}}
SPRAY: dict[str, Any] = {
    "name": "spray",
    "drug": "esketamine",
    "route": "intranasal",
    "device": {"strength": "28 mg", "rest": "5 min"},
    "dose": "56 mg",
    "sessions": {"days": [1, 4]},
}
HEAD: dict[str, Any] = {"title": "T", "drug": "ketamine", "route": "iv"}
SWITCH = {**HEAD, "phases": [INFUSIONS, {**SPRAY, "after": "3 d"}]}
MODELS = {"ketamine": "ketamine_clements1981", "esketamine": "esketamine_perezruixo2021"}


def scenario(**arms: Any) -> pk.Scenario:
    """A scenario of these arms that asks for peaks and areas."""
    return pk.load_scenario(
        {
            "title": "T",
            "population": "adults_trials",
            "n": 40,
            "arms": arms,
            "observe": {"every": "30 min", "for": "4 h after each session start"},
            "rules": [{"id": "ceiling", "metric": "peak", "output": "parent", "at_most": "250 ng/mL", "in": "95 %"}],
        }
    )


def values(arms: dict[str, Any]) -> list[dict[str, np.ndarray]]:
    """What every patient has, by case."""
    found: list[Chunk] = []
    run(scenario(**arms), sink=found.append, chunk=40, all_metrics=True)
    return [
        {f"{item.request} {item.span}": item.values for item in case.metrics} for chunk in found for case in chunk.cases
    ]


def test_each_drug_is_as_if_it_were_alone() -> None:
    """To the last bit: the infusions and the spray as two protocols, the spray at its own time."""
    days = [1 + 6, 4 + 6]  # the spray begins 3 d after the second infusion, on day 7
    alone = {**SPRAY, "sessions": {"days": days}}
    together = values({"switch": {"protocol": SWITCH, "model": MODELS}})
    apart = values(
        {
            "infusions": {"protocol": {**HEAD, "phases": [INFUSIONS]}, "model": MODELS["ketamine"]},
            "spray": {"protocol": {**HEAD, "phases": [alone]}, "model": MODELS["esketamine"]},
        }
    )
    assert len(together) == len(apart) == 2
    for one, other in zip(together, apart, strict=True):
        assert one.keys() == other.keys()
        for name, array in one.items():
            np.testing.assert_array_equal(array, other[name], err_msg=name)


def test_arms_that_change_drugs_are_compared_drug_by_drug() -> None:
    """With the part of the reference that runs on the same model, whatever the order of the mapping."""
    longer = {**SWITCH, "phases": [{**INFUSIONS, "over": "60 min"}, {**SPRAY, "after": "3 d", "dose": "84 mg"}]}
    turned = dict(reversed(MODELS.items()))
    spray = {**HEAD, "drug": "esketamine", "phases": [SPRAY]}
    tree = {
        "title": "T",
        "population": "adults_trials",
        "n": 40,
        "arms": {
            "a": {"protocol": SWITCH, "model": MODELS},
            "b": {"protocol": longer, "model": turned},
            "c": {"protocol": spray, "model": MODELS["esketamine"]},
        },
        "observe": {"every": "30 min", "for": "4 h after each session start"},
        "rules": [{"id": "ceiling", "metric": "peak", "at_most": "150 ng/mL", "in": "95 %"}],
        "compare": {"reference": "a", "metrics": ["peak"]},
    }
    found = run(pk.load_scenario(tree))
    pairs = [("b (esketamine)", "a (esketamine)"), ("b (ketamine)", "a (ketamine)"), ("c", "a (esketamine)")]
    assert [(row["arm"], row["reference"]) for row in found.comparisons] == pairs
    assert [(pair.arm, pair.reference) for pair in found.pairs] == pairs
    esketamine, ketamine, same = found.comparisons
    assert 1.2 < esketamine["median_ratio"] < 1.5  # three devices for two
    assert 0.75 < ketamine["median_ratio"] < 0.95  # the same dose, more slowly
    assert same["n_equal"] == 40


def test_arms_are_named_after_their_drug_and_keep_their_days() -> None:
    """In the order of the mapping; sessions are numbered within each drug and stay at their times of the course."""
    first, second = scenario(switch={"protocol": SWITCH, "model": MODELS}).arms
    assert (first.name, second.name) == ("switch (ketamine)", "switch (esketamine)")
    assert [(session.index, session.start) for session in first.protocol.plan()] == [(1, 0.0), (2, 72.0)]
    assert [(session.index, session.start) for session in second.protocol.plan()] == [(1, 144.0), (2, 216.0)]


@pytest.mark.parametrize(
    ("model", "more", "found"),
    [
        ({"ketamine": MODELS["ketamine"]}, {}, "models for ketamine"),
        ({**MODELS, "morphine": "x"}, {}, "found morphine"),
        (MODELS["ketamine"], {}, "a protocol of ketamine and esketamine on ketamine_clements1981 alone"),
        ({**MODELS, "ketamine": 3}, {}, "found 3"),
        ([], {}, "expected the name of a model, or one for each drug"),
        (MODELS, {"adherence": {"missed": [2]}}, "clinic or adherence in a protocol of ketamine and esketamine"),
    ],
)
def test_refused(model: Any, more: dict[str, Any], found: str) -> None:
    """A mapping that leaves a drug out, one too many, one model for both, and rules that would need both models."""
    with pytest.raises(InputError, match=found.replace("(", r"\(")):
        scenario(switch={"protocol": {**SWITCH, **more}, "model": model})
