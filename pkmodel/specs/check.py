"""A figure of a model's own paper, to be simulated: which one, in whom, and how near is near enough."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

from pydantic import Field

from pkmodel import units
from pkmodel.errors import Problem
from pkmodel.specs import fields
from pkmodel.specs.expressions import ExpressionField
from pkmodel.specs.loading import Spec

Metric = Literal[
    "peak",
    "auc",
    "level_at",
    "time_of_peak",
    "time_above",
    "half_life",
    "clearance",
    "volume_terminal",
    "bioavailability",
    "value",
]
METRICS: tuple[str, ...] = get_args(Metric)


@dataclass(frozen=True)
class Form:
    """Which fields a metric needs and may have, and the units its figure may be given in (empty: any)."""

    needs: tuple[str, ...]
    may: tuple[str, ...] = ()
    in_units: tuple[str, ...] = ()
    what: str = ""


#: ``since`` and ``until`` count from the start of the course; a peak is looked for up to 24 h after the last session's
#: start without ``until``, and an area without it is that to infinity.
FORMS: dict[str, Form] = {
    "peak": Form(("protocol", "output"), ("since", "until"), ("mg/L",), units.KINDS["concentration"][1]),
    "auc": Form(("protocol", "output"), ("since", "until"), ("mg*h/L",), units.KINDS["exposure"][1]),
    "level_at": Form(("protocol", "output", "at"), (), ("mg/L",), units.KINDS["concentration"][1]),
    "time_of_peak": Form(("protocol", "output"), ("since", "until"), ("h",), units.KINDS["time"][1]),
    "time_above": Form(("protocol", "output", "threshold"), ("since", "until"), ("h",), units.KINDS["time"][1]),
    "half_life": Form(("output",), ("route", "into"), ("h",), units.KINDS["time"][1]),
    "clearance": Form(
        ("output",), ("route", "into"), ("L/h", "L/h/kg"), 'a clearance such as "95.2 L/h" or "36 mL/min/kg"'
    ),
    "volume_terminal": Form(("output",), ("route", "into"), ("L", "L/kg"), 'a volume such as "133 L" or "16 L/kg"'),
    "bioavailability": Form(("output",), ("protocol", "route"), ("",), units.KINDS["number"][1]),
    "value": Form(("formula",)),
}
#: Every field that only some metrics have.
_OPTIONAL = ("protocol", "output", "at", "since", "until", "threshold", "route", "into", "formula")


class Check(Spec):
    """A figure of the paper: ``must_reproduce`` is tested, ``compare`` shown.

    What each metric is, of the typical patient that ``patient`` describes:

    ``peak``, ``auc``, ``level_at``, ``time_of_peak``, ``time_above``
        exact figures of ``output`` under ``protocol``, between ``since`` and ``until``, or ``at`` a time of the course.
    ``half_life``
        ln 2 over the slowest rate that the output can see after a dose by ``route`` (``iv`` where there is one, else
        the first) or into one compartment.
    ``clearance``
        dose over the area to infinity, after a bolus by ``route`` or into one compartment; per kilogram of the patient
        where the unit of ``expected`` says so.
    ``volume_terminal``
        clearance over the slowest rate (V beta).
    ``bioavailability``
        of one dose by ``route``, or of a whole ``protocol``: its area to infinity over that of the same mass by ``iv``.
    ``value``
        a ``formula`` of parameters, derived names and covariates.

    ``expected_difference`` records a known disagreement, simulated over expected less 1, with its ``reason``;
    ``tolerance`` is then around that. ``interval`` and ``sd`` are those that the paper gives.
    """

    id: fields.Name
    role: Literal["must_reproduce", "compare"]
    metric: Metric
    protocol: fields.NameOrMapping | None = None
    patient: dict[str, Any] = {}
    output: str | None = None
    at: fields.Time | None = None
    since: fields.Time | None = None
    until: fields.Duration | None = None
    threshold: fields.Concentration | None = None
    route: fields.Route | None = None
    into: str | None = None
    formula: ExpressionField | None = None
    expected: fields.AnyQuantity
    sd: fields.AnyQuantity | None = None
    interval: list[fields.AnyQuantity] | None = Field(default=None, min_length=2, max_length=2)
    tolerance: fields.Share = units.parse("1 %")
    expected_difference: fields.AnyQuantity | None = None
    origin: str = Field(alias="from")
    evidence: fields.Evidence | None = None
    reason: str | None = None

    def problems(self) -> list[Problem]:
        """What does not fit together within the check; paths begin at it."""
        form = FORMS[self.metric]
        problems: list[Problem] = []
        for name in _OPTIONAL:
            given = getattr(self, name) is not None
            if given and name not in (*form.needs, *form.may):
                problems.append(Problem(f"{name} with metric: {self.metric}", "a check without it", path=name))
            elif not given and name in form.needs:
                problems.append(Problem("nothing", f"{name}, which metric: {self.metric} needs", path=name))
        if self.route is not None and (self.into is not None or self.protocol is not None):
            other = "into" if self.into is not None else "protocol"
            problems.append(Problem(f"route and {other}", "one of the two", path=other))
        if self.metric == "bioavailability" and self.route is None and self.protocol is None:
            problems.append(Problem("nothing", "a route or a protocol", path="route"))
        if self.metric == "auc" and self.since is not None and self.until is None:
            problems.append(Problem("since without until", "both, or an area to infinity", path="since"))
        if self.since is not None and self.until is not None and self.since.value >= self.until.value:
            problems.append(Problem(f"{self.since.text} to {self.until.text}", "since before until", path="until"))
        legal = [units.parse_unit(unit).dimensions for unit in form.in_units]
        wanted = legal or [self.expected.unit.dimensions]
        if self.expected.unit.dimensions not in wanted:
            problems.append(Problem(self.expected.text, form.what, path="expected"))
        for path, quantity in [("sd", self.sd), *((f"interval[{i}]", q) for i, q in enumerate(self.interval or []))]:
            if quantity is not None and quantity.unit.dimensions != self.expected.unit.dimensions:
                problems.append(Problem(quantity.text, f"a unit as in expected: {self.expected.text}", path=path))
        if self.interval is not None and self.interval[0].value >= self.interval[1].value:
            problems.append(Problem("an interval upside down", "the lower end first", path="interval"))
        if self.expected.value == 0:
            problems.append(Problem(self.expected.text, "a figure other than 0, to compare with", path="expected"))
        if self.expected_difference is not None:
            if self.expected_difference.unit.dimensions:
                found = self.expected_difference.text
                problems.append(Problem(found, 'a difference such as "-14 %"', path="expected_difference"))
            if self.reason is None:
                problems.append(Problem("expected_difference without reason", "the reason for it", path="reason"))
            if self.role == "must_reproduce":
                found = "must_reproduce with an expected_difference"
                problems.append(Problem(found, "role: compare", path="expected_difference"))
        return problems

    def difference(self, simulated: float) -> float:
        """How far a simulated figure (base units) is from the expected one, as a share of that."""
        return simulated / self.expected.value - 1.0

    def met(self, simulated: float) -> bool:
        """Whether a simulated figure (base units) is where it was recorded to be.

        A figure to reproduce is met inside the ``interval`` that the paper gives, or else within ``tolerance`` of it; a
        recorded disagreement within ``tolerance`` of its expected difference. A figure to ``compare`` whose difference
        was not recorded is shown, and never unmet.
        """
        if self.role == "compare" and self.expected_difference is None:
            return True
        if self.expected_difference is None and self.interval is not None:
            return self.interval[0].value <= simulated <= self.interval[1].value
        centre = self.expected_difference.value if self.expected_difference is not None else 0.0
        return abs(self.difference(simulated) - centre) <= self.tolerance.value
