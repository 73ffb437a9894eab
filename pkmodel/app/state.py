"""What the page shows, as one frozen value that can be checked, put into a link and taken back; nothing of Shiny here.

Numbers are as the user wrote them, with their unit beside them, so that "154 lb" stays 154 lb in the command line that
the page gives.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import zip_longest
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pkmodel.errors import InputError, Problem, shown
from pkmodel.population import Patient
from pkmodel.specs import fields

#: The units that a dose of a row may be given in; the last two count devices and sprays.
UNITS = ("mg/kg", "mg", "mg/kg/h", "ug/kg/min", "mg/h", "devices", "sprays")
#: How many rows, models and effects a page takes: more cannot be read on a projector.
MOST_ROWS, MOST_MODELS, MOST_EFFECTS = 60, 4, 4
MOST_PATIENTS = 5000

Name = Annotated[str, Field(max_length=80, pattern=r"^[A-Za-z0-9_]*$")]
Text = Annotated[str, Field(max_length=40)]
ArmKey = Literal["a", "b"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Person(_Part):
    """The patient whose curve is drawn."""

    weight: float = Field(default=70, gt=0, le=1000)
    weight_unit: Literal["kg", "lb"] = "kg"
    age: float = Field(default=40, ge=0, le=120)
    sex: Literal["female", "male"] = "female"
    height: float = Field(default=170, gt=0, le=300)
    height_unit: Literal["cm", "inch"] = "cm"
    ancestry: fields.Ancestry = "other"
    cyp2b6_activity: float = Field(default=1, ge=0, le=1)
    hepatic_impairment: float = Field(default=0, ge=0, le=1)
    severity: float | None = Field(default=None, ge=0, le=1000)

    def arguments(self) -> dict[str, Any]:
        """The arguments of :class:`pkmodel.Patient` that say the same."""
        found: dict[str, Any] = {
            "weight": f"{self.weight:.10g} {self.weight_unit}",
            "age": f"{self.age:.10g} y",
            "sex": self.sex,
            "height": f"{self.height:.10g} {self.height_unit}",
            "ancestry": self.ancestry,
            "cyp2b6_activity": self.cyp2b6_activity,
            "hepatic_impairment": self.hepatic_impairment,
        }
        return found if self.severity is None else {**found, "severity": self.severity}

    def patient(self) -> Patient:
        """The patient. Raises InputError where a value is not one that a person can have."""
        return Patient(**self.arguments())


class Row(_Part):
    """One line of a course that is built by hand: a dose, and its repeats.

    ``at``, ``over`` and ``every`` are times with a unit ("40 min"; ``over`` empty: at once). ``count`` doses ``every``
    so long; with ``to`` the dose goes from ``dose`` to that in equal steps.
    """

    route: fields.Route = "iv"
    dose: float = Field(default=0.2, gt=0, le=20000)
    unit: Literal[UNITS] = "mg/kg"  # type: ignore[valid-type]
    at: Text = "0 min"
    over: Text = ""
    every: Text = ""
    count: int = Field(default=1, ge=1, le=200)
    to: float | None = Field(default=None, gt=0, le=20000)


class Arm(_Part):
    """One regimen: a protocol of the library, rows, or the text of a protocol file; and the model it runs on."""

    name: Annotated[str, Field(max_length=24)] = ""
    source: Literal["library", "rows", "text"] = "library"
    protocol: Name = "esketamine_iv_single"
    drug: fields.Drug = "ketamine"
    rows: Annotated[tuple[Row, ...], Field(max_length=MOST_ROWS)] = ()
    text: Annotated[str, Field(max_length=20_000)] = ""
    model: Name = ""
    """Empty: the default of its drug and routes."""


class Crowd(_Part):
    """The virtual patients whose spread is drawn as a band; n = 0: none."""

    population: Name = "adults_trials"
    n: int = Field(default=0, ge=0, le=MOST_PATIENTS)
    seed: int = Field(default=1, ge=0, le=2**31)


class Limits(_Part):
    """Levels to draw: an upper one that counts time above, a lower one to reach, and one to leave the clinic below."""

    upper: float | None = Field(default=None, gt=0, le=1e6)
    lower: float | None = Field(default=None, gt=0, le=1e6)
    discharge: float | None = Field(default=50, gt=0, le=1e6)
    discharge_of: Name = "parent"
    """The output or effect that must have fallen below ``discharge`` (of an effect without a unit: percent)."""


class View(_Part):
    """How the curves are drawn."""

    metabolites: bool = True
    log: bool = False
    normalise: bool = False
    clock: Annotated[str, Field(pattern=r"^(|([01]?\d|2[0-3]):[0-5]\d)$")] = ""
    hours: float | None = Field(default=None, gt=0, le=24 * 400)
    """How much of the course is shown, h; None: what fits it."""
    arm: ArmKey = "a"
    """The arm that clicks on the curve and the table of rows change."""


class State(_Part):
    """The whole page."""

    version: Literal[1] = 1
    person: Person = Person()
    a: Arm = Arm()
    b: Arm | None = None
    also: Annotated[tuple[Name, ...], Field(max_length=MOST_MODELS)] = ()
    """Further models that arm A is drawn on."""
    effects: Annotated[tuple[Name, ...], Field(max_length=MOST_EFFECTS)] = ()
    limits: Limits = Limits()
    crowd: Crowd = Crowd()
    view: View = View()

    @property
    def arms(self) -> dict[ArmKey, Arm]:
        """The arms by their keys."""
        return {"a": self.a} if self.b is None else {"a": self.a, "b": self.b}

    @property
    def editing(self) -> ArmKey:
        """The key of the arm that is edited."""
        return self.view.arm if self.b is not None else "a"

    @property
    def arm(self) -> Arm:
        """The arm that is edited."""
        return self.arms[self.editing]

    def with_arm(self, arm: Arm, key: ArmKey | None = None) -> State:
        """The page with another arm in the place ``key`` (that of the edited one, where not given)."""
        return self.model_copy(update={key or self.editing: arm})


def checked(tree: Mapping[str, Any]) -> State:
    """The page that a tree of plain data describes. Raises InputError that names each field in the user's words."""
    try:
        return State.model_validate(tree)
    except ValidationError as error:
        raise InputError([_problem(detail) for detail in error.errors(include_url=False)]) from None


def edited(state: State, changes: Mapping[str, Any]) -> State:
    """The page with values at some places changed: ``{"person.weight": "82", "a.rows.0.dose": 0.5}``.

    Text is read as the number that it stands for, and an empty text as nothing given. Raises InputError where a place
    is not on the page or a value is not legal; the page is as it was.
    """
    tree = state.model_dump(mode="json")
    for path, value in changes.items():
        holder, key = _place(tree, path)
        holder[key] = _plain(value, holder[key])
    _same_body(state, tree, changes)
    return _shared(checked(tree), state)


def _shared(now: State, before: State) -> State:
    """The page with what is as it was before taken from there: a history of a hundred pages holds it once."""
    same: dict[str, Any] = {}
    for name in State.model_fields:
        mine, other = getattr(now, name), getattr(before, name)
        if mine == other:
            same[name] = other
        elif isinstance(mine, Arm) and isinstance(other, Arm):
            pairs = zip_longest(mine.rows, other.rows[: len(mine.rows)])
            rows = tuple(theirs if ours == theirs else ours for ours, theirs in pairs)
            same[name] = mine.model_copy(update={"rows": rows})
    return now.model_copy(update=same)


def is_field(state: State, path: str) -> bool:
    """Whether a place is one of the page as it is."""
    try:
        _place(state.model_dump(mode="json"), path)
    except InputError:
        return False
    return True


def _place(tree: Any, path: str) -> tuple[Any, Any]:
    """What holds a place of a tree, and under which key. Raises InputError where there is no such place."""
    *parents, last = path.split(".")
    holder: Any = tree
    try:
        for part in parents:
            holder = holder[int(part)] if isinstance(holder, list) else holder[part]
        key: Any = int(last) if isinstance(holder, list) else last
        holder[key]
    except (KeyError, IndexError, TypeError, ValueError):
        raise InputError(Problem(shown(path), "a field of the page")) from None
    return holder, key


def _plain(value: Any, before: Any) -> Any:
    """A value as it comes from a field: an empty one is nothing where there was a number, and a comma no point."""
    if isinstance(before, list) and isinstance(value, str):
        return [part for part in value.split(",") if part]
    if (value is None or value == "") and not isinstance(before, str):
        return None
    return value


def _same_body(state: State, tree: dict[str, Any], changes: Mapping[str, Any]) -> None:
    """Where only the unit of the weight or the height changes, the patient stays the same."""
    factors = {("weight", "lb"): 1 / 0.45359237, ("weight", "kg"): 0.45359237}
    factors |= {("height", "inch"): 1 / 2.54, ("height", "cm"): 2.54}
    for name in ("weight", "height"):
        unit = changes.get(f"person.{name}_unit")
        if unit == getattr(state.person, f"{name}_unit") or f"person.{name}" in changes:
            continue
        if isinstance(unit, str) and (name, unit) in factors:
            tree["person"][name] = round(getattr(state.person, name) * factors[name, unit], 1)


#: What the fields are called on the page.
LABELS = {
    "person.weight": "weight",
    "person.age": "age",
    "person.height": "height",
    "person.sex": "sex",
    "person.cyp2b6_activity": "CYP2B6 activity",
    "person.hepatic_impairment": "hepatic impairment",
    "person.severity": "severity score",
    "limits.upper": "upper limit",
    "limits.lower": "lower limit",
    "limits.discharge": "discharge level",
    "crowd.n": "number of patients",
    "crowd.seed": "seed",
    "view.clock": "clock time of the start",
    "view.hours": "hours shown",
    "also": "further models",
    "effects": "effects",
}


def label_of(path: str) -> str:
    """What a place is called on the page: ``a.rows.1.dose`` is "row 2, dose"."""
    parts = path.split(".")
    if len(parts) >= 3 and parts[1] == "rows" and parts[2].isdigit():
        arm = "" if parts[0] == "a" else "B, "
        return f"{arm}row {int(parts[2]) + 1}" + (f", {' '.join(parts[3:])}" if parts[3:] else "")
    return LABELS.get(path, path.replace("_", " ").replace(".", ", "))


def _problem(detail: Any) -> Problem:
    """pydantic's error as one of ours: the field, what was found, what was expected."""
    path = ".".join(str(part) for part in detail["loc"])
    value = detail["input"]
    found = "nothing" if value is None or value == "" else shown(value if isinstance(value, str) else repr(value))
    expected = detail["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    if detail["type"] in ("float_parsing", "float_type", "int_parsing", "int_from_float", "int_type"):
        expected = "a number such as 0.5" if detail["type"].startswith("float") else "a whole number"
    elif detail["type"] == "string_pattern_mismatch" and path == "view.clock":
        expected = "a time of day such as 09:00"
    elif detail["type"] == "extra_forbidden":
        expected = "a field of the page"
    return Problem(found, expected, path=label_of(path))
