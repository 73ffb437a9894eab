"""What is in the tabs; parts that depend on the state are outputs, filled by ``server``."""

from __future__ import annotations

from functools import cache

from htmltools import TagList, tags
from shiny import ui

from pkmodel.app import inputs
from pkmodel.app.inputs import act, choice, number, slider, text, tick
from pkmodel.app.presets import PRESETS, SLIDERS
from pkmodel.app.state import State
from pkmodel.app.tables import ROUTES, UNITS
from pkmodel.specs.library import load_population, load_protocol
from pkmodel.specs.loading import library


def patient() -> TagList:
    """Who is treated."""
    person = State().person
    ends = SLIDERS
    return TagList(
        tags.div(
            tags.label("Begin with", for_="preset"),
            tags.select(
                tags.option("choose a patient \u2026", value=""),
                *(tags.option(name, value=name) for name in PRESETS),
                id="preset",
                data_pick="preset",
                **inputs.OURS,
            ),
            class_="field",
        ),
        slider(
            "person.weight",
            "Weight",
            person.weight,
            ends["person.weight"]["kg"],
            ranges=ends["person.weight"],
            unit=choice("person.weight_unit", "unit of the weight", {"kg": "kg", "lb": "lb"}, "kg", bare=True),
        ),
        slider(
            "person.height",
            "Height",
            person.height,
            ends["person.height"]["cm"],
            ranges=ends["person.height"],
            unit=choice("person.height_unit", "unit of the height", {"cm": "cm", "inch": "in"}, "cm", bare=True),
        ),
        slider("person.age", "Age", person.age, ends["person.age"]["y"], unit="years"),
        tags.div(
            choice("person.sex", "Sex", {"female": "female", "male": "male"}, person.sex),
            choice(
                "person.ancestry",
                "Ancestry",
                {"other": "other", "asian": "Asian", "japanese": "Japanese"},
                person.ancestry,
            ),
            class_="pair",
        ),
        tags.details(
            tags.summary("History: liver, enzyme, severity"),
            tags.p("Only some models and protocols ask for these; the others take no notice.", class_="hint"),
            slider("person.cyp2b6_activity", "CYP2B6 activity (1 normal, 0 blocked)", 1, (0, 1, 0.05)),
            slider("person.hepatic_impairment", "Hepatic impairment (0 none, 1 severe)", 0, (0, 1, 0.05)),
            number("person.severity", "Severity score (MADRS, say)", unit="points", min=0),
        ),
    )


@cache
def protocols() -> dict[str, dict[str, str]]:
    """The protocols of the library by drug: name -> title."""
    found: dict[str, dict[str, str]] = {"Ketamine": {}, "Esketamine": {}}
    for name in library("protocols"):
        spec = load_protocol(name)
        found[spec.drug.capitalize()][name] = spec.title
    return found


def course() -> TagList:
    """What is given."""
    return TagList(
        ui.output_ui("arm_switch"),
        choice("@.protocol", "Protocol of the library", {"": "built by hand", **protocols()}, "esketamine_iv_single"),
        ui.output_ui("rows"),
        tags.details(
            tags.summary("Add a dose"),
            tags.p("Also what a click on the curve adds, at the time of the click.", class_="hint"),
            tags.div(
                number("new.dose", "Dose", 0.2, min=0),
                choice("new.unit", "Unit", UNITS, "mg/kg"),
                choice("new.route", "Route", ROUTES, "iv"),
                text("new.at", "At", "60 min", hint="90 min, 3 d"),
                text("new.over", "Over", "", hint="empty: at once"),
                class_="grid",
            ),
            act("add", "Add this dose", class_="main", id="add-dose"),
            open="",
        ),
        tags.details(tags.summary("What to give: the nurse's table"), ui.output_ui("nurse"), id="nurse-box"),
    )


@cache
def populations() -> dict[str, str]:
    """The populations of the library: name -> what it is called."""
    return {name: name.replace("_", " ") for name in library("populations") if load_population(name) is not None}


def curves() -> TagList:
    """What is drawn, and how."""
    return TagList(
        ui.output_ui("models"),
        ui.output_ui("effects"),
        tags.fieldset(
            tags.legend("Limits and leaving"),
            tags.div(
                number("limits.upper", "Upper limit", unit="ng/mL", min=0, hint="time above is shaded"),
                number("limits.lower", "Level to reach", unit="ng/mL", min=0),
                class_="pair",
            ),
            tags.div(
                number("limits.discharge", "May leave below", 50, min=0, hint="ng/mL, or % of an effect"),
                tags.div(ui.output_ui("discharge_of")),
                class_="pair",
            ),
        ),
        tags.fieldset(
            tags.legend("A population as a band"),
            tags.div(
                choice("crowd.population", "Population", populations(), "adults_trials"),
                choice(
                    "crowd.n",
                    "Patients (n)",
                    {"0": "none", "100": "100", "300": "300", "1000": "1,000", "3000": "3,000"},
                    "0",
                ),
                number("crowd.seed", "Seed", 1, min=0, step=1),
                class_="grid",
            ),
        ),
        tags.fieldset(
            tags.legend("Axes"),
            tick("view.metabolites", "metabolites too", True),
            tick("view.log", "logarithmic levels"),
            tick("view.normalise", "every curve as a share of its peak"),
            tags.div(
                number("view.hours", "Hours shown", unit="h", min=0, hint="empty: what fits", list="hours"),
                text("view.clock", "Clock time of the start", hint="such as 09:00; empty: hours"),
                class_="pair",
            ),
            tags.datalist(
                *(tags.option(value=hours) for hours in ("2", "4", "6", "12", "24", "48", "168", "672")), id="hours"
            ),
        ),
    )


def suggest() -> TagList:
    """The dose that reaches a level."""
    return TagList(ui.output_ui("suggest_form"), ui.output_ui("suggestion"))


def lessons() -> TagList:
    """Guided lessons."""
    return TagList(ui.output_ui("lesson_list"), ui.output_ui("lesson_step"))


def take() -> TagList:
    """What leaves the page."""
    return TagList(
        tags.div(
            ui.download_link("png", "Picture (PNG)", class_="button"),
            ui.download_link("csv", "Levels (CSV)", class_="button"),
            ui.download_link("yaml_a", "Protocol (YAML)", class_="button"),
            tags.span(ui.output_ui("yaml_b_link")),
            class_="downloads",
        ),
        tags.h3("The command line that gives the same numbers"),
        ui.output_ui("command"),
        act("copy", "Copy", arg="command-text"),
        tags.h3("A link that brings this page back"),
        tags.p("It works on a computer where pkmodel app runs.", class_="hint"),
        tags.label("Link", for_="link-text", class_="unseen"),
        tags.textarea(id="link-text", readonly="", rows="3", **inputs.OURS),
        act("copy", "Copy the link", arg="link-text"),
        tags.details(tags.summary("The protocol as text"), ui.output_ui("yaml_text")),
    )


__all__ = ["course", "curves", "inputs", "lessons", "patient", "suggest", "take"]
