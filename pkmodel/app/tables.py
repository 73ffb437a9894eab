"""Parts of the page that follow the state: numbers, rows of the course, the nurse's table, notes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

from htmltools import Tag, TagList, tags

from pkmodel.app.compute import Curve, Curves, effect_of
from pkmodel.app.inputs import act, choice, number, text
from pkmodel.app.readouts import Readout, duration_words, number_words, time_words
from pkmodel.app.state import Arm, ArmKey, State
from pkmodel.errors import InputError
from pkmodel.instructions import course_for, heading, lines
from pkmodel.metrics import LAST_WINDOW
from pkmodel.plots.summary import Summary
from pkmodel.simulation import Result

#: What routes and units are called on the page.
ROUTES = {
    "iv": "IV",
    "intranasal": "nose",
    "oral": "mouth",
    "film": "film (mouth)",
}
UNITS = {
    "mg/kg": "mg/kg",
    "mg": "mg",
    "mg/kg/h": "mg/kg/h",
    "ug/kg/min": "\u00b5g/kg/min",
    "mg/h": "mg/h",
    "devices": "devices of 28 mg",
    "sprays": "sprays of 10 mg",
}
_GRADES = {
    "primary": "the numbers stand in the paper itself",
    "trace": "a public transcription that cites the paper's table row by row",
    "secondary": "public code or a digitised figure",
    "derived": "derived from published numbers",
    "borrowed": "taken from another model",
    "assumed": "assumed",
    "unsourced": "without a source",
}
#: Sessions of a course that the nurse's table writes out.
_MOST_SESSIONS = 60


def numbers(found: Sequence[Readout], state: State, shown: Curves) -> Tag:
    """The numbers of every curve as a table."""
    several = len(shown.by_name) > 1
    upper, leave = state.limits.upper, state.limits.discharge
    heads = [("Curve", several), ("Output", True), ("Peak", True), ("at", True), (_area_head(shown), True)]
    heads += [(f"above {upper:g} ng/mL" if upper else "", upper is not None)]
    of = {"parent": "", **{name: f" {short(name)}" for name in shown.effects}}.get(state.limits.discharge_of, "")
    last = "last session: " if any(len(result.schedule.sessions) > 1 for result in shown.results.values()) else ""
    heads += [(f"{last}until{of} below {leave:g} {'%' if of else 'ng/mL'}" if leave else "", leave is not None)]
    body = []
    colours = {name: place for place, name in enumerate(shown.by_name)}
    for one in found:
        if not state.view.metabolites and _is_metabolite(one, shown):
            continue
        name = tags.span(short(one.output), tags.em(" illustrative") if one.illustrative else None)
        cells = [
            tags.th(tags.span(class_=f"dot c{colours[one.curve] % 6}"), one.curve, scope="row") if several else None,
            tags.td(name) if several else tags.th(name, scope="row"),
            tags.td(_level(one.peak, one.unit), class_="n"),
            tags.td(time_words(one.time_of_peak), class_="n"),
            tags.td(
                number_words(
                    one.auc,
                    f"{one.unit.partition('/')[0]}\u00b7h/{one.unit.partition('/')[2]}" if "/" in one.unit else "h",
                ),
                class_="n",
            ),
            tags.td(duration_words(one.time_above), class_="n") if upper is not None else None,
            tags.td(duration_words(one.until_below), class_="n") if leave is not None else None,
        ]
        body.append(tags.tr(*cells))
    return tags.div(
        tags.table(
            tags.caption("Numbers of the curves, exact", class_="unseen"),
            tags.thead(tags.tr(*(tags.th(head, scope="col") for head, there in heads if there))),
            tags.tbody(*body),
            class_="numbers",
        ),
        class_="scroll",
        tabindex="0",
        role="region",
        aria_label="Numbers of the curves",
    )


def _area_head(shown: Curves) -> str:
    """Until when areas are counted: at least a day after the last session, whatever the picture shows."""
    results = list(shown.results.values())
    if any(result.until - result.schedule.last_start > LAST_WINDOW for result in results):
        return "AUC, as shown"
    single = all(len(result.schedule.sessions) == 1 for result in results)
    return f"AUC to {LAST_WINDOW:g} h" + ("" if single else " after the last session")


def _is_metabolite(one: Readout, shown: Curves) -> bool:
    model = shown.by_name[one.curve].result.model
    return one.output in model.outputs and one.output != model.parent


def short(name: str) -> str:
    """An output or effect in words, without the name of its publication."""
    head, _, tail = name.rpartition("_")
    return head.replace("_", " ") if head and tail[-4:].isdigit() else name.replace("_", " ")


def effect_words(name: str) -> str:
    """An effect in words, with its publication; and that it is illustrative."""
    tail = name.rpartition("_")[2]
    paper = f" ({tail[:-4].capitalize()} {tail[-4:]})" if tail[-4:].isdigit() else ""
    return short(name) + paper + (", illustrative" if effect_of(name).illustrative else "")


def _level(value: float | None, unit: str) -> str:
    if value is not None and unit == "fraction of maximal effect":
        return f"{100 * value:.3g} % of max."
    return number_words(value, unit)


def row_cards(arm: Arm, key: ArmKey) -> Tag:
    """The rows of an arm, each with its fields."""
    cards = []
    for index, row in enumerate(arm.rows):
        at = f"{key}.rows.{index}"
        many = row.count > 1 or row.every
        cards.append(
            tags.fieldset(
                tags.legend(f"Row {index + 1}"),
                tags.div(
                    number(f"{at}.dose", "Dose", row.dose, min=0),
                    choice(f"{at}.unit", "Unit", UNITS, row.unit),
                    choice(
                        f"{at}.route",
                        "Route",
                        ROUTES if row.route in ROUTES else {**ROUTES, row.route: row.route},
                        row.route,
                    ),
                    text(f"{at}.at", "At", row.at),
                    text(f"{at}.over", "Over", row.over, placeholder="at once"),
                    act("remove", "Remove", arg=str(index), aria_label=f"Remove row {index + 1}"),
                    class_="grid",
                ),
                tags.details(
                    tags.summary(f"Repeat, taper{f': {row.count} times' if row.count > 1 else ''}"),
                    tags.div(
                        number(f"{at}.count", "How often", row.count, min=1, step=1),
                        text(f"{at}.every", "Every", row.every, placeholder="7 d"),
                        number(f"{at}.to", "Down to", row.to, min=0),
                        class_="grid",
                    ),
                    open="" if many else None,
                ),
                class_="row",
            )
        )
    return tags.div(*cards, class_="rows")


def nurse_table(curve: Curve) -> TagList:
    """What to give to the patient of the page, as a nurse would read it."""
    values = curve.result.network.population.values()
    try:
        rows = course_for(curve.spec, values)
    except InputError as error:
        return TagList(tags.p(str(error)))
    parts: list[Tag] = []
    for above, of_phase in groupby(rows[:_MOST_SESSIONS], key=heading):
        shown = lines(of_phase, patient=True)
        columns = [
            name
            for name in ("day", "time", "route", "dose", "mg", "take", "how")
            if any(line.get(name) for line in shown)
        ]
        head = tags.tr(*(tags.th(name, scope="col") for name in columns))
        body = [
            tags.tr(*(tags.td(line.get(name, ""), class_="n" if name == "mg" else None) for name in columns))
            for line in shown
        ]
        parts.append(
            tags.div(
                tags.table(tags.caption(above), tags.thead(head), tags.tbody(*body)),
                class_="scroll",
                tabindex="0",
                role="region",
                aria_label=f"What to give, {above}",
            )
        )
    if len(rows) > _MOST_SESSIONS:
        parts.append(tags.p(f"{len(rows) - _MOST_SESSIONS} more sessions.", class_="hint"))
    if curve.spec.decides:
        said = [tags.li(sentence) for sentence in curve.spec.decisions()]
        parts.append(tags.div(tags.p("Decided on the day, from this plan:"), tags.ul(*said)))
    return TagList(*parts)


def evidence(shown: Curves, people: Mapping[str, Result | Summary], said: Sequence[str]) -> Tag:
    """The models with their grades; what lies outside their range in sight, the rest to unfold."""
    models = {curve.model: curve.result.model for curve in shown.by_name.values()}
    names = [
        tags.span(
            tags.b(name),
            f" (evidence: {model.evidence})",
            title=f"{model.title}. {_GRADES.get(model.evidence, '')}",
            class_="model",
        )
        for name, model in models.items()
    ]
    warnings = list(dict.fromkeys(w for curve in shown.by_name.values() for w in curve.result.warnings))
    outside = [w for w in warnings if "outside" in w or "extrapolate" in w]
    quiet = [w for w in warnings if w not in outside]
    quiet += [w for w in dict.fromkeys(w for result in people.values() for w in result.warnings) if w not in warnings]
    drawn = [tags.li(sentence) for sentence in (*said, *quiet)]
    arms = shown.main if len(shown.main) > 1 else {}
    return tags.div(
        tags.p(*(tags.span(tags.b(f"{key.upper()}: "), f"{curve.spec.title}. ") for key, curve in arms.items()))
        if arms
        else None,
        tags.p(*_joined(names, len(models))),
        *(tags.p(tags.b("Outside its range: "), sentence, class_="outside") for sentence in outside[:3]),
        tags.details(
            tags.summary(
                f"{len(drawn)} {'note' if len(drawn) == 1 else 'notes'}: what is assumed, borrowed or left out"
            ),
            tags.ul(*drawn),
        )
        if drawn
        else None,
        class_="evidence",
        tabindex="0",
        role="region",
        aria_label="What the curves rest on",
    )


def _joined(names: Sequence[Tag], count: int) -> list[Tag | str]:
    found: list[Tag | str] = ["Model: " if count == 1 else "Models: "]
    for index, name in enumerate(names):
        found += [", ", name] if index else [name]
    return found
