"""The scene of a lesson, or a suggested course, as a page to play on with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pkmodel import units
from pkmodel.app.state import MOST_EFFECTS, Arm, Crowd, Limits, Person, State, View
from pkmodel.specs.library import load_protocol
from pkmodel.specs.loading import check, library
from pkmodel.specs.protocol import ProtocolSpec
from pkmodel.specs.yaml_tree import read_yaml_text

if TYPE_CHECKING:
    from pkmodel.lessons import Scene


def state_of(scene: Scene) -> State:
    """The page of a scene; of more than two arms the first two. Raises InputError where the scene is not legal."""
    arms = [_arm(name, protocol, model) for name, protocol, model in scene.arms[:2]]
    levels = [units.convert(units.as_kind(text, "concentration").value, "ng/mL") for text in scene.limits]
    name, n = scene.population or (Crowd().population, 0)
    view: dict[str, Any] = {key: value for key, value in scene.view.items() if key in View.model_fields}
    hours = units.as_kind(scene.until, "time").value
    return State(
        person=_person(dict(scene.patient)),
        a=arms[0],
        b=arms[1] if len(arms) > 1 else None,
        effects=tuple(scene.effects[:MOST_EFFECTS]),
        limits=Limits(upper=levels[0] if levels else None, lower=levels[1] if len(levels) > 1 else None),
        crowd=Crowd(population=name, n=n),
        view=View(**{"hours": hours, "metabolites": "metabolite" in scene.outputs, **view}),
    )


def _person(arguments: dict[str, Any]) -> Person:
    """The arguments of a patient as the fields of the page."""
    found: dict[str, Any] = {}
    for key, value in arguments.items():
        if key in ("weight", "height"):
            quantity = units.parse(value)
            found |= {key: quantity.number, f"{key}_unit": quantity.unit.text}
        elif key == "age":
            found[key] = units.as_kind(value, "age").value
        elif value is not None:
            found[key] = value
    return Person(**found)


def _arm(name: str, protocol: str, model: str) -> Arm:
    """An arm of the library, or of the text of a protocol."""
    if protocol in library("protocols"):
        return Arm(name=name, protocol=protocol, drug=load_protocol(protocol).drugs[0], model=model)
    return arm_of_text(protocol, model=model, name=name)


def arm_of_text(text: str, *, model: str = "", name: str = "") -> Arm:
    """An arm of the text of a protocol file. Raises InputError where it is none."""
    spec = check(read_yaml_text(text, "course.yaml"), ProtocolSpec)
    return Arm(name=name, source="text", text=text, drug=spec.drugs[0], model=model)
