"""The contents of a report, in the order in which they are read."""

from __future__ import annotations

from pkmodel.pages import beside, courses, grounds, judged, pictures
from pkmodel.pages.blocks import Report
from pkmodel.pages.finished import Finished


def report(run: Finished) -> Report:
    """The report of a finished run. What its files hold is taken as it is; the caller says so where it is wrong."""
    sections = (
        courses.section(run),
        judged.section(run),
        pictures.section(run),
        beside.arms(run),
        beside.clinics(run),
        beside.failing(run),
        grounds.models(run),
        grounds.assumed(run),
        grounds.outside(run),
        grounds.numerics(run),
        grounds.provenance(run),
        grounds.again(run),
    )
    return Report(
        title=run.findings["title"],
        question=run.findings["question"],
        context_of_use=run.findings["context_of_use"],
        disclaimer=run.findings["disclaimer"],
        facts=_facts(run),
        sections=tuple(section for section in sections if section is not None),
    )


def _facts(run: Finished) -> tuple[tuple[str, str], ...]:
    """What was run, in a few lines."""
    population = run.scenario.population
    who = f"{run.findings['n']:,} virtual patients"
    who += f": {population.title}" if population.title else ""
    graded = "; ".join(f"{model.id} (evidence: {model.evidence})" for model in run.models.values())
    facts = [("Patients", who), ("Arms", ", ".join(arm.name for arm in run.scenario.arms)), ("Models", graded)]
    if run.scenario.effects:
        facts.append(("Effects", ", ".join(_effect(run, effect.id) for effect in run.scenario.effects)))
    verdicts = [row["verdict"] for row in run.findings["findings"]]
    if verdicts:
        counts = [f"{verdicts.count(word)} {word}" for word in ("met", "broken", "undecided") if word in verdicts]
        facts.append(("Verdicts", f"{', '.join(counts)} (of {len(verdicts)}: each rule in each arm, model and window)"))
    facts.append(("Seed", str(run.findings["seed"])))
    return tuple(facts)


def _effect(run: Finished, name: str) -> str:
    teaching = any(model.illustrative(name) for model in run.models.values())
    return f"{name} (illustrative)" if teaching else name
