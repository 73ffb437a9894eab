"""What is taken where a comparison does not say: a model for each drug and route, a threshold, a discharge criterion.

A default model is one whose file names the drug and all routes of the course, that was built on such people, and that
has between-subject variability; among those the better supported one:

racemate, IV
    ``ketamine_clements1981``: venous, and its 177 ng/mL after 0.5 mg/kg over 40 min is nearest to the mean of the
    trials (about 185 ng/mL); that of ``ketamine_kamp2020``, of pooled sites, is 253. Variability is borrowed in both.
racemate, nose (and IV in the same course)
    ``ketamine_intranasal``: the only one, derived; published bioavailabilities range from 11 to 50 %.
esketamine, IV
    ``esketamine_otto2021``: venous, IV only, its own variability. ``esketamine_perezruixo2021`` knows no effect of
    weight, so that with a dose per kilogram its levels rise with weight.
esketamine, nose or mouth (and IV in the same course)
    ``esketamine_perezruixo2021``: 820 adults of the trials of the spray, device by device, its own variability.
esketamine, film
    ``esketamine_simons2022``: the only one; arterial.
children
    ``ketamine_herd2007`` (racemate, IV: 54 children, primary, its own variability) and ``esketamine_flint2017``
    (esketamine, IV: ventilated children, its own variability; infusions only).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pkmodel.errors import InputError, Problem
from pkmodel.specs.asked import Bound
from pkmodel.specs.fields import Evidence
from pkmodel.specs.population import PopulationSpec
from pkmodel.specs.protocol import ProtocolSpec
from pkmodel.units import parse

Group = Literal["adults", "children"]
#: Years up to which everybody in a population of children is.
_GROWN = 18.0


@dataclass(frozen=True)
class Choice:
    """A default model with the routes that it is the default for, and why."""

    drug: str
    group: Group
    routes: frozenset[str]
    model: str
    why: str


#: In order: the first that covers the routes of a course is taken.
CHOICES = (
    Choice(
        "ketamine",
        "adults",
        frozenset({"iv"}),
        "ketamine_clements1981",
        "venous; of the models of the racemate its level after 0.5 mg/kg over 40 min is nearest to the mean of trials",
    ),
    Choice(
        "ketamine",
        "adults",
        frozenset({"iv", "intranasal"}),
        "ketamine_intranasal",
        "the only model of the racemate by the nose",
    ),
    Choice(
        "esketamine",
        "adults",
        frozenset({"iv"}),
        "esketamine_otto2021",
        "venous, scaled by weight, with its own variability",
    ),
    Choice(
        "esketamine",
        "adults",
        frozenset({"iv", "intranasal", "oral"}),
        "esketamine_perezruixo2021",
        "built on the trials of the nasal spray, device by device, with its own variability",
    ),
    Choice(
        "esketamine",
        "adults",
        frozenset({"iv", "film"}),
        "esketamine_simons2022",
        "the only model of the oral film",
    ),
    Choice(
        "ketamine",
        "children",
        frozenset({"iv"}),
        "ketamine_herd2007",
        "of children in an emergency department, with its own variability",
    ),
    Choice(
        "esketamine",
        "children",
        frozenset({"iv"}),
        "esketamine_flint2017",
        "of ventilated children, with its own variability; for infusions only",
    ),
)


def group_of(population: PopulationSpec) -> Group:
    """Whom a population is of: children where nobody in it can be older than 18 years."""
    return "children" if population.oldest <= _GROWN else "adults"


def model_for(protocol: ProtocolSpec, group: Group, *, arm: str) -> Choice:
    """The default model of a course. Raises InputError where there is none, with what to say instead."""
    drugs, routes = protocol.drugs, protocol.routes
    if len(drugs) == 1:
        for choice in CHOICES:
            if choice.drug == drugs[0] and choice.group == group and choice.routes.issuperset(routes):
                return choice
    else:
        expected = "a protocol of one drug: no model has both (an arm of a scenario may map drugs to models)"
        raise InputError(Problem(f"a protocol of {' and '.join(drugs)}", expected, path=arm, where="compare"))
    found = f"{' and '.join(drugs)} by {' and '.join(routes)} in {group}, for which there is no default model"
    raise InputError(Problem(found, f"--model {arm}=MODEL", path=arm, where="compare"))


@dataclass(frozen=True)
class Assumed:
    """A bound that is taken where none is given, with its grade and its reason."""

    bound: Bound
    evidence: Evidence
    why: str


#: Levels of the parent drug that the time above is counted of.
THRESHOLD = Assumed(
    Bound("parent", "above", parse("100 ng/mL")),
    "assumed",
    "the lower end of the levels of the racemate with dissociation, 100-250 ng/mL",
)
#: When a patient may leave.
DISCHARGE = Assumed(
    Bound("dissociation_olofsen2022", "below", parse("5 %")),
    "assumed",
    "5 % of the maximal dissociation; no published criterion was read. It follows S-ketamine, so that it means the "
    "same after the racemate",
)


@dataclass(frozen=True)
class Observation:
    """How long patients are watched after the last dose of a session at least, with grade and source."""

    hours: float
    evidence: Evidence
    source: str


#: By drug and route; no minimum was read for any other.
OBSERVED: dict[tuple[str, str], Observation] = {
    ("esketamine", "intranasal"): Observation(
        2.0, "primary", "Spravato (esketamine) nasal spray, prescribing information: observe for at least 2 hours"
    ),
}
