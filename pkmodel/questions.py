"""What rules and a comparison ask of every model, in the words of the scenario, to set models side by side."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pkmodel.findings import Taken, request_of, requests_of, spans_of, spans_of_test, taken_of, tests_of
from pkmodel.request import OF_BASELINE, Request, Span
from pkmodel.specs.clause import Clause
from pkmodel.specs.metric import TAKEN
from pkmodel.specs.model import ModelSpec
from pkmodel.specs.scenario import ScenarioSpec


@dataclass(frozen=True)
class Question:
    """A metric over a window in the words of the scenario, so that models can be set side by side.

    ``condition`` is the threshold or the moment, and whether the effect is illustrative; ``taken`` says which of
    several spans counts, None where there is one.
    """

    output: str
    metric: str
    condition: str | None
    window: str
    taken: Taken | None


def questions_of(spec: ScenarioSpec, model: ModelSpec, n_sessions: int) -> dict[Question, tuple[Request, list[Span]]]:
    """What rules and comparison ask for, each with what answers it on this model; no question twice."""
    found: dict[Question, tuple[Request, list[Span]]] = {}

    def add(output: str, rule: Clause | None, request: Request, window: str, spans: list[Span], upper: bool) -> None:
        words = [rule.bounds] if rule is not None and rule.bounds else []
        words += [str(rule.moment)] if rule is not None and rule.moment is not None else []
        words += [rule.stay] if rule is not None and request.output == "" and rule.stay else []
        words += [OF_BASELINE[request.of_baseline]] if request.of_baseline else []
        words += ["illustrative"] if request.output and model.illustrative(request.output) else []
        condition = ", ".join(words) or None
        taken: Taken | None = None
        if len(spans) > 1:
            taken = "highest" if upper else "lowest"
            taken = taken if rule is None else taken_of(rule)
        found.setdefault(Question(output, request.metric, condition, window, taken), (request, spans))

    for rule in tests_of(spec.rules):
        for label, spans in spans_of_test(rule, n_sessions).items():
            add(rule.output, rule, request_of(rule, model, spec.prices), label, spans, rule.upper)
    if spec.compare is not None:
        together = [span for spans in spans_of(spec.compare.window, n_sessions).values() for span in spans]
        tests = [test for test in tests_of(spec.rules) if test.metric not in TAKEN]
        for request in requests_of(spec.compare, spec.rules, model):
            same = (test for test in tests if replace(request_of(test, model), output=request.output) == request)
            condition_of = next(same, None)
            upper = request.metric != "lowest"
            add(spec.compare.output, condition_of, request, str(spec.compare.window), together, upper)
    return found
